// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "secret.h"

void vaio_secret_harden(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int vaio_secret_new(struct vaio_secret *s, struct vaio_err *e)
{
	void *p = mmap(NULL, VAIO_SECRET_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	s->bytes = NULL;
	s->size = 0;
	if (p == MAP_FAILED)
		return vaio_fail(e, VAIO_FAILED, "out of memory");
	if (mlock2(p, VAIO_SECRET_MAX, 0)) {
		vaio_fail_errno(e, VAIO_FAILED, "a key's memory cannot be locked");
		munmap(p, VAIO_SECRET_MAX);
		return VAIO_FAILED;
	}
	madvise(p, VAIO_SECRET_MAX, MADV_DONTDUMP);
	madvise(p, VAIO_SECRET_MAX, MADV_WIPEONFORK);
	s->bytes = p;
	return VAIO_OK;
}

void vaio_secret_free(struct vaio_secret *s)
{
	if (!s->bytes)
		return;
	explicit_bzero(s->bytes, VAIO_SECRET_MAX);
	munmap(s->bytes, VAIO_SECRET_MAX);
	s->bytes = NULL;
	s->size = 0;
}

/* Reads byte by byte up to a newline, or all when @line is false. No buffer keeps a copy. */
static int read_all(int fd, const char *what, int line, struct vaio_secret *s, struct vaio_err *e)
{
	ssize_t n;

	while (s->size < VAIO_SECRET_MAX) {
		n = read(fd, s->bytes + s->size, line ? 1 : VAIO_SECRET_MAX - s->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vaio_fail_errno(e, VAIO_FAILED, "%s cannot be read", what);
		if (!n || (line && s->bytes[s->size] == '\n'))
			break;
		s->size += (size_t)n;
	}
	if (s->size == VAIO_SECRET_MAX)
		return vaio_fail(e, VAIO_USAGE, "%s has more than %u bytes", what, VAIO_SECRET_MAX - 1);
	if (!s->size)
		return vaio_fail(e, VAIO_USAGE, "%s is empty", what);
	return VAIO_OK;
}

int vaio_secret_read_file(const char *path, struct vaio_secret *s, struct vaio_err *e)
{
	char what[300];
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vaio_fail_errno(e, errno == ENOENT ? VAIO_NOTFOUND : VAIO_FAILED, "key file '%s'", path);
	rc = vaio_secret_new(s, e);
	snprintf(what, sizeof(what), "key file '%.256s'", path);
	if (!rc)
		rc = read_all(fd, what, 0, s, e);
	close(fd);
	if (rc)
		vaio_secret_free(s);
	return rc;
}

int vaio_secret_read_fd(int fd, struct vaio_secret *s, struct vaio_err *e)
{
	char what[64];
	int rc = vaio_secret_new(s, e);

	snprintf(what, sizeof(what), "the passphrase on descriptor %d", fd);
	if (!rc)
		rc = read_all(fd, what, 1, s, e);
	if (rc)
		vaio_secret_free(s);
	return rc;
}

int vaio_secret_ask(const char *prompt, struct vaio_secret *s, struct vaio_err *e)
{
	struct termios old, quiet;
	int tty, rc;

	tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0 || tcgetattr(tty, &old)) {
		if (tty >= 0)
			close(tty);
		return vaio_fail(e, VAIO_USAGE, "no terminal to ask for a passphrase: accepted are --key-file, "
				 "--passphrase-fd, --token");
	}
	rc = vaio_secret_new(s, e);
	if (!rc) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(tty, TCSAFLUSH, &quiet);
		dprintf(tty, "%s", prompt);
		rc = read_all(tty, "the passphrase", 1, s, e);
		dprintf(tty, "\n");
		tcsetattr(tty, TCSAFLUSH, &old);
	}
	close(tty);
	if (rc)
		vaio_secret_free(s);
	return rc;
}

int vaio_key_add(const char *disk_uuid, const struct vaio_secret *s, struct vaio_key *k, struct vaio_err *e)
{
	long id;

	memset(k, 0, sizeof(*k));
	snprintf(k->description, sizeof(k->description), "vaio:%s", disk_uuid);
	id = syscall(__NR_add_key, "logon", k->description, s->bytes, s->size, KEY_SPEC_THREAD_KEYRING);
	if (id < 0)
		return vaio_fail_errno(e, VAIO_FAILED, "the kernel's keyring did not take the key");
	k->id = (int32_t)id;
	k->size = s->size;
	return VAIO_OK;
}

void vaio_key_remove(struct vaio_key *k)
{
	if (!k->id)
		return;
	/* Revoking frees the bytes now, unlinking alone leaves that to a later clean-up. */
	syscall(__NR_keyctl, KEYCTL_REVOKE, k->id, 0, 0, 0);
	syscall(__NR_keyctl, KEYCTL_UNLINK, k->id, KEY_SPEC_THREAD_KEYRING, 0, 0);
	k->id = 0;
}

void vaio_key_word(const struct vaio_key *k, char *buf, size_t size)
{
	snprintf(buf, size, ":%zu:logon:%s", k->size, k->description);
}
