// SPDX-License-Identifier: GPL-2.0
/*
 * The registry of filters, and configurations made from a table's words.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/workqueue.h>
#include "core.h"

static struct {
	int parsed, unparsed;
	int parse_result;
	char *parse_error;
	u32 submit;
} seen;

static int test_parse(struct vaio_slot_cfg *cfg, char **error)
{
	seen.parsed++;
	if (seen.submit)
		cfg->submit = seen.submit;
	*error = seen.parse_error;
	return seen.parse_result;
}

static void test_unparse(struct vaio_slot_cfg *cfg)
{
	seen.unparsed++;
}

static enum vaio_verdict test_hook(struct vaio_slot *slot, struct vaio_io *io)
{
	return VAIO_PASS;
}

#define TEST_FILTER(filter_name, filter_class) {	\
	.name = filter_name,				\
	.vendor = "vendor",				\
	.version = "1.0",				\
	.summary = "a test",				\
	.class = filter_class,				\
	.parse = test_parse,				\
	.unparse = test_unparse,			\
}

static const struct vaio_filter qos_filter = TEST_FILTER("test-qos", VAIO_CLASS_QOS);
static const struct vaio_filter other_qos_filter = TEST_FILTER("test-qos2", VAIO_CLASS_QOS);
static const struct vaio_filter cache_filter = TEST_FILTER("test-cache", VAIO_CLASS_CACHE);
static const struct vaio_filter same_name_filter = TEST_FILTER("test-qos", VAIO_CLASS_CACHE);

static const struct vaio_geometry geometry = { .name = "vm1", .sectors = 1000, .block_size = 512 };

static int registry_init(struct kunit *test)
{
	memset(&seen, 0, sizeof(seen));
	/* real filters may be loaded */
	WRITE_ONCE(vaio_exclusive, false);
	return 0;
}

static void registry_exit(struct kunit *test)
{
	WRITE_ONCE(vaio_exclusive, true);
}

static struct vaio_slot_cfg *make(struct kunit *test, const char *name, char **words, int nr,
				  char **error)
{
	*error = NULL;
	return vaio_cfg_new(name, &geometry, nr, words, error);
}

#define WORDS(...) (char *[]){ __VA_ARGS__ }, ARRAY_SIZE(((char *[]){ __VA_ARGS__ }))

/* --- registry ----------------------------------------------------------------- */

static void second_of_a_name_or_class_is_refused(struct kunit *test)
{
	unsigned int count = vaio_filter_count();

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	WRITE_ONCE(vaio_exclusive, true);
	KUNIT_EXPECT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), -EEXIST);
	KUNIT_EXPECT_EQ(test, vaio_register_filter(&same_name_filter, THIS_MODULE), -EEXIST);
	KUNIT_EXPECT_EQ(test, vaio_register_filter(&other_qos_filter, THIS_MODULE), -EEXIST);
	KUNIT_EXPECT_EQ(test, vaio_filter_count(), count + 1);

	WRITE_ONCE(vaio_exclusive, false);
	KUNIT_EXPECT_EQ(test, vaio_register_filter(&other_qos_filter, THIS_MODULE), 0);
	KUNIT_EXPECT_EQ(test, vaio_register_filter(&same_name_filter, THIS_MODULE), -EEXIST);
	vaio_unregister_filter(&other_qos_filter);

	/* the one whose registration failed takes nobody else's away */
	vaio_unregister_filter(&same_name_filter);
	KUNIT_EXPECT_EQ(test, vaio_filter_count(), count + 1);
	vaio_unregister_filter(&qos_filter);
	KUNIT_EXPECT_EQ(test, vaio_filter_count(), count);
}

#define BROKEN(what, ...) do {								\
	struct vaio_filter filter = TEST_FILTER("test-broken", VAIO_CLASS_QOS);		\
	__VA_ARGS__;									\
	KUNIT_EXPECT_EQ_MSG(test, vaio_register_filter(&filter, THIS_MODULE), -EINVAL,	\
			    "%s was accepted", what);					\
} while (0)

static void broken_filters_are_refused(struct kunit *test)
{
	static char long_text[VAIO_VALUE_LEN + 1];
	unsigned int count = vaio_filter_count();

	memset(long_text, 'x', VAIO_VALUE_LEN);
	BROKEN("no name", filter.name = NULL);
	BROKEN("an empty name", filter.name = "");
	BROKEN("a name with a blank", filter.name = "a b");
	BROKEN("a name with a slash", filter.name = "../a");
	BROKEN("a name that is not ASCII", filter.name = "gr\xc3\xbcn");
	BROKEN("a name of 32 characters", filter.name = "abcdefghijklmnopqrstuvwxyz012345");
	BROKEN("no vendor", filter.vendor = NULL);
	BROKEN("no version", filter.version = NULL);
	BROKEN("no summary", filter.summary = NULL);
	BROKEN("a long summary", filter.summary = long_text);
	BROKEN("a class that is none", filter.class = __VAIO_CLASS_COUNT);
	BROKEN("a negative class", filter.class = -1);
	BROKEN("an unknown capability", filter.caps = 1U << 31);
	BROKEN("no parse hook", filter.parse = NULL);
	BROKEN("kinds without a submit hook", filter.submit_kinds = VAIO_K(READ));
	BROKEN("kinds without a complete hook", filter.complete_kinds = VAIO_K(READ));
	BROKEN("kinds without an enter hook", filter.enter_kinds = VAIO_K(READ));
	BROKEN("a kind that is none", filter.submit = test_hook,
	       filter.submit_kinds = 1U << __VAIO_KIND_COUNT);
	BROKEN("a huge state per io", filter.io_size = 1 << 20);
	BROKEN("an unbounded quiesce", filter.quiesce_ms = 3600 * 1000);
	KUNIT_EXPECT_EQ(test, vaio_filter_count(), count);
}

static int note_class(const struct vaio_filter *filter, void *arg)
{
	char *order = arg;

	if (!strncmp(filter->name, "test-", 5))
		order[strlen(order)] = '0' + filter->class;
	return 0;
}

static void walk_is_in_class_order(struct kunit *test)
{
	static const struct vaio_filter filters[] = {
		TEST_FILTER("test-c", VAIO_CLASS_ENCRYPTION),
		TEST_FILTER("test-a", VAIO_CLASS_INSPECTION),
		TEST_FILTER("test-d", VAIO_CLASS_QOS),
		TEST_FILTER("test-b", VAIO_CLASS_REPLICATION),
		TEST_FILTER("test-e", VAIO_CLASS_CACHE),
	};
	char order[16] = "";
	int i;

	for (i = 0; i < ARRAY_SIZE(filters); i++)
		KUNIT_ASSERT_EQ(test, vaio_register_filter(&filters[i], THIS_MODULE), 0);
	vaio_filter_walk(note_class, order);
	KUNIT_EXPECT_STREQ(test, order, "01234");
	for (i = 0; i < ARRAY_SIZE(filters); i++)
		vaio_unregister_filter(&filters[i]);
}

struct unregister_work {
	struct work_struct	work;
	bool			let_go;
	bool			let_go_before;
	struct completion	started;
};

static void unregister_fn(struct work_struct *work)
{
	struct unregister_work *w = container_of(work, struct unregister_work, work);

	complete(&w->started);
	vaio_unregister_filter(&qos_filter);
	w->let_go_before = READ_ONCE(w->let_go);
}

static void unregister_waits_for_users(struct kunit *test)
{
	struct unregister_work w = {};
	const struct vaio_filter *found;
	struct vaio_slot_cfg *cfg;
	struct module *owner;
	char *error;

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, NULL), 0);
	cfg = make(test, "test-qos", NULL, 0, &error);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cfg));

	INIT_WORK_ONSTACK(&w.work, unregister_fn);
	init_completion(&w.started);
	schedule_work(&w.work);
	wait_for_completion(&w.started);
	/* it lets no new users in; then what it waits for is the old one */
	do {
		found = vaio_filter_get("test-qos", &owner);
		if (found)
			vaio_filter_put(found, owner);
	} while (found);

	WRITE_ONCE(w.let_go, true);
	vaio_cfg_put(cfg);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	KUNIT_EXPECT_TRUE(test, w.let_go_before);
	KUNIT_EXPECT_EQ(test, seen.unparsed, 1);
}

static void names_of_classes_and_kinds(struct kunit *test)
{
	KUNIT_EXPECT_STREQ(test, vaio_class_name(VAIO_CLASS_INSPECTION), "inspection");
	KUNIT_EXPECT_STREQ(test, vaio_class_name(VAIO_CLASS_ENCRYPTION), "encryption");
	KUNIT_EXPECT_STREQ(test, vaio_class_name(__VAIO_CLASS_COUNT), "unknown");
	KUNIT_EXPECT_STREQ(test, vaio_class_name(-1), "unknown");
	KUNIT_EXPECT_STREQ(test, vaio_kind_name(VAIO_KIND_WRITE_FUA), "write-fua");
	KUNIT_EXPECT_STREQ(test, vaio_kind_name(__VAIO_KIND_COUNT), "unknown");
}

/* --- configurations -------------------------------------------------------------- */

static void words_become_pairs(struct kunit *test)
{
	char key[] = "key", value[] = "secret";
	struct vaio_slot_cfg *cfg;
	char *error;

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	cfg = make(test, "test-qos", WORDS(key, value, "mode", "fast"), &error);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cfg));
	/* copied: device-mapper frees the words */
	memset(key, 'x', sizeof(key) - 1);
	memset(value, 'x', sizeof(value) - 1);
	KUNIT_EXPECT_EQ(test, cfg->nr_props, 2);
	KUNIT_EXPECT_STREQ(test, vaio_cfg_get(cfg, "key"), "secret");
	KUNIT_EXPECT_STREQ(test, vaio_cfg_get(cfg, "mode"), "fast");
	KUNIT_EXPECT_NULL(test, vaio_cfg_get(cfg, "mod"));
	KUNIT_EXPECT_STREQ(test, cfg->geo->name, "vm1");
	KUNIT_EXPECT_PTR_NE(test, cfg->geo, &geometry);

	kref_get(&cfg->ref);
	vaio_cfg_put(cfg);
	KUNIT_EXPECT_EQ(test, seen.unparsed, 0);
	vaio_cfg_put(cfg);
	KUNIT_EXPECT_EQ(test, seen.parsed, 1);
	KUNIT_EXPECT_EQ(test, seen.unparsed, 1);
	vaio_unregister_filter(&qos_filter);
}

static void wrong_words_are_named(struct kunit *test)
{
	static char long_value[VAIO_VALUE_LEN + 1];
	static char *many[200];
	const struct {
		char **words;
		int nr;
		const char *error;
	} cases[] = {
		{ WORDS("alone"), "1 words; pairs" },
		{ WORDS("a", "1", "b"), "3 words; pairs" },
		{ WORDS("rate", "1", "rate", "2"), "property 'rate' is given twice" },
		{ WORDS("ra te", "1"), "'ra te' is no property" },
		{ WORDS("", "1"), "'' is no property" },
		{ WORDS("key", long_value), "the value of 'key' is longer than 255 characters" },
		{ many, ARRAY_SIZE(many), "200 words; at most 128" },
	};
	struct vaio_slot_cfg *cfg;
	char *error;
	int i;

	memset(long_value, 's', VAIO_VALUE_LEN);
	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = "x";
	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cfg = make(test, "test-qos", cases[i].words, cases[i].nr, &error);
		KUNIT_EXPECT_PTR_EQ(test, cfg, ERR_PTR(-EINVAL));
		KUNIT_ASSERT_NOT_NULL(test, error);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(error, cases[i].error), "said: %s", error);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(error, "filter 'test-qos'"), "said: %s", error);
		/* a value may be a secret */
		KUNIT_EXPECT_NULL(test, strstr(error, "ssss"));
	}
	KUNIT_EXPECT_EQ(test, seen.parsed, 0);
	vaio_unregister_filter(&qos_filter);
}

static void unknown_filter_names_the_known(struct kunit *test)
{
	struct vaio_slot_cfg *cfg;
	char *error, *known;

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	KUNIT_ASSERT_EQ(test, vaio_register_filter(&cache_filter, THIS_MODULE), 0);
	cfg = make(test, "test-none", NULL, 0, &error);
	KUNIT_EXPECT_PTR_EQ(test, cfg, ERR_PTR(-ENOENT));
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(error, "no filter 'test-none'"), "said: %s", error);
	/* in class order, and others may stand between */
	known = strstr(error, "test-cache, ");
	KUNIT_EXPECT_NOT_NULL_MSG(test, known, "said: %s", error);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(known ?: "", "test-qos"), "said: %s", error);
	/* not a name: no module is asked for */
	cfg = make(test, "../../etc/passwd", NULL, 0, &error);
	KUNIT_EXPECT_PTR_EQ(test, cfg, ERR_PTR(-ENOENT));
	vaio_unregister_filter(&qos_filter);
	vaio_unregister_filter(&cache_filter);
}

static void unknown_property_is_named(struct kunit *test)
{
	static const char *const known[] = { "rate", "burst", NULL };
	static const char *const nothing[] = { NULL };
	struct vaio_slot_cfg *cfg;
	char *error = NULL;

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	cfg = make(test, "test-qos", WORDS("rate", "1", "brust", "2"), &error);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cfg));
	KUNIT_EXPECT_EQ(test, vaio_cfg_only(cfg, known, &error), -EINVAL);
	KUNIT_EXPECT_STREQ(test, error, "unknown property 'brust'; accepted: rate, burst");
	KUNIT_EXPECT_EQ(test, vaio_cfg_only(cfg, nothing, &error), -EINVAL);
	KUNIT_EXPECT_STREQ(test, error, "unknown property 'rate'; accepted: none");
	vaio_cfg_put(cfg);
	cfg = make(test, "test-qos", WORDS("rate", "1"), &error);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cfg));
	KUNIT_EXPECT_EQ(test, vaio_cfg_only(cfg, known, &error), 0);
	vaio_cfg_put(cfg);
	vaio_unregister_filter(&qos_filter);
}

static void failed_parse_is_unparsed(struct kunit *test)
{
	struct vaio_slot_cfg *cfg;
	char *error;

	KUNIT_ASSERT_EQ(test, vaio_register_filter(&qos_filter, THIS_MODULE), 0);
	seen.parse_result = -EKEYREJECTED;
	seen.parse_error = "bad key";
	cfg = make(test, "test-qos", NULL, 0, &error);
	KUNIT_EXPECT_PTR_EQ(test, cfg, ERR_PTR(-EKEYREJECTED));
	KUNIT_EXPECT_STREQ(test, error, "filter 'test-qos': bad key");
	KUNIT_EXPECT_EQ(test, seen.unparsed, 1);

	seen.parse_error = NULL;	/* a filter that gives no reason */
	cfg = make(test, "test-qos", NULL, 0, &error);
	KUNIT_EXPECT_TRUE(test, IS_ERR(cfg));
	KUNIT_EXPECT_STREQ(test, error, "filter 'test-qos': its arguments are refused");

	seen.parse_result = 0;		/* a filter that asks for a hook it has not */
	seen.submit = VAIO_K(READ);
	cfg = make(test, "test-qos", NULL, 0, &error);
	KUNIT_EXPECT_PTR_EQ(test, cfg, ERR_PTR(-EINVAL));
	KUNIT_EXPECT_EQ(test, seen.unparsed, 3);
	vaio_unregister_filter(&qos_filter);
}

static void errors_outlive_their_cause(struct kunit *test)
{
	char *first = vaio_error("first %d", 1), *last = NULL;
	char expected[16];
	int i;

	for (i = 2; i <= 16; i++)
		last = vaio_error("error %d", i);
	KUNIT_EXPECT_STREQ(test, first, "first 1");
	KUNIT_EXPECT_STREQ(test, last, "error 16");
	/* one made from another, all the way round the ring */
	for (i = 0; i < 40; i++)
		last = vaio_error("%s", last);
	snprintf(expected, sizeof(expected), "error %d", 16);
	KUNIT_EXPECT_STREQ(test, last, expected);
}

static void host_ids(struct kunit *test)
{
	static const char *const bad[] = {
		"", "\n", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
		"0123456789abcdef0123456789abcdeg", "00000000000000000000000000000000",
		"01234567-89ab-cdef-0123-456789abcde", "0123456789ab-cdef-0123-4567-89abcdef",
		"01234567-89ab-cdef-0123+456789abcdef", "0123456789abcdef0123456789abcdef\n\n",
	};
	static const u8 expected[VAIO_HOST_ID_LEN] = {
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
	};
	u8 id[VAIO_HOST_ID_LEN];
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, vaio_host_parse(bad[i], id), -EINVAL, "'%s'", bad[i]);
	KUNIT_EXPECT_EQ(test, vaio_host_parse("0123456789abcdef0123456789ABCDEF\n", id), 0);
	KUNIT_EXPECT_EQ(test, memcmp(id, expected, sizeof(id)), 0);
	memset(id, 0, sizeof(id));
	KUNIT_EXPECT_EQ(test, vaio_host_parse("01234567-89ab-cdef-0123-456789abcdef", id), 0);
	KUNIT_EXPECT_EQ(test, memcmp(id, expected, sizeof(id)), 0);
}

static struct kunit_case registry_cases[] = {
	KUNIT_CASE(second_of_a_name_or_class_is_refused),
	KUNIT_CASE(broken_filters_are_refused),
	KUNIT_CASE(walk_is_in_class_order),
	KUNIT_CASE(unregister_waits_for_users),
	KUNIT_CASE(names_of_classes_and_kinds),
	KUNIT_CASE(words_become_pairs),
	KUNIT_CASE(wrong_words_are_named),
	KUNIT_CASE(unknown_filter_names_the_known),
	KUNIT_CASE(unknown_property_is_named),
	KUNIT_CASE(failed_parse_is_unparsed),
	KUNIT_CASE(errors_outlive_their_cause),
	KUNIT_CASE(host_ids),
	{}
};

static struct kunit_suite registry_suite = {
	.name = "registry",
	.init = registry_init,
	.exit = registry_exit,
	.test_cases = registry_cases,
};

kunit_test_suite(registry_suite);
