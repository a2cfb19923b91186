// SPDX-License-Identifier: GPL-2.0
/*
 * The unix socket: a line of JSON in, a line of JSON out, and the connection ends.
 * {"do": "status", "group": "vm1"} gives {"ok": true, ...} or {"ok": false, "error": "..."}.
 * Only root, and the user that the daemon runs as, are heard.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "replicad.h"

#define MAX_REQUEST	65536
#define MAX_CLIENTS	32

static int listener = -1;
static atomic_int nr_clients;

static json_t *refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static json_t *refuse(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static const char *str(json_t *r, const char *key)
{
	return json_string_value(json_object_get(r, key));
}

/* --- status -------------------------------------------------------------------------- */

static const char *state_word(struct group *g, const struct vr_info *i)
{
	if (g->flow != FLOWS)
		return le32toh(g->blocked.reason) == VAIO_RW_BLOCKED_RESYNC ? "resync-blocked" : "full";
	if (i->role != VAIO_RS_REPLICA || i->failover != VAIO_RS_READY)
		return "promoted";
	if (!i->durable.last_seq)
		return "empty";
	if (i->durable.stretch)
		return i->durable.complete_seq ? "resync" : "initial-sync";
	return g->session ? "ready" : "disconnected";
}

static json_t *group_json(struct group *g)
{
	struct vr_info i;
	struct vr_err e;
	struct vr_store *st = group_get(g, &e);
	struct vr_history *h;
	json_t *j, *disks = json_array();

	if (!st)
		return json_pack("{s:s, s:s, s:s, s:o}", "uuid", g->uuid, "state", g->damaged ? "damaged" : "failed", "error",
				 e.text, "disks", disks);
	vr_store_info(st, &i);
	h = vr_store_history(st);
	for (unsigned int n = 0; h && n < h->nr_members; n++) {
		const struct vr_member *m = &h->members[n];
		char uuid[37];

		if (m->removed)
			continue;
		uuid_text(m->disk, uuid);
		json_array_append_new(disks, json_pack("{s:i, s:s, s:s, s:I, s:i}", "number", m->number, "name", m->name, "uuid",
						       uuid, "size", (json_int_t)m->size, "block_size", m->block_size));
	}
	free(h);
	pthread_mutex_lock(&g->lock);
	j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:I}",
		      "uuid", g->uuid, "name", i.group_name, "directory", g->dir, "state", state_word(g, &i), "disks", disks,
		      "connected", g->session != NULL,
		      "oldest_seq", (json_int_t)i.base.last_seq, "oldest_ns", (json_int_t)i.base.time_ns,
		      "durable_seq", (json_int_t)i.durable.last_seq, "durable_ns", (json_int_t)i.durable.time_ns,
		      "complete_seq", (json_int_t)i.durable.complete_seq);
	json_object_update_new(j, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:s, s:s, s:s}",
		      "journal_bytes", (json_int_t)i.journal_bytes, "index_bytes", (json_int_t)i.index_bytes,
		      "base_bytes", (json_int_t)i.base_bytes, "quota_bytes", (json_int_t)i.quota_bytes,
		      "free_bytes", (json_int_t)i.free_bytes, "reserve_bytes", (json_int_t)i.reserve_bytes,
		      "retain_ns", (json_int_t)i.retain_ns, "retain_bytes", (json_int_t)i.retain_bytes,
		      "generation", (int)i.durable.generation, "source", i.source_name, "held_by", i.held_by,
		      "upkeep_error", g->upkeep_error));
	if (g->flow != FLOWS)
		json_object_set_new(j, "blocked", json_string((char *)g->blocked.text));
	if (g->session) {
		const struct vaio_rw_status *s = &g->session->status;

		json_object_update_new(j, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "peer", g->session->peer, "client",
			g->session->subject, "rpo_ns", (json_int_t)le64toh(s->rpo_ns), "rpo_worst_ns",
			(json_int_t)le64toh(s->rpo_worst_ns), "backlog_bytes", (json_int_t)le64toh(s->backlog_bytes),
			"dirty_bytes", (json_int_t)le64toh(s->dirty_bytes), "sent_bytes", (json_int_t)le64toh(s->sent_bytes),
			"sync", le32toh(s->flags) & VAIO_RW_H_SYNC));
	}
	pthread_mutex_unlock(&g->lock);
	group_put(g);
	return j;
}

static void list_one(struct group *g, void *arg)
{
	json_array_append_new(arg, group_json(g));
}

static json_t *do_list(void)
{
	json_t *groups = json_array();

	groups_each(list_one, groups);
	return json_pack("{s:b, s:o}", "ok", 1, "groups", groups);
}

/* --- points ----------------------------------------------------------------------------- */

static int add_stretch(void *arg, const struct vr_stretch *s)
{
	json_array_append_new(arg, json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind",
			      s->kind & VAIO_RS_S_GAP ? "gap" : s->kind ? "resync" : "complete", "first_seq",
			      (json_int_t)s->first, "last_seq", (json_int_t)s->last, "first_ns", (json_int_t)s->first_ns,
			      "last_ns", (json_int_t)s->last_ns));
	return 0;
}

static int add_name(void *arg, const struct vr_point *p)
{
	json_array_append_new(arg, json_pack("{s:s, s:I, s:I, s:b}", "name", p->name, "seq", (json_int_t)p->seq, "time_ns",
					     (json_int_t)p->time_ns, "pinned", p->pinned));
	return 0;
}

static json_t *do_points(struct vr_store *st)
{
	json_t *stretches = json_array(), *names = json_array();
	struct vr_err e;

	if (vr_store_stretches(st, add_stretch, stretches, &e) || vr_store_names(st, add_name, names, &e)) {
		json_decref(stretches);
		json_decref(names);
		return refuse("%s", e.text);
	}
	return json_pack("{s:b, s:o, s:o}", "ok", 1, "stretches", stretches, "names", names);
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static json_t *do_show(struct vr_store *st, json_t *r, bool mark)
{
	const char *at = str(r, "point"), *name = str(r, "name");
	struct vr_point p;
	struct vr_err e;

	if (vr_point_find(st, at ? at : "latest", wall_ns(), &p, &e))
		return refuse("%s", e.text);
	if (mark) {
		if (!name || !*name || strlen(name) >= sizeof(p.name) || !strcmp(name, "latest") || strpbrk(name, "\n\r\t"))
			return refuse("a name of 1 to %zu characters is wanted", sizeof(p.name) - 1);
		memset(p.name, 0, sizeof(p.name));
		memcpy(p.name, name, strlen(name));
		if (vr_mark_add(st, &p, json_is_true(json_object_get(r, "pin")), &e))
			return refuse("%s", e.text);
	}
	return json_pack("{s:b, s:I, s:I, s:s, s:b}", "ok", 1, "seq", (json_int_t)p.seq, "time_ns", (json_int_t)p.time_ns,
			 "name", p.name, "pinned", p.pinned || (mark && json_is_true(json_object_get(r, "pin"))));
}

static void add_fault(void *arg, const char *text)
{
	if (json_array_size(arg) < 1000)
		json_array_append_new(arg, json_string(text));
}

static json_t *do_verify(struct vr_store *st)
{
	json_t *faults = json_array();
	struct vr_err e;
	int n = vr_store_scrub(st, add_fault, faults, &e);

	if (n < 0) {
		json_decref(faults);
		return refuse("%s", e.text);
	}
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "faults", n, "texts", faults);
}

/* --- changes ------------------------------------------------------------------------------ */

static json_t *do_set(struct vr_store *st, json_t *r)
{
	json_t *ns = json_object_get(r, "retain_ns"), *bytes = json_object_get(r, "retain_bytes"),
	       *quota = json_object_get(r, "quota_bytes");
	struct vr_info i;
	struct vr_err e;

	if ((ns && json_integer_value(ns) < 0) || (bytes && json_integer_value(bytes) < 0) ||
	    (quota && json_integer_value(quota) < 0))
		return refuse("a number below 0");
	vr_store_info(st, &i);
	if (vr_store_set_retention(st, ns ? (uint64_t)json_integer_value(ns) : i.retain_ns,
				   bytes ? (uint64_t)json_integer_value(bytes) : i.retain_bytes,
				   quota ? (uint64_t)json_integer_value(quota) : i.quota_bytes, &e))
		return refuse("%s", e.text);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *do_client(struct vr_store *st, json_t *r, bool add)
{
	const char *subject = str(r, "client");
	struct vr_err e;

	if (!subject)
		return refuse("'client', a subject name, is missing");
	if (vr_store_client(st, subject, add, &e))
		return refuse("%s", e.text);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *do_release(struct vr_store *st, json_t *r)
{
	const char *name = str(r, "name");
	struct vr_err e;

	if (!name)
		return refuse("'name' is missing");
	if (vr_mark_remove(st, name, &e))
		return refuse("%s", e.text);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *answer(json_t *r)
{
	const char *what = str(r, "do"), *name = str(r, "group");
	struct vr_store *st;
	struct group *g;
	struct vr_err e;
	json_t *out;

	if (!what)
		return refuse("'do' is missing");
	if (!strcmp(what, "list"))
		return do_list();
	if (!name)
		return refuse("'group' is missing");
	g = group_by_name(name, &e);
	if (!g)
		return refuse("%s", e.text);
	if (!strcmp(what, "status"))
		return json_pack("{s:b, s:o}", "ok", 1, "group", group_json(g));
	st = group_get(g, &e);
	if (!st)
		return refuse("%s", e.text);
	if (!strcmp(what, "points"))
		out = do_points(st);
	else if (!strcmp(what, "show"))
		out = do_show(st, r, false);
	else if (!strcmp(what, "checkpoint"))
		out = do_show(st, r, true);
	else if (!strcmp(what, "release"))
		out = do_release(st, r);
	else if (!strcmp(what, "verify"))
		out = do_verify(st);
	else if (!strcmp(what, "set"))
		out = do_set(st, r);
	else if (!strcmp(what, "client-add"))
		out = do_client(st, r, true);
	else if (!strcmp(what, "client-remove"))
		out = do_client(st, r, false);
	else
		out = refuse("'%.40s' is not known: accepted are list, status, points, show, checkpoint, release, verify, set, "
			     "client-add, client-remove", what);
	group_put(g);
	return out;
}

/* --- the socket ------------------------------------------------------------------------------ */

static void *client_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct timeval patience = { .tv_sec = 10 };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char *line = malloc(MAX_REQUEST);
	size_t used = 0;
	json_t *r = NULL, *out;
	char *text;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (line && used < MAX_REQUEST && !memchr(line, '\n', used)) {
		ssize_t n = recv(fd, line + used, MAX_REQUEST - used, 0);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || (cred.uid && cred.uid != geteuid()))
		out = refuse("only root may ask");
	else if (!line || !(r = json_loadb(line, used, JSON_DISABLE_EOF_CHECK, NULL)) || !json_is_object(r))
		out = refuse("the request is no object of JSON in a line");
	else
		out = answer(r);
	text = out ? json_dumps(out, JSON_COMPACT) : NULL;
	if (text) {
		size_t left = strlen(text), at = 0;

		text[left++] = '\n';	/* in the place of the NUL */
		while (left) {
			ssize_t n = send(fd, text + at, left, MSG_NOSIGNAL);

			if (n <= 0)
				break;
			at += (size_t)n;
			left -= (size_t)n;
		}
	}
	free(text);
	json_decref(out);
	json_decref(r);
	free(line);
	close(fd);
	atomic_fetch_sub(&nr_clients, 1);
	return NULL;
}

static void *accept_thread(void *arg)
{
	(void)arg;
	while (!stopping) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0) {
			if (stopping || (errno != EINTR && errno != ECONNABORTED && errno != EMFILE && errno != ENFILE))
				break;
			continue;
		}
		if (atomic_fetch_add(&nr_clients, 1) >= MAX_CLIENTS ||
		    pthread_create(&t, NULL, client_thread, (void *)(intptr_t)fd)) {
			atomic_fetch_sub(&nr_clients, 1);
			close(fd);
			continue;
		}
		pthread_detach(t);
	}
	return NULL;
}

int admin_start(struct vr_err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_t t;

	if (strlen(config.socket) >= sizeof(addr.sun_path))
		return vr_fail(e, -ENAMETOOLONG, "--socket '%.100s' is longer than %zu bytes", config.socket,
			       sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, config.socket);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return vr_fail_errno(e, -errno, "socket");
	/* Does another daemon answer there? Else what is there was left behind. */
	if (!connect(listener, (struct sockaddr *)&addr, sizeof(addr)))
		return vr_fail(e, -EBUSY, "%.100s: another vaio-replicad listens there", config.socket);
	close(listener);
	unlink(config.socket);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 16))
		return vr_fail_errno(e, -errno, "%.100s", config.socket);
	if (pthread_create(&t, NULL, accept_thread, NULL))
		return vr_fail(e, -ENOMEM, "no thread for the socket");
	pthread_detach(t);
	return 0;
}

void admin_stop(void)
{
	shutdown(listener, SHUT_RDWR);
	unlink(config.socket);
}
