/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of the data path that every io runs through, for device-mapper's
 * map() and end_io() to have inline. What is rare is in io.c.
 *
 * Here an instruction more is felt: the bench counts them. So a stack touches as
 * little as it can, and the two loops have one test for each hook.
 */
#ifndef _VAIO_PATH_H
#define _VAIO_PATH_H

#include <linux/device-mapper.h>
#include <linux/percpu.h>
#include <linux/tracepoint-defs.h>
#include "core.h"

DECLARE_TRACEPOINT(vaio_complete);

/**
 * vaio_stack_pass - map() of a request that no slot wants to see
 *
 * This, and finding out in vaio_stack_end_io(), is all that an idle stack costs.
 * Return: DM_MAPIO_REMAPPED.
 */
static inline int vaio_stack_pass(const struct vaio_stack *stack, struct bio *clone)
{
	bio_set_dev(clone, stack->bdev);
	clone->bi_iter.bi_sector += stack->start;
	return DM_MAPIO_REMAPPED;
}

/**
 * vaio_io_init - begin an io
 * @io: to be filled in
 * @plan: not NULL
 * @clone: device-mapper's, or an own bio; its sector counts from the disk's start
 * @len: of it, bytes
 */
static inline void vaio_io_init(struct vaio_io *io, const struct vaio_plan *plan,
				struct bio *clone, unsigned int len)
{
	io->plan = plan;
	io->bio = clone;
	io->clone = clone;
	io->sector = clone->bi_iter.bi_sector;
	io->len = len;
	io->word = plan->io_word;
}

/**
 * vaio_stack_map_hooked - map() of a request that a slot wants to see
 * @plan: for this kind of request
 * @clone: device-mapper's clone
 * @io: the io
 *
 * Context: device-mapper's map(). Never sleeps.
 * Return: DM_MAPIO_*.
 */
static inline int vaio_stack_map_hooked(const struct vaio_plan *plan, struct bio *clone,
					struct vaio_io *io)
{
	struct vaio_kind_stats __percpu *stats;
	unsigned int len = clone->bi_iter.bi_size;
	const struct vaio_hook *hook;
	unsigned int answer;

	if (unlikely(len > plan->max_bytes)) {
		if (!vaio_stack_take_part(plan, clone))
			return DM_MAPIO_SUBMITTED;
		len = clone->bi_iter.bi_size;
	}
	vaio_io_init(io, plan, clone, len);
	clone->bi_private = io;
	stats = plan->stats;
	this_cpu_inc(stats->count);
	this_cpu_add(stats->bytes, len);

	/* After VAIO_DEFER the io may be gone, but not the plan: we are in map(). */
	hook = plan->down - 1;
	do {
		hook++;
		answer = hook->fn(hook->slot, io) | hook->last;
	} while (!answer);

	if (unlikely(answer != VAIO_LAST_HOOK) || unlikely(io->bio != clone))
		return vaio_stack_map_rest(io, hook, answer);
	/* not in a register all the time: one less to save and to restore */
	return vaio_stack_pass(io->plan->stack, clone);
}

/**
 * vaio_stack_end_io - end_io() of the device-mapper target
 * @stack: the stack
 * @clone: device-mapper's clone
 * @error: of the request; a slot may change it
 *
 * device-mapper leaves bi_private of a clone to its target: it is NULL, or the
 * io of a request that is still to meet hooks.
 *
 * Any context. Return: DM_ENDIO_*.
 */
static inline int vaio_stack_end_io(struct vaio_stack *stack, struct bio *clone,
				    blk_status_t *error)
{
	struct vaio_io *io = clone->bi_private;
	const struct vaio_hook *hook;
	unsigned int answer, last;

	if (unlikely((__force u8)*error | READ_ONCE(stack->no_space)))
		return vaio_stack_end_io_failed(stack, clone, error);
	if (!io)
		return DM_ENDIO_DONE;

	io->status = BLK_STS_OK;
	io->flags |= VAIO_IO_UNWINDING;
	hook = io->plan->up;
	do {
		/* Read before: after VAIO_DEFER the io may be gone, and then the plan. */
		last = READ_ONCE(hook->last);
		answer = hook->fn(hook->slot, io) | last;
		hook++;
	} while (!answer);

	if (unlikely(answer != VAIO_LAST_HOOK) || unlikely(io->status))
		return vaio_stack_end_io_rest(io, hook, answer, error);
	if (tracepoint_enabled(vaio_complete))
		vaio_stack_trace_complete(io);
	return DM_ENDIO_DONE;
}

#endif /* _VAIO_PATH_H */
