/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers with units, UUIDs and words: from text and to text. */
#ifndef LIBVAIO_UNITS_H
#define LIBVAIO_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * A size in bytes: a number with B, KiB, MiB, GiB or TiB ("1.5GiB"), or "s" for
 * 512-byte sectors. A bare number is refused: it could mean any of them.
 */
int vaio_parse_size(const char *text, uint64_t *bytes, struct vaio_err *e);

/* A time in milliseconds: a number with ms, s, min or h. */
int vaio_parse_time(const char *text, uint64_t *ms, struct vaio_err *e);

/* The same in nanoseconds: how far back something goes, 100 years at most. */
int vaio_parse_span(const char *text, uint64_t *ns, struct vaio_err *e);

/* A time in nanoseconds: a number with us, ms or s. */
int vaio_parse_latency(const char *text, uint64_t *ns, struct vaio_err *e);

/* A bare decimal number within [min, max]. */
int vaio_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct vaio_err *e);

/* "1.5 GiB", "312 KiB", "17 B". */
const char *vaio_format_size(char *buf, size_t size, double bytes);

/* "12 us", "1.5 ms", "3 s". */
const char *vaio_format_us(char *buf, size_t size, double us);

/* Is it a lower-case UUID with dashes, as the table wants it? */
bool vaio_uuid_valid(const char *text);

/* Checks and lowers a UUID given by people; @out holds VAIO_UUID_STR_LEN. */
int vaio_uuid_parse(const char *text, char *out, struct vaio_err *e);

/* A random (version 4) one. */
int vaio_uuid_random(char *out, struct vaio_err *e);

/* Letters, digits and "#+-.:=@_": what device-mapper keeps as it is, no '/'. */
bool vaio_dm_name_valid(const char *name);

/* Letters, digits, '-' and '_', shorter than VAIO_NAME_LEN. */
bool vaio_name_valid(const char *name);

/* No blank, no backslash, printable, 1 to VAIO_VALUE_LEN - 1 bytes. */
bool vaio_value_valid(const char *value);

#endif /* LIBVAIO_UNITS_H */
