/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * vaio: the sidecar's on-disk format, version 1.
 *
 * Documentation/sidecar-format.md describes it byte by byte. All numbers are
 * little-endian, all UUIDs are 16 bytes in the order in which they are printed.
 * Bytes that are reserved here are zero.
 */
#ifndef _UAPI_LINUX_VAIO_SIDECAR_H
#define _UAPI_LINUX_VAIO_SIDECAR_H

#include <linux/types.h>

#define VAIO_SC_PAGE		4096U		/* unit of reading, writing and alignment */
#define VAIO_SC_MAGIC		"vaio-sidecar\r\n\x1a\n"
#define VAIO_SC_MAGIC_LEN	16
#define VAIO_SC_VERSION		1
#define VAIO_SC_ID_LEN		16		/* UUIDs, host ids, boot ids */
#define VAIO_SC_IDENTITY_LEN	128		/* with the terminating NUL */
#define VAIO_SC_REGIONS		16		/* entries of the region table */

/* Where the two superblocks are, in bytes, and where regions may begin. */
#define VAIO_SC_COPIES		2
#define VAIO_SC_COPY0		0U
#define VAIO_SC_COPY1		(1U << 20)
#define VAIO_SC_DATA		(VAIO_SC_COPY1 + VAIO_SC_PAGE)

/*
 * Features. A program that does not know a bit of "incompat" leaves the sidecar
 * alone; one that does not know a bit of "compat" works and keeps the bit, the
 * superblock's tail and the regions that it does not know as they are.
 */
#define VAIO_SC_COMPAT_KNOWN	0ULL
#define VAIO_SC_INCOMPAT_KNOWN	0ULL

enum vaio_sc_state {
	VAIO_SC_CLEAN = 1,	/* stopped in good order; owner: who had it last */
	VAIO_SC_ACTIVE = 2,	/* in use by the owner, or the owner crashed */
	VAIO_SC_STANDBY = 3,	/* stopped in good order and promised to the owner */
};

/* Conditions of the disk. */
#define VAIO_SC_F_ALONE		(1U << 0)	/* writes were acknowledged without the replica since generation "alone" */
#define VAIO_SC_F_SOURCE_DAMAGED (1U << 1)	/* this disk lost data: never resync it over the replica */
#define VAIO_SC_F_MUST_COMPARE	(1U << 2)	/* bitmaps cannot be trusted: compare everything */
#define VAIO_SC_F_CACHE_DIRTY	(1U << 3)	/* cache "cache_uuid" may hold the only copy of some blocks */
#define VAIO_SC_F_KNOWN		0xfU

/* What the identity string of the backing device is. */
enum vaio_sc_identity_kind {
	VAIO_SC_ID_WWN = 1,	/* "wwn": world wide name */
	VAIO_SC_ID_LV = 2,	/* "lv": UUID of a logical volume */
	VAIO_SC_ID_FILE = 3,	/* "file": filesystem and inode number */
	VAIO_SC_ID_OTHER = 4,	/* "other": the best name there is */
};

enum vaio_sc_region_type {
	VAIO_SC_R_NONE,			/* unused entry, all zero */
	VAIO_SC_R_BITMAP,		/* blocks that the replica lacks; 64 KiB a bit */
	VAIO_SC_R_INTENT,		/* extents being written; 4 MiB a bit */
	VAIO_SC_R_CACHE_MARKS,		/* extents with blocks in a write-back cache; 4 MiB a bit */
	VAIO_SC_R_CHANGE_EPOCHS,	/* reserved for change tracking; 64 KiB a bit, several maps */
	__VAIO_SC_R_COUNT,
};

#define VAIO_SC_BITMAP_SHIFT	16
#define VAIO_SC_EXTENT_SHIFT	22

/**
 * struct vaio_sc_disk_generation - names a history of writes
 * @id: random; all zero for none
 * @counter: counts generations of this disk
 */
struct vaio_sc_disk_generation {
	__u8	id[VAIO_SC_ID_LEN];
	__le64	counter;
};

/**
 * struct vaio_sc_disk_region - an entry of the region table
 * @type: enum vaio_sc_region_type
 * @unit_shift: log2 of the bytes of the disk that one bit stands for
 * @offset: bytes from the sidecar's start, a multiple of VAIO_SC_PAGE
 * @length: bytes, a multiple of VAIO_SC_PAGE times @maps
 * @maps: bitmaps of equal length, one after the other
 * @reserved: zero
 */
struct vaio_sc_disk_region {
	__le32	type;
	__le32	unit_shift;
	__le64	offset;
	__le64	length;
	__le32	maps;
	__le32	reserved;
};

/*
 * The superblock. "copy" is 0 at VAIO_SC_COPY0 and 1 at VAIO_SC_COPY1. Of two
 * valid copies the one with the higher sequence counts. "crc" is the CRC32C of
 * all that precedes it. Magic, version, copy, sequence, sidecar_uuid, page_seed
 * and crc stay at their places in all versions.
 */
struct vaio_sc_disk_super {
	__u8	magic[VAIO_SC_MAGIC_LEN];
	__le32	version;
	__le32	copy;
	__le64	sequence;
	__le64	compat;
	__le64	incompat;

	__u8	disk_uuid[VAIO_SC_ID_LEN];
	__u8	sidecar_uuid[VAIO_SC_ID_LEN];
	__le64	page_seed;		/* random, new at each format; in every page's header */
	__le64	created;		/* seconds since 1970, UTC */
	__le64	written;		/* likewise, when this copy was written */
	__le64	sidecar_bytes;		/* size that the layout needs */

	__le64	backing_bytes;		/* size of the backing device */
	__le64	disk_bytes;		/* size of the disk on it; 0 until the first start */
	__le32	block_size;		/* of the disk: 512 or 4096 */
	__le32	identity_kind;		/* enum vaio_sc_identity_kind */
	__u8	identity[VAIO_SC_IDENTITY_LEN];	/* no blank, no backslash; padded with NULs */

	__u8	owner_host[VAIO_SC_ID_LEN];	/* /etc/machine-id */
	__u8	owner_boot[VAIO_SC_ID_LEN];	/* boot_id of that host */
	__le64	owner_since;		/* seconds since 1970, UTC */
	__le32	state;			/* enum vaio_sc_state */
	__le32	flags;			/* VAIO_SC_F_* */

	struct vaio_sc_disk_generation current_gen;
	struct vaio_sc_disk_generation previous_gen;
	struct vaio_sc_disk_generation alone_gen;
	__le64	data_epoch;		/* counts takings of ownership */
	__u8	cache_uuid[VAIO_SC_ID_LEN];
	__le64	cache_generation;

	__u8	reserved[96];
	struct vaio_sc_disk_region regions[VAIO_SC_REGIONS];
	__u8	tail[3068];		/* belongs to compat features */
	__le32	crc;
};

/**
 * struct vaio_sc_disk_page - a page of a region
 * @magic: VAIO_SC_PAGE_MAGIC
 * @crc: CRC32C of the page with this field zero
 * @sequence: one more each time the page is written
 * @page_seed: the superblock's: tells the page of an earlier sidecar
 * @type: of the region; this and the next two tell misplaced pages
 * @map: which map of the region
 * @index: which page of the map
 * @bits: bit n of byte m is bit 8m + n
 *
 * A set bit is the careful answer in every region, so that a page that cannot
 * be trusted is read as all ones.
 */
struct vaio_sc_disk_page {
	__u8	magic[4];
	__le32	crc;
	__le64	sequence;
	__le64	page_seed;
	__le16	type;
	__le16	map;
	__le32	index;
	__u8	bits[VAIO_SC_PAGE - 32];
};

#define VAIO_SC_PAGE_MAGIC	"vscp"
#define VAIO_SC_PAGE_BITS	((VAIO_SC_PAGE - 32) * 8)

#endif /* _UAPI_LINUX_VAIO_SIDECAR_H */
