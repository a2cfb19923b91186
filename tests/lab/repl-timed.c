// SPDX-License-Identifier: GPL-2.0
/*
 * How long device-mapper's calls take while the replica is lost.
 *
 *   repl-timed DISK STEP...
 *
 * For boots with virtual time: there a program that has to be read first, or started, costs what the machine below
 * takes. This one has all that it needs in memory before its first step, and names and prints nothing before the last.
 * No udev cookie is waited for. A line for each step: its word, milliseconds, and 0 or how it failed.
 *
 *   kill:PID stop:PID              the agent: until it is dead, or stopped
 *   write                          4 KiB in the background: until it waits in the filter
 *   over                           until it is over: milliseconds since it began, and its result
 *   put                            a write that need not wait
 *   parked:N                       until so many requests wait in the filter
 *   suspend suspend-noflush resume load remove
 *                                  the ioctl; load: the table that it has once more
 *   until:STATE                    until group g is in it: milliseconds since the last signal
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../userspace/libvaio/libvaio.h"

#define MAX_STEPS	64
#define PATIENCE_MS	600000
#define STACK		(256U << 10)

static const char *disk;
static char node[256];
static int control;
static struct vaio_nl *nl;

/* device-mapper's answers come behind the head */
static union {
	struct dm_ioctl head;
	uint8_t bytes[16384];
} arg;
static char table[8192];
static uint64_t table_sectors;
static char table_type[DM_MAX_TYPE_NAME];

struct result {
	uint64_t ms;
	int error;
};

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(2);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Sleeps a little. False: the deadline has passed. */
static bool patience(uint64_t deadline_ms)
{
	usleep(1000);
	return now_ms() < deadline_ms;
}

/* --- device-mapper ----------------------------------------------------------------------------- */

static void prepare(uint32_t flags)
{
	memset(&arg.head, 0, sizeof(arg.head));
	arg.head.version[0] = DM_VERSION_MAJOR;
	arg.head.data_size = sizeof(arg);
	arg.head.data_start = sizeof(arg.head);
	arg.head.flags = flags;
	snprintf(arg.head.name, sizeof(arg.head.name), "%s", disk);
}

static struct result call(unsigned long request)
{
	uint64_t began = now_ms();
	int error = ioctl(control, request, &arg) ? errno : 0;

	return (struct result){ now_ms() - began, error };
}

static const struct dm_target_spec *answer(uint32_t flags)
{
	prepare(flags);
	if (call(DM_TABLE_STATUS).error || arg.head.target_count != 1)
		die("%s: no status: %s", disk, strerror(errno));
	return (void *)(arg.bytes + arg.head.data_start);
}

static void remember_table(void)
{
	const struct dm_target_spec *spec = answer(DM_STATUS_TABLE_FLAG);

	table_sectors = spec->length;
	snprintf(table_type, sizeof(table_type), "%s", spec->target_type);
	snprintf(table, sizeof(table), "%s", (const char *)(spec + 1));
}

static struct result load(void)
{
	struct dm_target_spec *spec;

	prepare(0);
	arg.head.target_count = 1;
	spec = (void *)(arg.bytes + arg.head.data_start);
	memset(spec, 0, sizeof(*spec));
	spec->length = table_sectors;
	memcpy(spec->target_type, table_type, sizeof(spec->target_type));
	memcpy(spec + 1, table, sizeof(table));
	return call(DM_TABLE_LOAD);
}

/* Requests that the filter lets wait: <class> <filter> <state> <completed> <failed> <deferred> <parked> */
static unsigned int parked(void)
{
	const struct dm_target_spec *spec = answer(0);
	const char *p = strstr((const char *)(spec + 1), " replication replication ");
	unsigned int n;

	if (!p || sscanf(p, " %*s %*s %*s %*u %*u %*u %u", &n) != 1)
		die("%s: its status has no replication: %s", disk, (const char *)(spec + 1));
	return n;
}

static struct result remove_disk(void)
{
	struct result r;

	prepare(0);
	r = call(DM_DEV_REMOVE);
	if (!r.error)
		unlink(node);
	return r;
}

static struct result suspend(uint32_t flags)
{
	prepare(flags);
	return call(DM_DEV_SUSPEND);
}

/* --- a write ------------------------------------------------------------------------------------ */

static pthread_t writer;
static bool begun, write_over;
static struct result written;
static uint8_t block[4096] __attribute__((aligned(4096)));

static void *write_block(void *unused)
{
	uint64_t began = now_ms();
	int fd = open(node, O_WRONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block))
		written.error = errno;
	written.ms = now_ms() - began;
	if (fd >= 0)
		close(fd);
	__atomic_store_n(&write_over, true, __ATOMIC_RELEASE);
	return unused;
}

static bool is_over(void)
{
	return __atomic_load_n(&write_over, __ATOMIC_ACQUIRE);
}

static void begin_write(void)
{
	pthread_attr_t attr;

	if (begun)
		die("a write is under way");
	memset(&written, 0, sizeof(written));
	begun = true;
	block[0]++;
	/* all of a stack is locked at once */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	if (pthread_create(&writer, &attr, write_block, NULL))
		die("no thread");
}

static void await_parked(unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	unsigned int seen;

	while ((seen = parked()) < n)
		if (is_over() || !patience(end))
			die("%u requests wait, not %u", seen, n);
}

static struct result end_write(void)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	if (!begun)
		die("no write is under way");
	while (!is_over())
		if (!patience(end))
			die("the write is not over");
	pthread_join(writer, NULL);
	begun = write_over = false;
	return written;
}

/* --- the agent, the group ------------------------------------------------------------------------ */

static uint64_t signalled_ms;

/* Until /proc shows it: when it is dead its files are closed, and the shell may have waited for it. */
static void signal_agent(const char *pid, int sig, char wanted)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	char path[64], text[512], *p;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	signalled_ms = now_ms();
	if (kill((pid_t)atoi(pid), sig))
		die("process %s: %s", pid, strerror(errno));
	do {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (got <= 0 && sig == SIGKILL)
			return;
		if (got <= 0)
			die("%s: %s", path, strerror(errno));
		text[got] = 0;
		p = strrchr(text, ')');
		if (p && p[1] == ' ' && p[2] == wanted)
			return;
	} while (patience(end));
	die("process %s goes on", pid);
}

static struct result until_state(const char *state)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	struct vaio_group group = { 0 };
	struct vaio_err e;
	bool there;

	do {
		if (vaio_group_get(nl, "g", &group, &e))
			die("%s", e.text);
		there = !strcmp(group.state, state);
		vaio_group_free(&group);
		if (there)
			return (struct result){ now_ms() - signalled_ms, 0 };
	} while (patience(end));
	die("the group is not %s", state);
}

/* --- steps ---------------------------------------------------------------------------------------- */

static struct result step(const char *word)
{
	const char *value = strchr(word, ':');
	uint64_t began = now_ms();

	value = value ? value + 1 : "";
	if (!strncmp(word, "kill:", 5)) {
		signal_agent(value, SIGKILL, 'Z');
	} else if (!strncmp(word, "stop:", 5)) {
		signal_agent(value, SIGSTOP, 'T');
	} else if (!strncmp(word, "parked:", 7)) {
		await_parked((unsigned int)atoi(value));
	} else if (!strncmp(word, "until:", 6)) {
		return until_state(value);
	} else if (!strcmp(word, "write")) {
		begin_write();
		await_parked(1);
	} else if (!strcmp(word, "put")) {
		begin_write();
		return end_write();
	} else if (!strcmp(word, "over")) {
		return end_write();
	} else if (!strcmp(word, "suspend")) {
		return suspend(DM_SUSPEND_FLAG);
	} else if (!strcmp(word, "suspend-noflush")) {
		return suspend(DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG);
	} else if (!strcmp(word, "resume")) {
		return suspend(0);
	} else if (!strcmp(word, "load")) {
		return load();
	} else if (!strcmp(word, "remove")) {
		return remove_disk();
	} else {
		die("'%s' is no step: see repl-timed.c", word);
	}
	return (struct result){ now_ms() - began, 0 };
}

int main(int argc, char **argv)
{
	struct result results[MAX_STEPS];
	struct vaio_err e;
	int i, n = argc - 2;

	if (n < 1 || n > MAX_STEPS)
		die("repl-timed DISK STEP...: see repl-timed.c");
	disk = argv[1];
	snprintf(node, sizeof(node), "/dev/mapper/%s", disk);
	control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		die("/dev/mapper/control: %s", strerror(errno));
	if (vaio_group_open(&nl, &e))
		die("%s", e.text);
	/* nothing is to be read from a disk later */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall: %s", strerror(errno));
	remember_table();
	for (i = 0; i < n; i++)
		results[i] = step(argv[i + 2]);
	for (i = 0; i < n; i++)
		printf("%s %llu %s\n", argv[i + 2], (unsigned long long)results[i].ms,
		       results[i].error ? strerrorname_np(results[i].error) : "0");
	return 0;
}
