// SPDX-License-Identifier: GPL-2.0
/*
 * Encryption: known answers, whatever way the data takes, and the words of a
 * table. The answers were made with another implementation of AES-XTS (the
 * cryptography package of Python, which is OpenSSL's); the first two are vectors
 * of IEEE 1619 as well.
 */
#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/slab.h>
#include "core.h"
#include "../../kmod/crypt/crypt.h"

/* IEEE 1619, vectors 4 and 10. */
static const u8 key_256[64] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
	0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27,
	0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
	0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92,
};
static const u8 key_128[32] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
	0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
};

#define ANSWER_BYTES	8192

/*
 * struct answer - what becomes of the test's plaintext
 * @ieee: the plaintext of IEEE 1619, 512 bytes; else ANSWER_BYTES of our own
 * @first, @last: big-endian, the first and last eight bytes of the ciphertext
 * @crc: of all of it, as zlib's crc32()
 */
static const struct answer {
	unsigned int	key_size;
	bool		ieee;
	sector_t	sector;
	unsigned int	sector_size;
	u64		iv_offset;
	bool		large;
	u64		first, last;
	u32		crc;
} answers[] = {
	{ 32, true, 0, 512, 0, false,
	  0x27a7479befa1d476, 0xbe421ee5319d0568, 0x2bfdc510 },
	{ 64, true, 0xff, 512, 0, false,
	  0x1c3b3a102f770386, 0xb9c6e693e148c151, 0xff9e4679 },
	{ 64, false, 0x40, 512, 0, false,
	  0x354a53afc6ee970c, 0x894ae8844a28f8c5, 0xb524ab6b },
	{ 64, false, 0x40, 4096, 0, false,
	  0x354a53afc6ee970c, 0xbf9d38acc6acf93e, 0x059ef81d },
	{ 64, false, 0x40, 4096, 0, true,
	  0xfd5b78907a8db1fe, 0xbce41d25934fe75a, 0xe5d94144 },
	{ 64, false, 0x40, 512, 0x3039, false,
	  0x1a05d1e3342e71db, 0x2c94fd3ed03de1dd, 0xe69e090d },
	{ 64, false, 0x40, 4096, 0x1000000000, false,
	  0x73431ace299845b9, 0x5de2e3fda7aa4af4, 0xe888c70d },
	{ 64, false, 0x200000000, 4096, 0x50, true,
	  0x3521aa3b4790d8a2, 0x34eea4935be155e4, 0x43c98985 },
	{ 32, false, 0x40, 512, 0, false,
	  0x334b01d730393a50, 0x91ce5e90767d56d8, 0x8f69e720 },
	{ 32, false, 0x40, 4096, 0, false,
	  0x334b01d730393a50, 0x9ebae02998f940c5, 0x766b50bb },
	{ 32, false, 0x40, 4096, 0, true,
	  0xd00554e53d6fc0fd, 0xf01e0cdac71bdbba, 0xb60d90be },
	{ 32, false, 0x40, 512, 0x3039, false,
	  0xc1cea0fc04d2e7d3, 0xa240d87181f3ec17, 0x3056eed9 },
	{ 32, false, 0x40, 4096, 0x1000000000, false,
	  0x3b777ab7999bb257, 0x993b0d1db2c52225, 0x8fd23ea1 },
	{ 32, false, 0x200000000, 4096, 0x50, true,
	  0xd6776311fb81a1db, 0x523645a793fe69f7, 0x12ef04f0 },
};

/*
 * struct fixture - a slot that was never attached, and an io that nobody sent
 */
struct fixture {
	struct kunit		*test;
	const struct answer	*answer;
	struct crypt_table	table;
	struct crypt_key	key;
	struct crypt_slot	cs;
	struct vaio_slot	slot;
	struct vaio_io		io;
	struct crypt_io		*ci;
	struct page		*plain, *sealed;	/* physically contiguous */
	unsigned int		len;
};

static void free_tfm(void *tfm)
{
	crypto_free_skcipher(tfm);
}

static void free_seals(void *seals)
{
	mempool_destroy(seals);
}

static void free_buffer(void *page)
{
	__free_pages(page, get_order(ANSWER_BYTES));
}

static struct page *new_buffer(struct kunit *test)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP | __GFP_ZERO,
					get_order(ANSWER_BYTES));

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_buffer, page), 0);
	return page;
}

static void fill(struct fixture *f, u8 *data)
{
	unsigned int i;

	for (i = 0; i < f->len; i++)
		data[i] = f->answer->ieee ? i : (i * 7) ^ (i >> 8);
}

static struct fixture *fixture_new(struct kunit *test, const struct answer *a)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	struct crypt_params params = {
		.sector_size = a->sector_size,
		.iv_offset = a->iv_offset,
		.iv_large_sectors = a->large,
	};
	struct crypto_skcipher *tfm;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->test = test;
	f->answer = a;
	f->len = a->ieee ? 512 : ANSWER_BYTES;
	tfm = crypt_tfm_alloc();
	KUNIT_ASSERT_FALSE(test, IS_ERR(tfm));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_tfm, tfm), 0);
	KUNIT_ASSERT_EQ(test, crypt_tfm_setkey(tfm, a->key_size == 64 ? key_256 : key_128,
					       a->key_size), 0);
	crypt_layout_init(&f->table.layout, &params);
	f->table.seals = crypt_seals_new(tfm);
	KUNIT_ASSERT_NOT_NULL(test, f->table.seals);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_seals, f->table.seals), 0);

	f->table.key = &f->key;
	f->cs.layout = f->table.layout;
	f->cs.tfm = tfm;
	f->cs.table = &f->table;
	f->slot.priv = &f->cs;
	f->io.sector = a->sector;
	f->io.len = f->len;
	f->plain = new_buffer(test);
	f->sealed = new_buffer(test);
	fill(f, page_address(f->plain));

	f->ci = kunit_kzalloc(test, crypt_io_size(tfm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, f->ci);
	f->ci = PTR_ALIGN(f->ci, CRYPT_IO_ALIGN);
	f->ci->cs = &f->cs;
	f->ci->io = &f->io;
	return f;
}

static void expect_sealed(struct fixture *f)
{
	const u8 *data = page_address(f->sealed);

	KUNIT_EXPECT_EQ(f->test, get_unaligned_be64(data), f->answer->first);
	KUNIT_EXPECT_EQ(f->test, get_unaligned_be64(data + f->len - 8), f->answer->last);
	KUNIT_EXPECT_EQ(f->test, ~crc32_le(~0, data, f->len), f->answer->crc);
}

static void expect_plain(struct fixture *f, struct page *page)
{
	u8 *wanted = kunit_kmalloc(f->test, f->len, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(f->test, wanted);
	fill(f, wanted);
	/* not KUNIT_EXPECT_MEMEQ(), which prints all of both */
	KUNIT_EXPECT_EQ(f->test, memcmp(page_address(page), wanted, f->len), 0);
}

/* --- known answers ---------------------------------------------------------- */

static void answer_name(const struct answer *a, char *name)
{
	snprintf(name, KUNIT_PARAM_DESC_SIZE, "AES-%u, %u, sector %llu, iv_offset %llu%s",
		 a->key_size * 4, a->sector_size, (u64)a->sector, a->iv_offset,
		 a->large ? ", large" : "");
}

KUNIT_ARRAY_PARAM(answer, answers, answer_name);

static void seal_and_open(struct kunit *test)
{
	struct fixture *f = fixture_new(test, test->param_value);
	const struct vaio_transform *t = f->answer->sector_size == 512 ? &crypt_transform_512 :
									 &crypt_transform_4096;

	KUNIT_EXPECT_EQ(test, t->unit, f->answer->sector_size);
	KUNIT_EXPECT_EQ(test, t->seal(&f->slot, f->answer->sector, f->sealed, 0, f->plain, 0,
				      f->len), 0);
	expect_sealed(f);
	expect_plain(f, f->plain);
	memset(page_address(f->plain), 0, f->len);
	KUNIT_EXPECT_EQ(test, t->open(&f->slot, f->answer->sector, f->plain, 0, f->sealed, 0,
				      f->len), 0);
	expect_plain(f, f->plain);
}

/* A write's bios: one buffer, one a sector, and all but the first sector in one. */
static void write_from(struct fixture *f, unsigned int first, unsigned int each)
{
	struct bio *bio = bio_kmalloc(DIV_ROUND_UP(ANSWER_BYTES, 512), GFP_KERNEL);
	unsigned int done, part, pages = 0;

	KUNIT_ASSERT_NOT_NULL(f->test, bio);
	bio_init(bio, NULL, bio_inline_vecs(bio), DIV_ROUND_UP(ANSWER_BYTES, 512), REQ_OP_WRITE);
	for (done = 0; done < f->len; done += part) {
		part = min(done ? each : first, f->len - done);
		bvec_set_page(&bio->bi_io_vec[bio->bi_vcnt++], f->plain, part, done);
	}
	bio->bi_iter.bi_size = f->len;

	f->io.kind = VAIO_KIND_WRITE;
	f->ci->source = bio;
	bio_init(&f->ci->bio, NULL, f->ci->vecs, CRYPT_MAX_PAGES, REQ_OP_WRITE);
	f->ci->bio.bi_iter.bi_size = f->len;
	for (done = 0; done < f->len; done += PAGE_SIZE)
		bvec_set_page(&f->ci->vecs[pages++], f->sealed + done / PAGE_SIZE,
			      min_t(unsigned int, f->len - done, PAGE_SIZE), 0);

	memset(page_address(f->sealed), 0, f->len);
	KUNIT_EXPECT_EQ(f->test, crypt_write(f->ci), 0);
	expect_sealed(f);
	expect_plain(f, f->plain);
	/* who submits the bio finds its iterator where it was */
	KUNIT_EXPECT_EQ(f->test, bio->bi_iter.bi_size, f->len);
	bio_uninit(bio);
	kfree(bio);
}

static void write_and_read(struct kunit *test)
{
	struct fixture *f = fixture_new(test, test->param_value);
	unsigned int size = f->answer->sector_size;
	struct bio_vec vec;
	struct bio bio;

	write_from(f, f->len, f->len);
	write_from(f, size, size);
	write_from(f, size, f->len);

	/* a read, in place, after the device has used up the bio's own iterator */
	bvec_set_page(&vec, f->sealed, f->len, 0);
	bio_init(&bio, NULL, &vec, 1, REQ_OP_READ);
	bio.bi_vcnt = 1;
	bio.bi_iter.bi_size = f->len;
	f->ci->left = bio.bi_iter;
	bio_advance(&bio, f->len);
	f->io.kind = VAIO_KIND_READ;
	f->ci->source = &bio;
	KUNIT_EXPECT_EQ(test, crypt_read(f->ci), 0);
	expect_plain(f, f->sealed);
	bio_uninit(&bio);
}

/* A sector of which half lies elsewhere is an error, and no wrong bytes. */
static void straddling_sector_fails(struct kunit *test)
{
	struct fixture *f = fixture_new(test, &answers[0]);
	struct bio_vec vec[2];
	struct bio bio;

	bvec_set_page(&vec[0], f->plain, 256, 0);
	bvec_set_page(&vec[1], f->plain, 256, 1024);
	bio_init(&bio, NULL, vec, 2, REQ_OP_READ);
	bio.bi_vcnt = 2;
	bio.bi_iter.bi_size = 512;
	f->ci->left = bio.bi_iter;
	f->io.kind = VAIO_KIND_READ;
	f->ci->source = &bio;
	KUNIT_EXPECT_EQ(test, crypt_read(f->ci), -EIO);
	expect_plain(f, f->plain);
	bio_uninit(&bio);
}

static void transform_refuses_parts_of_sectors(struct kunit *test)
{
	struct fixture *f = fixture_new(test, &answers[3]);

	KUNIT_ASSERT_EQ(test, f->answer->sector_size, 4096);
	KUNIT_EXPECT_EQ(test, crypt_transform_4096.seal(&f->slot, 64, f->sealed, 0, f->plain, 0,
							512), -EINVAL);
	KUNIT_EXPECT_EQ(test, crypt_transform_4096.seal(&f->slot, 65, f->sealed, 0, f->plain, 0,
							4096), -EINVAL);
	f->key.wiped = true;
	KUNIT_EXPECT_EQ(test, crypt_transform_4096.seal(&f->slot, 64, f->sealed, 0, f->plain, 0,
							4096), -ENOKEY);
}

static void equal_halves_are_refused(struct kunit *test)
{
	struct crypto_skcipher *tfm = crypt_tfm_alloc();
	u8 key[64];

	KUNIT_ASSERT_FALSE(test, IS_ERR(tfm));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_tfm, tfm), 0);
	memcpy(key, key_256, 32);
	memcpy(key + 32, key_256, 32);
	KUNIT_EXPECT_EQ(test, crypt_tfm_setkey(tfm, key, 64), -EKEYREJECTED);
	KUNIT_EXPECT_EQ(test, crypt_tfm_setkey(tfm, key, 32), 0);
	key[63] ^= 1;
	KUNIT_EXPECT_EQ(test, crypt_tfm_setkey(tfm, key, 64), 0);
}

/* --- words --------------------------------------------------------------------- */

#define KEY "key", ":64:logon:vaio:kunit-none"

/* struct refusal - words of a table, and what is said of them */
static const struct refusal {
	const char	*words[6];
	const char	*said;
} refusals[] = {
	{ { }, "key is missing" },
	{ { "key", "" }, "not of the form :<bytes>:logon:<description>" },
	{ { "key", "0011223344" }, "not of the form :<bytes>:logon:<description>" },
	{ { "key", ":64" }, "the size in" },
	{ { "key", ":48:logon:a:b" }, "is not one of 32, 64" },
	{ { "key", ":-64:logon:a:b" }, "is not one of 32, 64" },
	{ { "key", ":000000000064:logon:a:b" }, "is not one of 32, 64" },
	{ { "key", ":64:user:a:b" }, "is not one of logon" },
	{ { "key", ":64:logon" }, "is not one of logon" },
	{ { "key", ":64:logon:" }, "has no <service>: in front" },
	{ { "key", ":64:logon:ab" }, "'ab' has no <service>: in front" },
	{ { "key", ":64:logon::b" }, "has no <service>: in front" },
	{ { "key", ":64:logon:a b:c" }, "white space" },
	{ { "key", ":64:logon:a\n:c" }, "not printable" },
	{ { KEY }, "no usable logon key 'vaio:kunit-none' in the caller's keyrings" },
	{ { KEY, "cipher", "aes-cbc-plain" }, "'aes-cbc-plain' is not one of aes-xts-plain64" },
	{ { KEY, "sector_size", "1024" }, "'1024' is not one of 512, 4096" },
	{ { KEY, "sector_size", "" }, "'' is not one of 512, 4096" },
	{ { KEY, "iv_offset", "x" }, "iv_offset: 'x' is not a number" },
	{ { KEY, "iv_offset", "18446744073709551616" }, "is not a number" },
	{ { KEY, "iv_offset", "7", "sector_size", "4096" }, "iv_offset: 7 is not a multiple of 8" },
	{ { KEY, "iv_large_sectors", "2" }, "iv_large_sectors: '2' is not one of 0, 1" },
	{ { KEY, "allow_discards", "" }, "allow_discards: '' is not one of 0, 1" },
	{ { KEY, "sector_size", "4096" }, "the disk's length, 1001, is not a multiple of 8" },
	{ { KEY, "key_size", "64" }, "unknown property 'key_size'; accepted: cipher, key" },
};

static void refusal_name(const struct refusal *r, char *name)
{
	strscpy(name, r->said, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(refusal, refusals, refusal_name);

static void wrong_words_are_named(struct kunit *test)
{
	static const struct vaio_geometry geo = { .name = "vm1", .sectors = 1001, .block_size = 512 };
	const struct refusal *r = test->param_value;
	char *words[ARRAY_SIZE(r->words)];
	struct vaio_slot_cfg *cfg;
	unsigned int nr = 0;
	char *error = "";

	for (; nr < ARRAY_SIZE(words) && r->words[nr]; nr++)
		words[nr] = (char *)r->words[nr];
	cfg = vaio_cfg_new("crypt", &geo, nr, words, &error);
	KUNIT_ASSERT_TRUE(test, IS_ERR(cfg));
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(error, r->said), "%s", error);
}

static struct kunit_case crypt_cases[] = {
	KUNIT_CASE_PARAM(seal_and_open, answer_gen_params),
	KUNIT_CASE_PARAM(write_and_read, answer_gen_params),
	KUNIT_CASE(straddling_sector_fails),
	KUNIT_CASE(transform_refuses_parts_of_sectors),
	KUNIT_CASE(equal_halves_are_refused),
	KUNIT_CASE_PARAM(wrong_words_are_named, refusal_gen_params),
	{}
};

static struct kunit_suite crypt_suite = {
	.name = "crypt",
	.test_cases = crypt_cases,
};

kunit_test_suite(crypt_suite);
