// SPDX-License-Identifier: GPL-2.0
/*
 * The unix socket: a line of JSON in, a line of JSON out, and the connection ends.
 * Documentation/replication.md, "The agent's status". Only root is heard.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"
#include "../libreplica/report.h"
#include "../libreplica/unix.h"

#define CLIENTS		16
#define LINE		4096
#define PATIENCE_NS	10000000000ULL	/* for a client to ask, and to take its answer */
#define WAIT_MS		10000
#define WAIT_MAX_MS	60000
#define LEFT_MAX_S	(365 * 24 * 3600ULL)	/* of a resync that is told */

static struct client {
	int fd;			/* -1: free */
	uint64_t cookie;	/* of what it waits for; 0: nothing */
	pid_t worker;		/* that is to answer */
	uint64_t until_ns;
	size_t len, sent;
	char line[LINE], *answer;
} clients[CLIENTS];

static int listener = -1;
static uint64_t last_cookie;

static json_t *refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static json_t *refuse(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vr_text_clean(text);
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static void let_go(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->answer);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* Takes @j over. */
static void answer(struct client *c, json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	c->cookie = 0;
	c->until_ns = mono_ns() + PATIENCE_NS;
	if (!text) {
		let_go(c);
		return;
	}
	c->len = strlen(text);
	text[c->len++] = '\n';	/* in the place of the NUL */
	c->answer = text;
	c->sent = 0;
}

/* --- status ------------------------------------------------------------------------------ */

static const char *const state_words[] = {
	[W_STARTING] = "starting", [W_CONNECTING] = "connecting", [W_REFUSED] = "refused", [W_TRACKING] = "tracking",
	[W_INITIAL] = "initial-sync", [W_RESYNC] = "resync", [W_COMPARING] = "comparing", [W_REPLICATING] = "replicating",
	[W_BLOCKED] = "blocked",
};

static const char *const kind_words[] = {
	[VAIO_RW_S_INITIAL] = "initial", [VAIO_RW_S_BITMAP] = "bitmap", [VAIO_RW_S_COMPARE] = "compare",
};

/* A copy that the worker did not change meanwhile; after some tries, as it is. */
static void read_figures(struct shared *s, struct figures *f)
{
	for (int i = 0; i < 1000; i++) {
		unsigned int turn = atomic_load(&s->turn);

		memcpy(f, &s->figures, sizeof(*f));
		atomic_thread_fence(memory_order_acquire);
		if (!(turn & 1) && atomic_load(&s->turn) == turn)
			return;
	}
}

static json_t *ms_json(uint64_t ns)
{
	return ns == NO_FIGURE ? json_null() : json_integer((json_int_t)(ns / 1000000));
}

/* Null: nobody knows. Who goes on so slowly does not get there. */
static json_t *left_json(const struct figures *f)
{
	uint64_t seconds = f->resync_rate ? f->resync_left / f->resync_rate : UINT64_MAX;

	return seconds > LEFT_MAX_S ? json_null() :
	       json_integer((json_int_t)(seconds * 1000 + f->resync_left % f->resync_rate * 1000 / f->resync_rate));
}

static json_t *resync_json(const struct figures *f)
{
	if (!f->resync_kind || f->resync_kind > VAIO_RW_S_COMPARE)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:o}", "kind", kind_words[f->resync_kind], "total_bytes",
			 (json_int_t)f->resync_total, "left_bytes", (json_int_t)f->resync_left, "rate",
			 (json_int_t)f->resync_rate, "left_ms", left_json(f));
}

static json_t *disks_json(const struct figures *f)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < f->nr_disks && i < VAIO_REPL_MEMBERS; i++) {
		const struct figure_disk *d = &f->disk[i];
		const char *state = d->flags & VAIO_REPL_M_DAMAGED ? "damaged" : d->flags & VAIO_REPL_M_DOWN ? "suspended" :
				    d->flags & VAIO_REPL_M_CAPTURED ? "captured" : "waiting";

		json_array_append_new(list, json_pack("{s:o, s:s, s:i, s:I, s:I, s:I, s:s}", "name", vr_report_text(d->name), "uuid", d->uuid,
						      "number", d->number, "bytes", (json_int_t)d->bytes, "dirty_bytes",
						      (json_int_t)d->dirty, "check_bytes", (json_int_t)d->check, "state",
						      state));
	}
	return list;
}

static json_t *child_json(const struct child *c)
{
	struct figures *f = calloc(1, sizeof(*f));
	uint64_t now = mono_ns();
	const char *state, *error;
	json_t *j;

	if (!f)
		return NULL;
	read_figures(c->shared, f);
	state = c->set_aside ? "set-aside" : !c->pid ? "starting" : state_words[f->state];
	error = c->set_aside || !f->error[0] ? c->error : f->error;
	if (f->state == W_REPLICATING && c->pid)
		error = "";
	j = json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:b, s:o}", "name", c->name, "uuid", f->uuid, "target", vr_report_text(c->target), "mode",
		      c->mode, "state", state, "error", vr_report_text(error), "connected", c->pid && f->connected, "peer",
		      vr_report_text(c->pid ? f->peer : ""));
	json_object_update_new(j, json_pack("{s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}",
		"connected_ms", (json_int_t)(f->connected ? (now - f->connected_ns) / 1000000 : 0),
		"retry_ms", (json_int_t)(!f->connected && f->retry_ns > now ? (f->retry_ns - now) / 1000000 : 0),
		/* Nobody counts on when the process is gone: the last figure would look better each second. */
		"rpo_ms", ms_json(c->pid && f->uuid[0] ? f->rpo_ns : NO_FIGURE),
		"rpo_worst_ms", ms_json(c->pid && f->uuid[0] ? f->rpo_worst_ns : NO_FIGURE),
		"backlog_bytes", (json_int_t)f->backlog_bytes, "backlog_records", (json_int_t)f->backlog_records,
		"sent_bytes", (json_int_t)f->sent_bytes, "acked_bytes", (json_int_t)f->acked_bytes,
		"raw_bytes", (json_int_t)f->raw_bytes, "rate", (json_int_t)f->rate));
	json_object_update_new(j, json_pack("{s:I, s:I, s:o, s:I, s:I, s:i, s:i, s:o}",
		"durable_seq", (json_int_t)f->durable_seq, "complete_seq", (json_int_t)f->complete_seq,
		"resync", c->pid ? resync_json(f) : json_null(), "gaps", (json_int_t)f->gaps, "connections", (json_int_t)f->connections,
		"crashes", (int)c->crashes, "pid", (int)c->pid, "disks", disks_json(f)));
	free(f);
	return j;
}

static json_t *do_status(const char *name)
{
	json_t *list = json_array();

	for (const struct child *c = children; c; c = c->next)
		if (!name || !strcmp(c->name, name))
			json_array_append_new(list, child_json(c));
	if (name && !json_array_size(list)) {
		json_decref(list);
		return refuse("there is no group '%.100s' with a target", name);
	}
	return json_pack("{s:b, s:o}", "ok", 1, "groups", list);
}

/* --- checkpoints ---------------------------------------------------------------------------- */

static uint32_t kind_of(const char *word)
{
	return !word || !strcmp(word, "crash") ? VAIO_RW_C_CRASH : !strcmp(word, "filesystem") ? VAIO_RW_C_FILESYSTEM :
	       !strcmp(word, "application") ? VAIO_RW_C_APPLICATION : 0;
}

/* NULL: the worker will answer. */
static json_t *do_checkpoint(struct client *c, json_t *j, const char *group)
{
	const char *name = json_string_value(json_object_get(j, "name")), *kind = json_string_value(json_object_get(j, "kind"));
	json_t *wait = json_object_get(j, "wait_ms");
	struct child *child = group ? child_find(group) : NULL;
	struct request r = { .kind = kind_of(kind), .wait_ms = WAIT_MS };

	if (!group)
		return refuse("'group' is missing");
	if (!child)
		return refuse("there is no group '%.100s' with a target", group);
	if (!name || !*name || strlen(name) >= sizeof(r.name) || !strcmp(name, "latest"))
		return refuse("'name': 1 to %zu bytes are wanted, and not 'latest'", sizeof(r.name) - 1);
	strcpy(r.name, name);
	if (!vr_text_new((const uint8_t *)r.name, sizeof(r.name)))
		return refuse("'name': control characters are not accepted");
	if (!r.kind)
		return refuse("'kind': '%.40s' is not one of crash, filesystem, application", kind);
	if (wait && (!json_is_integer(wait) || json_integer_value(wait) < 0 || json_integer_value(wait) > WAIT_MAX_MS))
		return refuse("'wait_ms' is not 0 to %d", WAIT_MAX_MS);
	if (wait)
		r.wait_ms = (uint32_t)json_integer_value(wait);
	if (json_is_true(json_object_get(j, "pin")))
		r.flags = VAIO_RW_CF_PIN;
	if (!child->pid || child->requests < 0)
		return refuse("the group's process does not run: %s", child->error);
	r.cookie = ++last_cookie;
	if (send(child->requests, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(r))
		return refuse("the group's process does not take requests: %s", strerror(errno));
	c->cookie = r.cookie;
	c->worker = child->pid;
	c->until_ns = mono_ns() + r.wait_ms * 1000000ULL + PATIENCE_NS;
	return NULL;
}

void control_answer(const struct answer *a)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->fd < 0 || !c->cookie || c->cookie != a->cookie)
			continue;
		answer(c, a->seq ? json_pack("{s:b, s:I, s:b}", "ok", 1, "seq", (json_int_t)a->seq, "durable", a->durable) :
			  refuse("%s", a->text));
	}
}

void control_child_gone(const struct child *child)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd >= 0 && clients[i].cookie && clients[i].worker == child->pid)
			answer(&clients[i], refuse("the group's process ended meanwhile"));
}

/* --- the socket -------------------------------------------------------------------------------- */

static void ask(struct client *c)
{
	json_error_t je;
	json_t *j = json_loadb(c->line, c->len, JSON_DISABLE_EOF_CHECK, &je), *out;
	const char *what = json_string_value(json_object_get(j, "do")), *group = json_string_value(json_object_get(j, "group"));

	if (!json_is_object(j))
		out = refuse("the request is no object of JSON in a line");
	else if (what && !strcmp(what, "status"))
		out = do_status(group);
	else if (what && !strcmp(what, "checkpoint"))
		out = do_checkpoint(c, j, group);
	else
		out = refuse("'do': '%.40s' is not one of status, checkpoint", what ? what : "");
	json_decref(j);
	if (out)
		answer(c, out);
}

static void serve(struct client *c)
{
	ssize_t n;

	if (c->answer) {
		n = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			c->sent += (size_t)n;
		if ((n < 0 && errno != EAGAIN && errno != EINTR) || c->sent == c->len)
			let_go(c);
		return;
	}
	n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		let_go(c);
		return;
	}
	c->len += (size_t)n;
	if (memchr(c->line, '\n', c->len))
		ask(c);
	else if (c->len == sizeof(c->line))
		answer(c, refuse("a request has at most %d bytes", LINE));
}

static void take(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS; i++) {
		if (clients[i].fd >= 0)
			continue;
		clients[i].fd = fd;
		clients[i].until_ns = mono_ns() + PATIENCE_NS;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || (cred.uid && cred.uid != geteuid()))
			answer(&clients[i], refuse("only root may ask"));
		return;
	}
	close(fd);
}

int control_poll(struct pollfd *p, int room)
{
	int n = 0;

	if (room < CLIENTS + 1)
		return 0;

	p[n++] = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (int i = 0; i < CLIENTS; i++) {
		const struct client *c = &clients[i];

		/* Who waits for a worker says nothing more. */
		p[n++] = (struct pollfd){ .fd = c->fd, .events = c->answer ? POLLOUT : c->cookie ? 0 : POLLIN };
	}
	return n;
}

void control_run(void)
{
	uint64_t now = mono_ns();
	struct pollfd p[CLIENTS + 1];
	int n = control_poll(p, CLIENTS + 1);

	poll(p, (nfds_t)n, 0);
	if (p[0].revents & POLLIN)
		take();
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->fd < 0 || p[i + 1].fd != c->fd)
			continue;
		if (p[i + 1].revents & (POLLIN | POLLOUT))
			serve(c);
		else if (p[i + 1].revents & (POLLHUP | POLLERR) || now > c->until_ns)
			let_go(c);
	}
}

int control_open(struct vr_err *e)
{
	for (int i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	return vr_unix_listen(config.socket, "vaio-agent", SOCK_NONBLOCK, CLIENTS, &listener, e);
}

void control_close(void)
{
	for (int i = 0; i < CLIENTS; i++)
		let_go(&clients[i]);
	close(listener);
	unlink(config.socket);
}
