// SPDX-License-Identifier: GPL-2.0
/*
 * The pattern search of the sample filter, against one that a child could write.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/string.h>
#include "../../kmod/sample/pattern.h"

#define STREAM	4096

static void pattern_set(struct pattern *p, const char *bytes, unsigned int len, unsigned int where)
{
	*p = (struct pattern) { .len = len, .where = where, .block = 512 };
	memcpy(p->bytes, bytes, len);
	pattern_prepare(p);
}

static bool found(const struct pattern *p, const void *data, unsigned int len, unsigned int piece)
{
	struct pattern_search search = { };
	unsigned int done, part;

	for (done = 0; done < len; done += part) {
		part = min(piece, len - done);
		if (pattern_feed(p, &search, data + done, part))
			return true;
	}
	return false;
}

static bool found_slowly(const struct pattern *p, const u8 *data, unsigned int len)
{
	unsigned int at;

	for (at = 0; at + p->len <= len; at++)
		if (!memcmp(data + at, p->bytes, p->len) &&
		    (p->where == PATTERN_ANY || at % p->block == p->where))
			return true;
	return false;
}

static void patterns_are_found(struct kunit *test)
{
	struct pattern p;

	pattern_set(&p, "abab", 4, PATTERN_ANY);
	KUNIT_EXPECT_TRUE(test, found(&p, "abab", 4, 4));
	KUNIT_EXPECT_TRUE(test, found(&p, "ababab", 6, 6));
	KUNIT_EXPECT_TRUE(test, found(&p, "aabab", 5, 5));
	KUNIT_EXPECT_TRUE(test, found(&p, "abaabab", 7, 7));
	KUNIT_EXPECT_FALSE(test, found(&p, "aba", 3, 3));
	KUNIT_EXPECT_FALSE(test, found(&p, "abaaba", 6, 6));
	pattern_set(&p, "a", 1, PATTERN_ANY);
	KUNIT_EXPECT_TRUE(test, found(&p, "bba", 3, 3));
	KUNIT_EXPECT_FALSE(test, found(&p, "bbb", 3, 3));
	KUNIT_EXPECT_FALSE(test, found(&p, "", 0, 1));
}

static void pieces_make_no_difference(struct kunit *test)
{
	struct pattern p;
	unsigned int piece;

	pattern_set(&p, "abcab", 5, PATTERN_ANY);
	for (piece = 1; piece <= 12; piece++)
		KUNIT_EXPECT_TRUE_MSG(test, found(&p, "xxabcaabcabx", 12, piece), "%u", piece);
}

static void place_in_the_block_counts(struct kunit *test)
{
	u8 *data = kunit_kzalloc(test, STREAM, GFP_KERNEL);
	struct pattern p;

	KUNIT_ASSERT_NOT_NULL(test, data);
	memcpy(data + 100, "here", 4);
	memcpy(data + 1024 + 508, "here", 4);
	pattern_set(&p, "here", 4, 100);
	KUNIT_EXPECT_TRUE(test, found(&p, data, STREAM, 77));
	pattern_set(&p, "here", 4, 508);
	KUNIT_EXPECT_TRUE(test, found(&p, data, STREAM, 77));
	pattern_set(&p, "here", 4, 101);
	KUNIT_EXPECT_FALSE(test, found(&p, data, STREAM, 77));
	/* a match elsewhere must not hide one that overlaps it */
	memcpy(data + 510, "aaaa", 4);
	pattern_set(&p, "aaa", 3, 511);
	KUNIT_EXPECT_TRUE(test, found(&p, data, STREAM, STREAM));
}

/* An alphabet of two letters makes near misses as often as can be. */
static void agrees_with_the_slow_one(struct kunit *test)
{
	u8 *data = kunit_kzalloc(test, STREAM, GFP_KERNEL);
	struct rnd_state rnd;
	struct pattern p;
	unsigned int round, i, hits = 0;
	char bytes[PATTERN_MAX];

	KUNIT_ASSERT_NOT_NULL(test, data);
	prandom_seed_state(&rnd, 20261);
	for (round = 0; round < 500; round++) {
		unsigned int len = 1 + prandom_u32_state(&rnd) % 14;
		unsigned int where = prandom_u32_state(&rnd) % 2 ?
				     PATTERN_ANY : prandom_u32_state(&rnd) % (512 - len);
		unsigned int piece = 1 + prandom_u32_state(&rnd) % 600;

		for (i = 0; i < STREAM; i++)
			data[i] = 'a' + prandom_u32_state(&rnd) % 2;
		for (i = 0; i < len; i++)
			bytes[i] = 'a' + prandom_u32_state(&rnd) % 2;
		pattern_set(&p, bytes, len, where);
		KUNIT_ASSERT_EQ_MSG(test, found(&p, data, STREAM, piece),
				    found_slowly(&p, data, STREAM), "%.*s at %u by %u", len, bytes,
				    where, piece);
		hits += found_slowly(&p, data, STREAM);
	}
	/* else the comparison would prove nothing */
	KUNIT_EXPECT_GT(test, hits, 50);
	KUNIT_EXPECT_LT(test, hits, 450);
}

static struct kunit_case pattern_cases[] = {
	KUNIT_CASE(patterns_are_found),
	KUNIT_CASE(pieces_make_no_difference),
	KUNIT_CASE(place_in_the_block_counts),
	KUNIT_CASE(agrees_with_the_slow_one),
	{}
};

static struct kunit_suite pattern_suite = {
	.name = "pattern",
	.test_cases = pattern_cases,
};

kunit_test_suite(pattern_suite);
