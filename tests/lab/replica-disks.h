/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers at the replica are in the order in which disks joined, which nobody chooses: tests take them by their UUIDs. */
#ifndef REPLICA_DISKS_H
#define REPLICA_DISKS_H

#include <string.h>

#include "../../userspace/libreplica/libreplica.h"

/* For qsort() of struct vr_member. */
static inline int by_uuid(const void *a, const void *b)
{
	const struct vr_member *x = a, *y = b;

	return memcmp(x->disk, y->disk, sizeof(x->disk));
}

#endif /* REPLICA_DISKS_H */
