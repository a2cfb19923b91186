// SPDX-License-Identifier: GPL-2.0
/*
 * The tracking engine: sets of bits, and the pages that they are kept in.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "../compat.h"
#include "track.h"

int bits_init(struct repl_bits *b, u64 nr)
{
	b->count = 0;
	b->copy = NULL;
	b->map = kvcalloc(BITS_TO_LONGS(nr), sizeof(long), GFP_KERNEL);
	return b->map ? 0 : -ENOMEM;
}

void bits_free(struct repl_bits *b)
{
	kvfree(b->map);
	b->map = NULL;
}

/* Whole words at once: a disk has millions. */
static u64 set_bits(unsigned long *map, u64 first, u64 last)
{
	u64 i, n = 0;

	for (i = first; i <= last; i++) {
		if (!(i % BITS_PER_LONG) && last - i >= BITS_PER_LONG - 1) {
			n += BITS_PER_LONG - hweight_long(map[i / BITS_PER_LONG]);
			map[i / BITS_PER_LONG] = ~0UL;
			i += BITS_PER_LONG - 1;
		} else if (!__test_and_set_bit(i, map)) {
			n++;
		}
	}
	return n;
}

static u64 clear_bits(unsigned long *map, u64 first, u64 last)
{
	u64 i, n = 0;

	for (i = first; i <= last; i++)
		if (__test_and_clear_bit(i, map))
			n++;
	return n;
}

/* Sets first..last; returns how many were not set. */
u64 bits_set(struct repl_bits *b, u64 first, u64 last)
{
	u64 n = set_bits(b->map, first, last);

	if (b->copy)
		set_bits(b->copy, first, last);
	b->count += n;
	return n;
}

u64 bits_clear(struct repl_bits *b, u64 first, u64 last)
{
	u64 n = clear_bits(b->map, first, last);

	if (b->copy)
		clear_bits(b->copy, first, last);
	b->count -= n;
	return n;
}

/* Clears all @nr of them. */
static void bits_zero(struct repl_bits *b, u64 nr)
{
	bitmap_zero(b->map, nr);
	if (b->copy)
		bitmap_zero(b->copy, nr);
	b->count = 0;
}

int track_init(struct repl_track *t, unsigned int shift, u64 sectors)
{
	struct repl_bits *sets[] = {
		&t->dirty, &t->inflight, &t->check, &t->spilled[0], &t->spilled[1],
	};
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->shift = shift;
	t->nr = (sectors + (1ULL << shift) - 1) >> shift;
	t->pages = DIV_ROUND_UP_ULL(t->nr, VAIO_SC_PAGE_BITS);
	t->sequence = kvcalloc(t->pages, sizeof(u64), GFP_KERNEL);
	if (!t->sequence)
		goto bad;
	for (i = 0; i < ARRAY_SIZE(sets); i++)
		if (bits_init(sets[i], t->nr))
			goto bad;
	if (bits_init(&t->stale, t->pages) || bits_init(&t->must, t->pages))
		goto bad;
	return 0;
bad:
	track_free(t);
	return -ENOMEM;
}
VAIO_EXPORT_FOR_KUNIT(track_init);

void track_free(struct repl_track *t)
{
	bits_free(&t->dirty);
	bits_free(&t->inflight);
	bits_free(&t->check);
	bits_free(&t->spilled[0]);
	bits_free(&t->spilled[1]);
	bits_free(&t->stale);
	bits_free(&t->must);
	kvfree(t->sequence);
	t->sequence = NULL;
	t->nr = 0;
}
VAIO_EXPORT_FOR_KUNIT(track_free);

/* The pages of these bits have to be written; @must: before they can be relied on. */
static void touch_pages(struct repl_track *t, u64 first, u64 last, bool must)
{
	u64 from = div_u64(first, VAIO_SC_PAGE_BITS), to = div_u64(last, VAIO_SC_PAGE_BITS);

	bits_set(&t->stale, from, to);
	if (must)
		bits_set(&t->must, from, to);
}

static void set_dirty(struct repl_track *t, u64 first, u64 last)
{
	if (bits_set(&t->dirty, first, last))
		touch_pages(t, first, last, true);
}

/* --- growing ------------------------------------------------------------------ */

#define GROW_WORDS	4096	/* of each set at a time */

/* Sets of blocks: a disk has millions of bits. Those of pages are small. */
#define BLOCK_SETS(t)	{ &(t)->dirty, &(t)->inflight, &(t)->check, &(t)->spilled[0], &(t)->spilled[1] }

static void grow_set(struct repl_bits *set, struct repl_bits *new, u64 word, u64 end)
{
	/* what was set in the copy since it grows is set in the set too */
	for (; word < end; word++)
		new->map[word] |= set->map[word];
}

void track_grow_begin(struct repl_track *t, struct repl_track *new)
{
	if (new->nr > t->nr)
		bits_set(&new->dirty, t->nr, new->nr - 1);
	if (new->pages > t->pages) {
		bits_set(&new->stale, t->pages, new->pages - 1);
		bits_set(&new->must, t->pages, new->pages - 1);
	}
	memcpy(new->sequence, t->sequence, t->pages * sizeof(u64));
}
VAIO_EXPORT_FOR_KUNIT(track_grow_begin);

static void copy_changes(struct repl_track *t, struct repl_track *new)
{
	struct repl_bits *from[] = BLOCK_SETS(t), *to[] = BLOCK_SETS(new);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(from); i++)
		from[i]->copy = to[i]->map;
	t->stale.copy = new->stale.map;
	t->must.copy = new->must.map;
}

bool track_grow_some(struct repl_track *t, struct repl_track *new, u64 *word)
{
	struct repl_bits *from[] = BLOCK_SETS(t), *to[] = BLOCK_SETS(new);
	u64 end = min_t(u64, *word + GROW_WORDS, BITS_TO_LONGS(t->nr));
	unsigned int i;

	if (!*word)
		copy_changes(t, new);
	for (i = 0; i < ARRAY_SIZE(from); i++)
		grow_set(from[i], to[i], *word, end);
	*word = end;
	return end < BITS_TO_LONGS(t->nr);
}
VAIO_EXPORT_FOR_KUNIT(track_grow_some);

static void grow_end(struct repl_bits *set, struct repl_bits *new)
{
	new->count += set->count;
	set->copy = NULL;
}

void track_grow_end(struct repl_track *t, struct repl_track *new)
{
	struct repl_bits *from[] = BLOCK_SETS(t), *to[] = BLOCK_SETS(new);
	u64 words = BITS_TO_LONGS(t->pages), last = t->nr - 1;
	bool any = t->nr;
	unsigned int i;

	grow_set(&t->stale, &new->stale, 0, words);
	grow_set(&t->must, &new->must, 0, words);
	for (i = 0; i < ARRAY_SIZE(from); i++)
		grow_end(from[i], to[i]);
	grow_end(&t->stale, &new->stale);
	grow_end(&t->must, &new->must);
	memcpy(new->spilled_seq, t->spilled_seq, sizeof(t->spilled_seq));
	swap(*t, *new);
	if (!any)
		return;
	/* the last bit may have stood for less than it does now; its page has new bits */
	bits_set(&t->dirty, last, last);
	touch_pages(t, last, last, true);
}
VAIO_EXPORT_FOR_KUNIT(track_grow_end);

/* --- marking -------------------------------------------------------------------- */

void track_mark(struct repl_track *t, u64 sector, u64 sectors)
{
	if (sectors)
		set_dirty(t, track_first(t, sector),
			  min(track_last(t, sector, sectors), t->nr - 1));
}
VAIO_EXPORT_FOR_KUNIT(track_mark);

void track_mark_all(struct repl_track *t)
{
	set_dirty(t, 0, t->nr - 1);
}
VAIO_EXPORT_FOR_KUNIT(track_mark_all);

void track_check_all(struct repl_track *t)
{
	bits_set(&t->check, 0, t->nr - 1);
}
VAIO_EXPORT_FOR_KUNIT(track_check_all);

/* The set that is being filled: the one that has no last record yet. */
static struct repl_bits *filling(struct repl_track *t)
{
	return &t->spilled[t->spilled_seq[0] ? 1 : 0];
}

void track_spill(struct repl_track *t, u64 sector, u64 sectors)
{
	u64 first = track_first(t, sector), last = track_last(t, sector, sectors);

	if (bits_set(filling(t), first, last))
		touch_pages(t, first, last, true);
}
VAIO_EXPORT_FOR_KUNIT(track_spill);

void track_spill_end(struct repl_track *t, u64 seq)
{
	struct repl_bits *set = filling(t);
	unsigned int i = set - t->spilled;

	/*
	 * When both sets wait the second one goes on being filled and its record
	 * moves; when the first one is dropped the second stays as it is. So each
	 * is dropped in the end, however busy the disk.
	 */
	if (set->count)
		t->spilled_seq[i] = max(seq, 1ULL);
}
VAIO_EXPORT_FOR_KUNIT(track_spill_end);

static void touch_set(struct repl_track *t, const struct repl_bits *set)
{
	u64 bit, end;
	u32 page;

	for (page = 0; page < t->pages; page++) {
		bit = (u64)page * VAIO_SC_PAGE_BITS;
		end = min(t->nr, bit + VAIO_SC_PAGE_BITS);
		if (find_next_bit(set->map, end, bit) < end)
			bits_set(&t->stale, page, page);
	}
}

bool track_spill_drop(struct repl_track *t, u64 durable)
{
	bool dropped = false;
	int i;

	for (i = 0; i < 2; i++) {
		if (!t->spilled_seq[i] || t->spilled_seq[i] > durable)
			continue;
		touch_set(t, &t->spilled[i]);
		bits_zero(&t->spilled[i], t->nr);
		t->spilled_seq[i] = 0;
		dropped = true;
	}
	return dropped;
}
VAIO_EXPORT_FOR_KUNIT(track_spill_drop);

static u32 run_at(const struct repl_track *t, const struct repl_bits *set, u64 bit, u32 max)
{
	u64 end = min(t->nr, bit + max);

	end = find_next_zero_bit(set->map, end, bit);
	return find_next_bit(t->inflight.map, end, bit) - bit;
}

/* The next bit of a set that is not on its way already; t->nr: none. */
static u64 next_idle(const struct repl_track *t, const struct repl_bits *set, u64 from)
{
	u64 bit = from;

	while (bit < t->nr) {
		bit = find_next_bit(set->map, t->nr, bit);
		if (bit >= t->nr || !test_bit(bit, t->inflight.map))
			break;
		bit++;
	}
	return min(bit, t->nr);
}

s64 track_next(const struct repl_track *t, const struct repl_bits *set, u64 from, u32 max, u32 *run)
{
	u64 bit;

	if (!set->count)
		return -1;
	bit = next_idle(t, set, from);
	if (bit >= t->nr)
		bit = next_idle(t, set, 0);
	if (bit >= t->nr)
		return -1;
	*run = run_at(t, set, bit, max);
	return bit;
}
VAIO_EXPORT_FOR_KUNIT(track_next);

void track_take(struct repl_track *t, struct repl_bits *set, u64 bit, u32 run)
{
	bits_clear(set, bit, bit + run - 1);
	/* a bit that was only to be compared is new to the sidecar */
	if (bits_set(&t->inflight, bit, bit + run - 1) && set == &t->check)
		touch_pages(t, bit, bit + run - 1, true);
}
VAIO_EXPORT_FOR_KUNIT(track_take);

void track_done(struct repl_track *t, u64 bit, u32 run)
{
	if (bits_clear(&t->inflight, bit, bit + run - 1))
		touch_pages(t, bit, bit + run - 1, false);
}
VAIO_EXPORT_FOR_KUNIT(track_done);

void track_back(struct repl_track *t, u64 bit, u32 run)
{
	u64 i;

	for (i = bit; i < bit + run; i++) {
		if (bits_clear(&t->inflight, i, i))
			bits_set(&t->dirty, i, i);
	}
}
VAIO_EXPORT_FOR_KUNIT(track_back);

void track_back_all(struct repl_track *t)
{
	u64 bit = 0;

	while (t->inflight.count) {
		bit = find_next_bit(t->inflight.map, t->nr, bit);
		if (bit >= t->nr)
			break;
		track_back(t, bit, 1);
	}
}
VAIO_EXPORT_FOR_KUNIT(track_back_all);

static void load_byte(struct repl_track *t, u64 bit, u32 n, u8 byte)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (byte & (1U << i))
			bits_set(&t->dirty, bit + i, bit + i);
}

void track_load(struct repl_track *t, u32 index, const struct vaio_sc_disk_page *page)
{
	u64 bit = (u64)index * VAIO_SC_PAGE_BITS;
	u32 i, end, n = min_t(u64, VAIO_SC_PAGE_BITS, t->nr - bit);

	t->sequence[index] = le64_to_cpu(page->sequence);
	/* a byte at a time: the caller's lock is held */
	for (i = 0; i < n; i = end) {
		end = min(n, i + 8);
		if (page->bits[i / 8] == 0xff)
			bits_set(&t->dirty, bit + i, bit + end - 1);
		else if (page->bits[i / 8])
			load_byte(t, bit + i, end - i, page->bits[i / 8]);
	}
}
VAIO_EXPORT_FOR_KUNIT(track_load);

/* A page begins at a whole word of each set. */
static_assert(VAIO_SC_PAGE_BITS % 64 == 0);

static unsigned long word_on_sidecar(const struct repl_track *t, u64 word)
{
	return t->dirty.map[word] | t->inflight.map[word] | t->spilled[0].map[word] |
	       t->spilled[1].map[word];
}

void track_fill(struct repl_track *t, u32 index, struct vaio_sc_disk_page *page)
{
	u64 word = (u64)index * (VAIO_SC_PAGE_BITS / BITS_PER_LONG);
	u64 end = min_t(u64, word + VAIO_SC_PAGE_BITS / BITS_PER_LONG, BITS_TO_LONGS(t->nr));
	u32 i;

	memset(page, 0, sizeof(*page));
	page->sequence = cpu_to_le64(t->sequence[index]++);
	for (i = 0; word + i < end; i++)
#if BITS_PER_LONG == 64
		((__le64 *)page->bits)[i] = cpu_to_le64(word_on_sidecar(t, word + i));
#else
		((__le32 *)page->bits)[i] = cpu_to_le32(word_on_sidecar(t, word + i));
#endif
	bits_clear(&t->stale, index, index);
	bits_clear(&t->must, index, index);
}
VAIO_EXPORT_FOR_KUNIT(track_fill);

void track_unfill(struct repl_track *t, u32 index, bool must)
{
	bits_set(&t->stale, index, index);
	if (must)
		bits_set(&t->must, index, index);
}
VAIO_EXPORT_FOR_KUNIT(track_unfill);

s64 track_page(const struct repl_track *t, const struct repl_bits *set, u32 from)
{
	u64 page = find_next_bit(set->map, t->pages, from);

	return page < t->pages ? page : -1;
}
VAIO_EXPORT_FOR_KUNIT(track_page);
