// SPDX-License-Identifier: GPL-2.0
/*
 * Reservations and shares, where an io leaves for the datastore.
 *
 *	read, write, FUA	cost: units of cost_unit bytes, and bytes; measured
 *	flush			not asked for, never waits
 *	discard, write-zeroes, secure-erase	cost: one unit, no bytes
 *	own I/O of filters	as the guest's; what serves no guest io waits behind it
 *
 * A domain has a window: so many ios may be in flight. Every io takes one slot of
 * it on the way down and returns it on the way up; at any time
 *
 *	the pool + what the CPUs hold + ios in flight = the window
 *
 * Uncontended: a CPU takes slots out of the pool a batch at a time, and an io
 * takes one from its CPU: no lock, no queue, and a look at the clock for some.
 *
 * Contended, from the moment that there is no slot: the CPUs' slots go back to
 * the pool, and every io is charged to its disk's tags under the domain's lock.
 * It goes on at once if nobody waits and there is a slot. Else it is queued at
 * its disk, and the worker dispatches a batch when slots come back, in the order
 * of mClock. When for a while nobody had to wait it is over.
 *
 * A worker looks at the latencies every now and then (at most ten times a
 * second, and only while there is I/O) and lets window.c adapt the window.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include "qos.h"

#define TICK_CONTENDED	(HZ / 10)
#define TICK_ELSE	HZ

/* One of so many ios is measured at least; all, when there are few. */
#define MEASURE_ONE_OF	32

/* Of the window, what a CPU takes at a time. */
#define CPU_BATCH_MAX	32

/* Figures of fewer ios say little; wait for more, but not for ever. */
#define TICK_COUNT_MIN	8
#define TICK_PATIENCE	(2 * NSEC_PER_SEC)

#define PROBE_COUNT	16
#define PROBE_COUNT_MIN	4
#define PROBE_NS	(100 * NSEC_PER_MSEC)

#define WARN_QUEUED	4096

/* --- the window's slots ---------------------------------------------------------- */

/* In contention a CPU keeps nothing: one test tells both. Under d->lock. */
static void hold_apply(struct qos_domain *d)
{
	WRITE_ONCE(d->hold, d->contended ? 0 : 2 * d->batch);
}

/* So many ios may be in flight from now on. Under d->lock. */
static void window_resize(struct qos_domain *d, int size)
{
	atomic_add(size - d->size, &d->pool);
	d->size = size;
	WRITE_ONCE(d->batch, clamp_t(int, size / (4 * num_online_cpus()), 1, CPU_BATCH_MAX));
	hold_apply(d);
}

/* Takes up to @want slots. Returns how many it got. */
static int pool_take(struct qos_domain *d, int want)
{
	int n, old = atomic_read(&d->pool);

	do {
		n = min(want, old);
		if (n <= 0)
			return 0;
	} while (!atomic_try_cmpxchg(&d->pool, &old, old - n));
	return n;
}

static void cpu_slots_return(struct qos_domain *d, struct qos_domain_cpu *cpu)
{
	atomic_add(atomic_xchg(&cpu->slots, 0), &d->pool);
}

/*
 * From now on all slots are in the pool. A CPU that returns a slot looks for
 * d->hold after it did: either it sees that or we see the slot. Under d->lock.
 */
static void contention_begins(struct qos_domain *d)
{
	int cpu;

	WRITE_ONCE(d->contended, true);
	hold_apply(d);
	d->queued_lately = true;
	smp_mb();
	for_each_possible_cpu(cpu)
		cpu_slots_return(d, per_cpu_ptr(d->cpu, cpu));
	WRITE_ONCE(d->next_tick, jiffies + TICK_CONTENDED);
}

/*
 * The window may have become smaller than what is in flight. Nobody would notice:
 * a CPU's next io takes the slot that the last one has left there, and asks no
 * pool. Under d->lock.
 */
static void window_enforce(struct qos_domain *d)
{
	int cpu;

	if (d->contended || atomic_read(&d->pool) >= 0)
		return;
	for_each_possible_cpu(cpu)
		cpu_slots_return(d, per_cpu_ptr(d->cpu, cpu));
	if (atomic_read(&d->pool) < 0)
		contention_begins(d);
}

/* A slot is back in the pool: is somebody waiting for it? */
static void kick(struct qos_domain *d)
{
	if (READ_ONCE(d->nr_queued))
		queue_work(d->wq, &d->work);
}

/* --- measuring --------------------------------------------------------------------- */

static void measure_from(struct qos_slot *qs, struct vaio_io *io, u64 now)
{
	struct qos_io *q = vaio_io_state(qs->slot, io);

	q->sent_ns = now;
	io->flags |= VAIO_IO_MEASURED;
}

/*
 * The countdown has ended: this one is measured. The more ios there are in a
 * jiffy, the fewer of them. A countdown that another CPU's task has disturbed
 * does no harm.
 */
static noinline enum vaio_verdict submit_measured(struct qos_slot *qs, struct vaio_io *io,
						  struct qos_domain_cpu *cpu)
{
	unsigned long now = jiffies;

	if (cpu->jiffy == now)
		cpu->every = min(2 * cpu->every + 1, MEASURE_ONE_OF - 1);
	else
		cpu->every /= 2;
	cpu->jiffy = now;
	cpu->skip = cpu->every;
	measure_from(qs, io, ktime_get_ns());
	return VAIO_PASS;
}

static void measured(struct qos_slot *qs, struct qos_domain *d, struct vaio_io *io)
{
	const struct qos_io *q = vaio_io_state(qs->slot, io);
	u64 ns = ktime_get_ns() - q->sent_ns;

	if (!qos_has_data(io))
		return;		/* how long a discard takes says nothing of the rest */
	this_cpu_inc(d->cpu->latency.count);
	this_cpu_add(d->cpu->latency.sum, ns);
	this_cpu_inc(d->cpu->latency.bucket[qos_latency_bucket(ns)]);
	qos_count_ns(qs, latency, ns);
	if (time_after_eq(jiffies, READ_ONCE(d->next_tick)))
		queue_work(d->wq, &d->work);
}

/* What all CPUs measured since the domain is there. */
static void sum_latencies(struct qos_domain *d, struct qos_latency *sum)
{
	int cpu, i;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct qos_latency *l = &per_cpu_ptr(d->cpu, cpu)->latency;

		sum->count += READ_ONCE(l->count);
		sum->sum += READ_ONCE(l->sum);
		for (i = 0; i < QOS_LATENCY_BUCKETS; i++)
			sum->bucket[i] += READ_ONCE(l->bucket[i]);
	}
}

/* What was measured since the last time; @sum becomes the difference. */
static void take_latencies(struct qos_domain *d, struct qos_latency *sum)
{
	struct qos_latency *seen = &d->seen;
	int i;

	swap(*sum, *seen);
	sum->count = seen->count - sum->count;
	sum->sum = seen->sum - sum->sum;
	for (i = 0; i < QOS_LATENCY_BUCKETS; i++)
		sum->bucket[i] = seen->bucket[i] - sum->bucket[i];
}

/* --- the control, under d->lock --------------------------------------------------------- */

/*
 * A probe: for a moment so few ios are in flight that the device's own latency
 * shows. First those that are in flight have to come back; they keep the device
 * busy meanwhile.
 */
static void probe_begins(struct qos_domain *d, u64 now)
{
	if (!d->contended)
		contention_begins(d);
	d->probe = QOS_PROBE_DRAINS;
	d->probe_since = now;
	window_resize(d, QOS_WINDOW_PROBE);
	WRITE_ONCE(d->next_tick, jiffies);	/* every measured io wakes the worker */
}

static void probe_ends(struct qos_domain *d)
{
	d->probe = QOS_NO_PROBE;
	window_resize(d, qos_window_ios(&d->window));
	WRITE_ONCE(d->next_tick, jiffies + TICK_CONTENDED);
}

static void probe_goes_on(struct qos_domain *d, struct qos_latency *sum, u64 now)
{
	u64 count, since = now - d->probe_since;

	if (d->probe == QOS_PROBE_DRAINS) {
		if (atomic_read(&d->pool) >= 0) {
			take_latencies(d, sum);
			d->probe = QOS_PROBE_MEASURES;
			d->probe_since = now;
		} else if (since > 10 * PROBE_NS) {
			d->window.measured = now;
			probe_ends(d);
		}
		return;
	}
	count = sum->count - d->seen.count;
	if (count < PROBE_COUNT && since < (count < PROBE_COUNT_MIN ? 10 * PROBE_NS : PROBE_NS))
		return;
	take_latencies(d, sum);
	if (sum->count >= PROBE_COUNT_MIN)
		qos_window_median(&d->window, qos_latency_median(sum), true, now);
	else
		d->window.measured = now;	/* no use: later again */
	probe_ends(d);
}

static void tick(struct qos_domain *d, struct qos_latency *sum, u64 now)
{
	u64 count = sum->count - d->seen.count;
	bool probe;

	if (d->probe) {
		probe_goes_on(d, sum, now);
		return;
	}
	if (time_before(jiffies, d->next_tick))
		return;
	if (count < TICK_COUNT_MIN && now - d->ticked < TICK_PATIENCE)
		return;
	take_latencies(d, sum);
	d->ticked = now;
	if (count) {
		qos_window_median(&d->window, qos_latency_median(sum), false, now);
		qos_window_step(&d->window, sum, d->queued_lately, READ_ONCE(d->reserved_units));
		window_resize(d, qos_window_ios(&d->window));
		window_enforce(d);
	}
	probe = count && qos_window_wants_probe(&d->window, now) &&
		(d->queued_lately || qos_window_unknown(&d->window));
	if (d->contended && !d->queued_lately && !d->nr_queued && atomic_read(&d->pool) > 0) {
		WRITE_ONCE(d->contended, false);
		hold_apply(d);
	}
	d->queued_lately = d->nr_queued;
	WRITE_ONCE(d->next_tick, jiffies + (d->contended ? TICK_CONTENDED : TICK_ELSE));
	if (probe)
		probe_begins(d, now);
}

/* --- queues, under d->lock ------------------------------------------------------------------ */

static bool is_internal(const struct vaio_io *io)
{
	return io->flags & VAIO_IO_INTERNAL;
}

/* What waits of a disk has changed. */
static void queue_changed(struct qos_domain *d, struct qos_slot *qs, u64 now)
{
	if (qs->nr_queued[QOS_GUEST] || qs->nr_queued[QOS_INTERNAL]) {
		qos_flow_wait(&d->sched, &qs->flow, qs->nr_queued[QOS_GUEST], now);
		return;
	}
	qos_flow_idle(&d->sched, &qs->flow, now);
	qs->warn_queued = WARN_QUEUED;
}

static void queue_del(struct qos_domain *d, struct qos_slot *qs, struct vaio_io *io,
		      struct list_head *out, u64 now)
{
	list_move_tail(&io->entry, out);
	qs->nr_queued[is_internal(io)]--;
	WRITE_ONCE(d->nr_queued, d->nr_queued - 1);
	atomic_dec(&d->pool);
	measure_from(qs, io, now);
	qos_count_ns(qs, queue_delay, now - io->defer_ns);
}

/* The next io of a disk whose turn it is. */
static void dispatch_one(struct qos_domain *d, struct qos_slot *qs, enum qos_phase phase,
			 struct list_head *out, u64 now)
{
	struct vaio_io *guest = list_first_entry_or_null(&qs->queue[QOS_GUEST], struct vaio_io,
							 entry);
	struct vaio_io *internal = list_first_entry_or_null(&qs->queue[QOS_INTERNAL],
							    struct vaio_io, entry);
	struct vaio_io *io = guest;
	struct qos_cost cost;

	/* reservations are the guest's */
	if (phase == QOS_BY_SHARES && internal) {
		cost = qos_cost(qs, internal);
		if (qos_turn_internal(&qs->turns, guest, internal, cost.v[QOS_OPS]))
			io = internal;
	}
	cost = qos_cost(qs, io);
	if (phase == QOS_BY_RESERVATION)
		qos_count(qs, by_reservation);
	queue_del(d, qs, io, out, now);
	qos_turn_served(&qs->turns, io == internal, qs->nr_queued[QOS_INTERNAL], cost.v[QOS_OPS]);
	qos_flow_charge(&d->sched, &qs->flow, &cost, phase);
	queue_changed(d, qs, now);
}

static void domain_work(struct work_struct *work)
{
	struct qos_domain *d = container_of(work, struct qos_domain, work);
	/* only this worker, one at a time, begins and ends probes */
	bool look = d->probe || time_after_eq(jiffies, READ_ONCE(d->next_tick));
	struct qos_latency sum;
	LIST_HEAD(out);
	bool again;
	int n;
	u64 now;

	if (look)
		sum_latencies(d, &sum);
	now = ktime_get_ns();
	spin_lock_irq(&d->lock);
	if (look)
		tick(d, &sum, now);
	for (n = 0; n < QOS_BATCH && d->nr_queued && atomic_read(&d->pool) > 0; n++) {
		enum qos_phase phase;
		struct qos_flow *f = qos_sched_next(&d->sched, now, &phase);

		dispatch_one(d, container_of(f, struct qos_slot, flow), phase, &out, now);
	}
	again = d->nr_queued && atomic_read(&d->pool) > 0;
	spin_unlock_irq(&d->lock);

	qos_continue_all(&out);
	if (again)
		queue_work(d->wq, &d->work);
}

/* --- down and up ------------------------------------------------------------------------------- */

static enum vaio_verdict enqueue(struct qos_domain *d, struct qos_slot *qs, struct vaio_io *io,
				 u64 now)
{
	int r = vaio_io_defer(qs->slot, io, VAIO_PACED);

	if (r == -EAGAIN) {
		qos_limit_refund(qs, io);
		return VAIO_FAIL;
	}
	d->queued_lately = true;
	if (r) {
		/* quiesced: over the window, but at once */
		atomic_dec(&d->pool);
		return VAIO_PASS;
	}
	list_add_tail(&io->entry, &qs->queue[is_internal(io)]);
	qs->nr_queued[is_internal(io)]++;
	WRITE_ONCE(d->nr_queued, d->nr_queued + 1);
	queue_changed(d, qs, now);
	qos_count(qs, queued);
	if (unlikely(qs->nr_queued[QOS_GUEST] >= qs->warn_queued)) {
		qs->warn_queued *= 2;
		pr_warn_ratelimited("vaio: disk '%s': %u ios wait for domain '%s'\n",
				    vaio_disk_name(qs->slot->disk), qs->nr_queued[QOS_GUEST],
				    d->name);
	}
	/* whoever returned a slot before it could see us queued */
	smp_mb();
	if (atomic_read(&d->pool) > 0)
		queue_work(d->wq, &d->work);
	return VAIO_DEFER;
}

/* Goes at once, at its disk's expense. */
static void charge_now(struct qos_domain *d, struct qos_slot *qs, struct vaio_io *io, u64 now)
{
	struct qos_cost cost = qos_cost(qs, io);

	qos_flow_wait(&d->sched, &qs->flow, !is_internal(io), now);
	qos_flow_charge(&d->sched, &qs->flow, &cost,
			qos_flow_phase(&d->sched, &qs->flow, now));
	queue_changed(d, qs, now);
	atomic_dec(&d->pool);
}

/* There was no slot at @cpu. */
static noinline enum vaio_verdict submit_slow(struct qos_slot *qs, struct vaio_io *io,
					      struct qos_domain_cpu *cpu)
{
	struct qos_domain *d = qs->domain;
	enum vaio_verdict verdict = VAIO_PASS;
	unsigned long flags;
	int n;
	u64 now;

	if (!READ_ONCE(d->contended)) {
		n = pool_take(d, READ_ONCE(d->batch));
		if (n) {
			atomic_add(n - 1, &cpu->slots);
			/* as in slot_back(): contention may have begun meanwhile */
			smp_mb__after_atomic();
			if (unlikely(READ_ONCE(d->contended))) {
				cpu_slots_return(d, cpu);
				kick(d);
			}
			return VAIO_PASS;
		}
	}

	now = ktime_get_ns();
	measure_from(qs, io, now);
	spin_lock_irqsave(&d->lock, flags);
	if (!d->contended) {
		contention_begins(d);
	} else if (atomic_read(&cpu->slots)) {
		/* returned just when we had looked for one: nobody else may come for it */
		cpu_slots_return(d, cpu);
	}
	if (is_internal(io))
		qos_count(qs, internal);
	if ((!d->nr_queued && atomic_read(&d->pool) > 0) || (is_internal(io) && qs->prepares))
		charge_now(d, qs, io, now);
	else
		verdict = enqueue(d, qs, io, now);
	spin_unlock_irqrestore(&d->lock, flags);
	return verdict;
}

/*
 * submit() of the filter. In contention no CPU holds slots, so that all come to
 * submit_slow(), but for one that is just on its way back to the pool.
 */
enum vaio_verdict qos_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct qos_slot *qs = slot->priv;
	/* another CPU's slots would do as well */
	struct qos_domain_cpu *cpu = raw_cpu_ptr(qs->domain->cpu);

	if (unlikely(atomic_dec_return(&cpu->slots) < 0)) {
		atomic_inc(&cpu->slots);
		return submit_slow(qs, io, cpu);
	}
	if (unlikely(--cpu->skip < 0))
		return submit_measured(qs, io, cpu);
	return VAIO_PASS;
}

/* The CPU has more slots than it should keep, or they belong to the pool now. */
static noinline enum vaio_verdict slots_back(struct qos_domain *d, struct qos_domain_cpu *cpu, int n)
{
	int batch = READ_ONCE(d->batch);

	if (READ_ONCE(d->contended)) {
		cpu_slots_return(d, cpu);
		smp_mb__after_atomic();
		kick(d);
	} else if (atomic_cmpxchg(&cpu->slots, n, n - batch) == n) {
		atomic_add(batch, &d->pool);
	}
	return VAIO_PASS;
}

static __always_inline enum vaio_verdict slot_back(struct qos_domain *d)
{
	struct qos_domain_cpu *cpu = raw_cpu_ptr(d->cpu);
	/* with a full barrier: see contention_begins() */
	int n = atomic_inc_return(&cpu->slots);

	if (unlikely(n > READ_ONCE(d->hold)))
		return slots_back(d, cpu, n);
	return VAIO_PASS;
}

static noinline enum vaio_verdict complete_slow(struct qos_slot *qs, struct vaio_io *io)
{
	if (io->status == BLK_STS_AGAIN)
		qos_limit_refund(qs, io);
	if (io->flags & VAIO_IO_MEASURED)
		measured(qs, qs->domain, io);
	return slot_back(qs->domain);
}

/* complete() of the filter: an io returns its slot of the window. */
enum vaio_verdict qos_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct qos_slot *qs = slot->priv;

	if (unlikely(io->status || (io->flags & VAIO_IO_MEASURED)))
		return complete_slow(qs, io);
	return slot_back(qs->domain);
}

/* --- a disk's life ---------------------------------------------------------------------------------- */

/* All that waits of a disk from a source on goes to @out. Under d->lock. */
static void queue_empty(struct qos_domain *d, struct qos_slot *qs, int source,
			struct list_head *out)
{
	u64 now = ktime_get_ns();
	struct vaio_io *io, *next;

	for (; source < QOS_SOURCES; source++)
		list_for_each_entry_safe(io, next, &qs->queue[source], entry)
			queue_del(d, qs, io, out, now);
	queue_changed(d, qs, now);
}

/**
 * qos_queue_release_all - let queued ios go at once, over the window
 * @qs: the disk, quiesced
 *
 * May sleep.
 */
void qos_queue_release_all(struct qos_slot *qs)
{
	struct qos_domain *d = qs->domain;
	LIST_HEAD(out);

	if (!d)
		return;
	spin_lock_irq(&d->lock);
	queue_empty(d, qs, QOS_GUEST, &out);
	spin_unlock_irq(&d->lock);
	qos_continue_all(&out);
}

/**
 * qos_queue_prepare - a prepare began or ended
 * @qs: the disk
 * @begins: it began
 * @out: gets the ios that the caller has to continue when it has let the mutex go
 *
 * Meanwhile internal I/O does not wait: a prepare has a deadline. Under qos_mutex.
 */
void qos_queue_prepare(struct qos_slot *qs, bool begins, struct list_head *out)
{
	struct qos_domain *d = qs->domain;

	lockdep_assert_held(&qos_mutex);
	if (!d)
		return;
	spin_lock_irq(&d->lock);
	if (begins) {
		qs->prepares++;
		queue_empty(d, qs, QOS_INTERNAL, out);
	} else if (qs->prepares) {
		qs->prepares--;
	}
	spin_unlock_irq(&d->lock);
}

/**
 * qos_queue_apply - reservation, shares or idle credit have changed
 * @qs: the disk; qs->table has the new ones
 *
 * Under qos_mutex, I/O may be in flight.
 */
void qos_queue_apply(struct qos_slot *qs)
{
	const struct qos_params *p = &qs->table->params;
	struct qos_domain *d = qs->domain;
	u64 now = ktime_get_ns();

	lockdep_assert_held(&qos_mutex);
	if (!d)
		return;
	spin_lock_irq(&d->lock);
	qos_flow_set(&d->sched, &qs->flow, p->reservation, p->shares, p->idle_credit,
		     now);
	queue_changed(d, qs, now);
	spin_unlock_irq(&d->lock);
}

void qos_queue_init(struct qos_slot *qs)
{
	int source;

	qos_flow_init(&qs->flow, ktime_get_ns());
	for (source = 0; source < QOS_SOURCES; source++)
		INIT_LIST_HEAD(&qs->queue[source]);
	qs->warn_queued = WARN_QUEUED;
}

/**
 * qos_sched_setup - the part of a new domain that ios meet
 * @d: zeroed but for what domain.c filled in
 *
 * May sleep. Return: 0 or -ENOMEM.
 */
int qos_sched_setup(struct qos_domain *d)
{
	spin_lock_init(&d->lock);
	INIT_WORK(&d->work, domain_work);
	qos_sched_init(&d->sched);
	qos_window_init(&d->window, false, ktime_get_ns());
	d->next_tick = jiffies;
	d->cpu = alloc_percpu(struct qos_domain_cpu);
	if (!d->cpu)
		return -ENOMEM;
	d->wq = alloc_workqueue("vaio-qos-%.14s", WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, 1,
				d->name);
	if (!d->wq) {
		free_percpu(d->cpu);
		return -ENOMEM;
	}
	window_resize(d, qos_window_ios(&d->window));
	return 0;
}

/**
 * qos_sched_teardown - no disk is in the domain any more
 * @d: the domain
 *
 * May sleep.
 */
void qos_sched_teardown(struct qos_domain *d)
{
	destroy_workqueue(d->wq);
	free_percpu(d->cpu);
}
