// SPDX-License-Identifier: GPL-2.0
/*
 * Makes corpus/sidecar: cc -Iinclude/uapi -Ikmod/core tests/fuzz/sidecar_seeds.c
 * kmod/core/sidecar_format.c, and run it in the corpus's folder.
 */
#include <stdlib.h>

#include "sidecar_format.h"

static void put(const char *name, int choice, const struct vaio_sc_super *first, u64 step)
{
	static struct vaio_sc_disk_super d;
	struct vaio_sc_super sb = *first;
	FILE *f = fopen(name, "w");

	if (!f) {
		perror(name);
		exit(1);
	}
	fputc(choice, f);
	for (int copy = 0; copy < VAIO_SC_COPIES; copy++, sb.sequence += step) {
		vaio_sc_encode(&sb, copy, &d);
		fwrite(&d, choice & 2 ? sizeof(d) : 1024, 1, f);
	}
	fclose(f);
}

int main(void)
{
	static struct vaio_sc_super sb;
	char reason[VAIO_SC_REASON];

	sb.sequence = 5;
	memset(sb.disk_uuid, 0xd1, VAIO_SC_ID_LEN);
	memset(sb.sidecar_uuid, 0x5c, VAIO_SC_ID_LEN);
	sb.page_seed = 77;
	sb.backing_bytes = 1ULL << 20;
	sb.block_size = 512;
	sb.identity_kind = VAIO_SC_ID_LV;
	strcpy(sb.identity, "disk1");
	sb.state = VAIO_SC_CLEAN;
	sb.current_gen.id[0] = 1;
	sb.current_gen.counter = 1;
	if (vaio_sc_layout(&sb, 1, 0, reason, sizeof(reason))) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}
	put("clean", 1 | 4, &sb, 1);
	put("same-sequence", 1, &sb, 0);

	sb.backing_bytes = 1ULL << 40;
	sb.disk_bytes = sb.backing_bytes;
	sb.state = VAIO_SC_ACTIVE;
	sb.owner_host[0] = 0xaa;
	sb.flags = VAIO_SC_F_KNOWN;
	sb.alone_gen = sb.current_gen;
	sb.cache_uuid[0] = 0xca;
	vaio_sc_layout(&sb, 16, 4, reason, sizeof(reason));
	put("active-dirty", 1 | 0x20, &sb, 1);
	put("taken-over", 1 | 0x10, &sb, 1);

	sb.compat = 2;
	sb.tail[9] = 9;
	sb.block_size = 4096;
	sb.regions[3].type = 1000;
	put("compat-whole", 1 | 2 | 8, &sb, 1);
	return 0;
}
