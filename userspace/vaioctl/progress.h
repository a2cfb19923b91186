/* SPDX-License-Identifier: GPL-2.0 */
/* How far a long operation is: a line on stderr, when that is a terminal. */
#ifndef VAIOCTL_PROGRESS_H
#define VAIOCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct vaioctl_progress {
	const char *what;	/* "comparing" */
	uint64_t total;		/* bytes */
	double began, drawn;	/* monotonic seconds */
	bool on;
};

void vaioctl_progress_begin(struct vaioctl_progress *p, const char *what, uint64_t total);
/* @done bytes in all; draws a few times a second. */
void vaioctl_progress_at(struct vaioctl_progress *p, uint64_t done);
/* Takes the line away. */
void vaioctl_progress_end(struct vaioctl_progress *p);

#endif /* VAIOCTL_PROGRESS_H */
