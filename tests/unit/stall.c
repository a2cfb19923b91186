// SPDX-License-Identifier: GPL-2.0
/*
 * Storage that hangs, for a real process: loaded before the C library (LD_PRELOAD), fdatasync() of a file whose path contains
 * what the file $VAIO_STALL says does not return until it says something else or is gone. $VAIO_STALL.hit gets a byte when one hangs.
 * While it says "accept", accept4() of a connection that is there fails: there is no memory for it. That is a byte, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORD	256

/* What is to stall now. */
static bool said(char what[WORD])
{
	int f = open(getenv("VAIO_STALL"), O_RDONLY | O_CLOEXEC);
	ssize_t n = f >= 0 ? read(f, what, WORD - 1) : 0;

	if (f >= 0)
		close(f);
	what[n > 0 ? n : 0] = 0;
	return n > 0;
}

static bool stalled(int fd)
{
	char what[WORD], link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return said(what) && readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, what);
}

static void hit(void)
{
	char name[PATH_MAX];
	int f;

	snprintf(name, sizeof(name), "%s.hit", getenv("VAIO_STALL"));
	f = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (f >= 0) {
		(void)!write(f, "x", 1);
		close(f);
	}
}

int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	while (stalled(fd)) {
		hit();
		usleep(10000);
	}
	return real(fd);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char what[WORD];

	poll(&p, 1, -1);
	if (said(what) && !strcmp(what, "accept")) {
		hit();
		errno = ENOBUFS;
		return -1;
	}
	return real(fd, addr, len, flags);
}
