/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS in the kernel (Documentation/networking/tls.rst of Linux): after a handshake by GnuTLS the kernel
 * encrypts what is sent, or decrypts what is received, on its way from or to the caller's memory. The bytes
 * on the wire are the same. Each direction by itself; the other one stays with GnuTLS.
 *
 * For TLS 1.3 with AES-GCM, and where the kernel has it by the processor's instructions: else -errno, and nothing
 * has changed.
 */
#ifndef LIBVAIO_KTLS_H
#define LIBVAIO_KTLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * What is written to @fd from here on is plaintext. All that @tls has sent must be in the socket, and @tls
 * must send no more: no record, no alert.
 */
int ktls_send_begin(gnutls_session_t tls, int fd);

/* What ktls_receive() reads from @fd from here on is plaintext. @tls must read no more. */
int ktls_receive_begin(gnutls_session_t tls, int fd);

#define KTLS_RECORD	16384U	/* the most that a record has */

/*
 * Up to @len bytes, waiting for the first as the socket does; with @all for each of them. A record that fits into what is
 * left of @buf is decrypted to there; of another one the kernel makes a copy. 0: the
 * peer has closed the connection, or sent something that is no data and that nobody asked for. -errno: as recvmsg();
 * -EBADMSG when a record is not authentic.
 */
ssize_t ktls_receive(int fd, void *buf, size_t len, bool all);

#endif /* LIBVAIO_KTLS_H */
