// SPDX-License-Identifier: GPL-2.0
/*
 * When the replica is lost: who waits, for how long, and what becomes of them.
 *
 * on_loss		no room, or not captured	no acknowledgement (sync)
 *
 * track		tracking begins at once		after REPL_ACK_MS
 * stall:t,track	waits t, then tracking		after t and REPL_ACK_MS
 * stall:t,fail		waits t, then fails		after t and REPL_ACK_MS: fails
 * hold			waits				waits
 *
 * An agent that is gone may come back within agent_grace, and goes on where the
 * other one ended, as long as there is room in the ring; after it, with one of
 * the tracks, tracking begins. A disk that is being suspended lets nobody wait.
 *
 * Tracking begins in one stretch under the group's lock: records that are not
 * acknowledged become dirty blocks, and no more are taken.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include "repl.h"

/* The guest goes on without the replica, sooner or later. */
bool repl_tracks(const struct repl_group *g)
{
	return g->props.on_loss == REPL_TRACK || g->props.on_loss == REPL_STALL_TRACK;
}

/* --- tracking begins --------------------------------------------------------- */

/*
 * A write is taken off the list of those that wait for the replica. What it waits for
 * from here on, its turn, ends by itself: quiesce() must not find it PACED.
 */
void repl_unlisted(struct repl_io *r)
{
	vaio_io_defer_again(r->io, VAIO_ORDERED);
}

/* A write that waited for the replica goes on without it. */
static void waiter_alone(struct repl_io *r)
{
	struct repl_member *m = r->m;

	repl_unlisted(r);
	spin_lock(&m->lock);
	if (m->alone_is)
		repl_resume(m, r);
	else
		list_add_tail(&r->range.entry, &m->alone_wait);
	spin_unlock(&m->lock);
}

/*
 * The agent gave up the record of a write that may not be acknowledged without the
 * replica: it is on the disk, and dirty, and waits until the resync has brought it.
 */
void repl_hold(struct repl_group *g, struct repl_io *r)
{
	list_add_tail(&r->range.entry, &g->held);
	repl_watch(g);
}

/* They go on in their disks' workers. */
static void resume_listed(struct list_head *list)
{
	struct repl_io *r, *next;

	list_for_each_entry_safe(r, next, list, range.entry) {
		struct repl_member *m = r->m;

		list_del(&r->range.entry);
		repl_unlisted(r);
		spin_lock(&m->lock);
		repl_resume(m, r);
		spin_unlock(&m->lock);
	}
}

/* All disks are equal. */
void repl_held_go(struct repl_group *g)
{
	resume_listed(&g->held);
}

/* A record that is not acknowledged is given up. */
static void give_up(struct repl_group *g, u64 seq)
{
	struct repl_rec *rec = ring_rec(&g->ring, seq);
	struct repl_member *m = rec->member < VAIO_REPL_MEMBERS ? g->member[rec->member] : NULL;
	struct repl_io *r;

	if (rec->slot != REPL_NO_SLOT)
		repl_resync_place_free(g, m, rec->slot);
	if (!m)
		return;
	switch (rec->type) {
	case VAIO_REPL_WRITE:
	case VAIO_REPL_ZEROES:
	case VAIO_REPL_DISCARD:
		spin_lock(&m->lock);
		repl_mark_lacking(m, rec->first, rec->sectors);
		spin_unlock(&m->lock);
		break;
	}
	r = rec->waiter;
	if (!r)
		return;
	rec->waiter = NULL;
	g->waiters--;
	repl_uncapture(m);
	if (repl_tracks(g))
		waiter_alone(r);
	else
		repl_hold(g, r);
}

/**
 * repl_flip - from capturing to tracking, now
 * @g: the group, locked
 * @reason: for people
 */
void repl_flip(struct repl_group *g, const char *reason)
{
	bool captured = false;
	u64 seq;
	int i;

	for (i = 0; i < VAIO_REPL_MEMBERS; i++)
		captured |= g->member[i] && g->member[i]->capturing;
	if (!captured && !ring_backlog(&g->ring))
		return;

	/* first: writes that are given up wait for it */
	for (i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct repl_member *m = g->member[i];

		if (!m)
			continue;
		spin_lock(&m->lock);
		m->lost |= m->capturing;
		m->capturing = false;
		track_back_all(&m->track);
		repl_want_alone(m, true);
		/* that is no news to a disk that was alone: that its capture is lost is */
		if (m->running)
			queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
		spin_unlock(&m->lock);
	}
	for (seq = g->ring.durable + 1; seq < g->ring.next; seq++)
		give_up(g, seq);
	repl_gone_given_up(g);
	ring_abandon(&g->ring);
	ring_retire(&g->ring);
	g->epoch++;
	g->gap = g->gap ?: VAIO_REPL_GAP_LOST;
	g->in_resync = false;
	g->state = VAIO_REPL_S_TRACKING;
	g->counters.gaps++;
	strscpy(g->reason, reason, sizeof(g->reason));
	repl_unstall(g);
	repl_changed(g);
	pr_warn_ratelimited("group '%s': tracking, without recovery points: %s\n", g->name, reason);
}

/* --- what becomes of a write that has no record ---------------------------------- */

/* There is no room. */
enum repl_fate repl_no_room(struct repl_group *g, struct repl_member *m)
{
	if (g->props.on_loss == REPL_TRACK) {
		repl_flip(g, "the ring is full");
		return REPL_FATE_ALONE;
	}
	if (g->props.on_loss == REPL_STALL_FAIL && g->failing)
		return REPL_FATE_FAIL;
	return REPL_FATE_WAIT;
}

/* No agent has begun to capture its disk. */
enum repl_fate repl_not_captured(struct repl_group *g, struct repl_member *m)
{
	if (repl_tracks(g))
		return REPL_FATE_ALONE;
	if (g->props.on_loss == REPL_STALL_FAIL && g->failing)
		return REPL_FATE_FAIL;
	return REPL_FATE_WAIT;
}

/* It would have to wait, and may not. */
enum repl_fate repl_fate_now(struct repl_group *g)
{
	if (!repl_tracks(g))
		return REPL_FATE_FAIL;
	repl_flip(g, "a disk is being suspended while the replica is lost");
	return REPL_FATE_ALONE;
}

/* There may be room again, or none need wait any more: they try again. */
void repl_unstall(struct repl_group *g)
{
	resume_listed(&g->stalled);
}

/* There may be room in the ring again. Locked. */
void repl_room(struct repl_group *g)
{
	repl_resync_feed(g);
	if (!list_empty(&g->stalled))
		repl_unstall(g);
}

/* Nobody waits for an acknowledgement any more. */
static void waiters_go(struct repl_group *g)
{
	u64 seq;

	for (seq = g->ring.durable + 1; g->waiters && seq < g->ring.next; seq++) {
		struct repl_rec *rec = ring_rec(&g->ring, seq);
		struct repl_io *r = rec->waiter;

		if (!r)
			continue;
		rec->waiter = NULL;
		g->waiters--;
		repl_uncapture(r->m);
		repl_unlisted(r);
		spin_lock(&r->m->lock);
		repl_resume(r->m, r);
		spin_unlock(&r->m->lock);
	}
}

/* Who waits may now have to wait for less. Locked. */
void repl_policy_changed(struct repl_group *g)
{
	struct repl_io *r, *next;

	g->failing = false;
	repl_unstall(g);
	if (!g->props.sync)
		waiters_go(g);
	if (g->props.sync && !repl_tracks(g))
		return;
	list_for_each_entry_safe(r, next, &g->held, range.entry) {
		list_del(&r->range.entry);
		waiter_alone(r);
	}
}

/* --- time --------------------------------------------------------------------------- */

/* Somebody waits, or may come to: look again soon. */
void repl_watch(struct repl_group *g)
{
	queue_delayed_work(g->wq, &g->loss_work, msecs_to_jiffies(REPL_TICK_MS));
}

/* 0 is none. */
static u64 older(u64 a, u64 b)
{
	return a && b ? min(a, b) : a ?: b;
}

/* When the request of a list that began to wait first did so; 0: there is none. */
static u64 oldest_of(const struct list_head *list)
{
	const struct repl_io *r;
	u64 oldest = 0;

	list_for_each_entry(r, list, range.entry)
		oldest = older(oldest, r->since_ns);
	return oldest;
}

/* Likewise of those that wait for the replica's acknowledgement. */
static u64 oldest_waiter(const struct repl_group *g)
{
	unsigned int left = g->waiters;
	u64 seq, oldest = 0;

	for (seq = g->ring.durable + 1; left && seq < g->ring.next; seq++) {
		const struct repl_io *r = ring_rec(&g->ring, seq)->waiter;

		if (!r)
			continue;
		left--;
		oldest = older(oldest, r->since_ns);
	}
	return older(oldest, oldest_of(&g->held));
}

static void take_listed(struct list_head *list, const struct repl_member *m, struct list_head *taken)
{
	struct repl_io *r, *next;

	list_for_each_entry_safe(r, next, list, range.entry) {
		if (m && r->m != m)
			continue;
		list_move_tail(&r->range.entry, taken);
		repl_unlisted(r);
	}
}

/*
 * Takes writes that wait, of one disk or of all, off their lists. They fail, or are
 * given back to device-mapper, when the lock is released.
 */
static void take_waiting(struct repl_group *g, struct repl_member *m, struct list_head *taken)
{
	struct repl_io *r;
	u64 seq;

	take_listed(&g->stalled, m, taken);
	take_listed(&g->held, m, taken);
	for (seq = g->ring.durable + 1; g->waiters && seq < g->ring.next; seq++) {
		struct repl_rec *rec = ring_rec(&g->ring, seq);

		r = rec->waiter;
		if (!r || (m && r->m != m))
			continue;
		rec->waiter = NULL;
		g->waiters--;
		repl_uncapture(r->m);
		repl_unlisted(r);
		list_add_tail(&r->range.entry, taken);
	}
}

static void end_taken(struct list_head *taken, bool requeue)
{
	struct repl_io *r, *next;

	list_for_each_entry_safe(r, next, taken, range.entry)
		repl_end(r, requeue);
}

static bool expired(u64 since_ns, u64 ms)
{
	return since_ns && ktime_get_ns() - since_ns > ms * NSEC_PER_MSEC;
}

/* Has anybody waited long enough? Locked. */
static void check_waits(struct repl_group *g, struct list_head *taken)
{
	u64 stall = oldest_of(&g->stalled), wait = oldest_waiter(g);
	bool full, late;

	full = expired(stall, g->props.stall_ms);
	late = expired(wait, g->props.stall_ms + REPL_ACK_MAX_MS);
	/* what was acknowledged meanwhile shows that the replica is there, if slow */
	if (wait)
		late |= expired(max(wait, g->progress_ns), g->props.stall_ms + REPL_ACK_MS);
	if ((!full && !late) || g->props.on_loss == REPL_HOLD)
		return;
	if (repl_tracks(g)) {
		repl_flip(g, late ? "the replica does not acknowledge" : "the ring is full");
		/* of disks that nothing captures: they go alone */
		repl_unstall(g);
		return;
	}
	if (!g->failing)
		pr_warn_ratelimited("group '%s': writes fail: the replica is lost\n", g->name);
	g->failing = true;
	take_waiting(g, NULL, taken);
}

static void go_alone_suspended(struct repl_group *g)
{
	repl_flip(g, "a disk is being suspended while the replica is lost");
	/* of disks that nothing captures */
	repl_unstall(g);
}

/* All that wait for the replica: for room, for an acknowledgement, for a resync. Locked. */
static void each_waiting(struct repl_group *g, void (*fn)(struct repl_io *r, void *arg), void *arg)
{
	unsigned int left = g->waiters;
	struct repl_io *r;
	u64 seq;

	list_for_each_entry(r, &g->stalled, range.entry)
		fn(r, arg);
	list_for_each_entry(r, &g->held, range.entry)
		fn(r, arg);
	for (seq = g->ring.durable + 1; left && seq < g->ring.next; seq++) {
		r = ring_rec(&g->ring, seq)->waiter;
		if (!r)
			continue;
		left--;
		fn(r, arg);
	}
}

static void find_late(struct repl_io *r, void *arg)
{
	struct repl_member **late = arg;

	if (READ_ONCE(r->m->quiesced) && expired(r->since_ns, REPL_ACK_MS))
		*late = r->m;
}

/*
 * What a disk that is being suspended still has under way may wait too, but not
 * for long: device-mapper waits for it. Returns the disk whose writes were taken.
 */
static struct repl_member *check_quiesced(struct repl_group *g, struct list_head *taken)
{
	struct repl_member *late = NULL;

	each_waiting(g, find_late, &late);
	if (!late)
		return NULL;
	/* those that follow do not wait at all */
	late->no_wait = true;
	if (repl_tracks(g))
		go_alone_suspended(g);
	else
		take_waiting(g, late, taken);
	return late;
}

/* An agent that sleeps because there is nothing to read need not call. */
static bool agent_hangs(const struct repl_group *g)
{
	unsigned long limit = msecs_to_jiffies(g->props.watchdog_ms);

	return ring_backlog(&g->ring) && time_after(jiffies, g->agent_seen + limit) &&
	       time_after(jiffies, g->backlog_since + limit);
}

static void check_agent(struct repl_group *g)
{
	if (g->agent) {
		if (agent_hangs(g)) {
			pr_warn_ratelimited("group '%s': the agent makes no calls\n", g->name);
			repl_unbind(g);
		}
	} else if (repl_tracks(g) && g->state != VAIO_REPL_S_TRACKING &&
		   time_after(jiffies, g->agent_gone + msecs_to_jiffies(g->props.grace_ms))) {
		repl_flip(g, "the agent is gone");
	}
}

void repl_loss_work(struct work_struct *work)
{
	struct repl_group *g = container_of(to_delayed_work(work), struct repl_group, loss_work);
	LIST_HEAD(quiesced);
	LIST_HEAD(taken);
	struct repl_member *late;
	bool again, requeue;

	spin_lock_irq(&g->lock);
	check_agent(g);
	check_waits(g, &taken);
	late = check_quiesced(g, &quiesced);
	/* device-mapper waits for them: the disk stays as it is */
	requeue = late && late->noflush;
	if (g->tell_again)
		repl_update_state(g);
	again = g->tell_again || !list_empty(&g->stalled) || !list_empty(&g->held) || g->waiters ||
		(g->state != VAIO_REPL_S_TRACKING && (!g->agent || ring_backlog(&g->ring)));
	if (again)
		repl_watch(g);
	spin_unlock_irq(&g->lock);
	end_taken(&taken, false);
	end_taken(&quiesced, requeue);
}

/* --- the agent ------------------------------------------------------------------------ */

/* Locked. The binding is gone; what it had is kept for the next one. */
void repl_unbind(struct repl_group *g)
{
	struct eventfd_ctx *ctx = g->eventfd;

	if (!g->agent)
		return;
	g->agent = NULL;
	g->agent_gone = jiffies;
	repl_changed(g);
	g->eventfd = NULL;
	eventfd_ctx_put(ctx);
	repl_watch(g);
}

void repl_agent_gone(struct repl_group *g, const char *why)
{
	spin_lock_irq(&g->lock);
	if (g->agent)
		pr_notice("group '%s': %s\n", g->name, why);
	repl_unbind(g);
	spin_unlock_irq(&g->lock);
}

/* A record is durable on the replica that was a read of the resync, or has a write waiting. */
static noinline void acknowledge_more(struct repl_group *g, struct repl_rec *rec,
				      struct list_head *done)
{
	struct repl_member *m = rec->member < VAIO_REPL_MEMBERS ? g->member[rec->member] : NULL;
	struct repl_io *r = rec->waiter;

	if (rec->slot != REPL_NO_SLOT) {
		repl_resync_place_free(g, m, rec->slot);
		if (m) {
			u64 bit = track_first(&m->track, rec->first);

			spin_lock(&m->lock);
			track_done(&m->track, bit,
				   track_last(&m->track, rec->first, rec->sectors) - bit + 1);
			repl_sidecar_behind(m);
			spin_unlock(&m->lock);
			repl_resync_kick(m);
		}
	}
	if (r) {
		rec->waiter = NULL;
		g->waiters--;
		repl_uncapture(r->m);
		repl_unlisted(r);
		list_add_tail(&r->range.entry, done);
	}
}

/* One record is durable on the replica. */
static inline void acknowledge_one(struct repl_group *g, u64 seq, struct list_head *done)
{
	struct repl_rec *rec = ring_rec(&g->ring, seq);

	if (unlikely(rec->slot != REPL_NO_SLOT) || unlikely(rec->waiter))
		acknowledge_more(g, rec, done);
}

static void drop_spilled(struct repl_group *g)
{
	int i;

	for (i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct repl_member *m = g->member[i];

		if (!m)
			continue;
		spin_lock(&m->lock);
		if (track_spill_drop(&m->track, g->ring.durable))
			repl_sidecar_behind(m);
		spin_unlock(&m->lock);
	}
}

#define ACK_BATCH	256	/* records under the lock at once */

/**
 * repl_acknowledge - records are durable on the replica
 * @g: the group
 * @epoch: of the group, as the agent knows it
 * @upto: highest sequence that is
 *
 * Process context. Ends the writes that waited for it. Return: 0; -ESTALE: of
 * another epoch; -EINVAL: not published yet.
 */
int repl_acknowledge(struct repl_group *g, u64 epoch, u64 upto)
{
	struct repl_io *r, *next;
	LIST_HEAD(done);
	bool more;

	do {
		unsigned int n = 0;
		u64 seq = 0;

		spin_lock_irq(&g->lock);
		if (epoch != g->epoch || upto > g->ring.published) {
			int err = epoch != g->epoch ? -ESTALE : -EINVAL;

			spin_unlock_irq(&g->lock);
			return err;
		}
		while (n < ACK_BATCH && (seq = ring_acknowledge(&g->ring, upto))) {
			acknowledge_one(g, seq, &done);
			n++;
		}
		more = seq != 0;
		if (n) {
			g->progress_ns = ktime_get_ns();
			g->failing = false;
			drop_spilled(g);
			repl_gone_told(g);
			ring_retire(&g->ring);
			repl_room(g);
			if (g->state == VAIO_REPL_S_RESYNC)
				repl_update_state(g);
		}
		spin_unlock_irq(&g->lock);

		list_for_each_entry_safe(r, next, &done, range.entry)
			vaio_io_continue(r->io);
		INIT_LIST_HEAD(&done);
		cond_resched();
	} while (more);
	return 0;
}

/* --- suspend ----------------------------------------------------------------------------- */

struct waits_of {
	const struct repl_member	*m;
	bool				any;
};

static void note_wait(struct repl_io *r, void *arg)
{
	struct waits_of *w = arg;

	w->any |= r->m == w->m;
}

/* Does a write of this disk wait for the replica or the agent? Locked. */
static bool waits_of(struct repl_group *g, const struct repl_member *m)
{
	struct waits_of w = { .m = m };

	each_waiting(g, note_wait, &w);
	return w.any;
}

static void bound_wait(struct repl_io *r, void *arg)
{
	if (r->m != arg)
		return;
	repl_unlisted(r);
	r->since_ns = ktime_get_ns();
}

/* They may go on waiting, as those do whose wait is bounded: check_quiesced(). Locked. */
static void bound_waits(struct repl_group *g, struct repl_member *m)
{
	each_waiting(g, bound_wait, m);
	repl_watch(g);
}

/**
 * repl_quiesce_waits - the disk is being suspended: no wait without a bound any more
 * @m: the disk; its slot takes no new PACED waits
 * @noflush: unacknowledged writes may be given back to device-mapper
 *
 * With fail and hold, which promise that no write is acknowledged without the
 * replica, writes go back to device-mapper if they may. Else an agent that is there
 * gets a moment, REPL_ACK_MS, and then it is on_loss that counts: track lets them go
 * alone, with fail and hold they fail.
 */
void repl_quiesce_waits(struct repl_member *m, bool noflush)
{
	/* the disk may be leaving it, and it may be deleted then */
	struct repl_group *g = repl_member_group(m);
	LIST_HEAD(taken);

	if (!g)
		return;
	spin_lock_irq(&g->lock);
	if (noflush && !repl_tracks(g))
		take_waiting(g, m, &taken);
	else if (g->agent)
		bound_waits(g, m);
	else if (!repl_tracks(g))
		take_waiting(g, m, &taken);
	else if (waits_of(g, m))
		go_alone_suspended(g);
	spin_unlock_irq(&g->lock);
	end_taken(&taken, noflush);
	repl_group_put(g);
}
