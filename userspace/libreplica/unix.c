// SPDX-License-Identifier: GPL-2.0
/* A daemon's own socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "err.h"
#include "unix.h"

int vr_unix_listen(const char *path, const char *daemon, int flags, int backlog, int *fd, struct vr_err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return vr_fail(e, -ENAMETOOLONG, "--socket '%.100s' is longer than %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return vr_fail_errno(e, -errno, "socket");
	/* Does another daemon answer there? Else what is there was left behind. */
	if (!connect(*fd, (struct sockaddr *)&addr, sizeof(addr)))
		return vr_fail(e, -EBUSY, "%.100s: another %s listens there", path, daemon);
	close(*fd);
	unlink(path);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(*fd, backlog))
		return vr_fail_errno(e, -errno, "%.100s", path);
	return 0;
}

int vr_unix_send(int fd, const json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);
	size_t left = text ? strlen(text) : 0, at = 0;
	int rc = text ? 0 : -ENOMEM;

	if (text)
		text[left++] = '\n';	/* in the place of the NUL */
	while (left) {
		ssize_t n = send(fd, text + at, left, MSG_NOSIGNAL);

		if (n <= 0) {
			rc = n ? -errno : -EIO;
			break;
		}
		at += (size_t)n;
		left -= (size_t)n;
	}
	free(text);
	return rc;
}
