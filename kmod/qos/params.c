// SPDX-License-Identifier: GPL-2.0
/*
 * The words of a table, and of set(): Documentation/qos.md has them.
 *
 * One table of words serves parse(), set() and show(), so that what is read back
 * can be given again.
 */
#include <linux/ctype.h>
#include <linux/kstrtox.h>
#include <linux/log2.h>
#include <linux/string.h>
#include "qos.h"

#define IOPS_MAX	10000000ULL
#define BYTES_MIN	4096ULL
#define BYTES_MAX	(1ULL << 42)
#define BURST_MS_MAX	60000
#define UNIT_MIN	4096
#define UNIT_MAX	262144

/* Words that only a table has are not in this one. */
static const char *const qos_words[] = {
	"reservation_iops", "reservation_bytes", "limit_iops", "limit_bytes", "shares",
	"cost_unit", "burst", "idle_credit", "domain", "vm", "vm_limit_iops", "vm_limit_bytes",
	NULL
};

static int set_rate(u64 *rate, const char *name, const char *value, u64 min, u64 max, char **error)
{
	u64 n;

	if (!strcmp(value, "none")) {
		*rate = 0;
		return 0;
	}
	if (kstrtou64(value, 10, &n) || n < min || n > max) {
		*error = vaio_cfg_error(NULL, "%s: '%s' is not one of none, or %llu to %llu a second",
					name, value, min, max);
		return -EINVAL;
	}
	*rate = n;
	return 0;
}

static int set_number(u32 *number, const char *name, const char *value, u32 max, const char *unit,
		      char **error)
{
	u32 n;

	if (kstrtou32(value, 10, &n) || n > max) {
		*error = vaio_cfg_error(NULL, "%s: '%s' is not 0 to %u %s", name, value, max, unit);
		return -EINVAL;
	}
	*number = n;
	return 0;
}

static int set_shares(struct qos_params *p, const char *value, char **error)
{
	u32 n;

	if (!strcmp(value, "low")) {
		n = QOS_SHARES_LOW;
	} else if (!strcmp(value, "normal")) {
		n = QOS_SHARES_NORMAL;
	} else if (!strcmp(value, "high")) {
		n = QOS_SHARES_HIGH;
	} else if (kstrtou32(value, 10, &n) || !n || n > QOS_WEIGHT_MAX) {
		*error = vaio_cfg_error(NULL, "shares: '%s' is not one of low, normal, high, or 1 to %u",
					value, QOS_WEIGHT_MAX);
		return -EINVAL;
	}
	p->shares = n;
	return 0;
}

static int set_cost_unit(struct qos_params *p, const char *value, char **error)
{
	u32 n;

	if (!strcmp(value, "off")) {
		p->shift = QOS_UNIT_OFF;
		return 0;
	}
	if (kstrtou32(value, 10, &n) || n < UNIT_MIN || n > UNIT_MAX || !is_power_of_2(n)) {
		*error = vaio_cfg_error(NULL, "cost_unit: '%s' is not one of off, 4096, 8192, 16384, 32768, 65536, 131072, 262144",
					value);
		return -EINVAL;
	}
	p->shift = ilog2(n);
	return 0;
}

/**
 * qos_params_set - change one property
 * @p: the parameters; unchanged on failure
 * @name: of the property
 * @value: its new value
 * @error: gets a sentence on failure
 *
 * May be called in any context that may sleep. Return: 0 or -EINVAL.
 */
int qos_params_set(struct qos_params *p, const char *name, const char *value, char **error)
{
	int r;

	if (!strcmp(name, "reservation_iops"))
		return set_rate(&p->reservation[QOS_OPS], name, value, 1, IOPS_MAX, error);
	if (!strcmp(name, "reservation_bytes"))
		return set_rate(&p->reservation[QOS_BYTES], name, value, BYTES_MIN, BYTES_MAX, error);
	if (!strcmp(name, "limit_iops"))
		return set_rate(&p->limit[QOS_OPS], name, value, 1, IOPS_MAX, error);
	if (!strcmp(name, "limit_bytes"))
		return set_rate(&p->limit[QOS_BYTES], name, value, BYTES_MIN, BYTES_MAX, error);
	if (!strcmp(name, "shares"))
		return set_shares(p, value, error);
	if (!strcmp(name, "cost_unit"))
		return set_cost_unit(p, value, error);
	if (!strcmp(name, "burst"))
		return set_number(&p->burst_ms, name, value, BURST_MS_MAX, "milliseconds", error);
	if (!strcmp(name, "idle_credit"))
		return set_number(&p->idle_credit, name, value, QOS_IDLE_MAX, "cost units", error);
	if (!strcmp(name, "vm_limit_iops") || !strcmp(name, "vm_limit_bytes")) {
		bool ops = !strcmp(name, "vm_limit_iops");

		if (!p->vm[0]) {
			*error = vaio_cfg_error(NULL, "%s: the disk belongs to no VM: the table has no word vm",
						name);
			return -EINVAL;
		}
		r = set_rate(&p->vm_limit[ops ? QOS_OPS : QOS_BYTES], name, value,
			     ops ? 1 : BYTES_MIN, ops ? IOPS_MAX : BYTES_MAX, error);
		if (!r)
			p->vm_limited = true;
		return r;
	}
	*error = vaio_cfg_error(NULL, "'%s' cannot be set live; what can: reservation_iops, reservation_bytes, limit_iops, limit_bytes, shares, cost_unit, burst, idle_credit, vm_limit_iops, vm_limit_bytes",
				name);
	return -EINVAL;
}
VAIO_EXPORT_FOR_KUNIT(qos_params_set);

/**
 * qos_name_valid - can a domain or a VM be called so?
 * @name: the name
 */
bool qos_name_valid(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!isgraph(*c) || !isascii(*c))
			return false;
	return c > name && c - name < VAIO_NAME_LEN;
}

static int parse_name(struct vaio_slot_cfg *cfg, const char *word, char *name, char **error)
{
	const char *value = vaio_cfg_get(cfg, word);

	if (!value)
		return 0;
	if (!qos_name_valid(value)) {
		*error = vaio_cfg_error(cfg, "%s: '%s' is not 1 to %d characters without blanks", word,
					value, VAIO_NAME_LEN - 1);
		return -EINVAL;
	}
	strscpy(name, value, VAIO_NAME_LEN);
	return 0;
}

/**
 * qos_params_parse - read the words of a table
 * @cfg: of the table
 * @p: gets the parameters, with defaults for what is not given
 * @error: gets a sentence on failure
 *
 * May sleep. Return: 0 or -EINVAL.
 */
int qos_params_parse(struct vaio_slot_cfg *cfg, struct qos_params *p, char **error)
{
	unsigned int i;
	int r;

	*p = (struct qos_params) {
		.shares = QOS_SHARES_NORMAL,
		.shift = 15,
		.burst_ms = 100,
		.idle_credit = 32,
	};
	r = vaio_cfg_only(cfg, qos_words, error);
	if (r)
		return r;

	strscpy(p->domain, cfg->geo->device, sizeof(p->domain));
	r = parse_name(cfg, "domain", p->domain, error);
	if (!r)
		r = parse_name(cfg, "vm", p->vm, error);
	if (!strcmp(p->domain, "none"))
		p->domain[0] = '\0';
	for (i = 0; !r && i < cfg->nr_props; i++) {
		const struct vaio_prop *prop = &cfg->props[i];

		if (strcmp(prop->name, "domain") && strcmp(prop->name, "vm"))
			r = qos_params_set(p, prop->name, prop->value, error);
	}
	if (!r && !p->domain[0] && (p->reservation[QOS_OPS] || p->reservation[QOS_BYTES])) {
		*error = "domain: none has nothing to reserve from: take the reservation away, or name a domain";
		r = -EINVAL;
	}
	return r;
}
VAIO_EXPORT_FOR_KUNIT(qos_params_parse);

static void show_rate(struct vaio_text *text, const char *name, u64 rate)
{
	if (rate)
		vaio_text_add(text, name, "%llu", rate);
	else
		vaio_text_add(text, name, "none");
}

/**
 * qos_params_show - what qos_params_parse() would take
 * @p: the parameters
 * @text: gets them
 */
void qos_params_show(const struct qos_params *p, struct vaio_text *text)
{
	show_rate(text, "reservation_iops", p->reservation[QOS_OPS]);
	show_rate(text, "reservation_bytes", p->reservation[QOS_BYTES]);
	show_rate(text, "limit_iops", p->limit[QOS_OPS]);
	show_rate(text, "limit_bytes", p->limit[QOS_BYTES]);
	vaio_text_add(text, "shares", "%u", p->shares);
	if (p->shift == QOS_UNIT_OFF)
		vaio_text_add(text, "cost_unit", "off");
	else
		vaio_text_add(text, "cost_unit", "%u", 1U << p->shift);
	vaio_text_add(text, "burst", "%u", p->burst_ms);
	vaio_text_add(text, "idle_credit", "%u", p->idle_credit);
	vaio_text_add(text, "domain", "%s", p->domain[0] ? p->domain : "none");
	if (p->vm[0]) {
		vaio_text_add(text, "vm", "%s", p->vm);
		show_rate(text, "vm_limit_iops", p->vm_limit[QOS_OPS]);
		show_rate(text, "vm_limit_bytes", p->vm_limit[QOS_BYTES]);
	}
}
