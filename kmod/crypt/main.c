// SPDX-License-Identifier: GPL-2.0
/*
 * The filter: its tables, the life of its slots, and what an administrator sees.
 */
#include <linux/slab.h>
#include "crypt.h"

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

static int crypt_check(struct vaio_slot *slot, struct vaio_slot_cfg *cfg, char **error)
{
	struct crypt_table *table;

	if (!cfg)
		return 0;
	table = cfg->priv;
	/* Better a disk that does not resume than a guest that gets I/O errors. */
	if (!READ_ONCE(table->key->wiped))
		return 0;
	*error = vaio_cfg_error(cfg, "its key was wiped; put logon key '%s' into the keyring and load the table again",
				table->params.key_description);
	return -ENOKEY;
}

/* --- the slot's life ------------------------------------------------------ */

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
	WRITE_ONCE(cs->max_len, cs->table->key->wiped ? 0 : CRYPT_MAX_BYTES);
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
		WRITE_ONCE(cs->max_len, 0);
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
	vaio_text_add(text, "key_state", READ_ONCE(cs->table->key->wiped) ? "wiped" : "set");
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
	r = crypt_io_init();
	if (r)
		goto bad_io;
	r = vaio_register_filter(&crypt_filter, THIS_MODULE);
	if (r)
		goto bad_register;
	return 0;

bad_register:
	crypt_io_exit();
bad_io:
	crypt_buffers_exit();
	return vaio_init_error(r);
}

static void __exit crypt_exit(void)
{
	vaio_unregister_filter(&crypt_filter);
	crypt_io_exit();
	crypt_buffers_exit();
}

module_init(crypt_init);
module_exit(crypt_exit);

MODULE_DESCRIPTION("vaio filter: AES-XTS encryption");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("crypt");
/* The fast implementations, which are modules on most kernels. */
MODULE_SOFTDEP("pre: xts aesni_intel");
