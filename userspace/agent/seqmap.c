// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "seqmap.h"

static const struct seqmap_entry *at(const struct seqmap *m, uint32_t n)
{
	return &m->entry[n & (SEQMAP_MAX - 1)];
}

static uint32_t count(const struct seqmap *m)
{
	return m->tail - m->head;
}

bool seqmap_full(const struct seqmap *m)
{
	return count(m) == SEQMAP_MAX;
}

bool seqmap_valid(const struct seqmap *m)
{
	if (count(m) > SEQMAP_MAX)
		return false;
	for (uint32_t n = m->head; n != m->tail; n++) {
		const struct seqmap_entry *e = at(m, n), *before = at(m, n - 1);

		if (!e->ring || e->after >= e->wire || (n != m->head && (e->wire <= before->wire || e->epoch < before->epoch)))
			return false;
	}
	return true;
}

void seqmap_reset(struct seqmap *m)
{
	__atomic_store_n(&m->tail, m->head, __ATOMIC_RELEASE);
}

bool seqmap_add(struct seqmap *m, uint64_t after, uint64_t wire, uint64_t ring, uint64_t epoch)
{
	if (count(m) == SEQMAP_MAX)
		return false;
	m->entry[m->tail & (SEQMAP_MAX - 1)] = (struct seqmap_entry){ after, wire, ring, epoch };
	__atomic_store_n(&m->tail, m->tail + 1, __ATOMIC_RELEASE);
	return true;
}

uint64_t seqmap_ring(const struct seqmap *m, uint64_t epoch, uint64_t wire)
{
	uint64_t bound = 0;	/* the record at which the entry after this one begins */

	for (uint32_t n = m->tail; n-- != m->head;) {
		const struct seqmap_entry *e = at(m, n);

		if (e->epoch == epoch && e->wire <= wire) {
			uint64_t ring = e->ring + (wire - e->wire);

			return bound && ring >= bound ? bound - 1 : ring;
		}
		bound = e->epoch == epoch ? e->ring : 0;
	}
	return 0;
}

uint64_t seqmap_wire(const struct seqmap *m, uint64_t epoch, uint64_t ring)
{
	for (uint32_t n = m->tail; n-- != m->head;) {
		const struct seqmap_entry *e = at(m, n);

		if (e->epoch == epoch && e->ring <= ring)
			return e->wire + (ring - e->ring);
	}
	return 0;
}

bool seqmap_resume(const struct seqmap *m, uint64_t epoch, uint64_t wire, uint64_t *ring, bool *gap)
{
	*gap = false;
	*ring = seqmap_ring(m, epoch, wire);
	if (*ring)
		return true;
	for (uint32_t n = m->head; n != m->tail; n++) {
		const struct seqmap_entry *e = at(m, n);

		if (e->epoch != epoch)
			continue;
		/* the first one of the epoch: its record opens a resync */
		*ring = e->ring - 1;
		*gap = wire < e->after;
		/* entries of this epoch that were dropped had smaller numbers */
		return n != m->head || wire >= e->after;
	}
	return false;
}

void seqmap_cut(struct seqmap *m, uint64_t epoch, uint64_t ring)
{
	uint32_t tail = m->tail;

	while (tail != m->head && at(m, tail - 1)->epoch == epoch && at(m, tail - 1)->ring > ring)
		tail--;
	__atomic_store_n(&m->tail, tail, __ATOMIC_RELEASE);
}

void seqmap_prune(struct seqmap *m, uint64_t wire)
{
	while (count(m) > 1 && at(m, m->head + 1)->wire <= wire)
		__atomic_store_n(&m->head, m->head + 1, __ATOMIC_RELEASE);
}
