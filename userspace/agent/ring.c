// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

static int call(struct ring *r, unsigned long what, void *arg)
{
	int rc;

	do
		rc = ioctl(r->fd, what, arg);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int map(struct ring *r, uint64_t what, size_t bytes, int prot, void *to, struct vr_err *e)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, r->fd, (off_t)what);

	if (p == MAP_FAILED)
		return vr_fail_errno(e, -errno, "mapping the ring");
	memcpy(to, &p, sizeof(p));
	return 0;
}

int ring_bind(struct ring *r, const char *group, struct vr_err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int err;

	if (!r->fd) {
		r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->fd = open(VAIO_REPL_DEVICE, O_RDWR | O_CLOEXEC);
		if (r->fd < 0 || r->event_fd < 0) {
			r->fd = 0;
			return vr_fail_errno(e, -errno, "%s", VAIO_REPL_DEVICE);
		}
	}
	memset(&r->bound, 0, sizeof(r->bound));
	snprintf(r->bound.group, sizeof(r->bound.group), "%s", group);
	r->bound.eventfd = r->event_fd;
	err = call(r, VAIO_REPL_IOC_BIND, &r->bound);
	if (err)
		return vr_fail_errno(e, err, "taking the ring of group '%s'", group);
	err = map(r, VAIO_REPL_MAP_CONTROL, page, PROT_READ, &r->control, e);
	if (!err)
		err = map(r, VAIO_REPL_MAP_HINTS, page, PROT_READ | PROT_WRITE, &r->hints, e);
	if (!err)
		err = map(r, VAIO_REPL_MAP_DESCS, (r->bound.nr_desc * sizeof(*r->desc) + page - 1) & ~(page - 1), PROT_READ,
			  &r->desc, e);
	if (!err)
		err = map(r, VAIO_REPL_MAP_DATA, r->bound.data_bytes, PROT_READ, &r->data, e);
	if (!err && (r->control->magic != VAIO_REPL_MAGIC || r->control->version != VAIO_REPL_VERSION))
		err = vr_fail(e, -EPROTO, "the kernel's ring has version %u, this agent knows %u", r->control->version,
			      VAIO_REPL_VERSION);
	return err;
}

uint64_t ring_published(const struct ring *r)
{
	return __atomic_load_n(&r->control->published, __ATOMIC_ACQUIRE);
}

uint64_t ring_epoch(const struct ring *r)
{
	return __atomic_load_n(&r->control->epoch, __ATOMIC_ACQUIRE);
}

uint64_t ring_changes(const struct ring *r)
{
	return __atomic_load_n(&r->control->changes, __ATOMIC_ACQUIRE);
}

bool ring_tracking(const struct ring *r)
{
	return __atomic_load_n(&r->control->state, __ATOMIC_ACQUIRE) == VAIO_REPL_S_TRACKING;
}

int ring_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **payload, struct vr_err *e)
{
	*d = r->desc[seq & (r->bound.nr_desc - 1)];
	*payload = NULL;
	if (d->seq != seq)
		return vr_fail(e, -EPROTO, "the ring has record %" PRIu64 " where %" PRIu64 " was to be", (uint64_t)d->seq, seq);
	if (!d->data_len)
		return 0;
	if (d->data_len > VAIO_REPL_CHUNK || d->data > r->bound.data_bytes || d->data_len > r->bound.data_bytes - d->data)
		return vr_fail(e, -EPROTO, "record %" PRIu64 " of the ring has its payload elsewhere", seq);
	*payload = r->data + d->data;
	return 0;
}

bool ring_sleep(struct ring *r, uint64_t seq, uint64_t epoch)
{
	__atomic_store_n(&r->hints->wake_seq, seq, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_published(r) >= seq || ring_epoch(r) != epoch;
}

int ring_members(struct ring *r, struct vaio_repl_member m[VAIO_REPL_MEMBERS], unsigned int *n)
{
	struct vaio_repl_members arg = { .ptr = (uintptr_t)m, .count = VAIO_REPL_MEMBERS };
	int err = call(r, VAIO_REPL_IOC_MEMBERS, &arg);

	*n = err ? 0 : arg.count < VAIO_REPL_MEMBERS ? arg.count : VAIO_REPL_MEMBERS;
	return err;
}

int ring_start(struct ring *r, uint64_t epoch, const struct vaio_repl_member *m, uint16_t mode, uint64_t *seq)
{
	struct vaio_repl_start arg = { .epoch = epoch, .member = m->id, .mode = mode };
	int err;

	memcpy(arg.uuid, m->uuid, sizeof(arg.uuid));
	err = call(r, VAIO_REPL_IOC_START, &arg);
	*seq = arg.seq;
	return err;
}

int ring_stop(struct ring *r, uint64_t epoch)
{
	__u64 arg = epoch;

	return call(r, VAIO_REPL_IOC_STOP, &arg);
}

int ring_durable(struct ring *r, uint64_t epoch, uint64_t upto)
{
	struct vaio_repl_durable arg = { .epoch = epoch, .upto = upto };

	return call(r, VAIO_REPL_IOC_DURABLE, &arg);
}

int ring_mark_dirty(struct ring *r, uint16_t member, const struct vaio_rw_range *range, unsigned int n)
{
	struct vaio_repl_range part[VAIO_REPL_RANGES];
	struct vaio_repl_mark_dirty arg = { .ptr = (uintptr_t)part, .member = member };
	int err = 0;

	while (n && !err) {
		arg.count = n < VAIO_REPL_RANGES ? n : VAIO_REPL_RANGES;
		for (unsigned int i = 0; i < arg.count; i++) {
			part[i].offset = le64toh(range[i].offset);
			part[i].length = le64toh(range[i].length);
		}
		err = call(r, VAIO_REPL_IOC_MARK_DIRTY, &arg);
		range += arg.count;
		n -= arg.count;
	}
	return err;
}

int ring_alive(struct ring *r)
{
	return call(r, VAIO_REPL_IOC_ALIVE, NULL);
}

int ring_mark(struct ring *r, const char *name, uint64_t *seq)
{
	struct vaio_repl_mark arg = { .seq = 0 };
	int err;

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	err = call(r, VAIO_REPL_IOC_MARK, &arg);
	*seq = arg.seq;
	return err;
}
