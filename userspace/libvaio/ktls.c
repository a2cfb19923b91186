// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ktls.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif

#define TYPE_DATA	23	/* of a record: RFC 8446, 5.1 */

/*
 * Has the kernel AES-GCM by the processor's instructions? What it puts together of parts has their names in brackets; it
 * is slower than GnuTLS when one of them is AES in C.
 */
static bool kernel_is_fast(void)
{
	FILE *f = fopen("/proc/crypto", "re");
	char line[256], name[128] = "", word[128];
	bool fast = false;

	while (f && !fast && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "name : %127s", word) == 1)
			memcpy(name, word, sizeof(name));
		else if (sscanf(line, "driver : %127s", word) == 1)
			fast = !strcmp(name, "gcm(aes)") && !strchr(word, '(');
	}
	if (f)
		fclose(f);
	return fast;
}

/* Keys of one direction, as the kernel takes them; the sequence number of the next record is among them. */
static int hand_over(gnutls_session_t tls, int fd, int direction)
{
	union {
		struct tls12_crypto_info_aes_gcm_128 aes128;
		struct tls12_crypto_info_aes_gcm_256 aes256;
	} info;
	gnutls_datum_t iv, key;
	unsigned char seq[8];
	size_t len;
	int rc = 0;

	if (gnutls_protocol_get_version(tls) != GNUTLS_TLS1_3 || !kernel_is_fast())
		return -EOPNOTSUPP;
	if (gnutls_record_get_state(tls, direction == TLS_RX, NULL, &iv, &key, seq) < 0)
		return -EOPNOTSUPP;
	memset(&info, 0, sizeof(info));
	switch (gnutls_cipher_get(tls)) {
	case GNUTLS_CIPHER_AES_128_GCM:
		if (iv.size != sizeof(info.aes128.salt) + sizeof(info.aes128.iv) || key.size != sizeof(info.aes128.key))
			return -EOPNOTSUPP;
		info.aes128.info.version = TLS_1_3_VERSION;
		info.aes128.info.cipher_type = TLS_CIPHER_AES_GCM_128;
		memcpy(info.aes128.salt, iv.data, sizeof(info.aes128.salt));
		memcpy(info.aes128.iv, iv.data + sizeof(info.aes128.salt), sizeof(info.aes128.iv));
		memcpy(info.aes128.key, key.data, sizeof(info.aes128.key));
		memcpy(info.aes128.rec_seq, seq, sizeof(info.aes128.rec_seq));
		len = sizeof(info.aes128);
		break;
	case GNUTLS_CIPHER_AES_256_GCM:
		if (iv.size != sizeof(info.aes256.salt) + sizeof(info.aes256.iv) || key.size != sizeof(info.aes256.key))
			return -EOPNOTSUPP;
		info.aes256.info.version = TLS_1_3_VERSION;
		info.aes256.info.cipher_type = TLS_CIPHER_AES_GCM_256;
		memcpy(info.aes256.salt, iv.data, sizeof(info.aes256.salt));
		memcpy(info.aes256.iv, iv.data + sizeof(info.aes256.salt), sizeof(info.aes256.iv));
		memcpy(info.aes256.key, key.data, sizeof(info.aes256.key));
		memcpy(info.aes256.rec_seq, seq, sizeof(info.aes256.rec_seq));
		len = sizeof(info.aes256);
		break;
	default:
		return -EOPNOTSUPP;
	}
	/* Without a key the kernel leaves the bytes as they are. */
	if ((setsockopt(fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) && errno != EEXIST) ||
	    setsockopt(fd, SOL_TLS, direction, &info, (socklen_t)len))
		rc = -errno;
	gnutls_memset(&info, 0, sizeof(info));
	return rc;
}

int ktls_send_begin(gnutls_session_t tls, int fd)
{
	return hand_over(tls, fd, TLS_TX);
}

int ktls_receive_begin(gnutls_session_t tls, int fd)
{
	int one = 1, rc;

	/* What GnuTLS has read already would be missing. */
	if (gnutls_record_check_pending(tls))
		return -EOPNOTSUPP;
	rc = hand_over(tls, fd, TLS_RX);
	/* Nobody here fills records up: so they can be decrypted to where they are wanted. It works without. */
	if (!rc)
		setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one));
	return rc;
}

ssize_t ktls_receive(int fd, void *buf, size_t len, bool all)
{
	union {
		char room[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, all ? MSG_WAITALL : 0);
	struct cmsghdr *c;

	if (n <= 0)
		return n ? -errno : 0;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE && *CMSG_DATA(c) != TYPE_DATA)
		return 0;
	return n;
}
