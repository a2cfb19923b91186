/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vaioctl: the command table, the option parser and the helpers that commands
 * share. A command is one entry of a table in its cmd_*.c file; help, usage
 * errors, suggestions and completion all come from that entry.
 */
#ifndef VAIOCTL_H
#define VAIOCTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../libvaio/err.h"

/* Choices that hold for every command, parsed before or after the noun. */
struct vaioctl_globals {
	bool json;	/* print JSON on stdout */
	bool color;	/* stdout is a terminal that wants colours */
	bool verbose;	/* say more on stderr */
};

#define VAIOCTL_MAX_OPTS	64
#define VAIOCTL_MAX_ARGS	256

struct vaioctl_opt {
	const char *name;	/* without the dashes */
	const char *arg;	/* name of the value, NULL for a switch */
	const char *help;
	bool repeat;		/* may be given more than once */
};

struct vaioctl_args;

struct vaioctl_cmd {
	const char *noun;
	const char *verb;		/* NULL for commands that stand alone */
	const char *operands;		/* for the usage line, e.g. "NAME [PROP=VALUE]..." */
	int min_operands, max_operands;	/* max -1: any number */
	const char *summary;		/* one line */
	const char *text;		/* more for --help, may be NULL */
	const struct vaioctl_opt *opts;	/* ends with a NULL name, may be NULL */
	int (*run)(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
};

/* What the command line gave, in its order. */
struct vaioctl_args {
	int n_operands;
	const char *operand[VAIOCTL_MAX_ARGS];
	int n_opts;
	struct {
		const struct vaioctl_opt *opt;
		const char *value;	/* NULL for a switch */
	} opt[VAIOCTL_MAX_ARGS];
};

/* The value of an option ("" for a switch), NULL when not given. */
const char *vaioctl_opt(const struct vaioctl_args *a, const char *name);
static inline bool vaioctl_has(const struct vaioctl_args *a, const char *name)
{
	return vaioctl_opt(a, name) != NULL;
}

/*
 * Errors: "vaioctl: <what>: <text>" on stderr; returns @rc, so that a command
 * ends with `return vaioctl_fail("disk grow", VAIO_USAGE, "...")`.
 */
__attribute__((format(printf, 3, 4)))
int vaioctl_fail(const char *what, int rc, const char *fmt, ...);
int vaioctl_fail_err(const struct vaioctl_cmd *cmd, int rc, const struct vaio_err *e);
/* The same with the words of the command. */
__attribute__((format(printf, 3, 4)))
int vaioctl_cmd_fail(const struct vaioctl_cmd *cmd, int rc, const char *fmt, ...);

/* A remark on stderr: "vaioctl: <text>". */
__attribute__((format(printf, 1, 2)))
void vaioctl_note(const char *fmt, ...);

/*
 * The accepted word nearest to @word, NULL when none is near. @words ends with
 * NULL.
 */
const char *vaioctl_nearest(const char *word, const char *const *words);

/* Prints a JSON value on stdout, drops the reference, returns VAIO_OK. */
int vaioctl_print_json(json_t *j);

/* Terminal drawing. */
const char *vaioctl_bar(char *buf, size_t size, double part, double whole, int width);

/* Commands, each table ends with a NULL noun. */
extern const struct vaioctl_cmd vaioctl_filter_cmds[];
extern const struct vaioctl_cmd vaioctl_disk_cmds[];
extern const struct vaioctl_cmd vaioctl_domain_cmds[];
extern const struct vaioctl_cmd vaioctl_event_cmds[];
extern const struct vaioctl_cmd vaioctl_group_cmds[];
extern const struct vaioctl_cmd vaioctl_replica_cmds[];
extern const struct vaioctl_cmd vaioctl_sidecar_cmds[];
extern const struct vaioctl_cmd vaioctl_alone_cmds[];

#endif /* VAIOCTL_H */
