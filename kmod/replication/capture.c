// SPDX-License-Identifier: GPL-2.0
/*
 * The way of a write, a discard, a write of zeroes.
 *
 *   down   lock the range		waits for overlapping requests
 *	    count it in its extents	waits until a cold one is durably noted
 *	    take a record		or: note it as dirty, and that we are alone
 *	    copy the payload, let the copy go down
 *   up     unlock, uncount
 *	    the record is done, or VOID	becomes visible with all before it
 *	    sync: wait for the replica
 *
 * The steps on the way down run in submit() as long as none waits; a request
 * that waited goes on in its disk's worker, from the step where it stopped.
 * Whatever it waits for, it is on one list, and all it needs is in its own state.
 *
 * The bench counts the instructions of a write that has to wait for nothing. So
 * its way is one inline function down and one up, each with one stretch under
 * the disk's lock and one under the group's; what else may happen is in
 * functions beside it.
 */
#include <linux/bio.h>
#include <linux/ktime.h>
#include "repl.h"

static struct repl_io *io_of(const struct vaio_slot *slot, struct vaio_io *io)
{
	return vaio_io_state(slot, io);
}

static u64 sectors_of(const struct repl_io *r)
{
	return r->range.last - r->range.first + 1;
}

static bool has_payload(const struct repl_io *r)
{
	return r->io->kind == VAIO_KIND_WRITE || r->io->kind == VAIO_KIND_WRITE_FUA;
}

/* --- waiting ----------------------------------------------------------------- */

/*
 * It will wait. Under the lock of the list it goes on. 0; -EAGAIN: its submitter
 * does not want it to wait; -EBUSY: no waiting for the replica any more.
 */
static int park(struct repl_io *r, enum vaio_defer why)
{
	int err;

	if (r->deferred)
		return vaio_io_defer_again(r->io, why);
	err = vaio_io_defer(r->m->slot, r->io, why);
	r->deferred = !err;
	return err;
}

void repl_resume(struct repl_member *m, struct repl_io *r)
{
	list_add_tail(&r->range.entry, &m->resume);
	queue_work(vaio_disk_wq(m->slot->disk), &m->resume_work);
}

void repl_resume_all(struct repl_member *m, struct list_head *list)
{
	if (list_empty(list))
		return;
	list_splice_tail_init(list, &m->resume);
	queue_work(vaio_disk_wq(m->slot->disk), &m->resume_work);
}

/**
 * repl_grant_next - a range is left that others may have waited for
 * @m: its disk; locked
 * @range: for which overlap_leave() returned true
 */
noinline void repl_grant_next(struct repl_member *m, const struct repl_range *range)
{
	struct repl_range *pos, *next;
	LIST_HEAD(granted);

	overlap_grant(&m->overlap, range, &granted);
	list_for_each_entry_safe(pos, next, &granted, entry) {
		list_del(&pos->entry);
		if (pos->resync)
			repl_resync_granted(container_of(pos, struct repl_op, range));
		else
			repl_resume(m, container_of(pos, struct repl_io, range));
	}
}

/* Gives back the range and the extents; the member is locked. */
static __always_inline void let_go_locked(struct repl_member *m, struct repl_io *r, u64 seq)
{
	if (likely(r->intent))
		intent_leave(&m->intent, r->range.first, sectors_of(r), seq);
	if (unlikely(overlap_leave(&m->overlap, &r->range)))
		repl_grant_next(m, &r->range);
}

static void let_go(struct repl_io *r)
{
	unsigned long flags;

	spin_lock_irqsave(&r->m->lock, flags);
	let_go_locked(r->m, r, 0);
	spin_unlock_irqrestore(&r->m->lock, flags);
}

/* It does not go down. */
static enum vaio_verdict refuse(struct repl_io *r, blk_status_t status)
{
	struct vaio_io *io = r->io;
	bool deferred = r->deferred;

	let_go(r);
	if (deferred) {
		vaio_io_end(io, status);
		return VAIO_DEFER;
	}
	io->status = status;
	return VAIO_FAIL;
}

/**
 * repl_end - a write that waited for the replica or the agent is ended
 * @r: taken off its list
 * @requeue: device-mapper gets it back; only from quiesce()
 */
void repl_end(struct repl_io *r, bool requeue)
{
	struct vaio_io *io = r->io;

	if (!(io->flags & VAIO_IO_UNWINDING))
		let_go(r);
	if (requeue)
		vaio_io_requeue(io);
	else
		vaio_io_end(io, BLK_STS_IOERR);
}

/* --- the record --------------------------------------------------------------- */

static u8 record_type(const struct vaio_io *io)
{
	switch (io->kind) {
	case VAIO_KIND_WRITE_ZEROES:
		return VAIO_REPL_ZEROES;
	case VAIO_KIND_DISCARD:
	case VAIO_KIND_SECURE_ERASE:
		return VAIO_REPL_DISCARD;
	default:
		return VAIO_REPL_WRITE;
	}
}

/* A record for it. The group is locked. 0 or -ENOSPC. */
static __always_inline int take_record(struct repl_group *g, struct repl_member *m,
				       struct repl_io *r)
{
	const struct vaio_io *io = r->io;
	u32 len = has_payload(r) ? io->len : 0;

	/* who waits already goes first */
	if (unlikely(!list_empty(&g->stalled)) && !r->since_ns)
		return -ENOSPC;
	/* it fails before it gives out a sequence */
	if (unlikely(ring_append(&g->ring, record_type(io), len, m->align, &r->seq, &r->data)))
		return -ENOSPC;
	repl_fill_record(g, r->seq, m->id, r->range.first, io->len >> SECTOR_SHIFT, r->data, len, 0,
			 io->kind == VAIO_KIND_WRITE_FUA ? VAIO_REPL_F_FUA : 0);
	m->captured++;
	return 0;
}

/* How far it came on its way down. */
enum outcome {
	OUT_GO,
	OUT_WAIT,	/* it is on a list and may be gone */
	OUT_FAIL,
	OUT_AGAIN,	/* the submitter did not want to wait */
	OUT_REQUEUE,	/* device-mapper keeps it until the disk is resumed */
	OUT_OUTSIDE,	/* it did not want to wait even for its range, and has none */
};

/*
 * It goes down without the replica knowing: its blocks are dirty, and that the
 * disk is alone is durable before it goes. Member locked, group too if there is one.
 */
static enum outcome go_alone(struct repl_io *r, bool in_group)
{
	struct repl_member *m = r->m;
	int err;

	repl_mark_lacking(m, r->range.first, sectors_of(r));
	if (!in_group || m->alone_is)
		return OUT_GO;
	err = park(r, VAIO_ORDERED);
	if (err)
		return OUT_AGAIN;
	r->step = REPL_STEP_GO;
	list_add_tail(&r->range.entry, &m->alone_wait);
	repl_want_alone(m, true);
	return OUT_WAIT;
}

/*
 * It waits for room, or for the agent. The group is locked. While the disk is being
 * suspended that is bounded (loss.c), and without an agent not worth it: OUT_FAIL.
 * A noflush suspend loses nothing by waiting until it is over.
 */
static enum outcome stall(struct repl_group *g, struct repl_io *r)
{
	int err = park(r, VAIO_PACED);

	if (err == -EBUSY && READ_ONCE(r->m->noflush) && !repl_tracks(g))
		return OUT_REQUEUE;
	if (err == -EBUSY && g->agent && !READ_ONCE(r->m->no_wait))
		err = park(r, VAIO_ORDERED);
	if (err)
		return err == -EAGAIN ? OUT_AGAIN : OUT_FAIL;
	if (!r->since_ns) {
		r->since_ns = ktime_get_ns();
		g->counters.stalls++;
	}
	r->step = REPL_STEP_APPEND;
	list_add_tail(&r->range.entry, &g->stalled);
	repl_watch(g);
	return OUT_WAIT;
}

/* It gets no record. The group is locked. */
static noinline enum outcome without_record(struct repl_group *g, struct repl_io *r)
{
	struct repl_member *m = r->m;
	enum repl_fate fate;
	enum outcome out;

	if (m->leaving) {
		spin_lock(&m->lock);
		out = go_alone(r, false);
		spin_unlock(&m->lock);
		return out;
	}
	fate = m->capturing ? repl_no_room(g, m) : repl_not_captured(g, m);
	if (fate == REPL_FATE_WAIT) {
		out = stall(g, r);
		if (out != OUT_FAIL)
			return out;
		fate = repl_fate_now(g);
	}
	if (fate == REPL_FATE_FAIL)
		return OUT_FAIL;
	g->counters.alone++;
	spin_lock(&m->lock);
	out = go_alone(r, true);
	spin_unlock(&m->lock);
	return out;
}

/* --- the copy ------------------------------------------------------------------ */

/* Into the ring; then the copy goes down in the guest's place. */
static __always_inline void exchange(struct repl_group *g, struct repl_io *r)
{
	struct vaio_io *io = r->io;
	u8 *to = repl_group_data(g, r->data);
	struct bvec_iter iter;
	struct bio_vec bv;
	unsigned int offset;
	struct page *page;

	bio_for_each_segment(bv, io->bio, iter) {
		memcpy_from_bvec(to, &bv);
		to += bv.bv_len;
	}
	page = repl_group_page(g, r->data, &offset);
	bvec_set_page(&r->vec, page, io->len, offset);
	vaio_io_exchange_payload(io, &r->vec, &r->guest);
	io->flags |= VAIO_IO_STABLE;
}

/* In sync mode the agent may send it from now on; in async mode when it is done here. */
static noinline void ready_early(struct repl_group *g, struct repl_io *r)
{
	unsigned long flags;
	u64 before;

	spin_lock_irqsave(&g->lock, flags);
	before = g->ring.published;
	if (ring_ready(&g->ring, r->seq))
		repl_published(g, before);
	spin_unlock_irqrestore(&g->lock, flags);
}

/* --- the way down --------------------------------------------------------------- */

/* Its range is not granted. The member is locked. */
static noinline enum outcome wait_for_range(struct repl_io *r)
{
	struct repl_member *m = r->m;

	if (park(r, VAIO_ORDERED)) {
		/* nothing came after it */
		overlap_leave(&m->overlap, &r->range);
		return OUT_OUTSIDE;
	}
	r->step = REPL_STEP_INTENT;
	return OUT_WAIT;
}

/* Its extents are not all hot, or more than one. The member is locked. */
static noinline enum outcome warm_extents(struct repl_io *r)
{
	struct repl_member *m = r->m;
	int cold;

	/* a wide one that waits for slots is not to be overtaken for ever */
	cold = list_empty(&m->cap_wait) || intent_warm(&m->intent, r->range.first, sectors_of(r)) ?
	       intent_enter(&m->intent, r->range.first, sectors_of(r)) : -ENOSPC;
	r->intent = cold >= 0;
	if (!cold)
		return OUT_GO;
	/* also if it does not wait: an extent that is not noted would never turn cold */
	if (cold > 0)
		queue_work(vaio_disk_wq(m->slot->disk), &m->intent_work);
	if (park(r, VAIO_ORDERED))
		return OUT_AGAIN;
	if (cold > 0) {
		/* when it is resumed its extents are hot */
		r->step = REPL_STEP_APPEND;
		list_add_tail(&r->range.entry, &m->intent_wait);
	} else {
		r->step = REPL_STEP_INTENT;
		list_add_tail(&r->range.entry, &m->cap_wait);
		mod_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, 0);
	}
	return OUT_WAIT;
}

/* What needs the member's lock only. */
static __always_inline enum outcome on_disk(struct repl_member *m, struct repl_io *r,
					    enum repl_step step)
{
	if (step == REPL_STEP_RANGE && unlikely(!overlap_enter(&m->overlap, &r->range)))
		return wait_for_range(r);
	if (step <= REPL_STEP_INTENT && likely(m->durable)) {
		if (unlikely(!intent_enter_hot(&m->intent, r->range.first, sectors_of(r))))
			return warm_extents(r);
		r->intent = true;
	}
	return OUT_GO;
}

/* From @step to the record. */
static __always_inline enum outcome go_on(struct repl_member *m, struct repl_io *r,
					  enum repl_step step)
{
	enum outcome out;
	struct repl_group *g;
	unsigned long flags;

	spin_lock_irqsave(&m->lock, flags);
	out = on_disk(m, r, step);
	if (unlikely(out != OUT_GO))
		goto out_member;
	/* a disk may join or leave its group between the look and the lock */
	while (likely((g = repl_group_get(m)))) {
		spin_unlock(&m->lock);
		spin_lock(&g->lock);
		if (likely(rcu_access_pointer(m->group) == g)) {
			if (unlikely(!m->capturing) || unlikely(take_record(g, m, r)))
				out = without_record(g, r);
			spin_unlock_irqrestore(&g->lock, flags);
			repl_group_drop();
			return out;
		}
		spin_unlock(&g->lock);
		repl_group_drop();
		spin_lock(&m->lock);
	}
	out = go_alone(r, false);
out_member:
	spin_unlock_irqrestore(&m->lock, flags);
	return out;
}

/* It does not go on now. */
static noinline enum vaio_verdict stopped(struct repl_io *r, enum outcome out)
{
	switch (out) {
	case OUT_FAIL:
		return refuse(r, BLK_STS_IOERR);
	case OUT_AGAIN:
		return refuse(r, BLK_STS_AGAIN);
	case OUT_REQUEUE:
		return refuse(r, BLK_STS_DM_REQUEUE);
	case OUT_OUTSIDE:
		return VAIO_FAIL;
	default:
		return VAIO_DEFER;
	}
}

static __always_inline enum vaio_verdict steps(struct repl_member *m, struct repl_io *r,
					       enum repl_step step)
{
	enum outcome out = OUT_GO;
	struct repl_group *g;

	if (step != REPL_STEP_GO)
		out = go_on(m, r, step);
	if (unlikely(out != OUT_GO))
		return stopped(r, out);
	if (likely(r->seq)) {
		g = rcu_dereference_protected(m->group, true /* captured */);
		if (likely(has_payload(r)))
			exchange(g, r);
		if (unlikely(READ_ONCE(g->props.sync)))
			ready_early(g, r);
	}
	if (likely(!r->deferred))
		return VAIO_PASS;
	r->deferred = false;
	vaio_io_continue(r->io);
	return VAIO_DEFER;
}

enum vaio_verdict repl_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct repl_member *m = slot->priv;
	struct repl_io *r = io_of(slot, io);

	r->m = m;
	r->io = io;
	r->seq = 0;
	r->since_ns = 0;
	r->deferred = false;
	r->intent = false;
	r->guest.vecs = NULL;
	r->range.first = io->sector;
	r->range.last = io->sector + (io->len >> SECTOR_SHIFT) - 1;
	r->range.resync = false;
	return steps(m, r, REPL_STEP_RANGE);
}

/* Requests that waited go on, down or up. */
void repl_resume_work(struct work_struct *work)
{
	struct repl_member *m = container_of(work, struct repl_member, resume_work);
	struct repl_io *r;

	for (;;) {
		spin_lock_irq(&m->lock);
		r = list_first_entry_or_null(&m->resume, struct repl_io, range.entry);
		if (r)
			list_del(&r->range.entry);
		spin_unlock_irq(&m->lock);
		if (!r)
			return;
		if (r->io->flags & VAIO_IO_UNWINDING)
			vaio_io_continue(r->io);
		else
			steps(m, r, r->step);
	}
}

/* --- the way up ------------------------------------------------------------------ */

static void record_failed(struct repl_group *g, u64 seq)
{
	g->counters.voids++;
	ring_void(&g->ring, seq);
	repl_update_state(g);
}

/*
 * It is written, and its record is not all that there is to it: it was given up, or
 * the mode is sync. Returns true when it waits; it may be gone then. The group is locked.
 */
static noinline bool wait_for_more(struct repl_group *g, struct repl_io *r)
{
	struct repl_member *m = r->m;
	bool given_up = r->seq <= g->ring.abandoned, wait = false;

	if (given_up && g->props.sync && !repl_tracks(g) &&
	    g->state != VAIO_REPL_S_REPLICATING && !m->leaving) {
		wait = !park(r, VAIO_PACED) || !park(r, VAIO_ORDERED);
		if (wait) {
			if (!r->since_ns)
				r->since_ns = ktime_get_ns();
			repl_hold(g, r);
		}
	} else if (given_up) {
		spin_lock(&m->lock);
		if (!m->alone_is && !park(r, VAIO_ORDERED)) {
			list_add_tail(&r->range.entry, &m->alone_wait);
			repl_want_alone(m, true);
			wait = true;
		}
		spin_unlock(&m->lock);
	} else if (g->props.sync && r->seq > g->ring.durable && !m->leaving) {
		/* while the disk is being suspended the wait is bounded all the same */
		if (!park(r, VAIO_PACED) || !park(r, VAIO_ORDERED)) {
			/* with what it waited for room already */
			if (!r->since_ns)
				r->since_ns = ktime_get_ns();
			ring_rec(&g->ring, r->seq)->waiter = r;
			g->waiters++;
			repl_watch(g);
			/* it is captured until it is acknowledged */
			return true;
		}
	}
	repl_uncapture(m);
	return wait;
}

/* The record's part is over. Returns true when the write waits; it may be gone then. */
static __always_inline bool finish_record(struct repl_group *g, struct repl_io *r,
					  blk_status_t status)
{
	u64 seq = r->seq, before = g->ring.published;

	if (unlikely(status))
		record_failed(g, seq);
	ring_local_done(&g->ring, seq);
	if (ring_ready(&g->ring, seq))
		repl_published(g, before);
	if (unlikely(ring_retire(&g->ring)))
		repl_room(g);
	if (unlikely(seq <= g->ring.abandoned || g->props.sync) && !status)
		return wait_for_more(g, r);
	repl_uncapture(r->m);
	return false;
}

/* It failed here. Before its extents may turn cold: the replica may have it already. */
static noinline void failed_here(struct repl_io *r)
{
	struct repl_member *m = r->m;
	unsigned long flags;

	spin_lock_irqsave(&m->lock, flags);
	repl_mark_lacking(m, r->range.first, sectors_of(r));
	spin_unlock_irqrestore(&m->lock, flags);
	repl_resync_kick(m);
}

enum vaio_verdict repl_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct repl_io *r = io_of(slot, io);
	struct repl_member *m = r->m;
	blk_status_t status = io->status;
	struct repl_group *g;
	unsigned long flags;
	bool wait;

	if (likely(r->guest.vecs))
		vaio_io_restore_payload(io, &r->guest);
	if (unlikely(status))
		failed_here(r);
	spin_lock_irqsave(&m->lock, flags);
	let_go_locked(m, r, r->seq);
	if (unlikely(!r->seq)) {
		spin_unlock_irqrestore(&m->lock, flags);
		return VAIO_PASS;
	}
	spin_unlock(&m->lock);
	g = rcu_dereference_protected(m->group, true /* captured */);
	spin_lock(&g->lock);
	wait = finish_record(g, r, status);
	spin_unlock_irqrestore(&g->lock, flags);
	return unlikely(wait) ? VAIO_DEFER : VAIO_PASS;
}
