// SPDX-License-Identifier: GPL-2.0
/* The replica's store against a model: random histories, power cuts, full storage. */

#include "store_test.h"

static bool full_run;

static struct vr_store *open_store(struct memfs *fs, const struct vr_options *o)
{
	struct vr_store *st = NULL;

	ok(vr_store_open(&fs->io, o, &st, &why));
	return st;
}

static struct vr_store *new_store(struct memfs *fs, const struct model *m)
{
	ok(vr_store_create(&fs->io, m->group, "group", &why));
	return open_store(fs, &small);
}

#define check_point(st, m, seq) ok(model_check(st, m, seq, &why))

/* Is each number offered as a point exactly when the model says so? */
static void check_offered(struct vr_store *st, const struct model *m, uint64_t last)
{
	struct vr_info info;
	struct vr_point p;
	char text[32];
	uint64_t latest = 0;

	vr_store_info(st, &info);
	for (uint64_t seq = info.base.last_seq ? info.base.last_seq : 1; seq <= last; seq++) {
		const struct model_record *r = model_find(m, seq);
		int rc;

		snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)seq);
		rc = vr_point_find(st, text, 0, &p, &why);
		if (r && r->point) {
			assert_int_equal(rc, 0);
			assert_int_equal(p.time_ns, r->time_ns);
			latest = seq;
		} else {
			assert_int_equal(rc, -ENOENT);
		}
	}
	if (latest) {
		ok(vr_point_find(st, "latest", 0, &p, &why));
		assert_int_equal(p.seq, latest);
	} else {
		assert_int_equal(vr_point_find(st, "latest", 0, &p, &why), -ENOENT);
	}
}

static void maintain_all(struct vr_store *st, bool pressure)
{
	bool more = true;

	while (more)
		ok(vr_store_maintain(st, pressure, &more, &why));
}

static int count_faults(struct vr_store *st);

static bool st_sealed(struct vr_store *st)
{
	struct vr_info info;

	vr_store_info(st, &info);
	return info.nr_segments > 1;
}

/* --- random histories ---------------------------------------------------------------- */

static void test_random(void **state)
{
	(void)state;
	for (int round = 0; round < (full_run ? 30 : 3); round++) {
		struct memfs *fs = memfs_new(seed + (uint64_t)round);
		struct vr_store *st;
		struct vr_info info;
		struct model m;

		model_init(&m, seed + (uint64_t)round);
		st = new_store(fs, &m);
		ok(vr_store_set_retention(st, 20 * MODEL_SECOND, 600 << 10, 0, &why));
		for (int i = 0; i < 150; i++) {
			size_t len;
			const void *batch = model_batch(&m, 1 + (unsigned int)model_rand(&m, 20), &len);
			bool more;

			if (batch)
				ok(vr_store_append(st, batch, len, &why));
			if (!model_rand(&m, 3))
				ok(vr_store_commit(st, &why));
			if (!model_rand(&m, 3))
				ok(vr_store_maintain(st, false, &more, &why));
			if (!model_rand(&m, 40)) {
				ok(vr_store_commit(st, &why));
				vr_store_close(st);
				st = open_store(fs, &small);
			}
		}
		ok(vr_store_commit(st, &why));
		vr_store_info(st, &info);
		assert_int_equal(info.durable.last_seq, model_last(&m));
		check_offered(st, &m, model_last(&m));
		for (int i = 0; i < 10; i++)
			check_point(st, &m, info.base.last_seq +
				    model_rand(&m, info.durable.last_seq - info.base.last_seq + 1));
		maintain_all(st, false);
		vr_store_info(st, &info);
		/* History was kept to its size; the rest is in the base. */
		if (!info.held_by[0])
			assert_true(info.journal_bytes <= (600 << 10) + (200 << 10));
		assert_true(info.base.last_seq > 0);
		assert_int_equal(count_faults(st), 0);
		check_point(st, &m, info.durable.last_seq);
		check_point(st, &m, info.base.last_seq);
		vr_store_close(st);
		st = open_store(fs, &small);
		check_offered(st, &m, model_last(&m));
		check_point(st, &m, info.base.last_seq);
		vr_store_close(st);
		memfs_free(fs);
		model_free(&m);
	}
}

/* --- power cuts ------------------------------------------------------------------------ */

struct cuts {
	struct model *m;
	struct vr_store *st;
	uint64_t acked;		/* what vr_store_commit() said to be durable */
	uint64_t rand;
	unsigned int states;
};

static void check_state(struct cuts *c, struct memfs *cut)
{
	struct vr_store *st = open_store(cut, &small);
	struct vr_info info;

	vr_store_info(st, &info);
	if (info.durable.last_seq < c->acked)
		fail_msg("acknowledged %llu, after the cut %llu, seed %llu", (unsigned long long)c->acked,
			 (unsigned long long)info.durable.last_seq, (unsigned long long)seed);
	if (info.durable.last_seq)
		assert_non_null(model_find(c->m, info.durable.last_seq));
	/* what a cut apply left is no damage */
	assert_int_equal(count_faults(st), 0);
	check_offered(st, c->m, info.durable.last_seq);
	if (info.durable.last_seq) {
		check_point(st, c->m, info.durable.last_seq);
		check_point(st, c->m, info.base.last_seq + mem_rand(&c->rand) %
			    (info.durable.last_seq - info.base.last_seq + 1));
	}
	/* It goes on: upkeep, and what was being done when the cut came. */
	maintain_all(st, mem_rand(&c->rand) & 1);
	vr_store_info(st, &info);
	if (info.durable.last_seq) {
		check_point(st, c->m, info.base.last_seq);
		check_point(st, c->m, info.durable.last_seq);
	}
	assert_int_equal(count_faults(st), 0);
	vr_store_close(st);
}

static void cut_here(struct memfs *fs, void *arg)
{
	struct cuts *c = arg;

	for (int how = 0; how < 5; how++) {
		struct memfs *cut = memfs_cut(fs, how, &c->rand);

		check_state(c, cut);
		memfs_free(cut);
		c->states++;
	}
}

static void test_power_cuts(void **state)
{
	unsigned int wanted = full_run ? 2000 : 200, histories = full_run ? 6 : 1;
	int steps = full_run ? 60 : 40;
	struct cuts c = { .rand = seed | 1 };
	uint64_t round = 0;

	(void)state;
	/* A history is never left halfway: what comes late in one, as points that go, is cut like what comes first. */
	while (c.states < wanted || round < histories) {
		struct memfs *fs = memfs_new(seed + ++round);
		struct vr_store *st;
		struct model m;

		model_init(&m, seed + round);
		c.m = &m;
		c.acked = 0;
		st = new_store(fs, &m);
		ok(vr_store_set_retention(st, 0, 200 << 10, 0, &why));
		fs->before_sync = cut_here;
		fs->arg = &c;
		for (int i = 0; i < steps; i++) {
			size_t len;
			const void *batch = model_batch(&m, 1 + (unsigned int)model_rand(&m, 8), &len);
			bool more;

			if (batch)
				ok(vr_store_append(st, batch, len, &why));
			if (model_rand(&m, 2)) {
				ok(vr_store_commit(st, &why));
				c.acked = model_last(&m);
			}
			if (model_rand(&m, 2))
				ok(vr_store_maintain(st, false, &more, &why));
		}
		fs->before_sync = NULL;
		vr_store_close(st);
		memfs_free(fs);
		model_free(&m);
	}
	print_message("# %u states in %u histories\n", c.states, (unsigned int)round);
}

/* --- no space ------------------------------------------------------------------------------ */

/*
 * The storage is full at each allocation in turn: what was acknowledged stays, the store says so,
 * and with space again it goes on, without being opened again unless it asks for it.
 */
static void test_full_everywhere(void **state)
{
	(void)state;
	for (long at = 0; at < (full_run ? 400 : 40); at++) {
		struct memfs *fs = memfs_new(seed);
		struct vr_store *st;
		struct vr_info info;
		struct model m;
		uint64_t acked = 0;
		const void *batch = NULL;
		size_t len = 0;

		model_init(&m, seed + 7);
		m.stretches = at & 1;
		st = new_store(fs, &m);
		ok(vr_store_set_retention(st, 0, 150 << 10, 0, &why));
		fs->fail_at = full_run ? at : at * 10 + (long)(seed % 10);
		for (int i = 0; i < 120; i++) {
			bool more;
			int rc;

			batch = model_batch(&m, 1 + (unsigned int)model_rand(&m, 10), &len);
			if (!batch)
				continue;
			rc = vr_store_append(st, batch, len, &why);
			if (rc) {
				uint64_t before;

				assert_int_equal(rc, -ENOSPC);
				vr_store_info(st, &info);
				assert_true(info.need > 0);
				before = info.durable.last_seq;
				check_point(st, &m, before);
				/* Upkeep may fail too, and harms nothing. */
				vr_store_maintain(st, true, &more, &why);
				check_point(st, &m, before);
				fs->full = false;
				ok(vr_store_append(st, batch, len, &why));
			}
			ok(vr_store_commit(st, &why));
			acked = model_last(&m);
			rc = vr_store_maintain(st, false, &more, &why);
			if (rc) {
				assert_true(rc == -ENOSPC);
				fs->full = false;
				ok(vr_store_maintain(st, false, &more, &why));
			}
		}
		fs->full = false;
		fs->fail_at = -1;
		maintain_all(st, false);
		vr_store_info(st, &info);
		assert_int_equal(info.durable.last_seq, acked);
		check_point(st, &m, acked);
		check_point(st, &m, info.base.last_seq);
		assert_int_equal(count_faults(st), 0);
		vr_store_close(st);
		st = open_store(fs, &small);
		check_point(st, &m, acked);
		vr_store_close(st);
		memfs_free(fs);
		model_free(&m);
	}
}

/* A store with a quota: the oldest points go first, then it takes no more, then it recovers. */
static void test_quota(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct vr_store *st;
	struct vr_info info;
	struct vr_point hold = { 0 };
	struct model m;
	const void *batch = NULL;
	size_t len = 0;
	bool more, refused = false;
	char text[32];
	int rc;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	st = new_store(fs, &m);
	do {
		batch = model_batch(&m, 10, &len);
		ok(vr_store_append(st, batch, len, &why));
		ok(vr_store_commit(st, &why));
	} while (!m.whole);
	/* A held point keeps what came after it. */
	ok(vr_point_find(st, "latest", 0, &hold, &why));
	snprintf(hold.name, sizeof(hold.name), "before-update");
	ok(vr_mark_add(st, &hold, true, &why));
	ok(vr_store_set_retention(st, 0, 0, 4 << 20, &why));
	for (int i = 0; i < 2000 && !refused; i++) {
		batch = model_batch(&m, 10, &len);
		while ((rc = vr_store_append(st, batch, len, &why)) == -ENOSPC) {
			ok(vr_store_maintain(st, true, &more, &why));
			if (!more) {
				refused = true;
				break;
			}
		}
		if (!refused) {
			ok(rc);
			ok(vr_store_commit(st, &why));
		}
	}
	assert_true(refused);
	vr_store_info(st, &info);
	assert_string_equal(info.held_by, "before-update");
	assert_true(info.need > info.have);
	/* (The base may have taken what came before the held point meanwhile.) */
	if (info.journal_bytes + info.index_bytes > 4 << 20)
		fail_msg("journal %llu, index %llu, base %llu, seed %llu", (unsigned long long)info.journal_bytes,
			 (unsigned long long)info.index_bytes, (unsigned long long)info.base_bytes,
			 (unsigned long long)seed);
	check_point(st, &m, hold.seq);
	ok(vr_mark_remove(st, "before-update", &why));
	while (vr_store_append(st, batch, len, &why) == -ENOSPC) {
		ok(vr_store_maintain(st, true, &more, &why));
		assert_true(more);
	}
	ok(vr_store_commit(st, &why));
	for (int i = 0; i < 200; i++) {
		batch = model_batch(&m, 10, &len);
		while ((rc = vr_store_append(st, batch, len, &why)) == -ENOSPC) {
			ok(vr_store_maintain(st, true, &more, &why));
			assert_true(more);
		}
		ok(rc);
		ok(vr_store_commit(st, &why));
	}
	check_point(st, &m, model_last(&m));
	vr_store_info(st, &info);
	assert_true(info.base.last_seq > hold.seq);
	snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)hold.seq);
	assert_int_equal(vr_point_find(st, text, 0, &hold, &why), -ENOENT);
	assert_non_null(strstr(why.text, "not there any more"));
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* --- large ranges ------------------------------------------------------------------------------- */

static void put(struct model *m, struct vr_store *st, unsigned int type, uint64_t offset, uint64_t length, const void *data)
{
	struct vaio_rw_record r = { .offset = htole64(offset), .length = htole64(length) };
	const void *batch;
	size_t len;

	assert_int_equal(model_put(m, &r, type, 0, data, data ? (uint32_t)length : 0, 0, NULL), 0);
	batch = vr_builder_finish(m->builder, &len);
	ok(vr_store_append(st, batch, len, &why));
}

static void read_is(struct vr_store *st, uint64_t seq, uint64_t offset, uint8_t first, uint8_t second)
{
	uint8_t buf[1024];
	struct vr_view *v;

	ok(vr_view_open(st, seq, &v, &why));
	ok(vr_view_read(v, 0, buf, sizeof(buf), offset, &why));
	vr_view_close(v);
	for (int i = 0; i < 512; i++) {
		assert_int_equal(buf[i], first);
		assert_int_equal(buf[512 + i], second);
	}
}

/* A disk whose blocks get smaller keeps what it holds, whether its index is in memory, sealed or read again. */
static void test_blocks(void **state)
{
	struct vaio_rw_member d = { .size = htole64(1 << 20), .block_size = htole32(4096), .disk = { 1 } };
	struct memfs *fs = memfs_new(seed);
	struct vaio_rw_record r = { 0 };
	struct vr_store *st;
	struct model m;
	uint8_t data[4096];
	const void *batch;
	size_t len;

	(void)state;
	memset(data, 0xaa, sizeof(data));
	model_init(&m, seed);
	st = new_store(fs, &m);
	assert_int_equal(model_generation(&m), 0);
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	put(&m, st, VAIO_RW_R_WRITE, 4096, 4096, data);			/* 3 */
	/* not of another size, and not for nothing */
	memset(&r, 0, sizeof(r));
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	assert_int_equal(vr_store_append(st, batch, len, &why), -EPROTO);
	m.next_seq--;
	d.block_size = htole32(512);
	d.size = htole64(2 << 20);
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	assert_int_equal(vr_store_append(st, batch, len, &why), -EPROTO);
	m.next_seq--;
	d.size = htole64(1 << 20);
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));			/* 4 */
	memset(data, 0xbb, sizeof(data));
	put(&m, st, VAIO_RW_R_WRITE, 4096 + 512, 512, data);		/* 5 */
	ok(vr_store_commit(st, &why));
	for (int round = 0; round < 2; round++) {
		struct vr_history *h = vr_store_history(st);

		assert_int_equal(h->nr_members, 1);
		assert_int_equal(h->members[0].block_size, 512);
		assert_int_equal(h->members[0].add_seq, 2);
		free(h);
		read_is(st, 4, 4096, 0xaa, 0xaa);
		read_is(st, 5, 4096, 0xaa, 0xbb);
		read_is(st, 5, 4096 + 512, 0xbb, 0xaa);
		if (round)
			break;
		vr_store_close(st);
		st = open_store(fs, &small);
	}
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* Zeroes of a gigabyte over writes of all sizes, before and after they were applied. */
static void test_large(void **state)
{
	const uint64_t mib = 1 << 20, gib = 1 << 30;
	struct vaio_rw_member d = { .size = htole64(4 * gib), .block_size = htole32(512) };
	struct memfs *fs = memfs_new(seed);
	struct vaio_rw_record r = { 0 };
	uint8_t *data = malloc(4 * mib);
	struct vr_store *st;
	struct model m;
	const void *batch;
	size_t len;

	(void)state;
	memset(data, 0xaa, 4 * mib);
	model_init(&m, seed);
	st = new_store(fs, &m);
	assert_int_equal(model_generation(&m), 0);
	d.disk[0] = 1;
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
	assert_int_equal(model_resync_begin(&m, VAIO_RW_S_INITIAL), 0);
	assert_int_equal(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	put(&m, st, VAIO_RW_R_WRITE, 70 * mib - 512, 4 * mib, data);	/* 5 */
	put(&m, st, VAIO_RW_R_ZEROES, 64 * mib - 512, 64 * mib + 1024, NULL);
	memset(data, 0xbb, 4 * mib);
	put(&m, st, VAIO_RW_R_WRITE, 72 * mib, 512, data);
	put(&m, st, VAIO_RW_R_WRITE, 4 * gib - 512, 512, data);
	put(&m, st, VAIO_RW_R_DISCARD, 512, gib, NULL);			/* 9 */
	put(&m, st, VAIO_RW_R_WRITE, 64 * mib, 512, data);
	put(&m, st, VAIO_RW_R_DISCARD, 3 * gib, gib, NULL);		/* 11 */
	ok(vr_store_commit(st, &why));
	for (int round = 0; round < 2; round++) {
		bool more;

		read_is(st, 5, 70 * mib - 1024, 0, 0xaa);
		read_is(st, 5, 74 * mib - 1024, 0xaa, 0);
		read_is(st, 6, 70 * mib - 1024, 0, 0);
		read_is(st, 8, 72 * mib - 512, 0, 0xbb);
		read_is(st, 8, 4 * gib - 1024, 0, 0xbb);
		read_is(st, 9, 72 * mib - 512, 0, 0);
		read_is(st, 10, 64 * mib, 0xbb, 0);
		read_is(st, 11, 4 * gib - 1024, 0, 0);
		/* the same from a sealed segment */
		memset(data, 0xcc, mib);
		if (!round)
			put(&m, st, VAIO_RW_R_WRITE, 0, 512, data);
		model_fill(data, 4 * mib, 6);
		while (!round && !st_sealed(st))
			put(&m, st, VAIO_RW_R_WRITE, 2 * gib, mib / 16, data);
		ok(vr_store_maintain(st, false, &more, &why));
	}
	/* and once it is in the base */
	ok(vr_store_commit(st, &why));
	maintain_all(st, true);
	read_is(st, model_last(&m), 64 * mib, 0xbb, 0);
	read_is(st, model_last(&m), 0, 0xcc, 0);
	read_is(st, model_last(&m), 72 * mib, 0, 0);
	read_is(st, model_last(&m), 4 * gib - 1024, 0, 0);
	assert_int_equal(count_faults(st), 0);
	free(data);
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* --- damage ------------------------------------------------------------------------------------- */

static void count_fault(void *arg, const char *text)
{
	(void)text;
	++*(int *)arg;
}

static int count_faults(struct vr_store *st)
{
	int n = 0, rc = vr_store_scrub(st, count_fault, &n, NULL, NULL, &why);

	if (rc < 0)
		fail_msg("scrub: %s", why.text);
	assert_int_equal(rc, n);
	return n;
}

static struct mem_inode *file_named(struct memfs *fs, const char *part)
{
	struct mem_inode *found = NULL;

	for (unsigned int i = 0; i < fs->nr_names; i++)
		if (strstr(fs->names[i].name, part) && fs->names[i].inode->now.len)
			found = fs->names[i].inode;
	return found;
}

/* A flipped bit anywhere is found, and never read as data. */
static void test_bit_rot(void **state)
{
	static const char *const parts[] = { ".seg", ".run", ".img", ".crc" };
	uint64_t rand = seed | 1;

	(void)state;
	for (unsigned int round = 0; round < (full_run ? 400 : 40); round++) {
		struct memfs *fs = memfs_new(seed), *rotten;
		const char *part = parts[round % 4];
		struct mem_inode *file;
		struct vr_store *st;
		struct vr_info info;
		struct model m;
		uint8_t *want = malloc(MODEL_MAX_DISK), *got = malloc(MODEL_MAX_DISK);
		bool noticed = false;
		struct vr_view *v;
		size_t at;
		int rc;

		model_init(&m, seed + round);
		m.stretches = false;
		st = new_store(fs, &m);
		ok(vr_store_set_retention(st, 0, 300 << 10, 0, &why));
		for (int after = 0; after < 50 || !file_named(fs, part); after += m.whole) {
			size_t len;
			const void *batch = model_batch(&m, 10, &len);

			ok(vr_store_append(st, batch, len, &why));
			ok(vr_store_commit(st, &why));
			maintain_all(st, false);
		}
		vr_store_close(st);
		rotten = memfs_cut(fs, 1, &rand);
		file = file_named(rotten, part);
		do	/* zeroes between batches, and holes, belong to nobody */
			at = mem_rand(&rand) % file->now.len;
		while (!file->now.p[at]);
		file->now.p[at] ^= (uint8_t)(1 << mem_rand(&rand) % 8);
		rc = vr_store_open(&rotten->io, &small, &st, &why);
		if (!rc) {
			noticed = count_faults(st) > 0;
			vr_store_info(st, &info);
			/* The newest segment's end cannot be told from a torn tail. */
			if (info.durable.last_seq < model_last(&m) && !strcmp(part, ".seg"))
				noticed = true;
			ok(vr_view_open(st, info.durable.last_seq, &v, &why));
			for (unsigned int n = 0; n < 2; n++) {
				uint64_t size = model_disk(&m, n, info.durable.last_seq, want);

				for (uint64_t cell = 0; cell < size; cell += 512) {
					rc = vr_view_read(v, (uint16_t)n, got, 512, cell, &why);
					if (rc)
						assert_true(rc == -EIO || rc == -EBADMSG);
					else if (memcmp(got, want + cell, 512))
						fail_msg("byte %zu of a %s: disk %u at %llu is read wrong, seed %llu", at, part, n,
							 (unsigned long long)cell, (unsigned long long)seed);
				}
			}
			vr_view_close(v);
			vr_store_close(st);
		} else {
			assert_int_equal(rc, -EBADMSG);
			noticed = true;
		}
		/* A damaged header of a run has it built again. */
		if (!noticed && strcmp(part, ".run"))
			fail_msg("byte %zu of a %s was not noticed, seed %llu", at, part, (unsigned long long)seed);
		free(want);
		free(got);
		memfs_free(rotten);
		memfs_free(fs);
		model_free(&m);
	}
}

/* --- points by name and time ------------------------------------------------------------------- */

static void test_points(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct vr_store *st;
	struct vr_point p;
	struct model m;
	uint64_t end, gap;
	char text[64];
	size_t len;
	const void *batch;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	st = new_store(fs, &m);
	assert_int_equal(vr_point_find(st, "latest", 0, &p, &why), -ENOENT);
	assert_non_null(strstr(why.text, "no point yet"));
	while (!m.whole || m.nr < 600) {
		batch = model_batch(&m, 10, &len);
		ok(vr_store_append(st, batch, len, &why));
	}
	end = model_last(&m);
	/* a gap, which is closed again */
	m.stretches = true;
	{
		struct vaio_rw_gap g = { .reason = htole32(VAIO_RW_GAP_FULL) };

		m.next_seq += 10;
		gap = m.next_seq;
		assert_int_equal(model_group(&m, VAIO_RW_R_GAP, &g, sizeof(g), NULL), 0);
		assert_int_equal(model_block(&m), 0);
	}
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_commit(st, &why));
	ok(vr_point_find(st, "latest", 0, &p, &why));
	assert_int_equal(p.seq, end);
	snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)gap);
	assert_int_equal(vr_point_find(st, text, 0, &p, &why), -ENOENT);
	snprintf(text, sizeof(text), "nearest points are seq:%llu", (unsigned long long)end);
	assert_non_null(strstr(why.text, text));
	assert_int_equal(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_commit(st, &why));
	ok(vr_point_find(st, "latest", 0, &p, &why));
	assert_int_equal(p.seq, gap + 2);
	/* one of the numbers that never came */
	snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)gap - 3);
	assert_int_equal(vr_point_find(st, text, 0, &p, &why), -ENOENT);
	snprintf(text, sizeof(text), "seq:%llu and seq:%llu", (unsigned long long)end, (unsigned long long)gap + 2);
	assert_non_null(strstr(why.text, text));
	assert_non_null(strstr(why.text, "a gap"));

	/* by time: the newest record that is not later */
	for (int i = 0; i < 50; i++) {
		const struct model_record *r = &m.records[model_rand(&m, m.nr)], *want = NULL;
		uint64_t limit = r->time_ns / MODEL_SECOND * MODEL_SECOND + MODEL_SECOND - 1;
		bool missing;
		int rc;

		for (size_t j = 0; j < m.nr; j++)
			if (m.records[j].time_ns <= limit)
				want = &m.records[j];
		snprintf(text, sizeof(text), "@%llu", (unsigned long long)(r->time_ns / MODEL_SECOND));
		rc = vr_point_find(st, text, 0, &p, &why);
		/* The gap does not say when it began: it may have been right after the record before. */
		missing = want->seq == end && limit > want->time_ns;
		assert_int_equal(rc, want->point && !missing ? 0 : -ENOENT);
		if (!rc)
			assert_int_equal(p.seq, want->seq);
	}
	ok(vr_point_find(st, "-10min", m.time_ns + 600 * MODEL_SECOND, &p, &why));
	assert_int_equal(p.seq, gap + 2);
	ok(vr_point_find(st, "1970-01-01T23:59:59Z", 0, &p, &why));
	assert_int_equal(p.seq, gap + 2);
	/* the newest checkpoint of a name */
	for (int i = 0; i < 6; i++) {
		uint64_t want = 0;

		snprintf(text, sizeof(text), "name:cp%d", i);
		for (size_t j = 0; j < m.nr; j++)
			if (!strcmp(m.records[j].name, text + 5) && m.records[j].point)
				want = m.records[j].seq;
		if (want) {
			ok(vr_point_find(st, text, 0, &p, &why));
			assert_int_equal(p.seq, want);
		}
	}
	assert_int_equal(vr_point_find(st, "name:nobody", 0, &p, &why), -ENOENT);
	assert_int_equal(vr_point_find(st, "yesterday", 0, &p, &why), -EINVAL);
	assert_non_null(strstr(why.text, "yesterday"));
	assert_int_equal(vr_point_find(st, "seq:1x", 0, &p, &why), -EINVAL);
	assert_int_equal(vr_point_find(st, "seq:99999999", 0, &p, &why), -ENOENT);
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* --- refusals ------------------------------------------------------------------------------------- */

/* A batch that breaks a rule changes nothing, byte for byte. */
static void test_refused(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct vr_store *st;
	struct model m;
	uint64_t rand = seed | 1;
	const void *batch;
	struct vr_info before, after;
	size_t len;

	(void)state;
	model_init(&m, seed);
	st = new_store(fs, &m);
	for (int i = 0; i < 40; i++) {
		batch = model_batch(&m, 10, &len);
		if (batch)
			ok(vr_store_append(st, batch, len, &why));
	}
	/* the same again, and one from the future */
	assert_int_equal(vr_store_append(st, batch, len, &why), -EPROTO);
	assert_non_null(strstr(why.text, "does not follow"));
	batch = model_batch(&m, 5, &len);
	vr_store_info(st, &before);
	for (int i = 0; i < 2000; i++) {
		uint8_t *bad = malloc(len);
		size_t at = mem_rand(&rand) % len;

		memcpy(bad, batch, len);
		bad[at] ^= (uint8_t)(1 << mem_rand(&rand) % 8);
		assert_int_equal(vr_store_append(st, bad, len, &why), -EPROTO);
		free(bad);
	}
	vr_store_info(st, &after);
	assert_int_equal(before.journal_bytes, after.journal_bytes);
	ok(vr_store_append(st, batch, len, &why));
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* After a failed fdatasync nothing is acknowledged until the store was opened again. */
static void test_failed_sync(void **state)
{
	struct memfs *fs = memfs_new(seed), *cut;
	struct vr_store *st;
	struct vr_info info;
	struct model m;
	uint64_t acked, rand = seed | 1;
	const void *batch;
	size_t len;

	(void)state;
	model_init(&m, seed);
	st = new_store(fs, &m);
	for (int i = 0; i < 10; i++) {
		batch = model_batch(&m, 10, &len);
		if (batch)
			ok(vr_store_append(st, batch, len, &why));
	}
	ok(vr_store_commit(st, &why));
	acked = model_last(&m);
	do
		batch = model_batch(&m, 10, &len);
	while (!batch);
	ok(vr_store_append(st, batch, len, &why));
	fs->sync_fails = true;
	assert_int_equal(vr_store_commit(st, &why), -EIO);
	fs->sync_fails = false;
	assert_int_equal(vr_store_commit(st, &why), -EIO);
	assert_int_equal(vr_store_append(st, batch, len, &why), -EIO);
	vr_store_info(st, &info);
	assert_int_equal(info.durable.last_seq, acked);
	assert_true(info.failed);
	cut = memfs_cut(fs, 0, &rand);
	vr_store_close(st);
	st = open_store(cut, &small);
	vr_store_info(st, &info);
	assert_int_equal(info.durable.last_seq, acked);
	ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_commit(st, &why));
	check_point(st, &m, model_last(&m));
	vr_store_close(st);
	memfs_free(cut);
	memfs_free(fs);
	model_free(&m);
}

/* CHECK compares with what is there before it. */
static void test_check(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct vaio_rw_record r = { 0 };
	uint8_t *disk = malloc(MODEL_MAX_DISK), hash[32];
	struct vr_store *st;
	struct model m;
	const void *batch;
	size_t len;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	st = new_store(fs, &m);
	for (int i = 0; i < 40; i++) {
		batch = model_batch(&m, 10, &len);
		ok(vr_store_append(st, batch, len, &why));
	}
	model_disk(&m, 0, model_last(&m), disk);
	r.seq = htole64(model_last(&m) + 1);
	r.length = htole64(1 << 20);
	gcry_md_hash_buffer(GCRY_MD_BLAKE2S_256, hash, disk, 1 << 20);
	assert_int_equal(vr_store_check(st, &r, hash, &why), 1);
	disk[12345] ^= 1;
	gcry_md_hash_buffer(GCRY_MD_BLAKE2S_256, hash, disk, 1 << 20);
	assert_int_equal(vr_store_check(st, &r, hash, &why), 0);
	free(disk);
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(vr_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(vr_crc32c(vr_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	/* At once is as in pieces too small to be taken several at a time. */
	for (unsigned int round = 0; round < 200; round++) {
		uint8_t bytes[8192];
		size_t at = (size_t)random() % 64, len = (size_t)random() % (sizeof(bytes) - at);
		uint32_t crc = 0;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)random();
		for (size_t i = 0; i < len; i++)
			crc = vr_crc32c(crc, bytes + at + i, 1);
		assert_int_equal(vr_crc32c(0, bytes + at, len), crc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_failed_sync),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_full_everywhere),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_bit_rot),
		cmocka_unit_test(test_power_cuts),
	};
	const char *all = getenv("VAIO_FULL");

	full_run = all && *all;
	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
