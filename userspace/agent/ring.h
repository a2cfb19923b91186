/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's ring: Documentation/replication-ring.md. */
#ifndef AGENT_RING_H
#define AGENT_RING_H

#include "agent.h"

struct ring {
	int fd, event_fd;
	struct vaio_repl_bind bound;
	const struct vaio_repl_control *control;
	struct vaio_repl_hints *hints;
	const struct vaio_repl_desc *desc;
	const uint8_t *data;
};

/*
 * Takes the ring of @group. 0; -EBUSY: another process has it; -ENOENT: no such group; other -errno.
 * All with a text. The ring is the process's until it ends.
 */
int ring_bind(struct ring *r, const char *group, struct vr_err *e);

uint64_t ring_published(const struct ring *r);
uint64_t ring_epoch(const struct ring *r);
uint64_t ring_changes(const struct ring *r);
bool ring_tracking(const struct ring *r);

/*
 * The record @seq, which is published, copied; its payload where it lies, NULL without one.
 * -EPROTO: it is not that record, or its payload is not in the data area.
 */
int ring_record(const struct ring *r, uint64_t seq, struct vaio_repl_desc *d, const void **payload, struct vr_err *e);

/* Asks to be woken when @seq is published. True: look again, there is something already. */
bool ring_sleep(struct ring *r, uint64_t seq, uint64_t epoch);

/* The calls; 0 or -errno. -ENOTCONN: the ring is not ours any more. */
int ring_members(struct ring *r, struct vaio_repl_member m[VAIO_REPL_MEMBERS], unsigned int *n);
int ring_start(struct ring *r, uint64_t epoch, const struct vaio_repl_member *m, uint16_t mode, uint64_t *seq);
int ring_stop(struct ring *r, uint64_t epoch);
int ring_durable(struct ring *r, uint64_t epoch, uint64_t upto);
int ring_mark_dirty(struct ring *r, uint16_t member, const struct vaio_rw_range *range, unsigned int n);
int ring_alive(struct ring *r);
int ring_mark(struct ring *r, const char *name, uint64_t *seq);

#endif /* AGENT_RING_H */
