// SPDX-License-Identifier: GPL-2.0
/*
 * Storage that hangs, for a real process: loaded before the C library (LD_PRELOAD), fdatasync() of a file whose path contains
 * what the file $VAIO_STALL says does not return until it says something else or is gone. $VAIO_STALL.hit is made when one hangs.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool stalled(int fd)
{
	char what[256] = "", link[64], path[PATH_MAX] = "";
	int f = open(getenv("VAIO_STALL"), O_RDONLY | O_CLOEXEC);
	ssize_t n = f >= 0 ? read(f, what, sizeof(what) - 1) : 0;

	if (f >= 0)
		close(f);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return n > 0 && readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, what);
}

static void hit(void)
{
	char name[PATH_MAX];
	int f;

	snprintf(name, sizeof(name), "%s.hit", getenv("VAIO_STALL"));
	f = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (f >= 0)
		close(f);
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
