// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk.h"

#define MARKS "/run/vaio/backing"

static void mark_path(dev_t dev, char *buf, size_t size)
{
	snprintf(buf, size, MARKS "/%u:%u", major(dev), minor(dev));
}

bool backing_is_protected(dev_t dev)
{
	char node[256];
	struct stat st;

	return vaio_blockdev_path(dev, node, sizeof(node)) == VAIO_OK && !stat(node, &st) && !st.st_uid && !st.st_gid &&
	       !(st.st_mode & 077);
}

/* The mark keeps who had the node before, for backing_unprotect(). */
void backing_protect(const struct vaio_blockdev *b)
{
	char path[64];
	struct stat st;
	FILE *f;

	mkdir("/run/vaio", 0755);
	mkdir(MARKS, 0755);
	mark_path(b->dev, path, sizeof(path));
	if (stat(b->path, &st))
		return;
	/* A mark that is there holds the true owner; after ours the node is root's. */
	if (access(path, F_OK)) {
		f = fopen(path, "we");
		if (f) {
			fprintf(f, "%u %u %o\n", st.st_uid, st.st_gid, st.st_mode & 07777);
			fclose(f);
		}
	}
	if (chown(b->path, 0, 0) || chmod(b->path, 0600))
		vaioctl_note("%s could not be made root's own; others of group disk can read around the filters", b->path);
}

void backing_unprotect(dev_t dev)
{
	char path[64], line[64], node[256];
	unsigned int uid, gid, mode;

	mark_path(dev, path, sizeof(path));
	if (!vaio_read_line(path, line, sizeof(line)))
		return;
	unlink(path);
	if (sscanf(line, "%u %u %o", &uid, &gid, &mode) != 3 || vaio_blockdev_path(dev, node, sizeof(node)))
		return;
	/* Best effort: the node may be gone with its device. */
	if (chown(node, uid, gid) || chmod(node, mode & 07777))
		return;
}
