// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's process 1, alone in the initramfs. It loads the few modules that
 * the root needs, puts the root together (the machine's own userland over 9p,
 * read-only, under a tmpfs overlay), runs one command in it, passes the
 * command's output and exit status to the host over virtio-serial, and powers
 * off. Static, because nothing else is in the initramfs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define P9_OPTIONS "trans=virtio,version=9p2000.L,msize=512000,cache=loose"

static int status_fd = -1;

static void say(const char *level, const char *fmt, ...)
{
	char text[512];
	va_list args;
	int len, fd;

	len = snprintf(text, sizeof(text), "%slab: ", level);
	va_start(args, fmt);
	vsnprintf(text + len, sizeof(text) - len, fmt, args);
	va_end(args);
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror("kmsg");
	close(fd);
}

static void power_off(int status)
{
	if (status_fd >= 0)
		dprintf(status_fd, "exit %d\n", status);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say("<2>", "cannot start: %s: %s", text, strerror(errno));
	power_off(71);
	abort();
}

static void load_modules(void)
{
	FILE *list = fopen("/modules/list", "re");
	char name[128], path[160];

	if (!list)
		die("/modules/list");
	while (fscanf(list, "%127s", name) == 1) {
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			die("module %s", name);
		close(fd);
	}
	fclose(list);
}

static void mount_at(const char *source, const char *target, const char *type,
		     unsigned long flags, const char *options)
{
	if (mkdir(target, 0755) && errno != EEXIST)
		die("mkdir %s", target);
	if (mount(source, target, type, flags, options))
		die("mount %s", target);
}

static void make_root(void)
{
	mount_at("root", "/lower", "9p", MS_RDONLY, P9_OPTIONS ",ro");
	mount_at("tmpfs", "/upper", "tmpfs", 0, "mode=755,size=75%");
	if (mkdir("/upper/data", 0755) || mkdir("/upper/work", 0755))
		die("mkdir /upper/data");
	mount_at("overlay", "/root", "overlay", 0,
		 "lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work");
	mount_at("/dev", "/root/dev", NULL, MS_MOVE, NULL);
	mount_at("/proc", "/root/proc", NULL, MS_MOVE, NULL);
	mount_at("/sys", "/root/sys", NULL, MS_MOVE, NULL);
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		die("chroot");

	mount_at("devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
	mount_at("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
	mount_at("tmpfs", "/run", "tmpfs", 0, "mode=755");
	mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	mount_at("configfs", "/sys/kernel/config", "configfs", 0, NULL);
	mount_at("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount_at("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	mount_at("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	mkdir("/run/lock", 01777);
	mount_at("out", "/run/lab", "9p", 0,
		 "trans=virtio,version=9p2000.L,msize=512000,cache=none");
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") || symlink("/proc/self/fd/2", "/dev/stderr"))
		die("symlink /dev/fd");
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		die("loopback");
	close(fd);
}

/* Opens the virtio-serial port of that name. */
static int open_port(const char *wanted)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	char path[300], name[64];
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%63s", name) == 1 && !strcmp(name, wanted)) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return fd;
}

/* The names of the ports arrive from the host a moment after the driver. */
static int wait_port(const char *wanted)
{
	for (int tries = 0; tries < 1000; tries++) {
		int fd = open_port(wanted);

		if (fd >= 0)
			return fd;
		usleep(10000);
	}
	die("virtio port %s", wanted);
}

/* Copies what there is to read; false at the end of the file. */
static bool copy(int from, int to)
{
	static char buf[65536];
	ssize_t got = read(from, buf, sizeof(buf));

	if (got < 0)
		return errno == EINTR || errno == EAGAIN;
	for (ssize_t done = 0; done < got;) {
		ssize_t put = write(to, buf + done, got - done);

		if (put < 0 && errno != EINTR)
			return false;
		if (put > 0)
			done += put;
	}
	return got > 0;
}

static int run(int out)
{
	static char *const argv[] = { "/bin/bash", "/run/lab/.job", NULL };
	static char *const envp[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "TERM=dumb", NULL
	};
	int pipefd[2], status = 71 << 8;
	bool running = true, more = true;
	pid_t child;

	if (pipe2(pipefd, O_CLOEXEC))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		setsid();
		close(0);
		if (open("/dev/null", O_RDONLY) != 0 || dup2(pipefd[1], 1) < 0 ||
		    dup2(pipefd[1], 2) < 0)
			_exit(71);
		execve(argv[0], argv, envp);
		_exit(71);
	}
	close(pipefd[1]);
	while (running || more) {
		struct pollfd poll_out = { .fd = pipefd[0], .events = POLLIN };
		int one;
		pid_t pid;

		if (!more)
			usleep(10000);
		else if (poll(&poll_out, 1, running ? 20 : -1) > 0)
			more = copy(pipefd[0], out);
		while ((pid = waitpid(-1, &one, WNOHANG)) > 0) {
			if (pid != child)
				continue;
			status = one;
			running = false;
			/* What it left behind would hold the pipe open. */
			kill(-1, SIGKILL);
		}
	}
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int main(void)
{
	int out, status;

	umask(0);
	mount_at("proc", "/proc", "proc", 0, NULL);
	mount_at("sysfs", "/sys", "sysfs", 0, NULL);
	mount_at("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
	load_modules();
	make_root();
	umask(022);
	loopback_up();
	sethostname("lab", 3);
	out = wait_port("lab.out");
	status_fd = wait_port("lab.status");
	say("<6>", "userspace");
	dprintf(status_fd, "up\n");
	status = run(out);
	say("<6>", "exit status %d", status);
	power_off(status);
}
