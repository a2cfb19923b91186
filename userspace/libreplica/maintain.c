// SPDX-License-Identifier: GPL-2.0
/*
 * Upkeep: sealed segments get their summary and index run, runs are merged, the
 * oldest segment is applied to the base when retention or space wants it, and
 * what the base holds is removed. Each step leaves a store that opens after a crash.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_priv.h"

/* --- sealing ------------------------------------------------------------------------- */

/* The run first, then the summary: a segment with a summary needs no scan. */
int vr_seal(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	struct vr_run *run;
	struct vr_mem *mem = s->mem;
	unsigned int at;
	int err = vr_run_write_mem(st->io, st->super->store, s->id, mem, e);

	if (!err && !s->sum_file)
		err = vr_sum_write(st, s, e);
	if (!err)
		err = vr_run_open(st->io, st->super->store, s->id, s->id, &run, e);
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	if (st->nr_runs == st->runs_room) {
		void *p = realloc(st->runs, (2 * st->runs_room + 16) * sizeof(*st->runs));

		if (!p) {
			pthread_mutex_unlock(&st->lock);
			vr_run_close(run);
			return vr_fail(e, -ENOMEM, "no memory");
		}
		st->runs = p;
		st->runs_room = 2 * st->runs_room + 16;
	}
	/* Before the run counts: what is not sealed as a whole is sealed again. */
	err = s->sum_file ? 0 : vr_sum_load(st, s, e);
	if (err) {
		st->failed |= err == -EBADMSG;
		pthread_mutex_unlock(&st->lock);
		vr_run_close(run);
		return err;
	}
	/* By age: one that was rebuilt may be older than others. */
	for (at = st->nr_runs; at && st->runs[at - 1]->first > s->id; at--)
		;
	memmove(&st->runs[at + 1], &st->runs[at], (st->nr_runs - at) * sizeof(*st->runs));
	st->runs[at] = run;
	st->nr_runs++;
	s->mem = NULL;
	st->index_bytes += run->len;
	st->index_bytes += s->sum_len;
	/* Somebody may be reading it: then it stays open. */
	if (s->file && !st->nr_views) {
		st->io->ops->close(s->file);
		s->file = NULL;
	}
	pthread_mutex_unlock(&st->lock);
	vr_mem_free(mem);
	return err;
}

/* --- merging --------------------------------------------------------------------------- */

static unsigned int level_of(const struct vr_store *st, const struct vr_run *run)
{
	uint64_t n = run->last - run->first + 1;
	unsigned int level = 0;

	while (n >= st->o.merge) {
		n /= st->o.merge;
		level++;
	}
	return level;
}

static int merge(struct vr_store *st, unsigned int first, unsigned int nr, struct vr_err *e)
{
	struct vr_run **old = &st->runs[first], *run;
	uint64_t from = old[0]->first, to = old[nr - 1]->last;
	int err = vr_run_merge(st->io, st->super->store, old, nr, st->super->base_from, e);

	if (!err)
		err = vr_run_open(st->io, st->super->store, from, to, &run, e);
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	for (unsigned int i = 0; i < nr; i++) {
		char name[VR_RUN_NAME];

		vr_run_name(name, st->runs[first + i]->first, st->runs[first + i]->last);
		st->index_bytes -= st->runs[first + i]->len;
		vr_run_close(st->runs[first + i]);
		/* One that stays behind is removed at the next start. */
		st->io->ops->remove(st->io, name);
	}
	st->runs[first] = run;
	st->index_bytes += run->len;
	memmove(&st->runs[first + 1], &st->runs[first + nr], (st->nr_runs - first - nr) * sizeof(*st->runs));
	st->nr_runs -= nr - 1;
	pthread_mutex_unlock(&st->lock);
	return 0;
}

/* Enough neighbours of one level? */
static bool find_merge(const struct vr_store *st, unsigned int *first)
{
	for (unsigned int i = st->nr_runs, same = 0; i-- > 0;) {
		bool may = !st->super->every_write_ns || st->runs[i]->last < st->super->thinned_before;
		bool next = i + 1 < st->nr_runs && may && level_of(st, st->runs[i]) == level_of(st, st->runs[i + 1]) &&
			    st->runs[i]->last + 1 == st->runs[i + 1]->first;

		/* What is not thinned out yet is written anew one by one. */
		same = next ? same + 1 : may;
		if (same >= st->o.merge) {
			*first = i;
			return true;
		}
	}
	return false;
}

/* --- applying ----------------------------------------------------------------------------- */

struct keys {
	uint64_t *key;
	size_t nr, room;
};

static int add_key(void *arg, const struct vr_entry *en)
{
	struct keys *k = arg;

	if (k->nr && k->key[k->nr - 1] == en->key)
		return 0;
	if (k->nr == k->room) {
		void *p = realloc(k->key, (2 * k->room + 1024) * sizeof(*k->key));

		if (!p)
			return -ENOMEM;
		k->key = p;
		k->room = 2 * k->room + 1024;
	}
	k->key[k->nr++] = en->key;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* All keys that records of a segment touch. */
static int gather_keys(struct vr_store *st, struct vr_segment *s, struct keys *k, struct vr_err *e)
{
	struct vr_batch *b = malloc(sizeof(*b));
	int err = b ? vr_segment_batches(st, s, e) : vr_fail(e, -ENOMEM, "no memory");
	bool there = !err;

	for (unsigned int i = 0; i < s->nr_batches && !err; i++) {
		void *buf;

		pthread_mutex_lock(&st->lock);
		err = vr_segment_open(st, s, e);
		pthread_mutex_unlock(&st->lock);
		if (!err)
			err = vr_segment_batch(st, s, i, &buf, b, e);
		if (err)
			break;
		for (unsigned int r = 0; r < b->nr_records && !err; r++)
			err = vr_index_cut(&b->records[r], 0, 1, add_key, k);
		free(buf);
		if (err)
			vr_fail(e, err, "no memory");
	}
	if (there)
		vr_segment_batches_done(st, s);
	free(b);
	if (k->nr)
		qsort(k->key, k->nr, sizeof(*k->key), by_number);
	return err;
}

static int apply_cells(struct vr_store *st, struct vr_view *v, const struct vr_member *m, struct vr_base *b,
		       uint64_t first, uint64_t nr, struct vr_err *e)
{
	uint8_t *buf = malloc(VAIO_RS_CELL);
	int err = buf ? 0 : vr_fail(e, -ENOMEM, "no memory");

	for (uint64_t cell = first; cell < first + nr && !err; cell++) {
		uint64_t start = cell << VAIO_RS_CELL_SHIFT;
		bool base_only;
		size_t len;

		if (start >= m->size)
			break;
		len = m->size - start < VAIO_RS_CELL ? (size_t)(m->size - start) : VAIO_RS_CELL;
		err = vr_view_cell(v, m, cell, buf, len, st->resumed, &base_only, e);
		if (!err && !base_only)
			err = vr_base_write(b, cell, buf, len, e);
	}
	free(buf);
	return err;
}

/* Brings the base from base_from to the end of segment @s. */
static int apply_segment(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	struct vr_base *b = NULL;
	struct keys k = { NULL, 0, 0 };
	const struct vr_member *m = NULL;
	struct vr_view *v;
	int err = vr_view_open(st, st->super->base.now.last_seq, &v, e);

	if (err)
		return err;
	err = gather_keys(st, s, &k, e);
	for (size_t i = 0; i < k.nr && !err; i++) {
		uint64_t key = k.key[i], cell = key & (VR_KEY_LARGE - 1);

		if (i && key == k.key[i - 1])
			continue;
		if (!m || m->number != key >> 48) {
			if (b) {
				err = vr_base_sync(b, e);
				vr_base_close(b);
				b = NULL;
				if (err)
					break;
			}
			m = vr_history_member((struct vr_history *)vr_view_history(v), (uint16_t)(key >> 48));
			if (m && !m->removed)
				err = vr_base_open(st, m, true, &b, e);
		}
		if (err || !b)
			continue;
		if (key & VR_KEY_LARGE)
			err = apply_cells(st, v, m, b, cell * VR_LARGE_CELLS, VR_LARGE_CELLS, e);
		else
			err = apply_cells(st, v, m, b, cell, 1, e);
	}
	if (b) {
		int err2 = err ? 0 : vr_base_sync(b, e);

		err = err ? err : err2;
		vr_base_close(b);
	}
	free(k.key);
	vr_view_close(v);
	return err;
}

struct move {
	struct vr_history *h;
	struct vr_err *e;
};

static int move_control(void *arg, const struct vaio_rs_control *c, const void *payload)
{
	struct move *m = arg;

	return vr_history_control(m->h, c, payload, m->e);
}

static bool held(struct vr_store *st, const struct vr_segment *s, const char *live);

/*
 * Declares the end of segment @s the oldest point. From here on older ones are gone, and the
 * base may be written. 1: somebody has taken hold of one of them meanwhile.
 */
static int begin_apply(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	struct vr_history *h = malloc(sizeof(*h)), *old = malloc(sizeof(*old));
	struct move m = { h, e };
	int err = h && old ? 0 : vr_fail(e, -ENOMEM, "no memory");

	if (!err) {
		memcpy(h, &st->super->base, sizeof(*h));
		memcpy(old, h, sizeof(*old));
		err = vr_segment_controls(s, move_control, &m, e);
	}
	if (!err) {
		h->now = s->after;
		pthread_mutex_lock(&st->lock);
		err = held(st, s, "");
		if (!err) {
			memcpy(&st->super->base, h, sizeof(*h));
			err = vr_super_write(st, e);
		}
		if (err < 0)
			memcpy(&st->super->base, old, sizeof(*old));
		else if (!err)
			vr_stretch_trim(st);
		pthread_mutex_unlock(&st->lock);
	}
	free(h);
	free(old);
	return err;
}

static int finish_apply(struct vr_store *st, struct vr_err *e)
{
	uint64_t from = st->super->base_from;
	int err = 0;

	/* Disks that left take their base with them. */
	for (unsigned int i = 0; i < st->super->base.nr_members && !err; i++)
		if (st->super->base.members[i].removed)
			err = vr_base_remove(st, st->super->base.members[i].number, e);
	/* Names too, whoever made them: a base that is not there after a cut would be one of zeroes. */
	if (!err) {
		err = st->io->ops->sync_dir(st->io, "base");
		if (err)
			vr_fail_errno(e, err, "base");
	}
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	st->super->base_from = st->super->base.now.last_seq;
	err = vr_super_write(st, e);
	if (err)
		st->super->base_from = from;
	else
		st->resumed = false;
	pthread_mutex_unlock(&st->lock);
	if (!err)
		st->base_bytes = vr_base_bytes(st);
	return err;
}

/* --- removing ---------------------------------------------------------------------------------- */

static bool can_prune(const struct vr_store *st)
{
	return st->nr_segments > 1 && st->segments[1]->before.last_seq <= st->super->base_from;
}

/* 1: somebody has begun to read since it was decided. */
static int prune(struct vr_store *st, struct vr_err *e)
{
	struct vr_segment *s;
	char name[VR_NAME];
	int err;

	pthread_mutex_lock(&st->lock);
	s = st->segments[0];
	if (st->nr_views) {
		pthread_mutex_unlock(&st->lock);
		return 1;
	}
	vr_segment_name(name, s->id);
	err = st->io->ops->remove(st->io, name);
	if (err && err != -ENOENT) {
		pthread_mutex_unlock(&st->lock);
		return vr_fail_errno(e, err, "%s", name);
	}
	st->index_bytes -= s->sum_len;
	memmove(st->segments, st->segments + 1, (st->nr_segments - 1) * sizeof(*st->segments));
	st->nr_segments--;
	while (st->nr_runs && st->runs[0]->last < st->segments[0]->id) {
		char run[VR_RUN_NAME];

		vr_run_name(run, st->runs[0]->first, st->runs[0]->last);
		st->io->ops->remove(st->io, run);
		st->index_bytes -= st->runs[0]->len;
		vr_run_close(st->runs[0]);
		memmove(st->runs, st->runs + 1, (st->nr_runs - 1) * sizeof(*st->runs));
		st->nr_runs--;
	}
	pthread_mutex_unlock(&st->lock);
	err = st->io->ops->sync_dir(st->io, "journal");
	if (err)
		vr_fail_errno(e, err, "journal");
	vr_sum_name(name, s->id);
	st->io->ops->remove(st->io, name);
	vr_segment_free(s);
	return err;
}

/* --- deciding ----------------------------------------------------------------------------------- */

/* Does retention want the oldest segment gone? */
static bool wanted(const struct vr_store *st, const struct vr_segment *s, bool pressure)
{
	const struct vr_super *u = st->super;
	uint64_t now = vr_source_now(st);

	/* No point yet: nothing to keep beside the base. */
	if (!st->durable.complete_seq || pressure)
		return true;
	if (u->retain_bytes && vr_journal_bytes(st) > u->retain_bytes)
		return true;
	return u->retain_ns && s->max_time < now && now - s->max_time >= u->retain_ns;
}

/* What must stay at or above the base; says who wants it. */
static bool held(struct vr_store *st, const struct vr_segment *s, const char *live)
{
	const struct vr_super *u = st->super;
	uint64_t to = s->after.last_seq;

	st->held_by[0] = 0;
	if (live[0])
		snprintf(st->held_by, sizeof(st->held_by), "%s", live);
	else if (st->nr_views)
		snprintf(st->held_by, sizeof(st->held_by), "a read");
	else if (st->durable.stretch && st->durable.complete_seq && to > st->durable.complete_seq)
		snprintf(st->held_by, sizeof(st->held_by), "the last point before a gap");
	else
		for (unsigned int i = 0; i < u->nr_marks; i++)
			if (u->marks[i].flags & VAIO_RS_MARK_PIN && u->marks[i].seq < to &&
			    u->marks[i].seq >= u->base.now.last_seq) {
				snprintf(st->held_by, sizeof(st->held_by), "%.*s", (int)sizeof(st->held_by) - 1,
					 u->marks[i].name);
				break;
			}
	return st->held_by[0];
}

/* One segment into the base, or out of the journal. An export that wants to begin waits for it. */
static int move_base(struct vr_store *st, bool pressure, bool *more, struct vr_err *e)
{
	bool applying = st->super->base_from < st->super->base.now.last_seq, pruning, hold;
	char live[VAIO_RW_NAME_LEN];
	struct vr_segment *s;
	struct vr_file *lock;
	int err;

	pthread_mutex_lock(&st->lock);
	s = st->segments[0];
	pruning = can_prune(st);
	hold = !applying && !pruning && (st->nr_segments < 2 || !s->sum_file || !wanted(st, s, pressure));
	pthread_mutex_unlock(&st->lock);
	if (hold)
		return 0;
	err = vr_pins_lock(st->io, &lock, live, e);
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	hold = held(st, s, live);
	if (hold && !live[0] && !st->nr_views && (applying || pruning))
		hold = false;	/* marks are above the base already */
	pthread_mutex_unlock(&st->lock);
	if (hold) {
		vr_pins_unlock(st->io, lock);
		return 0;
	}
	if (pruning) {
		err = prune(st, e);
	} else {
		if (!applying)
			err = begin_apply(st, s, e);
		if (!err) {
			err = apply_segment(st, s, e);
			/* Cells that it was at may be half written: the next try does not mind. */
			if (err)
				st->resumed = true;
		}
		if (!err)
			err = finish_apply(st, e);
	}
	*more = !err;
	vr_pins_unlock(st->io, lock);
	return err < 0 ? err : 0;
}

/* What one step of upkeep writes beside what is there, to make it smaller. */
static int add_files(struct vr_store *st, bool *more, struct vr_err *e)
{
	unsigned int first, i;
	bool can_merge;

	for (i = 0;; i++) {
		struct vr_segment *s = NULL;
		bool last;

		pthread_mutex_lock(&st->lock);
		last = i + 1 >= st->nr_segments;
		if (!last)
			s = st->segments[i];
		pthread_mutex_unlock(&st->lock);
		if (last)
			break;
		if (s->mem) {
			*more = true;
			return vr_seal(st, s, e);
		}
	}
	pthread_mutex_lock(&st->lock);
	can_merge = find_merge(st, &first);
	pthread_mutex_unlock(&st->lock);
	if (!can_merge)
		return 0;
	*more = true;
	return merge(st, first, st->o.merge, e);
}

int vr_store_maintain(struct vr_store *st, bool pressure, bool *more, struct vr_err *e)
{
	int err, full;

	*more = false;
	if (st->failed)
		return vr_fail(e, -EIO, "the store failed and has to be opened again");
	full = add_files(st, more, e);
	if (*more && !(pressure && vr_no_space(full)))
		return full;
	*more = false;
	err = move_base(st, pressure, more, e);
	if (err || *more)
		return err;
	/* The storage has no room for another file, and there is no point that may go. */
	return full ? full : vr_thin(st, more, e);
}
