// SPDX-License-Identifier: GPL-2.0
/*
 * Overlapping requests take turns, in the order in which they came.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include "../../kmod/replication/overlap.h"

static struct repl_range *range(struct kunit *test, u64 first, u64 last)
{
	struct repl_range *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->first = first;
	r->last = last;
	return r;
}

static void what_does_not_overlap_is_granted(struct kunit *test)
{
	struct repl_overlap o;
	LIST_HEAD(granted);
	struct repl_range *a = range(test, 0, 7), *b = range(test, 8, 15), *c = range(test, 7, 7);

	overlap_init(&o);
	KUNIT_EXPECT_TRUE(test, overlap_enter(&o, a));
	KUNIT_EXPECT_TRUE(test, overlap_enter(&o, b));
	KUNIT_EXPECT_FALSE(test, overlap_enter(&o, c));
	overlap_leave(&o, b, &granted);
	KUNIT_EXPECT_TRUE(test, list_empty(&granted));
	overlap_leave(&o, a, &granted);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&granted));
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), c);
	INIT_LIST_HEAD(&granted);
	overlap_leave(&o, c, &granted);
	KUNIT_EXPECT_TRUE(test, overlap_empty(&o));
}

/* c overlaps both, d only c: d waits for c though nothing that is granted touches it. */
static void none_is_overtaken(struct kunit *test)
{
	struct repl_overlap o;
	LIST_HEAD(granted);
	struct repl_range *a = range(test, 0, 1), *b = range(test, 4, 5);
	struct repl_range *c = range(test, 0, 7), *d = range(test, 6, 9);

	overlap_init(&o);
	overlap_enter(&o, a);
	overlap_enter(&o, b);
	KUNIT_EXPECT_FALSE(test, overlap_enter(&o, c));
	KUNIT_EXPECT_FALSE(test, overlap_enter(&o, d));
	overlap_leave(&o, a, &granted);
	KUNIT_EXPECT_TRUE(test, list_empty(&granted));
	overlap_leave(&o, b, &granted);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), c);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&granted));
	INIT_LIST_HEAD(&granted);
	overlap_leave(&o, c, &granted);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), d);
	INIT_LIST_HEAD(&granted);
	overlap_leave(&o, d, &granted);
}

/* The one that came last can go again without a trace. */
static void the_last_one_may_give_up(struct kunit *test)
{
	struct repl_overlap o;
	LIST_HEAD(granted);
	struct repl_range *a = range(test, 0, 9), *b = range(test, 5, 15);

	overlap_init(&o);
	overlap_enter(&o, a);
	KUNIT_EXPECT_FALSE(test, overlap_enter(&o, b));
	overlap_leave(&o, b, &granted);
	overlap_leave(&o, a, &granted);
	KUNIT_EXPECT_TRUE(test, list_empty(&granted));
	KUNIT_EXPECT_TRUE(test, overlap_empty(&o));
}

#define DEPTH	32
#define SPACE	64

/* Against a model: never two overlapping ones at once, always in order, all granted in the end. */
static void random_requests(struct kunit *test)
{
	struct repl_range *r[DEPTH];
	u64 came[DEPTH], count = 0;
	bool in[DEPTH] = {}, on[DEPTH] = {};
	struct rnd_state rnd;
	struct repl_overlap o;
	int i, k, step;

	prandom_seed_state(&rnd, 4711);
	overlap_init(&o);
	for (i = 0; i < DEPTH; i++)
		r[i] = range(test, 0, 0);
	for (step = 0; step < 20000; step++) {
		i = prandom_u32_state(&rnd) % DEPTH;
		if (!in[i]) {
			r[i]->first = prandom_u32_state(&rnd) % SPACE;
			r[i]->last = r[i]->first + prandom_u32_state(&rnd) % 8;
			came[i] = count++;
			in[i] = true;
			on[i] = overlap_enter(&o, r[i]);
		} else if (on[i]) {
			struct repl_range *q, *next;
			LIST_HEAD(granted);

			in[i] = on[i] = false;
			overlap_leave(&o, r[i], &granted);
			list_for_each_entry_safe(q, next, &granted, entry)
				for (k = 0; k < DEPTH; k++)
					on[k] |= r[k] == q;
		}
		/* granted exactly when nothing older that overlaps is in */
		for (i = 0; i < DEPTH; i++) {
			bool blocked = false;

			for (k = 0; in[i] && k < DEPTH; k++)
				blocked |= in[k] && came[k] < came[i] &&
					   r[k]->first <= r[i]->last && r[i]->first <= r[k]->last;
			if (in[i] && on[i] == blocked) {
				KUNIT_FAIL(test, "step %d: range %d granted %d blocked %d", step, i,
					   on[i], blocked);
				return;
			}
		}
	}
}

static struct kunit_case repl_overlap_cases[] = {
	KUNIT_CASE(what_does_not_overlap_is_granted),
	KUNIT_CASE(none_is_overtaken),
	KUNIT_CASE(the_last_one_may_give_up),
	KUNIT_CASE(random_requests),
	{}
};

static struct kunit_suite repl_overlap_suite = {
	.name = "repl_overlap",
	.test_cases = repl_overlap_cases,
};

kunit_test_suite(repl_overlap_suite);
