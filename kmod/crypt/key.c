// SPDX-License-Identifier: GPL-2.0
/*
 * Keyed ciphers: from the keyring, shared by a disk's tables, wiped.
 *
 * A key's bytes are on their way from the keyring into the cipher for the time
 * of one setkey, in a buffer that is zeroed. Later they exist in the cipher's
 * context only, which the crypto API zeroes when it frees it.
 */
#include <crypto/algapi.h>
#include <keys/user-type.h>
#include <linux/key.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "crypt.h"

#define CRYPT_MAX_KEY	64

/* Protects the list and crypt_key.wiped of its members; nothing sleeps long in it. */
static DEFINE_MUTEX(crypt_keys_lock);
static LIST_HEAD(crypt_keys);

/*
 * Allocated as dm-crypt does, so that both use the same implementation: what
 * may allocate memory by itself is left out. Asynchronous ones are not: the
 * fast x86 ones are marked so, though they complete at once nearly always.
 */
struct crypto_skcipher *crypt_tfm_alloc(void)
{
	return crypto_alloc_skcipher("xts(aes)", 0, CRYPTO_ALG_ALLOCATES_MEMORY);
}
VAIO_EXPORT_FOR_KUNIT(crypt_tfm_alloc);

int crypt_tfm_setkey(struct crypto_skcipher *tfm, const u8 *bytes, unsigned int size)
{
	/* XTS with equal halves is no longer XTS, and FIPS 140 forbids it. */
	if (!crypto_memneq(bytes, bytes + size / 2, size / 2))
		return -EKEYREJECTED;
	return crypto_skcipher_setkey(tfm, bytes, size);
}
VAIO_EXPORT_FOR_KUNIT(crypt_tfm_setkey);

/* The keyring's key into the cipher. */
static int crypt_key_load(struct crypt_key *ck, struct vaio_slot_cfg *cfg, char **error)
{
	const struct user_key_payload *payload;
	struct key *key;
	u8 *bytes;
	int r = 0;

	key = request_key(&key_type_logon, ck->description, NULL);
	if (IS_ERR(key)) {
		*error = vaio_cfg_error(cfg, "key: no usable logon key '%s' in the caller's keyrings (error %ld)",
					ck->description, PTR_ERR(key));
		return PTR_ERR(key);
	}
	bytes = kzalloc(CRYPT_MAX_KEY, GFP_KERNEL);
	if (!bytes) {
		key_put(key);
		*error = "no memory";
		return -ENOMEM;
	}

	down_read(&key->sem);
	payload = user_key_payload_locked(key);
	if (!payload)
		r = -EKEYREVOKED;
	else if (payload->datalen != ck->size)
		r = -EMSGSIZE;
	else
		memcpy(bytes, payload->data, ck->size);
	up_read(&key->sem);
	key_put(key);

	if (!r)
		r = crypt_tfm_setkey(ck->tfm, bytes, ck->size);
	kfree_sensitive(bytes);

	switch (r) {
	case 0:
		return 0;
	case -EKEYREVOKED:
		*error = vaio_cfg_error(cfg, "key: the logon key '%s' was revoked", ck->description);
		break;
	case -EMSGSIZE:
		*error = vaio_cfg_error(cfg, "key: the logon key '%s' does not have the %u bytes that the table says",
					ck->description, ck->size);
		r = -EINVAL;
		break;
	case -EKEYREJECTED:
		*error = vaio_cfg_error(cfg, "key: the halves of the logon key '%s' are equal, which XTS does not allow",
					ck->description);
		break;
	default:
		*error = vaio_cfg_error(cfg, "key: the cipher refused the logon key '%s' (error %d)",
					ck->description, r);
	}
	return r;
}

static struct crypt_key *crypt_key_find(const uuid_t *uuid, const struct crypt_params *p)
{
	struct crypt_key *ck;

	list_for_each_entry(ck, &crypt_keys, list) {
		if (uuid_equal(&ck->uuid, uuid) && ck->size == p->key_size && !ck->wiped &&
		    !strcmp(ck->description, p->key_description) &&
		    kref_get_unless_zero(&ck->ref))
			return ck;
	}
	return NULL;
}

static void crypt_key_release(struct kref *ref)
{
	struct crypt_key *ck = container_of(ref, struct crypt_key, ref);

	mutex_lock(&crypt_keys_lock);
	list_del(&ck->list);
	mutex_unlock(&crypt_keys_lock);
	/* Zeroes the context, which holds the key. */
	crypto_free_skcipher(ck->tfm);
	kfree(ck);
}

/* One that another table of the same disk uses, or a new one from the keyring. */
struct crypt_key *crypt_key_get(struct vaio_slot_cfg *cfg, const struct crypt_params *p,
				char **error)
{
	struct crypt_key *ck;
	int r;

	mutex_lock(&crypt_keys_lock);
	ck = crypt_key_find(&cfg->geo->uuid, p);
	mutex_unlock(&crypt_keys_lock);
	if (ck)
		return ck;

	ck = kzalloc(struct_size(ck, description, strlen(p->key_description) + 1), GFP_KERNEL);
	if (!ck) {
		*error = "no memory";
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&ck->ref);
	ck->uuid = cfg->geo->uuid;
	ck->size = p->key_size;
	strcpy(ck->description, p->key_description);
	ck->tfm = crypt_tfm_alloc();
	if (IS_ERR(ck->tfm)) {
		r = PTR_ERR(ck->tfm);
		*error = vaio_cfg_error(cfg, "cipher: the kernel has no xts(aes) (error %d)", r);
		kfree(ck);
		return ERR_PTR(r);
	}
	r = crypt_key_load(ck, cfg, error);
	if (r) {
		crypto_free_skcipher(ck->tfm);
		kfree(ck);
		return ERR_PTR(r);
	}
	mutex_lock(&crypt_keys_lock);
	list_add(&ck->list, &crypt_keys);
	mutex_unlock(&crypt_keys_lock);
	return ck;
}

void crypt_key_put(struct crypt_key *key)
{
	kref_put(&key->ref, crypt_key_release);
}

/*
 * The caller sees to it that no request uses the cipher. Afterwards it is keyed
 * with random bytes that nobody has, and no new table will share it.
 */
int crypt_key_wipe(struct crypt_key *key)
{
	u8 *bytes;
	int r;

	bytes = kmalloc(key->size, GFP_KERNEL);
	if (!bytes)
		return -ENOMEM;
	mutex_lock(&crypt_keys_lock);
	WRITE_ONCE(key->wiped, true);
	mutex_unlock(&crypt_keys_lock);
	get_random_bytes(bytes, key->size);
	r = crypto_skcipher_setkey(key->tfm, bytes, key->size);
	kfree_sensitive(bytes);
	return r;
}
