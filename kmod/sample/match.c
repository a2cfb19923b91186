// SPDX-License-Identifier: GPL-2.0
/*
 * The sample filter: looks for a byte pattern in what is written, counts the
 * writes that have it, and fails them if asked to.
 *
 *	read, flush	not asked for
 *	write, FUA	submit: searched; with action fail a match ends it here
 *	discard, write-zeroes, secure-erase	not asked for
 *
 * It is meant to be read: Documentation/filters.md goes through it. It shows the
 * life of a slot, properties, a live one, a verdict, and statistics. It is no
 * virus scanner: a guest that changes its buffer while it is being written can
 * hide what it likes, for this filter looks and does not copy.
 */
#include <linux/highmem.h>
#include <linux/kstrtox.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include "compat.h"
#include "filter.h"
#include "pattern.h"

enum match_action {
	MATCH_COUNT,
	MATCH_FAIL,
};

/* What a table asked for: cfg->priv. Never changes once parsed. */
struct match_table {
	struct pattern		pattern;
	enum match_action	action;
	blk_status_t		status;
};

struct match_stats {
	u64	searched;
	u64	matched;
};

/**
 * struct match_slot - the filter on one disk: slot->priv
 * @table: of the table adopted last
 * @action: begins as the table's, may be changed live
 * @stats: per CPU, so that counting takes no lock and no atomic operation
 */
struct match_slot {
	const struct match_table	*table;
	enum match_action		action;
	struct match_stats __percpu	*stats;
};

/* --- words ---------------------------------------------------------------- */

static const char *const match_words[] = { "pattern", "where", "action", "status", NULL };

static int match_parse_action(struct vaio_slot_cfg *cfg, const char *word,
			      enum match_action *action, char **error)
{
	if (!strcmp(word, "count")) {
		*action = MATCH_COUNT;
	} else if (!strcmp(word, "fail")) {
		*action = MATCH_FAIL;
	} else {
		*error = vaio_cfg_error(cfg, "action: '%s' is not one of count, fail", word);
		return -EINVAL;
	}
	return 0;
}

static int match_parse_pattern(struct vaio_slot_cfg *cfg, struct pattern *p, char **error)
{
	const char *word = vaio_cfg_get(cfg, "pattern");
	const char *where = vaio_cfg_get(cfg, "where");
	size_t digits;

	if (!word) {
		*error = "pattern is missing; wanted: pattern <2 to 128 hexadecimal digits>";
		return -EINVAL;
	}
	digits = strlen(word);
	if (!digits || digits % 2 || digits > 2 * PATTERN_MAX ||
	    hex2bin(p->bytes, word, digits / 2)) {
		*error = vaio_cfg_error(cfg, "pattern: '%s' is not 2 to 128 hexadecimal digits, two a byte",
					word);
		return -EINVAL;
	}
	p->len = digits / 2;
	p->block = cfg->geo->block_size;
	p->where = PATTERN_ANY;
	if (where && strcmp(where, "any") &&
	    (kstrtouint(where, 10, &p->where) || p->where > p->block - p->len)) {
		*error = vaio_cfg_error(cfg, "where: '%s' is not one of any, or 0 to %u (the pattern has to fit into a block of %u bytes)",
					where, p->block - p->len, p->block);
		return -EINVAL;
	}
	pattern_prepare(p);
	return 0;
}

/*
 * A table is being made; another one of this disk may be live. Everything that
 * can be wrong is found here, where saying so changes nothing.
 */
static int match_parse(struct vaio_slot_cfg *cfg, char **error)
{
	struct match_table *table;
	const char *word;
	int r;

	r = vaio_cfg_only(cfg, match_words, error);
	if (r)
		return r;
	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table) {
		*error = "no memory";
		return -ENOMEM;
	}
	/* From here on unparse() frees it, also when parse() fails. */
	cfg->priv = table;

	r = match_parse_pattern(cfg, &table->pattern, error);
	if (r)
		return r;

	word = vaio_cfg_get(cfg, "action");
	r = word ? match_parse_action(cfg, word, &table->action, error) : 0;
	if (r)
		return r;

	word = vaio_cfg_get(cfg, "status");
	if (!word || !strcmp(word, "io")) {
		table->status = BLK_STS_IOERR;
	} else if (!strcmp(word, "nospc")) {
		table->status = BLK_STS_NOSPC;
	} else {
		*error = vaio_cfg_error(cfg, "status: '%s' is not one of io, nospc", word);
		return -EINVAL;
	}
	return 0;
}

static void match_unparse(struct vaio_slot_cfg *cfg)
{
	kfree(cfg->priv);
}

/* --- the slot's life ------------------------------------------------------ */

static int match_attach(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct match_slot *ms;

	ms = kzalloc(sizeof(*ms), GFP_KERNEL);
	if (!ms)
		return -ENOMEM;
	ms->stats = alloc_percpu(struct match_stats);
	if (!ms->stats) {
		kfree(ms);
		return -ENOMEM;
	}
	slot->priv = ms;
	return 0;
}

/* No io is in flight, so what submit() reads may change without a lock. */
static void match_adopt(struct vaio_slot *slot, struct vaio_slot_cfg *cfg)
{
	struct match_slot *ms = slot->priv;

	/* After a plain suspend the table is the same: what was set live stays. */
	if (ms->table != cfg->priv) {
		ms->table = cfg->priv;
		ms->action = ms->table->action;
	}
}

static void match_detach(struct vaio_slot *slot)
{
	struct match_slot *ms = slot->priv;

	free_percpu(ms->stats);
	kfree(ms);
}

/* --- the way down --------------------------------------------------------- */

static bool match_found(const struct pattern *pattern, const struct bio *bio)
{
	struct pattern_search search = { };
	struct bvec_iter iter;
	struct bio_vec bv;
	bool found = false;

	/* A copy of the bio's iterator is what moves: the bio is not ours to use up. */
	bio_for_each_segment(bv, bio, iter) {
		u8 *data = bvec_kmap_local(&bv);

		found = pattern_feed(pattern, &search, data, bv.bv_len);
		kunmap_local(data);
		if (found)
			break;
	}
	return found;
}

static enum vaio_verdict match_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct match_slot *ms = slot->priv;

	this_cpu_inc(ms->stats->searched);
	if (!match_found(&ms->table->pattern, io->bio))
		return VAIO_PASS;

	this_cpu_inc(ms->stats->matched);
	if (READ_ONCE(ms->action) == MATCH_COUNT)
		return VAIO_PASS;
	io->status = ms->table->status;
	return VAIO_FAIL;
}

/* --- the administrator ---------------------------------------------------- */

static int match_set(struct vaio_slot *slot, const char *name, const char *value, char **error)
{
	struct match_slot *ms = slot->priv;
	enum match_action action;
	int r;

	if (strcmp(name, "action")) {
		*error = vaio_cfg_error(slot->cfg, "'%s' cannot be set live; what can: action", name);
		return -EINVAL;
	}
	r = match_parse_action(slot->cfg, value, &action, error);
	if (!r)
		WRITE_ONCE(ms->action, action);
	return r;
}

static void match_show(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct match_slot *ms = slot->priv;
	const struct match_table *table = ms->table;

	vaio_text_add(text, "pattern", "%*phN", (int)table->pattern.len, table->pattern.bytes);
	if (table->pattern.where == PATTERN_ANY)
		vaio_text_add(text, "where", "any");
	else
		vaio_text_add(text, "where", "%u", table->pattern.where);
	vaio_text_add(text, "action", READ_ONCE(ms->action) == MATCH_FAIL ? "fail" : "count");
	vaio_text_add(text, "status", table->status == BLK_STS_NOSPC ? "nospc" : "io");
}

static void match_stats(struct vaio_slot *slot, struct vaio_text *text)
{
	const struct match_slot *ms = slot->priv;
	u64 searched = 0, matched = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		searched += per_cpu_ptr(ms->stats, cpu)->searched;
		matched += per_cpu_ptr(ms->stats, cpu)->matched;
	}
	vaio_text_add(text, "searched", "%llu", searched);
	vaio_text_add(text, "matched", "%llu", matched);
}

static const struct vaio_filter match_filter = {
	.name		= "match",
	.vendor		= "vaio",
	.version	= "0.1.0",
	.summary	= "sample: counts or fails writes that have a byte pattern",
	.class		= VAIO_CLASS_INSPECTION,
	.submit_kinds	= VAIO_K_WRITES,
	.parse		= match_parse,
	.unparse	= match_unparse,
	.attach		= match_attach,
	.adopt		= match_adopt,
	.detach		= match_detach,
	.submit		= match_submit,
	.set		= match_set,
	.show		= match_show,
	.stats		= match_stats,
};

module_vaio_filter(match_filter);

MODULE_DESCRIPTION("vaio sample filter: byte patterns in writes");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("match");
