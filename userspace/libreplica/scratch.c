// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "history.h"
#include "scratch.h"

#define MAGIC	"vaio-scratch\r\n\x1a\n"
#define BLOCK	4096U
#define PER_BYTE 4U			/* blocks of a byte of the map */

enum { BELOW = 0, WRITTEN = 1, ZEROES = 3 };

struct header {
	uint8_t magic[16];
	uint32_t crc;			/* of bytes 24 to 4,095 */
	uint32_t reserved;
	uint32_t version, reserved2;
	uint8_t store[VAIO_RW_ID_LEN], disk[VAIO_RW_ID_LEN];
	uint64_t seq, size;
	uint8_t reserved3[BLOCK - 80];
};

_Static_assert(sizeof(struct header) == BLOCK, "header");

struct vr_scratch {
	int fd;
	pthread_mutex_t lock;
	uint64_t size, max, used;
	bool failed;			/* a sync did: what the file has is not known any more */
	uint64_t data;			/* where block 0 is in the file */
	uint8_t *map;
	size_t map_len;			/* a multiple of BLOCK */
	uint8_t *dirty;			/* of the map's pages */
	uint8_t block[BLOCK];		/* with the lock */
};

static size_t map_len(uint64_t size)
{
	uint64_t blocks = (size + BLOCK - 1) / BLOCK, bytes = (blocks + PER_BYTE - 1) / PER_BYTE;

	return (size_t)((bytes + BLOCK - 1) / BLOCK * BLOCK);
}

static unsigned int state_of(const struct vr_scratch *s, uint64_t block)
{
	return s->map[block / PER_BYTE] >> 2 * (block % PER_BYTE) & 3;
}

static void set_state(struct vr_scratch *s, uint64_t block, unsigned int state)
{
	unsigned int shift = 2 * (block % PER_BYTE);
	uint8_t *b = &s->map[block / PER_BYTE];

	if (state == WRITTEN && state_of(s, block) != WRITTEN)
		s->used += BLOCK;
	if (state != WRITTEN && state_of(s, block) == WRITTEN)
		s->used -= BLOCK;
	*b = (uint8_t)((*b & ~(3U << shift)) | state << shift);
	s->dirty[block / PER_BYTE / BLOCK] = 1;
}

/* --- the file ------------------------------------------------------------------------- */

static int file_read(int fd, void *buf, size_t len, uint64_t at)
{
	for (char *p = buf; len;) {
		ssize_t n = pread(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n) {
			memset(p, 0, len);	/* beyond the end: a hole */
			return 0;
		}
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int file_write(int fd, const void *buf, size_t len, uint64_t at)
{
	for (const char *p = buf; len;) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_header(int fd, struct vr_scratch_id *id, struct vr_err *e)
{
	struct header h;
	int err = file_read(fd, &h, sizeof(h), 0);

	if (err)
		return vr_fail_errno(e, err, "scratch file");
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)) || le32toh(h.version) != 1 ||
	    le32toh(h.crc) != vr_crc32c(0, (char *)&h + 24, sizeof(h) - 24))
		return vr_fail(e, -EBADMSG, "not a scratch file of this version, or its header is damaged");
	memcpy(id->store, h.store, sizeof(id->store));
	memcpy(id->disk, h.disk, sizeof(id->disk));
	id->seq = le64toh(h.seq);
	id->size = le64toh(h.size);
	if (!id->size || id->size > VAIO_RW_MAX_DISK)
		return vr_fail(e, -EBADMSG, "the header of the scratch file is not right");
	return 0;
}

static int write_header(int fd, const struct vr_scratch_id *id)
{
	struct header h = { .version = htole32(1) };
	int err;

	memcpy(h.magic, MAGIC, sizeof(h.magic));
	memcpy(h.store, id->store, sizeof(h.store));
	memcpy(h.disk, id->disk, sizeof(h.disk));
	h.seq = htole64(id->seq);
	h.size = htole64(id->size);
	h.crc = htole32(vr_crc32c(0, (char *)&h + 24, sizeof(h) - 24));
	err = file_write(fd, &h, sizeof(h), 0);
	if (!err && fsync(fd))
		err = -errno;
	return err;
}

static int sync_folder_of(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, err = 0;

	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return err;
}

/* Makes the file, or finds that it is the right one. */
static int get_file(const char *path, bool keep, const struct vr_scratch_id *id, int *fd, struct vr_err *e)
{
	struct vr_scratch_id old;
	struct stat st;
	int err;

	*fd = keep ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : open(path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (*fd < 0)
		return vr_fail_errno(e, -errno, "scratch '%.150s'", path);
	if (flock(*fd, LOCK_EX | LOCK_NB))
		return vr_fail(e, -EAGAIN, "scratch '%.150s': another export uses it", path);
	if (fstat(*fd, &st))
		return vr_fail_errno(e, -errno, "scratch '%.150s'", path);
	if (!st.st_size) {
		err = write_header(*fd, id);
		if (!err && keep)
			err = sync_folder_of(path);
		return err ? vr_fail_errno(e, err, "scratch '%.150s'", path) : 0;
	}
	err = read_header(*fd, &old, e);
	if (err)
		return err;
	if (memcmp(old.store, id->store, sizeof(id->store)) || memcmp(old.disk, id->disk, sizeof(id->disk)) ||
	    old.seq != id->seq || old.size != id->size)
		return vr_fail(e, -ESTALE, "scratch '%.100s' is of another store, disk or point (seq:%llu)", path,
			       (unsigned long long)old.seq);
	return 0;
}

int vr_scratch_peek(const char *path, struct vr_scratch_id *id, struct vr_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return vr_fail_errno(e, -errno, "scratch '%.150s'", path);
	err = read_header(fd, id, e);
	close(fd);
	return err;
}

void vr_scratch_close(struct vr_scratch *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->map);
	free(s->dirty);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int vr_scratch_open(const char *path, bool keep, const struct vr_scratch_id *id, uint64_t max, struct vr_scratch **out,
		    struct vr_err *e)
{
	struct vr_scratch *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return vr_fail(e, -ENOMEM, "no memory");
	pthread_mutex_init(&s->lock, NULL);
	s->size = id->size;
	s->max = max;
	s->map_len = map_len(id->size);
	s->data = sizeof(struct header) + s->map_len;
	err = get_file(path, keep, id, &s->fd, e);
	if (!err) {
		s->map = calloc(1, s->map_len);
		s->dirty = calloc(1, s->map_len / BLOCK);
		if (!s->map || !s->dirty)
			err = vr_fail(e, -ENOMEM, "no memory for the map of a disk of %llu bytes", (unsigned long long)s->size);
	}
	if (!err && keep) {
		err = file_read(s->fd, s->map, s->map_len, sizeof(struct header));
		if (err)
			vr_fail_errno(e, err, "scratch '%.150s'", path);
	}
	for (uint64_t b = 0; !err && b < (s->size + BLOCK - 1) / BLOCK; b++) {
		if (!s->map[b / PER_BYTE] && !(b % PER_BYTE)) {
			b += PER_BYTE - 1;
			continue;
		}
		if (state_of(s, b) == 2)
			err = vr_fail(e, -EBADMSG, "scratch '%.150s': its map is damaged", path);
		s->used += state_of(s, b) == WRITTEN ? BLOCK : 0;
	}
	if (err) {
		vr_scratch_close(s);
		return err;
	}
	*out = s;
	return 0;
}

/* --- blocks ------------------------------------------------------------------------------ */

/* Reads bytes of one block. */
static int read_part(struct vr_scratch *s, uint64_t block, void *buf, size_t len, size_t skip, vr_below below, void *arg,
		     struct vr_err *e)
{
	int err;

	switch (state_of(s, block)) {
	case WRITTEN:
		err = file_read(s->fd, buf, len, s->data + block * BLOCK + skip);
		return err ? vr_fail_errno(e, err, "scratch file") : 0;
	case ZEROES:
		memset(buf, 0, len);
		return 0;
	}
	return below(arg, buf, len, block * BLOCK + skip, e);
}

/* Writes bytes of one block, in which the rest stays what it was. */
static int write_part(struct vr_scratch *s, uint64_t block, const void *buf, size_t len, size_t skip, vr_below below,
		      void *arg, struct vr_err *e)
{
	size_t whole = s->size - block * BLOCK < BLOCK ? (size_t)(s->size - block * BLOCK) : BLOCK;
	int err;

	if (state_of(s, block) == WRITTEN) {
		err = file_write(s->fd, buf, len, s->data + block * BLOCK + skip);
		return err ? vr_fail_errno(e, err, "scratch file") : 0;
	}
	if (s->used + BLOCK > s->max)
		return vr_fail(e, -ENOSPC, "the scratch has its %llu bytes", (unsigned long long)s->max);
	if (len != whole) {
		err = read_part(s, block, s->block, whole, 0, below, arg, e);
		if (err)
			return err;
		memcpy(s->block + skip, buf, len);
		buf = s->block;
	}
	err = file_write(s->fd, buf, whole, s->data + block * BLOCK);
	if (err)
		return vr_fail_errno(e, err, "scratch file");
	set_state(s, block, WRITTEN);
	return 0;
}

static size_t part_of(const struct vr_scratch *s, uint64_t offset, uint64_t len)
{
	size_t n = BLOCK - (size_t)(offset % BLOCK);

	(void)s;
	return n < len ? n : (size_t)len;
}

int vr_scratch_read(struct vr_scratch *s, void *buf, size_t len, uint64_t offset, vr_below below, void *arg, struct vr_err *e)
{
	int err = 0;

	while (len && !err) {
		size_t n = part_of(s, offset, len);
		bool plain;

		pthread_mutex_lock(&s->lock);
		/* What is as below is asked for in one piece. */
		plain = state_of(s, offset / BLOCK) == BELOW;
		while (plain && n < len && state_of(s, (offset + n) / BLOCK) == BELOW)
			n += part_of(s, offset + n, len - n);
		if (!plain)
			err = read_part(s, offset / BLOCK, buf, n, offset % BLOCK, below, arg, e);
		pthread_mutex_unlock(&s->lock);
		if (plain)
			err = below(arg, buf, n, offset, e);
		buf = (char *)buf + n;
		offset += n;
		len -= n;
	}
	return err;
}

int vr_scratch_write(struct vr_scratch *s, const void *buf, size_t len, uint64_t offset, vr_below below, void *arg,
		     struct vr_err *e)
{
	int err = 0;

	while (len && !err) {
		size_t n = part_of(s, offset, len);

		pthread_mutex_lock(&s->lock);
		err = write_part(s, offset / BLOCK, buf, n, offset % BLOCK, below, arg, e);
		pthread_mutex_unlock(&s->lock);
		buf = (const char *)buf + n;
		offset += n;
		len -= n;
	}
	return err;
}

int vr_scratch_zero(struct vr_scratch *s, uint64_t len, uint64_t offset, vr_below below, void *arg, struct vr_err *e)
{
	static const uint8_t zeroes[BLOCK];
	int err = 0;

	while (len && !err) {
		size_t n = part_of(s, offset, len);
		uint64_t block = offset / BLOCK;

		pthread_mutex_lock(&s->lock);
		if (n == BLOCK || block * BLOCK + n == s->size) {
			/* Until the next sync both the old bytes and zeroes are right. */
			if (state_of(s, block) == WRITTEN &&
			    fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(s->data + block * BLOCK), BLOCK))
				err = vr_fail_errno(e, -errno, "scratch file");
			else
				set_state(s, block, ZEROES);
		} else if (state_of(s, block) != ZEROES) {
			err = write_part(s, block, zeroes, n, offset % BLOCK, below, arg, e);
		}
		pthread_mutex_unlock(&s->lock);
		offset += n;
		len -= n;
	}
	return err;
}

int vr_scratch_sync(struct vr_scratch *s, struct vr_err *e)
{
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (s->failed)
		err = -EIO;
	else if (fdatasync(s->fd))
		err = -errno;
	for (size_t page = 0; page < s->map_len / BLOCK && !err; page++) {
		if (!s->dirty[page])
			continue;
		err = file_write(s->fd, s->map + page * BLOCK, BLOCK, sizeof(struct header) + page * BLOCK);
		if (!err)
			s->dirty[page] = 0;
	}
	if (!err && fdatasync(s->fd))
		err = -errno;
	s->failed |= err != 0;
	pthread_mutex_unlock(&s->lock);
	return err ? vr_fail_errno(e, err, "scratch file") : 0;
}

uint64_t vr_scratch_used(struct vr_scratch *s)
{
	uint64_t used;

	pthread_mutex_lock(&s->lock);
	used = s->used;
	pthread_mutex_unlock(&s->lock);
	return used;
}
