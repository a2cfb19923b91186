/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disks as device-mapper devices: name as given, device-mapper UUID
 * "VAIO-<disk uuid>". udev is told never to look into them: what a guest wrote
 * there is not the host's. Every operation waits for udev where udev runs.
 */
#ifndef LIBVAIO_DM_H
#define LIBVAIO_DM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "table.h"

struct vaio_dm_info {
	char name[VAIO_DEVNAME_LEN];
	char uuid[VAIO_UUID_STR_LEN];	/* the disk's; empty: not one of ours */
	dev_t dev;
	int open_count;
	bool suspended, live_table, read_only, deferred_remove;
};

/* By name or disk UUID. VAIO_NOTFOUND when there is none, or it is not a vaio disk. */
int vaio_dm_info(const char *key, struct vaio_dm_info *info, struct vaio_err *e);

/* Is a device-mapper name taken, by whomever? */
bool vaio_dm_name_taken(const char *name);

/* Makes the device and starts it; on failure nothing is left. */
int vaio_dm_create(const char *name, const struct vaio_table *t, bool read_only, struct vaio_err *e);

/* The live table. vaio_table_free() it. */
int vaio_dm_table(const char *name, struct vaio_table *t, struct vaio_err *e);

/*
 * Loads a table and switches to it without losing I/O. When the new one does
 * not start, @old is loaded again.
 */
int vaio_dm_switch(const char *name, const struct vaio_table *t, const struct vaio_table *old, struct vaio_err *e);

int vaio_dm_suspend(const char *name, bool noflush, struct vaio_err *e);
int vaio_dm_resume(const char *name, struct vaio_err *e);

/* @deferred: at the last close when it is open now. */
int vaio_dm_remove(const char *name, bool deferred, struct vaio_err *e);

#endif /* LIBVAIO_DM_H */
