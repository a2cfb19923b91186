// SPDX-License-Identifier: GPL-2.0
/*
 * What other programs and later versions rely on in the on-disk format.
 */
#include <kunit/test.h>
#include <linux/stddef.h>
#include <linux/vaio-sidecar.h>

static void super_fills_a_page(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, sizeof(struct vaio_sc_disk_super), VAIO_SC_PAGE);
}

/* A version that is not known is recognised by these, so they never move. */
static void fixed_places_of_all_versions(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, magic), 0);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, version), 16);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, copy), 20);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, sequence), 24);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, sidecar_uuid), 64);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, page_seed), 80);
	KUNIT_EXPECT_EQ(test, offsetof(struct vaio_sc_disk_super, crc), 4092);
}

static void magic_has_its_length(struct kunit *test)
{
	static const char magic[] = VAIO_SC_MAGIC;

	KUNIT_EXPECT_EQ(test, sizeof(magic) - 1, VAIO_SC_MAGIC_LEN);
}

static struct kunit_case layout_cases[] = {
	KUNIT_CASE(super_fills_a_page),
	KUNIT_CASE(fixed_places_of_all_versions),
	KUNIT_CASE(magic_has_its_length),
	{}
};

static struct kunit_suite layout_suite = {
	.name = "layout",
	.test_cases = layout_cases,
};

kunit_test_suite(layout_suite);
