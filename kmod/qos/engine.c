// SPDX-License-Identifier: GPL-2.0
/*
 * The arithmetic of mClock: see engine.h.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include "compat.h"
#include "engine.h"

/* A timer that fires late is made up for, but not a machine that stood still. */
#define QOS_LATE_MAX	(10 * NSEC_PER_MSEC)

/* A reservation that could not be met is made up for, as far as that. */
#define QOS_LAG_MAX	(100 * NSEC_PER_MSEC)

/* After so long without I/O, what a disk had more or less than its share is forgotten. */
#define QOS_IDLE_RESET	NSEC_PER_SEC

/* Virtual time: one cost unit at one share is 2^20. */
#define QOS_V_SHIFT	20

/*
 * Who lives by his reservation, which gives more than his shares would, gets ahead
 * of the others' share tags without end, and when there is more for all one day
 * would have nothing of it until they have caught up. So he is ahead by no more
 * than so many cost units: enough that he gets nothing by shares meanwhile.
 */
#define QOS_LEAD_UNITS	16

/* Moves a tag by the time that a cost takes at a rate. Exact: @rem keeps the rest. */
static void tag_forward(u64 *tag, u64 *rem, u64 rate, u32 cost)
{
	u64 step = div64_u64_rem((u64)cost * NSEC_PER_SEC + *rem, rate, rem);

	*tag += min_t(u64, step, QOS_STEP_MAX);
}

static void tag_back(u64 *tag, u64 *rem, u64 rate, u32 cost)
{
	u64 part, step = div64_u64_rem((u64)cost * NSEC_PER_SEC, rate, &part);

	if (*rem < part) {
		*rem += rate;
		step++;
	}
	*rem -= part;
	*tag -= min_t(u64, step, QOS_STEP_MAX);
}

/* A tag lags behind @floor no more. */
static void tag_floor(u64 *tag, u64 *rem, u64 floor)
{
	if (qos_after(floor, *tag)) {
		*tag = floor;
		*rem = 0;
	}
}

/**
 * qos_limits_set - new limits
 * @l: the limits
 * @rate: a second, by measure; 0: none; cut at QOS_RATE_MAX
 * @burst: ns
 * @now: the time
 *
 * What was taken before is forgotten: the new limits hold from now on, with
 * their burst.
 */
void qos_limits_set(struct qos_limits *l, const u64 rate[QOS_MEASURES], u64 burst, u64 now)
{
	int m;

	l->burst = min_t(u64, burst, QOS_STEP_MAX);
	for (m = 0; m < QOS_MEASURES; m++) {
		l->m[m].rate = min_t(u64, rate[m], QOS_RATE_MAX);
		l->m[m].tag = now - l->burst;
		l->m[m].rem = 0;
	}
}
VAIO_EXPORT_FOR_KUNIT(qos_limits_set);

/**
 * qos_limits_take - take a request's cost from all limits
 * @l: the limits
 * @cost: of the request
 * @arrival: since when it waits, or @now
 * @now: the time
 *
 * A request that is larger than the burst goes as any other, and leaves a debt.
 * Whoever does not want to wait gives it back with qos_limits_give().
 *
 * Return: when it may go, by the limit that is the last to let it: not after
 * @now if it may at once.
 */
u64 qos_limits_take(struct qos_limits *l, const struct qos_cost *cost, u64 arrival, u64 now)
{
	u64 due = now, floor = arrival;
	int m;

	if (qos_after(now - QOS_LATE_MAX, floor))
		floor = now - QOS_LATE_MAX;
	for (m = 0; m < QOS_MEASURES; m++) {
		struct qos_limit *one = &l->m[m];

		if (!one->rate || !cost->v[m])
			continue;
		tag_floor(&one->tag, &one->rem, floor - l->burst);
		if (qos_after(one->tag, due))
			due = one->tag;
		tag_forward(&one->tag, &one->rem, one->rate, cost->v[m]);
	}
	return due;
}
VAIO_EXPORT_FOR_KUNIT(qos_limits_take);

/**
 * qos_limits_give - undo qos_limits_take(), exactly
 * @l: the limits
 * @cost: what was taken
 */
void qos_limits_give(struct qos_limits *l, const struct qos_cost *cost)
{
	int m;

	for (m = 0; m < QOS_MEASURES; m++)
		if (l->m[m].rate && cost->v[m])
			tag_back(&l->m[m].tag, &l->m[m].rem, l->m[m].rate, cost->v[m]);
}
VAIO_EXPORT_FOR_KUNIT(qos_limits_give);

/* --- reservations and shares ----------------------------------------------- */

static bool has_reservation(const struct qos_flow *f)
{
	return f->rate[QOS_OPS] || f->rate[QOS_BYTES];
}

/* The sooner of the two: both reservations are to be met. */
static u64 reservation_tag(const struct qos_flow *f)
{
	if (!f->rate[QOS_OPS])
		return f->tag[QOS_BYTES];
	if (!f->rate[QOS_BYTES] || qos_after(f->tag[QOS_BYTES], f->tag[QOS_OPS]))
		return f->tag[QOS_OPS];
	return f->tag[QOS_BYTES];
}

static bool less_p(struct rb_node *a, const struct rb_node *b)
{
	return qos_after(rb_entry(b, struct qos_flow, by_p)->p,
			 rb_entry(a, struct qos_flow, by_p)->p);
}

static bool less_tag(struct rb_node *a, const struct rb_node *b)
{
	return qos_after(reservation_tag(rb_entry(b, struct qos_flow, by_tag)),
			 reservation_tag(rb_entry(a, struct qos_flow, by_tag)));
}

static void trees_del(struct qos_sched *s, struct qos_flow *f)
{
	if (f->busy)
		rb_erase_cached(&f->by_p, &s->by_p);
	if (f->busy && f->reserving)
		rb_erase_cached(&f->by_tag, &s->by_tag);
}

static void trees_add(struct qos_sched *s, struct qos_flow *f)
{
	if (f->busy)
		rb_add_cached(&f->by_p, &s->by_p, less_p);
	if (f->busy && f->reserving)
		rb_add_cached(&f->by_tag, &s->by_tag, less_tag);
}

/* Virtual time follows those that are busy. */
static u64 virtual_time(struct qos_sched *s)
{
	struct rb_node *first = rb_first_cached(&s->by_p);

	if (first && qos_after(rb_entry(first, struct qos_flow, by_p)->p, s->vt))
		s->vt = rb_entry(first, struct qos_flow, by_p)->p;
	return s->vt;
}

void qos_sched_init(struct qos_sched *s)
{
	s->by_p = RB_ROOT_CACHED;
	s->by_tag = RB_ROOT_CACHED;
	s->vt = 0;
	s->late = 0;
}
VAIO_EXPORT_FOR_KUNIT(qos_sched_init);

/**
 * qos_flow_init - a disk that nothing was asked for: no reservation, one share
 * @f: the flow
 * @now: the time
 */
void qos_flow_init(struct qos_flow *f, u64 now)
{
	*f = (struct qos_flow) {
		.weight = 1,
		.tag = { now, now },
		.idle_at = now - QOS_IDLE_RESET,
	};
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_init);

/**
 * qos_flow_set - new reservation and shares
 * @s: the scheduler
 * @f: the flow, busy or not
 * @rate: reservation a second, by measure; 0: none
 * @weight: shares; taken as one if 0
 * @idle_credit: cost units
 * @now: the time
 *
 * The disk begins anew: no debts, no credit.
 */
void qos_flow_set(struct qos_sched *s, struct qos_flow *f, const u64 rate[QOS_MEASURES],
		  u32 weight, u32 idle_credit, u64 now)
{
	bool waits = f->busy && f->reserving;
	int m;

	trees_del(s, f);
	for (m = 0; m < QOS_MEASURES; m++) {
		f->rate[m] = min_t(u64, rate[m], QOS_RATE_MAX);
		f->tag[m] = now - s->late;
		f->rem[m] = 0;
	}
	f->weight = clamp_t(u32, weight, 1, QOS_WEIGHT_MAX);
	f->idle_credit = min_t(u32, idle_credit, QOS_IDLE_MAX);
	f->p = virtual_time(s);
	f->p_rem = 0;
	f->reserving = waits && has_reservation(f);
	trees_add(s, f);
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_set);

/**
 * qos_flow_wait - something of a disk waits
 * @s: the scheduler
 * @f: the flow, busy or not
 * @reserving: something that may go by reservation
 * @now: the time
 *
 * Who was idle is not paid for that: the reservation counts from now, and the
 * share tag is not behind the others' but for the idle credit.
 */
void qos_flow_wait(struct qos_sched *s, struct qos_flow *f, bool reserving, u64 now)
{
	u64 floor;
	int m;

	reserving = reserving && has_reservation(f);
	if (f->busy && f->reserving == reserving)
		return;
	if (!f->busy) {
		floor = virtual_time(s) - div_u64((u64)f->idle_credit << QOS_V_SHIFT, f->weight);
		if (now - f->idle_at >= QOS_IDLE_RESET || qos_after(floor, f->p)) {
			f->p = floor;
			f->p_rem = 0;
		}
	}
	trees_del(s, f);
	if (reserving && !f->reserving)
		for (m = 0; m < QOS_MEASURES; m++)
			tag_floor(&f->tag[m], &f->rem[m], now - s->late);
	f->busy = true;
	f->reserving = reserving;
	trees_add(s, f);
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_wait);

/**
 * qos_flow_idle - nothing of a disk waits any more
 * @s: the scheduler
 * @f: the flow
 * @now: the time
 */
void qos_flow_idle(struct qos_sched *s, struct qos_flow *f, u64 now)
{
	if (!f->busy)
		return;
	virtual_time(s);
	trees_del(s, f);
	f->busy = false;
	f->reserving = false;
	f->idle_at = now;
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_idle);

/**
 * qos_flow_phase - why a disk's request would go now
 * @s: the scheduler
 * @f: a flow that waits
 * @now: the time
 */
enum qos_phase qos_flow_phase(const struct qos_sched *s, const struct qos_flow *f, u64 now)
{
	return f->reserving && !qos_after(reservation_tag(f), now - s->late) ?
	       QOS_BY_RESERVATION : QOS_BY_SHARES;
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_phase);

/**
 * qos_sched_next - whose turn it is
 * @s: the scheduler
 * @now: the time
 * @phase: gets why
 *
 * Reservations that are due come first, the one that is due longest before the
 * others; then shares. There is always somebody as long as something waits.
 *
 * Return: the flow, or NULL when nothing waits.
 */
struct qos_flow *qos_sched_next(struct qos_sched *s, u64 now, enum qos_phase *phase)
{
	struct rb_node *first = rb_first_cached(&s->by_tag);

	if (first) {
		struct qos_flow *f = rb_entry(first, struct qos_flow, by_tag);
		u64 lag = now - s->late - reservation_tag(f);

		if ((s64)lag > (s64)QOS_LAG_MAX)
			s->late += lag - QOS_LAG_MAX;
		*phase = qos_flow_phase(s, f, now);
		if (*phase == QOS_BY_RESERVATION)
			return f;
	}
	*phase = QOS_BY_SHARES;
	first = rb_first_cached(&s->by_p);
	return first ? rb_entry(first, struct qos_flow, by_p) : NULL;
}
VAIO_EXPORT_FOR_KUNIT(qos_sched_next);

/**
 * qos_flow_charge - a request of a disk goes
 * @s: the scheduler
 * @f: the flow
 * @cost: of the request
 * @phase: why it goes
 *
 * The share tag moves whatever the reason. The reservation's moves only when the
 * reservation was the reason: what shares gave does not count against it.
 */
void qos_flow_charge(struct qos_sched *s, struct qos_flow *f, const struct qos_cost *cost,
		     enum qos_phase phase)
{
	u64 most, step, vt = virtual_time(s);
	int m;

	trees_del(s, f);
	most = vt + div_u64((QOS_LEAD_UNITS + (u64)cost->v[QOS_OPS]) << QOS_V_SHIFT, f->weight);
	if (qos_after(f->p, most))
		most = f->p;
	step = ((u64)cost->v[QOS_OPS] << QOS_V_SHIFT) + f->p_rem;
	f->p += div_u64_rem(step, f->weight, &f->p_rem);
	if (phase == QOS_BY_RESERVATION) {
		if (qos_after(f->p, most))
			f->p = most;
		for (m = 0; m < QOS_MEASURES; m++)
			if (f->rate[m])
				tag_forward(&f->tag[m], &f->rem[m], f->rate[m], cost->v[m]);
	}
	trees_add(s, f);
}
VAIO_EXPORT_FOR_KUNIT(qos_flow_charge);
