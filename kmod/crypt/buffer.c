// SPDX-License-Identifier: GPL-2.0
/*
 * The pages that a write's ciphertext goes into.
 *
 * Three sources, in this order: a small per-CPU stash that takes a few
 * instructions and no atomic operation; the page allocator, up to a share of
 * the host's memory; and a reserve of the slot's own. submit() may not sleep, so
 * it tries the first two and parks the write when they are empty. One worker
 * per slot takes parked writes one after the other and may wait. The reserve is
 * enough for the largest write, only that worker draws on it, and freed pages
 * refill it before anything else: so every write goes on in the end, and never
 * two wait for each other with half their pages.
 */
#include <linux/gfp.h>
#include <linux/local_lock.h>
#include <linux/mm.h>
#include <linux/percpu_counter.h>
#include "crypt.h"

#define CRYPT_MEMORY_PERCENT	2
#define CRYPT_STASH_PAGES	64

static_assert(CRYPT_MAX_PAGES <= BIO_MAX_VECS);
static_assert(CRYPT_MAX_PAGES * sizeof(struct bio_vec) <= PAGE_SIZE);

/* @lock: also against interrupts, for writes complete in any context. */
struct crypt_stash {
	local_lock_t	lock;
	unsigned int	nr;
	struct page	*page[CRYPT_STASH_PAGES];
};

static DEFINE_PER_CPU(struct crypt_stash, crypt_stash) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

/* Pages from the page allocator, stashed ones included. */
static struct percpu_counter crypt_nr_pages;
static unsigned long crypt_max_pages;

static struct page *crypt_page_alloc(gfp_t gfp)
{
	struct page *page;

	/* mempool_alloc() sets __GFP_NORETRY; filling a reserve does not and may pass the limit. */
	if (unlikely(percpu_counter_read_positive(&crypt_nr_pages) >= crypt_max_pages) &&
	    (gfp & __GFP_NORETRY))
		return NULL;
	page = alloc_page(gfp);
	if (page)
		percpu_counter_inc(&crypt_nr_pages);
	return page;
}

static void crypt_page_free(struct page *page)
{
	percpu_counter_dec(&crypt_nr_pages);
	__free_page(page);
}

static void *crypt_reserve_alloc(gfp_t gfp, void *unused)
{
	return crypt_page_alloc(gfp);
}

static void crypt_reserve_free(void *page, void *unused)
{
	crypt_page_free(page);
}

/* One write of the largest size and its page table. */
int crypt_buffer_init(mempool_t *reserve)
{
	return mempool_init(reserve, CRYPT_MAX_PAGES + 1, crypt_reserve_alloc,
			    crypt_reserve_free, NULL);
}

static bool crypt_reserve_full(mempool_t *reserve)
{
	return READ_ONCE(reserve->curr_nr) >= reserve->min_nr;
}

static unsigned int crypt_nr_vecs(unsigned int len)
{
	return DIV_ROUND_UP(len, PAGE_SIZE);
}

/* The page table of a write, and whose page it is in; NULL: it is inline. */
static struct page *crypt_table_page(struct crypt_io *ci)
{
	return ci->bio.bi_io_vec == ci->vecs ? NULL : virt_to_page(ci->bio.bi_io_vec);
}

static void crypt_buffer_bio(struct crypt_io *ci, struct bio_vec *vecs, unsigned int len)
{
	struct bio *from = ci->source;

	/*
	 * No device: the framework sets it at the bottom. A polled submitter
	 * polls its own bio and would never find this one.
	 */
	bio_init(&ci->bio, NULL, vecs, crypt_nr_vecs(len), from->bi_opf & ~REQ_POLLED);
	ci->bio.bi_ioprio = from->bi_ioprio;
	ci->bio.bi_iter.bi_size = len;
}

static void crypt_buffer_add(struct crypt_io *ci, struct page *page, unsigned int len)
{
	unsigned int n = ci->bio.bi_vcnt++;

	bvec_set_page(&ci->bio.bi_io_vec[n], page,
		      min_t(unsigned int, len - n * PAGE_SIZE, PAGE_SIZE), 0);
}

/* From the stash, else from the page allocator; never waits. */
static struct page *crypt_page_try(void)
{
	struct crypt_stash *stash;
	struct page *page = NULL;
	unsigned long flags;

	local_lock_irqsave(&crypt_stash.lock, flags);
	stash = this_cpu_ptr(&crypt_stash);
	if (likely(stash->nr))
		page = stash->page[--stash->nr];
	local_unlock_irqrestore(&crypt_stash.lock, flags);
	if (likely(page))
		return page;
	return crypt_page_alloc(GFP_NOWAIT | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN);
}

/*
 * Makes ci->bio for a write of @len bytes, without waiting. Returns false when there is no memory; nothing is held then.
 */
bool crypt_buffer_try(struct crypt_io *ci, unsigned int len)
{
	unsigned int nr = crypt_nr_vecs(len);
	struct bio_vec *vecs = ci->vecs;
	struct page *page;

	if (unlikely(nr > CRYPT_INLINE_PAGES)) {
		page = crypt_page_try();
		if (!page)
			return false;
		vecs = page_address(page);
	}
	crypt_buffer_bio(ci, vecs, len);
	do {
		page = crypt_page_try();
		if (unlikely(!page)) {
			crypt_buffer_free(ci);
			return false;
		}
		crypt_buffer_add(ci, page, len);
	} while (ci->bio.bi_vcnt < nr);
	return true;
}

/* The same, waiting for memory; the slot's worker only. */
void crypt_buffer_wait(struct crypt_io *ci, unsigned int len)
{
	mempool_t *reserve = &ci->cs->pages;
	unsigned int nr = crypt_nr_vecs(len);
	struct bio_vec *vecs = ci->vecs;

	if (nr > CRYPT_INLINE_PAGES)
		vecs = page_address(mempool_alloc(reserve, GFP_NOIO));
	crypt_buffer_bio(ci, vecs, len);
	do {
		crypt_buffer_add(ci, mempool_alloc(reserve, GFP_NOIO), len);
	} while (ci->bio.bi_vcnt < nr);
}

static void crypt_page_put(mempool_t *reserve, struct page *page)
{
	struct crypt_stash *stash;
	unsigned long flags;

	if (likely(crypt_reserve_full(reserve))) {
		local_lock_irqsave(&crypt_stash.lock, flags);
		stash = this_cpu_ptr(&crypt_stash);
		if (likely(stash->nr < CRYPT_STASH_PAGES)) {
			stash->page[stash->nr++] = page;
			page = NULL;
		}
		local_unlock_irqrestore(&crypt_stash.lock, flags);
		if (likely(!page))
			return;
	}
	mempool_free(page, reserve);
}

/* Give back what ci->bio holds; any context. */
void crypt_buffer_free(struct crypt_io *ci)
{
	mempool_t *reserve = &ci->cs->pages;
	struct page *table = crypt_table_page(ci);
	unsigned int i;

	for (i = 0; i < ci->bio.bi_vcnt; i++)
		crypt_page_put(reserve, ci->bio.bi_io_vec[i].bv_page);
	if (unlikely(table))
		crypt_page_put(reserve, table);
	bio_uninit(&ci->bio);
}

int crypt_buffers_init(void)
{
	crypt_max_pages = mult_frac(totalram_pages() - totalhigh_pages(),
				    CRYPT_MEMORY_PERCENT, 100);
	return percpu_counter_init(&crypt_nr_pages, 0, GFP_KERNEL);
}

void crypt_buffers_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct crypt_stash *stash = per_cpu_ptr(&crypt_stash, cpu);

		while (stash->nr)
			crypt_page_free(stash->page[--stash->nr]);
	}
	WARN_ON_ONCE(percpu_counter_sum(&crypt_nr_pages));
	percpu_counter_destroy(&crypt_nr_pages);
}
