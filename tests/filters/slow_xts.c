// SPDX-License-Identifier: GPL-2.0
/*
 * An AES-XTS that is asynchronous, as cards and some accelerators are: what the
 * stock x86 ciphers hardly ever do, and a filter must live with nevertheless.
 *
 * It answers in turn in all the ways that the crypto API allows: done at once;
 * begun and done later by another thread; done by another thread before the call
 * has returned; refused by a full queue and done later; and, if asked to, failed
 * later. The work itself is left to the kernel's own cipher.
 */
#include <crypto/internal/skcipher.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static unsigned int fail_every;
module_param(fail_every, uint, 0644);
MODULE_PARM_DESC(fail_every, "Every how many requests fail with -EIO; 0: none");

static char slow_driver[CRYPTO_MAX_ALG_NAME];
static struct workqueue_struct *slow_wq;
static atomic_t slow_count;

enum slow_way { AT_ONCE, LATER, EARLIER, FULL, NR_WAYS };

struct slow_tfm {
	struct crypto_skcipher *child;
};

struct slow_request {
	struct work_struct	work;
	struct completion	*early;
	struct skcipher_request	*request;
	int (*convert)(struct skcipher_request *request);
	bool			full;
	bool			fail;
	struct skcipher_request	child;	/* its context follows */
};

static int slow_convert(struct slow_request *r)
{
	const struct slow_tfm *tfm = crypto_skcipher_ctx(crypto_skcipher_reqtfm(r->request));
	DECLARE_CRYPTO_WAIT(wait);

	if (r->fail)
		return -EIO;
	skcipher_request_set_tfm(&r->child, tfm->child);
	skcipher_request_set_callback(&r->child, 0, crypto_req_done, &wait);
	skcipher_request_set_crypt(&r->child, r->request->src, r->request->dst,
				   r->request->cryptlen, r->request->iv);
	return crypto_wait_req(r->convert(&r->child), &wait);
}

static void slow_work(struct work_struct *work)
{
	struct slow_request *r = container_of(work, struct slow_request, work);
	struct skcipher_request *request = r->request;
	struct completion *early = r->early;
	int error;

	local_bh_disable();
	if (r->full)
		skcipher_request_complete(request, -EINPROGRESS);
	error = slow_convert(r);
	skcipher_request_complete(request, error);
	/* the request may be gone */
	local_bh_enable();
	if (early)
		complete(early);
}

static int slow_crypt(struct skcipher_request *request,
		      int (*convert)(struct skcipher_request *request))
{
	struct slow_request *r = skcipher_request_ctx(request);
	unsigned int count = atomic_inc_return(&slow_count);
	DECLARE_COMPLETION_ONSTACK(early);
	unsigned int every = READ_ONCE(fail_every);
	enum slow_way way = count % NR_WAYS;

	r->request = request;
	r->convert = convert;
	r->early = NULL;
	r->full = way == FULL && (request->base.flags & CRYPTO_TFM_REQ_MAY_BACKLOG);
	r->fail = every && !(count % every);
	if (way == AT_ONCE)
		return slow_convert(r);

	INIT_WORK(&r->work, slow_work);
	if (way == EARLIER && preemptible() && !rcu_preempt_depth()) {
		r->early = &early;
		queue_work(slow_wq, &r->work);
		wait_for_completion(&early);
		return -EINPROGRESS;
	}
	way = r->full ? FULL : LATER;
	queue_work(slow_wq, &r->work);
	return way == FULL ? -EBUSY : -EINPROGRESS;
}

static int slow_encrypt(struct skcipher_request *request)
{
	return slow_crypt(request, crypto_skcipher_encrypt);
}

static int slow_decrypt(struct skcipher_request *request)
{
	return slow_crypt(request, crypto_skcipher_decrypt);
}

static int slow_setkey(struct crypto_skcipher *tfm, const u8 *key, unsigned int size)
{
	return crypto_skcipher_setkey(((struct slow_tfm *)crypto_skcipher_ctx(tfm))->child, key, size);
}

static int slow_init_tfm(struct crypto_skcipher *tfm)
{
	struct slow_tfm *ctx = crypto_skcipher_ctx(tfm);

	ctx->child = crypto_alloc_skcipher(slow_driver, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(ctx->child))
		return PTR_ERR(ctx->child);
	crypto_skcipher_set_reqsize(tfm, sizeof(struct slow_request) +
				    crypto_skcipher_reqsize(ctx->child));
	return 0;
}

static void slow_exit_tfm(struct crypto_skcipher *tfm)
{
	struct slow_tfm *ctx = crypto_skcipher_ctx(tfm);

	crypto_free_skcipher(ctx->child);
}

static struct skcipher_alg slow_alg = {
	.base.cra_name		= "xts(aes)",
	.base.cra_driver_name	= "xts-aes-slow",
	.base.cra_priority	= 10000,
	.base.cra_flags		= CRYPTO_ALG_ASYNC,
	.base.cra_blocksize	= 16,
	.base.cra_ctxsize	= sizeof(struct slow_tfm),
	.base.cra_module	= THIS_MODULE,
	.min_keysize		= 32,
	.max_keysize		= 64,
	.ivsize			= 16,
	.setkey			= slow_setkey,
	.encrypt		= slow_encrypt,
	.decrypt		= slow_decrypt,
	.init			= slow_init_tfm,
	.exit			= slow_exit_tfm,
};

static int __init slow_init(void)
{
	struct crypto_skcipher *tfm = crypto_alloc_skcipher("xts(aes)", 0, CRYPTO_ALG_ASYNC);
	int r;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	strscpy(slow_driver, crypto_tfm_alg_driver_name(crypto_skcipher_tfm(tfm)),
		sizeof(slow_driver));
	crypto_free_skcipher(tfm);
	slow_wq = alloc_workqueue("vaio-slow-xts", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!slow_wq)
		return -ENOMEM;
	r = crypto_register_skcipher(&slow_alg);
	if (r)
		destroy_workqueue(slow_wq);
	return r;
}

static void __exit slow_exit(void)
{
	crypto_unregister_skcipher(&slow_alg);
	destroy_workqueue(slow_wq);
}

module_init(slow_init);
module_exit(slow_exit);

MODULE_DESCRIPTION("Asynchronous AES-XTS for tests");
MODULE_LICENSE("GPL");
