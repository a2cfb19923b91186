// SPDX-License-Identifier: GPL-2.0
/* vaioctl domain: disks on one backing store, as the filter of class qos sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libvaio/libvaio.h"
#include "vaioctl.h"

#define THRESHOLD_MAX_S	10

static json_t *number_or_null(uint64_t value)
{
	return value ? json_integer((json_int_t)value) : json_null();
}

static json_t *domain_json(const struct vaio_domain *d, json_t *disks)
{
	json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:b, s:b}", "name", d->name, "disks", (int)d->disks, "window",
			      (int)d->window, "in_flight", (int)d->in_flight, "queued", (int)d->queued, "contended",
			      d->contended, "rotational", d->rotational);

	json_object_set_new(j, "latency_ns", number_or_null(d->latency_ns));
	json_object_set_new(j, "threshold_ns", number_or_null(d->threshold_ns));
	json_object_set_new(j, "threshold", json_string(d->threshold_set_ns ? "set" : "auto"));
	json_object_set_new(j, "capacity_iops", number_or_null(d->capacity_iops));
	json_object_set_new(j, "capacity_bytes", number_or_null(d->capacity_bytes));
	json_object_set_new(j, "reserved_iops", json_integer((json_int_t)d->reserved_iops));
	json_object_set_new(j, "reserved_bytes", json_integer((json_int_t)d->reserved_bytes));
	if (disks)
		json_object_set_new(j, "members", disks);
	return j;
}

static const char *latency_text(char *buf, size_t size, uint64_t ns)
{
	if (!ns)
		snprintf(buf, size, "-");
	else
		vaio_format_us(buf, size, (double)ns / 1000);
	return buf;
}

static const char *iops_text(char *buf, size_t size, uint64_t iops)
{
	if (iops)
		snprintf(buf, size, "%llu", (unsigned long long)iops);
	else
		snprintf(buf, size, "-");
	return buf;
}

/* --- list ---------------------------------------------------------------------- */

static int domain_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	char latency[32], threshold[32], reserved[32], capacity[32];
	struct vaio_domain *d = NULL;
	unsigned int i, n = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	json_t *list;
	int rc;

	(void)a;
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_domains(nl, &d, &n, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (g->json) {
		list = json_array();
		for (i = 0; i < n; i++)
			json_array_append_new(list, domain_json(&d[i], NULL));
		free(d);
		return vaioctl_print_json(list);
	}
	printf("%-20s %5s %9s %6s %10s %10s %10s %10s\n", "NAME", "DISKS", "IN FLIGHT", "QUEUED", "LATENCY", "THRESHOLD",
	       "RESERVED", "CAPACITY");
	for (i = 0; i < n; i++) {
		char flight[32];

		snprintf(flight, sizeof(flight), "%u/%u", d[i].in_flight, d[i].window);
		printf("%-20s %5u %9s %6u %10s %10s %10s %10s\n", d[i].name, d[i].disks, flight, d[i].queued,
		       latency_text(latency, sizeof(latency), d[i].latency_ns),
		       latency_text(threshold, sizeof(threshold), d[i].threshold_ns),
		       iops_text(reserved, sizeof(reserved), d[i].reserved_iops),
		       iops_text(capacity, sizeof(capacity), d[i].capacity_iops));
	}
	free(d);
	return VAIO_OK;
}

/* --- show ---------------------------------------------------------------------- */

static const char *property(const struct vaio_disk_info *disk, const char *name)
{
	unsigned int s, p;

	for (s = 0; s < disk->n_slots; s++)
		for (p = 0; disk->slots[s].class == VAIO_CLASS_QOS && p < disk->slots[s].n_props; p++)
			if (!strcmp(disk->slots[s].props[p].name, name))
				return disk->slots[s].props[p].value;
	return NULL;
}

/* The disks whose qos slot names the domain: what they have of it. */
static json_t *members_json(const struct vaio_domain *d, const struct vaio_disk_info *disks, unsigned int n)
{
	static const char *const names[] = { "shares", "reservation_iops", "reservation_bytes" };
	json_t *list = json_array(), *member;
	unsigned int i, k;

	for (i = 0; i < n; i++) {
		const char *of = property(&disks[i], "domain");

		if (!of || strcmp(of, d->name))
			continue;
		member = json_pack("{s:s}", "disk", disks[i].name);
		for (k = 0; k < sizeof(names) / sizeof(*names); k++)
			json_object_set_new(member, names[k], json_string(property(&disks[i], names[k]) ?
									   property(&disks[i], names[k]) : ""));
		json_array_append_new(list, member);
	}
	return list;
}

static void show_amount(const char *name, uint64_t iops, uint64_t bytes, const char *none)
{
	char size[32];

	printf("%-12s ", name);
	if (iops)
		printf("%llu IOPS", (unsigned long long)iops);
	if (bytes)
		printf("%s%s/s", iops ? ", " : "", vaio_format_size(size, sizeof(size), (double)bytes));
	printf("%s\n", iops || bytes ? "" : none);
}

static void show_text(const struct vaio_domain *d, json_t *members)
{
	char text[32];
	json_t *m;
	size_t i;

	printf("domain       %s\n", d->name);
	printf("device       %s\n", d->rotational ? "rotational" : "not rotational");
	printf("window       %u, in flight %u, waiting %u%s\n", d->window, d->in_flight, d->queued,
	       d->contended ? ", contended" : "");
	printf("latency      %s\n", latency_text(text, sizeof(text), d->latency_ns));
	printf("threshold    %s (%s)\n", latency_text(text, sizeof(text), d->threshold_ns),
	       d->threshold_set_ns ? "set" : "automatic");
	show_amount("capacity", d->capacity_iops, d->capacity_bytes, "not declared");
	show_amount("reserved", d->reserved_iops, d->reserved_bytes, "nothing");
	json_array_foreach(members, i, m)
		printf("disk         %s: shares %s, reservation %s IOPS, %s bytes/s\n",
		       json_string_value(json_object_get(m, "disk")), json_string_value(json_object_get(m, "shares")),
		       json_string_value(json_object_get(m, "reservation_iops")),
		       json_string_value(json_object_get(m, "reservation_bytes")));
}

static int domain_show(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_disk_info *disks = NULL;
	struct vaio_domain d = { 0 };
	unsigned int n = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	json_t *members;
	int rc;

	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_domain(nl, a->operand[0], &d, &e);
	if (!rc)
		rc = vaio_nl_disks(nl, &disks, &n, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	members = members_json(&d, disks, n);
	vaio_disk_infos_free(disks, n);
	if (g->json)
		return vaioctl_print_json(domain_json(&d, members));
	show_text(&d, members);
	json_decref(members);
	return VAIO_OK;
}

/* --- set ----------------------------------------------------------------------- */

static int read_settings(const struct vaioctl_args *a, struct vaio_domain_set *set, struct vaio_err *e)
{
	const char *iops = vaioctl_opt(a, "capacity"), *bytes = vaioctl_opt(a, "capacity-bytes");
	const char *threshold = vaioctl_opt(a, "threshold");
	int rc = VAIO_OK;

	set->has_capacity_iops = iops != NULL;
	set->has_capacity_bytes = bytes != NULL;
	set->has_threshold = threshold != NULL;
	if (iops && strcmp(iops, "none") && vaio_parse_number(iops, 1, 1000000000, &set->capacity_iops, e))
		return vaio_fail_prefix(e, VAIO_USAGE, "--capacity: none, or I/Os a second");
	if (bytes && strcmp(bytes, "none")) {
		rc = vaio_parse_size(bytes, &set->capacity_bytes, e);
		if (rc)
			return vaio_fail_prefix(e, rc, "--capacity-bytes: none, or bytes a second");
		if (!set->capacity_bytes || set->capacity_bytes > 1ULL << 42)
			return vaio_fail(e, VAIO_USAGE, "--capacity-bytes: '%s' is not none, or 1B to 4TiB", bytes);
	}
	if (threshold && strcmp(threshold, "auto")) {
		rc = vaio_parse_latency(threshold, &set->threshold_ns, e);
		if (rc)
			return vaio_fail_prefix(e, rc, "--threshold: auto, or a latency");
		if (set->threshold_ns < 1000 || set->threshold_ns > THRESHOLD_MAX_S * 1000000000ULL)
			return vaio_fail(e, VAIO_USAGE, "--threshold: '%s' is not auto, or 1us to %ds", threshold,
					 THRESHOLD_MAX_S);
	}
	if (!iops && !bytes && !threshold)
		return vaio_fail(e, VAIO_USAGE, "nothing to set: accepted are --capacity, --capacity-bytes, --threshold");
	return VAIO_OK;
}

static int domain_set(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_domain_set set = { 0 };
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	rc = read_settings(a, &set, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_domain_set(nl, a->operand[0], &set, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (g->json)
		return vaioctl_print_json(json_pack("{s:s}", "name", a->operand[0]));
	return VAIO_OK;
}

static const struct vaioctl_opt set_opts[] = {
	{ "capacity", "IOPS", "what the store can do for sure, in 32 KiB I/Os a second; none", false },
	{ "capacity-bytes", "SIZE", "the same in bytes a second; none", false },
	{ "threshold", "TIME", "latency that the window aims at: us, ms, s; auto", false },
	{ NULL, NULL, NULL, false },
};

const struct vaioctl_cmd vaioctl_domain_cmds[] = {
	{
		.noun = "domain", .verb = "list", .run = domain_list,
		.summary = "backing stores that disks share, with window and latency",
	}, {
		.noun = "domain", .verb = "show", .operands = "DOMAIN", .min_operands = 1, .max_operands = 1,
		.run = domain_show, .summary = "one of them, with its disks",
	}, {
		.noun = "domain", .verb = "set", .operands = "DOMAIN", .min_operands = 1, .max_operands = 1,
		.opts = set_opts, .run = domain_set, .summary = "declare what a store can do, or how slow it may be",
		.text = "Reservations that together are more than the capacity are refused. The settings\n"
			"last as long as module vaio-qos is loaded.",
	},
	{ 0 },
};
