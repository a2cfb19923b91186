/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What sidecar_format.c needs of its surroundings, in the kernel and in user
 * space: fixed-size types, byte order, CRC32C, calendar.
 */
#ifndef _VAIO_SIDECAR_PORT_H
#define _VAIO_SIDECAR_PORT_H

#ifdef __KERNEL__

#include <linux/build_bug.h>
#include <linux/crc32c.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/time.h>
#include <linux/types.h>
#include <asm/byteorder.h>
#include "../compat.h"

static inline u32 vaio_sc_crc32c(u32 crc, const void *data, size_t len)
{
	return crc32c(crc, data, len);
}

static inline void vaio_sc_calendar(u64 seconds, int date[6])
{
	struct tm tm;

	time64_to_tm(seconds, 0, &tm);
	date[0] = tm.tm_year + 1900;
	date[1] = tm.tm_mon + 1;
	date[2] = tm.tm_mday;
	date[3] = tm.tm_hour;
	date[4] = tm.tm_min;
	date[5] = tm.tm_sec;
}

#else

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;

#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	((u64)le64toh(x))

#define VAIO_EXPORT_FOR_KUNIT(symbol)

#define __printf(a, b)	__attribute__((format(printf, a, b)))

static inline u64 div_u64(u64 dividend, u32 divisor)
{
	return dividend / divisor;
}

static inline u32 vaio_sc_crc32c(u32 crc, const void *data, size_t len)
{
	/* of the reflected polynomial 0x82f63b78, four bits at a time */
	static const u32 table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const u8 *p = data;

	while (len--) {
		crc ^= *p++;
		crc = table[crc & 15] ^ (crc >> 4);
		crc = table[crc & 15] ^ (crc >> 4);
	}
	return crc;
}

static inline void vaio_sc_calendar(u64 seconds, int date[6])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	date[0] = tm.tm_year + 1900;
	date[1] = tm.tm_mon + 1;
	date[2] = tm.tm_mday;
	date[3] = tm.tm_hour;
	date[4] = tm.tm_min;
	date[5] = tm.tm_sec;
}

#endif

#endif /* _VAIO_SIDECAR_PORT_H */
