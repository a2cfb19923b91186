// SPDX-License-Identifier: GPL-2.0
/* Index runs: sorted entries in pages with a CRC, written once, then read page by page. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "index.h"

#define NEW_RUN		"index/new"

void vr_run_name(char *name, uint64_t first, uint64_t last)
{
	snprintf(name, VR_RUN_NAME, "index/%016" PRIx64 "-%016" PRIx64 ".run", first, last);
}

/* A few pages of a run: a search begins with the same ones, and what is read in order stays in one for a while. */
#define SLOTS		32U
#define SLOT_OF(page)	((uint32_t)(page) * 2654435761U >> 27)	/* of 5 bits */

struct vr_run_slot {
	uint64_t page;			/* one more than its number; 0: empty */
	struct vaio_rs_run_page p;
};

void vr_run_forget(struct vr_run *run)
{
	pthread_mutex_lock(&run->lock);
	free(run->slots);
	run->slots = NULL;
	pthread_mutex_unlock(&run->lock);
}

void vr_run_close(struct vr_run *run)
{
	if (!run)
		return;
	if (run->file)
		run->file->io->ops->close(run->file);
	free(run->slots);
	pthread_mutex_destroy(&run->lock);
	free(run);
}

int vr_run_open(struct vr_io *io, const uint8_t *store, uint64_t first, uint64_t last, struct vr_run **out,
		struct vr_err *e)
{
	struct vr_run *run = calloc(1, sizeof(*run));
	struct vaio_rs_run h;
	char name[VR_RUN_NAME];
	int64_t size = 0;
	int err;

	vr_run_name(name, first, last);
	if (!run)
		return vr_fail(e, -ENOMEM, "%s: no memory", name);
	pthread_mutex_init(&run->lock, NULL);
	err = io->ops->open(io, name, 0, &run->file);
	if (!err) {
		size = io->ops->size(run->file);
		err = size < 0 ? (int)size : io->ops->read(run->file, &h, sizeof(h), 0);
	}
	if (err && err != -ENODATA) {
		vr_run_close(run);
		return vr_fail_errno(e, err, "%s", name);
	}
	run->len = (size_t)size;
	run->first = first;
	run->last = last;
	if (err || le32toh(h.magic) != VAIO_RS_RUN_MAGIC || vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8) != le32toh(h.crc))
		err = vr_fail(e, -EBADMSG, "%s: its header is damaged", name);
	else if (le32toh(h.version) != VAIO_RS_VERSION || memcmp(h.store, store, sizeof(h.store)) ||
		 le64toh(h.first_segment) != first || le64toh(h.last_segment) != last)
		err = vr_fail(e, -EBADMSG, "%s: of another version, store or place", name);
	if (!err) {
		run->nr_entries = le64toh(h.nr_entries);
		run->nr_pages = le64toh(h.nr_pages);
		if (run->nr_pages > run->len / VAIO_RS_PAGE || run->len != (run->nr_pages + 1) * VAIO_RS_PAGE ||
		    run->nr_pages != (run->nr_entries + VAIO_RS_RUN_ENTRIES - 1) / VAIO_RS_RUN_ENTRIES)
			err = vr_fail(e, -EBADMSG, "%s: %" PRIu64 " pages in %zu bytes", name, run->nr_pages, run->len);
	}
	if (err) {
		vr_run_close(run);
		return err;
	}
	*out = run;
	return 0;
}

/* With the run's lock: the page, read and checked. */
static int get_page(struct vr_run *run, uint64_t page, const struct vaio_rs_run_page **out, struct vr_err *e)
{
	uint64_t want = run->nr_entries - page * VAIO_RS_RUN_ENTRIES;
	struct vr_run_slot *slot;
	int err;

	if (!run->slots)
		run->slots = calloc(SLOTS, sizeof(*run->slots));
	if (!run->slots)
		return vr_fail(e, -ENOMEM, "no memory for the index");
	slot = &run->slots[SLOT_OF(page)];
	*out = &slot->p;
	if (slot->page == page + 1)
		return 0;
	slot->page = 0;
	if (want > VAIO_RS_RUN_ENTRIES)
		want = VAIO_RS_RUN_ENTRIES;
	err = run->file->io->ops->read(run->file, &slot->p, sizeof(slot->p), (page + 1) * VAIO_RS_PAGE);
	if (err && err != -ENODATA)
		return vr_fail_errno(e, err, "index run %" PRIx64 "-%" PRIx64, run->first, run->last);
	if (err || le32toh(slot->p.magic) != VAIO_RS_RUN_PAGE_MAGIC || le64toh(slot->p.index) != page ||
	    le32toh(slot->p.count) != want || le64toh(slot->p.first_segment) != run->first ||
	    vr_crc32c(0, (const char *)&slot->p + 8, sizeof(slot->p) - 8) != le32toh(slot->p.crc))
		return vr_fail(e, -EIO, "index run %" PRIx64 "-%" PRIx64 ": page %" PRIu64 " is damaged", run->first, run->last,
			       page);
	slot->page = page + 1;
	return 0;
}

int vr_run_entry(struct vr_run *run, uint64_t i, struct vr_entry *en, struct vr_err *e)
{
	const struct vaio_rs_run_page *p = NULL;
	int err;

	pthread_mutex_lock(&run->lock);
	err = get_page(run, i / VAIO_RS_RUN_ENTRIES, &p, e);
	if (!err) {
		const struct vaio_rs_key *k = &p->keys[i % VAIO_RS_RUN_ENTRIES];

		en->key = le64toh(k->key);
		en->seq = le64toh(k->seq);
		en->segment = le32toh(k->segment);
		en->frame = le32toh(k->frame);
		en->data = le32toh(k->data);
		en->start = k->start;
		en->count = k->count;
		if (en->start + en->count >= (int)(VAIO_RS_CELL / VAIO_RS_SECTOR))
			err = vr_fail(e, -EIO, "index run %" PRIx64 "-%" PRIx64 ": an entry leaves its cell", run->first,
				      run->last);
	}
	pthread_mutex_unlock(&run->lock);
	return err;
}

/* --- writing ------------------------------------------------------------------------- */

struct writer {
	struct vr_io *io;
	struct vr_file *file;
	const uint8_t *store;
	uint64_t first, last, nr;
	struct vaio_rs_run_page page;
	int err;
};

static void put_page(struct writer *w)
{
	uint64_t index = (w->nr - 1) / VAIO_RS_RUN_ENTRIES;
	struct vaio_rs_run_page *p = &w->page;

	p->magic = htole32(VAIO_RS_RUN_PAGE_MAGIC);
	p->index = htole64(index);
	p->count = htole32((uint32_t)((w->nr - 1) % VAIO_RS_RUN_ENTRIES + 1));
	p->first_segment = htole64(w->first);
	p->crc = htole32(vr_crc32c(0, (char *)p + 8, sizeof(*p) - 8));
	if (!w->err)
		w->err = w->io->ops->write(w->file, p, sizeof(*p), (index + 1) * VAIO_RS_PAGE);
	memset(p, 0, sizeof(*p));
}

static void put(struct writer *w, const struct vr_entry *en)
{
	struct vaio_rs_key *k = &w->page.keys[w->nr++ % VAIO_RS_RUN_ENTRIES];

	k->key = htole64(en->key);
	k->seq = htole64(en->seq);
	k->segment = htole32(en->segment);
	k->frame = htole32(en->frame);
	k->data = htole32(en->data);
	k->start = en->start;
	k->count = en->count;
	if (w->nr % VAIO_RS_RUN_ENTRIES == 0)
		put_page(w);
}

static int begin(struct writer *w, struct vr_io *io, const uint8_t *store, uint64_t first, uint64_t last)
{
	memset(w, 0, sizeof(*w));
	w->io = io;
	w->store = store;
	w->first = first;
	w->last = last;
	w->err = io->ops->remove(io, NEW_RUN);
	if (!w->err || w->err == -ENOENT)
		w->err = io->ops->open(io, NEW_RUN, VR_O_CREATE, &w->file);
	return w->err;
}

/* The header goes in last; the name only when all is durable. */
static int finish(struct writer *w, struct vr_err *e)
{
	struct vaio_rs_run h = { .magic = htole32(VAIO_RS_RUN_MAGIC), .version = htole32(VAIO_RS_VERSION) };
	char name[VR_RUN_NAME];

	vr_run_name(name, w->first, w->last);
	if (w->nr % VAIO_RS_RUN_ENTRIES)
		put_page(w);
	memcpy(h.store, w->store, sizeof(h.store));
	h.first_segment = htole64(w->first);
	h.last_segment = htole64(w->last);
	h.nr_entries = htole64(w->nr);
	h.nr_pages = htole64((w->nr + VAIO_RS_RUN_ENTRIES - 1) / VAIO_RS_RUN_ENTRIES);
	h.crc = htole32(vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8));
	if (!w->err)
		w->err = w->io->ops->write(w->file, &h, sizeof(h), 0);
	if (!w->err)
		w->err = w->io->ops->sync(w->file);
	if (w->file)
		w->io->ops->close(w->file);
	if (!w->err)
		w->err = w->io->ops->rename(w->io, NEW_RUN, name);
	if (!w->err)
		w->err = w->io->ops->sync_dir(w->io, "index");
	if (!w->err)
		return 0;
	w->io->ops->remove(w->io, NEW_RUN);
	return vr_fail_errno(e, w->err, "%s", name);
}

static int by_key(const void *a, const void *b)
{
	const struct vr_mem_entry *x = *(struct vr_mem_entry *const *)a, *y = *(struct vr_mem_entry *const *)b;

	if (x->e.key != y->e.key)
		return x->e.key < y->e.key ? -1 : 1;
	if (x->e.seq != y->e.seq)
		return x->e.seq < y->e.seq ? -1 : 1;
	return 0;
}

int vr_run_write_mem(struct vr_io *io, const uint8_t *store, uint64_t segment, const struct vr_mem *m, struct vr_err *e)
{
	struct vr_mem_entry **sorted = calloc(m->nr + 1, sizeof(*sorted));
	struct writer w;

	if (!sorted)
		return vr_fail(e, -ENOMEM, "index: no memory for %zu entries", m->nr);
	for (size_t i = 0; i < m->nr; i++)
		sorted[i] = &m->entries[i];
	qsort(sorted, m->nr, sizeof(*sorted), by_key);
	if (begin(&w, io, store, segment, segment))
		vr_fail_errno(e, w.err, NEW_RUN);
	for (size_t i = 0; i < m->nr && !w.err; i++)
		put(&w, &sorted[i]->e);
	free(sorted);
	return finish(&w, e);
}

int vr_run_merge(struct vr_io *io, const uint8_t *store, struct vr_run **runs, unsigned int nr, uint64_t floor,
		 struct vr_err *e)
{
	struct { uint64_t at; struct vr_entry en; } *heads = calloc(nr, sizeof(*heads));
	struct writer w;
	int err = 0;

	if (!heads)
		return vr_fail(e, -ENOMEM, "index: no memory");
	if (begin(&w, io, store, runs[0]->first, runs[nr - 1]->last))
		vr_fail_errno(e, w.err, NEW_RUN);
	for (unsigned int i = 0; i < nr && !err; i++)
		if (runs[i]->nr_entries)
			err = vr_run_entry(runs[i], 0, &heads[i].en, e);
	while (!w.err && !err) {
		int best = -1;

		for (unsigned int i = 0; i < nr; i++)
			if (heads[i].at < runs[i]->nr_entries &&
			    (best < 0 || heads[i].en.key < heads[best].en.key ||
			     (heads[i].en.key == heads[best].en.key && heads[i].en.seq < heads[best].en.seq)))
				best = (int)i;
		if (best < 0)
			break;
		if (heads[best].en.seq > floor)
			put(&w, &heads[best].en);
		if (++heads[best].at < runs[best]->nr_entries)
			err = vr_run_entry(runs[best], heads[best].at, &heads[best].en, e);
	}
	free(heads);
	if (err && !w.err)
		w.err = err;
	return finish(&w, e);
}
