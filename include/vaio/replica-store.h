/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The format of a replica's store, version 1.
 *
 * Documentation/replica-store.md describes it byte by byte. All numbers are
 * little-endian, all ids are 16 bytes in the order in which they are printed,
 * all CRCs are CRC-32C. Bytes that are reserved here are zero.
 */
#ifndef VAIO_REPLICA_STORE_H
#define VAIO_REPLICA_STORE_H

#include <linux/types.h>

#include "replica-wire.h"

#define VAIO_RS_VERSION		1
#define VAIO_RS_CELL		65536U		/* bytes of a disk that have one checksum, and one index key */
#define VAIO_RS_CELL_SHIFT	16
#define VAIO_RS_LARGE_SHIFT	26		/* zeroes of this size and alignment are one index entry */
#define VAIO_RS_SECTOR		512U
#define VAIO_RS_PAGE		4096U

#define VAIO_RS_SUPER_MAGIC	"vaio-replica\r\n\x1a\n"
#define VAIO_RS_SUPER_MAGIC_LEN	16
#define VAIO_RS_SLOT		(256U << 10)	/* bytes of one of the two copies in "super" */
#define VAIO_RS_MAX_CLIENTS	16U
#define VAIO_RS_MAX_MARKS	256U
#define VAIO_RS_COMPAT_KNOWN	0ULL
#define VAIO_RS_INCOMPAT_KNOWN	0ULL

enum vaio_rs_role {
	VAIO_RS_REPLICA = 1,	/* takes records from its source */
	VAIO_RS_PROMOTED = 2,	/* was taken into use: takes none */
	VAIO_RS_RETURNED = 3,	/* after a failback: takes records, and its source has to be compared */
};

/* Where a failover stands; only READY takes records. */
enum vaio_rs_failover {
	VAIO_RS_READY = 1,
	VAIO_RS_FAILOVER = 2,	/* a guest runs on a point, with its writes aside */
	VAIO_RS_PERMANENT = 3,
	VAIO_RS_FAILBACK = 4,
	VAIO_RS_COMMIT = 5,	/* the failback is being committed */
};

/* Why no point is offered at a number; 0: one is. */
#define VAIO_RS_S_GAP		(1U << 0)	/* records are missing */
#define VAIO_RS_S_RESYNC	(1U << 1)	/* blocks are being brought up to date */
#define VAIO_RS_S_KNOWN		0x3U

/**
 * struct vaio_rs_state - where a history stands after a record
 * @last_seq: that record; 0: none yet
 * @complete_seq: newest point at or before it; 0: none
 * @generation: counter
 * @time_ns: of the record, source's clock
 * @stretch: VAIO_RS_S_*: why last_seq itself is no point
 * @reserved: zero
 */
struct vaio_rs_state {
	__le64	last_seq;
	__le64	complete_seq;
	__le64	generation;
	__le64	time_ns;
	__le32	stretch;
	__le32	reserved;
};

/**
 * struct vaio_rs_super - one copy of the superblock; entries follow it
 * @crc: of bytes 28 to length - 1
 * @sequence: one more with each write; the valid copy with the higher one counts
 * @length: with the entries
 * @base: state of the base once apply is done: the oldest point
 * @base_from: the base holds all records up to here; the journal is needed after it. Less than
 *	base.last_seq only while an apply is under way.
 * @next_segment: no segment had this id yet
 * @source: host that wrote last, @ring, @connection: likewise
 * @retain_ns, @retain_bytes: how much history to keep; 0: as much as fits
 * @quota_bytes: of all files; 0: none
 * @every_write_ns, @interval_ns: of points older than that one for each interval stays; 0: all stay
 * @thinned_from, @thinned_before: ids of segments whose points were thinned out: from, and not the latter
 */
struct vaio_rs_super {
	__u8	magic[VAIO_RS_SUPER_MAGIC_LEN];
	__le32	version;
	__le32	slot;
	__le32	crc;
	__le32	length;
	__le64	sequence;
	__le64	compat;
	__le64	incompat;
	__u8	store[VAIO_RW_ID_LEN];
	__u8	group[VAIO_RW_ID_LEN];
	__u8	group_name[VAIO_RW_NAME_LEN];
	__le64	created_ns;
	__le64	written_ns;
	__le32	role;
	__le32	failover;
	struct vaio_rs_state base;
	__le64	base_from;
	__le64	next_segment;
	__u8	source[VAIO_RW_ID_LEN];
	__u8	ring[VAIO_RW_ID_LEN];
	__le64	connection;
	__le64	retain_ns;
	__le64	retain_bytes;
	__le64	quota_bytes;
	__u8	source_name[VAIO_RW_NAME_LEN];
	__le32	nr_entries;
	__le32	reserved2;
	__le64	every_write_ns;
	__le64	interval_ns;
	__le64	thinned_from;
	__le64	thinned_before;
	__u8	reserved[496];
};

enum vaio_rs_entry_type {
	VAIO_RS_E_CLIENT = 1,		/* subject name of a certificate, 256 bytes */
	VAIO_RS_E_GENERATION = 2,	/* struct vaio_rw_generation, as of the base, oldest first */
	VAIO_RS_E_MEMBER = 3,		/* struct vaio_rs_member, as of the base */
	VAIO_RS_E_MARK = 4,		/* struct vaio_rs_mark */
};

struct vaio_rs_entry {
	__le16	type;
	__le16	flags;		/* zero */
	__le32	length;		/* of what follows, a multiple of 8 */
};

struct vaio_rs_member {
	struct vaio_rw_member member;
	__le64	add_seq;	/* its MEMBER_ADD */
};

/* A point that was named or is held at the replica. */
#define VAIO_RS_MARK_PIN	(1U << 0)
#define VAIO_RS_MARK_KNOWN	0x1U

struct vaio_rs_mark {
	__le64	seq;
	__le64	time_ns;
	__le32	flags;
	__le32	kind;		/* enum vaio_rw_checkpoint_kind */
	__u8	name[VAIO_RW_NAME_LEN];
};

/* --- journal/<id, 16 hex digits>.seg ------------------------------------------------- */

#define VAIO_RS_SEGMENT_MAGIC	0x67737276U	/* "vrsg" */
#define VAIO_RS_APPEND_MAGIC	0x706a7276U	/* "vrjp" */
#define VAIO_RS_SEGMENT_DATA	4096U		/* where batches begin */
#define VAIO_RS_MAX_SEGMENT	(1U << 31)

struct vaio_rs_segment {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to 4095 */
	__le32	version;
	__le32	reserved;
	__u8	store[VAIO_RW_ID_LEN];
	__le64	id;
	__le64	created_ns;
	struct vaio_rs_state before;	/* after the last record of the segment before */
	__u8	zero[4096 - 88];
};

/**
 * struct vaio_rs_append - in front of each batch, at a multiple of 512
 * @crc: of bytes 8 to 63
 * @length: of the batch that follows
 * @segment, @offset: where this stands: tells a misplaced one
 * @durable_seq: what was known durable when it was written: tells a torn tail from damage
 * @received_ns: on the replica's clock
 * @first_seq, @last_seq: of the batch
 */
struct vaio_rs_append {
	__le32	magic;
	__le32	crc;
	__le32	length;
	__le32	reserved;
	__le64	segment;
	__le64	offset;
	__le64	durable_seq;
	__le64	received_ns;
	__le64	first_seq;
	__le64	last_seq;
};

/* --- index/<id>.sum: what a sealed segment contains ------------------------------------ */

#define VAIO_RS_SUM_MAGIC	0x6d737276U	/* "vrsm" */

struct vaio_rs_sum {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to the end of the controls */
	__le32	version;
	__le32	controls_length; /* bytes of all struct vaio_rs_control with their payloads, after this header */
	__u8	store[VAIO_RW_ID_LEN];
	__le64	segment;
	__le64	segment_length;
	__le64	first_seq;
	__le64	min_time_ns;
	__le64	max_time_ns;
	struct vaio_rs_state before;
	struct vaio_rs_state after;
	__le32	nr_controls;
	__le32	nr_batches;	/* of struct vaio_rs_sum_batch after the controls */
	__le32	batches_crc;	/* of them */
	__le32	reserved;
};

struct vaio_rs_sum_batch {
	__le64	first_seq;
	__le64	min_time_ns;
	__le64	max_time_ns;
	__le32	offset;
	__le32	nr_records;
};

/* A record that is neither WRITE, ZEROES, DISCARD, VOID nor CHECK; its payload follows, filled up to 8. */
struct vaio_rs_control {
	struct vaio_rw_record record;
	__le64	previous_seq;	/* number of the record before it */
};

/* --- index/<first segment>-<last segment>.run -------------------------------------------- */

#define VAIO_RS_RUN_MAGIC	0x6e727276U	/* "vrrn" */
#define VAIO_RS_RUN_PAGE_MAGIC	0x70727276U	/* "vrrp" */
#define VAIO_RS_RUN_ENTRIES	127U		/* of a page */

struct vaio_rs_run {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to 4095 */
	__le32	version;
	__le32	reserved;
	__u8	store[VAIO_RW_ID_LEN];
	__le64	first_segment;
	__le64	last_segment;
	__le64	nr_entries;
	__le64	nr_pages;
	__u8	zero[4096 - 64];
};

/**
 * struct vaio_rs_key - one piece of a record; runs are sorted by key, then seq
 * @key: member << 48 | large << 47 | number of the cell of 64 KiB, or of 64 MiB when large
 * @seq: of the record
 * @segment: low 32 bits of the segment's id
 * @frame: where the frame begins in the segment, in units of 8 bytes; 0: zeroes
 * @data: where the bytes are in the frame's raw bytes
 * @start, @count: sectors in the cell: count is one less than their number; 0 and 127 when large
 * @reserved: zero
 */
struct vaio_rs_key {
	__le64	key;
	__le64	seq;
	__le32	segment;
	__le32	frame;
	__le32	data;
	__u8	start;
	__u8	count;
	__le16	reserved;
};

struct vaio_rs_run_page {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to 4095 */
	__le64	index;
	__le32	count;		/* entries used; the others are zero */
	__le32	reserved;
	__le64	first_segment;	/* of the run */
	struct vaio_rs_key keys[VAIO_RS_RUN_ENTRIES];
};

/* --- base/<member, 4 hex digits>.img and .crc ----------------------------------------------- */

#define VAIO_RS_BASE_MAGIC	0x73627276U	/* "vrbs" */
#define VAIO_RS_BASE_DATA	4096U		/* where the sums begin in .crc */

struct vaio_rs_base {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to 4095 */
	__le32	version;
	__le32	member;
	__u8	store[VAIO_RW_ID_LEN];
	__u8	disk[VAIO_RW_ID_LEN];
	__le64	add_seq;	/* MEMBER_ADD since which the disk is this one */
	__u8	zero[4096 - 56];
};

#define VAIO_RS_CELL_USED	(1U << 0)	/* else it is all zeroes */

struct vaio_rs_cell {
	__le32	crc;
	__le32	flags;
};

/* --- pins/<name>: an export that is alive holds a lock on its file ---------------------------- */

#define VAIO_RS_PIN_MAGIC	0x6e707276U	/* "vrpn" */

struct vaio_rs_pin {
	__le32	magic;
	__le32	crc;		/* of bytes 8 to 511 */
	__le32	version;
	__le32	pid;
	__u8	store[VAIO_RW_ID_LEN];
	__le64	seq;		/* the point that is exported */
	__le64	created_ns;
	__u8	name[VAIO_RW_NAME_LEN];
	__u8	zero[512 - 176];
};

#endif /* VAIO_REPLICA_STORE_H */
