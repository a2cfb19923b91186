/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sidecars as files and block devices, offline. The format itself is in
 * kmod/core/sidecar_format.h, the same code as in the kernel.
 */
#ifndef LIBVAIO_SIDECAR_H
#define LIBVAIO_SIDECAR_H

#include <limits.h>
#include <sys/types.h>

#include "err.h"
#include "sidecar_format.h"

/* What a sidecar notes of a backing device. */
struct vaio_backing {
	char identity[VAIO_SC_IDENTITY_TEXT];	/* "kind:string" */
	u64 bytes;
	u32 block_size;
	dev_t dev;		/* of the block device, or of the file's filesystem */
	ino_t ino;		/* of a file, 0 else */
};

/* Looks at a block device or an image file. */
int vaio_backing_describe(const char *path, struct vaio_backing *b, struct vaio_err *e);

/* A UUID in its printed form, to the 16 bytes of the format. */
int vaio_id_parse(const char *uuid, u8 *id, struct vaio_err *e);
/* A random one. */
int vaio_id_random(u8 *id, struct vaio_err *e);

/* An open sidecar. */
struct vaio_scfile {
	int fd;
	char path[PATH_MAX];
	bool block_device;
	bool created;		/* the file was made by opening it */
	u64 bytes;
	dev_t dev;
	ino_t ino;
};

enum vaio_scfile_mode {
	VAIO_SCFILE_LOOK,	/* read, also while it is in use */
	VAIO_SCFILE_READ,	/* read; refused while it is in use */
	VAIO_SCFILE_WRITE,	/* read and write; refused while it is in use */
	VAIO_SCFILE_CREATE,	/* the same, and make the file if there is none */
};

int vaio_scfile_open(struct vaio_scfile *f, const char *path, enum vaio_scfile_mode mode,
		     struct vaio_err *e);
void vaio_scfile_close(struct vaio_scfile *f);

/*
 * Reads and verifies the superblocks. VAIO_NOTFOUND: there is no sidecar.
 * @pick may be NULL.
 */
int vaio_scfile_load(const struct vaio_scfile *f, struct vaio_sc_super *sb,
		     struct vaio_sc_pick *pick, struct vaio_err *e);

/* One superblock as it is there: VAIO_OK, or why it does not count. */
int vaio_scfile_load_copy(const struct vaio_scfile *f, unsigned int copy,
			  struct vaio_sc_super *sb, struct vaio_err *e);

/* Writes a changed superblock over both copies, one after the other. */
int vaio_scfile_store(const struct vaio_scfile *f, struct vaio_sc_super *sb,
		      unsigned int newest, struct vaio_err *e);

struct vaio_sidecar_params {
	const struct vaio_backing *backing;
	u8 disk_uuid[VAIO_SC_ID_LEN];
	u32 grow;	/* how many times the backing device the disk may become */
	u32 epochs;	/* maps reserved for change tracking */
	bool force;	/* whatever is there */
	void (*progress)(u64 done, u64 total);	/* bytes; may be NULL */
};

/*
 * Makes a sidecar and returns its superblock in @sb. Refused: what is not empty
 * (--force), what is too small. A file is made as large as it must be; one that
 * opening made is removed when nothing comes of it.
 */
int vaio_scfile_format(struct vaio_scfile *f, const struct vaio_sidecar_params *p,
		       struct vaio_sc_super *sb, struct vaio_err *e);

struct vaio_sidecar_adoption {
	const struct vaio_backing *backing;
	const u8 *me;		/* this host's id */
	const u8 *disk_uuid;	/* NULL: as before */
	bool force;		/* though another host owns it, or the disk was larger */
	bool lose_dirty;	/* though a cache has dirty blocks */
};

/* Changes a superblock in memory so that it belongs to another backing device. */
int vaio_sidecar_adopt(struct vaio_sc_super *sb, const struct vaio_sidecar_adoption *a,
		       struct vaio_err *e);

/* What a walk over a region's pages found. */
struct vaio_sc_census {
	u64 pages;
	u64 bad;	/* torn, corrupt, misplaced */
	u64 bits;	/* set, in the good ones */
};

/* Reads all pages of a region that is in use (change_epochs is only reserved). */
int vaio_scfile_census(const struct vaio_scfile *f, const struct vaio_sc_super *sb,
		       const struct vaio_sc_region *r, struct vaio_sc_census *c, struct vaio_err *e);

#endif /* LIBVAIO_SIDECAR_H */
