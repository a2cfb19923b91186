/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one way to storage that a store has. Paths are relative to the store.
 * All functions return 0 (or a number that is not negative) or -errno; a read or
 * write is whole or fails. What was written is on stable storage after sync();
 * what was created, renamed or removed in a folder, after sync_dir().
 */
#ifndef LIBREPLICA_IO_H
#define LIBREPLICA_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vr_io;
struct vr_file;

#define VR_O_WRITE	1	/* else for reading only */
#define VR_O_CREATE	2	/* must not be there yet; implies writing */
#define VR_O_DIRECT	4	/* write_direct() will be called */
#define VR_DIRECT	512U

struct vr_io_ops {
	int (*open)(struct vr_io *io, const char *path, int flags, struct vr_file **f);
	void (*close)(struct vr_file *f);
	int (*read)(struct vr_file *f, void *buf, size_t len, uint64_t offset);	/* -ENODATA beyond the end */
	int (*write)(struct vr_file *f, const void *buf, size_t len, uint64_t offset);
	/* The same past the page cache, where that can be. All three are multiples of VR_DIRECT. */
	int (*write_direct)(struct vr_file *f, const void *buf, size_t len, uint64_t offset);
	int (*sync)(struct vr_file *f);
	int64_t (*size)(struct vr_file *f);
	int64_t (*used)(struct vr_file *f);			/* bytes of storage */
	int (*truncate)(struct vr_file *f, uint64_t size);
	int (*allocate)(struct vr_file *f, uint64_t size);	/* from 0: later writes need no space */
	int (*punch)(struct vr_file *f, uint64_t offset, uint64_t len);	/* reads as zeroes, space given back */
	/* A lock on a file that another opener (of any process) feels: 0, or -EAGAIN unless @wait. */
	int (*lock)(struct vr_file *f, bool wait);

	int (*mkdir)(struct vr_io *io, const char *path);	/* -EEXIST when it is there */
	int (*rename)(struct vr_io *io, const char *from, const char *to);
	int (*remove)(struct vr_io *io, const char *path);
	int (*sync_dir)(struct vr_io *io, const char *path);	/* "" is the store itself */
	/* Calls @each for every file of a folder, until it returns something else than 0. */
	int (*list)(struct vr_io *io, const char *path, int (*each)(void *arg, const char *name), void *arg);
	int (*space)(struct vr_io *io, uint64_t *total, uint64_t *free);
	uint64_t (*now_ns)(struct vr_io *io);			/* since 1970 UTC */
	int (*random)(struct vr_io *io, void *buf, size_t len);
	void (*free)(struct vr_io *io);
};

struct vr_io {
	const struct vr_io_ops *ops;
};

/* A file begins so in every implementation. */
struct vr_file {
	struct vr_io *io;
};

/* A folder of a local filesystem; free() ends it. */
int vr_io_open(const char *dir, struct vr_io **io);

/*
 * From here on the process has as many open files as it may: the soft limit is for those that use select(), and a store wants up to
 * two for each segment.
 */
void vr_files_limit(void);

#endif /* LIBREPLICA_IO_H */
