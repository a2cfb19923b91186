// SPDX-License-Identifier: GPL-2.0
/*
 * vaio-agent and vaio-replicad are killed again and again while two disks are written; points are looked at afterwards. What the
 * real kernel does with it is tests/lab/replica-cuts.sh; this is quicker, and has sanitizers.
 */
#include <ctype.h>

#include "agent_flow.h"
#include "revoke.h"

#include "../../userspace/agent/worker.h"

/* --- tests ---------------------------------------------------------------------------------------------------- */

static unsigned int rounds(unsigned int full)
{
	return getenv("VAIO_FULL") && *getenv("VAIO_FULL") ? full : (full + 9) / 10;
}

static void test_kills(void **state)
{
	(void)state;
	start_worker();
	settle();
	assert_int_equal(k->starts[VAIO_REPL_START_FULL], 2);
	for (unsigned int i = 0; i < rounds(300); i++) {
		run_guest(draw(60));
		switch (draw(3)) {
		case 0:
			end_worker(SIGKILL);
			run_guest(draw(10));
			start_worker();
			break;
		case 1:
			end_process(&replicad_pid, SIGKILL);
			run_guest(draw(10));
			start_replicad();
			break;
		case 2:
			kill(worker_pid, SIGHUP);
			break;
		}
	}
	check_all();
	/* each of them went on where it was */
	assert_int_equal(k->gave_up, 0);
	assert_int_equal(k->starts[0] + k->starts[1] + k->starts[2], 2);
}

static enum worker_state state_now(void)
{
	return __atomic_load_n(&shared->figures.state, __ATOMIC_RELAXED);
}

static void until_state(enum worker_state wanted, const char *error)
{
	for (int i = 0; i < 60000 && (state_now() != wanted || !strstr(shared->figures.error, error)); i++)
		usleep(1000);
	if (state_now() != wanted || !strstr(shared->figures.error, error))
		fail_msg("state %d, wanted %d with '%s': %s; see the log in %s", state_now(), wanted, error, shared->figures.error, scratch);
}

/* Nothing was lost, or begun anew. */
static void check_went_on(unsigned int gave_up)
{
	settle();
	assert_int_equal(k->gave_up, gave_up);
	assert_int_equal(k->starts[0] + k->starts[1] + k->starts[2], 2);
	assert_int_equal(k->wrong, 0);
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	check_point("latest", k->image);
	start_replicad();
}

/* SIGHUP: the process that runs goes on with the certificates and the list of revoked ones that are there then. */
static void test_certificates(void **state)
{
	static const char begun[] = "certificates are read again";
	pid_t pid = worker_pid;
	unsigned int gave_up = k->gave_up;
	unsigned int connections;

	(void)state;
	/* it has a connection */
	run_guest(20);
	settle();
	/* one that cannot be read: the old one stays, and so does the connection */
	assert_true(sh("cp pki/vaio/clientcert.pem kept.pem && echo nothing >pki/vaio/clientcert.pem"));
	connections = logged("(CN=client) connected");
	reload(pid, ": the certificates that were there before stay");
	run_guest(20);
	settle();
	assert_int_equal(logged("(CN=client) connected"), connections);
	assert_int_equal(end_process(&replicad_pid, SIGKILL), SIGKILL);
	start_replicad();
	run_guest(20);
	settle();
	/* another one, whose name the replica does not know; first by a process that still waits for the ring */
	assert_int_equal(end_worker(SIGTERM), 0);
	assert_true(sh("cp kept.pem pki/vaio/clientcert.pem"));
	lock();
	k->bound = true;
	unlock();
	start_worker();
	pid = worker_pid;
	for (int i = 0; i < 60000 && !strstr(shared->figures.error, "another process has the ring"); i++)
		usleep(1000);
	assert_non_null(strstr(shared->figures.error, "another process has the ring"));
	assert_true(sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out csr -subj /CN=other && "
		       "openssl x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out other.pem && "
		       "cp other.pem pki/vaio/clientcert.pem && cp pki/vaio/private/clientkey.pem kept.key && cp other.key pki/vaio/private/clientkey.pem"));
	reload(pid, begun);
	lock();
	k->bound = false;
	unlock();
	until_state(W_REFUSED, "'CN=other' may not write");
	assert_true(sh("cp kept.pem pki/vaio/clientcert.pem && cp kept.key pki/vaio/private/clientkey.pem"));
	kill(pid, SIGHUP);
	until_state(W_REPLICATING, "");
	/* and by one that has a connection */
	assert_true(sh("cp other.pem pki/vaio/clientcert.pem && cp other.key pki/vaio/private/clientkey.pem"));
	reload(pid, begun);
	until_state(W_REFUSED, "'CN=other' may not write");
	assert_true(sh("cp kept.pem pki/vaio/clientcert.pem && cp kept.key pki/vaio/private/clientkey.pem"));
	kill(pid, SIGHUP);
	until_state(W_REPLICATING, "");
	/* the replica says once who asks in vain */
	assert_int_equal(logged("(CN=other): refused"), 1);
	/* the replica's is on the list */
	assert_true(sh("cp pki/vaio/servercert.pem server.pem"));
	put_on_list("server");
	kill(pid, SIGHUP);
	until_state(W_CONNECTING, "revoked");
	run_guest(20);
	assert_true(sh("rm pki/CA/cacrl.pem"));
	kill(pid, SIGHUP);
	until_state(W_REPLICATING, "");
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	check_went_on(gave_up);
}

/* Guests write until there have been @n connections more. */
static void write_over(unsigned int n)
{
	uint64_t wanted = shared->figures.connections + n;

	for (int i = 0; i < 60000 && shared->figures.connections < wanted; i++)
		run_guest(2);
	if (shared->figures.connections < wanted)
		fail_msg("no new connection; see the log in %s", scratch);
	settle();
}

/* Keys are used for so many records, and so long: a new connection has new ones, and nothing is sent again. */
static void test_new_keys(void **state)
{
	struct key_limits usual = worker_keys;
	unsigned int gave_up = k->gave_up, told = logged("time for new keys");

	(void)state;
	assert_int_equal(usual.ns, 24 * 3600 * SECOND);
	/* RFC 8446, 5.5 */
	assert_true(usual.records <= 23726566);
	settle();
	assert_int_equal(end_worker(SIGTERM), 0);
	worker_keys.records = 30;
	start_worker();
	write_over(6);
	assert_int_equal(end_worker(SIGTERM), 0);
	worker_keys = (struct key_limits){ .records = usual.records, .ns = 1 };
	start_worker();
	write_over(6);
	assert_true(logged("time for new keys") >= told + 10);
	assert_int_equal(end_worker(SIGTERM), 0);
	worker_keys = usual;
	told = logged("time for new keys");
	start_worker();
	run_guest(50);
	check_went_on(gave_up);
	assert_int_equal(logged("time for new keys"), told);
}

/* The ring is given up again and again, also while worker or replica are gone. */
static void test_gaps(void **state)
{
	unsigned int full = k->starts[VAIO_REPL_START_FULL];

	(void)state;
	for (unsigned int i = 0; i < rounds(200); i++) {
		run_guest(draw(40));
		switch (draw(4)) {
		case 0:
			end_worker(SIGKILL);
			lock();
			lose();
			unlock();
			run_guest(draw(20));
			start_worker();
			break;
		case 1:
			end_process(&replicad_pid, SIGKILL);
			run_guest(draw(20));
			lock();
			lose();
			unlock();
			start_replicad();
			break;
		case 2:
			lock();
			lose();
			unlock();
			break;
		case 3:
			settle();
			break;
		}
	}
	check_all();
	/* disks that are known need no more than their dirty blocks */
	assert_int_equal(k->starts[VAIO_REPL_START_FULL], full);
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], 0);
	assert_int_equal(k->stops, 0);
}

/* Asks the replica: a line of JSON, the answer in @answer. */
static void ask(const char *request, char *answer, size_t size)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t at = 0;
	ssize_t n;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_scratch("sock"));
	assert_int_equal(connect(fd, (void *)&addr, sizeof(addr)), 0);
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	while (at < size - 1 && (n = read(fd, answer + at, size - 1 - at)) > 0)
		at += (size_t)n;
	answer[at] = 0;
	close(fd);
	if (!strstr(answer, "\"ok\":true") && !strstr(answer, "\"ok\": true"))
		fail_msg("%s: %s", request, answer);
}

#define GROUP	"\"group\": \"67676767-6767-6767-6767-676767676767\""

static void test_checkpoint(void **state)
{
	struct request r = { .cookie = 7, .kind = VAIO_RW_C_APPLICATION, .flags = VAIO_RW_CF_PIN, .wait_ms = 30000, .name = "lunch" };
	struct answer a = { 0 };
	char text[8192];

	(void)state;
	settle();
	assert_int_equal(send(requests[0], &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(recv(requests[0], &a, sizeof(a), 0), sizeof(a));
	if (!a.seq)
		fail_msg("%s", a.text);
	assert_int_equal(a.cookie, 7);
	assert_true(a.durable);
	ask("{\"do\": \"show\", " GROUP ", \"point\": \"name:lunch\"}\n", text, sizeof(text));
	assert_non_null(strstr(text, "\"pinned\":true"));
	ask("{\"do\": \"release\", " GROUP ", \"name\": \"lunch\"}\n", text, sizeof(text));
	/* without a replica it is told that it is on its way, when the time is over */
	assert_int_equal(end_process(&replicad_pid, SIGKILL), SIGKILL);
	r.cookie = 8;
	r.wait_ms = 300;
	strcpy(r.name, "dinner");
	assert_int_equal(send(requests[0], &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(recv(requests[0], &a, sizeof(a), 0), sizeof(a));
	assert_int_equal(a.cookie, 8);
	assert_false(a.durable);
	start_replicad();
	settle();
	ask("{\"do\": \"show\", " GROUP ", \"point\": \"name:dinner\"}\n", text, sizeof(text));
}

/* Names are used up: who wants one more held hears so, and the group goes on. */
static void test_names_used_up(void **state)
{
	struct request r = { .cookie = 100, .kind = VAIO_RW_C_CRASH, .flags = VAIO_RW_CF_PIN, .wait_ms = 30000 };
	struct answer a = { 0 };
	unsigned int nr = 0;
	char text[128];

	(void)state;
	settle();
	do {
		r.cookie++;
		sprintf(r.name, "held%u", nr);
		assert_int_equal(send(requests[0], &r, sizeof(r), 0), sizeof(r));
		assert_int_equal(recv(requests[0], &a, sizeof(a), 0), sizeof(a));
		assert_int_equal(a.cookie, r.cookie);
	} while (a.seq && ++nr < 300);
	/* one is held since test_checkpoint, one place is a failover's */
	assert_int_equal(nr, 254);
	assert_non_null(strstr(a.text, "is not held"));
	assert_non_null(strstr(a.text, "replica release"));
	run_guest(50);
	settle();
	for (unsigned int i = 0; i < nr; i++) {
		char answer[8192];

		sprintf(text, "{\"do\": \"release\", " GROUP ", \"name\": \"held%u\"}\n", i);
		ask(text, answer, sizeof(answer));
	}
	assert_int_equal(k->gave_up, 0);
}

/* A replica that has no room, and then has. */
static void test_blocked(void **state)
{
	unsigned int older = nr_points;
	char text[8192];

	(void)state;
	settle();
	ask("{\"do\": \"checkpoint\", " GROUP ", \"point\": \"latest\", \"name\": \"hold\", \"pin\": true}\n", text, sizeof(text));
	ask("{\"do\": \"set\", " GROUP ", \"quota_bytes\": 2000000}\n", text, sizeof(text));
	for (int i = 0; i < 20000 && state_now() != W_BLOCKED; i++)
		run_guest(5);
	assert_int_equal(state_now(), W_BLOCKED);
	assert_non_null(strstr(shared->figures.error, "no room"));
	run_guest(20);
	ask("{\"do\": \"set\", " GROUP ", \"quota_bytes\": 0}\n", text, sizeof(text));
	settle();
	for (int i = 0; i < 10000 && state_now() != W_REPLICATING; i++)
		usleep(2000);
	assert_int_equal(state_now(), W_REPLICATING);
	ask("{\"do\": \"release\", " GROUP ", \"name\": \"hold\"}\n", text, sizeof(text));
	/* the oldest ones went first */
	for (unsigned int i = 0; i < older; i++)
		points[i].lost = true;
	check_all();
	assert_int_equal(k->gave_up, 0);
}

/* The store is the copy in "old" again. */
static void put_back(void)
{
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	assert_true(sh("rm -rf store && mv old store"));
	lock();
	lose();		/* the points after the copy are lost, the older ones stay */
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost = true;
	unlock();
}

static bool ctl(const char *words)
{
	char cmd[PATH_MAX + 256], dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", replicad);
	*strrchr(dir, '/') = 0;
	snprintf(cmd, sizeof(cmd), "cd %s && %s/vaioctl replica %s g --socket sock >out 2>&1", scratch, dir, words);
	return !system(cmd);
}

/* The figure of the replica's status, as text: "null", or a number. */
static const char *figure_of(const char *key)
{
	static char line[256], text[64];
	char format[64];
	FILE *f;

	text[0] = 0;
	snprintf(format, sizeof(format), " \"%s\": %%63[^,\n]", key);
	if (!ctl("status --json"))
		return text;
	f = fopen(in_scratch("out"), "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, format, text) != 1)
		;
	fclose(f);
	return text;
}

/* A replica that lost what it had acknowledged; one that is empty. */
static void test_lost_replica(void **state)
{
	unsigned int stops = k->stops;

	(void)state;
	settle();
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	assert_true(sh("rm -rf old && cp -a store old"));
	start_replicad();
	run_guest(50);
	settle();
	put_back();
	start_replicad();
	settle();
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], 2);
	assert_true(k->marked > 0);
	run_guest(20);
	settle();
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	assert_true(sh("rm -rf store/*"));
	start_replicad();
	/* The resync waits for the kernel, and the source has said what it is like: no RPO is not one of 0. */
	for (int i = 0; i < 20000 && atoi(figure_of("dirty_bytes")) <= 0; i++)
		usleep(2000);
	assert_true(atoi(figure_of("dirty_bytes")) > 0);
	assert_string_equal(figure_of("rpo_ns"), "null");
	assert_string_equal(figure_of("rpo_worst_ns"), "null");
	run_guest(10);
	settle();
	for (int i = 0; i < 20000 && !isdigit((unsigned char)*figure_of("rpo_ns")); i++)
		usleep(2000);
	assert_true(isdigit((unsigned char)*figure_of("rpo_ns")) && isdigit((unsigned char)*figure_of("rpo_worst_ns")));
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost = true;
	run_guest(50);
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_FULL], 4);
	assert_true(k->stops <= stops + 2);
}

static void read_generation(struct vr_generation *g)
{
	char line[256];
	FILE *f;

	assert_true(ctl("status --json"));
	f = fopen(in_scratch("out"), "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char id[64];
		unsigned long long n;

		if (sscanf(line, " \"id\": \"%36s\"", id) == 1)
			assert_true(uuid_bytes(id, g->id));
		if (sscanf(line, " \"counter\": %llu", &n) == 1)
			g->counter = n;
		if (sscanf(line, " \"first_seq\": %llu", &n) == 1)
			g->first_seq = n;
	}
	fclose(f);
}

/*
 * A batch ends with a record of the agent's own, and the next one is held back: what was acknowledged is the own record, and the
 * kernel does not take it for the one that is to follow. The replica is put back before the generation
 * that the agent has begun: a GAP is a batch of its own then. A connection that is cut after it loses nothing.
 */
static void test_held_back(void **state)
{
	struct vr_generation g;
	uint64_t durable;

	(void)state;
	settle();
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	assert_true(sh("cp -a store old"));
	start_replicad();
	run_guest(10);
	settle();
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	assert_true(sh("rm -rf store/*"));
	start_replicad();
	run_guest(10);
	settle();
	read_generation(&g);
	assert_int_equal(end_worker(SIGTERM), 0);
	put_back();
	memset(&shared->figures, 0, sizeof(shared->figures));
	group_config.rate = 5;		/* bytes a second */
	start_replicad();
	start_worker();
	for (int i = 0; i < 30000 && __atomic_load_n(&shared->figures.durable_seq, __ATOMIC_RELAXED) != g.first_seq - 1; i++)
		usleep(1000);
	assert_int_equal(shared->figures.durable_seq, g.first_seq - 1);
	lock();
	assert_true(captured());
	durable = k->durable;
	unlock();
	assert_int_equal(durable, k->first - 1);
	assert_int_equal(end_process(&replicad_pid, SIGKILL), SIGKILL);
	group_config.rate = running->rate = 0;
	start_replicad();
	run_guest(20);
	check_all();
}

/* The replica has compared, and says what differs, and the worker dies: nobody has heard of it. */
static void test_lost_answer(void **state)
{
	(void)state;
	settle();
	lock();
	for (unsigned int i = 0; i < 4096; i++)
		k->image[0][8192 + i] ^= 0x5a;
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost = true;
	for (unsigned int b = 0; b < BLOCKS; b++)
		k->check[0][b] = true;
	k->in_resync = put(VAIO_REPL_RESYNC_BEGIN, 0xffff, 0, 0, "", 0, 0);
	assert_true(k->in_resync);
	k->dies = true;
	resync();
	unlock();
	worker_dies();
	start_worker();
	settle();
	check_all();
}

/* All disks are captured; @n CHECKs were put, and are acknowledged. */
static void compared_upto(unsigned int n)
{
	bool done = false;

	for (int i = 0; i < 30000 && !done; i++) {
		lock();
		k->checks_held = n;
		resync();
		done = k->checks >= n && k->durable == k->next - 1;
		unlock();
		usleep(1000);
	}
	if (!done)
		fail_msg("%u of %u CHECKs; see the log in %s", k->checks, n, scratch);
}

/* The group was at the replica, and comes back; the worker is not started. The source was written to meanwhile, which no bitmap tells. */
static void fail_over_and_back(void)
{
	settle();
	assert_true(ctl("failover"));
	run_guest(20);
	assert_int_equal(end_worker(SIGTERM), 0);
	lock();
	lose();
	for (unsigned int i = 0; i < 4096; i++) {
		k->image[0][8192 + i] ^= 0x5a;
		k->image[1][DISK - 4096 + i] ^= 0xa5;
	}
	unlock();
	assert_false(ctl("commit"));
	assert_true(ctl("failback"));
	assert_true(ctl("commit"));
	read_generation(&group_config.generation);
	k->checks = 0;
	k->checks_held = 1;
}

/* What the old source wrote alone is not believed, and the replica becomes equal by comparison. */
static void test_failback(void **state)
{
	unsigned int compared = k->starts[VAIO_REPL_START_CHECK];

	(void)state;
	fail_over_and_back();
	/* lost connections, and agents, in the midst of it do not begin it anew */
	start_worker();
	for (unsigned int n = 1; n < 2 * BLOCKS; n += 8) {
		compared_upto(n);
		if (n / 8 % 2) {
			end_worker(SIGKILL);
			start_worker();
		} else {
			end_process(&replicad_pid, SIGKILL);
			start_replicad();
		}
	}
	k->checks_held = 0;
	settle();
	assert_int_equal(k->checks, 2 * BLOCKS);
	run_guest(30);
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], compared + 2);
}

/* The comparison begins anew, and the agent is killed when the kernel knows of it and the replica does not: it stays one. */
static void test_failback_killed(void **state)
{
	unsigned int compared = k->starts[VAIO_REPL_START_CHECK];

	(void)state;
	fail_over_and_back();
	start_worker();
	compared_upto(1);
	lock();
	lose();
	k->dies_at_start = 2;
	unlock();
	worker_dies();
	k->checks_held = 0;
	start_worker();
	settle();
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], compared + 4);
}

/*
 * The state is that of another machine, as on a host that was made from a copy: the group's process says so, and sends nothing.
 * One that takes that machine's place is compared.
 */
static void test_copied_state(void **state)
{
	unsigned int compared = k->starts[VAIO_REPL_START_CHECK];
	char words[PATH_MAX + 64], agent[PATH_MAX];
	bool ended = false;
	int status = 0;

	(void)state;
	settle();
	assert_int_equal(end_worker(SIGTERM), 0);
	lock();
	lose();
	unlock();
	assert_true(sh("cp g.json kept && sed -i 's/\\(\"host\": *\\)\"......../\\1\"0badcafe/' g.json && ! cmp g.json kept"));
	start_worker();
	for (int i = 0; i < 30000 && !ended; i++) {
		ended = waitpid(worker_pid, &status, WNOHANG) == worker_pid;
		usleep(1000);
	}
	if (!ended)
		fail_msg("the group's process goes on with another machine's state");
	worker_pid = 0;
	k->bound = false;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_RESTART);
	assert_non_null(strstr(shared->figures.error, "--take-over g"));
	run_guest(20);
	snprintf(agent, sizeof(agent), "%s", replicad);
	*strrchr(agent, '/') = 0;
	snprintf(words, sizeof(words), "%s/vaio-agent --state . --take-over g", agent);
	assert_true(sh("%s", words));
	assert_false(sh("%s-and-more", words));
	start_worker();
	settle();
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], compared + 2);
}

/* The kernel begins anew; nobody has its ring. */
static void new_ring(uint8_t id)
{
	lock();
	lose();
	memset(k->ring_id, id, sizeof(k->ring_id));
	k->next = 1;
	k->durable = k->head = k->tail = k->read = k->told = 0;
	k->control.published = 0;
	k->control.epoch = 1;
	k->gap = false;
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].seq = 0;
	unlock();
}

/* The state in /run is lost, or belongs to another ring: a disk that was whole needs its dirty blocks only. */
static void test_new_ring(void **state)
{
	unsigned int bitmap;

	(void)state;
	settle();
	assert_int_equal(end_worker(SIGTERM), 0);
	bitmap = k->starts[VAIO_REPL_START_BITMAP];
	new_ring(0x99);
	run_guest(20);
	start_worker();
	settle();
	run_guest(50);
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_BITMAP], bitmap + 2);
	assert_int_equal(end_worker(SIGTERM), 0);
}

/* A new ring, of a group that has the first disk only. */
static void begin_alone(uint8_t ring)
{
	new_ring(ring);
	k->absent[1] = true;
	start_worker();
	settle();
}

/* The kernel captures a disk that joined, and the agent is killed before it hears of that: the next one knows whose records these are. */
static void test_killed_at_start(void **state)
{
	(void)state;
	/* at an index that no disk had */
	begin_alone(0x9a);
	lock();
	k->absent[1] = false;
	k->dies_at_start = 1;
	changed();
	unlock();
	worker_dies();
	start_worker();
	run_guest(20);
	check_all();
	/* at that of a disk that has left */
	lock();
	assert_true(put(VAIO_REPL_MEMBER_DOWN, 1, 0, 0, "", 0, 1));
	k->captured[1] = false;
	k->uuid[1] = 9;
	k->number[1] = DISKS;
	for (unsigned int i = 0; i < DISK; i++)
		k->image[1][i] = (uint8_t)draw(256);
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost = true;
	k->dies_at_start = 1;
	changed();
	unlock();
	worker_dies();
	start_worker();
	run_guest(20);
	check_all();
	assert_int_equal(end_worker(SIGTERM), 0);
}

/* A disk leaves, and another one joins at its index, after the agent has looked and before it has started it. */
static void test_swapped(void **state)
{
	(void)state;
	begin_alone(0x9b);
	lock();
	k->absent[1] = false;
	k->joins = 10;
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].lost = true;
	changed();
	unlock();
	settle();
	assert_int_equal(k->uuid[1], 10);
	k->number[1] = DISKS + 1;
	run_guest(20);
	check_all();
	assert_int_equal(end_worker(SIGTERM), 0);
}

static void wait_for_state(enum worker_state state)
{
	for (int i = 0; i < 20000 && state_now() != state; i++)
		usleep(2000);
	assert_int_equal(state_now(), state);
}

/* The second disk is started again, and is one that lost data. */
static void damage(void)
{
	lock();
	k->captured[1] = false;
	k->damaged[1] = true;
	if (!k->in_resync)
		assert_true(put(VAIO_REPL_RESYNC_BEGIN, 0xffff, 0, 0, "", 0, 0));
	k->in_resync = true;
	k->control.state = VAIO_REPL_S_RESYNC;
	changed();
	unlock();
	until_state(W_REFUSED, "disk 'd10' is source-damaged");
}

/* Neither resynced over the good copy, nor is its group's history spent on records that no point can have: all wait, and it is said. */
static void test_source_damaged(void **state)
{
	static uint8_t before[DISKS][DISK];
	uint64_t durable;

	(void)state;
	start_worker();
	run_guest(20);
	settle();
	memcpy(before, k->image, sizeof(before));
	damage();
	durable = k->durable;
	run_guest(20);
	/* a new agent, which has captured nothing yet, hears it in answer to HELLO */
	assert_int_equal(end_worker(SIGTERM), 0);
	shared->figures.state = W_STARTING;
	start_worker();
	damage();
	run_guest(20);
	assert_int_equal(k->durable, durable);
	check_point("latest", before);
	/* its administrator gave it its data back */
	lock();
	k->damaged[1] = false;
	changed();
	unlock();
	settle();
	run_guest(20);
	check_all();
	/* or lets the group go on without it */
	damage();
	lock();
	assert_true(put(VAIO_REPL_MEMBER_DOWN, 1, 0, 0, "", 0, 1));
	k->absent[1] = true;
	changed();
	unlock();
	settle();
	wait_for_state(W_REPLICATING);
	assert_string_equal(shared->figures.error, "");
	assert_int_equal(end_worker(SIGTERM), 0);
}

/* The group comes back to disks that are new: all of each is sent, and no connection that is lost on the way makes that too little. */
static void test_failback_new_disks(void **state)
{
	unsigned int full = k->starts[VAIO_REPL_START_FULL], compared = k->starts[VAIO_REPL_START_CHECK];
	bool begun = false;

	(void)state;
	start_worker();
	fail_over_and_back();
	lock();
	k->checks_held = 0;
	for (uint16_t d = 0; d < DISKS; d++) {
		k->absent[d] = k->damaged[d] = false;
		k->uuid[d] = (uint8_t)(30 + d);
		k->number[d] = (uint16_t)(DISKS + 2 + d);
	}
	unlock();
	start_worker();
	/* that they are sent is durable, and the kernel gives up */
	for (int i = 0; i < 30000 && !begun; i++) {
		lock();
		begun = captured() && k->durable == k->next - 1;
		unlock();
		usleep(2000);
	}
	if (!begun)
		fail_msg("it does not begin: %s; see the log in %s", shared->figures.error, scratch);
	lock();
	lose();
	unlock();
	settle();
	run_guest(20);
	check_all();
	assert_int_equal(k->starts[VAIO_REPL_START_FULL], full + 2);
	assert_int_equal(k->starts[VAIO_REPL_START_CHECK], compared);
	assert_int_equal(end_worker(SIGTERM), 0);
}

int main(void)
{
	const char *given = getenv("VAIO_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_new_keys),
		cmocka_unit_test(test_checkpoint),
		cmocka_unit_test(test_names_used_up),
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_lost_replica),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_lost_answer),
		cmocka_unit_test(test_failback),
		cmocka_unit_test(test_failback_killed),
		cmocka_unit_test(test_copied_state),
		cmocka_unit_test(test_new_ring),
		cmocka_unit_test(test_killed_at_start),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_source_damaged),
		cmocka_unit_test(test_failback_new_disks),
	};

	seed = given && *given ? (unsigned int)atoi(given) : (unsigned int)time(NULL);
	if (getenv("VAIO_TEST"))
		cmocka_set_test_filter(getenv("VAIO_TEST"));
	printf("# seed %u\n", seed);
	return cmocka_run_group_tests(tests, setup, teardown);
}
