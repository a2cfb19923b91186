/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Write intent: the extents (4 MiB) of a disk that are or were recently written.
 *
 * The bit of an extent is durable on the sidecar before the first write to it
 * goes down, so that after a crash dirty is what the bitmap OR the intent bits
 * say. An extent that is written is hot; there are at most so many hot ones, each
 * with a slot that counts its writes.
 *
 *	cold --first write--> new --page being written--> writing --> hot
 *	  ^                                                            |
 *	  '-------------- intent_cool(), see there --------------------'
 *
 * An engine: it knows no device and takes no lock; the caller's protects it.
 */
#ifndef _VAIO_REPL_INTENT_H
#define _VAIO_REPL_INTENT_H

#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include "track.h"

#define REPL_INTENT_SHIFT	(VAIO_SC_EXTENT_SHIFT - 9)	/* of a sector */
#define REPL_INTENT_MAX		32768

enum repl_intent_state {
	REPL_I_FREE,
	REPL_I_NEW,
	REPL_I_WRITING,
	REPL_I_HOT,
};

/**
 * struct repl_extent - an extent that is not cold
 * @seq: highest record of a write to it
 * @extent: which one
 * @writes: in flight
 * @uses: counts writes that began, wraps
 * @seen: @uses when intent_pick() looked last
 * @state: enum repl_intent_state
 */
struct repl_extent {
	u64	seq;
	u32	extent;
	u32	writes;
	u32	uses;
	u32	seen;
	u8	state;
};

/**
 * struct repl_intent - see above
 * @nr: extents of the disk
 * @pages: of the sidecar's region
 * @cap: most that may be hot
 * @used: slots that are not free
 * @index: by extent: slot plus one, 0 for a cold one
 * @slot: @cap of them
 * @bits: the region: extents that are not cold
 * @stale: pages that changed since they were filled
 * @sequence: of each page as it was last read or written
 */
struct repl_intent {
	u32			nr;
	u32			pages;
	u32			cap;
	u32			used;
	u16			*index;
	struct repl_extent	*slot;
	u32			hint;		/* where to look for a free slot */
	struct repl_bits	bits;
	struct repl_bits	stale;
	u64			*sequence;
};

int intent_init(struct repl_intent *ti, u64 sectors, u32 cap);
void intent_free(struct repl_intent *ti);
/*
 * @new, freshly initialised with the same cap, becomes @ti, in two steps. Between them
 * nothing changes but @seq of its slots. Then @new has what is to be freed.
 */
void intent_grow_begin(const struct repl_intent *ti, struct repl_intent *new);
void intent_grow_end(struct repl_intent *ti, struct repl_intent *new);

static inline u32 intent_extent(u64 sector)
{
	return sector >> REPL_INTENT_SHIFT;
}

/* NULL: it is cold */
static inline struct repl_extent *intent_lookup(const struct repl_intent *ti, u32 extent)
{
	u16 at = ti->index[extent];

	return likely(at) ? &ti->slot[at - 1] : NULL;
}

/**
 * intent_enter_hot - a write begins, if nothing has to be done for it
 *
 * Return: true: it lies in one extent, that one is hot, and the write is counted
 * there. False: nothing is counted, intent_enter() knows more.
 */
static inline bool intent_enter_hot(struct repl_intent *ti, u64 sector, u64 sectors)
{
	struct repl_extent *e;

	if (unlikely(intent_extent(sector) != intent_extent(sector + sectors - 1)))
		return false;
	e = intent_lookup(ti, intent_extent(sector));
	if (unlikely(!e || e->state != REPL_I_HOT))
		return false;
	e->writes++;
	e->uses++;
	return true;
}

/**
 * intent_enter - a write begins
 *
 * Return: 0: its extents are hot. 1: they will be when their pages are written;
 * the write is counted. -ENOSPC: no slot is free; nothing is counted.
 */
int intent_enter(struct repl_intent *ti, u64 sector, u64 sectors);
/* Would it need no slot? */
bool intent_warm(const struct repl_intent *ti, u64 sector, u64 sectors);

/* A write has ended; @seq: of its record, 0 for none. */
static inline void intent_leave(struct repl_intent *ti, u64 sector, u64 sectors, u64 seq)
{
	u32 last = intent_extent(sector + sectors - 1), i;

	for (i = intent_extent(sector); i <= last; i++) {
		/* it was counted here, so the extent is not cold */
		struct repl_extent *e = &ti->slot[ti->index[i] - 1];

		e->writes--;
		e->seq = max(e->seq, seq);
	}
}

/* New extents become writing. True when there are any. */
bool intent_write_begin(struct repl_intent *ti);
/* Writing ones become hot: their pages are durable. */
void intent_write_end(struct repl_intent *ti);
/* Next page with a new or writing extent at or after @from, or -1. */
s64 intent_writing_page(const struct repl_intent *ti, u32 from);

/**
 * intent_pick - may this slot's extent become cold?
 * @slot: index, below @ti->cap
 * @idle: only if no write began since it was looked at last
 *
 * True: hot, no write in flight; @uses gets what intent_cool() compares.
 */
bool intent_pick(struct repl_intent *ti, u32 slot, bool idle, u32 *uses);
/*
 * Makes it cold, if no write has begun since intent_pick(). The caller knows that
 * all its records are acknowledged or in the durable bitmap, and that a flush
 * below which began after intent_pick() has completed.
 */
bool intent_cool(struct repl_intent *ti, u32 slot, u32 uses);

/* A page of the region, as it was found. True when a bit is set. */
bool intent_load(struct repl_intent *ti, u32 index, const struct vaio_sc_disk_page *page);
void intent_fill(struct repl_intent *ti, u32 index, struct vaio_sc_disk_page *page);

#endif /* _VAIO_REPL_INTENT_H */
