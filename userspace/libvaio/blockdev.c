// SPDX-License-Identifier: GPL-2.0
#include <blkid/blkid.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "blockdev.h"

bool vaio_read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	buf[0] = 0;
	if (!f)
		return false;
	if (!fgets(buf, (int)size, f))
		buf[0] = 0;
	fclose(f);
	n = strlen(buf);
	while (n && isspace((unsigned char)buf[n - 1]))
		buf[--n] = 0;
	return n > 0;
}

bool vaio_sysfs_read(dev_t dev, const char *attr, char *buf, size_t size)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), attr);
	return vaio_read_line(path, buf, size);
}

int vaio_blockdev_path(dev_t dev, char *buf, size_t size)
{
	char path[128], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(dev), minor(dev));
	f = fopen(path, "re");
	snprintf(buf, size, "%u:%u", major(dev), minor(dev));
	if (!f)
		return VAIO_NOTFOUND;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "DEVNAME=", 8))
			snprintf(buf, size, "/dev/%s", line + 8);
	}
	fclose(f);
	return VAIO_OK;
}

bool vaio_blockdev_dm(dev_t dev, char *name, size_t name_size, char *uuid, size_t uuid_size)
{
	if (!vaio_sysfs_read(dev, "dm/name", name, name_size))
		return false;
	vaio_sysfs_read(dev, "dm/uuid", uuid, uuid_size);
	return true;
}

int vaio_blockdev_get(const char *path, struct vaio_blockdev *b, struct vaio_err *e)
{
	char real[PATH_MAX], word[64];
	int fd, sector = 0, ro = 0;
	struct stat st;

	memset(b, 0, sizeof(*b));
	if (!realpath(path, real))
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", path);
	if (strlen(real) >= sizeof(b->path))
		return vaio_fail(e, VAIO_FAILED, "'%s': path is longer than %zu bytes", real, sizeof(b->path) - 1);
	fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s': cannot be opened", path);
	if (fstat(fd, &st) || !S_ISBLK(st.st_mode)) {
		close(fd);
		return vaio_fail(e, VAIO_USAGE, "'%s' is not a block device", path);
	}
	strcpy(b->path, real);
	b->dev = st.st_rdev;
	if (ioctl(fd, BLKGETSIZE64, &b->bytes) || ioctl(fd, BLKSSZGET, &sector) || ioctl(fd, BLKROGET, &ro)) {
		vaio_fail_errno(e, VAIO_FAILED, "'%s': its size cannot be read", path);
		close(fd);
		return VAIO_FAILED;
	}
	close(fd);
	b->block_size = (uint32_t)sector;
	b->read_only = ro;
	b->zoned = vaio_sysfs_read(b->dev, "queue/zoned", word, sizeof(word)) && strcmp(word, "none");
	return VAIO_OK;
}

/* --- users ------------------------------------------------------------------- */

static void add_user(char *buf, size_t size, const char *fmt, const char *a, const char *b)
{
	size_t n = strlen(buf);

	if (n >= size - 4)
		return;
	if (n)
		n += (size_t)snprintf(buf + n, size - n, ", ");
	if (n < size)
		snprintf(buf + n, size - n, fmt, a, b);
}

static void users_mounts(dev_t dev, char *buf, size_t size)
{
	unsigned int maj, min;
	char line[4096], where[2048];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d %*d %u:%u %*s %2047s", &maj, &min, where) == 3 && makedev(maj, min) == dev)
			add_user(buf, size, "mounted on %s%s", where, "");
	fclose(f);
}

static void users_swap(dev_t dev, char *buf, size_t size)
{
	char line[4096];
	struct stat st;
	FILE *f = fopen("/proc/swaps", "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, " \t")] = 0;
		if (!stat(line, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev)
			add_user(buf, size, "swap%s%s", "", "");
	}
	fclose(f);
}

static void users_holders(dev_t dev, char *buf, size_t size)
{
	char path[512], name[256];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(dev), minor(dev));
	dir = opendir(path);
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/block/%.200s/dm/name", d->d_name);
		if (vaio_read_line(path, name, sizeof(name)))
			add_user(buf, size, "held by %s (%s)", d->d_name, name);
		else
			add_user(buf, size, "held by %s%s", d->d_name, "");
	}
	closedir(dir);
}

static bool has_open(const char *pid, dev_t dev)
{
	char path[512], target[32];
	struct dirent *d;
	struct stat st;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (d = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, d->d_name);
		/* Look at the name first: stat() of a file on a dead server hangs. */
		if (readlink(path, target, sizeof(target)) < 5 || memcmp(target, "/dev/", 5))
			continue;
		found = !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev;
	}
	closedir(dir);
	return found;
}

static void users_processes(dev_t dev, char *buf, size_t size)
{
	char path[64], comm[64];
	struct dirent *d;
	DIR *dir = opendir("/proc");

	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]) || atol(d->d_name) == (long)getpid() ||
		    !has_open(d->d_name, dev))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", d->d_name);
		if (!vaio_read_line(path, comm, sizeof(comm)))
			strcpy(comm, "?");
		add_user(buf, size, "opened by %s (pid %s)", comm, d->d_name);
	}
	closedir(dir);
}

void vaio_blockdev_users(dev_t dev, char *buf, size_t size)
{
	buf[0] = 0;
	users_mounts(dev, buf, size);
	users_swap(dev, buf, size);
	users_holders(dev, buf, size);
	users_processes(dev, buf, size);
}

int vaio_blockdev_check_free(const struct vaio_blockdev *b, struct vaio_err *e)
{
	char users[512];
	int fd = open(b->path, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		close(fd);
		return VAIO_OK;
	}
	if (errno != EBUSY)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s': cannot be opened for writing", b->path);
	vaio_blockdev_users(b->dev, users, sizeof(users));
	return vaio_fail(e, VAIO_INUSE, "'%s' is in use: %s", b->path,
			 users[0] ? users : "the kernel says so, by whom is not visible from here");
}

/* --- signatures ---------------------------------------------------------------- */

int vaio_signature(const char *path, char *buf, size_t size, struct vaio_err *e)
{
	blkid_probe p = blkid_new_probe_from_filename(path);
	const char *type = NULL;
	int r;

	buf[0] = 0;
	if (!p)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s': cannot be probed", path);
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_VERSION);
	blkid_probe_enable_partitions(p, 1);
	r = blkid_do_safeprobe(p);
	if (r == -2) {
		snprintf(buf, size, "several signatures");
	} else if (r == 0) {
		if (!blkid_probe_lookup_value(p, "TYPE", &type, NULL) && type) {
			const char *version = NULL;

			if (!strcmp(type, "crypto_LUKS") &&
			    !blkid_probe_lookup_value(p, "VERSION", &version, NULL) && version)
				snprintf(buf, size, "LUKS%s", version);
			else
				snprintf(buf, size, "%s", type);
		} else if (!blkid_probe_lookup_value(p, "PTTYPE", &type, NULL) && type) {
			snprintf(buf, size, "%s partition table", type);
		}
	}
	blkid_free_probe(p);
	return VAIO_OK;
}

/* --- identity ------------------------------------------------------------------- */

/* Whatever came from hardware, as one word of a table. */
static void clean_word(char *s)
{
	char *start = s, *out = s;

	for (; *s; s++)
		if (*s > ' ' && *s < 127 && *s != '\\')
			*out++ = *s;
		else if (out > start && out[-1] != '_')
			*out++ = '_';
	while (out > start && out[-1] == '_')
		out--;
	*out = 0;
}

static void fs_of(dev_t fsdev, const char *path, char *buf, size_t size)
{
	char node[256];
	struct statfs sf;
	blkid_probe p;
	const char *uuid = NULL;

	if (vaio_blockdev_path(fsdev, node, sizeof(node)) == VAIO_OK) {
		p = blkid_new_probe_from_filename(node);
		if (p) {
			blkid_probe_enable_superblocks(p, 1);
			blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_UUID);
			if (!blkid_do_safeprobe(p) && !blkid_probe_lookup_value(p, "UUID", &uuid, NULL) && uuid)
				snprintf(buf, size, "%s", uuid);
			blkid_free_probe(p);
			if (uuid)
				return;
		}
	}
	/* btrfs, NFS and the like have no device of their own; their fsid stays. */
	if (!statfs(path, &sf) && (sf.f_fsid.__val[0] || sf.f_fsid.__val[1]))
		snprintf(buf, size, "%08x%08x", (unsigned int)sf.f_fsid.__val[0], (unsigned int)sf.f_fsid.__val[1]);
	else
		snprintf(buf, size, "dev%u.%u", major(fsdev), minor(fsdev));
}

int vaio_file_identity(const char *path, char *buf, size_t size, struct vaio_err *e)
{
	struct stat st;
	char fs[128];

	if (stat(path, &st))
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", path);
	fs_of(st.st_dev, path, fs, sizeof(fs));
	snprintf(buf, size, "file:%s:%llu", fs, (unsigned long long)st.st_ino);
	return VAIO_OK;
}

int vaio_blockdev_identity(dev_t dev, char *buf, size_t size, struct vaio_err *e)
{
	char word[512], name[256], part[16], sysname[256];
	dev_t whole = dev;
	const char *p;

	if (vaio_sysfs_read(dev, "loop/backing_file", word, sizeof(word)))
		return vaio_file_identity(word, buf, size, e);
	if (vaio_blockdev_dm(dev, name, sizeof(name), word, sizeof(word)) && word[0]) {
		/* LVM-<32 bytes of the group><32 bytes of the volume>[-layer] */
		if (!strncmp(word, "LVM-", 4) && strlen(word) >= 68)
			snprintf(buf, size, "lv:%.32s", word + 36);
		else
			snprintf(buf, size, "other:%.110s", word);
		return VAIO_OK;
	}
	part[0] = 0;
	if (vaio_sysfs_read(dev, "partition", part, sizeof(part))) {
		unsigned int maj, min;

		if (vaio_sysfs_read(dev, "../dev", word, sizeof(word)) && sscanf(word, "%u:%u", &maj, &min) == 2)
			whole = makedev(maj, min);
	}
	p = "other";
	if (vaio_sysfs_read(whole, "wwid", word, sizeof(word)) ||
	    vaio_sysfs_read(whole, "device/wwid", word, sizeof(word))) {
		p = "wwn";
	} else if (!vaio_sysfs_read(whole, "md/uuid", word, sizeof(word)) &&
		   !vaio_sysfs_read(whole, "serial", word, sizeof(word)) &&
		   !vaio_sysfs_read(whole, "device/serial", word, sizeof(word))) {
		if (vaio_blockdev_path(whole, sysname, sizeof(sysname)) != VAIO_OK)
			return vaio_fail(e, VAIO_NOTFOUND, "no block device %u:%u", major(dev), minor(dev));
		snprintf(word, sizeof(word), "%s", sysname + strlen("/dev/"));
	}
	clean_word(word);
	if (part[0])
		snprintf(buf, size, "%s:%.100s-part%s", p, word, part);
	else
		snprintf(buf, size, "%s:%.100s", p, word);
	return VAIO_OK;
}

/* The only entry of a device's slaves; false when there is none, or more. */
static bool only_slave(dev_t dev, dev_t *slave)
{
	char path[128], word[320];
	struct dirent *d;
	unsigned int ma, mi;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves", major(dev), minor(dev));
	dir = opendir(path);
	if (!dir)
		return false;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		n++;
		snprintf(word, sizeof(word), "%s/%.64s/dev", path, d->d_name);
		if (!vaio_read_line(word, word, sizeof(word)) || sscanf(word, "%u:%u", &ma, &mi) != 2)
			n++;
		else
			*slave = makedev(ma, mi);
	}
	closedir(dir);
	return n == 1;
}

static bool below(dev_t dev, dev_t *next)
{
	char word[PATH_MAX];
	unsigned int ma, mi;
	struct stat st;

	if (vaio_sysfs_read(dev, "partition", word, sizeof(word))) {
		if (!vaio_sysfs_read(dev, "../dev", word, sizeof(word)) || sscanf(word, "%u:%u", &ma, &mi) != 2)
			return false;
		*next = makedev(ma, mi);
		return true;
	}
	if (vaio_sysfs_read(dev, "loop/backing_file", word, sizeof(word))) {
		/* a filesystem without a device of its own has no disk that we know */
		if (stat(word, &st) || !major(st.st_dev))
			return false;
		*next = st.st_dev;
		return true;
	}
	return only_slave(dev, next);
}

void vaio_blockdev_bottom(dev_t dev, char *name, size_t size)
{
	char path[128], link[PATH_MAX];
	const char *slash;
	ssize_t n;
	int depth;

	/* deeper stacks than that are loops of files on each other */
	for (depth = 0; depth < 16 && below(dev, &dev); depth++)
		;
	name[0] = 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return;
	link[n] = 0;
	slash = strrchr(link, '/');
	snprintf(name, size, "%s", slash ? slash + 1 : link);
}
