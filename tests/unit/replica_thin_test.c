// SPDX-License-Identifier: GPL-2.0
/* Thinning out against a model: which points stay, what they show, power cuts at each sync. */

#include "store_test.h"

#define EVERY_WRITE	(8 * MODEL_SECOND)
#define INTERVAL	(2 * MODEL_SECOND)

static const struct vr_options options = { .write = true, .segment_bytes = 700 << 10, .reserve_bytes = 64 << 10, .merge = 3 };

static struct vr_store *open_store(struct memfs *fs)
{
	struct vr_store *st = NULL;

	ok(vr_store_open(&fs->io, &options, &st, &why));
	return st;
}

#define check_point(st, m, seq) ok(model_check(st, m, seq, &why))

/* Must the point stay, whatever is thinned out? By the model alone. */
static bool must_stay(const struct model *m, size_t i, uint64_t held)
{
	const struct model_record *r = &m->records[i], *n = r + 1;

	if (i + 1 == m->nr || r->seq == held)
		return true;
	return vr_type_is_control(r->type) || vr_type_is_control(n->type) || r->time_ns / INTERVAL != n->time_ns / INTERVAL;
}

struct sums {
	unsigned int offered, gone, cuts;
};

/*
 * Points that must stay are there, no number is a point that was none, and young ones are all there. Whatever is offered
 * shows what the model has. One number of @ask is asked for, one of @every of those is looked at.
 */
static void check_all(struct vr_store *st, const struct model *m, uint64_t held, unsigned int ask, unsigned int every,
		      uint64_t *rnd, struct sums *sums)
{
	struct vr_info info;
	struct vr_point p;
	char text[32];

	vr_store_info(st, &info);
	for (size_t i = 0; i < m->nr; i++) {
		const struct model_record *r = &m->records[i];
		int rc;

		if (r->seq < info.base.last_seq || r->seq > info.durable.last_seq || mem_rand(rnd) % ask)
			continue;
		snprintf(text, sizeof(text), "seq:%llu", (unsigned long long)r->seq);
		rc = vr_point_find(st, text, 0, &p, &why);
		if (!r->point) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		if (rc) {
			assert_int_equal(rc, -ENOENT);
			if (must_stay(m, i, held) || info.durable.time_ns - r->time_ns < EVERY_WRITE)
				fail_msg("seq %llu is gone: %s, seed %llu", (unsigned long long)r->seq, why.text,
					 (unsigned long long)seed);
			assert_non_null(strstr(why.text, "thinned out"));
			sums->gone++;
			continue;
		}
		sums->offered++;
		assert_int_equal(p.time_ns, r->time_ns);
		if (!(mem_rand(rnd) % every))
			check_point(st, m, r->seq);
	}
	ok(vr_point_find(st, "latest", 0, &p, &why));
	check_point(st, m, p.seq);
	vr_store_info(st, &info);
	check_point(st, m, info.base.last_seq);
}

static void add_fault(void *arg, const char *text)
{
	(void)arg;
	fail_msg("%s, seed %llu", text, (unsigned long long)seed);
}

static void maintain_all(struct vr_store *st)
{
	bool more = true;

	while (more)
		ok(vr_store_maintain(st, false, &more, &why));
}

static bool full_run(void)
{
	return getenv("VAIO_FULL") && *getenv("VAIO_FULL");
}

struct walk {
	struct model *m;
	uint64_t rand, acked, held;
	struct sums sums;
};

static void cut_here(struct memfs *fs, void *arg)
{
	struct walk *w = arg;

	if (mem_rand(&w->rand) % (full_run() ? 3 : 6) || (!full_run() && w->sums.cuts >= 15))
		return;
	for (int how = 0; how < 5; how++) {
		struct memfs *cut = memfs_cut(fs, how, &w->rand);
		struct vr_store *st = open_store(cut);
		struct vr_info info;

		vr_store_info(st, &info);
		assert_true(info.durable.last_seq >= w->acked);
		check_all(st, w->m, w->held, 30, 8, &w->rand, &w->sums);
		maintain_all(st);
		check_all(st, w->m, w->held, 30, 8, &w->rand, &w->sums);
		assert_int_equal(vr_store_scrub(st, add_fault, NULL, NULL, NULL, &why), 0);
		vr_store_close(st);
		memfs_free(cut);
		w->sums.cuts++;
	}
}

static void append(struct walk *w, struct vr_store *st, const void *batch, size_t len)
{
	if (batch)
		ok(vr_store_append(st, batch, len, &why));
	ok(vr_store_commit(st, &why));
	w->acked = model_last(w->m);
}

static void feed(struct walk *w, struct vr_store *st)
{
	size_t len;
	const void *batch = model_batch(w->m, 1 + (unsigned int)model_rand(w->m, 20), &len);

	append(w, st, batch, len);
}

static void run(bool cuts, unsigned int rounds)
{
	struct sums all = { 0 };
	uint64_t before = 0, after = 0;

	for (unsigned int round = 0; round < rounds; round++) {
		struct memfs *fs = memfs_new(seed + round);
		struct walk w = { .rand = (seed + round) | 1 };
		struct vr_store *st;
		struct vr_info info;
		struct vr_point p;
		struct model m;

		model_init(&m, seed + round);
		w.m = &m;
		ok(vr_store_create(&fs->io, m.group, "group", &why));
		st = open_store(fs);
		while (!m.whole)
			feed(&w, st);
		ok(vr_store_set_thinning(st, EVERY_WRITE, INTERVAL, &why));
		for (int i = 0; i < 80; i++) {
			feed(&w, st);
			if (i == 20 && !m.open_stretch) {
				/* a point that is held stays, wherever it is */
				ok(vr_point_find(st, "latest", 0, &p, &why));
				strcpy(p.name, "held");
				ok(vr_mark_add(st, &p, true, &why));
				w.held = p.seq;
			}
		}
		vr_store_info(st, &info);
		before += info.journal_bytes;
		fs->before_sync = cuts ? cut_here : NULL;
		fs->arg = &w;
		maintain_all(st);
		fs->before_sync = NULL;
		check_all(st, &m, w.held, cuts ? 10 : 1, 8, &w.rand, &w.sums);
		vr_store_info(st, &info);
		after += info.journal_bytes;
		assert_int_equal(vr_store_scrub(st, add_fault, NULL, NULL, NULL, &why), 0);
		/* It goes on, is opened again, and its oldest history is applied. */
		for (int i = 0; i < 30; i++)
			feed(&w, st);
		maintain_all(st);
		vr_store_close(st);
		st = open_store(fs);
		check_all(st, &m, w.held, 4, 8, &w.rand, &w.sums);
		if (w.held)
			ok(vr_mark_remove(st, "held", &why));
		w.held = 0;
		ok(vr_store_set_retention(st, 0, 400 << 10, 0, &why));
		maintain_all(st);
		check_all(st, &m, 0, 4, 8, &w.rand, &w.sums);
		vr_store_close(st);
		memfs_free(fs);
		model_free(&m);
		all.offered += w.sums.offered;
		all.gone += w.sums.gone;
		all.cuts += w.sums.cuts;
	}
	print_message("# %u cuts; of the points that were asked for %u offered, %u thinned out; journal %llu KiB to %llu KiB\n", all.cuts,
		      all.offered, all.gone, (unsigned long long)before >> 10, (unsigned long long)after >> 10);
	assert_true(all.gone > 0);
	assert_int_equal(all.cuts > 0, cuts);
}

static void test_random(void **state)
{
	(void)state;
	run(false, full_run() ? 40 : 1);
}

static void test_cuts(void **state)
{
	(void)state;
	run(true, full_run() ? 20 : 1);
}

/* What is overwritten all the time: of each interval that is old enough, little more than one payload stays. */
static void test_room(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct walk w = { .rand = seed | 1 };
	static uint8_t buf[8192];
	struct vr_info before, after;
	struct vr_store *st;
	struct model m;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	w.m = &m;
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	st = open_store(fs);
	while (!m.whole)
		feed(&w, st);
	ok(vr_store_set_thinning(st, EVERY_WRITE, INTERVAL, &why));
	/* about 20 seconds by the source's clock */
	for (unsigned int i = 0; i < 80; i++) {
		const void *batch;
		size_t len;

		for (unsigned int n = 0; n < 10; n++) {
			struct vaio_rw_record r = { .length = htole64(sizeof(buf)) };
			uint64_t what = mem_rand(&m.rand) | 2;

			model_fill(buf, sizeof(buf), what);
			assert_int_equal(model_put(&m, &r, VAIO_RW_R_WRITE, 0, buf, sizeof(buf), what, NULL), 0);
		}
		batch = vr_builder_finish(m.builder, &len);
		append(&w, st, batch, len);
	}
	vr_store_info(st, &before);
	maintain_all(st);
	vr_store_info(st, &after);
	print_message("# journal %llu KiB to %llu KiB\n", (unsigned long long)before.journal_bytes >> 10,
		      (unsigned long long)after.journal_bytes >> 10);
	assert_true(after.journal_bytes < before.journal_bytes / 4 * 3);
	check_all(st, &m, 0, 4, 8, &w.rand, &w.sums);
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

/* By time: the point before; by words: what is there; settings that would break what was thinned out. */
static void test_asking(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct walk w = { .rand = seed | 1 };
	struct vr_store *st;
	struct vr_point p;
	struct model m;
	unsigned int asked = 0;
	char text[64];

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	w.m = &m;
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	st = open_store(fs);
	assert_int_equal(vr_store_set_thinning(st, EVERY_WRITE, 0, &why), -EINVAL);
	ok(vr_store_set_thinning(st, EVERY_WRITE, INTERVAL, &why));
	for (int i = 0; i < 150; i++)
		feed(&w, st);
	maintain_all(st);
	for (size_t i = 0; i < m.nr; i += 83) {
		uint64_t last = 0, want = m.records[i].time_ns / MODEL_SECOND;

		snprintf(text, sizeof(text), "@%llu", (unsigned long long)want);
		if (vr_point_find(st, text, 0, &p, &why))
			continue;
		/* the newest that is offered and not above the second's end */
		for (size_t j = 0; j < m.nr && m.records[j].time_ns < (want + 1) * MODEL_SECOND; j++) {
			struct vr_point q;
			char seq[32];

			snprintf(seq, sizeof(seq), "seq:%llu", (unsigned long long)m.records[j].seq);
			if (!vr_point_find(st, seq, 0, &q, &why))
				last = m.records[j].seq;
		}
		assert_int_equal(p.seq, last);
		asked++;
	}
	assert_true(asked > 3);
	assert_int_equal(vr_store_set_thinning(st, EVERY_WRITE, INTERVAL + 1, &why), -EINVAL);
	assert_non_null(strstr(why.text, "multiple"));
	ok(vr_store_set_thinning(st, EVERY_WRITE, 2 * INTERVAL, &why));
	ok(vr_store_set_thinning(st, 0, 0, &why));
	vr_store_close(st);
	st = open_store(fs);
	vr_store_close(st);
	memfs_free(fs);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_room), cmocka_unit_test(test_asking), cmocka_unit_test(test_cuts),
	};

	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
