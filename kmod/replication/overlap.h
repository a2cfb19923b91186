/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ranges of one disk that requests lock: overlapping ones take turns.
 *
 * Each request enters with its range and is granted when nothing that entered
 * before and overlaps it is left. So overlapping requests go on in the order in
 * which they came, and none starves.
 *
 * An engine: it knows no bio and takes no lock, the caller's protects it.
 */
#ifndef _VAIO_REPL_OVERLAP_H
#define _VAIO_REPL_OVERLAP_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

/**
 * struct repl_range - a range that is locked, or waits to be
 * @first: first sector, 512-byte units
 * @last: last sector, inclusive
 * @blockers: ranges that entered before and overlap; 0: granted
 * @resync: whose it is, for the owner: a guest's request, or a read of the resync
 * @entry: for the list of ranges that overlap_leave() grants, and then the owner's
 *
 * The rest is the engine's.
 */
struct repl_range {
	u64			first;
	u64			last;
	unsigned int		blockers;
	bool			resync;
	struct list_head	entry;

	struct rb_node		node;
	u64			subtree_last;
	u64			ticket;
};

struct repl_overlap {
	struct rb_root_cached	root;
	u64			next_ticket;
};

void overlap_init(struct repl_overlap *o);
/* True: granted. False: it waits, and some overlap_leave() will grant it. */
bool overlap_enter(struct repl_overlap *o, struct repl_range *r);
/* Gives up a granted range; the ranges that are granted by it are added to @granted. */
void overlap_leave(struct repl_overlap *o, struct repl_range *r, struct list_head *granted);
bool overlap_empty(const struct repl_overlap *o);

#endif /* _VAIO_REPL_OVERLAP_H */
