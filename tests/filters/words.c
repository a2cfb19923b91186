// SPDX-License-Identifier: GPL-2.0
/*
 * The words of the probe filters.
 *
 *   submit_<kind>, complete_<kind>, enter_<kind>
 *		pass, complete, fail, defer-paced, defer-ordered, defer-async, and
 *		for submit: sub (put a copy in its place). complete() knows pass,
 *		fail and the deferrals. <kind>: read, write, write-fua, flush,
 *		discard, write-zeroes, secure-erase, or all.
 *   watch none	submit() and complete() are asked for only what a word names
 *   status	io, nospc, medium: of what is failed
 *   delay_ms	how long a deferred io waits
 *   hold yes	PACED ios wait for "set release all", or for quiesce
 *   log yes	write hooks into the module's log
 *   degraded yes	start() says that something is wrong
 *   fail_parse, fail_check, fail_attach, fail_start, fail_remove: yes
 *   refuse	snapshot, grow, migrate: the prepare that is refused
 *   own_io	<start>+<sectors>: write there, again and again, from below the slot
 *   max_io	largest read or write, sectors
 *   transform yes	offer a transform (that does nothing) to the slots above
 */
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include "probe.h"

static const char *const act_words[__PROBE_ACTS] = {
	"pass", "complete", "fail", "defer-paced", "defer-ordered", "defer-async", "sub",
};
static const char *const hook_words[__PROBE_HOOKS] = { "enter_", "submit_", "complete_" };
static const char *const kind_words[] = {
	"read", "write", "write-fua", "flush", "discard", "write-zeroes", "secure-erase", "all",
};

bool probe_parse_act(struct probe_words *w, const char *name, const char *value, char **error)
{
	int hook, kind, act, k;

	for (hook = 0; hook < __PROBE_HOOKS; hook++)
		if (str_has_prefix(name, hook_words[hook]))
			break;
	if (hook == __PROBE_HOOKS)
		return false;
	kind = match_string(kind_words, ARRAY_SIZE(kind_words), name + strlen(hook_words[hook]));
	if (kind < 0)
		return false;
	*error = NULL;
	act = match_string(act_words, ARRAY_SIZE(act_words), value);
	if (act < 0 || (act == PROBE_SUB && hook != PROBE_SUBMIT) ||
	    (act == PROBE_COMPLETE && hook == PROBE_COMPLETED)) {
		*error = vaio_cfg_error(NULL, "%s: '%s' is not an action of this hook", name, value);
		return true;
	}
	for (k = 0; k < __VAIO_KIND_COUNT; k++)
		if (kind == __VAIO_KIND_COUNT || k == kind)
			w->act[hook][k] = act;
	return true;
}

static int parse_own(struct probe_words *w, const char *value)
{
	char start[24];
	const char *plus = strchr(value, '+');

	if (!plus || plus - value >= sizeof(start))
		return -EINVAL;
	strscpy(start, value, plus - value + 1);
	if (kstrtou64(start, 10, &w->own_start) || kstrtou64(plus + 1, 10, &w->own_sectors) ||
	    !w->own_sectors || w->own_sectors % 8)
		return -EINVAL;
	return 0;
}

static int parse_prop(struct vaio_slot_cfg *cfg, const char *name, const char *value)
{
	static const char *const statuses[] = { "io", "nospc", "medium" };
	static const blk_status_t status_of[] = { BLK_STS_IOERR, BLK_STS_NOSPC, BLK_STS_MEDIUM };
	struct probe_words *w = cfg->priv;
	bool yes = !strcmp(value, "yes");
	int i;

	if (!strcmp(name, "watch") && !strcmp(value, "none")) {
		return 0;
	} else if (!strcmp(name, "status")) {
		i = match_string(statuses, ARRAY_SIZE(statuses), value);
		if (i < 0)
			return i;
		w->status = status_of[i];
	} else if (!strcmp(name, "delay_ms")) {
		return kstrtouint(value, 10, &w->delay_ms);
	} else if (!strcmp(name, "max_io")) {
		return kstrtouint(value, 10, &cfg->max_io_sectors);
	} else if (!strcmp(name, "refuse")) {
		static const char *const types[] = { "snapshot", "grow", "migrate" };
		static const int type_of[] = {
			VAIO_EVENT_SNAPSHOT, VAIO_EVENT_GROW, VAIO_EVENT_MIGRATE,
		};

		i = match_string(types, ARRAY_SIZE(types), value);
		if (i < 0)
			return i;
		w->refuse = type_of[i];
	} else if (!strcmp(name, "own_io")) {
		return parse_own(w, value);
	} else if (!yes) {
		return -EINVAL;
	} else if (!strcmp(name, "hold")) {
		w->hold = true;
	} else if (!strcmp(name, "log")) {
		w->log = true;
	} else if (!strcmp(name, "degraded")) {
		w->degraded = true;
	} else if (!strcmp(name, "transform")) {
		w->transform = true;
	} else if (!strcmp(name, "fail_check")) {
		w->fail_check = true;
	} else if (!strcmp(name, "fail_attach")) {
		w->fail_attach = true;
	} else if (!strcmp(name, "fail_start")) {
		w->fail_start = true;
	} else if (!strcmp(name, "fail_remove")) {
		w->fail_remove = true;
	} else {
		return -EINVAL;
	}
	return 0;
}

int probe_parse(struct vaio_slot_cfg *cfg, char **error)
{
	struct probe_words *w = kzalloc(sizeof(*w), GFP_KERNEL);
	const char *watch = vaio_cfg_get(cfg, "watch");
	unsigned int i;
	int hook, kind;

	if (!w)
		return -ENOMEM;
	cfg->priv = w;
	w->status = BLK_STS_IOERR;
	w->refuse = -1;
	if (watch)
		cfg->submit = cfg->complete = 0;
	cfg->enter = 0;

	for (i = 0; i < cfg->nr_props; i++) {
		const struct vaio_prop *p = &cfg->props[i];

		if (probe_parse_act(w, p->name, p->value, error)) {
			if (*error)
				return -EINVAL;
		} else if (parse_prop(cfg, p->name, p->value)) {
			*error = vaio_cfg_error(cfg, "%s: '%s' is not understood", p->name,
						p->value);
			return -EINVAL;
		}
	}
	for (hook = 0; hook < __PROBE_HOOKS; hook++) {
		u32 *mask = hook == PROBE_ENTER ? &cfg->enter :
			    hook == PROBE_SUBMIT ? &cfg->submit : &cfg->complete;

		for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
			if (w->act[hook][kind] != PROBE_PASS)
				*mask |= 1U << kind;
	}
	/* what submit() put in must be taken out */
	for (kind = 0; kind < __VAIO_KIND_COUNT; kind++)
		if (w->act[PROBE_SUBMIT][kind] == PROBE_SUB)
			cfg->complete |= 1U << kind;
	return 0;
}

void probe_unparse(struct vaio_slot_cfg *cfg)
{
	kfree(cfg->priv);
}
