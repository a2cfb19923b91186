// SPDX-License-Identifier: GPL-2.0
/* Writes the seeds of corpus/agent_session: agent_session_seeds FOLDER. Built by hand when the events change. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent_session.h"
#include <vaio/replica-wire.h>

#define BY(n)	((n) << 3)

/* A level of compression, then: all is new and is sent. */
#define INITIAL		1, E_WELCOME, VAIO_RW_W_EMPTY, 0, 0, N_ZERO, E_PUMP, E_RESYNC, 0, 0, 7, 2, E_RESYNC, 1, 8, 3, 0, E_PUMP
#define ALL_DURABLE	E_DURABLE, N_GIVEN, N_GIVEN
#define NO_POINT	E_DURABLE, N_GIVEN, N_ZERO
#define WRITES		E_WRITE, 0, 1, 2, 0, E_WRITE, 1, 9, 0, 1, E_RANGE, 0, 0, 5, 0, 0, 9, 0, 0
#define LONG_RANGE	E_RANGE, 1, 1, 0, 0, 0, 0xff, 0xff, 0x5f
#define COMPARED(seq)	E_WELCOME, VAIO_RW_W_COMPARE, S_COMPLETE, 3, seq, E_PUMP
#define GOES_ON(seq)	E_WELCOME, 0, S_COMPLETE, 3, seq, E_PUMP
#define IN_RESYNC(seq)	E_WELCOME, VAIO_RW_W_RESYNC, 0, 3, seq, E_PUMP
#define CHECKS		E_RESYNC, 0, 0, 7, 1, E_RESYNC, 1, 8, 7, 1, E_PUMP
#define DIFF(disk)	E_DIFF, disk, 2, N_GIVEN, 0, 0, 1, 0, 2, 0, 0, 0

static void save(const char *dir, const char *name, const uint8_t *p, size_t len)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fwrite(p, 1, len, f) != len || fclose(f))
		abort();
}

#define SEED(name, ...) save(argv[1], name, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	SEED("initial", INITIAL, NO_POINT, E_RESYNC_END, WRITES, E_PUMP, ALL_DURABLE, WRITES, LONG_RANGE, E_PUMP, ALL_DURABLE);
	SEED("compare", INITIAL, E_RESYNC_END, E_PUMP, ALL_DURABLE, E_RECONNECT, COMPARED(N_ACKED | BY(29)), CHECKS, DIFF(0), DIFF(1),
	     E_RESYNC, 0, 0, 7, 2, E_RESYNC_END, E_PUMP, ALL_DURABLE);
	SEED("resume", INITIAL, NO_POINT, E_RESYNC_END, WRITES, E_PUMP, E_RECONNECT, IN_RESYNC(N_ACKED | BY(1)), CHECKS, E_RECONNECT,
	     GOES_ON(N_HIGHEST), E_RESTART, GOES_ON(N_HIGHEST | BY(31)), WRITES, E_PUMP, ALL_DURABLE);
	SEED("lost", INITIAL, E_RESYNC_END, WRITES, E_PUMP, E_EPOCH, ALL_DURABLE, E_PUMP, E_RESYNC, 0, 0, 7, 1, E_PUMP, DIFF(0),
	     ALL_DURABLE, E_UNBIND, E_PUMP, GOES_ON(N_HIGHEST), ALL_DURABLE);
	SEED("checkpoints", INITIAL, NO_POINT, E_RESYNC_END, E_REQUEST, 1, 'a', E_ASKED, 1, 1, E_PUMP, E_NOT_HELD, N_GIVEN, ALL_DURABLE,
	     E_MARK, 'b', E_TIME, 5, E_PUMP, ALL_DURABLE);
	SEED("blocked", INITIAL, E_BLOCKED, N_DURABLE | BY(2), WRITES, E_PUMP, E_UNBLOCKED, GOES_ON(N_DURABLE), WRITES, E_PUMP,
	     E_BLOCKED, N_GIVEN, E_END, VAIO_RW_END_RECONNECT, 0);
	SEED("other", 0, E_WELCOME, 0, S_OTHER | S_COMPLETE_ANY, 7, N_ZERO | BY(5), N_ZERO | BY(2), N_ZERO | BY(9), N_ZERO | BY(3), E_PUMP,
	     ALL_DURABLE, E_RECONNECT, INITIAL, E_MUTATE, 4, 0, 1, GOES_ON(N_GENERATION));
	SEED("disks", INITIAL, ALL_DURABLE, E_DISK, 2, 2, E_PUMP, ALL_DURABLE, E_PUMP, E_DISK, 1, 0, E_PUMP, ALL_DURABLE, E_DISK, 1, 1,
	     E_PUMP, E_RESYNC, 2, 0, 7, 2, E_DISK, 0, 7, E_PUMP, ALL_DURABLE, E_CLOCK, 9, WRITES, E_PUMP, ALL_DURABLE, E_PING, 0);
	SEED("limits", 0, E_WELCOME, VAIO_RW_W_EMPTY, S_LIMITS, 0, N_ZERO, 0, 0, E_PUMP, E_PUMP, ALL_DURABLE, E_PUMP, ALL_DURABLE, E_PUMP);
	SEED("raw", INITIAL, E_RAW, VAIO_RW_DURABLE, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, E_RAW, VAIO_RW_UNBLOCKED, 8, 0,
	     0, 0, 0, 0, 0, 0, 0, 0);
	return 0;
}
