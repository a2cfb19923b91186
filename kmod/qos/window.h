/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many ios a domain may have in flight, by how long the device takes.
 *
 *   A. Gulati, I. Ahmad, C. A. Waldspurger: "PARDA: Proportional Allocation of
 *   Resources for Distributed Storage Access", FAST 2009:
 *
 *	w(t+1) = (1 - g) w(t) + g (threshold / latency(t) * w(t) + b)
 *
 * with one host, whose share b is constant. As engine.h: no clock, no lock, no
 * request is known here; times are nanoseconds and may begin anywhere.
 */
#ifndef _VAIO_QOS_WINDOW_H
#define _VAIO_QOS_WINDOW_H

#include <linux/bitops.h>
#include <linux/time64.h>
#include <linux/types.h>

#define QOS_WINDOW_FIRST	64	/* ios, before anything is known */
#define QOS_WINDOW_MIN		4
#define QOS_WINDOW_MAX		4096
#define QOS_WINDOW_PROBE	2	/* in flight while the device's own latency is measured */

#define QOS_THRESHOLD_ROTATIONAL (30 * NSEC_PER_MSEC)
#define QOS_THRESHOLD_FACTOR	8	/* times the lowest recent median, on other devices */
#define QOS_THRESHOLD_FLOOR	(500 * NSEC_PER_USEC)
#define QOS_THRESHOLD_MAX	(10 * NSEC_PER_SEC)

/* Four buckets for each power of two of 1,024 ns. */
#define QOS_LATENCY_BUCKETS	(4 * 26)

static inline unsigned int qos_latency_bucket(u64 ns)
{
	u64 us = ns >> 10;
	unsigned int octave, bucket;

	if (us < 4)
		return us;
	octave = fls64(us) - 1;
	bucket = 4 * (octave - 1) + ((us >> (octave - 2)) & 3);
	return bucket < QOS_LATENCY_BUCKETS ? bucket : QOS_LATENCY_BUCKETS - 1;
}

/**
 * struct qos_latency - what was measured in some time
 * @count: requests
 * @sum: of their latencies, ns
 * @bucket: requests by qos_latency_bucket()
 */
struct qos_latency {
	u64	count;
	u64	sum;
	u32	bucket[QOS_LATENCY_BUCKETS];
};

u64 qos_latency_median(const struct qos_latency *l);

/**
 * struct qos_window - the state of the control
 * @size: ios, in 1/256
 * @set: threshold that was asked for, ns; 0: automatic
 * @rotational: the device has heads to move
 * @low: lowest median of the present and of the last period, ns; 0: none yet
 * @since: when the present period began
 * @measured: when a median was last taken with few ios in flight
 * @latency: mean of late, ns
 */
struct qos_window {
	u64	size;
	u64	set;
	bool	rotational;
	u64	low[2];
	u64	since;
	u64	measured;
	u64	latency;
};

void qos_window_init(struct qos_window *w, bool rotational, u64 now);
u64 qos_window_threshold(const struct qos_window *w);
void qos_window_median(struct qos_window *w, u64 median, bool alone, u64 now);
bool qos_window_wants_probe(const struct qos_window *w, u64 now);
void qos_window_step(struct qos_window *w, const struct qos_latency *l, bool full, u64 reserved);

/* Is the store slow enough for a threshold to matter, and there is none yet? */
static inline bool qos_window_unknown(const struct qos_window *w)
{
	return !qos_window_threshold(w) && w->latency > QOS_THRESHOLD_FLOOR;
}

static inline u32 qos_window_ios(const struct qos_window *w)
{
	return w->size >> 8;
}

#endif /* _VAIO_QOS_WINDOW_H */
