// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

#define RING_MAGIC	0x52474156U	/* "VAGR" */
#define CLOCK_MAGIC	0x43474156U

/* Maps @size bytes of a file in the run directory, made when it is not there. */
static void *map_file(const char *name, size_t size, struct vr_err *e)
{
	char path[512];
	struct stat st;
	void *p = MAP_FAILED;
	int fd;

	snprintf(path, sizeof(path), "%.300s/%.150s", config.run, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && !fstat(fd, &st) && !ftruncate(fd, (off_t)size) && !posix_fallocate(fd, 0, (off_t)size))
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		vr_fail_errno(e, -errno, "%.200s", path);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

struct ring_state *ring_state_open(const char *group, const uint8_t *ring, struct vr_err *e)
{
	struct ring_state *s;
	char name[VAIO_NAME_LEN + 8];

	snprintf(name, sizeof(name), "%s.ring", group);
	s = map_file(name, sizeof(*s), e);
	if (!s)
		return NULL;
	if (s->magic == RING_MAGIC && s->size == sizeof(*s) && !memcmp(s->ring, ring, sizeof(s->ring)) &&
	    seqmap_valid(&s->map))
		return s;
	memset(s, 0, sizeof(*s));
	memcpy(s->ring, ring, sizeof(s->ring));
	s->size = sizeof(*s);
	__atomic_store_n(&s->magic, RING_MAGIC, __ATOMIC_RELEASE);
	return s;
}

struct clock_file {
	uint32_t magic, reserved;
	uint8_t boot[VAIO_RW_ID_LEN];
	int64_t offset;
};

int time_offset(const uint8_t *boot, int64_t *offset, struct vr_err *e)
{
	struct clock_file *c = map_file("clock", sizeof(*c), e);
	struct timespec t;

	if (!c)
		return -EIO;
	if (c->magic != CLOCK_MAGIC || memcmp(c->boot, boot, sizeof(c->boot))) {
		clock_gettime(CLOCK_REALTIME, &t);
		c->magic = 0;
		memcpy(c->boot, boot, sizeof(c->boot));
		c->offset = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec - (int64_t)mono_ns();
		__atomic_store_n(&c->magic, CLOCK_MAGIC, __ATOMIC_RELEASE);
	}
	*offset = c->offset;
	munmap(c, sizeof(*c));
	return 0;
}

/* --- past the ring ---------------------------------------------------------------------- */

static int random_id(uint8_t *id, struct vr_err *e)
{
	if (getrandom(id, VAIO_RW_ID_LEN, 0) != VAIO_RW_ID_LEN)
		return vr_fail_errno(e, -errno, "getrandom");
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	return 0;
}

int group_state_generation(struct group_state *s, uint64_t first, struct vr_err *e)
{
	struct vr_generation *g;
	struct timespec t;
	uint64_t counter = s->nr_generations ? s->generation[s->nr_generations - 1].counter + 1 : 1;

	/* A replica may have claimed one of which it was sent nothing; a list that does not rise is none. */
	if (s->nr_generations && first <= s->generation[s->nr_generations - 1].first_seq)
		first = s->generation[s->nr_generations - 1].first_seq + 1;
	if (first > VAIO_RW_MAX_SEQ)
		return vr_fail(e, -ERANGE, "no numbers are left for records of the group");
	if (s->nr_generations == VAIO_RW_MAX_GENERATIONS) {
		memmove(s->generation, s->generation + 1, sizeof(*g) * (VAIO_RW_MAX_GENERATIONS - 1));
		s->nr_generations--;
	}
	g = &s->generation[s->nr_generations];
	memset(g, 0, sizeof(*g));
	if (random_id(g->id, e))
		return -EIO;
	clock_gettime(CLOCK_REALTIME, &t);
	g->counter = counter;
	g->first_seq = first;
	g->time_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	s->nr_generations++;
	s->generation_used = false;
	return 0;
}

int group_state_adopt(struct group_state *s, const struct vr_generation *g, struct vr_err *e)
{
	const struct vr_generation *last = &s->generation[s->nr_generations - 1];

	for (unsigned int i = 0; i < s->nr_generations; i++)
		if (!memcmp(s->generation[i].id, g->id, sizeof(g->id)))
			return 0;
	if (g->counter != last->counter + 1 || g->first_seq <= last->first_seq)
		return vr_fail(e, -EINVAL, "generation %" PRIu64 " from record %" PRIu64 " on does not follow this host's %" PRIu64
			       " from %" PRIu64 " on", g->counter, g->first_seq, last->counter, last->first_seq);
	if (s->nr_generations == VAIO_RW_MAX_GENERATIONS) {
		memmove(s->generation, s->generation + 1, sizeof(*g) * (VAIO_RW_MAX_GENERATIONS - 1));
		s->nr_generations--;
	}
	s->generation[s->nr_generations++] = *g;
	s->generation_used = true;
	s->nr_trusted = 0;
	return 1;
}

int group_state_claim(const char *group, struct group_state *s, const uint8_t *host, const uint8_t *hardware, struct vr_err *e)
{
	bool other = !vr_is_nil(s->host) && memcmp(s->host, host, sizeof(s->host));
	bool moved = !vr_is_nil(s->hardware) && !vr_is_nil(hardware) && memcmp(s->hardware, hardware, sizeof(s->hardware));
	bool same = !memcmp(s->host, host, sizeof(s->host)) && (vr_is_nil(hardware) || !vr_is_nil(s->hardware));

	if (other || moved)
		return vr_fail(e, -EPERM, "%.100s/%.60s.json is another machine's (%s): if this one is a copy, remove the file; if it "
			       "takes its place, 'vaio-agent --take-over %.40s'", config.state, group, other ? "machine-id" :
			       "product_uuid", group);
	memcpy(s->host, host, sizeof(s->host));
	if (!vr_is_nil(hardware))
		memcpy(s->hardware, hardware, sizeof(s->hardware));
	return !same;
}

bool group_state_trusts(const struct group_state *s, const uint8_t *disk)
{
	for (unsigned int i = 0; i < s->nr_trusted; i++)
		if (!memcmp(s->trusted[i], disk, VAIO_RW_ID_LEN))
			return true;
	return false;
}

void group_state_trust(struct group_state *s, const uint8_t *disk, bool trust)
{
	for (unsigned int i = 0; i < s->nr_trusted; i++) {
		if (memcmp(s->trusted[i], disk, VAIO_RW_ID_LEN))
			continue;
		if (!trust)
			memmove(s->trusted[i], s->trusted[--s->nr_trusted], VAIO_RW_ID_LEN);
		return;
	}
	/* One that has no place is compared. */
	if (trust && s->nr_trusted < VAIO_RW_MAX_MEMBERS)
		memcpy(s->trusted[s->nr_trusted++], disk, VAIO_RW_ID_LEN);
}

static void state_path(const char *group, const char *suffix, char *path, size_t size)
{
	snprintf(path, size, "%.300s/%s.json%s", config.state, group, suffix);
}

static bool get_id(const json_t *j, uint8_t *id)
{
	return json_is_string(j) && uuid_bytes(json_string_value(j), id);
}

static bool get_number(json_t *j, const char *key, uint64_t max, uint64_t *n)
{
	json_t *v = json_object_get(j, key);

	*n = (uint64_t)json_integer_value(v);
	return json_is_integer(v) && json_integer_value(v) >= 0 && *n <= max;
}

static bool parse(json_t *j, struct group_state *s)
{
	json_t *list = json_object_get(j, "generations"), *one;
	size_t i;
	uint64_t version;

	if (!get_number(j, "version", 1, &version) || version != 1 || !get_id(json_object_get(j, "group"), s->uuid) ||
	    !get_id(json_object_get(j, "store"), s->store) || !get_number(j, "acked", VAIO_RW_MAX_SEQ, &s->acked) ||
	    !get_number(j, "given", VAIO_RW_MAX_SEQ, &s->given) || !json_array_size(list) ||
	    json_array_size(list) > VAIO_RW_MAX_GENERATIONS)
		return false;
	s->generation_used = json_is_true(json_object_get(j, "generation_used"));
	json_array_foreach(list, i, one) {
		struct vr_generation *g = &s->generation[s->nr_generations++];

		if (!get_id(json_object_get(one, "id"), g->id) || !get_number(one, "counter", VAIO_RW_MAX_SEQ, &g->counter) ||
		    !get_number(one, "first_seq", VAIO_RW_MAX_SEQ, &g->first_seq) || !g->first_seq || !g->counter ||
		    !get_number(one, "time_ns", INT64_MAX, &g->time_ns) ||
		    (i && (g->counter != g[-1].counter + 1 || g->first_seq <= g[-1].first_seq)))
			return false;
	}
	/* A file of an older agent has neither. */
	get_id(json_object_get(j, "host"), s->host);
	get_id(json_object_get(j, "hardware"), s->hardware);
	list = json_object_get(j, "trusted");
	json_array_foreach(list, i, one) {
		uint8_t id[VAIO_RW_ID_LEN];

		if (!get_id(one, id))
			return false;
		group_state_trust(s, id, true);
	}
	return true;
}

int group_state_read(const char *group, const uint8_t *fresh, struct group_state *s, struct vr_err *e)
{
	char path[400];
	json_error_t je;
	json_t *j;
	bool right;

	memset(s, 0, sizeof(*s));
	state_path(group, "", path, sizeof(path));
	if (access(path, F_OK) && errno == ENOENT) {
		memcpy(s->uuid, fresh, sizeof(s->uuid));
		return group_state_generation(s, 1, e) ? -EIO : group_state_write(group, s, e);
	}
	j = json_load_file(path, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return vr_fail(e, -EINVAL, "%.200s: %.100s: without it nobody knows the group's history; removing it begins a "
			       "new group at the replica", path, je.text);
	right = json_is_object(j) && parse(j, s);
	json_decref(j);
	return right ? 0 : vr_fail(e, -EINVAL, "%.200s: not what this agent writes there; removing it begins a new group at the "
				   "replica", path);
}

static json_t *id_json(const uint8_t *id)
{
	char text[37];

	uuid_text(id, text);
	return json_string(text);
}

int group_state_write(const char *group, const struct group_state *s, struct vr_err *e)
{
	json_t *generations = json_array(), *trusted = json_array(), *j;
	char path[400], tmp[400], *text;
	size_t len;
	int fd, dir, err = 0;

	for (unsigned int i = 0; i < s->nr_generations; i++) {
		const struct vr_generation *g = &s->generation[i];

		json_array_append_new(generations, json_pack("{s:o, s:I, s:I, s:I}", "id", id_json(g->id), "counter",
				      (json_int_t)g->counter, "first_seq", (json_int_t)g->first_seq, "time_ns",
				      (json_int_t)g->time_ns));
	}
	for (unsigned int i = 0; i < s->nr_trusted; i++)
		json_array_append_new(trusted, id_json(s->trusted[i]));
	j = json_pack("{s:i, s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:o, s:o}", "version", 1, "host", id_json(s->host), "hardware",
		      id_json(s->hardware), "group", id_json(s->uuid), "store",
		      id_json(s->store), "acked", (json_int_t)s->acked, "given", (json_int_t)s->given, "generation_used",
		      s->generation_used, "generations", generations, "trusted", trusted);
	text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	json_decref(j);
	if (!text)
		return vr_fail(e, -ENOMEM, "no memory");
	len = strlen(text);
	state_path(group, "", path, sizeof(path));
	state_path(group, ".new", tmp, sizeof(tmp));
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	dir = open(config.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || dir < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) || rename(tmp, path) || fsync(dir))
		err = vr_fail_errno(e, -errno ? -errno : -EIO, "%.200s", path);
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	free(text);
	return err;
}

int group_state_take_over(const char *group, struct vr_err *e)
{
	struct group_state *s = calloc(1, sizeof(*s));
	uint8_t none[VAIO_RW_ID_LEN] = { 0 };
	char path[400];
	int err;

	state_path(group, "", path, sizeof(path));
	if (!s)
		return vr_fail(e, -ENOMEM, "no memory");
	err = access(path, F_OK) ? vr_fail_errno(e, -errno, "%.200s", path) : group_state_read(group, none, s, e);
	if (!err) {
		memset(s->host, 0, sizeof(s->host));
		memset(s->hardware, 0, sizeof(s->hardware));
		/* What its disks have in common with the replica is not known. */
		s->nr_trusted = 0;
		err = group_state_write(group, s, e);
	}
	free(s);
	return err;
}
