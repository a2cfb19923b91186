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
#include "../libreplica/text.h"
#include "../libreplica/unix.h"

#define MAX_REQUEST	65536
#define MAX_CLIENTS	32

static int listener = -1;
static atomic_int nr_clients;

/* @err: a negative errno; what it means to the asker goes with the text. */
static json_t *refuse(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static json_t *refuse(int err, const char *fmt, ...)
{
	const char *code = err == -EINVAL ? "usage" : err == -ENOENT ? "not-found" : err == -EBUSY || err == -EEXIST ? "in-use" :
			   err == -EPERM ? "refused" : "failed";
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vr_text_clean(text);
	return json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "error", text);
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
	if (i->failover != VAIO_RS_READY)
		return vr_failover_name(i->failover);
	if (!i->durable.last_seq)
		return "empty";
	if (i->durable.stretch)
		return i->durable.complete_seq ? "resync" : "initial-sync";
	return g->session ? "ready" : "disconnected";
}

/* A figure of the source; null: none, or none that there can be. */
static json_t *figure_json(const __le64 *figure)
{
	uint64_t n = figure ? le64toh(*figure) : VAIO_RW_NO_AGE;

	return n <= INT64_MAX ? json_integer((json_int_t)n) : json_null();
}

static json_t *group_json(struct group *g)
{
	struct vr_info i;
	struct vr_err e;
	struct vr_store *st = group_get(g, &e);
	const struct vaio_rw_status *s;
	json_t *j;

	if (!st) {
		pthread_mutex_lock(&g->lock);
		j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "uuid", g->uuid, "name", g->name, "directory", g->dir, "state",
			      g->damaged ? "damaged" : "failed", "error", e.text, "disks", json_array());
		pthread_mutex_unlock(&g->lock);
		return j;
	}
	vr_store_info(st, &i);
	j = vr_report_store(st);
	pthread_mutex_lock(&g->lock);
	json_object_update_new(j, json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:I}", "directory", g->dir, "state", state_word(g, &i),
					    "connected", g->session != NULL, "upkeep_error", g->upkeep_error, "received_bytes",
					    (json_int_t)g->received, "rate_bytes", (json_int_t)group_rate(g), "memory_bytes",
					    (json_int_t)memory_used(g), "memory_share_bytes", (json_int_t)memory_share()));
	if (g->flow != FLOWS)
		json_object_set_new(j, "blocked", vr_report_text((char *)g->blocked.text));
	s = g->session ? &g->session->status : NULL;
	json_object_update_new(j, json_pack("{s:o, s:o, s:o, s:o}", "rpo_ns", figure_json(s ? &s->rpo_ns : NULL), "rpo_worst_ns",
					    figure_json(s ? &s->rpo_worst_ns : NULL), "backlog_bytes",
					    figure_json(s ? &s->backlog_bytes : NULL), "dirty_bytes",
					    figure_json(s ? &s->dirty_bytes : NULL)));
	if (s)
		json_object_update_new(j, json_pack("{s:s, s:o, s:o, s:b}", "peer", g->session->peer, "client", vr_report_text(g->session->subject),
						    "sent_bytes", figure_json(&s->sent_bytes), "sync",
						    le32toh(s->flags) & VAIO_RW_H_SYNC));
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

static json_t *do_points(struct vr_store *st, json_t *r)
{
	json_t *limit = json_object_get(r, "limit"), *before = json_object_get(r, "before"), *j;
	json_int_t n = limit ? json_integer_value(limit) : VR_LIST_MAX;
	struct vr_err e;

	if (n < 1 || n > VR_LIST_MAX)
		return refuse(-EINVAL, "'limit': accepted are 1 to %u", VR_LIST_MAX);
	if (json_integer_value(before) < 0)
		return refuse(-EINVAL, "'before': a number below 0");
	j = vr_report_points(st, (uint64_t)json_integer_value(before), (unsigned int)n, &e);
	if (!j)
		return refuse(-EIO, "%s", e.text);
	json_object_set_new(j, "ok", json_true());
	return j;
}

uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static json_t *point_json(const struct vr_point *p)
{
	json_t *j = vr_report_point(p);

	json_object_set_new(j, "ok", json_true());
	return j;
}

static json_t *do_show(struct vr_store *st, json_t *r)
{
	const char *at = str(r, "point");
	struct vr_point p;
	struct vr_err e;
	int err = vr_point_find(st, at ? at : "latest", wall_ns(), &p, &e);

	return err ? refuse(err, "%s", e.text) : point_json(&p);
}

/* What would be taken for another form of a point is no name. */
static bool name_valid(const char *name)
{
	return name && *name && strlen(name) < VAIO_RW_NAME_LEN && vr_text_utf8(name) && strcmp(name, VR_FAILOVER_MARK);
}

static json_t *bad_name(void)
{
	return refuse(-EINVAL, "'name': 1 to %d bytes of printable text, other than '" VR_FAILOVER_MARK "'", VAIO_RW_NAME_LEN - 1);
}

/* Names a point that is here. */
static json_t *do_hold(struct vr_store *st, json_t *r)
{
	const char *at = str(r, "point"), *name = str(r, "name");
	json_t *pin = json_object_get(r, "pin");
	struct vr_point p;
	struct vr_err e;
	int err;

	if (!name_valid(name))
		return bad_name();
	err = vr_point_find(st, at ? at : "latest", wall_ns(), &p, &e);
	if (err)
		return refuse(err, "%s", e.text);
	p.pinned = !pin || json_is_true(pin);
	memset(p.name, 0, sizeof(p.name));
	memcpy(p.name, name, strlen(name));
	err = vr_mark_add(st, &p, p.pinned, &e);
	return err ? refuse(err, "%s", e.text) : point_json(&p);
}

/* The source puts a checkpoint into the stream; it is held when asked for. */
static json_t *do_checkpoint(struct group *g, struct vr_store *st, json_t *r)
{
	const char *name = str(r, "name"), *kind = str(r, "kind");
	uint32_t k = kind ? vr_checkpoint_kind(kind) : VAIO_RW_C_CRASH;
	struct vr_point p;
	struct vr_err e;
	char at[32];
	uint64_t seq = 0;
	int err;

	if (!name_valid(name))
		return bad_name();
	if (!k)
		return refuse(-EINVAL, "kind '%.40s': accepted are crash, filesystem, application", kind);
	/* Before the source is asked: a checkpoint cannot be taken back. */
	err = json_is_true(json_object_get(r, "pin")) ? vr_mark_room(st, &e) : 0;
	if (!err)
		err = group_checkpoint(g, k, name, &seq, &e);
	if (!err) {
		snprintf(at, sizeof(at), "seq:%" PRIu64, seq);
		err = vr_point_find(st, at, wall_ns(), &p, &e);
	}
	if (!err) {
		p.kind = k;
		snprintf(p.name, sizeof(p.name), "%s", name);
		p.pinned = json_is_true(json_object_get(r, "pin"));
		if (p.pinned)
			err = vr_mark_hold(st, &p, &e);
	}
	return err ? refuse(err, "%s", e.text) : point_json(&p);
}

static json_t *do_failover(struct group *g, json_t *r)
{
	static const char *const names[] = {
		[VR_FAILOVER] = "failover", [VR_UNDO] = "undo", [VR_PERMANENT] = "permanent", [VR_FAILBACK] = "failback",
		[VR_NEW_SOURCE] = "new-source", [VR_COMMIT] = "commit",
	};
	const char *step = str(r, "step"), *point = str(r, "point");
	struct vr_err e;

	for (unsigned int i = 0; step && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(step, names[i])) {
			int err = group_failover(g, i, point ? point : "latest", &e);

			return err ? refuse(err, "%s", e.text) : json_pack("{s:b, s:o}", "ok", 1, "group", group_json(g));
		}
	return refuse(-EINVAL, "'step': accepted are failover, undo, permanent, failback, commit, new-source");
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
	int n = vr_store_scrub(st, add_fault, faults, NULL, NULL, &e);

	if (n < 0) {
		json_decref(faults);
		return refuse(n, "%s", e.text);
	}
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "faults", n, "texts", faults);
}

/* --- changes ------------------------------------------------------------------------------ */

static json_t *do_set(struct vr_store *st, json_t *r)
{
	json_t *ns = json_object_get(r, "retain_ns"), *bytes = json_object_get(r, "retain_bytes"),
	       *quota = json_object_get(r, "quota_bytes"), *every = json_object_get(r, "every_write_ns"),
	       *interval = json_object_get(r, "interval_ns");
	struct vr_info i;
	struct vr_err e;
	int err;

	if ((ns && json_integer_value(ns) < 0) || (bytes && json_integer_value(bytes) < 0) ||
	    (quota && json_integer_value(quota) < 0) || (every && json_integer_value(every) < 0) ||
	    (interval && json_integer_value(interval) <= 0))
		return refuse(-EINVAL, "a number below 0");
	vr_store_info(st, &i);
	err = every || interval ?
	      vr_store_set_thinning(st, every ? (uint64_t)json_integer_value(every) : i.every_write_ns,
				    interval ? (uint64_t)json_integer_value(interval) :
				    i.interval_ns ? i.interval_ns : 10000000000ULL, &e) : 0;
	if (err)
		return refuse(err, "%s", e.text);
	if (!ns && !bytes && !quota)
		return json_pack("{s:b}", "ok", 1);
	err = vr_store_set_retention(st, ns ? (uint64_t)json_integer_value(ns) : i.retain_ns,
				   bytes ? (uint64_t)json_integer_value(bytes) : i.retain_bytes,
				   quota ? (uint64_t)json_integer_value(quota) : i.quota_bytes, &e);
	if (err)
		return refuse(err, "%s", e.text);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *do_client(struct group *g, struct vr_store *st, json_t *r, bool add)
{
	const char *subject = str(r, "client");
	struct vr_err e;
	int err;

	if (!subject)
		return refuse(-EINVAL, "'client', a subject name, is missing");
	err = vr_store_client(st, subject, add, &e);
	if (err)
		return refuse(err, "%s", e.text);
	if (!add)
		group_expel(g, subject);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *do_release(struct vr_store *st, json_t *r)
{
	const char *name = str(r, "name");
	struct vr_info info;
	struct vr_err e;
	int err;

	if (!name)
		return refuse(-EINVAL, "'name' is missing");
	vr_store_info(st, &info);
	if (!strcmp(name, VR_FAILOVER_MARK) && info.failover != VAIO_RS_READY)
		return refuse(-EPERM, "the point '%s' is held by the failover: undo or commit releases it", name);
	err = vr_mark_remove(st, name, &e);
	if (err)
		return refuse(err, "%s", e.text);
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
		return refuse(-EINVAL, "'do' is missing");
	if (!strcmp(what, "list"))
		return do_list();
	if (!name)
		return refuse(-EINVAL, "'group' is missing");
	g = group_by_name(name, &e);
	if (!g)
		return refuse(-ENOENT, "%s", e.text);
	if (!strcmp(what, "status"))
		return json_pack("{s:b, s:o}", "ok", 1, "group", group_json(g));
	if (!strcmp(what, "failover"))
		return do_failover(g, r);
	st = group_get(g, &e);
	if (!st)
		return refuse(-EIO, "%s", e.text);
	if (!strcmp(what, "points"))
		out = do_points(st, r);
	else if (!strcmp(what, "show"))
		out = do_show(st, r);
	else if (!strcmp(what, "hold"))
		out = do_hold(st, r);
	else if (!strcmp(what, "checkpoint"))
		out = do_checkpoint(g, st, r);
	else if (!strcmp(what, "release"))
		out = do_release(st, r);
	else if (!strcmp(what, "verify"))
		out = do_verify(st);
	else if (!strcmp(what, "set"))
		out = do_set(st, r);
	else if (!strcmp(what, "client-add"))
		out = do_client(g, st, r, true);
	else if (!strcmp(what, "client-remove"))
		out = do_client(g, st, r, false);
	else
		out = refuse(-EINVAL, "'%.40s' is not known: accepted are list, status, points, show, checkpoint, hold, release, "
			     "verify, set, client-add, client-remove, failover", what);
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

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (line && used < MAX_REQUEST && !memchr(line, '\n', used)) {
		ssize_t n = recv(fd, line + used, MAX_REQUEST - used, 0);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || (cred.uid && cred.uid != geteuid()))
		out = refuse(-EPERM, "only root may ask");
	else if (!line || !(r = json_loadb(line, used, JSON_DISABLE_EOF_CHECK, NULL)) || !json_is_object(r))
		out = refuse(-EINVAL, "the request is no object of JSON in a line");
	else
		out = answer(r);
	if (out)
		vr_unix_send(fd, out);
	json_decref(out);
	json_decref(r);
	free(line);
	close(fd);
	atomic_fetch_sub(&nr_clients, 1);
	return NULL;
}

static void *accept_thread(void *arg)
{
	bool said = false;

	(void)arg;
	while (!stopping) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0) {
			if (!stopping)
				accept_failed(config.socket, &said);
			continue;
		}
		said = false;
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
	int err = vr_unix_listen(config.socket, "vaio-replicad", 0, 16, &listener, e);
	pthread_t t;

	if (err)
		return err;
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
