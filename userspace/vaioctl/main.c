// SPDX-License-Identifier: GPL-2.0
/* vaioctl: finds the command, parses its options, prints help and completions. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../libvaio/libvaio.h"
#include "replica.h"
#include "vaioctl.h"

static const struct vaioctl_cmd *const tables[] = {
	vaioctl_filter_cmds, vaioctl_disk_cmds, vaioctl_domain_cmds, vaioctl_event_cmds, vaioctl_group_cmds,
	vaioctl_replica_cmds, vaioctl_sidecar_cmds, vaioctl_alone_cmds,
};

#define N_TABLES (sizeof(tables) / sizeof(*tables))

#define for_each_cmd(t, c) \
	for (t = 0; t < N_TABLES; t++) \
		for (c = tables[t]; c->noun; c++)

/* --- options ------------------------------------------------------------------ */

const char *vaioctl_opt(const struct vaioctl_args *a, const char *name)
{
	int i;

	for (i = a->n_opts - 1; i >= 0; i--)
		if (!strcmp(a->opt[i].opt->name, name))
			return a->opt[i].value ? a->opt[i].value : "";
	return NULL;
}

static const struct vaioctl_opt *find_opt(const struct vaioctl_cmd *cmd, const char *name, size_t len)
{
	const struct vaioctl_opt *o;

	for (o = cmd->opts; o && o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static int unknown_opt(const struct vaioctl_cmd *cmd, const char *arg)
{
	const char *words[VAIOCTL_MAX_OPTS] = { NULL }, *near;
	char list[1024] = "", name[128];
	const struct vaioctl_opt *o;
	size_t used = 0;
	int n = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg, "="), arg);
	for (o = cmd->opts; o && o->name && n < VAIOCTL_MAX_OPTS - 3; o++)
		words[n++] = o->name;
	words[n++] = "json";
	words[n++] = "help";
	while (n--)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s--%s", used ? ", " : "", words[n]);
	near = vaioctl_nearest(name + strspn(name, "-"), words);
	return vaioctl_cmd_fail(cmd, VAIO_USAGE, "option '%s' is unknown%s%s%s: accepted are %s", name,
				near ? ", did you mean --" : "", near ? near : "", near ? "?" : "", list);
}

static int add_opt(const struct vaioctl_cmd *cmd, struct vaioctl_args *a, const struct vaioctl_opt *o,
		   const char *value)
{
	if (!o->repeat && vaioctl_has(a, o->name))
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--%s is given twice", o->name);
	if (a->n_opts == VAIOCTL_MAX_ARGS)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "more than %d options", VAIOCTL_MAX_ARGS);
	a->opt[a->n_opts].opt = o;
	a->opt[a->n_opts++].value = value;
	return VAIO_OK;
}

static int parse_args(const struct vaioctl_cmd *cmd, int argc, char **argv, struct vaioctl_args *a)
{
	const struct vaioctl_opt *o;
	bool only_operands = false;
	int i, rc;

	for (i = 0; i < argc; i++) {
		const char *arg = argv[i], *eq;

		/* No option begins with a digit, and -10min is a point in time. */
		if (only_operands || arg[0] != '-' || !arg[1] || isdigit((unsigned char)arg[1])) {
			if (a->n_operands == VAIOCTL_MAX_ARGS ||
			    (cmd->max_operands >= 0 && a->n_operands == cmd->max_operands))
				return vaioctl_cmd_fail(cmd, VAIO_USAGE, "'%s' is one operand too many: accepted are %s", arg,
							cmd->operands ? cmd->operands : "none");
			a->operand[a->n_operands++] = arg;
			continue;
		}
		if (!strcmp(arg, "--")) {
			only_operands = true;
			continue;
		}
		eq = strchr(arg, '=');
		o = strncmp(arg, "--", 2) ? NULL : find_opt(cmd, arg + 2, strcspn(arg + 2, "="));
		if (!o)
			return unknown_opt(cmd, arg);
		if (!o->arg && eq)
			return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--%s takes no value, '%s' was given", o->name, eq + 1);
		if (o->arg && !eq) {
			if (i + 1 == argc)
				return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--%s lacks its value %s", o->name, o->arg);
			eq = argv[++i];
		} else if (eq) {
			eq++;
		}
		rc = add_opt(cmd, a, o, o->arg ? eq : NULL);
		if (rc)
			return rc;
	}
	if (a->n_operands < cmd->min_operands)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "operands are missing: accepted are %s", cmd->operands);
	return VAIO_OK;
}

/* --- messages --------------------------------------------------------------------- */

static void vfail(const char *what, const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "vaioctl: %s%s", what, what[0] ? ": " : "");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int vaioctl_fail(const char *what, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(what, fmt, ap);
	va_end(ap);
	return rc;
}

static void cmd_words(const struct vaioctl_cmd *cmd, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", cmd->noun, cmd->verb ? " " : "", cmd->verb ? cmd->verb : "");
}

int vaioctl_cmd_fail(const struct vaioctl_cmd *cmd, int rc, const char *fmt, ...)
{
	char what[64];
	va_list ap;

	cmd_words(cmd, what, sizeof(what));
	va_start(ap, fmt);
	vfail(what, fmt, ap);
	va_end(ap);
	return rc;
}

int vaioctl_fail_err(const struct vaioctl_cmd *cmd, int rc, const struct vaio_err *e)
{
	return vaioctl_cmd_fail(cmd, rc, "%s", e->text);
}

void vaioctl_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail("", fmt, ap);
	va_end(ap);
}

int vaioctl_print_json(json_t *j)
{
	int err = json_dumpf(j, stdout, JSON_INDENT(2));

	json_decref(j);
	putchar('\n');
	if (err || fflush(stdout))
		return vaioctl_fail("", VAIO_FAILED, "cannot write to standard output");
	return VAIO_OK;
}

static int distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), i, j;
	int row[33], prev, old;

	if (la > 32 || lb > 32)
		return 99;
	for (j = 0; j <= lb; j++)
		row[j] = (int)j;
	for (i = 1; i <= la; i++) {
		prev = row[0];
		row[0] = (int)i;
		for (j = 1; j <= lb; j++) {
			old = row[j];
			row[j] = prev + (a[i - 1] != b[j - 1]);
			if (row[j] > old + 1)
				row[j] = old + 1;
			if (row[j] > row[j - 1] + 1)
				row[j] = row[j - 1] + 1;
			prev = old;
		}
	}
	return row[lb];
}

const char *vaioctl_nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	int least = 99, d;

	for (; *words; words++) {
		d = distance(word, *words);
		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best && least <= 1 + (int)strlen(best) / 4 ? best : NULL;
}

const char *vaioctl_bar(char *buf, size_t size, double part, double whole, int width)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
	int n = whole > 0 ? (int)(part / whole * width * 8 + 0.5) : 0;
	size_t used = 0;

	if (part > 0 && !n)
		n = 1;
	if (n > width * 8)
		n = width * 8;
	buf[0] = 0;
	for (; n > 0 && used + 4 < size; n -= 8)
		used += (size_t)snprintf(buf + used, size - used, "%s", eighths[n > 8 ? 8 : n]);
	return buf;
}

/* --- help -------------------------------------------------------------------------- */

static void help_usage(FILE *f, const struct vaioctl_cmd *cmd)
{
	char what[64];

	cmd_words(cmd, what, sizeof(what));
	fprintf(f, "usage: vaioctl %s%s%s%s\n", what, cmd->operands ? " " : "", cmd->operands ? cmd->operands : "",
		cmd->opts ? " [OPTION]..." : "");
}

static int help_cmd(const struct vaioctl_cmd *cmd)
{
	const struct vaioctl_opt *o;
	char left[64];

	help_usage(stdout, cmd);
	printf("\n%s\n", cmd->summary);
	if (cmd->text)
		printf("\n%s\n", cmd->text);
	printf("\noptions:\n");
	for (o = cmd->opts; o && o->name; o++) {
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-26s %s%s\n", left, o->help, o->repeat ? " (may be repeated)" : "");
	}
	printf("  %-26s %s\n  %-26s %s\n", "--json", "print JSON", "--help", "this text");
	return VAIO_OK;
}

static void list_noun(const char *noun)
{
	const struct vaioctl_cmd *c;
	char left[64];
	size_t t;

	for_each_cmd(t, c) {
		if (noun && strcmp(noun, c->noun))
			continue;
		cmd_words(c, left, sizeof(left));
		printf("  %-18s %s\n", left, c->summary);
	}
}

static int help_noun(const char *noun)
{
	printf("usage: vaioctl %s VERB ...\n\n", noun);
	list_noun(noun);
	printf("\nvaioctl %s VERB --help tells more.\n", noun);
	return VAIO_OK;
}

static int help_all(void)
{
	printf("usage: vaioctl [--json] [--verbose] NOUN VERB ...\n\n"
	       "Controls vaio, I/O filters for virtual disks.\n\n");
	list_noun(NULL);
	printf("\n"
	       "options of every command:\n"
	       "  --json             print JSON\n"
	       "  --verbose          say more on standard error\n"
	       "  --help             help, for a noun and a verb as well\n"
	       "\n"
	       "exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 in use, 5 refused for safety\n"
	       "(the message names the flag that overrides), 6 partly done\n");
	return VAIO_OK;
}

/* --- finding the command ------------------------------------------------------------- */

static bool noun_known(const char *noun)
{
	const struct vaioctl_cmd *c;
	size_t t;

	for_each_cmd(t, c)
		if (!strcmp(c->noun, noun))
			return true;
	return false;
}

static const struct vaioctl_cmd *find_cmd(const char *noun, const char *verb)
{
	const struct vaioctl_cmd *c;
	size_t t;

	for_each_cmd(t, c)
		if (!strcmp(c->noun, noun) && (!c->verb || (verb && !strcmp(c->verb, verb))))
			return c;
	return NULL;
}

/* The words that may stand at a place; @noun NULL: the nouns. */
static int words_at(const char *noun, const char **words, int max)
{
	const struct vaioctl_cmd *c;
	int n = 0;
	size_t t;

	for_each_cmd(t, c) {
		const char *w = noun ? c->verb : c->noun;

		if (noun && strcmp(noun, c->noun))
			continue;
		if (!w || (n && !strcmp(words[n - 1], w)) || n == max - 1)
			continue;
		words[n++] = w;
	}
	words[n] = NULL;
	return n;
}

static int unknown_word(const char *noun, const char *word)
{
	const char *words[64], *near;
	char list[512] = "";
	size_t used = 0;
	int i, n = words_at(noun, words, 64);

	for (i = 0; i < n; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", words[i]);
	if (!word)
		return vaioctl_fail(noun ? noun : "", VAIO_USAGE, "a %s is missing: accepted are %s", noun ? "verb" : "noun",
				    list);
	near = vaioctl_nearest(word, words);
	return vaioctl_fail(noun ? noun : "", VAIO_USAGE, "'%s' is unknown%s%s%s: accepted are %s", word,
			    near ? ", did you mean " : "", near ? near : "", near ? "?" : "", list);
}

/* --- completion -------------------------------------------------------------------------- */

static void print_words(const char *const *words)
{
	for (; *words; words++)
		puts(*words);
}

static void complete_disks(void)
{
	struct vaio_disk_info *d;
	struct vaio_nl *nl;
	unsigned int i, n;

	if (vaio_nl_open(&nl, NULL))
		return;
	if (!vaio_nl_disks(nl, &d, &n, NULL)) {
		for (i = 0; i < n; i++)
			puts(d[i].name);
		vaio_disk_infos_free(d, n);
	}
	vaio_nl_close(nl);
}

static void complete_domains(void)
{
	struct vaio_domain *d;
	struct vaio_nl *nl;
	unsigned int i, n;

	if (vaio_nl_open(&nl, NULL))
		return;
	if (!vaio_nl_domains(nl, &d, &n, NULL)) {
		for (i = 0; i < n; i++)
			puts(d[i].name);
		free(d);
	}
	vaio_nl_close(nl);
}

static void complete_filters(void)
{
	struct vaio_filter_info *f;
	struct vaio_nl *nl;
	unsigned int i, n;

	if (vaio_nl_open(&nl, NULL))
		return;
	if (!vaio_nl_filters(nl, &f, &n, NULL)) {
		for (i = 0; i < n; i++)
			puts(f[i].name);
		free(f);
	}
	vaio_nl_close(nl);
}

/*
 * `vaioctl __complete WORD...`: candidates for what may follow the words, one a
 * line; "<file>" asks the shell for file names. The shell filters by prefix.
 */
static int complete(int argc, char **argv)
{
	const struct vaioctl_cmd *cmd;
	const struct vaioctl_opt *o;
	const char *words[64], *last;

	while (argc && argv[0][0] == '-') {
		argc--;
		argv++;
	}
	if (!argc) {
		words_at(NULL, words, 64);
		print_words(words);
		puts("--json\n--verbose\n--help");
		return VAIO_OK;
	}
	cmd = find_cmd(argv[0], argc > 1 ? argv[1] : NULL);
	if (!cmd) {
		if (argc == 1 && noun_known(argv[0])) {
			words_at(argv[0], words, 64);
			print_words(words);
			puts("--help");
		}
		return VAIO_OK;
	}
	last = argv[argc - 1];
	o = strncmp(last, "--", 2) ? NULL : find_opt(cmd, last + 2, strlen(last + 2));
	if (o && o->arg) {
		if (strstr(o->arg, "FILE") || strstr(o->arg, "DEV") || strstr(o->arg, "IMAGE") || strstr(o->arg, "PATH"))
			puts("<file>");
		if (!strcmp(o->name, "filter"))
			complete_filters();
		if (!strcmp(o->name, "phase"))
			print_words(vaio_event_phase_names);
		if (!strcmp(o->name, "type"))
			print_words(vaio_event_type_names);
		if (!strcmp(o->name, "disk") && strcmp(cmd->noun, "replica"))
			complete_disks();
		if (!strcmp(o->name, "kind"))
			puts("crash\nfilesystem\napplication");
		if (!strcmp(o->name, "point"))
			puts("latest\noldest\nseq:\nname:");
		return VAIO_OK;
	}
	for (o = cmd->opts; o && o->name; o++)
		printf("--%s\n", o->name);
	puts("--json\n--help");
	if (!strcmp(cmd->noun, "replica") && cmd->operands && !strncmp(cmd->operands, "GROUP", 5))
		replica_complete_groups();
	if (cmd->operands && strstr(cmd->operands, "[POINT]"))
		puts("latest\noldest\nseq:\nname:\n-10min");
	if (cmd->operands && strstr(cmd->operands, " FILE"))
		puts("<file>");
	if (cmd->operands && !strncmp(cmd->operands, "SIDECAR", 7))
		puts("<file>");
	if (cmd->operands && !strncmp(cmd->operands, "NAME", 4))
		complete_disks();
	if (cmd->operands && !strcmp(cmd->operands, "DOMAIN"))
		complete_domains();
	if (cmd->operands && strstr(cmd->operands, "TYPE"))
		print_words(vaio_event_type_names);
	return VAIO_OK;
}

/* --- main ---------------------------------------------------------------------------------- */

/* Takes --json, --verbose and --help out of the words; "--" ends the search. */
static int take_globals(int argc, char **argv, struct vaioctl_globals *g, bool *help)
{
	int i, n = 0;

	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			while (i < argc)
				argv[n++] = argv[i++];
			break;
		}
		if (!strcmp(argv[i], "--json"))
			g->json = true;
		else if (!strcmp(argv[i], "--verbose"))
			g->verbose = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			*help = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

static int run(int argc, char **argv, struct vaioctl_globals *g)
{
	const struct vaioctl_cmd *cmd;
	struct vaioctl_args a = { 0 };
	bool help = false;
	int rc, skip;

	if (argc && !strcmp(argv[0], "__complete"))
		return complete(argc - 1, argv + 1);
	argc = take_globals(argc, argv, g, &help);
	if (argc && !strcmp(argv[0], "help")) {
		help = true;
		argc--;
		argv++;
	}
	if (!argc)
		return help ? help_all() : unknown_word(NULL, NULL);
	if (!strcmp(argv[0], "--version"))
		argv[0] = "version";
	if (argv[0][0] == '-')
		return vaioctl_fail("", VAIO_USAGE, "option '%s' is unknown: accepted before the noun are --json, --verbose, "
				    "--help, --version", argv[0]);
	if (!noun_known(argv[0]))
		return unknown_word(NULL, argv[0]);
	cmd = find_cmd(argv[0], argc > 1 ? argv[1] : NULL);
	if (!cmd) {
		if (help && argc == 1)
			return help_noun(argv[0]);
		return unknown_word(argv[0], argc > 1 ? argv[1] : NULL);
	}
	if (help)
		return help_cmd(cmd);
	skip = cmd->verb ? 2 : 1;
	rc = parse_args(cmd, argc - skip, argv + skip, &a);
	return rc ? rc : cmd->run(cmd, &a, g);
}

int main(int argc, char **argv)
{
	struct vaioctl_globals g = { 0 };
	int rc;

	g.color = isatty(1) && !getenv("NO_COLOR") && (!getenv("TERM") || strcmp(getenv("TERM"), "dumb"));
	rc = run(argc - 1, argv + 1, &g);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "vaioctl: cannot write to standard output\n");
		if (!rc)
			rc = VAIO_FAILED;
	}
	return rc;
}
