/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Storage in memory for the store's tests. It remembers what each fdatasync made
 * durable and what came after, and makes the states that a power cut may leave:
 * later writes kept, dropped, torn at sectors, in another order; names likewise.
 * It can also run full.
 */
#ifndef TESTS_MEMFS_H
#define TESTS_MEMFS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/libreplica/io.h"

struct mem_bytes {
	uint8_t *p;
	size_t len, room;
};

struct mem_op {
	enum { MEM_WRITE, MEM_SIZE, MEM_PUNCH } what;
	uint64_t offset, len;
	uint8_t *data;
};

struct mem_inode {
	struct mem_bytes now, stable;
	struct mem_op *ops;
	unsigned int nr_ops, room_ops, refs;
	bool locked;
};

struct mem_name {
	char name[96];
	struct mem_inode *inode;
};

struct mem_dirop {
	char from[96], to[96];		/* from "": a new name; to "": removed */
	struct mem_inode *inode;
};

struct memfs {
	struct vr_io io;
	struct mem_name *names, *stable_names;
	unsigned int nr_names, nr_stable;
	struct mem_dirop *dirops;
	unsigned int nr_dirops;
	struct mem_inode **inodes;
	unsigned int nr_inodes;
	uint64_t clock, seed;
	uint64_t capacity;		/* 0: no limit */
	long fail_at;			/* so many allocations from now: full; -1 never */
	bool full;
	bool sync_fails;
	bool sync_loses;		/* what a sync that fails was to write is in memory, and nowhere else from then on */
	/* Before "open", "read" and "sync" of a file: what it returns, unless 0, is how that ends. */
	int (*before)(struct memfs *fs, const char *what, const char *path);
	void (*before_sync)(struct memfs *fs, void *arg);
	void *arg;
	bool quiet;			/* no callback */
};

struct mem_file {
	struct vr_file file;
	struct mem_inode *inode;
	bool write, locked;
};

static uint64_t mem_rand(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void mem_need(struct mem_bytes *b, size_t len)
{
	if (len > b->room) {
		b->room = len + len / 2 + 512;
		b->p = realloc(b->p, b->room);
	}
	if (len > b->len) {
		memset(b->p + b->len, 0, len - b->len);
		b->len = len;
	}
}

static void mem_apply(struct mem_bytes *b, const struct mem_op *op)
{
	switch (op->what) {
	case MEM_WRITE:
		mem_need(b, op->offset + op->len);
		memcpy(b->p + op->offset, op->data, op->len);
		break;
	case MEM_SIZE:
		if (op->len > b->len)
			mem_need(b, op->len);
		b->len = op->len;
		break;
	case MEM_PUNCH:
		if (op->offset < b->len)
			memset(b->p + op->offset, 0, op->len < b->len - op->offset ? op->len : b->len - op->offset);
		break;
	}
}

static struct memfs *mem_of(struct vr_io *io) { return (struct memfs *)io; }
static struct mem_inode *inode_of(struct vr_file *f) { return ((struct mem_file *)f)->inode; }

static void mem_pend(struct mem_inode *i, int what, uint64_t offset, uint64_t len, const void *data)
{
	struct mem_op *op;

	if (i->nr_ops == i->room_ops) {
		i->room_ops = 2 * i->room_ops + 16;
		i->ops = realloc(i->ops, i->room_ops * sizeof(*i->ops));
	}
	op = &i->ops[i->nr_ops++];
	op->what = what;
	op->offset = offset;
	op->len = len;
	op->data = NULL;
	if (data) {
		op->data = malloc(len);
		memcpy(op->data, data, len);
	}
	mem_apply(&i->now, op);
}

static void mem_settle(struct mem_inode *i, bool lost)
{
	for (unsigned int n = 0; n < i->nr_ops; n++) {
		if (!lost)
			mem_apply(&i->stable, &i->ops[n]);
		free(i->ops[n].data);
	}
	i->nr_ops = 0;
}

static struct mem_inode *mem_inode(struct memfs *fs)
{
	struct mem_inode *i = calloc(1, sizeof(*i));

	fs->inodes = realloc(fs->inodes, (fs->nr_inodes + 1) * sizeof(*fs->inodes));
	fs->inodes[fs->nr_inodes++] = i;
	return i;
}

static int mem_find(const struct mem_name *names, unsigned int nr, const char *name)
{
	for (unsigned int i = 0; i < nr; i++)
		if (!strcmp(names[i].name, name))
			return (int)i;
	return -1;
}

static void mem_set(struct mem_name **names, unsigned int *nr, const char *name, struct mem_inode *inode)
{
	int at = mem_find(*names, *nr, name);

	if (!inode) {
		if (at >= 0)
			(*names)[at] = (*names)[--*nr];
		return;
	}
	if (at < 0) {
		*names = realloc(*names, (*nr + 1) * sizeof(**names));
		at = (int)(*nr)++;
		snprintf((*names)[at].name, sizeof((*names)[at].name), "%s", name);
	}
	(*names)[at].inode = inode;
}

static int mem_before(struct memfs *fs, const char *what, const struct mem_inode *inode, const char *path)
{
	for (unsigned int i = 0; !path && i < fs->nr_names; i++)
		if (fs->names[i].inode == inode)
			path = fs->names[i].name;
	return fs->before ? fs->before(fs, what, path ? path : "") : 0;
}

static void mem_dirop_do(struct mem_name **names, unsigned int *nr, const struct mem_dirop *op)
{
	if (op->from[0])
		mem_set(names, nr, op->from, NULL);
	if (op->to[0])
		mem_set(names, nr, op->to, op->inode);
}

static void mem_dirop(struct memfs *fs, const char *from, const char *to, struct mem_inode *inode)
{
	struct mem_dirop op = { .inode = inode };

	snprintf(op.from, sizeof(op.from), "%s", from);
	snprintf(op.to, sizeof(op.to), "%s", to);
	mem_dirop_do(&fs->names, &fs->nr_names, &op);
	fs->dirops = realloc(fs->dirops, (fs->nr_dirops + 1) * sizeof(*fs->dirops));
	fs->dirops[fs->nr_dirops++] = op;
}

static uint64_t mem_total(struct memfs *fs)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < fs->nr_names; i++)
		sum += fs->names[i].inode->now.len;
	return sum;
}

/* Does this allocation find the storage full? */
static bool mem_is_full(struct memfs *fs, uint64_t more)
{
	if (fs->fail_at >= 0 && fs->fail_at-- == 0)
		fs->full = true;
	return fs->full || (fs->capacity && mem_total(fs) + more > fs->capacity);
}

static int mem_open(struct vr_io *io, const char *path, int flags, struct vr_file **out)
{
	struct memfs *fs = mem_of(io);
	int rc = mem_before(fs, "open", NULL, path), at = mem_find(fs->names, fs->nr_names, path);
	struct mem_inode *inode;
	struct mem_file *f;

	if (rc)
		return rc;
	if (flags & VR_O_CREATE) {
		if (at >= 0)
			return -EEXIST;
		if (mem_is_full(fs, 0))
			return -ENOSPC;
		inode = mem_inode(fs);
		mem_dirop(fs, "", path, inode);
	} else {
		if (at < 0)
			return -ENOENT;
		inode = fs->names[at].inode;
	}
	f = calloc(1, sizeof(*f));
	f->file.io = io;
	f->inode = inode;
	f->write = flags;
	*out = &f->file;
	return 0;
}

static void mem_close(struct vr_file *file)
{
	struct mem_file *f = (struct mem_file *)file;

	if (f->locked)
		f->inode->locked = false;
	free(f);
}

static int mem_read(struct vr_file *f, void *buf, size_t len, uint64_t offset)
{
	struct mem_bytes *b = &inode_of(f)->now;
	int rc = mem_before(mem_of(f->io), "read", inode_of(f), NULL);

	if (rc)
		return rc;
	if (offset > b->len || len > b->len - offset)
		return -ENODATA;
	memcpy(buf, b->p + offset, len);
	return 0;
}

static int mem_write(struct vr_file *f, const void *buf, size_t len, uint64_t offset)
{
	struct mem_inode *i = inode_of(f);
	struct memfs *fs = mem_of(f->io);

	if (!((struct mem_file *)f)->write)
		return -EBADF;
	if (offset + len > i->now.len && mem_is_full(fs, offset + len - i->now.len)) {
		/* Part of it may have found room. */
		if (len > 1)
			mem_pend(i, MEM_WRITE, offset, len / 2, buf);
		return -ENOSPC;
	}
	mem_pend(i, MEM_WRITE, offset, len, buf);
	return 0;
}

static int mem_sync(struct vr_file *f)
{
	struct memfs *fs = mem_of(f->io);
	int rc = mem_before(fs, "sync", inode_of(f), NULL);

	if (fs->before_sync && !fs->quiet)
		fs->before_sync(fs, fs->arg);
	if (!rc && fs->sync_fails)
		rc = -EIO;
	if (!rc || fs->sync_loses)
		mem_settle(inode_of(f), rc != 0);
	return rc;
}

static int64_t mem_size(struct vr_file *f) { return (int64_t)inode_of(f)->now.len; }

static int mem_truncate(struct vr_file *f, uint64_t size)
{
	mem_pend(inode_of(f), MEM_SIZE, 0, size, NULL);
	return 0;
}

static int mem_allocate(struct vr_file *f, uint64_t size)
{
	if (size > inode_of(f)->now.len) {
		if (mem_is_full(mem_of(f->io), size - inode_of(f)->now.len))
			return -ENOSPC;
		mem_pend(inode_of(f), MEM_SIZE, 0, size, NULL);
	}
	return 0;
}

static int mem_punch(struct vr_file *f, uint64_t offset, uint64_t len)
{
	mem_pend(inode_of(f), MEM_PUNCH, offset, len, NULL);
	return 0;
}

static int mem_lock(struct vr_file *file, bool wait)
{
	struct mem_file *f = (struct mem_file *)file;

	(void)wait;
	if (f->inode->locked)
		return -EAGAIN;
	f->inode->locked = f->locked = true;
	return 0;
}

static int mem_mkdir(struct vr_io *io, const char *path) { (void)io, (void)path; return 0; }

static int mem_rename(struct vr_io *io, const char *from, const char *to)
{
	struct memfs *fs = mem_of(io);
	int at = mem_find(fs->names, fs->nr_names, from);

	if (at < 0)
		return -ENOENT;
	mem_dirop(fs, from, to, fs->names[at].inode);
	return 0;
}

static int mem_remove(struct vr_io *io, const char *path)
{
	struct memfs *fs = mem_of(io);

	if (mem_find(fs->names, fs->nr_names, path) < 0)
		return -ENOENT;
	mem_dirop(fs, path, "", NULL);
	return 0;
}

/* Is @name in folder @dir ("" for the top)? Returns the name there. */
static const char *mem_in(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	if (!n)
		return strchr(name, '/') ? NULL : name;
	return !strncmp(name, dir, n) && name[n] == '/' ? name + n + 1 : NULL;
}

static int mem_sync_dir(struct vr_io *io, const char *path)
{
	struct memfs *fs = mem_of(io);
	unsigned int left = 0;

	if (fs->before_sync && !fs->quiet)
		fs->before_sync(fs, fs->arg);
	if (fs->sync_fails)
		return -EIO;
	for (unsigned int i = 0; i < fs->nr_dirops; i++) {
		struct mem_dirop *op = &fs->dirops[i];

		if (mem_in(path, op->from[0] ? op->from : op->to))
			mem_dirop_do(&fs->stable_names, &fs->nr_stable, op);
		else
			fs->dirops[left++] = *op;
	}
	fs->nr_dirops = left;
	return 0;
}

static int mem_list(struct vr_io *io, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	struct memfs *fs = mem_of(io);
	unsigned int nr = fs->nr_names;
	struct mem_name *copy = malloc((nr + 1) * sizeof(*copy));
	int rc = 0;

	memcpy(copy, fs->names, nr * sizeof(*copy));
	for (unsigned int i = 0; i < nr && !rc; i++)
		if (mem_in(path, copy[i].name))
			rc = each(arg, mem_in(path, copy[i].name));
	free(copy);
	return rc;
}

static int mem_space(struct vr_io *io, uint64_t *total, uint64_t *avail)
{
	struct memfs *fs = mem_of(io);
	uint64_t used = fs->capacity ? mem_total(fs) : 0;

	*total = fs->capacity ? fs->capacity : 1ULL << 40;
	*avail = fs->full || used > *total ? 0 : *total - used;
	return 0;
}

static uint64_t mem_now(struct vr_io *io) { return mem_of(io)->clock += 1000; }

static int mem_random(struct vr_io *io, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(mem_rand(&mem_of(io)->seed) >> 24);
	return 0;
}

static void mem_free(struct vr_io *io) { (void)io; }	/* a store that is closed leaves the storage */

static const struct vr_io_ops mem_ops = {
	.open = mem_open, .close = mem_close, .read = mem_read, .write = mem_write, .write_direct = mem_write,
	.sync = mem_sync, .size = mem_size, .used = mem_size, .truncate = mem_truncate, .allocate = mem_allocate, .punch = mem_punch,
	.lock = mem_lock, .mkdir = mem_mkdir, .rename = mem_rename, .remove = mem_remove,
	.sync_dir = mem_sync_dir, .list = mem_list, .space = mem_space, .now_ns = mem_now, .random = mem_random,
	.free = mem_free,
};

static struct memfs *memfs_new(uint64_t seed)
{
	struct memfs *fs = calloc(1, sizeof(*fs));

	fs->io.ops = &mem_ops;
	fs->seed = seed | 1;
	fs->fail_at = -1;
	fs->clock = 1700000000ULL * 1000000000;
	return fs;
}

static void memfs_free(struct memfs *fs)
{
	for (unsigned int i = 0; i < fs->nr_inodes; i++) {
		struct mem_inode *n = fs->inodes[i];

		for (unsigned int j = 0; j < n->nr_ops; j++)
			free(n->ops[j].data);
		free(n->ops);
		free(n->now.p);
		free(n->stable.p);
		free(n);
	}
	free(fs->inodes);
	free(fs->names);
	free(fs->stable_names);
	free(fs->dirops);
	free(fs);
}

static void mem_torn(struct mem_bytes *b, const struct mem_op *op, uint64_t *seed)
{
	uint64_t at = op->offset, end = op->offset + op->len;

	mem_need(b, mem_rand(seed) & 1 ? end : at);
	while (at < end) {
		uint64_t next = (at | 511) + 1 < end ? (at | 511) + 1 : end;

		if (mem_rand(seed) & 1) {
			mem_need(b, next);
			memcpy(b->p + at, op->data + (at - op->offset), next - at);
		}
		at = next;
	}
}

/*
 * What a power cut now may leave. @how: 0 nothing after the last syncs, 1 all of it, 2 a prefix whose last
 * write is torn, 3 any of it, torn or not, 4 the same in another order.
 */
static struct memfs *memfs_cut(const struct memfs *fs, int how, uint64_t *seed)
{
	struct memfs *to = memfs_new(mem_rand(seed));
	struct mem_inode **copies = calloc(fs->nr_inodes + 1, sizeof(*copies));
	unsigned int ops = how == 2 ? (unsigned int)(mem_rand(seed) % (fs->nr_dirops + 1)) : fs->nr_dirops;

	to->clock = fs->clock;
	for (unsigned int i = 0; i < fs->nr_stable; i++)
		mem_set(&to->names, &to->nr_names, fs->stable_names[i].name, fs->stable_names[i].inode);
	for (unsigned int i = 0; i < ops; i++)
		if (how == 1 || how == 2 || (how > 2 && mem_rand(seed) & 1))
			mem_dirop_do(&to->names, &to->nr_names, &fs->dirops[i]);
	for (unsigned int n = 0; n < fs->nr_inodes; n++) {
		const struct mem_inode *from = fs->inodes[n];
		struct mem_inode *inode = copies[n] = mem_inode(to);
		unsigned int nr = from->nr_ops, order[nr + 1];

		mem_need(&inode->now, from->stable.len);
		if (from->stable.len)
			memcpy(inode->now.p, from->stable.p, from->stable.len);
		for (unsigned int i = 0; i < nr; i++)
			order[i] = i;
		for (unsigned int i = nr; how == 4 && i > 1; i--) {
			unsigned int j = (unsigned int)(mem_rand(seed) % i), t = order[i - 1];

			order[i - 1] = order[j];
			order[j] = t;
		}
		if (how == 2)
			nr = (unsigned int)(mem_rand(seed) % (nr + 1));
		for (unsigned int i = 0; i < nr && how; i++) {
			const struct mem_op *op = &from->ops[order[i]];
			unsigned int dice = (unsigned int)(mem_rand(seed) % 3);

			if (how == 1 || (how == 2 && i + 1 < nr) || (how > 2 && dice == 0))
				mem_apply(&inode->now, op);
			else if (op->what == MEM_WRITE && (how == 2 || dice == 1))
				mem_torn(&inode->now, op, seed);
		}
		mem_need(&inode->stable, inode->now.len);
		if (inode->now.len)
			memcpy(inode->stable.p, inode->now.p, inode->now.len);
	}
	for (unsigned int i = 0; i < to->nr_names; i++)
		for (unsigned int n = 0; n < fs->nr_inodes; n++)
			if (to->names[i].inode == fs->inodes[n]) {
				to->names[i].inode = copies[n];
				break;
			}
	to->nr_stable = to->nr_names;
	to->stable_names = malloc((to->nr_names + 1) * sizeof(*to->names));
	memcpy(to->stable_names, to->names, to->nr_names * sizeof(*to->names));
	free(copies);
	return to;
}

#endif /* TESTS_MEMFS_H */
