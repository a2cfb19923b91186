// SPDX-License-Identifier: GPL-2.0
/*
 * A disk that can be replicated: the life of the filter's slot, and its way into
 * a group and out of it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "repl.h"

/* --- tables ------------------------------------------------------------------ */

static void repl_unparse(struct vaio_slot_cfg *cfg)
{
	kfree(cfg->priv);
	cfg->priv = NULL;
}

static int repl_parse(struct vaio_slot_cfg *cfg, char **error)
{
	cfg->priv = kzalloc(sizeof(struct repl_table), GFP_KERNEL);
	if (!cfg->priv) {
		*error = "no memory";
		return -ENOMEM;
	}
	cfg->max_io_sectors = REPL_MAX_SECTORS;
	return repl_table_parse(cfg, cfg->priv, error);
}

/* --- groups ------------------------------------------------------------------- */

/* For a disk that joins. Those of disks whose leaving is yet to be told come last. Locked. */
static int free_index(struct repl_group *g)
{
	int id, gone = -ENOSPC;

	for (id = 0; id < VAIO_REPL_MEMBERS; id++) {
		if (g->member[id])
			continue;
		if (!test_bit(id, g->gone))
			return id;
		gone = id;
	}
	return gone;
}

/* Into a group that is locked by config. */
static int join(struct repl_group *g, struct repl_member *m)
{
	int id;

	spin_lock_irq(&g->lock);
	id = free_index(g);
	if (id < 0) {
		spin_unlock_irq(&g->lock);
		return id;
	}
	spin_lock(&m->lock);
	if (rcu_access_pointer(m->group)) {
		spin_unlock(&m->lock);
		spin_unlock_irq(&g->lock);
		return -EBUSY;
	}
	kref_get(&g->ref);
	m->id = id;
	m->captured = 0;
	m->capturing = false;
	m->leaving = false;
	__clear_bit(id, g->gone);
	g->member[id] = m;
	rcu_assign_pointer(m->group, g);
	spin_unlock(&m->lock);
	repl_update_state(g);
	repl_changed(g);
	spin_unlock_irq(&g->lock);
	return 0;
}

static int join_by_name(struct repl_member *m, const char *name, char **error)
{
	struct repl_group *g = repl_group_find(name);
	int err = -ENOENT;

	if (g) {
		mutex_lock(&g->config);
		if (!g->dead)
			err = join(g, m);
		mutex_unlock(&g->config);
		repl_group_put(g);
	}
	if (err == -ENOENT)
		*error = vaio_cfg_error(NULL, "group: there is no group '%s'; `vaioctl group create %s` makes it",
					name, name);
	else if (err == -EBUSY)
		*error = "group: the disk is in a group; it has to leave that first (none)";
	else if (err)
		*error = vaio_cfg_error(NULL, "group: group '%s' has %d disks already, the most there may be",
					name, VAIO_REPL_MEMBERS);
	return err;
}

/*
 * The ring's records are none of the disk's any more: what is not acknowledged is
 * dirty. Writes that waited for the replica are put on @done. The group is locked.
 */
static void disown_records(struct repl_group *g, struct repl_member *m, struct list_head *done)
{
	struct repl_io *r, *next;
	u64 seq;

	list_for_each_entry_safe(r, next, &g->held, range.entry) {
		if (r->m != m)
			continue;
		list_move_tail(&r->range.entry, done);
		repl_unlisted(r);
	}
	for (seq = g->ring.retired + 1; seq < g->ring.next; seq++) {
		struct repl_rec *rec = ring_rec(&g->ring, seq);

		r = rec->waiter;
		if (rec->member != m->id)
			continue;
		if (seq > g->ring.durable && rec->slot == REPL_NO_SLOT) {
			spin_lock(&m->lock);
			repl_mark_lacking(m, rec->first, rec->sectors);
			spin_unlock(&m->lock);
		}
		if (r) {
			rec->waiter = NULL;
			g->waiters--;
			m->captured--;
			repl_unlisted(r);
			list_add_tail(&r->range.entry, done);
		}
	}
}

/* Nothing that is known of the disk's bytes counts. Both locks are held, or it has no group. */
static void distrust(struct repl_member *m)
{
	m->distrust = true;
	m->compared = false;
	m->clear_compare = false;
}

/*
 * Capture of the disk ends, and the agent reads so before anything that was written
 * after it. The group is locked.
 */
static void begin_leaving(struct repl_group *g, struct repl_member *m, bool for_good,
			  struct list_head *done)
{
	bool first = !m->leaving;

	m->leaving = true;
	if (first && for_good)
		repl_gone(g, m);
	if (first && g->state != VAIO_REPL_S_TRACKING &&
	    (for_good ? repl_tell_gone(g) : repl_control(g, VAIO_REPL_MEMBER_DOWN, m->id, 0)))
		repl_flip(g, "a disk left while the ring was full");
	m->capturing = false;
	spin_lock(&m->lock);
	track_back_all(&m->track);
	/* what another group's replica makes of the bits says nothing of this one's */
	if (for_good)
		distrust(m);
	spin_unlock(&m->lock);
	disown_records(g, m, done);
	repl_unstall(g);
}

/* Out of the group. Nothing of the disk is in its hands. */
static void leave(struct repl_group *g, struct repl_member *m)
{
	u64 seq;
	u32 i;

	mutex_lock(&g->config);
	spin_lock_irq(&g->lock);
	/* the index may become another disk's before its last record is retired */
	for (seq = g->ring.retired + 1; seq < g->ring.next; seq++)
		if (ring_rec(&g->ring, seq)->member == m->id)
			ring_rec(&g->ring, seq)->member = REPL_NO_MEMBER;
	g->member[m->id] = NULL;
	repl_resync_leave(g, m);
	spin_lock(&m->lock);
	/* another group has other sequences */
	for (i = 0; m->loaded && i < m->intent.cap; i++)
		m->intent.slot[i].seq = 0;
	/* what was spilled is dirty now, or acknowledged */
	if (m->loaded) {
		track_spill_end(&m->track, 1);
		track_spill_drop(&m->track, U64_MAX);
	}
	m->lost = false;
	m->unreadable = false;
	m->leaving = false;
	rcu_assign_pointer(m->group, NULL);
	spin_unlock(&m->lock);
	repl_update_state(g);
	repl_changed(g);
	spin_unlock_irq(&g->lock);
	mutex_unlock(&g->config);
	repl_group_put(g);
}

/* From the disk's worker, whenever something that held it up is over. */
void repl_member_leave(struct repl_member *m)
{
	struct repl_group *g = rcu_dereference_protected(m->group, true /* leaving */);
	bool ready;

	spin_lock_irq(&g->lock);
	ready = !m->captured;
	spin_unlock_irq(&g->lock);
	if (ready && !repl_resync_busy(m))
		leave(g, m);
}

static void end_all(struct list_head *done)
{
	struct repl_io *r, *next;

	list_for_each_entry_safe(r, next, done, range.entry)
		vaio_io_continue(r->io);
}

struct repl_group *repl_member_group(struct repl_member *m)
{
	struct repl_group *g;

	rcu_read_lock();
	g = rcu_dereference(m->group);
	if (g && !kref_get_unless_zero(&g->ref))
		g = NULL;
	rcu_read_unlock();
	return g;
}

int repl_member_move(struct repl_member *m, const char *name, char **error)
{
	struct repl_group *g = repl_member_group(m);
	LIST_HEAD(done);
	int err = 0;

	if (strcmp(name, "none")) {
		if (!g)
			return join_by_name(m, name, error);
		*error = vaio_cfg_error(NULL, "group: the disk is in group '%s'; it has to leave that first (none)",
					g->name);
		err = -EBUSY;
	} else if (!g) {
		*error = "group: the disk is in no group";
		err = -ENOENT;
	} else if (!READ_ONCE(m->running)) {
		*error = "group: the disk is suspended and cannot leave its group now";
		err = -EBUSY;
	} else {
		spin_lock_irq(&g->lock);
		/* it may have left meanwhile */
		if (rcu_access_pointer(m->group) == g && !m->leaving) {
			begin_leaving(g, m, true, &done);
			/* where the table put it; it does not go back there by itself */
			m->want[0] = '\0';
			queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
		} else {
			*error = "group: the disk is leaving its group already";
			err = -ENOENT;
		}
		spin_unlock_irq(&g->lock);
		end_all(&done);
	}
	if (g)
		repl_group_put(g);
	return err;
}

/* group->lock held */
const char *repl_member_state(struct repl_member *m)
{
	if (!m->running)
		return "down";
	if (!m->capturing)
		return "waiting";
	if (m->track.check.count)
		return "checking";
	return track_clean(&m->track) ? "clean" : "resync";
}

/* --- the slot ----------------------------------------------------------------- */

static void repl_detach(struct vaio_slot *slot)
{
	struct vaio_sidecar *sc = vaio_slot_sidecar(slot, NULL);
	struct repl_member *m = slot->priv;
	struct repl_group *g;
	LIST_HEAD(done);

	/* there is no next start that would tell it */
	if (m->distrust && m->loaded && sc && !vaio_sidecar_set_must_compare(sc, true))
		m->distrust = false;
	if (m->distrust && m->loaded && m->table && !m->table->no_sidecar)
		pr_warn("disk '%s': its sidecar could not be told that all of it is to be compared; `vaioctl sidecar adopt` notes that\n",
			vaio_disk_name(slot->disk));
	/* it may be at leaving */
	cancel_work_sync(&m->sidecar_work);
	g = rcu_dereference_protected(m->group, true /* no io is left */);
	if (g) {
		spin_lock_irq(&g->lock);
		begin_leaving(g, m, false, &done);
		spin_unlock_irq(&g->lock);
		leave(g, m);
	}
	/* an acknowledgement, or what the agent marked, may have kicked them since the disk stopped */
	cancel_delayed_work_sync(&m->resync_work);
	cancel_delayed_work_sync(&m->cool_work);
	cancel_work_sync(&m->sidecar_work);
	track_free(&m->track);
	intent_free(&m->intent);
	free_page((unsigned long)m->page);
	kfree(m->picks);
	kvfree(m);
	slot->priv = NULL;
}

static int repl_attach(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct repl_member *m = kvzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	slot->priv = m;
	m->slot = slot;
	spin_lock_init(&m->lock);
	mutex_init(&m->pages);
	overlap_init(&m->overlap);
	INIT_LIST_HEAD(&m->intent_wait);
	INIT_LIST_HEAD(&m->cap_wait);
	INIT_LIST_HEAD(&m->alone_wait);
	INIT_LIST_HEAD(&m->resume);
	INIT_WORK(&m->resume_work, repl_resume_work);
	INIT_WORK(&m->intent_work, repl_intent_work);
	INIT_WORK(&m->sidecar_work, repl_sidecar_work);
	INIT_DELAYED_WORK(&m->cool_work, repl_cool_work);
	repl_resync_init(m);
	m->page = (void *)get_zeroed_page(GFP_KERNEL);
	m->picks = kcalloc(REPL_PICKS, sizeof(*m->picks), GFP_KERNEL);
	if (!m->page || !m->picks) {
		repl_detach(slot);
		return -ENOMEM;
	}
	return 0;
}

static void repl_adopt(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	const struct repl_table *table = cfg->priv;
	struct repl_member *m = slot->priv;

	m->align = cfg->geo->block_size;
	/* the same table again does not undo what was changed since */
	if (m->table != table)
		strscpy(m->want, table->group, sizeof(m->want));
	m->table = table;
}

static int repl_check(struct vaio_slot *slot, struct vaio_slot_cfg *cfg, char **error)
{
	const struct repl_member *m = slot ? slot->priv : NULL;

	if (cfg && m && m->loaded && cfg->geo->sectors < m->sectors) {
		*error = vaio_cfg_error(cfg, "the disk has %llu sectors and cannot become smaller (%llu)",
					m->sectors, (u64)cfg->geo->sectors);
		return -EINVAL;
	}
	return 0;
}

/*
 * Nothing is read or written here, but the group goes on: an acknowledgement, or a gap
 * that another disk begins, changes the bits of this one at any time.
 */
static void grow_bits(struct repl_member *m, struct repl_track *track, struct repl_intent *intent)
{
	u64 word = 0;
	bool more;

	mutex_lock(&m->pages);
	track_grow_begin(&m->track, track);
	intent_grow_begin(&m->intent, intent);
	do {
		spin_lock_irq(&m->lock);
		more = track_grow_some(&m->track, track, &word);
		if (!more) {
			track_grow_end(&m->track, track);
			intent_grow_end(&m->intent, intent);
		}
		spin_unlock_irq(&m->lock);
		cond_resched();
	} while (more);
	mutex_unlock(&m->pages);
}

/* Bits for the disk as large as it is now. */
static int size_bits(struct repl_member *m, u64 sectors)
{
	const struct repl_table *table = m->slot->cfg->priv;
	struct repl_intent intent;
	struct repl_track track;
	int err;

	if (m->loaded && sectors == m->sectors)
		return 0;
	err = track_init(&track, VAIO_SC_BITMAP_SHIFT - SECTOR_SHIFT, sectors);
	if (err)
		return err;
	err = intent_init(&intent, sectors, m->loaded ? m->intent.cap : table->intent_cap);
	if (err) {
		track_free(&track);
		return err;
	}
	if (m->loaded) {
		grow_bits(m, &track, &intent);
	} else {
		/* for those of a start that failed */
		spin_lock_irq(&m->lock);
		swap(m->track, track);
		swap(m->intent, intent);
		spin_unlock_irq(&m->lock);
	}
	track_free(&track);
	intent_free(&intent);
	return 0;
}

/* @same: the sidecar is the one that it had */
static void note_super(struct repl_member *m, const struct vaio_sc_super *sb, bool same)
{
	bool alone = sb->flags & VAIO_SC_F_ALONE;

	m->generation = sb->current_gen;
	m->previous_generation = sb->previous_gen;
	m->alone_generation = sb->alone_gen;
	if (!alone)
		m->alone_generation = sb->current_gen;
	if (!m->loaded) {
		m->alone_want = m->alone_is = m->alone_noted = alone;
	} else if (!same) {
		m->alone_noted = alone;
		m->alone_is = false;
	}
}

/* The sidecar: read it, or know it already. */
static int take_sidecar(struct repl_member *m, bool unclean)
{
	struct vaio_sc_super *sb = kvmalloc(sizeof(*sb), GFP_KERNEL);
	bool same;
	int err = 0;
	u64 had;

	if (!sb)
		return -ENOMEM;
	vaio_sidecar_get(m->sc, sb);
	had = sb->disk_bytes >> SECTOR_SHIFT;
	same = m->loaded && !memcmp(sb->sidecar_uuid, m->sc_uuid, sizeof(m->sc_uuid));
	note_super(m, sb, same);
	if (!same) {
		mutex_lock(&m->pages);
		/* a new sidecar of a disk that is known gets all that is known */
		spin_lock_irq(&m->lock);
		if (m->loaded) {
			bits_set(&m->track.must, 0, m->track.pages - 1);
		} else {
			m->loaded = true;
			/* it grew while nobody watched: no page has bits for what is new */
			if (had)
				repl_mark_lacking(m, had, m->sectors);
		}
		spin_unlock_irq(&m->lock);
		err = repl_load(m, unclean);
		/* what is known is on it: else that it is not */
		if (!err && (m->must_compare || vaio_sidecar_stands_in(m->sc)))
			err = vaio_sidecar_set_must_compare(m->sc, m->must_compare);
		/* else the next start has to read it again */
		if (err != -ENOENT && err != -ENOMEM)
			memcpy(m->sc_uuid, sb->sidecar_uuid, sizeof(m->sc_uuid));
		mutex_unlock(&m->pages);
	} else if (had < m->sectors) {
		/* the new size is noted when this has started: first the bits for it */
		mutex_lock(&m->pages);
		err = repl_write_pages(m, false);
		mutex_unlock(&m->pages);
	}
	kvfree(sb);
	return err;
}

/* group->lock held */
static void tell_size(struct repl_group *g, struct repl_member *m, u64 before)
{
	if (m->capturing && before != m->sectors &&
	    repl_control(g, VAIO_REPL_GROW, m->id, m->sectors << SECTOR_SHIFT))
		/* no room to say it: the agent asks for the members when it begins anew */
		repl_flip(g, "a disk grew while the ring was full");
}

/* The group that a table asks for; a table that asks for none leaves it as it is. */
static int group_of_table(struct repl_member *m, char **error)
{
	struct repl_group *g;
	LIST_HEAD(none);

	if (!m->want[0])
		return 0;
	/* it may be at leaving */
	cancel_work_sync(&m->sidecar_work);
	g = rcu_dereference_protected(m->group, true /* lifecycle */);
	if (g && !m->leaving && !strcmp(g->name, m->want))
		return 0;
	if (g) {
		spin_lock_irq(&g->lock);
		begin_leaving(g, m, true, &none);
		spin_unlock_irq(&g->lock);
		leave(g, m);
	}
	return join_by_name(m, m->want, error);
}

static void note_running(struct repl_member *m)
{
	unsigned long flags;

	spin_lock_irqsave(&m->lock, flags);
	m->running = true;
	m->quiesced = m->noflush = m->no_wait = false;
	spin_unlock_irqrestore(&m->lock, flags);
}

static int do_start(struct vaio_slot *slot)
{
	const struct repl_table *table = slot->cfg->priv;
	struct repl_member *m = slot->priv;
	u64 sectors = vaio_disk_sectors(slot->disk), before = m->sectors;
	struct repl_group *g;
	bool unclean = false, well;
	char *error = NULL;
	int err;

	m->sc = table->no_sidecar ? NULL : vaio_slot_sidecar(slot, &unclean);
	if (!m->sc && !table->no_sidecar) {
		pr_err("disk '%s': replication needs a sidecar, or the words 'sidecar none'\n",
		       vaio_disk_name(slot->disk));
		return -ENODATA;
	}
	err = size_bits(m, sectors);
	if (err)
		return err;
	/* from here on there are bits for all of it */
	spin_lock_irq(&m->lock);
	m->sectors = sectors;
	spin_unlock_irq(&m->lock);
	m->sidecar_bad = m->flush_bad = m->clearing = m->note_compare = false;
	m->flush_failing = 0;
	if (m->sc) {
		err = take_sidecar(m, unclean);
		if (err == -ENOENT || err == -ENOMEM)
			return err;
	} else {
		/* the one that it had knows nothing of what is written from now on */
		memset(m->sc_uuid, 0, sizeof(m->sc_uuid));
	}
	m->loaded = true;
	/* of a sidecar that could not be written, to the end */
	if (m->sc && !err && vaio_sidecar_owes_compare(m->sc))
		err = vaio_sidecar_set_must_compare(m->sc, true);
	m->durable = m->sc && !err;
	well = !err;

	err = group_of_table(m, &error);
	/* it may have left a group, whatever came of the next one */
	repl_note_distrust(m);
	if (err) {
		pr_err("disk '%s': %s\n", vaio_disk_name(slot->disk), error);
		return err;
	}
	if (!well)
		repl_sidecar_failed(m);
	g = repl_member_group(m);
	if (g) {
		spin_lock_irq(&g->lock);
		/* the replica hears of what it grew by before a resync of that can begin */
		if (before)
			tell_size(g, m, before);
		note_running(m);
		repl_update_state(g);
		repl_changed(g);
		spin_unlock_irq(&g->lock);
		repl_group_put(g);
	} else {
		note_running(m);
	}
	/* extents of writes that were let go when the sidecar took none */
	queue_work(vaio_disk_wq(slot->disk), &m->intent_work);
	queue_work(vaio_disk_wq(slot->disk), &m->sidecar_work);
	queue_delayed_work(vaio_disk_wq(slot->disk), &m->cool_work, HZ);
	repl_resync_kick(m);
	return 0;
}

static int repl_start_slot(struct vaio_slot *slot)
{
	/* the disk is suspended: memory must not come from writing to it */
	unsigned int noio = memalloc_noio_save();
	struct repl_member *m = slot->priv;
	int err = do_start(slot);

	memalloc_noio_restore(noio);
	if (err) {
		m->sc = NULL;
		m->durable = false;
	}
	return err;
}

static void repl_stop(struct vaio_slot *slot)
{
	struct repl_member *m = slot->priv;
	struct repl_group *g;

	spin_lock_irq(&m->lock);
	m->running = false;
	m->quiesced = true;
	spin_unlock_irq(&m->lock);
	if (m->loaded)
		repl_resync_stop(m);
	cancel_delayed_work_sync(&m->cool_work);
	flush_work(&m->intent_work);
	cancel_delayed_work_sync(&m->cool_work);
	flush_work(&m->resume_work);
	/* what it began is finished, or done at the next start */
	cancel_work_sync(&m->sidecar_work);

	g = repl_member_group(m);
	if (g) {
		spin_lock_irq(&g->lock);
		if (m->loaded && rcu_access_pointer(m->group) == g)
			repl_spill(g, m);
		repl_changed(g);
		spin_unlock_irq(&g->lock);
		repl_group_put(g);
	}
	if (m->sc && m->loaded && m->durable) {
		mutex_lock(&m->pages);
		if (repl_write_pages(m, true))
			repl_sidecar_failed(m);
		mutex_unlock(&m->pages);
	}
	if (m->sc || m->table->no_sidecar)
		repl_note_distrust(m);
	spin_lock_irq(&m->lock);
	m->must_compare = repl_must_compare(m) || m->track.check.count;
	m->sc = NULL;
	spin_unlock_irq(&m->lock);
}

static void set_quiesced(struct repl_member *m, bool quiesced, bool noflush)
{
	spin_lock_irq(&m->lock);
	m->quiesced = quiesced;
	m->noflush = noflush;
	m->no_wait = false;
	spin_unlock_irq(&m->lock);
}

static void repl_quiesce(struct vaio_slot *slot, bool noflush)
{
	struct repl_member *m = slot->priv;

	set_quiesced(m, true, noflush);
	repl_quiesce_waits(m, noflush);
}

static void repl_unquiesce(struct vaio_slot *slot)
{
	struct repl_member *m = slot->priv;

	set_quiesced(m, false, false);
	repl_resync_kick(m);
}

/* --- events ------------------------------------------------------------------------ */

/*
 * The bytes below are others. -EINPROGRESS: the event's answer comes when the sidecar
 * knows; 0: the next start tells it; -ESTALE: the disk is not in @g any more, or not yet.
 */
static int forget_bytes(struct repl_member *m, struct repl_group *g, u64 token)
{
	unsigned long flags;
	int err = -ESTALE;

	spin_lock_irqsave(&m->lock, flags);
	if (rcu_access_pointer(m->group) == g) {
		distrust(m);
		err = 0;
		if (m->running) {
			m->revert_token = token;
			queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
			err = -EINPROGRESS;
		}
	}
	spin_unlock_irqrestore(&m->lock, flags);
	return err;
}

/*
 * The bytes below changed, and no record says so: what the replica has is a mixture from
 * here on, until all was compared.
 */
static int revert(struct repl_member *m, u64 token)
{
	struct repl_group *g;
	int err;

	do {
		g = repl_member_group(m);
		if (!g) {
			err = forget_bytes(m, NULL, token);
			continue;
		}
		spin_lock_irq(&g->lock);
		err = forget_bytes(m, g, token);
		if (err != -ESTALE) {
			repl_flip(g, "the bytes of a disk changed beneath it (revert)");
			g->gap = VAIO_REPL_GAP_REVERT;
			repl_changed(g);
		}
		spin_unlock_irq(&g->lock);
		repl_group_put(g);
	} while (err == -ESTALE);
	return err;
}

/* The snapshot has a place in the order of writes, which the replica knows by its name. */
static int snapshot_taken(struct repl_member *m, const char *name)
{
	struct repl_group *g = repl_member_group(m);
	int err = 0;
	u64 seq;

	if (g) {
		err = repl_mark(g, *name ? name : "snapshot", &seq);
		repl_group_put(g);
	}
	/* while the replica is lost there are no points, and nothing to name */
	return err == -ENOTCONN ? 0 : err;
}

static int repl_event(struct vaio_slot *slot, const struct vaio_event *event)
{
	if (event->type == VAIO_EVENT_REVERT)
		return revert(slot->priv, event->token);
	if (event->type == VAIO_EVENT_SNAPSHOT && event->phase == VAIO_PHASE_COMMIT)
		return snapshot_taken(slot->priv, event->arg);
	return 0;
}

/* --- the administrator ----------------------------------------------------------- */

static int repl_set(struct vaio_slot *slot, const char *name, const char *value, char **error)
{
	if (strcmp(name, "group")) {
		*error = vaio_cfg_error(slot->cfg, "'%s' is not one of group", name);
		return -EINVAL;
	}
	return repl_member_move(slot->priv, value, error);
}

static void repl_show(struct vaio_slot *slot, struct vaio_text *text)
{
	struct repl_member *m = slot->priv;
	char name[VAIO_NAME_LEN] = "none";
	struct repl_group *g;

	rcu_read_lock();
	g = rcu_dereference(m->group);
	if (g)
		strscpy(name, g->name, sizeof(name));
	rcu_read_unlock();
	vaio_text_add(text, "group", "%s", name);
	vaio_text_add(text, "state", "%s", g ? repl_member_state(m) : "none");
	vaio_text_add(text, "alone", "%d", READ_ONCE(m->alone_want));
	vaio_text_add(text, "sidecar", "%s", !m->sc ? "none" : m->sidecar_bad ? "failed" :
		      m->flush_bad ? "unused" : "used");
}

static void repl_stats(struct vaio_slot *slot, struct vaio_text *text)
{
	struct repl_member *m = slot->priv;
	u64 dirty, inflight, check, spilled;
	u32 hot;

	spin_lock_irq(&m->lock);
	dirty = m->track.dirty.count;
	inflight = m->track.inflight.count;
	check = m->track.check.count;
	spilled = m->track.spilled[0].count + m->track.spilled[1].count;
	hot = m->intent.used;
	spin_unlock_irq(&m->lock);
	vaio_text_add(text, "dirty_bytes", "%llu", dirty << VAIO_SC_BITMAP_SHIFT);
	vaio_text_add(text, "inflight_bytes", "%llu", inflight << VAIO_SC_BITMAP_SHIFT);
	vaio_text_add(text, "to_check_bytes", "%llu", check << VAIO_SC_BITMAP_SHIFT);
	vaio_text_add(text, "spilled_bytes", "%llu", spilled << VAIO_SC_BITMAP_SHIFT);
	vaio_text_add(text, "hot_extents", "%u", hot);
}

const struct vaio_filter repl_filter = {
	.name		= "replication",
	.vendor		= "vaio",
	.version	= "0.1.0",
	.summary	= "continuous replication of a group of disks, in the order of their writes",
	.class		= VAIO_CLASS_REPLICATION,
	.caps		= VAIO_CAP_OWN_IO | VAIO_CAP_CARRIES_PAYLOAD,
	.io_size	= sizeof(struct repl_io),
	.quiesce_ms	= REPL_QUIESCE_MS,
	.submit_kinds	= VAIO_K_WRITES | VAIO_K_ERASERS,
	.complete_kinds	= VAIO_K_WRITES | VAIO_K_ERASERS,
	.parse		= repl_parse,
	.unparse	= repl_unparse,
	.check		= repl_check,
	.attach		= repl_attach,
	.adopt		= repl_adopt,
	.detach		= repl_detach,
	.start		= repl_start_slot,
	.stop		= repl_stop,
	.quiesce	= repl_quiesce,
	.unquiesce	= repl_unquiesce,
	.submit		= repl_submit,
	.complete	= repl_complete,
	.event		= repl_event,
	.set		= repl_set,
	.show		= repl_show,
	.stats		= repl_stats,
};
