/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The filter contract: all that a filter module needs to know of vaio.
 *
 * A filter is code of one class. On a disk it fills one slot. Requests travel
 * down the slots in class order and back up in reverse; every hook answers with
 * a verdict. Documentation/filters.md is the guide, kmod/sample/ the example.
 */
#ifndef _VAIO_FILTER_H
#define _VAIO_FILTER_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <linux/vaio.h>

struct vaio_disk;
struct vaio_event;
struct vaio_filter;
struct vaio_io;
struct vaio_plan;
struct vaio_slot;
struct vaio_slot_cfg;

#define VAIO_K(kind)		(1U << VAIO_KIND_##kind)
#define VAIO_K_WRITES		(VAIO_K(WRITE) | VAIO_K(WRITE_FUA))
#define VAIO_K_ERASERS		(VAIO_K(DISCARD) | VAIO_K(WRITE_ZEROES) | VAIO_K(SECURE_ERASE))
#define VAIO_K_ALL		((1U << __VAIO_KIND_COUNT) - 1)

/**
 * enum vaio_verdict - a hook's answer
 * @VAIO_PASS: goes on to the next slot
 * @VAIO_COMPLETE: the io ends here, well; only the slots above hear of it
 * @VAIO_FAIL: the io ends here with io->status; only the slots above hear of it
 * @VAIO_DEFER: the filter has called vaio_io_defer() and owns the io until it
 *	calls vaio_io_continue() or vaio_io_end(), which may already have
 *	happened when the hook returns
 */
enum vaio_verdict {
	VAIO_PASS,
	VAIO_COMPLETE,
	VAIO_FAIL,
	VAIO_DEFER,
};

/**
 * enum vaio_defer - what a deferred io waits for
 * @VAIO_PACED: a clock, a token or another process. quiesce() makes no new ones
 *	and ends the parked ones within the filter's quiesce_ms.
 * @VAIO_ORDERED: I/O of this very stack (overlap, range lock, cache fill). Such
 *	waits always end; they go on through quiesce and device-mapper drains them.
 * @VAIO_ASYNC: work on this io that was already begun and cannot be taken back
 *	(an asynchronous cipher). As ORDERED, and not refused to a NOWAIT io: the
 *	submitter does not wait for it.
 */
enum vaio_defer {
	VAIO_PACED,
	VAIO_ORDERED,
	VAIO_ASYNC,
};

/* struct vaio_io, flags */
#define VAIO_IO_STABLE		(1U << 0)	/* the payload cannot change under us: somebody copied it */
#define VAIO_IO_SEALED		(1U << 1)	/* own bio whose bytes are what the encryption slot would have made */
#define VAIO_IO_OWN		(1U << 2)	/* a filter's own bio, not a clone of the submitter's */
#define VAIO_IO_UNWINDING	(1U << 3)	/* on the way up */
#define VAIO_IO_INTERNAL	(1U << 4)	/* own bio that serves no guest io (destage, resync) */
#define VAIO_IO_MEASURED	(1U << 5)	/* the qos slot measures how long the store takes */

/**
 * struct vaio_io - one request on its way through a stack
 * @plan: hooks for this kind of request; NULL when no slot asked for any
 * @bio: what goes down next: the clone, or what a slot put in its place
 * @clone: device-mapper's clone, or the own bio
 * @sector: position on the disk (512-byte units from the disk's start); does
 *	not move while the request is processed
 * @len: bytes (0 for a flush)
 * @status: of the request; a filter's FAIL and complete() may set it
 * @kind: enum vaio_kind
 * @next: index of the hook at which it goes on, while deferred
 * @up_end: unwinding ends before this index of the plan's upward hooks
 * @flags: VAIO_IO_*
 * @defer: enum vaio_defer while deferred
 * @word: all of these, so that one store begins an io
 * @start_ns: ktime_get_ns() at entry; only if a slot has VAIO_CAP_TIMESTAMPS
 * @defer_ns: when the owner deferred it; only while deferred
 * @owner: slot that deferred it; only while deferred
 * @entry: for the owner's lists while it is deferred
 * @work: used by vaio_io_continue() and vaio_io_end() from atomic context
 *
 * Lives in device-mapper's per-bio data, or in the front pad of an own bio; the
 * per-io state of the slots follows. Whoever owns the io may touch it, nobody
 * else; after vaio_io_continue() or vaio_io_end() it may already be gone.
 */
struct vaio_io {
	const struct vaio_plan	*plan;
	struct bio		*bio;
	struct bio		*clone;
	sector_t		sector;
	unsigned int		len;
	union {
		struct {
			blk_status_t	status;
			u8		kind;
			u8		next;
			u8		up_end;
			u8		flags;
			u8		defer;
		};
		u64		word;
	};
	u64			start_ns;
	u64			defer_ns;
	struct vaio_slot	*owner;
	union {
		struct list_head	entry;
		struct work_struct	work;
	};
};

/* One <name> <value> pair of a table, a message or a netlink request. */
struct vaio_prop {
	const char *name;
	const char *value;
};

/**
 * struct vaio_geometry - what a table says of its disk
 * @uuid: of the disk
 * @name: device-mapper's name of the disk, for messages
 * @sectors: size of the disk, 512-byte units
 * @offset: where it starts on the backing device, 512-byte units
 * @block_size: logical block size of the backing device, bytes
 * @read_only: the table is read-only
 * @device: whole device that the backing device is, or is a partition of, as the
 *	kernel calls it
 * @rotational: it has heads to move
 */
struct vaio_geometry {
	uuid_t		uuid;
	char		name[VAIO_DEVNAME_LEN];
	sector_t	sectors;
	sector_t	offset;
	unsigned int	block_size;
	bool		read_only;
	char		device[DISK_NAME_LEN];
	bool		rotational;
};

/**
 * struct vaio_slot_cfg - what one table asks of one slot
 * @filter: the filter
 * @geo: of the table
 * @nr_props: words given in the table, as pairs
 * @props: the pairs; strings live as long as the configuration
 * @priv: the filter's, made by parse(), freed by unparse()
 * @io_size: bytes of per-io state; parse() may raise it from filter->io_size
 * @submit: kinds that submit() wants to see; parse() may change the masks
 * @complete: kinds that complete() wants to see
 * @enter: kinds that enter() wants to see
 * @max_io_sectors: largest read or write this slot takes, 512-byte units, a
 *	multiple of 8; 0: any. Larger ones come in parts, which may begin anywhere.
 *
 * Reference counted: the table holds one, the slot that adopted it another.
 */
struct vaio_slot_cfg {
	const struct vaio_filter *filter;
	const struct vaio_geometry *geo;
	unsigned int		nr_props;
	struct vaio_prop	*props;
	void			*priv;
	unsigned int		io_size;
	u32			submit;
	u32			complete;
	u32			enter;
	unsigned int		max_io_sectors;
	/* private to the framework */
	struct kref		ref;
	struct module		*owner;
	struct vaio_geometry	geo_copy;
};

/**
 * struct vaio_text - bounded output for show() and stats()
 *
 * Filters add pairs with vaio_text_add(); the framework turns them into netlink
 * attributes or a line of dmsetup status.
 */
struct vaio_text {
	void (*add)(struct vaio_text *t, const char *name, const char *value);
};

__printf(3, 4) void vaio_text_add(struct vaio_text *t, const char *name, const char *fmt, ...);

/**
 * struct vaio_filter - code of one class
 * @name: as in tables; letters, digits, '-' and '_'; shorter than VAIO_NAME_LEN
 * @vendor: who made it
 * @version: of the filter
 * @summary: one line for people
 * @class: where it stands in a stack
 * @caps: VAIO_CAP_*
 * @io_size: bytes of per-io state in every struct vaio_io, see vaio_io_state()
 * @quiesce_ms: quiesce() ends all PACED ios within this time
 * @submit_kinds: mask of kinds for submit(), VAIO_K()
 * @complete_kinds: mask of kinds for complete()
 * @enter_kinds: mask of kinds for enter()
 *
 * @parse: a table is being made. Check cfg->props, allocate what may fail
 *	(cipher, key) into cfg->priv. May sleep. No I/O, no slot yet; another
 *	table of the same disk may be live. On failure *error is a sentence that
 *	names the wrong word and what is accepted; point it at a literal or use
 *	vaio_cfg_error().
 * @unparse: free cfg->priv, wiping keys. Copes with what a failed parse() left
 *	(cfg->priv may be NULL). May sleep.
 * @limits: change the queue limits of a table. Must only tighten, and be the
 *	same for the same configuration: limits stay monotone over reloads.
 * @check: the table is about to become live, all I/O has stopped. May @slot
 *	(NULL: there is none yet) take @cfg (NULL: the slot would be removed)?
 *	Changes nothing. May sleep, no I/O to the disk. On refusal *error says
 *	why and what helps, as for parse().
 * @attach: a new slot: allocate slot->priv. May sleep and fail.
 * @adopt: take @cfg; follows attach() and every check() that said yes. Cannot
 *	fail. Also called with the same @cfg again after a plain suspend.
 * @detach: free slot->priv. The slot is stopped.
 * @start: own and read on-disk metadata; I/O below is possible from now on. May
 *	sleep, do I/O and fail. Called bottom to top, before I/O of the guest.
 *	The sidecar still has the size that a disk had before it grew; the new one is
 *	noted when all slots have started. What they know of the new part is durable
 *	by then, or must-compare is set.
 * @stop: commit and give up metadata; I/O below is no longer possible. Called
 *	top to bottom when no io is left, also for a start() that was undone.
 * @quiesce: stop making I/O of your own and PACED ios, end the parked ones
 *	within @quiesce_ms. I/O still arrives. @noflush: unacknowledged ios may
 *	be ended with vaio_io_requeue().
 * @unquiesce: undo it.
 *
 * @enter: as submit(), before any slot's submit(). For limits that are meant
 *	as seen from the guest.
 * @submit: downward. Never sleeps. Returns a verdict.
 * @complete: upward, in the reverse order, any context (often softirq). Only
 *	sees ios that passed its slot on the way down. io->status may be changed.
 *	PASS goes on upward; DEFER as in submit(); other verdicts are not allowed.
 *
 * @event: something happened or is about to. Runs on the disk's event worker,
 *	may sleep up to a second. 0 accepts; an error refuses a prepare (of other
 *	phases it is only reported); -EINPROGRESS: vaio_event_done() will follow.
 *	A reload may go on meanwhile: use what slot->priv protects, not slot->cfg.
 * @set: change a live property. Runs in a message or netlink handler: may take
 *	a mutex, must not wait for I/O. Cannot change masks or io_size.
 * @show: live properties as they are now. No secrets.
 * @stats: the filter's own counters.
 *
 * All hooks but parse and the filter's data path may be NULL. When something has the
 * disk open, check(), attach(), adopt() and start() run under memalloc_noio_save().
 */
struct vaio_filter {
	const char		*name;
	const char		*vendor;
	const char		*version;
	const char		*summary;
	enum vaio_class		class;
	u32			caps;
	unsigned int		io_size;
	unsigned int		quiesce_ms;
	u32			submit_kinds;
	u32			complete_kinds;
	u32			enter_kinds;

	int (*parse)(struct vaio_slot_cfg *cfg, char **error);
	void (*unparse)(struct vaio_slot_cfg *cfg);
	void (*limits)(struct vaio_slot_cfg *cfg, struct queue_limits *lim);
	int (*check)(struct vaio_slot *slot, struct vaio_slot_cfg *cfg, char **error);
	int (*attach)(struct vaio_slot *slot, struct vaio_slot_cfg *cfg);
	void (*adopt)(struct vaio_slot *slot, struct vaio_slot_cfg *cfg);
	void (*detach)(struct vaio_slot *slot);
	int (*start)(struct vaio_slot *slot);
	void (*stop)(struct vaio_slot *slot);
	void (*quiesce)(struct vaio_slot *slot, bool noflush);
	void (*unquiesce)(struct vaio_slot *slot);

	enum vaio_verdict (*enter)(struct vaio_slot *slot, struct vaio_io *io);
	enum vaio_verdict (*submit)(struct vaio_slot *slot, struct vaio_io *io);
	enum vaio_verdict (*complete)(struct vaio_slot *slot, struct vaio_io *io);

	int (*event)(struct vaio_slot *slot, const struct vaio_event *event);
	int (*set)(struct vaio_slot *slot, const char *name, const char *value, char **error);
	void (*show)(struct vaio_slot *slot, struct vaio_text *text);
	void (*stats)(struct vaio_slot *slot, struct vaio_text *text);
};

int vaio_register_filter(const struct vaio_filter *filter, struct module *owner);
void vaio_unregister_filter(const struct vaio_filter *filter);

/**
 * vaio_init_error - what a module's init function returns when registration failed
 * @err: of vaio_register_filter()
 *
 * Module loaders take -EEXIST for "is loaded already", and report success.
 */
static inline int vaio_init_error(int err)
{
	return err == -EEXIST ? -EBUSY : err;
}

/* A module that is one filter and nothing else. */
#define module_vaio_filter(__filter)						\
static int __init __filter##_init(void)						\
{										\
	return vaio_init_error(vaio_register_filter(&(__filter), THIS_MODULE));	\
}										\
static void __exit __filter##_exit(void)					\
{										\
	vaio_unregister_filter(&(__filter));					\
}										\
module_init(__filter##_init);							\
module_exit(__filter##_exit)

/* So that a table that names filter "x" loads its module. */
#define MODULE_ALIAS_VAIO_FILTER(name)	MODULE_ALIAS("vaio-filter-" name)

__printf(2, 3) char *vaio_cfg_error(struct vaio_slot_cfg *cfg, const char *fmt, ...);
const char *vaio_cfg_get(const struct vaio_slot_cfg *cfg, const char *name);
int vaio_cfg_only(struct vaio_slot_cfg *cfg, const char *const *names, char **error);

/**
 * struct vaio_event - what filters hear of
 * @token: names it; a commit or abort carries the prepare's
 * @type: enum vaio_event_type
 * @phase: enum vaio_event_phase
 * @arg: the poster's text, may be empty
 */
struct vaio_event {
	u64			token;
	enum vaio_event_type	type;
	enum vaio_event_phase	phase;
	const char		*arg;
};

void vaio_event_done(struct vaio_slot *slot, u64 token, int error);

/* --- slots ------------------------------------------------------------- */

enum vaio_slot_state {
	VAIO_SLOT_STOPPED,
	VAIO_SLOT_STARTED,
	VAIO_SLOT_QUIESCED,
};

struct vaio_slot_stats {
	u64	completed;
	u64	failed;
	u64	deferred;
	u64	own_io;
	u64	defer_hist[VAIO_HIST_BUCKETS];
};

/**
 * struct vaio_slot - one filter on one disk, with its state
 * @filter: the filter
 * @disk: the disk that owns the slot
 * @priv: the filter's, made by attach()
 * @cfg: the configuration adopted last
 * @io_offset: of the slot's state in struct vaio_io; may change while suspended
 *
 * The rest is the framework's.
 */
struct vaio_slot {
	const struct vaio_filter *filter;
	struct vaio_disk	*disk;
	void			*priv;
	struct vaio_slot_cfg	*cfg;
	unsigned int		io_offset;

	enum vaio_slot_state	state;
	bool			quiesced;	/* no new PACED ios */
	bool			below_dirty;	/* written below since the last flush: flush.c */
	atomic_t		flushes_below;	/* on their way */
	atomic_t		parked;
	atomic_t		paced;
	struct bio_set		*bios;		/* own I/O; NULL without VAIO_CAP_OWN_IO */
	struct vaio_slot_stats __percpu *stats;
	struct module		*owner;
};

/**
 * vaio_io_state - a slot's own bytes in an io, io_size of them, not zeroed
 */
static inline void *vaio_io_state(const struct vaio_slot *slot, struct vaio_io *io)
{
	return (char *)io + slot->io_offset;
}

/* Bucket of a histogram. */
static inline unsigned int vaio_hist_bucket(u64 ns)
{
	u64 us = ns >> 10;	/* 1,024 ns stand for a microsecond */

	return us ? min_t(unsigned int, fls64(us) - 1, VAIO_HIST_BUCKETS - 1) : 0;
}

const char *vaio_disk_name(const struct vaio_disk *disk);
const uuid_t *vaio_disk_uuid(const struct vaio_disk *disk);
sector_t vaio_disk_sectors(const struct vaio_disk *disk);
void vaio_disk_degraded(struct vaio_disk *disk, const char *reason);
void vaio_disk_recovered(struct vaio_disk *disk);

/* The disk's own WQ_MEM_RECLAIM queue: dispatch parked ios and own I/O from here. */
struct workqueue_struct *vaio_disk_wq(const struct vaio_disk *disk);

/*
 * The disk's sidecar (sidecar.h), NULL when it has none. Valid from start() to
 * the end of stop(), for the slot's own workers too, and in detach(); @unclean, when not NULL,
 * says whether its last owner left it without releasing it, and stays so until
 * the sidecar is closed. A replication filter that asks in start() notes in it what
 * is written; when none does, the framework sets must-compare.
 */
struct vaio_sidecar *vaio_slot_sidecar(const struct vaio_slot *slot, bool *unclean);

/* --- ios ---------------------------------------------------------------- */

/**
 * vaio_io_defer - take an io out of the stack's hands
 * @slot: the slot whose hook is running
 * @io: the io
 * @why: what it will wait for
 *
 * Call before anything that could continue the io from elsewhere. Any context.
 * PACED: call it, and put the io on your list, under the lock that quiesce()
 * takes to end the parked ones; else one could slip onto the list after it.
 *
 * Return: 0, and the hook must return VAIO_DEFER.
 * -EAGAIN: the submitter asked not to wait (REQ_NOWAIT); io->status is set, the
 * hook returns VAIO_FAIL. -EBUSY: the hook lets it pass, for the slot is quiesced,
 * which allows no new PACED ios, or the io is on its way up because one below
 * answered as above: the submitter must hear of it at once. That and no other
 * can happen to ASYNC; complete() that passes what has failed does not meet it.
 */
int vaio_io_defer(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why);

/**
 * vaio_io_defer_enter - vaio_io_defer() for enter()
 * @slot: the slot whose enter() is running
 * @io: the io
 * @why: what it will wait for
 *
 * An io does not know whether it is past the enter() hooks, so who waits there
 * says so. vaio_io_defer() would let it go on behind the slot's submit(), past
 * the slots above.
 */
int vaio_io_defer_enter(struct vaio_slot *slot, struct vaio_io *io, enum vaio_defer why);

/**
 * vaio_io_defer_again - what a deferred io waits for has changed
 * @io: deferred by the caller, not yet given back
 * @why: what it waits for from now on
 *
 * As vaio_io_defer(), and under the same lock.
 *
 * Return: 0; -EBUSY: the slot is quiesced, which allows no new PACED ios: the io
 * is deferred as it was.
 */
int vaio_io_defer_again(struct vaio_io *io, enum vaio_defer why);

/**
 * vaio_io_continue - let a deferred io go on, down or up
 *
 * Any context, with no spinlock held; where submitting is not allowed a downward
 * io goes on from the disk's queue. The io may be gone on return.
 */
void vaio_io_continue(struct vaio_io *io);

/**
 * vaio_io_end - end a deferred io here; only the slots above hear of it
 *
 * Any context. The io may be gone on return. On the way up it sets the status
 * and goes on.
 */
void vaio_io_end(struct vaio_io *io, blk_status_t status);

/**
 * vaio_io_requeue - give a deferred, unacknowledged io back to device-mapper
 *
 * Only from quiesce() with noflush set on, until stop().
 */
void vaio_io_requeue(struct vaio_io *io);

/**
 * vaio_io_substitute - put another bio in an io's place, from submit() on
 * @io: the io, owned by the caller, on its way down
 * @bio: the slot's own; same length. It inherits operation, flags and priority;
 *	the framework sets its device, sector and end function at the bottom and
 *	never frees it.
 *
 * complete() of the same slot, which must ask for this kind, takes it out again
 * with vaio_io_restore(io, prev) and frees it. At most once a slot and io.
 *
 * Return: the bio that was there, to be kept in the slot's per-io state.
 */
static inline struct bio *vaio_io_substitute(struct vaio_io *io, struct bio *bio)
{
	struct bio *prev = io->bio;

	bio->bi_opf = prev->bi_opf & ~REQ_POLLED;
	bio->bi_ioprio = prev->bi_ioprio;
	io->bio = bio;
	return prev;
}

static inline void vaio_io_restore(struct vaio_io *io, struct bio *prev)
{
	io->bio = prev;
}

/**
 * struct vaio_payload - where the payload of an io was before it was exchanged
 * @vecs: table of the io's bio; NULL: the slot's own mark that it exchanged none
 * @iter: position in it
 */
struct vaio_payload {
	struct bio_vec		*vecs;
	struct bvec_iter	iter;
};

/**
 * vaio_io_exchange_payload - put other pages in an io's place, from submit() on
 * @io: the io, owned by the caller, on its way down; it has data
 * @vec: the same number of bytes, in adjacent pages. The slot's own, as the pages
 *	are, until complete().
 * @prev: gets what was there, to be kept in the slot's per-io state
 *
 * As vaio_io_substitute() for a slot that has all of the payload in one piece, and
 * much cheaper: the bio that goes down is the same, with another table of pages.
 * The table that it had, which it may share with the submitter's bio, is not
 * touched.
 *
 * complete() of the same slot, which must ask for this kind, takes the pages out
 * again with vaio_io_restore_payload(). At most once a slot and io.
 */
static inline void vaio_io_exchange_payload(struct vaio_io *io, struct bio_vec *vec,
					    struct vaio_payload *prev)
{
	struct bio *bio = io->bio;

	prev->vecs = bio->bi_io_vec;
	prev->iter = bio->bi_iter;
	bio->bi_io_vec = vec;
	bio->bi_iter.bi_idx = 0;
	bio->bi_iter.bi_bvec_done = 0;
}

/* The bio is as it was when it was exchanged, at its old place and not yet processed. */
static inline void vaio_io_restore_payload(struct vaio_io *io, const struct vaio_payload *prev)
{
	io->bio->bi_io_vec = prev->vecs;
	io->bio->bi_iter = prev->iter;
}

/* --- flushes ------------------------------------------------------------ */

/**
 * vaio_flush_needed - must a flush at @slot go through to the bottom?
 *
 * False only if nothing was written below the slot since the last flush that
 * went through. Needs VAIO_CAP_ENDS_FLUSH.
 */
bool vaio_flush_needed(const struct vaio_slot *slot);

/* --- a filter's own I/O -------------------------------------------------- */

typedef void (*vaio_own_end_fn)(struct vaio_slot *slot, struct bio *bio, void *private);

/**
 * vaio_own_alloc - a bio of the filter's own
 * @slot: VAIO_CAP_OWN_IO
 * @nr_vecs: pages it will carry, at most BIO_MAX_VECS
 * @opf: operation and flags
 * @serves: a guest io whose cgroup and priority it inherits, or NULL (destage,
 *	resync: VAIO_IO_INTERNAL, charged to the disk)
 * @end: called once when it is done, any context; bio->bi_status tells. The bio
 *	and its pages' references are the filter's until @end returns; the
 *	framework frees the bio afterwards. May be called before
 *	vaio_submit_below() returns.
 * @private: for @end
 *
 * Waits for a bio of the slot's reserve, so call it from a worker, never from a
 * hook or with another bio of the same slot allocated and not submitted. Set
 * bi_iter.bi_sector to the sector on the disk.
 *
 * Return: the bio, or ERR_PTR(-ESHUTDOWN) while the disk is suspended.
 */
struct bio *vaio_own_alloc(struct vaio_slot *slot, unsigned short nr_vecs, blk_opf_t opf,
			   struct vaio_io *serves, vaio_own_end_fn end, void *private);
void vaio_own_free(struct vaio_slot *slot, struct bio *bio);

/* Largest own read or write that the slots below take, 512-byte units. Valid while started. */
unsigned int vaio_own_max_sectors(const struct vaio_slot *slot);

/**
 * vaio_submit_below - send an own bio through the slots below @slot
 * @flags: VAIO_IO_SEALED, VAIO_IO_STABLE or 0
 *
 * Process context, may sleep.
 */
void vaio_submit_below(struct vaio_slot *slot, struct bio *bio, unsigned int flags);

/* --- transform service (encryption for a cache) -------------------------- */

/**
 * struct vaio_transform - what the encryption slot offers to slots above it
 * @unit: bytes that are transformed as one
 * @seal: turn @len bytes of plaintext for @sector into the bytes that this slot
 *	would write. Synchronous, any process context, no allocation that can
 *	fail without a fallback.
 * @open: the reverse
 *
 * A cache that keeps sealed bytes on its flash destages them as they are, with
 * VAIO_IO_SEALED.
 */
struct vaio_transform {
	unsigned int unit;
	int (*seal)(struct vaio_slot *slot, sector_t sector, struct page *dst, unsigned int dst_off,
		    struct page *src, unsigned int src_off, unsigned int len);
	int (*open)(struct vaio_slot *slot, sector_t sector, struct page *dst, unsigned int dst_off,
		    struct page *src, unsigned int src_off, unsigned int len);
};

/* Offered from adopt() on; NULL takes back the slot's own. One a disk. */
void vaio_disk_offer_transform(struct vaio_slot *slot, const struct vaio_transform *t);

/* For slots above, valid while started; NULL when no slot below transforms. */
const struct vaio_transform *vaio_disk_transform(struct vaio_slot *above, struct vaio_slot **slot);

/* --- domains (disks on one backing store, of class qos) -------------------- */

/**
 * struct vaio_domain_info - a domain as it is at one moment
 * @name: of the domain
 * @disks: that are in it
 * @window: ios that may be in flight
 * @in_flight: ios that are
 * @queued: ios that wait for the window
 * @contended: some had to wait lately
 * @rotational: the device has heads to move
 * @latency_ns: mean of late; 0: not known yet
 * @threshold_ns: latency that is aimed at; 0: not known yet
 * @threshold_set_ns: the one that was set; 0: automatic
 * @capacity_iops, @capacity_bytes: declared, a second; 0: not declared
 * @reserved_iops, @reserved_bytes: by the disks, a second
 */
struct vaio_domain_info {
	char	name[VAIO_NAME_LEN];
	u32	disks;
	u32	window;
	u32	in_flight;
	u32	queued;
	bool	contended;
	bool	rotational;
	u64	latency_ns;
	u64	threshold_ns;
	u64	threshold_set_ns;
	u64	capacity_iops;
	u64	capacity_bytes;
	u64	reserved_iops;
	u64	reserved_bytes;
};

/* What DOMAIN_SET asks for. 0 takes a setting back. */
struct vaio_domain_change {
	const char	*name;
	bool		has_threshold;
	bool		has_capacity_iops;
	bool		has_capacity_bytes;
	u64		threshold_ns;
	u64		capacity_iops;
	u64		capacity_bytes;
};

/**
 * struct vaio_domain_ops - who has domains, for netlink
 * @next: the first domain whose name is after @after in strcmp()'s order;
 *	-ENOENT: none
 * @get: a domain; -ENOENT: none of this name
 * @set: change settings; makes the domain if there is none. *error as in parse()
 *
 * May sleep, must not wait for I/O.
 */
struct vaio_domain_ops {
	int (*next)(const char *after, struct vaio_domain_info *info);
	int (*get)(const char *name, struct vaio_domain_info *info);
	int (*set)(const struct vaio_domain_change *change, char **error);
};

int vaio_domains_register(const struct vaio_domain_ops *ops);
void vaio_domains_unregister(const struct vaio_domain_ops *ops);

#endif /* _VAIO_FILTER_H */
