// SPDX-License-Identifier: GPL-2.0
/*
 * Device-mapper target "vaio": the front of a stack of I/O filters.
 *
 *   <start> <len> vaio <dev> <offset> <#feature args> uuid <u> [...]
 *           <#filters> { <filter> <#args> <name> <value> ... }*
 *
 * Documentation/table.md has the words. This file ties device-mapper's calls to
 * vaio.ko, where the work is done.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "path.h"
#include "target.h"

#define DM_MSG_PREFIX "vaio"

static int vaio_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct vaio_stack *stack;
	int c, r;

	stack = kzalloc(sizeof(*stack), GFP_KERNEL);
	if (!stack) {
		ti->error = "not enough memory";
		return -ENOMEM;
	}
	stack->ti = ti;
	ti->private = stack;

	r = vaio_table_parse(stack, argc, argv, &ti->error);
	if (r)
		goto bad;

	ti->per_io_data_size = stack->io_size;
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->num_secure_erase_bios = 1;
	ti->num_write_zeroes_bios = 1;
	ti->accounts_remapped_io = true;
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct vaio_slot_cfg *cfg = stack->cfg[c];

		if (!cfg)
			continue;
		/* else a flush over a device without a cache would not reach us */
		if (cfg->filter->caps & VAIO_CAP_VOLATILE)
			ti->flush_supported = true;
	}
	return 0;
bad:
	vaio_table_free(stack);
	return r;
}

static void vaio_dtr(struct dm_target *ti)
{
	vaio_table_free(ti->private);
}

static int vaio_map(struct dm_target *ti, struct bio *bio)
{
	struct vaio_stack *stack = ti->private;
	unsigned int kind = vaio_kind_of(bio);
	const struct vaio_plan *plan;

	if (unlikely(kind == __VAIO_KIND_COUNT))
		return DM_MAPIO_KILL;
	plan = stack->plan[kind];
	if (likely(!plan))
		return vaio_stack_pass(stack, bio);
	return vaio_stack_map_hooked(plan, bio, dm_per_bio_data(bio, ti->per_io_data_size));
}

static int vaio_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	return vaio_stack_end_io(ti->private, bio, error);
}

static void vaio_presuspend(struct dm_target *ti)
{
	vaio_stack_presuspend(ti->private);
}

static void vaio_presuspend_undo(struct dm_target *ti)
{
	vaio_stack_presuspend_undo(ti->private);
}

static void vaio_postsuspend(struct dm_target *ti)
{
	vaio_stack_postsuspend(ti->private);
}

static int vaio_preresume(struct dm_target *ti)
{
	return vaio_stack_preresume(ti->private);
}

static void vaio_resume(struct dm_target *ti)
{
	vaio_stack_resume(ti->private);
}

/*
 * The data device only. Sidecars and flash are opened and claimed by us, so
 * that nobody hands a shared flash device to every guest that has a disk on it.
 */
static int vaio_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct vaio_stack *stack = ti->private;

	return fn(ti, stack->dev, stack->start, ti->len, data);
}

static void vaio_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct vaio_stack *stack = ti->private;
	int c;

	vaio_limit_erasers(limits, VAIO_MAX_ERASE);
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct vaio_slot_cfg *cfg = stack->cfg[c];

		if (!cfg)
			continue;
		if (cfg->filter->limits)
			cfg->filter->limits(cfg, limits);
		/* else a sector may straddle two pages of a bio */
		if (cfg->filter->caps & VAIO_CAP_SECTOR_UNITS)
			limits->dma_alignment = max_t(unsigned int, limits->dma_alignment,
						      limits->logical_block_size - 1);
	}
}

/*
 * Without prepare_ioctl every ioctl that would reach the backing device (SG_IO,
 * NVMe pass-through) ends with -ENOTTY: it would go round the filters.
 * PASSES_INTEGRITY, PASSES_CRYPTO and ATOMIC_WRITES are never set: they are
 * promises about a payload that a slot may change, copy or split.
 */
static struct target_type vaio_target = {
	.name			= "vaio",
	.version		= { 1, 0, 0 },
	.features		= DM_TARGET_SINGLETON | DM_TARGET_NOWAIT,
	.module			= THIS_MODULE,
	.ctr			= vaio_ctr,
	.dtr			= vaio_dtr,
	.map			= vaio_map,
	.end_io			= vaio_end_io,
	.presuspend		= vaio_presuspend,
	.presuspend_undo	= vaio_presuspend_undo,
	.postsuspend		= vaio_postsuspend,
	.preresume		= vaio_preresume,
	.resume			= vaio_resume,
	.status			= vaio_target_status,
	.message		= vaio_target_message,
	.iterate_devices	= vaio_iterate_devices,
	.io_hints		= vaio_io_hints,
};

module_dm(vaio);

MODULE_DESCRIPTION("Class-ordered I/O filters for virtual disks, device-mapper target");
MODULE_AUTHOR("The vaio developers");
MODULE_VERSION(VAIO_VERSION);
MODULE_LICENSE("GPL");
