/* SPDX-License-Identifier: GPL-2.0 */
/* A test's one store, in memory, and its model. */
#ifndef TESTS_ONE_STORE_H
#define TESTS_ONE_STORE_H

#include "store_test.h"
#include "../../userspace/libreplica/store_priv.h"

static struct memfs *fs;
static struct vr_store *st;
static struct model m;

static inline struct vr_store *open_store(struct memfs *of)
{
	struct vr_store *s = NULL;

	ok(vr_store_open(&of->io, &small, &s, &why));
	return s;
}

/* A store that is whole, of some batches. */
static inline void begin_named(const char *group, unsigned int batches)
{
	fs = memfs_new(seed);
	model_init(&m, seed);
	m.stretches = false;
	ok(vr_store_create(&fs->io, m.group, group, &why));
	st = open_store(fs);
	for (unsigned int i = 0; i < batches || !m.whole; i++) {
		size_t len;
		const void *batch = model_batch(&m, 10, &len);

		ok(vr_store_append(st, batch, len, &why));
	}
	ok(vr_store_commit(st, &why));
}

static inline void begin(unsigned int batches)
{
	begin_named("group", batches);
}

static inline void end(void)
{
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

static inline void reopen(void)
{
	vr_store_close(st);
	st = open_store(fs);
}

static inline void append(unsigned int records)
{
	size_t len;
	const void *batch = model_batch(&m, records, &len);

	ok(vr_store_append(st, batch, len, &why));
}

static inline void maintain_all(bool pressure)
{
	bool more = true;

	while (more)
		ok(vr_store_maintain(st, pressure, &more, &why));
}

static inline struct vr_info info_of(struct vr_store *s)
{
	struct vr_info info;

	vr_store_info(s, &info);
	return info;
}

/* What a power cut leaves that takes all that was not synced. */
static inline struct memfs *power_cut(void)
{
	uint64_t rand = seed | 1;

	return memfs_cut(fs, 0, &rand);
}

static inline void more_segments(unsigned int n)
{
	unsigned int want = info_of(st).nr_segments + n;

	while (info_of(st).nr_segments < want)
		append(10);
}

/* A batch of one record that is of no disk. */
static inline const void *group_batch(unsigned int type, const void *payload, uint32_t bytes, const char *name, size_t *len)
{
	assert_int_equal(model_group(&m, type, payload, bytes, name), 0);
	return vr_builder_finish(m.builder, len);
}

static inline const void *checkpoint_batch(const char *name, uint32_t flags, size_t *len)
{
	struct vaio_rw_checkpoint c = { .kind = htole32(VAIO_RW_C_CRASH), .flags = htole32(flags) };

	snprintf((char *)c.name, sizeof(c.name), "%s", name);
	return group_batch(VAIO_RW_R_CHECKPOINT, &c, sizeof(c), name, len);
}

static inline int checkpoint(const char *name, uint32_t flags)
{
	size_t len;
	const void *batch = checkpoint_batch(name, flags, &len);

	return vr_store_append(st, batch, len, &why);
}

#endif
