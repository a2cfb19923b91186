// SPDX-License-Identifier: GPL-2.0
/* The table line: parsed, made, refused. */
#include "unit.h"

#define U "0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49"

static struct vaio_table t;

static void assert_round_trip(const char *line)
{
	char *out = malloc(VAIO_TABLE_LINE);

	assert_non_null(out);
	if (vaio_table_parse(line, &t, &err))
		fail_msg("'%s': %s", line, err.text);
	assert_int_equal(vaio_table_line(&t, out, VAIO_TABLE_LINE, &err), VAIO_OK);
	assert_string_equal(out, line);
	vaio_table_free(&t);
	free(out);
}

static void test_round_trip(void **state)
{
	(void)state;
	assert_round_trip("0 8 vaio 7:0 0 2 uuid " U " 0");
	assert_round_trip("0 524288 vaio 253:11 2048 2 uuid " U " 1 match 2 pattern deadbeef");
	assert_round_trip("0 524288 vaio /dev/vg/lv 0 2 uuid " U " 2 empty 0 crypt 6 cipher aes-xts-plain64 key "
			  ":64:logon:vaio:" U " sector_size 4096");
	assert_round_trip("0 36028797018963967 vaio 7:0 1 14 uuid " U " sidecar /dev/loop1 identity file:ab:3 cleartext_filters "
			  "deny latency on takeover yes lose_dirty_blocks yes 0");
}

/* What the kernel prints may differ from what was loaded: order and defaults. */
static void test_same_meaning(void **state)
{
	(void)state;
	assert_int_equal(vaio_table_parse("0 8\tvaio  7:0 0 6 latency off cleartext_filters allow uuid "
					  "0B8C3B8E-6F0C-4C5E-9A2E-4F6D1C2B3A49 0\n", &t, &err), VAIO_OK);
	assert_string_equal(t.uuid, U);
	assert_false(t.latency || t.deny_cleartext || t.takeover || t.lose_dirty);
	assert_int_equal(t.sectors, 8);
	vaio_table_free(&t);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *word;
	} bad[] = {
		{ "", "the start" },
		{ "x 8 vaio 7:0 0 2 uuid " U " 0", "'x'" },
		{ "8 8 vaio 7:0 0 2 uuid " U " 0", "starts at 0" },
		{ "0", "the length" },
		{ "0 0 vaio 7:0 0 2 uuid " U " 0", "length is 0" },
		{ "0 -8 vaio 7:0 0 2 uuid " U " 0", "'-8'" },
		{ "0 8", "the target's name" },
		{ "0 8 linear 7:0 0", "'linear'" },
		{ "0 8 vaio", "the backing device" },
		{ "0 8 vaio 7:0", "the offset" },
		{ "0 8 vaio 7:0 1k 2 uuid " U " 0", "'1k'" },
		{ "0 8 vaio 7:0 0", "number of feature words" },
		{ "0 8 vaio 7:0 0 99 uuid " U " 0", "'99'" },
		{ "0 8 vaio 7:0 0 0 0", "'uuid' is missing" },
		{ "0 8 vaio 7:0 0 1 uuid " U " 0", "pairs" },
		{ "0 8 vaio 7:0 0 2 uuid xyz 0", "'xyz'" },
		{ "0 8 vaio 7:0 0 2 uuid", "a feature's value" },
		{ "0 8 vaio 7:0 0 4 uuid " U " uuid " U " 0", "given twice" },
		{ "0 8 vaio 7:0 0 4 uuid " U " colour red 0", "'colour' is not one of uuid" },
		{ "0 8 vaio 7:0 0 4 uuid " U " latency maybe 0", "'maybe' is not one of on, off" },
		{ "0 8 vaio 7:0 0 4 uuid " U " cleartext_filters no 0", "deny, allow" },
		{ "0 8 vaio 7:0 0 4 uuid " U " takeover no 0", "'no' is not one of yes" },
		{ "0 8 vaio 7:0 0 2 uuid " U, "the number of filters" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 17", "'17'" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1", "a filter's name" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match", "number of words" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 1 pattern", "pairs" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 2 pattern", "a property's value" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 2", "a property's name" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 4 pattern aa pattern bb", "given twice" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 2 match 0 match 0", "given twice" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 ma/tch 0", "'ma/tch'" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 0 more", "'more' after its end" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 2 pa.ttern x", "'pa.ttern'" },
		{ "0 8 vaio 7:0 0 2 uuid " U " 1 match 2 pattern a\\b", "without blank and backslash" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_error(vaio_table_parse(bad[i].line, &t, &err), VAIO_USAGE, bad[i].word);
		assert_int_equal(t.n_filters, 0);
	}
}

static void test_too_long(void **state)
{
	char *line = malloc(VAIO_TABLE_LINE + 64), name[400], small[64];
	int n;

	(void)state;
	assert_non_null(line);
	memset(line, ' ', VAIO_TABLE_LINE + 8);
	strcpy(line + VAIO_TABLE_LINE + 8, "0");
	assert_error(vaio_table_parse(line, &t, &err), VAIO_USAGE, "longer than");
	memset(name, 'd', 300);
	name[300] = 0;
	n = snprintf(line, VAIO_TABLE_LINE, "0 8 vaio %s 0 2 uuid " U " 0", name);
	assert_true(n < VAIO_TABLE_LINE);
	assert_error(vaio_table_parse(line, &t, &err), VAIO_USAGE, "longer than 127");
	snprintf(line, VAIO_TABLE_LINE, "0 8 vaio 7:0 0 2 uuid " U " 1 match 2 pattern %s", name);
	assert_error(vaio_table_parse(line, &t, &err), VAIO_USAGE, "1 to 255");
	/* And making one that does not fit. */
	assert_int_equal(vaio_table_parse("0 8 vaio 7:0 0 2 uuid " U " 1 match 2 pattern aa", &t, &err), VAIO_OK);
	assert_error(vaio_table_params(&t, small, sizeof(small), &err), VAIO_FAILED, "longer than 63");
	vaio_table_free(&t);
	free(line);
}

static void test_specs(void **state)
{
	struct vaio_table_filter *f;

	(void)state;
	memset(&t, 0, sizeof(t));
	assert_int_equal(vaio_table_add_filter_spec(&t, "match,pattern=dead,action=fail", &err), VAIO_OK);
	assert_int_equal(vaio_table_add_filter_spec(&t, "crypt", &err), VAIO_OK);
	f = vaio_table_find(&t, "match");
	assert_non_null(f);
	assert_string_equal(vaio_table_prop(f, "action"), "fail");
	assert_null(vaio_table_prop(f, "none"));
	assert_null(vaio_table_find(&t, "none"));
	assert_false(vaio_table_has_key(&t));
	/* A value may hold '=' and ':'. */
	assert_int_equal(vaio_table_add_prop(vaio_table_find(&t, "crypt"), "key", ":64:logon:a=b", &err), VAIO_OK);
	assert_true(vaio_table_has_key(&t));
	assert_error(vaio_table_add_filter_spec(&t, "match", &err), VAIO_USAGE, "given twice");
	assert_error(vaio_table_add_filter_spec(&t, "", &err), VAIO_USAGE, "filter ''");
	assert_error(vaio_table_add_filter_spec(&t, "other,pattern", &err), VAIO_USAGE, "'pattern' is not of the form");
	assert_error(vaio_table_add_filter_spec(&t, "more,a=", &err), VAIO_USAGE, "property 'a'");
	assert_error(vaio_table_add_filter_spec(&t, "last,a=1,a=2", &err), VAIO_USAGE, "given twice");
	vaio_table_free(&t);
}

static void test_limits(void **state)
{
	char name[32];
	int i;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (i = 0; i < VAIO_TABLE_MAX_FILTERS; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(vaio_table_add_filter(&t, name, NULL, &err), VAIO_OK);
	}
	assert_error(vaio_table_add_filter(&t, "toomany", NULL, &err), VAIO_USAGE, "at most");
	for (i = 0; i < VAIO_TABLE_MAX_PROPS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(vaio_table_add_prop(&t.filters[0], name, "1", &err), VAIO_OK);
	}
	assert_error(vaio_table_add_prop(&t.filters[0], "toomany", "1", &err), VAIO_USAGE, "at most");
	vaio_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_same_meaning), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_specs), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
