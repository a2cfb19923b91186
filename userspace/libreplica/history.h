/* SPDX-License-Identifier: GPL-2.0 */
/* Where a group stands after a record: its disks, generation, and whether the record is a point. */
#ifndef LIBREPLICA_HISTORY_H
#define LIBREPLICA_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "../../include/vaio/replica-store.h"
#include "err.h"

struct vr_member {
	uint8_t disk[VAIO_RW_ID_LEN];
	uint8_t vm[VAIO_RW_ID_LEN];
	uint64_t size;		/* bytes */
	uint64_t add_seq;	/* its MEMBER_ADD; 0: before the base */
	uint32_t block_size;
	uint16_t number;
	bool removed;
	char name[VAIO_RW_NAME_LEN];
};

struct vr_generation {
	uint8_t id[VAIO_RW_ID_LEN];
	uint64_t counter;
	uint64_t first_seq;
	uint64_t time_ns;
};

struct vr_state {
	uint64_t last_seq;
	uint64_t complete_seq;	/* newest point at or before last_seq, 0 for none */
	uint64_t generation;
	uint64_t time_ns;
	uint32_t stretch;	/* VAIO_RS_S_*; 0: last_seq is a point */
};

struct vr_history {
	struct vr_state now;
	unsigned int nr_members;
	unsigned int nr_generations;
	struct vr_generation generations[VAIO_RW_MAX_GENERATIONS];	/* the newest, oldest first */
	struct vr_member members[VAIO_RW_MAX_MEMBERS];
};

/* An empty group: no point until the first RESYNC_END. */
void vr_history_init(struct vr_history *h);

/* What @from says, without what is beyond its counts. */
void vr_history_copy(struct vr_history *to, const struct vr_history *from);

/* The disk with this number or UUID, also a removed one; NULL. Both are unique. */
struct vr_member *vr_history_member(struct vr_history *h, uint16_t number);
struct vr_member *vr_history_disk(struct vr_history *h, const uint8_t *uuid);

/* Is a record one that changes more than blocks? */
bool vr_type_is_control(uint16_t type);

/*
 * Checks one record, whose payload (for types that have a structure there) is
 * at @payload, against the history, and takes the history past it. -EPROTO with a text
 * when it may not follow; @h is then of no more use.
 */
int vr_history_record(struct vr_history *h, const struct vaio_rw_record *r, const void *payload, struct vr_err *e);

bool vr_state_equal(const struct vr_state *a, const struct vr_state *b);

/* To and from the bytes. Decoding checks and says what is wrong. */
void vr_state_encode(const struct vr_state *s, struct vaio_rs_state *d);
int vr_state_decode(const struct vaio_rs_state *d, struct vr_state *s, struct vr_err *e);
void vr_member_encode(const struct vr_member *m, struct vaio_rw_member *d);
int vr_member_decode(const struct vaio_rw_member *d, struct vr_member *m, struct vr_err *e);
void vr_generation_encode(const struct vr_generation *g, struct vaio_rw_generation *d);
int vr_generation_decode(const struct vaio_rw_generation *d, struct vr_generation *g, struct vr_err *e);

/*
 * A name or text of the wire: ends with NUL, zeroes after it, no control characters. What comes in is to be vr_text_new(), UTF-8 too;
 * a store may have what was taken before that was asked for, and what is read of it is cleaned.
 */
bool vr_text_valid(const uint8_t *text, size_t size);
bool vr_text_new(const uint8_t *text, size_t size);
bool vr_is_nil(const void *id);
bool vr_all_zero(const void *p, size_t len);

#endif /* LIBREPLICA_HISTORY_H */
