/* SPDX-License-Identifier: GPL-2.0 */
/* Messages of the wire other than batches: checked, and what they say decoded. */
#ifndef LIBREPLICA_MESSAGE_H
#define LIBREPLICA_MESSAGE_H

#include <stddef.h>

#include "history.h"

/* Fills the header for a payload of @len bytes. */
void vr_message_header(struct vaio_rw_msg *h, uint16_t type, const void *payload, size_t len);

/* Checks a header; the length of its payload is within the limits of its type. -EPROTO. */
int vr_message_check_header(const struct vaio_rw_msg *h, uint16_t *type, size_t *len, struct vr_err *e);

/*
 * Checks a payload (aligned to 8): its CRC, length and fields. After this the structures of
 * replica-wire.h may be read from it as they stand. Batches only by their length. -EPROTO.
 */
int vr_message_check(const struct vaio_rw_msg *h, const void *payload, size_t len, struct vr_err *e);

struct vr_hello {
	uint8_t group[VAIO_RW_ID_LEN], host[VAIO_RW_ID_LEN], ring[VAIO_RW_ID_LEN];
	uint64_t required, connection, first_seq, next_seq, acked_seq;
	uint32_t version_min, version_max, flags;
	unsigned int nr_generations;
	char host_name[VAIO_RW_NAME_LEN], group_name[VAIO_RW_NAME_LEN];
	struct vr_generation generations[VAIO_RW_MAX_GENERATIONS];
};

/* From a payload that vr_message_check() found right. */
void vr_hello_decode(const void *payload, struct vr_hello *h);

/*
 * May a source with these generations go on with a history that ends with @g at
 * @durable_seq? Else says how they forked.
 */
int vr_generations_follow(const struct vr_hello *h, const struct vr_generation *g, uint64_t durable_seq,
			  struct vr_err *e);

#endif /* LIBREPLICA_MESSAGE_H */
