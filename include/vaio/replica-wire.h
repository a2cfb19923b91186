/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The replication protocol between vaio-agent and vaio-replicad, version 1.
 *
 * Documentation/replication-wire.md describes it byte by byte, with the rules.
 * All numbers are little-endian, all ids are 16 bytes in the order in which they
 * are printed, all CRCs are CRC-32C (start and final XOR 0xFFFFFFFF). Bytes that
 * are reserved here are zero, and a receiver refuses what is not.
 *
 * Batches, records and frames stand in the journal of a store exactly as they
 * came over the wire (Documentation/replica-store.md).
 */
#ifndef VAIO_REPLICA_WIRE_H
#define VAIO_REPLICA_WIRE_H

#include <linux/types.h>

#define VAIO_RW_VERSION		1
#define VAIO_RW_PORT		7790
#define VAIO_RW_ALPN		"vaio-replica/1"	/* TLS application protocol */
#define VAIO_RW_ID_LEN		16
#define VAIO_RW_NAME_LEN	128		/* names, with the terminating NUL */
#define VAIO_RW_TEXT_LEN	256		/* sentences for people, likewise */
#define VAIO_RW_HASH_LEN	32		/* BLAKE2s-256 */

/* Limits of version 1; WELCOME may lower those of batches. */
#define VAIO_RW_MAX_MESSAGE	(1U << 20)	/* payload of a message that is no batch */
#define VAIO_RW_MAX_BATCH	(8U << 20)	/* bytes of a batch, as sent */
#define VAIO_RW_MAX_BATCH_RAW	(16U << 20)	/* sum of its frames' raw bytes */
#define VAIO_RW_MAX_RECORDS	8192U		/* records of a batch */
#define VAIO_RW_MAX_FRAMES	256U		/* frames of a batch */
#define VAIO_RW_MAX_CELLS	(1U << 18)	/* of 64 KiB that its ranges touch; an aligned 64 MiB of zeroes is one */
#define VAIO_RW_MAX_RAW		(4U << 20)	/* raw bytes of a frame, and of a record's payload */
#define VAIO_RW_MAX_RANGE	(1ULL << 30)	/* bytes of a discard or write-zeroes */
#define VAIO_RW_MAX_CHECK	(4ULL << 20)	/* bytes that one CHECK covers */
#define VAIO_RW_MAX_DISK	(1ULL << 56)	/* bytes of a disk */
#define VAIO_RW_MAX_SEQ		(1ULL << 62)
#define VAIO_RW_MAX_MEMBERS	256U
#define VAIO_RW_MAX_GENERATIONS	64U
#define VAIO_RW_MAX_DIFF	4096U		/* ranges of a DIFF */

#define VAIO_RW_PING_MS		5000U		/* silence after which a PING goes out */
#define VAIO_RW_DEAD_MS		30000U		/* silence after which the peer is gone */

/* --- messages ------------------------------------------------------------------ */

#define VAIO_RW_MSG_MAGIC	0x6d777276U	/* "vrwm" */

enum vaio_rw_type {
	VAIO_RW_HELLO = 1,		/* agent: struct vaio_rw_hello and its lists; the first message */
	VAIO_RW_WELCOME = 2,		/* replicad: struct vaio_rw_welcome and its lists; the answer */
	VAIO_RW_END = 3,		/* both: struct vaio_rw_end; the last message */
	VAIO_RW_BATCH = 4,		/* agent: struct vaio_rw_batch, records, frames */
	VAIO_RW_DURABLE = 5,		/* replicad: struct vaio_rw_durable */
	VAIO_RW_DIFF = 6,		/* replicad: struct vaio_rw_diff and ranges */
	VAIO_RW_BLOCKED = 7,		/* replicad: struct vaio_rw_blocked */
	VAIO_RW_UNBLOCKED = 8,		/* replicad: struct vaio_rw_unblocked */
	VAIO_RW_PING = 9,		/* both: struct vaio_rw_ping */
	VAIO_RW_PONG = 10,		/* both: the bytes of the PING */
	VAIO_RW_STATUS = 11,		/* agent: struct vaio_rw_status */
	VAIO_RW_CHECKPOINT_REQUEST = 12, /* replicad: struct vaio_rw_checkpoint_request */
	VAIO_RW_CHECKPOINT_RESULT = 13,	/* agent: struct vaio_rw_checkpoint_result */
	VAIO_RW_NOT_HELD = 14,		/* replicad: struct vaio_rw_not_held */
};

/**
 * struct vaio_rw_msg - in front of every message
 * @magic: VAIO_RW_MSG_MAGIC
 * @crc: of the 16 bytes that follow it
 * @type: enum vaio_rw_type
 * @flags: zero
 * @length: bytes of payload that follow this header
 * @payload_crc: of the payload; zero for BATCH, which has CRCs of its own
 * @reserved: zero
 */
struct vaio_rw_msg {
	__le32	magic;
	__le32	crc;
	__le16	type;
	__le16	flags;
	__le32	length;
	__le32	payload_crc;
	__le32	reserved;
};

/**
 * struct vaio_rw_generation - names a history of writes
 * @id: random; all zero for none
 * @counter: one more than its parent's
 * @first_seq: the first record of this generation
 * @time_ns: when it began, ns since 1970 UTC on the host that began it
 */
struct vaio_rw_generation {
	__u8	id[VAIO_RW_ID_LEN];
	__le64	counter;
	__le64	first_seq;
	__le64	time_ns;
};

#define VAIO_RW_M_REMOVED	(1U << 0)	/* no longer in the group */
#define VAIO_RW_M_KNOWN		0x1U

/**
 * struct vaio_rw_member - a disk of a group
 * @disk: its UUID
 * @vm: the guest that it belongs to; nil: stands alone. No frame mixes two of them.
 * @size: bytes
 * @number: by which records name it; never given to another disk
 * @block_size: 512 or 4096
 * @flags: VAIO_RW_M_*
 * @name: for people, "vm1-vda"
 * @reserved: zero
 */
struct vaio_rw_member {
	__u8	disk[VAIO_RW_ID_LEN];
	__u8	vm[VAIO_RW_ID_LEN];
	__le64	size;
	__le16	number;
	__le16	flags;
	__le32	block_size;
	__u8	name[VAIO_RW_NAME_LEN];
	__u8	reserved[80];
};

#define VAIO_RW_H_SYNC		(1U << 0)	/* writes are acknowledged with the replica's fdatasync */
#define VAIO_RW_H_TRACKING	(1U << 1)	/* records were dropped: the next one will be a GAP */
#define VAIO_RW_H_SOURCE_DAMAGED (1U << 2)	/* this disk lost data: it must not be resynced over the replica */
#define VAIO_RW_H_KNOWN		0x7U

/**
 * struct vaio_rw_hello - who I am and what I can send
 * @version_min, @version_max: protocol versions spoken
 * @features: what would be used, @required: what cannot be done without; none yet
 * @group: UUID
 * @host: /etc/machine-id, @boot: boot_id of the source
 * @ring: random, new with each ring of the group; says whether seq numbers go on
 * @connection: counts connections of this ring, from 1; the higher one wins
 * @generation: the current one
 * @first_seq: oldest record that can still be sent
 * @next_seq: the number that the next new record will get
 * @acked_seq: highest that the source was ever told to be durable; 0 when it does not know
 * @flags: VAIO_RW_H_*
 * @nr_generations: of struct vaio_rw_generation that follow, oldest first, the current one last
 * @nr_members: of struct vaio_rw_member that follow these
 * @host_name, @group_name: for people
 */
struct vaio_rw_hello {
	__le32	version_min;
	__le32	version_max;
	__le64	features;
	__le64	required;
	__u8	group[VAIO_RW_ID_LEN];
	__u8	host[VAIO_RW_ID_LEN];
	__u8	boot[VAIO_RW_ID_LEN];
	__u8	ring[VAIO_RW_ID_LEN];
	__le64	connection;
	struct vaio_rw_generation generation;
	__le64	first_seq;
	__le64	next_seq;
	__le64	acked_seq;
	__le32	flags;
	__le16	nr_generations;
	__le16	nr_members;
	__u8	host_name[VAIO_RW_NAME_LEN];
	__u8	group_name[VAIO_RW_NAME_LEN];
	__u8	reserved[64];
};

#define VAIO_RW_W_EMPTY		(1U << 0)	/* nothing is here: begin with an initial resync */
#define VAIO_RW_W_COMPARE	(1U << 1)	/* acknowledged records are missing: begin with GAP and compare all */
#define VAIO_RW_W_RESYNC	(1U << 2)	/* a gap or resync stretch is open */
#define VAIO_RW_W_KNOWN		0x7U

/**
 * struct vaio_rw_welcome - what the replica has
 * @version: the one to be spoken
 * @flags: VAIO_RW_W_*
 * @features: those in use
 * @replica: machine-id of the replica's host, @store: UUID of the group's store
 * @generation: the newest in the store; nil when empty
 * @durable_seq: last record that is durable here; 0 when empty
 * @complete_seq: newest point that is offered; 0 for none
 * @max_batch, @max_batch_raw, @max_records: limits for batches
 * @window: bytes of batches that may be on their way unacknowledged
 * @nr_generations, @nr_members: of the structures that follow, as in HELLO
 */
struct vaio_rw_welcome {
	__le32	version;
	__le32	flags;
	__le64	features;
	__u8	replica[VAIO_RW_ID_LEN];
	__u8	store[VAIO_RW_ID_LEN];
	struct vaio_rw_generation generation;
	__le64	durable_seq;
	__le64	complete_seq;
	__le32	max_batch;
	__le32	max_batch_raw;
	__le32	max_records;
	__le32	window;
	__le16	nr_generations;
	__le16	nr_members;
	__u8	reserved[60];
};

enum vaio_rw_end_code {
	VAIO_RW_END_DONE = 0,		/* stopping in good order */
	VAIO_RW_END_VERSION = 1,	/* no common version, or a required feature is unknown */
	VAIO_RW_END_NO_GROUP = 2,	/* the group is not here and new ones are not taken */
	VAIO_RW_END_IDENTITY = 3,	/* the certificate is not bound to this group */
	VAIO_RW_END_BUSY = 4,		/* another host writes this group */
	VAIO_RW_END_FORK = 5,		/* the generations forked: neither may overwrite the other */
	VAIO_RW_END_PROMOTED = 6,	/* the replica was taken into use; @generation is its history */
	VAIO_RW_END_PROTOCOL = 7,	/* a message broke the rules */
	VAIO_RW_END_DAMAGED = 8,	/* the store is damaged and waits for its administrator */
	VAIO_RW_END_FAILED = 9,		/* an I/O error of the store */
	VAIO_RW_END_REPLACED = 10,	/* a newer connection of the same ring took over */
	VAIO_RW_END_TIMEOUT = 11,	/* nothing was heard for VAIO_RW_DEAD_MS */
	VAIO_RW_END_LIMIT = 12,		/* too many groups, members or connections */
	VAIO_RW_END_RECONNECT = 13,	/* connect again: new keys, new certificates */
	VAIO_RW_END_SOURCE_DAMAGED = 14, /* a damaged source may not resync over the replica */
	VAIO_RW_END_HOST = 15,		/* another host wrote the group before: an administrator has to say so */
};

/**
 * struct vaio_rw_end - the last message
 * @code: enum vaio_rw_end_code
 * @retry_ms: when to try again at the earliest; 0 at once, ~0 not without an administrator
 * @generation: with FORK and PROMOTED, the newest of the sender; else zero
 * @text: says why
 */
struct vaio_rw_end {
	__le32	code;
	__le32	retry_ms;
	struct vaio_rw_generation generation;
	__u8	text[VAIO_RW_TEXT_LEN];
};

/**
 * struct vaio_rw_durable - all up to here will be there after a power cut
 * @durable_seq: never less than in an earlier DURABLE of this connection
 * @complete_seq: newest point that is offered; 0 for none
 */
struct vaio_rw_durable {
	__le64	durable_seq;
	__le64	complete_seq;
};

/* What a CHECK found different; the blocks want to be sent. */
struct vaio_rw_range {
	__le64	offset;
	__le64	length;
};

struct vaio_rw_diff {
	__le64	seq;		/* of the CHECK */
	__le16	member;
	__le16	reserved;
	__le32	nr_ranges;	/* of struct vaio_rw_range that follow */
};

enum vaio_rw_blocked_reason {
	VAIO_RW_BLOCKED_FULL = 1,	/* the store, or the group's quota, is full */
	VAIO_RW_BLOCKED_RESYNC = 2,	/* a resync would not fit beside the last good point */
};

/**
 * struct vaio_rw_blocked - nothing beyond @durable_seq was kept
 * @reason: enum vaio_rw_blocked_reason
 * @reserved: zero
 * @durable_seq: as in DURABLE; what was sent beyond it is dropped and sent again after UNBLOCKED
 * @need, @have: bytes
 * @text: says it in words
 */
struct vaio_rw_blocked {
	__le32	reason;
	__le32	reserved;
	__le64	durable_seq;
	__le64	need;
	__le64	have;
	__u8	text[VAIO_RW_TEXT_LEN];
};

struct vaio_rw_unblocked {
	__le64	durable_seq;	/* send again from the record after this */
};

struct vaio_rw_ping {
	__le64	cookie;
};

#define VAIO_RW_NO_AGE		(~0ULL)	/* of a STATUS: there is no point that an age could be of */

/* What the replica's administrator wants to know of the source. */
struct vaio_rw_status {
	__le32	flags;		/* VAIO_RW_H_* */
	__le32	reserved;
	__le64	rpo_ns;		/* age of the oldest unacknowledged write, on the source's clock; VAIO_RW_NO_AGE */
	__le64	rpo_worst_ns;	/* the worst since the group started; VAIO_RW_NO_AGE */
	__le64	backlog_bytes;	/* in the ring, unacknowledged */
	__le64	dirty_bytes;	/* still to be resynced */
	__le64	written_bytes;	/* by the guests, since the ring was made */
	__le64	sent_bytes;	/* over the wire, likewise */
};

struct vaio_rw_checkpoint_request {
	__le64	cookie;
	__le32	kind;		/* enum vaio_rw_checkpoint_kind that is wanted */
	__le32	reserved;
	__u8	name[VAIO_RW_NAME_LEN];
};

struct vaio_rw_checkpoint_result {
	__le64	cookie;
	__le64	seq;		/* of the CHECKPOINT record; 0: there is none, @text says why */
	__u8	text[VAIO_RW_TEXT_LEN];
};

/* A CHECKPOINT with flag pin is a named point, but is not held: @text says why. Comes before the DURABLE that covers it. */
struct vaio_rw_not_held {
	__le64	seq;
	__u8	text[VAIO_RW_TEXT_LEN];
};

/* --- batches --------------------------------------------------------------------- */

#define VAIO_RW_BATCH_MAGIC	0x74627276U	/* "vrbt" */
#define VAIO_RW_FRAME_MAGIC	0x72667276U	/* "vrfr" */

/**
 * struct vaio_rw_batch - consecutive records of one group
 * @magic: VAIO_RW_BATCH_MAGIC
 * @crc: of bytes 8 to 63 and of all records
 * @length: of the whole batch with this header, a multiple of 8
 * @nr_records: at least 1; record i has the number first_seq + i
 * @nr_frames: frames after the records
 * @reserved, @reserved2, @reserved3: zero
 * @group: UUID
 * @first_seq: number of the first record
 * @generation: counter of the current one
 */
struct vaio_rw_batch {
	__le32	magic;
	__le32	crc;
	__le32	length;
	__le32	nr_records;
	__le16	nr_frames;
	__le16	reserved;
	__le32	reserved2;
	__u8	group[VAIO_RW_ID_LEN];
	__le64	first_seq;
	__le64	generation;
	__le64	reserved3;
};

enum vaio_rw_record_type {
	VAIO_RW_R_WRITE = 1,		/* payload: the bytes at offset */
	VAIO_RW_R_ZEROES = 2,		/* offset and length read as zeroes from now on */
	VAIO_RW_R_DISCARD = 3,		/* likewise, and the space may be given back */
	VAIO_RW_R_VOID = 4,		/* a write that failed at the source: changes nothing */
	VAIO_RW_R_CHECK = 5,		/* payload: BLAKE2s-256 of length bytes at offset */
	VAIO_RW_R_GROW = 6,		/* length is the new size, ref the old one */
	VAIO_RW_R_CHECKPOINT = 7,	/* payload: struct vaio_rw_checkpoint */
	VAIO_RW_R_GAP = 8,		/* payload: struct vaio_rw_gap; only as the first record of a batch */
	VAIO_RW_R_RESYNC_BEGIN = 9,	/* payload: struct vaio_rw_resync */
	VAIO_RW_R_RESYNC_END = 10,	/* the group is whole again */
	VAIO_RW_R_MEMBER_ADD = 11,	/* payload: struct vaio_rw_member */
	VAIO_RW_R_MEMBER_REMOVE = 12,	/* the disk is in no later point */
	VAIO_RW_R_GENERATION = 13,	/* payload: struct vaio_rw_generation */
	VAIO_RW_R_CLOCK = 14,		/* payload: struct vaio_rw_clock */
	__VAIO_RW_R_COUNT,
};

#define VAIO_RW_RF_RESYNC	(1U << 0)	/* WRITE, ZEROES: read back from the disk, not a guest's write */
#define VAIO_RW_RF_FUA		(1U << 1)	/* WRITE: the guest asked for FUA */
#define VAIO_RW_RF_NOUNMAP	(1U << 2)	/* ZEROES: keep the space */
#define VAIO_RW_RF_KNOWN	0x7U

#define VAIO_RW_NO_FRAME	0xffffU		/* the record has no payload */
#define VAIO_RW_NO_MEMBER	0xffffU		/* the record is of the whole group */

/**
 * struct vaio_rw_record - one event in a group's history
 * @crc: of the 60 bytes that follow it
 * @type: enum vaio_rw_record_type
 * @flags: VAIO_RW_RF_*
 * @seq: its number
 * @time_ns: when, ns since 1970 UTC on the source's clock made monotone for the time of a boot
 * @offset, @length: bytes of the disk; zero where the type has no range
 * @member: which disk; VAIO_RW_NO_MEMBER where it is the whole group
 * @frame: which frame of the batch has the payload, from 0; VAIO_RW_NO_FRAME for none
 * @data_offset: where in the raw bytes of that frame the payload begins
 * @data_length: bytes of payload
 * @data_crc: of the payload; zero without one
 * @ref: depends on the type
 */
struct vaio_rw_record {
	__le32	crc;
	__le16	type;
	__le16	flags;
	__le64	seq;
	__le64	time_ns;
	__le64	offset;
	__le64	length;
	__le16	member;
	__le16	frame;
	__le32	data_offset;
	__le32	data_length;
	__le32	data_crc;
	__le64	ref;
};

enum vaio_rw_codec {
	VAIO_RW_CODEC_NONE = 0,		/* stored bytes are the raw bytes */
	VAIO_RW_CODEC_ZSTD = 1,		/* one zstd frame, without dictionary */
};

/**
 * struct vaio_rw_frame - payloads of one guest's records, compressed together
 * @magic: VAIO_RW_FRAME_MAGIC
 * @crc: of bytes 8 to 47 and of the stored bytes
 * @stored_length: bytes that follow this header, without the zeroes that fill up to a multiple of 8
 * @raw_length: bytes when unpacked, 1 to VAIO_RW_MAX_RAW, not less than stored_length
 * @codec: enum vaio_rw_codec
 * @reserved, @reserved2, @reserved3: zero
 * @vm: the guest of all records of this frame; nil for the group's own records
 */
struct vaio_rw_frame {
	__le32	magic;
	__le32	crc;
	__le32	stored_length;
	__le32	raw_length;
	__le16	codec;
	__le16	reserved;
	__le32	reserved2;
	__u8	vm[VAIO_RW_ID_LEN];
	__le64	reserved3;
};

/* --- payloads of records ------------------------------------------------------------ */

enum vaio_rw_checkpoint_kind {
	VAIO_RW_C_CRASH = 1,		/* as after a power cut */
	VAIO_RW_C_FILESYSTEM = 2,	/* the guests' filesystems were frozen */
	VAIO_RW_C_APPLICATION = 3,	/* and their applications quiet */
};

#define VAIO_RW_CF_PIN		(1U << 0)	/* keep this point until somebody lets it go */
#define VAIO_RW_CF_KNOWN	0x1U

struct vaio_rw_checkpoint {
	__le32	kind;		/* enum vaio_rw_checkpoint_kind */
	__le32	flags;		/* VAIO_RW_CF_* */
	__u8	name[VAIO_RW_NAME_LEN];
};

enum vaio_rw_gap_reason {
	VAIO_RW_GAP_FULL = 1,		/* the ring was full */
	VAIO_RW_GAP_AGENT = 2,		/* the agent was away for too long */
	VAIO_RW_GAP_LINK = 3,		/* so was the replica */
	VAIO_RW_GAP_CRASH = 4,		/* the source's host stopped uncleanly */
	VAIO_RW_GAP_REVERT = 5,		/* bytes changed beneath the disk */
	VAIO_RW_GAP_REPLICA = 6,	/* the replica lost what it had acknowledged */
	VAIO_RW_GAP_ADMIN = 7,		/* an administrator wanted it */
	VAIO_RW_GAP_NEW_DISK = 8,	/* a disk with content joined the group */
};

struct vaio_rw_gap {
	__le32	reason;		/* enum vaio_rw_gap_reason */
	__le32	reserved;
	__le64	since_ns;	/* time of the first write that is missing; 0 when unknown */
};

enum vaio_rw_resync_kind {
	VAIO_RW_S_INITIAL = 1,		/* the whole disks, nothing was here */
	VAIO_RW_S_BITMAP = 2,		/* what the source knows to differ */
	VAIO_RW_S_COMPARE = 3,		/* CHECK records, then what they found */
};

struct vaio_rw_resync {
	__le32	kind;		/* enum vaio_rw_resync_kind */
	__le32	reserved;
	__le64	bytes;		/* that will be sent at most */
};

struct vaio_rw_clock {
	__u8	boot[VAIO_RW_ID_LEN];	/* of the source */
	__le64	wall_ns;	/* what the source's wall clock says now */
};

#endif /* VAIO_REPLICA_WIRE_H */
