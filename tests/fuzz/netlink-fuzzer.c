// SPDX-License-Identifier: GPL-2.0
/*
 * Throws messages at the netlink family "vaio", most of them nearly right.
 *
 *	netlink-fuzzer SECONDS SEED DISK UUID
 *
 * Starts from requests that are right for the disk, and changes some of their
 * bytes, lengths, attributes, flags. Reads what comes back, and checks that it is
 * well formed and that the family still answers. A broken kernel says so itself:
 * run it where KASAN and lock checking are on.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vaio.h>

#define MESSAGE_MAX	4096

static uint64_t random_state;
static uint8_t message[2 * MESSAGE_MAX];
static size_t length;
static char answer[256 * 1024];
static uint16_t family;
static const char *disk_name, *disk_uuid;
static uint64_t known_token;	/* of an event that the kernel told of */
static unsigned long sent, answers, refused;

static void die(const char *what)
{
	printf("not ok 1 - %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* xorshift64* */
static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 16) % below;
}

/* --- building ---------------------------------------------------------------- */

static size_t put_attr(unsigned int type, const void *data, size_t len)
{
	struct nlattr attr = { .nla_len = NLA_HDRLEN + len, .nla_type = type };
	size_t at = length;

	if (length + NLA_ALIGN(attr.nla_len) > MESSAGE_MAX)
		return at;
	memcpy(message + at, &attr, sizeof(attr));
	memset(message + at + NLA_HDRLEN, 0, NLA_ALIGN(len));
	memcpy(message + at + NLA_HDRLEN, data, len);
	length += NLA_ALIGN(attr.nla_len);
	return at;
}

static void put_string(unsigned int type, const char *text)
{
	put_attr(type, text, strlen(text) + 1);
}

static void put_u32(unsigned int type, uint32_t value)
{
	put_attr(type, &value, sizeof(value));
}

static void put_disk(unsigned int uuid, unsigned int name)
{
	if (rnd(2))
		put_string(uuid, disk_uuid);
	else
		put_string(name, disk_name);
}

static void put_property(void)
{
	static const char *const names[] = { "action", "pattern", "where", "" };
	static const char *const values[] = { "count", "fail", "6869", "" };
	size_t nest = put_attr(VAIO_A_DISK_PROPERTY | NLA_F_NESTED, "", 0);

	put_string(VAIO_A_PROP_NAME, names[rnd(4)]);
	put_string(VAIO_A_PROP_VALUE, values[rnd(4)]);
	((struct nlattr *)(message + nest))->nla_len = length - nest;
}

static void put_event(void)
{
	uint64_t token = known_token;

	put_disk(VAIO_A_EVENT_UUID, VAIO_A_EVENT_NAME);
	put_u32(VAIO_A_EVENT_TYPE, rnd(__VAIO_EVENT_COUNT));
	if (rnd(4))
		put_u32(VAIO_A_EVENT_PHASE, rnd(__VAIO_PHASE_COUNT));
	if (!rnd(3))
		put_u32(VAIO_A_EVENT_DEADLINE_MS, 100 + rnd(400));
	if (!rnd(3))
		put_attr(VAIO_A_EVENT_TOKEN, &token, sizeof(token));
	if (!rnd(4))
		put_string(VAIO_A_EVENT_ARG, "fuzz");
}

/* A request that is right, or would be with a little luck. */
static void build(void)
{
	struct nlmsghdr head = {
		.nlmsg_type = family,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		.nlmsg_seq = sent,
	};
	struct genlmsghdr genl = {
		.cmd = 1 + rnd(__VAIO_CMD_COUNT - 1),
		.version = VAIO_GENL_VERSION,
	};
	uint64_t token = known_token;

	length = NLMSG_HDRLEN + GENL_HDRLEN;
	switch (genl.cmd) {
	case VAIO_CMD_FILTER_GET:
		head.nlmsg_flags |= NLM_F_DUMP;
		break;
	case VAIO_CMD_DISK_GET:
	case VAIO_CMD_STATS_GET:
		if (rnd(2))
			head.nlmsg_flags |= NLM_F_DUMP;
		else
			put_disk(VAIO_A_DISK_UUID, VAIO_A_DISK_NAME);
		break;
	case VAIO_CMD_DISK_SET:
		put_disk(VAIO_A_DISK_UUID, VAIO_A_DISK_NAME);
		put_string(VAIO_A_DISK_SLOT_FILTER, "match");
		put_property();
		break;
	case VAIO_CMD_EVENT_POST:
		put_event();
		break;
	case VAIO_CMD_EVENT_GET:
		put_attr(VAIO_A_EVENT_TOKEN, &token, sizeof(token));
		break;
	}
	memcpy(message, &head, sizeof(head));
	memcpy(message + NLMSG_HDRLEN, &genl, sizeof(genl));
}

/* --- breaking ----------------------------------------------------------------- */

static const uint32_t edges[] = { 0, 1, 3, 4, 5, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff };

static uint32_t edge(void)
{
	return edges[rnd(sizeof(edges) / sizeof(edges[0]))];
}

/* Changes something behind the netlink header, whose type must stay the family's. */
static void mutate(void)
{
	size_t body = NLMSG_HDRLEN, attrs = NLMSG_HDRLEN + GENL_HDRLEN, at, n;
	struct nlattr *attr;
	uint32_t value;

	if (length <= body)
		return;
	switch (rnd(9)) {
	case 0:		/* a bit */
		message[body + rnd(length - body)] ^= 1 << rnd(8);
		break;
	case 1:		/* a number at the edge of something */
		value = edge();
		at = body + rnd(length - body);
		n = length - at < sizeof(value) ? length - at : sizeof(value);
		memcpy(message + at, &value, n);
		break;
	case 2:		/* shorter */
		length = body + rnd(length - body + 1);
		break;
	case 3:		/* longer, with anything */
		for (n = rnd(64); n && length < MESSAGE_MAX; n--)
			message[length++] = rnd(256);
		break;
	case 4:		/* one more attribute, of a length that fits nothing */
		n = rnd(300);
		memset(answer, rnd(256), n);
		put_attr(rnd(24) | (rnd(4) ? 0 : NLA_F_NESTED), answer, n);
		break;
	case 5:		/* the first attribute's header */
		if (length < attrs + sizeof(*attr))
			break;
		attr = (struct nlattr *)(message + attrs);
		if (rnd(2))
			attr->nla_len = rnd(2) ? edge() : rnd(64);
		else
			attr->nla_type ^= 1 << rnd(16);
		break;
	case 6:		/* twice the same */
		n = length > attrs ? length - attrs : 0;
		if (n && length + n <= MESSAGE_MAX) {
			memcpy(message + length, message + attrs, n);
			length += n;
		}
		break;
	case 7:		/* other flags */
		((struct nlmsghdr *)message)->nlmsg_flags ^= 1 << rnd(12);
		break;
	case 8:		/* nest after nest */
		for (n = rnd(200); n && length + NLA_HDRLEN <= MESSAGE_MAX; n--) {
			struct nlattr nest = {
				.nla_len = rnd(2) ? MESSAGE_MAX - length : NLA_HDRLEN,
				.nla_type = NLA_F_NESTED | VAIO_A_DISK_PROPERTY,
			};

			memcpy(message + length, &nest, sizeof(nest));
			length += sizeof(nest);
		}
		break;
	}
}

/* --- reading ------------------------------------------------------------------- */

static void check_attrs(const char *data, size_t len)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const struct nlattr *)data;
		size_t step = NLA_ALIGN(attr->nla_len);

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			die("the kernel sent a broken attribute");
		if (attr->nla_type & NLA_F_NESTED)
			check_attrs(data + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN);
		if (step >= len)
			return;
		data += step;
		len -= step;
	}
}

static void check_answer(const struct nlmsghdr *head)
{
	const struct genlmsghdr *genl = NLMSG_DATA(head);
	const char *attrs = (const char *)genl + GENL_HDRLEN;
	const struct nlattr *first = (const struct nlattr *)attrs;

	answers++;
	if (head->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN)
		die("the kernel sent a short answer");
	check_attrs(attrs, head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
	if (genl->cmd == VAIO_CMD_EVENT_POST && first->nla_type == VAIO_A_EVENT_TOKEN)
		memcpy(&known_token, attrs + NLA_HDRLEN, sizeof(known_token));
}

/* Takes what is there, and a little more. Sometimes nothing: dumps are cut short then. */
static void drain(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct nlmsghdr *head;
	ssize_t len;

	while (poll(&pfd, 1, 0) > 0) {
		len = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (len < 0)
			return;
		for (head = (void *)answer; NLMSG_OK(head, (size_t)len); head = NLMSG_NEXT(head, len)) {
			if (head->nlmsg_type == family)
				check_answer(head);
			else if (head->nlmsg_type == NLMSG_ERROR &&
				 ((struct nlmsgerr *)NLMSG_DATA(head))->error)
				refused++;
		}
	}
}

static int open_socket(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int ack = rnd(2), strict = rnd(2);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("no socket");
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &ack, sizeof(ack));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
	return fd;
}

static void send_message(int fd)
{
	((struct nlmsghdr *)message)->nlmsg_len = length;
	if (send(fd, message, length, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
		die("a message was not taken");
	sent++;
}

static void find_family(void)
{
	struct nlmsghdr head = {
		.nlmsg_type = GENL_ID_CTRL,
		.nlmsg_flags = NLM_F_REQUEST,
	};
	struct genlmsghdr genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	const char *data = answer + NLMSG_HDRLEN + GENL_HDRLEN;
	const struct nlattr *attr;
	int fd = open_socket();

	length = NLMSG_HDRLEN + GENL_HDRLEN;
	memcpy(message, &head, sizeof(head));
	memcpy(message + NLMSG_HDRLEN, &genl, sizeof(genl));
	put_string(CTRL_ATTR_FAMILY_NAME, VAIO_GENL_NAME);
	send_message(fd);
	if (recv(fd, answer, sizeof(answer), 0) < 0 ||
	    ((struct nlmsghdr *)answer)->nlmsg_type == NLMSG_ERROR)
		die("there is no family vaio");
	for (attr = (void *)data; attr->nla_type != CTRL_ATTR_FAMILY_ID;
	     attr = (void *)((char *)attr + NLA_ALIGN(attr->nla_len)))
		;
	memcpy(&family, (char *)attr + NLA_HDRLEN, sizeof(family));
	close(fd);
}

/* Does the family still answer a plain question? */
static void check_alive(void)
{
	struct nlmsghdr head = { .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST };
	struct genlmsghdr genl = { .cmd = VAIO_CMD_HOST_GET, .version = VAIO_GENL_VERSION };
	struct timeval patience = { .tv_sec = 60 };
	int fd = open_socket();

	length = NLMSG_HDRLEN + GENL_HDRLEN;
	memcpy(message, &head, sizeof(head));
	memcpy(message + NLMSG_HDRLEN, &genl, sizeof(genl));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	send_message(fd);
	if (recv(fd, answer, sizeof(answer), 0) < 0)
		die("the family does not answer any more");
	if (((struct nlmsghdr *)answer)->nlmsg_type != family)
		die("the family refuses a plain question");
	close(fd);
}

int main(int argc, char **argv)
{
	time_t end;
	int fd, n;

	if (argc != 5) {
		fprintf(stderr, "usage: netlink-fuzzer SECONDS SEED DISK UUID\n");
		return 2;
	}
	end = time(NULL) + atoi(argv[1]);
	random_state = strtoull(argv[2], NULL, 0) * 2 + 1;
	disk_name = argv[3];
	disk_uuid = argv[4];
	find_family();
	fd = open_socket();
	while (time(NULL) < end) {
		build();
		for (n = rnd(4); n; n--)
			mutate();
		send_message(fd);
		if (rnd(8))
			drain(fd);
		if (!rnd(200)) {
			close(fd);
			fd = open_socket();
		}
		if (!rnd(2000))
			check_alive();
	}
	drain(fd);
	close(fd);
	check_alive();
	printf("# %lu messages, %lu answers, %lu refused\n", sent, answers, refused);
	printf("%s 1 - the family stands %s s of fuzzing, seed %s\n",
	       answers && refused ? "ok" : "not ok", argv[1], argv[2]);
	return !(answers && refused);
}
