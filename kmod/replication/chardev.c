// SPDX-License-Identifier: GPL-2.0
/*
 * The agent's file: /dev/vaio/replication.
 *
 * An open file becomes a group's when it is bound, and stays so; which process
 * the binding belongs to is told by its table of open files, so that the end of
 * that process ends it though a child, or systemd's store of descriptors, still
 * has the file. The file keeps the ring's memory for what is mapped.
 *
 * All that the agent can write is one page of hints and the arguments of its
 * calls. Each is read once and checked; nothing that it says makes the kernel
 * trust a place in the ring.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "repl.h"

/**
 * struct repl_file - an open file
 * @lock: mutex: binding
 * @g: the group it was bound to first; constant from then on
 * @owner: files_struct of the process that bound it, only compared
 */
struct repl_file {
	struct mutex		lock;
	struct repl_group	*g;
	void			*owner;
};

static int repl_open(struct inode *inode, struct file *file)
{
	struct repl_file *f;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	file->private_data = f;
	return nonseekable_open(inode, file);
}

static void unbind(struct repl_file *f, const char *why)
{
	struct repl_group *g = READ_ONCE(f->g);

	if (!g)
		return;
	spin_lock_irq(&g->lock);
	if (g->agent == f) {
		pr_notice("group '%s': %s\n", g->name, why);
		repl_unbind(g);
	}
	spin_unlock_irq(&g->lock);
}

/* A process closes the file, or ends. */
static int repl_flush(struct file *file, fl_owner_t id)
{
	struct repl_file *f = file->private_data;

	if (READ_ONCE(f->owner) == id)
		unbind(f, "the agent closed the ring, or ended");
	return 0;
}

static int repl_release(struct inode *inode, struct file *file)
{
	struct repl_file *f = file->private_data;

	unbind(f, "the ring's last descriptor was closed");
	if (f->g)
		repl_group_put(f->g);
	mutex_destroy(&f->lock);
	kfree(f);
	return 0;
}

/* The group, if the caller is its agent. Its calls show that it lives. */
static struct repl_group *bound_group(struct repl_file *f)
{
	struct repl_group *g = READ_ONCE(f->g);
	bool bound;

	if (!g)
		return ERR_PTR(-ENOTCONN);
	spin_lock_irq(&g->lock);
	bound = g->agent == f && f->owner == current->files;
	if (bound)
		g->agent_seen = jiffies;
	spin_unlock_irq(&g->lock);
	return bound ? g : ERR_PTR(-ENOTCONN);
}

/* --- calls ------------------------------------------------------------------- */

static void fill_bind(struct repl_group *g, struct vaio_repl_bind *arg)
{
	export_uuid(arg->ring_id, &g->ring_id);
	export_uuid(arg->group_uuid, &g->uuid);
	arg->epoch = g->epoch;
	arg->published = g->ring.published;
	arg->durable = g->ring.durable;
	arg->first = g->ring.retired + 1;
	arg->data_bytes = (u64)g->nr_chunks * VAIO_REPL_CHUNK;
	arg->nr_desc = g->ring.nr;
	arg->state = g->state;
	arg->sync = g->props.sync;
	arg->watchdog_ms = g->props.watchdog_ms;
}

static int bind_group(struct repl_file *f, struct repl_group *g, struct eventfd_ctx *ctx,
		      struct vaio_repl_bind *arg)
{
	int err = 0;

	mutex_lock(&g->config);
	spin_lock_irq(&g->lock);
	if (g->dead) {
		err = -ENOENT;
	} else if (g->agent) {
		err = -EBUSY;
	} else {
		WRITE_ONCE(f->owner, current->files);
		g->agent = f;
		g->eventfd = ctx;
		g->agent_seen = jiffies;
		WRITE_ONCE(g->hints->wake_seq, 0);
		fill_bind(g, arg);
		repl_changed(g);
		repl_watch(g);
	}
	spin_unlock_irq(&g->lock);
	mutex_unlock(&g->config);
	return err;
}

static int call_bind(struct repl_file *f, void __user *user)
{
	struct vaio_repl_bind arg;
	struct eventfd_ctx *ctx;
	struct repl_group *g;
	int err;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.flags || strnlen(arg.group, sizeof(arg.group)) == sizeof(arg.group))
		return -EINVAL;
	g = repl_group_find(arg.group);
	if (!g)
		return -ENOENT;
	ctx = eventfd_ctx_fdget(arg.eventfd);
	if (IS_ERR(ctx)) {
		repl_group_put(g);
		return PTR_ERR(ctx);
	}
	mutex_lock(&f->lock);
	err = f->g && f->g != g ? -EINVAL : 0;
	if (!err)
		err = bind_group(f, g, ctx, &arg);
	if (!err && !f->g) {
		kref_get(&g->ref);
		WRITE_ONCE(f->g, g);
	}
	mutex_unlock(&f->lock);
	repl_group_put(g);
	if (err) {
		eventfd_ctx_put(ctx);
		return err;
	}
	if (copy_to_user(user, &arg, sizeof(arg))) {
		unbind(f, "the agent's argument went away");
		return -EFAULT;
	}
	return 0;
}

/* Member and group are locked. */
static void fill_member(struct repl_member *m, struct vaio_repl_member *to)
{
	u32 flags = m->sc ? vaio_sidecar_flags(m->sc) : 0;

	export_uuid(to->uuid, vaio_disk_uuid(m->slot->disk));
	memcpy(to->generation, m->generation.id, sizeof(to->generation));
	memcpy(to->previous_generation, m->previous_generation.id, sizeof(to->previous_generation));
	if (m->alone_want)
		memcpy(to->alone_generation, m->alone_generation.id, sizeof(to->alone_generation));
	to->generation_counter = m->generation.counter;
	to->bytes = m->sectors << SECTOR_SHIFT;
	to->dirty = (m->track.dirty.count + m->track.inflight.count) << VAIO_SC_BITMAP_SHIFT;
	to->to_check = m->track.check.count << VAIO_SC_BITMAP_SHIFT;
	to->block_size = m->align;
	to->id = m->id;
	strscpy(to->name, vaio_disk_name(m->slot->disk), sizeof(to->name));
	to->flags = (m->capturing ? VAIO_REPL_M_CAPTURED : 0) |
		    (m->running ? 0 : VAIO_REPL_M_DOWN) |
		    (repl_must_compare(m) ? VAIO_REPL_M_COMPARE : 0) |
		    (flags & VAIO_SC_F_SOURCE_DAMAGED ? VAIO_REPL_M_DAMAGED : 0) |
		    (m->alone_want ? VAIO_REPL_M_ALONE : 0) |
		    (m->sc ? 0 : VAIO_REPL_M_NO_SIDECAR);
}

static int call_members(struct repl_group *g, void __user *user)
{
	struct vaio_repl_members arg;
	struct vaio_repl_member *all;
	u32 room, n = 0;
	int i, err = 0;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.reserved)
		return -EINVAL;
	room = arg.count;
	all = kvcalloc(VAIO_REPL_MEMBERS, sizeof(*all), GFP_KERNEL);
	if (!all)
		return -ENOMEM;
	mutex_lock(&g->config);
	spin_lock_irq(&g->lock);
	for (i = 0; i < VAIO_REPL_MEMBERS; i++) {
		struct repl_member *m = g->member[i];

		if (!m || m->leaving)
			continue;
		spin_lock(&m->lock);
		fill_member(m, &all[n++]);
		spin_unlock(&m->lock);
	}
	spin_unlock_irq(&g->lock);
	mutex_unlock(&g->config);
	arg.count = n;
	if (copy_to_user(u64_to_user_ptr(arg.ptr), all, min(n, room) * sizeof(*all)) ||
	    copy_to_user(user, &arg, sizeof(arg)))
		err = -EFAULT;
	kvfree(all);
	return err;
}

static int call_start(struct repl_group *g, void __user *user)
{
	struct vaio_repl_start arg;
	int err;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	err = repl_start(g, &arg);
	if (err)
		return err;
	return copy_to_user(user, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static int call_stop(struct repl_group *g, void __user *user)
{
	int err = 0;
	u64 epoch;

	if (copy_from_user(&epoch, user, sizeof(epoch)))
		return -EFAULT;
	spin_lock_irq(&g->lock);
	if (epoch != g->epoch)
		err = -ESTALE;
	else
		repl_flip(g, "the agent gave up");
	spin_unlock_irq(&g->lock);
	return err;
}

static int call_durable(struct repl_group *g, void __user *user)
{
	struct vaio_repl_durable arg;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	return repl_acknowledge(g, arg.epoch, arg.upto);
}

static int call_mark_dirty(struct repl_group *g, void __user *user)
{
	struct vaio_repl_mark_dirty arg;
	struct vaio_repl_range *ranges;
	int err;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.reserved || !arg.count || arg.count > VAIO_REPL_RANGES)
		return -EINVAL;
	ranges = vmemdup_user(u64_to_user_ptr(arg.ptr), array_size(arg.count, sizeof(*ranges)));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	err = repl_mark_dirty(g, arg.member, ranges, arg.count);
	kvfree(ranges);
	return err;
}

static int call_mark(struct repl_group *g, void __user *user)
{
	struct vaio_repl_mark arg;
	int err;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (strnlen(arg.name, sizeof(arg.name)) == sizeof(arg.name))
		return -EINVAL;
	err = repl_mark(g, arg.name, &arg.seq);
	if (err)
		return err;
	return copy_to_user(user, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long repl_ioctl(struct file *file, unsigned int cmd, unsigned long user)
{
	struct repl_file *f = file->private_data;
	void __user *arg = (void __user *)user;
	struct repl_group *g;

	if (cmd == VAIO_REPL_IOC_BIND)
		return call_bind(f, arg);
	g = bound_group(f);
	if (IS_ERR(g))
		return PTR_ERR(g);
	switch (cmd) {
	case VAIO_REPL_IOC_MEMBERS:
		return call_members(g, arg);
	case VAIO_REPL_IOC_START:
		return call_start(g, arg);
	case VAIO_REPL_IOC_STOP:
		return call_stop(g, arg);
	case VAIO_REPL_IOC_DURABLE:
		return call_durable(g, arg);
	case VAIO_REPL_IOC_MARK_DIRTY:
		return call_mark_dirty(g, arg);
	case VAIO_REPL_IOC_ALIVE:
		return 0;
	case VAIO_REPL_IOC_MARK:
		return call_mark(g, arg);
	default:
		return -ENOTTY;
	}
}

/* --- mappings ---------------------------------------------------------------- */

static int map_data(struct repl_group *g, struct vm_area_struct *vma)
{
	unsigned long at = vma->vm_start;
	unsigned int i, k;
	int err;

	if (vma->vm_end - vma->vm_start != (u64)g->nr_chunks * VAIO_REPL_CHUNK)
		return -EINVAL;
	for (i = 0; i < g->nr_chunks; i++) {
		for (k = 0; k < VAIO_REPL_CHUNK >> PAGE_SHIFT; k++, at += PAGE_SIZE) {
			err = vm_insert_page(vma, at, g->chunk[i] + k);
			if (err)
				return err;
		}
	}
	return 0;
}

static int map_whole(struct vm_area_struct *vma, void *area, u64 bytes)
{
	if (vma->vm_end - vma->vm_start != PAGE_ALIGN(bytes))
		return -EINVAL;
	return remap_vmalloc_range(vma, area, 0);
}

static int repl_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 what = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct repl_group *g = bound_group(file->private_data);
	bool hints = what == VAIO_REPL_MAP_HINTS;
	unsigned long never = VM_MAYEXEC;

	if (IS_ERR(g))
		return PTR_ERR(g);
	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (!hints) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		/* and mprotect() will not change that */
		never |= VM_MAYWRITE;
	}
	/* a child would keep it alive, a core dump would hold it up, mremap() pass its end */
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTDUMP | VM_DONTEXPAND, never);

	switch (what) {
	case VAIO_REPL_MAP_CONTROL:
		return map_whole(vma, g->control, PAGE_SIZE);
	case VAIO_REPL_MAP_HINTS:
		return map_whole(vma, g->hints, PAGE_SIZE);
	case VAIO_REPL_MAP_DESCS:
		return map_whole(vma, g->ring.desc, (u64)g->ring.nr * sizeof(*g->ring.desc));
	case VAIO_REPL_MAP_DATA:
		return map_data(g, vma);
	default:
		return -EINVAL;
	}
}

static const struct file_operations repl_fops = {
	.owner		= THIS_MODULE,
	.open		= repl_open,
	.flush		= repl_flush,
	.release	= repl_release,
	.unlocked_ioctl	= repl_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= repl_mmap,
};

static struct miscdevice repl_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "vaio-replication",
	.nodename	= "vaio/replication",
	.mode		= 0600,
	.fops		= &repl_fops,
};

int repl_chardev_init(void)
{
	return misc_register(&repl_device);
}

void repl_chardev_exit(void)
{
	misc_deregister(&repl_device);
}
