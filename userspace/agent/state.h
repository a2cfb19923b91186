/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an agent has to remember of a group.
 *
 * As long as the ring lives: a mapped file in /run, written as things happen, so that a killed
 * process loses none of it. Past that: a file of JSON in /var/lib, replaced as a whole.
 */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H

#include "agent.h"
#include "seqmap.h"

struct ring_state {
	uint32_t magic, size;
	uint8_t ring[VAIO_RW_ID_LEN];
	uint64_t connection;		/* the last one's number */
	uint64_t connected;		/* sessions of this ring */
	uint64_t acked;			/* highest number that was told to be durable */
	uint64_t given;			/* highest number that was given out, of those that the map knows */
	uint64_t complete;		/* newest point of the replica, as far as known */
	uint64_t gap_since_ns;		/* CLOCK_MONOTONIC; 0: points are offered */
	uint64_t rpo_worst_ns, gaps;
	uint64_t resync_bytes;		/* of the RESYNC_BEGIN that the last START brought, with its kind */
	uint32_t resync_kind, reserved;
	struct ring_disk {
		uint8_t uuid[VAIO_RW_ID_LEN];	/* who has this index in records not yet durable */
		uint32_t full;			/* START with FULL was done: the kernel's bitmap is right */
		uint32_t reserved;
	} disk[VAIO_REPL_MEMBERS];
	struct seqmap map;
};

/* Maps the file; what is not of @ring begins empty. NULL with a text. */
struct ring_state *ring_state_open(const char *group, const uint8_t *ring, struct vr_err *e);

/* Nanoseconds from CLOCK_MONOTONIC to the time of records, one figure for the time of a boot. */
int time_offset(const uint8_t *boot, int64_t *offset, struct vr_err *e);

/* --- past the ring --------------------------------------------------------------------- */

struct group_state {
	uint8_t uuid[VAIO_RW_ID_LEN];	/* of the group on the wire: its store's name */
	uint8_t store[VAIO_RW_ID_LEN];	/* nil: not known */
	uint8_t host[VAIO_RW_ID_LEN];	/* machine-id of the machine that wrote it; nil: any */
	uint8_t hardware[VAIO_RW_ID_LEN];	/* product_uuid of its DMI; nil: not known */
	uint64_t acked, given;
	bool generation_used;		/* the replica has a record of the newest generation */
	unsigned int nr_generations;
	struct vr_generation generation[VAIO_RW_MAX_GENERATIONS];	/* oldest first */
	/* Disks whose bitmap says what the store lacks. */
	unsigned int nr_trusted;
	uint8_t trusted[VAIO_RW_MAX_MEMBERS][VAIO_RW_ID_LEN];
};

/* Reads the file, or begins a new one with the group's UUID @fresh and a first generation. */
int group_state_read(const char *group, const uint8_t *fresh, struct group_state *s, struct vr_err *e);

/* On stable storage on return. */
int group_state_write(const char *group, const struct group_state *s, struct vr_err *e);

/* One more generation, from number @first on, or from the first one that may follow. -ERANGE: there is none. */
int group_state_generation(struct group_state *s, uint64_t first, struct vr_err *e);

/*
 * Takes over the generation @g that the replica began at the end of a failback: 1; 0 when it is known already.
 * No bitmap is trusted from then on. -EINVAL: it does not follow what this host has; nothing changed.
 */
int group_state_adopt(struct group_state *s, const struct vr_generation *g, struct vr_err *e);

/*
 * The state is this machine's from here on: 1; 0 when it was already. -EPERM with a text when another machine wrote it, so that
 * this one may be a copy of that. @hardware may be nil.
 */
int group_state_claim(const char *group, struct group_state *s, const uint8_t *host, const uint8_t *hardware, struct vr_err *e);

/* An administrator says that this machine takes the place of the one that wrote the state. -ENOENT: there is none. */
int group_state_take_over(const char *group, struct vr_err *e);

bool group_state_trusts(const struct group_state *s, const uint8_t *disk);
void group_state_trust(struct group_state *s, const uint8_t *disk, bool trust);

#endif /* AGENT_STATE_H */
