// SPDX-License-Identifier: GPL-2.0
/*
 * Thinning out: of points that are older than every_write, one for each interval stays. A sealed segment
 * is written anew, with VOID records in the place of the writes that no point shows any more; the numbers stay
 * dense, so that it is a segment like any other. What was given up is written down before, and what is
 * made of the old bytes (run, summary) is removed before the new ones get the segment's name: what is missing
 * after a cut is made again.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_priv.h"

#define NEW_SEGMENT	"journal/new"
#define CELL_SECTORS	(VAIO_RS_CELL / VAIO_RS_SECTOR)

/* --- which numbers are points ---------------------------------------------------------------- */

bool vr_segment_thinned(const struct vr_store *st, const struct vr_segment *s)
{
	return s->id >= st->super->thinned_from && s->id < st->super->thinned_before;
}

static bool marked(const struct vr_store *st, uint64_t seq)
{
	for (unsigned int i = 0; i < st->super->nr_marks; i++)
		if (st->super->marks[i].seq == seq)
			return true;
	return false;
}

/* Does a point stay between two records that follow each other? */
static bool stays(const struct vr_store *st, const struct vaio_rw_record *r, const struct vaio_rw_record *next)
{
	uint64_t interval = st->super->interval_ns ? st->super->interval_ns : 1;

	return vr_type_is_control(le16toh(r->type)) || vr_type_is_control(le16toh(next->type)) ||
	       le64toh(r->time_ns) / interval != le64toh(next->time_ns) / interval || marked(st, le64toh(r->seq));
}

/*
 * Walks a thinned segment's records from batch @from on; *@down is the last point not above @seq, 0 when there
 * is none after @from, *@up the first not below.
 */
static int nearest(struct vr_store *st, struct vr_segment *s, unsigned int from, uint64_t seq, uint64_t *down, uint64_t *up,
		   struct vr_err *e)
{
	struct vaio_rw_record last = { .seq = 0 };
	struct vr_batch *b = malloc(sizeof(*b));
	int err = b ? 0 : vr_fail(e, -ENOMEM, "no memory");

	*down = from ? 0 : s->before.last_seq;
	*up = s->after.last_seq;
	for (unsigned int i = from; i < s->nr_batches && !err; i++) {
		void *buf;

		err = vr_segment_batch(st, s, i, &buf, b, e);
		if (err)
			break;
		for (unsigned int r = 0; r < b->nr_records; r++) {
			if (last.seq && stays(st, &last, &b->records[r])) {
				if (le64toh(last.seq) <= seq)
					*down = le64toh(last.seq);
				if (le64toh(last.seq) >= seq) {
					*up = le64toh(last.seq);
					break;
				}
			}
			last = b->records[r];
		}
		free(buf);
		if (*up != s->after.last_seq)
			break;
	}
	free(b);
	return err;
}

static int search(struct vr_store *st, struct vr_segment *s, uint64_t seq, uint64_t *down, uint64_t *up, struct vr_err *e)
{
	unsigned int at = 0, span = 2;
	int err = vr_segment_batches(st, s, e);

	if (err)
		return err;
	while (at + 1 < s->nr_batches && le64toh(s->batches[at + 1].first_seq) <= seq)
		at++;
	/* The last point is mostly near. */
	do {
		at = at > span ? at - span : 0;
		span *= 8;
		err = nearest(st, s, at, seq, down, up, e);
	} while (!err && !*down);
	vr_segment_batches_done(st, s);
	return err;
}

int vr_thinned_nearest(struct vr_store *st, uint64_t seq, uint64_t *down, uint64_t *up, struct vr_err *e)
{
	*down = *up = seq;
	for (unsigned int i = st->nr_segments; i-- > 0;) {
		struct vr_segment *s = st->segments[i];

		if (!s->first_seq || s->before.last_seq >= seq)
			continue;
		if (!vr_segment_thinned(st, s) || seq >= s->after.last_seq)
			return 0;
		return search(st, s, seq, down, up, e);
	}
	return 0;
}

int vr_still_point(struct vr_store *st, uint64_t seq, struct vr_err *e)
{
	uint64_t down, up;
	int err = vr_thinned_nearest(st, seq, &down, &up, e);

	if (!err && down != seq)
		err = vr_fail(e, -ENOENT, "seq:%llu was thinned out meanwhile", (unsigned long long)seq);
	return err;
}

/* --- which writes are shown by none --------------------------------------------------------------- */

/* Sectors of a cell that are written again before the next point. */
struct cover {
	uint64_t key;			/* one more than vr_key() */
	uint64_t sectors[CELL_SECTORS / 64];
};

struct covers {
	struct cover *list;
	size_t nr, size;		/* size: a power of two */
	bool all;			/* of the sectors that were asked for */
	int err;
};

static struct cover *cover_of(struct covers *c, uint64_t key)
{
	size_t i;

	if (4 * (c->nr + 1) > 3 * c->size) {
		struct covers more = { .size = c->size ? 2 * c->size : 1024 };

		more.list = calloc(more.size, sizeof(*more.list));
		if (!more.list) {
			c->err = -ENOMEM;
			return NULL;
		}
		for (i = 0; i < c->size; i++)
			if (c->list[i].key)
				*cover_of(&more, c->list[i].key - 1) = c->list[i];
		free(c->list);
		c->list = more.list;
		c->size = more.size;
	}
	i = (size_t)((key + 1) * 0x9e3779b97f4a7c15ULL >> 20) & (c->size - 1);
	while (c->list[i].key && c->list[i].key != key + 1)
		i = (i + 1) & (c->size - 1);
	if (!c->list[i].key) {
		c->list[i].key = key + 1;
		c->nr++;
	}
	return &c->list[i];
}

static void forget(struct covers *c)
{
	memset(c->list, 0, c->size * sizeof(*c->list));
	c->nr = 0;
}

/* Entries of zeroes over 64 MiB are left out: then writes before them stay, and that is all. */
static int ask_cell(void *arg, const struct vr_entry *en)
{
	struct covers *c = arg;
	struct cover *k = en->key & VR_KEY_LARGE ? NULL : cover_of(c, en->key);

	for (unsigned int i = en->start; k && i <= en->start + (unsigned int)en->count; i++)
		c->all &= k->sectors[i / 64] >> i % 64 & 1;
	return c->err;
}

static int set_cell(void *arg, const struct vr_entry *en)
{
	struct covers *c = arg;
	struct cover *k = en->key & VR_KEY_LARGE ? NULL : cover_of(c, en->key);

	for (unsigned int i = en->start; k && i <= en->start + (unsigned int)en->count; i++)
		k->sectors[i / 64] |= 1ULL << i % 64;
	return c->err;
}

/* A bit for each record of the segment, in the order in which they stand: not shown by any point. */
static int find_dead(struct vr_store *st, struct vr_segment *s, uint8_t **dead, size_t *nr, struct vr_err *e)
{
	struct vr_batch *b = malloc(sizeof(*b));
	struct covers c = { .list = NULL };
	struct vaio_rw_record next;
	size_t total = 0, at;
	bool any = false;
	int err = 0;

	for (unsigned int i = 0; i < s->nr_batches; i++)
		total += le32toh(s->batches[i].nr_records);
	*dead = calloc(1, total / 8 + 1);
	*nr = 0;
	if (!b || !*dead || !cover_of(&c, 0))
		err = vr_fail(e, -ENOMEM, "no memory");
	at = total;
	for (unsigned int i = s->nr_batches; i-- > 0 && !err;) {
		void *buf;

		err = vr_segment_batch(st, s, i, &buf, b, e);
		for (unsigned int r = err ? 0 : b->nr_records; r-- > 0 && !err;) {
			const struct vaio_rw_record *rec = &b->records[r];

			if (any && stays(st, rec, &next))
				forget(&c);
			next = *rec;
			any = true;
			at--;
			c.all = true;
			if (le16toh(rec->type) == VAIO_RW_R_WRITE) {
				vr_index_cut(rec, 0, 1, ask_cell, &c);
				if (c.all && !c.err) {
					(*dead)[at / 8] |= (uint8_t)(1U << at % 8);
					(*nr)++;
				}
			}
			vr_index_cut(rec, 0, 1, set_cell, &c);
			if (c.err)
				err = vr_fail(e, c.err, "no memory");
		}
		free(buf);
	}
	free(c.list);
	free(b);
	return err;
}

/* --- writing a segment anew ------------------------------------------------------------------------- */

struct rewrite {
	struct vr_store *st;
	struct vr_segment *to;
	struct vr_file *f;
	struct vr_builder *builder;
	struct vr_unpacker *unpacker, *check;
	struct vr_batch *made;
	struct vaio_rs_append a;	/* of the batch that is being copied */
};

static int put_batch(struct rewrite *w, struct vr_err *e)
{
	const struct vr_io_ops *ops = w->st->io->ops;
	struct vr_segment *s = w->to;
	uint64_t at = (s->length + 511) & ~511ULL;
	struct vr_state after = s->after;
	size_t len;
	const void *bytes = vr_builder_finish(w->builder, &len);
	int err;

	if (!bytes)
		return 0;
	err = vr_batch_parse(bytes, len, w->made, e);
	if (!err)
		err = vr_batch_unpack(w->check, w->made, e);
	if (!err && vr_segment_reserve(s, w->made))
		err = vr_fail(e, -ENOMEM, "no memory");
	if (err)
		return err;
	w->a.length = htole32((uint32_t)len);
	w->a.offset = htole64(at);
	w->a.first_seq = htole64(w->made->first_seq);
	w->a.last_seq = htole64(w->made->last_seq);
	w->a.crc = htole32(vr_crc32c(0, (char *)&w->a + 8, sizeof(w->a) - 8));
	err = ops->write(w->f, &w->a, sizeof(w->a), at);
	if (!err)
		err = ops->write(w->f, bytes, len, at + sizeof(w->a));
	if (err)
		return vr_fail_errno(e, err, NEW_SEGMENT);
	after.last_seq = w->made->last_seq;
	vr_segment_note(w->st, s, w->made, at, &after);
	return 0;
}

static int copy_batch(struct rewrite *w, struct vr_batch *b, const uint8_t *dead, size_t at, struct vr_err *e)
{
	static const uint8_t nil[VAIO_RW_ID_LEN];
	int err = vr_batch_unpack(w->unpacker, b, e);

	for (unsigned int i = 0; i < b->nr_records && !err; i++, at++) {
		struct vaio_rw_record r = b->records[i];
		const void *payload = vr_batch_payload(b, i);
		uint32_t len = le32toh(r.data_length);
		const uint8_t *vm = payload ? b->frames[le16toh(r.frame)].header->vm : nil;
		int rc;

		if (dead[at / 8] >> at % 8 & 1) {
			r.type = htole16(VAIO_RW_R_VOID);
			r.flags = 0;
			r.ref = 0;
			payload = NULL;
			len = 0;
		}
		for (int tries = 0; tries < 2; tries++) {
			rc = vr_builder_add(w->builder, b->first_seq + i, le64toh(b->header->generation), &r, vm, payload, len);
			if (rc <= 0)
				break;
			err = put_batch(w, e);
			if (err)
				return err;
		}
		if (rc)
			err = vr_fail(e, rc < 0 ? rc : -EIO, "a batch cannot be made anew");
	}
	return err ? err : put_batch(w, e);
}

static int write_anew(struct vr_store *st, struct vr_segment *s, const uint8_t *dead, struct rewrite *w, struct vr_err *e)
{
	const struct vr_io_ops *ops = st->io->ops;
	struct vr_batch *b = malloc(sizeof(*b));
	struct vaio_rs_segment h;
	size_t at = 0;
	int err = b ? ops->remove(st->io, NEW_SEGMENT) : -ENOMEM;

	if (!err || err == -ENOENT)
		err = ops->open(st->io, NEW_SEGMENT, VR_O_CREATE, &w->f);
	if (!err)
		err = ops->read(s->file, &h, sizeof(h), 0);
	if (!err)
		err = ops->write(w->f, &h, sizeof(h), 0);
	if (err)
		vr_fail_errno(e, err, NEW_SEGMENT);
	for (unsigned int i = 0; i < s->nr_batches && !err; i++) {
		void *buf;

		err = ops->read(s->file, &w->a, sizeof(w->a), le32toh(s->batches[i].offset));
		if (err) {
			vr_fail_errno(e, err, "journal segment");
			break;
		}
		err = vr_segment_batch(st, s, i, &buf, b, e);
		if (!err)
			err = copy_batch(w, b, dead, at, e);
		at += err ? 0 : b->nr_records;
		free(buf);
	}
	if (!err) {
		err = ops->sync(w->f);
		if (err)
			vr_fail_errno(e, err, NEW_SEGMENT);
	}
	free(b);
	return err;
}

static struct vr_segment *make_anew(struct vr_store *st, struct vr_segment *s, const uint8_t *dead, struct vr_err *e)
{
	struct rewrite w = { .st = st };
	int err = -ENOMEM;

	w.to = vr_segment_new(s->id, &s->before);
	w.builder = vr_builder_new(st->super->group, VAIO_RW_MAX_BATCH, 3);
	w.unpacker = vr_unpacker_new();
	w.check = vr_unpacker_new();
	w.made = malloc(sizeof(*w.made));
	if (w.to)
		w.to->mem = vr_mem_new();
	if (!w.to || !w.to->mem || !w.builder || !w.unpacker || !w.check || !w.made)
		vr_fail(e, err, "no memory");
	else
		err = write_anew(st, s, dead, &w, e);
	if (!err && w.to->after.last_seq != s->after.last_seq)
		err = vr_fail(e, -EIO, "journal segment: records were lost when it was written anew");
	if (!err)
		w.to->after = s->after;
	if (w.f)
		st->io->ops->close(w.f);
	vr_builder_free(w.builder);
	vr_unpacker_free(w.unpacker);
	vr_unpacker_free(w.check);
	free(w.made);
	if (!err)
		return w.to;
	vr_segment_free(w.to);
	st->io->ops->remove(st->io, NEW_SEGMENT);
	return NULL;
}

/* --- the step ------------------------------------------------------------------------------------------- */

/* The place of the run that is this segment's alone; -1: there is none. */
static int run_of(const struct vr_store *st, uint64_t id)
{
	for (unsigned int i = 0; i < st->nr_runs; i++)
		if (st->runs[i]->first == id && st->runs[i]->last == id)
			return (int)i;
	return -1;
}

/* The next segment whose points are old enough, with the lock. */
static struct vr_segment *candidate(struct vr_store *st, unsigned int *place)
{
	struct vr_super *u = st->super;
	uint64_t now = vr_source_now(st);

	if (!u->every_write_ns || st->failed || u->base_from != u->base.now.last_seq || st->nr_views)
		return NULL;
	for (unsigned int i = 0; i + 1 < st->nr_segments; i++) {
		struct vr_segment *s = st->segments[i];

		if (s->id < u->thinned_before)
			continue;
		/* In order, so that one number tells of all. */
		if (s->mem || !s->sum_file || !s->first_seq || s->max_time > now || now - s->max_time < u->every_write_ns ||
		    s->after.last_seq > st->durable.complete_seq)
			return NULL;
		*place = i;
		return s;
	}
	return NULL;
}

/* Gives the points up, then puts the new segment (NULL: none) in the place of the old one. With the lock. */
static int replace(struct vr_store *st, unsigned int place, struct vr_segment *to, struct vr_err *e)
{
	struct vr_segment *s = st->segments[place];
	uint64_t before = st->super->thinned_before;
	char name[VR_RUN_NAME > VR_NAME ? VR_RUN_NAME : VR_NAME];
	int err, at = run_of(st, s->id);

	st->super->thinned_before = s->id + 1;
	err = vr_super_write(st, e);
	if (err) {
		st->super->thinned_before = before;
		return err;
	}
	if (!to)
		return 0;
	vr_run_name(name, s->id, s->id);
	err = st->io->ops->remove(st->io, name);
	if (!err || err == -ENOENT) {
		vr_sum_name(name, s->id);
		err = st->io->ops->remove(st->io, name);
	}
	if (!err || err == -ENOENT)
		err = st->io->ops->sync_dir(st->io, "index");
	if (!err) {
		vr_segment_name(name, s->id);
		err = st->io->ops->rename(st->io, NEW_SEGMENT, name);
	}
	if (err)
		return vr_fail_errno(e, err, "thinning out segment %llx", (unsigned long long)s->id);
	/* From here on it is the new one that is read, whether the name is durable or not. */
	st->index_bytes -= st->runs[at]->len + s->sum_len;
	vr_run_close(st->runs[at]);
	memmove(&st->runs[at], &st->runs[at + 1], (st->nr_runs - (unsigned int)at - 1) * sizeof(*st->runs));
	st->nr_runs--;
	st->segments[place] = to;
	vr_segment_free(s);
	err = st->io->ops->sync_dir(st->io, "journal");
	/* No run of the new bytes may be durable before their name is. */
	st->failed |= err != 0;
	return err ? vr_fail_errno(e, err, "journal") : 0;
}

int vr_thin(struct vr_store *st, bool *more, struct vr_err *e)
{
	char live[VAIO_RW_NAME_LEN];
	struct vr_segment *s, *to = NULL;
	struct vr_file *lock;
	unsigned int place;
	uint8_t *dead = NULL;
	size_t nr = 0;
	uint64_t marks;
	bool anew;
	int err;

	pthread_mutex_lock(&st->lock);
	s = candidate(st, &place);
	marks = st->mark_changes;
	anew = s && run_of(st, s->id) >= 0;
	err = s ? vr_segment_open(st, s, e) : 0;
	pthread_mutex_unlock(&st->lock);
	if (!s || err)
		return err;
	/* Exports that live read the old bytes; one that wants to begin waits. */
	err = vr_pins_lock(st->io, &lock, live, e);
	if (err)
		return err;
	if (!live[0]) {
		/* In a run with others its bytes stay as they are. */
		err = vr_segment_batches(st, s, e);
		if (!err) {
			if (anew)
				err = find_dead(st, s, &dead, &nr, e);
			if (!err && nr) {
				to = make_anew(st, s, dead, e);
				err = to ? 0 : -EIO;
			}
			vr_segment_batches_done(st, s);
		}
		pthread_mutex_lock(&st->lock);
		/* Somebody may read meanwhile; a mark may have come between: the next try knows it. */
		if (!err && candidate(st, &place) == s && marks == st->mark_changes) {
			err = replace(st, place, to, e);
			*more = !err;
			if (!err || (place < st->nr_segments && st->segments[place] == to))
				to = NULL;
		}
		pthread_mutex_unlock(&st->lock);
		vr_segment_free(to);
	}
	free(dead);
	vr_pins_unlock(st->io, lock);
	return err;
}

int vr_store_set_thinning(struct vr_store *st, uint64_t every_write_ns, uint64_t interval_ns, struct vr_err *e)
{
	struct vr_super *u = st->super, old;
	int err;

	if (every_write_ns && !interval_ns)
		return vr_fail(e, -EINVAL, "thinning out wants an interval");
	pthread_mutex_lock(&st->lock);
	memcpy(&old, u, sizeof(old));
	/* What was thinned out by another interval stays so. */
	if (interval_ns && u->thinned_before > u->thinned_from && interval_ns != u->interval_ns && interval_ns % u->interval_ns) {
		err = vr_fail(e, -EINVAL, "the interval can only become a multiple of what it is");
	} else {
		if (!u->every_write_ns && every_write_ns && u->thinned_before <= u->thinned_from)
			u->thinned_from = u->thinned_before = vr_newest(st)->id;
		u->every_write_ns = every_write_ns;
		if (interval_ns)
			u->interval_ns = interval_ns;
		err = vr_super_change(st, &old, e);
	}
	pthread_mutex_unlock(&st->lock);
	return err;
}
