/* SPDX-License-Identifier: GPL-2.0 */
/* The host: kernel modules, its identity, and the kernel log as the source of reasons. */
#ifndef LIBVAIO_HOST_H
#define LIBVAIO_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Is a module loaded (or built in)? Name as in modprobe; '-' and '_' are one. */
bool vaio_module_loaded(const char *name);

/* Loads one unless it is there; the error is modprobe's own last line. */
int vaio_module_load(const char *name, struct vaio_err *e);

/*
 * Loads what a table needs: vaio, dm-vaio and the module of each filter in
 * @filters (ends with NULL), and gives the framework the host's identity.
 */
int vaio_host_prepare(const char *const *filters, struct vaio_err *e);

/* /etc/machine-id as a UUID with dashes. */
int vaio_host_id(char *out, struct vaio_err *e);

/* Does a udev daemon run that would finish our cookies? */
bool vaio_udev_running(void);

/* Runs a program; its last non-empty output line goes to @line (may be NULL). Exit status, or -1. */
int vaio_run(const char *const *argv, char *line, size_t size);

/*
 * The kernel log from now on. Open before an operation, ask after it failed:
 * *text is the last line of device-mapper or vaio since then, made readable;
 * empty when there is none.
 */
int vaio_klog_open(void);
void vaio_klog_reason(int fd, char *text, size_t size);

/* One record of /dev/kmsg to a reason, false when it is none; for tests. */
bool vaio_klog_parse(const char *record, char *text, size_t size);

#endif /* LIBVAIO_HOST_H */
