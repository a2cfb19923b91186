// SPDX-License-Identifier: GPL-2.0
/*
 * Storage I/O control: limits, reservations and shares on a virtual clock.
 */
#include <kunit/test.h>
#include <linux/math64.h>
#include <linux/prandom.h>
#include "../../kmod/qos/engine.h"

#define MSEC	((u64)NSEC_PER_MSEC)
#define SEC	((u64)NSEC_PER_SEC)
#define YEAR	(365 * 24 * 3600 * SEC)

/* --- limits ------------------------------------------------------------------- */

static struct qos_limits limits(u64 iops, u64 bytes, u64 burst, u64 now)
{
	const u64 rate[QOS_MEASURES] = { iops, bytes };
	struct qos_limits l;

	qos_limits_set(&l, rate, burst, now);
	return l;
}

static struct qos_cost cost(u32 units, u32 bytes)
{
	return (struct qos_cost) { { units, bytes } };
}

/*
 * A disk that always has something waiting, for @duration: how many requests of
 * this cost go, each at the time that the limit gives for it.
 */
static u64 run_limit(struct qos_limits *l, struct qos_cost c, u64 begin, u64 duration)
{
	u64 now = begin, n = 0;

	for (;;) {
		u64 due = qos_limits_take(l, &c, now, now);

		if (qos_after(due, now))
			now = due;
		if (qos_after(now, begin + duration) || now == begin + duration)
			return n;
		n++;
	}
}

static void test_unit(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, qos_cost_of(512, 15), 1);
	KUNIT_EXPECT_EQ(test, qos_cost_of(32768, 15), 1);
	KUNIT_EXPECT_EQ(test, qos_cost_of(32769, 15), 2);
	KUNIT_EXPECT_EQ(test, qos_cost_of(65536, 15), 2);
	KUNIT_EXPECT_EQ(test, qos_cost_of(1 << 20, 12), 256);
	KUNIT_EXPECT_EQ(test, qos_cost_of(1 << 20, 18), 4);
	KUNIT_EXPECT_EQ(test, qos_cost_of(U32_MAX, 12), 1 << 20);
	KUNIT_EXPECT_EQ(test, qos_cost_of(U32_MAX, QOS_UNIT_OFF), 1);
	KUNIT_EXPECT_EQ(test, qos_cost_of(0, 15), 1);
}

static void test_iops_held(struct kunit *test)
{
	static const u64 rates[] = { 1, 3, 7, 10, 1000, 99999, 100000 };
	static const u64 begins[] = { 0, 1, SEC, U64_MAX - SEC, U64_MAX / 2 - SEC };
	int i, b;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		for (b = 0; b < ARRAY_SIZE(begins); b++) {
			u64 seconds = rates[i] < 1000 ? 1000 : 3;
			struct qos_limits l = limits(rates[i], 0, 0, begins[b]);
			u64 n = run_limit(&l, cost(1, 4096), begins[b], seconds * SEC);

			KUNIT_EXPECT_GE_MSG(test, n + 1, seconds * rates[i], "%llu IOPS", rates[i]);
			KUNIT_EXPECT_LE_MSG(test, n, seconds * rates[i] + 1, "%llu IOPS", rates[i]);
		}
	}
}

static void test_bytes_held(struct kunit *test)
{
	static const u64 rates[] = { 1, 10, 1000, 100000, 20000000, 1ULL << 33 };
	u32 size;
	int i;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		for (size = 512; size <= 1 << 20; size *= 2) {
			/* some thousand requests, or half a year */
			u64 duration = min(div64_u64(3000ULL * size * SEC, rates[i]), YEAR / 2);
			struct qos_limits l = limits(0, rates[i], 0, SEC);
			u64 n = run_limit(&l, cost(qos_cost_of(size, 15), size), SEC, duration);
			u64 wanted = mul_u64_u64_div_u64(duration, rates[i], SEC);

			KUNIT_EXPECT_GE_MSG(test, (n + 1) * size, wanted,
					    "%llu bytes/s, %u at a time", rates[i], size);
			KUNIT_EXPECT_LE_MSG(test, n * size, wanted + size,
					    "%llu bytes/s, %u at a time", rates[i], size);
		}
	}
}

/* IOPS of requests of any size: large ones cost more than one unit, and are held to one of them. */
static void test_units_held(struct kunit *test)
{
	static const u64 rates[] = { 1, 10, 1000, 100000 };
	static const u8 shifts[] = { 12, 15, 18, QOS_UNIT_OFF };
	u64 n, wanted, duration;
	struct qos_limits l;
	u32 size, units;
	int i, s;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		for (s = 0; s < ARRAY_SIZE(shifts); s++) {
			for (size = 512; size <= 1 << 20; size *= 2) {
				units = qos_cost_of(size, shifts[s]);
				duration = div64_u64(2000ULL * units * SEC, rates[i]);
				l = limits(rates[i], 0, 0, SEC);
				n = run_limit(&l, cost(units, size), SEC, duration);
				wanted = mul_u64_u64_div_u64(duration, rates[i], SEC);
				KUNIT_EXPECT_GE_MSG(test, (n + 1) * units, wanted,
						    "%llu IOPS, %u at a time", rates[i], size);
				KUNIT_EXPECT_LE_MSG(test, n * units, wanted + units,
						    "%llu IOPS, %u at a time", rates[i], size);
			}
		}
	}

	l = limits(1000, 0, 0, 0);
	n = run_limit(&l, cost(qos_cost_of(64 << 10, 15), 64 << 10), 0, 10 * SEC);
	/* 64 KiB count twice */
	KUNIT_EXPECT_GE(test, n, 4999);
	KUNIT_EXPECT_LE(test, n, 5001);
}

static void test_burst(struct kunit *test)
{
	struct qos_limits l = limits(100, 0, 500 * MSEC, SEC);
	struct qos_cost one = cost(1, 0);
	int n;

	for (n = 0; !qos_after(qos_limits_take(&l, &one, SEC, SEC), SEC); n++)
		;
	KUNIT_EXPECT_EQ(test, n, 51);	/* half a second's, and the one that is due */

	/* what was not used in a long pause is no more than the burst */
	l = limits(100, 0, 500 * MSEC, SEC);
	for (n = 0; !qos_after(qos_limits_take(&l, &one, YEAR, YEAR), YEAR); n++)
		;
	KUNIT_EXPECT_EQ(test, n, 51);
}

static void test_larger_than_burst(struct kunit *test)
{
	struct qos_limits l = limits(0, 1 << 20, 100 * MSEC, 0);
	struct qos_cost large = cost(1, 8 << 20), small = cost(1, 512);

	/* it goes, and the next one pays */
	KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &large, SEC, SEC), SEC);
	KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &small, SEC, SEC), SEC + 8 * SEC - 100 * MSEC);
}

/* Two limits: the later one decides, and what is given back is there again. */
static void test_two_limits(struct kunit *test)
{
	struct qos_limits l = limits(1000, 1 << 20, 0, 0), before;
	struct qos_cost c = cost(1, 64 << 10);
	u64 n, due;

	n = run_limit(&l, c, 0, 10 * SEC);
	KUNIT_EXPECT_GE(test, n, 159);	/* 16 a second by bytes */
	KUNIT_EXPECT_LE(test, n, 161);
	l = limits(10, 1 << 30, 0, 0);
	n = run_limit(&l, c, 0, 10 * SEC);
	KUNIT_EXPECT_GE(test, n, 99);
	KUNIT_EXPECT_LE(test, n, 101);

	l = limits(10, 1 << 20, 0, SEC);
	KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &c, SEC, SEC), SEC);
	before = l;
	due = qos_limits_take(&l, &c, SEC, SEC);
	KUNIT_EXPECT_EQ(test, due, SEC + 100 * MSEC);
	qos_limits_give(&l, &c);
	KUNIT_EXPECT_MEMEQ(test, &l, &before, sizeof(l));
	KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &c, SEC, SEC), due);
}

static void test_give_is_exact(struct kunit *test)
{
	struct rnd_state rnd;
	int i, k;

	prandom_seed_state(&rnd, 20101004);
	for (i = 0; i < 2000; i++) {
		u64 now = (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);
		struct qos_limits l = limits(prandom_u32_state(&rnd) % 1000000,
					     (u64)prandom_u32_state(&rnd) << (prandom_u32_state(&rnd) % 10),
					     0, now), before;
		struct qos_cost c[8];

		before = l;
		for (k = 0; k < ARRAY_SIZE(c); k++) {
			c[k] = cost(prandom_u32_state(&rnd) % 1000, prandom_u32_state(&rnd));
			qos_limits_take(&l, &c[k], now, now);
		}
		/* in any order */
		for (k = 0; k < ARRAY_SIZE(c); k++)
			qos_limits_give(&l, &c[k]);
		KUNIT_ASSERT_MEMEQ(test, &l, &before, sizeof(l));
	}
}

/* A timer that is late loses nothing, a machine that stood still gets no more than its burst. */
static void test_late(struct kunit *test)
{
	struct qos_limits l = limits(1000, 0, 0, 0);
	struct qos_cost one = cost(1, 0);
	u64 now = 0, arrival = 0, n = 0;

	/* always served 3 ms late, a queue that never empties */
	while (now < 10 * SEC) {
		u64 due = qos_limits_take(&l, &one, arrival, now);

		if (qos_after(due, now))
			now = due + 3 * MSEC;
		n++;
	}
	KUNIT_EXPECT_GE(test, n, 9990);
	KUNIT_EXPECT_LE(test, n, 10001);

	now += 3600 * SEC;
	for (n = 0; !qos_after(qos_limits_take(&l, &one, arrival, now), now); n++)
		;
	KUNIT_EXPECT_LE(test, n, 12);	/* 10 ms of lateness, and one */
}

/* Over any window of a second: no more than the limit, the burst, and one request. */
static void any_second(struct kunit *test, u64 iops)
{
	enum { N = 60000 };
	const u64 burst = 100 * MSEC;
	u64 *when = kunit_kcalloc(test, N, sizeof(*when), GFP_KERNEL);
	struct qos_limits l = limits(iops, 0, burst, 0);
	struct qos_cost one = cost(1, 0);
	struct rnd_state rnd;
	u64 arrival = 0, now = 0;
	u64 most = 0;
	int i, from = 0;

	KUNIT_ASSERT_NOT_NULL(test, when);
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < N; i++) {
		u64 due;

		/* bursts, pauses, and trickles */
		switch (prandom_u32_state(&rnd) % 2048) {
		case 0:
			arrival += prandom_u32_state(&rnd) % (400 * MSEC);
			break;
		case 1 ... 1000:
			arrival += prandom_u32_state(&rnd) % MSEC;
			break;
		}
		if (qos_after(arrival, now))
			now = arrival;
		due = qos_limits_take(&l, &one, arrival, now);
		if (qos_after(due, now))
			now = due;
		when[i] = now;
		while (when[i] - when[from] >= SEC)
			from++;
		most = max_t(u64, most, i - from + 1);
	}
	KUNIT_EXPECT_LE(test, most, iops + iops / 10 + iops / 100 + 1);	/* ... and 10 ms of lateness */
	KUNIT_EXPECT_GE(test, most, iops);
	kunit_kfree(test, when);
}

static void test_any_second(struct kunit *test)
{
	any_second(test, 1);
	any_second(test, 10);
	any_second(test, 1000);
	any_second(test, 2000);
}

static void test_years(struct kunit *test)
{
	struct qos_limits l = limits(5, 4096, 0, 0);
	struct qos_cost c = cost(1, U32_MAX);
	struct qos_cost one = cost(1, 1);
	u64 now = 0;
	int i;

	/* 12 days of debt by one request */
	KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &c, 0, 0), 0);
	KUNIT_EXPECT_TRUE(test, qos_after(qos_limits_take(&l, &one, 0, 0), 12 * 24 * 3600 * SEC));
	/* and each time, however long the pause was, it goes at once: through the wrap at 584 years */
	for (i = 0; i < 100; i++) {
		now += 20 * YEAR;
		KUNIT_EXPECT_EQ(test, qos_limits_take(&l, &c, now, now), now);
	}
}

/* --- the scheduler ------------------------------------------------------------- */

/**
 * struct vm - a simulated disk with @depth requests that always wait
 * @limit: at its entry
 * @admitted: may queue the next one then
 */
struct vm {
	struct qos_flow		flow;
	struct qos_limits	limit;
	bool			active;
	unsigned int		depth;
	unsigned int		queued;
	u32			units;
	bool			claimed;
	u64			due;
	u64			served;
	u64			reserved;
};

#define VMS	8
struct sim {
	struct qos_sched	sched;
	struct vm		vm[VMS];
	u64			now;
	u64			idle;	/* times that the device had nothing to do */
};

static struct sim *sim_new(struct kunit *test, u64 now)
{
	struct sim *sim = kunit_kzalloc(test, sizeof(*sim), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, sim);
	sim->now = now;
	qos_sched_init(&sim->sched);
	for (i = 0; i < VMS; i++)
		qos_flow_init(&sim->vm[i].flow, now);
	return sim;
}

static struct vm *sim_vm(struct sim *sim, int i, u64 reservation, u64 limit, u32 shares)
{
	const u64 r[QOS_MEASURES] = { reservation, 0 };
	struct vm *vm = &sim->vm[i];

	vm->active = true;
	vm->depth = 32;
	vm->units = 1;
	vm->limit = limits(limit, 0, 0, sim->now);
	qos_flow_set(&sim->sched, &vm->flow, r, shares, 0, sim->now);
	return vm;
}

static void sim_arrive(struct sim *sim)
{
	int i;

	for (i = 0; i < VMS; i++) {
		struct vm *vm = &sim->vm[i];
		struct qos_cost c = cost(vm->units, 0);

		while (vm->active && vm->queued < vm->depth) {
			if (!vm->claimed)
				vm->due = qos_limits_take(&vm->limit, &c, sim->now, sim->now);
			vm->claimed = qos_after(vm->due, sim->now);
			if (vm->claimed)
				break;
			vm->queued++;
			qos_flow_wait(&sim->sched, &vm->flow, true, sim->now);
		}
	}
}

/* A device that does @capacity cost units a second, one request after the other. */
static void sim_run(struct sim *sim, u64 capacity, u64 duration)
{
	u64 end = sim->now + duration;

	while (qos_after(end, sim->now)) {
		enum qos_phase phase;
		struct qos_flow *f;
		struct qos_cost c;
		struct vm *vm;

		sim_arrive(sim);
		f = qos_sched_next(&sim->sched, sim->now, &phase);
		if (!f) {
			sim->idle++;
			sim->now += SEC / capacity;
			continue;
		}
		vm = container_of(f, struct vm, flow);
		c = cost(vm->units, 0);
		vm->queued--;
		vm->served += vm->units;
		vm->reserved += phase == QOS_BY_RESERVATION;
		qos_flow_charge(&sim->sched, f, &c, phase);
		if (!vm->queued)
			qos_flow_idle(&sim->sched, f, sim->now);
		sim->now += vm->units * SEC / capacity;
	}
}

static void sim_reset(struct sim *sim)
{
	int i;

	for (i = 0; i < VMS; i++)
		sim->vm[i].served = sim->vm[i].reserved = 0;
	sim->idle = 0;
}

/* Served within @permille of what is wanted. */
#define EXPECT_SERVED(test, vm, wanted, permille) do {					\
	u64 __w = (wanted), __d = __w * (permille) / 1000 + 1;				\
	KUNIT_EXPECT_GE((test), (vm)->served + __d, __w);				\
	KUNIT_EXPECT_LE((test), (vm)->served, __w + __d);				\
} while (0)

static void test_shares(struct kunit *test)
{
	static const u32 shares[] = { 1, 1, 1, 1, 2, 2 };
	struct sim *sim = sim_new(test, SEC);
	int i;

	for (i = 0; i < 6; i++)
		sim_vm(sim, i, 0, 0, shares[i]);
	sim_run(sim, 1000, 40 * SEC);
	for (i = 0; i < 6; i++)
		EXPECT_SERVED(test, &sim->vm[i], 5000 * shares[i], 20);
	KUNIT_EXPECT_EQ(test, sim->idle, 0);

	/* one stops: the others have it all */
	sim->vm[5].active = false;
	sim_run(sim, 1000, SEC);
	sim_reset(sim);
	sim_run(sim, 1000, 12 * SEC);
	for (i = 0; i < 5; i++)
		EXPECT_SERVED(test, &sim->vm[i], 2000 * shares[i], 20);
	KUNIT_EXPECT_EQ(test, sim->idle, 0);

	/* it comes back: its share, and nothing for the time it was away */
	sim->vm[5].active = true;
	sim_reset(sim);
	sim_run(sim, 1000, 8 * SEC);
	for (i = 0; i < 6; i++)
		EXPECT_SERVED(test, &sim->vm[i], 1000 * shares[i], 20);
}

/* Who sends requests four times as large gets a quarter as many. */
static void test_shares_by_cost(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);

	sim_vm(sim, 0, 0, 0, 1000);
	sim_vm(sim, 1, 0, 0, 1000)->units = 4;
	sim_vm(sim, 2, 0, 0, 2000)->units = 32;
	sim_run(sim, 1000, 40 * SEC);
	EXPECT_SERVED(test, &sim->vm[0], 10000, 20);
	EXPECT_SERVED(test, &sim->vm[1], 10000, 20);
	EXPECT_SERVED(test, &sim->vm[2], 20000, 20);
}

/* Reservation, limit and shares at once, and a capacity that falls and rises, as in the paper. */
static void test_reservation(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);
	struct vm *a = sim_vm(sim, 0, 0, 0, 1), *b = sim_vm(sim, 1, 0, 0, 2);
	struct vm *c = sim_vm(sim, 2, 600, 0, 1), *d = sim_vm(sim, 3, 0, 100, 4);

	sim_run(sim, 1200, 20 * SEC);
	EXPECT_SERVED(test, c, 12000, 20);
	EXPECT_SERVED(test, d, 2000, 5);
	EXPECT_SERVED(test, a, 10000 / 3, 20);
	EXPECT_SERVED(test, b, 20000 / 3, 20);
	KUNIT_EXPECT_EQ(test, sim->idle, 0);

	/* more than reserved by its shares: the reservation adds nothing */
	sim_reset(sim);
	sim_run(sim, 6100, 10 * SEC);
	EXPECT_SERVED(test, d, 1000, 5);
	EXPECT_SERVED(test, a, 15000, 20);
	EXPECT_SERVED(test, b, 30000, 20);
	EXPECT_SERVED(test, c, 15000, 20);

	/* little more than reserved */
	sim_reset(sim);
	sim_run(sim, 700, 100 * SEC);
	KUNIT_EXPECT_GE(test, c->served, 60000 * 98 / 100);
	EXPECT_SERVED(test, b, 2 * a->served, 20);
	KUNIT_EXPECT_EQ(test, sim->idle, 0);
}

/*
 * The paper's scene of reservations: five VMs with shares 1:1:2:2:2 begin one
 * after the other, and the first two have reserved more than their shares give
 * them when all are there. At last one of the others is limited.
 */
static void test_paper_reservations(struct kunit *test)
{
	static const u32 shares[] = { 1, 1, 2, 2, 2 };
	static const u32 reserved[] = { 300, 250, 0, 0, 0 };
	static const u32 wanted[6][5] = {	/* thirds of a request a second, of 1,200 */
		{ 3600 },
		{ 1800, 1800 },
		{ 900, 900, 1800 },
		{ 900, 750, 975, 975 },
		{ 900, 750, 650, 650, 650 },
		{ 900, 750, 300, 825, 825 },
	};
	struct sim *sim = sim_new(test, SEC);
	int step, i;

	for (step = 0; step < 6; step++) {
		if (step < 5)
			sim_vm(sim, step, reserved[step], 0, shares[step]);
		else
			sim->vm[2].limit = limits(100, 0, 0, sim->now);
		sim_run(sim, 1200, SEC);
		sim_reset(sim);
		sim_run(sim, 1200, 60 * SEC);
		for (i = 0; i < 5; i++)
			EXPECT_SERVED(test, &sim->vm[i], wanted[step][i] * 60 / 3, 20);
		KUNIT_EXPECT_EQ(test, sim->idle, 0);
	}
}

/* What shares gave does not count against the reservation. */
static void test_adjustment(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);
	struct vm *a = sim_vm(sim, 0, 100, 0, 1000);
	u64 tag;
	struct qos_cost one = cost(1, 0);

	qos_flow_wait(&sim->sched, &a->flow, true, SEC);
	KUNIT_EXPECT_EQ(test, (int)qos_flow_phase(&sim->sched, &a->flow, SEC),
			(int)QOS_BY_RESERVATION);
	qos_flow_charge(&sim->sched, &a->flow, &one, QOS_BY_RESERVATION);
	tag = a->flow.tag[QOS_OPS];
	KUNIT_EXPECT_EQ(test, tag, SEC + 10 * MSEC);
	KUNIT_EXPECT_EQ(test, (int)qos_flow_phase(&sim->sched, &a->flow, SEC),
			(int)QOS_BY_SHARES);
	qos_flow_charge(&sim->sched, &a->flow, &one, QOS_BY_SHARES);
	KUNIT_EXPECT_EQ(test, a->flow.tag[QOS_OPS], tag);
	KUNIT_EXPECT_EQ(test, (int)qos_flow_phase(&sim->sched, &a->flow, tag),
			(int)QOS_BY_RESERVATION);
	/* idle: it counts from when something waits again */
	qos_flow_idle(&sim->sched, &a->flow, SEC);
	qos_flow_wait(&sim->sched, &a->flow, true, 5 * SEC);
	KUNIT_EXPECT_EQ(test, a->flow.tag[QOS_OPS], 5 * SEC);
}

/* Reserved in bytes and in IOPS: both are met. */
static void test_two_reservations(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);
	const u64 by_bytes[QOS_MEASURES] = { 10, 100 * 4096 };
	const u64 by_ops[QOS_MEASURES] = { 200, 100 * 4096 };
	struct vm *a = sim_vm(sim, 0, 0, 0, 1);
	struct qos_cost c = cost(1, 4096);
	u64 now, due = 0;

	qos_flow_set(&sim->sched, &a->flow, by_bytes, 1, 0, SEC);
	qos_flow_wait(&sim->sched, &a->flow, true, SEC);
	for (now = SEC; now < 11 * SEC; now += MSEC) {
		if (qos_flow_phase(&sim->sched, &a->flow, now) == QOS_BY_RESERVATION) {
			qos_flow_charge(&sim->sched, &a->flow, &c, QOS_BY_RESERVATION);
			due++;
		}
	}
	KUNIT_EXPECT_GE(test, due, 999);
	KUNIT_EXPECT_LE(test, due, 1001);
	qos_flow_set(&sim->sched, &a->flow, by_ops, 1, 0, now);
	qos_flow_wait(&sim->sched, &a->flow, true, now);
	for (due = 0; now < 21 * SEC; now += MSEC) {
		if (qos_flow_phase(&sim->sched, &a->flow, now) == QOS_BY_RESERVATION) {
			qos_flow_charge(&sim->sched, &a->flow, &c, QOS_BY_RESERVATION);
			due++;
		}
	}
	KUNIT_EXPECT_GE(test, due, 1999);
	KUNIT_EXPECT_LE(test, due, 2001);
}

/* More reserved than there is: all are cut alike, and nobody is paid for it later. */
static void test_overcommitted(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);
	struct vm *a = sim_vm(sim, 0, 400, 0, 1), *b = sim_vm(sim, 1, 200, 0, 1);
	struct vm *c = sim_vm(sim, 2, 0, 0, 1000);

	sim_run(sim, 300, 60 * SEC);
	EXPECT_SERVED(test, a, 12000, 20);
	EXPECT_SERVED(test, b, 6000, 20);
	KUNIT_EXPECT_LE(test, c->served, 60);
	sim_reset(sim);
	sim_run(sim, 1600, 10 * SEC);
	EXPECT_SERVED(test, a, 4000, 20);
	EXPECT_SERVED(test, b, 2000, 20);
	EXPECT_SERVED(test, c, 10000, 20);
}

/* Who was idle is ahead by the credit, and by no more. */
static void test_idle_credit(struct kunit *test)
{
	static const u32 credits[] = { 0, 32, 1024 };
	const u64 none[QOS_MEASURES] = { };
	int i;

	for (i = 0; i < ARRAY_SIZE(credits); i++) {
		struct sim *sim = sim_new(test, SEC);
		struct vm *a = sim_vm(sim, 0, 0, 0, 1000), *b = sim_vm(sim, 1, 0, 0, 1000);
		u64 extra;

		qos_flow_set(&sim->sched, &b->flow, none, 1000, credits[i], SEC);
		b->active = false;
		sim_run(sim, 1000, 100 * SEC);
		b->active = true;
		sim_reset(sim);
		sim_run(sim, 1000, 10 * SEC);
		extra = b->served - min(a->served, b->served);
		KUNIT_EXPECT_LE(test, extra, credits[i] + 1);
		KUNIT_EXPECT_GE(test, extra + 1, credits[i]);
	}
}

/* A short pause does not make up for having had more than one's share. */
static void test_short_pause(struct kunit *test)
{
	struct sim *sim = sim_new(test, SEC);
	struct vm *a = sim_vm(sim, 0, 0, 0, 1000);
	struct qos_cost much = cost(1000, 0);
	u64 p;

	sim_vm(sim, 1, 0, 0, 1000);
	sim_run(sim, 1000, SEC);
	qos_flow_charge(&sim->sched, &a->flow, &much, QOS_BY_SHARES);
	p = a->flow.p;
	qos_flow_idle(&sim->sched, &a->flow, sim->now);
	qos_flow_wait(&sim->sched, &a->flow, true, sim->now + 10 * MSEC);
	KUNIT_EXPECT_EQ(test, a->flow.p, p);
	qos_flow_idle(&sim->sched, &a->flow, sim->now);
	qos_flow_wait(&sim->sched, &a->flow, true, sim->now + 2 * SEC);
	KUNIT_EXPECT_TRUE(test, qos_after(p, a->flow.p));
}

/* The same, whenever the clock and virtual time began: no sum or comparison minds a wrap. */
static void test_wrap(struct kunit *test)
{
	static const u64 begins[] = { U64_MAX - 5 * SEC, U64_MAX / 2 - 5 * SEC, 300 * YEAR };
	u64 served[4];
	int b, i;

	for (b = -1; b < (int)ARRAY_SIZE(begins); b++) {
		struct sim *sim = sim_new(test, b < 0 ? SEC : begins[b]);

		if (b >= 0)
			sim->sched.vt = U64_MAX - 1000000;
		sim_vm(sim, 0, 0, 0, 1);
		sim_vm(sim, 1, 0, 150, 1000);
		sim_vm(sim, 2, 500, 0, 7);
		sim_vm(sim, 3, 0, 0, 1000000);
		sim_run(sim, 1000, 20 * SEC);
		for (i = 0; i < 4; i++) {
			if (b < 0)
				served[i] = sim->vm[i].served;
			else
				KUNIT_EXPECT_EQ(test, sim->vm[i].served, served[i]);
		}
	}
}

/* Any settings at any time: something is always served, and nothing divides by zero. */
static void test_random(struct kunit *test)
{
	struct sim *sim = sim_new(test, U64_MAX - 100 * SEC);
	struct rnd_state rnd;
	int i, k;

	prandom_seed_state(&rnd, 2009);
	for (i = 0; i < 20000; i++) {
		struct vm *vm = &sim->vm[prandom_u32_state(&rnd) % VMS];
		struct qos_cost c = cost(prandom_u32_state(&rnd) >> prandom_u32_state(&rnd) % 32,
					 prandom_u32_state(&rnd) >> prandom_u32_state(&rnd) % 32);
		enum qos_phase phase;
		struct qos_flow *f;
		u64 rate[QOS_MEASURES];
		bool busy = false;

		for (k = 0; k < QOS_MEASURES; k++)
			rate[k] = prandom_u32_state(&rnd) % 3 ?
				  ((u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd)) >>
				  prandom_u32_state(&rnd) % 64 : 0;
		switch (prandom_u32_state(&rnd) % 8) {
		case 0:
			qos_flow_set(&sim->sched, &vm->flow, rate,
				     prandom_u32_state(&rnd) >> prandom_u32_state(&rnd) % 32,
				     prandom_u32_state(&rnd), sim->now);
			break;
		case 1:
			qos_limits_set(&vm->limit, rate, rate[0], sim->now);
			break;
		case 2:
			qos_limits_take(&vm->limit, &c, sim->now, sim->now);
			break;
		case 3:
			qos_flow_idle(&sim->sched, &vm->flow, sim->now);
			break;
		case 4:
			sim->now += prandom_u32_state(&rnd);
			fallthrough;
		default:
			qos_flow_wait(&sim->sched, &vm->flow, prandom_u32_state(&rnd) % 2,
				      sim->now);
		}
		for (k = 0; k < VMS; k++)
			busy |= sim->vm[k].flow.busy;
		f = qos_sched_next(&sim->sched, sim->now, &phase);
		KUNIT_ASSERT_EQ(test, !!f, busy);
		if (f)
			qos_flow_charge(&sim->sched, f, &c, phase);
	}
}

/* --- inside a disk ------------------------------------------------------------------ */

static void test_turns(struct kunit *test)
{
	struct qos_turns t = { };
	u64 units[2] = { };
	int i;

	/* both always wait; internal requests are larger */
	for (i = 0; i < 10000; i++) {
		bool internal = qos_turn_internal(&t, true, true, 8);
		u32 c = internal ? 8 : 1;

		units[internal] += c;
		qos_turn_served(&t, internal, true, c);
	}
	KUNIT_EXPECT_GE(test, 10 * units[1], 98 * (units[0] + units[1]) / 100);
	KUNIT_EXPECT_LE(test, 10 * units[1], 102 * (units[0] + units[1]) / 100);

	KUNIT_EXPECT_TRUE(test, qos_turn_internal(&t, false, true, 1));
	KUNIT_EXPECT_FALSE(test, qos_turn_internal(&t, true, false, 1));
	/* what comes after a pause finds no old debts */
	t.owed = 1000;
	qos_turn_served(&t, false, false, 1);
	KUNIT_EXPECT_FALSE(test, qos_turn_internal(&t, true, true, 1));
}

static struct kunit_case qos_engine_cases[] = {
	KUNIT_CASE(test_unit),
	KUNIT_CASE(test_iops_held),
	KUNIT_CASE(test_bytes_held),
	KUNIT_CASE(test_units_held),
	KUNIT_CASE(test_burst),
	KUNIT_CASE(test_larger_than_burst),
	KUNIT_CASE(test_two_limits),
	KUNIT_CASE(test_give_is_exact),
	KUNIT_CASE(test_late),
	KUNIT_CASE(test_any_second),
	KUNIT_CASE(test_years),
	KUNIT_CASE(test_shares),
	KUNIT_CASE(test_shares_by_cost),
	KUNIT_CASE(test_reservation),
	KUNIT_CASE(test_paper_reservations),
	KUNIT_CASE(test_adjustment),
	KUNIT_CASE(test_two_reservations),
	KUNIT_CASE(test_overcommitted),
	KUNIT_CASE(test_idle_credit),
	KUNIT_CASE(test_short_pause),
	KUNIT_CASE(test_wrap),
	KUNIT_CASE(test_random),
	KUNIT_CASE(test_turns),
	{}
};

static struct kunit_suite qos_engine_suite = {
	.name = "qos_engine",
	.test_cases = qos_engine_cases,
};

kunit_test_suite(qos_engine_suite);
