/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys and passphrases: in memory that is locked, not dumped and wiped, and on
 * their way into the kernel's keyring.
 */
#ifndef LIBVAIO_SECRET_H
#define LIBVAIO_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include <linux/vaio.h>

#include "err.h"

#define VAIO_SECRET_MAX	(8U << 10)

struct vaio_secret {
	unsigned char *bytes;	/* room for VAIO_SECRET_MAX; NULL: none */
	size_t size;
};

int vaio_secret_new(struct vaio_secret *s, struct vaio_err *e);
void vaio_secret_free(struct vaio_secret *s);	/* wipes */

/* The whole of a key file. */
int vaio_secret_read_file(const char *path, struct vaio_secret *s, struct vaio_err *e);

/* A passphrase up to the first newline or the end. */
int vaio_secret_read_fd(int fd, struct vaio_secret *s, struct vaio_err *e);

/* Asks at the terminal; VAIO_USAGE when there is none. */
int vaio_secret_ask(const char *prompt, struct vaio_secret *s, struct vaio_err *e);

/* A `logon` key of this thread's keyring: it ends with us. */
struct vaio_key {
	int32_t id;		/* 0: none */
	size_t size;
	char description[VAIO_VALUE_LEN / 2];
};

/* Adds @s as "vaio:<disk uuid>". */
int vaio_key_add(const char *disk_uuid, const struct vaio_secret *s, struct vaio_key *k, struct vaio_err *e);
void vaio_key_remove(struct vaio_key *k);

/* ":64:logon:vaio:<disk uuid>", as tables name it. */
void vaio_key_word(const struct vaio_key *k, char *buf, size_t size);

/* No core dumps and no ptrace by others from now on. */
void vaio_secret_harden(void);

#endif /* LIBVAIO_SECRET_H */
