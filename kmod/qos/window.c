// SPDX-License-Identifier: GPL-2.0
/*
 * The latency window: see window.h.
 *
 * The automatic threshold is a multiple of what the device takes when it is not
 * busy. A device that is always busy never shows that, and what it shows instead
 * is the queue that the window lets it have: measured by it, the threshold would
 * run away upwards. So every now and then the window shrinks to a few ios for as
 * long as it takes to measure some of them: a probe.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include "compat.h"
#include "window.h"

/* A median is recent for one to two of these. */
#define WINDOW_PERIOD		(60ULL * NSEC_PER_SEC)
#define WINDOW_PROBE_EVERY	(30ULL * NSEC_PER_SEC)

/* A probe takes a few of the device's own latencies: so many apart it costs nothing to speak of. */
#define WINDOW_PROBE_APART	400

/* The paper's g and b, the latter in 1/256 ios. */
#define WINDOW_GAIN_PERCENT	80
#define WINDOW_BETA		(4 << 8)

/* Lower end of a bucket, ns. */
static u64 bucket_ns(unsigned int bucket)
{
	unsigned int octave = bucket / 4 + 1;

	if (bucket < 4)
		return (u64)bucket << 10;
	return (4ULL + bucket % 4) << (octave - 2) << 10;
}

/**
 * qos_latency_median - the median of what was measured
 * @l: the figures
 *
 * Exact to an eighth. Return: ns, 0 when nothing was measured.
 */
u64 qos_latency_median(const struct qos_latency *l)
{
	u64 seen = 0;
	unsigned int i;

	if (!l->count)
		return 0;
	for (i = 0; i < QOS_LATENCY_BUCKETS - 1; i++) {
		seen += l->bucket[i];
		if (2 * seen >= l->count)
			break;
	}
	/* the middle of the bucket, and never 0 */
	return (bucket_ns(i) + bucket_ns(i + 1)) / 2;
}
VAIO_EXPORT_FOR_KUNIT(qos_latency_median);

/**
 * qos_window_init - a domain of which nothing is known yet
 * @w: the window
 * @rotational: the device has heads to move
 * @now: the time
 */
void qos_window_init(struct qos_window *w, bool rotational, u64 now)
{
	*w = (struct qos_window) {
		.size = QOS_WINDOW_FIRST << 8,
		.rotational = rotational,
		.since = now,
		.measured = now - (1ULL << 62),
	};
}
VAIO_EXPORT_FOR_KUNIT(qos_window_init);

static u64 lowest_median(const struct qos_window *w)
{
	if (!w->low[0] || (w->low[1] && w->low[1] < w->low[0]))
		return w->low[1];
	return w->low[0];
}

/**
 * qos_window_threshold - the latency that is aimed at
 * @w: the window
 *
 * Return: ns; 0: not known yet.
 */
u64 qos_window_threshold(const struct qos_window *w)
{
	u64 low = lowest_median(w);

	if (w->set)
		return w->set;
	if (w->rotational)
		return QOS_THRESHOLD_ROTATIONAL;
	return low ? clamp_t(u64, low * QOS_THRESHOLD_FACTOR, QOS_THRESHOLD_FLOOR,
			     QOS_THRESHOLD_MAX) : 0;
}
VAIO_EXPORT_FOR_KUNIT(qos_window_threshold);

/**
 * qos_window_median - a median was measured
 * @w: the window
 * @median: ns, not 0
 * @alone: by a probe
 * @now: the time
 *
 * Without a probe a median can only lower what a probe has found.
 */
void qos_window_median(struct qos_window *w, u64 median, bool alone, u64 now)
{
	u64 lowest = lowest_median(w);

	if (alone && now - w->since >= WINDOW_PERIOD) {
		w->low[1] = w->low[0];
		w->low[0] = 0;
		w->since = now;
	}
	if (alone ? !w->low[0] || median < w->low[0] : w->low[0] && median < w->low[0])
		w->low[0] = median;
	/* as good as a probe */
	if (alone || (lowest && 4 * median <= 5 * lowest))
		w->measured = now;
}
VAIO_EXPORT_FOR_KUNIT(qos_window_median);

/**
 * qos_window_wants_probe - has the device been busy for too long to know it?
 * @w: the window
 * @now: the time
 */
bool qos_window_wants_probe(const struct qos_window *w, u64 now)
{
	u64 every = max(WINDOW_PROBE_EVERY, WINDOW_PROBE_APART *
			min_t(u64, lowest_median(w) ?: w->latency, QOS_THRESHOLD_MAX));

	return !w->set && !w->rotational && now - w->measured >= every;
}
VAIO_EXPORT_FOR_KUNIT(qos_window_wants_probe);

/**
 * qos_window_step - one step of the control
 * @w: the window
 * @l: what was measured since the last step
 * @full: the window kept ios waiting
 * @reserved: cost units a second that reservations ask for
 *
 * A window that kept nobody waiting does not grow. It is never smaller than what
 * the reservations have in flight at this latency (Little's law).
 */
void qos_window_step(struct qos_window *w, const struct qos_latency *l, bool full, u64 reserved)
{
	u64 threshold = qos_window_threshold(w), mean, least, next;

	if (!l->count)
		return;
	mean = max_t(u64, div64_u64(l->sum, l->count), 1);
	w->latency = w->latency ? (w->latency + mean) / 2 : mean;

	if (threshold && (full || w->latency > threshold)) {
		/* at most twice as much at a time; the product fits: 2^20 * 2^34 */
		next = div64_u64(w->size * threshold, w->latency) + WINDOW_BETA;
		next = min(next, 2 * w->size);
		w->size = ((100 - WINDOW_GAIN_PERCENT) * w->size + WINDOW_GAIN_PERCENT * next) / 100;
	}
	least = min_t(u64, reserved, 1 << 24) * min_t(u64, w->latency, 60 * NSEC_PER_SEC);
	least = (div_u64(least, NSEC_PER_SEC) + QOS_WINDOW_MIN) << 8;
	w->size = clamp_t(u64, max(w->size, least), QOS_WINDOW_MIN << 8, QOS_WINDOW_MAX << 8);
}
VAIO_EXPORT_FOR_KUNIT(qos_window_step);
