// SPDX-License-Identifier: GPL-2.0
/*
 * Failover: ready -> failover -> undo | permanent | failback -> commit | undo.
 *
 * Only a store that is ready takes records. Histories that went on at two places are told from each
 * other by generations: what a replica was made of for good, and what it becomes after a failback,
 * begins a new one, which no source knows that was not told of it.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_priv.h"

static const struct step {
	const char *name, *from;
	uint32_t to;
	uint32_t accepted[2];	/* states */
} steps[] = {
	[VR_FAILOVER] = { "failover", "ready", VAIO_RS_FAILOVER, { VAIO_RS_READY, 0 } },
	[VR_UNDO] = { "undo", "failover and failback", VAIO_RS_READY, { VAIO_RS_FAILOVER, VAIO_RS_FAILBACK } },
	[VR_PERMANENT] = { "permanent", "failover", VAIO_RS_PERMANENT, { VAIO_RS_FAILOVER, VAIO_RS_PERMANENT } },
	[VR_FAILBACK] = { "failback", "failover", VAIO_RS_FAILBACK, { VAIO_RS_FAILOVER, 0 } },
	[VR_NEW_SOURCE] = { "new-source", "ready", VAIO_RS_READY, { VAIO_RS_READY, 0 } },
	[VR_COMMIT] = { "commit", "failback", VAIO_RS_COMMIT, { VAIO_RS_FAILBACK, VAIO_RS_COMMIT } },
};

static const char *const state_names[] = { "?", "ready", "failover", "permanent", "failback", "commit" };

/* Writes state and role (0: as it is); and the point that is held, or its release, with them. */
static int write_state(struct vr_store *st, uint32_t state, uint32_t new_role, const struct vr_point *hold, bool release,
		       struct vr_err *e)
{
	struct vr_super *s = st->super;
	uint32_t failover, role;
	struct vr_mark old = { 0 };
	int at = -1, err;

	pthread_mutex_lock(&st->lock);
	st->mark_changes++;
	failover = s->failover;
	role = s->role;
	for (unsigned int i = 0; i < s->nr_marks; i++)
		if (!strcmp(s->marks[i].name, VR_FAILOVER_MARK))
			at = (int)i;
	if (at >= 0)
		old = s->marks[at];
	if (hold && at < 0 && s->nr_marks == VAIO_RS_MAX_MARKS) {
		err = vr_fail(e, -E2BIG, "the group has %u names already: release some", VAIO_RS_MAX_MARKS);
	} else if (hold && hold->seq < s->base.now.last_seq) {
		err = vr_fail(e, -ENOENT, "the point is not there any more");
	} else if (hold && (err = vr_still_point(st, hold->seq, e))) {
		/* it says so */
	} else {
		if (hold) {
			struct vr_mark *m = &s->marks[at >= 0 ? (unsigned int)at : s->nr_marks++];

			memset(m, 0, sizeof(*m));
			m->seq = hold->seq;
			m->time_ns = hold->time_ns;
			m->flags = VAIO_RS_MARK_PIN;
			m->kind = hold->kind ? hold->kind : VAIO_RW_C_CRASH;
			snprintf(m->name, sizeof(m->name), "%s", VR_FAILOVER_MARK);
		} else if (release && at >= 0) {
			s->marks[at] = s->marks[--s->nr_marks];
		}
		s->failover = state;
		s->role = new_role ? new_role : role;
		err = vr_super_write(st, e);
		if (err) {
			s->failover = failover;
			s->role = role;
			if (hold && at < 0)
				s->nr_marks--;
			else if (hold)
				s->marks[at] = old;
			else if (release && at >= 0)
				s->marks[s->nr_marks++] = old;
		}
	}
	pthread_mutex_unlock(&st->lock);
	return err;
}

/* Appends a record of the group, made here. */
static int append_record(struct vr_store *st, uint16_t type, const void *payload, uint32_t len, uint64_t generation,
			 struct vr_err *e)
{
	static const uint8_t nil[VAIO_RW_ID_LEN];
	struct vr_builder *b = vr_builder_new(st->super->group, VAIO_RW_MAX_BATCH, 0);
	struct vaio_rw_record r = { .type = htole16(type), .member = htole16(VAIO_RW_NO_MEMBER) };
	uint64_t now = st->io->ops->now_ns(st->io);
	const void *batch = NULL;
	size_t size = 0;
	int err;

	if (!b)
		return vr_fail(e, -ENOMEM, "no memory");
	r.time_ns = htole64(now > st->history->now.time_ns ? now : st->history->now.time_ns);
	err = vr_builder_add(b, st->history->now.last_seq + 1, generation, &r, nil, payload, len);
	if (!err)
		batch = vr_builder_finish(b, &size);
	err = err || !batch ? vr_fail(e, -ENOMEM, "no memory") : vr_store_append_own(st, batch, size, e);
	vr_builder_free(b);
	return err;
}

/* A gap that only a comparison closes. */
static int append_gap(struct vr_store *st, uint64_t generation, struct vr_err *e)
{
	struct vaio_rw_gap reason = { .reason = htole32(VAIO_RW_GAP_ADMIN) };

	return append_record(st, VAIO_RW_R_GAP, &reason, sizeof(reason), generation, e);
}

/* A new generation; and, for one that a source is to go on with, a gap that its comparison closes. */
static int new_generation(struct vr_store *st, bool gap, struct vr_err *e)
{
	uint64_t counter = st->history->now.generation + 1;
	struct vaio_rw_generation g = { .counter = htole64(counter), .first_seq = htole64(st->history->now.last_seq + 1) };
	int err = st->io->ops->random(st->io, g.id, sizeof(g.id));

	g.time_ns = htole64(st->io->ops->now_ns(st->io));
	if (err)
		return vr_fail_errno(e, err, "random numbers");
	err = append_record(st, VAIO_RW_R_GENERATION, &g, sizeof(g), counter, e);
	if (!err && gap)
		err = append_gap(st, counter, e);
	return err ? err : vr_store_commit(st, e);
}

/* Nobody is the source any more: the next host is, whichever it is, when it has been compared. */
static int new_source(struct vr_store *st, struct vr_err *e)
{
	struct vr_super old;
	int err = 0;

	if (st->durable.last_seq)
		err = append_gap(st, st->history->now.generation, e);
	if (!err && st->durable.last_seq)
		err = vr_store_commit(st, e);
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	old = *st->super;
	memset(st->super->source, 0, sizeof(st->super->source));
	memset(st->super->ring, 0, sizeof(st->super->ring));
	if (st->durable.last_seq)
		st->super->role = VAIO_RS_RETURNED;
	err = vr_super_change(st, &old, e);
	pthread_mutex_unlock(&st->lock);
	return err;
}

static int accepts(const struct step *s, uint32_t now, struct vr_err *e)
{
	if (now == s->accepted[0] || now == s->accepted[1])
		return 0;
	return vr_fail(e, -EBUSY, "the group is in the state %s: '%s' is accepted from %s", state_names[now], s->name, s->from);
}

int vr_store_failover_accepts(struct vr_store *st, enum vr_failover_step step, struct vr_err *e)
{
	uint32_t now;

	pthread_mutex_lock(&st->lock);
	now = st->super->failover;
	pthread_mutex_unlock(&st->lock);
	return accepts(&steps[step], now, e);
}

int vr_store_failover(struct vr_store *st, enum vr_failover_step step, const struct vr_point *p, struct vr_err *e)
{
	const struct step *s = &steps[step];
	uint32_t now = st->super->failover;
	int err = accepts(s, now, e);

	if (err)
		return err;
	switch (step) {
	case VR_FAILOVER:
		return write_state(st, s->to, 0, p, false, e);
	case VR_UNDO:
		if (now == VAIO_RS_FAILBACK)
			return write_state(st, VAIO_RS_FAILOVER, 0, NULL, false, e);
		return write_state(st, VAIO_RS_READY, 0, NULL, true, e);
	case VR_PERMANENT:
		/* No way back from here, so that a cut before the generation is written does no harm. */
		err = write_state(st, s->to, VAIO_RS_PROMOTED, NULL, false, e);
		return err ? err : new_generation(st, false, e);
	case VR_COMMIT:
		/* Between the first and the last of these only the same step is accepted again. */
		err = write_state(st, VAIO_RS_COMMIT, 0, NULL, false, e);
		if (!err)
			err = new_generation(st, true, e);
		return err ? err : write_state(st, VAIO_RS_READY, VAIO_RS_RETURNED, NULL, true, e);
	case VR_NEW_SOURCE:
		return new_source(st, e);
	case VR_FAILBACK:
		return write_state(st, s->to, 0, NULL, false, e);
	}
	return vr_fail(e, -EINVAL, "no such step");
}
