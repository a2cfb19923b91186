/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes that stay aside: over a disk at a point, which never changes. One sparse file:
 *
 *	4,096 bytes	header: magic, crc of bytes 24 to 4,095, version, store, disk, point, size
 *	map		two bits for each block of 4 KiB: 0 as below, 1 written, 3 zeroes
 *	blocks		block n at its place; holes where nothing was written
 *
 * Blocks are durable before the map that names them, so that what was flushed is there after a crash.
 */
#ifndef LIBREPLICA_SCRATCH_H
#define LIBREPLICA_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/vaio/replica-wire.h"
#include "err.h"

struct vr_scratch_id {
	uint8_t store[VAIO_RW_ID_LEN], disk[VAIO_RW_ID_LEN];
	uint64_t seq;		/* the point */
	uint64_t size;		/* of the disk, bytes */
};

struct vr_scratch;

/*
 * @path: a file, made unless it is there, which must then be of the same @id; with @keep false a folder, and the
 * file has no name. @max: bytes of blocks. -EAGAIN: another process has it. -ESTALE: of another disk or point.
 */
int vr_scratch_open(const char *path, bool keep, const struct vr_scratch_id *id, uint64_t max, struct vr_scratch **s,
		    struct vr_err *e);
/* Without a sync: vr_scratch_sync() before it. */
void vr_scratch_close(struct vr_scratch *s);
/* What a file belongs to. -ENOENT: there is none. */
int vr_scratch_peek(const char *path, struct vr_scratch_id *id, struct vr_err *e);

/* Reads what is below; @offset and @len may be any. */
typedef int (*vr_below)(void *arg, void *buf, size_t len, uint64_t offset, struct vr_err *e);

/* Any thread. -ENOSPC: @max, or the filesystem, is full: nothing of that block was changed. */
int vr_scratch_read(struct vr_scratch *s, void *buf, size_t len, uint64_t offset, vr_below below, void *arg, struct vr_err *e);
int vr_scratch_write(struct vr_scratch *s, const void *buf, size_t len, uint64_t offset, vr_below below, void *arg,
		     struct vr_err *e);
/* Whole blocks give their space back. */
int vr_scratch_zero(struct vr_scratch *s, uint64_t len, uint64_t offset, vr_below below, void *arg, struct vr_err *e);
int vr_scratch_sync(struct vr_scratch *s, struct vr_err *e);
/* Bytes of blocks that are written. */
uint64_t vr_scratch_used(struct vr_scratch *s);

#endif /* LIBREPLICA_SCRATCH_H */
