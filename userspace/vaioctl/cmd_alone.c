// SPDX-License-Identifier: GPL-2.0
/* Commands without a verb: version here, top and doctor in files of their own. */
#include <stdio.h>

#include "../libvaio/libvaio.h"
#include "alone.h"

static int cmd_version(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaio_host h = { 0 };
	struct vaio_nl *nl;

	(void)cmd;
	(void)a;
	if (vaio_nl_open(&nl, NULL) == VAIO_OK) {
		if (vaio_nl_host(nl, &h, NULL))
			h.version[0] = 0;
		vaio_nl_close(nl);
	}
	if (g->json) {
		json_t *j = json_pack("{s:s, s:i}", "vaioctl", VAIOCTL_VERSION, "netlink", VAIO_GENL_VERSION);

		json_object_set_new(j, "module", h.version[0] ? json_string(h.version) : json_null());
		return vaioctl_print_json(j);
	}
	printf("vaioctl %s, netlink version %d\n", VAIOCTL_VERSION, VAIO_GENL_VERSION);
	if (h.version[0])
		printf("vaio module %s\n", h.version);
	else
		printf("vaio module is not loaded\n");
	return VAIO_OK;
}

const struct vaioctl_cmd vaioctl_alone_cmds[] = {
	{
		.noun = "top", .run = cmd_top, .opts = top_opts,
		.summary = "a live table of what the disks and their slots do",
	}, {
		.noun = "doctor", .run = cmd_doctor,
		.summary = "look for what is wrong with this host and say how to mend it",
		.text = "Exit code 0: nothing found that stops or endangers a disk; 1: something was.",
	}, {
		.noun = "version", .run = cmd_version,
		.summary = "versions of vaioctl and of the module",
	},
	{ 0 },
};
