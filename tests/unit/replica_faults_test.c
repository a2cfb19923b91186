// SPDX-License-Identifier: GPL-2.0
/*
 * A store when its storage fails, is used by two, or is asked at the wrong moment. Each of these lost or falsified
 * something once.
 */

#include "one_store.h"
#include "../../userspace/libreplica/crc32c.h"

/* --- a sync that fails once ----------------------------------------------------------------------- */

static const char *failing;	/* in whose name; NULL: none */
static unsigned int failed, failures;

static int fail_sync(struct memfs *of, const char *what, const char *path)
{
	(void)of;
	if (strcmp(what, "sync") || !failing || !strstr(path, failing) || failed >= failures)
		return 0;
	failed++;
	return -EIO;
}

static void fail_syncs(const char *name, unsigned int times)
{
	failing = name;
	failed = 0;
	failures = times;
	fs->sync_loses = true;
	fs->before = fail_sync;
}

/* What is only in memory after a failed sync is not called durable because it can be read. */
static void test_journal_sync(void **state)
{
	struct memfs *cut;
	struct vr_store *after;
	uint64_t durable;

	(void)state;
	begin(10);
	append(10);
	append(10);
	fail_syncs(".seg", 1);
	assert_int_equal(vr_store_commit(st, &why), -EIO);
	reopen();
	durable = info_of(st).durable.last_seq;
	cut = power_cut();
	after = open_store(cut);
	assert_true(info_of(after).durable.last_seq >= durable);
	ok(model_check(after, &m, durable, &why));
	vr_store_close(after);
	memfs_free(cut);
	end();
}

/* An apply whose sync failed is done again as a whole: sums that are right in memory too. */
static void test_base_sync(void **state)
{
	static const char *const files[] = { ".crc", ".img", "super" };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct memfs *cut;
		struct vr_store *after;
		bool more = true;
		int rc = 0;

		begin(200);
		ok(vr_store_set_retention(st, 0, 1, 0, &why));
		fail_syncs(files[i], 1);
		/* until the first apply after it is done */
		for (int tries = 0; !failed || rc || info_of(st).applying; tries++) {
			rc = vr_store_maintain(st, false, &more, &why);
			assert_true(tries < 1000);
		}
		assert_true(info_of(st).base.last_seq > 0);
		cut = power_cut();
		after = open_store(cut);
		ok(model_check(after, &m, info_of(after).base.last_seq, &why));
		ok(model_check(after, &m, info_of(after).durable.last_seq, &why));
		vr_store_close(after);
		memfs_free(cut);
		end();
	}
}

/* A setting that could not be written is not in force. */
static void test_settings(void **state)
{
	struct vr_point p = { .seq = 0 };

	(void)state;
	begin(10);
	ok(vr_store_set_retention(st, 1000, 2000, 3000000, &why));
	ok(vr_store_client(st, "CN=a", true, &why));
	ok(vr_point_find(st, "latest", 0, &p, &why));
	strcpy(p.name, "held");
	ok(vr_mark_add(st, &p, true, &why));
	fail_syncs("super", 1000);
	assert_int_equal(vr_store_set_retention(st, 1, 1, 1, &why), -EIO);
	assert_int_equal(info_of(st).retain_bytes, 2000);
	assert_int_equal(info_of(st).quota_bytes, 3000000);
	assert_int_equal(vr_store_client(st, "CN=b", true, &why), -EIO);
	assert_false(vr_store_has_client(st, "CN=b"));
	assert_int_equal(vr_store_client(st, "CN=a", false, &why), -EIO);
	assert_true(vr_store_has_client(st, "CN=a"));
	assert_int_equal(vr_mark_remove(st, "held", &why), -EIO);
	ok(vr_point_find(st, "name:held", 0, &p, &why));
	assert_true(p.pinned);
	strcpy(p.name, "other");
	assert_int_equal(vr_mark_add(st, &p, true, &why), -EIO);
	assert_int_equal(vr_point_find(st, "name:other", 0, &p, &why), -ENOENT);
	end();
}

/* --- killed, then cut ------------------------------------------------------------------------------- */

static struct memfs *cuts[4000];
static unsigned int nr_cuts;

static void cut_here(struct memfs *of, void *arg)
{
	uint64_t rand = seed | 1;

	(void)arg;
	if (nr_cuts < sizeof(cuts) / sizeof(*cuts))
		cuts[nr_cuts++] = memfs_cut(of, 0, &rand);
}

static unsigned int dead_at, syncs;

/* From the sync of that number on the process is dead: nothing it does reaches the storage. */
static int die(struct memfs *of, const char *what, const char *path)
{
	(void)of;
	(void)path;
	return !strcmp(what, "sync") && ++syncs >= dead_at ? -EIO : 0;
}

/*
 * A process that is killed leaves in memory what it had not synced. The next one finds it, and must not build on it
 * before it is durable: at each sync of both, a power cut.
 */
static void test_killed_then_cut(void **state)
{
	(void)state;
	for (dead_at = 1; dead_at < 24; dead_at++) {
		bool more = true;

		begin(0);
		while (info_of(st).nr_segments < 3)
			append(10);
		ok(vr_store_commit(st, &why));
		ok(vr_store_set_retention(st, 0, 1, 0, &why));
		syncs = 0;
		fs->before = die;
		while (more && !vr_store_maintain(st, false, &more, &why))
			;
		fs->before = NULL;
		nr_cuts = 0;
		fs->before_sync = cut_here;
		fs->arg = NULL;
		reopen();
		maintain_all(false);
		fs->before_sync = NULL;
		for (unsigned int i = 0; i < nr_cuts; i++) {
			struct vr_store *after = open_store(cuts[i]);

			ok(model_check(after, &m, info_of(after).base.last_seq, &why));
			vr_store_close(after);
			memfs_free(cuts[i]);
		}
		end();
	}
}

/* Whoever only reads a store names no point that a power cut could take. */
static void test_reader(void **state)
{
	const struct vr_options reading = { .write = false };
	struct vr_store *reader, *after;
	struct memfs *cut;
	uint64_t seen;

	(void)state;
	begin(10);
	append(10);
	ok(vr_store_open(&fs->io, &reading, &reader, &why));
	seen = info_of(reader).durable.last_seq;
	cut = power_cut();
	after = open_store(cut);
	assert_true(info_of(after).durable.last_seq >= seen);
	vr_store_close(after);
	vr_store_close(reader);
	memfs_free(cut);
	end();
}

/* --- two processes ------------------------------------------------------------------------------------- */

/* Somebody else changes the store and lets it go, just before its lock is looked for. */
static int let_go(struct memfs *of, const char *what, const char *path)
{
	if (strcmp(what, "open") || strcmp(path, "lock") || !st)
		return 0;
	of->before = NULL;
	ok(vr_store_set_retention(st, 11, 22, 0, &why));
	ok(vr_store_client(st, "CN=new", true, &why));
	vr_store_close(st);
	st = NULL;
	return 0;
}

static void test_two_writers(void **state)
{
	struct vr_store *second = NULL;

	(void)state;
	begin(10);
	assert_int_equal(vr_store_open(&fs->io, &small, &second, &why), -EAGAIN);
	fs->before = let_go;
	second = open_store(fs);
	assert_int_equal(info_of(second).retain_bytes, 22);
	assert_true(vr_store_has_client(second, "CN=new"));
	st = second;
	end();
}

/* The pin of an export that cannot be looked at is one. */
static int no_pins(struct memfs *of, const char *what, const char *path)
{
	(void)of;
	return !strcmp(what, "open") && !strncmp(path, "pins/0", 6) ? -EMFILE : 0;
}

static void test_pin_unreadable(void **state)
{
	struct vr_file *pin;
	uint64_t base;
	bool more;

	(void)state;
	begin(100);
	maintain_all(false);
	base = info_of(st).base.last_seq;
	ok(fs->io.ops->open(&fs->io, "pins/0123456789abcdef", VR_O_CREATE, &pin));
	ok(fs->io.ops->lock(pin, false));
	fs->before = no_pins;
	assert_int_equal(vr_store_maintain(st, true, &more, &why), -EMFILE);
	assert_int_equal(info_of(st).base.last_seq, base);
	fs->before = NULL;
	ok(vr_store_maintain(st, true, &more, &why));
	assert_int_equal(info_of(st).base.last_seq, base);
	fs->io.ops->close(pin);
	ok(vr_store_maintain(st, true, &more, &why));
	assert_true(info_of(st).base.last_seq > base);
	end();
}

/* --- a view while the store moves on --------------------------------------------------------------------- */

static int seal_meanwhile(struct memfs *of, const char *what, const char *path)
{
	bool more;

	if (strcmp(what, "read") || !strstr(path, "0001.seg"))
		return 0;
	of->before = NULL;
	ok(vr_store_maintain(st, false, &more, &why));
	return 0;
}

/* A segment that is sealed while somebody reads it. */
static void test_sealed_under_view(void **state)
{
	(void)state;
	begin(20);
	while (info_of(st).nr_segments < 2)
		append(10);
	ok(vr_store_commit(st, &why));
	fs->before = seal_meanwhile;
	/* the newest point may have nothing of the first segment any more */
	for (uint64_t seq = info_of(st).durable.last_seq; fs->before && seq; seq--)
		ok(model_check(st, &m, seq, &why));
	assert_null(fs->before);
	end();
}

/* --- what is written ahead of small batches ---------------------------------------------------------------- */

static size_t newest_file(size_t *nr)
{
	size_t len = 0;

	*nr = 0;
	for (unsigned int i = 0, at = 0; i < fs->nr_names; i++)
		if (strstr(fs->names[i].name, ".seg") && ++*nr && (!len || strcmp(fs->names[at].name, fs->names[i].name) < 0)) {
			at = i;
			len = fs->names[i].inode->now.len;
		}
	return len;
}

/* A batch makes the file longer now and then, not each time; what is sealed, and what was opened, ends with its last one. */
static void test_ahead(void **state)
{
	unsigned int longer = 0, batches = 0;
	size_t nr, had, len;
	struct vr_info info;

	(void)state;
	begin(1);
	for (len = newest_file(&nr); nr < 8 || len == vr_newest(st)->length; batches++) {
		size_t files = nr;

		had = len;
		append(1);
		ok(vr_store_commit(st, &why));
		len = newest_file(&nr);
		longer += nr == files && len != had;
	}
	assert_true(longer * 2 < batches);
	assert_true(newest_file(&nr) > vr_newest(st)->length);
	/* A torn tail in a sealed segment would be damage. */
	reopen();
	assert_int_equal(newest_file(&nr), vr_newest(st)->length);
	info = info_of(st);
	assert_int_equal(info.durable.last_seq, model_last(&m));
	ok(model_check(st, &m, info.durable.last_seq, &why));
	end();
}

static unsigned int reads_left;

static int write_meanwhile(struct memfs *of, const char *what, const char *path)
{
	if (strcmp(what, "read") || !strstr(path, ".seg") || reads_left-- > 0)
		return 0;
	of->before = NULL;
	for (int i = 0; i < 3; i++) {
		append(1);
		ok(vr_store_commit(st, &why));
	}
	return 0;
}

/* Who reads the zeroes is overtaken by who writes over them: not damage. */
static void test_overtaken(void **state)
{
	const struct vr_options reading = { .write = false };

	(void)state;
	for (unsigned int n = 0; n < 30; n++) {
		struct vr_store *reader;

		begin(1);
		reads_left = n;
		fs->before = write_meanwhile;
		ok(vr_store_open(&fs->io, &reading, &reader, &why));
		fs->before = NULL;
		vr_store_close(reader);
		end();
	}
}

/* --- disks that grow ------------------------------------------------------------------------------------- */

static void disk_record(unsigned int type, uint64_t offset, uint64_t length, uint64_t ref, const void *data)
{
	struct vaio_rw_record r = { .offset = htole64(offset), .length = htole64(length), .ref = htole64(ref) };
	const void *batch;
	size_t len;

	assert_int_equal(model_put(&m, &r, type, 0, data, data ? (uint32_t)length : 0, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
}

static void add_fault(void *arg, const char *text)
{
	(void)arg;
	fail_msg("%s", text);
}

/* A store of a disk of @size bytes; its batch is not finished. */
static void begin_empty(uint64_t size)
{
	struct vaio_rw_member d = { .size = htole64(size), .block_size = htole32(512), .disk = { 1 } };
	struct vaio_rw_record r = { 0 };

	fs = memfs_new(seed);
	model_init(&m, seed);
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	st = open_store(fs);
	assert_int_equal(model_generation(&m), 0);
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &d, sizeof(d), 0, NULL), 0);
}

/* A disk whose end is no cell's end is in the base, and then grows. */
static void test_grow(void **state)
{
	static uint8_t want[200 << 10], got[200 << 10];
	uint64_t grown;
	struct vr_view *v;
	const void *batch;
	size_t len;

	(void)state;
	begin_empty(100 << 10);
	assert_int_equal(model_resync_begin(&m, VAIO_RW_S_INITIAL), 0);
	assert_int_equal(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_set_retention(st, 0, 1, 0, &why));
	model_fill(want, 100 << 10, 7);
	for (int i = 0; i < 4; i++)
		disk_record(VAIO_RW_R_WRITE, 0, 100 << 10, 0, want);
	ok(vr_store_commit(st, &why));
	maintain_all(false);
	assert_true(info_of(st).base.last_seq > 4);
	disk_record(VAIO_RW_R_GROW, 0, 200 << 10, 100 << 10, NULL);
	grown = model_last(&m);
	/* beyond the old end, in the cell that it was in, and in the next one */
	model_fill(want + (110 << 10), 512, 8);
	model_fill(want + (150 << 10), 512, 9);
	ok(vr_store_commit(st, &why));
	for (int round = 0; round < 4; round++) {
		uint64_t last = model_last(&m);

		ok(vr_view_open(st, last, &v, &why));
		ok(vr_view_read(v, 0, got, 100 << 10, 0, &why));
		assert_memory_equal(got, want, 100 << 10);
		ok(vr_view_read(v, 0, got, 200 << 10, 0, &why));
		for (int i = 100 << 10; last == grown && i < 200 << 10; i++)
			assert_int_equal(got[i], 0);
		if (last > grown + 1)
			assert_memory_equal(got, want, 200 << 10);
		vr_view_close(v);
		assert_int_equal(vr_store_scrub(st, add_fault, NULL, NULL, NULL, &why), 0);
		if (!round) {
			disk_record(VAIO_RW_R_WRITE, 150 << 10, 512, 0, want + (150 << 10));
			disk_record(VAIO_RW_R_WRITE, 110 << 10, 512, 0, want + (110 << 10));
		}
		/* another segment, so that this one is applied */
		for (int i = 0; round && i < 2; i++)
			disk_record(VAIO_RW_R_WRITE, 0, 64 << 10, 0, want);
		ok(vr_store_commit(st, &why));
		maintain_all(false);
		reopen();
	}
	assert_true(info_of(st).base.last_seq > grown);
	end();
}

/* Few bytes that would take gigabytes of index are refused. */
static void test_index_bomb(void **state)
{
	const uint64_t gib = 1 << 30;
	struct vaio_rw_record r = { 0 }, *bad;
	struct vaio_rw_batch *bomb;
	const void *batch;
	unsigned int nr = 0;
	size_t len;

	(void)state;
	begin_empty(4 * gib);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	/* who makes batches by the rules stops before */
	r.offset = htole64(512);
	r.length = htole64(gib);
	while (!model_put(&m, &r, VAIO_RW_R_DISCARD, 0, NULL, 0, 0, NULL))
		nr++;
	assert_true(nr > 200 && nr < 300);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	/* and who does not is refused */
	r.length = htole64(4096);
	for (unsigned int i = 0; i < VAIO_RW_MAX_RECORDS; i++)
		assert_int_equal(model_put(&m, &r, VAIO_RW_R_DISCARD, 0, NULL, 0, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	bomb = malloc(len);
	memcpy(bomb, batch, len);
	bad = (void *)(bomb + 1);
	for (unsigned int i = 0; i < VAIO_RW_MAX_RECORDS; i++) {
		bad[i].length = htole64(gib);
		bad[i].crc = htole32(vr_crc32c(0, (char *)&bad[i] + 4, sizeof(*bad) - 4));
	}
	bomb->crc = htole32(vr_crc32c(0, (char *)bomb + 8, len - 8));
	assert_int_equal(vr_store_append(st, bomb, len, &why), -EPROTO);
	assert_non_null(strstr(why.text, "cells"));
	free(bomb);
	end();
}

/*
 * Upkeep that is behind holds up who appends, before indexes fill the memory; and a store that lost its index makes it again
 * without having all of it in memory.
 */
static void test_index_memory(void **state)
{
	const struct vr_options o = { .write = true, .segment_bytes = 96 << 10, .reserve_bytes = 64 << 10, .merge = 8,
				      .index_bytes = 100 << 10 };
	struct vr_info before;
	const void *batch;
	unsigned int waits = 0;
	bool more;
	size_t len;

	(void)state;
	begin(5);
	vr_store_close(st);
	ok(vr_store_open(&fs->io, &o, &st, &why));
	for (unsigned int i = 0; i < 200; i++) {
		int err;

		batch = model_batch(&m, 10, &len);
		while ((err = vr_store_append(st, batch, len, &why)) == -EAGAIN) {
			waits++;
			assert_true(vr_index_bytes(st) > o.index_bytes);
			ok(vr_store_maintain(st, false, &more, &why));
			assert_true(more);
		}
		ok(err);
		assert_true(vr_index_bytes(st) < 2 * o.index_bytes);
	}
	assert_true(waits > 3);
	ok(vr_store_commit(st, &why));
	before = info_of(st);
	vr_store_close(st);
	/* all of the index is lost */
	for (unsigned int i = fs->nr_names; i-- > 0;)
		if (!strncmp(fs->names[i].name, "index/", 6))
			fs->io.ops->remove(&fs->io, fs->names[i].name);
	ok(vr_store_open(&fs->io, &o, &st, &why));
	assert_true(info_of(st).nr_segments == before.nr_segments && before.nr_segments > 10);
	assert_true(vr_index_bytes(st) <= o.index_bytes);
	ok(model_check(st, &m, model_last(&m), &why));
	end();
}

/* Gaps and resyncs have their bound in memory: the oldest points go, and what is new is taken. */
static void test_many_gaps(void **state)
{
	const struct vr_options o = { .write = true, .segment_bytes = 64 << 10, .reserve_bytes = 64 << 10, .merge = 8,
				      .stretches = 40 };
	struct vaio_rw_gap g = { .reason = htole32(VAIO_RW_GAP_FULL) };
	unsigned int waits = 0;
	const void *batch;
	bool more;
	size_t len;

	(void)state;
	begin(1);
	vr_store_close(st);
	ok(vr_store_open(&fs->io, &o, &st, &why));
	for (unsigned int i = 0; i < 300; i++) {
		int err;

		if (i & 1) {
			assert_false(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL));
			for (int j = 0; j < 8; j++)
				assert_int_equal(model_block(&m), 0);
		} else {
			m.next_seq += 10;
			assert_false(model_group(&m, VAIO_RW_R_GAP, &g, sizeof(g), NULL));
		}
		batch = vr_builder_finish(m.builder, &len);
		while ((err = vr_store_append(st, batch, len, &why)) == -ENOSPC) {
			waits++;
			assert_non_null(strstr(why.text, "the most that there may be are 40"));
			ok(vr_store_maintain(st, true, &more, &why));
			assert_true(more);
		}
		ok(err);
		ok(vr_store_commit(st, &why));
		assert_true(st->nr_stretches <= 40);
	}
	assert_true(waits > 3);
	ok(model_check(st, &m, model_last(&m), &why));
	end();
}

static void write_segment(void)
{
	for (unsigned int nr = st->nr_segments; st->nr_segments == nr;) {
		size_t len;
		const void *batch;

		for (int i = 0; i < 8; i++)
			assert_int_equal(model_block(&m), 0);
		batch = vr_builder_finish(m.builder, &len);
		ok(vr_store_append(st, batch, len, &why));
	}
}

static bool base_has_end(uint16_t member)
{
	char name[VR_NAME];
	int at;

	vr_base_name(name, member, "img");
	at = mem_find(fs->names, fs->nr_names, name);
	return at >= 0 && fs->names[at].inode->now.len == m.member[member].size;
}

/* Others have filled the storage, no segment can be sealed: the oldest points go all the same, and make room. */
static void test_full_before_seal(void **state)
{
	const struct vr_options o = { .write = true, .segment_bytes = 64 << 10, .merge = 100 };
	unsigned int steps = 0, before;
	uint8_t block[4096];
	uint64_t last;
	bool more;

	(void)state;
	model_fill(block, sizeof(block), seed);
	begin(1);
	vr_store_close(st);
	ok(vr_store_open(&fs->io, &o, &st, &why));
	/* The disks are in the base to their ends: what is applied later takes no more room. Zeroes may have come after these. */
	for (bool whole = false; !whole;) {
		for (uint16_t n = 0; n < MODEL_MEMBERS; n++) {
			struct vaio_rw_record r = { .offset = htole64(m.member[n].size - 4096), .length = htole64(4096) };

			if (m.member[n].in)
				assert_int_equal(model_put(&m, &r, VAIO_RW_R_WRITE, n, block, sizeof(block), seed, NULL), 0);
		}
		write_segment();
		write_segment();
		do {
			ok(vr_store_maintain(st, true, &more, &why));
		} while (more);
		whole = true;
		for (uint16_t n = 0; n < MODEL_MEMBERS; n++)
			whole &= !m.member[n].in || base_has_end(n);
	}
	for (int i = 0; i < 5; i++)
		write_segment();
	ok(vr_store_maintain(st, false, &more, &why));
	write_segment();
	ok(vr_store_commit(st, &why));
	last = model_last(&m);
	before = st->nr_segments;
	assert_true(!st->segments[0]->mem && st->segments[before - 2]->mem);
	fs->full = true;
	assert_int_equal(vr_store_maintain(st, false, &more, &why), -ENOSPC);
	assert_int_equal(st->nr_segments, before);
	for (int err = 0; !err; steps++) {
		err = vr_store_maintain(st, true, &more, &why);
		assert_true(!err || err == -ENOSPC);
	}
	if (steps < 2)
		fail_msg("%u steps, %s, seed %llu", steps, why.text, (unsigned long long)seed);
	assert_true(st->nr_segments < before);
	fs->full = false;
	do {
		ok(vr_store_maintain(st, true, &more, &why));
	} while (more);
	assert_int_equal(st->nr_segments, 1);
	ok(model_check(st, &m, last, &why));
	end();
}

/* --- words ------------------------------------------------------------------------------------------------ */

/* A name that the superblock may not hold is refused, and does not make the store unreadable. */
static void test_names(void **state)
{
	struct vr_point p;

	(void)state;
	begin(5);
	ok(vr_point_find(st, "latest", 0, &p, &why));
	for (int i = 0; i < 3; i++) {
		strcpy(p.name, "a\001b");
		assert_int_equal(vr_mark_add(st, &p, true, &why), -EINVAL);
		assert_int_equal(vr_store_client(st, "CN=a\nb", true, &why), -EINVAL);
	}
	reopen();
	end();
}

/* The name of the point of a failover is not a source's to give. */
static void test_failover_name(void **state)
{
	struct vr_point p, q;
	uint64_t held;

	(void)state;
	begin(10);
	ok(vr_point_find(st, "latest", 0, &p, &why));
	held = p.seq;
	ok(checkpoint(VR_FAILOVER_MARK, VAIO_RW_CF_PIN));
	ok(vr_store_commit(st, &why));
	ok(vr_point_find(st, "name:" VR_FAILOVER_MARK, 0, &q, &why));
	assert_false(q.pinned);
	ok(vr_store_failover(st, VR_FAILOVER, &p, &why));
	ok(vr_point_find(st, "name:" VR_FAILOVER_MARK, 0, &q, &why));
	assert_int_equal(q.seq, held);
	ok(vr_store_failover(st, VR_UNDO, NULL, &why));
	ok(vr_point_find(st, "name:" VR_FAILOVER_MARK, 0, &q, &why));
	assert_int_equal(q.seq, model_last(&m));
	end();
}

/* Two checkpoints of one name that are to be held: both are. */
static void test_held_twice(void **state)
{
	uint64_t first, second;
	struct vr_point p;
	char name[64];

	(void)state;
	begin(10);
	ok(checkpoint("lunch", VAIO_RW_CF_PIN));
	first = model_last(&m);
	/* the base moves by segments: there is the end of one between the two, and after both */
	more_segments(2);
	ok(checkpoint("lunch", VAIO_RW_CF_PIN));
	second = model_last(&m);
	more_segments(2);
	ok(vr_store_commit(st, &why));
	maintain_all(true);
	assert_true(info_of(st).base.last_seq <= first);
	ok(vr_mark_remove(st, "lunch", &why));
	maintain_all(true);
	assert_true(info_of(st).base.last_seq > first && info_of(st).base.last_seq <= second);
	snprintf(name, sizeof(name), "name:lunch seq:%llu", (unsigned long long)second);
	ok(vr_point_find(st, name, 0, &p, &why));
	assert_int_equal(p.seq, second);
	ok(vr_mark_remove(st, name + 5, &why));
	maintain_all(true);
	assert_true(info_of(st).base.last_seq > second);
	end();
}

/* All names are taken: the next checkpoint is a point that is not held, writes go on, and a failover has its place. */
static void test_too_many_names(void **state)
{
	unsigned int nr = 0;
	struct vr_point p;
	char name[32];
	int err = 0;

	(void)state;
	begin(5);
	while (!err && nr < 1000) {
		snprintf(name, sizeof(name), "n%u", nr);
		ok(checkpoint(name, VAIO_RW_CF_PIN));
		nr += vr_mark_held(st, model_last(&m));
		err = vr_mark_room(st, &why);
	}
	assert_int_equal(nr, VAIO_RS_MAX_MARKS - 1);
	assert_non_null(strstr(why.text, "replica release"));
	ok(checkpoint("one-more", VAIO_RW_CF_PIN));
	assert_false(vr_mark_held(st, model_last(&m)));
	append(10);
	ok(vr_store_commit(st, &why));
	assert_int_equal(info_of(st).durable.last_seq, model_last(&m));
	ok(vr_point_find(st, "name:one-more", 0, &p, &why));
	assert_false(p.pinned);
	assert_int_equal(vr_mark_add(st, &p, true, &why), -E2BIG);
	ok(vr_store_failover(st, VR_FAILOVER, &p, &why));
	ok(vr_store_failover(st, VR_UNDO, NULL, &why));
	reopen();
	ok(vr_mark_remove(st, "n7", &why));
	ok(vr_mark_add(st, &p, true, &why));
	assert_true(vr_mark_held(st, p.seq));
	end();
}

struct page {
	uint64_t oldest, newest;
	unsigned int nr;
};

static int count_name(void *arg, const struct vr_point *p)
{
	struct page *page = arg;

	page->oldest = page->nr++ ? page->oldest : p->seq;
	assert_true(p->seq >= page->newest);
	page->newest = p->seq;
	return 0;
}

static int count_stretch(void *arg, const struct vr_stretch *s)
{
	struct vr_point p = { .seq = s->first };

	return count_name(arg, &p);
}

/* Lists come in pages, none is missed between two of them, and a page needs no memory for the others. */
static void test_pages(void **state)
{
	const unsigned int names = 500, gaps = 40, limit = 30;
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_LINK) };
	unsigned int nr = 0, pages = 0;
	uint64_t before = 0, first;
	struct vr_point p, named;
	bool more = true;
	const void *batch;
	size_t len;

	(void)state;
	begin(5);
	maintain_all(false);
	first = model_last(&m) + 1;
	for (unsigned int i = 0; i < names; i++) {
		ok(checkpoint("again", 0));
		if (i % 10 == 0)
			append(20);
	}
	for (unsigned int i = 0; i < gaps; i++) {
		assert_int_equal(model_group(&m, VAIO_RW_R_GAP, &gap, sizeof(gap), NULL), 0);
		assert_int_equal(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
		batch = vr_builder_finish(m.builder, &len);
		ok(vr_store_append(st, batch, len, &why));
	}
	ok(vr_store_commit(st, &why));
	maintain_all(false);
	ok(vr_point_find(st, "latest", 0, &p, &why));
	strcpy(p.name, "mine");
	ok(vr_mark_add(st, &p, true, &why));
	ok(vr_point_find(st, "name:mine", 0, &named, &why));
	assert_true(named.seq == p.seq && named.pinned);
	ok(vr_point_find(st, "name:again", 0, &named, &why));
	while (more) {
		struct page page = { 0, 0, 0 };

		ok(vr_store_names(st, before, limit, count_name, &page, &more, &why));
		assert_true(page.nr <= limit && (page.nr == limit || !more));
		assert_true(!before || page.newest < before);
		before = page.oldest;
		nr += page.nr;
		/* those of the first batches are the model's */
		if (before < first)
			break;
		pages++;
	}
	assert_true(pages >= names / limit && nr >= names + 1);
	before = 0;
	more = true;
	for (nr = 0; more; pages++) {
		struct page page = { 0, 0, 0 };

		ok(vr_store_stretches(st, before, limit, count_stretch, &page, &more, &why));
		assert_true(page.nr <= limit);
		before = page.oldest;
		nr += page.nr;
	}
	assert_true(nr >= 2 * gaps);
	end();
}

/* A checkpoint's pin is written before it: when the record is lost, so is the pin. */
static void test_lost_checkpoint(void **state)
{
	struct memfs *cut;
	struct vr_point p;

	(void)state;
	begin(10);
	append(10);
	ok(checkpoint("lunch", VAIO_RW_CF_PIN));
	cut = power_cut();
	vr_store_close(st);
	memfs_free(fs);
	fs = cut;
	st = open_store(fs);
	assert_true(info_of(st).durable.last_seq < model_last(&m));
	/* other records get these numbers */
	m.next_seq = info_of(st).durable.last_seq + 1;
	while (m.records[m.nr - 1].seq >= m.next_seq)
		m.nr--;
	for (int i = 0; i < 3; i++)
		append(10);
	ok(vr_store_commit(st, &why));
	assert_int_equal(vr_point_find(st, "name:lunch", 0, &p, &why), -ENOENT);
	reopen();
	assert_int_equal(vr_point_find(st, "name:lunch", 0, &p, &why), -ENOENT);
	end();
}

static int no_sums(struct memfs *of, const char *what, const char *path)
{
	if (strcmp(what, "open") || !strstr(path, ".sum"))
		return 0;
	of->before = NULL;
	return -EMFILE;
}

/* A summary that cannot be opened once does not keep its segment for ever. */
static void test_sum_unopened(void **state)
{
	bool more;

	(void)state;
	begin(60);
	ok(vr_store_set_retention(st, 0, 1, 0, &why));
	fs->before = no_sums;
	assert_int_equal(vr_store_maintain(st, false, &more, &why), -EMFILE);
	assert_null(fs->before);
	maintain_all(false);
	assert_int_equal(info_of(st).nr_segments, 1);
	ok(model_check(st, &m, info_of(st).base.last_seq, &why));
	end();
}

/* --- time -------------------------------------------------------------------------------------------------- */

/* A source whose clock says that it is next century has no history dropped or thinned out by that. */
static void test_future(void **state)
{
	uint64_t base, oldest;
	struct vr_point p;
	char text[32];

	(void)state;
	begin(0);
	/* as of today, as the replica sees it */
	m.time_ns = fs->clock;
	for (int i = 0; i < 100; i++)
		append(10);
	ok(vr_store_commit(st, &why));
	ok(vr_store_set_retention(st, 24 * 3600 * MODEL_SECOND, 0, 0, &why));
	ok(vr_store_set_thinning(st, 3600 * MODEL_SECOND, 60 * MODEL_SECOND, &why));
	oldest = model_last(&m);
	for (int i = 0; i < 100; i++)
		append(10);
	ok(vr_store_commit(st, &why));
	maintain_all(false);
	base = info_of(st).base.last_seq;
	m.time_ns += 100ULL * 365 * 24 * 3600 * MODEL_SECOND;
	for (int i = 0; i < 10; i++)
		append(10);
	ok(vr_store_commit(st, &why));
	maintain_all(false);
	assert_int_equal(info_of(st).base.last_seq, base);
	for (uint64_t seq = oldest; seq < oldest + 300; seq++) {
		snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)seq);
		ok(vr_point_find(st, text, 0, &p, &why));
	}
	end();
}

static void gap_at(uint64_t time_ns, uint64_t since_ns)
{
	struct vaio_rw_gap g = { .reason = htole32(VAIO_RW_GAP_FULL), .since_ns = htole64(since_ns) };
	const void *batch;
	size_t len;

	m.time_ns = time_ns;
	assert_int_equal(model_group(&m, VAIO_RW_R_GAP, &g, sizeof(g), NULL), 0);
	m.time_ns = time_ns + 10 * MODEL_SECOND;
	assert_int_equal(model_group(&m, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(m.builder, &len);
	ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_commit(st, &why));
}

static void at_is(uint64_t second, uint64_t before, uint64_t want)
{
	struct vr_point p;
	char text[128];
	int rc;

	snprintf(text, sizeof(text), "@%llu", (unsigned long long)second);
	rc = vr_point_find(st, text, 0, &p, &why);
	if (want) {
		ok(rc);
		assert_int_equal(p.seq, want);
	} else {
		assert_int_equal(rc, -ENOENT);
		snprintf(text, sizeof(text), "nearest points are seq:%llu and seq:%llu", (unsigned long long)before,
			 (unsigned long long)before + 2);
		if (!strstr(why.text, text))
			fail_msg("%s: not %s", why.text, text);
	}
}

/* The time between the first write that is missing and the record that tells of it lies in the gap. */
static void test_gap_time(void **state)
{
	uint64_t t, last, second;

	(void)state;
	begin(5);
	for (int round = 0; round < 2; round++) {
		last = model_last(&m);
		t = m.records[m.nr - 1].time_ns / MODEL_SECOND;
		/* writes are missing from t + 60 on; it is told of at t + 300 */
		gap_at((t + 300) * MODEL_SECOND, (t + 60) * MODEL_SECOND);
		if (round)
			reopen();
		at_is(t, 0, last);
		at_is(t + 59, 0, last);
		at_is(t + 60, last, 0);
		at_is(t + 299, last, 0);
		at_is(t + 305, last, 0);
		at_is(t + 310, 0, last + 2);
		/* nobody knows since when */
		second = t + 310;
		last = model_last(&m);
		gap_at((second + 300) * MODEL_SECOND, 0);
		at_is(second - 1, last - 2, 0);
		at_is(second + 1, last, 0);
		at_is(second + 299, last, 0);
		at_is(second + 310, 0, last + 2);
	}
	end();
}

/* --- points that go while they are asked for --------------------------------------------------------------- */

/* What was thinned out after somebody had found it cannot be named, held, or taken into use. */
static void test_thinned_meanwhile(void **state)
{
	struct vr_point found[8], p, *q;
	unsigned int n = 0;
	char text[32];
	uint64_t seq;

	(void)state;
	begin(200);
	ok(vr_store_set_thinning(st, 8 * MODEL_SECOND, 2 * MODEL_SECOND, &why));
	for (int i = 0; i < 10; i++)
		append(10);
	seq = model_last(&m) - 20;
	for (int i = 0; i < 300; i++)
		append(10);
	ok(vr_store_commit(st, &why));
	while (n < 8) {
		assert_true(++seq < model_last(&m));
		snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)seq);
		ok(vr_point_find(st, text, 0, &found[n], &why));
		n += found[n].seq == seq;
	}
	maintain_all(false);
	/* one of them may be the one that is kept of its two seconds */
	for (q = found; q < found + 8; q++) {
		snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)q->seq);
		if (vr_point_find(st, text, 0, &p, &why) == -ENOENT)
			break;
	}
	assert_true(q < found + 8);
	strcpy(q->name, "held");
	assert_int_equal(vr_mark_add(st, q, true, &why), -ENOENT);
	assert_int_equal(vr_store_failover(st, VR_FAILOVER, q, &why), -ENOENT);
	assert_int_equal(vr_point_find(st, text, 0, &p, &why), -ENOENT);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal_sync),
		cmocka_unit_test(test_base_sync),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_killed_then_cut),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_two_writers),
		cmocka_unit_test(test_pin_unreadable),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_index_bomb),
		cmocka_unit_test(test_index_memory),
		cmocka_unit_test(test_many_gaps),
		cmocka_unit_test(test_full_before_seal),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_failover_name),
		cmocka_unit_test(test_held_twice),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_too_many_names),
		cmocka_unit_test(test_lost_checkpoint),
		cmocka_unit_test(test_sum_unopened),
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_gap_time),
		cmocka_unit_test(test_thinned_meanwhile),
		cmocka_unit_test(test_sealed_under_view),
	};

	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
