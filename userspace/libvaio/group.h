/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replication groups: the generic netlink family "vaio_repl" as C calls. As in
 * netlink.h, what the kernel sent beyond a fixed limit is dropped.
 */
#ifndef LIBVAIO_GROUP_H
#define LIBVAIO_GROUP_H

#include <stdint.h>

#include <linux/vaio-replication.h>

#include "err.h"
#include "netlink.h"

struct vaio_group_member {
	char uuid[VAIO_UUID_STR_LEN], name[VAIO_DEVNAME_LEN], state[VAIO_NAME_LEN];
	uint64_t bytes, dirty, to_check;
};

struct vaio_group {
	char name[VAIO_NAME_LEN], uuid[VAIO_UUID_STR_LEN], state[VAIO_NAME_LEN];
	unsigned int n_props, n_counters, n_members;
	struct vaio_pair *props, *counters;
	struct vaio_group_member *members;
};

/* Connects; VAIO_NOTFOUND when vaio-replication is not loaded and cannot be. */
int vaio_group_open(struct vaio_nl **nl, struct vaio_err *e);

int vaio_group_get(struct vaio_nl *nl, const char *name, struct vaio_group *g, struct vaio_err *e);
int vaio_group_list(struct vaio_nl *nl, struct vaio_group **list, unsigned int *n, struct vaio_err *e);
void vaio_group_free(struct vaio_group *g);
void vaio_groups_free(struct vaio_group *list, unsigned int n);

/* Makes a group, or changes one: all @n properties or none. */
int vaio_group_create(struct vaio_nl *nl, const char *name, const struct vaio_pair *props, unsigned int n,
		      struct vaio_err *e);
int vaio_group_set(struct vaio_nl *nl, const char *name, const struct vaio_pair *props, unsigned int n,
		   struct vaio_err *e);
int vaio_group_delete(struct vaio_nl *nl, const char *name, struct vaio_err *e);

/* The value of a counter or property, "" when the kernel did not send it. */
const char *vaio_pair_value(const struct vaio_pair *pairs, unsigned int n, const char *name);

/* The decoder, for tests: @head and @len are a message's attributes. */
int vaio_decode_group(struct nlattr *head, int len, struct vaio_group *g);

#endif /* LIBVAIO_GROUP_H */
