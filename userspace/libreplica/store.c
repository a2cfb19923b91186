// SPDX-License-Identifier: GPL-2.0
/* A store's life: creating, opening after whatever happened. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gcrypt.h>

#include "crc32c.h"
#include "store_priv.h"

#define DEFAULT_SEGMENT	(256ULL << 20)
#define MAX_STRETCHES	(1U << 16)	/* that the history is cut into */
#define INDEX_BYTES	(64U << 20)	/* of indexes in memory, above which no further segment is begun */

/* --- the superblock ----------------------------------------------------------------- */

static int super_write(struct vr_io *io, struct vr_file *f, struct vr_super *s, struct vr_err *e)
{
	unsigned int slot = (s->sequence + 1) & 1;
	void *buf = malloc(VAIO_RS_SLOT);
	size_t len;
	int err;

	if (!buf)
		return vr_fail(e, -ENOMEM, "superblock: no memory");
	s->sequence++;
	s->written_ns = io->ops->now_ns(io);
	len = vr_super_encode(s, slot, buf, VAIO_RS_SLOT);
	err = io->ops->write(f, buf, len, (uint64_t)slot * VAIO_RS_SLOT);
	if (!err)
		err = io->ops->sync(f);
	free(buf);
	if (!err)
		return 0;
	/* The next try goes to the same slot: the other one is good. */
	s->sequence--;
	return vr_fail_errno(e, err, "superblock");
}

int vr_super_write(struct vr_store *st, struct vr_err *e)
{
	return super_write(st->io, st->super_file, st->super, e);
}

int vr_super_change(struct vr_store *st, const struct vr_super *old, struct vr_err *e)
{
	int err = vr_super_write(st, e);

	if (err)
		memcpy(st->super, old, sizeof(*old));
	return err;
}

/* Before anything is read: who had it before may still have changed something. */
static int take_lock(struct vr_store *st, struct vr_err *e)
{
	int err = st->io->ops->open(st->io, "lock", VR_O_WRITE, &st->lock_file);

	if (err == -ENOENT)
		return vr_fail_errno(e, err, "there is no store (lock)");
	if (!err)
		err = st->io->ops->lock(st->lock_file, false);
	if (err == -EAGAIN)
		return vr_fail(e, err, "another process writes this store");
	return err ? vr_fail_errno(e, err, "lock") : 0;
}

static int super_read(struct vr_store *st, struct vr_err *e)
{
	char *buf = malloc(2 * VAIO_RS_SLOT);
	int rc;

	if (!buf)
		return vr_fail(e, -ENOMEM, "superblock: no memory");
	rc = st->io->ops->open(st->io, "super", st->o.write ? VR_O_WRITE : 0, &st->super_file);
	if (!rc)
		rc = st->io->ops->read(st->super_file, buf, 2 * VAIO_RS_SLOT, 0);
	if (rc)
		vr_fail_errno(e, rc, rc == -ENOENT ? "there is no store (super)" : "superblock");
	else
		rc = vr_super_pick(buf, buf + VAIO_RS_SLOT, st->super, e);
	free(buf);
	return rc < 0 ? rc : 0;
}

int vr_store_create(struct vr_io *io, const uint8_t group[VAIO_RW_ID_LEN], const char *name, struct vr_err *e)
{
	static const char *const dirs[] = { "journal", "index", "base", "pins" };
	struct vr_super *s = calloc(1, sizeof(*s));
	struct vr_file *f = NULL, *lock = NULL;
	int err = s ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < sizeof(dirs) / sizeof(*dirs) && !err; i++) {
		err = io->ops->mkdir(io, dirs[i]);
		if (err == -EEXIST)
			err = 0;
	}
	if (!err)
		err = io->ops->open(io, "lock", VR_O_CREATE, &lock);
	if (err == -EEXIST)
		err = 0;
	if (lock)
		io->ops->close(lock);
	lock = NULL;
	if (!err)
		err = io->ops->open(io, "pins/lock", VR_O_CREATE, &lock);
	if (err == -EEXIST)
		err = 0;
	if (lock)
		io->ops->close(lock);
	/* Under its name only when it is whole. */
	if (!err) {
		err = io->ops->remove(io, "super.new");
		if (!err || err == -ENOENT)
			err = io->ops->open(io, "super.new", VR_O_CREATE, &f);
	}
	if (!err)
		err = io->ops->allocate(f, 2 * VAIO_RS_SLOT);
	if (!err)
		err = io->ops->random(io, s->store, sizeof(s->store));
	if (!err) {
		memcpy(s->group, group, sizeof(s->group));
		snprintf(s->group_name, sizeof(s->group_name), "%s", name);
		s->created_ns = io->ops->now_ns(io);
		s->role = VAIO_RS_REPLICA;
		s->failover = VAIO_RS_READY;
		s->next_segment = 1;
		vr_history_init(&s->base);
		err = super_write(io, f, s, e);
	}
	if (f)
		io->ops->close(f);
	for (unsigned int i = 0; i < sizeof(dirs) / sizeof(*dirs) && !err; i++)
		err = io->ops->sync_dir(io, dirs[i]);
	if (!err)
		err = io->ops->sync_dir(io, "");
	if (!err) {
		err = io->ops->open(io, "super", 0, &f);
		if (!err) {
			io->ops->close(f);
			err = -EEXIST;
		} else if (err == -ENOENT) {
			err = io->ops->rename(io, "super.new", "super");
		}
	}
	if (!err)
		err = io->ops->sync_dir(io, "");
	free(s);
	return err ? vr_fail_errno(e, err, "the store cannot be made") : 0;
}

/* --- opening ----------------------------------------------------------------------------- */

struct ids {
	uint64_t (*id)[2];
	unsigned int nr, room;
	const char *suffix;
	bool pairs;
};

static int note_id(void *arg, const char *name)
{
	struct ids *l = arg;
	char want[VR_NAME];
	uint64_t a, b = 0;

	if (l->pairs ? sscanf(name, "%16" SCNx64 "-%16" SCNx64, &a, &b) != 2 : sscanf(name, "%16" SCNx64, &a) != 1)
		return 0;
	if (l->pairs)
		snprintf(want, sizeof(want), "%016" PRIx64 "-%016" PRIx64 "%s", a, b, l->suffix);
	else
		snprintf(want, sizeof(want), "%016" PRIx64 "%s", a, l->suffix);
	if (strcmp(name, want))
		return 0;
	if (l->nr == l->room) {
		void *p = realloc(l->id, (2 * l->room + 64) * sizeof(*l->id));

		if (!p)
			return -ENOMEM;
		l->id = p;
		l->room = 2 * l->room + 64;
	}
	l->id[l->nr][0] = a;
	l->id[l->nr++][1] = b;
	return 0;
}

/* By the first number, of equal ones the longer first. */
static int by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	return x[1] == y[1] ? 0 : x[1] > y[1] ? -1 : 1;
}

static int list_ids(struct vr_store *st, const char *dir, struct ids *l, struct vr_err *e)
{
	int err = st->io->ops->list(st->io, dir, note_id, l);

	if (err)
		return vr_fail_errno(e, err, "%s", dir);
	if (l->nr)
		qsort(l->id, l->nr, sizeof(*l->id), by_id);
	return 0;
}

int vr_segment_add(struct vr_store *st, struct vr_segment *s)
{
	if (st->nr_segments == st->segments_room) {
		void *p = realloc(st->segments, (2 * st->segments_room + 16) * sizeof(*st->segments));

		if (!p)
			return -ENOMEM;
		st->segments = p;
		st->segments_room = 2 * st->segments_room + 16;
	}
	st->segments[st->nr_segments++] = s;
	return 0;
}

/*
 * Is the newest segment one whose header never became durable? Then no record in it was
 * acknowledged, and it is removed.
 */
static int header_never_durable(struct vr_store *st, uint64_t id, struct vr_err *e)
{
	struct vaio_rs_append a;
	struct vr_file *f;
	char name[VR_NAME];
	int64_t size;
	int err;

	vr_segment_name(name, id);
	err = st->io->ops->open(st->io, name, 0, &f);
	if (err)
		return vr_fail_errno(e, err, "%s", name);
	size = st->io->ops->size(f);
	for (int64_t at = 0; !err && at + (int64_t)sizeof(a) <= size; at += 512) {
		err = st->io->ops->read(f, &a, sizeof(a), (uint64_t)at);
		if (!err && le32toh(a.magic) == VAIO_RS_APPEND_MAGIC && le64toh(a.segment) == id)
			err = vr_fail(e, -EBADMSG, "%s: its header is damaged, and there are records after it", name);
	}
	st->io->ops->close(f);
	if (size < 0)
		err = (int)size;
	if (err)
		return err == -EBADMSG ? err : vr_fail_errno(e, err, "%s", name);
	return 0;
}

/* Finds the segments that are needed: back from the newest to the one with base_from + 1. */
static int find_segments(struct vr_store *st, struct vr_err *e)
{
	struct ids l = { .suffix = ".seg" };
	struct vr_state before;
	unsigned int i, end;
	int err = list_ids(st, "journal", &l, e);

	if (!err && l.nr) {
		err = vr_segment_header(st, l.id[l.nr - 1][0], &before, e);
		if (err == -EBADMSG) {
			char name[VR_NAME];

			err = header_never_durable(st, l.id[l.nr - 1][0], e);
			vr_segment_name(name, l.id[l.nr - 1][0]);
			if (!err && st->o.write)
				err = st->io->ops->remove(st->io, name);
			if (!err)
				l.nr--;
		}
	}
	for (i = end = l.nr; i-- > 0 && !err;) {
		if (end != l.nr && l.id[i + 1][0] != l.id[i][0] + 1)
			break;
		err = vr_segment_header(st, l.id[i][0], &before, e);
		if (err)
			break;
		end = i;
		if (before.last_seq <= st->super->base_from)
			break;
	}
	if (!err && l.nr && before.last_seq > st->super->base_from)
		err = vr_fail(e, -EBADMSG, "journal segment %" PRIx64 " is missing: records after %" PRIu64 " are needed",
			      l.id[end][0] - 1, st->super->base_from);
	if (!err && !l.nr && st->super->next_segment > 1)
		err = vr_fail(e, -EBADMSG, "the journal is missing");
	for (i = end; i < l.nr && !err; i++) {
		struct vr_segment *s;

		err = vr_segment_header(st, l.id[i][0], &before, e);
		if (err)
			break;
		s = vr_segment_new(l.id[i][0], &before);
		if (!s || vr_segment_add(st, s)) {
			vr_segment_free(s);
			err = vr_fail(e, -ENOMEM, "no memory");
		}
	}
	/* It may be in memory only, when who wrote it was killed; what is done from here on rests on it. */
	if (!err && st->o.write)
		err = vr_super_write(st, e);
	/* What was applied before the last stop and not yet removed. */
	for (i = 0; i < end && !err && st->o.write; i++) {
		char name[VR_NAME];

		vr_segment_name(name, l.id[i][0]);
		err = st->io->ops->remove(st->io, name);
		if (err)
			vr_fail_errno(e, err, "%s", name);
	}
	free(l.id);
	return err;
}

static int open_runs(struct vr_store *st, struct vr_err *e)
{
	struct ids l = { .suffix = ".run", .pairs = true };
	uint64_t done = 0;
	int err = list_ids(st, "index", &l, e);

	for (unsigned int i = 0; i < l.nr && !err; i++) {
		struct vr_run *run = NULL;
		char name[VR_RUN_NAME];

		/* Within an earlier one (a merge was cut after it), before the journal, or damaged: it goes. */
		if (l.id[i][0] > done && st->nr_segments && l.id[i][1] >= st->segments[0]->id &&
		    l.id[i][1] < vr_newest(st)->id) {
			err = vr_run_open(st->io, st->super->store, l.id[i][0], l.id[i][1], &run, e);
			if (err == -EBADMSG)
				err = 0;
		}
		if (err)
			break;
		if (run) {
			if (st->nr_runs == st->runs_room) {
				void *p = realloc(st->runs, (2 * st->runs_room + 16) * sizeof(*st->runs));

				if (!p) {
					vr_run_close(run);
					err = vr_fail(e, -ENOMEM, "no memory");
					break;
				}
				st->runs = p;
				st->runs_room = 2 * st->runs_room + 16;
			}
			st->runs[st->nr_runs++] = run;
			done = run->last;
		} else if (st->o.write) {
			vr_run_name(name, l.id[i][0], l.id[i][1]);
			err = st->io->ops->remove(st->io, name);
			if (err)
				vr_fail_errno(e, err, "%s", name);
		}
	}
	free(l.id);
	return err;
}

static bool in_a_run(const struct vr_store *st, uint64_t id)
{
	for (unsigned int i = 0; i < st->nr_runs; i++)
		if (st->runs[i]->first <= id && id <= st->runs[i]->last)
			return true;
	return false;
}

/* Summaries of segments that are gone. */
static int remove_old_sums(struct vr_store *st, struct vr_err *e)
{
	struct ids l = { .suffix = ".sum" };
	int err = list_ids(st, "index", &l, e);

	for (unsigned int i = 0; i < l.nr && !err; i++) {
		char name[VR_NAME];

		if (st->nr_segments && l.id[i][0] >= st->segments[0]->id)
			break;
		vr_sum_name(name, l.id[i][0]);
		err = st->io->ops->remove(st->io, name);
	}
	free(l.id);
	return err;
}

int vr_history_control(struct vr_history *h, const struct vaio_rs_control *c, const void *payload, struct vr_err *e)
{
	uint64_t previous = le64toh(c->previous_seq);

	/* Records that are no controls came between. */
	if (previous < h->now.last_seq || previous >= le64toh(c->record.seq))
		return vr_fail(e, -EBADMSG, "control record %" PRIu64 " does not follow %" PRIu64,
			       (uint64_t)le64toh(c->record.seq), h->now.last_seq);
	if (previous && !h->now.stretch)
		h->now.complete_seq = previous;
	h->now.last_seq = previous;
	return vr_history_record(h, &c->record, payload, e) ? -EBADMSG : 0;
}

struct loading {
	struct vr_store *st;
	struct vr_err *e;
};

static int load_control(void *arg, const struct vaio_rs_control *c, const void *payload)
{
	struct loading *l = arg;
	struct vr_store *st = l->st;
	uint32_t stretch = st->history->now.stretch;
	int err;

	err = vr_history_control(st->history, c, payload, l->e);
	if (err)
		return err;
	vr_note_compare(st, le16toh(c->record.type), payload);
	if (stretch == st->history->now.stretch)
		return 0;
	if (vr_stretch_reserve(st, 1))
		return vr_fail(l->e, -ENOMEM, "no memory");
	vr_stretch_note(st, stretch ? st->history->now.last_seq : le64toh(c->previous_seq) + 1, &st->history->now,
			le16toh(c->record.type) == VAIO_RW_R_GAP ? vr_gap_since(payload) : 0);
	return 0;
}

static int scan_with_stretches(struct vr_store *st, struct vr_segment *s, bool newest, bool *torn, struct vr_err *e)
{
	struct vr_history *copy = malloc(sizeof(*copy));
	struct loading l = { st, e };
	int err;

	if (!copy)
		return vr_fail(e, -ENOMEM, "no memory");
	/* The scan checks against a copy; the controls that it found then move the real one. */
	memcpy(copy, st->history, sizeof(*copy));
	err = vr_segment_scan(st, s, copy, newest, torn, e);
	if (!err)
		err = vr_segment_controls(s, load_control, &l, e);
	if (!err)
		memcpy(st->history, copy, sizeof(*copy));
	free(copy);
	return err;
}

static int load_segment(struct vr_store *st, unsigned int i, bool *torn, struct vr_err *e)
{
	struct vr_segment *s = st->segments[i], *next = i + 1 < st->nr_segments ? st->segments[i + 1] : NULL;
	bool in_base = next && next->before.last_seq <= st->super->base.now.last_seq;
	struct loading l = { st, e };
	int err;

	*torn = false;
	if (next && in_a_run(st, s->id) && !vr_sum_load(st, s, NULL)) {
		if (in_base)
			return 0;
		err = vr_segment_controls(s, load_control, &l, e);
		if (!err)
			st->history->now = s->after;
	} else if (in_base) {
		/* Already in the base, or being applied: its controls are in the superblock. */
		err = vr_segment_scan(st, s, NULL, false, torn, e);
		if (!err && s->after.last_seq != next->before.last_seq)
			err = vr_fail(e, -EBADMSG, "journal segment %" PRIx64 " ends at record %" PRIu64 ", the next begins after %"
				      PRIu64, s->id, s->after.last_seq, next->before.last_seq);
		if (!err)
			s->after = next->before;
		return err;
	} else {
		err = scan_with_stretches(st, s, !next, torn, e);
	}
	if (!err && next && !vr_state_equal(&st->history->now, &next->before))
		err = vr_fail(e, -EBADMSG, "journal segment %" PRIx64 " ends at record %" PRIu64 ", the next begins after %"
			      PRIu64, s->id, st->history->now.last_seq, next->before.last_seq);
	return err;
}

/*
 * What was written after the last sync that is known of is written again: after a sync that failed, the kernel has
 * bytes that can be read, are not on the disk, and that no other sync would write.
 */
static int rewrite_tail(struct vr_store *st, struct vr_segment *s)
{
	uint8_t *buf = s->nr_batches ? malloc(sizeof(struct vaio_rs_append) + VAIO_RW_MAX_BATCH) : NULL;
	struct vaio_rs_append *a = (void *)buf;
	uint64_t known = 0;
	int err = s->nr_batches && !buf ? -ENOMEM : 0;

	for (unsigned int i = s->nr_batches; i-- > 0 && !err;) {
		uint64_t at = le32toh(s->batches[i].offset), end = i + 1 < s->nr_batches ? le32toh(s->batches[i + 1].offset) : s->length;
		size_t len = sizeof(*a);

		err = st->io->ops->read(s->file, buf, len, at);
		if (!err && i + 1 == s->nr_batches)
			known = le64toh(a->durable_seq);
		if (err || le64toh(a->last_seq) <= known)
			break;
		len += le32toh(a->length);
		err = len > sizeof(*a) + VAIO_RW_MAX_BATCH || len > end - at ? -EBADMSG : st->io->ops->read(s->file, buf, len, at);
		if (!err)
			err = st->io->ops->write(s->file, buf, len, at);
	}
	free(buf);
	return err;
}

/* Who only reads changes nothing; but what it says to be durable is. */
static int sync_newest(struct vr_store *st, struct vr_err *e)
{
	struct vr_segment *s = vr_newest(st);
	int err = vr_segment_open(st, s, e);

	if (!err) {
		err = st->io->ops->sync(s->file);
		/* Where nothing can be written nothing waits to be. */
		if (err == -EINVAL || err == -EROFS)
			err = 0;
		if (err)
			vr_fail_errno(e, err, "journal segment %" PRIx64, s->id);
	}
	return err;
}

/* What was read may be in memory only: it is made durable before it is called so. */
static int cut_tail(struct vr_store *st, bool torn, struct vr_err *e)
{
	struct vr_segment *s = vr_newest(st);
	struct vr_io *io = st->io;
	char name[VR_NAME];
	int err;

	vr_segment_name(name, s->id);
	if (s->file)
		io->ops->close(s->file);
	s->file = NULL;
	err = io->ops->open(io, name, VR_O_WRITE | VR_O_DIRECT, &s->file);
	if (!err && torn)
		err = io->ops->truncate(s->file, s->length);
	if (!err)
		err = rewrite_tail(st, s);
	if (!err)
		err = io->ops->sync(s->file);
	if (!err)
		err = io->ops->sync_dir(io, "journal");
	return err ? vr_fail_errno(e, err, "%s", name) : 0;
}

/* Pins of checkpoints whose records never became durable: their numbers will be others'. */
static int drop_lost_marks(struct vr_store *st, struct vr_err *e)
{
	struct vr_super *s = st->super;
	unsigned int before = s->nr_marks;

	for (unsigned int i = 0; i < s->nr_marks; i++)
		if (s->marks[i].seq > st->history->now.last_seq)
			s->marks[i--] = s->marks[--s->nr_marks];
	return st->o.write && s->nr_marks != before ? vr_super_write(st, e) : 0;
}

static int load(struct vr_store *st, struct vr_err *e)
{
	bool torn = false;
	int err = st->o.write ? take_lock(st, e) : 0;

	if (!err)
		err = super_read(st, e);
	if (!err)
		err = find_segments(st, e);
	if (!err)
		err = open_runs(st, e);
	if (!err && st->o.write)
		err = remove_old_sums(st, e);
	if (err)
		return err;
	st->resumed = st->super->base_from < st->super->base.now.last_seq;
	memcpy(st->history, &st->super->base, sizeof(*st->history));
	if (vr_stretch_reserve(st, 1))
		return vr_fail(e, -ENOMEM, "no memory");
	vr_stretch_note(st, st->history->now.last_seq, &st->history->now, 0);
	for (unsigned int i = 0; i < st->nr_segments && !err; i++) {
		err = load_segment(st, i, &torn, e);
		/*
		 * When the index was lost it is made again as it is read: all of it may be more than there is memory. What
		 * cannot be written now stays there; so does that of the newest segment, which grows.
		 */
		if (!err && st->o.write && i + 1 < st->nr_segments && st->segments[i]->mem && vr_index_bytes(st) > st->o.index_bytes)
			vr_seal(st, st->segments[i], NULL);
	}
	if (!err && st->history->now.last_seq < st->super->base.now.last_seq)
		err = vr_fail(e, -EBADMSG, "the journal ends at record %" PRIu64 ", the base has %" PRIu64,
			      st->history->now.last_seq, st->super->base.now.last_seq);
	if (err)
		return err;
	if (st->nr_segments)
		err = st->o.write ? cut_tail(st, torn, e) : sync_newest(st, e);
	if (!err && st->o.write && !st->nr_segments) {
		struct vr_segment *s;

		err = vr_segment_create(st, st->super->next_segment, &st->history->now, &s, e);
		if (!err && vr_segment_add(st, s)) {
			vr_segment_free(s);
			err = vr_fail(e, -ENOMEM, "no memory");
		}
	}
	if (err)
		return err;
	err = drop_lost_marks(st, e);
	if (err)
		return err;
	if (st->nr_segments && vr_newest(st)->id >= st->super->next_segment)
		st->super->next_segment = vr_newest(st)->id + 1;
	st->durable = st->history->now;
	st->index_bytes = 0;
	for (unsigned int i = 0; i < st->nr_runs; i++)
		st->index_bytes += st->runs[i]->len;
	for (unsigned int i = 0; i < st->nr_segments; i++)
		st->index_bytes += st->segments[i]->sum_len;
	st->base_bytes = vr_base_bytes(st);
	return 0;
}

int vr_store_open(struct vr_io *io, const struct vr_options *o, struct vr_store **out, struct vr_err *e)
{
	struct vr_store *st = calloc(1, sizeof(*st));
	int err = st ? 0 : -ENOMEM;

	if (!err) {
		st->io = io;
		st->o = *o;
		if (!st->o.segment_bytes || st->o.segment_bytes > VAIO_RS_MAX_SEGMENT / 2)
			st->o.segment_bytes = DEFAULT_SEGMENT;
		if (!st->o.stretches)
			st->o.stretches = MAX_STRETCHES;
		if (!st->o.index_bytes)
			st->o.index_bytes = INDEX_BYTES;
		if (st->o.merge < 2)
			st->o.merge = 8;
		pthread_mutex_init(&st->lock, NULL);
		pthread_mutex_init(&st->sums_lock, NULL);
		st->super = calloc(1, sizeof(*st->super));
		st->history = calloc(1, sizeof(*st->history));
		st->next = calloc(1, sizeof(*st->next));
		st->unpacker = vr_unpacker_new();
		if (!st->super || !st->history || !st->next || !st->unpacker)
			err = -ENOMEM;
	}
	err = err ? vr_fail(e, err, "no memory") : load(st, e);
	if (err) {
		if (st)
			st->io = NULL;
		/* The caller keeps the io. */
		for (unsigned int i = 0; st && i < st->nr_segments; i++)
			vr_segment_free(st->segments[i]);
		for (unsigned int i = 0; st && i < st->nr_runs; i++)
			vr_run_close(st->runs[i]);
		if (st)
			st->nr_segments = st->nr_runs = 0;
		if (st && st->super_file)
			io->ops->close(st->super_file);
		if (st && st->lock_file)
			io->ops->close(st->lock_file);
		if (st)
			st->super_file = st->lock_file = NULL;
		vr_store_close(st);
		return err;
	}
	*out = st;
	return 0;
}

void vr_store_close(struct vr_store *st)
{
	if (!st)
		return;
	for (unsigned int i = 0; i < st->nr_segments; i++)
		vr_segment_free(st->segments[i]);
	for (unsigned int i = 0; i < st->nr_runs; i++)
		vr_run_close(st->runs[i]);
	if (st->super_file)
		st->io->ops->close(st->super_file);
	if (st->lock_file)
		st->io->ops->close(st->lock_file);
	free(st->segments);
	free(st->runs);
	free(st->stretches);
	free(st->super);
	free(st->history);
	free(st->next);
	vr_unpacker_free(st->unpacker);
	pthread_mutex_destroy(&st->lock);
	pthread_mutex_destroy(&st->sums_lock);
	if (st->io)
		st->io->ops->free(st->io);
	free(st);
}

/* --- what it has ---------------------------------------------------------------------------- */

uint64_t vr_source_now(const struct vr_store *st)
{
	uint64_t here = st->io->ops->now_ns(st->io);

	return st->durable.time_ns < here ? st->durable.time_ns : here;
}

uint64_t vr_journal_bytes(const struct vr_store *st)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < st->nr_segments; i++)
		sum += st->segments[i]->length;
	return sum;
}

struct vr_segment *vr_segment_of(struct vr_store *st, uint32_t id)
{
	for (unsigned int i = st->nr_segments; i-- > 0;)
		if ((uint32_t)st->segments[i]->id == id)
			return st->segments[i];
	return NULL;
}

static uint64_t reserve_of(const struct vr_store *st, uint64_t total)
{
	if (st->o.reserve_bytes)
		return st->o.reserve_bytes;
	return total / 20 > 1ULL << 30 ? total / 20 : 1ULL << 30;
}

uint64_t vr_store_room(const struct vr_store *st, uint64_t *avail, uint64_t *reserve)
{
	uint64_t total = 0, used = vr_journal_bytes(st) + st->index_bytes + st->base_bytes, have, quota;

	/* The index of what is not sealed yet will want its place too. One that was lost may be older than what is sealed. */
	for (unsigned int i = 0; i < st->nr_segments; i++) {
		const struct vr_segment *s = st->segments[i];

		if (s->mem)
			used += s->mem->nr * sizeof(struct vaio_rs_key) * 33 / 32 + s->controls_len +
				s->nr_batches * sizeof(struct vaio_rs_sum_batch) + 3 * VAIO_RS_PAGE;
	}
	*avail = 0;
	if (st->io->ops->space(st->io, &total, avail))
		*avail = 0;
	*reserve = reserve_of(st, total);
	have = *avail > *reserve ? *avail - *reserve : 0;
	quota = st->super->quota_bytes;
	if (quota && (used >= quota || quota - used < have))
		have = used >= quota ? 0 : quota - used;
	return have;
}

uint64_t vr_index_bytes(struct vr_store *st)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&st->lock);
	for (unsigned int i = 0; i + 1 < st->nr_segments; i++)
		if (st->segments[i]->mem)
			sum += vr_mem_bytes(st->segments[i]->mem);
	pthread_mutex_unlock(&st->lock);
	return sum;
}

/* --- asking --------------------------------------------------------------------- */

void vr_store_info(struct vr_store *st, struct vr_info *info)
{
	struct vr_super *s = st->super;

	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&st->lock);
	memcpy(info->store, s->store, sizeof(info->store));
	memcpy(info->group, s->group, sizeof(info->group));
	memcpy(info->source, s->source, sizeof(info->source));
	memcpy(info->ring, s->ring, sizeof(info->ring));
	memcpy(info->group_name, s->group_name, sizeof(info->group_name));
	memcpy(info->source_name, s->source_name, sizeof(info->source_name));
	memcpy(info->held_by, st->held_by, sizeof(info->held_by));
	info->role = s->role;
	info->failover = s->failover;
	info->connection = s->connection;
	info->base = s->base.now;
	info->durable = st->durable;
	if (st->history->nr_generations)
		info->generation = st->history->generations[st->history->nr_generations - 1];
	for (unsigned int i = 0; i < st->history->nr_members; i++)
		info->nr_members += !st->history->members[i].removed;
	info->nr_segments = st->nr_segments;
	info->nr_runs = st->nr_runs;
	info->nr_views = st->nr_views;
	info->applying = s->base_from < s->base.now.last_seq;
	info->failed = st->failed;
	info->journal_bytes = vr_journal_bytes(st);
	info->index_bytes = st->index_bytes;
	info->base_bytes = st->base_bytes;
	info->quota_bytes = s->quota_bytes;
	info->retain_ns = s->retain_ns;
	info->retain_bytes = s->retain_bytes;
	info->every_write_ns = s->every_write_ns;
	info->interval_ns = s->interval_ns;
	info->need = st->need;
	info->have = st->have;
	info->need_resync = st->need_resync;
	info->compare = s->role == VAIO_RS_RETURNED && !st->compare_begun;
	vr_store_room(st, &info->free_bytes, &info->reserve_bytes);
	pthread_mutex_unlock(&st->lock);
}

void vr_store_durable(struct vr_store *st, struct vr_state *durable)
{
	pthread_mutex_lock(&st->lock);
	*durable = st->durable;
	pthread_mutex_unlock(&st->lock);
}

struct vr_history *vr_store_history(struct vr_store *st)
{
	struct vr_history *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_lock(&st->lock);
	memcpy(h, st->history, sizeof(*h));
	pthread_mutex_unlock(&st->lock);
	return h;
}

int vr_store_check(struct vr_store *st, const struct vaio_rw_record *r, const uint8_t hash[VAIO_RW_HASH_LEN],
		   struct vr_err *e)
{
	uint64_t len = le64toh(r->length);
	uint8_t got[VAIO_RW_HASH_LEN];
	struct vr_view *v;
	void *buf;
	int err;

	buf = len <= VAIO_RW_MAX_CHECK ? malloc(len) : NULL;
	if (!buf)
		return vr_fail(e, -ENOMEM, "no memory to compare %" PRIu64 " bytes", len);
	err = vr_view_open(st, le64toh(r->seq) - 1, &v, e);
	if (!err) {
		err = vr_view_read(v, le16toh(r->member), buf, len, le64toh(r->offset), e);
		vr_view_close(v);
	}
	if (!err)
		gcry_md_hash_buffer(GCRY_MD_BLAKE2S_256, got, buf, len);
	free(buf);
	return err ? err : !memcmp(got, hash, sizeof(got));
}
