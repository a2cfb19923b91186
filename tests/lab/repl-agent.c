// SPDX-License-Identifier: GPL-2.0
/*
 * An agent for tests: drains a group's ring into image files and checks what it sees.
 *
 *   repl-agent --group NAME --dir DIR [--mode bitmap|check|full] [--die N] [--hang N] [--stop-acks] [--blind]
 *	[--insist] [--again]
 *
 * Each disk's copy is DIR/<uuid>. DIR/state remembers the ring, its epoch and the
 * last durable sequence, so that the next agent can go on where this one was killed.
 * Records are applied in order; each WRITE that begins with a stamp of repl-writer
 * must carry the next number of its stream: that is the prefix property, for the
 * writer begins a stream's next write only when the last one is acknowledged. It is
 * checked from RESYNC_END on; before it there are no recovery points.
 * --blind: nothing of what it reads reaches the copies. --hang: it stops itself when it has
 * read so many of repl-writer's writes. --insist: it calls START for disks that are damaged too.
 * --again: a stream may bring its last number again, for a write that failed here may be there (repl-writer --errors).
 * What it finds wrong it says on standard output, "BAD ...", and ends with 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vaio-replication.h>

#include "repl-stamp.h"

#define BATCH 64	/* records between acknowledgements */

static const char *group, *dir;
static int mode = VAIO_REPL_START_BITMAP;
static bool stop_acks, blind, insist, again;
static long die_after, hang_after;

struct state {		/* of the file DIR/state */
	uint8_t ring_id[16];
	uint64_t epoch;
	uint64_t durable;
	uint64_t next_stamp[STAMP_STREAMS];
	bool consistent;
};

static struct state state;
static int state_fd, ring_fd, event_fd;
static struct vaio_repl_bind bound;
static const struct vaio_repl_control *control;
static struct vaio_repl_hints *hints;
static const struct vaio_repl_desc *descs;
static const uint8_t *data;
static int copy_fd[VAIO_REPL_MEMBERS];
static uint64_t epoch, position;	/* last record that was applied */
static bool reading;			/* @position is known */
static uint64_t last_mono;
static long applied, stamped;

__attribute__((format(printf, 1, 2), noreturn))
static void bad(const char *fmt, ...)
{
	va_list ap;

	printf("BAD ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

static void say(const char *what)
{
	printf("%s epoch=%llu seq=%llu\n", what, (unsigned long long)epoch, (unsigned long long)position);
}

/* --- state and copies --------------------------------------------------------- */

static void save_state(void)
{
	if (pwrite(state_fd, &state, sizeof(state), 0) != sizeof(state))
		bad("the state cannot be written: %s", strerror(errno));
}

static int open_in_dir(const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		bad("%s: %s", path, strerror(errno));
	return fd;
}

static void open_copy(const struct vaio_repl_member *m)
{
	char name[64];
	size_t i, n = 0;

	for (i = 0; i < 16; i++)
		n += (size_t)snprintf(name + n, sizeof(name) - n, "%s%02x",
				      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", m->uuid[i]);
	if (copy_fd[m->id] > 0)
		close(copy_fd[m->id]);
	copy_fd[m->id] = open_in_dir(name);
	if (ftruncate(copy_fd[m->id], (off_t)m->bytes))
		bad("ftruncate: %s", strerror(errno));
}

/* --- the ring ------------------------------------------------------------------ */

static void *map(uint64_t what, size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, ring_fd, (off_t)what);

	if (p == MAP_FAILED)
		bad("mmap of area %llx: %s", (unsigned long long)what, strerror(errno));
	return p;
}

static void bind_ring(void)
{
	struct vaio_repl_bind arg = { .eventfd = event_fd };
	int tries;

	snprintf(arg.group, sizeof(arg.group), "%s", group);
	/* the one before may not be quite dead */
	for (tries = 0; ioctl(ring_fd, VAIO_REPL_IOC_BIND, &arg); tries++) {
		if (errno != EBUSY || tries == 500)
			bad("bind: %s", strerror(errno));
		usleep(20000);
	}
	bound = arg;
	control = map(VAIO_REPL_MAP_CONTROL, 4096, PROT_READ);
	hints = map(VAIO_REPL_MAP_HINTS, 4096, PROT_READ | PROT_WRITE);
	descs = map(VAIO_REPL_MAP_DESCS, bound.nr_desc * sizeof(*descs), PROT_READ);
	data = map(VAIO_REPL_MAP_DATA, bound.data_bytes, PROT_READ);
}

static unsigned int get_members(struct vaio_repl_member *m)
{
	struct vaio_repl_members arg = { .ptr = (uintptr_t)m, .count = VAIO_REPL_MEMBERS };

	if (ioctl(ring_fd, VAIO_REPL_IOC_MEMBERS, &arg))
		bad("members: %s", strerror(errno));
	return arg.count;
}

/* Begins the capture of every disk that is not captured. */
static void start_members(void)
{
	struct vaio_repl_member m[VAIO_REPL_MEMBERS];
	unsigned int i, n = get_members(m);

	for (i = 0; i < n; i++) {
		struct vaio_repl_start arg = { .epoch = epoch, .member = m[i].id, .mode = (uint16_t)mode };

		memcpy(arg.uuid, m[i].uuid, sizeof(arg.uuid));
		open_copy(&m[i]);
		if (m[i].flags & (VAIO_REPL_M_CAPTURED | VAIO_REPL_M_DOWN))
			continue;
		if ((m[i].flags & VAIO_REPL_M_DAMAGED) && !insist)
			continue;
		if (mode == VAIO_REPL_START_BITMAP && (m[i].flags & VAIO_REPL_M_COMPARE))
			arg.mode = VAIO_REPL_START_CHECK;
		if (ioctl(ring_fd, VAIO_REPL_IOC_START, &arg)) {
			if (errno == ESTALE || errno == EAGAIN || errno == EALREADY)
				continue;
			if (m[i].flags & VAIO_REPL_M_DAMAGED) {
				printf("REFUSED %s: %s\n", m[i].name, strerror(errno));
				continue;
			}
			bad("start of %s: %s", m[i].name, strerror(errno));
		}
		printf("START %s mode=%u seq=%llu\n", m[i].name, arg.mode, (unsigned long long)arg.seq);
		/* what other disks wrote since they began comes first */
		if (!reading)
			position = arg.seq - 1;
		reading = true;
	}
}

/* --- records -------------------------------------------------------------------- */

static void write_copy(int fd, const void *p, size_t len, uint64_t at)
{
	if (blind)
		return;
	if (pwrite(fd, p, len, (off_t)at) != (ssize_t)len)
		bad("a copy cannot be written: %s", strerror(errno));
}

static void zero_copy(int fd, uint64_t at, uint64_t len)
{
	if (blind)
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len))
		bad("a hole cannot be punched: %s", strerror(errno));
}

static void check_stamp(const struct vaio_repl_desc *d, const uint8_t *p)
{
	struct stamp s;

	memcpy(&s, p, sizeof(s));
	if (s.magic == STAMP_MAGIC && hang_after && ++stamped == hang_after)
		raise(SIGSTOP);
	if (!state.consistent || s.magic != STAMP_MAGIC || s.stream >= STAMP_STREAMS)
		return;
	if (!state.next_stamp[s.stream] || s.number == 1)
		state.next_stamp[s.stream] = s.number;
	if (again && s.number + 1 == state.next_stamp[s.stream])
		return;
	if (s.number != state.next_stamp[s.stream])
		bad("record %llu: stream %u has stamp %llu, %llu was next", (unsigned long long)d->seq, s.stream,
		    (unsigned long long)s.number, (unsigned long long)state.next_stamp[s.stream]);
	state.next_stamp[s.stream]++;
}

static void compare(const struct vaio_repl_desc *d, const uint8_t *digest)
{
	struct vaio_repl_range range = { .offset = d->offset, .length = d->length };
	struct vaio_repl_mark_dirty arg = { .ptr = (uintptr_t)&range, .count = 1, .member = d->member };
	uint8_t mine[VAIO_REPL_DIGEST], *buf = malloc(d->length);
	unsigned int len = sizeof(mine);

	if (pread(copy_fd[d->member], buf, d->length, (off_t)d->offset) != (ssize_t)d->length)
		bad("a copy cannot be read: %s", strerror(errno));
	if (!EVP_Digest(buf, d->length, mine, &len, EVP_blake2s256(), NULL) || len != sizeof(mine))
		bad("no BLAKE2s");
	free(buf);
	if (!memcmp(mine, digest, sizeof(mine)))
		return;
	printf("DIFFERS %llu\n", (unsigned long long)d->offset);
	if (ioctl(ring_fd, VAIO_REPL_IOC_MARK_DIRTY, &arg))
		bad("mark dirty: %s", strerror(errno));
}

/* A new capture: writes between were not seen, streams begin where they are. */
static void forget_stamps(void)
{
	memset(state.next_stamp, 0, sizeof(state.next_stamp));
}

static void apply(const struct vaio_repl_desc *d)
{
	const uint8_t *p = data + d->data;
	int fd = d->member < VAIO_REPL_MEMBERS ? copy_fd[d->member] : -1;

	if (d->seq != position + 1)
		bad("record %llu where %llu was to be", (unsigned long long)d->seq, (unsigned long long)position + 1);
	if (d->mono_ns < last_mono)
		bad("record %llu is older than the one before it", (unsigned long long)d->seq);
	last_mono = d->mono_ns;
	if (d->data_len && (d->data + d->data_len > bound.data_bytes ||
			    d->data / VAIO_REPL_CHUNK != (d->data + d->data_len - 1) / VAIO_REPL_CHUNK))
		bad("record %llu: payload at %llu crosses a chunk", (unsigned long long)d->seq,
		    (unsigned long long)d->data);
	switch (d->type) {
	case VAIO_REPL_WRITE:
		check_stamp(d, p);
		/* fall through */
	case VAIO_REPL_RESYNC:
		if (d->data_len != d->length)
			bad("record %llu: %u bytes for %llu", (unsigned long long)d->seq, d->data_len,
			    (unsigned long long)d->length);
		write_copy(fd, p, d->data_len, d->offset);
		break;
	case VAIO_REPL_ZEROES:
	case VAIO_REPL_DISCARD:
	case VAIO_REPL_RESYNC_ZEROES:
		zero_copy(fd, d->offset, d->length);
		break;
	case VAIO_REPL_CHECK:
		compare(d, p);
		break;
	case VAIO_REPL_GROW:
		if (ftruncate(fd, (off_t)d->aux))
			bad("ftruncate: %s", strerror(errno));
		break;
	case VAIO_REPL_RESYNC_BEGIN:
		state.consistent = false;
		printf("RESYNC_BEGIN gap=%llu\n", (unsigned long long)d->aux);
		break;
	case VAIO_REPL_RESYNC_END:
		state.consistent = true;
		forget_stamps();
		printf("RESYNC_END\n");
		break;
	case VAIO_REPL_CHECKPOINT:
		printf("CHECKPOINT %.*s\n", (int)d->data_len, (const char *)p);
		break;
	case VAIO_REPL_MEMBER_UP:
	case VAIO_REPL_MEMBER_DOWN:
		/* streams that went on to that disk are not complete any more */
		if (d->type == VAIO_REPL_MEMBER_DOWN)
			state.consistent = false;
		printf("MEMBER %u %s\n", d->member, d->type == VAIO_REPL_MEMBER_UP ? "up" : "down");
		break;
	case VAIO_REPL_BARRIER:
	case VAIO_REPL_VOID:
		break;
	default:
		bad("record %llu has type %u", (unsigned long long)d->seq, d->type);
	}
	position = d->seq;
	if (die_after && ++applied == die_after)
		raise(SIGKILL);
}

static uint64_t read_published(void)
{
	return __atomic_load_n(&control->published, __ATOMIC_ACQUIRE);
}

/* The epoch went on: what was read since may be anything, and is not used. */
static bool epoch_changed(void)
{
	return __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE) != epoch;
}

static void acknowledge(void)
{
	struct vaio_repl_durable arg = { .epoch = epoch, .upto = position };
	int i;

	if (stop_acks)
		return;
	for (i = 0; i < VAIO_REPL_MEMBERS; i++)
		if (copy_fd[i] > 0 && fdatasync(copy_fd[i]))
			bad("fdatasync: %s", strerror(errno));
	state.epoch = epoch;
	state.durable = position;
	save_state();
	if (ioctl(ring_fd, VAIO_REPL_IOC_DURABLE, &arg) && errno != ESTALE)
		bad("durable %llu: %s", (unsigned long long)position, strerror(errno));
}

static void drain(void)
{
	uint64_t end = read_published();
	unsigned int n = 0;

	while (position < end && n++ < BATCH) {
		struct vaio_repl_desc d = descs[(position + 1) & (bound.nr_desc - 1)];

		if (epoch_changed())
			return;
		apply(&d);
	}
	if (n)
		acknowledge();
}

static void wait_for_more(void)
{
	struct pollfd p = { .fd = event_fd, .events = POLLIN };
	uint64_t count;

	__atomic_store_n(&hints->wake_seq, reading ? position + 1 : 0, __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_seq_cst);
	if ((reading && read_published() > position) || epoch_changed())
		return;
	if (poll(&p, 1, 500) > 0 && read(event_fd, &count, sizeof(count)) < 0)
		bad("eventfd: %s", strerror(errno));
	if (ioctl(ring_fd, VAIO_REPL_IOC_ALIVE))
		bad("alive: %s", strerror(errno));
}

/* --- life ------------------------------------------------------------------------- */

/* Where to go on: after the last durable record, when the ring still is the same. */
static void begin(void)
{
	struct vaio_repl_member m[VAIO_REPL_MEMBERS];
	unsigned int i, n;

	epoch = bound.epoch;
	if (!memcmp(state.ring_id, bound.ring_id, 16) && state.epoch == epoch &&
	    bound.state != VAIO_REPL_S_TRACKING && state.durable >= bound.durable &&
	    state.durable <= bound.published) {
		position = state.durable;
		reading = true;
		n = get_members(m);
		for (i = 0; i < n; i++)
			open_copy(&m[i]);
		say("RESUMED");
		acknowledge();
		return;
	}
	memcpy(state.ring_id, bound.ring_id, 16);
	state.consistent = false;
	if (bound.state != VAIO_REPL_S_TRACKING && ioctl(ring_fd, VAIO_REPL_IOC_STOP, &epoch))
		bad("stop: %s", strerror(errno));
	epoch = __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE);
	printf("FRESH state=%u epoch=%llu/%llu durable=%llu/%llu/%llu\n", bound.state,
	       (unsigned long long)state.epoch, (unsigned long long)bound.epoch,
	       (unsigned long long)bound.durable, (unsigned long long)state.durable,
	       (unsigned long long)bound.published);
}

static void run(void)
{
	uint64_t seen = 0;

	for (;;) {
		uint64_t changes = __atomic_load_n(&control->changes, __ATOMIC_ACQUIRE);

		if (epoch_changed()) {
			epoch = __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE);
			/* records of the epoch before are skipped: the next one begins after them */
			reading = false;
			state.consistent = false;
			say("EPOCH");
			changes = 0;
		}
		if (changes != seen) {
			start_members();
			seen = changes;
		}
		if (reading)
			drain();
		wait_for_more();
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "group", 1, NULL, 'g' }, { "dir", 1, NULL, 'd' }, { "mode", 1, NULL, 'm' },
		{ "die", 1, NULL, 'k' }, { "stop-acks", 0, NULL, 's' },
		{ "blind", 0, NULL, 'b' }, { "hang", 1, NULL, 'h' }, { "insist", 0, NULL, 'i' }, { "again", 0, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'g':
			group = optarg;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'm':
			mode = !strcmp(optarg, "full") ? VAIO_REPL_START_FULL :
			       !strcmp(optarg, "check") ? VAIO_REPL_START_CHECK : VAIO_REPL_START_BITMAP;
			break;
		case 'k':
			die_after = atol(optarg);
			break;
		case 's':
			stop_acks = true;
			break;
		case 'h':
			hang_after = atol(optarg);
			break;
		case 'i':
			insist = true;
			break;
		case 'a':
			again = true;
			break;
		case 'b':
			blind = true;
			break;
		default:
			return 2;
		}
	}
	if (!group || !dir)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	state_fd = open_in_dir("state");
	if (pread(state_fd, &state, sizeof(state), 0) < 0)
		bad("state: %s", strerror(errno));
	ring_fd = open(VAIO_REPL_DEVICE, O_RDWR | O_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring_fd < 0 || event_fd < 0)
		bad("%s: %s", VAIO_REPL_DEVICE, strerror(errno));
	bind_ring();
	begin();
	run();
}
