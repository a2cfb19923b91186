// SPDX-License-Identifier: GPL-2.0
/* Taking batches: checking, writing, making them durable. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_priv.h"

#define MAX_ENTRIES	(1U << 18)	/* of the index in memory: a segment is closed at so many */
#define MAX_CONTROLS	(2U << 20)	/* likewise, bytes of its control records */
#define AHEAD		(256U << 10)	/* bytes of zeroes that are written ahead of small batches */
#define SMALL_BATCH	(32U << 10)

/* The newest segment changes in the writer's hands only, its place in the list in others' too. */
static struct vr_segment *newest(struct vr_store *st)
{
	struct vr_segment *s;

	pthread_mutex_lock(&st->lock);
	s = vr_newest(st);
	pthread_mutex_unlock(&st->lock);
	return s;
}

static int need_space(struct vr_store *st, uint64_t need, uint64_t have, bool resync, struct vr_err *e)
{
	pthread_mutex_lock(&st->lock);
	st->need = need;
	st->have = have;
	st->need_resync = resync;
	pthread_mutex_unlock(&st->lock);
	return vr_fail(e, -ENOSPC, resync ? "a resync needs %" PRIu64 " bytes, there are %" PRIu64 :
		       "%" PRIu64 " bytes are needed, there are %" PRIu64, need, have);
}

/* Entries of the index: what they take is the source's to say, in few bytes. */
static int count_entries(const struct vr_batch *b, uint64_t *nr, struct vr_err *e)
{
	*nr = 0;
	for (unsigned int i = 0; i < b->nr_records; i++)
		*nr += vr_index_count(&b->records[i]);
	if (*nr > VAIO_RW_MAX_CELLS)
		return vr_fail(e, -EPROTO, "batch: its ranges touch more than %u cells", VAIO_RW_MAX_CELLS);
	return 0;
}

/* What begins or ends a gap or a resync is remembered; when that is too much the oldest points go, as for bytes. */
static int check_stretches(struct vr_store *st, const struct vr_batch *b, struct vr_err *e)
{
	unsigned int more = 0, have;

	for (unsigned int i = 0; i < b->nr_records; i++) {
		uint16_t type = le16toh(b->records[i].type);

		more += type == VAIO_RW_R_GAP || type == VAIO_RW_R_RESYNC_BEGIN || type == VAIO_RW_R_RESYNC_END;
	}
	pthread_mutex_lock(&st->lock);
	have = st->nr_stretches;
	pthread_mutex_unlock(&st->lock);
	if (!more || have + more <= st->o.stretches)
		return 0;
	need_space(st, b->length, 0, false, NULL);
	return vr_fail(e, -ENOSPC, "gaps and resyncs cut the history into %u parts, the most that there may be are %u",
		       have, st->o.stretches);
}

/* A resync must fit beside the last good point. */
static int check_space(struct vr_store *st, const struct vr_batch *b, uint64_t entries, struct vr_err *e)
{
	/* With the index's entries, and the pages around them when a segment is closed. */
	uint64_t avail, reserve, have, need = b->length + 8 * VAIO_RS_PAGE + entries * sizeof(struct vaio_rs_key);

	pthread_mutex_lock(&st->lock);
	have = vr_store_room(st, &avail, &reserve);
	pthread_mutex_unlock(&st->lock);
	if (have < need)
		return need_space(st, need, have, false, e);
	for (unsigned int i = 0; i < b->nr_records; i++) {
		struct vaio_rw_resync s;

		if (le16toh(b->records[i].type) != VAIO_RW_R_RESYNC_BEGIN)
			continue;
		memcpy(&s, vr_batch_payload(b, i), sizeof(s));
		if (le32toh(s.kind) == VAIO_RW_S_COMPARE || !st->history->now.complete_seq)
			continue;	/* not known, or nothing to be kept beside it */
		if (have < le64toh(s.bytes))
			return need_space(st, le64toh(s.bytes), have, true, e);
	}
	return 0;
}

/* What is written of a batch of @len bytes. */
static size_t append_bytes(size_t len)
{
	return (sizeof(struct vaio_rs_append) + len + VR_DIRECT - 1) & ~(size_t)(VR_DIRECT - 1);
}

/* A sealed segment ends with its last batch. */
static int cut_zeroes(struct vr_store *st, struct vr_segment *s, uint64_t end)
{
	int err = s->prepared > end ? st->io->ops->truncate(s->file, end) : 0;

	s->prepared = end;
	return err;
}

/*
 * A batch that makes the file longer costs a transaction of the filesystem when it is synced. Small ones, each of
 * which is synced by itself, are written over zeroes; large ones are not worth writing twice. @end: of what was written.
 */
static void prepare_ahead(struct vr_store *st, struct vr_segment *s, size_t len, uint64_t end)
{
	static const uint8_t zeroes[65536];
	uint64_t to = end + AHEAD < st->o.segment_bytes ? end + AHEAD : st->o.segment_bytes;
	int err = 0;

	if (end < s->prepared)
		return;
	s->prepared = end;
	if (len > SMALL_BATCH || to <= end)
		return;
	for (uint64_t at = end; at < to && !err;) {
		size_t n = to - at < sizeof(zeroes) ? (size_t)(to - at) : sizeof(zeroes);

		err = st->io->ops->write(s->file, zeroes, n, at);
		at += n;
	}
	s->prepared = to;
	/* It only would have been faster. */
	if (err && cut_zeroes(st, s, end))
		st->failed = true;
}

/* Closes the newest segment and begins the next. -EAGAIN: upkeep is behind. */
static int rotate(struct vr_store *st, struct vr_err *e)
{
	struct vr_segment *old = newest(st), *s;
	int err;

	if (vr_index_bytes(st) > st->o.index_bytes)
		return vr_fail(e, -EAGAIN, "the index of older segments has to be written first");
	err = cut_zeroes(st, old, old->length);
	if (!err)
		err = st->io->ops->sync(old->file);
	if (err) {
		st->failed = true;
		return vr_fail_errno(e, err, "journal segment %" PRIx64, old->id);
	}
	/*
	 * It is durable, whether a commit follows or not. Upkeep goes by this when it applies the segment: what it may not take is the
	 * last point, also when a gap after that is in no commit yet.
	 */
	pthread_mutex_lock(&st->lock);
	st->durable = st->history->now;
	pthread_mutex_unlock(&st->lock);
	err = vr_segment_create(st, old->id + 1, &st->history->now, &s, e);
	if (err)
		return err;
	pthread_mutex_lock(&st->lock);
	err = vr_segment_add(st, s);
	if (!err)
		st->super->next_segment = s->id + 1;
	pthread_mutex_unlock(&st->lock);
	if (err) {
		vr_segment_free(s);
		return vr_fail(e, err, "no memory");
	}
	return 0;
}

/*
 * @batch: of vr_append_memory(). Its header and the zeroes after it are written with it. Small batches, of which many may
 * wait for the same fdatasync, meet in the page cache; so do those before the first point, which are read again at once.
 */
static int write_append(struct vr_store *st, struct vr_segment *s, const struct vr_batch *b, uint8_t *batch, uint64_t at,
			struct vr_err *e)
{
	struct vaio_rs_append *a = (void *)(batch - sizeof(*a));
	size_t whole = append_bytes(b->length);
	int err;

	memset(a, 0, sizeof(*a));
	a->magic = htole32(VAIO_RS_APPEND_MAGIC);
	a->length = htole32((uint32_t)b->length);
	a->segment = htole64(s->id);
	a->offset = htole64(at);
	a->durable_seq = htole64(st->durable.last_seq);
	a->received_ns = htole64(st->io->ops->now_ns(st->io));
	a->first_seq = htole64(b->first_seq);
	a->last_seq = htole64(b->last_seq);
	a->crc = htole32(vr_crc32c(0, (char *)a + 8, sizeof(*a) - 8));
	memset(batch + b->length, 0, whole - sizeof(*a) - b->length);
	if (b->length <= SMALL_BATCH || !st->history->now.complete_seq)
		err = st->io->ops->write(s->file, a, whole, at);
	else
		err = st->io->ops->write_direct(s->file, a, whole, at);
	if (!err) {
		prepare_ahead(st, s, b->length, at + whole);
		return 0;
	}
	s->prepared = 0;
	/* Nothing of it may stay: a later, shorter batch would leave its end behind. */
	if (st->io->ops->truncate(s->file, s->length))
		st->failed = true;
	if (vr_no_space(err))
		return need_space(st, b->length, 0, false, e);
	st->failed = true;
	return vr_fail_errno(e, err, "journal segment %" PRIx64, s->id);
}

/* What is in the journal is read again, whatever it is called: so names are looked at here, when they come in. */
static int check_names(const struct vr_batch *b, struct vr_err *e)
{
	for (unsigned int i = 0; i < b->nr_records; i++) {
		uint16_t type = le16toh(b->records[i].type);
		const uint8_t *p = vr_batch_payload(b, i);

		if ((type == VAIO_RW_R_CHECKPOINT && !vr_text_new(p + offsetof(struct vaio_rw_checkpoint, name), VAIO_RW_NAME_LEN)) ||
		    (type == VAIO_RW_R_MEMBER_ADD && !vr_text_new(p + offsetof(struct vaio_rw_member, name), VAIO_RW_NAME_LEN)))
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": its name is no text in UTF-8", b->first_seq + i);
	}
	return 0;
}

/* Pinned checkpoints are pins of the store before they are acknowledged. */
static int pin_checkpoints(struct vr_store *st, const struct vr_batch *b, struct vr_err *e)
{
	for (unsigned int i = 0; i < b->nr_records; i++) {
		struct vaio_rw_checkpoint c;
		struct vr_point p = { .seq = b->first_seq + i };
		int err;

		if (le16toh(b->records[i].type) != VAIO_RW_R_CHECKPOINT)
			continue;
		memcpy(&c, vr_batch_payload(b, i), sizeof(c));
		/* A failover's point has a name that is nobody else's to hold. */
		if (!(le32toh(c.flags) & VAIO_RW_CF_PIN) || !strcmp((char *)c.name, VR_FAILOVER_MARK))
			continue;
		p.time_ns = le64toh(b->records[i].time_ns);
		p.kind = le32toh(c.kind);
		memcpy(p.name, c.name, sizeof(p.name));
		err = vr_mark_hold(st, &p, e);
		/* Too many names are no reason to take no more writes: it is a point with a name, and not held. */
		if (err && err != -E2BIG)
			return err;
	}
	return 0;
}

/* Adds what the batch changes to the lists in memory; cannot fail. */
static void note_stretches(struct vr_store *st, const struct vr_batch *b)
{
	struct vr_state s = st->history->now;

	for (unsigned int i = 0; i < b->nr_records; i++) {
		uint16_t type = le16toh(b->records[i].type);
		uint32_t old = s.stretch;
		uint64_t previous = s.last_seq;

		s.last_seq = b->first_seq + i;
		s.time_ns = le64toh(b->records[i].time_ns);
		if (type == VAIO_RW_R_GAP)
			s.stretch |= VAIO_RS_S_GAP;
		else if (type == VAIO_RW_R_RESYNC_BEGIN)
			s.stretch |= VAIO_RS_S_RESYNC;
		else if (type == VAIO_RW_R_RESYNC_END)
			s.stretch = 0;
		vr_note_compare(st, type, vr_batch_payload(b, i));
		if (s.stretch != old)
			vr_stretch_note(st, old ? s.last_seq : previous + 1, &s,
					type == VAIO_RW_R_GAP ? vr_gap_since(vr_batch_payload(b, i)) : 0);
	}
}

/* After a failback no bitmap tells what differs: only a resync that looks at everything ends the stretch. */
static int check_returned(struct vr_store *st, const struct vr_batch *b, struct vr_err *e)
{
	bool begun = st->compare_begun;

	if (st->super->role != VAIO_RS_RETURNED)
		return 0;
	for (unsigned int i = 0; i < b->nr_records; i++) {
		uint16_t type = le16toh(b->records[i].type);
		struct vaio_rw_resync s;

		if (type == VAIO_RW_R_RESYNC_END && !begun)
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": after a failback the source has to be compared first",
				       b->first_seq + i);
		if (type != VAIO_RW_R_RESYNC_BEGIN)
			continue;
		memcpy(&s, vr_batch_payload(b, i), sizeof(s));
		/* One that looks at everything has begun: what it has not sent yet is in the bitmap. */
		if (le32toh(s.kind) == VAIO_RW_S_BITMAP && !begun)
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": after a failback a resync of a bitmap is not enough: the source "
				       "has to be compared", b->first_seq + i);
		begun = true;
	}
	return 0;
}

/* @own: made here, by a failover: taken in every state, and from what is kept free. */
static int append(struct vr_store *st, uint8_t *batch, size_t len, bool own, struct vr_err *e)
{
	struct vr_batch *b;
	struct vr_segment *s;
	uint64_t at, entries;
	int err;

	if (st->failed)
		return vr_fail(e, -EIO, "the store failed and has to be opened again");
	b = malloc(sizeof(*b));
	if (!b)
		return vr_fail(e, -ENOMEM, "no memory");
	err = vr_batch_parse(batch, len, b, e);
	if (!err && memcmp(b->header->group, st->super->group, sizeof(b->header->group)))
		err = vr_fail(e, -EPROTO, "batch: of another group");
	if (!err && !own && (st->super->role == VAIO_RS_PROMOTED || st->super->failover != VAIO_RS_READY))
		err = vr_fail(e, -EPERM, "the replica was taken into use and takes no records");
	if (!err)
		err = vr_batch_unpack(st->unpacker, b, e);
	if (!err) {
		vr_history_copy(st->next, st->history);
		err = vr_batch_follow(b, st->next, e);
	}
	if (!err && !own)
		err = check_names(b, e);
	if (!err)
		err = check_returned(st, b, e);
	if (!err)
		err = count_entries(b, &entries, e);
	if (!err && !own)
		err = check_space(st, b, entries, e);
	if (!err && !own)
		err = check_stretches(st, b, e);
	if (!err)
		err = pin_checkpoints(st, b, e);
	if (err)
		goto out;
	s = newest(st);
	if (s->first_seq && (s->length + b->length > st->o.segment_bytes || s->mem->nr > MAX_ENTRIES ||
			     s->controls_len > MAX_CONTROLS)) {
		err = rotate(st, e);
		if (vr_no_space(err))
			err = need_space(st, b->length, 0, false, e);
		if (err)
			goto out;
		s = newest(st);
	}
	at = (s->length + 511) & ~(uint64_t)511;
	pthread_mutex_lock(&st->lock);
	err = vr_segment_reserve(s, b);
	if (!err)
		err = vr_stretch_reserve(st, b->nr_records);
	pthread_mutex_unlock(&st->lock);
	if (err) {
		err = vr_fail(e, err, "no memory for the index");
		goto out;
	}
	err = write_append(st, s, b, batch, at, e);
	if (err)
		goto out;
	pthread_mutex_lock(&st->lock);
	vr_segment_note(st, s, b, at, &st->next->now);
	note_stretches(st, b);
	vr_history_copy(st->history, st->next);
	st->need = st->have = 0;
	st->need_resync = false;
	pthread_mutex_unlock(&st->lock);
out:
	free(b);
	return err;
}

void *vr_append_memory(size_t len, void **batch)
{
	uint8_t *m = aligned_alloc(VR_DIRECT, append_bytes(len));

	*batch = m ? m + sizeof(struct vaio_rs_append) : NULL;
	return m;
}

int vr_store_append_there(struct vr_store *st, void *batch, size_t len, struct vr_err *e)
{
	return append(st, batch, len, false, e);
}

static int append_copy(struct vr_store *st, const void *buf, size_t len, bool own, struct vr_err *e)
{
	void *batch, *memory = vr_append_memory(len, &batch);
	int err;

	if (!memory)
		return vr_fail(e, -ENOMEM, "no memory");
	memcpy(batch, buf, len);
	err = append(st, batch, len, own, e);
	free(memory);
	return err;
}

int vr_store_append(struct vr_store *st, const void *buf, size_t len, struct vr_err *e)
{
	return append_copy(st, buf, len, false, e);
}

int vr_store_append_own(struct vr_store *st, const void *buf, size_t len, struct vr_err *e)
{
	return append_copy(st, buf, len, true, e);
}

int vr_store_commit(struct vr_store *st, struct vr_err *e)
{
	struct vr_state target = st->history->now;
	struct vr_segment *s = newest(st);
	int err;

	if (st->failed)
		return vr_fail(e, -EIO, "the store failed and has to be opened again");
	/* Older segments were synced when they were closed. */
	err = st->io->ops->sync(s->file);
	if (err) {
		/* What the disk has of it is not known any more: nothing of it is acknowledged. */
		st->failed = true;
		return vr_fail_errno(e, err, "journal segment %" PRIx64, s->id);
	}
	pthread_mutex_lock(&st->lock);
	st->durable = target;
	/* It was compared: a replica as any other. If this cannot be written now, the next commit tries. */
	if (st->super->role == VAIO_RS_RETURNED && !target.stretch) {
		st->super->role = VAIO_RS_REPLICA;
		if (vr_super_write(st, NULL))
			st->super->role = VAIO_RS_RETURNED;
	}
	pthread_mutex_unlock(&st->lock);
	return 0;
}
