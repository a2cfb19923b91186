// SPDX-License-Identifier: GPL-2.0
/*
 * The intent engine: which extents are hot, and when one may turn cold.
 */
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "../compat.h"
#include "intent.h"

int intent_init(struct repl_intent *ti, u64 sectors, u32 cap)
{
	u64 nr = (sectors + (1ULL << REPL_INTENT_SHIFT) - 1) >> REPL_INTENT_SHIFT;

	memset(ti, 0, sizeof(*ti));
	if (nr > U32_MAX)
		return -EFBIG;
	ti->nr = nr;
	ti->pages = DIV_ROUND_UP_ULL(nr, VAIO_SC_PAGE_BITS);
	ti->cap = cap;
	ti->index = kvcalloc(ti->nr, sizeof(*ti->index), GFP_KERNEL);
	ti->slot = kvcalloc(cap, sizeof(*ti->slot), GFP_KERNEL);
	ti->sequence = kvcalloc(ti->pages, sizeof(u64), GFP_KERNEL);
	if (!ti->index || !ti->slot || !ti->sequence || bits_init(&ti->bits, ti->nr) ||
	    bits_init(&ti->stale, ti->pages)) {
		intent_free(ti);
		return -ENOMEM;
	}
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(intent_init);

void intent_free(struct repl_intent *ti)
{
	kvfree(ti->index);
	kvfree(ti->slot);
	kvfree(ti->sequence);
	bits_free(&ti->bits);
	bits_free(&ti->stale);
	memset(ti, 0, sizeof(*ti));
}
VAIO_EXPORT_FOR_KUNIT(intent_free);

void intent_grow_begin(const struct repl_intent *ti, struct repl_intent *new)
{
	u32 i;

	memcpy(new->index, ti->index, ti->nr * sizeof(*ti->index));
	memcpy(new->sequence, ti->sequence, ti->pages * sizeof(u64));
	new->used = ti->used;
	for (i = 0; i < ti->nr; i++)
		if (test_bit(i, ti->bits.map))
			bits_set(&new->bits, i, i);
	for (i = 0; i < ti->pages; i++)
		if (test_bit(i, ti->stale.map))
			bits_set(&new->stale, i, i);
}
VAIO_EXPORT_FOR_KUNIT(intent_grow_begin);

void intent_grow_end(struct repl_intent *ti, struct repl_intent *new)
{
	/* there are as many, and others may have changed them */
	swap(ti->slot, new->slot);
	swap(*ti, *new);
}
VAIO_EXPORT_FOR_KUNIT(intent_grow_end);

static void touch(struct repl_intent *ti, u32 extent)
{
	u32 page = extent / VAIO_SC_PAGE_BITS;

	bits_set(&ti->stale, page, page);
}

/* There is a free slot. */
static void warm(struct repl_intent *ti, u32 extent)
{
	struct repl_extent *e;

	while (ti->slot[ti->hint].state != REPL_I_FREE)
		ti->hint = ti->hint + 1 < ti->cap ? ti->hint + 1 : 0;
	e = &ti->slot[ti->hint];
	memset(e, 0, sizeof(*e));
	e->extent = extent;
	e->state = REPL_I_NEW;
	ti->index[extent] = ti->hint + 1;
	ti->used++;
	bits_set(&ti->bits, extent, extent);
	touch(ti, extent);
}

int intent_enter(struct repl_intent *ti, u64 sector, u64 sectors)
{
	u32 first = intent_extent(sector), last = intent_extent(sector + sectors - 1), i, cold = 0;
	struct repl_extent *e;
	int wait = 0;

	for (i = first; i <= last; i++)
		cold += !ti->index[i];
	if (unlikely(cold > ti->cap - ti->used))
		return -ENOSPC;
	for (i = first; i <= last; i++) {
		if (unlikely(!ti->index[i]))
			warm(ti, i);
		e = intent_lookup(ti, i);
		e->writes++;
		e->uses++;
		if (e->state != REPL_I_HOT)
			wait = 1;
	}
	return wait;
}
VAIO_EXPORT_FOR_KUNIT(intent_enter);

bool intent_warm(const struct repl_intent *ti, u64 sector, u64 sectors)
{
	u32 last = intent_extent(sector + sectors - 1), i;

	for (i = intent_extent(sector); i <= last; i++)
		if (!ti->index[i])
			return false;
	return true;
}
VAIO_EXPORT_FOR_KUNIT(intent_warm);

bool intent_write_begin(struct repl_intent *ti)
{
	bool any = false;
	u32 i;

	for (i = 0; i < ti->cap; i++) {
		if (ti->slot[i].state == REPL_I_NEW) {
			ti->slot[i].state = REPL_I_WRITING;
			any = true;
		}
	}
	return any;
}
VAIO_EXPORT_FOR_KUNIT(intent_write_begin);

void intent_write_end(struct repl_intent *ti)
{
	u32 i;

	for (i = 0; i < ti->cap; i++)
		if (ti->slot[i].state == REPL_I_WRITING)
			ti->slot[i].state = REPL_I_HOT;
}
VAIO_EXPORT_FOR_KUNIT(intent_write_end);

s64 intent_writing_page(const struct repl_intent *ti, u32 from)
{
	s64 best = -1;
	u32 i, page;

	for (i = 0; i < ti->cap; i++) {
		if (ti->slot[i].state != REPL_I_WRITING)
			continue;
		page = ti->slot[i].extent / VAIO_SC_PAGE_BITS;
		if (page >= from && (best < 0 || page < best))
			best = page;
	}
	return best;
}
VAIO_EXPORT_FOR_KUNIT(intent_writing_page);

bool intent_pick(struct repl_intent *ti, u32 slot, bool idle, u32 *uses)
{
	struct repl_extent *e = &ti->slot[slot];
	bool quiet = e->seen == e->uses;

	e->seen = e->uses;
	*uses = e->uses;
	return e->state == REPL_I_HOT && !e->writes && (quiet || !idle);
}
VAIO_EXPORT_FOR_KUNIT(intent_pick);

bool intent_cool(struct repl_intent *ti, u32 slot, u32 uses)
{
	struct repl_extent *e = &ti->slot[slot];

	if (e->state != REPL_I_HOT || e->writes || e->uses != uses)
		return false;
	e->state = REPL_I_FREE;
	ti->index[e->extent] = 0;
	ti->used--;
	bits_clear(&ti->bits, e->extent, e->extent);
	touch(ti, e->extent);
	return true;
}
VAIO_EXPORT_FOR_KUNIT(intent_cool);

bool intent_load(struct repl_intent *ti, u32 index, const struct vaio_sc_disk_page *page)
{
	u32 extent = index * VAIO_SC_PAGE_BITS, i;
	u32 n = min_t(u32, VAIO_SC_PAGE_BITS, ti->nr - extent);

	ti->sequence[index] = le64_to_cpu(page->sequence);
	for (i = 0; i < n; i++)
		if (page->bits[i / 8] & (1U << (i % 8)))
			return true;
	return false;
}
VAIO_EXPORT_FOR_KUNIT(intent_load);

void intent_fill(struct repl_intent *ti, u32 index, struct vaio_sc_disk_page *page)
{
	u32 extent = index * VAIO_SC_PAGE_BITS, i;
	u32 n = min_t(u32, VAIO_SC_PAGE_BITS, ti->nr - extent);

	memset(page, 0, sizeof(*page));
	page->sequence = cpu_to_le64(ti->sequence[index]++);
	for (i = find_next_bit(ti->bits.map, extent + n, extent); i < extent + n;
	     i = find_next_bit(ti->bits.map, extent + n, i + 1))
		page->bits[(i - extent) / 8] |= 1U << ((i - extent) % 8);
	bits_clear(&ti->stale, index, index);
}
VAIO_EXPORT_FOR_KUNIT(intent_fill);
