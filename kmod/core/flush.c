// SPDX-License-Identifier: GPL-2.0
/*
 * The flush rule: a flush may be completed above the bottom only if nothing was
 * written below that slot since the last flush that went through.
 *
 * Only slots with VAIO_CAP_ENDS_FLUSH pay for it: stack.c puts the three hooks
 * of this file into the plans, next to the slot's own.
 *
 *   write, on its way up past the slot	below_dirty = true, before anyone above
 *					hears that the write is done
 *   flush, on its way down past it	flushes_below++, below_dirty = false
 *   flush, on its way up past it	failed: below_dirty = true;
 *					flushes_below--
 *
 * A write that is not yet done when the flush passes is not covered by it, and
 * sets the flag after the flush cleared it. While a flush is below, a second
 * one cannot be ended above: the first has not made anything durable yet, so
 * flushes_below counts as dirty too.
 */
#include <linux/atomic.h>
#include "core.h"

bool vaio_flush_needed(const struct vaio_slot *slot)
{
	/*
	 * Pairs with the order in vaio_flush_enter() and vaio_flush_leave():
	 * whoever sees the flag already cleared must see the count still raised.
	 */
	if (READ_ONCE(slot->below_dirty))
		return true;
	smp_rmb();
	if (atomic_read(&slot->flushes_below))
		return true;
	smp_rmb();
	return READ_ONCE(slot->below_dirty);
}
EXPORT_SYMBOL_GPL(vaio_flush_needed);

enum vaio_verdict vaio_flush_enter(struct vaio_slot *slot, struct vaio_io *io)
{
	atomic_inc(&slot->flushes_below);
	/* The count is up before the flag is down; xchg() is a full barrier. */
	xchg(&slot->below_dirty, false);
	return VAIO_PASS;
}

enum vaio_verdict vaio_flush_leave(struct vaio_slot *slot, struct vaio_io *io)
{
	if (io->status)
		WRITE_ONCE(slot->below_dirty, true);
	/* The flag is up again before the count is down. */
	smp_mb__before_atomic();
	atomic_dec(&slot->flushes_below);
	return VAIO_PASS;
}

enum vaio_verdict vaio_flush_mark(struct vaio_slot *slot, struct vaio_io *io)
{
	/* A failed write may have reached the medium in part: it counts. */
	if (!READ_ONCE(slot->below_dirty))
		WRITE_ONCE(slot->below_dirty, true);
	return VAIO_PASS;
}
