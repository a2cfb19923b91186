/* SPDX-License-Identifier: GPL-2.0 */
/* What a store contains, as JSON: for vaio-replicad's answers, and for those who read a store without it. */
#ifndef LIBREPLICA_REPORT_H
#define LIBREPLICA_REPORT_H

#include <jansson.h>

#include "store.h"

/* All return a new reference; times are in nanoseconds since 1970, sizes in bytes. NULL: no memory, or @e's text. */

/* {"uuid", "name", "disks": [...], "durable_seq", "history_ns", "retain_ns", ...}; no state of connections. */
json_t *vr_report_store(struct vr_store *st);

/* {"stretches": [{"kind", "first_seq", ...}], "names": [{"name", "seq", "time_ns", "kind", "pinned"}]} */
json_t *vr_report_points(struct vr_store *st, uint64_t before, unsigned int limit, struct vr_err *e);

json_t *vr_report_point(const struct vr_point *p);

/* Of what came from elsewhere: cleaned, as text.h has it. */
json_t *vr_report_text(const char *text);

/* "crash", "filesystem" or "application", and back; 0: none of them. */
const char *vr_checkpoint_kind_name(uint32_t kind);
uint32_t vr_checkpoint_kind(const char *name);

/* "ready", "failover", "permanent", "failback" or "commit". */
const char *vr_failover_name(uint32_t state);

#endif /* LIBREPLICA_REPORT_H */
