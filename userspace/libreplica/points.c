// SPDX-License-Identifier: GPL-2.0
/* Points: which numbers are one, their names and times, and who holds them. */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crc32c.h"
#include "store_priv.h"
#include "text.h"

#define SECOND	1000000000ULL

/* --- stretches ------------------------------------------------------------------------ */

int vr_stretch_reserve(struct vr_store *st, unsigned int more)
{
	if (st->nr_stretches + more > st->stretches_room) {
		unsigned int room = st->stretches_room + st->stretches_room / 2 + more + 16;
		void *p = realloc(st->stretches, room * sizeof(*st->stretches));

		if (!p)
			return -ENOMEM;
		st->stretches = p;
		st->stretches_room = room;
	}
	return 0;
}

uint64_t vr_gap_since(const void *payload)
{
	struct vaio_rw_gap g;

	memcpy(&g, payload, sizeof(g));
	return le64toh(g.since_ns);
}

void vr_note_compare(struct vr_store *st, uint16_t type, const void *payload)
{
	struct vaio_rw_resync s;
	struct vaio_rw_gap g;

	if (type == VAIO_RW_R_GAP) {
		memcpy(&g, payload, sizeof(g));
		st->compare_begun &= le32toh(g.reason) != VAIO_RW_GAP_ADMIN;
	} else if (type == VAIO_RW_R_RESYNC_BEGIN) {
		memcpy(&s, payload, sizeof(s));
		st->compare_begun |= le32toh(s.kind) != VAIO_RW_S_BITMAP;
	}
}

void vr_stretch_note(struct vr_store *st, uint64_t first, const struct vr_state *now, uint64_t since_ns)
{
	uint64_t begin = since_ns && since_ns < now->time_ns ? since_ns : now->time_ns;

	st->stretches[st->nr_stretches++] = (struct vr_stretch_start){ first, begin, since_ns, now->stretch };
}

/* The base moved on: what ends before it is gone. */
void vr_stretch_trim(struct vr_store *st)
{
	uint64_t base = st->super->base.now.last_seq;
	unsigned int gone = 0;

	while (gone + 1 < st->nr_stretches && st->stretches[gone + 1].first <= base)
		gone++;
	memmove(st->stretches, st->stretches + gone, (st->nr_stretches - gone) * sizeof(*st->stretches));
	st->nr_stretches -= gone;
	if (st->nr_stretches && st->stretches[0].first < base) {
		st->stretches[0].first = base;
		st->stretches[0].time_ns = st->super->base.now.time_ns;
	}
}

/* The stretch that @seq is in; with the lock. */
static unsigned int stretch_of(const struct vr_store *st, uint64_t seq)
{
	unsigned int low = 0, high = st->nr_stretches;

	while (high - low > 1) {
		unsigned int mid = low + (high - low) / 2;

		if (st->stretches[mid].first <= seq)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* A stretch as up to three: before, within, and after what was thinned out. With the lock. */
static unsigned int split_thinned(const struct vr_store *st, const struct vr_stretch *s, struct vr_stretch *to)
{
	const struct vr_segment *first = NULL, *last = NULL;
	unsigned int n = 0;
	uint64_t low, high;

	for (unsigned int i = 0; i < st->nr_segments; i++)
		if (vr_segment_thinned(st, st->segments[i]) && st->segments[i]->first_seq) {
			first = first ? first : st->segments[i];
			last = st->segments[i];
		}
	to[0] = *s;
	if (s->kind || !first || last->after.last_seq < s->first || first->before.last_seq >= s->last)
		return 1;
	low = first->before.last_seq + 1 > s->first ? first->before.last_seq + 1 : s->first;
	high = last->after.last_seq < s->last ? last->after.last_seq : s->last;
	if (s->first < low) {
		to[n] = *s;
		to[n].last = low - 1;
		to[n++].last_ns = first->min_time;
	}
	to[n] = (struct vr_stretch){ .first = low, .last = high, .kind = VR_STRETCH_THINNED,
				     .first_ns = low > s->first ? first->min_time : s->first_ns,
				     .last_ns = high < s->last ? last->max_time : s->last_ns };
	n++;
	if (high < s->last) {
		to[n] = *s;
		to[n].first = high + 1;
		to[n++].first_ns = last->max_time;
	}
	return n;
}

/* Stretch @i as it is now; with the lock. */
static struct vr_stretch stretch_at(const struct vr_store *st, unsigned int i)
{
	const struct vr_stretch_start *s = &st->stretches[i];
	struct vr_stretch one = { .first = s->first, .first_ns = s->time_ns, .kind = s->kind };
	bool ends = i + 1 < st->nr_stretches && s[1].first - 1 <= st->durable.last_seq;

	/* What ends it may be in no commit yet. */
	one.last = ends ? s[1].first - 1 : st->durable.last_seq;
	one.last_ns = ends ? s[1].time_ns : st->durable.time_ns;
	return one;
}

uint64_t vr_store_oldest_ns(struct vr_store *st)
{
	uint64_t ns = 0;

	pthread_mutex_lock(&st->lock);
	for (unsigned int i = 0; i < st->nr_stretches && !ns; i++) {
		struct vr_stretch s = stretch_at(st, i);

		if (!s.kind && s.first <= s.last)
			ns = s.first_ns;
	}
	pthread_mutex_unlock(&st->lock);
	return ns;
}

int vr_store_stretches(struct vr_store *st, uint64_t before, unsigned int limit,
		       int (*each)(void *arg, const struct vr_stretch *s), void *arg, bool *more, struct vr_err *e)
{
	struct vr_stretch *copy;
	unsigned int first, end, n = 0;
	int rc = 0;

	pthread_mutex_lock(&st->lock);
	for (end = st->nr_stretches; before && end && st->stretches[end - 1].first >= before; end--)
		;
	first = end > limit ? end - limit : 0;
	copy = calloc(3 * (end - first) + 1, sizeof(*copy));
	for (unsigned int i = first; copy && i < end; i++) {
		struct vr_stretch one = stretch_at(st, i);

		n += split_thinned(st, &one, copy + n);
	}
	pthread_mutex_unlock(&st->lock);
	*more = first > 0;
	if (!copy)
		return vr_fail(e, -ENOMEM, "no memory");
	for (unsigned int i = 0; i < n && !rc; i++)
		if (copy[i].first <= copy[i].last)
			rc = each(arg, &copy[i]);
	free(copy);
	return rc;
}

/* --- names ------------------------------------------------------------------------------- */

struct names {
	struct vr_store *st;
	struct vr_point *list;
	unsigned int nr, room;
	uint64_t before;		/* 0, or above all that are wanted */
	int err;
};

static void add_name(struct names *n, const struct vr_point *p)
{
	if (n->nr == n->room) {
		void *more = realloc(n->list, (2 * n->room + 64) * sizeof(*n->list));

		if (!more) {
			n->err = -ENOMEM;
			return;
		}
		n->list = more;
		n->room = 2 * n->room + 64;
	}
	n->list[n->nr++] = *p;
}

static int name_of_control(void *arg, const struct vaio_rs_control *c, const void *payload)
{
	const struct vaio_rw_checkpoint *d = payload;
	struct names *n = arg;
	struct vr_point p = { .seq = le64toh(c->record.seq), .time_ns = le64toh(c->record.time_ns) };

	if (le16toh(c->record.type) != VAIO_RW_R_CHECKPOINT || p.seq < n->st->super->base.now.last_seq ||
	    p.seq > n->st->durable.last_seq || (n->before && p.seq >= n->before) || le32toh(c->record.data_length) != sizeof(*d))
		return 0;
	p.kind = le32toh(d->kind);
	memcpy(p.name, d->name, sizeof(p.name) - 1);
	vr_text_clean(p.name);
	add_name(n, &p);
	return n->err;
}

static int by_seq(const void *a, const void *b)
{
	const struct vr_point *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Names that were given here, of numbers from @low on. */
static void add_marks(struct names *n, uint64_t low)
{
	struct vr_store *st = n->st;

	for (unsigned int i = 0; i < st->super->nr_marks && !n->err; i++) {
		const struct vr_mark *m = &st->super->marks[i];
		struct vr_point p = { .seq = m->seq, .time_ns = m->time_ns, .kind = m->kind,
				      .pinned = m->flags & VAIO_RS_MARK_PIN };
		unsigned int j;

		memcpy(p.name, m->name, sizeof(p.name));
		if (m->seq < low || (n->before && m->seq >= n->before))
			continue;
		for (j = 0; j < n->nr && (n->list[j].seq != p.seq || strcmp(n->list[j].name, p.name)); j++)
			;
		if (j < n->nr)
			n->list[j].pinned = p.pinned;
		else if (m->seq >= st->super->base.now.last_seq && m->seq <= st->durable.last_seq)
			add_name(n, &p);
	}
}

/* The newest @limit names by number, from a segment's more; with the lock. *@low: older ones were not looked at. */
static int gather_names(struct vr_store *st, struct names *n, unsigned int limit, uint64_t *low, struct vr_err *e)
{
	*low = 0;
	vr_fail(e, 0, "no memory");
	for (unsigned int i = st->nr_segments; i-- > 0 && !n->err;) {
		struct vr_segment *s = st->segments[i];

		if (n->nr >= limit) {
			*low = s->after.last_seq + 1;
			break;
		}
		if (!n->before || s->before.last_seq + 1 < n->before)
			n->err = vr_segment_controls(s, name_of_control, n, e);
	}
	add_marks(n, *low);
	if (!n->err && n->nr)
		qsort(n->list, n->nr, sizeof(*n->list), by_seq);
	return n->err;
}

int vr_store_names(struct vr_store *st, uint64_t before, unsigned int limit,
		   int (*each)(void *arg, const struct vr_point *p), void *arg, bool *more, struct vr_err *e)
{
	struct names n = { .st = st, .before = before };
	unsigned int first;
	uint64_t low;
	int rc;

	pthread_mutex_lock(&st->lock);
	rc = gather_names(st, &n, limit, &low, e);
	pthread_mutex_unlock(&st->lock);
	first = n.nr > limit ? n.nr - limit : 0;
	/* Who goes on before the oldest number misses none. */
	while (first && n.list[first - 1].seq == n.list[first].seq)
		first--;
	*more = first || low;
	for (unsigned int i = first; i < n.nr && !rc; i++)
		rc = each(arg, &n.list[i]);
	free(n.list);
	return rc;
}

/* With the lock. One place is kept for the point of a failover. */
static int mark_room(const struct vr_store *st, struct vr_err *e)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < st->super->nr_marks; i++)
		nr += st->super->marks[i].seq >= st->super->base.now.last_seq && strcmp(st->super->marks[i].name, VR_FAILOVER_MARK);
	return nr < VAIO_RS_MAX_MARKS - 1 ? 0 : vr_fail(e, -E2BIG, "the group has %u held or named points already, the most that "
		"there may be: let one go with 'vaioctl replica release' at the replica", VAIO_RS_MAX_MARKS - 1);
}

int vr_mark_room(struct vr_store *st, struct vr_err *e)
{
	int err;

	pthread_mutex_lock(&st->lock);
	err = mark_room(st, e);
	pthread_mutex_unlock(&st->lock);
	return err;
}

bool vr_mark_held(struct vr_store *st, uint64_t seq)
{
	bool held = false;

	pthread_mutex_lock(&st->lock);
	for (unsigned int i = 0; i < st->super->nr_marks; i++)
		held |= st->super->marks[i].seq == seq && st->super->marks[i].flags & VAIO_RS_MARK_PIN;
	pthread_mutex_unlock(&st->lock);
	return held;
}

int vr_mark_add(struct vr_store *st, const struct vr_point *p, bool pin, struct vr_err *e)
{
	struct vr_super *s = st->super, old;
	char name[VAIO_RW_NAME_LEN] = "";
	struct vr_mark *m = NULL;
	int err = 0;

	snprintf(name, sizeof(name), "%s", p->name);
	if (!name[0] || !vr_text_new((const uint8_t *)name, sizeof(name)))
		return vr_fail(e, -EINVAL, "a name has 1 to %zu bytes of UTF-8, and no control characters", sizeof(name) - 1);
	pthread_mutex_lock(&st->lock);
	old = *s;
	st->mark_changes++;
	/* Marks whose points are gone make room. */
	for (unsigned int i = 0; i < s->nr_marks; i++)
		if (s->marks[i].seq < s->base.now.last_seq)
			s->marks[i--] = s->marks[--s->nr_marks];
	for (unsigned int i = 0; i < s->nr_marks; i++)
		if (!strcmp(s->marks[i].name, p->name))
			m = &s->marks[i];
	if (m && m->seq == p->seq && !(m->flags & VAIO_RS_MARK_PIN) == !pin)
		err = 1;
	else if (m && m->seq != p->seq && (m->flags & VAIO_RS_MARK_PIN))
		err = vr_fail(e, -EEXIST, "the name '%s' holds seq:%" PRIu64, p->name, m->seq);
	else if (p->seq < s->base.now.last_seq)
		err = vr_fail(e, -ENOENT, "seq:%" PRIu64 " is not there any more", p->seq);
	else if (!m && mark_room(st, e))
		err = -E2BIG;
	else
		err = vr_still_point(st, p->seq, e);
	if (!err) {
		if (!m)
			m = &s->marks[s->nr_marks++];
		memset(m, 0, sizeof(*m));
		m->seq = p->seq;
		m->time_ns = p->time_ns;
		m->kind = p->kind ? p->kind : VAIO_RW_C_CRASH;
		m->flags = pin ? VAIO_RS_MARK_PIN : 0;
		memcpy(m->name, name, sizeof(m->name));
		err = vr_super_change(st, &old, e);
	}
	pthread_mutex_unlock(&st->lock);
	return err > 0 ? 0 : err;
}

int vr_mark_hold(struct vr_store *st, struct vr_point *p, struct vr_err *e)
{
	char name[sizeof(p->name)];
	int err = vr_mark_add(st, p, true, e);

	if (err != -EEXIST)
		return err;
	memcpy(name, p->name, sizeof(name));
	snprintf(p->name, sizeof(p->name), "%.*s seq:%" PRIu64, (int)vr_text_cut(name, strlen(name), 100), name, p->seq);
	return vr_mark_add(st, p, true, e);
}

int vr_mark_remove(struct vr_store *st, const char *name, struct vr_err *e)
{
	struct vr_super *s = st->super, old;
	int err = -ENOENT;

	pthread_mutex_lock(&st->lock);
	old = *s;
	for (unsigned int i = 0; i < s->nr_marks; i++)
		if (!strcmp(s->marks[i].name, name)) {
			s->marks[i] = s->marks[--s->nr_marks];
			err = vr_super_change(st, &old, e);
			break;
		}
	pthread_mutex_unlock(&st->lock);
	return err == -ENOENT ? vr_fail(e, err, "no point is held under the name '%.100s'", name) : err;
}

/* --- finding one ------------------------------------------------------------------------------ */

/* That of one segment. */
static int newest_until(struct vr_store *st, struct vr_segment *s, uint64_t time_ns, uint64_t *seq, struct vr_err *e)
{
	struct vr_batch *b = NULL;
	void *buf = NULL;
	unsigned int j;
	int err = vr_segment_batches(st, s, e);

	if (err)
		return err;
	for (j = s->nr_batches; j > 0 && le64toh(s->batches[j - 1].min_time_ns) > time_ns; j--)
		;
	if (j) {
		b = malloc(sizeof(*b));
		err = b ? vr_segment_batch(st, s, j - 1, &buf, b, e) : vr_fail(e, -ENOMEM, "no memory");
	}
	for (unsigned int r = j && !err ? b->nr_records : 0; r-- > 0;)
		if (le64toh(b->records[r].time_ns) <= time_ns) {
			*seq = b->first_seq + r;
			break;
		}
	vr_segment_batches_done(st, s);
	free(buf);
	free(b);
	return err;
}

/*
 * The highest number whose record's time is not above @time_ns; 0: none. Reads the one
 * batch that it is in.
 */
static int find_by_time(struct vr_store *st, uint64_t time_ns, uint64_t *seq, struct vr_err *e)
{
	*seq = 0;
	for (unsigned int i = st->nr_segments; i-- > 0;) {
		struct vr_segment *s = st->segments[i];
		int err;

		if (!s->first_seq || s->min_time > time_ns)
			continue;
		err = newest_until(st, s, time_ns, seq, e);
		if (err || *seq)
			return err;
	}
	return 0;
}

/* The time of a record; with the lock. */
static int time_of(struct vr_store *st, uint64_t seq, uint64_t *time_ns, struct vr_err *e)
{
	*time_ns = st->super->base.now.time_ns;
	if (seq == st->super->base.now.last_seq)
		return 0;
	for (unsigned int i = st->nr_segments; i-- > 0;) {
		struct vr_segment *s = st->segments[i];
		unsigned int low = 0, high;
		struct vr_batch *b;
		void *buf;
		int err;

		if (!s->first_seq || s->first_seq > seq)
			continue;
		err = vr_segment_batches(st, s, e);
		if (err)
			return err;
		for (high = s->nr_batches; high - low > 1;) {
			unsigned int mid = low + (high - low) / 2;

			if (le64toh(s->batches[mid].first_seq) <= seq)
				low = mid;
			else
				high = mid;
		}
		b = malloc(sizeof(*b));
		buf = NULL;
		err = b ? vr_segment_batch(st, s, low, &buf, b, e) : vr_fail(e, -ENOMEM, "no memory");
		if (!err && seq <= b->last_seq)
			*time_ns = le64toh(b->records[seq - b->first_seq].time_ns);
		vr_segment_batches_done(st, s);
		free(buf);
		free(b);
		return err;
	}
	return 0;
}

/* "2026-11-21 07:00:00", with 'T', with 'Z' for UTC (local time else), or "@seconds". */
static bool parse_time(const char *text, uint64_t *ns)
{
	struct tm tm = { .tm_isdst = -1 };
	char *end;
	time_t t;

	if (text[0] == '@') {
		if (!isdigit((unsigned char)text[1]))
			return false;
		errno = 0;
		*ns = strtoull(text + 1, &end, 10);
		if (errno || *end || *ns > UINT64_MAX / SECOND)
			return false;
		*ns *= SECOND;
		*ns += SECOND - 1;
		return true;
	}
	end = strptime(text, "%Y-%m-%d", &tm);
	if (!end || (*end && *end != ' ' && *end != 'T'))
		return false;
	if (*end) {
		const char *clock = end + 1;

		end = strptime(clock, "%H:%M:%S", &tm);
		if (!end)
			end = strptime(clock, "%H:%M", &tm);
		if (!end || (*end && strcmp(end, "Z")))
			return false;
	}
	t = *end ? timegm(&tm) : mktime(&tm);
	if (t < 0)
		return false;
	/* The whole second counts: "07:00:00" contains what was written in it. */
	*ns = (uint64_t)t * SECOND + SECOND - 1;
	return true;
}

/* "-10min": a number and s, min, h or d. */
static bool parse_ago(const char *text, uint64_t *ns)
{
	static const struct { const char *unit; uint64_t seconds; } units[] = {
		{ "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 },
	};
	uint64_t n;
	char *end;

	if (text[0] != '-' || !isdigit((unsigned char)text[1]))
		return false;
	errno = 0;
	n = strtoull(text + 1, &end, 10);
	for (unsigned int i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].unit) && !errno && n < UINT64_MAX / SECOND / units[i].seconds) {
			*ns = n * units[i].seconds * SECOND;
			return true;
		}
	return false;
}

/* @seq lies where no point is: names the nearest on both sides. */
static int refuse_stretch(struct vr_store *st, const char *text, unsigned int i, struct vr_err *e)
{
	const struct vr_stretch_start *s = st->stretches;
	const char *what = s[i].kind & VAIO_RS_S_GAP ? "a gap" : "a resync";
	char before[64] = "", after[64] = "";
	unsigned int j;

	for (j = i; j-- > 0;)
		if (!s[j].kind) {
			snprintf(before, sizeof(before), "seq:%" PRIu64, s[j + 1].first - 1);
			break;
		}
	for (j = i + 1; j < st->nr_stretches; j++)
		if (!s[j].kind && s[j].first <= st->durable.last_seq) {
			snprintf(after, sizeof(after), "seq:%" PRIu64, s[j].first);
			break;
		}
	if (!before[0] && !after[0])
		return vr_fail(e, -ENOENT, "%.60s: there is no point yet (%s is under way)", text, what);
	return vr_fail(e, -ENOENT, "%.60s lies in %s: the nearest points are %s%s%s", text, what, before,
		       before[0] && after[0] ? " and " : "", after);
}

/*
 * @seq is the newest record that is not later than @ns. Is something missing between the two, because the next
 * record opens a gap that began before it was told of? Then @ns lies in it.
 */
static int missing_since(struct vr_store *st, const char *text, uint64_t seq, uint64_t ns, struct vr_err *e)
{
	unsigned int i = stretch_of(st, seq);
	const struct vr_stretch_start *next = &st->stretches[i + 1];
	uint64_t time_ns;
	int err;

	if (st->stretches[i].kind || i + 1 == st->nr_stretches || next->first != seq + 1 || !(next->kind & VAIO_RS_S_GAP))
		return 0;
	err = time_of(st, seq, &time_ns, e);
	if (err || ns <= time_ns || ns < next->since_ns)
		return err;
	return refuse_stretch(st, text, i + 1, e);
}

struct by_name {
	struct vr_store *st;
	const char *name;
	struct vr_point *p;		/* the newest so far */
};

static int match_control(void *arg, const struct vaio_rs_control *c, const void *payload)
{
	const struct vaio_rw_checkpoint *d = payload;
	struct by_name *b = arg;
	uint64_t seq = le64toh(c->record.seq);
	char name[VAIO_RW_NAME_LEN] = "";

	if (le16toh(c->record.type) != VAIO_RW_R_CHECKPOINT || seq < b->st->super->base.now.last_seq ||
	    seq > b->st->durable.last_seq || le32toh(c->record.data_length) != sizeof(*d) || seq < b->p->seq)
		return 0;
	memcpy(name, d->name, sizeof(name) - 1);
	vr_text_clean(name);
	if (strcmp(name, b->name))
		return 0;
	b->p->seq = seq;
	b->p->time_ns = le64toh(c->record.time_ns);
	b->p->kind = le32toh(d->kind);
	memcpy(b->p->name, name, sizeof(b->p->name));
	return 0;
}

static int find_name(struct vr_store *st, const char *name, struct vr_point *p, struct vr_err *e)
{
	struct by_name b = { st, name, p };
	int err = 0;

	memset(p, 0, sizeof(*p));
	/* The newest one is the one that is meant. */
	for (unsigned int i = st->nr_segments; i-- > 0 && !err && !p->seq;)
		err = vr_segment_controls(st->segments[i], match_control, &b, e);
	for (unsigned int i = 0; i < st->super->nr_marks && !err; i++) {
		const struct vr_mark *m = &st->super->marks[i];

		if (strcmp(m->name, name) || m->seq < st->super->base.now.last_seq || m->seq > st->durable.last_seq)
			continue;
		/* The point of a failover is the one that is held, whatever the source named so. */
		if (m->seq < p->seq && strcmp(name, VR_FAILOVER_MARK))
			continue;
		p->seq = m->seq;
		p->time_ns = m->time_ns;
		p->kind = m->kind;
		p->pinned = m->flags & VAIO_RS_MARK_PIN;
		memcpy(p->name, m->name, sizeof(p->name));
	}
	if (!err && !p->seq)
		err = vr_fail(e, -ENOENT, "no point is named '%.100s'", name);
	return err;
}

static int find_locked(struct vr_store *st, const char *text, uint64_t now_ns, struct vr_point *p, struct vr_err *e)
{
	uint64_t base = st->super->base.now.last_seq, ns = 0, ago = 0, down, up;
	unsigned int i;
	char *end;
	int err;

	if (!strcmp(text, "latest")) {
		p->seq = st->durable.complete_seq;
		if (!p->seq || p->seq < base)
			return refuse_stretch(st, text, st->nr_stretches - 1, e);
	} else if (!strcmp(text, "oldest")) {
		for (i = 0; i < st->nr_stretches && st->stretches[i].kind; i++)
			;
		if (i == st->nr_stretches || st->stretches[i].first > st->durable.last_seq)
			return refuse_stretch(st, text, st->nr_stretches - 1, e);
		p->seq = st->stretches[i].first;
	} else if (!strncmp(text, "seq:", 4) && isdigit((unsigned char)text[4])) {
		errno = 0;
		p->seq = strtoull(text + 4, &end, 10);
		if (errno || *end)
			return vr_fail(e, -EINVAL, "'%.60s': seq: wants a number", text);
	} else if (!strncmp(text, "name:", 5) && text[5]) {
		err = find_name(st, text + 5, p, e);
		if (err)
			return err;
	} else if (parse_ago(text, &ago) || parse_time(text, &ns)) {
		if (text[0] == '-')
			ns = now_ns > ago ? now_ns - ago : 0;
		err = find_by_time(st, ns, &p->seq, e);
		if (err)
			return err;
		if (p->seq > st->durable.last_seq)
			p->seq = st->durable.last_seq;
		if (p->seq < base && st->super->base.now.time_ns <= ns)
			p->seq = base;
		err = p->seq < base ? 0 : missing_since(st, text, p->seq, ns, e);
		if (err)
			return err;
		/* Where points were thinned out, the one before. */
		if (p->seq && !st->stretches[stretch_of(st, p->seq)].kind) {
			err = vr_thinned_nearest(st, p->seq, &down, &up, e);
			if (err)
				return err;
			p->seq = down;
		}
		if (p->seq < base || !p->seq)
			return vr_fail(e, -ENOENT, "%.60s is before the oldest point, which is seq:%" PRIu64, text, base);
	} else {
		return vr_fail(e, -EINVAL, "'%.60s' is no point: accepted are latest, oldest, seq:N, name:X, "
			       "YYYY-MM-DD HH:MM:SS (Z for UTC), @SECONDS, -10min (s, min, h, d)", text);
	}
	if (p->seq > st->durable.last_seq)
		return vr_fail(e, -ENOENT, "%.60s: the newest record is seq:%" PRIu64, text, st->durable.last_seq);
	if (p->seq < base)
		return vr_fail(e, -ENOENT, "%.60s is not there any more: the oldest record is seq:%" PRIu64, text, base);
	i = stretch_of(st, p->seq);
	if (st->stretches[i].kind)
		return refuse_stretch(st, text, i, e);
	err = vr_thinned_nearest(st, p->seq, &down, &up, e);
	if (err)
		return err;
	if (down != p->seq && down >= base)
		return vr_fail(e, -ENOENT, "%.60s was thinned out: the nearest points are seq:%" PRIu64 " and seq:%" PRIu64, text, down,
			       up);
	if (down != p->seq)
		return vr_fail(e, -ENOENT, "%.60s was thinned out: the nearest point is seq:%" PRIu64, text, up);
	return time_of(st, p->seq, &p->time_ns, e);
}

int vr_point_find(struct vr_store *st, const char *text, uint64_t now_ns, struct vr_point *p, struct vr_err *e)
{
	int err;

	memset(p, 0, sizeof(*p));
	pthread_mutex_lock(&st->lock);
	err = find_locked(st, text, now_ns, p, e);
	pthread_mutex_unlock(&st->lock);
	return err;
}

/* --- exports' pins ----------------------------------------------------------------------------- */

struct vr_pin {
	struct vr_store *st;
	struct vr_io *io;		/* of the pin itself */
	struct vr_file *file;
	char path[VR_NAME];
};

struct live {
	struct vr_io *io;
	char *name;
};

/* A pin that nobody has a lock on was left behind. */
static int look_at_pin(void *arg, const char *name)
{
	struct live *l = arg;
	struct vaio_rs_pin d;
	char path[VR_NAME];
	struct vr_file *f;
	int err;

	if (!strcmp(name, "lock") || strlen(name) > 40)
		return 0;
	snprintf(path, sizeof(path), "pins/%s", name);
	err = l->io->ops->open(l->io, path, VR_O_WRITE, &f);
	/* It was dropped meanwhile. What cannot be opened may be alive. */
	if (err)
		return err == -ENOENT ? 0 : err;
	if (l->io->ops->lock(f, false)) {
		if (!l->io->ops->read(f, &d, sizeof(d), 0) && le32toh(d.magic) == VAIO_RS_PIN_MAGIC &&
		    vr_crc32c(0, (char *)&d + 8, sizeof(d) - 8) == le32toh(d.crc) && vr_text_valid(d.name, sizeof(d.name)))
			snprintf(l->name, VAIO_RW_NAME_LEN, "%s", (char *)d.name);
		else
			snprintf(l->name, VAIO_RW_NAME_LEN, "%s", name);
	} else {
		l->io->ops->remove(l->io, path);
	}
	l->io->ops->close(f);
	return 0;
}

int vr_pins_lock(struct vr_io *io, struct vr_file **lock, char *live, struct vr_err *e)
{
	struct live l = { io, live };
	int err;

	live[0] = 0;
	err = io->ops->open(io, "pins/lock", VR_O_WRITE, lock);
	if (err)
		return vr_fail_errno(e, err, "pins/lock");
	err = io->ops->lock(*lock, true);
	if (!err)
		err = io->ops->list(io, "pins", look_at_pin, &l);
	if (err) {
		io->ops->close(*lock);
		return vr_fail_errno(e, err, "pins");
	}
	return 0;
}

void vr_pins_unlock(struct vr_io *io, struct vr_file *lock)
{
	io->ops->close(lock);
}

static int write_pin(struct vr_pin *pin, const struct vr_store *st, const struct vr_point *p, const char *text,
		     uint64_t now_ns)
{
	struct vaio_rs_pin d = { .magic = htole32(VAIO_RS_PIN_MAGIC), .version = htole32(VAIO_RS_VERSION) };

	d.pid = htole32((uint32_t)getpid());
	memcpy(d.store, st->super->store, sizeof(d.store));
	d.seq = htole64(p->seq);
	d.created_ns = htole64(now_ns);
	snprintf((char *)d.name, sizeof(d.name), "export of %s (pid %d)", text, (int)getpid());
	d.crc = htole32(vr_crc32c(0, (char *)&d + 8, sizeof(d) - 8));
	return pin->io->ops->write(pin->file, &d, sizeof(d), 0);
}

static int try_pin(const char *dir, const char *point, uint64_t now_ns, struct vr_pin *pin, struct vr_store **st,
		   struct vr_point *p, struct vr_err *e)
{
	struct vr_options o = { .write = false };
	struct vr_io *io;
	int err = vr_io_open(dir, &io);

	if (err)
		return vr_fail_errno(e, err, "%s", dir);
	err = vr_store_open(io, &o, st, e);
	if (err) {
		io->ops->free(io);
		return err;
	}
	err = vr_point_find(*st, point, now_ns, p, e);
	if (!err) {
		err = write_pin(pin, *st, p, point, now_ns);
		if (err)
			vr_fail_errno(e, err, "%s", pin->path);
	}
	if (err) {
		vr_store_close(*st);
		*st = NULL;
	}
	return err;
}

int vr_pin_take(const char *dir, const char *point, uint64_t now_ns, struct vr_pin **out, struct vr_store **st,
		struct vr_point *p, struct vr_err *e)
{
	struct vr_pin *pin = calloc(1, sizeof(*pin));
	char live[VAIO_RW_NAME_LEN];
	struct vr_file *lock;
	uint64_t id;
	int err;

	if (!pin)
		return vr_fail(e, -ENOMEM, "no memory");
	err = vr_io_open(dir, &pin->io);
	if (err) {
		free(pin);
		return vr_fail_errno(e, err, "%s", dir);
	}
	err = vr_pins_lock(pin->io, &lock, live, e);
	if (!err) {
		err = pin->io->ops->random(pin->io, &id, sizeof(id));
		snprintf(pin->path, sizeof(pin->path), "pins/%016" PRIx64, id);
		if (!err)
			err = pin->io->ops->open(pin->io, pin->path, VR_O_CREATE, &pin->file);
		if (!err)
			err = pin->io->ops->lock(pin->file, false);
		if (err)
			vr_fail_errno(e, err, "%s", pin->path);
		/* The daemon may seal, merge or append while the store is read: then it is read again. */
		for (int tries = 0; !err && tries < 10; tries++) {
			err = try_pin(dir, point, now_ns, pin, st, p, e);
			if (err != -EBADMSG && err != -ENOENT)
				break;
			if (tries < 9)
				err = 0;
		}
		vr_pins_unlock(pin->io, lock);
	}
	if (err) {
		if (pin->file) {
			pin->io->ops->remove(pin->io, pin->path);
			pin->io->ops->close(pin->file);
		}
		pin->io->ops->free(pin->io);
		free(pin);
		return err;
	}
	pin->st = *st;
	*out = pin;
	return 0;
}

void vr_pin_drop(struct vr_pin *pin)
{
	if (!pin)
		return;
	vr_store_close(pin->st);
	pin->io->ops->remove(pin->io, pin->path);
	pin->io->ops->close(pin->file);
	pin->io->ops->free(pin->io);
	free(pin);
}
