/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ranges of one disk that requests lock: overlapping ones take turns.
 *
 * Each request enters with its range and is granted when nothing that entered
 * before and overlaps it is left. So overlapping requests go on in the order in
 * which they came, and none starves.
 *
 * Nearly all requests are small and overlap nothing, so these cost little: a
 * range that lies within one granule of the disk is in that granule's bucket of a
 * hash, where it meets only its neighbours. Those that reach beyond a granule are
 * in an interval tree, where each request looks if there are any; and they look in
 * the buckets of all granules that they touch.
 *
 * An engine: it knows no bio and takes no lock, the caller's protects it.
 */
#ifndef _VAIO_REPL_OVERLAP_H
#define _VAIO_REPL_OVERLAP_H

#include <linux/compiler.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#define REPL_GRANULE_SHIFT	6	/* of a sector: 32 KiB */
#define REPL_BUCKET_BITS	8

/**
 * struct repl_range - a range that is locked, or waits to be
 * @first: first sector, 512-byte units
 * @last: last sector, inclusive
 * @blockers: ranges that entered before and overlap; 0: granted
 * @resync: whose it is, for the owner: a guest's request, or a read of the resync
 * @entry: for the list of ranges that overlap_grant() grants, and then the owner's
 *
 * The rest is the engine's.
 */
struct repl_range {
	u64			first;
	u64			last;
	unsigned int		blockers;
	bool			resync;
	struct list_head	entry;

	union {
		struct hlist_node	near;	/* within one granule */
		struct rb_node		wide;
	};
	u64			subtree_last;
};

struct repl_overlap {
	struct rb_root_cached	wide;
	struct hlist_head	bucket[1 << REPL_BUCKET_BITS];
};

void overlap_init(struct repl_overlap *o);
bool overlap_empty(const struct repl_overlap *o);

/* Inside, for the inline functions below. */
void overlap_count(struct repl_overlap *o, struct repl_range *r);
bool overlap_enter_wide(struct repl_overlap *o, struct repl_range *r);
bool overlap_leave_wide(struct repl_overlap *o, struct repl_range *r);

static inline u64 overlap_granule(u64 sector)
{
	return sector >> REPL_GRANULE_SHIFT;
}

static inline bool overlap_is_wide(const struct repl_range *r)
{
	return overlap_granule(r->first ^ r->last);
}

static inline struct hlist_head *overlap_bucket(struct repl_overlap *o, u64 granule)
{
	return &o->bucket[hash_64(granule, REPL_BUCKET_BITS)];
}

/**
 * overlap_enter - a request comes
 * @o: the disk's ranges
 * @r: @r->first and @r->last are set
 *
 * Return: true: granted. False: it waits, and some overlap_grant() will grant it.
 */
static inline bool overlap_enter(struct repl_overlap *o, struct repl_range *r)
{
	struct hlist_head *bucket;

	r->blockers = 0;
	if (unlikely(overlap_is_wide(r)))
		return overlap_enter_wide(o, r);
	bucket = overlap_bucket(o, overlap_granule(r->first));
	if (unlikely(!hlist_empty(bucket)) || unlikely(!RB_EMPTY_ROOT(&o->wide.rb_root)))
		overlap_count(o, r);
	hlist_add_head(&r->near, bucket);
	return likely(!r->blockers);
}

/**
 * overlap_leave - a request goes
 * @o: the disk's ranges
 * @r: a granted range; or one that waits, if none entered after it
 *
 * Return: true: others may have waited for a granted range, overlap_grant() is to
 * follow before anything else is done.
 */
static inline bool overlap_leave(struct repl_overlap *o, struct repl_range *r)
{
	if (unlikely(overlap_is_wide(r)))
		return overlap_leave_wide(o, r);
	__hlist_del(&r->near);
	return unlikely(!hlist_empty(overlap_bucket(o, overlap_granule(r->first)))) ||
	       unlikely(!RB_EMPTY_ROOT(&o->wide.rb_root));
}

/* @r was granted and has left; the ranges that are granted by it are added to @granted. */
void overlap_grant(struct repl_overlap *o, const struct repl_range *r, struct list_head *granted);

#endif /* _VAIO_REPL_OVERLAP_H */
