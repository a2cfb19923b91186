/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vaio-qos: storage I/O control. What its files share.
 *
 *	engine.c	limits, reservations, shares as arithmetic
 *	window.c	the latency window as arithmetic
 *	params.c	the words of a table
 *	limit.c		where an io enters the stack: limits of disk and VM
 *	sched.c		where it leaves: domains' windows, reservations, shares
 *	domain.c	the domains of this host, admission, their netlink side
 *	vm.c		disks of one virtual machine that share a limit
 *	main.c		the filter
 *
 * Locks, outermost first:
 *
 *	qos_mutex	domains, VMs, who belongs to which, settings. Never held
 *			while waiting for I/O, never taken by the data path.
 *	qos_slot.lock	a disk's limits and the ios that wait for them
 *	qos_vm.lock	a VM's limits
 *	qos_domain.lock	a domain's scheduler and what waits in it; irq-safe
 */
#ifndef _VAIO_QOS_H
#define _VAIO_QOS_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "filter.h"
#include "engine.h"
#include "window.h"

/* Discards and their like carry no data: they cost one unit and no bytes. */
#define QOS_K_DATA	(VAIO_K(READ) | VAIO_K_WRITES)
#define QOS_K_ALL	(QOS_K_DATA | VAIO_K_ERASERS)	/* flushes pass unseen */

/* ios that a worker releases before it looks at the clock again. */
#define QOS_BATCH	32

extern struct mutex qos_mutex;

/* --- words ------------------------------------------------------------------ */

/**
 * struct qos_params - what a table, or set(), asked for
 * @reservation, @limit, @vm_limit: a second, by measure; 0: none
 * @vm_limited: the table gives a limit of the VM
 * @shares: 1 to QOS_WEIGHT_MAX
 * @shift: of the cost unit; QOS_UNIT_OFF: any I/O costs one
 * @burst_ms: what the limits allow in this time may go at once
 * @idle_credit: cost units
 * @domain: name; empty: none
 * @vm: name; empty: none
 */
struct qos_params {
	u64		reservation[QOS_MEASURES];
	u64		limit[QOS_MEASURES];
	u64		vm_limit[QOS_MEASURES];
	bool		vm_limited;
	u32		shares;
	u32		burst_ms;
	u32		idle_credit;
	u8		shift;
	char		domain[VAIO_NAME_LEN];
	char		vm[VAIO_NAME_LEN];
};

#define QOS_SHARES_LOW		500
#define QOS_SHARES_NORMAL	1000
#define QOS_SHARES_HIGH		2000

/**
 * struct qos_table - cfg->priv
 * @params: as they are now, set live ones included
 * @uuid: of the disk
 * @domain: NULL: none
 * @vm: NULL: none
 * @entry: in domain->tables; what it reserves is counted from parse() on, so
 *	that two tables cannot both get the last of the capacity. Tables of one
 *	disk count once, with the larger one
 */
struct qos_table {
	struct qos_params	params;
	const uuid_t		*uuid;
	struct qos_domain	*domain;
	struct qos_vm		*vm;
	struct list_head	entry;
};

/* params.c */
int qos_params_parse(struct vaio_slot_cfg *cfg, struct qos_params *p, char **error);
int qos_params_set(struct qos_params *p, const char *name, const char *value, char **error);
void qos_params_show(const struct qos_params *p, struct vaio_text *text);
bool qos_name_valid(const char *name);

/* --- a disk ------------------------------------------------------------------ */

/* What this CPU may still let in without asking the limits. */
struct qos_credit {
	atomic64_t	left[QOS_MEASURES];
};

struct qos_stats {
	u64	limited;			/* waited for a limit */
	u64	queued;				/* waited for the window */
	u64	by_reservation;			/* of those, went by reservation */
	u64	internal;			/* own I/O that met a window that was full */
	u64	limit_delay[VAIO_HIST_BUCKETS];
	u64	queue_delay[VAIO_HIST_BUCKETS];
	u64	latency[VAIO_HIST_BUCKETS];	/* of the device, of the ios that were measured */
};

enum { QOS_GUEST, QOS_INTERNAL, QOS_SOURCES };

/**
 * struct qos_slot - the filter on one disk: slot->priv
 * @limited: there is a limit of the disk or of its VM
 * @shift: of the cost unit
 * @round: the cost unit less one, so that a cost is rounded up
 * @domain: NULL: none. Changes only while no io is in flight
 * @credit: taken from the limits before; see limit.c
 */
struct qos_slot {
	/* read by every io */
	bool			limited;
	u8			shift;
	u64			round;
	struct qos_domain	*domain;
	struct qos_credit __percpu *credit;
	struct qos_stats __percpu *stats;
	struct vaio_slot	*slot;
	struct qos_table	*table;		/* adopted last */

	/* limit.c, under lock */
	spinlock_t		lock;
	struct qos_limits	limits;
	struct qos_cost		batch;		/* of credit; all 0: none */
	struct list_head	parked;
	u32			nr_parked;
	u32			warn_parked;
	bool			claimed;	/* the first of parked has taken its cost */
	u64			due;		/* ... and may go then */
	struct hrtimer		timer;
	struct work_struct	release;

	/* sched.c, under domain->lock */
	struct qos_flow		flow;
	struct qos_turns	turns;
	struct list_head	queue[QOS_SOURCES];
	u32			nr_queued[QOS_SOURCES];
	u32			warn_queued;
	u32			prepares;	/* internal I/O does not wait meanwhile */

	/* vm.c, under qos_mutex */
	struct qos_vm		*vm;
	struct list_head	vm_entry;
};

/* Per-io state. */
struct qos_io {
	u64	sent_ns;	/* with VAIO_IO_MEASURED: when it went down */
};

static inline bool qos_has_data(const struct vaio_io *io)
{
	static_assert(QOS_K_DATA == (1U << VAIO_KIND_FLUSH) - 1);
	return io->kind < VAIO_KIND_FLUSH;
}

static inline struct qos_cost qos_cost(const struct qos_slot *qs, const struct vaio_io *io)
{
	if (unlikely(!qos_has_data(io)))
		return (struct qos_cost) { { 1, 0 } };
	return (struct qos_cost) { { qos_cost_of(io->len, qs->shift), io->len } };
}

/* main.c */
void qos_continue_all(struct list_head *ios);

/* limit.c */
enum vaio_verdict qos_enter(struct vaio_slot *slot, struct vaio_io *io);
void qos_limit_init(struct qos_slot *qs);
void qos_limit_exit(struct qos_slot *qs);
void qos_limit_apply(struct qos_slot *qs);
void qos_limit_refund(struct qos_slot *qs, const struct vaio_io *io);
void qos_limit_release_all(struct qos_slot *qs);

/* --- domains ------------------------------------------------------------------- */

struct qos_domain_cpu {
	atomic_t		slots;		/* of the window, at this CPU's disposal */
	int			skip;		/* ios until the next that is measured */
	int			every;		/* one of so many is */
	unsigned long		jiffy;		/* of the one that was measured last */
	struct qos_latency	latency;	/* since the domain is there */
};

enum qos_probe { QOS_NO_PROBE, QOS_PROBE_DRAINS, QOS_PROBE_MEASURES };

/**
 * struct qos_domain - disks on one backing store
 * @contended: the window is, or was lately, too small for all; see sched.c
 * @hold: window slots that a CPU keeps at most; none in contention
 * @batch: ... and takes at a time
 * @pool: window slots that nobody has
 */
struct qos_domain {
	/* read by every io */
	bool			contended;
	int			hold;
	int			batch;
	unsigned long		next_tick;
	struct qos_domain_cpu __percpu *cpu;

	atomic_t		pool ____cacheline_aligned_in_smp;
	unsigned int		nr_queued;	/* written under lock */
	struct workqueue_struct	*wq;
	struct work_struct	work;

	spinlock_t		lock;
	struct qos_sched	sched;
	struct qos_window	window;
	int			size;		/* the window in force */
	bool			queued_lately;
	u64			ticked;
	struct qos_latency	seen;		/* the CPUs' sums at the last tick */
	enum qos_probe		probe;
	u64			probe_since;
	u64			reserved_units;	/* for the window, a second */

	/* under qos_mutex */
	struct list_head	list;
	char			name[VAIO_NAME_LEN];
	struct list_head	tables;
	unsigned int		disks;
	u64			capacity[QOS_MEASURES];	/* 0: not declared */
	u64			reserved[QOS_MEASURES];
};

/* sched.c */
enum vaio_verdict qos_submit(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict qos_complete(struct vaio_slot *slot, struct vaio_io *io);
int qos_sched_setup(struct qos_domain *d);
void qos_sched_teardown(struct qos_domain *d);
void qos_queue_init(struct qos_slot *qs);
void qos_queue_apply(struct qos_slot *qs);
void qos_queue_release_all(struct qos_slot *qs);
void qos_queue_prepare(struct qos_slot *qs, bool begins, struct list_head *out);

/* domain.c; under qos_mutex unless it says so */
struct qos_domain *qos_domain_join(struct qos_table *table, bool rotational, char **error);
void qos_domain_leave(struct qos_table *table);
int qos_domain_rebook(struct qos_table *table, const u64 reservation[QOS_MEASURES], char **error);
int qos_domains_init(void);		/* takes it */
void qos_domains_exit(void);		/* takes it */

/* vm.c; under qos_mutex */
struct qos_vm {
	spinlock_t		lock;
	struct qos_limits	limits;
	struct list_head	list;
	char			name[VAIO_NAME_LEN];
	unsigned int		tables;
	unsigned int		disks;
	struct list_head	members;
	u64			rate[QOS_MEASURES];
	u32			burst_ms;
};

struct qos_vm *qos_vm_get(const char *name);
void qos_vm_put(struct qos_vm *vm);
void qos_vm_join(struct qos_slot *qs, struct qos_vm *vm);
void qos_vm_leave(struct qos_slot *qs);
void qos_vm_set(struct qos_vm *vm, const u64 rate[QOS_MEASURES], u32 burst_ms);

#define qos_count(__qs, __what)		this_cpu_inc((__qs)->stats->__what)
#define qos_count_ns(__qs, __hist, __ns) \
	this_cpu_inc((__qs)->stats->__hist[vaio_hist_bucket(__ns)])

#endif /* _VAIO_QOS_H */
