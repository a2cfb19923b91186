// SPDX-License-Identifier: GPL-2.0
/* What upkeep of a store may take and when, beside who writes, who reads, and what is being opened. */

#include "one_store.h"

/* --- the last good point ------------------------------------------------------------------------------------ */

static void latest_is(struct vr_store *of, uint64_t at_least, const char *when)
{
	struct vr_point p = { .seq = 0 };
	int rc = vr_point_find(of, "latest", 0, &p, &why);

	if (rc || p.seq < at_least)
		fail_msg("%s: latest is seq:%llu (%d, %s), seed %llu", when, (unsigned long long)p.seq, rc, rc ? why.text : "",
			 (unsigned long long)seed);
}

static int is_durable(void *arg, const struct vr_stretch *s)
{
	uint64_t *durable = arg;

	if (s->last > *durable)
		fail_msg("seq:%llu is told of, durable is seq:%llu", (unsigned long long)s->last, (unsigned long long)*durable);
	return 0;
}

static void append_group(unsigned int type, const void *payload, uint32_t bytes)
{
	size_t len;
	const void *batch = group_batch(type, payload, bytes, NULL, &len);

	ok(vr_store_append(st, batch, len, &why));
}

/*
 * The segment that a gap begins in is full before the writer comes to its commit, and upkeep wants room: the point before the gap
 * stays, also where it is the first one, and no commit was there since.
 */
static void test_last_point(void **state)
{
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_LINK) };

	(void)state;
	for (unsigned int round = 0; round < 6; round++) {
		bool first = round % 3 == 1, ended = round % 3 == 2, pressure = round < 3;
		struct vr_store *after;
		struct memfs *cut;
		uint64_t good, durable;
		bool more;

		if (first) {
			fs = memfs_new(seed);
			model_init(&m, seed);
			m.stretches = false;
			ok(vr_store_create(&fs->io, m.group, "group", &why));
			st = open_store(fs);
			/* a generation, two disks, a resync that begins */
			append(4);
			ok(vr_store_commit(st, &why));
			assert_int_equal(info_of(st).durable.complete_seq, 0);
			append_group(VAIO_RW_R_RESYNC_END, NULL, 0);
		} else {
			begin(0);
			more_segments(2);
			ok(vr_store_commit(st, &why));
			if (!pressure)
				append(10);
		}
		good = model_last(&m);
		append_group(VAIO_RW_R_GAP, &gap, sizeof(gap));
		if (ended) {
			append_group(VAIO_RW_R_RESYNC_END, NULL, 0);
			good = model_last(&m);
			append_group(VAIO_RW_R_GAP, &gap, sizeof(gap));
		}
		durable = info_of(st).durable.last_seq;
		ok(vr_store_stretches(st, 0, 1000, is_durable, &durable, &more, &why));
		more_segments(1);
		ok(vr_store_set_retention(st, 0, pressure ? 0 : 1, 0, &why));
		maintain_all(pressure);
		assert_true(info_of(st).base.last_seq <= good);
		latest_is(st, good, "before the commit");
		cut = power_cut();
		after = open_store(cut);
		latest_is(after, good, "after a cut");
		vr_store_close(after);
		memfs_free(cut);
		ok(vr_store_commit(st, &why));
		maintain_all(pressure);
		latest_is(st, good, "after the commit");
		ok(model_check(st, &m, good, &why));
		end();
	}
}

/* --- an index that is made again -------------------------------------------------------------------------- */

static unsigned int runs_refused;

static int refuse_runs(struct memfs *of, const char *what, const char *path)
{
	(void)of;
	return !strcmp(what, "open") && !strcmp(path, "index/new") && runs_refused && runs_refused-- ? -ENOSPC : 0;
}

/*
 * The index of some segments, or of all, is lost, and there is no room for so many of them: what cannot be written stays in memory,
 * the newest segment goes on growing, and one that has its run is let alone.
 */
static void test_index_full(void **state)
{
	struct vr_options o = small;

	(void)state;
	o.merge = 100;
	for (unsigned int round = 0; round < 12; round++) {
		bool all = round % 2;
		char kept[VR_RUN_NAME];
		struct vr_info info;
		uint64_t last, room, avail, reserve;

		begin(0);
		vr_store_close(st);
		o.index_bytes = 0;
		ok(vr_store_open(&fs->io, &o, &st, &why));
		more_segments(4);
		ok(vr_store_commit(st, &why));
		maintain_all(false);
		last = model_last(&m);
		vr_run_name(kept, vr_newest(st)->id - 1, vr_newest(st)->id - 1);
		vr_store_close(st);
		for (unsigned int i = fs->nr_names; i-- > 0;)
			if (strstr(fs->names[i].name, ".run") && (all || strcmp(fs->names[i].name, kept)))
				fs->io.ops->remove(&fs->io, fs->names[i].name);
		/* less than one segment's takes */
		o.index_bytes = 1;
		runs_refused = round / 2;
		fs->before = refuse_runs;
		ok(vr_store_open(&fs->io, &o, &st, &why));
		assert_int_equal(runs_refused > 0, round / 2 > st->nr_segments - 1 - !all);
		fs->before = NULL;
		assert_true(vr_newest(st)->mem && vr_newest(st)->batches && !vr_newest(st)->sum_file);
		ok(model_check(st, &m, last, &why));
		/* what is in memory has its place kept, also when what is newer is on the disk */
		ok(vr_store_set_retention(st, 0, 0, 1 << 30, &why));
		info = info_of(st);
		room = (1 << 30) - info.journal_bytes - info.index_bytes - info.base_bytes;
		for (unsigned int i = 0; i < st->nr_segments; i++)
			if (st->segments[i]->mem)
				room -= st->segments[i]->mem->nr * sizeof(struct vaio_rs_key) + 3 * VAIO_RS_PAGE;
		assert_true(vr_store_room(st, &avail, &reserve) <= room);
		maintain_all(false);
		assert_int_equal(vr_index_bytes(st), 0);
		append(10);
		ok(vr_store_commit(st, &why));
		reopen();
		assert_int_equal(info_of(st).durable.last_seq, model_last(&m));
		ok(model_check(st, &m, model_last(&m), &why));
		end();
	}
}

/* --- who reads while the base is made ---------------------------------------------------------------------- */

static struct vr_view *view;
static unsigned int until_view;

/* Somebody begins to read when the base is looked at for the so manieth time. */
static int view_meanwhile(struct memfs *of, const char *what, const char *path)
{
	uint8_t sector[512];

	(void)what;
	if (strncmp(path, "base/0", 6) || --until_view)
		return 0;
	of->before = NULL;
	ok(vr_view_open(st, model_last(&m), &view, &why));
	for (uint16_t n = 0; n < MODEL_MEMBERS; n++)
		if (m.member[n].in)
			ok(vr_view_read(view, n, sector, sizeof(sector), 0, &why));
	return 0;
}

/* Cells that an apply under way adds to the base, and disks that have none before it: who began to read meanwhile sees them after it. */
static void test_view_in_apply(void **state)
{
	static uint8_t want[MODEL_MAX_DISK], got[MODEL_MAX_DISK];
	unsigned int views = 0;

	(void)state;
	for (unsigned int nth = 1; nth == 1 || view; nth += 1 + nth / 8) {
		bool more = true;

		view = NULL;
		begin(0);
		more_segments(1);
		ok(vr_store_commit(st, &why));
		ok(vr_store_set_retention(st, 0, 1, 0, &why));
		until_view = nth;
		fs->before = view_meanwhile;
		while (more && !view)
			ok(vr_store_maintain(st, false, &more, &why));
		fs->before = NULL;
		views += view != NULL;
		for (uint16_t n = 0; n < MODEL_MEMBERS && view; n++) {
			uint64_t size = model_disk(&m, n, model_last(&m), want);

			if (size)
				ok(vr_view_read(view, n, got, size, 0, &why));
			if (memcmp(got, want, size))
				fail_msg("disk %u differs, read from the base's %u. use on, seed %llu", n, nth, (unsigned long long)seed);
		}
		vr_view_close(view);
		end();
	}
	assert_true(views > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_point),
		cmocka_unit_test(test_index_full),
		cmocka_unit_test(test_view_in_apply),
	};

	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
