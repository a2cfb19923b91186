// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of the wire and of a store: each structure is what Documentation/replication-wire.md and replica-store.md say. Tables
 * are read from there; what these pages say in a sentence is said here again.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>

#include "unit.h"

#include "../../include/vaio/replica-wire.h"
#include "../../include/vaio/replica-store.h"

struct field {
	const char *name;
	size_t offset, size;
};

#define F(type, member) { #member, offsetof(struct type, member), sizeof(((struct type *)0)->member) }

#define MOST	8192	/* bytes of a structure */

/* Whose byte it is, of each: index of a name, from 1. */
struct bytes {
	char name[80][64];
	unsigned int nr;
	unsigned char of[MOST];
	size_t size;
};

static void add(struct bytes *b, const char *name, size_t offset, size_t size)
{
	assert_true(b->nr < 80 && offset + size <= MOST);
	snprintf(b->name[b->nr++], sizeof(*b->name), "%s", name);
	for (size_t i = offset; i < offset + size; i++) {
		if (b->of[i])
			fail_msg("byte %zu is of '%s' and of '%s'", i, b->name[b->of[i] - 1], name);
		b->of[i] = (unsigned char)b->nr;
	}
	b->size = offset + size > b->size ? offset + size : b->size;
}

/* A field's name says its unit, too; what is reserved has none on the page. */
static bool same(const char *field, const char *said)
{
	size_t len = strlen(said);

	if (!len || !strcmp(said, "reserved"))
		return !strncmp(field, "reserved", 8) || !strcmp(field, "zero");
	return !strncmp(field, said, len) && (!field[len] || field[len] == '_');
}

static bool begins(const struct bytes *b, size_t at)
{
	return !at || b->of[at] != b->of[at - 1];
}

static const char *whose(const struct bytes *b, size_t at)
{
	return b->of[at] ? b->name[b->of[at] - 1] : "(nobody)";
}

static void compare(const char *what, const struct field *f, size_t nr, size_t size, const struct bytes *said)
{
	static struct bytes is;

	memset(&is, 0, sizeof(is));
	for (size_t i = 0; i < nr; i++)
		add(&is, f[i].name, f[i].offset, f[i].size);
	if (is.size != size || said->size != size)
		fail_msg("%s: %zu bytes, its fields have %zu, the page has %zu", what, size, is.size, said->size);
	for (size_t i = 0; i < size; i++) {
		const char *a = whose(&is, i), *b = whose(said, i);

		if (!same(a, b) || (!same(a, "") && begins(&is, i) != begins(said, i)))
			fail_msg("%s: byte %zu is of '%s', the page says '%s'", what, i, a, b);
	}
}

/* The names of "a, b", with a size for each, "8, 8", or one for all. */
static void add_row(struct bytes *b, size_t offset, char *sizes, char *names)
{
	char *size_at = sizes, *name_at = names, *name, *size;
	size_t nr = 1, total;
	bool each = strchr(sizes, ',');

	for (char *p = names; *p; p++)
		nr += *p == ',';
	total = strtoul(sizes, NULL, 10);
	while ((name = strsep(&name_at, ","))) {
		size = each ? strsep(&size_at, ",") : NULL;
		while (*name == ' ')
			name++;
		assert_true(!each || size);
		total = size ? strtoul(size, NULL, 10) : total;
		add(b, name, offset, each ? total : total / nr);
		offset += each ? total : total / nr;
	}
}

static FILE *page(const char *name)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 100);
	FILE *f;

	path[n > 0 ? n : 0] = 0;
	*strrchr(path, '/') = 0;
	sprintf(path + strlen(path), "/../../../Documentation/%s", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	return f;
}

/* The first table of bytes after the line that has @marker. */
static void read_table(struct bytes *b, const char *name, const char *marker)
{
	FILE *f = page(name);
	char line[1024], *cell[4], *p;
	bool found = false, in = false;

	memset(b, 0, sizeof(*b));
	while (fgets(line, sizeof(line), f)) {
		found |= strstr(line, marker) != NULL;
		if (!found)
			continue;
		if (in && *line != '|')
			break;
		in |= !strncmp(line, "| byte | size |", 15);
		if (!in || !isdigit(line[2]))
			continue;
		p = line + 1;
		for (int i = 0; i < 3; i++) {
			cell[i] = strsep(&p, "|");
			assert_non_null(p);
			while (*cell[i] == ' ')
				cell[i]++;
			for (char *end = cell[i] + strlen(cell[i]); end > cell[i] && end[-1] == ' ';)
				*--end = 0;
		}
		/* "488 | 40 each", "1,024 |": what follows the structure */
		if (!*cell[1] || strstr(cell[1], "each"))
			continue;
		add_row(b, strtoul(cell[0], NULL, 10), cell[1], cell[2]);
	}
	fclose(f);
	if (!b->size)
		fail_msg("%s: no table of bytes after '%s'", name, marker);
}

/* "name size, name size": in this order, without holes. */
static void read_words(struct bytes *b, const char *words)
{
	char *all = strdup(words), *at = all, *word, name[64];
	unsigned int size;

	memset(b, 0, sizeof(*b));
	while ((word = strsep(&at, ","))) {
		assert_int_equal(sscanf(word, " %63s %u", name, &size), 2);
		add(b, name, b->size, size);
	}
	free(all);
}

#define WIRE	"replication-wire.md"
#define STORE	"replica-store.md"

/* type, its fields; read_*() has filled said */
#define IS(type, ...) do { \
	static const struct field fields[] = { __VA_ARGS__ }; \
	compare(#type, fields, sizeof(fields) / sizeof(*fields), sizeof(struct type), &said); \
} while (0)

static struct bytes said;

static void test_wire_tables(void **state)
{
	(void)state;
	read_table(&said, WIRE, "Each message is a header");
	IS(vaio_rw_msg, F(vaio_rw_msg, magic), F(vaio_rw_msg, crc), F(vaio_rw_msg, type), F(vaio_rw_msg, flags), F(vaio_rw_msg, length),
	   F(vaio_rw_msg, payload_crc), F(vaio_rw_msg, reserved));
	read_table(&said, WIRE, "HELLO, 488 bytes");
	IS(vaio_rw_hello, F(vaio_rw_hello, version_min), F(vaio_rw_hello, version_max), F(vaio_rw_hello, features),
	   F(vaio_rw_hello, required), F(vaio_rw_hello, group), F(vaio_rw_hello, host), F(vaio_rw_hello, boot), F(vaio_rw_hello, ring),
	   F(vaio_rw_hello, connection), F(vaio_rw_hello, generation), F(vaio_rw_hello, first_seq), F(vaio_rw_hello, next_seq),
	   F(vaio_rw_hello, acked_seq), F(vaio_rw_hello, flags), F(vaio_rw_hello, nr_generations), F(vaio_rw_hello, nr_members),
	   F(vaio_rw_hello, host_name), F(vaio_rw_hello, group_name), F(vaio_rw_hello, reserved));
	read_table(&said, WIRE, "WELCOME, 184 bytes");
	IS(vaio_rw_welcome, F(vaio_rw_welcome, version), F(vaio_rw_welcome, flags), F(vaio_rw_welcome, features),
	   F(vaio_rw_welcome, replica), F(vaio_rw_welcome, store), F(vaio_rw_welcome, generation), F(vaio_rw_welcome, durable_seq),
	   F(vaio_rw_welcome, complete_seq), F(vaio_rw_welcome, max_batch), F(vaio_rw_welcome, max_batch_raw),
	   F(vaio_rw_welcome, max_records), F(vaio_rw_welcome, window), F(vaio_rw_welcome, nr_generations),
	   F(vaio_rw_welcome, nr_members), F(vaio_rw_welcome, reserved));
	read_table(&said, WIRE, "A batch is a header");
	IS(vaio_rw_batch, F(vaio_rw_batch, magic), F(vaio_rw_batch, crc), F(vaio_rw_batch, length), F(vaio_rw_batch, nr_records),
	   F(vaio_rw_batch, nr_frames), F(vaio_rw_batch, reserved), F(vaio_rw_batch, reserved2), F(vaio_rw_batch, group),
	   F(vaio_rw_batch, first_seq), F(vaio_rw_batch, generation), F(vaio_rw_batch, reserved3));
	read_table(&said, WIRE, "A record:");
	IS(vaio_rw_record, F(vaio_rw_record, crc), F(vaio_rw_record, type), F(vaio_rw_record, flags), F(vaio_rw_record, seq),
	   F(vaio_rw_record, time_ns), F(vaio_rw_record, offset), F(vaio_rw_record, length), F(vaio_rw_record, member),
	   F(vaio_rw_record, frame), F(vaio_rw_record, data_offset), F(vaio_rw_record, data_length), F(vaio_rw_record, data_crc),
	   F(vaio_rw_record, ref));
	read_table(&said, WIRE, "A frame: header of 48 bytes");
	IS(vaio_rw_frame, F(vaio_rw_frame, magic), F(vaio_rw_frame, crc), F(vaio_rw_frame, stored_length), F(vaio_rw_frame, raw_length),
	   F(vaio_rw_frame, codec), F(vaio_rw_frame, reserved), F(vaio_rw_frame, reserved2), F(vaio_rw_frame, vm),
	   F(vaio_rw_frame, reserved3));
}

static void test_wire_words(void **state)
{
	(void)state;
	read_words(&said, "id 16, counter 8, first_seq 8, time 8");
	IS(vaio_rw_generation, F(vaio_rw_generation, id), F(vaio_rw_generation, counter), F(vaio_rw_generation, first_seq),
	   F(vaio_rw_generation, time_ns));
	read_words(&said, "disk 16, vm 16, size 8, number 2, flags 2, block_size 4, name 128, reserved 80");
	IS(vaio_rw_member, F(vaio_rw_member, disk), F(vaio_rw_member, vm), F(vaio_rw_member, size), F(vaio_rw_member, number),
	   F(vaio_rw_member, flags), F(vaio_rw_member, block_size), F(vaio_rw_member, name), F(vaio_rw_member, reserved));
	read_words(&said, "durable_seq 8, complete_seq 8");
	IS(vaio_rw_durable, F(vaio_rw_durable, durable_seq), F(vaio_rw_durable, complete_seq));
	read_words(&said, "reason 4, reserved 4, durable_seq 8, need 8, have 8, text 256");
	IS(vaio_rw_blocked, F(vaio_rw_blocked, reason), F(vaio_rw_blocked, reserved), F(vaio_rw_blocked, durable_seq),
	   F(vaio_rw_blocked, need), F(vaio_rw_blocked, have), F(vaio_rw_blocked, text));
	read_words(&said, "durable_seq 8");
	IS(vaio_rw_unblocked, F(vaio_rw_unblocked, durable_seq));
	read_words(&said, "cookie 8");
	IS(vaio_rw_ping, F(vaio_rw_ping, cookie));
	read_words(&said, "seq 8, member 2, reserved 2, nr_ranges 4");
	IS(vaio_rw_diff, F(vaio_rw_diff, seq), F(vaio_rw_diff, member), F(vaio_rw_diff, reserved), F(vaio_rw_diff, nr_ranges));
	read_words(&said, "offset 8, length 8");
	IS(vaio_rw_range, F(vaio_rw_range, offset), F(vaio_rw_range, length));
	read_words(&said, "flags 4, reserved 4, rpo 8, rpo_worst 8, backlog 8, dirty 8, written 8, sent 8");
	IS(vaio_rw_status, F(vaio_rw_status, flags), F(vaio_rw_status, reserved), F(vaio_rw_status, rpo_ns), F(vaio_rw_status, rpo_worst_ns),
	   F(vaio_rw_status, backlog_bytes), F(vaio_rw_status, dirty_bytes), F(vaio_rw_status, written_bytes), F(vaio_rw_status, sent_bytes));
	read_words(&said, "cookie 8, kind 4, reserved 4, name 128");
	IS(vaio_rw_checkpoint_request, F(vaio_rw_checkpoint_request, cookie), F(vaio_rw_checkpoint_request, kind),
	   F(vaio_rw_checkpoint_request, reserved), F(vaio_rw_checkpoint_request, name));
	read_words(&said, "cookie 8, seq 8, text 256");
	IS(vaio_rw_checkpoint_result, F(vaio_rw_checkpoint_result, cookie), F(vaio_rw_checkpoint_result, seq),
	   F(vaio_rw_checkpoint_result, text));
	read_words(&said, "seq 8, text 256");
	IS(vaio_rw_not_held, F(vaio_rw_not_held, seq), F(vaio_rw_not_held, text));
	read_words(&said, "code 4, retry_ms 4, generation 40, text 256");
	IS(vaio_rw_end, F(vaio_rw_end, code), F(vaio_rw_end, retry_ms), F(vaio_rw_end, generation), F(vaio_rw_end, text));
	read_words(&said, "kind 4, flags 4, name 128");
	IS(vaio_rw_checkpoint, F(vaio_rw_checkpoint, kind), F(vaio_rw_checkpoint, flags), F(vaio_rw_checkpoint, name));
	read_words(&said, "reason 4, reserved 4, since 8");
	IS(vaio_rw_gap, F(vaio_rw_gap, reason), F(vaio_rw_gap, reserved), F(vaio_rw_gap, since_ns));
	read_words(&said, "kind 4, reserved 4, bytes 8");
	IS(vaio_rw_resync, F(vaio_rw_resync, kind), F(vaio_rw_resync, reserved), F(vaio_rw_resync, bytes));
	read_words(&said, "boot 16, wall 8");
	IS(vaio_rw_clock, F(vaio_rw_clock, boot), F(vaio_rw_clock, wall_ns));
}

static void test_store_tables(void **state)
{
	(void)state;
	read_table(&said, STORE, "## Superblock");
	IS(vaio_rs_super, F(vaio_rs_super, magic), F(vaio_rs_super, version), F(vaio_rs_super, slot), F(vaio_rs_super, crc),
	   F(vaio_rs_super, length), F(vaio_rs_super, sequence), F(vaio_rs_super, compat), F(vaio_rs_super, incompat),
	   F(vaio_rs_super, store), F(vaio_rs_super, group), F(vaio_rs_super, group_name), F(vaio_rs_super, created_ns),
	   F(vaio_rs_super, written_ns), F(vaio_rs_super, role), F(vaio_rs_super, failover), F(vaio_rs_super, base),
	   F(vaio_rs_super, base_from), F(vaio_rs_super, next_segment), F(vaio_rs_super, source), F(vaio_rs_super, ring),
	   F(vaio_rs_super, connection), F(vaio_rs_super, retain_ns), F(vaio_rs_super, retain_bytes), F(vaio_rs_super, quota_bytes),
	   F(vaio_rs_super, source_name), F(vaio_rs_super, nr_entries), F(vaio_rs_super, reserved2), F(vaio_rs_super, every_write_ns),
	   F(vaio_rs_super, interval_ns), F(vaio_rs_super, thinned_from), F(vaio_rs_super, thinned_before), F(vaio_rs_super, reserved));
	read_table(&said, STORE, "Batches follow, each at the next multiple of 512");
	IS(vaio_rs_append, F(vaio_rs_append, magic), F(vaio_rs_append, crc), F(vaio_rs_append, length), F(vaio_rs_append, reserved),
	   F(vaio_rs_append, segment), F(vaio_rs_append, offset), F(vaio_rs_append, durable_seq), F(vaio_rs_append, received_ns),
	   F(vaio_rs_append, first_seq), F(vaio_rs_append, last_seq));
	read_table(&said, STORE, "**Run**:");
	IS(vaio_rs_key, F(vaio_rs_key, key), F(vaio_rs_key, seq), F(vaio_rs_key, segment), F(vaio_rs_key, frame), F(vaio_rs_key, data),
	   F(vaio_rs_key, start), F(vaio_rs_key, count), F(vaio_rs_key, reserved));
}

static void test_store_words(void **state)
{
	(void)state;
	read_words(&said, "last_seq 8, complete_seq 8, generation 8, time 8, stretch 4, reserved 4");
	IS(vaio_rs_state, F(vaio_rs_state, last_seq), F(vaio_rs_state, complete_seq), F(vaio_rs_state, generation),
	   F(vaio_rs_state, time_ns), F(vaio_rs_state, stretch), F(vaio_rs_state, reserved));
	read_words(&said, "type 2, flags 2, length 4");
	IS(vaio_rs_entry, F(vaio_rs_entry, type), F(vaio_rs_entry, flags), F(vaio_rs_entry, length));
	read_words(&said, "member 256, add_seq 8");
	IS(vaio_rs_member, F(vaio_rs_member, member), F(vaio_rs_member, add_seq));
	read_words(&said, "seq 8, time 8, flags 4, kind 4, name 128");
	IS(vaio_rs_mark, F(vaio_rs_mark, seq), F(vaio_rs_mark, time_ns), F(vaio_rs_mark, flags), F(vaio_rs_mark, kind),
	   F(vaio_rs_mark, name));
	read_words(&said, "magic 4, crc 4, version 4, reserved 4, store 16, id 8, created 8, before 40, reserved 4008");
	IS(vaio_rs_segment, F(vaio_rs_segment, magic), F(vaio_rs_segment, crc), F(vaio_rs_segment, version), F(vaio_rs_segment, reserved),
	   F(vaio_rs_segment, store), F(vaio_rs_segment, id), F(vaio_rs_segment, created_ns), F(vaio_rs_segment, before),
	   F(vaio_rs_segment, zero));
	read_words(&said, "magic 4, crc 4, version 4, controls_length 4, store 16, segment 8, segment_length 8, first_seq 8, min_time 8, "
		   "max_time 8, before 40, after 40, nr_controls 4, nr_batches 4, batches_crc 4, reserved 4");
	IS(vaio_rs_sum, F(vaio_rs_sum, magic), F(vaio_rs_sum, crc), F(vaio_rs_sum, version), F(vaio_rs_sum, controls_length),
	   F(vaio_rs_sum, store), F(vaio_rs_sum, segment), F(vaio_rs_sum, segment_length), F(vaio_rs_sum, first_seq),
	   F(vaio_rs_sum, min_time_ns), F(vaio_rs_sum, max_time_ns), F(vaio_rs_sum, before), F(vaio_rs_sum, after),
	   F(vaio_rs_sum, nr_controls), F(vaio_rs_sum, nr_batches), F(vaio_rs_sum, batches_crc), F(vaio_rs_sum, reserved));
	read_words(&said, "first_seq 8, min_time 8, max_time 8, offset 4, nr_records 4");
	IS(vaio_rs_sum_batch, F(vaio_rs_sum_batch, first_seq), F(vaio_rs_sum_batch, min_time_ns), F(vaio_rs_sum_batch, max_time_ns),
	   F(vaio_rs_sum_batch, offset), F(vaio_rs_sum_batch, nr_records));
	read_words(&said, "record 64, previous_seq 8");
	IS(vaio_rs_control, F(vaio_rs_control, record), F(vaio_rs_control, previous_seq));
	read_words(&said, "magic 4, crc 4, version 4, reserved 4, store 16, first_segment 8, last_segment 8, nr_entries 8, nr_pages 8, "
		   "reserved 4032");
	IS(vaio_rs_run, F(vaio_rs_run, magic), F(vaio_rs_run, crc), F(vaio_rs_run, version), F(vaio_rs_run, reserved),
	   F(vaio_rs_run, store), F(vaio_rs_run, first_segment), F(vaio_rs_run, last_segment), F(vaio_rs_run, nr_entries),
	   F(vaio_rs_run, nr_pages), F(vaio_rs_run, zero));
	read_words(&said, "magic 4, crc 4, index 8, count 4, reserved 4, first_segment 8, keys 4064");
	IS(vaio_rs_run_page, F(vaio_rs_run_page, magic), F(vaio_rs_run_page, crc), F(vaio_rs_run_page, index), F(vaio_rs_run_page, count),
	   F(vaio_rs_run_page, reserved), F(vaio_rs_run_page, first_segment), F(vaio_rs_run_page, keys));
	read_words(&said, "magic 4, crc 4, version 4, member 4, store 16, disk 16, add_seq 8, reserved 4040");
	IS(vaio_rs_base, F(vaio_rs_base, magic), F(vaio_rs_base, crc), F(vaio_rs_base, version), F(vaio_rs_base, member),
	   F(vaio_rs_base, store), F(vaio_rs_base, disk), F(vaio_rs_base, add_seq), F(vaio_rs_base, zero));
	read_words(&said, "crc 4, flags 4");
	IS(vaio_rs_cell, F(vaio_rs_cell, crc), F(vaio_rs_cell, flags));
	read_words(&said, "magic 4, crc 4, version 4, pid 4, store 16, seq 8, created 8, name 128, reserved 336");
	IS(vaio_rs_pin, F(vaio_rs_pin, magic), F(vaio_rs_pin, crc), F(vaio_rs_pin, version), F(vaio_rs_pin, pid), F(vaio_rs_pin, store),
	   F(vaio_rs_pin, seq), F(vaio_rs_pin, created_ns), F(vaio_rs_pin, name), F(vaio_rs_pin, zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire_tables),
		cmocka_unit_test(test_wire_words),
		cmocka_unit_test(test_store_tables),
		cmocka_unit_test(test_store_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
