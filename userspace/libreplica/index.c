// SPDX-License-Identifier: GPL-2.0
/* The index in memory, cutting records, and looking up. run.c has the files. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"

int vr_index_cut(const struct vaio_rw_record *r, uint32_t segment, uint32_t frame,
		 int (*each)(void *arg, const struct vr_entry *en), void *arg)
{
	uint64_t offset = le64toh(r->offset), left = le64toh(r->length);
	struct vr_entry en = { .seq = le64toh(r->seq), .segment = segment };
	uint16_t type = le16toh(r->type);
	uint32_t data = le32toh(r->data_offset);

	if (type != VAIO_RW_R_WRITE && type != VAIO_RW_R_ZEROES && type != VAIO_RW_R_DISCARD)
		return 0;
	if (type == VAIO_RW_R_WRITE)
		en.frame = frame;
	while (left) {
		uint64_t cell = offset >> VAIO_RS_CELL_SHIFT, in_cell = offset & (VAIO_RS_CELL - 1);
		uint64_t n = VAIO_RS_CELL - in_cell;
		int rc;

		if (!en.frame && !(offset & ((1ULL << VAIO_RS_LARGE_SHIFT) - 1)) && left >= 1ULL << VAIO_RS_LARGE_SHIFT) {
			n = 1ULL << VAIO_RS_LARGE_SHIFT;
			en.key = vr_key(le16toh(r->member), offset >> VAIO_RS_LARGE_SHIFT) | VR_KEY_LARGE;
			en.start = 0;
			en.count = 127;
		} else {
			if (n > left)
				n = left;
			en.key = vr_key(le16toh(r->member), cell);
			en.start = (uint8_t)(in_cell / VAIO_RS_SECTOR);
			en.count = (uint8_t)(n / VAIO_RS_SECTOR - 1);
		}
		en.data = en.frame ? data : 0;
		rc = each(arg, &en);
		if (rc)
			return rc;
		data += (uint32_t)n;
		offset += n;
		left -= n;
	}
	return 0;
}

uint64_t vr_index_count(const struct vaio_rw_record *r)
{
	uint64_t offset = le64toh(r->offset), end = offset + le64toh(r->length), n, first, last;
	uint16_t type = le16toh(r->type);

	if ((type != VAIO_RW_R_WRITE && type != VAIO_RW_R_ZEROES && type != VAIO_RW_R_DISCARD) || end <= offset)
		return 0;
	n = ((end - 1) >> VAIO_RS_CELL_SHIFT) - (offset >> VAIO_RS_CELL_SHIFT) + 1;
	first = (offset + (1ULL << VAIO_RS_LARGE_SHIFT) - 1) >> VAIO_RS_LARGE_SHIFT;
	last = end >> VAIO_RS_LARGE_SHIFT;
	/* Whole large cells of zeroes are one entry each. */
	if (type != VAIO_RW_R_WRITE && last > first)
		n -= (last - first) * (VR_LARGE_CELLS - 1);
	return n;
}

/* --- in memory --------------------------------------------------------------------- */

struct vr_mem *vr_mem_new(void)
{
	return calloc(1, sizeof(struct vr_mem));
}

void vr_mem_free(struct vr_mem *m)
{
	if (!m)
		return;
	free(m->entries);
	free(m->hash);
	free(m);
}

static size_t slot_of(const struct vr_mem *m, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 20) & (m->hash_size - 1);

	while (m->hash[i] && m->entries[m->hash[i] - 1].e.key != key)
		i = (i + 1) & (m->hash_size - 1);
	return i;
}

int vr_mem_reserve(struct vr_mem *m, size_t nr)
{
	size_t want = m->nr + nr, size;

	if (want >= UINT32_MAX / 2)
		return -ENOMEM;
	if (want > m->room) {
		size_t room = want + want / 2 + 64;
		void *p = realloc(m->entries, room * sizeof(*m->entries));

		if (!p)
			return -ENOMEM;
		m->entries = p;
		m->room = room;
	}
	if (2 * want <= m->hash_size)
		return 0;
	for (size = m->hash_size ? m->hash_size : 256; size < 4 * want; size *= 2)
		;
	free(m->hash);
	m->hash = calloc(size, sizeof(*m->hash));
	m->hash_size = m->hash ? size : 0;
	if (!m->hash)
		return -ENOMEM;
	/* The chains stay; the newest of each key comes last. */
	for (size_t i = 0; i < m->nr; i++)
		m->hash[slot_of(m, m->entries[i].e.key)] = (uint32_t)i + 1;
	return 0;
}

void vr_mem_add(struct vr_mem *m, const struct vr_entry *e)
{
	size_t slot = slot_of(m, e->key);

	m->entries[m->nr].e = *e;
	m->entries[m->nr].prev = m->hash[slot];
	m->hash[slot] = (uint32_t)++m->nr;
}

size_t vr_mem_bytes(const struct vr_mem *m)
{
	return m->room * sizeof(*m->entries) + m->hash_size * sizeof(*m->hash);
}

/* --- looking up --------------------------------------------------------------------- */

static int mem_from(struct vr_cursor *c, uint64_t place, uint64_t max_seq, struct vr_entry *en)
{
	while (place && c->mem->entries[place - 1].e.seq > max_seq)
		place = c->mem->entries[place - 1].prev;
	if (!place)
		return 0;
	*en = c->mem->entries[place - 1].e;
	c->place = c->mem->entries[place - 1].prev;
	return 1;
}

static int run_at(struct vr_cursor *c, struct vr_entry *en, struct vr_err *e)
{
	int err;

	if (!c->place)
		return 0;
	err = vr_run_entry(c->run, c->place - 1, en, e);
	if (err)
		return err;
	c->place--;
	return en->key == c->key;
}

int vr_cursor_begin(struct vr_cursor *c, const struct vr_mem *mem, struct vr_run *run, uint64_t key, uint64_t max_seq,
		    struct vr_entry *en, struct vr_err *e)
{
	uint64_t low = 0, high;

	c->mem = mem;
	c->run = run;
	c->key = key;
	if (mem)
		return mem->hash_size ? mem_from(c, mem->hash[slot_of(mem, key)], max_seq, en) : 0;
	/* The number of entries that are not above (key, max_seq). */
	for (high = run->nr_entries; low < high;) {
		uint64_t mid = low + (high - low) / 2;
		int err = vr_run_entry(run, mid, en, e);

		if (err)
			return err;
		if (en->key < key || (en->key == key && en->seq <= max_seq))
			low = mid + 1;
		else
			high = mid;
	}
	c->place = low;
	return run_at(c, en, e);
}

int vr_cursor_next(struct vr_cursor *c, struct vr_entry *en, struct vr_err *e)
{
	return c->mem ? mem_from(c, c->place, UINT64_MAX, en) : run_at(c, en, e);
}
