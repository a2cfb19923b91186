// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes the table parser of libvaio. A line that it takes is made again and
 * must parse to the same line.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/libvaio/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char one[VAIO_TABLE_LINE], two[VAIO_TABLE_LINE];
	struct vaio_table t;
	struct vaio_err e;
	char *line = malloc(size + 1);

	if (!line)
		return 0;
	memcpy(line, data, size);
	line[size] = 0;
	if (vaio_table_parse(line, &t, &e) == VAIO_OK) {
		if (vaio_table_line(&t, one, sizeof(one), &e) == VAIO_OK) {
			vaio_table_free(&t);
			assert(vaio_table_parse(one, &t, &e) == VAIO_OK);
			assert(vaio_table_line(&t, two, sizeof(two), &e) == VAIO_OK);
			assert(!strcmp(one, two));
		}
		vaio_table_free(&t);
	} else {
		/* A refusal says why. */
		assert(e.text[0] && strlen(e.text) < sizeof(e.text));
	}
	/* The same bytes as one --filter of the command line. */
	memset(&t, 0, sizeof(t));
	vaio_table_add_filter_spec(&t, line, &e);
	vaio_table_free(&t);
	free(line);
	return 0;
}
