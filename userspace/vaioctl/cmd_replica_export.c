// SPDX-License-Identifier: GPL-2.0
/*
 * vaioctl replica export, exports, unexport: one nbdkit for each export, in the background. What is
 * known of an export is a file of JSON beside its socket.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libvaio/units.h"
#include "replica.h"

#define RUN_DIR	"/run/vaio/exports"
#define OPT_RUN	{ "run", "PATH", "folder of sockets and notes (" RUN_DIR ")", false }

const struct vaioctl_opt replica_export_opts[] = {
	OPT_POINT, OPT_DISK,
	{ "name", "NAME", "of the export (made of group, disk and point)", false },
	{ "scratch", "PATH", "writable: folder for the writes", false },
	{ "scratch-max", "SIZE", "bytes of such writes", false },
	{ "keep", NULL, "the writes stay when the export ends; the same command goes on with them", false },
	{ "listen", "ADDR:PORT", "TCP with TLS, instead of a unix socket", false },
	{ "tls-certificates", "PATH", "folder with ca-cert.pem, server-cert.pem, server-key.pem", false },
	OPT_RUN, OPT_SOCKET, { 0 }
};
const struct vaioctl_opt replica_unexport_opts[] = {
	{ "discard", NULL, "throw kept writes away", false }, OPT_RUN, OPT_SOCKET, { 0 }
};

const struct vaioctl_opt replica_exports_opts[] = { OPT_RUN, { 0 } };

struct job {
	const struct vaioctl_cmd *cmd;
	const struct vaioctl_args *a;
	struct replica_open o;
	char run[256], name[128], socket[400], pid_file[400], note[400], scratch[512], uri[600];
	char addr[256], port[16];	/* of @listen, an IPv6 address without brackets */
	uint64_t scratch_max;
	bool writable, keep;
	const char *listen, *certificates;
};

static int set_paths(struct job *j)
{
	const char *run = vaioctl_opt(j->a, "run");

	char here[PATH_MAX] = "", all[2 * PATH_MAX];

	/* The socket's path goes to others: it has to be whole. */
	if (!run)
		run = RUN_DIR;
	if (run[0] != '/' && !getcwd(here, sizeof(here)))
		here[0] = 0;
	snprintf(all, sizeof(all), "%s%s%s", here, here[0] ? "/" : "", run);
	/* Likewise: it gets into a URI, and into XML. */
	if (all[strspn(all, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.,:@+=~")])
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--run '%s': accepted are letters, digits and /-_.,:@+=~", all);
	if (strlen(all) + strlen(j->name) + 7 > sizeof(((struct sockaddr_un *)0)->sun_path))
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--run '%s': %s/%s.sock is too long for a socket", run, all, j->name);
	snprintf(j->run, sizeof(j->run), "%.200s", all);
	snprintf(j->socket, sizeof(j->socket), "%s/%s.sock", j->run, j->name);
	snprintf(j->pid_file, sizeof(j->pid_file), "%s/%s.pid", j->run, j->name);
	snprintf(j->note, sizeof(j->note), "%s/%s.json", j->run, j->name);
	return VAIO_OK;
}

static bool name_valid(const char *name)
{
	return *name && *name != '.' && *name != '-' && strlen(name) < 80 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

static int bad_name(const struct vaioctl_cmd *cmd, const char *name)
{
	return vaioctl_cmd_fail(cmd, VAIO_USAGE, "'%s' is no name of an export: accepted are letters, digits, '-', '_' and '.', at most "
				"79", name);
}

/* --- is it alive? ------------------------------------------------------------------------- */

/* The nbdkit of an export, as a pidfd; -1: it does not live. */
static int open_nbdkit(json_t *note)
{
	pid_t pid = (pid_t)replica_number(note, "pid");
	char path[64], exe[PATH_MAX];
	ssize_t n;
	int fd;

	if (pid <= 1)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -1;
	/* The number may be another process's by now. */
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	if (!strstr(exe, "nbdkit")) {
		close(fd);
		return -1;
	}
	return fd;
}

static json_t *read_note(const char *path)
{
	json_t *note = json_load_file(path, 0, NULL);

	if (json_is_object(note))
		return note;
	json_decref(note);
	return NULL;
}

/* --- making one ------------------------------------------------------------------------------- */

/* Both get into a URI, and into XML. */
static bool split_listen(struct job *j)
{
	size_t n = strcspn(j->listen, "]");
	bool brackets = j->listen[0] == '[' && j->listen[n];
	const char *colon = strrchr(j->listen, ':'), *addr = j->listen + brackets;

	n = brackets ? n - 1 : strcspn(addr, ":");
	if (!colon || addr + n + brackets != colon || strspn(addr, brackets ? "0123456789abcdefABCDEF:." :
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-") != n || !n || n >= sizeof(j->addr) ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1] || strlen(colon + 1) > 5)
		return false;
	snprintf(j->addr, sizeof(j->addr), "%.*s", (int)n, addr);
	snprintf(j->port, sizeof(j->port), "%s", colon + 1);
	return true;
}

static int check_options(struct job *j)
{
	const char *dir = vaioctl_opt(j->a, "scratch"), *max = vaioctl_opt(j->a, "scratch-max");
	const char *name = vaioctl_opt(j->a, "name");
	struct vaio_err e;
	int rc;

	j->keep = vaioctl_has(j->a, "keep");
	j->writable = dir != NULL;
	j->listen = vaioctl_opt(j->a, "listen");
	j->certificates = vaioctl_opt(j->a, "tls-certificates");
	if (!dir != !max)
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--%s is missing: --scratch and --scratch-max go together",
					dir ? "scratch-max" : "scratch");
	if (j->keep && (!dir || !name))
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--keep wants --scratch and --name");
	if (!j->listen != !j->certificates)
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--%s is missing: over TCP there is only TLS",
					j->listen ? "tls-certificates" : "listen");
	if (j->listen && !split_listen(j))
		return vaioctl_cmd_fail(j->cmd, VAIO_USAGE, "--listen '%s': accepted are ADDR:PORT and [ADDR]:PORT", j->listen);
	if (name && !name_valid(name))
		return bad_name(j->cmd, name);
	if (max) {
		rc = vaio_parse_size(max, &j->scratch_max, &e);
		if (!rc && j->scratch_max < 4096)
			rc = vaio_fail(&e, VAIO_USAGE, "'%s': accepted are 4KiB and more", max);
		if (rc)
			return vaioctl_cmd_fail(j->cmd, rc, "--scratch-max: %s", e.text);
	}
	return VAIO_OK;
}

/* Kept writes belong to a point: an export that goes on with them is of that point. */
static int kept_point(struct job *j, char *point, size_t size)
{
	const char *dir = vaioctl_opt(j->a, "scratch");
	struct vr_scratch_id id;
	struct vr_err e = { "" };
	char real[PATH_MAX];
	int err;

	if (!dir)
		return VAIO_OK;
	if (!realpath(dir, real))
		return vaioctl_cmd_fail(j->cmd, VAIO_NOTFOUND, "--scratch '%s': %s", dir, strerror(errno));
	snprintf(j->scratch, sizeof(j->scratch), "%.400s%s%s%s", real, j->keep ? "/" : "",
		 j->keep ? vaioctl_opt(j->a, "name") : "", j->keep ? ".scratch" : "");
	if (!j->keep)
		return VAIO_OK;
	err = vr_scratch_peek(j->scratch, &id, &e);
	if (err == -ENOENT)
		return VAIO_OK;
	if (err)
		return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "%s: %s", j->scratch, e.text);
	if (vaioctl_has(j->a, "point"))
		return vaioctl_cmd_fail(j->cmd, VAIO_REFUSED, "%s has kept writes over seq:%" PRIu64 ": without --point they go on; "
					"unexport --discard throws them away", j->scratch, id.seq);
	snprintf(point, size, "seq:%" PRIu64, id.seq);
	return VAIO_OK;
}

/* The plugin that was built with this program, else the one that is installed. */
static void find_plugin(char *plugin, size_t size)
{
	char exe[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	if (strrchr(exe, '/'))
		*strrchr(exe, '/') = 0;
	snprintf(plugin, size, "%s/../lib/nbdkit-vaio-plugin.so", exe);
	if (access(plugin, R_OK))
		snprintf(plugin, size, "vaio");
}

static int run_nbdkit(struct job *j)
{
	char plugin[PATH_MAX], store[600], disk[32], point[64], scratch[600], max[64], certificates[600];
	const char *argv[32];
	int n = 0, status = -1;
	pid_t pid;

	find_plugin(plugin, sizeof(plugin));
	snprintf(store, sizeof(store), "store=%s", j->o.dir);
	snprintf(disk, sizeof(disk), "disk=%u", j->o.disk.number);
	snprintf(point, sizeof(point), "point=seq:%" PRIu64, j->o.point.seq);
	argv[n++] = "nbdkit";
	argv[n++] = "--pidfile";
	argv[n++] = j->pid_file;
	if (j->listen) {
		snprintf(certificates, sizeof(certificates), "--tls-certificates=%s", j->certificates);
		argv[n++] = "--tls=require";
		argv[n++] = "--tls-verify-peer";
		argv[n++] = certificates;
		argv[n++] = "--ipaddr";
		argv[n++] = j->addr;
		argv[n++] = "--port";
		argv[n++] = j->port;
	} else {
		argv[n++] = "--unix";
		argv[n++] = j->socket;
	}
	if (!j->writable)
		argv[n++] = "--readonly";
	argv[n++] = plugin;
	argv[n++] = store;
	argv[n++] = disk;
	argv[n++] = point;
	if (j->writable) {
		snprintf(scratch, sizeof(scratch), "%s=%s", j->keep ? "scratch-file" : "scratch", j->scratch);
		snprintf(max, sizeof(max), "scratch-max=%" PRIu64, j->scratch_max);
		argv[n++] = scratch;
		argv[n++] = max;
	}
	argv[n] = NULL;
	pid = fork();
	if (!pid) {
		/* It stays behind: it must not hold a pipe that somebody reads to its end. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp("nbdkit", (char **)argv);
		fprintf(stderr, "vaioctl: replica export: nbdkit: %s\n", strerror(errno));
		_exit(127);
	}
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	if (pid < 0 || status)
		return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "nbdkit did not start");
	return VAIO_OK;
}

static void print_disk(const struct job *j)
{
	printf("<disk type='network' device='disk'>\n"
	       "  <driver name='qemu' type='raw' cache='none'%s/>\n", j->writable ? " discard='unmap'" : "");
	if (j->listen)
		printf("  <source protocol='nbd' tls='yes'>\n    <host name='%s' port='%s'/>\n  </source>\n", j->addr, j->port);
	else
		printf("  <source protocol='nbd'>\n    <host transport='unix' socket='%s'/>\n  </source>\n", j->socket);
	printf("  <target dev='vda' bus='virtio'/>\n");
	if (j->o.disk.block_size != 512)
		printf("  <blockio logical_block_size='%u' physical_block_size='%u'/>\n", j->o.disk.block_size, j->o.disk.block_size);
	printf("%s</disk>\n", j->writable ? "" : "  <readonly/>\n");
}

/* Kept writes are worth nothing without their point. */
static int hold_point(struct job *j)
{
	char name[128], point[64];
	json_t *answer;
	int rc;

	if (!j->keep || replica_is_folder(j->a->operand[0]))
		return VAIO_OK;
	snprintf(name, sizeof(name), "export-%.100s", j->name);
	snprintf(point, sizeof(point), "seq:%" PRIu64, j->o.point.seq);
	rc = replica_ask(j->cmd, j->a, json_pack("{s:s, s:s, s:s, s:s, s:b}", "do", "hold", "group", j->a->operand[0], "name", name,
						 "point", point, "pin", 1), &answer);
	if (!rc)
		json_decref(answer);
	return rc;
}

/* nbdkit goes into the background, and writes the file when it is there; 0: it did not within 30 s. */
static int read_pid(const struct job *j)
{
	for (int i = 0; i < 3000; i++) {
		FILE *f = fopen(j->pid_file, "r");
		int pid = 0, n = f ? fscanf(f, "%d\n", &pid) : 0;

		if (f)
			fclose(f);
		if (n == 1)
			return pid;
		usleep(10000);
	}
	return 0;
}

static int write_note(struct job *j, json_t **out)
{
	int pid = read_pid(j);
	json_t *note;
	char t[32];

	note = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:s, s:i, s:b, s:b}", "name", j->name, "group", j->a->operand[0],
			 "directory", j->o.dir, "disk", j->o.disk.name, "seq", (json_int_t)j->o.point.seq, "time",
			 replica_time(j->o.point.time_ns, t, sizeof(t)), "size", (json_int_t)j->o.disk.size, "uri", j->uri, "pid",
			 pid, "writable", j->writable, "keep", j->keep);
	if (j->keep)
		json_object_set_new(note, "scratch", json_string(j->scratch));
	*out = note;
	if (!pid)
		return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "nbdkit did not become ready");
	if (json_dump_file(note, j->note, JSON_INDENT(2)))
		return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "'%s' cannot be written", j->note);
	return VAIO_OK;
}

static int make_folder(struct job *j)
{
	char path[256];

	for (char *p = strcpy(path, j->run) + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "'%s': %s", path, strerror(errno));
		*p = c;
		if (!c)
			return VAIO_OK;
	}
}

/* An export of that name that lives is refused; what one left behind is removed. */
static int check_name_free(struct job *j)
{
	json_t *note = read_note(j->note);
	int fd = note ? open_nbdkit(note) : -1;

	json_decref(note);
	if (fd >= 0) {
		close(fd);
		return vaioctl_cmd_fail(j->cmd, VAIO_INUSE, "the export '%s' is served already: vaioctl replica unexport ends it",
					j->name);
	}
	unlink(j->socket);
	unlink(j->pid_file);
	unlink(j->note);
	return VAIO_OK;
}

static void default_name(struct job *j)
{
	const char *group = strrchr(j->a->operand[0], '/') ? strrchr(j->a->operand[0], '/') + 1 : j->a->operand[0];

	snprintf(j->name, sizeof(j->name), "%.24s-%.24s-%" PRIu64, *group ? group : "store", j->o.disk.name, j->o.point.seq);
	for (char *p = j->name; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *p))
			*p = '_';
}

int replica_export(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	const char *wanted = vaioctl_opt(a, "point");
	struct job *j = calloc(1, sizeof(*j));
	json_t *note = NULL;
	char point[128];
	int rc;

	if (!j)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "no memory");
	j->cmd = cmd;
	j->a = a;
	snprintf(point, sizeof(point), "%s", wanted ? wanted : "latest");
	rc = check_options(j);
	if (!rc)
		rc = kept_point(j, point, sizeof(point));
	if (!rc)
		rc = replica_open_disk(cmd, a, a->operand[0], point, &j->o);
	if (rc) {
		free(j);
		return rc;
	}
	if (vaioctl_opt(a, "name"))
		snprintf(j->name, sizeof(j->name), "%s", vaioctl_opt(a, "name"));
	else
		default_name(j);
	rc = set_paths(j);
	if (j->listen)
		snprintf(j->uri, sizeof(j->uri), "nbds://%s/", j->listen);
	else
		snprintf(j->uri, sizeof(j->uri), "nbd+unix:///?socket=%s", j->socket);
	if (!rc)
		rc = make_folder(j);
	if (!rc)
		rc = check_name_free(j);
	if (!rc)
		rc = hold_point(j);
	if (!rc)
		rc = run_nbdkit(j);
	if (!rc)
		rc = write_note(j, &note);
	if (!rc && g->json) {
		rc = vaioctl_print_json(json_incref(note));
	} else if (!rc) {
		printf("%s  %s at seq:%" PRIu64 " (%s)%s\n%s\n\n", j->name, j->o.disk.name, j->o.point.seq,
		       replica_text(note, "time"), j->writable ? ", writable" : ", read-only", j->uri);
		print_disk(j);
	}
	json_decref(note);
	replica_close(&j->o);
	free(j);
	return rc;
}

/* --- those that are there ------------------------------------------------------------------------- */

static int compare_notes(const void *a, const void *b)
{
	return strcmp(replica_text(*(json_t **)a, "name"), replica_text(*(json_t **)b, "name"));
}

int replica_exports(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	const char *run = vaioctl_opt(a, "run") ? vaioctl_opt(a, "run") : RUN_DIR;
	json_t *notes[256], *list;
	unsigned int n = 0;
	struct dirent *d;
	DIR *dir = opendir(run);

	if (!dir && errno != ENOENT)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "'%s': %s", run, strerror(errno));
	while (dir && n < 256 && (d = readdir(dir))) {
		size_t len = strlen(d->d_name);
		char path[600];
		int fd;

		if (len < 6 || strcmp(d->d_name + len - 5, ".json"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", run, d->d_name);
		notes[n] = read_note(path);
		if (!notes[n])
			continue;
		fd = open_nbdkit(notes[n]);
		json_object_set_new(notes[n], "served", json_boolean(fd >= 0));
		if (fd >= 0)
			close(fd);
		n++;
	}
	if (dir)
		closedir(dir);
	if (n)
		qsort(notes, n, sizeof(*notes), compare_notes);
	list = json_array();
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, notes[i]);
	if (g->json)
		return vaioctl_print_json(list);
	printf("%-28s %-16s %-16s %-19s  %-9s %s\n", "NAME", "GROUP", "DISK", "POINT", "STATE", "URI");
	for (unsigned int i = 0; i < n; i++)
		printf("%-28s %-16s %-16s %-19s  %-9s %s\n", replica_text(notes[i], "name"), replica_text(notes[i], "group"),
		       replica_text(notes[i], "disk"), replica_text(notes[i], "time"),
		       !json_is_true(json_object_get(notes[i], "served")) ?
		       json_is_true(json_object_get(notes[i], "keep")) ? "kept" : "dead" :
		       json_is_true(json_object_get(notes[i], "writable")) ? "writable" : "read-only", replica_text(notes[i], "uri"));
	json_decref(list);
	return VAIO_OK;
}

/* --- ending one --------------------------------------------------------------------------------------- */

static int discard(struct job *j, json_t *note)
{
	const char *group = replica_text(note, "group"), *scratch = replica_text(note, "scratch");
	char name[128];
	json_t *answer;
	int rc;

	if (unlink(scratch) && errno != ENOENT)
		return vaioctl_cmd_fail(j->cmd, VAIO_FAILED, "'%s': %s", scratch, strerror(errno));
	if (replica_is_folder(group))
		return VAIO_OK;
	snprintf(name, sizeof(name), "export-%.100s", j->name);
	rc = replica_ask(j->cmd, j->a, json_pack("{s:s, s:s, s:s}", "do", "release", "group", group, "name", name), &answer);
	if (!rc)
		json_decref(answer);
	return rc;
}

int replica_unexport(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct job *j;
	json_t *note;
	int fd, rc = VAIO_OK;

	(void)g;
	if (!name_valid(a->operand[0]))
		return bad_name(cmd, a->operand[0]);
	j = calloc(1, sizeof(*j));
	if (!j)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "no memory");
	j->cmd = cmd;
	j->a = a;
	snprintf(j->name, sizeof(j->name), "%s", a->operand[0]);
	rc = set_paths(j);
	note = rc ? NULL : read_note(j->note);
	if (rc) {
		free(j);
		return rc;
	}
	if (!note) {
		rc = vaioctl_cmd_fail(cmd, VAIO_NOTFOUND, "there is no export '%s': vaioctl replica exports lists them", j->name);
		free(j);
		return rc;
	}
	if (vaioctl_has(a, "discard") && !json_is_true(json_object_get(note, "keep")))
		rc = vaioctl_cmd_fail(cmd, VAIO_USAGE, "--discard: the export '%s' keeps no writes", j->name);
	fd = rc ? -1 : open_nbdkit(note);
	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
		if (poll(&p, 1, 30000) != 1)
			rc = vaioctl_cmd_fail(cmd, VAIO_INUSE, "nbdkit (pid %" PRIu64 ") does not end: somebody still uses the export",
					      replica_number(note, "pid"));
		close(fd);
	}
	if (!rc) {
		unlink(j->socket);
		unlink(j->pid_file);
		if (vaioctl_has(a, "discard"))
			rc = discard(j, note);
	}
	if (!rc && json_is_true(json_object_get(note, "keep")) && !vaioctl_has(a, "discard"))
		vaioctl_note("the writes stay in %s: unexport --discard throws them away", replica_text(note, "scratch"));
	else if (!rc)
		unlink(j->note);
	json_decref(note);
	free(j);
	return rc;
}
