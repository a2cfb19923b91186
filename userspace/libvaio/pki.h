/* SPDX-License-Identifier: GPL-2.0 */
/* Certificates for TLS, in folders as libvirt has them: their files, and whether they changed. */
#ifndef LIBVAIO_PKI_H
#define LIBVAIO_PKI_H

#include <stdbool.h>
#include <stdint.h>

struct vaio_pki {
	char ca[512], crl[512], cert[512], key[512];	/* paths; the list of revoked ones need not be there */
};

/* @side: client or server. Of @dir up to 400 bytes. */
void vaio_pki_files(struct vaio_pki *p, const char *dir, const char *side);

struct vaio_pki_watch {
	uint64_t read, seen;		/* what the files were like: when they were read, and at the last look */
};

/* They are read now. */
void vaio_pki_read(struct vaio_pki_watch *w, const struct vaio_pki *p);

/*
 * To be asked about once a second: they are not what was read, and the same as at the last look, so nobody is
 * writing them. True once for each change.
 */
bool vaio_pki_changed(struct vaio_pki_watch *w, const struct vaio_pki *p);

#endif /* LIBVAIO_PKI_H */
