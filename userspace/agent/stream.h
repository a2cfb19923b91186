/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From records of the ring to records of the wire, without ring, network or clock.
 *
 * The stream keeps the replica's history as it will be after all that was given out, by
 * the rules that the replica itself checks. What the wire wants and the ring has not -
 * generations, gaps, clocks, new disks - is put in front of the record at hand, decided
 * from that history: so it comes out the same, or as it has to be, when part of it is already
 * at the replica.
 */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include <linux/vaio-replication.h>

#include "../libreplica/libreplica.h"
#include "seqmap.h"

#define STREAM_MARKS	32	/* checkpoints that are on their way */

/* A disk behind an index of the ring. */
struct stream_disk {
	uint8_t uuid[VAIO_RW_ID_LEN];	/* nil: none */
	uint8_t vm[VAIO_RW_ID_LEN];
	char name[VAIO_RW_NAME_LEN];
	uint64_t bytes;
	uint32_t block_size;		/* 0: not known */
	int number;			/* on the wire, of the records that were given out last; -1: none was in this session */
};

/* What an administrator wanted of the CHECKPOINT record @ring. */
struct stream_mark {
	uint64_t ring, epoch;		/* 0: free */
	uint64_t wire;			/* 0: not given out */
	uint32_t kind, flags;
	bool told;
	uint64_t cookie;
	bool from_replica;
	uint64_t deadline_ns;
};

struct stream {
	struct vr_history history;	/* of the replica, after all that was given out */
	struct seqmap *map;
	struct stream_disk disk[VAIO_REPL_MEMBERS];
	struct stream_mark mark[STREAM_MARKS];
	uint8_t boot[VAIO_RW_ID_LEN];
	int64_t time_offset;		/* from CLOCK_MONOTONIC to the time of records, ns */

	bool live;			/* a place in the ring is known */
	uint64_t epoch, position;	/* last record of the ring that was given out */
	uint64_t last_real;		/* number of the last one that stands for a record of the ring */
	uint64_t piece;			/* bytes of a long range that were given out */

	bool gap;			/* a GAP comes next */
	uint64_t gap_seq;		/* its number, when that is above the next one */
	uint32_t gap_reason;
	uint64_t gap_since_ns;		/* time of the first write that is missing, 0 when unknown */
	bool clock;			/* a CLOCK comes next */
	int64_t clock_told;		/* real - monotonic that it told, ns */
	uint32_t resync_kind;		/* of the next RESYNC_BEGIN */
	uint64_t resync_bytes;

	/* Generations that the replica has to be told of, oldest first. */
	struct vr_generation generation[VAIO_RW_MAX_GENERATIONS];
	unsigned int nr_generations, next_generation;
};

/* A record of the wire that could be next. */
struct stream_item {
	struct vaio_rw_record record;	/* without number and payload's place */
	uint64_t seq, generation;
	uint8_t vm[VAIO_RW_ID_LEN];
	const void *payload;
	uint32_t payload_len;
	bool consumes;			/* it stands for the record of the ring */
	uint64_t piece;
	uint8_t buf[256] __attribute__((aligned(8)));
};

/*
 * The replica's history is what WELCOME says: @welcome with its lists, as vr_message_check()
 * found them right. Numbers go on after its durable_seq.
 */
void stream_welcome(struct stream *s, const struct vaio_rw_welcome *w);

/* The ring is read on after @position. */
void stream_start(struct stream *s, uint64_t epoch, uint64_t position);

/*
 * What comes next, given that the next record of the ring is @d with its @payload, copied or
 * constant. -EPROTO: the ring says what cannot be sent, @e tells; -ENOSPC: the map is full, the replica has to
 * acknowledge first. The item may point into @payload. Nothing changes until it is committed.
 */
int stream_next(struct stream *s, const struct vaio_repl_desc *d, const void *payload, struct stream_item *item,
		struct vr_err *e);

/* The item is in a batch. -EPROTO: it may not follow; the stream is of no more use. */
int stream_commit(struct stream *s, const struct vaio_repl_desc *d, const struct stream_item *item, struct vr_err *e);

/*
 * A batch ends with what was committed last. To be called before it is given to anybody: an acknowledgement of its end is none of
 * the record of the ring that comes next, also when that is not read until long after, or by another process. Returns 0, or -EPROTO:
 * the map is full, the batch must not be sent.
 */
int stream_batch(struct stream *s, struct vr_err *e);

/* The index of the ring whose disk has @number on the wire; -1. */
int stream_index(const struct stream *s, uint16_t number);

#endif /* AGENT_STREAM_H */
