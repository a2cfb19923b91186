// SPDX-License-Identifier: GPL-2.0
/*
 * The filter: its tables, the life of its slots, and what an administrator sees.
 */
#include <linux/slab.h>
#include "qos.h"

DEFINE_MUTEX(qos_mutex);

/**
 * qos_continue_all - let deferred ios go on, in their order
 * @ios: list of struct vaio_io; undefined afterwards
 *
 * Process context with no lock held.
 */
void qos_continue_all(struct list_head *ios)
{
	struct vaio_io *io, *next;
	struct blk_plug plug;

	blk_start_plug(&plug);
	list_for_each_entry_safe(io, next, ios, entry)
		vaio_io_continue(io);
	blk_finish_plug(&plug);
}

/* --- tables --------------------------------------------------------------- */

static void qos_unparse(struct vaio_slot_cfg *cfg)
{
	struct qos_table *table = cfg->priv;

	if (!table)
		return;
	mutex_lock(&qos_mutex);
	if (table->domain)
		qos_domain_leave(table);
	if (table->vm)
		qos_vm_put(table->vm);
	mutex_unlock(&qos_mutex);
	kfree(table);
	cfg->priv = NULL;
}

static int table_join(struct qos_table *table, bool rotational, char **error)
{
	struct qos_domain *d;

	if (table->params.vm[0]) {
		table->vm = qos_vm_get(table->params.vm);
		if (!table->vm) {
			*error = "no memory";
			return -ENOMEM;
		}
	}
	if (!table->params.domain[0])
		return 0;
	d = qos_domain_join(table, rotational, error);
	if (IS_ERR(d))
		return PTR_ERR(d);
	table->domain = d;
	return 0;
}

static int qos_parse(struct vaio_slot_cfg *cfg, char **error)
{
	struct qos_table *table;
	int r;

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table) {
		*error = "no memory";
		return -ENOMEM;
	}
	cfg->priv = table;
	table->uuid = &cfg->geo->uuid;

	r = qos_params_parse(cfg, &table->params, error);
	if (r)
		return r;
	mutex_lock(&qos_mutex);
	r = table_join(table, cfg->geo->rotational, error);
	mutex_unlock(&qos_mutex);
	if (!r && !table->domain) {
		cfg->submit = 0;
		cfg->complete = 0;
	}
	return r;
}

/* --- the slot's life ------------------------------------------------------ */

static int qos_attach(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct qos_slot *qs;

	qs = kzalloc(sizeof(*qs), GFP_KERNEL);
	if (!qs)
		return -ENOMEM;
	qs->slot = slot;
	qs->credit = alloc_percpu(struct qos_credit);
	qs->stats = alloc_percpu(struct qos_stats);
	if (!qs->credit || !qs->stats) {
		free_percpu(qs->credit);
		free_percpu(qs->stats);
		kfree(qs);
		return -ENOMEM;
	}
	qos_limit_init(qs);
	qos_queue_init(qs);
	slot->priv = qs;
	return 0;
}

/* Leave what the table before had. No io is in flight. */
static void leave(struct qos_slot *qs)
{
	qos_vm_leave(qs);
	if (qs->domain)
		qs->domain->disks--;
	qs->domain = NULL;
}

static void qos_adopt(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct qos_slot *qs = slot->priv;
	struct qos_table *table = cfg->priv;

	/* After a plain suspend the table is the same: what was set live stays. */
	if (qs->table == table)
		return;
	mutex_lock(&qos_mutex);
	leave(qs);
	qs->table = table;
	qs->domain = table->domain;
	if (qs->domain)
		qs->domain->disks++;
	qos_queue_apply(qs);
	if (table->vm) {
		qos_vm_join(qs, table->vm);
		if (table->params.vm_limited)
			qos_vm_set(table->vm, table->params.vm_limit, table->params.burst_ms);
	} else {
		qos_limit_apply(qs);
	}
	mutex_unlock(&qos_mutex);
}

static void qos_detach(struct vaio_slot *slot)
{
	struct qos_slot *qs = slot->priv;

	mutex_lock(&qos_mutex);
	leave(qs);
	mutex_unlock(&qos_mutex);
	qos_limit_exit(qs);
	free_percpu(qs->credit);
	free_percpu(qs->stats);
	kfree(qs);
}

static void qos_quiesce(struct vaio_slot *slot, bool noflush)
{
	struct qos_slot *qs = slot->priv;

	qos_limit_release_all(qs);
	qos_queue_release_all(qs);
}

static int qos_event(struct vaio_slot *slot, const struct vaio_event *event)
{
	struct qos_slot *qs = slot->priv;
	LIST_HEAD(out);

	if (event->phase == VAIO_PHASE_NOTIFY)
		return 0;
	mutex_lock(&qos_mutex);
	qos_queue_prepare(qs, event->phase == VAIO_PHASE_PREPARE, &out);
	mutex_unlock(&qos_mutex);
	qos_continue_all(&out);
	return 0;
}

/* --- the administrator ---------------------------------------------------- */

static int qos_set(struct vaio_slot *slot, const char *name, const char *value, char **error)
{
	struct qos_slot *qs = slot->priv;
	struct qos_table *table = qs->table;
	struct qos_params new;
	int r;

	mutex_lock(&qos_mutex);
	new = table->params;
	/* what another disk of the VM has set */
	if (table->vm)
		memcpy(new.vm_limit, table->vm->rate, sizeof(new.vm_limit));
	r = qos_params_set(&new, name, value, error);
	if (r)
		goto out;
	if (memcmp(new.reservation, table->params.reservation, sizeof(new.reservation))) {
		if (!table->domain) {
			*error = "the disk has no domain to reserve from: its table says domain none";
			r = -EINVAL;
			goto out;
		}
		r = qos_domain_rebook(table, new.reservation, error);
		if (r)
			goto out;
	}
	table->params = new;
	if (!strncmp(name, "vm_limit", 8))
		qos_vm_set(table->vm, new.vm_limit, new.burst_ms);
	else if (!strncmp(name, "limit", 5) || !strcmp(name, "burst") || !strcmp(name, "cost_unit"))
		qos_limit_apply(qs);
	else
		qos_queue_apply(qs);
out:
	mutex_unlock(&qos_mutex);
	return r;
}

static void qos_show(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct qos_slot *qs = slot->priv;
	struct qos_params p;

	mutex_lock(&qos_mutex);
	p = qs->table->params;
	if (qs->table->vm)
		memcpy(p.vm_limit, qs->table->vm->rate, sizeof(p.vm_limit));
	mutex_unlock(&qos_mutex);
	qos_params_show(&p, text);
}

static u64 sum_counter(const struct qos_slot *qs, size_t offset)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(u64 *)((char *)per_cpu_ptr(qs->stats, cpu) + offset));
	return sum;
}

/* "4:17,5:203": bucket and count of those that are not 0. */
static void add_histogram(struct vaio_text *text, const char *name, const struct qos_slot *qs,
			  size_t offset)
{
	char value[VAIO_VALUE_LEN] = "none";
	size_t n = 0;
	int i;

	for (i = 0; i < VAIO_HIST_BUCKETS; i++) {
		u64 count = sum_counter(qs, offset + i * sizeof(u64));

		if (count)
			n += scnprintf(value + n, sizeof(value) - n, "%s%d:%llu", n ? "," : "", i,
				       count);
	}
	vaio_text_add(text, name, "%s", value);
}

#define ADD_COUNTER(text, qs, what) \
	vaio_text_add(text, #what, "%llu", sum_counter(qs, offsetof(struct qos_stats, what)))
#define ADD_HISTOGRAM(text, qs, what) \
	add_histogram(text, #what, qs, offsetof(struct qos_stats, what))

static void qos_stats(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct qos_slot *qs = slot->priv;

	vaio_text_add(text, "limited_now", "%u", READ_ONCE(qs->nr_parked));
	vaio_text_add(text, "queued_now", "%u", READ_ONCE(qs->nr_queued[QOS_GUEST]));
	vaio_text_add(text, "queued_internal_now", "%u", READ_ONCE(qs->nr_queued[QOS_INTERNAL]));
	ADD_COUNTER(text, qs, limited);
	ADD_COUNTER(text, qs, queued);
	ADD_COUNTER(text, qs, by_reservation);
	ADD_COUNTER(text, qs, internal);
	ADD_HISTOGRAM(text, qs, limit_delay);
	ADD_HISTOGRAM(text, qs, queue_delay);
	ADD_HISTOGRAM(text, qs, latency);
}

static const struct vaio_filter qos_filter = {
	.name		= "qos",
	.vendor		= "vaio",
	.version	= "0.1.0",
	.summary	= "limits, reservations and shares (mClock, PARDA)",
	.class		= VAIO_CLASS_QOS,
	.io_size	= sizeof(struct qos_io),
	.quiesce_ms	= 1000,
	.submit_kinds	= QOS_K_ALL,
	.complete_kinds	= QOS_K_ALL,
	.enter_kinds	= QOS_K_ALL,
	.parse		= qos_parse,
	.unparse	= qos_unparse,
	.attach		= qos_attach,
	.adopt		= qos_adopt,
	.detach		= qos_detach,
	.quiesce	= qos_quiesce,
	.enter		= qos_enter,
	.submit		= qos_submit,
	.complete	= qos_complete,
	.event		= qos_event,
	.set		= qos_set,
	.show		= qos_show,
	.stats		= qos_stats,
};

static int __init qos_init(void)
{
	int r;

	r = qos_domains_init();
	if (r)
		return r;
	r = vaio_register_filter(&qos_filter, THIS_MODULE);
	if (r)
		qos_domains_exit();
	return vaio_init_error(r);
}

static void __exit qos_exit(void)
{
	vaio_unregister_filter(&qos_filter);
	qos_domains_exit();
}

module_init(qos_init);
module_exit(qos_exit);

MODULE_DESCRIPTION("vaio storage I/O control: limits, reservations, shares");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("qos");
