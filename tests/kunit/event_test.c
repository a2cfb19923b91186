// SPDX-License-Identifier: GPL-2.0
/*
 * Events: who hears what, in which order, and how each of them ends.
 *
 * A bench is a disk with three filters, a at the top, b and c. What they hear is
 * written down in the order of hearing as a letter and a phase (N, P, C, A):
 * "aPbPcP" is a prepare that all three heard.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/workqueue.h>
#include "core.h"

#define NR_FAKES	3
#define DEADLINE_MS	100
#define PATIENCE	(30 * HZ)	/* ends a hang, asserts no speed */

struct bench;

/**
 * struct fake - a filter on the bench
 * @answer: of its hook, per phase
 * @done_early: calls vaio_event_done() with @early before its hook returns
 * @entered: completed when the hook is entered, if @hold
 * @hold: the hook waits for @release
 * @left: the hook was left
 */
struct fake {
	struct vaio_filter	filter;
	struct vaio_slot	slot;
	struct bench		*bench;
	char			letter;
	int			answer[__VAIO_PHASE_COUNT];
	bool			done_early;
	int			early;
	bool			hold;
	bool			left;
	struct completion	entered;
	struct completion	release;
};

struct bench {
	struct vaio_disk	disk;
	struct fake		fake[NR_FAKES];
	spinlock_t		lock;
	char			heard[128];
	char			arg[VAIO_VALUE_LEN];
};

static int fake_event(struct vaio_slot *slot, const struct vaio_event *event)
{
	struct fake *fake = container_of(slot, struct fake, slot);
	struct bench *bench = fake->bench;
	char word[] = { fake->letter, "NPCA"[event->phase], 0 };

	spin_lock(&bench->lock);
	strlcat(bench->heard, word, sizeof(bench->heard));
	strscpy(bench->arg, event->arg, sizeof(bench->arg));
	spin_unlock(&bench->lock);
	if (fake->hold) {
		complete(&fake->entered);
		wait_for_completion_timeout(&fake->release, PATIENCE);
		WRITE_ONCE(fake->left, true);
	}
	if (fake->done_early)
		vaio_event_done(slot, event->token, fake->early);
	return fake->answer[event->phase];
}

static int event_init(struct kunit *test)
{
	static const enum vaio_class classes[NR_FAKES] = {
		VAIO_CLASS_INSPECTION, VAIO_CLASS_CACHE, VAIO_CLASS_ENCRYPTION,
	};
	static const char *const names[NR_FAKES] = { "fake-a", "fake-b", "fake-c" };
	struct bench *bench = kunit_kzalloc(test, sizeof(*bench), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, bench);
	spin_lock_init(&bench->lock);
	mutex_init(&bench->disk.lock);
	uuid_gen(&bench->disk.uuid);
	strscpy(bench->disk.name, "bench", sizeof(bench->disk.name));
	for (i = 0; i < NR_FAKES; i++) {
		struct fake *fake = &bench->fake[i];

		fake->filter.name = names[i];
		fake->filter.class = classes[i];
		fake->filter.event = fake_event;
		fake->slot.filter = &fake->filter;
		fake->slot.disk = &bench->disk;
		fake->bench = bench;
		fake->letter = 'a' + i;
		init_completion(&fake->entered);
		init_completion(&fake->release);
		bench->disk.slots[classes[i]] = &fake->slot;
	}
	bench->disk.events = vaio_events_new(&bench->disk);
	KUNIT_ASSERT_NOT_NULL(test, bench->disk.events);
	test->priv = bench;
	return 0;
}

static void free_events(struct bench *bench)
{
	int i;

	for (i = 0; i < NR_FAKES; i++)
		complete_all(&bench->fake[i].release);
	if (bench->disk.events)
		vaio_events_free(bench->disk.events);
	bench->disk.events = NULL;
}

static void event_exit(struct kunit *test)
{
	if (test->priv)
		free_events(test->priv);
}

/* Takes a slot off the disk, as the framework does it. */
static void remove_slot(struct bench *bench, struct fake *fake)
{
	mutex_lock(&bench->disk.lock);
	bench->disk.slots[fake->filter.class] = NULL;
	mutex_unlock(&bench->disk.lock);
	vaio_event_forget_slot(&fake->slot);
}

static u64 post(struct kunit *test, enum vaio_event_type type, enum vaio_event_phase phase)
{
	struct bench *bench = test->priv;
	u64 token;

	KUNIT_ASSERT_EQ(test, vaio_event_post(&bench->disk, type, phase, "arg",
					      phase == VAIO_PHASE_PREPARE ? VAIO_EVENT_DEADLINE_MAX : 0,
					      0, &token), 0);
	return token;
}

static u64 prepare_for(struct kunit *test, enum vaio_event_type type, unsigned int deadline_ms)
{
	struct bench *bench = test->priv;
	u64 token;

	KUNIT_ASSERT_EQ(test, vaio_event_post(&bench->disk, type, VAIO_PHASE_PREPARE, NULL,
					      deadline_ms, 0, &token), 0);
	return token;
}

static int end(struct kunit *test, enum vaio_event_type type, enum vaio_event_phase phase, u64 prepare)
{
	struct bench *bench = test->priv;
	u64 token;
	int err = vaio_event_post(&bench->disk, type, phase, NULL, 0, prepare, &token);

	KUNIT_EXPECT_EQ(test, token, prepare);
	return err;
}

/* Looks until the event has this status. */
static struct vaio_event_info wait_for(struct kunit *test, u64 token, enum vaio_event_status status)
{
	unsigned long deadline = jiffies + PATIENCE;
	struct vaio_event_info info = {};

	do {
		KUNIT_ASSERT_EQ(test, vaio_event_find(token, &info), 0);
		if (info.status == status)
			return info;
		usleep_range(500, 1000);
	} while (time_before(jiffies, deadline));
	KUNIT_FAIL(test, "event is %s, %s was wanted", vaio_event_status_name(info.status),
		   vaio_event_status_name(status));
	return info;
}

static bool heard(struct bench *bench, const char *what)
{
	bool same;

	spin_lock(&bench->lock);
	same = !strcmp(bench->heard, what);
	spin_unlock(&bench->lock);
	return same;
}

#define EXPECT_HEARD(bench, what)						\
	KUNIT_EXPECT_TRUE_MSG(test, heard(bench, what), "heard %s, expected %s",	\
			      (bench)->heard, what)

static void entered(struct kunit *test, struct fake *fake)
{
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&fake->entered, PATIENCE), 0);
}

/* Looks until the filters have heard this. */
static void wait_heard(struct kunit *test, const char *what)
{
	unsigned long deadline = jiffies + PATIENCE;
	struct bench *bench = test->priv;

	while (!heard(bench, what) && time_before(jiffies, deadline))
		usleep_range(500, 1000);
	EXPECT_HEARD(bench, what);
}

/* --- one event ------------------------------------------------------------------- */

static void notify_is_told_top_to_bottom(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;
	u64 token = post(test, VAIO_EVENT_VM_START, VAIO_PHASE_NOTIFY);

	info = wait_for(test, token, VAIO_EVENT_DONE);
	EXPECT_HEARD(bench, "aNbNcN");
	KUNIT_EXPECT_EQ(test, info.error, 0);
	KUNIT_EXPECT_STREQ(test, info.name, "bench");
	KUNIT_EXPECT_STREQ(test, info.arg, "arg");
	KUNIT_EXPECT_STREQ(test, bench->arg, "arg");
	KUNIT_EXPECT_TRUE(test, uuid_equal(&info.uuid, &bench->disk.uuid));
	KUNIT_EXPECT_NE(test, info.time_ns, 0);
}

static void notify_cannot_be_refused(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;

	bench->fake[0].answer[VAIO_PHASE_NOTIFY] = -EPERM;
	bench->fake[1].answer[VAIO_PHASE_NOTIFY] = -EIO;
	info = wait_for(test, post(test, VAIO_EVENT_REVERT, VAIO_PHASE_NOTIFY), VAIO_EVENT_DONE);
	EXPECT_HEARD(bench, "aNbNcN");
	KUNIT_EXPECT_EQ(test, info.error, -EPERM);
	KUNIT_EXPECT_STREQ(test, info.filter, "fake-a");
}

static void prepare_and_commit(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	struct vaio_event_info info = wait_for(test, token, VAIO_EVENT_ACCEPTED);

	EXPECT_HEARD(bench, "aPbPcP");
	KUNIT_EXPECT_EQ(test, info.deadline_ms, VAIO_EVENT_DEADLINE_MAX);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), 0);
	wait_for(test, token, VAIO_EVENT_COMMITTED);
	EXPECT_HEARD(bench, "aPbPcPaCbCcC");
	/* once only */
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), -EALREADY);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), -EALREADY);
}

static void abort_goes_bottom_to_top(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token = post(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_PREPARE);

	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_ABORT, token), 0);
	wait_for(test, token, VAIO_EVENT_ABORTED);
	EXPECT_HEARD(bench, "aPbPcPcAbAaA");
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_ABORT, token), -EALREADY);
}

static void refusal_aborts_those_who_accepted(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;
	u64 token;

	bench->fake[2].answer[VAIO_PHASE_PREPARE] = -EPERM;
	token = post(test, VAIO_EVENT_GROW, VAIO_PHASE_PREPARE);
	info = wait_for(test, token, VAIO_EVENT_REFUSED);
	EXPECT_HEARD(bench, "aPbPcPbAaA");
	KUNIT_EXPECT_EQ(test, info.error, -EPERM);
	KUNIT_EXPECT_STREQ(test, info.filter, "fake-c");
	KUNIT_EXPECT_NOT_NULL(test, strstr(info.reason, "fake-c"));
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_GROW, VAIO_PHASE_COMMIT, token), -EALREADY);
}

static void refusal_at_the_top_asks_nobody_else(struct kunit *test)
{
	struct bench *bench = test->priv;

	bench->fake[0].answer[VAIO_PHASE_PREPARE] = -EBUSY;
	wait_for(test, post(test, VAIO_EVENT_GROW, VAIO_PHASE_PREPARE), VAIO_EVENT_REFUSED);
	EXPECT_HEARD(bench, "aP");
}

/* The poster dies between prepare and commit: no commit comes. */
static void deadline_aborts(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;
	u64 token = prepare_for(test, VAIO_EVENT_SNAPSHOT, DEADLINE_MS);

	info = wait_for(test, token, VAIO_EVENT_EXPIRED);
	EXPECT_HEARD(bench, "aPbPcPcAbAaA");
	KUNIT_EXPECT_EQ(test, info.phase, VAIO_PHASE_ABORT);
	KUNIT_EXPECT_EQ(test, info.error, -ETIMEDOUT);
	KUNIT_EXPECT_NOT_NULL(test, strstr(info.reason, "100 ms"));
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), -EALREADY);
	/* and the next one is not in its way */
	wait_for(test, post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), VAIO_EVENT_ACCEPTED);
}

static void disk_without_filters_accepts(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token;
	int i;

	for (i = 0; i < NR_FAKES; i++)
		remove_slot(bench, &bench->fake[i]);
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), 0);
	wait_for(test, token, VAIO_EVENT_COMMITTED);
	EXPECT_HEARD(bench, "");
}

/* --- answers that come later ------------------------------------------------------- */

static void later_answer_accepts(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *b = &bench->fake[1];
	struct vaio_event_info info;
	u64 token;

	b->answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbP");
	KUNIT_ASSERT_EQ(test, vaio_event_find(token, &info), 0);
	KUNIT_EXPECT_EQ(test, info.status, VAIO_EVENT_PENDING);
	/* a commit is too early, an answer of another filter or event is none */
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), -EBUSY);
	vaio_event_done(&bench->fake[0].slot, token, -EIO);
	vaio_event_done(&b->slot, token + 1, -EIO);
	vaio_event_done(&b->slot, token, 0);
	vaio_event_done(&b->slot, token, -EIO);	/* too late */
	info = wait_for(test, token, VAIO_EVENT_ACCEPTED);
	EXPECT_HEARD(bench, "aPbPcP");
	KUNIT_EXPECT_EQ(test, info.error, 0);
}

static void later_answer_refuses(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *c = &bench->fake[2];
	struct vaio_event_info info;
	u64 token;

	c->answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbPcP");
	vaio_event_done(&c->slot, token, -ENOSPC);
	info = wait_for(test, token, VAIO_EVENT_REFUSED);
	EXPECT_HEARD(bench, "aPbPcPbAaA");
	KUNIT_EXPECT_EQ(test, info.error, -ENOSPC);
}

static void answer_may_come_before_the_hook_returns(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *a = &bench->fake[0];
	u64 token;

	a->answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	a->done_early = true;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	EXPECT_HEARD(bench, "aPbPcP");
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), 0);
	wait_for(test, token, VAIO_EVENT_ABORTED);

	a->early = -EROFS;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_for(test, token, VAIO_EVENT_REFUSED);
}

static void answer_that_never_comes_refuses(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;
	u64 token;

	bench->fake[1].answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	token = prepare_for(test, VAIO_EVENT_SNAPSHOT, DEADLINE_MS);
	info = wait_for(test, token, VAIO_EVENT_REFUSED);
	/* the silent one may have begun something: it hears the abort, too */
	EXPECT_HEARD(bench, "aPbPbAaA");
	KUNIT_EXPECT_EQ(test, info.error, -ETIMEDOUT);
	KUNIT_EXPECT_STREQ(test, info.filter, "fake-b");
}

static void abort_may_wait_for_answers(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *b = &bench->fake[1];
	u64 token;

	b->answer[VAIO_PHASE_ABORT] = -EINPROGRESS;
	token = prepare_for(test, VAIO_EVENT_SNAPSHOT, DEADLINE_MS);
	wait_heard(test, "aPbPcPcAbA");
	vaio_event_done(&b->slot, token, 0);
	wait_for(test, token, VAIO_EVENT_EXPIRED);
	EXPECT_HEARD(bench, "aPbPcPcAbAaA");
}

static void abort_while_being_asked(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token;

	bench->fake[1].answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbP");
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), 0);
	wait_for(test, token, VAIO_EVENT_ABORTED);
	EXPECT_HEARD(bench, "aPbPbAaA");
}

static void abort_while_a_hook_runs(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *b = &bench->fake[1];
	u64 token;

	b->hold = true;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	entered(test, b);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), 0);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), -EALREADY);
	complete_all(&b->release);
	wait_for(test, token, VAIO_EVENT_ABORTED);
	EXPECT_HEARD(bench, "aPbPbAaA");
}

/* --- several events ----------------------------------------------------------------- */

static void order_is_kept(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *a = &bench->fake[0];
	u64 last;

	a->hold = true;
	post(test, VAIO_EVENT_VM_START, VAIO_PHASE_NOTIFY);
	entered(test, a);
	post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	last = post(test, VAIO_EVENT_VM_STOP, VAIO_PHASE_NOTIFY);
	EXPECT_HEARD(bench, "aN");
	complete_all(&a->release);
	wait_for(test, last, VAIO_EVENT_DONE);
	EXPECT_HEARD(bench, "aNbNcNaPbPcPaNbNcN");
}

static void one_prepare_of_a_type(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), other;

	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	KUNIT_EXPECT_EQ(test, vaio_event_post(&bench->disk, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE,
					      "", 0, 0, &other), -EBUSY);
	KUNIT_EXPECT_EQ(test, other, token);
	other = post(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_PREPARE);
	KUNIT_EXPECT_NE(test, other, token);
	wait_for(test, other, VAIO_EVENT_ACCEPTED);
	/* a token belongs to a type */
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, other), -ENOENT);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), 0);
	wait_for(test, token, VAIO_EVENT_COMMITTED);
	wait_for(test, post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), VAIO_EVENT_ACCEPTED);
}

/* A filter that takes its time with one event must not keep another's I/O waiting. */
static void abort_overtakes_a_wait(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *a = &bench->fake[0];
	u64 snapshot = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), migrate;

	wait_for(test, snapshot, VAIO_EVENT_ACCEPTED);
	a->answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	migrate = post(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbPcPaP");
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, snapshot), 0);
	wait_for(test, snapshot, VAIO_EVENT_ABORTED);
	EXPECT_HEARD(bench, "aPbPcPaPcAbAaA");
	vaio_event_done(&a->slot, migrate, 0);
	wait_for(test, migrate, VAIO_EVENT_ACCEPTED);
	EXPECT_HEARD(bench, "aPbPcPaPcAbAaAbPcP");
}

static void queue_is_bounded(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *a = &bench->fake[0];
	u64 token;
	int i;

	a->hold = true;
	post(test, VAIO_EVENT_VM_START, VAIO_PHASE_NOTIFY);
	entered(test, a);
	for (i = 1; i < 64; i++)
		post(test, VAIO_EVENT_VM_STOP, VAIO_PHASE_NOTIFY);
	KUNIT_EXPECT_EQ(test, vaio_event_post(&bench->disk, VAIO_EVENT_VM_STOP, VAIO_PHASE_NOTIFY, "",
					      0, 0, &token), -EBUSY);
	KUNIT_EXPECT_EQ(test, token, 0);
}

static void ended_events_are_bounded(struct kunit *test)
{
	struct vaio_event_info info;
	u64 first = 0, last = 0;
	int i;

	for (i = 1; i <= 1100; i++) {
		last = post(test, VAIO_EVENT_VM_START, VAIO_PHASE_NOTIFY);
		if (!first)
			first = last;
		if (i % 50 == 0)	/* the queue's bound is another test's */
			wait_for(test, last, VAIO_EVENT_DONE);
	}
	KUNIT_EXPECT_EQ(test, vaio_event_find(first, &info), -ENOENT);
	KUNIT_EXPECT_EQ(test, vaio_event_find(last - 1000, &info), 0);
	KUNIT_EXPECT_EQ(test, info.status, VAIO_EVENT_DONE);
}

static void wrong_posts_are_refused(struct kunit *test)
{
	static char long_arg[VAIO_VALUE_LEN + 1];
	struct bench *bench = test->priv;
	const struct {
		int type, phase;
		const char *arg;
		unsigned int deadline_ms;
		u64 prepare;
		int err;
	} cases[] = {
		{ __VAIO_EVENT_COUNT, VAIO_PHASE_NOTIFY, "", 0, 0, -EINVAL },
		{ -1, VAIO_PHASE_NOTIFY, "", 0, 0, -EINVAL },
		{ VAIO_EVENT_GROW, __VAIO_PHASE_COUNT, "", 0, 0, -EINVAL },
		{ VAIO_EVENT_ATTACH, VAIO_PHASE_PREPARE, "", 0, 0, -EINVAL },
		{ VAIO_EVENT_VM_START, VAIO_PHASE_COMMIT, "", 0, 1, -EINVAL },
		{ VAIO_EVENT_STATE, VAIO_PHASE_PREPARE, "", 0, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_NOTIFY, long_arg, 0, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_NOTIFY, "", 1000, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_NOTIFY, "", 0, 1, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_PREPARE, "", 99, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_PREPARE, "", 600001, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_PREPARE, "", 1000, 1, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_COMMIT, "", 0, 0, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_COMMIT, "x", 0, 1, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_ABORT, "", 1000, 1, -EINVAL },
		{ VAIO_EVENT_GROW, VAIO_PHASE_COMMIT, "", 0, 1, -ENOENT },
		{ VAIO_EVENT_GROW, VAIO_PHASE_ABORT, "", 0, ~0ULL, -ENOENT },
	};
	u64 token, notified = post(test, VAIO_EVENT_GROW, VAIO_PHASE_NOTIFY);
	int i;

	memset(long_arg, 'x', VAIO_VALUE_LEN);
	wait_for(test, notified, VAIO_EVENT_DONE);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, vaio_event_post(&bench->disk, cases[i].type, cases[i].phase,
							  cases[i].arg, cases[i].deadline_ms,
							  cases[i].prepare, &token),
				    cases[i].err, "case %d", i);
	/* a notify is no prepare */
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_GROW, VAIO_PHASE_COMMIT, notified), -ENOENT);
	EXPECT_HEARD(bench, "aNbNcN");
}

static void another_disk_cannot_commit(struct kunit *test)
{
	struct vaio_disk *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	u64 token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), t;

	KUNIT_ASSERT_NOT_NULL(test, other);
	mutex_init(&other->lock);
	uuid_gen(&other->uuid);
	other->events = vaio_events_new(other);
	KUNIT_ASSERT_NOT_NULL(test, other->events);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	KUNIT_EXPECT_EQ(test, vaio_event_post(other, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, "", 0,
					      token, &t), -ENOENT);
	vaio_events_free(other->events);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), 0);
}

/* --- slots and disks that go ---------------------------------------------------------- */

struct forget_work {
	struct work_struct	work;
	struct bench		*bench;
	struct fake		*fake;
	struct completion	started;
	bool			hook_had_left;
};

static void forget_fn(struct work_struct *work)
{
	struct forget_work *w = container_of(work, struct forget_work, work);

	complete(&w->started);
	remove_slot(w->bench, w->fake);
	w->hook_had_left = READ_ONCE(w->fake->left);
}

static void forgetting_waits_for_the_hook(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct forget_work w = { .bench = bench, .fake = &bench->fake[1] };
	u64 token;

	w.fake->hold = true;
	w.fake->answer[VAIO_PHASE_PREPARE] = -EPERM;	/* has no say any more when it returns */
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	entered(test, w.fake);

	INIT_WORK_ONSTACK(&w.work, forget_fn);
	init_completion(&w.started);
	schedule_work(&w.work);
	wait_for_completion(&w.started);
	/* until the slot is off the disk, which forget_fn does first */
	while (READ_ONCE(bench->disk.slots[w.fake->filter.class]))
		usleep_range(500, 1000);
	complete_all(&w.fake->release);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	KUNIT_EXPECT_TRUE(test, w.hook_had_left);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	EXPECT_HEARD(bench, "aPbPcP");
}

static void forgotten_slot_hears_nothing(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);

	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	remove_slot(bench, &bench->fake[1]);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_COMMIT, token), 0);
	wait_for(test, token, VAIO_EVENT_COMMITTED);
	EXPECT_HEARD(bench, "aPbPcPaCcC");
	wait_for(test, post(test, VAIO_EVENT_VM_STOP, VAIO_PHASE_NOTIFY), VAIO_EVENT_DONE);
	EXPECT_HEARD(bench, "aPbPcPaCcCaNcN");
}

static void forgotten_slot_is_not_waited_for(struct kunit *test)
{
	struct bench *bench = test->priv;
	u64 token;

	bench->fake[1].answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbP");
	remove_slot(bench, &bench->fake[1]);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	EXPECT_HEARD(bench, "aPbPcP");
}

static void new_slot_does_not_hear_of_an_old_prepare(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct fake *b = &bench->fake[1];
	u64 token;

	remove_slot(bench, b);
	token = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE);
	wait_for(test, token, VAIO_EVENT_ACCEPTED);
	mutex_lock(&bench->disk.lock);
	bench->disk.slots[b->filter.class] = &b->slot;
	mutex_unlock(&bench->disk.lock);
	KUNIT_EXPECT_EQ(test, end(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_ABORT, token), 0);
	wait_for(test, token, VAIO_EVENT_ABORTED);
	EXPECT_HEARD(bench, "aPcPcAaA");
}

static void end_of_the_disk_ends_all(struct kunit *test)
{
	struct bench *bench = test->priv;
	struct vaio_event_info info;
	u64 accepted = post(test, VAIO_EVENT_SNAPSHOT, VAIO_PHASE_PREPARE), awaited, queued;
	int i;

	wait_for(test, accepted, VAIO_EVENT_ACCEPTED);
	bench->fake[0].answer[VAIO_PHASE_PREPARE] = -EINPROGRESS;
	awaited = post(test, VAIO_EVENT_MIGRATE, VAIO_PHASE_PREPARE);
	wait_heard(test, "aPbPcPaP");
	queued = post(test, VAIO_EVENT_VM_STOP, VAIO_PHASE_NOTIFY);
	for (i = 0; i < NR_FAKES; i++)
		bench->disk.slots[bench->fake[i].filter.class] = NULL;
	free_events(bench);

	KUNIT_EXPECT_EQ(test, vaio_event_find(accepted, &info), 0);
	KUNIT_EXPECT_EQ(test, info.status, VAIO_EVENT_ABORTED);
	KUNIT_EXPECT_EQ(test, info.error, -ENODEV);
	KUNIT_EXPECT_EQ(test, vaio_event_find(awaited, &info), 0);
	KUNIT_EXPECT_EQ(test, info.status, VAIO_EVENT_ABORTED);
	KUNIT_EXPECT_EQ(test, vaio_event_find(queued, &info), 0);
	KUNIT_EXPECT_EQ(test, info.status, VAIO_EVENT_DONE);
	KUNIT_EXPECT_EQ(test, info.error, -ENODEV);
	EXPECT_HEARD(bench, "aPbPcPaP");
}

static void words(struct kunit *test)
{
	int i;

	for (i = 0; i < __VAIO_EVENT_COUNT; i++)
		KUNIT_EXPECT_EQ(test, vaio_event_type_from_name(vaio_event_type_name(i)), i);
	for (i = 0; i < __VAIO_PHASE_COUNT; i++)
		KUNIT_EXPECT_EQ(test, vaio_event_phase_from_name(vaio_event_phase_name(i)), i);
	KUNIT_EXPECT_LT(test, vaio_event_type_from_name("snap"), 0);
	KUNIT_EXPECT_LT(test, vaio_event_phase_from_name(""), 0);
	KUNIT_EXPECT_STREQ(test, vaio_event_type_name(-1), "unknown");
	KUNIT_EXPECT_STREQ(test, vaio_event_status_name(VAIO_EVENT_DONE), "done");
}

static struct kunit_case event_cases[] = {
	KUNIT_CASE(notify_is_told_top_to_bottom),
	KUNIT_CASE(notify_cannot_be_refused),
	KUNIT_CASE(prepare_and_commit),
	KUNIT_CASE(abort_goes_bottom_to_top),
	KUNIT_CASE(refusal_aborts_those_who_accepted),
	KUNIT_CASE(refusal_at_the_top_asks_nobody_else),
	KUNIT_CASE(deadline_aborts),
	KUNIT_CASE(disk_without_filters_accepts),
	KUNIT_CASE(later_answer_accepts),
	KUNIT_CASE(later_answer_refuses),
	KUNIT_CASE(answer_may_come_before_the_hook_returns),
	KUNIT_CASE(answer_that_never_comes_refuses),
	KUNIT_CASE(abort_may_wait_for_answers),
	KUNIT_CASE(abort_while_being_asked),
	KUNIT_CASE(abort_while_a_hook_runs),
	KUNIT_CASE(order_is_kept),
	KUNIT_CASE(one_prepare_of_a_type),
	KUNIT_CASE(abort_overtakes_a_wait),
	KUNIT_CASE(queue_is_bounded),
	KUNIT_CASE_SLOW(ended_events_are_bounded),
	KUNIT_CASE(wrong_posts_are_refused),
	KUNIT_CASE(another_disk_cannot_commit),
	KUNIT_CASE(forgetting_waits_for_the_hook),
	KUNIT_CASE(forgotten_slot_hears_nothing),
	KUNIT_CASE(forgotten_slot_is_not_waited_for),
	KUNIT_CASE(new_slot_does_not_hear_of_an_old_prepare),
	KUNIT_CASE(end_of_the_disk_ends_all),
	KUNIT_CASE(words),
	{}
};

static struct kunit_suite event_suite = {
	.name = "event",
	.init = event_init,
	.exit = event_exit,
	.test_cases = event_cases,
};

kunit_test_suite(event_suite);
