/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the commands of `vaioctl replica` share: asking vaio-replicad, and reading a store without it.
 * Where a command wants GROUP, a word with a '/' is a store's folder, and no daemon is asked.
 */
#ifndef VAIOCTL_REPLICA_H
#define VAIOCTL_REPLICA_H

#include <stdio.h>

#include "../libreplica/libreplica.h"
#include "vaioctl.h"

#define REPLICAD_SOCKET	"/run/vaio/replicad.sock"
#define AGENT_SOCKET	"/run/vaio/agent.sock"
#define OPT_AGENT	{ "agent", "PATH", "vaio-agent's socket, on the source (" AGENT_SOCKET ")", false }
#define OPT_SOCKET	{ "socket", "PATH", "vaio-replicad's (" REPLICAD_SOCKET ")", false }
#define OPT_POINT	{ "point", "POINT", "latest, oldest, seq:N, name:X, a time, -10min (latest)", false }
#define OPT_DISK	{ "disk", "DISK", "name, UUID or number; may be left out when there is one", false }

/* Sends @request (dropped) and gives the answer. Fails with what the daemon says. */
int replica_ask(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t *request, json_t **answer);

/*
 * Where a question goes that both ends can answer: to the socket that is given (--socket, --agent), else to
 * those that are there. False for both: neither is.
 */
void replica_ends(const struct vaioctl_args *a, bool *replicad, bool *agent);
int replica_ask_agent(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, json_t *request, json_t **answer);
/* Without a word when nobody answers within two seconds: NULL. @request is dropped. */
json_t *replica_ask_quietly(const char *path, json_t *request);

static inline bool replica_is_folder(const char *group)
{
	for (; *group; group++)
		if (*group == '/')
			return true;
	return false;
}

/* A store opened for reading at a point, which stays until replica_close(). */
struct replica_open {
	char dir[512];
	struct vr_pin *pin;
	struct vr_store *st;
	struct vr_point point;
	struct vr_view *view;
	struct vr_member disk;
};

/* Opens the store of @group at @point. Without a disk. */
int replica_open(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, const char *point,
		 struct replica_open *o);
/* And the disk of --disk. */
int replica_open_disk(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, const char *point,
		      struct replica_open *o);
void replica_close(struct replica_open *o);

/* The store's folder of a group. */
int replica_folder(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const char *group, char *dir, size_t size);

/* A library's -errno as an exit code, with its text. */
int replica_fail(const struct vaioctl_cmd *cmd, int err, const struct vr_err *e);

/* "2026-11-21 07:00:00", local time; "-" for 0. */
const char *replica_time(uint64_t ns, char *buf, size_t size);
/* "3h12m", "12.5s" */
const char *replica_span(uint64_t ns, char *buf, size_t size);
uint64_t replica_number(json_t *j, const char *key);
const char *replica_text(json_t *j, const char *key);

/* cmd_replica_status.c */
extern const struct vaioctl_opt replica_status_opts[];
int replica_list(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_status(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
/* Names, a line each, for the shell's completion. */
void replica_complete_groups(void);
/*
 * All groups of this host, or of the ends that --socket and --agent give, as status --json has them. Who does not answer is
 * left out, with a sentence in @silent.
 */
json_t *replica_groups(const struct vaioctl_args *a, json_t **silent);
/* Their lines, for top; nothing when there are none. */
void replica_table(FILE *f, const struct vaioctl_args *a);

/* cmd_replica_export.c, cmd_replica_data.c */
extern const struct vaioctl_opt replica_export_opts[], replica_exports_opts[], replica_unexport_opts[], replica_extract_opts[],
	replica_restore_opts[], replica_verify_opts[], replica_scrub_opts[];
int replica_export(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_exports(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_unexport(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_extract(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_restore(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_verify(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int replica_scrub(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);

#endif /* VAIOCTL_REPLICA_H */
