// SPDX-License-Identifier: GPL-2.0
/* Names: what is no text in UTF-8 is refused where it comes in, and what a store has of it all the same does no harm. */
#include "one_store.h"

#include "../../userspace/libreplica/report.h"

/* As from a program that did not look at names. */
static int old_checkpoint(const char *name, uint32_t flags)
{
	size_t len;
	const void *batch = checkpoint_batch(name, flags, &len);

	return vr_store_append_own(st, batch, len, &why);
}

static const struct { const char *text, *clean; } texts[] = {
	{ "", "" }, { "vm1 ~", "vm1 ~" }, { "caf\xc3\xa9", "caf\xc3\xa9" }, { "\xe2\x82\xac\xf0\x9f\x92\xbe", "\xe2\x82\xac\xf0\x9f\x92\xbe" },
	{ "\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf" },
	/* Latin-1, cut ones, one without its beginning */
	{ "caf\xe9", "caf?" }, { "\xe9t\xe9", "?t?" }, { "a\xe2\x82", "a??" }, { "\xf0\x9f\x92", "???" }, { "\x82x", "?x" }, { "\xc3x", "?x" },
	/* too long, halves of a pair, beyond the last one */
	{ "\xc0\xaf", "??" }, { "\xe0\x80\xaf", "???" }, { "\xf0\x8f\xbf\xbf", "????" }, { "\xed\xa0\x80", "???" },
	{ "\xf4\x90\x80\x80", "????" }, { "\xff\xfe", "??" },
	/* control characters, of both kinds */
	{ "a\nb\x7f", "a?b?" }, { "\xc2\x9b[2J", "??[2J" },
};

static void test_characters(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char text[64];
		json_t *j;

		strcpy(text, texts[i].text);
		assert_int_equal(vr_text_utf8(text), !strcmp(text, texts[i].clean));
		vr_text_clean(text);
		assert_string_equal(text, texts[i].clean);
		assert_true(vr_text_utf8(text));
		/* the library for JSON thinks the same of it */
		j = json_string(text);
		assert_non_null(j);
		json_decref(j);
	}
	assert_int_equal(vr_text_cut("caf\xc3\xa9", 5, 5), 5);
	assert_int_equal(vr_text_cut("caf\xc3\xa9", 5, 4), 3);
	assert_int_equal(vr_text_cut("caf\xc3\xa9", 5, 3), 3);
	assert_int_equal(vr_text_cut("a\xf0\x9f\x92\xbe", 5, 4), 1);
	assert_int_equal(vr_text_cut("\xe2\x82\xac", 3, 2), 0);
	/* it was none before */
	assert_int_equal(vr_text_cut("a\x82\x82\x82\x82\x82", 6, 5), 5);
	vr_fail(&why, 0, "'%.4s'", "caf\xc3\xa9");
	assert_string_equal(why.text, "'caf?'");
}

static int message(uint16_t type, const void *p, size_t len)
{
	struct vaio_rw_msg h;

	vr_message_header(&h, type, p, len);
	return vr_message_check(&h, p, len, &why);
}

/* Where they come in. */
static void test_refused(void **state)
{
	struct { struct vaio_rw_hello h; struct vaio_rw_generation g; } hello = {
		.h = {
			.group = { 1 }, .host = { 1 }, .ring = { 1 }, .connection = htole64(1), .next_seq = htole64(1), .nr_generations = htole16(1),
			.generation = { .id = { 1 }, .counter = htole64(1), .first_seq = htole64(1) },
		},
	};
	struct vaio_rw_checkpoint_request request = { .kind = htole32(VAIO_RW_C_CRASH) };
	struct vr_point p;

	(void)state;
	hello.g = hello.h.generation;
	for (int i = 0; i < 3; i++) {
		strcpy((char *)hello.h.host_name, i == 1 ? "caf\xe9" : "caf\xc3\xa9");
		strcpy((char *)hello.h.group_name, i == 2 ? "\xc2\x9b" : "\xc2\xb5");
		assert_int_equal(message(VAIO_RW_HELLO, &hello, sizeof(hello)), i ? -EPROTO : 0);
		if (i)
			assert_non_null(strstr(why.text, "UTF-8"));
	}
	strcpy((char *)request.name, "caf\xc3\xa9");
	assert_int_equal(message(VAIO_RW_CHECKPOINT_REQUEST, &request, sizeof(request)), 0);
	strcpy((char *)request.name, "caf\xe9");
	assert_int_equal(message(VAIO_RW_CHECKPOINT_REQUEST, &request, sizeof(request)), -EPROTO);
	begin_named("g", 0);
	ok(checkpoint("caf\xc3\xa9", 0));
	ok(vr_store_commit(st, &why));
	ok(vr_point_find(st, "name:caf\xc3\xa9", 0, &p, &why));
	strcpy(p.name, "caf\xe9");
	assert_int_equal(vr_mark_add(st, &p, true, &why), -EINVAL);
	assert_non_null(strstr(why.text, "UTF-8"));
	assert_int_equal(vr_store_client(st, "CN=caf\xe9", true, &why), -EINVAL);
	assert_int_equal(checkpoint("caf\xe9", 0), -EPROTO);
	assert_non_null(strstr(why.text, "UTF-8"));
	end();
}

static unsigned int names_like(const char *name)
{
	json_t *j = vr_report_points(st, 0, 100, &why), *p;
	unsigned int n = 0;
	size_t i;

	assert_non_null(j);
	json_array_foreach(json_object_get(j, "names"), i, p)
		n += !strcmp(json_string_value(json_object_get(p, "name")), name);
	json_decref(j);
	return n;
}

static void be(char name[VAIO_RW_NAME_LEN], const char *text)
{
	memset(name, 0, VAIO_RW_NAME_LEN);
	strcpy(name, text);
}

/* It opens, all of it is told, and what is held can be let go by the name that is told. */
static void test_old_store(void **state)
{
	struct vr_point p;
	json_t *j;

	(void)state;
	begin_named("caf\xe9", 0);
	ok(old_checkpoint("\xe9t\xe9", 0));
	ok(vr_store_commit(st, &why));
	ok(vr_point_find(st, "latest", 0, &p, &why));
	for (int i = 0; i < 2; i++) {
		sprintf(p.name, "held%d", i);
		ok(vr_mark_add(st, &p, true, &why));
		be(st->super->marks[st->super->nr_marks - 1].name, i ? "h\xc3" : "h\xe9");
	}
	be(st->super->source_name, "h\xf4te");
	for (unsigned int i = 0; i < st->super->base.nr_members; i++)
		be(st->super->base.members[i].name, "vd\xe0");
	ok(vr_super_write(st, &why));
	reopen();
	j = vr_report_store(st);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "name")), "caf?");
	assert_string_equal(json_string_value(json_object_get(j, "source")), "h?te");
	json_decref(j);
	assert_int_equal(names_like("?t?"), 1);
	ok(vr_point_find(st, "name:?t?", 0, &p, &why));
	assert_string_equal(p.name, "?t?");
	/* two of one point, which are told as one now */
	assert_int_equal(names_like("h?"), 1);
	ok(vr_mark_remove(st, "h?", &why));
	assert_int_equal(names_like("h?"), 1);
	ok(vr_mark_remove(st, "h?", &why));
	assert_int_equal(vr_mark_remove(st, "h?", &why), -ENOENT);
	reopen();
	assert_int_equal(names_like("h?"), 0);
	end();
}

/* The name of one that is held beside another one is cut, and not in a character: the store opens again. */
static void test_cut(void **state)
{
	char name[VAIO_RW_NAME_LEN] = "a", held[VAIO_RW_NAME_LEN];
	struct vr_point p;

	(void)state;
	begin_named("g", 0);
	while (strlen(name) + 2 < sizeof(name))
		strcat(name, "\xc3\xa9");
	for (int i = 0; i < 2; i++) {
		ok(checkpoint(name, VAIO_RW_CF_PIN));
		ok(vr_store_commit(st, &why));
	}
	snprintf(held, sizeof(held), "name:%.99s seq:%llu", name, (unsigned long long)model_last(&m));
	ok(vr_point_find(st, held, 0, &p, &why));
	assert_true(p.pinned);
	reopen();
	ok(vr_point_find(st, held, 0, &p, &why));
	ok(vr_mark_remove(st, p.name, &why));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_old_store),
		cmocka_unit_test(test_cut),
	};

	begin_tests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
