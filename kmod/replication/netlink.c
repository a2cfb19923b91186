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
#include "repl.h"

#define REPLY_MAX	(64 * 1024)
#define DUMP_ALLOC	(32 * 1024)

static struct genl_family repl_family;

static int refuse(struct netlink_ext_ack *extack, const struct nlattr *attr, int err,
		  const char *why)
{
	if (extack) {
		extack->_msg = why;
		if (attr)
			NL_SET_BAD_ATTR(extack, attr);
	}
	return err;
}

static int check_permission(const struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	return refuse(extack, NULL, -EPERM,
		      "CAP_SYS_ADMIN and CAP_NET_ADMIN in the initial user namespace are needed");
}

static int repl_pre_doit(const struct genl_split_ops *ops, struct sk_buff *skb,
			 struct genl_info *info)
{
	return check_permission(skb, info->extack);
}

/* --- what a group is ------------------------------------------------------------ */

struct nl_text {
	struct vaio_text	text;
	struct sk_buff		*skb;
	int			attr;
	bool			full;
};

static void nl_text_add(struct vaio_text *text, const char *name, const char *value)
{
	struct nl_text *t = container_of(text, struct nl_text, text);
	struct nlattr *nest;

	if (t->full)
		return;
	nest = nla_nest_start(t->skb, t->attr);
	if (!nest || nla_put_string(t->skb, VAIO_A_PROP_NAME, name) ||
	    nla_put_string(t->skb, VAIO_A_PROP_VALUE, value))
		t->full = true;		/* the caller drops the message */
	else
		nla_nest_end(t->skb, nest);
}

static int put_uuid(struct sk_buff *skb, int attr, const uuid_t *uuid)
{
	char text[VAIO_UUID_STR_LEN];

	snprintf(text, sizeof(text), "%pUb", uuid);
	return nla_put_string(skb, attr, text);
}

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
	if (!nest || put_uuid(skb, VAIO_REPL_A_MEMBER_UUID, vaio_disk_uuid(m->slot->disk)) ||
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

/* The group's config is held, so members stay. */
static int fill_group(struct sk_buff *skb, struct repl_group *g)
{
	struct nl_text text = { .text.add = nl_text_add, .skb = skb };
	int i, err = 0;

	spin_lock_irq(&g->lock);
	if (nla_put_string(skb, VAIO_REPL_A_GROUP_NAME, g->name) ||
	    put_uuid(skb, VAIO_REPL_A_GROUP_UUID, &g->uuid) ||
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
	return text.full ? -EMSGSIZE : err;
}

static int put_group(struct sk_buff *skb, u32 portid, u32 seq, int flags, struct repl_group *g)
{
	void *head = genlmsg_put(skb, portid, seq, &repl_family, flags, VAIO_REPL_CMD_GROUP_GET);
	int err;

	if (!head)
		return -EMSGSIZE;
	mutex_lock(&g->config);
	err = fill_group(skb, g);
	mutex_unlock(&g->config);
	if (err) {
		genlmsg_cancel(skb, head);
		return err;
	}
	genlmsg_end(skb, head);
	return 0;
}

/* --- requests ---------------------------------------------------------------------- */

static const char *name_of(struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[VAIO_REPL_A_GROUP_NAME];

	if (attr)
		return nla_data(attr);
	refuse(info->extack, NULL, -EINVAL, "no group is named");
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
		refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], -ENOENT,
		       vaio_cfg_error(NULL, "there is no group '%s'", name));
		return ERR_PTR(-ENOENT);
	}
	return g;
}

static const struct nla_policy prop_policy[__VAIO_A_PROP_COUNT] = {
	[VAIO_A_PROP_NAME]	= { .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 },
	[VAIO_A_PROP_VALUE]	= { .type = NLA_NUL_STRING, .len = VAIO_VALUE_LEN - 1 },
};

/* All properties of a request, into props; nothing else changes when one is wrong. */
static int read_props(struct genl_info *info, struct repl_props *props, bool fresh)
{
	struct nlattr *attr, *pair[__VAIO_A_PROP_COUNT];
	char *why = NULL;
	int left, err;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		if (nla_type(attr) != VAIO_REPL_A_GROUP_PROPERTY)
			continue;
		err = nla_parse_nested(pair, __VAIO_A_PROP_COUNT - 1, attr, prop_policy,
				       info->extack);
		if (err)
			return err;
		if (!pair[VAIO_A_PROP_NAME] || !pair[VAIO_A_PROP_VALUE])
			return refuse(info->extack, attr, -EINVAL,
				      "a property has a name and a value");
		err = repl_props_set(props, nla_data(pair[VAIO_A_PROP_NAME]),
				     nla_data(pair[VAIO_A_PROP_VALUE]), fresh, &why);
		if (err)
			return refuse(info->extack, attr, err, why);
	}
	return 0;
}

static int do_get(struct sk_buff *skb, struct genl_info *info)
{
	struct repl_group *g = find_group(info);
	size_t size = NLMSG_GOODSIZE;
	struct sk_buff *reply;
	int err;

	if (IS_ERR(g))
		return PTR_ERR(g);
	do {
		reply = nlmsg_new(size, GFP_KERNEL);
		err = reply ? put_group(reply, info->snd_portid, info->snd_seq, 0, g) : -ENOMEM;
		if (err && reply)
			nlmsg_free(reply);
		size *= 2;
	} while (err == -EMSGSIZE && size <= REPLY_MAX);
	repl_group_put(g);
	return err ?: genlmsg_reply(reply, info);
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
			refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], err, why);
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
	return err ? refuse(info->extack, info->attrs[VAIO_REPL_A_GROUP_NAME], err, why) : 0;
}

static int reply_mark(struct genl_info *info, const char *name, u64 seq)
{
	struct sk_buff *reply = nlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *head;

	if (!reply)
		return -ENOMEM;
	head = genlmsg_put(reply, info->snd_portid, info->snd_seq, &repl_family, 0,
			   VAIO_REPL_CMD_GROUP_MARK);
	if (!head || nla_put_string(reply, VAIO_REPL_A_GROUP_NAME, name) ||
	    nla_put_u64_64bit(reply, VAIO_REPL_A_GROUP_SEQ, seq, VAIO_REPL_A_GROUP_PAD)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, head);
	return genlmsg_reply(reply, info);
}

static int do_mark(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *mark = info->attrs[VAIO_REPL_A_GROUP_MARK];
	struct repl_group *g = find_group(info);
	u64 seq;
	int err;

	if (IS_ERR(g))
		return PTR_ERR(g);
	err = repl_mark(g, mark ? nla_data(mark) : "", &seq);
	if (err == -ENOTCONN)
		refuse(info->extack, NULL, err,
		       "the group captures nothing at the moment: a mark would have no place");
	else if (err == -ENOSPC)
		refuse(info->extack, NULL, err, "the ring is full");
	else if (!err)
		err = reply_mark(info, g->name, seq);
	repl_group_put(g);
	return err;
}

/* --- dump -------------------------------------------------------------------------- */

static int dump_start(struct netlink_callback *cb)
{
	int err = check_permission(cb->skb, cb->extack);

	if (err)
		return err;
	if (nlmsg_attrlen(cb->nlh, GENL_HDRLEN))
		return refuse(cb->extack, NULL, -EINVAL,
			      "a dump lists all and takes no attributes");
	memset(cb->ctx, 0, sizeof(cb->ctx));
	cb->min_dump_alloc = DUMP_ALLOC;
	return 0;
}

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
		err = put_group(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, NLM_F_MULTI, g);
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
	[VAIO_REPL_A_GROUP_PROPERTY]	= NLA_POLICY_NESTED(prop_policy),
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
		.start = dump_start,
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
	.pre_doit = repl_pre_doit,
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
