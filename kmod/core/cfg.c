// SPDX-License-Identifier: GPL-2.0
/*
 * What one table asks of one slot: words become pairs, the filter parses them.
 *
 * Values may be secrets: they are wiped when they are freed, and no message of
 * this file shows one.
 */
#include <linux/kref.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/stdarg.h>
#include "core.h"

#define VAIO_CFG_MAX_WORDS	128

/*
 * Error sentences. device-mapper prints ti->error after the constructor has
 * returned, and netlink sends its message after the handler has: both long
 * after a failed configuration was freed, and neither frees what it was given.
 * So the sentences live in a ring that is never freed. A sentence is overwritten
 * when VAIO_ERRORS others were made before it was printed; what is printed then
 * is still a sentence, ended by the last byte, which is never written.
 */
#define VAIO_ERRORS	16
static char vaio_errors[VAIO_ERRORS][VAIO_REASON_LEN];
static unsigned int vaio_errors_next;
static DEFINE_SPINLOCK(vaio_errors_lock);

/**
 * vaio_verror - make an error sentence that nobody has to free
 * @fmt: as for printf
 * @args: likewise; may point to sentences made before
 *
 * Any context. Return: the sentence, cut at VAIO_REASON_LEN - 1 characters.
 */
char *vaio_verror(const char *fmt, va_list args)
{
	char text[VAIO_REASON_LEN];
	unsigned long flags;
	char *slot;

	vsnprintf(text, sizeof(text), fmt, args);
	spin_lock_irqsave(&vaio_errors_lock, flags);
	slot = vaio_errors[vaio_errors_next++ % VAIO_ERRORS];
	strscpy(slot, text, VAIO_REASON_LEN);
	spin_unlock_irqrestore(&vaio_errors_lock, flags);
	return slot;
}

/**
 * vaio_error - make an error sentence that nobody has to free
 * @fmt: as for printf
 *
 * As vaio_verror().
 */
char *vaio_error(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = vaio_verror(fmt, args);
	va_end(args);
	return text;
}
EXPORT_SYMBOL_GPL(vaio_error);

/**
 * vaio_cfg_error - an error sentence for *error of parse() and the like
 * @cfg: the configuration, or NULL
 * @fmt: as for printf; name the wrong word and what is accepted, never a secret
 *
 * Any context. The sentence needs no freeing and outlives @cfg.
 * Return: the sentence.
 */
char *vaio_cfg_error(struct vaio_slot_cfg *cfg, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = vaio_verror(fmt, args);
	va_end(args);
	return text;
}
EXPORT_SYMBOL_GPL(vaio_cfg_error);

/**
 * vaio_cfg_get - value of a property
 * @cfg: the configuration
 * @name: of the property
 *
 * Any context. Return: the value, valid as long as @cfg; NULL when the table
 * does not give it.
 */
const char *vaio_cfg_get(const struct vaio_slot_cfg *cfg, const char *name)
{
	unsigned int i;

	for (i = 0; i < cfg->nr_props; i++)
		if (!strcmp(cfg->props[i].name, name))
			return cfg->props[i].value;
	return NULL;
}
EXPORT_SYMBOL_GPL(vaio_cfg_get);

/* "a, b, c" of names up to NULL, cut to len. */
static void join_names(char *buf, size_t len, const char *const *names)
{
	size_t n = 0;

	strscpy(buf, "none", len);
	for (; *names; names++)
		n += scnprintf(buf + n, len - n, "%s%s", n ? ", " : "", *names);
}

/**
 * vaio_cfg_only - refuse properties that a filter does not know
 * @cfg: the configuration
 * @names: the known ones; NULL ends them
 * @error: gets a sentence that names the unknown one and the known
 *
 * Any context. Return: 0 or -EINVAL.
 */
int vaio_cfg_only(struct vaio_slot_cfg *cfg, const char *const *names, char **error)
{
	char known[VAIO_REASON_LEN / 2];
	unsigned int i, k;

	for (i = 0; i < cfg->nr_props; i++) {
		for (k = 0; names[k]; k++)
			if (!strcmp(cfg->props[i].name, names[k]))
				break;
		if (names[k])
			continue;
		join_names(known, sizeof(known), names);
		*error = vaio_cfg_error(cfg, "unknown property '%s'; accepted: %s",
					cfg->props[i].name, known);
		return -EINVAL;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_cfg_only);

static void cfg_free(struct kref *ref)
{
	struct vaio_slot_cfg *cfg = container_of(ref, struct vaio_slot_cfg, ref);
	const struct vaio_filter *filter = cfg->filter;
	struct module *owner = cfg->owner;
	unsigned int i;

	if (filter->unparse)
		filter->unparse(cfg);
	for (i = 0; i < cfg->nr_props; i++) {
		kfree(cfg->props[i].name);
		kfree_sensitive(cfg->props[i].value);
	}
	kfree(cfg->props);
	kfree(cfg);
	vaio_filter_put(filter, owner);
}

/**
 * vaio_cfg_put - drop a reference
 * @cfg: the configuration, or NULL
 *
 * With the last one it is unparsed, its values are wiped, and the filter's
 * module is let go. May sleep.
 */
void vaio_cfg_put(struct vaio_slot_cfg *cfg)
{
	if (cfg)
		kref_put(&cfg->ref, cfg_free);
}
EXPORT_SYMBOL_GPL(vaio_cfg_put);

static int add_prop(struct vaio_slot_cfg *cfg, const char *name, const char *value, char **error)
{
	struct vaio_prop *prop = &cfg->props[cfg->nr_props];

	if (!vaio_name_valid(name)) {
		*error = vaio_cfg_error(cfg, "'%.*s' is no property: 1 to %d letters, digits, '-' and '_'",
					VAIO_NAME_LEN, name, VAIO_NAME_LEN - 1);
		return -EINVAL;
	}
	if (strnlen(value, VAIO_VALUE_LEN) == VAIO_VALUE_LEN) {
		*error = vaio_cfg_error(cfg, "the value of '%s' is longer than %d characters",
					name, VAIO_VALUE_LEN - 1);
		return -EINVAL;
	}
	if (vaio_cfg_get(cfg, name)) {
		*error = vaio_cfg_error(cfg, "property '%s' is given twice", name);
		return -EINVAL;
	}
	prop->name = kstrdup(name, GFP_KERNEL);
	prop->value = kstrdup(value, GFP_KERNEL);
	cfg->nr_props++;	/* from here on cfg_free() sees it */
	if (!prop->name || !prop->value) {
		*error = "not enough memory for the properties";
		return -ENOMEM;
	}
	return 0;
}

/* Words become pairs, the filter parses them. On failure the caller drops cfg. */
static int cfg_fill(struct vaio_slot_cfg *cfg, unsigned int nr_words, char **words, char **error)
{
	const struct vaio_filter *filter = cfg->filter;
	const char *wrong;
	unsigned int i;
	int err;

	if (nr_words > VAIO_CFG_MAX_WORDS) {
		*error = vaio_cfg_error(cfg, "%u words; at most %d", nr_words, VAIO_CFG_MAX_WORDS);
		return -EINVAL;
	}
	if (nr_words % 2) {
		/* which word is missing cannot be known, and the last may be a secret */
		*error = vaio_cfg_error(cfg, "%u words; pairs of a name and a value are wanted",
					nr_words);
		return -EINVAL;
	}
	cfg->props = kcalloc(max(nr_words / 2, 1U), sizeof(*cfg->props), GFP_KERNEL);
	if (!cfg->props) {
		*error = "not enough memory for the properties";
		return -ENOMEM;
	}
	for (i = 0; i < nr_words; i += 2) {
		err = add_prop(cfg, words[i], words[i + 1], error);
		if (err)
			return err;
	}

	err = filter->parse(cfg, error);
	if (err)
		return err < 0 ? err : -EINVAL;
	wrong = vaio_filter_check_io(filter, cfg->submit, cfg->complete, cfg->enter, cfg->io_size);
	if (!wrong && (cfg->max_io_sectors % (4096 >> SECTOR_SHIFT) ||
		       cfg->max_io_sectors > UINT_MAX >> SECTOR_SHIFT))
		wrong = "its largest request is no multiple of 4096 bytes, or too large";
	if (wrong) {
		*error = vaio_cfg_error(cfg, "the filter breaks its contract: %s", wrong);
		return -EINVAL;
	}
	return 0;
}

static int append_filter_name(const struct vaio_filter *filter, void *arg)
{
	char *names = arg;

	if (names[0])
		strlcat(names, ", ", VAIO_REASON_LEN / 2);
	strlcat(names, filter->name, VAIO_REASON_LEN / 2);
	return 0;
}

static char *no_such_filter(const char *name)
{
	char names[VAIO_REASON_LEN / 2] = "";

	vaio_filter_walk(append_filter_name, names);
	return vaio_error("no filter '%.*s': not registered, and no module vaio-filter-%.*s; registered: %s",
			  VAIO_NAME_LEN, name, VAIO_NAME_LEN, name, names[0] ? names : "none");
}

/**
 * vaio_cfg_new - make a configuration from a table's words
 * @name: of the filter; its module is loaded when needed
 * @geo: of the table; copied
 * @nr_words: names and values together
 * @words: name, value, name, value, ...; copied
 * @error: gets a sentence on failure that needs no freeing
 *
 * May sleep, long. Return: the configuration with one reference, or ERR_PTR:
 * -ENOENT (no such filter), -EINVAL, -ENOMEM, or what the filter's parse() said.
 */
struct vaio_slot_cfg *vaio_cfg_new(const char *name, const struct vaio_geometry *geo,
				   unsigned int nr_words, char **words, char **error)
{
	const struct vaio_filter *filter;
	struct vaio_slot_cfg *cfg;
	struct module *owner;
	char *why = NULL;
	int err;

	filter = vaio_filter_get(name, &owner);
	if (!filter) {
		*error = no_such_filter(name);
		return ERR_PTR(-ENOENT);
	}
	cfg = kzalloc(sizeof(*cfg), GFP_KERNEL);
	if (!cfg) {
		vaio_filter_put(filter, owner);
		*error = "not enough memory for a configuration";
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&cfg->ref);
	cfg->filter = filter;
	cfg->owner = owner;
	cfg->geo_copy = *geo;
	cfg->geo = &cfg->geo_copy;
	cfg->io_size = filter->io_size;
	cfg->submit = filter->submit_kinds;
	cfg->complete = filter->complete_kinds;
	cfg->enter = filter->enter_kinds;

	err = cfg_fill(cfg, nr_words, words, &why);
	if (err) {
		*error = vaio_error("filter '%s': %s", name, why ?: "its arguments are refused");
		vaio_cfg_put(cfg);
		return ERR_PTR(err);
	}
	return cfg;
}
EXPORT_SYMBOL_GPL(vaio_cfg_new);
