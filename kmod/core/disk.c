// SPDX-License-Identifier: GPL-2.0
/*
 * Disks: found by a UUID, they own what outlives a table.
 *
 * Every table of a disk holds a reference, the one that is live as well as one
 * that is loaded and waits. Netlink and agents hold others, which keep the
 * memory but not the slots: with the last table the slots are stopped and freed
 * and the disk leaves the list.
 */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/device-mapper.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "core.h"

DEFINE_MUTEX(vaio_disks_lock);
LIST_HEAD(vaio_disks);

/*
 * Names of all disks, written under disk->lock as well. Who looks for a name must
 * not wait for the lock of each disk: a filter that hangs may hold it.
 */
static DEFINE_SPINLOCK(vaio_names_lock);

static struct vaio_disk *disk_new(const uuid_t *uuid, struct mapped_device *md)
{
	struct vaio_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	if (!disk)
		return NULL;
	uuid_copy(&disk->uuid, uuid);
	kref_init(&disk->ref);
	INIT_LIST_HEAD(&disk->list);
	disk->md = md;
	mutex_init(&disk->lifecycle);
	mutex_init(&disk->lock);
	spin_lock_init(&disk->charge_lock);
	INIT_WORK(&disk->space_work, vaio_space_work);
	bio_init(&disk->charge, NULL, NULL, 0, 0);
	init_completion(&disk->below_dead);
	disk->state = VAIO_DISK_INACTIVE;

	disk->wq = alloc_workqueue("vaio-%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0, dm_device_name(md));
	if (!disk->wq)
		goto bad_wq;
	disk->stats = alloc_percpu(struct vaio_stack_stats);
	if (!disk->stats)
		goto bad_stats;
	/* dead until a table starts */
	if (percpu_ref_init(&disk->below, vaio_own_below_release,
			    PERCPU_REF_INIT_DEAD | PERCPU_REF_ALLOW_REINIT, GFP_KERNEL))
		goto bad_ref;
	disk->events = vaio_events_new(disk);
	if (!disk->events)
		goto bad_events;
	return disk;

bad_events:
	percpu_ref_exit(&disk->below);
bad_ref:
	free_percpu(disk->stats);
bad_stats:
	destroy_workqueue(disk->wq);
bad_wq:
	kfree(disk);
	return NULL;
}

static void disk_free(struct kref *ref)
{
	struct vaio_disk *disk = container_of(ref, struct vaio_disk, ref);

	vaio_events_free(disk->events);
	destroy_workqueue(disk->wq);
	percpu_ref_exit(&disk->below);
	free_percpu(disk->stats);
	bio_uninit(&disk->charge);
	kfree(disk);
}

void vaio_disk_get(struct vaio_disk *disk)
{
	kref_get(&disk->ref);
}
EXPORT_SYMBOL_GPL(vaio_disk_get);

/**
 * vaio_disk_put - drop a reference
 * @disk: the disk
 *
 * May sleep.
 */
void vaio_disk_put(struct vaio_disk *disk)
{
	kref_put(&disk->ref, disk_free);
}
EXPORT_SYMBOL_GPL(vaio_disk_put);

static struct vaio_disk *find_locked(const uuid_t *uuid)
{
	struct vaio_disk *disk;

	lockdep_assert_held(&vaio_disks_lock);
	list_for_each_entry(disk, &vaio_disks, list)
		if (uuid_equal(&disk->uuid, uuid))
			return disk;
	return NULL;
}

/**
 * vaio_disk_get_for_table - the disk of a table that is being made
 * @uuid: of the disk
 * @md: device-mapper's device of the table
 * @error: gets a sentence on failure, @len bytes
 * @len: room in @error, bytes
 *
 * Makes the disk if there is none. May sleep.
 * Return: the disk with a reference for the table, or ERR_PTR: -EBUSY when the
 * UUID is live on another mapped device, -ENOMEM.
 */
struct vaio_disk *vaio_disk_get_for_table(const uuid_t *uuid, struct mapped_device *md,
					  char *error, size_t len)
{
	struct vaio_disk *disk, *new;

	new = disk_new(uuid, md);
	if (!new) {
		strscpy(error, "not enough memory for a disk", len);
		return ERR_PTR(-ENOMEM);
	}
	mutex_lock(&vaio_disks_lock);
	disk = find_locked(uuid);
	if (!disk) {
		disk = new;
		new = NULL;
		list_add_tail(&disk->list, &vaio_disks);
		disk->tables = 1;
		/* the initial reference is the first table's */
	} else if (disk->md != md) {
		spin_lock(&vaio_names_lock);
		snprintf(error, len, "uuid %pUb is in use by device '%s'", uuid, disk->name);
		spin_unlock(&vaio_names_lock);
		disk = ERR_PTR(-EBUSY);
	} else {
		disk->tables++;
		vaio_disk_get(disk);
	}
	mutex_unlock(&vaio_disks_lock);
	if (new)
		vaio_disk_put(new);
	if (!IS_ERR(disk))
		vaio_disk_refresh_name(disk);
	return disk;
}
EXPORT_SYMBOL_GPL(vaio_disk_get_for_table);

/**
 * vaio_disk_put_table - a table is gone
 * @disk: the disk
 *
 * With the last one the slots go too. May sleep and do I/O.
 */
void vaio_disk_put_table(struct vaio_disk *disk)
{
	bool last;

	mutex_lock(&vaio_disks_lock);
	last = --disk->tables == 0;
	if (last)
		list_del_init(&disk->list);
	mutex_unlock(&vaio_disks_lock);
	if (last)
		vaio_slots_teardown(disk);
	vaio_disk_put(disk);
}
EXPORT_SYMBOL_GPL(vaio_disk_put_table);

/**
 * vaio_disk_refresh_name - take device-mapper's name of the disk, which may have changed
 * @disk: the disk
 *
 * Only while a table holds the disk. May sleep.
 */
void vaio_disk_refresh_name(struct vaio_disk *disk)
{
	char name[DM_NAME_LEN], uuid[DM_UUID_LEN];

	if (dm_copy_name_and_uuid(disk->md, name, uuid))
		return;		/* on its way out */
	mutex_lock(&disk->lock);
	spin_lock(&vaio_names_lock);
	strscpy(disk->name, name, sizeof(disk->name));
	spin_unlock(&vaio_names_lock);
	mutex_unlock(&disk->lock);
}

/**
 * vaio_disk_find - a disk by UUID
 * @uuid: of the disk
 *
 * Return: the disk with a reference, or NULL.
 */
struct vaio_disk *vaio_disk_find(const uuid_t *uuid)
{
	struct vaio_disk *disk;

	mutex_lock(&vaio_disks_lock);
	disk = find_locked(uuid);
	if (disk)
		vaio_disk_get(disk);
	mutex_unlock(&vaio_disks_lock);
	return disk;
}

/**
 * vaio_disk_find_name - a disk by its device-mapper name
 * @name: device-mapper's
 *
 * Return: the disk with a reference, or NULL.
 */
struct vaio_disk *vaio_disk_find_name(const char *name)
{
	struct vaio_disk *disk, *found = NULL;

	mutex_lock(&vaio_disks_lock);
	spin_lock(&vaio_names_lock);
	list_for_each_entry(disk, &vaio_disks, list) {
		if (!strcmp(disk->name, name)) {
			vaio_disk_get(disk);
			found = disk;
			break;
		}
	}
	spin_unlock(&vaio_names_lock);
	mutex_unlock(&vaio_disks_lock);
	return found;
}

/**
 * vaio_disk_next - walk the disks
 * @prev: the disk before, whose reference is dropped; NULL for the first
 *
 * The walk ends early when @prev has left the list. May sleep.
 * Return: a disk with a reference, or NULL at the end.
 */
struct vaio_disk *vaio_disk_next(struct vaio_disk *prev)
{
	struct vaio_disk *disk = NULL;

	mutex_lock(&vaio_disks_lock);
	if (!prev)
		disk = list_first_entry_or_null(&vaio_disks, struct vaio_disk, list);
	else if (!list_empty(&prev->list) && !list_is_last(&prev->list, &vaio_disks))
		disk = list_next_entry(prev, list);
	if (disk)
		vaio_disk_get(disk);
	mutex_unlock(&vaio_disks_lock);
	if (prev)
		vaio_disk_put(prev);
	return disk;
}

/**
 * vaio_disk_count - disks of this host
 */
unsigned int vaio_disk_count(void)
{
	unsigned int n = 0;
	struct vaio_disk *disk;

	mutex_lock(&vaio_disks_lock);
	list_for_each_entry(disk, &vaio_disks, list)
		n++;
	mutex_unlock(&vaio_disks_lock);
	return n;
}

const char *vaio_disk_name(const struct vaio_disk *disk)
{
	return disk->name;
}
EXPORT_SYMBOL_GPL(vaio_disk_name);

const uuid_t *vaio_disk_uuid(const struct vaio_disk *disk)
{
	return &disk->uuid;
}
EXPORT_SYMBOL_GPL(vaio_disk_uuid);

sector_t vaio_disk_sectors(const struct vaio_disk *disk)
{
	return disk->sectors;
}
EXPORT_SYMBOL_GPL(vaio_disk_sectors);

struct workqueue_struct *vaio_disk_wq(const struct vaio_disk *disk)
{
	return disk->wq;
}
EXPORT_SYMBOL_GPL(vaio_disk_wq);

static const char *const state_names[] = {
	[VAIO_DISK_INACTIVE]	= "inactive",
	[VAIO_DISK_ACTIVE]	= "active",
	[VAIO_DISK_SUSPENDED]	= "suspended",
	[VAIO_DISK_STANDBY]	= "standby",
	[VAIO_DISK_DEGRADED]	= "degraded",
	[VAIO_DISK_PARKED]	= "parked",
};

const char *vaio_disk_state_name(enum vaio_disk_state state)
{
	return state_names[state];
}
EXPORT_SYMBOL_GPL(vaio_disk_state_name);

static const char *const slot_state_names[] = {
	[VAIO_SLOT_STOPPED]	= "stopped",
	[VAIO_SLOT_STARTED]	= "started",
	[VAIO_SLOT_QUIESCED]	= "quiesced",
};

const char *vaio_slot_state_name(enum vaio_slot_state state)
{
	return slot_state_names[state];
}
EXPORT_SYMBOL_GPL(vaio_slot_state_name);

/* disk->lock held. Returns true when it is news. */
static bool change_state(struct vaio_disk *disk, enum vaio_disk_state state, const char *reason)
{
	bool changed = disk->state != state || strcmp(disk->reason, reason);

	disk->state = state;
	strscpy(disk->reason, reason, sizeof(disk->reason));
	return changed;
}

static void tell_state(struct vaio_disk *disk, enum vaio_disk_state state)
{
	u64 token;

	vaio_event_post(disk, VAIO_EVENT_STATE, VAIO_PHASE_NOTIFY, vaio_disk_state_name(state), 0,
			0, &token);
}

/**
 * vaio_disk_set_state - change the state and tell
 * @disk: the disk
 * @state: the new one
 * @reason: a sentence for people, or NULL
 *
 * May sleep; takes disk->lock.
 */
void vaio_disk_set_state(struct vaio_disk *disk, enum vaio_disk_state state, const char *reason)
{
	bool changed;

	mutex_lock(&disk->lock);
	changed = change_state(disk, state, reason ?: "");
	mutex_unlock(&disk->lock);
	if (changed)
		tell_state(disk, state);
}

/**
 * vaio_disk_activated - its slots have started
 * @disk: the disk; it was suspended, or is new
 *
 * A filter may have said since it started that something is wrong. That stays.
 * May sleep; takes disk->lock.
 */
void vaio_disk_activated(struct vaio_disk *disk)
{
	bool changed;

	mutex_lock(&disk->lock);
	changed = disk->state != VAIO_DISK_DEGRADED && change_state(disk, VAIO_DISK_ACTIVE, "");
	mutex_unlock(&disk->lock);
	if (changed)
		tell_state(disk, VAIO_DISK_ACTIVE);
}

/**
 * vaio_disk_degraded - a filter says that something is wrong, though I/O goes on
 * @disk: the disk
 * @reason: a sentence for people
 *
 * May sleep.
 */
void vaio_disk_degraded(struct vaio_disk *disk, const char *reason)
{
	pr_warn_ratelimited("vaio: disk '%s': degraded: %s\n", disk->name, reason);
	vaio_disk_set_state(disk, VAIO_DISK_DEGRADED, reason);
}
EXPORT_SYMBOL_GPL(vaio_disk_degraded);

/**
 * vaio_disk_recovered - it is well again
 * @disk: the disk
 *
 * May sleep.
 */
void vaio_disk_recovered(struct vaio_disk *disk)
{
	bool changed;

	mutex_lock(&disk->lock);
	changed = disk->state == VAIO_DISK_DEGRADED && change_state(disk, VAIO_DISK_ACTIVE, "");
	mutex_unlock(&disk->lock);
	if (changed)
		tell_state(disk, VAIO_DISK_ACTIVE);
}
EXPORT_SYMBOL_GPL(vaio_disk_recovered);

/**
 * vaio_disk_slot - the slot of a filter
 * @disk: the disk
 * @filter: its name
 *
 * Context: disk->lock held. Return: the slot or NULL.
 */
struct vaio_slot *vaio_disk_slot(struct vaio_disk *disk, const char *filter)
{
	int c;

	lockdep_assert_held(&disk->lock);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		if (disk->slots[c] && !strcmp(disk->slots[c]->filter->name, filter))
			return disk->slots[c];
	return NULL;
}

/* "a, b, c": the filters of a disk, for error messages. */
static void slot_names(struct vaio_disk *disk, char *buf, size_t len)
{
	size_t n = 0;
	int c;

	strscpy(buf, "none", len);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		if (disk->slots[c])
			n += scnprintf(buf + n, len - n, "%s%s", n ? ", " : "",
				       disk->slots[c]->filter->name);
}

/**
 * vaio_disk_set - change a live property of a slot
 * @disk: the disk
 * @filter: which slot
 * @name: property
 * @value: its new value
 * @error: gets a sentence on failure, @len bytes
 * @len: room in @error, bytes
 *
 * May sleep, never waits for I/O. Return: 0, -ENOENT (no such filter here),
 * -EOPNOTSUPP (has no live properties), or what the filter answered.
 */
int vaio_disk_set(struct vaio_disk *disk, const char *filter, const char *name,
		  const char *value, char *error, size_t len)
{
	struct vaio_slot *slot;
	char *why = NULL;
	int r;

	mutex_lock(&disk->lock);
	slot = vaio_disk_slot(disk, filter);
	if (!slot) {
		char names[128];

		slot_names(disk, names, sizeof(names));
		snprintf(error, len, "filter '%s' is not on disk '%s'; there: %s", filter,
			 disk->name, names);
		r = -ENOENT;
	} else if (!slot->filter->set) {
		snprintf(error, len, "filter '%s' has no properties that can be set", filter);
		r = -EOPNOTSUPP;
	} else {
		r = slot->filter->set(slot, name, value, &why);
		if (r)
			strscpy(error, why ?: "the filter gave no reason", len);
	}
	mutex_unlock(&disk->lock);
	return r;
}
EXPORT_SYMBOL_GPL(vaio_disk_set);

/**
 * vaio_disk_charge - let an own bio that serves no guest io pay with the disk's account
 * @disk: the disk
 * @bio: gets the cgroup of the guest io that was served last
 */
void vaio_disk_charge(struct vaio_disk *disk, struct bio *bio)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->charge_lock, flags);
	bio_clone_blkg_association(bio, &disk->charge);
	spin_unlock_irqrestore(&disk->charge_lock, flags);
}

void vaio_disk_remember_charge(struct vaio_disk *disk, struct bio *served)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->charge_lock, flags);
	bio_clone_blkg_association(&disk->charge, served);
	spin_unlock_irqrestore(&disk->charge_lock, flags);
}

void vaio_disk_offer_transform(struct vaio_slot *slot, const struct vaio_transform *t)
{
	/* another slot may have taken the place of one that is on its way out */
	if (!t && slot->disk->transform_slot != slot)
		return;
	slot->disk->transform_slot = t ? slot : NULL;
	slot->disk->transform = t;
}
EXPORT_SYMBOL_GPL(vaio_disk_offer_transform);

const struct vaio_transform *vaio_disk_transform(struct vaio_slot *above, struct vaio_slot **slot)
{
	struct vaio_disk *disk = above->disk;

	if (!disk->transform || disk->transform_slot->filter->class <= above->filter->class)
		return NULL;
	*slot = disk->transform_slot;
	return disk->transform;
}
EXPORT_SYMBOL_GPL(vaio_disk_transform);
