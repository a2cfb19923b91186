/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LIBREPLICA_UNIX_H
#define LIBREPLICA_UNIX_H

#include <jansson.h>

struct vr_err;

/*
 * Listens at @path, in place of what a dead daemon left there. @daemon is for the
 * message; @flags: 0 or SOCK_NONBLOCK. Sets *@fd, also on failure: the process is
 * to end then. Returns 0 or a negative errno: -EBUSY when another daemon answers.
 */
int vr_unix_listen(const char *path, const char *daemon, int flags, int backlog, int *fd, struct vr_err *e);

/* Sends @j as a line, all of it. 0; -errno, for one who ends the connection too: that raises no signal. */
int vr_unix_send(int fd, const json_t *j);

#endif /* LIBREPLICA_UNIX_H */
