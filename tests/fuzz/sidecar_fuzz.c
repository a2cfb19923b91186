// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes the sidecar's format: choosing and decoding superblocks, and what the
 * framework does with those it accepts. What is accepted must encode to the same
 * bytes, and no page of its regions may be outside of them.
 *
 * An input is a byte of choices and two superblocks: their first 1,024 bytes
 * (header and region table), or all of them. sidecar_seeds.c makes the corpus.
 */
#include <assert.h>
#include <stdlib.h>

#include "sidecar_format.h"

#define WITH_CRC	1	/* magic and CRC are made right */
#define WHOLE		2	/* blocks of 4,096 bytes */
#define SMALL_DEVICE	4
#define SAME_SEED	8	/* the copies are of one format */

#define HEAD		1024

static char reason[VAIO_SC_REASON];
#define WHY		reason, sizeof(reason)

static void assert_explained(void)
{
	assert(reason[0] && memchr(reason, '\0', sizeof(reason)));
}

static void reseal(struct vaio_sc_disk_super *d)
{
	memcpy(d->magic, VAIO_SC_MAGIC, VAIO_SC_MAGIC_LEN);
	d->crc = htole32(~vaio_sc_crc32c(~0U, d, offsetof(struct vaio_sc_disk_super, crc)));
}

static void check_regions(const struct vaio_sc_super *sb)
{
	for (u32 i = 0; i < sb->nr_regions; i++) {
		const struct vaio_sc_region *r = &sb->regions[i];
		u64 pages = vaio_sc_map_pages(r);
		u64 first = vaio_sc_page_offset(r, 0, 0);
		u64 last = vaio_sc_page_offset(r, r->maps - 1, pages - 1);

		assert(pages && first == r->offset && first >= VAIO_SC_DATA);
		assert(last >= first && last <= sb->sidecar_bytes - VAIO_SC_PAGE);
		assert(!vaio_sc_page_offset(r, r->maps, 0) && !vaio_sc_page_offset(r, 0, pages));
	}
	assert(vaio_sc_capacity(sb) >= sb->disk_bytes);
}

/* What a start, a change and a stop make of it must still be a sidecar. */
static void use(struct vaio_sc_super *sb, u64 device_bytes, u8 choice)
{
	static struct vaio_sc_disk_super d, again;
	static struct vaio_sc_super back;
	struct vaio_sc_host me = { .host = { 1 }, .boot = { 2 } };
	struct vaio_sc_expect expect = { .disk_bytes = sb->disk_bytes, .block_size = sb->block_size };
	char text[VAIO_SC_IDENTITY_TEXT], identity[VAIO_SC_IDENTITY_LEN];
	bool unclean;
	u32 kind;

	vaio_sc_identity_text(sb, text);
	assert(!vaio_sc_identity_parse(text, &kind, identity, WHY));
	assert(kind == sb->identity_kind && !memcmp(identity, sb->identity, sizeof(identity)));
	memcpy(expect.disk_uuid, sb->disk_uuid, VAIO_SC_ID_LEN);
	expect.identity = text;
	assert(!vaio_sc_match(sb, &expect, WHY));

	if (vaio_sc_own(sb, &me, (choice >> 4) % 3, sb->written, &unclean, WHY))
		assert_explained();
	else if (choice & 0x80)
		vaio_sc_release(sb);
	if (sb->sequence < 1ULL << 62)
		sb->sequence++;
	assert(!vaio_sc_check(sb, device_bytes, WHY));
	vaio_sc_encode(sb, 1, &d);
	assert(!vaio_sc_decode(&d, 1, device_bytes, &back, WHY));
	vaio_sc_encode(&back, 1, &again);
	assert(!memcmp(&d, &again, sizeof(d)));
}

/*
 * Half of the time sets an aligned word of the header or region table to a
 * value that is likely to be at an edge, which blind changes seldom hit.
 */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	const u64 edges[] = { 0, 1, VAIO_SC_PAGE, 1 << 16, VAIO_SC_COPY1, VAIO_SC_DATA, 2 << 20, 1ULL << 40,
			      1ULL << 63, ~0ULL, ~0ULL << 12, (1ULL << 63) - VAIO_SC_PAGE };
	size_t each = size && data[0] & WHOLE ? VAIO_SC_PAGE : HEAD;
	size_t base = 1 + (seed & 2 ? each : 0);
	size_t where = seed & 4 ? (seed >> 8) % 512 : 512 + (seed >> 8) % (5 * sizeof(struct vaio_sc_disk_region));
	u64 value;

	where = base + (where & ~7UL);
	if (seed & 1 || where + 8 > size)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(&value, data + where, 8);
	seed >>= 18;
	value = edges[seed % 12] + (seed & 0x1000 ? le64toh(value) : 0);
	value = htole64(seed & 0x2000 ? -value : value);
	memcpy(data + where, &value, 8);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vaio_sc_disk_super block[VAIO_SC_COPIES], again;
	static struct vaio_sc_super sb;
	struct vaio_sc_pick pick;
	size_t each;
	u64 device_bytes;
	u8 choice;
	char *text;
	u32 kind;
	int err;

	if (!size)
		return 0;
	choice = *data++;
	size--;
	each = choice & WHOLE ? VAIO_SC_PAGE : HEAD;
	device_bytes = choice & SMALL_DEVICE ? 2 << 20 : ~0ULL;
	memset(block, 0, sizeof(block));
	for (int i = 0; i < VAIO_SC_COPIES; i++) {
		size_t n = size < each ? size : each;

		memcpy(&block[i], data, n);
		data += n;
		size -= n;
	}
	if (choice & SAME_SEED)
		block[1].page_seed = block[0].page_seed;
	if (choice & WITH_CRC)
		for (int i = 0; i < VAIO_SC_COPIES; i++)
			reseal(&block[i]);

	reason[0] = '\0';
	err = vaio_sc_pick(&block[0], &block[1], &pick, WHY);
	if (!err)
		err = vaio_sc_decode(&block[pick.copy], pick.copy, device_bytes, &sb, WHY);
	if (err) {
		assert(err == -ENODATA || err == -EIO || err == -EPROTONOSUPPORT);
		assert_explained();
	} else {
		assert(!(pick.bad & 1 << pick.copy));
		vaio_sc_encode(&sb, pick.copy, &again);
		assert(!memcmp(&again, &block[pick.copy], sizeof(again)));
		check_regions(&sb);
		use(&sb, device_bytes, choice);
	}
	/* the same bytes as a page, and as an identity */
	vaio_sc_page_check(&block[0], 0, VAIO_SC_R_BITMAP, 0, 0);
	text = strndup((char *)&block[0], sizeof(block[0]));
	if (text && vaio_sc_identity_parse(text, &kind, (char *)again.identity, WHY))
		assert_explained();
	free(text);
	return 0;
}
