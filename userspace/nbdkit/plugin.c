// SPDX-License-Identifier: GPL-2.0
/*
 * An nbdkit plugin that serves a disk as it was at a point, read-only:
 *
 *	nbdkit vaio store=/var/lib/vaio/replica/<uuid> disk=vm1-vda point=-10min
 *
 * It reads the store itself; a pin keeps the point as long as nbdkit lives. With
 *
 *	scratch=DIR scratch-max=SIZE		writable; the writes are thrown away at the end
 *	scratch-file=FILE scratch-max=SIZE	writable; the writes stay in FILE, for the next time
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../libreplica/libreplica.h"

static char *store_dir, *disk_name, *point_text, *scratch_dir, *scratch_file;
static int64_t scratch_max;
static struct vr_scratch *scratch;
static struct vr_pin *pin;
static struct vr_store *st;
static struct vr_point point;
static struct vr_member member;

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS

static int plugin_config(const char *key, const char *value)
{
	char **to = !strcmp(key, "store") ? &store_dir : !strcmp(key, "disk") ? &disk_name :
		    !strcmp(key, "point") ? &point_text : !strcmp(key, "scratch") ? &scratch_dir :
		    !strcmp(key, "scratch-file") ? &scratch_file : NULL;

	if (!strcmp(key, "scratch-max")) {
		scratch_max = nbdkit_parse_size(value);
		return scratch_max < 0 ? -1 : 0;
	}
	if (!to) {
		nbdkit_error("parameter '%s' is unknown: accepted are store, disk, point, scratch, scratch-file, scratch-max", key);
		return -1;
	}
	free(*to);
	/* nbdkit changes its folder when it goes into the background. */
	*to = to == &store_dir || to == &scratch_dir ? nbdkit_realpath(value) :
	      to == &scratch_file ? nbdkit_absolute_path(value) : strdup(value);
	return *to ? 0 : -1;
}

static int plugin_config_complete(void)
{
	if (!store_dir || !disk_name)
		nbdkit_error("parameters are missing: store=DIR disk=NAME [point=latest]");
	else if (scratch_dir && scratch_file)
		nbdkit_error("scratch and scratch-file exclude each other");
	else if ((scratch_dir || scratch_file) != (scratch_max > 0))
		nbdkit_error("scratch-max goes with scratch or scratch-file");
	else
		return 0;
	return -1;
}

/* By name, number or UUID. */
static bool is_wanted(const struct vr_member *m)
{
	char uuid[37], number[8], *t = uuid;

	for (int i = 0; i < 16; i++)
		t += sprintf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", m->disk[i]);
	snprintf(number, sizeof(number), "%u", m->number);
	return !strcmp(m->name, disk_name) || !strcmp(uuid, disk_name) || !strcmp(number, disk_name);
}

static int open_scratch(void)
{
	struct vr_scratch_id id = { .seq = point.seq, .size = member.size };
	struct vr_info info;
	struct vr_err e;

	if (!scratch_max)
		return 0;
	vr_store_info(st, &info);
	memcpy(id.store, info.store, sizeof(id.store));
	memcpy(id.disk, member.disk, sizeof(id.disk));
	if (vr_scratch_open(scratch_file ? scratch_file : scratch_dir, scratch_file != NULL, &id, (uint64_t)scratch_max, &scratch,
			    &e)) {
		nbdkit_error("%s", e.text);
		return -1;
	}
	return 0;
}

static int plugin_get_ready(void)
{
	const struct vr_history *h;
	struct vr_view *v;
	struct timespec now;
	unsigned int found = 0;
	struct vr_err e;

	gcry_check_version(NULL);
	vr_files_limit();
	clock_gettime(CLOCK_REALTIME, &now);
	if (vr_pin_take(store_dir, point_text ? point_text : "latest",
			(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, &pin, &st, &point, &e) ||
	    vr_view_open(st, point.seq, &v, &e)) {
		nbdkit_error("%s", e.text);
		return -1;
	}
	h = vr_view_history(v);
	for (unsigned int i = 0; i < h->nr_members; i++)
		if (!h->members[i].removed && is_wanted(&h->members[i])) {
			member = h->members[i];
			found++;
		}
	vr_view_close(v);
	if (found != 1) {
		nbdkit_error(found ? "'%s' names several disks: use the UUID" : "no disk '%s' is in the group at this point",
			     disk_name);
		return -1;
	}
	nbdkit_debug("seq:%llu, %s", (unsigned long long)point.seq, member.name);
	return open_scratch();
}

static void plugin_cleanup(void)
{
	struct vr_err e;

	if (scratch && scratch_file && vr_scratch_sync(scratch, &e))
		nbdkit_error("%s", e.text);
	vr_scratch_close(scratch);
	scratch = NULL;
	vr_pin_drop(pin);
	pin = NULL;
	free(scratch_dir);
	free(scratch_file);
	free(store_dir);
	free(disk_name);
	free(point_text);
}

static void *plugin_open(int readonly)
{
	struct vr_view *v;
	struct vr_err e;

	(void)readonly;
	if (vr_view_open(st, point.seq, &v, &e)) {
		nbdkit_error("%s", e.text);
		return NULL;
	}
	return v;
}

static void plugin_close(void *handle)
{
	vr_view_close(handle);
}

static int64_t plugin_get_size(void *handle)
{
	(void)handle;
	return (int64_t)member.size;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = 65536;
	*maximum = 32 << 20;
	return 0;
}

static int plugin_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;	/* nothing ever changes, or all see the same scratch */
}

/* From the replica, which has sectors. */
static int read_below(void *handle, void *buf, size_t count, uint64_t offset, struct vr_err *e)
{
	uint64_t start = offset & ~511ULL, end = (offset + count + 511) & ~511ULL;
	uint8_t *whole = NULL;
	int err;

	if (start == offset && end == offset + count) {
		err = vr_view_read(handle, member.number, buf, count, offset, e);
	} else {
		whole = malloc(end - start);
		err = whole ? vr_view_read(handle, member.number, whole, end - start, start, e) :
			      vr_fail(e, -ENOMEM, "no memory");
		if (!err)
			memcpy(buf, whole + (offset - start), count);
		free(whole);
	}
	return err;
}

static int result(int err, const struct vr_err *e)
{
	if (!err)
		return 0;
	nbdkit_error("%s", e->text);
	nbdkit_set_error(err == -ENOMEM ? ENOMEM : err == -ENOSPC ? ENOSPC : EIO);
	return -1;
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct vr_err e;

	(void)flags;
	return result(scratch ? vr_scratch_read(scratch, buf, count, offset, read_below, handle, &e) :
				read_below(handle, buf, count, offset, &e), &e);
}

static int plugin_can_write(void *handle)
{
	(void)handle;
	return scratch != NULL;
}

static int plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_EMULATE;
}

static int plugin_can_fast_zero(void *handle)
{
	(void)handle;
	return 1;
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct vr_err e;

	(void)flags;
	return result(vr_scratch_write(scratch, buf, count, offset, read_below, handle, &e), &e);
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct vr_err e;

	(void)flags;
	return result(vr_scratch_zero(scratch, count, offset, read_below, handle, &e), &e);
}

static int plugin_flush(void *handle, uint32_t flags)
{
	struct vr_err e;

	(void)handle;
	(void)flags;
	return result(vr_scratch_sync(scratch, &e), &e);
}

static struct nbdkit_plugin plugin = {
	.name = "vaio",
	.longname = "vaio replica, at a point",
	.description = "a disk of a replica as it was at a point in time",
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = "store=DIR        the group's store (required)\n"
		       "disk=NAME        name, UUID or number of the disk (required)\n"
		       "point=POINT      latest (default), oldest, seq:N, name:X, a time, -10min\n"
		       "scratch=DIR      writable: the writes go to DIR, and are thrown away at the end\n"
		       "scratch-file=F   writable: the writes go to F, and stay\n"
		       "scratch-max=SIZE bytes of such writes",
	.magic_config_key = "store",
	.get_ready = plugin_get_ready,
	.cleanup = plugin_cleanup,
	.open = plugin_open,
	.close = plugin_close,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_multi_conn = plugin_can_multi_conn,
	.pread = plugin_pread,
	.can_write = plugin_can_write,
	.can_flush = plugin_can_write,
	.can_trim = plugin_can_write,
	.can_zero = plugin_can_write,
	.can_fast_zero = plugin_can_fast_zero,
	.can_fua = plugin_can_fua,
	.pwrite = plugin_pwrite,
	.trim = plugin_zero,
	.zero = plugin_zero,
	.flush = plugin_flush,
};

__attribute__((visibility("default")))
NBDKIT_REGISTER_PLUGIN(plugin)
