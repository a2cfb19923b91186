// SPDX-License-Identifier: GPL-2.0
/*
 * One request through the cipher, sector by sector.
 *
 * A cipher answers each call: done (0), begun (-EINPROGRESS), or begun and its
 * queue is full (-EBUSY). A request has one call under way at a time, so the
 * last two are alike: nothing more is issued before the callback.
 *
 *	submit() or complete()		callback, anywhere
 *	crypt_convert(): -EINPROGRESS
 *	vaio_io_defer()			ci->error = ...
 *	crypt_meet()			crypt_meet()
 *
 * Whoever comes second to crypt_meet() goes on with crypt_resume(). So the io is
 * deferred, which costs something, only when a cipher really is asynchronous,
 * and yet a callback that overtakes the deferral does no harm.
 */
#include "crypt.h"

/*
 * Submitter and callback meet after an asynchronous call. Returns true for the second, who owns the request from now on. The first must
 * not touch it any more.
 */
bool crypt_meet(struct crypt_io *ci)
{
	return atomic_xchg(&ci->met, 1);
}

static void crypt_done(vaio_crypto_arg *arg, int error)
{
	struct crypt_io *ci = vaio_crypto_data(arg);

	/* Out of the cipher's backlog and begun: another call will follow. */
	if (error == -EINPROGRESS)
		return;
	ci->error = error;
	if (crypt_meet(ci))
		crypt_resume(ci);
}

static void crypt_begin(struct crypt_io *ci, struct scatterlist *dst)
{
	struct crypt_slot *cs = ci->cs;

	ci->sector = ci->io->sector + cs->layout.iv_offset;
	ci->error = 0;
	atomic_set(&ci->met, 0);
	skcipher_request_set_tfm(&ci->req, cs->tfm);
	skcipher_request_set_callback(&ci->req, CRYPTO_TFM_REQ_MAY_BACKLOG, crypt_done, ci);
	skcipher_request_set_crypt(&ci->req, &ci->src, dst, cs->layout.size, ci->iv);
	sg_init_table(&ci->src, 1);
}

/* From ci->source into ci->bio. */
void crypt_begin_write(struct crypt_io *ci)
{
	ci->left = ci->source->bi_iter;
	sg_init_table(&ci->dst, 1);
	crypt_begin(ci, &ci->dst);
}
VAIO_EXPORT_FOR_KUNIT(crypt_begin_write);

/* In place; ci->left was saved on the way down. */
void crypt_begin_read(struct crypt_io *ci)
{
	crypt_begin(ci, &ci->src);
}
VAIO_EXPORT_FOR_KUNIT(crypt_begin_read);

/*
 * Go on with a request. Returns 0 when all of it is converted, -EINPROGRESS when the callback is to
 * follow, another error when it cannot be done.
 */
int crypt_convert(struct crypt_io *ci)
{
	const struct bio_vec *bvecs = ci->source->bi_io_vec;
	const struct crypt_layout *layout = &ci->cs->layout;
	bool write = ci->io->kind != VAIO_KIND_READ;
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
		bio_advance_iter_single(ci->source, &ci->left, size);

		r = write ? crypto_skcipher_encrypt(&ci->req) : crypto_skcipher_decrypt(&ci->req);
		if (unlikely(r))
			return r == -EBUSY ? -EINPROGRESS : r;
	}
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(crypt_convert);

/* Go on with a deferred request until it is done or waits again. */
void crypt_resume(struct crypt_io *ci)
{
	int r;

	do {
		r = ci->error;
		if (r)
			break;
		atomic_set(&ci->met, 0);
		r = crypt_convert(ci);
		if (r == -EINPROGRESS && !crypt_meet(ci))
			return;
	} while (r == -EINPROGRESS);
	crypt_finish(ci, r);
}
