/* SPDX-License-Identifier: GPL-2.0 */
/* The superblock: what a store is, and what its base holds. */
#ifndef LIBREPLICA_SUPER_H
#define LIBREPLICA_SUPER_H

#include <stddef.h>

#include "history.h"
#include "io.h"

struct vr_mark {
	uint64_t seq;
	uint64_t time_ns;
	uint32_t flags;		/* VAIO_RS_MARK_* */
	uint32_t kind;		/* enum vaio_rw_checkpoint_kind */
	char name[VAIO_RW_NAME_LEN];
};

struct vr_super {
	uint64_t sequence;
	uint8_t store[VAIO_RW_ID_LEN];
	uint8_t group[VAIO_RW_ID_LEN];
	char group_name[VAIO_RW_NAME_LEN];
	uint64_t created_ns, written_ns;
	uint32_t role, failover;
	uint64_t base_from;
	uint64_t next_segment;
	uint8_t source[VAIO_RW_ID_LEN];
	char source_name[VAIO_RW_NAME_LEN];
	uint8_t ring[VAIO_RW_ID_LEN];
	uint64_t connection;
	uint64_t retain_ns, retain_bytes, quota_bytes;
	uint64_t every_write_ns, interval_ns;	/* thinning out; 0: none */
	uint64_t thinned_from, thinned_before;	/* segments that are */
	struct vr_history base;		/* as of the base, once apply is done */
	unsigned int nr_clients, nr_marks;
	char clients[VAIO_RS_MAX_CLIENTS][VAIO_RW_TEXT_LEN];
	struct vr_mark marks[VAIO_RS_MAX_MARKS];
};

/* Into a slot of VAIO_RS_SLOT bytes; returns the bytes used. */
size_t vr_super_encode(const struct vr_super *s, unsigned int slot, void *buf, size_t size);

/* From a slot; says what is wrong. -ENODATA: there is no superblock at all; -EBADMSG: a damaged one. */
int vr_super_decode(const void *buf, size_t len, unsigned int slot, struct vr_super *s, struct vr_err *e);

/* Of two slots the one that counts: 0 or 1, or -errno. */
int vr_super_pick(const void *slot0, const void *slot1, struct vr_super *s, struct vr_err *e);

/* The group's name alone, of a store that need not be whole. 0, or -errno: then @name is as it was. */
int vr_super_name(struct vr_io *io, char name[VAIO_RW_NAME_LEN]);

#endif /* LIBREPLICA_SUPER_H */
