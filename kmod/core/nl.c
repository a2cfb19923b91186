// SPDX-License-Identifier: GPL-2.0
/*
 * What the generic netlink families of vaio share.
 *
 * CAP_NET_ADMIN is not the right to manage storage, so CAP_SYS_ADMIN is asked
 * for as well, both in the initial user namespace.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include "core.h"
#include "nl.h"

/* The largest answer, and the space of one part of a dump. */
#define REPLY_MAX	(128 * 1024)
#define DUMP_ALLOC	(32 * 1024)

/**
 * vaio_nl_refuse - give the requester a sentence
 * @extack: where it goes; may be NULL
 * @attr: the attribute that is wrong, or NULL
 * @err: the negative errno
 * @fmt: as for printf; names the wrong word and what is accepted
 *
 * Any context. Return: @err.
 */
int vaio_nl_refuse(struct netlink_ext_ack *extack, const struct nlattr *attr, int err,
		   const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (extack) {
		extack->_msg = vaio_verror(fmt, args);
		if (attr)
			NL_SET_BAD_ATTR(extack, attr);
	}
	va_end(args);
	return err;
}
EXPORT_SYMBOL_GPL(vaio_nl_refuse);

static int check_permission(const struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	return vaio_nl_refuse(extack, NULL, -EPERM,
			      "CAP_SYS_ADMIN and CAP_NET_ADMIN in the initial user namespace are needed");
}

/**
 * vaio_nl_pre_doit - asks for the right to manage storage; a family's pre_doit
 * @ops: the operation
 * @skb: the request
 * @info: likewise
 *
 * Return: 0 or -EPERM.
 */
int vaio_nl_pre_doit(const struct genl_split_ops *ops, struct sk_buff *skb,
		     struct genl_info *info)
{
	return check_permission(skb, info->extack);
}
EXPORT_SYMBOL_GPL(vaio_nl_pre_doit);

/**
 * vaio_nl_dump_start - begins a dump of all that there is; an operation's start
 * @cb: the dump; its context is zeroed
 *
 * Return: 0, -EPERM, or -EINVAL when the request has attributes.
 */
int vaio_nl_dump_start(struct netlink_callback *cb)
{
	int err = check_permission(cb->skb, cb->extack);

	if (err)
		return err;
	if (nlmsg_attrlen(cb->nlh, GENL_HDRLEN))
		return vaio_nl_refuse(cb->extack, NULL, -EINVAL,
				      "a dump lists all and takes no attributes");
	memset(cb->ctx, 0, sizeof(cb->ctx));
	cb->min_dump_alloc = DUMP_ALLOC;
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_nl_dump_start);

/**
 * vaio_nl_put_message - add one message about an object
 * @family: of the message
 * @skb: where it goes
 * @portid: of the receiver
 * @seq: of the request
 * @flags: NLM_F_*
 * @cmd: of the message
 * @fill: adds the attributes
 * @obj: for @fill
 *
 * Context: as @fill. Return: 0, or -EMSGSIZE with @skb as it was.
 */
int vaio_nl_put_message(const struct genl_family *family, struct sk_buff *skb, u32 portid, u32 seq,
			int flags, u8 cmd, vaio_nl_fill_fn fill, void *obj)
{
	void *head = genlmsg_put(skb, portid, seq, family, flags, cmd);
	int err;

	if (!head)
		return -EMSGSIZE;
	err = fill(skb, obj);
	if (err) {
		genlmsg_cancel(skb, head);
		return err;
	}
	genlmsg_end(skb, head);
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_nl_put_message);

/**
 * vaio_nl_dump_message - add one message of a dump
 * @family: of the message
 * @skb: this part of the dump
 * @cb: the dump
 * @cmd: of the message
 * @fill: adds the attributes
 * @obj: for @fill
 *
 * Return: 0, or -EMSGSIZE when it is one for the next part.
 */
int vaio_nl_dump_message(const struct genl_family *family, struct sk_buff *skb,
			 struct netlink_callback *cb, u8 cmd, vaio_nl_fill_fn fill, void *obj)
{
	return vaio_nl_put_message(family, skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   NLM_F_MULTI, cmd, fill, obj);
}
EXPORT_SYMBOL_GPL(vaio_nl_dump_message);

/**
 * vaio_nl_reply - answer a request, in a message as large as it takes
 * @family: of the message
 * @info: the request
 * @cmd: of the message
 * @fill: adds the attributes; called again, for a larger message, after -EMSGSIZE
 * @obj: for @fill
 *
 * May sleep. Return: 0, -ENOMEM, or what @fill or the sending returned.
 */
int vaio_nl_reply(const struct genl_family *family, struct genl_info *info, u8 cmd,
		  vaio_nl_fill_fn fill, void *obj)
{
	size_t size = NLMSG_GOODSIZE;
	struct sk_buff *skb;
	int err;

	do {
		skb = nlmsg_new(size, GFP_KERNEL);
		if (!skb)
			return -ENOMEM;
		err = vaio_nl_put_message(family, skb, info->snd_portid, info->snd_seq, 0, cmd,
					  fill, obj);
		if (!err)
			return genlmsg_reply(skb, info);
		nlmsg_free(skb);
		size *= 2;
	} while (err == -EMSGSIZE && size <= REPLY_MAX);
	if (err == -EMSGSIZE)
		vaio_nl_refuse(info->extack, NULL, err, "the answer does not fit a message");
	return err;
}
EXPORT_SYMBOL_GPL(vaio_nl_reply);

/**
 * vaio_nl_put_uuid - add a UUID as text
 * @skb: the message
 * @attr: type of the attribute
 * @uuid: the UUID
 *
 * Any context. Return: 0 or -EMSGSIZE.
 */
int vaio_nl_put_uuid(struct sk_buff *skb, int attr, const uuid_t *uuid)
{
	char text[VAIO_UUID_STR_LEN];

	snprintf(text, sizeof(text), "%pUb", uuid);
	return nla_put_string(skb, attr, text);
}
EXPORT_SYMBOL_GPL(vaio_nl_put_uuid);

/**
 * vaio_nl_text_add - the add of struct vaio_nl_text
 * @text: its text
 * @name: of the pair
 * @value: likewise
 *
 * Any context.
 */
void vaio_nl_text_add(struct vaio_text *text, const char *name, const char *value)
{
	struct vaio_nl_text *t = container_of(text, struct vaio_nl_text, text);
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
EXPORT_SYMBOL_GPL(vaio_nl_text_add);

const struct nla_policy vaio_nl_prop_policy[__VAIO_A_PROP_COUNT] = {
	[VAIO_A_PROP_NAME]	= { .type = NLA_NUL_STRING, .len = VAIO_NAME_LEN - 1 },
	[VAIO_A_PROP_VALUE]	= { .type = NLA_NUL_STRING, .len = VAIO_VALUE_LEN - 1 },
};
EXPORT_SYMBOL_GPL(vaio_nl_prop_policy);

/**
 * vaio_nl_get_pair - read a nested pair of a name and a value
 * @nest: the attribute, of vaio_nl_prop_policy
 * @name: set to the name, which lives as long as the request
 * @value: likewise
 * @extack: for the sentence when there is no pair
 *
 * Any context. Return: 0 or a negative errno.
 */
int vaio_nl_get_pair(const struct nlattr *nest, const char **name, const char **value,
		     struct netlink_ext_ack *extack)
{
	struct nlattr *pair[__VAIO_A_PROP_COUNT];
	int err = nla_parse_nested(pair, __VAIO_A_PROP_COUNT - 1, nest, vaio_nl_prop_policy, extack);

	if (err)
		return err;
	if (!pair[VAIO_A_PROP_NAME] || !pair[VAIO_A_PROP_VALUE])
		return vaio_nl_refuse(extack, nest, -EINVAL, "a property has a name and a value");
	*name = nla_data(pair[VAIO_A_PROP_NAME]);
	*value = nla_data(pair[VAIO_A_PROP_VALUE]);
	return 0;
}
EXPORT_SYMBOL_GPL(vaio_nl_get_pair);
