/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * vaio: replication, the ABI between vaio-replication.ko and its agent, and the
 * netlink family that manages groups.
 *
 * Documentation/replication-ring.md describes the ring byte by byte and how an
 * agent uses it; Documentation/netlink/vaio-replication.yaml is the family.
 * Numbers are in the byte order of the host: the ring never leaves it.
 */
#ifndef _UAPI_LINUX_VAIO_REPLICATION_H
#define _UAPI_LINUX_VAIO_REPLICATION_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vaio.h>

#define VAIO_REPL_DEVICE	"/dev/vaio/replication"
#define VAIO_REPL_VERSION	2
#define VAIO_REPL_MAGIC		0x6f696176U	/* "vaio" in memory of a little-endian host */

#define VAIO_REPL_MEMBERS	64		/* disks of a group */
#define VAIO_REPL_CHUNK		(4U << 20)	/* data areas; a record never crosses one */
#define VAIO_REPL_SLOT		(128U << 10)	/* largest read of a resync */
#define VAIO_REPL_DIGEST	32		/* bytes of BLAKE2s-256 */
#define VAIO_REPL_RANGES	1024		/* of one MARK_DIRTY */
#define VAIO_REPL_MARK_LEN	128		/* of a checkpoint's name, with the terminating NUL */

/* What a record is. Lengths and offsets are bytes of the member's disk. */
enum vaio_repl_type {
	VAIO_REPL_WRITE = 1,		/* payload of "length" bytes for "offset" */
	VAIO_REPL_ZEROES = 2,		/* the range reads as zeroes from here on */
	VAIO_REPL_DISCARD = 3,		/* the range's content does not matter any more */
	VAIO_REPL_RESYNC = 4,		/* payload, as the disk has it at this place of the order */
	VAIO_REPL_RESYNC_ZEROES = 5,	/* the same, all zeroes, without payload */
	VAIO_REPL_CHECK = 6,		/* payload: BLAKE2s-256 of the range as the disk has it */
	VAIO_REPL_VOID = 7,		/* a write that failed: to be skipped */
	VAIO_REPL_MEMBER_UP = 8,	/* capture of the member begins; aux: bytes of its disk */
	VAIO_REPL_MEMBER_DOWN = 9,	/* the disk went offline; aux 1: it left the group */
	VAIO_REPL_GROW = 10,		/* aux: bytes of the member's disk from here on */
	VAIO_REPL_RESYNC_BEGIN = 11,	/* no recovery points from here on; aux: enum vaio_repl_gap */
	VAIO_REPL_RESYNC_END = 12,	/* from here on each record makes a recovery point */
	VAIO_REPL_CHECKPOINT = 13,	/* payload: a name, without NUL; aux: its length */
	VAIO_REPL_BARRIER = 14,		/* nothing but a place in the order */
};

/**
 * struct vaio_repl_desc - a record, 64 bytes
 * @seq: sequence; record n is at index n modulo the number of descriptors
 * @type: enum vaio_repl_type
 * @flags: VAIO_REPL_F_*
 * @member: index of the member
 * @data_len: bytes of payload
 * @offset: of the range on the member's disk, bytes
 * @length: of the range, bytes
 * @data: of the payload in the data area, bytes
 * @real_ns: CLOCK_REALTIME when the record got its sequence
 * @mono_ns: CLOCK_MONOTONIC likewise
 * @aux: see the type
 */
struct vaio_repl_desc {
	__u64	seq;
	__u8	type;
	__u8	flags;
	__u16	member;
	__u32	data_len;
	__u64	offset;
	__u64	length;
	__u64	data;
	__u64	real_ns;
	__u64	mono_ns;
	__u64	aux;
};

#define VAIO_REPL_F_FUA		(1U << 0)	/* the guest asked for FUA */

/* Why there are no records of what was written before a RESYNC_BEGIN. */
enum vaio_repl_gap {
	VAIO_REPL_GAP_NONE,		/* there are */
	VAIO_REPL_GAP_LOST,		/* they were given up */
	VAIO_REPL_GAP_REVERT,		/* a disk's bytes changed beneath it */
};

/* What a group does at the moment. */
enum vaio_repl_state {
	VAIO_REPL_S_TRACKING,		/* nothing is captured; writes mark the dirty bitmap */
	VAIO_REPL_S_RESYNC,		/* capture runs, some disk is not yet equal */
	VAIO_REPL_S_REPLICATING,	/* each record is a recovery point */
};

/**
 * struct vaio_repl_control - the kernel's page, read-only to the agent
 * @magic: VAIO_REPL_MAGIC
 * @version: VAIO_REPL_VERSION
 * @published: highest sequence that may be read; read it with acquire
 * @epoch: one more whenever records were given up. A record is valid only while
 *	the epoch is that of the START which preceded it
 * @changes: counts changes of the state, the members or the agent's binding
 * @state: enum vaio_repl_state
 */
struct vaio_repl_control {
	__u32	magic;
	__u32	version;
	__u64	published;
	__u64	epoch;
	__u64	changes;
	__u32	state;
	__u32	reserved;
};

/**
 * struct vaio_repl_hints - the agent's page
 * @wake_seq: signal the eventfd as soon as this record is published; 0: never.
 *	After storing it, and a full barrier, look at @published once more.
 */
struct vaio_repl_hints {
	__u64	wake_seq;
};

/* Offsets for mmap(), each for the whole of its area. */
#define VAIO_REPL_MAP_CONTROL	0ULL			/* one page, read-only */
#define VAIO_REPL_MAP_HINTS	(1ULL << 40)		/* one page, to be written */
#define VAIO_REPL_MAP_DESCS	(2ULL << 40)		/* nr_desc * 64 bytes, read-only */
#define VAIO_REPL_MAP_DATA	(3ULL << 40)		/* data_bytes, read-only */

/**
 * struct vaio_repl_bind - VAIO_REPL_IOC_BIND
 * @group: name of the group, NUL-terminated
 * @eventfd: to be signalled
 * @flags: zero
 * @ring_id: identifies the ring and its sequence numbers; new when the group is made
 * @group_uuid: of the group
 * @epoch: see struct vaio_repl_control
 * @published: likewise
 * @durable: highest sequence that an agent has reported as durable
 * @first: lowest sequence that the ring still has
 * @data_bytes: of the data area
 * @nr_desc: descriptors, a power of two
 * @state: enum vaio_repl_state
 * @sync: 1: writes are acknowledged when durable on the replica
 * @watchdog_ms: the agent counts as dead when it makes no call for so long
 */
struct vaio_repl_bind {
	char	group[VAIO_NAME_LEN];
	__s32	eventfd;
	__u32	flags;
	__u8	ring_id[16];
	__u8	group_uuid[16];
	__u64	epoch;
	__u64	published;
	__u64	durable;
	__u64	first;
	__u64	data_bytes;
	__u32	nr_desc;
	__u32	state;
	__u32	sync;
	__u32	watchdog_ms;
};

/* struct vaio_repl_member, flags */
#define VAIO_REPL_M_CAPTURED	(1U << 0)	/* started in this epoch */
#define VAIO_REPL_M_DOWN	(1U << 1)	/* suspended: START has to wait */
#define VAIO_REPL_M_COMPARE	(1U << 2)	/* the bitmap cannot be trusted: START with CHECK or FULL */
#define VAIO_REPL_M_DAMAGED	(1U << 3)	/* lost data that the replica has: START is refused */
#define VAIO_REPL_M_ALONE	(1U << 4)	/* has acknowledged writes without the replica */
#define VAIO_REPL_M_NO_SIDECAR	(1U << 5)

/**
 * struct vaio_repl_member - one disk of the group
 * @uuid: of the disk
 * @generation: identifies its history of writes; zero without a sidecar
 * @previous_generation: the one it forked from
 * @alone_generation: since which it is alone; zero when it is not
 * @generation_counter: of @generation
 * @bytes: size of the disk
 * @dirty: bytes to be resynced
 * @to_check: bytes to be compared
 * @block_size: logical, bytes
 * @id: index, as in records
 * @flags: VAIO_REPL_M_*
 * @reserved: zero
 */
struct vaio_repl_member {
	__u8	uuid[16];
	__u8	generation[16];
	__u8	previous_generation[16];
	__u8	alone_generation[16];
	__u64	generation_counter;
	__u64	bytes;
	__u64	dirty;
	__u64	to_check;
	__u32	block_size;
	__u16	id;
	__u16	reserved0;
	__u32	flags;
	__u32	reserved;
	char	name[VAIO_DEVNAME_LEN];
};

struct vaio_repl_members {
	__u64	ptr;		/* array of struct vaio_repl_member */
	__u32	count;		/* room there; on return: how many there are */
	__u32	reserved;
};

/* What the replica has of a disk when capture of it begins. */
enum vaio_repl_start_mode {
	VAIO_REPL_START_BITMAP,	/* a copy that lacks what the bitmap says */
	VAIO_REPL_START_CHECK,	/* some copy: compare all */
	VAIO_REPL_START_FULL,	/* nothing: send all */
};

struct vaio_repl_start {
	__u64	epoch;
	__u16	member;
	__u16	mode;		/* enum vaio_repl_start_mode */
	__u32	reserved;
	__u8	uuid[16];	/* of the disk that the agent knows by this index */
	__u64	seq;		/* out: the first record that came of it */
};

struct vaio_repl_durable {
	__u64	epoch;
	__u64	upto;		/* all records up to this one are durable on the replica */
};

struct vaio_repl_range {
	__u64	offset;		/* bytes */
	__u64	length;
};

struct vaio_repl_mark_dirty {
	__u64	ptr;		/* array of struct vaio_repl_range */
	__u32	count;		/* at most VAIO_REPL_RANGES */
	__u16	member;
	__u16	reserved;
};

struct vaio_repl_mark {
	char	name[VAIO_REPL_MARK_LEN];	/* of the checkpoint; empty: a barrier */
	__u64	seq;				/* out */
};

#define VAIO_REPL_IOC		0xB6
#define VAIO_REPL_IOC_BIND	_IOWR(VAIO_REPL_IOC, 1, struct vaio_repl_bind)
#define VAIO_REPL_IOC_MEMBERS	_IOWR(VAIO_REPL_IOC, 2, struct vaio_repl_members)
#define VAIO_REPL_IOC_START	_IOWR(VAIO_REPL_IOC, 3, struct vaio_repl_start)
#define VAIO_REPL_IOC_STOP	_IOW(VAIO_REPL_IOC, 4, __u64)	/* epoch: give up what is not durable */
#define VAIO_REPL_IOC_DURABLE	_IOW(VAIO_REPL_IOC, 5, struct vaio_repl_durable)
#define VAIO_REPL_IOC_MARK_DIRTY _IOW(VAIO_REPL_IOC, 6, struct vaio_repl_mark_dirty)
#define VAIO_REPL_IOC_ALIVE	_IO(VAIO_REPL_IOC, 7)
#define VAIO_REPL_IOC_MARK	_IOWR(VAIO_REPL_IOC, 8, struct vaio_repl_mark)

/* --- netlink: groups ------------------------------------------------------ */

#define VAIO_REPL_GENL_NAME	"vaio_repl"
#define VAIO_REPL_GENL_VERSION	1

enum vaio_repl_cmd {
	VAIO_REPL_CMD_UNSPEC,
	VAIO_REPL_CMD_GROUP_GET,	/* do (by name), dump */
	VAIO_REPL_CMD_GROUP_NEW,	/* do: name and properties */
	VAIO_REPL_CMD_GROUP_SET,	/* do: name and properties */
	VAIO_REPL_CMD_GROUP_DEL,	/* do: name */
	VAIO_REPL_CMD_GROUP_MARK,	/* do: name, mark; answers with the sequence */
	__VAIO_REPL_CMD_COUNT,
};

enum vaio_repl_group_attr {
	VAIO_REPL_A_GROUP_UNSPEC,
	VAIO_REPL_A_GROUP_NAME,		/* string */
	VAIO_REPL_A_GROUP_UUID,		/* string */
	VAIO_REPL_A_GROUP_STATE,	/* string: tracking, resync, replicating */
	VAIO_REPL_A_GROUP_PROPERTY,	/* nest, enum vaio_prop_attr; repeated */
	VAIO_REPL_A_GROUP_COUNTER,	/* nest, enum vaio_prop_attr; repeated: figures of the moment */
	VAIO_REPL_A_GROUP_MEMBER,	/* nest, enum vaio_repl_member_attr; repeated */
	VAIO_REPL_A_GROUP_MARK,		/* string: name of a checkpoint, empty: a barrier */
	VAIO_REPL_A_GROUP_SEQ,		/* u64 */
	VAIO_REPL_A_GROUP_PAD,
	__VAIO_REPL_A_GROUP_COUNT,
};

enum vaio_repl_member_attr {
	VAIO_REPL_A_MEMBER_UNSPEC,
	VAIO_REPL_A_MEMBER_UUID,	/* string */
	VAIO_REPL_A_MEMBER_NAME,	/* string */
	VAIO_REPL_A_MEMBER_STATE,	/* string: down, waiting, resync, checking, clean */
	VAIO_REPL_A_MEMBER_BYTES,	/* u64, of the disk */
	VAIO_REPL_A_MEMBER_DIRTY,	/* u64, bytes to be resynced */
	VAIO_REPL_A_MEMBER_TO_CHECK,	/* u64, bytes to be compared */
	VAIO_REPL_A_MEMBER_PAD,
	__VAIO_REPL_A_MEMBER_COUNT,
};

#endif /* _UAPI_LINUX_VAIO_REPLICATION_H */
