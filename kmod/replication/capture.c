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

static u64 bytes_of(const struct repl_io *r)
{
	return sectors_of(r) << SECTOR_SHIFT;
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

void repl_granted(struct repl_member *m, struct list_head *granted)
{
	struct repl_range *range, *next;

	list_for_each_entry_safe(range, next, granted, entry) {
		list_del(&range->entry);
		if (range->resync)
			repl_resync_granted(container_of(range, struct repl_op, range));
		else
			repl_resume(m, container_of(range, struct repl_io, range));
	}
}

/* Gives back the range and the extents. */
static void let_go(struct repl_io *r, u64 seq)
{
	struct repl_member *m = r->m;
	LIST_HEAD(granted);
	unsigned long flags;

	spin_lock_irqsave(&m->lock, flags);
	if (r->intent)
		intent_leave(&m->intent, r->range.first, sectors_of(r), seq);
	r->intent = false;
	overlap_leave(&m->overlap, &r->range, &granted);
	if (unlikely(!list_empty(&granted)))
		repl_granted(m, &granted);
	spin_unlock_irqrestore(&m->lock, flags);
}

/* It does not go down. */
static enum vaio_verdict refuse(struct repl_io *r, blk_status_t status)
{
	struct vaio_io *io = r->io;
	bool deferred = r->deferred;

	let_go(r, 0);
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
		let_go(r, 0);
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
static int take_record(struct repl_group *g, struct repl_io *r)
{
	u32 len = has_payload(r) ? bytes_of(r) : 0;
	int err;

	/* who waits already goes first */
	if (!list_empty(&g->stalled) && !r->since_ns)
		return -ENOSPC;
	err = ring_append(&g->ring, record_type(r->io), len, r->m->align, &r->seq, &r->data);
	if (err) {
		r->seq = 0;
		return err;
	}
	repl_fill_record(g, r->seq, r->m->id, r->range.first, sectors_of(r), r->data, len, 0,
			 r->io->kind == VAIO_KIND_WRITE_FUA ? VAIO_REPL_F_FUA : 0);
	r->m->captured++;
	return 0;
}

/* What becomes of a write that has no record. */
enum outcome {
	OUT_GO,
	OUT_WAIT,	/* it is on a list and may be gone */
	OUT_FAIL,
	OUT_AGAIN,	/* the submitter did not want to wait */
	OUT_REQUEUE,	/* device-mapper keeps it until the disk is resumed */
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

static enum outcome append_in_group(struct repl_group *g, struct repl_io *r)
{
	struct repl_member *m = r->m;
	enum repl_fate fate;
	enum outcome out;

	if (likely(m->capturing) && !take_record(g, r))
		return OUT_GO;
	if (unlikely(m->leaving)) {
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

static enum outcome append(struct repl_io *r)
{
	struct repl_member *m = r->m;
	struct repl_group *g;
	unsigned long flags;
	enum outcome out;

	/* a disk may join or leave its group between the look and the lock */
	for (;;) {
		bool found;

		rcu_read_lock();
		g = rcu_dereference(m->group);
		if (likely(g)) {
			spin_lock_irqsave(&g->lock, flags);
			found = rcu_access_pointer(m->group) == g;
			if (likely(found))
				out = append_in_group(g, r);
			spin_unlock_irqrestore(&g->lock, flags);
		} else {
			spin_lock_irqsave(&m->lock, flags);
			found = !rcu_access_pointer(m->group);
			if (found)
				out = go_alone(r, false);
			spin_unlock_irqrestore(&m->lock, flags);
		}
		rcu_read_unlock();
		if (likely(found))
			return out;
	}
}

/* --- the copy ------------------------------------------------------------------ */

/* Into the ring; then the copy goes down in the guest's place. */
static void substitute(struct repl_io *r)
{
	struct repl_group *g = rcu_dereference_protected(r->m->group, true /* captured */);
	struct vaio_io *io = r->io;
	struct bio *from = io->bio;
	u8 *to = repl_group_data(g, r->data);
	struct bvec_iter iter;
	struct bio_vec bv;
	unsigned int offset;
	struct page *page;

	bio_for_each_segment(bv, from, iter) {
		memcpy_from_bvec(to, &bv);
		to += bv.bv_len;
	}
	page = repl_group_page(g, r->data, &offset);
	bio_init(&r->bio, NULL, &r->vec, 1, from->bi_opf);
	bvec_set_page(&r->vec, page, io->len, offset);
	r->bio.bi_vcnt = 1;
	r->bio.bi_iter.bi_size = io->len;
	r->prev = vaio_io_substitute(io, &r->bio);
	io->flags |= VAIO_IO_STABLE;
}

/* In sync mode the agent may send it from now on; in async mode when it is done here. */
static void copied(struct repl_io *r)
{
	struct repl_group *g = rcu_dereference_protected(r->m->group, true /* captured */);
	unsigned long flags;
	u64 before;

	if (!READ_ONCE(g->props.sync))
		return;
	spin_lock_irqsave(&g->lock, flags);
	before = g->ring.published;
	if (ring_ready(&g->ring, r->seq))
		repl_published(g, before);
	spin_unlock_irqrestore(&g->lock, flags);
}

/* --- the way down --------------------------------------------------------------- */

static enum outcome warm_extents(struct repl_io *r)
{
	struct repl_member *m = r->m;
	enum outcome out = OUT_GO;
	unsigned long flags;
	int cold;

	spin_lock_irqsave(&m->lock, flags);
	if (!m->durable)
		goto out;
	/* a wide one that waits for slots is not to be overtaken for ever */
	cold = likely(list_empty(&m->cap_wait)) ||
	       intent_warm(&m->intent, r->range.first, sectors_of(r)) ?
	       intent_enter(&m->intent, r->range.first, sectors_of(r)) : -ENOSPC;
	r->intent = cold >= 0;
	if (likely(!cold))
		goto out;
	if (park(r, VAIO_ORDERED)) {
		out = OUT_AGAIN;
		goto out;
	}
	out = OUT_WAIT;
	if (cold > 0) {
		/* when it is resumed its extents are hot */
		r->step = REPL_STEP_APPEND;
		list_add_tail(&r->range.entry, &m->intent_wait);
		queue_work(vaio_disk_wq(m->slot->disk), &m->intent_work);
	} else {
		list_add_tail(&r->range.entry, &m->cap_wait);
		mod_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, 0);
	}
out:
	spin_unlock_irqrestore(&m->lock, flags);
	return out;
}

/* Goes on from r->step. */
static enum vaio_verdict steps(struct repl_io *r)
{
	enum outcome out = OUT_GO;

	if (r->step == REPL_STEP_INTENT) {
		out = warm_extents(r);
		if (out == OUT_GO)
			r->step = REPL_STEP_APPEND;
	}
	if (out == OUT_GO && r->step == REPL_STEP_APPEND) {
		/* whoever resumes it from the list for alone has no more to do */
		r->step = REPL_STEP_GO;
		out = append(r);
	}
	switch (out) {
	case OUT_GO:
		break;
	case OUT_WAIT:
		return VAIO_DEFER;
	case OUT_FAIL:
		return refuse(r, BLK_STS_IOERR);
	case OUT_AGAIN:
		return refuse(r, BLK_STS_AGAIN);
	case OUT_REQUEUE:
		return refuse(r, BLK_STS_DM_REQUEUE);
	}
	if (r->seq) {
		if (has_payload(r))
			substitute(r);
		copied(r);
	}
	if (!r->deferred)
		return VAIO_PASS;
	r->deferred = false;
	vaio_io_continue(r->io);
	return VAIO_DEFER;
}

enum vaio_verdict repl_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct repl_member *m = slot->priv;
	struct repl_io *r = io_of(slot, io);
	unsigned long flags;
	bool granted;
	int err = 0;

	r->m = m;
	r->io = io;
	r->seq = 0;
	r->since_ns = 0;
	r->step = REPL_STEP_INTENT;
	r->deferred = false;
	r->intent = false;
	r->prev = NULL;
	r->range.first = io->sector;
	r->range.last = io->sector + (io->len >> SECTOR_SHIFT) - 1;
	r->range.resync = false;

	spin_lock_irqsave(&m->lock, flags);
	granted = overlap_enter(&m->overlap, &r->range);
	if (unlikely(!granted)) {
		err = park(r, VAIO_ORDERED);
		if (err) {
			LIST_HEAD(none);

			/* nothing came after it */
			overlap_leave(&m->overlap, &r->range, &none);
		}
	}
	spin_unlock_irqrestore(&m->lock, flags);
	if (unlikely(err))
		return VAIO_FAIL;
	return likely(granted) ? steps(r) : VAIO_DEFER;
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
			steps(r);
	}
}

/* --- the way up ------------------------------------------------------------------ */

/* The record's part is over. Returns true when the write waits; it may be gone then. */
static bool finish_record(struct repl_group *g, struct repl_io *r)
{
	struct repl_member *m = r->m;
	struct vaio_io *io = r->io;
	u64 seq = r->seq, before = g->ring.published;
	bool failed = io->status != BLK_STS_OK;
	bool wait = false;

	if (unlikely(failed)) {
		g->counters.voids++;
		ring_void(&g->ring, seq);
		repl_update_state(g);
	}
	ring_local_done(&g->ring, seq);
	if (ring_ready(&g->ring, seq))
		repl_published(g, before);
	if (ring_retire(&g->ring) && unlikely(!list_empty(&g->stalled)))
		repl_unstall(g);

	if (likely(!failed)) {
		if (unlikely(seq <= g->ring.abandoned) && g->props.sync && !repl_tracks(g) &&
		    g->state != VAIO_REPL_S_REPLICATING && !m->leaving) {
			wait = !park(r, VAIO_PACED) || !park(r, VAIO_ORDERED);
			if (wait) {
				if (!r->since_ns)
					r->since_ns = ktime_get_ns();
				repl_hold(g, r);
			}
		} else if (unlikely(seq <= g->ring.abandoned)) {
			spin_lock(&m->lock);
			if (!m->alone_is && !park(r, VAIO_ORDERED)) {
				list_add_tail(&r->range.entry, &m->alone_wait);
				repl_want_alone(m, true);
				wait = true;
			}
			spin_unlock(&m->lock);
		} else if (g->props.sync && seq > g->ring.durable && !m->leaving) {
			/* while the disk is being suspended the wait is bounded all the same */
			if (!park(r, VAIO_PACED) || !park(r, VAIO_ORDERED)) {
				/* with what it waited for room already */
				if (!r->since_ns)
					r->since_ns = ktime_get_ns();
				ring_rec(&g->ring, seq)->waiter = r;
				g->waiters++;
				repl_watch(g);
				/* it is captured until it is acknowledged */
				return true;
			}
		}
	}
	m->captured--;
	if (unlikely(m->leaving && !m->captured))
		queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
	return wait;
}

enum vaio_verdict repl_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct repl_io *r = io_of(slot, io);
	struct repl_member *m = r->m;
	struct repl_group *g;
	unsigned long flags;
	bool wait;

	if (r->prev) {
		vaio_io_restore(io, r->prev);
		bio_uninit(&r->bio);
	}
	r->deferred = false;
	if (unlikely(io->status)) {
		/* before its extents may turn cold: the replica may have it already */
		spin_lock_irqsave(&m->lock, flags);
		repl_mark_lacking(m, r->range.first, sectors_of(r));
		spin_unlock_irqrestore(&m->lock, flags);
		repl_resync_kick(m);
	}
	let_go(r, r->seq);
	if (!r->seq)
		return VAIO_PASS;
	g = rcu_dereference_protected(m->group, true /* captured */);
	spin_lock_irqsave(&g->lock, flags);
	wait = finish_record(g, r);
	spin_unlock_irqrestore(&g->lock, flags);
	return wait ? VAIO_DEFER : VAIO_PASS;
}
