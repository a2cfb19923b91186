// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink family "vaio_repl": groups.
 * Documentation/netlink/vaio-replication.yaml describes it.
 *
 * Who may use it, and how answers are made, is as in the family "vaio". No handler
 * waits for I/O or an agent.
 */
#include <linux/ktime.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include "nl.h"
#include "repl.h"

static struct genl_family repl_family;

/* --- what a group is ------------------------------------------------------------ */

/* The group is locked. */
static int put_member(struct sk_buff *skb, struct repl_member *m)
{
	struct nlattr *nest = nla_nest_start(skb, VAIO_REPL_A_GROUP_MEMBER);
	const int pad = VAIO_REPL_A_MEMBER_PAD;
	u64 dirty, check;

	spin_lock(&m->lock);
	dirty = (m->track.dirty.count + m->track.inflight.count) << VAIO_SC_BITMAP_SHIFT;
	check = m->track.check.count << VAIO_SC_BITMAP_SHIFT;
	spin_unlock(&m->lock);
	if (!nest ||
	    vaio_nl_put_uuid(skb, VAIO_REPL_A_MEMBER_UUID, vaio_disk_uuid(m->slot->disk)) ||
	    nla_put_string(skb, VAIO_REPL_A_MEMBER_NAME, vaio_disk_name(m->slot->disk)) ||
	    nla_put_string(skb, VAIO_REPL_A_MEMBER_STATE, repl_member_state(m)) ||
	    nla_put_u64_64bit(skb, VAIO_REPL_A_MEMBER_BYTES, m->sectors << SECTOR_SHIFT, pad) ||
	    nla_put_u64_64bit(skb, VAIO_REPL_A_MEMBER_DIRTY, dirty, pad) ||
	    nla_put_u64_64bit(skb, VAIO_REPL_A_MEMBER_TO_CHECK, check, pad))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* Figures of the moment. The group is locked. */
static void add_counters(struct repl_group *g, struct vaio_text *text)
{
	const struct repl_counters *c = &g->counters;
	u64 oldest = 0;

	if (ring_backlog(&g->ring))
		oldest = ktime_get_ns() - ring_rec(&g->ring, g->ring.durable + 1)->mono_ns;
	vaio_text_add(text, "agent", "%s", g->agent ? "bound" : "none");
	vaio_text_add(text, "reason", "%s", g->reason);
	vaio_text_add(text, "epoch", "%llu", g->epoch);
	vaio_text_add(text, "published", "%llu", g->ring.published);
	vaio_text_add(text, "durable", "%llu", g->ring.durable);
	vaio_text_add(text, "backlog_records", "%llu", ring_backlog(&g->ring));
	vaio_text_add(text, "backlog_bytes", "%llu", g->ring.head - g->ring.tail);
	vaio_text_add(text, "oldest_ms", "%llu", div_u64(oldest, NSEC_PER_MSEC));
	vaio_text_add(text, "records", "%llu", c->records);
	vaio_text_add(text, "bytes", "%llu", c->bytes);
	vaio_text_add(text, "voids", "%llu", c->voids);
	vaio_text_add(text, "alone_writes", "%llu", c->alone);
	vaio_text_add(text, "stalls", "%llu", c->stalls);
	vaio_text_add(text, "gaps", "%llu", c->gaps);
	vaio_text_add(text, "resync_bytes", "%llu", c->resync_bytes);
}

static int fill_group(struct sk_buff *skb, void *obj)
{
	struct vaio_nl_text text = { .text.add = vaio_nl_text_add, .skb = skb };
	struct repl_group *g = obj;
	int i, err = 0;

	mutex_lock(&g->config);		/* members stay */
	spin_lock_irq(&g->lock);
	if (nla_put_string(skb, VAIO_REPL_A_GROUP_NAME, g->name) ||
	    vaio_nl_put_uuid(skb, VAIO_REPL_A_GROUP_UUID, &g->uuid) ||
	    nla_put_string(skb, VAIO_REPL_A_GROUP_STATE, repl_state_name(g->state)))
		err = -EMSGSIZE;
	text.attr = VAIO_REPL_A_GROUP_PROPERTY;
	repl_props_show(&g->props, &text.text);
	text.attr = VAIO_REPL_A_GROUP_COUNTER;
	add_counters(g, &text.text);
	for (i = 0; i < VAIO_REPL_MEMBERS && !err; i++)
		if (g->member[i])
			err = put_member(skb, g->member[i]);
	spin_unlock_irq(&g->lock);
	mutex_unlock(&g->config);
	return text.full ? -EMSGSIZE : err;
}

/* --- requests ---------------------------------------------------------------------- */

static const char *name_of(struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[VAIO_REPL_A_GROUP_NAME];

	if (attr)
		return nla_data(attr);
	vaio_nl_refuse(info->extack, NULL, -EINVAL, "no group is named");
	return NULL;
}

static struct repl_group *find_group(struct genl_info *info)
{
	const char *name = name_of(info);
	struct repl_group *g;

	if (!name)
		return ERR_PTR(-EINVAL);
	g = repl_group_find(name);
	if (!g) {
		vaio_nl_refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], -ENOENT,
			       "there is no group '%s'", name);
		return ERR_PTR(-ENOENT);
	}
	return g;
}

/* All properties of a request, into props; nothing else changes when one is wrong. */
static int read_props(struct genl_info *info, struct repl_props *props, bool fresh)
{
	const char *name, *value;
	struct nlattr *attr;
	char *why = NULL;
	int left, err;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		if (nla_type(attr) != VAIO_REPL_A_GROUP_PROPERTY)
			continue;
		err = vaio_nl_get_pair(attr, &name, &value, info->extack);
		if (err)
			return err;
		err = repl_props_set(props, name, value, fresh, &why);
		if (err)
			return vaio_nl_refuse(info->extack, attr, err, "%s", why);
	}
	return 0;
}

static int do_get(struct sk_buff *skb, struct genl_info *info)
{
	struct repl_group *g = find_group(info);
	int err;

	if (IS_ERR(g))
		return PTR_ERR(g);
	err = vaio_nl_reply(&repl_family, info, VAIO_REPL_CMD_GROUP_GET, fill_group, g);
	repl_group_put(g);
	return err;
}

static int do_new(struct sk_buff *skb, struct genl_info *info)
{
	const char *name = name_of(info);
	struct repl_props *props;
	char *why = NULL;
	int err;

	if (!name)
		return -EINVAL;
	props = kmalloc(sizeof(*props), GFP_KERNEL);
	if (!props)
		return -ENOMEM;
	repl_props_init(props);
	err = read_props(info, props, true);
	if (!err) {
		err = repl_group_new(name, props, &why);
		if (err)
			vaio_nl_refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], err,
				       "%s", why);
	}
	kfree(props);
	return err;
}

static int do_set(struct sk_buff *skb, struct genl_info *info)
{
	struct repl_group *g = find_group(info);
	struct repl_props *props;
	int err = -ENOMEM;

	if (IS_ERR(g))
		return PTR_ERR(g);
	props = kmalloc(sizeof(*props), GFP_KERNEL);
	if (props) {
		mutex_lock(&g->config);
		*props = g->props;
		err = read_props(info, props, false);
		if (!err)
			repl_group_change(g, props);
		mutex_unlock(&g->config);
	}
	kfree(props);
	repl_group_put(g);
	return err;
}

static int do_del(struct sk_buff *skb, struct genl_info *info)
{
	const char *name = name_of(info);
	char *why = NULL;
	int err;

	if (!name)
		return -EINVAL;
	err = repl_group_delete(name, &why);
	if (err)
		vaio_nl_refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], err, "%s", why);
	return err;
}

struct mark {
	const char *group;
	u64 seq;
};

static int fill_mark(struct sk_buff *skb, void *obj)
{
	const struct mark *mark = obj;

	if (nla_put_string(skb, VAIO_REPL_A_GROUP_NAME, mark->group) ||
	    nla_put_u64_64bit(skb, VAIO_REPL_A_GROUP_SEQ, mark->seq, VAIO_REPL_A_GROUP_PAD))
		return -EMSGSIZE;
	return 0;
}

static int do_mark(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *text = info->attrs[VAIO_REPL_A_GROUP_MARK];
	struct repl_group *g = find_group(info);
	struct mark mark;
	int err;

	if (IS_ERR(g))
		return PTR_ERR(g);
	mark.group = g->name;
	err = repl_mark(g, text ? nla_data(text) : "", &mark.seq);
	if (err == -ENOTCONN)
		vaio_nl_refuse(info->extack, NULL, err,
			       "the group captures nothing at the moment: a mark would have no place");
	else if (err == -ENOSPC)
		vaio_nl_refuse(info->extack, NULL, err, "the ring is full");
	else if (!err)
		err = vaio_nl_reply(&repl_family, info, VAIO_REPL_CMD_GROUP_MARK, fill_mark, &mark);
	repl_group_put(g);
	return err;
}

/* --- dump -------------------------------------------------------------------------- */

/* The group with the next name after the one in the callback. */
static struct repl_group *next_group(const char *after)
{
	struct repl_group *g, *best = NULL;

	mutex_lock(&repl_groups_lock);
	list_for_each_entry(g, &repl_groups, list)
		if (strcmp(g->name, after) > 0 && (!best || strcmp(g->name, best->name) < 0))
			best = g;
	if (best)
		kref_get(&best->ref);
	mutex_unlock(&repl_groups_lock);
	return best;
}

static int dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	char *at = (char *)cb->ctx;
	struct repl_group *g;
	int err = 0;

	BUILD_BUG_ON(VAIO_NAME_LEN > sizeof(cb->ctx));
	while (!err && (g = next_group(at))) {
		err = vaio_nl_dump_message(&repl_family, skb, cb, VAIO_REPL_CMD_GROUP_GET,
					   fill_group, g);
		if (!err)
			strscpy(at, g->name, VAIO_NAME_LEN);
		repl_group_put(g);
	}
	return skb->len ? skb->len : err;
}

/* --- family -------------------------------------------------------------------------- */

#define NAME_POLICY	{ .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 }

static const struct nla_policy name_policy[VAIO_REPL_A_GROUP_NAME + 1] = {
	[VAIO_REPL_A_GROUP_NAME]	= NAME_POLICY,
};

static const struct nla_policy props_policy[VAIO_REPL_A_GROUP_PROPERTY + 1] = {
	[VAIO_REPL_A_GROUP_NAME]	= NAME_POLICY,
	[VAIO_REPL_A_GROUP_PROPERTY]	= NLA_POLICY_NESTED(vaio_nl_prop_policy),
};

static const struct nla_policy mark_policy[VAIO_REPL_A_GROUP_MARK + 1] = {
	[VAIO_REPL_A_GROUP_NAME]	= NAME_POLICY,
	[VAIO_REPL_A_GROUP_MARK]	= { .type = NLA_NUL_STRING, .len = VAIO_REPL_MARK_LEN - 1 },
};

#define POLICY(name)	.policy = name, .maxattr = ARRAY_SIZE(name) - 1

static const struct genl_ops repl_ops[] = {
	{
		.cmd = VAIO_REPL_CMD_GROUP_GET,
		.flags = GENL_ADMIN_PERM,
		POLICY(name_policy),
		.doit = do_get,
		.start = vaio_nl_dump_start,
		.dumpit = dump,
	}, {
		.cmd = VAIO_REPL_CMD_GROUP_NEW,
		.flags = GENL_ADMIN_PERM,
		POLICY(props_policy),
		.doit = do_new,
	}, {
		.cmd = VAIO_REPL_CMD_GROUP_SET,
		.flags = GENL_ADMIN_PERM,
		POLICY(props_policy),
		.doit = do_set,
	}, {
		.cmd = VAIO_REPL_CMD_GROUP_DEL,
		.flags = GENL_ADMIN_PERM,
		POLICY(name_policy),
		.doit = do_del,
	}, {
		.cmd = VAIO_REPL_CMD_GROUP_MARK,
		.flags = GENL_ADMIN_PERM,
		POLICY(mark_policy),
		.doit = do_mark,
	},
};

static struct genl_family repl_family __ro_after_init = {
	.name = VAIO_REPL_GENL_NAME,
	.version = VAIO_REPL_GENL_VERSION,
	.module = THIS_MODULE,
	.parallel_ops = true,
	.pre_doit = vaio_nl_pre_doit,
	.ops = repl_ops,
	.n_ops = ARRAY_SIZE(repl_ops),
};

int repl_netlink_init(void)
{
	return genl_register_family(&repl_family);
}

void repl_netlink_exit(void)
{
	genl_unregister_family(&repl_family);
}

MODULE_ALIAS_GENL_FAMILY(VAIO_REPL_GENL_NAME);
