// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libvaio/libvaio.h"
#include "vaioctl.h"

static json_t *caps_json(uint32_t caps)
{
	json_t *list = json_array();
	int i;

	for (i = 0; vaio_cap_names[i]; i++)
		if (caps & (1U << i))
			json_array_append_new(list, json_string(vaio_cap_names[i]));
	return list;
}

static json_t *filter_json(const struct vaio_filter_info *f)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:i}", "name", f->name, "class",
			 vaio_word(vaio_class_names, f->class), "vendor", f->vendor, "version", f->version, "summary",
			 f->summary, "capabilities", caps_json(f->caps), "disks", (int)f->slots);
}

static int by_class(const void *a, const void *b)
{
	const struct vaio_filter_info *x = a, *y = b;

	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int filter_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_filter_info *f = NULL;
	unsigned int i, n = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	json_t *list;
	int rc;

	(void)a;
	rc = vaio_nl_open(&nl, &e);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	rc = vaio_nl_filters(nl, &f, &n, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (n)
		qsort(f, n, sizeof(*f), by_class);
	if (g->json) {
		list = json_array();
		for (i = 0; i < n; i++)
			json_array_append_new(list, filter_json(&f[i]));
		free(f);
		return vaioctl_print_json(list);
	}
	printf("%-16s %-12s %-10s %-14s %5s  %s\n", "NAME", "CLASS", "VERSION", "VENDOR", "DISKS", "SUMMARY");
	for (i = 0; i < n; i++)
		printf("%-16s %-12s %-10s %-14s %5u  %s\n", f[i].name, vaio_word(vaio_class_names, f[i].class), f[i].version,
		       f[i].vendor, f[i].slots, f[i].summary);
	free(f);
	return VAIO_OK;
}

const struct vaioctl_cmd vaioctl_filter_cmds[] = {
	{
		.noun = "filter", .verb = "list", .run = filter_list,
		.summary = "filters that are registered with the framework, in class order",
	},
	{ 0 },
};
