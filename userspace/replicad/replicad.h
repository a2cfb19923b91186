/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vaio-replicad: takes the records of groups from their agents into stores.
 *
 * A connection has a thread that reads it; a group has a thread that writes what
 * connections brought, and one for upkeep. Groups share no lock but the list of them.
 */
#ifndef REPLICAD_H
#define REPLICAD_H

#include <gnutls/gnutls.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "../libreplica/libreplica.h"
#include "../libreplica/report.h"
#include "../libvaio/ktls.h"
#include "../libvaio/pki.h"

#define GROUP_BYTES	(32U << 20)	/* of batches that a group has in memory at most; see memory.c */
#define GROUP_LEAST	(9U << 20)	/* and at least: one batch of VAIO_RW_MAX_BATCH */
#define MAX_OTHER	(128U << 10)	/* of a message that is no batch: the longest is a HELLO */
#define MAX_GROUPS	1000U

struct config {
	const char *store, *listen, *pki, *socket;
	bool new_groups;
	unsigned int max_groups;
	uint64_t segment_bytes, reserve_bytes;
	uint64_t queue_bytes;		/* of batches of all groups, max_groups times GROUP_LEAST at least */
	uint64_t retain_ns, quota_bytes;	/* of new groups */
};

extern struct config config;
extern atomic_bool stopping;

/* Lines on stderr, with systemd's priority in front. */
__attribute__((format(printf, 2, 3)))
void say(int priority, const char *fmt, ...);

/* --- session.c: a connection -------------------------------------------------------- */

struct group;

struct session {
	/* places.c's lock: */
	struct session *next;
	enum { STRANGER, GUEST, LEAVING } place;
	uint8_t wanted[VAIO_RW_ID_LEN];	/* of a guest: the group's id */
	/* of its thread: */
	int fd;
	gnutls_session_t tls;
	unsigned int reload;		/* that its certificates were read in */
	bool kernel_receives;		/* by ktls_receive(), not by GnuTLS */
	uint8_t staged[KTLS_RECORD];	/* a record, of which part was taken */
	size_t staged_at, staged_len;
	pthread_mutex_t send_lock;
	atomic_ullong sealed;		/* records of TLS that were sent */
	char subject[VAIO_RW_TEXT_LEN];	/* of the client's certificate */
	char peer[64];
	struct group *group;
	uint8_t ring[VAIO_RW_ID_LEN], host[VAIO_RW_ID_LEN];
	uint64_t connection;
	bool need_gap;			/* acknowledged records are missing: only a GAP is taken */
	atomic_int end;			/* enum vaio_rw_end_code + 1 that the reading thread is to send */
	char end_text[VAIO_RW_TEXT_LEN];	/* set before end */
	/* the group's lock: */
	struct vaio_rw_status status;
	uint64_t asked, answered;	/* cookies of CHECKPOINT_REQUESTs */
	struct vaio_rw_checkpoint_result result;	/* of answered */
};

/* How long the keys of a connection are good for: records of TLS each way, and milliseconds. A variable for the tests. */
extern struct key_limits {
	uint64_t records, ms;
} session_keys;

/* How often changed certificates are looked for, in milliseconds. Another one for them. */
extern uint64_t look_ms;

void session_start(int fd, const char *peer);
/* 0, or -1 when the connection is gone. Any thread. */
int session_send(struct session *s, uint16_t type, const void *payload, size_t len);
/* The reading thread ends the connection soon. */
void session_end(struct session *s, enum vaio_rw_end_code code, const char *text);

int tls_init(struct vr_err *e);
/* Certificates, CA and CRL anew; what was there before stays when they are not right. */
int tls_reload(struct vr_err *e);
/* Their files are not what was read any more, and nobody is writing them. Asked about once a second. */
bool tls_changed(void);
/* There are newer ones than those that @s began with: they may refuse who was welcome then. */
bool tls_stale(const struct session *s);
int tls_start(struct session *s, struct vr_err *e);

/* --- places.c: how many connections there may be ------------------------------------- */

/* A stranger's place; another stranger may have to go for it. False: there is none now. */
bool place_new(struct session *s);
/* A place of the group @id, in exchange for that. False: there is none, with a text. */
bool place_take(struct session *s, const uint8_t *id, struct vr_err *e);
/* A stranger again. */
void place_give(struct session *s);
/* Before its descriptor is closed. */
void place_leave(struct session *s);

/* --- group.c ---------------------------------------------------------------------------- */

struct queued {
	struct queued *next;
	struct group *owner;		/* whose memory it is, see memory.c; NULL: no batch */
	size_t len;
	void *memory;
	uint64_t *data;
};

struct group {
	struct group *next;
	uint8_t id[VAIO_RW_ID_LEN];
	char uuid[37], dir[512];
	pthread_mutex_t lock;
	pthread_cond_t change;		/* of anything below */
	pthread_cond_t upkeep;		/* somebody waits for space: a change of anything else is nothing to the keeper */
	struct vr_store *st;		/* NULL: it could not be opened, error says why */
	char name[VAIO_RW_NAME_LEN];	/* as the store said last; "": it never could */
	unsigned int users;		/* who holds st: it is not closed under them */
	char error[256];
	bool damaged;
	struct session *session;
	struct queued *first, **last;
	bool writing;			/* the writer works on batches that it took; or a failover in its place */
	bool reopening;			/* somebody opens the store again */
	bool ending;			/* its making failed: its writer ends */
	bool asking;			/* a checkpoint is being asked for: the session stays */
	enum { FLOWS, FENCED, BLOCKED } flow;	/* FENCED: BLOCKED was sent, its PONG has not come */
	struct vaio_rw_blocked blocked;
	uint64_t pressure_wanted, pressure_done;	/* rounds of upkeep for space */
	bool pressure_helped;
	uint64_t upkeep_begun, upkeep_done;	/* rounds of any upkeep */
	char upkeep_error[256];		/* of the last one, "" */
	uint64_t received;		/* bytes of batches */
	uint64_t rate_ms, rate_bytes;	/* when a measurement of the rate began, and what had come by then */
	uint64_t rate;			/* bytes a second in the last one that ended */
	/* memory.c's lock: */
	uint64_t batch_bytes;		/* of batches that are being received, wait, or are being written */
	pthread_cond_t memory;		/* some of it was given back */
};

#define RATE_MS	5000U

#define FENCE_COOKIE	0x6669656e63653031ULL	/* of the PING after BLOCKED; replicad's other PINGs have 0 */

int groups_open(struct vr_err *e);
void groups_close(void);
struct group *group_find(const uint8_t *id);
struct group *group_by_name(const char *name, struct vr_err *e);
/* The group, with a store that is made unless it is there. */
struct group *group_create(const uint8_t *id, const char *name, struct vr_err *e);
unsigned int group_count(void);
/* Calls @each for every group. */
void groups_each(void (*each)(struct group *g, void *arg), void *arg);
void uuid_text(const uint8_t *id, char *text);
bool uuid_bytes(const char *text, uint8_t *id);

/* The store, not closed until group_put(); NULL with the group's error. */
struct vr_store *group_get(struct group *g, struct vr_err *e);
void group_put(struct group *g);

/*
 * Makes @s the group's connection, ending an older one of the same ring, for which it waits as long as an agent waits for its
 * WELCOME. -1, or an END code with a text.
 */
int group_attach(struct group *g, struct session *s, const struct vr_hello *h, struct vr_err *e);
void group_detach(struct group *g, struct session *s);
/* Ends the group's connection when it is that of @subject, who may not write it any more. */
void group_expel(struct group *g, const char *subject);
/* Takes @q over. */
void group_queue(struct group *g, struct session *s, struct queued *q);
void group_fence_passed(struct group *g, struct session *s);
/* A step of a failover: ends the group's connection, unless the step is not accepted now. The step's errors, or -EIO. */
int group_failover(struct group *g, enum vr_failover_step step, const char *point, struct vr_err *e);
/*
 * Asks the source for a checkpoint, waits until it is durable here: its number.
 * -ENOTCONN, -ETIMEDOUT, -EREMOTEIO: the source said why not.
 */
int group_checkpoint(struct group *g, uint32_t kind, const char *name, uint64_t *seq, struct vr_err *e);
/* With the group's lock: bytes a second that came lately. */
uint64_t group_rate(struct group *g);
uint64_t now_ms(void);
uint64_t wall_ns(void);

/* --- main.c ------------------------------------------------------------------------------ */

/*
 * accept() failed, as errno says: for want of something here it waits a moment, in which the connection stays where it is.
 * @said: the log has it; the caller sets it to false after a success.
 */
void accept_failed(const char *where, bool *said);

/* --- memory.c ---------------------------------------------------------------------------- */

/* What a group may have in memory of its batches, bytes. */
uint64_t memory_share(void);
/* A place for a message of @len bytes, not counted. NULL: there is no memory. */
struct queued *queued_new(size_t len);
/*
 * The same for a batch, counted. Waits until there is memory, as long as @wait, called about each second, returns true.
 * NULL: it did not, or malloc() failed.
 */
struct queued *memory_take(struct group *g, size_t len, bool (*wait)(void *arg), void *arg);
void memory_give(struct group *g, size_t whole);
/* What a group has of it now. */
uint64_t memory_used(struct group *g);
void queued_free(struct queued *q);

/* --- admin.c: the unix socket ------------------------------------------------------------- */

int admin_start(struct vr_err *e);
void admin_stop(void);

#endif /* REPLICAD_H */
