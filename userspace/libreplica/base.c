// SPDX-License-Identifier: GPL-2.0
/* The base: one sparse image for each disk, and a checksum for each cell of 64 KiB of it. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_priv.h"

struct vr_base {
	struct vr_io *io;
	struct vr_file *img, *crc;
	uint16_t member;
	bool careful;		/* an apply was cut: cells that say that they are not used may have bytes */
};

void vr_base_name(char *name, uint16_t member, const char *what)
{
	snprintf(name, VR_NAME, "base/%04x.%s", member, what);
}

void vr_base_close(struct vr_base *b)
{
	if (!b)
		return;
	if (b->img)
		b->io->ops->close(b->img);
	if (b->crc)
		b->io->ops->close(b->crc);
	free(b);
}

static void fill_header(struct vr_store *st, const struct vr_member *m, struct vaio_rs_base *h)
{
	memset(h, 0, sizeof(*h));
	h->magic = htole32(VAIO_RS_BASE_MAGIC);
	h->version = htole32(VAIO_RS_VERSION);
	h->member = htole32(m->number);
	memcpy(h->store, st->super->store, sizeof(h->store));
	memcpy(h->disk, m->disk, sizeof(h->disk));
	h->add_seq = htole64(m->add_seq);
	h->crc = htole32(vr_crc32c(0, (char *)h + 8, sizeof(*h) - 8));
}

#define NEW_SUMS	"base/new"

/* The image comes first, then the sums, under their name only with a header. */
static int make_files(struct vr_store *st, const struct vr_member *m)
{
	const struct vr_io_ops *ops = st->io->ops;
	struct vr_file *img, *crc;
	struct vaio_rs_base h;
	char name[VR_NAME];
	int err;

	vr_base_name(name, m->number, "img");
	err = ops->open(st->io, name, VR_O_CREATE, &img);
	if (err)
		return err;
	ops->close(img);
	err = ops->remove(st->io, NEW_SUMS);
	if (!err || err == -ENOENT)
		err = ops->open(st->io, NEW_SUMS, VR_O_CREATE, &crc);
	if (err)
		return err;
	fill_header(st, m, &h);
	err = ops->write(crc, &h, sizeof(h), 0);
	if (!err)
		err = ops->sync(crc);
	ops->close(crc);
	if (!err)
		err = ops->sync_dir(st->io, "base");
	vr_base_name(name, m->number, "crc");
	if (!err)
		err = ops->rename(st->io, NEW_SUMS, name);
	return err ? err : ops->sync_dir(st->io, "base");
}

int vr_base_open(struct vr_store *st, const struct vr_member *m, bool create, struct vr_base **out, struct vr_err *e)
{
	int flags = create ? VR_O_WRITE : 0, err;
	struct vr_base *b = calloc(1, sizeof(*b));
	struct vaio_rs_base h, want;
	char name[VR_NAME];

	if (!b)
		return vr_fail(e, -ENOMEM, "no memory");
	b->io = st->io;
	b->member = m->number;
	b->careful = st->resumed;
	vr_base_name(name, m->number, "crc");
	err = st->io->ops->open(st->io, name, flags, &b->crc);
	if (!err)
		err = st->io->ops->read(b->crc, &h, sizeof(h), 0);
	if (!err || err == -ENODATA) {
		fill_header(st, m, &want);
		if (!err && memcmp(&h, &want, sizeof(h)) && le32toh(h.magic) == VAIO_RS_BASE_MAGIC &&
		    vr_crc32c(0, (char *)&h + 8, sizeof(h) - 8) == le32toh(h.crc) &&
		    !memcmp(h.store, want.store, sizeof(h.store)) && h.member == want.member &&
		    le64toh(h.add_seq) != m->add_seq)
			err = -ENOENT;	/* of a disk that had this number before */
		else if (err || memcmp(&h, &want, sizeof(h)))
			err = -EBADMSG;
	}
	if (err == -ENOENT && create) {
		vr_base_close(b);
		err = vr_base_remove(st, m->number, e);
		if (err)
			return err;
		err = make_files(st, m);
		return err ? vr_fail_errno(e, err, "%s", name) : vr_base_open(st, m, true, out, e);
	}
	if (!err) {
		vr_base_name(name, m->number, "img");
		err = st->io->ops->open(st->io, name, flags, &b->img);
		if (err == -ENOENT)
			err = -EBADMSG;
	}
	if (err) {
		vr_base_close(b);
		return err == -EBADMSG ? vr_fail(e, err, "%s: damaged, or of another disk", name) :
					 vr_fail_errno(e, err, "%s", name);
	}
	*out = b;
	return 0;
}

int vr_base_remove(struct vr_store *st, uint16_t member, struct vr_err *e)
{
	char name[VR_NAME];
	int err, err2;

	vr_base_name(name, member, "crc");
	err = st->io->ops->remove(st->io, name);
	vr_base_name(name, member, "img");
	err2 = st->io->ops->remove(st->io, name);
	if (err == -ENOENT)
		err = err2;
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = st->io->ops->sync_dir(st->io, "base");
	return err ? vr_fail_errno(e, err, "%s", name) : 0;
}

static int read_sum(struct vr_base *b, uint64_t cell, struct vaio_rs_cell *sum)
{
	int err = b->io->ops->read(b->crc, sum, sizeof(*sum), VAIO_RS_BASE_DATA + cell * sizeof(*sum));

	/* Sums beyond the end were never written: zeroes. Where the end is may change: who reads may be here while an apply writes. */
	if (err)
		memset(sum, 0, sizeof(*sum));
	return err == -ENODATA ? 0 : err;
}

uint64_t vr_base_cells(const struct vr_base *b)
{
	int64_t size = b->io->ops->size(b->crc);

	return size < VAIO_RS_BASE_DATA ? 0 : ((uint64_t)size - VAIO_RS_BASE_DATA) / sizeof(struct vaio_rs_cell);
}

/* A disk that grew: the sum of the cell at its old end is of the bytes up to there; what came after them are zeroes. */
static bool sum_of_fewer(const uint8_t *buf, size_t len, uint32_t want)
{
	size_t n = len;
	uint32_t crc;

	while (n && vr_all_zero(buf + n - VAIO_RS_SECTOR, VAIO_RS_SECTOR))
		n -= VAIO_RS_SECTOR;
	crc = vr_crc32c(0, buf, n);
	while (crc != want && n < len) {
		crc = vr_crc32c(crc, buf + n, VAIO_RS_SECTOR);
		n += VAIO_RS_SECTOR;
	}
	return crc == want;
}

int vr_base_read(struct vr_base *b, uint64_t cell, void *buf, size_t len, bool *wrong, struct vr_err *e)
{
	struct vaio_rs_cell sum;
	int err = read_sum(b, cell, &sum);

	*wrong = false;
	if (!err && !(le32toh(sum.flags) & VAIO_RS_CELL_USED)) {
		memset(buf, 0, len);
		*wrong = sum.crc || sum.flags;
		return 0;
	}
	if (!err) {
		int64_t size = b->io->ops->size(b->img);
		uint64_t at = cell << VAIO_RS_CELL_SHIFT, have;

		have = size < 0 || (uint64_t)size < at ? 0 : (uint64_t)size - at;
		if (have > len)
			have = len;
		memset((char *)buf + have, 0, len - have);
		if (have)
			err = b->io->ops->read(b->img, buf, have, at);
	}
	if (err)
		return vr_fail_errno(e, err, "base of member %u, cell %" PRIu64, b->member, cell);
	*wrong = le32toh(sum.flags) != VAIO_RS_CELL_USED ||
		 (vr_crc32c(0, buf, len) != le32toh(sum.crc) && !sum_of_fewer(buf, len, le32toh(sum.crc)));
	return 0;
}

int vr_base_write(struct vr_base *b, uint64_t cell, const void *buf, size_t len, struct vr_err *e)
{
	uint64_t at = cell << VAIO_RS_CELL_SHIFT, sum_at = VAIO_RS_BASE_DATA + cell * sizeof(struct vaio_rs_cell);
	struct vaio_rs_cell sum = { 0 }, old;
	bool zero = vr_all_zero(buf, len);
	int err = read_sum(b, cell, &old);

	if (!err && zero && (b->careful || (le32toh(old.flags) & VAIO_RS_CELL_USED))) {
		int64_t size = b->io->ops->size(b->img);

		if (size > 0 && (uint64_t)size > at)
			err = b->io->ops->punch(b->img, at, len);
	} else if (!err && !zero && (le32toh(old.flags) & VAIO_RS_CELL_USED)) {
		err = b->io->ops->write(b->img, buf, len, at);
	} else if (!err && !zero) {
		/*
		 * A cell that was not used is a hole; what is zero stays one.
		 */
		int64_t size = b->io->ops->size(b->img);

		if (b->careful && size > 0 && (uint64_t)size > at)
			err = b->io->ops->punch(b->img, at, len);
		for (size_t i = 0; i < len && !err; i += 4096) {
			size_t n = len - i < 4096 ? len - i : 4096;

			if (!vr_all_zero((const char *)buf + i, n))
				err = b->io->ops->write(b->img, (const char *)buf + i, n, at + i);
		}
	}
	if (!zero) {
		sum.crc = htole32(vr_crc32c(0, buf, len));
		sum.flags = htole32(VAIO_RS_CELL_USED);
	}
	/* What can be read of an apply that failed may not be on the disk. */
	if (!err && (b->careful || memcmp(&sum, &old, sizeof(sum))))
		err = b->io->ops->write(b->crc, &sum, sizeof(sum), sum_at);
	return err ? vr_fail_errno(e, err, "base of member %u, cell %" PRIu64, b->member, cell) : 0;
}

int vr_base_sync(struct vr_base *b, struct vr_err *e)
{
	int err = b->io->ops->sync(b->img), err2 = b->io->ops->sync(b->crc);

	err = err ? err : err2;
	return err ? vr_fail_errno(e, err, "base of member %u", b->member) : 0;
}

int64_t vr_base_used(struct vr_base *b)
{
	int64_t img = b->io->ops->used(b->img), crc = b->io->ops->used(b->crc);

	return img < 0 || crc < 0 ? 0 : img + crc;
}

uint64_t vr_base_bytes(struct vr_store *st)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < st->super->base.nr_members; i++) {
		struct vr_base *b;

		if (vr_base_open(st, &st->super->base.members[i], false, &b, NULL))
			continue;
		sum += (uint64_t)vr_base_used(b);
		vr_base_close(b);
	}
	return sum;
}
