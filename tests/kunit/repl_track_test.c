// SPDX-License-Identifier: GPL-2.0
/*
 * The tracking engine: nothing that the consumer lacks is ever missing from what
 * would be found after a crash.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include "../../kmod/replication/track.h"

#define SHIFT	7		/* sectors of 64 KiB */
#define BLK(n)	((u64)(n) << SHIFT)

static struct repl_track *new_track(struct kunit *test, u64 bits)
{
	struct repl_track *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_EQ(test, track_init(t, SHIFT, bits << SHIFT), 0);
	return t;
}

/* The page as it would be on the sidecar now. */
static struct vaio_sc_disk_page *page_of(struct kunit *test, struct repl_track *t, u32 index)
{
	struct vaio_sc_disk_page *page = kunit_kzalloc(test, sizeof(*page), GFP_KERNEL);

	track_fill(t, index, page);
	return page;
}

static bool bit_on(const struct vaio_sc_disk_page *page, u32 bit)
{
	return page->bits[bit / 8] & (1U << (bit % 8));
}

static void part_of_a_block_is_the_block(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);

	track_mark(t, BLK(3) + 127, 2);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 2);
	KUNIT_EXPECT_TRUE(test, test_bit(3, t->dirty.map));
	KUNIT_EXPECT_TRUE(test, test_bit(4, t->dirty.map));
	track_mark(t, BLK(3), 1);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 2);
	track_mark_all(t);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 100);
	track_free(t);
}

static void on_its_way_it_counts_as_dirty(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);
	u32 run;

	track_mark(t, BLK(5), 256);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 0, 2, &run), 5);
	KUNIT_EXPECT_EQ(test, run, 2);
	track_take(t, &t->dirty, 5, 2);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 0);
	KUNIT_EXPECT_FALSE(test, track_clean(t));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 5));
	/* written to meanwhile, untracked */
	track_mark(t, BLK(6), 1);
	track_done(t, 5, 2);
	KUNIT_EXPECT_FALSE(test, bit_on(page_of(test, t, 0), 5));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 6));
	track_free(t);
}

static void what_is_on_its_way_is_not_sent_twice(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);
	u32 run;

	track_mark(t, BLK(5), 3 << SHIFT);
	track_take(t, &t->dirty, 6, 1);
	/* dirty again: a write below failed */
	track_mark(t, BLK(6), 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 0, 4, &run), 5);
	KUNIT_EXPECT_EQ(test, run, 1);
	track_take(t, &t->dirty, 5, 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 6, 4, &run), 7);
	track_take(t, &t->dirty, 7, 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 0, 4, &run), -1);
	track_done(t, 6, 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 0, 4, &run), 6);
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 6));
	track_free(t);
}

static void lost_on_its_way_it_is_dirty_again(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);

	track_mark(t, BLK(5), 1);
	track_mark(t, BLK(70), 1);
	track_take(t, &t->dirty, 5, 1);
	track_take(t, &t->dirty, 70, 1);
	track_back_all(t);
	KUNIT_EXPECT_EQ(test, t->inflight.count, 0);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 2);
	/* its answer comes late */
	track_done(t, 5, 1);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 2);
	track_free(t);
}

static void what_was_only_compared_is_dirty_when_it_is_lost(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);

	track_check_all(t);
	KUNIT_EXPECT_FALSE(test, bit_on(page_of(test, t, 0), 9));
	track_take(t, &t->check, 9, 1);
	KUNIT_EXPECT_EQ(test, t->check.count, 99);
	KUNIT_EXPECT_GE(test, track_page(t, &t->must, 0), 0);
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 9));
	track_back_all(t);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 1);
	track_free(t);
}

static void the_search_goes_round(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);
	u32 run;

	track_mark(t, BLK(10), 3 << SHIFT);
	track_mark(t, BLK(99), 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 11, 2, &run), 11);
	KUNIT_EXPECT_EQ(test, run, 2);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 13, 2, &run), 99);
	KUNIT_EXPECT_EQ(test, run, 1);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->dirty, 100, 2, &run), 10);
	KUNIT_EXPECT_EQ(test, track_next(t, &t->inflight, 0, 2, &run), -1);
	track_free(t);
}

static void spilled_bits_go_with_their_records(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);

	track_spill(t, BLK(1), 1);
	track_spill_end(t, 10);
	track_spill(t, BLK(2), 1);
	track_spill_end(t, 20);
	/* a busy disk goes on spilling; the second set's record moves, the first one's does not */
	track_spill(t, BLK(3), 1);
	track_spill_end(t, 30);
	KUNIT_EXPECT_TRUE(test, track_clean(t));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 1));
	KUNIT_EXPECT_FALSE(test, track_spill_drop(t, 9));
	KUNIT_EXPECT_TRUE(test, track_spill_drop(t, 10));
	KUNIT_EXPECT_GE(test, track_page(t, &t->stale, 0), 0);
	KUNIT_EXPECT_FALSE(test, bit_on(page_of(test, t, 0), 1));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 2));
	KUNIT_EXPECT_FALSE(test, track_spill_drop(t, 29));
	track_spill(t, BLK(4), 1);
	track_spill_end(t, 40);
	KUNIT_EXPECT_TRUE(test, track_spill_drop(t, 30));
	KUNIT_EXPECT_FALSE(test, bit_on(page_of(test, t, 0), 3));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 4));
	track_free(t);
}

static void only_new_ones_must_be_written(struct kunit *test)
{
	struct repl_track *t = new_track(test, 2 * VAIO_SC_PAGE_BITS);

	track_mark(t, BLK(VAIO_SC_PAGE_BITS), 1);
	KUNIT_EXPECT_EQ(test, track_page(t, &t->must, 0), 1);
	page_of(test, t, 1);
	KUNIT_EXPECT_EQ(test, track_page(t, &t->must, 0), -1);
	track_take(t, &t->dirty, VAIO_SC_PAGE_BITS, 1);
	track_done(t, VAIO_SC_PAGE_BITS, 1);
	KUNIT_EXPECT_EQ(test, track_page(t, &t->must, 0), -1);
	KUNIT_EXPECT_EQ(test, track_page(t, &t->stale, 0), 1);
	track_free(t);
}

static void pages_are_read_as_they_were_written(struct kunit *test)
{
	struct repl_track *t = new_track(test, VAIO_SC_PAGE_BITS + 77);
	struct repl_track *u = new_track(test, VAIO_SC_PAGE_BITS + 77);
	struct rnd_state rnd;
	int i;

	prandom_seed_state(&rnd, 99);
	for (i = 0; i < 500; i++)
		track_mark(t, BLK(prandom_u32_state(&rnd) % t->nr), 1);
	track_mark(t, BLK(1003), 99 << SHIFT);
	for (i = 0; i < t->pages; i++)
		track_load(u, i, page_of(test, t, i));
	KUNIT_EXPECT_EQ(test, t->dirty.count, u->dirty.count);
	KUNIT_EXPECT_MEMEQ(test, t->dirty.map, u->dirty.map, BITS_TO_LONGS(t->nr) * sizeof(long));
	track_free(t);
	track_free(u);
}

static void bits_beyond_the_end_are_not_read(struct kunit *test)
{
	struct repl_track *t = new_track(test, VAIO_SC_PAGE_BITS + 77);
	struct vaio_sc_disk_page *page = page_of(test, t, 1);

	memset(page->bits, 0xff, sizeof(page->bits));
	track_load(t, 1, page);
	KUNIT_EXPECT_EQ(test, t->dirty.count, 77);
	KUNIT_EXPECT_EQ(test, bitmap_weight(t->dirty.map, BITS_TO_LONGS(t->nr) * BITS_PER_LONG), 77);
	track_free(t);
}

static void what_is_new_after_growing_is_dirty(struct kunit *test)
{
	struct repl_track *t = new_track(test, 100);
	struct repl_track grown;
	u64 word = 0;

	track_mark(t, BLK(5), 1);
	KUNIT_ASSERT_EQ(test, track_init(&grown, SHIFT, BLK(200)), 0);
	track_grow_begin(t, &grown);
	KUNIT_EXPECT_FALSE(test, track_grow_some(t, &grown, &word));
	track_grow_end(t, &grown);
	KUNIT_EXPECT_EQ(test, t->nr, 200);
	/* the old last one too: it may have been a part of a block */
	KUNIT_EXPECT_EQ(test, t->dirty.count, 1 + 100 + 1);
	KUNIT_EXPECT_TRUE(test, test_bit(99, t->dirty.map));
	KUNIT_EXPECT_TRUE(test, test_bit(199, t->dirty.map));
	KUNIT_EXPECT_FALSE(test, test_bit(6, t->dirty.map));
	KUNIT_EXPECT_TRUE(test, bit_on(page_of(test, t, 0), 199));
	track_free(&grown);
	track_free(t);
}

/* What may happen to the bits of a disk that is suspended. */
static void happens(struct repl_track *t, struct rnd_state *rnd, u64 nr, u64 *acked)
{
	u64 bit = prandom_u32_state(rnd) % nr;
	u32 run = 1 + prandom_u32_state(rnd) % 200;

	run = min_t(u64, run, nr - bit);
	switch (prandom_u32_state(rnd) % 64) {
	case 0:
		track_back_all(t);
		break;
	case 1:
		track_spill_drop(t, ++*acked);
		break;
	case 2 ... 30:
		track_mark(t, bit << SHIFT, (u64)run << SHIFT);
		break;
	default:
		track_done(t, bit, run);
	}
}

static void prepare(struct kunit *test, struct repl_track *t, u64 nr)
{
	struct rnd_state rnd;
	u32 run;
	int i;

	prandom_seed_state(&rnd, 7);
	for (i = 0; i < 2000; i++)
		track_mark(t, BLK(prandom_u32_state(&rnd) % nr), 1 << SHIFT);
	for (i = 0; i < 1000; i++) {
		s64 bit = track_next(t, &t->dirty, prandom_u32_state(&rnd) % nr, 8, &run);

		KUNIT_ASSERT_GE(test, bit, 0);
		track_take(t, &t->dirty, bit, run);
	}
	for (i = 0; i < 500; i++)
		track_spill(t, BLK(prandom_u32_state(&rnd) % nr), 1 << SHIFT);
	track_spill_end(t, 1);
	for (i = 0; i < 500; i++)
		track_spill(t, BLK(prandom_u32_state(&rnd) % nr), 1 << SHIFT);
	track_spill_end(t, 2);
	bitmap_set(t->check.map, 77, 23);
	t->check.count = 23;
	page_of(test, t, 3);
}

static void same_bits(struct kunit *test, const struct repl_bits *a, const struct repl_bits *b, u64 nr)
{
	KUNIT_EXPECT_EQ(test, a->count, b->count);
	KUNIT_EXPECT_EQ(test, bitmap_weight(a->map, nr), a->count);
	KUNIT_EXPECT_MEMEQ(test, a->map, b->map, BITS_TO_LONGS(nr) * sizeof(long));
	KUNIT_EXPECT_NULL(test, a->copy);
}

/* As it would be had all that happened been before it grew. */
static void it_grows_while_the_group_goes_on(struct kunit *test)
{
	u64 nr = 20 * VAIO_SC_PAGE_BITS + 77, more = nr + 3 * VAIO_SC_PAGE_BITS, word, acked;
	unsigned int steps, seed;
	struct rnd_state rnd;
	int i, n;

	for (seed = 0; seed < 20; seed++) {
		struct repl_track *t = new_track(test, nr), *u = new_track(test, nr), grown;

		prepare(test, t, nr);
		prepare(test, u, nr);
		KUNIT_ASSERT_EQ(test, track_init(&grown, SHIFT, more << SHIFT), 0);
		prandom_seed_state(&rnd, seed);
		word = acked = steps = 0;
		track_grow_begin(t, &grown);
		do {
			for (i = 0; i < 100; i++)
				happens(t, &rnd, nr, &acked);
			steps++;
		} while (track_grow_some(t, &grown, &word));
		KUNIT_EXPECT_GT(test, steps, 1);
		track_grow_end(t, &grown);
		track_free(&grown);

		prandom_seed_state(&rnd, seed);
		acked = 0;
		for (n = steps * 100; n; n--)
			happens(u, &rnd, nr, &acked);
		KUNIT_ASSERT_EQ(test, track_init(&grown, SHIFT, more << SHIFT), 0);
		word = 0;
		track_grow_begin(u, &grown);
		while (track_grow_some(u, &grown, &word))
			;
		track_grow_end(u, &grown);
		track_free(&grown);

		same_bits(test, &t->dirty, &u->dirty, more);
		same_bits(test, &t->inflight, &u->inflight, more);
		same_bits(test, &t->check, &u->check, more);
		same_bits(test, &t->spilled[0], &u->spilled[0], more);
		same_bits(test, &t->spilled[1], &u->spilled[1], more);
		same_bits(test, &t->stale, &u->stale, t->pages);
		same_bits(test, &t->must, &u->must, t->pages);
		KUNIT_EXPECT_MEMEQ(test, t->sequence, u->sequence, t->pages * sizeof(u64));
		KUNIT_EXPECT_MEMEQ(test, t->spilled_seq, u->spilled_seq, sizeof(t->spilled_seq));
		track_free(t);
		track_free(u);
	}
}

static struct kunit_case repl_track_cases[] = {
	KUNIT_CASE(part_of_a_block_is_the_block),
	KUNIT_CASE(on_its_way_it_counts_as_dirty),
	KUNIT_CASE(what_is_on_its_way_is_not_sent_twice),
	KUNIT_CASE(lost_on_its_way_it_is_dirty_again),
	KUNIT_CASE(what_was_only_compared_is_dirty_when_it_is_lost),
	KUNIT_CASE(the_search_goes_round),
	KUNIT_CASE(spilled_bits_go_with_their_records),
	KUNIT_CASE(only_new_ones_must_be_written),
	KUNIT_CASE(pages_are_read_as_they_were_written),
	KUNIT_CASE(bits_beyond_the_end_are_not_read),
	KUNIT_CASE(what_is_new_after_growing_is_dirty),
	KUNIT_CASE(it_grows_while_the_group_goes_on),
	{}
};

static struct kunit_suite repl_track_suite = {
	.name = "repl_track",
	.test_cases = repl_track_cases,
};

kunit_test_suite(repl_track_suite);
