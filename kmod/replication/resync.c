// SPDX-License-Identifier: GPL-2.0
/*
 * The resync: reads what the replica lacks, and puts it into the order of writes.
 *
 * A read takes its place for the data, a descriptor and its bits first, all or
 * none, and never waits for the agent with a range locked. Then it locks at most
 * 128 KiB, reads below the slot into memory that the agent has mapped, gets its
 * sequence, and unlocks: so what it sends is what the disk has at this place of
 * the order.
 *
 * Bits on their way count as dirty on the sidecar, until the replica has them
 * durably; when the capture is given up they are dirty again.
 */
#include <linux/bio.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/string.h>
#include "repl.h"

#define RETRY_AFTER	(10 * HZ)	/* a read that failed */

static struct workqueue_struct *queue_of(struct repl_member *m)
{
	return vaio_disk_wq(m->slot->disk);
}

void repl_resync_kick(struct repl_member *m)
{
	mod_delayed_work(queue_of(m), &m->resync_work, 0);
}

/* member->lock held */
void repl_resync_granted(struct repl_op *op)
{
	queue_work(queue_of(op->m), &op->work);
}

/* --- one read ------------------------------------------------------------------ */

static struct repl_group *group_of(struct repl_member *m)
{
	/* leaving a group stops the resync first */
	return rcu_dereference_protected(m->group, true);
}

static void release_range(struct repl_op *op)
{
	struct repl_member *m = op->m;

	spin_lock_irq(&m->lock);
	if (overlap_leave(&m->overlap, &op->range))
		repl_grant_next(m, &op->range);
	op->busy = false;
	if (m->leaving)
		queue_work(queue_of(m), &m->sidecar_work);
	spin_unlock_irq(&m->lock);
}

/* It was not sent: its bits are dirty again, what it held is free. */
static void give_back(struct repl_op *op, bool failed)
{
	struct repl_member *m = op->m;
	struct repl_group *g = group_of(m);

	spin_lock_irq(&g->lock);
	ring_promise_drop(&g->ring);
	repl_resync_place_free(g, m, op->slot);
	spin_lock(&m->lock);
	/* all that was under way went back with its epoch: what is now is of a later read */
	if (op->epoch == g->epoch)
		track_back(&m->track, op->bit, op->run);
	if (failed) {
		m->unreadable = true;
		m->unreadable_bit = op->bit;
		m->no_resync_until = get_jiffies_64() + RETRY_AFTER;
	}
	spin_unlock(&m->lock);
	spin_unlock_irq(&g->lock);
	release_range(op);
	if (failed)
		queue_work(queue_of(m), &m->sidecar_work);
	repl_resync_kick(m);
}

static u8 op_type(const struct repl_op *op, void *data)
{
	if (op->check)
		return VAIO_REPL_CHECK;
	return memchr_inv(data, 0, op->bytes) ? VAIO_REPL_RESYNC : VAIO_REPL_RESYNC_ZEROES;
}

/* It was read: is it what could not be? Another one that cannot be read fails in its turn. */
static void note_read(struct repl_op *op)
{
	struct repl_member *m = op->m;
	bool well;

	spin_lock_irq(&m->lock);
	well = m->unreadable && m->unreadable_bit >= op->bit &&
	       m->unreadable_bit < op->bit + op->run;
	if (well)
		m->unreadable = false;
	spin_unlock_irq(&m->lock);
	if (well)
		queue_work(queue_of(m), &m->sidecar_work);
}

/* All is read: into the ring, and unlocked. */
static void send(struct repl_op *op)
{
	struct repl_member *m = op->m;
	struct repl_group *g = group_of(m);
	u64 pos = repl_group_slot_pos(g, op->slot), before, seq;
	void *data = repl_group_data(g, pos);
	u8 type = op_type(op, data);
	u32 len = op->bytes;

	if (type == VAIO_REPL_CHECK) {
		u8 digest[VAIO_REPL_DIGEST];

		vaio_blake2s(data, op->bytes, digest);
		memcpy(data, digest, sizeof(digest));
		len = sizeof(digest);
	} else if (type == VAIO_REPL_RESYNC_ZEROES) {
		len = 0;
	}
	spin_lock_irq(&g->lock);
	if (op->epoch != g->epoch || !m->capturing) {
		spin_unlock_irq(&g->lock);
		give_back(op, false);
		return;
	}
	before = g->ring.published;
	seq = ring_append_promised(&g->ring, type);
	ring_rec(&g->ring, seq)->slot = op->slot;
	repl_fill_record(g, seq, m->id, op->range.first, op->range.last - op->range.first + 1, pos,
			 len, 0, 0);
	g->counters.resync_bytes += op->bytes;
	ring_local_done(&g->ring, seq);
	if (ring_ready(&g->ring, seq))
		repl_published(g, before);
	repl_watch(g);
	spin_unlock_irq(&g->lock);
	note_read(op);
	release_range(op);
	repl_resync_kick(m);
}

static void read_end(struct vaio_slot *slot, struct bio *bio, void *private)
{
	struct repl_op *op = private;

	op->status = bio->bi_status;
	if (!op->status)
		op->done += op->part;
	queue_work(queue_of(op->m), &op->work);
}

/* Its range is locked, or a part of it was read: read the next part. */
static void op_work(struct work_struct *work)
{
	struct repl_op *op = container_of(work, struct repl_op, work);
	struct repl_member *m = op->m;
	u32 len = op->bytes - op->done, max;
	unsigned int offset;
	struct page *page;
	struct bio *bio;

	if (op->status) {
		give_back(op, true);
		return;
	}
	if (!len) {
		send(op);
		return;
	}
	bio = vaio_own_alloc(m->slot, 1, REQ_OP_READ, NULL, read_end, op);
	if (IS_ERR(bio)) {
		give_back(op, false);
		return;
	}
	max = vaio_own_max_sectors(m->slot) << SECTOR_SHIFT;
	len = min(len, max);
	op->part = len;
	page = repl_group_page(group_of(m), repl_group_slot_pos(group_of(m), op->slot) + op->done,
			       &offset);
	__bio_add_page(bio, page, len, offset);
	bio->bi_iter.bi_sector = op->range.first + (op->done >> SECTOR_SHIFT);
	vaio_submit_below(m->slot, bio, 0);
}

/* --- which one is next ------------------------------------------------------------ */

static struct repl_op *free_op(struct repl_member *m)
{
	int i;

	for (i = 0; i < REPL_RESYNC_OPS; i++)
		if (!m->op[i].busy)
			return &m->op[i];
	return NULL;
}

/*
 * Who found no place looks again. Its own acknowledgements would not tell it: it may
 * have none under way, because other disks have all places.
 */
void repl_resync_feed(struct repl_group *g)
{
	int i;

	for (i = 0; g->hungry && i < VAIO_REPL_MEMBERS; i++)
		if (g->member[i] && g->member[i]->hungry)
			repl_resync_kick(g->member[i]);
}

void repl_resync_place_free(struct repl_group *g, struct repl_member *m, u32 slot)
{
	__clear_bit(slot, g->slots);
	if (m)
		m->places--;
	repl_resync_feed(g);
}

static void set_hungry(struct repl_group *g, struct repl_member *m, bool hungry)
{
	g->hungry += hungry - m->hungry;
	m->hungry = hungry;
}

/* Places that a disk may have: as many as each of those that want some. */
static u32 fair_share(const struct repl_group *g, const struct repl_member *m)
{
	return max(1U, REPL_SLOTS / (g->hungry + !m->hungry));
}

/* Nanoseconds until the rate allows another read. */
static u64 pace(struct repl_member *m, u64 rate, u32 bytes)
{
	u64 now = ktime_get_ns();

	if (!rate)
		return 0;
	if (m->resync_at > now)
		return m->resync_at - now;
	m->resync_at = max(m->resync_at, now - NSEC_PER_SEC / 10) +
		       div64_u64((u64)bytes * NSEC_PER_SEC, rate);
	return 0;
}

/*
 * Begins a read. 0; -ENOENT: nothing to do; -EBUSY: no place for it now, the end of
 * another read or an acknowledgement will bring one; a positive number: jiffies to wait. Both locks held.
 */
static long begin(struct repl_group *g, struct repl_member *m)
{
	struct repl_op *op = free_op(m);
	struct repl_bits *set = &m->track.check;
	u64 left, wait, now = get_jiffies_64();
	u32 run, slot;
	s64 bit;

	if (!m->running || m->quiesced || !m->capturing || m->leaving)
		goto nothing;
	if (time_before64(now, m->no_resync_until))
		return m->no_resync_until - now;
	if (!op)
		return -EBUSY;
	bit = track_next(&m->track, set, m->cursor, VAIO_REPL_SLOT >> VAIO_SC_BITMAP_SHIFT, &run);
	if (bit < 0) {
		set = &m->track.dirty;
		bit = track_next(&m->track, set, m->cursor, VAIO_REPL_SLOT >> VAIO_SC_BITMAP_SHIFT,
				 &run);
	}
	if (bit < 0)
		goto nothing;
	slot = find_first_zero_bit(g->slots, REPL_SLOTS);
	if (slot == REPL_SLOTS || m->places >= fair_share(g, m))
		goto no_place;
	wait = pace(m, g->props.resync_rate, run << VAIO_SC_BITMAP_SHIFT);
	if (wait) {
		set_hungry(g, m, false);
		return nsecs_to_jiffies(wait) + 1;
	}
	if (ring_promise(&g->ring))
		goto no_place;

	set_hungry(g, m, false);
	__set_bit(slot, g->slots);
	m->places++;
	op->check = set == &m->track.check;
	track_take(&m->track, set, bit, run);
	m->cursor = bit + run;
	op->busy = true;
	op->bit = bit;
	op->run = run;
	op->slot = slot;
	op->epoch = g->epoch;
	op->done = 0;
	op->status = BLK_STS_OK;
	op->range.first = bit << m->track.shift;
	left = m->sectors - op->range.first;
	left = min_t(u64, left, (u64)run << m->track.shift);
	op->range.last = op->range.first + left - 1;
	op->range.resync = true;
	op->bytes = left << SECTOR_SHIFT;
	if (overlap_enter(&m->overlap, &op->range))
		queue_work(queue_of(m), &op->work);
	return 0;

nothing:
	set_hungry(g, m, false);
	return -ENOENT;
no_place:
	set_hungry(g, m, true);
	return -EBUSY;
}

/* It leaves the group. Locked. */
void repl_resync_leave(struct repl_group *g, struct repl_member *m)
{
	set_hungry(g, m, false);
	m->places = 0;
	repl_resync_feed(g);
}

static void resync_work(struct work_struct *work)
{
	struct repl_member *m = container_of(to_delayed_work(work), struct repl_member, resync_work);
	struct repl_group *g;
	long r;

	do {
		rcu_read_lock();
		g = rcu_dereference(m->group);
		r = -ENOENT;
		if (g) {
			spin_lock_irq(&g->lock);
			spin_lock(&m->lock);
			if (rcu_access_pointer(m->group) == g)
				r = begin(g, m);
			spin_unlock(&m->lock);
			if (r == -ENOENT && g->state != VAIO_REPL_S_TRACKING)
				repl_update_state(g);
			spin_unlock_irq(&g->lock);
		}
		rcu_read_unlock();
	} while (!r);
	if (r > 0)
		mod_delayed_work(queue_of(m), &m->resync_work, r);
}

void repl_resync_init(struct repl_member *m)
{
	int i;

	INIT_DELAYED_WORK(&m->resync_work, resync_work);
	for (i = 0; i < REPL_RESYNC_OPS; i++) {
		m->op[i].m = m;
		INIT_WORK(&m->op[i].work, op_work);
	}
}

bool repl_resync_busy(struct repl_member *m)
{
	bool busy = false;
	int i;

	spin_lock_irq(&m->lock);
	for (i = 0; i < REPL_RESYNC_OPS; i++)
		busy |= m->op[i].busy;
	spin_unlock_irq(&m->lock);
	return busy;
}

/* No read is under way, and none begins, on return. The disk is not running, no io is left. */
void repl_resync_stop(struct repl_member *m)
{
	int i;

	do {
		cancel_delayed_work_sync(&m->resync_work);
		for (i = 0; i < REPL_RESYNC_OPS; i++)
			flush_work(&m->op[i].work);
		if (repl_resync_busy(m))
			msleep(1);
	} while (repl_resync_busy(m));
	cancel_delayed_work_sync(&m->resync_work);
}

/* --- what the agent asks for ---------------------------------------------------------- */

static struct repl_member *member_of(struct repl_group *g, u16 id)
{
	return id < VAIO_REPL_MEMBERS ? g->member[id] : NULL;
}

/* A disk that left may have left its index to another since the agent looked. */
static bool is_disk(const struct repl_member *m, const u8 *uuid)
{
	return !memcmp(vaio_disk_uuid(m->slot->disk)->b, uuid, UUID_SIZE);
}

/*
 * Which blocks are still to be sent, or compared, is in memory. Before that counts the
 * sidecar says that the bits on it are not all. 0, or -EAGAIN: it is being noted, and
 * the agent will be told.
 */
static int note_compare(struct repl_member *m, u32 flags)
{
	bool noted;

	spin_lock(&m->lock);
	noted = !m->durable || ((flags & VAIO_SC_F_MUST_COMPARE) && !m->clearing);
	m->note_compare |= !noted;
	/* it is not the end of an earlier one any more */
	m->clear_compare = false;
	spin_unlock(&m->lock);
	if (noted)
		return 0;
	queue_work(queue_of(m), &m->sidecar_work);
	return -EAGAIN;
}

/**
 * repl_start - capture of a disk begins
 * @g: the group
 * @start: what the agent says; @start->seq is filled in
 *
 * Process context. Return: 0; -ESTALE: another epoch; -ENODEV: no such member, or
 * the index is another disk's by now; -EALREADY: captured already; -EAGAIN: the disk is suspended, or its sidecar is
 * being told that all is to be compared; -EROFS: it lost data that the replica has; -ENODATA: it has to be compared; -ENOSPC: the ring
 * has no room; -EINVAL: the mode.
 */
int repl_start(struct repl_group *g, struct vaio_repl_start *start)
{
	struct repl_member *m;
	int err = 0;
	u32 flags;
	u64 first;

	if (start->reserved || start->mode > VAIO_REPL_START_FULL)
		return -EINVAL;
	spin_lock_irq(&g->lock);
	m = member_of(g, start->member);
	if (start->epoch != g->epoch) {
		err = -ESTALE;
	} else if (!m || m->leaving || !is_disk(m, start->uuid)) {
		err = -ENODEV;
	} else if (m->capturing) {
		err = -EALREADY;
	} else if (!m->running) {
		err = -EAGAIN;
	} else {
		flags = m->sc ? vaio_sidecar_flags(m->sc) : 0;
		if (flags & VAIO_SC_F_SOURCE_DAMAGED)
			err = -EROFS;
		else if (start->mode == VAIO_REPL_START_BITMAP)
			err = repl_must_compare(m) ? -ENODATA : 0;
		else
			err = note_compare(m, flags);
	}
	if (err)
		goto out;
	first = g->ring.next;
	if (!g->in_resync) {
		/* before the first record of this capture */
		err = repl_control(g, VAIO_REPL_RESYNC_BEGIN, REPL_NO_MEMBER, g->gap);
		if (err)
			goto out;
		g->in_resync = true;
		g->gap = 0;
	}
	err = repl_tell_gone(g);
	if (err)
		goto out;
	err = repl_control(g, VAIO_REPL_MEMBER_UP, m->id, m->sectors << SECTOR_SHIFT);
	if (err)
		goto out;
	start->seq = first;
	spin_lock(&m->lock);
	m->compared |= start->mode != VAIO_REPL_START_BITMAP;
	if (start->mode == VAIO_REPL_START_FULL)
		track_mark_all(&m->track);
	else if (start->mode == VAIO_REPL_START_CHECK)
		track_check_all(&m->track);
	m->capturing = true;
	m->cursor = 0;
	spin_unlock(&m->lock);
	g->failing = false;
	repl_unstall(g);
	repl_update_state(g);
	repl_watch(g);
	repl_resync_kick(m);
	queue_work(queue_of(m), &m->sidecar_work);
	queue_delayed_work(queue_of(m), &m->cool_work, 0);
out:
	spin_unlock_irq(&g->lock);
	return err;
}

/* Marks what @range says; both locks are taken for so many bytes' bits at once. */
#define MARK_AT_ONCE	(64ULL << 30)

static int mark_range(struct repl_group *g, u16 id, u64 offset, u64 end)
{
	int err = 0;

	for (; offset < end && !err; offset += min(end - offset, MARK_AT_ONCE)) {
		u64 first = offset >> SECTOR_SHIFT;
		u64 last = (min(end, offset + MARK_AT_ONCE) - 1) >> SECTOR_SHIFT;
		struct repl_member *m;

		spin_lock_irq(&g->lock);
		m = member_of(g, id);
		if (m && m->loaded) {
			spin_lock(&m->lock);
			repl_mark_lacking(m, first, last - first + 1);
			spin_unlock(&m->lock);
		} else {
			err = -ENODEV;
		}
		spin_unlock_irq(&g->lock);
		cond_resched();
	}
	return err;
}

/**
 * repl_mark_dirty - the replica lacks these ranges
 * @g: the group
 * @member: index
 * @range: bytes; clipped to the disk
 * @n: how many
 *
 * Process context. Return: 0; -EINVAL for a range that is empty or begins beyond the
 * disk: none is marked then; -ENODEV: there is no such disk, or it left meanwhile.
 */
int repl_mark_dirty(struct repl_group *g, u16 member, const struct vaio_repl_range *range,
		    unsigned int n)
{
	struct repl_member *m;
	unsigned int i;
	u64 disk = 0;
	int err = 0;

	spin_lock_irq(&g->lock);
	m = member_of(g, member);
	if (m && m->loaded)
		disk = m->sectors << SECTOR_SHIFT;
	spin_unlock_irq(&g->lock);
	if (!disk)
		return -ENODEV;
	for (i = 0; i < n; i++)
		if (!range[i].length || range[i].offset >= disk)
			return -EINVAL;
	for (i = 0; i < n && !err; i++)
		err = mark_range(g, member, range[i].offset,
				 range[i].offset + min(range[i].length, disk - range[i].offset));
	spin_lock_irq(&g->lock);
	m = member_of(g, member);
	if (m && m->loaded) {
		repl_update_state(g);
		repl_resync_kick(m);
		if (m->running)
			queue_delayed_work(queue_of(m), &m->cool_work, 0);
	}
	spin_unlock_irq(&g->lock);
	return err;
}
