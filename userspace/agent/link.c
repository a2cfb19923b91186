// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../libvaio/ktls.h"
#include "link.h"

#define CONNECT_NS	10000000000ULL	/* for the address, the connection, and the handshake, each */
#define TLS_RECORD	16384U		/* the most that a record of TLS takes */
#define LOW_WATER	262144		/* bytes in the buffer below which a batch may follow */
#define HIGH_WATER	(VAIO_RW_MAX_BATCH + (1U << 20))	/* above which nothing more is heard that wants an answer */

/* What has to be sent of it. */
static size_t waiting(const struct link_buffer *b)
{
	return b->len - b->sent;
}

/* --- operations ------------------------------------------------------------------------ */

static struct io_uring_sqe *sqe_for(struct link *l, enum op op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(l->uring);

	if (!sqe) {
		/* More entries than operations there can be: the kernel only has to take them. */
		io_uring_submit(l->uring);
		sqe = io_uring_get_sqe(l->uring);
	}
	if (sqe)
		sqe->user_data = op;
	return sqe;
}

static void start_receive(struct link *l)
{
	struct io_uring_sqe *sqe;

	if (l->receiving || l->in_end || l->in_at < l->in_len || l->state < LINK_HANDSHAKE || l->state == LINK_CLOSING)
		return;
	sqe = sqe_for(l, OP_RECV);
	if (!sqe)
		return;
	io_uring_prep_recv(sqe, l->fd, l->in, sizeof(l->in), 0);
	sqe->user_data = OP_RECV;
	l->receiving = true;
	l->under_way++;
}

void link_flush(struct link *l)
{
	struct link_buffer *b;
	struct io_uring_sqe *sqe;

	if (l->state < LINK_HANDSHAKE || l->state == LINK_CLOSING)
		return;
	start_receive(l);
	if (l->sending)
		return;
	b = &l->out[!l->filling];
	if (!waiting(b)) {
		b->len = b->sent = 0;
		if (!waiting(&l->out[l->filling]))
			return;
		l->filling = !l->filling;
		b = &l->out[!l->filling];
	}
	sqe = sqe_for(l, OP_SEND);
	if (!sqe)
		return;
	io_uring_prep_send(sqe, l->fd, b->data + b->sent, waiting(b), MSG_NOSIGNAL);
	sqe->user_data = OP_SEND;
	l->sending = true;
	l->under_way++;
}

static void cancel(struct link *l, enum op op)
{
	struct io_uring_sqe *sqe = sqe_for(l, OP_CANCEL);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, op, 0);
	sqe->user_data = OP_CANCEL;
	l->under_way++;
}

/* --- TLS over the buffers ----------------------------------------------------------------- */

/* Appends to the buffer that is being filled. */
static ssize_t put(struct link *l, const void *p, size_t len)
{
	struct link_buffer *b = &l->out[l->filling];

	if (b->size < b->len + len) {
		size_t size = b->size ? b->size : 65536;
		uint8_t *more;

		while (size < b->len + len)
			size *= 2;
		more = realloc(b->data, size);
		if (!more) {
			gnutls_transport_set_errno(l->tls, ENOMEM);
			return -1;
		}
		b->data = more;
		b->size = size;
	}
	memcpy(b->data + b->len, p, len);
	b->len += len;
	return (ssize_t)len;
}

/* A record of TLS: GnuTLS hands over each by itself. */
static ssize_t push(gnutls_transport_ptr_t arg, const void *p, size_t len)
{
	struct link *l = arg;

	/* An alert: the kernel would take it for data. */
	if (l->kernel_sends) {
		gnutls_transport_set_errno(l->tls, EPIPE);
		return -1;
	}
	l->sealed++;
	return put(l, p, len);
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *p, size_t len)
{
	struct link *l = arg;
	size_t n = l->in_len - l->in_at < len ? l->in_len - l->in_at : len;

	if (!n && l->in_end)
		return 0;
	if (!n) {
		gnutls_transport_set_errno(l->tls, EAGAIN);
		return -1;
	}
	memcpy(p, l->in + l->in_at, n);
	l->in_at += n;
	return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t arg, unsigned int ms)
{
	struct link *l = arg;

	(void)ms;
	return l->in_at < l->in_len || l->in_end;
}

int link_credentials(struct link *l, const char *pki, struct vr_err *e)
{
	gnutls_certificate_credentials_t c;
	struct vaio_pki p;
	int rc;

	vaio_pki_files(&p, pki, "client");
	if (gnutls_certificate_allocate_credentials(&c) < 0)
		return vr_fail(e, -ENOMEM, "no memory");
	rc = gnutls_certificate_set_x509_trust_file(c, p.ca, GNUTLS_X509_FMT_PEM);
	if (rc <= 0) {
		vr_fail(e, -EINVAL, "%.150s: %s", p.ca, rc ? gnutls_strerror(rc) : "no certificate in it");
		goto fail;
	}
	if (!access(p.crl, F_OK)) {
		rc = gnutls_certificate_set_x509_crl_file(c, p.crl, GNUTLS_X509_FMT_PEM);
		if (rc < 0) {
			vr_fail(e, -EINVAL, "%.150s: %s", p.crl, gnutls_strerror(rc));
			goto fail;
		}
	}
	rc = gnutls_certificate_set_x509_key_file(c, p.cert, p.key, GNUTLS_X509_FMT_PEM);
	if (rc < 0) {
		vr_fail(e, -EINVAL, "%.100s, %.100s: %s", p.cert, p.key, gnutls_strerror(rc));
		goto fail;
	}
	/* A session that goes on has its own copy of what it needs. */
	if (l->creds)
		gnutls_certificate_free_credentials(l->creds);
	l->creds = c;
	return 0;
fail:
	gnutls_certificate_free_credentials(c);
	return -EINVAL;
}

static int begin_tls(struct link *l, struct vr_err *e)
{
	static const gnutls_datum_t alpn = { (unsigned char *)VAIO_RW_ALPN, sizeof(VAIO_RW_ALPN) - 1 };
	struct in6_addr numeric;
	int rc = gnutls_init(&l->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

	if (rc < 0) {
		l->tls = NULL;
		return vr_fail(e, -ENOMEM, "TLS: %s", gnutls_strerror(rc));
	}
	rc = gnutls_priority_set_direct(l->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
	if (rc >= 0)
		rc = gnutls_credentials_set(l->tls, GNUTLS_CRD_CERTIFICATE, l->creds);
	if (rc >= 0)
		rc = gnutls_alpn_set_protocols(l->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY);
	/* No server has an address as its name. */
	if (rc >= 0 && inet_pton(AF_INET, l->host, &numeric) != 1 && inet_pton(AF_INET6, l->host, &numeric) != 1)
		rc = gnutls_server_name_set(l->tls, GNUTLS_NAME_DNS, l->host, strlen(l->host));
	if (rc < 0)
		return vr_fail(e, -EINVAL, "TLS: %s", gnutls_strerror(rc));
	gnutls_session_set_verify_cert(l->tls, l->host, 0);
	gnutls_handshake_set_timeout(l->tls, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_ptr(l->tls, l);
	gnutls_transport_set_push_function(l->tls, push);
	gnutls_transport_set_pull_function(l->tls, pull);
	gnutls_transport_set_pull_timeout_function(l->tls, pull_timeout);
	return 0;
}

static int handshake(struct link *l, struct vr_err *e)
{
	gnutls_datum_t text = { NULL, 0 }, chosen;
	int rc;

	do
		rc = gnutls_handshake(l->tls);
	while (rc == GNUTLS_E_INTERRUPTED);
	if (rc == GNUTLS_E_AGAIN)
		return 0;
	if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(l->tls), GNUTLS_CRT_X509,
							     &text, 0);
		vr_fail(e, -EACCES, "the replica's certificate: %.180s", text.data ? (char *)text.data : "refused");
		gnutls_free(text.data);
		return -EACCES;
	}
	if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return vr_fail(e, -EACCES, "TLS: the replica says: %s", gnutls_alert_get_name(gnutls_alert_get(l->tls)));
	if (rc < 0)
		return vr_fail(e, -EACCES, "TLS: %s", gnutls_strerror(rc));
	if (gnutls_alpn_get_selected_protocol(l->tls, &chosen) < 0)
		return vr_fail(e, -EPROTO, "TLS: the replica does not speak %s", VAIO_RW_ALPN);
	l->state = LINK_UP;
	l->heard_ns = l->said_ns = mono_ns();
	return 0;
}

/* --- connecting ---------------------------------------------------------------------------- */

int link_init(struct link *l, struct io_uring *uring, struct vr_err *e)
{
	memset(l, 0, sizeof(*l));
	l->uring = uring;
	l->fd = -1;
	l->message = malloc(VAIO_RW_MAX_MESSAGE);
	return l->message ? 0 : vr_fail(e, -ENOMEM, "no memory");
}

void link_connect(struct link *l, const char *host, const char *port)
{
	snprintf(l->host, sizeof(l->host), "%s", host);
	snprintf(l->port, sizeof(l->port), "%s", port);
	l->since_ns = mono_ns();
	l->peer[0] = 0;
	l->sealed = l->opened = 0;
	l->in_at = l->in_len = 0;
	l->in_end = false;
	l->kernel_sends = l->kernel_asked = false;
	l->got = 0;
	l->want = sizeof(l->header);
	l->out[0].len = l->out[0].sent = l->out[1].len = l->out[1].sent = 0;
	l->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	l->lookup = (struct gaicb){ .ar_name = l->host, .ar_service = l->port, .ar_request = &l->hints };
	l->lookups[0] = &l->lookup;
	l->addresses = l->address = NULL;
	/* An answer is looked for by link_tick(). */
	l->resolving = true;
	l->state = LINK_RESOLVING;
	if (getaddrinfo_a(GAI_NOWAIT, l->lookups, 1, NULL)) {
		l->resolving = false;
		l->state = LINK_DOWN;
	}
}

/* Tries the next address. */
static int next_address(struct link *l, int why, struct vr_err *e)
{
	struct addrinfo *a = l->address;
	struct io_uring_sqe *sqe;
	char host[48], port[8];
	int one = 1;

	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (!a)
		return vr_fail_errno(e, why, "%.200s", l->host);
	l->address = a->ai_next;
	l->since_ns = mono_ns();
	if (!getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(l->peer, sizeof(l->peer), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return vr_fail_errno(e, -errno, "socket");
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	sqe = sqe_for(l, OP_CONNECT);
	if (!sqe)
		return vr_fail(e, -ENOMEM, "io_uring is full");
	io_uring_prep_connect(sqe, l->fd, a->ai_addr, a->ai_addrlen);
	sqe->user_data = OP_CONNECT;
	l->connecting = true;
	l->under_way++;
	l->state = LINK_CONNECTING;
	return 0;
}

static int resolved(struct link *l, struct vr_err *e)
{
	int rc = gai_error(&l->lookup);

	if (rc == EAI_INPROGRESS)
		return mono_ns() - l->since_ns > CONNECT_NS ? vr_fail(e, -ETIMEDOUT, "%.200s: no answer to the name", l->host) : 0;
	if (rc)
		return vr_fail(e, -ENOENT, "%.150s: %s", l->host, gai_strerror(rc));
	l->resolving = false;
	l->addresses = l->address = l->lookup.ar_result;
	return next_address(l, -ENOENT, e);
}

static void closed(struct link *l)
{
	if (l->under_way)
		return;
	if (l->resolving) {
		/* A thread of the resolver works on our structure. */
		if (gai_error(&l->lookup) == EAI_INPROGRESS)
			return;
		l->addresses = gai_error(&l->lookup) ? NULL : l->lookup.ar_result;
		l->resolving = false;
	}
	if (l->fd >= 0)
		close(l->fd);
	if (l->addresses)
		freeaddrinfo(l->addresses);
	l->addresses = l->address = NULL;
	l->fd = -1;
	l->state = LINK_DOWN;
}

int link_tick(struct link *l, struct vr_err *e)
{
	switch (l->state) {
	case LINK_RESOLVING:
		return resolved(l, e);
	case LINK_CONNECTING:
		if (mono_ns() - l->since_ns > CONNECT_NS)
			cancel(l, OP_CONNECT);
		return 0;
	case LINK_HANDSHAKE:
		return mono_ns() - l->since_ns > CONNECT_NS ? vr_fail(e, -ETIMEDOUT, "%.60s: TLS: no answer", l->peer) : 0;
	case LINK_UP:
		return mono_ns() - l->heard_ns > VAIO_RW_DEAD_MS * 1000000ULL ?
		       vr_fail(e, -ETIMEDOUT, "%.60s: nothing was heard for %u s", l->peer, VAIO_RW_DEAD_MS / 1000) : 0;
	case LINK_CLOSING:
		closed(l);
		return 0;
	default:
		return 0;
	}
}

/* --- completions ---------------------------------------------------------------------------------- */

void link_close(struct link *l)
{
	if (l->state == LINK_DOWN || l->state == LINK_CLOSING)
		return;
	/* What was cancelled stays EAI_INPROGRESS for ever: nobody works on it. */
	if (l->resolving && gai_cancel(&l->lookup) == EAI_CANCELED)
		l->resolving = false;
	l->state = LINK_CLOSING;
	if (l->fd >= 0)
		shutdown(l->fd, SHUT_RDWR);
	if (l->connecting)
		cancel(l, OP_CONNECT);
	if (l->receiving)
		cancel(l, OP_RECV);
	if (l->sending)
		cancel(l, OP_SEND);
	if (l->tls)
		gnutls_deinit(l->tls);
	l->tls = NULL;
	closed(l);
}

static int connected(struct link *l, int res, struct vr_err *e)
{
	int err;

	l->connecting = false;
	if (l->state == LINK_CLOSING)
		return 0;
	if (res < 0)
		return next_address(l, res == -ECANCELED ? -ETIMEDOUT : res, e);
	l->since_ns = mono_ns();
	l->state = LINK_HANDSHAKE;
	err = begin_tls(l, e);
	return err ? err : handshake(l, e);
}

int link_completion(struct link *l, const struct io_uring_cqe *cqe, struct vr_err *e)
{
	int res = cqe->res, err = 0;

	l->under_way--;
	switch (cqe->user_data) {
	case OP_CONNECT:
		err = connected(l, res, e);
		break;
	case OP_SEND:
		l->sending = false;
		if (l->state == LINK_CLOSING)
			break;
		if (res < 0 && res != -EINTR && res != -EAGAIN) {
			err = vr_fail_errno(e, res, "%.60s", l->peer);
		} else if (res > 0) {
			l->out[!l->filling].sent += (size_t)res;
			/* The kernel ends a record where a call does. */
			if (l->kernel_sends)
				l->sealed += ((uint64_t)res + TLS_RECORD - 1) / TLS_RECORD;
		}
		break;
	case OP_RECV:
		l->receiving = false;
		if (l->state == LINK_CLOSING)
			break;
		if (res < 0 && res != -EINTR && res != -EAGAIN) {
			err = vr_fail_errno(e, res, "%.60s", l->peer);
		} else if (res >= 0) {
			l->in_at = 0;
			l->in_len = (size_t)res;
			l->in_end = res == 0;
			l->heard_ns = mono_ns();
			if (l->state == LINK_HANDSHAKE)
				err = handshake(l, e);
		}
		break;
	}
	if (l->state == LINK_CLOSING)
		closed(l);
	return err;
}

/* --- messages --------------------------------------------------------------------------------------- */

int link_receive(struct link *l, uint16_t *type, size_t *len, struct vr_err *e)
{
	/* Who asks and takes no answers waits. */
	while (l->state == LINK_UP && waiting(&l->out[l->filling]) < HIGH_WATER) {
		uint8_t *to = l->got < sizeof(l->header) ? (uint8_t *)&l->header + l->got :
			      (uint8_t *)l->message + (l->got - sizeof(l->header));
		ssize_t n = l->got < l->want ? gnutls_record_recv(l->tls, to, l->want - l->got) : 0;
		int err;

		if (l->got < l->want) {
			if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
				return 0;
			if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
				return vr_fail(e, -ECONNRESET, "%.60s closed the connection", l->peer);
			if (n < 0 && !gnutls_error_is_fatal((int)n))
				continue;
			if (n < 0)
				return vr_fail(e, -EIO, "%.60s: TLS: %s", l->peer, gnutls_strerror((int)n));
			l->got += (size_t)n;
			l->opened += !gnutls_record_check_pending(l->tls);
			if (l->got < l->want)
				continue;
		}
		if (l->want == sizeof(l->header)) {
			err = vr_message_check_header(&l->header, &l->type, len, e);
			if (!err && *len > VAIO_RW_MAX_MESSAGE)
				err = vr_fail(e, -EPROTO, "a message that only an agent sends");
			if (err)
				return err;
			l->want += *len;
			continue;
		}
		*type = l->type;
		*len = l->want - sizeof(l->header);
		l->got = 0;
		l->want = sizeof(l->header);
		err = vr_message_check(&l->header, l->message, *len, e);
		return err ? err : 1;
	}
	return 0;
}

/* The kernel encrypts from here on, if it can, once the handshake and HELLO are in the socket. */
static void ask_kernel(struct link *l)
{
	if (l->kernel_asked || l->sending || waiting(&l->out[0]) || waiting(&l->out[1]))
		return;
	l->kernel_asked = true;
	l->kernel_sends = !ktls_send_begin(l->tls, l->fd);
}

static int send_all(struct link *l, const void *p, size_t len, struct vr_err *e)
{
	if (l->kernel_sends)
		return put(l, p, len) < 0 ? vr_fail(e, -ENOMEM, "no memory") : 0;
	while (len) {
		ssize_t n = gnutls_record_send(l->tls, p, len);

		if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN)
			continue;	/* the buffer takes all */
		if (n < 0)
			return vr_fail(e, -EIO, "TLS: %s", gnutls_strerror((int)n));
		p = (const char *)p + n;
		len -= (size_t)n;
	}
	return 0;
}

int link_send(struct link *l, uint16_t type, const void *payload, size_t len, struct vr_err *e)
{
	struct {
		struct vaio_rw_msg h;
		char payload[TLS_RECORD - sizeof(struct vaio_rw_msg)];
	} m;
	size_t with = len < sizeof(m.payload) ? len : sizeof(m.payload);
	int err;

	if (l->state != LINK_UP)
		return vr_fail(e, -ENOTCONN, "there is no connection");
	/* The header has no record of its own: what is small is one, and is read with one call. */
	vr_message_header(&m.h, type, payload, len);
	memcpy(m.payload, payload, with);
	err = send_all(l, &m, sizeof(m.h) + with, e);
	if (!err)
		err = send_all(l, (const char *)payload + with, len - with, e);
	l->said_ns = mono_ns();
	return err;
}

/* The batch is sent from where it was made, if nothing waits before it. */
int link_send_batch(struct link *l, struct vr_builder *builder, uint8_t *batch, size_t len, struct vr_err *e)
{
	struct link_buffer *b = &l->out[l->filling];
	uint8_t *begin = batch - sizeof(struct vaio_rw_msg), *memory;

	if (l->state == LINK_UP)
		ask_kernel(l);
	if (l->state != LINK_UP || !l->kernel_sends || waiting(b))
		return link_send(l, VAIO_RW_BATCH, batch, len, e);
	if (b->size < vr_builder_bytes(builder)) {
		free(b->data);
		memset(b, 0, sizeof(*b));
	}
	memory = vr_builder_exchange(builder, b->data);
	if (!memory)
		return vr_fail(e, -ENOMEM, "no memory");
	vr_message_header((void *)begin, VAIO_RW_BATCH, batch, len);
	*b = (struct link_buffer){ .data = memory, .len = (size_t)(batch + len - memory), .sent = (size_t)(begin - memory),
				   .size = vr_builder_bytes(builder) };
	l->said_ns = mono_ns();
	return 0;
}

bool link_wants(const struct link *l)
{
	return l->state == LINK_UP && waiting(&l->out[l->filling]) < LOW_WATER;
}
