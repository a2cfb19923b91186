/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A full-screen table on a terminal: the alternate screen, keys as they are
 * typed, and frames cropped to the size that the terminal has now.
 */
#ifndef VAIOCTL_SCREEN_H
#define VAIOCTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

enum vaioctl_wake {
	VAIOCTL_WAKE_TIME,	/* the time is over */
	VAIOCTL_WAKE_SIZE,	/* the terminal's size changed: draw again */
	VAIOCTL_WAKE_END,	/* q, or a signal that asks to end */
};

/*
 * Takes SIGINT, SIGTERM and SIGWINCH for vaioctl_screen_wait(), and with @full
 * the terminal: to be given back with vaioctl_screen_close().
 */
void vaioctl_screen_open(bool full);
void vaioctl_screen_close(void);

/* Columns of the terminal on stdout; 0: it is none. */
unsigned int vaioctl_screen_width(void);

/*
 * Draws @text, lines with colour sequences and UTF-8, from the top left. What
 * does not fit is left out; @foot is drawn in the last line.
 */
void vaioctl_screen_draw(const char *text, const char *foot);

/* Waits @ms milliseconds at most. */
enum vaioctl_wake vaioctl_screen_wait(int ms);

#endif /* VAIOCTL_SCREEN_H */
