// SPDX-License-Identifier: GPL-2.0
/*
 * What vaio-replicad takes of the machine's memory when sources send and storage hangs: its real process, without sanitizers,
 * which have their own use for memory. The bounds are those of Documentation/replication.md.
 */
#include <poll.h>

#include "replicad.h"
#include "process_memory.h"

#define MIB		(1ULL << 20)
#define GROUPS		4
#define QUEUE		(48 * MIB)	/* --queue */
#define EACH		(QUEUE / GROUPS)
#define OFFERED		(60 * MIB)	/* by each source */
#define FIXED		(32 * MIB)	/* libraries, threads, connections */
#define SHORT		300		/* connections: more than there were ever places for */
#define PER_GROUP	(8 * MIB)	/* beside its batches, with batches and an index as small as here */

/* What storage hangs: files with @what in their path; NULL: none. */
static void stall(const char *what)
{
	FILE *f = fopen(in_scratch("stall.new"), "w");

	fputs(what ? what : "", f);
	fclose(f);
	assert_int_equal(rename(in_scratch("stall.new"), in_scratch("stall")), 0);
}

/* --- sources that never wait for an answer ------------------------------------------------ */

static struct source {
	struct agent a;
	struct model m;
	uint8_t id;
	char *message;			/* that is being sent */
	size_t len, at;
	uint64_t offered;
} *sources;

/* About a megabyte that does not compress. */
static void next_message(struct source *s)
{
	static uint8_t buf[65536];
	const void *batch;
	size_t len;

	for (;;) {
		uint64_t seed = mem_rand(&s->m.rand) | 2, at = model_rand(&s->m, (1 << 20) / sizeof(buf)) * sizeof(buf);
		struct vaio_rw_record r = { .offset = htole64(at), .length = htole64(sizeof(buf)) };

		model_fill(buf, sizeof(buf), seed);
		if (model_put(&s->m, &r, VAIO_RW_R_WRITE, 0, buf, sizeof(buf), seed, NULL))
			break;
	}
	batch = vr_builder_finish(s->m.builder, &len);
	s->len = sizeof(struct vaio_rw_msg) + len;
	s->message = realloc(s->message, s->len);
	s->at = 0;
	vr_message_header((void *)s->message, VAIO_RW_BATCH, batch, len);
	memcpy(s->message + sizeof(struct vaio_rw_msg), batch, len);
}

/* Sends what the connection takes, up to @upto bytes in all. False: it takes no more. */
static bool offer(struct source *s, uint64_t upto)
{
	fcntl(s->a.fd, F_SETFL, O_NONBLOCK);
	while (s->at < s->len || s->offered < upto) {
		ssize_t n;

		if (s->at == s->len) {
			next_message(s);
			s->offered += s->len;
		}
		n = gnutls_record_send(s->a.tls, s->message + s->at, s->len - s->at < 16384 ? s->len - s->at : 16384);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			return false;
		assert_true(n > 0);
		s->at += (size_t)n;
	}
	fcntl(s->a.fd, F_SETFL, 0);
	return true;
}

/*
 * Waits a while for @s's connection; true: there is what was waited for. Meanwhile all sources say that they live, for the daemon
 * ends a connection that is silent for VAIO_RW_DEAD_MS: what they began to send they send, and then a PONG.
 */
static bool wait_a_while(struct source *s, short events, int ms)
{
	struct vaio_rw_ping ping = { 0 };

	for (unsigned int i = 0; i < GROUPS; i++)
		if (sources[i].a.tls && offer(&sources[i], sources[i].offered))
			assert_true(agent_send(&sources[i].a, VAIO_RW_PONG, &ping, sizeof(ping)));
	return poll(&(struct pollfd){ .fd = s->a.fd, .events = events }, 1, ms) > 0;
}

/* All that was offered is durable. */
static void settle(struct source *s)
{
	while (!offer(s, s->offered))
		wait_a_while(s, POLLOUT, 1000);
	while (s->a.durable < model_last(&s->m))
		if (gnutls_record_check_pending(s->a.tls) || wait_a_while(s, POLLIN, 1000))
			assert_int_not_equal(agent_receive_any(&s->a), 0);
}

/* What the daemon says that a group's batches take. */
static uint64_t batches_of(const struct source *s)
{
	char name[16];
	json_t *j, *g;
	uint64_t n;

	snprintf(name, sizeof(name), "group%u", s->id);
	j = ask(json_pack("{s:s, s:s}", "do", "status", "group", name));
	g = json_object_get(j, "group");
	assert_int_equal(json_integer_value(json_object_get(g, "memory_share_bytes")), EACH);
	n = (uint64_t)json_integer_value(json_object_get(g, "memory_bytes"));
	json_decref(j);
	return n;
}

/* Until no connection of these takes any more, because the daemon has taken what it may. */
static void fill(unsigned int first, unsigned int nr)
{
	time_t patience = time(NULL) + 600;
	unsigned int full = 0;

	while (full < nr) {
		full = 0;
		if (time(NULL) > patience)
			fail_msg("the daemon's memory for batches did not fill");
		for (unsigned int i = first; i < first + nr; i++) {
			struct source *s = &sources[i];

			if (offer(s, OFFERED))
				fail_msg("all %llu bytes were taken, and nothing could be written", OFFERED);
			full += batches_of(s) + s->len > EACH;
			wait_a_while(s, POLLOUT, 10);
		}
	}
}

/* --- tests ------------------------------------------------------------------------------------ */

/* One group's storage hangs: it takes its share, and no other group hears of it. */
static void test_one_hangs(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < GROUPS; i++) {
		sources[i].id = (uint8_t)(0x31 + i);
		make_group(&sources[i].a, &sources[i].m, sources[i].id, 1);
		wait_a_while(&sources[i], 0, 0);
	}
	stall("31313131-");
	fill(0, 1);
	for (unsigned int i = 1; i < GROUPS; i++) {
		while (!offer(&sources[i], OFFERED / 4))
			wait_a_while(&sources[i], POLLOUT, 1000);
		settle(&sources[i]);
	}
	assert_true(batches_of(&sources[0]) <= EACH);
}

/* All of them hang, all sources send what they can: the process has no more than it may. */
static void test_all_hang(void **state)
{
	const uint64_t bound = QUEUE + FIXED + GROUPS * PER_GROUP;
	uint64_t most, sum = 0;

	(void)state;
	stall("/");
	fill(0, GROUPS);
	for (unsigned int i = 0; i < GROUPS; i++) {
		assert_true(batches_of(&sources[i]) <= EACH);
		sum += batches_of(&sources[i]);
	}
	most = memory_of(daemon_pid, "VmHWM");
	printf("# batches %llu MiB, the process %llu MiB, bound %llu MiB\n", (unsigned long long)(sum / MIB),
	       (unsigned long long)(most / MIB), bound / MIB);
	assert_true(sum <= QUEUE);
	/* they are really there */
	assert_true(most > sum);
	assert_true(most <= bound);
	/* storage comes back: nothing was lost, and sources go on */
	stall(NULL);
	for (unsigned int i = 0; i < GROUPS; i++) {
		settle(&sources[i]);
		assert_int_equal(sources[i].a.complete, model_last(&sources[i].m));
	}
	assert_true(memory_of(daemon_pid, "VmHWM") <= bound);
	for (unsigned int i = 0; i < GROUPS; i++) {
		agent_close(&sources[i].a);
		check_replica(&sources[i].m, sources[i].id, "latest");
	}
}

/* A HELLO of the source's next connection. */
static struct greeting next_hello(const struct source *s)
{
	static uint64_t connection = 1;
	struct greeting g = { .group = s->id, .host = 1, .ring = 1, .generation = 1, .connection = ++connection,
			      .next_seq = s->m.next_seq };

	return g;
}

/* Its connection is new, and what it sends becomes durable. */
static void goes_on(struct source *s)
{
	struct greeting g = next_hello(s);
	time_t patience = time(NULL) + 600;

	/*
	 * The one before may not be gone yet: BUSY is told, and tried again. While the threads of many strangers that were sent away
	 * end, nobody is heard.
	 */
	for (;;) {
		bool heard = agent_connect(&s->a, "a");

		if (heard && agent_hello(&s->a, &g) == VAIO_RW_WELCOME)
			break;
		if (heard && le32toh(s->a.in.end.code) != VAIO_RW_END_BUSY)
			fail_msg("group%u: %s", s->id, (char *)s->a.in.end.text);
		if (time(NULL) > patience)
			fail_msg("group%u: its source is not heard", s->id);
		agent_close(&s->a);
	}
	assert_int_equal(s->a.durable, model_last(&s->m));
	next_message(s);
	s->offered += s->len;
	settle(s);
}

/*
 * One group's storage hangs while its connection is cut: sources that come again and again are told to wait, and take no place
 * of other groups' sources.
 */
static void test_cut_and_hangs(void **state)
{
	struct source *hangs = &sources[0];
	struct agent *waits = calloc(1, sizeof(*waits)), *once = calloc(1, sizeof(*once));
	time_t patience = time(NULL) + 600;
	struct greeting g;

	(void)state;
	goes_on(hangs);
	goes_on(&sources[1]);
	unlink(in_scratch("stall.hit"));
	stall("313131313131/journal/");
	next_message(hangs);
	while (!offer(hangs, hangs->offered))
		wait_a_while(hangs, POLLOUT, 1000);
	while (access(in_scratch("stall.hit"), F_OK)) {
		assert_true(time(NULL) < patience);
		usleep(10000);
	}
	agent_close(&hangs->a);
	/* What place it had is anybody's. */
	agent_close(&sources[1].a);
	g = next_hello(hangs);
	assert_true(agent_connect(waits, "a"));
	hello(waits, &g);
	for (unsigned int i = 0; i < SHORT; i++) {
		g = next_hello(hangs);
		/* Agents that give up. */
		if (agent_connect(once, "a"))
			hello(once, &g);
		agent_close(once);
	}
	goes_on(&sources[1]);
	agent_close(&sources[1].a);
	/* Who waits is told that it cannot be now. */
	assert_int_equal(agent_receive(waits), VAIO_RW_END);
	assert_int_equal(le32toh(waits->in.end.code), VAIO_RW_END_BUSY);
	agent_close(waits);
	stall(NULL);
	goes_on(hangs);
	agent_close(&hangs->a);
	free(waits);
	free(once);
}

/* Connections of which nothing is heard: known sources get in, and memory has its bound. */
static void test_strangers(void **state)
{
	const uint64_t bound = QUEUE + FIXED + GROUPS * PER_GROUP;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fds[SHORT];

	(void)state;
	inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
	for (unsigned int i = 0; i < SHORT; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], (void *)&addr, sizeof(addr)), 0);
	}
	for (unsigned int i = 0; i < GROUPS; i++)
		goes_on(&sources[i]);
	assert_true(memory_of(daemon_pid, "VmHWM") <= bound);
	for (unsigned int i = 0; i < SHORT; i++)
		close(fds[i]);
	for (unsigned int i = 0; i < GROUPS; i++) {
		agent_close(&sources[i].a);
		check_replica(&sources[i].m, sources[i].id, "latest");
		model_free(&sources[i].m);
		free(sources[i].message);
	}
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A connection that cannot be taken for a while: whoever waits for it does not use up a processor, and takes it then. */
static void test_accept(void **state)
{
	struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 120 };
	struct agent *a = calloc(1, sizeof(*a));

	(void)state;
	inet_pton(AF_INET, "127.0.0.1", &tcp.sin_addr);
	snprintf(local.sun_path, sizeof(local.sun_path), "%s", in_scratch("sock"));
	for (int i = 0; i < 2; i++) {
		int fd = socket(i ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
		struct stat hits = { .st_size = 0 };
		time_t until = time(NULL) + patience.tv_sec;
		uint64_t begin = now_us();
		char answer;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		unlink(in_scratch("stall.hit"));
		stall("accept");
		assert_int_equal(connect(fd, i ? (void *)&tcp : (void *)&local, i ? sizeof(tcp) : sizeof(local)), 0);
		while (stat(in_scratch("stall.hit"), &hits) || hits.st_size < 3) {
			if (time(NULL) > until)
				fail_msg("%s: not tried again", i ? "TCP" : "the socket");
			usleep(1000);
		}
		/* It is there all the time: each try waits before the next one. */
		assert_true(now_us() - begin >= 200000);
		stall(NULL);
		if (i) {
			assert_true(agent_connect(a, "a"));
			agent_close(a);
		} else {
			assert_int_equal(send(fd, "{\"do\": \"list\"}\n", 15, 0), 15);
			assert_int_equal(recv(fd, &answer, 1, 0), 1);
		}
		close(fd);
	}
	/* and says it once */
	assert_true(sh("[ $(grep -c 'a connection cannot be taken' log) = 2 ]"));
	free(a);
}

/* More groups than there is memory for are not promised any. */
static void test_options(void **state)
{
	(void)state;
	assert_false(sh("%s --max-groups 9 --queue 80MiB", program));
	assert_true(sh("%s --max-groups 9 --queue 80MiB 2>&1 | grep -q -- '--queue 81MiB'", program));
	assert_true(sh("%s --retain 5124096h 2>&1 | grep -q 'up to 876000h'", program));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_hangs),
		cmocka_unit_test(test_all_hang),
		cmocka_unit_test(test_cut_and_hangs),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_options),
	};
	const char *text = getenv("VAIO_SEED");
	char exe[PATH_MAX - 32] = "", object[PATH_MAX];
	int rc;

	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		return 1;
	*strrchr(exe, '/') = 0;
	snprintf(object, sizeof(object), "%s/stall.so", exe);
	preload = object;
	program_at = "../../bin/vaio-replicad";
	more_words[0] = "--queue";
	more_words[1] = "48MiB";
	more_words[2] = "--max-groups";
	more_words[3] = "4";
	seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)getpid() * 7919 + (uint64_t)time(NULL);
	signal(SIGPIPE, SIG_IGN);
	gcry_check_version(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	sources = calloc(GROUPS, sizeof(*sources));
	rc = cmocka_run_group_tests(tests, setup, teardown);
	free(sources);
	return rc;
}
