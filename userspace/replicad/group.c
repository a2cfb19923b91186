// SPDX-License-Identifier: GPL-2.0
/* Groups: their stores, the thread that writes and the one for upkeep. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "replicad.h"

#define ATTACH_MS	15000U	/* an agent waits 20 s for its WELCOME */

static struct group *groups;
static pthread_mutex_t groups_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- the list ------------------------------------------------------------------------ */

void uuid_text(const uint8_t *id, char *t)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*t++ = '-';
		*t++ = hex[id[i] >> 4];
		*t++ = hex[id[i] & 15];
	}
	*t = 0;
}

bool uuid_bytes(const char *text, uint8_t *id)
{
	char back[37];

	for (int i = 0, at = 0; i < 16; i++, at += 2) {
		unsigned int byte;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			at++;
		if (strlen(text) != 36 || sscanf(text + at, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	uuid_text(id, back);
	return !strcmp(back, text);
}

struct group *group_find(const uint8_t *id)
{
	struct group *g;

	pthread_mutex_lock(&groups_lock);
	for (g = groups; g && memcmp(g->id, id, sizeof(g->id)); g = g->next)
		;
	pthread_mutex_unlock(&groups_lock);
	return g;
}

unsigned int group_count(void)
{
	unsigned int n = 0;

	pthread_mutex_lock(&groups_lock);
	for (struct group *g = groups; g; g = g->next)
		n++;
	pthread_mutex_unlock(&groups_lock);
	return n;
}

/* Groups are never freed while the daemon runs: the list may be walked without its lock. */
void groups_each(void (*each)(struct group *g, void *arg), void *arg)
{
	struct group *g;

	pthread_mutex_lock(&groups_lock);
	g = groups;
	pthread_mutex_unlock(&groups_lock);
	for (; g; g = g->next)
		each(g, arg);
}

struct by_name {
	const char *name;
	struct group *found, *unnamed;
	int nr;
};

/* Open or not: a group that is damaged is asked about more than others. */
static void match_name(struct group *g, void *arg)
{
	struct by_name *b = arg;
	uint8_t id[16];
	bool is = !strcmp(g->uuid, b->name);

	pthread_mutex_lock(&g->lock);
	/* Sources choose the names: none is a UUID. */
	is |= g->name[0] && !uuid_bytes(b->name, id) && !strcmp(g->name, b->name);
	if (!g->name[0])
		b->unnamed = g;
	pthread_mutex_unlock(&g->lock);
	if (is) {
		b->found = g;
		b->nr++;
	}
}

struct group *group_by_name(const char *name, struct vr_err *e)
{
	struct by_name b = { .name = name };

	groups_each(match_name, &b);
	if (b.nr == 1)
		return b.found;
	if (b.nr)
		vr_fail(e, 0, "%d groups are named '%.100s': use the UUID", b.nr, name);
	else if (b.unnamed)
		vr_fail(e, 0, "there is no group '%.64s'; but %s is not open, and nobody knows its name", name, b.unnamed->uuid);
	else
		vr_fail(e, 0, "there is no group '%.100s'", name);
	return NULL;
}

/* --- stores ------------------------------------------------------------------------------- */

struct vr_store *group_get(struct group *g, struct vr_err *e)
{
	struct vr_store *st;

	pthread_mutex_lock(&g->lock);
	st = g->st;
	if (st)
		g->users++;
	else
		vr_fail(e, -EIO, "%s", g->error[0] ? g->error : "the store is not open");
	pthread_mutex_unlock(&g->lock);
	return st;
}

void group_put(struct group *g)
{
	pthread_mutex_lock(&g->lock);
	g->users--;
	pthread_cond_broadcast(&g->change);
	pthread_mutex_unlock(&g->lock);
}

static int open_store(struct group *g)
{
	struct vr_options o = { .write = true, .segment_bytes = config.segment_bytes, .reserve_bytes = config.reserve_bytes };
	char name[VAIO_RW_NAME_LEN] = "";
	struct vr_store *st = NULL;
	struct vr_info info;
	struct vr_io *io;
	struct vr_err e;
	int err = vr_io_open(g->dir, &io);

	if (err) {
		vr_fail_errno(&e, err, "%s", g->dir);
	} else {
		err = vr_store_open(io, &o, &st, &e);
		/* The name may be there when something else is not. */
		if (err) {
			vr_super_name(io, name);
			io->ops->free(io);
		} else {
			vr_store_info(st, &info);
			memcpy(name, info.group_name, sizeof(name));
		}
	}
	pthread_mutex_lock(&g->lock);
	g->st = st;
	if (name[0])
		memcpy(g->name, name, sizeof(g->name));
	g->damaged = err == -EBADMSG || err == -ENOTSUP;
	g->error[0] = 0;
	if (err) {
		snprintf(g->error, sizeof(g->error), "%s", e.text);
		say(LOG_ERR, "group %s: %s", g->uuid, e.text);
	}
	pthread_cond_broadcast(&g->change);
	pthread_mutex_unlock(&g->lock);
	return err;
}

/* With the group's lock: waits up to @ms. */
static void wait_for(struct group *g, pthread_cond_t *what, long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_cond_timedwait(what, &g->lock, &t);
}

static void wait_change(struct group *g, long ms)
{
	wait_for(g, &g->change, ms);
}

/* The store failed: everybody lets it go, and it is read again from the disk. */
static void reopen(struct group *g)
{
	struct vr_store *st;

	pthread_mutex_lock(&g->lock);
	if (g->reopening) {
		pthread_mutex_unlock(&g->lock);
		return;
	}
	g->reopening = true;
	st = g->st;
	g->st = NULL;
	snprintf(g->error, sizeof(g->error), "the store failed and is being opened again");
	while (g->users)
		pthread_cond_wait(&g->change, &g->lock);
	pthread_mutex_unlock(&g->lock);
	vr_store_close(st);
	while (!stopping && open_store(g)) {
		pthread_mutex_lock(&g->lock);
		wait_change(g, 5000);
		pthread_mutex_unlock(&g->lock);
	}
	pthread_mutex_lock(&g->lock);
	g->reopening = false;
	pthread_cond_broadcast(&g->change);
	pthread_mutex_unlock(&g->lock);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void free_queue(struct queued *q)
{
	while (q) {
		struct queued *next = q->next;

		queued_free(q);
		q = next;
	}
}

/* With the group's lock. */
static void drop_queue(struct group *g)
{
	free_queue(g->first);
	g->first = NULL;
	g->last = &g->first;
	pthread_cond_broadcast(&g->change);
}

/* Asks for upkeep that frees space, and waits for it. Did it help? */
static bool make_room(struct group *g)
{
	uint64_t round;
	bool helped;

	pthread_mutex_lock(&g->lock);
	round = ++g->pressure_wanted;
	pthread_cond_signal(&g->upkeep);
	while (g->pressure_done < round && !stopping)
		wait_change(g, 1000);
	helped = g->pressure_helped;
	pthread_mutex_unlock(&g->lock);
	return helped;
}

/*
 * Waits for upkeep, where that is behind with the index. -ENOSPC, too, when that fails: what there may be of the index in memory is
 * used up. -EAGAIN: the connection ends, nothing was written.
 */
static int append(struct group *g, struct session *s, const struct queued *q, struct vr_err *e)
{
	uint64_t round = 0;
	bool fails = false;
	int err;

	while (!fails && (err = vr_store_append_there(g->st, q->data, q->len, e)) == -EAGAIN && !s->end && !stopping) {
		pthread_mutex_lock(&g->lock);
		if (!round)
			round = g->upkeep_begun + 1;
		/* One that began since then has ended, and did not what was needed. */
		fails = g->upkeep_done >= round && g->upkeep_error[0];
		if (fails) {
			err = vr_fail(e, -ENOSPC, "upkeep fails: %.200s", g->upkeep_error);
		} else {
			pthread_cond_signal(&g->upkeep);
			wait_change(g, 100);
		}
		pthread_mutex_unlock(&g->lock);
	}
	return err;
}

/*
 * Compares the CHECK records of a batch that was appended; says what differs. When it fails, nothing of the batch may be
 * acknowledged: the source takes what it hears nothing of for equal.
 */
static int answer_checks(struct group *g, struct session *s, const struct queued *q, struct vr_err *e)
{
	const struct vaio_rw_batch *h = (const void *)q->data;
	struct vr_unpacker *u = NULL;
	struct vr_batch *b = NULL;
	int err = 0;

	for (uint32_t i = 0; i < le32toh(h->nr_records) && !err; i++) {
		const struct vaio_rw_record *r = (const struct vaio_rw_record *)(h + 1) + i;
		struct { struct vaio_rw_diff d; struct vaio_rw_range r; } diff = { 0 };

		if (le16toh(r->type) != VAIO_RW_R_CHECK)
			continue;
		if (!b) {
			b = malloc(sizeof(*b));
			u = vr_unpacker_new();
			err = b && u ? vr_batch_parse(q->data, q->len, b, e) : vr_fail(e, -ENOMEM, "no memory");
			if (!err)
				err = vr_batch_unpack(u, b, e);
			if (err)
				break;
		}
		err = vr_store_check(g->st, r, vr_batch_payload(b, i), e);
		if (err == 0) {
			diff.d.seq = r->seq;
			diff.d.member = r->member;
			diff.d.nr_ranges = htole32(1);
			diff.r.offset = r->offset;
			diff.r.length = r->length;
			if (session_send(s, VAIO_RW_DIFF, &diff, sizeof(diff)))
				err = vr_fail(e, -ECONNRESET, "the connection is gone");
		}
		err = err < 0 ? err : 0;
	}
	vr_unpacker_free(u);
	free(b);
	return err;
}

/* The source hears of a checkpoint that was to be held, and is not, before it hears that it is durable. */
static void tell_not_held(struct group *g, struct session *s, const struct queued *q)
{
	const struct vaio_rw_batch *h = (const void *)q->data;
	const struct vaio_rw_record *r = (const void *)(h + 1);
	struct vaio_rw_not_held m = { 0 };
	struct vr_err e = { "another failure" };

	for (uint32_t i = 0; i < le32toh(h->nr_records); i++) {
		/* Whether it was to be held is in its payload; the source knows that. */
		if (le16toh(r[i].type) != VAIO_RW_R_CHECKPOINT || !vr_mark_room(g->st, &e) || vr_mark_held(g->st, le64toh(r[i].seq)))
			continue;
		m.seq = r[i].seq;
		snprintf((char *)m.text, sizeof(m.text), "%s", e.text);
		session_send(s, VAIO_RW_NOT_HELD, &m, sizeof(m));
	}
}

static int commit(struct group *g, struct session *s, struct vr_err *e)
{
	struct vaio_rw_durable d;
	struct vr_state durable;
	int err = vr_store_commit(g->st, e);

	if (err)
		return err;
	vr_store_durable(g->st, &durable);
	d.durable_seq = htole64(durable.last_seq);
	d.complete_seq = htole64(durable.complete_seq);
	session_send(s, VAIO_RW_DURABLE, &d, sizeof(d));
	return 0;
}

/* What the source and the administrator read; @e of append(). */
static void tell_why(struct group *g, const struct vr_info *i, const struct vr_err *e, char *text, size_t size)
{
	pthread_mutex_lock(&g->lock);
	if (!i->need)
		snprintf(text, size, "%s", e->text);
	else
		snprintf(text, size, "%s (need %" PRIu64 ", have %" PRIu64 ")%s%.100s", i->need_resync ? "resync-blocked" : "full",
			 i->need, i->have, g->upkeep_error[0] ? "; upkeep fails: " : i->held_by[0] ? "; held by " : "",
			 g->upkeep_error[0] ? g->upkeep_error : i->held_by);
	pthread_mutex_unlock(&g->lock);
}

/* No room even after upkeep: says so, and tries until there is. @q is the batch that did not fit, and @e says why. */
static int blocked(struct group *g, struct session *s, struct queued *q, struct vr_err *e)
{
	struct vaio_rw_ping fence = { htole64(FENCE_COOKIE) };
	struct vaio_rw_blocked b = { 0 };
	struct vaio_rw_unblocked u;
	struct vr_info info;
	int err = -ENOSPC;
	bool gone = false, fenced;

	vr_store_info(g->st, &info);
	b.reason = htole32(info.need_resync ? VAIO_RW_BLOCKED_RESYNC : VAIO_RW_BLOCKED_FULL);
	b.durable_seq = htole64(info.durable.last_seq);
	b.need = htole64(info.need);
	b.have = htole64(info.have);
	tell_why(g, &info, e, (char *)b.text, sizeof(b.text));
	say(LOG_WARNING, "group %s: %s", g->uuid, (char *)b.text);
	pthread_mutex_lock(&g->lock);
	g->flow = FENCED;
	g->blocked = b;
	drop_queue(g);
	pthread_mutex_unlock(&g->lock);
	session_send(s, VAIO_RW_BLOCKED, &b, sizeof(b));
	session_send(s, VAIO_RW_PING, &fence, sizeof(fence));
	while (!gone && err == -ENOSPC) {
		pthread_mutex_lock(&g->lock);
		wait_change(g, 1000);
		gone = stopping || s->end;
		fenced = g->flow == FENCED;
		pthread_mutex_unlock(&g->lock);
		if (gone || fenced)
			continue;
		make_room(g);
		err = append(g, s, q, e);
		if (err == -EAGAIN) {
			gone = true;
			err = -ENOSPC;
		}
	}
	/* 0: it was appended. */
	if (!err)
		err = answer_checks(g, s, q, e);
	if (!err) {
		tell_not_held(g, s, q);
		s->need_gap = false;
		err = commit(g, s, e);
	}
	pthread_mutex_lock(&g->lock);
	g->flow = FLOWS;
	memset(&g->blocked, 0, sizeof(g->blocked));
	pthread_mutex_unlock(&g->lock);
	if (gone || err)
		return gone && err == -ENOSPC ? 0 : err;
	vr_store_info(g->st, &info);
	say(LOG_NOTICE, "group %s: there is room again", g->uuid);
	u.durable_seq = htole64(info.durable.last_seq);
	session_send(s, VAIO_RW_UNBLOCKED, &u, sizeof(u));
	return 0;
}

/* Batches that came together share an fdatasync. Returns what went wrong. */
static int write_batches(struct group *g, struct session *s, struct queued *q, struct vr_err *e)
{
	int err = 0, err2;
	struct vr_err e2;
	bool any = false;

	for (; q && !err && !s->end; q = q->next) {
		const struct vaio_rw_batch *h = (const void *)q->data;

		if (s->need_gap && (q->len < sizeof(*h) + sizeof(struct vaio_rw_record) ||
				    le16toh(((const struct vaio_rw_record *)(h + 1))->type) != VAIO_RW_R_GAP)) {
			err = vr_fail(e, -EPROTO, "acknowledged records are missing here: the first record must be a GAP");
			break;
		}
		err = append(g, s, q, e);
		while (err == -ENOSPC && make_room(g))
			err = append(g, s, q, e);
		if (err == -EAGAIN) {
			err = 0;
			break;
		}
		if (err == -ENOSPC) {
			err = any ? commit(g, s, e) : 0;
			if (!err)
				err = blocked(g, s, q, e);
			return err;	/* what comes after it is dropped */
		}
		if (!err) {
			err = answer_checks(g, s, q, e);
			if (err)
				return err;
			tell_not_held(g, s, q);
			s->need_gap = false;
			any = true;
		}
	}
	if (!any)
		return err;
	err2 = commit(g, s, &e2);
	if (err2 && !err)
		*e = e2;
	return err2 ? err2 : err;
}

static void *writer(void *arg)
{
	struct group *g = arg;

	pthread_mutex_lock(&g->lock);
	while (!stopping && !g->ending) {
		struct queued *q = g->first;
		struct session *s = g->session;
		struct vr_err e;
		int err;

		if (!q || !s || !g->st || g->writing) {
			pthread_cond_wait(&g->change, &g->lock);
			continue;
		}
		g->first = NULL;
		g->last = &g->first;
		g->writing = true;
		pthread_cond_broadcast(&g->change);
		pthread_mutex_unlock(&g->lock);
		err = write_batches(g, s, q, &e);
		free_queue(q);
		if (err) {
			say(LOG_ERR, "group %s: %s: %s", g->uuid, s->peer, e.text);
			session_end(s, err == -EPROTO ? VAIO_RW_END_PROTOCOL : err == -EPERM ? VAIO_RW_END_PROMOTED :
				    err == -EBADMSG ? VAIO_RW_END_DAMAGED : VAIO_RW_END_FAILED, e.text);
		}
		pthread_mutex_lock(&g->lock);
		if (err)
			drop_queue(g);
		g->writing = false;
		pthread_cond_broadcast(&g->change);
		if (err && err != -EPROTO && err != -EPERM) {
			pthread_mutex_unlock(&g->lock);
			reopen(g);
			pthread_mutex_lock(&g->lock);
		}
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* --- upkeep ------------------------------------------------------------------------------------- */

static void *keeper(void *arg)
{
	struct group *g = arg;

	while (!stopping) {
		struct vr_store *st = group_get(g, NULL);
		struct vr_err e = { "" };
		bool more = true, helped = false, pressure;
		uint64_t round, nr;
		int err = 0;

		pthread_mutex_lock(&g->lock);
		nr = ++g->upkeep_begun;
		round = g->pressure_wanted;
		pressure = round > g->pressure_done;
		pthread_mutex_unlock(&g->lock);
		/* For space one step at a time: no more points go than must. */
		while (st && more && !err && !stopping) {
			err = vr_store_maintain(st, pressure, &more, &e);
			helped |= more;
			if (pressure && helped)
				break;
		}
		if (st)
			group_put(g);
		pthread_mutex_lock(&g->lock);
		if (err && strcmp(g->upkeep_error, e.text))
			say(LOG_ERR, "group %s: upkeep: %s", g->uuid, e.text);
		snprintf(g->upkeep_error, sizeof(g->upkeep_error), "%s", err ? e.text : "");
		g->upkeep_done = nr;
		g->pressure_done = round;
		g->pressure_helped = helped && !err;
		pthread_cond_broadcast(&g->change);
		if (g->pressure_wanted == g->pressure_done && !stopping)
			wait_for(g, &g->upkeep, 1000);
		pthread_mutex_unlock(&g->lock);
	}
	return NULL;
}

/* --- making and opening ------------------------------------------------------------------------------ */

static struct group *add_group(const uint8_t *id)
{
	struct group *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;
	pthread_t t1, t2;

	if (!g)
		return NULL;
	memcpy(g->id, id, sizeof(g->id));
	uuid_text(id, g->uuid);
	snprintf(g->dir, sizeof(g->dir), "%.450s/%s", config.store, g->uuid);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->change, &attr);
	pthread_cond_init(&g->upkeep, &attr);
	pthread_cond_init(&g->memory, &attr);
	g->last = &g->first;
	if (pthread_create(&t1, NULL, writer, g))
		goto fail;
	open_store(g);
	if (pthread_create(&t2, NULL, keeper, g)) {
		pthread_mutex_lock(&g->lock);
		g->ending = true;
		pthread_cond_broadcast(&g->change);
		pthread_mutex_unlock(&g->lock);
		pthread_join(t1, NULL);
		vr_store_close(g->st);
		goto fail;
	}
	pthread_detach(t1);
	pthread_detach(t2);
	pthread_mutex_lock(&groups_lock);
	g->next = groups;
	groups = g;
	pthread_mutex_unlock(&groups_lock);
	return g;
fail:
	say(LOG_ERR, "group %s: no thread for it", g->uuid);
	free(g);
	return NULL;
}

/* The folder's own name has to outlive a power cut, too. */
static int make_folder(const char *dir)
{
	int fd, err = 0;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	fd = open(config.store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int make_store(const uint8_t *id, const char *name, const char *dir, struct vr_err *e)
{
	struct vr_io *io;
	int err = make_folder(dir);

	if (!err)
		err = vr_io_open(dir, &io);
	if (err)
		return vr_fail_errno(e, err, "%.100s", dir);
	err = vr_store_create(io, id, name, e);
	io->ops->free(io);
	return err;
}

struct group *group_create(const uint8_t *id, const char *name, struct vr_err *e)
{
	struct group *g;
	char uuid[37], dir[512], super[520];

	uuid_text(id, uuid);
	snprintf(dir, sizeof(dir), "%.450s/%s", config.store, uuid);
	snprintf(super, sizeof(super), "%s/super", dir);
	/* It is there when something failed after it was made, or when somebody put it back. */
	if (access(super, F_OK) && make_store(id, name, dir, e))
		return NULL;
	g = add_group(id);
	if (!g)
		vr_fail(e, -ENOMEM, "no memory for a group");
	return g;
}

int groups_open(struct vr_err *e)
{
	DIR *dir = opendir(config.store);
	struct dirent *d;

	if (!dir)
		return vr_fail_errno(e, -errno, "%.200s", config.store);
	while ((d = readdir(dir))) {
		uint8_t id[16];
		char path[512];

		snprintf(path, sizeof(path), "%.200s/%.200s/super", config.store, d->d_name);
		/* A folder without a superblock was being made when the daemon stopped: nothing is in it. */
		if (uuid_bytes(d->d_name, id) && !access(path, F_OK))
			add_group(id);
	}
	closedir(dir);
	return 0;
}

/* --- what the administrator asks for ------------------------------------------------------------------ */

/*
 * The writer's place: no connection, no batch. With the group's lock. BUSY, not PROMOTED, which is final: should the step fail, the
 * source comes again and goes on; else it hears PROMOTED then, with the generation.
 */
static int take_over(struct group *g, struct vr_err *e)
{
	uint64_t until = now_ms() + 60000;

	while ((g->session || g->writing || g->reopening) && now_ms() < until && !stopping) {
		if (g->session && !g->session->end)
			session_end(g->session, VAIO_RW_END_BUSY, "the replica is being taken into use");
		drop_queue(g);
		wait_change(g, 1000);
	}
	if (g->session || g->writing || g->reopening || stopping)
		return vr_fail(e, -EIO, "the group's connection did not end");
	g->writing = true;
	return 0;
}

static int step(struct group *g, enum vr_failover_step step, const char *point, struct vr_err *e)
{
	struct vr_point p = { 0 };
	struct vr_store *st = group_get(g, e);
	int err = 0;

	/* It is being opened again, by the writer. */
	if (!st)
		return -EAGAIN;
	/* Nothing more comes: the newest point is the newest that there will be. */
	if (step == VR_FAILOVER)
		err = vr_point_find(st, point, wall_ns(), &p, e);
	if (!err)
		err = vr_store_failover(st, step, &p, e);
	group_put(g);
	return err;
}

/* What would be refused anyway leaves the connection alone. A store that is being opened again says it later. */
static int step_refused(struct group *g, enum vr_failover_step step, const char *point, struct vr_err *e)
{
	struct vr_store *st = group_get(g, NULL);
	struct vr_point p;
	int err;

	if (!st)
		return 0;
	err = vr_store_failover_accepts(st, step, e);
	if (!err && step == VR_FAILOVER)
		err = vr_point_find(st, point, wall_ns(), &p, e);
	group_put(g);
	return err;
}

int group_failover(struct group *g, enum vr_failover_step what, const char *point, struct vr_err *e)
{
	bool failed;
	int err = step_refused(g, what, point, e);

	if (err)
		return err;
	pthread_mutex_lock(&g->lock);
	if (what == VR_NEW_SOURCE && g->session)
		err = vr_fail(e, -EBUSY, "%.64s (%.100s) is connected: its agent has to be stopped first", g->session->peer,
			      g->session->subject);
	else
		err = take_over(g, e);
	pthread_mutex_unlock(&g->lock);
	if (err)
		return err;
	err = step(g, what, point, e);
	failed = err == -EIO || err == -EBADMSG;
	if (failed)
		reopen(g);
	pthread_mutex_lock(&g->lock);
	g->writing = false;
	pthread_cond_broadcast(&g->change);
	pthread_mutex_unlock(&g->lock);
	if (!err)
		say(LOG_NOTICE, "group %s: %s", g->uuid, what == VR_FAILOVER ? "failover" : what == VR_UNDO ? "undo" :
		    what == VR_PERMANENT ? "permanent" : what == VR_FAILBACK ? "failback" : what == VR_NEW_SOURCE ? "new source" : "commit");
	return err;
}

/* Sends the request and waits for its answer. @s does not go away meanwhile. */
static int ask_source(struct group *g, struct session *s, uint32_t kind, const char *name, uint64_t *seq, struct vr_err *e)
{
	struct vaio_rw_checkpoint_request r = { .kind = htole32(kind) };
	uint64_t until = now_ms() + 60000, cookie;
	int err;

	cookie = ++s->asked;
	r.cookie = htole64(cookie);
	snprintf((char *)r.name, sizeof(r.name), "%s", name);
	pthread_mutex_unlock(&g->lock);
	err = session_send(s, VAIO_RW_CHECKPOINT_REQUEST, &r, sizeof(r));
	pthread_mutex_lock(&g->lock);
	while (!err && s->answered != cookie && !s->end && now_ms() < until && !stopping)
		wait_change(g, 1000);
	if (err || s->end)
		return vr_fail(e, -ENOTCONN, "the connection to the source was lost");
	if (s->answered != cookie)
		return vr_fail(e, -ETIMEDOUT, "the source did not answer");
	*seq = le64toh(s->result.seq);
	if (!*seq)
		return vr_fail(e, -EREMOTEIO, "the source made no checkpoint: %.200s", (char *)s->result.text);
	return 0;
}

int group_checkpoint(struct group *g, uint32_t kind, const char *name, uint64_t *seq, struct vr_err *e)
{
	struct vr_store *st = group_get(g, e);
	uint64_t until;
	struct vr_info info;
	int err;

	if (!st)
		return -EIO;
	pthread_mutex_lock(&g->lock);
	if (!g->session || g->session->end) {
		err = vr_fail(e, -ENOTCONN, "the source is not connected: it cannot make a checkpoint");
	} else if (g->asking) {
		err = vr_fail(e, -EBUSY, "another checkpoint is being made");
	} else {
		g->asking = true;
		err = ask_source(g, g->session, kind, name, seq, e);
		g->asking = false;
		pthread_cond_broadcast(&g->change);
	}
	until = now_ms() + 60000;
	while (!err) {
		vr_store_info(st, &info);
		if (info.durable.last_seq >= *seq)
			break;
		if (!g->session || now_ms() >= until || stopping || info.failed)
			err = vr_fail(e, -ETIMEDOUT, "the checkpoint, seq:%" PRIu64 ", did not arrive", *seq);
		else
			wait_change(g, 100);
	}
	pthread_mutex_unlock(&g->lock);
	group_put(g);
	return err;
}

static void close_group(struct group *g, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->change);
	/* A batch that is being written becomes durable or not; nothing waits for it. */
	for (int i = 0; (g->users || g->writing) && i < 100; i++)
		wait_change(g, 100);
	if (g->st && !g->users && !g->writing) {
		vr_store_close(g->st);
		g->st = NULL;
	}
	pthread_mutex_unlock(&g->lock);
}

void groups_close(void)
{
	groups_each(close_group, NULL);
}

/* --- connections ---------------------------------------------------------------------------------------- */

/* With the group's lock: waits a while for the connection before @s to end. -1, or an END code. */
static int wait_for_old(struct group *g, const struct session *s, uint64_t until, struct vr_err *e)
{
	struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };

	wait_change(g, 1000);
	if (stopping) {
		vr_fail(e, 0, "vaio-replicad stops");
		return VAIO_RW_END_DONE;
	}
	if (poll(&p, 1, 0) > 0) {
		vr_fail(e, 0, "the connection is gone");
		return VAIO_RW_END_DONE;
	}
	if (!g->session || now_ms() < until)
		return -1;
	vr_fail(e, 0, "the connection before has not ended: the storage is slow, or hangs");
	return VAIO_RW_END_BUSY;
}

int group_attach(struct group *g, struct session *s, const struct vr_hello *h, struct vr_err *e)
{
	uint64_t until = now_ms() + ATTACH_MS;
	int code = -1;

	pthread_mutex_lock(&g->lock);
	while (g->session && code < 0) {
		struct session *old = g->session;
		bool same = !memcmp(old->ring, h->ring, sizeof(old->ring));

		if (!same && !old->end) {
			code = VAIO_RW_END_BUSY;
			vr_fail(e, 0, "%s (%.100s) writes this group", old->peer, old->subject);
		} else if (same && old->connection >= h->connection) {
			code = VAIO_RW_END_REPLACED;
			vr_fail(e, 0, "connection %" PRIu64 " of this ring is newer", old->connection);
		} else {
			if (!old->end)
				session_end(old, VAIO_RW_END_REPLACED, "a newer connection of the same ring");
			code = wait_for_old(g, s, until, e);
		}
	}
	if (code < 0) {
		memcpy(s->ring, h->ring, sizeof(s->ring));
		memcpy(s->host, h->host, sizeof(s->host));
		s->connection = h->connection;
		s->group = g;
		g->session = s;
		pthread_cond_broadcast(&g->change);
	}
	pthread_mutex_unlock(&g->lock);
	return code;
}

void group_detach(struct group *g, struct session *s)
{
	pthread_mutex_lock(&g->lock);
	drop_queue(g);
	/* The writer uses the session while it writes; who asked for a checkpoint, while it waits. */
	pthread_cond_broadcast(&g->change);
	while (g->writing || g->asking)
		pthread_cond_wait(&g->change, &g->lock);
	if (g->session == s)
		g->session = NULL;
	pthread_cond_broadcast(&g->change);
	pthread_mutex_unlock(&g->lock);
}

void group_expel(struct group *g, const char *subject)
{
	pthread_mutex_lock(&g->lock);
	if (g->session && !strcmp(g->session->subject, subject))
		session_end(g->session, VAIO_RW_END_IDENTITY, "the client was taken off the group's list");
	pthread_mutex_unlock(&g->lock);
}

static void count_bytes(struct group *g, size_t len)
{
	uint64_t now = now_ms();

	if (now - g->rate_ms >= RATE_MS) {
		g->rate = (g->received - g->rate_bytes) * 1000 / (now - g->rate_ms);
		g->rate_ms = now;
		g->rate_bytes = g->received;
	}
	g->received += len;
}

uint64_t group_rate(struct group *g)
{
	count_bytes(g, 0);
	return g->rate;
}

void group_queue(struct group *g, struct session *s, struct queued *q)
{
	pthread_mutex_lock(&g->lock);
	if (g->flow != FLOWS || s->end || stopping) {
		queued_free(q);
	} else {
		q->next = NULL;
		*g->last = q;
		g->last = &q->next;
		count_bytes(g, q->len);
		pthread_cond_broadcast(&g->change);
	}
	pthread_mutex_unlock(&g->lock);
}

void group_fence_passed(struct group *g, struct session *s)
{
	(void)s;
	pthread_mutex_lock(&g->lock);
	if (g->flow == FENCED) {
		g->flow = BLOCKED;
		pthread_cond_broadcast(&g->change);
	}
	pthread_mutex_unlock(&g->lock);
}
