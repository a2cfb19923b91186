/* SPDX-License-Identifier: GPL-2.0 */
/* What the bytes of agent_session's inputs mean: an event, then what it takes of the bytes that follow; none left are zeroes. */
#ifndef TESTS_FUZZ_AGENT_SESSION_H
#define TESTS_FUZZ_AGENT_SESSION_H

enum event {
	/* the server's; without a connection there is one first */
	E_WELCOME,		/* flags, S_*, M_*, durable_seq, and what S_* wants more */
	E_DURABLE,		/* durable_seq, complete_seq: numbers */
	E_DIFF,			/* number of the disk, ranges, the record's number; of each range 4 bytes: offset and length in blocks */
	E_BLOCKED,		/* number */
	E_UNBLOCKED,
	E_REQUEST,		/* kind, letter of the name */
	E_NOT_HELD,		/* number */
	E_END,			/* code, retry */
	E_PING,			/* 1: a PONG */
	E_RAW,			/* type, 2 bytes of length, the payload */
	E_MUTATE,		/* of the next message: 2 bytes of place, what is XORed there */
	/* the kernel's */
	E_WRITE,		/* disk, block, blocks, FUA */
	E_RANGE,		/* disk, type, 3 bytes of offset, 3 of length, in blocks */
	E_RESYNC,		/* disk, block, blocks, type: zeroes, a CHECK, or data */
	E_RESYNC_END,
	E_MARK,			/* letter of the name */
	E_EPOCH,
	E_DISK,			/* disk, what happens to it */
	E_UNBIND,
	E_CLOCK,		/* seconds of the wall clock */
	/* the agent's */
	E_PUMP,
	E_RECONNECT,
	E_RESTART,		/* another process takes the ring */
	E_ASKED,		/* flags of a checkpoint, kind */
	E_TIME,			/* seconds; what is due is done */
	E_COUNT,
};

/* A number: the low three bits of its first byte say near what, the others how far from it, as a number with a sign. */
enum { N_ZERO, N_DURABLE, N_GIVEN, N_HIGHEST, N_ACKED, N_GENERATION, N_MAX, N_RAW /* 8 bytes */ };

/* Of a WELCOME: what its newest point is, its generations, and the rest. */
#define S_COMPLETE	1	/* durable_seq */
#define S_COMPLETE_ANY	2	/* a number */
#define S_OLDER		4	/* but the agent's newest generation */
#define S_OTHER		8	/* one more: its counter and first record, numbers */
#define S_STORE		16	/* another store */
#define S_LIMITS	32	/* records of a batch; blocks of 256 bytes of the window */

/* Its disks: low bits, which. */
#define M_SMALLER	8
#define M_4096		16
#define M_REMOVED	32
#define M_REVERSE	64	/* of their numbers */
#define M_SAME		128	/* number */

#endif /* TESTS_FUZZ_AGENT_SESSION_H */
