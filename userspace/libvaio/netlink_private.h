/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of libvaio that speak generic netlink share. */
#ifndef LIBVAIO_NETLINK_PRIVATE_H
#define LIBVAIO_NETLINK_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct nl_msg;
struct nlattr;
struct vaio_nl;
struct vaio_pair;

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

/* --- decoding: @a may be NULL, which changes nothing or reads as 0 --------------------- */

/* A string that may lack its NUL, cut to @size. */
void vaio_nl_get_str(struct nlattr *a, char *dst, size_t size);
uint64_t vaio_nl_get_u64(struct nlattr *a);

/* Adds the nested pair to a list that the caller frees. -EINVAL for one that is none, -ENOMEM. */
int vaio_nl_get_pair(struct nlattr *nest, struct vaio_pair **pairs, unsigned int *n);

#endif /* LIBVAIO_NETLINK_PRIVATE_H */
