// SPDX-License-Identifier: GPL-2.0
/*
 * The service for a cache above: its flash holds exactly the bytes that this
 * slot would write, so that a destage is a raw copy that passes the slot.
 */
#include <linux/slab.h>
#include "crypt.h"

/* Any number of callers make progress with one; a few keep them from queueing. */
#define CRYPT_MIN_SEALS	4

struct crypt_seal {
	struct scatterlist	src;
	struct scatterlist	dst;
	__le64			iv[2] __aligned(16);
	struct crypto_wait	wait;
	struct skcipher_request	req;
};

mempool_t *crypt_seals_new(struct crypto_skcipher *tfm)
{
	return mempool_create_kmalloc_pool(CRYPT_MIN_SEALS,
					   sizeof(struct crypt_seal) + crypto_skcipher_reqsize(tfm));
}
VAIO_EXPORT_FOR_KUNIT(crypt_seals_new);

static int crypt_transform(struct vaio_slot *slot, sector_t sector, struct page *dst,
			   unsigned int dst_off, struct page *src, unsigned int src_off,
			   unsigned int len, int (*convert)(struct skcipher_request *req))
{
	struct crypt_slot *cs = slot->priv;
	unsigned int size = cs->layout.size;
	mempool_t *seals = cs->table->seals;
	struct crypt_seal *seal;
	unsigned int done;
	int r = 0;

	if ((len & (size - 1)) || (sector & ((size >> SECTOR_SHIFT) - 1)))
		return -EINVAL;
	if (READ_ONCE(cs->table->key->wiped))
		return -ENOKEY;

	seal = mempool_alloc(seals, GFP_NOIO);
	sg_init_table(&seal->src, 1);
	sg_init_table(&seal->dst, 1);
	crypto_init_wait(&seal->wait);
	skcipher_request_set_tfm(&seal->req, cs->tfm);
	skcipher_request_set_callback(&seal->req, CRYPTO_TFM_REQ_MAY_BACKLOG,
				      crypto_req_done, &seal->wait);
	skcipher_request_set_crypt(&seal->req, &seal->src, &seal->dst, size, seal->iv);
	for (done = 0; done < len && !r; done += size) {
		sg_set_page(&seal->src, src, size, src_off + done);
		sg_set_page(&seal->dst, dst, size, dst_off + done);
		crypt_tweak(seal->iv, cs->layout.iv_offset + sector + (done >> SECTOR_SHIFT),
			    cs->layout.iv_shift);
		r = crypto_wait_req(convert(&seal->req), &seal->wait);
	}
	mempool_free(seal, seals);
	return r;
}

static int crypt_seal(struct vaio_slot *slot, sector_t sector, struct page *dst,
		      unsigned int dst_off, struct page *src, unsigned int src_off,
		      unsigned int len)
{
	return crypt_transform(slot, sector, dst, dst_off, src, src_off, len,
			       crypto_skcipher_encrypt);
}

static int crypt_open(struct vaio_slot *slot, sector_t sector, struct page *dst,
		      unsigned int dst_off, struct page *src, unsigned int src_off,
		      unsigned int len)
{
	return crypt_transform(slot, sector, dst, dst_off, src, src_off, len,
			       crypto_skcipher_decrypt);
}

const struct vaio_transform crypt_transform_512 = {
	.unit	= 512,
	.seal	= crypt_seal,
	.open	= crypt_open,
};

VAIO_EXPORT_FOR_KUNIT(crypt_transform_512);

const struct vaio_transform crypt_transform_4096 = {
	.unit	= 4096,
	.seal	= crypt_seal,
	.open	= crypt_open,
};
VAIO_EXPORT_FOR_KUNIT(crypt_transform_4096);
