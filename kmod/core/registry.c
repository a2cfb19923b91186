// SPDX-License-Identifier: GPL-2.0
/*
 * The filters that modules offer, and who uses them.
 *
 * A filter is used through a configuration (cfg.c), which holds the filter's
 * module. The module therefore cannot go while a table or a disk uses it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/kmod.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include "core.h"

#define VAIO_CAPS_ALL	(VAIO_CAP_CHANGES_PAYLOAD | VAIO_CAP_VOLATILE | VAIO_CAP_OWN_IO |	\
			 VAIO_CAP_TIMESTAMPS | VAIO_CAP_ENDS_FLUSH | VAIO_CAP_SECTOR_UNITS |	\
			 VAIO_CAP_CARRIES_PAYLOAD)
/* Sanity limits on what a filter may declare. */
#define VAIO_IO_SIZE_MAX	4096
#define VAIO_QUIESCE_MS_MAX	60000

/**
 * struct vaio_registered - a filter in the registry
 * @list: in vaio_filters, in class order, then by name
 * @filter: the module's
 * @owner: the module
 * @users: configurations that use it
 * @leaving: unregistration waits for the users; cannot be found any more
 */
struct vaio_registered {
	struct list_head		list;
	const struct vaio_filter	*filter;
	struct module			*owner;
	unsigned int			users;
	bool				leaving;
};

static DEFINE_MUTEX(vaio_registry_lock);
static LIST_HEAD(vaio_filters);
static DECLARE_WAIT_QUEUE_HEAD(vaio_filter_unused);

static const char *const class_names[] = {
	[VAIO_CLASS_INSPECTION]		= "inspection",
	[VAIO_CLASS_REPLICATION]	= "replication",
	[VAIO_CLASS_CACHE]		= "cache",
	[VAIO_CLASS_QOS]		= "qos",
	[VAIO_CLASS_ENCRYPTION]		= "encryption",
};
static_assert(ARRAY_SIZE(class_names) == __VAIO_CLASS_COUNT);

static const char *const kind_names[] = {
	[VAIO_KIND_READ]		= "read",
	[VAIO_KIND_WRITE]		= "write",
	[VAIO_KIND_WRITE_FUA]		= "write-fua",
	[VAIO_KIND_FLUSH]		= "flush",
	[VAIO_KIND_DISCARD]		= "discard",
	[VAIO_KIND_WRITE_ZEROES]	= "write-zeroes",
	[VAIO_KIND_SECURE_ERASE]	= "secure-erase",
};
static_assert(ARRAY_SIZE(kind_names) == __VAIO_KIND_COUNT);

/**
 * vaio_class_name - word for a class
 * @class: enum vaio_class, or a number from outside
 *
 * Any context. Return: the word, "unknown" for a number that is none.
 */
const char *vaio_class_name(enum vaio_class class)
{
	return (unsigned int)class < __VAIO_CLASS_COUNT ? class_names[class] : "unknown";
}
EXPORT_SYMBOL_GPL(vaio_class_name);

/**
 * vaio_kind_name - word for a kind of request
 * @kind: enum vaio_kind, or a number from outside
 *
 * Any context. Return: the word, "unknown" for a number that is none.
 */
const char *vaio_kind_name(enum vaio_kind kind)
{
	return (unsigned int)kind < __VAIO_KIND_COUNT ? kind_names[kind] : "unknown";
}
EXPORT_SYMBOL_GPL(vaio_kind_name);

/**
 * vaio_name_valid - can this be the name of a filter or property?
 * @name: a string
 *
 * Any context. Return: true for 1 to VAIO_NAME_LEN - 1 letters, digits, '-' and '_'.
 */
bool vaio_name_valid(const char *name)
{
	size_t i, len = strnlen(name, VAIO_NAME_LEN);

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || (!isalnum(name[i]) && name[i] != '-' && name[i] != '_'))
			return false;
	return len && len < VAIO_NAME_LEN;
}

/**
 * vaio_filter_check_io - may a filter, or a configuration of it, ask for this?
 * @filter: has the hooks
 * @submit: kinds for submit()
 * @complete: kinds for complete()
 * @enter: kinds for enter()
 * @io_size: bytes of per-io state
 *
 * Any context. Return: NULL, or a sentence that says what is wrong.
 */
const char *vaio_filter_check_io(const struct vaio_filter *filter, u32 submit, u32 complete,
				 u32 enter, unsigned int io_size)
{
	if ((submit | complete | enter) & ~VAIO_K_ALL)
		return "a mask of kinds has bits that are no kind";
	if (submit && !filter->submit)
		return "kinds for submit, but no submit hook";
	if (complete && !filter->complete)
		return "kinds for complete, but no complete hook";
	if (enter && !filter->enter)
		return "kinds for enter, but no enter hook";
	if (io_size > VAIO_IO_SIZE_MAX)
		return "more than 4096 bytes of per-io state";
	return NULL;
}

static const char *check_filter(const struct vaio_filter *filter)
{
	const char *const texts[] = { filter->vendor, filter->version, filter->summary };
	int i;

	if (!filter->name || !vaio_name_valid(filter->name))
		return "the name must be 1 to 31 letters, digits, '-' and '_'";
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		if (!texts[i] || strnlen(texts[i], VAIO_VALUE_LEN) == VAIO_VALUE_LEN)
			return "vendor, version and summary must be strings shorter than 256";
	if ((unsigned int)filter->class >= __VAIO_CLASS_COUNT)
		return "no such class";
	if (filter->caps & ~VAIO_CAPS_ALL)
		return "unknown bits in caps";
	if (filter->quiesce_ms > VAIO_QUIESCE_MS_MAX)
		return "quiesce_ms above 60000";
	if (!filter->parse)
		return "no parse hook";
	return vaio_filter_check_io(filter, filter->submit_kinds, filter->complete_kinds,
				    filter->enter_kinds, filter->io_size);
}

static struct vaio_registered *find_registered(const struct vaio_filter *filter)
{
	struct vaio_registered *reg;

	lockdep_assert_held(&vaio_registry_lock);
	list_for_each_entry(reg, &vaio_filters, list)
		if (reg->filter == filter)
			return reg;
	return NULL;
}

/* Is its name or class taken? Logs by whom. */
static int check_free(const struct vaio_filter *filter)
{
	struct vaio_registered *reg;

	lockdep_assert_held(&vaio_registry_lock);
	list_for_each_entry(reg, &vaio_filters, list) {
		if (!strcmp(reg->filter->name, filter->name)) {
			pr_err("filter '%s' (%s %s): the name is taken by the filter of %s %s\n",
			       filter->name, filter->vendor, filter->version,
			       reg->filter->vendor, reg->filter->version);
			return -EEXIST;
		}
		if (vaio_exclusive_classes() && reg->filter->class == filter->class) {
			pr_err("filter '%s': class %s is taken by filter '%s' (%s %s); exclusive_classes=0 allows several\n",
			       filter->name, vaio_class_name(filter->class), reg->filter->name,
			       reg->filter->vendor, reg->filter->version);
			return -EEXIST;
		}
	}
	return 0;
}

static void insert_registered(struct vaio_registered *new)
{
	struct vaio_registered *reg;

	lockdep_assert_held(&vaio_registry_lock);
	list_for_each_entry(reg, &vaio_filters, list) {
		if (reg->filter->class > new->filter->class ||
		    (reg->filter->class == new->filter->class &&
		     strcmp(reg->filter->name, new->filter->name) > 0))
			break;
	}
	list_add_tail(&new->list, &reg->list);
}

/**
 * vaio_register_filter - offer a filter to this host's disks
 * @filter: stays valid and constant until vaio_unregister_filter() has returned
 * @owner: the module that is held while a table or disk uses the filter
 *
 * May sleep. Return: 0; -EINVAL: @filter breaks the contract; -EEXIST: the name
 * or (module parameter exclusive_classes) the class is taken; -ENOMEM. The log
 * says why.
 */
int vaio_register_filter(const struct vaio_filter *filter, struct module *owner)
{
	struct vaio_registered *reg;
	const char *wrong;
	int err;

	wrong = check_filter(filter);
	if (wrong) {
		pr_err("filter '%.*s' is refused: %s\n", VAIO_NAME_LEN, filter->name ?: "", wrong);
		return -EINVAL;
	}
	reg = kzalloc(sizeof(*reg), GFP_KERNEL);
	if (!reg)
		return -ENOMEM;
	reg->filter = filter;
	reg->owner = owner;

	mutex_lock(&vaio_registry_lock);
	err = check_free(filter);
	if (!err)
		insert_registered(reg);
	mutex_unlock(&vaio_registry_lock);
	if (err) {
		kfree(reg);
		return err;
	}
	pr_info("filter '%s' %s (%s), class %s\n", filter->name, filter->version,
		filter->vendor, vaio_class_name(filter->class));
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_register_filter);

static void log_users(const struct vaio_filter *filter)
{
	struct vaio_disk *disk = NULL;
	bool uses;

	while ((disk = vaio_disk_next(disk))) {
		mutex_lock(&disk->lock);
		uses = disk->slots[filter->class] &&
		       disk->slots[filter->class]->filter == filter;
		mutex_unlock(&disk->lock);
		if (uses)
			pr_warn("filter '%s' is used by disk '%s' (%pUb)\n", filter->name,
				vaio_disk_name(disk), vaio_disk_uuid(disk));
	}
}

/**
 * vaio_unregister_filter - take a filter back
 * @filter: as given to vaio_register_filter(); no harm if that failed
 *
 * The users of a filter hold its module, so a module's exit function finds none.
 * Who unregisters for another reason waits here until the last table and disk
 * have let go, for they call into the filter; the log names the disks. No new
 * user is let in. May sleep.
 */
void vaio_unregister_filter(const struct vaio_filter *filter)
{
	struct vaio_registered *reg;

	mutex_lock(&vaio_registry_lock);
	reg = find_registered(filter);
	if (reg)
		reg->leaving = true;
	mutex_unlock(&vaio_registry_lock);
	if (!reg)
		return;

	while (READ_ONCE(reg->users)) {
		pr_warn("filter '%s' cannot go: tables or disks use it\n", filter->name);
		log_users(filter);
		wait_event_timeout(vaio_filter_unused, !READ_ONCE(reg->users), 30 * HZ);
	}

	mutex_lock(&vaio_registry_lock);
	list_del(&reg->list);
	mutex_unlock(&vaio_registry_lock);
	kfree(reg);
}
EXPORT_SYMBOL_GPL(vaio_unregister_filter);

static const struct vaio_filter *get_registered(const char *name, struct module **owner)
{
	const struct vaio_filter *found = NULL;
	struct vaio_registered *reg;

	mutex_lock(&vaio_registry_lock);
	list_for_each_entry(reg, &vaio_filters, list) {
		if (strcmp(reg->filter->name, name))
			continue;
		if (!reg->leaving && try_module_get(reg->owner)) {
			WRITE_ONCE(reg->users, reg->users + 1);
			*owner = reg->owner;
			found = reg->filter;
		}
		break;
	}
	mutex_unlock(&vaio_registry_lock);
	return found;
}

/**
 * vaio_filter_get - find a filter by name, and hold its module
 * @name: of the filter
 * @owner: gets the module, for vaio_filter_put()
 *
 * Loads the module vaio-filter-@name when there is no such filter. May sleep,
 * long. Return: the filter, or NULL.
 */
const struct vaio_filter *vaio_filter_get(const char *name, struct module **owner)
{
	const struct vaio_filter *filter;

	if (!vaio_name_valid(name))
		return NULL;
	filter = get_registered(name, owner);
	if (!filter && !request_module("vaio-filter-%s", name))
		filter = get_registered(name, owner);
	return filter;
}
VAIO_EXPORT_FOR_KUNIT(vaio_filter_get);

/**
 * vaio_filter_put - end of what vaio_filter_get() began
 * @filter: the filter
 * @owner: its module
 *
 * May sleep. @filter may be gone on return.
 */
void vaio_filter_put(const struct vaio_filter *filter, struct module *owner)
{
	struct vaio_registered *reg;

	mutex_lock(&vaio_registry_lock);
	reg = find_registered(filter);
	/* first: with the last user gone, unregistration goes on and the module may go */
	module_put(owner);
	WRITE_ONCE(reg->users, reg->users - 1);
	mutex_unlock(&vaio_registry_lock);
	wake_up_all(&vaio_filter_unused);
}
VAIO_EXPORT_FOR_KUNIT(vaio_filter_put);

/**
 * vaio_filter_count - filters that are registered
 *
 * May sleep.
 */
unsigned int vaio_filter_count(void)
{
	unsigned int n;

	mutex_lock(&vaio_registry_lock);
	n = list_count_nodes(&vaio_filters);
	mutex_unlock(&vaio_registry_lock);
	return n;
}
VAIO_EXPORT_FOR_KUNIT(vaio_filter_count);

/**
 * vaio_filter_walk - call a function for each filter, in class order
 * @fn: gets the filter and @arg, runs under the registry's lock; non-zero ends the walk
 * @arg: for @fn
 *
 * May sleep. Return: what @fn returned last, 0 when there is no filter.
 */
int vaio_filter_walk(int (*fn)(const struct vaio_filter *filter, void *arg), void *arg)
{
	struct vaio_registered *reg;
	int err = 0;

	mutex_lock(&vaio_registry_lock);
	list_for_each_entry(reg, &vaio_filters, list) {
		err = fn(reg->filter, arg);
		if (err)
			break;
	}
	mutex_unlock(&vaio_registry_lock);
	return err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_filter_walk);
