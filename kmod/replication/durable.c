// SPDX-License-Identifier: GPL-2.0
/*
 * What has to outlive a crash: bitmaps and conditions on the sidecar.
 *
 *   bitmap	what the replica lacks. Written lazily, for as long as an extent is
 *		hot its intent bit covers it.
 *   intent	extents that are written. Durable before the first write to a cold one.
 *   alone	durable before the first write that is acknowledged without the replica.
 *   must-compare  set when the bits cannot be kept, cleared when all was compared.
 *
 * An extent turns cold when no write to it is in flight; when its records are
 * acknowledged, or its bits are on the durable bitmap; and when a flush below has
 * completed that began after its last write had.
 *
 * A sidecar that cannot be written stops none of this: the disk is degraded, goes
 * on with what memory knows, and must be compared at the next start. Likewise a device
 * below that fails flushes, when all slots are taken by extents that cannot turn cold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include "repl.h"

#define COOL_EVERY	(2 * HZ)
#define PAY_EVERY	(10 * HZ)
#define FLUSH_PATIENCE	(2 * HZ)	/* while writes wait for a slot */

/*
 * member->lock held. The sidecar says of more blocks than it has to that they are
 * dirty, which a crash would make the resync send: its pages are written again soon.
 */
void repl_sidecar_behind(struct repl_member *m)
{
	if (m->running)
		queue_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, COOL_EVERY);
}

/* member->lock held. The page writer sees it by track->must and track->stale. */
void repl_mark_lacking(struct repl_member *m, u64 sector, u64 sectors)
{
	if (m->loaded && sector < m->sectors)
		track_mark(&m->track, sector, min(sectors, m->sectors - sector));
}

/* member->lock held */
void repl_want_alone(struct repl_member *m, bool alone)
{
	if (m->alone_want == alone && m->alone_is == alone)
		return;
	m->alone_want = alone;
	/* from here on it counts as not noted, whatever the sidecar still says */
	if (!alone)
		m->alone_is = false;
	if (m->running)
		queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
}

bool repl_must_compare(const struct repl_member *m)
{
	if (m->distrust)
		return true;
	if (m->compared)
		return false;
	return !m->sc || (vaio_sidecar_flags(m->sc) & VAIO_SC_F_MUST_COMPARE);
}

static bool owes_compare(const struct repl_member *m)
{
	return m->sc && vaio_sidecar_owes_compare(m->sc);
}

/*
 * The bits cannot be kept any more. The sidecar says so before writes go on that it does
 * not know of: until then these wait for their extents. Whoever comes second waits for it too,
 * or tries again. @first: it is news.
 */
static void give_up_bits(struct repl_member *m, bool first)
{
	int err;

	/* the next start that finds it well writes all that is known */
	memset(m->sc_uuid, 0, sizeof(m->sc_uuid));
	err = vaio_sidecar_set_must_compare(m->sc, true);
	if (err && first)
		pr_err("disk '%s': sidecar %s takes no writes, not even the flag must-compare: until it does, a crash leaves bits that cannot be trusted\n",
		       vaio_disk_name(m->slot->disk), vaio_sidecar_path(m->sc));
	spin_lock_irq(&m->lock);
	m->sidecar_bad |= err != 0;
	m->durable = false;
	if (m->running) {
		if (first)
			queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
		/* the flag may be owed, and no extent hot that would look after it */
		queue_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, PAY_EVERY);
	}
	spin_unlock_irq(&m->lock);
}

/* It could not be written. From a worker, start() or stop(). */
void repl_sidecar_failed(struct repl_member *m)
{
	bool first;

	spin_lock_irq(&m->lock);
	first = !m->sidecar_bad;
	m->sidecar_bad = true;
	spin_unlock_irq(&m->lock);
	give_up_bits(m, first);
}

/*
 * A flush failed and writes wait for a slot, which takes one that does not. They are not to
 * wait for ever. m->pages is held.
 */
static void flush_failed(struct repl_member *m, int err)
{
	u64 now = get_jiffies_64();

	m->flush_failing = m->flush_failing ?: now;
	if (time_before64(now, m->flush_failing + FLUSH_PATIENCE))
		return;
	pr_err("disk '%s': the device below fails flushes (error %d): it is not noted any more which extents are written\n",
	       vaio_disk_name(m->slot->disk), err);
	spin_lock_irq(&m->lock);
	m->flush_bad = true;
	spin_unlock_irq(&m->lock);
	give_up_bits(m, true);
}

/* --- pages ------------------------------------------------------------------------ */

static int write_track_page(struct repl_member *m, u32 page)
{
	int err;

	spin_lock_irq(&m->lock);
	track_fill(&m->track, page, m->page);
	spin_unlock_irq(&m->lock);
	err = vaio_sidecar_write(m->sc, VAIO_SC_R_BITMAP, 0, page, m->page, true);
	if (err) {
		spin_lock_irq(&m->lock);
		track_unfill(&m->track, page, true);
		spin_unlock_irq(&m->lock);
	}
	return err;
}

/**
 * repl_write_pages - make the bitmap durable
 * @m: the disk; m->pages is held
 * @all: also pages that only have fewer bits than before
 *
 * Return: 0 or a negative errno.
 */
int repl_write_pages(struct repl_member *m, bool all)
{
	s64 page = 0;
	int err;

	for (;;) {
		spin_lock_irq(&m->lock);
		page = track_page(&m->track, all ? &m->track.stale : &m->track.must, page);
		spin_unlock_irq(&m->lock);
		if (page < 0)
			return 0;
		err = write_track_page(m, page++);
		if (err)
			return err;
	}
}

static int write_intent_page(struct repl_member *m, u32 page, bool fua)
{
	spin_lock_irq(&m->lock);
	intent_fill(&m->intent, page, m->page);
	spin_unlock_irq(&m->lock);
	return vaio_sidecar_write(m->sc, VAIO_SC_R_INTENT, 0, page, m->page, fua);
}

/* --- start -------------------------------------------------------------------------- */

static void mark_extent(struct repl_member *m, u32 extent)
{
	spin_lock_irq(&m->lock);
	repl_mark_lacking(m, (u64)extent << REPL_INTENT_SHIFT, 1ULL << REPL_INTENT_SHIFT);
	spin_unlock_irq(&m->lock);
}

/* Every extent that has its bit set counts as dirty. */
static void intent_is_dirty(struct repl_member *m, u32 page)
{
	const struct vaio_sc_disk_page *p = m->page;
	u32 extent = page * VAIO_SC_PAGE_BITS, i;

	for (i = 0; i < VAIO_SC_PAGE_BITS && extent + i < m->intent.nr; i++)
		if (p->bits[i / 8] & (1U << (i % 8)))
			mark_extent(m, extent + i);
}

/**
 * repl_load - read the bits of a disk that starts
 * @m: the disk; no io is in flight
 * @unclean: the last owner did not release the sidecar
 *
 * May sleep. Return: 0 or a negative errno. A page that cannot be read counts as
 * all ones.
 */
int repl_load(struct repl_member *m, bool unclean)
{
	bool *found = NULL;
	u32 page;
	int err;

	found = kvcalloc(m->intent.pages, sizeof(*found), GFP_NOIO);
	if (!found)
		return -ENOMEM;
	for (page = 0; page < m->track.pages; page++) {
		err = vaio_sidecar_read(m->sc, VAIO_SC_R_BITMAP, 0, page, m->page);
		if (err == -ENOENT)
			goto out;
		/* of a disk that is known already, and in a group, others change the bits too */
		spin_lock_irq(&m->lock);
		track_load(&m->track, page, m->page);
		if (err)
			track_unfill(&m->track, page, true);
		spin_unlock_irq(&m->lock);
	}
	for (page = 0; page < m->intent.pages; page++) {
		err = vaio_sidecar_read(m->sc, VAIO_SC_R_INTENT, 0, page, m->page);
		if (err == -ENOENT)
			goto out;
		found[page] = intent_load(&m->intent, page, m->page) || err;
		if (found[page] && (unclean || err))
			intent_is_dirty(m, page);
		/* a disk that is known, and a sidecar that is new to it */
		found[page] |= m->intent.used;
	}
	/* first the bits that stand for the extents, then the extents */
	err = repl_write_pages(m, false);
	if (err)
		goto out;
	for (page = 0; page < m->intent.pages && !err; page++)
		if (found[page])
			err = write_intent_page(m, page, true);
out:
	kvfree(found);
	return err;
}

/* --- extents become hot ----------------------------------------------------------------- */

void repl_intent_work(struct work_struct *work)
{
	struct repl_member *m = container_of(work, struct repl_member, intent_work);
	LIST_HEAD(waiting);
	bool any, more;
	s64 page;
	int err;

	mutex_lock(&m->pages);
	do {
		err = 0;
		spin_lock_irq(&m->lock);
		/* what waits until here waits for extents that are written now, or were */
		list_splice_init(&m->intent_wait, &waiting);
		any = m->durable && intent_write_begin(&m->intent);
		spin_unlock_irq(&m->lock);
		for (page = 0; any && !err; page++) {
			spin_lock_irq(&m->lock);
			page = intent_writing_page(&m->intent, page);
			spin_unlock_irq(&m->lock);
			if (page < 0)
				break;
			err = write_intent_page(m, page, true);
		}
		if (err)
			repl_sidecar_failed(m);
		spin_lock_irq(&m->lock);
		if (any)
			intent_write_end(&m->intent);
		repl_resume_all(m, &waiting);
		more = !list_empty(&m->intent_wait);
		spin_unlock_irq(&m->lock);
	} while (more);
	mutex_unlock(&m->pages);
	queue_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, COOL_EVERY);
}

/* --- extents turn cold --------------------------------------------------------------------- */

void repl_spill(struct repl_group *g, struct repl_member *m)
{
	u64 seq;

	spin_lock(&m->lock);
	for (seq = g->ring.durable + 1; seq < g->ring.next; seq++) {
		const struct repl_rec *rec = ring_rec(&g->ring, seq);

		if (rec->member == m->id && rec->sectors && rec->slot == REPL_NO_SLOT &&
		    rec->first < m->sectors)
			track_spill(&m->track, rec->first,
				    min_t(u64, rec->sectors, m->sectors - rec->first));
	}
	track_spill_end(&m->track, g->ring.next - 1);
	spin_unlock(&m->lock);
}

struct flush {
	struct completion	done;
	blk_status_t		status;
};

static void flush_end(struct vaio_slot *slot, struct bio *bio, void *private)
{
	struct flush *flush = private;

	flush->status = bio->bi_status;
	complete(&flush->done);
}

static int flush_below(struct repl_member *m)
{
	struct flush flush = { .done = COMPLETION_INITIALIZER_ONSTACK(flush.done) };
	struct bio *bio = vaio_own_alloc(m->slot, 0, REQ_OP_WRITE | REQ_PREFLUSH | REQ_SYNC, NULL,
					 flush_end, &flush);

	if (IS_ERR(bio))
		return PTR_ERR(bio);
	vaio_submit_below(m->slot, bio, 0);
	wait_for_completion(&flush.done);
	return blk_status_to_errno(flush.status);
}

/* @durable: highest acknowledged record. */
static unsigned int pick_slots(struct repl_member *m, u64 durable, bool pressure, bool *spill)
{
	unsigned int n = 0;
	u32 slot, uses;

	spin_lock(&m->lock);
	for (slot = 0; slot < m->intent.cap && n < REPL_PICKS; slot++) {
		bool behind;

		if (!intent_pick(&m->intent, slot, !pressure, &uses))
			continue;
		behind = m->intent.slot[slot].seq > durable;
		if (behind && !pressure)
			continue;
		*spill |= behind;
		m->picks[n].slot = slot;
		m->picks[n++].uses = uses;
	}
	spin_unlock(&m->lock);
	return n;
}

/*
 * Extents that may turn cold, up to REPL_PICKS. Under pressure those too whose
 * records are on their way: these are spilled into the bitmap.
 */
static unsigned int pick(struct repl_member *m, bool pressure)
{
	struct repl_group *g;
	bool spill = false;
	unsigned int n;

	rcu_read_lock();
	g = rcu_dereference(m->group);
	if (g) {
		spin_lock_irq(&g->lock);
		n = pick_slots(m, g->ring.durable, pressure, &spill);
		if (spill)
			repl_spill(g, m);
		spin_unlock_irq(&g->lock);
	} else {
		local_irq_disable();
		n = pick_slots(m, U64_MAX, pressure, &spill);
		local_irq_enable();
	}
	rcu_read_unlock();
	return n;
}

/* One round; m->pages is held. Returns how many turned cold, or a negative errno. */
static int cool(struct repl_member *m, bool pressure)
{
	unsigned int n, i;
	int err, cold = 0;
	s64 page;

	n = pick(m, pressure);
	err = repl_write_pages(m, !pressure);
	if (err)
		goto bad;
	if (n) {
		/*
		 * An error here is the disk's, and leaves them hot. It may take long, and
		 * writes to cold extents need the pages: they do not wait for it.
		 */
		mutex_unlock(&m->pages);
		err = flush_below(m);
		mutex_lock(&m->pages);
		if (err) {
			/* of a disk that is being stopped, no flush was tried */
			if (pressure && err != -ESHUTDOWN)
				flush_failed(m, err);
			return err;
		}
		m->flush_failing = 0;
		spin_lock_irq(&m->lock);
		for (i = 0; i < n; i++)
			cold += intent_cool(&m->intent, m->picks[i].slot, m->picks[i].uses);
		if (cold)
			repl_resume_all(m, &m->cap_wait);
		spin_unlock_irq(&m->lock);
	}
	for (page = 0; !pressure; page++) {
		spin_lock_irq(&m->lock);
		page = find_next_bit(m->intent.stale.map, m->intent.pages, page);
		spin_unlock_irq(&m->lock);
		if (page >= m->intent.pages)
			break;
		err = write_intent_page(m, page, false);
		if (err)
			goto bad;
	}
	return cold;
bad:
	repl_sidecar_failed(m);
	return err;
}

void repl_cool_work(struct work_struct *work)
{
	struct repl_member *m = container_of(to_delayed_work(work), struct repl_member, cool_work);
	bool pressure, hot;
	int cold = 0;

	/* asked for by the agent just when the disk stopped */
	if (!READ_ONCE(m->running))
		return;
	if (owes_compare(m))
		queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
	spin_lock_irq(&m->lock);
	pressure = !list_empty(&m->cap_wait);
	spin_unlock_irq(&m->lock);
	mutex_lock(&m->pages);
	if (READ_ONCE(m->durable))
		cold = cool(m, pressure);
	mutex_unlock(&m->pages);
	spin_lock_irq(&m->lock);
	if (!m->durable)
		/* nothing to wait for any more */
		repl_resume_all(m, &m->cap_wait);
	pressure = !list_empty(&m->cap_wait);
	hot = m->durable && (m->intent.used || m->intent.stale.count || m->track.stale.count);
	/* under pressure writes in flight are what holds the extents; they end */
	if (m->running && (hot || pressure))
		queue_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work,
				   !pressure ? COOL_EVERY : cold > 0 ? 0 : HZ / 50);
	else if (m->running && owes_compare(m))
		queue_delayed_work(vaio_disk_wq(m->slot->disk), &m->cool_work, PAY_EVERY);
	spin_unlock_irq(&m->lock);
}

/* --- conditions ------------------------------------------------------------------------------ */

/* alone, as it should be. Returns true when something changed. */
static bool note_alone(struct repl_member *m)
{
	bool want, noted;
	int err = 0;

	spin_lock_irq(&m->lock);
	want = m->alone_want;
	noted = m->alone_noted;
	if (want ? m->alone_is : !noted) {
		spin_unlock_irq(&m->lock);
		return false;
	}
	/* while it is being taken back it may be there or not */
	m->alone_noted = true;
	spin_unlock_irq(&m->lock);

	if (m->sc)
		err = vaio_sidecar_set_alone(m->sc, want);
	if (err)
		repl_sidecar_failed(m);
	spin_lock_irq(&m->lock);
	if (want) {
		/* unless it was taken back meanwhile, and is about to go from the sidecar */
		m->alone_is = m->alone_want;
		repl_resume_all(m, &m->alone_wait);
	} else if (!err || m->sidecar_bad) {
		m->alone_noted = false;
	}
	spin_unlock_irq(&m->lock);
	return true;
}

/*
 * The flag goes: from here on the bits on the sidecar are all, so they go there first. No
 * other writer of pages comes between, which would find the flag set when it fails.
 */
static void clear_compare(struct repl_member *m)
{
	bool clear;
	int err;

	if (!READ_ONCE(m->clear_compare))
		return;
	mutex_lock(&m->pages);
	spin_lock_irq(&m->lock);
	clear = m->clear_compare && m->durable && track_clean(&m->track);
	m->clear_compare = false;
	m->clearing = clear;
	spin_unlock_irq(&m->lock);
	if (!clear)
		goto out;
	err = repl_write_pages(m, false);
	if (!err)
		err = vaio_sidecar_set_must_compare(m->sc, false);
	if (err)
		repl_sidecar_failed(m);
	spin_lock_irq(&m->lock);
	m->clearing = false;
	spin_unlock_irq(&m->lock);
out:
	mutex_unlock(&m->pages);
}

/* The flag is set because an agent wants to begin anew; it is told that it may. */
static void note_compare(struct repl_member *m)
{
	struct repl_group *g;
	bool note;

	spin_lock_irq(&m->lock);
	note = m->note_compare;
	m->note_compare = false;
	spin_unlock_irq(&m->lock);
	if (!note)
		return;
	if (m->sc && vaio_sidecar_set_must_compare(m->sc, true))
		repl_sidecar_failed(m);
	rcu_read_lock();
	g = rcu_dereference(m->group);
	if (g) {
		spin_lock_irq(&g->lock);
		repl_changed(g);
		spin_unlock_irq(&g->lock);
	}
	rcu_read_unlock();
}

/**
 * repl_note_distrust - what is known of a disk's bytes does not count: its sidecar says so
 * @m: the disk; there is no other writer of its sidecar's flags
 *
 * From a worker, start() or stop(): may sleep. A revert event is answered when a crash
 * cannot lose it any more.
 */
void repl_note_distrust(struct repl_member *m)
{
	u64 token;
	int err;

	if (!READ_ONCE(m->distrust))
		return;
	/* without a sidecar all is compared after a crash anyway */
	err = m->sc ? vaio_sidecar_set_must_compare(m->sc, true) : 0;
	if (err && m->running)
		repl_sidecar_failed(m);
	spin_lock_irq(&m->lock);
	m->distrust = err != 0;
	token = m->revert_token;
	m->revert_token = 0;
	spin_unlock_irq(&m->lock);
	if (token)
		vaio_event_done(m->slot, token, err);
}

/* The sidecar took no writes; perhaps it does now. */
static void pay_compare(struct repl_member *m)
{
	if (owes_compare(m))
		vaio_sidecar_set_must_compare(m->sc, true);
}

/* What is wrong with the disk's replication, for people. */
static bool what_is_wrong(struct repl_member *m, char *text, size_t len)
{
	struct repl_group *g;
	bool wrong = true;

	rcu_read_lock();
	g = rcu_dereference(m->group);
	if (m->sidecar_bad) {
		strscpy(text, "replication: the sidecar cannot be written; all will be compared at the next start",
			len);
	} else if (m->flush_bad) {
		strscpy(text, "replication: the device below fails flushes; all will be compared at the next start",
			len);
	} else if (m->sc && (vaio_sidecar_flags(m->sc) & VAIO_SC_F_SOURCE_DAMAGED)) {
		strscpy(text, "replication: source-damaged: this disk lost data that the replica has, and is not replicated",
			len);
	} else if (g && m->lost) {
		spin_lock_irq(&g->lock);
		snprintf(text, len, "replication: group '%s' has no recovery points: %s", g->name,
			 m->unreadable ? "some blocks cannot be read" :
			 g->reason[0] ? g->reason : "the resync is not complete");
		spin_unlock_irq(&g->lock);
	} else if (m->unreadable) {
		strscpy(text, "replication: some blocks cannot be read", len);
	} else {
		wrong = false;
	}
	rcu_read_unlock();
	return wrong;
}

static void tell_state(struct repl_member *m)
{
	char text[VAIO_REASON_LEN];

	if (what_is_wrong(m, text, sizeof(text))) {
		m->degraded = true;
		vaio_disk_degraded(m->slot->disk, text);
	} else if (m->degraded) {
		m->degraded = false;
		vaio_disk_recovered(m->slot->disk);
	}
}

/* The disk's slow work: conditions on the sidecar, the state, and leaving a group. */
void repl_sidecar_work(struct work_struct *work)
{
	struct repl_member *m = container_of(work, struct repl_member, sidecar_work);

	if (READ_ONCE(m->leaving))
		repl_member_leave(m);
	if (!READ_ONCE(m->running))
		return;
	while (note_alone(m))
		;
	pay_compare(m);
	/* first: what is cleared then was compared since */
	repl_note_distrust(m);
	clear_compare(m);
	note_compare(m);
	tell_state(m);
}
