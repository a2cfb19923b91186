/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the generic netlink families of vaio share: who may use them, how answers
 * and dumps are made, and how a request is refused with a sentence.
 */
#ifndef VAIO_NL_H
#define VAIO_NL_H

#include <linux/netlink.h>
#include <linux/uuid.h>
#include <net/genetlink.h>
#include "compat.h"
#include "filter.h"

__printf(4, 5) int vaio_nl_refuse(struct netlink_ext_ack *extack, const struct nlattr *attr,
				  int err, const char *fmt, ...);

int vaio_nl_pre_doit(const struct genl_split_ops *ops, struct sk_buff *skb,
		     struct genl_info *info);
int vaio_nl_dump_start(struct netlink_callback *cb);

/* Fills one message about @obj. May sleep. Returns 0, or -EMSGSIZE when it does not fit. */
typedef int (*vaio_nl_fill_fn)(struct sk_buff *skb, void *obj);

int vaio_nl_put_message(const struct genl_family *family, struct sk_buff *skb, u32 portid, u32 seq,
			int flags, u8 cmd, vaio_nl_fill_fn fill, void *obj);
int vaio_nl_dump_message(const struct genl_family *family, struct sk_buff *skb,
			 struct netlink_callback *cb, u8 cmd, vaio_nl_fill_fn fill, void *obj);
int vaio_nl_reply(const struct genl_family *family, struct genl_info *info, u8 cmd,
		  vaio_nl_fill_fn fill, void *obj);

int vaio_nl_put_uuid(struct sk_buff *skb, int attr, const uuid_t *uuid);

/**
 * struct vaio_nl_text - what hooks add with vaio_text_add() becomes nested pairs
 * @text: for the hook; its add is vaio_nl_text_add()
 * @skb: the message
 * @attr: type of each pair's attribute
 * @full: a pair did not fit: the message is to be dropped
 */
struct vaio_nl_text {
	struct vaio_text	text;
	struct sk_buff		*skb;
	int			attr;
	bool			full;
};

void vaio_nl_text_add(struct vaio_text *text, const char *name, const char *value);

extern const struct nla_policy vaio_nl_prop_policy[__VAIO_A_PROP_COUNT];
int vaio_nl_get_pair(const struct nlattr *nest, const char **name, const char **value,
		     struct netlink_ext_ack *extack);

#endif /* VAIO_NL_H */
