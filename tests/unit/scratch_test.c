// SPDX-License-Identifier: GPL-2.0
/* Writes that stay aside, against a model: any offsets, zeroes, an end of room, reopening, a stop without a sync. */
#include <errno.h>

#include "unit.h"
#include "dice.h"
#include "../../userspace/libreplica/libreplica.h"

#define SIZE	(300U * 1024 + 512)	/* the last block is short */
#define BLOCKS	((SIZE + 4095) / 4096)

static struct vr_err why;
static uint8_t below_bytes[SIZE];

static int below(void *arg, void *buf, size_t len, uint64_t offset, struct vr_err *e)
{
	(void)arg;
	(void)e;
	assert_true(offset + len <= SIZE);
	memcpy(buf, below_bytes + offset, len);
	return 0;
}

static const struct vr_scratch_id id = { .store = { 1 }, .disk = { 2 }, .seq = 77, .size = SIZE };

static struct vr_scratch *open_it(uint64_t max)
{
	struct vr_scratch *s = NULL;

	if (vr_scratch_open(in_scratch("s"), true, &id, max, &s, &why))
		fail_msg("%s", why.text);
	return s;
}

static void compare(struct vr_scratch *s, const uint8_t *want)
{
	uint8_t *got = malloc(SIZE);

	assert_int_equal(vr_scratch_read(s, got, SIZE, 0, below, NULL, &why), 0);
	assert_memory_equal(got, want, SIZE);
	free(got);
}

/* A random change of the scratch and of the model. */
static void change(struct vr_scratch *s, uint8_t *want, bool *touched)
{
	uint64_t at = dice(SIZE), len = 1 + dice(dice(3) ? 6000 : 60000);
	uint8_t *data = malloc(SIZE);

	len = len < SIZE - at ? len : SIZE - at;
	if (dice(3)) {
		memset(data, (int)dice(256), len);
		assert_int_equal(vr_scratch_write(s, data, len, at, below, NULL, &why), 0);
		memcpy(want + at, data, len);
	} else {
		assert_int_equal(vr_scratch_zero(s, len, at, below, NULL, &why), 0);
		memset(want + at, 0, len);
	}
	for (uint64_t b = at / 4096; touched && b <= (at + len - 1) / 4096; b++)
		touched[b] = true;
	free(data);
}

static void test_random(void **state)
{
	uint8_t *want = malloc(SIZE), *synced = malloc(SIZE), *got = malloc(SIZE);

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct vr_scratch *s;
		bool touched[BLOCKS] = { false };

		unlink(in_scratch("s"));
		memcpy(want, below_bytes, SIZE);
		s = open_it(1 << 20);
		for (int i = 0; i < 40; i++) {
			uint64_t at = dice(SIZE), len = 1 + dice(SIZE - at);

			change(s, want, NULL);
			assert_int_equal(vr_scratch_read(s, got, len, at, below, NULL, &why), 0);
			assert_memory_equal(got, want + at, len);
			if (dice(10))
				continue;
			assert_int_equal(vr_scratch_sync(s, &why), 0);
			vr_scratch_close(s);
			s = open_it(1 << 20);
			compare(s, want);
		}
		/* After a stop without a sync, what was flushed is there, and what came after it may be. */
		assert_int_equal(vr_scratch_sync(s, &why), 0);
		memcpy(synced, want, SIZE);
		for (int i = 0; i < 10; i++)
			change(s, want, touched);
		vr_scratch_close(s);
		s = open_it(1 << 20);
		assert_int_equal(vr_scratch_read(s, got, SIZE, 0, below, NULL, &why), 0);
		for (unsigned int b = 0; b < BLOCKS; b++)
			if (!touched[b])
				assert_memory_equal(got + b * 4096, synced + b * 4096, b + 1 < BLOCKS ? 4096 : SIZE % 4096);
		vr_scratch_close(s);
	}
	free(want);
	free(synced);
	free(got);
}

static void test_room(void **state)
{
	uint8_t *want = malloc(SIZE), data[4096];
	struct vr_scratch *s;

	(void)state;
	unlink(in_scratch("s"));
	memcpy(want, below_bytes, SIZE);
	memset(data, 9, sizeof(data));
	s = open_it(8192);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vr_scratch_write(s, data, 4096, (uint64_t)i * 40960, below, NULL, &why), 0);
		memset(want + i * 40960, 9, 4096);
	}
	assert_int_equal(vr_scratch_used(s), 8192);
	assert_int_equal(vr_scratch_write(s, data, 100, 8192, below, NULL, &why), -ENOSPC);
	assert_non_null(strstr(why.text, "8192"));
	compare(s, want);
	/* what is there can be overwritten, and zeroes give room */
	assert_int_equal(vr_scratch_write(s, data, 100, 40960 + 7, below, NULL, &why), 0);
	assert_int_equal(vr_scratch_zero(s, 4096, 0, below, NULL, &why), 0);
	memset(want, 0, 4096);
	assert_int_equal(vr_scratch_write(s, data, 100, 8192, below, NULL, &why), 0);
	memset(want + 8192, 9, 100);
	compare(s, want);
	vr_scratch_close(s);
	free(want);
}

static void test_refused(void **state)
{
	struct vr_scratch *s, *t = NULL;
	struct vr_scratch_id other = id, found;

	(void)state;
	unlink(in_scratch("s"));
	assert_int_equal(vr_scratch_peek(in_scratch("s"), &found, &why), -ENOENT);
	s = open_it(1 << 20);
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &id, 1 << 20, &t, &why), -EAGAIN);
	assert_non_null(strstr(why.text, "another export"));
	vr_scratch_close(s);
	assert_int_equal(vr_scratch_peek(in_scratch("s"), &found, &why), 0);
	assert_int_equal(found.seq, 77);
	other.seq = 78;
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &other, 1 << 20, &t, &why), -ESTALE);
	assert_non_null(strstr(why.text, "seq:77"));
	other = id;
	other.size += 4096;
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &other, 1 << 20, &t, &why), -ESTALE);
	assert_true(sh("printf x | dd of=s bs=1 seek=50 conv=notrunc"));
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &id, 1 << 20, &t, &why), -EBADMSG);
	assert_true(sh("head -c 5000 /dev/urandom >s"));
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &id, 1 << 20, &t, &why), -EBADMSG);
	/* without a name: nothing is left behind */
	unlink(in_scratch("s"));
	assert_int_equal(vr_scratch_open(scratch, false, &id, 1 << 20, &s, &why), 0);
	assert_int_equal(vr_scratch_write(s, "abc", 3, 5000, below, NULL, &why), 0);
	assert_true(sh("test -z \"$(ls -A)\""));
	vr_scratch_close(s);
	/* a map that says what no map says */
	s = open_it(1 << 20);
	vr_scratch_close(s);
	assert_true(sh("truncate -s 8192 s && printf '\\002' | dd of=s bs=1 seek=4096 conv=notrunc"));
	assert_int_equal(vr_scratch_open(in_scratch("s"), true, &id, 1 << 20, &t, &why), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_room), cmocka_unit_test(test_refused),
	};

	dice_begin();
	for (unsigned int i = 0; i < SIZE; i++)
		below_bytes[i] = (uint8_t)dice(256);
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
