/* SPDX-License-Identifier: GPL-2.0 */
/* Block devices as sysfs and ioctls show them: size, users, identity. */
#ifndef LIBVAIO_BLOCKDEV_H
#define LIBVAIO_BLOCKDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vaio.h>

#include "err.h"

struct vaio_blockdev {
	char path[256];		/* canonical: /dev/dm-3, /dev/loop0, /dev/sda1 */
	dev_t dev;
	uint64_t bytes;
	uint32_t block_size;	/* logical */
	bool zoned, read_only;
};

int vaio_blockdev_get(const char *path, struct vaio_blockdev *b, struct vaio_err *e);

/* Who uses a device: "mounted on /srv", "held by dm-2 (vg-root)", "swap", "opened by qemu-system-x86 (pid 812)". */
void vaio_blockdev_users(dev_t dev, char *buf, size_t size);

/* Free for exclusive use? VAIO_INUSE names the users. */
int vaio_blockdev_check_free(const struct vaio_blockdev *b, struct vaio_err *e);

/*
 * What tells this device from every other, also after a reboot and under
 * another name: "lv:<lv uuid>", "wwn:<wwn>[-part<n>]", "file:<fs>:<inode>" for a
 * loop device, else "other:<what the kernel has: dm or md uuid, serial, name>".
 */
int vaio_blockdev_identity(dev_t dev, char *buf, size_t size, struct vaio_err *e);

/* "file:<filesystem's uuid or device>:<inode>" */
int vaio_file_identity(const char *path, char *buf, size_t size, struct vaio_err *e);

/* The node of a device number, from sysfs: "/dev/loop0". */
int vaio_blockdev_path(dev_t dev, char *buf, size_t size);

/* A device-mapper device's name and uuid; false when it is none. */
bool vaio_blockdev_dm(dev_t dev, char *name, size_t name_size, char *uuid, size_t uuid_size);

/*
 * The kernel's name of the device at the bottom: from a partition to its disk,
 * from a loop device to the disk of its file's filesystem, from a logical volume
 * to the disk under it. A device on more than one other is a bottom itself.
 * Leaves @name empty when sysfs does not tell.
 */
void vaio_blockdev_bottom(dev_t dev, char *name, size_t size);

/* First line of /sys/dev/block/M:m/<attr>, without trailing blanks; false when absent or empty. */
bool vaio_sysfs_read(dev_t dev, const char *attr, char *buf, size_t size);

/* First line of any small file. */
bool vaio_read_line(const char *path, char *buf, size_t size);

/*
 * What libblkid sees at the start of a device or file: "LUKS1", "LVM2_member",
 * "ext4", "gpt"...; empty when nothing.
 */
int vaio_signature(const char *path, char *buf, size_t size, struct vaio_err *e);

#endif /* LIBVAIO_BLOCKDEV_H */
