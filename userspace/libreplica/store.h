/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A replica's store: the history of one group of disks. Documentation/replica-store.md
 * has the format.
 *
 * Threads: one appends and commits; one maintains; any may ask and read. A store is
 * open for writing once; any number of processes may read it meanwhile, at a point that
 * a pin keeps. Functions return 0 or -errno with a text; they may sleep.
 *
 *	-EAGAIN		of append: upkeep has to write indexes first; nothing changed
 *	-EPROTO		what came breaks the protocol's rules
 *	-ENOSPC		full (or a resync would not fit): nothing changed, room as said by info
 *	-EBADMSG	the store is damaged
 *	-EIO		an I/O error: after one of append or commit only closing helps
 */
#ifndef LIBREPLICA_STORE_H
#define LIBREPLICA_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "history.h"
#include "io.h"
#include "super.h"

struct vr_store;

struct vr_options {
	bool write;
	uint64_t segment_bytes;	/* a segment is closed at this size; 0: 256 MiB */
	uint64_t reserve_bytes;	/* kept free for apply and prune; 0: 5 % of the filesystem, 1 GiB at least */
	unsigned int merge;	/* runs of one size that are merged; 0: 8 */
	uint64_t index_bytes;	/* of indexes that are in memory until upkeep writes them; 0: 64 MiB */
	unsigned int stretches;	/* that gaps and resyncs cut the history into, at most; 0: 65,536 */
};

/* An empty store in the folder of @io. */
int vr_store_create(struct vr_io *io, const uint8_t group[VAIO_RW_ID_LEN], const char *name, struct vr_err *e);

/* Takes @io over when it returns 0. A torn tail is cut. -EAGAIN: another process writes it. */
int vr_store_open(struct vr_io *io, const struct vr_options *o, struct vr_store **st, struct vr_err *e);
void vr_store_close(struct vr_store *st);

/* --- taking records --------------------------------------------------------------- */

/* Checks a batch and writes it; it is durable after the next commit. */
int vr_store_append(struct vr_store *st, const void *buf, size_t len, struct vr_err *e);

/*
 * The same without a copy in memory: a batch that was put into memory made for it, at *@batch, is written from there. The
 * memory is the caller's, for free(), and what is in it stays. NULL: there is none.
 */
void *vr_append_memory(size_t len, void **batch);
int vr_store_append_there(struct vr_store *st, void *batch, size_t len, struct vr_err *e);

/* All that was appended when it was called is durable when it returns. */
int vr_store_commit(struct vr_store *st, struct vr_err *e);

/*
 * One step of upkeep: indexes, merges, applies a segment to the base when retention (or
 * @pressure, for space) wants it, removes what is no longer needed. *@more: another step may help.
 */
int vr_store_maintain(struct vr_store *st, bool pressure, bool *more, struct vr_err *e);

/* --- asking -------------------------------------------------------------------------- */

struct vr_info {
	uint8_t store[VAIO_RW_ID_LEN], group[VAIO_RW_ID_LEN], source[VAIO_RW_ID_LEN], ring[VAIO_RW_ID_LEN];
	char group_name[VAIO_RW_NAME_LEN], source_name[VAIO_RW_NAME_LEN];
	uint32_t role, failover;
	uint64_t connection;
	struct vr_state base;		/* the oldest point, unless it is within a stretch */
	struct vr_state durable;	/* the newest record */
	struct vr_generation generation;	/* nil when empty */
	unsigned int nr_members, nr_segments, nr_runs, nr_views;
	bool applying, failed;
	uint64_t journal_bytes, index_bytes, base_bytes, quota_bytes, free_bytes, reserve_bytes;
	uint64_t retain_ns, retain_bytes, every_write_ns, interval_ns;
	uint64_t need, have;		/* of the last -ENOSPC; 0 when there is room */
	bool need_resync;		/* it was a resync's */
	bool compare;			/* the source has to be compared, and no comparison has begun */
	char held_by[VAIO_RW_NAME_LEN];	/* what keeps the base from moving on; "" when nothing does */
};

void vr_store_info(struct vr_store *st, struct vr_info *info);

/* Only where what is on stable storage ends: what a source is told after each commit. */
void vr_store_durable(struct vr_store *st, struct vr_state *durable);

/* The newest history; the caller frees it. NULL: no memory. */
struct vr_history *vr_store_history(struct vr_store *st);

/* --- settings (settings.c): durable when they return ------------------------------------- */

int vr_store_set_retention(struct vr_store *st, uint64_t ns, uint64_t bytes, uint64_t quota, struct vr_err *e);
/*
 * Of points older than @every_write_ns (0: thins out no more) one for each @interval_ns stays, and named ones. The
 * interval can only grow, to a multiple, where points were thinned out already.
 */
int vr_store_set_thinning(struct vr_store *st, uint64_t every_write_ns, uint64_t interval_ns, struct vr_err *e);
int vr_store_set_source(struct vr_store *st, const uint8_t *host, const char *host_name, const uint8_t *ring,
			uint64_t connection, struct vr_err *e);
bool vr_store_has_client(struct vr_store *st, const char *subject);
unsigned int vr_store_clients(struct vr_store *st, char (*out)[VAIO_RW_TEXT_LEN], unsigned int room);
int vr_store_client(struct vr_store *st, const char *subject, bool add, struct vr_err *e);
/* An empty store without a client gets one, and its first settings: 1; 0: it is not such a one. */
int vr_store_adopt(struct vr_store *st, const char *subject, uint64_t retain_ns, uint64_t quota, struct vr_err *e);

/* --- points (points.c) --------------------------------------------------------------------- */

struct vr_point {
	uint64_t seq;
	uint64_t time_ns;	/* of the newest record that it contains */
	uint32_t kind;		/* of a named one, else 0 */
	bool pinned;
	char name[VAIO_RW_NAME_LEN];
};

/*
 * From "latest", "oldest", "seq:N", "name:X", a time ("2026-11-21 07:00:00", with "T" and "Z" too, "@seconds"),
 * or one before @now_ns ("-10min"). -EINVAL: no such form; -ENOENT: not there, or in a gap: the text
 * names the nearest.
 */
int vr_point_find(struct vr_store *st, const char *text, uint64_t now_ns, struct vr_point *p, struct vr_err *e);

struct vr_stretch {
	uint64_t first, last;
	uint64_t first_ns, last_ns;
	uint32_t kind;		/* VAIO_RS_S_*; 0: each number is a point; VR_STRETCH_THINNED: one for each interval is */
};

#define VR_STRETCH_THINNED	(1U << 31)

/* Lists may be of millions: one answer has so many of each kind at most. */
#define VR_LIST_MAX	1000U

/*
 * Calls @each for the newest stretches, or named points, oldest first, until it returns something else than 0: @limit of them
 * (and what has the same number as the oldest of these), of those before the number @before unless that is 0. *@more: there
 * may be older ones.
 */
int vr_store_stretches(struct vr_store *st, uint64_t before, unsigned int limit,
		       int (*each)(void *arg, const struct vr_stretch *s), void *arg, bool *more, struct vr_err *e);
int vr_store_names(struct vr_store *st, uint64_t before, unsigned int limit,
		   int (*each)(void *arg, const struct vr_point *p), void *arg, bool *more, struct vr_err *e);

/* Time of the oldest point; 0: there is none. */
uint64_t vr_store_oldest_ns(struct vr_store *st);

/* Names a point (and pins it), or lets it go. */
int vr_mark_add(struct vr_store *st, const struct vr_point *p, bool pin, struct vr_err *e);
/* Pins a point under its name; under "NAME seq:N", which @p has then, when the name holds another point already: both stay. */
int vr_mark_hold(struct vr_store *st, struct vr_point *p, struct vr_err *e);
/* Is there room for one more name? -E2BIG with a text that says what to do. */
int vr_mark_room(struct vr_store *st, struct vr_err *e);
bool vr_mark_held(struct vr_store *st, uint64_t seq);
int vr_mark_remove(struct vr_store *st, const char *name, struct vr_err *e);

/* --- failover (failover.c) ----------------------------------------------------------------- */

enum vr_failover_step {
	VR_FAILOVER,	/* ready -> failover: a guest runs on a point, its writes aside */
	VR_UNDO,	/* failover -> ready, failback -> failover */
	VR_PERMANENT,	/* failover -> permanent: never a replica of that source again */
	VR_FAILBACK,	/* failover -> failback: the source is being brought back */
	VR_COMMIT,	/* failback -> ready, in a new generation, with a gap that a compare closes */
	VR_NEW_SOURCE,	/* ready: another host takes the source's place, and is compared first */
};

#define VR_FAILOVER_MARK	"failover"	/* name of the point, held meanwhile */

/*
 * Takes a step: what it says is durable when it returns. In the writer's place: nobody appends
 * meanwhile. @p: of VR_FAILOVER, the point. -EBUSY: not from this state; @e names those that are accepted.
 */
int vr_store_failover(struct vr_store *st, enum vr_failover_step step, const struct vr_point *p, struct vr_err *e);
/* Whether the step is accepted now, by its state alone. Anybody may ask. */
int vr_store_failover_accepts(struct vr_store *st, enum vr_failover_step step, struct vr_err *e);

/* --- reading (view.c) -------------------------------------------------------------------------- */

/* The disks as they were at a point. A thread of its own for each view. */
struct vr_view;

int vr_view_open(struct vr_store *st, uint64_t seq, struct vr_view **v, struct vr_err *e);
void vr_view_close(struct vr_view *v);
const struct vr_history *vr_view_history(const struct vr_view *v);

/* @offset and @len in sectors of 512 bytes, within the disk. -EIO when a checksum is wrong. */
int vr_view_read(struct vr_view *v, uint16_t member, void *buf, uint64_t len, uint64_t offset, struct vr_err *e);

/*
 * An export's pin, taken by a process that opened the store for reading: the store is opened
 * at a point that stays until vr_pin_drop(). *@st is open for reading, and closed by the drop.
 */
struct vr_pin;
int vr_pin_take(const char *dir, const char *point, uint64_t now_ns, struct vr_pin **pin, struct vr_store **st,
		struct vr_point *p, struct vr_err *e);
void vr_pin_drop(struct vr_pin *pin);

/* Compares a CHECK's range with what is there before it: 1 equal, 0 different, or -errno. */
int vr_store_check(struct vr_store *st, const struct vaio_rw_record *r, const uint8_t hash[VAIO_RW_HASH_LEN],
		   struct vr_err *e);

/*
 * Checks all that is stored: journal, index, base. Calls @found for each fault; returns their number, or
 * -errno. @step, unless NULL, hears of how many bytes of how many were read.
 */
int vr_store_scrub(struct vr_store *st, void (*found)(void *arg, const char *text), void *arg,
		   void (*step)(void *arg, uint64_t done, uint64_t total), void *step_arg, struct vr_err *e);

#endif /* LIBREPLICA_STORE_H */
