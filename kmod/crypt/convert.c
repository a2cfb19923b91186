// SPDX-License-Identifier: GPL-2.0
/*
 * One request through the cipher, sector by sector.
 *
 * A cipher answers each call: done (0), begun (-EINPROGRESS), or begun and its
 * queue is full (-EBUSY). A request has one call under way at a time, so the
 * last two are alike: nothing more is issued before the callback.
 *
 *	submit() or complete()			callback, anywhere
 *	crypt_write(), crypt_read(): -EINPROGRESS
 *	vaio_io_defer()
 *	crypt_resume() -> crypt_meet()		crypt_done() -> crypt_meet()
 *
 * Whoever comes second to crypt_meet() goes on with the request. So the io is
 * deferred, which costs something, only when a cipher really is asynchronous,
 * and yet a callback that overtakes the deferral does no harm.
 */
#include "crypt.h"

/*
 * Goes on with a request. Returns 0 when all of it is converted, -EINPROGRESS
 * when the callback is to follow, another error when it cannot be done. Inlined
 * for each direction: for one sector, a call more is felt.
 */
static __always_inline int crypt_convert(struct crypt_io *ci, bool write)
{
	const struct bio_vec *bvecs = ci->source->bi_io_vec;
	const struct crypt_layout *layout = &ci->cs->layout;
	unsigned int size = layout->size;

	while (ci->left.bi_size) {
		int r;

		/*
		 * dma_alignment keeps a sector from straddling two buffers. For
		 * one in two adjacent pages the whole vector counts, not the page.
		 */
		if (unlikely(mp_bvec_iter_len(bvecs, ci->left) < size))
			return -EIO;
		sg_set_page(&ci->src, bvec_iter_page(bvecs, ci->left), size,
			    bvec_iter_offset(bvecs, ci->left));
		if (write) {
			unsigned int pos = ci->bio.bi_iter.bi_size - ci->left.bi_size;

			sg_set_page(&ci->dst, ci->vecs[pos >> PAGE_SHIFT].bv_page, size,
				    offset_in_page(pos));
		}
		crypt_tweak(ci->iv, ci->sector, layout->iv_shift);
		ci->sector += size >> SECTOR_SHIFT;
		bvec_iter_advance_single(bvecs, &ci->left, size);

		r = write ? crypto_skcipher_encrypt(&ci->req) : crypto_skcipher_decrypt(&ci->req);
		if (unlikely(r))
			return r == -EBUSY ? -EINPROGRESS : r;
	}
	return 0;
}

/* An asynchronous call has ended: its error, or as crypt_convert(). */
static int crypt_next(struct crypt_io *ci)
{
	if (ci->error)
		return ci->error;
	atomic_set(&ci->met, 0);
	return ci->io->kind == VAIO_KIND_READ ? crypt_convert(ci, false) : crypt_convert(ci, true);
}

/*
 * Submitter and callback meet after an asynchronous call. Returns true for the
 * second, who owns the request from now on; the first must not touch it again.
 */
static bool crypt_meet(struct crypt_io *ci)
{
	return atomic_xchg(&ci->met, 1);
}

/*
 * Goes on with a deferred request until it is done or waits for a callback again.
 * @r is what crypt_write() or crypt_read() answered.
 */
void crypt_resume(struct crypt_io *ci, int r)
{
	while (r == -EINPROGRESS) {
		if (!crypt_meet(ci))
			return;
		r = crypt_next(ci);
	}
	crypt_finish(ci, r);
}

static void crypt_done(vaio_crypto_arg *arg, int error)
{
	struct crypt_io *ci = vaio_crypto_data(arg);

	/* Out of the cipher's backlog and begun: another call will follow. */
	if (error == -EINPROGRESS)
		return;
	ci->error = error;
	if (crypt_meet(ci))
		crypt_resume(ci, crypt_next(ci));
}

/* A table of one. sg_init_table() is a call, and in it another one to clear it. */
static inline void crypt_sg_init(struct scatterlist *sg)
{
	*sg = (struct scatterlist) { .page_link = SG_END };
}

static inline void crypt_begin(struct crypt_io *ci, struct scatterlist *dst)
{
	const struct crypt_slot *cs = ci->cs;

	ci->sector = ci->io->sector + cs->layout.iv_offset;
	atomic_set(&ci->met, 0);
	skcipher_request_set_tfm(&ci->req, cs->tfm);
	skcipher_request_set_callback(&ci->req, CRYPTO_TFM_REQ_MAY_BACKLOG, crypt_done, ci);
	skcipher_request_set_crypt(&ci->req, &ci->src, dst, cs->layout.size, ci->iv);
	crypt_sg_init(&ci->src);
}

/* From ci->source into ci->bio. Returns as crypt_convert(). */
int crypt_write(struct crypt_io *ci)
{
	ci->left = ci->source->bi_iter;
	crypt_sg_init(&ci->dst);
	crypt_begin(ci, &ci->dst);
	return crypt_convert(ci, true);
}
VAIO_EXPORT_FOR_KUNIT(crypt_write);

/* In place; ci->left was saved on the way down. Returns as crypt_convert(). */
int crypt_read(struct crypt_io *ci)
{
	crypt_begin(ci, &ci->src);
	return crypt_convert(ci, false);
}
VAIO_EXPORT_FOR_KUNIT(crypt_read);
