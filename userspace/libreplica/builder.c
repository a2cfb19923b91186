// SPDX-License-Identifier: GPL-2.0
/* Making batches: what an agent does, and the tests. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "batch.h"
#include "crc32c.h"
#include "index.h"

#define FRAME_RAW	(128U << 10)	/* a frame is closed at this size */

/* What is to be compressed is gathered first; else payloads are put where they stay, so that only the newest frame can grow. */
struct open_frame {
	uint8_t vm[VAIO_RW_ID_LEN];
	uint8_t *raw;
	size_t len, size;
};

/* Frames begin here in the memory of a batch; what comes before them is put there when it is finished. */
#define FRONT	(sizeof(struct vaio_rw_msg) + sizeof(struct vaio_rw_batch) + VAIO_RW_MAX_RECORDS * sizeof(struct vaio_rw_record))

struct vr_builder {
	uint8_t group[VAIO_RW_ID_LEN];
	size_t limit, worst;	/* worst: bytes of the batch if nothing compresses */
	size_t raw;
	uint64_t cells;		/* that the records touch */
	int level;
	ZSTD_CCtx *zstd;
	uint64_t first_seq, generation;
	struct vaio_rw_record *records;
	unsigned int nr_records, nr_frames;
	struct open_frame frames[VAIO_RW_MAX_FRAMES];
	uint8_t *out;		/* vr_builder_bytes() */
	bool finished;
};

size_t vr_builder_bytes(const struct vr_builder *b)
{
	/* A record that is larger than the limit is a batch of its own. */
	size_t largest = VAIO_RW_MAX_RAW + sizeof(struct vaio_rw_batch) + sizeof(struct vaio_rw_record) +
			 sizeof(struct vaio_rw_frame) + 16;

	return FRONT + (b->limit > largest ? b->limit : largest);
}

struct vr_builder *vr_builder_new(const uint8_t group[VAIO_RW_ID_LEN], size_t limit, int level)
{
	struct vr_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	memcpy(b->group, group, sizeof(b->group));
	b->limit = limit < VAIO_RW_MAX_BATCH ? limit : VAIO_RW_MAX_BATCH;
	b->level = level;
	b->worst = sizeof(struct vaio_rw_batch);
	b->records = calloc(VAIO_RW_MAX_RECORDS, sizeof(*b->records));
	b->out = malloc(vr_builder_bytes(b));
	b->zstd = ZSTD_createCCtx();
	if (!b->records || !b->out || !b->zstd) {
		vr_builder_free(b);
		return NULL;
	}
	ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_contentSizeFlag, 1);
	return b;
}

static void reset(struct vr_builder *b)
{
	b->nr_records = b->nr_frames = 0;
	b->raw = 0;
	b->cells = 0;
	b->worst = sizeof(struct vaio_rw_batch);
	b->finished = false;
}

void vr_builder_free(struct vr_builder *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; b->level && i < VAIO_RW_MAX_FRAMES; i++)
		free(b->frames[i].raw);
	ZSTD_freeCCtx(b->zstd);
	free(b->records);
	free(b->out);
	free(b);
}

static size_t pad8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* The newest frame of @vm with room for @len more bytes, or a new one; -1: the batch is full. */
static int find_frame(struct vr_builder *b, const uint8_t *vm, uint32_t len)
{
	for (unsigned int i = b->nr_frames; i-- > 0;)
		if (!memcmp(b->frames[i].vm, vm, VAIO_RW_ID_LEN)) {
			if (b->frames[i].len + len <= FRAME_RAW && (b->level || i == b->nr_frames - 1))
				return (int)i;
			break;
		}
	return b->nr_frames < VAIO_RW_MAX_FRAMES ? (int)b->nr_frames : -1;
}

/* Room for @len more bytes of the frame. */
static int grow(struct vr_builder *b, struct open_frame *f, size_t len)
{
	size_t size = f->len + len < FRAME_RAW ? FRAME_RAW : f->len + len;
	uint8_t *grown;

	if (!b->level || f->size >= f->len + len)
		return 0;
	grown = realloc(f->raw, size);
	if (!grown)
		return -ENOMEM;
	f->raw = grown;
	f->size = size;
	return 0;
}

int vr_builder_add(struct vr_builder *b, uint64_t seq, uint64_t generation, const struct vaio_rw_record *r,
		   const uint8_t vm[VAIO_RW_ID_LEN], const void *payload, uint32_t len)
{
	uint16_t type = le16toh(r->type);
	struct vaio_rw_record *to;
	size_t more = sizeof(*r);
	uint64_t cells = vr_index_count(r);
	int frame = -1;

	if (b->finished)
		reset(b);
	if (len > VAIO_RW_MAX_RAW)
		return -EINVAL;
	if (b->nr_records && (seq != b->first_seq + b->nr_records || type == VAIO_RW_R_GAP || type == VAIO_RW_R_GENERATION))
		return 1;
	if (len) {
		frame = find_frame(b, vm, len);
		more += len + 8 + (frame == (int)b->nr_frames ? sizeof(struct vaio_rw_frame) + 8 : 0);
	}
	if (b->nr_records && (b->nr_records == VAIO_RW_MAX_RECORDS || (len && frame < 0) || b->worst + more > b->limit ||
			      b->raw + len > VAIO_RW_MAX_BATCH_RAW || b->cells + cells > VAIO_RW_MAX_CELLS))
		return 1;
	if (!b->nr_records) {
		b->first_seq = seq;
		b->generation = generation;
	}
	to = &b->records[b->nr_records];
	*to = *r;
	to->seq = htole64(seq);
	to->frame = htole16(VAIO_RW_NO_FRAME);
	to->data_offset = to->data_length = to->data_crc = 0;
	if (len) {
		struct open_frame *f = &b->frames[frame];

		if (frame == (int)b->nr_frames) {
			memcpy(f->vm, vm, VAIO_RW_ID_LEN);
			f->len = 0;
			if (!b->level)
				f->raw = sizeof(struct vaio_rw_frame) + (frame ? f[-1].raw + pad8(f[-1].len) : b->out + FRONT);
		}
		if (grow(b, f, len))
			return -ENOMEM;
		memcpy(f->raw + f->len, payload, len);
		to->frame = htole16((uint16_t)frame);
		to->data_offset = htole32((uint32_t)f->len);
		to->data_length = htole32(len);
		to->data_crc = htole32(vr_crc32c(0, payload, len));
		f->len += len;
		b->raw += len;
		if (frame == (int)b->nr_frames)
			b->nr_frames++;
	}
	to->crc = htole32(vr_crc32c(0, (const char *)to + 4, sizeof(*to) - 4));
	b->nr_records++;
	b->cells += cells;
	b->worst += more;
	return 0;
}

static size_t put_frame(struct vr_builder *b, const struct open_frame *f, uint8_t *to)
{
	struct vaio_rw_frame *h = (void *)to;
	size_t stored = 0;

	memset(h, 0, sizeof(*h));
	h->magic = htole32(VAIO_RW_FRAME_MAGIC);
	memcpy(h->vm, f->vm, VAIO_RW_ID_LEN);
	h->raw_length = htole32((uint32_t)f->len);
	if (b->level && f->len > 64) {
		/* What does not become smaller stays as it is. */
		stored = ZSTD_compress2(b->zstd, to + sizeof(*h), f->len - 1, f->raw, f->len);
		if (ZSTD_isError(stored))
			stored = 0;
	}
	h->codec = htole16(stored ? VAIO_RW_CODEC_ZSTD : VAIO_RW_CODEC_NONE);
	if (!stored) {
		if (b->level)
			memcpy(to + sizeof(*h), f->raw, f->len);
		stored = f->len;
	}
	h->stored_length = htole32((uint32_t)stored);
	memset(to + sizeof(*h) + stored, 0, pad8(stored) - stored);
	h->crc = htole32(vr_crc32c(0, to + 8, sizeof(*h) - 8 + stored));
	return sizeof(*h) + pad8(stored);
}

void *vr_builder_finish(struct vr_builder *b, size_t *len)
{
	size_t records = b->nr_records * sizeof(*b->records);
	uint8_t *end = b->out + FRONT, *begin = end - records - sizeof(struct vaio_rw_batch);
	struct vaio_rw_batch *h = (void *)begin;

	*len = 0;
	if (b->finished || !b->nr_records)
		return NULL;
	memcpy(h + 1, b->records, records);
	for (unsigned int i = 0; i < b->nr_frames; i++)
		end += put_frame(b, &b->frames[i], end);
	memset(h, 0, sizeof(*h));
	h->magic = htole32(VAIO_RW_BATCH_MAGIC);
	h->length = htole32((uint32_t)(end - begin));
	h->nr_records = htole32(b->nr_records);
	h->nr_frames = htole16((uint16_t)b->nr_frames);
	memcpy(h->group, b->group, sizeof(h->group));
	h->first_seq = htole64(b->first_seq);
	h->generation = htole64(b->generation);
	h->crc = htole32(vr_crc32c(0, begin + 8, sizeof(*h) - 8 + records));
	*len = (size_t)(end - begin);
	b->finished = true;
	return begin;
}

void *vr_builder_exchange(struct vr_builder *b, void *spare)
{
	void *old = b->out;

	if (!spare)
		spare = malloc(vr_builder_bytes(b));
	if (!spare)
		return NULL;
	b->out = spare;
	return old;
}
