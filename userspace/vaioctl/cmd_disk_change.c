// SPDX-License-Identifier: GPL-2.0
/* vaioctl disk: detach, grow. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

#define WAIT_MS	2000	/* for udev and others that look at a device for a moment */

const struct vaioctl_opt disk_detach_opts[] = {
	{ "deferred", NULL, "remove it when its last user closes it", false },
	{ "wait", "TIME", "wait so long for users to go; 2s unless given", false },
	{ 0 },
};

const struct vaioctl_opt disk_grow_opts[] = {
	{ "size", "SIZE", "the disk's new size; an image file is made larger for it", false },
	{ 0 },
};

static dev_t table_dev(const char *word)
{
	struct vaio_blockdev b;
	unsigned int maj, min;

	if (sscanf(word, "%u:%u", &maj, &min) == 2)
		return makedev(maj, min);
	return vaio_blockdev_get(word, &b, NULL) ? 0 : b.dev;
}

/* --- detach ---------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int remove_disk(const struct vaio_dm_info *disk, uint64_t wait_ms, bool deferred, struct vaio_err *e)
{
	struct vaio_dm_info info = *disk;
	int64_t end = now_ms() + (int64_t)wait_ms;
	char users[512];
	int rc;

	while (!deferred && info.open_count && now_ms() < end) {
		poll(NULL, 0, 20);
		rc = vaio_dm_info(disk->name, &info, e);
		if (rc)
			return rc;
	}
	if (!deferred && info.open_count) {
		vaio_blockdev_users(disk->dev, users, sizeof(users));
		return vaio_fail(e, VAIO_INUSE, "'%s' is in use: %s; --deferred removes it when they are gone", disk->name,
				 users[0] ? users : "the kernel says so, by whom is not visible from here");
	}
	return vaio_dm_remove(disk->name, deferred, e);
}

int disk_detach(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_table t = { 0 };
	struct vaio_dm_info info;
	uint64_t wait = WAIT_MS;
	struct vaio_err e;
	bool gone = false;
	int rc;

	if (vaioctl_has(a, "wait")) {
		rc = vaio_parse_time(vaioctl_opt(a, "wait"), &wait, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--wait: %s", e.text);
	}
	rc = vaio_dm_info(a->operand[0], &info, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	/* Only to give the backing's node back; a disk without a table goes too. */
	if (vaio_dm_table(info.name, &t, NULL))
		t.backing[0] = 0;
	rc = remove_disk(&info, wait, vaioctl_has(a, "deferred"), &e);
	if (!rc) {
		gone = !vaio_dm_name_taken(info.name);
		if (gone && t.backing[0])
			backing_unprotect(table_dev(t.backing));
	}
	vaio_table_free(&t);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (g->json)
		return vaioctl_print_json(json_pack("{s:s, s:s, s:b}", "name", info.name, "uuid", info.uuid, "detached", gone));
	printf(gone ? "%s detached\n" : "%s will be detached when its last user closes it\n", info.name);
	return VAIO_OK;
}

/* --- grow --------------------------------------------------------------------------- */

/* An image file that was made larger, until the disk has taken over its size. */
struct extension {
	char image[512], loop[256];
	off_t old_size;		/* 0: nothing was changed */
};

/* The new blocks are not reserved: the guest fills them, or the image was sparse before. */
static int extend_image(struct extension *x, uint64_t bytes, struct vaio_err *e)
{
	int fd = open(x->image, O_WRONLY | O_CLOEXEC), rc = VAIO_OK;
	struct stat st;

	if (fd < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "'%s'", x->image);
	if (fstat(fd, &st)) {
		rc = vaio_fail_errno(e, VAIO_FAILED, "'%s'", x->image);
	} else if ((uint64_t)st.st_size < bytes) {
		x->old_size = st.st_size;
		if (ftruncate(fd, (off_t)bytes))
			rc = vaio_fail_errno(e, VAIO_FAILED, "'%s' cannot be made larger", x->image);
	}
	close(fd);
	return rc;
}

/* The disk never had the new part, so nothing is lost with it. */
static void undo_extension(const struct extension *x)
{
	if (x->old_size && (truncate(x->image, x->old_size) || vaio_loop_update_size(x->loop, NULL)))
		vaioctl_note("disk grow: '%s' could not be given its old size back", x->image);
}

/* What all filters and the device need the length to be a multiple of, in bytes. */
static uint64_t table_block(const struct vaio_table *t, uint32_t device_block)
{
	uint64_t block = device_block;
	unsigned int i;

	for (i = 0; i < t->n_filters; i++) {
		const char *word = vaio_table_prop(&t->filters[i], "sector_size");

		if (word && !strcmp(word, "4096") && block < 4096)
			block = 4096;
	}
	return block;
}

static int check_new_size(const struct vaio_table *old, uint64_t bytes, uint64_t block, struct vaio_err *e)
{
	if (bytes < old->sectors * 512)
		return vaio_fail(e, VAIO_FAILED, "the new size, %llu bytes, is less than the disk's, %llu: a disk never shrinks",
				 (unsigned long long)bytes, (unsigned long long)old->sectors * 512);
	if (bytes % block)
		return vaio_fail(e, VAIO_USAGE, "--size: not a multiple of the disk's block size, %llu",
				 (unsigned long long)block);
	return VAIO_OK;
}

/* The table with the new length in @new (its filters are @old's). */
static int grow_table(const struct vaio_table *old, uint64_t want, struct vaio_table *new, struct extension *x,
		      struct vaio_err *e)
{
	char node[256];
	struct vaio_blockdev b;
	uint64_t room, block;
	dev_t dev = table_dev(old->backing);
	int rc;

	rc = vaio_blockdev_path(dev, node, sizeof(node));
	if (rc)
		return vaio_fail(e, rc, "the backing device %s is gone", old->backing);
	rc = vaio_blockdev_get(node, &b, e);
	if (rc)
		return rc;
	block = table_block(old, b.block_size);
	if (want) {
		rc = check_new_size(old, want, block, e);
		if (rc)
			return rc;
	}
	if (vaio_loop_file(dev, x->image, sizeof(x->image))) {
		strcpy(x->loop, node);
		if (want)
			rc = extend_image(x, old->offset * 512 + want, e);
		if (!rc)
			rc = vaio_loop_update_size(node, e);
		if (!rc)
			rc = vaio_blockdev_get(node, &b, e);
		if (rc)
			return rc;
	}
	room = b.bytes > old->offset * 512 ? b.bytes - old->offset * 512 : 0;
	room -= room % block;
	if (want > room)
		return vaio_fail(e, VAIO_FAILED, "%s has room for %llu bytes, not for %llu; enlarge it first", node,
				 (unsigned long long)room, (unsigned long long)want);
	rc = check_new_size(old, want ? want : room, block, e);
	*new = *old;
	new->sectors = (want ? want : room) / 512;
	return rc;
}

int disk_grow(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_table old, new = { 0 };
	struct extension x = { 0 };
	struct vaio_dm_info info;
	char before[32], after[32];
	uint64_t want = 0;
	struct vaio_err e;
	int rc;

	if (vaioctl_has(a, "size")) {
		rc = vaio_parse_size(vaioctl_opt(a, "size"), &want, &e);
		if (rc || !want)
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--size: %s", rc ? e.text : "0 is no size of a disk");
	}
	rc = vaio_dm_info(a->operand[0], &info, &e);
	if (!rc)
		rc = vaio_dm_table(info.name, &old, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	/* What was asked of one start does not hold for the next. */
	old.takeover = old.lose_dirty = false;
	rc = grow_table(&old, want, &new, &x, &e);
	if (!rc && new.sectors != old.sectors)
		rc = vaio_dm_switch(info.name, &new, &old, &e);
	if (rc)
		undo_extension(&x);
	vaio_format_size(before, sizeof(before), (double)old.sectors * 512);
	vaio_format_size(after, sizeof(after), (double)new.sectors * 512);
	if (rc)
		rc = vaioctl_fail_err(cmd, rc, &e);
	else if (g->json)
		rc = vaioctl_print_json(json_pack("{s:s, s:s, s:I, s:I}", "name", info.name, "uuid", info.uuid, "old_bytes",
						  (json_int_t)old.sectors * 512, "bytes", (json_int_t)new.sectors * 512));
	else if (new.sectors == old.sectors)
		printf("%s has %s already, all that the backing gives\n", info.name, before);
	else
		printf("%s grew from %s to %s\n", info.name, before, after);
	/* Both share the filters. */
	vaio_table_free(&old);
	return rc;
}
