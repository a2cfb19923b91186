/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sidecars: a disk's metadata on a device of its own.
 *
 * All functions may sleep and wait for I/O of the sidecar's device, unless they
 * say otherwise. Filters get it with vaio_slot_sidecar(), and may call those that
 * set conditions, look, and read and write pages, from start(), stop() and their
 * workers; never from another hook. None may be called from netlink or from a
 * message handler. "reason" receives one sentence that names the device.
 */
#ifndef _VAIO_SIDECAR_H
#define _VAIO_SIDECAR_H

#include <linux/bio.h>
#include <linux/uuid.h>
#include "sidecar_format.h"

struct vaio_sidecar;

/**
 * struct vaio_sidecar_expect - what a table knows of its sidecar
 * @disk_uuid: of the disk
 * @disk_sectors: size of the disk, 512-byte units
 * @backing_sectors: size of the backing device; 0 is not compared
 * @block_size: logical block size of the disk, bytes
 * @identity: of the backing device, "kind:string"; NULL is not compared
 * @host_id: of this host
 * @boot_id: of its boot
 */
struct vaio_sidecar_expect {
	uuid_t		disk_uuid;
	u64		disk_sectors;
	u64		backing_sectors;
	u32		block_size;
	const char	*identity;
	u8		host_id[VAIO_SC_ID_LEN];
	u8		boot_id[VAIO_SC_ID_LEN];
};

/**
 * vaio_sidecar_open - open, read and verify a sidecar; writes nothing
 * @path: block device
 * @expect: copied
 * @holder: claims the device exclusively, not NULL. The same holder gets the
 *	same sidecar again (a table reload) and must close it as often.
 * @reason: receives why not
 * @len: of @reason
 *
 * Return: the sidecar or an error pointer. -EIO: corrupt, hostile or unreadable;
 * -ENODATA: no sidecar there; -EPROTONOSUPPORT: of a newer version;
 * -EMEDIUMTYPE: of another disk or backing device; -EBUSY: in use, or the copy
 * of one in use; -ENOSPC, -EINVAL: does not fit this disk; or what opening gave.
 */
struct vaio_sidecar *vaio_sidecar_open(const char *path, const struct vaio_sidecar_expect *expect,
				       void *holder, char *reason, size_t len);
void vaio_sidecar_close(struct vaio_sidecar *sc);
void vaio_sidecars_exit(void);

/**
 * vaio_sidecar_own - take ownership: state active, durable on return
 * @sc: the sidecar
 * @how: how hard to insist
 * @unclean: the last owner did not release it: dirty = bitmap OR intent
 * @reason: receives why not
 * @len: of @reason
 *
 * Also notes the size of a disk that starts for the first time. A second call does
 * nothing. That a disk has grown says vaio_sidecar_grow(), when its filters have
 * started: until then they see the size that the region's bits are for.
 *
 * It counts what the sidecar said when it was opened, and writes that. Its owner may
 * have written it since: who was refused closes it, and opens it for the next try.
 *
 * Return: 0, -EBUSY (owned by another host, or dirty blocks are in its cache)
 * or -EIO.
 */
int vaio_sidecar_own(struct vaio_sidecar *sc, enum vaio_sc_how how, bool *unclean,
		     char *reason, size_t len);
/*
 * State clean, and what is owed in the same write. On error it stays active, so that
 * the next start counts as unclean.
 */
int vaio_sidecar_release(struct vaio_sidecar *sc);
/* State standby: only @next_host may own it without a takeover. -EBUSY with a dirty cache. */
int vaio_sidecar_promise(struct vaio_sidecar *sc, const u8 *next_host, char *reason, size_t len);

/*
 * Conditions, durable on return; need ownership (-EROFS). On failure the old
 * condition holds here, and either one may be found after a restart.
 */
/*
 * When it cannot be set the sidecar owes it: every later change of the superblock sets
 * it too, so that the sidecar cannot become clean without it. Also after it was closed
 * and opened again, but not when the module was unloaded in between.
 */
int vaio_sidecar_set_must_compare(struct vaio_sidecar *sc, bool on);
/*
 * Not yet owned, of a disk that knows bits that are not on it: it says must-compare as
 * soon as it is owned, in place of them. Nothing when it says so by itself.
 */
void vaio_sidecar_stand_in(struct vaio_sidecar *sc);
/* It does so, until must-compare is set or taken away. */
bool vaio_sidecar_stands_in(struct vaio_sidecar *sc);
int vaio_sidecar_set_source_damaged(struct vaio_sidecar *sc, bool on);
/* Alone since the current generation. */
int vaio_sidecar_set_alone(struct vaio_sidecar *sc, bool on);
/* The cache that may hold dirty blocks; NULL for none. */
int vaio_sidecar_set_cache(struct vaio_sidecar *sc, const u8 *cache_uuid, u64 generation);

/* Any size from the present to the capacity; -ENOSPC, -EINVAL, changes nothing. */
int vaio_sidecar_check_grow(struct vaio_sidecar *sc, u64 new_sectors, char *reason, size_t len);
/* The same, and notes the new size, durable on return. */
int vaio_sidecar_grow(struct vaio_sidecar *sc, u64 new_sectors, char *reason, size_t len);

/* Look without waiting, any context. */
u32 vaio_sidecar_flags(const struct vaio_sidecar *sc);		/* VAIO_SC_F_* */
bool vaio_sidecar_owned(const struct vaio_sidecar *sc);
bool vaio_sidecar_owes_compare(const struct vaio_sidecar *sc);
bool vaio_sidecar_failed(const struct vaio_sidecar *sc);	/* a write failed since it was opened */
const char *vaio_sidecar_path(const struct vaio_sidecar *sc);
struct block_device *vaio_sidecar_bdev(const struct vaio_sidecar *sc);
/* NULL when this sidecar has none; constant while it is open. */
const struct vaio_sc_region *vaio_sidecar_region(const struct vaio_sidecar *sc, u32 type);
/* A copy of the superblock; waits while one is being written. */
void vaio_sidecar_get(struct vaio_sidecar *sc, struct vaio_sc_super *out);

/*
 * Pages of regions. @page is a whole page of memory in the format of struct
 * vaio_sc_disk_page. A page is read before it is first written, so that its
 * sequence goes on.
 */

/**
 * vaio_sidecar_read - read a page and verify it
 * @sc: the sidecar
 * @type: of the region
 * @map: which of its maps
 * @index: which page of the map
 * @page: where to
 *
 * Return: 0. -EBADMSG: it cannot be trusted, @page is now all ones. -EIO: not
 * readable, @page is all ones. -ENOENT: no such region or page.
 */
int vaio_sidecar_read(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page);

/**
 * vaio_sidecar_write - seal a page and write it
 * @sc: the sidecar
 * @type: of the region
 * @map: which of its maps
 * @index: which page of the map
 * @page: what to write
 * @fua: durable on return; otherwise vaio_sidecar_flush() makes it so
 *
 * Needs ownership. @page must not change meanwhile. Return: 0, -EROFS, -ENOENT,
 * -EIO.
 */
int vaio_sidecar_write(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page, bool fua);
int vaio_sidecar_flush(struct vaio_sidecar *sc);

/* A write that is not waited for; the caller's memory. */
struct vaio_sidecar_io {
	/* called once, in any context; may free the struct */
	void			(*end)(struct vaio_sidecar_io *io, int error);
	/* the rest is the sidecar's */
	struct vaio_sidecar	*sc;
	struct bio		bio;
	struct bio_vec		bvec;
};

/*
 * As vaio_sidecar_write(); process context, needs no memory. When it does not
 * return 0 @end is not called. All of them must have ended before release.
 */
int vaio_sidecar_write_async(struct vaio_sidecar *sc, u32 type, u32 map, u64 index, void *page,
			     bool fua, struct vaio_sidecar_io *io);

#endif /* _VAIO_SIDECAR_H */
