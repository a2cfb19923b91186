// SPDX-License-Identifier: GPL-2.0
/*
 * Reading the disks as they were at a point. For each cell of 64 KiB: the newest
 * entries of the index that are not above the point, newest first, until all
 * sectors are found; what is left comes from the base.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store_priv.h"

#define CELL_SECTORS	(VAIO_RS_CELL / VAIO_RS_SECTOR)
#define CACHE_FRAMES	64U
#define CACHE_BYTES	(32U << 20)

struct cached {
	uint64_t key;		/* segment << 32 | frame; 0: empty */
	uint64_t used;		/* clock of its last use */
	uint8_t *raw;
	uint32_t len;
};

struct vr_view {
	struct vr_store *st;
	uint64_t seq;
	struct vr_history *history;
	struct vr_unpacker *unpacker;
	struct cached cache[CACHE_FRAMES];
	size_t cached_bytes;
	uint64_t clock;
	struct { uint16_t member; struct vr_base *base; } bases[VAIO_RW_MAX_MEMBERS];
	unsigned int nr_bases;
};

struct until {
	struct vr_history *h;
	uint64_t seq;
	struct vr_err *e;
};

static int control_until(void *arg, const struct vaio_rs_control *c, const void *payload)
{
	struct until *u = arg;
	int err;

	if (le64toh(c->record.seq) > u->seq)
		return 1;
	if (le64toh(c->record.seq) <= u->h->now.last_seq)
		return 0;
	err = vr_history_control(u->h, c, payload, u->e);
	return err ? -EBADMSG : 0;
}

int vr_view_open(struct vr_store *st, uint64_t seq, struct vr_view **out, struct vr_err *e)
{
	struct vr_view *v = calloc(1, sizeof(*v));
	struct until u = { .seq = seq, .e = e };
	int err = 0;

	if (v) {
		v->history = malloc(sizeof(*v->history));
		v->unpacker = vr_unpacker_new();
	}
	if (!v || !v->history || !v->unpacker) {
		err = vr_fail(e, -ENOMEM, "no memory to read at a point");
		goto fail;
	}
	v->st = st;
	v->seq = seq;
	u.h = v->history;
	pthread_mutex_lock(&st->lock);
	if (seq < st->super->base.now.last_seq || seq > st->history->now.last_seq)
		err = vr_fail(e, -ENOENT, "seq:%" PRIu64 " is not within %" PRIu64 " to %" PRIu64, seq,
			      st->super->base.now.last_seq, st->history->now.last_seq);
	if (!err) {
		memcpy(v->history, &st->super->base, sizeof(*v->history));
		for (unsigned int i = 0; i < st->nr_segments && err == 0; i++)
			if (st->segments[i]->after.last_seq > st->super->base.now.last_seq)
				err = vr_segment_controls(st->segments[i], control_until, &u, e);
		if (err > 0)
			err = 0;
	}
	if (!err)
		st->nr_views++;
	pthread_mutex_unlock(&st->lock);
	if (!err) {
		*out = v;
		return 0;
	}
fail:
	if (v) {
		free(v->history);
		vr_unpacker_free(v->unpacker);
	}
	free(v);
	return err;
}

void vr_view_close(struct vr_view *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->st->lock);
	v->st->nr_views--;
	for (unsigned int i = 0; i < v->st->nr_runs && !v->st->nr_views; i++)
		vr_run_forget(v->st->runs[i]);
	pthread_mutex_unlock(&v->st->lock);
	for (unsigned int i = 0; i < CACHE_FRAMES; i++)
		free(v->cache[i].raw);
	for (unsigned int i = 0; i < v->nr_bases; i++)
		vr_base_close(v->bases[i].base);
	vr_unpacker_free(v->unpacker);
	free(v->history);
	free(v);
}

const struct vr_history *vr_view_history(const struct vr_view *v)
{
	return v->history;
}

/* --- frames ------------------------------------------------------------------------- */

static struct cached *make_room(struct vr_view *v, size_t len)
{
	for (;;) {
		struct cached *empty = NULL, *oldest = NULL;

		for (unsigned int i = 0; i < CACHE_FRAMES; i++) {
			struct cached *c = &v->cache[i];

			if (!c->raw)
				empty = c;
			else if (!oldest || c->used < oldest->used)
				oldest = c;
		}
		if (empty && (v->cached_bytes + len <= CACHE_BYTES || !oldest))
			return empty;
		v->cached_bytes -= oldest->len;
		free(oldest->raw);
		memset(oldest, 0, sizeof(*oldest));
	}
}

static int get_frame(struct vr_view *v, uint32_t segment, uint32_t frame, struct cached **out, struct vr_err *e)
{
	uint64_t key = (uint64_t)segment << 32 | frame, at = (uint64_t)frame * 8;
	struct vaio_rw_frame h, *whole = NULL;
	struct vr_segment *s;
	struct cached *c;
	uint32_t stored, raw;
	int err;

	for (unsigned int i = 0; i < CACHE_FRAMES; i++)
		if (v->cache[i].raw && v->cache[i].key == key) {
			v->cache[i].used = ++v->clock;
			*out = &v->cache[i];
			return 0;
		}
	pthread_mutex_lock(&v->st->lock);
	s = vr_segment_of(v->st, segment);
	err = s ? vr_segment_open(v->st, s, e) :
		  vr_fail(e, -EIO, "journal segment %x, which the index names, is not there", segment);
	pthread_mutex_unlock(&v->st->lock);
	if (err)
		return err;
	err = v->st->io->ops->read(s->file, &h, sizeof(h), at);
	stored = le32toh(h.stored_length);
	raw = le32toh(h.raw_length);
	if (!err && (le32toh(h.magic) != VAIO_RW_FRAME_MAGIC || !raw || raw > VAIO_RW_MAX_RAW || stored > raw))
		return vr_fail(e, -EIO, "journal segment %x at %" PRIu64 ": no frame", segment, at);
	c = err ? NULL : make_room(v, raw);
	if (c) {
		whole = malloc(sizeof(h) + stored);
		c->raw = malloc(raw);
		if (!whole || !c->raw)
			err = -ENOMEM;
		if (!err) {
			memcpy(whole, &h, sizeof(h));
			err = v->st->io->ops->read(s->file, whole + 1, stored, at + sizeof(h));
		}
		if (!err && vr_frame_unpack(v->unpacker, whole, c->raw, NULL))
			err = -EILSEQ;
		free(whole);
		if (err) {
			free(c->raw);
			c->raw = NULL;
		}
	}
	if (err == -EILSEQ)
		return vr_fail(e, -EIO, "journal segment %x: the frame at %" PRIu64 " is damaged", segment, at);
	if (err)
		return vr_fail_errno(e, err == -ENODATA ? -EIO : err, "journal segment %x at %" PRIu64, segment, at);
	c->key = key;
	c->len = raw;
	c->used = ++v->clock;
	v->cached_bytes += raw;
	*out = c;
	return 0;
}

/* --- cells ------------------------------------------------------------------------------ */

struct piece {
	uint32_t segment, frame, data;
	uint8_t start, count;
};

struct lookup {
	uint64_t left[CELL_SECTORS / 64];	/* sectors still to be found */
	struct piece pieces[CELL_SECTORS];
	unsigned int nr;
	bool touched;		/* by a record that the apply under way applies */
};

/* Takes what @en has of the sectors that are left. */
static void take(struct lookup *l, const struct vr_entry *en)
{
	unsigned int i = en->start, end = en->start + en->count + 1U;

	while (i < end) {
		unsigned int from = i;

		while (i < end && l->left[i / 64] >> i % 64 & 1) {
			l->left[i / 64] &= ~(1ULL << i % 64);
			i++;
		}
		if (i > from)
			l->pieces[l->nr++] = (struct piece){
				.segment = en->segment, .frame = en->frame,
				.data = en->frame ? en->data + (from - en->start) * VAIO_RS_SECTOR : 0,
				.start = (uint8_t)from, .count = (uint8_t)(i - from),
			};
		else
			i++;
	}
}

/* One part of the index: entries of the cell and of the large cell around it, newest first. */
static int look(struct vr_view *v, struct lookup *l, const struct vr_mem *mem, struct vr_run *run, const uint64_t key[2],
		uint64_t floor, struct vr_err *e)
{
	uint64_t from = v->st->super->base_from, to = v->st->super->base.now.last_seq;
	struct vr_cursor c[2];
	struct vr_entry en[2];
	int have[2];

	for (int i = 0; i < 2; i++) {
		have[i] = vr_cursor_begin(&c[i], mem, run, key[i], v->seq, &en[i], e);
		if (have[i] < 0)
			return have[i];
	}
	while (have[0] || have[1]) {
		int i = !have[0] || (have[1] && en[1].seq > en[0].seq);

		if (en[i].seq <= floor)
			break;
		if (en[i].seq > from && en[i].seq <= to)
			l->touched = true;
		take(l, &en[i]);
		/* An apply under way wants to know of all its entries; else the first full cover is enough. */
		if (!l->left[0] && !l->left[1] && (l->touched || from == to))
			break;
		have[i] = vr_cursor_next(&c[i], &en[i], e);
		if (have[i] < 0)
			return have[i];
	}
	return 0;
}

/* Finds who wrote the cell's sectors. With the store's lock. */
static int find_pieces(struct vr_view *v, const struct vr_member *m, uint64_t cell, struct lookup *l, struct vr_err *e)
{
	uint64_t key[2] = { vr_key(m->number, cell), vr_key(m->number, cell / VR_LARGE_CELLS) | VR_KEY_LARGE };
	struct vr_store *st = v->st;
	uint64_t floor = st->super->base_from > m->add_seq ? st->super->base_from : m->add_seq;
	unsigned int segments = st->nr_segments, runs = st->nr_runs;
	int err = 0;

	/* Newest first, wherever a segment's index is: one that was made again is in memory among older runs. */
	while ((segments || runs) && !err) {
		struct vr_segment *s = segments ? st->segments[segments - 1] : NULL;
		struct vr_run *run = runs ? st->runs[runs - 1] : NULL;

		if (!l->left[0] && !l->left[1] && (l->touched || st->super->base_from == st->super->base.now.last_seq))
			break;
		if (s && (!s->mem || s->before.last_seq >= v->seq)) {
			segments--;
		} else if (s && (!run || s->id > run->last)) {
			err = look(v, l, s->mem, NULL, key, floor, e);
			segments--;
		} else {
			err = look(v, l, NULL, run, key, floor, e);
			runs--;
		}
	}
	return err;
}

static int find_base(struct vr_view *v, const struct vr_member *m, struct vr_base **b, struct vr_err *e)
{
	unsigned int i;
	int err;

	*b = NULL;
	for (i = 0; i < v->nr_bases; i++)
		if (v->bases[i].member == m->number) {
			*b = v->bases[i].base;
			return 0;
		}
	/* A disk that joined after what the base holds has none; an apply under way may make it. */
	err = vr_base_open(v->st, m, false, b, e);
	if (err)
		return err == -ENOENT ? 0 : err;
	v->bases[i].member = m->number;
	v->bases[i].base = *b;
	v->nr_bases++;
	return 0;
}

int vr_view_cell(struct vr_view *v, const struct vr_member *m, uint64_t cell, void *buf, size_t len, bool trust,
		 bool *from_base_only, struct vr_err *e)
{
	struct lookup l = { .nr = 0 };
	struct vr_base *base;
	bool wrong = false;
	int err;

	for (unsigned int i = 0; i < len / VAIO_RS_SECTOR; i++)
		l.left[i / 64] |= 1ULL << i % 64;
	pthread_mutex_lock(&v->st->lock);
	err = find_pieces(v, m, cell, &l, e);
	pthread_mutex_unlock(&v->st->lock);
	if (err)
		return err;
	*from_base_only = !l.nr;
	if (l.left[0] || l.left[1]) {
		err = find_base(v, m, &base, e);
		if (err)
			return err;
		if (base)
			err = vr_base_read(base, cell, buf, len, &wrong, e);
		else
			memset(buf, 0, len);
		if (err)
			return err;
		if (wrong && !(l.touched && trust))
			return vr_fail(e, -EIO, "base of member %u: the checksum of %" PRIu64 "+%zu is wrong", m->number,
				       cell << VAIO_RS_CELL_SHIFT, len);
	}
	for (unsigned int i = 0; i < l.nr; i++) {
		const struct piece *p = &l.pieces[i];
		size_t bytes = p->count * VAIO_RS_SECTOR;
		struct cached *c = NULL;

		if (p->start * VAIO_RS_SECTOR + bytes > len)
			bytes = len - p->start * VAIO_RS_SECTOR;
		if (!p->frame) {
			memset((char *)buf + p->start * VAIO_RS_SECTOR, 0, bytes);
			continue;
		}
		err = get_frame(v, p->segment, p->frame, &c, e);
		if (err)
			return err;
		if (p->data > c->len || bytes > c->len - p->data)
			return vr_fail(e, -EIO, "index: an entry names bytes beyond its frame");
		memcpy((char *)buf + p->start * VAIO_RS_SECTOR, c->raw + p->data, bytes);
	}
	return 0;
}

int vr_view_read(struct vr_view *v, uint16_t member, void *buf, uint64_t len, uint64_t offset, struct vr_err *e)
{
	const struct vr_member *m = vr_history_member(v->history, member);
	uint8_t *cell = NULL;
	bool base_only;
	int err = 0;

	if (!m || m->removed)
		return vr_fail(e, -ENOENT, "member %u is not in the group at seq:%" PRIu64, member, v->seq);
	if ((offset | len) % VAIO_RS_SECTOR || offset > m->size || len > m->size - offset)
		return vr_fail(e, -EINVAL, "%" PRIu64 "+%" PRIu64 " is not in sectors of the disk of %" PRIu64, offset, len,
			       m->size);
	while (len && !err) {
		uint64_t nr = offset >> VAIO_RS_CELL_SHIFT, start = nr << VAIO_RS_CELL_SHIFT;
		size_t whole = m->size - start < VAIO_RS_CELL ? (size_t)(m->size - start) : VAIO_RS_CELL;
		size_t skip = (size_t)(offset - start), n = whole - skip < len ? whole - skip : (size_t)len;

		if (n == whole) {
			err = vr_view_cell(v, m, nr, buf, whole, true, &base_only, e);
		} else {
			if (!cell)
				cell = malloc(VAIO_RS_CELL);
			err = cell ? vr_view_cell(v, m, nr, cell, whole, true, &base_only, e) :
				     vr_fail(e, -ENOMEM, "no memory to read a cell");
			if (!err)
				memcpy(buf, cell + skip, n);
		}
		buf = (char *)buf + n;
		offset += n;
		len -= n;
	}
	free(cell);
	return err;
}
