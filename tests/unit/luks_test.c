// SPDX-License-Identifier: GPL-2.0
/* LUKS2 headers that cryptsetup made, keys and passphrases. */
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include "unit.h"

#define FORMAT "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file key "

static struct vaio_luks l;
static struct vaio_secret key;

static struct vaio_unlock_how by_file(const char *name)
{
	return (struct vaio_unlock_how){ .how = VAIO_UNLOCK_KEY_FILE, .key_file = in_scratch(name) };
}

/* The volume key as cryptsetup dumps it into a file. */
static void assert_volume_key(const char *image)
{
	unsigned char want[64];
	int fd;

	assert_true(sh("rm -f vk; cryptsetup luksDump -q --dump-volume-key --volume-key-file vk --key-file key %s", image));
	fd = open(in_scratch("vk"), O_RDONLY);
	assert_int_equal(read(fd, want, sizeof(want)), key.size);
	close(fd);
	assert_memory_equal(want, key.bytes, key.size);
}

static int setup(void **state)
{
	if (make_scratch(state))
		return 1;
	return !sh("printf secret >key; printf wrong >bad; : >empty; truncate -s 32M img; " FORMAT "--type luks2 img");
}

static void test_unlock(void **state)
{
	struct vaio_unlock_how how = by_file("key");

	(void)state;
	assert_int_equal(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_OK);
	assert_int_equal(key.size, 64);
	assert_int_equal(l.data_offset, 32768);
	assert_int_equal(l.iv_offset, 0);
	assert_int_equal(l.sectors, 0);
	assert_int_equal(strlen(l.uuid), 36);
	assert_volume_key("img");
	vaio_secret_free(&key);
	assert_true(vaio_luks_present(in_scratch("img")));
}

static void test_variants(void **state)
{
	struct vaio_unlock_how how = by_file("key");

	(void)state;
	assert_true(sh("truncate -s 32M s4k; " FORMAT "--type luks2 --sector-size 4096 --key-size 256 --offset 40960 s4k"));
	assert_int_equal(vaio_luks_unlock(in_scratch("s4k"), NULL, &how, &l, &key, &err), VAIO_OK);
	assert_int_equal(l.sector_size, 4096);
	assert_int_equal(l.data_offset, 40960);
	assert_int_equal(key.size, 32);
	assert_volume_key("s4k");
	vaio_secret_free(&key);
	/* Detached header: the data begins where the header says, 0 here. */
	assert_true(sh("truncate -s 32M data; truncate -s 16M hdr; " FORMAT "--type luks2 --header hdr data"));
	how = by_file("key");
	assert_int_equal(vaio_luks_unlock(in_scratch("data"), in_scratch("hdr"), &how, &l, &key, &err), VAIO_OK);
	assert_int_equal(l.data_offset, 0);
	vaio_secret_free(&key);
	how = by_file("key");
	assert_error(vaio_luks_unlock(in_scratch("data"), NULL, &how, &l, &key, &err), VAIO_REFUSED, "no LUKS2 header");
}

static void test_passphrase_fd(void **state)
{
	struct vaio_unlock_how how = { .how = VAIO_UNLOCK_PASSPHRASE_FD };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "secret\nmore", 11), 11);
	close(fds[1]);
	how.fd = fds[0];
	assert_int_equal(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_OK);
	vaio_secret_free(&key);
	close(fds[0]);
	how.fd = 987;
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_FAILED, "descriptor 987");
	assert_null(key.bytes);
}

static void test_refused(void **state)
{
	struct vaio_unlock_how how = by_file("bad"), token = { .how = VAIO_UNLOCK_TOKEN };

	(void)state;
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_FAILED, "this key file");
	assert_null(key.bytes);
	how = by_file("none");
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_NOTFOUND, "none");
	how = by_file("empty");
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_USAGE, "is empty");
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &token, &l, &key, &err), VAIO_FAILED, "no token");
	how = by_file("key");
	assert_error(vaio_luks_unlock(in_scratch("nowhere"), NULL, &how, &l, &key, &err), VAIO_NOTFOUND, "nowhere");
	assert_true(sh("head -c 9000 /dev/zero >long"));
	how = by_file("long");
	assert_error(vaio_luks_unlock(in_scratch("img"), NULL, &how, &l, &key, &err), VAIO_USAGE, "more than");
}

static void test_other_signatures(void **state)
{
	struct vaio_unlock_how how = by_file("key");

	(void)state;
	assert_true(sh("truncate -s 32M l1; " FORMAT "--type luks1 l1"));
	assert_error(vaio_luks_unlock(in_scratch("l1"), NULL, &how, &l, &key, &err), VAIO_REFUSED, "cryptsetup convert");
	assert_false(vaio_luks_present(in_scratch("l1")));
	assert_true(sh("truncate -s 8M fs; mkfs.ext4 -q fs; truncate -s 8M nil"));
	assert_error(vaio_luks_unlock(in_scratch("fs"), NULL, &how, &l, &key, &err), VAIO_REFUSED, "found there: ext4");
	assert_non_null(strstr(err.text, "cryptsetup reencrypt --encrypt"));
	assert_non_null(strstr(err.text, "--plain"));
	assert_error(vaio_luks_unlock(in_scratch("nil"), NULL, &how, &l, &key, &err), VAIO_REFUSED, "nothing known");
	assert_true(sh("truncate -s 32M cbc; " FORMAT "--type luks2 --cipher aes-cbc-essiv:sha256 --key-size 256 cbc"));
	assert_error(vaio_luks_unlock(in_scratch("cbc"), NULL, &how, &l, &key, &err), VAIO_FAILED, "aes-cbc-essiv:sha256");
}

/* A torn primary header: cryptsetup uses the second one, and so do we. */
static void test_hostile_headers(void **state)
{
	struct vaio_unlock_how how = by_file("key");

	(void)state;
	assert_true(sh("cp img torn; dd if=/dev/urandom of=torn bs=1k seek=4 count=8 conv=notrunc"));
	assert_int_equal(vaio_luks_unlock(in_scratch("torn"), NULL, &how, &l, &key, &err), VAIO_OK);
	vaio_secret_free(&key);
	assert_true(sh("dd if=/dev/urandom of=torn bs=1k count=32 seek=4 conv=notrunc"));
	how = by_file("key");
	assert_int_not_equal(vaio_luks_unlock(in_scratch("torn"), NULL, &how, &l, &key, &err), VAIO_OK);
	assert_null(key.bytes);
}

static void test_keyring(void **state)
{
	struct vaio_key k;
	char word[VAIO_VALUE_LEN], desc[256];
	long n;

	(void)state;
	assert_int_equal(vaio_secret_new(&key, &err), VAIO_OK);
	memset(key.bytes, 7, 64);
	key.size = 64;
	if (vaio_key_add("0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49", &key, &k, &err)) {
		vaio_secret_free(&key);
		print_message("# no keyring here: %s\n", err.text);
		skip();
	}
	vaio_key_word(&k, word, sizeof(word));
	assert_string_equal(word, ":64:logon:vaio:0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49");
	n = syscall(__NR_keyctl, KEYCTL_DESCRIBE, k.id, desc, sizeof(desc) - 1, 0);
	assert_true(n > 0);
	assert_true(!strncmp(desc, "logon;", 6));
	/* Nobody reads it back, not even we. */
	assert_true(syscall(__NR_keyctl, KEYCTL_READ, k.id, desc, sizeof(desc), 0) < 0);
	n = k.id;
	vaio_key_remove(&k);
	assert_int_equal(k.id, 0);
	assert_true(syscall(__NR_keyctl, KEYCTL_DESCRIBE, n, desc, sizeof(desc) - 1, 0) < 0);
	vaio_secret_free(&key);
	assert_null(key.bytes);
}

/* Locked, and left out of core dumps. */
static void test_secret_memory(void **state)
{
	unsigned long from = 0, to = 0;
	bool ours = false, locked = false, no_dump = false;
	char line[512];
	FILE *f;

	(void)state;
	assert_int_equal(vaio_secret_new(&key, &err), VAIO_OK);
	f = fopen("/proc/self/smaps", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = (unsigned long)key.bytes >= from && (unsigned long)key.bytes < to;
		if (ours && !strncmp(line, "VmFlags:", 8)) {
			locked = strstr(line, " lo");
			no_dump = strstr(line, " dd");
		}
	}
	fclose(f);
	assert_true(locked);
	assert_true(no_dump);
	vaio_secret_free(&key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unlock), cmocka_unit_test(test_variants), cmocka_unit_test(test_passphrase_fd),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_other_signatures),
		cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_keyring), cmocka_unit_test(test_secret_memory),
	};

	return cmocka_run_group_tests_name("luks", tests, setup, remove_scratch);
}
