// SPDX-License-Identifier: GPL-2.0
/* Netlink attributes to structures. No sockets here, so that tests can feed it bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/attr.h>
#include <netlink/netlink.h>

#include "netlink.h"
#include "netlink_private.h"

#define MAX_SLOTS	64
#define MAX_PAIRS	256

const char *const vaio_class_names[] = { "inspection", "replication", "cache", "qos", "encryption", NULL };
const char *const vaio_kind_names[] = {
	"read", "write", "write-fua", "flush", "discard", "write-zeroes", "secure-erase", NULL
};
const char *const vaio_disk_state_names[] = {
	"inactive", "active", "suspended", "standby", "degraded", "parked", NULL
};
const char *const vaio_event_type_names[] = {
	"attach", "detach", "vm-start", "vm-stop", "snapshot", "grow", "migrate", "revert", "policy-changed", "state",
	NULL
};
const char *const vaio_event_phase_names[] = { "notify", "prepare", "commit", "abort", NULL };
const char *const vaio_event_status_names[] = {
	"pending", "accepted", "refused", "committed", "aborted", "expired", "done", NULL
};
const char *const vaio_cap_names[] = {
	"changes-payload", "volatile", "own-io", "timestamps", "ends-flush", "sector-units", "carries-payload", NULL
};

_Static_assert(sizeof(vaio_class_names) / sizeof(char *) == __VAIO_CLASS_COUNT + 1, "a word for each class");
_Static_assert(sizeof(vaio_kind_names) / sizeof(char *) == __VAIO_KIND_COUNT + 1, "a word for each kind");
_Static_assert(sizeof(vaio_disk_state_names) / sizeof(char *) == VAIO_DISK_PARKED + 2, "a word for each state");
_Static_assert(sizeof(vaio_event_type_names) / sizeof(char *) == __VAIO_EVENT_COUNT + 1, "a word for each event");
_Static_assert(sizeof(vaio_event_phase_names) / sizeof(char *) == __VAIO_PHASE_COUNT + 1, "a word for each phase");
_Static_assert(sizeof(vaio_event_status_names) / sizeof(char *) == VAIO_EVENT_DONE + 2, "a word for each status");

const char *vaio_word(const char *const *names, uint32_t value)
{
	uint32_t i;

	for (i = 0; names[i]; i++)
		if (i == value)
			return names[i];
	return "?";
}

int vaio_word_value(const char *const *names, const char *word)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], word))
			return i;
	return -1;
}

void vaio_nl_get_str(struct nlattr *a, char *dst, size_t size)
{
	size_t n;

	if (!a)
		return;
	n = strnlen(nla_data(a), (size_t)nla_len(a));
	if (n > size - 1)
		n = size - 1;
	memcpy(dst, nla_data(a), n);
	dst[n] = 0;
}

static uint32_t get_u32(struct nlattr *a)
{
	uint32_t v = 0;

	if (a && nla_len(a) >= (int)sizeof(v))
		memcpy(&v, nla_data(a), sizeof(v));
	return v;
}

static uint8_t get_u8(struct nlattr *a)
{
	return a && nla_len(a) >= 1 ? *(const uint8_t *)nla_data(a) : 0;
}

uint64_t vaio_nl_get_u64(struct nlattr *a)
{
	uint64_t v = 0;

	if (a && nla_len(a) >= (int)sizeof(v))
		memcpy(&v, nla_data(a), sizeof(v));
	return v;
}

static bool get_hist(struct nlattr *a, uint64_t *hist)
{
	size_t n;

	if (!a)
		return false;
	n = (size_t)nla_len(a);
	if (n > VAIO_HIST_BUCKETS * sizeof(*hist))
		n = VAIO_HIST_BUCKETS * sizeof(*hist);
	memcpy(hist, nla_data(a), n);
	return true;
}

int vaio_nl_get_pair(struct nlattr *nest, struct vaio_pair **pairs, unsigned int *n)
{
	struct nlattr *tb[__VAIO_A_PROP_COUNT];
	struct vaio_pair *p;

	if (*n == MAX_PAIRS || nla_parse_nested(tb, __VAIO_A_PROP_COUNT - 1, nest, NULL) < 0)
		return -EINVAL;
	p = realloc(*pairs, (*n + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	*pairs = p;
	p += (*n)++;
	memset(p, 0, sizeof(*p));
	vaio_nl_get_str(tb[VAIO_A_PROP_NAME], p->name, sizeof(p->name));
	vaio_nl_get_str(tb[VAIO_A_PROP_VALUE], p->value, sizeof(p->value));
	return 0;
}

int vaio_decode_filter(struct nlattr *head, int len, struct vaio_filter_info *f)
{
	struct nlattr *tb[__VAIO_A_FILTER_COUNT];

	memset(f, 0, sizeof(*f));
	if (nla_parse(tb, __VAIO_A_FILTER_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	vaio_nl_get_str(tb[VAIO_A_FILTER_NAME], f->name, sizeof(f->name));
	vaio_nl_get_str(tb[VAIO_A_FILTER_VENDOR], f->vendor, sizeof(f->vendor));
	vaio_nl_get_str(tb[VAIO_A_FILTER_VERSION], f->version, sizeof(f->version));
	vaio_nl_get_str(tb[VAIO_A_FILTER_SUMMARY], f->summary, sizeof(f->summary));
	f->class = get_u32(tb[VAIO_A_FILTER_CLASS]);
	f->caps = get_u32(tb[VAIO_A_FILTER_CAPS]);
	f->slots = get_u32(tb[VAIO_A_FILTER_SLOTS]);
	return 0;
}

static int decode_slot(struct nlattr *nest, struct vaio_disk_info *d)
{
	struct nlattr *tb[__VAIO_A_SLOT_COUNT], *a;
	struct vaio_slot_info *s;
	int rem, err = 0;

	if (d->n_slots == MAX_SLOTS || nla_parse_nested(tb, __VAIO_A_SLOT_COUNT - 1, nest, NULL) < 0)
		return -EINVAL;
	s = realloc(d->slots, (d->n_slots + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	d->slots = s;
	s += d->n_slots++;
	memset(s, 0, sizeof(*s));
	vaio_nl_get_str(tb[VAIO_A_SLOT_FILTER], s->filter, sizeof(s->filter));
	vaio_nl_get_str(tb[VAIO_A_SLOT_STATE], s->state, sizeof(s->state));
	s->class = get_u32(tb[VAIO_A_SLOT_CLASS]);
	nla_for_each_nested(a, nest, rem)
		if (nla_type(a) == VAIO_A_SLOT_PROPERTY && !err)
			err = vaio_nl_get_pair(a, &s->props, &s->n_props);
	return err;
}

int vaio_decode_disk(struct nlattr *head, int len, struct vaio_disk_info *d)
{
	struct nlattr *tb[__VAIO_A_DISK_COUNT], *a;
	int rem, err = 0;

	memset(d, 0, sizeof(*d));
	if (nla_parse(tb, __VAIO_A_DISK_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	vaio_nl_get_str(tb[VAIO_A_DISK_UUID], d->uuid, sizeof(d->uuid));
	vaio_nl_get_str(tb[VAIO_A_DISK_NAME], d->name, sizeof(d->name));
	vaio_nl_get_str(tb[VAIO_A_DISK_BACKING], d->backing, sizeof(d->backing));
	vaio_nl_get_str(tb[VAIO_A_DISK_SIDECAR], d->sidecar, sizeof(d->sidecar));
	vaio_nl_get_str(tb[VAIO_A_DISK_REASON], d->reason, sizeof(d->reason));
	d->dev = vaio_nl_get_u64(tb[VAIO_A_DISK_DEV]);
	d->backing_dev = vaio_nl_get_u64(tb[VAIO_A_DISK_BACKING_DEV]);
	d->offset = vaio_nl_get_u64(tb[VAIO_A_DISK_OFFSET]);
	d->sectors = vaio_nl_get_u64(tb[VAIO_A_DISK_SECTORS]);
	d->block_size = get_u32(tb[VAIO_A_DISK_BLOCK_SIZE]);
	d->state = get_u32(tb[VAIO_A_DISK_STATE]);
	nla_for_each_attr(a, head, len, rem)
		if (nla_type(a) == VAIO_A_DISK_SLOT && !err)
			err = decode_slot(a, d);
	if (err)
		vaio_disk_info_free(d);
	return err;
}

static int decode_slot_stats(struct nlattr *nest, struct vaio_stats *st)
{
	struct nlattr *tb[__VAIO_A_SSTATS_COUNT], *a;
	struct vaio_slot_counts *s;
	int rem, err = 0;

	if (st->n_slots == MAX_SLOTS || nla_parse_nested(tb, __VAIO_A_SSTATS_COUNT - 1, nest, NULL) < 0)
		return -EINVAL;
	s = realloc(st->slots, (st->n_slots + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	st->slots = s;
	s += st->n_slots++;
	memset(s, 0, sizeof(*s));
	vaio_nl_get_str(tb[VAIO_A_SSTATS_FILTER], s->filter, sizeof(s->filter));
	s->completed = vaio_nl_get_u64(tb[VAIO_A_SSTATS_COMPLETED]);
	s->failed = vaio_nl_get_u64(tb[VAIO_A_SSTATS_FAILED]);
	s->deferred = vaio_nl_get_u64(tb[VAIO_A_SSTATS_DEFERRED]);
	s->parked = vaio_nl_get_u64(tb[VAIO_A_SSTATS_PARKED]);
	s->own_io = vaio_nl_get_u64(tb[VAIO_A_SSTATS_OWN_IO]);
	s->has_latency = get_hist(tb[VAIO_A_SSTATS_DEFER_LATENCY], s->latency);
	nla_for_each_nested(a, nest, rem)
		if (nla_type(a) == VAIO_A_SSTATS_COUNTER && !err)
			err = vaio_nl_get_pair(a, &s->counters, &s->n_counters);
	return err;
}

int vaio_decode_stats(struct nlattr *head, int len, struct vaio_stats *s)
{
	struct nlattr *tb[__VAIO_A_STATS_COUNT], *k[__VAIO_A_KSTATS_COUNT], *a;
	int rem, err = 0;
	uint32_t kind;

	memset(s, 0, sizeof(*s));
	if (nla_parse(tb, __VAIO_A_STATS_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	vaio_nl_get_str(tb[VAIO_A_STATS_UUID], s->uuid, sizeof(s->uuid));
	vaio_nl_get_str(tb[VAIO_A_STATS_NAME], s->name, sizeof(s->name));
	s->has_latency = get_hist(tb[VAIO_A_STATS_LATENCY], s->latency);
	nla_for_each_attr(a, head, len, rem) {
		if (err)
			break;
		if (nla_type(a) == VAIO_A_STATS_SLOT)
			err = decode_slot_stats(a, s);
		if (nla_type(a) != VAIO_A_STATS_KIND)
			continue;
		if (nla_parse_nested(k, __VAIO_A_KSTATS_COUNT - 1, a, NULL) < 0) {
			err = -EINVAL;
			break;
		}
		kind = get_u32(k[VAIO_A_KSTATS_KIND]);
		if (kind >= __VAIO_KIND_COUNT)
			continue;	/* a newer kernel's */
		s->kind[kind].count = vaio_nl_get_u64(k[VAIO_A_KSTATS_COUNT]);
		s->kind[kind].bytes = vaio_nl_get_u64(k[VAIO_A_KSTATS_BYTES]);
		s->kind[kind].failed = vaio_nl_get_u64(k[VAIO_A_KSTATS_FAILED]);
	}
	if (err)
		vaio_stats_free(s);
	return err;
}

int vaio_decode_event(struct nlattr *head, int len, struct vaio_event_info *ev)
{
	struct nlattr *tb[__VAIO_A_EVENT_COUNT];

	memset(ev, 0, sizeof(*ev));
	if (nla_parse(tb, __VAIO_A_EVENT_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	ev->token = vaio_nl_get_u64(tb[VAIO_A_EVENT_TOKEN]);
	ev->time_ns = vaio_nl_get_u64(tb[VAIO_A_EVENT_TIME_NS]);
	vaio_nl_get_str(tb[VAIO_A_EVENT_UUID], ev->uuid, sizeof(ev->uuid));
	vaio_nl_get_str(tb[VAIO_A_EVENT_NAME], ev->name, sizeof(ev->name));
	vaio_nl_get_str(tb[VAIO_A_EVENT_FILTER], ev->filter, sizeof(ev->filter));
	vaio_nl_get_str(tb[VAIO_A_EVENT_REASON], ev->reason, sizeof(ev->reason));
	vaio_nl_get_str(tb[VAIO_A_EVENT_ARG], ev->arg, sizeof(ev->arg));
	ev->type = get_u32(tb[VAIO_A_EVENT_TYPE]);
	ev->phase = get_u32(tb[VAIO_A_EVENT_PHASE]);
	ev->status = get_u32(tb[VAIO_A_EVENT_STATUS]);
	ev->deadline_ms = get_u32(tb[VAIO_A_EVENT_DEADLINE_MS]);
	ev->error = (int32_t)get_u32(tb[VAIO_A_EVENT_ERROR]);
	ev->has_seq = tb[VAIO_A_EVENT_SEQ] != NULL;
	ev->seq = get_u32(tb[VAIO_A_EVENT_SEQ]);
	return 0;
}

int vaio_decode_domain(struct nlattr *head, int len, struct vaio_domain *d)
{
	struct nlattr *tb[__VAIO_A_DOMAIN_COUNT];

	memset(d, 0, sizeof(*d));
	if (nla_parse(tb, __VAIO_A_DOMAIN_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	vaio_nl_get_str(tb[VAIO_A_DOMAIN_NAME], d->name, sizeof(d->name));
	d->disks = get_u32(tb[VAIO_A_DOMAIN_DISKS]);
	d->window = get_u32(tb[VAIO_A_DOMAIN_WINDOW]);
	d->in_flight = get_u32(tb[VAIO_A_DOMAIN_IN_FLIGHT]);
	d->queued = get_u32(tb[VAIO_A_DOMAIN_QUEUED]);
	d->contended = get_u8(tb[VAIO_A_DOMAIN_CONTENDED]);
	d->rotational = get_u8(tb[VAIO_A_DOMAIN_ROTATIONAL]);
	d->latency_ns = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_LATENCY_NS]);
	d->threshold_ns = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_THRESHOLD_NS]);
	d->threshold_set_ns = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_THRESHOLD_SET_NS]);
	d->capacity_iops = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_CAPACITY_IOPS]);
	d->capacity_bytes = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_CAPACITY_BYTES]);
	d->reserved_iops = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_RESERVED_IOPS]);
	d->reserved_bytes = vaio_nl_get_u64(tb[VAIO_A_DOMAIN_RESERVED_BYTES]);
	return 0;
}

void vaio_disk_info_free(struct vaio_disk_info *d)
{
	unsigned int i;

	for (i = 0; i < d->n_slots; i++)
		free(d->slots[i].props);
	free(d->slots);
	d->slots = NULL;
	d->n_slots = 0;
}

void vaio_disk_infos_free(struct vaio_disk_info *list, unsigned int n)
{
	while (n)
		vaio_disk_info_free(&list[--n]);
	free(list);
}

void vaio_stats_free(struct vaio_stats *s)
{
	unsigned int i;

	for (i = 0; i < s->n_slots; i++)
		free(s->slots[i].counters);
	free(s->slots);
	s->slots = NULL;
	s->n_slots = 0;
}

void vaio_stats_list_free(struct vaio_stats *list, unsigned int n)
{
	while (n)
		vaio_stats_free(&list[--n]);
	free(list);
}
