/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of the store have in common: the seed of a run, why something failed, a store with small files. */
#ifndef TESTS_STORE_TEST_H
#define TESTS_STORE_TEST_H

#include <gcrypt.h>
#include <time.h>

#include "unit.h"
#include "replica_model.h"

static struct vr_err why;
static uint64_t seed;

static const struct vr_options small = { .write = true, .segment_bytes = 96 << 10, .reserve_bytes = 64 << 10, .merge = 3 };

#define ok(call) do { \
	int rc_ = (call); \
	if (rc_) \
		fail_msg("%s: %d (%s), seed %llu", #call, rc_, why.text, (unsigned long long)seed); \
} while (0)

/* First in main(): the seed of the environment, or a fresh one, which is printed. VAIO_TEST=test_points: one test alone. */
static inline void begin_tests(void)
{
	const char *text = getenv("VAIO_SEED");

	seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)getpid() * 7919 + (uint64_t)time(NULL);
	if (getenv("VAIO_TEST"))
		cmocka_set_test_filter(getenv("VAIO_TEST"));
	gcry_check_version(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
}

#endif
