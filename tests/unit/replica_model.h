/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A source for the store's tests: makes random records that keep the protocol's
 * rules, and knows what each disk holds after each of them. It shares no code with the
 * store but the builder of batches.
 */
#ifndef TESTS_REPLICA_MODEL_H
#define TESTS_REPLICA_MODEL_H

#include <endian.h>

#include "../../userspace/libreplica/libreplica.h"
#include "memfs.h"

#define MODEL_MEMBERS	3
#define MODEL_MAX_DISK	(2U << 20)
#define MODEL_SECOND	1000000000ULL

struct model_record {
	uint64_t seq, time_ns, seed, offset, length;
	uint16_t type, member;
	bool point;		/* is a point right after it */
	char name[16];
};

struct model {
	uint64_t rand;
	uint8_t group[16];
	struct vr_builder *builder;
	struct model_record *records;	/* in order; seq may jump */
	size_t nr, room;
	uint64_t next_seq, time_ns, generation;
	bool open_stretch, whole;	/* whole: had a RESYNC_END */
	struct { bool in; uint64_t size; uint32_t block; uint8_t vm; } member[MODEL_MEMBERS];
	bool stretches;			/* make gaps, members and generations too */
};

static uint64_t model_rand(struct model *m, uint64_t below)
{
	return mem_rand(&m->rand) % below;
}

static void model_init(struct model *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->rand = seed * 2654435761u + 12345;
	for (int i = 0; i < 10; i++)
		mem_rand(&m->rand);
	memset(m->group, 0x67, sizeof(m->group));
	m->builder = vr_builder_new(m->group, 1U << 20, 1);
	m->next_seq = 1;
	m->time_ns = 1000 * MODEL_SECOND;
	m->stretches = true;
}

static void model_free(struct model *m)
{
	vr_builder_free(m->builder);
	free(m->records);
}

static void model_fill(uint8_t *buf, uint64_t len, uint64_t seed)
{
	uint64_t s = seed | 1;

	/* Half of all payloads do not compress. */
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t v = seed & 2 ? mem_rand(&s) : seed * 0x9e3779b97f4a7c15ULL;

		memcpy(buf + i, &v, 8);
	}
}

/* Puts a record into the builder and the model. 1: finish the batch first. */
static int model_put(struct model *m, struct vaio_rw_record *r, unsigned int type, unsigned int member, const void *payload,
		     uint32_t len, uint64_t seed, const char *name)
{
	static const uint8_t nil[16];
	uint8_t vm[16] = { 0 };
	struct model_record *to;
	int rc;

	vm[0] = member < MODEL_MEMBERS ? m->member[member].vm : 0;
	r->type = htole16((uint16_t)type);
	r->member = htole16((uint16_t)member);
	r->time_ns = htole64(m->time_ns);
	rc = vr_builder_add(m->builder, m->next_seq, m->generation, r, member < MODEL_MEMBERS ? vm : nil, payload, len);
	if (rc)
		return rc;
	if (m->nr == m->room) {
		m->room = 2 * m->room + 256;
		m->records = realloc(m->records, m->room * sizeof(*m->records));
	}
	to = &m->records[m->nr++];
	memset(to, 0, sizeof(*to));
	to->seq = m->next_seq++;
	to->time_ns = m->time_ns;
	to->seed = seed;
	to->type = (uint16_t)type;
	to->member = (uint16_t)member;
	to->offset = le64toh(r->offset);
	to->length = le64toh(r->length);
	if (name)
		snprintf(to->name, sizeof(to->name), "%s", name);
	if (type == VAIO_RW_R_GAP || type == VAIO_RW_R_RESYNC_BEGIN)
		m->open_stretch = true;
	if (type == VAIO_RW_R_RESYNC_END) {
		m->open_stretch = false;
		m->whole = true;
	}
	to->point = m->whole && !m->open_stretch;
	m->time_ns += 1000000 * (1 + model_rand(m, 50));
	return 0;
}

static int model_member_add(struct model *m, unsigned int n)
{
	static const uint64_t sizes[MODEL_MEMBERS] = { 1U << 20, 700 * 1024 + 512, 256 * 1024 };
	struct vaio_rw_record r = { 0 };
	struct vaio_rw_member d = { .number = htole16((uint16_t)n) };
	int rc;

	m->member[n].vm = n == 2 ? 1 : (uint8_t)n + 1;
	m->member[n].block = n == 1 ? 512 : 4096;
	d.disk[0] = (uint8_t)n + 1;
	d.vm[0] = m->member[n].vm;
	d.size = htole64(sizes[n]);
	d.block_size = htole32(m->member[n].block);
	snprintf((char *)d.name, sizeof(d.name), "vm-disk%u", n);
	rc = model_put(m, &r, VAIO_RW_R_MEMBER_ADD, n, &d, sizeof(d), 0, NULL);
	if (!rc) {
		m->member[n].in = true;
		m->member[n].size = sizes[n];
	}
	return rc;
}

static int model_group(struct model *m, unsigned int type, const void *payload, uint32_t len, const char *name)
{
	struct vaio_rw_record r = { 0 };

	return model_put(m, &r, type, VAIO_RW_NO_MEMBER, payload, len, 0, name);
}

static int model_generation(struct model *m)
{
	struct vaio_rw_generation g = { .counter = htole64(m->generation + 1), .first_seq = htole64(m->next_seq) };
	int rc;

	g.id[0] = (uint8_t)(m->generation + 1);
	g.id[15] = 0x77;
	m->generation++;
	rc = model_group(m, VAIO_RW_R_GENERATION, &g, sizeof(g), NULL);
	if (rc)
		m->generation--;
	return rc;
}

static int model_resync_begin(struct model *m, uint32_t kind)
{
	struct vaio_rw_resync s = { .kind = htole32(kind), .bytes = htole64(4096) };

	return model_group(m, VAIO_RW_R_RESYNC_BEGIN, &s, sizeof(s), NULL);
}

/* A random record on a random disk. */
static int model_block(struct model *m)
{
	static uint8_t buf[256 * 1024];
	struct vaio_rw_record r = { 0 };
	unsigned int n, dice = (unsigned int)model_rand(m, 20), type = VAIO_RW_R_WRITE;
	uint64_t blocks, len, at, seed = mem_rand(&m->rand);

	do
		n = (unsigned int)model_rand(m, MODEL_MEMBERS);
	while (!m->member[n].in);
	blocks = m->member[n].size / m->member[n].block;
	len = 1 + model_rand(m, model_rand(m, 8) ? 4 : 60);
	at = model_rand(m, 3) ? model_rand(m, blocks / 8) : model_rand(m, blocks);
	if (dice == 0)
		type = VAIO_RW_R_ZEROES;
	else if (dice == 1)
		type = VAIO_RW_R_DISCARD;
	else if (dice == 2)
		type = VAIO_RW_R_VOID;
	if (type != VAIO_RW_R_WRITE)
		len *= 4;
	len = len < blocks - at ? len : blocks - at;
	r.offset = htole64(at * m->member[n].block);
	r.length = htole64(len * m->member[n].block);
	if (type == VAIO_RW_R_WRITE)
		model_fill(buf, len * m->member[n].block, seed);
	return model_put(m, &r, type, n, buf, type == VAIO_RW_R_WRITE ? (uint32_t)(len * m->member[n].block) : 0, seed, NULL);
}

/* The next record of a group that lives; returns 1 when the batch has to be finished first. */
static int model_step(struct model *m)
{
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_LINK) };
	struct vaio_rw_checkpoint c = { .kind = htole32(VAIO_RW_C_CRASH) };
	struct vaio_rw_record r = { 0 };
	unsigned int dice = (unsigned int)model_rand(m, 200), n;
	uint64_t jump;
	int rc;

	if (!m->generation)
		return model_generation(m);
	for (n = 0; n < 2; n++)
		if (!m->member[n].size)
			return model_member_add(m, n);
	if (!m->whole && !m->open_stretch)
		return model_resync_begin(m, VAIO_RW_S_INITIAL);
	if (!m->whole && dice < 20)
		return model_group(m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL);
	if (dice < 6) {
		snprintf((char *)c.name, sizeof(c.name), "cp%u", dice);
		return model_group(m, VAIO_RW_R_CHECKPOINT, &c, sizeof(c), (char *)c.name);
	}
	if (!m->stretches || !m->whole)
		return model_block(m);
	if (m->open_stretch && dice < 40)
		return model_group(m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL);
	if (dice == 40) {
		jump = model_rand(m, 3) * 7;
		m->next_seq += jump;
		rc = model_group(m, VAIO_RW_R_GAP, &gap, sizeof(gap), NULL);
		if (rc)
			m->next_seq -= jump;
		return rc;
	}
	if (dice == 41)
		return model_resync_begin(m, VAIO_RW_S_BITMAP);
	if (dice == 42)
		return model_generation(m);
	if (dice == 43) {
		struct vaio_rw_clock clock = { .wall_ns = htole64(m->time_ns) };

		return model_group(m, VAIO_RW_R_CLOCK, &clock, sizeof(clock), NULL);
	}
	if (dice == 44 && !m->member[2].in)
		return model_member_add(m, 2);
	if (dice == 45 && m->member[2].in) {
		rc = model_put(m, &r, VAIO_RW_R_MEMBER_REMOVE, 2, NULL, 0, 0, NULL);
		m->member[2].in = rc != 0;
		return rc;
	}
	if (dice == 46 && m->member[0].size + 65536 <= MODEL_MAX_DISK) {
		r.ref = htole64(m->member[0].size);
		r.length = htole64(m->member[0].size + 65536);
		rc = model_put(m, &r, VAIO_RW_R_GROW, 0, NULL, 0, 0, NULL);
		if (!rc)
			m->member[0].size += 65536;
		return rc;
	}
	return model_block(m);
}

/* A batch of about @records records. */
static const void *model_batch(struct model *m, unsigned int records, size_t *len)
{
	for (unsigned int i = 0; i < records; i++)
		if (model_step(m))
			break;
	return vr_builder_finish(m->builder, len);
}

/* What disk @n holds at @seq, into MODEL_MAX_DISK bytes. Returns its size; 0: not in the group. */
static uint64_t model_disk(const struct model *m, unsigned int n, uint64_t seq, uint8_t *buf)
{
	uint64_t size = 0;

	memset(buf, 0, MODEL_MAX_DISK);
	for (size_t i = 0; i < m->nr && m->records[i].seq <= seq; i++) {
		const struct model_record *r = &m->records[i];

		if (r->member != n)
			continue;
		switch (r->type) {
		case VAIO_RW_R_WRITE:
			model_fill(buf + r->offset, r->length, r->seed);
			break;
		case VAIO_RW_R_ZEROES:
		case VAIO_RW_R_DISCARD:
			memset(buf + r->offset, 0, r->length);
			break;
		case VAIO_RW_R_MEMBER_ADD:
			memset(buf, 0, MODEL_MAX_DISK);
			size = n == 0 ? 1U << 20 : n == 1 ? 700 * 1024 + 512 : 256 * 1024;
			break;
		case VAIO_RW_R_MEMBER_REMOVE:
			size = 0;
			break;
		case VAIO_RW_R_GROW:
			size = r->length;
			break;
		}
	}
	return size;
}

static const struct model_record *model_find(const struct model *m, uint64_t seq)
{
	size_t low = 0, high = m->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->records[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->nr && m->records[low].seq == seq ? &m->records[low] : NULL;
}

static uint64_t model_last(const struct model *m)
{
	return m->nr ? m->records[m->nr - 1].seq : 0;
}

/* Are all disks of a point what the model says, and no others there? 0, or -errno with a text. */
static int model_check(struct vr_store *st, const struct model *m, uint64_t seq, struct vr_err *e)
{
	uint8_t *want = malloc(MODEL_MAX_DISK), *got = malloc(MODEL_MAX_DISK);
	struct vr_view *v;
	int err = vr_view_open(st, seq, &v, e);
	bool open = !err;

	for (unsigned int n = 0; n < MODEL_MEMBERS && !err; n++) {
		uint64_t size = model_disk(m, n, seq, want);

		err = vr_view_read(v, (uint16_t)n, got, size ? size : 512, 0, e);
		if (!size)
			err = err == -ENOENT ? 0 : vr_fail(e, -EEXIST, "seq %llu has disk %u, which is not there",
							   (unsigned long long)seq, n);
		for (uint64_t i = 0; i < size && !err; i++)
			if (want[i] != got[i])
				err = vr_fail(e, -EILSEQ, "seq %llu, disk %u, byte %llu: %02x instead of %02x",
					      (unsigned long long)seq, n, (unsigned long long)i, got[i], want[i]);
	}
	if (open)
		vr_view_close(v);
	free(want);
	free(got);
	return err;
}

#endif /* TESTS_REPLICA_MODEL_H */
