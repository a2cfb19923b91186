// SPDX-License-Identifier: GPL-2.0
/* vaioctl group: disks that are replicated in one write order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libvaio/libvaio.h"
#include "vaioctl.h"

static json_t *pairs_json(const struct vaio_pair *pairs, unsigned int n)
{
	json_t *o = json_object();
	unsigned int i;

	for (i = 0; i < n; i++)
		json_object_set_new(o, pairs[i].name, json_string(pairs[i].value));
	return o;
}

static json_t *group_json(const struct vaio_group *g)
{
	json_t *members = json_array();
	unsigned int i;

	for (i = 0; i < g->n_members; i++) {
		const struct vaio_group_member *m = &g->members[i];

		json_array_append_new(members, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "name", m->name, "uuid",
							 m->uuid, "state", m->state, "bytes", (json_int_t)m->bytes,
							 "dirty", (json_int_t)m->dirty, "to_check",
							 (json_int_t)m->to_check));
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", g->name, "uuid", g->uuid, "state", g->state,
			 "properties", pairs_json(g->props, g->n_props), "counters",
			 pairs_json(g->counters, g->n_counters), "disks", members);
}

static const char *counter(const struct vaio_group *g, const char *name)
{
	return vaio_pair_value(g->counters, g->n_counters, name);
}

static int group_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	struct vaio_group *list = NULL;
	unsigned int i, n = 0;
	struct vaio_nl *nl;
	struct vaio_err e;
	json_t *all;
	int rc;

	(void)a;
	rc = vaio_group_open(&nl, &e);
	if (!rc) {
		rc = vaio_group_list(nl, &list, &n, &e);
		vaio_nl_close(nl);
	}
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (opt->json) {
		all = json_array();
		for (i = 0; i < n; i++)
			json_array_append_new(all, group_json(&list[i]));
		vaio_groups_free(list, n);
		return vaioctl_print_json(all);
	}
	printf("%-20s %-12s %-6s %5s %-6s %10s  %s\n", "NAME", "STATE", "MODE", "DISKS", "AGENT", "BACKLOG", "TARGET");
	for (i = 0; i < n; i++)
		printf("%-20s %-12s %-6s %5u %-6s %10s  %s\n", list[i].name, list[i].state,
		       vaio_pair_value(list[i].props, list[i].n_props, "mode"), list[i].n_members,
		       counter(&list[i], "agent"), counter(&list[i], "backlog_records"),
		       vaio_pair_value(list[i].props, list[i].n_props, "target"));
	vaio_groups_free(list, n);
	return VAIO_OK;
}

static void print_pairs(const char *title, const struct vaio_pair *pairs, unsigned int n)
{
	unsigned int i;

	printf("%s\n", title);
	for (i = 0; i < n; i++)
		if (pairs[i].value[0])
			printf("  %-18s %s\n", pairs[i].name, pairs[i].value);
}

static void print_group(const struct vaio_group *g)
{
	char size[32], dirty[32], check[32];
	unsigned int i;

	printf("%s  %s\n  %-18s %s\n", g->name, g->state, "uuid", g->uuid);
	print_pairs("properties", g->props, g->n_props);
	print_pairs("now", g->counters, g->n_counters);
	printf("disks\n");
	for (i = 0; i < g->n_members; i++) {
		const struct vaio_group_member *m = &g->members[i];

		printf("  %-18s %-10s %s, %s to send, %s to compare\n", m->name, m->state,
		       vaio_format_size(size, sizeof(size), (double)m->bytes),
		       vaio_format_size(dirty, sizeof(dirty), (double)m->dirty),
		       vaio_format_size(check, sizeof(check), (double)m->to_check));
	}
}

static int group_show(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	struct vaio_group g;
	struct vaio_nl *nl;
	struct vaio_err e;
	json_t *j;
	int rc;

	rc = vaio_group_open(&nl, &e);
	if (!rc) {
		rc = vaio_group_get(nl, a->operand[0], &g, &e);
		vaio_nl_close(nl);
	}
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (opt->json) {
		j = group_json(&g);
		vaio_group_free(&g);
		return vaioctl_print_json(j);
	}
	print_group(&g);
	vaio_group_free(&g);
	return VAIO_OK;
}

/* PROP=VALUE operands from the second on. */
static int read_props(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, struct vaio_pair *props)
{
	int i;

	for (i = 1; i < a->n_operands; i++) {
		const char *word = a->operand[i], *eq = strchr(word, '=');
		struct vaio_pair *p = &props[i - 1];

		if (!eq || eq == word || (size_t)(eq - word) >= sizeof(p->name))
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "'%s' is not a property: accepted is PROP=VALUE", word);
		if (strlen(eq + 1) >= sizeof(p->value))
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "the value of '%.*s' is longer than %zu characters",
						(int)(eq - word), word, sizeof(p->value) - 1);
		memcpy(p->name, word, (size_t)(eq - word));
		strcpy(p->value, eq + 1);
	}
	return VAIO_OK;
}

static int group_write(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	struct vaio_pair *props;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	(void)opt;
	props = calloc((size_t)a->n_operands, sizeof(*props));
	if (!props)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "out of memory");
	rc = read_props(cmd, a, props);
	if (rc) {
		free(props);
		return rc;
	}
	rc = vaio_group_open(&nl, &e);
	if (!rc) {
		if (!strcmp(cmd->verb, "create"))
			rc = vaio_group_create(nl, a->operand[0], props, (unsigned int)a->n_operands - 1, &e);
		else
			rc = vaio_group_set(nl, a->operand[0], props, (unsigned int)a->n_operands - 1, &e);
		vaio_nl_close(nl);
	}
	free(props);
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}

static int group_delete(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
			const struct vaioctl_globals *opt)
{
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	(void)opt;
	rc = vaio_group_open(&nl, &e);
	if (!rc) {
		rc = vaio_group_delete(nl, a->operand[0], &e);
		vaio_nl_close(nl);
	}
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}

/* A disk is in the group that its replication filter says. */
static int set_group(const struct vaioctl_cmd *cmd, const char *disk, const char *group)
{
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	rc = vaio_nl_open(&nl, &e);
	if (!rc) {
		rc = vaio_nl_set(nl, disk, "replication", "group", group, &e);
		vaio_nl_close(nl);
	}
	return rc ? vaioctl_fail_err(cmd, rc, &e) : VAIO_OK;
}

static int group_add(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	(void)opt;
	return set_group(cmd, a->operand[1], a->operand[0]);
}

static bool is_member(const struct vaio_group *g, const char *disk)
{
	unsigned int i;

	for (i = 0; i < g->n_members; i++)
		if (!strcmp(g->members[i].name, disk) || !strcmp(g->members[i].uuid, disk))
			return true;
	return false;
}

static int group_remove(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
			const struct vaioctl_globals *opt)
{
	struct vaio_group g;
	struct vaio_nl *nl;
	struct vaio_err e;
	bool member;
	int rc;

	(void)opt;
	rc = vaio_group_open(&nl, &e);
	if (!rc) {
		rc = vaio_group_get(nl, a->operand[0], &g, &e);
		vaio_nl_close(nl);
	}
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	member = is_member(&g, a->operand[1]);
	vaio_group_free(&g);
	if (!member)
		return vaioctl_cmd_fail(cmd, VAIO_NOTFOUND, "disk '%s' is not in group '%s': vaioctl group show %s lists its disks",
					a->operand[1], a->operand[0], a->operand[0]);
	return set_group(cmd, a->operand[1], "none");
}

#define PROPERTIES							\
	"Properties:\n"							\
	"  mode=async|sync     acknowledge a write when it is written here, or when\n"	\
	"                      the replica has it durably too (async)\n"		\
	"  on_loss=POLICY      when the replica is lost: track; stall:TIME,track;\n"	\
	"                      stall:TIME,fail; hold (track)\n"			\
	"  agent_grace=TIME    how long an agent may be away without a gap (60s)\n"	\
	"  watchdog=TIME       an agent that is silent so long is gone (30s)\n"		\
	"  ring=SIZE           memory for what is not yet sent; fixed at creation (64MiB)\n" \
	"  resync_rate=SIZE    bytes a second for each disk, or any (any)\n"		\
	"  target=TEXT         for the agent"

const struct vaioctl_cmd vaioctl_group_cmds[] = {
	{
		.noun = "group", .verb = "list", .run = group_list,
		.summary = "groups of disks that are replicated together",
	}, {
		.noun = "group", .verb = "show", .run = group_show, .operands = "GROUP",
		.min_operands = 1, .max_operands = 1,
		.summary = "a group's properties, state and disks",
	}, {
		.noun = "group", .verb = "create", .run = group_write, .operands = "GROUP [PROP=VALUE]...",
		.min_operands = 1, .max_operands = -1,
		.summary = "make a group", .text = PROPERTIES,
	}, {
		.noun = "group", .verb = "set", .run = group_write, .operands = "GROUP PROP=VALUE...",
		.min_operands = 2, .max_operands = -1,
		.summary = "change a group's properties, all of them or none", .text = PROPERTIES,
	}, {
		.noun = "group", .verb = "add", .run = group_add, .operands = "GROUP DISK",
		.min_operands = 2, .max_operands = 2,
		.summary = "put a disk that has the filter replication into a group",
	}, {
		.noun = "group", .verb = "remove", .run = group_remove, .operands = "GROUP DISK",
		.min_operands = 2, .max_operands = 2,
		.summary = "take a disk out of a group",
	}, {
		.noun = "group", .verb = "delete", .run = group_delete, .operands = "GROUP",
		.min_operands = 1, .max_operands = 1,
		.summary = "delete a group that has no disks",
	},
	{ 0 },
};
