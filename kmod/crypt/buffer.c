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

#define CRYPT_STASH_PAGES	64

static unsigned long crypt_max_pages;
module_param_named(max_pages, crypt_max_pages, ulong, 0644);
MODULE_PARM_DESC(max_pages, "Most pages for the ciphertext of writes in flight on all disks, beside a reserve for each; default: 2 percent of memory");

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

static struct page *crypt_page_alloc(gfp_t gfp)
{
	struct page *page;

	/* mempool_alloc() sets __GFP_NORETRY; filling a reserve does not and may pass the limit. */
	if (unlikely(percpu_counter_read_positive(&crypt_nr_pages) >=
		     READ_ONCE(crypt_max_pages)) &&
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

/* Reserves do not count: however many disks there are, the rest can be had. */
int crypt_reserve_init(mempool_t *reserve)
{
	int r = mempool_init(reserve, CRYPT_MAX_PAGES, crypt_reserve_alloc,
			     crypt_reserve_free, NULL);

	if (!r)
		percpu_counter_sub(&crypt_nr_pages, CRYPT_MAX_PAGES);
	return r;
}

/* No write is in flight. Copes with a reserve that crypt_reserve_init() did not make. */
void crypt_reserve_exit(mempool_t *reserve)
{
	if (!mempool_initialized(reserve))
		return;
	percpu_counter_add(&crypt_nr_pages, CRYPT_MAX_PAGES);
	mempool_exit(reserve);
}

static bool crypt_reserve_full(mempool_t *reserve)
{
	return READ_ONCE(reserve->curr_nr) >= reserve->min_nr;
}

static void crypt_buffer_bio(struct crypt_io *ci, unsigned int len)
{
	struct bio *from = ci->source;

	/*
	 * No device: the framework sets it at the bottom. A polled submitter
	 * polls its own bio and would never find this one.
	 */
	bio_init(&ci->bio, NULL, ci->vecs, ARRAY_SIZE(ci->vecs), from->bi_opf & ~REQ_POLLED);
	ci->bio.bi_ioprio = from->bi_ioprio;
	ci->bio.bi_iter.bi_size = len;
}

/* Returns what is still missing of @len. */
static unsigned int crypt_buffer_add(struct crypt_io *ci, struct page *page, unsigned int len)
{
	unsigned int part = min_t(unsigned int, len, PAGE_SIZE);

	bvec_set_page(&ci->vecs[ci->bio.bi_vcnt++], page, part, 0);
	return len - part;
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
	struct page *page;

	crypt_buffer_bio(ci, len);
	do {
		page = crypt_page_try();
		if (unlikely(!page)) {
			crypt_buffer_free(ci);
			return false;
		}
		len = crypt_buffer_add(ci, page, len);
	} while (len);
	return true;
}

/* The same, waiting for memory; the slot's worker only. */
void crypt_buffer_wait(struct crypt_io *ci, unsigned int len)
{
	crypt_buffer_bio(ci, len);
	do {
		len = crypt_buffer_add(ci, mempool_alloc(&ci->cs->pages, GFP_NOIO), len);
	} while (len);
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
	unsigned int i;

	for (i = 0; i < ci->bio.bi_vcnt; i++)
		crypt_page_put(reserve, ci->vecs[i].bv_page);
	bio_uninit(&ci->bio);
}

int crypt_buffers_init(void)
{
	if (!crypt_max_pages)
		crypt_max_pages = mult_frac(totalram_pages() - totalhigh_pages(), 2, 100);
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
