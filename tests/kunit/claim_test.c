// SPDX-License-Identifier: GPL-2.0
/*
 * Claims: who may use which range of a device.
 */
#include <kunit/test.h>
#include "core.h"

static const uuid_t disk_a = UUID_INIT(0xaaaaaaaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
static const uuid_t disk_b = UUID_INIT(0xbbbbbbbb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);

/* A device sda of 1,000,000 sectors with a partition sda1 from sector 2048. */
struct device_pair {
	struct gendisk		disk;
	struct block_device	sda;
	struct block_device	sda1;
};

static struct device_pair *make_devices(struct kunit *test)
{
	struct device_pair *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->disk.part0 = &dev->sda;
	dev->sda.bd_disk = &dev->disk;
	dev->sda.bd_dev = MKDEV(8, 0);
	dev->sda1.bd_disk = &dev->disk;
	dev->sda1.bd_dev = MKDEV(8, 1);
	dev->sda1.bd_start_sect = 2048;
	return dev;
}

static int claim(struct vaio_claim *claim, struct block_device *bdev, sector_t start,
		 sector_t sectors, enum vaio_role role, const uuid_t *uuid, char *error)
{
	error[0] = 0;
	vaio_claim_fill(claim, bdev, start, sectors, role, uuid);
	return vaio_claim_add(claim, error, VAIO_REASON_LEN);
}

/* For a claim that is only tried. */
static int try(struct block_device *bdev, sector_t start, sector_t sectors, enum vaio_role role,
	       const uuid_t *uuid, char *error)
{
	struct vaio_claim c;
	int err = claim(&c, bdev, start, sectors, role, uuid, error);

	vaio_claim_del(&c);
	return err;
}

static void other_disk_is_refused(struct kunit *test)
{
	struct device_pair *dev = make_devices(test);
	char error[VAIO_REASON_LEN];
	struct vaio_claim a;
	static const struct {
		sector_t start, sectors;
		int err;
	} cases[] = {
		{ 100, 50, -EBUSY },	/* the same */
		{ 149, 1, -EBUSY },	/* the last sector */
		{ 100, 1, -EBUSY },	/* the first */
		{ 0, 101, -EBUSY },	/* runs into it */
		{ 0, 1000, -EBUSY },	/* around it */
		{ 120, 5, -EBUSY },	/* within */
		{ 0, 100, 0 },		/* ends before */
		{ 150, 1, 0 },		/* begins behind */
		{ 0, ~(sector_t)0, -EBUSY },	/* would wrap round */
		{ ~(sector_t)0 - 5, ~(sector_t)0, 0 },
	};
	int i;

	KUNIT_ASSERT_EQ(test, claim(&a, &dev->sda, 100, 50, VAIO_ROLE_BACKING, &disk_a, error), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		KUNIT_EXPECT_EQ_MSG(test, try(&dev->sda, cases[i].start, cases[i].sectors,
					      VAIO_ROLE_BACKING, &disk_b, error),
				    cases[i].err, "case %d", i);
		if (cases[i].err) {
			KUNIT_EXPECT_STREQ(test, error,
					   "sectors 100+50 of device 8:0 are the backing of disk aaaaaaaa-0001-0002-0304-05060708090a");
		}
	}
	vaio_claim_del(&a);
}

static void partition_is_part_of_its_disk(struct kunit *test)
{
	struct device_pair *dev = make_devices(test);
	char error[VAIO_REASON_LEN];
	struct vaio_claim part;

	KUNIT_ASSERT_EQ(test, claim(&part, &dev->sda1, 10, 100, VAIO_ROLE_BACKING, &disk_a, error), 0);
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 2058, 1, VAIO_ROLE_CACHE, &disk_b, error), -EBUSY);
	KUNIT_EXPECT_NOT_NULL(test, strstr(error, "sectors 2058+100 of device 8:0"));
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 2057, 1, VAIO_ROLE_CACHE, &disk_b, error), 0);
	vaio_claim_del(&part);
}

static void same_disk_and_role_is_a_reload(struct kunit *test)
{
	struct device_pair *dev = make_devices(test);
	char error[VAIO_REASON_LEN];
	struct vaio_claim live, next;

	KUNIT_ASSERT_EQ(test, claim(&live, &dev->sda, 0, 100, VAIO_ROLE_BACKING, &disk_a, error), 0);
	KUNIT_EXPECT_EQ(test, claim(&next, &dev->sda, 0, 200, VAIO_ROLE_BACKING, &disk_a, error), 0);
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 50, 10, VAIO_ROLE_SIDECAR, &disk_a, error), -EBUSY);
	KUNIT_EXPECT_NOT_NULL(test, strstr(error, "the backing of this disk"));
	vaio_claim_del(&live);
	/* the reloaded table's claim is still there */
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 150, 10, VAIO_ROLE_SIDECAR, &disk_a, error), -EBUSY);
	vaio_claim_del(&next);
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 150, 10, VAIO_ROLE_SIDECAR, &disk_a, error), 0);
}

static void roles_are_named(struct kunit *test)
{
	static const char *const names[] = { "the backing", "the sidecar", "a cache" };
	struct device_pair *dev = make_devices(test);
	char error[VAIO_REASON_LEN];
	struct vaio_claim a;
	int role;

	for (role = VAIO_ROLE_BACKING; role <= VAIO_ROLE_CACHE; role++) {
		KUNIT_ASSERT_EQ(test, claim(&a, &dev->sda, 0, 10, role, &disk_a, error), 0);
		KUNIT_EXPECT_EQ(test, try(&dev->sda, 0, 10, VAIO_ROLE_BACKING, &disk_b, error), -EBUSY);
		KUNIT_EXPECT_NOT_NULL(test, strstr(error, names[role]));
		vaio_claim_del(&a);
	}
}

static void giving_up_twice_is_harmless(struct kunit *test)
{
	struct device_pair *dev = make_devices(test);
	char error[VAIO_REASON_LEN];
	struct vaio_claim a;

	KUNIT_ASSERT_EQ(test, claim(&a, &dev->sda, 0, 10, VAIO_ROLE_CACHE, &disk_a, error), 0);
	/* the first try gives up what it was refused, and nothing else */
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 5, 10, VAIO_ROLE_CACHE, &disk_b, error), -EBUSY);
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 5, 10, VAIO_ROLE_CACHE, &disk_b, error), -EBUSY);
	vaio_claim_del(&a);
	vaio_claim_del(&a);
	KUNIT_EXPECT_EQ(test, try(&dev->sda, 5, 10, VAIO_ROLE_CACHE, &disk_b, error), 0);
}

static struct kunit_case claim_cases[] = {
	KUNIT_CASE(other_disk_is_refused),
	KUNIT_CASE(partition_is_part_of_its_disk),
	KUNIT_CASE(same_disk_and_role_is_a_reload),
	KUNIT_CASE(roles_are_named),
	KUNIT_CASE(giving_up_twice_is_harmless),
	{}
};

static struct kunit_suite claim_suite = {
	.name = "claim",
	.test_cases = claim_cases,
};

kunit_test_suite(claim_suite);
