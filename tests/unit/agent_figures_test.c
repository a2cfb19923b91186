// SPDX-License-Identifier: GPL-2.0
/*
 * What a group's process of vaio-agent makes of the kernel's figures and of its clock, up to what vaioctl says of it: how far a
 * resync is, the age of what would be lost, and the rate that it may send with; and whose the differences are that the replica
 * tells of, and when one that refuses is asked again. Clock, kernel and connection are the test's.
 */
#include <endian.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "unit.h"
#include "dice.h"

#include "../../userspace/agent/worker.h"

static uint64_t clock_ns = 100000 * SECOND;

static int test_clock(struct timespec *t)
{
	*t = (struct timespec){ .tv_sec = (time_t)(clock_ns / SECOND), .tv_nsec = (long)(clock_ns % SECOND) };
	return 0;
}

#define clock_gettime(id, t)	test_clock(t)
#include "../../userspace/agent/util.c"
#undef clock_gettime
#include "../../userspace/agent/session.c"
#include "../../userspace/agent/worker.c"
#include "../../userspace/agent/control.c"

#define MIB		(1ULL << 20)
#define GIB		(1ULL << 30)
#define PAYLOAD		65536U

struct config config;
struct child *children;

static struct worker *w;
static struct child *child;
static struct group_config group_config;
static char output[65536];

static unsigned int said;	/* lines */

void say(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
	said++;
}

struct child *child_find(const char *name)
{
	return !strcmp(name, child->name) ? child : NULL;
}

/* --- the kernel: a ring that is never empty, two disks ------------------------------------------ */

static struct vaio_repl_desc desc[4096];	/* of figures */
static uint64_t published, next_offset;
static struct vaio_repl_member disks[2];
static unsigned int nr_disks;
static uint8_t payload[PAYLOAD];
static uint16_t writes_to;		/* the index of the disk that is written */

uint64_t ring_published(const struct ring *r) { (void)r; return published; }
uint64_t ring_epoch(const struct ring *r) { (void)r; return 1; }
uint64_t ring_changes(const struct ring *r) { (void)r; return 0; }
bool ring_tracking(const struct ring *r) { (void)r; return false; }
bool ring_sleep(struct ring *r, uint64_t seq, uint64_t epoch) { (void)r; (void)seq; (void)epoch; return true; }
int ring_alive(struct ring *r) { (void)r; return 0; }
int ring_stop(struct ring *r, uint64_t epoch) { (void)r; (void)epoch; return 0; }
int ring_durable(struct ring *r, uint64_t epoch, uint64_t upto) { (void)r; (void)epoch; (void)upto; return 0; }
int ring_mark(struct ring *r, const char *name, uint64_t *seq) { (void)r; (void)name; (void)seq; return -ENOSPC; }

int ring_bind(struct ring *r, const char *group, struct vr_err *e)
{
	(void)r;
	(void)group;
	return vr_fail(e, -ENOENT, "none");
}

int ring_start(struct ring *r, uint64_t epoch, const struct vaio_repl_member *m, uint16_t mode, uint64_t *seq)
{
	(void)r; (void)epoch; (void)m; (void)mode; (void)seq;
	return -EAGAIN;
}

static uint64_t marked[2];	/* bytes of each disk */

int ring_mark_dirty(struct ring *r, uint16_t member, const struct vaio_rw_range *range, unsigned int n)
{
	(void)r;
	if (member >= nr_disks)
		return -ENODEV;
	while (n--)
		marked[member] += le64toh(range[n].length);
	return 0;
}

int ring_members(struct ring *r, struct vaio_repl_member m[VAIO_REPL_MEMBERS], unsigned int *n)
{
	(void)r;
	memcpy(m, disks, nr_disks * sizeof(*m));
	*n = nr_disks;
	return 0;
}

int ring_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **p, struct vr_err *e)
{
	(void)r;
	(void)e;
	memset(d, 0, sizeof(*d));
	d->seq = seq;
	d->mono_ns = d->real_ns = clock_ns;
	d->type = seq == 1 ? VAIO_REPL_RESYNC_BEGIN : seq == 2 ? VAIO_REPL_MEMBER_UP : seq == 3 ? VAIO_REPL_RESYNC_END : VAIO_REPL_WRITE;
	if (d->type != VAIO_REPL_MEMBER_UP && d->type != VAIO_REPL_WRITE)
		d->member = 0xffff;
	if (d->type == VAIO_REPL_MEMBER_UP)
		d->aux = GIB;
	if (d->type == VAIO_REPL_WRITE) {
		d->offset = next_offset = (next_offset + PAYLOAD) % GIB;
		d->length = d->data_len = PAYLOAD;
		d->member = writes_to;
	}
	*p = payload;
	return 0;
}

/* --- the connection: takes all ---------------------------------------------------------------------- */

static uint64_t sent;
static unsigned int tries;	/* to connect */

bool link_wants(const struct link *l) { return l->state == LINK_UP; }
void link_flush(struct link *l) { (void)l; }
void link_close(struct link *l) { l->state = LINK_DOWN; }
int link_tick(struct link *l, struct vr_err *e) { (void)l; (void)e; return 0; }
int link_init(struct link *l, struct io_uring *uring, struct vr_err *e) { (void)l; (void)uring; (void)e; return 0; }
int link_credentials(struct link *l, const char *pki, struct vr_err *e) { (void)l; (void)pki; (void)e; return 0; }

void link_connect(struct link *l, const char *host, const char *port)
{
	(void)host;
	(void)port;
	l->state = LINK_RESOLVING;
	tries++;
}

int link_completion(struct link *l, const struct io_uring_cqe *cqe, struct vr_err *e)
{
	(void)l; (void)cqe; (void)e;
	return 0;
}

int link_receive(struct link *l, uint16_t *type, size_t *len, struct vr_err *e)
{
	(void)l; (void)type; (void)len; (void)e;
	return 0;
}

int link_send(struct link *l, uint16_t type, const void *p, size_t len, struct vr_err *e)
{
	(void)l; (void)type; (void)p; (void)len; (void)e;
	return 0;
}

int link_send_batch(struct link *l, struct vr_builder *builder, uint8_t *batch, size_t len, struct vr_err *e)
{
	(void)l; (void)builder; (void)batch; (void)e;
	sent += len;
	return 0;
}

/* --- the rate cap ---------------------------------------------------------------------------------------- */

/* The replica acknowledges all at once. */
static void acknowledge_all(void)
{
	uint64_t last = w->stream.history.now.last_seq;
	struct vr_err e;

	if (durable(w, last, last, &e))
		fail_msg("%s", e.text);
}

/* What is sent in @seconds when there is always something, and the loop turns when it likes; with tens of milliseconds at most between. */
static uint64_t send_for(unsigned int seconds)
{
	uint64_t until = clock_ns + seconds * SECOND, before = sent;
	struct vr_err e = { "" };

	while (clock_ns < until) {
		if (session_pump(w, &e) < 0)
			fail_msg("%s", e.text);
		acknowledge_all();
		published = w->stream.position + 500;
		clock_ns += 1 + dice(dice(4) ? 2000000 : 90000000);
	}
	return sent - before;
}

static void test_rate(void **state)
{
	static const uint64_t rates[] = { 65536, 1000000, 4 * MIB, 300 * MIB };
	uint64_t got, batch = BATCH_BYTES + 2 * PAYLOAD;

	(void)state;
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		unsigned int seconds = rates[i] < MIB ? 200 : rates[i] < 100 * MIB ? 20 : 5;

		group_config.rate = rates[i];
		send_for(1);	/* what was saved up, or is owed */
		got = send_for(seconds);
		printf("# %llu bytes a second: %llu in %u s\n", (unsigned long long)rates[i], (unsigned long long)got, seconds);
		/* a fifth of a second was saved at most, and the last batch is owed */
		assert_true(got <= rates[i] * seconds + rates[i] / 5 + batch);
		assert_true(got + batch >= rates[i] * seconds * 99 / 100);
		/* who was silent has no more than that either */
		acknowledge_all();
		clock_ns += 1000 * SECOND;
		got = send_for(1);
		assert_true(got <= rates[i] + rates[i] / 5 + rates[i] / 10 + batch);
	}
	group_config.rate = 0;
	assert_true(send_for(1) > 4 * rates[2]);
}

/* --- differences -------------------------------------------------------------------------------------------- */

/* The replica compared 4 KiB of the disk that has @number on the wire: they differ. */
static void replica_differs(uint16_t number)
{
	struct { struct vaio_rw_diff d; struct vaio_rw_range range; } m = {
		.d = { .seq = htole64(w->stream.history.now.last_seq), .member = htole16(number), .nr_ranges = htole32(1) },
		.range = { .length = htole64(4096) },
	};
	struct vr_err e;

	if (diff(w, &m.d, &e))
		fail_msg("%s", e.text);
}

/* Whatever begins or leaves while a disk is compared: what differs is marked, there and nowhere else. */
static void test_differences(void **state)
{
	struct vr_err e;

	(void)state;
	nr_disks = 2;
	send_for(1);
	replica_differs(0);
	assert_int_equal(marked[0], 4096);
	/* another one begins: no record of the first one is given out from here to its difference */
	disks[0].flags = VAIO_REPL_M_CAPTURED;
	assert_int_equal(start_disks(w, &e), 0);
	replica_differs(0);
	assert_int_equal(marked[0], 2 * 4096);
	assert_int_equal(marked[1], 0);
	/* it left and came back at the second index, and nobody has the first one */
	memcpy(w->run->disk[1].uuid, disks[0].uuid, sizeof(disks[0].uuid));
	name_disks(w);
	writes_to = 1;
	send_for(1);
	writes_to = 0;
	replica_differs(0);
	assert_int_equal(marked[0], 2 * 4096);
	assert_int_equal(marked[1], 4096);
	/* and a disk that the replica never had has the first one */
	w->run->disk[0].uuid[0] = 3;
	memset(w->run->disk[1].uuid, 0, sizeof(w->run->disk[1].uuid));
	name_disks(w);
	replica_differs(0);
	assert_int_equal(marked[0], 2 * 4096);
	assert_int_equal(marked[1], 4096);
	memcpy(w->run->disk[0].uuid, disks[0].uuid, sizeof(disks[0].uuid));
	name_disks(w);
	disks[0].flags = 0;
	w->stream.resync_kind = VAIO_RW_S_INITIAL;
}

/* --- figures ------------------------------------------------------------------------------------------------ */

/* @ms later; the figures are as the process tells them. */
static void pass(unsigned int ms)
{
	clock_ns += ms * (SECOND / 1000);
	count(w, clock_ns);
	publish(w);
}

static json_t *status(void)
{
	json_t *j = do_status(NULL), *g = json_incref(json_array_get(json_object_get(j, "groups"), 0));

	json_decref(j);
	assert_non_null(g);
	return g;
}

/* The resync as status tells it; @left_ms < 0: nobody knows. */
static void resync_is(const char *kind, uint64_t total, uint64_t left, uint64_t rate, int64_t left_ms)
{
	json_t *g = status(), *r = json_object_get(g, "resync"), *ms = json_object_get(r, "left_ms");

	assert_string_equal(json_string_value(json_object_get(r, "kind")), kind);
	assert_int_equal(json_integer_value(json_object_get(r, "total_bytes")), total);
	assert_int_equal(json_integer_value(json_object_get(r, "left_bytes")), left);
	assert_int_equal(json_integer_value(json_object_get(r, "rate")), rate);
	assert_true(left_ms < 0 ? json_is_null(ms) : json_is_integer(ms));
	if (left_ms >= 0)
		assert_int_equal(json_integer_value(ms), left_ms);
	json_decref(g);
}

static void test_progress(void **state)
{
	uint64_t rate, before;
	json_t *g;

	(void)state;
	nr_disks = 2;
	w->complete_seq = 0;
	w->durable_seq = 5;
	disks[0].flags = VAIO_REPL_M_CAPTURED;
	disks[0].dirty = GIB;
	/* of one that is not being sent */
	disks[1].dirty = 5 * GIB;
	pass(1000);
	resync_is("initial", GIB, GIB, 0, -1);
	disks[0].dirty -= 64 * MIB;
	pass(1000);
	resync_is("initial", GIB, 960 * MIB, 64 * MIB, 15000);
	/* a second is not always one */
	disks[0].dirty -= 128 * MIB;
	pass(2000);
	resync_is("initial", GIB, 832 * MIB, 64 * MIB, 13000);
	disks[0].dirty -= 32 * MIB;
	pass(1000);
	resync_is("initial", GIB, 800 * MIB, 60 * MIB, 13333);
	/* what is new to be sent is no progress, and nothing is below zero */
	disks[0].dirty += 8 * MIB;
	pass(1000);
	resync_is("initial", GIB, 808 * MIB, 60 * MIB * 7 / 8, 808 * MIB * 1000 / (60 * MIB * 7 / 8));
	/* none for some seconds: it takes longer; for more: nobody knows */
	rate = w->resync_rate;
	for (int i = 0; i < 8; i++) {
		pass(1000);
		assert_true(w->resync_rate && w->resync_rate < rate);
		rate = w->resync_rate;
	}
	pass(1000);
	resync_is("initial", GIB, 808 * MIB, 0, -1);
	pass(100000);
	resync_is("initial", GIB, 808 * MIB, 0, -1);
	disks[0].dirty -= 8 * MIB;
	pass(1000);
	resync_is("initial", GIB, 800 * MIB, 8 * MIB, 100000);
	/* so slow that it does not get there */
	disks[0].dirty = 1ULL << 60;
	pass(20000);
	disks[0].dirty -= 1;
	pass(1000);
	resync_is("initial", 1ULL << 60, (1ULL << 60) - 1, 1, -1);
	disks[0].dirty = 0;
	pass(1000);
	resync_is("initial", 0, 0, 0, -1);
	/* a comparison that finds some */
	w->complete_seq = 2;
	w->stream.resync_kind = VAIO_RW_S_COMPARE;
	disks[0].to_check = 512 * MIB;
	pass(1000);
	resync_is("compare", 512 * MIB, 512 * MIB, 0, -1);
	disks[0].to_check -= 33 * MIB;
	disks[0].dirty += MIB;
	pass(1000);
	resync_is("compare", 512 * MIB, 480 * MIB, 32 * MIB, 15000);
	w->stream.resync_kind = VAIO_RW_S_BITMAP;
	disks[0].to_check = 0;
	disks[0].dirty = 448 * MIB;
	pass(1000);
	resync_is("bitmap", 512 * MIB, 448 * MIB, 32 * MIB, 14000);
	/* done */
	disks[0].dirty = 0;
	w->complete_seq = w->durable_seq;
	pass(1000);
	g = status();
	assert_string_equal(json_string_value(json_object_get(g, "state")), "replicating");
	assert_true(json_is_null(json_object_get(g, "resync")));
	json_decref(g);
	/* the next one begins with figures of its own */
	w->complete_seq = 2;
	disks[0].dirty = 10 * MIB;
	pass(1000);
	resync_is("bitmap", 10 * MIB, 10 * MIB, 0, -1);
	disks[0].dirty = 0;
	pass(1000);
	/* what was sent, by the second */
	w->rate = 0;
	w->rate_ns = 0;
	pass(1000);
	for (int i = 0; i < 40; i++) {
		w->sent_bytes += 30 * MIB;
		pass(1500);
	}
	g = status();
	assert_true(json_integer_value(json_object_get(g, "rate")) > (json_int_t)(199 * MIB / 10) &&
		    json_integer_value(json_object_get(g, "rate")) <= (json_int_t)(20 * MIB));
	json_decref(g);
	for (int i = 0; i < 60; i++)
		pass(1000);
	g = status();
	assert_int_equal(json_integer_value(json_object_get(g, "rate")), 0);
	json_decref(g);
	/* backlog and age, of what is published and not durable */
	before = published;
	published = w->durable_ring + 3;
	w->run->rpo_worst_ns = 0;
	w->complete_seq = w->durable_seq;
	for (uint64_t n = w->durable_ring + 1; n <= published; n++)
		desc[n & (w->ring.bound.nr_desc - 1)] = (struct vaio_repl_desc){ .data_len = 4096, .mono_ns = clock_ns };
	pass(2500);
	g = status();
	assert_int_equal(json_integer_value(json_object_get(g, "backlog_bytes")), 3 * 4096);
	assert_int_equal(json_integer_value(json_object_get(g, "backlog_records")), 3);
	assert_int_equal(json_integer_value(json_object_get(g, "rpo_ms")), 2500);
	json_decref(g);
	w->durable_ring = published;
	pass(1000);
	g = status();
	assert_int_equal(json_integer_value(json_object_get(g, "backlog_bytes")), 0);
	assert_int_equal(json_integer_value(json_object_get(g, "rpo_ms")), 0);
	assert_int_equal(json_integer_value(json_object_get(g, "rpo_worst_ms")), 2500);
	json_decref(g);
	published = before;
}

/* --- refusals --------------------------------------------------------------------------------------------------- */

/* The connection is there, and the replica refuses in answer to HELLO; "": it does not answer. */
static void replica_says(const char *text)
{
	struct vaio_rw_end end = { .code = htole32(VAIO_RW_END_PROMOTED), .retry_ms = ~0U };
	struct vr_err e = { "no WELCOME" };
	int err = -ETIMEDOUT;

	w->link.state = LINK_UP;
	if (*text) {
		strcpy((char *)end.text, text);
		w->link.message = (void *)&end;
		err = session_message(w, VAIO_RW_END, sizeof(end), &e);
	}
	drop(w, err, &e);
	w->link.message = NULL;
}

/* The loop turns for @seconds, or until there is another try. */
static bool tries_within(unsigned int seconds)
{
	uint64_t until = clock_ns + seconds * SECOND;
	unsigned int before = tries;

	while (clock_ns < until && tries == before) {
		tick(w);
		clock_ns += TICK_NS;
	}
	return tries != before;
}

static const char *state_told(void)
{
	static char text[32];
	json_t *g = status();

	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(g, "state")));
	json_decref(g);
	return text;
}

/* Whoever was refused hears within a minute that he is not any more, does not ask all the time, and says it once. */
static void test_refused_again(void **state)
{
	unsigned int before;

	(void)state;
	replica_says("taken into use");
	before = said;
	for (int i = 0; i < 5; i++) {
		assert_false(tries_within(30));
		assert_string_equal(state_told(), "refused");
		assert_true(tries_within(31));
		/* nothing is known yet */
		publish(w);
		assert_string_equal(state_told(), "refused");
		replica_says("taken into use");
	}
	assert_int_equal(said, before);
	/* for another reason now */
	assert_true(tries_within(61));
	replica_says("went apart");
	assert_int_equal(said, before + 1);
	/* whatever it says, the status is told */
	assert_true(tries_within(61));
	replica_says("caf\xe9");
	publish(w);
	assert_string_equal(state_told(), "refused");
	assert_true(tries_within(61));
	replica_says("went apart");
	before = said - 1;
	/* it is not there: that is no refusal, and tried as often as ever */
	assert_true(tries_within(61));
	replica_says("");
	publish(w);
	assert_string_equal(state_told(), "connecting");
	assert_int_equal(said, before + 2);
	assert_true(tries_within(40));
	replica_says("went apart");
	assert_int_equal(said, before + 3);
	assert_false(tries_within(30));
	assert_string_equal(state_told(), "refused");
}

/* --- what vaioctl says ------------------------------------------------------------------------------------------ */

/* vaioctl with the words, while the agent's socket is served as its parent does. */
__attribute__((format(printf, 1, 2)))
static void ctl(const char *fmt, ...)
{
	char words[256], cmd[PATH_MAX + 512], exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	pid_t server;
	va_list ap;
	size_t n;
	FILE *f;
	int rc;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	exe[len > 0 ? len : 0] = 0;
	*strrchr(exe, '/') = 0;
	server = fork();
	if (!server)
		for (;;) {
			struct pollfd p[64];

			poll(p, (nfds_t)control_poll(p, 64), 1000);
			control_run();
		}
	snprintf(cmd, sizeof(cmd), "cd %s && exec %s/../bin/vaioctl %s --agent sock </dev/null >out 2>&1", scratch, exe, words);
	rc = system(cmd);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	f = fopen(in_scratch("out"), "r");
	assert_non_null(f);
	n = fread(output, 1, sizeof(output) - 1, f);
	fclose(f);
	output[n] = 0;
	if (rc)
		fail_msg("%s: status %d: %s", words, rc, output);
}

static void says(const char *words)
{
	if (!strstr(output, words))
		fail_msg("'%s' is not in: %s", words, output);
}

/* A figure of the group, of status and of top. */
static void figure_is(const char *key, int64_t wanted)
{
	static const char *const commands[] = { "replica status g --json", "top --once --interval 10ms --json" };

	for (int i = 0; i < 2; i++) {
		json_t *j, *g, *v;

		ctl("%s", commands[i]);
		j = json_loads(output, 0, NULL);
		if (!j)
			fail_msg("no JSON: %s", output);
		g = i ? json_array_get(json_object_get(j, "groups"), 0) : j;
		v = json_object_get(g, key);
		if (!v || (wanted < 0 ? !json_is_null(v) : !json_is_integer(v) || json_integer_value(v) != wanted))
			fail_msg("%s: %s is not %lld: %s", commands[i], key, (long long)wanted, output);
		json_decref(j);
	}
}

static void test_told(void **state)
{
	(void)state;
	w->durable_ring = published;
	w->complete_seq = 0;
	w->run->rpo_worst_ns = 0;
	w->stream.resync_kind = VAIO_RW_S_INITIAL;
	disks[0].dirty = GIB;
	pass(1000);
	disks[0].dirty -= 64 * MIB;
	pass(1000);
	ctl("replica status g");
	says("initial, 6 % of 1 GiB, 64 MiB/s, 15s left");
	/* nothing is a point yet */
	says("-, worst -");
	figure_is("rpo_ns", -1);
	figure_is("rpo_worst_ns", -1);
	pass(20000);
	ctl("replica status g");
	says("initial, 6 % of 1 GiB, 0 B/s, ? left");
	disks[0].dirty = 0;
	w->complete_seq = w->durable_seq;
	w->run->gap_since_ns = clock_ns;
	pass(3000);
	figure_is("rpo_ns", 3000000000);
	figure_is("rpo_worst_ns", 3000000000);
	ctl("replica status g");
	says("3s, worst 3s");
	/* the process is gone: what it said last would look better each second */
	w->run->gap_since_ns = 0;
	w->stream.resync_kind = VAIO_RW_S_BITMAP;
	w->complete_seq = 2;
	disks[0].dirty = GIB;
	pass(1000);
	figure_is("rpo_ns", 0);
	child->pid = 0;
	figure_is("rpo_ns", -1);
	figure_is("rpo_worst_ns", -1);
	figure_is("resync", -1);
	ctl("replica status g");
	says("g  starting");
	says("-, worst -");
	ctl("replica list");
	says("g                    source   starting           2        -        -");
	ctl("top --once --interval 10ms");
	says("g                    source   starting           2        -        -");
	/* another one was started, and has said nothing yet */
	child->pid = getpid();
	memset(&child->shared->figures, 0, sizeof(child->shared->figures));
	figure_is("rpo_ns", -1);
	figure_is("rpo_worst_ns", -1);
	figure_is("resync", -1);
	/* it has; it has never had a connection */
	w->session = SESSION_NONE;
	w->link.state = LINK_DOWN;
	w->stream.live = false;
	w->complete_seq = 0;
	publish(w);
	figure_is("rpo_ns", -1);
	ctl("replica list");
	says("g                    source   connecting         2        -        -");
}

/* --- setting up ---------------------------------------------------------------------------------------------------- */

static int begin_test(void **state)
{
	static const struct vr_generation first = { .id = { 7 }, .counter = 1, .first_seq = 1, .time_ns = 1 };
	static const uint8_t group[16] = { 0x67 };
	struct vaio_rw_welcome welcome = { .flags = htole32(VAIO_RW_W_EMPTY) };
	struct vr_err e = { "" };

	if (make_scratch(state))
		return -1;
	for (unsigned int i = 0; i < PAYLOAD; i++)
		payload[i] = (uint8_t)dice(256);
	config.state = config.run = scratch;
	config.hostname = "test";
	config.socket = strdup(in_scratch("sock"));
	w = calloc(1, sizeof(*w));
	child = calloc(1, sizeof(*child));
	child->shared = calloc(1, sizeof(*child->shared));
	children = child;
	strcpy(child->name, "g");
	strcpy(child->target, "replica:7790");
	strcpy(child->mode, "async");
	child->pid = getpid();
	child->requests = -1;
	w->name = "g";
	w->shared = child->shared;
	w->config = &group_config;
	w->run = calloc(1, sizeof(*w->run));
	w->run->disk[0].uuid[0] = 1;
	w->requests = -1;
	w->exit = -1;
	w->ring.bound.nr_desc = 4096;
	w->ring.desc = desc;
	memcpy(w->group.uuid, group, sizeof(group));
	w->group.generation[0] = first;
	w->group.nr_generations = 1;
	w->group.generation_used = true;
	w->stream.map = &w->run->map;
	w->stream.disk[0] = (struct stream_disk){ .uuid = { 1 }, .vm = { 1 }, .bytes = GIB, .block_size = 512, .number = -1, .name = "d0" };
	w->stream.gap_reason = VAIO_RW_GAP_FULL;
	w->stream.resync_kind = VAIO_RW_S_INITIAL;
	stream_welcome(&w->stream, &welcome);
	w->stream.generation[0] = first;
	w->stream.nr_generations = 1;
	stream_start(&w->stream, 1, 0);
	w->window = 1ULL << 40;
	w->max_records = BATCH_RECORDS;
	w->builder = vr_builder_new(group, BATCH_BYTES, 0);
	w->session = SESSION_OPEN;
	w->link.state = LINK_UP;
	w->open_ns = clock_ns;
	for (int i = 0; i < 2; i++) {
		disks[i].id = (uint16_t)i;
		disks[i].uuid[0] = (uint8_t)(i + 1);
		disks[i].bytes = GIB;
		sprintf(disks[i].name, "d%d", i);
	}
	published = 500;
	return control_open(&e);
}

static int end_test(void **state)
{
	control_close();
	vr_builder_free(w->builder);
	free(w->run);
	free(w);
	free(child->shared);
	free(child);
	free((char *)config.socket);
	return remove_scratch(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_refused_again),
	};

	dice_begin();
	return cmocka_run_group_tests(tests, begin_test, end_test);
}
