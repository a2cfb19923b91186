// SPDX-License-Identifier: GPL-2.0
/* Answers of the kernel, whole and malformed. */
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "unit.h"

static struct nl_msg *msg;

static int setup(void **state)
{
	(void)state;
	msg = nlmsg_alloc();
	return !msg;
}

static int teardown(void **state)
{
	(void)state;
	nlmsg_free(msg);
	return 0;
}

static struct nlattr *head(void)
{
	return nlmsg_data(nlmsg_hdr(msg));
}

static int len(void)
{
	return nlmsg_datalen(nlmsg_hdr(msg));
}

static void put_pair(int type, const char *name, const char *value)
{
	struct nlattr *nest = nla_nest_start(msg, type);

	nla_put_string(msg, VAIO_A_PROP_NAME, name);
	nla_put_string(msg, VAIO_A_PROP_VALUE, value);
	nla_nest_end(msg, nest);
}

static void test_disk(void **state)
{
	struct vaio_disk_info d;
	struct nlattr *nest;

	(void)state;
	nla_put_string(msg, VAIO_A_DISK_UUID, "0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49");
	nla_put_string(msg, VAIO_A_DISK_NAME, "vm1");
	nla_put_u64(msg, VAIO_A_DISK_SECTORS, 1ULL << 40);
	nla_put_u64(msg, VAIO_A_DISK_DEV, 254ULL << 32 | 7);
	nla_put_u32(msg, VAIO_A_DISK_STATE, VAIO_DISK_DEGRADED);
	nla_put_string(msg, VAIO_A_DISK_REASON, "no space");
	nest = nla_nest_start(msg, VAIO_A_DISK_SLOT);
	nla_put_string(msg, VAIO_A_SLOT_FILTER, "match");
	nla_put_u32(msg, VAIO_A_SLOT_CLASS, VAIO_CLASS_INSPECTION);
	nla_put_string(msg, VAIO_A_SLOT_STATE, "started");
	put_pair(VAIO_A_SLOT_PROPERTY, "pattern", "dead");
	put_pair(VAIO_A_SLOT_PROPERTY, "action", "fail");
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, VAIO_A_DISK_SLOT);
	nla_put_string(msg, VAIO_A_SLOT_FILTER, "crypt");
	nla_put_u32(msg, VAIO_A_SLOT_CLASS, VAIO_CLASS_ENCRYPTION);
	nla_nest_end(msg, nest);

	assert_int_equal(vaio_decode_disk(head(), len(), &d), 0);
	assert_string_equal(d.name, "vm1");
	assert_int_equal(d.sectors, 1ULL << 40);
	assert_int_equal(d.dev, 254ULL << 32 | 7);
	assert_string_equal(d.reason, "no space");
	assert_int_equal(d.n_slots, 2);
	assert_string_equal(d.slots[0].filter, "match");
	assert_int_equal(d.slots[0].n_props, 2);
	assert_string_equal(d.slots[0].props[1].value, "fail");
	assert_int_equal(d.slots[1].class, VAIO_CLASS_ENCRYPTION);
	vaio_disk_info_free(&d);
}

static void test_stats(void **state)
{
	uint64_t hist[VAIO_HIST_BUCKETS + 4] = { 5, 6 };
	struct vaio_stats s;
	struct nlattr *nest;

	(void)state;
	hist[VAIO_HIST_BUCKETS - 1] = 9;
	nla_put_string(msg, VAIO_A_STATS_NAME, "vm1");
	nest = nla_nest_start(msg, VAIO_A_STATS_KIND);
	nla_put_u32(msg, VAIO_A_KSTATS_KIND, VAIO_KIND_FLUSH);
	nla_put_u64(msg, VAIO_A_KSTATS_COUNT, 12);
	nla_nest_end(msg, nest);
	/* A kind that a newer kernel may have. */
	nest = nla_nest_start(msg, VAIO_A_STATS_KIND);
	nla_put_u32(msg, VAIO_A_KSTATS_KIND, 77);
	nla_put_u64(msg, VAIO_A_KSTATS_COUNT, 13);
	nla_nest_end(msg, nest);
	/* More buckets than we know, and in a slot fewer. */
	nla_put(msg, VAIO_A_STATS_LATENCY, sizeof(hist), hist);
	nest = nla_nest_start(msg, VAIO_A_STATS_SLOT);
	nla_put_string(msg, VAIO_A_SSTATS_FILTER, "match");
	nla_put_u64(msg, VAIO_A_SSTATS_DEFERRED, 3);
	nla_put(msg, VAIO_A_SSTATS_DEFER_LATENCY, 16, hist);
	put_pair(VAIO_A_SSTATS_COUNTER, "matched", "4");
	nla_nest_end(msg, nest);

	assert_int_equal(vaio_decode_stats(head(), len(), &s), 0);
	assert_int_equal(s.kind[VAIO_KIND_FLUSH].count, 12);
	assert_int_equal(s.kind[VAIO_KIND_READ].count, 0);
	assert_true(s.has_latency);
	assert_int_equal(s.latency[VAIO_HIST_BUCKETS - 1], 9);
	assert_int_equal(s.n_slots, 1);
	assert_int_equal(s.slots[0].deferred, 3);
	assert_true(s.slots[0].has_latency);
	assert_int_equal(s.slots[0].latency[1], 6);
	assert_int_equal(s.slots[0].latency[2], 0);
	assert_string_equal(s.slots[0].counters[0].value, "4");
	vaio_stats_free(&s);
}

static void test_event(void **state)
{
	struct vaio_event_info ev;

	(void)state;
	nla_put_u64(msg, VAIO_A_EVENT_TOKEN, 42);
	nla_put_u32(msg, VAIO_A_EVENT_STATUS, VAIO_EVENT_REFUSED);
	nla_put_u32(msg, VAIO_A_EVENT_ERROR, (uint32_t)-16);
	nla_put_string(msg, VAIO_A_EVENT_FILTER, "match");
	nla_put_u32(msg, VAIO_A_EVENT_SEQ, 7);
	assert_int_equal(vaio_decode_event(head(), len(), &ev), 0);
	assert_int_equal(ev.token, 42);
	assert_int_equal(ev.error, -16);
	assert_true(ev.has_seq && ev.seq == 7);
	assert_string_equal(ev.filter, "match");
}

static void test_malformed(void **state)
{
	char long_name[400];
	struct vaio_disk_info d;
	struct vaio_filter_info f;
	struct nlattr *nest;

	(void)state;
	/* A string without its end and too long, numbers too short. */
	memset(long_name, 'x', sizeof(long_name));
	nla_put(msg, VAIO_A_DISK_NAME, sizeof(long_name), long_name);
	nla_put(msg, VAIO_A_DISK_SECTORS, 3, long_name);
	nla_put(msg, VAIO_A_DISK_STATE, 0, NULL);
	nest = nla_nest_start(msg, VAIO_A_DISK_SLOT);
	nla_put(msg, VAIO_A_SLOT_FILTER, 0, NULL);
	nla_nest_end(msg, nest);
	assert_int_equal(vaio_decode_disk(head(), len(), &d), 0);
	assert_int_equal(strlen(d.name), VAIO_DEVNAME_LEN - 1);
	assert_int_equal(d.sectors, 0);
	assert_int_equal(d.n_slots, 1);
	assert_string_equal(d.slots[0].filter, "");
	vaio_disk_info_free(&d);
	/* Cut in the middle. */
	assert_int_equal(vaio_decode_disk(head(), 13, &d), 0);
	vaio_disk_info_free(&d);
	assert_int_equal(vaio_decode_filter(head(), 0, &f), 0);
	assert_string_equal(f.name, "");
}

static void test_domain(void **state)
{
	struct vaio_domain d;

	(void)state;
	nla_put_string(msg, VAIO_A_DOMAIN_NAME, "sda");
	nla_put_u32(msg, VAIO_A_DOMAIN_DISKS, 3);
	nla_put_u32(msg, VAIO_A_DOMAIN_WINDOW, 64);
	nla_put_u32(msg, VAIO_A_DOMAIN_IN_FLIGHT, 17);
	nla_put_u32(msg, VAIO_A_DOMAIN_QUEUED, 5);
	nla_put_u8(msg, VAIO_A_DOMAIN_CONTENDED, 1);
	nla_put_u8(msg, VAIO_A_DOMAIN_ROTATIONAL, 0);
	nla_put_u64(msg, VAIO_A_DOMAIN_LATENCY_NS, 1500000);
	nla_put_u64(msg, VAIO_A_DOMAIN_THRESHOLD_NS, 4000000);
	nla_put_u64(msg, VAIO_A_DOMAIN_CAPACITY_IOPS, 5000);
	nla_put_u64(msg, VAIO_A_DOMAIN_RESERVED_IOPS, 600);
	nla_put_u64(msg, VAIO_A_DOMAIN_RESERVED_BYTES, 1ULL << 33);
	assert_int_equal(vaio_decode_domain(head(), len(), &d), 0);
	assert_string_equal(d.name, "sda");
	assert_int_equal(d.disks, 3);
	assert_int_equal(d.window, 64);
	assert_int_equal(d.in_flight, 17);
	assert_int_equal(d.queued, 5);
	assert_true(d.contended);
	assert_false(d.rotational);
	assert_int_equal(d.latency_ns, 1500000);
	assert_int_equal(d.threshold_ns, 4000000);
	assert_int_equal(d.threshold_set_ns, 0);
	assert_int_equal(d.capacity_iops, 5000);
	assert_int_equal(d.capacity_bytes, 0);
	assert_int_equal(d.reserved_iops, 600);
	assert_int_equal(d.reserved_bytes, 1ULL << 33);

	/* attributes that are shorter than they should be */
	nlmsg_free(msg);
	msg = nlmsg_alloc();
	nla_put(msg, VAIO_A_DOMAIN_CONTENDED, 0, NULL);
	nla_put_u8(msg, VAIO_A_DOMAIN_WINDOW, 9);
	nla_put_u32(msg, VAIO_A_DOMAIN_LATENCY_NS, 9);
	assert_int_equal(vaio_decode_domain(head(), len(), &d), 0);
	assert_false(d.contended);
	assert_int_equal(d.window, 0);
	assert_int_equal(d.latency_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
	};

	return cmocka_run_group_tests_name("netlink", tests, NULL, NULL);
}
