// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "netlink.h"
#include "netlink_private.h"
#include "units.h"

struct vaio_nl {
	struct nl_sock *sock;
	int family;
	char ack[256];		/* the kernel's sentence of the last failure */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static struct nl_sock *new_socket(struct vaio_err *e)
{
	struct nl_sock *s = nl_socket_alloc();
	int on = 1, err;

	if (!s) {
		vaio_fail(e, VAIO_FAILED, "out of memory");
		return NULL;
	}
	err = genl_connect(s);
	if (err) {
		vaio_fail(e, VAIO_FAILED, "cannot open a generic netlink socket: %s", nl_geterror(err));
		nl_socket_free(s);
		return NULL;
	}
	/* The kernel's own sentence with an error; without it there is errno alone. */
	setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return s;
}

int vaio_nl_open_family(struct vaio_nl **out, const char *family, const char *absent, struct vaio_err *e)
{
	struct vaio_nl *nl = calloc(1, sizeof(*nl));

	*out = NULL;
	if (!nl)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	nl->sock = new_socket(e);
	if (!nl->sock) {
		free(nl);
		return VAIO_FAILED;
	}
	nl->family = genl_ctrl_resolve(nl->sock, family);
	if (nl->family < 0) {
		vaio_nl_close(nl);
		return vaio_fail(e, VAIO_NOTFOUND, "%s", absent);
	}
	*out = nl;
	return VAIO_OK;
}

int vaio_nl_open(struct vaio_nl **out, struct vaio_err *e)
{
	return vaio_nl_open_family(out, VAIO_GENL_NAME,
				   "the kernel has no netlink family 'vaio': is the module loaded? "
				   "(modprobe dm-vaio; vaioctl doctor says why it cannot be)", e);
}

void vaio_nl_close(struct vaio_nl *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sock);
	free(nl);
}

/* --- one request ------------------------------------------------------------ */

struct answer {
	struct vaio_nl *nl;
	int (*fn)(struct nlattr *head, int len, void *ctx);
	void *ctx;
	int err;	/* of fn, or the kernel's */
	bool done;
};

static int on_message(struct nl_msg *msg, void *arg)
{
	struct answer *a = arg;
	struct genlmsghdr *h = genlmsg_hdr(nlmsg_hdr(msg));

	if (a->fn && !a->err)
		a->err = a->fn(genlmsg_attrdata(h, 0), genlmsg_attrlen(h, 0), a->ctx);
	return NL_OK;
}

static int on_end(struct nl_msg *msg, void *arg)
{
	struct answer *a = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	int err;

	/* The end of a dump carries its status. */
	if (h->nlmsg_type == NLMSG_DONE && nlmsg_datalen(h) >= (int)sizeof(err)) {
		memcpy(&err, nlmsg_data(h), sizeof(err));
		if (err && !a->err)
			a->err = err;
	}
	a->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *who, struct nlmsgerr *err, void *arg)
{
	struct answer *a = arg;
	struct nlmsghdr *h = (struct nlmsghdr *)((char *)err - NLMSG_HDRLEN);
	size_t skip = sizeof(*err);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];

	(void)who;
	a->err = err->error;
	a->done = true;
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return NL_STOP;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - NLMSG_HDRLEN;
	skip = NLMSG_ALIGN(skip);
	if (h->nlmsg_len <= NLMSG_HDRLEN + skip)
		return NL_STOP;
	if (nla_parse(tb, NLMSGERR_ATTR_MAX, (struct nlattr *)((char *)err + skip),
		      (int)(h->nlmsg_len - NLMSG_HDRLEN - skip), NULL) >= 0 && tb[NLMSGERR_ATTR_MSG])
		nla_strlcpy(a->nl->ack, tb[NLMSGERR_ATTR_MSG], sizeof(a->nl->ack));
	return NL_STOP;
}

struct nl_msg *vaio_nl_request(struct vaio_nl *nl, int cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, (uint8_t)cmd,
				VAIO_GENL_VERSION)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

int vaio_nl_transact(struct vaio_nl *nl, struct nl_msg *msg, int (*fn)(struct nlattr *, int, void *), void *ctx)
{
	struct answer a = { .nl = nl, .fn = fn, .ctx = ctx };
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int err;

	nl->ack[0] = 0;
	if (!cb || !msg) {
		nlmsg_free(msg);
		nl_cb_put(cb);
		return -ENOMEM;
	}
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_message, &a);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, &a);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, &a);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, &a);
	err = nl_send_auto(nl->sock, msg);
	nlmsg_free(msg);
	while (err >= 0 && !a.done)
		err = nl_recvmsgs(nl->sock, cb);
	nl_cb_put(cb);
	if (a.err)
		return a.err;
	return err < 0 && !a.done ? -EIO : 0;
}

int vaio_nl_refused(struct vaio_nl *nl, int err, const char *what, struct vaio_err *e)
{
	int rc = VAIO_FAILED;

	switch (-err) {
	case ENODEV:
	case ENOENT:
		rc = VAIO_NOTFOUND;
		break;
	case EBUSY:
		rc = VAIO_INUSE;
		break;
	case EPERM:
	case EACCES:
		return vaio_fail(e, rc, "not permitted: vaio takes requests from root only (CAP_SYS_ADMIN and "
				 "CAP_NET_ADMIN)");
	}
	if (nl->ack[0])
		return vaio_fail(e, rc, "%s%s%s", what, what[0] ? ": " : "", nl->ack);
	return vaio_fail(e, rc, "%s%s%s", what, what[0] ? ": " : "", strerror(-err));
}

static int no_memory(struct nl_msg *msg, struct vaio_err *e)
{
	nlmsg_free(msg);
	return vaio_fail(e, VAIO_FAILED, "out of memory");
}

/* The disk as the request names it. */
static int put_key(struct nl_msg *msg, int uuid_attr, int name_attr, const char *key)
{
	char uuid[VAIO_UUID_STR_LEN];

	if (vaio_uuid_parse(key, uuid, NULL) == VAIO_OK)
		return nla_put_string(msg, uuid_attr, uuid);
	return nla_put_string(msg, name_attr, key);
}

static int check_key(const char *key, struct vaio_err *e)
{
	if (vaio_dm_name_valid(key))
		return VAIO_OK;
	return vaio_fail(e, VAIO_USAGE, "'%s' is not a disk's name or UUID: accepted are up to %d letters, digits and "
			 "#+-.:=@_", key, VAIO_DEVNAME_LEN - 1);
}

static int disk_refused(struct vaio_nl *nl, int err, const char *key, struct vaio_err *e)
{
	char what[VAIO_DEVNAME_LEN + 16];

	if (err == -ENODEV || err == -ENOENT)
		return vaio_fail(e, VAIO_NOTFOUND, "no disk '%s': vaioctl disk list shows all", key);
	snprintf(what, sizeof(what), "disk '%s'", key);
	return vaio_nl_refused(nl, err, what, e);
}

/* --- host and filters ---------------------------------------------------------- */

static int get_host(struct nlattr *head, int len, void *ctx)
{
	struct nlattr *tb[__VAIO_A_HOST_COUNT];
	struct vaio_host *h = ctx;

	if (nla_parse(tb, __VAIO_A_HOST_COUNT - 1, head, len, NULL) < 0)
		return -EINVAL;
	if (tb[VAIO_A_HOST_VERSION])
		nla_strlcpy(h->version, tb[VAIO_A_HOST_VERSION], sizeof(h->version));
	if (tb[VAIO_A_HOST_EXCLUSIVE])
		h->exclusive = nla_get_u8(tb[VAIO_A_HOST_EXCLUSIVE]);
	if (tb[VAIO_A_HOST_FILTERS])
		h->filters = nla_get_u32(tb[VAIO_A_HOST_FILTERS]);
	if (tb[VAIO_A_HOST_DISKS])
		h->disks = nla_get_u32(tb[VAIO_A_HOST_DISKS]);
	return 0;
}

int vaio_nl_host(struct vaio_nl *nl, struct vaio_host *h, struct vaio_err *e)
{
	int err;

	memset(h, 0, sizeof(*h));
	err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_CMD_HOST_GET, NLM_F_ACK), get_host, h);
	return err ? vaio_nl_refused(nl, err, "", e) : VAIO_OK;
}

struct list {
	void *items;
	size_t item;
	unsigned int n;
	int (*decode)(struct nlattr *head, int len, void *item);
};

static int add_item(struct nlattr *head, int len, void *ctx)
{
	struct list *l = ctx;
	void *p = realloc(l->items, (l->n + 1) * l->item);
	int err;

	if (!p)
		return -ENOMEM;
	l->items = p;
	err = l->decode(head, len, (char *)p + l->n * l->item);
	if (!err)
		l->n++;
	return err;
}

static int decode_filter_item(struct nlattr *head, int len, void *item)
{
	return vaio_decode_filter(head, len, item);
}

static int decode_disk_item(struct nlattr *head, int len, void *item)
{
	return vaio_decode_disk(head, len, item);
}

static int decode_stats_item(struct nlattr *head, int len, void *item)
{
	return vaio_decode_stats(head, len, item);
}

int vaio_nl_filters(struct vaio_nl *nl, struct vaio_filter_info **out, unsigned int *n, struct vaio_err *e)
{
	struct list l = { .item = sizeof(**out), .decode = decode_filter_item };
	int err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_CMD_FILTER_GET, NLM_F_DUMP), add_item, &l);

	*out = l.items;
	*n = l.n;
	if (!err)
		return VAIO_OK;
	free(l.items);
	*out = NULL;
	*n = 0;
	return vaio_nl_refused(nl, err, "", e);
}

/* --- disks -------------------------------------------------------------------------- */

int vaio_nl_disks(struct vaio_nl *nl, struct vaio_disk_info **out, unsigned int *n, struct vaio_err *e)
{
	struct list l = { .item = sizeof(**out), .decode = decode_disk_item };
	int err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_CMD_DISK_GET, NLM_F_DUMP), add_item, &l);

	*out = l.items;
	*n = l.n;
	if (!err)
		return VAIO_OK;
	vaio_disk_infos_free(l.items, l.n);
	*out = NULL;
	*n = 0;
	return vaio_nl_refused(nl, err, "", e);
}

/* A request about one disk whose single answer @decode puts into @item. */
static int one_disk(struct vaio_nl *nl, int cmd, int uuid_attr, int name_attr, const char *key, struct list *l,
		    struct vaio_err *e)
{
	struct nl_msg *msg;
	int err, rc;

	rc = check_key(key, e);
	if (rc)
		return rc;
	msg = vaio_nl_request(nl, cmd, NLM_F_ACK);
	if (!msg || put_key(msg, uuid_attr, name_attr, key) < 0)
		return no_memory(msg, e);
	err = vaio_nl_transact(nl, msg, add_item, l);
	if (!err && l->n == 1)
		return VAIO_OK;
	return disk_refused(nl, err ? err : -EPROTO, key, e);
}

int vaio_nl_disk(struct vaio_nl *nl, const char *key, struct vaio_disk_info *d, struct vaio_err *e)
{
	struct list l = { .item = sizeof(*d), .decode = decode_disk_item };
	int rc = one_disk(nl, VAIO_CMD_DISK_GET, VAIO_A_DISK_UUID, VAIO_A_DISK_NAME, key, &l, e);

	memset(d, 0, sizeof(*d));
	if (rc) {
		vaio_disk_infos_free(l.items, l.n);
		return rc;
	}
	memcpy(d, l.items, sizeof(*d));
	free(l.items);
	return VAIO_OK;
}

int vaio_nl_set(struct vaio_nl *nl, const char *key, const char *filter, const char *prop, const char *value,
		struct vaio_err *e)
{
	struct nlattr *nest;
	struct nl_msg *msg;
	int err, rc;

	rc = check_key(key, e);
	if (rc)
		return rc;
	msg = vaio_nl_request(nl, VAIO_CMD_DISK_SET, NLM_F_ACK);
	if (!msg || put_key(msg, VAIO_A_DISK_UUID, VAIO_A_DISK_NAME, key) < 0 ||
	    nla_put_string(msg, VAIO_A_DISK_SLOT_FILTER, filter) < 0)
		return no_memory(msg, e);
	nest = nla_nest_start(msg, VAIO_A_DISK_PROPERTY | NLA_F_NESTED);
	if (!nest || nla_put_string(msg, VAIO_A_PROP_NAME, prop) < 0 ||
	    nla_put_string(msg, VAIO_A_PROP_VALUE, value) < 0)
		return no_memory(msg, e);
	nla_nest_end(msg, nest);
	err = vaio_nl_transact(nl, msg, NULL, NULL);
	if (!err)
		return VAIO_OK;
	/* ENOENT may also mean the filter or the property; the kernel's sentence tells. */
	if (nl->ack[0])
		return vaio_nl_refused(nl, err, "", e);
	return disk_refused(nl, err, key, e);
}

/* --- statistics ------------------------------------------------------------------------ */

int vaio_nl_stats(struct vaio_nl *nl, const char *key, struct vaio_stats *s, struct vaio_err *e)
{
	struct list l = { .item = sizeof(*s), .decode = decode_stats_item };
	int rc = one_disk(nl, VAIO_CMD_STATS_GET, VAIO_A_STATS_UUID, VAIO_A_STATS_NAME, key, &l, e);

	memset(s, 0, sizeof(*s));
	if (rc) {
		vaio_stats_list_free(l.items, l.n);
		return rc;
	}
	memcpy(s, l.items, sizeof(*s));
	free(l.items);
	return VAIO_OK;
}

int vaio_nl_stats_all(struct vaio_nl *nl, struct vaio_stats **out, unsigned int *n, struct vaio_err *e)
{
	struct list l = { .item = sizeof(**out), .decode = decode_stats_item };
	int err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_CMD_STATS_GET, NLM_F_DUMP), add_item, &l);

	*out = l.items;
	*n = l.n;
	if (!err)
		return VAIO_OK;
	vaio_stats_list_free(l.items, l.n);
	*out = NULL;
	*n = 0;
	return vaio_nl_refused(nl, err, "", e);
}

/* --- events ------------------------------------------------------------------------------ */

static int get_event(struct nlattr *head, int len, void *ctx)
{
	return vaio_decode_event(head, len, ctx);
}

int vaio_nl_event_post(struct vaio_nl *nl, const struct vaio_event_post *p, uint64_t *token, struct vaio_err *e)
{
	struct vaio_event_info ev = { 0 };
	struct nl_msg *msg;
	int err, rc;

	rc = check_key(p->key, e);
	if (rc)
		return rc;
	msg = vaio_nl_request(nl, VAIO_CMD_EVENT_POST, NLM_F_ACK);
	if (!msg || put_key(msg, VAIO_A_EVENT_UUID, VAIO_A_EVENT_NAME, p->key) < 0 ||
	    nla_put_u32(msg, VAIO_A_EVENT_TYPE, p->type) < 0 || nla_put_u32(msg, VAIO_A_EVENT_PHASE, p->phase) < 0 ||
	    (p->token && nla_put_u64(msg, VAIO_A_EVENT_TOKEN, p->token) < 0) ||
	    (p->deadline_ms && nla_put_u32(msg, VAIO_A_EVENT_DEADLINE_MS, p->deadline_ms) < 0) ||
	    (p->arg && nla_put_string(msg, VAIO_A_EVENT_ARG, p->arg) < 0))
		return no_memory(msg, e);
	err = vaio_nl_transact(nl, msg, get_event, &ev);
	if (err)
		return nl->ack[0] ? vaio_nl_refused(nl, err, "", e) : disk_refused(nl, err, p->key, e);
	*token = ev.token;
	return VAIO_OK;
}

int vaio_nl_event_get(struct vaio_nl *nl, uint64_t token, struct vaio_event_info *ev, struct vaio_err *e)
{
	struct nl_msg *msg = vaio_nl_request(nl, VAIO_CMD_EVENT_GET, NLM_F_ACK);
	int err;

	memset(ev, 0, sizeof(*ev));
	if (!msg || nla_put_u64(msg, VAIO_A_EVENT_TOKEN, token) < 0)
		return no_memory(msg, e);
	err = vaio_nl_transact(nl, msg, get_event, ev);
	if (err == -ENOENT)
		return vaio_fail(e, VAIO_NOTFOUND, "no event %llu: it ended more than a minute ago or never was",
				 (unsigned long long)token);
	return err ? vaio_nl_refused(nl, err, "", e) : VAIO_OK;
}

int vaio_nl_event_wait(struct vaio_nl *nl, uint64_t token, uint64_t timeout_ms, struct vaio_event_info *ev,
		       struct vaio_err *e)
{
	int64_t end = now_ms() + (int64_t)timeout_ms;
	int rc, pause = 1;

	/*
	 * Asking by token cannot miss a change, whatever happened to a
	 * notification; most events are over at the first question.
	 */
	for (;;) {
		rc = vaio_nl_event_get(nl, token, ev, e);
		if (rc || ev->status != VAIO_EVENT_PENDING)
			return rc;
		if (now_ms() >= end)
			return vaio_fail(e, VAIO_FAILED, "no answer within %llu ms; event %llu is still pending",
					 (unsigned long long)timeout_ms, (unsigned long long)token);
		poll(NULL, 0, pause);
		if (pause < 50)
			pause *= 2;
	}
}

struct listen {
	const struct vaio_listener *l;
	bool stop, have_seq;
	uint32_t next_seq;
};

static int on_event(struct nl_msg *msg, void *arg)
{
	struct genlmsghdr *h = genlmsg_hdr(nlmsg_hdr(msg));
	struct vaio_event_info ev;
	struct listen *li = arg;

	if (li->stop || h->cmd != VAIO_CMD_EVENT_NTF ||
	    vaio_decode_event(genlmsg_attrdata(h, 0), genlmsg_attrlen(h, 0), &ev))
		return NL_OK;
	if (ev.has_seq) {
		if (li->have_seq && ev.seq != li->next_seq && li->l->lost)
			li->l->lost(li->next_seq, ev.seq, li->l->ctx);
		li->have_seq = true;
		li->next_seq = ev.seq + 1;
	}
	if (!li->l->fn(&ev, li->l->ctx))
		li->stop = true;
	return NL_OK;
}

static int listen_loop(struct nl_sock *s, struct listen *li, int64_t timeout_ms, struct vaio_err *e)
{
	struct pollfd p = { .fd = nl_socket_get_fd(s), .events = POLLIN };
	int64_t end = now_ms() + timeout_ms, left;
	int n, err;

	while (!li->stop) {
		left = -1;
		if (timeout_ms >= 0) {
			left = end - now_ms();
			if (left <= 0)
				return VAIO_OK;
		}
		n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n < 0 && errno != EINTR)
			return vaio_fail_errno(e, VAIO_FAILED, "waiting for events");
		if (n <= 0)
			continue;
		err = nl_recvmsgs_default(s);
		/* The socket's buffer ran over: the next event's number shows the gap. */
		if (err < 0 && err != -NLE_AGAIN && err != -NLE_NOMEM)
			return vaio_fail(e, VAIO_FAILED, "receiving events: %s", nl_geterror(err));
	}
	return VAIO_OK;
}

int vaio_nl_listen(struct vaio_nl *nl, const struct vaio_listener *l, int64_t timeout_ms, bool *stopped,
		   struct vaio_err *e)
{
	struct listen li = { .l = l };
	struct nl_sock *s;
	int group, err, rc;

	(void)nl;
	s = new_socket(e);
	if (!s)
		return VAIO_FAILED;
	nl_socket_disable_seq_check(s);
	nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_event, &li);
	group = genl_ctrl_resolve_grp(s, VAIO_GENL_NAME, VAIO_GENL_GRP_EVENTS);
	if (group < 0) {
		rc = vaio_fail(e, VAIO_FAILED, "netlink family 'vaio' has no group 'events': %s", nl_geterror(group));
		goto out;
	}
	err = nl_socket_add_membership(s, group);
	if (err) {
		rc = vaio_fail(e, VAIO_FAILED, "cannot listen to events: %s (needs root)", nl_geterror(err));
		goto out;
	}
	nl_socket_set_nonblocking(s);
	if (l->ready)
		l->ready(l->ctx);
	rc = listen_loop(s, &li, timeout_ms, e);
out:
	nl_socket_free(s);
	if (stopped)
		*stopped = li.stop;
	return rc;
}

/* --- domains ------------------------------------------------------------------------------ */

static int decode_domain_item(struct nlattr *head, int len, void *item)
{
	return vaio_decode_domain(head, len, item);
}

static int get_domain(struct nlattr *head, int len, void *ctx)
{
	return vaio_decode_domain(head, len, ctx);
}

int vaio_nl_domains(struct vaio_nl *nl, struct vaio_domain **out, unsigned int *n, struct vaio_err *e)
{
	struct list l = { .item = sizeof(**out), .decode = decode_domain_item };
	int err = vaio_nl_transact(nl, vaio_nl_request(nl, VAIO_CMD_DOMAIN_GET, NLM_F_DUMP), add_item, &l);

	*out = l.items;
	*n = l.n;
	if (!err)
		return VAIO_OK;
	free(l.items);
	*out = NULL;
	*n = 0;
	return vaio_nl_refused(nl, err, "", e);
}

/* As the kernel takes it; checked here for a message that says what is accepted. */
static int check_domain(const char *name, struct vaio_err *e)
{
	if (vaio_value_valid(name) && strlen(name) < VAIO_NAME_LEN)
		return VAIO_OK;
	return vaio_fail(e, VAIO_USAGE, "'%s' is not a domain's name: accepted are 1 to %d characters without blanks",
			 name, VAIO_NAME_LEN - 1);
}

int vaio_nl_domain(struct vaio_nl *nl, const char *name, struct vaio_domain *d, struct vaio_err *e)
{
	struct nl_msg *msg;
	int err, rc;

	rc = check_domain(name, e);
	if (rc)
		return rc;
	msg = vaio_nl_request(nl, VAIO_CMD_DOMAIN_GET, NLM_F_ACK);
	if (!msg || nla_put_string(msg, VAIO_A_DOMAIN_NAME, name) < 0)
		return no_memory(msg, e);
	err = vaio_nl_transact(nl, msg, get_domain, d);
	if (err == -ENODEV)
		return vaio_fail(e, VAIO_NOTFOUND, "no domain '%s': vaioctl domain list shows all", name);
	return err ? vaio_nl_refused(nl, err, "", e) : VAIO_OK;
}

int vaio_nl_domain_set(struct vaio_nl *nl, const char *name, const struct vaio_domain_set *set, struct vaio_err *e)
{
	struct nl_msg *msg;
	int err, rc;

	rc = check_domain(name, e);
	if (rc)
		return rc;
	msg = vaio_nl_request(nl, VAIO_CMD_DOMAIN_SET, NLM_F_ACK);
	if (!msg || nla_put_string(msg, VAIO_A_DOMAIN_NAME, name) < 0 ||
	    (set->has_threshold && nla_put_u64(msg, VAIO_A_DOMAIN_THRESHOLD_SET_NS, set->threshold_ns) < 0) ||
	    (set->has_capacity_iops && nla_put_u64(msg, VAIO_A_DOMAIN_CAPACITY_IOPS, set->capacity_iops) < 0) ||
	    (set->has_capacity_bytes && nla_put_u64(msg, VAIO_A_DOMAIN_CAPACITY_BYTES, set->capacity_bytes) < 0))
		return no_memory(msg, e);
	err = vaio_nl_transact(nl, msg, NULL, NULL);
	return err ? vaio_nl_refused(nl, err, "", e) : VAIO_OK;
}
