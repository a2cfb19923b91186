/* SPDX-License-Identifier: GPL-2.0 */
/* What the disk commands share. */
#ifndef VAIOCTL_DISK_H
#define VAIOCTL_DISK_H

#include <jansson.h>

#include "../libvaio/libvaio.h"
#include "vaioctl.h"

/* cmd_disk_attach.c, cmd_disk_change.c */
extern const struct vaioctl_opt disk_attach_opts[], disk_detach_opts[], disk_grow_opts[];
int disk_attach(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int disk_detach(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int disk_grow(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);

/* One disk as JSON. */
json_t *disk_json(const struct vaio_disk_info *d);

/* The backing as people know it: the image behind a loop device, else the node. */
void disk_backing_text(dev_t dev, char *buf, size_t size);

/* A device number of the ABI (major << 32 | minor) as dev_t. */
dev_t disk_dev(uint64_t dev);

/* "inspection:match > encryption:crypt" */
const char *disk_stack_text(const struct vaio_disk_info *d, char *buf, size_t size);

/*
 * A managed backing device belongs to root alone: its node is taken from the
 * group "disk", and a mark in /run tells the udev rule to keep it so.
 */
void backing_protect(const struct vaio_blockdev *b);
void backing_unprotect(dev_t dev);
bool backing_is_protected(dev_t dev);

#endif /* VAIOCTL_DISK_H */
