// SPDX-License-Identifier: GPL-2.0
/*
 * The ring's engine: what is visible is a prefix, space is never given out twice,
 * and a record never crosses a chunk.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include "../../kmod/replication/ring.h"

#define NR	1024
#define CHUNK	4096U
#define CHUNKS	7	/* no power of two */

struct fixture {
	struct repl_ring	ring;
	struct repl_rec		rec[NR];
	struct vaio_repl_desc	desc[NR];
};

static struct repl_ring *new_ring(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	ring_init(&f->ring, NR, CHUNK, CHUNK * CHUNKS, f->rec, f->desc);
	return &f->ring;
}

/* A record with payload; 0 when there is no room. */
static u64 append(struct repl_ring *ring, u32 len, u64 *pos)
{
	u64 seq;

	return ring_append(ring, VAIO_REPL_WRITE, len, 512, &seq, pos) ? 0 : seq;
}

static void acknowledge(struct repl_ring *ring, u64 upto)
{
	while (ring_acknowledge(ring, upto))
		;
	ring_retire(ring);
}

static void what_is_visible_is_a_prefix(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 pos, a = append(ring, 512, &pos), b = append(ring, 512, &pos), c = append(ring, 512, &pos);

	KUNIT_EXPECT_EQ(test, a, 1);
	KUNIT_EXPECT_FALSE(test, ring_ready(ring, c));
	KUNIT_EXPECT_FALSE(test, ring_ready(ring, b));
	KUNIT_EXPECT_EQ(test, ring->published, 0);
	KUNIT_EXPECT_TRUE(test, ring_ready(ring, a));
	KUNIT_EXPECT_EQ(test, ring->published, c);
}

static void what_failed_is_void_unless_it_was_seen(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 pos, a = append(ring, 512, &pos), b = append(ring, 512, &pos);

	ring_ready(ring, a);
	KUNIT_EXPECT_FALSE(test, ring_void(ring, a));
	KUNIT_EXPECT_TRUE(test, ring_void(ring, b));
	KUNIT_EXPECT_EQ(test, ring_rec(ring, b)->type, VAIO_REPL_VOID);
	KUNIT_EXPECT_EQ(test, ring_desc(ring, b)->type, VAIO_REPL_VOID);
}

static void no_acknowledgement_of_what_is_not_visible(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 pos, a = append(ring, 512, &pos), b = append(ring, 512, &pos);

	ring_ready(ring, a);
	KUNIT_EXPECT_EQ(test, ring_acknowledge(ring, b), a);
	KUNIT_EXPECT_EQ(test, ring_acknowledge(ring, b), 0);
	KUNIT_EXPECT_EQ(test, ring->durable, a);
}

/* Space is free when it is acknowledged and locally done, and all before it. */
static void space_comes_back_in_order(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 pos, seq[CHUNKS];
	int i;

	for (i = 0; i < CHUNKS; i++) {
		seq[i] = append(ring, CHUNK, &pos);
		KUNIT_ASSERT_NE(test, seq[i], 0);
		ring_ready(ring, seq[i]);
	}
	KUNIT_EXPECT_EQ(test, append(ring, 512, &pos), 0);
	ring_local_done(ring, seq[1]);
	acknowledge(ring, seq[1]);
	KUNIT_EXPECT_EQ(test, append(ring, 512, &pos), 0);
	ring_local_done(ring, seq[0]);
	KUNIT_EXPECT_TRUE(test, ring_retire(ring));
	KUNIT_EXPECT_EQ(test, ring->retired, seq[1]);
	KUNIT_EXPECT_NE(test, append(ring, CHUNK, &pos), 0);
	KUNIT_EXPECT_EQ(test, pos, 0);
	KUNIT_EXPECT_NE(test, append(ring, CHUNK, &pos), 0);
	KUNIT_EXPECT_EQ(test, append(ring, 512, &pos), 0);
}

static void the_largest_fits_into_an_empty_ring(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	int i;

	for (i = 0; i < 50; i++) {
		u64 pos, seq = append(ring, 512, &pos);

		ring_local_done(ring, seq);
		ring_ready(ring, seq);
		acknowledge(ring, seq);
		seq = append(ring, CHUNK, &pos);
		KUNIT_ASSERT_NE(test, seq, 0);
		KUNIT_EXPECT_EQ(test, pos % CHUNK, 0);
		ring_local_done(ring, seq);
		ring_ready(ring, seq);
		acknowledge(ring, seq);
	}
}

static void abandoned_records_are_free_when_they_are_done(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 pos, a = append(ring, CHUNK, &pos), b = append(ring, CHUNK, &pos);

	ring_ready(ring, a);
	ring_local_done(ring, a);
	ring_abandon(ring);
	ring_retire(ring);
	KUNIT_EXPECT_EQ(test, ring->retired, a);
	KUNIT_EXPECT_EQ(test, ring_backlog(ring), 0);
	/* the second one's write is still under way and may fail yet */
	KUNIT_EXPECT_TRUE(test, ring_void(ring, b));
	ring_local_done(ring, b);
	ring_ready(ring, b);
	ring_retire(ring);
	KUNIT_EXPECT_EQ(test, ring->retired, b);
	KUNIT_EXPECT_EQ(test, ring_acknowledge(ring, b), 0);
}

/* However full of writes, what tells of states has room. */
static void state_records_find_room(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 seq, pos;
	int i, n = 0;

	while (!ring_append(ring, VAIO_REPL_WRITE, 8, 8, &seq, &pos))
		n++;
	KUNIT_EXPECT_LE(test, n, NR - REPL_RING_SPARE);
	KUNIT_EXPECT_EQ(test, ring_promise(ring), -ENOSPC);
	for (i = 0; i < REPL_RING_SPARE; i++)
		KUNIT_EXPECT_EQ(test, ring_append(ring, VAIO_REPL_BARRIER, 0, 1, &seq, &pos), 0);
	KUNIT_EXPECT_LE(test, ring->next - 1 - ring->retired, NR);
}

static void a_promise_is_kept(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u64 seq, pos, last = 0;

	KUNIT_ASSERT_EQ(test, ring_promise(ring), 0);
	while (!ring_append(ring, VAIO_REPL_BARRIER, 0, 1, &seq, &pos))
		last = seq;
	KUNIT_EXPECT_EQ(test, last, NR - 1);
	KUNIT_EXPECT_EQ(test, ring_append_promised(ring, VAIO_REPL_RESYNC), NR);
}

/*
 * Against a model: each payload has its bytes to itself from append to retirement,
 * whatever the order in which things end.
 */
static void random_life(struct kunit *test)
{
	struct repl_ring *ring = new_ring(test);
	u16 *owner = kunit_kzalloc(test, CHUNK * CHUNKS / 512 * sizeof(u16), GFP_KERNEL);
	u64 *at = kunit_kzalloc(test, NR * sizeof(u64), GFP_KERNEL);
	u32 *size = kunit_kzalloc(test, NR * sizeof(u32), GFP_KERNEL);
	struct rnd_state rnd;
	u64 freed = 0, most = 0;
	int step;
	u32 i;

	prandom_seed_state(&rnd, 815);
	for (step = 0; step < 100000; step++) {
		u32 what = prandom_u32_state(&rnd) % 8, len;
		u64 seq, pos;

		if (what < 3) {
			len = (1 + prandom_u32_state(&rnd) % (CHUNK / 512)) * 512;
			seq = append(ring, len, &pos);
			if (!seq)
				continue;
			KUNIT_ASSERT_EQ(test, pos / CHUNK, (pos + len - 1) / CHUNK);
			KUNIT_ASSERT_LE(test, pos + len, CHUNK * CHUNKS);
			at[seq % NR] = pos;
			size[seq % NR] = len;
			for (i = 0; i < len / 512; i++) {
				KUNIT_ASSERT_EQ(test, owner[pos / 512 + i], 0);
				owner[pos / 512 + i] = seq % NR + 1;
			}
		} else if (what < 6 && ring->next > ring->retired + 1) {
			seq = ring->retired + 1 +
			      prandom_u32_state(&rnd) % (u32)(ring->next - 1 - ring->retired);
			if (what == 3)
				ring_ready(ring, seq);
			else
				ring_local_done(ring, seq);
		} else if (what == 6) {
			while (ring_acknowledge(ring, ring->published))
				;
		} else if (step % 1000 == 7) {
			ring_abandon(ring);
		}
		ring_retire(ring);
		for (; freed < ring->retired; freed++) {
			u32 k = (freed + 1) % NR;

			for (i = 0; i < size[k] / 512; i++)
				owner[at[k] / 512 + i] = 0;
		}
		most = max(most, ring->next - 1 - ring->retired);
		KUNIT_ASSERT_LE(test, ring->published, ring->next - 1);
		KUNIT_ASSERT_LE(test, ring->retired, min(ring->durable, ring->published));
	}
	KUNIT_EXPECT_GT(test, ring->retired, 1000);
	KUNIT_EXPECT_GT(test, most, 4);
}

/* What the agent was compiled with. */
static void the_layout_stays(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, sizeof(struct vaio_repl_desc), 64);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, type), 8);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, member), 10);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, data_len), 12);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, offset), 16);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, data), 32);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_desc, aux), 56);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_control, published), 8);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_repl_control, state), 32);
	KUNIT_EXPECT_EQ(test, sizeof(struct vaio_repl_bind), 128);
	KUNIT_EXPECT_EQ(test, sizeof(struct vaio_repl_member), 240);
}

static struct kunit_case repl_ring_cases[] = {
	KUNIT_CASE(what_is_visible_is_a_prefix),
	KUNIT_CASE(what_failed_is_void_unless_it_was_seen),
	KUNIT_CASE(no_acknowledgement_of_what_is_not_visible),
	KUNIT_CASE(space_comes_back_in_order),
	KUNIT_CASE(the_largest_fits_into_an_empty_ring),
	KUNIT_CASE(abandoned_records_are_free_when_they_are_done),
	KUNIT_CASE(state_records_find_room),
	KUNIT_CASE(a_promise_is_kept),
	KUNIT_CASE(random_life),
	KUNIT_CASE(the_layout_stays),
	{}
};

static struct kunit_suite repl_ring_suite = {
	.name = "repl_ring",
	.test_cases = repl_ring_cases,
};

kunit_test_suite(repl_ring_suite);
