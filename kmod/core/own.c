// SPDX-License-Identifier: GPL-2.0
/*
 * A filter's own I/O: bios that enter the stack below a slot.
 *
 * The front pad of the slot's bio_set holds a struct vaio_own, then a struct
 * vaio_io with the state of all slots below, so that one allocation serves the
 * whole chain:
 *
 *   | vaio_own | vaio_io | state of the lowest slot ... | bio |
 *
 * Slots' states are laid out bottom to top for this: the part that a bio of
 * slot n needs is a prefix.
 *
 * device-mapper counts only the clones it made. Each own bio therefore holds
 * disk->below, from its allocation until its end function has returned; it is
 * killed and waited for in postsuspend, after device-mapper has drained its own.
 */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/slab.h>
#include "path.h"

/* Bios that can always be had; each slot's worker sends at most a few at a time. */
#define OWN_RESERVE	16

struct vaio_own {
	struct vaio_slot	*slot;
	vaio_own_end_fn		end;
	void			*private;
	size_t			pad;	/* keeps struct vaio_io at 16 bytes */
	struct vaio_io		io;
};

static struct vaio_own *own_of(struct vaio_slot *slot, struct bio *bio)
{
	return (void *)((char *)bio - slot->bios->front_pad);
}

/**
 * vaio_own_bios_new - the bio_set for a slot's own I/O
 * @io_size: struct vaio_io and the state of the slots below, bytes
 *
 * May sleep. Return: a bio_set or NULL.
 */
struct bio_set *vaio_own_bios_new(unsigned int io_size)
{
	unsigned int pad = ALIGN(offsetof(struct vaio_own, io) + io_size, 16);
	struct bio_set *bios = kzalloc(sizeof(*bios), GFP_KERNEL);

	if (bios && bioset_init(bios, OWN_RESERVE, pad, BIOSET_NEED_BVECS)) {
		kfree(bios);
		bios = NULL;
	}
	return bios;
}
VAIO_EXPORT_FOR_KUNIT(vaio_own_bios_new);

void vaio_own_bios_free(struct bio_set *bios)
{
	if (bios)
		bioset_exit(bios);
	kfree(bios);
}
VAIO_EXPORT_FOR_KUNIT(vaio_own_bios_free);

void vaio_own_below_release(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct vaio_disk, below)->below_dead);
}
VAIO_EXPORT_FOR_KUNIT(vaio_own_below_release);

struct bio *vaio_own_alloc(struct vaio_slot *slot, unsigned short nr_vecs, blk_opf_t opf,
			   struct vaio_io *serves, vaio_own_end_fn end, void *private)
{
	struct vaio_disk *disk = slot->disk;
	struct vaio_own *own;
	struct bio *bio;

	if (!percpu_ref_tryget_live(&disk->below))
		return ERR_PTR(-ESHUTDOWN);
	/* from here on disk->stack and slot->bios cannot change */
	bio = bio_alloc_bioset(disk->stack->bdev, nr_vecs, opf, GFP_NOIO, slot->bios);
	own = own_of(slot, bio);
	own->slot = slot;
	own->end = end;
	own->private = private;
	own->io.flags = 0;
	if (serves) {
		bio->bi_ioprio = serves->clone->bi_ioprio;
		bio_clone_blkg_association(bio, serves->clone);
		vaio_disk_remember_charge(disk, serves->clone);
	} else {
		own->io.flags = VAIO_IO_INTERNAL;
		vaio_disk_charge(disk, bio);
	}
	this_cpu_inc(slot->stats->own_io);
	return bio;
}
EXPORT_SYMBOL_GPL(vaio_own_alloc);

/**
 * vaio_own_free - give back an own bio that was not submitted
 * @slot: whose bio it is
 * @bio: the bio
 */
void vaio_own_free(struct vaio_slot *slot, struct bio *bio)
{
	bio_put(bio);
	percpu_ref_put(&slot->disk->below);
}
EXPORT_SYMBOL_GPL(vaio_own_free);

unsigned int vaio_own_max_sectors(const struct vaio_slot *slot)
{
	unsigned int max = BIO_MAX_VECS << (PAGE_SHIFT - SECTOR_SHIFT);
	int c;

	for (c = slot->filter->class + 1; c < VAIO_MAX_SLOTS; c++) {
		const struct vaio_slot *below = slot->disk->slots[c];

		if (below && below->cfg->max_io_sectors)
			max = min(max, below->cfg->max_io_sectors);
	}
	return max;
}
EXPORT_SYMBOL_GPL(vaio_own_max_sectors);

void vaio_submit_below(struct vaio_slot *slot, struct bio *bio, unsigned int flags)
{
	struct vaio_stack *stack = slot->disk->stack;
	unsigned int kind = vaio_kind_of(bio);
	struct vaio_io *io = &own_of(slot, bio)->io;
	const struct vaio_plan *plan = &stack->plans[kind];
	enum vaio_class class = slot->filter->class;
	u8 internal = io->flags & VAIO_IO_INTERNAL;

	if (unlikely(kind == __VAIO_KIND_COUNT)) {
		vaio_io_init(io, &stack->plans[VAIO_KIND_READ], bio, bio->bi_iter.bi_size);
		io->status = BLK_STS_NOTSUPP;
		vaio_own_finish(io);
		return;
	}
	vaio_io_init(io, plan, bio, bio->bi_iter.bi_size);
	io->flags = VAIO_IO_OWN | internal | (flags & (VAIO_IO_SEALED | VAIO_IO_STABLE));
	io->up_end = plan->own_up[class];
	if (plan->timed)
		io->start_ns = ktime_get_ns();
	/* For this slot and those above a flush of its own is not theirs to count on. */
	if (kind == VAIO_KIND_FLUSH && (slot->filter->caps & VAIO_CAP_ENDS_FLUSH))
		vaio_flush_enter(slot, io);
	vaio_io_down(io, plan->own_down[class]);
}
EXPORT_SYMBOL_GPL(vaio_submit_below);

/**
 * vaio_own_finish - an own bio is done and unwound
 * @io: the io
 *
 * Any context.
 */
void vaio_own_finish(struct vaio_io *io)
{
	struct vaio_own *own = container_of(io, struct vaio_own, io);
	const struct vaio_stack *stack = io->plan->stack;
	struct vaio_slot *slot = own->slot;
	struct vaio_disk *disk = slot->disk;
	struct bio *bio = io->clone;
	unsigned int i;

	if (io->kind == VAIO_KIND_FLUSH) {
		if (slot->filter->caps & VAIO_CAP_ENDS_FLUSH)
			vaio_flush_leave(slot, io);
	} else if (io->kind != VAIO_KIND_READ) {
		/* written below this slot and below all slots above it */
		for (i = 0; i < stack->nr_flush_slots; i++)
			if (stack->flush_slots[i]->filter->class <= slot->filter->class)
				vaio_flush_mark(stack->flush_slots[i], io);
	}
	bio->bi_status = io->status;
	own->end(slot, bio, own->private);
	bio_put(bio);
	percpu_ref_put(&disk->below);
}
