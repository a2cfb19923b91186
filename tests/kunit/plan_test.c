// SPDX-License-Identifier: GPL-2.0
/*
 * Plans: which hooks a kind of request meets, and in which order.
 */
#include "stack_fixture.h"

static void order_is_that_of_classes(struct kunit *test)
{
	static const enum vaio_class listings[][VAIO_MAX_SLOTS] = {
		{ 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 }, { 2, 0, 4, 1, 3 }, { 3, 4, 0, 2, 1 },
	};
	int i, c;

	for (i = 0; i < ARRAY_SIZE(listings); i++) {
		struct fx *fx = fx_new(test);

		for (c = 0; c < VAIO_MAX_SLOTS; c++)
			fx_add(fx, listings[i][c], 0);
		fx_build(fx);
		fx_start(fx, REQ_OP_WRITE, 4096);
		fx_device_end(fx, BLK_STS_OK);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	}
}

static void a_kind_nobody_asked_for_has_no_plan(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct fx_slot *s = fx_add(fx, VAIO_CLASS_REPLICATION, 0);
	struct vaio_stack_stats sum;
	struct fx_io *fio;
	int kind;

	s->cfg.submit = VAIO_K(WRITE);
	s->cfg.complete = VAIO_K(DISCARD);
	s->cfg.enter = VAIO_K(FLUSH);
	fx_build(fx);
	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
		KUNIT_EXPECT_EQ(test, !!fx->stack.plan[kind],
				kind == VAIO_KIND_WRITE || kind == VAIO_KIND_DISCARD ||
				kind == VAIO_KIND_FLUSH);

	fio = fx_start(fx, REQ_OP_READ, 4096);
	KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_sector, 1064);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_bdev, fx->stack.bdev);
	fx_device_end(fx, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, fio->ret, DM_ENDIO_DONE);
	FX_EXPECT_LOG(fx, "| .");
	/* and costs no counting */
	vaio_stack_stats_sum(&fx->disk, &sum);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_READ].count, 0);
}

static void an_empty_stack_has_no_plans(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	int kind;

	fx_build(fx);
	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
		KUNIT_EXPECT_NULL(test, fx->stack.plan[kind]);
}

static void each_kind_finds_its_plan(struct kunit *test)
{
	static const struct {
		blk_opf_t opf;
		unsigned int bytes;
		enum vaio_kind kind;
	} ios[] = {
		{ REQ_OP_READ, 512, VAIO_KIND_READ },
		{ REQ_OP_WRITE, 512, VAIO_KIND_WRITE },
		{ REQ_OP_WRITE | REQ_SYNC | REQ_META, 512, VAIO_KIND_WRITE },
		{ REQ_OP_WRITE | REQ_FUA, 512, VAIO_KIND_WRITE_FUA },
		{ REQ_OP_WRITE | REQ_PREFLUSH, 0, VAIO_KIND_FLUSH },
		{ REQ_OP_DISCARD, 4096, VAIO_KIND_DISCARD },
		{ REQ_OP_WRITE_ZEROES, 4096, VAIO_KIND_WRITE_ZEROES },
		{ REQ_OP_SECURE_ERASE, 4096, VAIO_KIND_SECURE_ERASE },
	};
	int i, kind;

	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		for (kind = 0; kind < __VAIO_KIND_COUNT; kind++) {
			struct fx *fx = fx_new(test);
			struct fx_slot *s = fx_add(fx, VAIO_CLASS_CACHE, 0);
			struct fx_io *fio;

			s->cfg.submit = 1U << kind;
			s->cfg.complete = 1U << kind;
			fx_build(fx);
			fio = fx_start(fx, ios[i].opf, ios[i].bytes);
			fx_device_end(fx, BLK_STS_OK);
			FX_EXPECT_LOG(fx, kind == ios[i].kind ? "C> | <C ." : "| .");
			if (kind == ios[i].kind) {
				KUNIT_EXPECT_EQ(test, fx_vaio_io(fio)->kind, kind);
				KUNIT_EXPECT_EQ(test, fx_vaio_io(fio)->len, ios[i].bytes);
				KUNIT_EXPECT_EQ(test, fx_vaio_io(fio)->sector, 64);
			}
		}
	}
}

static void zone_operations_are_killed(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct fx_io *fio;

	fx_add_all(fx);
	fx_build(fx);
	fio = fx_start(fx, REQ_OP_ZONE_APPEND, 4096);
	KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_KILL);
}

static void down_only_and_up_only(struct kunit *test)
{
	struct fx *fx = fx_new(test);

	fx_add_all(fx);
	fx->slot[VAIO_CLASS_INSPECTION]->cfg.complete = 0;
	fx->slot[VAIO_CLASS_REPLICATION]->cfg.submit = 0;
	fx->slot[VAIO_CLASS_QOS]->cfg.submit = 0;
	fx->slot[VAIO_CLASS_ENCRYPTION]->cfg.complete = 0;
	fx_build(fx);
	fx_start(fx, REQ_OP_READ, 4096);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> C> E> | <Q <C <R .");
}

static void enter_stands_before_every_submit(struct kunit *test)
{
	struct fx *fx = fx_new(test);

	fx_add_all(fx);
	fx->slot[VAIO_CLASS_QOS]->cfg.enter = VAIO_K(WRITE);
	fx->slot[VAIO_CLASS_REPLICATION]->cfg.enter = VAIO_K_ALL;
	fx_build(fx);
	fx_start(fx, REQ_OP_WRITE, 4096);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "^R ^Q I> R> C> Q> E> | <E <Q <C <R <I .");
	fx_log_clear(fx);
	fx_start(fx, REQ_OP_READ, 4096);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "^R I> R> C> Q> E> | <E <Q <C <R <I .");
}

static void reads_and_writes_are_split_for_the_smallest_limit(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	int kind;

	fx_add_all(fx);
	fx->slot[VAIO_CLASS_CACHE]->cfg.max_io_sectors = 64;
	fx->slot[VAIO_CLASS_ENCRYPTION]->cfg.max_io_sectors = 256;
	fx_build(fx);
	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
		KUNIT_EXPECT_EQ(test, fx->stack.plan[kind]->max_bytes,
				kind <= VAIO_KIND_WRITE_FUA ? 32768 : UINT_MAX);
	fx->slot[VAIO_CLASS_CACHE]->cfg.max_io_sectors = 0;
	vaio_plans_build(&fx->stack, fx->disk.slots);
	KUNIT_EXPECT_EQ(test, fx->stack.plan[VAIO_KIND_READ]->max_bytes, 131072);
	fx->slot[VAIO_CLASS_ENCRYPTION]->cfg.max_io_sectors = 0;
	vaio_plans_build(&fx->stack, fx->disk.slots);
	KUNIT_EXPECT_EQ(test, fx->stack.plan[VAIO_KIND_READ]->max_bytes, UINT_MAX);
}

static void a_transform_is_taken_back_by_its_owner_only(struct kunit *test)
{
	static const struct vaio_transform first = { .unit = 512 }, second = { .unit = 4096 };
	struct fx *fx = fx_new(test);
	struct vaio_slot *above = &fx_add(fx, VAIO_CLASS_CACHE, 0)->slot;
	struct vaio_slot *gone = &fx_add(fx, VAIO_CLASS_QOS, 0)->slot;
	struct vaio_slot *fresh = &fx_add(fx, VAIO_CLASS_ENCRYPTION, 0)->slot, *owner;

	vaio_disk_offer_transform(gone, &first);
	KUNIT_EXPECT_PTR_EQ(test, vaio_disk_transform(above, &owner), &first);
	KUNIT_EXPECT_PTR_EQ(test, owner, gone);
	/* the slot that takes its place adopts before the old one is freed */
	vaio_disk_offer_transform(fresh, &second);
	vaio_disk_offer_transform(gone, NULL);
	KUNIT_EXPECT_PTR_EQ(test, vaio_disk_transform(above, &owner), &second);
	KUNIT_EXPECT_PTR_EQ(test, owner, fresh);
	KUNIT_EXPECT_NULL(test, vaio_disk_transform(fresh, &owner));
	vaio_disk_offer_transform(fresh, NULL);
	KUNIT_EXPECT_NULL(test, vaio_disk_transform(above, &owner));
}

static void standby_fails_everything(struct kunit *test)
{
	static const blk_opf_t opfs[] = {
		REQ_OP_READ, REQ_OP_WRITE, REQ_OP_WRITE | REQ_FUA, REQ_OP_WRITE | REQ_PREFLUSH,
		REQ_OP_DISCARD, REQ_OP_WRITE_ZEROES, REQ_OP_SECURE_ERASE,
	};
	struct fx *fx = fx_new(test);
	int i;

	fx_add_all(fx);
	fx->stack.standby = true;
	fx_build(fx);
	for (i = 0; i < ARRAY_SIZE(opfs); i++) {
		struct fx_io *fio = fx_start(fx, opfs[i], 4096);

		KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
		KUNIT_EXPECT_TRUE(test, fio->ended);
		KUNIT_EXPECT_EQ(test, (__force u8)fio->status, (__force u8)BLK_STS_OFFLINE);
	}
	/* no slot heard of any, nothing reached the device */
	FX_EXPECT_LOG(fx, ". . . . . . .");
}

static void clocks_are_read_only_for_who_asked(struct kunit *test)
{
	struct vaio_stack_stats sum;
	struct fx_io *fio;
	struct fx *fx;
	u64 n = 0;
	int i;

	fx = fx_new(test);
	fx_add_all(fx);
	fx_build(fx);
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	/* as the fixture left it: no clock was read */
	KUNIT_EXPECT_EQ(test, fx_vaio_io(fio)->start_ns, 0xa5a5a5a5a5a5a5a5ULL);
	fx_device_end(fx, BLK_STS_OK);
	vaio_stack_stats_sum(&fx->disk, &sum);
	for (i = 0; i < VAIO_HIST_BUCKETS; i++)
		n += sum.hist[i];
	KUNIT_EXPECT_EQ(test, n, 0);

	fx = fx_new(test);
	fx_add(fx, VAIO_CLASS_QOS, VAIO_CAP_TIMESTAMPS);
	fx_build(fx);
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	KUNIT_EXPECT_NE(test, fx_vaio_io(fio)->start_ns, 0xa5a5a5a5a5a5a5a5ULL);
	fx_device_end(fx, BLK_STS_OK);
}

static void a_latency_histogram_needs_no_slot(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct vaio_stack_stats sum;
	u64 n = 0;
	int i;

	fx->stack.latency = true;
	fx_build(fx);
	for (i = 0; i < 3; i++) {
		fx_start(fx, REQ_OP_READ, 4096);
		fx_device_end(fx, BLK_STS_OK);
	}
	FX_EXPECT_LOG(fx, "| . | . | .");
	vaio_stack_stats_sum(&fx->disk, &sum);
	for (i = 0; i < VAIO_HIST_BUCKETS; i++)
		n += sum.hist[i];
	KUNIT_EXPECT_EQ(test, n, 3);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_READ].count, 3);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_READ].bytes, 3 * 4096);
}

/* Whoever ends it, and however high. */
static void an_io_that_ends_at_enter_is_timed(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct vaio_stack_stats sum;
	u64 n = 0;
	int i;

	fx->stack.latency = true;
	fx_add_all(fx);
	fx->slot[VAIO_CLASS_QOS]->cfg.enter = VAIO_K_ALL;
	fx->slot[VAIO_CLASS_QOS]->enter = FX_COMPLETE;
	fx_build(fx);
	fx_start(fx, REQ_OP_READ, 4096);
	FX_EXPECT_LOG(fx, "^Q .");
	vaio_stack_stats_sum(&fx->disk, &sum);
	for (i = 0; i < VAIO_HIST_BUCKETS; i++)
		n += sum.hist[i];
	KUNIT_EXPECT_EQ(test, n, 1);
}

static void histogram_buckets(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(0), 0);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(1023), 0);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(1024), 0);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(2 * 1024), 1);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(4 * 1024 - 1), 1);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(4 * 1024), 2);
	KUNIT_EXPECT_EQ(test, vaio_hist_bucket(U64_MAX), VAIO_HIST_BUCKETS - 1);
}

static struct kunit_case plan_cases[] = {
	KUNIT_CASE(order_is_that_of_classes),
	KUNIT_CASE(a_kind_nobody_asked_for_has_no_plan),
	KUNIT_CASE(an_empty_stack_has_no_plans),
	KUNIT_CASE_SLOW(each_kind_finds_its_plan),
	KUNIT_CASE(zone_operations_are_killed),
	KUNIT_CASE(down_only_and_up_only),
	KUNIT_CASE(enter_stands_before_every_submit),
	KUNIT_CASE(reads_and_writes_are_split_for_the_smallest_limit),
	KUNIT_CASE(a_transform_is_taken_back_by_its_owner_only),
	KUNIT_CASE(standby_fails_everything),
	KUNIT_CASE(clocks_are_read_only_for_who_asked),
	KUNIT_CASE(a_latency_histogram_needs_no_slot),
	KUNIT_CASE(an_io_that_ends_at_enter_is_timed),
	KUNIT_CASE(histogram_buckets),
	{}
};

static struct kunit_suite plan_suite = {
	.name = "vaio-plan",
	.test_cases = plan_cases,
};
kunit_test_suite(plan_suite);
