// SPDX-License-Identifier: GPL-2.0
/*
 * Sidecars on a block device of the test's own, which keeps its bytes in memory,
 * notes every write with its flags, and fails or loses writes on demand.
 */
#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/highmem.h>
#include <linux/vmalloc.h>
#include "sidecar.h"

#define BACKING_BYTES	(64ULL << 20)
#define DEVICE_BYTES	(2U << 20)
#define NOTES		32

struct note {
	u64		offset;
	blk_opf_t	opf;
	unsigned int	bytes;
};

/**
 * struct fake - the device
 * @data: what is on it
 * @note: the writes and flushes since it was last cleared
 * @fail_at: the write with this number fails; -1: none
 * @tear: a write that fails leaves its first sector
 * @dead: reads fail too
 */
struct fake {
	struct gendisk	*disk;
	char		path[32];
	u8		*data;
	struct note	note[NOTES];
	int		notes;
	int		fail_at;
	bool		tear;
	bool		dead;
};

struct context {
	struct fake	dev[2];
	struct vaio_sc_super sb;
	struct vaio_sc_super seen;
	struct vaio_sidecar_expect expect;
	u8		*page;
	char		reason[VAIO_SC_REASON];
};

static int holder_a, holder_b;

/* --- the device ------------------------------------------------------------ */

static void fake_submit_bio(struct bio *bio)
{
	struct fake *fake = bio->bi_bdev->bd_disk->private_data;
	u64 offset = bio->bi_iter.bi_sector << SECTOR_SHIFT;
	struct bvec_iter iter;
	struct bio_vec bv;
	bool fail = fake->dead;
	u64 sectors = fail ? 0 : U64_MAX;

	if (op_is_write(bio_op(bio))) {
		if (fake->notes < NOTES)
			fake->note[fake->notes] = (struct note){ offset, bio->bi_opf, bio->bi_iter.bi_size };
		if (fake->notes++ == fake->fail_at) {
			fail = true;
			sectors = fake->tear;
		}
	}
	bio_for_each_segment(bv, bio, iter) {
		struct bio_vec part = bv;	/* the loop goes on by bv's length */

		part.bv_len = min_t(u64, bv.bv_len, sectors << SECTOR_SHIFT);
		if (op_is_write(bio_op(bio)))
			memcpy_from_bvec(fake->data + offset, &part);
		else if (!fail)
			memcpy_to_bvec(&part, fake->data + offset);
		offset += bv.bv_len;
	}
	if (fail)
		bio_io_error(bio);
	else
		bio_endio(bio);
}

static const struct block_device_operations fake_ops = {
	.owner		= THIS_MODULE,
	.submit_bio	= fake_submit_bio,
};

static int fake_add(struct fake *fake, int number, unsigned int block_size)
{
	struct queue_limits limits = {
		.logical_block_size	= block_size,
		.features		= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA,
	};
	int err;

	fake->fail_at = -1;
	fake->data = vzalloc(DEVICE_BYTES);
	if (!fake->data)
		return -ENOMEM;
	fake->disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	if (IS_ERR(fake->disk)) {
		err = PTR_ERR(fake->disk);
		fake->disk = NULL;
		return err;
	}
	snprintf(fake->disk->disk_name, DISK_NAME_LEN, "vaio-kunit%d", number);
	snprintf(fake->path, sizeof(fake->path), "/dev/vaio-kunit%d", number);
	fake->disk->fops = &fake_ops;
	fake->disk->private_data = fake;
	set_capacity(fake->disk, DEVICE_BYTES >> SECTOR_SHIFT);
	err = add_disk(fake->disk);
	if (err) {
		put_disk(fake->disk);
		fake->disk = NULL;
	}
	return err;
}

static void fake_del(struct fake *fake)
{
	if (fake->disk) {
		del_gendisk(fake->disk);
		put_disk(fake->disk);
	}
	vfree(fake->data);
}

/* --- the sidecar on it -------------------------------------------------------- */

static void format(struct context *ctx, struct fake *fake)
{
	struct vaio_sc_super *sb = &ctx->sb;
	int i;

	memset(fake->data, 0, DEVICE_BYTES);
	sb->sequence = 1;
	vaio_sc_encode(sb, 0, fake->data + VAIO_SC_COPY0);
	sb->sequence = 2;
	vaio_sc_encode(sb, 1, fake->data + VAIO_SC_COPY1);
	for (i = 0; i < sb->nr_regions; i++) {
		const struct vaio_sc_region *r = &sb->regions[i];
		u64 index;

		for (index = 0; index < vaio_sc_map_pages(r); index++) {
			void *page = fake->data + vaio_sc_page_offset(r, 0, index);

			vaio_sc_page_init(page, false);
			vaio_sc_page_seal(page, sb->page_seed, r->type, 0, index);
		}
	}
}

static int make_context(struct kunit *test, unsigned int block_size)
{
	struct context *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);
	struct vaio_sc_super *sb;
	int i, err;

	if (!ctx)
		return -ENOMEM;
	test->priv = ctx;
	ctx->page = (u8 *)__get_free_page(GFP_KERNEL);
	if (!ctx->page)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(ctx->dev); i++) {
		err = fake_add(&ctx->dev[i], i, block_size);
		if (err)
			return err;
	}
	sb = &ctx->sb;
	memset(sb->disk_uuid, 0xd1, VAIO_SC_ID_LEN);
	memset(sb->sidecar_uuid, 0x5c, VAIO_SC_ID_LEN);
	sb->page_seed = 4711;
	sb->sequence = 1;
	sb->backing_bytes = BACKING_BYTES;
	sb->block_size = 512;
	sb->identity_kind = VAIO_SC_ID_LV;
	strscpy(sb->identity, "disk1");
	sb->state = VAIO_SC_CLEAN;
	sb->current_gen.id[0] = 1;
	sb->current_gen.counter = 1;
	err = vaio_sc_layout(sb, 1, 0, ctx->reason, sizeof(ctx->reason));
	if (err)
		return err;
	format(ctx, &ctx->dev[0]);
	import_uuid(&ctx->expect.disk_uuid, sb->disk_uuid);
	ctx->expect.disk_sectors = BACKING_BYTES >> SECTOR_SHIFT;
	ctx->expect.block_size = 512;
	ctx->expect.identity = "lv:disk1";
	memset(ctx->expect.host_id, 0xaa, VAIO_SC_ID_LEN);
	memset(ctx->expect.boot_id, 0xab, VAIO_SC_ID_LEN);
	return 0;
}

static int sidecar_init(struct kunit *test)
{
	return make_context(test, 512);
}

static int sidecar_4k_init(struct kunit *test)
{
	return make_context(test, 4096);
}

static void sidecar_exit(struct kunit *test)
{
	struct context *ctx = test->priv;
	int i;

	if (!ctx)
		return;
	for (i = 0; i < ARRAY_SIZE(ctx->dev); i++)
		fake_del(&ctx->dev[i]);
	free_page((unsigned long)ctx->page);
}

static struct vaio_sidecar *open_on(struct context *ctx, int dev, void *holder)
{
	ctx->dev[dev].notes = 0;
	return vaio_sidecar_open(ctx->dev[dev].path, &ctx->expect, holder, ctx->reason,
				 sizeof(ctx->reason));
}

/* Opens what must open. */
static struct vaio_sidecar *open_good(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_on(ctx, 0, &holder_a);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(sc), "%s", ctx->reason);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);
	return sc;
}

static int own(struct kunit *test, struct vaio_sidecar *sc, bool *unclean)
{
	struct context *ctx = test->priv;

	ctx->dev[0].notes = 0;
	return vaio_sidecar_own(sc, VAIO_SC_OWN_NORMAL, unclean, ctx->reason, sizeof(ctx->reason));
}

static struct vaio_sidecar *open_owned(struct kunit *test)
{
	struct vaio_sidecar *sc = open_good(test);
	bool unclean;

	KUNIT_ASSERT_EQ(test, own(test, sc, &unclean), 0);
	return sc;
}

static void refused(struct kunit *test, int dev, int err, const char *says)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_on(ctx, dev, &holder_a);

	KUNIT_EXPECT_PTR_EQ(test, sc, ERR_PTR(err));
	if (IS_ERR(sc))
		KUNIT_EXPECT_STREQ(test, ctx->reason, says);
	else
		vaio_sidecar_close(sc);
	KUNIT_EXPECT_EQ(test, ctx->dev[dev].notes, 0);
}

/* What is on the device, as the next start would find it. */
static const struct vaio_sc_super *look(struct kunit *test)
{
	struct context *ctx = test->priv;
	const u8 *data = ctx->dev[0].data;
	struct vaio_sc_pick pick;

	KUNIT_ASSERT_EQ(test, vaio_sc_pick(data + VAIO_SC_COPY0, data + VAIO_SC_COPY1, &pick,
					   ctx->reason, sizeof(ctx->reason)), 0);
	KUNIT_ASSERT_EQ(test, vaio_sc_decode(data + (pick.copy ? VAIO_SC_COPY1 : VAIO_SC_COPY0),
					     pick.copy, DEVICE_BYTES, &ctx->seen, ctx->reason,
					     sizeof(ctx->reason)), 0);
	return &ctx->seen;
}

/* --- opening -------------------------------------------------------------------- */

static void right_one_opens(struct kunit *test)
{
	struct vaio_sidecar *sc = open_good(test);
	const struct vaio_sc_region *r = vaio_sidecar_region(sc, VAIO_SC_R_BITMAP);

	KUNIT_EXPECT_FALSE(test, vaio_sidecar_owned(sc));
	KUNIT_EXPECT_NOT_NULL(test, r);
	KUNIT_EXPECT_NULL(test, vaio_sidecar_region(sc, VAIO_SC_R_CHANGE_EPOCHS));
	KUNIT_EXPECT_NULL(test, vaio_sidecar_region(sc, ~0U));
	vaio_sidecar_close(sc);
}

static void wrong_ones_are_refused(struct kunit *test)
{
	struct context *ctx = test->priv;

	refused(test, 1, -ENODATA, "sidecar /dev/vaio-kunit1: holds no sidecar");
	ctx->expect.identity = "lv:disk2";
	refused(test, 0, -EMEDIUMTYPE, "sidecar /dev/vaio-kunit0: backing device is 'lv:disk2' but the sidecar was made for 'lv:disk1'; `vaioctl sidecar adopt` mends it");
	ctx->expect.identity = NULL;
	ctx->expect.disk_uuid.b[0] = 0;
	refused(test, 0, -EMEDIUMTYPE, "sidecar /dev/vaio-kunit0: belongs to disk UUID d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1, not 00d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
	import_uuid(&ctx->expect.disk_uuid, ctx->sb.disk_uuid);
	ctx->expect.disk_sectors = 1ULL << 40;
	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_a), ERR_PTR(-ENOSPC));
	strscpy(ctx->dev[0].path, "/dev/vaio-kunit-none");
	refused(test, 0, -ENOENT, "sidecar /dev/vaio-kunit-none: there is no such device");
	strscpy(ctx->dev[0].path, "/dev/null");
	refused(test, 0, -ENOTBLK, "sidecar /dev/null: is not a block device");
}

static void corrupt_ones_are_refused(struct kunit *test)
{
	struct context *ctx = test->priv;
	u8 *data = ctx->dev[0].data;

	data[100] ^= 1;
	data[VAIO_SC_COPY1 + 100] ^= 1;
	refused(test, 0, -EIO, "sidecar /dev/vaio-kunit0: both superblocks are corrupt (CRC)");

	/* a valid CRC over a region that reaches into the other one */
	ctx->sb.regions[0].length *= 2;
	format(ctx, &ctx->dev[0]);
	refused(test, 0, -EIO, "sidecar /dev/vaio-kunit0: regions 0 (bitmap) and 1 (intent) overlap");

	ctx->sb.regions[0].length /= 2;
	ctx->sb.incompat = 1;
	format(ctx, &ctx->dev[0]);
	refused(test, 0, -EPROTONOSUPPORT, "sidecar /dev/vaio-kunit0: uses features 0x1 that this program does not know");

	ctx->dev[0].dead = true;
	refused(test, 0, -EIO, "sidecar /dev/vaio-kunit0: neither superblock can be read (error -5)");
}

static void torn_copy_is_mended(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc;
	int copy;

	for (copy = 0; copy < VAIO_SC_COPIES; copy++) {
		u32 at = copy ? VAIO_SC_COPY1 : VAIO_SC_COPY0;

		format(ctx, &ctx->dev[0]);
		memset(ctx->dev[0].data + at + 512, 0xee, 512);
		sc = open_owned(test);
		/* the bad one is written first: the good one is never at risk */
		KUNIT_EXPECT_EQ(test, ctx->dev[0].note[0].offset, at);
		KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), 0);
		vaio_sidecar_close(sc);
		look(test);
	}
}

/* Two disks' sidecars, exchanged; and a copy of one that is in use. */
static void swapped_and_copied(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc;

	ctx->sb.disk_uuid[0] = 0xd2;
	ctx->sb.sidecar_uuid[0]++;
	format(ctx, &ctx->dev[1]);
	refused(test, 1, -EMEDIUMTYPE, "sidecar /dev/vaio-kunit1: belongs to disk UUID d2d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1, not d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");

	memcpy(ctx->dev[1].data, ctx->dev[0].data, DEVICE_BYTES);
	sc = open_good(test);
	refused(test, 1, -EBUSY, "sidecar /dev/vaio-kunit1: is a copy of sidecar /dev/vaio-kunit0, which is in use (UUID 5c5c5c5c-5c5c-5c5c-5c5c-5c5c5c5c5c5c); `vaioctl sidecar adopt` mends it");
	vaio_sidecar_close(sc);
	/* the other one is gone */
	sc = open_on(ctx, 1, &holder_a);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(sc), "%s", ctx->reason);
	vaio_sidecar_close(sc);
}

static void one_holder(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_good(test), *again;

	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_b), ERR_PTR(-EBUSY));
	KUNIT_EXPECT_STREQ(test, ctx->reason, "sidecar /dev/vaio-kunit0: is in use by something else");
	again = open_good(test);
	KUNIT_EXPECT_PTR_EQ(test, again, sc);
	vaio_sidecar_close(sc);
	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_b), ERR_PTR(-EBUSY));
	/* what does not match does not disturb the one that is open */
	ctx->expect.identity = "lv:other";
	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_a), ERR_PTR(-EMEDIUMTYPE));
	KUNIT_EXPECT_NOT_NULL(test, vaio_sidecar_region(again, VAIO_SC_R_INTENT));
	vaio_sidecar_close(again);
	ctx->expect.identity = NULL;
	sc = open_on(ctx, 0, &holder_b);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(sc), "%s", ctx->reason);
	vaio_sidecar_close(sc);
}

/* --- owning ------------------------------------------------------------------------ */

static void owning_is_durable(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_good(test);
	struct note *note = ctx->dev[0].note;
	const struct vaio_sc_super *sb;
	bool unclean = true;
	int i;

	KUNIT_ASSERT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_FALSE(test, unclean);
	/* one superblock after the other, not the newest first, each behind a flush */
	KUNIT_ASSERT_EQ(test, ctx->dev[0].notes, 2);
	KUNIT_EXPECT_EQ(test, note[0].offset, VAIO_SC_COPY0);
	KUNIT_EXPECT_EQ(test, note[1].offset, VAIO_SC_COPY1);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, note[i].bytes, VAIO_SC_PAGE);
		KUNIT_EXPECT_TRUE(test, (note[i].opf & REQ_PREFLUSH) && (note[i].opf & REQ_FUA));
	}
	sb = look(test);
	KUNIT_EXPECT_EQ(test, sb->state, VAIO_SC_ACTIVE);
	KUNIT_EXPECT_EQ(test, sb->owner_host[3], 0xaa);
	KUNIT_EXPECT_EQ(test, sb->owner_boot[3], 0xab);
	KUNIT_EXPECT_EQ(test, sb->disk_bytes, BACKING_BYTES);

	/* again: nothing to write, not unclean */
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_FALSE(test, unclean);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);

	/* closed without release, as by a crash */
	vaio_sidecar_close(sc);
	sc = open_good(test);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_TRUE(test, unclean);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), 0);
	KUNIT_EXPECT_EQ(test, look(test)->state, VAIO_SC_CLEAN);
	vaio_sidecar_close(sc);
	sc = open_good(test);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_FALSE(test, unclean);
	vaio_sidecar_close(sc);
}

static void foreign_owner(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc;
	bool unclean;

	ctx->sb.state = VAIO_SC_ACTIVE;
	memset(ctx->sb.owner_host, 0xbb, VAIO_SC_ID_LEN);
	ctx->sb.owner_since = 1700000000;
	format(ctx, &ctx->dev[0]);
	sc = open_good(test);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), -EBUSY);
	KUNIT_EXPECT_STREQ(test, ctx->reason, "sidecar /dev/vaio-kunit0: owned by host bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb since 2023-11-14T22:13:20Z, state active");
	/* standby: not a byte is written, whatever is tried */
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EROFS);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, VAIO_SC_R_BITMAP, 0, 0, ctx->page), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_write(sc, VAIO_SC_R_BITMAP, 0, 0, ctx->page, true), -EROFS);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), 0);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_own(sc, VAIO_SC_OWN_TAKEOVER, &unclean, ctx->reason,
					       sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_TRUE(test, unclean);
	KUNIT_EXPECT_EQ(test, look(test)->owner_host[0], 0xaa);
	vaio_sidecar_close(sc);
}

static void dirty_cache_elsewhere(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	u8 cache[VAIO_SC_ID_LEN] = { 0xca };
	bool unclean;

	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_cache(sc, cache, 3), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_promise(sc, cache, ctx->reason, sizeof(ctx->reason)), -EBUSY);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), 0);
	vaio_sidecar_close(sc);

	memset(ctx->expect.host_id, 0xbb, VAIO_SC_ID_LEN);
	sc = open_good(test);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), -EBUSY);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_own(sc, VAIO_SC_OWN_TAKEOVER, &unclean, ctx->reason,
					       sizeof(ctx->reason)), -EBUSY);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_flags(sc), VAIO_SC_F_CACHE_DIRTY);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_own(sc, VAIO_SC_OWN_LOSE_DIRTY, &unclean, ctx->reason,
					       sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_EQ(test, look(test)->flags, VAIO_SC_F_SOURCE_DAMAGED | VAIO_SC_F_MUST_COMPARE);
	vaio_sidecar_close(sc);
}

static void promised_to_another_host(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	u8 next[VAIO_SC_ID_LEN] = { 0xbb };
	bool unclean;

	KUNIT_EXPECT_EQ(test, vaio_sidecar_promise(sc, next, ctx->reason, sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_FALSE(test, vaio_sidecar_owned(sc));
	KUNIT_EXPECT_EQ(test, look(test)->state, VAIO_SC_STANDBY);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), -EBUSY);
	vaio_sidecar_close(sc);
	memcpy(ctx->expect.host_id, next, VAIO_SC_ID_LEN);
	sc = open_good(test);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_FALSE(test, unclean);
	vaio_sidecar_close(sc);
}

/* --- conditions, growth ---------------------------------------------------------------- */

static void conditions_are_durable(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	const struct vaio_sc_super *sb;

	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_source_damaged(sc, true), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_alone(sc, true), 0);
	sb = look(test);
	KUNIT_EXPECT_EQ(test, sb->flags, VAIO_SC_F_MUST_COMPARE | VAIO_SC_F_SOURCE_DAMAGED | VAIO_SC_F_ALONE);
	KUNIT_EXPECT_EQ(test, sb->alone_gen.id[0], 1);
	/* what is so already costs nothing */
	ctx->dev[0].notes = 0;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_alone(sc, true), 0);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_alone(sc, false), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, false), 0);
	KUNIT_EXPECT_EQ(test, look(test)->flags, VAIO_SC_F_SOURCE_DAMAGED);
	vaio_sidecar_close(sc);
}

static void growth(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	u64 capacity = vaio_sc_capacity(&ctx->sb) >> SECTOR_SHIFT;

	ctx->dev[0].notes = 0;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_grow(sc, capacity + 1, ctx->reason, sizeof(ctx->reason)), -ENOSPC);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_grow(sc, 8, ctx->reason, sizeof(ctx->reason)), -EINVAL);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_check_grow(sc, capacity, ctx->reason, sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].notes, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_grow(sc, capacity, ctx->reason, sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_EQ(test, look(test)->disk_bytes, capacity << SECTOR_SHIFT);
	vaio_sidecar_close(sc);
	/* the old, smaller disk would leave bits without blocks */
	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_a), ERR_PTR(-EINVAL));

	/* a disk that grew while it was down: its owner does not say so before there are bits for it */
	ctx->sb.disk_bytes = BACKING_BYTES;
	format(ctx, &ctx->dev[0]);
	ctx->expect.disk_sectors = capacity;
	sc = open_owned(test);
	KUNIT_EXPECT_EQ(test, look(test)->disk_bytes, BACKING_BYTES);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_grow(sc, capacity, ctx->reason, sizeof(ctx->reason)), 0);
	KUNIT_EXPECT_EQ(test, look(test)->disk_bytes, capacity << SECTOR_SHIFT);
	vaio_sidecar_close(sc);
}

/* --- failures ------------------------------------------------------------------------------ */

/* Each write of a change fails in turn, torn or not at all done. */
static void failed_writes(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct fake *dev = &ctx->dev[0];
	struct vaio_sidecar *sc;
	int at, tear;

	for (tear = 0; tear <= 1; tear++) {
		for (at = 0; at <= 1; at++) {
			format(ctx, dev);
			sc = open_owned(test);
			KUNIT_EXPECT_FALSE(test, vaio_sidecar_failed(sc));
			dev->notes = 0;
			dev->fail_at = at;
			dev->tear = tear;
			KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EIO);
			KUNIT_EXPECT_TRUE(test, vaio_sidecar_failed(sc));
			KUNIT_EXPECT_EQ(test, dev->notes, at + 1);
			/* durable with the first copy, not before */
			KUNIT_EXPECT_EQ(test, look(test)->flags, at ? VAIO_SC_F_MUST_COMPARE : 0);
			KUNIT_EXPECT_EQ(test, vaio_sidecar_flags(sc), at ? VAIO_SC_F_MUST_COMPARE : 0);
			dev->fail_at = -1;
			/* the device works again */
			KUNIT_EXPECT_EQ(test, vaio_sidecar_set_source_damaged(sc, true), 0);
			KUNIT_EXPECT_TRUE(test, look(test)->flags & VAIO_SC_F_SOURCE_DAMAGED);
			vaio_sidecar_close(sc);
		}
	}
}

/* must-compare could not be set: the sidecar does not become clean without it. */
static void owed_compare(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct fake *dev = &ctx->dev[0];
	struct vaio_sidecar *sc = open_owned(test);
	bool unclean;

	/* it is paid with the release */
	dev->dead = true;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EIO);
	KUNIT_EXPECT_TRUE(test, vaio_sidecar_owes_compare(sc));
	dev->dead = false;
	KUNIT_EXPECT_EQ(test, look(test)->flags, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), 0);
	KUNIT_EXPECT_EQ(test, look(test)->state, VAIO_SC_CLEAN);
	KUNIT_EXPECT_EQ(test, ctx->seen.flags, VAIO_SC_F_MUST_COMPARE);
	vaio_sidecar_close(sc);

	/* or, when that fails too, by the next owner */
	sc = open_owned(test);
	KUNIT_EXPECT_FALSE(test, vaio_sidecar_owes_compare(sc));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, false), 0);
	dev->dead = true;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EIO);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_release(sc), -EIO);
	vaio_sidecar_close(sc);
	dev->dead = false;
	KUNIT_EXPECT_EQ(test, look(test)->flags, 0);
	/* opened in vain, it is not forgotten */
	ctx->expect.identity = "lv:other";
	KUNIT_EXPECT_PTR_EQ(test, open_on(ctx, 0, &holder_a), ERR_PTR(-EMEDIUMTYPE));
	ctx->expect.identity = NULL;
	sc = open_good(test);
	KUNIT_EXPECT_TRUE(test, vaio_sidecar_owes_compare(sc));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EROFS);
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	KUNIT_EXPECT_TRUE(test, unclean);
	KUNIT_EXPECT_EQ(test, look(test)->flags, VAIO_SC_F_MUST_COMPARE);

	/* once */
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, false), 0);
	vaio_sidecar_close(sc);
	sc = open_owned(test);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_flags(sc), 0);
	vaio_sidecar_close(sc);
}

static void failed_owning(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_good(test);
	bool unclean;

	ctx->dev[0].fail_at = 0;
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), -EIO);
	KUNIT_EXPECT_STREQ(test, ctx->reason, "sidecar /dev/vaio-kunit0: cannot be written (error -5)");
	KUNIT_EXPECT_FALSE(test, vaio_sidecar_owned(sc));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_set_must_compare(sc, true), -EROFS);
	ctx->dev[0].fail_at = -1;
	KUNIT_EXPECT_EQ(test, own(test, sc, &unclean), 0);
	vaio_sidecar_close(sc);
}

/* --- pages ------------------------------------------------------------------------------------ */

static void pages(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	struct vaio_sc_disk_page *p = (void *)ctx->page;
	const struct vaio_sc_region *r = vaio_sidecar_region(sc, VAIO_SC_R_INTENT);
	u8 *there;

	KUNIT_ASSERT_NOT_NULL(test, r);
	there = ctx->dev[0].data + vaio_sc_page_offset(r, 0, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, 0, p), 0);
	KUNIT_EXPECT_EQ(test, p->bits[0], 0);
	p->bits[0] = 0x5a;
	ctx->dev[0].notes = 0;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_write(sc, r->type, 0, 0, p, true), 0);
	KUNIT_EXPECT_EQ(test, ctx->dev[0].note[0].offset, vaio_sc_page_offset(r, 0, 0));
	KUNIT_EXPECT_TRUE(test, ctx->dev[0].note[0].opf & REQ_FUA);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_write(sc, r->type, 0, 0, p, false), 0);
	KUNIT_EXPECT_FALSE(test, ctx->dev[0].note[1].opf & (REQ_FUA | REQ_PREFLUSH));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_flush(sc), 0);
	KUNIT_EXPECT_TRUE(test, ctx->dev[0].note[2].opf & REQ_PREFLUSH);
	memset(p, 0, sizeof(*p));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, 0, p), 0);
	KUNIT_EXPECT_EQ(test, p->bits[0], 0x5a);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(p->sequence), 3);

	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, vaio_sc_map_pages(r), p), -ENOENT);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 1, 0, p), -ENOENT);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, VAIO_SC_R_CHANGE_EPOCHS, 0, 0, p), -ENOENT);

	/* torn: every bit counts as set */
	there[2000] ^= 4;
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, 0, p), -EBADMSG);
	KUNIT_EXPECT_NULL(test, memchr_inv(p->bits, 0xff, sizeof(p->bits)));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_write(sc, r->type, 0, 0, p, true), 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, 0, p), 0);

	ctx->dev[0].dead = true;
	memset(p, 0, sizeof(*p));
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, r->type, 0, 0, p), -EIO);
	KUNIT_EXPECT_NULL(test, memchr_inv(p->bits, 0xff, sizeof(p->bits)));
	ctx->dev[0].dead = false;
	vaio_sidecar_close(sc);
}

struct waiter {
	struct vaio_sidecar_io	io;
	struct completion	done;
	int			error;
};

static void waiter_end(struct vaio_sidecar_io *io, int error)
{
	struct waiter *w = container_of(io, struct waiter, io);

	w->error = error;
	complete(&w->done);
}

static void async_pages(struct kunit *test)
{
	struct context *ctx = test->priv;
	struct vaio_sidecar *sc = open_owned(test);
	struct waiter *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->io.end = waiter_end;
	init_completion(&w->done);
	vaio_sc_page_init(ctx->page, true);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_write_async(sc, VAIO_SC_R_BITMAP, 0, 99, ctx->page, true, &w->io), -ENOENT);
	KUNIT_ASSERT_EQ(test, vaio_sidecar_write_async(sc, VAIO_SC_R_BITMAP, 0, 0, ctx->page, true, &w->io), 0);
	wait_for_completion(&w->done);
	KUNIT_EXPECT_EQ(test, w->error, 0);
	KUNIT_EXPECT_EQ(test, vaio_sidecar_read(sc, VAIO_SC_R_BITMAP, 0, 0, ctx->page), 0);
	KUNIT_EXPECT_EQ(test, ctx->page[100], 0xff);

	reinit_completion(&w->done);
	ctx->dev[0].notes = 0;
	ctx->dev[0].fail_at = 0;
	KUNIT_ASSERT_EQ(test, vaio_sidecar_write_async(sc, VAIO_SC_R_BITMAP, 0, 0, ctx->page, true, &w->io), 0);
	wait_for_completion(&w->done);
	KUNIT_EXPECT_EQ(test, w->error, -EIO);
	KUNIT_EXPECT_TRUE(test, vaio_sidecar_failed(sc));
	vaio_sidecar_close(sc);
}

static struct kunit_case sidecar_cases[] = {
	KUNIT_CASE(right_one_opens),
	KUNIT_CASE(wrong_ones_are_refused),
	KUNIT_CASE(corrupt_ones_are_refused),
	KUNIT_CASE(torn_copy_is_mended),
	KUNIT_CASE(swapped_and_copied),
	KUNIT_CASE(one_holder),
	KUNIT_CASE(owning_is_durable),
	KUNIT_CASE(foreign_owner),
	KUNIT_CASE(dirty_cache_elsewhere),
	KUNIT_CASE(promised_to_another_host),
	KUNIT_CASE(conditions_are_durable),
	KUNIT_CASE(growth),
	KUNIT_CASE(failed_writes),
	KUNIT_CASE(owed_compare),
	KUNIT_CASE(failed_owning),
	KUNIT_CASE(pages),
	KUNIT_CASE(async_pages),
	{ }
};

static struct kunit_suite sidecar_suite = {
	.name = "sidecar",
	.init = sidecar_init,
	.exit = sidecar_exit,
	.test_cases = sidecar_cases,
};

static struct kunit_case sidecar_4k_cases[] = {
	KUNIT_CASE(torn_copy_is_mended),
	KUNIT_CASE(owning_is_durable),
	KUNIT_CASE(pages),
	{ }
};

static struct kunit_suite sidecar_4k_suite = {
	.name = "sidecar-4k",
	.init = sidecar_4k_init,
	.exit = sidecar_exit,
	.test_cases = sidecar_4k_cases,
};

kunit_test_suites(&sidecar_suite, &sidecar_4k_suite);
