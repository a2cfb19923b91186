// SPDX-License-Identifier: GPL-2.0
/* A group's process: its loop, its connection's life, its figures. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "worker.h"

#define TICK_NS		100000000ULL
#define BACKOFF_MS	100U		/* before the first try to connect again; doubles */
#define BACKOFF_MAX_MS	30000U
#define STATUS_NS	(2 * SECOND)
#define SAVE_NS		(30 * SECOND)
#define STILL_NS	(10 * SECOND)	/* a resync without progress for so long has no rate */
#define HELLO_NS	(20 * SECOND)	/* a replica may have to wait for an older connection of ours to end */
#define STACK		(256U << 10)	/* of a thread: three times what the C library gives its resolver's first one */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* 200 GiB of full ones. AES-GCM's limit is 2^24.5 of any size (RFC 8446, 5.5); a replica's is above ours. */
struct key_limits worker_keys = { .records = (200ULL << 30) / 16384, .ns = 24 * 3600 * SECOND };

/* --- ends ------------------------------------------------------------------------------------ */

bool worker_unbound(struct worker *w, int err)
{
	if (err != -ENOTCONN)
		return false;
	say(LOG_WARNING, "group %s: the kernel took the ring away", w->name);
	w->exit = EXIT_UNBOUND;
	return true;
}

void worker_save(struct worker *w)
{
	struct vr_err e;

	if (w->run) {
		w->group.acked = w->run->acked > w->group.acked ? w->run->acked : w->group.acked;
		w->group.given = w->run->given > w->group.given ? w->run->given : w->group.given;
	}
	w->saved_ns = mono_ns();
	if (group_state_write(w->name, &w->group, &e))
		say(LOG_ERR, "group %s: %s", w->name, e.text);
	else
		w->group_dirty = false;
}

/* Says goodbye as far as the socket takes it. */
void worker_end(struct worker *w, uint32_t code, const char *text)
{
	struct vaio_rw_end end = { .code = htole32(code) };
	struct vr_err e;

	if (w->link.state != LINK_UP)
		return;
	snprintf((char *)end.text, sizeof(end.text), "%s", text);
	if (link_send(&w->link, VAIO_RW_END, &end, sizeof(end), &e))
		return;
	link_flush(&w->link);
	io_uring_submit(&w->uring);
}

/* The connection failed, or has to end; there will be another one. */
static void drop(struct worker *w, int err, const struct vr_err *e)
{
	unsigned int shift = w->failures < 9 ? w->failures : 9, ms = BACKOFF_MS << shift;
	uint64_t at;

	if (err == -EPROTO)
		worker_end(w, VAIO_RW_END_PROTOCOL, e->text);
	if (strcmp(w->error, e->text))
		say(w->session == SESSION_OPEN ? LOG_WARNING : LOG_NOTICE, "group %s: %s", w->name, e->text);
	snprintf(w->error, sizeof(w->error), "%s", e->text);
	link_close(&w->link);
	w->session = SESSION_NONE;
	w->blocked = false;
	/* It has not said so again. */
	if (w->again)
		w->refused = w->again = false;
	w->failures++;
	ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
	/* From three quarters of it to five. */
	at = mono_ns() + (ms * 3 / 4 + (unsigned int)random() % (ms / 2)) * 1000000ULL;
	w->retry_ns = w->retry_ns > at ? w->retry_ns : at;
}

/* --- figures ------------------------------------------------------------------------------------ */

uint64_t worker_rpo(const struct worker *w)
{
	const struct ring *r = &w->ring;
	uint64_t now = mono_ns(), age = 0, since;

	if (!w->complete_seq)
		return NO_FIGURE;
	if (w->run->gap_since_ns) {
		since = w->run->gap_since_ns;
	} else if (w->stream.live && ring_published(r) > w->durable_ring) {
		since = r->desc[(w->durable_ring + 1) & (r->bound.nr_desc - 1)].mono_ns;
	} else {
		since = now;
	}
	if (since < now)
		age = now - since;
	if (age > w->run->rpo_worst_ns)
		w->run->rpo_worst_ns = age;
	return age;
}

static void count_backlog(struct worker *w)
{
	uint64_t end = ring_published(&w->ring);

	w->backlog_bytes = 0;
	if (!w->stream.live)
		return;
	for (uint64_t n = w->durable_ring + 1; n <= end; n++)
		w->backlog_bytes += w->ring.desc[n & (w->ring.bound.nr_desc - 1)].data_len;
}

/* Of the last seconds, @ns since the last look; 0: not known, or nothing gets there. */
static void count_resync_rate(struct worker *w, uint64_t done, uint64_t ns)
{
	double rate = (double)done * 1e9 / (double)ns;

	w->resync_still_ns = done ? 0 : w->resync_still_ns + ns;
	if (w->resync_still_ns >= STILL_NS)
		w->resync_rate = 0;
	else if (w->resync_rate)
		w->resync_rate = (uint64_t)((double)w->resync_rate * 7 / 8 + rate / 8);
	else
		w->resync_rate = (uint64_t)rate;
}

static void count_resync(struct worker *w, uint64_t ns)
{
	uint64_t left = 0, before = w->resync_left;

	if (ring_members(&w->ring, w->member, &w->nr_members))
		return;
	for (unsigned int i = 0; i < w->nr_members; i++)
		if (w->member[i].flags & VAIO_REPL_M_CAPTURED)
			left += w->member[i].dirty + w->member[i].to_check;
	w->resync_left = left;
	if (!left || left > w->resync_total)
		w->resync_total = left;
	count_resync_rate(w, before > left ? before - left : 0, ns);
	if (!left)
		w->resync_rate = 0;
}

/* Once a second. */
static void count(struct worker *w, uint64_t now)
{
	if (now - w->second_ns < SECOND)
		return;
	if (w->rate_ns) {
		double rate = (double)(w->sent_bytes - w->rate_sent) * 1e9 / (double)(now - w->rate_ns);

		w->rate = (uint64_t)((double)w->rate * 0.6 + rate * 0.4);
	}
	w->rate_ns = now;
	w->rate_sent = w->sent_bytes;
	count_backlog(w);
	count_resync(w, now - w->second_ns);
	w->second_ns = now;
}

static enum worker_state state_of(const struct worker *w)
{
	if (w->refused)
		return W_REFUSED;
	if (w->session != SESSION_OPEN)
		return W_CONNECTING;
	if (w->blocked)
		return W_BLOCKED;
	if (!w->stream.live)
		return W_TRACKING;
	if (w->complete_seq == w->durable_seq && w->complete_seq && !w->run->gap_since_ns)
		return W_REPLICATING;
	if (w->stream.resync_kind == VAIO_RW_S_COMPARE)
		return W_COMPARING;
	return w->complete_seq ? W_RESYNC : W_INITIAL;
}

static void fill_figures(const struct worker *w, struct figures *f)
{
	struct vr_err e;

	memset(f, 0, sizeof(*f));
	f->state = state_of(w);
	f->connected = w->session == SESSION_OPEN;
	snprintf(f->error, sizeof(f->error), "%s", f->connected && !w->blocked && !session_damaged(w, &e) ? "" : w->error);
	uuid_text(w->group.uuid, f->uuid);
	if (w->link.state == LINK_UP)
		snprintf(f->peer, sizeof(f->peer), "%s", w->link.peer);
	f->connected_ns = w->open_ns;
	f->retry_ns = w->retry_ns;
	f->rpo_ns = w->rpo_ns;
	f->rpo_worst_ns = w->complete_seq ? w->run->rpo_worst_ns : NO_FIGURE;
	f->backlog_bytes = w->backlog_bytes;
	f->backlog_records = w->stream.live ? ring_published(&w->ring) - w->durable_ring : 0;
	f->sent_bytes = w->sent_bytes;
	f->acked_bytes = w->acked_bytes;
	f->raw_bytes = w->raw_bytes;
	f->rate = w->rate;
	f->durable_seq = w->durable_seq;
	f->complete_seq = w->complete_seq;
	if (f->state == W_INITIAL || f->state == W_RESYNC || f->state == W_COMPARING) {
		f->resync_kind = f->state == W_INITIAL ? VAIO_RW_S_INITIAL : f->state == W_RESYNC ? VAIO_RW_S_BITMAP :
				 VAIO_RW_S_COMPARE;
		f->resync_total = w->resync_total;
		f->resync_left = w->resync_left;
		f->resync_rate = w->resync_rate;
	}
	f->gaps = w->run->gaps;
	f->connections = w->run->connected;
	for (unsigned int i = 0; i < w->nr_members; i++) {
		const struct vaio_repl_member *m = &w->member[i];
		struct figure_disk *d = &f->disk[f->nr_disks++];

		snprintf(d->name, sizeof(d->name), "%s", m->name);
		uuid_text(m->uuid, d->uuid);
		d->number = m->id < VAIO_REPL_MEMBERS ? w->stream.disk[m->id].number : -1;
		d->bytes = m->bytes;
		d->dirty = m->dirty;
		d->check = m->to_check;
		d->flags = m->flags;
	}
}

static void publish(struct worker *w)
{
	struct shared *s = w->shared;

	w->rpo_ns = worker_rpo(w);
	atomic_fetch_add(&s->turn, 1);
	fill_figures(w, &s->figures);
	atomic_fetch_add(&s->turn, 1);
}

void worker_answer(struct worker *w, const struct answer *a)
{
	if (send(w->requests, a, sizeof(*a), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		say(LOG_WARNING, "group %s: an answer could not be given: %s", w->name, strerror(errno));
}

/* --- the loop ----------------------------------------------------------------------------------------- */

static void arm(struct worker *w, enum op op, int signals)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->uring);

	if (!sqe) {
		io_uring_submit(&w->uring);
		sqe = io_uring_get_sqe(&w->uring);
	}
	if (!sqe) {
		w->exit = EXIT_RESTART;
		return;
	}
	switch (op) {
	case OP_RING:
		io_uring_prep_read(sqe, w->ring.event_fd, &w->event_count, sizeof(w->event_count), 0);
		break;
	case OP_SIGNAL:
		io_uring_prep_read(sqe, signals, &w->signal, sizeof(w->signal), 0);
		break;
	case OP_REQUEST:
		io_uring_prep_recv(sqe, w->requests, &w->request, sizeof(w->request), 0);
		break;
	default:
		w->tick_time.tv_nsec = TICK_NS;
		io_uring_prep_timeout(sqe, &w->tick_time, 0, 0);
	}
	sqe->user_data = op;
}

/* False: they are not right, and nothing changed. */
static bool read_certificates(struct worker *w)
{
	struct vr_err e;

	if (!link_credentials(&w->link, w->config->pki, &e))
		return true;
	say(LOG_ERR, "group %s: %s: the certificates that were there before stay", w->name, e.text);
	return false;
}

static void on_signal(struct worker *w)
{
	struct vr_err e = { "certificates are read again" };

	if (w->signal.ssi_signo != SIGHUP) {
		w->exit = EXIT_STOPPED;
		return;
	}
	w->refused = false;
	w->failures = 0;
	w->retry_ns = 0;
	if (!read_certificates(w))
		return;
	worker_end(w, VAIO_RW_END_RECONNECT, e.text);
	drop(w, -ECONNRESET, &e);
}

static void on_request(struct worker *w)
{
	struct answer a = { .cookie = w->request.cookie };

	w->request.name[sizeof(w->request.name) - 1] = 0;
	if (!session_mark(w, &w->request, false, a.text, sizeof(a.text)))
		worker_answer(w, &a);
}

static int receive(struct worker *w, struct vr_err *e)
{
	uint16_t type;
	size_t len;
	int rc;

	while ((rc = link_receive(&w->link, &type, &len, e)) > 0) {
		rc = session_message(w, type, len, e);
		if (rc < 0 || w->link.state != LINK_UP)
			return rc;
	}
	return rc;
}

static void complete(struct worker *w, const struct io_uring_cqe *cqe, int signals)
{
	struct vr_err e;
	int err = 0;

	switch (cqe->user_data) {
	case OP_RING:
	case OP_TICK:
		arm(w, (enum op)cqe->user_data, signals);
		return;
	case OP_SIGNAL:
		if (cqe->res == sizeof(w->signal))
			on_signal(w);
		arm(w, OP_SIGNAL, signals);
		return;
	case OP_REQUEST:
		if (cqe->res == sizeof(w->request))
			on_request(w);
		else if (cqe->res == 0)
			w->exit = EXIT_STOPPED;	/* the parent is gone */
		arm(w, OP_REQUEST, signals);
		return;
	}
	err = link_completion(&w->link, cqe, &e);
	if (!err && w->link.state == LINK_UP && w->session == SESSION_NONE)
		err = session_hello(w, &e);
	if (!err)
		err = receive(w, &e);
	if (err < 0 && w->link.state != LINK_CLOSING)
		drop(w, err, &e);
}

static int keep_alive(struct worker *w, uint64_t now, struct vr_err *e)
{
	struct vaio_rw_ping ping = { 0 };

	if (w->session == SESSION_HELLO && now - w->link.said_ns > HELLO_NS)
		return vr_fail(e, -ETIMEDOUT, "%.60s: no WELCOME", w->link.peer);
	if (w->session != SESSION_OPEN)
		return 0;
	if (w->link.sealed > worker_keys.records || w->link.opened > worker_keys.records || now - w->open_ns > worker_keys.ns) {
		worker_end(w, VAIO_RW_END_RECONNECT, "time for new keys");
		w->failures = 0;
		return vr_fail(e, -ECONNRESET, "time for new keys");
	}
	if (now - w->told_ns > STATUS_NS)
		return session_status(w, e);
	/* A replica that has nothing to say is asked. */
	if (now - w->link.heard_ns > VAIO_RW_PING_MS * 1000000ULL && now - w->pinged_ns > VAIO_RW_PING_MS * 1000000ULL) {
		w->pinged_ns = now;
		return link_send(&w->link, VAIO_RW_PING, &ping, sizeof(ping), e);
	}
	if (now - w->link.said_ns > VAIO_RW_PING_MS * 1000000ULL)
		return link_send(&w->link, VAIO_RW_PING, &ping, sizeof(ping), e);
	return 0;
}

static void tick(struct worker *w)
{
	uint64_t now = mono_ns();
	struct vr_err e;
	int err;

	atomic_store(&w->shared->heartbeat_ns, now);
	if (worker_unbound(w, ring_alive(&w->ring)))
		return;
	count(w, now);
	err = link_tick(&w->link, &e);
	if (!err)
		err = keep_alive(w, now, &e);
	if (err)
		drop(w, err, &e);
	/* It left the group, or is a good one again. */
	if (w->damaged && !session_damaged(w, &e)) {
		w->damaged = w->refused = false;
		w->failures = 0;
		w->retry_ns = 0;
	}
	if (w->link.state == LINK_DOWN && now >= w->retry_ns) {
		w->again = w->refused;
		link_connect(&w->link, w->host, w->port);
	}
	session_marks(w, false);
	if (now - w->saved_ns > SAVE_NS && (w->group_dirty || w->run->acked != w->group.acked))
		worker_save(w);
	publish(w);
}

static void loop(struct worker *w, int signals)
{
	uint64_t ticked = 0;

	arm(w, OP_RING, signals);
	arm(w, OP_SIGNAL, signals);
	arm(w, OP_REQUEST, signals);
	arm(w, OP_TICK, signals);
	while (w->exit < 0) {
		struct io_uring_cqe *cqe;
		struct vr_err e;
		int err;

		if (mono_ns() - ticked >= TICK_NS) {
			tick(w);
			ticked = mono_ns();
		}
		err = session_pump(w, &e);
		if (err < 0)
			drop(w, err, &e);
		link_flush(&w->link);
		/* More to send at once? Completions first: they are what makes room. */
		if (w->session == SESSION_OPEN && w->stream.live)
			ring_sleep(&w->ring, w->stream.position + 1, w->stream.epoch);
		if (w->exit >= 0)
			break;
		if (w->session == SESSION_OPEN && w->stream.live && !w->blocked && link_wants(&w->link) &&
		    w->in_flight < w->window && !w->config->rate && ring_published(&w->ring) > w->stream.position &&
		    !seqmap_full(&w->run->map) && w->flight_tail - w->flight_head < FLIGHTS)
			io_uring_submit(&w->uring);
		else
			io_uring_submit_and_wait(&w->uring, 1);
		while (!io_uring_peek_cqe(&w->uring, &cqe)) {
			struct io_uring_cqe copy = *cqe;

			io_uring_cqe_seen(&w->uring, cqe);
			complete(w, &copy, signals);
		}
	}
}

/* What was begun to be sent is sent, for a second at most. */
static void say_goodbye(struct worker *w)
{
	uint64_t until = mono_ns() + SECOND;

	worker_end(w, VAIO_RW_END_DONE, "vaio-agent stops");
	while (w->link.state == LINK_UP && w->link.sending && mono_ns() < until) {
		struct __kernel_timespec patience = { .tv_nsec = TICK_NS };
		struct io_uring_cqe *cqe;
		struct vr_err e;

		link_flush(&w->link);
		io_uring_submit(&w->uring);
		if (io_uring_wait_cqe_timeout(&w->uring, &cqe, &patience))
			continue;
		if (cqe->user_data >= OP_CONNECT && link_completion(&w->link, cqe, &e) < 0)
			until = 0;
		io_uring_cqe_seen(&w->uring, cqe);
	}
}

/* --- the beginning --------------------------------------------------------------------------------------- */

/* machine-id, boot_id: hex digits, with or without dashes. */
static int read_id(const char *path, uint8_t *id, struct vr_err *e)
{
	char text[64] = "", plain[33];
	FILE *f = fopen(path, "re");
	size_t n = 0;

	if (!f)
		return vr_fail_errno(e, -errno, "%s", path);
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	for (const char *p = text; *p && *p != '\n' && n < sizeof(plain) - 1; p++)
		if (*p != '-')
			plain[n++] = *p;
	plain[n] = 0;
	for (size_t i = 0; i < VAIO_RW_ID_LEN; i++) {
		unsigned int byte;

		if (n != 32 || sscanf(plain + 2 * i, "%2x", &byte) != 1)
			return vr_fail(e, -EINVAL, "%s: '%s' is no id of 32 hexadecimal digits", path, plain);
		id[i] = (uint8_t)byte;
	}
	return vr_is_nil(id) ? vr_fail(e, -EINVAL, "%s is zero", path) : 0;
}

static int prepare(struct worker *w, struct vr_err *e)
{
	int err = read_id("/etc/machine-id", w->host_id, e);

	if (!err)
		err = read_id("/proc/sys/kernel/random/boot_id", w->boot_id, e);
	memcpy(w->stream.boot, w->boot_id, sizeof(w->boot_id));
	if (!err)
		err = time_offset(w->boot_id, &w->stream.time_offset, e);
	if (!err && io_uring_queue_init(64, &w->uring, 0))
		err = vr_fail(e, -ENOSYS, "io_uring is not there: does sysctl kernel.io_uring_disabled forbid it?");
	if (!err)
		err = link_init(&w->link, &w->uring, e);
	return err;
}

/* Takes the ring; another agent may still be about to let it go. */
static int take_ring(struct worker *w, int signals, struct vr_err *e)
{
	struct signalfd_siginfo info;

	for (;;) {
		int err = ring_bind(&w->ring, w->name, e);

		if (err != -EBUSY)
			return err;
		atomic_store(&w->shared->heartbeat_ns, mono_ns());
		atomic_fetch_add(&w->shared->turn, 1);
		snprintf(w->shared->figures.error, sizeof(w->shared->figures.error), "another process has the ring");
		atomic_fetch_add(&w->shared->turn, 1);
		usleep(50000);
		if (read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP) {
			w->exit = EXIT_STOPPED;
			return 0;
		}
		if (read_certificates(w))
			say(LOG_NOTICE, "group %s: certificates are read again", w->name);
	}
}

/* The history that a failback's end began at the replica is this host's, when the administrator says so. */
static int adopt(struct worker *w, struct vr_err *e)
{
	int rc = w->config->generation.counter ? group_state_adopt(&w->group, &w->config->generation, e) : 0;

	if (rc > 0) {
		say(LOG_NOTICE, "group %s: generation %" PRIu64 " is taken over from the replica", w->name,
		    w->config->generation.counter);
		return group_state_write(w->name, &w->group, e);
	}
	/* Without it the replica refuses, and says why. */
	if (rc)
		say(LOG_ERR, "group %s: %s", w->name, e->text);
	return 0;
}

/* The group's name at the replica is one machine's: a copy of it that went on under that name would be mixed with it. */
static int claim(struct worker *w, struct vr_err *e)
{
	uint8_t hardware[VAIO_RW_ID_LEN] = { 0 };
	int rc;

	/* Not every machine has one. */
	if (read_id("/sys/class/dmi/id/product_uuid", hardware, e))
		memset(hardware, 0, sizeof(hardware));
	rc = group_state_claim(w->name, &w->group, w->host_id, hardware, e);
	return rc > 0 ? group_state_write(w->name, &w->group, e) : rc;
}

/*
 * The only threads are those of getaddrinfo_a(). All but the first one it makes with the process's default stack, 8 MiB as a
 * rule, and of what is locked every page is there from the beginning.
 */
static int small_stacks(void)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return err;
	err = pthread_attr_setstacksize(&attr, STACK);
	if (!err)
		err = pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
	return err;
}

static int begin(struct worker *w, int signals, struct vr_err *e)
{
	int err = prepare(w, e);

	if (!err)
		err = link_credentials(&w->link, w->config->pki, e);
	if (!err)
		err = take_ring(w, signals, e);
	if (err || w->exit >= 0)
		return err;
	w->run = ring_state_open(w->name, w->ring.bound.ring_id, e);
	if (!w->run)
		return -EIO;
	w->stream.map = &w->run->map;
	w->stream.resync_kind = w->run->resync_kind;
	w->stream.resync_bytes = w->run->resync_bytes;
	/* Of one that the process before this one should have sent. */
	w->stream.gap_reason = VAIO_RW_GAP_AGENT;
	w->durable_ring = w->ring.bound.durable;
	w->complete_seq = w->run->complete;
	w->changes = ring_changes(&w->ring) - 1;
	err = group_state_read(w->name, w->ring.bound.group_uuid, &w->group, e);
	if (!err)
		err = claim(w, e);
	if (!err)
		err = adopt(w, e);
	if (err)
		return err;
	err = small_stacks();
	if (err)
		say(LOG_WARNING, "group %s: stacks of threads: %s", w->name, strerror(err));
	/* Out of memory's and the swap's way: writes to disks wait for this process. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		say(LOG_WARNING, "group %s: mlockall: %s", w->name, strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		say(LOG_WARNING, "group %s: PR_SET_IO_FLUSHER: %s", w->name, strerror(errno));
	return 0;
}

int worker_run(const char *group, const char *target, const struct group_config *c, struct shared *shared, int requests)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct vr_err e = { "" };
	struct vaio_err ve;
	sigset_t set;
	int signals, err;

	if (!w)
		return EXIT_RESTART;
	w->name = group;
	w->config = c;
	w->shared = shared;
	w->requests = requests;
	w->exit = -1;
	srandom((unsigned int)(mono_ns() ^ (uint64_t)getpid()));
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	atomic_store(&shared->heartbeat_ns, mono_ns());
	if (target_parse(target, w->host, sizeof(w->host), w->port, sizeof(w->port), &ve))
		err = vr_fail(&e, -EINVAL, "%.200s", ve.text);
	else
		err = begin(w, signals, &e);
	if (err) {
		atomic_fetch_add(&shared->turn, 1);
		snprintf(shared->figures.error, sizeof(shared->figures.error), "%s", e.text);
		atomic_fetch_add(&shared->turn, 1);
		say(LOG_ERR, "group %s: %s", group, e.text);
		return EXIT_RESTART;
	}
	if (w->exit < 0) {
		/* The loop's read of it waits in the kernel, not here. */
		fcntl(signals, F_SETFL, 0);
		fcntl(w->ring.event_fd, F_SETFL, 0);
		loop(w, signals);
		say_goodbye(w);
		worker_save(w);
	}
	return w->exit;
}
