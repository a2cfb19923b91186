// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <jansson.h>
#include <libcryptsetup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blockdev.h"
#include "luks.h"

struct log {
	char text[256];		/* libcryptsetup's last error */
};

static void on_log(int level, const char *msg, void *ctx)
{
	struct log *log = ctx;

	if (level != CRYPT_LOG_ERROR)
		return;
	snprintf(log->text, sizeof(log->text), "%s", msg);
	log->text[strcspn(log->text, "\n")] = 0;
}

static void quiet(int level, const char *msg, void *ctx)
{
	(void)level;
	(void)msg;
	(void)ctx;
}

bool vaio_luks_present(const char *device)
{
	struct crypt_device *cd;
	bool present;

	if (crypt_init(&cd, device))
		return false;
	crypt_set_log_callback(cd, quiet, NULL);
	present = !crypt_load(cd, CRYPT_LUKS2, NULL);
	crypt_free(cd);
	return present;
}

/* No LUKS2 there: say what is, and the way on. */
static int not_luks2(const char *place, const char *device, const struct log *log, struct vaio_err *e)
{
	char found[64];

	if (vaio_signature(place, found, sizeof(found), e))
		return VAIO_FAILED;
	if (!strcmp(found, "LUKS1"))
		return vaio_fail(e, VAIO_REFUSED, "'%s' has a LUKS1 header, accepted is LUKS2; convert it with: cryptsetup "
				 "convert --type luks2 '%s'", place, place);
	if (!strcmp(found, "LUKS2"))
		return vaio_fail(e, VAIO_FAILED, "'%s': its LUKS2 header cannot be read: %s", place, log->text);
	return vaio_fail(e, VAIO_REFUSED, "'%s' has no LUKS2 header, found there: %s; encrypt what it holds with: cryptsetup "
			 "reencrypt --encrypt --type luks2 --reduce-device-size 32M '%s'; make a header on an empty one with: "
			 "cryptsetup luksFormat --type luks2 '%s'; --plain --key-file FILE goes without a header", place,
			 found[0] ? found : "nothing known", device, device);
}

/* The one data segment of the header; sets the size where it is fixed. */
static int check_segments(struct crypt_device *cd, struct vaio_luks *l, struct vaio_err *e)
{
	const char *text = NULL, *key, *size;
	json_t *root, *segments, *seg, *flags;
	unsigned int n = 0;
	int rc = VAIO_OK;

	if (crypt_dump_json(cd, &text, 0) || !text)
		return vaio_fail(e, VAIO_FAILED, "the LUKS2 header's description cannot be read");
	root = json_loads(text, 0, NULL);
	segments = json_object_get(root, "segments");
	json_object_foreach(segments, key, seg) {
		flags = json_object_get(seg, "flags");
		if (json_array_size(flags))
			rc = vaio_fail(e, VAIO_REFUSED, "the LUKS2 header has segment %s of a re-encryption; finish it with "
				       "cryptsetup reencrypt --resume-only", key);
		size = json_string_value(json_object_get(seg, "size"));
		if (size && strcmp(size, "dynamic"))
			l->sectors = strtoull(size, NULL, 10) / 512;
		n++;
	}
	json_decref(root);
	if (!rc && n != 1)
		rc = vaio_fail(e, VAIO_FAILED, "the LUKS2 header has %u data segments, accepted is 1", n);
	return rc;
}

static int check_header(struct crypt_device *cd, const char *place, struct vaio_luks *l, struct vaio_err *e)
{
	struct crypt_params_integrity ip = { 0 };
	const char *cipher = crypt_get_cipher(cd), *mode = crypt_get_cipher_mode(cd), *uuid = crypt_get_uuid(cd);

	if (crypt_reencrypt_status(cd, NULL) != CRYPT_REENCRYPT_NONE)
		return vaio_fail(e, VAIO_REFUSED, "'%s': a re-encryption is not finished; finish it with: cryptsetup reencrypt "
				 "--resume-only '%s'", place, place);
	if (!crypt_get_integrity_info(cd, &ip) && ip.integrity)
		return vaio_fail(e, VAIO_FAILED, "'%s': authenticated encryption (%s) is not supported", place, ip.integrity);
	if (!cipher || !mode || strcmp(cipher, "aes") || strcmp(mode, "xts-plain64"))
		return vaio_fail(e, VAIO_FAILED, "'%s': cipher %s-%s is not one of aes-xts-plain64", place,
				 cipher ? cipher : "?", mode ? mode : "?");
	l->data_offset = crypt_get_data_offset(cd);
	l->iv_offset = crypt_get_iv_offset(cd);
	l->sector_size = (uint32_t)crypt_get_sector_size(cd);
	snprintf(l->uuid, sizeof(l->uuid), "%s", uuid ? uuid : "");
	return check_segments(cd, l, e);
}

static int volume_key(struct crypt_device *cd, const struct vaio_unlock_how *how, const char *place,
		      const struct log *log, struct vaio_secret *key, struct vaio_err *e)
{
	struct crypt_keyslot_context *kc = NULL;
	struct vaio_secret pass = { 0 };
	char prompt[300];
	int err, rc;

	rc = vaio_secret_new(key, e);
	if (rc)
		return rc;
	key->size = (size_t)crypt_get_volume_key_size(cd);
	if (key->size > VAIO_SECRET_MAX) {
		vaio_secret_free(key);
		return vaio_fail(e, VAIO_FAILED, "'%s': its volume key is larger than %u bytes", place, VAIO_SECRET_MAX);
	}
	switch (how->how) {
	case VAIO_UNLOCK_KEY_FILE:
		rc = vaio_secret_read_file(how->key_file, &pass, e);
		break;
	case VAIO_UNLOCK_PASSPHRASE_FD:
		rc = vaio_secret_read_fd(how->fd, &pass, e);
		break;
	case VAIO_UNLOCK_ASK:
		snprintf(prompt, sizeof(prompt), "Passphrase for %.256s: ", place);
		rc = vaio_secret_ask(prompt, &pass, e);
		break;
	case VAIO_UNLOCK_TOKEN:
		break;
	}
	if (rc) {
		vaio_secret_free(key);
		return rc;
	}
	if (how->how == VAIO_UNLOCK_TOKEN)
		err = crypt_keyslot_context_init_by_token(cd, CRYPT_ANY_TOKEN, NULL, NULL, 0, NULL, &kc);
	else
		err = crypt_keyslot_context_init_by_passphrase(cd, (const char *)pass.bytes, pass.size, &kc);
	if (!err)
		err = crypt_volume_key_get_by_keyslot_context(cd, CRYPT_ANY_SLOT, (char *)key->bytes, &key->size, kc);
	crypt_keyslot_context_free(kc);
	vaio_secret_free(&pass);
	if (err >= 0)
		return VAIO_OK;
	vaio_secret_free(key);
	if (err == -EPERM && how->how != VAIO_UNLOCK_TOKEN)
		return vaio_fail(e, VAIO_FAILED, "'%s': no key slot opens with %s", place,
				 how->how == VAIO_UNLOCK_KEY_FILE ? "this key file" : "this passphrase");
	return vaio_fail(e, VAIO_FAILED, "'%s': %s: %s", place,
			 how->how == VAIO_UNLOCK_TOKEN ? "no token gives the key" : "the volume key cannot be read",
			 log->text[0] ? log->text : strerror(-err));
}

int vaio_luks_unlock(const char *device, const char *header, const struct vaio_unlock_how *how, struct vaio_luks *l,
		     struct vaio_secret *key, struct vaio_err *e)
{
	const char *place = header ? header : device;
	struct crypt_device *cd = NULL;
	struct log log = { "" };
	int err, rc;

	memset(l, 0, sizeof(*l));
	memset(key, 0, sizeof(*key));
	if (access(place, R_OK))
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s'", place);
	err = header ? crypt_init_data_device(&cd, header, device) : crypt_init(&cd, device);
	if (err)
		return vaio_fail(e, err == -ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "'%s': %s", place, strerror(-err));
	crypt_set_log_callback(cd, on_log, &log);
	if (crypt_load(cd, CRYPT_LUKS2, NULL)) {
		rc = not_luks2(place, device, &log, e);
	} else {
		rc = check_header(cd, place, l, e);
		if (!rc)
			rc = volume_key(cd, how, place, &log, key, e);
	}
	crypt_free(cd);
	return rc;
}
