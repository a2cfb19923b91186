// SPDX-License-Identifier: GPL-2.0
/*
 * A client of the netlink family "vaio" that can say anything, right or wrong.
 *
 *	netlink-client [OPTION]... COMMAND [ATTRIBUTE]...
 *	netlink-client --listen N [SECONDS]
 *
 * COMMAND is a number, with ":dump" behind it for a dump. An ATTRIBUTE is
 * ID=s:TEXT, ID=u8:N, ID=u32:N, ID=u64:N, ID=x:HEXDIGITS (these bytes),
 * ID=n[ ATTRIBUTE... ] (a nest, its brackets words of their own), or
 * raw=x:HEXDIGITS (bytes at the end of the message).
 *
 * Prints each answer: a line "answer COMMAND", then its attributes, a line each:
 * number and value, nests indented. The last line is "ok", or "error ERRNO
 * message". Ends with 0 or 1, or 2 when there is no such family.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vaio.h>

struct message {
	struct nlmsghdr		head;
	struct genlmsghdr	genl;
	char			attrs[60000];
};

static struct message request;
static char answer[256 * 1024];

static void die(const char *what)
{
	fprintf(stderr, "netlink-client: %s\n", what);
	exit(2);
}

static void die_errno(const char *what)
{
	fprintf(stderr, "netlink-client: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int open_socket(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), one = 1;
	int size = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die_errno("socket");
	if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		size = 0;	/* an unprivileged test goes on without */
	return fd;
}

/* --- a request ------------------------------------------------------------------ */

static void put(const void *data, size_t len)
{
	size_t end = NLMSG_ALIGN(request.head.nlmsg_len);

	if (end + len > sizeof(request))
		die("the message is too long");
	memcpy((char *)&request + end, data, len);
	request.head.nlmsg_len = end + len;
}

static struct nlattr *begin_attr(unsigned int id)
{
	struct nlattr attr = { .nla_len = NLA_HDRLEN, .nla_type = id };
	size_t at = NLMSG_ALIGN(request.head.nlmsg_len);

	put(&attr, sizeof(attr));
	return (struct nlattr *)((char *)&request + at);
}

static void put_attr(unsigned int id, const void *data, size_t len)
{
	begin_attr(id)->nla_len += len;
	put(data, len);
}

static size_t read_hex(const char *text, unsigned char *bytes)
{
	size_t n = 0;

	for (; *text; text += 2, n++)
		if (sscanf(text, "%2hhx", &bytes[n]) != 1)
			die("wrong hexadecimal digits");
	return n;
}

static char **put_attrs(char **words)
{
	static unsigned char bytes[32768];
	struct nlattr *nest;
	unsigned int id;
	uint64_t number;
	char *value;

	for (; *words && strcmp(*words, "]"); words++) {
		value = strchr(*words, '=');
		if (!value++)
			die("an attribute is ID=KIND:VALUE");
		if (!strncmp(*words, "raw=x:", 6)) {
			put(bytes, read_hex(value + 2, bytes));
			continue;
		}
		id = strtoul(*words, NULL, 0);
		number = strchr(value, ':') ? strtoull(strchr(value, ':') + 1, NULL, 0) : 0;
		if (!strncmp(value, "s:", 2)) {
			put_attr(id, value + 2, strlen(value + 2) + 1);
		} else if (!strncmp(value, "u8:", 3)) {
			put_attr(id, &(uint8_t){ number }, 1);
		} else if (!strncmp(value, "u32:", 4)) {
			put_attr(id, &(uint32_t){ number }, 4);
		} else if (!strncmp(value, "u64:", 4)) {
			put_attr(id, &number, 8);
		} else if (!strncmp(value, "x:", 2)) {
			put_attr(id, bytes, read_hex(value + 2, bytes));
		} else if (!strcmp(value, "n[")) {
			nest = begin_attr(id | NLA_F_NESTED);
			words = put_attrs(words + 1);
			nest->nla_len = (char *)&request + request.head.nlmsg_len - (char *)nest;
			if (!*words)
				die("a nest is not closed");
		} else {
			die("an attribute's kind is s, u8, u32, u64, x or n[");
		}
	}
	return words;
}

/* --- answers ----------------------------------------------------------------------- */

static bool is_text(const char *data, size_t len)
{
	size_t i;

	if (len < 2 || data[len - 1])
		return false;
	for (i = 0; i < len - 1; i++)
		if (!isprint((unsigned char)data[i]))
			return false;
	return true;
}

static void print_value(const struct nlattr *attr)
{
	const char *data = (const char *)attr + NLA_HDRLEN;
	size_t i, len = attr->nla_len - NLA_HDRLEN;

	if (is_text(data, len))
		printf("%s", data);
	else if (len == 1)
		printf("%u", *(const uint8_t *)data);
	else if (len == 4)
		printf("%u", *(const uint32_t *)data);
	else if (len == 8)
		printf("%llu", (unsigned long long)*(const uint64_t *)data);
	else
		for (i = 0; i < len; i++)
			printf("%02x", (unsigned char)data[i]);
}

static void print_attrs(const char *data, size_t len, int depth)
{
	const struct nlattr *attr;

	while (len >= NLA_HDRLEN) {
		attr = (const struct nlattr *)data;
		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			die("the kernel sent a broken attribute");
		printf("%*s%u", 2 * depth, "", attr->nla_type & NLA_TYPE_MASK);
		if (attr->nla_type & NLA_F_NESTED) {
			printf("\n");
			print_attrs(data + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN, depth + 1);
		} else {
			printf(" ");
			print_value(attr);
			printf("\n");
		}
		if ((size_t)NLA_ALIGN(attr->nla_len) >= len)
			break;
		data += NLA_ALIGN(attr->nla_len);
		len -= NLA_ALIGN(attr->nla_len);
	}
}

static void print_answer(const struct nlmsghdr *head)
{
	const struct genlmsghdr *genl = NLMSG_DATA(head);

	printf("answer %u\n", genl->cmd);
	print_attrs((const char *)genl + GENL_HDRLEN, head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, 1);
}

/* The kernel's sentence, from the attributes behind an error. */
static void print_error(const struct nlmsghdr *head, int error, size_t skip)
{
	const char *data = (const char *)head + skip, *end = (const char *)head + head->nlmsg_len;

	printf("error %s", strerrorname_np(-error));
	while (head->nlmsg_flags & NLM_F_ACK_TLVS && data + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const struct nlattr *)data;

		if (attr->nla_type == NLMSGERR_ATTR_MSG)
			printf(" %s", data + NLA_HDRLEN);
		data += NLA_ALIGN(attr->nla_len);
	}
	printf("\n");
}

/* Prints one message. Returns 1: go on, 0: ended well, -1: ended with an error. */
static int read_message(const struct nlmsghdr *head, bool dump)
{
	const struct nlmsgerr *err = NLMSG_DATA(head);
	size_t skip = NLMSG_HDRLEN + sizeof(*err);
	int result;

	if (head->nlmsg_seq != request.head.nlmsg_seq)
		return 1;
	switch (head->nlmsg_type) {
	case NLMSG_ERROR:
		if (!err->error) {
			printf("ok\n");
			return 0;
		}
		if (!(head->nlmsg_flags & NLM_F_CAPPED))
			skip += err->msg.nlmsg_len - NLMSG_HDRLEN;
		print_error(head, err->error, NLMSG_ALIGN(skip));
		return -1;
	case NLMSG_DONE:
		result = *(int *)NLMSG_DATA(head);
		if (result < 0) {
			print_error(head, result, NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(int)));
			return -1;
		}
		printf("ok\n");
		return 0;
	default:
		if (dump && head->nlmsg_flags & NLM_F_DUMP_INTR)
			printf("interrupted\n");
		print_answer(head);
		return 1;
	}
}

static int read_answers(int fd, bool dump)
{
	struct nlmsghdr *head;
	ssize_t len;
	int more = 1;

	while (more > 0) {
		len = recv(fd, answer, sizeof(answer), 0);
		if (len < 0)
			die_errno("recv");
		for (head = (void *)answer; more > 0 && NLMSG_OK(head, (size_t)len); head = NLMSG_NEXT(head, len))
			more = read_message(head, dump);
	}
	return more ? 1 : 0;
}

/* --- the family -------------------------------------------------------------------- */

static const struct nlattr *find_attr(const char *data, size_t len, unsigned int id)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const struct nlattr *)data;

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			break;
		if ((attr->nla_type & NLA_TYPE_MASK) == id)
			return attr;
		if ((size_t)NLA_ALIGN(attr->nla_len) >= len)
			break;
		data += NLA_ALIGN(attr->nla_len);
		len -= NLA_ALIGN(attr->nla_len);
	}
	return NULL;
}

static const struct nlattr *child(const struct nlattr *attr, unsigned int id)
{
	return find_attr((const char *)attr + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN, id);
}

/* Finds the number of the family, and of its group. */
static uint16_t find_family(int fd, uint32_t *group)
{
	const struct nlattr *id, *groups;
	struct nlmsghdr *head = (void *)answer;
	const char *attrs = answer + NLMSG_HDRLEN + GENL_HDRLEN;
	ssize_t len;

	memset(&request, 0, sizeof(request));
	request.head.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	request.head.nlmsg_type = GENL_ID_CTRL;
	request.head.nlmsg_flags = NLM_F_REQUEST;
	request.head.nlmsg_seq = 1;
	request.genl.cmd = CTRL_CMD_GETFAMILY;
	request.genl.version = 1;
	put_attr(CTRL_ATTR_FAMILY_NAME, VAIO_GENL_NAME, sizeof(VAIO_GENL_NAME));
	if (send(fd, &request, request.head.nlmsg_len, 0) < 0)
		die_errno("send");
	len = recv(fd, answer, sizeof(answer), 0);
	if (len < 0)
		die_errno("recv");
	if (head->nlmsg_type == NLMSG_ERROR)
		die("no family 'vaio'");
	len -= NLMSG_HDRLEN + GENL_HDRLEN;
	id = find_attr(attrs, len, CTRL_ATTR_FAMILY_ID);
	groups = find_attr(attrs, len, CTRL_ATTR_MCAST_GROUPS);
	if (!id || !groups)
		die("the family has no number or no group");
	*group = *(uint32_t *)((char *)child(child(groups, 1), CTRL_ATTR_MCAST_GRP_ID) + NLA_HDRLEN);
	return *(uint16_t *)((char *)id + NLA_HDRLEN);
}

/* Prints the next n notifications, as they come. */
static int listen_for(int fd, uint32_t group, int n, int seconds)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct nlmsghdr *head;
	ssize_t len;

	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group))) {
		printf("error %s\n", strerrorname_np(errno));
		return 1;
	}
	printf("listening\n");
	fflush(stdout);
	while (n > 0) {
		if (poll(&pfd, 1, seconds * 1000) <= 0) {
			printf("silence\n");
			return 1;
		}
		len = recv(fd, answer, sizeof(answer), 0);
		if (len < 0)
			die_errno("recv");
		for (head = (void *)answer; NLMSG_OK(head, (size_t)len); head = NLMSG_NEXT(head, len), n--)
			print_answer(head);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int fd = open_socket(), version = VAIO_GENL_VERSION, reserved = 0, cut = -1;
	uint32_t group;
	uint16_t family = find_family(fd, &group);
	bool dump;

	(void)argc;
	argv++;
	if (*argv && !strcmp(*argv, "--listen") && argv[1])
		return listen_for(fd, group, atoi(argv[1]), argv[2] ? atoi(argv[2]) : 60);
	for (; *argv && !strncmp(*argv, "--", 2); argv += 2) {
		if (!argv[1])
			die("an option wants a number");
		if (!strcmp(*argv, "--version"))
			version = atoi(argv[1]);
		else if (!strcmp(*argv, "--reserved"))
			reserved = atoi(argv[1]);
		else if (!strcmp(*argv, "--cut"))	/* length of the message */
			cut = atoi(argv[1]);
		else
			die("options: --version N, --reserved N, --cut BYTES");
	}
	if (!*argv)
		die("no command");

	dump = strstr(*argv, ":dump");
	memset(&request, 0, sizeof(request));
	request.head.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	request.head.nlmsg_type = family;
	request.head.nlmsg_flags = NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK);
	request.head.nlmsg_seq = 2;
	request.genl.cmd = atoi(*argv);
	request.genl.version = version;
	request.genl.reserved = reserved;
	put_attrs(argv + 1);
	if (cut >= 0)
		request.head.nlmsg_len = cut;
	if (send(fd, &request, request.head.nlmsg_len, 0) < 0)
		die_errno("send");
	return read_answers(fd, dump);
}
