// SPDX-License-Identifier: GPL-2.0
#include <stddef.h>

#include "seqmap.h"

static const struct seqmap_bank *bank_of(const struct seqmap *m)
{
	return &m->bank[__atomic_load_n(&m->active, __ATOMIC_ACQUIRE) & 1];
}

static struct seqmap_bank *bank_for(struct seqmap *m)
{
	return &m->bank[m->active & 1];
}

static const struct seqmap_entry *at(const struct seqmap_bank *b, uint32_t n)
{
	return &b->entry[n & (SEQMAP_MAX - 1)];
}

static uint32_t count(const struct seqmap_bank *b)
{
	return b->tail - b->head;
}

bool seqmap_valid(const struct seqmap *m)
{
	const struct seqmap_bank *b = bank_of(m);

	if (m->active > 1 || count(b) > SEQMAP_MAX)
		return false;
	for (uint32_t n = b->head; n != b->tail; n++) {
		const struct seqmap_entry *e = at(b, n), *before = at(b, n - 1);

		if (!e->ring || e->after >= e->wire || (n != b->head && (e->wire <= before->wire || e->epoch < before->epoch)))
			return false;
	}
	return true;
}

void seqmap_begin(struct seqmap *m, uint64_t wire, uint64_t ring, uint64_t epoch)
{
	const struct seqmap_bank *old = bank_of(m);
	struct seqmap_bank *b = &m->bank[!m->active];

	b->head = b->tail = 0;
	for (uint32_t n = old->head; n != old->tail; n++)
		if (at(old, n)->wire <= wire && b->tail < SEQMAP_MAX - 1)
			b->entry[b->tail++] = *at(old, n);
	b->entry[b->tail++] = (struct seqmap_entry){ wire, wire + 1, ring, epoch };
	__atomic_store_n(&m->active, !m->active, __ATOMIC_RELEASE);
}

bool seqmap_add(struct seqmap *m, uint64_t after, uint64_t wire, uint64_t ring, uint64_t epoch)
{
	struct seqmap_bank *b = bank_for(m);

	if (seqmap_full(m))
		return false;
	b->entry[b->tail & (SEQMAP_MAX - 1)] = (struct seqmap_entry){ after, wire, ring, epoch };
	__atomic_store_n(&b->tail, b->tail + 1, __ATOMIC_RELEASE);
	return true;
}

/* One place is kept for seqmap_begin(). */
bool seqmap_full(const struct seqmap *m)
{
	return count(bank_of(m)) >= SEQMAP_MAX - 1;
}

uint64_t seqmap_ring(const struct seqmap *m, uint64_t epoch, uint64_t wire)
{
	const struct seqmap_bank *b = bank_of(m);
	uint64_t bound = 0;	/* the record at which the entry after this one begins */

	for (uint32_t n = b->tail; n-- != b->head;) {
		const struct seqmap_entry *e = at(b, n);

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
	const struct seqmap_bank *b = bank_of(m);

	for (uint32_t n = b->tail; n-- != b->head;) {
		const struct seqmap_entry *e = at(b, n);

		if (e->epoch == epoch && e->ring <= ring)
			return e->wire + (ring - e->ring);
	}
	return 0;
}

bool seqmap_resume(const struct seqmap *m, uint64_t epoch, uint64_t wire, uint64_t *ring, bool *gap)
{
	const struct seqmap_bank *b = bank_of(m);

	*gap = false;
	*ring = seqmap_ring(m, epoch, wire);
	if (*ring)
		return true;
	for (uint32_t n = b->head; n != b->tail; n++) {
		const struct seqmap_entry *e = at(b, n);

		if (e->epoch != epoch)
			continue;
		/* Before the first one of the epoch, whose record opens a resync. */
		*ring = e->ring - 1;
		*gap = wire < e->after;
		/* What came before the list is acknowledged: who has less has lost it. */
		return n != b->head || wire >= e->after;
	}
	return false;
}

void seqmap_prune(struct seqmap *m, uint64_t wire)
{
	struct seqmap_bank *b = bank_for(m);

	while (count(b) > 1 && at(b, b->head + 1)->wire <= wire)
		__atomic_store_n(&b->head, b->head + 1, __ATOMIC_RELEASE);
}
