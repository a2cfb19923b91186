/* SPDX-License-Identifier: GPL-2.0 */
/* vaio-replicad for tests: the daemon, an agent that the test plays, certificates. */
#ifndef TESTS_REPLICAD_H
#define TESTS_REPLICAD_H

#include <arpa/inet.h>
#include <gcrypt.h>
#include <gnutls/gnutls.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "unit.h"
#include "replica_model.h"

static struct vr_err why;
static uint64_t seed;
static char program[PATH_MAX];
static const char *program_at = "../bin/vaio-replicad";	/* from where the test is */
static const char *more_words[5];	/* of its command line */
static const char *preload;		/* an object that comes before the C library */
static int (*daemon_main)(int argc, char **argv);	/* in a child of the test, in the place of the program */
static pid_t daemon_pid;
static int port;

/* --- the daemon ----------------------------------------------------------------------- */

static void start_daemon(void)
{
	char *words[] = {
		program, "--store", (char *)in_scratch("store"), "--listen", "127.0.0.1:0", "--pki", (char *)in_scratch("pki"),
		"--socket", (char *)in_scratch("sock"), "--segment", "256KiB", "--reserve", "1MiB", (char *)more_words[0],
		(char *)more_words[1], (char *)more_words[2], (char *)more_words[3], NULL,
	};
	int out[2], nr = 0;
	char line[256] = "";
	FILE *f;

	while (words[nr])
		nr++;
	assert_int_equal(pipe(out), 0);
	daemon_pid = fork();
	assert_true(daemon_pid >= 0);
	if (!daemon_pid) {
		dup2(out[1], 1);
		close(out[0]);
		freopen(in_scratch("log"), "a", stderr);
		setlinebuf(stderr);
		if (preload) {
			setenv("LD_PRELOAD", preload, 1);
			setenv("VAIO_STALL", in_scratch("stall"), 1);
		}
		if (daemon_main)
			_exit(daemon_main(nr, words));
		execv(program, words);
		_exit(127);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	if (!fgets(line, sizeof(line), f) || sscanf(line, "listening on 127.0.0.1:%d", &port) != 1)
		fail_msg("vaio-replicad did not start: see its log in the scratch folder");
	fclose(f);
}

static int stop_daemon(int sig)
{
	int status;

	kill(daemon_pid, sig);
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	return status;
}

/* A request to the unix socket; the answer is the caller's. */
static json_t *ask(json_t *request)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *answer;
	FILE *f;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_scratch("sock"));
	assert_int_equal(connect(fd, (void *)&addr, sizeof(addr)), 0);
	f = fdopen(fd, "r+");
	fprintf(f, "%s\n", text);
	fflush(f);
	answer = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
	fclose(f);
	free(text);
	json_decref(request);
	assert_non_null(answer);
	return answer;
}

static void does(json_t *request)
{
	json_t *j = ask(request);

	if (!json_is_true(json_object_get(j, "ok")))
		fail_msg("%s", json_string_value(json_object_get(j, "error")));
	json_decref(j);
}

static json_t *status_of(const char *group)
{
	json_t *j = ask(json_pack("{s:s, s:s}", "do", "status", "group", group));
	json_t *status = json_incref(json_object_get(j, "group"));

	json_decref(j);
	assert_non_null(status);
	return status;
}

static void assert_status(const char *group, const char *state, const char *why_not)
{
	json_t *j = status_of(group);
	const char *blocked = json_string_value(json_object_get(j, "blocked"));

	assert_string_equal(json_string_value(json_object_get(j, "state")), state);
	if (why_not && (!blocked || !strstr(blocked, why_not)))
		fail_msg("blocked: %s", blocked);
	if (!why_not)
		assert_null(blocked);
	json_decref(j);
}

static uint64_t json_number(const char *group, const char *key)
{
	json_t *j = status_of(group), *n = json_object_get(j, key);
	uint64_t number = (uint64_t)json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(j);
	return number;
}

static uint64_t seq_of(const char *group, const char *point)
{
	json_t *j = ask(json_pack("{s:s, s:s, s:s}", "do", "show", "group", group, "point", point));
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(j, "seq"));

	if (!seq)
		fail_msg("%s: %s", point, json_string_value(json_object_get(j, "error")));
	json_decref(j);
	return seq;
}

/* --- an agent ---------------------------------------------------------------------------- */

struct agent {
	int fd;
	gnutls_session_t tls;
	gnutls_certificate_credentials_t creds;
	uint64_t durable, complete;
	union {
		char bytes[sizeof(struct vaio_rw_welcome) + 64 * 1024];
		struct vaio_rw_welcome welcome;
		struct vaio_rw_end end;
		struct vaio_rw_durable durable;
		struct { struct vaio_rw_diff d; struct vaio_rw_range r[1]; } diff;
		struct vaio_rw_blocked blocked;
		struct vaio_rw_unblocked unblocked;
		struct vaio_rw_ping ping;
		struct vaio_rw_checkpoint_request request;
	} in;
};

/*
 * Connects as @who ("a", "b", "stranger"); false when TLS is refused. A "!" before it: its certificate is shown also to a daemon that
 * says that it wants none of its CA.
 */
static bool agent_connect(struct agent *a, const char *who)
{
	bool force = *who == '!';
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	static const gnutls_datum_t alpn = { (unsigned char *)VAIO_RW_ALPN, sizeof(VAIO_RW_ALPN) - 1 };
	struct timeval patience = { .tv_sec = 60 };
	char cert[128], key[128];
	int rc;

	memset(a, 0, sizeof(*a));
	who += force;
	snprintf(cert, sizeof(cert), "%s/%s.pem", scratch, who);
	snprintf(key, sizeof(key), "%s/%s.key", scratch, who);
	inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
	a->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(a->fd, (void *)&addr, sizeof(addr)), 0);
	setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	gnutls_certificate_allocate_credentials(&a->creds);
	assert_true(gnutls_certificate_set_x509_trust_file(a->creds, in_scratch("pki/CA/cacert.pem"), GNUTLS_X509_FMT_PEM) > 0);
	assert_int_equal(gnutls_certificate_set_x509_key_file(a->creds, cert, key, GNUTLS_X509_FMT_PEM), 0);
	gnutls_init(&a->tls, GNUTLS_CLIENT | (force ? GNUTLS_FORCE_CLIENT_CERT : 0));
	gnutls_priority_set_direct(a->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
	gnutls_credentials_set(a->tls, GNUTLS_CRD_CERTIFICATE, a->creds);
	gnutls_alpn_set_protocols(a->tls, &alpn, 1, 0);
	gnutls_session_set_verify_cert(a->tls, "replica", 0);
	gnutls_transport_set_int(a->tls, a->fd);
	do
		rc = gnutls_handshake(a->tls);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	return rc >= 0;
}

static void agent_close(struct agent *a)
{
	gnutls_deinit(a->tls);
	a->tls = NULL;
	gnutls_certificate_free_credentials(a->creds);
	close(a->fd);
}

static bool agent_send(struct agent *a, uint16_t type, const void *p, size_t len)
{
	struct vaio_rw_msg h;
	size_t at = 0;

	vr_message_header(&h, type, p, len);
	if (gnutls_record_send(a->tls, &h, sizeof(h)) != sizeof(h))
		return false;
	while (at < len) {
		ssize_t n = gnutls_record_send(a->tls, (const char *)p + at, len - at);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool read_whole(struct agent *a, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = gnutls_record_recv(a->tls, (char *)buf + at, len - at);

		if (n <= 0 && gnutls_error_is_fatal((int)n) == 0 && n < 0 && n != GNUTLS_E_AGAIN)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* The next message; 0 when the connection is gone. PINGs are answered. */
static int agent_receive_any(struct agent *a)
{
	struct vaio_rw_msg h;
	uint16_t type;
	size_t len;

	if (!read_whole(a, &h, sizeof(h)))
		return 0;
	assert_int_equal(vr_message_check_header(&h, &type, &len, &why), 0);
	assert_true(len <= sizeof(a->in));
	if (!read_whole(a, a->in.bytes, len))
		return 0;
	if (vr_message_check(&h, a->in.bytes, len, &why))
		fail_msg("replicad sent: %s", why.text);
	if (type == VAIO_RW_DURABLE) {
		assert_true(le64toh(a->in.durable.durable_seq) >= a->durable);
		a->durable = le64toh(a->in.durable.durable_seq);
		a->complete = le64toh(a->in.durable.complete_seq);
	}
	if (type == VAIO_RW_PING)
		agent_send(a, VAIO_RW_PONG, a->in.bytes, len);
	return type;
}

/* The next message that is no PING; 0 when the connection is gone. */
static int agent_receive(struct agent *a)
{
	time_t patience = time(NULL) + 120;
	int type;

	/* PINGs go on for ever: what is waited for has to come some time. */
	while ((type = agent_receive_any(a)) == VAIO_RW_PING)
		if (time(NULL) > patience)
			fail_msg("replicad sends nothing but PINGs");
	return type;
}

/* Reads up to the END. */
static void agent_ended(struct agent *a)
{
	int type;

	while ((type = agent_receive(a)) != VAIO_RW_END)
		assert_int_not_equal(type, 0);
}

struct greeting {
	uint8_t group, host, ring, generation;
	uint64_t connection, next_seq, acked;
	uint32_t flags;
	const struct model *m;		/* whose generations are told; NULL: the first one */
	const struct vr_generation *more;	/* one that follows these */
	const char *name;		/* of the group; NULL: groupN */
};

static void hello(struct agent *a, const struct greeting *g)
{
	struct { struct vaio_rw_hello h; struct vaio_rw_generation g[VAIO_RW_MAX_GENERATIONS]; } d;
	unsigned int nr = 0;

	memset(&d, 0, sizeof(d));
	d.h.version_min = d.h.version_max = htole32(1);
	memset(d.h.group, g->group, 16);
	memset(d.h.host, g->host, 16);
	memset(d.h.ring, g->ring, 16);
	d.h.connection = htole64(g->connection);
	d.h.first_seq = htole64(1);
	d.h.next_seq = htole64(g->next_seq);
	d.h.acked_seq = htole64(g->acked);
	d.h.flags = htole32(g->flags);
	d.g[0].id[0] = g->generation;
	d.g[0].id[15] = 0x77;
	d.g[0].counter = d.g[0].first_seq = htole64(1);
	for (size_t i = 0; g->m && i < g->m->nr && nr < VAIO_RW_MAX_GENERATIONS; i++)
		if (g->m->records[i].type == VAIO_RW_R_GENERATION) {
			d.g[nr].id[0] = (uint8_t)(nr + 1);
			d.g[nr].id[15] = 0x77;
			d.g[nr].first_seq = htole64(g->m->records[i].seq);
			d.g[nr].counter = htole64(nr + 1);
			nr++;
		}
	nr = nr ? nr : 1;
	if (g->more)
		vr_generation_encode(g->more, &d.g[nr++]);
	d.h.nr_generations = htole16((uint16_t)nr);
	d.h.generation = d.g[nr - 1];
	snprintf((char *)d.h.host_name, sizeof(d.h.host_name), "source%u", g->host);
	snprintf((char *)d.h.group_name, sizeof(d.h.group_name), g->name ? "%s" : "group%.0s%u", g->name ? g->name : "", g->group);
	assert_true(agent_send(a, VAIO_RW_HELLO, &d, sizeof(d.h) + nr * sizeof(*d.g)));
}

/* The answer's type. */
static int agent_hello(struct agent *a, const struct greeting *g)
{
	int type;

	hello(a, g);
	type = agent_receive(a);
	if (type == VAIO_RW_WELCOME)
		a->durable = le64toh(a->in.welcome.durable_seq);
	return type;
}

static void agent_start(struct agent *a, const struct greeting *g)
{
	assert_true(agent_connect(a, "a"));
	if (agent_hello(a, g) != VAIO_RW_WELCOME)
		fail_msg("not welcome: %s", (char *)a->in.end.text);
}

static void wait_durable(struct agent *a, uint64_t seq)
{
	while (a->durable < seq)
		assert_int_not_equal(agent_receive(a), 0);
}

/*
 * Until the daemon has let the group's last connection go. It does so some time after the peer has closed it, or has read the
 * END of a refusal; who comes earlier may be told that the group is busy.
 */
static void wait_gone(uint8_t group)
{
	time_t patience = time(NULL) + 120;
	bool connected = true;
	char name[16];

	snprintf(name, sizeof(name), "group%u", group);
	while (connected) {
		json_t *j = ask(json_pack("{s:s, s:s}", "do", "status", "group", name));

		connected = !json_is_false(json_object_get(json_object_get(j, "group"), "connected"));
		json_decref(j);
		if (time(NULL) > patience)
			fail_msg("%s keeps a connection that is gone", name);
	}
}

/* A connection that is refused with @code and a text that names @word. */
static void refused(const char *who, const struct greeting *g, uint32_t code, const char *word)
{
	struct agent *a = malloc(sizeof(*a));

	assert_true(agent_connect(a, who));
	assert_int_equal(agent_hello(a, g), VAIO_RW_END);
	assert_int_equal(le32toh(a->in.end.code), code);
	assert_non_null(strstr((char *)a->in.end.text, word));
	agent_close(a);
	free(a);
}

/* --- the replica, read by the library ------------------------------------------------------ */

static void check_replica(const struct model *m, uint8_t group, const char *point)
{
	uint8_t *want = malloc(MODEL_MAX_DISK), *got = malloc(MODEL_MAX_DISK);
	struct vr_store *st;
	struct vr_pin *pin;
	struct vr_point p;
	struct vr_view *v;
	char dir[128], id[3];

	snprintf(id, sizeof(id), "%02x", group);
	snprintf(dir, sizeof(dir), "%s/store/%s%s%s%s-%s%s-%s%s-%s%s-%s%s%s%s%s%s", scratch, id, id, id, id, id, id, id, id, id,
		 id, id, id, id, id, id, id);
	if (vr_pin_take(dir, point, m->time_ns, &pin, &st, &p, &why) || vr_view_open(st, p.seq, &v, &why))
		fail_msg("%s", why.text);
	for (unsigned int n = 0; n < MODEL_MEMBERS; n++) {
		uint64_t size = model_disk(m, n, p.seq, want);

		if (!size)
			continue;
		if (vr_view_read(v, (uint16_t)n, got, size, 0, &why))
			fail_msg("%s", why.text);
		assert_memory_equal(got, want, size);
	}
	vr_view_close(v);
	vr_pin_drop(pin);
	free(want);
	free(got);
}

/* As many records at a group's end are points. */
#define NEWEST_POINTS	25

/* A whole group of its own, and its source, connected. */
static void make_group(struct agent *a, struct model *m, uint8_t group, uint64_t connection)
{
	struct greeting g = { .group = group, .host = 1, .ring = 1, .generation = 1, .connection = connection, .next_seq = 1 };

	model_init(m, seed);
	vr_builder_free(m->builder);
	memset(m->group, group, 16);
	m->builder = vr_builder_new(m->group, 1 << 20, 1);
	m->stretches = false;
	agent_start(a, &g);
	/* the newest ones are points */
	while (!m->whole || m->nr < 100 || !m->records[m->nr - NEWEST_POINTS].point) {
		size_t len;
		const void *batch = model_batch(m, 10, &len);

		assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	}
	wait_durable(a, model_last(m));
	assert_int_equal(a->complete, model_last(m));
}

/* Until the daemon has said it. */
static void wait_log(const char *text)
{
	time_t patience = time(NULL) + 120;
	char pattern[256];

	snprintf(pattern, sizeof(pattern), "grep -qF '%s' log", text);
	while (!sh("%s", pattern))
		if (time(NULL) > patience)
			fail_msg("the log does not say: %s", text);
}

/* --- setting up ------------------------------------------------------------------------------------ */

static void certificate(const char *who, const char *ca, const char *subject)
{
	assert_true(sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.csr -subj %s && "
		       "printf 'subjectAltName=DNS:replica,IP:127.0.0.1,IP:::1' >ext && "
		       "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 30 -extfile ext -out %s.pem",
		       who, who, subject, who, ca, ca, who));
}

static int setup(void **state)
{
	char exe[PATH_MAX - 32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	*strrchr(exe, '/') = 0;
	snprintf(program, sizeof(program), "%s/%s", exe, program_at);
	/* Processes die here, not machines: memory will do, and is quick. */
	if (!access("/dev/shm", W_OK))
		strcpy(scratch, "/dev/shm/vaio-.XXXXXX");
	if (make_scratch(state) || access(program, X_OK))
		return 1;
	for (int i = 0; i < 2; i++)
		assert_true(sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.pem "
			       "-subj /CN=%s -days 30", i ? "ca2" : "ca", i ? "ca2" : "ca", i ? "ca2" : "ca"));
	certificate("server", "ca", "/CN=replica");
	certificate("a", "ca", "/O=test/CN=host-a");
	certificate("b", "ca", "/O=test/CN=host-b");
	certificate("stranger", "ca2", "/O=test/CN=host-a");
	assert_true(sh("mkdir -p store pki/CA pki/vaio/private && cp ca.pem pki/CA/cacert.pem && cp server.pem pki/vaio/servercert.pem && "
		       "cp server.key pki/vaio/private/serverkey.pem"));
	start_daemon();
	return 0;
}

static int teardown(void **state)
{
	int status = daemon_pid > 0 ? stop_daemon(SIGTERM) : 0;

	if (status)
		(void)!system("tail -n 40 /dev/shm/vaio-*/log >&2");
	remove_scratch(state);
	return status;
}

#endif /* TESTS_REPLICAD_H */
