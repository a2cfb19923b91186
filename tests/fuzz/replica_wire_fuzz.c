// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes what parses the wire. The first byte says what the rest is: a message's
 * payload (its type), or a batch. CRCs are made right, so that the checks behind them are
 * reached; a batch is also parsed as it stands.
 */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/libreplica/libreplica.h"

static void reseal(uint8_t *p, size_t len)
{
	struct vaio_rw_batch *h = (void *)p;
	size_t at, nr;

	if (len < sizeof(*h))
		return;
	h->magic = htole32(VAIO_RW_BATCH_MAGIC);
	h->length = htole32((uint32_t)len);
	nr = le32toh(h->nr_records);
	if (nr > (len - sizeof(*h)) / sizeof(struct vaio_rw_record))
		return;
	at = sizeof(*h) + nr * sizeof(struct vaio_rw_record);
	for (size_t i = 0; i < nr; i++) {
		struct vaio_rw_record *r = (void *)(p + sizeof(*h) + i * sizeof(*r));

		r->seq = htole64(le64toh(h->first_seq) + i);
		r->crc = htole32(vr_crc32c(0, (char *)r + 4, sizeof(*r) - 4));
	}
	h->crc = htole32(vr_crc32c(0, p + 8, at - 8));
	while (len - at >= sizeof(struct vaio_rw_frame)) {
		struct vaio_rw_frame *f = (void *)(p + at);
		size_t stored = le32toh(f->stored_length);

		if (stored > len - at - sizeof(*f))
			return;
		f->crc = htole32(vr_crc32c(0, (char *)f + 8, sizeof(*f) - 8 + stored));
		at += sizeof(*f) + ((stored + 7) & ~(size_t)7);
		if (at > len)
			return;
	}
}

static void batch(const uint8_t *p, size_t len)
{
	static struct vr_unpacker *u;
	static struct vr_history h;
	struct vr_batch b;
	struct vr_err e = { "" };

	if (!u)
		u = vr_unpacker_new();
	if (vr_batch_parse(p, len, &b, &e) || vr_batch_unpack(u, &b, &e)) {
		assert(e.text[0]);
		return;
	}
	vr_history_init(&h);
	if (b.first_seq > 1 && le16toh(b.records[0].type) != VAIO_RW_R_GENERATION) {
		h.now.last_seq = b.first_seq - 1;
		h.now.generation = le64toh(b.header->generation);
		h.nr_members = 1;
		h.members[0].size = 1 << 20;
		h.members[0].block_size = 512;
		memcpy(h.members[0].vm, b.nr_frames ? b.frames[0].header->vm : h.members[0].vm, 16);
	}
	if (vr_batch_follow(&b, &h, &e))
		assert(e.text[0]);
	else
		assert(h.now.last_seq == b.last_seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t len;

	if (size < 2)
		return 0;
	len = size - 1;
	copy = malloc(len);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, len);
	if (data[0] == VAIO_RW_BATCH || data[0] > 15) {
		batch(copy, len);
		reseal(copy, len);
		batch(copy, len);
	} else {
		struct vaio_rw_msg h;
		struct vr_err e = { "" };

		vr_message_header(&h, data[0], copy, len);
		if (vr_message_check(&h, copy, len, &e)) {
			assert(e.text[0]);
		} else if (data[0] == VAIO_RW_HELLO) {
			struct vr_generation g = { .counter = 1 };
			struct vr_hello hello;

			vr_hello_decode(copy, &hello);
			vr_generations_follow(&hello, &g, 1, &e);
		}
	}
	free(copy);
	return 0;
}
