// SPDX-License-Identifier: GPL-2.0
/*
 * An agent without manners: all that it may not do must fail, with the right errno.
 *
 *   repl-hostile GROUP [PID]
 *
 * With PID another agent has the ring. Without, it binds the ring itself, tries
 * every rule, and ends with a storm of calls and scribbled hints.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vaio-replication.h>

static int status;

/* What a call returned against what it had to. */
static void want(const char *what, long got, int error)
{
	int seen = got < 0 ? errno : 0;

	if (seen == error)
		return;
	printf("BAD %s: %s, not %s\n", what, seen ? strerror(seen) : "allowed", error ? strerror(error) : "allowed");
	status = 1;
}

static long map(int fd, uint64_t what, size_t bytes, int prot, int flags, void **p)
{
	*p = mmap(NULL, bytes, prot, flags, fd, (off_t)what);
	return *p == MAP_FAILED ? -1 : 0;
}

static void mappings(int fd, const struct vaio_repl_bind *b)
{
	uint64_t areas[] = { VAIO_REPL_MAP_CONTROL, VAIO_REPL_MAP_DESCS, VAIO_REPL_MAP_DATA };
	size_t bytes[] = { 4096, b->nr_desc * sizeof(struct vaio_repl_desc), b->data_bytes };
	int i, child, mem, result;
	void *p, *q;

	for (i = 0; i < 3; i++) {
		want("writable mapping", map(fd, areas[i], bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED, &p), EPERM);
		want("private mapping", map(fd, areas[i], bytes[i], PROT_READ, MAP_PRIVATE, &p), EINVAL);
		want("executable mapping", map(fd, areas[i], bytes[i], PROT_READ | PROT_EXEC, MAP_SHARED, &p), EINVAL);
		want("mapping that is too long", map(fd, areas[i], bytes[i] + 4096, PROT_READ, MAP_SHARED, &p), EINVAL);
		want("mapping from the middle", map(fd, areas[i] + 4096, bytes[i], PROT_READ, MAP_SHARED, &p), EINVAL);
		want("mapping", map(fd, areas[i], bytes[i], PROT_READ, MAP_SHARED, &p), 0);
		want("mprotect", mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES);
		want("mprotect to execute", mprotect(p, 4096, PROT_READ | PROT_EXEC), EACCES);
		q = mremap(p, bytes[i], bytes[i] + 4096, MREMAP_MAYMOVE);
		want("mremap", q == MAP_FAILED ? -1 : 0, EFAULT);
		mem = open("/proc/self/mem", O_RDWR);
		want("/proc/self/mem", pwrite(mem, "x", 1, (off_t)(uintptr_t)p), EIO);
		close(mem);
		child = fork();
		if (!child) {
			mem = open("/proc/self/mem", O_RDONLY);
			_exit(pread(mem, &result, 1, (off_t)(uintptr_t)p) < 0 ? 0 : 1);
		}
		waitpid(child, &result, 0);
		if (result) {
			printf("BAD a child has area %d\n", i);
			status = 1;
		}
		munmap(p, bytes[i]);
	}
}

static unsigned int get_members(int fd, struct vaio_repl_member *m)
{
	struct vaio_repl_members all = { .ptr = (uintptr_t)m, .count = VAIO_REPL_MEMBERS };

	want("members", ioctl(fd, VAIO_REPL_IOC_MEMBERS, &all), 0);
	return all.count < VAIO_REPL_MEMBERS ? all.count : VAIO_REPL_MEMBERS;
}

static void calls(int fd, const struct vaio_repl_bind *b)
{
	struct vaio_repl_member member[VAIO_REPL_MEMBERS];
	struct vaio_repl_durable d = { .epoch = b->epoch, .upto = b->published + 1000000 };
	struct vaio_repl_start s = { .epoch = b->epoch, .member = 999 };
	struct vaio_repl_range r = { .offset = 1ULL << 60, .length = 4096 };
	struct vaio_repl_mark_dirty m = { .ptr = (uintptr_t)&r, .count = 1 };
	struct vaio_repl_members all = { .ptr = 8, .count = 64 };
	struct vaio_repl_mark k;
	uint64_t stale = b->epoch + 1;

	want("durable what was not published", ioctl(fd, VAIO_REPL_IOC_DURABLE, &d), EINVAL);
	d.epoch++;
	want("durable in another epoch", ioctl(fd, VAIO_REPL_IOC_DURABLE, &d), ESTALE);
	want("stop of another epoch", ioctl(fd, VAIO_REPL_IOC_STOP, &stale), ESTALE);
	want("start of no disk", ioctl(fd, VAIO_REPL_IOC_START, &s), ENODEV);
	if (!get_members(fd, member)) {
		puts("BAD the group has no disk");
		status = 1;
	}
	s.member = member[0].id;
	want("start of another disk than has the index", ioctl(fd, VAIO_REPL_IOC_START, &s), ENODEV);
	s.mode = 7;
	want("start in no mode", ioctl(fd, VAIO_REPL_IOC_START, &s), EINVAL);
	want("dirty beyond the disk", ioctl(fd, VAIO_REPL_IOC_MARK_DIRTY, &m), EINVAL);
	m.count = VAIO_REPL_RANGES + 1;
	want("too many ranges", ioctl(fd, VAIO_REPL_IOC_MARK_DIRTY, &m), EINVAL);
	m.count = 1;
	m.ptr = 8;
	want("ranges from nowhere", ioctl(fd, VAIO_REPL_IOC_MARK_DIRTY, &m), EFAULT);
	want("members to nowhere", ioctl(fd, VAIO_REPL_IOC_MEMBERS, &all), EFAULT);
	memset(&k, 'x', sizeof(k));
	want("a name without an end", ioctl(fd, VAIO_REPL_IOC_MARK, &k), EINVAL);
	want("an unknown call", ioctl(fd, _IO(VAIO_REPL_IOC, 99)), ENOTTY);
	want("a call to nowhere", ioctl(fd, VAIO_REPL_IOC_DURABLE, 8), EFAULT);
}

/* Nonsense of all kinds; nothing is expected but that the kernel lives. */
static void storm(int fd, const struct vaio_repl_bind *b)
{
	struct vaio_repl_hints *hints;
	union {
		struct vaio_repl_durable d;
		struct vaio_repl_start s;
		struct vaio_repl_mark_dirty m;
		struct vaio_repl_mark k;
		uint64_t epoch;
	} u;
	static const unsigned long cmds[] = {
		VAIO_REPL_IOC_START, VAIO_REPL_IOC_STOP, VAIO_REPL_IOC_DURABLE, VAIO_REPL_IOC_MARK_DIRTY,
		VAIO_REPL_IOC_MARK, VAIO_REPL_IOC_ALIVE,
	};
	struct vaio_repl_member member[VAIO_REPL_MEMBERS];
	struct vaio_repl_range r;
	uint64_t epoch = b->epoch;
	unsigned int i, k, n = get_members(fd, member);
	void *p;

	want("hints", map(fd, VAIO_REPL_MAP_HINTS, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, &p), 0);
	hints = p;
	for (i = 0; i < 20000; i++) {
		for (k = 0; k < sizeof(u); k += 4)
			((uint32_t *)&u)[k / 4] = (uint32_t)random() >> (random() % 32);
		memset(p, (int)random(), 4096);
		hints->wake_seq = (uint64_t)random() << (random() % 40);
		r.offset = (uint64_t)random() << 12;
		r.length = (uint64_t)random();
		k = (unsigned int)random() % 6;
		if (random() % 2)
			u.epoch = epoch;
		if (cmds[k] == VAIO_REPL_IOC_START) {
			u.s.member %= 4;
			memcpy(u.s.uuid, member[u.s.member % n].uuid, sizeof(u.s.uuid));
			u.s.mode %= 4;
			u.s.reserved = 0;
		} else if (cmds[k] == VAIO_REPL_IOC_DURABLE) {
			u.d.upto %= 1000;
		} else if (cmds[k] == VAIO_REPL_IOC_MARK_DIRTY) {
			u.m.ptr = (uintptr_t)&r;
			u.m.count = 1;
			u.m.member %= 4;
			u.m.reserved = 0;
		} else if (cmds[k] == VAIO_REPL_IOC_STOP && !ioctl(fd, VAIO_REPL_IOC_STOP, &epoch)) {
			epoch++;
		}
		ioctl(fd, cmds[k], &u);
	}
}

int main(int argc, char **argv)
{
	struct vaio_repl_bind b = { .eventfd = eventfd(0, 0) };
	struct vaio_repl_durable d = { 0 };
	int fd = open(VAIO_REPL_DEVICE, O_RDWR), child, result;
	void *p;

	if (argc < 2 || fd < 0) {
		perror(VAIO_REPL_DEVICE);
		return 2;
	}
	srandom((unsigned int)atoi(getenv("VAIO_SEED") ?: "1"));
	snprintf(b.group, sizeof(b.group), "%s", argv[1]);
	want("a call without a ring", ioctl(fd, VAIO_REPL_IOC_DURABLE, &d), ENOTCONN);
	want("a mapping without a ring", map(fd, VAIO_REPL_MAP_CONTROL, 4096, PROT_READ, MAP_SHARED, &p), ENOTCONN);
	if (argc > 2) {
		want("a second agent", ioctl(fd, VAIO_REPL_IOC_BIND, &b), EBUSY);
		return status;
	}
	snprintf(b.group, sizeof(b.group), "nobody");
	want("no such group", ioctl(fd, VAIO_REPL_IOC_BIND, &b), ENOENT);
	memset(b.group, 'x', sizeof(b.group));
	want("a group's name without an end", ioctl(fd, VAIO_REPL_IOC_BIND, &b), EINVAL);
	memset(b.group, 0, sizeof(b.group));
	snprintf(b.group, sizeof(b.group), "%s", argv[1]);
	b.eventfd = fd;
	want("no eventfd", ioctl(fd, VAIO_REPL_IOC_BIND, &b), EINVAL);
	b.eventfd = eventfd(0, 0);
	want("bind", ioctl(fd, VAIO_REPL_IOC_BIND, &b), 0);
	child = fork();
	if (!child)
		_exit(ioctl(fd, VAIO_REPL_IOC_ALIVE) < 0 && errno == ENOTCONN ? 0 : 1);
	waitpid(child, &result, 0);
	if (result) {
		printf("BAD a child is taken for the agent\n");
		status = 1;
	}
	want("the child's end is not the agent's", ioctl(fd, VAIO_REPL_IOC_ALIVE), 0);
	mappings(fd, &b);
	calls(fd, &b);
	storm(fd, &b);
	return status;
}
