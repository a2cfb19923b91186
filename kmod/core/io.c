// SPDX-License-Identifier: GPL-2.0
/*
 * The data path: one io down the hooks of its plan and up again.
 *
 *            map()                       worker
 *              |                            |
 *   vaio_io_init, the hooks <--- vaio_io_continue (deferred on the way down)
 *      |            |   \
 *      |            |    DEFER: the slot owns the io
 *      |            COMPLETE, FAIL: unwind from the slots above
 *   bottom: the clone or its substitute goes to the backing device
 *      |
 *   end_io, the hooks <--------- vaio_io_continue, vaio_io_end (on the way up)
 *      |
 *   finish: device-mapper ends the clone; an own bio goes to its filter
 *
 * Both directions are loops over an array. An io of the guest's begins and ends
 * in path.h, in the loops that run from the first hook to the last; here are
 * those that begin or end in between.
 *
 * Whoever defers may continue the io from another CPU before its hook has
 * returned, so nothing touches an io after a hook that answered VAIO_DEFER.
 * vaio_io_defer() has noted in io->next where it goes on.
 */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/device-mapper.h>
#include <linux/ktime.h>
#include "path.h"
#include "trace.h"

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

/* --- hooks of the framework's own ------------------------------------------ */

/* For a direction that no slot asked for. */
enum vaio_verdict vaio_hook_pass(struct vaio_slot *slot, struct vaio_io *io)
{
	return VAIO_PASS;
}

/* The first and the last hook of a timed plan. */
enum vaio_verdict vaio_hook_begin_time(struct vaio_slot *slot, struct vaio_io *io)
{
	io->start_ns = ktime_get_ns();
	return VAIO_PASS;
}

enum vaio_verdict vaio_hook_end_time(struct vaio_slot *slot, struct vaio_io *io)
{
	u64 ns = ktime_get_ns() - io->start_ns;

	this_cpu_inc(io->plan->stack->stats->hist[vaio_hist_bucket(ns)]);
	return VAIO_PASS;
}

/* --- up --------------------------------------------------------------------- */

/* True when the top is reached, false when a slot deferred the io. */
static bool run_up(struct vaio_io *io, unsigned int from)
{
	const struct vaio_plan *plan = io->plan;
	const struct vaio_hook *hook = &plan->up[from];
	const struct vaio_hook *end = &plan->up[io->up_end];

	for (; hook < end; hook++)
		if (unlikely(hook->fn(hook->slot, io) == VAIO_DEFER))
			return false;
	return true;
}

/* The last look at a guest's io before device-mapper ends it. */
static void account_end(struct vaio_io *io)
{
	if (unlikely(failed(io->status)))
		this_cpu_inc(io->plan->stats->failed);
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
	/* end_io() has nothing to do any more */
	clone->bi_private = NULL;
	clone->bi_status = io->status;
	bio_endio(clone);
}

/**
 * vaio_io_up - unwind and end the io
 * @io: the io
 * @from: index of the upward hook to begin with
 *
 * Any context. The io may be gone on return.
 */
void vaio_io_up(struct vaio_io *io, unsigned int from)
{
	io->flags |= VAIO_IO_UNWINDING;
	if (run_up(io, from))
		io_finish(io);
}

/* device-mapper has a word of its own for a request that it is to requeue */
static int dm_answer(blk_status_t error)
{
	return unlikely(error == BLK_STS_DM_REQUEUE) ? DM_ENDIO_REQUEUE : DM_ENDIO_DONE;
}

/* Go on upward in end_io(). */
static int end_io_from(struct vaio_io *io, unsigned int from, blk_status_t *error)
{
	if (!run_up(io, from))
		return DM_ENDIO_INCOMPLETE;
	account_end(io);
	*error = io->status;
	return dm_answer(io->status);
}

/**
 * vaio_stack_end_io_rest - end_io() when the hooks did something
 * @io: the io; gone if the answer was VAIO_DEFER
 * @hook: behind the upward hook that ran last; likewise
 * @answer: its verdict, or VAIO_LAST_HOOK if it was the last
 * @error: of the request; gets io->status
 *
 * Any context. Return: DM_ENDIO_*.
 */
int vaio_stack_end_io_rest(struct vaio_io *io, const struct vaio_hook *hook, unsigned int answer,
			   blk_status_t *error)
{
	if ((answer & ~VAIO_LAST_HOOK) == VAIO_DEFER)
		return DM_ENDIO_INCOMPLETE;
	return end_io_from(io, hook - io->plan->up, error);
}
EXPORT_SYMBOL_GPL(vaio_stack_end_io_rest);

/**
 * vaio_stack_end_io_failed - end_io() of a request that failed, or without space
 * @stack: the stack
 * @clone: device-mapper's clone
 * @error: of the request; a slot may change it
 *
 * Any context. Return: DM_ENDIO_*.
 */
int vaio_stack_end_io_failed(struct vaio_stack *stack, struct bio *clone, blk_status_t *error)
{
	struct vaio_io *io = clone->bi_private;

	vaio_space_note(stack, clone, *error);
	if (!io)
		return dm_answer(*error);
	io->status = *error;
	io->flags |= VAIO_IO_UNWINDING;
	return end_io_from(io, 0, error);
}
EXPORT_SYMBOL_GPL(vaio_stack_end_io_failed);

/* Only called when somebody traces. */
void vaio_stack_trace_complete(const struct vaio_io *io)
{
	trace_vaio_complete(io);
}
EXPORT_SYMBOL_GPL(vaio_stack_trace_complete);
EXPORT_TRACEPOINT_SYMBOL_GPL(vaio_complete);

/* --- down ------------------------------------------------------------------- */

static void substitute_end_io(struct bio *bio)
{
	struct vaio_io *io = bio->bi_private;

	io->status = bio->bi_status;
	vaio_io_up(io, 0);
}

static void own_end_io(struct bio *bio)
{
	struct vaio_io *io = bio->bi_private;

	io->status = bio->bi_status;
	vaio_io_up(io, 0);
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

	bio_set_dev(bio, stack->bdev);
	bio->bi_iter.bi_sector = stack->start + io->sector;
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

/* What follows from the last answer on the way down. The io may be gone on return. */
static void act_on(struct vaio_io *io, const struct vaio_hook *hook, enum vaio_verdict verdict)
{
	switch (verdict) {
	case VAIO_DEFER:
		return;
	case VAIO_PASS:
		vaio_io_submit(io);
		return;
	case VAIO_COMPLETE:
		io->status = BLK_STS_OK;
		break;
	default:
		if (!io->status)
			io->status = BLK_STS_IOERR;
	}
	if (hook->slot)	/* not standby's */
		account_verdict(io, hook->slot);
	vaio_io_up(io, hook->up_from);
}

/**
 * vaio_io_down - go on downward
 * @io: the io
 * @from: index of the downward hook to begin with
 *
 * Process context where a bio may be submitted. The io may be gone on return.
 */
void vaio_io_down(struct vaio_io *io, unsigned int from)
{
	const struct vaio_plan *plan = io->plan;
	const struct vaio_hook *hook = &plan->down[from];
	const struct vaio_hook *end = &plan->down[plan->nr_down];
	enum vaio_verdict verdict = VAIO_PASS;

	for (; hook < end; hook++) {
		verdict = hook->fn(hook->slot, io);
		if (unlikely(verdict != VAIO_PASS))
			break;
	}
	act_on(io, hook, verdict);
}

/**
 * vaio_stack_take_part - map() of a request that is larger than a slot takes
 * @plan: what the slots take
 * @clone: device-mapper's clone
 *
 * ti->max_io_len would have device-mapper split it also when the submitter asked
 * not to wait: a part that cannot go at once then ends all of it with EAGAIN, at a
 * time and in a context where io_uring can no longer take it back (before 6.14),
 * and the guest sees the error. The block layer's own rule is the better one: not
 * split, but refused whole and at once; the submitter sends it again from where it
 * may wait.
 *
 * Context: device-mapper's map(). Return: true when @clone is now the first part,
 * false when it was refused.
 */
bool vaio_stack_take_part(const struct vaio_plan *plan, struct bio *clone)
{
	if (clone->bi_opf & REQ_NOWAIT) {
		bio_wouldblock_error(clone);
		return false;
	}
	dm_accept_partial_bio(clone, plan->max_bytes >> SECTOR_SHIFT);
	return true;
}
EXPORT_SYMBOL_GPL(vaio_stack_take_part);

/**
 * vaio_stack_map_rest - map() when the hooks did something
 * @io: the io; gone if the answer was VAIO_DEFER
 * @hook: the downward hook that ran last
 * @answer: its verdict, or VAIO_LAST_HOOK if it was the last
 *
 * Context: device-mapper's map(). Return: DM_MAPIO_SUBMITTED.
 */
int vaio_stack_map_rest(struct vaio_io *io, const struct vaio_hook *hook, unsigned int answer)
{
	act_on(io, hook, answer & ~VAIO_LAST_HOOK);
	return DM_MAPIO_SUBMITTED;
}
EXPORT_SYMBOL_GPL(vaio_stack_map_rest);

/* --- deferral -------------------------------------------------------------- */

/* @next: where the io goes on behind the slot's hook that is running */
static int defer(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why, u8 next)
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
	/*
	 * Own I/O that serves it is charged to whoever submits it now: a clone has
	 * no cgroup until it gets its device. The clone itself gets the right one
	 * from dm_submit_bio_remap().
	 */
	if (!(io->flags & VAIO_IO_UNWINDING))
		bio_associate_blkg(io->clone);
	io->next = next;
	io->owner = slot;
	io->defer = why;
	io->defer_ns = ktime_get_ns();
	atomic_inc(&slot->parked);
	this_cpu_inc(slot->stats->deferred);
	trace_vaio_verdict(io, slot, VAIO_DEFER);
	return 0;
}

int vaio_io_defer(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why)
{
	const struct vaio_plan *plan = io->plan;
	enum vaio_class class = slot->filter->class;

	return defer(slot, io, why, io->flags & VAIO_IO_UNWINDING ?
		     plan->after_complete[class] : plan->after_submit[class]);
}
EXPORT_SYMBOL_GPL(vaio_io_defer);

int vaio_io_defer_enter(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why)
{
	return defer(slot, io, why, io->plan->after_enter[slot->filter->class]);
}
EXPORT_SYMBOL_GPL(vaio_io_defer_enter);

int vaio_io_defer_again(struct vaio_io *io, enum vaio_defer why)
{
	struct vaio_slot *slot = io->owner;

	if (why == io->defer)
		return 0;
	if (why == VAIO_PACED) {
		if (READ_ONCE(slot->quiesced))
			return -EBUSY;
		atomic_inc(&slot->paced);
	}
	if (io->defer == VAIO_PACED)
		atomic_dec(&slot->paced);
	io->defer = why;
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_io_defer_again);

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
	struct vaio_io *io = container_of(work, struct vaio_io, work);

	vaio_io_down(io, io->next);
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
		vaio_io_up(io, io->next);
		return;
	}
	/* nobody who asked not to wait is left to be told to try again */
	io->clone->bi_opf &= ~REQ_NOWAIT;
	io->bio->bi_opf &= ~REQ_NOWAIT;
	if (may_submit()) {
		vaio_io_down(io, io->next);
		return;
	}
	INIT_WORK(&io->work, down_work);
	queue_work(io->plan->stack->disk->wq, &io->work);
}
EXPORT_SYMBOL_GPL(vaio_io_continue);

void vaio_io_end(struct vaio_io *io, blk_status_t status)
{
	struct vaio_slot *slot = io->owner;
	unsigned int from = io->next;

	undefer(io);
	io->status = status;
	if (!(io->flags & VAIO_IO_UNWINDING)) {
		from = io->plan->down[from - 1].up_from;
		account_verdict(io, slot);
	}
	vaio_io_up(io, from);
}
EXPORT_SYMBOL_GPL(vaio_io_end);

void vaio_io_requeue(struct vaio_io *io)
{
	vaio_io_end(io, BLK_STS_DM_REQUEUE);
}
EXPORT_SYMBOL_GPL(vaio_io_requeue);
