// SPDX-License-Identifier: GPL-2.0
/*
 * What the agent sends when the kernel encrypts: batches from where they were made, other messages between them, over a
 * socket that takes little at a time. The other end, which reads plaintext, finds each message once, whole and in order.
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "unit.h"
#include "dice.h"
#include "../../userspace/agent/link.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_ends),
	};

	dice_begin();
	return cmocka_run_group_tests(tests, begin, end);
}
