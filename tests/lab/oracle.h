/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the stamper writes, so that the oracle knows it again.
 *
 * A stream is a sequence of operations, drawn from its number and a seed; one begins when
 * the one before is acknowledged. Each sector that is written carries a stamp.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ORACLE_STREAMS	32
#define ORACLE_DISKS	2
#define ORACLE_MAGIC	0x656c6361726f6176ULL
#define SECTOR		512U

struct stamp {
	uint64_t magic;
	uint32_t stream, disk;
	uint64_t number;	/* of the operation, from 1 */
	uint64_t sector;
	uint64_t check;		/* of the fields above */
};

/* Shared by the stamper while it runs, and left behind. */
struct ledger {
	uint64_t begun[ORACLE_STREAMS], acked[ORACLE_STREAMS];	/* operations */
	uint32_t streams;	/* that run */
	uint32_t wanted;	/* operations that were begun, or wait until they are allowed */
	uint32_t allowed;	/* to begin, of all streams; a futex (stamper --allow, repl-watch) */
	uint32_t waiting;	/* streams that wait for that, with nothing under way */
};

enum op_kind { OP_WRITE, OP_DISCARD, OP_ZEROES, OP_FLUSH };

struct op {
	enum op_kind kind;
	uint64_t number;
	unsigned int disk;
	uint64_t offset, len;	/* bytes */
};

struct op_source {
	uint64_t state, number, disk_bytes;
	uint32_t max;		/* bytes of a write */
	bool discards;
};

static inline uint64_t op_draw(struct op_source *s, uint64_t below)
{
	s->state ^= s->state >> 12;
	s->state ^= s->state << 25;
	s->state ^= s->state >> 27;
	return (s->state * 0x2545f4914f6cdd1dULL >> 16) % below;	/* xorshift64*, Vigna 2014 */
}

static inline void op_begin(struct op_source *s, uint64_t seed, unsigned int stream, uint64_t disk_bytes, uint32_t max)
{
	s->state = (seed + 1) * 0x9e3779b97f4a7c15ULL + stream * 0xbf58476d1ce4e5b9ULL + 1;
	s->number = 0;
	s->disk_bytes = disk_bytes;
	s->max = max;
	s->discards = true;
}

static inline struct op op_next(struct op_source *s)
{
	struct op o = { .number = ++s->number };
	uint64_t kind = op_draw(s, 64), size = op_draw(s, 64), sectors;

	o.kind = kind == 0 ? OP_DISCARD : kind == 1 ? OP_ZEROES : kind < 4 ? OP_FLUSH : OP_WRITE;
	/* mostly small ones, which overlap the few that are large */
	sectors = 1 + op_draw(s, size ? 16 : s->max / SECTOR);
	o.disk = (unsigned int)op_draw(s, ORACLE_DISKS);
	o.len = sectors * SECTOR;
	o.offset = op_draw(s, (s->disk_bytes - o.len) / SECTOR + 1) * SECTOR;
	return o;
}

static inline uint64_t stamp_check(const struct stamp *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (const uint8_t *p = (const uint8_t *)s; p < (const uint8_t *)&s->check; p++)
		h = (h ^ *p) * 0x100000001b3ULL;	/* FNV-1a */
	return h;
}

static inline void stamp_fill(uint8_t *buf, unsigned int stream, const struct op *o)
{
	for (uint64_t at = 0; at < o->len; at += SECTOR) {
		struct stamp s = { .magic = ORACLE_MAGIC, .stream = stream, .disk = o->disk, .number = o->number,
				   .sector = (o->offset + at) / SECTOR };

		s.check = stamp_check(&s);
		memset(buf + at, (int)(o->number * 7 + stream), SECTOR);
		memcpy(buf + at, &s, sizeof(s));
	}
}

#endif /* ORACLE_H */
