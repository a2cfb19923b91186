// SPDX-License-Identifier: GPL-2.0
/* vaio-agent: options, and the parent of the groups' processes. */
#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "state.h"

#define STRIKES		3			/* crashes that set a group aside */
#define STRIKE_NS	600000000000ULL		/* without one for so long, they are forgotten */
#define HUNG_NS		30000000000ULL		/* a process without a sign of life for so long is killed */
#define RESTART_NS	500000000ULL		/* before a process is started again; times the strikes */
#define GOODBYE_NS	5000000000ULL
#define MAX_GROUPS	256

struct config config = {
	.file = "/etc/vaio/agent.conf", .pki = "/etc/pki/vaio", .state = "/var/lib/vaio/agent", .run = "/run/vaio/agent",
	.socket = "/run/vaio/agent.sock", .scan_ms = 1000,
};
struct child *children;

void say(int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* What replicas say goes to the log: one line, nothing that a terminal obeys. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "<%d>%s\n", level, line);
}

/* --- a group's process ------------------------------------------------------------------------- */

struct child *child_find(const char *name)
{
	for (struct child *c = children; c; c = c->next)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void start_child(struct child *c)
{
	pid_t parent = getpid();
	struct vaio_pki pki;
	int pair[2];

	vaio_pki_files(&pki, c->config.pki, "client");
	vaio_pki_read(&c->certificates, &pki);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		say(LOG_ERR, "group %s: socketpair: %s", c->name, strerror(errno));
		c->start_ns = mono_ns() + RESTART_NS;
		return;
	}
	memset(&c->shared->figures, 0, sizeof(c->shared->figures));
	atomic_store(&c->shared->turn, 0);
	atomic_store(&c->shared->heartbeat_ns, mono_ns());
	fflush(NULL);
	c->pid = fork();
	if (!c->pid) {
		/* A parent that is killed takes them along: systemd begins with all anew. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_STOPPED);
		prctl(PR_SET_DUMPABLE, 0);
		dup2(pair[1], 3);
		close_range(4, ~0U, 0);
		fcntl(3, F_SETFD, FD_CLOEXEC);
		_exit(worker_run(c->name, c->target, &c->config, c->shared, 3));
	}
	close(pair[1]);
	if (c->pid < 0) {
		say(LOG_ERR, "group %s: fork: %s", c->name, strerror(errno));
		close(pair[0]);
		c->pid = 0;
		c->start_ns = mono_ns() + RESTART_NS;
		return;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	c->requests = pair[0];
	c->stopping = false;
}

static void strike(struct child *c, const char *how)
{
	uint64_t now = mono_ns();

	if (now - c->strike_ns > STRIKE_NS)
		c->strikes = 0;
	c->strike_ns = now;
	c->crashes++;
	c->strikes++;
	snprintf(c->error, sizeof(c->error), "the group's process %s", how);
	c->set_aside = c->strikes >= STRIKES;
	say(LOG_ERR, "group %s: %s%s", c->name, c->error, c->set_aside ? "; it is set aside until SIGHUP or a change of the group" :
	    "");
}

static void child_ended(struct child *c, int status)
{
	char how[64];

	control_child_gone(c);
	close(c->requests);
	c->requests = -1;
	c->pid = 0;
	c->start_ns = mono_ns() + RESTART_NS;
	if (c->stopping) {
		c->start_ns = 0;
	} else if (WIFSIGNALED(status)) {
		snprintf(how, sizeof(how), "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		strike(c, how);
		c->start_ns = mono_ns() + RESTART_NS * (c->strikes - 1);
	} else if (WEXITSTATUS(status) == EXIT_RESTART) {
		/* It said why; that is nothing that a group is set aside for. */
		snprintf(c->error, sizeof(c->error), "%.250s", c->shared->figures.error);
		c->start_ns = mono_ns() + 10 * RESTART_NS;
	} else if (WEXITSTATUS(status) != EXIT_STOPPED && WEXITSTATUS(status) != EXIT_UNBOUND) {
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
		strike(c, how);
	}
}

static void stop_child(struct child *c)
{
	if (c->pid && !c->stopping)
		kill(c->pid, SIGTERM);
	c->stopping = true;
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct child *c = children; c; c = c->next)
			if (c->pid == pid)
				child_ended(c, status);
}

/* --- the groups ------------------------------------------------------------------------------------ */

static struct child *add_child(const char *name)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->shared = mmap(NULL, sizeof(*c->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->shared == MAP_FAILED) {
		free(c);
		return NULL;
	}
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->requests = -1;
	c->next = children;
	children = c;
	return c;
}

static void remove_child(struct child *c)
{
	struct child **at = &children;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	munmap(c->shared, sizeof(*c->shared));
	free(c);
}

/* The group has a target: its process is what it should be. */
static void refresh(struct child *c, const char *target, const char *mode)
{
	struct group_config now;
	struct vaio_err e;
	bool changed = strcmp(c->target, target) || strcmp(c->mode, mode);
	int rc = config_read(c->name, &now, &e);

	c->seen = true;
	if (rc) {
		/* What ran goes on as it was; what did not run waits. */
		if (strcmp(c->error, e.text))
			say(LOG_ERR, "group %s: %s", c->name, e.text);
		snprintf(c->error, sizeof(c->error), "%.250s", e.text);
		c->bad_config = true;
		if (!c->pid)
			return;
		now = c->config;
	} else if (c->bad_config) {
		c->bad_config = false;
		c->error[0] = 0;
	}
	changed |= memcmp(&now, &c->config, sizeof(now)) != 0;
	if (changed && c->pid) {
		stop_child(c);		/* and started with the new ones when it has ended */
		return;
	}
	if (changed) {
		snprintf(c->target, sizeof(c->target), "%s", target);
		snprintf(c->mode, sizeof(c->mode), "%s", mode);
		c->config = now;
		c->set_aside = false;
		c->strikes = 0;
		c->start_ns = 0;
		c->error[0] = 0;
	}
	if (!c->pid && !c->set_aside && mono_ns() >= c->start_ns)
		start_child(c);
}

/* Looks at all groups of the kernel. */
static void scan(struct vaio_nl **nl)
{
	struct vaio_group *list = NULL;
	unsigned int n = 0, groups = 0;
	struct vaio_err e;
	static bool told;

	if (!*nl && vaio_group_open(nl, &e)) {
		if (!told)
			say(LOG_WARNING, "%s", e.text);
		told = true;
		return;
	}
	if (vaio_group_list(*nl, &list, &n, &e)) {
		say(LOG_WARNING, "%s", e.text);
		vaio_nl_close(*nl);
		*nl = NULL;
		return;
	}
	told = false;
	for (struct child *c = children; c; c = c->next)
		c->seen = false;
	for (unsigned int i = 0; i < n; i++) {
		const char *target = vaio_pair_value(list[i].props, list[i].n_props, "target");
		struct child *c = child_find(list[i].name);

		if (!*target || groups++ >= MAX_GROUPS)
			continue;
		if (!c)
			c = add_child(list[i].name);
		if (c)
			refresh(c, target, vaio_pair_value(list[i].props, list[i].n_props, "mode"));
	}
	vaio_groups_free(list, n);
	for (struct child *c = children, *next; c; c = next) {
		next = c->next;
		if (c->seen)
			continue;
		if (c->pid)
			stop_child(c);
		else
			remove_child(c);
	}
}

/* --- the parent ---------------------------------------------------------------------------------------- */

static void look_after(void)
{
	uint64_t now = mono_ns();

	for (struct child *c = children; c; c = c->next) {
		uint64_t beat = atomic_load(&c->shared->heartbeat_ns);

		if (!c->pid || beat > now || now - beat < HUNG_NS)
			continue;
		say(LOG_ERR, "group %s: its process gave no sign of life for %llu s and is killed", c->name,
		    HUNG_NS / 1000000000);
		kill(c->pid, SIGKILL);
		atomic_store(&c->shared->heartbeat_ns, now);
	}
}

/* Begins anew with what is there: certificates, a group that was refused or set aside. */
static void try_again(struct child *c)
{
	struct vaio_pki pki;

	vaio_pki_files(&pki, c->config.pki, "client");
	vaio_pki_read(&c->certificates, &pki);
	c->set_aside = false;
	c->strikes = 0;
	c->start_ns = 0;
	if (c->pid)
		kill(c->pid, SIGHUP);
}

static void on_hup(void)
{
	say(LOG_NOTICE, "configuration and certificates are read again");
	for (struct child *c = children; c; c = c->next)
		try_again(c);
}

static void look_at_certificates(void)
{
	struct vaio_pki pki;

	for (struct child *c = children; c; c = c->next) {
		vaio_pki_files(&pki, c->config.pki, "client");
		if (vaio_pki_changed(&c->certificates, &pki)) {
			say(LOG_NOTICE, "group %s: certificates have changed and are read again", c->name);
			try_again(c);
		}
	}
}

static void read_answers(void)
{
	struct answer a;

	for (struct child *c = children; c; c = c->next)
		while (c->requests >= 0 && recv(c->requests, &a, sizeof(a), MSG_DONTWAIT) == sizeof(a)) {
			a.text[sizeof(a.text) - 1] = 0;
			control_answer(&a);
		}
}

/* False: told to stop. */
static bool wait_for_events(int signals, uint64_t until)
{
	struct pollfd p[MAX_GROUPS + 64];
	struct signalfd_siginfo info;
	uint64_t now = mono_ns();
	int n = 1;

	p[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	n += control_poll(p + n, 64);
	for (struct child *c = children; c && n < (int)(sizeof(p) / sizeof(*p)); c = c->next)
		p[n++] = (struct pollfd){ .fd = c->requests, .events = POLLIN };
	poll(p, (nfds_t)n, until > now ? (int)((until - now) / 1000000) + 1 : 0);
	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			return false;
		if (info.ssi_signo == SIGHUP)
			on_hup();
	}
	return true;
}

static void run(int signals)
{
	uint64_t watchdog = 0, next = 0;
	struct vaio_nl *nl = NULL;

	if (sd_watchdog_enabled(0, &watchdog) <= 0)
		watchdog = 0;
	do {
		uint64_t now = mono_ns();

		reap();
		read_answers();
		control_run();
		look_after();
		if (now >= next) {
			scan(&nl);
			look_at_certificates();
			next = mono_ns() + config.scan_ms * 1000000ULL;
			if (watchdog)
				sd_notify(0, "WATCHDOG=1");
		}
	} while (wait_for_events(signals, next));
	if (nl)
		vaio_nl_close(nl);
}

static void stop_all(void)
{
	uint64_t until = mono_ns() + GOODBYE_NS;
	bool any = true;

	for (struct child *c = children; c; c = c->next)
		stop_child(c);
	while (any) {
		any = false;
		reap();
		for (struct child *c = children; c; c = c->next) {
			if (!c->pid)
				continue;
			any = true;
			if (mono_ns() > until)
				kill(c->pid, SIGKILL);
		}
		if (any)
			usleep(10000);
	}
}

static int make_folder(const char *path, struct vr_err *e)
{
	char part[512];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		mkdir(part, 0755);
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return vr_fail_errno(e, -errno, "%.200s", path);
	return 0;
}

/* One agent for each folder of state: two would tell replicas different things. */
static int lock_state(struct vr_err *e)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%.300s/lock", config.state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return vr_fail_errno(e, -errno, "%.200s", path);
	if (flock(fd, LOCK_EX | LOCK_NB))
		return vr_fail(e, -EBUSY, "%.200s: another vaio-agent runs with this state", path);
	return 0;	/* until the process ends */
}

static void usage(FILE *f)
{
	fprintf(f, "usage: vaio-agent [OPTION]...\n\n"
		"  --config FILE   words for all groups, and for one each (default /etc/vaio/agent.conf)\n"
		"  --pki DIR       CA/cacert.pem, CA/cacrl.pem, vaio/clientcert.pem,\n"
		"                  vaio/private/clientkey.pem (default /etc/pki/vaio)\n"
		"  --state DIR     what outlives a boot (default /var/lib/vaio/agent)\n"
		"  --run DIR       what outlives the agent (default /run/vaio/agent)\n"
		"  --socket PATH   for vaioctl (default /run/vaio/agent.sock)\n"
		"  --scan TIME     how often to look for groups, 100ms to 60s (default 1s)\n"
		"  --take-over GROUP  the state of this group, which another machine wrote, is this\n"
		"                  machine's from here on; its disks are compared. Ends\n"
		"  --check         read the configuration file, say what is wrong with it, and end\n"
		"  --help, --version\n");
}

static int check_config(void)
{
	struct group_config c;
	struct vaio_err e;

	if (!config_read("", &c, &e))
		return 0;
	fprintf(stderr, "vaio-agent: %s\n", e.text);
	return 1;
}

static int take_over(const char *group)
{
	struct vr_err e = { "" };

	if (!*group || strlen(group) >= VAIO_NAME_LEN || strchr(group, '/') || group[0] == '.') {
		fprintf(stderr, "vaio-agent: --take-over '%.40s' is no name of a group\n", group);
		return 2;
	}
	if (!group_state_take_over(group, &e))
		return 0;
	fprintf(stderr, "vaio-agent: %s\n", e.text);
	return 1;
}

/* 0, or the exit status + 1. */
static int options(int argc, char **argv)
{
	static const struct option list[] = {
		{ "config", 1, NULL, 'c' }, { "pki", 1, NULL, 'p' }, { "state", 1, NULL, 's' }, { "run", 1, NULL, 'r' },
		{ "socket", 1, NULL, 'k' }, { "scan", 1, NULL, 'n' }, { "check", 0, NULL, 'C' }, { "take-over", 1, NULL, 'T' }, { "help", 0, NULL, 'h' },
		{ "version", 0, NULL, 'v' }, { 0 },
	};
	const char *group = NULL;
	bool check = false;
	struct vaio_err e;
	uint64_t ms;
	int c;

	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		switch (c) {
		case 'c': config.file = optarg; break;
		case 'p': config.pki = optarg; break;
		case 's': config.state = optarg; break;
		case 'r': config.run = optarg; break;
		case 'k': config.socket = optarg; break;
		case 'C': check = true; break;
		case 'T': group = optarg; break;
		case 'n':
			if (vaio_parse_time(optarg, &ms, &e) || ms < 100 || ms > 60000) {
				fprintf(stderr, "vaio-agent: --scan '%s' is not 100ms to 60s\n", optarg);
				return 3;
			}
			config.scan_ms = (unsigned int)ms;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'v':
			puts("vaio-agent " VAIOCTL_VERSION);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "vaio-agent: '%s' is no option\n", argv[optind]);
		return 3;
	}
	if (strlen(config.pki) >= 256 || strlen(config.state) >= 256 || strlen(config.run) >= 256) {
		fprintf(stderr, "vaio-agent: a folder's name is longer than 255 bytes\n");
		return 3;
	}
	if (group)
		return take_over(group) + 1;
	return check ? check_config() + 1 : 0;
}

int main(int argc, char **argv)
{
	static char hostname[VAIO_RW_NAME_LEN];
	struct vr_err e;
	sigset_t set;
	int signals, rc = options(argc, argv);

	if (rc)
		return rc - 1;
	umask(077);
	gcry_check_version(NULL);
	gethostname(hostname, sizeof(hostname) - 1);
	config.hostname = hostname;
	/* What guests write passes through here: no core dump, no debugger but root's. */
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (check_config())
		return 1;
	if (signals < 0 || make_folder(config.state, &e) || make_folder(config.run, &e) || lock_state(&e) || control_open(&e)) {
		say(LOG_ERR, "%s", e.text);
		return 1;
	}
	sd_notify(0, "READY=1");
	run(signals);
	sd_notify(0, "STOPPING=1");
	stop_all();
	control_close();
	return 0;
}
