/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Looks for a byte pattern in a stream of bytes (Knuth, Morris and Pratt).
 *
 * The stream may come in pieces of any size: a match that lies across two of
 * them is found. Knows no bio, so that a test can feed it directly.
 */
#ifndef _VAIO_PATTERN_H
#define _VAIO_PATTERN_H

#include <linux/types.h>

#define PATTERN_MAX	64
#define PATTERN_ANY	(~0U)

/**
 * struct pattern - what to look for
 * @len: bytes of the pattern, 1 to PATTERN_MAX
 * @where: offset of a match in its block, or PATTERN_ANY
 * @block: bytes of a block, a power of two; the stream begins at a block's start
 * @bytes: the pattern
 * @border: border[n] is the length of the longest beginning of the pattern that
 *	is also an end of its first n + 1 bytes, and shorter than these
 */
struct pattern {
	unsigned int	len;
	unsigned int	where;
	unsigned int	block;
	u8		bytes[PATTERN_MAX];
	u8		border[PATTERN_MAX];
};

/**
 * struct pattern_search - a search on its way
 * @matched: bytes of the pattern that the stream ends with so far
 * @pos: bytes of the stream so far
 */
struct pattern_search {
	unsigned int	matched;
	unsigned int	pos;
};

static inline unsigned int pattern_step(const struct pattern *p, unsigned int matched, u8 byte)
{
	while (matched && p->bytes[matched] != byte)
		matched = p->border[matched - 1];
	return p->bytes[matched] == byte ? matched + 1 : 0;
}

/* Call once @bytes and @len are set. */
static inline void pattern_prepare(struct pattern *p)
{
	unsigned int n;

	p->border[0] = 0;
	for (n = 1; n < p->len; n++)
		p->border[n] = pattern_step(p, p->border[n - 1], p->bytes[n]);
}

/* Returns true as soon as there is a match in the right place. */
static inline bool pattern_feed(const struct pattern *p, struct pattern_search *s,
				const u8 *data, unsigned int len)
{
	for (; len; len--) {
		s->matched = pattern_step(p, s->matched, *data++);
		s->pos++;
		if (s->matched < p->len)
			continue;
		if (p->where == PATTERN_ANY || ((s->pos - p->len) & (p->block - 1)) == p->where)
			return true;
		s->matched = p->border[p->len - 1];
	}
	return false;
}

#endif /* _VAIO_PATTERN_H */
