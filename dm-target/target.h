/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DM_VAIO_TARGET_H
#define _DM_VAIO_TARGET_H

#include "core.h"

/* Words that a table may have; more is refused before anything is parsed. */
#define VAIO_MAX_WORDS	512

/* Largest discard, write-zeroes or secure erase that reaches a stack, 512-byte units. */
#define VAIO_MAX_ERASE	(128U << (20 - SECTOR_SHIFT))

/* table.c */
int vaio_table_parse(struct vaio_stack *stack, unsigned int argc, char **argv, char **error);
void vaio_table_free(struct vaio_stack *stack);

/* status.c */
void vaio_target_status(struct dm_target *ti, status_type_t type, unsigned int flags,
			char *result, unsigned int maxlen);
int vaio_target_message(struct dm_target *ti, unsigned int argc, char **argv,
			char *result, unsigned int maxlen);

#endif /* _DM_VAIO_TARGET_H */
