// SPDX-License-Identifier: GPL-2.0
/*
 * What the agent sends when the kernel encrypts: batches from where they were made, other messages between them, over a
 * socket that takes little at a time. The other end, which reads plaintext, finds each message once, whole and in order.
 * And the records of TLS that are counted, with and without the kernel.
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "unit.h"
#include "dice.h"
#include "../../userspace/agent/link.c"

#define MESSAGES	400
#define LIMIT		(256U << 10)

static struct link l;
static struct io_uring uring;
static struct vr_builder *builder;
static struct vr_err why;
static int peer;
static uint64_t next_seq;

/* What was sent, and is looked for at the other end. */
static struct { uint16_t type; uint32_t crc; size_t len; } sent[MESSAGES];
static unsigned int nr_sent;

static void connect_it(void)
{
	int fds[2], small = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	l.fd = fds[0];
	peer = fds[1];
	l.state = LINK_UP;
	l.kernel_sends = l.kernel_asked = true;
	l.out[0].len = l.out[0].sent = l.out[1].len = l.out[1].sent = 0;
	l.sealed = l.opened = 0;
	nr_sent = 0;
}

static void complete(bool wait)
{
	struct io_uring_cqe *cqe;

	io_uring_submit(&uring);
	while (!(wait ? io_uring_wait_cqe(&uring, &cqe) : io_uring_peek_cqe(&uring, &cqe))) {
		struct io_uring_cqe copy = *cqe;

		io_uring_cqe_seen(&uring, cqe);
		assert_int_equal(link_completion(&l, &copy, &why), 0);
		wait = false;
	}
}

static void remember(uint16_t type, const void *payload, size_t len)
{
	sent[nr_sent].type = type;
	sent[nr_sent].crc = vr_crc32c(0, payload, len);
	sent[nr_sent++].len = len;
}

static void send_batch(void)
{
	static const uint8_t nil[16];
	static uint8_t payload[70000];
	unsigned int records = 1 + (unsigned int)dice(30);
	uint8_t *batch;
	size_t len;

	for (unsigned int i = 0; i < records; i++) {
		struct vaio_rw_record r = { .type = htole16(VAIO_RW_R_WRITE), .offset = htole64(dice(1000) * 4096) };
		uint32_t n = (uint32_t)(1 + dice(dice(4) ? 8 : 136)) * 512;

		r.length = htole64(n);
		for (unsigned int j = 0; j < 32; j++)
			payload[dice(n)] = (uint8_t)dice(256);
		if (vr_builder_add(builder, next_seq, 1, &r, nil, payload, n))
			break;
		next_seq++;
	}
	batch = vr_builder_finish(builder, &len);
	assert_non_null(batch);
	remember(VAIO_RW_BATCH, batch, len);
	assert_int_equal(link_send_batch(&l, builder, batch, len, &why), 0);
}

static void send_ping(void)
{
	struct vaio_rw_ping p = { htole64(rnd) };

	remember(VAIO_RW_PONG, &p, sizeof(p));
	assert_int_equal(link_send(&l, VAIO_RW_PONG, &p, sizeof(p), &why), 0);
}

static bool take(void *to, size_t len)
{
	for (char *p = to; len;) {
		ssize_t n = read(peer, p, len < 5000 ? len : 5000);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Reads so many messages; NULL, or what was wrong. */
static void *other_end(void *arg)
{
	unsigned int wanted = *(unsigned int *)arg;
	uint8_t *payload = malloc(VAIO_RW_MAX_BATCH);
	const char *wrong = NULL;

	for (unsigned int i = 0; i < wanted && !wrong; i++) {
		struct vaio_rw_batch *h = (void *)payload;
		struct vaio_rw_msg m;
		struct vr_err e;
		uint16_t type;
		size_t len;

		if (!take(&m, sizeof(m)) || vr_message_check_header(&m, &type, &len, &e) || !take(payload, len))
			wrong = "no message";
		/* The sender is behind: what it sends it noted before. */
		else if (type != sent[i].type || len != sent[i].len || vr_crc32c(0, payload, len) != sent[i].crc)
			wrong = "another message";
		else if (type == VAIO_RW_BATCH && le32toh(h->length) != len)
			wrong = "another batch";
	}
	/* Nothing more is taken: the sender hears of it. */
	if (wrong)
		shutdown(peer, SHUT_RDWR);
	free(payload);
	return (void *)wrong;
}

static void test_messages(void **state)
{
	unsigned int wanted = MESSAGES;
	uint64_t bytes = 0;
	void *wrong;
	pthread_t t;

	(void)state;
	connect_it();
	assert_int_equal(pthread_create(&t, NULL, other_end, &wanted), 0);
	while (nr_sent < MESSAGES) {
		if (dice(3) && link_wants(&l))
			send_batch();
		else if (dice(2))
			send_ping();
		if (dice(2) || !link_wants(&l))
			link_flush(&l);
		complete(!link_wants(&l));
	}
	while (l.out[0].sent < l.out[0].len || l.out[1].sent < l.out[1].len) {
		link_flush(&l);
		complete(true);
	}
	pthread_join(t, &wrong);
	if (wrong)
		fail_msg("%s", (char *)wrong);
	for (unsigned int i = 0; i < nr_sent; i++)
		bytes += sizeof(struct vaio_rw_msg) + sent[i].len;
	assert_true(l.sealed >= bytes / TLS_RECORD);
	/* each of the kernel's has what a call gave it */
	bytes = l.sealed;
	nr_sent = 0;
	for (int i = 0; i < 5; i++) {
		send_ping();
		link_flush(&l);
		complete(true);
	}
	assert_int_equal(l.sealed, bytes + 5);
	link_close(&l);
	while (l.state != LINK_DOWN)
		complete(true);
	close(peer);
}

/* A connection ends in mid-batch, its builder with it; another one begins with what the link has kept. */
static void test_ends(void **state)
{
	static const uint8_t group[16] = { 1 };

	(void)state;
	for (int i = 0; i < 20; i++) {
		unsigned int batches = (unsigned int)dice(4);

		connect_it();
		for (unsigned int j = 0; j < batches; j++) {
			send_batch();
			link_flush(&l);
			if (dice(2))
				complete(false);
		}
		vr_builder_free(builder);
		builder = vr_builder_new(group, LIMIT << dice(2), 0);
		link_close(&l);
		while (l.state != LINK_DOWN)
			complete(true);
		close(peer);
	}
	test_messages(state);
}

/* --- GnuTLS encrypts: a connection whose keys both ends have, in the place of certificates --------------------------- */

#define ROUNDS		50
#define LARGE		40000U
#define RECORDS		(1 + 3)		/* of a PING, and of a message so large */
#define PRIORITY	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK:+DHE-PSK"

static const gnutls_datum_t alpn = { (unsigned char *)VAIO_RW_ALPN, sizeof(VAIO_RW_ALPN) - 1 };
static unsigned int records;		/* that came at the other end */

static int key_of(gnutls_session_t tls, const char *name, gnutls_datum_t *key)
{
	(void)tls;
	(void)name;
	key->data = gnutls_malloc(16);
	memset(key->data, 1, 16);
	key->size = 16;
	return 0;
}

/* Takes all that is sent, and answers: PINGs of a record each, then as many of two. */
static void *tls_end(void *arg)
{
	size_t left = ROUNDS * (2 * sizeof(struct vaio_rw_msg) + sizeof(struct vaio_rw_ping) + LARGE);
	gnutls_psk_server_credentials_t creds;
	static uint8_t buf[TLS_RECORD];
	struct { struct vaio_rw_msg h; struct vaio_rw_ping p; } m = { .p.cookie = 0 };
	gnutls_session_t tls;
	ssize_t n;

	(void)arg;
	gnutls_psk_allocate_server_credentials(&creds);
	gnutls_psk_set_server_credentials_function(creds, key_of);
	gnutls_init(&tls, GNUTLS_SERVER | GNUTLS_NO_TICKETS);
	gnutls_priority_set_direct(tls, PRIORITY, NULL);
	gnutls_credentials_set(tls, GNUTLS_CRD_PSK, creds);
	gnutls_alpn_set_protocols(tls, &alpn, 1, 0);
	gnutls_transport_set_int(tls, peer);
	do
		n = gnutls_handshake(tls);
	while (n < 0 && !gnutls_error_is_fatal((int)n));
	while (n >= 0 && left) {
		n = gnutls_record_recv(tls, buf, sizeof(buf));
		if (n <= 0)
			break;
		records++;
		left -= (size_t)n < left ? (size_t)n : left;
	}
	vr_message_header(&m.h, VAIO_RW_PING, &m.p, sizeof(m.p));
	for (int i = 0; i < 2 * ROUNDS && n > 0; i++) {
		size_t first = i < ROUNDS ? sizeof(m) : sizeof(m.h);

		n = gnutls_record_send(tls, &m, first);
		if (first < sizeof(m))
			n = gnutls_record_send(tls, &m.p, sizeof(m.p));
	}
	if (n <= 0)
		shutdown(peer, SHUT_RDWR);
	gnutls_deinit(tls);
	gnutls_psk_free_server_credentials(creds);
	return NULL;
}

/* The limit of a key is one of records, whatever is in them. */
static void test_records(void **state)
{
	static uint8_t large[LARGE];
	const gnutls_datum_t key = { (unsigned char *)"01010101010101010101010101010101", 32 };
	gnutls_psk_client_credentials_t creds;
	unsigned int got = 0;
	uint64_t sealed;
	uint16_t type;
	size_t len;
	pthread_t t;

	(void)state;
	connect_it();
	l.kernel_sends = false;
	l.filling = 0;
	l.got = 0;
	l.want = sizeof(l.header);
	l.state = LINK_HANDSHAKE;
	gnutls_psk_allocate_client_credentials(&creds);
	assert_int_equal(gnutls_psk_set_client_credentials(creds, "agent", &key, GNUTLS_PSK_KEY_HEX), 0);
	assert_int_equal(gnutls_init(&l.tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), 0);
	assert_int_equal(gnutls_priority_set_direct(l.tls, PRIORITY, NULL), 0);
	gnutls_credentials_set(l.tls, GNUTLS_CRD_PSK, creds);
	gnutls_alpn_set_protocols(l.tls, &alpn, 1, 0);
	gnutls_handshake_set_timeout(l.tls, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_ptr(l.tls, &l);
	gnutls_transport_set_push_function(l.tls, push);
	gnutls_transport_set_pull_function(l.tls, pull);
	gnutls_transport_set_pull_timeout_function(l.tls, pull_timeout);
	assert_int_equal(pthread_create(&t, NULL, tls_end, NULL), 0);
	assert_int_equal(handshake(&l, &why), 0);
	while (l.state != LINK_UP) {
		link_flush(&l);
		complete(true);
	}
	sealed = l.sealed;
	assert_int_equal(l.opened, 0);
	for (int i = 0; i < ROUNDS; i++) {
		send_ping();
		assert_int_equal(link_send(&l, VAIO_RW_BATCH, large, sizeof(large), &why), 0);
		link_flush(&l);
		complete(false);
	}
	while (got < 2 * ROUNDS) {
		int rc = link_receive(&l, &type, &len, &why);

		if (rc < 0)
			fail_msg("%s", why.text);
		got += (unsigned int)rc;
		link_flush(&l);
		if (!rc)
			complete(true);
	}
	pthread_join(t, NULL);
	assert_int_equal(records, ROUNDS * RECORDS);
	assert_int_equal(l.sealed - sealed, records);
	assert_int_equal(l.opened, 3 * ROUNDS);
	link_close(&l);
	while (l.state != LINK_DOWN)
		complete(true);
	gnutls_psk_free_client_credentials(creds);
	close(peer);
}

static int begin(void **state)
{
	static const uint8_t group[16] = { 1 };

	if (make_scratch(state) || io_uring_queue_init(64, &uring, 0) || link_init(&l, &uring, &why))
		return -1;
	builder = vr_builder_new(group, LIMIT, 0);
	next_seq = 1;
	return builder ? 0 : -1;
}

static int end(void **state)
{
	vr_builder_free(builder);
	free(l.out[0].data);
	free(l.out[1].data);
	free(l.message);
	io_uring_queue_exit(&uring);
	return remove_scratch(state);
}

/* Files are read again once for each change, when nobody is writing them any more. */
static void test_certificates_change(void **state)
{
	static const char *const changes[] = {
		"echo new >watched/vaio/clientcert.pem", "echo newer >watched/CA/cacrl.pem", "rm watched/CA/cacrl.pem",
		"echo other >other && mv other watched/vaio/private/clientkey.pem", "chmod 0400 watched/CA/cacert.pem",
	};
	struct vaio_pki_watch w;
	struct vaio_pki p;

	(void)state;
	assert_true(sh("mkdir -p watched/CA watched/vaio/private && echo a >watched/CA/cacert.pem && echo b >watched/vaio/clientcert.pem && "
		       "echo c >watched/vaio/private/clientkey.pem"));
	vaio_pki_files(&p, in_scratch("watched"), "client");
	vaio_pki_read(&w, &p);
	assert_false(vaio_pki_changed(&w, &p));
	for (unsigned int i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		assert_true(sh("%s", changes[i]));
		assert_false(vaio_pki_changed(&w, &p));
		/* still being written */
		assert_true(sh("echo more >>watched/vaio/clientcert.pem"));
		assert_false(vaio_pki_changed(&w, &p));
		assert_true(vaio_pki_changed(&w, &p));
		assert_false(vaio_pki_changed(&w, &p));
	}
	/* read for another reason meanwhile */
	assert_true(sh("%s", changes[0]));
	assert_false(vaio_pki_changed(&w, &p));
	vaio_pki_read(&w, &p);
	assert_false(vaio_pki_changed(&w, &p));
	assert_false(vaio_pki_changed(&w, &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_certificates_change),
	};

	dice_begin();
	return cmocka_run_group_tests(tests, begin, end);
}
