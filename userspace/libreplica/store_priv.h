/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the store share. */
#ifndef LIBREPLICA_STORE_PRIV_H
#define LIBREPLICA_STORE_PRIV_H

#include <errno.h>
#include <pthread.h>

#include "batch.h"
#include "index.h"
#include "store.h"

#define VR_NAME		64		/* paths within a store */

/* A segment of the journal. The newest grows, the others are sealed. */
struct vr_segment {
	uint64_t id;
	uint64_t first_seq;		/* 0: no record yet */
	uint64_t length;		/* bytes that are right */
	uint64_t prepared;		/* writer's: after the last batch there are zeroes up to here; 0: there are none */
	uint64_t min_time, max_time;
	struct vr_state before, after;
	struct vr_file *file;		/* for writing when it is the newest and the store is open so */
	struct vr_mem *mem;		/* its index; NULL once it is in a run */
	/* The summary: in memory until it is a file, which is read when it is wanted. */
	uint8_t *controls;		/* NULL once it is a file */
	size_t controls_len, controls_room;
	unsigned int nr_controls;
	struct vaio_rs_sum_batch *batches;	/* NULL when it is a file that nobody looks at */
	unsigned int nr_batches, batches_room;
	uint32_t batches_crc;
	unsigned int batches_users;	/* the store's sums_lock */
	struct vr_file *sum_file;
	size_t sum_len;
};

struct vr_stretch_start {
	uint64_t first, time_ns;
	uint64_t since_ns;		/* of a gap: the first write that is missing, 0 when unknown */
	uint32_t kind;
};

struct vr_store {
	struct vr_io *io;
	struct vr_options o;
	pthread_mutex_t lock;		/* all that follows, but what is said to be the writer's or maintainer's */
	pthread_mutex_t sums_lock;	/* within lock, or alone: tables of batches that are in memory */
	struct vr_file *super_file, *lock_file;
	struct vr_super *super;
	struct vr_segment **segments;	/* oldest first */
	unsigned int nr_segments, segments_room;
	struct vr_run **runs;		/* oldest first */
	unsigned int nr_runs, runs_room;
	struct vr_stretch_start *stretches;
	unsigned int nr_stretches, stretches_room;
	struct vr_history *history;	/* after the newest record; changed by the writer only */
	struct vr_history *next;	/* writer's: where a batch is tried */
	struct vr_unpacker *unpacker;	/* writer's */
	struct vr_state durable;
	unsigned int nr_views;
	bool failed;			/* an append or commit did: what is on the disk is not known */
	bool compare_begun;		/* since the last gap that an administrator wanted */
	bool resumed;			/* an apply was under way when the store was opened: its cells may be torn */
	uint64_t base_bytes, index_bytes;
	uint64_t need, have;
	bool need_resync;
	char held_by[VAIO_RW_NAME_LEN];
	uint64_t mark_changes;		/* counts them, so that thinning out sees that it has to look again */
};

static inline bool vr_no_space(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

static inline struct vr_segment *vr_newest(struct vr_store *st)
{
	return st->segments[st->nr_segments - 1];
}

/* super: the store's lock is held, or the store is not shared yet */
int vr_super_write(struct vr_store *st, struct vr_err *e);
/* Likewise; when it fails, @old is in force again. */
int vr_super_change(struct vr_store *st, const struct vr_super *old, struct vr_err *e);

/* journal.c */
void vr_segment_name(char *name, uint64_t id);
void vr_sum_name(char *name, uint64_t id);
struct vr_segment *vr_segment_new(uint64_t id, const struct vr_state *before);
void vr_segment_free(struct vr_segment *s);
/* Makes the file of the next segment, durable with its name. */
int vr_segment_create(struct vr_store *st, uint64_t id, const struct vr_state *before, struct vr_segment **s,
		      struct vr_err *e);
int vr_segment_header(struct vr_store *st, uint64_t id, struct vr_state *before, struct vr_err *e);
/*
 * Reads a segment from its start: index, summary and, unless NULL, @h. Ends at the first append that is not right; *@torn
 * when bytes follow it. @newest: a torn tail is no damage, unless what follows says so.
 */
int vr_segment_scan(struct vr_store *st, struct vr_segment *s, struct vr_history *h, bool newest, bool *torn,
		    struct vr_err *e);
/* Remembers a batch that was checked and stands at @offset; reserve first, then it cannot fail. */
int vr_segment_reserve(struct vr_segment *s, const struct vr_batch *b);
void vr_segment_note(struct vr_store *st, struct vr_segment *s, const struct vr_batch *b,
		     uint64_t offset, const struct vr_state *after);
/* Writes or reads the summary. */
int vr_sum_write(struct vr_store *st, struct vr_segment *s, struct vr_err *e);
int vr_sum_load(struct vr_store *st, struct vr_segment *s, struct vr_err *e);
/* Calls @each with every control record of a segment, until it returns something else than 0. -EIO: they cannot be read. */
int vr_segment_controls(const struct vr_segment *s,
			int (*each)(void *arg, const struct vaio_rs_control *c, const void *payload), void *arg,
			struct vr_err *e);
/* The segment's table of batches is in memory, checked, until vr_segment_batches_done(). */
int vr_segment_batches(struct vr_store *st, struct vr_segment *s, struct vr_err *e);
void vr_segment_batches_done(struct vr_store *st, struct vr_segment *s);
/* One batch of a segment, read and parsed; *@buf is the caller's to free. */
int vr_segment_batch(struct vr_store *st, struct vr_segment *s, unsigned int i, void **buf, struct vr_batch *b,
		     struct vr_err *e);
int vr_segment_open(struct vr_store *st, struct vr_segment *s, struct vr_err *e);

/* append.c: takes a batch in every state of a failover. */
int vr_store_append_own(struct vr_store *st, const void *buf, size_t len, struct vr_err *e);

/* store.c */
/* Puts a segment at the end of the list: -ENOMEM. With the lock. */
int vr_segment_add(struct vr_store *st, struct vr_segment *s);
/* Bytes that records may take now. With the lock. */
uint64_t vr_store_room(const struct vr_store *st, uint64_t *avail, uint64_t *reserve);
/* Takes a history past a control record of a summary. */
int vr_history_control(struct vr_history *h, const struct vaio_rs_control *c, const void *payload, struct vr_err *e);
uint64_t vr_journal_bytes(const struct vr_store *st);
/* Of indexes in memory, but for that of the newest segment. Takes the lock. */
uint64_t vr_index_bytes(struct vr_store *st);
/*
 * The source's time, by which points get old; with the lock. A source whose clock is ahead of the replica's makes
 * nothing older than it is.
 */
uint64_t vr_source_now(const struct vr_store *st);
struct vr_segment *vr_segment_of(struct vr_store *st, uint32_t id);

/* base.c */
void vr_base_name(char *name, uint16_t member, const char *what);
struct vr_base;
/* @create: makes the files where they are not there. -ENOENT: the disk has no base. */
int vr_base_open(struct vr_store *st, const struct vr_member *m, bool create, struct vr_base **b, struct vr_err *e);
void vr_base_close(struct vr_base *b);
int vr_base_remove(struct vr_store *st, uint16_t member, struct vr_err *e);
/* Cells that may have been written: those that have a sum. */
uint64_t vr_base_cells(const struct vr_base *b);
/* One cell of @len bytes; *@wrong when its checksum is not right. */
int vr_base_read(struct vr_base *b, uint64_t cell, void *buf, size_t len, bool *wrong, struct vr_err *e);
int vr_base_write(struct vr_base *b, uint64_t cell, const void *buf, size_t len, struct vr_err *e);
int vr_base_sync(struct vr_base *b, struct vr_err *e);
int64_t vr_base_used(struct vr_base *b);
uint64_t vr_base_bytes(struct vr_store *st);

/* maintain.c: a segment that is not the newest gets its run and its summary, and gives back the memory of its index. */
int vr_seal(struct vr_store *st, struct vr_segment *s, struct vr_err *e);

/* view.c: for apply; @trust: cells that this apply touches may have a wrong checksum */
int vr_view_cell(struct vr_view *v, const struct vr_member *m, uint64_t cell, void *buf, size_t len, bool trust,
		 bool *from_base_only, struct vr_err *e);

/* thin.c */
/* One segment, when one is old enough. */
int vr_thin(struct vr_store *st, bool *more, struct vr_err *e);
/* The points around a number, itself when it was not thinned out; with the lock. */
int vr_thinned_nearest(struct vr_store *st, uint64_t seq, uint64_t *down, uint64_t *up, struct vr_err *e);
/* A point that was found before: -ENOENT when it was thinned out since. With the lock. */
int vr_still_point(struct vr_store *st, uint64_t seq, struct vr_err *e);
bool vr_segment_thinned(const struct vr_store *st, const struct vr_segment *s);

/* points.c */
/* @since_ns: of a GAP, else 0. */
void vr_stretch_note(struct vr_store *st, uint64_t first, const struct vr_state *now, uint64_t since_ns);
uint64_t vr_gap_since(const void *payload);
/* Looks at a GAP or RESYNC_BEGIN for compare_begun. */
void vr_note_compare(struct vr_store *st, uint16_t type, const void *payload);
int vr_stretch_reserve(struct vr_store *st, unsigned int more);
void vr_stretch_trim(struct vr_store *st);
/* With the store's lock: is there an export alive? Its name, else "". Holds others off until vr_pins_unlock(). */
int vr_pins_lock(struct vr_io *io, struct vr_file **lock, char *live, struct vr_err *e);
void vr_pins_unlock(struct vr_io *io, struct vr_file *lock);

#endif /* LIBREPLICA_STORE_PRIV_H */
