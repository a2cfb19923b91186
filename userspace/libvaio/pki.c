// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <sys/stat.h>

#include "pki.h"

void vaio_pki_files(struct vaio_pki *p, const char *dir, const char *side)
{
	snprintf(p->ca, sizeof(p->ca), "%.400s/CA/cacert.pem", dir);
	snprintf(p->crl, sizeof(p->crl), "%.400s/CA/cacrl.pem", dir);
	snprintf(p->cert, sizeof(p->cert), "%.400s/vaio/%.20scert.pem", dir, side);
	snprintf(p->key, sizeof(p->key), "%.400s/vaio/private/%.20skey.pem", dir, side);
}

/* FNV-1a, over words. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x100000001b3ULL;
}

/* The time of change tells of a file's mode too: one that could not be read. */
static uint64_t add_file(uint64_t hash, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return mix(hash, 0);
	hash = mix(mix(mix(hash, st.st_dev), st.st_ino), (uint64_t)st.st_size);
	hash = mix(mix(hash, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
	return mix(mix(hash, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
}

static uint64_t now_like(const struct vaio_pki *p)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	hash = add_file(add_file(hash, p->ca), p->crl);
	return add_file(add_file(hash, p->cert), p->key);
}

void vaio_pki_read(struct vaio_pki_watch *w, const struct vaio_pki *p)
{
	w->read = w->seen = now_like(p);
}

bool vaio_pki_changed(struct vaio_pki_watch *w, const struct vaio_pki *p)
{
	uint64_t now = now_like(p), before = w->seen;

	w->seen = now;
	if (now == w->read || now != before)
		return false;
	w->read = now;
	return true;
}
