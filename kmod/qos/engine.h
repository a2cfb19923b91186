/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic of mClock: limits, reservations and shares as tags in time.
 *
 *   A. Gulati, A. Merchant, P. J. Varman: "mClock: Handling Throughput Variability
 *   for Hypervisor IO Scheduling", OSDI 2010.
 *
 * No clock, timer, lock or request is known here: the caller says what time it
 * is, in nanoseconds, and what a request costs. All functions may be called in
 * any context; the caller serialises those on one object.
 *
 * Tags are start tags: the time from which the next request may go. mClock's are
 * finish tags, one cost later; with start tags a request that was dispatched by
 * its shares does not move its disk's reservation tag, which is what the paper's
 * adjustment (subtracting 1/r from the tags that wait) comes to.
 *
 * Tags wrap around. They are compared by their difference, so a clock that began
 * anywhere and runs for any time will do, as long as two tags that are compared
 * are less than 2^63 apart: QOS_STEP_MAX sees to that.
 */
#ifndef _VAIO_QOS_ENGINE_H
#define _VAIO_QOS_ENGINE_H

#include <linux/rbtree.h>
#include <linux/time64.h>
#include <linux/types.h>

/* What is limited and reserved, each by itself. */
enum qos_measure {
	QOS_OPS,	/* cost units: an I/O is at least one */
	QOS_BYTES,
	QOS_MEASURES,
};

/**
 * struct qos_cost - of one request, or of a batch of them
 * @v: cost units, bytes
 */
struct qos_cost {
	u32	v[QOS_MEASURES];
};

#define QOS_RATE_MAX	(1ULL << 43)	/* a second, in any measure */
#define QOS_STEP_MAX	(1ULL << 60)	/* ns: what one request moves a tag at most */

/**
 * qos_cost_of - cost of an I/O with data
 * @len: bytes
 * @shift: the cost unit is 1 << @shift bytes; QOS_UNIT_OFF: any I/O costs one
 */
#define QOS_UNIT_OFF	40
static inline u32 qos_cost_of(u32 len, unsigned int shift)
{
	return len ? ((u64)len + (1ULL << shift) - 1) >> shift : 1;
}

/* --- limits -------------------------------------------------------------- */

/**
 * struct qos_limit - so much a second in one measure
 * @rate: a second; 0: no limit
 * @tag: when the next request may go
 * @rem: what the divisions left over, in 1/@rate ns: no rate is off by rounding
 */
struct qos_limit {
	u64	rate;
	u64	tag;
	u64	rem;
};

/**
 * struct qos_limits - the limits of a disk or of a virtual machine
 * @m: by measure
 * @burst: ns; how far tags may lag, so that after a pause as much as the limits
 *	allow in this time goes at once
 */
struct qos_limits {
	struct qos_limit	m[QOS_MEASURES];
	u64			burst;
};

static inline bool qos_limits_any(const struct qos_limits *l)
{
	return l->m[QOS_OPS].rate || l->m[QOS_BYTES].rate;
}

static inline bool qos_after(u64 a, u64 b)
{
	return (s64)(a - b) > 0;
}

void qos_limits_set(struct qos_limits *l, const u64 rate[QOS_MEASURES], u64 burst, u64 now);
u64 qos_limits_take(struct qos_limits *l, const struct qos_cost *cost, u64 arrival, u64 now);
void qos_limits_give(struct qos_limits *l, const struct qos_cost *cost);

/* --- reservations and shares ----------------------------------------------- */

#define QOS_WEIGHT_MAX	1000000
#define QOS_IDLE_MAX	1024		/* cost units of idle credit */

/**
 * struct qos_flow - what one disk gets of a domain
 * @rate: reservation a second; 0: none
 * @tag: when the next request may go by reservation
 * @rem: as in struct qos_limit
 * @weight: shares, not 0
 * @idle_credit: cost units that a disk which was idle may be ahead of others
 * @p: share tag, in virtual time
 * @p_rem: what the divisions left over
 * @idle_at: since when nothing waits
 * @busy: something waits
 * @reserving: something waits that may go by reservation
 * @by_p, @by_tag: in the scheduler's trees while busy and while reserving
 */
struct qos_flow {
	u64		rate[QOS_MEASURES];
	u64		tag[QOS_MEASURES];
	u64		rem[QOS_MEASURES];
	u32		weight;
	u32		idle_credit;
	u64		p;
	u32		p_rem;
	u64		idle_at;
	bool		busy;
	bool		reserving;
	struct rb_node	by_p;
	struct rb_node	by_tag;
};

/**
 * struct qos_sched - the disks of a domain that have something waiting
 * @by_p: by share tag
 * @by_tag: by reservation tag, the sooner of the two measures
 * @vt: virtual time; the share tag of whom nobody is behind. Never goes back
 * @late: ns by which the reservations' clock is behind. It stops while the device
 *	cannot do what is reserved: all reservations are cut alike then, and not
 *	made up for later
 */
struct qos_sched {
	struct rb_root_cached	by_p;
	struct rb_root_cached	by_tag;
	u64			vt;
	u64			late;
};

/* Why a request goes. */
enum qos_phase {
	QOS_BY_RESERVATION,
	QOS_BY_SHARES,
};

void qos_sched_init(struct qos_sched *s);
void qos_flow_init(struct qos_flow *f, u64 now);
void qos_flow_set(struct qos_sched *s, struct qos_flow *f, const u64 rate[QOS_MEASURES],
		  u32 weight, u32 idle_credit, u64 now);
void qos_flow_wait(struct qos_sched *s, struct qos_flow *f, bool reserving, u64 now);
void qos_flow_idle(struct qos_sched *s, struct qos_flow *f, u64 now);
struct qos_flow *qos_sched_next(struct qos_sched *s, u64 now, enum qos_phase *phase);
void qos_flow_charge(struct qos_sched *s, struct qos_flow *f, const struct qos_cost *cost,
		     enum qos_phase phase);
enum qos_phase qos_flow_phase(const struct qos_sched *s, const struct qos_flow *f, u64 now);

/**
 * struct qos_turns - whose turn it is inside a disk: the guest's I/O or internal
 * @owed: cost units that the guest was served while internal I/O waited
 *
 * The guest first, but internal I/O gets one unit for nine of the guest's.
 */
struct qos_turns {
	u64	owed;
};

#define QOS_GUEST_UNITS	9

static inline bool qos_turn_internal(const struct qos_turns *t, bool guest, bool internal, u32 cost)
{
	return internal && (!guest || t->owed >= (u64)QOS_GUEST_UNITS * cost);
}

/* @internal: the one that was served; @waits: (other) internal I/O waits. */
static inline void qos_turn_served(struct qos_turns *t, bool internal, bool waits, u32 cost)
{
	u64 paid = (u64)QOS_GUEST_UNITS * cost;

	if (internal)
		t->owed -= t->owed < paid ? t->owed : paid;
	else if (waits)
		t->owed += cost;
	if (!waits)
		t->owed = 0;
}

#endif /* _VAIO_QOS_ENGINE_H */
