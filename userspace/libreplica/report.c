// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "text.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *id_json(const uint8_t *id)
{
	char text[37], *t = text;

	for (int i = 0; i < 16; i++)
		t += sprintf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	return json_string(text);
}

json_t *vr_report_text(const char *text)
{
	char *copy = strdup(text);
	json_t *j;

	if (copy)
		vr_text_clean(copy);
	j = copy ? json_string(copy) : NULL;
	free(copy);
	return j;
}

const char *vr_checkpoint_kind_name(uint32_t kind)
{
	return kind == VAIO_RW_C_FILESYSTEM ? "filesystem" : kind == VAIO_RW_C_APPLICATION ? "application" : "crash";
}

uint32_t vr_checkpoint_kind(const char *name)
{
	for (uint32_t kind = VAIO_RW_C_CRASH; kind <= VAIO_RW_C_APPLICATION; kind++)
		if (!strcmp(name, vr_checkpoint_kind_name(kind)))
			return kind;
	return 0;
}

const char *vr_failover_name(uint32_t state)
{
	return state == VAIO_RS_COMMIT ? "commit" : state == VAIO_RS_FAILOVER ? "failover" : state == VAIO_RS_PERMANENT ? "permanent" :
	       state == VAIO_RS_FAILBACK ? "failback" : "ready";
}

static json_t *disks_json(struct vr_store *st)
{
	struct vr_history *h = vr_store_history(st);
	json_t *disks = json_array();

	for (unsigned int n = 0; h && n < h->nr_members; n++) {
		const struct vr_member *m = &h->members[n];

		if (!m->removed)
			json_array_append_new(disks, json_pack("{s:i, s:s, s:o, s:o, s:i}", "number", m->number, "name",
							       m->name, "uuid", id_json(m->disk), "size", number(m->size),
							       "block_size", m->block_size));
	}
	free(h);
	return disks;
}

static json_t *generation_json(const struct vr_info *i)
{
	if (!i->durable.last_seq)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "id", id_json(i->generation.id), "counter", number(i->generation.counter),
			 "first_seq", number(i->generation.first_seq));
}

json_t *vr_report_store(struct vr_store *st)
{
	struct vr_info i;
	uint64_t oldest = vr_store_oldest_ns(st);
	json_t *j;

	vr_store_info(st, &i);
	/* Of a name some may be cut. */
	vr_text_clean(i.held_by);
	j = json_pack("{s:o, s:s, s:o, s:s, s:o, s:s}", "uuid", id_json(i.group), "name", i.group_name, "disks",
		      disks_json(st), "failover", vr_failover_name(i.failover), "generation", generation_json(&i),
		      "source", i.source_name);
	if (!j)
		return NULL;
	json_object_update_new(j, json_pack("{s:o, s:o, s:o, s:o, s:o}", "oldest_seq", number(i.base.last_seq), "oldest_ns",
					    number(oldest), "durable_seq", number(i.durable.last_seq), "durable_ns",
					    number(i.durable.time_ns), "complete_seq", number(i.durable.complete_seq)));
	json_object_update_new(j, json_pack("{s:o, s:o}", "every_write_ns", number(i.every_write_ns), "interval_ns",
					    number(i.interval_ns)));
	json_object_update_new(j, json_pack("{s:o, s:o, s:o}", "history_ns",
					    number(oldest && i.durable.time_ns > oldest ? i.durable.time_ns - oldest : 0),
					    "retain_ns", number(i.retain_ns), "retain_bytes", number(i.retain_bytes)));
	json_object_update_new(j, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "journal_bytes", number(i.journal_bytes),
					    "index_bytes", number(i.index_bytes), "base_bytes", number(i.base_bytes),
					    "quota_bytes", number(i.quota_bytes), "free_bytes", number(i.free_bytes),
					    "reserve_bytes", number(i.reserve_bytes), "held_by", i.held_by));
	return j;
}

static int add_stretch(void *arg, const struct vr_stretch *s)
{
	json_array_append_new(arg, json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind",
					     s->kind & VAIO_RS_S_GAP ? "gap" : s->kind == VR_STRETCH_THINNED ? "thinned" :
					     s->kind ? "resync" : "complete", "first_seq",
					     number(s->first), "last_seq", number(s->last), "first_ns", number(s->first_ns),
					     "last_ns", number(s->last_ns)));
	return 0;
}

json_t *vr_report_point(const struct vr_point *p)
{
	return json_pack("{s:s, s:o, s:o, s:s, s:b}", "name", p->name, "seq", number(p->seq), "time_ns", number(p->time_ns),
			 "kind", vr_checkpoint_kind_name(p->kind), "pinned", p->pinned);
}

static int add_name(void *arg, const struct vr_point *p)
{
	json_array_append_new(arg, vr_report_point(p));
	return 0;
}

json_t *vr_report_points(struct vr_store *st, uint64_t before, unsigned int limit, struct vr_err *e)
{
	json_t *stretches = json_array(), *names = json_array();
	bool more[2] = { false, false };

	if (vr_store_stretches(st, before, limit, add_stretch, stretches, &more[0], e) ||
	    vr_store_names(st, before, limit, add_name, names, &more[1], e)) {
		json_decref(stretches);
		json_decref(names);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:b, s:b}", "stretches", stretches, "names", names, "more_stretches", more[0], "more_names",
			 more[1]);
}
