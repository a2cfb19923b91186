/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replication: every write of a group's disks, in one order, in a ring that an
 * agent in user space reads. Documentation/replication.md tells what it promises.
 *
 * Engines, which know no bio, clock, device or lock:
 *
 *   ring.c	  records in order, and the space for their payload
 *   overlap.c	  overlapping requests take turns
 *   track.c	  which blocks the replica lacks
 *   intent.c	  which extents are being written
 *
 * and what binds them to the kernel:
 *
 *   params.c	  words: of tables and of groups
 *   group.c	  groups: made, changed, deleted; their memory; their records of state
 *   member.c	  a disk in a group: the life of the filter's slot
 *   capture.c	  the way of a write
 *   loss.c	  when the replica is lost: who waits, for how long, and what then
 *   resync.c	  reads what the replica lacks
 *   durable.c	  bitmaps and conditions on the sidecar
 *   chardev.c	  the agent's file
 *   netlink.c	  the administrator's messages
 *   main.c	  the filter
 *
 * Locks, outermost first:
 *
 *   repl_groups_lock	mutex: the list of groups, names
 *   group->config	mutex: properties, membership, the agent's binding
 *   group->lock	spinlock, interrupts off: ring, state, stalled writes
 *   member->lock	spinlock, interrupts off: ranges, bits, extents, lists
 *
 * A write takes member->lock, then group->lock, on its way down and again on its
 * way up, each for moments. Only marking blocks that the replica lacks takes the
 * one inside the other, in the same stretch that decides that a write is not
 * captured.
 */
#ifndef _VAIO_REPL_H
#define _VAIO_REPL_H

#include <linux/bio.h>
#include <linux/bvec.h>
#include <linux/eventfd.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/vaio-replication.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "filter.h"
#include "sidecar.h"
#include "intent.h"
#include "overlap.h"
#include "ring.h"
#include "track.h"

/* The largest write that goes through: it has to fit a chunk. */
#define REPL_MAX_SECTORS	(VAIO_REPL_CHUNK >> SECTOR_SHIFT)
#define REPL_SLOTS		(VAIO_REPL_CHUNK / VAIO_REPL_SLOT)	/* reads of a resync, one chunk of them */
#define REPL_RESYNC_OPS		8		/* of one disk at a time */
/* quiesce() itself waits for nothing */
#define REPL_QUIESCE_MS		1000
/* Beyond its stall, a write that waits for the replica waits this much longer. */
#define REPL_ACK_MS		2000
/* Likewise when the replica acknowledges others before it. */
#define REPL_ACK_MAX_MS		4000
#define REPL_TICK_MS		250
#define REPL_STALL_MAX_MS	60000
#define REPL_NO_MEMBER		0xffff

enum repl_on_loss {
	REPL_TRACK,
	REPL_STALL_TRACK,
	REPL_STALL_FAIL,
	REPL_HOLD,
};

/**
 * struct repl_props - properties of a group
 * @ring_bytes: of the data area, fixed when the group is made
 * @resync_rate: bytes a second for each disk, 0: any
 * @stall_ms: of @on_loss
 * @grace_ms: an agent that is gone may come back within this time
 * @watchdog_ms: an agent that makes no call for so long is gone
 * @on_loss: when the replica is lost
 * @sync: writes are acknowledged when durable on the replica
 * @target: for the agent
 */
struct repl_props {
	u64			ring_bytes;
	u64			resync_rate;
	u32			stall_ms;
	u32			grace_ms;
	u32			watchdog_ms;
	enum repl_on_loss	on_loss;
	bool			sync;
	char			target[VAIO_VALUE_LEN];
};

struct repl_counters {
	u64	records;
	u64	bytes;
	u64	voids;
	u64	alone;		/* writes that were not captured */
	u64	stalls;
	u64	gaps;
	u64	resync_bytes;
};

/**
 * struct repl_group - disks that are replicated in one write order
 * @wq: the group's own, so that groups delay none but themselves
 * @reason: why the last gap began, for people
 * @gone: indices of disks that left for good, until the replica knows
 * @gone_seq: of the record that says so, 0: there is none yet
 * @gone_uuid: of the disk
 * @in_resync: the last of RESYNC_BEGIN and RESYNC_END was the first
 * @tell_again: one of them had no room yet
 * @gap: enum vaio_repl_gap: were records given up since the last RESYNC_BEGIN?
 * @failing: a stall ran out with on_loss stall,fail: writes fail at once
 * @stalled: struct repl_io that wait for room or for the agent
 * @held: struct repl_io that wait until all disks are equal: their records were given
 *	up, and the policy forbids to acknowledge them without the replica
 * @waiters: writes that wait for the replica's acknowledgement
 * @progress_ns: when the replica acknowledged something last
 * @agent: files_struct of the process that bound the ring, only compared
 * @agent_seen: jiffies of its last call
 * @backlog_since: jiffies; when the first of the records that wait came
 * @agent_gone: jiffies; meaningful without an agent
 */
struct repl_group {
	struct kref		ref;
	struct rcu_head		rcu;
	struct list_head	list;
	char			name[VAIO_NAME_LEN];
	uuid_t			uuid;
	uuid_t			ring_id;
	struct workqueue_struct	*wq;
	struct mutex		config;
	bool			dead;		/* config: deleted */

	/* constant */
	struct page		**chunk;
	unsigned int		nr_chunks;	/* the last one holds the slots */
	struct vaio_repl_control *control;
	struct vaio_repl_hints	*hints;

	spinlock_t		lock;
	struct repl_props	props;
	struct repl_ring	ring;
	DECLARE_BITMAP(slots, REPL_SLOTS);
	u32			hungry;		/* disks that found no slot */
	struct repl_member	*member[VAIO_REPL_MEMBERS];
	DECLARE_BITMAP(gone, VAIO_REPL_MEMBERS);
	u64			gone_seq[VAIO_REPL_MEMBERS];
	uuid_t			gone_uuid[VAIO_REPL_MEMBERS];
	enum vaio_repl_state	state;
	u64			epoch;
	char			reason[64];
	bool			in_resync;
	bool			tell_again;
	u8			gap;
	bool			failing;
	struct list_head	stalled;
	struct list_head	held;
	unsigned int		waiters;
	u64			progress_ns;
	struct repl_counters	counters;

	void			*agent;
	struct eventfd_ctx	*eventfd;
	unsigned long		agent_seen;
	unsigned long		backlog_since;
	unsigned long		agent_gone;

	struct delayed_work	loss_work;
};

struct repl_member;

/**
 * struct repl_op - a read of the resync
 * @range: that it locks
 * @bit: first bit
 * @run: bits
 * @slot: where the data goes, in the group's last chunk
 * @epoch: of the group when it began
 * @bytes: to be read
 * @done: read so far
 * @part: being read
 * @check: to be compared, not sent
 */
struct repl_op {
	struct repl_range	range;
	struct repl_member	*m;
	struct work_struct	work;
	u64			bit;
	u32			run;
	u32			slot;
	u64			epoch;
	u32			bytes;
	u32			done;
	u32			part;
	bool			busy;
	bool			check;
	blk_status_t		status;
};

/**
 * struct repl_member - a disk, in a group or not
 * @table: adopted last
 * @want: name of the group that its table asks for, empty for none
 * @group: changed under its lock; followed under RCU, or while @captured
 * @id: index there
 * @captured: writes on their way that have a record; group->lock
 * @capturing: writes get records; group->lock
 * @leaving: the group is to be left when @captured is 0
 * @compared: a capture began with CHECK or FULL: what that has not yet done is in
 *	the bits, which can be trusted from then on; group->lock
 * @lost: a capture of it was given up, so its state is worth a warning
 * @sc: the sidecar, between start() and stop(); NULL for none
 * @sc_uuid: of the sidecar that the bits were read from or written to; zero when what
 *	it has cannot be relied on any more
 * @generation: of the disk, as its sidecar said when it started; likewise the next two
 * @pages: mutex: one writer of the sidecar's pages, with @page and @picks
 * @sidecar_bad: it could not be written
 * @flush_bad: the device below failed flushes for too long
 * @flush_failing: jiffies64 of the first of them while writes wait for a slot, 0: the last one
 *	was well; @pages
 * @alone_want: writes are acknowledged without the replica; to be noted
 * @alone_is: it is noted, durably, or there is nowhere to note it
 * @alone_noted: it may be noted
 * @must_compare: when it stopped, what is to be compared was not in its bits: another
 *	sidecar gets the flag too
 * @clear_compare: all was compared: the flag must-compare goes
 * @clearing: it is going
 * @note_compare: an agent wants to send or compare all: first the flag is set
 * @distrust: the bits say nothing of what the replica lacks: the bytes below changed, or
 *	they were another group's. Until the flag is set
 * @revert_token: of the event that told so, 0: it is answered
 * @unreadable: a block could not be read for the resync, the one of @unreadable_bit last
 * @intent_wait: struct repl_io whose extents are being made hot
 * @cap_wait: that wait for a free slot
 * @alone_wait: that wait for @alone_is
 * @resume: that go on in @resume_work
 */
struct repl_member {
	struct vaio_slot	*slot;
	unsigned int		align;
	const struct repl_table	*table;
	char			want[VAIO_NAME_LEN];

	struct repl_group __rcu	*group;
	u16			id;
	unsigned int		captured;
	bool			capturing;
	bool			leaving;
	bool			compared;
	bool			lost;

	spinlock_t		lock;
	bool			running;
	bool			quiesced;
	bool			noflush;	/* while quiesced: device-mapper takes writes back */
	bool			no_wait;	/* while quiesced: the replica had its chance */
	bool			durable;	/* intent is kept: there is a sidecar and it is well */
	bool			loaded;
	u64			sectors;
	struct repl_overlap	overlap;
	struct repl_track	track;
	struct repl_intent	intent;
	struct list_head	intent_wait, cap_wait, alone_wait, resume;
	bool			alone_want, alone_is, alone_noted;
	bool			clear_compare, clearing, note_compare, must_compare;
	bool			distrust;
	u64			revert_token;
	bool			sidecar_bad;
	bool			flush_bad;
	u64			flush_failing;
	bool			unreadable;
	u64			unreadable_bit;
	bool			degraded;

	struct vaio_sidecar	*sc;
	u8			sc_uuid[VAIO_SC_ID_LEN];
	struct vaio_sc_generation generation, previous_generation, alone_generation;
	struct mutex		pages;
	void			*page;
	struct repl_pick	*picks;

	struct work_struct	resume_work;
	struct work_struct	intent_work;
	struct work_struct	sidecar_work;
	struct delayed_work	cool_work;
	struct delayed_work	resync_work;
	struct repl_op		op[REPL_RESYNC_OPS];
	u64			cursor;		/* where the resync looks next */
	u32			places;		/* of the group's slots; group->lock */
	bool			hungry;		/* it found none; group->lock */
	u64			resync_at;	/* ns; when it may go on */
	u64			no_resync_until;/* jiffies64 after an error */
};

/* An extent that may turn cold. */
struct repl_pick {
	u32	slot;
	u32	uses;
};

#define REPL_PICKS	256

enum repl_step {
	REPL_STEP_RANGE,
	REPL_STEP_INTENT,
	REPL_STEP_APPEND,
	REPL_STEP_GO,
};

/**
 * struct repl_io - a request's own state
 * @range: that it locks; its list entry serves all lists
 * @seq: of its record, 0: none
 * @data: of its payload in the ring
 * @since_ns: when it began to wait for the replica, 0: it does not
 * @step: enum repl_step: what comes next; while it is on a list
 * @deferred: the framework knows that it waits
 * @intent: it is counted in its extents
 * @vec: its payload in the ring, which goes down
 * @guest: the payload that came; @guest.vecs NULL: it was not exchanged
 */
struct repl_io {
	struct repl_range	range;
	struct repl_member	*m;
	struct vaio_io		*io;
	u64			seq;
	u64			data;
	u64			since_ns;
	u8			step;
	bool			deferred;
	bool			intent;
	struct bio_vec		vec;
	struct vaio_payload	guest;
};

/* What a table says. */
struct repl_table {
	char	group[VAIO_NAME_LEN];
	bool	no_sidecar;
	u32	intent_cap;
};

/* params.c */
int repl_table_parse(struct vaio_slot_cfg *cfg, struct repl_table *table, char **error);
void repl_props_init(struct repl_props *props);
int repl_props_set(struct repl_props *props, const char *name, const char *value, bool fresh,
		   char **error);
void repl_props_show(const struct repl_props *props, struct vaio_text *text);

/* group.c */
extern struct mutex repl_groups_lock;
extern struct list_head repl_groups;
struct repl_group *repl_group_find(const char *name);	/* NULL or referenced */
int repl_group_new(const char *name, const struct repl_props *props, char **error);
int repl_group_delete(const char *name, char **error);
void repl_group_change(struct repl_group *g, const struct repl_props *props);
void repl_group_put(struct repl_group *g);
void repl_groups_exit(void);
u64 repl_group_slot_pos(const struct repl_group *g, u32 slot);
/* group->lock held */
int repl_control(struct repl_group *g, u8 type, u16 member, u64 aux);
void repl_backlog_begins(struct repl_group *g);
void repl_wake_agent(struct repl_group *g);
void repl_changed(struct repl_group *g);
void repl_gone(struct repl_group *g, const struct repl_member *m);
int repl_tell_gone(struct repl_group *g);
void repl_gone_told(struct repl_group *g);
void repl_gone_given_up(struct repl_group *g);
void repl_update_state(struct repl_group *g);
int repl_mark(struct repl_group *g, const char *name, u64 *seq);	/* takes group->lock */
const char *repl_state_name(enum vaio_repl_state state);

/* member.c */
extern const struct vaio_filter repl_filter;
/* group->lock held */
const char *repl_member_state(struct repl_member *m);
bool repl_must_compare(const struct repl_member *m);
/* The live property "group"; @name may be "none". disk->lock held */
int repl_member_move(struct repl_member *m, const char *name, char **error);
/* The group that it is in, or is leaving, referenced; NULL: none. Putting it may sleep. */
struct repl_group *repl_member_group(struct repl_member *m);
/* Goes on with leaving, when nothing of the disk is in the group's hands any more. */
void repl_member_leave(struct repl_member *m);

/* capture.c */
enum vaio_verdict repl_submit(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict repl_complete(struct vaio_slot *slot, struct vaio_io *io);
void repl_resume_work(struct work_struct *work);
/* member->lock held: it goes on in the member's worker */
void repl_resume(struct repl_member *m, struct repl_io *r);
void repl_resume_all(struct repl_member *m, struct list_head *list);
void repl_end(struct repl_io *r, bool requeue);
void repl_grant_next(struct repl_member *m, const struct repl_range *range);

/* loss.c */
enum repl_fate {
	REPL_FATE_ALONE,	/* goes on, noted as dirty */
	REPL_FATE_WAIT,
	REPL_FATE_FAIL,
};
/* group->lock held */
enum repl_fate repl_no_room(struct repl_group *g, struct repl_member *m);
enum repl_fate repl_not_captured(struct repl_group *g, struct repl_member *m);
enum repl_fate repl_fate_now(struct repl_group *g);
void repl_flip(struct repl_group *g, const char *reason);
void repl_unstall(struct repl_group *g);
void repl_room(struct repl_group *g);
void repl_unlisted(struct repl_io *r);
bool repl_tracks(const struct repl_group *g);
void repl_hold(struct repl_group *g, struct repl_io *r);
void repl_held_go(struct repl_group *g);
void repl_policy_changed(struct repl_group *g);
void repl_unbind(struct repl_group *g);
void repl_watch(struct repl_group *g);
void repl_loss_work(struct work_struct *work);
int repl_acknowledge(struct repl_group *g, u64 epoch, u64 upto);
void repl_agent_gone(struct repl_group *g, const char *why);
void repl_quiesce_waits(struct repl_member *m, bool noflush);

/* resync.c */
void repl_resync_init(struct repl_member *m);
void repl_resync_kick(struct repl_member *m);
void repl_resync_granted(struct repl_op *op);
void repl_resync_stop(struct repl_member *m);
bool repl_resync_busy(struct repl_member *m);
/* group->lock held; @m: whose place it was, NULL if that disk is gone */
void repl_resync_place_free(struct repl_group *g, struct repl_member *m, u32 slot);
void repl_resync_feed(struct repl_group *g);
void repl_resync_leave(struct repl_group *g, struct repl_member *m);
int repl_start(struct repl_group *g, struct vaio_repl_start *start);
int repl_mark_dirty(struct repl_group *g, u16 member, const struct vaio_repl_range *range,
		    unsigned int n);

/* durable.c */
int repl_load(struct repl_member *m, bool unclean);
int repl_write_pages(struct repl_member *m, bool all);
void repl_intent_work(struct work_struct *work);
void repl_sidecar_work(struct work_struct *work);
void repl_cool_work(struct work_struct *work);
void repl_sidecar_failed(struct repl_member *m);
void repl_note_distrust(struct repl_member *m);
/* group->lock held: records that are not acknowledged count on the sidecar */
void repl_spill(struct repl_group *g, struct repl_member *m);
/* member->lock held */
void repl_sidecar_behind(struct repl_member *m);
void repl_mark_lacking(struct repl_member *m, u64 sector, u64 sectors);
void repl_want_alone(struct repl_member *m, bool alone);

/* chardev.c, netlink.c */
int repl_chardev_init(void);
void repl_chardev_exit(void);
int repl_netlink_init(void);
void repl_netlink_exit(void);

/* --- what every write needs ------------------------------------------------------ */

/*
 * The group of a disk whose lock is held, NULL for none. It stays until
 * repl_group_drop(), and so long interrupts stay off too: that keeps it as an RCU
 * read lock does, and costs nothing. With PREEMPT_RT they are not off at all.
 */
static inline struct repl_group *repl_group_get(struct repl_member *m)
{
	struct repl_group *g = rcu_dereference_protected(m->group, lockdep_is_held(&m->lock));

	if (IS_ENABLED(CONFIG_PREEMPT_RT) && g)
		rcu_read_lock();
	return g;
}

static inline void repl_group_drop(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		rcu_read_unlock();
}

/* A write's record is nothing to it any more. group->lock held */
static inline void repl_uncapture(struct repl_member *m)
{
	m->captured--;
	if (unlikely(m->leaving) && !m->captured)
		queue_work(vaio_disk_wq(m->slot->disk), &m->sidecar_work);
}

static inline struct page *repl_group_page(const struct repl_group *g, u64 pos, unsigned int *offset)
{
	*offset = offset_in_page(pos);
	return g->chunk[pos / VAIO_REPL_CHUNK] + ((pos & (VAIO_REPL_CHUNK - 1)) >> PAGE_SHIFT);
}

/* A payload's place in memory; it never leaves its chunk. */
static inline void *repl_group_data(const struct repl_group *g, u64 pos)
{
	return page_address(g->chunk[pos / VAIO_REPL_CHUNK]) + (pos & (VAIO_REPL_CHUNK - 1));
}

/**
 * repl_fill_record - what a new record says, for the kernel and for the agent
 * @g: the group, locked
 * @seq: of the record
 * @member: index, or REPL_NO_MEMBER
 * @sector: of the range, 512-byte units
 * @sectors: of the range
 * @data: place of the payload, bytes
 * @data_len: its length, bytes
 * @aux: see the type
 * @flags: VAIO_REPL_F_*
 */
static inline void repl_fill_record(struct repl_group *g, u64 seq, u16 member, u64 sector,
				    u64 sectors, u64 data, u32 data_len, u64 aux, u8 flags)
{
	struct vaio_repl_desc *desc = ring_desc(&g->ring, seq);
	struct repl_rec *rec = ring_rec(&g->ring, seq);
	/* read under the lock, so that time goes with the sequence */
	ktime_t now = ktime_get();

	rec->member = member;
	rec->first = sector;
	rec->sectors = sectors;
	rec->mono_ns = ktime_to_ns(now);
	desc->seq = seq;
	desc->type = rec->type;
	desc->flags = flags;
	desc->member = member;
	desc->data_len = data_len;
	desc->offset = sector << SECTOR_SHIFT;
	desc->length = sectors << SECTOR_SHIFT;
	desc->data = data;
	desc->mono_ns = ktime_to_ns(now);
	desc->real_ns = ktime_to_ns(ktime_mono_to_real(now));
	desc->aux = aux;
	g->counters.records++;
	g->counters.bytes += data_len;
	if (unlikely(ring_backlog(&g->ring) == 1))
		repl_backlog_begins(g);
}

/* Makes visible what became so since @before was the last one, and wakes the agent. Locked. */
static inline void repl_published(struct repl_group *g, u64 before)
{
	u64 published = g->ring.published, wake;

	smp_store_release(&g->control->published, published);
	/* pairs with the agent's barrier between storing wake_seq and looking again */
	smp_mb();
	wake = READ_ONCE(g->hints->wake_seq);
	if (unlikely(wake > before && wake <= published))
		repl_wake_agent(g);
}

#endif /* _VAIO_REPL_H */
