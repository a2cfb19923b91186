// SPDX-License-Identifier: GPL-2.0
/*
 * What a group's process of vaio-agent takes of the machine's memory when guests write what they can and the replica does not
 * read: the real process, without sanitizers, which have their own use for memory. All of it is locked, so what it has
 * allocated is what it has. The bounds are those of Documentation/replication.md.
 */
#define NR_DESC		4096
#define DATA		(64U << 20)
#define POINTS		1

#include "agent_flow.h"
#include "process_memory.h"

#define MIB		(1ULL << 20)
#define BOUND		(20 * MIB)	/* beside the ring and what it begins with: batches as these are, of 1 MiB */

#define STACK		(256U << 10)	/* of a thread of the resolver */

/* The process has looked at everything again some times since. */
static void let_it_turn(void)
{
	unsigned int from = atomic_load(&shared->turn);

	for (int i = 0; i < 60000 && atomic_load(&shared->turn) - from < 20; i++)
		usleep(1000);
	assert_true(atomic_load(&shared->turn) - from >= 20);
}

/* Writes of a whole disk, which do not compress, until the ring has no room. */
static unsigned int fill_ring(void)
{
	static uint8_t buf[DISK];
	unsigned int writes = 0;
	bool room = true;

	while (room) {
		for (size_t i = 0; i < sizeof(buf); i += 4)
			memcpy(buf + i, &(uint32_t){ (uint32_t)rand_r(&seed) }, 4);
		lock();
		room = put(VAIO_REPL_WRITE, 0, 0, DISK, buf, DISK, 0);
		if (room)
			memcpy(k->image[0], buf, DISK);
		unlock();
		writes += room;
	}
	return writes;
}

static void test_stalled(void **state)
{
	uint64_t before, most;
	unsigned int writes, more;
	int status = 0;

	(void)state;
	/* without a connection, with the ring */
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	start_worker();
	let_it_turn();
	/* how many threads the resolver makes is its own affair */
	assert_true(k->stack > 0 && k->stack <= STACK);
	before = memory_of(worker_pid, "VmRSS");
	start_replicad();
	settle();
	/* the replica is there, and reads nothing: all its threads have stopped */
	kill(replicad_pid, SIGSTOP);
	assert_int_equal(waitpid(replicad_pid, &status, WUNTRACED), replicad_pid);
	assert_true(WIFSTOPPED(status));
	writes = fill_ring();
	let_it_turn();
	more = fill_ring();
	most = memory_of(worker_pid, "VmHWM");
	/* it is counted once a second */
	for (int i = 0; i < 60000 && shared->figures.backlog_bytes <= DATA / 2; i++)
		usleep(1000);
	assert_true(shared->figures.backlog_bytes > DATA / 2);
	kill(replicad_pid, SIGCONT);
	printf("# %u writes of %u KiB wait, %llu MiB were sent; the process had %llu MiB, has %llu more\n", writes, DISK >> 10,
	       (unsigned long long)(shared->figures.sent_bytes / MIB), (unsigned long long)(before / MIB),
	       (unsigned long long)((most - before) / MIB));
	assert_true(writes > DATA / DISK / 2 && more == 0);
	assert_true(most - before <= BOUND);
	settle();
	assert_true(memory_of(worker_pid, "VmHWM") - before <= BOUND);
	assert_int_equal(end_worker(SIGTERM), 0);
	assert_int_equal(end_process(&replicad_pid, SIGTERM), 0);
	check_point("latest", k->image);
	assert_int_equal(k->gave_up, 0);
}

int main(void)
{
	const char *given = getenv("VAIO_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stalled),
	};

	seed = given && *given ? (unsigned int)atoi(given) : (unsigned int)time(NULL);
	printf("# seed %u\n", seed);
	fflush(stdout);
	replicad_at = "../../bin/vaio-replicad";
	return cmocka_run_group_tests(tests, setup, teardown);
}
