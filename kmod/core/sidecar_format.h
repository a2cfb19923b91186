/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sidecar's format: encoding, decoding, checking, layout, and who may own
 * it. Knows no device and no clock; compiled into vaio.ko and into libvaio.
 *
 * Functions that can refuse take a buffer for the reason, a sentence for people
 * that starts in lower case and does not name the device.
 */
#ifndef _VAIO_SIDECAR_FORMAT_H
#define _VAIO_SIDECAR_FORMAT_H

#include "sidecar_port.h"
#include <linux/vaio-sidecar.h>

#define VAIO_SC_UUID_TEXT	37	/* buffer for vaio_sc_uuid_text() */
#define VAIO_SC_TIME_TEXT	32	/* for vaio_sc_time_text() */
#define VAIO_SC_IDENTITY_TEXT	(VAIO_SC_IDENTITY_LEN + 8) /* for vaio_sc_identity_text() */
#define VAIO_SC_REASON		384	/* fits every reason */
#define VAIO_SC_TAIL		sizeof(((struct vaio_sc_disk_super *)0)->tail)

struct vaio_sc_generation {
	u8	id[VAIO_SC_ID_LEN];
	u64	counter;
};

struct vaio_sc_region {
	u32	type;
	u32	unit_shift;
	u32	maps;
	u64	offset;
	u64	length;
};

/*
 * A superblock, decoded and checked. Fields are those of struct
 * vaio_sc_disk_super. About 4 KiB: not for the stack of a kernel.
 */
struct vaio_sc_super {
	u64	sequence;
	u64	compat;
	u64	incompat;
	u8	disk_uuid[VAIO_SC_ID_LEN];
	u8	sidecar_uuid[VAIO_SC_ID_LEN];
	u64	page_seed;
	u64	created;
	u64	written;
	u64	sidecar_bytes;
	u64	backing_bytes;
	u64	disk_bytes;
	u32	block_size;
	u32	identity_kind;
	char	identity[VAIO_SC_IDENTITY_LEN];
	u8	owner_host[VAIO_SC_ID_LEN];
	u8	owner_boot[VAIO_SC_ID_LEN];
	u64	owner_since;
	u32	state;
	u32	flags;
	struct vaio_sc_generation current_gen;
	struct vaio_sc_generation previous_gen;
	struct vaio_sc_generation alone_gen;
	u64	data_epoch;
	u8	cache_uuid[VAIO_SC_ID_LEN];
	u64	cache_generation;
	u32	nr_regions;
	struct vaio_sc_region regions[VAIO_SC_REGIONS];
	u8	tail[VAIO_SC_TAIL];
};

/**
 * struct vaio_sc_pick - which superblock counts
 * @copy: the newest valid one
 * @bad: bit n is set when copy n is torn or corrupt
 */
struct vaio_sc_pick {
	unsigned int copy;
	unsigned int bad;
};

/**
 * struct vaio_sc_expect - what a sidecar must say to be the right one
 * @disk_uuid: of the disk
 * @identity: of the backing device as "kind:string"; NULL is not compared
 * @backing_bytes: size of the backing device; 0 is not compared
 * @disk_bytes: size of the disk; 0 is not compared
 * @block_size: of the disk; 0 is not compared
 */
struct vaio_sc_expect {
	u8		disk_uuid[VAIO_SC_ID_LEN];
	const char	*identity;
	u64		backing_bytes;
	u64		disk_bytes;
	u32		block_size;
};

/* A host, and which of its boots. */
struct vaio_sc_host {
	u8	host[VAIO_SC_ID_LEN];
	u8	boot[VAIO_SC_ID_LEN];
};

/**
 * enum vaio_sc_how - how hard to insist on owning
 * @VAIO_SC_OWN_NORMAL: not when another host has it
 * @VAIO_SC_OWN_TAKEOVER: even when another host has it, but not when that host
 *	has dirty blocks in its cache
 * @VAIO_SC_OWN_LOSE_DIRTY: even then; the disk counts as damaged
 */
enum vaio_sc_how {
	VAIO_SC_OWN_NORMAL,
	VAIO_SC_OWN_TAKEOVER,
	VAIO_SC_OWN_LOSE_DIRTY,
};

/*
 * Reading. Both return 0; -ENODATA: no sidecar here; -EPROTONOSUPPORT: made by
 * a newer version; -EIO: corrupt or hostile.
 */
int vaio_sc_pick(const void *block0, const void *block1, struct vaio_sc_pick *pick,
		 char *reason, size_t len);
int vaio_sc_decode(const void *block, unsigned int copy, u64 device_bytes,
		   struct vaio_sc_super *sb, char *reason, size_t len);

/* Writing: the block of one copy. vaio_sc_check() must have accepted @sb. */
void vaio_sc_encode(const struct vaio_sc_super *sb, unsigned int copy, void *block);
int vaio_sc_check(const struct vaio_sc_super *sb, u64 device_bytes, char *reason, size_t len);

/* Fills the region table for @grow times the backing device and sets sidecar_bytes. -ERANGE */
int vaio_sc_layout(struct vaio_sc_super *sb, u32 grow, u32 epochs, char *reason, size_t len);

/* Bytes of the largest disk that the regions have bits for. */
u64 vaio_sc_capacity(const struct vaio_sc_super *sb);

/* -EMEDIUMTYPE: of another disk or device; -ENOSPC: too small for this disk. */
int vaio_sc_match(const struct vaio_sc_super *sb, const struct vaio_sc_expect *expect,
		  char *reason, size_t len);
/* -ENOSPC, -EINVAL when it would shrink */
int vaio_sc_check_grow(const struct vaio_sc_super *sb, u64 disk_bytes, char *reason, size_t len);

/* Changes of the state, in memory. -EBUSY */
int vaio_sc_own(struct vaio_sc_super *sb, const struct vaio_sc_host *me, enum vaio_sc_how how,
		u64 now, bool *unclean, char *reason, size_t len);
void vaio_sc_release(struct vaio_sc_super *sb);
int vaio_sc_promise(struct vaio_sc_super *sb, const u8 *next_host, u64 now,
		    char *reason, size_t len);

/* Regions and their pages. */
const struct vaio_sc_region *vaio_sc_find(const struct vaio_sc_super *sb, u32 type);
u64 vaio_sc_map_pages(const struct vaio_sc_region *region);
/* Byte offset of a page on the sidecar; 0 when the region has no such page. */
u64 vaio_sc_page_offset(const struct vaio_sc_region *region, u32 map, u64 index);
/* Counts the page's sequence up and completes header and CRC. */
void vaio_sc_page_seal(void *page, u64 page_seed, u32 type, u32 map, u64 index);
/* Makes an empty page, ready for vaio_sc_page_seal(). */
void vaio_sc_page_init(void *page, bool ones);
/* 0, or -EBADMSG: torn, corrupt, misplaced, or of an earlier sidecar. */
int vaio_sc_page_check(const void *page, u64 page_seed, u32 type, u32 map, u64 index);

/* Words. Unknown numbers give "unknown", unknown words 0. */
const char *vaio_sc_region_name(u32 type);
const char *vaio_sc_state_name(u32 state);
const char *vaio_sc_flag_name(u32 flag);
const char *vaio_sc_identity_kind_name(u32 kind);
/* "kind:string" into kind and string; -EINVAL with the reason. */
int vaio_sc_identity_parse(const char *text, u32 *kind, char *identity, char *reason, size_t len);
void vaio_sc_identity_text(const struct vaio_sc_super *sb, char *text);
void vaio_sc_uuid_text(const u8 *id, char *text);
void vaio_sc_time_text(u64 seconds, char *text);
bool vaio_sc_id_is_nil(const u8 *id);

#endif /* _VAIO_SIDECAR_FORMAT_H */
