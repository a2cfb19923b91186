// SPDX-License-Identifier: GPL-2.0
/* Taking batches apart. Whatever is in one is hostile until checked here. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "batch.h"
#include "crc32c.h"

struct vr_unpacker {
	ZSTD_DCtx *zstd;
	uint8_t *raw;
	size_t size;
};

struct vr_unpacker *vr_unpacker_new(void)
{
	struct vr_unpacker *u = calloc(1, sizeof(*u));

	if (u)
		u->zstd = ZSTD_createDCtx();
	if (!u || !u->zstd) {
		free(u);
		return NULL;
	}
	return u;
}

void vr_unpacker_free(struct vr_unpacker *u)
{
	if (!u)
		return;
	ZSTD_freeDCtx(u->zstd);
	free(u->raw);
	free(u);
}

static uint32_t frame_crc(const struct vaio_rw_frame *h)
{
	return vr_crc32c(0, (const char *)h + 8, sizeof(*h) - 8 + le32toh(h->stored_length));
}

static int parse_frame(const uint8_t *p, size_t left, unsigned int i, struct vr_batch *b, struct vr_err *e)
{
	const struct vaio_rw_frame *h = (const void *)p;
	uint32_t stored, raw, codec, padded;

	if (left < sizeof(*h))
		return vr_fail(e, -EPROTO, "frame %u: the batch ends in its header", i);
	if (le32toh(h->magic) != VAIO_RW_FRAME_MAGIC)
		return vr_fail(e, -EPROTO, "frame %u: magic 0x%08x", i, le32toh(h->magic));
	stored = le32toh(h->stored_length);
	raw = le32toh(h->raw_length);
	codec = le16toh(h->codec);
	if (!raw || raw > VAIO_RW_MAX_RAW)
		return vr_fail(e, -EPROTO, "frame %u: raw_length %u is not 1 to %u", i, raw, VAIO_RW_MAX_RAW);
	if (!stored || stored > raw)
		return vr_fail(e, -EPROTO, "frame %u: stored_length %u is not 1 to raw_length %u", i, stored, raw);
	if (codec != VAIO_RW_CODEC_ZSTD && (codec != VAIO_RW_CODEC_NONE || stored != raw))
		return vr_fail(e, -EPROTO, "frame %u: codec %u with %u of %u bytes", i, codec, stored, raw);
	if (h->reserved || h->reserved2 || h->reserved3)
		return vr_fail(e, -EPROTO, "frame %u: reserved bytes are not zero", i);
	padded = (stored + 7) & ~7U;
	if (padded > left - sizeof(*h))
		return vr_fail(e, -EPROTO, "frame %u: the batch ends in its %u bytes", i, stored);
	if (!vr_all_zero(p + sizeof(*h) + stored, padded - stored))
		return vr_fail(e, -EPROTO, "frame %u: filled up with other bytes than zeroes", i);
	if (frame_crc(h) != le32toh(h->crc))
		return vr_fail(e, -EPROTO, "frame %u: CRC", i);
	b->frames[i].header = h;
	b->frames[i].raw_length = raw;
	b->frames[i].raw = NULL;
	b->raw_bytes += raw;
	if (b->raw_bytes > VAIO_RW_MAX_BATCH_RAW)
		return vr_fail(e, -EPROTO, "frame %u: more than %u raw bytes in a batch", i, VAIO_RW_MAX_BATCH_RAW);
	return (int)(sizeof(*h) + padded);
}

/* Payloads fill each frame in the order of the records. */
static int parse_records(struct vr_batch *b, struct vr_err *e)
{
	uint32_t filled[VAIO_RW_MAX_FRAMES] = { 0 };

	for (unsigned int i = 0; i < b->nr_records; i++) {
		const struct vaio_rw_record *r = &b->records[i];
		uint64_t seq = b->first_seq + i;
		unsigned int frame = le16toh(r->frame);
		uint32_t len = le32toh(r->data_length);

		if (vr_crc32c(0, (const char *)r + 4, sizeof(*r) - 4) != le32toh(r->crc))
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": CRC", seq);
		if (le64toh(r->seq) != seq)
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": says that it is %" PRIu64, seq, le64toh(r->seq));
		if (frame == VAIO_RW_NO_FRAME) {
			if (len || r->data_offset || r->data_crc)
				return vr_fail(e, -EPROTO, "record %" PRIu64 ": payload without frame", seq);
			continue;
		}
		if (frame >= b->nr_frames)
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": frame %u of %u", seq, frame, b->nr_frames);
		if (!len || le32toh(r->data_offset) != filled[frame] || len > b->frames[frame].raw_length - filled[frame])
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": %u bytes at %u of frame %u, which is filled to %u of %u",
				       seq, len, le32toh(r->data_offset), frame, filled[frame],
				       b->frames[frame].raw_length);
		filled[frame] += len;
	}
	for (unsigned int i = 0; i < b->nr_frames; i++)
		if (filled[i] != b->frames[i].raw_length)
			return vr_fail(e, -EPROTO, "frame %u: %u of %u bytes belong to records", i, filled[i],
				       b->frames[i].raw_length);
	return 0;
}

int vr_batch_parse(const void *buf, size_t len, struct vr_batch *b, struct vr_err *e)
{
	const struct vaio_rw_batch *h = buf;
	const uint8_t *p = buf;
	size_t at;

	if (len < sizeof(*h) + sizeof(struct vaio_rw_record) || len > VAIO_RW_MAX_BATCH || len & 7)
		return vr_fail(e, -EPROTO, "batch: length %zu is not 128 to %u in steps of 8", len, VAIO_RW_MAX_BATCH);
	if (le32toh(h->magic) != VAIO_RW_BATCH_MAGIC)
		return vr_fail(e, -EPROTO, "batch: magic 0x%08x", le32toh(h->magic));
	if (le32toh(h->length) != len)
		return vr_fail(e, -EPROTO, "batch: length %u in %zu bytes", le32toh(h->length), len);
	memset(b, 0, offsetof(struct vr_batch, frames));
	b->header = h;
	b->records = (const void *)(h + 1);
	b->length = len;
	b->nr_records = le32toh(h->nr_records);
	b->nr_frames = le16toh(h->nr_frames);
	b->first_seq = le64toh(h->first_seq);
	if (!b->nr_records || b->nr_records > VAIO_RW_MAX_RECORDS ||
	    b->nr_records > (len - sizeof(*h)) / sizeof(struct vaio_rw_record))
		return vr_fail(e, -EPROTO, "batch: nr_records %u in %zu bytes", b->nr_records, len);
	if (b->nr_frames > VAIO_RW_MAX_FRAMES)
		return vr_fail(e, -EPROTO, "batch: nr_frames %u is more than %u", b->nr_frames, VAIO_RW_MAX_FRAMES);
	if (h->reserved || h->reserved2 || h->reserved3)
		return vr_fail(e, -EPROTO, "batch: reserved bytes are not zero");
	if (!b->first_seq || b->first_seq > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -EPROTO, "batch: first_seq %" PRIu64 " is not 1 to 2^62", b->first_seq);
	b->last_seq = b->first_seq + b->nr_records - 1;
	at = sizeof(*h) + b->nr_records * sizeof(struct vaio_rw_record);
	if (vr_crc32c(0, p + 8, at - 8) != le32toh(h->crc))
		return vr_fail(e, -EPROTO, "batch: CRC");
	for (unsigned int i = 0; i < b->nr_frames; i++) {
		int n = parse_frame(p + at, len - at, i, b, e);

		if (n < 0)
			return n;
		at += (size_t)n;
	}
	if (at != len)
		return vr_fail(e, -EPROTO, "batch: %zu bytes after the last frame", len - at);
	return parse_records(b, e);
}

/* Unpacks without looking at the frame's CRC, which the caller has done. */
static int unpack(struct vr_unpacker *u, const struct vaio_rw_frame *h, void *to, struct vr_err *e)
{
	size_t stored = le32toh(h->stored_length), raw = le32toh(h->raw_length);

	if (ZSTD_getFrameContentSize(h + 1, stored) != raw || ZSTD_findFrameCompressedSize(h + 1, stored) != stored ||
	    ZSTD_decompressDCtx(u->zstd, to, raw, h + 1, stored) != raw)
		return vr_fail(e, -EPROTO, "frame: not one zstd frame of %zu bytes", raw);
	return 0;
}

int vr_frame_unpack(struct vr_unpacker *u, const struct vaio_rw_frame *h, void *to, struct vr_err *e)
{
	if (frame_crc(h) != le32toh(h->crc))
		return vr_fail(e, -EIO, "frame: CRC");
	if (le16toh(h->codec) != VAIO_RW_CODEC_NONE)
		return unpack(u, h, to, e);
	if (h->stored_length != h->raw_length)
		return vr_fail(e, -EIO, "frame: %u of %u bytes", le32toh(h->stored_length), le32toh(h->raw_length));
	memcpy(to, h + 1, le32toh(h->raw_length));
	return 0;
}

/* Memory for what was compressed. */
static int reserve(struct vr_unpacker *u, const struct vr_batch *b, struct vr_err *e)
{
	size_t size = 0;
	uint8_t *more;

	for (unsigned int i = 0; i < b->nr_frames; i++)
		if (le16toh(b->frames[i].header->codec) != VAIO_RW_CODEC_NONE)
			size += b->frames[i].raw_length;
	if (u->size >= size)
		return 0;
	more = realloc(u->raw, size);
	if (!more)
		return vr_fail(e, -ENOMEM, "no memory for %zu bytes", size);
	u->raw = more;
	u->size = size;
	return 0;
}

int vr_batch_unpack(struct vr_unpacker *u, struct vr_batch *b, struct vr_err *e)
{
	uint8_t *to;
	int err = reserve(u, b, e);

	if (err)
		return err;
	to = u->raw;
	for (unsigned int i = 0; i < b->nr_frames; i++) {
		struct vr_frame *f = &b->frames[i];

		f->raw = (const uint8_t *)(f->header + 1);
		if (le16toh(f->header->codec) == VAIO_RW_CODEC_NONE)
			continue;
		err = unpack(u, f->header, to, e);
		if (err)
			return err;
		f->raw = to;
		to += f->raw_length;
	}
	for (unsigned int i = 0; i < b->nr_records; i++) {
		const void *payload = vr_batch_payload(b, i);

		if (payload && vr_crc32c(0, payload, le32toh(b->records[i].data_length)) != le32toh(b->records[i].data_crc))
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": CRC of the payload", b->first_seq + i);
	}
	return 0;
}

const void *vr_batch_payload(const struct vr_batch *b, unsigned int i)
{
	const struct vaio_rw_record *r = &b->records[i];

	if (le16toh(r->frame) == VAIO_RW_NO_FRAME)
		return NULL;
	return b->frames[le16toh(r->frame)].raw + le32toh(r->data_offset);
}

int vr_batch_follow(const struct vr_batch *b, struct vr_history *h, struct vr_err *e)
{
	static const uint8_t nil[VAIO_RW_ID_LEN];
	union {
		uint8_t bytes[256];
		uint64_t align;
	} copy;

	for (unsigned int i = 0; i < b->nr_records; i++) {
		const struct vaio_rw_record *r = &b->records[i];
		uint16_t type = le16toh(r->type);
		const void *payload = vr_batch_payload(b, i);
		const struct vr_member *m;
		int err;

		if (i && (type == VAIO_RW_R_GAP || type == VAIO_RW_R_GENERATION))
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": type %u is not the first of its batch",
				       b->first_seq + i, type);
		/* Structures are read at their alignment; a wrong length is refused before they are. */
		if (payload && vr_type_is_control(type)) {
			if (le32toh(r->data_length) > sizeof(copy.bytes))
				return vr_fail(e, -EPROTO, "record %" PRIu64 ": payload of %u bytes", b->first_seq + i,
					       le32toh(r->data_length));
			memcpy(copy.bytes, payload, le32toh(r->data_length));
			payload = copy.bytes;
		}
		err = vr_history_record(h, r, payload, e);
		if (err)
			return err;
		if (!i && le64toh(b->header->generation) != h->now.generation)
			return vr_fail(e, -EPROTO, "batch: generation %" PRIu64 ", the group is in %" PRIu64,
				       le64toh(b->header->generation), h->now.generation);
		if (le16toh(r->frame) == VAIO_RW_NO_FRAME)
			continue;
		m = le16toh(r->member) == VAIO_RW_NO_MEMBER ? NULL : vr_history_member(h, le16toh(r->member));
		if (memcmp(b->frames[le16toh(r->frame)].header->vm, m ? m->vm : nil, VAIO_RW_ID_LEN))
			return vr_fail(e, -EPROTO, "record %" PRIu64 ": its frame is of another guest", b->first_seq + i);
	}
	return 0;
}
