// SPDX-License-Identifier: GPL-2.0
/*
 * Groups: their memory, their life, and the records that tell of their state.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "repl.h"

DEFINE_MUTEX(repl_groups_lock);
LIST_HEAD(repl_groups);

static unsigned long ring_budget;
module_param(ring_budget, ulong, 0644);
MODULE_PARM_DESC(ring_budget, "MiB of memory for the rings of all groups; default: a quarter of the host's");
static u64 ring_used;		/* bytes; repl_groups_lock */

#define RING_RECORD	4096	/* bytes of data area for which there is a descriptor */

static u64 budget_bytes(void)
{
	u64 mib = READ_ONCE(ring_budget);

	return mib ? mib << 20 : ((u64)totalram_pages() << PAGE_SHIFT) / 4;
}

/* --- memory ----------------------------------------------------------------- */

static void free_chunk(struct page *page)
{
	unsigned int i;

	/* an agent that still has it mapped keeps the page, not the group */
	for (i = 0; i < VAIO_REPL_CHUNK >> PAGE_SHIFT; i++)
		__free_page(page + i);
}

static struct page *alloc_chunk(void)
{
	unsigned int order = get_order(VAIO_REPL_CHUNK);
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL,
					order);

	/* adjacent, but each a page of its own: so they can be mapped */
	if (page)
		split_page(page, order);
	return page;
}

static void free_memory(struct repl_group *g)
{
	unsigned int i;

	for (i = 0; g->chunk && i < g->nr_chunks; i++)
		if (g->chunk[i])
			free_chunk(g->chunk[i]);
	kvfree(g->chunk);
	vfree(g->control);
	vfree(g->hints);
	vfree(g->ring.desc);
	kvfree(g->ring.rec);
}

static int alloc_memory(struct repl_group *g)
{
	u32 nr = roundup_pow_of_two(div_u64(g->props.ring_bytes, RING_RECORD));
	struct vaio_repl_desc *desc;
	struct repl_rec *rec;
	unsigned int i;

	g->nr_chunks = div_u64(g->props.ring_bytes, VAIO_REPL_CHUNK) + 1;
	g->chunk = kvcalloc(g->nr_chunks, sizeof(*g->chunk), GFP_KERNEL);
	g->control = vmalloc_user(PAGE_SIZE);
	g->hints = vmalloc_user(PAGE_SIZE);
	desc = vmalloc_user(nr * sizeof(*desc));
	rec = kvcalloc(nr, sizeof(*rec), GFP_KERNEL);
	ring_init(&g->ring, nr, VAIO_REPL_CHUNK, g->props.ring_bytes, rec, desc);
	if (!g->chunk || !g->control || !g->hints || !desc || !rec)
		return -ENOMEM;
	for (i = 0; i < g->nr_chunks; i++) {
		g->chunk[i] = alloc_chunk();
		if (!g->chunk[i])
			return -ENOMEM;
		cond_resched();
	}
	return 0;
}

u64 repl_group_slot_pos(const struct repl_group *g, u32 slot)
{
	return g->ring.bytes + (u64)slot * VAIO_REPL_SLOT;
}

/* --- life -------------------------------------------------------------------- */

static struct repl_group *find_locked(const char *name)
{
	struct repl_group *g;

	lockdep_assert_held(&repl_groups_lock);
	list_for_each_entry(g, &repl_groups, list)
		if (!strcmp(g->name, name))
			return g;
	return NULL;
}

struct repl_group *repl_group_find(const char *name)
{
	struct repl_group *g;

	mutex_lock(&repl_groups_lock);
	g = find_locked(name);
	if (g)
		kref_get(&g->ref);
	mutex_unlock(&repl_groups_lock);
	return g;
}

static void group_free(struct kref *ref)
{
	struct repl_group *g = container_of(ref, struct repl_group, ref);
	u64 bytes = g->props.ring_bytes;

	cancel_delayed_work_sync(&g->loss_work);
	destroy_workqueue(g->wq);
	/* a write that looked at its disk's group just before the disk left it */
	synchronize_rcu();
	free_memory(g);
	kfree(g);
	mutex_lock(&repl_groups_lock);
	ring_used -= bytes;
	mutex_unlock(&repl_groups_lock);
}

/* May sleep. Not under repl_groups_lock. */
void repl_group_put(struct repl_group *g)
{
	kref_put(&g->ref, group_free);
}

static struct repl_group *group_alloc(const char *name, const struct repl_props *props)
{
	struct repl_group *g = kzalloc(sizeof(*g), GFP_KERNEL);

	if (!g)
		return NULL;
	kref_init(&g->ref);
	INIT_LIST_HEAD(&g->list);
	strscpy(g->name, name, sizeof(g->name));
	uuid_gen(&g->uuid);
	uuid_gen(&g->ring_id);
	mutex_init(&g->config);
	spin_lock_init(&g->lock);
	g->props = *props;
	INIT_LIST_HEAD(&g->stalled);
	INIT_LIST_HEAD(&g->held);
	INIT_DELAYED_WORK(&g->loss_work, repl_loss_work);
	g->epoch = 1;
	g->agent_gone = jiffies;
	g->progress_ns = ktime_get_ns();
	g->wq = alloc_workqueue("vaio-repl-%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0, name);
	if (!g->wq) {
		kfree(g);
		return NULL;
	}
	if (alloc_memory(g)) {
		destroy_workqueue(g->wq);
		free_memory(g);
		kfree(g);
		return NULL;
	}
	g->control->magic = VAIO_REPL_MAGIC;
	g->control->version = VAIO_REPL_VERSION;
	g->control->epoch = g->epoch;
	return g;
}

/* Takes the ring's memory out of the host's budget. */
static int reserve_budget(const char *name, u64 bytes, char **error)
{
	u64 budget = budget_bytes();
	int err = 0;

	mutex_lock(&repl_groups_lock);
	if (find_locked(name)) {
		*error = vaio_cfg_error(NULL, "there is a group '%s' already", name);
		err = -EEXIST;
	} else if (ring_used + bytes > budget) {
		*error = vaio_cfg_error(NULL, "a ring of %llu MiB does not fit: %llu of %llu MiB are taken; module parameter ring_budget of vaio_replication",
					bytes >> 20, ring_used >> 20, budget >> 20);
		err = -ENOSPC;
	} else {
		ring_used += bytes;
	}
	mutex_unlock(&repl_groups_lock);
	return err;
}

static void return_budget(u64 bytes)
{
	mutex_lock(&repl_groups_lock);
	ring_used -= bytes;
	mutex_unlock(&repl_groups_lock);
}

/**
 * repl_group_new - make a group
 * @name: letters, digits, '-' and '_'
 * @props: its properties
 * @error: gets a sentence on failure
 *
 * May sleep. Return: 0; -EINVAL, -EEXIST, -ENOSPC (host's budget), -ENOMEM.
 */
int repl_group_new(const char *name, const struct repl_props *props, char **error)
{
	struct repl_group *g, *other;
	size_t i, len = strlen(name);
	int err;

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || (!isalnum(name[i]) && name[i] != '-' && name[i] != '_'))
			break;
	if (!len || i < len || len >= VAIO_NAME_LEN || !strcmp(name, "none")) {
		*error = vaio_cfg_error(NULL, "'%.*s' is no name of a group: 1 to %d letters, digits, '-' and '_', and not 'none'",
					VAIO_NAME_LEN, name, VAIO_NAME_LEN - 1);
		return -EINVAL;
	}
	err = reserve_budget(name, props->ring_bytes, error);
	if (err)
		return err;
	g = group_alloc(name, props);
	if (!g) {
		return_budget(props->ring_bytes);
		*error = vaio_cfg_error(NULL, "not enough memory for a ring of %llu MiB in contiguous pieces of 4 MiB",
					props->ring_bytes >> 20);
		return -ENOMEM;
	}
	mutex_lock(&repl_groups_lock);
	other = find_locked(name);
	if (!other)
		list_add_tail(&g->list, &repl_groups);
	mutex_unlock(&repl_groups_lock);
	if (other) {
		*error = vaio_cfg_error(NULL, "there is a group '%s' already", name);
		repl_group_put(g);
		return -EEXIST;
	}
	return 0;
}

static void unlist(struct repl_group *g)
{
	mutex_lock(&repl_groups_lock);
	list_del_init(&g->list);
	mutex_unlock(&repl_groups_lock);
}

/**
 * repl_group_delete - delete a group that has no disks
 * @name: of the group
 * @error: gets a sentence on failure
 *
 * May sleep. An agent that has bound it keeps its memory. Return: 0, -ENOENT or
 * -EBUSY.
 */
int repl_group_delete(const char *name, char **error)
{
	struct repl_group *g = repl_group_find(name);
	int i, err = 0;

	if (!g) {
		*error = vaio_cfg_error(NULL, "there is no group '%s'", name);
		return -ENOENT;
	}
	mutex_lock(&g->config);
	for (i = 0; i < VAIO_REPL_MEMBERS && !err; i++) {
		if (!g->member[i])
			continue;
		*error = vaio_cfg_error(NULL, "disk '%s' is in group '%s'; `vaioctl group remove` takes it out",
					vaio_disk_name(g->member[i]->slot->disk), name);
		err = -EBUSY;
	}
	if (!err && g->dead)
		err = -ENOENT;
	if (!err)
		g->dead = true;
	mutex_unlock(&g->config);
	if (!err) {
		unlist(g);
		repl_agent_gone(g, "the group was deleted");
		repl_group_put(g);
	}
	repl_group_put(g);
	return err;
}

/* The module goes: disks hold it, agents hold it, so no group has either. */
void repl_groups_exit(void)
{
	struct repl_group *g;

	while ((g = list_first_entry_or_null(&repl_groups, struct repl_group, list))) {
		unlist(g);
		repl_group_put(g);
	}
}

/* Its config is held. */
void repl_group_change(struct repl_group *g, const struct repl_props *props)
{
	spin_lock_irq(&g->lock);
	g->props = *props;
	repl_policy_changed(g);
	repl_changed(g);
	spin_unlock_irq(&g->lock);
	mod_delayed_work(g->wq, &g->loss_work, 0);
}

/* --- records and state ------------------------------------------------------- */

static const char *const state_names[] = {
	[VAIO_REPL_S_TRACKING]		= "tracking",
	[VAIO_REPL_S_RESYNC]		= "resync",
	[VAIO_REPL_S_REPLICATING]	= "replicating",
};

const char *repl_state_name(enum vaio_repl_state state)
{
	return state_names[state];
}

/* The first record that waits for the agent: the watchdog's time begins. */
void repl_backlog_begins(struct repl_group *g)
{
	g->backlog_since = jiffies;
	repl_watch(g);
}

/* The agent asked to be told. */
void repl_wake_agent(struct repl_group *g)
{
	if (g->eventfd)
		vaio_eventfd_signal(g->eventfd);
}

/* State, members or binding changed: tell the agent. */
void repl_changed(struct repl_group *g)
{
	g->control->state = g->state;
	WRITE_ONCE(g->control->epoch, g->epoch);
	smp_store_release(&g->control->changes, g->control->changes + 1);
	if (g->eventfd)
		vaio_eventfd_signal(g->eventfd);
}

/* A record without payload. 0 or -ENOSPC. */
int repl_control(struct repl_group *g, u8 type, u16 member, u64 aux)
{
	u64 seq, pos, before = g->ring.published;
	int err = ring_append(&g->ring, type, 0, 1, &seq, &pos);

	if (err)
		return err;
	repl_fill_record(g, seq, member, 0, 0, 0, 0, aux, 0);
	ring_local_done(&g->ring, seq);
	if (ring_ready(&g->ring, seq))
		repl_published(g, before);
	return 0;
}

/*
 * Disks that left for good. What the agent does not read before the records are given
 * up, and what is not captured at all, is told again with the next capture: else the
 * replica would show the disk, as it was, at all later points.
 */
void repl_gone(struct repl_group *g, const struct repl_member *m)
{
	__set_bit(m->id, g->gone);
	g->gone_seq[m->id] = 0;
	uuid_copy(&g->gone_uuid[m->id], vaio_disk_uuid(m->slot->disk));
}

/* The disk is in the group again. */
static bool gone_is_back(struct repl_group *g, unsigned int id)
{
	int i;

	for (i = 0; i < VAIO_REPL_MEMBERS; i++)
		if (g->member[i] && !g->member[i]->leaving &&
		    uuid_equal(&g->gone_uuid[id], vaio_disk_uuid(g->member[i]->slot->disk)))
			return true;
	return false;
}

/* What was not told yet. 0 or -ENOSPC. */
int repl_tell_gone(struct repl_group *g)
{
	unsigned int id;
	int err;

	for_each_set_bit(id, g->gone, VAIO_REPL_MEMBERS) {
		if (g->gone_seq[id])
			continue;
		if (gone_is_back(g, id)) {
			__clear_bit(id, g->gone);
			continue;
		}
		err = repl_control(g, VAIO_REPL_MEMBER_DOWN, id, 1);
		if (err)
			return err;
		g->gone_seq[id] = g->ring.next - 1;
	}
	return 0;
}

/* Records became durable on the replica. */
void repl_gone_told(struct repl_group *g)
{
	unsigned int id;

	for_each_set_bit(id, g->gone, VAIO_REPL_MEMBERS)
		if (g->gone_seq[id] && g->gone_seq[id] <= g->ring.durable)
			__clear_bit(id, g->gone);
}

/* Records that are not acknowledged are given up. */
void repl_gone_given_up(struct repl_group *g)
{
	unsigned int id;

	for_each_set_bit(id, g->gone, VAIO_REPL_MEMBERS)
		if (g->gone_seq[id] > g->ring.durable)
			g->gone_seq[id] = 0;
}

/* RESYNC_BEGIN or RESYNC_END; when there is no room it is tried again later. */
static bool tell_resync(struct repl_group *g, bool begin)
{
	if (repl_control(g, begin ? VAIO_REPL_RESYNC_BEGIN : VAIO_REPL_RESYNC_END, REPL_NO_MEMBER,
			 begin ? g->gap : 0)) {
		g->tell_again = true;
		repl_watch(g);
		return false;
	}
	g->in_resync = begin;
	g->tell_again = false;
	if (begin)
		g->gap = 0;
	return true;
}

/* All disks are equal: what was noted while they were not is over. */
static void all_clean(struct repl_group *g)
{
	int i;

	g->reason[0] = '\0';
	for (i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct repl_member *m = g->member[i];

		if (!m)
			continue;
		spin_lock(&m->lock);
		m->lost = false;
		m->unreadable = false;
		m->clear_compare = m->compared;
		repl_want_alone(m, false);
		if (m->running)
			queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
		spin_unlock(&m->lock);
	}
}

/**
 * repl_update_state - make the group's state what its disks are
 * @g: the group, locked
 *
 * After anything that may have changed a disk's bits or its capture.
 */
void repl_update_state(struct repl_group *g)
{
	enum vaio_repl_state state = VAIO_REPL_S_REPLICATING;
	bool captured = false;
	int i;

	for (i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct repl_member *m = g->member[i];

		if (!m)
			continue;
		captured |= m->capturing;
		spin_lock(&m->lock);
		if (!m->capturing || !track_clean(&m->track))
			state = VAIO_REPL_S_RESYNC;
		spin_unlock(&m->lock);
	}
	if (!captured)
		state = VAIO_REPL_S_TRACKING;
	else if (!g->in_resync && (state == VAIO_REPL_S_RESYNC || g->state == VAIO_REPL_S_TRACKING) &&
		 !tell_resync(g, true))
		state = VAIO_REPL_S_RESYNC;
	if (state == VAIO_REPL_S_REPLICATING && g->in_resync && !tell_resync(g, false))
		state = VAIO_REPL_S_RESYNC;
	if (state == g->state)
		return;
	g->state = state;
	if (state == VAIO_REPL_S_REPLICATING) {
		all_clean(g);
		repl_held_go(g);
	}
	repl_changed(g);
}

/**
 * repl_mark - a named place in the order of writes
 * @g: the group
 * @name: of the checkpoint; empty: a barrier
 * @seq: gets the record's sequence
 *
 * Any process context. Return: 0; -ENOSPC: the ring is full; -ENOTCONN: nothing
 * is captured.
 */
int repl_mark(struct repl_group *g, const char *name, u64 *seq)
{
	u32 len = strlen(name);
	u64 pos, before;
	int err = -ENOTCONN;

	spin_lock_irq(&g->lock);
	before = g->ring.published;
	if (g->state != VAIO_REPL_S_TRACKING)
		err = ring_append(&g->ring, len ? VAIO_REPL_CHECKPOINT : VAIO_REPL_BARRIER, len,
				  SECTOR_SIZE, seq, &pos);
	if (!err) {
		memcpy(repl_group_data(g, pos), name, len);
		repl_fill_record(g, *seq, REPL_NO_MEMBER, 0, 0, pos, len, len, 0);
		ring_local_done(&g->ring, *seq);
		if (ring_ready(&g->ring, *seq))
			repl_published(g, before);
	}
	spin_unlock_irq(&g->lock);
	return err;
}
