// SPDX-License-Identifier: GPL-2.0
/*
 * The ring's engine: what of it is not for every write, and so not in ring.h.
 */
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

int ring_promise(struct repl_ring *ring)
{
	if (ring_free_descs(ring) <= REPL_RING_SPARE)
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
	return ring_new_record(ring, type);
}
VAIO_EXPORT_FOR_KUNIT(ring_append_promised);

bool ring_void(struct repl_ring *ring, u64 seq)
{
	if (seq <= ring->published)
		return false;
	ring_rec(ring, seq)->type = VAIO_REPL_VOID;
	ring_desc(ring, seq)->type = VAIO_REPL_VOID;
	return true;
}
VAIO_EXPORT_FOR_KUNIT(ring_void);

void ring_abandon(struct repl_ring *ring)
{
	ring->abandoned = ring->next - 1;
	ring->durable = ring->abandoned;
}
VAIO_EXPORT_FOR_KUNIT(ring_abandon);
