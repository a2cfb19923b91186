/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers of a test, which VAIO_SEED repeats (xorshift64, Marsaglia, 2003). */
#ifndef TESTS_DICE_H
#define TESTS_DICE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t rnd;

/* First of all: takes the seed, and prints it. */
static inline void dice_begin(void)
{
	const char *text = getenv("VAIO_SEED");
	uint64_t seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)getpid() * 7919 + (uint64_t)time(NULL);

	rnd = seed * 2654435761u | 1;
	printf("# seed %llu\n", (unsigned long long)seed);
}

/* 0 to @n - 1 */
static inline uint64_t dice(uint64_t n)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd % n;
}

#endif /* TESTS_DICE_H */
