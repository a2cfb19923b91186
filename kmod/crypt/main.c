// SPDX-License-Identifier: GPL-2.0
/*
 * The filter: its hooks.
 *
 *	read		submit: remembers where the data goes; complete: decrypts
 *	write, FUA	submit: encrypts into another bio; complete: takes it out
 *	flush		not asked for
 *	discard		refused, or with allow_discards not asked for
 *	write-zeroes	refused: zeroes on the device would not read as zeroes
 *	secure-erase	refused
 */
#include <linux/slab.h>
#include "crypt.h"

/* Reads that are too large for a softirq, or completed with interrupts off. */
static struct workqueue_struct *crypt_reads;

/* --- tables --------------------------------------------------------------- */

static void crypt_unparse(struct vaio_slot_cfg *cfg)
{
	struct crypt_table *table = cfg->priv;

	if (!table)
		return;
	mempool_destroy(table->seals);
	if (table->key)
		crypt_key_put(table->key);
	kfree(table);
	cfg->priv = NULL;
}

static int crypt_parse(struct vaio_slot_cfg *cfg, char **error)
{
	struct crypt_params *params;
	struct crypt_table *table;
	int r;

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table) {
		*error = "no memory";
		return -ENOMEM;
	}
	cfg->priv = table;
	params = &table->params;

	r = crypt_params_parse(cfg, params, error);
	if (r)
		return r;
	crypt_layout_init(&table->layout, params);

	table->key = crypt_key_get(cfg, params, error);
	if (IS_ERR(table->key)) {
		r = PTR_ERR(table->key);
		table->key = NULL;
		return r;
	}
	table->seals = crypt_seals_new(table->key->tfm);
	if (!table->seals) {
		*error = "no memory";
		return -ENOMEM;
	}

	cfg->io_size = crypt_io_size(table->key->tfm);
	cfg->max_io_sectors = CRYPT_MAX_BYTES >> SECTOR_SHIFT;
	if (params->allow_discards)
		cfg->submit &= ~VAIO_K(DISCARD);
	return 0;
}

static void crypt_limits(struct vaio_slot_cfg *cfg, struct queue_limits *lim)
{
	struct crypt_table *table = cfg->priv;
	unsigned int size = table->layout.size;

	lim->logical_block_size = max(lim->logical_block_size, size);
	lim->physical_block_size = max(lim->physical_block_size, size);
	lim->io_min = max(lim->io_min, size);
	if (table->params.allow_discards)
		lim->discard_granularity = max(lim->discard_granularity, size);
	else
		vaio_limits_no_discard(lim);
	vaio_limits_no_write_zeroes(lim);
	lim->max_secure_erase_sectors = 0;
}

static int crypt_check(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct crypt_table *table;

	if (!cfg)
		return 0;
	table = cfg->priv;
	/* Better a disk that does not resume than a guest that gets I/O errors. */
	return READ_ONCE(table->key->wiped) ? -ENOKEY : 0;
}

/* --- the slot's life ------------------------------------------------------ */

static void crypt_writer(struct work_struct *work);

static void crypt_detach(struct vaio_slot *slot)
{
	struct crypt_slot *cs = slot->priv;

	vaio_disk_offer_transform(slot, NULL);
	if (cs->wq)
		destroy_workqueue(cs->wq);
	crypt_reserve_exit(&cs->pages);
	free_percpu(cs->stats);
	mutex_destroy(&cs->state_lock);
	kfree(cs);
	slot->priv = NULL;
}

static int crypt_attach(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct crypt_slot *cs;

	cs = kzalloc(sizeof(*cs), GFP_KERNEL);
	if (!cs)
		return -ENOMEM;
	slot->priv = cs;
	cs->slot = slot;
	spin_lock_init(&cs->lock);
	mutex_init(&cs->state_lock);
	INIT_LIST_HEAD(&cs->parked);
	INIT_WORK(&cs->writer, crypt_writer);

	cs->stats = alloc_percpu(struct crypt_stats);
	/* Its rescuer lets a parked write go on when no thread can be made. */
	cs->wq = alloc_ordered_workqueue("vaio-crypt-w", WQ_MEM_RECLAIM);
	if (!cs->stats || !cs->wq || crypt_reserve_init(&cs->pages)) {
		crypt_detach(slot);
		return -ENOMEM;
	}
	return 0;
}

static void crypt_adopt(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct crypt_slot *cs = slot->priv;

	cs->table = cfg->priv;
	cs->layout = cs->table->layout;
	cs->tfm = cs->table->key->tfm;
	WRITE_ONCE(cs->wiped, cs->table->key->wiped);
	vaio_disk_offer_transform(slot, cs->layout.size == 4096 ? &crypt_transform_4096 :
								  &crypt_transform_512);
}

static void crypt_set_running(struct vaio_slot *slot, bool running)
{
	struct crypt_slot *cs = slot->priv;

	mutex_lock(&cs->state_lock);
	cs->running = running;
	mutex_unlock(&cs->state_lock);
}

static int crypt_start(struct vaio_slot *slot)
{
	crypt_set_running(slot, true);
	return 0;
}

static void crypt_stop(struct vaio_slot *slot)
{
	crypt_set_running(slot, false);
}

/* --- the way down --------------------------------------------------------- */

/* The cipher was asynchronous: see convert.c. */
static enum vaio_verdict crypt_defer_async(struct vaio_slot *slot, struct crypt_io *ci)
{
	crypt_count(ci->cs, async);
	/* ASYNC is never refused. */
	vaio_io_defer(slot, ci->io, VAIO_ASYNC);
	crypt_resume(ci, -EINPROGRESS);
	return VAIO_DEFER;
}

static enum vaio_verdict crypt_fail(struct vaio_io *io, blk_status_t status)
{
	io->status = status;
	return VAIO_FAIL;
}

/* No memory at hand: the worker goes on with it. */
static enum vaio_verdict crypt_park_write(struct crypt_slot *cs, struct vaio_io *io)
{
	unsigned long flags;

	if (vaio_io_defer(cs->slot, io, VAIO_ORDERED))
		return VAIO_FAIL;
	crypt_count(cs, waited_writes);
	spin_lock_irqsave(&cs->lock, flags);
	WRITE_ONCE(cs->nr_parked, cs->nr_parked + 1);
	list_add_tail(&io->entry, &cs->parked);
	spin_unlock_irqrestore(&cs->lock, flags);
	queue_work(cs->wq, &cs->writer);
	return VAIO_DEFER;
}

static void crypt_writer(struct work_struct *work)
{
	struct crypt_slot *cs = container_of(work, struct crypt_slot, writer);

	for (;;) {
		struct crypt_io *ci;
		struct vaio_io *io;

		spin_lock_irq(&cs->lock);
		io = list_first_entry_or_null(&cs->parked, struct vaio_io, entry);
		if (io)
			list_del(&io->entry);
		spin_unlock_irq(&cs->lock);
		if (!io)
			return;

		ci = crypt_io_of(cs->slot, io);
		crypt_buffer_wait(ci, io->len);
		spin_lock_irq(&cs->lock);
		WRITE_ONCE(cs->nr_parked, cs->nr_parked - 1);
		spin_unlock_irq(&cs->lock);
		crypt_resume(ci, crypt_write(ci));
	}
}

/* Not inlined: reads would save and restore its registers. */
static noinline enum vaio_verdict crypt_submit_write(struct crypt_slot *cs, struct vaio_io *io,
						     struct crypt_io *ci)
{
	int r;

	ci->cs = cs;
	ci->io = io;
	ci->source = io->bio;
	if (unlikely(READ_ONCE(cs->nr_parked)) || unlikely(!crypt_buffer_try(ci, io->len)))
		return crypt_park_write(cs, io);

	r = crypt_write(ci);
	if (likely(!r)) {
		crypt_count(cs, inline_writes);
		vaio_io_substitute(io, &ci->bio);
		return VAIO_PASS;
	}
	if (r == -EINPROGRESS)
		return crypt_defer_async(cs->slot, ci);
	crypt_buffer_free(ci);
	return crypt_fail(io, BLK_STS_IOERR);
}

static enum vaio_verdict crypt_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct crypt_slot *cs = slot->priv;
	struct crypt_io *ci;

	if (unlikely(VAIO_K_ERASERS & (1U << io->kind)))
		return crypt_fail(io, BLK_STS_NOTSUPP);
	/* Already the bytes that belong on the device, or those wanted from it. */
	if (unlikely(io->flags & VAIO_IO_SEALED))
		return VAIO_PASS;
	if (unlikely(((io->sector << SECTOR_SHIFT) | io->len) & (cs->layout.size - 1)) ||
	    unlikely(io->len > CRYPT_MAX_BYTES) || unlikely(READ_ONCE(cs->wiped)))
		return crypt_fail(io, BLK_STS_IOERR);

	ci = crypt_io_of(slot, io);
	if (io->kind != VAIO_KIND_READ)
		return crypt_submit_write(cs, io, ci);
	ci->left = io->bio->bi_iter;
	return VAIO_PASS;
}

/* --- the way up ----------------------------------------------------------- */

static void crypt_read_work(struct work_struct *work)
{
	struct crypt_io *ci = container_of(work, struct crypt_io, work);

	crypt_resume(ci, crypt_read(ci));
}

static enum vaio_verdict crypt_complete_read(struct crypt_slot *cs, struct vaio_io *io,
					     struct crypt_io *ci)
{
	int r;

	ci->cs = cs;
	ci->io = io;
	ci->source = io->bio;
	/* Ciphers refuse to work in a hard interrupt, and may enable interrupts. */
	if (in_hardirq() || irqs_disabled() ||
	    (unlikely(io->len > CRYPT_SOFTIRQ_BYTES) && !in_task())) {
		crypt_count(cs, queued_reads);
		vaio_io_defer(cs->slot, io, VAIO_ASYNC);
		INIT_WORK(&ci->work, crypt_read_work);
		queue_work(crypt_reads, &ci->work);
		return VAIO_DEFER;
	}

	r = crypt_read(ci);
	if (likely(!r)) {
		crypt_count(cs, inline_reads);
		return VAIO_PASS;
	}
	if (r == -EINPROGRESS)
		return crypt_defer_async(cs->slot, ci);
	io->status = BLK_STS_IOERR;
	return VAIO_PASS;
}

static enum vaio_verdict crypt_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct crypt_io *ci = crypt_io_of(slot, io);

	if (unlikely(io->flags & VAIO_IO_SEALED))
		return VAIO_PASS;
	if (io->kind == VAIO_KIND_READ) {
		if (unlikely(io->status))
			return VAIO_PASS;
		return crypt_complete_read(slot->priv, io, ci);
	}
	vaio_io_restore(io, ci->source);
	crypt_buffer_free(ci);
	return VAIO_PASS;
}

/* A deferred request has been converted, or could not be. */
void crypt_finish(struct crypt_io *ci, int error)
{
	struct vaio_io *io = ci->io;

	if (io->kind != VAIO_KIND_READ) {
		if (error)
			crypt_buffer_free(ci);
		else
			vaio_io_substitute(io, &ci->bio);
	}
	if (error)
		vaio_io_end(io, BLK_STS_IOERR);
	else
		vaio_io_continue(io);
}

/* --- the administrator ---------------------------------------------------- */

static int crypt_set(struct vaio_slot *slot, const char *name, const char *value, char **error)
{
	struct crypt_slot *cs = slot->priv;
	int r = 0;

	if (strcmp(name, "key")) {
		*error = vaio_cfg_error(slot->cfg, "'%s' is not one of key", name);
		return -EINVAL;
	}
	if (strcmp(value, "wipe")) {
		/* Never repeat the value: it may be a key. */
		*error = "key: the value is not one of wipe";
		return -EINVAL;
	}
	mutex_lock(&cs->state_lock);
	if (cs->running) {
		*error = "key: wiped only while the disk is suspended";
		r = -EBUSY;
	} else {
		WRITE_ONCE(cs->wiped, true);
		r = crypt_key_wipe(cs->table->key);
		if (r)
			*error = "key: the cipher refused to be keyed anew; the disk does no I/O, but its key may still be in memory";
	}
	mutex_unlock(&cs->state_lock);
	return r;
}

static void crypt_show(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct crypt_slot *cs = slot->priv;
	const struct crypt_params *p = &cs->table->params;

	vaio_text_add(text, "cipher", CRYPT_CIPHER);
	vaio_text_add(text, "key", ":%u:logon:%s", p->key_size, p->key_description);
	vaio_text_add(text, "key_state", READ_ONCE(cs->wiped) ? "wiped" : "set");
	vaio_text_add(text, "sector_size", "%u", p->sector_size);
	vaio_text_add(text, "iv_offset", "%llu", p->iv_offset);
	vaio_text_add(text, "iv_large_sectors", "%d", p->iv_large_sectors);
	vaio_text_add(text, "allow_discards", "%d", p->allow_discards);
	vaio_text_add(text, "driver", "%s",
		      crypto_tfm_alg_driver_name(crypto_skcipher_tfm(cs->tfm)));
}

static void crypt_stats(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct crypt_slot *cs = slot->priv;
	struct crypt_stats sum = { };
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct crypt_stats *s = per_cpu_ptr(cs->stats, cpu);

		sum.inline_writes += s->inline_writes;
		sum.inline_reads += s->inline_reads;
		sum.queued_reads += s->queued_reads;
		sum.waited_writes += s->waited_writes;
		sum.async += s->async;
	}
	vaio_text_add(text, "inline_writes", "%llu", sum.inline_writes);
	vaio_text_add(text, "inline_reads", "%llu", sum.inline_reads);
	vaio_text_add(text, "queued_reads", "%llu", sum.queued_reads);
	vaio_text_add(text, "waited_writes", "%llu", sum.waited_writes);
	vaio_text_add(text, "async", "%llu", sum.async);
}

static const struct vaio_filter crypt_filter = {
	.name		= "crypt",
	.vendor		= "vaio",
	.version	= "0.1.0",
	.summary	= "AES-XTS encryption, compatible with dm-crypt and LUKS2",
	.class		= VAIO_CLASS_ENCRYPTION,
	.caps		= VAIO_CAP_CHANGES_PAYLOAD | VAIO_CAP_SECTOR_UNITS,
	.submit_kinds	= VAIO_K(READ) | VAIO_K_WRITES | VAIO_K_ERASERS,
	.complete_kinds	= VAIO_K(READ) | VAIO_K_WRITES,
	.parse		= crypt_parse,
	.unparse	= crypt_unparse,
	.limits		= crypt_limits,
	.check		= crypt_check,
	.attach		= crypt_attach,
	.adopt		= crypt_adopt,
	.detach		= crypt_detach,
	.start		= crypt_start,
	.stop		= crypt_stop,
	.submit		= crypt_submit,
	.complete	= crypt_complete,
	.set		= crypt_set,
	.show		= crypt_show,
	.stats		= crypt_stats,
};

static int __init crypt_init(void)
{
	int r;

	r = crypt_buffers_init();
	if (r)
		return r;
	crypt_reads = alloc_workqueue("vaio-crypt-r", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				      WQ_CPU_INTENSIVE | WQ_PERCPU, 0);
	if (!crypt_reads) {
		r = -ENOMEM;
		goto bad_wq;
	}
	r = vaio_register_filter(&crypt_filter, THIS_MODULE);
	if (r)
		goto bad_register;
	return 0;

bad_register:
	destroy_workqueue(crypt_reads);
bad_wq:
	crypt_buffers_exit();
	return vaio_init_error(r);
}

static void __exit crypt_exit(void)
{
	vaio_unregister_filter(&crypt_filter);
	destroy_workqueue(crypt_reads);
	crypt_buffers_exit();
}

module_init(crypt_init);
module_exit(crypt_exit);

MODULE_DESCRIPTION("vaio filter: AES-XTS encryption");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("crypt");
/* The fast implementations, which are modules on most kernels. */
MODULE_SOFTDEP("pre: xts aesni_intel");
