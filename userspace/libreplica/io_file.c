// SPDX-License-Identifier: GPL-2.0
/* The I/O interface on a folder of a local filesystem. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

struct dir_io {
	struct vr_io io;
	int dir;
};

struct dir_file {
	struct vr_file file;
	int fd;
	int direct;		/* the same file without the page cache, -1: there is none */
};

static int dir_of(struct vr_io *io)
{
	return ((struct dir_io *)io)->dir;
}

static int fd_of(struct vr_file *f)
{
	return ((struct dir_file *)f)->fd;
}

/*
 * The file once more, with O_DIRECT. Only where the filesystem says how it wants that: others take it and go through the
 * page cache all the same, or refuse each write.
 */
static int open_direct(int dir, const char *path, int fd)
{
	struct statx s;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &s) || !(s.stx_mask & STATX_DIOALIGN) || !s.stx_dio_mem_align ||
	    s.stx_dio_mem_align > VR_DIRECT || !s.stx_dio_offset_align || s.stx_dio_offset_align > VR_DIRECT)
		return -1;
	return openat(dir, path, O_CLOEXEC | O_NOFOLLOW | O_RDWR | O_DIRECT);
}

static int file_open(struct vr_io *io, const char *path, int flags, struct vr_file **out)
{
	int how = O_CLOEXEC | O_NOFOLLOW | (flags & (VR_O_WRITE | VR_O_CREATE) ? O_RDWR : O_RDONLY) |
		  (flags & VR_O_CREATE ? O_CREAT | O_EXCL : 0);
	struct dir_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->file.io = io;
	f->fd = openat(dir_of(io), path, how, 0600);
	if (f->fd < 0) {
		free(f);
		return -errno;
	}
	f->direct = flags & VR_O_DIRECT ? open_direct(dir_of(io), path, f->fd) : -1;
	*out = &f->file;
	return 0;
}

static void file_close(struct vr_file *f)
{
	struct dir_file *d = (struct dir_file *)f;

	close(d->fd);
	if (d->direct >= 0)
		close(d->direct);
	free(f);
}

static int file_read(struct vr_file *f, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd_of(f), p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int file_write(struct vr_file *f, const void *buf, size_t len, uint64_t offset)
{
	return write_all(fd_of(f), buf, len, offset);
}

static int file_write_direct(struct vr_file *f, const void *buf, size_t len, uint64_t offset)
{
	int fd = ((struct dir_file *)f)->direct;
	int err = fd >= 0 ? write_all(fd, buf, len, offset) : -EINVAL;

	/* The filesystem cannot, or said that it could: what is written twice is the same. */
	return err == -EINVAL ? file_write(f, buf, len, offset) : err;
}

static int file_sync(struct vr_file *f)
{
	return fdatasync(fd_of(f)) ? -errno : 0;
}

static int64_t file_size(struct vr_file *f)
{
	struct stat st;

	return fstat(fd_of(f), &st) ? -errno : st.st_size;
}

static int64_t file_used(struct vr_file *f)
{
	struct stat st;

	return fstat(fd_of(f), &st) ? -errno : st.st_blocks * 512;
}

static int file_truncate(struct vr_file *f, uint64_t size)
{
	return ftruncate(fd_of(f), (off_t)size) ? -errno : 0;
}

static int file_allocate(struct vr_file *f, uint64_t size)
{
	return -posix_fallocate(fd_of(f), 0, (off_t)size);
}

static int file_punch(struct vr_file *f, uint64_t offset, uint64_t len)
{
	static const char zeroes[65536];

	if (!fallocate(fd_of(f), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	/* A filesystem without holes keeps the space. */
	while (len) {
		size_t n = len < sizeof(zeroes) ? len : sizeof(zeroes);
		int err = file_write(f, zeroes, n, offset);

		if (err)
			return err;
		offset += n;
		len -= n;
	}
	return 0;
}

static int file_lock(struct vr_file *f, bool wait)
{
	while (flock(fd_of(f), LOCK_EX | (wait ? 0 : LOCK_NB)))
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

static int dir_mkdir(struct vr_io *io, const char *path)
{
	return mkdirat(dir_of(io), path, 0700) ? -errno : 0;
}

static int dir_rename(struct vr_io *io, const char *from, const char *to)
{
	return renameat(dir_of(io), from, dir_of(io), to) ? -errno : 0;
}

static int dir_remove(struct vr_io *io, const char *path)
{
	return unlinkat(dir_of(io), path, 0) ? -errno : 0;
}

static int dir_sync(struct vr_io *io, const char *path)
{
	int fd = openat(dir_of(io), *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	close(fd);
	return err;
}

static int dir_list(struct vr_io *io, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	int fd = openat(dir_of(io), *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	struct dirent *d;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (!rc && (errno = 0, d = readdir(dir)))
		if (d->d_name[0] != '.')
			rc = each(arg, d->d_name);
	if (!rc && errno)
		rc = -errno;
	closedir(dir);
	return rc;
}

static int dir_space(struct vr_io *io, uint64_t *total, uint64_t *avail)
{
	struct statvfs v;

	if (fstatvfs(dir_of(io), &v))
		return -errno;
	*total = (uint64_t)v.f_blocks * v.f_frsize;
	*avail = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

static uint64_t dir_now(struct vr_io *io)
{
	struct timespec t;

	(void)io;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int dir_random(struct vr_io *io, void *buf, size_t len)
{
	(void)io;
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

static void dir_free(struct vr_io *io)
{
	close(dir_of(io));
	free(io);
}

static const struct vr_io_ops dir_ops = {
	.open = file_open, .close = file_close, .read = file_read, .write = file_write, .write_direct = file_write_direct, .sync = file_sync,
	.size = file_size, .used = file_used, .truncate = file_truncate, .allocate = file_allocate, .punch = file_punch,
	.lock = file_lock,
	.mkdir = dir_mkdir, .rename = dir_rename, .remove = dir_remove, .sync_dir = dir_sync, .list = dir_list,
	.space = dir_space, .now_ns = dir_now, .random = dir_random, .free = dir_free,
};

int vr_io_open(const char *dir, struct vr_io **out)
{
	struct dir_io *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	io->io.ops = &dir_ops;
	io->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (io->dir < 0) {
		int err = -errno;

		free(io);
		return err;
	}
	*out = &io->io;
	return 0;
}

void vr_files_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}
