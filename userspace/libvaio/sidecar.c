// SPDX-License-Identifier: GPL-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "blockdev.h"
#include "image.h"
#include "sidecar.h"
#include "units.h"

#define CHUNK		(1U << 20)	/* bytes read or written at once */
#define EMPTY_BYTES	(128U << 10)	/* where signatures of other things are looked for */

static const unsigned int copy_offset[VAIO_SC_COPIES] = { VAIO_SC_COPY0, VAIO_SC_COPY1 };

/* --- ids ------------------------------------------------------------------ */

int vaio_id_parse(const char *uuid, u8 *id, struct vaio_err *e)
{
	char text[VAIO_SC_UUID_TEXT];
	int rc = vaio_uuid_parse(uuid, text, e);
	const char *p = text;

	for (int i = 0; i < VAIO_SC_ID_LEN && !rc; i++, p += 2) {
		p += *p == '-';
		sscanf(p, "%2hhx", &id[i]);
	}
	if (!rc && vaio_sc_id_is_nil(id))
		return vaio_fail(e, VAIO_USAGE, "'%s' is no UUID of anything", uuid);
	return rc;
}

int vaio_id_random(u8 *id, struct vaio_err *e)
{
	char text[VAIO_SC_UUID_TEXT];
	int rc = vaio_uuid_random(text, e);

	return rc ? rc : vaio_id_parse(text, id, e);
}

/* --- backing devices -------------------------------------------------------- */

int vaio_backing_describe(const char *path, struct vaio_backing *b, struct vaio_err *e)
{
	struct vaio_blockdev dev;
	struct stat st;
	int rc;

	memset(b, 0, sizeof(*b));
	if (stat(path, &st))
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", path);
	if (S_ISREG(st.st_mode)) {
		b->bytes = st.st_size / 512 * 512;
		b->block_size = 512;
		b->dev = st.st_dev;
		b->ino = st.st_ino;
		rc = vaio_file_identity(path, b->identity, sizeof(b->identity), e);
	} else {
		rc = vaio_blockdev_get(path, &dev, e);
		if (rc)
			return rc;
		b->bytes = dev.bytes;
		b->block_size = dev.block_size;
		b->dev = dev.dev;
		rc = vaio_blockdev_identity(dev.dev, b->identity, sizeof(b->identity), e);
	}
	if (!rc && !b->bytes)
		return vaio_fail(e, VAIO_FAILED, "'%s' has no size", path);
	return rc;
}

/* What a sidecar notes as block size; a file has none, and may get either from a loop device. */
static int note_block_size(struct vaio_sc_super *sb, const struct vaio_backing *b, struct vaio_err *e)
{
	if (b->block_size != 512 && b->block_size != 4096)
		return vaio_fail(e, VAIO_FAILED, "the backing device has blocks of %u bytes, neither 512 nor 4096",
				 b->block_size);
	sb->block_size = sb->identity_kind == VAIO_SC_ID_FILE ? 512 : b->block_size;
	return VAIO_OK;
}

/* --- the sidecar's file or device ------------------------------------------- */

static int in_use(const struct vaio_scfile *f, struct vaio_err *e)
{
	char users[512];

	vaio_blockdev_users(f->dev, users, sizeof(users));
	return vaio_fail(e, VAIO_INUSE, "sidecar %s: is in use: %s", f->path,
			 users[0] ? users : "the kernel says so, by whom is not visible from here");
}

static int open_block(struct vaio_scfile *f, enum vaio_scfile_mode mode, struct vaio_err *e)
{
	int flags = O_CLOEXEC | (mode >= VAIO_SCFILE_WRITE ? O_RDWR : O_RDONLY) |
		    (mode == VAIO_SCFILE_LOOK ? 0 : O_EXCL);
	uint64_t bytes;

	f->block_device = true;
	/* the kernel reads and writes it past the page cache: so do we where we can */
	f->fd = open(f->path, flags | O_DIRECT);
	if (f->fd < 0 && errno == EINVAL)
		f->fd = open(f->path, flags);
	if (f->fd < 0 && errno == EBUSY)
		return in_use(f, e);
	if (f->fd < 0 || ioctl(f->fd, BLKGETSIZE64, &bytes))
		return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s", f->path);
	f->bytes = bytes;
	return VAIO_OK;
}

static int open_file(struct vaio_scfile *f, enum vaio_scfile_mode mode, struct vaio_err *e)
{
	char loop[64];
	struct stat st;

	f->fd = open(f->path, O_CLOEXEC | (mode >= VAIO_SCFILE_WRITE ? O_RDWR : O_RDONLY) |
		     (mode == VAIO_SCFILE_CREATE ? O_CREAT : 0), 0600);
	if (f->fd < 0 || fstat(f->fd, &st))
		return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s", f->path);
	f->bytes = st.st_size;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	if (mode == VAIO_SCFILE_LOOK)
		return VAIO_OK;
	if (vaio_loop_of(st.st_dev, st.st_ino, loop, sizeof(loop)))
		return vaio_fail(e, VAIO_INUSE, "sidecar %s: is in use by %s", f->path, loop);
	if (flock(f->fd, LOCK_EX | LOCK_NB))
		return vaio_fail(e, VAIO_INUSE, "sidecar %s: is in use by another program", f->path);
	return VAIO_OK;
}

int vaio_scfile_open(struct vaio_scfile *f, const char *path, enum vaio_scfile_mode mode,
		     struct vaio_err *e)
{
	struct stat st;
	int rc;

	memset(f, 0, sizeof(*f));
	f->fd = -1;
	if (snprintf(f->path, sizeof(f->path), "%s", path) >= (int)sizeof(f->path))
		return vaio_fail(e, VAIO_USAGE, "sidecar: the path is too long");
	if (stat(path, &st)) {
		if (errno != ENOENT)
			return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s", path);
		/* a misspelt device must not become a file of that name */
		if (mode != VAIO_SCFILE_CREATE || !strncmp(path, "/dev/", 5))
			return vaio_fail(e, VAIO_NOTFOUND, "sidecar %s: there is no such file or device", path);
		st.st_mode = S_IFREG;
		f->created = true;
	}
	if (S_ISBLK(st.st_mode)) {
		f->dev = st.st_rdev;
		rc = open_block(f, mode, e);
	} else if (S_ISREG(st.st_mode)) {
		rc = open_file(f, mode, e);
	} else {
		return vaio_fail(e, VAIO_FAILED, "sidecar %s: is neither a block device nor a file", path);
	}
	if (rc)
		vaio_scfile_close(f);
	return rc;
}

void vaio_scfile_close(struct vaio_scfile *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Memory that is fit for O_DIRECT, zeroed. */
static void *alloc_pages(size_t bytes, struct vaio_err *e)
{
	void *p = aligned_alloc(VAIO_SC_PAGE, bytes);

	if (p)
		memset(p, 0, bytes);
	else
		vaio_fail(e, VAIO_FAILED, "no memory");
	return p;
}

static int read_at(const struct vaio_scfile *f, u64 offset, void *buf, size_t bytes,
		   struct vaio_err *e)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = pread(f->fd, (char *)buf + done, bytes - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s: reading at byte %llu", f->path,
					       offset + done);
		if (n == 0)
			return vaio_fail(e, VAIO_FAILED, "sidecar %s: ends at byte %llu", f->path, offset + done);
		done += n;
	}
	return VAIO_OK;
}

static int write_at(const struct vaio_scfile *f, u64 offset, const void *buf, size_t bytes,
		    struct vaio_err *e)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = pwrite(f->fd, (const char *)buf + done, bytes - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s: writing at byte %llu", f->path,
					       offset + done);
		done += n;
	}
	return VAIO_OK;
}

static int sync_file(const struct vaio_scfile *f, struct vaio_err *e)
{
	if (fsync(f->fd))
		return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s: flushing", f->path);
	return VAIO_OK;
}

/* --- superblocks -------------------------------------------------------------- */

static int refused(const struct vaio_scfile *f, int err, const char *reason, struct vaio_err *e)
{
	return vaio_fail(e, err == -ENODATA ? VAIO_NOTFOUND : VAIO_FAILED, "sidecar %s: %s",
			 f->path, reason);
}

int vaio_scfile_load(const struct vaio_scfile *f, struct vaio_sc_super *sb,
		     struct vaio_sc_pick *pick, struct vaio_err *e)
{
	char reason[VAIO_SC_REASON];
	struct vaio_sc_pick own_pick;
	u8 *blocks;
	int rc, err;

	if (!pick)
		pick = &own_pick;
	if (f->bytes < VAIO_SC_DATA)
		return refused(f, -ENODATA, "holds no sidecar", e);
	blocks = alloc_pages(2 * VAIO_SC_PAGE, e);
	if (!blocks)
		return VAIO_FAILED;
	/* a copy that cannot be read is as good as corrupt */
	rc = read_at(f, copy_offset[0], blocks, VAIO_SC_PAGE, e);
	if (rc)
		memset(blocks, 0, VAIO_SC_PAGE);
	if (read_at(f, copy_offset[1], blocks + VAIO_SC_PAGE, VAIO_SC_PAGE, e)) {
		if (rc) {
			free(blocks);
			return rc;
		}
		memset(blocks + VAIO_SC_PAGE, 0, VAIO_SC_PAGE);
	}
	err = vaio_sc_pick(blocks, blocks + VAIO_SC_PAGE, pick, reason, sizeof(reason));
	if (!err)
		err = vaio_sc_decode(blocks + pick->copy * VAIO_SC_PAGE, pick->copy, f->bytes, sb,
				     reason, sizeof(reason));
	free(blocks);
	return err ? refused(f, err, reason, e) : VAIO_OK;
}

int vaio_scfile_load_copy(const struct vaio_scfile *f, unsigned int copy,
			  struct vaio_sc_super *sb, struct vaio_err *e)
{
	char reason[VAIO_SC_REASON];
	void *block;
	int rc, err;

	if (f->bytes < VAIO_SC_DATA)
		return refused(f, -ENODATA, "holds no sidecar", e);
	block = alloc_pages(VAIO_SC_PAGE, e);
	if (!block)
		return VAIO_FAILED;
	rc = read_at(f, copy_offset[copy], block, VAIO_SC_PAGE, e);
	if (!rc) {
		err = vaio_sc_decode(block, copy, f->bytes, sb, reason, sizeof(reason));
		if (err)
			rc = vaio_fail(e, err == -ENODATA ? VAIO_NOTFOUND : VAIO_FAILED, "%s", reason);
	}
	free(block);
	return rc;
}

int vaio_scfile_store(const struct vaio_scfile *f, struct vaio_sc_super *sb,
		      unsigned int newest, struct vaio_err *e)
{
	char reason[VAIO_SC_REASON];
	void *block;
	int rc = VAIO_OK;

	/* the number that follows may be on the other copy, not readable at this moment */
	sb->sequence++;
	for (int i = 0; i < VAIO_SC_COPIES && !rc; i++) {
		newest = !newest;
		sb->sequence++;
		sb->written = time(NULL);
		if (vaio_sc_check(sb, f->bytes, reason, sizeof(reason)))
			return refused(f, -EIO, reason, e);
		block = alloc_pages(VAIO_SC_PAGE, e);
		if (!block)
			return VAIO_FAILED;
		vaio_sc_encode(sb, newest, block);
		rc = write_at(f, copy_offset[newest], block, VAIO_SC_PAGE, e);
		free(block);
		if (!rc)
			rc = sync_file(f, e);
	}
	return rc;
}

/* --- format ------------------------------------------------------------------- */

/* Is there something that a format would destroy? */
static int check_empty(const struct vaio_scfile *f, struct vaio_err *e)
{
	struct vaio_sc_super *sb = malloc(sizeof(*sb));
	size_t bytes = f->bytes < EMPTY_BYTES ? f->bytes / VAIO_SC_PAGE * VAIO_SC_PAGE : EMPTY_BYTES;
	char uuid[VAIO_SC_UUID_TEXT], signature[64];
	u8 *buf = NULL;
	int rc;

	if (!sb)
		return vaio_fail(e, VAIO_FAILED, "no memory");
	rc = vaio_scfile_load(f, sb, NULL, e);
	if (!rc) {
		vaio_sc_uuid_text(sb->disk_uuid, uuid);
		rc = vaio_fail(e, VAIO_REFUSED, "sidecar %s: is one already, of disk %s; --force overwrites it",
			       f->path, uuid);
	} else if (rc != VAIO_NOTFOUND) {
		rc = vaio_fail(e, VAIO_REFUSED, "sidecar %s: holds a sidecar, though a damaged one; --force overwrites it",
			       f->path);
	} else {
		rc = VAIO_OK;
	}
	free(sb);
	if (rc || !bytes)
		return rc;

	buf = alloc_pages(bytes, e);
	if (!buf)
		return VAIO_FAILED;
	rc = read_at(f, 0, buf, bytes, e);
	for (size_t i = 0; !rc && i < bytes; i++) {
		if (!buf[i])
			continue;
		if (vaio_signature(f->path, signature, sizeof(signature), NULL) || !signature[0])
			snprintf(signature, sizeof(signature), "data at byte %zu", i);
		rc = vaio_fail(e, VAIO_REFUSED, "sidecar %s: is not empty (%s); --force overwrites it",
			       f->path, signature);
	}
	free(buf);
	return rc;
}

/* Has the filesystem room for a file of that size? Better asked than filled. */
static int check_space(const struct vaio_scfile *f, u64 needed, struct vaio_err *e)
{
	struct statvfs fs;
	u64 there;

	if (fstatvfs(f->fd, &fs))
		return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s", f->path);
	there = (u64)fs.f_bavail * fs.f_frsize + f->bytes;
	if (needed > there)
		return vaio_fail(e, VAIO_FAILED, "sidecar %s: needs %llu bytes, its filesystem has %llu",
				 f->path, needed, there);
	return VAIO_OK;
}

/* The regions, and whether they fit. */
static int lay_out(struct vaio_scfile *f, const struct vaio_sidecar_params *p,
		   struct vaio_sc_super *sb, struct vaio_err *e)
{
	char reason[VAIO_SC_REASON];
	u64 needed;

	if (vaio_sc_layout(sb, p->grow, p->epochs, reason, sizeof(reason)))
		return vaio_fail(e, VAIO_USAGE, "sidecar %s: %s", f->path, reason);
	needed = sb->sidecar_bytes;
	if (!f->block_device)
		return check_space(f, needed, e);
	if (needed <= f->bytes)
		return VAIO_OK;
	for (u32 grow = p->grow - 1; grow; grow = grow > 16 ? grow / 2 : grow - 1) {
		if (!vaio_sc_layout(sb, grow, p->epochs, reason, sizeof(reason)) &&
		    sb->sidecar_bytes <= f->bytes)
			return vaio_fail(e, VAIO_REFUSED,
					 "sidecar %s: has %llu bytes, a disk of %llu bytes that may grow %u times needs %llu; --grow-factor %u fits",
					 f->path, f->bytes, sb->backing_bytes, p->grow, needed, grow);
	}
	return vaio_fail(e, VAIO_FAILED,
			 "sidecar %s: has %llu bytes, a disk of %llu bytes that may grow %u times needs %llu",
			 f->path, f->bytes, sb->backing_bytes, p->grow, needed);
}

/* Empty pages for a region. */
static int write_region(const struct vaio_scfile *f, const struct vaio_sc_super *sb,
			const struct vaio_sc_region *r, void (*progress)(u64 done, u64 total),
			struct vaio_err *e)
{
	u64 pages = vaio_sc_map_pages(r);
	u8 *buf = alloc_pages(CHUNK, e);
	int rc = buf ? VAIO_OK : VAIO_FAILED;

	for (u32 map = 0; map < r->maps; map++) {
		for (u64 index = 0; index < pages && !rc;) {
			u64 first = index, n;

			for (n = 0; n < CHUNK / VAIO_SC_PAGE && index < pages; n++, index++) {
				vaio_sc_page_init(buf + n * VAIO_SC_PAGE, false);
				vaio_sc_page_seal(buf + n * VAIO_SC_PAGE, sb->page_seed, r->type, map, index);
			}
			rc = write_at(f, vaio_sc_page_offset(r, map, first), buf, n * VAIO_SC_PAGE, e);
			if (progress)
				progress(vaio_sc_page_offset(r, map, first) + n * VAIO_SC_PAGE,
					 sb->sidecar_bytes);
		}
	}
	free(buf);
	return rc;
}

/* What was there must not come back to life when the format is cut short. */
static int wipe_supers(const struct vaio_scfile *f, struct vaio_err *e)
{
	void *zero = alloc_pages(VAIO_SC_PAGE, e);
	int rc = zero ? VAIO_OK : VAIO_FAILED;

	for (int i = 0; i < VAIO_SC_COPIES && !rc; i++)
		rc = write_at(f, copy_offset[i], zero, VAIO_SC_PAGE, e);
	free(zero);
	return rc ? rc : sync_file(f, e);
}

static int init_super(const struct vaio_scfile *f, const struct vaio_sidecar_params *p,
		      struct vaio_sc_super *sb, struct vaio_err *e)
{
	char reason[VAIO_SC_REASON];
	u8 seed[VAIO_SC_ID_LEN];
	int rc;

	memset(sb, 0, sizeof(*sb));
	if (p->backing->dev == f->dev && p->backing->ino == f->ino)
		return vaio_fail(e, VAIO_USAGE, "sidecar %s: is the backing device itself", f->path);
	if (vaio_sc_identity_parse(p->backing->identity, &sb->identity_kind, sb->identity,
				   reason, sizeof(reason)))
		return vaio_fail(e, VAIO_FAILED, "backing device: %s", reason);
	rc = note_block_size(sb, p->backing, e);
	if (!rc)
		rc = vaio_id_random(sb->sidecar_uuid, e);
	if (!rc)
		rc = vaio_id_random(sb->current_gen.id, e);
	if (!rc)
		rc = vaio_id_random(seed, e);
	if (rc)
		return rc;
	memcpy(&sb->page_seed, seed, sizeof(sb->page_seed));
	memcpy(sb->disk_uuid, p->disk_uuid, VAIO_SC_ID_LEN);
	sb->current_gen.counter = 1;
	sb->created = time(NULL);
	sb->state = VAIO_SC_CLEAN;
	sb->backing_bytes = p->backing->bytes;
	return VAIO_OK;
}

static int format(struct vaio_scfile *f, const struct vaio_sidecar_params *p,
		  struct vaio_sc_super *sb, struct vaio_err *e)
{
	int rc = init_super(f, p, sb, e);

	if (!rc)
		rc = lay_out(f, p, sb, e);
	if (!rc && !p->force)
		rc = check_empty(f, e);
	if (rc)
		return rc;
	if (f->bytes < sb->sidecar_bytes) {
		if (ftruncate(f->fd, sb->sidecar_bytes))
			return vaio_fail_errno(e, VAIO_FAILED, "sidecar %s: growing it to %llu bytes",
					       f->path, sb->sidecar_bytes);
		f->bytes = sb->sidecar_bytes;
	}
	rc = wipe_supers(f, e);
	for (u32 i = 0; i < sb->nr_regions && !rc; i++)
		if (sb->regions[i].type != VAIO_SC_R_CHANGE_EPOCHS)
			rc = write_region(f, sb, &sb->regions[i], p->progress, e);
	if (!rc)
		rc = sync_file(f, e);
	return rc ? rc : vaio_scfile_store(f, sb, 1, e);
}

int vaio_scfile_format(struct vaio_scfile *f, const struct vaio_sidecar_params *p,
		       struct vaio_sc_super *sb, struct vaio_err *e)
{
	int rc = format(f, p, sb, e);

	if (rc && f->created)
		unlink(f->path);
	f->created = false;
	return rc;
}

/* --- adopt and census ----------------------------------------------------------- */

int vaio_sidecar_adopt(struct vaio_sc_super *sb, const struct vaio_sidecar_adoption *a,
		       struct vaio_err *e)
{
	bool other_disk = a->disk_uuid && memcmp(a->disk_uuid, sb->disk_uuid, VAIO_SC_ID_LEN);
	char host[VAIO_SC_UUID_TEXT], since[VAIO_SC_TIME_TEXT], reason[VAIO_SC_REASON];
	bool mine = !memcmp(a->me, sb->owner_host, VAIO_SC_ID_LEN);
	int rc;

	vaio_sc_uuid_text(sb->owner_host, host);
	vaio_sc_time_text(sb->owner_since, since);
	if (!mine && sb->state != VAIO_SC_CLEAN && !a->force)
		return vaio_fail(e, VAIO_REFUSED, "owned by host %s since %s, state %s; --force adopts it all the same",
				 host, since, vaio_sc_state_name(sb->state));
	if ((!mine || other_disk) && (sb->flags & VAIO_SC_F_CACHE_DIRTY) && !a->lose_dirty)
		return vaio_fail(e, VAIO_REFUSED, "host %s has dirty blocks of this disk in its cache; --lose-dirty-blocks goes on without them",
				 host);
	if (a->backing->bytes < sb->disk_bytes && !a->force)
		return vaio_fail(e, VAIO_REFUSED, "the backing device has %llu bytes, the disk had %llu; --force adopts it all the same",
				 a->backing->bytes, sb->disk_bytes);
	if (vaio_sc_identity_parse(a->backing->identity, &sb->identity_kind, sb->identity,
				   reason, sizeof(reason)))
		return vaio_fail(e, VAIO_FAILED, "backing device: %s", reason);

	rc = note_block_size(sb, a->backing, e);
	/* another UUID, so that this one and what it was copied from may both be in use */
	if (!rc)
		rc = vaio_id_random(sb->sidecar_uuid, e);
	if (rc)
		return rc;
	if (other_disk)
		memcpy(sb->disk_uuid, a->disk_uuid, VAIO_SC_ID_LEN);
	sb->backing_bytes = a->backing->bytes;
	if (sb->disk_bytes > sb->backing_bytes || sb->disk_bytes % sb->block_size)
		sb->disk_bytes = 0;
	sb->flags |= VAIO_SC_F_MUST_COMPARE;
	if (!mine && sb->state != VAIO_SC_CLEAN) {
		memcpy(sb->owner_host, a->me, VAIO_SC_ID_LEN);
		memset(sb->owner_boot, 0, VAIO_SC_ID_LEN);
		sb->owner_since = time(NULL);
	}
	if ((!mine || other_disk) && (sb->flags & VAIO_SC_F_CACHE_DIRTY)) {
		sb->flags &= ~VAIO_SC_F_CACHE_DIRTY;
		sb->flags |= VAIO_SC_F_SOURCE_DAMAGED;
		memset(sb->cache_uuid, 0, VAIO_SC_ID_LEN);
		sb->cache_generation = 0;
	}
	return VAIO_OK;
}

int vaio_scfile_census(const struct vaio_scfile *f, const struct vaio_sc_super *sb,
		       const struct vaio_sc_region *r, struct vaio_sc_census *c, struct vaio_err *e)
{
	u64 pages = vaio_sc_map_pages(r);
	u8 *buf = alloc_pages(CHUNK, e);
	int rc = buf ? VAIO_OK : VAIO_FAILED;

	memset(c, 0, sizeof(*c));
	for (u32 map = 0; map < r->maps; map++) {
		for (u64 index = 0; index < pages && !rc;) {
			u64 n = pages - index < CHUNK / VAIO_SC_PAGE ? pages - index : CHUNK / VAIO_SC_PAGE;

			rc = read_at(f, vaio_sc_page_offset(r, map, index), buf, n * VAIO_SC_PAGE, e);
			for (u64 i = 0; i < n && !rc; i++, index++) {
				const struct vaio_sc_disk_page *p = (void *)(buf + i * VAIO_SC_PAGE);

				c->pages++;
				if (vaio_sc_page_check(p, sb->page_seed, r->type, map, index)) {
					c->bad++;
					continue;
				}
				for (size_t b = 0; b < sizeof(p->bits); b++)
					c->bits += __builtin_popcount(p->bits[b]);
			}
		}
	}
	free(buf);
	return rc;
}
