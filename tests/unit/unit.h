/* SPDX-License-Identifier: GPL-2.0 */
/* What the unit tests of libvaio share. */
#ifndef VAIO_UNIT_H
#define VAIO_UNIT_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/libvaio/libvaio.h"

/* The last error, and that it names @word. */
static struct vaio_err err;

static inline void assert_error(int rc, int wanted, const char *word)
{
	assert_int_equal(rc, wanted);
	if (!strstr(err.text, word))
		fail_msg("the error '%s' does not name '%s'", err.text, word);
}

/* A scratch folder, removed at exit. */
static char scratch[] = "/tmp/vaio-unit.XXXXXX";

static inline int make_scratch(void **state)
{
	(void)state;
	return !mkdtemp(scratch);
}

static inline int remove_scratch(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", scratch);
	return system(cmd);
}

static inline const char *in_scratch(const char *name)
{
	static char path[8][128];
	static int next;
	char *p = path[next++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", scratch, name);
	return p;
}

/* Runs a shell command in the scratch folder; true when it succeeded. */
__attribute__((format(printf, 1, 2)))
static inline bool sh(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >/dev/null 2>&1 && ", scratch);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	return !system(cmd);
}

#endif /* VAIO_UNIT_H */
