// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes what reads a store. The first byte picks a file of a small store, the next two a
 * place in it; the rest overwrites it there, and the CRC over that place is made right for headers. Then the
 * store is opened, read, scrubbed and kept up. It may refuse; it must not crash.
 */
#include <gcrypt.h>

#include "../unit/replica_model.h"

static const struct vr_options small = { .write = true, .segment_bytes = 32 << 10, .reserve_bytes = 1, .merge = 3 };

/* A store with a base, runs, summaries and an open segment; made once. */
static struct memfs *prepared(struct model *m)
{
	struct memfs *fs = memfs_new(1);
	struct vr_store *st;
	struct vr_err e;
	bool more = true;

	model_init(m, 1);
	m->stretches = false;
	if (vr_store_create(&fs->io, m->group, "fuzz", &e) || vr_store_open(&fs->io, &small, &st, &e))
		abort();
	vr_store_set_retention(st, 0, 128 << 10, 0, &e);
	for (int i = 0; i < 60 || !m->whole; i++) {
		size_t len;
		const void *batch = model_batch(m, 5, &len);

		if (vr_store_append(st, batch, len, &e))
			abort();
	}
	vr_store_commit(st, &e);
	while (more)
		if (vr_store_maintain(st, false, &more, &e))
			abort();
	vr_store_close(st);
	return fs;
}

static void nothing(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void reseal(uint8_t *p, size_t len, size_t at)
{
	struct vaio_rs_super *super;
	uint32_t crc;

	if (len == 2 * VAIO_RS_SLOT) {
		super = (void *)(p + at / VAIO_RS_SLOT * VAIO_RS_SLOT);
		if (le32toh(super->length) >= sizeof(*super) && le32toh(super->length) <= VAIO_RS_SLOT)
			super->crc = htole32(vr_crc32c(0, (char *)super + 28, le32toh(super->length) - 28));
		return;
	}
	/* Headers and pages of 4,096 bytes with their CRC at byte 4. */
	at &= ~(size_t)4095;
	if (at + 4096 > len)
		return;
	crc = htole32(vr_crc32c(0, p + at + 8, 4088));
	memcpy(p + at + 4, &crc, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memfs *fs;
	static struct model m;
	static uint8_t buf[MODEL_MAX_DISK];
	struct memfs *copy;
	struct mem_inode *file;
	struct vr_store *st;
	struct vr_err e;
	uint64_t seed = 1;
	size_t at;

	if (!fs) {
		gcry_check_version(NULL);
		fs = prepared(&m);
	}
	if (size < 4)
		return 0;
	copy = memfs_cut(fs, 1, &seed);
	file = copy->names[data[0] % copy->nr_names].inode;
	at = (size_t)data[1] << 8 | data[2];
	if (data[0] & 0x80)
		at <<= 4;
	if (file->now.len > at) {
		size_t n = size - 3 < file->now.len - at ? size - 3 : file->now.len - at;

		memcpy(file->now.p + at, data + 3, n);
		reseal(file->now.p, file->now.len, at);
	}
	if (!vr_store_open(&copy->io, &small, &st, &e)) {
		struct vr_info info;
		struct vr_point p;
		struct vr_view *v;
		bool more = true;

		vr_store_info(st, &info);
		vr_point_find(st, "latest", 0, &p, &e);
		vr_point_find(st, "-1h", m.time_ns, &p, &e);
		vr_point_find(st, "name:cp1", 0, &p, &e);
		if (!vr_view_open(st, info.durable.last_seq, &v, &e)) {
			for (uint16_t n = 0; n < MODEL_MEMBERS; n++)
				vr_view_read(v, n, buf, 256 << 10, 0, &e);
			vr_view_close(v);
		}
		vr_store_scrub(st, nothing, NULL, NULL, NULL, &e);
		for (int i = 0; i < 20 && more; i++)
			if (vr_store_maintain(st, true, &more, &e))
				break;
		vr_store_close(st);
	}
	memfs_free(copy);
	return 0;
}
