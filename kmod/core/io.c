// SPDX-License-Identifier: GPL-2.0
/*
 * The data path: one io down the hooks of its plan and up again.
 *
 *            map()                       worker
 *              |                            |
 *   vaio_io_init, run_down <---- vaio_io_continue (deferred on the way down)
 *      |            |   \
 *      |            |    DEFER: the slot owns the io
 *      |            COMPLETE, FAIL: unwind from the slots above
 *   bottom: the clone or its substitute goes to the backing device
 *      |
 *   end_io, run_up <------------ vaio_io_continue, vaio_io_end (on the way up)
 *      |
 *   finish: device-mapper ends the clone; an own bio goes to its filter
 *
 * Both directions are loops over an array. Whoever defers may continue the io
 * from another CPU before its hook has returned, so nothing touches an io after
 * a hook that answered VAIO_DEFER, and io->next is set before the hook runs.
 */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/device-mapper.h>
#include <linux/ktime.h>
#include "core.h"
#include "trace.h"

enum run {
	RUN_THROUGH,	/* all hooks passed */
	RUN_ENDED,	/* a hook ended the io; io->next and status are set to unwind */
	RUN_DEFERRED,	/* a slot owns the io: it may be gone */
};

/**
 * vaio_io_init - begin an io
 * @io: to be filled in
 * @plan: not NULL
 * @clone: device-mapper's, or an own bio; its sector counts from the disk's start
 */
void vaio_io_init(struct vaio_io *io, const struct vaio_plan *plan, struct bio *clone)
{
	io->plan = plan;
	io->bio = clone;
	io->clone = clone;
	io->sector = clone->bi_iter.bi_sector;
	io->len = clone->bi_iter.bi_size;
	io->word = plan->io_word;
}

/* Neither is the io's end: the submitter or device-mapper will try again. */
static bool failed(blk_status_t status)
{
	return status && status != BLK_STS_AGAIN && status != BLK_STS_DM_REQUEUE;
}

/* The slot answered COMPLETE or FAIL, or ended a deferred io. */
static void account_verdict(struct vaio_io *io, struct vaio_slot *slot)
{
	if (!io->status)
		this_cpu_inc(slot->stats->completed);
	else if (failed(io->status))
		this_cpu_inc(slot->stats->failed);
	trace_vaio_verdict(io, slot, io->status ? VAIO_FAIL : VAIO_COMPLETE);
}

static enum run run_down(struct vaio_io *io)
{
	const struct vaio_plan *plan = io->plan;
	const struct vaio_hook *hook = &plan->down[io->next];
	const struct vaio_hook *end = &plan->down[plan->nr_down];
	enum vaio_verdict verdict;

	for (; hook < end; hook++) {
		io->next++;
		verdict = hook->fn(hook->slot, io);
		if (likely(verdict == VAIO_PASS))
			continue;
		if (verdict == VAIO_DEFER)
			return RUN_DEFERRED;

		if (verdict == VAIO_COMPLETE)
			io->status = BLK_STS_OK;
		else if (!io->status)
			io->status = BLK_STS_IOERR;
		if (hook->slot)	/* not standby's */
			account_verdict(io, hook->slot);
		io->next = hook->up_from;
		io->flags |= VAIO_IO_UNWINDING;
		return RUN_ENDED;
	}
	io->next = 0;
	return RUN_THROUGH;
}

/* True when the top is reached, false when a slot deferred the io. */
static bool run_up(struct vaio_io *io)
{
	const struct vaio_plan *plan = io->plan;
	const struct vaio_hook *hook = &plan->up[io->next];
	const struct vaio_hook *end = &plan->up[io->up_end];

	for (; hook < end; hook++) {
		io->next++;
		if (unlikely(hook->fn(hook->slot, io) == VAIO_DEFER))
			return false;
	}
	return true;
}

/* The last look at a guest's io before device-mapper ends it. */
static void account_end(struct vaio_io *io)
{
	const struct vaio_plan *plan = io->plan;

	if (unlikely(failed(io->status)))
		this_cpu_inc(plan->stack->stats->failed[io->kind]);
	if (plan->timed)
		this_cpu_inc(plan->stack->stats->hist[vaio_hist_bucket(ktime_get_ns() -
								       io->start_ns)]);
	trace_vaio_complete(io);
}

/* At the top, and device-mapper does not know yet. */
static void io_finish(struct vaio_io *io)
{
	struct bio *clone = io->clone;

	if (io->flags & VAIO_IO_OWN) {
		vaio_own_finish(io);
		return;
	}
	account_end(io);
	io->flags |= VAIO_IO_FINISHED;
	clone->bi_status = io->status;
	bio_endio(clone);
}

/**
 * vaio_io_up - unwind from io->next and end the io
 * @io: the io
 *
 * Any context. The io may be gone on return.
 */
void vaio_io_up(struct vaio_io *io)
{
	io->flags |= VAIO_IO_UNWINDING;
	if (run_up(io))
		io_finish(io);
}

static void substitute_end_io(struct bio *bio)
{
	struct vaio_io *io = bio->bi_private;

	io->status = bio->bi_status;
	vaio_io_up(io);
}

static void own_end_io(struct bio *bio)
{
	struct vaio_io *io = bio->bi_private;

	io->status = bio->bi_status;
	vaio_io_up(io);
}

/* Direct a bio to the backing device. */
static void aim(const struct vaio_stack *stack, struct vaio_io *io, struct bio *bio)
{
	bio_set_dev(bio, stack->bdev);
	bio->bi_iter.bi_sector = stack->start + io->sector;
}

#if IS_ENABLED(CONFIG_KUNIT)
/* Set by a test that stands in for the device. */
void (*vaio_test_send)(struct vaio_io *io);
VAIO_EXPORT_FOR_KUNIT(vaio_test_send);
#endif

static void send(struct vaio_io *io)
{
	if (vaio_test_send)
		vaio_test_send(io);
	else if (io->flags & VAIO_IO_OWN)
		submit_bio_noacct(io->bio);
	else
		dm_submit_bio_remap(io->clone, io->bio == io->clone ? NULL : io->bio);
}

/**
 * vaio_io_submit - the bottom: send what is to go down to the backing device
 * @io: the io
 *
 * Everywhere but in map() with the clone itself. Process context where a bio
 * may be submitted. The io may be gone on return.
 */
void vaio_io_submit(struct vaio_io *io)
{
	const struct vaio_stack *stack = io->plan->stack;
	struct bio *bio = io->bio;
	struct bio *clone = io->clone;

	aim(stack, io, bio);
	if (bio != clone) {
		bio->bi_private = io;
		bio->bi_end_io = substitute_end_io;
		/* charged to whom the clone is charged to, not to a worker; needs the device */
		bio_clone_blkg_association(bio, clone);
	} else if (io->flags & VAIO_IO_OWN) {
		bio->bi_private = io;
		bio->bi_end_io = own_end_io;
	} else {
		/* device-mapper polls only what map() submitted */
		bio->bi_opf &= ~REQ_POLLED;
	}
	send(io);
}

/**
 * vaio_io_down - go on downward from io->next
 * @io: the io
 *
 * Process context where a bio may be submitted. The io may be gone on return.
 */
void vaio_io_down(struct vaio_io *io)
{
	switch (run_down(io)) {
	case RUN_THROUGH:
		vaio_io_submit(io);
		break;
	case RUN_ENDED:
		vaio_io_up(io);
		break;
	case RUN_DEFERRED:
		break;
	}
}

/**
 * vaio_stack_map_hooked - the map() of a request that a slot wants to see
 * @stack: the stack
 * @plan: for this kind of request
 * @clone: device-mapper's clone
 * @io: the io
 *
 * Context: device-mapper's map(). Never sleeps.
 * Return: DM_MAPIO_*.
 */
int vaio_stack_map_hooked(struct vaio_stack *stack, const struct vaio_plan *plan,
			  struct bio *clone, struct vaio_io *io)
{
	vaio_io_init(io, plan, clone);
	clone->bi_private = io;
	this_cpu_inc(stack->stats->count[plan->kind]);
	this_cpu_add(stack->stats->bytes[plan->kind], io->len);
	if (plan->timed)
		io->start_ns = ktime_get_ns();

	switch (run_down(io)) {
	case RUN_THROUGH:
		if (likely(io->bio == clone)) {
			aim(stack, io, clone);
			return DM_MAPIO_REMAPPED;
		}
		vaio_io_submit(io);
		break;
	case RUN_ENDED:
		vaio_io_up(io);
		break;
	case RUN_DEFERRED:
		break;
	}
	return DM_MAPIO_SUBMITTED;
}
EXPORT_SYMBOL_GPL(vaio_stack_map_hooked);

/**
 * vaio_stack_end_io_hooked - the end_io() of a request that a slot wants to see
 * @io: the io
 * @error: of the request; a slot may change it
 *
 * Any context. Return: DM_ENDIO_*.
 */
int vaio_stack_end_io_hooked(struct vaio_io *io, blk_status_t *error)
{
	if (!(io->flags & VAIO_IO_FINISHED)) {
		io->flags |= VAIO_IO_UNWINDING;
		io->status = *error;
		if (!run_up(io))
			return DM_ENDIO_INCOMPLETE;
		account_end(io);
	}
	*error = io->status;
	return unlikely(io->status == BLK_STS_DM_REQUEUE) ? DM_ENDIO_REQUEUE : DM_ENDIO_DONE;
}
EXPORT_SYMBOL_GPL(vaio_stack_end_io_hooked);

/* --- deferral -------------------------------------------------------------- */

int vaio_io_defer(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why)
{
	/* io_uring sends it again only if told so before its submission returns */
	if (unlikely(io->status == BLK_STS_AGAIN))
		return -EBUSY;
	if (why != VAIO_ASYNC && !(io->flags & VAIO_IO_UNWINDING) &&
	    (io->clone->bi_opf & REQ_NOWAIT)) {
		io->status = BLK_STS_AGAIN;
		return -EAGAIN;
	}
	if (why == VAIO_PACED) {
		if (READ_ONCE(slot->quiesced))
			return -EBUSY;
		atomic_inc(&slot->paced);
	}
	io->owner = slot;
	io->defer = why;
	io->defer_ns = ktime_get_ns();
	atomic_inc(&slot->parked);
	this_cpu_inc(slot->stats->deferred);
	trace_vaio_verdict(io, slot, VAIO_DEFER);
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_io_defer);

/* The owner gives the io back. */
static void undefer(struct vaio_io *io)
{
	struct vaio_slot *slot = io->owner;

	this_cpu_inc(slot->stats->defer_hist[vaio_hist_bucket(ktime_get_ns() - io->defer_ns)]);
	io->owner = NULL;
	if (io->defer == VAIO_PACED)
		atomic_dec(&slot->paced);
	atomic_dec(&slot->parked);
}

static void down_work(struct work_struct *work)
{
	vaio_io_down(container_of(work, struct vaio_io, work));
}

/*
 * Submitting may sleep. A bio's end_io, from where ios are often continued, may
 * run in a task and yet inside a driver's dispatch or polling, which hold the RCU
 * read lock: where that cannot be seen (preemptible() is then 0), the queue does
 * it. Bios submitted from inside another submission would wait on its list,
 * perhaps for the very one that they were to go before.
 */
static bool may_submit(void)
{
	return preemptible() && !rcu_preempt_depth() && !current->bio_list;
}

void vaio_io_continue(struct vaio_io *io)
{
	undefer(io);
	if (io->flags & VAIO_IO_UNWINDING) {
		vaio_io_up(io);
		return;
	}
	/* nobody who asked not to wait is left to be told to try again */
	io->clone->bi_opf &= ~REQ_NOWAIT;
	io->bio->bi_opf &= ~REQ_NOWAIT;
	if (may_submit()) {
		vaio_io_down(io);
		return;
	}
	INIT_WORK(&io->work, down_work);
	queue_work(io->plan->stack->disk->wq, &io->work);
}
EXPORT_SYMBOL_GPL(vaio_io_continue);

void vaio_io_end(struct vaio_io *io, blk_status_t status)
{
	struct vaio_slot *slot = io->owner;

	undefer(io);
	io->status = status;
	if (!(io->flags & VAIO_IO_UNWINDING)) {
		io->next = io->plan->down[io->next - 1].up_from;
		account_verdict(io, slot);
	}
	vaio_io_up(io);
}
EXPORT_SYMBOL_GPL(vaio_io_end);

void vaio_io_requeue(struct vaio_io *io)
{
	vaio_io_end(io, BLK_STS_DM_REQUEUE);
}
EXPORT_SYMBOL_GPL(vaio_io_requeue);
