// SPDX-License-Identifier: GPL-2.0
/* vaioctl sidecar: make, look at and repair sidecars, offline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../libvaio/host.h"
#include "../libvaio/sidecar.h"
#include "../libvaio/units.h"
#include "progress.h"
#include "vaioctl.h"

#define DEFAULT_GROW	16
#define DEFAULT_EPOCHS	4

/* --- as JSON ------------------------------------------------------------------ */

static void set_text(json_t *j, const char *key, const char *value)
{
	json_object_set_new(j, key, json_string(value));
}

static void set_number(json_t *j, const char *key, u64 value)
{
	json_object_set_new(j, key, json_integer((json_int_t)value));
}

static void set_id(json_t *j, const char *key, const u8 *id)
{
	char text[VAIO_SC_UUID_TEXT];

	vaio_sc_uuid_text(id, text);
	set_text(j, key, text);
}

static void set_time(json_t *j, const char *key, u64 seconds)
{
	char text[VAIO_SC_TIME_TEXT];

	vaio_sc_time_text(seconds, text);
	set_text(j, key, text);
}

static void set_generation(json_t *j, const char *key, const struct vaio_sc_generation *g)
{
	json_t *o;

	if (vaio_sc_id_is_nil(g->id))
		return;
	o = json_object();
	set_id(o, "id", g->id);
	set_number(o, "counter", g->counter);
	json_object_set_new(j, key, o);
}

static json_t *flags_json(u32 flags)
{
	json_t *list = json_array();

	for (u32 bit = 1; bit & VAIO_SC_F_KNOWN; bit <<= 1)
		if (flags & bit)
			json_array_append_new(list, json_string(vaio_sc_flag_name(bit)));
	return list;
}

static json_t *super_json(const struct vaio_sc_super *sb)
{
	char identity[VAIO_SC_IDENTITY_TEXT];
	json_t *j = json_object(), *owner;

	set_id(j, "disk", sb->disk_uuid);
	set_id(j, "uuid", sb->sidecar_uuid);
	vaio_sc_identity_text(sb, identity);
	set_text(j, "backing", identity);
	set_number(j, "backing_bytes", sb->backing_bytes);
	set_number(j, "block_size", sb->block_size);
	if (sb->disk_bytes)
		set_number(j, "disk_bytes", sb->disk_bytes);
	set_number(j, "capacity_bytes", vaio_sc_capacity(sb));
	set_text(j, "state", vaio_sc_state_name(sb->state));
	if (!vaio_sc_id_is_nil(sb->owner_host)) {
		owner = json_object();
		set_id(owner, "host", sb->owner_host);
		set_id(owner, "boot", sb->owner_boot);
		set_time(owner, "since", sb->owner_since);
		json_object_set_new(j, "owner", owner);
	}
	json_object_set_new(j, "flags", flags_json(sb->flags));
	set_generation(j, "generation", &sb->current_gen);
	set_generation(j, "previous_generation", &sb->previous_gen);
	set_generation(j, "alone_since", &sb->alone_gen);
	set_number(j, "data_epoch", sb->data_epoch);
	if (sb->flags & VAIO_SC_F_CACHE_DIRTY) {
		json_t *cache = json_object();

		set_id(cache, "uuid", sb->cache_uuid);
		set_number(cache, "generation", sb->cache_generation);
		json_object_set_new(j, "cache", cache);
	}
	return j;
}

static json_t *region_json(const struct vaio_sc_region *r)
{
	json_t *j = json_object();

	set_text(j, "name", vaio_sc_region_name(r->type));
	set_number(j, "type", r->type);
	set_number(j, "offset", r->offset);
	set_number(j, "bytes", r->length);
	set_number(j, "bytes_a_bit", 1ULL << r->unit_shift);
	set_number(j, "maps", r->maps);
	return j;
}

/* --- for people ----------------------------------------------------------------- */

static void print_value(const char *key, json_t *v, int indent);

static void print_members(json_t *j, int indent)
{
	const char *key;
	json_t *v;

	json_object_foreach(j, key, v)
		print_value(key, v, indent);
}

static void print_value(const char *key, json_t *v, int indent)
{
	json_t *item;
	size_t i;

	printf("%*s%s:", indent, "", key);
	if (json_is_object(v)) {
		printf("\n");
		print_members(v, indent + 2);
	} else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
		printf("\n");
		json_array_foreach(v, i, item) {
			if (i)
				printf("\n");
			print_members(item, indent + 2);
		}
	} else if (json_is_array(v)) {
		if (!json_array_size(v))
			printf(" none");
		json_array_foreach(v, i, item)
			printf(" %s", json_string_value(item));
		printf("\n");
	} else if (json_is_integer(v)) {
		printf(" %" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
	} else if (json_is_boolean(v)) {
		printf(" %s\n", json_is_true(v) ? "yes" : "no");
	} else {
		printf(" %s\n", json_string_value(v));
	}
}

/* Prints and drops @j. */
static int print(json_t *j, const struct vaioctl_globals *g)
{
	if (g->json)
		return vaioctl_print_json(j);
	print_members(j, 0);
	json_decref(j);
	return VAIO_OK;
}

/* --- helpers of the commands ------------------------------------------------------ */

/* What every command works on. */
struct job {
	const struct vaioctl_cmd *cmd;
	struct vaio_scfile file;
	struct vaio_sc_super sb;
	struct vaio_sc_pick pick;
	struct vaio_backing backing;
	u8 disk_uuid[VAIO_SC_ID_LEN];
	bool has_backing, has_disk;
	struct vaio_err e;
};

static int fail(struct job *job, int rc)
{
	return vaioctl_fail_err(job->cmd, rc, &job->e);
}

static void warn_bad_copy(const struct job *job)
{
	if (job->pick.bad)
		vaioctl_note("sidecar %s: superblock %u is torn or corrupt; the other one is used",
			     job->file.path, !job->pick.copy);
}

/* --device and --disk, where given. */
static int parse_target(struct job *job, const struct vaioctl_args *a)
{
	const char *device = vaioctl_opt(a, "device"), *disk = vaioctl_opt(a, "disk");
	int rc = VAIO_OK;

	if (device) {
		rc = vaio_backing_describe(device, &job->backing, &job->e);
		if (rc)
			vaio_fail_prefix(&job->e, rc, "--device");
		job->has_backing = !rc;
	}
	if (!rc && disk) {
		rc = vaio_id_parse(disk, job->disk_uuid, &job->e);
		if (rc)
			vaio_fail_prefix(&job->e, rc, "--disk");
		job->has_disk = !rc;
	}
	return rc;
}

static int parse_count(const struct vaioctl_args *a, const char *option, u32 least, u32 most,
		       u32 *value, struct vaio_err *e)
{
	const char *text = vaioctl_opt(a, option);
	uint64_t number;
	int rc;

	if (!text)
		return VAIO_OK;
	rc = vaio_parse_number(text, least, most, &number, e);
	if (rc)
		return vaio_fail_prefix(e, rc, "--%s", option);
	*value = number;
	return VAIO_OK;
}

/* A job's body between opening and closing. */
static int run(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
	       const struct vaioctl_globals *g, enum vaio_scfile_mode mode,
	       int (*body)(struct job *job, const struct vaioctl_args *a,
			   const struct vaioctl_globals *g))
{
	struct job *job = calloc(1, sizeof(*job));
	int rc;

	if (!job)
		return vaioctl_cmd_fail(cmd, VAIO_FAILED, "no memory");
	job->cmd = cmd;
	rc = parse_target(job, a);
	if (!rc)
		rc = vaio_scfile_open(&job->file, a->operand[0], mode, &job->e);
	if (rc) {
		rc = fail(job, rc);
	} else {
		rc = body(job, a, g);
		vaio_scfile_close(&job->file);
	}
	free(job);
	return rc;
}

/* --- show and dump ----------------------------------------------------------------- */

static json_t *regions_json(const struct vaio_sc_super *sb)
{
	json_t *list = json_array();

	for (u32 i = 0; i < sb->nr_regions; i++)
		json_array_append_new(list, region_json(&sb->regions[i]));
	return list;
}

static int show_body(struct job *job, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	int rc = vaio_scfile_load(&job->file, &job->sb, &job->pick, &job->e);

	(void)a;
	if (rc)
		return fail(job, rc);
	warn_bad_copy(job);
	return print(super_json(&job->sb), g);
}

static int show(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
		const struct vaioctl_globals *g)
{
	return run(cmd, a, g, VAIO_SCFILE_LOOK, show_body);
}

/* Both superblocks as they are, good or bad. */
static int dump_body(struct job *job, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	json_t *j = json_object(), *list = json_array();
	int rc, bad = 0;

	(void)a;
	for (unsigned int copy = 0; copy < VAIO_SC_COPIES; copy++) {
		json_t *o;

		rc = vaio_scfile_load_copy(&job->file, copy, &job->sb, &job->e);
		if (rc) {
			o = json_object();
			set_number(o, "copy", copy);
			set_text(o, "error", job->e.text);
			bad++;
		} else {
			o = super_json(&job->sb);
			set_number(o, "copy", copy);
			set_number(o, "sequence", job->sb.sequence);
			set_time(o, "created", job->sb.created);
			set_time(o, "written", job->sb.written);
			set_number(o, "sidecar_bytes", job->sb.sidecar_bytes);
			set_number(o, "compat", job->sb.compat);
			set_number(o, "incompat", job->sb.incompat);
			json_object_set_new(o, "regions", regions_json(&job->sb));
		}
		json_array_append_new(list, o);
	}
	json_object_set_new(j, "superblocks", list);
	if (bad == VAIO_SC_COPIES) {
		json_decref(j);
		rc = vaio_scfile_load(&job->file, &job->sb, &job->pick, &job->e);
		return fail(job, rc ? rc : VAIO_FAILED);
	}
	return print(j, g);
}

static int dump(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
		const struct vaioctl_globals *g)
{
	return run(cmd, a, g, VAIO_SCFILE_LOOK, dump_body);
}

/* --- check ----------------------------------------------------------------------------- */

/* Does it belong to the disk and device that the caller named? */
static int check_match(struct job *job)
{
	struct vaio_sc_expect expect = { 0 };
	char reason[VAIO_SC_REASON];

	memcpy(expect.disk_uuid, job->has_disk ? job->disk_uuid : job->sb.disk_uuid, VAIO_SC_ID_LEN);
	if (job->has_backing) {
		expect.identity = job->backing.identity;
		expect.backing_bytes = job->backing.bytes;
		expect.block_size = job->backing.block_size;
	}
	if (vaio_sc_match(&job->sb, &expect, reason, sizeof(reason)))
		return vaio_fail(&job->e, VAIO_REFUSED, "sidecar %s: %s", job->file.path, reason);
	return VAIO_OK;
}

static int check_body(struct job *job, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	json_t *j, *list;
	u64 bad = 0;
	int rc = vaio_scfile_load(&job->file, &job->sb, &job->pick, &job->e);

	(void)a;
	if (!rc)
		rc = check_match(job);
	if (rc)
		return fail(job, rc);
	warn_bad_copy(job);
	j = json_object();
	list = json_array();
	set_id(j, "disk", job->sb.disk_uuid);
	set_text(j, "state", vaio_sc_state_name(job->sb.state));
	json_object_set_new(j, "flags", flags_json(job->sb.flags));
	set_number(j, "bad_superblocks", job->pick.bad != 0);
	for (u32 i = 0; i < job->sb.nr_regions; i++) {
		const struct vaio_sc_region *r = &job->sb.regions[i];
		struct vaio_sc_census c;
		json_t *o;

		if (r->type >= VAIO_SC_R_CHANGE_EPOCHS)
			continue;
		rc = vaio_scfile_census(&job->file, &job->sb, r, &c, &job->e);
		if (rc) {
			json_decref(list);
			json_decref(j);
			return fail(job, rc);
		}
		o = json_object();
		set_text(o, "name", vaio_sc_region_name(r->type));
		set_number(o, "pages", c.pages);
		set_number(o, "bad_pages", c.bad);
		set_number(o, "bits_set", c.bits);
		json_array_append_new(list, o);
		bad += c.bad;
	}
	json_object_set_new(j, "regions", list);
	json_object_set_new(j, "good", json_boolean(!bad && !job->pick.bad));
	print(j, g);
	if (bad)
		vaioctl_note("sidecar %s: %llu pages are torn or corrupt; what they cover counts as changed",
			     job->file.path, bad);
	return bad || job->pick.bad ? VAIO_FAILED : VAIO_OK;
}

static int check(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
		 const struct vaioctl_globals *g)
{
	return run(cmd, a, g, VAIO_SCFILE_READ, check_body);
}

/* --- format ------------------------------------------------------------------------------ */

static void show_progress(u64 done, u64 total)
{
	static struct vaioctl_progress p;

	if (!p.what)
		vaioctl_progress_begin(&p, "formatting", total);
	if (done < total)
		vaioctl_progress_at(&p, done);
	else
		vaioctl_progress_end(&p);
}

static int format_body(struct job *job, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_sidecar_params p = {
		.backing = &job->backing,
		.grow = DEFAULT_GROW,
		.epochs = DEFAULT_EPOCHS,
		.force = vaioctl_has(a, "force"),
		.progress = show_progress,
	};
	int rc = parse_count(a, "grow-factor", 1, 1 << 20, &p.grow, &job->e);

	if (!rc)
		rc = parse_count(a, "epochs", 0, 64, &p.epochs, &job->e);
	if (!rc && !job->has_disk)
		rc = vaio_id_random(job->disk_uuid, &job->e);
	if (!rc) {
		memcpy(p.disk_uuid, job->disk_uuid, VAIO_SC_ID_LEN);
		rc = vaio_scfile_format(&job->file, &p, &job->sb, &job->e);
	}
	if (rc)
		return fail(job, rc);
	return print(super_json(&job->sb), g);
}

static int need_device(const struct vaioctl_cmd *cmd)
{
	return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--device is missing: the disk's backing device or image");
}

static int format(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
		  const struct vaioctl_globals *g)
{
	struct vaio_err e;
	u32 ignored;

	if (!vaioctl_has(a, "device"))
		return need_device(cmd);
	/* before a file is made */
	if (parse_count(a, "grow-factor", 1, 1 << 20, &ignored, &e) ||
	    parse_count(a, "epochs", 0, 64, &ignored, &e))
		return vaioctl_fail_err(cmd, VAIO_USAGE, &e);
	return run(cmd, a, g, VAIO_SCFILE_CREATE, format_body);
}

/* --- adopt --------------------------------------------------------------------------------- */

static int adopt_body(struct job *job, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	char host[VAIO_SC_UUID_TEXT];
	u8 me[VAIO_SC_ID_LEN];
	struct vaio_sidecar_adoption adoption = {
		.backing = &job->backing,
		.me = me,
		.disk_uuid = job->has_disk ? job->disk_uuid : NULL,
		.force = vaioctl_has(a, "force"),
		.lose_dirty = vaioctl_has(a, "lose-dirty-blocks"),
	};
	int rc = vaio_host_id(host, &job->e);

	if (!rc)
		rc = vaio_id_parse(host, me, &job->e);
	if (!rc)
		rc = vaio_scfile_load(&job->file, &job->sb, &job->pick, &job->e);
	if (rc)
		return fail(job, rc);
	warn_bad_copy(job);
	rc = vaio_sidecar_adopt(&job->sb, &adoption, &job->e);
	if (rc)
		vaio_fail_prefix(&job->e, rc, "sidecar %s", job->file.path);
	else
		rc = vaio_scfile_store(&job->file, &job->sb, job->pick.copy, &job->e);
	if (rc)
		return fail(job, rc);
	return print(super_json(&job->sb), g);
}

static int adopt(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a,
		 const struct vaioctl_globals *g)
{
	if (!vaioctl_has(a, "device"))
		return need_device(cmd);
	return run(cmd, a, g, VAIO_SCFILE_WRITE, adopt_body);
}

/* --- table ------------------------------------------------------------------------------------ */

#define OPT_DEVICE	{ "device", "PATH", "the disk's backing device or image", false }
#define OPT_DISK	{ "disk", "UUID", "the disk's UUID", false }

static const struct vaioctl_opt check_opts[] = { OPT_DEVICE, OPT_DISK, { 0 } };

static const struct vaioctl_opt format_opts[] = {
	OPT_DEVICE,
	{ "disk", "UUID", "the disk's UUID (default: a new one)", false },
	{ "grow-factor", "N", "room for a disk N times as large (default 16)", false },
	{ "epochs", "N", "bitmaps reserved for change tracking (default 4)", false },
	{ "force", NULL, "overwrite what is there", false },
	{ 0 },
};

static const struct vaioctl_opt adopt_opts[] = {
	OPT_DEVICE,
	{ "disk", "UUID", "the disk's UUID (default: as before)", false },
	{ "force", NULL, "even when another host owns it, or the disk was larger", false },
	{ "lose-dirty-blocks", NULL, "even when another host's cache has blocks that are nowhere else", false },
	{ 0 },
};

const struct vaioctl_cmd vaioctl_sidecar_cmds[] = {
	{
		.noun = "sidecar", .verb = "show", .operands = "SIDECAR",
		.min_operands = 1, .max_operands = 1,
		.summary = "show whose it is and in what state",
		.run = show,
	}, {
		.noun = "sidecar", .verb = "dump", .operands = "SIDECAR",
		.min_operands = 1, .max_operands = 1,
		.summary = "show both superblocks and all regions",
		.run = dump,
	}, {
		.noun = "sidecar", .verb = "check", .operands = "SIDECAR",
		.min_operands = 1, .max_operands = 1,
		.summary = "verify all of it; changes nothing",
		.text = "With --device and --disk also verifies that it belongs to them.\n"
			"A torn or corrupt page is not fatal: what it covers counts as changed.",
		.opts = check_opts,
		.run = check,
	}, {
		.noun = "sidecar", .verb = "format", .operands = "SIDECAR --device PATH",
		.min_operands = 1, .max_operands = 1,
		.summary = "make a sidecar on a block device or in a file",
		.opts = format_opts,
		.run = format,
	}, {
		.noun = "sidecar", .verb = "adopt", .operands = "SIDECAR --device PATH",
		.min_operands = 1, .max_operands = 1,
		.summary = "make it the sidecar of another backing device, or of a copy",
		.text = "The sidecar gets a new UUID, and everything will be compared at the next start.",
		.opts = adopt_opts,
		.run = adopt,
	},
	{ 0 },
};
