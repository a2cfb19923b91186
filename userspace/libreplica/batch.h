/* SPDX-License-Identifier: GPL-2.0 */
/* Batches of the wire: taken apart with all checks, and made. */
#ifndef LIBREPLICA_BATCH_H
#define LIBREPLICA_BATCH_H

#include <stddef.h>

#include "history.h"

/* A batch whose structure and CRCs were found right; points into its bytes. */
struct vr_batch {
	const struct vaio_rw_batch *header;
	const struct vaio_rw_record *records;
	size_t length;
	uint64_t first_seq, last_seq;
	unsigned int nr_records, nr_frames;
	uint64_t raw_bytes;	/* of all frames */
	struct vr_frame {
		const struct vaio_rw_frame *header;	/* the stored bytes follow it */
		uint32_t raw_length;
		const uint8_t *raw;	/* its unpacked bytes, once it is unpacked */
	} frames[VAIO_RW_MAX_FRAMES];
};

/*
 * Structure and CRCs of the @len bytes at @buf (aligned to 8): all that can be told
 * without unpacking and without the history. -EPROTO with a text.
 */
int vr_batch_parse(const void *buf, size_t len, struct vr_batch *b, struct vr_err *e);

/* Unpacks; keep one for each thread. */
struct vr_unpacker;
struct vr_unpacker *vr_unpacker_new(void);
void vr_unpacker_free(struct vr_unpacker *u);

/* One frame: @h with its stored bytes after it, to @raw_length bytes at @to. Checks the frame's CRC. */
int vr_frame_unpack(struct vr_unpacker *u, const struct vaio_rw_frame *h, void *to, struct vr_err *e);

/*
 * Unpacks all frames and checks the CRC of each payload. What was compressed is in the unpacker's memory,
 * valid until its next use; what was not stays where it is in the batch.
 */
int vr_batch_unpack(struct vr_unpacker *u, struct vr_batch *b, struct vr_err *e);

/* The payload of record @i of a batch that was unpacked, NULL without one. */
const void *vr_batch_payload(const struct vr_batch *b, unsigned int i);

/*
 * Checks the batch, which was unpacked, against the history, takes @h past it. Says where the members' guests do not
 * match the frames'. On -EPROTO @h is of no more use.
 */
int vr_batch_follow(const struct vr_batch *b, struct vr_history *h, struct vr_err *e);

/* --- making them -------------------------------------------------------------------- */

struct vr_builder;

/*
 * @limit: bytes of a batch at most; @level: of zstd, 0 for none. NULL: no memory.
 */
struct vr_builder *vr_builder_new(const uint8_t group[VAIO_RW_ID_LEN], size_t limit, int level);
void vr_builder_free(struct vr_builder *b);

/*
 * Adds a record: the caller fills type, flags, time_ns, offset, length, member and
 * ref (little-endian); the builder the rest. @seq must follow the last one of the batch.
 * @vm is the member's guest, nil for the group's own. Returns 1, having added nothing, when the
 * batch has to be finished first; 0 when added.
 */
int vr_builder_add(struct vr_builder *b, uint64_t seq, uint64_t generation, const struct vaio_rw_record *r,
		   const uint8_t vm[VAIO_RW_ID_LEN], const void *payload, uint32_t payload_len);

/*
 * Ends the batch: its bytes, the builder's until the next add; *@len 0 when there are no records. In front of them there
 * is room for a struct vaio_rw_msg.
 */
void *vr_builder_finish(struct vr_builder *b, size_t *len);

/*
 * Takes the memory that a finished batch lies in away from the builder, to be freed with free(): vr_builder_bytes() of it.
 * The builder goes on in @spare, at least as many bytes that become its own, or, when that is NULL, in new ones. NULL: no
 * memory for them, nothing was done.
 */
void *vr_builder_exchange(struct vr_builder *b, void *spare);
size_t vr_builder_bytes(const struct vr_builder *b);

#endif /* LIBREPLICA_BATCH_H */
