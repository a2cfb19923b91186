/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A group's process of vaio-agent and a vaio-replicad, both as they are, with a kernel that the test plays: ring and calls in
 * shared memory, in the place of ring.c.
 */
#ifndef TESTS_AGENT_FLOW_H
#define TESTS_AGENT_FLOW_H

#include <endian.h>
#include <errno.h>
#include <gcrypt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "unit.h"

#include "../../userspace/agent/ring.h"

#define DISKS		2
#define DISK		(256U << 10)
#define BLOCK		(16U << 10)
#define BLOCKS		(DISK / BLOCK)
#ifndef DATA
#define NR_DESC		256
#define DATA		(1U << 20)
#define POINTS		400
#endif

struct config config;
static struct vr_err why;
static unsigned int seed;
static char replicad[PATH_MAX];
static const char *replicad_at = "../bin/vaio-replicad";	/* from where the test is */
static pid_t replicad_pid, worker_pid;
static int port;
static struct group_config group_config, *running;	/* running: the worker's, in shared memory */
static struct shared *shared;
static int requests[2];

static unsigned int draw(unsigned int below)
{
	return (unsigned int)rand_r(&seed) % below;
}

void say(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "<%d>%d: ", level, (int)getpid());
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* --- the kernel ----------------------------------------------------------------------------- */

static struct fake {
	pthread_mutex_t lock;
	struct vaio_repl_control control;
	struct vaio_repl_hints hints;
	struct vaio_repl_desc desc[NR_DESC];
	uint64_t end[NR_DESC];		/* of a record's payload, as head counts */
	uint8_t data[DATA];
	int event_fd;
	uint8_t ring_id[16], group_uuid[16];
	uint64_t next, durable, head, tail;
	uint64_t first;			/* record of what is captured now */
	bool bound, in_resync, gap, captured[DISKS];
	bool absent[DISKS];		/* not in the group */
	bool damaged[DISKS];		/* lost data that the replica has */
	uint8_t uuid[DISKS];		/* its first byte */
	uint8_t joins;			/* in the place of the second disk, as soon as the worker has seen that one; 0: none */
	uint16_t number[DISKS];		/* on the wire */
	bool dirty[DISKS][BLOCKS], check[DISKS][BLOCKS];
	uint8_t image[DISKS][DISK];
	unsigned int starts[3], gave_up, stops, resent, marked, most;	/* most: records not acknowledged at a time */
	unsigned int checks, checks_held;	/* CHECKs that were put; 0, or how many at most */
	size_t stack;			/* bytes of it that a thread of the worker gets */
	bool dies;			/* the worker, when it is told of a difference */
	unsigned int dies_at_start;	/* the worker, in this START from now on; 0: none */
	uint64_t read, told;		/* highest record that was read, that was told to be durable */
	unsigned int wrong;		/* records that were skipped, acknowledged unread, or read when they could be gone */
} *k;

static void lock(void)
{
	/* the worker may have been killed with it */
	if (pthread_mutex_lock(&k->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&k->lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&k->lock);
}

static void wake(void)
{
	uint64_t one = 1;

	(void)!write(k->event_fd, &one, sizeof(one));
}

static void changed(void)
{
	__atomic_store_n(&k->control.changes, k->control.changes + 1, __ATOMIC_RELEASE);
	wake();
}

/* False: no room. Locked. */
static bool put(uint8_t type, uint16_t member, uint64_t offset, uint64_t length, const void *payload, uint32_t len, uint64_t aux)
{
	uint64_t head = k->head, before = k->next - 1;
	struct vaio_repl_desc *d = &k->desc[k->next % NR_DESC];
	struct timespec t;

	if (head % DATA + len > DATA)
		head += DATA - head % DATA;
	if (k->next - k->durable > NR_DESC - 1 || head + len - k->tail > DATA)
		return false;
	memset(d, 0, sizeof(*d));
	clock_gettime(CLOCK_REALTIME, &t);
	*d = (struct vaio_repl_desc){
		.seq = k->next, .type = type, .member = member, .offset = offset, .length = length, .data = head % DATA, .data_len = len,
		.aux = aux, .mono_ns = mono_ns(), .real_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec,
	};
	memcpy(k->data + head % DATA, payload, len);
	k->head = head + (len + 511) / 512 * 512;
	k->end[k->next % NR_DESC] = k->head;
	__atomic_store_n(&k->control.published, k->next++, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (k->hints.wake_seq > before && k->hints.wake_seq < k->next)
		wake();
	if (k->next - 1 - k->durable > k->most)
		k->most = (unsigned int)(k->next - 1 - k->durable);
	return true;
}

static void mark(unsigned int disk, uint64_t offset, uint64_t length)
{
	for (uint64_t b = offset / BLOCK; length && b <= (offset + length - 1) / BLOCK; b++)
		k->dirty[disk][b] = true;
}

static void give_up(void)
{
	if (!k->captured[0] && !k->captured[1])
		return;
	for (uint64_t n = k->durable + 1; n < k->next; n++) {
		const struct vaio_repl_desc *d = &k->desc[n % NR_DESC];

		if (d->member < DISKS)
			mark(d->member, d->offset, d->length);
	}
	k->durable = k->read = k->next - 1;
	k->tail = k->head;
	k->captured[0] = k->captured[1] = k->in_resync = false;
	k->gap = true;
	k->gave_up++;
	k->control.state = VAIO_REPL_S_TRACKING;
	__atomic_store_n(&k->control.epoch, k->control.epoch + 1, __ATOMIC_RELEASE);
	changed();
}

/* All that the group has. Locked. */
static bool captured(void)
{
	for (unsigned int d = 0; d < DISKS; d++)
		if (!k->captured[d] && !k->absent[d])
			return false;
	return true;
}

/* One step of the resync; true when there is more. Locked. */
static bool resync(void)
{
	bool open = false, fits = true;

	if (!captured())
		return false;
	for (uint16_t d = 0; d < DISKS && fits; d++)
		for (unsigned int b = 0; b < BLOCKS && fits && k->captured[d]; b++) {
			uint8_t *p = k->image[d] + b * BLOCK, hash[32];

			if (k->dirty[d][b]) {
				fits = put(VAIO_REPL_RESYNC, d, b * BLOCK, BLOCK, p, BLOCK, 0);
				k->dirty[d][b] = !fits;
				k->resent += fits;
			} else if (k->check[d][b] && k->checks_held && k->checks >= k->checks_held) {
				fits = false;
			} else if (k->check[d][b]) {
				gcry_md_hash_buffer(GCRY_MD_BLAKE2S_256, hash, p, BLOCK);
				fits = put(VAIO_REPL_CHECK, d, b * BLOCK, BLOCK, hash, 32, 0);
				k->check[d][b] = !fits;
				k->checks += fits;
			}
		}
	for (uint64_t n = k->durable + 1; n < k->next; n++)
		open |= k->desc[n % NR_DESC].type == VAIO_REPL_RESYNC || k->desc[n % NR_DESC].type == VAIO_REPL_CHECK;
	if (!fits || open)
		return true;
	if (k->in_resync && put(VAIO_REPL_RESYNC_END, 0xffff, 0, 0, "", 0, 0)) {
		k->in_resync = false;
		k->control.state = VAIO_REPL_S_REPLICATING;
	}
	return k->in_resync;
}

/* --- its calls, in the place of ring.c --------------------------------------------------------- */

int ring_bind(struct ring *r, const char *group, struct vr_err *e)
{
	int err = 0;

	(void)group;
	lock();
	if (k->bound)
		err = vr_fail(e, -EBUSY, "bound");
	k->bound = true;
	r->event_fd = k->event_fd;
	r->fd = -1;
	memcpy(r->bound.ring_id, k->ring_id, 16);
	memcpy(r->bound.group_uuid, k->group_uuid, 16);
	r->bound.epoch = k->control.epoch;
	r->bound.published = k->control.published;
	r->bound.durable = k->durable;
	r->bound.data_bytes = DATA;
	r->bound.nr_desc = NR_DESC;
	r->control = &k->control;
	r->hints = &k->hints;
	r->desc = k->desc;
	r->data = k->data;
	unlock();
	return err;
}

uint64_t ring_published(const struct ring *r) { return __atomic_load_n(&r->control->published, __ATOMIC_ACQUIRE); }
uint64_t ring_epoch(const struct ring *r) { return __atomic_load_n(&r->control->epoch, __ATOMIC_ACQUIRE); }
uint64_t ring_changes(const struct ring *r) { return __atomic_load_n(&r->control->changes, __ATOMIC_ACQUIRE); }
bool ring_tracking(const struct ring *r) { return r->control->state == VAIO_REPL_S_TRACKING; }

int ring_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **payload, struct vr_err *e)
{
	lock();
	if (seq > k->read + 1 || seq <= k->told) {
		say(3, "the ring: record %llu is read after %llu, %llu is durable", (unsigned long long)seq,
		    (unsigned long long)k->read, (unsigned long long)k->told);
		k->wrong++;
	}
	k->read = seq > k->read ? seq : k->read;
	unlock();
	*d = r->desc[seq % NR_DESC];
	*payload = r->data + d->data;
	return d->seq == seq ? 0 : vr_fail(e, -EPROTO, "not that record");
}

bool ring_sleep(struct ring *r, uint64_t seq, uint64_t epoch)
{
	__atomic_store_n(&r->hints->wake_seq, seq, __ATOMIC_SEQ_CST);
	return ring_published(r) >= seq || ring_epoch(r) != epoch;
}

int ring_members(struct ring *r, struct vaio_repl_member m[VAIO_REPL_MEMBERS], unsigned int *n)
{
	(void)r;
	*n = 0;
	lock();
	for (uint16_t i = 0; i < DISKS; i++) {
		if (k->absent[i])
			continue;
		memset(m, 0, sizeof(*m));
		m->uuid[0] = k->uuid[i];
		m->bytes = DISK;
		m->block_size = 512;
		m->id = i;
		m->flags = (k->captured[i] ? VAIO_REPL_M_CAPTURED : 0) | (k->damaged[i] ? VAIO_REPL_M_DAMAGED : 0);
		sprintf(m->name, "d%d", k->uuid[i]);
		for (unsigned int b = 0; b < BLOCKS; b++) {
			m->dirty += k->dirty[i][b] ? BLOCK : 0;
			m->to_check += k->check[i][b] ? BLOCK : 0;
		}
		m++;
		++*n;
	}
	if (k->joins && !k->absent[1]) {
		k->uuid[1] = k->joins;
		k->joins = 0;
		memset(k->image[1], 0xa5, DISK);
		changed();
	}
	unlock();
	return 0;
}

int ring_start(struct ring *r, uint64_t epoch, const struct vaio_repl_member *m, uint16_t mode, uint64_t *seq)
{
	uint16_t member = m->id;
	int err = 0;

	(void)r;
	lock();
	*seq = k->next;
	if (epoch != k->control.epoch)
		err = -ESTALE;
	else if (k->absent[member] || m->uuid[0] != k->uuid[member])
		err = -ENODEV;
	else if (k->captured[member])
		err = -EALREADY;
	else if (k->damaged[member])
		err = -EROFS;
	else if (!k->in_resync && !put(VAIO_REPL_RESYNC_BEGIN, 0xffff, 0, 0, "", 0, k->gap))
		err = -ENOSPC;
	else if (!put(VAIO_REPL_MEMBER_UP, member, 0, 0, "", 0, DISK))
		err = -ENOSPC;
	if (!err) {
		if (!k->captured[0] && !k->captured[1])
			k->first = *seq;
		k->in_resync = k->captured[member] = true;
		k->gap = false;
		k->starts[mode]++;
		k->control.state = VAIO_REPL_S_RESYNC;
		for (unsigned int b = 0; b < BLOCKS; b++) {
			k->dirty[member][b] |= mode == VAIO_REPL_START_FULL;
			k->check[member][b] |= mode == VAIO_REPL_START_CHECK;
		}
		changed();
		if (k->dies_at_start && !--k->dies_at_start)
			_exit(77);
	}
	unlock();
	return err;
}

int ring_stop(struct ring *r, uint64_t epoch)
{
	unsigned int before;
	bool sent;

	(void)r;
	lock();
	before = k->gave_up;
	/* A worker that was killed right after it had started: the next one cannot know of it, and has to stop what it finds. */
	sent = k->durable >= k->first;
	if (epoch == k->control.epoch)
		give_up();
	if (sent)
		k->stops += k->gave_up - before;
	unlock();
	return epoch == k->control.epoch || k->gave_up != before ? 0 : -ESTALE;
}

int ring_durable(struct ring *r, uint64_t epoch, uint64_t upto)
{
	int err = 0;

	(void)r;
	lock();
	if (epoch != k->control.epoch)
		err = -ESTALE;
	else if (upto >= k->next)
		err = -EINVAL;
	else if (upto > k->durable) {
		if (upto > k->read) {
			say(3, "the ring: record %llu is acknowledged, %llu was read", (unsigned long long)upto, (unsigned long long)k->read);
			k->wrong++;
		}
		k->told = upto;
		k->durable = upto;
		k->tail = k->end[upto % NR_DESC];
	}
	unlock();
	return err;
}

int ring_mark_dirty(struct ring *r, uint16_t member, const struct vaio_rw_range *range, unsigned int n)
{
	(void)r;
	if (k->dies)
		_exit(77);
	lock();
	for (unsigned int i = 0; i < n; i++)
		mark(member, le64toh(range[i].offset), le64toh(range[i].length));
	k->marked += n;
	unlock();
	return 0;
}

int ring_alive(struct ring *r)
{
	pthread_attr_t attr;

	(void)r;
	if (!pthread_getattr_default_np(&attr)) {
		pthread_attr_getstacksize(&attr, &k->stack);
		pthread_attr_destroy(&attr);
	}
	return 0;
}

int ring_mark(struct ring *r, const char *name, uint64_t *seq)
{
	bool there;

	(void)r;
	lock();
	*seq = k->next;
	there = put(VAIO_REPL_CHECKPOINT, 0xffff, 0, 0, name, (uint32_t)strlen(name), strlen(name));
	unlock();
	return there ? 0 : -ENOSPC;
}

/* --- the processes ---------------------------------------------------------------------------------- */

static void start_replicad(void)
{
	char listen[32], line[256] = "";
	int out[2];
	FILE *f;

	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	assert_int_equal(pipe(out), 0);
	replicad_pid = fork();
	if (!replicad_pid) {
		dup2(out[1], 1);
		close(out[0]);
		freopen(in_scratch("log"), "a", stderr);
		execl(replicad, replicad, "--store", in_scratch("store"), "--listen", listen, "--pki", in_scratch("pki"), "--socket",
		      in_scratch("sock"), "--segment", "1MiB", "--reserve", "1MiB", NULL);
		_exit(127);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	if (!fgets(line, sizeof(line), f) || sscanf(line, "listening on 127.0.0.1:%d", &port) != 1)
		fail_msg("vaio-replicad did not start");
	fclose(f);
}

static int end_process(pid_t *pid, int sig)
{
	int status = 0;

	kill(*pid, sig);
	assert_int_equal(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
	return status;
}

/* The worker ends by itself, as the test wanted it to; another one may have the ring. */
static void worker_dies(void)
{
	bool ended = false;
	int status = 0;

	for (int i = 0; i < 30000 && !ended; i++) {
		ended = waitpid(worker_pid, &status, WNOHANG) == worker_pid;
		usleep(1000);
	}
	if (!ended)
		fail_msg("the group's process goes on; see the log in %s", scratch);
	worker_pid = 0;
	lock();
	k->bound = k->dies = false;
	unlock();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
}

static void start_worker(void)
{
	sigset_t set, before;
	char target[64];

	/* as the parent does: a signal that comes early waits */
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	snprintf(target, sizeof(target), "localhost:%d", port);
	*running = group_config;
	worker_pid = fork();
	if (!worker_pid) {
		freopen(in_scratch("log"), "a", stderr);
		setvbuf(stderr, NULL, _IOLBF, 0);
		_exit(worker_run("g", target, running, shared, requests[1]));
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static int end_worker(int sig)
{
	int status = end_process(&worker_pid, sig);

	lock();
	k->bound = false;
	unlock();
	return status;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static struct point {
	uint64_t seq;
	bool lost;
	uint8_t image[DISKS][DISK];
} *points;
static unsigned int nr_points;

/* One write of a guest; false when the ring has no room: nothing was written. Locked. */
static bool guest_write(void)
{
	uint16_t disk = (uint16_t)draw(DISKS);
	uint64_t len = 512 * (1 + draw(draw(8) ? 8 : 64)), offset = draw((unsigned int)((DISK - len) / 512 + 1)) * 512ULL;
	uint8_t buf[512 * 64];
	bool zero = !draw(16);

	for (size_t i = 0; i < len; i += 4)
		memcpy(buf + i, &(uint32_t){ zero ? 0 : (uint32_t)rand_r(&seed) }, 4);
	if (k->captured[disk]) {
		if (zero ? !put(draw(2) ? VAIO_REPL_DISCARD : VAIO_REPL_ZEROES, disk, offset, len, "", 0, 0) :
			   !put(VAIO_REPL_WRITE, disk, offset, len, buf, (uint32_t)len, 0))
			return false;
	} else {
		mark(disk, offset, len);
	}
	memcpy(k->image[disk] + offset, buf, len);
	return true;
}

static void remember_point(void)
{
	char name[32];

	if (k->in_resync || !k->captured[0] || !k->captured[1] || nr_points == POINTS)
		return;
	sprintf(name, "p%u", nr_points);
	if (!put(VAIO_REPL_CHECKPOINT, 0xffff, 0, 0, name, (uint32_t)strlen(name), strlen(name)))
		return;
	points[nr_points].seq = k->next - 1;
	points[nr_points].lost = false;
	memcpy(points[nr_points++].image, k->image, sizeof(k->image));
}

static void lose(void)
{
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost |= points[i].seq > k->durable;
	give_up();
}

static void run_guest(unsigned int writes)
{
	while (writes--) {
		lock();
		guest_write();
		resync();
		if (!draw(10))
			remember_point();
		unlock();
		if (!draw(4))
			usleep(draw(2000));
	}
}

/* Until all that was written is at the replica. */
static void settle(void)
{
	bool done = false;

	for (int i = 0; i < 30000 && !done; i++) {
		lock();
		resync();
		done = captured() && !k->in_resync && k->durable == k->next - 1;
		unlock();
		usleep(2000);
	}
	if (!done)
		fail_msg("not settled: durable %llu of %llu, %s; see the log in %s", (unsigned long long)k->durable,
			 (unsigned long long)k->next - 1, k->in_resync ? "in resync" : k->captured[0] ? "captured" : "tracking", scratch);
}

static void check_point(const char *text, const uint8_t want[DISKS][DISK])
{
	static uint8_t got[DISK];
	struct vr_store *st;
	struct vr_pin *pin;
	struct vr_point p;
	struct vr_view *v;
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/store/67676767-6767-6767-6767-676767676767", scratch);
	if (vr_pin_take(dir, text, mono_ns(), &pin, &st, &p, &why) || vr_view_open(st, p.seq, &v, &why))
		fail_msg("%s: %s", text, why.text);
	for (uint16_t d = 0; d < DISKS; d++) {
		if (vr_view_read(v, k->number[d], got, DISK, 0, &why))
			fail_msg("%s: %s", text, why.text);
		for (size_t i = 0; i < DISK; i += 512)
			if (memcmp(got + i, want[d] + i, 512))
				fail_msg("%s: disk %u differs at %zu", text, d, i);
	}
	vr_view_close(v);
	vr_pin_drop(pin);
}

/* What the replica has now is what was written. */
static void check_all(void)
{
	unsigned int looked = 0;
	char name[32];

	settle();
	if (k->wrong)
		fail_msg("%u records of the ring were not read once, before they were acknowledged; see the log in %s", k->wrong, scratch);
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	check_point("latest", k->image);
	for (unsigned int i = 0; i < nr_points; i++) {
		if (points[i].lost)
			continue;
		snprintf(name, sizeof(name), "name:p%u", i);
		check_point(name, points[i].image);
		looked++;
	}
	printf("# %u points looked at, %llu records, %u given up, START: %u bitmap, %u check, %u full\n", looked,
	       (unsigned long long)k->next - 1, k->gave_up, k->starts[0], k->starts[1], k->starts[2]);
	start_replicad();
}

/* --- setting up -------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	char exe[PATH_MAX - 32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	pthread_mutexattr_t attr;

	exe[n > 0 ? n : 0] = 0;
	*strrchr(exe, '/') = 0;
	snprintf(replicad, sizeof(replicad), "%s/%s", exe, replicad_at);
	/* Processes die here, not machines: memory will do, and is quick. */
	if (!access("/dev/shm", W_OK))
		strcpy(scratch, "/dev/shm/vaio-.XXXXXX");
	gcry_check_version(NULL);
	if (make_scratch(state) || access(replicad, X_OK))
		return 1;
	assert_true(sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca "
		       "-days 30 && printf 'subjectAltName=DNS:localhost' >ext && mkdir -p store pki/CA pki/vaio/private && "
		       "cp ca.pem pki/CA/cacert.pem"));
	for (int i = 0; i < 2; i++)
		assert_true(sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout pki/vaio/private/%skey.pem -out csr "
			       "-subj /CN=%s && openssl x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext "
			       "-out pki/vaio/%scert.pem", i ? "client" : "server", i ? "client" : "server", i ? "client" : "server"));
	config.state = config.run = scratch;
	config.hostname = "test";
	snprintf(group_config.pki, sizeof(group_config.pki), "%s/pki", scratch);
	group_config.compress = 1;
	k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	running = mmap(NULL, sizeof(*running), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	points = calloc(POINTS, sizeof(*points));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&k->lock, &attr);
	k->event_fd = eventfd(0, 0);
	k->next = k->control.epoch = 1;
	for (uint16_t d = 0; d < DISKS; d++) {
		k->uuid[d] = (uint8_t)(d + 1);
		k->number[d] = d;
	}
	memset(k->ring_id, 0x42, sizeof(k->ring_id));
	memset(k->group_uuid, 0x67, sizeof(k->group_uuid));
	for (unsigned int i = 0; i < DISK; i++)
		k->image[0][i] = (uint8_t)draw(256);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, requests))
		return 1;
	start_replicad();
	return 0;
}

static int teardown(void **state)
{
	if (worker_pid)
		end_worker(SIGKILL);
	if (replicad_pid)
		end_process(&replicad_pid, SIGTERM);
	free(points);
	return remove_scratch(state);
}

#endif /* TESTS_AGENT_FLOW_H */
