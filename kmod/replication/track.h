/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which blocks of a disk a consumer lacks: bits in memory, and what of them
 * belongs on the pages of a sidecar's region.
 *
 * Each consumer has a struct repl_track of its own: the replica, and whatever
 * else wants to know what changed. A bit is in one of these sets:
 *
 *   dirty	the consumer lacks it
 *   inflight	read and sent, not yet acknowledged; lost with the connection
 *   spilled	in records that are not acknowledged: nothing has to be done, but
 *		after a crash the records are gone
 *   check	to be compared; not kept on the sidecar, where the flag
 *		must-compare stands for all of them
 *
 * On the sidecar dirty, inflight and spilled are one bitmap.
 *
 * An engine: it knows no device and takes no lock; the caller's protects it.
 */
#ifndef _VAIO_REPL_TRACK_H
#define _VAIO_REPL_TRACK_H

#include <linux/types.h>
#include <linux/vaio-sidecar.h>

/* One set, counted. While it grows, @copy is the larger one: it gets every change too. */
struct repl_bits {
	unsigned long	*map;
	unsigned long	*copy;
	u64		count;
};

/**
 * struct repl_track - see above
 * @shift: log2 of the sectors (512 bytes) of a bit
 * @nr: bits
 * @pages: pages of the sidecar's region that hold @nr bits
 * @dirty: see above, as @inflight, @check
 * @spilled: two sets: one is being filled, the other waits for its records
 * @spilled_seq: the record that ends a set's wait; 0: the set is empty
 * @stale: pages whose content changed since they were last filled
 * @must: pages that changed to ones, so that they must be written before the
 *	bits can be relied on
 * @sequence: of each page as it was last read or written
 */
struct repl_track {
	unsigned int		shift;
	u64			nr;
	u32			pages;
	struct repl_bits	dirty;
	struct repl_bits	inflight;
	struct repl_bits	check;
	struct repl_bits	spilled[2];
	u64			spilled_seq[2];
	struct repl_bits	stale;
	struct repl_bits	must;
	u64			*sequence;
};

/* @sectors: of the disk. May sleep. 0 or -ENOMEM. */
int track_init(struct repl_track *t, unsigned int shift, u64 sectors);
void track_free(struct repl_track *t);

/*
 * @new, freshly initialised and not smaller, becomes @t; bits that are new are dirty.
 * Others may go on using @t meanwhile, but for its pages: these are neither loaded nor
 * filled. So the lock is held for moments only, however large the disk:
 *
 *	track_grow_begin()	not locked
 *	track_grow_some()	locked, each time; from *@word, 0 at first; false: that was all
 *	track_grow_end()	in the same stretch as the last one; @new gets what is to be freed
 */
void track_grow_begin(struct repl_track *t, struct repl_track *new);
bool track_grow_some(struct repl_track *t, struct repl_track *new, u64 *word);
void track_grow_end(struct repl_track *t, struct repl_track *new);

/* Bits of a range of sectors. */
static inline u64 track_first(const struct repl_track *t, u64 sector)
{
	return sector >> t->shift;
}

static inline u64 track_last(const struct repl_track *t, u64 sector, u64 sectors)
{
	return (sector + sectors - 1) >> t->shift;
}

/* The consumer lacks these sectors. */
void track_mark(struct repl_track *t, u64 sector, u64 sectors);
void track_mark_all(struct repl_track *t);
void track_check_all(struct repl_track *t);
/* They are in a record that is not acknowledged; see track_spill_end(). */
void track_spill(struct repl_track *t, u64 sector, u64 sectors);
/* All that was spilled belongs to records up to @seq. */
void track_spill_end(struct repl_track *t, u64 seq);
/* Records up to @durable are acknowledged. True when bits were dropped. */
bool track_spill_drop(struct repl_track *t, u64 durable);

/**
 * track_next - the next run of work at or after a bit
 * @set: &t->dirty or &t->check
 * @from: where to look first; goes on from 0 at the end
 * @max: longest run
 * @run: gets its length
 *
 * Bits that are on their way are left out: the answer to the first read would be
 * taken for one to the second.
 *
 * Return: its first bit, or -1 when there is none.
 */
s64 track_next(const struct repl_track *t, const struct repl_bits *set, u64 from, u32 max, u32 *run);
/* From @set to inflight. */
void track_take(struct repl_track *t, struct repl_bits *set, u64 bit, u32 run);
/* Acknowledged. */
void track_done(struct repl_track *t, u64 bit, u32 run);
/* Not sent after all, or lost: dirty again. */
void track_back(struct repl_track *t, u64 bit, u32 run);
void track_back_all(struct repl_track *t);

static inline bool track_clean(const struct repl_track *t)
{
	return !t->dirty.count && !t->inflight.count && !t->check.count;
}

/* A page of the region: its bits into memory, as dirty. @page is sealed and checked. */
void track_load(struct repl_track *t, u32 index, const struct vaio_sc_disk_page *page);
/* Memory into a page; from here on it counts as written. */
void track_fill(struct repl_track *t, u32 index, struct vaio_sc_disk_page *page);
/* It could not be written. */
void track_unfill(struct repl_track *t, u32 index, bool must);
/* First page at or after @from that is in @set (&t->stale or &t->must), or -1. */
s64 track_page(const struct repl_track *t, const struct repl_bits *set, u32 from);

/* Sets and clears bits; for the engines of this folder. */
u64 bits_set(struct repl_bits *b, u64 first, u64 last);
u64 bits_clear(struct repl_bits *b, u64 first, u64 last);
int bits_init(struct repl_bits *b, u64 nr);
void bits_free(struct repl_bits *b);

#endif /* _VAIO_REPL_TRACK_H */
