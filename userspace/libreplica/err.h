/* SPDX-License-Identifier: GPL-2.0 */
/* How libreplica fails: -errno, and a sentence. */
#ifndef LIBREPLICA_ERR_H
#define LIBREPLICA_ERR_H

struct vr_err {
	char text[256];		/* one sentence for people, no newline */
};

/* Writes the text, returns @err (a negative errno). @e may be NULL. */
__attribute__((format(printf, 3, 4)))
int vr_fail(struct vr_err *e, int err, const char *fmt, ...);

/* The same with ": <text of the errno>" after it. */
__attribute__((format(printf, 3, 4)))
int vr_fail_errno(struct vr_err *e, int err, const char *fmt, ...);

#endif /* LIBREPLICA_ERR_H */
