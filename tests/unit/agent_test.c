// SPDX-License-Identifier: GPL-2.0
/*
 * vaio-agent's numbers: records of a ring that the test plays, cuts after any of them, epochs that are
 * given up. What comes out is checked by the rules of the replica (vr_history_record), and against what
 * was put in: each record of the ring once and in order.
 */
#include <endian.h>
#include <stdlib.h>
#include <time.h>

#include "unit.h"
#include "../../userspace/libreplica/message.h"

#include "../../userspace/agent/seqmap.c"
#include "../../userspace/agent/stream.c"
#include "../../userspace/agent/state.c"
#include "../../userspace/agent/util.c"

struct config config;

#define RECORDS		600
#define DISK_BYTES	(8ULL << 30)

static struct vr_err why;
static unsigned int seed;

static unsigned int draw(unsigned int below)
{
	return (unsigned int)rand_r(&seed) % below;
}

/* --- the list alone --------------------------------------------------------------------- */

static void test_seqmap(void **state)
{
	struct seqmap m = { 0 };
	uint64_t ring;
	bool gap;

	(void)state;
	assert_false(seqmap_resume(&m, 1, 5, &ring, &gap));
	/* 4 own records, then ring 10 is number 5; one more before ring 20 */
	assert_true(seqmap_add(&m, 0, 5, 10, 1));
	assert_true(seqmap_add(&m, 14, 16, 20, 1));
	assert_int_equal(seqmap_ring(&m, 1, 4), 0);
	assert_int_equal(seqmap_ring(&m, 1, 5), 10);
	assert_int_equal(seqmap_ring(&m, 1, 14), 19);
	assert_int_equal(seqmap_ring(&m, 1, 15), 19);
	assert_int_equal(seqmap_ring(&m, 1, 16), 20);
	assert_int_equal(seqmap_ring(&m, 1, 100), 104);
	assert_int_equal(seqmap_ring(&m, 2, 100), 0);
	assert_int_equal(seqmap_wire(&m, 1, 19), 14);
	assert_int_equal(seqmap_wire(&m, 1, 20), 16);
	assert_true(seqmap_resume(&m, 1, 2, &ring, &gap));
	assert_int_equal(ring, 9);
	assert_false(gap);
	/* an epoch later */
	assert_true(seqmap_add(&m, 30, 33, 50, 2));
	assert_true(seqmap_valid(&m));
	assert_true(seqmap_resume(&m, 2, 25, &ring, &gap));
	assert_int_equal(ring, 49);
	assert_true(gap);
	assert_true(seqmap_resume(&m, 2, 31, &ring, &gap));
	assert_int_equal(ring, 49);
	assert_false(gap);
	/* the replica has one of the agent's own records, and what comes after it is numbered anew */
	seqmap_begin(&m, 15, 20, 1);
	assert_true(seqmap_valid(&m));
	assert_int_equal(seqmap_ring(&m, 1, 15), 19);
	assert_int_equal(seqmap_wire(&m, 1, 20), 16);
	assert_int_equal(seqmap_ring(&m, 2, 40), 0);
	assert_true(seqmap_add(&m, 15, 18, 20, 1));
	assert_int_equal(seqmap_ring(&m, 1, 17), 19);
	assert_int_equal(seqmap_ring(&m, 1, 18), 20);
	seqmap_prune(&m, 18);
	assert_int_equal(seqmap_ring(&m, 1, 15), 0);
	assert_int_equal(seqmap_ring(&m, 1, 19), 21);
	for (unsigned int i = 0; !seqmap_full(&m); i++)
		assert_true(seqmap_add(&m, 100 + 10 * i, 105 + 10 * i, 100 + i, 3));
	assert_false(seqmap_add(&m, 9000, 9001, 9000, 3));
	m.bank[m.active].entry[3].ring = 0;
	assert_false(seqmap_valid(&m));
}

/* --- a ring, a stream, a replica ----------------------------------------------------------- */

struct sent {
	struct vaio_rw_record record;
	uint8_t payload[256] __attribute__((aligned(8)));
	uint64_t ring, epoch;	/* that it stands for; 0: the agent's own */
};

static struct play {
	struct vaio_repl_desc desc[RECORDS + 8];	/* by sequence */
	uint64_t published, epoch, first;	/* first: of the epoch */
	bool told_up[2], in_resync;
	struct sent *sent;		/* what the replica has or gets */
	size_t nr_sent;
	struct stream s;
	struct seqmap map;
	uint64_t mono, step;
} *play;

static void publish(uint8_t type, uint16_t member, uint64_t offset, uint64_t length, uint64_t aux)
{
	struct vaio_repl_desc *d = &play->desc[++play->published];

	memset(d, 0, sizeof(*d));
	play->mono += 1 + draw(1000);
	if (!draw(50))
		play->step += 3600000000000ULL;	/* somebody sets the clock */
	d->seq = play->published;
	d->type = type;
	d->member = member;
	d->offset = offset;
	d->length = length;
	d->aux = aux;
	d->mono_ns = play->mono;
	d->real_ns = play->mono + play->step;
	if (type == VAIO_REPL_WRITE || type == VAIO_REPL_RESYNC)
		d->data_len = (uint32_t)length;
	if (type == VAIO_REPL_CHECK)
		d->data_len = 32;
	if (type == VAIO_REPL_CHECKPOINT)
		d->data_len = 5;
}

/* What the kernel does on START of both disks. */
static void start(bool gap)
{
	play->first = play->published + 1;
	publish(VAIO_REPL_RESYNC_BEGIN, 0xffff, 0, 0, gap);
	play->in_resync = true;
	for (uint16_t i = 0; i < 2; i++)
		publish(VAIO_REPL_MEMBER_UP, i, 0, 0, DISK_BYTES);
}

static void random_record(void)
{
	uint16_t member = (uint16_t)draw(2);
	uint64_t offset = (uint64_t)draw(1000) << 12;

	switch (draw(play->in_resync ? 12 : 10)) {
	case 0:
		publish(VAIO_REPL_DISCARD, member, offset, 3ULL << 30, 0);	/* more than a record of the wire takes */
		break;
	case 1:
		publish(VAIO_REPL_ZEROES, member, offset, 4096, 0);
		break;
	case 2:
		publish(VAIO_REPL_VOID, member, offset, 4096, 0);
		break;
	case 3:
		publish(VAIO_REPL_BARRIER, 0xffff, 0, 0, 0);
		break;
	case 4:
		publish(VAIO_REPL_CHECKPOINT, 0xffff, 0, 0, 5);
		break;
	case 10:
		publish(VAIO_REPL_CHECK, member, offset, 65536, 0);
		break;
	case 11:
		publish(VAIO_REPL_RESYNC_END, 0xffff, 0, 0, 0);
		play->in_resync = false;
		break;
	default:
		publish(VAIO_REPL_WRITE, member, offset, 512 * (1 + draw(16)), 0);
	}
}

/* A batch of @most records at most; false when there is nothing to send. */
static bool give_batch(unsigned int most)
{
	static const uint8_t payload[65536] = "name";
	struct stream *s = &play->s;
	size_t before = play->nr_sent;

	while (s->position < play->published && most--) {
		const struct vaio_repl_desc *d = &play->desc[s->position + 1];
		struct stream_item it;
		struct sent *to;
		int rc = stream_next(s, d, payload, &it, &why);

		if (rc == -ENOSPC)
			break;
		if (rc)
			fail_msg("%s", why.text);
		/* what the wire's own rules want of the record */
		if (stream_commit(s, d, &it, &why))
			fail_msg("%s", why.text);
		play->sent = realloc(play->sent, (play->nr_sent + 1) * sizeof(*play->sent));
		to = &play->sent[play->nr_sent++];
		memset(to, 0, sizeof(*to));
		to->record = it.record;
		to->record.seq = htole64(it.seq);
		to->record.data_length = htole32(it.payload_len);
		memcpy(to->payload, it.payload ? it.payload : payload, it.payload_len < 256 ? it.payload_len : 256);
		to->ring = it.consumes ? d->seq : 0;
		to->epoch = play->epoch;
	}
	if (stream_batch(s, &why))
		fail_msg("%s", why.text);
	return play->nr_sent > before;
}

static void give_out(void)
{
	while (give_batch(RECORDS))
		;
}

/* The last record of the ring, of this epoch, among the first @n that were sent; none: the one before the epoch. */
static uint64_t last_ring(size_t n)
{
	while (n && !(play->sent[n - 1].ring && play->sent[n - 1].epoch == play->epoch))
		n--;
	return n ? play->sent[n - 1].ring : play->first - 1;
}

/* The replica says that it has the first @n: the kernel is told of no record that it has not. */
static void acknowledge(size_t n)
{
	uint64_t wire = le64toh(play->sent[n - 1].record.seq), ring = seqmap_ring(&play->map, play->epoch, wire);

	if (ring)
		assert_int_equal(ring, last_ring(n));
	else
		assert_int_equal(last_ring(n), play->first - 1);
	seqmap_prune(&play->map, wire);
}

/* The replica lost all but the first @keep records; a new session. */
static void reconnect(size_t keep, bool *fresh)
{
	struct { struct vaio_rw_welcome w; char lists[8192]; } d;
	struct vr_history *h = calloc(1, sizeof(*h));
	uint64_t wire, ring = 0;
	char *at = d.lists;
	bool gap, known;

	memset(&d, 0, sizeof(d));
	vr_history_init(h);
	play->nr_sent = keep;
	for (size_t i = 0; i < keep; i++)
		if (vr_history_record(h, &play->sent[i].record, play->sent[i].payload, &why))
			fail_msg("the replica: %s", why.text);
	wire = h->now.last_seq;
	d.w.flags = htole32((wire ? 0 : VAIO_RW_W_EMPTY) | (h->now.stretch && wire ? VAIO_RW_W_RESYNC : 0));
	d.w.durable_seq = htole64(wire);
	d.w.complete_seq = htole64(h->now.complete_seq);
	d.w.nr_generations = htole16((uint16_t)h->nr_generations);
	d.w.nr_members = htole16((uint16_t)h->nr_members);
	for (unsigned int i = 0; i < h->nr_generations; i++, at += sizeof(struct vaio_rw_generation))
		vr_generation_encode(&h->generations[i], (void *)at);
	if (h->nr_generations)
		vr_generation_encode(&h->generations[h->nr_generations - 1], &d.w.generation);
	for (unsigned int i = 0; i < h->nr_members; i++, at += sizeof(struct vaio_rw_member))
		vr_member_encode(&h->members[i], (void *)at);
	stream_welcome(&play->s, &d.w);
	play->s.nr_generations = wire ? 0 : 1;
	play->s.next_generation = 0;
	known = seqmap_resume(&play->map, play->epoch, wire, &ring, &gap);
	*fresh = !known;
	if (known) {
		assert_int_equal(ring, last_ring(keep));
		stream_start(&play->s, play->epoch, ring);
		play->s.gap = gap;
		play->s.gap_reason = VAIO_RW_GAP_LINK;
	}
	free(h);
}

static void test_cuts(void **state)
{
	static const struct vr_generation first = { .id = { 7 }, .counter = 1, .first_seq = 1, .time_ns = 1 };
	size_t durable = 0;
	bool fresh;

	(void)state;
	play = calloc(1, sizeof(*play));
	play->epoch = 1;
	play->mono = 1000;
	play->s.map = &play->map;
	play->s.gap_reason = VAIO_RW_GAP_FULL;
	play->s.generation[0] = first;
	for (int i = 0; i < 2; i++) {
		play->s.disk[i] = (struct stream_disk){ .uuid = { (uint8_t)(i + 1) }, .vm = { (uint8_t)(i + 1) }, .block_size = 512 };
		sprintf(play->s.disk[i].name, "d%d", i);
	}
	reconnect(0, &fresh);
	assert_true(fresh);
	start(false);
	stream_start(&play->s, play->epoch, play->first - 1);
	while (play->published < RECORDS) {
		for (unsigned int i = draw(20); i && play->published < RECORDS; i--)
			random_record();
		/* batches end anywhere, and the next one may be held back */
		for (unsigned int i = draw(4); i && give_batch(1 + draw(6)); i--)
			;
		switch (draw(6)) {
		case 0:		/* an acknowledgement */
			if (play->nr_sent > durable)
				durable += draw((unsigned int)(play->nr_sent - durable) + 1);
			if (durable)
				acknowledge(durable);
			break;
		case 1:		/* a cut */
			reconnect(durable + draw((unsigned int)(play->nr_sent - durable) + 1), &fresh);
			assert_false(fresh);
			durable = durable > play->nr_sent ? play->nr_sent : durable;
			break;
		case 2:		/* the kernel gives up */
			if (play->published + 4 > RECORDS || !play->nr_sent)
				break;
			play->epoch++;
			start(true);
			stream_start(&play->s, play->epoch, play->first - 1);
			break;
		}
		assert_true(seqmap_valid(&play->map));
	}
	for (give_out(); play->s.position < play->published; give_out())
		acknowledge(play->nr_sent);
	/* each record of each epoch once, in order; none left out within an epoch */
	for (size_t i = 0, last = 0; i < play->nr_sent; i++) {
		const struct sent *r = &play->sent[i];

		if (!r->ring)
			continue;
		if (last && play->sent[last - 1].epoch == r->epoch)
			assert_int_equal(r->ring, play->sent[last - 1].ring + 1);
		else if (last)
			assert_true(r->ring > play->sent[last - 1].ring && r->epoch > play->sent[last - 1].epoch);
		last = i + 1;
	}
	assert_int_equal(play->sent[play->nr_sent - 1].ring, RECORDS);
	free(play->sent);
	free(play);
}

static void test_many_cuts(void **state)
{
	for (int i = 0; i < (getenv("VAIO_FULL") && *getenv("VAIO_FULL") ? 2000 : 200); i++)
		test_cuts(state);
}

static void test_refused(void **state)
{
	struct vaio_repl_desc d = { .seq = 1, .type = 99, .member = 0 };
	struct stream_item it;

	(void)state;
	play = calloc(1, sizeof(*play));
	play->s.map = &play->map;
	stream_start(&play->s, 1, 0);
	play->s.clock = false;
	assert_int_equal(stream_next(&play->s, &d, NULL, &it, &why), -EPROTO);
	assert_non_null(strstr(why.text, "disk 0 is not in the group"));
	d.seq = 2;
	assert_int_equal(stream_next(&play->s, &d, NULL, &it, &why), -EPROTO);
	assert_non_null(strstr(why.text, "where 1 was to be"));
	free(play);
}

/* A server that gives two disks one number, or one disk two, is not believed: the agent finds a disk by either. */
static void test_twice(void **state)
{
	struct { struct vaio_rw_welcome w; struct vaio_rw_member m[3]; } d;
	struct vr_member m = { .disk = { 1 }, .size = 1 << 20, .block_size = 512, .name = "d" };
	struct vaio_rw_msg h;
	char text[sizeof(why.text)];

	(void)state;
	memset(&d, 0, sizeof(d));
	d.w.max_batch = d.w.max_batch_raw = d.w.max_records = d.w.window = htole32(4096);
	d.w.nr_members = htole16(3);
	for (unsigned int i = 0; i < 3; i++) {
		m.disk[0] = (uint8_t)(1 + i);
		m.number = (uint16_t)i;
		vr_member_encode(&m, &d.m[i]);
	}
	vr_message_header(&h, VAIO_RW_WELCOME, &d, sizeof(d));
	if (vr_message_check(&h, &d, sizeof(d), &why))
		fail_msg("%s", why.text);
	d.m[2].number = htole16(1);
	vr_message_header(&h, VAIO_RW_WELCOME, &d, sizeof(d));
	assert_int_equal(vr_message_check(&h, &d, sizeof(d), &why), -EPROTO);
	snprintf(text, sizeof(text), "%s", why.text);
	d.m[2].number = htole16(2);
	d.m[2].disk[0] = 2;
	vr_message_header(&h, VAIO_RW_WELCOME, &d, sizeof(d));
	assert_int_equal(vr_message_check(&h, &d, sizeof(d), &why), -EPROTO);
	assert_string_equal(text, "WELCOME: members 1 and 2 have one number or one disk");
	assert_string_equal(why.text, text);
}

/* A disk whose device got blocks of another size is told of once, before its next record. */
static void test_blocks(void **state)
{
	struct vaio_repl_desc d = { .seq = 1, .type = VAIO_REPL_WRITE, .member = 0, .offset = 512, .length = 512, .data_len = 512 };
	struct vr_member *m;
	struct stream_item it;
	uint8_t data[512] = { 0 };

	(void)state;
	play = calloc(1, sizeof(*play));
	play->s.map = &play->map;
	play->s.disk[0] = (struct stream_disk){ .uuid = { 1 }, .vm = { 2 }, .block_size = 512, .name = "d0", .number = -1 };
	m = &play->s.history.members[play->s.history.nr_members++];
	*m = (struct vr_member){ .disk = { 1 }, .number = 3, .size = 1 << 20, .block_size = 4096, .add_seq = 2 };
	play->s.history.now.last_seq = 7;
	seqmap_begin(&play->map, 8, 1, 1);
	stream_start(&play->s, 1, 0);
	play->s.clock = false;
	assert_int_equal(stream_next(&play->s, &d, data, &it, &why), 0);
	assert_int_equal(le16toh(it.record.type), VAIO_RW_R_MEMBER_ADD);
	assert_int_equal(le16toh(it.record.member), 3);
	assert_int_equal(it.vm[0], 2);
	assert_false(it.consumes);
	if (stream_commit(&play->s, &d, &it, &why))
		fail_msg("%s", why.text);
	assert_int_equal(m->block_size, 512);
	assert_int_equal(m->add_seq, 2);
	assert_int_equal(stream_next(&play->s, &d, data, &it, &why), 0);
	assert_int_equal(le16toh(it.record.type), VAIO_RW_R_WRITE);
	assert_true(it.consumes);
	if (stream_commit(&play->s, &d, &it, &why))
		fail_msg("%s", why.text);
	/* larger blocks: what was written in smaller ones comes first, and nothing need be told */
	play->s.disk[0].block_size = 4096;
	d.seq++;
	assert_int_equal(stream_next(&play->s, &d, data, &it, &why), 0);
	assert_int_equal(le16toh(it.record.type), VAIO_RW_R_WRITE);
	if (stream_commit(&play->s, &d, &it, &why))
		fail_msg("%s", why.text);
	assert_int_equal(m->block_size, 512);
	free(play);
}

/* Why there is a gap comes from the agent, but for what only the kernel knows. */
static void test_gap_reason(void **state)
{
	static const struct { uint64_t aux; uint32_t reason; } cases[] = {
		{ VAIO_REPL_GAP_LOST, VAIO_RW_GAP_LINK }, { VAIO_REPL_GAP_REVERT, VAIO_RW_GAP_REVERT },
	};

	(void)state;
	play = calloc(1, sizeof(*play));
	play->s.map = &play->map;
	play->s.gap_reason = VAIO_RW_GAP_LINK;
	stream_start(&play->s, 1, 0);
	for (size_t i = 0; i < 2; i++) {
		struct vaio_repl_desc d = { .seq = 1, .type = VAIO_REPL_RESYNC_BEGIN, .member = 0xffff, .aux = cases[i].aux };
		const struct vaio_rw_gap *gap;
		struct stream_item it;

		assert_int_equal(stream_next(&play->s, &d, NULL, &it, &why), 0);
		assert_int_equal(le16toh(it.record.type), VAIO_RW_R_GAP);
		gap = it.payload;
		assert_int_equal(le32toh(gap->reason), cases[i].reason);
	}
	free(play);
}

/* --- files -------------------------------------------------------------------------------- */

static void test_state(void **state)
{
	struct group_state *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	uint8_t fresh[16] = { 1, 2, 3 }, disk[16] = { 9 }, ring[16] = { 4 }, other[16] = { 5 };
	struct ring_state *r;
	int64_t offset, again;

	(void)state;
	config.state = config.run = scratch;
	assert_int_equal(group_state_read("g", fresh, a, &why), 0);
	assert_memory_equal(a->uuid, fresh, 16);
	assert_int_equal(a->nr_generations, 1);
	assert_int_equal(group_state_generation(a, 77, &why), 0);
	assert_int_equal(a->generation[1].counter, 2);
	assert_int_equal(a->generation[1].first_seq, 77);
	/* A replica claimed it, and then had nothing: the next one rises all the same, or its file could not be read again. */
	*b = *a;
	assert_int_equal(group_state_generation(b, 77, &why), 0);
	assert_int_equal(b->generation[2].first_seq, 78);
	assert_int_equal(group_state_generation(b, VAIO_RW_MAX_SEQ, &why), 0);
	assert_int_equal(group_state_generation(b, 1, &why), -ERANGE);
	assert_int_equal(b->nr_generations, 4);
	assert_int_equal(group_state_write("h", b, &why), 0);
	assert_int_equal(group_state_read("h", ring, b, &why), 0);
	assert_true(sh("rm h.json"));
	a->acked = 1ULL << 60;
	a->generation_used = true;
	group_state_trust(a, disk, true);
	group_state_trust(a, disk, true);
	assert_int_equal(a->nr_trusted, 1);
	/* a generation that a failback's end began at the replica: the next one, once */
	{
		struct vr_generation g = { .id = { 7 }, .counter = 4, .first_seq = 100 };

		assert_int_equal(group_state_adopt(a, &g, &why), -EINVAL);
		assert_non_null(strstr(why.text, "does not follow"));
		g.counter = 3;
		g.first_seq = 77;
		assert_int_equal(group_state_adopt(a, &g, &why), -EINVAL);
		assert_int_equal(a->nr_trusted, 1);
		g.first_seq = 100;
		assert_int_equal(group_state_adopt(a, &g, &why), 1);
		assert_int_equal(a->nr_generations, 3);
		assert_int_equal(a->nr_trusted, 0);
		assert_int_equal(group_state_adopt(a, &g, &why), 0);
		assert_int_equal(a->nr_generations, 3);
		group_state_trust(a, disk, true);
	}
	assert_int_equal(group_state_write("g", a, &why), 0);
	/* the kernel's group is another one after a boot; it stays the same at the replica */
	assert_int_equal(group_state_read("g", ring, b, &why), 0);
	assert_memory_equal(a, b, sizeof(*a));
	assert_true(group_state_trusts(b, disk));
	group_state_trust(b, disk, false);
	assert_false(group_state_trusts(b, disk));
	/* of another machine, or on other hardware, it is not used, until somebody says that it is to be */
	{
		uint8_t host[16] = { 0x11 }, board[16] = { 0x22 }, none[16] = { 0 };

		assert_int_equal(group_state_claim("g", b, host, none, &why), 1);
		assert_int_equal(group_state_claim("g", b, host, none, &why), 0);
		assert_int_equal(group_state_claim("g", b, host, board, &why), 1);
		assert_int_equal(group_state_claim("g", b, host, none, &why), 0);
		assert_int_equal(group_state_claim("g", b, other, board, &why), -EPERM);
		assert_non_null(strstr(why.text, "machine-id"));
		assert_int_equal(group_state_claim("g", b, host, other, &why), -EPERM);
		assert_non_null(strstr(why.text, "--take-over g"));
		group_state_trust(b, disk, true);
		assert_int_equal(group_state_write("g", b, &why), 0);
		assert_int_equal(group_state_read("g", ring, b, &why), 0);
		assert_int_equal(group_state_claim("g", b, other, board, &why), -EPERM);
		assert_int_equal(group_state_take_over("g", &why), 0);
		assert_int_equal(group_state_read("g", ring, b, &why), 0);
		assert_false(group_state_trusts(b, disk));
		assert_memory_equal(b->uuid, fresh, 16);
		assert_int_equal(group_state_claim("g", b, other, board, &why), 1);
		assert_int_equal(group_state_take_over("h", &why), -ENOENT);
	}
	/* a file that is not right is never taken for a new group */
	assert_true(sh("sed -i 's/\"counter\": 2/\"counter\": 5/' g.json"));
	assert_int_equal(group_state_read("g", ring, b, &why), -EINVAL);
	assert_non_null(strstr(why.text, "g.json"));
	assert_true(sh("head -c 40 g.json >x && mv x g.json"));
	assert_int_equal(group_state_read("g", ring, b, &why), -EINVAL);

	r = ring_state_open("g", ring, &why);
	assert_non_null(r);
	r->acked = 5;
	seqmap_begin(&r->map, 5, 1, 1);
	munmap(r, sizeof(*r));
	r = ring_state_open("g", ring, &why);
	assert_int_equal(r->acked, 5);
	r->map.bank[r->map.active].entry[0].ring = 0;	/* scribbled over */
	munmap(r, sizeof(*r));
	r = ring_state_open("g", ring, &why);
	assert_int_equal(r->acked, 0);
	r->acked = 6;
	munmap(r, sizeof(*r));
	r = ring_state_open("g", other, &why);
	assert_int_equal(r->acked, 0);
	munmap(r, sizeof(*r));

	assert_int_equal(time_offset(ring, &offset, &why), 0);
	assert_int_equal(time_offset(ring, &again, &why), 0);
	assert_int_equal(offset, again);
	free(a);
	free(b);
}

/* A checkpoint's name may be anybody's: one that the replica refused would be sent for ever. */
static void test_names(void **state)
{
	static const struct { const char *name, *sent; } names[] = {
		{ "caf\xc3\xa9", "caf\xc3\xa9" }, { "caf\xe9\n", "caf??" }, { "", "?" },
	};
	static const struct stream s;
	char name[VAIO_RW_NAME_LEN + 1] = "a";
	struct vaio_repl_desc d = { .seq = 1, .type = VAIO_REPL_CHECKPOINT };

	(void)state;
	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct stream_item it = { .seq = 1 };
		const struct vaio_rw_checkpoint *c = (const void *)it.buf;

		d.data_len = (uint32_t)strlen(names[i].name);
		make_checkpoint(&s, &d, d.data_len ? names[i].name : NULL, &it);
		assert_string_equal((char *)c->name, names[i].sent);
		assert_true(vr_text_new(c->name, sizeof(c->name)));
	}
	/* one that is too long is not cut in a character */
	while (strlen(name) + 2 < sizeof(name))
		strcat(name, "\xc3\xa9");
	for (d.data_len = sizeof(name) - 3; d.data_len < sizeof(name); d.data_len++) {
		struct stream_item it = { .seq = 1 };
		const struct vaio_rw_checkpoint *c = (const void *)it.buf;

		make_checkpoint(&s, &d, name, &it);
		assert_true(vr_text_new(c->name, sizeof(c->name)));
	}
}

int main(void)
{
	const char *given = getenv("VAIO_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seqmap),
		cmocka_unit_test(test_many_cuts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_gap_reason),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_names),
	};

	seed = given && *given ? (unsigned int)atoi(given) : (unsigned int)time(NULL);
	printf("# seed %u\n", seed);
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
