// SPDX-License-Identifier: GPL-2.0
/*
 * The sidecar's format. See sidecar_format.h and Documentation/sidecar-format.md.
 *
 * A block is hostile until vaio_sc_decode() has accepted it. What it accepts,
 * vaio_sc_encode() turns into the same bytes again.
 */
#include "sidecar_format.h"

static_assert(sizeof(struct vaio_sc_disk_super) == VAIO_SC_PAGE, "superblock size");
static_assert(sizeof(struct vaio_sc_disk_page) == VAIO_SC_PAGE, "page size");
static_assert(offsetof(struct vaio_sc_disk_super, regions) == 512, "region table");
static_assert(offsetof(struct vaio_sc_disk_super, tail) == 1024, "tail");
static_assert(offsetof(struct vaio_sc_disk_super, crc) == VAIO_SC_PAGE - 4, "crc");

#define MAX_BYTES	((1ULL << 63) - VAIO_SC_PAGE)	/* fits a signed file offset */
#define MAX_SEQUENCE	(1ULL << 62)	/* never reached by counting */
#define MAX_MAPS	64
#define MAX_MAP_PAGES	0xffffffffULL	/* a page's index is 32 bits wide */

/* What the format says about the regions it knows. */
static const struct region_rule {
	const char	*name;
	u32		unit_shift;
	bool		required;
	bool		many_maps;
} region_rules[__VAIO_SC_R_COUNT] = {
	[VAIO_SC_R_BITMAP]	= { "bitmap", VAIO_SC_BITMAP_SHIFT, true, false },
	[VAIO_SC_R_INTENT]	= { "intent", VAIO_SC_EXTENT_SHIFT, true, false },
	[VAIO_SC_R_CACHE_MARKS]	= { "cache_marks", VAIO_SC_EXTENT_SHIFT, true, false },
	[VAIO_SC_R_CHANGE_EPOCHS] = { "change_epochs", VAIO_SC_BITMAP_SHIFT, false, true },
};

static __printf(4, 5)
int refuse(int err, char *reason, size_t len, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, len, fmt, args);
	va_end(args);
	return err;
}

static bool all_zero(const void *data, size_t len)
{
	const u8 *p = data;

	while (len--)
		if (*p++)
			return false;
	return true;
}

/* --- words --------------------------------------------------------------- */

const char *vaio_sc_region_name(u32 type)
{
	if (type < __VAIO_SC_R_COUNT && region_rules[type].name)
		return region_rules[type].name;
	return "unknown";
}

const char *vaio_sc_state_name(u32 state)
{
	switch (state) {
	case VAIO_SC_CLEAN:
		return "clean";
	case VAIO_SC_ACTIVE:
		return "active";
	case VAIO_SC_STANDBY:
		return "standby";
	}
	return "unknown";
}

const char *vaio_sc_flag_name(u32 flag)
{
	switch (flag) {
	case VAIO_SC_F_ALONE:
		return "alone";
	case VAIO_SC_F_SOURCE_DAMAGED:
		return "source-damaged";
	case VAIO_SC_F_MUST_COMPARE:
		return "must-compare";
	case VAIO_SC_F_CACHE_DIRTY:
		return "cache-dirty";
	}
	return "unknown";
}

const char *vaio_sc_identity_kind_name(u32 kind)
{
	switch (kind) {
	case VAIO_SC_ID_WWN:
		return "wwn";
	case VAIO_SC_ID_LV:
		return "lv";
	case VAIO_SC_ID_FILE:
		return "file";
	case VAIO_SC_ID_OTHER:
		return "other";
	}
	return "unknown";
}

static int check_identity(u32 kind, const char *identity, char *reason, size_t len)
{
	size_t n = strnlen(identity, VAIO_SC_IDENTITY_LEN);
	size_t i;

	if (kind < VAIO_SC_ID_WWN || kind > VAIO_SC_ID_OTHER)
		return refuse(-EIO, reason, len, "identity of unknown kind %u", kind);
	if (n == 0 || n == VAIO_SC_IDENTITY_LEN)
		return refuse(-EIO, reason, len, "identity is empty or not terminated");
	for (i = 0; i < n; i++)
		if (identity[i] <= 0x20 || identity[i] > 0x7e || identity[i] == '\\')
			return refuse(-EIO, reason, len, "identity holds byte 0x%02x",
				      (u8)identity[i]);
	if (!all_zero(identity + n, VAIO_SC_IDENTITY_LEN - n))
		return refuse(-EIO, reason, len, "identity is not padded with zeroes");
	return 0;
}

int vaio_sc_identity_parse(const char *text, u32 *kind, char *identity, char *reason, size_t len)
{
	const char *colon = strchr(text, ':');
	size_t n;
	u32 k;

	for (k = VAIO_SC_ID_WWN; colon && k <= VAIO_SC_ID_OTHER; k++) {
		const char *name = vaio_sc_identity_kind_name(k);

		n = strlen(name);
		if ((size_t)(colon - text) == n && !memcmp(text, name, n))
			break;
	}
	if (!colon || k > VAIO_SC_ID_OTHER)
		return refuse(-EINVAL, reason, len,
			      "identity '%.40s' does not begin with one of wwn:, lv:, file:, other:", text);
	n = strlen(colon + 1);
	if (n >= VAIO_SC_IDENTITY_LEN)
		return refuse(-EINVAL, reason, len, "identity is longer than %u characters",
			      VAIO_SC_IDENTITY_LEN - 1);
	memset(identity, 0, VAIO_SC_IDENTITY_LEN);
	memcpy(identity, colon + 1, n);
	if (check_identity(k, identity, reason, len))
		return -EINVAL;
	*kind = k;
	return 0;
}

void vaio_sc_identity_text(const struct vaio_sc_super *sb, char *text)
{
	snprintf(text, VAIO_SC_IDENTITY_TEXT, "%s:%.127s",
		 vaio_sc_identity_kind_name(sb->identity_kind), sb->identity);
}

void vaio_sc_uuid_text(const u8 *id, char *text)
{
	static const char hex[] = "0123456789abcdef";
	int i;

	for (i = 0; i < VAIO_SC_ID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = hex[id[i] >> 4];
		*text++ = hex[id[i] & 15];
	}
	*text = '\0';
}

void vaio_sc_time_text(u64 seconds, char *text)
{
	int date[6];

	if (seconds > 253402300799ULL) {	/* 9999-12-31T23:59:59Z */
		snprintf(text, VAIO_SC_TIME_TEXT, "@%llu", seconds);
		return;
	}
	vaio_sc_calendar(seconds, date);
	snprintf(text, VAIO_SC_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02uZ",
		 date[0] & 0x3fff, date[1] & 15, date[2] & 31,
		 date[3] & 31, date[4] & 63, date[5] & 63);
}

bool vaio_sc_id_is_nil(const u8 *id)
{
	return all_zero(id, VAIO_SC_ID_LEN);
}

/* --- regions ------------------------------------------------------------- */

const struct vaio_sc_region *vaio_sc_find(const struct vaio_sc_super *sb, u32 type)
{
	u32 i;

	for (i = 0; i < sb->nr_regions; i++)
		if (sb->regions[i].type == type)
			return &sb->regions[i];
	return NULL;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_find);

u64 vaio_sc_map_pages(const struct vaio_sc_region *region)
{
	return div_u64(region->length / VAIO_SC_PAGE, region->maps);
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_map_pages);

u64 vaio_sc_page_offset(const struct vaio_sc_region *region, u32 map, u64 index)
{
	u64 pages = vaio_sc_map_pages(region);

	if (map >= region->maps || index >= pages)
		return 0;
	return region->offset + (map * pages + index) * VAIO_SC_PAGE;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_page_offset);

/* Bytes of disk that one map has bits for. */
static u64 map_reach(const struct vaio_sc_region *region)
{
	u64 bits, bytes;

	if (__builtin_mul_overflow(vaio_sc_map_pages(region), (u64)VAIO_SC_PAGE_BITS, &bits) ||
	    __builtin_mul_overflow(bits, 1ULL << region->unit_shift, &bytes))
		return MAX_BYTES;
	return bytes < MAX_BYTES ? bytes : MAX_BYTES;
}

u64 vaio_sc_capacity(const struct vaio_sc_super *sb)
{
	u64 least = MAX_BYTES;
	u32 i;

	for (i = 0; i < sb->nr_regions; i++) {
		u64 reach = map_reach(&sb->regions[i]);

		if (sb->regions[i].type < __VAIO_SC_R_COUNT && reach < least)
			least = reach;
	}
	return least;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_capacity);

int vaio_sc_layout(struct vaio_sc_super *sb, u32 grow, u32 epochs, char *reason, size_t len)
{
	u64 bytes, offset = VAIO_SC_DATA;
	u32 type;

	if (grow == 0)
		return refuse(-ERANGE, reason, len, "a grow factor of 0 leaves no room for the disk");
	if (epochs > MAX_MAPS)
		return refuse(-ERANGE, reason, len, "%u epochs are more than %u", epochs, MAX_MAPS);
	if (__builtin_mul_overflow(sb->backing_bytes, (u64)grow, &bytes) || bytes > MAX_BYTES / 2)
		return refuse(-ERANGE, reason, len,
			      "%u times a disk of %llu bytes is more than a sidecar can describe",
			      grow, sb->backing_bytes);

	memset(sb->regions, 0, sizeof(sb->regions));
	sb->nr_regions = 0;
	for (type = VAIO_SC_R_NONE + 1; type < __VAIO_SC_R_COUNT; type++) {
		struct vaio_sc_region *r = &sb->regions[sb->nr_regions];
		u64 unit = 1ULL << region_rules[type].unit_shift;
		u64 bits = (bytes + unit - 1) / unit;
		u64 pages = div_u64(bits + VAIO_SC_PAGE_BITS - 1, VAIO_SC_PAGE_BITS);

		r->maps = region_rules[type].many_maps ? epochs : 1;
		if (!r->maps)
			continue;
		r->type = type;
		r->unit_shift = region_rules[type].unit_shift;
		r->offset = offset;
		r->length = pages * VAIO_SC_PAGE * r->maps;
		offset += r->length;
		sb->nr_regions++;
	}
	sb->sidecar_bytes = offset;
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_layout);

static int check_region(const struct vaio_sc_super *sb, u32 i, char *reason, size_t len)
{
	const struct vaio_sc_region *r = &sb->regions[i];
	const char *name = vaio_sc_region_name(r->type);
	u64 end;
	u32 j;

	if (r->type == VAIO_SC_R_NONE)
		return refuse(-EIO, reason, len, "region %u has no type", i);
	if (r->maps == 0 || r->maps > MAX_MAPS)
		return refuse(-EIO, reason, len, "region %u (%s) has %u maps", i, name, r->maps);
	if (r->unit_shift < 9 || r->unit_shift > 40)
		return refuse(-EIO, reason, len, "region %u (%s) has bits for 2^%u bytes",
			      i, name, r->unit_shift);
	if (r->length == 0)
		return refuse(-EIO, reason, len, "region %u (%s) is empty", i, name);
	if (r->offset % VAIO_SC_PAGE || r->length % VAIO_SC_PAGE ||
	    r->length != vaio_sc_map_pages(r) * r->maps * VAIO_SC_PAGE)
		return refuse(-EIO, reason, len, "region %u (%s) is not made of whole pages", i, name);
	if (vaio_sc_map_pages(r) > MAX_MAP_PAGES)
		return refuse(-EIO, reason, len, "region %u (%s) is impossibly large", i, name);
	if (r->offset < VAIO_SC_DATA)
		return refuse(-EIO, reason, len, "region %u (%s) overlaps the superblocks", i, name);
	if (__builtin_add_overflow(r->offset, r->length, &end) || end > sb->sidecar_bytes)
		return refuse(-EIO, reason, len, "region %u (%s) ends beyond the sidecar", i, name);
	for (j = 0; j < i; j++) {
		const struct vaio_sc_region *q = &sb->regions[j];

		if (q->type == r->type)
			return refuse(-EIO, reason, len, "regions %u and %u are both '%s'", j, i, name);
		/* q was checked: its end does not overflow */
		if (r->offset < q->offset + q->length && q->offset < end)
			return refuse(-EIO, reason, len, "regions %u (%s) and %u (%s) overlap",
				      j, vaio_sc_region_name(q->type), i, name);
	}
	if (r->type >= __VAIO_SC_R_COUNT)
		return 0;
	if (r->unit_shift != region_rules[r->type].unit_shift)
		return refuse(-EIO, reason, len, "region %u (%s) has bits for 2^%u bytes, not 2^%u",
			      i, name, r->unit_shift, region_rules[r->type].unit_shift);
	if (r->maps != 1 && !region_rules[r->type].many_maps)
		return refuse(-EIO, reason, len, "region %u (%s) has %u maps", i, name, r->maps);
	if (map_reach(r) < sb->disk_bytes)
		return refuse(-EIO, reason, len, "region %u (%s) is too small for the disk", i, name);
	return 0;
}

/* --- superblock ---------------------------------------------------------- */

static int check_condition(const struct vaio_sc_super *sb, char *reason, size_t len)
{
	bool alone = !vaio_sc_id_is_nil(sb->alone_gen.id);
	bool cache = !vaio_sc_id_is_nil(sb->cache_uuid);

	if (sb->state < VAIO_SC_CLEAN || sb->state > VAIO_SC_STANDBY)
		return refuse(-EIO, reason, len, "unknown state %u", sb->state);
	if (sb->flags & ~VAIO_SC_F_KNOWN)
		return refuse(-EIO, reason, len, "unknown flags 0x%x", sb->flags & ~VAIO_SC_F_KNOWN);
	if (sb->state != VAIO_SC_CLEAN && vaio_sc_id_is_nil(sb->owner_host))
		return refuse(-EIO, reason, len, "state %s without an owner",
			      vaio_sc_state_name(sb->state));
	if (vaio_sc_id_is_nil(sb->current_gen.id))
		return refuse(-EIO, reason, len, "no current generation");
	if (!!(sb->flags & VAIO_SC_F_ALONE) != alone || (!alone && sb->alone_gen.counter))
		return refuse(-EIO, reason, len, "flag 'alone' and its generation contradict each other");
	if (!!(sb->flags & VAIO_SC_F_CACHE_DIRTY) != cache || (!cache && sb->cache_generation))
		return refuse(-EIO, reason, len, "flag 'cache-dirty' and the cache contradict each other");
	return 0;
}

int vaio_sc_check(const struct vaio_sc_super *sb, u64 device_bytes, char *reason, size_t len)
{
	u32 i, type;
	int err;

	if (sb->sequence == 0 || sb->sequence > MAX_SEQUENCE)
		return refuse(-EIO, reason, len, "impossible sequence number %llu", sb->sequence);
	if (vaio_sc_id_is_nil(sb->disk_uuid) || vaio_sc_id_is_nil(sb->sidecar_uuid))
		return refuse(-EIO, reason, len, "disk or sidecar without a UUID");
	if (sb->block_size != 512 && sb->block_size != 4096)
		return refuse(-EIO, reason, len, "disk with blocks of %u bytes", sb->block_size);
	if (sb->backing_bytes == 0 || sb->backing_bytes > MAX_BYTES || sb->backing_bytes % 512)
		return refuse(-EIO, reason, len, "backing device of %llu bytes", sb->backing_bytes);
	if (sb->disk_bytes > sb->backing_bytes || sb->disk_bytes % sb->block_size)
		return refuse(-EIO, reason, len, "disk of %llu bytes on a backing device of %llu",
			      sb->disk_bytes, sb->backing_bytes);
	err = check_identity(sb->identity_kind, sb->identity, reason, len);
	if (err)
		return err;
	err = check_condition(sb, reason, len);
	if (err)
		return err;

	if (sb->sidecar_bytes % VAIO_SC_PAGE || sb->sidecar_bytes < VAIO_SC_DATA ||
	    sb->sidecar_bytes > MAX_BYTES)
		return refuse(-EIO, reason, len, "impossible size of %llu bytes", sb->sidecar_bytes);
	if (sb->sidecar_bytes > device_bytes)
		return refuse(-EIO, reason, len, "made for %llu bytes but only %llu are there",
			      sb->sidecar_bytes, device_bytes);
	if (sb->nr_regions > VAIO_SC_REGIONS)
		return refuse(-EIO, reason, len, "%u regions", sb->nr_regions);
	for (i = 0; i < sb->nr_regions; i++) {
		err = check_region(sb, i, reason, len);
		if (err)
			return err;
	}
	for (type = 0; type < __VAIO_SC_R_COUNT; type++)
		if (region_rules[type].required && !vaio_sc_find(sb, type))
			return refuse(-EIO, reason, len, "no region '%s'", region_rules[type].name);
	if (!(sb->compat & ~VAIO_SC_COMPAT_KNOWN) && !all_zero(sb->tail, VAIO_SC_TAIL))
		return refuse(-EIO, reason, len, "bytes in the reserved tail");
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_check);

static u32 super_crc(const void *block)
{
	return ~vaio_sc_crc32c(~0U, block, offsetof(struct vaio_sc_disk_super, crc));
}

enum copy_state { COPY_VALID, COPY_ABSENT, COPY_BAD };

static enum copy_state copy_state(const struct vaio_sc_disk_super *d, unsigned int copy)
{
	if (memcmp(d->magic, VAIO_SC_MAGIC, VAIO_SC_MAGIC_LEN))
		return COPY_ABSENT;
	if (le32_to_cpu(d->crc) != super_crc(d) || le32_to_cpu(d->copy) != copy)
		return COPY_BAD;
	return COPY_VALID;
}

int vaio_sc_pick(const void *block0, const void *block1, struct vaio_sc_pick *pick,
		 char *reason, size_t len)
{
	const struct vaio_sc_disk_super *d[VAIO_SC_COPIES] = { block0, block1 };
	enum copy_state s[VAIO_SC_COPIES];
	u64 sequence[VAIO_SC_COPIES];
	int i;

	for (i = 0; i < VAIO_SC_COPIES; i++) {
		s[i] = copy_state(d[i], i);
		sequence[i] = le64_to_cpu(d[i]->sequence);
	}
	pick->bad = (s[0] != COPY_VALID) | (s[1] != COPY_VALID) << 1;
	pick->copy = s[0] == COPY_VALID ? 0 : 1;

	if (s[0] == COPY_ABSENT && s[1] == COPY_ABSENT)
		return refuse(-ENODATA, reason, len, "holds no sidecar");
	if (pick->bad == 3)
		return refuse(-EIO, reason, len, "both superblocks are corrupt (CRC)");
	if (pick->bad)
		return 0;
	/* not the UUID: a crash while it is changed leaves the old one in one copy */
	if (d[0]->page_seed != d[1]->page_seed) {
		char a[VAIO_SC_UUID_TEXT], b[VAIO_SC_UUID_TEXT];

		vaio_sc_uuid_text(d[0]->sidecar_uuid, a);
		vaio_sc_uuid_text(d[1]->sidecar_uuid, b);
		return refuse(-EIO, reason, len,
			      "its superblocks belong to two sidecars, %s and %s", a, b);
	}
	if (sequence[0] == sequence[1])
		return refuse(-EIO, reason, len, "both superblocks have sequence number %llu",
			      sequence[0]);
	pick->copy = sequence[1] > sequence[0];
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_pick);

static void generation_to_disk(const struct vaio_sc_generation *g, struct vaio_sc_disk_generation *d)
{
	memcpy(d->id, g->id, VAIO_SC_ID_LEN);
	d->counter = cpu_to_le64(g->counter);
}

static void generation_from_disk(struct vaio_sc_generation *g, const struct vaio_sc_disk_generation *d)
{
	memcpy(g->id, d->id, VAIO_SC_ID_LEN);
	g->counter = le64_to_cpu(d->counter);
}

void vaio_sc_encode(const struct vaio_sc_super *sb, unsigned int copy, void *block)
{
	struct vaio_sc_disk_super *d = block;
	u32 i;

	memset(d, 0, sizeof(*d));
	memcpy(d->magic, VAIO_SC_MAGIC, VAIO_SC_MAGIC_LEN);
	d->version = cpu_to_le32(VAIO_SC_VERSION);
	d->copy = cpu_to_le32(copy);
	d->sequence = cpu_to_le64(sb->sequence);
	d->compat = cpu_to_le64(sb->compat);
	d->incompat = cpu_to_le64(sb->incompat);
	memcpy(d->disk_uuid, sb->disk_uuid, VAIO_SC_ID_LEN);
	memcpy(d->sidecar_uuid, sb->sidecar_uuid, VAIO_SC_ID_LEN);
	d->page_seed = cpu_to_le64(sb->page_seed);
	d->created = cpu_to_le64(sb->created);
	d->written = cpu_to_le64(sb->written);
	d->sidecar_bytes = cpu_to_le64(sb->sidecar_bytes);
	d->backing_bytes = cpu_to_le64(sb->backing_bytes);
	d->disk_bytes = cpu_to_le64(sb->disk_bytes);
	d->block_size = cpu_to_le32(sb->block_size);
	d->identity_kind = cpu_to_le32(sb->identity_kind);
	memcpy(d->identity, sb->identity, VAIO_SC_IDENTITY_LEN);
	memcpy(d->owner_host, sb->owner_host, VAIO_SC_ID_LEN);
	memcpy(d->owner_boot, sb->owner_boot, VAIO_SC_ID_LEN);
	d->owner_since = cpu_to_le64(sb->owner_since);
	d->state = cpu_to_le32(sb->state);
	d->flags = cpu_to_le32(sb->flags);
	generation_to_disk(&sb->current_gen, &d->current_gen);
	generation_to_disk(&sb->previous_gen, &d->previous_gen);
	generation_to_disk(&sb->alone_gen, &d->alone_gen);
	d->data_epoch = cpu_to_le64(sb->data_epoch);
	memcpy(d->cache_uuid, sb->cache_uuid, VAIO_SC_ID_LEN);
	d->cache_generation = cpu_to_le64(sb->cache_generation);
	for (i = 0; i < sb->nr_regions; i++) {
		d->regions[i].type = cpu_to_le32(sb->regions[i].type);
		d->regions[i].unit_shift = cpu_to_le32(sb->regions[i].unit_shift);
		d->regions[i].offset = cpu_to_le64(sb->regions[i].offset);
		d->regions[i].length = cpu_to_le64(sb->regions[i].length);
		d->regions[i].maps = cpu_to_le32(sb->regions[i].maps);
	}
	memcpy(d->tail, sb->tail, VAIO_SC_TAIL);
	d->crc = cpu_to_le32(super_crc(d));
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_encode);

static int decode_regions(const struct vaio_sc_disk_super *d, struct vaio_sc_super *sb,
			  char *reason, size_t len)
{
	u32 i;

	for (i = 0; i < VAIO_SC_REGIONS && d->regions[i].type; i++) {
		sb->regions[i].type = le32_to_cpu(d->regions[i].type);
		sb->regions[i].unit_shift = le32_to_cpu(d->regions[i].unit_shift);
		sb->regions[i].offset = le64_to_cpu(d->regions[i].offset);
		sb->regions[i].length = le64_to_cpu(d->regions[i].length);
		sb->regions[i].maps = le32_to_cpu(d->regions[i].maps);
		if (d->regions[i].reserved)
			return refuse(-EIO, reason, len, "region %u has reserved bytes set", i);
	}
	sb->nr_regions = i;
	if (!all_zero(&d->regions[i], (VAIO_SC_REGIONS - i) * sizeof(d->regions[0])))
		return refuse(-EIO, reason, len, "region table has a hole at entry %u", i);
	return 0;
}

int vaio_sc_decode(const void *block, unsigned int copy, u64 device_bytes,
		   struct vaio_sc_super *sb, char *reason, size_t len)
{
	const struct vaio_sc_disk_super *d = block;
	int err;

	memset(sb, 0, sizeof(*sb));
	switch (copy_state(d, copy)) {
	case COPY_ABSENT:
		return refuse(-ENODATA, reason, len, "holds no sidecar");
	case COPY_BAD:
		return refuse(-EIO, reason, len, "superblock %u is corrupt (CRC)", copy);
	case COPY_VALID:
		break;
	}
	if (le32_to_cpu(d->version) != VAIO_SC_VERSION)
		return refuse(-EPROTONOSUPPORT, reason, len,
			      "has version %u of the format, this program knows version %u",
			      le32_to_cpu(d->version), VAIO_SC_VERSION);
	sb->incompat = le64_to_cpu(d->incompat);
	if (sb->incompat & ~VAIO_SC_INCOMPAT_KNOWN)
		return refuse(-EPROTONOSUPPORT, reason, len,
			      "uses features 0x%llx that this program does not know",
			      sb->incompat & ~VAIO_SC_INCOMPAT_KNOWN);
	sb->sequence = le64_to_cpu(d->sequence);
	sb->compat = le64_to_cpu(d->compat);
	memcpy(sb->disk_uuid, d->disk_uuid, VAIO_SC_ID_LEN);
	memcpy(sb->sidecar_uuid, d->sidecar_uuid, VAIO_SC_ID_LEN);
	sb->page_seed = le64_to_cpu(d->page_seed);
	sb->created = le64_to_cpu(d->created);
	sb->written = le64_to_cpu(d->written);
	sb->sidecar_bytes = le64_to_cpu(d->sidecar_bytes);
	sb->backing_bytes = le64_to_cpu(d->backing_bytes);
	sb->disk_bytes = le64_to_cpu(d->disk_bytes);
	sb->block_size = le32_to_cpu(d->block_size);
	sb->identity_kind = le32_to_cpu(d->identity_kind);
	memcpy(sb->identity, d->identity, VAIO_SC_IDENTITY_LEN);
	memcpy(sb->owner_host, d->owner_host, VAIO_SC_ID_LEN);
	memcpy(sb->owner_boot, d->owner_boot, VAIO_SC_ID_LEN);
	sb->owner_since = le64_to_cpu(d->owner_since);
	sb->state = le32_to_cpu(d->state);
	sb->flags = le32_to_cpu(d->flags);
	generation_from_disk(&sb->current_gen, &d->current_gen);
	generation_from_disk(&sb->previous_gen, &d->previous_gen);
	generation_from_disk(&sb->alone_gen, &d->alone_gen);
	sb->data_epoch = le64_to_cpu(d->data_epoch);
	memcpy(sb->cache_uuid, d->cache_uuid, VAIO_SC_ID_LEN);
	sb->cache_generation = le64_to_cpu(d->cache_generation);
	memcpy(sb->tail, d->tail, VAIO_SC_TAIL);
	if (!all_zero(d->reserved, sizeof(d->reserved)))
		return refuse(-EIO, reason, len, "bytes in the reserved part of the superblock");
	err = decode_regions(d, sb, reason, len);
	if (err)
		return err;
	return vaio_sc_check(sb, device_bytes, reason, len);
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_decode);

/* --- is it the right one, and whose -------------------------------------- */

int vaio_sc_check_grow(const struct vaio_sc_super *sb, u64 disk_bytes, char *reason, size_t len)
{
	u64 capacity = vaio_sc_capacity(sb);

	if (disk_bytes % sb->block_size)
		return refuse(-EINVAL, reason, len, "the disk's %llu bytes are not whole blocks of %u",
			      disk_bytes, sb->block_size);
	if (disk_bytes < sb->disk_bytes)
		return refuse(-EINVAL, reason, len,
			      "the disk has %llu bytes but had %llu; a disk does not shrink",
			      disk_bytes, sb->disk_bytes);
	if (disk_bytes > capacity)
		return refuse(-ENOSPC, reason, len,
			      "has room for a disk of %llu bytes, not for %llu; format a larger one",
			      capacity, disk_bytes);
	return 0;
}

int vaio_sc_match(const struct vaio_sc_super *sb, const struct vaio_sc_expect *expect,
		  char *reason, size_t len)
{
	if (memcmp(sb->disk_uuid, expect->disk_uuid, VAIO_SC_ID_LEN)) {
		char is[VAIO_SC_UUID_TEXT], wanted[VAIO_SC_UUID_TEXT];

		vaio_sc_uuid_text(sb->disk_uuid, is);
		vaio_sc_uuid_text(expect->disk_uuid, wanted);
		return refuse(-EMEDIUMTYPE, reason, len, "belongs to disk UUID %s, not %s", is, wanted);
	}
	if (expect->identity) {
		char made[VAIO_SC_IDENTITY_TEXT];

		vaio_sc_identity_text(sb, made);
		if (strcmp(made, expect->identity))
			return refuse(-EMEDIUMTYPE, reason, len,
				      "backing device is '%s' but the sidecar was made for '%s'; `vaioctl sidecar adopt` mends it",
				      expect->identity, made);
	}
	if (expect->backing_bytes && expect->backing_bytes < sb->backing_bytes)
		return refuse(-EMEDIUMTYPE, reason, len,
			      "backing device has %llu bytes but the sidecar was made for %llu; `vaioctl sidecar adopt` mends it",
			      expect->backing_bytes, sb->backing_bytes);
	/* a file has no blocks of its own: its loop devices may have either size */
	if (expect->block_size && expect->block_size != sb->block_size &&
	    sb->identity_kind != VAIO_SC_ID_FILE)
		return refuse(-EMEDIUMTYPE, reason, len,
			      "the disk has blocks of %u bytes but the sidecar was made for %u; `vaioctl sidecar adopt` mends it",
			      expect->block_size, sb->block_size);
	if (expect->disk_bytes)
		return vaio_sc_check_grow(sb, expect->disk_bytes, reason, len);
	return 0;
}

int vaio_sc_own(struct vaio_sc_super *sb, const struct vaio_sc_host *me, enum vaio_sc_how how,
		u64 now, bool *unclean, char *reason, size_t len)
{
	bool mine = !memcmp(sb->owner_host, me->host, VAIO_SC_ID_LEN);
	char host[VAIO_SC_UUID_TEXT], other[VAIO_SC_TIME_TEXT + VAIO_SC_UUID_TEXT];

	vaio_sc_uuid_text(sb->owner_host, host);
	if (vaio_sc_id_is_nil(me->host))
		return refuse(-EINVAL, reason, len, "this host has no id");
	if (!mine && sb->state != VAIO_SC_CLEAN && how == VAIO_SC_OWN_NORMAL) {
		vaio_sc_time_text(sb->owner_since, other);
		return refuse(-EBUSY, reason, len, "owned by host %s since %s, state %s",
			      host, other, vaio_sc_state_name(sb->state));
	}
	if (!mine && (sb->flags & VAIO_SC_F_CACHE_DIRTY) && how != VAIO_SC_OWN_LOSE_DIRTY) {
		vaio_sc_uuid_text(sb->cache_uuid, other);
		return refuse(-EBUSY, reason, len,
			      "host %s has dirty blocks of this disk in cache %s, generation %llu; only `--lose-dirty-blocks` goes on without them",
			      host, other, sb->cache_generation);
	}
	*unclean = sb->state == VAIO_SC_ACTIVE;
	if ((sb->flags & VAIO_SC_F_CACHE_DIRTY) && how == VAIO_SC_OWN_LOSE_DIRTY) {
		sb->flags &= ~VAIO_SC_F_CACHE_DIRTY;
		sb->flags |= VAIO_SC_F_SOURCE_DAMAGED | VAIO_SC_F_MUST_COMPARE;
		memset(sb->cache_uuid, 0, VAIO_SC_ID_LEN);
		sb->cache_generation = 0;
	}
	memcpy(sb->owner_host, me->host, VAIO_SC_ID_LEN);
	memcpy(sb->owner_boot, me->boot, VAIO_SC_ID_LEN);
	sb->owner_since = now;
	sb->state = VAIO_SC_ACTIVE;
	sb->data_epoch++;
	return 0;
}

void vaio_sc_release(struct vaio_sc_super *sb)
{
	sb->state = VAIO_SC_CLEAN;
}

int vaio_sc_promise(struct vaio_sc_super *sb, const u8 *next_host, u64 now,
		    char *reason, size_t len)
{
	if (vaio_sc_id_is_nil(next_host))
		return refuse(-EINVAL, reason, len, "no host to promise the disk to");
	if (sb->flags & VAIO_SC_F_CACHE_DIRTY)
		return refuse(-EBUSY, reason, len, "the cache has dirty blocks of this disk");
	memcpy(sb->owner_host, next_host, VAIO_SC_ID_LEN);
	memset(sb->owner_boot, 0, VAIO_SC_ID_LEN);
	sb->owner_since = now;
	sb->state = VAIO_SC_STANDBY;
	return 0;
}

/* --- pages --------------------------------------------------------------- */

static u32 page_crc(const struct vaio_sc_disk_page *p)
{
	static const u8 zero[sizeof(p->crc)];
	u32 crc;

	crc = vaio_sc_crc32c(~0U, p->magic, sizeof(p->magic));
	crc = vaio_sc_crc32c(crc, zero, sizeof(zero));
	return ~vaio_sc_crc32c(crc, &p->sequence, VAIO_SC_PAGE - offsetof(struct vaio_sc_disk_page, sequence));
}

void vaio_sc_page_init(void *page, bool ones)
{
	struct vaio_sc_disk_page *p = page;

	memset(p, 0, sizeof(*p));
	if (ones)
		memset(p->bits, 0xff, sizeof(p->bits));
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_page_init);

void vaio_sc_page_seal(void *page, u64 page_seed, u32 type, u32 map, u64 index)
{
	struct vaio_sc_disk_page *p = page;

	memcpy(p->magic, VAIO_SC_PAGE_MAGIC, sizeof(p->magic));
	p->sequence = cpu_to_le64(le64_to_cpu(p->sequence) + 1);
	p->page_seed = cpu_to_le64(page_seed);
	p->type = cpu_to_le16(type);
	p->map = cpu_to_le16(map);
	p->index = cpu_to_le32(index);
	p->crc = cpu_to_le32(page_crc(p));
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_page_seal);

int vaio_sc_page_check(const void *page, u64 page_seed, u32 type, u32 map, u64 index)
{
	const struct vaio_sc_disk_page *p = page;

	if (memcmp(p->magic, VAIO_SC_PAGE_MAGIC, sizeof(p->magic)) ||
	    le64_to_cpu(p->page_seed) != page_seed ||
	    le16_to_cpu(p->type) != (u16)type || le16_to_cpu(p->map) != (u16)map ||
	    le32_to_cpu(p->index) != (u32)index ||
	    le32_to_cpu(p->crc) != page_crc(p))
		return -EBADMSG;
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(vaio_sc_page_check);
