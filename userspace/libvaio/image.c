// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "image.h"

/* --- formats ------------------------------------------------------------------- */

struct magic {
	struct vaio_format format;
	off_t at;		/* negative: from the end */
	const char *bytes;
	size_t len;
};

static const struct magic magics[] = {
	/* qcow (1) and qcow2 (2, 3) differ in the version that follows. */
	{ { "qcow", "qcow", NULL }, 0, "QFI\xfb\0\0\0\1", 8 },
	{ { "qcow2", "qcow2", NULL }, 0, "QFI\xfb", 4 },
	{ { "qed", "qed", NULL }, 0, "QED\0", 4 },
	{ { "vmdk", "vmdk", NULL }, 0, "KDMV", 4 },
	{ { "vmdk", "vmdk", NULL }, 0, "COWD", 4 },
	{ { "vmdk descriptor", "vmdk", NULL }, 0, "# Disk DescriptorFile", 21 },
	{ { "vhdx", "vhdx", NULL }, 0, "vhdxfile", 8 },
	{ { "vhd (vpc)", "vpc", NULL }, 0, "conectix", 8 },
	{ { "vhd (vpc)", "vpc", NULL }, -512, "conectix", 8 },
	{ { "vdi", "vdi", NULL }, 0x40, "\x7f\x10\xda\xbe", 4 },
	{ { "parallels", "parallels", NULL }, 0, "WithoutFreeSpace", 16 },
	{ { "parallels", "parallels", NULL }, 0, "WithouFreSpacExt", 16 },
	{ { "bochs", "bochs", NULL }, 0, "Bochs Virtual HD Image", 22 },
	{ { "cloop", "cloop", NULL }, 0, "#!/bin/sh\n#V2.0 Format", 22 },
	{ { "dmg", "dmg", NULL }, -512, "koly", 4 },
	{ { "gzip", NULL, "gunzip" }, 0, "\x1f\x8b\x08", 3 },
	{ { "xz", NULL, "unxz" }, 0, "\xfd" "7zXZ\0", 6 },
	{ { "zstd", NULL, "unzstd" }, 0, "\x28\xb5\x2f\xfd", 4 },
	{ { "bzip2", NULL, "bunzip2" }, 0, "BZh", 3 },
};

static const struct vaio_format luks1 = { "luks (version 1)", "luks", NULL };

int vaio_image_format(const char *path, const struct vaio_format **format, struct vaio_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	unsigned int i;

	*format = NULL;
	if (fd < 0)
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return vaio_fail(e, VAIO_USAGE, "'%s' is neither a block device nor a regular file", path);
	}
	for (i = 0; i < sizeof(magics) / sizeof(*magics) && !*format; i++) {
		const struct magic *m = &magics[i];
		off_t at = m->at < 0 ? st.st_size + m->at : m->at;
		char got[32];

		if (at >= 0 && pread(fd, got, m->len, at) == (ssize_t)m->len && !memcmp(got, m->bytes, m->len))
			*format = &m->format;
	}
	if (!*format) {
		char got[8];

		/* LUKS2 is raw to us; version 1 is qemu's "luks" or an old cryptsetup. */
		if (pread(fd, got, 8, 0) == 8 && !memcmp(got, "LUKS\xba\xbe\0\1", 8))
			*format = &luks1;
	}
	close(fd);
	return VAIO_OK;
}

/* "dir/vm1.qcow2" to "dir/vm1.raw". */
static void raw_name(const char *path, char *buf, size_t size)
{
	const char *base = strrchr(path, '/');
	const char *dot = strrchr(base ? base : path, '.');
	int n = dot && dot != (base ? base + 1 : path) ? (int)(dot - path) : (int)strlen(path);

	snprintf(buf, size, "%.*s.raw", n, path);
	if (!strcmp(buf, path))
		snprintf(buf, size, "%.*s-converted.raw", n, path);
}

int vaio_image_check_raw(const char *path, struct vaio_err *e)
{
	const struct vaio_format *f;
	char raw[PATH_MAX];
	int rc = vaio_image_format(path, &f, e);

	if (rc || !f)
		return rc;
	raw_name(path, raw, sizeof(raw));
	if (f == &luks1)
		return vaio_fail(e, VAIO_REFUSED, "'%s' is in format %s, accepted are raw images and LUKS2; convert it with: "
				 "cryptsetup convert --type luks2 '%s', or decrypt it with: qemu-img convert -p --object "
				 "secret,id=s,file=PASSPHRASE_FILE --image-opts driver=luks,key-secret=s,file.filename='%s' "
				 "-O raw '%s' (--format raw takes it as it is)", path, f->name, path, path, raw);
	if (f->unpack)
		return vaio_fail(e, VAIO_REFUSED, "'%s' is compressed with %s, accepted are raw images; unpack it with: "
				 "%s -k -c '%s' > '%s' (--format raw takes it as it is)", path, f->name, f->unpack, path, raw);
	return vaio_fail(e, VAIO_REFUSED, "'%s' is in format %s, accepted are raw images; convert it with: qemu-img convert "
			 "-p -f %s -O raw '%s' '%s' (--format raw takes it as it is)", path, f->name, f->qemu, path, raw);
}

/* --- loop devices --------------------------------------------------------------- */

bool vaio_loop_file(dev_t dev, char *buf, size_t size)
{
	return vaio_sysfs_read(dev, "loop/backing_file", buf, size);
}

bool vaio_loop_of(dev_t dev, ino_t ino, char *name, size_t size)
{
	char path[PATH_MAX], file[PATH_MAX];
	struct dirent *d;
	struct stat st;
	bool found = false;
	DIR *dir = opendir("/sys/block");

	while (dir && !found && (d = readdir(dir))) {
		if (strncmp(d->d_name, "loop", 4))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%.64s/loop/backing_file", d->d_name);
		found = vaio_read_line(path, file, sizeof(file)) && !stat(file, &st) &&
			st.st_dev == dev && st.st_ino == ino;
		if (found)
			snprintf(name, size, "/dev/%.32s", d->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The block size that direct I/O on the file wants, 0 when unknown. */
static uint32_t direct_io_align(int fd, dev_t fsdev)
{
	char word[32];
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) && (stx.stx_mask & STATX_DIOALIGN) &&
	    stx.stx_dio_offset_align)
		return stx.stx_dio_offset_align;
#else
	(void)fd;
#endif
	if (vaio_sysfs_read(fsdev, "queue/logical_block_size", word, sizeof(word)) ||
	    vaio_sysfs_read(fsdev, "../queue/logical_block_size", word, sizeof(word)))
		return (uint32_t)strtoul(word, NULL, 10);
	return 0;
}

/* One loop device that shows exactly this file; VAIO_NOTFOUND when there is none. */
static int find_loop(const struct stat *st, const char *image, struct vaio_loop *l, struct vaio_err *e)
{
	DIR *dir = opendir("/sys/block");
	struct loop_info64 info;
	struct dirent *d;
	int rc = VAIO_NOTFOUND;

	if (!dir)
		return rc;
	while (rc == VAIO_NOTFOUND && (d = readdir(dir))) {
		char file[64];
		int fd;

		if (strncmp(d->d_name, "loop", 4) || strlen(d->d_name) > 16)
			continue;
		snprintf(file, sizeof(file), "/sys/block/%.16s/loop/backing_file", d->d_name);
		if (access(file, F_OK))
			continue;
		snprintf(l->path, sizeof(l->path), "/dev/%.16s", d->d_name);
		fd = open(l->path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, LOOP_GET_STATUS64, &info) || info.lo_inode != st->st_ino || info.lo_device != st->st_dev) {
			close(fd);
			continue;
		}
		if (info.lo_offset || info.lo_sizelimit || (info.lo_flags & LO_FLAGS_READ_ONLY)) {
			close(fd);
			rc = vaio_fail(e, VAIO_INUSE, "'%s' is already on %s, with an offset, a size limit or read-only; "
				       "losetup -d %s ends that", image, l->path, l->path);
			break;
		}
		l->fd = fd;
		l->found = true;
		l->direct = info.lo_flags & LO_FLAGS_DIRECT_IO;
		rc = VAIO_OK;
	}
	closedir(dir);
	return rc;
}

/*
 * udev does not look into a device that somebody has locked, but puts it off
 * (systemd's "Locking Block Device Access"): what a guest wrote would be found there,
 * before the disk is made and the device is marked as its backing. The lock goes with
 * the descriptor. udev itself locks a device while it looks; it is done soon with one
 * that is free.
 */
static void keep_udev_away(int fd)
{
	int i;

	for (i = 0; i < 500 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; i++)
		usleep(10000);
}

static int new_loop(int file, const char *image, uint32_t block_size, bool buffered, struct vaio_loop *l,
		    struct vaio_err *e)
{
	struct loop_config c = {
		.fd = (uint32_t)file,
		.block_size = block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | (buffered ? 0 : LO_FLAGS_DIRECT_IO),
	};
	struct loop_info64 info;
	int control, n, try;

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "/dev/loop-control: modprobe loop");
	snprintf((char *)c.info.lo_file_name, sizeof(c.info.lo_file_name), "%s", image);
	l->fd = -1;
	/* Another process may take the free number first. */
	for (try = 0; try < 64 && l->fd < 0; try++) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			break;
		snprintf(l->path, sizeof(l->path), "/dev/loop%d", n);
		l->fd = open(l->path, O_RDWR | O_CLOEXEC);
		if (l->fd < 0)
			break;
		keep_udev_away(l->fd);
		if (!ioctl(l->fd, LOOP_CONFIGURE, &c))
			break;
		n = errno;
		close(l->fd);
		l->fd = -1;
		errno = n;
		if (errno != EBUSY)
			break;
	}
	n = errno;
	close(control);
	errno = n;
	if (l->fd < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s': no loop device for it", image);
	memset(&info, 0, sizeof(info));
	ioctl(l->fd, LOOP_GET_STATUS64, &info);
	l->direct = info.lo_flags & LO_FLAGS_DIRECT_IO;
	return VAIO_OK;
}

int vaio_loop_attach(const char *image, uint32_t block_size, bool buffered, struct vaio_loop *l, struct vaio_err *e)
{
	int rc, file, sector = 0;
	uint32_t align;
	struct stat st;

	memset(l, 0, sizeof(*l));
	l->fd = -1;
	file = open(image, O_RDWR | O_CLOEXEC | (buffered ? 0 : O_DIRECT));
	if (file < 0 && errno == EINVAL && !buffered)
		return vaio_fail(e, VAIO_REFUSED, "'%s': its filesystem has no direct I/O, so the host would cache the disk "
				 "twice; --buffered allows it", image);
	if (file < 0)
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", image);
	if (fstat(file, &st)) {
		rc = vaio_fail_errno(e, VAIO_FAILED, "'%s'", image);
		goto out;
	}
	align = direct_io_align(file, st.st_dev);
	if (align > 4096) {
		rc = vaio_fail(e, VAIO_REFUSED, "'%s': direct I/O here needs blocks of %u bytes, accepted are 512 and 4096; "
			       "--buffered goes without", image, align);
		if (!buffered)
			goto out;
	}
	if (!block_size)
		block_size = !buffered && align > 512 ? align : 512;
	if (!buffered && block_size < align) {
		rc = vaio_fail(e, VAIO_REFUSED, "'%s': direct I/O here needs blocks of %u bytes, not %u; --block-size %u, or "
			       "--buffered", image, align, block_size, align);
		goto out;
	}
	if (st.st_size < (off_t)block_size || st.st_size % block_size) {
		rc = vaio_fail(e, VAIO_FAILED, "'%s': its size, %lld bytes, is not a multiple of its block size %u; truncate -s "
			       "%%%u '%s' rounds it up", image, (long long)st.st_size, block_size, block_size, image);
		goto out;
	}
	rc = find_loop(&st, image, l, e);
	if (rc == VAIO_NOTFOUND)
		rc = new_loop(file, image, block_size, buffered, l, e);
	if (rc)
		goto out;
	if (!ioctl(l->fd, BLKSSZGET, &sector) && (uint32_t)sector != block_size && l->found) {
		rc = vaio_fail(e, VAIO_INUSE, "'%s' is already on %s with blocks of %d bytes, not %u; losetup -d %s ends "
			       "that", image, l->path, sector, block_size, l->path);
		vaio_loop_release(l);
	} else if (!buffered && !l->direct) {
		rc = vaio_fail(e, VAIO_REFUSED, "'%s' on %s: direct I/O could not be switched on; --buffered goes without",
			       image, l->path);
		vaio_loop_release(l);
	}
out:
	close(file);
	return rc;
}

void vaio_loop_release(struct vaio_loop *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

int vaio_loop_update_size(const char *loop, struct vaio_err *e)
{
	int fd = open(loop, O_RDWR | O_CLOEXEC), rc = VAIO_OK;

	if (fd < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s'", loop);
	if (ioctl(fd, LOOP_SET_CAPACITY, 0))
		rc = vaio_fail_errno(e, VAIO_FAILED, "'%s': its new size was not taken over", loop);
	close(fd);
	return rc;
}
