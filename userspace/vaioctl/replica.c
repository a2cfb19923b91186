// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <gcrypt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../libreplica/unix.h"
#include "replica.h"

#define SECOND	1000000000ULL

int replica_fail(const struct vaioctl_cmd *cmd, int err, const struct vr_err *e)
{
	int rc = err == -EINVAL ? VAIO_USAGE : err == -ENOENT ? VAIO_NOTFOUND : err == -EBUSY || err == -EAGAIN ? VAIO_INUSE :
		 VAIO_FAILED;

	return vaioctl_cmd_fail(cmd, rc, "%s", e->text);
}

/* --- the daemon ------------------------------------------------------------------------- */

static int exit_code(const char *code)
{
	static const struct { const char *code; int rc; } codes[] = {
		{ "usage", VAIO_USAGE }, { "not-found", VAIO_NOTFOUND }, { "in-use", VAIO_INUSE }, { "refused", VAIO_REFUSED },
	};

	for (unsigned int i = 0; code && i < sizeof(codes) / sizeof(*codes); i++)
		if (!strcmp(codes[i].code, code))
			return codes[i].rc;
	return VAIO_FAILED;
}

/* The answer to @request on @fd, which is closed; NULL: none. Who ends the connection instead does not end this program. */
static json_t *exchange(int fd, json_t *request)
{
	int rc = vr_unix_send(fd, request);
	json_t *j = NULL;
	FILE *f = NULL;

	/* It may have said why before it ended the connection. */
	if (!rc || rc == -EPIPE || rc == -ECONNRESET)
		f = fdopen(fd, "r");
	if (f) {
		j = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
		fclose(f);
	} else {
		close(fd);
	}
	return j;
}

static int ask(const struct vaioctl_cmd *cmd, const char *path, const char *daemon, json_t *request, json_t **answer)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = VAIO_OK;
	bool asked = false;
	json_t *j = NULL;

	if (!request) {
		rc = vaioctl_cmd_fail(cmd, VAIO_USAGE, "a word of it is not UTF-8: it is no name");
	} else if (strlen(path) >= sizeof(addr.sun_path)) {
		rc = vaioctl_cmd_fail(cmd, VAIO_USAGE, "socket '%s' is longer than %zu bytes", path, sizeof(addr.sun_path) - 1);
	} else {
		strcpy(addr.sun_path, path);
		if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
			rc = vaioctl_cmd_fail(cmd, errno == EACCES ? VAIO_FAILED : VAIO_NOTFOUND,
					      "%s: %s: does %s run here?%s", path, strerror(errno), daemon,
					      strcmp(daemon, "vaio-agent") ? " A store's folder, with a '/', needs none" : "");
		else
			asked = true;
	}
	if (asked) {
		j = exchange(fd, request);
		fd = -1;
		if (!json_is_object(j))
			rc = vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s: no answer", path);
		else if (!json_is_true(json_object_get(j, "ok")))
			rc = vaioctl_cmd_fail(cmd, exit_code(replica_text(j, "code")), "%s", replica_text(j, "error"));
	}
	if (fd >= 0)
		close(fd);
	json_decref(request);
	if (rc) {
		json_decref(j);
		return rc;
	}
	json_object_del(j, "ok");
	*answer = j;
	return VAIO_OK;
}

int replica_ask(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t *request, json_t **answer)
{
	return ask(cmd, vaioctl_opt(a, "socket") ? vaioctl_opt(a, "socket") : REPLICAD_SOCKET, "vaio-replicad", request, answer);
}

int replica_ask_agent(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t *request, json_t **answer)
{
	return ask(cmd, vaioctl_opt(a, "agent") ? vaioctl_opt(a, "agent") : AGENT_SOCKET, "vaio-agent", request, answer);
}

void replica_ends(const struct vaioctl_args *a, bool *replicad, bool *agent)
{
	bool given = vaioctl_has(a, "socket") || vaioctl_has(a, "agent");

	*replicad = given ? vaioctl_has(a, "socket") : !access(REPLICAD_SOCKET, F_OK);
	*agent = given ? vaioctl_has(a, "agent") : !access(AGENT_SOCKET, F_OK);
}

json_t *replica_ask_quietly(const char *path, json_t *request)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 2 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_t *j = NULL;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		j = exchange(fd, request);
	} else if (fd >= 0) {
		close(fd);
	}
	json_decref(request);
	return j;
}

int replica_folder(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, char *dir, size_t size)
{
	json_t *j;
	int rc;

	if (replica_is_folder(group)) {
		char *real = realpath(group, NULL);

		if (!real)
			return vaioctl_cmd_fail(cmd, VAIO_NOTFOUND, "'%s': %s", group, strerror(errno));
		snprintf(dir, size, "%s", real);
		rc = strlen(real) < size ? VAIO_OK : vaioctl_cmd_fail(cmd, VAIO_FAILED, "'%s': too long a path", group);
		free(real);
		return rc;
	}
	rc = replica_ask(cmd, a, json_pack("{s:s, s:s}", "do", "status", "group", group), &j);
	if (rc)
		return rc;
	snprintf(dir, size, "%s", replica_text(json_object_get(j, "group"), "directory"));
	json_decref(j);
	return VAIO_OK;
}

/* --- a store -------------------------------------------------------------------------------- */

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Where nothing can be written nobody writes the store, and nothing has to be held. */
static int open_unpinned(const char *point, struct replica_open *o, struct vr_err *e)
{
	struct vr_options options = { .write = false };
	struct vr_io *io;
	int err = vr_io_open(o->dir, &io);

	if (err)
		return vr_fail_errno(e, err, "%.200s", o->dir);
	err = vr_store_open(io, &options, &o->st, e);
	if (err) {
		io->ops->free(io);
		return err;
	}
	err = vr_point_find(o->st, point, wall_ns(), &o->point, e);
	if (err) {
		vr_store_close(o->st);
		o->st = NULL;
	}
	return err;
}

int replica_open(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, const char *point,
		 struct replica_open *o)
{
	struct vr_err e = { "" };
	int rc, err;

	memset(o, 0, sizeof(*o));
	gcry_check_version(NULL);
	vr_files_limit();
	rc = replica_folder(cmd, a, group, o->dir, sizeof(o->dir));
	if (rc)
		return rc;
	err = vr_pin_take(o->dir, point, wall_ns(), &o->pin, &o->st, &o->point, &e);
	if (err == -EROFS)
		err = open_unpinned(point, o, &e);
	if (!err)
		err = vr_view_open(o->st, o->point.seq, &o->view, &e);
	if (!err)
		return VAIO_OK;
	replica_close(o);
	return replica_fail(cmd, err, &e);
}

static bool is_wanted(const struct vr_member *m, const char *word)
{
	char uuid[37], number[8], *t = uuid;

	for (int i = 0; i < 16; i++)
		t += sprintf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", m->disk[i]);
	snprintf(number, sizeof(number), "%u", m->number);
	return !word || !strcmp(m->name, word) || !strcmp(uuid, word) || !strcmp(number, word);
}

int replica_open_disk(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, const char *point,
		      struct replica_open *o)
{
	const char *word = vaioctl_opt(a, "disk");
	const struct vr_history *h;
	unsigned int found = 0;
	char list[512] = "";
	size_t used = 0;
	int rc = replica_open(cmd, a, group, point, o);

	if (rc)
		return rc;
	h = vr_view_history(o->view);
	for (unsigned int i = 0; i < h->nr_members; i++) {
		const struct vr_member *m = &h->members[i];

		if (m->removed)
			continue;
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", m->name);
		if (is_wanted(m, word)) {
			o->disk = *m;
			found++;
		}
	}
	if (found == 1)
		return VAIO_OK;
	replica_close(o);
	if (!word)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, found ? "--disk is missing: accepted are %s" : "the group has no disk%s",
					list);
	return vaioctl_cmd_fail(cmd, found ? VAIO_USAGE : VAIO_NOTFOUND,
				found ? "--disk '%s' names several disks: use the UUID (%s)" :
					"--disk '%s' is not in the group at this point: accepted are %s", word, list);
}

void replica_close(struct replica_open *o)
{
	vr_view_close(o->view);
	if (o->pin)
		vr_pin_drop(o->pin);	/* the store with it */
	else
		vr_store_close(o->st);
	memset(o, 0, sizeof(*o));
}

/* --- text --------------------------------------------------------------------------------------- */

const char *replica_time(uint64_t ns, char *buf, size_t size)
{
	time_t t = (time_t)(ns / SECOND);
	struct tm tm;

	if (!ns || !localtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, size, "-");
	return buf;
}

const char *replica_span(uint64_t ns, char *buf, size_t size)
{
	uint64_t s = ns / SECOND;

	if (s < 60)
		/* whole milliseconds */
		snprintf(buf, size, "%.3gs", (double)((ns + 500000) / 1000000) / 1000);
	else if (s < 3600)
		snprintf(buf, size, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 48 * 3600)
		snprintf(buf, size, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, size, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

uint64_t replica_number(json_t *j, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(j, key));

	return n > 0 ? (uint64_t)n : 0;
}

const char *replica_text(json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}
