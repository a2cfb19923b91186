// SPDX-License-Identifier: GPL-2.0
/*
 * Domains: disks on one backing store, by name.
 *
 * A domain is there as long as a table names it, or something was set for it.
 * Reservations are booked when a table is parsed, where a refusal can say why.
 */
#include <linux/slab.h>
#include "qos.h"

/* What an administrator can make by setting something for names without disks. */
#define DOMAINS_MAX	1024

static LIST_HEAD(qos_domains);		/* by name */
static unsigned int qos_nr_domains;

static const char *const measure_names[] = { "IOPS", "bytes/s" };

static struct qos_domain *domain_find(const char *name)
{
	struct qos_domain *d;

	lockdep_assert_held(&qos_mutex);
	list_for_each_entry(d, &qos_domains, list)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

static struct qos_domain *domain_new(const char *name, char **error)
{
	struct qos_domain *d, *next;

	if (qos_nr_domains == DOMAINS_MAX) {
		*error = vaio_cfg_error(NULL, "domain '%s': there are %u already, the most there can be",
					name, DOMAINS_MAX);
		return NULL;
	}
	d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (d)
		strscpy(d->name, name, sizeof(d->name));
	if (!d || qos_sched_setup(d)) {
		kfree(d);
		*error = "no memory";
		return NULL;
	}
	INIT_LIST_HEAD(&d->tables);
	list_for_each_entry(next, &qos_domains, list)
		if (strcmp(next->name, name) > 0)
			break;
	list_add_tail(&d->list, &next->list);
	qos_nr_domains++;
	return d;
}

static void domain_free(struct qos_domain *d)
{
	list_del(&d->list);
	qos_nr_domains--;
	qos_sched_teardown(d);
	kfree(d);
}

static void domain_put(struct qos_domain *d)
{
	if (list_empty(&d->tables) && !d->capacity[QOS_OPS] && !d->capacity[QOS_BYTES] &&
	    !d->window.set)
		domain_free(d);
}

/* --- admission ------------------------------------------------------------------ */

/* Is there a table of this disk before this one in the list? */
static bool counted_already(const struct qos_domain *d, const struct qos_table *table)
{
	const struct qos_table *t;

	list_for_each_entry(t, &d->tables, entry) {
		if (t == table)
			return false;
		if (uuid_equal(t->uuid, table->uuid))
			return true;
	}
	return false;
}

/* Sum over the disks; of a disk with more than one table the largest counts. */
static void sum_reservations(const struct qos_domain *d, u64 sum[QOS_MEASURES])
{
	const struct qos_table *t, *other;
	int m;

	for (m = 0; m < QOS_MEASURES; m++) {
		sum[m] = 0;
		list_for_each_entry(t, &d->tables, entry) {
			u64 most = 0;

			if (counted_already(d, t))
				continue;
			list_for_each_entry(other, &d->tables, entry)
				if (uuid_equal(t->uuid, other->uuid))
					most = max(most, other->params.reservation[m]);
			sum[m] += most;
		}
	}
}

static void book(struct qos_domain *d)
{
	sum_reservations(d, d->reserved);
	/* bytes by the default cost unit: the window wants an idea, not a bill */
	WRITE_ONCE(d->reserved_units, d->reserved[QOS_OPS] + (d->reserved[QOS_BYTES] >> 15));
}

/* After a change: is more reserved than there is, and than there was? */
static int check_capacity(const struct qos_domain *d, const u64 before[QOS_MEASURES], char **error)
{
	int m;

	for (m = 0; m < QOS_MEASURES; m++) {
		if (!d->capacity[m] || d->reserved[m] <= d->capacity[m] ||
		    d->reserved[m] <= before[m])
			continue;
		*error = vaio_cfg_error(NULL, "domain '%s': reservations of %llu %s with this one, declared capacity %llu; %llu are free",
					d->name, d->reserved[m], measure_names[m], d->capacity[m],
					d->capacity[m] > before[m] ? d->capacity[m] - before[m] : 0);
		return -ENOSPC;
	}
	return 0;
}

/**
 * qos_domain_join - the domain that a table names, and its reservation there
 * @table: parsed
 * @rotational: the backing device has heads to move
 * @error: gets a sentence on failure
 *
 * Under qos_mutex, may sleep. Return: the domain or ERR_PTR: -ENOMEM, -ENOSPC.
 */
struct qos_domain *qos_domain_join(struct qos_table *table, bool rotational, char **error)
{
	struct qos_domain *d = domain_find(table->params.domain);
	u64 before[QOS_MEASURES];
	int r;

	if (!d)
		d = domain_new(table->params.domain, error);
	if (!d)
		return ERR_PTR(-ENOMEM);
	memcpy(before, d->reserved, sizeof(before));
	list_add_tail(&table->entry, &d->tables);
	book(d);
	r = check_capacity(d, before, error);
	if (r) {
		list_del(&table->entry);
		book(d);
		domain_put(d);
		return ERR_PTR(r);
	}
	if (rotational)
		WRITE_ONCE(d->window.rotational, true);
	return d;
}

/**
 * qos_domain_leave - a table is gone
 * @table: has a domain
 *
 * Under qos_mutex, may sleep.
 */
void qos_domain_leave(struct qos_table *table)
{
	struct qos_domain *d = table->domain;

	lockdep_assert_held(&qos_mutex);
	list_del(&table->entry);
	book(d);
	domain_put(d);
}

/**
 * qos_domain_rebook - change what a live table reserves
 * @table: has a domain
 * @reservation: the new one
 * @error: gets a sentence on failure
 *
 * Under qos_mutex. Return: 0, or -ENOSPC and nothing has changed.
 */
int qos_domain_rebook(struct qos_table *table, const u64 reservation[QOS_MEASURES], char **error)
{
	u64 old[QOS_MEASURES], before[QOS_MEASURES];
	struct qos_domain *d = table->domain;
	int r;

	memcpy(before, d->reserved, sizeof(before));
	memcpy(old, table->params.reservation, sizeof(old));
	memcpy(table->params.reservation, reservation, sizeof(old));
	book(d);
	r = check_capacity(d, before, error);
	if (r) {
		memcpy(table->params.reservation, old, sizeof(old));
		book(d);
	}
	return r;
}

/* --- netlink ---------------------------------------------------------------------- */

static void domain_info(struct qos_domain *d, struct vaio_domain_info *info)
{
	int cpu, held = 0;

	*info = (struct vaio_domain_info) {
		.disks = d->disks,
		.rotational = d->window.rotational,
		.capacity_iops = d->capacity[QOS_OPS],
		.capacity_bytes = d->capacity[QOS_BYTES],
		.reserved_iops = d->reserved[QOS_OPS],
		.reserved_bytes = d->reserved[QOS_BYTES],
	};
	strscpy(info->name, d->name, sizeof(info->name));
	spin_lock_irq(&d->lock);
	for_each_possible_cpu(cpu)
		held += atomic_read(&per_cpu_ptr(d->cpu, cpu)->slots);
	info->window = d->size;
	info->in_flight = max(d->size - atomic_read(&d->pool) - held, 0);
	info->queued = d->nr_queued;
	info->contended = d->contended;
	info->latency_ns = d->window.latency;
	info->threshold_ns = qos_window_threshold(&d->window);
	info->threshold_set_ns = d->window.set;
	spin_unlock_irq(&d->lock);
}

/* The first domain whose name is after another; "" comes before all. */
static int domain_next(const char *after, struct vaio_domain_info *info)
{
	struct qos_domain *d;
	int r = -ENOENT;

	mutex_lock(&qos_mutex);
	list_for_each_entry(d, &qos_domains, list) {
		if (strcmp(d->name, after) > 0) {
			domain_info(d, info);
			r = 0;
			break;
		}
	}
	mutex_unlock(&qos_mutex);
	return r;
}

static int domain_get(const char *name, struct vaio_domain_info *info)
{
	struct qos_domain *d;

	mutex_lock(&qos_mutex);
	d = domain_find(name);
	if (d)
		domain_info(d, info);
	mutex_unlock(&qos_mutex);
	return d ? 0 : -ENOENT;
}

static int check_change(const struct qos_domain *d, const struct vaio_domain_change *c,
			char **error)
{
	const u64 capacity[QOS_MEASURES] = { c->capacity_iops, c->capacity_bytes };
	const bool given[QOS_MEASURES] = { c->has_capacity_iops, c->has_capacity_bytes };
	int m;

	if (c->has_threshold && c->threshold_ns > QOS_THRESHOLD_MAX) {
		*error = vaio_cfg_error(NULL, "threshold: %llu ns is not 0 (automatic) or up to %llu",
					c->threshold_ns, (u64)QOS_THRESHOLD_MAX);
		return -ERANGE;
	}
	for (m = 0; m < QOS_MEASURES; m++) {
		if (given[m] && capacity[m] > QOS_RATE_MAX) {
			*error = vaio_cfg_error(NULL, "capacity: %llu %s is more than %llu", capacity[m],
						measure_names[m], QOS_RATE_MAX);
			return -ERANGE;
		}
		if (d && given[m] && capacity[m] && capacity[m] < d->reserved[m]) {
			*error = vaio_cfg_error(NULL, "capacity: %llu %s is less than the %llu that disks have reserved",
						capacity[m], measure_names[m], d->reserved[m]);
			return -ENOSPC;
		}
	}
	return 0;
}

static int domain_set(const struct vaio_domain_change *c, char **error)
{
	struct qos_domain *d;
	int r = -EINVAL;

	mutex_lock(&qos_mutex);
	if (!qos_name_valid(c->name) || !strcmp(c->name, "none")) {
		*error = vaio_cfg_error(NULL, "domain '%s': a name has 1 to %d characters without blanks, and is not none",
					c->name, VAIO_NAME_LEN - 1);
		goto out;
	}
	d = domain_find(c->name);
	r = check_change(d, c, error);
	if (r)
		goto out;
	if (!d)
		d = domain_new(c->name, error);
	if (!d) {
		r = -ENOMEM;
		goto out;
	}
	if (c->has_capacity_iops)
		d->capacity[QOS_OPS] = c->capacity_iops;
	if (c->has_capacity_bytes)
		d->capacity[QOS_BYTES] = c->capacity_bytes;
	if (c->has_threshold) {
		spin_lock_irq(&d->lock);
		d->window.set = c->threshold_ns;
		spin_unlock_irq(&d->lock);
	}
	domain_put(d);
out:
	mutex_unlock(&qos_mutex);
	return r;
}

static const struct vaio_domain_ops qos_domain_ops = {
	.next	= domain_next,
	.get	= domain_get,
	.set	= domain_set,
};

/**
 * qos_domains_init - let netlink see the domains
 *
 * Return: 0, or -EBUSY when another module has domains.
 */
int qos_domains_init(void)
{
	return vaio_domains_register(&qos_domain_ops);
}

/**
 * qos_domains_exit - no table is left; forget what was set
 *
 * May sleep.
 */
void qos_domains_exit(void)
{
	struct qos_domain *d, *next;

	vaio_domains_unregister(&qos_domain_ops);
	mutex_lock(&qos_mutex);
	list_for_each_entry_safe(d, next, &qos_domains, list)
		domain_free(d);
	mutex_unlock(&qos_mutex);
}
