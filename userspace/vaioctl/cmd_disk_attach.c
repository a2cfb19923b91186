// SPDX-License-Identifier: GPL-2.0
/*
 * vaioctl disk attach: from words to a running disk. Every step that makes
 * something is undone when a later one fails.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../libvaio/sidecar.h"
#include "disk.h"

#define SIDECAR_GROW	16	/* how many times the disk may grow */
#define SIDECAR_EPOCHS	4

const struct vaioctl_opt disk_attach_opts[] = {
	{ "backing", "DEV|IMAGE", "block device or raw image that holds the disk's data", false },
	{ "filter", "NAME[,PROP=VALUE]...", "a filter of the stack", true },
	{ "uuid", "UUID", "the disk's UUID; a random one unless given or in the sidecar", false },
	{ "sidecar", "DEV|FILE|auto|none", "where the disk's metadata is; none unless given", false },
	{ "luks", NULL, "encrypt by the LUKS2 header of the backing", false },
	{ "plain", NULL, "encrypt without a header; the key file is the key", false },
	{ "header", "FILE", "the LUKS2 header is here, detached", false },
	{ "key-file", "FILE", "opens the LUKS2 header, or is the key of --plain", false },
	{ "passphrase-fd", "N", "read the passphrase from this descriptor", false },
	{ "token", NULL, "open the LUKS2 header by one of its tokens (TPM2, clevis)", false },
	{ "sector-size", "512|4096", "encryption sector of --plain; 512 unless given", false },
	{ "as-is", NULL, "pass a LUKS2 header on to the guest, which uses it itself", false },
	{ "offset", "SIZE", "where the disk begins on the backing", false },
	{ "size", "SIZE", "how much of the backing the disk takes", false },
	{ "format", "raw", "take an image as raw whatever it looks like", false },
	{ "block-size", "512|4096", "logical block of an image's disk", false },
	{ "buffered", NULL, "use an image through the host's page cache", false },
	{ "latency", NULL, "count latency of the whole stack", false },
	{ "cleartext-filters", "allow|deny", "deny: refuse filters that would carry plaintext away", false },
	{ "read-only", NULL, "the disk refuses writes", false },
	{ "takeover", NULL, "take the disk though its sidecar says another host has it", false },
	{ "lose-dirty-blocks", NULL, "though blocks in that host's cache are lost by it", false },
	{ 0 },
};

struct attach {
	const struct vaioctl_cmd *cmd;
	const struct vaioctl_args *a;
	const struct vaioctl_globals *g;
	const char *name, *given;	/* --backing as given */
	struct vaio_err e;

	struct vaio_table table;
	bool encrypt;
	bool new_uuid;
	bool read_only;
	uint64_t offset, size;		/* bytes; size 0: all */
	uint32_t block_size, sector_size;
	struct vaio_unlock_how how;

	char image[PATH_MAX];		/* empty: a block device */
	struct vaio_loop loop, sidecar_loop;
	struct vaio_blockdev backing;
	struct vaio_luks luks;
	struct vaio_key key;
	char sidecar_made[PATH_MAX];	/* to be removed on failure */
	bool sidecar_is_lv;
	bool created;
};

static const char *opt(const struct attach *at, const char *name)
{
	return vaioctl_opt(at->a, name);
}

static bool has(const struct attach *at, const char *name)
{
	return vaioctl_has(at->a, name);
}

/* --- words ------------------------------------------------------------------------ */

static int one_of(struct attach *at, const char *name, const char *a, const char *b)
{
	const char *v = opt(at, name);

	if (!v || !strcmp(v, a) || (b && !strcmp(v, b)))
		return VAIO_OK;
	return vaio_fail(&at->e, VAIO_USAGE, "--%s '%s': accepted are %s%s%s", name, v, a, b ? ", " : "", b ? b : "");
}

static int conflict(struct attach *at, const char *a, const char *b)
{
	if (!has(at, a) || !has(at, b))
		return VAIO_OK;
	return vaio_fail(&at->e, VAIO_USAGE, "--%s and --%s exclude each other", a, b);
}

static int parse_size_opt(struct attach *at, const char *name, uint64_t *bytes)
{
	int rc;

	if (!has(at, name))
		return VAIO_OK;
	rc = vaio_parse_size(opt(at, name), bytes, &at->e);
	if (rc)
		return vaio_fail_prefix(&at->e, rc, "--%s", name);
	if (*bytes % 512)
		return vaio_fail(&at->e, VAIO_USAGE, "--%s '%s': not a multiple of 512 bytes", name, opt(at, name));
	return VAIO_OK;
}

static int parse_filters(struct attach *at)
{
	int i, rc = VAIO_OK;

	for (i = 0; i < at->a->n_opts && !rc; i++)
		if (!strcmp(at->a->opt[i].opt->name, "filter")) {
			rc = vaio_table_add_filter_spec(&at->table, at->a->opt[i].value, &at->e);
			if (rc)
				vaio_fail_prefix(&at->e, rc, "--filter '%s'", at->a->opt[i].value);
		}
	return rc;
}

/* How the key comes, and whether the words about it agree. */
static int parse_encryption(struct attach *at)
{
	static const char *const ways[] = { "key-file", "passphrase-fd", "token" };
	static const char *const only_encrypted[] = {
		"key-file", "passphrase-fd", "token", "header", "sector-size", NULL
	};
	struct vaio_table_filter *f = vaio_table_find(&at->table, "crypt");
	uint64_t fd;
	int i, j, rc;

	at->encrypt = f || has(at, "luks") || has(at, "plain");
	for (i = 0; only_encrypted[i] && !at->encrypt; i++)
		if (has(at, only_encrypted[i]))
			return vaio_fail(&at->e, VAIO_USAGE, "--%s: needs --luks or --plain", only_encrypted[i]);
	rc = conflict(at, "luks", "plain");
	if (!rc)
		rc = conflict(at, "plain", "header");
	if (!rc && at->encrypt)
		rc = has(at, "as-is") ? vaio_fail(&at->e, VAIO_USAGE, "--as-is and encryption exclude each other") : 0;
	for (i = 0; i < 3 && !rc; i++)
		for (j = i + 1; j < 3 && !rc; j++)
			rc = conflict(at, ways[i], ways[j]);
	if (rc || !at->encrypt)
		return rc;
	if (f && (vaio_table_prop(f, "key") || vaio_table_prop(f, "iv_offset") || vaio_table_prop(f, "sector_size")))
		return vaio_fail(&at->e, VAIO_USAGE, "--filter crypt: key, iv_offset and sector_size come from the LUKS2 header "
				 "or from --plain, --key-file, --sector-size");
	if (has(at, "plain") && !has(at, "key-file"))
		return vaio_fail(&at->e, VAIO_USAGE, "--plain: needs --key-file with the key itself, 32 or 64 bytes");
	if (!has(at, "plain") && has(at, "sector-size"))
		return vaio_fail(&at->e, VAIO_USAGE, "--sector-size: comes from the LUKS2 header, accepted with --plain only");
	if (has(at, "key-file")) {
		at->how.how = VAIO_UNLOCK_KEY_FILE;
		at->how.key_file = opt(at, "key-file");
	} else if (has(at, "token")) {
		at->how.how = VAIO_UNLOCK_TOKEN;
	} else if (has(at, "passphrase-fd")) {
		at->how.how = VAIO_UNLOCK_PASSPHRASE_FD;
		rc = vaio_parse_number(opt(at, "passphrase-fd"), 0, INT_MAX, &fd, &at->e);
		if (rc)
			return vaio_fail_prefix(&at->e, rc, "--passphrase-fd");
		at->how.fd = (int)fd;
	}
	at->sector_size = has(at, "sector-size") ? (uint32_t)atoi(opt(at, "sector-size")) : 512;
	return f ? VAIO_OK : vaio_table_add_filter(&at->table, "crypt", NULL, &at->e);
}

static int parse_words(struct attach *at)
{
	int rc;

	at->name = at->a->operand[0];
	at->given = opt(at, "backing");
	if (!vaio_dm_name_valid(at->name) || vaio_uuid_valid(at->name))
		return vaio_fail(&at->e, VAIO_USAGE, "'%s': accepted as name are up to %d letters, digits and #+-.:=@_, not "
				 "beginning with '-', and not a UUID", at->name, VAIO_DEVNAME_LEN - 1);
	if (!at->given)
		return vaio_fail(&at->e, VAIO_USAGE, "--backing is missing: a block device or a raw image");
	rc = one_of(at, "format", "raw", NULL);
	if (!rc)
		rc = one_of(at, "block-size", "512", "4096");
	if (!rc)
		rc = one_of(at, "sector-size", "512", "4096");
	if (!rc)
		rc = one_of(at, "cleartext-filters", "allow", "deny");
	if (!rc)
		rc = parse_size_opt(at, "offset", &at->offset);
	if (!rc)
		rc = parse_size_opt(at, "size", &at->size);
	if (!rc && has(at, "size") && !at->size)
		rc = vaio_fail(&at->e, VAIO_USAGE, "--size '%s': a disk has at least one block", opt(at, "size"));
	if (!rc && has(at, "uuid")) {
		rc = vaio_uuid_parse(opt(at, "uuid"), at->table.uuid, &at->e);
		if (rc)
			vaio_fail_prefix(&at->e, rc, "--uuid");
	}
	if (!rc)
		rc = parse_filters(at);
	if (!rc)
		rc = parse_encryption(at);
	at->block_size = has(at, "block-size") ? (uint32_t)atoi(opt(at, "block-size")) : 0;
	at->table.latency = has(at, "latency");
	at->table.deny_cleartext = has(at, "cleartext-filters") && !strcmp(opt(at, "cleartext-filters"), "deny");
	at->table.takeover = has(at, "takeover");
	at->table.lose_dirty = has(at, "lose-dirty-blocks");
	at->read_only = has(at, "read-only");
	return rc;
}

/* --- the backing ------------------------------------------------------------------- */

static int only_for_images(struct attach *at)
{
	static const char *const names[] = { "format", "block-size", "buffered", NULL };
	int i;

	for (i = 0; names[i]; i++)
		if (has(at, names[i]))
			return vaio_fail(&at->e, VAIO_USAGE, "--%s: '%s' is a block device, this is for image files", names[i],
					 at->given);
	return VAIO_OK;
}

static int open_backing(struct attach *at)
{
	struct stat st;
	int rc;

	if (stat(at->given, &st))
		return vaio_fail_errno(&at->e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "--backing '%s'", at->given);
	if (S_ISREG(st.st_mode)) {
		if (!realpath(at->given, at->image))
			return vaio_fail_errno(&at->e, VAIO_FAILED, "--backing '%s'", at->given);
		rc = has(at, "format") ? VAIO_OK : vaio_image_check_raw(at->given, &at->e);
		if (!rc)
			rc = vaio_loop_attach(at->image, at->block_size, has(at, "buffered"), &at->loop, &at->e);
		if (!rc)
			rc = vaio_blockdev_get(at->loop.path, &at->backing, &at->e);
	} else if (S_ISBLK(st.st_mode)) {
		rc = only_for_images(at);
		if (!rc)
			rc = vaio_blockdev_get(at->given, &at->backing, &at->e);
	} else {
		rc = vaio_fail(&at->e, VAIO_USAGE, "'%s' is neither: accepted are block devices and raw image files", at->given);
	}
	if (!rc && at->backing.zoned)
		rc = vaio_fail(&at->e, VAIO_FAILED, "'%s' is a zoned device, which vaio does not take", at->given);
	if (!rc && at->backing.read_only && !at->read_only)
		rc = vaio_fail(&at->e, VAIO_FAILED, "'%s' is read-only; --read-only makes a read-only disk of it", at->given);
	if (!rc)
		rc = vaio_blockdev_check_free(&at->backing, &at->e);
	return rc ? vaio_fail_prefix(&at->e, rc, "--backing") : VAIO_OK;
}

static int check_taken(struct attach *at)
{
	struct vaio_dm_info info;

	if (vaio_dm_name_taken(at->name))
		return vaio_fail(&at->e, VAIO_INUSE, "'%s' is the name of a device-mapper device already", at->name);
	if (at->table.uuid[0] && vaio_dm_info(at->table.uuid, &info, NULL) == VAIO_OK)
		return vaio_fail(&at->e, VAIO_INUSE, "disk %s is attached already, as '%s'", at->table.uuid, info.name);
	return VAIO_OK;
}

/* --- the sidecar ---------------------------------------------------------------------- */

/* Where `auto` puts it: an LV beside an LV, a file beside an image. */
static int auto_place(struct attach *at, char *path, size_t size, char *vg, char *lv, size_t len)
{
	char name[256], uuid[256], volume[300], line[600];
	/* LVM takes a volume by this name, and not as /dev/dm-0. */
	const char *argv[] = { "lvs", "--noheadings", "-o", "vg_name,lv_name", volume, NULL };

	vg[0] = lv[0] = 0;
	if (at->image[0]) {
		if (snprintf(path, size, "%s.vaio", at->image) >= (int)size)
			return vaio_fail(&at->e, VAIO_FAILED, "--sidecar auto: the path is too long");
		return VAIO_OK;
	}
	if (!vaio_blockdev_dm(at->backing.dev, name, sizeof(name), uuid, sizeof(uuid)) || strncmp(uuid, "LVM-", 4))
		return vaio_fail(&at->e, VAIO_USAGE, "--sidecar auto: '%s' is neither a logical volume nor an image; accepted are "
				 "a device, a file, none", at->given);
	snprintf(volume, sizeof(volume), "/dev/mapper/%s", name);
	if (vaio_run(argv, line, sizeof(line)))
		return vaio_fail(&at->e, VAIO_FAILED, "--sidecar auto: lvs: %s", line + strspn(line, " "));
	if (sscanf(line, "%127s %120s", vg, lv) != 2 || len < 128)
		return vaio_fail(&at->e, VAIO_FAILED, "--sidecar auto: lvs does not name '%s'", at->given);
	strcat(lv, "_vaio");
	snprintf(path, size, "/dev/%s/%s", vg, lv);
	return VAIO_OK;
}

static int make_lv(struct attach *at, const char *vg, const char *lv, uint64_t bytes)
{
	char size[32], line[512];
	const char *argv[] = { "lvcreate", "-q", "-y", "-Wy", "-L", size, "-n", lv, vg, NULL };

	snprintf(size, sizeof(size), "%llub", (unsigned long long)bytes);
	if (vaio_run(argv, line, sizeof(line)))
		return vaio_fail(&at->e, VAIO_FAILED, "--sidecar auto: lvcreate: %s", line + strspn(line, " "));
	return VAIO_OK;
}

/* Makes and formats the sidecar at @path. */
static int make_sidecar(struct attach *at, const char *path, const char *vg, const char *lv)
{
	struct vaio_backing b;
	struct vaio_sidecar_params p = { .backing = &b, .grow = SIDECAR_GROW, .epochs = SIDECAR_EPOCHS };
	struct vaio_sc_super sb = { 0 };
	struct vaio_scfile f;
	char reason[256];
	int rc;

	rc = vaio_backing_describe(at->backing.path, &b, &at->e);
	if (!rc)
		rc = vaio_id_parse(at->table.uuid, p.disk_uuid, &at->e);
	if (rc)
		return rc;
	if (lv[0]) {
		sb.backing_bytes = b.bytes;
		sb.block_size = b.block_size;
		if (vaio_sc_layout(&sb, p.grow, p.epochs, reason, sizeof(reason)))
			return vaio_fail(&at->e, VAIO_FAILED, "--sidecar auto: %s", reason);
		rc = make_lv(at, vg, lv, sb.sidecar_bytes);
		if (rc)
			return rc;
		at->sidecar_is_lv = true;
		/* Ours since a moment ago: what an old volume left in it is nobody's. */
		p.force = true;
	}
	snprintf(at->sidecar_made, sizeof(at->sidecar_made), "%s", path);
	rc = vaio_scfile_open(&f, path, lv[0] ? VAIO_SCFILE_WRITE : VAIO_SCFILE_CREATE, &at->e);
	if (rc)
		return rc;
	rc = vaio_scfile_format(&f, &p, &sb, &at->e);
	vaio_scfile_close(&f);
	return rc;
}

/* The disk's UUID from an existing sidecar. */
static int read_sidecar(struct attach *at, const char *path)
{
	char uuid[VAIO_SC_UUID_TEXT];
	struct vaio_sc_super sb;
	struct vaio_scfile f;
	int rc;

	rc = vaio_scfile_open(&f, path, VAIO_SCFILE_LOOK, &at->e);
	if (rc)
		return rc;
	rc = vaio_scfile_load(&f, &sb, NULL, &at->e);
	vaio_scfile_close(&f);
	if (rc)
		return rc;
	vaio_sc_uuid_text(sb.disk_uuid, uuid);
	if (has(at, "uuid") && strcmp(uuid, at->table.uuid))
		return vaio_fail(&at->e, VAIO_FAILED, "--sidecar '%s' belongs to disk %s, not to %s; vaioctl sidecar adopt "
				 "changes that", path, uuid, at->table.uuid);
	strcpy(at->table.uuid, uuid);
	return VAIO_OK;
}

static int prepare_sidecar(struct attach *at)
{
	const char *given = opt(at, "sidecar");
	char path[PATH_MAX], vg[128] = "", lv[128] = "";
	struct vaio_blockdev dev;
	struct vaio_backing b;
	struct stat st;
	int rc = VAIO_OK;

	if (!given || !strcmp(given, "none")) {
		if (has(at, "takeover") || has(at, "lose-dirty-blocks"))
			return vaio_fail(&at->e, VAIO_USAGE, "--takeover and --lose-dirty-blocks: need --sidecar");
		return VAIO_OK;
	}
	if (!strcmp(given, "auto"))
		rc = auto_place(at, path, sizeof(path), vg, lv, sizeof(lv));
	else
		snprintf(path, sizeof(path), "%s", given);
	if (rc)
		return rc;
	if (!stat(path, &st))
		rc = read_sidecar(at, path);
	else if (errno != ENOENT)
		rc = vaio_fail_errno(&at->e, VAIO_FAILED, "--sidecar '%s'", path);
	else if (strcmp(given, "auto"))
		rc = vaio_fail(&at->e, VAIO_NOTFOUND, "--sidecar '%s' does not exist; vaioctl sidecar format makes it, --sidecar "
			       "auto too", path);
	else
		rc = make_sidecar(at, path, vg, lv);
	if (!rc && !stat(path, &st) && S_ISREG(st.st_mode)) {
		rc = vaio_loop_attach(path, 0, has(at, "buffered"), &at->sidecar_loop, &at->e);
		if (!rc)
			snprintf(path, sizeof(path), "%s", at->sidecar_loop.path);
	}
	if (!rc)
		rc = vaio_blockdev_get(path, &dev, &at->e);
	if (!rc)
		rc = vaio_blockdev_check_free(&dev, &at->e);
	if (!rc)
		rc = vaio_backing_describe(at->backing.path, &b, &at->e);
	if (rc)
		return rc;
	if (strlen(dev.path) >= sizeof(at->table.sidecar))
		return vaio_fail(&at->e, VAIO_FAILED, "--sidecar '%s': the path is longer than %zu bytes", dev.path,
				 sizeof(at->table.sidecar) - 1);
	strcpy(at->table.sidecar, dev.path);
	snprintf(at->table.identity, sizeof(at->table.identity), "%s", b.identity);
	if (strpbrk(at->table.identity, " \t\\"))
		return vaio_fail(&at->e, VAIO_FAILED, "the identity of '%s', %s, cannot be a word of a table", at->given,
				 at->table.identity);
	return VAIO_OK;
}

/* --- encryption ------------------------------------------------------------------------ */

static int get_key(struct attach *at, struct vaio_secret *key)
{
	struct vaio_err *e = &at->e;
	int rc;

	if (!has(at, "plain")) {
		rc = vaio_luks_unlock(at->backing.path, opt(at, "header"), &at->how, &at->luks, key, e);
		if (rc)
			return vaio_fail_prefix(e, rc, "--luks");
		if (at->offset)
			return vaio_fail(e, VAIO_USAGE, "--offset: the LUKS2 header says where the data begins");
		at->offset = at->luks.data_offset * 512;
		if (at->luks.sectors && !at->size)
			at->size = at->luks.sectors * 512;
		at->sector_size = at->luks.sector_size;
		return VAIO_OK;
	}
	if (!has(at, "as-is") && vaio_luks_present(at->backing.path) && !at->offset)
		return vaio_fail(e, VAIO_REFUSED, "--plain: '%s' has a LUKS2 header, which would be overwritten; --luks uses it, "
				 "--offset leaves room for it", at->given);
	rc = vaio_secret_read_file(at->how.key_file, key, e);
	if (rc)
		return rc;
	if (key->size != 32 && key->size != 64)
		return vaio_fail(e, VAIO_USAGE, "--key-file '%s' has %zu bytes: accepted are 32 and 64 (AES-128 and AES-256 in "
				 "XTS)", at->how.key_file, key->size);
	return VAIO_OK;
}

static int prepare_encryption(struct attach *at)
{
	struct vaio_secret key = { 0 };
	struct vaio_table_filter *f;
	char word[VAIO_VALUE_LEN];
	int rc;

	if (!at->encrypt) {
		if (!has(at, "as-is") && !at->offset && vaio_luks_present(at->backing.path))
			return vaio_fail(&at->e, VAIO_REFUSED, "'%s' has a LUKS2 header: --luks encrypts by it; --as-is passes it "
					 "on to a guest that uses it itself", at->given);
		return VAIO_OK;
	}
	rc = get_key(at, &key);
	if (!rc)
		rc = vaio_key_add(at->table.uuid, &key, &at->key, &at->e);
	vaio_secret_free(&key);
	if (rc)
		return rc;
	f = vaio_table_find(&at->table, "crypt");
	vaio_key_word(&at->key, word, sizeof(word));
	rc = vaio_table_prop(f, "cipher") ? VAIO_OK : vaio_table_add_prop(f, "cipher", "aes-xts-plain64", &at->e);
	if (!rc)
		rc = vaio_table_add_prop(f, "key", word, &at->e);
	snprintf(word, sizeof(word), "%u", at->sector_size);
	if (!rc)
		rc = vaio_table_add_prop(f, "sector_size", word, &at->e);
	snprintf(word, sizeof(word), "%llu", (unsigned long long)at->luks.iv_offset);
	if (!rc && at->luks.iv_offset)
		rc = vaio_table_add_prop(f, "iv_offset", word, &at->e);
	return rc;
}

/* --- all together -------------------------------------------------------------------------- */

static int compute_size(struct attach *at)
{
	uint64_t block = at->backing.block_size, room;

	if (at->encrypt && at->sector_size > block)
		block = at->sector_size;
	if (at->offset % at->backing.block_size)
		return vaio_fail(&at->e, VAIO_USAGE, "--offset: not a multiple of the block size of '%s', %u", at->given,
				 at->backing.block_size);
	room = at->backing.bytes > at->offset ? at->backing.bytes - at->offset : 0;
	room -= room % block;
	if (!room)
		return vaio_fail(&at->e, VAIO_FAILED, "'%s' has %llu bytes, the data would begin at %llu", at->given,
				 (unsigned long long)at->backing.bytes, (unsigned long long)at->offset);
	if (at->size > room)
		return vaio_fail(&at->e, VAIO_FAILED, "'%s' has room for %llu bytes, not for %llu", at->given,
				 (unsigned long long)room, (unsigned long long)at->size);
	if (at->size % block)
		return vaio_fail(&at->e, VAIO_USAGE, "--size: not a multiple of the block size, %llu", (unsigned long long)block);
	at->table.sectors = (at->size ? at->size : room) / 512;
	at->table.offset = at->offset / 512;
	snprintf(at->table.backing, sizeof(at->table.backing), "%u:%u", major(at->backing.dev), minor(at->backing.dev));
	return VAIO_OK;
}

/*
 * Disks on one store share its time, whatever lies between. The kernel sees the
 * whole device of the backing device; what is below that is told to it here.
 */
static int name_domain(struct attach *at)
{
	struct vaio_table_filter *f = vaio_table_find(&at->table, "qos");
	char name[VAIO_VALUE_LEN];

	if (!f || vaio_table_prop(f, "domain"))
		return VAIO_OK;
	vaio_blockdev_bottom(at->backing.dev, name, sizeof(name));
	if (!name[0] || strlen(name) >= VAIO_NAME_LEN)
		return VAIO_OK;
	return vaio_table_add_prop(f, "domain", name, &at->e);
}

static int start(struct attach *at)
{
	const char *filters[VAIO_TABLE_MAX_FILTERS + 1] = { NULL };
	char node[VAIO_DEVNAME_LEN + 16];
	unsigned int i;
	int rc;

	for (i = 0; i < at->table.n_filters; i++)
		filters[i] = at->table.filters[i].name;
	rc = vaio_host_prepare(filters, &at->e);
	if (!rc)
		rc = name_domain(at);
	if (!rc)
		rc = check_taken(at);
	if (!rc)
		rc = vaio_dm_create(at->name, &at->table, at->read_only, &at->e);
	if (rc)
		return rc;
	at->created = true;
	snprintf(node, sizeof(node), "/dev/mapper/%s", at->name);
	if (access(node, F_OK))
		return vaio_fail(&at->e, VAIO_FAILED, "device-mapper made '%s', but %s did not appear", at->name, node);
	backing_protect(&at->backing);
	return VAIO_OK;
}

static void undo(struct attach *at)
{
	struct vaio_err e;
	char line[256];

	if (at->created && vaio_dm_remove(at->name, false, &e))
		vaioctl_note("undoing: %s", e.text);
	/* A sidecar made on the way; its loop device first. */
	vaio_loop_release(&at->sidecar_loop);
	if (at->sidecar_made[0] && !at->sidecar_is_lv)
		unlink(at->sidecar_made);
	if (at->sidecar_made[0] && at->sidecar_is_lv &&
	    vaio_run((const char *const []){ "lvremove", "-q", "-f", at->sidecar_made, NULL }, line, sizeof(line)))
		vaioctl_note("undoing: lvremove: %s", line);
}

static int report(struct attach *at)
{
	char size[32], stack[256];
	struct vaio_disk_info d;
	struct vaio_nl *nl;
	json_t *j;
	int rc;

	rc = vaio_nl_open(&nl, &at->e);
	if (!rc) {
		rc = vaio_nl_disk(nl, at->table.uuid, &d, &at->e);
		vaio_nl_close(nl);
	}
	if (rc) {
		/* It runs; that is what counts. */
		vaioctl_note("disk attach: '%s' is attached; asking the kernel about it: %s", at->name, at->e.text);
		return VAIO_OK;
	}
	if (at->g->json) {
		j = disk_json(&d);
		vaio_disk_info_free(&d);
		return vaioctl_print_json(j);
	}
	printf("%s is /dev/mapper/%s: %s on %s, stack %s, %s\n", d.uuid, d.name,
	       vaio_format_size(size, sizeof(size), (double)d.sectors * 512), at->image[0] ? at->image : at->backing.path,
	       disk_stack_text(&d, stack, sizeof(stack)), vaio_word(vaio_disk_state_names, d.state));
	if (at->g->verbose && at->image[0])
		vaioctl_note("%s %s, direct I/O %s", at->loop.found ? "found" : "made", at->loop.path,
			     at->loop.direct ? "on" : "off");
	vaio_disk_info_free(&d);
	return VAIO_OK;
}

int disk_attach(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct attach *at = calloc(1, sizeof(*at));
	int rc;

	if (!at)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "out of memory");
	at->cmd = cmd;
	at->a = a;
	at->g = g;
	at->loop.fd = at->sidecar_loop.fd = -1;
	vaio_secret_harden();
	rc = parse_words(at);
	if (!rc)
		rc = check_taken(at);
	if (!rc)
		rc = open_backing(at);
	if (!rc && !at->table.uuid[0]) {
		at->new_uuid = true;
		rc = vaio_uuid_random(at->table.uuid, &at->e);
	}
	if (!rc)
		rc = prepare_sidecar(at);
	if (!rc)
		rc = prepare_encryption(at);
	if (!rc)
		rc = compute_size(at);
	if (!rc)
		rc = start(at);
	/* The kernel has its own copy by now, or will never need one. */
	vaio_key_remove(&at->key);
	if (rc)
		undo(at);
	/* Without the disk on them, new loop devices end here. */
	vaio_loop_release(&at->loop);
	vaio_loop_release(&at->sidecar_loop);
	rc = rc ? vaioctl_fail_err(cmd, rc, &at->e) : report(at);
	vaio_table_free(&at->table);
	free(at);
	return rc;
}
