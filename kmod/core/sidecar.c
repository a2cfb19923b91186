// SPDX-License-Identifier: GPL-2.0
/*
 * Sidecars on block devices: opening, reading, owning, writing.
 *
 * The superblock is written twice at each change, first over the copy that is
 * not the newest, then over the other one. Each write is preceded by a flush
 * and is itself durable before the next begins. A crash at any point leaves a
 * valid copy with the old or the new content, and a copy that goes bad later
 * takes nothing with it.
 *
 * All I/O is done with bios on the stack or in the caller's memory: writing a
 * sidecar never waits for memory.
 */
#define pr_fmt(fmt) "vaio: " fmt

#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "../compat.h"
#include "sidecar.h"

#define OP_READ		(REQ_OP_READ | REQ_META | REQ_SYNC)
#define OP_WRITE	(REQ_OP_WRITE | REQ_META | REQ_SYNC)

/*
 * A sidecar that was closed while it owed the flag must-compare: remembered until
 * it is opened again, or the module goes.
 */
struct debt {
	struct list_head	list;
	u8			uuid[VAIO_SC_ID_LEN];
};

/* An open sidecar. */
struct vaio_sidecar {
	/* under sidecars_lock */
	struct list_head	list;
	unsigned int		opens;		/* all by the one holder */
	struct debt		*debt;		/* memory for one */

	/* constant while it is open */
	void			*holder;
	char			*path;
	struct vaio_bdev	dev;
	struct vaio_sc_region	region[__VAIO_SC_R_COUNT]; /* by type; absent ones have no length */
	u8			uuid[VAIO_SC_ID_LEN];
	u64			page_seed;

	bool			failed;		/* a write failed; only ever set */
	bool			owned;		/* this host may write; set under the lock, read without */
	/* must-compare is to be set and could not be; set under the lock, read without */
	bool			owes_compare;
	bool			stands_in;	/* must-compare stands for bits that are not there yet */

	/*
	 * The lock is held across I/O. It protects what follows, and is never
	 * taken by netlink or the data path.
	 */
	struct mutex		lock;
	struct vaio_sc_super	sb;		/* what the newest superblock says */
	struct vaio_sc_super	next;		/* the change being made */
	void			*block;		/* buffer for superblocks */
	unsigned int		copy;		/* which one is the newest */
	/*
	 * The highest sequence ever given to the device. A write that failed may
	 * have arrived nevertheless, so that its number is not used again.
	 */
	u64			sequence;
	/* what the last opener knows */
	struct vaio_sc_host	me;
	u64			disk_bytes;
	u64			backing_bytes;
};

/* Protects the list and the number of opens; never held across I/O. */
static DEFINE_MUTEX(sidecars_lock);
static LIST_HEAD(sidecars);
static LIST_HEAD(debts);

static const unsigned int copy_offset[VAIO_SC_COPIES] = { VAIO_SC_COPY0, VAIO_SC_COPY1 };

static __printf(4, 5)
void explain(char *reason, size_t len, const char *path, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	snprintf(reason, len, "sidecar %s: %pV", path, &vaf);
	va_end(args);
}

/* Puts the device's name before a reason of the format engine. */
static void name_reason(char *reason, size_t len, const char *path)
{
	char *why = kstrdup(reason, GFP_NOIO);

	explain(reason, len, path, "%s", why ?: "refused");
	kfree(why);
}

/* --- input and output ---------------------------------------------------- */

static void prepare_bio(struct block_device *bdev, struct bio *bio, struct bio_vec *bvec,
			blk_opf_t opf, u64 offset, void *page)
{
	bio_init(bio, bdev, bvec, 1, opf);
	bio->bi_iter.bi_sector = offset >> SECTOR_SHIFT;
	__bio_add_page(bio, virt_to_page(page), VAIO_SC_PAGE, offset_in_page(page));
}

static int page_io(struct block_device *bdev, blk_opf_t opf, u64 offset, void *page)
{
	struct bio_vec bvec;
	struct bio bio;
	int err;

	prepare_bio(bdev, &bio, &bvec, opf, offset, page);
	err = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return err;
}

static void write_failed(struct vaio_sidecar *sc, int err)
{
	if (!xchg(&sc->failed, true))
		pr_err("sidecar %s: cannot be written (error %d)\n", sc->path, err);
}

/*
 * Makes sc->next durable and current. sc->lock is held. When only the second
 * copy fails the change is durable, but its redundancy is lost: that is an
 * error too.
 */
static int commit(struct vaio_sidecar *sc)
{
	char why[128];
	int i, err;

	/* never write what the next start would refuse */
	sc->next.sequence = sc->sequence + 1;
	err = vaio_sc_check(&sc->next, bdev_nr_bytes(sc->dev.bdev), why, sizeof(why));
	if (err) {
		pr_err("sidecar %s: not written: %s\n", sc->path, why);
		return err;
	}
	for (i = 0; i < VAIO_SC_COPIES && !err; i++) {
		unsigned int copy = !sc->copy;

		sc->next.sequence = ++sc->sequence;
		sc->next.written = ktime_get_real_seconds();
		vaio_sc_encode(&sc->next, copy, sc->block);
		err = page_io(sc->dev.bdev, OP_WRITE | REQ_PREFLUSH | REQ_FUA,
			      copy_offset[copy], sc->block);
		if (err) {
			write_failed(sc, err);
			break;
		}
		sc->copy = copy;
		sc->sb = sc->next;
	}
	return err;
}

/* Begins a change: locks, and gives the superblock to be changed. */
static struct vaio_sc_super *begin(struct vaio_sidecar *sc)
{
	mutex_lock(&sc->lock);
	sc->next = sc->sb;
	/* whatever is written next says so too */
	if (sc->owes_compare)
		sc->next.flags |= VAIO_SC_F_MUST_COMPARE;
	return &sc->next;
}

/* Ends it: writes what changed, if something did and the sidecar is ours. */
static int end(struct vaio_sidecar *sc)
{
	int err = 0;

	if (!sc->owned)
		err = -EROFS;
	else if (memcmp(&sc->next, &sc->sb, sizeof(sc->sb)))
		err = commit(sc);
	if (!err)
		WRITE_ONCE(sc->owes_compare, false);
	mutex_unlock(&sc->lock);
	return err;
}

/* --- opening ------------------------------------------------------------- */

static int open_device(struct vaio_sidecar *sc, char *reason, size_t len)
{
	int err = vaio_bdev_open(&sc->dev, sc->path, sc->holder);

	switch (err) {
	case 0:
		break;
	case -EBUSY:
		explain(reason, len, sc->path, "is in use by something else");
		return err;
	case -ENOENT:
		explain(reason, len, sc->path, "there is no such device");
		return err;
	case -ENOTBLK:
		explain(reason, len, sc->path, "is not a block device");
		return err;
	default:
		explain(reason, len, sc->path, "cannot be opened for writing (error %d)", err);
		return err;
	}
	if (bdev_logical_block_size(sc->dev.bdev) > VAIO_SC_PAGE) {
		explain(reason, len, sc->path, "has blocks of %u bytes, more than %u",
			bdev_logical_block_size(sc->dev.bdev), VAIO_SC_PAGE);
		return -EINVAL;
	}
	if (bdev_nr_bytes(sc->dev.bdev) < VAIO_SC_DATA) {
		explain(reason, len, sc->path, "holds no sidecar (it has only %llu bytes)",
			(u64)bdev_nr_bytes(sc->dev.bdev));
		return -ENODATA;
	}
	return 0;
}

static int read_super(struct vaio_sidecar *sc, char *reason, size_t len)
{
	struct block_device *bdev = sc->dev.bdev;
	void *other = (void *)get_zeroed_page(GFP_NOIO);
	void *block[VAIO_SC_COPIES] = { sc->block, other };
	struct vaio_sc_pick pick;
	int i, err, failed = 0;

	if (!other) {
		explain(reason, len, sc->path, "no memory");
		return -ENOMEM;
	}
	for (i = 0; i < VAIO_SC_COPIES; i++) {
		err = page_io(bdev, OP_READ, copy_offset[i], block[i]);
		if (err) {
			/* as good as corrupt */
			pr_warn("sidecar %s: superblock %d cannot be read (error %d)\n",
				sc->path, i, err);
			memset(block[i], 0, VAIO_SC_PAGE);
			failed++;
		}
	}
	if (failed == VAIO_SC_COPIES) {
		explain(reason, len, sc->path, "neither superblock can be read (error %d)", err);
		err = -EIO;
		goto out;
	}
	err = vaio_sc_pick(block[0], block[1], &pick, reason, len);
	/* one copy unreadable, the other gone: not the word of an empty device */
	if (err == -ENODATA && failed)
		err = -EIO;
	if (!err)
		err = vaio_sc_decode(block[pick.copy], pick.copy, bdev_nr_bytes(bdev), &sc->sb,
				     reason, len);
	if (err) {
		name_reason(reason, len, sc->path);
		goto out;
	}
	if (pick.bad)
		pr_warn("sidecar %s: superblock %u is torn or corrupt; going on with the other one, sequence %llu\n",
			sc->path, !pick.copy, sc->sb.sequence);
	sc->copy = pick.copy;
	/* the bad copy may come back with the number that follows */
	sc->sequence = sc->sb.sequence + 1;
	sc->page_seed = sc->sb.page_seed;
	memcpy(sc->uuid, sc->sb.sidecar_uuid, VAIO_SC_ID_LEN);
	for (i = 0; i < __VAIO_SC_R_COUNT; i++) {
		const struct vaio_sc_region *r = vaio_sc_find(&sc->sb, i);

		if (r)
			sc->region[i] = *r;
	}
out:
	free_page((unsigned long)other);
	return err;
}

/* Is it the right one? Then remember what the opener knows of the disk. */
static int match(struct vaio_sidecar *sc, const struct vaio_sidecar_expect *expect,
		 char *reason, size_t len)
{
	struct vaio_sc_expect want = {
		.identity = expect->identity,
		.backing_bytes = expect->backing_sectors << SECTOR_SHIFT,
		.disk_bytes = expect->disk_sectors << SECTOR_SHIFT,
		.block_size = expect->block_size,
	};
	int err;

	export_uuid(want.disk_uuid, &expect->disk_uuid);
	mutex_lock(&sc->lock);
	err = vaio_sc_match(&sc->sb, &want, reason, len);
	if (!err) {
		sc->disk_bytes = want.disk_bytes;
		sc->backing_bytes = max(want.backing_bytes, want.disk_bytes);
		memcpy(sc->me.host, expect->host_id, VAIO_SC_ID_LEN);
		memcpy(sc->me.boot, expect->boot_id, VAIO_SC_ID_LEN);
	}
	mutex_unlock(&sc->lock);
	if (err)
		name_reason(reason, len, sc->path);
	return err;
}

static void free_sidecar(struct vaio_sidecar *sc)
{
	vaio_bdev_close(&sc->dev);
	free_page((unsigned long)sc->block);
	kfree(sc->path);
	kfree(sc->debt);
	mutex_destroy(&sc->lock);
	kvfree(sc);
}

static struct vaio_sidecar *alloc_sidecar(const char *path, void *holder)
{
	struct vaio_sidecar *sc = kvzalloc(sizeof(*sc), GFP_KERNEL);

	if (!sc)
		return NULL;
	mutex_init(&sc->lock);
	sc->holder = holder;
	sc->opens = 1;
	sc->path = kstrdup(path, GFP_KERNEL);
	sc->block = (void *)get_zeroed_page(GFP_KERNEL);
	sc->debt = kzalloc(sizeof(*sc->debt), GFP_KERNEL);
	if (!sc->path || !sc->block || !sc->debt) {
		free_sidecar(sc);
		return NULL;
	}
	return sc;
}

/* The sidecar that is open already on a device; only the same holder can have one. */
static struct vaio_sidecar *find_open(struct block_device *bdev)
{
	struct vaio_sidecar *q, *found = NULL;

	mutex_lock(&sidecars_lock);
	list_for_each_entry(q, &sidecars, list) {
		if (q->dev.bdev == bdev) {
			q->opens++;
			found = q;
			break;
		}
	}
	mutex_unlock(&sidecars_lock);
	return found;
}

/* sidecars_lock held */
static void take_debt(struct vaio_sidecar *sc)
{
	struct debt *debt;

	list_for_each_entry(debt, &debts, list) {
		if (!memcmp(debt->uuid, sc->uuid, VAIO_SC_ID_LEN)) {
			list_del(&debt->list);
			kfree(debt);
			sc->owes_compare = true;
			return;
		}
	}
}

/*
 * Enters a sidecar that was read into the list. Returns it; or the one that the
 * same holder has opened meanwhile; or an error when another device holds a copy
 * of it.
 */
static struct vaio_sidecar *enlist(struct vaio_sidecar *sc, char *reason, size_t len)
{
	struct vaio_sidecar *q;

	mutex_lock(&sidecars_lock);
	list_for_each_entry(q, &sidecars, list) {
		if (q->dev.bdev == sc->dev.bdev) {
			q->opens++;
			goto out;
		}
		if (!memcmp(q->uuid, sc->uuid, VAIO_SC_ID_LEN)) {
			explain(reason, len, sc->path,
				"is a copy of sidecar %s, which is in use (UUID %pUb); `vaioctl sidecar adopt` mends it",
				q->path, sc->uuid);
			q = ERR_PTR(-EBUSY);
			goto out;
		}
	}
	list_add(&sc->list, &sidecars);
	take_debt(sc);
	q = sc;
out:
	mutex_unlock(&sidecars_lock);
	return q;
}

static struct vaio_sidecar *do_open(const char *path, const struct vaio_sidecar_expect *expect,
				    void *holder, char *reason, size_t len)
{
	struct vaio_sidecar *sc, *found = NULL;
	int err;

	sc = alloc_sidecar(path, holder);
	if (!sc) {
		explain(reason, len, path, "no memory");
		return ERR_PTR(-ENOMEM);
	}
	err = open_device(sc, reason, len);
	if (!err)
		found = find_open(sc->dev.bdev);
	/* what is open may be writing its superblock: it is not read again */
	if (!err && !found)
		err = read_super(sc, reason, len);
	if (err) {
		free_sidecar(sc);
		return ERR_PTR(err);
	}
	if (!found)
		found = enlist(sc, reason, len);
	if (found != sc)
		free_sidecar(sc);
	if (IS_ERR(found))
		return found;
	err = match(found, expect, reason, len);
	if (err) {
		vaio_sidecar_close(found);
		return ERR_PTR(err);
	}
	return found;
}

struct vaio_sidecar *vaio_sidecar_open(const char *path, const struct vaio_sidecar_expect *expect,
				       void *holder, char *reason, size_t len)
{
	unsigned int noio = memalloc_noio_save();
	struct vaio_sidecar *sc = do_open(path, expect, holder, reason, len);

	memalloc_noio_restore(noio);
	return sc;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_open);

void vaio_sidecar_close(struct vaio_sidecar *sc)
{
	bool last;

	mutex_lock(&sidecars_lock);
	last = --sc->opens == 0;
	if (last)
		list_del(&sc->list);
	if (last && sc->owes_compare) {
		memcpy(sc->debt->uuid, sc->uuid, VAIO_SC_ID_LEN);
		list_add(&sc->debt->list, &debts);
		sc->debt = NULL;
	}
	mutex_unlock(&sidecars_lock);
	if (last)
		free_sidecar(sc);
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_close);

/* The module goes; no sidecar is open. */
void vaio_sidecars_exit(void)
{
	struct debt *debt, *next;

	list_for_each_entry_safe(debt, next, &debts, list)
		kfree(debt);
}

/* --- owning -------------------------------------------------------------- */

static void note_size(struct vaio_sc_super *sb, u64 disk_bytes, u64 backing_bytes)
{
	sb->disk_bytes = max(sb->disk_bytes, disk_bytes);
	sb->backing_bytes = max3(sb->backing_bytes, backing_bytes, sb->disk_bytes);
}

int vaio_sidecar_own(struct vaio_sidecar *sc, enum vaio_sc_how how, bool *unclean,
		     char *reason, size_t len)
{
	struct vaio_sc_super *sb = begin(sc);
	bool owned = sc->owned;
	int err = 0;

	*unclean = false;
	if (!owned)
		err = vaio_sc_own(sb, &sc->me, how, ktime_get_real_seconds(), unclean, reason, len);
	if (err) {
		name_reason(reason, len, sc->path);
		mutex_unlock(&sc->lock);
		return err;
	}
	if (sc->stands_in)
		sb->flags |= VAIO_SC_F_MUST_COMPARE;
	/* growth is noted when there are bits for it */
	if (!sb->disk_bytes)
		note_size(sb, sc->disk_bytes, sc->backing_bytes);
	WRITE_ONCE(sc->owned, true);
	err = end(sc);
	if (err) {
		WRITE_ONCE(sc->owned, owned);
		explain(reason, len, sc->path, "cannot be written (error %d)", err);
	}
	return err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_own);

int vaio_sidecar_release(struct vaio_sidecar *sc)
{
	int err;

	vaio_sc_release(begin(sc));
	err = end(sc);
	WRITE_ONCE(sc->owned, false);
	return err == -EROFS ? 0 : err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_release);

int vaio_sidecar_promise(struct vaio_sidecar *sc, const u8 *next_host, char *reason, size_t len)
{
	int err = vaio_sc_promise(begin(sc), next_host, ktime_get_real_seconds(), reason, len);

	if (err) {
		name_reason(reason, len, sc->path);
		mutex_unlock(&sc->lock);
		return err;
	}
	err = end(sc);
	if (err)
		explain(reason, len, sc->path, "cannot be written (error %d)", err);
	else
		WRITE_ONCE(sc->owned, false);
	return err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_promise);

static int set_flag(struct vaio_sidecar *sc, u32 flag, bool on)
{
	struct vaio_sc_super *sb = begin(sc);

	sb->flags = on ? sb->flags | flag : sb->flags & ~flag;
	return end(sc);
}

int vaio_sidecar_set_must_compare(struct vaio_sidecar *sc, bool on)
{
	struct vaio_sc_super *sb = begin(sc);

	if (on) {
		sb->flags |= VAIO_SC_F_MUST_COMPARE;
		/* until it is written; one that is not ours was not ours to note in */
		if (sc->owned)
			WRITE_ONCE(sc->owes_compare, true);
	} else {
		sb->flags &= ~VAIO_SC_F_MUST_COMPARE;
	}
	sc->stands_in = false;
	return end(sc);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_set_must_compare);

void vaio_sidecar_stand_in(struct vaio_sidecar *sc)
{
	mutex_lock(&sc->lock);
	sc->stands_in = !sc->owned && !(sc->sb.flags & VAIO_SC_F_MUST_COMPARE);
	mutex_unlock(&sc->lock);
}

bool vaio_sidecar_stands_in(struct vaio_sidecar *sc)
{
	bool stands_in;

	mutex_lock(&sc->lock);
	stands_in = sc->stands_in;
	mutex_unlock(&sc->lock);
	return stands_in;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_stands_in);

int vaio_sidecar_set_source_damaged(struct vaio_sidecar *sc, bool on)
{
	return set_flag(sc, VAIO_SC_F_SOURCE_DAMAGED, on);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_set_source_damaged);

int vaio_sidecar_set_alone(struct vaio_sidecar *sc, bool on)
{
	struct vaio_sc_super *sb = begin(sc);

	/* already alone: since the generation in which it began */
	if (on && !(sb->flags & VAIO_SC_F_ALONE)) {
		sb->flags |= VAIO_SC_F_ALONE;
		sb->alone_gen = sb->current_gen;
	} else if (!on) {
		sb->flags &= ~VAIO_SC_F_ALONE;
		memset(&sb->alone_gen, 0, sizeof(sb->alone_gen));
	}
	return end(sc);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_set_alone);

int vaio_sidecar_set_cache(struct vaio_sidecar *sc, const u8 *cache_uuid, u64 generation)
{
	struct vaio_sc_super *sb;

	if (cache_uuid && vaio_sc_id_is_nil(cache_uuid))
		return -EINVAL;
	sb = begin(sc);
	if (cache_uuid) {
		sb->flags |= VAIO_SC_F_CACHE_DIRTY;
		memcpy(sb->cache_uuid, cache_uuid, VAIO_SC_ID_LEN);
		sb->cache_generation = generation;
	} else {
		sb->flags &= ~VAIO_SC_F_CACHE_DIRTY;
		memset(sb->cache_uuid, 0, VAIO_SC_ID_LEN);
		sb->cache_generation = 0;
	}
	return end(sc);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_set_cache);

int vaio_sidecar_check_grow(struct vaio_sidecar *sc, u64 new_sectors, char *reason, size_t len)
{
	int err;

	mutex_lock(&sc->lock);
	err = vaio_sc_check_grow(&sc->sb, new_sectors << SECTOR_SHIFT, reason, len);
	mutex_unlock(&sc->lock);
	if (err)
		name_reason(reason, len, sc->path);
	return err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_check_grow);

int vaio_sidecar_grow(struct vaio_sidecar *sc, u64 new_sectors, char *reason, size_t len)
{
	int err = vaio_sidecar_check_grow(sc, new_sectors, reason, len);

	if (err)
		return err;
	note_size(begin(sc), new_sectors << SECTOR_SHIFT, 0);
	err = end(sc);
	if (err)
		explain(reason, len, sc->path, "cannot be written (error %d)", err);
	return err;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sidecar_grow);

/* --- looking ------------------------------------------------------------- */

u32 vaio_sidecar_flags(const struct vaio_sidecar *sc)
{
	return READ_ONCE(sc->sb.flags);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_flags);

bool vaio_sidecar_owned(const struct vaio_sidecar *sc)
{
	return READ_ONCE(sc->owned);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_owned);

bool vaio_sidecar_owes_compare(const struct vaio_sidecar *sc)
{
	return READ_ONCE(sc->owes_compare);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_owes_compare);

bool vaio_sidecar_failed(const struct vaio_sidecar *sc)
{
	return READ_ONCE(sc->failed);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_failed);

const char *vaio_sidecar_path(const struct vaio_sidecar *sc)
{
	return sc->path;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_path);

struct block_device *vaio_sidecar_bdev(const struct vaio_sidecar *sc)
{
	return sc->dev.bdev;
}

const struct vaio_sc_region *vaio_sidecar_region(const struct vaio_sidecar *sc, u32 type)
{
	if (type >= __VAIO_SC_R_COUNT || !sc->region[type].length)
		return NULL;
	return &sc->region[type];
}
EXPORT_SYMBOL_GPL(vaio_sidecar_region);

void vaio_sidecar_get(struct vaio_sidecar *sc, struct vaio_sc_super *out)
{
	mutex_lock(&sc->lock);
	*out = sc->sb;
	mutex_unlock(&sc->lock);
}
EXPORT_SYMBOL_GPL(vaio_sidecar_get);

/* --- pages of regions ---------------------------------------------------- */

static u64 page_offset_of(const struct vaio_sidecar *sc, u32 type, u32 map, u64 index)
{
	const struct vaio_sc_region *region = vaio_sidecar_region(sc, type);

	return region ? vaio_sc_page_offset(region, map, index) : 0;
}

int vaio_sidecar_read(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page)
{
	u64 offset = page_offset_of(sc, type, map, index);
	int err;

	if (!offset)
		return -ENOENT;
	err = page_io(sc->dev.bdev, OP_READ, offset, page);
	if (!err)
		err = vaio_sc_page_check(page, sc->page_seed, type, map, index);
	if (err) {
		pr_warn_ratelimited("sidecar %s: page %llu of region '%s' %s: all of it counts as set\n",
				    sc->path, index, vaio_sc_region_name(type),
				    err == -EBADMSG ? "is torn or corrupt" : "cannot be read");
		vaio_sc_page_init(page, true);
	}
	return err;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_read);

/* Checks and seals; gives the place on the device, or a negative error. */
static s64 prepare_write(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page)
{
	u64 offset = page_offset_of(sc, type, map, index);

	if (!offset)
		return -ENOENT;
	if (!vaio_sidecar_owned(sc))
		return -EROFS;
	vaio_sc_page_seal(page, sc->page_seed, type, map, index);
	return offset;
}

int vaio_sidecar_write(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page, bool fua)
{
	s64 offset = prepare_write(sc, type, map, index, page);
	int err;

	if (offset < 0)
		return offset;
	err = page_io(sc->dev.bdev, OP_WRITE | (fua ? REQ_FUA : 0), offset, page);
	if (err)
		write_failed(sc, err);
	return err;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_write);

int vaio_sidecar_flush(struct vaio_sidecar *sc)
{
	int err = blkdev_issue_flush(sc->dev.bdev);

	if (err)
		write_failed(sc, err);
	return err;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_flush);

static void write_end_io(struct bio *bio)
{
	struct vaio_sidecar_io *io = container_of(bio, struct vaio_sidecar_io, bio);
	int err = blk_status_to_errno(bio->bi_status);

	bio_uninit(bio);
	if (err)
		write_failed(io->sc, err);
	io->end(io, err);
}

int vaio_sidecar_write_async(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page,
			     bool fua, struct vaio_sidecar_io *io)
{
	s64 offset = prepare_write(sc, type, map, index, page);

	if (offset < 0)
		return offset;
	io->sc = sc;
	prepare_bio(sc->dev.bdev, &io->bio, &io->bvec, OP_WRITE | (fua ? REQ_FUA : 0), offset, page);
	io->bio.bi_end_io = write_end_io;
	submit_bio(&io->bio);
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_sidecar_write_async);
