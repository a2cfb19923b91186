// SPDX-License-Identifier: GPL-2.0
/*
 * The intent engine: an extent is on the sidecar before a write to it goes down,
 * and turns cold only when nobody wrote since it was looked at.
 */
#include <kunit/test.h>
#include "../../kmod/replication/intent.h"

#define EXTENT(n)	((u64)(n) << REPL_INTENT_SHIFT)
#define CAP		4

static struct repl_intent *new_intent(struct kunit *test, u64 extents)
{
	struct repl_intent *ti = kunit_kzalloc(test, sizeof(*ti), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ti);
	KUNIT_ASSERT_EQ(test, intent_init(ti, EXTENT(extents), CAP), 0);
	return ti;
}

static void heat(struct repl_intent *ti)
{
	intent_write_begin(ti);
	intent_write_end(ti);
}

static bool on_page(struct repl_intent *ti, u32 extent)
{
	static struct vaio_sc_disk_page page;

	intent_fill(ti, extent / VAIO_SC_PAGE_BITS, &page);
	extent %= VAIO_SC_PAGE_BITS;
	return page.bits[extent / 8] & (1U << (extent % 8));
}

static void the_first_write_waits_for_the_page(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);

	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(7), 8), 1);
	KUNIT_EXPECT_TRUE(test, on_page(ti, 7));
	/* so does the second, while the first is being noted */
	KUNIT_EXPECT_TRUE(test, intent_write_begin(ti));
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(7), 8), 1);
	KUNIT_EXPECT_EQ(test, intent_writing_page(ti, 0), 0);
	intent_write_end(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(7) + 5, 8), 0);
	KUNIT_EXPECT_FALSE(test, intent_write_begin(ti));
	intent_free(ti);
}

/* One that became new while a page was written is not hot with it. */
static void each_waits_for_its_own_page_write(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);

	intent_enter(ti, EXTENT(1), 1);
	intent_write_begin(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(2), 1), 1);
	intent_write_end(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(1), 1), 0);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(2), 1), 1);
	intent_free(ti);
}

static void a_write_over_two_extents_needs_both(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);

	intent_enter(ti, EXTENT(1), 1);
	heat(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(2) - 1, 2), 1);
	heat(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(2) - 1, 2), 0);
	KUNIT_EXPECT_EQ(test, ti->used, 2);
	intent_free(ti);
}

/* What needs no more than counting: one extent, and hot. Else nothing is counted. */
static void the_short_way_is_for_hot_ones(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);

	KUNIT_EXPECT_FALSE(test, intent_enter_hot(ti, EXTENT(1), 8));
	KUNIT_EXPECT_EQ(test, ti->used, 0);
	intent_enter(ti, EXTENT(1), 8);
	KUNIT_EXPECT_FALSE(test, intent_enter_hot(ti, EXTENT(1), 8));
	intent_write_begin(ti);
	KUNIT_EXPECT_FALSE(test, intent_enter_hot(ti, EXTENT(1), 8));
	intent_write_end(ti);
	KUNIT_EXPECT_EQ(test, ti->slot[0].writes, 1);
	KUNIT_EXPECT_TRUE(test, intent_enter_hot(ti, EXTENT(2) - 8, 8));
	KUNIT_EXPECT_EQ(test, ti->slot[0].writes, 2);
	KUNIT_EXPECT_EQ(test, ti->slot[0].uses, 2);
	KUNIT_EXPECT_FALSE(test, intent_enter_hot(ti, EXTENT(2) - 4, 8));
	KUNIT_EXPECT_FALSE(test, intent_enter_hot(ti, EXTENT(1) - 4, 8));
	KUNIT_EXPECT_EQ(test, ti->slot[0].writes, 2);
	intent_leave(ti, EXTENT(2) - 8, 8, 5);
	intent_leave(ti, EXTENT(1), 8, 4);
	KUNIT_EXPECT_EQ(test, ti->slot[0].writes, 0);
	KUNIT_EXPECT_EQ(test, ti->slot[0].seq, 5);
	intent_free(ti);
}

static void there_is_a_cap(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);
	u32 uses;
	int i;

	for (i = 0; i < CAP; i++)
		KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(10 + i), 1), 1);
	heat(ti);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(50), 1), -ENOSPC);
	/* nothing was counted for it, and hot ones go on */
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(10), 1), 0);
	KUNIT_EXPECT_TRUE(test, intent_warm(ti, EXTENT(11) - 1, 2));
	KUNIT_EXPECT_FALSE(test, intent_warm(ti, EXTENT(10) - 1, 2));
	/* half of it free is not enough for two */
	intent_leave(ti, EXTENT(13), 1, 0);
	KUNIT_EXPECT_TRUE(test, intent_pick(ti, 3, false, &uses));
	KUNIT_EXPECT_TRUE(test, intent_cool(ti, 3, uses));
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(61) - 1, 2), -ENOSPC);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(50), 1), 1);
	intent_free(ti);
}

static void none_turns_cold_under_a_write(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);
	u32 uses;

	intent_enter(ti, EXTENT(5), 1);
	heat(ti);
	KUNIT_EXPECT_FALSE(test, intent_pick(ti, 0, false, &uses));
	intent_leave(ti, EXTENT(5), 1, 77);
	KUNIT_EXPECT_EQ(test, ti->slot[0].seq, 77);
	KUNIT_EXPECT_TRUE(test, intent_pick(ti, 0, false, &uses));
	/* a whole write between the look and the decision, its flush may not cover it */
	intent_enter(ti, EXTENT(5), 1);
	intent_leave(ti, EXTENT(5), 1, 78);
	KUNIT_EXPECT_FALSE(test, intent_cool(ti, 0, uses));
	KUNIT_EXPECT_TRUE(test, on_page(ti, 5));
	KUNIT_EXPECT_TRUE(test, intent_pick(ti, 0, false, &uses));
	KUNIT_EXPECT_TRUE(test, intent_cool(ti, 0, uses));
	KUNIT_EXPECT_FALSE(test, on_page(ti, 5));
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(5), 1), 1);
	intent_free(ti);
}

static void busy_ones_stay_hot_without_need(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);
	u32 uses;

	intent_enter(ti, EXTENT(5), 1);
	heat(ti);
	intent_leave(ti, EXTENT(5), 1, 1);
	KUNIT_EXPECT_FALSE(test, intent_pick(ti, 0, true, &uses));
	KUNIT_EXPECT_TRUE(test, intent_pick(ti, 0, true, &uses));
	intent_free(ti);
}

static void growing_keeps_what_is_hot(struct kunit *test)
{
	struct repl_intent *ti = new_intent(test, 100);
	struct repl_intent grown;

	intent_enter(ti, EXTENT(5), 1);
	heat(ti);
	KUNIT_ASSERT_EQ(test, intent_init(&grown, EXTENT(VAIO_SC_PAGE_BITS + 5), CAP), 0);
	intent_grow_begin(ti, &grown);
	/* its group is left just then */
	ti->slot[ti->index[5] - 1].seq = 77;
	intent_grow_end(ti, &grown);
	intent_free(&grown);
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(5), 1), 0);
	KUNIT_EXPECT_EQ(test, intent_lookup(ti, 5)->seq, 77);
	KUNIT_EXPECT_TRUE(test, on_page(ti, 5));
	KUNIT_EXPECT_EQ(test, intent_enter(ti, EXTENT(VAIO_SC_PAGE_BITS + 1), 1), 1);
	KUNIT_EXPECT_TRUE(test, intent_write_begin(ti));
	KUNIT_EXPECT_EQ(test, intent_writing_page(ti, 0), 1);
	intent_free(ti);
}

static struct kunit_case repl_intent_cases[] = {
	KUNIT_CASE(the_first_write_waits_for_the_page),
	KUNIT_CASE(each_waits_for_its_own_page_write),
	KUNIT_CASE(a_write_over_two_extents_needs_both),
	KUNIT_CASE(the_short_way_is_for_hot_ones),
	KUNIT_CASE(there_is_a_cap),
	KUNIT_CASE(none_turns_cold_under_a_write),
	KUNIT_CASE(busy_ones_stay_hot_without_need),
	KUNIT_CASE(growing_keeps_what_is_hot),
	{}
};

static struct kunit_suite repl_intent_suite = {
	.name = "repl_intent",
	.test_cases = repl_intent_cases,
};

kunit_test_suite(repl_intent_suite);
