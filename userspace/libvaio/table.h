/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table line of target "vaio", parsed and made:
 *
 *	0 <len> vaio <dev> <offset> <#feature words> uuid <u> [sidecar <dev>]
 *		[identity <string>] [cleartext_filters allow|deny] [latency on|off]
 *		[takeover yes] [lose_dirty_blocks yes]
 *		<#filters> { <filter> <#words> <name> <value> ... }*
 *
 * It knows the grammar, not the properties of filters: those are the kernel's.
 */
#ifndef LIBVAIO_TABLE_H
#define LIBVAIO_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/vaio.h>

#include "err.h"

#define VAIO_TABLE_MAX_FILTERS	16
#define VAIO_TABLE_MAX_PROPS	64
#define VAIO_TABLE_LINE		16384	/* longest line that is made or taken */

struct vaio_table_prop {
	char name[VAIO_NAME_LEN];
	char value[VAIO_VALUE_LEN];
};

struct vaio_table_filter {
	char name[VAIO_NAME_LEN];
	unsigned int n_props;
	struct vaio_table_prop *props;
};

struct vaio_table {
	uint64_t sectors;			/* 512-byte units */
	char backing[VAIO_DEVNAME_LEN];		/* a path or major:minor */
	uint64_t offset;			/* 512-byte units */
	char uuid[VAIO_UUID_STR_LEN];
	char sidecar[VAIO_DEVNAME_LEN];		/* empty: none */
	char identity[VAIO_VALUE_LEN];		/* empty: none */
	bool deny_cleartext;
	bool latency;
	bool takeover;				/* take the disk from the host that has it */
	bool lose_dirty;			/* though blocks in a cache elsewhere are lost */
	unsigned int n_filters;
	struct vaio_table_filter filters[VAIO_TABLE_MAX_FILTERS];
};

/* Parses a whole line; @t is zeroed first and needs vaio_table_free() after success. */
int vaio_table_parse(const char *line, struct vaio_table *t, struct vaio_err *e);

/* Makes the part after "0 <len> vaio ", as libdevmapper wants it. */
int vaio_table_params(const struct vaio_table *t, char *buf, size_t size, struct vaio_err *e);

/* Makes the whole line. */
int vaio_table_line(const struct vaio_table *t, char *buf, size_t size, struct vaio_err *e);

/*
 * Adds a filter, or a property to a filter of the table. Names and values are
 * checked. A filter or property that is there already is refused.
 */
int vaio_table_add_filter(struct vaio_table *t, const char *name, struct vaio_table_filter **f, struct vaio_err *e);
int vaio_table_add_prop(struct vaio_table_filter *f, const char *name, const char *value, struct vaio_err *e);

struct vaio_table_filter *vaio_table_find(struct vaio_table *t, const char *filter);
const char *vaio_table_prop(const struct vaio_table_filter *f, const char *name);

/* "NAME[,prop=value]...": one --filter of the command line. */
int vaio_table_add_filter_spec(struct vaio_table *t, const char *spec, struct vaio_err *e);

/* Does the table name a key of the kernel's keyring? */
bool vaio_table_has_key(const struct vaio_table *t);

void vaio_table_free(struct vaio_table *t);

#endif /* LIBVAIO_TABLE_H */
