// SPDX-License-Identifier: GPL-2.0
/*
 * Which (device, range) is used as what, over the whole host.
 *
 * device-mapper claims all its devices with one holder, so it would let two
 * disks share a backing, or put one's sidecar inside another. Ranges are compared
 * on the whole device: a partition is a range of its disk.
 */
#include <linux/blkdev.h>
#include <linux/kdev_t.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include "core.h"

static DEFINE_MUTEX(vaio_claims_lock);
static LIST_HEAD(vaio_claims);

static const char *const role_names[] = {
	[VAIO_ROLE_BACKING]	= "the backing",
	[VAIO_ROLE_SIDECAR]	= "the sidecar",
	[VAIO_ROLE_CACHE]	= "a cache",
};

/**
 * vaio_claim_fill - write down a claim
 * @claim: is filled, not yet made: vaio_claim_add()
 * @bdev: a device or a partition
 * @start: of the range on @bdev, 512-byte units
 * @sectors: length of the range, 512-byte units
 * @role: what it is used as
 * @uuid: of the disk that uses it
 *
 * Any context.
 */
void vaio_claim_fill(struct vaio_claim *claim, struct block_device *bdev, sector_t start,
		     sector_t sectors, enum vaio_role role, const uuid_t *uuid)
{
	INIT_LIST_HEAD(&claim->list);
	claim->dev = bdev_whole(bdev)->bd_dev;
	claim->start = bdev->bd_start_sect + start;
	claim->sectors = sectors;
	claim->role = role;
	uuid_copy(&claim->uuid, uuid);
}
EXPORT_SYMBOL_GPL(vaio_claim_fill);

/* Written so that no sum can overflow: a table's numbers come from outside. */
static bool overlap(const struct vaio_claim *a, const struct vaio_claim *b)
{
	if (a->dev != b->dev)
		return false;
	if (a->start >= b->start)
		return a->start - b->start < b->sectors;
	return b->start - a->start < a->sectors;
}

/**
 * vaio_claim_add - claim a range
 * @claim: filled; belongs to the registry until vaio_claim_del()
 * @error: gets a sentence that names the other's role and disk, @len bytes
 * @len: of @error
 *
 * A disk may claim the same range in the same role again: a table is loaded
 * while another is live. May sleep.
 * Return: 0; -EBUSY: the range overlaps another disk's, or one of this disk in
 * another role.
 */
int vaio_claim_add(struct vaio_claim *claim, char *error, size_t len)
{
	struct vaio_claim *other;
	int err = 0;

	mutex_lock(&vaio_claims_lock);
	list_for_each_entry(other, &vaio_claims, list) {
		bool same_disk = uuid_equal(&other->uuid, &claim->uuid);

		if (!overlap(other, claim) || (same_disk && other->role == claim->role))
			continue;
		snprintf(error, len, "sectors %llu+%llu of device %u:%u are %s of %s %pUb",
			 (unsigned long long)other->start, (unsigned long long)other->sectors,
			 MAJOR(other->dev), MINOR(other->dev), role_names[other->role],
			 same_disk ? "this disk," : "disk", &other->uuid);
		err = -EBUSY;
		break;
	}
	if (!err)
		list_add_tail(&claim->list, &vaio_claims);
	mutex_unlock(&vaio_claims_lock);
	return err;
}
EXPORT_SYMBOL_GPL(vaio_claim_add);

/**
 * vaio_claim_del - give a range up
 * @claim: may be one that was filled and never added, or whose addition failed
 *
 * May sleep.
 */
void vaio_claim_del(struct vaio_claim *claim)
{
	mutex_lock(&vaio_claims_lock);
	list_del_init(&claim->list);
	mutex_unlock(&vaio_claims_lock);
}
EXPORT_SYMBOL_GPL(vaio_claim_del);
