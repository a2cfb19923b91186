// SPDX-License-Identifier: GPL-2.0
/*
 * Four filters that do nothing, one for each class above encryption. They
 * measure what a slot costs: the bench puts them on a disk, watching everything
 * (watch both) or nothing (watch none).
 */
#include "compat.h"
#include "filter.h"

static const char *const null_words[] = { "watch", NULL };

static int null_parse(struct vaio_slot_cfg *cfg, char **error)
{
	const char *word;
	int r;

	r = vaio_cfg_only(cfg, null_words, error);
	if (r)
		return r;
	word = vaio_cfg_get(cfg, "watch");
	if (!word || !strcmp(word, "both"))
		return 0;
	if (strcmp(word, "none")) {
		*error = vaio_cfg_error(cfg, "watch: '%s' is not one of both, none", word);
		return -EINVAL;
	}
	cfg->submit = 0;
	cfg->complete = 0;
	return 0;
}

static enum vaio_verdict null_pass(struct vaio_slot *slot, struct vaio_io *io)
{
	return VAIO_PASS;
}

static void null_show(struct vaio_slot *slot, struct vaio_text *text)
{
	vaio_text_add(text, "watch", slot->cfg->submit ? "both" : "none");
}

#define NULL_FILTER(__name, __class)			\
{							\
	.name		= __name,			\
	.vendor		= "vaio",			\
	.version	= "0.1.0",			\
	.summary	= "bench: lets everything pass",	\
	.class		= __class,			\
	.submit_kinds	= VAIO_K_ALL,			\
	.complete_kinds	= VAIO_K_ALL,			\
	.parse		= null_parse,			\
	.submit		= null_pass,			\
	.complete	= null_pass,			\
	.show		= null_show,			\
}

static const struct vaio_filter null_filters[] = {
	NULL_FILTER("null-inspection", VAIO_CLASS_INSPECTION),
	NULL_FILTER("null-replication", VAIO_CLASS_REPLICATION),
	NULL_FILTER("null-cache", VAIO_CLASS_CACHE),
	NULL_FILTER("null-qos", VAIO_CLASS_QOS),
};

static int __init null_init(void)
{
	unsigned int i;
	int r;

	for (i = 0; i < ARRAY_SIZE(null_filters); i++) {
		r = vaio_register_filter(&null_filters[i], THIS_MODULE);
		if (r)
			goto bad;
	}
	return 0;
bad:
	while (i--)
		vaio_unregister_filter(&null_filters[i]);
	return vaio_init_error(r);
}

static void __exit null_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(null_filters); i++)
		vaio_unregister_filter(&null_filters[i]);
}

module_init(null_init);
module_exit(null_exit);

MODULE_DESCRIPTION("vaio bench filters: let everything pass");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("null-inspection");
MODULE_ALIAS_VAIO_FILTER("null-replication");
MODULE_ALIAS_VAIO_FILTER("null-cache");
MODULE_ALIAS_VAIO_FILTER("null-qos");
