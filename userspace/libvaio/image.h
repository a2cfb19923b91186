/* SPDX-License-Identifier: GPL-2.0 */
/* Image files: what format they are in, and raw ones as loop devices. */
#ifndef LIBVAIO_IMAGE_H
#define LIBVAIO_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/vaio.h>

#include "blockdev.h"
#include "err.h"

struct vaio_format {
	const char *name;	/* as people know it: "qcow2" */
	const char *qemu;	/* qemu-img's name for it, NULL when it reads it not */
	const char *unpack;	/* a command for compressed files, NULL else */
};

/* The format of a file by its magic; NULL when it looks raw. */
int vaio_image_format(const char *path, const struct vaio_format **format, struct vaio_err *e);

/* Refuses anything but raw, with the command that converts it. */
int vaio_image_check_raw(const char *path, struct vaio_err *e);

struct vaio_loop {
	char path[32];		/* /dev/loopN */
	int fd;			/* keeps the device while nobody else has it */
	bool found;		/* was there before */
	bool direct;		/* direct I/O is on */
};

/*
 * A loop device over the whole raw image: one that is already there (found by
 * the file's inode) or a new one that goes away with its last user. @block_size
 * 0: the smallest that direct I/O on the file allows. Without direct I/O it is
 * refused unless @buffered.
 */
int vaio_loop_attach(const char *image, uint32_t block_size, bool buffered, struct vaio_loop *l, struct vaio_err *e);

/* Drops our hold; a new device without another user disappears. */
void vaio_loop_release(struct vaio_loop *l);

/* Takes over a changed file size. */
int vaio_loop_update_size(const char *loop, struct vaio_err *e);

/* The loop device ("/dev/loop0") that uses a file; false when none does. */
bool vaio_loop_of(dev_t dev, ino_t ino, char *name, size_t size);

/* The file behind a loop device; false when the device is none. */
bool vaio_loop_file(dev_t dev, char *buf, size_t size);

#endif /* LIBVAIO_IMAGE_H */
