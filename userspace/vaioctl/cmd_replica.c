// SPDX-License-Identifier: GPL-2.0
/* vaioctl replica: what a replica's host has, and what it is to keep. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libreplica/report.h"
#include "../libvaio/units.h"
#include "replica.h"

/* --- points ---------------------------------------------------------------------------------- */

static void print_older(const char *what, const char *key, bool more, json_t *list)
{
	if (more && json_array_size(list))
		printf("there are older %s: --before seq:%" PRIu64 "\n", what, replica_number(json_array_get(list, 0), key));
}

static void print_points(json_t *j)
{
	char t1[32], t2[32];
	json_t *s;
	size_t i;

	printf("%-9s %-19s  %-19s  %s\n", "STRETCH", "FROM", "TO", "POINTS");
	json_array_foreach(json_object_get(j, "stretches"), i, s) {
		printf("%-9s %-19s  %-19s  ", replica_text(s, "kind"), replica_time(replica_number(s, "first_ns"), t1, sizeof(t1)),
		       replica_time(replica_number(s, "last_ns"), t2, sizeof(t2)));
		if (!strcmp(replica_text(s, "kind"), "complete") || !strcmp(replica_text(s, "kind"), "thinned"))
			printf("%sseq:%" PRIu64 " to seq:%" PRIu64 "\n", *replica_text(s, "kind") == 't' ? "some of " : "",
			       replica_number(s, "first_seq"), replica_number(s, "last_seq"));
		else
			printf("none\n");
	}
	if (json_array_size(json_object_get(j, "names")))
		printf("\n%-24s %-12s %-19s  %s\n", "NAME", "KIND", "TIME", "POINT");
	json_array_foreach(json_object_get(j, "names"), i, s)
		printf("%-24s %-12s %-19s  seq:%" PRIu64 "%s\n", replica_text(s, "name"), replica_text(s, "kind"),
		       replica_time(replica_number(s, "time_ns"), t1, sizeof(t1)), replica_number(s, "seq"),
		       json_is_true(json_object_get(s, "pinned")) ? "  held" : "");
	print_older("stretches", "first_seq", json_is_true(json_object_get(j, "more_stretches")), json_object_get(j, "stretches"));
	print_older("names", "seq", json_is_true(json_object_get(j, "more_names")), json_object_get(j, "names"));
}

static int folder_points(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, uint64_t before, uint64_t limit, json_t **out)
{
	struct replica_open o;
	struct vr_err e;
	int rc = replica_open(cmd, a, a->operand[0], "latest", &o);

	if (rc)
		return rc;
	*out = vr_report_points(o.st, before, (unsigned int)limit, &e);
	replica_close(&o);
	return *out ? VAIO_OK : vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s", e.text);
}

static int replica_points(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	const char *n = vaioctl_opt(a, "limit"), *b = vaioctl_opt(a, "before");
	uint64_t limit = VR_LIST_MAX, before = 0;
	struct vaio_err e;
	json_t *j = NULL;
	int rc;

	if (n && vaio_parse_number(n, 1, VR_LIST_MAX, &limit, &e))
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--limit '%s': accepted are 1 to %u", n, VR_LIST_MAX);
	if (b && (strncmp(b, "seq:", 4) || vaio_parse_number(b + 4, 1, INT64_MAX, &before, &e)))
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--before '%s': accepted is seq:N", b);
	if (replica_is_folder(a->operand[0]))
		rc = folder_points(cmd, a, before, limit, &j);
	else
		rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:I, s:I}", "do", "points", "group", a->operand[0], "limit",
						   (json_int_t)limit, "before", (json_int_t)before), &j);
	if (rc)
		return rc;
	if (opt->json)
		return vaioctl_print_json(j);
	print_points(j);
	json_decref(j);
	return VAIO_OK;
}

static int print_point(json_t *j, const struct vaioctl_globals *opt)
{
	char t[32];

	if (opt->json)
		return vaioctl_print_json(j);
	printf("seq:%" PRIu64 "  %s%s%s%s\n", replica_number(j, "seq"), replica_time(replica_number(j, "time_ns"), t, sizeof(t)),
	       replica_text(j, "name")[0] ? "  " : "", replica_text(j, "name"),
	       json_is_true(json_object_get(j, "pinned")) ? "  held" : "");
	json_decref(j);
	return VAIO_OK;
}

static int replica_show(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	const char *point = a->n_operands > 1 ? a->operand[1] : "latest";
	struct replica_open o;
	json_t *j;
	int rc;

	if (replica_is_folder(a->operand[0])) {
		rc = replica_open(cmd, a, a->operand[0], point, &o);
		if (rc)
			return rc;
		j = vr_report_point(&o.point);
		replica_close(&o);
		return print_point(j, opt);
	}
	rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s}", "do", "show", "group", a->operand[0], "point", point), &j);
	return rc ? rc : print_point(j, opt);
}

/* --- holding -------------------------------------------------------------------------------------- */

/* On the source: its agent puts the checkpoint into the stream, and says when the replica has it. */
static int ask_source(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *kind,
		      const struct vaioctl_globals *opt)
{
	json_t *j;
	int rc = replica_ask_agent(cmd, a, json_pack("{s:s, s:s, s:s, s:s, s:b, s:i}", "do", "checkpoint", "group", a->operand[0],
						     "name", a->operand[1], "kind", kind, "pin", vaioctl_has(a, "hold"), "wait_ms",
						     60000), &j);
	bool durable;

	if (rc)
		return rc;
	durable = json_is_true(json_object_get(j, "durable"));
	if (opt->json)
		rc = vaioctl_print_json(j);
	else
		printf("seq:%" PRIu64 "  %s%s\n", replica_number(j, "seq"), a->operand[1], durable ? "" : "  not yet at the replica");
	if (!opt->json)
		json_decref(j);
	return rc ? rc : durable ? VAIO_OK : vaioctl_cmd_fail(cmd, VAIO_PARTIAL, "the checkpoint is made, and not yet at the replica");
}

static int replica_checkpoint(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	const char *kind = vaioctl_opt(a, "kind");
	bool replicad, agent;
	json_t *j;
	int rc;

	if (kind && !vr_checkpoint_kind(kind))
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--kind '%s': accepted are crash, filesystem, application", kind);
	replica_ends(a, &replicad, &agent);
	if (agent && !replicad)
		return ask_source(cmd, a, kind ? kind : "crash", opt);
	rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s, s:s, s:b}", "do", "checkpoint", "group", a->operand[0], "name",
					   a->operand[1], "kind", kind ? kind : "crash", "pin", vaioctl_has(a, "hold")), &j);
	return rc ? rc : print_point(j, opt);
}

static int replica_hold(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	json_t *j;
	int rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s, s:s, s:b}", "do", "hold", "group", a->operand[0], "name",
					       a->operand[1], "point", vaioctl_opt(a, "point") ? vaioctl_opt(a, "point") : "latest",
					       "pin", 1), &j);

	return rc ? rc : print_point(j, opt);
}

static int replica_release(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	json_t *j;
	int rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s}", "do", "release", "group", a->operand[0], "name",
					       a->operand[1]), &j);

	(void)opt;
	if (!rc)
		json_decref(j);
	return rc;
}

/* --- what is kept, and who may write ----------------------------------------------------------------- */

#define SECOND	1000000000ULL

static int set_one(const char *word, json_t *request, struct vaio_err *e)
{
	static const char *const words[] = { "retain_time", "retain_size", "quota", "every_write", "interval", NULL };
	const char *eq = strchr(word, '='), *near;
	uint64_t n = 0;
	char name[32];
	int rc = VAIO_OK;

	if (!eq)
		return vaio_fail(e, VAIO_USAGE, "'%s' is not of the form PROP=VALUE", word);
	snprintf(name, sizeof(name), "%.*s", (int)(eq - word), word);
	if (!strcmp(name, "retain_time")) {
		if (strcmp(eq + 1, "any"))
			rc = vaio_parse_span(eq + 1, &n, e);
		json_object_set_new(request, "retain_ns", json_integer((json_int_t)n));
	} else if (!strcmp(name, "every_write") || !strcmp(name, "interval")) {
		if (strcmp(eq + 1, "any") || name[0] == 'i')
			rc = vaio_parse_span(eq + 1, &n, e);
		if (!rc && name[0] == 'i' && (n < SECOND || n > 24 * 3600 * SECOND))
			return vaio_fail(e, VAIO_USAGE, "interval: '%s': accepted are 1s to 24h", eq + 1);
		json_object_set_new(request, name[0] == 'i' ? "interval_ns" : "every_write_ns",
				    json_integer((json_int_t)n));
	} else if (!strcmp(name, "retain_size") || !strcmp(name, "quota")) {
		if (strcmp(eq + 1, "any"))
			rc = vaio_parse_size(eq + 1, &n, e);
		json_object_set_new(request, !strcmp(name, "quota") ? "quota_bytes" : "retain_bytes",
				    json_integer((json_int_t)n));
	} else {
		near = vaioctl_nearest(name, words);
		return vaio_fail(e, VAIO_USAGE, "property '%s' is unknown%s%s%s: accepted are retain_time, retain_size, quota, every_write, interval", name,
				 near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
	}
	if (!rc && !n && strcmp(eq + 1, "any"))
		return vaio_fail(e, VAIO_USAGE, "%s: '%s': accepted are any, and more than 0", name, eq + 1);
	return rc ? vaio_fail_prefix(e, rc, "%s%s", name, strcmp(name, "interval") ? ": any, or" : "") : VAIO_OK;
}

static int replica_set(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	json_t *j = json_pack("{s:s, s:s}", "do", "set", "group", a->operand[0]);
	struct vaio_err e;
	int rc = VAIO_OK;

	(void)opt;
	for (int i = 1; i < a->n_operands && !rc; i++)
		rc = set_one(a->operand[i], j, &e);
	if (rc) {
		json_decref(j);
		return vaioctl_fail_err(cmd, rc, &e);
	}
	rc = replica_ask(cmd, a, j, &j);
	if (!rc)
		json_decref(j);
	return rc;
}

static int replica_client(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	json_t *j;
	int rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s}", "do", strcmp(cmd->verb, "deny") ? "client-add" : "client-remove",
					       "group", a->operand[0], "client", a->operand[1]), &j);

	(void)opt;
	if (!rc)
		json_decref(j);
	return rc;
}

/* --- failover ----------------------------------------------------------------------------------------- */

static int replica_step(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	const char *point = vaioctl_opt(a, "point");
	json_t *j, *g;
	int rc = replica_ask(cmd, a, json_pack("{s:s, s:s, s:s, s:s}", "do", "failover", "step", cmd->verb, "group",
					       a->operand[0], "point", point ? point : "latest"), &j);

	if (rc)
		return rc;
	g = json_incref(json_object_get(j, "group"));
	json_decref(j);
	if (opt->json)
		return vaioctl_print_json(g);
	printf("%s  %s\n", replica_text(g, "name"), replica_text(g, "failover"));
	if (!strcmp(cmd->verb, "failover"))
		printf("the point is held as name:failover; to start the guest on it:\n"
		       "  vaioctl replica export %s --point name:failover --scratch DIR --scratch-max SIZE --keep --name NAME\n",
		       a->operand[0]);
	if (!strcmp(cmd->verb, "commit"))
		printf("the source goes on when its agent.conf has, for this group:\n  generation = %s:%" PRIu64 ":%" PRIu64 "\n",
		       replica_text(json_object_get(g, "generation"), "id"),
		       replica_number(json_object_get(g, "generation"), "counter"),
		       replica_number(json_object_get(g, "generation"), "first_seq"));
	json_decref(g);
	return VAIO_OK;
}

static const struct vaioctl_opt socket_opts[] = { OPT_SOCKET, { 0 } };
static const struct vaioctl_opt checkpoint_opts[] = {
	{ "kind", "KIND", "crash (default), filesystem or application", false },
	{ "hold", NULL, "keep it until it is released", false },
	OPT_SOCKET, OPT_AGENT, { 0 }
};
static const struct vaioctl_opt list_opts[] = {
	{ "limit", "N", "the newest N of each list, 1 to 1000 (1000)", false },
	{ "before", "seq:N", "of those before this number", false },
	OPT_SOCKET, { 0 }
};
static const struct vaioctl_opt point_opts[] = { OPT_POINT, OPT_SOCKET, { 0 } };

#define GROUP_TEXT "GROUP is a name or UUID, or a store's folder (a word with a '/'), which is read without the daemon."
#define POINT_TEXT "POINT: latest, oldest, seq:N, name:X, a time (\"2026-11-21 07:00:00\", Z for UTC, @SECONDS) or -10min."

const struct vaioctl_cmd vaioctl_replica_cmds[] = {
	{
		.noun = "replica", .verb = "list", .run = replica_list, .opts = replica_status_opts,
		.summary = "groups whose replica, or source, is on this host",
	}, {
		.noun = "replica", .verb = "status", .run = replica_status, .operands = "GROUP", .opts = replica_status_opts,
		.min_operands = 1, .max_operands = 1,
		.summary = "how a replica is: RPO, backlog, history, space", .text = GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "points", .run = replica_points, .operands = "GROUP", .opts = list_opts,
		.min_operands = 1, .max_operands = 1,
		.summary = "from when to when there are points, and the named ones", .text = GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "show", .run = replica_show, .operands = "GROUP [POINT]", .opts = socket_opts,
		.min_operands = 1, .max_operands = 2,
		.summary = "which point is meant", .text = POINT_TEXT "\n" GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "checkpoint", .run = replica_checkpoint, .operands = "GROUP NAME",
		.min_operands = 2, .max_operands = 2, .opts = checkpoint_opts,
		.summary = "have the source make a named point now",
	}, {
		.noun = "replica", .verb = "hold", .run = replica_hold, .operands = "GROUP NAME", .min_operands = 2,
		.max_operands = 2, .opts = point_opts,
		.summary = "name a point and keep it until it is released", .text = POINT_TEXT,
	}, {
		.noun = "replica", .verb = "release", .run = replica_release, .operands = "GROUP NAME", .min_operands = 2,
		.max_operands = 2, .opts = socket_opts,
		.summary = "let a held point go",
	}, {
		.noun = "replica", .verb = "export", .run = replica_export, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = replica_export_opts,
		.summary = "serve a disk as it was at a point over NBD",
		.text = POINT_TEXT "\n" GROUP_TEXT "\n\n"
			"Read-only, or with --scratch writable, the writes aside. Prints the URI and a <disk> element for libvirt.",
	}, {
		.noun = "replica", .verb = "exports", .run = replica_exports, .opts = replica_exports_opts,
		.summary = "exports that are served on this host",
	}, {
		.noun = "replica", .verb = "unexport", .run = replica_unexport, .operands = "NAME", .min_operands = 1,
		.max_operands = 1, .opts = replica_unexport_opts,
		.summary = "end an export",
	}, {
		.noun = "replica", .verb = "extract", .run = replica_extract, .operands = "GROUP FILE", .min_operands = 2,
		.max_operands = 2, .opts = replica_extract_opts,
		.summary = "write a disk as it was at a point to a raw image", .text = POINT_TEXT "\n" GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "restore", .run = replica_restore, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = replica_restore_opts,
		.summary = "bring a disk back to a point, writing only what differs", .text = POINT_TEXT "\n" GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "verify", .run = replica_verify, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = replica_verify_opts,
		.summary = "read a point, all of it; or compare it with the source", .text = POINT_TEXT "\n" GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "scrub", .run = replica_scrub, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = replica_scrub_opts,
		.summary = "check every checksum of a store", .text = GROUP_TEXT,
	}, {
		.noun = "replica", .verb = "set", .run = replica_set, .operands = "GROUP PROP=VALUE...", .min_operands = 2,
		.max_operands = -1, .opts = socket_opts,
		.summary = "how much history is kept",
		.text = "Properties:\n"
			"  retain_time=TIME|any   history on the source's clock\n"
			"  retain_size=SIZE|any   bytes of journal; the smaller of both wins\n"
			"  quota=SIZE|any         bytes of the whole store\n"
			"  every_write=TIME|any   older points are thinned out (any)\n"
			"  interval=TIME          to one for each interval (10s)",
	}, {
		.noun = "replica", .verb = "allow", .run = replica_client, .operands = "GROUP SUBJECT", .min_operands = 2,
		.max_operands = 2, .opts = socket_opts,
		.summary = "let the certificate with this subject name write the group",
	}, {
		.noun = "replica", .verb = "deny", .run = replica_client, .operands = "GROUP SUBJECT", .min_operands = 2,
		.max_operands = 2, .opts = socket_opts,
		.summary = "and no more",
	}, {
		.noun = "replica", .verb = "failover", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = point_opts,
		.summary = "take a replica into use: holds the point, takes no more from the source", .text = POINT_TEXT,
	}, {
		.noun = "replica", .verb = "undo", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = socket_opts,
		.summary = "from failover back to ready, from failback back to failover",
	}, {
		.noun = "replica", .verb = "permanent", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = socket_opts,
		.summary = "make a failover final: never a replica of that source again",
	}, {
		.noun = "replica", .verb = "failback", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = socket_opts,
		.summary = "say that the source is being brought back",
	}, {
		.noun = "replica", .verb = "commit", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = socket_opts,
		.summary = "end a failback: a replica again, in a new generation, after a comparison",
	}, {
		.noun = "replica", .verb = "new-source", .run = replica_step, .operands = "GROUP", .min_operands = 1,
		.max_operands = 1, .opts = socket_opts,
		.summary = "let another host take the source's place, with its state; its disks are compared",
	},
	{ 0 },
};
