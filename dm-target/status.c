// SPDX-License-Identifier: GPL-2.0
/*
 * dmsetup status, table and message.
 *
 * Status, in this order (the target's version counts changes of it):
 *
 *	<disk state> <#slots> { <class> <filter> <slot state> <completed> <failed>
 *	<deferred> <parked> }*
 *
 * The table line can be loaded again. Filters' words are given back as they
 * came; a filter that needs a key takes the description of one, never the key.
 */
#include <linux/device-mapper.h>
#include <linux/slab.h>
#include "target.h"

#define DM_MSG_PREFIX "vaio"

static void emit_status(struct vaio_stack *stack, char *result, unsigned int maxlen)
{
	struct vaio_disk *disk = stack->disk;
	unsigned int sz = 0, n = 0;
	int c;

	mutex_lock(&disk->lock);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		n += !!disk->slots[c];
	DMEMIT("%s %u", vaio_disk_state_name(disk->state), n);
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		struct vaio_slot *slot = disk->slots[c];
		struct vaio_slot_stats sum;

		if (!slot)
			continue;
		vaio_slot_stats_sum(slot, &sum);
		DMEMIT(" %s %s %s %llu %llu %llu %d", vaio_class_name(c), slot->filter->name,
		       vaio_slot_state_name(slot->state), sum.completed, sum.failed,
		       sum.deferred, atomic_read(&slot->parked));
	}
	mutex_unlock(&disk->lock);
}

static unsigned int emit_pair(char *result, unsigned int maxlen, unsigned int sz,
			      const char *name, const char *value)
{
	/*
	 * As they are: libdevmapper quotes a backslash on its way in, and
	 * table.c lets no blank pass.
	 */
	DMEMIT(" %s %s", name, value);
	return sz;
}

static void emit_table(struct vaio_stack *stack, char *result, unsigned int maxlen)
{
	unsigned int sz = 0, features = 2, filters = 0, i;
	int c;

	features += stack->sidecar_path ? 2 : 0;
	features += stack->identity ? 2 : 0;
	features += stack->deny_cleartext ? 2 : 0;
	features += stack->latency ? 2 : 0;
	features += stack->takeover ? 2 : 0;
	features += stack->lose_dirty ? 2 : 0;
	DMEMIT("%s %llu %u uuid %pUb", stack->dev->name,
	       (unsigned long long)stack->geo.offset, features, &stack->geo.uuid);
	if (stack->sidecar_path)
		sz = emit_pair(result, maxlen, sz, "sidecar", stack->sidecar_path);
	if (stack->identity)
		sz = emit_pair(result, maxlen, sz, "identity", stack->identity);
	if (stack->deny_cleartext)
		sz = emit_pair(result, maxlen, sz, "cleartext_filters", "deny");
	if (stack->latency)
		sz = emit_pair(result, maxlen, sz, "latency", "on");
	if (stack->takeover)
		sz = emit_pair(result, maxlen, sz, "takeover", "yes");
	if (stack->lose_dirty)
		sz = emit_pair(result, maxlen, sz, "lose_dirty_blocks", "yes");

	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		filters += !!stack->cfg[c];
	DMEMIT(" %u", filters);
	for (c = 0; c < VAIO_MAX_SLOTS; c++) {
		const struct vaio_slot_cfg *cfg = stack->cfg[c];

		if (!cfg)
			continue;
		DMEMIT(" %s %u", cfg->filter->name, 2 * cfg->nr_props);
		for (i = 0; i < cfg->nr_props; i++)
			sz = emit_pair(result, maxlen, sz, cfg->props[i].name,
				       cfg->props[i].value);
	}
}

static void emit_ima(struct vaio_stack *stack, char *result, unsigned int maxlen)
{
	unsigned int sz = 0;
	int c;

	DMEMIT_TARGET_NAME_VERSION(stack->ti->type);
	DMEMIT(",device_name=%s,offset=%llu,uuid=%pUb,filters=", stack->dev->name,
	       (unsigned long long)stack->geo.offset, &stack->geo.uuid);
	for (c = 0; c < VAIO_MAX_SLOTS; c++)
		if (stack->cfg[c])
			DMEMIT("%s/", stack->cfg[c]->filter->name);
	DMEMIT(";");
}

/**
 * vaio_target_status - status() of the target
 * @ti: the target
 * @type: info, table or IMA
 * @flags: not used
 * @result: where to write
 * @maxlen: room in @result, bytes
 *
 * May sleep; never waits for I/O.
 */
void vaio_target_status(struct dm_target *ti, status_type_t type, unsigned int flags,
			char *result, unsigned int maxlen)
{
	struct vaio_stack *stack = ti->private;

	switch (type) {
	case STATUSTYPE_INFO:
		emit_status(stack, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		emit_table(stack, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		emit_ima(stack, result, maxlen);
		break;
	}
}

/* event <type> <phase> [<token of the prepare>] [<text>] */
static int message_event(struct vaio_disk *disk, unsigned int argc, char **argv,
			 char *result, unsigned int maxlen)
{
	unsigned int sz = 0, at = 3;
	int type, phase, r;
	u64 token = 0, of = 0;

	if (argc < 3) {
		DMERR("message: event <type> <phase> [<token>] [<text>]");
		return -EINVAL;
	}
	type = vaio_event_type_from_name(argv[1]);
	if (type < 0) {
		DMERR("message: event '%s' is not one of vm-start, vm-stop, snapshot, grow, migrate, revert, policy-changed",
		      argv[1]);
		return -EINVAL;
	}
	if (type == VAIO_EVENT_STATE || type == VAIO_EVENT_ATTACH || type == VAIO_EVENT_DETACH) {
		DMERR("message: event '%s' is posted by the framework only", argv[1]);
		return -EINVAL;
	}
	phase = vaio_event_phase_from_name(argv[2]);
	if (phase < 0) {
		DMERR("message: phase '%s' is not one of notify, prepare, commit, abort", argv[2]);
		return -EINVAL;
	}
	if (phase == VAIO_PHASE_COMMIT || phase == VAIO_PHASE_ABORT) {
		if (argc < 4 || kstrtou64(argv[3], 10, &of) || !of) {
			DMERR("message: '%s' needs the token that its prepare returned", argv[2]);
			return -EINVAL;
		}
		at = 4;
	}
	if (argc > at + 1) {
		DMERR("message: '%s': one word of text at most", argv[at + 1]);
		return -EINVAL;
	}
	r = vaio_event_post(disk, type, phase, argc > at ? argv[at] : "", 0, of, &token);
	if (r) {
		DMERR("message: event %s %s: error %d", argv[1], argv[2], r);
		return r;
	}
	DMEMIT("%llu", token);
	return 1;
}

/**
 * vaio_target_message - message() of the target
 * @ti: the target
 * @argc: number of words
 * @argv: the words
 * @result: where to write
 * @maxlen: room in @result, bytes
 *
 * Does what netlink does. Runs under the live table's SRCU: may sleep, never
 * waits for I/O or a filter. Return: 1 with an answer in @result, 0, or an errno.
 */
int vaio_target_message(struct dm_target *ti, unsigned int argc, char **argv,
			char *result, unsigned int maxlen)
{
	struct vaio_stack *stack = ti->private;
	char error[VAIO_REASON_LEN];
	int r;

	if (!argc) {
		DMERR("message: <filter> set <property> <value>, or event <type> <phase>");
		return -EINVAL;
	}
	if (!strcmp(argv[0], "event"))
		return message_event(stack->disk, argc, argv, result, maxlen);
	if (argc < 2 || strcmp(argv[1], "set")) {
		DMERR("message: '%s' is not a verb of a filter; accepted is: set <property> <value>",
		      argc > 1 ? argv[1] : "");
		return -EINVAL;
	}
	if (argc != 4) {
		DMERR("message: %s set takes a property and a value", argv[0]);
		return -EINVAL;
	}
	r = vaio_disk_set(stack->disk, argv[0], argv[2], argv[3], error, sizeof(error));
	if (r)
		DMERR("message: %s set %s: %s", argv[0], argv[2], error);
	return r;
}
