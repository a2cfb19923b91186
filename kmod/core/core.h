/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of vaio.ko: what its files and the device-mapper target share.
 * Filters include filter.h only.
 *
 * Locks, outermost first:
 *
 *   vaio_registry_lock	mutex, registry.c: the list of filters.
 *   vaio_disks_lock	mutex, disk.c: the table of disks. Held for look-ups and
 *			insertions only.
 *   disk->lifecycle	mutex: one table change at a time. Held across I/O; never
 *			taken by netlink or a message.
 *   disk->lock		mutex: slots[], stack, state, reason. Held for short
 *			stretches that never wait for I/O; netlink and messages
 *			take it to look and to call show(), stats() and set().
 *
 * The data path takes none of them: a plan is immutable while it is live, and
 * device-mapper waits for every io before a table goes.
 */
#ifndef _VAIO_CORE_H
#define _VAIO_CORE_H

#include <linux/device-mapper.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/percpu-refcount.h>
#include <linux/percpu.h>
#include "../compat.h"
#include "filter.h"

struct vaio_sidecar;

#define VAIO_VERSION		"0.1.0"
#define VAIO_MAX_SLOTS		__VAIO_CLASS_COUNT
/*
 * enter() hooks stand before all submit() hooks; flush.c adds one of its own to a
 * slot, stack.c one that notes the time.
 */
#define VAIO_MAX_DOWN		(3 * VAIO_MAX_SLOTS + 1)
#define VAIO_MAX_UP		(2 * VAIO_MAX_SLOTS + 1)

/* claim.c: which (device, range) is used as what, host-wide */
enum vaio_role { VAIO_ROLE_BACKING, VAIO_ROLE_SIDECAR, VAIO_ROLE_CACHE };
struct vaio_claim {
	struct list_head	list;
	dev_t			dev;
	sector_t		start, sectors;
	enum vaio_role		role;
	uuid_t			uuid;
};

typedef enum vaio_verdict (*vaio_hook_fn)(struct vaio_slot *slot, struct vaio_io *io);

/* Not a verdict, so that one test tells whether to go on to the next hook. */
#define VAIO_LAST_HOOK		0x100

/**
 * struct vaio_hook - one stop of a plan
 * @fn: the filter's hook, or one of the framework's
 * @slot: the slot; NULL for some of the framework's
 * @last: VAIO_LAST_HOOK for the last one of its direction, else 0
 * @up_from: when the io ends at this (downward) hook, unwinding starts at this
 *	index of the plan's upward hooks: the slots above, and no other
 */
struct vaio_hook {
	vaio_hook_fn		fn;
	struct vaio_slot	*slot;
	u32			last;
	u8			up_from;
};

/**
 * struct vaio_kind_stats - requests of one kind that entered a stack
 * @count: of them
 * @bytes: in them
 * @failed: of them
 */
struct vaio_kind_stats {
	u64	count;
	u64	bytes;
	u64	failed;
};

/* Counted at the entry and end of a stack, in plans that are not empty. */
struct vaio_stack_stats {
	struct vaio_kind_stats	kind[__VAIO_KIND_COUNT];
	u64			hist[VAIO_HIST_BUCKETS];
};

/**
 * struct vaio_plan - what one kind of request meets in one stack
 * @up: hooks; a direction without any has one that passes, and @nr_up is 0
 * @down: likewise
 * @io_word: vaio_io.word of an io that begins
 * @max_bytes: larger requests of device-mapper's are split
 * @stats: of the stack, for this kind
 * @nr_down: hooks on the way down, top to bottom, enter() hooks first
 * @nr_up: hooks on the way up, bottom to top
 * @timed: a slot wants start_ns, or the table asked for a latency histogram
 * @after_enter: for an io that the slot of class c deferred in enter(): the
 *	downward hook at which it goes on
 * @after_submit: likewise for submit()
 * @after_complete: likewise for complete(), an upward hook
 * @own_down: for own I/O of the slot of class c: first downward hook below it
 * @own_up: likewise, where its unwinding ends
 *
 * Built in preresume, constant until the next.
 */
struct vaio_plan {
	struct vaio_hook	up[VAIO_MAX_UP];
	struct vaio_hook	down[VAIO_MAX_DOWN];
	struct vaio_stack	*stack;
	u64			io_word;
	unsigned int		max_bytes;
	struct vaio_kind_stats __percpu *stats;
	u8			kind;
	u8			nr_down;
	u8			nr_up;
	bool			timed;
	u8			after_enter[VAIO_MAX_SLOTS];
	u8			after_submit[VAIO_MAX_SLOTS];
	u8			after_complete[VAIO_MAX_SLOTS];
	u8			own_down[VAIO_MAX_SLOTS];
	u8			own_up[VAIO_MAX_SLOTS];
};

/**
 * struct vaio_stack - a table's stack: the target's private data
 * @plan: per kind; NULL for a kind that no slot wants to see
 * @start: what to add to a sector of the disk on the backing device
 *
 * Made by the constructor, becomes live in preresume. What lasts longer than a
 * table is in struct vaio_disk.
 */
struct vaio_stack {
	/* read by every io */
	const struct vaio_plan	*plan[__VAIO_KIND_COUNT];
	struct block_device	*bdev;
	sector_t		start;
	struct vaio_stack_stats __percpu *stats;
	bool			no_space;	/* see space.c */

	/* read by some */
	struct vaio_slot	*flush_slots[VAIO_MAX_SLOTS];
	unsigned int		nr_flush_slots;
	bool			latency;

	struct vaio_disk	*disk;
	struct dm_target	*ti;
	struct dm_dev		*dev;
	struct vaio_geometry	geo;
	struct vaio_slot_cfg	*cfg[VAIO_MAX_SLOTS];
	unsigned int		io_size;	/* struct vaio_io and all slots' state */
	struct vaio_plan	plans[__VAIO_KIND_COUNT];

	/* feature arguments, kept for dmsetup table */
	char			*sidecar_path;
	char			*identity;
	bool			deny_cleartext;
	bool			takeover;	/* own the sidecar though another host does */
	bool			lose_dirty;	/* ... even with dirty blocks in its cache */
	bool			standby;	/* live, but not ours: every io fails */
	struct vaio_claim	claim;
	bool			claimed;
};

/**
 * struct vaio_disk - a virtual disk, found by a UUID that outlives tables
 * @ref: each table, netlink look-up and open agent file holds one
 * @md: the mapped device it lives in; another one with this UUID is refused
 * @below: one reference for each own bio; killed while suspended
 */
struct vaio_disk {
	uuid_t			uuid;
	struct kref		ref;
	struct list_head	list;		/* vaio_disks_lock */
	struct mapped_device	*md;		/* constant; compared, never followed after the last table */
	unsigned int		tables;		/* vaio_disks_lock */

	struct mutex		lifecycle;
	struct mutex		lock;
	char			name[VAIO_DEVNAME_LEN];
	struct vaio_slot	*slots[VAIO_MAX_SLOTS];
	struct vaio_stack	*stack;		/* live one, NULL while suspended */
	enum vaio_disk_state	state;
	char			reason[VAIO_REASON_LEN];
	sector_t		sectors;
	unsigned int		block_size;
	sector_t		offset;
	dev_t			dev;
	dev_t			backing_dev;
	char			backing[VAIO_DEVNAME_LEN];
	char			sidecar_path[VAIO_DEVNAME_LEN];

	bool			attached;	/* lifecycle; a table was live once */
	struct vaio_sidecar	*sidecar;	/* lifecycle */
	bool			unclean;	/* its last owner did not release it; lifecycle */
	bool			unsettled;	/* ... and no table has started since; lifecycle */
	bool			noted;		/* what is written is noted in its bitmap; lifecycle */
	bool			flush_failed;	/* of the backing device, at the last suspend; lifecycle */
	struct percpu_ref	below;
	struct completion	below_dead;
	struct workqueue_struct	*wq;
	struct vaio_stack_stats __percpu *stats;
	spinlock_t		charge_lock;
	struct bio		charge;		/* carries the cgroup of the io served last */

	struct work_struct	space_work;	/* space.c */
	unsigned long		no_space_at;	/* jiffies of the last ENOSPC */
	bool			no_space;

	struct vaio_slot	*transform_slot;
	const struct vaio_transform *transform;

	struct vaio_event_queue	*events;	/* event.c */
};

extern struct mutex vaio_disks_lock;
extern struct list_head vaio_disks;

/* main.c: module parameters, and who this host is (for sidecars) */
extern bool vaio_exclusive;
bool vaio_exclusive_classes(void);
#define VAIO_HOST_ID_LEN	16
int vaio_host_parse(const char *text, u8 *id);
int vaio_host_identity(u8 *host, u8 *boot);

/* registry.c */
const struct vaio_filter *vaio_filter_get(const char *name, struct module **owner);
void vaio_filter_put(const struct vaio_filter *filter, struct module *owner);
unsigned int vaio_filter_count(void);
int vaio_filter_walk(int (*fn)(const struct vaio_filter *filter, void *arg), void *arg);
bool vaio_name_valid(const char *name);
const char *vaio_filter_check_io(const struct vaio_filter *filter, u32 submit, u32 complete,
				 u32 enter, unsigned int io_size);
const char *vaio_class_name(enum vaio_class class);
const char *vaio_kind_name(enum vaio_kind kind);

/* cfg.c: a table's words for one slot */
struct vaio_slot_cfg *vaio_cfg_new(const char *name, const struct vaio_geometry *geo,
				   unsigned int nr_words, char **words, char **error);
void vaio_cfg_put(struct vaio_slot_cfg *cfg);
/* Sentences that outlive what they speak of and need no freeing. */
__printf(1, 2) char *vaio_error(const char *fmt, ...);
__printf(1, 0) char *vaio_verror(const char *fmt, va_list args);

/* disk.c */
struct vaio_disk *vaio_disk_get_for_table(const uuid_t *uuid, struct mapped_device *md,
					  char *error, size_t len);
void vaio_disk_put_table(struct vaio_disk *disk);
void vaio_disk_refresh_name(struct vaio_disk *disk);
struct vaio_disk *vaio_disk_find(const uuid_t *uuid);	/* NULL or referenced */
struct vaio_disk *vaio_disk_find_name(const char *name);
/* Charge an own bio that serves no guest io to the disk's last user. */
void vaio_disk_charge(struct vaio_disk *disk, struct bio *bio);
void vaio_disk_remember_charge(struct vaio_disk *disk, struct bio *served);
/* Next disk in the list after @prev (whose reference is dropped); NULL at the end. */
struct vaio_disk *vaio_disk_next(struct vaio_disk *prev);
void vaio_disk_get(struct vaio_disk *disk);
void vaio_disk_put(struct vaio_disk *disk);
void vaio_disk_set_state(struct vaio_disk *disk, enum vaio_disk_state state, const char *reason);
void vaio_disk_activated(struct vaio_disk *disk);
unsigned int vaio_disk_count(void);
const char *vaio_disk_state_name(enum vaio_disk_state state);
const char *vaio_slot_state_name(enum vaio_slot_state state);
/* The slot of a filter by name; disk->lock held. */
struct vaio_slot *vaio_disk_slot(struct vaio_disk *disk, const char *filter);
/* A live property; takes disk->lock. @error as in vaio_filter.parse, the caller frees nothing. */
int vaio_disk_set(struct vaio_disk *disk, const char *filter, const char *name,
		  const char *value, char *error, size_t len);

/* stack.c: a table's life */
int vaio_stack_preresume(struct vaio_stack *stack);
void vaio_stack_resume(struct vaio_stack *stack);
void vaio_stack_presuspend(struct vaio_stack *stack);
void vaio_stack_presuspend_undo(struct vaio_stack *stack);
void vaio_stack_postsuspend(struct vaio_stack *stack);
void vaio_plans_build(struct vaio_stack *stack, struct vaio_slot *const *slots);
/* Last table gone: stop and free what the disk still owns. */
void vaio_slots_teardown(struct vaio_disk *disk);

/* io.c: the data path but for what path.h inlines */
bool vaio_stack_take_part(const struct vaio_plan *plan, struct bio *clone);
int vaio_stack_map_rest(struct vaio_io *io, const struct vaio_hook *hook, unsigned int answer);
int vaio_stack_end_io_rest(struct vaio_io *io, const struct vaio_hook *hook, unsigned int answer,
			   blk_status_t *error);
int vaio_stack_end_io_failed(struct vaio_stack *stack, struct bio *clone, blk_status_t *error);
void vaio_stack_trace_complete(const struct vaio_io *io);
void vaio_io_down(struct vaio_io *io, unsigned int from);
void vaio_io_submit(struct vaio_io *io);
void vaio_io_up(struct vaio_io *io, unsigned int from);
enum vaio_verdict vaio_hook_pass(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict vaio_hook_begin_time(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict vaio_hook_end_time(struct vaio_slot *slot, struct vaio_io *io);
#if IS_ENABLED(CONFIG_KUNIT)
extern void (*vaio_test_send)(struct vaio_io *io);
#else
#define vaio_test_send ((void (*)(struct vaio_io *io))NULL)
#endif

/* space.c: a backing without space */
void vaio_space_note(struct vaio_stack *stack, const struct bio *clone, blk_status_t status);
void vaio_space_work(struct work_struct *work);

/* own.c: own I/O */
struct bio_set *vaio_own_bios_new(unsigned int io_size);
void vaio_own_bios_free(struct bio_set *bios);
void vaio_own_finish(struct vaio_io *io);
void vaio_own_below_release(struct percpu_ref *ref);

/* flush.c: which flushes may be completed above the bottom */
enum vaio_verdict vaio_flush_enter(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict vaio_flush_leave(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict vaio_flush_mark(struct vaio_slot *slot, struct vaio_io *io);

/* event.c */
#define VAIO_EVENT_DEADLINE_MIN	100	/* of a prepare, milliseconds */
#define VAIO_EVENT_DEADLINE_MAX	600000
#define VAIO_EVENT_DEADLINE	30000

/**
 * struct vaio_event_info - an event as it is at one moment
 * @token: names it
 * @uuid: of the disk
 * @name: of the disk
 * @type: enum vaio_event_type
 * @phase: enum vaio_event_phase
 * @status: enum vaio_event_status
 * @deadline_ms: of a prepare
 * @filter: the first filter that answered with an error; empty: none
 * @error: negative errno of that answer, or why the event ended
 * @reason: for people, empty when there is nothing to say
 * @arg: of the poster
 * @time_ns: CLOCK_REALTIME of the last change
 */
struct vaio_event_info {
	u64			token;
	uuid_t			uuid;
	char			name[VAIO_DEVNAME_LEN];
	enum vaio_event_type	type;
	enum vaio_event_phase	phase;
	enum vaio_event_status	status;
	unsigned int		deadline_ms;
	char			filter[VAIO_NAME_LEN];
	int			error;
	char			reason[VAIO_REASON_LEN];
	char			arg[VAIO_VALUE_LEN];
	u64			time_ns;
};

struct vaio_event_queue *vaio_events_new(struct vaio_disk *disk);
void vaio_events_free(struct vaio_event_queue *q);
int vaio_event_post(struct vaio_disk *disk, enum vaio_event_type type, enum vaio_event_phase phase,
		    const char *arg, unsigned int deadline_ms, u64 prepare, u64 *token);
int vaio_event_find(u64 token, struct vaio_event_info *info);
/* Wait for a running hook of the slot and deliver nothing to it any more. */
void vaio_event_forget_slot(struct vaio_slot *slot);
bool vaio_event_can_prepare(enum vaio_event_type type);
int vaio_events_init(void);
void vaio_events_exit(void);
const char *vaio_event_type_name(enum vaio_event_type type);
const char *vaio_event_phase_name(enum vaio_event_phase phase);
const char *vaio_event_status_name(enum vaio_event_status status);
int vaio_event_type_from_name(const char *name);
int vaio_event_phase_from_name(const char *name);

/* domain.c: see struct vaio_domain_ops */
int vaio_domain_next(const char *after, struct vaio_domain_info *info);
int vaio_domain_get(const char *name, struct vaio_domain_info *info);
int vaio_domain_set(const struct vaio_domain_change *change, char **error);

/* netlink.c */
int vaio_netlink_init(void);
void vaio_netlink_exit(void);
void vaio_netlink_notify(const struct vaio_event_info *info);

/* claim.c */
/* -EBUSY with *error naming the other's role and disk. Claims of one disk and role may overlap (reload). */
int vaio_claim_add(struct vaio_claim *claim, char *error, size_t len);
void vaio_claim_fill(struct vaio_claim *claim, struct block_device *bdev, sector_t start,
		     sector_t sectors, enum vaio_role role, const uuid_t *uuid);
void vaio_claim_del(struct vaio_claim *claim);

/* stats.c */
struct vaio_slot_stats __percpu *vaio_slot_stats_alloc(void);
void vaio_slot_stats_sum(const struct vaio_slot *slot, struct vaio_slot_stats *sum);
void vaio_stack_stats_sum(const struct vaio_disk *disk, struct vaio_stack_stats *sum);

/**
 * vaio_kind_of - kind of a request
 *
 * Return: enum vaio_kind, or __VAIO_KIND_COUNT for what a virtual disk does not
 * support (zone operations).
 */
static inline unsigned int vaio_kind_of(const struct bio *bio)
{
	if (bio_op(bio) == REQ_OP_READ)
		return VAIO_KIND_READ;
	if (bio_op(bio) == REQ_OP_WRITE) {
		if (likely(!(bio->bi_opf & (REQ_PREFLUSH | REQ_FUA))))
			return VAIO_KIND_WRITE;
		/* device-mapper sends the flush of a write with data by itself first */
		return bio->bi_opf & REQ_PREFLUSH ? VAIO_KIND_FLUSH : VAIO_KIND_WRITE_FUA;
	}
	switch (bio_op(bio)) {
	case REQ_OP_DISCARD:
		return VAIO_KIND_DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return VAIO_KIND_WRITE_ZEROES;
	case REQ_OP_SECURE_ERASE:
		return VAIO_KIND_SECURE_ERASE;
	default:
		return __VAIO_KIND_COUNT;
	}
}

#endif /* _VAIO_CORE_H */
