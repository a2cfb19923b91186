// SPDX-License-Identifier: GPL-2.0
/* vaioctl disk: list, show, set, stats. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "disk.h"

dev_t disk_dev(uint64_t dev)
{
	return makedev((unsigned int)(dev >> 32), (unsigned int)dev);
}

void disk_backing_text(dev_t dev, char *buf, size_t size)
{
	if (!vaio_loop_file(dev, buf, size))
		vaio_blockdev_path(dev, buf, size);
}

const char *disk_stack_text(const struct vaio_disk_info *d, char *buf, size_t size)
{
	size_t used = 0;
	unsigned int i;

	snprintf(buf, size, "%s", d->n_slots ? "" : "-");
	for (i = 0; i < d->n_slots && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? " > " : "", d->slots[i].filter);
	return buf;
}

static json_t *pairs_json(const struct vaio_pair *p, unsigned int n)
{
	json_t *o = json_object();
	unsigned int i;

	for (i = 0; i < n; i++)
		json_object_set_new(o, p[i].name, json_string(p[i].value));
	return o;
}

json_t *disk_json(const struct vaio_disk_info *d)
{
	char text[512], node[256];
	json_t *j, *slots = json_array(), *backing;
	unsigned int i;

	for (i = 0; i < d->n_slots; i++) {
		const struct vaio_slot_info *s = &d->slots[i];

		json_array_append_new(slots, json_pack("{s:s, s:s, s:s, s:o}", "filter", s->filter, "class",
						       vaio_word(vaio_class_names, s->class), "state", s->state,
						       "properties", pairs_json(s->props, s->n_props)));
	}
	vaio_blockdev_path(disk_dev(d->backing_dev), node, sizeof(node));
	backing = json_pack("{s:s, s:s, s:I}", "device", node, "table", d->backing, "offset_bytes",
			    (json_int_t)(d->offset * 512));
	if (vaio_loop_file(disk_dev(d->backing_dev), text, sizeof(text)))
		json_object_set_new(backing, "image", json_string(text));
	snprintf(node, sizeof(node), "/dev/mapper/%s", d->name);
	j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:o, s:o}", "name", d->name, "uuid", d->uuid, "device", node,
		      "state", vaio_word(vaio_disk_state_names, d->state), "bytes", (json_int_t)(d->sectors * 512),
		      "block_size", (int)d->block_size, "backing", backing, "slots", slots);
	if (d->reason[0])
		json_object_set_new(j, "reason", json_string(d->reason));
	if (d->sidecar[0])
		json_object_set_new(j, "sidecar", json_string(d->sidecar));
	return j;
}

/* --- list, show ---------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vaio_disk_info *)a)->name, ((const struct vaio_disk_info *)b)->name);
}

static int disk_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	char size[32], stack[256], backing[512];
	struct vaio_disk_info *d;
	struct vaio_nl *nl;
	struct vaio_err e;
	unsigned int i, n;
	json_t *list;
	int rc;

	(void)a;
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_disks(nl, &d, &n, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (n)
		qsort(d, n, sizeof(*d), by_name);
	if (g->json) {
		list = json_array();
		for (i = 0; i < n; i++)
			json_array_append_new(list, disk_json(&d[i]));
		vaio_disk_infos_free(d, n);
		return vaioctl_print_json(list);
	}
	printf("%-20s %10s %-10s %-28s %s\n", "NAME", "SIZE", "STATE", "STACK", "BACKING");
	for (i = 0; i < n; i++) {
		disk_backing_text(disk_dev(d[i].backing_dev), backing, sizeof(backing));
		printf("%-20s %10s %-10s %-28s %s\n", d[i].name,
		       vaio_format_size(size, sizeof(size), (double)d[i].sectors * 512),
		       vaio_word(vaio_disk_state_names, d[i].state), disk_stack_text(&d[i], stack, sizeof(stack)), backing);
	}
	vaio_disk_infos_free(d, n);
	return VAIO_OK;
}

static void show_text(const struct vaio_disk_info *d)
{
	char size[32], backing[512], node[256];
	unsigned int i, j;

	vaio_blockdev_path(disk_dev(d->backing_dev), node, sizeof(node));
	printf("disk       %s\n", d->name);
	printf("uuid       %s\n", d->uuid);
	printf("device     /dev/mapper/%s (%u:%u)\n", d->name, (unsigned int)(d->dev >> 32), (unsigned int)d->dev);
	printf("size       %s (%llu bytes, blocks of %u)\n", vaio_format_size(size, sizeof(size), (double)d->sectors * 512),
	       (unsigned long long)d->sectors * 512, d->block_size);
	printf("state      %s%s%s\n", vaio_word(vaio_disk_state_names, d->state), d->reason[0] ? ": " : "", d->reason);
	printf("backing    %s, from byte %llu\n", node, (unsigned long long)d->offset * 512);
	if (vaio_loop_file(disk_dev(d->backing_dev), backing, sizeof(backing)))
		printf("image      %s\n", backing);
	printf("sidecar    %s\n", d->sidecar[0] ? d->sidecar : "none");
	printf("stack      %s\n", d->n_slots ? "top to bottom" : "empty");
	for (i = 0; i < d->n_slots; i++) {
		const struct vaio_slot_info *s = &d->slots[i];

		printf("  %-12s %-16s %s\n", vaio_word(vaio_class_names, s->class), s->filter, s->state);
		for (j = 0; j < s->n_props; j++)
			printf("      %s = %s\n", s->props[j].name, s->props[j].value);
	}
}

static int disk_show(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	json_t *list = json_array();
	struct vaio_disk_info d;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc, i, failed = 0;

	rc = vaio_nl_open(&nl, &e);
	if (rc) {
		json_decref(list);
		return vaioctl_fail_err(cmd, rc, &e);
	}
	for (i = 0; i < a->n_operands; i++) {
		int one = vaio_nl_disk(nl, a->operand[i], &d, &e);

		if (one) {
			rc = vaioctl_fail_err(cmd, one, &e);
			failed++;
			continue;
		}
		if (g->json)
			json_array_append_new(list, disk_json(&d));
		else
			show_text(&d);
		if (!g->json && i + 1 < a->n_operands)
			putchar('\n');
		vaio_disk_info_free(&d);
	}
	vaio_nl_close(nl);
	if (failed && failed < a->n_operands)
		rc = VAIO_PARTIAL;
	if (g->json && failed < a->n_operands)
		vaioctl_print_json(list);
	else
		json_decref(list);
	return rc;
}

/* --- set ------------------------------------------------------------------------- */

static int disk_set(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	char prop[VAIO_NAME_LEN];
	struct vaio_nl *nl;
	struct vaio_err e;
	int i, rc, done = 0;

	(void)g;
	/* All words are looked at before the first is sent. */
	for (i = 2; i < a->n_operands; i++) {
		const char *eq = strchr(a->operand[i], '=');

		if (!eq || eq == a->operand[i] || eq - a->operand[i] >= VAIO_NAME_LEN || !vaio_value_valid(eq + 1))
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "'%s' is not of the form property=value", a->operand[i]);
	}
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	for (i = 2; i < a->n_operands && !rc; i++) {
		const char *eq = strchr(a->operand[i], '=');

		snprintf(prop, sizeof(prop), "%.*s", (int)(eq - a->operand[i]), a->operand[i]);
		rc = vaio_nl_set(nl, a->operand[0], a->operand[1], prop, eq + 1, &e);
		if (!rc)
			done++;
	}
	vaio_nl_close(nl);
	if (rc && done)
		return vaioctl_cmd_fail(cmd, VAIO_PARTIAL, "%s; the %d properties before it are set", e.text, done);
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}

/* --- stats ------------------------------------------------------------------------- */

static json_t *hist_json(const uint64_t *h)
{
	json_t *a = json_array();
	int i;

	for (i = 0; i < VAIO_HIST_BUCKETS; i++)
		json_array_append_new(a, json_integer((json_int_t)h[i]));
	return a;
}

static json_t *stats_json(const struct vaio_stats *s)
{
	json_t *kinds = json_object(), *slots = json_array(), *j;
	unsigned int i;

	for (i = 0; i < __VAIO_KIND_COUNT; i++)
		json_object_set_new(kinds, vaio_kind_names[i],
				    json_pack("{s:I, s:I, s:I}", "count", (json_int_t)s->kind[i].count, "bytes",
					      (json_int_t)s->kind[i].bytes, "failed", (json_int_t)s->kind[i].failed));
	for (i = 0; i < s->n_slots; i++) {
		const struct vaio_slot_counts *c = &s->slots[i];

		j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "filter", c->filter, "completed",
			      (json_int_t)c->completed, "failed", (json_int_t)c->failed, "deferred", (json_int_t)c->deferred,
			      "parked", (json_int_t)c->parked, "own_io", (json_int_t)c->own_io, "counters",
			      pairs_json(c->counters, c->n_counters));
		if (c->has_latency)
			json_object_set_new(j, "defer_latency_us_log2", hist_json(c->latency));
		json_array_append_new(slots, j);
	}
	j = json_pack("{s:s, s:s, s:o, s:o}", "name", s->name, "uuid", s->uuid, "kinds", kinds, "slots", slots);
	if (s->has_latency)
		json_object_set_new(j, "latency_us_log2", hist_json(s->latency));
	return j;
}

static void draw_hist(const char *title, const uint64_t *h, bool color)
{
	uint64_t most = 0, sum = 0, so_far = 0;
	char bar[256], from[32];
	int i, first = -1, last = -1;

	for (i = 0; i < VAIO_HIST_BUCKETS; i++) {
		sum += h[i];
		if (h[i] > most)
			most = h[i];
		if (h[i]) {
			first = first < 0 ? i : first;
			last = i;
		}
	}
	printf("\n%s\n", title);
	if (first < 0) {
		printf("  nothing yet\n");
		return;
	}
	for (i = first; i <= last; i++) {
		so_far += h[i];
		printf("  %s %8s  %12llu %6.2f%%  %s%s%s\n", i ? ">=" : " <",
		       vaio_format_us(from, sizeof(from), i ? (double)(1ULL << i) : 2), (unsigned long long)h[i],
		       100.0 * (double)so_far / (double)sum, color ? "\033[36m" : "",
		       vaioctl_bar(bar, sizeof(bar), (double)h[i], (double)most, 40), color ? "\033[0m" : "");
	}
}

/*
 * A filter's own histograms are counters like "4:17,5:203": bucket and count, as
 * Documentation/qos.md has it. Returns whether this is one.
 */
static bool read_hist(const char *text, uint64_t h[VAIO_HIST_BUCKETS])
{
	char *end;

	memset(h, 0, VAIO_HIST_BUCKETS * sizeof(*h));
	do {
		unsigned long bucket;

		if (!isdigit((unsigned char)*text))
			return false;
		bucket = strtoul(text, &end, 10);
		if (*end != ':' || bucket >= VAIO_HIST_BUCKETS || !isdigit((unsigned char)end[1]))
			return false;
		h[bucket] = strtoull(end + 1, &end, 10);
		text = end + 1;
	} while (*end == ',');
	return !*end;
}

static void draw_filter_hists(const struct vaio_slot_counts *c, bool color)
{
	uint64_t h[VAIO_HIST_BUCKETS];
	char title[128];
	unsigned int i;

	for (i = 0; i < c->n_counters; i++) {
		if (!read_hist(c->counters[i].value, h))
			continue;
		snprintf(title, sizeof(title), "%s: %s", c->filter, c->counters[i].name);
		draw_hist(title, h, color);
	}
}

static void stats_text(const struct vaio_stats *s, bool color)
{
	uint64_t h[VAIO_HIST_BUCKETS];
	char size[32], title[128];
	unsigned int i, j;

	printf("disk %s (%s)\n\n%-14s %14s %12s %10s\n", s->name, s->uuid, "KIND", "COUNT", "DATA", "FAILED");
	for (i = 0; i < __VAIO_KIND_COUNT; i++)
		printf("%-14s %14llu %12s %10llu\n", vaio_kind_names[i], (unsigned long long)s->kind[i].count,
		       vaio_format_size(size, sizeof(size), (double)s->kind[i].bytes),
		       (unsigned long long)s->kind[i].failed);
	if (s->n_slots)
		printf("\n%-14s %12s %10s %12s %8s %10s\n", "SLOT", "COMPLETED", "FAILED", "DEFERRED", "PARKED", "OWN I/O");
	for (i = 0; i < s->n_slots; i++) {
		const struct vaio_slot_counts *c = &s->slots[i];

		printf("%-14s %12llu %10llu %12llu %8llu %10llu\n", c->filter, (unsigned long long)c->completed,
		       (unsigned long long)c->failed, (unsigned long long)c->deferred, (unsigned long long)c->parked,
		       (unsigned long long)c->own_io);
		for (j = 0; j < c->n_counters; j++)
			if (!read_hist(c->counters[j].value, h))
				printf("    %s = %s\n", c->counters[j].name, c->counters[j].value);
	}
	if (s->has_latency)
		draw_hist("latency of the whole stack (requests, share so far)", s->latency, color);
	for (i = 0; i < s->n_slots; i++) {
		if (!s->slots[i].has_latency || !s->slots[i].deferred)
			continue;
		snprintf(title, sizeof(title), "%s: how long requests were deferred", s->slots[i].filter);
		draw_hist(title, s->slots[i].latency, color);
	}
	for (i = 0; i < s->n_slots; i++)
		draw_filter_hists(&s->slots[i], color);
}

static int disk_stats(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_stats *list = NULL, one;
	json_t *all = json_array();
	unsigned int i, n = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	rc = vaio_nl_open(&nl, &e);
	if (!rc && a->n_operands) {
		rc = vaio_nl_stats(nl, a->operand[0], &one, &e);
		list = rc ? NULL : malloc(sizeof(one));
		if (list) {
			list[0] = one;
			n = 1;
		}
	} else if (!rc) {
		rc = vaio_nl_stats_all(nl, &list, &n, &e);
	}
	vaio_nl_close(nl);
	for (i = 0; i < n; i++) {
		if (g->json) {
			json_array_append_new(all, stats_json(&list[i]));
			continue;
		}
		if (i)
			putchar('\n');
		stats_text(&list[i], g->color);
	}
	vaio_stats_list_free(list, n);
	if (g->json && !rc)
		return vaioctl_print_json(all);
	json_decref(all);
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}

const struct vaioctl_cmd vaioctl_disk_cmds[] = {
	{
		.noun = "disk", .verb = "list", .run = disk_list,
		.summary = "disks of this host, their state, stack and backing",
	}, {
		.noun = "disk", .verb = "show", .run = disk_show, .operands = "NAME|UUID...", .min_operands = 1,
		.max_operands = -1, .summary = "everything about a disk: slots, properties, reason of its state",
	}, {
		.noun = "disk", .verb = "attach", .run = disk_attach, .operands = "NAME", .min_operands = 1, .max_operands = 1,
		.opts = disk_attach_opts, .summary = "make a disk with a stack of filters over a device or a raw image",
		.text = "The disk becomes /dev/mapper/NAME. Filters may be given in any order: the stack is in\n"
			"class order. On any failure everything is undone.",
	}, {
		.noun = "disk", .verb = "detach", .run = disk_detach, .operands = "NAME|UUID", .min_operands = 1,
		.max_operands = 1, .opts = disk_detach_opts, .summary = "remove a disk; what backs it stays as it is",
	}, {
		.noun = "disk", .verb = "grow", .run = disk_grow, .operands = "NAME|UUID", .min_operands = 1,
		.max_operands = 1, .opts = disk_grow_opts, .summary = "take over a larger backing while I/O goes on",
	}, {
		.noun = "disk", .verb = "set", .run = disk_set, .operands = "NAME|UUID FILTER PROP=VALUE...",
		.min_operands = 3, .max_operands = -1, .summary = "change live properties of a filter on a disk",
	}, {
		.noun = "disk", .verb = "stats", .run = disk_stats, .operands = "[NAME|UUID]", .max_operands = 1,
		.summary = "requests, slots and latency histograms; of all disks without a name",
		.text = "Latency of the stack is counted when the disk was attached with --latency or a filter asks.",
	},
	{ 0 },
};
