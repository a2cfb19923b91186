/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Encryption: AES-XTS with the plain64 tweak, on the disk exactly as dm-crypt
 * lays it out.
 *
 *   params.c	 the words of a table
 *   key.c	 keyed ciphers: from the keyring, shared by a disk's tables, wiped
 *   buffer.c	 the pages that a write's ciphertext goes into
 *   io.c	 the way of an io: the hooks, and through the cipher
 *   transform.c the service for a cache above: seal and open
 *   main.c	 tables, the life of slots, what an administrator sees
 *
 * A write is encrypted in submit() into pages of its own, for the guest's pages
 * are the guest's, and a bio that lies in the per-io state carries them down. A
 * read is decrypted in complete(), in place. Neither allocates anything but the
 * pages of a write; what the cipher needs is part of the per-io state too.
 */
#ifndef _VAIO_CRYPT_H
#define _VAIO_CRYPT_H

#include <crypto/skcipher.h>
#include <linux/kref.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include "compat.h"
#include "filter.h"

#define CRYPT_CIPHER		"aes-xts-plain64"

/*
 * The largest read or write that this slot takes, and the pages of one. With
 * larger ones the device would wait longer for the first byte, and the reserve
 * of every slot would have to hold one.
 */
#define CRYPT_MAX_BYTES		SZ_128K
#define CRYPT_MAX_PAGES		DIV_ROUND_UP(CRYPT_MAX_BYTES, PAGE_SIZE)

/* A softirq decrypts up to this much; more goes to a worker. */
#define CRYPT_SOFTIRQ_BYTES	SZ_64K

/**
 * struct crypt_params - the words of a table
 * @key_size: bytes; 32 for AES-128, 64 for AES-256
 * @key_description: of the logon key
 * @sector_size: bytes that are encrypted as one; 512 or 4096
 * @iv_offset: added to a sector's number, 512-byte units
 * @iv_large_sectors: the tweak counts @sector_size units, not 512-byte ones
 * @allow_discards: discards go through, and show what is in use
 */
struct crypt_params {
	unsigned int	key_size;
	const char	*key_description;
	unsigned int	sector_size;
	u64		iv_offset;
	bool		iv_large_sectors;
	bool		allow_discards;
};

int crypt_params_parse(struct vaio_slot_cfg *cfg, struct crypt_params *p, char **error);

/**
 * struct crypt_key - a keyed cipher
 * @uuid: of the disk
 * @tfm: keyed from parse() on; with random bytes once @wiped
 *
 * A table is parsed while another one of the same disk may be live, and possibly
 * long after the key has left the keyring. So a disk's tables share the cipher:
 * parse() looks for a live one of the same disk, description and size first, and
 * asks the keyring only when there is none. A wiped one is never found again,
 * and never keyed again: a new table that needs the key makes a new one.
 */
struct crypt_key {
	struct kref		ref;
	struct list_head	list;
	uuid_t			uuid;
	struct crypto_skcipher	*tfm;
	unsigned int		size;
	bool			wiped;
	char			description[];
};

struct crypt_key *crypt_key_get(struct vaio_slot_cfg *cfg, const struct crypt_params *p,
				char **error);
void crypt_key_put(struct crypt_key *key);
int crypt_key_wipe(struct crypt_key *key);
/* Keys a cipher and refuses halves that are equal; for crypt_key_get() and tests. */
int crypt_tfm_setkey(struct crypto_skcipher *tfm, const u8 *bytes, unsigned int size);
struct crypto_skcipher *crypt_tfm_alloc(void);

/**
 * struct crypt_layout - how sectors become tweaks
 * @size: of a crypto sector, bytes
 * @iv_offset: in 512-byte units
 * @iv_shift: the tweak counts units of 512 << iv_shift bytes
 */
struct crypt_layout {
	unsigned int	size;
	unsigned int	iv_shift;
	u64		iv_offset;
};

static inline void crypt_layout_init(struct crypt_layout *l, const struct crypt_params *p)
{
	l->size = p->sector_size;
	l->iv_shift = p->iv_large_sectors ? ilog2(p->sector_size) - SECTOR_SHIFT : 0;
	l->iv_offset = p->iv_offset;
}

/* @sector: 512-byte units from the disk's start, iv_offset already added. */
static inline void crypt_tweak(__le64 iv[2], u64 sector, unsigned int iv_shift)
{
	iv[0] = cpu_to_le64(sector >> iv_shift);
	iv[1] = 0;
}

/**
 * struct crypt_table - what a table made: cfg->priv
 * @seals: requests of the transform service, sized for the key's cipher
 */
struct crypt_table {
	struct crypt_params	params;
	struct crypt_layout	layout;
	struct crypt_key	*key;
	mempool_t		*seals;
};

struct crypt_stats {
	u64	inline_writes;
	u64	inline_reads;
	u64	queued_reads;
	u64	waited_writes;
	u64	async;
};

#define crypt_count(__cs, __what)	this_cpu_inc((__cs)->stats->__what)

/**
 * struct crypt_slot - the filter on one disk
 * @layout, @tfm: of the table adopted last; what every io reads
 * @max_len: the largest request that is served; 0 when the key was wiped
 * @pages: the reserve that lets one write of the largest size always go on
 * @wq: runs @writer, which alone may wait for memory
 * @lock: protects @parked
 * @parked: writes for which there was no memory, in the order of arrival
 * @nr_parked: of them, and the one @writer works on. While it is not 0 every
 *	write goes that way, so that none takes the pages that another waits for
 * @state_lock: mutex; @running and wiping
 * @running: between start() and stop(): the cipher may be in use
 * @table: adopted last
 */
struct crypt_slot {
	struct crypt_layout	layout;
	struct crypto_skcipher	*tfm;
	unsigned int		max_len;
	unsigned int		nr_parked;
	struct crypt_stats __percpu *stats;
	struct vaio_slot	*slot;

	mempool_t		pages;
	struct workqueue_struct	*wq;
	struct work_struct	writer;
	spinlock_t		lock;
	struct list_head	parked;

	struct mutex		state_lock;
	bool			running;
	const struct crypt_table *table;
};

/**
 * struct crypt_io - a request's own state
 * @source: bio with the plaintext of a write, or with the data of a read
 * @left: of @source, what is not yet converted. The read's iterator is saved
 *	here on the way down, for a completed bio's own has been used up
 * @sector: of @left's beginning on the disk, plus the iv_offset
 * @met: submitter or callback was there first, see crypt_meet()
 * @error: of the cipher's callback
 * @bio: carries the ciphertext of a write
 * @req: of the cipher; its context follows
 */
struct crypt_io {
	struct crypt_slot	*cs;
	struct vaio_io		*io;
	struct bio		*source;
	struct bvec_iter	left;
	u64			sector;
	atomic_t		met;
	int			error;
	__le64			iv[2] __aligned(16);
	struct scatterlist	src;
	struct scatterlist	dst;
	struct work_struct	work;

	struct bio		bio;
	struct bio_vec		vecs[CRYPT_MAX_PAGES];

	struct skcipher_request	req;
};

#define CRYPT_IO_ALIGN		__alignof__(struct crypt_io)

static inline struct crypt_io *crypt_io_of(const struct vaio_slot *slot, struct vaio_io *io)
{
	return PTR_ALIGN(vaio_io_state(slot, io), CRYPT_IO_ALIGN);
}

static inline unsigned int crypt_io_size(struct crypto_skcipher *tfm)
{
	return sizeof(struct crypt_io) + crypto_skcipher_reqsize(tfm) + CRYPT_IO_ALIGN - 1;
}

/* buffer.c */
int crypt_reserve_init(mempool_t *reserve);
void crypt_reserve_exit(mempool_t *reserve);
bool crypt_buffer_try(struct crypt_io *ci, unsigned int len);
void crypt_buffer_wait(struct crypt_io *ci, unsigned int len);
void crypt_buffer_free(struct crypt_io *ci);
int crypt_buffers_init(void);
void crypt_buffers_exit(void);

/* io.c */
enum vaio_verdict crypt_submit(struct vaio_slot *slot, struct vaio_io *io);
enum vaio_verdict crypt_complete(struct vaio_slot *slot, struct vaio_io *io);
void crypt_writer(struct work_struct *work);
int crypt_io_init(void);
void crypt_io_exit(void);
/* for tests */
int crypt_write(struct crypt_io *ci);
int crypt_read(struct crypt_io *ci);

/* transform.c */
mempool_t *crypt_seals_new(struct crypto_skcipher *tfm);
extern const struct vaio_transform crypt_transform_512, crypt_transform_4096;

#endif /* _VAIO_CRYPT_H */
