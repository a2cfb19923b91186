// SPDX-License-Identifier: GPL-2.0
/* A connection from an agent: its thread reads messages; batches go to the group's writer. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "replicad.h"
#include "../libreplica/crc32c.h"

#define MAX_WHOLE	1024U		/* bytes that go with their header */
#define MAKING_S	15		/* less than an agent waits for WELCOME */

/* 256 GiB of full ones, more than an agent sends. AES-GCM's limit is 2^24.5 of any size (RFC 8446, 5.5). */
struct key_limits session_keys = { .records = (256ULL << 30) / KTLS_RECORD, .ms = 24 * 3600 * 1000 };

uint64_t look_ms = 1000;

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- sending ------------------------------------------------------------------------- */

static int send_all(struct session *s, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = gnutls_record_send(s->tls, p, len);

		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			return -1;	/* an agent that takes nothing for the send timeout is gone */
		p += n;
		len -= (size_t)n;
		s->sealed++;
	}
	return 0;
}

int session_send(struct session *s, uint16_t type, const void *payload, size_t len)
{
	struct {
		struct vaio_rw_msg h;
		char payload[MAX_WHOLE];
	} m;
	size_t with = len < MAX_WHOLE ? len : MAX_WHOLE;
	int rc;

	/* One record of TLS, one segment of TCP, one waking up: an agent in sync mode waits for it. */
	vr_message_header(&m.h, type, payload, len);
	memcpy(m.payload, payload, with);
	pthread_mutex_lock(&s->send_lock);
	rc = send_all(s, &m, sizeof(m.h) + with) || send_all(s, (const char *)payload + with, len - with) ? -1 : 0;
	/* Part of it may be out: nothing that followed would be understood. */
	if (rc)
		shutdown(s->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->send_lock);
	return rc;
}

void session_end(struct session *s, enum vaio_rw_end_code code, const char *text)
{
	pthread_mutex_lock(&s->send_lock);
	if (!s->end) {
		snprintf(s->end_text, sizeof(s->end_text), "%s", text);
		s->end = (int)code + 1;
	}
	pthread_mutex_unlock(&s->send_lock);
}

static void send_end(struct session *s, int code, const struct vr_generation *g)
{
	static const uint32_t retry[] = {
		[VAIO_RW_END_DONE] = 1000, [VAIO_RW_END_BUSY] = 10000, [VAIO_RW_END_PROTOCOL] = 10000,
		[VAIO_RW_END_FAILED] = 5000, [VAIO_RW_END_TIMEOUT] = 1000, [VAIO_RW_END_LIMIT] = ~0U,
		[VAIO_RW_END_VERSION] = ~0U, [VAIO_RW_END_NO_GROUP] = ~0U, [VAIO_RW_END_IDENTITY] = ~0U,
		[VAIO_RW_END_FORK] = ~0U, [VAIO_RW_END_PROMOTED] = ~0U, [VAIO_RW_END_DAMAGED] = ~0U,
		[VAIO_RW_END_REPLACED] = ~0U, [VAIO_RW_END_SOURCE_DAMAGED] = ~0U,
		[VAIO_RW_END_HOST] = ~0U,
	};
	struct vaio_rw_end end = { .code = htole32((uint32_t)code), .retry_ms = htole32(retry[code]) };

	if (g)
		vr_generation_encode(g, &end.generation);
	memcpy(end.text, s->end_text, sizeof(end.text));
	session_send(s, VAIO_RW_END, &end, sizeof(end));
}

/* --- receiving ---------------------------------------------------------------------------- */

/* What is small, a header, comes in a record with what follows it: so the record is decrypted once, to a place of its own. */
static ssize_t read_kernel(struct session *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->staged_at == s->staged_len) {
		if (len > sizeof(struct vaio_rw_msg))
			return ktls_receive(s->fd, buf, len, true);
		n = ktls_receive(s->fd, s->staged, sizeof(s->staged), false);
		if (n <= 0)
			return n;
		s->staged_at = 0;
		s->staged_len = (size_t)n;
	}
	if (len > s->staged_len - s->staged_at)
		len = s->staged_len - s->staged_at;
	memcpy(buf, s->staged + s->staged_at, len);
	s->staged_at += len;
	return (ssize_t)len;
}

/* As gnutls_record_recv() does. */
static ssize_t read_some(struct session *s, void *buf, size_t len)
{
	ssize_t n;

	if (!s->kernel_receives)
		return gnutls_record_recv(s->tls, buf, len);
	n = read_kernel(s, buf, len);
	if (n == -EAGAIN)
		return GNUTLS_E_AGAIN;
	if (n == -EINTR)
		return GNUTLS_E_INTERRUPTED;
	return n < 0 ? GNUTLS_E_PULL_ERROR : n;
}

/*
 * Whole or not at all: 1; 0 when the peer closed; -1 when the connection is to end (s->end says how).
 * Sends a PING when nothing was heard for long.
 */
static int receive(struct session *s, void *buf, size_t len)
{
	uint64_t heard = now_ms(), pinged = heard;
	char *p = buf;

	while (len) {
		ssize_t n;

		if (stopping)
			session_end(s, VAIO_RW_END_DONE, "vaio-replicad stops");
		else if (tls_stale(s))
			session_end(s, VAIO_RW_END_RECONNECT, "certificates are read again");
		if (s->end)
			return -1;
		n = read_some(s, p, len);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			heard = pinged = now_ms();
			continue;
		}
		if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
			return 0;
		if (n != GNUTLS_E_AGAIN && n != GNUTLS_E_INTERRUPTED) {
			if (gnutls_error_is_fatal((int)n))
				return 0;
			continue;
		}
		if (now_ms() - heard > VAIO_RW_DEAD_MS) {
			session_end(s, VAIO_RW_END_TIMEOUT, "nothing was heard for too long");
		} else if (now_ms() - pinged > VAIO_RW_PING_MS) {
			struct vaio_rw_ping ping = { 0 };

			session_send(s, VAIO_RW_PING, &ping, sizeof(ping));
			pinged = now_ms();
		}
	}
	return 1;
}

struct waiting {
	struct session *s;
	uint64_t pinged;
};

/* The disk is slow, or hangs: the source is told that we live. What it says meanwhile is heard later. */
static bool wait_for_memory(void *arg)
{
	struct waiting *w = arg;
	struct vaio_rw_ping ping = { 0 };

	if (stopping || w->s->end)
		return false;
	if (now_ms() - w->pinged > VAIO_RW_PING_MS) {
		w->pinged = now_ms();
		return !session_send(w->s, VAIO_RW_PING, &ping, sizeof(ping));
	}
	return true;
}

static struct queued *take_memory(struct session *s, size_t len)
{
	struct waiting w = { s, now_ms() };

	return memory_take(s->group, len, wait_for_memory, &w);
}

/* One message: 1 with a batch or payload in *@q, 0 or -1 as above. */
static int receive_message(struct session *s, uint16_t *type, struct queued **q, struct vr_err *e)
{
	struct vaio_rw_msg h;
	size_t len;
	int rc = receive(s, &h, sizeof(h));

	*q = NULL;
	if (rc <= 0)
		return rc;
	if (vr_message_check_header(&h, type, &len, e)) {
		session_end(s, VAIO_RW_END_PROTOCOL, e->text);
		return -1;
	}
	/* Nobody has to be believed about 8 MiB before it said who it is. */
	if (!s->group && (*type != VAIO_RW_HELLO || len > VAIO_RW_MAX_MESSAGE)) {
		session_end(s, VAIO_RW_END_PROTOCOL, "the first message must be a HELLO");
		return -1;
	}
	if (*type != VAIO_RW_BATCH && len > MAX_OTHER) {
		session_end(s, VAIO_RW_END_PROTOCOL, "a message that only a replica sends");
		return -1;
	}
	*q = *type == VAIO_RW_BATCH ? take_memory(s, len) : queued_new(len);
	if (!*q) {
		session_end(s, stopping ? VAIO_RW_END_DONE : VAIO_RW_END_FAILED, stopping ? "vaio-replicad stops" : "no memory");
		return -1;
	}
	rc = receive(s, (*q)->data, len);
	if (rc > 0 && vr_message_check(&h, (*q)->data, len, e)) {
		session_end(s, VAIO_RW_END_PROTOCOL, e->text);
		rc = -1;
	}
	if (rc <= 0) {
		queued_free(*q);
		*q = NULL;
	}
	return rc;
}

/* --- HELLO ----------------------------------------------------------------------------------- */

static int send_welcome(struct session *s, struct vr_store *st, const struct vr_hello *hello)
{
	struct vr_history *h = vr_store_history(st);
	size_t len = sizeof(struct vaio_rw_welcome);
	struct vaio_rw_welcome *w;
	struct vr_info info;
	uint32_t flags = 0;
	char *at;
	int rc;

	vr_store_info(st, &info);
	if (h)
		len += h->nr_generations * sizeof(struct vaio_rw_generation) + h->nr_members * sizeof(struct vaio_rw_member);
	w = h ? calloc(1, len) : NULL;
	if (!w) {
		free(h);
		return -1;
	}
	if (!info.durable.last_seq)
		flags |= VAIO_RW_W_EMPTY;
	else if (hello->acked_seq > info.durable.last_seq || info.compare)
		flags |= VAIO_RW_W_COMPARE;
	if (info.durable.last_seq && info.durable.stretch)
		flags |= VAIO_RW_W_RESYNC;
	/* One that is open, and durable, need not be opened again: a source that was cut off after it goes on. */
	s->need_gap = flags & VAIO_RW_W_COMPARE && !(info.durable.stretch & VAIO_RS_S_GAP);
	w->version = htole32(VAIO_RW_VERSION);
	w->flags = htole32(flags);
	memcpy(w->store, info.store, sizeof(w->store));
	if (info.durable.last_seq)
		vr_generation_encode(&info.generation, &w->generation);
	w->durable_seq = htole64(info.durable.last_seq);
	w->complete_seq = htole64(info.durable.complete_seq);
	w->max_batch = htole32(VAIO_RW_MAX_BATCH);
	w->max_batch_raw = htole32(VAIO_RW_MAX_BATCH_RAW);
	w->max_records = htole32(VAIO_RW_MAX_RECORDS);
	w->window = htole32((uint32_t)memory_share() / 2);
	w->nr_generations = htole16((uint16_t)h->nr_generations);
	w->nr_members = htole16((uint16_t)h->nr_members);
	at = (char *)(w + 1);
	for (unsigned int i = 0; i < h->nr_generations; i++, at += sizeof(struct vaio_rw_generation))
		vr_generation_encode(&h->generations[i], (void *)at);
	for (unsigned int i = 0; i < h->nr_members; i++, at += sizeof(struct vaio_rw_member))
		vr_member_encode(&h->members[i], (void *)at);
	rc = session_send(s, VAIO_RW_WELCOME, w, len);
	free(w);
	free(h);
	return rc;
}

/* A group that is not here is made. -1, or an END code. */
static int find_group(const struct vr_hello *h, struct group **g, struct vr_err *e)
{
	static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
	struct timespec until;

	*g = group_find(h->group);
	if (*g)
		return -1;
	if (!config.new_groups) {
		vr_fail(e, 0, "the group is not here, and new ones are not taken");
		return VAIO_RW_END_NO_GROUP;
	}
	if (group_count() >= config.max_groups) {
		vr_fail(e, 0, "there are %u groups already", group_count());
		return VAIO_RW_END_LIMIT;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += MAKING_S;
	if (pthread_mutex_clocklock(&making, CLOCK_MONOTONIC, &until)) {
		vr_fail(e, 0, "another group is being made, and the storage is slow, or hangs");
		return VAIO_RW_END_BUSY;
	}
	*g = group_find(h->group);
	if (!*g)
		*g = group_create(h->group, h->group_name[0] ? h->group_name : "unnamed", e);
	pthread_mutex_unlock(&making);
	return *g ? -1 : VAIO_RW_END_FAILED;
}

/* A group that was just made, or whose making was cut here before, is the first one's that comes. */
static int adopt_group(struct session *s, const struct group *g, struct vr_store *st, struct vr_err *e)
{
	int rc = config.new_groups ? vr_store_adopt(st, s->subject, config.retain_ns, config.quota_bytes, e) : 0;

	if (rc > 0)
		say(LOG_NOTICE, "group %s: made for %s", g->uuid, s->subject);
	return rc < 0 ? rc : 0;
}

/* The refusals of Documentation/replication-wire.md, in its order. -1: welcome. */
static int greet(struct session *s, const struct vr_hello *h, struct vr_generation *newest, struct vr_err *e)
{
	struct vr_store *st;
	struct vr_info info;
	struct group *g;
	int code;

	if (h->version_min > VAIO_RW_VERSION || h->version_max < VAIO_RW_VERSION || h->required) {
		vr_fail(e, 0, "version %u without features is spoken here", VAIO_RW_VERSION);
		return VAIO_RW_END_VERSION;
	}
	/* From here on storage is waited for, which may hang: only for so many of a group. */
	if (!place_take(s, h->group, e))
		return VAIO_RW_END_BUSY;
	code = find_group(h, &g, e);
	if (code >= 0)
		return code;
	st = group_get(g, e);
	if (!st)
		return g->damaged ? VAIO_RW_END_DAMAGED : VAIO_RW_END_FAILED;
	if (adopt_group(s, g, st, e))
		code = VAIO_RW_END_FAILED;
	else if (vr_store_has_client(st, s->subject))
		code = group_attach(g, s, h, e);
	/* It may have been taken off the list meanwhile. */
	if (code < 0 && !vr_store_has_client(st, s->subject)) {
		vr_fail(e, 0, "'%.150s' may not write this group", s->subject);
		code = VAIO_RW_END_IDENTITY;
	}
	/* From here on nobody else writes. */
	vr_store_info(st, &info);
	*newest = info.generation;
	if (code < 0 && (info.role == VAIO_RS_PROMOTED || info.failover != VAIO_RS_READY)) {
		vr_fail(e, 0, info.role == VAIO_RS_PROMOTED ? "the replica was taken into use, for good: it is nobody's replica any more" :
			"the replica was taken into use: its history is the one to go on with. There 'vaioctl replica failback' and 'commit' "
			"bring it here, and 'undo' throws it away");
		code = VAIO_RW_END_PROMOTED;
	}
	/* After a failback it is compared, whoever it is. */
	if (code < 0 && info.durable.last_seq && info.role != VAIO_RS_RETURNED && !vr_is_nil(info.source) &&
	    memcmp(info.source, h->host, sizeof(info.source))) {
		vr_fail(e, 0, "the group is that of host '%.30s'. Is this one a copy, remove its state of the group; does it replace it, "
			"run 'vaioctl replica new-source' there", info.source_name);
		code = VAIO_RW_END_HOST;
	}
	if (code < 0 && info.durable.last_seq && vr_generations_follow(h, &info.generation, info.durable.last_seq, e))
		code = VAIO_RW_END_FORK;
	if (code < 0 && h->flags & VAIO_RW_H_SOURCE_DAMAGED && info.durable.complete_seq) {
		vr_fail(e, 0, "the source lost data that the replica has: it may not be resynced over it");
		code = VAIO_RW_END_SOURCE_DAMAGED;
	}
	if (code < 0 && vr_store_set_source(st, h->host, h->host_name, h->ring, h->connection, e))
		code = VAIO_RW_END_FAILED;
	if (code < 0 && send_welcome(s, st, h)) {
		vr_fail(e, 0, "the connection is gone");
		code = VAIO_RW_END_DONE;
	}
	group_put(g);
	return code;
}

/* --- messages ------------------------------------------------------------------------------------ */

static void message(struct session *s, uint16_t type, const struct queued *q)
{
	struct group *g = s->group;

	switch (type) {
	case VAIO_RW_PING:
		session_send(s, VAIO_RW_PONG, q->data, q->len);
		break;
	case VAIO_RW_PONG:
		if (le64toh(q->data[0]) == FENCE_COOKIE)
			group_fence_passed(g, s);
		break;
	case VAIO_RW_STATUS:
		pthread_mutex_lock(&g->lock);
		memcpy(&s->status, q->data, sizeof(s->status));
		pthread_mutex_unlock(&g->lock);
		break;
	case VAIO_RW_CHECKPOINT_RESULT:
		pthread_mutex_lock(&g->lock);
		memcpy(&s->result, q->data, sizeof(s->result));
		s->answered = le64toh(s->result.cookie);
		pthread_cond_broadcast(&g->change);
		pthread_mutex_unlock(&g->lock);
		break;
	default:
		session_end(s, VAIO_RW_END_PROTOCOL, "a message that only a replica sends");
	}
}

/* Who is refused asks again within a minute: it is said when it is another reason (@text), and each hour. */
static bool is_news(const struct session *s, const struct vr_hello *h, const char *text)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct { uint32_t who, what; uint64_t ms; } told[256];
	uint32_t who = vr_crc32c(vr_crc32c(0, h->group, sizeof(h->group)), s->subject, strlen(s->subject));
	uint32_t what = vr_crc32c(0, text, strlen(text));
	uint64_t now = now_ms();
	bool news;

	pthread_mutex_lock(&lock);
	news = told[who % 256].who != who || told[who % 256].what != what || now - told[who % 256].ms > 3600000;
	if (news) {
		told[who % 256].who = who;
		told[who % 256].what = what;
		told[who % 256].ms = now;
	}
	pthread_mutex_unlock(&lock);
	return news;
}

/* Returns whether an END was sent. */
static bool serve(struct session *s)
{
	uint64_t opened = 0, since = now_ms();
	struct vr_generation newest = { .counter = 0 };
	struct vr_hello *hello;
	struct vr_err e = { "" };
	struct queued *q;
	uint16_t type;
	int rc = receive_message(s, &type, &q, &e), code;
	bool news;

	if (rc <= 0)
		return false;
	hello = malloc(sizeof(*hello));
	if (!hello) {
		queued_free(q);
		return false;
	}
	vr_hello_decode(q->data, hello);
	queued_free(q);
	code = greet(s, hello, &newest, &e);
	news = is_news(s, hello, code >= 0 ? e.text : "");
	free(hello);
	if (code >= 0) {
		if (news)
			say(LOG_WARNING, "%s (%s): refused: %s", s->peer, s->subject, e.text);
		session_end(s, code, e.text);
		/* Who hears that it may try again finds the place free. */
		if (!s->group)
			place_give(s);
		send_end(s, code, code == VAIO_RW_END_FORK || code == VAIO_RW_END_PROMOTED ? &newest : NULL);
		s->end = 0;
		return true;
	}
	say(LOG_NOTICE, "group %s: %s (%s) connected%s", s->group->uuid, s->peer, s->subject,
	    s->kernel_receives ? "; the kernel decrypts" : "");
	while ((rc = receive_message(s, &type, &q, &e)) > 0) {
		opened += 1 + (sizeof(struct vaio_rw_msg) + q->len) / KTLS_RECORD;
		if (type == VAIO_RW_END) {
			queued_free(q);
			return false;
		}
		if (type == VAIO_RW_BATCH) {
			group_queue(s->group, s, q);
		} else {
			message(s, type, q);
			queued_free(q);
		}
		if (opened > session_keys.records || s->sealed > session_keys.records || now_ms() - since > session_keys.ms)
			session_end(s, VAIO_RW_END_RECONNECT, "time for new keys");
	}
	return false;
}

/*
 * What the peer sent and nobody read makes close() reset the connection, and the peer may lose the
 * END that it did not read yet: so its bytes are taken until it closes, or for a while.
 */
static void take_rest(struct session *s)
{
	uint64_t until = now_ms() + 3000;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	char buf[16384];
	int left;

	while ((left = (int)(until - now_ms())) > 0 && !stopping)
		if (poll(&p, 1, left < 500 ? left : 500) < 0 ||
		    (p.revents && recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0))
			return;
}

static void *session_thread(void *arg)
{
	struct session *s = arg;
	struct vr_err e = { "" };
	struct timeval second = { .tv_sec = 1 }, half_minute = { .tv_sec = 30 };
	bool told = false;
	int one = 1;

	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &half_minute, sizeof(half_minute));
	if (tls_start(s, &e)) {
		say(LOG_WARNING, "%s: %s", s->peer, e.text);
	} else {
		told = serve(s);
		if (s->end) {
			send_end(s, s->end - 1, NULL);
			told = true;
		}
		if (s->group) {
			say(LOG_NOTICE, "group %s: %s gone%s%s", s->group->uuid, s->peer, s->end ? ": " : "", s->end_text);
			/* So that the writer does not wait for a peer that is not there. */
			if (!s->end)
				session_end(s, VAIO_RW_END_DONE, "");
			shutdown(s->fd, told ? SHUT_WR : SHUT_RDWR);
			group_detach(s->group, s);
		}
		place_give(s);
		if (told) {
			shutdown(s->fd, SHUT_WR);
			take_rest(s);
		}
	}
	if (s->tls)
		gnutls_deinit(s->tls);
	place_leave(s);
	close(s->fd);
	pthread_mutex_destroy(&s->send_lock);
	free(s);
	return NULL;
}

void session_start(int fd, const char *peer)
{
	struct session *s = calloc(1, sizeof(*s));
	pthread_t t;

	if (!s)
		goto fail;
	s->fd = fd;
	/* Nothing was said yet. */
	memset(&s->status, 0xff, sizeof(s->status));
	s->status.flags = s->status.reserved = 0;
	snprintf(s->peer, sizeof(s->peer), "%s", peer);
	if (!place_new(s))
		goto fail;
	pthread_mutex_init(&s->send_lock, NULL);
	if (!pthread_create(&t, NULL, session_thread, s)) {
		pthread_detach(t);
		return;
	}
	place_leave(s);
fail:
	say(LOG_WARNING, "%s: too many connections", peer);
	close(fd);
	free(s);
}
