// SPDX-License-Identifier: GPL-2.0
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* There is one terminal, and signal handlers need to reach these. */
static volatile sig_atomic_t ended, resized;
static struct termios before;
static sigset_t unblocked;
static bool full_screen, keys;

static void on_end(int sig)
{
	(void)sig;
	ended = 1;
}

static void on_resize(int sig)
{
	(void)sig;
	resized = 1;
}

void vaioctl_screen_open(bool full)
{
	struct sigaction end = { .sa_handler = on_end }, resize = { .sa_handler = on_resize };
	struct termios raw;
	sigset_t block;

	/* Delivered in vaioctl_screen_wait() only: none comes just before it. */
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGWINCH);
	sigprocmask(SIG_BLOCK, &block, &unblocked);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	full_screen = full;
	if (!full)
		return;
	sigaction(SIGWINCH, &resize, NULL);
	if (!tcgetattr(STDIN_FILENO, &before)) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		/* A stopped program would leave the shell this screen. */
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		keys = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout);
	fflush(stdout);
}

void vaioctl_screen_close(void)
{
	if (!full_screen)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	full_screen = keys = false;
}

static struct winsize screen_size(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		memset(&size, 0, sizeof(size));
	else if (!size.ws_col || !size.ws_row)
		size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	return size;
}

unsigned int vaioctl_screen_width(void)
{
	return screen_size().ws_col;
}

/*
 * Prints what fits of one line. Colour sequences take no columns; of UTF-8 only
 * the first byte of a character does: no wide characters are drawn here.
 */
static void draw_line(const char *line, size_t len, unsigned int columns)
{
	unsigned int used = 0;
	size_t i = 0, from;

	while (i < len) {
		from = i;
		if (line[i] == '\033') {
			while (i < len && line[i] != 'm')
				i++;
			if (i < len)
				i++;
		} else {
			if (used == columns)
				break;
			used++;
			i++;
			while (i < len && ((unsigned char)line[i] & 0xc0) == 0x80)
				i++;
		}
		fwrite(line + from, 1, i - from, stdout);
	}
	fputs("\033[0m\033[K", stdout);
}

void vaioctl_screen_draw(const char *text, const char *foot)
{
	struct winsize size = screen_size();
	unsigned int row;

	fputs("\033[H", stdout);
	for (row = 1; row < size.ws_row && *text; row++) {
		size_t len = strcspn(text, "\n");

		draw_line(text, len, size.ws_col);
		fputs("\r\n", stdout);
		text += len + (text[len] == '\n');
	}
	printf("\033[J\033[%uH\033[2m", size.ws_row);
	draw_line(foot, strlen(foot), size.ws_col);
	fflush(stdout);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Whether a key that ends was typed; an end of input only ends the keys. */
static bool end_typed(void)
{
	char typed[32];
	ssize_t i, n = read(STDIN_FILENO, typed, sizeof(typed));

	if (!n || (n < 0 && errno != EINTR && errno != EAGAIN))
		keys = false;
	for (i = 0; i < n; i++)
		if (typed[i] == 'q' || typed[i] == 'Q')
			return true;
	return false;
}

enum vaioctl_wake vaioctl_screen_wait(int ms)
{
	long long end = now_ms() + ms;

	for (;;) {
		struct pollfd in = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
		long long left = end - now_ms();
		struct timespec ts = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };

		if (ended)
			return VAIOCTL_WAKE_END;
		if (resized) {
			resized = 0;
			return VAIOCTL_WAKE_SIZE;
		}
		if (left <= 0)
			return VAIOCTL_WAKE_TIME;
		if (ppoll(&in, 1, &ts, &unblocked) > 0 && end_typed())
			return VAIOCTL_WAKE_END;
	}
}
