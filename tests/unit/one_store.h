/* SPDX-License-Identifier: GPL-2.0 */
/* A test's one store, in memory, and its model. */
#ifndef TESTS_ONE_STORE_H
#define TESTS_ONE_STORE_H

#include "store_test.h"
#include "../../userspace/libreplica/store_priv.h"

static struct memfs *fs;
static struct vr_store *st;
static struct model m;

static struct vr_store *open_store(struct memfs *of)
{
	struct vr_store *s = NULL;

	ok(vr_store_open(&of->io, &small, &s, &why));
	return s;
}

/* A store that is whole, of some batches. */
static void begin(unsigned int batches)
{
	fs = memfs_new(seed);
	model_init(&m, seed);
	m.stretches = false;
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	st = open_store(fs);
	for (unsigned int i = 0; i < batches || !m.whole; i++) {
		size_t len;
		const void *batch = model_batch(&m, 10, &len);

		ok(vr_store_append(st, batch, len, &why));
	}
	ok(vr_store_commit(st, &why));
}

static void end(void)
{
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

static void reopen(void)
{
	vr_store_close(st);
	st = open_store(fs);
}

static void append(unsigned int records)
{
	size_t len;
	const void *batch = model_batch(&m, records, &len);

	ok(vr_store_append(st, batch, len, &why));
}

static void maintain_all(bool pressure)
{
	bool more = true;

	while (more)
		ok(vr_store_maintain(st, pressure, &more, &why));
}

static struct vr_info info_of(struct vr_store *s)
{
	struct vr_info info;

	vr_store_info(s, &info);
	return info;
}

/* What a power cut leaves that takes all that was not synced. */
static struct memfs *power_cut(void)
{
	uint64_t rand = seed | 1;

	return memfs_cut(fs, 0, &rand);
}

static void more_segments(unsigned int n)
{
	unsigned int want = info_of(st).nr_segments + n;

	while (info_of(st).nr_segments < want)
		append(10);
}

#endif
