/* SPDX-License-Identifier: GPL-2.0 */
/* LUKS2 headers, by libcryptsetup. */
#ifndef LIBVAIO_LUKS_H
#define LIBVAIO_LUKS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "secret.h"

struct vaio_luks {
	uint64_t data_offset;	/* 512-byte sectors */
	uint64_t sectors;	/* of the data; 0: to the end of the device */
	uint64_t iv_offset;	/* 512-byte sectors */
	uint32_t sector_size;
	char uuid[40];
};

enum vaio_unlock {
	VAIO_UNLOCK_ASK,	/* at the terminal */
	VAIO_UNLOCK_KEY_FILE,
	VAIO_UNLOCK_PASSPHRASE_FD,
	VAIO_UNLOCK_TOKEN,	/* any token of the header: TPM2, clevis, ... */
};

struct vaio_unlock_how {
	enum vaio_unlock how;
	const char *key_file;
	int fd;
};

/*
 * Reads the header of @device (or @header, detached) and unlocks it: the volume
 * key is in @key on success. A device without LUKS2 is refused: the text names
 * what was found there and the way to encrypt it.
 */
int vaio_luks_unlock(const char *device, const char *header, const struct vaio_unlock_how *how, struct vaio_luks *l,
		     struct vaio_secret *key, struct vaio_err *e);

/* Is there a LUKS2 header? */
bool vaio_luks_present(const char *device);

#endif /* LIBVAIO_LUKS_H */
