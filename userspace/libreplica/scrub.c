// SPDX-License-Identifier: GPL-2.0
/* Reads all that is stored and checks every checksum. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_priv.h"

struct scrub {
	struct vr_store *st;
	struct vr_view *view;
	void (*found)(void *arg, const char *text);
	void *arg;
	int faults;
	void (*step)(void *arg, uint64_t done, uint64_t total);
	void *step_arg;
	uint64_t done, total;
	struct vr_unpacker *unpacker;
	struct vr_batch *batch;
};

static void fault(struct scrub *s, const struct vr_err *e)
{
	s->faults++;
	s->found(s->arg, e->text);
}

static void passed(struct scrub *s, uint64_t bytes)
{
	s->done += bytes;
	if (s->step)
		s->step(s->step_arg, s->done < s->total ? s->done : s->total, s->total);
}

static void scrub_journal(struct scrub *s, struct vr_segment *g)
{
	struct vr_err e;
	int err;

	pthread_mutex_lock(&s->st->lock);
	err = vr_segment_open(s->st, g, &e);
	if (!err)
		err = vr_segment_batches(s->st, g, &e);
	pthread_mutex_unlock(&s->st->lock);
	if (err) {
		fault(s, &e);
		return;
	}
	for (unsigned int i = 0;; i++) {
		void *buf;

		/* The newest segment grows meanwhile, and its table may move. */
		pthread_mutex_lock(&s->st->lock);
		err = i < g->nr_batches ? vr_segment_batch(s->st, g, i, &buf, s->batch, &e) : 1;
		pthread_mutex_unlock(&s->st->lock);
		if (err > 0)
			break;
		if (!err)
			err = vr_batch_unpack(s->unpacker, s->batch, &e);
		if (err)
			fault(s, &e);
		else
			passed(s, s->batch->length);
		free(buf);
	}
	vr_segment_batches_done(s->st, g);
}

static void scrub_index(struct scrub *s)
{
	pthread_mutex_lock(&s->st->lock);
	for (unsigned int i = 0; i < s->st->nr_runs; i++) {
		struct vr_run *run = s->st->runs[i];

		vr_run_forget(run);
		for (uint64_t at = 0; at < run->nr_entries; at += VAIO_RS_RUN_ENTRIES) {
			struct vr_entry en;
			struct vr_err e;

			if (vr_run_entry(run, at, &en, &e))
				fault(s, &e);
		}
	}
	pthread_mutex_unlock(&s->st->lock);
}

/*
 * Reads a cell of the base. One that is being written, or was when an apply was cut, may be wrong: then it counts as
 * what whoever reads there gets.
 */
static int check_cell(struct scrub *s, const struct vr_member *m, struct vr_base *b, uint64_t cell, void *buf, size_t len,
		      struct vr_err *e)
{
	bool wrong, applying, base_only;
	int err = vr_base_read(b, cell, buf, len, &wrong, e);

	if (err || !wrong)
		return err;
	pthread_mutex_lock(&s->st->lock);
	applying = s->st->super->base_from < s->st->super->base.now.last_seq;
	pthread_mutex_unlock(&s->st->lock);
	if (applying)
		return vr_view_cell(s->view, m, cell, buf, len, true, &base_only, e);
	/* An apply may have ended just now. */
	err = vr_base_read(b, cell, buf, len, &wrong, e);
	if (!err && wrong)
		err = vr_fail(e, -EIO, "base of member %u: the checksum of %" PRIu64 "+%zu is wrong", m->number,
			      cell << VAIO_RS_CELL_SHIFT, len);
	return err;
}

static void scrub_base(struct scrub *s, const struct vr_member *m)
{
	uint8_t *buf = malloc(VAIO_RS_CELL);
	uint64_t end = m->size;
	struct vr_base *b;
	struct vr_err e;
	int err = buf ? vr_base_open(s->st, m, false, &b, &e) : vr_fail(&e, -ENOMEM, "no memory");

	if (err && err != -ENOENT)
		fault(s, &e);
	/* What lies beyond the last sum was never written; a disk may be larger than anybody can wait for. */
	if (!err && vr_base_cells(b) < end >> VAIO_RS_CELL_SHIFT) {
		end = vr_base_cells(b) << VAIO_RS_CELL_SHIFT;
		passed(s, m->size - end);
	}
	for (uint64_t at = 0; !err && at < end; at += VAIO_RS_CELL) {
		size_t len = m->size - at < VAIO_RS_CELL ? (size_t)(m->size - at) : VAIO_RS_CELL;

		passed(s, len);
		if (check_cell(s, m, b, at >> VAIO_RS_CELL_SHIFT, buf, len, &e))
			fault(s, &e);
	}
	if (!err)
		vr_base_close(b);
	free(buf);
}

int vr_store_scrub(struct vr_store *st, void (*found)(void *arg, const char *text), void *arg,
		   void (*step)(void *arg, uint64_t done, uint64_t total), void *step_arg, struct vr_err *e)
{
	struct scrub s = { .st = st, .found = found, .arg = arg, .step = step, .step_arg = step_arg };
	struct vr_view *v;
	int err;

	/* The view keeps the base from moving. */
	err = vr_view_open(st, st->durable.last_seq, &v, e);
	if (err)
		return err;
	s.view = v;
	s.total = vr_journal_bytes(st);
	for (unsigned int i = 0; i < st->super->base.nr_members; i++)
		if (!st->super->base.members[i].removed)
			s.total += st->super->base.members[i].size;
	s.unpacker = vr_unpacker_new();
	s.batch = malloc(sizeof(*s.batch));
	if (!s.unpacker || !s.batch) {
		err = vr_fail(e, -ENOMEM, "no memory");
	} else {
		for (unsigned int i = 0;; i++) {
			struct vr_segment *g;

			pthread_mutex_lock(&st->lock);
			g = i < st->nr_segments ? st->segments[i] : NULL;
			pthread_mutex_unlock(&st->lock);
			if (!g)
				break;
			scrub_journal(&s, g);
		}
		scrub_index(&s);
		for (unsigned int i = 0; i < st->super->base.nr_members; i++)
			if (!st->super->base.members[i].removed)
				scrub_base(&s, &st->super->base.members[i]);
	}
	vr_unpacker_free(s.unpacker);
	free(s.batch);
	vr_view_close(v);
	return err ? err : s.faults;
}
