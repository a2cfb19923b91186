// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define CLOCK_STEP_NS	1000000000LL	/* by which the wall clock must move to be told of */

void stream_welcome(struct stream *s, const struct vaio_rw_welcome *w)
{
	const struct vaio_rw_generation *g = (const void *)(w + 1);
	const struct vaio_rw_member *m = (const void *)(g + le16toh(w->nr_generations));
	struct vr_history *h = &s->history;

	vr_history_init(h);
	for (unsigned int i = 0; i < le16toh(w->nr_generations); i++)
		vr_generation_decode(&g[i], &h->generations[h->nr_generations++], NULL);
	for (unsigned int i = 0; i < le16toh(w->nr_members); i++)
		vr_member_decode(&m[i], &h->members[h->nr_members++], NULL);
	if (!(le32toh(w->flags) & VAIO_RW_W_EMPTY)) {
		h->now.last_seq = le64toh(w->durable_seq);
		h->now.complete_seq = le64toh(w->complete_seq);
		h->now.generation = le64toh(w->generation.counter);
		/* Which of both is open cannot be told: a second GAP does no harm. */
		h->now.stretch = le32toh(w->flags) & VAIO_RW_W_RESYNC ? VAIO_RS_S_RESYNC : 0;
	}
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++)
		s->disk[i].number = -1;
	s->live = false;
	s->gap = false;
	s->gap_seq = 0;
	s->last_real = h->now.last_seq;
	s->next_generation = s->nr_generations;
}

void stream_start(struct stream *s, uint64_t epoch, uint64_t position)
{
	s->live = true;
	s->epoch = epoch;
	s->position = position;
	s->last_real = s->history.now.last_seq;
	s->piece = 0;
	s->clock = true;
	seqmap_begin(s->map, s->last_real, position + 1, epoch);
}

int stream_index(const struct stream *s, uint16_t number)
{
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++)
		if (!vr_is_nil(s->disk[i].uuid) && s->disk[i].number == number)
			return i;
	return -1;
}

/* A disk that left and came back may have another index: the number is that one's. */
static void set_number(struct stream *s, unsigned int index, uint16_t number)
{
	if (s->disk[index].number == number)
		return;
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++)
		if (s->disk[i].number == number)
			s->disk[i].number = -1;
	s->disk[index].number = number;
}

/* The disk's entry in history, NULL when it is not in the group there. */
static struct vr_member *member_of(struct stream *s, unsigned int index)
{
	struct stream_disk *d = index < VAIO_REPL_MEMBERS ? &s->disk[index] : NULL;
	struct vr_member *m;

	if (!d || vr_is_nil(d->uuid))
		return NULL;
	m = d->number >= 0 ? vr_history_member(&s->history, (uint16_t)d->number) : vr_history_disk(&s->history, d->uuid);
	if (!m || m->removed)
		return NULL;
	set_number(s, index, m->number);
	return m;
}

/* --- records of the agent's own ----------------------------------------------------- */

static void put_payload(struct stream_item *it, size_t len)
{
	it->payload = it->buf;
	it->payload_len = (uint32_t)len;
}

static void make_generation(struct stream *s, struct stream_item *it)
{
	struct vr_generation g = s->generation[s->next_generation];

	it->record.type = htole16(VAIO_RW_R_GENERATION);
	it->seq = g.first_seq;
	it->generation = g.counter;
	vr_generation_encode(&g, (void *)it->buf);
	put_payload(it, sizeof(struct vaio_rw_generation));
}

static void make_gap(struct stream *s, const struct vaio_repl_desc *d, struct stream_item *it, uint64_t seq)
{
	struct vaio_rw_gap *g = (void *)it->buf;

	it->record.type = htole16(VAIO_RW_R_GAP);
	it->seq = seq;
	g->reason = htole32(d->type == VAIO_REPL_RESYNC_BEGIN && d->aux == VAIO_REPL_GAP_REVERT ? VAIO_RW_GAP_REVERT :
			    s->gap_reason);
	g->since_ns = htole64(s->gap_since_ns);
	put_payload(it, sizeof(*g));
}

static void make_clock(const struct stream *s, const struct vaio_repl_desc *d, struct stream_item *it)
{
	struct vaio_rw_clock *c = (void *)it->buf;

	it->record.type = htole16(VAIO_RW_R_CLOCK);
	memcpy(c->boot, s->boot, sizeof(c->boot));
	c->wall_ns = htole64(d->real_ns);
	put_payload(it, sizeof(*c));
}

static int make_member_add(struct stream *s, const struct vaio_repl_desc *d, uint64_t size, struct stream_item *it,
			   struct vr_err *e)
{
	const struct stream_disk *disk = &s->disk[d->member];
	struct vr_member m = { .size = size, .block_size = disk->block_size ? disk->block_size : 512 }, *old;
	unsigned int number = 0;

	if (vr_is_nil(disk->uuid))
		return vr_fail(e, -EPROTO, "record %" PRIu64 " of the ring: disk %u is not known", (uint64_t)d->seq, d->member);
	memcpy(m.disk, disk->uuid, sizeof(m.disk));
	memcpy(m.vm, disk->vm, sizeof(m.vm));
	memcpy(m.name, disk->name, sizeof(m.name));
	old = vr_history_disk(&s->history, disk->uuid);
	for (unsigned int i = 0; i < s->history.nr_members; i++)
		if (s->history.members[i].number >= number)
			number = s->history.members[i].number + 1U;
	m.number = old ? old->number : (uint16_t)number;
	if (number >= VAIO_RW_NO_MEMBER)
		return vr_fail(e, -EPROTO, "the group has had too many disks");
	it->record.type = htole16(VAIO_RW_R_MEMBER_ADD);
	it->record.member = htole16(m.number);
	vr_member_encode(&m, (void *)it->buf);
	put_payload(it, sizeof(struct vaio_rw_member));
	return 0;
}

/* --- records of the ring -------------------------------------------------------------- */

static void make_range(struct stream *s, const struct vaio_repl_desc *d, uint16_t type, uint16_t flags, struct stream_item *it)
{
	uint64_t left = d->length - s->piece, n = left < VAIO_RW_MAX_RANGE ? left : VAIO_RW_MAX_RANGE;

	it->record.type = htole16(type);
	it->record.flags = htole16(flags);
	it->record.offset = htole64(d->offset + s->piece);
	it->record.length = htole64(n);
	it->piece = n;
	it->consumes = n == left;
}

static void make_payload(const struct vaio_repl_desc *d, const void *payload, uint16_t type, uint16_t flags,
			 struct stream_item *it)
{
	it->record.type = htole16(type);
	it->record.flags = htole16(flags);
	it->record.offset = htole64(d->offset);
	it->record.length = htole64(d->length);
	it->payload = payload;
	it->payload_len = d->data_len;
}

static void make_checkpoint(const struct stream *s, const struct vaio_repl_desc *d, const void *payload,
			    struct stream_item *it)
{
	struct vaio_rw_checkpoint *c = (void *)it->buf;
	uint32_t kind = VAIO_RW_C_CRASH, flags = 0;
	size_t len = d->data_len ? strnlen(payload, d->data_len) : 0;

	for (int i = 0; i < STREAM_MARKS; i++)
		if (s->mark[i].ring == d->seq && s->mark[i].epoch == s->epoch) {
			kind = s->mark[i].kind;
			flags = s->mark[i].flags;
		}
	it->record.type = htole16(VAIO_RW_R_CHECKPOINT);
	c->kind = htole32(kind);
	c->flags = htole32(flags);
	/* It may be anybody's: a name that the replica refused would be sent for ever. */
	memcpy(c->name, len ? payload : "?", len ? vr_text_cut(payload, len, sizeof(c->name) - 1) : 1);
	vr_text_clean((char *)c->name);
	put_payload(it, sizeof(*c));
}

static int make_member_up(struct stream *s, const struct vaio_repl_desc *d, struct stream_item *it, struct vr_err *e)
{
	struct vr_member *m = member_of(s, d->member);

	if (!m)
		return make_member_add(s, d, d->aux, it, e);
	if (d->aux < m->size)
		return vr_fail(e, -EPROTO, "disk %s has %" PRIu64 " bytes, its replica %" PRIu64 ": a disk that shrank is not "
			       "replicated into the same group", m->name, (uint64_t)d->aux, m->size);
	if (d->aux == m->size) {
		make_clock(s, d, it);
		return 0;
	}
	it->record.type = htole16(VAIO_RW_R_GROW);
	it->record.length = htole64(d->aux);
	it->record.ref = htole64(m->size);
	it->record.member = htole16(m->number);
	return 0;
}

/*
 * Its device has smaller blocks than it had: the replica hears of that before what is written in them. Larger ones need no
 * word, and records from before may be in smaller ones still.
 */
static bool blocks_are_smaller(struct stream *s, const struct vaio_repl_desc *d)
{
	const struct vr_member *m = member_of(s, d->member);
	uint32_t now = m ? s->disk[d->member].block_size : 0;

	return now && now < m->block_size;
}

static int make_ring_record(struct stream *s, const struct vaio_repl_desc *d, const void *payload, struct stream_item *it,
			    struct vr_err *e)
{
	struct vr_member *m = NULL;
	struct vaio_rw_resync *r = (void *)it->buf;

	if (!s->piece && blocks_are_smaller(s, d))
		return make_member_add(s, d, member_of(s, d->member)->size, it, e);
	it->consumes = true;
	switch (d->type) {
	case VAIO_REPL_BARRIER:
		make_clock(s, d, it);
		return 0;
	case VAIO_REPL_MEMBER_UP:
		return make_member_up(s, d, it, e);
	case VAIO_REPL_RESYNC_BEGIN:
		it->record.type = htole16(VAIO_RW_R_RESYNC_BEGIN);
		r->kind = htole32(s->resync_kind ? s->resync_kind : VAIO_RW_S_BITMAP);
		r->bytes = htole64(s->resync_bytes);
		put_payload(it, sizeof(*r));
		return 0;
	case VAIO_REPL_RESYNC_END:
		if (s->history.now.stretch)
			it->record.type = htole16(VAIO_RW_R_RESYNC_END);
		else
			make_clock(s, d, it);
		return 0;
	case VAIO_REPL_CHECKPOINT:
		make_checkpoint(s, d, payload, it);
		return 0;
	case VAIO_REPL_MEMBER_DOWN:
		m = member_of(s, d->member);
		if (!m || !d->aux) {
			make_clock(s, d, it);
			return 0;
		}
		it->record.type = htole16(VAIO_RW_R_MEMBER_REMOVE);
		it->record.member = htole16(m->number);
		return 0;
	}
	m = member_of(s, d->member);
	if (!m)
		return vr_fail(e, -EPROTO, "record %" PRIu64 " of the ring: disk %u is not in the group", (uint64_t)d->seq,
			       d->member);
	it->record.member = htole16(m->number);
	memcpy(it->vm, m->vm, sizeof(it->vm));
	switch (d->type) {
	case VAIO_REPL_WRITE:
		make_payload(d, payload, VAIO_RW_R_WRITE, d->flags & VAIO_REPL_F_FUA ? VAIO_RW_RF_FUA : 0, it);
		return 0;
	case VAIO_REPL_RESYNC:
		make_payload(d, payload, VAIO_RW_R_WRITE, VAIO_RW_RF_RESYNC, it);
		return 0;
	case VAIO_REPL_CHECK:
		make_payload(d, payload, VAIO_RW_R_CHECK, 0, it);
		return 0;
	case VAIO_REPL_ZEROES:
		make_range(s, d, VAIO_RW_R_ZEROES, 0, it);
		return 0;
	case VAIO_REPL_RESYNC_ZEROES:
		make_range(s, d, VAIO_RW_R_ZEROES, VAIO_RW_RF_RESYNC, it);
		return 0;
	case VAIO_REPL_DISCARD:
		make_range(s, d, VAIO_RW_R_DISCARD, 0, it);
		return 0;
	case VAIO_REPL_VOID:
		make_range(s, d, VAIO_RW_R_VOID, 0, it);
		return 0;
	case VAIO_REPL_GROW:
		if (d->aux == m->size) {
			it->record.member = htole16(VAIO_RW_NO_MEMBER);
			memset(it->vm, 0, sizeof(it->vm));
			make_clock(s, d, it);
			return 0;
		}
		it->record.type = htole16(VAIO_RW_R_GROW);
		it->record.length = htole64(d->aux);
		it->record.ref = htole64(m->size);
		return 0;
	}
	return vr_fail(e, -EPROTO, "record %" PRIu64 " of the ring has type %u, which this agent does not know", (uint64_t)d->seq,
		       d->type);
}

static bool clock_moved(const struct stream *s, const struct vaio_repl_desc *d)
{
	int64_t now = (int64_t)(d->real_ns - d->mono_ns), by = now - s->clock_told;

	return by > CLOCK_STEP_NS || by < -CLOCK_STEP_NS;
}

int stream_next(struct stream *s, const struct vaio_repl_desc *d, const void *payload, struct stream_item *it,
		struct vr_err *e)
{
	const struct vr_state *now = &s->history.now;
	uint64_t next = now->last_seq + 1;
	int err = 0;

	memset(it, 0, sizeof(*it));
	it->record.member = htole16(VAIO_RW_NO_MEMBER);
	it->record.time_ns = htole64(d->mono_ns + (uint64_t)s->time_offset);
	it->seq = next;
	it->generation = now->generation;
	if (seqmap_full(s->map))
		return vr_fail(e, -ENOSPC, "too many clocks and disks wait for the replica");
	if (d->seq != s->position + 1)
		return vr_fail(e, -EPROTO, "record %" PRIu64 " of the ring where %" PRIu64 " was to be", (uint64_t)d->seq,
			       s->position + 1);
	if (s->next_generation < s->nr_generations) {
		uint64_t first = s->generation[s->next_generation].first_seq;

		/* Its number is told beforehand; only a GAP may leave numbers out. */
		if (!now->last_seq || next == first)
			make_generation(s, it);
		else
			make_gap(s, d, it, first - 1);
	} else if (s->gap || (d->type == VAIO_REPL_RESYNC_BEGIN && d->aux && !(now->stretch & VAIO_RS_S_GAP))) {
		make_gap(s, d, it, s->gap_seq > next ? s->gap_seq : next);
	} else if (s->clock || clock_moved(s, d)) {
		make_clock(s, d, it);
	} else {
		err = make_ring_record(s, d, payload, it, e);
		/* A control record's frame is a disk's own, when it has one. */
		if (!err && le16toh(it->record.type) == VAIO_RW_R_MEMBER_ADD)
			memcpy(it->vm, s->disk[d->member].vm, sizeof(it->vm));
	}
	return err;
}

int stream_commit(struct stream *s, const struct vaio_repl_desc *d, const struct stream_item *it, struct vr_err *e)
{
	uint16_t type = le16toh(it->record.type);
	struct vaio_rw_record r = it->record;
	int err;

	/* The wire's other fields, for the rules. */
	r.seq = htole64(it->seq);
	r.data_length = htole32(it->payload_len);
	if (it->consumes && seqmap_wire(s->map, s->epoch, d->seq) != it->seq &&
	    !seqmap_add(s->map, s->last_real, it->seq, d->seq, s->epoch))
		return vr_fail(e, -EPROTO, "the map of numbers is full");
	err = vr_history_record(&s->history, &r, it->payload, e);
	if (err)
		return err;
	switch (type) {
	case VAIO_RW_R_GENERATION:
		s->next_generation++;
		break;
	case VAIO_RW_R_GAP:
		s->gap = false;
		s->gap_seq = s->gap_since_ns = 0;
		break;
	case VAIO_RW_R_CLOCK:
		s->clock = false;
		s->clock_told = (int64_t)(d->real_ns - d->mono_ns);
		break;
	case VAIO_RW_R_MEMBER_ADD:
		set_number(s, d->member, le16toh(r.member));
		break;
	}
	s->piece += it->piece;
	if (!it->consumes)
		return 0;
	for (int i = 0; type == VAIO_RW_R_CHECKPOINT && i < STREAM_MARKS; i++)
		if (s->mark[i].ring == d->seq && s->mark[i].epoch == s->epoch)
			s->mark[i].wire = it->seq;
	s->piece = 0;
	s->position = d->seq;
	s->last_real = it->seq;
	return 0;
}

int stream_batch(struct stream *s, struct vr_err *e)
{
	uint64_t last = s->history.now.last_seq;

	/* The record of the ring that was to have the number of an own one, or of a piece, has a later one. */
	if (last != s->last_real && seqmap_wire(s->map, s->epoch, s->position + 1) != last + 1 &&
	    !seqmap_add(s->map, s->last_real, last + 1, s->position + 1, s->epoch))
		return vr_fail(e, -EPROTO, "the map of numbers is full");
	return 0;
}
