// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vaio.h>

#include "blockdev.h"
#include "host.h"
#include "units.h"

#define HOST_ID_PARAM "/sys/module/vaio/parameters/host_id"

int vaio_run(const char *const *argv, char *line, size_t size)
{
	char buf[1024];
	int fds[2], status;
	pid_t pid;
	FILE *f;

	if (line)
		line[0] = 0;
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		execvp(argv[0], (char *const *)argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (f && fgets(buf, sizeof(buf), f)) {
		buf[strcspn(buf, "\n")] = 0;
		if (line && buf[0])
			snprintf(line, size, "%s", buf);
	}
	if (f)
		fclose(f);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool vaio_module_loaded(const char *name)
{
	char path[128], *p;
	struct stat st;

	snprintf(path, sizeof(path), "/sys/module/%.64s", name);
	for (p = path; *p; p++)
		if (*p == '-')
			*p = '_';
	return !stat(path, &st);
}

int vaio_module_load(const char *name, struct vaio_err *e)
{
	const char *argv[] = { "modprobe", "--", name, NULL };
	char line[512];

	if (vaio_module_loaded(name))
		return VAIO_OK;
	if (!vaio_run(argv, line, sizeof(line)))
		return VAIO_OK;
	return vaio_fail(e, VAIO_FAILED, "kernel module %s cannot be loaded: %s (vaioctl doctor says more)", name, line);
}

int vaio_host_id(char *out, struct vaio_err *e)
{
	char id[64];
	int i, n = 0;

	if (!vaio_read_line("/etc/machine-id", id, sizeof(id)) || strlen(id) != 32 ||
	    strspn(id, "0123456789abcdef") != 32)
		return vaio_fail(e, VAIO_FAILED, "/etc/machine-id holds no 32 hex digits: systemd-machine-id-setup makes it");
	for (i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[n++] = '-';
		out[n++] = id[i];
	}
	out[n] = 0;
	return VAIO_OK;
}

static int set_host_id(struct vaio_err *e)
{
	char now[64], id[VAIO_UUID_STR_LEN];
	int fd, rc;
	ssize_t n;

	/* It can be set once; whoever set it chose it. */
	if (access(HOST_ID_PARAM, F_OK) || vaio_read_line(HOST_ID_PARAM, now, sizeof(now)))
		return VAIO_OK;
	rc = vaio_host_id(id, e);
	if (rc)
		return rc;
	fd = open(HOST_ID_PARAM, O_WRONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : write(fd, id, strlen(id));
	if (n < 0)
		rc = vaio_fail_errno(e, VAIO_FAILED, "the host's identity cannot be set in " HOST_ID_PARAM);
	if (fd >= 0)
		close(fd);
	return rc;
}

int vaio_host_prepare(const char *const *filters, struct vaio_err *e)
{
	char alias[VAIO_NAME_LEN + 16];
	int rc;

	rc = vaio_module_load("vaio", e);
	if (!rc)
		rc = vaio_module_load("dm-vaio", e);
	if (!rc)
		rc = set_host_id(e);
	/*
	 * A filter's module is found by its alias. A filter may also live in a
	 * module of another name that is loaded already, so the kernel has the
	 * last word about unknown ones.
	 */
	for (; !rc && *filters; filters++) {
		snprintf(alias, sizeof(alias), "vaio-filter-%s", *filters);
		vaio_run((const char *const []){ "modprobe", "-q", "--", alias, NULL }, NULL, 0);
	}
	return rc;
}

bool vaio_udev_running(void)
{
	struct stat st;

	return !stat("/run/udev/control", &st);
}

/* --- kernel log --------------------------------------------------------------- */

int vaio_klog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

bool vaio_klog_parse(const char *record, char *text, size_t size)
{
	static const char table[] = "device-mapper: table: ";
	const char *msg = strchr(record, ';');
	char *end;
	size_t n;

	if (!msg)
		return false;
	msg++;
	if (!strncmp(msg, table, strlen(table))) {
		/* "253:0: vaio: Unknown filter (-EINVAL)" */
		msg += strlen(table);
		msg += strspn(msg, "0123456789:");
		msg += strspn(msg, " ");
		if (!strncmp(msg, "vaio: ", 6))
			msg += 6;
	} else if (!strncmp(msg, "vaio", 4)) {
		/* "vaio: text", "vaio-crypt: text", "vaio vm1: text" stay whole but for the plain prefix. */
		if (!strncmp(msg, "vaio: ", 6))
			msg += 6;
	} else if (!strncmp(msg, "device-mapper: vaio: ", 21)) {
		msg += 21;
	} else {
		return false;
	}
	snprintf(text, size, "%s", msg);
	n = strcspn(text, "\n");
	text[n] = 0;
	/* The errno that device-mapper appends, " (-EINVAL)", says nothing that the sentence does not. */
	end = strrchr(text, '(');
	if (end && end > text && end[-1] == ' ' && !strncmp(end, "(-E", 3) && n && text[n - 1] == ')')
		end[-1] = 0;
	return true;
}

void vaio_klog_reason(int fd, char *text, size_t size)
{
	char record[8192];
	bool from_table = false;
	ssize_t n;

	text[0] = 0;
	if (fd < 0)
		return;
	for (;;) {
		char one[1024];

		n = read(fd, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;	/* older records were overwritten */
		if (n <= 0)
			break;
		record[n] = 0;
		/* device-mapper's own words come after the target's and tell only that it refused. */
		if (!vaio_klog_parse(record, one, sizeof(one)) || (text[0] && strstr(one, "preresume failed, error")))
			continue;
		/* The target's own sentence beats what came along with it. */
		if (from_table && !strstr(record, "device-mapper: table: "))
			continue;
		from_table = strstr(record, "device-mapper: table: ") != NULL;
		snprintf(text, size, "%s", one);
	}
}
