// SPDX-License-Identifier: GPL-2.0
/* The sidecar's format engine, and sidecars in files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../userspace/libvaio/sidecar.h"

#define GIB	(1ULL << 30)
#define TIB	(1ULL << 40)

static char reason[VAIO_SC_REASON];
#define WHY	reason, sizeof(reason)

static const u8 host_a[VAIO_SC_ID_LEN] = { 0xaa, 1 }, host_b[VAIO_SC_ID_LEN] = { 0xbb, 2 };

static void assert_says(const char *words)
{
	if (!strstr(reason, words))
		fail_msg("\"%s\" does not say \"%s\"", reason, words);
}

/* A sidecar of a 1 TiB disk, as a format would make it. */
static void make_super(struct vaio_sc_super *sb)
{
	memset(sb, 0, sizeof(*sb));
	sb->sequence = 7;
	memset(sb->disk_uuid, 0xd1, VAIO_SC_ID_LEN);
	memset(sb->sidecar_uuid, 0x5c, VAIO_SC_ID_LEN);
	sb->page_seed = 0x1122334455667788;
	sb->backing_bytes = TIB;
	sb->disk_bytes = TIB - GIB;
	sb->block_size = 512;
	sb->identity_kind = VAIO_SC_ID_LV;
	strcpy(sb->identity, "vg0/disk1");
	sb->state = VAIO_SC_CLEAN;
	memset(sb->current_gen.id, 0x61, VAIO_SC_ID_LEN);
	sb->current_gen.counter = 1;
	assert_int_equal(vaio_sc_layout(sb, 16, 4, WHY), 0);
	assert_int_equal(vaio_sc_check(sb, sb->sidecar_bytes, WHY), 0);
}

static struct vaio_sc_disk_super *encoded(const struct vaio_sc_super *sb, unsigned int copy,
					  struct vaio_sc_disk_super *d)
{
	vaio_sc_encode(sb, copy, d);
	return d;
}

/* Gives a block that was tampered with a valid CRC again. */
static void reseal(struct vaio_sc_disk_super *d)
{
	d->crc = htole32(~vaio_sc_crc32c(~0U, d, offsetof(struct vaio_sc_disk_super, crc)));
}

/* --- encoding ------------------------------------------------------------------ */

static void test_crc(void **state)
{
	(void)state;
	/* the check value of CRC-32C */
	assert_int_equal((u32)~vaio_sc_crc32c(~0U, "123456789", 9), 0xe3069283);
}

static void test_layout_on_disk(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_disk_super d;
	const u8 *raw = (const u8 *)&d;

	(void)state;
	make_super(&sb);
	vaio_sc_encode(&sb, 1, &d);
	assert_memory_equal(raw, "vaio-sidecar\r\n\x1a\n", 16);
	assert_memory_equal(raw + 16, "\1\0\0\0\1\0\0\0\7\0\0\0\0\0\0\0", 16);
	assert_memory_equal(raw + 80, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_memory_equal(raw + 136, "vg0/disk1\0", 10);
	/* the first region: bitmap, 2^16 bytes a bit, right after the second superblock */
	assert_memory_equal(raw + 512, "\1\0\0\0\20\0\0\0\0\x10\x10\0\0\0\0\0", 16);
}

static void test_round_trip(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d, again;

	(void)state;
	make_super(&sb);
	sb.flags = VAIO_SC_F_KNOWN;
	sb.alone_gen = sb.current_gen;
	memset(sb.cache_uuid, 0xca, VAIO_SC_ID_LEN);
	sb.cache_generation = 99;
	memcpy(sb.owner_host, host_a, VAIO_SC_ID_LEN);
	sb.owner_since = 1700000000;
	sb.state = VAIO_SC_ACTIVE;
	vaio_sc_encode(&sb, 0, &d);
	assert_int_equal(vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY), 0);
	vaio_sc_encode(&back, 0, &again);
	assert_memory_equal(&d, &again, sizeof(d));
	assert_int_equal(back.flags, VAIO_SC_F_KNOWN);
	assert_int_equal(back.cache_generation, 99);
	assert_int_equal(back.nr_regions, 4);
}

/* Every single flipped bit of a superblock is found. */
static void test_every_bit(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d;
	u8 *raw = (u8 *)&d;

	(void)state;
	make_super(&sb);
	vaio_sc_encode(&sb, 0, &d);
	for (size_t bit = 0; bit < 8 * sizeof(d); bit++) {
		raw[bit / 8] ^= 1 << bit % 8;
		assert_int_not_equal(vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY), 0);
		raw[bit / 8] ^= 1 << bit % 8;
	}
	assert_int_equal(vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY), 0);
}

/* --- choosing a superblock -------------------------------------------------------- */

static void test_newest_wins(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_disk_super d0, d1;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d0);
	sb.sequence++;
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 1);
	assert_int_equal(pick.bad, 0);
	sb.sequence++;
	encoded(&sb, 0, &d0);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 0);
	/* 2^32 and more count too */
	sb.sequence += 1ULL << 32;
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 1);
}

/* A write cut after any 512-byte sector leaves the other copy, or the new one whole. */
static void test_torn(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d0, d1, next;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d0);
	sb.sequence++;
	encoded(&sb, 1, &d1);
	sb.sequence++;
	sb.flags = VAIO_SC_F_MUST_COMPARE;
	encoded(&sb, 0, &next);
	for (size_t cut = 0; cut <= sizeof(next); cut += 512) {
		struct vaio_sc_disk_super torn = d0;

		memcpy(&torn, &next, cut);
		assert_int_equal(vaio_sc_pick(&torn, &d1, &pick, WHY), 0);
		assert_int_equal(pick.copy, cut == sizeof(next) ? 0 : 1);
		assert_int_equal(pick.bad, cut == 0 || cut == sizeof(next) ? 0 : 1);
		assert_int_equal(vaio_sc_decode(pick.copy ? &d1 : &torn, pick.copy, sb.sidecar_bytes, &back, WHY), 0);
		assert_int_equal(back.flags, cut == sizeof(next) ? VAIO_SC_F_MUST_COMPARE : 0);
	}
}

static void test_both_bad(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_disk_super d0, d1;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d0);
	sb.sequence++;
	encoded(&sb, 1, &d1);
	d0.block_size ^= 1;
	d1.block_size ^= 1;
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), -EIO);
	assert_string_equal(reason, "both superblocks are corrupt (CRC)");
	/* wiped and corrupt: there was one, and it is not an empty device */
	memset(&d1, 0, sizeof(d1));
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), -EIO);
	memset(&d0, 0, sizeof(d0));
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), -ENODATA);
	assert_string_equal(reason, "holds no sidecar");
}

static void test_one_wiped(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_disk_super d0, d1;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	memset(&d0, 0, sizeof(d0));
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 1);
	assert_int_equal(pick.bad, 1);
	encoded(&sb, 0, &d0);
	memset(&d1, 0, sizeof(d1));
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 0);
	assert_int_equal(pick.bad, 2);
}

/* A superblock at the other one's place does not count. */
static void test_misplaced_copy(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d0, d1;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d0);
	encoded(&sb, 0, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 0);
	assert_int_equal(pick.bad, 2);
	assert_int_equal(vaio_sc_decode(&d1, 1, sb.sidecar_bytes, &back, WHY), -EIO);
}

static void test_mixed_sidecars(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_disk_super d0, d1;
	struct vaio_sc_pick pick;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d0);
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), -EIO);
	assert_says("both superblocks have sequence number 7");
	/* adopting was cut between the copies: same format, another UUID */
	sb.sequence++;
	sb.sidecar_uuid[0] ^= 1;
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), 0);
	assert_int_equal(pick.copy, 1);
	sb.page_seed++;
	encoded(&sb, 1, &d1);
	assert_int_equal(vaio_sc_pick(&d0, &d1, &pick, WHY), -EIO);
	assert_says("5c5c5c5c-5c5c-5c5c-5c5c-5c5c5c5c5c5c and 5d5c5c5c-5c5c-5c5c-5c5c-5c5c5c5c5c5c");
}

/* --- versions ---------------------------------------------------------------------- */

static void test_newer_versions(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d, again;

	(void)state;
	make_super(&sb);
	encoded(&sb, 0, &d)->version = htole32(2);
	reseal(&d);
	assert_int_equal(vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY), -EPROTONOSUPPORT);
	assert_says("version 2");

	encoded(&sb, 0, &d)->incompat = htole64(1ULL << 63);
	reseal(&d);
	assert_int_equal(vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY), -EPROTONOSUPPORT);
	assert_says("0x8000000000000000");

	/* a compatible feature's bytes and regions are kept */
	encoded(&sb, 0, &d)->compat = htole64(4);
	d.tail[100] = 0x77;
	d.regions[4] = d.regions[3];
	d.regions[4].type = htole32(4711);
	d.regions[4].offset = htole64(sb.sidecar_bytes);
	d.sidecar_bytes = htole64(sb.sidecar_bytes + le64toh(d.regions[4].length));
	reseal(&d);
	assert_int_equal(vaio_sc_decode(&d, 0, TIB, &back, WHY), 0);
	vaio_sc_encode(&back, 0, &again);
	assert_memory_equal(&d, &again, sizeof(d));

	/* without the feature's bit they are an error */
	d.compat = 0;
	reseal(&d);
	assert_int_equal(vaio_sc_decode(&d, 0, TIB, &back, WHY), -EIO);
	assert_says("tail");
}

/* --- hostile values ------------------------------------------------------------------ */

#define SET32(field, value)	d->field = htole32(value)
#define SET64(field, value)	d->field = htole64(value)

static void h_seq0(struct vaio_sc_disk_super *d) { SET64(sequence, 0); }
static void h_seq_end(struct vaio_sc_disk_super *d) { SET64(sequence, ~0ULL); }
static void h_disk_nil(struct vaio_sc_disk_super *d) { memset(d->disk_uuid, 0, 16); }
static void h_uuid_nil(struct vaio_sc_disk_super *d) { memset(d->sidecar_uuid, 0, 16); }
static void h_block0(struct vaio_sc_disk_super *d) { SET32(block_size, 0); }
static void h_block(struct vaio_sc_disk_super *d) { SET32(block_size, 1U << 31); }
static void h_backing0(struct vaio_sc_disk_super *d) { SET64(backing_bytes, 0); }
static void h_backing(struct vaio_sc_disk_super *d) { SET64(backing_bytes, ~0ULL << 9); }
static void h_disk_big(struct vaio_sc_disk_super *d) { SET64(disk_bytes, TIB + 512); }
static void h_disk_odd(struct vaio_sc_disk_super *d) { SET64(disk_bytes, 513); }
static void h_kind(struct vaio_sc_disk_super *d) { SET32(identity_kind, 9); }
static void h_id_empty(struct vaio_sc_disk_super *d) { memset(d->identity, 0, 128); }
static void h_id_long(struct vaio_sc_disk_super *d) { memset(d->identity, 'x', 128); }
static void h_id_ctrl(struct vaio_sc_disk_super *d) { d->identity[2] = 27; }
static void h_id_blank(struct vaio_sc_disk_super *d) { d->identity[2] = ' '; }
static void h_id_8bit(struct vaio_sc_disk_super *d) { d->identity[2] = 0xff; }
static void h_id_tail(struct vaio_sc_disk_super *d) { d->identity[127] = 0; d->identity[126] = 1; }
static void h_state0(struct vaio_sc_disk_super *d) { SET32(state, 0); }
static void h_state(struct vaio_sc_disk_super *d) { SET32(state, 4); }
static void h_no_owner(struct vaio_sc_disk_super *d) { SET32(state, VAIO_SC_ACTIVE); }
static void h_flags(struct vaio_sc_disk_super *d) { SET32(flags, 0x10); }
static void h_no_gen(struct vaio_sc_disk_super *d) { memset(&d->current_gen, 0, 24); }
static void h_alone(struct vaio_sc_disk_super *d) { SET32(flags, VAIO_SC_F_ALONE); }
static void h_alone_gen(struct vaio_sc_disk_super *d) { d->alone_gen.id[0] = 1; }
static void h_alone_counter(struct vaio_sc_disk_super *d) { d->alone_gen.counter = 1; }
static void h_cache(struct vaio_sc_disk_super *d) { SET32(flags, VAIO_SC_F_CACHE_DIRTY); }
static void h_cache_id(struct vaio_sc_disk_super *d) { d->cache_uuid[0] = 1; }
static void h_cache_gen(struct vaio_sc_disk_super *d) { d->cache_generation = 1; }
static void h_size_odd(struct vaio_sc_disk_super *d) { SET64(sidecar_bytes, le64toh(d->sidecar_bytes) + 512); }
static void h_size_small(struct vaio_sc_disk_super *d) { SET64(sidecar_bytes, 4096); }
static void h_size_big(struct vaio_sc_disk_super *d) { SET64(sidecar_bytes, le64toh(d->sidecar_bytes) + 4096); }
static void h_size_end(struct vaio_sc_disk_super *d) { SET64(sidecar_bytes, ~0ULL << 12); }
static void h_reserved(struct vaio_sc_disk_super *d) { d->reserved[95] = 1; }
static void h_tail(struct vaio_sc_disk_super *d) { d->tail[3067] = 1; }
static void h_r_reserved(struct vaio_sc_disk_super *d) { d->regions[1].reserved = 1; }
static void h_r_unused(struct vaio_sc_disk_super *d) { d->regions[15].offset = 1; }
static void h_r_hole(struct vaio_sc_disk_super *d) { memset(&d->regions[2], 0, 32); }
static void h_r_twice(struct vaio_sc_disk_super *d) { SET32(regions[1].type, VAIO_SC_R_BITMAP); }
static void h_r_missing(struct vaio_sc_disk_super *d) { memset(&d->regions[2], 0, 64); }
static void h_r_zero(struct vaio_sc_disk_super *d) { SET64(regions[1].length, 0); }
static void h_r_offset(struct vaio_sc_disk_super *d) { SET64(regions[1].offset, le64toh(d->regions[1].offset) + 512); }
static void h_r_length(struct vaio_sc_disk_super *d) { SET64(regions[1].length, 4097); }
static void h_r_super(struct vaio_sc_disk_super *d) { SET64(regions[0].offset, 4096); }
static void h_r_copy1(struct vaio_sc_disk_super *d) { SET64(regions[0].offset, VAIO_SC_COPY1); }
static void h_r_overlap(struct vaio_sc_disk_super *d) { SET64(regions[1].offset, le64toh(d->regions[0].offset) + 4096); }
static void h_r_same(struct vaio_sc_disk_super *d) { d->regions[2].offset = d->regions[1].offset; }
static void h_r_beyond(struct vaio_sc_disk_super *d) { SET64(regions[1].offset, TIB); }
static void h_r_overflow(struct vaio_sc_disk_super *d) { SET64(regions[1].offset, ~0ULL << 12); }
static void h_r_huge(struct vaio_sc_disk_super *d) { SET64(regions[1].length, ~0ULL << 12); }
static void h_r_maps0(struct vaio_sc_disk_super *d) { SET32(regions[3].maps, 0); }
static void h_r_maps(struct vaio_sc_disk_super *d) { SET32(regions[3].maps, 65); }
static void h_r_maps_odd(struct vaio_sc_disk_super *d) { SET32(regions[3].maps, 3); SET64(regions[3].length, 4096 * 4); }
static void h_r_two_maps(struct vaio_sc_disk_super *d) { SET32(regions[0].maps, 2); SET64(regions[0].length, 4096 * 8258); }
static void h_r_shift(struct vaio_sc_disk_super *d) { SET32(regions[0].unit_shift, 64); }
static void h_r_shift2(struct vaio_sc_disk_super *d) { SET32(regions[0].unit_shift, 17); }
static void h_r_small(struct vaio_sc_disk_super *d) { SET64(regions[0].length, 4096); }
static void h_r_type(struct vaio_sc_disk_super *d) { SET32(regions[0].type, 77); }

static const struct hostile {
	const char *name;
	void (*change)(struct vaio_sc_disk_super *d);
	const char *says;
} hostile[] = {
	{ "sequence 0", h_seq0, "impossible sequence number 0" },
	{ "sequence at its end", h_seq_end, "impossible sequence number" },
	{ "no disk uuid", h_disk_nil, "without a UUID" },
	{ "no sidecar uuid", h_uuid_nil, "without a UUID" },
	{ "block size 0", h_block0, "blocks of 0 bytes" },
	{ "block size 2 GiB", h_block, "blocks of 2147483648 bytes" },
	{ "no backing size", h_backing0, "backing device of 0 bytes" },
	{ "backing size overflows", h_backing, "backing device of 18446744073709551104 bytes" },
	{ "disk larger than its device", h_disk_big, "disk of 1099511628288 bytes on a backing device of 1099511627776" },
	{ "disk not in blocks", h_disk_odd, "disk of 513 bytes" },
	{ "identity kind", h_kind, "unknown kind 9" },
	{ "identity empty", h_id_empty, "empty" },
	{ "identity without end", h_id_long, "not terminated" },
	{ "identity with escape", h_id_ctrl, "byte 0x1b" },
	{ "identity with blank", h_id_blank, "byte 0x20" },
	{ "identity not ASCII", h_id_8bit, "byte 0xff" },
	{ "identity with bytes after its end", h_id_tail, "padded" },
	{ "state 0", h_state0, "unknown state 0" },
	{ "state 4", h_state, "unknown state 4" },
	{ "active without owner", h_no_owner, "without an owner" },
	{ "unknown flag", h_flags, "unknown flags 0x10" },
	{ "no generation", h_no_gen, "no current generation" },
	{ "alone without generation", h_alone, "'alone'" },
	{ "generation without alone", h_alone_gen, "'alone'" },
	{ "counter without alone", h_alone_counter, "'alone'" },
	{ "dirty without cache", h_cache, "'cache-dirty'" },
	{ "cache without dirty", h_cache_id, "'cache-dirty'" },
	{ "cache generation without dirty", h_cache_gen, "'cache-dirty'" },
	{ "size not in pages", h_size_odd, "impossible size" },
	{ "size too small", h_size_small, "impossible size of 4096" },
	{ "size beyond the device", h_size_big, "are there" },
	{ "size overflows", h_size_end, "impossible size" },
	{ "reserved bytes", h_reserved, "reserved part" },
	{ "tail bytes", h_tail, "reserved tail" },
	{ "region's reserved bytes", h_r_reserved, "region 1 has reserved" },
	{ "unused region not zero", h_r_unused, "hole at entry 4" },
	{ "hole in the table", h_r_hole, "hole at entry 2" },
	{ "region twice", h_r_twice, "both 'bitmap'" },
	{ "region missing", h_r_missing, "no region 'cache_marks'" },
	{ "region empty", h_r_zero, "region 1 (intent) is empty" },
	{ "region misaligned", h_r_offset, "whole pages" },
	{ "region length misaligned", h_r_length, "whole pages" },
	{ "region over superblock 0", h_r_super, "overlaps the superblocks" },
	{ "region over superblock 1", h_r_copy1, "overlaps the superblocks" },
	{ "regions overlap", h_r_overlap, "regions 0 (bitmap) and 1 (intent) overlap" },
	{ "regions at one place", h_r_same, "regions 1 (intent) and 2 (cache_marks) overlap" },
	{ "region beyond the end", h_r_beyond, "ends beyond the sidecar" },
	{ "region's end overflows", h_r_overflow, "ends beyond the sidecar" },
	{ "region huge", h_r_huge, "impossibly large" },
	{ "no maps", h_r_maps0, "has 0 maps" },
	{ "too many maps", h_r_maps, "has 65 maps" },
	{ "maps do not divide", h_r_maps_odd, "whole pages" },
	{ "two bitmaps", h_r_two_maps, "has 2 maps" },
	{ "shift overflows", h_r_shift, "2^64" },
	{ "wrong unit", h_r_shift2, "2^17" },
	{ "bitmap too small for the disk", h_r_small, "too small for the disk" },
	{ "bitmap of unknown type", h_r_type, "no region 'bitmap'" },
};

static void test_hostile(void **state)
{
	struct vaio_sc_super sb, back;
	struct vaio_sc_disk_super d;

	(void)state;
	make_super(&sb);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		encoded(&sb, 0, &d);
		hostile[i].change(&d);
		reseal(&d);
		if (vaio_sc_decode(&d, 0, sb.sidecar_bytes, &back, WHY) != -EIO)
			fail_msg("%s: accepted", hostile[i].name);
		assert_says(hostile[i].says);
	}
}

/* --- layout and growth ------------------------------------------------------------------ */

static void test_layout(void **state)
{
	static const u64 sizes[] = { 512, 65536, 4 << 20, GIB, 100 * GIB, 64 * TIB, 1024 * TIB };
	struct vaio_sc_super sb;

	(void)state;
	make_super(&sb);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sb.backing_bytes = sizes[i];
		sb.disk_bytes = sizes[i];
		assert_int_equal(vaio_sc_layout(&sb, 16, 4, WHY), 0);
		assert_int_equal(vaio_sc_check(&sb, sb.sidecar_bytes, WHY), 0);
		assert_true(vaio_sc_capacity(&sb) >= 16 * sizes[i]);
		/* the last byte of a disk 16 times as large has its bit */
		assert_int_equal(vaio_sc_check_grow(&sb, 16 * sizes[i], WHY), 0);
	}
	/* 1 TiB times 16: 8,257 pages of bitmap, and no page is wasted */
	sb.backing_bytes = TIB;
	assert_int_equal(vaio_sc_layout(&sb, 16, 0, WHY), 0);
	assert_int_equal(sb.nr_regions, 3);
	assert_int_equal(vaio_sc_map_pages(vaio_sc_find(&sb, VAIO_SC_R_BITMAP)), 8257);

	assert_int_equal(vaio_sc_layout(&sb, 0, 0, WHY), -ERANGE);
	assert_int_equal(vaio_sc_layout(&sb, ~0U, 0, WHY), -ERANGE);
	assert_int_equal(vaio_sc_layout(&sb, 1, 65, WHY), -ERANGE);
}

static void test_grow(void **state)
{
	struct vaio_sc_super sb;
	u64 capacity;

	(void)state;
	make_super(&sb);
	capacity = vaio_sc_capacity(&sb);
	assert_int_equal(vaio_sc_check_grow(&sb, capacity, WHY), 0);
	assert_int_equal(vaio_sc_check_grow(&sb, capacity + 512, WHY), -ENOSPC);
	assert_says("has room for a disk of");
	assert_int_equal(vaio_sc_check_grow(&sb, sb.disk_bytes - 512, WHY), -EINVAL);
	assert_says("does not shrink");
	assert_int_equal(vaio_sc_check_grow(&sb, sb.disk_bytes + 1, WHY), -EINVAL);
	assert_says("whole blocks");
}

static void test_page_offset(void **state)
{
	struct vaio_sc_super sb;
	const struct vaio_sc_region *r;
	u64 pages;

	(void)state;
	make_super(&sb);
	r = vaio_sc_find(&sb, VAIO_SC_R_CHANGE_EPOCHS);
	pages = vaio_sc_map_pages(r);
	assert_int_equal(vaio_sc_page_offset(r, 0, 0), r->offset);
	assert_int_equal(vaio_sc_page_offset(r, 3, pages - 1), r->offset + r->length - VAIO_SC_PAGE);
	assert_int_equal(vaio_sc_page_offset(r, 0, pages), 0);
	assert_int_equal(vaio_sc_page_offset(r, 4, 0), 0);
	assert_int_equal(vaio_sc_page_offset(r, 0, ~0ULL), 0);
}

/* --- the right one, and whose ---------------------------------------------------------------- */

static void test_match(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_expect e = { .identity = "lv:vg0/disk1", .backing_bytes = TIB,
				    .disk_bytes = TIB - GIB, .block_size = 512 };

	(void)state;
	make_super(&sb);
	memcpy(e.disk_uuid, sb.disk_uuid, VAIO_SC_ID_LEN);
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), 0);

	e.disk_uuid[0]++;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EMEDIUMTYPE);
	assert_string_equal(reason, "belongs to disk UUID d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1, not d2d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
	e.disk_uuid[0]--;

	e.identity = "lv:vg0/disk2";
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EMEDIUMTYPE);
	assert_string_equal(reason, "backing device is 'lv:vg0/disk2' but the sidecar was made for 'lv:vg0/disk1'; `vaioctl sidecar adopt` mends it");
	e.identity = "wwn:vg0/disk1";
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EMEDIUMTYPE);
	e.identity = NULL;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), 0);

	e.backing_bytes = TIB - 512;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EMEDIUMTYPE);
	assert_says("the sidecar was made for 1099511627776");
	e.backing_bytes = 0;
	e.block_size = 4096;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EMEDIUMTYPE);
	assert_says("blocks of 4096 bytes");
	/* loop devices over one file may have either */
	sb.identity_kind = VAIO_SC_ID_FILE;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), 0);
	sb.identity_kind = VAIO_SC_ID_LV;
	e.block_size = 0;
	e.disk_bytes = 17 * TIB;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -ENOSPC);
	e.disk_bytes = GIB;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), -EINVAL);
	e.disk_bytes = 0;
	assert_int_equal(vaio_sc_match(&sb, &e, WHY), 0);
}

static void test_ownership(void **state)
{
	struct vaio_sc_host a = { 0 }, b = { 0 }, nobody = { 0 };
	struct vaio_sc_super sb, before;
	bool unclean;

	(void)state;
	make_super(&sb);
	memcpy(a.host, host_a, VAIO_SC_ID_LEN);
	memcpy(b.host, host_b, VAIO_SC_ID_LEN);
	assert_int_equal(vaio_sc_own(&sb, &nobody, VAIO_SC_OWN_NORMAL, 5, &unclean, WHY), -EINVAL);
	assert_int_equal(vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 1700000000, &unclean, WHY), 0);
	assert_false(unclean);
	assert_int_equal(sb.state, VAIO_SC_ACTIVE);
	assert_int_equal(sb.data_epoch, 1);

	/* another host: refused by name, and nothing changes */
	before = sb;
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_NORMAL, 6, &unclean, WHY), -EBUSY);
	assert_string_equal(reason, "owned by host aa010000-0000-0000-0000-000000000000 since 2023-11-14T22:13:20Z, state active");
	assert_memory_equal(&sb, &before, sizeof(sb));

	/* the same host after a crash */
	assert_int_equal(vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 7, &unclean, WHY), 0);
	assert_true(unclean);

	/* a takeover after the other host died */
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_TAKEOVER, 8, &unclean, WHY), 0);
	assert_true(unclean);
	assert_memory_equal(sb.owner_host, host_b, VAIO_SC_ID_LEN);
	vaio_sc_release(&sb);
	assert_int_equal(vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 9, &unclean, WHY), 0);
	assert_false(unclean);
	assert_int_equal(sb.data_epoch, 4);
}

static void test_dirty_cache(void **state)
{
	struct vaio_sc_host a = { 0 }, b = { 0 };
	struct vaio_sc_super sb, before;
	bool unclean;

	(void)state;
	make_super(&sb);
	memcpy(a.host, host_a, VAIO_SC_ID_LEN);
	memcpy(b.host, host_b, VAIO_SC_ID_LEN);
	vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 1, &unclean, WHY);
	sb.flags |= VAIO_SC_F_CACHE_DIRTY;
	sb.cache_uuid[0] = 0xca;
	sb.cache_generation = 5;
	assert_int_equal(vaio_sc_promise(&sb, host_b, 2, WHY), -EBUSY);
	/* stopped in good order, but the blocks are on that host */
	vaio_sc_release(&sb);
	before = sb;
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_NORMAL, 2, &unclean, WHY), -EBUSY);
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_TAKEOVER, 2, &unclean, WHY), -EBUSY);
	assert_says("cache ca000000-0000-0000-0000-000000000000, generation 5; only `--lose-dirty-blocks`");
	assert_memory_equal(&sb, &before, sizeof(sb));
	/* its own host has them */
	assert_int_equal(vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 2, &unclean, WHY), 0);
	assert_int_equal(sb.flags, VAIO_SC_F_CACHE_DIRTY);
	/* given up: the disk counts as damaged, for good */
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_LOSE_DIRTY, 3, &unclean, WHY), 0);
	assert_int_equal(sb.flags, VAIO_SC_F_SOURCE_DAMAGED | VAIO_SC_F_MUST_COMPARE);
	assert_int_equal(vaio_sc_check(&sb, sb.sidecar_bytes, WHY), 0);
}

static void test_standby(void **state)
{
	struct vaio_sc_host a = { 0 }, b = { 0 };
	struct vaio_sc_super sb;
	bool unclean;

	(void)state;
	make_super(&sb);
	memcpy(a.host, host_a, VAIO_SC_ID_LEN);
	memcpy(b.host, host_b, VAIO_SC_ID_LEN);
	vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 1, &unclean, WHY);
	assert_int_equal(vaio_sc_promise(&sb, host_b, 2, WHY), 0);
	assert_int_equal(vaio_sc_check(&sb, sb.sidecar_bytes, WHY), 0);
	assert_int_equal(vaio_sc_own(&sb, &a, VAIO_SC_OWN_NORMAL, 3, &unclean, WHY), -EBUSY);
	assert_says("state standby");
	assert_int_equal(vaio_sc_own(&sb, &b, VAIO_SC_OWN_NORMAL, 3, &unclean, WHY), 0);
	assert_false(unclean);
}

/* --- pages --------------------------------------------------------------------------------- */

static void test_pages(void **state)
{
	struct vaio_sc_disk_page p, old;
	u8 *raw = (u8 *)&p;

	(void)state;
	vaio_sc_page_init(&p, false);
	vaio_sc_page_seal(&p, 42, VAIO_SC_R_BITMAP, 0, 9);
	assert_int_equal(le64toh(p.sequence), 1);
	assert_int_equal(vaio_sc_page_check(&p, 42, VAIO_SC_R_BITMAP, 0, 9), 0);
	assert_int_equal(vaio_sc_page_check(&p, 43, VAIO_SC_R_BITMAP, 0, 9), -EBADMSG);
	assert_int_equal(vaio_sc_page_check(&p, 42, VAIO_SC_R_INTENT, 0, 9), -EBADMSG);
	assert_int_equal(vaio_sc_page_check(&p, 42, VAIO_SC_R_BITMAP, 1, 9), -EBADMSG);
	assert_int_equal(vaio_sc_page_check(&p, 42, VAIO_SC_R_BITMAP, 0, 8), -EBADMSG);
	for (size_t bit = 0; bit < 8 * sizeof(p); bit++) {
		raw[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(vaio_sc_page_check(&p, 42, VAIO_SC_R_BITMAP, 0, 9), -EBADMSG);
		raw[bit / 8] ^= 1 << bit % 8;
	}
	/* torn at any sector */
	old = p;
	p.bits[0] = 0xff;
	p.bits[sizeof(p.bits) - 1] = 0xff;
	vaio_sc_page_seal(&p, 42, VAIO_SC_R_BITMAP, 0, 9);
	assert_int_equal(le64toh(p.sequence), 2);
	for (size_t cut = 512; cut < sizeof(p); cut += 512) {
		struct vaio_sc_disk_page torn = old;

		memcpy(&torn, &p, cut);
		assert_int_equal(vaio_sc_page_check(&torn, 42, VAIO_SC_R_BITMAP, 0, 9), -EBADMSG);
	}
	/* never written, or wiped: not a page without bits */
	memset(&p, 0, sizeof(p));
	assert_int_equal(vaio_sc_page_check(&p, 0, VAIO_SC_R_NONE, 0, 0), -EBADMSG);
	vaio_sc_page_init(&p, true);
	assert_int_equal(p.bits[0] & p.bits[sizeof(p.bits) - 1], 0xff);
}

/* --- words ---------------------------------------------------------------------------------- */

static void test_identity(void **state)
{
	char identity[VAIO_SC_IDENTITY_LEN], text[VAIO_SC_IDENTITY_TEXT], longest[200];
	struct vaio_sc_super sb;
	u32 kind;

	(void)state;
	make_super(&sb);
	assert_int_equal(vaio_sc_identity_parse("wwn:naa.5000c500a1b2c3d4", &sb.identity_kind, sb.identity, WHY), 0);
	assert_int_equal(sb.identity_kind, VAIO_SC_ID_WWN);
	vaio_sc_identity_text(&sb, text);
	assert_string_equal(text, "wwn:naa.5000c500a1b2c3d4");
	assert_int_equal(vaio_sc_identity_parse("naa.5000", &kind, identity, WHY), -EINVAL);
	assert_says("'naa.5000' does not begin with one of wwn:, lv:, file:, other:");
	assert_int_equal(vaio_sc_identity_parse("w:x", &kind, identity, WHY), -EINVAL);
	assert_int_equal(vaio_sc_identity_parse(":x", &kind, identity, WHY), -EINVAL);
	assert_int_equal(vaio_sc_identity_parse("lv:", &kind, identity, WHY), -EINVAL);
	assert_int_equal(vaio_sc_identity_parse("lv:a b", &kind, identity, WHY), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "file:", 5);
	longest[5 + 128] = '\0';
	assert_int_equal(vaio_sc_identity_parse(longest, &kind, identity, WHY), -EINVAL);
	longest[5 + 127] = '\0';
	assert_int_equal(vaio_sc_identity_parse(longest, &sb.identity_kind, sb.identity, WHY), 0);
	vaio_sc_identity_text(&sb, text);
	assert_string_equal(text, longest);
	assert_int_equal(vaio_sc_check(&sb, sb.sidecar_bytes, WHY), 0);
}

static void test_time(void **state)
{
	char text[VAIO_SC_TIME_TEXT];

	(void)state;
	vaio_sc_time_text(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	vaio_sc_time_text(1709164799, text);
	assert_string_equal(text, "2024-02-28T23:59:59Z");
	vaio_sc_time_text(253402300799ULL, text);
	assert_string_equal(text, "9999-12-31T23:59:59Z");
	vaio_sc_time_text(~0ULL, text);
	assert_string_equal(text, "@18446744073709551615");
}

/* --- sidecars in files ------------------------------------------------------------------------ */

static struct fixture {
	char dir[64], image[96], path[96];
	struct vaio_backing backing;
	struct vaio_sidecar_params params;
	struct vaio_scfile file;
	struct vaio_sc_super sb;
	struct vaio_err e;
} fx;

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	fx.file.fd = -1;
	strcpy(fx.dir, "/tmp/sidecar_test.XXXXXX");
	if (!mkdtemp(fx.dir))
		return -1;
	snprintf(fx.image, sizeof(fx.image), "%s/disk.img", fx.dir);
	snprintf(fx.path, sizeof(fx.path), "%s/disk.img.vaio", fx.dir);
	close(open(fx.image, O_CREAT | O_WRONLY, 0600));
	if (truncate(fx.image, GIB))
		return -1;
	fx.params.backing = &fx.backing;
	fx.params.grow = 16;
	memset(fx.params.disk_uuid, 0xd1, VAIO_SC_ID_LEN);
	return vaio_backing_describe(fx.image, &fx.backing, &fx.e);
}

static int teardown(void **state)
{
	(void)state;
	vaio_scfile_close(&fx.file);
	unlink(fx.path);
	unlink(fx.image);
	return rmdir(fx.dir);
}

static void format_one(void)
{
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, VAIO_SCFILE_CREATE, &fx.e), VAIO_OK);
	if (vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e))
		fail_msg("%s", fx.e.text);
}

static void reopen(enum vaio_scfile_mode mode)
{
	vaio_scfile_close(&fx.file);
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, mode, &fx.e), VAIO_OK);
}

static void scribble(off_t where, const void *bytes, size_t n)
{
	int fd = open(fx.path, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, n, where), n);
	close(fd);
}

static void assert_error(const char *words)
{
	if (!strstr(fx.e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", fx.e.text, words);
}

static void test_file_format(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_pick pick;
	struct vaio_sc_census c;
	struct stat st;

	(void)state;
	format_one();
	reopen(VAIO_SCFILE_READ);
	assert_int_equal(vaio_scfile_load(&fx.file, &sb, &pick, &fx.e), VAIO_OK);
	assert_int_equal(pick.bad, 0);
	assert_int_equal(sb.backing_bytes, GIB);
	assert_int_equal(sb.state, VAIO_SC_CLEAN);
	assert_int_equal(sb.identity_kind, VAIO_SC_ID_FILE);
	assert_int_equal(stat(fx.path, &st), 0);
	assert_int_equal(st.st_size, sb.sidecar_bytes);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (u32 i = 0; i < sb.nr_regions; i++) {
		assert_int_equal(vaio_scfile_census(&fx.file, &sb, &sb.regions[i], &c, &fx.e), VAIO_OK);
		assert_int_equal(c.pages, vaio_sc_map_pages(&sb.regions[i]));
		assert_int_equal(c.bad, 0);
		assert_int_equal(c.bits, 0);
	}
}

static void test_file_force(void **state)
{
	u8 uuid[VAIO_SC_ID_LEN];

	(void)state;
	format_one();
	memcpy(uuid, fx.sb.sidecar_uuid, VAIO_SC_ID_LEN);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_REFUSED);
	assert_error("is one already, of disk d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1; --force");
	assert_int_equal(vaio_scfile_load(&fx.file, &fx.sb, NULL, &fx.e), VAIO_OK);
	assert_memory_equal(uuid, fx.sb.sidecar_uuid, VAIO_SC_ID_LEN);
	/* damaged ones are not overwritten either */
	scribble(100, "x", 1);
	scribble(VAIO_SC_COPY1 + 100, "x", 1);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_REFUSED);
	assert_error("--force");
	fx.params.force = true;
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_OK);
	assert_memory_not_equal(uuid, fx.sb.sidecar_uuid, VAIO_SC_ID_LEN);
}

static void test_file_not_empty(void **state)
{
	(void)state;
	close(open(fx.path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(truncate(fx.path, 1 << 20), 0);
	scribble(70000, "precious", 8);
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, VAIO_SCFILE_CREATE, &fx.e), VAIO_OK);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_REFUSED);
	assert_error("is not empty (data at byte 70000); --force");
	assert_int_equal(access(fx.path, F_OK), 0);
}

static void test_file_itself(void **state)
{
	(void)state;
	assert_int_equal(vaio_scfile_open(&fx.file, fx.image, VAIO_SCFILE_CREATE, &fx.e), VAIO_OK);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_USAGE);
	assert_error("is the backing device itself");
}

static void test_file_leaves_nothing(void **state)
{
	(void)state;
	fx.params.grow = ~0U;
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, VAIO_SCFILE_CREATE, &fx.e), VAIO_OK);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_FAILED);
	assert_error("its filesystem has");
	assert_int_not_equal(access(fx.path, F_OK), 0);
	vaio_scfile_close(&fx.file);
	fx.backing.bytes = 1ULL << 62;
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, VAIO_SCFILE_CREATE, &fx.e), VAIO_OK);
	assert_int_equal(vaio_scfile_format(&fx.file, &fx.params, &fx.sb, &fx.e), VAIO_USAGE);
	assert_error("more than a sidecar can describe");
	assert_int_not_equal(access(fx.path, F_OK), 0);
	vaio_scfile_close(&fx.file);
	assert_int_equal(vaio_scfile_open(&fx.file, fx.path, VAIO_SCFILE_LOOK, &fx.e), VAIO_NOTFOUND);
	assert_int_equal(vaio_scfile_open(&fx.file, "/dev/no-such-device", VAIO_SCFILE_CREATE, &fx.e), VAIO_NOTFOUND);
}

static void test_file_in_use(void **state)
{
	struct vaio_scfile second;

	(void)state;
	format_one();
	assert_int_equal(vaio_scfile_open(&second, fx.path, VAIO_SCFILE_WRITE, &fx.e), VAIO_INUSE);
	assert_error("in use");
	assert_int_equal(vaio_scfile_open(&second, fx.path, VAIO_SCFILE_LOOK, &fx.e), VAIO_OK);
	vaio_scfile_close(&second);
}

static void test_file_store(void **state)
{
	struct vaio_sc_super sb;
	struct vaio_sc_pick pick, after;

	(void)state;
	format_one();
	vaio_scfile_load(&fx.file, &sb, &pick, &fx.e);
	sb.flags = VAIO_SC_F_MUST_COMPARE;
	assert_int_equal(vaio_scfile_store(&fx.file, &sb, pick.copy, &fx.e), VAIO_OK);
	/* both copies know it: either one may go bad later */
	for (int copy = 0; copy < VAIO_SC_COPIES; copy++) {
		assert_int_equal(vaio_scfile_load_copy(&fx.file, copy, &sb, &fx.e), VAIO_OK);
		assert_int_equal(sb.flags, VAIO_SC_F_MUST_COMPARE);
	}
	/* a change mends a copy that went bad, and writes it first */
	scribble(0, "garbage", 7);
	assert_int_equal(vaio_scfile_load(&fx.file, &sb, &pick, &fx.e), VAIO_OK);
	assert_int_equal(pick.bad, 1);
	assert_int_equal(vaio_scfile_store(&fx.file, &sb, pick.copy, &fx.e), VAIO_OK);
	assert_int_equal(vaio_scfile_load(&fx.file, &sb, &after, &fx.e), VAIO_OK);
	assert_int_equal(after.bad, 0);
}

static void test_file_census(void **state)
{
	const struct vaio_sc_region *r;
	struct vaio_sc_census c;
	static u8 page[VAIO_SC_PAGE] __attribute__((aligned(VAIO_SC_PAGE)));
	struct vaio_sc_disk_page *p = (void *)page;

	(void)state;
	format_one();
	r = vaio_sc_find(&fx.sb, VAIO_SC_R_BITMAP);
	assert_true(vaio_sc_map_pages(r) > 2);
	vaio_sc_page_init(page, false);
	p->bits[5] = 0x81;
	vaio_sc_page_seal(page, fx.sb.page_seed, r->type, 0, 1);
	scribble(vaio_sc_page_offset(r, 0, 1), page, sizeof(page));
	/* torn, and a good page at the wrong place */
	scribble(vaio_sc_page_offset(r, 0, 0) + 512, "torn", 4);
	scribble(vaio_sc_page_offset(r, 0, 2), page, sizeof(page));
	assert_int_equal(vaio_scfile_census(&fx.file, &fx.sb, r, &c, &fx.e), VAIO_OK);
	assert_int_equal(c.bad, 2);
	assert_int_equal(c.bits, 2);
}

static void test_adopt(void **state)
{
	struct vaio_sidecar_adoption a = { .backing = &fx.backing, .me = host_a };
	struct vaio_sc_super sb;
	u8 other[VAIO_SC_ID_LEN];

	(void)state;
	memset(other, 0xd2, sizeof(other));
	make_super(&sb);
	sb.disk_bytes = 0;
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_OK);
	assert_int_equal(sb.identity_kind, VAIO_SC_ID_FILE);
	assert_int_equal(sb.backing_bytes, GIB);
	assert_int_equal(sb.sidecar_uuid[0] == 0x5c && sb.sidecar_uuid[1] == 0x5c, 0);
	assert_true(sb.flags & VAIO_SC_F_MUST_COMPARE);
	assert_int_equal(vaio_sc_check(&sb, TIB, WHY), 0);

	/* in use by another host */
	make_super(&sb);
	sb.disk_bytes = 0;
	sb.state = VAIO_SC_ACTIVE;
	memcpy(sb.owner_host, host_b, VAIO_SC_ID_LEN);
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_REFUSED);
	assert_error("--force");
	a.force = true;
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_OK);
	assert_memory_equal(sb.owner_host, host_a, VAIO_SC_ID_LEN);
	assert_int_equal(sb.state, VAIO_SC_ACTIVE);
	a.force = false;

	/* smaller than the disk was */
	make_super(&sb);
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_REFUSED);
	assert_error("the disk had 1098437885952; --force");

	/* dirty blocks on another host; force is not enough */
	make_super(&sb);
	sb.disk_bytes = 0;
	memcpy(sb.owner_host, host_b, VAIO_SC_ID_LEN);
	sb.flags = VAIO_SC_F_CACHE_DIRTY;
	sb.cache_uuid[0] = 1;
	a.force = true;
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_REFUSED);
	assert_error("--lose-dirty-blocks");
	a.lose_dirty = true;
	a.disk_uuid = other;
	assert_int_equal(vaio_sidecar_adopt(&sb, &a, &fx.e), VAIO_OK);
	assert_int_equal(sb.flags, VAIO_SC_F_MUST_COMPARE | VAIO_SC_F_SOURCE_DAMAGED);
	assert_memory_equal(sb.disk_uuid, other, VAIO_SC_ID_LEN);
	assert_int_equal(vaio_sc_check(&sb, TIB, WHY), 0);
}

static void test_id_parse(void **state)
{
	u8 id[VAIO_SC_ID_LEN];
	char text[VAIO_SC_UUID_TEXT];

	(void)state;
	assert_int_equal(vaio_id_parse("01234567-89ab-cdef-0123-456789ABCDEF", id, &fx.e), VAIO_OK);
	vaio_sc_uuid_text(id, text);
	assert_string_equal(text, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(vaio_id_parse("01234567-89ab-cdef-0123-456789abcde", id, &fx.e), VAIO_USAGE);
	assert_int_equal(vaio_id_parse("00000000-0000-0000-0000-000000000000", id, &fx.e), VAIO_USAGE);
}

#define FILE_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_layout_on_disk),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_newest_wins),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_both_bad),
		cmocka_unit_test(test_one_wiped),
		cmocka_unit_test(test_misplaced_copy),
		cmocka_unit_test(test_mixed_sidecars),
		cmocka_unit_test(test_newer_versions),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_page_offset),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_ownership),
		cmocka_unit_test(test_dirty_cache),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_id_parse),
		FILE_TEST(test_file_format),
		FILE_TEST(test_file_force),
		FILE_TEST(test_file_not_empty),
		FILE_TEST(test_file_itself),
		FILE_TEST(test_file_leaves_nothing),
		FILE_TEST(test_file_in_use),
		FILE_TEST(test_file_store),
		FILE_TEST(test_file_census),
		FILE_TEST(test_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
