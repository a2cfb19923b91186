// SPDX-License-Identifier: GPL-2.0
/*
 * The ring's engine: sequences and space.
 */
#include <linux/align.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include "../compat.h"
#include "ring.h"

void ring_init(struct repl_ring *ring, u32 nr, u32 chunk, u64 bytes, struct repl_rec *rec,
	       struct vaio_repl_desc *desc)
{
	memset(ring, 0, sizeof(*ring));
	ring->nr = nr;
	ring->chunk = chunk;
	ring->bytes = bytes;
	ring->next = 1;
	ring->rec = rec;
	ring->desc = desc;
}
VAIO_EXPORT_FOR_KUNIT(ring_init);

static u32 free_descs(const struct repl_ring *ring)
{
	return ring->nr - (u32)(ring->next - 1 - ring->retired) - ring->promised;
}

static u64 new_record(struct repl_ring *ring, u8 type)
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

/* Where a payload would begin; false when there is no room. */
static bool find_room(const struct repl_ring *ring, u32 len, u32 align, u64 *begin)
{
	u64 pos = ALIGN(ring->head, (u64)align);

	if ((pos & (ring->chunk - 1)) + len > ring->chunk)
		pos = ALIGN(pos, (u64)ring->chunk);
	*begin = pos;
	return pos + len - ring->tail <= ring->bytes;
}

int ring_append(struct repl_ring *ring, u8 type, u32 len, u32 align, u64 *seq, u64 *pos)
{
	u64 begin = 0;

	if (free_descs(ring) <= (len ? REPL_RING_SPARE : 0))
		return -ENOSPC;
	if (len) {
		/* with nothing in it, the largest payload fits */
		if (ring->retired == ring->next - 1)
			ring->head = ring->tail = ALIGN(ring->head, (u64)ring->chunk);
		if (!find_room(ring, len, align, &begin))
			return -ENOSPC;
		ring->head = begin + len;
	}
	*seq = new_record(ring, type);
	div64_u64_rem(begin, ring->bytes, pos);
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(ring_append);

int ring_promise(struct repl_ring *ring)
{
	if (free_descs(ring) <= REPL_RING_SPARE)
		return -ENOSPC;
	ring->promised++;
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(ring_promise);

void ring_promise_drop(struct repl_ring *ring)
{
	ring->promised--;
}
VAIO_EXPORT_FOR_KUNIT(ring_promise_drop);

u64 ring_append_promised(struct repl_ring *ring, u8 type)
{
	ring->promised--;
	return new_record(ring, type);
}
VAIO_EXPORT_FOR_KUNIT(ring_append_promised);

bool ring_ready(struct repl_ring *ring, u64 seq)
{
	u64 before = ring->published;

	ring_rec(ring, seq)->flags |= REPL_R_READY;
	while (ring->published + 1 < ring->next &&
	       (ring_rec(ring, ring->published + 1)->flags & REPL_R_READY))
		ring->published++;
	return ring->published != before;
}
VAIO_EXPORT_FOR_KUNIT(ring_ready);

bool ring_void(struct repl_ring *ring, u64 seq)
{
	if (seq <= ring->published)
		return false;
	ring_rec(ring, seq)->type = VAIO_REPL_VOID;
	ring_desc(ring, seq)->type = VAIO_REPL_VOID;
	return true;
}
VAIO_EXPORT_FOR_KUNIT(ring_void);

void ring_local_done(struct repl_ring *ring, u64 seq)
{
	ring_rec(ring, seq)->flags |= REPL_R_LOCAL;
}
VAIO_EXPORT_FOR_KUNIT(ring_local_done);

u64 ring_acknowledge(struct repl_ring *ring, u64 upto)
{
	if (ring->durable >= min(upto, ring->published))
		return 0;
	return ++ring->durable;
}
VAIO_EXPORT_FOR_KUNIT(ring_acknowledge);

void ring_abandon(struct repl_ring *ring)
{
	ring->abandoned = ring->next - 1;
	ring->durable = ring->abandoned;
}
VAIO_EXPORT_FOR_KUNIT(ring_abandon);

bool ring_retire(struct repl_ring *ring)
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
VAIO_EXPORT_FOR_KUNIT(ring_retire);
