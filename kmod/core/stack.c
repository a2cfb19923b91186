// SPDX-License-Identifier: GPL-2.0
/*
 * A table's life: from loaded to live, and back.
 *
 *   constructor	configurations parsed; an older table may be live (dm-vaio)
 *   preresume		check everything, make new slots, adopt, start bottom to top
 *   resume		unquiesce bottom to top
 *   presuspend		quiesce top to bottom; I/O still arrives, ORDERED waits go on
 *   postsuspend	no io is left: wait for own bios, stop top to bottom
 *   destructor		drops its reference (dm-vaio)
 *
 * Slots belong to the disk. device-mapper destroys the old table even when
 * preresume of the new one fails, so a failure puts the slots back as they were,
 * parked, and the next good table adopts them.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "core.h"
#include "sidecar.h"
#include "trace.h"

#define for_each_class_down(c)	for ((c) = 0; (c) < VAIO_MAX_SLOTS; (c)++)
#define for_each_class_up(c)	for ((c) = VAIO_MAX_SLOTS - 1; (c) >= 0; (c)--)

/**
 * struct transition - a table change on its way
 * @fresh: slots made for this table
 * @gone: slots that it has no place for; freed when it has started
 * @bios: for own I/O, sized for this table
 * @sidecar: opened for this table; taken over with the rest
 * @reason: why it failed, a sentence
 */
struct transition {
	struct vaio_slot	*fresh[VAIO_MAX_SLOTS];
	struct vaio_slot	*gone[VAIO_MAX_SLOTS];
	struct bio_set		*bios[VAIO_MAX_SLOTS];
	struct vaio_sidecar	*sidecar;
	char			reason[VAIO_REASON_LEN];
};

/* --- slots ----------------------------------------------------------------- */

static struct vaio_slot *slot_new(struct vaio_disk *disk, struct vaio_slot_cfg *cfg)
{
	struct vaio_slot *slot = kzalloc(sizeof(*slot), GFP_KERNEL);
	int r;

	if (!slot)
		return ERR_PTR(-ENOMEM);
	slot->stats = vaio_slot_stats_alloc();
	if (!slot->stats) {
		kfree(slot);
		return ERR_PTR(-ENOMEM);
	}
	slot->filter = cfg->filter;
	slot->disk = disk;
	slot->owner = cfg->owner;
	__module_get(slot->owner);
	/* nobody knows yet what went below before */
	slot->below_dirty = true;
	kref_get(&cfg->ref);
	slot->cfg = cfg;
	if (slot->filter->attach) {
		r = slot->filter->attach(slot, cfg);
		if (r) {
			vaio_cfg_put(cfg);
			module_put(slot->owner);
			free_percpu(slot->stats);
			kfree(slot);
			return ERR_PTR(r);
		}
	}
	trace_vaio_attach(disk->name, slot->filter->name, "attach");
	return slot;
}

/* The slot is stopped and no longer in disk->slots. */
static void slot_free(struct vaio_slot *slot)
{
	struct module *owner = slot->owner;

	vaio_event_forget_slot(slot);
	trace_vaio_attach(slot->disk->name, slot->filter->name, "detach");
	if (slot->disk->transform_slot == slot)
		vaio_disk_offer_transform(slot, NULL);
	if (slot->filter->detach)
		slot->filter->detach(slot);
	vaio_own_bios_free(slot->bios);
	vaio_cfg_put(slot->cfg);
	free_percpu(slot->stats);
	kfree(slot);
	module_put(owner);
}

static int slot_start(struct vaio_slot *slot)
{
	int r = slot->filter->start ? slot->filter->start(slot) : 0;

	if (!r)
		slot->state = VAIO_SLOT_STARTED;
	return r;
}

static void slot_stop(struct vaio_slot *slot)
{
	if (slot->state == VAIO_SLOT_STOPPED)
		return;
	if (slot->filter->stop)
		slot->filter->stop(slot);
	slot->state = VAIO_SLOT_STOPPED;
}

/* --- plans ------------------------------------------------------------------ */

static enum vaio_verdict fail_standby(struct vaio_slot *slot, struct vaio_io *io)
{
	io->status = BLK_STS_OFFLINE;
	return VAIO_FAIL;
}

static void plan_up(struct vaio_plan *plan, vaio_hook_fn fn, struct vaio_slot *slot)
{
	struct vaio_hook *hook = &plan->up[plan->nr_up++];

	hook->fn = fn;
	hook->slot = slot;
}

static void plan_down(struct vaio_plan *plan, vaio_hook_fn fn, struct vaio_slot *slot, u8 up_from)
{
	struct vaio_hook *hook = &plan->down[plan->nr_down++];

	hook->fn = fn;
	hook->slot = slot;
	hook->up_from = up_from;
}

static void plan_begin(struct vaio_plan *plan, struct vaio_stack *stack, unsigned int kind)
{
	memset(plan, 0, sizeof(*plan));
	plan->stack = stack;
	plan->stats = &stack->stats->kind[kind];
	plan->kind = kind;
	plan->max_bytes = UINT_MAX;
}

/* The loops of path.h test for an end behind each hook, so they need one. */
static void plan_end_hooks(struct vaio_hook *hooks, unsigned int nr)
{
	if (!nr)
		hooks[nr++].fn = vaio_hook_pass;
	hooks[nr - 1].last = VAIO_LAST_HOOK;
}

static void plan_end(struct vaio_plan *plan)
{
	struct vaio_io io = { .word = 0 };

	plan_end_hooks(plan->down, plan->nr_down);
	plan_end_hooks(plan->up, plan->nr_up);
	io.kind = plan->kind;
	io.up_end = plan->nr_up;
	plan->io_word = io.word;
}

/* Only reads and writes are split: the rest carries no data, and has queue limits. */
static unsigned int max_bytes(struct vaio_slot *const *slots, unsigned int kind)
{
	unsigned int max = UINT_MAX;
	int c;

	if (!(BIT(kind) & (VAIO_K(READ) | VAIO_K_WRITES)))
		return max;
	for_each_class_down(c)
		if (slots[c] && slots[c]->cfg->max_io_sectors)
			max = min(max, slots[c]->cfg->max_io_sectors << SECTOR_SHIFT);
	return max;
}

/* Upward hooks, bottom to top. */
static void build_up(struct vaio_plan *plan, struct vaio_slot *const *slots)
{
	bool flush = plan->kind == VAIO_KIND_FLUSH;
	bool write = !flush && plan->kind != VAIO_KIND_READ;
	int c;

	for_each_class_up(c) {
		struct vaio_slot *slot = slots[c];

		plan->own_up[c] = plan->nr_up;
		if (slot) {
			bool ends_flush = slot->filter->caps & VAIO_CAP_ENDS_FLUSH;

			if (ends_flush && flush)
				plan_up(plan, vaio_flush_leave, slot);
			if (ends_flush && write)
				plan_up(plan, vaio_flush_mark, slot);
			if (slot->cfg->complete & (1U << plan->kind))
				plan_up(plan, slot->filter->complete, slot);
		}
		plan->after_complete[c] = plan->nr_up;
	}
}

/* An io that ends there has no slot above. */
static void build_enter(struct vaio_plan *plan, struct vaio_slot *const *slots)
{
	int c;

	for_each_class_down(c) {
		struct vaio_slot *slot = slots[c];

		if (slot && (slot->cfg->enter & (1U << plan->kind)))
			plan_down(plan, slot->filter->enter, slot, plan->nr_up);
		plan->after_enter[c] = plan->nr_down;
	}
}

/* What a slot's downward hook leaves to unwind begins where complete() ended. */
static void build_down(struct vaio_plan *plan, struct vaio_slot *const *slots)
{
	int c;

	for_each_class_down(c) {
		struct vaio_slot *slot = slots[c];

		if (slot && (slot->cfg->submit & (1U << plan->kind)))
			plan_down(plan, slot->filter->submit, slot, plan->after_complete[c]);
		plan->after_submit[c] = plan->nr_down;
		if (slot && (slot->filter->caps & VAIO_CAP_ENDS_FLUSH) &&
		    plan->kind == VAIO_KIND_FLUSH)
			plan_down(plan, vaio_flush_enter, slot, plan->after_complete[c]);
		plan->own_down[c] = plan->nr_down;
	}
}

/* Upward hooks first, for the downward ones refer to them. */
static void build_plan(struct vaio_stack *stack, struct vaio_slot *const *slots, unsigned int kind)
{
	struct vaio_plan *plan = &stack->plans[kind];
	bool hooks;
	int c;

	plan_begin(plan, stack, kind);
	plan->max_bytes = max_bytes(slots, kind);
	plan->timed = stack->latency;
	for_each_class_down(c)
		if (slots[c] && (slots[c]->filter->caps & VAIO_CAP_TIMESTAMPS))
			plan->timed = true;

	build_up(plan, slots);
	if (plan->timed)
		plan_down(plan, vaio_hook_begin_time, NULL, plan->nr_up);
	build_enter(plan, slots);
	build_down(plan, slots);
	hooks = plan->nr_up || plan->nr_down > plan->timed;
	if (plan->timed)
		plan_up(plan, vaio_hook_end_time, NULL);
	plan_end(plan);
	stack->plan[kind] = hooks || stack->latency ? plan : NULL;
}

static void build_standby(struct vaio_stack *stack)
{
	unsigned int kind;

	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++) {
		struct vaio_plan *plan = &stack->plans[kind];

		plan_begin(plan, stack, kind);
		plan_down(plan, fail_standby, NULL, 0);
		plan_end(plan);
		stack->plan[kind] = plan;
	}
}

/**
 * vaio_plans_build - what each kind of request meets in a stack
 * @stack: gets plan[] and plans[]
 * @slots: of the disk, by class; with their configurations adopted
 *
 * Only while no io is in flight.
 */
void vaio_plans_build(struct vaio_stack *stack, struct vaio_slot *const *slots)
{
	unsigned int kind;
	int c;

	stack->nr_flush_slots = 0;
	stack->no_space = false;
	for_each_class_down(c)
		if (slots[c] && (slots[c]->filter->caps & VAIO_CAP_ENDS_FLUSH))
			stack->flush_slots[stack->nr_flush_slots++] = slots[c];
	if (stack->standby) {
		build_standby(stack);
		return;
	}
	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
		build_plan(stack, slots, kind);
}
VAIO_EXPORT_FOR_KUNIT(vaio_plans_build);

/* --- sidecar ------------------------------------------------------------------ */

static void sidecar_end(struct vaio_disk *disk)
{
	if (!disk->sidecar)
		return;
	/*
	 * "clean" says that the backing device has all, durably, and that the bitmap
	 * has what the last owner left in the intent region
	 */
	if (!disk->flush_failed && !disk->unsettled)
		vaio_sidecar_release(disk->sidecar);
	else if (vaio_sidecar_owes_compare(disk->sidecar))
		vaio_sidecar_set_must_compare(disk->sidecar, true);
	vaio_sidecar_close(disk->sidecar);
	mutex_lock(&disk->lock);
	disk->sidecar = NULL;
	disk->sidecar_path[0] = '\0';
	mutex_unlock(&disk->lock);
	disk->unclean = false;
	disk->unsettled = false;
	disk->flush_failed = false;
}

/* From here on nobody notes in the disk's sidecar what is written. */
static int sidecar_unnoted(struct vaio_disk *disk, struct transition *t)
{
	int r = vaio_sidecar_set_must_compare(disk->sidecar, true);

	if (r)
		snprintf(t->reason, sizeof(t->reason), "sidecar %s cannot be written (error %d)",
			 disk->sidecar_path, r);
	return r;
}

/*
 * The table has another sidecar than the one before, or none. One that fails can be
 * exchanged for another, which will get all that is known.
 */
static int sidecar_leave(struct vaio_disk *disk, struct transition *t)
{
	int r = 0;

	if (disk->sidecar && vaio_sidecar_owned(disk->sidecar))
		r = sidecar_unnoted(disk, t);
	if (r && !t->sidecar)
		return r;
	if (r)
		pr_err("vaio: disk '%s': %s; before it is used again run `vaioctl sidecar adopt`\n",
		       disk->name, t->reason);
	sidecar_end(disk);
	return 0;
}

/**
 * vaio_slot_sidecar - the sidecar of a slot's disk
 * @slot: the slot
 * @unclean: NULL, or is told whether the last owner did not release it
 *
 * From start() to stop(). A sidecar may be unclean again though nothing was written
 * since: a table that failed to start on an unclean one leaves it so.
 *
 * Return: the sidecar or NULL.
 */
struct vaio_sidecar *vaio_slot_sidecar(const struct vaio_slot *slot, bool *unclean)
{
	if (unclean)
		*unclean = slot->disk->unclean;
	if (slot->filter->class == VAIO_CLASS_REPLICATION)
		slot->disk->noted = true;
	return slot->disk->sidecar;
}
EXPORT_SYMBOL_GPL(vaio_slot_sidecar);

/* Open and verify; changes nothing on it. */
static int sidecar_check(struct vaio_stack *stack, struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	struct vaio_sidecar_expect expect = {
		.disk_uuid = stack->geo.uuid,
		.disk_sectors = stack->geo.sectors,
		.block_size = stack->geo.block_size,
		.identity = stack->identity,
	};
	struct vaio_sidecar *sc;

	if (!stack->sidecar_path)
		return 0;
	/*
	 * Another host may have written it since it was read: what was read then must
	 * not be written over it. It is checked as one that is seen for the first time.
	 */
	if (disk->sidecar && !vaio_sidecar_owned(disk->sidecar))
		sidecar_end(disk);
	sc = disk->sidecar;
	if (!sc || strcmp(disk->sidecar_path, stack->sidecar_path)) {
		if (vaio_host_identity(expect.host_id, expect.boot_id)) {
			strscpy(t->reason, "a sidecar needs this host's id: module parameter host_id of vaio is not set",
				sizeof(t->reason));
			return -ENODATA;
		}
		sc = vaio_sidecar_open(stack->sidecar_path, &expect, disk, t->reason,
				       sizeof(t->reason));
		if (IS_ERR(sc))
			return PTR_ERR(sc);
		t->sidecar = sc;
	}
	return vaio_sidecar_check_grow(sc, stack->geo.sectors, t->reason, sizeof(t->reason));
}

/* The sidecar that was opened for the table is the disk's. */
static void sidecar_enter(struct vaio_disk *disk, struct vaio_stack *stack, struct transition *t)
{
	mutex_lock(&disk->lock);
	disk->sidecar = t->sidecar;
	strscpy(disk->sidecar_path, stack->sidecar_path, sizeof(disk->sidecar_path));
	mutex_unlock(&disk->lock);
	t->sidecar = NULL;
}

/* The filters have agreed to the table: make the sidecar ours, or stand by. */
static int sidecar_take(struct vaio_stack *stack, struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	enum vaio_sc_how how = stack->lose_dirty ? VAIO_SC_OWN_LOSE_DIRTY :
			       stack->takeover ? VAIO_SC_OWN_TAKEOVER : VAIO_SC_OWN_NORMAL;
	bool unclean;
	int r;

	stack->standby = false;
	if (t->sidecar && t->sidecar == disk->sidecar) {
		/* the same device by another path: opened twice, and what is known of it stays */
		vaio_sidecar_close(disk->sidecar);
	} else if (t->sidecar || !stack->sidecar_path) {
		r = sidecar_leave(disk, t);
		if (r)
			return r;
	}
	if (!stack->sidecar_path)
		return 0;
	if (t->sidecar) {
		/* a disk that keeps its filter knows bits that are not on its new sidecar */
		if (disk->slots[VAIO_CLASS_REPLICATION] && !t->fresh[VAIO_CLASS_REPLICATION])
			vaio_sidecar_stand_in(t->sidecar);
		sidecar_enter(disk, stack, t);
	}
	r = vaio_sidecar_own(disk->sidecar, how, &unclean, t->reason, sizeof(t->reason));
	if (r == -EBUSY) {
		stack->standby = true;
		return 0;
	}
	if (!r && unclean) {
		disk->unclean = true;
		disk->unsettled = true;
		pr_notice("vaio: disk '%s': sidecar %s was not released by its last owner\n",
			  disk->name, stack->sidecar_path);
	}
	return r;
}

/* --- own I/O on and off --------------------------------------------------------- */

static void below_open(struct vaio_disk *disk)
{
	reinit_completion(&disk->below_dead);
	percpu_ref_reinit(&disk->below);
}

static void below_close(struct vaio_disk *disk)
{
	if (percpu_ref_is_dying(&disk->below))
		return;
	percpu_ref_kill(&disk->below);
	wait_for_completion(&disk->below_dead);
}

/* --- preresume -------------------------------------------------------------------- */

static int refused(struct transition *t, const struct vaio_filter *filter, const char *what,
		   const char *why, int r)
{
	char number[24];

	snprintf(number, sizeof(number), "error %d", r);
	snprintf(t->reason, sizeof(t->reason), "filter '%s' refuses %s: %s", filter->name, what,
		 why ?: number);
	return r;
}

/* What would refuse the table, before anything changes. */
static int check_slots(struct vaio_stack *stack, struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	char *why = NULL;
	int c, r;

	for_each_class_down(c) {
		struct vaio_slot *slot = disk->slots[c];
		struct vaio_slot_cfg *cfg = stack->cfg[c];
		bool stays = slot && cfg && slot->filter == cfg->filter;

		if (slot && !stays && slot->filter->check) {
			r = slot->filter->check(slot, NULL, &why);
			if (r)
				return refused(t, slot->filter, "to be removed", why, r);
		}
		if (cfg && cfg->filter->check) {
			r = cfg->filter->check(stays ? slot : NULL, cfg, &why);
			if (r)
				return refused(t, cfg->filter, "the table", why, r);
		}
	}
	return 0;
}

/* Where the state of a class's slot lies in struct vaio_io, bottom to top. */
static void io_offsets(struct vaio_stack *stack, unsigned int *offset)
{
	unsigned int at = sizeof(struct vaio_io);
	int c;

	for_each_class_up(c) {
		at = ALIGN(at, ARCH_KMALLOC_MINALIGN);
		offset[c] = at;
		if (stack->cfg[c])
			at += stack->cfg[c]->io_size;
	}
}

static void transition_undo(struct transition *t)
{
	int c;

	for_each_class_down(c) {
		if (t->fresh[c])
			slot_free(t->fresh[c]);
		vaio_own_bios_free(t->bios[c]);
	}
	if (t->sidecar)
		vaio_sidecar_close(t->sidecar);
}

/* All that can fail without I/O, and nothing that shows. */
static int transition_prepare(struct vaio_stack *stack, const unsigned int *offset,
			      struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	int c, r;

	r = check_slots(stack, t);
	if (r)
		return r;
	for_each_class_down(c) {
		struct vaio_slot *slot = disk->slots[c];
		struct vaio_slot_cfg *cfg = stack->cfg[c];

		if (!cfg)
			continue;
		if (!slot || slot->filter != cfg->filter) {
			slot = slot_new(disk, cfg);
			if (IS_ERR(slot)) {
				r = PTR_ERR(slot);
				snprintf(t->reason, sizeof(t->reason),
					 "filter '%s' failed to attach: error %d",
					 cfg->filter->name, r);
				return r;
			}
			t->fresh[c] = slot;
		}
		if (cfg->filter->caps & VAIO_CAP_OWN_IO) {
			t->bios[c] = vaio_own_bios_new(offset[c]);
			if (!t->bios[c]) {
				strscpy(t->reason, "not enough memory for own I/O",
					sizeof(t->reason));
				return -ENOMEM;
			}
		}
	}
	return 0;
}

/* Cannot fail. The disk's slots are those of the stack from here on. */
static void transition_commit(struct vaio_stack *stack, const unsigned int *offset,
			      struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	int c;

	mutex_lock(&disk->lock);
	for_each_class_up(c) {
		struct vaio_slot_cfg *cfg = stack->cfg[c], *before;
		struct vaio_slot *slot = disk->slots[c];

		if (slot && (t->fresh[c] || !cfg)) {
			t->gone[c] = slot;
			disk->slots[c] = NULL;
			/* it is stopped, and the slots above must not use it when they start */
			if (disk->transform_slot == slot)
				vaio_disk_offer_transform(slot, NULL);
		}
		if (!cfg)
			continue;
		if (t->fresh[c])
			disk->slots[c] = t->fresh[c];
		slot = disk->slots[c];
		slot->io_offset = offset[c];
		kref_get(&cfg->ref);
		before = slot->cfg;
		slot->cfg = cfg;
		swap(slot->bios, t->bios[c]);
		if (slot->filter->adopt)
			slot->filter->adopt(slot, cfg);
		vaio_cfg_put(before);
	}
	vaio_plans_build(stack, disk->slots);
	disk->stack = stack;
	disk->sectors = stack->geo.sectors;
	disk->offset = stack->geo.offset;
	/* device-mapper has set the limits of this table, which filters have tightened */
	disk->block_size = queue_logical_block_size(dm_disk(disk->md)->queue);
	disk->dev = disk_devt(dm_disk(disk->md));
	disk->backing_dev = stack->bdev->bd_dev;
	strscpy(disk->backing, stack->dev->name, sizeof(disk->backing));
	mutex_unlock(&disk->lock);

	/* an account on the device that the bios will go to */
	bio_uninit(&disk->charge);
	bio_init(&disk->charge, stack->bdev, NULL, 0, 0);

	for_each_class_down(c) {
		vaio_own_bios_free(t->bios[c]);
		t->bios[c] = NULL;
	}
}

/* Start failed: the disk's slots are again those from before. */
static void transition_revert(struct vaio_stack *stack, struct transition *t)
{
	struct vaio_disk *disk = stack->disk;
	int c;

	mutex_lock(&disk->lock);
	disk->stack = NULL;
	for_each_class_down(c)
		if (t->fresh[c] || t->gone[c])
			disk->slots[c] = t->gone[c];
	mutex_unlock(&disk->lock);
}

static int start_slots(struct vaio_disk *disk, struct transition *t)
{
	int c, r;

	below_open(disk);
	disk->noted = false;
	for_each_class_up(c) {
		struct vaio_slot *slot = disk->slots[c];

		if (!slot)
			continue;
		r = slot_start(slot);
		if (r) {
			snprintf(t->reason, sizeof(t->reason), "filter '%s' failed to start: error %d",
				 slot->filter->name, r);
			goto bad;
		}
	}
	if (disk->sidecar && !disk->noted) {
		r = sidecar_unnoted(disk, t);
		if (r)
			goto bad;
	}
	/*
	 * What it grew by has durable bits now, or must-compare is set. Without this write
	 * it counts as new at the next start too.
	 */
	if (disk->sidecar &&
	    vaio_sidecar_grow(disk->sidecar, disk->sectors, t->reason, sizeof(t->reason)))
		pr_err("vaio: disk '%s': its new size is not noted: %s\n", disk->name, t->reason);
	disk->unsettled = false;
	return 0;
bad:
	below_close(disk);
	for_each_class_down(c)
		if (disk->slots[c])
			slot_stop(disk->slots[c]);
	return r;
}

static int make_live(struct vaio_stack *stack)
{
	struct vaio_disk *disk = stack->disk;
	unsigned int offset[VAIO_MAX_SLOTS];
	sector_t before = disk->sectors;
	struct transition *t;
	bool first;
	u64 token;
	int c, r;

	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	mutex_lock(&disk->lifecycle);
	vaio_disk_refresh_name(disk);
	first = !disk->attached;
	io_offsets(stack, offset);

	r = sidecar_check(stack, t);
	if (!r)
		r = transition_prepare(stack, offset, t);
	if (!r)
		r = sidecar_take(stack, t);
	if (r) {
		transition_undo(t);
		goto bad;
	}
	transition_commit(stack, offset, t);
	if (!stack->standby) {
		r = start_slots(disk, t);
		if (r) {
			transition_revert(stack, t);
			transition_undo(t);
			goto bad;
		}
	}
	for_each_class_down(c)
		if (t->gone[c])
			slot_free(t->gone[c]);
	disk->attached = true;
	mutex_unlock(&disk->lifecycle);

	if (stack->standby) {
		pr_warn("vaio: disk '%s': standby: %s\n", disk->name, t->reason);
		vaio_disk_set_state(disk, VAIO_DISK_STANDBY, t->reason);
	} else {
		vaio_disk_activated(disk);
	}
	if (first)
		vaio_event_post(disk, VAIO_EVENT_ATTACH, VAIO_PHASE_NOTIFY, "", 0, 0, &token);
	else if (before != disk->sectors)
		vaio_event_post(disk, VAIO_EVENT_GROW, VAIO_PHASE_NOTIFY, "", 0, 0, &token);
	kfree(t);
	return 0;

bad:
	mutex_unlock(&disk->lifecycle);
	pr_err("vaio: disk '%s': table not activated: %s\n", disk->name, t->reason);
	vaio_disk_set_state(disk, VAIO_DISK_PARKED, t->reason);
	kfree(t);
	return r;
}

/**
 * vaio_stack_preresume - make a table live, or leave all as it was
 * @stack: the stack
 *
 * Called again with the same stack after a plain suspend. No io is in flight.
 * May sleep and do I/O. Return: 0 or a negative errno, logged with its reason.
 */
int vaio_stack_preresume(struct vaio_stack *stack)
{
	unsigned int noio;
	int r;

	/*
	 * What has the disk open, a filesystem that is frozen or swap, gets nowhere before
	 * this has ended: memory must not come from there. When nothing has, all memory
	 * will do; per-CPU counters come from a small reserve without I/O, and many disks
	 * may be made at once.
	 */
	if (!disk_openers(dm_disk(stack->disk->md)))
		return make_live(stack);
	noio = memalloc_noio_save();
	r = make_live(stack);
	memalloc_noio_restore(noio);
	return r;
}
EXPORT_SYMBOL_GPL(vaio_stack_preresume);

static void unquiesce_slots(struct vaio_disk *disk)
{
	int c;

	for_each_class_up(c) {
		struct vaio_slot *slot = disk->slots[c];

		if (!slot || slot->state == VAIO_SLOT_STOPPED)
			continue;
		slot->state = VAIO_SLOT_STARTED;
		if (!slot->quiesced)
			continue;	/* fresh */
		WRITE_ONCE(slot->quiesced, false);
		if (slot->filter->unquiesce)
			slot->filter->unquiesce(slot);
	}
}

/**
 * vaio_stack_resume - I/O may flow
 * @stack: the stack
 *
 * Cannot fail. May sleep.
 */
void vaio_stack_resume(struct vaio_stack *stack)
{
	struct vaio_disk *disk = stack->disk;

	mutex_lock(&disk->lifecycle);
	unquiesce_slots(disk);
	mutex_unlock(&disk->lifecycle);
}
EXPORT_SYMBOL_GPL(vaio_stack_resume);

/**
 * vaio_stack_presuspend - stop what keeps I/O waiting
 * @stack: the stack
 *
 * I/O is still arriving, and freezing a filesystem above will make more. May
 * sleep, bounded by what the filters declare.
 */
void vaio_stack_presuspend(struct vaio_stack *stack)
{
	struct vaio_disk *disk = stack->disk;
	bool noflush = dm_noflush_suspending(stack->ti);
	int c;

	mutex_lock(&disk->lifecycle);
	for_each_class_down(c) {
		struct vaio_slot *slot = disk->slots[c];

		if (!slot || slot->state == VAIO_SLOT_STOPPED)
			continue;
		WRITE_ONCE(slot->quiesced, true);
		slot->state = VAIO_SLOT_QUIESCED;
		if (slot->filter->quiesce)
			slot->filter->quiesce(slot, noflush);
		if (WARN_ON_ONCE(atomic_read(&slot->paced)))
			pr_err("vaio: disk '%s': filter '%s' still paces %d ios after quiesce\n",
			       disk->name, slot->filter->name, atomic_read(&slot->paced));
	}
	mutex_unlock(&disk->lifecycle);
}
EXPORT_SYMBOL_GPL(vaio_stack_presuspend);

/**
 * vaio_stack_presuspend_undo - the suspend was given up
 * @stack: the stack
 */
void vaio_stack_presuspend_undo(struct vaio_stack *stack)
{
	vaio_stack_resume(stack);
}
EXPORT_SYMBOL_GPL(vaio_stack_presuspend_undo);

/**
 * vaio_stack_postsuspend - no guest io is left: commit metadata
 * @stack: the stack
 *
 * May sleep and do I/O.
 */
void vaio_stack_postsuspend(struct vaio_stack *stack)
{
	struct vaio_disk *disk = stack->disk;
	int c;

	mutex_lock(&disk->lifecycle);
	if (disk->stack == stack) {
		if (!stack->standby)
			below_close(disk);
		for_each_class_down(c)
			if (disk->slots[c])
				slot_stop(disk->slots[c]);
		if (disk->sidecar && !stack->standby)
			disk->flush_failed = blkdev_issue_flush(stack->bdev) != 0;
		mutex_lock(&disk->lock);
		disk->stack = NULL;
		mutex_unlock(&disk->lock);
	}
	/* from here on "degraded" is what filters say when they start again */
	cancel_work_sync(&disk->space_work);
	mutex_unlock(&disk->lifecycle);
	vaio_disk_set_state(disk, VAIO_DISK_SUSPENDED, NULL);
}
EXPORT_SYMBOL_GPL(vaio_stack_postsuspend);

/**
 * vaio_slots_teardown - the last table is gone
 * @disk: the disk
 *
 * The slots are stopped, by postsuspend or because they never started. May
 * sleep and do I/O (the sidecar is marked clean).
 */
void vaio_slots_teardown(struct vaio_disk *disk)
{
	struct vaio_slot *gone[VAIO_MAX_SLOTS];
	u64 token;
	int c;

	mutex_lock(&disk->lifecycle);
	mutex_lock(&disk->lock);
	for_each_class_down(c) {
		gone[c] = disk->slots[c];
		disk->slots[c] = NULL;
	}
	mutex_unlock(&disk->lock);
	for_each_class_down(c)
		if (gone[c])
			slot_free(gone[c]);
	cancel_work_sync(&disk->space_work);
	sidecar_end(disk);
	mutex_unlock(&disk->lifecycle);
	if (disk->attached)	/* else nobody has heard of it */
		vaio_event_post(disk, VAIO_EVENT_DETACH, VAIO_PHASE_NOTIFY, "", 0, 0, &token);
}
