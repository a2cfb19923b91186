// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "crc32c.h"
#include "message.h"

static const struct type {
	const char *name;
	uint32_t min, max;	/* bytes of payload */
} types[] = {
	[VAIO_RW_HELLO] = { "HELLO", sizeof(struct vaio_rw_hello), VAIO_RW_MAX_MESSAGE },
	[VAIO_RW_WELCOME] = { "WELCOME", sizeof(struct vaio_rw_welcome), VAIO_RW_MAX_MESSAGE },
	[VAIO_RW_END] = { "END", sizeof(struct vaio_rw_end), sizeof(struct vaio_rw_end) },
	[VAIO_RW_BATCH] = { "BATCH", sizeof(struct vaio_rw_batch) + sizeof(struct vaio_rw_record), VAIO_RW_MAX_BATCH },
	[VAIO_RW_DURABLE] = { "DURABLE", sizeof(struct vaio_rw_durable), sizeof(struct vaio_rw_durable) },
	[VAIO_RW_DIFF] = { "DIFF", sizeof(struct vaio_rw_diff) + sizeof(struct vaio_rw_range),
			   sizeof(struct vaio_rw_diff) + VAIO_RW_MAX_DIFF * sizeof(struct vaio_rw_range) },
	[VAIO_RW_BLOCKED] = { "BLOCKED", sizeof(struct vaio_rw_blocked), sizeof(struct vaio_rw_blocked) },
	[VAIO_RW_UNBLOCKED] = { "UNBLOCKED", sizeof(struct vaio_rw_unblocked), sizeof(struct vaio_rw_unblocked) },
	[VAIO_RW_PING] = { "PING", sizeof(struct vaio_rw_ping), sizeof(struct vaio_rw_ping) },
	[VAIO_RW_PONG] = { "PONG", sizeof(struct vaio_rw_ping), sizeof(struct vaio_rw_ping) },
	[VAIO_RW_STATUS] = { "STATUS", sizeof(struct vaio_rw_status), sizeof(struct vaio_rw_status) },
	[VAIO_RW_CHECKPOINT_REQUEST] = { "CHECKPOINT_REQUEST", sizeof(struct vaio_rw_checkpoint_request),
					 sizeof(struct vaio_rw_checkpoint_request) },
	[VAIO_RW_CHECKPOINT_RESULT] = { "CHECKPOINT_RESULT", sizeof(struct vaio_rw_checkpoint_result),
					sizeof(struct vaio_rw_checkpoint_result) },
	[VAIO_RW_NOT_HELD] = { "NOT_HELD", sizeof(struct vaio_rw_not_held), sizeof(struct vaio_rw_not_held) },
};

#define N_TYPES (sizeof(types) / sizeof(*types))

void vr_message_header(struct vaio_rw_msg *h, uint16_t type, const void *payload, size_t len)
{
	memset(h, 0, sizeof(*h));
	h->magic = htole32(VAIO_RW_MSG_MAGIC);
	h->type = htole16(type);
	h->length = htole32((uint32_t)len);
	h->payload_crc = htole32(type == VAIO_RW_BATCH ? 0 : vr_crc32c(0, payload, len));
	h->crc = htole32(vr_crc32c(0, (char *)h + 8, sizeof(*h) - 8));
}

int vr_message_check_header(const struct vaio_rw_msg *h, uint16_t *type, size_t *len, struct vr_err *e)
{
	uint32_t n = le32toh(h->length);

	*type = le16toh(h->type);
	*len = n;
	if (le32toh(h->magic) != VAIO_RW_MSG_MAGIC)
		return vr_fail(e, -EPROTO, "message: magic 0x%08x", le32toh(h->magic));
	if (vr_crc32c(0, (const char *)h + 8, sizeof(*h) - 8) != le32toh(h->crc))
		return vr_fail(e, -EPROTO, "message: CRC of the header");
	if (!*type || *type >= N_TYPES)
		return vr_fail(e, -EPROTO, "message: type %u is unknown", *type);
	if (h->flags || h->reserved || (*type == VAIO_RW_BATCH && h->payload_crc))
		return vr_fail(e, -EPROTO, "%s: flags or reserved bytes are not zero", types[*type].name);
	if (n < types[*type].min || n > types[*type].max)
		return vr_fail(e, -EPROTO, "%s: length %u is not %u to %u", types[*type].name, n, types[*type].min,
			       types[*type].max);
	return 0;
}

/* The generations and members that follow HELLO and WELCOME. */
static int check_lists(const char *name, const char *p, size_t len, unsigned int generations, unsigned int members,
		       struct vr_err *e)
{
	const struct vaio_rw_member *list;
	uint64_t counter = 0, first = 0;

	if (generations > VAIO_RW_MAX_GENERATIONS || members > VAIO_RW_MAX_MEMBERS ||
	    len != generations * sizeof(struct vaio_rw_generation) + members * sizeof(struct vaio_rw_member))
		return vr_fail(e, -EPROTO, "%s: %u generations and %u members in %zu bytes", name, generations, members, len);
	for (unsigned int i = 0; i < generations; i++, p += sizeof(struct vaio_rw_generation)) {
		struct vr_generation g;
		int err = vr_generation_decode((const void *)p, &g, e);

		if (err)
			return err;
		if (i && (g.counter != counter + 1 || g.first_seq <= first))
			return vr_fail(e, -EPROTO, "%s: generation %" PRIu64 " does not follow %" PRIu64, name, g.counter,
				       counter);
		counter = g.counter;
		first = g.first_seq;
	}
	list = (const void *)p;
	for (unsigned int i = 0; i < members; i++) {
		struct vr_member m;
		int err = vr_member_decode(&list[i], &m, e);

		if (err)
			return err;
		for (unsigned int j = 0; j < i; j++)
			if (list[j].number == list[i].number || !memcmp(list[j].disk, list[i].disk, sizeof(list[i].disk)))
				return vr_fail(e, -EPROTO, "%s: members %u and %u have one number or one disk", name, j, i);
	}
	return 0;
}

static int check_hello(const struct vaio_rw_hello *h, size_t len, struct vr_err *e)
{
	unsigned int generations = le16toh(h->nr_generations);
	int err;

	if (vr_is_nil(h->group) || vr_is_nil(h->host) || vr_is_nil(h->ring))
		return vr_fail(e, -EPROTO, "HELLO: group, host or ring is nil");
	if (le32toh(h->version_min) > le32toh(h->version_max))
		return vr_fail(e, -EPROTO, "HELLO: versions %u to %u", le32toh(h->version_min), le32toh(h->version_max));
	if (!le64toh(h->connection))
		return vr_fail(e, -EPROTO, "HELLO: connection is 0");
	if (!le64toh(h->next_seq) || le64toh(h->next_seq) > VAIO_RW_MAX_SEQ || le64toh(h->first_seq) > le64toh(h->next_seq) ||
	    le64toh(h->acked_seq) >= le64toh(h->next_seq))
		return vr_fail(e, -EPROTO, "HELLO: first_seq %" PRIu64 ", next_seq %" PRIu64 ", acked_seq %" PRIu64,
			       (uint64_t)le64toh(h->first_seq), (uint64_t)le64toh(h->next_seq),
			       (uint64_t)le64toh(h->acked_seq));
	if (le32toh(h->flags) & ~VAIO_RW_H_KNOWN || !vr_all_zero(h->reserved, sizeof(h->reserved)))
		return vr_fail(e, -EPROTO, "HELLO: flags 0x%x or reserved bytes are not zero", le32toh(h->flags));
	if (!vr_text_new(h->host_name, sizeof(h->host_name)) || !vr_text_new(h->group_name, sizeof(h->group_name)))
		return vr_fail(e, -EPROTO, "HELLO: host_name or group_name is no text in UTF-8");
	if (!generations)
		return vr_fail(e, -EPROTO, "HELLO: nr_generations is 0");
	err = check_lists("HELLO", (const char *)(h + 1), len - sizeof(*h), generations, le16toh(h->nr_members), e);
	if (!err && memcmp((const struct vaio_rw_generation *)(h + 1) + generations - 1, &h->generation,
			   sizeof(h->generation)))
		err = vr_fail(e, -EPROTO, "HELLO: generation is not the last of its list");
	return err;
}

static int check_welcome(const struct vaio_rw_welcome *w, size_t len, struct vr_err *e)
{
	if (le32toh(w->flags) & ~VAIO_RW_W_KNOWN || !vr_all_zero(w->reserved, sizeof(w->reserved)))
		return vr_fail(e, -EPROTO, "WELCOME: flags 0x%x or reserved bytes are not zero", le32toh(w->flags));
	if (le64toh(w->durable_seq) > VAIO_RW_MAX_SEQ || le64toh(w->complete_seq) > le64toh(w->durable_seq))
		return vr_fail(e, -EPROTO, "WELCOME: durable_seq %" PRIu64 ", complete_seq %" PRIu64,
			       (uint64_t)le64toh(w->durable_seq), (uint64_t)le64toh(w->complete_seq));
	if (!le32toh(w->max_batch) || le32toh(w->max_batch) > VAIO_RW_MAX_BATCH || !le32toh(w->window) ||
	    !le32toh(w->max_batch_raw) || le32toh(w->max_batch_raw) > VAIO_RW_MAX_BATCH_RAW ||
	    !le32toh(w->max_records) || le32toh(w->max_records) > VAIO_RW_MAX_RECORDS)
		return vr_fail(e, -EPROTO, "WELCOME: a limit is out of range");
	return check_lists("WELCOME", (const char *)(w + 1), len - sizeof(*w), le16toh(w->nr_generations),
			   le16toh(w->nr_members), e);
}

static int check_diff(const struct vaio_rw_diff *d, size_t len, struct vr_err *e)
{
	const struct vaio_rw_range *r = (const void *)(d + 1);
	uint32_t nr = le32toh(d->nr_ranges);
	uint64_t end = 0;

	if (d->reserved || !nr || nr > VAIO_RW_MAX_DIFF || len != sizeof(*d) + nr * sizeof(*r))
		return vr_fail(e, -EPROTO, "DIFF: %u ranges in %zu bytes", nr, len);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t offset = le64toh(r[i].offset), n = le64toh(r[i].length);

		if (!n || offset < end || n > VAIO_RW_MAX_DISK || offset > VAIO_RW_MAX_DISK - n)
			return vr_fail(e, -EPROTO, "DIFF: range %u is %" PRIu64 "+%" PRIu64, i, offset, n);
		end = offset + n;
	}
	return 0;
}

/* A text for people: who shows it cleans it. */
static int check_text(const char *name, const uint8_t *text, struct vr_err *e)
{
	if (!vr_text_valid(text, VAIO_RW_TEXT_LEN))
		return vr_fail(e, -EPROTO, "%s: text is no text", name);
	return 0;
}

int vr_message_check(const struct vaio_rw_msg *h, const void *p, size_t len, struct vr_err *e)
{
	const struct vaio_rw_checkpoint_request *req = p;
	const struct vaio_rw_status *status = p;
	const struct vaio_rw_blocked *blocked = p;
	uint16_t type;
	size_t want;
	int err = vr_message_check_header(h, &type, &want, e);

	if (err)
		return err;
	if (want != len)
		return vr_fail(e, -EPROTO, "%s: %zu of %zu bytes", types[type].name, len, want);
	if (type == VAIO_RW_BATCH)
		return 0;
	if (vr_crc32c(0, p, len) != le32toh(h->payload_crc))
		return vr_fail(e, -EPROTO, "%s: CRC of the payload", types[type].name);
	switch (type) {
	case VAIO_RW_HELLO:
		return check_hello(p, len, e);
	case VAIO_RW_WELCOME:
		return check_welcome(p, len, e);
	case VAIO_RW_END:
		return check_text("END", ((const struct vaio_rw_end *)p)->text, e);
	case VAIO_RW_DIFF:
		return check_diff(p, len, e);
	case VAIO_RW_BLOCKED:
		if (blocked->reserved || le32toh(blocked->reason) < VAIO_RW_BLOCKED_FULL ||
		    le32toh(blocked->reason) > VAIO_RW_BLOCKED_RESYNC)
			return vr_fail(e, -EPROTO, "BLOCKED: reason %u is unknown", le32toh(blocked->reason));
		return check_text("BLOCKED", blocked->text, e);
	case VAIO_RW_STATUS:
		if (status->reserved || le32toh(status->flags) & ~VAIO_RW_H_KNOWN)
			return vr_fail(e, -EPROTO, "STATUS: flags 0x%x or reserved bytes are not zero",
				       le32toh(status->flags));
		return 0;
	case VAIO_RW_CHECKPOINT_REQUEST:
		if (req->reserved || le32toh(req->kind) < VAIO_RW_C_CRASH || le32toh(req->kind) > VAIO_RW_C_APPLICATION)
			return vr_fail(e, -EPROTO, "CHECKPOINT_REQUEST: kind %u is not 1 to 3", le32toh(req->kind));
		if (!req->name[0] || !vr_text_new(req->name, sizeof(req->name)))
			return vr_fail(e, -EPROTO, "CHECKPOINT_REQUEST: name is no text in UTF-8");
		return 0;
	case VAIO_RW_NOT_HELD:
		return check_text("NOT_HELD", ((const struct vaio_rw_not_held *)p)->text, e);
	case VAIO_RW_CHECKPOINT_RESULT:
		return check_text("CHECKPOINT_RESULT", ((const struct vaio_rw_checkpoint_result *)p)->text, e);
	}
	return 0;
}

void vr_hello_decode(const void *payload, struct vr_hello *h)
{
	const struct vaio_rw_hello *d = payload;
	const struct vaio_rw_generation *g = (const void *)(d + 1);

	memset(h, 0, sizeof(*h));
	memcpy(h->group, d->group, sizeof(h->group));
	memcpy(h->host, d->host, sizeof(h->host));
	memcpy(h->ring, d->ring, sizeof(h->ring));
	h->version_min = le32toh(d->version_min);
	h->version_max = le32toh(d->version_max);
	h->required = le64toh(d->required);
	h->connection = le64toh(d->connection);
	h->first_seq = le64toh(d->first_seq);
	h->next_seq = le64toh(d->next_seq);
	h->acked_seq = le64toh(d->acked_seq);
	h->flags = le32toh(d->flags);
	memcpy(h->host_name, d->host_name, sizeof(h->host_name));
	memcpy(h->group_name, d->group_name, sizeof(h->group_name));
	h->nr_generations = le16toh(d->nr_generations);
	for (unsigned int i = 0; i < h->nr_generations; i++)
		vr_generation_decode(&g[i], &h->generations[i], NULL);
}

int vr_generations_follow(const struct vr_hello *h, const struct vr_generation *g, uint64_t durable_seq, struct vr_err *e)
{
	for (unsigned int i = 0; i < h->nr_generations; i++) {
		const struct vr_generation *s = &h->generations[i];

		if (s->counter != g->counter)
			continue;
		if (memcmp(s->id, g->id, sizeof(s->id)))
			break;
		if (i + 1 < h->nr_generations && durable_seq >= h->generations[i + 1].first_seq)
			return vr_fail(e, -EEXIST, "the replica has records of generation %" PRIu64 " up to %" PRIu64
				       ", the source went on from %" PRIu64, g->counter, durable_seq,
				       h->generations[i + 1].first_seq);
		return 0;
	}
	return vr_fail(e, -EEXIST, "the replica is in generation %" PRIu64 ", which the source does not know: their histories "
		       "went apart", g->counter);
}
