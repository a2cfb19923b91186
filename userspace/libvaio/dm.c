// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"
#include "host.h"
#include "units.h"

#define UUID_PREFIX	"VAIO-"
#define UDEV_FLAGS	(DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG | \
			 DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG)

/* libdevmapper's last complaint. It has one log function a process, so this is one too. */
static char last_error[256];

static void on_log(int level, const char *file, int line, int err, const char *fmt, ...)
{
	va_list ap;

	(void)file;
	(void)line;
	(void)err;
	/* 3 and below are errors; libdevmapper adds flag bits above. */
	if ((level & 7) > 3)
		return;
	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
}

static struct dm_task *new_task(int type, const char *name)
{
	struct dm_task *task;

	dm_log_with_errno_init(on_log);
	/* Without a udev daemon nobody would complete the cookie. */
	dm_udev_set_sync_support(vaio_udev_running());
	last_error[0] = 0;
	task = dm_task_create(type);
	if (task && name && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		task = NULL;
	}
	return task;
}

/* Runs a task; the error is the kernel's sentence when its log has one. */
static int run(struct dm_task *task, const char *what, const char *name, struct vaio_err *e)
{
	int log = vaio_klog_open(), err;
	char reason[1024];

	if (dm_task_run(task)) {
		if (log >= 0)
			close(log);
		return VAIO_OK;
	}
	err = dm_task_get_errno(task);
	vaio_klog_reason(log, reason, sizeof(reason));
	if (log >= 0)
		close(log);
	if (err == EPERM || err == EACCES || (!err && geteuid()))
		return vaio_fail(e, VAIO_FAILED, "device-mapper: %s '%s': not permitted, this needs root", what, name);
	if (reason[0])
		return vaio_fail(e, err == EBUSY ? VAIO_INUSE : VAIO_FAILED, "device-mapper: %s '%s': %s", what, name, reason);
	return vaio_fail(e, err == EBUSY ? VAIO_INUSE : VAIO_FAILED, "device-mapper: %s '%s': %s%s%s", what, name,
			 err ? strerror(err) : "", err && last_error[0] ? "; " : "", last_error);
}

static int no_task(struct vaio_err *e)
{
	return vaio_fail(e, VAIO_FAILED, "device-mapper: %s", last_error[0] ? last_error : "out of memory");
}

/* Runs a task that changes a node, and waits for udev. */
static int run_synced(struct dm_task *task, const char *what, const char *name, struct vaio_err *e)
{
	uint32_t cookie = 0;
	int rc;

	if (!dm_task_set_cookie(task, &cookie, UDEV_FLAGS))
		return no_task(e);
	rc = run(task, what, name, e);
	/* Also after a failure: the cookie's semaphore would stay. */
	dm_udev_wait(cookie);
	return rc;
}

static void fill_info(struct dm_task *task, const struct dm_info *di, struct vaio_dm_info *info)
{
	const char *uuid = dm_task_get_uuid(task);

	snprintf(info->name, sizeof(info->name), "%s", dm_task_get_name(task));
	if (uuid && !strncmp(uuid, UUID_PREFIX, strlen(UUID_PREFIX)) && vaio_uuid_valid(uuid + strlen(UUID_PREFIX)))
		snprintf(info->uuid, sizeof(info->uuid), "%s", uuid + strlen(UUID_PREFIX));
	info->dev = makedev((unsigned int)di->major, di->minor);
	info->open_count = di->open_count;
	info->suspended = di->suspended;
	info->live_table = di->live_table;
	info->read_only = di->read_only;
	info->deferred_remove = di->deferred_remove;
}

int vaio_dm_info(const char *key, struct vaio_dm_info *info, struct vaio_err *e)
{
	char uuid[VAIO_UUID_STR_LEN], dm_uuid[64];
	struct dm_info di = { 0 };
	struct dm_task *task;
	bool by_uuid;
	int rc;

	memset(info, 0, sizeof(*info));
	if (!vaio_dm_name_valid(key))
		return vaio_fail(e, VAIO_USAGE, "'%s' is not a disk's name or UUID", key);
	by_uuid = vaio_uuid_parse(key, uuid, NULL) == VAIO_OK;
	task = new_task(DM_DEVICE_INFO, by_uuid ? NULL : key);
	if (!task)
		return no_task(e);
	snprintf(dm_uuid, sizeof(dm_uuid), UUID_PREFIX "%s", by_uuid ? uuid : "");
	if (by_uuid && !dm_task_set_uuid(task, dm_uuid)) {
		dm_task_destroy(task);
		return no_task(e);
	}
	rc = run(task, "info of", key, e);
	if (!rc && dm_task_get_info(task, &di) && di.exists)
		fill_info(task, &di, info);
	dm_task_destroy(task);
	if (rc)
		return rc;
	if (!info->name[0])
		return vaio_fail(e, VAIO_NOTFOUND, "no disk '%s': vaioctl disk list shows all", key);
	if (!info->uuid[0])
		return vaio_fail(e, VAIO_NOTFOUND, "'%s' is a device-mapper device, but not a vaio disk", key);
	return VAIO_OK;
}

bool vaio_dm_name_taken(const char *name)
{
	struct dm_info di = { 0 };
	struct dm_task *task = new_task(DM_DEVICE_INFO, name);
	bool taken;

	if (!task)
		return false;
	taken = dm_task_run(task) && dm_task_get_info(task, &di) && di.exists;
	dm_task_destroy(task);
	return taken;
}

static int add_table(struct dm_task *task, const struct vaio_table *t, struct vaio_err *e)
{
	char *params = malloc(VAIO_TABLE_LINE);
	int rc;

	if (!params)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	rc = vaio_table_params(t, params, VAIO_TABLE_LINE, e);
	/* The kernel wipes its buffers of this call. The line names a key, it holds none. */
	if (!rc && vaio_table_has_key(t) && !dm_task_secure_data(task))
		rc = no_task(e);
	if (!rc && !dm_task_add_target(task, 0, t->sectors, "vaio", params))
		rc = no_task(e);
	free(params);
	return rc;
}

int vaio_dm_create(const char *name, const struct vaio_table *t, bool read_only, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_CREATE, name);
	char uuid[64];
	int rc;

	if (!task)
		return no_task(e);
	snprintf(uuid, sizeof(uuid), UUID_PREFIX "%s", t->uuid);
	rc = add_table(task, t, e);
	if (!rc && (!dm_task_set_uuid(task, uuid) || (read_only && !dm_task_set_ro(task)) ||
		    !dm_task_set_add_node(task, DM_ADD_NODE_ON_RESUME)))
		rc = no_task(e);
	if (!rc)
		rc = run_synced(task, "create", name, e);
	dm_task_destroy(task);
	return rc;
}

int vaio_dm_table(const char *name, struct vaio_table *t, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_TABLE, name);
	char *type = NULL, *params = NULL, *line;
	uint64_t start, length;
	int rc, n;

	memset(t, 0, sizeof(*t));
	if (!task)
		return no_task(e);
	rc = run(task, "table of", name, e);
	if (rc)
		goto out;
	if (dm_get_next_target(task, NULL, &start, &length, &type, &params) || !type || !params) {
		rc = vaio_fail(e, VAIO_FAILED, "'%s' has no table of one target", name);
		goto out;
	}
	line = malloc(VAIO_TABLE_LINE);
	if (!line) {
		rc = vaio_fail(e, VAIO_FAILED, "out of memory");
		goto out;
	}
	n = snprintf(line, VAIO_TABLE_LINE, "%llu %llu %s %s", (unsigned long long)start, (unsigned long long)length, type,
		     params);
	if (n >= VAIO_TABLE_LINE)
		rc = vaio_fail(e, VAIO_FAILED, "'%s': its table is longer than %d bytes", name, VAIO_TABLE_LINE - 1);
	else
		rc = vaio_table_parse(line, t, e);
	free(line);
out:
	dm_task_destroy(task);
	return rc;
}

static int load(const char *name, const struct vaio_table *t, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_RELOAD, name);
	int rc;

	if (!task)
		return no_task(e);
	rc = add_table(task, t, e);
	if (!rc)
		rc = run(task, "load a table into", name, e);
	dm_task_destroy(task);
	return rc;
}

static void clear(const char *name)
{
	struct dm_task *task = new_task(DM_DEVICE_CLEAR, name);

	if (!task)
		return;
	dm_task_run(task);
	dm_task_destroy(task);
}

int vaio_dm_resume(const char *name, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_RESUME, name);
	int rc;

	if (!task)
		return no_task(e);
	/* The suspend inside need not freeze a filesystem: no snapshot is taken. */
	rc = dm_task_skip_lockfs(task) ? run_synced(task, "resume", name, e) : no_task(e);
	dm_task_destroy(task);
	return rc;
}

int vaio_dm_suspend(const char *name, bool noflush, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_SUSPEND, name);
	int rc;

	if (!task)
		return no_task(e);
	rc = dm_task_skip_lockfs(task) && (!noflush || dm_task_no_flush(task)) ? run(task, "suspend", name, e) : no_task(e);
	dm_task_destroy(task);
	return rc;
}

int vaio_dm_switch(const char *name, const struct vaio_table *t, const struct vaio_table *old, struct vaio_err *e)
{
	struct vaio_err again;
	int rc;

	rc = load(name, t, e);
	if (rc) {
		clear(name);
		return rc;
	}
	/* One call suspends, switches and resumes: nobody can die in between. */
	rc = vaio_dm_resume(name, e);
	if (!rc)
		return VAIO_OK;
	/* The kernel dropped the old table with the new one: give it back. */
	if (load(name, old, &again) || vaio_dm_resume(name, &again)) {
		struct vaio_err first = *e;

		return vaio_fail(e, VAIO_FAILED, "%.400s; and the old table could not be loaded again: %.400s; '%s' is suspended",
				 first.text, again.text, name);
	}
	return rc;
}

int vaio_dm_remove(const char *name, bool deferred, struct vaio_err *e)
{
	struct dm_task *task = new_task(DM_DEVICE_REMOVE, name);
	int rc;

	if (!task)
		return no_task(e);
	if (deferred ? !dm_task_deferred_remove(task) : !dm_task_retry_remove(task))
		rc = no_task(e);
	else
		rc = run_synced(task, "remove", name, e);
	dm_task_destroy(task);
	return rc;
}
