// SPDX-License-Identifier: GPL-2.0
/*
 * The flush rule: vaio_flush_needed() is false only if nothing was written below
 * the slot since the last flush that went through.
 */
#include "stack_fixture.h"

#define FLUSH	(REQ_OP_WRITE | REQ_PREFLUSH)

/* Replication and cache may end flushes; a write through to the bottom makes both dirty. */
static struct fx *flush_stack(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		fx_add(fx, c, c == VAIO_CLASS_REPLICATION || c == VAIO_CLASS_CACHE ?
		       VAIO_CAP_ENDS_FLUSH | VAIO_CAP_OWN_IO : VAIO_CAP_OWN_IO);
	fx_build(fx);
	return fx;
}

static bool needed(struct fx *fx, enum vaio_class class)
{
	return vaio_flush_needed(&fx->slot[class]->slot);
}

#define EXPECT_NEEDED(fx, replication, cache) do {						\
	KUNIT_EXPECT_EQ((fx)->test, needed(fx, VAIO_CLASS_REPLICATION), replication);	\
	KUNIT_EXPECT_EQ((fx)->test, needed(fx, VAIO_CLASS_CACHE), cache);			\
} while (0)

static void do_io(struct fx *fx, blk_opf_t opf, blk_status_t status)
{
	fx_start(fx, opf, opf & REQ_PREFLUSH ? 0 : 4096);
	fx_device_end(fx, status);
}

static void written_then_flushed(struct kunit *test)
{
	static const blk_opf_t writes[] = {
		REQ_OP_WRITE, REQ_OP_WRITE | REQ_FUA, REQ_OP_DISCARD, REQ_OP_WRITE_ZEROES,
		REQ_OP_SECURE_ERASE,
	};
	struct fx *fx = flush_stack(test);
	int i;

	EXPECT_NEEDED(fx, false, false);
	do_io(fx, REQ_OP_READ, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		do_io(fx, writes[i], BLK_STS_OK);
		EXPECT_NEEDED(fx, true, true);
		do_io(fx, FLUSH, BLK_STS_OK);
		EXPECT_NEEDED(fx, false, false);
	}
}

static void a_failed_write_counts(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_IOERR);
	EXPECT_NEEDED(fx, true, true);
}

/* It may have reached the medium after the flush had been done there. */
static void a_write_that_ends_after_the_flush_passed_is_not_covered(struct kunit *test)
{
	struct fx *fx = flush_stack(test);
	struct fx_io *write = fx_start(fx, REQ_OP_WRITE, 4096);
	struct fx_io *flush = fx_start(fx, FLUSH, 0);

	fx_device_end_bio(fx, &write->clone, BLK_STS_OK);
	fx_device_end_bio(fx, &flush->clone, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);

	write = fx_start(fx, REQ_OP_WRITE, 4096);
	flush = fx_start(fx, FLUSH, 0);
	fx_device_end_bio(fx, &flush->clone, BLK_STS_OK);
	fx_device_end_bio(fx, &write->clone, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
	do_io(fx, FLUSH, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
}

static void the_flag_is_up_before_anyone_above_hears(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	/* the slot's own complete() stands above the mark */
	fx->slot[VAIO_CLASS_CACHE]->complete = FX_ORDERED;
	fx_start(fx, REQ_OP_WRITE, 4096);
	fx_device_end(fx, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, true);
	fx_continue(fx->slot[VAIO_CLASS_CACHE]);
	EXPECT_NEEDED(fx, true, true);
}

static void a_failed_flush_made_nothing_durable(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	do_io(fx, FLUSH, BLK_STS_IOERR);
	EXPECT_NEEDED(fx, true, true);
	do_io(fx, FLUSH, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
}

static void while_a_flush_is_below_another_is_needed(struct kunit *test)
{
	struct fx *fx = flush_stack(test);
	struct fx_io *one, *two;

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	one = fx_start(fx, FLUSH, 0);
	EXPECT_NEEDED(fx, true, true);
	two = fx_start(fx, FLUSH, 0);
	fx_device_end_bio(fx, &two->clone, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
	fx_device_end_bio(fx, &one->clone, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);

	/* and when the first of two fails */
	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	one = fx_start(fx, FLUSH, 0);
	two = fx_start(fx, FLUSH, 0);
	fx_device_end_bio(fx, &one->clone, BLK_STS_IOERR);
	fx_device_end_bio(fx, &two->clone, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
}

/* Ended by the cache: the slots above may rely on it, what is below is as dirty as before. */
static void a_flush_that_is_ended_above(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	fx->slot[VAIO_CLASS_CACHE]->submit = FX_COMPLETE;
	fx_start(fx, FLUSH, 0);
	EXPECT_NEEDED(fx, false, true);

	/* ended above both, nothing changes for either */
	fx->slot[VAIO_CLASS_CACHE]->submit = FX_PASS;
	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	fx->slot[VAIO_CLASS_INSPECTION]->submit = FX_COMPLETE;
	fx_start(fx, FLUSH, 0);
	EXPECT_NEEDED(fx, true, true);
}

static void a_flush_that_fails_half_way_down(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	fx->slot[VAIO_CLASS_QOS]->submit = FX_FAIL;
	fx_start(fx, FLUSH, 0);
	EXPECT_NEEDED(fx, true, true);
	KUNIT_EXPECT_EQ(test, atomic_read(&fx->slot[VAIO_CLASS_CACHE]->slot.flushes_below), 0);
}

static void a_flush_that_is_deferred(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	fx->slot[VAIO_CLASS_QOS]->submit = FX_ORDERED;
	fx->slot[VAIO_CLASS_ENCRYPTION]->complete = FX_ORDERED;
	fx_start(fx, FLUSH, 0);
	EXPECT_NEEDED(fx, true, true);
	fx_continue(fx->slot[VAIO_CLASS_QOS]);
	fx_device_end(fx, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
	fx_continue(fx->slot[VAIO_CLASS_ENCRYPTION]);
	EXPECT_NEEDED(fx, false, false);
}

static void own(struct fx *fx, enum vaio_class class, blk_opf_t opf, blk_status_t status)
{
	struct bio *bio = fx_own(fx->slot[class], opf, NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(fx->test, bio);
	vaio_submit_below(&fx->slot[class]->slot, bio, 0);
	fx_device_end(fx, status);
}

static void own_writes_count_for_their_slot_and_those_above(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	own(fx, VAIO_CLASS_CACHE, REQ_OP_READ, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
	own(fx, VAIO_CLASS_CACHE, REQ_OP_WRITE, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
	do_io(fx, FLUSH, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
	/* from above the cache it passes the cache */
	own(fx, VAIO_CLASS_INSPECTION, REQ_OP_WRITE, BLK_STS_OK);
	EXPECT_NEEDED(fx, true, true);
	do_io(fx, FLUSH, BLK_STS_OK);
	own(fx, VAIO_CLASS_QOS, REQ_OP_DISCARD, BLK_STS_IOERR);
	EXPECT_NEEDED(fx, true, true);
}

static void own_flushes_count_for_their_slot_and_those_below(struct kunit *test)
{
	struct fx *fx = flush_stack(test);

	do_io(fx, REQ_OP_WRITE, BLK_STS_OK);
	own(fx, VAIO_CLASS_CACHE, FLUSH, BLK_STS_IOERR);
	EXPECT_NEEDED(fx, true, true);
	own(fx, VAIO_CLASS_CACHE, FLUSH, BLK_STS_OK);
	/* replication did not see it pass */
	EXPECT_NEEDED(fx, true, false);
	own(fx, VAIO_CLASS_REPLICATION, FLUSH, BLK_STS_OK);
	EXPECT_NEEDED(fx, false, false);
}

static void slots_that_do_not_end_flushes_pay_nothing(struct kunit *test)
{
	struct fx *fx = fx_new(test);

	fx_add_all(fx);
	fx_build(fx);
	KUNIT_EXPECT_EQ(test, fx->stack.plan[VAIO_KIND_FLUSH]->nr_down, VAIO_MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, fx->stack.plan[VAIO_KIND_FLUSH]->nr_up, VAIO_MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, fx->stack.plan[VAIO_KIND_WRITE]->nr_up, VAIO_MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, fx->stack.nr_flush_slots, 0);
}

static struct kunit_case flush_cases[] = {
	KUNIT_CASE(written_then_flushed),
	KUNIT_CASE(a_failed_write_counts),
	KUNIT_CASE(a_write_that_ends_after_the_flush_passed_is_not_covered),
	KUNIT_CASE(the_flag_is_up_before_anyone_above_hears),
	KUNIT_CASE(a_failed_flush_made_nothing_durable),
	KUNIT_CASE(while_a_flush_is_below_another_is_needed),
	KUNIT_CASE(a_flush_that_is_ended_above),
	KUNIT_CASE(a_flush_that_fails_half_way_down),
	KUNIT_CASE(a_flush_that_is_deferred),
	KUNIT_CASE(own_writes_count_for_their_slot_and_those_above),
	KUNIT_CASE(own_flushes_count_for_their_slot_and_those_below),
	KUNIT_CASE(slots_that_do_not_end_flushes_pay_nothing),
	{}
};

static struct kunit_suite flush_suite = {
	.name = "vaio-flush",
	.test_cases = flush_cases,
};
kunit_test_suite(flush_suite);
