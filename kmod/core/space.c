// SPDX-License-Identifier: GPL-2.0
/*
 * A backing device that runs out of space (thin pool, sparse file).
 *
 * The guest gets its ENOSPC as such. The disk becomes degraded with the first
 * one, and is well again with the first write that succeeds a while after the
 * last one: in a full pool writes to blocks that are allocated already go on
 * succeeding, and the state must not flap.
 */
#include <linux/jiffies.h>
#include "core.h"

#define SPACE_CALM	(5 * HZ)

static const char no_space[] = "no space on the backing device";

/**
 * vaio_space_note - a request ended with an error, or the disk was out of space before
 * @stack: of the request
 * @clone: device-mapper's clone
 * @status: of the request
 *
 * Any context.
 */
void vaio_space_note(struct vaio_stack *stack, const struct bio *clone, blk_status_t status)
{
	struct vaio_disk *disk = stack->disk;

	if (status == BLK_STS_NOSPC) {
		WRITE_ONCE(disk->no_space_at, jiffies);
		if (!READ_ONCE(stack->no_space)) {
			WRITE_ONCE(stack->no_space, true);
			WRITE_ONCE(disk->no_space, true);
			queue_work(disk->wq, &disk->space_work);
		}
	} else if (!status && READ_ONCE(stack->no_space) && bio_op(clone) == REQ_OP_WRITE &&
		   !(clone->bi_opf & REQ_PREFLUSH) &&
		   time_after(jiffies, READ_ONCE(disk->no_space_at) + SPACE_CALM)) {
		WRITE_ONCE(stack->no_space, false);
		WRITE_ONCE(disk->no_space, false);
		queue_work(disk->wq, &disk->space_work);
	}
}
EXPORT_SYMBOL_GPL(vaio_space_note);

/**
 * vaio_space_work - make the state what vaio_space_note() found
 * @work: of the disk
 *
 * May sleep.
 */
void vaio_space_work(struct work_struct *work)
{
	struct vaio_disk *disk = container_of(work, struct vaio_disk, space_work);
	bool ours;

	if (READ_ONCE(disk->no_space)) {
		vaio_disk_degraded(disk, no_space);
		return;
	}
	mutex_lock(&disk->lock);
	ours = !strcmp(disk->reason, no_space);
	mutex_unlock(&disk->lock);
	if (ours)
		vaio_disk_recovered(disk);
}
