// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration file: "word = value" lines, for all groups; after a line "[name]" for the
 * group of that name. '#' begins a comment.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

#define MAX_LINES	10000

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (*s == ' ' || *s == '\t')
		s++;
	while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n' || end[-1] == '\r'))
		*--end = 0;
	return s;
}

/* "UUID:COUNTER:FIRST", as `vaioctl replica commit` says it. */
static bool read_generation(const char *value, struct vr_generation *g)
{
	char id[37], back[100];

	memset(g, 0, sizeof(*g));
	if (sscanf(value, "%36[0-9a-f-]:%" SCNu64 ":%" SCNu64, id, &g->counter, &g->first_seq) != 3)
		return false;
	snprintf(back, sizeof(back), "%s:%" PRIu64 ":%" PRIu64, id, g->counter, g->first_seq);
	return !strcmp(back, value) && uuid_bytes(id, g->id) && !vr_is_nil(g->id) && g->counter > 1 &&
	       g->counter <= VAIO_RW_MAX_SEQ && g->first_seq && g->first_seq <= VAIO_RW_MAX_SEQ;
}

static int set_word(const char *word, const char *value, struct group_config *c, struct vaio_err *e)
{
	uint64_t n = 0;
	int rc = VAIO_OK;

	if (!strcmp(word, "pki")) {
		if (!*value || strlen(value) >= sizeof(c->pki))
			return vaio_fail(e, VAIO_USAGE, "pki: '%s' is not 1 to %zu bytes long", value, sizeof(c->pki) - 1);
		strcpy(c->pki, value);
	} else if (!strcmp(word, "compress")) {
		if (strcmp(value, "none"))
			rc = vaio_parse_number(value, 1, 19, &n, e);
		if (rc)
			return vaio_fail(e, VAIO_USAGE, "compress: '%s' is not one of none, 1 to 19", value);
		c->compress = (int)n;
	} else if (!strcmp(word, "rate")) {
		if (strcmp(value, "any"))
			rc = vaio_parse_size(value, &n, e);
		if (rc || (strcmp(value, "any") && n < 65536))
			return vaio_fail(e, VAIO_USAGE, "rate: '%s' is not one of any, a size of 64KiB or more for each second",
					 value);
		c->rate = n;
	} else if (!strcmp(word, "guest")) {
		if (!uuid_bytes(value, c->guest))
			return vaio_fail(e, VAIO_USAGE, "guest: '%s' is no UUID", value);
	} else if (!strcmp(word, "generation")) {
		if (!read_generation(value, &c->generation))
			return vaio_fail(e, VAIO_USAGE, "generation: '%s' is not UUID:COUNTER:FIRST", value);
	} else {
		return vaio_fail(e, VAIO_USAGE, "'%s' is unknown: accepted are pki, compress, rate, guest, generation", word);
	}
	return VAIO_OK;
}

static int read_file(FILE *f, const char *name, struct group_config *c, struct vaio_err *e)
{
	char line[1024], *at, *equals;
	bool mine = true;
	struct group_config unused;

	for (int nr = 1; fgets(line, sizeof(line), f); nr++) {
		int rc;

		at = strchr(line, '#');
		if (at)
			*at = 0;
		at = trim(line);
		if (!*at)
			continue;
		if (nr > MAX_LINES)
			return vaio_fail(e, VAIO_USAGE, "more than %d lines", MAX_LINES);
		if (*at == '[') {
			if (at[strlen(at) - 1] != ']')
				return vaio_fail(e, VAIO_USAGE, "line %d: '%s' is no [group]", nr, at);
			at[strlen(at) - 1] = 0;
			if (!vaio_name_valid(at + 1))
				return vaio_fail(e, VAIO_USAGE, "line %d: '%s' is no name of a group", nr, at + 1);
			mine = !strcmp(at + 1, name);
			continue;
		}
		equals = strchr(at, '=');
		if (!equals)
			return vaio_fail(e, VAIO_USAGE, "line %d: '%s' is not 'word = value'", nr, at);
		*equals = 0;
		/* Others' lines are checked too: a wrong word is told of at once. */
		unused = *c;
		rc = set_word(trim(at), trim(equals + 1), mine ? c : &unused, e);
		if (rc)
			return vaio_fail_prefix(e, rc, "line %d", nr);
	}
	return VAIO_OK;
}

int config_read(const char *name, struct group_config *c, struct vaio_err *e)
{
	FILE *f = fopen(config.file, "re");
	int rc;

	memset(c, 0, sizeof(*c));
	snprintf(c->pki, sizeof(c->pki), "%s", config.pki);
	if (!f && errno == ENOENT)
		return VAIO_OK;
	if (!f)
		return vaio_fail_errno(e, VAIO_FAILED, "%s", config.file);
	rc = read_file(f, name, c, e);
	fclose(f);
	return rc ? vaio_fail_prefix(e, rc, "%s", config.file) : VAIO_OK;
}

int target_parse(const char *target, char *host, size_t host_size, char *port, size_t port_size, struct vaio_err *e)
{
	const char *colon = strrchr(target, ':'), *end;
	struct vaio_err ignored;
	uint64_t n = VAIO_RW_PORT;

	if (*target == '[') {
		end = strchr(target, ']');
		if (!end || (end[1] && end[1] != ':'))
			return vaio_fail(e, VAIO_USAGE, "target '%s' is not HOST, HOST:PORT or [ADDRESS]:PORT", target);
		colon = end[1] ? end + 1 : NULL;
		target++;
	} else {
		if (colon && strchr(target, ':') != colon)
			return vaio_fail(e, VAIO_USAGE, "target '%s': an address with colons is written [ADDRESS]:PORT", target);
		end = colon ? colon : target + strlen(target);
	}
	if (end == target || (size_t)(end - target) >= host_size || strcspn(target, " \t/") < (size_t)(end - target))
		return vaio_fail(e, VAIO_USAGE, "target '%s' is not HOST, HOST:PORT or [ADDRESS]:PORT", target);
	if (colon && vaio_parse_number(colon + 1, 1, 65535, &n, &ignored))
		return vaio_fail(e, VAIO_USAGE, "target '%s': '%s' is no port, 1 to 65535", target, colon + 1);
	snprintf(host, host_size, "%.*s", (int)(end - target), target);
	snprintf(port, port_size, "%u", (unsigned int)n);
	return VAIO_OK;
}
