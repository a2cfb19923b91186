// SPDX-License-Identifier: GPL-2.0
/*
 * A stack without device-mapper: see stack_fixture.h.
 */
#include <linux/blkdev.h>
#include <linux/slab.h>
#include "path.h"
#include "stack_fixture.h"

static const char letters[VAIO_MAX_SLOTS] = { 'I', 'R', 'C', 'Q', 'E' };

/* The fixture whose bios reach the "device": KUnit runs one test at a time. */
static struct fx *fx_live;

static char letter_of(const struct vaio_slot *slot)
{
	return letters[slot->filter->class];
}

static void fx_note(struct fx *fx, const char *token)
{
	unsigned long flags;

	spin_lock_irqsave(&fx->lock, flags);
	if (fx->log[0])
		strlcat(fx->log, " ", FX_LOG);
	strlcat(fx->log, token, FX_LOG);
	spin_unlock_irqrestore(&fx->lock, flags);
}

static void note_hook(struct fx_slot *s, char before, char after)
{
	char token[4] = { before, letter_of(&s->slot), after, 0 };

	fx_note(s->fx, before ? token : token + 1);
}

void fx_log_clear(struct fx *fx)
{
	fx->log[0] = '\0';
}

/* --- the device ------------------------------------------------------------- */

static void device_get(struct fx *fx, struct bio *bio)
{
	unsigned long flags;

	fx_note(fx, "|");
	spin_lock_irqsave(&fx->lock, flags);
	if (fx->nr_sent < ARRAY_SIZE(fx->sent))
		fx->sent[fx->nr_sent++] = bio;
	spin_unlock_irqrestore(&fx->lock, flags);
}

static void fx_send(struct vaio_io *io)
{
	device_get(fx_live, io->bio);
}

void fx_device_end_bio(struct fx *fx, struct bio *bio, blk_status_t status)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&fx->lock, flags);
	for (i = 0; i < fx->nr_sent && fx->sent[i] != bio; i++)
		;
	if (i < fx->nr_sent) {
		fx->nr_sent--;
		memmove(&fx->sent[i], &fx->sent[i + 1], (fx->nr_sent - i) * sizeof(fx->sent[0]));
	} else {
		bio = NULL;
	}
	spin_unlock_irqrestore(&fx->lock, flags);

	KUNIT_ASSERT_NOT_NULL_MSG(fx->test, bio, "the device has no such bio; log: %s", fx->log);
	bio->bi_status = status;
	bio_endio(bio);
	flush_workqueue(fx->disk.wq);
}

void fx_device_end(struct fx *fx, blk_status_t status)
{
	fx_device_end_bio(fx, fx->sent[0], status);
}

/* --- what device-mapper does --------------------------------------------------- */

static void clone_end_io(struct bio *bio)
{
	struct fx_io *fio = container_of(bio, struct fx_io, clone);
	blk_status_t status = bio->bi_status;
	int ret = vaio_stack_end_io(&fio->fx->stack, bio, &status);

	if (ret == DM_ENDIO_INCOMPLETE) {
		/* it may be gone */
		fx_live->incomplete++;
		return;
	}
	fio->ret = ret;
	fio->status = status;
	fx_note(fio->fx, fio->ended ? "ENDED-TWICE" : ".");
	fio->ended = true;
	bio_uninit(&fio->clone);
	if (fio->vanish)
		kfree(fio);
}

static void io_init(struct fx_io *fio, struct fx *fx, blk_opf_t opf, unsigned int bytes)
{
	fio->fx = fx;
	bio_init(&fio->clone, fx->gd->part0, fio->vecs, 0, opf);
	fio->clone.bi_iter.bi_sector = 64;
	fio->clone.bi_iter.bi_size = bytes;
	fio->clone.bi_iter.bi_idx = FX_VECS - 1;
	fio->clone.bi_iter.bi_bvec_done = FX_VEC_DONE;
	fio->clone.bi_end_io = clone_end_io;
	memset(fio->io, 0xa5, sizeof(fio->io));
}

/* After map() the io may be gone. */
static int io_map(struct fx_io *fio)
{
	struct fx *fx = fio->fx;
	unsigned int kind = vaio_kind_of(&fio->clone);
	const struct vaio_plan *plan = kind < __VAIO_KIND_COUNT ? fx->stack.plan[kind] : NULL;
	int map = kind == __VAIO_KIND_COUNT ? DM_MAPIO_KILL :
		  !plan ? vaio_stack_pass(&fx->stack, &fio->clone) :
		  vaio_stack_map_hooked(plan, &fio->clone, fx_vaio_io(fio));

	if (map == DM_MAPIO_REMAPPED)
		device_get(fx, &fio->clone);
	else if (map == DM_MAPIO_KILL)
		bio_uninit(&fio->clone);	/* device-mapper fails it by itself */
	flush_workqueue(fx->disk.wq);
	return map;
}

struct fx_io *fx_start(struct fx *fx, blk_opf_t opf, unsigned int bytes)
{
	struct fx_io *fio = kunit_kzalloc(fx->test, sizeof(*fio), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(fx->test, fio);
	io_init(fio, fx, opf, bytes);
	fio->map = io_map(fio);
	return fio;
}

int fx_start_vanishing(struct fx *fx, blk_opf_t opf, unsigned int bytes)
{
	struct fx_io *fio = kzalloc(sizeof(*fio), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(fx->test, fio);
	io_init(fio, fx, opf, bytes);
	fio->vanish = true;
	return io_map(fio);
}

/* --- slots that do what the test says ------------------------------------------- */

/* On another thread: down, through the device, and up to the end. */
static void take_to_the_end(struct work_struct *work)
{
	struct fx *fx = container_of(work, struct fx, work);
	struct vaio_io *io = fx->hand_over;
	bool down = !(io->flags & VAIO_IO_UNWINDING);

	vaio_io_continue(io);
	flush_workqueue(fx->disk.wq);
	if (down)
		fx_device_end(fx, BLK_STS_OK);
}

static enum vaio_verdict defer(struct fx_slot *s, struct vaio_io *io, enum fx_act act, bool enters)
{
	enum vaio_defer why = act == FX_PACED ? VAIO_PACED : act == FX_ASYNC ? VAIO_ASYNC :
			      VAIO_ORDERED;
	int r;

	r = enters ? vaio_io_defer_enter(&s->slot, io, why) : vaio_io_defer(&s->slot, io, why);

	if (r == -EAGAIN)
		return VAIO_FAIL;
	if (r == -EBUSY)
		return VAIO_PASS;
	s->parked = io;
	switch (act) {
	case FX_CONTINUE:
		vaio_io_continue(io);
		break;
	case FX_END:
		vaio_io_end(io, s->status);
		break;
	case FX_THREAD:
		s->fx->hand_over = io;
		schedule_work(&s->fx->work);
		flush_work(&s->fx->work);
		break;
	default:
		break;
	}
	return VAIO_DEFER;
}

static enum vaio_verdict act(struct fx_slot *s, struct vaio_io *io, enum fx_act act, bool enters)
{
	switch (act) {
	case FX_COMPLETE:
		return VAIO_COMPLETE;
	case FX_FAIL:
		io->status = s->status;
		return VAIO_FAIL;
	case FX_SUBSTITUTE:
		/* no device: the framework sets it */
		bio_init(&s->sub, NULL, NULL, 0, 0);
		s->sub.bi_iter.bi_size = io->len;
		s->prev = vaio_io_substitute(io, &s->sub);
		return VAIO_PASS;
	case FX_EXCHANGE:
		bvec_set_page(&s->vec, NULL, io->len, 512);
		vaio_io_exchange_payload(io, &s->vec, &s->payload);
		return VAIO_PASS;
	case FX_STATUS:
		io->status = s->status;
		return VAIO_PASS;
	case FX_PASS:
		return VAIO_PASS;
	default:
		return defer(s, io, act, enters);
	}
}

static enum vaio_verdict fx_enter_hook(struct vaio_slot *slot, struct vaio_io *io)
{
	struct fx_slot *s = slot->priv;

	note_hook(s, '^', 0);
	return act(s, io, s->enter, true);
}

static enum vaio_verdict fx_submit_hook(struct vaio_slot *slot, struct vaio_io *io)
{
	struct fx_slot *s = slot->priv;

	note_hook(s, 0, '>');
	memset(vaio_io_state(slot, io), letter_of(slot), FX_STATE);
	return act(s, io, s->submit, false);
}

static enum vaio_verdict fx_complete_hook(struct vaio_slot *slot, struct vaio_io *io)
{
	struct fx_slot *s = slot->priv;

	note_hook(s, '<', 0);
	/* its state is as submit() left it: nobody else's lies over it */
	if ((slot->cfg->submit & (1U << io->kind)) &&
	    memchr_inv(vaio_io_state(slot, io), letter_of(slot), FX_STATE))
		fx_note(s->fx, "STATE-LOST");
	s->seen = io->status;
	if (s->submit == FX_SUBSTITUTE) {
		if (io->bio != &s->sub)
			fx_note(s->fx, "NOT-MY-BIO");
		vaio_io_restore(io, s->prev);
		bio_uninit(&s->sub);
	}
	if (s->submit == FX_EXCHANGE) {
		if (io->bio->bi_io_vec != &s->vec)
			fx_note(s->fx, "NOT-MY-PAGE");
		vaio_io_restore_payload(io, &s->payload);
	}
	return act(s, io, s->complete, false);
}

struct fx_slot *fx_add(struct fx *fx, enum vaio_class class, u32 caps)
{
	static const char *const names[] = { "fx-i", "fx-r", "fx-c", "fx-q", "fx-e" };
	struct fx_slot *s = &fx->slots[class];

	s->fx = fx;
	s->status = BLK_STS_IOERR;
	s->filter.name = names[class];
	s->filter.class = class;
	s->filter.caps = caps;
	s->filter.enter = fx_enter_hook;
	s->filter.submit = fx_submit_hook;
	s->filter.complete = fx_complete_hook;
	s->cfg.filter = &s->filter;
	s->cfg.io_size = FX_STATE;
	s->cfg.submit = VAIO_K_ALL;
	s->cfg.complete = VAIO_K_ALL;
	s->slot.filter = &s->filter;
	s->slot.disk = &fx->disk;
	s->slot.priv = s;
	s->slot.cfg = &s->cfg;
	s->slot.stats = vaio_slot_stats_alloc();
	KUNIT_ASSERT_NOT_NULL(fx->test, s->slot.stats);
	fx->slot[class] = s;
	fx->disk.slots[class] = &s->slot;
	return s;
}

void fx_add_all(struct fx *fx)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		fx_add(fx, c, 0);
}

void fx_build(struct fx *fx)
{
	unsigned int at = sizeof(struct vaio_io);
	int c;

	for (c = VAIO_MAX_SLOTS - 1; c >= 0; c--) {
		struct fx_slot *s = fx->slot[c];

		if (!s)
			continue;
		s->slot.io_offset = at;
		if (s->filter.caps & VAIO_CAP_OWN_IO) {
			s->slot.bios = vaio_own_bios_new(at);
			KUNIT_ASSERT_NOT_NULL(fx->test, s->slot.bios);
		}
		at += FX_STATE;
	}
	vaio_plans_build(&fx->stack, fx->disk.slots);
	fx->disk.stack = &fx->stack;
}

/* --- own I/O --------------------------------------------------------------------- */

static void own_ended(struct vaio_slot *slot, struct bio *bio, void *private)
{
	struct fx *fx = private;

	fx_note(fx, "*");
	fx->own_status = bio->bi_status;
	fx->own_ended++;
}

struct bio *fx_own(struct fx_slot *s, blk_opf_t opf, struct vaio_io *serves)
{
	struct bio *bio = vaio_own_alloc(&s->slot, 1, opf, serves, own_ended, s->fx);

	if (!IS_ERR(bio))
		bio->bi_iter.bi_sector = 128;
	return bio;
}

/* --- deferred ios ------------------------------------------------------------------ */

void fx_continue(struct fx_slot *s)
{
	struct vaio_io *io = s->parked;

	KUNIT_ASSERT_NOT_NULL(s->fx->test, io);
	s->parked = NULL;
	vaio_io_continue(io);
	flush_workqueue(s->fx->disk.wq);
}

void fx_end(struct fx_slot *s, blk_status_t status)
{
	struct vaio_io *io = s->parked;

	KUNIT_ASSERT_NOT_NULL(s->fx->test, io);
	s->parked = NULL;
	vaio_io_end(io, status);
	flush_workqueue(s->fx->disk.wq);
}

/* --- life ---------------------------------------------------------------------------- */

/* The disk's state is not what these tests are about. */
static void no_space_work(struct work_struct *work)
{
}

static void fx_free(void *arg)
{
	struct fx *fx = arg;
	int c;

	vaio_test_send = NULL;
	fx_live = NULL;
	if (!percpu_ref_is_dying(&fx->disk.below)) {
		percpu_ref_kill(&fx->disk.below);
		wait_for_completion(&fx->disk.below_dead);
	}
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		if (!fx->slot[c])
			continue;
		vaio_own_bios_free(fx->slot[c]->slot.bios);
		free_percpu(fx->slot[c]->slot.stats);
	}
	percpu_ref_exit(&fx->disk.below);
	destroy_workqueue(fx->disk.wq);
	free_percpu(fx->disk.stats);
	bio_uninit(&fx->disk.charge);
	put_disk(fx->gd);
}

struct fx *fx_new(struct kunit *test)
{
	struct fx *fx = kunit_kzalloc(test, sizeof(*fx), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fx);
	fx->test = test;
	spin_lock_init(&fx->lock);
	INIT_WORK(&fx->work, take_to_the_end);
	fx->gd = blk_alloc_disk(NULL, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fx->gd);

	strscpy(fx->disk.name, "fixture", sizeof(fx->disk.name));
	mutex_init(&fx->disk.lifecycle);
	mutex_init(&fx->disk.lock);
	spin_lock_init(&fx->disk.charge_lock);
	INIT_WORK(&fx->disk.space_work, no_space_work);
	bio_init(&fx->disk.charge, fx->gd->part0, NULL, 0, 0);
	init_completion(&fx->disk.below_dead);
	fx->disk.wq = alloc_workqueue("vaio-fixture", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	fx->disk.stats = alloc_percpu(struct vaio_stack_stats);
	KUNIT_ASSERT_EQ(test, 0, percpu_ref_init(&fx->disk.below, vaio_own_below_release, 0,
						 GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, fx->disk.wq && fx->disk.stats);
	fx->stack.disk = &fx->disk;
	fx->stack.stats = fx->disk.stats;
	fx->stack.bdev = fx->gd->part0;
	fx->stack.start = 1000;

	fx_live = fx;
	vaio_test_send = fx_send;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fx_free, fx));
	return fx;
}
