// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "agent.h"

uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void uuid_text(const uint8_t *id, char text[37])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = hex[id[i] >> 4];
		*text++ = hex[id[i] & 15];
	}
	*text = 0;
}

bool uuid_bytes(const char *text, uint8_t *id)
{
	char back[37];

	if (strlen(text) != 36)
		return false;
	for (int i = 0, at = 0; i < 16; i++, at += 2) {
		unsigned int byte;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			at++;
		if (sscanf(text + at, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	uuid_text(id, back);
	return !strcmp(back, text);
}
