// SPDX-License-Identifier: GPL-2.0
/*
 * Storage I/O control: the window that follows latency.
 */
#include <kunit/test.h>
#include <linux/math64.h>
#include "../../kmod/qos/window.h"

#define USEC	((u64)NSEC_PER_USEC)
#define MSEC	((u64)NSEC_PER_MSEC)
#define SEC	((u64)NSEC_PER_SEC)

static void add(struct qos_latency *l, u64 ns, unsigned int count)
{
	l->count += count;
	l->sum += ns * count;
	l->bucket[qos_latency_bucket(ns)] += count;
}

static void test_buckets(struct kunit *test)
{
	unsigned int last = 0;
	u64 ns;

	for (ns = 1; ns && ns < 200 * SEC; ns += ns / 16 + 1) {
		unsigned int bucket = qos_latency_bucket(ns);
		struct qos_latency l = { };
		u64 median;

		KUNIT_EXPECT_GE(test, bucket, last);
		KUNIT_EXPECT_LT(test, bucket, QOS_LATENCY_BUCKETS);
		last = bucket;
		if (ns < 4096 || ns > 100 * SEC)
			continue;
		add(&l, ns, 1);
		median = qos_latency_median(&l);
		KUNIT_EXPECT_GE(test, median * 8, ns * 7);
		KUNIT_EXPECT_LE(test, median * 8, ns * 9 + 8 * 1024);
	}
	KUNIT_EXPECT_EQ(test, qos_latency_bucket(U64_MAX), QOS_LATENCY_BUCKETS - 1);
}

static void test_median(struct kunit *test)
{
	struct qos_latency l = { };

	KUNIT_EXPECT_EQ(test, qos_latency_median(&l), 0);
	add(&l, 0, 3);
	KUNIT_EXPECT_GT(test, qos_latency_median(&l), 0);
	add(&l, MSEC, 100);
	add(&l, SEC, 90);
	KUNIT_EXPECT_GE(test, qos_latency_median(&l), 7 * MSEC / 8);
	KUNIT_EXPECT_LE(test, qos_latency_median(&l), 9 * MSEC / 8);
	add(&l, SEC, 20);
	KUNIT_EXPECT_GE(test, qos_latency_median(&l), 7 * SEC / 8);
}

static void test_threshold(struct kunit *test)
{
	struct qos_window w;

	qos_window_init(&w, true, 0);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 30 * MSEC);
	KUNIT_EXPECT_FALSE(test, qos_window_wants_probe(&w, 1000 * SEC));
	w.set = 5 * MSEC;
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 5 * MSEC);

	qos_window_init(&w, false, 0);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 0);
	/* what a busy device shows is not what it takes */
	qos_window_median(&w, 50 * MSEC, false, 0);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 0);
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 0));
	qos_window_median(&w, 2 * MSEC, true, 0);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 16 * MSEC);
	KUNIT_EXPECT_FALSE(test, qos_window_wants_probe(&w, 29 * SEC));
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 30 * SEC));
	qos_window_median(&w, 50 * MSEC, false, 31 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 16 * MSEC);
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 31 * SEC));
	qos_window_median(&w, MSEC, false, 31 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 8 * MSEC);
	KUNIT_EXPECT_FALSE(test, qos_window_wants_probe(&w, 60 * SEC));
	qos_window_median(&w, 10 * USEC, true, 32 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 500 * USEC);

	/* a slow one is asked less often, for it takes longer to answer */
	qos_window_init(&w, false, 0);
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 0));
	qos_window_median(&w, 250 * MSEC, true, 0);
	KUNIT_EXPECT_FALSE(test, qos_window_wants_probe(&w, 99 * SEC));
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 100 * SEC));
	/* and one that never answered, by what it takes when it is busy */
	qos_window_init(&w, false, 0);
	w.latency = SEC;
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 0));
	w.measured = 0;
	KUNIT_EXPECT_FALSE(test, qos_window_wants_probe(&w, 399 * SEC));
	KUNIT_EXPECT_TRUE(test, qos_window_wants_probe(&w, 400 * SEC));
}

/* A device that has become slower is believed after two periods. */
static void test_slower(struct kunit *test)
{
	struct qos_window w;

	qos_window_init(&w, false, 0);
	qos_window_median(&w, 10 * USEC, true, 32 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 500 * USEC);
	qos_window_median(&w, 5 * MSEC, true, 70 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 500 * USEC);
	qos_window_median(&w, 5 * MSEC, true, 140 * SEC);
	KUNIT_EXPECT_EQ(test, qos_window_threshold(&w), 40 * MSEC);
}

/* A device that does @iops, one after the other, with the window always full. */
static void settle(struct qos_window *w, u64 iops, u64 reserved, unsigned int steps)
{
	while (steps--) {
		struct qos_latency l = { };

		add(&l, qos_window_ios(w) * SEC / iops, 100);
		qos_window_step(w, &l, true, reserved);
	}
}

static void test_control(struct kunit *test)
{
	struct qos_window w;
	u32 ios;

	qos_window_init(&w, false, 0);
	w.set = 20 * MSEC;
	settle(&w, 1000, 0, 50);
	ios = qos_window_ios(&w);
	/* latency a little above the threshold, as in the paper */
	KUNIT_EXPECT_GE(test, ios, 20);
	KUNIT_EXPECT_LE(test, ios, 26);
	settle(&w, 10000, 0, 50);
	KUNIT_EXPECT_GE(test, qos_window_ios(&w), 200);
	KUNIT_EXPECT_LE(test, qos_window_ios(&w), 210);
	/* a device that became ten times slower */
	settle(&w, 1000, 0, 50);
	KUNIT_EXPECT_EQ(test, qos_window_ios(&w), ios);
	settle(&w, 10, 0, 50);
	KUNIT_EXPECT_GE(test, qos_window_ios(&w), QOS_WINDOW_MIN);
	KUNIT_EXPECT_LE(test, qos_window_ios(&w), QOS_WINDOW_MIN + 2);
	settle(&w, 100000000, 0, 50);
	KUNIT_EXPECT_EQ(test, qos_window_ios(&w), QOS_WINDOW_MAX);
}

static void test_room_for_reservations(struct kunit *test)
{
	struct qos_window w;

	qos_window_init(&w, false, 0);
	w.set = MSEC;
	/* 2,000 a second that take 40 ms and more are 80 in flight */
	while (w.latency < 40 * MSEC) {
		struct qos_latency l = { };

		add(&l, 45 * MSEC, 10);
		qos_window_step(&w, &l, true, 2000);
	}
	KUNIT_EXPECT_GE(test, qos_window_ios(&w), 80);
	/* absurd figures stay within bounds */
	settle(&w, 1, U64_MAX, 10);
	KUNIT_EXPECT_EQ(test, qos_window_ios(&w), QOS_WINDOW_MAX);
}

static void test_no_step(struct kunit *test)
{
	struct qos_latency none = { }, fast = { }, slow = { };
	struct qos_window w;
	u64 size;

	qos_window_init(&w, false, 0);
	size = w.size;
	add(&fast, 100 * USEC, 10);
	add(&slow, SEC, 10);
	/* nothing known, nothing measured: nothing done */
	qos_window_step(&w, &slow, true, 0);
	KUNIT_EXPECT_EQ(test, w.size, size);
	w.set = 10 * MSEC;
	qos_window_step(&w, &none, true, 0);
	KUNIT_EXPECT_EQ(test, w.size, size);
	/* nobody had to wait: no reason to grow; too slow: reason enough to shrink */
	w.latency = 0;
	qos_window_step(&w, &fast, false, 0);
	KUNIT_EXPECT_EQ(test, w.size, size);
	qos_window_step(&w, &slow, false, 0);
	KUNIT_EXPECT_LT(test, w.size, size);
}

/* A device that takes no time at all divides nothing by zero. */
static void test_no_time(struct kunit *test)
{
	struct qos_latency instant = { .count = 10 };
	struct qos_window w;
	u64 size;

	qos_window_init(&w, false, 0);
	w.set = 10 * MSEC;
	size = w.size;
	qos_window_step(&w, &instant, true, 0);
	KUNIT_EXPECT_GT(test, w.size, size);
}

static struct kunit_case qos_window_cases[] = {
	KUNIT_CASE(test_buckets),
	KUNIT_CASE(test_median),
	KUNIT_CASE(test_threshold),
	KUNIT_CASE(test_slower),
	KUNIT_CASE(test_control),
	KUNIT_CASE(test_room_for_reservations),
	KUNIT_CASE(test_no_step),
	KUNIT_CASE(test_no_time),
	{}
};

static struct kunit_suite qos_window_suite = {
	.name = "qos_window",
	.test_cases = qos_window_cases,
};

kunit_test_suite(qos_window_suite);
