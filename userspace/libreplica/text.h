/* SPDX-License-Identifier: GPL-2.0 */
/* Texts are UTF-8 without control characters: what is not cannot be told in JSON, and does things to a terminal. */
#ifndef LIBREPLICA_TEXT_H
#define LIBREPLICA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

bool vr_text_utf8(const char *text);

/* What came from elsewhere: each byte that may not be in a text becomes '?'. The length stays. */
void vr_text_clean(char *text);

/* How much of @len bytes may be taken when there is room for @max, so that no character is cut. */
size_t vr_text_cut(const char *text, size_t len, size_t max);

#endif /* LIBREPLICA_TEXT_H */
