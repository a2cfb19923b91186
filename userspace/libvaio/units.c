// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <linux/vaio.h>

#include "units.h"

#define MAX_SPAN_MS	(876000ULL * 3600 * 1000)

struct unit {
	const char *name;
	double factor;
};

static const struct unit sizes[] = {
	{ "B", 1 }, { "s", 512 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 },
	{ "TiB", 1099511627776.0 }, { NULL, 0 },
};

static const struct unit times[] = {
	{ "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }, { NULL, 0 },
};

static const struct unit latencies[] = {
	{ "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 },
};

/* Digits with at most one point, then a unit; nothing else. */
static int parse_with_unit(const char *text, const struct unit *units, const char *accepted, uint64_t *out,
			   struct vaio_err *e)
{
	char number[32];
	size_t n = strspn(text, "0123456789.");
	const char *point = memchr(text, '.', n);
	double value;

	if (!n || n >= sizeof(number) || text[0] == '.' ||
	    (point && (memchr(point + 1, '.', n - (point + 1 - text)) || point == text + n - 1)))
		return vaio_fail(e, VAIO_USAGE, "'%s' is not a number with a unit: accepted are %s", text, accepted);
	memcpy(number, text, n);
	number[n] = 0;
	value = strtod(number, NULL);
	for (; units->name; units++) {
		if (strcmp(units->name, text + n))
			continue;
		value *= units->factor;
		if (value >= 9.2e18)
			return vaio_fail(e, VAIO_USAGE, "'%s' is too large", text);
		if (value != floor(value))
			return vaio_fail(e, VAIO_USAGE, "'%s' is not a whole number of the smallest unit", text);
		/* Whole numbers above 2^53 would lose their last bits in a double. */
		*out = point ? (uint64_t)value : strtoull(number, NULL, 10) * (uint64_t)units->factor;
		return VAIO_OK;
	}
	if (!text[n])
		return vaio_fail(e, VAIO_USAGE, "'%s' lacks a unit: accepted are %s", text, accepted);
	return vaio_fail(e, VAIO_USAGE, "'%s': unit '%s' is unknown: accepted are %s", text, text + n, accepted);
}

int vaio_parse_size(const char *text, uint64_t *bytes, struct vaio_err *e)
{
	return parse_with_unit(text, sizes, "B, KiB, MiB, GiB, TiB, and s for 512-byte sectors", bytes, e);
}

int vaio_parse_time(const char *text, uint64_t *ms, struct vaio_err *e)
{
	return parse_with_unit(text, times, "ms, s, min, h", ms, e);
}

int vaio_parse_span(const char *text, uint64_t *ns, struct vaio_err *e)
{
	uint64_t ms;
	int rc = vaio_parse_time(text, &ms, e);

	if (!rc && ms > MAX_SPAN_MS)
		rc = vaio_fail(e, VAIO_USAGE, "'%s': accepted are up to 876000h, 100 years", text);
	if (!rc)
		*ns = ms * 1000000;
	return rc;
}

int vaio_parse_latency(const char *text, uint64_t *ns, struct vaio_err *e)
{
	return parse_with_unit(text, latencies, "us, ms, s", ns, e);
}

int vaio_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct vaio_err *e)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || v < min || v > max)
		return vaio_fail(e, VAIO_USAGE, "'%s' is not a number from %llu to %llu", text, (unsigned long long)min,
				 (unsigned long long)max);
	*out = v;
	return VAIO_OK;
}

const char *vaio_format_size(char *buf, size_t size, double bytes)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned int i = 0;

	while (bytes >= 1024 && i < sizeof(names) / sizeof(*names) - 1) {
		bytes /= 1024;
		i++;
	}
	if (i && bytes < 10 && bytes != floor(bytes))
		snprintf(buf, size, "%.1f %s", bytes, names[i]);
	else
		snprintf(buf, size, "%.0f %s", bytes, names[i]);
	return buf;
}

const char *vaio_format_us(char *buf, size_t size, double us)
{
	const char *unit = "us";

	if (us >= 1e6) {
		us /= 1e6;
		unit = "s";
	} else if (us >= 1e3) {
		us /= 1e3;
		unit = "ms";
	}
	if (us < 10 && us != floor(us))
		snprintf(buf, size, "%.1f %s", us, unit);
	else
		snprintf(buf, size, "%.0f %s", us, unit);
	return buf;
}

bool vaio_uuid_valid(const char *text)
{
	int i;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
		} else if (!text[i] || !strchr("0123456789abcdef", text[i])) {
			return false;
		}
	}
	return !text[36];
}

int vaio_uuid_parse(const char *text, char *out, struct vaio_err *e)
{
	char low[VAIO_UUID_STR_LEN];
	size_t i;

	for (i = 0; text[i] && i < sizeof(low) - 1; i++)
		low[i] = (char)tolower((unsigned char)text[i]);
	low[i] = 0;
	if (text[i] || !vaio_uuid_valid(low))
		return vaio_fail(e, VAIO_USAGE, "'%s' is not a UUID: accepted are 32 hex digits as 8-4-4-4-12", text);
	if (!strcmp(low, "00000000-0000-0000-0000-000000000000"))
		return vaio_fail(e, VAIO_USAGE, "the nil UUID names no disk");
	memcpy(out, low, sizeof(low));
	return VAIO_OK;
}

int vaio_uuid_random(char *out, struct vaio_err *e)
{
	unsigned char b[16];
	int i, n = 0;

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return vaio_fail_errno(e, VAIO_FAILED, "no random bytes for a UUID");
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		n += sprintf(out + n, "%02x", b[i]);
	}
	return VAIO_OK;
}

static bool only(const char *text, const char *marks, size_t limit)
{
	size_t i;

	for (i = 0; text[i]; i++)
		if (i >= limit || (!isalnum((unsigned char)text[i]) && !strchr(marks, text[i])))
			return false;
	return i > 0;
}

bool vaio_dm_name_valid(const char *name)
{
	return only(name, "#+-.:=@_", VAIO_DEVNAME_LEN - 1) && strcmp(name, ".") && strcmp(name, "..") &&
	       strcmp(name, "control") && name[0] != '-';
}

bool vaio_name_valid(const char *name)
{
	return only(name, "-_", VAIO_NAME_LEN - 1);
}

bool vaio_value_valid(const char *value)
{
	size_t i;

	for (i = 0; value[i]; i++)
		if (i >= VAIO_VALUE_LEN - 1 || value[i] == '\\' || value[i] <= ' ' || value[i] == 127)
			return false;
	return i > 0;
}
