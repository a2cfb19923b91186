/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of libvaio that speak generic netlink share. */
#ifndef LIBVAIO_NETLINK_PRIVATE_H
#define LIBVAIO_NETLINK_PRIVATE_H

#include "err.h"

struct nl_msg;
struct nlattr;
struct vaio_nl;

/* Connects to a family; @absent is the sentence when the kernel has none of that name. */
int vaio_nl_open_family(struct vaio_nl **nl, const char *family, const char *absent, struct vaio_err *e);

struct nl_msg *vaio_nl_request(struct vaio_nl *nl, int cmd, int flags);

/*
 * Sends @msg (consumed) and hands every answer to @fn. Returns 0, a negative
 * errno of the kernel, or -ENODATA when nothing usable came back.
 */
int vaio_nl_transact(struct vaio_nl *nl, struct nl_msg *msg, int (*fn)(struct nlattr *, int, void *), void *ctx);

/* A failure as a sentence: the kernel's own where it gave one. */
int vaio_nl_refused(struct vaio_nl *nl, int err, const char *what, struct vaio_err *e);

#endif /* LIBVAIO_NETLINK_PRIVATE_H */
