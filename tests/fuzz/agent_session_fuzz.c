// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes a group's session of vaio-agent: what is fed is a replica that says what it likes, whenever it likes, with a kernel
 * that goes on meanwhile. One thread; the clock, the kernel's calls and the connection are the test's, and what the agent
 * has in its hands is compared with them after each event (agent_session.h).
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sanitizer/asan_interface.h>

#include "../../userspace/agent/worker.h"
#include "agent_session.h"

#define NR_DESC		64U
#define DATA		(64U << 10)
#define DISKS		3
#define BLOCK		512U

static uint64_t clock_ns;

static int fuzz_clock(struct timespec *t)
{
	clock_ns += 1000;
	*t = (struct timespec){ .tv_sec = (time_t)(clock_ns / SECOND), .tv_nsec = (long)(clock_ns % SECOND) };
	return 0;
}

static ssize_t fuzz_random(void *p, size_t len)
{
	static uint64_t n;

	n++;
	memset(p, 0x5a, len);
	memcpy(p, &n, sizeof(n));
	return (ssize_t)len;
}

static int fuzz_call(unsigned long what, void *arg);

/* The agent as it is, from its calls to the kernel on. */
#define clock_gettime(id, t)		fuzz_clock(t)
#define getrandom(p, len, flags)	fuzz_random(p, len)
#define ioctl(fd, what, arg)		((void)(fd), fuzz_call(what, arg))
#include "../../userspace/agent/util.c"
#include "../../userspace/agent/state.c"
#include "../../userspace/agent/seqmap.c"
#include "../../userspace/agent/stream.c"
#include "../../userspace/agent/ring.c"

static int checked_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **payload, struct vr_err *e);
static int checked_commit(struct stream *s, const struct vaio_repl_desc *d, const struct stream_item *it, struct vr_err *e);

static struct vr_builder *same_builder(const uint8_t *group, size_t limit, int level);

#define ring_record		checked_record
#define stream_commit		checked_commit
#define vr_builder_new		same_builder
#define vr_builder_free(b)	((void)(b))
#include "../../userspace/agent/session.c"
#undef ring_record
#undef stream_commit
#undef vr_builder_new
#undef vr_builder_free

struct config config = { .hostname = "fuzz" };

static struct worker *w;
static struct group_config group_config;
static struct ring_state run;
static struct group_state saved;		/* its file */
static unsigned int reached[VAIO_RW_NOT_HELD + 1];	/* messages that were taken, by their type */

void say(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

/* --- the input -------------------------------------------------------------------------------- */

static const uint8_t *in, *in_end;

static uint8_t take(void)
{
	return in < in_end ? *in++ : 0;
}

static uint64_t take_bytes(int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)take() << 8 * i;
	return v;
}

static uint64_t take_number(void)
{
	uint8_t b = take();
	int by = b >> 3 < 16 ? b >> 3 : (b >> 3) - 32;
	uint64_t near = 0;

	switch (b & 7) {
	case N_DURABLE:
		near = w->durable_seq;
		break;
	case N_GIVEN:
		near = w->stream.history.now.last_seq;
		break;
	case N_HIGHEST:
		near = highest(w);
		break;
	case N_ACKED:
		near = acked(w);
		break;
	case N_GENERATION:
		near = w->group.generation[w->group.nr_generations - 1].first_seq;
		break;
	case N_MAX:
		near = VAIO_RW_MAX_SEQ;
		break;
	case N_RAW:
		return take_bytes(8);
	}
	return near + (uint64_t)(int64_t)by;
}

/* --- the kernel ----------------------------------------------------------------------------------- */

static struct fake {
	struct vaio_repl_control control;
	struct vaio_repl_hints hints;
	struct vaio_repl_desc desc[NR_DESC];
	uint64_t end[NR_DESC];		/* of a record's payload, as head counts */
	uint64_t wire[NR_DESC];		/* the number that it was given out with, in connection @by */
	uint64_t by[NR_DESC];
	uint64_t next, durable, head, tail;
	uint64_t sent;			/* last record that is in a batch, or not to be acknowledged any more */
	int64_t wall;			/* from the monotonic clock, ns */
	bool in_resync, gap, unbound;
	struct { uint8_t uuid; bool absent, captured; uint32_t flags; uint64_t bytes, dirty; } disk[DISKS];
} k;
static uint8_t *data;
static uint64_t connection, claimed, welcomed;	/* claimed: the highest number that the replica said is durable, in this one */

static void changed(void)
{
	k.control.changes++;
}

static bool put(uint8_t type, uint16_t member, uint64_t offset, uint64_t length, uint8_t fill, uint32_t len, uint64_t aux,
		uint8_t flags)
{
	uint64_t head = k.head;

	if (head % DATA + len > DATA)
		head += DATA - head % DATA;
	if (k.next - k.durable > NR_DESC - 1 || head + len - k.tail > DATA)
		return false;
	clock_ns += 1000;
	k.desc[k.next % NR_DESC] = (struct vaio_repl_desc){
		.seq = k.next, .type = type, .flags = flags, .member = member, .offset = offset, .length = length, .data = head % DATA,
		.data_len = len, .aux = aux, .mono_ns = clock_ns, .real_ns = clock_ns + (uint64_t)k.wall,
	};
	ASAN_UNPOISON_MEMORY_REGION(data + head % DATA, len);
	memset(data + head % DATA, fill, len);
	k.head = head + (len + 511) / 512 * 512;
	k.end[k.next % NR_DESC] = k.head;
	k.by[k.next % NR_DESC] = 0;
	k.control.published = k.next++;
	return true;
}

/* Up to this one records are gone: whoever looks at their bytes is found out. */
static void forget(uint64_t upto)
{
	for (; k.durable < upto; k.durable++) {
		const struct vaio_repl_desc *d = &k.desc[(k.durable + 1) % NR_DESC];

		ASAN_POISON_MEMORY_REGION(data + d->data, (d->data_len + 511) / 512 * 512);
		k.tail = k.end[(k.durable + 1) % NR_DESC];
	}
}

static void flip(void)
{
	forget(k.next - 1);
	k.sent = k.durable;
	for (int i = 0; i < DISKS; i++)
		k.disk[i].captured = false;
	k.in_resync = false;
	k.gap = true;
	k.control.state = VAIO_REPL_S_TRACKING;
	k.control.epoch++;
	changed();
}

static int call_members_of(struct vaio_repl_members *arg)
{
	struct vaio_repl_member *m = (void *)(uintptr_t)arg->ptr;

	arg->count = 0;
	for (uint16_t i = 0; i < DISKS; i++) {
		if (k.disk[i].absent)
			continue;
		memset(m, 0, sizeof(*m));
		m->uuid[0] = k.disk[i].uuid;
		m->bytes = k.disk[i].bytes;
		m->dirty = k.disk[i].dirty;
		m->block_size = 512;
		m->id = i;
		m->flags = k.disk[i].flags | (k.disk[i].captured ? VAIO_REPL_M_CAPTURED : 0);
		snprintf(m->name, sizeof(m->name), "d%u", k.disk[i].uuid);
		m++;
		arg->count++;
	}
	return 0;
}

static int call_start_of(struct vaio_repl_start *arg)
{
	bool any = k.disk[0].captured || k.disk[1].captured || k.disk[2].captured;

	assert(arg->member < DISKS && arg->mode <= VAIO_REPL_START_FULL);
	if (arg->epoch != k.control.epoch)
		return ESTALE;
	if (k.disk[arg->member].absent || arg->uuid[0] != k.disk[arg->member].uuid)
		return ENODEV;
	if (k.disk[arg->member].captured)
		return EALREADY;
	if (arg->mode == VAIO_REPL_START_BITMAP && k.disk[arg->member].flags & VAIO_REPL_M_NO_SIDECAR)
		return ENODATA;
	if (k.next - k.durable > NR_DESC - 3)
		return EAGAIN;
	arg->seq = k.next;
	if (!k.in_resync && !put(VAIO_REPL_RESYNC_BEGIN, 0xffff, 0, 0, 0, 0, k.gap, 0))
		return EAGAIN;
	if (!put(VAIO_REPL_MEMBER_UP, arg->member, 0, 0, 0, 0, k.disk[arg->member].bytes, 0))
		return EAGAIN;
	if (!any)
		k.gap = false;
	k.in_resync = k.disk[arg->member].captured = true;
	k.control.state = VAIO_REPL_S_RESYNC;
	changed();
	return 0;
}

static int call_durable_of(const struct vaio_repl_durable *arg)
{
	if (arg->epoch != k.control.epoch)
		return ESTALE;
	/* What the replica has said, and of what was sent to it. */
	assert(arg->upto < k.next && arg->upto <= k.sent);
	for (uint64_t n = k.durable + 1; n <= arg->upto; n++)
		assert(k.by[n % NR_DESC] && (k.by[n % NR_DESC] != connection || k.wire[n % NR_DESC] <= claimed));
	forget(arg->upto);
	return 0;
}

static int call_mark_dirty_of(const struct vaio_repl_mark_dirty *arg)
{
	const struct vaio_repl_range *r = (const void *)(uintptr_t)arg->ptr;

	assert(arg->count && arg->count <= VAIO_REPL_RANGES && !arg->reserved && arg->member < VAIO_REPL_MEMBERS);
	if (arg->member >= DISKS || k.disk[arg->member].absent)
		return ENODEV;
	for (unsigned int i = 0; i < arg->count; i++) {
		assert(r[i].length && r[i].offset + r[i].length > r[i].offset);
		if (r[i].offset >= k.disk[arg->member].bytes)
			return EINVAL;
	}
	return 0;
}

static int fuzz_call(unsigned long what, void *arg)
{
	int err = ENOTTY;

	if (k.unbound) {
		err = ENOTCONN;
	} else if (what == VAIO_REPL_IOC_MEMBERS) {
		err = call_members_of(arg);
	} else if (what == VAIO_REPL_IOC_START) {
		err = call_start_of(arg);
	} else if (what == VAIO_REPL_IOC_STOP) {
		err = *(__u64 *)arg == k.control.epoch ? 0 : ESTALE;
		if (!err)
			flip();
	} else if (what == VAIO_REPL_IOC_DURABLE) {
		err = call_durable_of(arg);
	} else if (what == VAIO_REPL_IOC_MARK_DIRTY) {
		err = call_mark_dirty_of(arg);
	} else if (what == VAIO_REPL_IOC_MARK) {
		struct vaio_repl_mark *m = arg;
		size_t len = strnlen(m->name, sizeof(m->name));

		assert(len < sizeof(m->name));
		m->seq = k.next;
		if (ring_tracking(&w->ring))
			err = ENOTCONN;
		else
			err = put(VAIO_REPL_CHECKPOINT, 0xffff, 0, 0, 'n', (uint32_t)len, len, 0) ? 0 : ENOSPC;
		/* the session takes it for a ring that is lost */
		if (err == ENOTCONN)
			k.unbound = true;
	}
	errno = err;
	return err ? -1 : 0;
}

static int checked_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **payload, struct vr_err *e)
{
	assert(seq > k.durable && seq < k.next);
	return ring_record(r, seq, d, payload, e);
}

static int checked_commit(struct stream *s, const struct vaio_repl_desc *d, const struct stream_item *it, struct vr_err *e)
{
	int err = stream_commit(s, d, it, e);

	if (!err && it->consumes) {
		k.wire[d->seq % NR_DESC] = it->seq;
		k.by[d->seq % NR_DESC] = connection;
	}
	return err;
}

/* A new one's memory takes longer than all the rest of an input. */
static struct vr_builder *same_builder(const uint8_t *group, size_t limit, int level)
{
	static struct vr_builder *builders[2];
	size_t len;

	if (builders[level])
		vr_builder_finish(builders[level], &len);	/* the next record begins a batch */
	else
		builders[level] = vr_builder_new(group, limit, level);
	return builders[level];
}

/* --- the connection: what is said to the replica is looked at, and forgotten ---------------------------- */

static uint32_t max_records, max_batch;

int link_send(struct link *l, uint16_t type, const void *payload, size_t len, struct vr_err *e)
{
	struct vaio_rw_msg h;
	void *copy;

	if (l->state != LINK_UP)
		return vr_fail(e, -ENOTCONN, "there is no connection");
	copy = malloc(len);
	memcpy(copy, payload, len);
	vr_message_header(&h, type, copy, len);
	/* An agent says nothing that a replica has to refuse. */
	assert(!vr_message_check(&h, copy, len, e));
	free(copy);
	return 0;
}

int link_send_batch(struct link *l, struct vr_builder *builder, uint8_t *batch, size_t len, struct vr_err *e)
{
	struct vr_batch b;

	(void)builder;
	if (l->state != LINK_UP)
		return vr_fail(e, -ENOTCONN, "there is no connection");
	assert(len <= max_batch && !vr_batch_parse(batch, len, &b, e));
	assert(b.last_seq == w->stream.history.now.last_seq && b.last_seq - b.first_seq < max_records);
	if (w->stream.epoch == k.control.epoch && w->stream.position > k.sent)
		k.sent = w->stream.position;
	l->sealed++;
	return 0;
}

bool link_wants(const struct link *l)
{
	return l->state == LINK_UP;
}

void link_flush(struct link *l)
{
	(void)l;
}

/* --- in the place of worker.c ---------------------------------------------------------------------------- */

bool worker_unbound(struct worker *worker, int err)
{
	if (err != -ENOTCONN)
		return false;
	worker->exit = EXIT_UNBOUND;
	return true;
}

/* What parse() of state.c asks of the file: what it does not take is the end of the group. */
void worker_save(struct worker *worker)
{
	struct group_state *g = &worker->group;

	g->acked = acked(worker);
	g->given = worker->run->given > g->given ? worker->run->given : g->given;
	assert(g->acked <= VAIO_RW_MAX_SEQ && g->given <= VAIO_RW_MAX_SEQ);
	assert(g->nr_generations && g->nr_generations <= VAIO_RW_MAX_GENERATIONS && g->nr_trusted <= VAIO_RW_MAX_MEMBERS);
	for (unsigned int i = 0; i < g->nr_generations; i++) {
		const struct vr_generation *one = &g->generation[i];

		assert(one->counter && one->first_seq && one->counter <= VAIO_RW_MAX_SEQ && one->first_seq <= VAIO_RW_MAX_SEQ);
		assert(!i || (one->counter == one[-1].counter + 1 && one->first_seq > one[-1].first_seq));
	}
	saved = *g;
	worker->group_dirty = false;
}

void worker_end(struct worker *worker, uint32_t code, const char *text)
{
	(void)code;
	assert(*text || worker->link.state != LINK_UP);
}

uint64_t worker_rpo(const struct worker *worker)
{
	return worker->complete_seq ? clock_ns : NO_FIGURE;
}

void worker_answer(struct worker *worker, const struct answer *a)
{
	(void)worker;
	assert(memchr(a->text, 0, sizeof(a->text)));
}

/* As begin() does it, with the ring of the process before. */
static void start_agent(void)
{
	if (w)
		memset(w, 0, sizeof(*w));
	else
		w = calloc(1, sizeof(*w));
	k.unbound = false;
	w->name = "g";
	w->config = &group_config;
	w->exit = -1;
	w->run = &run;
	w->ring.control = &k.control;
	w->ring.hints = &k.hints;
	w->ring.desc = k.desc;
	w->ring.data = data;
	w->ring.bound.data_bytes = DATA;
	w->ring.bound.nr_desc = NR_DESC;
	w->ring.bound.durable = k.durable;
	w->ring.bound.ring_id[0] = 0x42;
	w->host_id[0] = 1;
	w->stream.map = &run.map;
	w->stream.resync_kind = run.resync_kind;
	w->stream.resync_bytes = run.resync_bytes;
	w->stream.gap_reason = VAIO_RW_GAP_AGENT;
	w->durable_ring = k.durable;
	w->complete_seq = run.complete;
	w->changes = k.control.changes - 1;
	w->group = saved;
}

static void drop(void)
{
	w->link.state = LINK_DOWN;
	w->session = SESSION_NONE;
	w->blocked = false;
	w->failures++;
}

static void ended_with(int err, const struct vr_err *e)
{
	if (err < 0) {
		assert(e->text[0]);
		drop();
	}
	if (w->exit >= 0)
		start_agent();
}

static void connect_to_it(void)
{
	struct vr_err e = { "" };

	if (w->session != SESSION_NONE)
		return;
	w->link.state = LINK_UP;
	connection++;
	claimed = 0;
	ended_with(session_hello(w, &e), &e);
}

/* --- the replica --------------------------------------------------------------------------------------- */

static struct { uint16_t at; uint8_t with; } mutations[4];
static unsigned int nr_mutations;

/* All of it is the message's: who reads beyond its end is found out. */
static void deliver(uint16_t type, const void *payload, size_t len)
{
	struct vr_err e = { "" };
	struct vaio_rw_msg h;
	uint8_t *p;
	int err;

	connect_to_it();
	if (w->session == SESSION_NONE)
		return;
	p = malloc(len ? len : 1);
	memcpy(p, payload, len);
	while (nr_mutations) {
		nr_mutations--;
		if (len)
			p[mutations[nr_mutations].at % len] ^= mutations[nr_mutations].with;
	}
	vr_message_header(&h, type, p, len);
	err = len > VAIO_RW_MAX_MESSAGE ? vr_fail(&e, -EPROTO, "too long") : vr_message_check(&h, p, len, &e);
	if (!err) {
		const struct vaio_rw_welcome *m = (void *)p;
		uint64_t says = 0;

		if (type == VAIO_RW_WELCOME && w->session == SESSION_HELLO) {
			says = welcomed = le64toh(m->durable_seq);
			max_records = le32toh(m->max_records);
			max_batch = le32toh(m->max_batch);
		} else if (type == VAIO_RW_DURABLE) {
			says = le64toh(((const struct vaio_rw_durable *)p)->durable_seq);
		} else if (type == VAIO_RW_BLOCKED) {
			says = le64toh(((const struct vaio_rw_blocked *)p)->durable_seq);
		}
		claimed = says > claimed ? says : claimed;
		w->link.message = (void *)p;
		err = session_message(w, type, len, &e);
		w->link.message = NULL;
		if (!err && type <= VAIO_RW_NOT_HELD)
			reached[type]++;
	}
	free(p);
	ended_with(err, &e);
}

static void send_welcome(void)
{
	struct { struct vaio_rw_welcome m; uint8_t lists[(VAIO_RW_MAX_GENERATIONS + 1) * sizeof(struct vaio_rw_generation) +
							 DISKS * sizeof(struct vaio_rw_member)]; } d;
	struct vaio_rw_generation *g = (void *)d.lists;
	struct vaio_rw_member *m;
	uint8_t flags = take(), shape = take(), disks = take();
	uint64_t durable_seq;
	unsigned int n;

	memset(&d, 0, sizeof(d));
	connect_to_it();
	durable_seq = take_number();
	d.m.version = htole32(VAIO_RW_VERSION);
	d.m.flags = htole32(flags & VAIO_RW_W_KNOWN);
	d.m.durable_seq = htole64(durable_seq);
	d.m.complete_seq = htole64(shape & S_COMPLETE_ANY ? take_number() : shape & S_COMPLETE ? durable_seq : 0);
	d.m.store[0] = shape & S_STORE ? take() : 7;
	d.m.max_batch = htole32(VAIO_RW_MAX_BATCH);
	d.m.max_batch_raw = htole32(VAIO_RW_MAX_BATCH_RAW);
	d.m.max_records = htole32(shape & S_LIMITS ? 1U + take() : VAIO_RW_MAX_RECORDS);
	d.m.window = htole32(shape & S_LIMITS ? 1 + take() * 256U : 16U << 20);
	n = flags & VAIO_RW_W_EMPTY ? 0 : w->group.nr_generations - (shape & S_OLDER && w->group.nr_generations);
	for (unsigned int i = 0; i < n; i++)
		vr_generation_encode(&w->group.generation[i], &g[i]);
	if (shape & S_OTHER && n < VAIO_RW_MAX_GENERATIONS) {
		struct vr_generation other = { .id = { 0xee }, .counter = take_number(), .first_seq = take_number() };

		vr_generation_encode(&other, &g[n++]);
	}
	if (n)
		d.m.generation = g[n - 1];
	d.m.nr_generations = htole16((uint16_t)n);
	m = (void *)(g + n);
	for (unsigned int i = 0; i < DISKS; i++) {
		struct vr_member one = { .disk = { k.disk[i].uuid }, .name = "d", .size = k.disk[i].bytes, .block_size = 512 };

		if (!(disks & 1 << i))
			continue;
		one.number = disks & M_SAME ? 1 : (uint16_t)(disks & M_REVERSE ? DISKS - i : i);
		one.size >>= disks & M_SMALLER ? 1 : 0;
		one.block_size = disks & M_4096 ? 4096 : 512;
		one.removed = disks & M_REMOVED;
		vr_member_encode(&one, m++);
		d.m.nr_members = htole16((uint16_t)(le16toh(d.m.nr_members) + 1));
	}
	deliver(VAIO_RW_WELCOME, &d, (size_t)((uint8_t *)m - (uint8_t *)&d));
}

static void send_diff(void)
{
	struct { struct vaio_rw_diff d; struct vaio_rw_range r[255]; } d;
	uint64_t end = 0;
	uint8_t n;

	memset(&d, 0, sizeof(d));
	d.d.member = htole16(take());
	n = take();
	d.d.nr_ranges = htole32(n);
	d.d.seq = htole64(take_number());
	for (unsigned int i = 0; i < n; i++) {
		uint64_t offset = end + take_bytes(2) * BLOCK, length = (1 + take_bytes(2)) * BLOCK;

		d.r[i] = (struct vaio_rw_range){ htole64(offset), htole64(length) };
		end = offset + length;
	}
	deliver(VAIO_RW_DIFF, &d, sizeof(d.d) + n * sizeof(*d.r));
}

static bool server_does(enum event event)
{
	struct vaio_rw_durable durable_msg = { 0 };
	struct vaio_rw_blocked blocked = { .reason = htole32(VAIO_RW_BLOCKED_FULL), .text = "full" };
	struct vaio_rw_unblocked unblocked = { 0 };
	struct vaio_rw_checkpoint_request request = { 0 };
	struct vaio_rw_not_held held = { .text = "no room" };
	struct vaio_rw_end end = { .text = "the end" };
	struct vaio_rw_ping ping = { 1 };
	uint16_t type;
	size_t len;
	void *raw;

	switch (event) {
	case E_WELCOME:
		send_welcome();
		return true;
	case E_DURABLE:
		durable_msg.durable_seq = htole64(take_number());
		durable_msg.complete_seq = htole64(take_number());
		deliver(VAIO_RW_DURABLE, &durable_msg, sizeof(durable_msg));
		return true;
	case E_DIFF:
		send_diff();
		return true;
	case E_BLOCKED:
		blocked.durable_seq = htole64(take_number());
		deliver(VAIO_RW_BLOCKED, &blocked, sizeof(blocked));
		return true;
	case E_UNBLOCKED:
		deliver(VAIO_RW_UNBLOCKED, &unblocked, sizeof(unblocked));
		return true;
	case E_REQUEST:
		request.cookie = htole64(5);
		request.kind = htole32(take());
		memset(request.name, take(), sizeof(request.name) - 1);
		deliver(VAIO_RW_CHECKPOINT_REQUEST, &request, sizeof(request));
		return true;
	case E_NOT_HELD:
		held.seq = htole64(take_number());
		deliver(VAIO_RW_NOT_HELD, &held, sizeof(held));
		return true;
	case E_END:
		end.code = htole32(take());
		end.retry_ms = htole32((uint32_t)(int32_t)(int8_t)take());
		deliver(VAIO_RW_END, &end, sizeof(end));
		return true;
	case E_PING:
		deliver(take() & 1 ? VAIO_RW_PONG : VAIO_RW_PING, &ping, sizeof(ping));
		return true;
	case E_RAW:
		type = take();
		len = take_bytes(2);
		raw = calloc(1, len + 1);
		for (size_t i = 0; i < len && in < in_end; i++)
			((uint8_t *)raw)[i] = take();
		deliver(type, raw, len);
		free(raw);
		return true;
	case E_MUTATE:
		mutations[nr_mutations % 4].at = (uint16_t)take_bytes(2);
		mutations[nr_mutations % 4].with = take();
		nr_mutations += nr_mutations < 4;
		return true;
	default:
		return false;
	}
}

/* --- what else happens ----------------------------------------------------------------------------------- */

static void disk_changes(uint16_t i, uint8_t how)
{
	switch (how % 8) {
	case 0:
		if (k.disk[i].captured && !put(VAIO_REPL_MEMBER_DOWN, i, 0, 0, 0, 0, 1, 0))
			return;
		k.disk[i].captured = false;
		k.disk[i].absent = true;
		break;
	case 1:		/* another one in its place */
		if (k.disk[i].absent)
			k.disk[i].uuid = (uint8_t)(k.disk[i].uuid + DISKS);
		k.disk[i].absent = false;
		break;
	case 2:
		k.disk[i].absent = false;
		break;
	case 3:
		k.disk[i].flags ^= VAIO_REPL_M_COMPARE;
		break;
	case 4:
		k.disk[i].flags ^= VAIO_REPL_M_ALONE;
		break;
	case 5:
		k.disk[i].flags ^= VAIO_REPL_M_NO_SIDECAR;
		break;
	case 6:
		k.disk[i].dirty ^= 4096;
		break;
	case 7:
		if (k.disk[i].captured && !put(VAIO_REPL_GROW, i, 0, 0, 0, 0, k.disk[i].bytes + BLOCK, 0))
			return;
		k.disk[i].bytes += BLOCK;
		break;
	}
	changed();
}

static bool kernel_does(enum event event)
{
	uint16_t i = 0;
	uint64_t offset, length;
	uint8_t type;

	switch (event) {
	case E_WRITE:
	case E_RANGE:
	case E_RESYNC:
		i = take() % DISKS;
		type = event == E_RANGE ? take() % 3 : 0;
		offset = take_bytes(event == E_RANGE ? 3 : 1) * BLOCK;
		length = (1 + (event == E_RANGE ? take_bytes(3) % (4U << 20) : take() % 8)) * BLOCK;
		if (event == E_WRITE)
			type = take() & VAIO_REPL_F_FUA;
		else if (event == E_RESYNC)
			type = take() % 3;
		if (!k.disk[i].captured || offset + length > k.disk[i].bytes)
			return true;
		if (event == E_WRITE)
			put(VAIO_REPL_WRITE, i, offset, length, 0xaa, (uint32_t)length, 0, type);
		else if (event == E_RANGE)
			put(type == 0 ? VAIO_REPL_ZEROES : type == 1 ? VAIO_REPL_DISCARD : VAIO_REPL_VOID, i, offset, length, 0, 0, 0, 0);
		else if (k.in_resync)
			put(type == 0 ? VAIO_REPL_RESYNC_ZEROES : type == 1 ? VAIO_REPL_CHECK : VAIO_REPL_RESYNC, i, offset, length,
			    0xbb, type == 0 ? 0 : type == 1 ? VAIO_REPL_DIGEST : (uint32_t)length, 0, 0);
		return true;
	case E_RESYNC_END:
		if (k.in_resync && put(VAIO_REPL_RESYNC_END, 0xffff, 0, 0, 0, 0, 0, 0)) {
			k.in_resync = false;
			k.control.state = VAIO_REPL_S_REPLICATING;
		}
		return true;
	case E_MARK:
		type = take();
		if (k.control.state != VAIO_REPL_S_TRACKING)
			put(VAIO_REPL_CHECKPOINT, 0xffff, 0, 0, type ? type : 'n', 1 + type % 64, 1 + type % 64, 0);
		return true;
	case E_EPOCH:
		if (k.control.state != VAIO_REPL_S_TRACKING)
			flip();
		return true;
	case E_DISK:
		i = take() % DISKS;
		disk_changes(i, take());
		return true;
	case E_UNBIND:
		k.unbound = true;
		return true;
	case E_CLOCK:
		k.wall += (int8_t)take() * (int64_t)SECOND;
		return true;
	default:
		return false;
	}
}

static void agent_does(enum event event)
{
	struct request r = { .cookie = 9, .wait_ms = 1000, .name = "asked" };
	struct vr_err e = { "" };
	char text[VAIO_RW_TEXT_LEN] = "";

	switch (event) {
	case E_PUMP:
		ended_with(session_pump(w, &e), &e);
		break;
	case E_RECONNECT:
		drop();
		connect_to_it();
		break;
	case E_RESTART:
		start_agent();
		break;
	case E_ASKED:
		r.flags = take() & VAIO_RW_CF_KNOWN;
		r.kind = VAIO_RW_C_CRASH + take() % 3;
		if (!session_mark(w, &r, false, text, sizeof(text)))
			assert(text[0]);
		ended_with(0, &e);
		break;
	case E_TIME:
		clock_ns += take() * SECOND;
		session_marks(w, false);
		if (w->session == SESSION_OPEN)
			ended_with(session_status(w, &e), &e);
		break;
	default:
		break;
	}
}

static void check_all(void)
{
	const struct stream *s = &w->stream;
	uint64_t bytes = 0;

	assert(w->flight_tail - w->flight_head <= FLIGHTS);
	for (unsigned int i = w->flight_head; i != w->flight_tail; i++)
		bytes += w->flight[i % FLIGHTS].bytes;
	assert(bytes == w->in_flight);
	if (w->session == SESSION_OPEN)
		assert(w->durable_seq == welcomed || w->durable_seq <= s->history.now.last_seq);
	assert(seqmap_valid(&run.map));
	assert(w->group.nr_generations && w->group.nr_generations <= VAIO_RW_MAX_GENERATIONS);
	assert(s->history.nr_members <= VAIO_RW_MAX_MEMBERS && s->history.nr_generations <= VAIO_RW_MAX_GENERATIONS);
	assert(run.given <= VAIO_RW_MAX_SEQ && run.acked <= VAIO_RW_MAX_SEQ);
	if (s->live && s->epoch == k.control.epoch)
		assert(w->durable_ring == k.durable && s->position >= k.durable && s->position < k.next);
}

/* --- one input ------------------------------------------------------------------------------------------- */

static void begin_all(void)
{
	struct vr_err e;

	if (!data)
		data = aligned_alloc(4096, DATA);
	ASAN_POISON_MEMORY_REGION(data, DATA);
	memset(&k, 0, sizeof(k));
	memset(&run, 0, sizeof(run));
	memset(&saved, 0, sizeof(saved));
	clock_ns = 1000 * SECOND;
	connection = claimed = nr_mutations = 0;
	k.next = k.control.epoch = 1;
	for (uint8_t i = 0; i < DISKS; i++) {
		k.disk[i].uuid = (uint8_t)(i + 1);
		k.disk[i].bytes = 4ULL << 30;
	}
	k.disk[2].absent = true;
	saved.uuid[0] = 0x67;
	group_state_generation(&saved, 1, &e);
	start_agent();
}

/* With VAIO_FUZZ_TELL: how much of it got through, at the end. */
static void tell(void)
{
	for (int i = 1; i <= VAIO_RW_NOT_HELD; i++)
		if (reached[i])
			fprintf(stderr, "message %d was taken %u times\n", i, reached[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (getenv("VAIO_FUZZ_TELL"))
		atexit(tell);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t size)
{
	in = p;
	in_end = p + size;
	group_config.compress = take() & 1;
	begin_all();
	for (int i = 0; i < 2000 && in < in_end; i++) {
		enum event event = take() % E_COUNT;

		if (!server_does(event) && !kernel_does(event))
			agent_does(event);
		check_all();
	}
	return 0;
}
