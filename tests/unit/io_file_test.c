// SPDX-License-Identifier: GPL-2.0
/* Files of a store, some of whose writes go past the page cache: against a model, and beside who reads them. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "unit.h"
#include "dice.h"
#include "../../userspace/libreplica/io.h"

#define SIZE	(1U << 20)

static uint8_t model[2 * SIZE], got[2 * SIZE];
static uint8_t from[SIZE + 4096] __attribute__((aligned(4096)));

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)dice(256);
}

/* Is a file of this process open with O_DIRECT? */
static bool any_direct(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;
	bool any = false;

	while ((d = readdir(dir)))
		any |= d->d_name[0] != '.' && fcntl(atoi(d->d_name), F_GETFL) & O_DIRECT;
	closedir(dir);
	return any;
}

static bool can_be_direct(const char *path)
{
	struct statx s;

	return !statx(AT_FDCWD, path, 0, STATX_DIOALIGN, &s) && s.stx_mask & STATX_DIOALIGN && s.stx_dio_mem_align &&
	       s.stx_dio_mem_align <= VR_DIRECT && s.stx_dio_offset_align && s.stx_dio_offset_align <= VR_DIRECT;
}

/* Writes both ways, cuts and reads, in a folder of a filesystem that takes them or does not. */
static void any_writes(const char *dir)
{
	struct vr_file *f;
	struct vr_io *io;
	size_t len = 0;
	char path[128];

	assert_int_equal(vr_io_open(dir, &io), 0);
	assert_false(any_direct());
	assert_int_equal(io->ops->open(io, "file", VR_O_CREATE | VR_O_DIRECT, &f), 0);
	snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(any_direct(), can_be_direct(path));
	memset(model, 0, sizeof(model));
	for (int i = 0; i < 2000; i++) {
		uint64_t at = dice(SIZE), n = 1 + dice(dice(8) ? 20000 : SIZE), skew;
		bool direct = dice(2);


		if (!dice(4)) {
			assert_int_equal(io->ops->truncate(f, at), 0);
			if (at < len)
				memset(model + at, 0, len - at);
			len = at;
			continue;
		}
		if (direct) {
			at &= ~(uint64_t)(VR_DIRECT - 1);
			n = (n + VR_DIRECT - 1) & ~(uint64_t)(VR_DIRECT - 1);
		}
		n = n > SIZE ? SIZE : n;
		skew = direct ? 0 : dice(64);
		fill(from + skew, n < 64 ? n : 64);
		assert_int_equal((direct ? io->ops->write_direct : io->ops->write)(f, from + skew, n, at), 0);
		memcpy(model + at, from + skew, n);
		len = at + n > len ? at + n : len;
		if (!dice(16))
			assert_int_equal(io->ops->sync(f), 0);
		if (dice(4))
			continue;
		assert_int_equal(io->ops->size(f), len);
		assert_int_equal(io->ops->read(f, got, len, 0), 0);
		assert_memory_equal(got, model, len);
	}
	io->ops->close(f);
	assert_int_equal(io->ops->open(io, "file", 0, &f), 0);
	assert_int_equal(io->ops->read(f, got, len, 0), 0);
	assert_memory_equal(got, model, len);
	io->ops->close(f);
	assert_int_equal(io->ops->remove(io, "file"), 0);
	io->ops->free(io);
}

static void test_any_writes(void **state)
{
	char memory[] = "/dev/shm/vaio-unit.XXXXXX";

	(void)state;
	any_writes(scratch);
	/* Where there is no way past the page cache. */
	assert_non_null(mkdtemp(memory));
	any_writes(memory);
	rmdir(memory);
}

struct reading {
	struct vr_io *io;
	atomic_size_t written;	/* bytes that are there and do not change any more */
	atomic_bool stop, wrong;
	atomic_size_t passes;
};

static void *read_on(void *arg)
{
	struct reading *r = arg;
	uint8_t *buf = malloc(SIZE);
	struct vr_file *f;

	r->wrong = r->io->ops->open(r->io, "file", 0, &f);
	while (!r->stop && !r->wrong) {
		size_t n = r->written;

		/* With what follows: what is being written may be read, and may not stay in memory as it was. */
		r->wrong = r->io->ops->read(f, buf, SIZE, 0) || memcmp(buf, model, n);
		r->passes++;
	}
	r->io->ops->close(f);
	free(buf);
	return NULL;
}

/* As the journal grows: zeroes, then batches over them, while somebody reads it all the time. */
static void test_reader_beside(void **state)
{
	struct reading r = { 0 };
	struct vr_file *f;
	pthread_t t;

	(void)state;
	assert_int_equal(vr_io_open(scratch, &r.io), 0);
	assert_int_equal(r.io->ops->open(r.io, "file", VR_O_CREATE | VR_O_DIRECT, &f), 0);
	fill(model, SIZE);
	memset(from, 0, SIZE);
	assert_int_equal(r.io->ops->write(f, from, SIZE, 0), 0);
	assert_int_equal(r.io->ops->sync(f), 0);
	memcpy(from, model, SIZE);
	assert_int_equal(pthread_create(&t, NULL, read_on, &r), 0);
	for (size_t at = 0; at < SIZE && !r.wrong;) {
		size_t n = (1 + dice(dice(4) ? 3 : 24)) * VR_DIRECT, passes = r.passes;

		n = n > SIZE - at ? SIZE - at : n;
		assert_int_equal((dice(4) ? r.io->ops->write_direct : r.io->ops->write)(f, from + at, n, at), 0);
		at += n;
		r.written = at;
		/* What could not be taken out of the page cache, the kernel says here. */
		assert_int_equal(r.io->ops->sync(f), 0);
		while (!dice(2) && r.passes == passes && !r.wrong)
			;
	}
	r.stop = true;
	pthread_join(t, NULL);
	assert_false(r.wrong);
	r.io->ops->close(f);
	r.io->ops->remove(r.io, "file");
	r.io->ops->free(r.io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_writes),
		cmocka_unit_test(test_reader_beside),
	};

	dice_begin();
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
