/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How libvaio reports failure: every function that can fail returns one of
 * enum vaio_rc and fills a struct vaio_err. The return codes are the exit codes
 * of vaioctl, so that a caller hands them on.
 */
#ifndef LIBVAIO_ERR_H
#define LIBVAIO_ERR_H

enum vaio_rc {
	VAIO_OK,	/* done */
	VAIO_FAILED,	/* tried and failed, nothing changed */
	VAIO_USAGE,	/* the caller's words are wrong */
	VAIO_NOTFOUND,	/* no such disk, filter, device or file */
	VAIO_INUSE,	/* somebody uses it: the text says who */
	VAIO_REFUSED,	/* for safety: the text names the flag that overrides */
	VAIO_PARTIAL,	/* some of several done */
};

struct vaio_err {
	char text[1024];	/* one sentence for people, no newline */
};

/* Writes the text and returns @rc. @e may be NULL. */
__attribute__((format(printf, 3, 4)))
int vaio_fail(struct vaio_err *e, enum vaio_rc rc, const char *fmt, ...);

/* The same with ": <text of errno>" after it. */
__attribute__((format(printf, 3, 4)))
int vaio_fail_errno(struct vaio_err *e, enum vaio_rc rc, const char *fmt, ...);

/* Puts "<prefix>: " before a text that is already there and returns @rc. */
__attribute__((format(printf, 3, 4)))
int vaio_fail_prefix(struct vaio_err *e, enum vaio_rc rc, const char *fmt, ...);

#endif /* LIBVAIO_ERR_H */
