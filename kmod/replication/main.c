// SPDX-License-Identifier: GPL-2.0
/*
 * vaio-replication.ko: the filter, the agent's device, the netlink family.
 */
#include <linux/module.h>
#include "repl.h"

static int __init repl_init(void)
{
	int err;

	err = repl_chardev_init();
	if (err)
		return err;
	err = repl_netlink_init();
	if (err)
		goto bad_netlink;
	err = vaio_register_filter(&repl_filter, THIS_MODULE);
	if (err)
		goto bad_register;
	return 0;

bad_register:
	repl_netlink_exit();
bad_netlink:
	repl_chardev_exit();
	return vaio_init_error(err);
}

static void __exit repl_exit(void)
{
	vaio_unregister_filter(&repl_filter);
	repl_netlink_exit();
	repl_chardev_exit();
	repl_groups_exit();
}

module_init(repl_init);
module_exit(repl_exit);

MODULE_DESCRIPTION("vaio filter: replication");
MODULE_LICENSE("GPL");
MODULE_ALIAS_VAIO_FILTER("replication");
