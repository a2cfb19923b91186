// SPDX-License-Identifier: GPL-2.0
/* What agent and replica say to each other: Documentation/replication-wire.md. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "worker.h"

#define REFUSED_MS	40000U	/* before one that refuses is asked again; half of it more at most */

/* --- HELLO ------------------------------------------------------------------------------- */

static uint64_t highest(const struct worker *w)
{
	uint64_t n = w->run->given;

	n = w->run->acked > n ? w->run->acked : n;
	n = w->group.given > n ? w->group.given : n;
	return w->group.acked > n ? w->group.acked : n;
}

static uint64_t acked(const struct worker *w)
{
	return w->run->acked > w->group.acked ? w->run->acked : w->group.acked;
}

/*
 * The kernel does not capture a disk that lost data which the replica has. A point is one of all disks of the group, so none would
 * come while it is in it, and what the others sent would only push out older points: the group waits (Documentation/design.md).
 */
bool session_damaged(const struct worker *w, struct vr_err *e)
{
	for (unsigned int i = 0; i < w->nr_members; i++)
		if (w->member[i].flags & VAIO_REPL_M_DAMAGED) {
			vr_fail(e, 0, "disk '%s' is source-damaged: it lost data that the replica has, and the group has no new points while "
				"it is in it", w->member[i].name);
			return true;
		}
	return false;
}

static uint32_t hello_flags(struct worker *w)
{
	uint32_t flags = w->ring.bound.sync ? VAIO_RW_H_SYNC : 0;
	struct vr_err e;

	if (ring_tracking(&w->ring))
		flags |= VAIO_RW_H_TRACKING;
	if (session_damaged(w, &e))
		flags |= VAIO_RW_H_SOURCE_DAMAGED;
	return flags;
}

int session_hello(struct worker *w, struct vr_err *e)
{
	struct { struct vaio_rw_hello h; struct vaio_rw_generation g[VAIO_RW_MAX_GENERATIONS]; } d;
	const struct group_state *s = &w->group;
	uint64_t boottime_ms = mono_ns() / 1000000;

	ring_members(&w->ring, w->member, &w->nr_members);
	/* Counts on even when the file in /run was lost. */
	w->run->connection = w->run->connection + 1 > boottime_ms ? w->run->connection + 1 : boottime_ms;
	memset(&d, 0, sizeof(d));
	d.h.version_min = d.h.version_max = htole32(VAIO_RW_VERSION);
	memcpy(d.h.group, s->uuid, sizeof(d.h.group));
	memcpy(d.h.host, w->host_id, sizeof(d.h.host));
	memcpy(d.h.boot, w->boot_id, sizeof(d.h.boot));
	memcpy(d.h.ring, w->ring.bound.ring_id, sizeof(d.h.ring));
	d.h.connection = htole64(w->run->connection);
	d.h.next_seq = htole64(highest(w) + 1);
	d.h.acked_seq = htole64(acked(w));
	d.h.first_seq = htole64(acked(w) + 1);
	d.h.flags = htole32(hello_flags(w));
	d.h.nr_generations = htole16((uint16_t)s->nr_generations);
	for (unsigned int i = 0; i < s->nr_generations; i++)
		vr_generation_encode(&s->generation[i], &d.g[i]);
	d.h.generation = d.g[s->nr_generations - 1];
	snprintf((char *)d.h.host_name, sizeof(d.h.host_name), "%s", config.hostname);
	snprintf((char *)d.h.group_name, sizeof(d.h.group_name), "%s", w->name);
	vr_text_clean((char *)d.h.host_name);
	vr_text_clean((char *)d.h.group_name);
	w->session = SESSION_HELLO;
	return link_send(&w->link, VAIO_RW_HELLO, &d, sizeof(d.h) + s->nr_generations * sizeof(*d.g), e);
}

/* --- WELCOME ------------------------------------------------------------------------------- */

/* What the store holds of the disks is not known: all are compared. */
static void distrust_all(struct worker *w)
{
	w->group.nr_trusted = 0;
	w->group_dirty = true;
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++)
		w->run->disk[i].full = 0;
}

/* Which generations the replica has to be told of. */
static int generations(struct worker *w, const struct vaio_rw_welcome *m, bool empty, struct vr_err *e)
{
	struct group_state *g = &w->group;
	struct stream *s = &w->stream;
	unsigned int from = g->nr_generations - 1;

	if (empty) {
		/* A store that was emptied begins a history of its own. */
		if (g->generation_used && group_state_generation(g, highest(w) + 1, e))
			return -EIO;
		from = g->nr_generations - 1;
		w->group_dirty = true;
	} else {
		for (from = 0; from < g->nr_generations; from++)
			if (g->generation[from].counter > le64toh(m->generation.counter))
				break;
		if (from == g->nr_generations && !g->generation_used) {
			g->generation_used = true;
			w->group_dirty = true;
		}
	}
	s->nr_generations = s->next_generation = 0;
	for (; from < g->nr_generations; from++)
		s->generation[s->nr_generations++] = g->generation[from];
	return 0;
}

/* The names of the disks behind the ring's indices. */
static void name_disks(struct worker *w)
{
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct stream_disk *d = &w->stream.disk[i];
		/* Of a disk that is still there the replica may have differences to tell, by this number. */
		int number = memcmp(d->uuid, w->run->disk[i].uuid, sizeof(d->uuid)) ? -1 : d->number;

		memset(d, 0, sizeof(*d));
		d->number = number;
		memcpy(d->uuid, w->run->disk[i].uuid, sizeof(d->uuid));
		/* Guests that are not known to be one are kept apart: no frame mixes their disks. */
		memcpy(d->vm, vr_is_nil(w->config->guest) ? d->uuid : w->config->guest, sizeof(d->vm));
		uuid_text(d->uuid, d->name);
	}
	for (unsigned int i = 0; i < w->nr_members; i++) {
		const struct vaio_repl_member *m = &w->member[i];
		struct stream_disk *d = m->id < VAIO_REPL_MEMBERS ? &w->stream.disk[m->id] : NULL;

		if (!d || memcmp(d->uuid, m->uuid, sizeof(d->uuid)))
			continue;
		memset(d->name, 0, sizeof(d->name));
		memcpy(d->name, m->name, strnlen(m->name, sizeof(d->name) - 1));
		vr_text_clean(d->name);
		d->bytes = m->bytes;
		d->block_size = m->block_size;
		if (m->flags & VAIO_REPL_M_CAPTURED)
			w->started[m->id] = true;
	}
}

static int acknowledge(struct worker *w, uint64_t wire, struct vr_err *e);

/*
 * What the replica found when it compared up to record @ring may have been lost with the connection, or with the agent
 * that heard it: what was not acknowledged yet counts as different.
 */
static int distrust_checks(struct worker *w, uint64_t ring, struct vr_err *e)
{
	for (uint64_t n = w->durable_ring + 1; n <= ring; n++) {
		struct vaio_repl_desc d;
		struct vaio_rw_range range;
		const void *payload;
		int err = ring_record(&w->ring, n, &d, &payload, e);

		if (err)
			return err;
		if (d.type != VAIO_REPL_CHECK)
			continue;
		range.offset = htole64(d.offset);
		range.length = htole64(d.length);
		err = ring_mark_dirty(&w->ring, d.member, &range, 1);
		if (err && err != -ENODEV) {
			worker_unbound(w, err);
			return vr_fail_errno(e, err, "the ring");
		}
	}
	return 0;
}

/*
 * The map of numbers begins anew: those above, if any were given out, are nobody's, and who says he has them is not believed. They
 * stay taken all the same, by what worker_save() wrote.
 */
static void begin_stream(struct worker *w, uint64_t epoch, uint64_t position)
{
	w->run->given = w->stream.history.now.last_seq;
	stream_start(&w->stream, epoch, position);
}

/* Goes on where the last session, of this agent or the one before it, ended. */
static bool resume(struct worker *w, uint64_t wire, struct vr_err *e)
{
	struct stream *s = &w->stream;
	uint64_t epoch = ring_epoch(&w->ring), ring;
	bool gap;

	/* Who has more than was given out has it from somebody else. */
	if (ring_tracking(&w->ring) || s->nr_generations || wire > w->run->given || !seqmap_resume(&w->run->map, epoch, wire, &ring, &gap))
		return false;
	if (ring < w->durable_ring || ring > ring_published(&w->ring)) {
		say(LOG_WARNING, "group %s: the replica has %" PRIu64 ", record %" PRIu64 " of the ring, which begins after %"
		    PRIu64, w->name, wire, ring, w->durable_ring);
		distrust_all(w);
		return false;
	}
	if (distrust_checks(w, ring, e))
		return false;
	begin_stream(w, epoch, ring);
	name_disks(w);
	if (gap) {
		s->gap = true;
		s->gap_reason = VAIO_RW_GAP_LINK;
	} else if (!s->history.now.stretch && seqmap_ring(&w->run->map, epoch, wire)) {
		/* The end of the resync was durable, and nobody heard of it. */
		w->run->gap_since_ns = 0;
	}
	say(LOG_NOTICE, "group %s: goes on after %" PRIu64, w->name, wire);
	return !acknowledge(w, wire, e);
}

static void fresh(struct worker *w, bool compare, bool empty)
{
	struct stream *s = &w->stream;
	int err = ring_stop(&w->ring, ring_epoch(&w->ring));

	if (err && err != -ESTALE)
		worker_unbound(w, err);
	memset(w->started, 0, sizeof(w->started));
	w->changes = 0;
	w->end_seq = 0;
	if (compare) {
		/* Above what was acknowledged once: these numbers were taken. */
		s->gap = true;
		s->gap_reason = VAIO_RW_GAP_REPLICA;
		s->gap_since_ns = 0;
		s->gap_seq = highest(w) + 1;
	} else if (!empty && !w->run->connected) {
		/* The first session of this ring. A GAP is sent when the kernel tells of one, or a disk has to be compared. */
		s->gap_reason = VAIO_RW_GAP_CRASH;
	} else {
		s->gap_reason = VAIO_RW_GAP_AGENT;
	}
	say(LOG_NOTICE, "group %s: begins after %" PRIu64 "%s", w->name, s->history.now.last_seq,
	    compare ? "; the replica lost what it had acknowledged: all is compared" : empty ? ": the store is empty" : "");
}

static int welcome(struct worker *w, const struct vaio_rw_welcome *m, struct vr_err *e)
{
	uint32_t flags = le32toh(m->flags);
	bool empty = flags & VAIO_RW_W_EMPTY, compare = flags & VAIO_RW_W_COMPARE;
	uint64_t wire = le64toh(m->durable_seq);
	int err;

	if (le32toh(m->version) != VAIO_RW_VERSION)
		return vr_fail(e, -EPROTO, "WELCOME: version %u", le32toh(m->version));
	if (le32toh(m->max_batch) < VAIO_RW_MAX_RAW + 65536 || le32toh(m->max_batch_raw) < VAIO_RW_MAX_RAW)
		return vr_fail(e, -EPROTO, "WELCOME: max_batch %u or max_batch_raw %u has no room for a write of 4 MiB",
			       le32toh(m->max_batch), le32toh(m->max_batch_raw));
	/* Numbers go on after it: one that nobody can have come to would leave none. */
	if (wire > VAIO_RW_MAX_SEQ / 2 && wire > highest(w))
		return vr_fail(e, -EPROTO, "WELCOME: durable_seq %" PRIu64 ", %" PRIu64 " was the highest that was sent", wire, highest(w));
	w->window = le32toh(m->window);
	w->max_records = le32toh(m->max_records) < BATCH_RECORDS ? le32toh(m->max_records) : BATCH_RECORDS;
	w->in_flight = w->flight_head = w->flight_tail = 0;
	w->durable_seq = wire;
	w->complete_seq = w->run->complete = le64toh(m->complete_seq);
	stream_welcome(&w->stream, m);
	if (memcmp(w->group.store, m->store, sizeof(m->store)) || empty || compare) {
		memcpy(w->group.store, m->store, sizeof(m->store));
		distrust_all(w);
	}
	err = generations(w, m, empty, e);
	if (err)
		return err;
	if (!empty && w->stream.nr_generations)
		distrust_all(w);
	worker_save(w);
	vr_builder_free(w->builder);
	w->builder = vr_builder_new(w->group.uuid, BATCH_BYTES, w->config->compress);
	if (!w->builder)
		return vr_fail(e, -ENOMEM, "no memory");
	if (empty || compare || !resume(w, wire, e))
		fresh(w, compare, empty);
	w->run->connected++;
	w->session = SESSION_OPEN;
	w->open_ns = mono_ns();
	w->blocked = false;
	w->error[0] = 0;
	w->refused = w->again = w->progress = false;
	for (int i = 0; i < STREAM_MARKS; i++)
		if (w->stream.mark[i].wire > wire)
			w->stream.mark[i].wire = 0;
	session_marks(w, !w->stream.live);
	return 0;
}

/* --- capture ---------------------------------------------------------------------------------- */

void session_epoch(struct worker *w)
{
	struct stream *s = &w->stream;
	uint64_t now = mono_ns(), oldest = 0;

	if (!s->live || ring_epoch(&w->ring) == s->epoch)
		return;
	s->live = false;
	w->run->gaps++;
	/* Without one nobody knows when the first write was that the kernel did not take. */
	if (ring_published(&w->ring) > w->durable_ring)
		oldest = w->ring.desc[(w->durable_ring + 1) & (w->ring.bound.nr_desc - 1)].mono_ns;
	s->gap_since_ns = w->run->gap_since_ns ? w->run->gap_since_ns : oldest;
	if (s->gap_since_ns)
		s->gap_since_ns += (uint64_t)s->time_offset;
	if (!w->run->gap_since_ns)
		w->run->gap_since_ns = oldest && oldest < now ? oldest : now;
	s->gap_reason = w->session == SESSION_OPEN && !w->blocked ? VAIO_RW_GAP_FULL : VAIO_RW_GAP_LINK;
	w->changes = w->late_after = w->end_seq = 0;
	memset(w->started, 0, sizeof(w->started));
	session_marks(w, true);
	say(LOG_WARNING, "group %s: the kernel gave up records: there will be a gap", w->name);
}

/* What START is told of a disk. */
static uint16_t start_mode(struct worker *w, const struct vaio_repl_member *m)
{
	struct vr_member *known = vr_history_disk(&w->stream.history, m->uuid);
	const struct ring_disk *d = &w->run->disk[m->id];

	/* A disk that joins is empty at the replica. */
	if (!known || known->removed)
		return VAIO_REPL_START_FULL;
	if (m->flags & VAIO_REPL_M_COMPARE)
		return VAIO_REPL_START_CHECK;
	if (group_state_trusts(&w->group, m->uuid) || (d->full && !memcmp(d->uuid, m->uuid, sizeof(d->uuid))))
		return VAIO_REPL_START_BITMAP;
	return VAIO_REPL_START_CHECK;
}

/*
 * Before START: a process that is killed right after it leaves records with this index to the next one, which has to know whose they
 * are. What the ring had of the disk that had the index is durable, or given up.
 */
static void name_index(struct worker *w, const struct vaio_repl_member *m)
{
	struct ring_disk *d = &w->run->disk[m->id];

	if (!memcmp(d->uuid, m->uuid, sizeof(d->uuid)))
		return;
	d->full = 0;
	memcpy(d->uuid, m->uuid, sizeof(d->uuid));
}

static void note_start(struct worker *w, const struct vaio_repl_member *m, uint16_t mode, uint64_t epoch, uint64_t seq)
{
	struct ring_disk *d = &w->run->disk[m->id];

	/* From here on the kernel's bitmap says what is missing, as long as this kernel runs. */
	if (mode == VAIO_REPL_START_FULL)
		d->full = 1;
	w->started[m->id] = true;
	if (!w->stream.live) {
		begin_stream(w, epoch, seq - 1);
		w->durable_ring = seq - 1;
	}
	say(LOG_NOTICE, "group %s: %s: %s", w->name, m->name, mode == VAIO_REPL_START_FULL ? "all of it is sent" :
	    mode == VAIO_REPL_START_CHECK ? "it is compared" : "what is dirty is sent");
}

static int start_one(struct worker *w, const struct vaio_repl_member *m, struct vr_err *e)
{
	uint16_t mode = start_mode(w, m);
	uint64_t seq, epoch = ring_epoch(&w->ring);
	int err;

	if (mode != VAIO_REPL_START_BITMAP && group_state_trusts(&w->group, m->uuid)) {
		group_state_trust(&w->group, m->uuid, false);
		w->group_dirty = true;
		worker_save(w);
	}
	if (w->stream.live && epoch != w->stream.epoch)
		return -ESTALE;
	name_index(w, m);
	err = ring_start(&w->ring, epoch, m, mode, &seq);
	if (err == -ENODATA) {
		mode = VAIO_REPL_START_CHECK;
		err = ring_start(&w->ring, epoch, m, mode, &seq);
	}
	if (!err)
		note_start(w, m, mode, epoch, seq);
	else if (worker_unbound(w, err))
		return vr_fail_errno(e, err, "the ring");
	return err;
}

static bool startable(const struct vaio_repl_member *m)
{
	return m->id < VAIO_REPL_MEMBERS && !(m->flags & (VAIO_REPL_M_CAPTURED | VAIO_REPL_M_DOWN | VAIO_REPL_M_DAMAGED));
}

/* Starts what is not captured. -errno only when the session has to end. */
static int start_disks(struct worker *w, struct vr_err *e)
{
	struct stream *s = &w->stream;
	uint64_t bytes = 0;
	bool first = !s->live, bitmap = false;
	unsigned int wait = 0;
	uint32_t kind = 0;
	int err = ring_members(&w->ring, w->member, &w->nr_members);

	w->start_ns = mono_ns();
	if (err)
		return worker_unbound(w, err) ? vr_fail_errno(e, err, "the ring") : 0;
	if (session_damaged(w, e)) {
		if (strcmp(w->error, e->text))
			say(LOG_WARNING, "group %s: %s", w->name, e->text);
		snprintf(w->error, sizeof(w->error), "%s", e->text);
		/* While the replica has no point the others' first copy does no harm. Else it refuses the next HELLO. */
		if (s->history.now.complete_seq) {
			worker_end(w, VAIO_RW_END_RECONNECT, e->text);
			return -ECONNRESET;
		}
	}
	for (unsigned int i = 0; i < w->nr_members; i++) {
		const struct vaio_repl_member *m = &w->member[i];
		uint16_t mode = m->id < VAIO_REPL_MEMBERS ? start_mode(w, m) : VAIO_REPL_START_CHECK;

		wait += startable(m);
		bytes += mode == VAIO_REPL_START_FULL ? m->bytes : m->dirty;
		if (mode == VAIO_REPL_START_CHECK)
			kind = VAIO_RW_S_COMPARE;
		bitmap |= mode == VAIO_REPL_START_BITMAP;
		/* After a crash of the host the kernel knows of no gap; what the disks say tells. */
		if (first && s->history.now.complete_seq && (mode == VAIO_REPL_START_CHECK || m->dirty ||
							     m->flags & VAIO_REPL_M_ALONE))
			s->gap = true;
	}
	if (!wait)
		return 0;
	/* When all of each disk is sent no bitmap is believed, also after a failback. */
	if (!kind)
		kind = bitmap ? VAIO_RW_S_BITMAP : VAIO_RW_S_INITIAL;
	/* Kept for the next process, which may be the one that sends RESYNC_BEGIN. */
	s->resync_kind = w->run->resync_kind = kind;
	s->resync_bytes = w->run->resync_bytes = bytes;
	if (s->gap && !w->run->gap_since_ns)
		w->run->gap_since_ns = mono_ns();
	for (unsigned int i = 0; i < w->nr_members; i++) {
		const struct vaio_repl_member *m = &w->member[i];

		if (!startable(m))
			continue;
		err = start_one(w, m, e);
		if (w->exit >= 0)
			return err;
		if (err && err != -ESTALE && err != -EAGAIN && err != -EALREADY && err != -ENODEV)
			say(LOG_WARNING, "group %s: capture of %s cannot begin: %s", w->name, m->name, strerror(-err));
	}
	name_disks(w);
	return 0;
}

/* A disk that joins waits until all before it is durable: its index may have been another one's. */
static int look_for_disks(struct worker *w, struct vr_err *e)
{
	uint64_t changes = ring_changes(&w->ring);

	if (!w->stream.live) {
		if (changes == w->changes && mono_ns() - w->start_ns < SECOND)
			return 0;
		w->changes = changes;
		return start_disks(w, e);
	}
	if (changes != w->changes) {
		w->changes = changes;
		w->late_after = ring_published(&w->ring);
	}
	if (!w->late_after || w->durable_ring < w->late_after)
		return 0;
	w->late_after = 0;
	return start_disks(w, e);
}

/* --- sending ------------------------------------------------------------------------------------ */

/* All records of a disk that left are given out. */
static void note_record(struct worker *w, const struct vaio_repl_desc *d, const struct stream_item *it)
{
	if (le16toh(it->record.type) == VAIO_RW_R_RESYNC_END)
		w->end_seq = it->seq;
	else if (le16toh(it->record.type) == VAIO_RW_R_RESYNC_BEGIN || le16toh(it->record.type) == VAIO_RW_R_GAP)
		w->end_seq = 0;
	if (!it->consumes)
		return;
	if (d->type == VAIO_REPL_MEMBER_DOWN && d->member < VAIO_REPL_MEMBERS)
		w->started[d->member] = false;
	if (d->type == VAIO_REPL_WRITE)
		w->written_bytes += d->data_len;
}

/* Fills the builder; 0 with nothing, or -errno. */
static int fill_batch(struct worker *w, struct vr_err *e)
{
	struct stream *s = &w->stream;
	uint64_t published = ring_published(&w->ring);
	unsigned int records = 0;

	while (s->position < published && records < w->max_records) {
		struct vaio_repl_desc d;
		struct stream_item it;
		const void *payload;
		int err = ring_record(&w->ring, s->position + 1, &d, &payload, e);

		if (!err)
			err = stream_next(s, &d, payload, &it, e);
		if (err == -ENOSPC)
			break;		/* acknowledgements make room */
		if (!err)
			err = vr_builder_add(w->builder, it.seq, it.generation, &it.record, it.vm, it.payload, it.payload_len);
		if (err == 1)
			break;		/* the batch is full */
		if (!err)
			err = stream_commit(s, &d, &it, e);
		if (err == -ENOMEM)
			vr_fail(e, err, "no memory");
		if (err)
			return err;
		note_record(w, &d, &it);
		w->raw_bytes += it.payload_len;
		records++;
	}
	return (int)records;
}

static bool may_send(struct worker *w)
{
	uint64_t now = mono_ns(), rate = w->config->rate;

	if (!w->stream.live || !link_wants(&w->link) || w->in_flight >= w->window ||
	    w->flight_tail - w->flight_head == FLIGHTS || w->stream.position == ring_published(&w->ring))
		return false;
	if (!rate)
		return true;
	/* A bucket that holds a fifth of a second; what was too much is owed. */
	if (now - w->tokens_ns > SECOND / 1000) {
		uint64_t more = (uint64_t)((double)rate * (double)(now - w->tokens_ns) / 1e9);

		w->tokens = (int64_t)(w->tokens + more) > (int64_t)(rate / 5) ? rate / 5 : w->tokens + more;
		w->tokens_ns = now;
	}
	return (int64_t)w->tokens > 0;
}

static int send_batch(struct worker *w, struct vr_err *e)
{
	void *batch;
	size_t len;
	int n = fill_batch(w, e);

	if (n >= 0 && stream_batch(&w->stream, e))
		n = -EPROTO;
	if (n < 0)
		return n;
	batch = vr_builder_finish(w->builder, &len);
	if (!batch)
		return 0;
	/* Whoever comes after us shall not use these numbers for something else. */
	w->run->given = w->stream.history.now.last_seq;
	w->flight[w->flight_tail++ % FLIGHTS] = (struct flight){ w->stream.history.now.last_seq, (uint32_t)len };
	w->in_flight += len;
	w->sent_bytes += len;
	w->tokens -= len;
	n = link_send_batch(&w->link, w->builder, batch, len, e);
	return n < 0 ? n : 1;
}

int session_pump(struct worker *w, struct vr_err *e)
{
	int rc;

	session_epoch(w);
	if (w->session != SESSION_OPEN || w->blocked)
		return 0;
	rc = look_for_disks(w, e);
	while (!rc && may_send(w)) {
		rc = send_batch(w, e);
		if (rc <= 0)
			break;
		rc = 0;
		link_flush(&w->link);
	}
	return rc < 0 ? rc : 0;
}

/* --- acknowledgements ------------------------------------------------------------------------------ */

/* All disks that were captured then are equal to what the replica has. */
static void resync_ended(struct worker *w)
{
	for (int i = 0; i < VAIO_REPL_MEMBERS; i++)
		if (w->started[i])
			group_state_trust(&w->group, w->run->disk[i].uuid, true);
	w->end_seq = 0;
	w->run->gap_since_ns = 0;
	w->group_dirty = true;
	worker_save(w);
	say(LOG_NOTICE, "group %s: each write is a point from here on", w->name);
}

/* The kernel may forget what the replica has. */
static int acknowledge(struct worker *w, uint64_t wire, struct vr_err *e)
{
	uint64_t ring = w->stream.live ? seqmap_ring(&w->run->map, w->stream.epoch, wire) : 0;
	int err = 0;

	if (wire > w->run->acked)
		w->run->acked = wire;
	/* What was not given out cannot be there, whatever the map says. */
	if (ring > w->stream.position)
		ring = w->stream.position;
	if (ring > w->durable_ring) {
		err = ring_durable(&w->ring, w->stream.epoch, ring);
		if (!err)
			w->durable_ring = ring;
		else if (err == -ESTALE)
			err = 0;	/* given up meanwhile; seen at the next look */
		else
			worker_unbound(w, err);
	}
	if (err)
		return vr_fail_errno(e, err, "acknowledging record %" PRIu64 " of the ring", ring);
	seqmap_prune(&w->run->map, wire);
	return 0;
}

static int durable(struct worker *w, uint64_t wire, uint64_t complete, struct vr_err *e)
{
	int err;

	if (wire > w->stream.history.now.last_seq || wire < w->durable_seq || complete > wire)
		return vr_fail(e, -EPROTO, "DURABLE: %" PRIu64 ", newest point %" PRIu64 ", after %" PRIu64 " of %" PRIu64, wire,
			       complete, w->durable_seq, w->stream.history.now.last_seq);
	worker_rpo(w);
	while (w->flight_head != w->flight_tail && w->flight[w->flight_head % FLIGHTS].last_seq <= wire) {
		w->in_flight -= w->flight[w->flight_head % FLIGHTS].bytes;
		w->acked_bytes += w->flight[w->flight_head++ % FLIGHTS].bytes;
	}
	if (wire > w->durable_seq) {
		w->progress = true;
		w->failures = 0;
	}
	w->durable_seq = wire;
	w->complete_seq = w->run->complete = complete;
	err = acknowledge(w, wire, e);
	if (err)
		return err;
	if (!w->group.generation_used && wire >= w->group.generation[w->group.nr_generations - 1].first_seq) {
		w->group.generation_used = true;
		w->group_dirty = true;
		worker_save(w);
	}
	if (w->end_seq && wire >= w->end_seq)
		resync_ended(w);
	session_marks(w, false);
	return 0;
}

static int diff(struct worker *w, const struct vaio_rw_diff *d, struct vr_err *e)
{
	int index = stream_index(&w->stream, le16toh(d->member)), err;

	if (le64toh(d->seq) > w->stream.history.now.last_seq)
		return vr_fail(e, -EPROTO, "DIFF: record %" PRIu64 " was not sent", (uint64_t)le64toh(d->seq));
	if (index < 0)
		return 0;	/* it left the group meanwhile */
	err = ring_mark_dirty(&w->ring, (uint16_t)index, (const void *)(d + 1), le32toh(d->nr_ranges));
	if (!err || err == -ENODEV)
		return 0;
	if (err == -EINVAL)
		return vr_fail(e, -EPROTO, "DIFF: a range is beyond the disk");
	worker_unbound(w, err);
	return vr_fail_errno(e, err, "the ring");
}

static int ended(struct worker *w, const struct vaio_rw_end *m, struct vr_err *e)
{
	uint32_t code = le32toh(m->code), retry = le32toh(m->retry_ms);

	vr_fail(e, 0, "the replica ended the connection, code %u: %.180s", code, (const char *)m->text);
	w->refused = retry == ~0U && code != VAIO_RW_END_REPLACED;
	w->again = false;
	w->damaged = code == VAIO_RW_END_SOURCE_DAMAGED;
	if (w->damaged)
		session_damaged(w, e);
	if (code == VAIO_RW_END_RECONNECT)
		w->failures = 0;
	/* What its administrator does about it nobody tells us. */
	if (w->refused)
		retry = REFUSED_MS + (unsigned int)random() % REFUSED_MS / 2;
	else if (retry == ~0U)
		retry = 10000;
	w->retry_ns = mono_ns() + retry * 1000000ULL;
	return -ECONNRESET;
}

/* A checkpoint is there, and the replica does not hold it: who asked for that is told so. */
static void not_held(struct worker *w, const struct vaio_rw_not_held *n)
{
	for (int i = 0; i < STREAM_MARKS; i++) {
		struct stream_mark *m = &w->stream.mark[i];
		struct answer a = { .cookie = m->cookie };

		if (!m->ring || m->wire != le64toh(n->seq) || m->told || m->from_replica || !(m->flags & VAIO_RW_CF_PIN))
			continue;
		snprintf(a.text, sizeof(a.text), "the checkpoint is seq:%" PRIu64 ", and is not held: %.200s", m->wire,
			 (const char *)n->text);
		worker_answer(w, &a);
		m->told = true;
	}
}

int session_message(struct worker *w, uint16_t type, size_t len, struct vr_err *e)
{
	const void *p = w->link.message;
	const struct vaio_rw_durable *d = p;
	const struct vaio_rw_blocked *b = p;
	const struct vaio_rw_checkpoint_request *c = p;
	struct vaio_rw_checkpoint_result result;
	struct request r;

	if (type == VAIO_RW_END)
		return ended(w, p, e);
	if (type == VAIO_RW_PING)
		return link_send(&w->link, VAIO_RW_PONG, p, len, e);
	if (type == VAIO_RW_PONG)
		return 0;
	if (w->session == SESSION_HELLO)
		return type == VAIO_RW_WELCOME ? welcome(w, p, e) : vr_fail(e, -EPROTO, "the first message must be a WELCOME");
	switch (type) {
	case VAIO_RW_DURABLE:
		return durable(w, le64toh(d->durable_seq), le64toh(d->complete_seq), e);
	case VAIO_RW_DIFF:
		return diff(w, p, e);
	case VAIO_RW_BLOCKED:
		w->blocked = true;
		snprintf(w->error, sizeof(w->error), "the replica has no room: %.200s", (const char *)b->text);
		say(LOG_WARNING, "group %s: %s", w->name, w->error);
		return le64toh(b->durable_seq) > w->durable_seq ?
		       durable(w, le64toh(b->durable_seq), w->complete_seq, e) : 0;
	case VAIO_RW_UNBLOCKED:
		/* A new connection tells what the replica has; that is all there is to it. */
		worker_end(w, VAIO_RW_END_RECONNECT, "there is room again");
		w->failures = 0;
		return vr_fail(e, -ECONNRESET, "there is room again");
	case VAIO_RW_NOT_HELD:
		not_held(w, p);
		return 0;
	case VAIO_RW_CHECKPOINT_REQUEST:
		memset(&r, 0, sizeof(r));
		r.cookie = le64toh(c->cookie);
		r.kind = le32toh(c->kind);
		r.wait_ms = 60000;
		memcpy(r.name, c->name, sizeof(r.name));
		memset(&result, 0, sizeof(result));
		result.cookie = c->cookie;
		if (session_mark(w, &r, true, (char *)result.text, sizeof(result.text)))
			return 0;
		return link_send(&w->link, VAIO_RW_CHECKPOINT_RESULT, &result, sizeof(result), e);
	}
	return vr_fail(e, -EPROTO, "a message that only an agent sends");
}

int session_status(struct worker *w, struct vr_err *e)
{
	struct vaio_rw_status s = { 0 };
	uint64_t rpo = worker_rpo(w);
	bool point = rpo != NO_FIGURE;

	s.flags = htole32(hello_flags(w));
	/* Without a point there is no age of one, which is not the same as 0. */
	s.rpo_ns = htole64(point ? rpo : VAIO_RW_NO_AGE);
	s.rpo_worst_ns = htole64(point ? w->run->rpo_worst_ns : VAIO_RW_NO_AGE);
	s.backlog_bytes = htole64(w->backlog_bytes);
	s.dirty_bytes = htole64(w->resync_left);
	s.written_bytes = htole64(w->written_bytes);
	s.sent_bytes = htole64(w->sent_bytes);
	w->told_ns = mono_ns();
	return link_send(&w->link, VAIO_RW_STATUS, &s, sizeof(s), e);
}

/* --- checkpoints -------------------------------------------------------------------------------------- */

bool session_mark(struct worker *w, const struct request *r, bool from_replica, char *text, size_t size)
{
	struct stream_mark *m = NULL;
	uint64_t seq;
	int err;

	for (int i = 0; i < STREAM_MARKS; i++)
		if (!w->stream.mark[i].ring)
			m = &w->stream.mark[i];
	if (!m) {
		snprintf(text, size, "%d checkpoints are on their way already", STREAM_MARKS);
		return false;
	}
	if (!w->stream.live) {
		snprintf(text, size, "the group is not being replicated at the moment: a checkpoint would have no place");
		return false;
	}
	err = ring_mark(&w->ring, r->name, &seq);
	if (err) {
		worker_unbound(w, err);
		snprintf(text, size, "%s", err == -ENOSPC ? "the ring is full" : err == -ENOTCONN ?
			 "the group is not being captured at the moment" : strerror(-err));
		return false;
	}
	*m = (struct stream_mark){
		.ring = seq, .epoch = w->stream.epoch, .kind = r->kind, .flags = r->flags, .cookie = r->cookie,
		.from_replica = from_replica, .deadline_ns = mono_ns() + r->wait_ms * 1000000ULL,
	};
	return true;
}

static void tell_mark(struct worker *w, struct stream_mark *m, bool is_durable, const char *why)
{
	struct vaio_rw_checkpoint_result result = { .cookie = htole64(m->cookie), .seq = htole64(m->wire) };
	struct answer a = { .cookie = m->cookie, .seq = m->wire, .durable = is_durable };
	struct vr_err e;

	if (!m->told && m->from_replica) {
		snprintf((char *)result.text, sizeof(result.text), "%s", m->wire ? "" : why);
		if (w->session == SESSION_OPEN)
			link_send(&w->link, VAIO_RW_CHECKPOINT_RESULT, &result, sizeof(result), &e);
	} else if (!m->told) {
		snprintf(a.text, sizeof(a.text), "%s", m->wire ? "" : why);
		worker_answer(w, &a);
	}
	m->told = true;
}

void session_marks(struct worker *w, bool all)
{
	uint64_t now = mono_ns();

	for (int i = 0; i < STREAM_MARKS; i++) {
		struct stream_mark *m = &w->stream.mark[i];

		if (!m->ring)
			continue;
		if (m->wire && m->wire <= w->durable_seq)
			tell_mark(w, m, true, "");
		else if (all)
			tell_mark(w, m, false, "the record was given up: there is a gap");
		else if (now > m->deadline_ns)
			tell_mark(w, m, false, "it has not been sent in time; it will be when the replica is there");
		/* What was told, and may still be sent, keeps its kind. */
		if (all || (m->wire && m->wire <= w->durable_seq))
			m->ring = 0;
	}
}
