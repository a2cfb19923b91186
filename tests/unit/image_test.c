// SPDX-License-Identifier: GPL-2.0
/* Image formats made by qemu-img, loop devices, signatures. */
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "unit.h"

static void test_formats(void **state)
{
	static const struct {
		const char *make, *name, *way;
	} images[] = {
		{ "qemu-img create -f qcow2 x 8M", "qcow2", "qemu-img convert -p -f qcow2 -O raw" },
		{ "qemu-img create -f qcow x 8M", "qcow", "-f qcow -O raw" },
		{ "qemu-img create -f qed x 8M", "qed", "-f qed -O raw" },
		{ "qemu-img create -f vmdk x 8M", "vmdk", "-f vmdk -O raw" },
		{ "qemu-img create -f vmdk -o subformat=monolithicFlat x 8M", "vmdk descriptor", "-f vmdk -O raw" },
		{ "qemu-img create -f vhdx x 8M", "vhdx", "-f vhdx -O raw" },
		{ "qemu-img create -f vdi x 8M", "vdi", "-f vdi -O raw" },
		{ "qemu-img create -f vpc x 8M", "vhd (vpc)", "-f vpc -O raw" },
		{ "qemu-img create -f vpc -o subformat=fixed x 8M", "vhd (vpc)", "-f vpc -O raw" },
		{ "qemu-img create -f parallels x 8M", "parallels", "-f parallels -O raw" },
		{ "qemu-img create -f luks --object secret,id=s,data=a -o key-secret=s,iter-time=10 x 8M", "luks (version 1)",
		  "cryptsetup convert --type luks2" },
		{ "truncate -s 1M y && gzip -c y >x", "gzip", "gunzip -k -c" },
		{ "truncate -s 1M y && xz -c y >x", "xz", "unxz -k -c" },
		{ "truncate -s 1M y && bzip2 -c y >x", "bzip2", "bunzip2 -k -c" },
	};
	const struct vaio_format *f;
	unsigned int made = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(images) / sizeof(*images); i++) {
		if (!sh("rm -f x; %s", images[i].make)) {
			print_message("# not made here: %s\n", images[i].make);
			continue;
		}
		made++;
		assert_int_equal(vaio_image_format(in_scratch("x"), &f, &err), VAIO_OK);
		assert_non_null(f);
		assert_string_equal(f->name, images[i].name);
		assert_error(vaio_image_check_raw(in_scratch("x"), &err), VAIO_REFUSED, images[i].way);
		assert_non_null(strstr(err.text, "--format raw"));
	}
	assert_true(made >= 10);
}

/* The command in the message must do what it says. */
static void test_convert_command(void **state)
{
	const struct vaio_format *f;
	char *cmd, *end;

	(void)state;
	assert_true(sh("rm -f q.*; qemu-img create -f qcow2 q.qcow2 8M"));
	assert_error(vaio_image_check_raw(in_scratch("q.qcow2"), &err), VAIO_REFUSED, "q.raw'");
	cmd = strstr(err.text, "qemu-img convert");
	end = strstr(err.text, " (--format raw");
	assert_true(cmd && end);
	*end = 0;
	assert_true(sh("%s", cmd));
	assert_int_equal(vaio_image_format(in_scratch("q.raw"), &f, &err), VAIO_OK);
	assert_null(f);
}

static void test_raw(void **state)
{
	const struct vaio_format *f;

	(void)state;
	assert_true(sh("truncate -s 8M raw; : >empty; printf QFI >short; truncate -s 8M fs; mkfs.ext4 -q fs"));
	assert_int_equal(vaio_image_format(in_scratch("raw"), &f, &err), VAIO_OK);
	assert_null(f);
	assert_int_equal(vaio_image_format(in_scratch("empty"), &f, &err), VAIO_OK);
	assert_null(f);
	assert_int_equal(vaio_image_format(in_scratch("short"), &f, &err), VAIO_OK);
	assert_null(f);
	assert_int_equal(vaio_image_check_raw(in_scratch("fs"), &err), VAIO_OK);
	assert_error(vaio_image_format(in_scratch("none"), &f, &err), VAIO_NOTFOUND, "none");
	assert_error(vaio_image_format(scratch, &f, &err), VAIO_USAGE, "regular file");
	assert_error(vaio_image_format("/dev/null", &f, &err), VAIO_USAGE, "regular file");
}

static void test_signatures(void **state)
{
	char s[64];

	(void)state;
	assert_true(sh("truncate -s 8M sig; mkfs.ext4 -q -F sig"));
	assert_int_equal(vaio_signature(in_scratch("sig"), s, sizeof(s), &err), VAIO_OK);
	assert_string_equal(s, "ext4");
	assert_true(sh("rm sig; truncate -s 8M sig; printf '\\200\\0\\0\\0\\203\\0\\0\\0\\10\\0\\0\\0\\0\\20\\0\\0' | "
		      "dd of=sig bs=1 seek=446 conv=notrunc; printf '\\125\\252' | dd of=sig bs=1 seek=510 conv=notrunc"));
	assert_int_equal(vaio_signature(in_scratch("sig"), s, sizeof(s), &err), VAIO_OK);
	assert_string_equal(s, "dos partition table");
	assert_true(sh("rm sig; truncate -s 8M sig"));
	assert_int_equal(vaio_signature(in_scratch("sig"), s, sizeof(s), &err), VAIO_OK);
	assert_string_equal(s, "");
	assert_int_equal(vaio_signature(in_scratch("none"), s, sizeof(s), &err), VAIO_FAILED);
}

/* --- loop devices: only where the kernel has them and we are root ------------------ */

static bool have_loop(void)
{
	return !geteuid() && !access("/dev/loop-control", R_OK | W_OK);
}

static bool still_there(const char *loop)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", loop + strlen("/dev/"));
	return !access(path, F_OK);
}

static void test_loop(void **state)
{
	struct vaio_loop a, b;
	struct vaio_blockdev dev;
	char file[256];
	int buffered = 0, rc;

	(void)state;
	if (!have_loop())
		skip();
	assert_true(sh("rm -f img; truncate -s 8M img"));
	rc = vaio_loop_attach(in_scratch("img"), 0, false, &a, &err);
	if (rc == VAIO_REFUSED) {
		/* A filesystem without direct I/O: refused by default, which is what we want to see. */
		assert_error(rc, VAIO_REFUSED, "--buffered");
		buffered = 1;
		rc = vaio_loop_attach(in_scratch("img"), 0, true, &a, &err);
	}
	assert_int_equal(rc, VAIO_OK);
	assert_false(a.found);
	assert_true(buffered || a.direct);
	assert_int_equal(vaio_blockdev_get(a.path, &dev, &err), VAIO_OK);
	assert_int_equal(dev.bytes, 8 << 20);
	assert_true(vaio_loop_file(dev.dev, file, sizeof(file)));
	assert_non_null(strstr(file, "/img"));
	assert_int_equal(vaio_blockdev_check_free(&dev, &err), VAIO_OK);

	/* Found again by its inode, under another name of the file. */
	assert_true(sh("ln -f img other"));
	assert_int_equal(vaio_loop_attach(in_scratch("other"), 0, buffered, &b, &err), VAIO_OK);
	assert_true(b.found);
	assert_string_equal(a.path, b.path);
	vaio_loop_release(&b);
	assert_true(still_there(a.path));

	/* Not with another block size. */
	if (dev.block_size == 512)
		assert_error(vaio_loop_attach(in_scratch("img"), 4096, buffered, &b, &err), VAIO_INUSE, "512");

	/* Grown under way. */
	assert_true(sh("truncate -s 16M img"));
	assert_int_equal(vaio_loop_update_size(a.path, &err), VAIO_OK);
	assert_int_equal(vaio_blockdev_get(a.path, &dev, &err), VAIO_OK);
	assert_int_equal(dev.bytes, 16 << 20);

	/* Gone with its last user. */
	vaio_loop_release(&a);
	assert_false(still_there(a.path));
}

static void test_loop_refused(void **state)
{
	struct vaio_loop l;

	(void)state;
	if (!have_loop())
		skip();
	assert_error(vaio_loop_attach(in_scratch("none"), 0, true, &l, &err), VAIO_NOTFOUND, "none");
	assert_true(sh("truncate -s 1000 odd; : >void; truncate -s 8704 half"));
	assert_error(vaio_loop_attach(in_scratch("odd"), 512, true, &l, &err), VAIO_FAILED, "not a multiple");
	assert_error(vaio_loop_attach(in_scratch("void"), 512, true, &l, &err), VAIO_FAILED, "0 bytes");
	assert_error(vaio_loop_attach(in_scratch("half"), 4096, true, &l, &err), VAIO_FAILED, "truncate -s %4096");
	/* Its own remedy works. */
	assert_true(sh("truncate -s %%4096 half"));
	assert_int_equal(vaio_loop_attach(in_scratch("half"), 4096, true, &l, &err), VAIO_OK);
	vaio_loop_release(&l);
	assert_false(still_there(l.path));
}

/* A user's own losetup with an offset shows another disk: never taken for ours. */
static void test_loop_offset(void **state)
{
	struct vaio_loop l;

	(void)state;
	if (!have_loop())
		skip();
	assert_true(sh("rm -f off; truncate -s 8M off; losetup -f --show --offset 1048576 off >off.loop"));
	assert_true(sh("true") && !access(in_scratch("off"), F_OK));
	assert_error(vaio_loop_attach(in_scratch("off"), 512, true, &l, &err), VAIO_INUSE, "losetup -d");
	assert_true(sh("losetup -j off | cut -d: -f1 | xargs -r losetup -d"));
}

static void test_in_use(void **state)
{
	struct vaio_blockdev dev;
	struct vaio_loop l;
	char users[256];
	int fd;

	(void)state;
	if (!have_loop())
		skip();
	assert_true(sh("rm -f use; truncate -s 8M use"));
	assert_int_equal(vaio_loop_attach(in_scratch("use"), 512, true, &l, &err), VAIO_OK);
	assert_int_equal(vaio_blockdev_get(l.path, &dev, &err), VAIO_OK);
	fd = open(l.path, O_RDONLY | O_EXCL);
	assert_true(fd >= 0);
	assert_error(vaio_blockdev_check_free(&dev, &err), VAIO_INUSE, "is in use");
	close(fd);
	/* A mount is named. */
	if (sh("mkfs.ext4 -q -F %s && mkdir -p mnt && mount %s mnt", l.path, l.path)) {
		vaio_blockdev_users(dev.dev, users, sizeof(users));
		assert_error(vaio_blockdev_check_free(&dev, &err), VAIO_INUSE, "mounted on");
		assert_non_null(strstr(users, "/mnt"));
		assert_true(sh("umount mnt"));
	}
	assert_int_equal(vaio_blockdev_check_free(&dev, &err), VAIO_OK);
	vaio_loop_release(&l);
}

static void test_blockdev_refused(void **state)
{
	struct vaio_blockdev dev;

	(void)state;
	assert_error(vaio_blockdev_get("/dev/none", &dev, &err), VAIO_NOTFOUND, "/dev/none");
	assert_error(vaio_blockdev_get("/dev/null", &dev, &err), VAIO_USAGE, "not a block device");
	assert_error(vaio_blockdev_get(scratch, &dev, &err), VAIO_USAGE, "not a block device");
}

static void test_identity(void **state)
{
	char one[160], two[160], three[160];
	struct vaio_loop l;
	struct stat st;

	(void)state;
	assert_true(sh("rm -f id*; truncate -s 1M id; cp id id2; ln id id3"));
	assert_int_equal(vaio_file_identity(in_scratch("id"), one, sizeof(one), &err), VAIO_OK);
	assert_int_equal(vaio_file_identity(in_scratch("id2"), two, sizeof(two), &err), VAIO_OK);
	assert_int_equal(vaio_file_identity(in_scratch("id3"), three, sizeof(three), &err), VAIO_OK);
	assert_true(!strncmp(one, "file:", 5));
	/* A copy is another one, another name is not. */
	assert_string_not_equal(one, two);
	assert_string_equal(one, three);
	assert_error(vaio_file_identity(in_scratch("none"), one, sizeof(one), &err), VAIO_NOTFOUND, "none");
	if (!have_loop())
		return;
	/* On a loop device it is the file's. */
	assert_int_equal(vaio_loop_attach(in_scratch("id"), 512, true, &l, &err), VAIO_OK);
	assert_int_equal(stat(l.path, &st), 0);
	assert_int_equal(vaio_blockdev_identity(st.st_rdev, three, sizeof(three), &err), VAIO_OK);
	vaio_loop_release(&l);
	assert_string_equal(one, three);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats), cmocka_unit_test(test_convert_command), cmocka_unit_test(test_raw),
		cmocka_unit_test(test_signatures), cmocka_unit_test(test_loop), cmocka_unit_test(test_loop_refused),
		cmocka_unit_test(test_loop_offset), cmocka_unit_test(test_in_use), cmocka_unit_test(test_blockdev_refused),
		cmocka_unit_test(test_identity),
	};

	return cmocka_run_group_tests_name("image", tests, make_scratch, remove_scratch);
}
