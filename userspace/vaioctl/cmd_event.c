// SPDX-License-Identifier: GPL-2.0
/* vaioctl event: post, monitor, list-types. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../libvaio/libvaio.h"
#include "vaioctl.h"

/* Which phases a type has, and who posts it. */
static const struct {
	bool postable, stepwise;
	const char *summary;
} types[__VAIO_EVENT_COUNT] = {
	[VAIO_EVENT_ATTACH] = { false, false, "a filter stack became live" },
	[VAIO_EVENT_DETACH] = { false, false, "a disk is being removed" },
	[VAIO_EVENT_VM_START] = { true, false, "the guest is about to start" },
	[VAIO_EVENT_VM_STOP] = { true, false, "the guest has stopped" },
	[VAIO_EVENT_SNAPSHOT] = { true, true, "the backing is about to be snapshotted" },
	[VAIO_EVENT_GROW] = { true, true, "the disk's size changes" },
	[VAIO_EVENT_MIGRATE] = { true, true, "the guest is about to move to another host" },
	[VAIO_EVENT_REVERT] = { true, false, "the backing's bytes changed beneath the filters" },
	[VAIO_EVENT_POLICY_CHANGED] = { true, false, "the disk's policy changed" },
	[VAIO_EVENT_STATE] = { false, false, "the disk's state changed" },
};

static json_t *event_json(const struct vaio_event_info *ev)
{
	json_t *j = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I}", "token", (json_int_t)ev->token, "disk", ev->name, "uuid",
			      ev->uuid, "type", vaio_word(vaio_event_type_names, ev->type), "phase",
			      vaio_word(vaio_event_phase_names, ev->phase), "status",
			      vaio_word(vaio_event_status_names, ev->status), "time_ns", (json_int_t)ev->time_ns);

	if (ev->filter[0])
		json_object_set_new(j, "filter", json_string(ev->filter));
	if (ev->error)
		json_object_set_new(j, "error", json_integer(ev->error));
	if (ev->reason[0])
		json_object_set_new(j, "reason", json_string(ev->reason));
	if (ev->arg[0])
		json_object_set_new(j, "arg", json_string(ev->arg));
	if (ev->deadline_ms)
		json_object_set_new(j, "deadline_ms", json_integer((json_int_t)ev->deadline_ms));
	if (ev->has_seq)
		json_object_set_new(j, "seq", json_integer((json_int_t)ev->seq));
	return j;
}

static void event_line(const struct vaio_event_info *ev)
{
	time_t sec = (time_t)(ev->time_ns / 1000000000);
	struct tm tm;
	char when[32];

	localtime_r(&sec, &tm);
	strftime(when, sizeof(when), "%F %T", &tm);
	printf("%s.%03u %s %s %s: %s", when, (unsigned int)(ev->time_ns / 1000000 % 1000), ev->name[0] ? ev->name : ev->uuid,
	       vaio_word(vaio_event_type_names, ev->type), vaio_word(vaio_event_phase_names, ev->phase),
	       vaio_word(vaio_event_status_names, ev->status));
	if (ev->filter[0])
		printf(" by %s", ev->filter);
	if (ev->error)
		printf(" (%s)", strerror(-ev->error));
	if (ev->reason[0])
		printf(": %s", ev->reason);
	if (ev->arg[0])
		printf(" [%s]", ev->arg);
	printf(" token %" PRIu64 "\n", ev->token);
}

/* --- list-types ------------------------------------------------------------------- */

static int event_list_types(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	json_t *list = json_array();
	int i;

	(void)cmd;
	(void)a;
	if (!g->json)
		printf("%-16s %-8s %-26s %s\n", "TYPE", "POSTED", "PHASES", "MEANING");
	for (i = 0; i < __VAIO_EVENT_COUNT; i++) {
		if (!g->json) {
			printf("%-16s %-8s %-26s %s\n", vaio_event_type_names[i], types[i].postable ? "by you" : "by vaio",
			       types[i].stepwise ? "prepare, commit, abort" : "notify", types[i].summary);
			continue;
		}
		json_array_append_new(list, json_pack("{s:s, s:b, s:o, s:s}", "type", vaio_event_type_names[i], "postable",
						      types[i].postable, "phases",
						      types[i].stepwise ? json_pack("[s,s,s]", "prepare", "commit", "abort") :
									  json_pack("[s]", "notify"),
						      "summary", types[i].summary));
	}
	if (g->json)
		return vaioctl_print_json(list);
	json_decref(list);
	return VAIO_OK;
}

/* --- post ----------------------------------------------------------------------------- */

static const struct vaioctl_opt post_opts[] = {
	{ "phase", "PHASE", "notify, prepare, commit or abort", false },
	{ "token", "N", "of the prepare that a commit or abort ends", false },
	{ "deadline", "TIME", "how long an accepted prepare stands; 30s unless given", false },
	{ "timeout", "TIME", "how long to wait for the filters; 60s unless given", false },
	{ "arg", "TEXT", "text for the filters: a snapshot's name, a target host", false },
	{ "no-wait", NULL, "print the token and do not wait", false },
	{ 0 },
};

static int known_type(const struct vaioctl_cmd *cmd, const char *word, bool to_post, int *type)
{
	const char *words[__VAIO_EVENT_COUNT + 1], *near;
	char list[256] = "";
	size_t used = 0;
	int i, n = 0;

	*type = vaio_word_value(vaio_event_type_names, word);
	if (*type >= 0 && (!to_post || types[*type].postable))
		return VAIO_OK;
	for (i = 0; i < __VAIO_EVENT_COUNT; i++)
		if (!to_post || types[i].postable) {
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", n ? ", " : "", vaio_event_type_names[i]);
			words[n++] = vaio_event_type_names[i];
		}
	words[n] = NULL;
	if (*type >= 0)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "type '%s' is posted by the framework only: accepted are %s", word, list);
	near = vaioctl_nearest(word, words);
	return vaioctl_cmd_fail(cmd, VAIO_USAGE, "type '%s' is unknown%s%s%s: accepted are %s", word,
				near ? ", did you mean " : "", near ? near : "", near ? "?" : "", list);
}

static int parse_post(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, struct vaio_event_post *p,
		      uint64_t *timeout)
{
	const char *word = vaioctl_opt(a, "phase");
	struct vaio_err e;
	uint64_t ms = 0;
	int type, phase, rc;

	rc = known_type(cmd, a->operand[1], true, &type);
	if (rc)
		return rc;
	p->key = a->operand[0];
	p->type = (uint32_t)type;
	p->arg = vaioctl_opt(a, "arg");
	if (p->arg && strlen(p->arg) >= VAIO_VALUE_LEN)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--arg: longer than %d bytes", VAIO_VALUE_LEN - 1);
	if (!word && types[type].stepwise)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "%s: --phase is missing: accepted are prepare, commit, abort",
					a->operand[1]);
	phase = word ? vaio_word_value(vaio_event_phase_names, word) : VAIO_PHASE_NOTIFY;
	if (phase < 0 || (phase == VAIO_PHASE_NOTIFY) == types[type].stepwise)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "%s: --phase '%s': accepted are %s", a->operand[1], word,
					types[type].stepwise ? "prepare, commit, abort" : "notify");
	p->phase = (uint32_t)phase;
	if (vaioctl_has(a, "token")) {
		rc = vaio_parse_number(vaioctl_opt(a, "token"), 1, UINT64_MAX, &p->token, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--token: %s", e.text);
	}
	if ((phase == VAIO_PHASE_COMMIT || phase == VAIO_PHASE_ABORT) != vaioctl_has(a, "token"))
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, p->token ? "--token: a %s takes none" :
					"--token is missing: a %s names the prepare that it ends", word ? word : "notify");
	if (vaioctl_has(a, "deadline")) {
		rc = vaio_parse_time(vaioctl_opt(a, "deadline"), &ms, &e);
		if (!rc && (ms < 100 || ms > 600000))
			rc = vaio_fail(&e, VAIO_USAGE, "'%s': accepted are 100ms to 10min", vaioctl_opt(a, "deadline"));
		if (!rc && phase != VAIO_PHASE_PREPARE)
			rc = vaio_fail(&e, VAIO_USAGE, "only a prepare has one");
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--deadline: %s", e.text);
		p->deadline_ms = (uint32_t)ms;
	}
	*timeout = 60000;
	if (vaioctl_has(a, "timeout")) {
		rc = vaio_parse_time(vaioctl_opt(a, "timeout"), timeout, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--timeout: %s", e.text);
	}
	return VAIO_OK;
}

static int event_post(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_event_post p = { 0 };
	struct vaio_event_info ev = { 0 };
	uint64_t token, timeout;
	struct vaio_nl *nl;
	struct vaio_err e;
	int rc;

	rc = parse_post(cmd, a, &p, &timeout);
	if (rc)
		return rc;
	rc = vaio_nl_open(&nl, &e);
	if (!rc)
		rc = vaio_nl_event_post(nl, &p, &token, &e);
	if (!rc && vaioctl_has(a, "no-wait")) {
		vaio_nl_close(nl);
		if (g->json)
			return vaioctl_print_json(json_pack("{s:I}", "token", (json_int_t)token));
		printf("token %" PRIu64 "\n", token);
		return VAIO_OK;
	}
	if (!rc)
		rc = vaio_nl_event_wait(nl, token, timeout, &ev, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (g->json)
		vaioctl_print_json(event_json(&ev));
	else
		event_line(&ev);
	switch (ev.status) {
	case VAIO_EVENT_REFUSED:
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s: refused by filter '%s': %s", a->operand[1], ev.filter,
					ev.reason[0] ? ev.reason : strerror(-ev.error));
	case VAIO_EVENT_EXPIRED:
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s: its deadline passed, the filters heard abort", a->operand[1]);
	case VAIO_EVENT_ABORTED:
		return p.phase == VAIO_PHASE_ABORT ? VAIO_OK :
		       vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s: it was aborted", a->operand[1]);
	}
	return VAIO_OK;
}

/* --- monitor ------------------------------------------------------------------------------ */

static const struct vaioctl_opt monitor_opts[] = {
	{ "disk", "NAME|UUID", "only of this disk", false },
	{ "type", "TYPE", "only of this type", false },
	{ "count", "N", "end after so many", false },
	{ "timeout", "TIME", "end after so long", false },
	{ 0 },
};

struct monitor {
	const struct vaioctl_globals *g;
	const char *disk;
	int type;
	uint64_t left;		/* 0: no end */
};

static bool monitor_one(const struct vaio_event_info *ev, void *ctx)
{
	struct monitor *m = ctx;

	if ((m->disk && strcmp(m->disk, ev->name) && strcmp(m->disk, ev->uuid)) ||
	    (m->type >= 0 && ev->type != (uint32_t)m->type))
		return true;
	if (m->g->json) {
		json_t *j = event_json(ev);

		json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(j);
	} else {
		event_line(ev);
	}
	/* A reader that is gone ends us. */
	if (fflush(stdout))
		return false;
	return !m->left || --m->left;
}

static void monitor_lost(uint32_t from, uint32_t to, void *ctx)
{
	(void)ctx;
	vaioctl_note("event monitor: %u events were lost before number %u", to - from, to);
}

static void monitor_ready(void *ctx)
{
	struct monitor *m = ctx;

	if (m->g->verbose)
		vaioctl_note("event monitor: listening");
}

static int event_monitor(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct monitor m = { .g = g, .disk = vaioctl_opt(a, "disk"), .type = -1 };
	struct vaio_listener l = { monitor_one, monitor_lost, monitor_ready, &m };
	int64_t timeout = -1;
	struct vaio_nl *nl;
	struct vaio_err e;
	bool stopped;
	uint64_t ms;
	int rc = 0;

	if (vaioctl_has(a, "type"))
		rc = known_type(cmd, vaioctl_opt(a, "type"), false, &m.type);
	if (rc)
		return rc;
	if (vaioctl_has(a, "count")) {
		rc = vaio_parse_number(vaioctl_opt(a, "count"), 1, UINT64_MAX, &m.left, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--count: %s", e.text);
	}
	if (vaioctl_has(a, "timeout")) {
		rc = vaio_parse_time(vaioctl_opt(a, "timeout"), &ms, &e);
		if (rc)
			return vaioctl_cmd_fail(cmd, rc, "--timeout: %s", e.text);
		timeout = (int64_t)ms;
	}
	rc = vaio_nl_open(&nl, &e);
	if (!rc)
		rc = vaio_nl_listen(nl, &l, timeout, &stopped, &e);
	vaio_nl_close(nl);
	if (rc)
		return vaioctl_fail_err(cmd, rc, &e);
	if (m.left && !stopped)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "the time passed with %" PRIu64 " events to come", m.left);
	return VAIO_OK;
}

const struct vaioctl_cmd vaioctl_event_cmds[] = {
	{
		.noun = "event", .verb = "post", .run = event_post, .operands = "NAME|UUID TYPE", .min_operands = 2,
		.max_operands = 2, .opts = post_opts, .summary = "tell a disk's filters of an operation, and hear their answer",
		.text = "Posting answers with a token at once; the command then waits for what the filters say.\n"
			"An accepted prepare stands until its commit, its abort or its deadline.",
	}, {
		.noun = "event", .verb = "monitor", .run = event_monitor, .opts = monitor_opts,
		.summary = "print events as they happen, with --json one object a line",
	}, {
		.noun = "event", .verb = "list-types", .run = event_list_types,
		.summary = "types of events, their phases and meaning",
	},
	{ 0 },
};
