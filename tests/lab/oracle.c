// SPDX-License-Identifier: GPL-2.0
/*
 * Replays the journal of a replica's store, record by record, against what the stamper writes (oracle.h).
 *
 *   oracle --seed N [--max BYTES] [--span BYTES] [--session N] [--ledger FILE] [--points N [--sums]] STORE
 *
 * It begins with what the store's base has: segments before it are gone (those of an initial copy, always).
 * Checked for each point: of every stream, the writes that it contains are the first ones, without a hole and as they
 * were made (each point is one record more than the one before, so each record is looked at once). Where
 * points begin again after a gap, and at the end: no sector holds an older write of a stream than another sector of the point
 * proves to be there. --ledger: each operation that was acknowledged is in the newest point (sync mode); with --session those of the newest
 * session, which began when the group was replicated. --points: so many random
 * points are read through the store's index and compared with the replay; --sums: for each of them a line "point SEQ SUM SUM"
 * follows, with the MD5 of the disks. --session: the stamper began anew, each time with the next multiple of N (--from), where
 * its host was killed. What is wrong is a line "BAD ..." and exit status 1.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../userspace/libreplica/store_priv.h"
#include "oracle.h"
#include "replica-disks.h"

#define MAX_POINTS	1000
#define MAX_SESSIONS	64

static struct vr_err e;
static struct vr_store *st;
static struct vr_history history;
static uint8_t *image[ORACLE_DISKS];
static uint16_t numbers[ORACLE_DISKS];	/* that the replica gave to each: which joined first is not said */
static uint64_t disk_bytes, span;
static uint64_t session = UINT32_MAX;
static unsigned long seed;
static uint32_t max = 1 << 20;

static struct stream {
	struct op_source source;
	struct op now;		/* the write that is being read, or was last */
	uint64_t done;		/* bytes of it */
	uint64_t seen;		/* highest number */
	uint64_t end[MAX_SESSIONS];	/* likewise, of each session */
	bool follows;		/* the next one is known */
	/* for the check of content: the last operation that covers a sector */
	struct op_source content;
	uint32_t *last[ORACLE_DISKS];
} streams[ORACLE_STREAMS];

static struct { uint64_t records, writes, points, stretches, contents, acknowledged; } count;
static struct point {
	uint64_t seq;
	uint8_t sums[ORACLE_DISKS][16];
} points[MAX_POINTS];
static uint64_t first_point;
static unsigned int nr_points, done_points;
static bool sums;

__attribute__((format(printf, 1, 2), noreturn))
static void bad(const char *fmt, ...)
{
	va_list ap;

	printf("BAD ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

/* The stamp of a sector; false: none. A stamp that is not whole is an error. */
static bool read_stamp(const uint8_t *p, unsigned int disk, uint64_t sector, uint64_t seq, struct stamp *s)
{
	uint8_t fill;

	memcpy(s, p, sizeof(*s));
	if (s->magic != ORACLE_MAGIC)
		return false;
	fill = (uint8_t)(s->number * 7 + s->stream);
	if (s->check != stamp_check(s) || s->stream >= ORACLE_STREAMS)
		bad("record %" PRIu64 ": disk %u, sector %" PRIu64 ": a torn stamp", seq, disk, sector);
	if (s->disk != disk || s->sector != sector)
		bad("record %" PRIu64 ": disk %u, sector %" PRIu64 " has the stamp of disk %u, sector %" PRIu64, seq, disk, sector,
		    s->disk, s->sector);
	if (p[sizeof(*s)] == fill && !memcmp(p + sizeof(*s), p + sizeof(*s) + 1, SECTOR - sizeof(*s) - 1))
		return true;
	for (unsigned int i = sizeof(*s); i < SECTOR; i++)
		if (p[i] != fill)
			bad("record %" PRIu64 ": disk %u, sector %" PRIu64 ": byte %u", seq, disk, sector, i);
	return true;
}

static void see(struct stream *s, uint64_t number)
{
	if ((number - 1) / session >= MAX_SESSIONS)
		bad("operation %" PRIu64 " is of session %" PRIu64, number, (number - 1) / session);
	if (number > s->seen)
		s->seen = number;
	if (number > s->end[(number - 1) / session])
		s->end[(number - 1) / session] = number;
}

/* Is it the last one of its session, which may be there in part? */
static bool is_end(const struct stream *s, uint64_t number)
{
	return number && s->end[(number - 1) / session] == number;
}

/* --- order ------------------------------------------------------------------------------------ */

static void next_write(struct stream *s)
{
	do
		s->now = op_next(&s->source);
	while (s->now.kind != OP_WRITE);
	s->done = 0;
}

/* A guest's write, or a part of one: is it the next of its stream? */
static void check_write(unsigned int disk, const uint8_t *data, uint64_t offset, uint64_t len, uint64_t seq)
{
	struct stream *s;
	struct stamp first, other;

	/* The kernel writes zeroes where a disk cannot do so by itself. */
	if (vr_all_zero(data, len))
		return;
	if (!read_stamp(data, disk, offset / SECTOR, seq, &first))
		bad("record %" PRIu64 ": a write of the stamper without a stamp", seq);
	for (uint64_t at = SECTOR; at < len; at += SECTOR)
		if (!read_stamp(data + at, disk, (offset + at) / SECTOR, seq, &other) || other.stream != first.stream ||
		    other.number != first.number)
			bad("record %" PRIu64 ": it mixes writes", seq);
	s = &streams[first.stream];
	count.writes++;
	if (!s->follows) {
		/* The first one since points began: whatever it is, it is later than what was seen. */
		if (first.number < s->seen)
			bad("record %" PRIu64 ": stream %u has operation %" PRIu64 " after %" PRIu64, seq, first.stream, first.number,
			    s->seen);
		if (s->source.number < first.number || s->now.number != first.number)
			while (s->source.number < first.number)
				next_write(s);
		s->done = offset - s->now.offset;
		s->follows = !history.now.stretch;
	} else if (s->done == s->now.len) {
		next_write(s);
	}
	if (s->now.number != first.number || s->now.disk != disk || offset != s->now.offset + s->done ||
	    len > s->now.len - s->done)
		bad("record %" PRIu64 ": stream %u: operation %" PRIu64 " (disk %u, %" PRIu64 "+%" PRIu64 "), next was %" PRIu64
		    " (disk %u, %" PRIu64 "+%" PRIu64 ")", seq, first.stream, first.number, disk, offset, len, s->now.number,
		    s->now.disk, s->now.offset + s->done, s->now.len - s->done);
	s->done += len;
	see(s, first.number);
}

/* --- content ----------------------------------------------------------------------------------- */

/* What stream @s left in each sector, up to operation @number. */
static void advance_content(struct stream *s, uint64_t number)
{
	while (s->content.number < number) {
		struct op o = op_next(&s->content);

		/* What was killed with its host before it left a trace did not happen. */
		if (o.number > s->end[(o.number - 1) / session])
			continue;
		for (uint64_t at = 0; o.kind != OP_FLUSH && at < o.len; at += SECTOR)
			s->last[o.disk][(o.offset + at) / SECTOR] = (uint32_t)o.number;
	}
}

/* A sector without a stamp: nothing, or what was there before any stream wrote there? */
static bool never_written(unsigned int d, uint64_t n)
{
	const uint8_t *p = image[d] + n * SECTOR;

	if (vr_all_zero(p, SECTOR))
		return true;
	for (unsigned int i = 0; i < ORACLE_STREAMS; i++)
		if (streams[i].last[d][n] && !is_end(&streams[i], streams[i].last[d][n]))
			return false;
	return true;
}

static void check_content(uint64_t seq)
{
	struct stamp stamp;

	count.contents++;
	for (unsigned int d = 0; d < ORACLE_DISKS; d++)
		for (uint64_t n = 0; n < disk_bytes / SECTOR; n++)
			if (read_stamp(image[d] + n * SECTOR, d, n, seq, &stamp))
				see(&streams[stamp.stream], stamp.number);
	for (unsigned int i = 0; i < ORACLE_STREAMS; i++)
		advance_content(&streams[i], streams[i].seen);
	for (unsigned int d = 0; d < ORACLE_DISKS; d++)
		for (uint64_t n = 0; n < disk_bytes / SECTOR; n++) {
			if (!read_stamp(image[d] + n * SECTOR, d, n, seq, &stamp)) {
				if (!never_written(d, n))
					bad("record %" PRIu64 ": disk %u, sector %" PRIu64 " holds what was there at first", seq, d,
					    n);
				continue;
			}
			/*
			 * The newest one may have come in part: a request that crosses a boundary of 4 MiB is two, and
			 * one that was killed with its host is whatever it was.
			 */
			if (streams[stamp.stream].last[d][n] != stamp.number &&
			    !is_end(&streams[stamp.stream], streams[stamp.stream].last[d][n]))
				bad("record %" PRIu64 ": disk %u, sector %" PRIu64 " holds operation %" PRIu64 " of stream %u, though %u "
				    "came before %" PRIu64 ", which is there", seq, d, n, stamp.number, stamp.stream,
				    streams[stamp.stream].last[d][n], streams[stamp.stream].seen);
		}
}

static unsigned int disk_of(uint16_t member, uint64_t seq)
{
	for (unsigned int d = 0; d < ORACLE_DISKS; d++)
		if (numbers[d] == member)
			return d;
	bad("record %" PRIu64 ": disk number %u", seq, member);
}

/* --- replay --------------------------------------------------------------------------------------- */

static void replay_record(const struct vaio_rw_record *r, const uint8_t *payload)
{
	uint64_t seq = le64toh(r->seq), offset = le64toh(r->offset), len = le64toh(r->length);
	uint16_t member = le16toh(r->member), type = le16toh(r->type);
	unsigned int disk = member == VAIO_RW_NO_MEMBER ? 0 : disk_of(member, seq);
	union { uint8_t bytes[256]; uint64_t align; } copy;
	bool stretch = history.now.stretch;

	if (payload && vr_type_is_control(type))
		memcpy(copy.bytes, payload, le32toh(r->data_length));
	if (vr_history_record(&history, r, copy.bytes, &e))
		bad("%s", e.text);
	count.records++;
	switch (type) {
	case VAIO_RW_R_WRITE:
		if (!(le16toh(r->flags) & VAIO_RW_RF_RESYNC))
			check_write(disk, payload, offset, len, seq);
		memcpy(image[disk] + offset, payload, len);
		break;
	case VAIO_RW_R_ZEROES:
	case VAIO_RW_R_DISCARD:
		memset(image[disk] + offset, 0, len);
		break;
	case VAIO_RW_R_RESYNC_END:
		check_content(seq);
		break;
	}
	if (history.now.stretch && !stretch) {
		count.stretches++;
		for (unsigned int i = 0; i < ORACLE_STREAMS; i++)
			streams[i].follows = false;
	}
	if (!history.now.stretch) {
		count.points++;
		if (!first_point)
			first_point = seq;
	}
}

/* What the base has: records up to there are not looked at. */
static void begin_with_base(void)
{
	const struct vr_history *base = &st->super->base;
	struct vr_view *v;

	memcpy(&history, base, sizeof(history));
	if (!base->now.last_seq)
		return;
	if (vr_view_open(st, base->now.last_seq, &v, &e))
		bad("the base: %s", e.text);
	for (unsigned int i = 0; i < base->nr_members; i++)
		if (vr_view_read(v, base->members[i].number, image[disk_of(base->members[i].number, 0)], disk_bytes, 0, &e))
			bad("the base: %s", e.text);
	vr_view_close(v);
	if (!base->now.stretch)
		check_content(base->now.last_seq);
}

/* The point @seq by the store's index. */
static void check_view(uint64_t seq)
{
	uint8_t *buf = malloc(disk_bytes);
	struct vr_view *v;

	if (!buf || vr_view_open(st, seq, &v, &e))
		bad("point %" PRIu64 ": %s", seq, e.text);
	for (uint16_t d = 0; d < ORACLE_DISKS; d++) {
		if (vr_view_read(v, numbers[d], buf, disk_bytes, 0, &e))
			bad("point %" PRIu64 ": %s", seq, e.text);
		if (memcmp(buf, image[d], disk_bytes))
			bad("point %" PRIu64 ": disk %u reads otherwise than the records say", seq, d);
	}
	vr_view_close(v);
	free(buf);
}

static void look_at_point(struct point *p)
{
	p->seq = history.now.last_seq;
	check_view(p->seq);
	for (unsigned int d = 0; sums && d < ORACLE_DISKS; d++)
		gcry_md_hash_buffer(GCRY_MD_MD5, p->sums[d], image[d], disk_bytes);
}

static void replay(void)
{
	struct vr_batch *b = malloc(sizeof(*b));
	struct vr_unpacker *u = vr_unpacker_new();
	uint64_t base = history.now.last_seq;

	for (unsigned int i = 0; i < st->nr_segments; i++) {
		struct vr_segment *g = st->segments[i];

		if (vr_segment_open(st, g, &e) || vr_segment_batches(st, g, &e))
			bad("%s", e.text);
		for (unsigned int k = 0; k < g->nr_batches; k++) {
			void *buf;

			if (vr_segment_batch(st, g, k, &buf, b, &e) || vr_batch_unpack(u, b, &e))
				bad("%s", e.text);
			for (unsigned int n = 0; n < b->nr_records; n++) {
				if (le64toh(b->records[n].seq) <= base)
					continue;
				replay_record(&b->records[n], vr_batch_payload(b, n));
				/* A number within a gap stands for the next point. */
				while (!history.now.stretch && done_points < nr_points &&
				       points[done_points].seq <= history.now.last_seq)
					look_at_point(&points[done_points++]);
			}
			free(buf);
		}
	}
	vr_unpacker_free(u);
	free(b);
}

static void check_ledger(const char *path)
{
	struct ledger l;
	int fd = open(path, O_RDONLY);
	uint64_t acknowledged = 0;
	unsigned int followed = 0;

	if (fd < 0 || read(fd, &l, sizeof(l)) != sizeof(l))
		bad("%s cannot be read", path);
	if (history.now.stretch)
		bad("the newest record is no point");
	for (unsigned int i = 0; i < ORACLE_STREAMS; i++) {
		uint64_t last = 0, begin = l.acked[i] ? (l.acked[i] - 1) / session * session : 0;
		struct op_source s;

		/*
		 * It has written nothing since points began: what it wrote before may be overwritten by now. A session
		 * begins when there are points.
		 */
		if (session == UINT32_MAX && !streams[i].follows)
			continue;
		followed++;
		op_begin(&s, seed, i, span, max);
		while (s.number < l.acked[i]) {
			struct op o = op_next(&s);

			if (o.kind == OP_WRITE && o.number > begin)
				last = o.number;
		}
		acknowledged += l.acked[i] - begin;
		if (streams[i].seen < last || (streams[i].follows && streams[i].seen == last &&
					       streams[i].done < streams[i].now.len))
			bad("stream %u: operation %" PRIu64 " was acknowledged, the replica has %" PRIu64, i, last, streams[i].seen);
	}
	if (!followed || !acknowledged)
		bad("nothing was acknowledged since points began");
	count.acknowledged = acknowledged;
}

static int compare_points(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void print_points(void)
{
	for (unsigned int i = 0; i < done_points; i++) {
		printf("point %" PRIu64, points[i].seq);
		for (unsigned int d = 0; d < ORACLE_DISKS; d++) {
			putchar(' ');
			for (unsigned int k = 0; k < sizeof(points[i].sums[d]); k++)
				printf("%02x", points[i].sums[d][k]);
		}
		putchar('\n');
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 'r' }, { "max", 1, NULL, 'm' }, { "ledger", 1, NULL, 'l' }, { "points", 1, NULL, 'p' },
		{ "sums", 0, NULL, 'u' }, { "span", 1, NULL, 'b' }, { "session", 1, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	struct vr_options o = { .write = false };
	const char *ledger = NULL;
	struct vr_history *newest;
	struct vr_io *io;
	uint64_t last;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r': seed = strtoul(optarg, NULL, 10); break;
		case 'm': max = (uint32_t)atoi(optarg); break;
		case 'l': ledger = optarg; break;
		case 'p': nr_points = (unsigned int)atoi(optarg); break;
		case 'b': span = strtoul(optarg, NULL, 10); break;
		case 's': session = strtoul(optarg, NULL, 10); break;
		case 'u': sums = true; break;
		default: return 2;
		}
	}
	if (argc - optind != 1 || nr_points > MAX_POINTS || !session)
		return 2;
	gcry_check_version(NULL);
	if (vr_io_open(argv[optind], &io) || vr_store_open(io, &o, &st, &e))
		bad("%s: %s", argv[optind], e.text);
	newest = vr_store_history(st);
	if (!newest || newest->nr_members != ORACLE_DISKS)
		bad("the store has %u disks", newest ? newest->nr_members : 0);
	disk_bytes = newest->members[0].size;
	if (!span)
		span = disk_bytes;
	qsort(newest->members, ORACLE_DISKS, sizeof(newest->members[0]), by_uuid);
	for (unsigned int d = 0; d < ORACLE_DISKS; d++) {
		numbers[d] = newest->members[d].number;
		if (newest->members[d].size != disk_bytes)
			bad("disk %u has %" PRIu64 " bytes", d, newest->members[d].size);
		image[d] = calloc(1, disk_bytes);
	}
	last = newest->now.last_seq;
	free(newest);
	for (unsigned int i = 0; i < ORACLE_STREAMS; i++) {
		op_begin(&streams[i].source, seed, i, span, max);
		op_begin(&streams[i].content, seed, i, span, max);
		for (unsigned int d = 0; d < ORACLE_DISKS; d++)
			streams[i].last[d] = calloc(disk_bytes / SECTOR, sizeof(uint32_t));
	}
	srandom((unsigned int)seed);
	begin_with_base();
	for (unsigned int i = 0; i < nr_points; i++)
		points[i].seq = last - (uint64_t)random() % (last - history.now.last_seq + 1);
	qsort(points, nr_points, sizeof(*points), compare_points);
	replay();
	if (!history.now.stretch) {
		check_content(history.now.last_seq);
		check_view(history.now.last_seq);
	}
	if (ledger)
		check_ledger(ledger);
	printf("records %" PRIu64 " points %" PRIu64 " writes %" PRIu64 " stretches %" PRIu64 " contents %" PRIu64 " first %" PRIu64
	       " last %" PRIu64 " acknowledged %" PRIu64 "\n", count.records, count.points, count.writes, count.stretches, count.contents,
	       first_point, history.now.last_seq, count.acknowledged);
	if (sums)
		print_points();
	return 0;
}
