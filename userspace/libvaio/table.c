// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "units.h"

/* --- words of a line ----------------------------------------------------- */

struct words {
	char *copy;
	char *save;
	bool begun;
	const char *last;	/* for messages: the word before the end */
};

static const char *next_word(struct words *w)
{
	char *word = strtok_r(w->begun ? NULL : w->copy, " \t\n", &w->save);

	w->begun = true;
	if (word)
		w->last = word;
	return word;
}

static int want_word(struct words *w, const char *what, const char **out, struct vaio_err *e)
{
	*out = next_word(w);
	if (*out)
		return VAIO_OK;
	return vaio_fail(e, VAIO_USAGE, "table ends after '%s' where %s is expected", w->last ? w->last : "", what);
}

static int want_number(struct words *w, const char *what, uint64_t max, uint64_t *out, struct vaio_err *e)
{
	const char *word;
	int rc = want_word(w, what, &word, e);

	if (rc)
		return rc;
	rc = vaio_parse_number(word, 0, max, out, e);
	return rc ? vaio_fail_prefix(e, rc, "table: %s", what) : VAIO_OK;
}

static int copy_word(char *dst, size_t size, const char *what, const char *word, struct vaio_err *e)
{
	if (strlen(word) >= size)
		return vaio_fail(e, VAIO_USAGE, "table: %s '%.32s...' is longer than %zu bytes", what, word, size - 1);
	strcpy(dst, word);
	return VAIO_OK;
}

/* --- parsing -------------------------------------------------------------- */

static int choice(const char *name, const char *value, const char *yes, const char *no, bool *out, struct vaio_err *e)
{
	*out = !strcmp(value, yes);
	if (*out || (no && !strcmp(value, no)))
		return VAIO_OK;
	return vaio_fail(e, VAIO_USAGE, "table: feature '%s': '%s' is not one of %s%s%s", name, value, yes,
			 no ? ", " : "", no ? no : "");
}

static int parse_feature(const char *name, const char *value, struct vaio_table *t, struct vaio_err *e)
{
	int rc;

	if (!strcmp(name, "uuid")) {
		rc = vaio_uuid_parse(value, t->uuid, e);
		return rc ? vaio_fail_prefix(e, rc, "table: feature 'uuid'") : VAIO_OK;
	}
	if (!strcmp(name, "sidecar"))
		return copy_word(t->sidecar, sizeof(t->sidecar), "sidecar", value, e);
	if (!strcmp(name, "identity"))
		return copy_word(t->identity, sizeof(t->identity), "identity", value, e);
	if (!strcmp(name, "cleartext_filters"))
		return choice(name, value, "deny", "allow", &t->deny_cleartext, e);
	if (!strcmp(name, "latency"))
		return choice(name, value, "on", "off", &t->latency, e);
	if (!strcmp(name, "takeover"))
		return choice(name, value, "yes", NULL, &t->takeover, e);
	return choice(name, value, "yes", NULL, &t->lose_dirty, e);
}

static int parse_features(struct words *w, uint64_t n, struct vaio_table *t, struct vaio_err *e)
{
	static const char *const names[] = {
		"uuid", "sidecar", "identity", "cleartext_filters", "latency", "takeover", "lose_dirty_blocks", NULL
	};
	const char *name, *value;
	unsigned int seen = 0;
	int i, rc;

	if (n % 2)
		return vaio_fail(e, VAIO_USAGE, "table: %llu feature words are not pairs of name and value",
				 (unsigned long long)n);
	for (; n; n -= 2) {
		rc = want_word(w, "a feature's name", &name, e);
		if (!rc)
			rc = want_word(w, "a feature's value", &value, e);
		if (rc)
			return rc;
		for (i = 0; names[i] && strcmp(names[i], name); i++)
			;
		if (!names[i])
			return vaio_fail(e, VAIO_USAGE, "table: feature '%s' is not one of uuid, sidecar, identity, "
					 "cleartext_filters, latency, takeover, lose_dirty_blocks", name);
		if (seen & (1U << i))
			return vaio_fail(e, VAIO_USAGE, "table: feature '%s' is given twice", name);
		seen |= 1U << i;
		rc = parse_feature(name, value, t, e);
		if (rc)
			return rc;
	}
	if (!(seen & 1))
		return vaio_fail(e, VAIO_USAGE, "table: feature 'uuid' is missing");
	return VAIO_OK;
}

static int parse_filter(struct words *w, struct vaio_table *t, struct vaio_err *e)
{
	struct vaio_table_filter *f;
	const char *name, *prop, *value;
	uint64_t n;
	int rc;

	rc = want_word(w, "a filter's name", &name, e);
	if (!rc)
		rc = vaio_table_add_filter(t, name, &f, e);
	if (!rc)
		rc = want_number(w, "a filter's number of words", 2 * VAIO_TABLE_MAX_PROPS, &n, e);
	if (rc)
		return rc;
	if (n % 2)
		return vaio_fail(e, VAIO_USAGE, "table: filter '%s': %llu words are not pairs of name and value", name,
				 (unsigned long long)n);
	for (; n; n -= 2) {
		rc = want_word(w, "a property's name", &prop, e);
		if (!rc)
			rc = want_word(w, "a property's value", &value, e);
		if (!rc)
			rc = vaio_table_add_prop(f, prop, value, e);
		if (rc)
			return rc;
	}
	return VAIO_OK;
}

static int parse_words(struct words *w, struct vaio_table *t, struct vaio_err *e)
{
	uint64_t begin, n;
	const char *word;
	int rc;

	rc = want_number(w, "the start", UINT64_MAX, &begin, e);
	if (rc)
		return rc;
	if (begin)
		return vaio_fail(e, VAIO_USAGE, "table: start is %llu, a vaio table starts at 0",
				 (unsigned long long)begin);
	rc = want_number(w, "the length", UINT64_MAX >> 9, &t->sectors, e);
	if (rc)
		return rc;
	if (!t->sectors)
		return vaio_fail(e, VAIO_USAGE, "table: length is 0");
	rc = want_word(w, "the target's name", &word, e);
	if (rc)
		return rc;
	if (strcmp(word, "vaio"))
		return vaio_fail(e, VAIO_USAGE, "table: target is '%s', not vaio", word);
	rc = want_word(w, "the backing device", &word, e);
	if (!rc)
		rc = copy_word(t->backing, sizeof(t->backing), "backing device", word, e);
	if (!rc)
		rc = want_number(w, "the offset", UINT64_MAX >> 9, &t->offset, e);
	if (!rc)
		rc = want_number(w, "the number of feature words", 64, &n, e);
	if (!rc)
		rc = parse_features(w, n, t, e);
	if (!rc)
		rc = want_number(w, "the number of filters", VAIO_TABLE_MAX_FILTERS, &n, e);
	for (; !rc && n; n--)
		rc = parse_filter(w, t, e);
	if (rc)
		return rc;
	word = next_word(w);
	if (word)
		return vaio_fail(e, VAIO_USAGE, "table: '%s' after its end", word);
	return VAIO_OK;
}

int vaio_table_parse(const char *line, struct vaio_table *t, struct vaio_err *e)
{
	struct words w = { 0 };
	int rc;

	memset(t, 0, sizeof(*t));
	if (strlen(line) >= VAIO_TABLE_LINE)
		return vaio_fail(e, VAIO_USAGE, "table is longer than %d bytes", VAIO_TABLE_LINE - 1);
	w.copy = strdup(line);
	if (!w.copy)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	rc = parse_words(&w, t, e);
	free(w.copy);
	if (rc)
		vaio_table_free(t);
	return rc;
}

/* --- making --------------------------------------------------------------- */

struct out {
	char *buf;
	size_t size, used;
	bool full;
};

__attribute__((format(printf, 2, 3)))
static void put(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->buf + o->used, o->size - o->used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= o->size - o->used)
		o->full = true;
	else
		o->used += (size_t)n;
}

int vaio_table_params(const struct vaio_table *t, char *buf, size_t size, struct vaio_err *e)
{
	struct out o = { .buf = buf, .size = size };
	unsigned int words, i, j;

	words = 2 + (t->sidecar[0] ? 2 : 0) + (t->identity[0] ? 2 : 0) + (t->deny_cleartext ? 2 : 0) +
		(t->latency ? 2 : 0) + (t->takeover ? 2 : 0) + (t->lose_dirty ? 2 : 0);
	put(&o, "%s %llu %u uuid %s", t->backing, (unsigned long long)t->offset, words, t->uuid);
	if (t->sidecar[0])
		put(&o, " sidecar %s", t->sidecar);
	if (t->identity[0])
		put(&o, " identity %s", t->identity);
	if (t->deny_cleartext)
		put(&o, " cleartext_filters deny");
	if (t->latency)
		put(&o, " latency on");
	if (t->takeover)
		put(&o, " takeover yes");
	if (t->lose_dirty)
		put(&o, " lose_dirty_blocks yes");
	put(&o, " %u", t->n_filters);
	for (i = 0; i < t->n_filters; i++) {
		const struct vaio_table_filter *f = &t->filters[i];

		put(&o, " %s %u", f->name, 2 * f->n_props);
		for (j = 0; j < f->n_props; j++)
			put(&o, " %s %s", f->props[j].name, f->props[j].value);
	}
	if (o.full)
		return vaio_fail(e, VAIO_FAILED, "table is longer than %zu bytes", size - 1);
	return VAIO_OK;
}

int vaio_table_line(const struct vaio_table *t, char *buf, size_t size, struct vaio_err *e)
{
	int n = snprintf(buf, size, "0 %llu vaio ", (unsigned long long)t->sectors);

	if (n < 0 || (size_t)n >= size)
		return vaio_fail(e, VAIO_FAILED, "table is longer than %zu bytes", size - 1);
	return vaio_table_params(t, buf + n, size - (size_t)n, e);
}

/* --- changing -------------------------------------------------------------- */

struct vaio_table_filter *vaio_table_find(struct vaio_table *t, const char *filter)
{
	unsigned int i;

	for (i = 0; i < t->n_filters; i++)
		if (!strcmp(t->filters[i].name, filter))
			return &t->filters[i];
	return NULL;
}

const char *vaio_table_prop(const struct vaio_table_filter *f, const char *name)
{
	unsigned int i;

	for (i = 0; i < f->n_props; i++)
		if (!strcmp(f->props[i].name, name))
			return f->props[i].value;
	return NULL;
}

int vaio_table_add_filter(struct vaio_table *t, const char *name, struct vaio_table_filter **f, struct vaio_err *e)
{
	struct vaio_table_filter *new;

	if (!vaio_name_valid(name))
		return vaio_fail(e, VAIO_USAGE, "filter '%s': accepted are 1 to %d letters, digits, '-' and '_'", name,
				 VAIO_NAME_LEN - 1);
	if (vaio_table_find(t, name))
		return vaio_fail(e, VAIO_USAGE, "filter '%s' is given twice", name);
	if (t->n_filters == VAIO_TABLE_MAX_FILTERS)
		return vaio_fail(e, VAIO_USAGE, "filter '%s': a table takes %d filters at most", name,
				 VAIO_TABLE_MAX_FILTERS);
	new = &t->filters[t->n_filters++];
	strcpy(new->name, name);
	if (f)
		*f = new;
	return VAIO_OK;
}

int vaio_table_add_prop(struct vaio_table_filter *f, const char *name, const char *value, struct vaio_err *e)
{
	struct vaio_table_prop *p;

	if (!vaio_name_valid(name))
		return vaio_fail(e, VAIO_USAGE, "filter '%s': property '%s': accepted are 1 to %d letters, digits, '-' "
				 "and '_'", f->name, name, VAIO_NAME_LEN - 1);
	if (!vaio_value_valid(value))
		return vaio_fail(e, VAIO_USAGE, "filter '%s', property '%s': a value has 1 to %d printable bytes without "
				 "blank and backslash", f->name, name, VAIO_VALUE_LEN - 1);
	if (vaio_table_prop(f, name))
		return vaio_fail(e, VAIO_USAGE, "filter '%s': property '%s' is given twice", f->name, name);
	if (f->n_props == VAIO_TABLE_MAX_PROPS)
		return vaio_fail(e, VAIO_USAGE, "filter '%s': takes %d properties at most", f->name,
				 VAIO_TABLE_MAX_PROPS);
	p = realloc(f->props, (f->n_props + 1) * sizeof(*p));
	if (!p)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	f->props = p;
	p = &f->props[f->n_props++];
	memset(p, 0, sizeof(*p));
	strcpy(p->name, name);
	strcpy(p->value, value);
	return VAIO_OK;
}

int vaio_table_add_filter_spec(struct vaio_table *t, const char *spec, struct vaio_err *e)
{
	struct vaio_table_filter *f;
	char *copy = strdup(spec), *save, *word, *eq;
	int rc;

	if (!copy)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	word = strtok_r(copy, ",", &save);
	rc = vaio_table_add_filter(t, word ? word : "", &f, e);
	while (!rc && (word = strtok_r(NULL, ",", &save))) {
		eq = strchr(word, '=');
		if (!eq) {
			rc = vaio_fail(e, VAIO_USAGE, "filter '%s': '%s' is not of the form property=value", f->name, word);
			break;
		}
		*eq = 0;
		rc = vaio_table_add_prop(f, word, eq + 1, e);
	}
	free(copy);
	return rc;
}

bool vaio_table_has_key(const struct vaio_table *t)
{
	unsigned int i;

	for (i = 0; i < t->n_filters; i++)
		if (vaio_table_prop(&t->filters[i], "key"))
			return true;
	return false;
}

void vaio_table_free(struct vaio_table *t)
{
	unsigned int i;

	for (i = 0; i < t->n_filters; i++)
		free(t->filters[i].props);
	memset(t, 0, sizeof(*t));
}
