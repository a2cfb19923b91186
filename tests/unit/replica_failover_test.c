// SPDX-License-Identifier: GPL-2.0
/* Failover of a store against a model of its states, with a power cut at each sync. */

#include "store_test.h"

/* What the model allows, by itself: to 0 means refused. */
static uint32_t model_to(uint32_t from, enum vr_failover_step step)
{
	switch (step) {
	case VR_NEW_SOURCE:
		break;
	case VR_FAILOVER:
		return from == VAIO_RS_READY ? VAIO_RS_FAILOVER : 0;
	case VR_UNDO:
		return from == VAIO_RS_FAILOVER ? VAIO_RS_READY : from == VAIO_RS_FAILBACK ? VAIO_RS_FAILOVER : 0;
	case VR_PERMANENT:
		return from == VAIO_RS_FAILOVER || from == VAIO_RS_PERMANENT ? VAIO_RS_PERMANENT : 0;
	case VR_FAILBACK:
		return from == VAIO_RS_FAILOVER ? VAIO_RS_FAILBACK : 0;
	case VR_COMMIT:
		return from == VAIO_RS_FAILBACK ? VAIO_RS_READY : 0;
	}
	return 0;
}

struct walk {
	struct vr_store *st;
	struct model *m;
	uint64_t rand;
	uint32_t state, to;		/* of the step under way */
	enum vr_failover_step step;
	uint64_t generation, last;	/* before the step */
	uint64_t held;
	unsigned int cuts;
};

static struct vr_store *open_store(struct memfs *fs)
{
	struct vr_store *st = NULL;

	ok(vr_store_open(&fs->io, &small, &st, &why));
	return st;
}

static bool holds(struct vr_store *st, uint64_t *seq)
{
	struct vr_point p;
	int rc = vr_point_find(st, "name:" VR_FAILOVER_MARK, 0, &p, &why);

	if (rc) {
		assert_int_equal(rc, -ENOENT);
		return false;
	}
	assert_true(p.pinned);
	*seq = p.seq;
	return true;
}

/* Whatever state a store is in: what goes with it. */
static void check_state(struct vr_store *st, uint32_t state, uint64_t held)
{
	struct vr_info info;
	uint64_t seq = 0;

	vr_store_info(st, &info);
	assert_int_equal(info.failover, state);
	if (state == VAIO_RS_PERMANENT)
		assert_int_equal(info.role, VAIO_RS_PROMOTED);
	else
		assert_true(info.role == VAIO_RS_REPLICA || info.role == VAIO_RS_RETURNED);
	assert_int_equal(holds(st, &seq), state != VAIO_RS_READY);
	if (state != VAIO_RS_READY)
		assert_int_equal(seq, held);
}

/* A batch of the source: taken only in the state ready, and by a generation that it knows. */
static void check_source(struct vr_store *st, struct walk *w, bool forked)
{
	struct vr_info info;
	struct model copy = *w->m;
	struct vaio_rw_record r = { .offset = 0, .length = htole64(4096) };
	static uint8_t data[4096];
	const void *batch;
	size_t len;
	int rc;

	/* What the source would go on with: it does not know of records that were made here. */
	copy.builder = vr_builder_new(copy.group, 1 << 20, 1);
	copy.records = NULL;
	copy.nr = copy.room = 0;
	copy.next_seq = w->last + 1;
	copy.generation = w->generation;
	assert_int_equal(model_put(&copy, &r, VAIO_RW_R_WRITE, 0, data, 4096, 0, NULL), 0);
	batch = vr_builder_finish(copy.builder, &len);
	vr_store_info(st, &info);
	rc = vr_store_append(st, batch, len, &why);
	if (info.failover != VAIO_RS_READY)
		assert_int_equal(rc, -EPERM);
	else if (forked)
		assert_int_equal(rc, -EPROTO);
	else
		assert_int_equal(rc, 0);
	model_free(&copy);
}

static void check_cut(struct walk *w, struct memfs *cut)
{
	struct vr_store *st = open_store(cut);
	struct vr_info info;
	bool forked;

	vr_store_info(st, &info);
	/* Nothing that was acknowledged is gone; what was added is a generation and a gap. */
	assert_true(info.durable.last_seq >= w->last && info.durable.last_seq <= w->last + 2);
	forked = info.durable.last_seq > w->last;
	if (forked)
		assert_int_equal(info.generation.counter, w->generation + 1);
	if (info.failover == VAIO_RS_COMMIT)
		assert_int_equal(w->step, VR_COMMIT);
	else
		assert_true(info.failover == w->state || info.failover == w->to);
	/* Split brain: a store that is ready after a commit never takes the old history. */
	if (w->step == VR_COMMIT && info.failover == VAIO_RS_READY) {
		assert_int_equal(info.durable.last_seq, w->last + 2);
		assert_true(info.durable.stretch & VAIO_RS_S_GAP);
	}
	if (forked)
		assert_true(w->step == VR_PERMANENT || w->step == VR_COMMIT);
	check_state(st, info.failover, w->held);
	/* The same step again brings it to its end. */
	if (info.failover == VAIO_RS_COMMIT) {
		assert_int_equal(vr_store_failover(st, VR_UNDO, NULL, &why), -EBUSY);
		ok(vr_store_failover(st, VR_COMMIT, NULL, &why));
		vr_store_info(st, &info);
		check_state(st, VAIO_RS_READY, 0);
		assert_true(info.durable.stretch & VAIO_RS_S_GAP);
		assert_true(info.generation.counter > w->generation);
		forked = true;
	}
	check_source(st, w, forked);
	vr_store_close(st);
}

static void cut_here(struct memfs *fs, void *arg)
{
	struct walk *w = arg;

	for (int how = 0; how < 5; how++) {
		struct memfs *cut = memfs_cut(fs, how, &w->rand);

		check_cut(w, cut);
		memfs_free(cut);
		w->cuts++;
	}
}

static void feed(struct walk *w, unsigned int batches)
{
	for (unsigned int i = 0; i < batches || !w->m->whole; i++) {
		size_t len;
		const void *batch = model_batch(w->m, 10, &len);

		ok(vr_store_append(w->st, batch, len, &why));
	}
	ok(vr_store_commit(w->st, &why));
}

static void test_walk(void **state)
{
	bool full = getenv("VAIO_FULL") && *getenv("VAIO_FULL");
	unsigned int cuts = 0, steps[VR_COMMIT + 1] = { 0 };

	(void)state;
	for (int round = 0; round < (full ? 60 : 14); round++) {
		struct memfs *fs = memfs_new(seed + (uint64_t)round);
		struct walk w = { .rand = (seed + (uint64_t)round) | 1, .state = VAIO_RS_READY };
		struct model m;

		model_init(&m, seed + (uint64_t)round);
		m.stretches = false;
		w.m = &m;
		ok(vr_store_create(&fs->io, m.group, "group", &why));
		w.st = open_store(fs);
		feed(&w, 20);
		fs->arg = &w;
		for (int i = 0; i < 12 && w.state != VAIO_RS_PERMANENT; i++) {
			struct vr_point p = { 0 };
			struct vr_info info;
			int rc;

			w.step = (enum vr_failover_step)(mem_rand(&w.rand) % 5);
			if (w.step == VR_PERMANENT && mem_rand(&w.rand) % 2)
				w.step = VR_FAILBACK;
			w.to = model_to(w.state, w.step);
			vr_store_info(w.st, &info);
			w.last = info.durable.last_seq;
			w.generation = info.generation.counter;
			if (w.step == VR_FAILOVER) {
				ok(vr_point_find(w.st, "latest", 0, &p, &why));
				if (w.to)
					w.held = p.seq;
			}
			fs->before_sync = w.to ? cut_here : NULL;
			rc = vr_store_failover(w.st, w.step, &p, &why);
			fs->before_sync = NULL;
			if (!w.to) {
				assert_int_equal(rc, -EBUSY);
				assert_non_null(strstr(why.text, "accepted from"));
				check_state(w.st, w.state, w.held);
				continue;
			}
			ok(rc);
			steps[w.step]++;
			w.state = w.to;
			check_state(w.st, w.state, w.held);
			if (w.step == VR_COMMIT)
				break;	/* the model's source does not know the generation */
			if (w.state == VAIO_RS_READY)
				feed(&w, 3);
		}
		vr_store_close(w.st);
		memfs_free(fs);
		model_free(&m);
		cuts += w.cuts;
	}
	print_message("# %u cuts; failover %u, undo %u, permanent %u, failback %u, commit %u\n", cuts, steps[VR_FAILOVER],
		      steps[VR_UNDO], steps[VR_PERMANENT], steps[VR_FAILBACK], steps[VR_COMMIT]);
}

static int append_one(struct walk *w, unsigned int type, uint32_t kind)
{
	struct vaio_rw_resync s = { .kind = htole32(kind), .bytes = htole64(4096) };
	const void *batch;
	size_t len;

	assert_int_equal(model_group(w->m, type, kind ? &s : NULL, kind ? sizeof(s) : 0, NULL), 0);
	batch = vr_builder_finish(w->m->builder, &len);
	return vr_store_append(w->st, batch, len, &why);
}

/* After a failback the source is believed when it was compared, not before. */
static void test_returned(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct walk w = { .rand = seed | 1 };
	struct vr_info info;
	struct vr_point p;
	struct model m;
	uint64_t next;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	w.m = &m;
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	w.st = open_store(fs);
	feed(&w, 20);
	ok(vr_point_find(w.st, "latest", 0, &p, &why));
	ok(vr_store_failover(w.st, VR_FAILOVER, &p, &why));
	ok(vr_store_failover(w.st, VR_FAILBACK, NULL, &why));
	ok(vr_store_failover(w.st, VR_COMMIT, NULL, &why));
	vr_store_close(w.st);
	w.st = open_store(fs);
	vr_store_info(w.st, &info);
	assert_int_equal(info.role, VAIO_RS_RETURNED);
	m.generation = info.generation.counter;
	m.next_seq = next = info.durable.last_seq + 1;
	assert_int_equal(append_one(&w, VAIO_RW_R_RESYNC_END, 0), -EPROTO);
	assert_non_null(strstr(why.text, "compared first"));
	m.next_seq = next;
	assert_int_equal(append_one(&w, VAIO_RW_R_RESYNC_BEGIN, VAIO_RW_S_BITMAP), -EPROTO);
	assert_non_null(strstr(why.text, "not enough"));
	m.next_seq = next;
	ok(append_one(&w, VAIO_RW_R_RESYNC_BEGIN, VAIO_RW_S_COMPARE));
	ok(vr_store_commit(w.st, &why));
	/* a restart in between changes nothing */
	vr_store_close(w.st);
	w.st = open_store(fs);
	vr_store_info(w.st, &info);
	assert_int_equal(info.role, VAIO_RS_RETURNED);
	/* nor does a connection that was lost: the bitmap tells what that comparison has not looked at yet */
	ok(append_one(&w, VAIO_RW_R_RESYNC_BEGIN, VAIO_RW_S_BITMAP));
	ok(append_one(&w, VAIO_RW_R_RESYNC_END, 0));
	ok(vr_store_commit(w.st, &why));
	vr_store_info(w.st, &info);
	assert_int_equal(info.role, VAIO_RS_REPLICA);
	assert_int_equal(info.durable.complete_seq, info.durable.last_seq);
	vr_store_close(w.st);
	w.st = open_store(fs);
	vr_store_info(w.st, &info);
	assert_int_equal(info.role, VAIO_RS_REPLICA);
	vr_store_close(w.st);
	memfs_free(fs);
	model_free(&m);
}

/* The point is there for as long as it is held, however short the history that is wanted. */
static void test_held(void **state)
{
	struct memfs *fs = memfs_new(seed);
	struct walk w = { .rand = seed | 1 };
	struct vr_point p;
	struct model m;
	bool more;

	(void)state;
	model_init(&m, seed);
	m.stretches = false;
	w.m = &m;
	ok(vr_store_create(&fs->io, m.group, "group", &why));
	w.st = open_store(fs);
	feed(&w, 60);
	ok(vr_point_find(w.st, "latest", 0, &p, &why));
	feed(&w, 60);
	ok(vr_store_failover(w.st, VR_FAILOVER, &p, &why));
	ok(vr_store_set_retention(w.st, 1, 1, 0, &why));
	do
		ok(vr_store_maintain(w.st, true, &more, &why));
	while (more);
	w.held = p.seq;
	check_state(w.st, VAIO_RS_FAILOVER, p.seq);
	ok(vr_store_failover(w.st, VR_UNDO, NULL, &why));
	do
		ok(vr_store_maintain(w.st, false, &more, &why));
	while (more);
	assert_int_equal(vr_point_find(w.st, "name:" VR_FAILOVER_MARK, 0, &p, &why), -ENOENT);
	vr_store_close(w.st);
	memfs_free(fs);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_held),
	};

	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
