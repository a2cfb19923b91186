// SPDX-License-Identifier: GPL-2.0
/*
 * vaioctl top: rates between two looks at the statistics. On a terminal the
 * table is drawn anew at each look; elsewhere a line a disk and slot is printed.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../libvaio/libvaio.h"
#include "alone.h"

#define BAR 16

const struct vaioctl_opt top_opts[] = {
	{ "interval", "TIME", "between two looks; 1s unless given", false },
	{ "count", "N", "end after so many tables", false },
	{ "once", NULL, "one table and end: --count 1", false },
	{ 0 },
};

struct look {
	struct vaio_stats *list;
	unsigned int n;
	double at;	/* seconds, monotonic */
};

/* What changed between two looks at one disk, by second. */
struct rates {
	double reads, writes, others, read_bytes, write_bytes, failed;
	double usual_us, worst_us;	/* median and 99 %; negative: not counted */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const struct vaio_stats *same_disk(const struct look *l, const char *uuid)
{
	unsigned int i;

	for (i = 0; i < l->n; i++)
		if (!strcmp(l->list[i].uuid, uuid))
			return &l->list[i];
	return NULL;
}

static const struct vaio_slot_counts *same_slot(const struct vaio_stats *s, const char *filter)
{
	unsigned int i;

	for (i = 0; s && i < s->n_slots; i++)
		if (!strcmp(s->slots[i].filter, filter))
			return &s->slots[i];
	return NULL;
}

/* Counters start again at zero when a disk was attached anew. */
static uint64_t since(uint64_t new, uint64_t old)
{
	return new >= old ? new - old : new;
}

/* The upper bound of the bucket that holds the given share, in microseconds. */
static double percentile(const uint64_t *new, const uint64_t *old, double share)
{
	uint64_t sum = 0, part = 0;
	int i;

	for (i = 0; i < VAIO_HIST_BUCKETS; i++)
		sum += since(new[i], old ? old[i] : 0);
	if (!sum)
		return 0;
	for (i = 0; i < VAIO_HIST_BUCKETS; i++) {
		part += since(new[i], old ? old[i] : 0);
		if ((double)part >= share * (double)sum)
			break;
	}
	return (double)(2ULL << i);
}

static void get_rates(const struct vaio_stats *s, const struct vaio_stats *old, double secs, struct rates *r)
{
	unsigned int k;

	memset(r, 0, sizeof(*r));
	for (k = 0; k < __VAIO_KIND_COUNT; k++) {
		double count = (double)since(s->kind[k].count, old ? old->kind[k].count : 0) / secs;
		double bytes = (double)since(s->kind[k].bytes, old ? old->kind[k].bytes : 0) / secs;

		r->failed += (double)since(s->kind[k].failed, old ? old->kind[k].failed : 0) / secs;
		if (k == VAIO_KIND_READ) {
			r->reads += count;
			r->read_bytes += bytes;
		} else if (k == VAIO_KIND_WRITE || k == VAIO_KIND_WRITE_FUA) {
			r->writes += count;
			r->write_bytes += bytes;
		} else {
			r->others += count;
		}
	}
	r->usual_us = r->worst_us = -1;
	if (s->has_latency) {
		r->usual_us = percentile(s->latency, old && old->has_latency ? old->latency : NULL, 0.5);
		r->worst_us = percentile(s->latency, old && old->has_latency ? old->latency : NULL, 0.99);
	}
}

/* --- output ------------------------------------------------------------------------- */

static json_t *table_json(const struct look *new, const struct look *old, double secs)
{
	json_t *disks = json_array(), *slots, *j;
	unsigned int i, k;

	for (i = 0; i < new->n; i++) {
		const struct vaio_stats *s = &new->list[i], *o = same_disk(old, s->uuid);
		struct rates r;

		get_rates(s, o, secs, &r);
		slots = json_array();
		for (k = 0; k < s->n_slots; k++) {
			const struct vaio_slot_counts *c = &s->slots[k], *p = same_slot(o, c->filter);

			json_array_append_new(slots, json_pack("{s:s, s:f, s:f, s:I}", "filter", c->filter, "deferred_per_s",
							       (double)since(c->deferred, p ? p->deferred : 0) / secs,
							       "failed_per_s",
							       (double)since(c->failed, p ? p->failed : 0) / secs, "parked",
							       (json_int_t)c->parked));
		}
		j = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "name", s->name, "uuid", s->uuid,
			      "reads_per_s", r.reads, "writes_per_s", r.writes, "others_per_s", r.others,
			      "read_bytes_per_s", r.read_bytes, "write_bytes_per_s", r.write_bytes, "failed_per_s", r.failed,
			      "slots", slots);
		if (r.usual_us >= 0) {
			json_object_set_new(j, "latency_p50_us", json_real(r.usual_us));
			json_object_set_new(j, "latency_p99_us", json_real(r.worst_us));
		}
		json_array_append_new(disks, j);
	}
	return disks;
}

static void latency_text(double us, char *buf, size_t size)
{
	char t[32];

	if (us < 0)
		snprintf(buf, size, "-");
	else if (!us)
		snprintf(buf, size, "0");
	else
		snprintf(buf, size, "<%s", vaio_format_us(t, sizeof(t), us));
}

static void disk_line(const struct vaio_stats *s, const struct rates *r, double most, bool color)
{
	char p50[40], p99[40], bar[128], cells[96];
	int width;

	latency_text(r->usual_us, p50, sizeof(p50));
	latency_text(r->worst_us, p99, sizeof(p99));
	printf("%s%-20s%s %9.0f %9.0f %9.0f %9.1f %9.1f %8.0f %9s %9s", color ? "\033[1m" : "", s->name, color ? "\033[0m" : "",
	       r->reads, r->writes, r->others, r->read_bytes / 1e6, r->write_bytes / 1e6, r->failed, p50, p99);
	if (color) {
		double whole = most > 0 ? most : 1;

		/* Reads green, writes yellow, side by side in one bar of the busiest disk's length. */
		vaioctl_bar(bar, sizeof(bar), r->reads, whole, BAR);
		vaioctl_bar(cells, sizeof(cells), r->writes, whole, BAR);
		width = r->failed > 0;
		printf("  \033[32m%s\033[33m%s\033[0m%s", bar, cells, width ? " \033[31m!\033[0m" : "");
	}
	putchar('\n');
}

static void slot_line(const struct vaio_slot_counts *c, const struct vaio_slot_counts *p, double secs)
{
	char lat[40] = "-";

	if (c->has_latency && since(c->deferred, p ? p->deferred : 0))
		latency_text(percentile(c->latency, p && p->has_latency ? p->latency : NULL, 0.99), lat, sizeof(lat));
	printf("  %-18s deferred %.0f/s, parked %llu, completed %.0f/s, failed %.0f/s, own I/O %.0f/s, deferred p99 %s\n",
	       c->filter, (double)since(c->deferred, p ? p->deferred : 0) / secs, (unsigned long long)c->parked,
	       (double)since(c->completed, p ? p->completed : 0) / secs, (double)since(c->failed, p ? p->failed : 0) / secs,
	       (double)since(c->own_io, p ? p->own_io : 0) / secs, lat);
}

static void table_text(const struct look *new, const struct look *old, double secs, bool color)
{
	struct rates *r = calloc(new->n ? new->n : 1, sizeof(*r));
	double most = 0;
	unsigned int i, k;

	if (!r)
		return;
	for (i = 0; i < new->n; i++) {
		get_rates(&new->list[i], same_disk(old, new->list[i].uuid), secs, &r[i]);
		if (r[i].reads + r[i].writes > most)
			most = r[i].reads + r[i].writes;
	}
	if (color)
		printf("\033[H\033[J");
	printf("%-20s %9s %9s %9s %9s %9s %8s %9s %9s\n", "DISK", "READ/s", "WRITE/s", "OTHER/s", "READ MB/s", "WRITE MB/s",
	       "FAIL/s", "P50", "P99");
	for (i = 0; i < new->n; i++) {
		const struct vaio_stats *s = &new->list[i], *o = same_disk(old, s->uuid);

		disk_line(s, &r[i], most, color);
		for (k = 0; k < s->n_slots; k++)
			slot_line(&s->slots[k], same_slot(o, s->slots[k].filter), secs);
	}
	if (!new->n)
		printf("no disks\n");
	free(r);
	fflush(stdout);
}

/* --- the loop --------------------------------------------------------------------------- */

static int look(struct vaio_nl *nl, struct look *l, struct vaio_err *e)
{
	l->at = now();
	return vaio_nl_stats_all(nl, &l->list, &l->n, e);
}

static int top_loop(struct vaio_nl *nl, uint64_t interval, uint64_t count, const struct vaioctl_globals *g,
		    struct vaio_err *e)
{
	struct look old = { 0 }, new = { 0 };
	bool redraw = g->color && !g->json && count != 1;
	int rc;

	rc = look(nl, &old, e);
	while (!rc && !interrupted) {
		poll(NULL, 0, (int)interval);
		if (interrupted)
			break;
		rc = look(nl, &new, e);
		if (rc)
			break;
		if (g->json) {
			json_t *j = table_json(&new, &old, new.at - old.at);

			json_dumpf(j, stdout, JSON_COMPACT);
			json_decref(j);
			putchar('\n');
			fflush(stdout);
		} else {
			table_text(&new, &old, new.at - old.at, redraw);
		}
		vaio_stats_list_free(old.list, old.n);
		old = new;
		memset(&new, 0, sizeof(new));
		if (ferror(stdout) || (count && !--count))
			break;
	}
	vaio_stats_list_free(old.list, old.n);
	return rc;
}

int cmd_top(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct sigaction act = { .sa_handler = on_interrupt };
	uint64_t interval = 1000, count = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc = VAIO_OK;

	if (vaioctl_has(a, "interval")) {
		rc = vaio_parse_time(vaioctl_opt(a, "interval"), &interval, &e);
		if (!rc && (interval < 10 || interval > 3600000))
			rc = vaio_fail(&e, VAIO_USAGE, "'%s': accepted are 10ms to 1h", vaioctl_opt(a, "interval"));
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--interval: %s", e.text);
	}
	if (vaioctl_has(a, "count")) {
		rc = vaio_parse_number(vaioctl_opt(a, "count"), 1, UINT32_MAX, &count, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--count: %s", e.text);
	}
	if (vaioctl_has(a, "once")) {
		if (count > 1)
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--once and --count exclude each other");
		count = 1;
	}
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rc = top_loop(nl, interval, count, g, &e);
	vaio_nl_close(nl);
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}
