/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which number of the wire a record of the ring has.
 *
 * Numbers of the wire are dense and outlive a ring; some records of the wire are the
 * agent's own and stand for none of the ring. Between two of those both sides count in
 * step, so the map is a short list of places where they begin to. It lies in shared memory
 * of a file and is used again by the next agent: an entry is written before `tail` makes it
 * valid, and never changed after that.
 */
#ifndef AGENT_SEQMAP_H
#define AGENT_SEQMAP_H

#include <stdbool.h>
#include <stdint.h>

#define SEQMAP_MAX	128	/* a power of two */

struct seqmap_entry {
	uint64_t after;		/* the numbers between this and wire are the agent's own records */
	uint64_t wire;		/* of the record `ring`; those that follow it count on */
	uint64_t ring;
	uint64_t epoch;		/* of the ring */
};

struct seqmap {
	uint32_t head, tail;	/* count on; entry n is at n modulo SEQMAP_MAX */
	struct seqmap_entry entry[SEQMAP_MAX];
};

void seqmap_reset(struct seqmap *m);

/* Record @ring has number @wire from now on. False: the list is full, nothing was added. */
bool seqmap_add(struct seqmap *m, uint64_t after, uint64_t wire, uint64_t ring, uint64_t epoch);

/*
 * The last record of the ring whose number is not above @wire, of @epoch; 0 when there is none.
 */
uint64_t seqmap_ring(const struct seqmap *m, uint64_t epoch, uint64_t wire);

/* The number of the record @ring of @epoch; 0 when it has none. */
uint64_t seqmap_wire(const struct seqmap *m, uint64_t epoch, uint64_t ring);

/*
 * The replica has all up to @wire: after which record of the ring to go on. *@gap: what was sent between belongs to
 * an epoch that was given up. False: the map does not know.
 */
bool seqmap_resume(const struct seqmap *m, uint64_t epoch, uint64_t wire, uint64_t *ring, bool *gap);

/* What comes after record @ring of @epoch is to be numbered anew. */
void seqmap_cut(struct seqmap *m, uint64_t epoch, uint64_t ring);

/* Nothing at or below @wire will be asked for again but @wire itself. */
void seqmap_prune(struct seqmap *m, uint64_t wire);

bool seqmap_full(const struct seqmap *m);

/* Is what the file holds a map? */
bool seqmap_valid(const struct seqmap *m);

#endif /* AGENT_SEQMAP_H */
