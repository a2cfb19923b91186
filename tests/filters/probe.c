// SPDX-License-Identifier: GPL-2.0
/*
 * vaio-probe: filters for the tests, one of each class, that do what their table
 * says. words.c has the words.
 *
 * /sys/module/vaio_probe/parameters/log is what the slots with "log yes" saw; a
 * write empties it. A word each: "I>" submit, "<I" complete, "^I" enter of the
 * inspection probe, "I:start" and the like for the rest of a slot's life.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "probe.h"

static const char letters[] = { 'I', 'R', 'C', 'Q', 'E' };

/* --- the log --------------------------------------------------------------- */

#define PROBE_LOG	3000	/* a parameter is read in one page */

static char probe_log[PROBE_LOG];
static size_t probe_log_len;
static DEFINE_SPINLOCK(probe_log_lock);

static __printf(1, 2) void note(const char *fmt, ...)
{
	unsigned long flags;
	va_list args;

	va_start(args, fmt);
	spin_lock_irqsave(&probe_log_lock, flags);
	probe_log_len += vscnprintf(probe_log + probe_log_len, PROBE_LOG - probe_log_len, fmt, args);
	spin_unlock_irqrestore(&probe_log_lock, flags);
	va_end(args);
}

static int log_set(const char *value, const struct kernel_param *kp)
{
	spin_lock_irq(&probe_log_lock);
	probe_log_len = 0;
	probe_log[0] = '\0';
	spin_unlock_irq(&probe_log_lock);
	return 0;
}

static int log_get(char *buffer, const struct kernel_param *kp)
{
	int n;

	spin_lock_irq(&probe_log_lock);
	n = scnprintf(buffer, PAGE_SIZE, "%s\n", probe_log);
	spin_unlock_irq(&probe_log_lock);
	return n;
}

static const struct kernel_param_ops log_ops = { .set = log_set, .get = log_get };
module_param_cb(log, &log_ops, NULL, 0644);
MODULE_PARM_DESC(log, "what the slots with the word log saw; a write empties it");

static bool stuck;
module_param(stuck, bool, 0644);
MODULE_PARM_DESC(stuck, "while it is set, set() of every probe hangs");

/* --- a slot ------------------------------------------------------------------ */

/*
 * struct probe - the filter on one disk: slot->priv
 * @words: of the table adopted last; a live change goes here
 * @lock: of @held, @timed and @quiet
 * @held: PACED ios that wait for a release
 * @timed: deferred ios that wait for @work
 * @quiet: quiesced: no own I/O
 * @own_work: sends the next own write
 * @generation: kept from attach to detach, to see that a slot lives on
 */
struct probe {
	struct vaio_slot	*slot;
	struct probe_words	words;
	spinlock_t		lock;
	struct list_head	held, timed;
	bool			quiet;
	struct delayed_work	work;
	struct work_struct	own_work;
	struct page		*own_page;
	u64			own_next;
	atomic_t		own_done, own_failed, own_refused;
	atomic_t		submitted, completed, entered, subs, no_subs;
	unsigned int		generation;
};

/* Per-io state: a substitute and what it replaced. */
struct probe_io {
	struct bio	*sub, *prev;
	struct bvec_iter iter;		/* of sub, before the device moves it to its end */
};

static char letter(const struct vaio_slot *slot)
{
	return letters[slot->filter->class];
}

static int reclaims;
module_param(reclaims, int, 0644);
MODULE_PARM_DESC(reclaims, "steps of slots' lives, but stop and detach, that could get memory by writing to the disk");

static void note_gain(void)
{
	if (!(current->flags & PF_MEMALLOC_NOIO))
		reclaims++;
}

static void note_life(const struct probe *p, const char *what)
{
	if (p->words.log)
		note("%c:%s ", letter(p->slot), what);
}

/* --- deferral ------------------------------------------------------------------ */

static void let_go(struct list_head *ios)
{
	struct vaio_io *io, *next;

	list_for_each_entry_safe(io, next, ios, entry) {
		list_del(&io->entry);
		vaio_io_continue(io);
	}
}

static void timed_work(struct work_struct *work)
{
	struct probe *p = container_of(to_delayed_work(work), struct probe, work);
	LIST_HEAD(ios);

	spin_lock_irq(&p->lock);
	list_splice_init(&p->timed, &ios);
	spin_unlock_irq(&p->lock);
	let_go(&ios);
}

static void release(struct probe *p)
{
	LIST_HEAD(ios);

	spin_lock_irq(&p->lock);
	list_splice_init(&p->held, &ios);
	spin_unlock_irq(&p->lock);
	let_go(&ios);
}

static enum vaio_verdict defer(struct probe *p, struct vaio_io *io, enum probe_hook hook,
			       enum vaio_defer why)
{
	unsigned long flags;
	int r;

	/* under the lock that quiesce takes to end the parked ones: none slips in after it */
	spin_lock_irqsave(&p->lock, flags);
	r = hook == PROBE_ENTER ? vaio_io_defer_enter(p->slot, io, why) :
				  vaio_io_defer(p->slot, io, why);
	if (!r) {
		if (why == VAIO_PACED && p->words.hold) {
			list_add_tail(&io->entry, &p->held);
		} else {
			list_add_tail(&io->entry, &p->timed);
			queue_delayed_work(vaio_disk_wq(p->slot->disk), &p->work,
					   msecs_to_jiffies(p->words.delay_ms));
		}
	}
	spin_unlock_irqrestore(&p->lock, flags);
	return r == -EAGAIN ? VAIO_FAIL : r ? VAIO_PASS : VAIO_DEFER;
}

/* --- substitutes ------------------------------------------------------------------ */

static void sub_free(struct bio *sub)
{
	bio_free_pages(sub);
	bio_put(sub);
}

/* A copy in its place; without memory the io goes on as it is. */
static void substitute(struct probe *p, struct vaio_io *io)
{
	struct probe_io *state = vaio_io_state(p->slot, io);
	unsigned int left = io->len;
	struct bio *sub;

	state->sub = NULL;
	if (!left || !bio_has_data(io->bio))
		return;
	sub = bio_alloc(NULL, DIV_ROUND_UP(left, PAGE_SIZE), 0, GFP_NOWAIT);
	while (sub && left) {
		struct page *page = alloc_page(GFP_NOWAIT | __GFP_NOWARN);
		unsigned int n = min_t(unsigned int, left, PAGE_SIZE);

		if (!page) {
			sub_free(sub);
			sub = NULL;
			break;
		}
		__bio_add_page(sub, page, n, 0);
		left -= n;
	}
	if (!sub) {
		atomic_inc(&p->no_subs);
		return;
	}
	if (op_is_write(bio_op(io->bio)))
		bio_copy_data(sub, io->bio);
	state->sub = sub;
	state->iter = sub->bi_iter;
	state->prev = vaio_io_substitute(io, sub);
	atomic_inc(&p->subs);
}

static void restore(struct probe *p, struct vaio_io *io)
{
	struct probe_io *state = vaio_io_state(p->slot, io);
	struct bio *sub = state->sub;

	if (!sub)
		return;
	vaio_io_restore(io, state->prev);
	if (!op_is_write(bio_op(sub)) && !io->status) {
		sub->bi_iter = state->iter;
		bio_copy_data(state->prev, sub);
	}
	sub_free(sub);
}

/* --- the data path ------------------------------------------------------------------ */

static enum vaio_verdict do_act(struct probe *p, struct vaio_io *io, enum probe_hook hook)
{
	switch (READ_ONCE(p->words.act[hook][io->kind])) {
	case PROBE_COMPLETE:
		if (io->kind == VAIO_KIND_READ)
			zero_fill_bio(io->bio);
		return VAIO_COMPLETE;
	case PROBE_FAIL:
		io->status = p->words.status;
		return hook == PROBE_COMPLETED ? VAIO_PASS : VAIO_FAIL;
	case PROBE_PACED:
		return defer(p, io, hook, VAIO_PACED);
	case PROBE_ORDERED:
		return defer(p, io, hook, VAIO_ORDERED);
	case PROBE_ASYNC:
		return defer(p, io, hook, VAIO_ASYNC);
	case PROBE_SUB:
		substitute(p, io);
		return VAIO_PASS;
	default:
		return VAIO_PASS;
	}
}

static enum vaio_verdict probe_enter(struct vaio_slot *slot, struct vaio_io *io)
{
	struct probe *p = slot->priv;

	atomic_inc(&p->entered);
	if (p->words.log)
		note("^%c ", letter(slot));
	return do_act(p, io, PROBE_ENTER);
}

static enum vaio_verdict probe_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct probe *p = slot->priv;

	atomic_inc(&p->submitted);
	if (p->words.log)
		note("%c%s ", letter(slot), io->flags & VAIO_IO_OWN ? ">own" : ">");
	return do_act(p, io, PROBE_SUBMIT);
}

static enum vaio_verdict probe_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct probe *p = slot->priv;

	atomic_inc(&p->completed);
	if (p->words.log)
		note("<%c ", letter(slot));
	if (p->words.act[PROBE_SUBMIT][io->kind] == PROBE_SUB)
		restore(p, io);
	return do_act(p, io, PROBE_COMPLETED);
}

/* --- own I/O -------------------------------------------------------------------------- */

static void own_kick(struct probe *p)
{
	if (p->words.own_sectors && !READ_ONCE(p->quiet))
		queue_work(vaio_disk_wq(p->slot->disk), &p->own_work);
}

static void own_end(struct vaio_slot *slot, struct bio *bio, void *private)
{
	struct probe *p = private;

	atomic_inc(bio->bi_status ? &p->own_failed : &p->own_done);
	own_kick(p);
}

/* One write at a time, the next from the end of the last: as a destage, but endless. */
static void own_work(struct work_struct *work)
{
	struct probe *p = container_of(work, struct probe, own_work);
	struct bio *bio;

	if (READ_ONCE(p->quiet))
		return;
	bio = vaio_own_alloc(p->slot, 1, REQ_OP_WRITE, NULL, own_end, p);
	if (IS_ERR(bio)) {
		atomic_inc(&p->own_refused);
		return;
	}
	bio->bi_iter.bi_sector = p->words.own_start + p->own_next;
	p->own_next = (p->own_next + 8) % p->words.own_sectors;
	__bio_add_page(bio, p->own_page, 4096, 0);
	vaio_submit_below(p->slot, bio, VAIO_IO_STABLE);
}

/* --- the slot's life -------------------------------------------------------------------- */

static int probe_check(struct vaio_slot *slot, struct vaio_slot_cfg *cfg, char **error)
{
	const struct probe_words *w;

	if (!cfg) {
		struct probe *p = slot->priv;

		/* without a sentence: the framework finds one */
		return p->words.fail_remove ? -EBUSY : 0;
	}
	w = cfg->priv;
	if (!w->fail_check)
		return 0;
	*error = vaio_cfg_error(cfg, "fail_check: 'yes' asks for this");
	return -EINVAL;
}

static int probe_attach(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	static atomic_t generations;
	struct probe_words *w = cfg->priv;
	struct probe *p;

	if (w->fail_attach)
		return -ENOSPC;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->own_page = alloc_page(GFP_KERNEL);
	if (!p->own_page) {
		kfree(p);
		return -ENOMEM;
	}
	memset(page_address(p->own_page), letter(slot), PAGE_SIZE);
	p->slot = slot;
	p->words = *w;
	spin_lock_init(&p->lock);
	INIT_LIST_HEAD(&p->held);
	INIT_LIST_HEAD(&p->timed);
	INIT_DELAYED_WORK(&p->work, timed_work);
	INIT_WORK(&p->own_work, own_work);
	p->generation = atomic_inc_return(&generations);
	slot->priv = p;
	note_gain();
	note_life(p, "attach");
	return 0;
}

static const struct vaio_transform probe_transform = { .unit = 4096 };

static void probe_adopt(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct probe *p = slot->priv;

	p->words = *(const struct probe_words *)cfg->priv;
	vaio_disk_offer_transform(slot, p->words.transform ? &probe_transform : NULL);
	note_gain();
	note_life(p, "adopt");
}

static int probe_start(struct vaio_slot *slot)
{
	struct probe *p = slot->priv;
	struct vaio_slot *below;

	note_gain();
	note_life(p, vaio_disk_transform(slot, &below) ? "start-with-transform" : "start");
	if (p->words.fail_start)
		return -EIO;
	p->quiet = false;
	own_kick(p);
	if (p->words.degraded)
		vaio_disk_degraded(slot->disk, "the probe is asked to say so");
	return 0;
}

static void probe_stop(struct vaio_slot *slot)
{
	struct probe *p = slot->priv;

	note_life(p, "stop");
	WRITE_ONCE(p->quiet, true);
	cancel_work_sync(&p->own_work);
	cancel_delayed_work_sync(&p->work);
}

static void probe_detach(struct vaio_slot *slot)
{
	struct probe *p = slot->priv;

	note_life(p, "detach");
	__free_page(p->own_page);
	kfree(p);
}

static void probe_quiesce(struct vaio_slot *slot, bool noflush)
{
	struct probe *p = slot->priv;
	struct vaio_io *io, *next;
	LIST_HEAD(ios);

	note_life(p, noflush ? "quiesce-noflush" : "quiesce");
	WRITE_ONCE(p->quiet, true);
	cancel_work_sync(&p->own_work);
	/* PACED ones among the timed: on with all of them */
	cancel_delayed_work_sync(&p->work);
	timed_work(&p->work.work);
	if (!noflush) {
		release(p);
		return;
	}
	spin_lock_irq(&p->lock);
	list_splice_init(&p->held, &ios);
	spin_unlock_irq(&p->lock);
	list_for_each_entry_safe(io, next, &ios, entry) {
		list_del(&io->entry);
		/* on the way up it is as good as acknowledged below */
		if (io->flags & (VAIO_IO_UNWINDING | VAIO_IO_OWN))
			vaio_io_continue(io);
		else
			vaio_io_requeue(io);
	}
}

static void probe_unquiesce(struct vaio_slot *slot)
{
	struct probe *p = slot->priv;

	note_life(p, "unquiesce");
	WRITE_ONCE(p->quiet, false);
	own_kick(p);
}

static int probe_event(struct vaio_slot *slot, const struct vaio_event *event)
{
	static const char *const phases[] = { "notify", "prepare", "commit", "abort" };
	struct probe *p = slot->priv;

	if (p->words.log && event->type != VAIO_EVENT_STATE)
		note("%c:event-%d-%s ", letter(slot), event->type, phases[event->phase]);
	return event->phase == VAIO_PHASE_PREPARE && p->words.refuse == (int)event->type ? -EPERM : 0;
}

static int probe_set(struct vaio_slot *slot, const char *name, const char *value, char **error)
{
	struct probe *p = slot->priv;

	while (READ_ONCE(stuck))
		msleep(20);
	if (!strcmp(name, "release")) {
		release(p);
		return 0;
	}
	if (probe_parse_act(&p->words, name, value, error))
		return *error ? -EINVAL : 0;
	*error = vaio_cfg_error(NULL, "'%s' cannot be set; what can: release, and submit_, complete_, enter_<kind>",
				name);
	return -EINVAL;
}

static void probe_show(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct probe *p = slot->priv;

	vaio_text_add(text, "delay_ms", "%u", p->words.delay_ms);
	vaio_text_add(text, "hold", "%s", p->words.hold ? "yes" : "no");
}

static void probe_stats(struct vaio_slot *slot, struct vaio_text *text)
{
	struct probe *p = slot->priv;

	vaio_text_add(text, "generation", "%u", p->generation);
	vaio_text_add(text, "entered", "%d", atomic_read(&p->entered));
	vaio_text_add(text, "submitted", "%d", atomic_read(&p->submitted));
	vaio_text_add(text, "completed", "%d", atomic_read(&p->completed));
	vaio_text_add(text, "substituted", "%d", atomic_read(&p->subs));
	vaio_text_add(text, "not_substituted", "%d", atomic_read(&p->no_subs));
	vaio_text_add(text, "own_done", "%d", atomic_read(&p->own_done));
	vaio_text_add(text, "own_failed", "%d", atomic_read(&p->own_failed));
	vaio_text_add(text, "own_refused", "%d", atomic_read(&p->own_refused));
}

#define PROBE(__name, __class)					\
{								\
	.name		= __name,				\
	.vendor		= "vaio",				\
	.version	= "0.1.0",				\
	.summary	= "test: does what its table says",	\
	.class		= __class,				\
	.caps		= VAIO_CAP_OWN_IO,			\
	.io_size	= sizeof(struct probe_io),		\
	.quiesce_ms	= 1000,					\
	.submit_kinds	= VAIO_K_ALL,				\
	.complete_kinds	= VAIO_K_ALL,				\
	.parse		= probe_parse,				\
	.unparse	= probe_unparse,			\
	.check		= probe_check,				\
	.attach		= probe_attach,				\
	.adopt		= probe_adopt,				\
	.detach		= probe_detach,				\
	.start		= probe_start,				\
	.stop		= probe_stop,				\
	.quiesce	= probe_quiesce,			\
	.unquiesce	= probe_unquiesce,			\
	.enter		= probe_enter,				\
	.submit		= probe_submit,				\
	.complete	= probe_complete,			\
	.event		= probe_event,				\
	.set		= probe_set,				\
	.show		= probe_show,				\
	.stats		= probe_stats,				\
}

static const struct vaio_filter probes[] = {
	PROBE("probe-inspection", VAIO_CLASS_INSPECTION),
	PROBE("probe-replication", VAIO_CLASS_REPLICATION),
	PROBE("probe-cache", VAIO_CLASS_CACHE),
	PROBE("probe-qos", VAIO_CLASS_QOS),
	PROBE("probe-encryption", VAIO_CLASS_ENCRYPTION),
};

static int __init probe_init(void)
{
	unsigned int i;
	int r;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		r = vaio_register_filter(&probes[i], THIS_MODULE);
		if (r)
			goto bad;
	}
	return 0;
bad:
	while (i--)
		vaio_unregister_filter(&probes[i]);
	return vaio_init_error(r);
}

static void __exit probe_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		vaio_unregister_filter(&probes[i]);
}

module_init(probe_init);
module_exit(probe_exit);

MODULE_DESCRIPTION("vaio test filters: do what their table says");
MODULE_LICENSE("GPL");
