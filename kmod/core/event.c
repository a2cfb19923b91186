// SPDX-License-Identifier: GPL-2.0
/*
 * Events: control operations that a disk's filters hear of.
 *
 * Posting queues and returns. A worker of the disk delivers, one event at a time
 * and in the order of posting; an abort overtakes what waits for a filter's
 * answer. A prepare is asked of the filters top to bottom. One that refuses is
 * told to nobody below; those that had accepted hear an abort, in reverse order.
 * A prepare that all accepted waits for its commit or abort until its deadline:
 * the death of the poster needs no other care.
 *
 * An abort must get through when memory is short, for the prepare may be what
 * keeps I/O waiting: all that a prepare will ever need is allocated when it is
 * posted, and the queue of work has a rescuer.
 *
 * Life of an event (run):
 *
 *   QUEUED --worker--> RUNNING --hook answers -EINPROGRESS--> AWAIT
 *                         |   <--answer, timeout, abort-------  |
 *                         |--prepare accepted by all--> IDLE
 *                         |                              |--commit, abort, deadline--> QUEUED
 *                         '--> ENDED, kept for a minute
 *
 * vaio_event_lock guards all of it and is held for moments only.
 */
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "core.h"
#include "trace.h"

#define EVENTS_PER_DISK		64	/* that have not ended */
#define EVENTS_KEPT		1024	/* that have ended, all disks together */
#define EVENTS_KEPT_FOR		(60 * HZ)
#define EVENT_ANSWER_MS		30000	/* for -EINPROGRESS in a phase without a deadline */

enum event_run {
	RUN_QUEUED,
	RUN_RUNNING,
	RUN_AWAIT,
	RUN_IDLE,
	RUN_ENDED,
};

/**
 * struct event_rec - an event
 * @info: what the world sees of it
 * @hash: in event_table, from post to the end of its keeping
 * @node: in q->live, or in events_ended
 * @q: of the disk; NULL once ended
 * @run: see above
 * @slots: who is to hear the phase; NULL: not or no longer
 * @at: index of the slot whose turn it is
 * @answered: vaio_event_done() was called for the slot at @at
 * @answer: what it said
 * @timed_out: the timer went off
 * @abort_wanted: an abort was posted while the filters were being asked
 * @outcome: the status when the abort was delivered
 * @timer: deadline of an accepted prepare, or of an answer
 * @armed: the timer means something
 * @ended: jiffies
 */
struct event_rec {
	struct vaio_event_info	info;
	struct hlist_node	hash;
	struct list_head	node;
	struct vaio_event_queue	*q;
	enum event_run		run;
	struct vaio_slot	*slots[VAIO_MAX_SLOTS];
	int			at;
	bool			answered;
	int			answer;
	bool			timed_out;
	bool			abort_wanted;
	enum vaio_event_status	outcome;
	struct timer_list	timer;
	bool			armed;
	unsigned long		ended;
};

/**
 * struct vaio_event_queue - the events of a disk
 * @disk: the disk
 * @wq: the disk's own, so that a hook that hangs delays no other disk
 * @work: delivers
 * @live: events that have not ended, in the order of their turn
 * @nr_live: length of @live
 * @running: slot whose hook runs now
 * @hook_done: woken when @running changes
 * @dying: the disk goes: nothing is delivered any more
 * @told: the worker's copy of what it announces
 */
struct vaio_event_queue {
	struct vaio_disk	*disk;
	struct workqueue_struct	*wq;
	struct work_struct	work;
	struct list_head	live;
	unsigned int		nr_live;
	struct vaio_slot	*running;
	wait_queue_head_t	hook_done;
	bool			dying;
	struct vaio_event_info	told;
};

static DEFINE_SPINLOCK(vaio_event_lock);
static DEFINE_HASHTABLE(event_table, 8);
static LIST_HEAD(events_ended);		/* oldest first */
static unsigned int nr_events_ended;
static u64 last_token;
static struct workqueue_struct *purge_wq;

static void purge_work_fn(struct work_struct *work);
static DECLARE_DELAYED_WORK(purge_work, purge_work_fn);

/* --- words ------------------------------------------------------------------ */

static const char *const type_names[] = {
	[VAIO_EVENT_ATTACH]		= "attach",
	[VAIO_EVENT_DETACH]		= "detach",
	[VAIO_EVENT_VM_START]		= "vm-start",
	[VAIO_EVENT_VM_STOP]		= "vm-stop",
	[VAIO_EVENT_SNAPSHOT]		= "snapshot",
	[VAIO_EVENT_GROW]		= "grow",
	[VAIO_EVENT_MIGRATE]		= "migrate",
	[VAIO_EVENT_REVERT]		= "revert",
	[VAIO_EVENT_POLICY_CHANGED]	= "policy-changed",
	[VAIO_EVENT_STATE]		= "state",
};
static_assert(ARRAY_SIZE(type_names) == __VAIO_EVENT_COUNT);

static const char *const phase_names[] = {
	[VAIO_PHASE_NOTIFY]	= "notify",
	[VAIO_PHASE_PREPARE]	= "prepare",
	[VAIO_PHASE_COMMIT]	= "commit",
	[VAIO_PHASE_ABORT]	= "abort",
};
static_assert(ARRAY_SIZE(phase_names) == __VAIO_PHASE_COUNT);

static const char *const status_names[] = {
	[VAIO_EVENT_PENDING]	= "pending",
	[VAIO_EVENT_ACCEPTED]	= "accepted",
	[VAIO_EVENT_REFUSED]	= "refused",
	[VAIO_EVENT_COMMITTED]	= "committed",
	[VAIO_EVENT_ABORTED]	= "aborted",
	[VAIO_EVENT_EXPIRED]	= "expired",
	[VAIO_EVENT_DONE]	= "done",
};

/**
 * vaio_event_type_name - word for a type of event
 * @type: enum vaio_event_type, or a number from outside
 *
 * Any context. Return: the word, "unknown" for a number that is none.
 */
const char *vaio_event_type_name(enum vaio_event_type type)
{
	return (unsigned int)type < ARRAY_SIZE(type_names) ? type_names[type] : "unknown";
}
EXPORT_SYMBOL_GPL(vaio_event_type_name);

/**
 * vaio_event_phase_name - word for a phase
 * @phase: enum vaio_event_phase, or a number from outside
 *
 * Any context. Return: the word, "unknown" for a number that is none.
 */
const char *vaio_event_phase_name(enum vaio_event_phase phase)
{
	return (unsigned int)phase < ARRAY_SIZE(phase_names) ? phase_names[phase] : "unknown";
}
EXPORT_SYMBOL_GPL(vaio_event_phase_name);

/**
 * vaio_event_status_name - word for a status
 * @status: enum vaio_event_status, or a number from outside
 *
 * Any context. Return: the word, "unknown" for a number that is none.
 */
const char *vaio_event_status_name(enum vaio_event_status status)
{
	return (unsigned int)status < ARRAY_SIZE(status_names) ? status_names[status] : "unknown";
}
EXPORT_SYMBOL_GPL(vaio_event_status_name);

/**
 * vaio_event_type_from_name - type of event for a word
 * @name: the word
 *
 * Any context. Return: enum vaio_event_type, or -EINVAL.
 */
int vaio_event_type_from_name(const char *name)
{
	return match_string(type_names, ARRAY_SIZE(type_names), name);
}
EXPORT_SYMBOL_GPL(vaio_event_type_from_name);

/**
 * vaio_event_phase_from_name - phase for a word
 * @name: the word
 *
 * Any context. Return: enum vaio_event_phase, or -EINVAL.
 */
int vaio_event_phase_from_name(const char *name)
{
	return match_string(phase_names, ARRAY_SIZE(phase_names), name);
}
EXPORT_SYMBOL_GPL(vaio_event_phase_from_name);

/**
 * vaio_event_can_prepare - does a type of event have prepare, commit and abort?
 * @type: of the event
 *
 * Any context. Return: false for those that are only told.
 */
bool vaio_event_can_prepare(enum vaio_event_type type)
{
	return type == VAIO_EVENT_SNAPSHOT || type == VAIO_EVENT_GROW ||
	       type == VAIO_EVENT_MIGRATE;
}
EXPORT_SYMBOL_GPL(vaio_event_can_prepare);

/* --- keeping ---------------------------------------------------------------- */

static struct event_rec *find_rec(u64 token)
{
	struct event_rec *rec;

	lockdep_assert_held(&vaio_event_lock);
	hash_for_each_possible(event_table, rec, hash, token)
		if (rec->info.token == token)
			return rec;
	return NULL;
}

/* Frees what was kept long enough, or is too much. May sleep. */
static void purge(bool all)
{
	struct event_rec *rec, *next;
	LIST_HEAD(old);

	spin_lock_irq(&vaio_event_lock);
	list_for_each_entry_safe(rec, next, &events_ended, node) {
		if (!all && nr_events_ended <= EVENTS_KEPT &&
		    time_before(jiffies, rec->ended + EVENTS_KEPT_FOR))
			break;
		hash_del(&rec->hash);
		list_move_tail(&rec->node, &old);
		nr_events_ended--;
	}
	if (nr_events_ended)
		queue_delayed_work(purge_wq, &purge_work, EVENTS_KEPT_FOR / 4);
	spin_unlock_irq(&vaio_event_lock);

	list_for_each_entry_safe(rec, next, &old, node) {
		/* it may be running, and find that it has come too late */
		timer_shutdown_sync(&rec->timer);
		kfree(rec);
	}
}

static void purge_work_fn(struct work_struct *work)
{
	purge(false);
}

/* Tell the world. What is told is a copy: the event goes on meanwhile. */
static void announce(const struct vaio_event_info *info)
{
	trace_vaio_event(info);
	vaio_netlink_notify(info);
}

static void set_status(struct event_rec *rec, enum vaio_event_status status)
{
	lockdep_assert_held(&vaio_event_lock);
	rec->info.status = status;
	rec->info.time_ns = ktime_get_real_ns();
}

static void end_rec(struct event_rec *rec, enum vaio_event_status status)
{
	struct vaio_event_queue *q = rec->q;

	lockdep_assert_held(&vaio_event_lock);
	set_status(rec, status);
	rec->run = RUN_ENDED;
	rec->armed = false;
	rec->q = NULL;
	rec->ended = jiffies;
	memset(rec->slots, 0, sizeof(rec->slots));
	q->nr_live--;
	list_move_tail(&rec->node, &events_ended);
	nr_events_ended++;
	queue_delayed_work(purge_wq, &purge_work, EVENTS_KEPT_FOR / 4);
}

/* --- time ------------------------------------------------------------------- */

static void arm(struct event_rec *rec, unsigned int ms)
{
	lockdep_assert_held(&vaio_event_lock);
	rec->timed_out = false;
	rec->armed = true;
	mod_timer(&rec->timer, jiffies + msecs_to_jiffies(ms));
}

static void disarm(struct event_rec *rec)
{
	lockdep_assert_held(&vaio_event_lock);
	rec->armed = false;
	timer_delete(&rec->timer);
}

static void kick(struct vaio_event_queue *q)
{
	lockdep_assert_held(&vaio_event_lock);
	if (!q->dying)
		queue_work(q->wq, &q->work);
}

/* Turn to the abort: slots from first on have not accepted. */
static void begin_abort(struct event_rec *rec, enum vaio_event_status outcome, int first)
{
	lockdep_assert_held(&vaio_event_lock);
	for (; first < VAIO_MAX_SLOTS; first++)
		rec->slots[first] = NULL;
	rec->info.phase = VAIO_PHASE_ABORT;
	rec->outcome = outcome;
	rec->at = VAIO_MAX_SLOTS;
}

/* An accepted prepare is asked to go on. */
static void requeue(struct event_rec *rec)
{
	lockdep_assert_held(&vaio_event_lock);
	disarm(rec);
	set_status(rec, VAIO_EVENT_PENDING);
	rec->run = RUN_QUEUED;
	rec->at = rec->info.phase == VAIO_PHASE_ABORT ? VAIO_MAX_SLOTS : -1;
	list_move_tail(&rec->node, &rec->q->live);
}

static void timer_fn(struct timer_list *timer)
{
	struct event_rec *rec = container_of(timer, struct event_rec, timer);
	unsigned long flags;

	spin_lock_irqsave(&vaio_event_lock, flags);
	/* disarmed, or armed anew since */
	if (!rec->armed || timer_pending(timer))
		goto out;
	rec->armed = false;
	if (rec->run == RUN_IDLE) {
		begin_abort(rec, VAIO_EVENT_EXPIRED, VAIO_MAX_SLOTS);
		rec->info.error = -ETIMEDOUT;
		snprintf(rec->info.reason, sizeof(rec->info.reason),
			 "no commit and no abort within %u ms", rec->info.deadline_ms);
		requeue(rec);
	} else {
		rec->timed_out = true;
	}
	kick(rec->q);
out:
	spin_unlock_irqrestore(&vaio_event_lock, flags);
}

/* --- delivery ---------------------------------------------------------------- */

static bool runnable(const struct event_rec *rec)
{
	if (rec->run == RUN_AWAIT)
		return rec->answered || rec->timed_out ||
		       (rec->abort_wanted && rec->info.phase == VAIO_PHASE_PREPARE);
	return rec->run == RUN_QUEUED;
}

/* An abort that can go on, else the event whose turn it is if it can go on. */
static struct event_rec *pick(struct vaio_event_queue *q)
{
	struct event_rec *rec, *first = NULL;

	lockdep_assert_held(&vaio_event_lock);
	list_for_each_entry(rec, &q->live, node) {
		if (rec->run == RUN_IDLE)
			continue;
		if (rec->info.phase == VAIO_PHASE_ABORT) {
			if (runnable(rec))
				return rec;
		} else if (!first) {
			first = rec;
		}
	}
	return first && runnable(first) ? first : NULL;
}

/* Who is to hear a new event: the slots that are there now. */
static void collect_slots(struct vaio_event_queue *q, struct event_rec *rec)
{
	struct vaio_slot *slot;
	int i;

	mutex_lock(&q->disk->lock);
	spin_lock_irq(&vaio_event_lock);
	for (i = 0; i < VAIO_MAX_SLOTS; i++) {
		slot = q->disk->slots[i];
		rec->slots[i] = slot && slot->filter->event ? slot : NULL;
	}
	spin_unlock_irq(&vaio_event_lock);
	mutex_unlock(&q->disk->lock);
}

static struct vaio_slot *next_slot(struct event_rec *rec)
{
	int step = rec->info.phase == VAIO_PHASE_ABORT ? -1 : 1;

	lockdep_assert_held(&vaio_event_lock);
	for (rec->at += step; rec->at >= 0 && rec->at < VAIO_MAX_SLOTS; rec->at += step)
		if (rec->slots[rec->at])
			return rec->slots[rec->at];
	return NULL;
}

/* A filter said no, or nothing. late: it may have begun what the abort must end. */
static void note_error(struct event_rec *rec, struct vaio_slot *slot, int err, bool late)
{
	struct vaio_event_info *info = &rec->info;

	lockdep_assert_held(&vaio_event_lock);
	if (!info->error) {
		info->error = err;
		strscpy(info->filter, slot->filter->name, sizeof(info->filter));
		if (late)
			snprintf(info->reason, sizeof(info->reason),
				 "filter '%s' did not answer %s in time", slot->filter->name,
				 phase_names[info->phase]);
		else
			snprintf(info->reason, sizeof(info->reason),
				 "filter '%s' answered %s with error %d", slot->filter->name,
				 phase_names[info->phase], err);
	}
	if (info->phase == VAIO_PHASE_PREPARE)
		begin_abort(rec, VAIO_EVENT_REFUSED, rec->at + late);
}

/* The wait for an answer is over, one way or another. */
static void take_answer(struct event_rec *rec)
{
	struct vaio_slot *slot = rec->slots[rec->at];

	lockdep_assert_held(&vaio_event_lock);
	disarm(rec);
	if (!slot)
		return;		/* forgotten: it has no say any more */
	if (rec->answered) {
		if (rec->answer)
			note_error(rec, slot, rec->answer, false);
	} else if (rec->timed_out) {
		note_error(rec, slot, -ETIMEDOUT, true);
	} else {
		begin_abort(rec, VAIO_EVENT_ABORTED, rec->at + 1);
	}
}

/* Calls one hook. Return: false when its answer is awaited. */
static bool deliver(struct vaio_event_queue *q, struct event_rec *rec, struct vaio_slot *slot)
{
	struct vaio_event event = {
		.token = rec->info.token,
		.type = rec->info.type,
		.phase = rec->info.phase,
		.arg = rec->info.arg,
	};
	bool awaited = false;
	int err;

	lockdep_assert_held(&vaio_event_lock);
	rec->answered = false;
	q->running = slot;
	spin_unlock_irq(&vaio_event_lock);
	err = slot->filter->event(slot, &event);
	spin_lock_irq(&vaio_event_lock);
	q->running = NULL;
	wake_up_all(&q->hook_done);

	if (rec->slots[rec->at] != slot)
		return true;	/* forgotten meanwhile */
	if (err == -EINPROGRESS) {
		awaited = !rec->answered;
		err = rec->answered ? rec->answer : 0;
	}
	if (awaited) {
		arm(rec, rec->info.phase == VAIO_PHASE_PREPARE ? rec->info.deadline_ms :
								 EVENT_ANSWER_MS);
		rec->run = RUN_AWAIT;
	} else if (err) {
		note_error(rec, slot, err < 0 ? err : -EINVAL, false);
	}
	return !awaited;
}

static void finish(struct event_rec *rec)
{
	lockdep_assert_held(&vaio_event_lock);
	switch (rec->info.phase) {
	case VAIO_PHASE_NOTIFY:
		end_rec(rec, VAIO_EVENT_DONE);
		break;
	case VAIO_PHASE_PREPARE:
		set_status(rec, VAIO_EVENT_ACCEPTED);
		rec->run = RUN_IDLE;
		arm(rec, rec->info.deadline_ms);
		break;
	case VAIO_PHASE_COMMIT:
		end_rec(rec, VAIO_EVENT_COMMITTED);
		break;
	default:
		end_rec(rec, rec->outcome);
		break;
	}
}

/* Takes an event as far as it can go. */
static void run_rec(struct vaio_event_queue *q, struct event_rec *rec, bool fresh)
{
	struct vaio_event_info *info;
	struct vaio_slot *slot;

	if (fresh && (rec->info.phase == VAIO_PHASE_NOTIFY || rec->info.phase == VAIO_PHASE_PREPARE))
		collect_slots(q, rec);

	spin_lock_irq(&vaio_event_lock);
	if (!fresh)
		take_answer(rec);
	for (;;) {
		if (rec->abort_wanted && rec->info.phase == VAIO_PHASE_PREPARE)
			begin_abort(rec, VAIO_EVENT_ABORTED, rec->at + 1);
		slot = next_slot(rec);
		if (!slot)
			break;
		if (!deliver(q, rec, slot)) {
			spin_unlock_irq(&vaio_event_lock);
			return;
		}
	}
	finish(rec);
	info = &q->told;
	*info = rec->info;
	spin_unlock_irq(&vaio_event_lock);
	announce(info);
}

static void work_fn(struct work_struct *work)
{
	struct vaio_event_queue *q = container_of(work, struct vaio_event_queue, work);
	struct event_rec *rec;
	bool fresh = false;

	do {
		spin_lock_irq(&vaio_event_lock);
		rec = q->dying ? NULL : pick(q);
		if (rec) {
			fresh = rec->run == RUN_QUEUED;
			rec->run = RUN_RUNNING;
		}
		spin_unlock_irq(&vaio_event_lock);
		if (rec)
			run_rec(q, rec, fresh);
	} while (rec);
}

/**
 * vaio_event_done - the answer of an event() hook that returned -EINPROGRESS
 * @slot: the slot, still attached
 * @token: of the event
 * @error: 0, or a negative errno
 *
 * An answer that comes too late, or twice, is ignored. Any context.
 */
void vaio_event_done(struct vaio_slot *slot, u64 token, int error)
{
	struct event_rec *rec;
	unsigned long flags;

	spin_lock_irqsave(&vaio_event_lock, flags);
	rec = find_rec(token);
	if (rec && (rec->run == RUN_RUNNING || rec->run == RUN_AWAIT) &&
	    rec->at >= 0 && rec->at < VAIO_MAX_SLOTS && rec->slots[rec->at] == slot &&
	    !rec->answered) {
		rec->answered = true;
		rec->answer = error > 0 || error == -EINPROGRESS ? -EINVAL : error;
		if (rec->run == RUN_AWAIT)
			kick(rec->q);
	}
	spin_unlock_irqrestore(&vaio_event_lock, flags);
}
EXPORT_SYMBOL_GPL(vaio_event_done);

/**
 * vaio_event_forget_slot - a slot goes: it hears of no event any more
 * @slot: no longer in disk->slots[]
 *
 * Waits until its hook, if it runs, has returned. What was asked of it and not
 * yet answered counts as no objection. May sleep, a second by the contract.
 */
void vaio_event_forget_slot(struct vaio_slot *slot)
{
	struct vaio_event_queue *q = slot->disk->events;
	struct event_rec *rec;
	int i;

	spin_lock_irq(&vaio_event_lock);
	list_for_each_entry(rec, &q->live, node) {
		for (i = 0; i < VAIO_MAX_SLOTS; i++) {
			if (rec->slots[i] != slot)
				continue;
			rec->slots[i] = NULL;
			if (rec->run == RUN_AWAIT && rec->at == i) {
				rec->answered = true;
				kick(q);
			}
		}
	}
	spin_unlock_irq(&vaio_event_lock);
	wait_event(q->hook_done, READ_ONCE(q->running) != slot);
}
VAIO_EXPORT_FOR_KUNIT(vaio_event_forget_slot);

/* --- posting ----------------------------------------------------------------- */

/* The prepare of this type that has not ended, if there is one. */
static struct event_rec *find_prepare(struct vaio_event_queue *q, enum vaio_event_type type)
{
	struct event_rec *rec;

	lockdep_assert_held(&vaio_event_lock);
	list_for_each_entry(rec, &q->live, node)
		if (rec->info.type == type && rec->info.phase != VAIO_PHASE_NOTIFY)
			return rec;
	return NULL;
}

/* Puts a new event into the queue, but not yet its turn. */
static int enlist(struct vaio_event_queue *q, struct event_rec *rec, u64 *token)
{
	struct event_rec *other = NULL;
	int err = 0;

	spin_lock_irq(&vaio_event_lock);
	if (rec->info.phase == VAIO_PHASE_PREPARE)
		other = find_prepare(q, rec->info.type);
	if (other) {
		*token = other->info.token;
		err = -EBUSY;
	} else if (q->nr_live >= EVENTS_PER_DISK) {
		*token = 0;
		err = -EBUSY;
	} else {
		rec->info.token = ++last_token;
		*token = rec->info.token;
		rec->q = q;
		rec->run = RUN_IDLE;
		set_status(rec, VAIO_EVENT_PENDING);
		hash_add(event_table, &rec->hash, rec->info.token);
		list_add_tail(&rec->node, &q->live);
		q->nr_live++;
	}
	spin_unlock_irq(&vaio_event_lock);
	return err;
}

static int post_new(struct vaio_disk *disk, enum vaio_event_type type, enum vaio_event_phase phase,
		    const char *arg, unsigned int deadline_ms, u64 *token)
{
	struct vaio_event_queue *q = disk->events;
	struct event_rec *rec;
	int err;

	/* the framework posts while a disk is suspended: no reclaim by way of I/O */
	rec = kzalloc(sizeof(*rec), GFP_NOIO);
	if (!rec)
		return -ENOMEM;
	timer_setup(&rec->timer, timer_fn, 0);
	rec->at = -1;
	rec->info.type = type;
	rec->info.phase = phase;
	rec->info.deadline_ms = deadline_ms;
	uuid_copy(&rec->info.uuid, &disk->uuid);
	strscpy(rec->info.arg, arg, sizeof(rec->info.arg));
	mutex_lock(&disk->lock);
	strscpy(rec->info.name, disk->name, sizeof(rec->info.name));
	mutex_unlock(&disk->lock);

	if (READ_ONCE(nr_events_ended) > EVENTS_KEPT)
		purge(false);
	err = enlist(q, rec, token);
	if (err) {
		timer_shutdown_sync(&rec->timer);
		kfree(rec);
		return err;
	}
	announce(&rec->info);	/* before it can change */
	spin_lock_irq(&vaio_event_lock);
	rec->run = RUN_QUEUED;
	kick(q);
	spin_unlock_irq(&vaio_event_lock);
	return 0;
}

/* A commit or abort of a prepare. */
static int post_end(struct vaio_disk *disk, enum vaio_event_type type, enum vaio_event_phase phase,
		    u64 prepare)
{
	struct event_rec *rec;
	bool announced = false;
	int err = 0;

	spin_lock_irq(&vaio_event_lock);
	rec = find_rec(prepare);
	if (!rec || !uuid_equal(&rec->info.uuid, &disk->uuid) || rec->info.type != type ||
	    rec->info.phase == VAIO_PHASE_NOTIFY || (rec->q && rec->q != disk->events)) {
		err = -ENOENT;
	} else if (!rec->q || rec->info.phase != VAIO_PHASE_PREPARE || rec->abort_wanted) {
		err = -EALREADY;
	} else if (rec->info.status == VAIO_EVENT_ACCEPTED) {
		/* from here to requeue() nothing else changes it */
		disarm(rec);
		rec->info.phase = phase;
		rec->outcome = VAIO_EVENT_ABORTED;
		set_status(rec, VAIO_EVENT_PENDING);
		announced = true;
	} else if (phase == VAIO_PHASE_ABORT) {
		rec->abort_wanted = true;
		kick(rec->q);
	} else {
		err = -EBUSY;
	}
	spin_unlock_irq(&vaio_event_lock);
	if (!announced)
		return err;

	announce(&rec->info);
	spin_lock_irq(&vaio_event_lock);
	requeue(rec);
	kick(rec->q);
	spin_unlock_irq(&vaio_event_lock);
	return 0;
}

/**
 * vaio_event_post - post an event to a disk's filters
 * @disk: the disk, held by the caller
 * @type: what happens
 * @phase: any type can be told by VAIO_PHASE_NOTIFY; vaio_event_can_prepare()
 *	says which have the others
 * @arg: the poster's text, shorter than VAIO_VALUE_LEN; empty for a commit or abort
 * @deadline_ms: of a prepare, from the moment when all have accepted:
 *	VAIO_EVENT_DEADLINE_MIN to _MAX, or 0 for VAIO_EVENT_DEADLINE; 0 else.
 *	It also bounds each filter's answer to the prepare.
 * @prepare: token of the prepare that a commit or abort belongs to, 0 else
 * @token: gets the event's token; for a commit or abort, the prepare's. With
 *	-EBUSY: that of the prepare in the way, 0 when the queue is full
 *
 * Queues and returns. An abort is also taken while the filters are still being
 * asked. May sleep for memory and disk->lock only.
 *
 * Return: 0; -EINVAL; -EBUSY: the disk has a prepare of this type, or too many
 * events, or (commit) the filters are still being asked; -ENOENT: no such prepare
 * on this disk; -EALREADY: it has ended, or its end was already posted; -ENOMEM.
 */
int vaio_event_post(struct vaio_disk *disk, enum vaio_event_type type, enum vaio_event_phase phase,
		    const char *arg, unsigned int deadline_ms, u64 prepare, u64 *token)
{
	if (!arg)
		arg = "";
	*token = 0;
	if ((unsigned int)type >= __VAIO_EVENT_COUNT || (unsigned int)phase >= __VAIO_PHASE_COUNT ||
	    (phase != VAIO_PHASE_NOTIFY && !vaio_event_can_prepare(type)) ||
	    strnlen(arg, VAIO_VALUE_LEN) == VAIO_VALUE_LEN)
		return -EINVAL;

	if (phase == VAIO_PHASE_COMMIT || phase == VAIO_PHASE_ABORT) {
		if (!prepare || deadline_ms || *arg)
			return -EINVAL;
		*token = prepare;
		return post_end(disk, type, phase, prepare);
	}
	if (phase == VAIO_PHASE_PREPARE) {
		if (!deadline_ms)
			deadline_ms = VAIO_EVENT_DEADLINE;
		if (deadline_ms < VAIO_EVENT_DEADLINE_MIN || deadline_ms > VAIO_EVENT_DEADLINE_MAX)
			return -EINVAL;
	} else if (deadline_ms) {
		return -EINVAL;
	}
	if (prepare)
		return -EINVAL;
	return post_new(disk, type, phase, arg, deadline_ms, token);
}
EXPORT_SYMBOL_GPL(vaio_event_post);

/**
 * vaio_event_find - how is an event?
 * @token: of the event
 * @info: gets the answer
 *
 * Any context but hard interrupts. Return: 0; -ENOENT: there was none, or it
 * ended more than a minute (or 1,024 events) ago.
 */
int vaio_event_find(u64 token, struct vaio_event_info *info)
{
	struct event_rec *rec;

	spin_lock_irq(&vaio_event_lock);
	rec = find_rec(token);
	if (rec)
		*info = rec->info;
	spin_unlock_irq(&vaio_event_lock);
	return rec ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(vaio_event_find);

/* --- life ---------------------------------------------------------------------- */

/**
 * vaio_events_new - the events of a disk that is being made
 * @disk: its UUID is set
 *
 * May sleep. Return: the queue, or NULL.
 */
struct vaio_event_queue *vaio_events_new(struct vaio_disk *disk)
{
	struct vaio_event_queue *q = kzalloc(sizeof(*q), GFP_KERNEL);

	if (!q)
		return NULL;
	q->disk = disk;
	INIT_LIST_HEAD(&q->live);
	init_waitqueue_head(&q->hook_done);
	INIT_WORK(&q->work, work_fn);
	q->wq = alloc_ordered_workqueue("vaio-ev-%*phN", WQ_MEM_RECLAIM, 4, disk->uuid.b);
	if (!q->wq) {
		kfree(q);
		return NULL;
	}
	return q;
}
VAIO_EXPORT_FOR_KUNIT(vaio_events_new);

/**
 * vaio_events_free - the disk goes, with its slots gone before
 * @q: its events; what has not ended ends with -ENODEV
 *
 * May sleep, not on the disk's event worker.
 */
void vaio_events_free(struct vaio_event_queue *q)
{
	struct event_rec *rec;

	spin_lock_irq(&vaio_event_lock);
	q->dying = true;
	spin_unlock_irq(&vaio_event_lock);
	cancel_work_sync(&q->work);

	spin_lock_irq(&vaio_event_lock);
	while ((rec = list_first_entry_or_null(&q->live, struct event_rec, node))) {
		disarm(rec);
		if (!rec->info.error) {
			rec->info.error = -ENODEV;
			strscpy(rec->info.reason, "the disk is gone", sizeof(rec->info.reason));
		}
		end_rec(rec, rec->info.phase == VAIO_PHASE_NOTIFY ? VAIO_EVENT_DONE :
								     VAIO_EVENT_ABORTED);
		q->told = rec->info;
		spin_unlock_irq(&vaio_event_lock);
		announce(&q->told);
		spin_lock_irq(&vaio_event_lock);
	}
	spin_unlock_irq(&vaio_event_lock);
	destroy_workqueue(q->wq);
	kfree(q);
}
VAIO_EXPORT_FOR_KUNIT(vaio_events_free);

/**
 * vaio_events_init - the module is being loaded
 *
 * Return: 0 or -ENOMEM.
 */
int vaio_events_init(void)
{
	/* tokens stay unique when the module is loaded again, and fit a double */
	last_token = (u64)ktime_get_real_seconds() << 20;
	purge_wq = alloc_ordered_workqueue("vaio-events", 0);
	return purge_wq ? 0 : -ENOMEM;
}

/**
 * vaio_events_exit - the module is being unloaded: there are no disks
 */
void vaio_events_exit(void)
{
	purge(true);
	cancel_delayed_work_sync(&purge_work);
	destroy_workqueue(purge_wq);
}
