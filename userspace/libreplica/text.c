// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <string.h>

#include "text.h"

/* Bytes of the character that is there, 0: of none that may be in a text. Ends at the NUL at the latest. */
static size_t character(const char *text)
{
	const uint8_t *t = (const uint8_t *)text;
	uint32_t c = t[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 1)
		return c >= 0x20 && c != 0x7f;
	if (!n)
		return 0;
	c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((t[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (t[i] & 0x3f);
	}
	/* Longer than it needs to be, a half of UTF-16's pairs, beyond Unicode, or a control character of the second kind. */
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff || c < 0xa0)
		return 0;
	return n;
}

bool vr_text_utf8(const char *text)
{
	for (size_t n; *text; text += n) {
		n = character(text);
		if (!n)
			return false;
	}
	return true;
}

void vr_text_clean(char *text)
{
	while (*text) {
		size_t n = character(text);

		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

size_t vr_text_cut(const char *text, size_t len, size_t max)
{
	size_t n = max;

	if (len <= max)
		return len;
	while (n && max - n < 3 && (text[n] & 0xc0) == 0x80)
		n--;
	/* It was none: a cut does it no harm. */
	return (text[n] & 0xc0) == 0x80 ? max : n;
}
