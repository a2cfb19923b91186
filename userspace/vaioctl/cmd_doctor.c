// SPDX-License-Identifier: GPL-2.0
/*
 * vaioctl doctor: each check_*() looks at one thing and adds findings. A finding
 * says what is wrong and how to mend it.
 */
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../libvaio/libvaio.h"
#include "alone.h"
#include "disk.h"

enum level { GOOD, REMARK, WRONG };

static const char *const level_names[] = { "ok", "note", "problem" };

struct report {
	json_t *findings;
	int wrong;
};

__attribute__((format(printf, 5, 6)))
static void add(struct report *r, const char *check, enum level level, const char *fix, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *j;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	j = json_pack("{s:s, s:s, s:s}", "check", check, "level", level_names[level], "text", text);
	if (fix)
		json_object_set_new(j, "fix", json_string(fix));
	json_array_append_new(r->findings, j);
	r->wrong += level == WRONG;
}

/* --- kernel and modules -------------------------------------------------------------- */

static bool file_there(const char *pattern)
{
	glob_t g;
	bool found = !glob(pattern, 0, NULL, &g);

	globfree(&g);
	return found;
}

static void check_headers(struct report *r, const char *release)
{
	char path[256], fix[256];

	snprintf(path, sizeof(path), "/lib/modules/%s/build/Makefile", release);
	snprintf(fix, sizeof(fix), "apt-get install linux-headers-%s", release);
	if (file_there(path))
		add(r, "headers", GOOD, NULL, "kernel headers of %s are installed", release);
	else
		/* A host that got its modules elsewhere needs none. */
		add(r, "headers", vaio_module_loaded("vaio") ? REMARK : WRONG, fix,
		    "kernel headers of %s are missing: the modules cannot be built for this kernel", release);
}

/* Can it be loaded, and if not, why? `modprobe -n` says whether it is there. */
static void check_module(struct report *r, const char *name, const char *release)
{
	const char *dry[] = { "modprobe", "-n", "-q", "--", name, NULL };
	char line[512], lockdown[128];
	struct vaio_err e;

	if (vaio_module_loaded(name)) {
		add(r, "modules", GOOD, NULL, "module %s is loaded", name);
		return;
	}
	if (vaio_run(dry, line, sizeof(line))) {
		add(r, "modules", WRONG, "dkms install vaio, or make install && depmod -a",
		    "module %s is not installed for kernel %s", name, release);
		return;
	}
	if (geteuid()) {
		add(r, "modules", REMARK, "run vaioctl doctor as root", "module %s is installed, not loaded", name);
		return;
	}
	/* Loading is what every attach does; it changes nothing else. */
	if (vaio_module_load(name, &e) == VAIO_OK) {
		add(r, "modules", GOOD, NULL, "module %s can be loaded", name);
		return;
	}
	if (strstr(e.text, "Key was rejected") || strstr(e.text, "Required key") ||
	    (vaio_read_line("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown)) && !strstr(lockdown, "[none]")))
		add(r, "modules", WRONG, "mokutil --import /var/lib/dkms/mok.pub, reboot, and enroll the key",
		    "module %s is not loaded: Secure Boot or lockdown wants a signature that it trusts (%s)", name, e.text);
	else if (strstr(e.text, "Exec format") || strstr(e.text, "Invalid module format"))
		add(r, "modules", WRONG, "dkms autoinstall, or build it again against this kernel's headers",
		    "module %s was built for another kernel (%s)", name, e.text);
	else
		add(r, "modules", WRONG, "dmesg | tail", "module %s cannot be loaded: %s", name, e.text);
}

static void check_versions(struct report *r, const struct vaio_host *h)
{
	static const char *const modules[] = { "vaio", "dm_vaio" };
	char path[128], version[64];
	unsigned int i;

	if (strcmp(h->version, VAIOCTL_VERSION))
		add(r, "versions", WRONG, "install vaioctl and the modules from one release, then load the modules anew",
		    "the loaded framework is version %s, vaioctl is %s", h->version, VAIOCTL_VERSION);
	else
		add(r, "versions", GOOD, NULL, "the framework and vaioctl are version %s", h->version);
	for (i = 0; i < sizeof(modules) / sizeof(*modules); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s/version", modules[i]);
		if (vaio_read_line(path, version, sizeof(version)) && strcmp(version, VAIOCTL_VERSION))
			add(r, "versions", WRONG, "unload all vaio modules and load them from one release",
			    "module %s is version %s, vaioctl is %s", modules[i], version, VAIOCTL_VERSION);
	}
}

static void check_classes(struct report *r, struct vaio_nl *nl, const struct vaio_host *h)
{
	struct vaio_filter_info *f;
	unsigned int i, j, n;
	struct vaio_err e;

	if (vaio_nl_filters(nl, &f, &n, &e)) {
		add(r, "classes", WRONG, NULL, "filters cannot be listed: %s", e.text);
		return;
	}
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (f[i].class == f[j].class)
				add(r, "classes", h->exclusive ? WRONG : REMARK, "unload the one that is not wanted",
				    "filters '%s' and '%s' are both of class %s: a disk takes one of them", f[i].name, f[j].name,
				    vaio_word(vaio_class_names, f[i].class));
	add(r, "classes", GOOD, NULL, "%u filters are registered, %s", n,
	    h->exclusive ? "one of a class on this host" : "several of a class allowed");
	free(f);
}

/* A filter that was refused says so once, in the kernel log. */
static void check_class_conflict_log(struct report *r)
{
	const char *argv[] = { "sh", "-c", "dmesg 2>/dev/null | grep -a 'vaio.*class .* is taken by' | tail -n 1",
			       NULL };
	char line[512];

	if (!vaio_run(argv, line, sizeof(line)) && line[0])
		add(r, "classes", REMARK, "unload the other filter first, or load vaio with exclusive_classes=0",
		    "a filter was refused since the host started: %s", line);
}

/* --- disks -------------------------------------------------------------------------------- */

static void check_disk(struct report *r, const struct vaio_disk_info *d)
{
	char node[256];
	dev_t dev = disk_dev(d->backing_dev);

	if (d->state == VAIO_DISK_PARKED)
		add(r, "disks", WRONG, "load a table that works: vaioctl disk detach and attach, or dmsetup load and resume",
		    "disk '%s' is parked: %s", d->name, d->reason[0] ? d->reason : "its last table did not start");
	else if (d->state == VAIO_DISK_DEGRADED)
		add(r, "disks", WRONG, "see the reason", "disk '%s' is degraded: %s", d->name, d->reason);
	else if (d->state == VAIO_DISK_STANDBY)
		add(r, "disks", REMARK, "vaioctl disk detach, then attach --takeover if the other host no longer has it",
		    "disk '%s' is in standby: %s", d->name, d->reason);
	else if (d->state == VAIO_DISK_SUSPENDED)
		add(r, "disks", REMARK, "dmsetup resume", "disk '%s' is suspended: its I/O waits", d->name);
	else
		add(r, "disks", GOOD, NULL, "disk '%s' is %s", d->name, vaio_word(vaio_disk_state_names, d->state));
	if (!d->backing_dev || backing_is_protected(dev))
		return;
	vaio_blockdev_path(dev, node, sizeof(node));
	add(r, "backing", WRONG, "install the udev rules and attach again, or chown root:root and chmod 600 the node",
	    "%s, the backing of disk '%s', is not root's alone: others can read and write around the filters", node, d->name);
}

static void check_disks(struct report *r, struct vaio_nl *nl)
{
	struct vaio_disk_info *d;
	struct vaio_err e;
	unsigned int i, n;

	if (vaio_nl_disks(nl, &d, &n, &e)) {
		add(r, "disks", WRONG, NULL, "disks cannot be listed: %s", e.text);
		return;
	}
	for (i = 0; i < n; i++)
		check_disk(r, &d[i]);
	if (!n)
		add(r, "disks", GOOD, NULL, "no disks are attached");
	vaio_disk_infos_free(d, n);
}

static void check_udev(struct report *r)
{
	if (!vaio_udev_running()) {
		add(r, "udev", REMARK, NULL, "udev does not run here: nodes are made without it");
		return;
	}
	if (file_there("/usr/lib/udev/rules.d/*-vaio.rules") || file_there("/lib/udev/rules.d/*-vaio.rules") ||
	    file_there("/etc/udev/rules.d/*-vaio.rules") || file_there("/run/udev/rules.d/*-vaio.rules"))
		add(r, "udev", GOOD, NULL, "udev rules are installed");
	else
		add(r, "udev", WRONG, "make install, then udevadm control --reload",
		    "the udev rules are not installed: the host may look into guests' disks");
}

/* LVM's commands look into every block device unless its filter says otherwise. */
static void check_lvm(struct report *r)
{
	const char *argv[] = { "lvmconfig", "--type", "full", "devices/global_filter", NULL };
	char line[600];

	if (!file_there("/sbin/lvmconfig") && !file_there("/usr/sbin/lvmconfig"))
		return;
	if (!vaio_run(argv, line, sizeof(line)) && strstr(line, "/dev/vaio/"))
		add(r, "lvm", GOOD, NULL, "LVM's commands leave the disks of guests alone");
	else
		add(r, "lvm", REMARK, "add to /etc/lvm/lvm.conf: devices { global_filter = [ \"r|^/dev/vaio/|\" ] }",
		    "LVM's commands look into the disks of guests and could activate what is there");
}

static void check_host_id(struct report *r)
{
	char id[VAIO_UUID_STR_LEN];
	struct vaio_err e;

	if (vaio_host_id(id, &e))
		add(r, "host", WRONG, "systemd-machine-id-setup", "%s: a sidecar cannot tell whose a disk is", e.text);
	else
		add(r, "host", GOOD, NULL, "this host is %s", id);
}

/* --- all ------------------------------------------------------------------------------------- */

static void print_report(const struct report *r, bool color)
{
	static const char *const colors[] = { "\033[32m", "\033[33m", "\033[31m" };
	const char *level, *fix;
	json_t *f;
	size_t i;
	int l;

	json_array_foreach(r->findings, i, f) {
		level = json_string_value(json_object_get(f, "level"));
		fix = json_string_value(json_object_get(f, "fix"));
		for (l = 0; strcmp(level_names[l], level); l++)
			;
		printf("%s%-8s%s %-9s %s\n", color ? colors[l] : "", level, color ? "\033[0m" : "",
		       json_string_value(json_object_get(f, "check")), json_string_value(json_object_get(f, "text")));
		if (fix)
			printf("%18s to mend it: %s\n", "", fix);
	}
}

int cmd_doctor(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct report r = { .findings = json_array() };
	struct vaio_host h;
	struct vaio_nl *nl;
	struct utsname u;
	struct vaio_err e;
	int wrong, err;

	(void)cmd;
	(void)a;
	uname(&u);
	check_headers(&r, u.release);
	check_module(&r, "vaio", u.release);
	check_module(&r, "dm-vaio", u.release);
	check_udev(&r);
	check_lvm(&r);
	check_host_id(&r);
	err = vaio_nl_open(&nl, &e);
	if (err == VAIO_NOTFOUND) {
		add(&r, "netlink", WRONG, "modprobe dm-vaio", "the framework is not loaded");
	} else if (err) {
		add(&r, "netlink", WRONG, NULL, "%s", e.text);
	} else {
		if (vaio_nl_host(nl, &h, &e)) {
			add(&r, "netlink", WRONG, geteuid() ? "run vaioctl doctor as root" : NULL, "%s", e.text);
		} else {
			check_versions(&r, &h);
			check_classes(&r, nl, &h);
			check_disks(&r, nl);
		}
		vaio_nl_close(nl);
	}
	check_class_conflict_log(&r);
	wrong = r.wrong;
	if (g->json) {
		vaioctl_print_json(json_pack("{s:i, s:o}", "problems", wrong, "findings", r.findings));
	} else {
		print_report(&r, g->color);
		printf("\n%d problem%s\n", wrong, wrong == 1 ? "" : "s");
		json_decref(r.findings);
	}
	return wrong ? VAIO_FAILED : VAIO_OK;
}
