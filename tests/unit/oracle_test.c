// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle of tests/lab: passes a store whose source kept every rule, also when its oldest records are in the
 * base, and not one where a write is missing, late, torn or was not sent again.
 */
#include <endian.h>
#include <gcrypt.h>

#include "unit.h"
#include "../../userspace/libreplica/libreplica.h"
#include "../lab/oracle.h"

#define DISK_BYTES	(1U << 20)
#define MAX		16384U
#define STREAMS		4
#define SEED		7

static struct vr_err why;
static struct vr_store *st;
static struct vr_builder *builder;
static uint64_t seq, now;
static char path[64];
static uint8_t disk[ORACLE_DISKS][DISK_BYTES];	/* what the source has */
static struct op_source source[STREAMS];
static struct ledger ledger;

#define fine(call) do { \
	int rc_ = (call); \
	if (rc_) \
		fail_msg("%s: %d (%s)", #call, rc_, why.text); \
} while (0)

static void send_batch(void)
{
	size_t len;
	const void *batch = vr_builder_finish(builder, &len);

	fine(vr_store_append(st, batch, len, &why));
	fine(vr_store_commit(st, &why));
}

static void put(unsigned int type, unsigned int member, unsigned int flags, uint64_t offset, uint64_t length, const void *payload,
		uint32_t bytes)
{
	static const uint8_t nil[VAIO_RW_ID_LEN];
	struct vaio_rw_record r = { .type = htole16((uint16_t)type), .flags = htole16((uint16_t)flags),
				    .member = htole16((uint16_t)member), .offset = htole64(offset), .length = htole64(length),
				    .time_ns = htole64(now += 1000) };

	for (int i = 0; i < 2; i++) {
		int rc = vr_builder_add(builder, seq, 1, &r, nil, payload, bytes);

		if (!rc) {
			seq++;
			return;
		}
		send_batch();
	}
	fail_msg("record %llu does not fit into a batch", (unsigned long long)seq);
}

static void control(unsigned int type, unsigned int member, const void *payload, size_t bytes)
{
	put(type, member, 0, 0, 0, payload, (uint32_t)bytes);
}

static void resync_begin(uint32_t kind)
{
	struct vaio_rw_resync s = { .kind = htole32(kind), .bytes = htole64(2 * DISK_BYTES) };

	control(VAIO_RW_R_RESYNC_BEGIN, VAIO_RW_NO_MEMBER, &s, sizeof(s));
}

/* All of a disk, but for @hole. */
static void copy_disk(unsigned int d, uint64_t hole)
{
	for (uint64_t at = 0; at < DISK_BYTES; at += MAX)
		if (at != hole)
			put(VAIO_RW_R_WRITE, d, VAIO_RW_RF_RESYNC, at, MAX, disk[d] + at, MAX);
}

enum how { SENT, NOT_SENT, NOT_DONE };

/* The next operation of a stream, on the disk and in the stream of records. */
static struct op operate(unsigned int stream, enum how how)
{
	static uint8_t buf[MAX];
	struct op o = op_next(&source[stream]);

	ledger.begun[stream] = o.number;
	if (how == NOT_DONE)
		return o;
	ledger.acked[stream] = o.number;
	if (o.kind == OP_FLUSH)
		return o;
	if (o.kind == OP_WRITE) {
		stamp_fill(buf, stream, &o);
		memcpy(disk[o.disk] + o.offset, buf, o.len);
	} else {
		memset(buf, 0, o.len);
		memset(disk[o.disk] + o.offset, 0, o.len);
	}
	if (how != SENT)
		return o;
	/* Where a disk cannot write zeroes, the kernel sends them. */
	if (o.kind == OP_DISCARD)
		put(VAIO_RW_R_DISCARD, o.disk, 0, o.offset, o.len, NULL, 0);
	else
		put(VAIO_RW_R_WRITE, o.disk, 0, o.offset, o.len, buf, (uint32_t)o.len);
	return o;
}

/* The next write of a stream, with all that comes before it. */
static struct op next_write(unsigned int stream, enum how how)
{
	for (;;) {
		struct op_source look = source[stream];

		if (op_next(&look).kind == OP_WRITE)
			return operate(stream, how);
		operate(stream, SENT);
	}
}

static void work(unsigned int operations)
{
	for (unsigned int i = 0; i < operations; i++)
		operate(i * 7 % STREAMS, SENT);
}

/* A store with the initial copy, of which the older part is in the base. */
static int begin(void **state)
{
	static const struct vr_options options = { .write = true, .segment_bytes = 300 << 10, .reserve_bytes = 64 << 10 };
	static const uint8_t group[VAIO_RW_ID_LEN] = { 1 };
	struct vaio_rw_generation g = { .id = { 5 }, .counter = htole64(1), .first_seq = htole64(1) };
	struct vr_info info;
	struct vr_io *io;
	bool more;

	(void)state;
	snprintf(path, sizeof(path), "%s/store", scratch);
	assert_true(sh("rm -rf store && mkdir store"));
	fine(vr_io_open(path, &io));
	fine(vr_store_create(io, group, "g", &why));
	fine(vr_store_open(io, &options, &st, &why));
	builder = vr_builder_new(group, 128 << 10, 1);
	seq = 1;
	memset(&ledger, 0, sizeof(ledger));
	control(VAIO_RW_R_GENERATION, VAIO_RW_NO_MEMBER, &g, sizeof(g));
	resync_begin(VAIO_RW_S_INITIAL);
	for (unsigned int d = 0; d < ORACLE_DISKS; d++) {
		struct vaio_rw_member m = { .disk = { (uint8_t)(d + 1) }, .size = htole64(DISK_BYTES), .number = htole16((uint16_t)d),
					    .block_size = htole32(512), .name = "d" };

		control(VAIO_RW_R_MEMBER_ADD, d, &m, sizeof(m));
		gcry_create_nonce(disk[d], DISK_BYTES);
		copy_disk(d, DISK_BYTES);
	}
	send_batch();
	do
		fine(vr_store_maintain(st, false, &more, &why));
	while (more);
	control(VAIO_RW_R_RESYNC_END, VAIO_RW_NO_MEMBER, NULL, 0);
	vr_store_info(st, &info);
	assert_true(info.base.last_seq > 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		op_begin(&source[i], SEED, i, DISK_BYTES, MAX);
	work(500);
	return 0;
}

/* What the oracle says must contain @want; "records" when nothing is wrong. */
static void oracle(const char *options, const char *want)
{
	char cmd[512], line[512] = "";
	FILE *f;

	send_batch();
	vr_builder_free(builder);
	vr_store_close(st);
	f = fopen(in_scratch("ledger"), "w");
	assert_true(f && fwrite(&ledger, sizeof(ledger), 1, f) == 1 && !fclose(f));
	snprintf(cmd, sizeof(cmd), "%s --seed %u --max %u --points 5 %s %s", ORACLE, SEED, MAX, options, path);
	f = popen(cmd, "r");
	assert_non_null(f);
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	assert_int_equal(pclose(f) != 0, strcmp(want, "records") != 0);
	if (strstr(line, want) == NULL)
		fail_msg("'%s' does not say '%s'", line, want);
}

static const char *with_ledger(void)
{
	static char option[128];

	snprintf(option, sizeof(option), "--ledger %s", in_scratch("ledger"));
	return option;
}

static void test_passes(void **state)
{
	(void)state;
	oracle(with_ledger(), "records");
}

static void test_missing(void **state)
{
	(void)state;
	next_write(1, NOT_SENT);
	next_write(1, SENT);
	oracle("", "next was");
}

static void test_late(void **state)
{
	static uint8_t buf[MAX];
	struct op o = next_write(2, NOT_SENT);

	(void)state;
	next_write(2, SENT);
	stamp_fill(buf, 2, &o);
	put(VAIO_RW_R_WRITE, o.disk, 0, o.offset, o.len, buf, (uint32_t)o.len);
	oracle("", "next was");
}

static void test_torn(void **state)
{
	static uint8_t buf[MAX];
	struct op o = next_write(3, NOT_SENT);

	(void)state;
	stamp_fill(buf, 3, &o);
	buf[o.len - 1] ^= 1;
	put(VAIO_RW_R_WRITE, o.disk, 0, o.offset, o.len, buf, (uint32_t)o.len);
	oracle("", "byte 511");
}

static void test_not_acknowledged(void **state)
{
	(void)state;
	next_write(0, NOT_SENT);
	oracle(with_ledger(), "was acknowledged");
}

/* A gap, in which the source goes on alone, with so many operations, and what is then sent again, but for @hole of disk 0. */
static void gap(unsigned int alone, uint64_t hole)
{
	struct vaio_rw_gap g = { .reason = htole32(VAIO_RW_GAP_LINK) };

	for (unsigned int i = 0; i < alone; i++)
		operate(i % STREAMS, NOT_SENT);
	control(VAIO_RW_R_GAP, VAIO_RW_NO_MEMBER, &g, sizeof(g));
	resync_begin(VAIO_RW_S_BITMAP);
	work(20);
	copy_disk(0, hole);
	work(20);
	copy_disk(1, DISK_BYTES);
	control(VAIO_RW_R_RESYNC_END, VAIO_RW_NO_MEMBER, NULL, 0);
}

static void test_gap(void **state)
{
	(void)state;
	gap(300, DISK_BYTES);
	work(200);
	oracle(with_ledger(), "records");
}

static void test_not_resynced(void **state)
{
	(void)state;
	gap(300, 4 * MAX);
	oracle("", "holds");
}

/* The host is killed: its streams go on with the next session's numbers, an operation that was begun is there in part. */
static void killed(void)
{
	struct op o;

	do
		o = operate(0, NOT_DONE);
	while (o.kind != OP_WRITE || o.len < 2 * SECTOR);
	stamp_fill(disk[o.disk] + o.offset, 0, &(struct op){ .kind = OP_WRITE, .number = o.number, .disk = o.disk,
							   .offset = o.offset, .len = SECTOR });
	for (unsigned int i = 0; i < STREAMS; i++)
		while (source[i].number < 1000)
			op_next(&source[i]);
}

static void test_sessions(void **state)
{
	(void)state;
	killed();
	gap(300, DISK_BYTES);
	work(200);
	oracle("--session 1000", "records");
}

static void test_sessions_lost(void **state)
{
	(void)state;
	killed();
	gap(300, 4 * MAX);
	work(200);
	oracle("--session 1000", "holds");
}

/* Writes of the new session come before what was under way in the one before it. */
static void test_sessions_resync(void **state)
{
	(void)state;
	killed();
	gap(0, DISK_BYTES);
	oracle("--session 1000", "records");
}

static const char *session_with_ledger(void)
{
	static char option[128];

	snprintf(option, sizeof(option), "--session 1000 %s", with_ledger());
	return option;
}

static void test_sessions_acknowledged(void **state)
{
	(void)state;
	killed();
	gap(300, DISK_BYTES);
	work(200);
	oracle(session_with_ledger(), "records");
}

/* Nothing came of a stream since there are points. */
static void test_sessions_not_acknowledged(void **state)
{
	(void)state;
	killed();
	gap(300, DISK_BYTES);
	next_write(1, SENT);
	next_write(3, NOT_SENT);
	oracle(session_with_ledger(), "stream 3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_passes, begin),
		cmocka_unit_test_setup(test_missing, begin),
		cmocka_unit_test_setup(test_late, begin),
		cmocka_unit_test_setup(test_torn, begin),
		cmocka_unit_test_setup(test_not_acknowledged, begin),
		cmocka_unit_test_setup(test_gap, begin),
		cmocka_unit_test_setup(test_not_resynced, begin),
		cmocka_unit_test_setup(test_sessions, begin),
		cmocka_unit_test_setup(test_sessions_lost, begin),
		cmocka_unit_test_setup(test_sessions_resync, begin),
		cmocka_unit_test_setup(test_sessions_acknowledged, begin),
		cmocka_unit_test_setup(test_sessions_not_acknowledged, begin),
	};

	gcry_check_version(NULL);
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
