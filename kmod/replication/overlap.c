// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges that requests lock: an interval tree, and in each range the number of
 * older ranges that it has to wait for.
 */
#include <linux/interval_tree_generic.h>
#include "../compat.h"
#include "overlap.h"

#define FIRST(r)	((r)->first)
#define LAST(r)		((r)->last)

INTERVAL_TREE_DEFINE(struct repl_range, node, u64, subtree_last, FIRST, LAST, static __maybe_unused,
		     tree)

void overlap_init(struct repl_overlap *o)
{
	o->root = RB_ROOT_CACHED;
	o->next_ticket = 0;
}
VAIO_EXPORT_FOR_KUNIT(overlap_init);

bool overlap_enter(struct repl_overlap *o, struct repl_range *r)
{
	struct repl_range *other;

	r->ticket = o->next_ticket++;
	r->blockers = 0;
	for (other = tree_iter_first(&o->root, r->first, r->last); other;
	     other = tree_iter_next(other, r->first, r->last))
		r->blockers++;
	tree_insert(r, &o->root);
	return !r->blockers;
}
VAIO_EXPORT_FOR_KUNIT(overlap_enter);

void overlap_leave(struct repl_overlap *o, struct repl_range *r, struct list_head *granted)
{
	struct repl_range *other;

	tree_remove(r, &o->root);
	for (other = tree_iter_first(&o->root, r->first, r->last); other;
	     other = tree_iter_next(other, r->first, r->last))
		/* those that came later counted this one, once */
		if (other->ticket > r->ticket && !--other->blockers)
			list_add_tail(&other->entry, granted);
}
VAIO_EXPORT_FOR_KUNIT(overlap_leave);

bool overlap_empty(const struct repl_overlap *o)
{
	return RB_EMPTY_ROOT(&o->root.rb_root);
}
VAIO_EXPORT_FOR_KUNIT(overlap_empty);
