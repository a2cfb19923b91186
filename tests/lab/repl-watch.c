// SPDX-License-Identifier: GPL-2.0
/*
 * What the replica*.sh scripts look at and wait for, in one process a question: in an emulated guest each process
 * costs tens of milliseconds, and polling from a shell several of them each time.
 *
 *   repl-watch get NAME                          a figure of group g, as the kernel has it
 *   repl-watch until SECONDS [NAME OP VALUE]...  waits until all are so; OP: = != '<' '>' '>='
 *   repl-watch ask SOCKET JSON                   sends a line, prints the answer
 *   repl-watch agent SOCKET NAME                 a field of the agent's status of group g
 *   repl-watch agent SOCKET NAME VALUE SECONDS   waits until it is (a part of) that
 *   repl-watch allow LEDGER N                    the stamper may begin N operations from now on
 *   repl-watch write LEDGER N OF SECONDS         likewise, OF; waits until N have begun
 *   repl-watch halt LEDGER                       no more begin; prints how many streams have one under way
 *   repl-watch kill LEDGER PID N OF SECONDS      write, kill -9 PID and halt, at once
 *   repl-watch begun LEDGER N SECONDS            waits until N have begun
 *   repl-watch busy LEDGER                       prints how many streams have an operation under way
 *   repl-watch idle LEDGER SECONDS               waits until all that it may is done
 *   repl-watch equal STORE DEVICE...             disk by disk, the newest point holds what the device does
 *   repl-watch shutdown FOLDER                   nothing is written to this filesystem from now on (ext4)
 *
 * Behind "-g NAME" it is the group of that name, not g.
 * NAME is a counter, "state", or "dirty" (bytes, of all disks). Exit status 1: not so, or not in time; then it prints
 * what was seen last. 2: used wrongly.
 */
#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/futex.h>
#include <linux/types.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../userspace/libreplica/libreplica.h"
#include "../../userspace/libvaio/libvaio.h"
#include "oracle.h"
#include "replica-disks.h"

#define PIECE		(1U << 20)
#define EXT4_IOC_SHUTDOWN	_IOR('X', 125, __u32)
#define EXT4_GOING_FLAGS_NOLOGFLUSH	2

__attribute__((format(printf, 1, 2), noreturn))
static void no(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

__attribute__((noreturn))
static void usage(void)
{
	fprintf(stderr, "repl-watch: get, until, ask, agent, allow, write, halt, kill, begun, busy, idle, equal, shutdown: see repl-watch.c\n");
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
	usleep(10000);
	return now_ms() < deadline_ms;
}

static uint64_t deadline(const char *seconds)
{
	return now_ms() + strtoul(seconds, NULL, 10) * 1000;
}

/* --- the kernel ------------------------------------------------------------------------------ */

static struct vaio_nl *nl;
static struct vaio_group group;
static const char *group_name = "g";

static void look(void)
{
	struct vaio_err e;

	vaio_group_free(&group);
	if ((!nl && vaio_group_open(&nl, &e)) || vaio_group_get(nl, group_name, &group, &e))
		no("%s", e.text);
}

static const char *figure(const char *name)
{
	static char text[32];
	uint64_t dirty = 0;
	const char *v;

	if (!strcmp(name, "state"))
		return group.state;
	if (!strcmp(name, "dirty")) {
		for (unsigned int i = 0; i < group.n_members; i++)
			dirty += group.members[i].dirty;
		snprintf(text, sizeof(text), "%" PRIu64, dirty);
		return text;
	}
	v = vaio_pair_value(group.counters, group.n_counters, name);
	if (!*v)
		no("there is no counter '%s'", name);
	return v;
}

static bool holds(const char *name, const char *op, const char *value)
{
	const char *v = figure(name);
	uint64_t a, b;

	if (!strcmp(op, "="))
		return !strcmp(v, value);
	if (!strcmp(op, "!="))
		return strcmp(v, value);
	a = strtoull(v, NULL, 10);
	b = strtoull(value, NULL, 10);
	if (!strcmp(op, "<"))
		return a < b;
	if (!strcmp(op, ">"))
		return a > b;
	if (!strcmp(op, ">="))
		return a >= b;
	usage();
}

static void until(int n, char **words, uint64_t end_ms)
{
	int i;

	if (!n || n % 3)
		usage();
	do {
		look();
		for (i = 0; i < n && holds(words[i], words[i + 1], words[i + 2]); i += 3)
			;
		if (i == n)
			return;
	} while (patience(end_ms));
	for (i = 0; i < n; i += 3)
		printf("%s is %s, not %s %s\n", words[i], figure(words[i]), words[i + 1], words[i + 2]);
	exit(1);
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* The answer, the caller's to free; NULL: nobody answered. */
static char *ask(const char *path, const char *line)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 90 };
	size_t used = 0, room = 1 << 16;
	char *answer = malloc(room);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t got;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!answer || fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		goto none;
	while ((got = recv(fd, answer + used, room - used - 1, 0)) > 0) {
		used += (size_t)got;
		if (room - used < 2)
			answer = realloc(answer, room *= 2);
		if (!answer)
			goto none;
	}
	if (!used)
		goto none;
	answer[used - (answer[used - 1] == '\n')] = 0;
	close(fd);
	return answer;
none:
	free(answer);
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* A field of the agent's status as text. False: there is no answer. */
static bool agent_field(const char *socket, const char *name, char *text, size_t size)
{
	char request[128], *answer, *dump;
	json_t *r, *field;

	snprintf(request, sizeof(request), "{\"do\": \"status\", \"group\": \"%s\"}", group_name);
	answer = ask(socket, request);
	r = answer ? json_loads(answer, 0, NULL) : NULL;
	field = json_object_get(json_array_get(json_object_get(r, "groups"), 0), name);

	if (json_is_string(field)) {
		snprintf(text, size, "%s", json_string_value(field));
	} else if (field) {
		dump = json_dumps(field, JSON_ENCODE_ANY | JSON_COMPACT);
		snprintf(text, size, "%s", dump);
		free(dump);
	}
	free(answer);
	json_decref(r);
	return field;
}

static void agent(int n, char **words)
{
	char text[4096] = "no answer";
	bool all = n == 4;
	uint64_t end_ms;

	if (n == 2) {
		if (!agent_field(words[0], words[1], text, sizeof(text)))
			no("no answer, or no field '%s'", words[1]);
		puts(text);
		return;
	}
	if (!all)
		usage();
	end_ms = deadline(words[3]);
	do
		if (agent_field(words[0], words[1], text, sizeof(text)) && strstr(text, words[2]))
			return;
	while (patience(end_ms));
	no("%s is '%s'", words[1], text);
}

/* --- the stamper ------------------------------------------------------------------------------- */

static struct ledger *open_ledger(const char *path)
{
	int fd = open(path, O_RDWR);
	struct ledger *l = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (l == MAP_FAILED)
		no("%s: %s", path, strerror(errno));
	return l;
}

static uint32_t begun(const struct ledger *l)
{
	uint32_t wanted = __atomic_load_n(&l->wanted, __ATOMIC_SEQ_CST), allowed = __atomic_load_n(&l->allowed, __ATOMIC_SEQ_CST);

	return wanted < allowed ? wanted : allowed;
}

static unsigned int busy(const struct ledger *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ORACLE_STREAMS; i++)
		n += __atomic_load_n(&l->begun[i], __ATOMIC_SEQ_CST) != __atomic_load_n(&l->acked[i], __ATOMIC_SEQ_CST);
	return n;
}

/* Returns how many had begun before. */
static uint32_t allow(struct ledger *l, const char *n)
{
	uint32_t from = begun(l);

	__atomic_store_n(&l->allowed, from + (uint32_t)strtoul(n, NULL, 10), __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &l->allowed, FUTEX_WAKE, ORACLE_STREAMS, NULL, NULL, 0);
	return from;
}

static void await_begun(const struct ledger *l, uint32_t from, uint32_t n, uint64_t end_ms)
{
	while (begun(l) - from < n)
		if (!patience(end_ms))
			no("only %u operations", begun(l) - from);
}

static void await_idle(const struct ledger *l, uint64_t end_ms)
{
	while (!__atomic_load_n(&l->streams, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&l->waiting, __ATOMIC_SEQ_CST) < l->streams ||
	       __atomic_load_n(&l->wanted, __ATOMIC_SEQ_CST) <= __atomic_load_n(&l->allowed, __ATOMIC_SEQ_CST))
		if (!patience(end_ms))
			no("only %u of %u streams wait", l->waiting, l->streams);
}

/* --- equal -------------------------------------------------------------------------------------- */

static void compare(struct vr_view *v, uint16_t number, uint64_t bytes, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT);
	struct vr_err e;
	uint8_t *a, *b;

	if (fd < 0 || posix_memalign((void **)&a, 4096, PIECE) || posix_memalign((void **)&b, 4096, PIECE))
		no("%s: %s", path, strerror(errno));
	for (uint64_t at = 0; at < bytes; at += PIECE) {
		size_t len = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;

		if (pread(fd, a, len, (off_t)at) != (ssize_t)len)
			no("%s: %s", path, strerror(errno));
		if (vr_view_read(v, number, b, len, at, &e))
			no("the replica of %s: %s", path, e.text);
		for (size_t i = 0; i < len; i += SECTOR)
			if (memcmp(a + i, b + i, SECTOR))
				no("%s: sector %" PRIu64 " is another one at the replica", path, (at + i) / SECTOR);
	}
	free(a);
	free(b);
	close(fd);
}

/* The devices are given in the order of their disks' UUIDs. */
static void equal(const char *dir, int n, char **devices)
{
	struct vr_member *members;
	const struct vr_history *h;
	struct vr_store *st;
	struct vr_point p;
	struct vr_pin *pin;
	struct vr_view *v;
	struct vr_err e;

	gcry_check_version(NULL);
	if (vr_pin_take(dir, "latest", 0, &pin, &st, &p, &e) || vr_view_open(st, p.seq, &v, &e))
		no("%s: %s", dir, e.text);
	h = vr_view_history(v);
	if ((int)h->nr_members != n)
		no("the replica has %u disks", h->nr_members);
	members = calloc((size_t)n, sizeof(*members));
	if (!members)
		no("no memory");
	memcpy(members, h->members, (size_t)n * sizeof(*members));
	qsort(members, (size_t)n, sizeof(*members), by_uuid);
	for (int i = 0; i < n; i++)
		compare(v, members[i].number, members[i].size, devices[i]);
	free(members);
	vr_view_close(v);
	vr_pin_drop(pin);
}

int main(int argc, char **argv)
{
	__u32 flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
	struct ledger *l;
	const char *what;
	char *answer, **words;
	int n;

	if (argc > 2 && !strcmp(argv[1], "-g")) {
		group_name = argv[2];
		argc -= 2;
		argv += 2;
	}
	what = argc > 1 ? argv[1] : "";
	n = argc - 2;
	words = argv + 2;
	if (!strcmp(what, "get") && n == 1) {
		look();
		puts(figure(words[0]));
	} else if (!strcmp(what, "until") && n > 1) {
		until(n - 1, words + 1, deadline(words[0]));
	} else if (!strcmp(what, "ask") && n == 2) {
		answer = ask(words[0], words[1]);
		if (!answer)
			no("%s does not answer", words[0]);
		puts(answer);
	} else if (!strcmp(what, "agent")) {
		agent(n, words);
	} else if (!strcmp(what, "allow") && n == 2) {
		allow(open_ledger(words[0]), words[1]);
	} else if (!strcmp(what, "halt") && n == 1) {
		l = open_ledger(words[0]);
		allow(l, "0");
		printf("%u\n", busy(l));
	} else if (!strcmp(what, "kill") && n == 5) {
		l = open_ledger(words[0]);
		await_begun(l, allow(l, words[3]), (uint32_t)strtoul(words[2], NULL, 10), deadline(words[4]));
		if (kill((pid_t)strtol(words[1], NULL, 10), SIGKILL))
			no("kill %s: %s", words[1], strerror(errno));
		n = (int)busy(l);
		allow(l, "0");
		printf("%d\n", n);
	} else if (!strcmp(what, "write") && n == 4) {
		l = open_ledger(words[0]);
		await_begun(l, allow(l, words[2]), (uint32_t)strtoul(words[1], NULL, 10), deadline(words[3]));
	} else if (!strcmp(what, "begun") && n == 3) {
		await_begun(open_ledger(words[0]), 0, (uint32_t)strtoul(words[1], NULL, 10), deadline(words[2]));
	} else if (!strcmp(what, "busy") && n == 1) {
		printf("%u\n", busy(open_ledger(words[0])));
	} else if (!strcmp(what, "idle") && n == 2) {
		await_idle(open_ledger(words[0]), deadline(words[1]));
	} else if (!strcmp(what, "equal") && n > 1) {
		equal(words[0], n - 1, words + 1);
	} else if (!strcmp(what, "shutdown") && n == 1) {
		if (ioctl(open(words[0], O_RDONLY), EXT4_IOC_SHUTDOWN, &flags))
			no("%s: %s", words[0], strerror(errno));
	} else {
		usage();
	}
	return 0;
}
