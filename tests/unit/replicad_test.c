// SPDX-License-Identifier: GPL-2.0
/* vaio-replicad with an agent that the test plays: TLS, resumption, refusals, full stores. */
#include <sched.h>
#include <sys/mount.h>

#include "replicad.h"
#include "revoke.h"

/* The daemon, for what its command line does not set. */
#define main replicad_main
#include "../../userspace/replicad/main.c"
#undef main

/* --- tests ------------------------------------------------------------------------------------ */

struct kept {
	uint64_t first, last;
	size_t len;
	void *batch;
};

/* Kills of the daemon and of the connection in mid-stream: what was acknowledged stays, the rest is sent again. */
static void test_stream_and_kills(void **state)
{
	struct greeting g = { .group = 0x67, .host = 1, .ring = 1, .generation = 1, .connection = 1, .next_seq = 1 };
	unsigned int nr = 0, sent = 0, cuts = getenv("VAIO_FULL") && *getenv("VAIO_FULL") ? 60 : 6;
	struct kept *kept = calloc(4000, sizeof(*kept));
	struct agent *a = malloc(sizeof(*a));
	struct model m;

	(void)state;
	model_init(&m, seed);
	agent_start(a, &g);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_EMPTY);
	for (unsigned int cut = 0; cut <= cuts; cut++) {
		uint64_t acked;

		for (unsigned int i = 0; i < 30 && nr < 4000; i++) {
			size_t len;
			const void *batch = model_batch(&m, 1 + (unsigned int)model_rand(&m, 20), &len);
			const struct vaio_rw_batch *h = batch;

			if (!batch)
				continue;
			kept[nr].batch = malloc(len);
			memcpy(kept[nr].batch, batch, len);
			kept[nr].len = len;
			kept[nr].first = le64toh(h->first_seq);
			kept[nr++].last = model_last(&m);
		}
		for (; sent < nr; sent++) {
			agent_send(a, VAIO_RW_BATCH, kept[sent].batch, kept[sent].len);
			/* some cuts come with batches on their way */
			if (sent % 7 == 0 && agent_receive(a) == 0)
				break;
		}
		if (cut == cuts)
			break;
		acked = a->durable;
		if (cut % 2)
			stop_daemon(SIGKILL);
		agent_close(a);
		if (cut % 2)
			start_daemon();
		g.connection++;
		g.next_seq = m.next_seq;
		g.acked = acked;
		g.m = &m;
		agent_start(a, &g);
		assert_true(a->durable >= acked);
		assert_false(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
		for (sent = 0; sent < nr && kept[sent].last <= a->durable; sent++)
			;
		if (sent < nr && sent)
			assert_int_equal(kept[sent - 1].last, a->durable);
	}
	wait_durable(a, model_last(&m));
	agent_close(a);
	if (m.whole)
		check_replica(&m, 0x67, "latest");
	for (unsigned int i = 0; i < nr; i++)
		free(kept[i].batch);
	free(kept);
	free(a);
	model_free(&m);
}

static void test_refusals(void **state)
{
	struct greeting g = { .group = 0x21, .host = 1, .ring = 1, .generation = 1, .connection = 5, .next_seq = 1000 }, bad;
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct model m;
	bool same = false;
	size_t len;
	const void *batch;
	char *copy;

	(void)state;
	make_group(a, &m, 0x21, 5);
	batch = model_batch(&m, 5, &len);
	copy = malloc(len);
	memcpy(copy, batch, len);
	/* strangers: the handshake, or the first read after it, fails; the certificate is that of the source but for who signed it */
	for (int i = 0; i < 2; i++) {
		if (agent_connect(b, i ? "!stranger" : "stranger")) {
			struct vaio_rw_ping ping = { 0 };

			agent_send(b, VAIO_RW_PING, &ping, sizeof(ping));
			assert_int_equal(agent_receive(b), 0);
		}
		agent_close(b);
		wait_log(i ? "certificate: The certificate is NOT trusted. The certificate issuer is unknown." :
			 "TLS: Certificate is required.");
	}
	/* a known source, another's group, with a batch that would be right: not a byte of it changes, once upkeep has nothing to do */
	for (int i = 0; !same; i++) {
		assert_true(i < 60);
		/* what upkeep takes away meanwhile cannot be copied */
		if (!sh("rm -rf before && cp -a store/21* before"))
			continue;
		refused("b", &g, VAIO_RW_END_IDENTITY, "'CN=host-b,O=test' may not write this group");
		assert_true(agent_connect(b, "b"));
		hello(b, &g);
		agent_send(b, VAIO_RW_BATCH, copy, len);
		/* the connection may be gone before that is heard */
		if (agent_receive(b))
			assert_int_equal(le32toh(b->in.end.code), VAIO_RW_END_IDENTITY);
		agent_close(b);
		same = sh("diff -r before store/21*");
	}
	/* another host, another ring */
	bad = g;
	bad.host = bad.ring = 9;
	refused("a", &bad, VAIO_RW_END_BUSY, "writes this group");
	/* an older connection of the same ring */
	bad = g;
	bad.connection = 4;
	refused("a", &bad, VAIO_RW_END_REPLACED, "newer");
	/* a newer one takes over */
	g.connection = 6;
	agent_start(b, &g);
	assert_int_equal(b->durable, a->durable);
	agent_ended(a);
	assert_int_equal(le32toh(a->in.end.code), VAIO_RW_END_REPLACED);
	agent_close(a);
	/* a batch that breaks a rule ends the connection, and nothing of it is kept */
	copy[len / 2] ^= 1;
	assert_true(agent_send(b, VAIO_RW_BATCH, copy, len));
	agent_ended(b);
	assert_int_equal(le32toh(b->in.end.code), VAIO_RW_END_PROTOCOL);
	agent_close(b);
	/* another history */
	bad = g;
	bad.connection = 7;
	bad.generation = 2;
	refused("a", &bad, VAIO_RW_END_FORK, "went apart");
	/* a damaged source */
	bad = g;
	bad.connection = 8;
	bad.flags = VAIO_RW_H_SOURCE_DAMAGED;
	refused("a", &bad, VAIO_RW_END_SOURCE_DAMAGED, "lost data");
	/* it was told of more than is there: compare, and nothing but a GAP */
	g.connection = 9;
	g.acked = model_last(&m);
	copy[len / 2] ^= 1;
	agent_start(a, &g);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
	assert_true(agent_send(a, VAIO_RW_BATCH, copy, len));
	assert_int_equal(agent_receive(a), VAIO_RW_END);
	assert_non_null(strstr((char *)a->in.end.text, "GAP"));
	agent_close(a);
	/* and after all that the good one is still taken */
	g.connection = 10;
	g.acked = 0;
	agent_start(a, &g);
	assert_true(agent_send(a, VAIO_RW_BATCH, copy, len));
	wait_durable(a, model_last(&m));
	agent_close(a);
	check_replica(&m, 0x21, "latest");
	free(copy);
	free(a);
	free(b);
	model_free(&m);
}

/* CHECK: what differs is said before the record is acknowledged. */
static void test_check(void **state)
{
	struct agent *a = malloc(sizeof(*a));
	uint8_t *disk = malloc(MODEL_MAX_DISK), hash[32];
	struct vaio_rw_record r = { .length = htole64(65536) };
	struct model m;
	const void *batch;
	size_t len;

	(void)state;
	make_group(a, &m, 0x22, 1);
	model_disk(&m, 0, model_last(&m), disk);
	for (int i = 0; i < 2; i++) {
		r.offset = htole64((uint64_t)i << 16);
		disk[i << 16] ^= (uint8_t)i;
		gcry_md_hash_buffer(GCRY_MD_BLAKE2S_256, hash, disk + (i << 16), 65536);
		assert_int_equal(model_put(&m, &r, VAIO_RW_R_CHECK, 0, hash, 32, 0, NULL), 0);
	}
	batch = vr_builder_finish(m.builder, &len);
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	assert_int_equal(agent_receive(a), VAIO_RW_DIFF);
	assert_int_equal(le64toh(a->in.diff.d.seq), model_last(&m));
	assert_int_equal(le64toh(a->in.diff.r[0].offset), 65536);
	assert_int_equal(le64toh(a->in.diff.r[0].length), 65536);
	assert_int_equal(agent_receive(a), VAIO_RW_DURABLE);
	assert_int_equal(a->durable, model_last(&m));
	agent_close(a);
	free(disk);
	free(a);
	model_free(&m);
}

static const void *group_batch(struct model *m, unsigned int type, const void *payload, uint32_t bytes, size_t *len)
{
	assert_int_equal(model_group(m, type, payload, bytes, NULL), 0);
	return vr_builder_finish(m->builder, len);
}

/*
 * A full group stops itself only, says so, and goes on where it stopped. The batch that did not fit is nobody's when its source leaves,
 * and not compared; a GAP that had to wait counts as one that came at once.
 */
static void test_full(void **state)
{
	struct greeting g = { .group = 0x23, .host = 1, .ring = 1, .generation = 1, .connection = 2 };
	struct vaio_rw_record check = { .length = htole64(65536) };
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_FULL) };
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	uint8_t wrong[32] = { 0 };
	const void *batch;
	size_t len;
	struct model m, other;
	uint64_t next = 0;
	json_t *j;
	int type = 0;

	(void)state;
	make_group(a, &m, 0x23, 1);
	make_group(b, &other, 0x24, 1);
	does(json_pack("{s:s, s:s, s:s, s:b}", "do", "hold", "group", "group35", "name", "kept", "pin", 1));
	does(json_pack("{s:s, s:s, s:i}", "do", "set", "group", "group35", "quota_bytes", 3 << 20));
	while (type != VAIO_RW_BLOCKED) {
		for (int i = 0; i < 10; i++)
			assert_int_equal(model_block(&m), 0);
		assert_int_equal(model_put(&m, &check, VAIO_RW_R_CHECK, 0, wrong, sizeof(wrong), 0, NULL), 0);
		batch = vr_builder_finish(m.builder, &len);
		assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
		while ((type = agent_receive(a)) == VAIO_RW_DIFF)
			;
		assert_true(type == VAIO_RW_DURABLE || type == VAIO_RW_BLOCKED);
		next = model_last(&m);
	}
	assert_non_null(strstr((char *)a->in.blocked.text, "kept"));
	assert_int_equal(le64toh(a->in.blocked.durable_seq), a->durable);
	assert_true(a->durable < next);
	j = ask(json_pack("{s:s, s:s}", "do", "status", "group", "group35"));
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "group"), "state")), "full");
	json_decref(j);
	/* the other group goes on */
	for (int i = 0; i < 10; i++) {
		batch = model_batch(&other, 10, &len);
		assert_true(agent_send(b, VAIO_RW_BATCH, batch, len));
	}
	wait_durable(b, model_last(&other));
	agent_close(b);
	/* its source leaves after the fence; the next one lost what it had been acknowledged, and there is no room for its GAP */
	while (agent_receive_any(a) != VAIO_RW_PING)
		;
	agent_close(a);
	wait_gone(0x23);
	assert_true(sh("! grep '^.*group 23232323.* is not within ' log"));
	g.next_seq = m.next_seq;
	g.acked = next;
	while (m.records[m.nr - 1].seq > a->durable)
		m.nr--;
	agent_start(a, &g);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
	does(json_pack("{s:s, s:s, s:i}", "do", "set", "group", "group35", "quota_bytes", 1 << 20));
	batch = group_batch(&m, VAIO_RW_R_GAP, &gap, sizeof(gap), &len);
	next = model_last(&m);
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	assert_int_equal(agent_receive(a), VAIO_RW_BLOCKED);
	/* released: the oldest points go, and there is room */
	does(json_pack("{s:s, s:s, s:i}", "do", "set", "group", "group35", "quota_bytes", 3 << 20));
	does(json_pack("{s:s, s:s, s:s}", "do", "release", "group", "group35", "name", "kept"));
	do
		type = agent_receive(a);
	while (type == VAIO_RW_DURABLE);
	assert_int_equal(type, VAIO_RW_UNBLOCKED);
	assert_int_equal(le64toh(a->in.unblocked.durable_seq), next);
	for (int i = 0; i < 50; i++) {
		batch = i ? model_batch(&m, 10, &len) : group_batch(&m, VAIO_RW_R_RESYNC_END, NULL, 0, &len);
		assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
		wait_durable(a, model_last(&m));
	}
	agent_close(a);
	check_replica(&m, 0x23, "latest");
	check_replica(&other, 0x24, "latest");
	free(a);
	free(b);
	model_free(&m);
	model_free(&other);
}

/* A client that is removed writes no more; and a group that has another's UUID as its name is not taken for it. */
static void test_clients(void **state)
{
	struct greeting g = { .group = 0x25, .host = 1, .ring = 1, .generation = 1, .connection = 2, .next_seq = 1000 },
			other = { .group = 0x26, .host = 1, .ring = 1, .generation = 1, .connection = 1, .next_seq = 1,
				  .name = "25252525-2525-2525-2525-252525252525" };
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	char client[VAIO_RW_TEXT_LEN];
	struct model m;
	json_t *j;

	(void)state;
	make_group(a, &m, 0x25, 1);
	agent_start(b, &other);
	agent_close(b);
	j = ask(json_pack("{s:s, s:s}", "do", "status", "group", other.name));
	if (!json_is_true(json_object_get(j, "ok")))
		fail_msg("%s", json_string_value(json_object_get(j, "error")));
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "group"), "name")), "group37");
	snprintf(client, sizeof(client), "%s", json_string_value(json_object_get(json_object_get(j, "group"), "client")));
	json_decref(j);
	j = ask(json_pack("{s:s, s:s, s:s}", "do", "client-remove", "group", other.name, "client", client));
	if (!json_is_true(json_object_get(j, "ok")))
		fail_msg("%s", json_string_value(json_object_get(j, "error")));
	json_decref(j);
	agent_ended(a);
	assert_int_equal(le32toh(a->in.end.code), VAIO_RW_END_IDENTITY);
	agent_close(a);
	refused("a", &g, VAIO_RW_END_IDENTITY, "may not write");
	free(a);
	free(b);
	model_free(&m);
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* What systemd is told next; "" when it has been told nothing. */
static const char *told(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = 0;
	return text;
}

/* Ready is who listens; who cannot does not say so. */
static void test_notify(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char taken[32];

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_scratch("notify"));
	assert_int_equal(bind(fd, (void *)&addr, sizeof(addr)), 0);
	/* the port is another one's: it ends */
	snprintf(taken, sizeof(taken), "127.0.0.1:%d", port);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	assert_true(sh("mkdir other && ! %s --store other --listen %s --pki pki --socket othersock --reserve 1MiB 2>why && "
		       "grep -q 'Address already in use' why", program, taken));
	assert_string_equal(told(fd), "");
	assert_int_equal(stop_daemon(SIGTERM), 0);
	start_daemon();
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_string_equal(told(fd), "READY=1");
	assert_string_equal(told(fd), "");
	assert_int_equal(stop_daemon(SIGTERM), 0);
	assert_string_equal(told(fd), "STOPPING=1");
	start_daemon();
	close(fd);
}

/* Sends ten records more, and waits until they are durable. */
static void send_more(struct agent *a, struct model *m)
{
	size_t len;
	const void *batch = model_batch(m, 10, &len);

	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	wait_durable(a, model_last(m));
}

/* The daemon's certificate is the one in @name.pem. */
static void shows(struct agent *a, const char *name)
{
	const gnutls_datum_t *list;
	gnutls_datum_t text, wanted;
	unsigned int nr = 0;
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	list = gnutls_certificate_get_peers(a->tls, &nr);
	assert_true(nr >= 1);
	assert_int_equal(gnutls_load_file(in_scratch(file), &text), 0);
	assert_int_equal(gnutls_pem_base64_decode2("CERTIFICATE", &text, &wanted), 0);
	assert_int_equal(list[0].size, wanted.size);
	assert_memory_equal(list[0].data, wanted.data, wanted.size);
	gnutls_free(text.data);
	gnutls_free(wanted.data);
}

/* The handshake, or the first read after it, fails. */
static void not_let_in(const char *who)
{
	struct vaio_rw_ping ping = { 0 };
	struct agent *a = malloc(sizeof(*a));

	if (agent_connect(a, who)) {
		agent_send(a, VAIO_RW_PING, &ping, sizeof(ping));
		assert_int_equal(agent_receive(a), 0);
	}
	agent_close(a);
	free(a);
}

/* SIGHUP: what is there then counts, from the next connection on, which everybody is asked for. What is broken changes nothing. */
static void test_reload(void **state)
{
	static const char done[] = "reload: certificates are read again", kept[] = ": the old certificates stay";
	struct greeting g = { .group = 0x51, .host = 1, .ring = 1, .generation = 1, .connection = 1 };
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct model m;

	(void)state;
	assert_int_equal(stop_daemon(SIGTERM), 0);
	daemon_main = replicad_main;
	look_ms = 1 << 30;	/* only when it is told */
	start_daemon();
	make_group(a, &m, 0x51, g.connection);
	g.m = &m;
	g.next_seq = m.next_seq + 1000;
	shows(a, "server");
	/* another certificate of its own */
	certificate("server2", "ca", "/CN=replica");
	assert_true(sh("cp server2.pem pki/vaio/servercert.pem && cp server2.key pki/vaio/private/serverkey.pem"));
	reload(daemon_pid, done);
	agent_ended(a);
	assert_int_equal(le32toh(a->in.end.code), VAIO_RW_END_RECONNECT);
	assert_int_equal(a->in.end.retry_ms, 0);
	agent_close(a);
	g.connection++;
	agent_start(a, &g);
	shows(a, "server2");
	send_more(a, &m);
	/* broken: certificate, then CRL */
	assert_true(sh("echo nothing >pki/vaio/servercert.pem"));
	reload(daemon_pid, kept);
	assert_true(sh("cp server2.pem pki/vaio/servercert.pem && echo '-----BEGIN X509 CRL-----' >pki/CA/cacrl.pem"));
	reload(daemon_pid, kept);
	send_more(a, &m);
	assert_true(agent_connect(b, "a"));
	shows(b, "server2");
	agent_close(b);
	/* a client on the list goes, and comes no more; others do */
	put_on_list("a");
	reload(daemon_pid, done);
	agent_ended(a);
	assert_int_equal(le32toh(a->in.end.code), VAIO_RW_END_RECONNECT);
	agent_close(a);
	not_let_in("a");
	assert_true(logged("revoked") > 0);
	refused("b", &g, VAIO_RW_END_IDENTITY, "may not write");
	assert_true(sh("echo '-----BEGIN X509 CRL-----' >pki/CA/cacrl.pem"));
	reload(daemon_pid, kept);
	not_let_in("a");
	/* and when it is off it */
	assert_true(sh("rm pki/CA/cacrl.pem && cp server.pem pki/vaio/servercert.pem && cp server.key pki/vaio/private/serverkey.pem"));
	reload(daemon_pid, done);
	g.connection++;
	agent_start(a, &g);
	send_more(a, &m);
	agent_close(a);
	assert_int_equal(stop_daemon(SIGTERM), 0);
	daemon_main = NULL;
	start_daemon();
	check_replica(&m, 0x51, "latest");
	free(a);
	free(b);
	model_free(&m);
}

struct unsent {
	void *batch;
	size_t len;
};

/* @n batches, one after the other, or fewer when something comes that is no DURABLE: its type. What is not durable then is the first next time. */
static int send_batches(struct agent *a, struct model *m, struct unsent *u, unsigned int n)
{
	int type = VAIO_RW_DURABLE;

	while (n-- && type == VAIO_RW_DURABLE) {
		if (a->durable == model_last(m)) {
			const void *batch = model_batch(m, 10, &u->len);

			free(u->batch);
			u->batch = malloc(u->len);
			memcpy(u->batch, batch, u->len);
		}
		agent_send(a, VAIO_RW_BATCH, u->batch, u->len);
		while (a->durable < model_last(m) && type == VAIO_RW_DURABLE)
			type = agent_receive(a);
	}
	return type;
}

/* Sends until the daemon has asked for new keys @times times. */
static void outlive_keys(struct model *m, struct greeting *g, struct unsent *u, unsigned int times)
{
	struct agent *a = malloc(sizeof(*a));

	while (times--) {
		g->connection++;
		g->next_seq = m->next_seq;
		agent_start(a, g);
		assert_int_equal(send_batches(a, m, u, 1000), VAIO_RW_END);
		if (le32toh(a->in.end.code) != VAIO_RW_END_RECONNECT)
			fail_msg("ended: %s", (char *)a->in.end.text);
		assert_int_equal(a->in.end.retry_ms, 0);
		agent_close(a);
	}
	free(a);
}

/* Keys are used for so many records, each way, and so long; nothing of what was acknowledged is lost. */
static void test_new_keys(void **state)
{
	struct greeting g = { .group = 0x52, .host = 1, .ring = 1, .generation = 1, .connection = 1 };
	struct key_limits usual = session_keys;
	struct agent *a = malloc(sizeof(*a));
	struct unsent unsent = { NULL, 0 };
	struct model m;

	(void)state;
	assert_int_equal(usual.ms, 24 * 3600 * 1000);
	/* RFC 8446, 5.5 */
	assert_true(usual.records <= 23726566);
	make_group(a, &m, 0x52, g.connection);
	agent_close(a);
	g.m = &m;
	daemon_main = replicad_main;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(stop_daemon(SIGTERM), 0);
		session_keys = i ? (struct key_limits){ .records = usual.records, .ms = 0 } : (struct key_limits){ .records = 12, .ms = usual.ms };
		start_daemon();
		outlive_keys(&m, &g, &unsent, 4);
	}
	assert_int_equal(stop_daemon(SIGTERM), 0);
	session_keys = usual;
	daemon_main = NULL;
	start_daemon();
	g.connection++;
	g.next_seq = m.next_seq;
	agent_start(a, &g);
	assert_int_equal(send_batches(a, &m, &unsent, 30), VAIO_RW_DURABLE);
	agent_close(a);
	free(unsent.batch);
	check_replica(&m, 0x52, "latest");
	free(a);
	model_free(&m);
}

/*
 * A copy of the source, with its certificate and its state: never are the records of two hosts in one store. One that takes its
 * place is compared.
 */
static void test_copied_host(void **state)
{
	struct greeting g = { .group = 0x2b, .host = 1, .ring = 1, .generation = 1, .connection = 2, .next_seq = 1000 }, copy = g;
	struct agent *a = malloc(sizeof(*a));
	struct model m;
	size_t len;
	const void *batch;
	json_t *j;

	(void)state;
	make_group(a, &m, 0x2b, 1);
	copy.host = copy.ring = 7;
	refused("a", &copy, VAIO_RW_END_BUSY, "writes this group");
	j = ask(json_pack("{s:s, s:s, s:s}", "do", "failover", "group", "group43", "step", "new-source"));
	assert_non_null(strstr(json_string_value(json_object_get(j, "error")), "is connected"));
	json_decref(j);
	agent_close(a);
	wait_gone(0x2b);
	/* the copy comes while the source is away */
	refused("a", &copy, VAIO_RW_END_HOST, "new-source");
	wait_gone(0x2b);
	refused("a", &copy, VAIO_RW_END_HOST, "source1");
	wait_gone(0x2b);
	/* the source boots */
	g.ring = 2;
	agent_start(a, &g);
	assert_false(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
	batch = model_batch(&m, 5, &len);
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	wait_durable(a, model_last(&m));
	agent_close(a);
	wait_gone(0x2b);
	refused("a", &copy, VAIO_RW_END_HOST, "new-source");
	wait_gone(0x2b);
	/* the administrator says that the other one is the source now */
	j = ask(json_pack("{s:s, s:s, s:s}", "do", "failover", "group", "group43", "step", "new-source"));
	if (!json_is_true(json_object_get(j, "ok")))
		fail_msg("%s", json_string_value(json_object_get(j, "error")));
	json_decref(j);
	agent_start(a, &copy);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
	assert_int_equal(le64toh(a->in.welcome.durable_seq), model_last(&m) + 1);
	assert_int_equal(le64toh(a->in.welcome.complete_seq), model_last(&m));
	m.next_seq = model_last(&m) + 2;
	/* not even by a resync of what it takes for dirty */
	{
		struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_CRASH) };

		assert_int_equal(model_group(&m, VAIO_RW_R_GAP, &gap, sizeof(gap), NULL), 0);
		assert_int_equal(model_resync_begin(&m, VAIO_RW_S_BITMAP), 0);
		batch = vr_builder_finish(m.builder, &len);
		assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
		agent_ended(a);
		assert_non_null(strstr((char *)a->in.end.text, "compared"));
	}
	agent_close(a);
	free(a);
	model_free(&m);
}

/* A group whose making was cut before its source was noted is the first one's that comes. */
static void test_nobodys(void **state)
{
	struct greeting g = { .group = 0x28, .host = 1, .ring = 1, .generation = 1, .connection = 1, .next_seq = 1 };
	struct agent *a = malloc(sizeof(*a));
	uint8_t id[16];
	struct vr_io *io;

	(void)state;
	assert_int_equal(stop_daemon(SIGTERM), 0);
	memset(id, 0x28, sizeof(id));
	assert_true(sh("mkdir store/28282828-2828-2828-2828-282828282828"));
	assert_int_equal(vr_io_open(in_scratch("store/28282828-2828-2828-2828-282828282828"), &io), 0);
	assert_int_equal(vr_store_create(io, id, "group40", &why), 0);
	io->ops->free(io);
	start_daemon();
	agent_start(a, &g);
	agent_close(a);
	refused("b", &g, VAIO_RW_END_IDENTITY, "may not write");
	free(a);
}

/* A CHECK that could not be compared is not acknowledged, whatever came before it. */
static void test_check_fails(void **state)
{
	struct agent *a = malloc(sizeof(*a));
	struct vaio_rw_record r = { .offset = 0 };
	uint8_t hash[32] = { 0 };
	struct model m;
	size_t len, total = 0;
	char *all = malloc(64 << 20);
	int type;

	(void)state;
	make_group(a, &m, 0x27, 1);
	/* what the store has so far gets unreadable */
	assert_true(sh("for f in store/27*/journal/*.seg; do dd if=/dev/zero of=$f bs=4096 seek=1 conv=notrunc "
		       "count=$(($(stat -c %%s $f) / 4096 - 1)); done 2>/dev/null"));
	for (int i = 0; i < 20; i++) {
		const void *batch;

		if (i < 19) {
			batch = model_batch(&m, 1, &len);
		} else {
			for (unsigned int n = 0; n < 2; n++) {
				r.length = htole64(m.member[n].size);
				assert_int_equal(model_put(&m, &r, VAIO_RW_R_CHECK, n, hash, 32, 0, NULL), 0);
			}
			batch = vr_builder_finish(m.builder, &len);
		}
		vr_message_header((void *)(all + total), VAIO_RW_BATCH, batch, len);
		memcpy(all + total + sizeof(struct vaio_rw_msg), batch, len);
		total += sizeof(struct vaio_rw_msg) + len;
	}
	for (size_t at = 0; at < total;) {
		ssize_t n = gnutls_record_send(a->tls, all + at, total - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	do {
		type = agent_receive(a);
		assert_true(a->durable < model_last(&m));
	} while (type == VAIO_RW_DURABLE || type == VAIO_RW_DIFF);
	assert_int_equal(type, VAIO_RW_END);
	agent_close(a);
	free(all);
	free(a);
	model_free(&m);
}

/*
 * The index of one group loses its end under the daemon: what needs it fails and says so, and nobody else hears of it. The same
 * for who reads the store without the daemon.
 */
static void test_index_lost(void **state)
{
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	uint8_t *disk = malloc(MODEL_MAX_DISK);
	struct model m, other;
	struct vr_store *st;
	struct vr_point p;
	struct vr_view *v;
	struct vr_pin *pin;
	json_t *j;
	int err;

	(void)state;
	make_group(a, &m, 0x29, 1);
	make_group(b, &other, 0x2a, 1);
	/* until there is an index that is a file */
	for (int i = 0; i < 3000 && !sh("ls store/29*/index/*.run && ls store/29*/index/*.sum"); i++) {
		size_t len;
		const void *batch = model_batch(&m, 10, &len);

		assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
		wait_durable(a, model_last(&m));
	}
	assert_true(sh("ls store/29*/index/*.run && ls store/29*/index/*.sum"));
	assert_int_equal(vr_pin_take(in_scratch("store/29292929-2929-2929-2929-292929292929"), "latest", m.time_ns, &pin, &st, &p, &why), 0);
	assert_true(sh("truncate -s 4096 store/29*/index/*.run && truncate -s 100 store/29*/index/*.sum"));
	if (vr_view_open(st, p.seq, &v, &why)) {
		assert_non_null(strstr(why.text, "summary"));
	} else {
		err = vr_view_read(v, 0, disk, 1 << 20, 0, &why);
		assert_int_equal(err, -EIO);
		assert_non_null(strstr(why.text, "index run"));
		vr_view_close(v);
	}
	vr_pin_drop(pin);
	j = ask(json_pack("{s:s, s:s}", "do", "verify", "group", "group41"));
	if (json_is_true(json_object_get(j, "ok")))
		assert_true(json_integer_value(json_object_get(j, "faults")) > 0);
	else
		assert_non_null(strstr(json_string_value(json_object_get(j, "error")), "summary"));
	json_decref(j);
	j = ask(json_pack("{s:s, s:s}", "do", "points", "group", "group41"));
	assert_non_null(j);
	json_decref(j);
	for (int i = 0; i < 20; i++) {
		size_t len;
		const void *batch = model_batch(&other, 10, &len);

		assert_true(agent_send(b, VAIO_RW_BATCH, batch, len));
		wait_durable(b, model_last(&other));
	}
	agent_close(a);
	agent_close(b);
	check_replica(&other, 0x2a, "latest");
	/* opened again, the index is made again from the journal */
	assert_int_equal(stop_daemon(SIGTERM), 0);
	start_daemon();
	check_replica(&m, 0x29, "latest");
	free(disk);
	free(a);
	free(b);
	model_free(&m);
	model_free(&other);
}

static void send_built(struct agent *a, struct model *m)
{
	size_t len;
	const void *batch = vr_builder_finish(m->builder, &len);

	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
}

/*
 * The index of older segments cannot be written, and what is in memory of it is as much as may be: the source is told, as of a full
 * store, and another connection is taken meanwhile. It can be written again: all goes on.
 */
static void test_upkeep_fails(void **state)
{
	/* 2,046 cells of 64 KiB, and no whole cell of 64 MiB */
	const uint64_t large = 64 << 20, cell = 64 << 10, range = 2 * large - 2 * cell;
	struct greeting g = { .group = 0x2c, .host = 1, .ring = 1, .generation = 1, .connection = 1, .next_seq = 1 };
	struct vaio_rw_member disk = { .disk = { 1 }, .size = htole64(1ULL << 40), .block_size = htole32(512) };
	struct vaio_rw_record r = { 0 };
	struct agent *a = malloc(sizeof(*a));
	struct model m;
	json_t *j, *group;

	(void)state;
	model_init(&m, seed);
	vr_builder_free(m.builder);
	memset(m.group, g.group, 16);
	m.builder = vr_builder_new(m.group, 1 << 20, 1);
	agent_start(a, &g);
	assert_int_equal(model_generation(&m), 0);
	assert_int_equal(model_put(&m, &r, VAIO_RW_R_MEMBER_ADD, 0, &disk, sizeof(disk), 0, NULL), 0);
	send_built(a, &m);
	wait_durable(a, 2);
	assert_true(sh("mkdir -p store/2c*/index && mkdir -p $(echo store/2c*/index)/new/er"));
	for (int part = 0; part < 2; part++) {
		int type = 0;

		for (uint64_t n = 0, sent = 0; type != VAIO_RW_BLOCKED; n++) {
			for (int i = 0; i < 100; i++) {
				r.offset = htole64((n * 100 + (uint64_t)i) % 4000 * 2 * large + cell);
				r.length = htole64(range);
				assert_int_equal(model_put(&m, &r, VAIO_RW_R_DISCARD, 0, NULL, 0, 0, NULL), 0);
			}
			send_built(a, &m);
			sent += 100;
			do
				type = agent_receive(a);
			while (type == VAIO_RW_DURABLE && a->durable < m.next_seq - 1);
			assert_true(type == VAIO_RW_DURABLE || type == VAIO_RW_BLOCKED);
			assert_true(sent < 10000);
		}
		if (!strstr((char *)a->in.blocked.text, "upkeep"))
			fail_msg("BLOCKED: %s", (char *)a->in.blocked.text);
		assert_int_equal(le64toh(a->in.blocked.durable_seq), a->durable);
		j = ask(json_pack("{s:s, s:s}", "do", "status", "group", "group44"));
		group = json_object_get(j, "group");
		assert_string_equal(json_string_value(json_object_get(group, "state")), "full");
		assert_non_null(strstr(json_string_value(json_object_get(group, "blocked")), "upkeep"));
		json_decref(j);
		if (part)
			break;
		/* a newer one takes its place */
		agent_close(a);
		g.connection++;
		g.next_seq = m.next_seq;
		agent_start(a, &g);
		m.next_seq = a->durable + 1;
	}
	assert_true(sh("rm -r store/2c*/index/new"));
	while (agent_receive(a) != VAIO_RW_UNBLOCKED)
		;
	assert_int_equal(le64toh(a->in.unblocked.durable_seq), m.next_seq - 1);
	agent_close(a);
	free(a);
	model_free(&m);
}

/* A store that is there when its group's making is asked for: put back while the daemon runs, or one whose making failed half way. */
static void test_store_is_there(void **state)
{
	struct greeting g = { .group = 0x2d, .host = 1, .ring = 1, .generation = 1, .connection = 1, .next_seq = 1 };
	struct agent *a = malloc(sizeof(*a));
	struct vr_store *st;
	struct vr_options o = { .write = true };
	uint8_t id[16];
	struct vr_io *io;
	json_t *j;

	(void)state;
	for (uint8_t n = 0x2d; n <= 0x2e; n++) {
		char dir[64];

		memset(id, n, sizeof(id));
		snprintf(dir, sizeof(dir), "store/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", n, n, n, n, n, n, n,
			 n, n, n, n, n, n, n, n, n);
		assert_true(sh("mkdir %s", dir));
		assert_int_equal(vr_io_open(in_scratch(dir), &io), 0);
		assert_int_equal(vr_store_create(io, id, n == 0x2d ? "group45" : "group46", &why), 0);
		if (n == 0x2d) {
			io->ops->free(io);
			continue;
		}
		/* this one has a source, which is not the one that comes first */
		assert_int_equal(vr_store_open(io, &o, &st, &why), 0);
		assert_int_equal(vr_store_client(st, "CN=host-b,O=test", true, &why), 0);
		vr_store_close(st);
	}
	agent_start(a, &g);
	agent_close(a);
	refused("b", &g, VAIO_RW_END_IDENTITY, "may not write");
	/* as a group that was made now */
	j = ask(json_pack("{s:s, s:s}", "do", "status", "group", "group45"));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "group"), "retain_ns")), 24ULL * 3600 * 1000000000);
	json_decref(j);
	g.group = 0x2e;
	refused("a", &g, VAIO_RW_END_IDENTITY, "may not write");
	free(a);
}

static void test_admin(void **state)
{
	json_t *j = ask(json_pack("{s:s}", "do", "list"));

	(void)state;
	assert_int_equal(json_array_size(json_object_get(j, "groups")), 5);
	json_decref(j);
	j = ask(json_pack("{s:s, s:s}", "do", "eat", "group", "group33"));
	assert_non_null(strstr(json_string_value(json_object_get(j, "error")), "accepted are"));
	json_decref(j);
	j = ask(json_pack("{s:s, s:s}", "do", "status", "group", "nobody"));
	assert_non_null(strstr(json_string_value(json_object_get(j, "error")), "nobody"));
	json_decref(j);
	j = ask(json_pack("{s:s, s:s}", "do", "verify", "group", "group33"));
	assert_int_equal(json_integer_value(json_object_get(j, "faults")), 0);
	json_decref(j);
	j = ask(json_pack("{s:s, s:s}", "do", "points", "group", "group33"));
	assert_true(json_array_size(json_object_get(j, "stretches")) >= 1);
	json_decref(j);
	/* in good order, without a leak */
	assert_int_equal(stop_daemon(SIGTERM), 0);
	start_daemon();
	j = ask(json_pack("{s:s}", "do", "list"));
	assert_int_equal(json_array_size(json_object_get(j, "groups")), 5);
	json_decref(j);
}

/* --- a filesystem that is full ----------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	(void)!write(fd, text, strlen(text));
	close(fd);
}

/* Filesystems may be mounted where only this process and its children see them. False: not here. */
static bool own_mounts(void)
{
	char map[32];
	unsigned int uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWNS)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			return false;
		snprintf(map, sizeof(map), "0 %u 1", uid);
		put_file("/proc/self/uid_map", map);
		put_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", gid);
		put_file("/proc/self/gid_map", map);
	}
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* A batch that may have to be sent again. */
struct again {
	size_t len;
	void *batch;
};

static void keep(struct again *k, const void *batch, size_t len)
{
	k->batch = realloc(k->batch, len);
	memcpy(k->batch, batch, len);
	k->len = len;
}

/* Sends it, and reads the answer: DURABLE of all of it, or BLOCKED. */
static int answer_to(struct agent *a, const struct again *k, uint64_t last)
{
	int type;

	assert_true(agent_send(a, VAIO_RW_BATCH, k->batch, k->len));
	do {
		type = agent_receive(a);
		assert_true(type == VAIO_RW_DURABLE || type == VAIO_RW_BLOCKED);
	} while (type == VAIO_RW_DURABLE && a->durable < last);
	return type;
}

static void unblocked(struct agent *a, uint64_t last)
{
	int type;

	do
		type = agent_receive(a);
	while (type == VAIO_RW_DURABLE);
	assert_int_equal(type, VAIO_RW_UNBLOCKED);
	assert_int_equal(le64toh(a->in.unblocked.durable_seq), last);
}

/*
 * The stores of two groups on one filesystem, which gets full: each one's own oldest points go first; a group whose points are held
 * stops, says so, and no other; a resync that does not fit is not begun. Then there is room again.
 */
static void test_full_filesystem(void **state)
{
	struct greeting ga = { .group = 0x2f, .host = 1, .ring = 1, .generation = 1, .connection = 2 },
			gb = { .group = 0x30, .host = 1, .ring = 1, .generation = 1, .connection = 2 };
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_FULL) };
	struct vaio_rw_resync resync = { .kind = htole32(VAIO_RW_S_BITMAP), .bytes = htole64(16 << 20) };
	struct agent *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct again ka = { 0 }, kb = { 0 };
	uint64_t oldest_a, oldest_b, acked_a, acked_b, kept, good;
	struct model m, other;
	const void *batch;
	size_t len;

	(void)state;
	if (!own_mounts()) {
		print_message("# no filesystem can be mounted here\n");
		skip();
	}
	assert_int_equal(stop_daemon(SIGTERM), 0);
	assert_int_equal(mount("small", in_scratch("store"), "tmpfs", 0, "size=32m"), 0);
	/* the first thing that apply makes is the base, of 2 MiB each */
	more_words[0] = "--reserve";
	more_words[1] = "4MiB";
	start_daemon();
	make_group(a, &m, 0x2f, 1);
	make_group(b, &other, 0x30, 1);
	for (int i = 0; json_number("group48", "journal_bytes") < 5 << 20; i++) {
		assert_true(i < 1000);
		batch = model_batch(&other, 100, &len);
		keep(&kb, batch, len);
		assert_int_equal(answer_to(b, &kb, model_last(&other)), VAIO_RW_DURABLE);
	}
	oldest_a = seq_of("group47", "oldest");
	oldest_b = seq_of("group48", "oldest");

	/* the oldest points go, of the group that needs it */
	for (int i = 0; seq_of("group47", "oldest") == oldest_a; i++) {
		assert_true(i < 1000);
		batch = model_batch(&m, 100, &len);
		keep(&ka, batch, len);
		assert_int_equal(answer_to(a, &ka, model_last(&m)), VAIO_RW_DURABLE);
	}
	assert_int_equal(seq_of("group48", "oldest"), oldest_b);

	/* they may not: it stops. Its batches are larger than what the other one gives up at a time, so that it stays so. */
	does(json_pack("{s:s, s:s, s:s, s:b}", "do", "hold", "group", "group47", "name", "kept", "pin", 1));
	kept = seq_of("group47", "name:kept");
	vr_builder_free(m.builder);
	m.builder = vr_builder_new(m.group, 4 << 20, 1);
	for (int i = 0, type = 0; type != VAIO_RW_BLOCKED; i++) {
		assert_true(i < 100);
		batch = model_batch(&m, 1000, &len);
		keep(&ka, batch, len);
		type = answer_to(a, &ka, model_last(&m));
	}
	acked_a = a->durable;
	assert_int_equal(le32toh(a->in.blocked.reason), VAIO_RW_BLOCKED_FULL);
	assert_int_equal(le64toh(a->in.blocked.durable_seq), acked_a);
	assert_true(le64toh(a->in.blocked.need) > 1 << 20 && le64toh(a->in.blocked.have) < le64toh(a->in.blocked.need));
	assert_non_null(strstr((char *)a->in.blocked.text, "kept"));
	assert_status("group47", "full", "held by");
	assert_status("group48", "ready", NULL);

	/* the other one goes on; when there is no room for it either, at the cost of its own oldest points */
	for (int i = 0; seq_of("group48", "oldest") == oldest_b; i++) {
		assert_true(i < 1000);
		batch = model_batch(&other, 10, &len);
		keep(&kb, batch, len);
		assert_int_equal(answer_to(b, &kb, model_last(&other)), VAIO_RW_DURABLE);
	}
	acked_b = b->durable;
	assert_status("group47", "full", "held by");

	/* a crash changes nothing, on a filesystem that is full */
	stop_daemon(SIGKILL);
	agent_close(a);
	agent_close(b);
	start_daemon();
	ga.next_seq = m.next_seq;
	ga.acked = acked_a;
	gb.next_seq = other.next_seq;
	gb.acked = acked_b;
	agent_start(a, &ga);
	assert_int_equal(a->durable, acked_a);
	assert_int_equal(answer_to(a, &ka, model_last(&m)), VAIO_RW_BLOCKED);
	assert_status("group47", "full", "held by");
	agent_start(b, &gb);
	assert_int_equal(b->durable, acked_b);
	check_replica(&other, 0x30, "latest");

	/* a resync that does not fit beside the last good point, whatever older ones go for it; that may be enough for the other group */
	good = seq_of("group48", "latest");
	assert_int_equal(good, acked_b);
	assert_int_equal(model_group(&other, VAIO_RW_R_GAP, &gap, sizeof(gap), NULL), 0);
	assert_int_equal(model_group(&other, VAIO_RW_R_RESYNC_BEGIN, &resync, sizeof(resync), NULL), 0);
	batch = vr_builder_finish(other.builder, &len);
	keep(&kb, batch, len);
	assert_int_equal(answer_to(b, &kb, model_last(&other)), VAIO_RW_BLOCKED);
	assert_int_equal(le32toh(b->in.blocked.reason), VAIO_RW_BLOCKED_RESYNC);
	assert_int_equal(le64toh(b->in.blocked.need), 16 << 20);
	assert_true(le64toh(b->in.blocked.have) < 16 << 20);
	assert_int_equal(le64toh(b->in.blocked.durable_seq), acked_b);
	assert_non_null(strstr((char *)b->in.blocked.text, "resync-blocked (need 16777216, have "));
	/* it is tried again each second, and stays so */
	for (int i = 0; i < 25; i++) {
		assert_status("group48", "resync-blocked", "resync-blocked (need 16777216, have ");
		assert_int_equal(seq_of("group48", "latest"), good);
		usleep(100000);
	}
	check_replica(&other, 0x30, "latest");

	/* there is room again: both go on by themselves */
	assert_int_equal(mount("small", in_scratch("store"), "tmpfs", MS_REMOUNT, "size=128m"), 0);
	unblocked(a, model_last(&m));
	unblocked(b, model_last(&other));
	assert_status("group47", "ready", NULL);
	assert_status("group48", "resync", NULL);
	assert_int_equal(seq_of("group48", "latest"), good);
	batch = model_batch(&other, 20, &len);
	keep(&kb, batch, len);
	assert_int_equal(answer_to(b, &kb, model_last(&other)), VAIO_RW_DURABLE);
	assert_int_equal(model_group(&other, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(other.builder, &len);
	keep(&kb, batch, len);
	assert_int_equal(answer_to(b, &kb, model_last(&other)), VAIO_RW_DURABLE);
	assert_int_equal(b->complete, model_last(&other));
	batch = model_batch(&m, 20, &len);
	keep(&ka, batch, len);
	assert_int_equal(answer_to(a, &ka, model_last(&m)), VAIO_RW_DURABLE);
	agent_close(a);
	agent_close(b);
	assert_int_equal(seq_of("group47", "name:kept"), kept);
	check_replica(&m, 0x2f, "latest");
	check_replica(&m, 0x2f, "name:kept");
	check_replica(&other, 0x30, "latest");
	assert_int_equal(stop_daemon(SIGTERM), 0);
	assert_int_equal(umount(in_scratch("store")), 0);
	more_words[0] = more_words[1] = NULL;
	start_daemon();
	free(ka.batch);
	free(kb.batch);
	free(a);
	free(b);
	model_free(&m);
	model_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_and_kills),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_nobodys),
		cmocka_unit_test(test_check_fails),
		cmocka_unit_test(test_index_lost),
		cmocka_unit_test(test_copied_host),
		cmocka_unit_test(test_upkeep_fails),
		cmocka_unit_test(test_store_is_there),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_new_keys),
		cmocka_unit_test(test_full_filesystem),
	};
	const char *text = getenv("VAIO_SEED");

	seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)getpid() * 7919 + (uint64_t)time(NULL);
	if (getenv("VAIO_TEST"))
		cmocka_set_test_filter(getenv("VAIO_TEST"));
	signal(SIGPIPE, SIG_IGN);
	gcry_check_version(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	return cmocka_run_group_tests(tests, setup, teardown);
}
