/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only file that knows kernel versions.
 *
 * The newest kernel's API is the norm; what an older one lacks is made up here.
 * HAVE_x comes from kmod/probes.mk. One block for each area, so that the file
 * can be read by area.
 */
#ifndef _VAIO_COMPAT_H
#define _VAIO_COMPAT_H

/* --- general ------------------------------------------------------------- */

#include <linux/kernel.h>
#ifdef HAVE_LINUX_HEX_H
#include <linux/hex.h>
#endif

#include <linux/list.h>

#ifndef HAVE_LIST_COUNT_NODES
static inline size_t list_count_nodes(struct list_head *head)
{
	struct list_head *pos;
	size_t n = 0;

	list_for_each(pos, head)
		n++;
	return n;
}
#endif

/* What only the tests in vaio-kunit.ko call from outside. */
#if IS_ENABLED(CONFIG_KUNIT)
#define VAIO_EXPORT_FOR_KUNIT(symbol)	EXPORT_SYMBOL_GPL(symbol)
#else
#define VAIO_EXPORT_FOR_KUNIT(symbol)
#endif

/* --- generic netlink ------------------------------------------------------ */

/* Hooks of a family get the split form of an operation since 6.2. */
#ifndef HAVE_GENL_SPLIT_OPS
#define genl_split_ops genl_ops
#endif

/* --- block devices opened by path ---------------------------------------- */

#include <linux/blkdev.h>

struct vaio_bdev {
	struct block_device	*bdev;
#ifdef HAVE_BDEV_FILE
	struct file		*file;
#endif
};

/* For reading and writing, claimed exclusively for @holder. */
static inline int vaio_bdev_open(struct vaio_bdev *dev, const char *path, void *holder)
{
#ifdef HAVE_BDEV_FILE
	struct file *file = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);

	if (IS_ERR(file))
		return PTR_ERR(file);
	dev->file = file;
	dev->bdev = file_bdev(file);
#else
	struct block_device *bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE | FMODE_EXCL,
						       holder);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	dev->bdev = bdev;
#endif
	return 0;
}

/* Nothing when it is not open. */
static inline void vaio_bdev_close(struct vaio_bdev *dev)
{
	if (!dev->bdev)
		return;
#ifdef HAVE_BDEV_FILE
	bdev_fput(dev->file);
#else
	blkdev_put(dev->bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
#endif
	dev->bdev = NULL;
}

/* --- device-mapper and queue limits ---------------------------------------- */

#ifndef HAVE_BLK_MODE_T
typedef fmode_t blk_mode_t;
#define BLK_OPEN_WRITE	FMODE_WRITE
#endif

/* The question was the other way round before. */
#ifndef HAVE_BDEV_ROT
static inline bool bdev_rot(struct block_device *bdev)
{
	return !bdev_nonrot(bdev);
}
#endif

/* Before 6.4 every module wrote its own. */
#ifndef HAVE_MODULE_DM
#define module_dm(name)							\
static int __init dm_##name##_init(void)				\
{									\
	return dm_register_target(&(name##_target));			\
}									\
static void __exit dm_##name##_exit(void)				\
{									\
	dm_unregister_target(&(name##_target));				\
}									\
module_init(dm_##name##_init);						\
module_exit(dm_##name##_exit)
#endif

/* Cap discards, write-zeroes and secure erases; 512-byte units. */
static inline void vaio_limit_erasers(struct queue_limits *lim, unsigned int max)
{
	lim->max_discard_sectors = min(lim->max_discard_sectors, max);
	lim->max_hw_discard_sectors = min(lim->max_hw_discard_sectors, max);
	lim->max_secure_erase_sectors = min(lim->max_secure_erase_sectors, max);
	lim->max_write_zeroes_sectors = min(lim->max_write_zeroes_sectors, max);
#ifdef HAVE_WZEROES_UNMAP
	/* zero or the same, the block layer insists */
	if (lim->max_hw_wzeroes_unmap_sectors)
		lim->max_hw_wzeroes_unmap_sectors = lim->max_write_zeroes_sectors;
#endif
}

/* --- ciphers --------------------------------------------------------------- */

/* A cipher's callback gets what it was given, and no longer its request, since 6.3. */
#ifdef HAVE_CRYPTO_CALLBACK_DATA
typedef void vaio_crypto_arg;
#define vaio_crypto_data(arg)	(arg)
#else
#include <linux/crypto.h>
typedef struct crypto_async_request vaio_crypto_arg;
#define vaio_crypto_data(arg)	((arg)->data)
#endif

/* --- work queues ----------------------------------------------------------- */

/* Per-CPU is what a queue is on kernels that have no flag for it. */
#include <linux/workqueue.h>
#ifndef HAVE_WQ_PERCPU
#define WQ_PERCPU 0
#endif

/* --- timers ---------------------------------------------------------------- */

#include <linux/hrtimer.h>
static inline void vaio_hrtimer_setup(struct hrtimer *timer,
				      enum hrtimer_restart (*function)(struct hrtimer *timer),
				      clockid_t clock, enum hrtimer_mode mode)
{
#ifdef HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

/* --- queue limits of erasing requests --------------------------------------- */

static inline void vaio_limits_no_discard(struct queue_limits *lim)
{
	lim->max_discard_sectors = 0;
	lim->max_hw_discard_sectors = 0;
	lim->discard_granularity = 0;
	lim->discard_alignment = 0;
}

static inline void vaio_limits_no_write_zeroes(struct queue_limits *lim)
{
	lim->max_write_zeroes_sectors = 0;
#ifdef HAVE_WZEROES_UNMAP
	lim->max_hw_wzeroes_unmap_sectors = 0;
#endif
}

/* --- eventfd ----------------------------------------------------------------- */

#include <linux/eventfd.h>

/* Counts by one; it takes no number since 6.8. */
static inline void vaio_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef HAVE_EVENTFD_SIGNAL_ONE
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* --- memory mappings ----------------------------------------------------------- */

#include <linux/mm.h>

/* Flags of a mapping that is being made are set through functions since 6.3. */
#ifndef HAVE_VM_FLAGS_SET
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* --- hashes ---------------------------------------------------------------------- */

#include <crypto/blake2s.h>

/* BLAKE2s-256 without a key; the order of the arguments is another one since 6.18. */
static inline void vaio_blake2s(const u8 *data, size_t len, u8 digest[32])
{
#ifdef HAVE_BLAKE2S_CTX
	blake2s(NULL, 0, data, len, digest, 32);
#else
	blake2s(digest, data, NULL, 32, len, 0);
#endif
}

#endif /* _VAIO_COMPAT_H */
