// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "super.h"
#include "text.h"

static void *put_entry(uint8_t *buf, size_t *at, uint16_t type, size_t len)
{
	struct vaio_rs_entry *d = (void *)(buf + *at);

	d->type = htole16(type);
	d->flags = 0;
	d->length = htole32((uint32_t)len);
	*at += sizeof(*d) + len;
	return d + 1;
}

_Static_assert(sizeof(struct vaio_rs_super) == 1024, "superblock");

/* The largest superblock fits its slot. */
_Static_assert(sizeof(struct vaio_rs_super) +
	       VAIO_RS_MAX_CLIENTS * (8 + VAIO_RW_TEXT_LEN) +
	       VAIO_RW_MAX_GENERATIONS * (8 + sizeof(struct vaio_rw_generation)) +
	       VAIO_RW_MAX_MEMBERS * (8 + sizeof(struct vaio_rs_member)) +
	       VAIO_RS_MAX_MARKS * (8 + sizeof(struct vaio_rs_mark)) <= VAIO_RS_SLOT, "slot");

size_t vr_super_encode(const struct vr_super *s, unsigned int slot, void *buf, size_t size)
{
	struct vaio_rs_super *d = buf;
	size_t at = sizeof(*d);

	memset(buf, 0, size);
	memcpy(d->magic, VAIO_RS_SUPER_MAGIC, sizeof(d->magic));
	d->version = htole32(VAIO_RS_VERSION);
	d->slot = htole32(slot);
	d->sequence = htole64(s->sequence);
	memcpy(d->store, s->store, sizeof(d->store));
	memcpy(d->group, s->group, sizeof(d->group));
	memcpy(d->group_name, s->group_name, sizeof(d->group_name));
	d->created_ns = htole64(s->created_ns);
	d->written_ns = htole64(s->written_ns);
	d->role = htole32(s->role);
	d->failover = htole32(s->failover);
	vr_state_encode(&s->base.now, &d->base);
	d->base_from = htole64(s->base_from);
	d->next_segment = htole64(s->next_segment);
	memcpy(d->source, s->source, sizeof(d->source));
	memcpy(d->source_name, s->source_name, sizeof(d->source_name));
	memcpy(d->ring, s->ring, sizeof(d->ring));
	d->connection = htole64(s->connection);
	d->retain_ns = htole64(s->retain_ns);
	d->retain_bytes = htole64(s->retain_bytes);
	d->quota_bytes = htole64(s->quota_bytes);
	d->every_write_ns = htole64(s->every_write_ns);
	d->interval_ns = htole64(s->interval_ns);
	d->thinned_from = htole64(s->thinned_from);
	d->thinned_before = htole64(s->thinned_before);
	d->nr_entries = htole32(s->nr_clients + s->base.nr_generations + s->base.nr_members + s->nr_marks);
	for (unsigned int i = 0; i < s->nr_clients; i++)
		memcpy(put_entry(buf, &at, VAIO_RS_E_CLIENT, VAIO_RW_TEXT_LEN), s->clients[i], VAIO_RW_TEXT_LEN);
	for (unsigned int i = 0; i < s->base.nr_generations; i++)
		vr_generation_encode(&s->base.generations[i],
				     put_entry(buf, &at, VAIO_RS_E_GENERATION, sizeof(struct vaio_rw_generation)));
	for (unsigned int i = 0; i < s->base.nr_members; i++) {
		struct vaio_rs_member *to = put_entry(buf, &at, VAIO_RS_E_MEMBER, sizeof(*to));

		vr_member_encode(&s->base.members[i], &to->member);
		to->add_seq = htole64(s->base.members[i].add_seq);
	}
	for (unsigned int i = 0; i < s->nr_marks; i++) {
		const struct vr_mark *m = &s->marks[i];
		struct vaio_rs_mark *to = put_entry(buf, &at, VAIO_RS_E_MARK, sizeof(*to));

		to->seq = htole64(m->seq);
		to->time_ns = htole64(m->time_ns);
		to->flags = htole32(m->flags);
		to->kind = htole32(m->kind);
		memcpy(to->name, m->name, sizeof(to->name));
	}
	d->length = htole32((uint32_t)at);
	d->crc = htole32(vr_crc32c(0, (char *)buf + 28, at - 28));
	return at;
}

static int decode_entry(struct vr_super *s, unsigned int type, const void *p, size_t len, struct vr_err *e)
{
	static const size_t sizes[] = {
		[VAIO_RS_E_CLIENT] = VAIO_RW_TEXT_LEN,
		[VAIO_RS_E_GENERATION] = sizeof(struct vaio_rw_generation),
		[VAIO_RS_E_MEMBER] = sizeof(struct vaio_rs_member),
		[VAIO_RS_E_MARK] = sizeof(struct vaio_rs_mark),
	};
	const struct vaio_rs_mark *d = p;
	struct vr_mark *m;

	if (!type || type > VAIO_RS_E_MARK || len != sizes[type])
		return vr_fail(e, -EBADMSG, "superblock: an entry of type %u and %zu bytes", type, len);
	switch (type) {
	case VAIO_RS_E_CLIENT:
		if (s->nr_clients == VAIO_RS_MAX_CLIENTS || !vr_text_valid(p, len) || !*(const char *)p)
			return vr_fail(e, -EBADMSG, "superblock: client %u is no text", s->nr_clients);
		memcpy(s->clients[s->nr_clients++], p, len);
		return 0;
	case VAIO_RS_E_GENERATION:
		if (s->base.nr_generations == VAIO_RW_MAX_GENERATIONS)
			return vr_fail(e, -EBADMSG, "superblock: too many generations");
		return vr_generation_decode(p, &s->base.generations[s->base.nr_generations++], e) ? -EBADMSG : 0;
	case VAIO_RS_E_MEMBER:
		if (s->base.nr_members == VAIO_RW_MAX_MEMBERS)
			return vr_fail(e, -EBADMSG, "superblock: too many members");
		if (vr_member_decode(p, &s->base.members[s->base.nr_members], e))
			return -EBADMSG;
		if (vr_history_member(&s->base, s->base.members[s->base.nr_members].number))
			return vr_fail(e, -EBADMSG, "superblock: member %u twice",
				       s->base.members[s->base.nr_members].number);
		if (vr_history_disk(&s->base, s->base.members[s->base.nr_members].disk))
			return vr_fail(e, -EBADMSG, "superblock: the disk of member %u twice",
				       s->base.members[s->base.nr_members].number);
		s->base.members[s->base.nr_members++].add_seq = le64toh(((const struct vaio_rs_member *)p)->add_seq);
		return 0;
	}
	if (s->nr_marks == VAIO_RS_MAX_MARKS)
		return vr_fail(e, -EBADMSG, "superblock: too many marks");
	m = &s->marks[s->nr_marks++];
	m->seq = le64toh(d->seq);
	m->time_ns = le64toh(d->time_ns);
	m->flags = le32toh(d->flags);
	m->kind = le32toh(d->kind);
	memcpy(m->name, d->name, sizeof(m->name));
	if (!m->seq || m->seq > VAIO_RW_MAX_SEQ || m->flags & ~VAIO_RS_MARK_KNOWN || m->kind < VAIO_RW_C_CRASH ||
	    m->kind > VAIO_RW_C_APPLICATION || !vr_text_valid(d->name, sizeof(d->name)) || !m->name[0])
		return vr_fail(e, -EBADMSG, "superblock: mark %u is not right", s->nr_marks - 1);
	vr_text_clean(m->name);
	return 0;
}

int vr_super_decode(const void *buf, size_t len, unsigned int slot, struct vr_super *s, struct vr_err *e)
{
	const struct vaio_rs_super *d = buf;
	size_t used, at = sizeof(*d);
	struct vr_err why = { "" };

	if (len < sizeof(*d) || memcmp(d->magic, VAIO_RS_SUPER_MAGIC, sizeof(d->magic)))
		return vr_fail(e, -ENODATA, "there is no superblock");
	used = le32toh(d->length);
	if (used < sizeof(*d) || used > len || used > VAIO_RS_SLOT ||
	    vr_crc32c(0, (const char *)buf + 28, used - 28) != le32toh(d->crc))
		return vr_fail(e, -EBADMSG, "the superblock is damaged (CRC)");
	if (le32toh(d->version) != VAIO_RS_VERSION)
		return vr_fail(e, -ENOTSUP, "the store has version %u, this program knows %u", le32toh(d->version),
			       VAIO_RS_VERSION);
	if (le64toh(d->incompat) & ~VAIO_RS_INCOMPAT_KNOWN)
		return vr_fail(e, -ENOTSUP, "the store has features (0x%" PRIx64 ") that this program does not know",
			       (uint64_t)le64toh(d->incompat));
	memset(s, 0, sizeof(*s));
	s->sequence = le64toh(d->sequence);
	memcpy(s->store, d->store, sizeof(s->store));
	memcpy(s->group, d->group, sizeof(s->group));
	memcpy(s->group_name, d->group_name, sizeof(s->group_name));
	s->created_ns = le64toh(d->created_ns);
	s->written_ns = le64toh(d->written_ns);
	s->role = le32toh(d->role);
	s->failover = le32toh(d->failover);
	s->base_from = le64toh(d->base_from);
	s->next_segment = le64toh(d->next_segment);
	memcpy(s->source, d->source, sizeof(s->source));
	memcpy(s->source_name, d->source_name, sizeof(s->source_name));
	memcpy(s->ring, d->ring, sizeof(s->ring));
	s->connection = le64toh(d->connection);
	s->retain_ns = le64toh(d->retain_ns);
	s->retain_bytes = le64toh(d->retain_bytes);
	s->quota_bytes = le64toh(d->quota_bytes);
	s->every_write_ns = le64toh(d->every_write_ns);
	s->interval_ns = le64toh(d->interval_ns);
	s->thinned_from = le64toh(d->thinned_from);
	s->thinned_before = le64toh(d->thinned_before);
	if (vr_state_decode(&d->base, &s->base.now, &why))
		return vr_fail(e, -EBADMSG, "superblock: %.200s", why.text);
	if (le32toh(d->slot) != slot || vr_is_nil(s->store) || vr_is_nil(s->group) || !s->sequence ||
	    s->sequence > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -EBADMSG, "superblock: slot, ids or sequence are not right");
	if (s->role < VAIO_RS_REPLICA || s->role > VAIO_RS_RETURNED || s->failover < VAIO_RS_READY ||
	    s->failover > VAIO_RS_COMMIT)
		return vr_fail(e, -EBADMSG, "superblock: role %u or failover %u is unknown", s->role, s->failover);
	if (s->thinned_from > s->thinned_before || s->thinned_before > UINT32_MAX ||
	    ((s->every_write_ns || s->thinned_before > s->thinned_from) && !s->interval_ns))
		return vr_fail(e, -EBADMSG, "superblock: what was thinned out is not right");
	if (s->base_from > s->base.now.last_seq || !s->next_segment || s->next_segment > UINT32_MAX ||
	    !vr_text_valid(d->group_name, sizeof(d->group_name)) ||
	    !vr_text_valid(d->source_name, sizeof(d->source_name)) || d->reserved2 ||
	    !vr_all_zero(d->reserved, sizeof(d->reserved)))
		return vr_fail(e, -EBADMSG, "superblock: a field is not right");
	vr_text_clean(s->group_name);
	vr_text_clean(s->source_name);
	for (uint32_t i = le32toh(d->nr_entries); i; i--) {
		const struct vaio_rs_entry *en = (const void *)((const char *)buf + at);
		int err;

		if (used - at < sizeof(*en) || le32toh(en->length) > used - at - sizeof(*en) || le32toh(en->length) & 7)
			return vr_fail(e, -EBADMSG, "superblock: its entries end early");
		err = decode_entry(s, le16toh(en->type), en + 1, le32toh(en->length), e);
		if (err)
			return err;
		at += sizeof(*en) + le32toh(en->length);
	}
	if (at != used)
		return vr_fail(e, -EBADMSG, "superblock: bytes after its entries");
	return 0;
}

int vr_super_pick(const void *slot0, const void *slot1, struct vr_super *s, struct vr_err *e)
{
	struct vr_super *other = malloc(sizeof(*other));
	struct vr_err e1;
	int rc0, rc1, pick = -ENOMEM;

	if (!other)
		return vr_fail(e, -ENOMEM, "no memory");
	rc0 = vr_super_decode(slot0, VAIO_RS_SLOT, 0, s, e);
	rc1 = vr_super_decode(slot1, VAIO_RS_SLOT, 1, other, &e1);
	/* What is newer than this program must not be passed over for what is older. */
	if (rc0 == -ENOTSUP || rc1 == -ENOTSUP) {
		pick = -ENOTSUP;
		if (rc0 != -ENOTSUP)
			*e = e1;
	} else if (rc0 && rc1) {
		pick = rc0 == -ENODATA ? rc1 : rc0;
		if (rc0 == -ENODATA)
			*e = e1;
	} else if (!rc0 && !rc1 && (s->sequence == other->sequence || memcmp(s->store, other->store, sizeof(s->store)))) {
		pick = vr_fail(e, -EBADMSG, "the two superblocks are not of one history");
	} else {
		pick = rc0 || (!rc1 && other->sequence > s->sequence);
	}
	if (pick == 1)
		memcpy(s, other, sizeof(*s));
	free(other);
	return pick;
}

int vr_super_name(struct vr_io *io, char name[VAIO_RW_NAME_LEN])
{
	struct vr_super *s = malloc(sizeof(*s));
	char *buf = malloc(2 * VAIO_RS_SLOT);
	struct vr_file *f = NULL;
	struct vr_err e;
	int rc = s && buf ? io->ops->open(io, "super", 0, &f) : -ENOMEM;

	if (!rc)
		rc = io->ops->read(f, buf, 2 * VAIO_RS_SLOT, 0);
	if (!rc)
		rc = vr_super_pick(buf, buf + VAIO_RS_SLOT, s, &e);
	if (rc >= 0)
		memcpy(name, s->group_name, VAIO_RW_NAME_LEN);
	if (f)
		io->ops->close(f);
	free(buf);
	free(s);
	return rc < 0 ? rc : 0;
}
