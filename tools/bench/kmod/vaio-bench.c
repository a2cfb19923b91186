// SPDX-License-Identifier: GPL-2.0
/*
 * What one I/O costs, measured inside the kernel: no system call, no aio, no
 * scheduler between the figure and the block device.
 *
 * One command is written to /sys/kernel/debug/vaio-bench, the answer read back:
 *
 *	io <device> read|write|rewrite <depth> <threads> <ios>
 *		4 KiB requests at random places of the device's first 4 MiB, which
 *		is filled before, but for rewrite. Each thread is bound to a CPU of
 *		its own, and sends them for the cgroup of whoever wrote the command.
 *	cipher <sector size> encrypt|decrypt <rounds>
 *		xts(aes), 256-bit keys, over 4 KiB: what is left of an encrypting
 *		device when all but the cipher is taken away.
 *	copy <rounds>
 *		4 KiB from one page to another.
 *	busy
 *		What all of the guest has done: total is the time since boot in which
 *		the CPUs were not idle. Median and mean say nothing.
 *
 * The answer: "<median> <mean> <total>". Median and mean are nanoseconds for one
 * I/O or round; under QEMU's -icount shift=0 these are instructions. The median
 * is that of batches of 32, in which timer ticks, being rare, do not show. Total
 * is the time from the first thread's start to the last one's end.
 */
#include <crypto/skcipher.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/cgroup.h>
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/tick.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define BENCH_BATCH		32
#define BENCH_SPAN		SZ_4M
#define BENCH_MAX_THREADS	64
#define BENCH_MAX_DEPTH		1024
#define BENCH_MAX_COUNT		10000000
#define BENCH_KEY_SIZE		64
#define BENCH_TWEAK_SIZE	16

struct bench_result {
	u64	median;
	u64	mean;
	u64	total;
};

static DEFINE_MUTEX(bench_lock);
static struct bench_result bench_result;
static int bench_error;
static struct dentry *bench_file;

/* --- figures ---------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* @stamps: of the begin and of the end of each batch. Overwritten. */
static void summarise(u64 *stamps, unsigned int batches, struct bench_result *result)
{
	unsigned int i;

	result->total = stamps[batches] - stamps[0];
	result->mean = div_u64(result->total, batches * BENCH_BATCH);
	for (i = 0; i < batches; i++)
		stamps[i] = stamps[i + 1] - stamps[i];
	sort(stamps, batches, sizeof(*stamps), compare_u64, NULL);
	result->median = div_u64(stamps[batches / 2], BENCH_BATCH);
}

/* --- I/O -------------------------------------------------------------------- */

/* One submitter. */
struct bench_thread {
	struct task_struct	*task;
	struct block_device	*bdev;
	blk_opf_t		opf;
	unsigned int		depth;
	unsigned int		batches;
	atomic_t		in_flight;	/* at depth the submitter sleeps */
	atomic_t		failed;
	u32			random;		/* every run visits the same blocks */
	struct page		*page;		/* of all requests: the content is of no interest */
	struct cgroup_subsys_state *css;	/* whom the requests are charged to */
	u64			*stamps;
	struct completion	*go;
	struct completion	done;
};

static void bench_end_io(struct bio *bio)
{
	struct bench_thread *t = bio->bi_private;
	struct task_struct *task = t->task;
	unsigned int depth = t->depth;

	if (bio->bi_status)
		atomic_inc(&t->failed);
	bio_put(bio);
	/* Once in_flight is less @t may be gone, and but for RCU the task too. */
	rcu_read_lock();
	if (atomic_fetch_dec(&t->in_flight) == depth)
		wake_up_process(task);
	rcu_read_unlock();
}

static void wait_below(struct bench_thread *t, unsigned int limit)
{
	if (atomic_read(&t->in_flight) < limit)
		return;
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		if (atomic_read(&t->in_flight) < limit)
			break;
		io_schedule();
	}
	__set_current_state(TASK_RUNNING);
}

static void bench_submit(struct bench_thread *t, sector_t sector)
{
	struct bio *bio = bio_alloc(t->bdev, 1, t->opf, GFP_NOIO);

	__bio_add_page(bio, t->page, SZ_4K, 0);
	bio->bi_iter.bi_sector = sector;
	bio->bi_private = t;
	bio->bi_end_io = bench_end_io;
	atomic_inc(&t->in_flight);
	submit_bio(bio);
	wait_below(t, t->depth);
}

static sector_t bench_random(struct bench_thread *t)
{
	t->random = t->random * 1664525 + 1013904223;
	return (t->random >> 8) % (BENCH_SPAN / SZ_4K) * (SZ_4K >> SECTOR_SHIFT);
}

/* Ends only with kthread_stop(), so that @t->task stays what it is. */
static int bench_thread_fn(void *data)
{
	struct bench_thread *t = data;
	unsigned int i, batch;

	kthread_associate_blkcg(t->css);
	/* once with everything cold, not measured */
	for (i = 0; i < 4 * BENCH_BATCH; i++)
		bench_submit(t, bench_random(t));
	complete(&t->done);
	wait_for_completion(t->go);

	t->stamps[0] = ktime_get_ns();
	for (batch = 1; batch <= t->batches; batch++) {
		for (i = 0; i < BENCH_BATCH; i++)
			bench_submit(t, bench_random(t));
		/* who was woken on this CPU has its turn within the batch that woke it */
		cond_resched();
		t->stamps[batch] = ktime_get_ns();
	}
	while (atomic_read(&t->in_flight))
		schedule_timeout_uninterruptible(1);
	kthread_associate_blkcg(NULL);
	complete(&t->done);

	set_current_state(TASK_UNINTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_UNINTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* So that a read finds data, and a write a place, wherever it goes. */
static int bench_fill(struct block_device *bdev, struct page *page)
{
	sector_t sector;
	int r = 0;

	for (sector = 0; !r && sector < BENCH_SPAN >> SECTOR_SHIFT;
	     sector += SZ_4K >> SECTOR_SHIFT) {
		struct bio *bio = bio_alloc(bdev, 1, REQ_OP_WRITE, GFP_NOIO);

		__bio_add_page(bio, page, SZ_4K, 0);
		bio->bi_iter.bi_sector = sector;
		r = submit_bio_wait(bio);
		bio_put(bio);
	}
	return r;
}

static int bench_threads(struct bench_thread *threads, unsigned int count,
			 struct bench_result *result)
{
	DECLARE_COMPLETION_ONSTACK(go);
	unsigned int i, started = 0, cpu = cpumask_first(cpu_online_mask);
	u64 first = U64_MAX, last = 0;
	int r = 0;

	for (i = 0; i < count; i++) {
		struct bench_thread *t = &threads[i];

		t->go = &go;
		init_completion(&t->done);
		t->task = kthread_create_on_cpu(bench_thread_fn, t, cpu, "vaio-bench/%u");
		if (IS_ERR(t->task)) {
			r = PTR_ERR(t->task);
			break;
		}
		cpu = cpumask_next(cpu, cpu_online_mask);
		started++;
	}
	for (i = 0; i < started; i++)
		wake_up_process(threads[i].task);
	for (i = 0; i < started; i++)
		wait_for_completion(&threads[i].done);
	complete_all(&go);
	for (i = 0; i < started; i++) {
		struct bench_thread *t = &threads[i];

		wait_for_completion(&t->done);
		kthread_stop(t->task);
		if (atomic_read(&t->failed))
			r = -EIO;
		first = min(first, t->stamps[0]);
		last = max(last, t->stamps[t->batches]);
	}
	if (r)
		return r;
	summarise(threads[0].stamps, threads[0].batches, result);
	result->total = last - first;
	return 0;
}

static int bench_io(const char *path, bool write, bool fill, unsigned int depth,
		    unsigned int count, unsigned int ios, struct bench_result *result)
{
	struct cgroup_subsys_state *css;
	struct bench_thread *threads;
	struct page *page;
	struct file *file;
	unsigned int i;
	int r = -ENOMEM;

	if (!depth || depth > BENCH_MAX_DEPTH || ios < BENCH_BATCH || ios > BENCH_MAX_COUNT ||
	    !count || count > min_t(unsigned int, num_online_cpus(), BENCH_MAX_THREADS))
		return -ERANGE;
	file = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (bdev_nr_bytes(file_bdev(file)) < BENCH_SPAN) {
		r = -ENOSPC;
		goto out_file;
	}
	threads = kcalloc(count, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		goto out_file;
	css = task_get_css(current, io_cgrp_id);
	for (i = 0; i < count; i++) {
		struct bench_thread *t = &threads[i];

		t->bdev = file_bdev(file);
		t->opf = write ? REQ_OP_WRITE | REQ_SYNC | REQ_IDLE : REQ_OP_READ;
		t->depth = depth;
		t->batches = ios / BENCH_BATCH;
		t->random = i;
		t->css = css;
		t->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
		t->stamps = vcalloc(t->batches + 1, sizeof(*t->stamps));
		if (!t->page || !t->stamps)
			goto out;
	}
	page = threads[0].page;
	r = fill ? bench_fill(file_bdev(file), page) : 0;
	if (!r)
		r = bench_threads(threads, count, result);
out:
	for (i = 0; i < count; i++) {
		if (threads[i].page)
			__free_page(threads[i].page);
		vfree(threads[i].stamps);
	}
	css_put(css);
	kfree(threads);
out_file:
	fput(file);
	return r;
}

/* --- the cipher ------------------------------------------------------------- */

struct bench_sector {
	struct skcipher_request	*req;
	struct scatterlist	src, dst;
	__le64			tweak[BENCH_TWEAK_SIZE / sizeof(__le64)];
};

/*
 * The least that anybody has to do: requests and scatterlists are made before,
 * a round sets the tweak of each sector and calls the cipher.
 */
static int bench_cipher_rounds(struct bench_sector *s, unsigned int sectors, bool encrypt,
			       unsigned int rounds, struct bench_result *result)
{
	unsigned int batches = rounds / BENCH_BATCH, batch, i, n;
	u64 *stamps = vcalloc(batches + 1, sizeof(*stamps));
	int r = 0;

	if (!stamps)
		return -ENOMEM;
	for (batch = 0; batch <= batches && !r; batch++) {
		stamps[batch] = ktime_get_ns();
		for (i = 0; i < BENCH_BATCH && !r; i++) {
			for (n = 0; n < sectors && !r; n++) {
				s[n].tweak[0] = cpu_to_le64(n);
				s[n].tweak[1] = 0;
				r = encrypt ? crypto_skcipher_encrypt(s[n].req) :
					      crypto_skcipher_decrypt(s[n].req);
			}
		}
	}
	/* -EINPROGRESS: nothing but this thread may use the CPU's vector unit here */
	if (!r)
		summarise(stamps, batches, result);
	vfree(stamps);
	return r;
}

static int bench_cipher(unsigned int sector_size, bool encrypt, unsigned int rounds,
			struct bench_result *result)
{
	unsigned int sectors, i;
	struct crypto_skcipher *tfm;
	struct bench_sector *s;
	struct page *page = NULL;
	u8 key[BENCH_KEY_SIZE];
	int r;

	if ((sector_size != 512 && sector_size != 4096) || rounds < BENCH_BATCH ||
	    rounds > BENCH_MAX_COUNT)
		return -ERANGE;
	tfm = crypto_alloc_skcipher("xts(aes)", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	r = crypto_skcipher_setkey(tfm, key, sizeof(key));
	if (r)
		goto out_tfm;

	r = -ENOMEM;
	sectors = SZ_4K / sector_size;
	s = kcalloc(sectors, sizeof(*s), GFP_KERNEL);
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 1);
	if (!s || !page)
		goto out;
	for (i = 0; i < sectors; i++) {
		s[i].req = skcipher_request_alloc(tfm, GFP_KERNEL);
		if (!s[i].req)
			goto out;
		sg_init_table(&s[i].src, 1);
		sg_init_table(&s[i].dst, 1);
		sg_set_page(&s[i].src, page, sector_size, i * sector_size);
		/* writes into pages of their own, reads in place */
		sg_set_page(&s[i].dst, encrypt ? page + 1 : page, sector_size, i * sector_size);
		skcipher_request_set_callback(s[i].req, 0, NULL, NULL);
		skcipher_request_set_crypt(s[i].req, &s[i].src, encrypt ? &s[i].dst : &s[i].src,
					   sector_size, s[i].tweak);
	}
	r = bench_cipher_rounds(s, sectors, encrypt, rounds, result);
out:
	for (i = 0; s && i < sectors; i++)
		skcipher_request_free(s[i].req);
	if (page)
		__free_pages(page, 1);
	kfree(s);
out_tfm:
	crypto_free_skcipher(tfm);
	return r;
}

/* --- a copy ----------------------------------------------------------------- */

static int bench_copy(unsigned int rounds, struct bench_result *result)
{
	unsigned int batches = rounds / BENCH_BATCH, batch, i;
	struct page *page;
	u64 *stamps;
	int r = -ENOMEM;

	if (rounds < BENCH_BATCH || rounds > BENCH_MAX_COUNT)
		return -ERANGE;
	stamps = vcalloc(batches + 1, sizeof(*stamps));
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 1);
	if (!stamps || !page)
		goto out;
	for (batch = 0; batch <= batches; batch++) {
		stamps[batch] = ktime_get_ns();
		for (i = 0; i < BENCH_BATCH; i++)
			memcpy_page(page + 1, 0, page, 0, SZ_4K);
	}
	summarise(stamps, batches, result);
	r = 0;
out:
	if (page)
		__free_pages(page, 1);
	vfree(stamps);
	return r;
}

/* --- all of the guest ------------------------------------------------------- */

static int bench_busy(struct bench_result *result)
{
	unsigned int cpu;

	result->total = 0;
	result->median = result->mean = 1;
	for_each_online_cpu(cpu) {
		u64 idle = get_cpu_idle_time_us(cpu, NULL), iowait = get_cpu_iowait_time_us(cpu, NULL);

		if (idle == -1ULL || iowait == -1ULL)
			return -EOPNOTSUPP;
		result->total += ktime_get_ns() - (idle + iowait) * NSEC_PER_USEC;
	}
	return 0;
}

/* --- commands --------------------------------------------------------------- */

static int bench_choice(const char *word, const char *yes, const char *no, bool *value)
{
	*value = !strcmp(word, yes);
	return *value || !strcmp(word, no) ? 0 : -EINVAL;
}

static int bench_command(char *line, struct bench_result *result)
{
	char path[128], word[16];
	unsigned int size, depth, threads, count;
	bool yes;

	if (sscanf(line, "io %127s %15s %u %u %u", path, word, &depth, &threads, &count) == 5) {
		bool rewrite = !strcmp(word, "rewrite");

		if (!rewrite && bench_choice(word, "write", "read", &yes))
			return -EINVAL;
		return bench_io(path, rewrite || yes, !rewrite, depth, threads, count, result);
	}
	if (sscanf(line, "cipher %u %15s %u", &size, word, &count) == 3) {
		if (bench_choice(word, "encrypt", "decrypt", &yes))
			return -EINVAL;
		return bench_cipher(size, yes, count, result);
	}
	if (sscanf(line, "copy %u", &count) == 1)
		return bench_copy(count, result);
	if (!strcmp(strim(line), "busy"))
		return bench_busy(result);
	return -EINVAL;
}

static ssize_t bench_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	char line[256];

	if (!len || len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, len))
		return -EFAULT;
	line[len] = 0;

	mutex_lock(&bench_lock);
	bench_error = bench_command(line, &bench_result);
	mutex_unlock(&bench_lock);
	return bench_error ?: len;
}

static int bench_show(struct seq_file *m, void *unused)
{
	struct bench_result result;
	int r;

	mutex_lock(&bench_lock);
	result = bench_result;
	r = result.mean ? bench_error : -ENODATA;
	mutex_unlock(&bench_lock);
	if (!r)
		seq_printf(m, "%llu %llu %llu\n", result.median, result.mean, result.total);
	return r;
}

static int bench_open(struct inode *inode, struct file *file)
{
	return single_open(file, bench_show, NULL);
}

static const struct file_operations bench_fops = {
	.owner		= THIS_MODULE,
	.open		= bench_open,
	.read		= seq_read,
	.write		= bench_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static int __init bench_init(void)
{
	bench_file = debugfs_create_file("vaio-bench", 0600, NULL, NULL, &bench_fops);
	return PTR_ERR_OR_ZERO(bench_file);
}

static void __exit bench_exit(void)
{
	debugfs_remove(bench_file);
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("vaio bench: what one I/O costs");
MODULE_AUTHOR("The vaio developers");
MODULE_LICENSE("GPL");
