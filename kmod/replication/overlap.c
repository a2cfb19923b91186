// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges that requests lock: buckets and an interval tree, and in each range the
 * number of older ranges that it has to wait for.
 */
#include <linux/interval_tree_generic.h>
#include "../compat.h"
#include "overlap.h"

#define FIRST(r)	((r)->first)
#define LAST(r)		((r)->last)

INTERVAL_TREE_DEFINE(struct repl_range, wide, u64, subtree_last, FIRST, LAST, static __maybe_unused,
		     tree)

void overlap_init(struct repl_overlap *o)
{
	int i;

	o->wide = RB_ROOT_CACHED;
	for (i = 0; i < ARRAY_SIZE(o->bucket); i++)
		INIT_HLIST_HEAD(&o->bucket[i]);
}
VAIO_EXPORT_FOR_KUNIT(overlap_init);

bool overlap_empty(const struct repl_overlap *o)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(o->bucket); i++)
		if (!hlist_empty(&o->bucket[i]))
			return false;
	return RB_EMPTY_ROOT(&o->wide.rb_root);
}
VAIO_EXPORT_FOR_KUNIT(overlap_empty);

typedef void (*visit_fn)(struct repl_range *other, void *arg);

/* Those in a bucket that overlap @r; with @granule only those that lie in it. */
static void visit_bucket(struct hlist_head *bucket, const struct repl_range *r, const u64 *granule,
			 visit_fn visit, void *arg)
{
	struct repl_range *other;

	hlist_for_each_entry(other, bucket, near)
		if (other->first <= r->last && r->first <= other->last &&
		    (!granule || overlap_granule(other->first) == *granule))
			visit(other, arg);
}

/* Each range that overlaps @r, once. @r itself is not in. */
static void visit_all(struct repl_overlap *o, const struct repl_range *r, visit_fn visit, void *arg)
{
	u64 first = overlap_granule(r->first), last = overlap_granule(r->last), granule;
	struct repl_range *other;
	int i;

	for (other = tree_iter_first(&o->wide, r->first, r->last); other;
	     other = tree_iter_next(other, r->first, r->last))
		visit(other, arg);
	if (last - first >= ARRAY_SIZE(o->bucket)) {
		for (i = 0; i < ARRAY_SIZE(o->bucket); i++)
			visit_bucket(&o->bucket[i], r, NULL, visit, arg);
		return;
	}
	/* two of its granules may have one bucket */
	for (granule = first; granule <= last; granule++)
		visit_bucket(overlap_bucket(o, granule), r, &granule, visit, arg);
}

static void count(struct repl_range *other, void *arg)
{
	struct repl_range *r = arg;

	r->blockers++;
}

/* How many are in that overlap @r, which is not. */
void overlap_count(struct repl_overlap *o, struct repl_range *r)
{
	visit_all(o, r, count, r);
}
VAIO_EXPORT_FOR_KUNIT(overlap_count);

bool overlap_enter_wide(struct repl_overlap *o, struct repl_range *r)
{
	overlap_count(o, r);
	tree_insert(r, &o->wide);
	return !r->blockers;
}
VAIO_EXPORT_FOR_KUNIT(overlap_enter_wide);

bool overlap_leave_wide(struct repl_overlap *o, struct repl_range *r)
{
	tree_remove(r, &o->wide);
	return true;
}
VAIO_EXPORT_FOR_KUNIT(overlap_leave_wide);

/* What is in and overlaps a range that was granted came later, and counted it, once. */
static void grant(struct repl_range *other, void *granted)
{
	if (!--other->blockers)
		list_add_tail(&other->entry, granted);
}

void overlap_grant(struct repl_overlap *o, const struct repl_range *r, struct list_head *granted)
{
	visit_all(o, r, grant, granted);
}
VAIO_EXPORT_FOR_KUNIT(overlap_grant);
