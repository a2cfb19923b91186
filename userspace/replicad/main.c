// SPDX-License-Identifier: GPL-2.0
/* vaio-replicad: options, signals, the listening socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <gcrypt.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "../libvaio/units.h"
#include "replicad.h"

#define LEAST_FILES	65536U
#define ACCEPT_WAIT_US	100000U

struct config config = {
	.store = "/var/lib/vaio/replica", .listen = "[::]:7790", .pki = "/etc/pki/vaio", .socket = "/run/vaio/replicad.sock",
	.new_groups = true, .max_groups = 256, .queue_bytes = 2304ULL << 20, .retain_ns = 24ULL * 3600 * 1000000000,
};
atomic_bool stopping;

void say(int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* What peers say goes to the log: one line, nothing that a terminal obeys. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "<%d>%s\n", level, line);
}

static void usage(FILE *f)
{
	fprintf(f, "usage: vaio-replicad [OPTION]...\n\n"
		"  --store DIR          stores of groups (default /var/lib/vaio/replica)\n"
		"  --listen ADDR:PORT   for agents (default [::]:7790; port 0: any, printed)\n"
		"  --pki DIR            CA/cacert.pem, CA/cacrl.pem, vaio/servercert.pem,\n"
		"                       vaio/private/serverkey.pem (default /etc/pki/vaio)\n"
		"  --socket PATH        for vaioctl (default /run/vaio/replicad.sock)\n"
		"  --new-groups WORD    allow (default) or deny groups that are not here yet\n"
		"  --max-groups N       1 to 1000 (default 256)\n"
		"  --queue SIZE         memory for what is not written yet, of all groups together\n"
		"                       (default 2304MiB; 9MiB for each of --max-groups at least)\n"
		"  --retain TIME        history of new groups (default 24h)\n"
		"  --quota SIZE         of new groups (default none)\n"
		"  --segment SIZE       of the journal (default 256MiB)\n"
		"  --reserve SIZE       kept free (default 5 %% of the filesystem, 1GiB at least)\n"
		"  --help, --version\n");
}

static int option(int c, const char *value)
{
	struct vaio_err e = { "" };
	uint64_t n = 0;
	int rc = 0;

	switch (c) {
	case 's': config.store = value; break;
	case 'l': config.listen = value; break;
	case 'p': config.pki = value; break;
	case 'k': config.socket = value; break;
	case 'n':
		config.new_groups = !strcmp(value, "allow");
		if (!config.new_groups && strcmp(value, "deny"))
			rc = vaio_fail(&e, VAIO_USAGE, "--new-groups '%s': accepted are allow, deny", value);
		break;
	case 'm':
		rc = vaio_parse_number(value, 1, MAX_GROUPS, &n, &e);
		config.max_groups = (unsigned int)n;
		break;
	case 'b':
		rc = vaio_parse_size(value, &config.queue_bytes, &e);
		if (!rc && config.queue_bytes > 1ULL << 40)
			rc = vaio_fail(&e, VAIO_USAGE, "--queue '%s': accepted are 9MiB to 1TiB", value);
		break;
	case 'r':
		rc = vaio_parse_span(value, &config.retain_ns, &e);
		break;
	case 'q': rc = vaio_parse_size(value, &config.quota_bytes, &e); break;
	case 'g':
		rc = vaio_parse_size(value, &config.segment_bytes, &e);
		if (!rc && (config.segment_bytes < 65536 || config.segment_bytes > VAIO_RS_MAX_SEGMENT / 2))
			rc = vaio_fail(&e, VAIO_USAGE, "--segment '%s': accepted are 64KiB to 1GiB", value);
		break;
	case 'e': rc = vaio_parse_size(value, &config.reserve_bytes, &e); break;
	}
	if (rc)
		fprintf(stderr, "vaio-replicad: %s\n", e.text);
	return rc;
}

static int listen_on(const char *where, char *bound, size_t size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[256], port[16];
	const char *colon = strrchr(where, ':');
	int one = 1, fd = -1, rc;

	if (!colon || (size_t)(colon - where) >= sizeof(host)) {
		say(LOG_ERR, "--listen '%s' is not ADDR:PORT", where);
		return -1;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = 0;
	}
	rc = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list);
	if (rc) {
		say(LOG_ERR, "--listen '%s': %s", where, gai_strerror(rc));
		return -1;
	}
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len)) {
		say(LOG_ERR, "--listen '%s': %s", where, strerror(errno));
		freeaddrinfo(list);
		return -1;
	}
	freeaddrinfo(list);
	getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(bound, size, "%s:%s", host, port);
	return fd;
}

void accept_failed(const char *where, bool *said)
{
	if (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN)
		return;
	if (!*said)
		say(LOG_ERR, "%s: a connection cannot be taken: %s", where, strerror(errno));
	*said = true;
	/* It is there at once again. */
	usleep(ACCEPT_WAIT_US);
}

static void accept_one(int fd)
{
	static bool said;
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64], port[16], peer[96];
	int conn = accept4(fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC);

	if (conn < 0) {
		accept_failed(config.listen, &said);
		return;
	}
	said = false;
	if (getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		strcpy(host, "?");
	snprintf(peer, sizeof(peer), "%.45s:%.8s", host, port);
	session_start(conn, peer);
}

static void read_certificates(void)
{
	struct vr_err e;

	if (tls_reload(&e))
		say(LOG_ERR, "reload: %s: the old certificates stay", e.text);
	else
		say(LOG_NOTICE, "reload: certificates are read again");
}

static int run(int fd)
{
	uint64_t next = now_ms() + look_ms;
	struct signalfd_siginfo info;
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .events = POLLIN } };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	p[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (p[1].fd < 0)
		return 1;
	for (;;) {
		uint64_t now = now_ms();

		if (now >= next) {
			next = now + look_ms;
			if (tls_changed())
				read_certificates();
		}
		if (poll(p, 2, (int)(next - now)) < 0 && errno != EINTR)
			return 1;
		if (p[0].revents & POLLIN)
			accept_one(fd);
		if (!(p[1].revents & POLLIN) || read(p[1].fd, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP)
			return 0;
		read_certificates();
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "store", 1, NULL, 's' }, { "listen", 1, NULL, 'l' }, { "pki", 1, NULL, 'p' }, { "socket", 1, NULL, 'k' },
		{ "new-groups", 1, NULL, 'n' }, { "max-groups", 1, NULL, 'm' }, { "queue", 1, NULL, 'b' }, { "retain", 1, NULL, 'r' },
		{ "quota", 1, NULL, 'q' }, { "segment", 1, NULL, 'g' }, { "reserve", 1, NULL, 'e' },
		{ "help", 0, NULL, 'h' }, { "version", 0, NULL, 'v' }, { 0 },
	};
	struct rlimit files;
	char bound[320];
	sigset_t set;
	struct vr_err e;
	int c, fd, rc;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'v') {
			puts("vaio-replicad " VAIOCTL_VERSION);
			return 0;
		}
		if (c == '?' || option(c, optarg)) {
			if (c == '?')
				usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "vaio-replicad: '%s' is no option\n", argv[optind]);
		return 2;
	}
	if (config.max_groups * (uint64_t)GROUP_LEAST > config.queue_bytes) {
		fprintf(stderr, "vaio-replicad: %u groups (--max-groups) need --queue %uMiB at least, 9MiB for each\n",
			config.max_groups, config.max_groups * (GROUP_LEAST >> 20));
		return 2;
	}
	umask(077);
	/* Without a service manager root may have few; never less than there may be. */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_max < LEAST_FILES) {
		files.rlim_max = LEAST_FILES;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	vr_files_limit();
	gcry_check_version(NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (tls_init(&e) || groups_open(&e) || admin_start(&e)) {
		say(LOG_ERR, "%s", e.text);
		return 1;
	}
	fd = listen_on(config.listen, bound, sizeof(bound));
	if (fd < 0)
		return 1;
	printf("listening on %s\n", bound);
	fflush(stdout);
	sd_notify(0, "READY=1");
	rc = run(fd);
	sd_notify(0, "STOPPING=1");
	stopping = true;
	close(fd);
	admin_stop();
	groups_close();
	return rc;
}
