// SPDX-License-Identifier: GPL-2.0
/*
 * Overlapping requests take turns, in the order in which they came.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include "../../kmod/compat.h"
#include "../../kmod/replication/overlap.h"

#define GRANULE	(1ULL << REPL_GRANULE_SHIFT)

static struct repl_overlap *overlap(struct kunit *test)
{
	struct repl_overlap *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, o);
	overlap_init(o);
	return o;
}

static struct repl_range *range(struct kunit *test, u64 first, u64 last)
{
	struct repl_range *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->first = first;
	r->last = last;
	return r;
}

/* Returns how many are granted by it, on @granted. */
static size_t leave(struct repl_overlap *o, struct repl_range *r, struct list_head *granted)
{
	INIT_LIST_HEAD(granted);
	if (overlap_leave(o, r))
		overlap_grant(o, r, granted);
	return list_count_nodes(granted);
}

static void what_does_not_overlap_is_granted(struct kunit *test)
{
	struct repl_overlap *o = overlap(test);
	struct list_head granted;
	struct repl_range *a = range(test, 0, 7), *b = range(test, 8, 15), *c = range(test, 7, 7);

	KUNIT_EXPECT_TRUE(test, overlap_enter(o, a));
	KUNIT_EXPECT_TRUE(test, overlap_enter(o, b));
	KUNIT_EXPECT_FALSE(test, overlap_enter(o, c));
	KUNIT_EXPECT_EQ(test, leave(o, b, &granted), 0);
	KUNIT_EXPECT_EQ(test, leave(o, a, &granted), 1);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), c);
	KUNIT_EXPECT_FALSE(test, overlap_empty(o));
	leave(o, c, &granted);
	KUNIT_EXPECT_TRUE(test, overlap_empty(o));
}

/* c overlaps both, d only c: d waits for c though nothing that is granted touches it. */
static void none_is_overtaken(struct kunit *test)
{
	struct repl_overlap *o = overlap(test);
	struct list_head granted;
	struct repl_range *a = range(test, 0, 1), *b = range(test, 4, 5);
	struct repl_range *c = range(test, 0, 7), *d = range(test, 6, 9);

	overlap_enter(o, a);
	overlap_enter(o, b);
	KUNIT_EXPECT_FALSE(test, overlap_enter(o, c));
	KUNIT_EXPECT_FALSE(test, overlap_enter(o, d));
	KUNIT_EXPECT_EQ(test, leave(o, a, &granted), 0);
	KUNIT_EXPECT_EQ(test, leave(o, b, &granted), 1);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), c);
	KUNIT_EXPECT_EQ(test, leave(o, c, &granted), 1);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&granted, struct repl_range, entry), d);
	leave(o, d, &granted);
}

/* The one that came last can go again without a trace. */
static void the_last_one_may_give_up(struct kunit *test)
{
	static const u64 last[] = { 15, GRANULE + 5 };
	int i;

	for (i = 0; i < ARRAY_SIZE(last); i++) {
		struct repl_overlap *o = overlap(test);
		struct repl_range *a = range(test, 0, 9), *b = range(test, 5, last[i]);
		struct list_head granted;

		overlap_enter(o, a);
		KUNIT_EXPECT_FALSE(test, overlap_enter(o, b));
		overlap_leave(o, b);
		KUNIT_EXPECT_EQ(test, leave(o, a, &granted), 0);
		KUNIT_EXPECT_TRUE(test, overlap_empty(o));
	}
}

/* Both ways round: beyond a granule, beyond so many that all buckets are looked at. */
static void wide_ones_meet_small_ones(struct kunit *test)
{
	static const u64 widths[] = {
		2, GRANULE, 5 * GRANULE, GRANULE << REPL_BUCKET_BITS, 3 * GRANULE << REPL_BUCKET_BITS,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(widths); i++) {
		struct repl_overlap *o = overlap(test);
		u64 begin = 1000 * GRANULE - 1, end = begin + widths[i] - 1;
		struct repl_range *wide = range(test, begin, end);
		struct repl_range *before = range(test, begin - 1, begin - 1);
		struct repl_range *first = range(test, begin, begin);
		struct repl_range *last = range(test, end, end);
		struct repl_range *behind = range(test, end + 1, end + 1);
		struct list_head granted;

		KUNIT_EXPECT_TRUE(test, overlap_enter(o, before));
		KUNIT_EXPECT_TRUE(test, overlap_enter(o, first));
		KUNIT_EXPECT_TRUE(test, overlap_enter(o, behind));
		KUNIT_EXPECT_FALSE(test, overlap_enter(o, wide));
		KUNIT_EXPECT_EQ(test, wide->blockers, 1);
		KUNIT_EXPECT_FALSE(test, overlap_enter(o, last));
		KUNIT_EXPECT_EQ(test, leave(o, behind, &granted), 0);
		KUNIT_EXPECT_EQ(test, leave(o, before, &granted), 0);
		KUNIT_EXPECT_TRUE(test, overlap_enter(o, before));
		KUNIT_EXPECT_EQ(test, leave(o, first, &granted), 1);
		KUNIT_EXPECT_EQ(test, wide->blockers, 0);
		KUNIT_EXPECT_EQ(test, leave(o, wide, &granted), 1);
		KUNIT_EXPECT_EQ(test, last->blockers, 0);
		leave(o, last, &granted);
		leave(o, before, &granted);
		KUNIT_EXPECT_TRUE(test, overlap_empty(o));
	}
}

#define DEPTH	32

/* Sectors among which requests lie, and the longest that they are. */
struct shape {
	const char	*name;
	u64		space;
	u64		longest;
	u32		far;	/* one of so many is elsewhere, or reaches from there */
};

/*
 * Against a model: never two overlapping ones at once, always in order, all granted in the end.
 */
static void random_requests(struct kunit *test)
{
	static const struct shape shapes[] = {
		{ "within a granule", GRANULE, 8, 0 },
		{ "some granules", 8 * GRANULE, GRANULE / 2, 0 },
		{ "small and wide", 8 * GRANULE, 3 * GRANULE, 0 },
		/* so many granules that some have one bucket, and not so many that all are looked at */
		{ "two granules, one bucket", 256 * GRANULE, 200 * GRANULE, 0 },
		{ "from one end to the other", 4 * GRANULE, GRANULE, 8 },
	};
	struct repl_range *r[DEPTH];
	u64 came[DEPTH], count = 0;
	const struct shape *s;
	struct rnd_state rnd;
	int i, k, step;

	prandom_seed_state(&rnd, 4711);
	for (i = 0; i < DEPTH; i++)
		r[i] = range(test, 0, 0);
	for (s = shapes; s < shapes + ARRAY_SIZE(shapes); s++) {
		struct repl_overlap *o = overlap(test);
		bool in[DEPTH] = {}, on[DEPTH] = {};
		unsigned int waited = 0;

		for (step = 0; step < 10000; step++) {
			i = prandom_u32_state(&rnd) % DEPTH;
			if (!in[i]) {
				r[i]->first = prandom_u32_state(&rnd) % s->space;
				r[i]->last = r[i]->first + prandom_u32_state(&rnd) %
					     (prandom_u32_state(&rnd) % 2 ? 8 : s->longest);
				if (s->far && !(prandom_u32_state(&rnd) % s->far)) {
					r[i]->last += GRANULE << 20;
					if (prandom_u32_state(&rnd) % 2)
						r[i]->first += GRANULE << 20;
				}
				came[i] = count++;
				in[i] = true;
				on[i] = overlap_enter(o, r[i]);
				waited += !on[i];
			} else if (on[i]) {
				struct repl_range *q, *next;
				struct list_head granted;

				in[i] = on[i] = false;
				leave(o, r[i], &granted);
				list_for_each_entry_safe(q, next, &granted, entry)
					for (k = 0; k < DEPTH; k++)
						on[k] |= r[k] == q;
			}
			/* granted exactly when nothing older that overlaps is in */
			for (i = 0; i < DEPTH; i++) {
				bool blocked = false;

				for (k = 0; in[i] && k < DEPTH; k++)
					blocked |= in[k] && came[k] < came[i] &&
						   r[k]->first <= r[i]->last &&
						   r[i]->first <= r[k]->last;
				if (in[i] && on[i] == blocked) {
					KUNIT_FAIL(test, "%s, step %d: range %d granted %d blocked %d",
						   s->name, step, i, on[i], blocked);
					return;
				}
			}
		}
		KUNIT_EXPECT_GT_MSG(test, waited, 100, "%s", s->name);
	}
}

static struct kunit_case repl_overlap_cases[] = {
	KUNIT_CASE(what_does_not_overlap_is_granted),
	KUNIT_CASE(none_is_overtaken),
	KUNIT_CASE(the_last_one_may_give_up),
	KUNIT_CASE(wide_ones_meet_small_ones),
	KUNIT_CASE(random_requests),
	{}
};

static struct kunit_suite repl_overlap_suite = {
	.name = "repl_overlap",
	.test_cases = repl_overlap_cases,
};

kunit_test_suite(repl_overlap_suite);
