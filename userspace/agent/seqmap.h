/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which number of the wire a record of the ring has.
 *
 * Numbers of the wire are dense and outlive a ring; some records of the wire are the
 * agent's own and stand for none of the ring. Between two of those both sides count in
 * step, so the map is a short list of places where they begin to. It lies in shared memory
 * of a file and is used again by the next agent, whenever this one is killed: an entry is
 * written before `tail` makes it valid and never changed after that, and a list that begins
 * anew is made in the other bank before `active` points to it.
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
	uint32_t active, reserved;
	struct seqmap_bank {
		uint32_t head, tail;	/* count on; entry n is at n modulo SEQMAP_MAX */
		struct seqmap_entry entry[SEQMAP_MAX];
	} bank[2];
};

/*
 * The replica has all up to @wire, and the record of the ring that comes after is @ring of @epoch: what the map
 * said of higher numbers is void.
 */
void seqmap_begin(struct seqmap *m, uint64_t wire, uint64_t ring, uint64_t epoch);

/*
 * Record @ring has number @wire from now on, the numbers from @after on are the agent's own. False: the list is
 * full, nothing was added.
 */
bool seqmap_add(struct seqmap *m, uint64_t after, uint64_t wire, uint64_t ring, uint64_t epoch);

bool seqmap_full(const struct seqmap *m);

/* The last record of the ring whose number is not above @wire, of @epoch; 0 when there is none. */
uint64_t seqmap_ring(const struct seqmap *m, uint64_t epoch, uint64_t wire);

/* The number of the record @ring of @epoch; 0 when it has none. */
uint64_t seqmap_wire(const struct seqmap *m, uint64_t epoch, uint64_t ring);

/*
 * The replica has all up to @wire: after which record of the ring to go on. *@gap: what was sent between belongs to
 * an epoch that was given up. False: the map does not know.
 */
bool seqmap_resume(const struct seqmap *m, uint64_t epoch, uint64_t wire, uint64_t *ring, bool *gap);

/* Nothing below @wire will be asked for again. */
void seqmap_prune(struct seqmap *m, uint64_t wire);

/* Is what the file holds a map? */
bool seqmap_valid(const struct seqmap *m);

#endif /* AGENT_SEQMAP_H */
