// SPDX-License-Identifier: GPL-2.0
/*
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4), by the processor's instruction
 * where it has one, else by eight tables ("slicing by 8").
 */
#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "crc32c.h"

static uint32_t table[8][256];
static uint32_t (*update)(uint32_t crc, const uint8_t *p, size_t len);

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		v = le64toh(v) ^ crc;
		crc = table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^ table[5][v >> 16 & 0xff] ^ table[4][v >> 24 & 0xff] ^
		      table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^ table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
	}
	while (len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
	return crc;
}

#ifdef __x86_64__
/*
 * The instruction takes three cycles, and one can begin in each: three lanes, side by side. What a lane's CRC becomes by
 * the bytes of the lane after it is a sum (XOR) over its bits; past[] has it for each value of each of its bytes.
 */
#define LANE	256U		/* bytes */

static uint32_t past[4][256];

static void choose_lanes(void)
{
	static const uint8_t zeroes[LANE];

	for (int byte = 0; byte < 4; byte++)
		for (uint32_t i = 1; i < 256; i++)
			past[byte][i] = i & (i - 1) ? past[byte][i & (i - 1)] ^ past[byte][i & -i] :
					by_table(i << 8 * byte, zeroes, LANE);
}

static uint32_t pass_lane(uint32_t crc)
{
	return past[0][crc & 0xff] ^ past[1][crc >> 8 & 0xff] ^ past[2][crc >> 16 & 0xff] ^ past[3][crc >> 24];
}

__attribute__((target("sse4.2")))
static inline uint64_t step(uint64_t crc, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __builtin_ia32_crc32di(crc, v);
}

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t c = crc;

	for (; len >= 3 * LANE; p += 3 * LANE, len -= 3 * LANE) {
		uint64_t c1 = 0, c2 = 0;

#pragma GCC unroll 8
		for (unsigned int i = 0; i < LANE; i += 8) {
			c = step(c, p + i);
			c1 = step(c1, p + LANE + i);
			c2 = step(c2, p + 2 * LANE + i);
		}
		c = pass_lane(pass_lane((uint32_t)c) ^ (uint32_t)c1) ^ c2;
	}
#pragma GCC unroll 8
	for (; len >= 8; p += 8, len -= 8)
		c = step(c, p);
	while (len--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return (uint32_t)c;
}
#endif

static void choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
		table[0][i] = c;
	}
	for (int t = 1; t < 8; t++)
		for (int i = 0; i < 256; i++)
			table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 0xff];
	update = by_table;
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2")) {
		choose_lanes();
		update = by_instruction;
	}
#endif
}

uint32_t vr_crc32c(uint32_t crc, const void *data, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose);
	return ~update(~crc, data, len);
}
