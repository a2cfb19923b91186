// SPDX-License-Identifier: GPL-2.0
/*
 * vaioctl top: rates between two looks at the statistics. On a terminal the
 * table fills the screen; elsewhere a line a disk and slot is printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../libvaio/libvaio.h"
#include "alone.h"
#include "replica.h"
#include "screen.h"

/* Without bars the table is 79 columns wide when names are short. */
#define NAME_WIDTH	16
#define CELLS_WIDTH	63
#define MAX_BAR		40

const struct vaioctl_opt top_opts[] = {
	{ "interval", "TIME", "between two looks; 1s unless given", false },
	{ "count", "N", "end after so many tables", false },
	{ "once", NULL, "one table and end: --count 1", false },
	OPT_SOCKET, OPT_AGENT,
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

static json_t *table_json(const struct look *new, const struct look *old, double secs, const struct vaioctl_args *a)
{
	json_t *disks = json_array(), *groups, *silent, *slots, *j;
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
	groups = replica_groups(a, &silent);
	return json_pack("{s:o, s:o, s:o}", "disks", disks, "groups", groups, "errors", silent);
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

struct layout {
	int name;	/* width of the first column */
	int bar;	/* width of the bars; 0: none, and no colours */
	double most;	/* requests a second that fill a bar */
};

static void disk_line(FILE *f, const struct vaio_stats *s, const struct rates *r, const struct layout *l)
{
	char p50[40], p99[40], reads[256], writes[256];

	latency_text(r->usual_us, p50, sizeof(p50));
	latency_text(r->worst_us, p99, sizeof(p99));
	fprintf(f, "%s%-*s%s %7.0f %7.0f %7.0f %7.1f %7.1f %7.0f %7s %7s", l->bar ? "\033[1m" : "", l->name, s->name,
		l->bar ? "\033[0m" : "", r->reads, r->writes, r->others, r->read_bytes / 1e6, r->write_bytes / 1e6, r->failed,
		p50, p99);
	if (l->bar) {
		/* Reads green, writes yellow, side by side in one bar of the busiest disk's length. */
		vaioctl_bar(reads, sizeof(reads), r->reads, l->most, l->bar);
		vaioctl_bar(writes, sizeof(writes), r->writes, l->most, l->bar);
		fprintf(f, " %s\033[32m%s\033[33m%s\033[0m", r->failed > 0 ? "\033[31m!\033[0m" : " ", reads, writes);
	}
	putc('\n', f);
}

static void slot_line(FILE *f, const struct vaio_slot_counts *c, const struct vaio_slot_counts *p, double secs,
		      const struct layout *l)
{
	char lat[40] = "-";

	if (c->has_latency && since(c->deferred, p ? p->deferred : 0))
		latency_text(percentile(c->latency, p && p->has_latency ? p->latency : NULL, 0.99), lat, sizeof(lat));
	fprintf(f, "  %-*s %7.0f %7llu %7.0f %7.0f %7s %7.0f %7s %7s\n", l->name - 2, c->filter,
		(double)since(c->deferred, p ? p->deferred : 0) / secs, (unsigned long long)c->parked,
		(double)since(c->completed, p ? p->completed : 0) / secs, (double)since(c->own_io, p ? p->own_io : 0) / secs, "",
		(double)since(c->failed, p ? p->failed : 0) / secs, "", lat);
}

/* @columns of a terminal; 0 draws plain lines. */
static void table_text(FILE *f, const struct look *new, const struct look *old, double secs, unsigned int columns,
		       const struct vaioctl_args *a)
{
	struct rates *r = calloc(new->n ? new->n : 1, sizeof(*r));
	struct layout l = { .name = NAME_WIDTH, .most = 1 };
	unsigned int i, k;
	int room;

	if (!r)
		return;
	for (i = 0; i < new->n; i++) {
		int len = (int)strlen(new->list[i].name);

		get_rates(&new->list[i], same_disk(old, new->list[i].uuid), secs, &r[i]);
		if (r[i].reads + r[i].writes > l.most)
			l.most = r[i].reads + r[i].writes;
		if (len > l.name)
			l.name = len;
	}
	if (columns) {
		/* The bar keeps a width, so that the table stands still; one cell is for rounding. */
		room = (int)columns - l.name - CELLS_WIDTH - 4;
		l.bar = room > MAX_BAR ? MAX_BAR : room > 1 ? room : 1;
	}
	fprintf(f, "%s%-*s %7s %7s %7s %7s %7s %7s %7s %7s%s\n", columns ? "\033[1m" : "", l.name, "DISK", "READ/s", "WRITE/s",
		"OTHER/s", "rd MB/s", "wr MB/s", "FAIL/s", "P50", "P99", columns ? "\033[0m" : "");
	fprintf(f, "%s  %-*s %7s %7s %7s %7s %7s %7s %7s %7s%s\n", columns ? "\033[2m" : "", l.name - 2, "SLOT", "DEFER/s",
		"PARKED", "DONE/s", "OWN/s", "", "FAIL/s", "", "P99", columns ? "\033[0m" : "");
	for (i = 0; i < new->n; i++) {
		const struct vaio_stats *s = &new->list[i], *o = same_disk(old, s->uuid);

		disk_line(f, s, &r[i], &l);
		for (k = 0; k < s->n_slots; k++)
			slot_line(f, &s->slots[k], same_slot(o, s->slots[k].filter), secs, &l);
	}
	if (!new->n)
		fprintf(f, "no disks\n");
	free(r);
	replica_table(f, a);
}

static void draw_screen(const struct look *new, const struct look *old, uint64_t interval, const struct vaioctl_args *a)
{
	char *text = NULL, foot[64], clock[16] = "";
	time_t t = time(NULL);
	struct tm tm;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	table_text(f, new, old, new->at - old->at, vaioctl_screen_width(), a);
	fclose(f);
	if (localtime_r(&t, &tm))
		strftime(clock, sizeof(clock), "%T", &tm);
	snprintf(foot, sizeof(foot), "%s  every %g s  q: quit", clock, (double)interval / 1000);
	vaioctl_screen_draw(text, foot);
	free(text);
}

/* --- the loop --------------------------------------------------------------------------- */

static int look(struct vaio_nl *nl, struct look *l, struct vaio_err *e)
{
	l->at = now();
	/* A host with replicas only. */
	if (!nl)
		return VAIO_OK;
	return vaio_nl_stats_all(nl, &l->list, &l->n, e);
}

static int top_loop(struct vaio_nl *nl, const struct vaioctl_args *a, uint64_t interval, uint64_t count, bool full, bool json,
		    struct vaio_err *e)
{
	struct look before = { 0 }, old = { 0 }, new = { 0 };
	enum vaioctl_wake wake;
	int rc;

	rc = look(nl, &old, e);
	if (!rc && full)
		draw_screen(&old, &old, interval, a);
	while (!rc && (wake = vaioctl_screen_wait((int)interval)) != VAIOCTL_WAKE_END) {
		if (wake == VAIOCTL_WAKE_SIZE) {
			draw_screen(&old, before.at ? &before : &old, interval, a);
			continue;
		}
		rc = look(nl, &new, e);
		if (rc)
			break;
		if (full) {
			draw_screen(&new, &old, interval, a);
		} else if (json) {
			json_t *j = table_json(&new, &old, new.at - old.at, a);

			json_dumpf(j, stdout, JSON_COMPACT);
			json_decref(j);
			putchar('\n');
		} else {
			table_text(stdout, &new, &old, new.at - old.at, 0, a);
		}
		fflush(stdout);
		vaio_stats_list_free(before.list, before.n);
		before = old;
		old = new;
		memset(&new, 0, sizeof(new));
		if (ferror(stdout) || (count && !--count))
			break;
	}
	vaio_stats_list_free(before.list, before.n);
	vaio_stats_list_free(old.list, old.n);
	return rc;
}

int cmd_top(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	uint64_t interval = 1000, count = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc = VAIO_OK;
	bool full;

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
	if (rc && !vaioctl_has(a, "socket") && !vaioctl_has(a, "agent") && access(REPLICAD_SOCKET, F_OK))
		return vaioctl_fail_err(cmd, rc, &e);
	if (rc)
		nl = NULL;
	full = g->color && !g->json && count != 1;
	vaioctl_screen_open(full);
	rc = top_loop(nl, a, interval, count, full, g->json, &e);
	vaioctl_screen_close();
	if (nl)
		vaio_nl_close(nl);
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}
