/* SPDX-License-Identifier: GPL-2.0 */
/* A group's process: what its parts know of each other. */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <sys/signalfd.h>

#include "agent.h"
#include "link.h"
#include "ring.h"
#include "state.h"
#include "stream.h"

#define FLIGHTS		1024		/* batches that are sent and not durable */
#define BATCH_BYTES	(1U << 20)	/* of a batch, but for a single record that is larger */
#define BATCH_RECORDS	2048

#define SECOND		1000000000ULL

/* How long the keys of a connection are good for: records of TLS each way, and nanoseconds. A variable for the tests. */
extern struct key_limits {
	uint64_t records, ns;
} worker_keys;

struct worker {
	const char *name;
	char host[256], port[8];
	const struct group_config *config;
	struct shared *shared;
	int requests;

	struct io_uring uring;
	struct ring ring;
	struct link link;
	struct stream stream;
	struct vr_builder *builder;
	struct group_state group;
	struct ring_state *run;
	bool group_dirty;			/* to be written to its file */
	uint8_t host_id[VAIO_RW_ID_LEN], boot_id[VAIO_RW_ID_LEN];

	/* the session */
	enum { SESSION_NONE, SESSION_HELLO, SESSION_OPEN } session;
	uint64_t open_ns, told_ns, pinged_ns;	/* WELCOME; the last STATUS, the last PING */
	bool blocked;
	uint64_t window, in_flight;
	unsigned int max_records;
	struct flight {
		uint64_t last_seq;
		uint32_t bytes;
	} flight[FLIGHTS];
	unsigned int flight_head, flight_tail;	/* count on */

	/* the next one */
	bool refused, progress;			/* progress: something became durable in this session */
	bool damaged;				/* refused for a disk that is source-damaged */
	bool again;				/* a try is under way after a refusal, and the replica has not answered yet */
	unsigned int failures;
	uint64_t retry_ns;
	char error[VAIO_RW_TEXT_LEN];

	/* the ring */
	uint64_t durable_ring;			/* what the kernel knows to be durable */
	uint64_t changes;			/* of the control page, that were looked at */
	uint64_t late_after;			/* a disk that joins starts when this record is durable; 0: none does */
	uint64_t start_ns;			/* of the last try */
	bool started[VAIO_REPL_MEMBERS];	/* in this epoch */
	uint64_t end_seq;			/* of a RESYNC_END that is on its way, 0 */

	/* figures */
	uint64_t durable_seq, complete_seq;
	uint64_t sent_bytes, acked_bytes, raw_bytes, written_bytes;
	uint64_t resync_total, resync_left, resync_rate, resync_still_ns;
	uint64_t rate, rate_sent, rate_ns;	/* of the last second, smoothed */
	uint64_t rpo_ns, backlog_bytes;
	uint64_t tokens, tokens_ns;		/* of the rate cap: bytes that may be sent */
	struct vaio_repl_member member[VAIO_REPL_MEMBERS];
	unsigned int nr_members;
	uint64_t second_ns, saved_ns;

	/* what operations of io_uring read into */
	uint64_t event_count;
	struct signalfd_siginfo signal;
	struct request request;
	struct __kernel_timespec tick_time;

	int exit;				/* -1: goes on */
};

/* session.c */

/* The link is up: HELLO. */
int session_hello(struct worker *w, struct vr_err *e);
/* A message. -errno: the session is over; -EPROTO: and the replica is told why. */
int session_message(struct worker *w, uint16_t type, size_t len, struct vr_err *e);
/* A disk of the group is source-damaged: @e says which. */
bool session_damaged(const struct worker *w, struct vr_err *e);
/* Begins capture of what is not captured; sends what there is. As above. */
int session_pump(struct worker *w, struct vr_err *e);
/* The agent's figures for the replica. */
int session_status(struct worker *w, struct vr_err *e);
/* Puts a checkpoint into the order of writes. False: @text says why not. */
bool session_mark(struct worker *w, const struct request *r, bool from_replica, char *text, size_t size);
/* Marks whose time is over, or whose records are lost. */
void session_marks(struct worker *w, bool all);
/* Records were given up: has the epoch changed? */
void session_epoch(struct worker *w);

/* worker.c */

void worker_end(struct worker *w, uint32_t code, const char *text);
void worker_save(struct worker *w);
/* Age of the oldest write that is in no acknowledged point; NO_FIGURE: there is no point. */
uint64_t worker_rpo(const struct worker *w);
void worker_answer(struct worker *w, const struct answer *a);
/* The kernel's answer to a call: the ring is lost. */
bool worker_unbound(struct worker *w, int err);

#endif /* AGENT_WORKER_H */
