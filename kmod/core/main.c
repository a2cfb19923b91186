// SPDX-License-Identifier: GPL-2.0
/*
 * vaio.ko: module parameters, and the identity of this host.
 *
 * A sidecar records which host owns it, in which of its boots. The host's id is
 * given by user space (/etc/machine-id), once; the boot id is random and new
 * each time the module is loaded.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include "core.h"
#include "sidecar.h"

bool vaio_exclusive = true;
VAIO_EXPORT_FOR_KUNIT(vaio_exclusive);
module_param_named(exclusive_classes, vaio_exclusive, bool, 0644);
MODULE_PARM_DESC(exclusive_classes, "at most one filter of each class on this host (default on)");

static DEFINE_MUTEX(host_lock);
static u8 host_id[VAIO_HOST_ID_LEN];
static u8 boot_id[VAIO_HOST_ID_LEN];
static bool host_id_set;

/**
 * vaio_exclusive_classes - may a class be registered only once on this host?
 *
 * Return: the module parameter.
 */
bool vaio_exclusive_classes(void)
{
	return READ_ONCE(vaio_exclusive);
}

/**
 * vaio_host_parse - read a host id
 * @text: 32 hex digits as in /etc/machine-id, or a UUID with dashes; a newline may follow
 * @id: gets VAIO_HOST_ID_LEN bytes
 *
 * Return: 0, or -EINVAL for anything else, all zeroes included.
 */
int vaio_host_parse(const char *text, u8 *id)
{
	size_t len = strlen(text);
	char digits[2 * VAIO_HOST_ID_LEN];
	u8 bytes[VAIO_HOST_ID_LEN];
	unsigned int i, n = 0;

	if (len && text[len - 1] == '\n')
		len--;
	if (len != sizeof(digits) && len != UUID_STRING_LEN)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		if (len == UUID_STRING_LEN && (i == 8 || i == 13 || i == 18 || i == 23)) {
			if (text[i] != '-')
				return -EINVAL;
			continue;
		}
		digits[n++] = text[i];
	}
	if (hex2bin(bytes, digits, sizeof(bytes)) || !memchr_inv(bytes, 0, sizeof(bytes)))
		return -EINVAL;
	memcpy(id, bytes, sizeof(bytes));
	return 0;
}
VAIO_EXPORT_FOR_KUNIT(vaio_host_parse);

/*
 * Once: sidecars that are open bear the id. The same value again is no change.
 */
static int host_id_store(const char *text, const struct kernel_param *kp)
{
	u8 id[VAIO_HOST_ID_LEN];
	int err = 0;

	if (vaio_host_parse(text, id)) {
		pr_err("host_id: '%.*s' is not a host id: 32 hex digits or a UUID\n",
		       (int)strcspn(text, "\n"), text);
		return -EINVAL;
	}
	mutex_lock(&host_lock);
	if (host_id_set) {
		if (memcmp(host_id, id, sizeof(id))) {
			pr_err("host_id is already %*phN and cannot change\n",
			       (int)sizeof(host_id), host_id);
			err = -EBUSY;
		}
	} else {
		memcpy(host_id, id, sizeof(id));
		host_id_set = true;
	}
	mutex_unlock(&host_lock);
	return err;
}

static int host_id_show(char *buf, const struct kernel_param *kp)
{
	int len;

	mutex_lock(&host_lock);
	len = host_id_set ? sprintf(buf, "%*phN\n", (int)sizeof(host_id), host_id) :
			    sprintf(buf, "\n");
	mutex_unlock(&host_lock);
	return len;
}

static const struct kernel_param_ops host_id_ops = {
	.set = host_id_store,
	.get = host_id_show,
};
module_param_cb(host_id, &host_id_ops, NULL, 0644);
MODULE_PARM_DESC(host_id, "this host's id, 32 hex digits or a UUID (/etc/machine-id); can be set once");

/**
 * vaio_host_identity - who is this host, and which of its boots is this?
 * @host: gets the host id, VAIO_HOST_ID_LEN bytes
 * @boot: gets the boot id, likewise
 *
 * Neither changes once it was told. May sleep.
 * Return: 0, or -ENODATA when nobody has set the module parameter host_id: no
 * sidecar can be owned then.
 */
int vaio_host_identity(u8 *host, u8 *boot)
{
	int err = -ENODATA;

	mutex_lock(&host_lock);
	if (host_id_set) {
		memcpy(host, host_id, sizeof(host_id));
		memcpy(boot, boot_id, sizeof(boot_id));
		err = 0;
	}
	mutex_unlock(&host_lock);
	return err;
}
EXPORT_SYMBOL_GPL(vaio_host_identity);

static int __init vaio_init(void)
{
	int err;

	get_random_bytes(boot_id, sizeof(boot_id));
	err = vaio_events_init();
	if (err)
		return err;
	err = vaio_netlink_init();
	if (err)
		vaio_events_exit();
	return err;
}

/* Tables and filters hold the module: there are no disks and no filters here. */
static void __exit vaio_exit(void)
{
	vaio_netlink_exit();
	vaio_events_exit();
	vaio_sidecars_exit();
}

module_init(vaio_init);
module_exit(vaio_exit);

MODULE_DESCRIPTION("I/O filters for virtual disks: the framework");
MODULE_LICENSE("GPL");
MODULE_VERSION(VAIO_VERSION);
