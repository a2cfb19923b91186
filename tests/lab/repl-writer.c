// SPDX-License-Identifier: GPL-2.0
/*
 * Ordered streams of stamped writes over several disks.
 *
 *   repl-writer --streams N --count N [--max BYTES] [--seed N] [--discard] [--flush] [--errors] DEV...
 *
 * Each stream is a thread. It writes its next stamp, on a disk and at a place that
 * it draws, 512 bytes to --max at a time, waits for the acknowledgement, and goes
 * on; with --flush it waits for a flush now and then. Places of streams overlap. With --count 0 it writes until SIGTERM comes.
 * With --errors a stream whose write fails goes on with the same number, at another place; else it ends there.
 * Prints the longest time that a write took, in milliseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "repl-stamp.h"

#define MAX_DEVS 8

static int devs[MAX_DEVS], nr_devs;
static uint64_t bytes[MAX_DEVS];
static unsigned long count = 1000;
static unsigned int max_bytes = 65536, seed = 1;
static bool discard, flush, errors;
static volatile sig_atomic_t stopped;

struct stream {
	unsigned int id;
	unsigned int rand;
	double longest;
	int error;
};

static void on_term(int sig)
{
	(void)sig;
	stopped = 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static uint64_t draw(struct stream *s, uint64_t below)
{
	return (((uint64_t)(unsigned int)rand_r(&s->rand) << 31) | (unsigned int)rand_r(&s->rand)) % below;
}

static int one(struct stream *s, uint64_t number, uint8_t *buf)
{
	struct stamp stamp = { .magic = STAMP_MAGIC, .number = number, .stream = s->id };
	int dev = (int)draw(s, (uint64_t)nr_devs);
	uint64_t len = (1 + draw(s, max_bytes / 512)) * 512, at;
	uint64_t range[2];

	/* mostly small ones, which overlap the large */
	if (draw(s, 4))
		len = (1 + draw(s, 8)) * 512;
	at = draw(s, (bytes[dev] - len) / 512) * 512;
	if (discard && !draw(s, 16)) {
		range[0] = at;
		range[1] = len;
		if (ioctl(devs[dev], draw(s, 2) ? BLKDISCARD : BLKZEROOUT, range))
			return errno;
		return -1;	/* it takes no number */
	}
	memset(buf, (int)(number * 7 + s->id), len);
	memcpy(buf, &stamp, sizeof(stamp));
	if (pwrite(devs[dev], buf, len, (off_t)at) != (ssize_t)len)
		return errno;
	if (flush && !draw(s, 32) && fdatasync(devs[dev]))
		return errno;
	return 0;
}

static void *run(void *arg)
{
	struct stream *s = arg;
	uint64_t number = 1;
	uint8_t *buf;
	double t;
	int err;

	if (posix_memalign((void **)&buf, 4096, max_bytes))
		exit(3);
	while (!stopped && (!count || number <= count)) {
		t = now();
		err = one(s, number, buf);
		t = now() - t;
		if (t > s->longest)
			s->longest = t;
		if (err > 0 && !errors) {
			s->error = err;
			break;
		}
		number += err == 0;
	}
	free(buf);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "streams", 1, NULL, 's' }, { "count", 1, NULL, 'c' }, { "max", 1, NULL, 'm' },
		{ "seed", 1, NULL, 'r' }, { "discard", 0, NULL, 'd' },
		{ "flush", 0, NULL, 'f' }, { "errors", 0, NULL, 'e' }, { NULL, 0, NULL, 0 },
	};
	struct stream s[STAMP_STREAMS] = { 0 };
	pthread_t thread[STAMP_STREAMS];
	unsigned int streams = 4, i;
	double longest = 0;
	int c, status = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			streams = (unsigned int)atoi(optarg);
			break;
		case 'c':
			count = strtoul(optarg, NULL, 10);
			break;
		case 'm':
			max_bytes = (unsigned int)atoi(optarg);
			break;
		case 'r':
			seed = (unsigned int)atoi(optarg);
			break;
		case 'd':
			discard = true;
			break;
		case 'f':
			flush = true;
			break;
		case 'e':
			errors = true;
			break;
		default:
			return 2;
		}
	}
	for (; optind < argc && nr_devs < MAX_DEVS; optind++, nr_devs++) {
		devs[nr_devs] = open(argv[optind], O_RDWR | O_DIRECT);
		if (devs[nr_devs] < 0 || ioctl(devs[nr_devs], BLKGETSIZE64, &bytes[nr_devs])) {
			perror(argv[optind]);
			return 2;
		}
	}
	if (!nr_devs || !streams || streams > STAMP_STREAMS)
		return 2;
	signal(SIGTERM, on_term);
	for (i = 0; i < streams; i++) {
		s[i].id = i;
		s[i].rand = seed * 1000 + i;
		if (pthread_create(&thread[i], NULL, run, &s[i]))
			return 3;
	}
	for (i = 0; i < streams; i++) {
		pthread_join(thread[i], NULL);
		if (s[i].longest > longest)
			longest = s[i].longest;
		if (s[i].error) {
			fprintf(stderr, "stream %u: %s\n", i, strerror(s[i].error));
			status = 1;
		}
	}
	printf("longest %.0f ms\n", longest);
	return status;
}
