// SPDX-License-Identifier: GPL-2.0
/*
 * Domains: what netlink asks about disks on one backing store. The filter of
 * class qos has them; without one there are none.
 */
#include <linux/mutex.h>
#include "core.h"

static DEFINE_MUTEX(domain_lock);
static const struct vaio_domain_ops *domain_ops;

/**
 * vaio_domains_register - a filter has domains
 * @ops: how to ask for them
 *
 * May sleep. Return: 0, or -EBUSY when another one has them.
 */
int vaio_domains_register(const struct vaio_domain_ops *ops)
{
	int r = 0;

	mutex_lock(&domain_lock);
	if (domain_ops)
		r = -EBUSY;
	else
		domain_ops = ops;
	mutex_unlock(&domain_lock);
	return r;
}
EXPORT_SYMBOL_GPL(vaio_domains_register);

/**
 * vaio_domains_unregister - nobody asks any more on return
 * @ops: as registered
 *
 * May sleep.
 */
void vaio_domains_unregister(const struct vaio_domain_ops *ops)
{
	mutex_lock(&domain_lock);
	if (domain_ops == ops)
		domain_ops = NULL;
	mutex_unlock(&domain_lock);
}
EXPORT_SYMBOL_GPL(vaio_domains_unregister);

/* As the members of struct vaio_domain_ops; without a filter that has domains
 * there is none, and nothing can be set (-EOPNOTSUPP).
 */

int vaio_domain_next(const char *after, struct vaio_domain_info *info)
{
	int r;

	mutex_lock(&domain_lock);
	r = domain_ops ? domain_ops->next(after, info) : -ENOENT;
	mutex_unlock(&domain_lock);
	return r;
}

int vaio_domain_get(const char *name, struct vaio_domain_info *info)
{
	int r;

	mutex_lock(&domain_lock);
	r = domain_ops ? domain_ops->get(name, info) : -ENOENT;
	mutex_unlock(&domain_lock);
	return r;
}

int vaio_domain_set(const struct vaio_domain_change *change, char **error)
{
	int r;

	mutex_lock(&domain_lock);
	if (domain_ops) {
		r = domain_ops->set(change, error);
	} else {
		*error = "no filter has domains: load vaio-qos";
		r = -EOPNOTSUPP;
	}
	mutex_unlock(&domain_lock);
	return r;
}
