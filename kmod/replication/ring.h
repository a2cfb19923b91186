/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A group's ring: records in one order, and the data area that carries payload.
 *
 *	retired <= durable                   published < next
 *	   |                                     |
 *   ----+=====================================+-----------+----->  sequence
 *	 kept                                    visible     not ready yet
 *
 * A record gets its sequence and its space at once, or not at all. It becomes
 * visible when it and all before it are ready, so what the agent sees is always
 * a prefix. Its space is free again when all before it are retired, it was
 * acknowledged (or given up), and its own local I/O is done.
 *
 * An engine: it knows no bio and no clock and takes no lock; the caller's
 * protects it. What the kernel relies on is in struct repl_rec, never in the
 * pages that the agent has mapped.
 */
#ifndef _VAIO_REPL_RING_H
#define _VAIO_REPL_RING_H

#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include <linux/vaio-replication.h>

/* Descriptors that only records without payload may take: state changes always fit. */
#define REPL_RING_SPARE		(4 * VAIO_REPL_MEMBERS)

#define REPL_NO_SLOT		0xffff

/* struct repl_rec, flags */
#define REPL_R_READY		(1U << 0)	/* may become visible */
#define REPL_R_LOCAL		(1U << 1)	/* local I/O is done, or there is none */

/**
 * struct repl_rec - what the kernel knows of a record
 * @end: of its payload in the data area, as a position that only grows
 * @first: first sector of its range, 512-byte units
 * @sectors: length of it
 * @mono_ns: when it was made
 * @waiter: the request that waits for its acknowledgement
 * @member: index
 * @slot: of a resync read, REPL_NO_SLOT else
 * @type: enum vaio_repl_type
 * @flags: REPL_R_*
 */
struct repl_rec {
	u64	end;
	u64	first;
	u64	mono_ns;
	void	*waiter;
	u32	sectors;
	u16	member;
	u16	slot;
	u8	type;
	u8	flags;
};

/**
 * struct repl_ring - see above
 * @nr: descriptors, a power of two
 * @chunk: bytes of a chunk, a power of two
 * @bytes: of the data area that records share, a multiple of @chunk
 * @next: sequence of the next record; the first is 1
 * @published: highest visible sequence
 * @durable: highest acknowledged one, or given up
 * @abandoned: highest that was given up
 * @retired: highest whose space is free
 * @head: position where the next payload goes
 * @lap: position, not above @head, that is the begin of the data area
 * @tail: position of the oldest payload
 * @promised: descriptors that were promised to resync reads
 * @rec: @nr of them
 * @desc: @nr of them, mapped by the agent
 */
struct repl_ring {
	u32			nr;
	u32			chunk;
	u64			bytes;
	u64			next;
	u64			published;
	u64			durable;
	u64			abandoned;
	u64			retired;
	u64			head;
	u64			lap;
	u64			tail;
	u32			promised;
	struct repl_rec		*rec;
	struct vaio_repl_desc	*desc;
};

void ring_init(struct repl_ring *ring, u32 nr, u32 chunk, u64 bytes, struct repl_rec *rec,
	       struct vaio_repl_desc *desc);

static inline struct repl_rec *ring_rec(const struct repl_ring *ring, u64 seq)
{
	return &ring->rec[seq & (ring->nr - 1)];
}

static inline struct vaio_repl_desc *ring_desc(const struct repl_ring *ring, u64 seq)
{
	return &ring->desc[seq & (ring->nr - 1)];
}

/* Is there a record of this sequence, not yet retired? */
static inline bool ring_has(const struct repl_ring *ring, u64 seq)
{
	return seq > ring->retired && seq < ring->next;
}

/* Records that the replica lacks, as far as is known. */
static inline u64 ring_backlog(const struct repl_ring *ring)
{
	return ring->next - 1 - ring->durable;
}

static inline u32 ring_free_descs(const struct repl_ring *ring)
{
	return ring->nr - (u32)(ring->next - 1 - ring->retired) - ring->promised;
}

/* Inside: there is a descriptor. */
static inline u64 ring_new_record(struct repl_ring *ring, u8 type)
{
	u64 seq = ring->next++;
	struct repl_rec *rec = ring_rec(ring, seq);

	rec->end = ring->head;
	rec->waiter = NULL;
	rec->slot = REPL_NO_SLOT;
	rec->type = type;
	rec->flags = 0;
	return seq;
}

/**
 * ring_append - a record at the end, with room for its payload
 * @ring: the ring
 * @type: enum vaio_repl_type
 * @len: of the payload, bytes, at most a chunk; 0: none
 * @align: of the payload's place, bytes, a power of two, at most a page
 * @seq: gets the sequence
 * @pos: gets the payload's place in the data area, bytes from its start
 *
 * The record is neither ready nor done locally. The caller fills in the rest of
 * its struct repl_rec and its descriptor. Return: 0 or -ENOSPC.
 */
static inline int ring_append(struct repl_ring *ring, u8 type, u32 len, u32 align, u64 *seq,
			      u64 *pos)
{
	u64 begin, place = 0;

	if (unlikely(ring_free_descs(ring) <= (len ? REPL_RING_SPARE : 0)))
		return -ENOSPC;
	if (len) {
		/* with nothing in it, the largest payload fits */
		if (unlikely(ring->retired == ring->next - 1))
			ring->head = ring->tail = ALIGN(ring->head, (u64)ring->chunk);
		begin = ALIGN(ring->head, (u64)align);
		if (unlikely((begin & (ring->chunk - 1)) + len > ring->chunk))
			begin = ALIGN(begin, (u64)ring->chunk);
		if (unlikely(begin + len - ring->tail > ring->bytes))
			return -ENOSPC;
		ring->head = begin + len;
		place = begin - ring->lap;
		while (unlikely(place >= ring->bytes)) {
			ring->lap += ring->bytes;
			place -= ring->bytes;
		}
	}
	*seq = ring_new_record(ring, type);
	*pos = place;
	return 0;
}

/* A descriptor for a later ring_append_promised(). -ENOSPC */
int ring_promise(struct repl_ring *ring);
void ring_promise_drop(struct repl_ring *ring);
/* Cannot fail. The record has no payload in the shared data area. */
u64 ring_append_promised(struct repl_ring *ring, u8 type);

/**
 * ring_ready - a record may become visible
 * @ring: the ring
 * @seq: of the record
 *
 * What is visible ends at a record that is not ready, so only this one's turn can
 * have come. Return: true when records became visible, this one and perhaps more.
 */
static inline bool ring_ready(struct repl_ring *ring, u64 seq)
{
	ring_rec(ring, seq)->flags |= REPL_R_READY;
	if (unlikely(seq != ring->published + 1))
		return false;
	do
		ring->published++;
	while (ring->published + 1 < ring->next &&
	       (ring_rec(ring, ring->published + 1)->flags & REPL_R_READY));
	return true;
}

/* A record that is not visible yet becomes VOID; false when it is visible already. */
bool ring_void(struct repl_ring *ring, u64 seq);

/* The local I/O of a record is done. */
static inline void ring_local_done(struct repl_ring *ring, u64 seq)
{
	ring_rec(ring, seq)->flags |= REPL_R_LOCAL;
}

/**
 * ring_acknowledge - take the next record that @upto covers
 * @ring: the ring
 * @upto: highest durable sequence, not above @ring->published
 *
 * Return: its sequence, 0 when there is none left. Its struct repl_rec is valid
 * until ring_retire().
 */
static inline u64 ring_acknowledge(struct repl_ring *ring, u64 upto)
{
	if (ring->durable >= min(upto, ring->published))
		return 0;
	return ++ring->durable;
}

/* Records up to the last one need no acknowledgement any more. */
void ring_abandon(struct repl_ring *ring);

/* Frees what can be freed. True when something was. */
static inline bool ring_retire(struct repl_ring *ring)
{
	u64 before = ring->retired;
	/* an abandoned record that is not visible may still be made VOID */
	u64 limit = min(ring->durable, ring->published);

	while (ring->retired < limit) {
		const struct repl_rec *rec = ring_rec(ring, ring->retired + 1);

		if (!(rec->flags & REPL_R_LOCAL))
			break;
		ring->tail = rec->end;
		ring->retired++;
	}
	return ring->retired != before;
}

#endif /* _VAIO_REPL_RING_H */
