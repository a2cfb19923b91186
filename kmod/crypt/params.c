// SPDX-License-Identifier: GPL-2.0
/*
 * The words of a table.
 */
#include <linux/ctype.h>
#include <linux/kstrtox.h>
#include "crypt.h"

static const char *const crypt_words[] = {
	"cipher", "key", "sector_size", "iv_offset", "iv_large_sectors", "allow_discards", NULL
};

/* :<bytes>:logon:<description>, as dm-crypt and cryptsetup write it. */
static int crypt_parse_key(struct vaio_slot_cfg *cfg, struct crypt_params *p, char **error)
{
	const char *word = vaio_cfg_get(cfg, "key");
	const char *type, *c;
	char size[8] = "";
	size_t digits;

	if (!word) {
		*error = "key is missing; wanted: key :<bytes>:logon:<description>";
		return -EINVAL;
	}
	/* Never repeat the word: it may be a key that somebody gave by mistake. */
	if (word[0] != ':') {
		*error = "key: not of the form :<bytes>:logon:<description>; keys are taken from the kernel's keyring only";
		return -EINVAL;
	}
	type = strchr(word + 1, ':');
	digits = type ? type - word - 1 : 0;
	if (digits < sizeof(size))
		memcpy(size, word + 1, digits);
	if (kstrtouint(size, 10, &p->key_size) ||
	    (p->key_size != 32 && p->key_size != 64)) {
		*error = "key: the size in :<bytes>:logon:<description> is not one of 32, 64";
		return -EINVAL;
	}
	if (strncmp(type, ":logon:", 7)) {
		*error = "key: the type in :<bytes>:logon:<description> is not one of logon";
		return -EINVAL;
	}
	p->key_description = type + 7;
	for (c = p->key_description; *c; c++) {
		if (isspace(*c) || !isprint(*c)) {
			*error = "key: the description has a character that is not printable or is white space";
			return -EINVAL;
		}
	}
	/* The keyring's rule for logon keys. */
	c = strchr(p->key_description, ':');
	if (!c || c == p->key_description) {
		*error = vaio_cfg_error(cfg, "key: the description '%s' has no <service>: in front, as logon keys have",
					p->key_description);
		return -EINVAL;
	}
	return 0;
}

static int crypt_parse_bool(struct vaio_slot_cfg *cfg, const char *name, bool *value, char **error)
{
	const char *word = vaio_cfg_get(cfg, name);

	if (!word)
		return 0;
	if (strcmp(word, "0") && strcmp(word, "1")) {
		*error = vaio_cfg_error(cfg, "%s: '%s' is not one of 0, 1", name, word);
		return -EINVAL;
	}
	*value = word[0] == '1';
	return 0;
}

/* p->key_description points into @cfg. */
int crypt_params_parse(struct vaio_slot_cfg *cfg, struct crypt_params *p, char **error)
{
	unsigned int sectors;
	const char *word;
	int r;

	*p = (struct crypt_params) { .sector_size = SECTOR_SIZE };

	r = vaio_cfg_only(cfg, crypt_words, error);
	if (r)
		return r;

	word = vaio_cfg_get(cfg, "cipher");
	if (word && strcmp(word, CRYPT_CIPHER)) {
		*error = vaio_cfg_error(cfg, "cipher: '%s' is not one of " CRYPT_CIPHER, word);
		return -EINVAL;
	}

	word = vaio_cfg_get(cfg, "sector_size");
	if (word && !strcmp(word, "4096")) {
		p->sector_size = 4096;
	} else if (word && strcmp(word, "512")) {
		*error = vaio_cfg_error(cfg, "sector_size: '%s' is not one of 512, 4096", word);
		return -EINVAL;
	}
	sectors = p->sector_size >> SECTOR_SHIFT;

	word = vaio_cfg_get(cfg, "iv_offset");
	if (word && kstrtou64(word, 10, &p->iv_offset)) {
		*error = vaio_cfg_error(cfg, "iv_offset: '%s' is not a number of 512-byte sectors", word);
		return -EINVAL;
	}
	if (p->iv_offset & (sectors - 1)) {
		*error = vaio_cfg_error(cfg, "iv_offset: %s is not a multiple of %u, the 512-byte sectors in a sector_size of %u",
					word, sectors, p->sector_size);
		return -EINVAL;
	}

	r = crypt_parse_bool(cfg, "iv_large_sectors", &p->iv_large_sectors, error);
	if (r)
		return r;
	r = crypt_parse_bool(cfg, "allow_discards", &p->allow_discards, error);
	if (r)
		return r;

	if (cfg->geo->sectors & (sectors - 1)) {
		*error = vaio_cfg_error(cfg, "sector_size: the disk's length, %llu, is not a multiple of %u 512-byte sectors",
					(unsigned long long)cfg->geo->sectors, sectors);
		return -EINVAL;
	}
	return crypt_parse_key(cfg, p, error);
}
