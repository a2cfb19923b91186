/* SPDX-License-Identifier: GPL-2.0 */
/* What repl-writer puts at the beginning of each block, and repl-agent looks for. */
#ifndef REPL_STAMP_H
#define REPL_STAMP_H

#include <stdint.h>

#define STAMP_MAGIC	0x73746d70766169ULL
#define STAMP_STREAMS	32

/*
 * A stream is written in order: number n + 1 begins when n is acknowledged. Numbers
 * begin at 1.
 */
struct stamp {
	uint64_t magic;
	uint64_t number;
	uint32_t stream;
	uint32_t check;		/* of what follows: the low bits of the number, repeated */
};

#endif /* REPL_STAMP_H */
