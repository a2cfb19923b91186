// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink family "vaio": Documentation/netlink/vaio.yaml.
 *
 * No handler waits for I/O: the longest it waits is for disk->lock.
 *
 * Attributes are checked by the policies for type and length. What has names for
 * people (an event's type, its phase, a range) is checked by the handler, whose
 * message can say them.
 */
#include <linux/netlink.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <net/genetlink.h>
#include "core.h"
#include "nl.h"

enum { VAIO_NL_GROUP_EVENTS };

static struct genl_family vaio_family;
static DEFINE_SPINLOCK(ntf_lock);	/* order of sequence numbers is order of sending */
static u32 ntf_seq;

/* Where a dump goes on. Not an index: disks and filters come and go between two parts. */
struct dump_pos {
	bool	begun;
	union {
		uuid_t	uuid;
		struct {
			u8	class;
			char	name[VAIO_NAME_LEN];
		} filter;
		char	domain[VAIO_NAME_LEN];
	};
};
static_assert(sizeof(struct dump_pos) <= sizeof(((struct netlink_callback *)NULL)->ctx));

static struct dump_pos *dump_pos(struct netlink_callback *cb)
{
	return (struct dump_pos *)cb->ctx;
}

/* The disk with the next higher UUID, with a reference; NULL at the end. */
static struct vaio_disk *next_disk(const struct dump_pos *pos)
{
	struct vaio_disk *disk, *best = NULL;

	mutex_lock(&vaio_disks_lock);
	list_for_each_entry(disk, &vaio_disks, list) {
		if (pos->begun && memcmp(&disk->uuid, &pos->uuid, sizeof(uuid_t)) <= 0)
			continue;
		if (!best || memcmp(&disk->uuid, &best->uuid, sizeof(uuid_t)) < 0)
			best = disk;
	}
	if (best)
		vaio_disk_get(best);
	mutex_unlock(&vaio_disks_lock);
	return best;
}

static void pass_disk(struct dump_pos *pos, const struct vaio_disk *disk)
{
	pos->begun = true;
	uuid_copy(&pos->uuid, &disk->uuid);
}

/* For a string that may be absent. */
static int put_some(struct sk_buff *skb, int attr, const char *text)
{
	return *text ? nla_put_string(skb, attr, text) : 0;
}

static int put_dev(struct sk_buff *skb, int attr, dev_t dev)
{
	return nla_put_u64_64bit(skb, attr, (u64)MAJOR(dev) << 32 | MINOR(dev), VAIO_A_DISK_PAD);
}

static int put_text(struct sk_buff *skb, int attr, struct vaio_slot *slot,
		    void (*hook)(struct vaio_slot *slot, struct vaio_text *text))
{
	struct vaio_nl_text t = {
		.text.add = vaio_nl_text_add,
		.skb = skb,
		.attr = attr,
	};

	if (hook)
		hook(slot, &t.text);
	return t.full ? -EMSGSIZE : 0;
}

/* --- host and filters -------------------------------------------------------- */

static int fill_host(struct sk_buff *skb, void *obj)
{
	if (nla_put_string(skb, VAIO_A_HOST_VERSION, VAIO_VERSION) ||
	    nla_put_u8(skb, VAIO_A_HOST_EXCLUSIVE, vaio_exclusive_classes()) ||
	    nla_put_u32(skb, VAIO_A_HOST_FILTERS, vaio_filter_count()) ||
	    nla_put_u32(skb, VAIO_A_HOST_DISKS, vaio_disk_count()))
		return -EMSGSIZE;
	return 0;
}

static int vaio_nl_host_get(struct sk_buff *skb, struct genl_info *info)
{
	return vaio_nl_reply(&vaio_family, info, VAIO_CMD_HOST_GET, fill_host, NULL);
}

/* A filter's words, copied: its module may go while they are sent. */
struct filter_copy {
	const struct vaio_filter *filter;	/* to compare, not to follow */
	struct dump_pos	pos;
	char		vendor[VAIO_VALUE_LEN];
	char		version[VAIO_VALUE_LEN];
	char		summary[VAIO_VALUE_LEN];
	u32		caps;
	u32		slots;
};

/* The first filter after copy->pos. */
static int copy_next_filter(const struct vaio_filter *filter, void *arg)
{
	struct filter_copy *copy = arg;
	const struct dump_pos *pos = &copy->pos;

	if (pos->begun && (filter->class < pos->filter.class ||
			   (filter->class == pos->filter.class &&
			    strcmp(filter->name, pos->filter.name) <= 0)))
		return 0;
	copy->filter = filter;
	copy->pos.begun = true;
	copy->pos.filter.class = filter->class;
	strscpy(copy->pos.filter.name, filter->name, sizeof(copy->pos.filter.name));
	strscpy(copy->vendor, filter->vendor, sizeof(copy->vendor));
	strscpy(copy->version, filter->version, sizeof(copy->version));
	strscpy(copy->summary, filter->summary, sizeof(copy->summary));
	copy->caps = filter->caps;
	return 1;
}

static u32 count_slots(const struct vaio_filter *filter, enum vaio_class class)
{
	struct dump_pos pos = {};
	struct vaio_disk *disk;
	u32 n = 0;

	while ((disk = next_disk(&pos))) {
		mutex_lock(&disk->lock);
		if (disk->slots[class] && disk->slots[class]->filter == filter)
			n++;
		mutex_unlock(&disk->lock);
		pass_disk(&pos, disk);
		vaio_disk_put(disk);
	}
	return n;
}

static int fill_filter(struct sk_buff *skb, void *obj)
{
	struct filter_copy *copy = obj;

	if (nla_put_string(skb, VAIO_A_FILTER_NAME, copy->pos.filter.name) ||
	    nla_put_string(skb, VAIO_A_FILTER_VENDOR, copy->vendor) ||
	    nla_put_string(skb, VAIO_A_FILTER_VERSION, copy->version) ||
	    nla_put_u32(skb, VAIO_A_FILTER_CLASS, copy->pos.filter.class) ||
	    nla_put_string(skb, VAIO_A_FILTER_SUMMARY, copy->summary) ||
	    nla_put_u32(skb, VAIO_A_FILTER_CAPS, copy->caps) ||
	    nla_put_u32(skb, VAIO_A_FILTER_SLOTS, copy->slots))
		return -EMSGSIZE;
	return 0;
}

static int vaio_nl_filter_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct filter_copy *copy = kmalloc(sizeof(*copy), GFP_KERNEL);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	copy->pos = *dump_pos(cb);
	while (vaio_filter_walk(copy_next_filter, copy) > 0) {
		copy->slots = count_slots(copy->filter, copy->pos.filter.class);
		err = vaio_nl_dump_message(&vaio_family, skb, cb, VAIO_CMD_FILTER_GET,
					   fill_filter, copy);
		if (err)
			break;
		*dump_pos(cb) = copy->pos;
	}
	kfree(copy);
	return skb->len ? skb->len : err;
}

/* --- disks -------------------------------------------------------------------- */

/* The disk that a request names, by UUID or by name, with a reference. */
static struct vaio_disk *find_disk(struct genl_info *info, int uuid_attr, int name_attr)
{
	const struct nlattr *by_uuid = info->attrs[uuid_attr], *by_name = info->attrs[name_attr];
	struct vaio_disk *disk;
	uuid_t uuid;

	if (!by_uuid == !by_name)
		return ERR_PTR(vaio_nl_refuse(info->extack, by_name, -EINVAL, by_uuid ?
					      "the disk is named twice: give its uuid or its name" :
					      "no disk is named: give its uuid or its name"));
	if (by_name) {
		disk = vaio_disk_find_name(nla_data(by_name));
		if (disk)
			return disk;
		return ERR_PTR(vaio_nl_refuse(info->extack, by_name, -ENODEV, "no disk '%s'",
					      (char *)nla_data(by_name)));
	}
	if (uuid_parse(nla_data(by_uuid), &uuid))
		return ERR_PTR(vaio_nl_refuse(info->extack, by_uuid, -EINVAL, "'%s' is not a UUID",
					      (char *)nla_data(by_uuid)));
	disk = vaio_disk_find(&uuid);
	if (!disk)
		return ERR_PTR(vaio_nl_refuse(info->extack, by_uuid, -ENODEV,
					      "no disk with UUID %pUb", &uuid));
	return disk;
}

static int dump_disks(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd,
		      vaio_nl_fill_fn fill)
{
	struct dump_pos *pos = dump_pos(cb);
	struct vaio_disk *disk;
	int err = 0;

	while (!err && (disk = next_disk(pos))) {
		err = vaio_nl_dump_message(&vaio_family, skb, cb, cmd, fill, disk);
		if (!err)
			pass_disk(pos, disk);
		vaio_disk_put(disk);
	}
	return skb->len ? skb->len : err;
}

static int fill_slot(struct sk_buff *skb, struct vaio_slot *slot)
{
	struct nlattr *nest = nla_nest_start(skb, VAIO_A_DISK_SLOT);

	if (!nest || nla_put_string(skb, VAIO_A_SLOT_FILTER, slot->filter->name) ||
	    nla_put_u32(skb, VAIO_A_SLOT_CLASS, slot->filter->class) ||
	    nla_put_string(skb, VAIO_A_SLOT_STATE, vaio_slot_state_name(slot->state)) ||
	    put_text(skb, VAIO_A_SLOT_PROPERTY, slot, slot->filter->show))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int fill_disk(struct sk_buff *skb, void *obj)
{
	struct vaio_disk *disk = obj;
	int i, err = -EMSGSIZE;

	mutex_lock(&disk->lock);
	if (vaio_nl_put_uuid(skb, VAIO_A_DISK_UUID, &disk->uuid) ||
	    nla_put_string(skb, VAIO_A_DISK_NAME, disk->name) ||
	    put_dev(skb, VAIO_A_DISK_DEV, disk->dev) ||
	    nla_put_string(skb, VAIO_A_DISK_BACKING, disk->backing) ||
	    put_dev(skb, VAIO_A_DISK_BACKING_DEV, disk->backing_dev) ||
	    nla_put_u64_64bit(skb, VAIO_A_DISK_OFFSET, disk->offset, VAIO_A_DISK_PAD) ||
	    nla_put_u64_64bit(skb, VAIO_A_DISK_SECTORS, disk->sectors, VAIO_A_DISK_PAD) ||
	    nla_put_u32(skb, VAIO_A_DISK_BLOCK_SIZE, disk->block_size) ||
	    nla_put_u32(skb, VAIO_A_DISK_STATE, disk->state) ||
	    put_some(skb, VAIO_A_DISK_REASON, disk->reason) ||
	    put_some(skb, VAIO_A_DISK_SIDECAR, disk->sidecar_path))
		goto out;
	for (i = 0; i < VAIO_MAX_SLOTS; i++)
		if (disk->slots[i] && fill_slot(skb, disk->slots[i]))
			goto out;
	err = 0;
out:
	mutex_unlock(&disk->lock);
	return err;
}

static int vaio_nl_disk_get(struct sk_buff *skb, struct genl_info *info)
{
	struct vaio_disk *disk = find_disk(info, VAIO_A_DISK_UUID, VAIO_A_DISK_NAME);
	int err;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	err = vaio_nl_reply(&vaio_family, info, VAIO_CMD_DISK_GET, fill_disk, disk);
	vaio_disk_put(disk);
	return err;
}

static int vaio_nl_disk_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_disks(skb, cb, VAIO_CMD_DISK_GET, fill_disk);
}

static int vaio_nl_disk_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *filter = info->attrs[VAIO_A_DISK_SLOT_FILTER];
	struct nlattr *property = info->attrs[VAIO_A_DISK_PROPERTY];
	char why[VAIO_REASON_LEN] = "";
	const char *name, *value;
	struct vaio_disk *disk;
	int err;

	if (!filter)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no filter is named");
	if (!property)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no property is given");
	err = vaio_nl_get_pair(property, &name, &value, info->extack);
	if (err)
		return err;

	disk = find_disk(info, VAIO_A_DISK_UUID, VAIO_A_DISK_NAME);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	err = vaio_disk_set(disk, nla_data(filter), name, value, why, sizeof(why));
	vaio_disk_put(disk);
	if (err)
		vaio_nl_refuse(info->extack, property, err, "%s", why);
	return err;
}

/* --- statistics ----------------------------------------------------------------- */

static int fill_kind(struct sk_buff *skb, const struct vaio_kind_stats *stats, int kind)
{
	struct nlattr *nest = nla_nest_start(skb, VAIO_A_STATS_KIND);

	if (!nest || nla_put_u32(skb, VAIO_A_KSTATS_KIND, kind) ||
	    nla_put_u64_64bit(skb, VAIO_A_KSTATS_COUNT, stats->count, VAIO_A_KSTATS_PAD) ||
	    nla_put_u64_64bit(skb, VAIO_A_KSTATS_BYTES, stats->bytes, VAIO_A_KSTATS_PAD) ||
	    nla_put_u64_64bit(skb, VAIO_A_KSTATS_FAILED, stats->failed, VAIO_A_KSTATS_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int fill_slot_stats(struct sk_buff *skb, struct vaio_slot *slot)
{
	struct nlattr *nest = nla_nest_start(skb, VAIO_A_STATS_SLOT);
	const int pad = VAIO_A_SSTATS_PAD;
	struct vaio_slot_stats sum;

	vaio_slot_stats_sum(slot, &sum);
	if (!nest || nla_put_string(skb, VAIO_A_SSTATS_FILTER, slot->filter->name) ||
	    nla_put_u64_64bit(skb, VAIO_A_SSTATS_COMPLETED, sum.completed, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_SSTATS_FAILED, sum.failed, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_SSTATS_DEFERRED, sum.deferred, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_SSTATS_PARKED, atomic_read(&slot->parked), pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_SSTATS_OWN_IO, sum.own_io, pad) ||
	    nla_put(skb, VAIO_A_SSTATS_DEFER_LATENCY, sizeof(sum.defer_hist), sum.defer_hist) ||
	    put_text(skb, VAIO_A_SSTATS_COUNTER, slot, slot->filter->stats))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int fill_stats(struct sk_buff *skb, void *obj)
{
	struct vaio_disk *disk = obj;
	struct vaio_stack_stats sum;
	int i, err = -EMSGSIZE;

	vaio_stack_stats_sum(disk, &sum);
	mutex_lock(&disk->lock);
	if (vaio_nl_put_uuid(skb, VAIO_A_STATS_UUID, &disk->uuid) ||
	    nla_put_string(skb, VAIO_A_STATS_NAME, disk->name))
		goto out;
	for (i = 0; i < __VAIO_KIND_COUNT; i++)
		if (fill_kind(skb, &sum.kind[i], i))
			goto out;
	if (memchr_inv(sum.hist, 0, sizeof(sum.hist)) &&
	    nla_put(skb, VAIO_A_STATS_LATENCY, sizeof(sum.hist), sum.hist))
		goto out;
	for (i = 0; i < VAIO_MAX_SLOTS; i++)
		if (disk->slots[i] && fill_slot_stats(skb, disk->slots[i]))
			goto out;
	err = 0;
out:
	mutex_unlock(&disk->lock);
	return err;
}

static int vaio_nl_stats_get(struct sk_buff *skb, struct genl_info *info)
{
	struct vaio_disk *disk = find_disk(info, VAIO_A_STATS_UUID, VAIO_A_STATS_NAME);
	int err;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	err = vaio_nl_reply(&vaio_family, info, VAIO_CMD_STATS_GET, fill_stats, disk);
	vaio_disk_put(disk);
	return err;
}

static int vaio_nl_stats_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_disks(skb, cb, VAIO_CMD_STATS_GET, fill_stats);
}

/* --- events ---------------------------------------------------------------------- */

static int fill_event(struct sk_buff *skb, void *obj)
{
	const struct vaio_event_info *event = obj;
	const int pad = VAIO_A_EVENT_PAD;

	if (nla_put_u64_64bit(skb, VAIO_A_EVENT_TOKEN, event->token, pad) ||
	    vaio_nl_put_uuid(skb, VAIO_A_EVENT_UUID, &event->uuid) ||
	    nla_put_string(skb, VAIO_A_EVENT_NAME, event->name) ||
	    nla_put_u32(skb, VAIO_A_EVENT_TYPE, event->type) ||
	    nla_put_u32(skb, VAIO_A_EVENT_PHASE, event->phase) ||
	    nla_put_u32(skb, VAIO_A_EVENT_STATUS, event->status) ||
	    (event->deadline_ms &&
	     nla_put_u32(skb, VAIO_A_EVENT_DEADLINE_MS, event->deadline_ms)) ||
	    put_some(skb, VAIO_A_EVENT_FILTER, event->filter) ||
	    (event->error && nla_put_s32(skb, VAIO_A_EVENT_ERROR, event->error)) ||
	    put_some(skb, VAIO_A_EVENT_REASON, event->reason) ||
	    put_some(skb, VAIO_A_EVENT_ARG, event->arg) ||
	    nla_put_u64_64bit(skb, VAIO_A_EVENT_TIME_NS, event->time_ns, pad))
		return -EMSGSIZE;
	return 0;
}

struct numbered_event {
	const struct vaio_event_info *event;
	u32 seq;
};

static int fill_numbered_event(struct sk_buff *skb, void *obj)
{
	const struct numbered_event *numbered = obj;

	if (nla_put_u32(skb, VAIO_A_EVENT_SEQ, numbered->seq))
		return -EMSGSIZE;
	return fill_event(skb, (void *)numbered->event);
}

/**
 * vaio_netlink_notify - tell the listeners how an event is
 * @info: the event
 *
 * Never waits, for the event may be what keeps I/O and so memory waiting. When
 * there is no memory, listeners see a gap in the sequence and can ask for the
 * event. Context: any but hard interrupts.
 */
void vaio_netlink_notify(const struct vaio_event_info *info)
{
	struct numbered_event numbered = { .event = info };
	struct sk_buff *skb = nlmsg_new(NLMSG_GOODSIZE, GFP_NOWAIT | __GFP_NOWARN);

	spin_lock_bh(&ntf_lock);
	numbered.seq = ++ntf_seq;
	if (skb && vaio_nl_put_message(&vaio_family, skb, 0, 0, 0, VAIO_CMD_EVENT_NTF,
				       fill_numbered_event, &numbered)) {
		nlmsg_free(skb);
		skb = NULL;
	}
	/* it fails when nobody listens */
	if (skb)
		genlmsg_multicast(&vaio_family, skb, 0, VAIO_NL_GROUP_EVENTS, GFP_ATOMIC);
	spin_unlock_bh(&ntf_lock);
}

static int read_type(struct genl_info *info, enum vaio_event_type *type)
{
	const struct nlattr *attr = info->attrs[VAIO_A_EVENT_TYPE];

	if (!attr)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no type of event is given");
	*type = nla_get_u32(attr);
	if (*type >= __VAIO_EVENT_COUNT)
		return vaio_nl_refuse(info->extack, attr, -EINVAL,
				      "no type of event %u: %u (%s) to %u (%s)",
				      *type, VAIO_EVENT_VM_START,
				      vaio_event_type_name(VAIO_EVENT_VM_START),
				      VAIO_EVENT_POLICY_CHANGED,
				      vaio_event_type_name(VAIO_EVENT_POLICY_CHANGED));
	if (*type == VAIO_EVENT_STATE || *type == VAIO_EVENT_ATTACH || *type == VAIO_EVENT_DETACH)
		return vaio_nl_refuse(info->extack, attr, -EINVAL,
				      "event '%s' is posted by the framework only",
				      vaio_event_type_name(*type));
	return 0;
}

static int read_phase(struct genl_info *info, enum vaio_event_type type,
		      enum vaio_event_phase *phase)
{
	const struct nlattr *attr = info->attrs[VAIO_A_EVENT_PHASE];

	*phase = VAIO_PHASE_NOTIFY;
	if (attr)
		*phase = nla_get_u32(attr);
	if (*phase >= __VAIO_PHASE_COUNT)
		return vaio_nl_refuse(info->extack, attr, -EINVAL,
				      "no phase %u: 0 (notify), 1 (prepare), 2 (commit), 3 (abort)",
				      *phase);
	if (*phase != VAIO_PHASE_NOTIFY && !vaio_event_can_prepare(type))
		return vaio_nl_refuse(info->extack, attr, -EINVAL,
				      "event '%s' has no phase '%s', only 'notify'; snapshot, grow and migrate have",
				      vaio_event_type_name(type), vaio_event_phase_name(*phase));
	return 0;
}

/* The attributes that go with one phase only. */
static int read_phase_args(struct genl_info *info, enum vaio_event_phase phase,
			   u32 *deadline_ms, u64 *prepare)
{
	const struct nlattr *deadline = info->attrs[VAIO_A_EVENT_DEADLINE_MS];
	const struct nlattr *token = info->attrs[VAIO_A_EVENT_TOKEN];
	const struct nlattr *arg = info->attrs[VAIO_A_EVENT_ARG];
	bool ends = phase == VAIO_PHASE_COMMIT || phase == VAIO_PHASE_ABORT;

	*deadline_ms = deadline ? nla_get_u32(deadline) : 0;
	*prepare = token ? nla_get_u64(token) : 0;
	if (deadline && phase != VAIO_PHASE_PREPARE)
		return vaio_nl_refuse(info->extack, deadline, -EINVAL,
				      "only phase 'prepare' has a deadline");
	if (deadline && (*deadline_ms < VAIO_EVENT_DEADLINE_MIN ||
			 *deadline_ms > VAIO_EVENT_DEADLINE_MAX))
		return vaio_nl_refuse(info->extack, deadline, -ERANGE,
				      "deadline of %u ms: %u to %u",
				      *deadline_ms, VAIO_EVENT_DEADLINE_MIN,
				      VAIO_EVENT_DEADLINE_MAX);
	if (ends && !*prepare)
		return vaio_nl_refuse(info->extack, token, -EINVAL,
				      "phase '%s' needs the token of its prepare",
				      vaio_event_phase_name(phase));
	if (!ends && token)
		return vaio_nl_refuse(info->extack, token, -EINVAL,
				      "phase '%s' gets a token, only 'commit' and 'abort' take one",
				      vaio_event_phase_name(phase));
	if (ends && arg)
		return vaio_nl_refuse(info->extack, arg, -EINVAL, "phase '%s' takes no argument",
				      vaio_event_phase_name(phase));
	return 0;
}

/* Why vaio_event_post() said no, for people. */
static int refuse_post(struct genl_info *info, int err, enum vaio_event_type type,
		       enum vaio_event_phase phase, u64 token)
{
	const struct nlattr *attr = info->attrs[VAIO_A_EVENT_TOKEN];
	const char *name = vaio_event_type_name(type);

	switch (err) {
	case -ENOENT:
		return vaio_nl_refuse(info->extack, attr, err,
				      "this disk has no prepare '%s' with token %llu",
				      name, token);
	case -EALREADY:
		return vaio_nl_refuse(info->extack, attr, err,
				      "prepare '%s' with token %llu has ended already",
				      name, token);
	case -EBUSY:
		if (phase == VAIO_PHASE_COMMIT)
			return vaio_nl_refuse(info->extack, attr, err,
					      "prepare '%s' with token %llu is not accepted yet",
					      name, token);
		if (token)
			return vaio_nl_refuse(info->extack, NULL, err,
					      "the disk has a prepare '%s' with token %llu that has not ended",
					      name, token);
		return vaio_nl_refuse(info->extack, NULL, err,
				      "the disk has too many events that have not ended");
	default:
		return err;
	}
}

static int vaio_nl_event_post(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *arg = info->attrs[VAIO_A_EVENT_ARG];
	struct vaio_event_info *event;
	enum vaio_event_phase phase;
	enum vaio_event_type type;
	struct vaio_disk *disk;
	u64 prepare, token;
	u32 deadline_ms;
	int err;

	err = read_type(info, &type);
	if (!err)
		err = read_phase(info, type, &phase);
	if (!err)
		err = read_phase_args(info, phase, &deadline_ms, &prepare);
	if (err)
		return err;
	event = kzalloc(sizeof(*event), GFP_KERNEL);
	if (!event)
		return -ENOMEM;
	disk = find_disk(info, VAIO_A_EVENT_UUID, VAIO_A_EVENT_NAME);
	if (IS_ERR(disk)) {
		kfree(event);
		return PTR_ERR(disk);
	}
	err = vaio_event_post(disk, type, phase, arg ? nla_data(arg) : "", deadline_ms, prepare,
			      &token);
	if (err) {
		err = refuse_post(info, err, type, phase, token);
	} else if (vaio_event_find(token, event)) {
		/* a thousand others have ended since */
		event->token = token;
		uuid_copy(&event->uuid, &disk->uuid);
		event->type = type;
		event->phase = phase;
	}
	vaio_disk_put(disk);
	if (!err)
		err = vaio_nl_reply(&vaio_family, info, VAIO_CMD_EVENT_POST, fill_event, event);
	kfree(event);
	return err;
}

static int vaio_nl_event_get(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[VAIO_A_EVENT_TOKEN];
	struct vaio_event_info *event;
	int err;

	if (!attr)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no token is given");
	event = kmalloc(sizeof(*event), GFP_KERNEL);
	if (!event)
		return -ENOMEM;
	err = vaio_event_find(nla_get_u64(attr), event);
	if (err)
		vaio_nl_refuse(info->extack, attr, err,
			       "no event with token %llu, or it ended a minute ago",
			       nla_get_u64(attr));
	else
		err = vaio_nl_reply(&vaio_family, info, VAIO_CMD_EVENT_GET, fill_event, event);
	kfree(event);
	return err;
}

/* --- domains ----------------------------------------------------------------------- */

static int fill_domain(struct sk_buff *skb, void *obj)
{
	const struct vaio_domain_info *d = obj;
	const int pad = VAIO_A_DOMAIN_PAD;

	if (nla_put_string(skb, VAIO_A_DOMAIN_NAME, d->name) ||
	    nla_put_u32(skb, VAIO_A_DOMAIN_DISKS, d->disks) ||
	    nla_put_u32(skb, VAIO_A_DOMAIN_WINDOW, d->window) ||
	    nla_put_u32(skb, VAIO_A_DOMAIN_IN_FLIGHT, d->in_flight) ||
	    nla_put_u32(skb, VAIO_A_DOMAIN_QUEUED, d->queued) ||
	    nla_put_u8(skb, VAIO_A_DOMAIN_CONTENDED, d->contended) ||
	    nla_put_u8(skb, VAIO_A_DOMAIN_ROTATIONAL, d->rotational) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_LATENCY_NS, d->latency_ns, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_THRESHOLD_NS, d->threshold_ns, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_THRESHOLD_SET_NS, d->threshold_set_ns, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_CAPACITY_IOPS, d->capacity_iops, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_CAPACITY_BYTES, d->capacity_bytes, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_RESERVED_IOPS, d->reserved_iops, pad) ||
	    nla_put_u64_64bit(skb, VAIO_A_DOMAIN_RESERVED_BYTES, d->reserved_bytes, pad))
		return -EMSGSIZE;
	return 0;
}

static int vaio_nl_domain_get(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *name = info->attrs[VAIO_A_DOMAIN_NAME];
	struct vaio_domain_info domain;

	if (!name)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no domain is named");
	if (vaio_domain_get(nla_data(name), &domain))
		return vaio_nl_refuse(info->extack, name, -ENODEV, "no domain '%s'",
				      (char *)nla_data(name));
	return vaio_nl_reply(&vaio_family, info, VAIO_CMD_DOMAIN_GET, fill_domain, &domain);
}

static int vaio_nl_domain_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	char *after = dump_pos(cb)->domain;
	struct vaio_domain_info domain;
	int err = 0;

	while (!err && !vaio_domain_next(after, &domain)) {
		err = vaio_nl_dump_message(&vaio_family, skb, cb, VAIO_CMD_DOMAIN_GET,
					   fill_domain, &domain);
		if (!err)
			strscpy(after, domain.name, VAIO_NAME_LEN);
	}
	return skb->len ? skb->len : err;
}

static u64 given_u64(struct genl_info *info, int attr, bool *given)
{
	*given = info->attrs[attr];
	return *given ? nla_get_u64(info->attrs[attr]) : 0;
}

static int vaio_nl_domain_set(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *name = info->attrs[VAIO_A_DOMAIN_NAME];
	struct vaio_domain_change change;
	char *why = NULL;
	int err;

	if (!name)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL, "no domain is named");
	change.name = nla_data(name);
	change.threshold_ns = given_u64(info, VAIO_A_DOMAIN_THRESHOLD_SET_NS,
					&change.has_threshold);
	change.capacity_iops = given_u64(info, VAIO_A_DOMAIN_CAPACITY_IOPS,
					 &change.has_capacity_iops);
	change.capacity_bytes = given_u64(info, VAIO_A_DOMAIN_CAPACITY_BYTES,
					  &change.has_capacity_bytes);
	if (!change.has_threshold && !change.has_capacity_iops && !change.has_capacity_bytes)
		return vaio_nl_refuse(info->extack, NULL, -EINVAL,
				      "nothing to set: threshold or capacity is wanted");
	err = vaio_domain_set(&change, &why);
	if (err)
		vaio_nl_refuse(info->extack, name, err, "%s", why ?: "the filter gave no reason");
	return err;
}

/* --- family ------------------------------------------------------------------------ */

#define UUID_POLICY	{ .type = NLA_NUL_STRING, .len = VAIO_UUID_STR_LEN - 1 }
#define NAME_POLICY	{ .type = NLA_NUL_STRING, .len = VAIO_DEVNAME_LEN - 1 }

static const struct nla_policy disk_get_policy[VAIO_A_DISK_NAME + 1] = {
	[VAIO_A_DISK_UUID]	= UUID_POLICY,
	[VAIO_A_DISK_NAME]	= NAME_POLICY,
};

static const struct nla_policy disk_set_policy[VAIO_A_DISK_PROPERTY + 1] = {
	[VAIO_A_DISK_UUID]	= UUID_POLICY,
	[VAIO_A_DISK_NAME]	= NAME_POLICY,
	[VAIO_A_DISK_SLOT_FILTER] = { .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 },
	[VAIO_A_DISK_PROPERTY]	= NLA_POLICY_NESTED(vaio_nl_prop_policy),
};

static const struct nla_policy stats_get_policy[VAIO_A_STATS_NAME + 1] = {
	[VAIO_A_STATS_UUID]	= UUID_POLICY,
	[VAIO_A_STATS_NAME]	= NAME_POLICY,
};

static const struct nla_policy event_post_policy[VAIO_A_EVENT_ARG + 1] = {
	[VAIO_A_EVENT_TOKEN]	= { .type = NLA_U64 },
	[VAIO_A_EVENT_UUID]	= UUID_POLICY,
	[VAIO_A_EVENT_NAME]	= NAME_POLICY,
	[VAIO_A_EVENT_TYPE]	= { .type = NLA_U32 },
	[VAIO_A_EVENT_PHASE]	= { .type = NLA_U32 },
	[VAIO_A_EVENT_DEADLINE_MS] = { .type = NLA_U32 },
	[VAIO_A_EVENT_ARG]	= { .type = NLA_NUL_STRING, .len = VAIO_VALUE_LEN - 1 },
};

static const struct nla_policy event_get_policy[VAIO_A_EVENT_TOKEN + 1] = {
	[VAIO_A_EVENT_TOKEN]	= { .type = NLA_U64 },
};

static const struct nla_policy domain_get_policy[VAIO_A_DOMAIN_NAME + 1] = {
	[VAIO_A_DOMAIN_NAME]	= { .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 },
};

static const struct nla_policy domain_set_policy[VAIO_A_DOMAIN_CAPACITY_BYTES + 1] = {
	[VAIO_A_DOMAIN_NAME]	= { .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 },
	[VAIO_A_DOMAIN_THRESHOLD_SET_NS] = { .type = NLA_U64 },
	[VAIO_A_DOMAIN_CAPACITY_IOPS] = { .type = NLA_U64 },
	[VAIO_A_DOMAIN_CAPACITY_BYTES] = { .type = NLA_U64 },
};

#define POLICY(name)	.policy = name, .maxattr = ARRAY_SIZE(name) - 1

static const struct genl_ops vaio_ops[] = {
	{
		.cmd = VAIO_CMD_HOST_GET,
		.flags = GENL_ADMIN_PERM,
		.doit = vaio_nl_host_get,
	}, {
		.cmd = VAIO_CMD_FILTER_GET,
		.flags = GENL_ADMIN_PERM,
		.start = vaio_nl_dump_start,
		.dumpit = vaio_nl_filter_dump,
	}, {
		.cmd = VAIO_CMD_DISK_GET,
		.flags = GENL_ADMIN_PERM,
		POLICY(disk_get_policy),
		.doit = vaio_nl_disk_get,
		.start = vaio_nl_dump_start,
		.dumpit = vaio_nl_disk_dump,
	}, {
		.cmd = VAIO_CMD_DISK_SET,
		.flags = GENL_ADMIN_PERM,
		POLICY(disk_set_policy),
		.doit = vaio_nl_disk_set,
	}, {
		.cmd = VAIO_CMD_STATS_GET,
		.flags = GENL_ADMIN_PERM,
		POLICY(stats_get_policy),
		.doit = vaio_nl_stats_get,
		.start = vaio_nl_dump_start,
		.dumpit = vaio_nl_stats_dump,
	}, {
		.cmd = VAIO_CMD_EVENT_POST,
		.flags = GENL_ADMIN_PERM,
		POLICY(event_post_policy),
		.doit = vaio_nl_event_post,
	}, {
		.cmd = VAIO_CMD_EVENT_GET,
		.flags = GENL_ADMIN_PERM,
		POLICY(event_get_policy),
		.doit = vaio_nl_event_get,
	}, {
		.cmd = VAIO_CMD_DOMAIN_GET,
		.flags = GENL_ADMIN_PERM,
		POLICY(domain_get_policy),
		.doit = vaio_nl_domain_get,
		.start = vaio_nl_dump_start,
		.dumpit = vaio_nl_domain_dump,
	}, {
		.cmd = VAIO_CMD_DOMAIN_SET,
		.flags = GENL_ADMIN_PERM,
		POLICY(domain_set_policy),
		.doit = vaio_nl_domain_set,
	},
};

static const struct genl_multicast_group vaio_groups[] = {
	[VAIO_NL_GROUP_EVENTS] = {
		.name = VAIO_GENL_GRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN | GENL_MCAST_CAP_SYS_ADMIN,
	},
};

static struct genl_family vaio_family __ro_after_init = {
	.name = VAIO_GENL_NAME,
	.version = VAIO_GENL_VERSION,
	.module = THIS_MODULE,
	.parallel_ops = true,	/* a filter that is slow must not hold up other families */
	.pre_doit = vaio_nl_pre_doit,
	.ops = vaio_ops,
	.n_ops = ARRAY_SIZE(vaio_ops),
	.mcgrps = vaio_groups,
	.n_mcgrps = ARRAY_SIZE(vaio_groups),
};

/**
 * vaio_netlink_init - register the family
 *
 * Return: 0 or a negative errno.
 */
int vaio_netlink_init(void)
{
	return genl_register_family(&vaio_family);
}

/**
 * vaio_netlink_exit - take it back; no handler runs any more on return
 */
void vaio_netlink_exit(void)
{
	genl_unregister_family(&vaio_family);
}

MODULE_ALIAS_GENL_FAMILY(VAIO_GENL_NAME);
