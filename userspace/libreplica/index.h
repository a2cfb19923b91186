/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The index: which record last wrote a sector, as of any record. Each WRITE,
 * ZEROES and DISCARD is cut at cells of 64 KiB (zeroes also at 64 MiB) into entries;
 * an entry's key is its disk and cell. The journal's newest segment has its entries
 * in memory, sealed segments in sorted files that are read page by page, with a CRC. (They are not mapped: where storage
 * fails, that would kill the process, and with it what belongs to other groups.)
 */
#ifndef LIBREPLICA_INDEX_H
#define LIBREPLICA_INDEX_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/vaio/replica-store.h"
#include "err.h"
#include "io.h"

#define VR_KEY_LARGE	(1ULL << 47)
#define VR_LARGE_CELLS	(1U << (VAIO_RS_LARGE_SHIFT - VAIO_RS_CELL_SHIFT))

static inline uint64_t vr_key(uint16_t member, uint64_t cell)
{
	return (uint64_t)member << 48 | cell;
}

struct vr_entry {
	uint64_t key;
	uint64_t seq;
	uint32_t segment;
	uint32_t frame;		/* in 8 bytes from the segment's start; 0: zeroes */
	uint32_t data;		/* in the frame's raw bytes */
	uint8_t start, count;	/* sectors; one less than their number */
};

/*
 * Cuts a record into entries. @each gets them in ascending order of sectors; returns
 * what it returned when that is not 0.
 */
int vr_index_cut(const struct vaio_rw_record *r, uint32_t segment, uint32_t frame,
		 int (*each)(void *arg, const struct vr_entry *en), void *arg);

/* How many entries a record is cut into. */
uint64_t vr_index_count(const struct vaio_rw_record *r);

/* --- in memory -------------------------------------------------------------------- */

struct vr_mem {
	struct vr_mem_entry {
		struct vr_entry e;
		uint32_t prev;		/* of the same key, one more than its place; 0: none */
	} *entries;
	size_t nr, room;
	uint32_t *hash;			/* one more than the place of the newest of a key */
	size_t hash_size;
};

struct vr_mem *vr_mem_new(void);
void vr_mem_free(struct vr_mem *m);
/* Room for @nr more entries, so that adding them cannot fail. */
int vr_mem_reserve(struct vr_mem *m, size_t nr);
void vr_mem_add(struct vr_mem *m, const struct vr_entry *e);
/* Bytes that it takes. */
size_t vr_mem_bytes(const struct vr_mem *m);

/* --- runs --------------------------------------------------------------------------- */

struct vr_run {
	struct vr_file *file;
	size_t len;
	uint64_t first, last;		/* segments */
	uint64_t nr_entries, nr_pages;
	pthread_mutex_t lock;		/* of what follows */
	struct vr_run_slot *slots;	/* pages that were read and found right; NULL: none */
};

#define VR_RUN_NAME	48
void vr_run_name(char *name, uint64_t first, uint64_t last);

int vr_run_open(struct vr_io *io, const uint8_t *store, uint64_t first, uint64_t last, struct vr_run **run,
		struct vr_err *e);
void vr_run_close(struct vr_run *run);
/* Gives back the memory of pages: the next reads are of the file. */
void vr_run_forget(struct vr_run *run);

/* Entry @i; -EIO when its page is not right. Any thread. */
int vr_run_entry(struct vr_run *run, uint64_t i, struct vr_entry *en, struct vr_err *e);

/* Writes the entries of a segment as a run; durable with its name when it returns 0. */
int vr_run_write_mem(struct vr_io *io, const uint8_t *store, uint64_t segment, const struct vr_mem *m, struct vr_err *e);

/* Merges @nr runs of neighbouring segments into one, leaving out what is not above @floor. */
int vr_run_merge(struct vr_io *io, const uint8_t *store, struct vr_run **runs, unsigned int nr, uint64_t floor,
		 struct vr_err *e);

/* --- looking up ------------------------------------------------------------------------ */

/* Walks entries of one key from the newest that is not above a record. One of @mem and @run is set. */
struct vr_cursor {
	const struct vr_mem *mem;
	struct vr_run *run;
	uint64_t key;
	uint64_t place;			/* one more than the next entry's */
};

/* 1 with the entry, 0 at the end, or -errno. */
int vr_cursor_begin(struct vr_cursor *c, const struct vr_mem *mem, struct vr_run *run, uint64_t key, uint64_t max_seq,
		    struct vr_entry *en, struct vr_err *e);
int vr_cursor_next(struct vr_cursor *c, struct vr_entry *en, struct vr_err *e);

#endif /* LIBREPLICA_INDEX_H */
