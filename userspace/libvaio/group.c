// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "group.h"
#include "netlink_private.h"

int vaio_group_open(struct vaio_nl **nl, struct vaio_err *e)
{
	return vaio_nl_open_family(nl, VAIO_REPL_GENL_NAME,
				   "the kernel has no netlink family 'vaio_repl': is the module loaded? "
				   "(modprobe vaio-replication; vaioctl doctor says why it cannot be)", e);
}

/* --- decoding ------------------------------------------------------------------- */

static int add_member(struct nlattr *a, struct vaio_group *g)
{
	struct nlattr *tb[__VAIO_REPL_A_MEMBER_COUNT];
	struct vaio_group_member *m;

	if (g->n_members == VAIO_REPL_MEMBERS)
		return 0;
	if (nla_parse_nested(tb, __VAIO_REPL_A_MEMBER_COUNT - 1, a, NULL) < 0)
		return -EINVAL;
	m = realloc(g->members, (g->n_members + 1) * sizeof(*m));
	if (!m)
		return -ENOMEM;
	g->members = m;
	m += g->n_members++;
	memset(m, 0, sizeof(*m));
	vaio_nl_get_str(tb[VAIO_REPL_A_MEMBER_UUID], m->uuid, sizeof(m->uuid));
	vaio_nl_get_str(tb[VAIO_REPL_A_MEMBER_NAME], m->name, sizeof(m->name));
	vaio_nl_get_str(tb[VAIO_REPL_A_MEMBER_STATE], m->state, sizeof(m->state));
	m->bytes = vaio_nl_get_u64(tb[VAIO_REPL_A_MEMBER_BYTES]);
	m->dirty = vaio_nl_get_u64(tb[VAIO_REPL_A_MEMBER_DIRTY]);
	m->to_check = vaio_nl_get_u64(tb[VAIO_REPL_A_MEMBER_TO_CHECK]);
	return 0;
}

int vaio_decode_group(struct nlattr *head, int len, struct vaio_group *g)
{
	struct nlattr *a;
	int rem, err = 0;

	memset(g, 0, sizeof(*g));
	nla_for_each_attr(a, head, len, rem) {
		switch (nla_type(a)) {
		case VAIO_REPL_A_GROUP_NAME:
			vaio_nl_get_str(a, g->name, sizeof(g->name));
			break;
		case VAIO_REPL_A_GROUP_UUID:
			vaio_nl_get_str(a, g->uuid, sizeof(g->uuid));
			break;
		case VAIO_REPL_A_GROUP_STATE:
			vaio_nl_get_str(a, g->state, sizeof(g->state));
			break;
		case VAIO_REPL_A_GROUP_PROPERTY:
			err = vaio_nl_get_pair(a, &g->props, &g->n_props);
			break;
		case VAIO_REPL_A_GROUP_COUNTER:
			err = vaio_nl_get_pair(a, &g->counters, &g->n_counters);
			break;
		case VAIO_REPL_A_GROUP_MEMBER:
			err = add_member(a, g);
			break;
		}
		if (err) {
			vaio_group_free(g);
			return err;
		}
	}
	return 0;
}

void vaio_group_free(struct vaio_group *g)
{
	free(g->props);
	free(g->counters);
	free(g->members);
	memset(g, 0, sizeof(*g));
}

void vaio_groups_free(struct vaio_group *list, unsigned int n)
{
	while (n)
		vaio_group_free(&list[--n]);
	free(list);
}

const char *vaio_pair_value(const struct vaio_pair *pairs, unsigned int n, const char *name)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!strcmp(pairs[i].name, name))
			return pairs[i].value;
	return "";
}

/* --- requests -------------------------------------------------------------------- */

static int group_refused(struct vaio_nl *nl, int err, struct vaio_err *e)
{
	return vaio_nl_refused(nl, err, "", e);
}

static struct nl_msg *named(struct vaio_nl *nl, int cmd, int flags, const char *name)
{
	struct nl_msg *msg = vaio_nl_request(nl, cmd, flags);

	if (msg && nla_put_string(msg, VAIO_REPL_A_GROUP_NAME, name)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

static int check_name(const char *name, struct vaio_err *e)
{
	if (strlen(name) < VAIO_NAME_LEN)
		return VAIO_OK;
	return vaio_fail(e, VAIO_USAGE, "'%s' is not a group's name: accepted are 1 to %d letters, digits, '-' and '_'",
			 name, VAIO_NAME_LEN - 1);
}

static int get_one(struct nlattr *head, int len, void *ctx)
{
	vaio_group_free(ctx);
	return vaio_decode_group(head, len, ctx);
}

int vaio_group_get(struct vaio_nl *nl, const char *name, struct vaio_group *g, struct vaio_err *e)
{
	int err = check_name(name, e);

	memset(g, 0, sizeof(*g));
	if (err)
		return err;
	err = vaio_nl_transact(nl, named(nl, VAIO_REPL_CMD_GROUP_GET, NLM_F_ACK, name), get_one, g);
	if (!err)
		return VAIO_OK;
	vaio_group_free(g);
	return group_refused(nl, err, e);
}

struct groups {
	struct vaio_group *list;
	unsigned int n;
};

static int get_next(struct nlattr *head, int len, void *ctx)
{
	struct groups *all = ctx;
	struct vaio_group *p = realloc(all->list, (all->n + 1) * sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	all->list = p;
	err = vaio_decode_group(head, len, &p[all->n]);
	if (!err)
		all->n++;
	return err;
}

int vaio_group_list(struct vaio_nl *nl, struct vaio_group **list, unsigned int *n, struct vaio_err *e)
{
	struct groups all = { 0 };
	int err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_REPL_CMD_GROUP_GET, NLM_F_DUMP), get_next, &all);

	*list = all.list;
	*n = all.n;
	if (!err)
		return VAIO_OK;
	vaio_groups_free(all.list, all.n);
	*list = NULL;
	*n = 0;
	return group_refused(nl, err, e);
}

static int put_props(struct nl_msg *msg, const struct vaio_pair *props, unsigned int n)
{
	struct nlattr *nest;
	unsigned int i;

	for (i = 0; i < n; i++) {
		nest = nla_nest_start(msg, VAIO_REPL_A_GROUP_PROPERTY);
		if (!nest || nla_put_string(msg, VAIO_A_PROP_NAME, props[i].name) ||
		    nla_put_string(msg, VAIO_A_PROP_VALUE, props[i].value))
			return -1;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int send_props(struct vaio_nl *nl, int cmd, const char *name, const struct vaio_pair *props, unsigned int n,
		      struct vaio_err *e)
{
	struct nl_msg *msg;
	int err = check_name(name, e);

	if (err)
		return err;
	msg = named(nl, cmd, NLM_F_ACK, name);
	if (!msg || put_props(msg, props, n)) {
		nlmsg_free(msg);
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	}
	err = vaio_nl_transact(nl, msg, NULL, NULL);
	if (err == -EINVAL || err == -EEXIST) {
		vaio_nl_refused(nl, err, "", e);
		return VAIO_USAGE;
	}
	return err ? group_refused(nl, err, e) : VAIO_OK;
}

int vaio_group_create(struct vaio_nl *nl, const char *name, const struct vaio_pair *props, unsigned int n,
		      struct vaio_err *e)
{
	return send_props(nl, VAIO_REPL_CMD_GROUP_NEW, name, props, n, e);
}

int vaio_group_set(struct vaio_nl *nl, const char *name, const struct vaio_pair *props, unsigned int n,
		   struct vaio_err *e)
{
	return send_props(nl, VAIO_REPL_CMD_GROUP_SET, name, props, n, e);
}

int vaio_group_delete(struct vaio_nl *nl, const char *name, struct vaio_err *e)
{
	int err = check_name(name, e);

	if (err)
		return err;
	err = vaio_nl_transact(nl, named(nl, VAIO_REPL_CMD_GROUP_DEL, NLM_F_ACK, name), NULL, NULL);
	return err ? group_refused(nl, err, e) : VAIO_OK;
}
