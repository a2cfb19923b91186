/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stack without device-mapper, for tests of the data path.
 *
 * Each class may have a slot whose hooks do what the test says and write what
 * they see into a log. The test is the device: it ends the bios that reach the
 * bottom. The log is read as a sentence:
 *
 *	^Q	enter() of the qos slot
 *	I>	submit() of the inspection slot
 *	|	the bio reached the device
 *	<I	complete() of the inspection slot
 *	.	the io has ended
 *	*	an own bio has ended
 */
#ifndef _VAIO_STACK_FIXTURE_H
#define _VAIO_STACK_FIXTURE_H

#include <kunit/test.h>
#include "core.h"

enum fx_act {
	FX_PASS,
	FX_COMPLETE,
	FX_FAIL,
	FX_PACED,		/* defer and park */
	FX_ORDERED,
	FX_ASYNC,
	FX_CONTINUE,		/* defer, and continue before the hook returns */
	FX_END,			/* defer, and end before the hook returns */
	FX_THREAD,		/* defer; another thread takes it to its very end before the hook returns */
	FX_SUBSTITUTE,		/* put a bio of the slot's own in its place; complete() restores */
	FX_EXCHANGE,		/* put a page of the slot's own in its place; complete() restores */
	FX_STATUS,		/* complete(): change the status */
};

struct fx;

/*
 * struct fx_slot - a slot that does what the test says
 * @enter: what its enter() does; likewise @submit and @complete
 * @status: for FX_FAIL, FX_END and FX_STATUS
 * @parked: the io that it deferred
 * @seen: status of the io that complete() saw last
 * @sub: bio for FX_SUBSTITUTE
 * @prev: what it replaced
 * @vec: table for FX_EXCHANGE; the page need not be there
 * @payload: what it replaced
 */
struct fx_slot {
	struct vaio_slot	slot;
	struct vaio_filter	filter;
	struct vaio_slot_cfg	cfg;
	struct fx		*fx;
	enum fx_act		enter, submit, complete;
	blk_status_t		status;
	struct vaio_io		*parked;
	blk_status_t		seen;
	struct bio		sub;
	struct bio		*prev;
	struct bio_vec		vec;
	struct vaio_payload	payload;
};

#define FX_STATE	40	/* bytes of per-io state of each slot */
#define FX_VECS		4
#define FX_VEC_DONE	1024

/*
 * struct fx_io - an io as device-mapper makes them: its data, then the clone
 * @fx: the stack
 * @ended: has it?
 * @map: what map() answered
 * @ret: what the last end_io() answered
 * @status: it ended with
 * @vanish: free its memory the moment it ends
 * @vecs: the clone's table, which it shares with the submitter's bio; nobody reads it.
 *	The clone begins in the last entry, FX_VEC_DONE behind its begin.
 */
struct fx_io {
	struct fx	*fx;
	bool		ended;
	bool		vanish;
	int		map;
	int		ret;
	blk_status_t	status;
	struct bio_vec	vecs[FX_VECS];
	struct bio	clone;
	u8		io[sizeof(struct vaio_io) + VAIO_MAX_SLOTS * (FX_STATE + 64)] __aligned(16);
};

#define FX_LOG	512

struct fx {
	struct kunit		*test;
	struct gendisk		*gd;
	struct vaio_disk	disk;
	struct vaio_stack	stack;
	struct fx_slot		slots[VAIO_MAX_SLOTS];
	struct fx_slot		*slot[VAIO_MAX_SLOTS];	/* those that there are */
	spinlock_t		lock;		/* of what follows */
	char			log[FX_LOG];
	struct bio		*sent[8];
	unsigned int		nr_sent;
	unsigned int		incomplete;	/* times that end_io() answered DM_ENDIO_INCOMPLETE */
	blk_status_t		own_status;
	unsigned int		own_ended;
	/* for FX_THREAD */
	struct work_struct	work;
	struct vaio_io		*hand_over;
};

struct fx *fx_new(struct kunit *test);
/* A slot that sees all kinds in submit() and complete(). Before fx_build(). */
struct fx_slot *fx_add(struct fx *fx, enum vaio_class class, u32 caps);
/* One of each class. */
void fx_add_all(struct fx *fx);
void fx_build(struct fx *fx);

static inline struct vaio_io *fx_vaio_io(struct fx_io *fio)
{
	return (struct vaio_io *)fio->io;
}

/* An io of sector 64 goes through map(). If map() answers so, the device has it then. */
struct fx_io *fx_start(struct fx *fx, blk_opf_t opf, unsigned int bytes);
/* The same, and its memory is freed the moment it ends, as device-mapper may do. */
int fx_start_vanishing(struct fx *fx, blk_opf_t opf, unsigned int bytes);
/* The device has done the bio that it got first, or the one given. */
void fx_device_end(struct fx *fx, blk_status_t status);
void fx_device_end_bio(struct fx *fx, struct bio *bio, blk_status_t status);
/* An own bio of a slot; the log gets a * when it ends. */
struct bio *fx_own(struct fx_slot *s, blk_opf_t opf, struct vaio_io *serves);

/* vaio_io_continue() or vaio_io_end() of what a slot parked; all work done on return. */
void fx_continue(struct fx_slot *s);
void fx_end(struct fx_slot *s, blk_status_t status);

void fx_log_clear(struct fx *fx);

#define FX_EXPECT_LOG(fx, wanted) KUNIT_EXPECT_STREQ((fx)->test, (fx)->log, wanted)

#endif /* _VAIO_STACK_FIXTURE_H */
