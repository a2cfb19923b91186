// SPDX-License-Identifier: GPL-2.0
/*
 * repl-drain GROUP: the least an agent can do. Begins the capture of the group's
 * disks and reports what is published as durable, without reading it, each time
 * WAKE records have come. Says "replicating" once all disks are equal. For
 * measuring what the kernel's side costs; it keeps nothing.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vaio-replication.h>

#define WAKE 64

static void *map(int ring, uint64_t what, int prot)
{
	void *p = mmap(NULL, 4096, prot, MAP_SHARED, ring, (off_t)what);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

static void start_members(int ring, uint64_t epoch)
{
	struct vaio_repl_member m[VAIO_REPL_MEMBERS];
	struct vaio_repl_members all = { .ptr = (uintptr_t)m, .count = VAIO_REPL_MEMBERS };
	uint32_t i;

	if (ioctl(ring, VAIO_REPL_IOC_MEMBERS, &all))
		err(1, "members");
	for (i = 0; i < all.count; i++) {
		struct vaio_repl_start s = { .epoch = epoch, .member = m[i].id, .mode = VAIO_REPL_START_FULL };

		memcpy(s.uuid, m[i].uuid, sizeof(s.uuid));
		if (m[i].flags & (VAIO_REPL_M_CAPTURED | VAIO_REPL_M_DOWN))
			continue;
		if (ioctl(ring, VAIO_REPL_IOC_START, &s) && errno != ESTALE && errno != EAGAIN)
			err(1, "start of %s", m[i].name);
	}
}

int main(int argc, char **argv)
{
	const struct vaio_repl_control *control;
	struct vaio_repl_bind bind = { 0 };
	struct vaio_repl_durable durable = { 0 };
	struct vaio_repl_hints *hints;
	uint64_t seen = 0, changes;
	int ring, said = 0;

	if (argc != 2 || strlen(argv[1]) >= sizeof(bind.group))
		errx(2, "usage: repl-drain GROUP");
	strcpy(bind.group, argv[1]);
	ring = open(VAIO_REPL_DEVICE, O_RDWR | O_CLOEXEC);
	bind.eventfd = eventfd(0, EFD_CLOEXEC);
	if (ring < 0 || bind.eventfd < 0 || ioctl(ring, VAIO_REPL_IOC_BIND, &bind))
		err(1, "%s", VAIO_REPL_DEVICE);
	control = map(ring, VAIO_REPL_MAP_CONTROL, PROT_READ);
	hints = map(ring, VAIO_REPL_MAP_HINTS, PROT_READ | PROT_WRITE);

	for (;;) {
		uint64_t count, epoch = __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE);
		uint64_t published = __atomic_load_n(&control->published, __ATOMIC_ACQUIRE);

		changes = __atomic_load_n(&control->changes, __ATOMIC_ACQUIRE);
		if (changes != seen || epoch != durable.epoch)
			start_members(ring, epoch);
		seen = changes;
		if (published > durable.upto || epoch != durable.epoch) {
			durable.epoch = epoch;
			durable.upto = published;
			if (ioctl(ring, VAIO_REPL_IOC_DURABLE, &durable) && errno != ESTALE)
				err(1, "durable");
		}
		if (!said && __atomic_load_n(&control->state, __ATOMIC_ACQUIRE) == VAIO_REPL_S_REPLICATING) {
			said = 1;
			puts("replicating");
			fflush(stdout);
		}
		/* until it is equal each record counts, then only many */
		__atomic_store_n(&hints->wake_seq, durable.upto + (said ? WAKE : 1), __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&control->published, __ATOMIC_ACQUIRE) > durable.upto)
			continue;
		if (read(bind.eventfd, &count, sizeof(count)) != sizeof(count))
			err(1, "eventfd");
	}
}
