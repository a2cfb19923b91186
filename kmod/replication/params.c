// SPDX-License-Identifier: GPL-2.0
/*
 * Words: of a table, and the properties of a group.
 */
#include <linux/kstrtox.h>
#include <linux/string.h>
#include "repl.h"

#define RING_MIN	(4ULL * VAIO_REPL_CHUNK)
#define RING_MAX	(64ULL << 30)
#define RING_DEFAULT	(64ULL << 20)
#define TIME_MAX_MS	(24 * 3600 * 1000U)
#define WATCHDOG_MIN_MS	1000
#define INTENT_CAP	1024

/* --- tables ---------------------------------------------------------------- */

static const char *const table_words[] = { "group", "sidecar", "intent_cap", NULL };

int repl_table_parse(struct vaio_slot_cfg *cfg, struct repl_table *table, char **error)
{
	const char *word;
	int err;

	*table = (struct repl_table) { .intent_cap = INTENT_CAP };
	err = vaio_cfg_only(cfg, table_words, error);
	if (err)
		return err;

	word = vaio_cfg_get(cfg, "sidecar");
	if (word && strcmp(word, "required") && strcmp(word, "none")) {
		*error = vaio_cfg_error(cfg, "sidecar: '%s' is not one of required, none", word);
		return -EINVAL;
	}
	table->no_sidecar = word && !strcmp(word, "none");

	word = vaio_cfg_get(cfg, "intent_cap");
	if (word && (kstrtou32(word, 10, &table->intent_cap) || table->intent_cap < 64 ||
		     table->intent_cap > REPL_INTENT_MAX)) {
		*error = vaio_cfg_error(cfg, "intent_cap: '%s' is not a number of 4 MiB extents, 64 to %d",
					word, REPL_INTENT_MAX);
		return -EINVAL;
	}

	word = vaio_cfg_get(cfg, "group");
	if (word) {
		struct repl_group *g;

		if (strscpy(table->group, word, sizeof(table->group)) < 0) {
			*error = vaio_cfg_error(cfg, "group: '%.*s' is longer than %d characters",
						VAIO_NAME_LEN, word, VAIO_NAME_LEN - 1);
			return -EINVAL;
		}
		g = repl_group_find(table->group);
		if (!g) {
			*error = vaio_cfg_error(cfg, "group: there is no group '%s'; `vaioctl group create %s` makes it",
						table->group, table->group);
			return -ENOENT;
		}
		repl_group_put(g);
	}
	return 0;
}

/* --- groups ---------------------------------------------------------------- */

static const char *const loss_words[] = {
	[REPL_TRACK]		= "track",
	[REPL_STALL_TRACK]	= "track",
	[REPL_STALL_FAIL]	= "fail",
	[REPL_HOLD]		= "hold",
};

void repl_props_init(struct repl_props *props)
{
	*props = (struct repl_props) {
		.ring_bytes	= RING_DEFAULT,
		.grace_ms	= 60000,
		.watchdog_ms	= 30000,
		.on_loss	= REPL_TRACK,
	};
}

/* A number and one of the units; the result is in the unit whose factor is 1. */
struct unit {
	const char	*word;
	u64		factor;
};

static const struct unit times[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }, { } };
static const struct unit sizes[] = {
	{ "KiB", 1ULL << 10 }, { "MiB", 1ULL << 20 }, { "GiB", 1ULL << 30 }, { },
};

static int read_units(const char *text, size_t len, const struct unit *units, u64 *value)
{
	size_t digits = 0, i;
	char number[20];

	while (digits < len && text[digits] >= '0' && text[digits] <= '9')
		digits++;
	if (!digits || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (kstrtou64(number, 10, value))
		return -EINVAL;
	for (i = 0; units[i].word; i++) {
		if (strlen(units[i].word) != len - digits ||
		    memcmp(units[i].word, text + digits, len - digits))
			continue;
		if (*value > div64_u64(U64_MAX, units[i].factor))
			return -ERANGE;
		*value *= units[i].factor;
		return 0;
	}
	return -EINVAL;
}

static int read_time(const char *name, const char *text, u32 min_ms, u32 max_ms, u32 *ms, char **error)
{
	u64 value;

	if (read_units(text, strlen(text), times, &value) || value < min_ms || value > max_ms) {
		*error = vaio_cfg_error(NULL, "%s: '%s' is not a time from %u ms to %u s; a number and one of ms, s, min, h",
					name, text, min_ms, max_ms / 1000);
		return -EINVAL;
	}
	*ms = value;
	return 0;
}

static int read_on_loss(struct repl_props *props, const char *text, char **error)
{
	const char *comma = strchr(text, ',');
	u64 ms;

	if (!strcmp(text, "track") || !strcmp(text, "hold")) {
		props->on_loss = text[0] == 't' ? REPL_TRACK : REPL_HOLD;
		props->stall_ms = 0;
		return 0;
	}
	if (!strncmp(text, "stall:", 6) && comma && (!strcmp(comma, ",track") || !strcmp(comma, ",fail")) &&
	    !read_units(text + 6, comma - text - 6, times, &ms) && ms && ms <= REPL_STALL_MAX_MS) {
		props->on_loss = comma[1] == 't' ? REPL_STALL_TRACK : REPL_STALL_FAIL;
		props->stall_ms = ms;
		return 0;
	}
	*error = vaio_cfg_error(NULL, "on_loss: '%s' is not one of track, stall:<time>,track, stall:<time>,fail, hold, with a time of at most %d s",
				text, REPL_STALL_MAX_MS / 1000);
	return -EINVAL;
}

/**
 * repl_props_set - a property of a group
 * @props: to be changed
 * @name: of the property
 * @value: as text
 * @fresh: the group is being made
 * @error: gets a sentence on failure
 *
 * Return: 0 or a negative errno; nothing has changed then.
 */
int repl_props_set(struct repl_props *props, const char *name, const char *value, bool fresh,
		   char **error)
{
	u64 bytes;

	if (!strcmp(name, "mode")) {
		if (strcmp(value, "async") && strcmp(value, "sync")) {
			*error = vaio_cfg_error(NULL, "mode: '%s' is not one of async, sync", value);
			return -EINVAL;
		}
		props->sync = value[0] == 's';
		return 0;
	}
	if (!strcmp(name, "on_loss"))
		return read_on_loss(props, value, error);
	if (!strcmp(name, "agent_grace"))
		return read_time(name, value, 0, TIME_MAX_MS, &props->grace_ms, error);
	if (!strcmp(name, "watchdog"))
		return read_time(name, value, WATCHDOG_MIN_MS, TIME_MAX_MS, &props->watchdog_ms, error);
	if (!strcmp(name, "resync_rate")) {
		if (!strcmp(value, "any")) {
			props->resync_rate = 0;
			return 0;
		}
		if (read_units(value, strlen(value), sizes, &bytes) || bytes < SZ_64K) {
			*error = vaio_cfg_error(NULL, "resync_rate: '%s' is neither any nor a number of bytes a second from 64KiB on; a number and one of KiB, MiB, GiB",
						value);
			return -EINVAL;
		}
		props->resync_rate = bytes;
		return 0;
	}
	if (!strcmp(name, "ring")) {
		if (!fresh) {
			*error = "ring: its size is fixed when the group is made";
			return -EBUSY;
		}
		if (read_units(value, strlen(value), sizes, &bytes) || bytes < RING_MIN ||
		    bytes > RING_MAX || bytes % VAIO_REPL_CHUNK) {
			*error = vaio_cfg_error(NULL, "ring: '%s' is not a multiple of 4MiB from 16MiB to 64GiB; a number and one of KiB, MiB, GiB",
						value);
			return -EINVAL;
		}
		props->ring_bytes = bytes;
		return 0;
	}
	if (!strcmp(name, "target")) {
		if (strscpy(props->target, value, sizeof(props->target)) < 0) {
			*error = "target: longer than 255 characters";
			return -EINVAL;
		}
		return 0;
	}
	*error = vaio_cfg_error(NULL, "unknown property '%s'; accepted: mode, on_loss, agent_grace, watchdog, ring, resync_rate, target",
				name);
	return -EINVAL;
}

static void show_time(struct vaio_text *text, const char *name, u32 ms)
{
	if (ms % 1000)
		vaio_text_add(text, name, "%ums", ms);
	else
		vaio_text_add(text, name, "%us", ms / 1000);
}

void repl_props_show(const struct repl_props *props, struct vaio_text *text)
{
	vaio_text_add(text, "mode", "%s", props->sync ? "sync" : "async");
	if (props->on_loss == REPL_STALL_TRACK || props->on_loss == REPL_STALL_FAIL)
		vaio_text_add(text, "on_loss", "stall:%ums,%s", props->stall_ms,
			      loss_words[props->on_loss]);
	else
		vaio_text_add(text, "on_loss", "%s", loss_words[props->on_loss]);
	show_time(text, "agent_grace", props->grace_ms);
	show_time(text, "watchdog", props->watchdog_ms);
	vaio_text_add(text, "ring", "%lluMiB", props->ring_bytes >> 20);
	if (props->resync_rate)
		vaio_text_add(text, "resync_rate", "%lluKiB", props->resync_rate >> 10);
	else
		vaio_text_add(text, "resync_rate", "any");
	vaio_text_add(text, "target", "%s", props->target);
}
