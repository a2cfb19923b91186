// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for batches, from the first byte that is received of one until it is written. All groups together have
 * --queue; each has the same share of it, so that one whose storage hangs takes nothing from the others. Who has no room
 * does not read on from its connection: the source keeps what it has in its ring.
 */
#include <stdlib.h>
#include <time.h>

#include "replicad.h"

static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t used;		/* by all groups */

uint64_t memory_share(void)
{
	unsigned int groups = group_count();
	uint64_t share = config.queue_bytes / (groups ? groups : 1);

	if (share > GROUP_BYTES)
		share = GROUP_BYTES;
	return share < GROUP_LEAST ? GROUP_LEAST : share;
}

/* Of a batch, with what is around it. */
static size_t bytes_of(size_t len)
{
	return sizeof(struct queued) + len + 1024;
}

/* With the lock. */
static bool fits(const struct group *g, size_t len, uint64_t share)
{
	/* All of it is asked for, too: when a group is made, others may have more than their share is from then on. */
	return g->batch_bytes + len <= share && used + len <= config.queue_bytes;
}

struct queued *memory_take(struct group *g, size_t len, bool (*wait)(void *arg), void *arg)
{
	size_t whole = bytes_of(len);
	bool there = false;
	struct queued *q;

	do {
		uint64_t share = memory_share();

		pthread_mutex_lock(&memory_lock);
		there = fits(g, whole, share);
		if (there) {
			g->batch_bytes += whole;
			used += whole;
		} else {
			struct timespec t;

			clock_gettime(CLOCK_MONOTONIC, &t);
			t.tv_sec++;
			pthread_cond_timedwait(&g->memory, &memory_lock, &t);
		}
		pthread_mutex_unlock(&memory_lock);
	} while (!there && wait(arg));
	if (!there)
		return NULL;
	q = queued_new(len);
	if (!q) {
		memory_give(g, whole);
		return NULL;
	}
	q->owner = g;
	return q;
}

struct queued *queued_new(size_t len)
{
	struct queued *q = calloc(1, sizeof(*q));
	void *data = NULL;

	if (q) {
		q->len = len;
		q->memory = vr_append_memory(len, &data);
		q->data = data;
	}
	if (!q || !q->memory) {
		free(q);
		return NULL;
	}
	return q;
}

void memory_give(struct group *g, size_t whole)
{
	pthread_mutex_lock(&memory_lock);
	g->batch_bytes -= whole;
	used -= whole;
	pthread_cond_broadcast(&g->memory);
	pthread_mutex_unlock(&memory_lock);
}

uint64_t memory_used(struct group *g)
{
	uint64_t n;

	pthread_mutex_lock(&memory_lock);
	n = g->batch_bytes;
	pthread_mutex_unlock(&memory_lock);
	return n;
}

void queued_free(struct queued *q)
{
	if (!q)
		return;
	if (q->owner)
		memory_give(q->owner, bytes_of(q->len));
	free(q->memory);
	free(q);
}
