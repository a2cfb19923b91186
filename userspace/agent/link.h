/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The connection to a replica: TCP through io_uring, TLS 1.3 by GnuTLS between its buffers and ours,
 * messages. One at a time; it never blocks.
 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include <gnutls/gnutls.h>
#include <liburing.h>
#include <netdb.h>

#include "agent.h"

/* What a completion is of: the low byte of its user_data; above it, the connection's count. */
enum op { OP_RING = 1, OP_SIGNAL, OP_REQUEST, OP_TICK, OP_CONNECT, OP_SEND, OP_RECV, OP_CANCEL };

enum link_state {
	LINK_DOWN,
	LINK_RESOLVING,
	LINK_CONNECTING,
	LINK_HANDSHAKE,
	LINK_UP,
	LINK_CLOSING,		/* what is still under way has to end */
};

struct link_buffer {
	uint8_t *data;
	size_t len, size, sent;	/* what is before @sent need not be anything */
};

struct link {
	struct io_uring *uring;
	enum link_state state;
	uint64_t since_ns, heard_ns, said_ns;	/* CLOCK_MONOTONIC */
	uint64_t sealed, opened;		/* records of TLS in this connection, by the key of each way */
	char peer[64];
	/* the address */
	char host[256], port[16];
	bool resolving;				/* a thread of the C library looks the name up */
	struct gaicb lookup, *lookups[1];
	struct addrinfo hints, *addresses, *address;
	/* the socket */
	int fd;
	unsigned int under_way;			/* operations of the socket */
	bool connecting, receiving, sending;
	uint8_t in[65536];
	size_t in_at, in_len;
	bool in_end;				/* the peer closed */
	struct link_buffer out[2];		/* one is sent while the other one fills */
	int filling;
	/* TLS */
	gnutls_certificate_credentials_t creds;
	gnutls_session_t tls;
	bool kernel_sends, kernel_asked;	/* what is in the buffers is plaintext; it was tried */
	/* the message that is being read */
	struct vaio_rw_msg header;
	uint16_t type;
	size_t got, want;
	uint64_t *message;			/* VAIO_RW_MAX_MESSAGE bytes */
};

/* What is allocated once. -ENOMEM. */
int link_init(struct link *l, struct io_uring *uring, struct vr_err *e);

/* Reads CA, CRL, certificate and key anew; used by the next connection. -EINVAL with the file. */
int link_credentials(struct link *l, const char *pki, struct vr_err *e);

/* Begins to connect; @l is down. */
void link_connect(struct link *l, const char *host, const char *port);

/*
 * A completion of OP_CONNECT, OP_SEND, OP_RECV or OP_CANCEL. 0, or -errno with a text: the
 * connection failed and has to be closed.
 */
int link_completion(struct link *l, const struct io_uring_cqe *cqe, struct vr_err *e);

/* Timeouts and the address. As above. */
int link_tick(struct link *l, struct vr_err *e);

/*
 * The next whole message, once the link is up: 1, its payload in l->message, type and length in *@type and *@len.
 * 0: none yet. -errno: as above.
 */
int link_receive(struct link *l, uint16_t *type, size_t *len, struct vr_err *e);

/* Puts a message into the buffer. */
int link_send(struct link *l, uint16_t type, const void *payload, size_t len, struct vr_err *e);

/* The same of the @len bytes of a @batch that @builder has finished; it has other memory afterwards. */
int link_send_batch(struct link *l, struct vr_builder *builder, uint8_t *batch, size_t len, struct vr_err *e);

/* Is there little in the buffer, so that a batch may follow? */
bool link_wants(const struct link *l);

/* Submits what is in the buffer; to be called before waiting. */
void link_flush(struct link *l);

/* Ends it now; LINK_CLOSING until all is over, then LINK_DOWN. */
void link_close(struct link *l);

#endif /* AGENT_LINK_H */
