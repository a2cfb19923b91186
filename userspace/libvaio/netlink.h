/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The generic netlink family "vaio" as C calls. Answers are structures of their
 * own; what the kernel sent beyond a fixed limit is dropped, never trusted.
 */
#ifndef LIBVAIO_NETLINK_H
#define LIBVAIO_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/vaio.h>

#include "err.h"

struct nlattr;
struct vaio_nl;

struct vaio_host {
	char version[64];
	bool exclusive;
	uint32_t filters, disks;
};

struct vaio_filter_info {
	char name[VAIO_NAME_LEN], vendor[64], version[64], summary[VAIO_REASON_LEN];
	uint32_t class, caps, slots;
};

struct vaio_pair {
	char name[VAIO_NAME_LEN], value[VAIO_VALUE_LEN];
};

struct vaio_slot_info {
	char filter[VAIO_NAME_LEN], state[VAIO_NAME_LEN];
	uint32_t class;
	unsigned int n_props;
	struct vaio_pair *props;
};

struct vaio_disk_info {
	char uuid[VAIO_UUID_STR_LEN], name[VAIO_DEVNAME_LEN];
	char backing[VAIO_DEVNAME_LEN], sidecar[VAIO_DEVNAME_LEN], reason[VAIO_REASON_LEN];
	uint64_t dev, backing_dev;	/* major << 32 | minor */
	uint64_t offset, sectors;	/* 512-byte units */
	uint32_t block_size, state;
	unsigned int n_slots;
	struct vaio_slot_info *slots;
};

struct vaio_kind_stats {
	uint64_t count, bytes, failed;
};

struct vaio_slot_counts {
	char filter[VAIO_NAME_LEN];
	uint64_t completed, failed, deferred, parked, own_io;
	bool has_latency;
	uint64_t latency[VAIO_HIST_BUCKETS];	/* of what it deferred */
	unsigned int n_counters;
	struct vaio_pair *counters;
};

struct vaio_stats {
	char uuid[VAIO_UUID_STR_LEN], name[VAIO_DEVNAME_LEN];
	struct vaio_kind_stats kind[__VAIO_KIND_COUNT];
	bool has_latency;
	uint64_t latency[VAIO_HIST_BUCKETS];
	unsigned int n_slots;
	struct vaio_slot_counts *slots;
};

struct vaio_event_info {
	uint64_t token, time_ns;
	char uuid[VAIO_UUID_STR_LEN], name[VAIO_DEVNAME_LEN];
	uint32_t type, phase, status, deadline_ms, seq;
	bool has_seq;
	char filter[VAIO_NAME_LEN], reason[VAIO_REASON_LEN], arg[VAIO_VALUE_LEN];
	int32_t error;
};

/* Disks on one backing store. */
struct vaio_domain {
	char name[VAIO_NAME_LEN];
	uint32_t disks, window, in_flight, queued;
	bool contended, rotational;
	uint64_t latency_ns, threshold_ns;	/* 0: not known yet */
	uint64_t threshold_set_ns;		/* 0: automatic */
	uint64_t capacity_iops, capacity_bytes;	/* a second; 0: not declared */
	uint64_t reserved_iops, reserved_bytes;
};

/* What to set; 0 takes a setting back. */
struct vaio_domain_set {
	bool has_threshold, has_capacity_iops, has_capacity_bytes;
	uint64_t threshold_ns, capacity_iops, capacity_bytes;
};

/* Words of the ABI's enumerations; NULL past the end. Arrays end with NULL. */
extern const char *const vaio_class_names[];
extern const char *const vaio_kind_names[];
extern const char *const vaio_disk_state_names[];
extern const char *const vaio_event_type_names[];
extern const char *const vaio_event_phase_names[];
extern const char *const vaio_event_status_names[];
extern const char *const vaio_cap_names[];	/* by bit */

/* The word for @value, "?" for values a newer kernel may send. */
const char *vaio_word(const char *const *names, uint32_t value);

/* The value of a word, -1 when unknown. */
int vaio_word_value(const char *const *names, const char *word);

/* Connects; VAIO_NOTFOUND when the vaio module is not loaded. */
int vaio_nl_open(struct vaio_nl **nl, struct vaio_err *e);
void vaio_nl_close(struct vaio_nl *nl);

int vaio_nl_host(struct vaio_nl *nl, struct vaio_host *h, struct vaio_err *e);
int vaio_nl_filters(struct vaio_nl *nl, struct vaio_filter_info **list, unsigned int *n, struct vaio_err *e);

/* @key is a disk's UUID or its device-mapper name. */
int vaio_nl_disk(struct vaio_nl *nl, const char *key, struct vaio_disk_info *d, struct vaio_err *e);
int vaio_nl_disks(struct vaio_nl *nl, struct vaio_disk_info **list, unsigned int *n, struct vaio_err *e);
void vaio_disk_info_free(struct vaio_disk_info *d);
void vaio_disk_infos_free(struct vaio_disk_info *list, unsigned int n);

int vaio_nl_set(struct vaio_nl *nl, const char *key, const char *filter, const char *prop, const char *value,
		struct vaio_err *e);

int vaio_nl_stats(struct vaio_nl *nl, const char *key, struct vaio_stats *s, struct vaio_err *e);
int vaio_nl_stats_all(struct vaio_nl *nl, struct vaio_stats **list, unsigned int *n, struct vaio_err *e);
void vaio_stats_free(struct vaio_stats *s);
void vaio_stats_list_free(struct vaio_stats *list, unsigned int n);

struct vaio_event_post {
	const char *key;	/* disk: UUID or name */
	uint32_t type, phase;
	uint64_t token;		/* of the prepare, for commit and abort */
	uint32_t deadline_ms;	/* 0: the kernel's default */
	const char *arg;	/* NULL: none */
};

int vaio_nl_event_post(struct vaio_nl *nl, const struct vaio_event_post *p, uint64_t *token, struct vaio_err *e);
int vaio_nl_event_get(struct vaio_nl *nl, uint64_t token, struct vaio_event_info *ev, struct vaio_err *e);

/*
 * Waits until the event @token is no longer pending, at most @timeout_ms.
 * Returns VAIO_FAILED with the text "no answer within ..." when it passes.
 */
int vaio_nl_event_wait(struct vaio_nl *nl, uint64_t token, uint64_t timeout_ms, struct vaio_event_info *ev,
		       struct vaio_err *e);

/*
 * Listens: calls @fn for every event until it returns false or @timeout_ms
 * (negative: never) passed. Ends with VAIO_OK in both cases; *@stopped tells
 * which. @lost is called when notifications were lost, and may be NULL.
 * @ready, when not NULL, is called once the subscription stands.
 */
struct vaio_listener {
	bool (*fn)(const struct vaio_event_info *ev, void *ctx);
	void (*lost)(uint32_t from, uint32_t to, void *ctx);
	void (*ready)(void *ctx);
	void *ctx;
};

int vaio_nl_listen(struct vaio_nl *nl, const struct vaio_listener *l, int64_t timeout_ms, bool *stopped,
		   struct vaio_err *e);

int vaio_nl_domains(struct vaio_nl *nl, struct vaio_domain **list, unsigned int *n, struct vaio_err *e);
int vaio_nl_domain(struct vaio_nl *nl, const char *name, struct vaio_domain *d, struct vaio_err *e);
/* Makes the domain if there is none. */
int vaio_nl_domain_set(struct vaio_nl *nl, const char *name, const struct vaio_domain_set *set, struct vaio_err *e);

/* The decoders, for tests: @head and @len are a message's attributes. */
int vaio_decode_filter(struct nlattr *head, int len, struct vaio_filter_info *f);
int vaio_decode_disk(struct nlattr *head, int len, struct vaio_disk_info *d);
int vaio_decode_stats(struct nlattr *head, int len, struct vaio_stats *s);
int vaio_decode_event(struct nlattr *head, int len, struct vaio_event_info *ev);
int vaio_decode_domain(struct nlattr *head, int len, struct vaio_domain *d);

#endif /* LIBVAIO_NETLINK_H */
