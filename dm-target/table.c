// SPDX-License-Identifier: GPL-2.0
/*
 * The words of a table.
 *
 *   <dev> <offset> <#feature args> uuid <u> [sidecar <dev>] [identity <text>]
 *	[cleartext_filters allow|deny] [latency on|off] [takeover yes]
 *	[lose_dirty_blocks yes]
 *   <#filters> { <filter> <#args> <name> <value> ... }*
 *
 * Every error names the wrong word and says what is accepted. Nothing of a disk
 * that is live changes here.
 */
#include <linux/device-mapper.h>
#include <linux/slab.h>
#include "target.h"

struct words {
	unsigned int	left;
	char		**at;
};

static char *next_word(struct words *w)
{
	if (!w->left)
		return NULL;
	w->left--;
	return *w->at++;
}

static int next_count(struct words *w, const char *what, unsigned int max, unsigned int *count,
		      char **error)
{
	const char *word = next_word(w);

	if (!word) {
		*error = vaio_cfg_error(NULL, "%s is missing: a number from 0 to %u", what, max);
		return -EINVAL;
	}
	if (kstrtouint(word, 10, count) || *count > max) {
		*error = vaio_cfg_error(NULL, "%s: '%s' is not a number from 0 to %u", what, word,
					max);
		return -EINVAL;
	}
	return 0;
}

static int word_copy(char **to, const char *name, const char *value, char **error)
{
	if (*to) {
		*error = vaio_cfg_error(NULL, "feature '%s' is given twice", name);
		return -EINVAL;
	}
	*to = kstrdup(value, GFP_KERNEL);
	if (!*to) {
		*error = "not enough memory";
		return -ENOMEM;
	}
	return 0;
}

static int either(const char *name, const char *value, const char *yes, const char *no,
		  bool *result, char **error)
{
	if (!strcmp(value, yes)) {
		*result = true;
		return 0;
	}
	if (no && !strcmp(value, no)) {
		*result = false;
		return 0;
	}
	*error = vaio_cfg_error(NULL, "feature '%s': '%s' is not one of %s%s%s", name, value, yes,
				no ? ", " : "", no ?: "");
	return -EINVAL;
}

static int parse_features(struct vaio_stack *stack, struct words *w, char **error)
{
	unsigned int count;
	bool have_uuid = false;
	int r;

	r = next_count(w, "number of feature arguments", 32, &count, error);
	if (r)
		return r;
	if (count & 1) {
		*error = vaio_cfg_error(NULL,
					"number of feature arguments: '%u' is odd, they are pairs of name and value",
					count);
		return -EINVAL;
	}
	if (count > w->left) {
		*error = vaio_cfg_error(NULL, "%u feature arguments announced, %u words left",
					count, w->left);
		return -EINVAL;
	}
	for (; count; count -= 2) {
		const char *name = next_word(w);
		const char *value = next_word(w);

		if (!strcmp(name, "uuid")) {
			if (have_uuid) {
				*error = "feature 'uuid' is given twice";
				return -EINVAL;
			}
			if (strlen(value) != UUID_STRING_LEN ||
			    uuid_parse(value, &stack->geo.uuid) ||
			    uuid_is_null(&stack->geo.uuid)) {
				*error = vaio_cfg_error(NULL,
							"feature 'uuid': '%s' is not a UUID such as 0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49",
							value);
				return -EINVAL;
			}
			have_uuid = true;
		} else if (!strcmp(name, "sidecar")) {
			r = word_copy(&stack->sidecar_path, name, value, error);
		} else if (!strcmp(name, "identity")) {
			r = word_copy(&stack->identity, name, value, error);
		} else if (!strcmp(name, "cleartext_filters")) {
			r = either(name, value, "deny", "allow", &stack->deny_cleartext, error);
		} else if (!strcmp(name, "latency")) {
			r = either(name, value, "on", "off", &stack->latency, error);
		} else if (!strcmp(name, "takeover")) {
			r = either(name, value, "yes", NULL, &stack->takeover, error);
		} else if (!strcmp(name, "lose_dirty_blocks")) {
			r = either(name, value, "yes", NULL, &stack->lose_dirty, error);
		} else {
			*error = vaio_cfg_error(NULL,
						"feature '%s' is not one of uuid, sidecar, identity, cleartext_filters, latency, takeover, lose_dirty_blocks",
						name);
			r = -EINVAL;
		}
		if (r)
			return r;
	}
	if (!have_uuid) {
		*error = "feature 'uuid' is missing: a disk needs one";
		return -EINVAL;
	}
	return 0;
}

static int parse_filter(struct vaio_stack *stack, struct words *w, char **error)
{
	const char *name = next_word(w);
	struct vaio_slot_cfg *cfg;
	enum vaio_class class;
	unsigned int count;
	int r;

	if (!name) {
		*error = "the name of a filter is missing: fewer filters than announced";
		return -EINVAL;
	}
	r = next_count(w, "number of a filter's arguments", VAIO_MAX_WORDS, &count, error);
	if (r)
		return r;
	if (count > w->left) {
		*error = vaio_cfg_error(NULL, "filter '%s': %u arguments announced, %u words left",
					name, count, w->left);
		return -EINVAL;
	}
	cfg = vaio_cfg_new(name, &stack->geo, count, w->at, error);
	if (IS_ERR(cfg))
		return PTR_ERR(cfg);
	w->at += count;
	w->left -= count;

	class = cfg->filter->class;
	if (stack->cfg[class]) {
		*error = vaio_cfg_error(NULL,
					"filter '%s': class %s is taken by '%s', a disk has one of each class",
					name, vaio_class_name(class),
					stack->cfg[class]->filter->name);
		vaio_cfg_put(cfg);
		return -EINVAL;
	}
	stack->cfg[class] = cfg;
	return 0;
}

static int parse_filters(struct vaio_stack *stack, struct words *w, char **error)
{
	unsigned int count;
	int r;

	r = next_count(w, "number of filters", VAIO_MAX_SLOTS, &count, error);
	while (!r && count--)
		r = parse_filter(stack, w, error);
	if (!r && w->left) {
		*error = vaio_cfg_error(NULL, "'%s': %u words too many", *w->at, w->left);
		r = -EINVAL;
	}
	return r;
}

/* Plaintext may reach nothing but the guest. */
static int check_cleartext(struct vaio_stack *stack, char **error)
{
	const struct vaio_slot_cfg *crypt = stack->cfg[VAIO_CLASS_ENCRYPTION];
	int c;

	if (!stack->deny_cleartext)
		return 0;
	if (!crypt || !(crypt->filter->caps & VAIO_CAP_CHANGES_PAYLOAD)) {
		*error = "cleartext_filters deny: no encryption filter, plaintext would reach the backing device";
		return -EPERM;
	}
	for (c = 0; c < VAIO_CLASS_ENCRYPTION; c++) {
		if (stack->cfg[c] && (stack->cfg[c]->filter->caps & VAIO_CAP_CARRIES_PAYLOAD)) {
			*error = vaio_cfg_error(NULL,
						"cleartext_filters deny: filter '%s' stands above encryption and would carry plaintext away",
						stack->cfg[c]->filter->name);
			return -EPERM;
		}
	}
	return 0;
}

static int check_device(struct vaio_stack *stack, const char *path, char **error)
{
	struct dm_target *ti = stack->ti;
	struct vaio_geometry *geo = &stack->geo;
	unsigned int per_block;
	sector_t size;

	stack->bdev = stack->dev->bdev;
	geo->block_size = bdev_logical_block_size(stack->bdev);
	geo->sectors = ti->len;
	geo->read_only = !(dm_table_get_mode(ti->table) & BLK_OPEN_WRITE);
	stack->start = geo->offset;
	strscpy(geo->device, stack->bdev->bd_disk->disk_name, sizeof(geo->device));
	geo->rotational = bdev_rot(stack->bdev);

	if (bdev_is_zoned(stack->bdev)) {
		*error = vaio_cfg_error(NULL, "device '%s' is zoned, which is not supported", path);
		return -EOPNOTSUPP;
	}
	if (geo->block_size != 512 && geo->block_size != 4096) {
		*error = vaio_cfg_error(NULL,
					"device '%s': logical blocks of %u bytes, accepted are 512 and 4096",
					path, geo->block_size);
		return -EOPNOTSUPP;
	}
	per_block = geo->block_size >> SECTOR_SHIFT;
	if ((geo->offset | ti->len) & (per_block - 1)) {
		*error = vaio_cfg_error(NULL,
					"offset %llu and length %llu must be multiples of %u sectors, the block of '%s'",
					(unsigned long long)geo->offset,
					(unsigned long long)ti->len, per_block, path);
		return -EINVAL;
	}
	size = bdev_nr_sectors(stack->bdev);
	if (geo->offset > size || ti->len > size - geo->offset) {
		*error = vaio_cfg_error(NULL,
					"device '%s' has %llu sectors, offset %llu and length %llu reach beyond",
					path, (unsigned long long)size,
					(unsigned long long)geo->offset,
					(unsigned long long)ti->len);
		return -EINVAL;
	}
	return 0;
}

static unsigned int io_size(const struct vaio_stack *stack)
{
	unsigned int size = sizeof(struct vaio_io);
	int c;

	/* the same walk as io_offsets() in stack.c */
	for (c = VAIO_MAX_SLOTS - 1; c >= 0; c--)
		if (stack->cfg[c])
			size = ALIGN(size, ARCH_KMALLOC_MINALIGN) + stack->cfg[c]->io_size;
	return ALIGN(size, ARCH_KMALLOC_MINALIGN);
}

/**
 * vaio_table_parse - fill in a stack from the words of a table
 * @stack: zeroed but for ti
 * @argc: number of words
 * @argv: the words
 * @error: gets a sentence on failure
 *
 * May sleep. On failure the caller frees with vaio_table_free().
 * Return: 0 or a negative errno.
 */
int vaio_table_parse(struct vaio_stack *stack, unsigned int argc, char **argv, char **error)
{
	struct words w = { .left = argc, .at = argv };
	struct dm_target *ti = stack->ti;
	struct mapped_device *md = dm_table_get_md(ti->table);
	unsigned long long offset;
	const char *path, *word;
	char reason[VAIO_REASON_LEN];
	unsigned int i;
	int r;

	if (argc > VAIO_MAX_WORDS) {
		*error = "too many words in the table";
		return -EINVAL;
	}
	for (i = 0; i < argc; i++) {
		/* a quoted blank, which dmsetup table could not show so that it can be loaded again */
		if (argv[i][strcspn(argv[i], " \t\n\v\f\r")]) {
			*error = vaio_cfg_error(NULL, "word %u has a blank in it, which no word may have",
						i + 1);
			return -EINVAL;
		}
	}
	if (ti->begin) {
		*error = "the target must start at sector 0: a disk is one target";
		return -EINVAL;
	}
	path = next_word(&w);
	if (!path) {
		*error = "the backing device is missing: <dev> <offset> <#feature args> uuid <u> ... <#filters> ...";
		return -EINVAL;
	}
	word = next_word(&w);
	if (!word || kstrtoull(word, 10, &offset) || offset != (sector_t)offset) {
		*error = vaio_cfg_error(NULL, "offset: '%s' is not a number of 512-byte sectors",
					word ?: "");
		return -EINVAL;
	}
	stack->geo.offset = offset;
	strscpy(stack->geo.name, dm_device_name(md), sizeof(stack->geo.name));

	r = parse_features(stack, &w, error);
	if (r)
		return r;
	r = dm_get_device(ti, path, dm_table_get_mode(ti->table), &stack->dev);
	if (r) {
		*error = vaio_cfg_error(NULL, "device '%s' cannot be opened: error %d", path, r);
		return r;
	}
	r = check_device(stack, path, error);
	if (r)
		return r;
	stack->disk = vaio_disk_get_for_table(&stack->geo.uuid, md, reason, sizeof(reason));
	if (IS_ERR(stack->disk)) {
		r = PTR_ERR(stack->disk);
		stack->disk = NULL;
		*error = vaio_cfg_error(NULL, "%s", reason);
		return r;
	}
	stack->stats = stack->disk->stats;
	vaio_claim_fill(&stack->claim, stack->bdev, stack->start, ti->len, VAIO_ROLE_BACKING,
			&stack->geo.uuid);
	r = vaio_claim_add(&stack->claim, reason, sizeof(reason));
	if (r) {
		*error = vaio_cfg_error(NULL, "device '%s': %s", path, reason);
		return r;
	}
	stack->claimed = true;
	r = parse_filters(stack, &w, error);
	if (r)
		return r;
	stack->io_size = io_size(stack);
	return check_cleartext(stack, error);
}

/**
 * vaio_table_free - undo vaio_table_parse(), whole or half done
 * @stack: the stack
 *
 * May sleep.
 */
void vaio_table_free(struct vaio_stack *stack)
{
	int c;

	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		if (stack->cfg[c])
			vaio_cfg_put(stack->cfg[c]);
	if (stack->disk)
		vaio_disk_put_table(stack->disk);
	if (stack->claimed)
		vaio_claim_del(&stack->claim);
	if (stack->dev)
		dm_put_device(stack->ti, stack->dev);
	kfree(stack->sidecar_path);
	kfree(stack->identity);
	kfree(stack);
}
