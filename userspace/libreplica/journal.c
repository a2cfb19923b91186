// SPDX-License-Identifier: GPL-2.0
/* Segments of the journal: making them, reading them back, their summaries. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_priv.h"

#define NEW_SUM		"index/new-sum"

static size_t pad8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

void vr_segment_name(char *name, uint64_t id)
{
	snprintf(name, VR_NAME, "journal/%016" PRIx64 ".seg", id);
}

void vr_sum_name(char *name, uint64_t id)
{
	snprintf(name, VR_NAME, "index/%016" PRIx64 ".sum", id);
}

struct vr_segment *vr_segment_new(uint64_t id, const struct vr_state *before)
{
	struct vr_segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = id;
	s->before = s->after = *before;
	s->length = VAIO_RS_SEGMENT_DATA;
	return s;
}

static void drop_sum(struct vr_segment *s)
{
	if (s->sum_file)
		s->sum_file->io->ops->close(s->sum_file);
	s->sum_file = NULL;
	free(s->controls);
	free(s->batches);
	s->controls = NULL;
	s->batches = NULL;
	s->controls_len = s->controls_room = 0;
	s->nr_controls = s->nr_batches = s->batches_room = 0;
}

void vr_segment_free(struct vr_segment *s)
{
	if (!s)
		return;
	drop_sum(s);
	vr_mem_free(s->mem);
	if (s->file)
		s->file->io->ops->close(s->file);
	free(s);
}

int vr_segment_create(struct vr_store *st, uint64_t id, const struct vr_state *before, struct vr_segment **out,
		      struct vr_err *e)
{
	struct vr_segment *s = vr_segment_new(id, before);
	struct vr_io *io = st->io;
	struct vaio_rs_segment h = { .magic = htole32(VAIO_RS_SEGMENT_MAGIC), .version = htole32(VAIO_RS_VERSION) };
	char name[VR_NAME];
	int err;

	vr_segment_name(name, id);
	if (s)
		s->mem = vr_mem_new();
	if (!s || !s->mem) {
		vr_segment_free(s);
		return vr_fail(e, -ENOMEM, "%s: no memory", name);
	}
	memcpy(h.store, st->super->store, sizeof(h.store));
	h.id = htole64(id);
	h.created_ns = htole64(io->ops->now_ns(io));
	vr_state_encode(before, &h.before);
	h.crc = htole32(vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8));
	err = io->ops->open(io, name, VR_O_CREATE | VR_O_DIRECT, &s->file);
	if (!err) {
		err = io->ops->write(s->file, &h, sizeof(h), 0);
		if (!err)
			err = io->ops->sync(s->file);
		if (!err)
			err = io->ops->sync_dir(io, "journal");
		if (err)
			io->ops->remove(io, name);
	}
	if (err) {
		vr_segment_free(s);
		return vr_fail_errno(e, err, "%s", name);
	}
	*out = s;
	return 0;
}

int vr_segment_open(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	char name[VR_NAME];
	int err;

	if (s->file)
		return 0;
	vr_segment_name(name, s->id);
	err = st->io->ops->open(st->io, name, 0, &s->file);
	return err ? vr_fail_errno(e, err, "%s", name) : 0;
}

int vr_segment_header(struct vr_store *st, uint64_t id, struct vr_state *before, struct vr_err *e)
{
	struct vaio_rs_segment h;
	struct vr_file *f;
	char name[VR_NAME];
	int err;

	vr_segment_name(name, id);
	err = st->io->ops->open(st->io, name, 0, &f);
	if (err)
		return vr_fail_errno(e, err, "%s", name);
	err = st->io->ops->read(f, &h, sizeof(h), 0);
	st->io->ops->close(f);
	if (err && err != -ENODATA)
		return vr_fail_errno(e, err, "%s", name);
	if (err || le32toh(h.magic) != VAIO_RS_SEGMENT_MAGIC ||
	    vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8) != le32toh(h.crc))
		return vr_fail(e, -EBADMSG, "%s: its header is damaged", name);
	if (le32toh(h.version) != VAIO_RS_VERSION || memcmp(h.store, st->super->store, sizeof(h.store)) ||
	    le64toh(h.id) != id)
		return vr_fail(e, -EBADMSG, "%s: of another version, store or number", name);
	return vr_state_decode(&h.before, before, e) ? -EBADMSG : 0;
}

/* --- remembering what a batch contains -------------------------------------------------- */

struct counter {
	size_t entries;
};

static int count_entry(void *arg, const struct vr_entry *en)
{
	(void)en;
	((struct counter *)arg)->entries++;
	return 0;
}

int vr_segment_reserve(struct vr_segment *s, const struct vr_batch *b)
{
	struct counter c = { 0 };
	size_t controls = 0;
	int err;

	for (unsigned int i = 0; i < b->nr_records; i++) {
		vr_index_cut(&b->records[i], 0, 1, count_entry, &c);
		if (vr_type_is_control(le16toh(b->records[i].type)))
			controls += sizeof(struct vaio_rs_control) + pad8(le32toh(b->records[i].data_length));
	}
	err = vr_mem_reserve(s->mem, c.entries);
	if (err)
		return err;
	if (s->controls_len + controls > s->controls_room) {
		size_t room = s->controls_len + controls + 4096;
		void *p = realloc(s->controls, room);

		if (!p)
			return -ENOMEM;
		s->controls = p;
		s->controls_room = room;
	}
	if (s->nr_batches == s->batches_room) {
		unsigned int room = 2 * s->batches_room + 64;
		void *p = realloc(s->batches, room * sizeof(*s->batches));

		if (!p)
			return -ENOMEM;
		s->batches = p;
		s->batches_room = room;
	}
	return 0;
}

static int add_entry(void *arg, const struct vr_entry *en)
{
	vr_mem_add(arg, en);
	return 0;
}

static void add_control(struct vr_segment *s, const struct vaio_rw_record *r, uint64_t previous, const void *payload)
{
	struct vaio_rs_control *c = (void *)(s->controls + s->controls_len);
	size_t len = le32toh(r->data_length);

	c->record = *r;
	c->previous_seq = htole64(previous);
	memset(c + 1, 0, pad8(len));
	if (len)
		memcpy(c + 1, payload, len);
	s->controls_len += sizeof(*c) + pad8(len);
	s->nr_controls++;
}

void vr_segment_note(struct vr_store *st, struct vr_segment *s, const struct vr_batch *b,
		     uint64_t offset, const struct vr_state *after)
{
	const char *start = (const char *)b->header;
	struct vaio_rs_sum_batch *sum = &s->batches[s->nr_batches++];
	uint64_t low = UINT64_MAX, high = 0, previous = s->after.last_seq;

	(void)st;
	for (unsigned int i = 0; i < b->nr_records; i++) {
		const struct vaio_rw_record *r = &b->records[i];
		unsigned int frame = le16toh(r->frame);
		uint64_t time = le64toh(r->time_ns), at = 0;

		if (frame != VAIO_RW_NO_FRAME)
			at = offset + sizeof(struct vaio_rs_append) +
			     (size_t)((const char *)b->frames[frame].header - start);
		vr_index_cut(r, (uint32_t)s->id, (uint32_t)(at / 8), add_entry, s->mem);
		if (vr_type_is_control(le16toh(r->type)))
			add_control(s, r, previous, vr_batch_payload(b, i));
		previous = le64toh(r->seq);
		low = time < low ? time : low;
		high = time > high ? time : high;
	}
	sum->first_seq = htole64(b->first_seq);
	sum->min_time_ns = htole64(low);
	sum->max_time_ns = htole64(high);
	sum->offset = htole32((uint32_t)offset);
	sum->nr_records = htole32(b->nr_records);
	if (!s->first_seq) {
		s->first_seq = b->first_seq;
		s->min_time = low;
		s->max_time = high;
	}
	s->min_time = low < s->min_time ? low : s->min_time;
	s->max_time = high > s->max_time ? high : s->max_time;
	s->after = *after;
	s->length = offset + sizeof(struct vaio_rs_append) + b->length;
}

/* --- reading back --------------------------------------------------------------------------- */

static bool append_valid(const struct vaio_rs_append *a, const struct vr_segment *s, uint64_t offset)
{
	return le32toh(a->magic) == VAIO_RS_APPEND_MAGIC && le64toh(a->segment) == s->id && le64toh(a->offset) == offset &&
	       vr_crc32c(0, (const char *)a + 8, sizeof(*a) - 8) == le32toh(a->crc);
}

/* Does anything after a tail that is not right say that the tail was durable once? */
static int tail_was_durable(struct vr_store *st, struct vr_segment *s, uint64_t size)
{
	const struct vr_io_ops *ops = st->io->ops;
	struct vaio_rs_append a;

	for (uint64_t at = (s->length + 511) & ~511ULL; at + sizeof(a) <= size; at += 512) {
		int err = ops->read(s->file, &a, sizeof(a), at);

		if (err)
			return err;
		if (append_valid(&a, s, at) && le64toh(a.durable_seq) > s->after.last_seq)
			return 1;
	}
	return 0;
}

/* The batch at @at, parsed and unpacked; 0 when there is none that is right. */
static int read_append(struct vr_store *st, struct vr_segment *s, uint64_t at, uint64_t size, void *buf,
		       struct vr_batch *b, struct vr_err *e)
{
	struct vaio_rs_append a;
	int err;

	if (at + sizeof(a) > size)
		return 0;
	err = st->io->ops->read(s->file, &a, sizeof(a), at);
	if (err)
		return err;
	if (!append_valid(&a, s, at) || le32toh(a.length) > VAIO_RW_MAX_BATCH || le32toh(a.length) > size - at - sizeof(a))
		return 0;
	err = st->io->ops->read(s->file, buf, le32toh(a.length), at + sizeof(a));
	if (err)
		return err;
	if (vr_batch_parse(buf, le32toh(a.length), b, e) || b->first_seq != le64toh(a.first_seq) ||
	    b->last_seq != le64toh(a.last_seq))
		return 0;
	err = vr_batch_unpack(st->unpacker, b, e);
	return err == -ENOMEM ? err : !err;
}

/* From the end of what is known on. Stops at the first place where no batch stands that is right. */
static int scan_batches(struct vr_store *st, struct vr_segment *s, struct vr_history *h, uint64_t size, void *buf,
			struct vr_batch *b, struct vr_err *e)
{
	struct vr_err why = { "" };
	int err;

	for (;;) {
		uint64_t at = (s->length + 511) & ~511ULL;
		struct vr_state after;

		err = read_append(st, s, at, size, buf, b, &why);
		if (err <= 0)
			return err;
		if (h) {
			if (vr_batch_follow(b, h, &why))
				return vr_fail(e, -EBADMSG, "journal segment %" PRIx64 " at %" PRIu64 ": %.150s", s->id, at,
					       why.text);
			after = h->now;
		} else {
			after = s->after;
			after.last_seq = b->last_seq;
		}
		err = vr_segment_reserve(s, b);
		if (err)
			return err;
		vr_segment_note(st, s, b, at, &after);
	}
}

/* From where the segment is right so far up to @size, where the file ends, or did when it was asked. */
static int scan_rest(struct vr_store *st, struct vr_segment *s, struct vr_history *h, bool newest, uint64_t size, void *buf,
		     struct vr_batch *b, bool *torn, struct vr_err *e)
{
	int err = scan_batches(st, s, h, size, buf, b, e);

	*torn = false;
	while (!err && size > s->length) {
		uint64_t end = s->length;

		*torn = true;
		err = newest ? tail_was_durable(st, s, size) : 1;
		if (err <= 0)
			break;
		/* Who only reads may have been overtaken by who writes: then a batch stands there now. */
		err = scan_batches(st, s, h, size, buf, b, e);
		if (!err && s->length == end)
			err = vr_fail(e, -EBADMSG, "journal segment %" PRIx64 ": what stands at %" PRIu64
				      " was acknowledged and is damaged", s->id, (end + 511) & ~(uint64_t)511);
	}
	return err;
}

int vr_segment_scan(struct vr_store *st, struct vr_segment *s, struct vr_history *h, bool newest, bool *torn,
		    struct vr_err *e)
{
	struct vr_batch *b = malloc(sizeof(*b));
	void *buf = NULL;
	uint64_t size;
	int64_t got;
	int err;

	*torn = false;
	drop_sum(s);
	vr_mem_free(s->mem);
	s->mem = vr_mem_new();
	s->after = s->before;
	s->first_seq = 0;
	s->length = VAIO_RS_SEGMENT_DATA;
	err = b && s->mem ? vr_segment_open(st, s, e) : -ENOMEM;
	if (err)
		goto out;
	got = st->io->ops->size(s->file);
	if (got < 0) {
		err = (int)got;
		goto out;
	}
	size = (uint64_t)got;
	buf = malloc(size < VAIO_RW_MAX_BATCH ? size : VAIO_RW_MAX_BATCH);
	if (!buf)
		err = -ENOMEM;
	if (!err)
		err = scan_rest(st, s, h, newest, size, buf, b, torn, e);
	/* Sealed meanwhile: what was written ahead is cut off. */
	while (err == -ENODATA && (got = st->io->ops->size(s->file)) >= 0 && (uint64_t)got < size) {
		size = (uint64_t)got;
		err = scan_rest(st, s, h, newest, size, buf, b, torn, e);
	}
out:
	if (err && err != -EBADMSG)
		vr_fail_errno(e, err, "journal segment %" PRIx64, s->id);
	free(buf);
	free(b);
	return err;
}

/* --- summaries ------------------------------------------------------------------------------- */

int vr_sum_write(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	struct vaio_rs_sum h = { .magic = htole32(VAIO_RS_SUM_MAGIC), .version = htole32(VAIO_RS_VERSION) };
	size_t batches = s->nr_batches * sizeof(*s->batches);
	struct vr_io *io = st->io;
	struct vr_file *f = NULL;
	char name[VR_NAME];
	int err;

	vr_sum_name(name, s->id);
	h.controls_length = htole32((uint32_t)s->controls_len);
	memcpy(h.store, st->super->store, sizeof(h.store));
	h.segment = htole64(s->id);
	h.segment_length = htole64(s->length);
	h.first_seq = htole64(s->first_seq);
	h.min_time_ns = htole64(s->min_time);
	h.max_time_ns = htole64(s->max_time);
	vr_state_encode(&s->before, &h.before);
	vr_state_encode(&s->after, &h.after);
	h.nr_controls = htole32(s->nr_controls);
	h.nr_batches = htole32(s->nr_batches);
	h.batches_crc = htole32(vr_crc32c(0, s->batches, batches));
	h.crc = htole32(vr_crc32c(vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8), s->controls, s->controls_len));
	err = io->ops->remove(io, NEW_SUM);
	if (!err || err == -ENOENT)
		err = io->ops->open(io, NEW_SUM, VR_O_CREATE, &f);
	if (!err)
		err = io->ops->write(f, &h, sizeof(h), 0);
	if (!err && s->controls_len)
		err = io->ops->write(f, s->controls, s->controls_len, sizeof(h));
	if (!err && batches)
		err = io->ops->write(f, s->batches, batches, sizeof(h) + s->controls_len);
	if (!err)
		err = io->ops->sync(f);
	if (f)
		io->ops->close(f);
	if (!err)
		err = io->ops->rename(io, NEW_SUM, name);
	if (!err)
		err = io->ops->sync_dir(io, "index");
	if (!err)
		return 0;
	io->ops->remove(io, NEW_SUM);
	return vr_fail_errno(e, err, "%s", name);
}

static int check_controls(const uint8_t *controls, size_t len, unsigned int nr)
{
	size_t at = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const struct vaio_rs_control *c = (const void *)(controls + at);
		size_t left = len - at;

		if (left < sizeof(*c) || pad8(le32toh(c->record.data_length)) > left - sizeof(*c))
			return -EBADMSG;
		at += sizeof(*c) + pad8(le32toh(c->record.data_length));
	}
	return at == len ? 0 : -EBADMSG;
}

/*
 * Header and controls of a summary of @size bytes, checked: *@controls is the caller's to free. -EBADMSG without a text when
 * they are not right.
 */
static int read_sum(struct vr_file *f, uint64_t size, struct vaio_rs_sum *h, uint8_t **controls)
{
	uint32_t crc;
	int err = f->io->ops->read(f, h, sizeof(*h), 0);

	*controls = NULL;
	if (err)
		return err == -ENODATA ? -EBADMSG : err;
	if (le32toh(h->magic) != VAIO_RS_SUM_MAGIC || le32toh(h->controls_length) > size - sizeof(*h) ||
	    le32toh(h->nr_batches) > VAIO_RS_MAX_SEGMENT / 512 ||
	    size != sizeof(*h) + le32toh(h->controls_length) + le32toh(h->nr_batches) * sizeof(struct vaio_rs_sum_batch))
		return -EBADMSG;
	*controls = malloc(le32toh(h->controls_length) + 1U);
	if (!*controls)
		return -ENOMEM;
	err = f->io->ops->read(f, *controls, le32toh(h->controls_length), sizeof(*h));
	crc = vr_crc32c(vr_crc32c(0, (char *)h + 8, sizeof(*h) - 8), *controls, le32toh(h->controls_length));
	if (!err && (crc != le32toh(h->crc) || check_controls(*controls, le32toh(h->controls_length), le32toh(h->nr_controls))))
		err = -EBADMSG;
	if (!err)
		return 0;
	free(*controls);
	*controls = NULL;
	return err == -ENODATA ? -EBADMSG : err;
}

int vr_sum_load(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	struct vr_state before, after;
	struct vr_file *f;
	struct vaio_rs_sum h;
	uint8_t *controls = NULL;
	char name[VR_NAME];
	int64_t size;
	int err;

	vr_sum_name(name, s->id);
	err = st->io->ops->open(st->io, name, 0, &f);
	if (err)
		return vr_fail_errno(e, err, "%s", name);
	size = st->io->ops->size(f);
	err = size < 0 ? (int)size : read_sum(f, (uint64_t)size, &h, &controls);
	free(controls);
	if (!err && (le32toh(h.version) != VAIO_RS_VERSION || memcmp(h.store, st->super->store, sizeof(h.store)) ||
		     le64toh(h.segment) != s->id || vr_state_decode(&h.before, &before, NULL) ||
		     vr_state_decode(&h.after, &after, NULL) || !vr_state_equal(&before, &s->before)))
		err = -EBADMSG;
	if (err) {
		st->io->ops->close(f);
		return err == -EBADMSG ? vr_fail(e, err, "%s: damaged", name) : vr_fail_errno(e, err, "%s", name);
	}
	pthread_mutex_lock(&st->sums_lock);
	if (s->sum_file)
		s->sum_file->io->ops->close(s->sum_file);
	free(s->controls);
	s->controls = NULL;
	s->controls_room = s->batches_room = 0;
	/* Who looks at the table goes on: the file's is the same. */
	if (!s->batches_users) {
		free(s->batches);
		s->batches = NULL;
	}
	s->sum_file = f;
	s->sum_len = (size_t)size;
	s->controls_len = le32toh(h.controls_length);
	s->nr_controls = le32toh(h.nr_controls);
	s->nr_batches = le32toh(h.nr_batches);
	s->batches_crc = le32toh(h.batches_crc);
	s->length = le64toh(h.segment_length);
	s->first_seq = le64toh(h.first_seq);
	s->min_time = le64toh(h.min_time_ns);
	s->max_time = le64toh(h.max_time_ns);
	s->after = after;
	pthread_mutex_unlock(&st->sums_lock);
	return 0;
}

int vr_segment_controls(const struct vr_segment *s,
			int (*each)(void *arg, const struct vaio_rs_control *c, const void *payload), void *arg,
			struct vr_err *e)
{
	const uint8_t *controls = s->controls;
	uint8_t *read = NULL;
	struct vaio_rs_sum h;
	size_t at = 0;
	int rc = 0;

	if (s->sum_file) {
		rc = read_sum(s->sum_file, s->sum_len, &h, &read);
		if (rc)
			return vr_fail_errno(e, rc == -EBADMSG ? -EIO : rc, "summary of journal segment %" PRIx64, s->id);
		controls = read;
	}
	for (unsigned int i = 0; i < s->nr_controls && !rc; i++) {
		const struct vaio_rs_control *c = (const void *)(controls + at);

		rc = each(arg, c, c + 1);
		at += sizeof(*c) + pad8(le32toh(c->record.data_length));
	}
	free(read);
	return rc;
}

int vr_segment_batches(struct vr_store *st, struct vr_segment *s, struct vr_err *e)
{
	size_t len = s->nr_batches * sizeof(*s->batches);
	struct vaio_rs_sum_batch *read;
	int err = 0;

	pthread_mutex_lock(&st->sums_lock);
	if (s->sum_file && !s->batches) {
		read = malloc(len + 1);
		err = read ? st->io->ops->read(s->sum_file, read, len, sizeof(struct vaio_rs_sum) + s->controls_len) : -ENOMEM;
		if (!err && vr_crc32c(0, read, len) != s->batches_crc)
			err = -EBADMSG;
		if (err == -EBADMSG || err == -ENODATA)
			err = vr_fail(e, -EIO, "summary of journal segment %" PRIx64 ": its table of batches is damaged", s->id);
		else if (err)
			vr_fail_errno(e, err, "summary of journal segment %" PRIx64, s->id);
		if (err)
			free(read);
		else
			s->batches = read;
	}
	s->batches_users += !err;
	pthread_mutex_unlock(&st->sums_lock);
	return err;
}

void vr_segment_batches_done(struct vr_store *st, struct vr_segment *s)
{
	pthread_mutex_lock(&st->sums_lock);
	if (!--s->batches_users && s->sum_file) {
		free(s->batches);
		s->batches = NULL;
	}
	pthread_mutex_unlock(&st->sums_lock);
}

int vr_segment_batch(struct vr_store *st, struct vr_segment *s, unsigned int i, void **buf, struct vr_batch *b,
		     struct vr_err *e)
{
	uint64_t at = le32toh(s->batches[i].offset);
	struct vaio_rs_append a;
	struct vr_err why = { "" };
	uint32_t len;
	int err = vr_segment_open(st, s, e);

	*buf = NULL;
	if (err)
		return err;
	err = st->io->ops->read(s->file, &a, sizeof(a), at);
	if (err && err != -ENODATA)
		return vr_fail_errno(e, err, "journal segment %" PRIx64 " at %" PRIu64, s->id, at);
	len = le32toh(a.length);
	if (!err && append_valid(&a, s, at) && len <= VAIO_RW_MAX_BATCH) {
		*buf = malloc(len);
		if (!*buf)
			return vr_fail(e, -ENOMEM, "no memory for a batch");
		err = st->io->ops->read(s->file, *buf, len, at + sizeof(a));
		if (!err && !vr_batch_parse(*buf, len, b, &why))
			return 0;
	}
	free(*buf);
	*buf = NULL;
	return vr_fail(e, -EIO, "journal segment %" PRIx64 ": the batch at %" PRIu64 " is damaged%s%.100s", s->id, at,
		       why.text[0] ? ": " : "", why.text);
}
