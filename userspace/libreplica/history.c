// SPDX-License-Identifier: GPL-2.0
/* The rules of Documentation/replication-wire.md for what may follow what. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "history.h"
#include "text.h"

bool vr_all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	return !len || (!b[0] && !memcmp(b, b + 1, len - 1));
}

bool vr_is_nil(const void *id)
{
	return vr_all_zero(id, VAIO_RW_ID_LEN);
}

bool vr_text_valid(const uint8_t *text, size_t size)
{
	size_t n = strnlen((const char *)text, size), i;

	if (n == size || !vr_all_zero(text + n, size - n))
		return false;
	for (i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

bool vr_text_new(const uint8_t *text, size_t size)
{
	return vr_text_valid(text, size) && vr_text_utf8((const char *)text);
}

bool vr_type_is_control(uint16_t type)
{
	switch (type) {
	case VAIO_RW_R_WRITE:
	case VAIO_RW_R_ZEROES:
	case VAIO_RW_R_DISCARD:
	case VAIO_RW_R_VOID:
	case VAIO_RW_R_CHECK:
		return false;
	}
	return true;
}

void vr_history_init(struct vr_history *h)
{
	memset(h, 0, sizeof(*h));
	h->now.stretch = VAIO_RS_S_RESYNC;
}

/* A whole one has 50 KiB, and one is copied with each batch. */
void vr_history_copy(struct vr_history *to, const struct vr_history *from)
{
	to->now = from->now;
	to->nr_members = from->nr_members;
	to->nr_generations = from->nr_generations;
	memcpy(to->generations, from->generations, from->nr_generations * sizeof(*to->generations));
	memcpy(to->members, from->members, from->nr_members * sizeof(*to->members));
}

struct vr_member *vr_history_member(struct vr_history *h, uint16_t number)
{
	for (unsigned int i = 0; i < h->nr_members; i++)
		if (h->members[i].number == number)
			return &h->members[i];
	return NULL;
}

struct vr_member *vr_history_disk(struct vr_history *h, const uint8_t *uuid)
{
	for (unsigned int i = 0; i < h->nr_members; i++)
		if (!memcmp(h->members[i].disk, uuid, VAIO_RW_ID_LEN))
			return &h->members[i];
	return NULL;
}

/* --- bytes --------------------------------------------------------------------- */

void vr_state_encode(const struct vr_state *s, struct vaio_rs_state *d)
{
	d->last_seq = htole64(s->last_seq);
	d->complete_seq = htole64(s->complete_seq);
	d->generation = htole64(s->generation);
	d->time_ns = htole64(s->time_ns);
	d->stretch = htole32(s->stretch);
	d->reserved = 0;
}

int vr_state_decode(const struct vaio_rs_state *d, struct vr_state *s, struct vr_err *e)
{
	s->last_seq = le64toh(d->last_seq);
	s->complete_seq = le64toh(d->complete_seq);
	s->generation = le64toh(d->generation);
	s->time_ns = le64toh(d->time_ns);
	s->stretch = le32toh(d->stretch);
	if (s->last_seq > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -EPROTO, "state: last_seq %" PRIu64 " is too high", s->last_seq);
	if (s->stretch & ~VAIO_RS_S_KNOWN || d->reserved)
		return vr_fail(e, -EPROTO, "state: stretch 0x%x is unknown", s->stretch);
	if (s->stretch ? s->complete_seq >= s->last_seq && s->last_seq : s->complete_seq != s->last_seq)
		return vr_fail(e, -EPROTO, "state: complete_seq %" PRIu64 " does not fit last_seq %" PRIu64,
			       s->complete_seq, s->last_seq);
	return 0;
}

bool vr_state_equal(const struct vr_state *a, const struct vr_state *b)
{
	return a->last_seq == b->last_seq && a->complete_seq == b->complete_seq && a->generation == b->generation &&
	       a->time_ns == b->time_ns && a->stretch == b->stretch;
}

void vr_member_encode(const struct vr_member *m, struct vaio_rw_member *d)
{
	memset(d, 0, sizeof(*d));
	memcpy(d->disk, m->disk, sizeof(d->disk));
	memcpy(d->vm, m->vm, sizeof(d->vm));
	d->size = htole64(m->size);
	d->number = htole16(m->number);
	d->flags = htole16(m->removed ? VAIO_RW_M_REMOVED : 0);
	d->block_size = htole32(m->block_size);
	memcpy(d->name, m->name, sizeof(d->name));
}

int vr_member_decode(const struct vaio_rw_member *d, struct vr_member *m, struct vr_err *e)
{
	memset(m, 0, sizeof(*m));
	memcpy(m->disk, d->disk, sizeof(m->disk));
	memcpy(m->vm, d->vm, sizeof(m->vm));
	m->size = le64toh(d->size);
	m->number = le16toh(d->number);
	m->block_size = le32toh(d->block_size);
	m->removed = le16toh(d->flags) & VAIO_RW_M_REMOVED;
	memcpy(m->name, d->name, sizeof(m->name));
	if (vr_is_nil(d->disk))
		return vr_fail(e, -EPROTO, "member %u: the disk's UUID is nil", m->number);
	if (m->number == VAIO_RW_NO_MEMBER)
		return vr_fail(e, -EPROTO, "member: number %u names no disk", m->number);
	if (m->block_size != 512 && m->block_size != 4096)
		return vr_fail(e, -EPROTO, "member %u: block_size %u is neither 512 nor 4096", m->number, m->block_size);
	if (!m->size || m->size > VAIO_RW_MAX_DISK || m->size % m->block_size)
		return vr_fail(e, -EPROTO, "member %u: size %" PRIu64 " is not 1 to 2^56 in blocks", m->number, m->size);
	if (le16toh(d->flags) & ~VAIO_RW_M_KNOWN || !vr_all_zero(d->reserved, sizeof(d->reserved)))
		return vr_fail(e, -EPROTO, "member %u: reserved bytes are not zero", m->number);
	if (!vr_text_valid(d->name, sizeof(d->name)))
		return vr_fail(e, -EPROTO, "member %u: name is no text", m->number);
	vr_text_clean(m->name);
	return 0;
}

void vr_generation_encode(const struct vr_generation *g, struct vaio_rw_generation *d)
{
	memcpy(d->id, g->id, sizeof(d->id));
	d->counter = htole64(g->counter);
	d->first_seq = htole64(g->first_seq);
	d->time_ns = htole64(g->time_ns);
}

int vr_generation_decode(const struct vaio_rw_generation *d, struct vr_generation *g, struct vr_err *e)
{
	memcpy(g->id, d->id, sizeof(g->id));
	g->counter = le64toh(d->counter);
	g->first_seq = le64toh(d->first_seq);
	g->time_ns = le64toh(d->time_ns);
	if (vr_is_nil(g->id) || !g->counter || g->counter > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -EPROTO, "generation: id or counter is nil");
	if (!g->first_seq || g->first_seq > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -EPROTO, "generation: first_seq %" PRIu64 " is not 1 to 2^62", g->first_seq);
	return 0;
}

/* --- records ---------------------------------------------------------------------- */

static const char *const type_names[__VAIO_RW_R_COUNT] = {
	[VAIO_RW_R_WRITE] = "WRITE", [VAIO_RW_R_ZEROES] = "ZEROES", [VAIO_RW_R_DISCARD] = "DISCARD",
	[VAIO_RW_R_VOID] = "VOID", [VAIO_RW_R_CHECK] = "CHECK", [VAIO_RW_R_GROW] = "GROW",
	[VAIO_RW_R_CHECKPOINT] = "CHECKPOINT", [VAIO_RW_R_GAP] = "GAP", [VAIO_RW_R_RESYNC_BEGIN] = "RESYNC_BEGIN",
	[VAIO_RW_R_RESYNC_END] = "RESYNC_END", [VAIO_RW_R_MEMBER_ADD] = "MEMBER_ADD",
	[VAIO_RW_R_MEMBER_REMOVE] = "MEMBER_REMOVE", [VAIO_RW_R_GENERATION] = "GENERATION", [VAIO_RW_R_CLOCK] = "CLOCK",
};

/* What a type looks like: whether it is a disk's, its payload (~0: length), flags. */
static const struct shape {
	bool disk, range;
	uint32_t payload;
	uint64_t max;		/* of a range */
	uint16_t flags;
} shapes[__VAIO_RW_R_COUNT] = {
	[VAIO_RW_R_WRITE] = { true, true, ~0U, VAIO_RW_MAX_RAW, VAIO_RW_RF_RESYNC | VAIO_RW_RF_FUA },
	[VAIO_RW_R_ZEROES] = { true, true, 0, VAIO_RW_MAX_RANGE, VAIO_RW_RF_RESYNC | VAIO_RW_RF_NOUNMAP },
	[VAIO_RW_R_DISCARD] = { true, true, 0, VAIO_RW_MAX_RANGE, 0 },
	[VAIO_RW_R_VOID] = { true, true, 0, VAIO_RW_MAX_RANGE, 0 },
	[VAIO_RW_R_CHECK] = { true, true, VAIO_RW_HASH_LEN, VAIO_RW_MAX_CHECK, 0 },
	[VAIO_RW_R_GROW] = { true, false, 0, 0, 0 },
	[VAIO_RW_R_CHECKPOINT] = { false, false, sizeof(struct vaio_rw_checkpoint), 0, 0 },
	[VAIO_RW_R_GAP] = { false, false, sizeof(struct vaio_rw_gap), 0, 0 },
	[VAIO_RW_R_RESYNC_BEGIN] = { false, false, sizeof(struct vaio_rw_resync), 0, 0 },
	[VAIO_RW_R_RESYNC_END] = { false, false, 0, 0, 0 },
	[VAIO_RW_R_MEMBER_ADD] = { true, false, sizeof(struct vaio_rw_member), 0, 0 },
	[VAIO_RW_R_MEMBER_REMOVE] = { true, false, 0, 0, 0 },
	[VAIO_RW_R_GENERATION] = { false, false, sizeof(struct vaio_rw_generation), 0, 0 },
	[VAIO_RW_R_CLOCK] = { false, false, sizeof(struct vaio_rw_clock), 0, 0 },
};

#define refuse(e, seq, name, fmt, ...) \
	vr_fail(e, -EPROTO, "record %" PRIu64 " (%s): " fmt, seq, name, ##__VA_ARGS__)

static int member_add(struct vr_history *h, uint64_t seq, const struct vaio_rw_record *r, const void *payload,
		      struct vr_err *e)
{
	struct vr_member m, *old, *other;
	int err = vr_member_decode(payload, &m, e);

	if (err)
		return err;
	if (m.number != le16toh(r->member) || m.removed)
		return refuse(e, seq, "MEMBER_ADD", "the payload is of member %u", m.number);
	m.add_seq = seq;
	old = vr_history_member(h, m.number);
	if (old && memcmp(old->disk, m.disk, sizeof(m.disk)))
		return refuse(e, seq, "MEMBER_ADD", "number %u is already a disk's", m.number);
	/* It is there: its blocks have another size now, what it holds stays. */
	if (old && !old->removed) {
		if (m.size != old->size || m.block_size == old->block_size)
			return refuse(e, seq, "MEMBER_ADD", "number %u is already this disk's, with the same blocks or another size", m.number);
		old->block_size = m.block_size;
		return 0;
	}
	other = vr_history_disk(h, m.disk);
	if (other && other != old)
		return refuse(e, seq, "MEMBER_ADD", "the disk has number %u", other->number);
	if (!old) {
		if (h->nr_members == VAIO_RW_MAX_MEMBERS)
			return refuse(e, seq, "MEMBER_ADD", "more than %u disks", VAIO_RW_MAX_MEMBERS);
		old = &h->members[h->nr_members++];
	}
	*old = m;
	return 0;
}

static int generation(struct vr_history *h, uint64_t seq, const void *payload, struct vr_err *e)
{
	struct vr_generation g;
	int err = vr_generation_decode(payload, &g, e);

	if (err)
		return err;
	if (g.first_seq != seq)
		return refuse(e, seq, "GENERATION", "first_seq is %" PRIu64, g.first_seq);
	if (h->now.last_seq && g.counter != h->now.generation + 1)
		return refuse(e, seq, "GENERATION", "counter %" PRIu64 " does not follow %" PRIu64, g.counter,
			      h->now.generation);
	if (h->nr_generations == VAIO_RW_MAX_GENERATIONS) {
		memmove(h->generations, h->generations + 1, sizeof(*h->generations) * (VAIO_RW_MAX_GENERATIONS - 1));
		h->nr_generations--;
	}
	h->generations[h->nr_generations++] = g;
	h->now.generation = g.counter;
	return 0;
}

static int checkpoint(uint64_t seq, const void *payload, struct vr_err *e)
{
	const struct vaio_rw_checkpoint *c = payload;
	uint32_t kind = le32toh(c->kind);

	if (kind < VAIO_RW_C_CRASH || kind > VAIO_RW_C_APPLICATION)
		return refuse(e, seq, "CHECKPOINT", "kind %u is not 1 to 3", kind);
	if (le32toh(c->flags) & ~VAIO_RW_CF_KNOWN)
		return refuse(e, seq, "CHECKPOINT", "flags 0x%x are unknown", le32toh(c->flags));
	if (!c->name[0] || !vr_text_valid(c->name, sizeof(c->name)))
		return refuse(e, seq, "CHECKPOINT", "name is no text");
	return 0;
}

/* The state's part of a record that is right. */
static void pass(struct vr_history *h, uint64_t seq, const struct vaio_rw_record *r)
{
	h->now.last_seq = seq;
	h->now.time_ns = le64toh(r->time_ns);
	if (!h->now.stretch)
		h->now.complete_seq = seq;
}

int vr_history_record(struct vr_history *h, const struct vaio_rw_record *r, const void *payload, struct vr_err *e)
{
	uint64_t seq = le64toh(r->seq), offset = le64toh(r->offset), length = le64toh(r->length), ref = le64toh(r->ref);
	uint16_t type = le16toh(r->type);
	const struct shape *s = &shapes[type < __VAIO_RW_R_COUNT ? type : 0];
	const char *name;
	struct vr_member *m = NULL;
	uint32_t kind;
	int err = 0;

	if (!type || type >= __VAIO_RW_R_COUNT)
		return refuse(e, seq, "?", "type %u is unknown", type);
	name = type_names[type];
	if (seq > VAIO_RW_MAX_SEQ || !seq)
		return refuse(e, seq, name, "the number is not 1 to 2^62");
	if (seq != h->now.last_seq + 1 && !(h->now.last_seq ? seq > h->now.last_seq && type == VAIO_RW_R_GAP :
					    type == VAIO_RW_R_GENERATION))
		return refuse(e, seq, name, "does not follow record %" PRIu64, h->now.last_seq);
	if (!h->now.last_seq && type != VAIO_RW_R_GENERATION)
		return refuse(e, seq, name, "the first record must be a GENERATION");
	if (le16toh(r->flags) & ~s->flags)
		return refuse(e, seq, name, "flags 0x%x do not go with it", le16toh(r->flags));
	if (le32toh(r->data_length) != (s->payload == ~0U ? length : s->payload))
		return refuse(e, seq, name, "a payload of %u bytes", le32toh(r->data_length));
	if (s->disk != (le16toh(r->member) != VAIO_RW_NO_MEMBER))
		return refuse(e, seq, name, "member is %u", le16toh(r->member));
	if (s->disk && type != VAIO_RW_R_MEMBER_ADD) {
		m = vr_history_member(h, le16toh(r->member));
		if (!m || m->removed)
			return refuse(e, seq, name, "member %u is not in the group", le16toh(r->member));
	}
	if (s->range) {
		if (!length || length > s->max)
			return refuse(e, seq, name, "length %" PRIu64 " is not 1 to %" PRIu64, length, s->max);
		if ((offset | length) & (m->block_size - 1))
			return refuse(e, seq, name, "%" PRIu64 "+%" PRIu64 " is not in blocks of %u", offset, length,
				      m->block_size);
		if (offset > m->size || length > m->size - offset)
			return refuse(e, seq, name, "%" PRIu64 "+%" PRIu64 " ends beyond the disk of %" PRIu64, offset,
				      length, m->size);
	} else if (offset || (length && type != VAIO_RW_R_GROW)) {
		return refuse(e, seq, name, "has an offset or length");
	}
	if (ref && !(type == VAIO_RW_R_VOID && ref < seq) && type != VAIO_RW_R_GROW)
		return refuse(e, seq, name, "ref is %" PRIu64, ref);

	switch (type) {
	case VAIO_RW_R_GROW:
		if (ref != m->size || length < m->size || length > VAIO_RW_MAX_DISK || length & (m->block_size - 1))
			return refuse(e, seq, name, "from %" PRIu64 " to %" PRIu64 ", the disk has %" PRIu64, ref, length,
				      m->size);
		m->size = length;
		break;
	case VAIO_RW_R_CHECKPOINT:
		err = checkpoint(seq, payload, e);
		break;
	case VAIO_RW_R_GAP:
		kind = le32toh(((const struct vaio_rw_gap *)payload)->reason);
		if (kind < VAIO_RW_GAP_FULL || kind > VAIO_RW_GAP_NEW_DISK ||
		    ((const struct vaio_rw_gap *)payload)->reserved)
			return refuse(e, seq, name, "reason %u is unknown", kind);
		h->now.stretch |= VAIO_RS_S_GAP;
		break;
	case VAIO_RW_R_RESYNC_BEGIN:
		kind = le32toh(((const struct vaio_rw_resync *)payload)->kind);
		if (kind < VAIO_RW_S_INITIAL || kind > VAIO_RW_S_COMPARE ||
		    ((const struct vaio_rw_resync *)payload)->reserved)
			return refuse(e, seq, name, "kind %u is unknown", kind);
		h->now.stretch |= VAIO_RS_S_RESYNC;
		break;
	case VAIO_RW_R_RESYNC_END:
		if (!h->now.stretch)
			return refuse(e, seq, name, "no gap or resync is open");
		h->now.stretch = 0;
		break;
	case VAIO_RW_R_MEMBER_ADD:
		err = member_add(h, seq, r, payload, e);
		break;
	case VAIO_RW_R_MEMBER_REMOVE:
		m->removed = true;
		break;
	case VAIO_RW_R_GENERATION:
		err = generation(h, seq, payload, e);
		break;
	}
	if (err)
		return err;
	pass(h, seq, r);
	return 0;
}
