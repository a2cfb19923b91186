/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vaio-agent: one process for each group, under a parent that starts them again.
 *
 * The parent knows the groups (netlink), answers the socket and notifies systemd. A worker
 * has the ring of its group, one connection and one thread. They share a page of figures, and a
 * socket for requests. Nothing else: what happens to one worker is no other's matter.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <linux/vaio-replication.h>

#include "../libreplica/libreplica.h"
#include "../libvaio/libvaio.h"
#include "../libvaio/pki.h"

#define TARGET_LEN	256

/* What a group's process needs to know; of the configuration file and the command line. */
struct group_config {
	char pki[256];
	int compress;			/* level of zstd, 0: none */
	uint64_t rate;			/* bytes of batches a second, 0: any */
	uint8_t guest[VAIO_RW_ID_LEN];	/* that all disks of the group belong to; nil: not known */
	struct vr_generation generation;	/* that a failback's end began; counter 0: none */
};

struct config {
	const char *file, *pki, *state, *run, *socket;
	const char *hostname;		/* of this host, for people */
	unsigned int scan_ms;
};

extern struct config config;

/* A line on stderr, with systemd's priority in front. */
__attribute__((format(printf, 2, 3)))
void say(int priority, const char *fmt, ...);

/* --- util.c ------------------------------------------------------------------------------ */

uint64_t mono_ns(void);
void uuid_text(const uint8_t *id, char text[37]);
bool uuid_bytes(const char *text, uint8_t *id);

/* --- config.c -------------------------------------------------------------------------- */

/* The file's words for the group @name. VAIO_USAGE with the line and the word that is wrong. */
int config_read(const char *name, struct group_config *c, struct vaio_err *e);

/* "host", "host:port", "[addr]:port". VAIO_USAGE. */
int target_parse(const char *target, char *host, size_t host_size, char *port, size_t port_size, struct vaio_err *e);

/* --- figures: written by a worker, read by the parent ------------------------------------- */

enum worker_state {
	W_STARTING, W_CONNECTING, W_REFUSED, W_TRACKING, W_INITIAL, W_RESYNC, W_COMPARING, W_REPLICATING, W_BLOCKED,
};

#define NO_FIGURE	UINT64_MAX

struct figures {
	enum worker_state state;
	bool connected;
	char error[VAIO_RW_TEXT_LEN], peer[64], uuid[37];
	uint64_t connected_ns, retry_ns;	/* CLOCK_MONOTONIC */
	uint64_t rpo_ns, rpo_worst_ns;		/* NO_FIGURE: no point yet */
	uint64_t backlog_bytes, backlog_records;
	uint64_t sent_bytes, acked_bytes, raw_bytes, rate;
	uint64_t durable_seq, complete_seq;
	uint32_t resync_kind;			/* enum vaio_rw_resync_kind, 0: none */
	uint64_t resync_total, resync_left, resync_rate;
	uint64_t gaps, connections;
	unsigned int nr_disks;
	struct figure_disk {
		char name[VAIO_DEVNAME_LEN], uuid[37];
		int number;
		uint64_t bytes, dirty, check;
		uint32_t flags;			/* VAIO_REPL_M_* */
	} disk[VAIO_REPL_MEMBERS];
};

struct shared {
	atomic_uint turn;		/* odd while the figures are being written */
	atomic_ullong heartbeat_ns;	/* CLOCK_MONOTONIC */
	struct figures figures;
};

/* A request to a worker, and its answer; SOCK_SEQPACKET. */
struct request {
	uint64_t cookie;
	uint32_t kind, flags;		/* of the checkpoint */
	uint32_t wait_ms;
	char name[VAIO_RW_NAME_LEN];
};

struct answer {
	uint64_t cookie;
	uint64_t seq;			/* on the wire; 0: text says why there is none */
	uint32_t durable;
	char text[VAIO_RW_TEXT_LEN];
};

/* --- worker.c ------------------------------------------------------------------------------ */

/* How a worker ends; anything else is a crash. */
#define EXIT_STOPPED	0	/* told to */
#define EXIT_UNBOUND	10	/* the kernel took the ring away: begin again */
#define EXIT_RESTART	11	/* a condition that may pass; it was logged */

/* Runs a group until it is told to stop; returns the exit status. */
int worker_run(const char *group, const char *target, const struct group_config *c, struct shared *shared, int requests);

/* --- parent ---------------------------------------------------------------------------------- */

struct child {
	struct child *next;
	char name[VAIO_NAME_LEN], target[TARGET_LEN], mode[16];
	struct group_config config;
	struct shared *shared;
	pid_t pid;			/* 0: none runs */
	int requests;			/* -1: none */
	unsigned int crashes, strikes;	/* strikes: those of late, three set it aside */
	uint64_t strike_ns, start_ns;	/* of the last crash; when to start it */
	bool seen, stopping, set_aside, bad_config;
	struct vaio_pki_watch certificates;
	char error[VAIO_RW_TEXT_LEN];
};

extern struct child *children;

struct child *child_find(const char *name);

/* control.c: the unix socket. */
int control_open(struct vr_err *e);
void control_close(void);
/* Descriptors to poll are appended to @p; returns how many. */
struct pollfd;
int control_poll(struct pollfd *p, int room);
/* After poll(): whoever is ready is served, whose time is over is let go. */
void control_run(void);
/* A worker answered. */
void control_answer(const struct answer *a);
/* The worker of @c is gone: nobody waits for it. */
void control_child_gone(const struct child *c);

#endif /* AGENT_H */
