// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../libvaio/units.h"
#include "progress.h"
#include "vaioctl.h"

#define WIDTH	24	/* of the bar */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void vaioctl_progress_begin(struct vaioctl_progress *p, const char *what, uint64_t total)
{
	p->what = what;
	p->total = total;
	p->began = p->drawn = now();
	p->on = isatty(STDERR_FILENO);
}

void vaioctl_progress_at(struct vaioctl_progress *p, uint64_t done)
{
	double t, rate, left;
	char bar[4 * WIDTH], size[32];

	if (!p->on)
		return;
	t = now();
	if (t - p->drawn < 0.2)
		return;
	p->drawn = t;
	rate = (double)done / (t - p->began);
	left = rate > 0 ? (double)(p->total - done) / rate : 0;
	fprintf(stderr, "\r\033[K%s %3.0f %% \342\224\202%s\033[%dG\342\224\202 %s/s, %d:%02d left", p->what,
		p->total ? 100.0 * (double)done / (double)p->total : 0,
		vaioctl_bar(bar, sizeof(bar), (double)done, (double)p->total, WIDTH), (int)snprintf(NULL, 0, "%s 100 %% ", p->what) + 2 + WIDTH,
		vaio_format_size(size, sizeof(size), rate), (int)left / 60, (int)left % 60);
}

void vaioctl_progress_end(struct vaioctl_progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
	p->on = false;
}
