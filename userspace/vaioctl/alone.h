/* SPDX-License-Identifier: GPL-2.0 */
/* Commands without a verb. */
#ifndef VAIOCTL_ALONE_H
#define VAIOCTL_ALONE_H

#include "vaioctl.h"

extern const struct vaioctl_opt top_opts[];
int cmd_top(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);
int cmd_doctor(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g);

#endif /* VAIOCTL_ALONE_H */
