// SPDX-License-Identifier: GPL-2.0
/*
 * The data path: verdicts, deferral, unwinding, substitutes, own I/O.
 */
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include "stack_fixture.h"

#define EXPECT_STATUS(test, got, wanted) \
	KUNIT_EXPECT_EQ(test, (__force u8)(got), (__force u8)(wanted))

/* What the slots above class c say when an io that went down to c ends there. */
static const char *const down_to[VAIO_MAX_SLOTS] = {
	"I>", "I> R>", "I> R> C>", "I> R> C> Q>", "I> R> C> Q> E>",
};
static const char *const up_from_above[VAIO_MAX_SLOTS] = {
	" .", " <I .", " <R <I .", " <C <R <I .", " <Q <C <R <I .",
};

static const char *sentence(struct kunit *test, const char *a, const char *b)
{
	char *s = kunit_kzalloc(test, FX_LOG, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	strlcat(s, a, FX_LOG);
	strlcat(s, b, FX_LOG);
	return s;
}

static struct fx *full_stack(struct kunit *test)
{
	struct fx *fx = fx_new(test);

	fx_add_all(fx);
	fx_build(fx);
	return fx;
}

static void slot_sum(struct fx *fx, int c, struct vaio_slot_stats *sum)
{
	vaio_slot_stats_sum(&fx->slot[c]->slot, sum);
}

/* --- passing ------------------------------------------------------------------- */

static void pass_is_remapped_in_map(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio = fx_start(fx, REQ_OP_WRITE, 4096);
	struct vaio_stack_stats sum;

	KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_sector, 1064);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_bdev, fx->stack.bdev);
	fx_device_end(fx, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, fio->ret, DM_ENDIO_DONE);
	EXPECT_STATUS(test, fio->status, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");

	vaio_stack_stats_sum(&fx->disk, &sum);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_WRITE].count, 1);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_WRITE].bytes, 4096);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_WRITE].failed, 0);
}

static void a_device_error_is_heard_by_all(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio = fx_start(fx, REQ_OP_READ, 4096);
	struct vaio_stack_stats sum;
	struct vaio_slot_stats slot;
	int c;

	fx_device_end(fx, BLK_STS_NOSPC);
	EXPECT_STATUS(test, fio->status, BLK_STS_NOSPC);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	vaio_stack_stats_sum(&fx->disk, &sum);
	KUNIT_EXPECT_EQ(test, sum.kind[VAIO_KIND_READ].failed, 1);
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		EXPECT_STATUS(test, fx->slot[c]->seen, BLK_STS_NOSPC);
		/* the device failed it, no slot did */
		slot_sum(fx, c, &slot);
		KUNIT_EXPECT_EQ(test, slot.failed, 0);
	}
}

static void complete_may_change_the_status(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio;

	fx->slot[VAIO_CLASS_CACHE]->complete = FX_STATUS;
	fx->slot[VAIO_CLASS_CACHE]->status = BLK_STS_OK;
	fio = fx_start(fx, REQ_OP_READ, 4096);
	fx_device_end(fx, BLK_STS_MEDIUM);
	EXPECT_STATUS(test, fx->slot[VAIO_CLASS_QOS]->seen, BLK_STS_MEDIUM);
	EXPECT_STATUS(test, fx->slot[VAIO_CLASS_REPLICATION]->seen, BLK_STS_OK);
	EXPECT_STATUS(test, fio->status, BLK_STS_OK);
}

/* --- verdicts at each slot ------------------------------------------------------- */

static void complete_is_heard_by_the_slots_above_only(struct kunit *test)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct fx *fx = full_stack(test);
		struct vaio_slot_stats sum;
		struct fx_io *fio;

		fx->slot[c]->submit = FX_COMPLETE;
		fio = fx_start(fx, REQ_OP_WRITE, 4096);
		KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
		EXPECT_STATUS(test, fio->status, BLK_STS_OK);
		FX_EXPECT_LOG(fx, sentence(test, down_to[c], up_from_above[c]));
		slot_sum(fx, c, &sum);
		KUNIT_EXPECT_EQ(test, sum.completed, 1);
		KUNIT_EXPECT_EQ(test, sum.failed, 0);
	}
}

static void fail_is_heard_by_the_slots_above_only(struct kunit *test)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct fx *fx = full_stack(test);
		struct vaio_stack_stats all;
		struct vaio_slot_stats sum;
		struct fx_io *fio;
		int above;

		fx->slot[c]->submit = FX_FAIL;
		fx->slot[c]->status = BLK_STS_PROTECTION;
		fio = fx_start(fx, REQ_OP_WRITE, 4096);
		KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
		EXPECT_STATUS(test, fio->status, BLK_STS_PROTECTION);
		FX_EXPECT_LOG(fx, sentence(test, down_to[c], up_from_above[c]));
		for (above = 0; above < c; above++)
			EXPECT_STATUS(test, fx->slot[above]->seen, BLK_STS_PROTECTION);
		slot_sum(fx, c, &sum);
		KUNIT_EXPECT_EQ(test, sum.completed, 0);
		KUNIT_EXPECT_EQ(test, sum.failed, 1);
		vaio_stack_stats_sum(&fx->disk, &all);
		KUNIT_EXPECT_EQ(test, all.kind[VAIO_KIND_WRITE].failed, 1);
	}
}

static void fail_without_a_status_is_an_io_error(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio;

	fx->slot[VAIO_CLASS_QOS]->submit = FX_FAIL;
	fx->slot[VAIO_CLASS_QOS]->status = BLK_STS_OK;
	fio = fx_start(fx, REQ_OP_READ, 4096);
	EXPECT_STATUS(test, fio->status, BLK_STS_IOERR);
}

static void what_ends_at_enter_is_heard_by_nobody(struct kunit *test)
{
	static const enum fx_act acts[] = { FX_COMPLETE, FX_FAIL, FX_END };
	int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		struct fx *fx = fx_new(test);

		fx_add_all(fx);
		fx->slot[VAIO_CLASS_QOS]->cfg.enter = VAIO_K_ALL;
		fx->slot[VAIO_CLASS_QOS]->enter = acts[i];
		fx_build(fx);
		fx_start(fx, REQ_OP_READ, 4096);
		FX_EXPECT_LOG(fx, "^Q .");
	}
}

/* --- deferral ---------------------------------------------------------------------- */

static const enum fx_act deferrals[] = { FX_PACED, FX_ORDERED, FX_ASYNC };

static void deferred_down_and_continued(struct kunit *test)
{
	int i, c;

	for (i = 0; i < ARRAY_SIZE(deferrals); i++) {
		for (c = 0; c < VAIO_MAX_SLOTS; c++) {
			struct fx *fx = full_stack(test);
			struct fx_slot *s = fx->slot[c];
			struct vaio_slot_stats sum;
			struct fx_io *fio;

			s->submit = deferrals[i];
			fio = fx_start(fx, REQ_OP_WRITE, 4096);
			KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
			FX_EXPECT_LOG(fx, down_to[c]);
			KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.parked), 1);
			KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.paced), i == 0);

			fx_continue(s);
			KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.parked), 0);
			KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.paced), 0);
			FX_EXPECT_LOG(fx, "I> R> C> Q> E> |");
			KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_sector, 1064);
			fx_device_end(fx, BLK_STS_OK);
			FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
			EXPECT_STATUS(test, fio->status, BLK_STS_OK);

			slot_sum(fx, c, &sum);
			KUNIT_EXPECT_EQ(test, sum.deferred, 1);
		}
	}
}

static void deferred_up_and_continued(struct kunit *test)
{
	static const char *const up_to[VAIO_MAX_SLOTS] = {
		"I> R> C> Q> E> | <E <Q <C <R <I", "I> R> C> Q> E> | <E <Q <C <R",
		"I> R> C> Q> E> | <E <Q <C", "I> R> C> Q> E> | <E <Q", "I> R> C> Q> E> | <E",
	};
	int i, c;

	for (i = 0; i < ARRAY_SIZE(deferrals); i++) {
		for (c = 0; c < VAIO_MAX_SLOTS; c++) {
			struct fx *fx = full_stack(test);
			struct fx_slot *s = fx->slot[c];
			struct fx_io *fio;

			s->complete = deferrals[i];
			fio = fx_start(fx, REQ_OP_READ, 4096);
			fx_device_end(fx, BLK_STS_TIMEOUT);
			KUNIT_EXPECT_EQ(test, fx->incomplete, 1);
			KUNIT_EXPECT_FALSE(test, fio->ended);
			FX_EXPECT_LOG(fx, up_to[c]);

			fx_continue(s);
			KUNIT_EXPECT_EQ(test, fio->ret, DM_ENDIO_DONE);
			KUNIT_EXPECT_TRUE(test, fio->ended);
			FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
			EXPECT_STATUS(test, fio->status, BLK_STS_TIMEOUT);
			KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.parked), 0);
		}
	}
}

static void deferred_at_every_slot_both_ways(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio;
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		fx->slot[c]->submit = FX_ORDERED;
		fx->slot[c]->complete = FX_ORDERED;
	}
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		fx_continue(fx->slot[c]);
	fx_device_end(fx, BLK_STS_OK);
	for (c = VAIO_MAX_SLOTS - 1; c >= 0; c--) {
		KUNIT_EXPECT_FALSE(test, fio->ended);
		fx_continue(fx->slot[c]);
	}
	KUNIT_EXPECT_TRUE(test, fio->ended);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
}

/* Each goes on behind the hook that deferred it, also when a slot has several. */
static void deferred_at_every_hook_of_a_slot(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct fx_slot *r, *q;

	fx_add_all(fx);
	r = fx->slot[VAIO_CLASS_REPLICATION];
	q = fx->slot[VAIO_CLASS_QOS];
	r->cfg.enter = VAIO_K_ALL;
	q->cfg.enter = VAIO_K_ALL;
	r->enter = FX_PACED;
	q->enter = FX_PACED;
	q->submit = FX_ORDERED;
	q->complete = FX_ORDERED;
	fx_build(fx);
	fx_start(fx, REQ_OP_READ, 4096);
	FX_EXPECT_LOG(fx, "^R");
	fx_continue(r);
	FX_EXPECT_LOG(fx, "^R ^Q");
	fx_continue(q);
	FX_EXPECT_LOG(fx, "^R ^Q I> R> C> Q>");
	fx_continue(q);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "^R ^Q I> R> C> Q> E> | <E <Q");
	fx_continue(q);
	FX_EXPECT_LOG(fx, "^R ^Q I> R> C> Q> E> | <E <Q <C <R <I .");
}

static void deferred_at_enter(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	struct fx_slot *q;

	fx_add_all(fx);
	q = fx->slot[VAIO_CLASS_QOS];
	q->cfg.enter = VAIO_K_ALL;
	q->enter = FX_PACED;
	fx_build(fx);
	fx_start(fx, REQ_OP_READ, 4096);
	FX_EXPECT_LOG(fx, "^Q");
	fx_continue(q);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "^Q I> R> C> Q> E> | <E <Q <C <R <I .");
}

static void continued_before_the_hook_returned(struct kunit *test)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct fx *fx = full_stack(test);
		struct fx_io *fio;

		fx->slot[c]->submit = FX_CONTINUE;
		fx->slot[c]->complete = FX_CONTINUE;
		fio = fx_start(fx, REQ_OP_READ, 4096);
		KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
		fx_device_end(fx, BLK_STS_OK);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
		KUNIT_EXPECT_EQ(test, fx->incomplete, 1);
	}
}

/* KASAN is the judge: nothing may touch the io after the hook. */
static void another_thread_ends_it_before_the_hook_returned(struct kunit *test)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct fx *fx = full_stack(test);

		fx->slot[c]->submit = FX_THREAD;
		KUNIT_EXPECT_EQ(test, fx_start_vanishing(fx, REQ_OP_WRITE, 4096),
				DM_MAPIO_SUBMITTED);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");

		fx_log_clear(fx);
		fx->slot[c]->submit = FX_PASS;
		fx->slot[c]->complete = FX_THREAD;
		fx_start_vanishing(fx, REQ_OP_WRITE, 4096);
		fx_device_end(fx, BLK_STS_OK);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	}
}

static void a_deferred_io_is_ended(struct kunit *test)
{
	static const blk_status_t statuses[] = { BLK_STS_OK, BLK_STS_NOSPC };
	int i, c;

	for (i = 0; i < ARRAY_SIZE(statuses); i++) {
		for (c = 0; c < VAIO_MAX_SLOTS; c++) {
			struct fx *fx = full_stack(test);
			struct fx_slot *s = fx->slot[c];
			struct vaio_slot_stats sum;
			struct fx_io *fio;

			s->submit = FX_ORDERED;
			fio = fx_start(fx, REQ_OP_WRITE, 4096);
			fx_end(s, statuses[i]);
			FX_EXPECT_LOG(fx, sentence(test, down_to[c], up_from_above[c]));
			EXPECT_STATUS(test, fio->status, statuses[i]);
			slot_sum(fx, c, &sum);
			KUNIT_EXPECT_EQ(test, sum.completed, i == 0);
			KUNIT_EXPECT_EQ(test, sum.failed, i == 1);
			KUNIT_EXPECT_EQ(test, sum.deferred, 1);

			/* before the hook returned */
			fx = full_stack(test);
			fx->slot[c]->submit = FX_END;
			fx->slot[c]->status = statuses[i];
			fio = fx_start(fx, REQ_OP_WRITE, 4096);
			FX_EXPECT_LOG(fx, sentence(test, down_to[c], up_from_above[c]));
			EXPECT_STATUS(test, fio->status, statuses[i]);
		}
	}
}

static void a_deferred_completion_is_ended_with_a_status(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *s = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_io *fio;

	s->complete = FX_ORDERED;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	fx_device_end(fx, BLK_STS_OK);
	fx_end(s, BLK_STS_TRANSPORT);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	EXPECT_STATUS(test, fx->slot[VAIO_CLASS_INSPECTION]->seen, BLK_STS_TRANSPORT);
	EXPECT_STATUS(test, fio->status, BLK_STS_TRANSPORT);
}

static void a_requeued_io_goes_back_to_device_mapper(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *s = fx->slot[VAIO_CLASS_QOS];
	struct vaio_stack_stats all;
	struct vaio_slot_stats sum;
	struct fx_io *fio;

	s->submit = FX_PACED;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	vaio_io_requeue(s->parked);
	KUNIT_EXPECT_EQ(test, fio->ret, DM_ENDIO_REQUEUE);
	FX_EXPECT_LOG(fx, "I> R> C> Q> <C <R <I .");
	/* it comes back: nothing has failed */
	slot_sum(fx, VAIO_CLASS_QOS, &sum);
	KUNIT_EXPECT_EQ(test, sum.failed, 0);
	KUNIT_EXPECT_EQ(test, sum.completed, 0);
	vaio_stack_stats_sum(&fx->disk, &all);
	KUNIT_EXPECT_EQ(test, all.kind[VAIO_KIND_WRITE].failed, 0);
}

static void nowait_is_not_made_to_wait(struct kunit *test)
{
	static const enum fx_act acts[] = { FX_PACED, FX_ORDERED };
	int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		struct fx *fx = full_stack(test);
		struct fx_slot *s = fx->slot[VAIO_CLASS_CACHE];
		struct vaio_stack_stats all;
		struct vaio_slot_stats sum;
		struct fx_io *fio;

		s->submit = acts[i];
		fio = fx_start(fx, REQ_OP_READ | REQ_NOWAIT, 4096);
		FX_EXPECT_LOG(fx, "I> R> C> <R <I .");
		EXPECT_STATUS(test, fio->status, BLK_STS_AGAIN);
		KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.parked), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&s->slot.paced), 0);
		slot_sum(fx, VAIO_CLASS_CACHE, &sum);
		KUNIT_EXPECT_EQ(test, sum.deferred, 0);
		/* the submitter tries again: nothing has failed */
		KUNIT_EXPECT_EQ(test, sum.failed, 0);
		vaio_stack_stats_sum(&fx->disk, &all);
		KUNIT_EXPECT_EQ(test, all.kind[VAIO_KIND_READ].failed, 0);
	}
}

static void nowait_and_work_that_has_begun(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *e = fx->slot[VAIO_CLASS_ENCRYPTION];

	e->submit = FX_ASYNC;
	fx_start(fx, REQ_OP_WRITE | REQ_NOWAIT, 4096);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E>");
	fx_continue(e);
	/* it may wait now: nobody is left who could be told to try again */
	KUNIT_EXPECT_FALSE(test, fx->sent[0]->bi_opf & REQ_NOWAIT);
	/* and on the way up the submitter waits anyway */
	fx->slot[VAIO_CLASS_CACHE]->complete = FX_ORDERED;
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C");
	fx_continue(fx->slot[VAIO_CLASS_CACHE]);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
}

static void nowait_ends_with_the_work_of_a_substitute(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *c = fx->slot[VAIO_CLASS_CACHE], *e = fx->slot[VAIO_CLASS_ENCRYPTION];

	c->submit = FX_SUBSTITUTE;
	fx_start(fx, REQ_OP_WRITE | REQ_NOWAIT, 4096);
	KUNIT_EXPECT_PTR_EQ(test, fx->sent[0], &c->sub);
	KUNIT_EXPECT_TRUE(test, fx->sent[0]->bi_opf & REQ_NOWAIT);
	fx_device_end(fx, BLK_STS_OK);

	e->submit = FX_ASYNC;
	fx_start(fx, REQ_OP_WRITE | REQ_NOWAIT, 4096);
	fx_continue(e);
	KUNIT_EXPECT_PTR_EQ(test, fx->sent[0], &c->sub);
	KUNIT_EXPECT_FALSE(test, fx->sent[0]->bi_opf & REQ_NOWAIT);
	fx_device_end(fx, BLK_STS_OK);
}

/* A submitter such as io_uring tries again only when it hears of it at once. */
static void try_again_is_not_deferred(struct kunit *test)
{
	static const enum fx_act acts[] = { FX_PACED, FX_ORDERED, FX_ASYNC };
	int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		struct fx *fx = full_stack(test);
		struct fx_io *fio;

		fx->slot[VAIO_CLASS_CACHE]->complete = acts[i];
		fio = fx_start(fx, REQ_OP_READ | REQ_NOWAIT, 4096);
		fx_device_end(fx, BLK_STS_AGAIN);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
		EXPECT_STATUS(test, fio->status, BLK_STS_AGAIN);
	}
}

static void quiesced_refuses_paced_only(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];

	q->slot.quiesced = true;
	q->submit = FX_PACED;
	fx_start(fx, REQ_OP_WRITE, 4096);
	KUNIT_EXPECT_EQ(test, atomic_read(&q->slot.paced), 0);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> |");
	fx_device_end(fx, BLK_STS_OK);

	fx_log_clear(fx);
	q->submit = FX_ORDERED;
	fx_start(fx, REQ_OP_WRITE, 4096);
	FX_EXPECT_LOG(fx, "I> R> C> Q>");
	fx_continue(q);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
}

/* Where submitting may sleep, going on downward must not happen at once. */
static void down_from_where_nothing_may_be_submitted(struct kunit *test)
{
	struct bio_list on_stack[2];
	int where;

	for (where = 0; where < 5; where++) {
		struct fx *fx = full_stack(test);
		struct fx_slot *s = fx->slot[VAIO_CLASS_CACHE];
		unsigned int sent;
		spinlock_t lock;

		s->submit = FX_ORDERED;
		fx_start(fx, REQ_OP_WRITE, 4096);
		spin_lock_init(&lock);
		switch (where) {
		case 0:		/* another bio's end_io, from a driver's dispatch */
			rcu_read_lock();
			vaio_io_continue(s->parked);
			sent = fx->nr_sent;
			rcu_read_unlock();
			break;
		case 1:
			spin_lock(&lock);
			vaio_io_continue(s->parked);
			sent = fx->nr_sent;
			spin_unlock(&lock);
			break;
		case 2:		/* softirq */
			local_bh_disable();
			vaio_io_continue(s->parked);
			sent = fx->nr_sent;
			local_bh_enable();
			break;
		case 3:		/* hardirq */
			local_irq_disable();
			vaio_io_continue(s->parked);
			sent = fx->nr_sent;
			local_irq_enable();
			break;
		default:	/* inside another submission */
			bio_list_init(&on_stack[0]);
			bio_list_init(&on_stack[1]);
			current->bio_list = on_stack;
			vaio_io_continue(s->parked);
			sent = fx->nr_sent;
			current->bio_list = NULL;
			break;
		}
		KUNIT_EXPECT_EQ_MSG(test, sent, 0, "case %d", where);
		flush_workqueue(fx->disk.wq);
		KUNIT_EXPECT_EQ(test, fx->nr_sent, 1);
		fx_device_end(fx, BLK_STS_OK);
		FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	}
}

/* --- substitutes -------------------------------------------------------------------- */

static void a_substitute_goes_down_and_is_taken_out(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *e = fx->slot[VAIO_CLASS_ENCRYPTION];
	struct fx_io *fio;

	e->submit = FX_SUBSTITUTE;
	fio = fx_start(fx, REQ_OP_WRITE | REQ_SYNC | REQ_FUA, 4096);
	KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], &e->sub);
	KUNIT_EXPECT_PTR_EQ(test, e->sub.bi_bdev, fx->stack.bdev);
	KUNIT_EXPECT_EQ(test, e->sub.bi_iter.bi_sector, 1064);
	KUNIT_EXPECT_EQ(test, (__force u32)e->sub.bi_opf,
			(__force u32)(REQ_OP_WRITE | REQ_SYNC | REQ_FUA));
	fx_device_end(fx, BLK_STS_MEDIUM);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	EXPECT_STATUS(test, fio->status, BLK_STS_MEDIUM);
}

static void two_substitutes_in_one_stack(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_slot *e = fx->slot[VAIO_CLASS_ENCRYPTION];
	struct fx_io *fio;

	r->submit = FX_SUBSTITUTE;
	e->submit = FX_SUBSTITUTE;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	KUNIT_EXPECT_PTR_EQ(test, fx->sent[0], &e->sub);
	KUNIT_EXPECT_PTR_EQ(test, e->prev, &r->sub);
	KUNIT_EXPECT_PTR_EQ(test, r->prev, &fio->clone);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	KUNIT_EXPECT_PTR_EQ(test, fx_vaio_io(fio)->bio, &fio->clone);
	EXPECT_STATUS(test, fio->status, BLK_STS_OK);
}

static void a_substitute_is_taken_out_when_a_lower_slot_ends_the_io(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_io *fio;

	r->submit = FX_SUBSTITUTE;
	fx->slot[VAIO_CLASS_QOS]->submit = FX_FAIL;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	FX_EXPECT_LOG(fx, "I> R> C> Q> <C <R <I .");
	KUNIT_EXPECT_PTR_EQ(test, fx_vaio_io(fio)->bio, &fio->clone);
}

static void a_substitute_is_deferred_below(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];

	r->submit = FX_SUBSTITUTE;
	q->submit = FX_PACED;
	q->complete = FX_ORDERED;
	fx_start(fx, REQ_OP_WRITE, 4096);
	fx_continue(q);
	KUNIT_EXPECT_PTR_EQ(test, fx->sent[0], &r->sub);
	fx_device_end(fx, BLK_STS_OK);
	fx_continue(q);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
}

static void polling_ends_where_map_ends(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *e = fx->slot[VAIO_CLASS_ENCRYPTION];
	struct fx_io *fio;

	/* the clone itself, submitted inside map(): stays polled */
	fio = fx_start(fx, REQ_OP_READ | REQ_POLLED, 4096);
	KUNIT_EXPECT_TRUE(test, fio->clone.bi_opf & REQ_POLLED);
	fx_device_end(fx, BLK_STS_OK);
	/* submitted later */
	e->submit = FX_ASYNC;
	fio = fx_start(fx, REQ_OP_READ | REQ_POLLED, 4096);
	fx_continue(e);
	KUNIT_EXPECT_FALSE(test, fio->clone.bi_opf & REQ_POLLED);
	fx_device_end(fx, BLK_STS_OK);
	/* another bio */
	e->submit = FX_SUBSTITUTE;
	fx_start(fx, REQ_OP_READ | REQ_POLLED, 4096);
	KUNIT_EXPECT_FALSE(test, e->sub.bi_opf & REQ_POLLED);
	fx_device_end(fx, BLK_STS_OK);
}

/* --- another payload ------------------------------------------------------------------ */

static void expect_own_payload(struct kunit *test, struct fx_io *fio)
{
	KUNIT_EXPECT_PTR_EQ(test, fx_vaio_io(fio)->bio, &fio->clone);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_io_vec, &fio->vecs[0]);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_idx, FX_VECS - 1);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_bvec_done, FX_VEC_DONE);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_size, 4096);
}

/* The clone itself goes down, as if nothing had been done, and is as it was when it is back. */
static void another_payload_goes_down_in_the_clone(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_io *fio;

	r->submit = FX_EXCHANGE;
	fio = fx_start(fx, REQ_OP_WRITE | REQ_FUA | REQ_POLLED, 4096);
	KUNIT_EXPECT_EQ(test, fio->map, DM_MAPIO_REMAPPED);
	KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], &fio->clone);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_io_vec, &r->vec);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_idx, 0);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_bvec_done, 0);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_size, 4096);
	KUNIT_EXPECT_EQ(test, fio->clone.bi_iter.bi_sector, 1064);
	KUNIT_EXPECT_TRUE(test, fio->clone.bi_opf & REQ_POLLED);
	/* the device moves it to its end */
	fio->clone.bi_iter.bi_size = 0;
	fio->clone.bi_iter.bi_idx = 1;
	fx_device_end(fx, BLK_STS_MEDIUM);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	EXPECT_STATUS(test, fio->status, BLK_STS_MEDIUM);
	expect_own_payload(test, fio);
}

static void another_payload_is_substituted_below(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_slot *e = fx->slot[VAIO_CLASS_ENCRYPTION];
	struct fx_io *fio;

	r->submit = FX_EXCHANGE;
	e->submit = FX_SUBSTITUTE;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], &e->sub);
	KUNIT_EXPECT_PTR_EQ(test, e->prev, &fio->clone);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_io_vec, &r->vec);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	expect_own_payload(test, fio);
}

/* In a bio that a slot above has put there. */
static void another_payload_in_a_substitute(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *i = fx->slot[VAIO_CLASS_INSPECTION];
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_io *fio;

	i->submit = FX_SUBSTITUTE;
	r->submit = FX_EXCHANGE;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], &i->sub);
	KUNIT_EXPECT_PTR_EQ(test, i->sub.bi_io_vec, &r->vec);
	fx_device_end(fx, BLK_STS_OK);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	KUNIT_EXPECT_NULL(test, i->sub.bi_io_vec);
	expect_own_payload(test, fio);
}

static void the_payload_comes_back_when_a_lower_slot_ends_the_io(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_io *fio;

	fx->slot[VAIO_CLASS_REPLICATION]->submit = FX_EXCHANGE;
	fx->slot[VAIO_CLASS_QOS]->submit = FX_FAIL;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	FX_EXPECT_LOG(fx, "I> R> C> Q> <C <R <I .");
	expect_own_payload(test, fio);
}

static void another_payload_is_deferred_below(struct kunit *test)
{
	struct fx *fx = full_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];
	struct fx_io *fio;

	r->submit = FX_EXCHANGE;
	q->submit = FX_PACED;
	q->complete = FX_ORDERED;
	fio = fx_start(fx, REQ_OP_WRITE, 4096);
	fx_continue(q);
	KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], &fio->clone);
	KUNIT_EXPECT_PTR_EQ(test, fio->clone.bi_io_vec, &r->vec);
	fx_device_end(fx, BLK_STS_OK);
	fx_continue(q);
	FX_EXPECT_LOG(fx, "I> R> C> Q> E> | <E <Q <C <R <I .");
	expect_own_payload(test, fio);
}

/* --- own I/O -------------------------------------------------------------------------- */

static struct fx *own_stack(struct kunit *test)
{
	struct fx *fx = fx_new(test);
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		fx_add(fx, c, VAIO_CAP_OWN_IO);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		fx->slot[c]->cfg.enter = VAIO_K_ALL;
	fx_build(fx);
	return fx;
}

static void own_bios_are_seen_below_only(struct kunit *test)
{
	static const char *const wanted[VAIO_MAX_SLOTS] = {
		"R> C> Q> E> | <E <Q <C <R *", "C> Q> E> | <E <Q <C *", "Q> E> | <E <Q *",
		"E> | <E *", "| *",
	};
	static const blk_opf_t opfs[] = {
		REQ_OP_READ, REQ_OP_WRITE, REQ_OP_DISCARD, REQ_OP_WRITE | REQ_PREFLUSH,
	};
	int c, i;

	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		for (i = 0; i < ARRAY_SIZE(opfs); i++) {
			struct fx *fx = own_stack(test);
			struct fx_slot *s = fx->slot[c];
			struct vaio_slot_stats sum;
			struct bio *bio = fx_own(s, opfs[i], NULL);

			KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
			vaio_submit_below(&s->slot, bio, 0);
			KUNIT_ASSERT_PTR_EQ(test, fx->sent[0], bio);
			KUNIT_EXPECT_EQ(test, bio->bi_iter.bi_sector, 1128);
			KUNIT_EXPECT_PTR_EQ(test, bio->bi_bdev, fx->stack.bdev);
			fx_device_end(fx, BLK_STS_NOSPC);
			FX_EXPECT_LOG(fx, wanted[c]);
			EXPECT_STATUS(test, fx->own_status, BLK_STS_NOSPC);
			slot_sum(fx, c, &sum);
			KUNIT_EXPECT_EQ(test, sum.own_io, 1);
		}
	}
}

static void own_bios_meet_every_verdict(struct kunit *test)
{
	static const struct {
		enum fx_act act;
		blk_status_t status;
		const char *log;
	} cases[] = {
		{ FX_COMPLETE, BLK_STS_OK, "C> Q> <C *" },
		{ FX_FAIL, BLK_STS_IOERR, "C> Q> <C *" },
		{ FX_END, BLK_STS_IOERR, "C> Q> <C *" },
		{ FX_CONTINUE, BLK_STS_OK, "C> Q> E> | <E <Q <C *" },
		{ FX_SUBSTITUTE, BLK_STS_OK, "C> Q> E> | <E <Q <C *" },
		{ FX_PACED, BLK_STS_OK, "C> Q> E> | <E <Q <C *" },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fx *fx = own_stack(test);
		struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
		struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];
		struct bio *bio = fx_own(r, REQ_OP_WRITE, NULL);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
		bio->bi_iter.bi_size = 4096;
		q->submit = cases[i].act;
		vaio_submit_below(&r->slot, bio, VAIO_IO_STABLE);
		if (cases[i].act == FX_PACED)
			fx_continue(q);
		flush_workqueue(fx->disk.wq);
		if (fx->nr_sent)
			fx_device_end(fx, BLK_STS_OK);
		FX_EXPECT_LOG(fx, cases[i].log);
		EXPECT_STATUS(test, fx->own_status, cases[i].status);
		KUNIT_EXPECT_EQ(test, fx->own_ended, 1);
	}
}

static void own_bios_are_deferred_on_the_way_up(struct kunit *test)
{
	struct fx *fx = own_stack(test);
	struct fx_slot *r = fx->slot[VAIO_CLASS_REPLICATION];
	struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];
	struct bio *bio = fx_own(r, REQ_OP_READ, NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
	q->complete = FX_ORDERED;
	vaio_submit_below(&r->slot, bio, 0);
	fx_device_end(fx, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, fx->own_ended, 0);
	fx_continue(q);
	FX_EXPECT_LOG(fx, "C> Q> E> | <E <Q <C *");
}

static void own_bios_carry_their_flags(struct kunit *test)
{
	struct fx *fx = own_stack(test);
	struct fx_slot *c = fx->slot[VAIO_CLASS_CACHE];
	struct fx_slot *q = fx->slot[VAIO_CLASS_QOS];
	struct fx_io *fio = fx_start(fx, REQ_OP_READ, 4096);
	struct bio *bio;

	q->submit = FX_ORDERED;
	bio = fx_own(c, REQ_OP_WRITE, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
	vaio_submit_below(&c->slot, bio, VAIO_IO_SEALED);
	KUNIT_EXPECT_EQ(test, q->parked->flags, VAIO_IO_OWN | VAIO_IO_INTERNAL | VAIO_IO_SEALED);
	fx_end(q, BLK_STS_OK);

	/* for a guest's io, with its priority */
	fio->clone.bi_ioprio = 0x4003;
	bio = fx_own(c, REQ_OP_READ, fx_vaio_io(fio));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
	KUNIT_EXPECT_EQ(test, bio->bi_ioprio, 0x4003);
	vaio_submit_below(&c->slot, bio, 0);
	KUNIT_EXPECT_EQ(test, q->parked->flags, VAIO_IO_OWN);
	fx_end(q, BLK_STS_OK);
	fx_device_end(fx, BLK_STS_OK);
}

static void own_io_is_refused_when_closed(struct kunit *test)
{
	struct fx *fx = own_stack(test);
	struct fx_slot *c = fx->slot[VAIO_CLASS_CACHE];
	struct bio *bio = fx_own(c, REQ_OP_WRITE, NULL);
	struct bio *held = fx_own(fx->slot[VAIO_CLASS_REPLICATION], REQ_OP_READ, NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bio);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, held);
	vaio_submit_below(&c->slot, bio, 0);
	percpu_ref_kill(&fx->disk.below);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(fx_own(c, REQ_OP_WRITE, NULL)), -ESHUTDOWN);
	/* the last one is waited for, also one that was never sent */
	KUNIT_EXPECT_FALSE(test, completion_done(&fx->disk.below_dead));
	fx_device_end(fx, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, fx->own_ended, 1);
	vaio_own_free(&fx->slot[VAIO_CLASS_REPLICATION]->slot, held);
	/* the count becomes exact a grace period later */
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&fx->disk.below_dead, 60 * HZ), 0);
}

static void own_size_is_bounded_by_the_slots_below(struct kunit *test)
{
	struct fx *fx = own_stack(test);
	unsigned int any = BIO_MAX_VECS << (PAGE_SHIFT - SECTOR_SHIFT);

	fx->slot[VAIO_CLASS_INSPECTION]->cfg.max_io_sectors = 1;
	fx->slot[VAIO_CLASS_REPLICATION]->cfg.max_io_sectors = 8;
	fx->slot[VAIO_CLASS_QOS]->cfg.max_io_sectors = 256;
	KUNIT_EXPECT_EQ(test, vaio_own_max_sectors(&fx->slot[VAIO_CLASS_INSPECTION]->slot), 8);
	KUNIT_EXPECT_EQ(test, vaio_own_max_sectors(&fx->slot[VAIO_CLASS_REPLICATION]->slot), 256);
	KUNIT_EXPECT_EQ(test, vaio_own_max_sectors(&fx->slot[VAIO_CLASS_QOS]->slot), any);
}

static struct kunit_case io_cases[] = {
	KUNIT_CASE(pass_is_remapped_in_map),
	KUNIT_CASE(a_device_error_is_heard_by_all),
	KUNIT_CASE(complete_may_change_the_status),
	KUNIT_CASE(complete_is_heard_by_the_slots_above_only),
	KUNIT_CASE(fail_is_heard_by_the_slots_above_only),
	KUNIT_CASE(fail_without_a_status_is_an_io_error),
	KUNIT_CASE(what_ends_at_enter_is_heard_by_nobody),
	KUNIT_CASE(deferred_down_and_continued),
	KUNIT_CASE(deferred_up_and_continued),
	KUNIT_CASE(deferred_at_every_slot_both_ways),
	KUNIT_CASE(deferred_at_enter),
	KUNIT_CASE(deferred_at_every_hook_of_a_slot),
	KUNIT_CASE(continued_before_the_hook_returned),
	KUNIT_CASE(another_thread_ends_it_before_the_hook_returned),
	KUNIT_CASE(a_deferred_io_is_ended),
	KUNIT_CASE(a_deferred_completion_is_ended_with_a_status),
	KUNIT_CASE(a_requeued_io_goes_back_to_device_mapper),
	KUNIT_CASE(nowait_is_not_made_to_wait),
	KUNIT_CASE(nowait_and_work_that_has_begun),
	KUNIT_CASE(nowait_ends_with_the_work_of_a_substitute),
	KUNIT_CASE(try_again_is_not_deferred),
	KUNIT_CASE(quiesced_refuses_paced_only),
	KUNIT_CASE(down_from_where_nothing_may_be_submitted),
	KUNIT_CASE(a_substitute_goes_down_and_is_taken_out),
	KUNIT_CASE(two_substitutes_in_one_stack),
	KUNIT_CASE(a_substitute_is_taken_out_when_a_lower_slot_ends_the_io),
	KUNIT_CASE(a_substitute_is_deferred_below),
	KUNIT_CASE(another_payload_goes_down_in_the_clone),
	KUNIT_CASE(another_payload_is_substituted_below),
	KUNIT_CASE(another_payload_in_a_substitute),
	KUNIT_CASE(the_payload_comes_back_when_a_lower_slot_ends_the_io),
	KUNIT_CASE(another_payload_is_deferred_below),
	KUNIT_CASE(polling_ends_where_map_ends),
	KUNIT_CASE_SLOW(own_bios_are_seen_below_only),
	KUNIT_CASE_SLOW(own_bios_meet_every_verdict),
	KUNIT_CASE(own_bios_are_deferred_on_the_way_up),
	KUNIT_CASE(own_bios_carry_their_flags),
	KUNIT_CASE(own_io_is_refused_when_closed),
	KUNIT_CASE(own_size_is_bounded_by_the_slots_below),
	{}
};

static struct kunit_suite io_suite = {
	.name = "vaio-io",
	.test_cases = io_cases,
};
kunit_test_suite(io_suite);
