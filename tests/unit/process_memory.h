/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel says of a process's memory; after cmocka.h. */
#ifndef PROCESS_MEMORY_H
#define PROCESS_MEMORY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* Bytes; @key of /proc/PID/status, VmRSS or VmHWM. */
static uint64_t memory_of(pid_t pid, const char *key)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key) + 1, NULL, 10);
	fclose(f);
	assert_true(kib > 0);
	return kib << 10;
}

#endif /* PROCESS_MEMORY_H */
