// SPDX-License-Identifier: GPL-2.0
/*
 * What the rows of replication are measured with (tools/bench/replication):
 *
 * repl-load write DEVICE random|sequential BLOCK BYTES DEPTH GROUP [RATE]
 *	Writes BYTES in blocks through io_uring, at most RATE bytes a second, and waits
 *	until the kernel knows all records of the group to be durable at the replica.
 * repl-load copy DEVICE FILE random|sequential BLOCK BYTES SYNC [PKI [library]]
 *	The plain copy loop: one thread reads the device in blocks and sends them over a
 *	TCP connection of the loopback interface, another one receives them, writes them to
 *	FILE, which it makes, and calls fdatasync each SYNC bytes; all of it through io_uring, with two
 *	buffers on each side, so that reading, sending, receiving and writing overlap. With
 *	PKI (a folder with client/ and server/) the connection has the TLS that vaio-agent and vaio-replicad have,
 *	by the kernel where theirs is; with the word "library" after it by GnuTLS.
 *
 * Prints the nanoseconds that it took. The device's first 32 MiB are used.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../userspace/libvaio/ktls.h"
#include "../../userspace/libvaio/libvaio.h"

#define SPAN		(32U << 20)
#define CHUNK		(1U << 20)	/* of the copy loop: as much as a batch of vaio-agent */
#define MAX_DEPTH	512U
#define POLL_NS		1000000L

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || end == text || n < min || n > max)
		errx(2, "'%s' is no number from %" PRIu64 " to %" PRIu64, text, min, max);
	return n;
}

/* Which blocks, in which order: every run visits the same ones. */
struct order {
	bool random;
	uint32_t state;
	uint64_t block, next;
};

static void order_init(struct order *o, const char *word, uint64_t block)
{
	*o = (struct order){ .random = !strcmp(word, "random"), .block = block };
	if (!o->random && strcmp(word, "sequential"))
		errx(2, "'%s' is not one of random, sequential", word);
}

static uint64_t order_next(struct order *o)
{
	o->state = o->state * 1664525 + 1013904223;
	return (o->random ? o->state >> 8 : o->next++) % (SPAN / o->block) * o->block;
}

static void *buffer(size_t size)
{
	void *p = aligned_alloc(4096, size);

	if (!p)
		errx(1, "no memory");
	/* What cannot be compressed. */
	for (size_t at = 0; at < size; at += 256)
		if (getrandom((char *)p + at, 256, 0) != 256)
			err(1, "getrandom");
	return p;
}

static struct io_uring_sqe *sqe_of(struct io_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(u);

	if (!sqe)
		errx(1, "io_uring is full");
	return sqe;
}

/* --- write ----------------------------------------------------------------------------- */

static uint64_t counter(const struct vaio_group *g, const char *name)
{
	const char *value = vaio_pair_value(g->counters, g->n_counters, name);

	return strtoull(value, NULL, 10);
}

static void wait_durable(const char *group)
{
	struct timespec pause = { .tv_nsec = POLL_NS };
	struct vaio_err e;
	struct vaio_nl *nl;

	if (vaio_group_open(&nl, &e))
		errx(1, "%s", e.text);
	for (bool all = false; !all;) {
		struct vaio_group g;

		nanosleep(&pause, NULL);
		if (vaio_group_get(nl, group, &g, &e))
			errx(1, "%s", e.text);
		if (strcmp(g.state, "replicating"))
			errx(1, "group %s is %s", group, g.state);
		all = counter(&g, "durable") == counter(&g, "published") && !counter(&g, "backlog_records");
		vaio_group_free(&g);
	}
	vaio_nl_close(nl);
}

static int load(int argc, char **argv)
{
	uint64_t block, bytes, rate, issued = 0, done = 0, began;
	unsigned int depth, in_flight = 0;
	struct io_uring uring;
	struct order order;
	char *data;
	int fd;

	if (argc < 8)
		return 2;
	block = number(argv[4], 512, CHUNK);
	bytes = number(argv[5], block, UINT64_MAX / 2);
	depth = (unsigned int)number(argv[6], 1, MAX_DEPTH);
	rate = argc > 8 ? number(argv[8], 1, UINT64_MAX / 2) : 0;
	order_init(&order, argv[3], block);
	fd = open(argv[2], O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[2]);
	if (io_uring_queue_init(MAX_DEPTH, &uring, 0))
		errx(1, "no io_uring");
	data = buffer(CHUNK);
	began = now_ns();
	while (done < bytes) {
		struct io_uring_cqe *cqe;
		uint64_t due = rate ? began + (uint64_t)((double)issued * 1e9 / (double)rate) : 0;

		while (issued < bytes && in_flight < depth && (!rate || due <= now_ns())) {
			io_uring_prep_write(sqe_of(&uring), fd, data + issued % CHUNK / block * block, (unsigned int)block,
					    order_next(&order));
			issued += block;
			in_flight++;
			due = rate ? began + (uint64_t)((double)issued * 1e9 / (double)rate) : 0;
		}
		if (in_flight) {
			io_uring_submit_and_wait(&uring, 1);
		} else {
			uint64_t now = now_ns();
			struct timespec pause = { .tv_sec = due > now ? (time_t)((due - now) / 1000000000) : 0,
						  .tv_nsec = due > now ? (long)((due - now) % 1000000000) : 0 };

			nanosleep(&pause, NULL);
		}
		while (!io_uring_peek_cqe(&uring, &cqe)) {
			if (cqe->res != (int)block)
				errx(1, "write: %s", strerror(cqe->res < 0 ? -cqe->res : EIO));
			io_uring_cqe_seen(&uring, cqe);
			done += block;
			in_flight--;
		}
	}
	wait_durable(argv[7]);
	printf("%" PRIu64 "\n", now_ns() - began);
	return 0;
}

/* --- copy --------------------------------------------------------------------------------- */

struct end {
	int socket, fd;
	gnutls_session_t tls;			/* NULL: none, or the kernel receives */
	bool kernel_sends;
	gnutls_certificate_credentials_t creds;
	const char *pki;
	bool server, library;
	size_t chunk;
	uint64_t block, bytes, sync;
	struct order order;
	struct io_uring uring;
	char *data[2];
	pthread_barrier_t *ready;
};

/* The operations of one kind that are under way: the completions of all others are only counted. */
enum { OP_FILE, OP_SOCKET, OPS };

static void wait_for(struct end *e, unsigned int left[OPS], int op)
{
	while (left[op]) {
		struct io_uring_cqe *cqe;

		io_uring_submit_and_wait(&e->uring, 1);
		while (!io_uring_peek_cqe(&e->uring, &cqe)) {
			if (cqe->res < 0)
				errx(1, "copy: %s", strerror(-cqe->res));
			left[cqe->user_data & 1]--;
			/* data is whole or the loop is not what it says; an fdatasync has no length */
			if (cqe->user_data >> 1 && (uint64_t)cqe->res != cqe->user_data >> 1)
				errx(1, "copy: %d of %llu bytes", cqe->res, cqe->user_data >> 1);
			io_uring_cqe_seen(&e->uring, cqe);
		}
	}
}

static void begin_tls(struct end *e)
{
	const char *kind = e->server ? "server" : "client";
	char ca[400], cert[400], key[400];
	int rc;

	snprintf(ca, sizeof(ca), "%.300s/%s/CA/cacert.pem", e->pki, kind);
	snprintf(cert, sizeof(cert), "%.300s/%s/vaio/%scert.pem", e->pki, kind, kind);
	snprintf(key, sizeof(key), "%.300s/%s/vaio/private/%skey.pem", e->pki, kind, kind);
	if (gnutls_certificate_allocate_credentials(&e->creds) < 0 ||
	    gnutls_certificate_set_x509_trust_file(e->creds, ca, GNUTLS_X509_FMT_PEM) <= 0 ||
	    gnutls_certificate_set_x509_key_file(e->creds, cert, key, GNUTLS_X509_FMT_PEM) < 0)
		errx(1, "%s: no certificates", e->pki);
	if (gnutls_init(&e->tls, e->server ? GNUTLS_SERVER : GNUTLS_CLIENT) < 0)
		errx(1, "TLS");
	gnutls_priority_set_direct(e->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
	gnutls_credentials_set(e->tls, GNUTLS_CRD_CERTIFICATE, e->creds);
	gnutls_transport_set_int(e->tls, e->socket);
	do
		rc = gnutls_handshake(e->tls);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	if (rc < 0)
		errx(1, "TLS: %s", gnutls_strerror(rc));
	if (e->library)
		return;
	if (!e->server)
		e->kernel_sends = !ktls_send_begin(e->tls, e->socket);
	else if (!ktls_receive_begin(e->tls, e->socket))
		e->tls = NULL;
}

static void begin(struct end *e)
{
	if (io_uring_queue_init(MAX_DEPTH, &e->uring, 0))
		errx(1, "no io_uring");
	e->data[0] = buffer(e->chunk);
	e->data[1] = buffer(e->chunk);
	if (e->pki)
		begin_tls(e);
	pthread_barrier_wait(e->ready);
}

static void start_read(struct end *e, unsigned int left[OPS], char *to)
{
	for (size_t at = 0; at < e->chunk; at += e->block) {
		struct io_uring_sqe *sqe = sqe_of(&e->uring);

		io_uring_prep_read(sqe, e->fd, to + at, (unsigned int)e->block, order_next(&e->order));
		sqe->user_data = e->block << 1 | OP_FILE;
		left[OP_FILE]++;
	}
}

static void *sender(void *arg)
{
	struct end *e = arg;
	unsigned int left[OPS] = { 0 };
	uint64_t chunks = e->bytes / e->chunk;

	begin(e);
	start_read(e, left, e->data[0]);
	for (uint64_t i = 0; i < chunks; i++) {
		char *p = e->data[i & 1];

		wait_for(e, left, OP_FILE);
		/* the other buffer is free once it was sent */
		wait_for(e, left, OP_SOCKET);
		if (i + 1 < chunks)
			start_read(e, left, e->data[~i & 1]);
		if (!e->tls) {
			struct io_uring_sqe *sqe = sqe_of(&e->uring);

			io_uring_prep_send(sqe, e->socket, p, e->chunk, MSG_WAITALL | MSG_NOSIGNAL);
			sqe->user_data = e->chunk << 1 | OP_SOCKET;
			left[OP_SOCKET]++;
			io_uring_submit(&e->uring);
			continue;
		}
		io_uring_submit(&e->uring);
		for (size_t sent = 0; sent < e->chunk;) {
			/* The kernel takes no MSG_WAITALL here. */
			ssize_t n = e->kernel_sends ? send(e->socket, p + sent, e->chunk - sent, MSG_NOSIGNAL) :
				    gnutls_record_send(e->tls, p + sent, e->chunk - sent);

			if (n <= 0)
				errx(1, "TLS: %s", e->kernel_sends ? strerror(errno) : gnutls_strerror((int)n));
			sent += (size_t)n;
		}
	}
	wait_for(e, left, OP_SOCKET);
	return NULL;
}

static void start_receive(struct end *e, unsigned int left[OPS], char *to)
{
	struct io_uring_sqe *sqe = sqe_of(&e->uring);

	io_uring_prep_recv(sqe, e->socket, to, e->chunk, MSG_WAITALL);
	sqe->user_data = e->chunk << 1 | OP_SOCKET;
	left[OP_SOCKET]++;
}

static void receive_tls(struct end *e, char *to)
{
	for (size_t got = 0; got < e->chunk;) {
		ssize_t n = gnutls_record_recv(e->tls, to + got, e->chunk - got);

		if (n <= 0 && n != GNUTLS_E_AGAIN && n != GNUTLS_E_INTERRUPTED)
			errx(1, "TLS: %s", n ? gnutls_strerror((int)n) : "closed");
		got += n > 0 ? (size_t)n : 0;
	}
}

static void receive_all(struct end *e)
{
	unsigned int left[OPS] = { 0 };
	uint64_t chunks = e->bytes / e->chunk, unsynced = 0;

	if (!e->tls)
		start_receive(e, left, e->data[0]);
	for (uint64_t i = 0; i < chunks; i++) {
		struct io_uring_sqe *sqe;

		if (e->tls)
			receive_tls(e, e->data[i & 1]);
		wait_for(e, left, OP_SOCKET);
		wait_for(e, left, OP_FILE);	/* the other buffer is free once it was written */
		if (!e->tls && i + 1 < chunks)
			start_receive(e, left, e->data[~i & 1]);
		sqe = sqe_of(&e->uring);
		io_uring_prep_write(sqe, e->fd, e->data[i & 1], (unsigned int)e->chunk, i * e->chunk);
		sqe->user_data = e->chunk << 1 | OP_FILE;
		left[OP_FILE]++;
		unsynced += e->chunk;
		if (unsynced >= e->sync || i + 1 == chunks) {
			sqe->flags |= IOSQE_IO_LINK;
			sqe = sqe_of(&e->uring);
			io_uring_prep_fsync(sqe, e->fd, IORING_FSYNC_DATASYNC);
			sqe->user_data = OP_FILE;
			left[OP_FILE]++;
			unsynced = 0;
		}
		io_uring_submit(&e->uring);
	}
	wait_for(e, left, OP_FILE);
}

static void connect_ends(struct end *from, struct end *to)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(a);

	from->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || from->socket < 0 || bind(listener, (void *)&a, sizeof(a)) || listen(listener, 1) ||
	    getsockname(listener, (void *)&a, &len) || connect(from->socket, (void *)&a, sizeof(a)))
		err(1, "loopback");
	to->socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (to->socket < 0)
		err(1, "accept");
	setsockopt(from->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
}

static int copy(int argc, char **argv)
{
	pthread_barrier_t ready;
	struct end from = { .ready = &ready }, to = { .server = true, .ready = &ready };
	pthread_t thread;
	uint64_t began;

	if (argc < 8)
		return 2;
	from.block = number(argv[5], 512, CHUNK);
	from.bytes = number(argv[6], from.block, UINT64_MAX / 2);
	to.sync = number(argv[7], 1, UINT64_MAX / 2);
	/* A smaller cadence than a batch: smaller pieces. */
	from.chunk = to.sync < CHUNK ? to.sync / from.block * from.block : CHUNK;
	if (from.chunk < from.block || from.chunk / from.block > MAX_DEPTH - 2)
		errx(2, "SYNC %" PRIu64 " does not go with BLOCK %" PRIu64, to.sync, from.block);
	from.bytes = (from.bytes + from.chunk - 1) / from.chunk * from.chunk;
	to.bytes = from.bytes;
	to.chunk = from.chunk;
	order_init(&from.order, argv[4], from.block);
	from.pki = to.pki = argc > 8 ? argv[8] : NULL;
	from.library = to.library = argc > 9 && !strcmp(argv[9], "library");
	from.fd = open(argv[2], O_RDONLY | O_DIRECT | O_CLOEXEC);
	to.fd = open(argv[3], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (from.fd < 0 || to.fd < 0)
		err(1, "%s", from.fd < 0 ? argv[2] : argv[3]);
	connect_ends(&from, &to);
	pthread_barrier_init(&ready, NULL, 2);
	if (pthread_create(&thread, NULL, sender, &from))
		errx(1, "no thread");
	begin(&to);
	began = now_ns();
	receive_all(&to);
	printf("%" PRIu64 " %" PRIu64 "\n", now_ns() - began, from.bytes);
	pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int rc = 2;

	if (argc > 1 && !strcmp(argv[1], "write"))
		rc = load(argc, argv);
	else if (argc > 1 && !strcmp(argv[1], "copy"))
		rc = copy(argc, argv);
	if (rc == 2)
		fprintf(stderr, "usage: repl-load write DEVICE random|sequential BLOCK BYTES DEPTH GROUP [RATE]\n"
			"       repl-load copy DEVICE FILE random|sequential BLOCK BYTES SYNC [PKI [library]]\n");
	return rc;
}
