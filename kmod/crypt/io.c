// SPDX-License-Identifier: GPL-2.0
/*
 * The way of an io: the hooks, and through the cipher, sector by sector.
 *
 *	read		submit: remembers where the data goes; complete: decrypts
 *	write, FUA	submit: encrypts into another bio; complete: takes it out
 *	flush		not asked for
 *	discard		refused, or with allow_discards not asked for
 *	write-zeroes	refused: zeroes on the device would not read as zeroes
 *	secure-erase	refused
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

/* Reads that are too large for a softirq, or completed with interrupts off. */
static struct workqueue_struct *crypt_reads;

/* --- through the cipher ---------------------------------------------------- */

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

/* A deferred request has been converted, or could not be. */
static void crypt_finish(struct crypt_io *ci, int error)
{
	struct vaio_io *io = ci->io;

	if (io->kind != VAIO_KIND_READ) {
		if (error)
			crypt_buffer_free(ci);
		else
			vaio_io_substitute(io, &ci->bio);
	}
	if (error)
		vaio_io_end(io, BLK_STS_IOERR);
	else
		vaio_io_continue(io);
}

/*
 * Goes on with a deferred request until it is done or waits for a callback again.
 * @r is what crypt_write() or crypt_read() answered.
 */
static void crypt_resume(struct crypt_io *ci, int r)
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
static __always_inline int crypt_read_inline(struct crypt_io *ci)
{
	crypt_begin(ci, &ci->src);
	return crypt_convert(ci, false);
}

int crypt_read(struct crypt_io *ci)
{
	return crypt_read_inline(ci);
}
VAIO_EXPORT_FOR_KUNIT(crypt_read);

/* --- the way down --------------------------------------------------------- */

/* The cipher is asynchronous. */
static enum vaio_verdict crypt_defer_async(struct vaio_slot *slot, struct crypt_io *ci)
{
	crypt_count(ci->cs, async);
	/* ASYNC is never refused. */
	vaio_io_defer(slot, ci->io, VAIO_ASYNC);
	crypt_resume(ci, -EINPROGRESS);
	return VAIO_DEFER;
}

static enum vaio_verdict crypt_fail(struct vaio_io *io, blk_status_t status)
{
	io->status = status;
	return VAIO_FAIL;
}

/* No memory at hand: the worker goes on with it. */
static enum vaio_verdict crypt_park_write(struct crypt_slot *cs, struct vaio_io *io)
{
	unsigned long flags;

	if (vaio_io_defer(cs->slot, io, VAIO_ORDERED))
		return VAIO_FAIL;
	crypt_count(cs, waited_writes);
	spin_lock_irqsave(&cs->lock, flags);
	WRITE_ONCE(cs->nr_parked, cs->nr_parked + 1);
	list_add_tail(&io->entry, &cs->parked);
	spin_unlock_irqrestore(&cs->lock, flags);
	queue_work(cs->wq, &cs->writer);
	return VAIO_DEFER;
}

void crypt_writer(struct work_struct *work)
{
	struct crypt_slot *cs = container_of(work, struct crypt_slot, writer);

	for (;;) {
		struct crypt_io *ci;
		struct vaio_io *io;

		spin_lock_irq(&cs->lock);
		io = list_first_entry_or_null(&cs->parked, struct vaio_io, entry);
		if (io)
			list_del(&io->entry);
		spin_unlock_irq(&cs->lock);
		if (!io)
			return;

		ci = crypt_io_of(cs->slot, io);
		crypt_buffer_wait(ci, io->len);
		spin_lock_irq(&cs->lock);
		WRITE_ONCE(cs->nr_parked, cs->nr_parked - 1);
		spin_unlock_irq(&cs->lock);
		crypt_resume(ci, crypt_write(ci));
	}
}

/* Not inlined: reads would save and restore its registers. */
static noinline enum vaio_verdict crypt_submit_write(struct crypt_slot *cs, struct vaio_io *io,
						     struct crypt_io *ci)
{
	int r;

	ci->cs = cs;
	ci->io = io;
	ci->source = io->bio;
	if (unlikely(READ_ONCE(cs->nr_parked)) || unlikely(!crypt_buffer_try(ci, io->len)))
		return crypt_park_write(cs, io);

	r = crypt_write(ci);
	if (likely(!r)) {
		crypt_count(cs, inline_writes);
		vaio_io_substitute(io, &ci->bio);
		return VAIO_PASS;
	}
	if (r == -EINPROGRESS)
		return crypt_defer_async(cs->slot, ci);
	crypt_buffer_free(ci);
	return crypt_fail(io, BLK_STS_IOERR);
}

enum vaio_verdict crypt_submit(struct vaio_slot *slot, struct vaio_io *io)
{
	struct crypt_slot *cs = slot->priv;
	struct crypt_io *ci;

	if (unlikely(VAIO_K_ERASERS & (1U << io->kind)))
		return crypt_fail(io, BLK_STS_NOTSUPP);
	/* Already the bytes that belong on the device, or those wanted from it. */
	if (unlikely(io->flags & VAIO_IO_SEALED))
		return VAIO_PASS;
	if (unlikely(((io->sector << SECTOR_SHIFT) | io->len) & (cs->layout.size - 1)) ||
	    unlikely(io->len > READ_ONCE(cs->max_len)))
		return crypt_fail(io, BLK_STS_IOERR);

	ci = crypt_io_of(slot, io);
	if (io->kind != VAIO_KIND_READ)
		return crypt_submit_write(cs, io, ci);
	ci->left = io->bio->bi_iter;
	return VAIO_PASS;
}

/* --- the way up ----------------------------------------------------------- */

static void crypt_read_work(struct work_struct *work)
{
	struct crypt_io *ci = container_of(work, struct crypt_io, work);

	crypt_resume(ci, crypt_read(ci));
}

static enum vaio_verdict crypt_complete_read(struct crypt_slot *cs, struct vaio_io *io,
					     struct crypt_io *ci)
{
	int r;

	ci->cs = cs;
	ci->io = io;
	ci->source = io->bio;
	/* Ciphers refuse to work in a hard interrupt, and may enable interrupts. */
	if (in_hardirq() || irqs_disabled() ||
	    (unlikely(io->len > CRYPT_SOFTIRQ_BYTES) && !in_task())) {
		crypt_count(cs, queued_reads);
		vaio_io_defer(cs->slot, io, VAIO_ASYNC);
		INIT_WORK(&ci->work, crypt_read_work);
		queue_work(crypt_reads, &ci->work);
		return VAIO_DEFER;
	}

	r = crypt_read_inline(ci);
	if (likely(!r)) {
		crypt_count(cs, inline_reads);
		return VAIO_PASS;
	}
	if (r == -EINPROGRESS)
		return crypt_defer_async(cs->slot, ci);
	io->status = BLK_STS_IOERR;
	return VAIO_PASS;
}

enum vaio_verdict crypt_complete(struct vaio_slot *slot, struct vaio_io *io)
{
	struct crypt_io *ci = crypt_io_of(slot, io);

	if (unlikely(io->flags & VAIO_IO_SEALED))
		return VAIO_PASS;
	if (io->kind == VAIO_KIND_READ) {
		if (unlikely(io->status))
			return VAIO_PASS;
		return crypt_complete_read(slot->priv, io, ci);
	}
	vaio_io_restore(io, ci->source);
	crypt_buffer_free(ci);
	return VAIO_PASS;
}

int crypt_io_init(void)
{
	crypt_reads = alloc_workqueue("vaio-crypt-r", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				      WQ_CPU_INTENSIVE | WQ_PERCPU, 0);
	return crypt_reads ? 0 : -ENOMEM;
}

void crypt_io_exit(void)
{
	destroy_workqueue(crypt_reads);
}
