// SPDX-License-Identifier: GPL-2.0
/* vaioctl replica list and status: what vaio-replicad says of replicas here, and vaio-agent of sources. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../libreplica/report.h"
#include "../libvaio/units.h"
#include "replica.h"

const struct vaioctl_opt replica_status_opts[] = { OPT_SOCKET, OPT_AGENT, { 0 } };

/* What a store without its daemon says of itself. */
static int folder_status(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t **out)
{
	struct vr_options options = { .write = false };
	struct vr_store *st;
	struct vr_err e;
	struct vr_io *io;
	char dir[512];
	int err, rc = replica_folder(cmd, a, a->operand[0], dir, sizeof(dir));

	if (rc)
		return rc;
	vr_files_limit();
	err = vr_io_open(dir, &io);
	if (err)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "'%s': %s", dir, strerror(-err));
	err = vr_store_open(io, &options, &st, &e);
	if (err) {
		io->ops->free(io);
		return replica_fail(cmd, err, &e);
	}
	*out = vr_report_store(st);
	vr_store_close(st);
	json_object_set_new(*out, "state", json_string("offline"));
	json_object_set_new(*out, "directory", json_string(dir));
	return VAIO_OK;
}

/* The agent's figures under the names that vaio-replicad has for them. */
static void from_agent(json_t *g)
{
	static const char *const times[][2] = { { "rpo_ms", "rpo_ns" }, { "rpo_worst_ms", "rpo_worst_ns" } };
	json_t *disks = json_object_get(g, "disks"), *d;
	uint64_t dirty = 0;
	size_t i;

	for (i = 0; i < 2; i++) {
		json_t *ms = json_object_get(g, times[i][0]);
		json_int_t n = json_integer_value(ms);

		json_object_set_new(g, times[i][1], json_is_integer(ms) && n >= 0 && n <= INT64_MAX / 1000000 ?
				    json_integer(n * 1000000) : json_null());
	}
	json_object_set(g, "rate_bytes", json_object_get(g, "rate"));
	json_array_foreach(disks, i, d)
		dirty += replica_number(d, "dirty_bytes") + replica_number(d, "check_bytes");
	json_object_set_new(g, "dirty_bytes", json_integer((json_int_t)dirty));
	json_object_set_new(g, "role", json_string("source"));
}

/* Groups of both ends, as an array. */
static int get_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t **out)
{
	bool replicad, agent;
	json_t *all = json_array(), *j, *g;
	size_t i;
	int rc = VAIO_OK;

	replica_ends(a, &replicad, &agent);
	if (replicad || !agent) {
		rc = replica_ask(cmd, a, json_pack("{s:s}", "do", "list"), &j);
		json_array_foreach(rc ? NULL : json_object_get(j, "groups"), i, g) {
			json_object_set_new(g, "role", json_string("replica"));
			json_array_append(all, g);
		}
		if (!rc)
			json_decref(j);
	}
	if (agent && !rc) {
		rc = replica_ask_agent(cmd, a, json_pack("{s:s}", "do", "status"), &j);
		json_array_foreach(rc ? NULL : json_object_get(j, "groups"), i, g) {
			from_agent(g);
			json_array_append(all, g);
		}
		if (!rc)
			json_decref(j);
	}
	if (rc)
		json_decref(all);
	else
		*out = all;
	return rc;
}

static int get_status(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t **out)
{
	json_t *all, *g;
	unsigned int found = 0;
	size_t i;
	int rc;

	if (replica_is_folder(a->operand[0]))
		return folder_status(cmd, a, out);
	rc = get_list(cmd, a, &all);
	if (rc)
		return rc;
	json_array_foreach(all, i, g) {
		if (strcmp(replica_text(g, "name"), a->operand[0]) && strcmp(replica_text(g, "uuid"), a->operand[0]))
			continue;
		if (!found++)
			*out = json_incref(g);
	}
	json_decref(all);
	if (!found)
		return vaioctl_cmd_fail(cmd, VAIO_NOTFOUND, "there is no group '%s': vaioctl replica list lists them", a->operand[0]);
	if (found > 1) {
		json_decref(*out);
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "%u groups are named '%s': use the UUID, --socket or --agent", found,
					a->operand[0]);
	}
	return VAIO_OK;
}

/* Null, as of an RPO without a point, is not 0. */
static bool has_figure(json_t *g, const char *key)
{
	return json_integer_value(json_object_get(g, key)) >= 0 && json_is_integer(json_object_get(g, key));
}

static const char *rpo_text(json_t *g, const char *key, char *buf, size_t size)
{
	if (has_figure(g, key))
		return replica_span(replica_number(g, key), buf, size);
	snprintf(buf, size, "-");
	return buf;
}

static const char *size_text(json_t *g, const char *key, char *buf, size_t size)
{
	if (has_figure(g, key))
		return vaio_format_size(buf, size, (double)replica_number(g, key));
	snprintf(buf, size, "-");
	return buf;
}

/* "3h12m of 24h" */
static const char *history_text(json_t *g, char *buf, size_t size)
{
	uint64_t wanted = replica_number(g, "retain_ns");
	char have[32], want[32];

	replica_span(replica_number(g, "history_ns"), have, sizeof(have));
	if (wanted)
		snprintf(buf, size, "%s of %s", have, replica_span(wanted, want, sizeof(want)));
	else
		snprintf(buf, size, "%s", have);
	return buf;
}

static void list_line(FILE *f, json_t *g)
{
	char rpo[32], worst[32], backlog[32], rate[32], history[80] = "-";
	bool source = !strcmp(replica_text(g, "role"), "source");

	if (!source)
		history_text(g, history, sizeof(history));
	fprintf(f, "%-20s %-8s %-14s %5zu %8s %8s %10s %10s  %s\n", replica_text(g, "name")[0] ? replica_text(g, "name") :
		replica_text(g, "uuid"), replica_text(g, "role"), replica_text(g, "state"),
		json_array_size(json_object_get(g, "disks")), rpo_text(g, "rpo_ns", rpo, sizeof(rpo)),
		rpo_text(g, "rpo_worst_ns", worst, sizeof(worst)),
		size_text(g, "backlog_bytes", backlog, sizeof(backlog)), size_text(g, "rate_bytes", rate, sizeof(rate)),
		source ? replica_text(g, "target") : history);
}

static void list_head(FILE *f)
{
	fprintf(f, "%-20s %-8s %-14s %5s %8s %8s %10s %10s  %s\n", "GROUP", "ROLE", "STATE", "DISKS", "RPO", "WORST", "BACKLOG", "RATE/s",
		"HISTORY, TARGET");
}

int replica_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	json_t *all, *g;
	size_t i;
	int rc = get_list(cmd, a, &all);

	if (rc)
		return rc;
	if (opt->json)
		return vaioctl_print_json(all);
	list_head(stdout);
	json_array_foreach(all, i, g)
		list_line(stdout, g);
	json_decref(all);
	return VAIO_OK;
}

/* Who is asked for groups where nobody said whom to ask: the daemons of this host, the agent last. */
static const struct { const char *name, *option, *path, *what; } ends[] = {
	{ "vaio-replicad", "socket", REPLICAD_SOCKET, "list" }, { "vaio-agent", "agent", AGENT_SOCKET, "status" },
};

json_t *replica_groups(const struct vaioctl_args *a, json_t **silent)
{
	json_t *all = json_array(), *j, *g;
	bool asked[2];
	size_t i;

	*silent = json_array();
	replica_ends(a, &asked[0], &asked[1]);
	for (int end = 0; end < 2; end++) {
		const char *path = vaioctl_opt(a, ends[end].option);

		if (!asked[end])
			continue;
		path = path ? path : ends[end].path;
		j = replica_ask_quietly(path, json_pack("{s:s}", "do", ends[end].what));
		/* Its groups are not gone because it hangs. */
		if (!j)
			json_array_append_new(*silent, json_sprintf("%s does not answer on %s", ends[end].name, path));
		json_array_foreach(json_object_get(j, "groups"), i, g) {
			if (end)
				from_agent(g);
			else
				json_object_set_new(g, "role", json_string("replica"));
			json_array_append(all, g);
		}
		json_decref(j);
	}
	return all;
}

void replica_complete_groups(void)
{
	const struct vaioctl_args none = { 0 };
	json_t *silent, *groups = replica_groups(&none, &silent), *g;
	size_t i;

	json_array_foreach(groups, i, g)
		if (replica_text(g, "name")[0])
			puts(replica_text(g, "name"));
	json_decref(groups);
	json_decref(silent);
}

void replica_table(FILE *f, const struct vaioctl_args *a)
{
	json_t *silent, *groups = replica_groups(a, &silent), *j;
	size_t i;

	json_array_foreach(silent, i, j)
		fprintf(f, "\n%s\n", json_string_value(j));
	json_array_foreach(groups, i, j) {
		if (!i) {
			putc('\n', f);
			list_head(f);
		}
		list_line(f, j);
	}
	json_decref(groups);
	json_decref(silent);
}

static void row(const char *name, const char *text)
{
	if (text[0])
		printf("  %-14s %s\n", name, text);
}

static void size_row(const char *name, json_t *g, const char *key)
{
	char size[32];

	row(name, size_text(g, key, size, sizeof(size)));
}

static void print_disks(json_t *g)
{
	char size[32];
	json_t *d;
	size_t i;

	printf("disks\n");
	json_array_foreach(json_object_get(g, "disks"), i, d)
		printf("  %-14s %10s  %s\n", replica_text(d, "name"),
		       vaio_format_size(size, sizeof(size), (double)(replica_number(d, "size") + replica_number(d, "bytes"))), replica_text(d, "uuid"));
}

/* "initial, 43 % of 20 GiB, 110 MiB/s, 1m50s left" */
static void print_resync(json_t *r)
{
	uint64_t total = replica_number(r, "total_bytes"), left = replica_number(r, "left_bytes");
	char text[160], size[32], rate[32], span[32];

	if (!json_is_object(r))
		return;
	snprintf(text, sizeof(text), "%s, %.0f %% of %s, %s/s, %s left", replica_text(r, "kind"),
		 total ? 100.0 * (double)(total - (left < total ? left : total)) / (double)total : 0,
		 vaio_format_size(size, sizeof(size), (double)total),
		 vaio_format_size(rate, sizeof(rate), json_number_value(json_object_get(r, "rate"))),
		 json_is_number(json_object_get(r, "left_ms")) ?
		 replica_span((uint64_t)json_number_value(json_object_get(r, "left_ms")) * 1000000, span, sizeof(span)) : "?");
	row("resync", text);
}

int replica_status(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *opt)
{
	bool source, connected;
	char text[160], t1[32], t2[32];
	json_t *g = NULL;
	int rc = get_status(cmd, a, &g);

	if (rc)
		return rc;
	source = !strcmp(replica_text(g, "role"), "source");
	connected = json_is_true(json_object_get(g, "connected"));
	if (opt->json)
		return vaioctl_print_json(g);
	printf("%s  %s%s%s\n", replica_text(g, "name")[0] ? replica_text(g, "name") : replica_text(g, "uuid"), replica_text(g, "state"), replica_text(g, "blocked")[0] ? ": " : "",
	       replica_text(g, "blocked"));
	row("error", replica_text(g, "error"));
	row("uuid", replica_text(g, "uuid"));
	row("store", replica_text(g, "directory"));
	row("source", replica_text(g, "source"));
	row("target", replica_text(g, "target"));
	if (connected) {
		snprintf(text, sizeof(text), "%s%s%s%s", replica_text(g, "peer"), replica_text(g, "client")[0] ? " (" : "",
			 replica_text(g, "client"), replica_text(g, "client")[0] ? ")" : "");
		row("connection", text);
	}
	/* The source counts on while the link is down: what was not sent then is what would be lost. */
	if (source || connected) {
		row("mode", replica_text(g, "mode")[0] ? replica_text(g, "mode") :
		    json_is_true(json_object_get(g, "sync")) ? "sync" : "async");
		snprintf(text, sizeof(text), "%s, worst %s", rpo_text(g, "rpo_ns", t1, sizeof(t1)),
			 rpo_text(g, "rpo_worst_ns", t2, sizeof(t2)));
		row("RPO", text);
		size_row("backlog", g, "backlog_bytes");
		size_row("to resync", g, "dirty_bytes");
		size_row("rate per s", g, "rate_bytes");
	}
	print_resync(json_object_get(g, "resync"));
	if (source) {
		print_disks(g);
		json_decref(g);
		return VAIO_OK;
	}
	/* A store that is not open has no figures, and not none. */
	if (!json_object_get(g, "journal_bytes")) {
		json_decref(g);
		return VAIO_OK;
	}
	row("history", history_text(g, text, sizeof(text)));
	if (replica_number(g, "every_write_ns")) {
		snprintf(text, sizeof(text), "for %s, then one each %s", replica_span(replica_number(g, "every_write_ns"), t1, sizeof(t1)),
			 replica_span(replica_number(g, "interval_ns"), t2, sizeof(t2)));
		row("every write", text);
	}
	row("oldest point", replica_time(replica_number(g, "oldest_ns"), t1, sizeof(t1)));
	if (replica_number(g, "complete_seq")) {
		snprintf(text, sizeof(text), "seq:%" PRIu64, replica_number(g, "complete_seq"));
		row("newest point", text);
	}
	row("newest record", replica_time(replica_number(g, "durable_ns"), t1, sizeof(t1)));
	snprintf(text, sizeof(text), "%" PRIu64 " %s", replica_number(json_object_get(g, "generation"), "counter"),
		 replica_text(json_object_get(g, "generation"), "id"));
	row("generation", text);
	size_row("journal", g, "journal_bytes");
	size_row("base", g, "base_bytes");
	if (replica_number(g, "quota_bytes"))
		size_row("quota", g, "quota_bytes");
	row("held by", replica_text(g, "held_by"));
	row("upkeep", replica_text(g, "upkeep_error"));
	print_disks(g);
	json_decref(g);
	return VAIO_OK;
}

