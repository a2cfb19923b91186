// SPDX-License-Identifier: GPL-2.0
/*
 * Limits, where an io enters the stack: what the guest sees.
 *
 *	read, write, FUA	cost: units of cost_unit bytes, and bytes
 *	flush			not asked for, never waits
 *	discard, write-zeroes, secure-erase	cost: one unit, no bytes
 *	own I/O of filters	never comes here
 *
 * Under the limit an io pays with credit that this CPU took before, a batch at a
 * time, and meets no lock and no clock. Credit that is not used stays, so half of
 * the burst belongs to it, and only half to the tags; a limit whose burst is too
 * small for batches is asked for each io.
 *
 * Over the limit ios are parked in the order of arrival. The first of them takes
 * its cost and knows from that when it may go; a timer wakes the worker then.
 */
#include <linux/ktime.h>
#include "qos.h"

/* A batch of credit at most. */
#define BATCH_UNITS	256
#define BATCH_BYTES	(4 << 20)
/* ... and one that is worth while. */
#define BATCH_UNITS_MIN	2
#define BATCH_BYTES_MIN	(64 << 10)

/* The worker is not woken more often than this: what is due meanwhile goes together. */
#define WAKE_NS		(50 * NSEC_PER_USEC)

/* As many parked ios are worth a line in the log; the next line at twice as many. */
#define WARN_PARKED	4096

/* More than can be used up, for a measure without limit. */
#define CREDIT_FREE	(1LL << 62)

/* --- with qs->lock held ------------------------------------------------------ */

/* Takes from the limits of the disk and of its VM. Returns when it may go. */
static u64 take(struct qos_slot *qs, const struct qos_cost *cost, u64 arrival, u64 now)
{
	u64 due = qos_limits_take(&qs->limits, cost, arrival, now);
	struct qos_vm *vm = qs->vm;

	if (vm) {
		u64 vm_due;

		spin_lock(&vm->lock);
		vm_due = qos_limits_take(&vm->limits, cost, arrival, now);
		spin_unlock(&vm->lock);
		if (qos_after(vm_due, due))
			due = vm_due;
	}
	return due;
}

static void give(struct qos_slot *qs, const struct qos_cost *cost)
{
	struct qos_vm *vm = qs->vm;

	qos_limits_give(&qs->limits, cost);
	if (vm) {
		spin_lock(&vm->lock);
		qos_limits_give(&vm->limits, cost);
		spin_unlock(&vm->lock);
	}
}

/* All limits let an io pass: let them give credit for the next ones too. */
static void refill(struct qos_slot *qs, u64 now)
{
	struct qos_credit *credit = raw_cpu_ptr(qs->credit);
	struct qos_cost more = { };
	int m;

	for (m = 0; m < QOS_MEASURES; m++)
		if (atomic64_read(&credit->left[m]) < qs->batch.v[m])
			more.v[m] = qs->batch.v[m];
	if (!more.v[QOS_OPS] && !more.v[QOS_BYTES])
		return;
	if (qos_after(take(qs, &more, now, now), now)) {
		give(qs, &more);
		return;
	}
	for (m = 0; m < QOS_MEASURES; m++)
		atomic64_add(more.v[m], &credit->left[m]);
}

/* The first of the parked has not gone, and gives back what it took. */
static void unclaim(struct qos_slot *qs)
{
	struct qos_cost cost;

	if (!qs->claimed)
		return;
	cost = qos_cost(qs, list_first_entry(&qs->parked, struct vaio_io, entry));
	give(qs, &cost);
	qs->claimed = false;
}

/* The first of the parked takes its cost, if it has not. */
static void claim(struct qos_slot *qs, u64 now)
{
	struct vaio_io *io = list_first_entry_or_null(&qs->parked, struct vaio_io, entry);
	struct qos_cost cost;

	if (!io || qs->claimed)
		return;
	cost = qos_cost(qs, io);
	qs->due = take(qs, &cost, io->defer_ns, now);
	qs->claimed = true;
}

static void wake_when_due(struct qos_slot *qs, u64 now)
{
	u64 at = qos_after(qs->due, now + WAKE_NS) ? qs->due : now + WAKE_NS;

	hrtimer_start(&qs->timer, ns_to_ktime(at), HRTIMER_MODE_ABS);
}

/* --- the way in ---------------------------------------------------------------- */

static enum vaio_verdict park(struct qos_slot *qs, struct vaio_io *io)
{
	int r = vaio_io_defer_enter(qs->slot, io, VAIO_PACED);

	if (r)
		return r == -EAGAIN ? VAIO_FAIL : VAIO_PASS;
	list_add_tail(&io->entry, &qs->parked);
	qs->nr_parked++;
	qos_count(qs, limited);
	if (unlikely(qs->nr_parked >= qs->warn_parked)) {
		qs->warn_parked *= 2;
		pr_warn_ratelimited("vaio: disk '%s': %u ios wait for its limit\n",
				    vaio_disk_name(qs->slot->disk), qs->nr_parked);
	}
	return VAIO_DEFER;
}

/* No credit: ask the limits. */
static noinline enum vaio_verdict enter_slow(struct qos_slot *qs, struct vaio_io *io)
{
	enum vaio_verdict verdict = VAIO_PASS;
	struct qos_cost cost = qos_cost(qs, io);
	u64 due, now = ktime_get_ns();
	unsigned long flags;

	spin_lock_irqsave(&qs->lock, flags);
	if (!list_empty(&qs->parked)) {
		verdict = park(qs, io);
		goto out;
	}
	due = take(qs, &cost, now, now);
	if (!qos_after(due, now)) {
		refill(qs, now);
		goto out;
	}
	verdict = park(qs, io);
	if (verdict == VAIO_DEFER) {
		qs->claimed = true;
		qs->due = due;
		wake_when_due(qs, now);
	} else {
		give(qs, &cost);
	}
out:
	spin_unlock_irqrestore(&qs->lock, flags);
	return verdict;
}

/* enter() of the filter. */
enum vaio_verdict qos_enter(struct vaio_slot *slot, struct vaio_io *io)
{
	struct qos_slot *qs = slot->priv;
	struct qos_credit *credit;
	u64 units, len;

	if (!READ_ONCE(qs->limited))
		return VAIO_PASS;
	if (unlikely(!qos_has_data(io)))
		return enter_slow(qs, io);
	len = io->len;
	/* qos_cost_of(), with less to do */
	units = (len + qs->round) >> qs->shift;
	/* another CPU's credit would do as well */
	credit = raw_cpu_ptr(qs->credit);
	if (likely(atomic64_sub_return(units, &credit->left[QOS_OPS]) >= 0)) {
		if (likely(atomic64_sub_return(len, &credit->left[QOS_BYTES]) >= 0))
			return VAIO_PASS;
		atomic64_add(len, &credit->left[QOS_BYTES]);
	}
	atomic64_add(units, &credit->left[QOS_OPS]);
	return enter_slow(qs, io);
}

/**
 * qos_limit_refund - an io that has paid is sent back: the submitter will not wait
 * @qs: the disk
 * @io: fails with BLK_STS_AGAIN
 *
 * It will come again, and pay again. Any context.
 */
void qos_limit_refund(struct qos_slot *qs, const struct vaio_io *io)
{
	struct qos_credit *credit = raw_cpu_ptr(qs->credit);
	struct qos_cost cost = qos_cost(qs, io);
	int m;

	if (!READ_ONCE(qs->limited) || (io->flags & VAIO_IO_OWN))
		return;
	for (m = 0; m < QOS_MEASURES; m++)
		atomic64_add(cost.v[m], &credit->left[m]);
}

/* --- the way on ------------------------------------------------------------------ */

static void unpark(struct qos_slot *qs, struct vaio_io *io, struct list_head *out, u64 now)
{
	list_move_tail(&io->entry, out);
	qs->nr_parked--;
	qos_count_ns(qs, limit_delay, now - io->defer_ns);
}

static void release_work(struct work_struct *work)
{
	struct qos_slot *qs = container_of(work, struct qos_slot, release);
	u64 now = ktime_get_ns();
	LIST_HEAD(out);
	int n = 0;

	spin_lock_irq(&qs->lock);
	for (;;) {
		claim(qs, now);
		if (list_empty(&qs->parked) || qos_after(qs->due, now) || n == QOS_BATCH)
			break;
		unpark(qs, list_first_entry(&qs->parked, struct vaio_io, entry), &out, now);
		qs->claimed = false;
		n++;
	}
	if (list_empty(&qs->parked))
		qs->warn_parked = WARN_PARKED;
	else if (n == QOS_BATCH)
		queue_work(vaio_disk_wq(qs->slot->disk), &qs->release);
	else
		wake_when_due(qs, now);
	spin_unlock_irq(&qs->lock);
	qos_continue_all(&out);
}

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	struct qos_slot *qs = container_of(timer, struct qos_slot, timer);

	queue_work(vaio_disk_wq(qs->slot->disk), &qs->release);
	return HRTIMER_NORESTART;
}

/**
 * qos_limit_release_all - let all parked ios go at once
 * @qs: the disk, quiesced
 *
 * May sleep.
 */
void qos_limit_release_all(struct qos_slot *qs)
{
	struct vaio_io *io, *next;
	u64 now = ktime_get_ns();
	LIST_HEAD(out);

	spin_lock_irq(&qs->lock);
	unclaim(qs);
	list_for_each_entry_safe(io, next, &qs->parked, entry)
		unpark(qs, io, &out, now);
	qs->warn_parked = WARN_PARKED;
	spin_unlock_irq(&qs->lock);
	hrtimer_cancel(&qs->timer);
	qos_continue_all(&out);
}

/* --- limits change ------------------------------------------------------------------ */

/* What a CPU may take at a time so that all CPUs together keep to half of the burst. */
static u32 batch_of(u64 rate, u64 burst_ms, u64 takers, u32 min, u32 max)
{
	/* a CPU has up to two batches */
	u64 batch = div64_u64(rate * burst_ms, 4 * MSEC_PER_SEC * takers);

	return batch < min ? 0 : min_t(u64, batch, max);
}

static u32 smaller(u32 a, bool a_counts, u32 b, bool b_counts)
{
	if (a_counts && b_counts)
		return min(a, b);
	return a_counts ? a : b;
}

/* The batch of one measure; *worth: false when there is a limit, but no batch. */
static u32 batch_for(const struct qos_slot *qs, enum qos_measure m, bool *worth)
{
	const struct qos_params *p = &qs->table->params;
	const struct qos_vm *vm = qs->vm;
	u32 min = m == QOS_OPS ? BATCH_UNITS_MIN : BATCH_BYTES_MIN;
	u32 max = m == QOS_OPS ? BATCH_UNITS : BATCH_BYTES;
	u64 vm_rate = vm ? vm->rate[m] : 0, cpus = num_online_cpus();
	u32 batch;

	batch = smaller(batch_of(p->limit[m], p->burst_ms, cpus, min, max), p->limit[m],
			vm ? batch_of(vm_rate, vm->burst_ms, cpus * vm->disks, min, max) : 0,
			vm_rate);
	if ((p->limit[m] || vm_rate) && !batch)
		*worth = false;
	return batch;
}

/**
 * qos_limit_apply - the limits of a disk, its VM's or the cost unit have changed
 * @qs: the disk; qs->table and qs->vm have the new ones
 *
 * They act at once, on what is parked too. Under qos_mutex, I/O may be in flight.
 */
void qos_limit_apply(struct qos_slot *qs)
{
	const struct qos_params *p = &qs->table->params;
	const struct qos_vm *vm = qs->vm;
	u64 burst = p->burst_ms * NSEC_PER_MSEC;
	struct qos_cost batch;
	bool worth = true;
	int cpu, m;

	lockdep_assert_held(&qos_mutex);
	for (m = 0; m < QOS_MEASURES; m++)
		batch.v[m] = batch_for(qs, m, &worth);
	if (!worth)
		batch = (struct qos_cost) { };

	spin_lock_irq(&qs->lock);
	unclaim(qs);
	WRITE_ONCE(qs->round, (1ULL << p->shift) - 1);
	WRITE_ONCE(qs->shift, p->shift);
	qos_limits_set(&qs->limits, p->limit, worth ? burst / 2 : burst, ktime_get_ns());
	qs->batch = batch;
	for_each_possible_cpu(cpu)
		for (m = 0; m < QOS_MEASURES; m++)
			atomic64_set(&per_cpu_ptr(qs->credit, cpu)->left[m],
				     p->limit[m] || (vm && vm->rate[m]) ? 0 : CREDIT_FREE);
	WRITE_ONCE(qs->limited, qos_limits_any(&qs->limits) ||
				(vm && (vm->rate[QOS_OPS] || vm->rate[QOS_BYTES])));
	if (!list_empty(&qs->parked))
		queue_work(vaio_disk_wq(qs->slot->disk), &qs->release);
	spin_unlock_irq(&qs->lock);
}

void qos_limit_init(struct qos_slot *qs)
{
	spin_lock_init(&qs->lock);
	INIT_LIST_HEAD(&qs->parked);
	INIT_WORK(&qs->release, release_work);
	vaio_hrtimer_setup(&qs->timer, timer_fired, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	qs->warn_parked = WARN_PARKED;
}

/**
 * qos_limit_exit - no io is left, stop what may still run
 * @qs: the disk
 *
 * May sleep.
 */
void qos_limit_exit(struct qos_slot *qs)
{
	hrtimer_cancel(&qs->timer);
	cancel_work_sync(&qs->release);
}
