// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "err.h"
#include "text.h"

int vr_fail(struct vr_err *e, int err, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
		/* Names of elsewhere are in it, and some are cut. */
		vr_text_clean(e->text);
	}
	return err;
}

int vr_fail_errno(struct vr_err *e, int err, const char *fmt, ...)
{
	struct rlimit files;
	va_list ap;
	size_t n;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
		n = strlen(e->text);
		/* What is there to be done is not known to everybody. */
		if (err == -EMFILE && !getrlimit(RLIMIT_NOFILE, &files))
			snprintf(e->text + n, sizeof(e->text) - n, ": %s: the limit is %llu (ulimit -n, LimitNOFILE= of a service)",
				 strerror(-err), (unsigned long long)files.rlim_cur);
		else
			snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(-err));
		vr_text_clean(e->text);
	}
	return err;
}
