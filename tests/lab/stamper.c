// SPDX-License-Identifier: GPL-2.0
/*
 * Streams of stamped writes, discards and flushes over two disks (oracle.h).
 *
 *   stamper --seed N --ledger FILE [--streams N] [--max BYTES] [--span BYTES] [--from N] [--allow N]
 *           DEV DEV
 *
 * --span: within so many bytes of each disk; --from: begins after operation N. --allow: so many operations of all
 * streams; then it waits until repl-watch allows more.
 * Runs until it is told to stop; each stream then ends its operation. The ledger says which operations
 * were begun and which acknowledged, at any moment. It may be memory that the machine shares with its host (a PCI resource):
 * then it outlives the machine, and says what the machine knew at its last instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oracle.h"

static int devs[ORACLE_DISKS];
static uint64_t bytes[ORACLE_DISKS];
static unsigned long seed, from;
static uint64_t span;
static unsigned int streams = ORACLE_STREAMS, max = 1 << 20;
static uint32_t allow = UINT32_MAX;
static struct ledger *ledger;
static volatile sig_atomic_t stop;

/* The number changes too: who is about to wait for it does not. */
static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
	__atomic_store_n(&ledger->allowed, UINT32_MAX, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &ledger->allowed, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void wait_until_allowed(void)
{
	uint32_t me = __atomic_add_fetch(&ledger->wanted, 1, __ATOMIC_SEQ_CST), allowed;

	if (me <= __atomic_load_n(&ledger->allowed, __ATOMIC_SEQ_CST))
		return;
	__atomic_add_fetch(&ledger->waiting, 1, __ATOMIC_SEQ_CST);
	while (!stop && me > (allowed = __atomic_load_n(&ledger->allowed, __ATOMIC_SEQ_CST)))
		syscall(SYS_futex, &ledger->allowed, FUTEX_WAIT, allowed, NULL, NULL, 0);
	__atomic_sub_fetch(&ledger->waiting, 1, __ATOMIC_SEQ_CST);
}

static int perform(const struct op *o, unsigned int stream, uint8_t *buf)
{
	uint64_t range[2] = { o->offset, o->len };

	switch (o->kind) {
	case OP_FLUSH:
		return fdatasync(devs[o->disk]);
	case OP_DISCARD:
		return ioctl(devs[o->disk], BLKDISCARD, range);
	case OP_ZEROES:
		return ioctl(devs[o->disk], BLKZEROOUT, range);
	default:
		stamp_fill(buf, stream, o);
		return pwrite(devs[o->disk], buf, o->len, (off_t)o->offset) == (ssize_t)o->len ? 0 : -1;
	}
}

static void *run(void *arg)
{
	unsigned int stream = (unsigned int)(uintptr_t)arg;
	struct op_source s;
	uint8_t *buf;

	if (posix_memalign((void **)&buf, 4096, max))
		exit(3);
	op_begin(&s, seed, stream, span, max);
	while (s.number < from)
		op_next(&s);
	for (;;) {
		struct op o;

		wait_until_allowed();
		if (stop)
			break;
		o = op_next(&s);
		__atomic_store_n(&ledger->begun[stream], o.number, __ATOMIC_SEQ_CST);
		if (perform(&o, stream, buf)) {
			fprintf(stderr, "stream %u, operation %llu: %s\n", stream, (unsigned long long)o.number, strerror(errno));
			exit(1);
		}
		__atomic_store_n(&ledger->acked[stream], o.number, __ATOMIC_SEQ_CST);
	}
	free(buf);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 'r' }, { "ledger", 1, NULL, 'l' }, { "streams", 1, NULL, 's' }, { "max", 1, NULL, 'm' },
		{ "span", 1, NULL, 'b' }, { "from", 1, NULL, 'f' },
		{ "allow", 1, NULL, 'a' }, { NULL, 0, NULL, 0 },
	};
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t thread[ORACLE_STREAMS];
	struct stat st;
	int c, fd = -1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r': seed = strtoul(optarg, NULL, 10); break;
		case 'l': fd = open(optarg, O_RDWR | O_CREAT, 0600); break;
		case 's': streams = (unsigned int)atoi(optarg); break;
		case 'm': max = (unsigned int)atoi(optarg); break;
		case 'b': span = strtoul(optarg, NULL, 10); break;
		case 'f': from = strtoul(optarg, NULL, 10); break;
		case 'a': allow = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (argc - optind != ORACLE_DISKS || !streams || streams > ORACLE_STREAMS || fd < 0)
		return 2;
	for (int i = 0; i < ORACLE_DISKS; i++) {
		devs[i] = open(argv[optind + i], O_RDWR | O_DIRECT);
		if (devs[i] < 0 || ioctl(devs[i], BLKGETSIZE64, &bytes[i]) || bytes[i] != bytes[0]) {
			perror(argv[optind + i]);
			return 2;
		}
	}
	if (!span)
		span = bytes[0];
	/* A resource has its size. */
	if (fstat(fd, &st) || (st.st_size < (off_t)sizeof(*ledger) && ftruncate(fd, sizeof(*ledger))))
		return 3;
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger == MAP_FAILED)
		return 3;
	memset(ledger, 0, sizeof(*ledger));
	ledger->allowed = allow;
	ledger->streams = streams;
	sigaction(SIGTERM, &sa, NULL);
	for (unsigned int i = 0; i < streams; i++)
		if (pthread_create(&thread[i], NULL, run, (void *)(uintptr_t)i))
			return 3;
	for (unsigned int i = 0; i < streams; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
