// SPDX-License-Identifier: GPL-2.0
/* Writes the seeds of corpus/replica_wire: replica_seeds FOLDER. Built by hand when the format changes. */
#include "../unit/replica_model.h"

static void save(const char *dir, const char *name, uint8_t first, const void *p, size_t len)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fwrite(&first, 1, 1, f) != 1 || fwrite(p, 1, len, f) != len || fclose(f))
		abort();
}

int main(int argc, char **argv)
{
	struct { struct vaio_rw_hello h; struct vaio_rw_generation g; struct vaio_rw_member m; } hello = {
		.h = { .version_min = htole32(1), .version_max = htole32(1), .group = { 1 }, .host = { 2 }, .ring = { 3 },
		       .connection = htole64(1), .first_seq = htole64(5), .next_seq = htole64(9), .nr_generations = htole16(1),
		       .nr_members = htole16(1), .generation = { { 4 }, htole64(1), htole64(1), 0 } },
		.g = { { 4 }, htole64(1), htole64(1), 0 },
		.m = { .disk = { 5 }, .size = htole64(1 << 20), .block_size = htole32(512) },
	};
	struct { struct vaio_rw_diff d; struct vaio_rw_range r[2]; } diff = {
		.d = { .seq = htole64(7), .nr_ranges = htole32(2) },
		.r = { { 0, htole64(4096) }, { htole64(8192), htole64(512) } },
	};
	struct vaio_rw_blocked blocked = { .reason = htole32(1), .text = "full" };
	struct vaio_rw_welcome welcome = { .version = htole32(1), .max_batch = htole32(4096), .window = htole32(1),
					   .max_batch_raw = htole32(1), .max_records = htole32(1) };
	struct model m;

	if (argc != 2)
		return 2;
	save(argv[1], "hello", VAIO_RW_HELLO, &hello, sizeof(hello));
	save(argv[1], "welcome", VAIO_RW_WELCOME, &welcome, sizeof(welcome));
	save(argv[1], "diff", VAIO_RW_DIFF, &diff, sizeof(diff));
	save(argv[1], "blocked", VAIO_RW_BLOCKED, &blocked, sizeof(blocked));
	model_init(&m, 3);
	for (int i = 0, n = 0; n < 8 && i < 200; i++) {
		char name[16];
		size_t len;
		const void *p = model_batch(&m, 2, &len);

		if (!p || len > 6000)
			continue;
		snprintf(name, sizeof(name), "batch%d", n++);
		save(argv[1], name, VAIO_RW_BATCH, p, len);
	}
	return 0;
}
