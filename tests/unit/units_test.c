// SPDX-License-Identifier: GPL-2.0
/* Numbers with units, UUIDs, names; reasons from the kernel log; words of the ABI. */
#include "unit.h"

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0B", 0 }, { "1B", 1 }, { "8s", 4096 }, { "1KiB", 1024 }, { "1.5KiB", 1536 }, { "16MiB", 16777216 },
		{ "10GiB", 10737418240 }, { "0.5TiB", 549755813888 }, { "9007199254740993B", 9007199254740993 },
	};
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "''" }, { "10", "lacks a unit" }, { "GiB", "not a number" }, { "1GB", "'GB' is unknown" },
		{ "1gib", "'gib' is unknown" }, { "-1B", "not a number" }, { "1.2.3KiB", "not a number" }, { ".5KiB", "not a number" },
		{ "1.KiB", "not a number" }, { "0.3B", "whole number" }, { "1 KiB", "unknown" }, { "99999999999TiB", "too large" },
		{ "1KiBx", "unknown" }, { "0x10B", "unknown" }, { "1e3B", "unknown" },
		{ "123456789012345678901234567890123456789B", "not a number" },
	};
	uint64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(vaio_parse_size(good[i].text, &v, &err), VAIO_OK);
		assert_int_equal(v, good[i].bytes);
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_error(vaio_parse_size(bad[i].text, &v, &err), VAIO_USAGE, bad[i].word);
}

static void test_times(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(vaio_parse_time("250ms", &v, &err), VAIO_OK);
	assert_int_equal(v, 250);
	assert_int_equal(vaio_parse_time("1.5s", &v, &err), VAIO_OK);
	assert_int_equal(v, 1500);
	assert_int_equal(vaio_parse_time("2min", &v, &err), VAIO_OK);
	assert_int_equal(v, 120000);
	assert_int_equal(vaio_parse_time("1h", &v, &err), VAIO_OK);
	assert_int_equal(v, 3600000);
	assert_error(vaio_parse_time("5", &v, &err), VAIO_USAGE, "accepted are ms, s, min, h");
	assert_error(vaio_parse_time("5m", &v, &err), VAIO_USAGE, "'m' is unknown");
	assert_error(vaio_parse_time("1KiB", &v, &err), VAIO_USAGE, "'KiB' is unknown");
}

static void test_numbers(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(vaio_parse_number("18446744073709551615", 0, UINT64_MAX, &v, &err), VAIO_OK);
	assert_true(v == UINT64_MAX);
	assert_error(vaio_parse_number("18446744073709551616", 0, UINT64_MAX, &v, &err), VAIO_USAGE, "not a number from 0");
	assert_error(vaio_parse_number("-1", 0, 10, &v, &err), VAIO_USAGE, "'-1'");
	assert_error(vaio_parse_number(" 1", 0, 10, &v, &err), VAIO_USAGE, "' 1'");
	assert_error(vaio_parse_number("1x", 0, 10, &v, &err), VAIO_USAGE, "'1x'");
	assert_error(vaio_parse_number("11", 0, 10, &v, &err), VAIO_USAGE, "from 0 to 10");
	assert_error(vaio_parse_number("", 0, 10, &v, &err), VAIO_USAGE, "''");
}

static void test_formats(void **state)
{
	char b[32];

	(void)state;
	assert_string_equal(vaio_format_size(b, sizeof(b), 0), "0 B");
	assert_string_equal(vaio_format_size(b, sizeof(b), 1023), "1023 B");
	assert_string_equal(vaio_format_size(b, sizeof(b), 1536), "1.5 KiB");
	assert_string_equal(vaio_format_size(b, sizeof(b), 268435456), "256 MiB");
	assert_string_equal(vaio_format_us(b, sizeof(b), 128), "128 us");
	assert_string_equal(vaio_format_us(b, sizeof(b), 2048), "2.0 ms");
	assert_string_equal(vaio_format_us(b, sizeof(b), 33554432), "34 s");
}

static void test_uuids(void **state)
{
	char u[VAIO_UUID_STR_LEN], v[VAIO_UUID_STR_LEN];

	(void)state;
	assert_int_equal(vaio_uuid_parse("0B8C3B8E-6F0C-4C5E-9A2E-4F6D1C2B3A49", u, &err), VAIO_OK);
	assert_string_equal(u, "0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49");
	assert_error(vaio_uuid_parse("0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a4", u, &err), VAIO_USAGE, "not a UUID");
	assert_error(vaio_uuid_parse("0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a490", u, &err), VAIO_USAGE, "not a UUID");
	assert_error(vaio_uuid_parse("0b8c3b8e16f0c-4c5e-9a2e-4f6d1c2b3a49", u, &err), VAIO_USAGE, "not a UUID");
	assert_error(vaio_uuid_parse("gb8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49", u, &err), VAIO_USAGE, "not a UUID");
	assert_error(vaio_uuid_parse("", u, &err), VAIO_USAGE, "not a UUID");
	assert_error(vaio_uuid_parse("00000000-0000-0000-0000-000000000000", u, &err), VAIO_USAGE, "nil");
	assert_int_equal(vaio_uuid_random(u, &err), VAIO_OK);
	assert_int_equal(vaio_uuid_random(v, &err), VAIO_OK);
	assert_true(vaio_uuid_valid(u) && u[14] == '4' && strcmp(u, v));
}

static void test_names(void **state)
{
	char longest[VAIO_DEVNAME_LEN + 1];

	(void)state;
	assert_true(vaio_dm_name_valid("vm1-vda"));
	assert_true(vaio_dm_name_valid("a.b_c+d=e@f:g#h"));
	assert_false(vaio_dm_name_valid(""));
	assert_false(vaio_dm_name_valid("-x"));
	assert_false(vaio_dm_name_valid("."));
	assert_false(vaio_dm_name_valid(".."));
	assert_false(vaio_dm_name_valid("control"));	/* device-mapper's own node */
	assert_false(vaio_dm_name_valid("a/b"));
	assert_false(vaio_dm_name_valid("a b"));
	assert_false(vaio_dm_name_valid("a\\x20b"));
	memset(longest, 'a', sizeof(longest));
	longest[VAIO_DEVNAME_LEN - 1] = 0;
	assert_true(vaio_dm_name_valid(longest));
	longest[VAIO_DEVNAME_LEN - 1] = 'a';
	longest[VAIO_DEVNAME_LEN] = 0;
	assert_false(vaio_dm_name_valid(longest));
	assert_true(vaio_name_valid("write-back_2"));
	assert_false(vaio_name_valid("a.b"));
	assert_false(vaio_value_valid(""));
	assert_false(vaio_value_valid("a b"));
	assert_false(vaio_value_valid("a\\b"));
	assert_true(vaio_value_valid(":64:logon:vaio:x"));
}

static void test_kernel_log(void **state)
{
	char t[256];

	(void)state;
	assert_true(vaio_klog_parse("3,812,99,-;device-mapper: table: 253:0: vaio: filter 'x' is unknown (-EINVAL)\n", t, sizeof(t)));
	assert_string_equal(t, "filter 'x' is unknown");
	assert_true(vaio_klog_parse("3,1,1,-;device-mapper: table: 254:3: vaio: no filter (see above) (-ENOENT)\n", t, sizeof(t)));
	assert_string_equal(t, "no filter (see above)");
	assert_true(vaio_klog_parse("3,1,1,-;device-mapper: table: 254:3: vaio: key (missing)\n", t, sizeof(t)));
	assert_string_equal(t, "key (missing)");
	assert_true(vaio_klog_parse("4,2,2,-;vaio: disk vm1: sidecar is of another disk\n SUBSYSTEM=block\n", t, sizeof(t)));
	assert_string_equal(t, "disk vm1: sidecar is of another disk");
	assert_true(vaio_klog_parse("4,2,2,-;vaio_crypt: self test\n", t, sizeof(t)));
	assert_false(vaio_klog_parse("6,2,2,-;device-mapper: ioctl: error adding target to table\n", t, sizeof(t)));
	assert_false(vaio_klog_parse("6,2,2,-;loop0: detected capacity change\n", t, sizeof(t)));
	assert_false(vaio_klog_parse("no record", t, sizeof(t)));
	assert_false(vaio_klog_parse("", t, sizeof(t)));
}

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(vaio_word(vaio_class_names, VAIO_CLASS_ENCRYPTION), "encryption");
	assert_string_equal(vaio_word(vaio_kind_names, VAIO_KIND_SECURE_ERASE), "secure-erase");
	assert_string_equal(vaio_word(vaio_event_type_names, VAIO_EVENT_STATE), "state");
	assert_string_equal(vaio_word(vaio_class_names, 4000000000U), "?");
	assert_int_equal(vaio_word_value(vaio_event_phase_names, "abort"), VAIO_PHASE_ABORT);
	assert_int_equal(vaio_word_value(vaio_event_phase_names, "Abort"), -1);
}

static void test_latency(void **state)
{
	uint64_t ns;

	(void)state;
	assert_int_equal(vaio_parse_latency("500us", &ns, NULL), VAIO_OK);
	assert_int_equal(ns, 500000);
	assert_int_equal(vaio_parse_latency("1.5ms", &ns, NULL), VAIO_OK);
	assert_int_equal(ns, 1500000);
	assert_int_equal(vaio_parse_latency("10s", &ns, NULL), VAIO_OK);
	assert_int_equal(ns, 10000000000ULL);
	assert_int_equal(vaio_parse_latency("10", &ns, NULL), VAIO_USAGE);
	assert_int_equal(vaio_parse_latency("1min", &ns, NULL), VAIO_USAGE);
	assert_int_equal(vaio_parse_latency("0.0001us", &ns, NULL), VAIO_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_times), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_formats), cmocka_unit_test(test_uuids), cmocka_unit_test(test_names),
		cmocka_unit_test(test_kernel_log), cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
