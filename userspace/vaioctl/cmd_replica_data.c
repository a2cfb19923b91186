// SPDX-License-Identifier: GPL-2.0
/* vaioctl replica extract, restore, verify, scrub: a whole disk is read, and written or compared. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../libvaio/blockdev.h"
#include "../libvaio/image.h"
#include "../libvaio/sidecar.h"
#include "../libvaio/units.h"
#include "progress.h"
#include "replica.h"

#define STEP	(1U << 20)		/* bytes that are read at a time, a multiple of a cell */
#define CELL	VAIO_RS_CELL

const struct vaioctl_opt replica_extract_opts[] = {
	OPT_POINT, OPT_DISK, { "force", NULL, "overwrite a file that is there", false }, OPT_SOCKET, { 0 }
};
const struct vaioctl_opt replica_restore_opts[] = {
	OPT_POINT, OPT_DISK, { "to", "DEV", "device or raw image that is overwritten", false },
	{ "sidecar", "DEV|FILE|none", "of the disk on DEV; an image's is IMAGE.vaio unless given", false },
	{ "force", NULL, "do not ask", false }, OPT_SOCKET, { 0 }
};
const struct vaioctl_opt replica_verify_opts[] = {
	OPT_POINT, OPT_DISK, { "against-source", "DEV", "compare with this device, which must be at rest", false },
	OPT_SOCKET, { 0 }
};
const struct vaioctl_opt replica_scrub_opts[] = { OPT_SOCKET, { 0 } };

/* A disk at a point, read from front to end. */
struct walk {
	const struct vaioctl_cmd *cmd;
	struct replica_open o;
	struct vaioctl_progress progress;
	uint8_t *want, *have;		/* STEP bytes each; of the replica, of the target */
	int fd;				/* of the target, -1 without */
	const char *path;
	uint64_t differ, written, first_different;
	bool has_sidecar;
	struct vaio_scfile sidecar;
	struct vaio_sc_super super;
	struct vaio_sc_pick pick;
};

static int walk_open(struct walk *w, const struct vaioctl_cmd *cmd, const struct vaioctl_args *a)
{
	const char *point = vaioctl_opt(a, "point");
	int rc;

	memset(w, 0, sizeof(*w));
	w->cmd = cmd;
	w->fd = -1;
	w->want = malloc(STEP);
	w->have = malloc(STEP);
	if (w->want && w->have)
		rc = replica_open_disk(cmd, a, a->operand[0], point ? point : "latest", &w->o);
	else
		rc = vaioctl_cmd_fail(cmd, VAIO_FAILED, "no memory");
	if (rc) {
		free(w->want);
		free(w->have);
	}
	return rc;
}

static void walk_close(struct walk *w)
{
	vaioctl_progress_end(&w->progress);
	if (w->o.st)
		replica_close(&w->o);
	if (w->fd >= 0)
		close(w->fd);
	if (w->has_sidecar)
		vaio_scfile_close(&w->sidecar);
	free(w->want);
	free(w->have);
}

static int target_failed(struct walk *w, int err, uint64_t at)
{
	vaioctl_progress_end(&w->progress);
	return vaioctl_cmd_fail(w->cmd, VAIO_FAILED, "'%s' at byte %" PRIu64 ": %s", w->path, at, strerror(err));
}

static int read_target(struct walk *w, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(w->fd, w->have + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return target_failed(w, n ? errno : ENODATA, at + done);
		done += (size_t)n;
	}
	return VAIO_OK;
}

static int write_target(struct walk *w, const uint8_t *p, size_t len, uint64_t at)
{
	w->written += len;
	while (len) {
		ssize_t n = pwrite(w->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return target_failed(w, n ? errno : ENOSPC, at);
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return VAIO_OK;
}

/* Calls @each for every piece of the disk, of which w->want has the replica's bytes. */
static int walk_disk(struct walk *w, const char *what, int (*each)(struct walk *w, size_t len, uint64_t at))
{
	int rc = VAIO_OK;

	vaioctl_progress_begin(&w->progress, what, w->o.disk.size);
	for (uint64_t at = 0; at < w->o.disk.size && !rc; at += STEP) {
		size_t len = w->o.disk.size - at < STEP ? (size_t)(w->o.disk.size - at) : STEP;
		struct vr_err e;

		if (vr_view_read(w->o.view, w->o.disk.number, w->want, len, at, &e)) {
			vaioctl_progress_end(&w->progress);
			return vaioctl_cmd_fail(w->cmd, VAIO_FAILED, "the replica at byte %" PRIu64 ": %s", at, e.text);
		}
		rc = each(w, len, at);
		vaioctl_progress_at(&w->progress, at + len);
	}
	vaioctl_progress_end(&w->progress);
	return rc;
}

static int print_result(struct walk *w, const struct vaioctl_globals *g, const char *verb)
{
	char size[32], written[32], t[32];

	if (g->json)
		return vaioctl_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "disk", w->o.disk.name, "seq",
						    (json_int_t)w->o.point.seq, "time_ns", (json_int_t)w->o.point.time_ns,
						    "size", (json_int_t)w->o.disk.size, "written_bytes",
						    (json_int_t)w->written, "different_bytes", (json_int_t)w->differ));
	printf("%s at seq:%" PRIu64 " (%s): %s %s", w->o.disk.name, w->o.point.seq,
	       replica_time(w->o.point.time_ns, t, sizeof(t)), vaio_format_size(size, sizeof(size), (double)w->o.disk.size), verb);
	if (!strcmp(w->cmd->verb, "extract") || !strcmp(w->cmd->verb, "restore"))
		printf(", %s written", vaio_format_size(written, sizeof(written), (double)w->written));
	putchar('\n');
	return VAIO_OK;
}

/* --- extract -------------------------------------------------------------------------------- */

static int extract_piece(struct walk *w, size_t len, uint64_t at)
{
	/* What is zero stays a hole. */
	for (size_t i = 0; i < len; i += CELL) {
		size_t n = len - i < CELL ? len - i : CELL;
		int rc;

		if (vr_all_zero(w->want + i, n))
			continue;
		rc = write_target(w, w->want + i, n, at + i);
		if (rc)
			return rc;
	}
	return VAIO_OK;
}

int replica_extract(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	bool force = vaioctl_has(a, "force");
	struct stat stat_buf;
	struct walk w;
	int rc = walk_open(&w, cmd, a);

	if (rc)
		return rc;
	w.path = a->operand[1];
	if (!stat(w.path, &stat_buf) && !S_ISREG(stat_buf.st_mode))
		rc = vaioctl_cmd_fail(cmd, VAIO_USAGE, "'%s' is no file: accepted is a file that is made; restore --to writes to a device",
				      w.path);
	if (!rc) {
		w.fd = open(w.path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0600);
		if (w.fd < 0)
			rc = vaioctl_cmd_fail(cmd, errno == EEXIST ? VAIO_REFUSED : VAIO_FAILED, "'%s': %s%s", w.path, strerror(errno),
					      errno == EEXIST ? ": --force overwrites it" : "");
	}
	if (!rc && ftruncate(w.fd, (off_t)w.o.disk.size))
		rc = target_failed(&w, errno, w.o.disk.size);
	if (!rc)
		rc = walk_disk(&w, "extracting", extract_piece);
	if (!rc && fsync(w.fd))
		rc = target_failed(&w, errno, 0);
	if (!rc)
		rc = print_result(&w, g, "extracted");
	walk_close(&w);
	return rc;
}

/* --- restore ------------------------------------------------------------------------------------ */

static int restore_piece(struct walk *w, size_t len, uint64_t at)
{
	int rc = read_target(w, len, at);

	for (size_t i = 0; i < len && !rc; i += 4096) {
		size_t n = 4096;

		/* Neighbours that differ are written at once. */
		if (len - i < n)
			n = len - i;
		if (!memcmp(w->want + i, w->have + i, n))
			continue;
		while (i + n < len) {
			size_t more = len - i - n < 4096 ? len - i - n : 4096;

			if (!memcmp(w->want + i + n, w->have + i + n, more))
				break;
			n += more;
		}
		rc = write_target(w, w->want + i, n, at + i);
		i += (n + 4095) / 4096 * 4096 - 4096;
	}
	return rc;
}

/* A disk that is attached: what is written through it is replicated as any other write. */
static bool is_attached_disk(dev_t dev)
{
	char name[256], uuid[256];

	return vaio_blockdev_dm(dev, name, sizeof(name), uuid, sizeof(uuid)) && !strncmp(uuid, "VAIO-", 5);
}

/* An image that a loop device shows is in use when that is. */
static int check_image(struct walk *w, const struct stat *s)
{
	struct vaio_blockdev b;
	struct vaio_err e;
	char loop[64];
	int rc;

	if (!vaio_loop_of(s->st_dev, s->st_ino, loop, sizeof(loop)))
		return VAIO_OK;
	rc = vaio_blockdev_get(loop, &b, &e);
	if (!rc)
		rc = vaio_blockdev_check_free(&b, &e);
	return rc ? vaioctl_cmd_fail(w->cmd, rc, "--to '%s' is on a loop device: %s", w->path, e.text) : VAIO_OK;
}

/*
 * The sidecar of the disk that is written below its filters. Its bitmap says what a replica lacks, and this write is not in
 * it: all has to be compared. Leaves w->sidecar closed when there is none.
 */
static int open_sidecar(struct walk *w, const char *given, bool image)
{
	struct vaio_sc_expect expect = { 0 };
	char path[PATH_MAX], reason[VAIO_SC_REASON];
	struct vaio_backing b;
	struct vaio_err e;
	int rc;

	if (!given && !image)
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "--sidecar is missing: '%s' is written below its filters, and the sidecar has "
					"to say so, or the replica and the disk go apart; accepted are the disk's sidecar, and none. Or attach the "
					"disk and give its device, /dev/mapper/NAME", w->path);
	if (given && !strcmp(given, "none"))
		return VAIO_OK;
	if (snprintf(path, sizeof(path), "%s%s", given ? given : w->path, given ? "" : ".vaio") >= (int)sizeof(path))
		return vaioctl_cmd_fail(w->cmd, VAIO_FAILED, "'%s': the path is too long", w->path);
	if (!given && access(path, F_OK))
		return VAIO_OK;
	rc = vaio_backing_describe(w->path, &b, &e);
	if (!rc)
		rc = vaio_scfile_open(&w->sidecar, path, VAIO_SCFILE_WRITE, &e);
	if (rc)
		return vaioctl_cmd_fail(w->cmd, rc, "%s", e.text);
	w->has_sidecar = true;
	rc = vaio_scfile_load(&w->sidecar, &w->super, &w->pick, &e);
	if (rc)
		return vaioctl_cmd_fail(w->cmd, rc, "%s", e.text);
	memcpy(expect.disk_uuid, w->super.disk_uuid, sizeof(expect.disk_uuid));
	expect.identity = b.identity;
	if (vaio_sc_match(&w->super, &expect, reason, sizeof(reason)))
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "sidecar %s is not that of '%s': %s", path, w->path, reason);
	if (w->super.flags & VAIO_SC_F_CACHE_DIRTY)
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "'%s' has blocks in a cache that would overwrite what is restored: attach the "
					"disk and give its device, /dev/mapper/NAME", w->path);
	return VAIO_OK;
}

/* Before the first byte is written. */
static int mark_sidecar(struct walk *w)
{
	struct vaio_err e;
	int rc;

	if (!w->has_sidecar)
		return VAIO_OK;
	w->super.flags |= VAIO_SC_F_MUST_COMPARE;
	rc = vaio_scfile_store(&w->sidecar, &w->super, w->pick.copy, &e);
	return rc ? vaioctl_cmd_fail(w->cmd, rc, "%s", e.text) : VAIO_OK;
}

/* All is as it was at the point: what the disk had lost, it has again. It will be compared. */
static int mend_sidecar(struct walk *w)
{
	struct vaio_err e;
	int rc;

	if (!w->has_sidecar || !(w->super.flags & VAIO_SC_F_SOURCE_DAMAGED))
		return VAIO_OK;
	if (memcmp(w->o.disk.disk, w->super.disk_uuid, sizeof(w->o.disk.disk))) {
		vaioctl_note("'%s' is not the disk that the replica calls '%s', and stays source-damaged", w->path, w->o.disk.name);
		return VAIO_OK;
	}
	w->super.flags &= ~VAIO_SC_F_SOURCE_DAMAGED;
	rc = vaio_scfile_store(&w->sidecar, &w->super, w->pick.copy, &e);
	return rc ? vaioctl_cmd_fail(w->cmd, rc, "%s", e.text) : VAIO_OK;
}

/* Opens what is to be overwritten: nobody else may use it, and its size must be the disk's. */
static int open_target(struct walk *w, const char *path, const char *sidecar)
{
	struct vaio_blockdev b;
	struct vaio_err e;
	struct stat s;
	uint64_t size;
	int rc;

	w->path = path;
	if (stat(path, &s))
		return vaioctl_cmd_fail(w->cmd, VAIO_NOTFOUND, "--to '%s': %s", path, strerror(errno));
	if (S_ISBLK(s.st_mode)) {
		rc = vaio_blockdev_get(path, &b, &e);
		if (!rc)
			rc = vaio_blockdev_check_free(&b, &e);
		if (rc)
			return vaioctl_cmd_fail(w->cmd, rc, "--to: %s", e.text);
		size = b.bytes;
	} else if (S_ISREG(s.st_mode)) {
		rc = check_image(w, &s);
		if (rc)
			return rc;
		size = (uint64_t)s.st_size;
	} else {
		return vaioctl_cmd_fail(w->cmd, VAIO_USAGE, "--to '%s': accepted are block devices and raw image files", path);
	}
	if (size != w->o.disk.size)
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "--to '%s' has %" PRIu64 " bytes, the disk had %" PRIu64
					" at this point: grow it, or extract to a file", path, size, w->o.disk.size);
	/* O_EXCL: a block device that gets another user meanwhile is refused by the kernel. */
	w->fd = open(path, O_RDWR | O_CLOEXEC | (S_ISBLK(s.st_mode) ? O_EXCL : 0));
	if (w->fd < 0)
		return vaioctl_cmd_fail(w->cmd, errno == EBUSY ? VAIO_INUSE : VAIO_FAILED, "--to '%s': %s", path, strerror(errno));
	if (S_ISBLK(s.st_mode) && is_attached_disk(s.st_rdev))
		return VAIO_OK;
	return open_sidecar(w, sidecar, S_ISREG(s.st_mode));
}

static int confirm(struct walk *w)
{
	char line[16] = "", t[32];

	if (!isatty(STDIN_FILENO))
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "'%s' would be overwritten and nobody can be asked: --force does it", w->path);
	fprintf(stderr, "%s becomes %s as of %s (seq:%" PRIu64 "). What is on it now is lost. Type yes: ", w->path, w->o.disk.name,
		replica_time(w->o.point.time_ns, t, sizeof(t)), w->o.point.seq);
	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "yes\n"))
		return vaioctl_cmd_fail(w->cmd, VAIO_REFUSED, "nothing was changed");
	return VAIO_OK;
}

int replica_restore(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	const char *to = vaioctl_opt(a, "to");
	struct walk w;
	int rc;

	if (!to)
		return vaioctl_cmd_fail(cmd, VAIO_USAGE, "--to is missing: the device that is overwritten");
	rc = walk_open(&w, cmd, a);
	if (rc)
		return rc;
	rc = open_target(&w, to, vaioctl_opt(a, "sidecar"));
	if (!rc && !vaioctl_has(a, "force"))
		rc = confirm(&w);
	if (!rc)
		rc = mark_sidecar(&w);
	if (!rc)
		rc = walk_disk(&w, "restoring", restore_piece);
	if (!rc && fsync(w.fd))
		rc = target_failed(&w, errno, 0);
	if (!rc)
		rc = mend_sidecar(&w);
	if (!rc)
		rc = print_result(&w, g, "compared");
	walk_close(&w);
	return rc;
}

/* --- verify --------------------------------------------------------------------------------------- */

static int nothing(struct walk *w, size_t len, uint64_t at)
{
	(void)w;
	(void)len;
	(void)at;
	return VAIO_OK;
}

static int compare_piece(struct walk *w, size_t len, uint64_t at)
{
	int rc = read_target(w, len, at);

	for (size_t i = 0; i < len && !rc; i += 4096) {
		size_t n = len - i < 4096 ? len - i : 4096;

		if (!memcmp(w->want + i, w->have + i, n))
			continue;
		if (!w->differ)
			w->first_different = at + i;
		w->differ += n;
	}
	return rc;
}

int replica_verify(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	const char *source = vaioctl_opt(a, "against-source");
	char size[32];
	off_t end;
	struct walk w;
	int rc = walk_open(&w, cmd, a);

	if (rc)
		return rc;
	if (source) {
		w.path = source;
		w.fd = open(source, O_RDONLY | O_CLOEXEC);
		end = w.fd < 0 ? 0 : lseek(w.fd, 0, SEEK_END);
		if (w.fd < 0)
			rc = vaioctl_cmd_fail(cmd, VAIO_NOTFOUND, "--against-source '%s': %s", source, strerror(errno));
		else if (end < 0 || (uint64_t)end != w.o.disk.size)
			rc = vaioctl_cmd_fail(cmd, VAIO_FAILED, "'%s' has %lld bytes, the replica %" PRIu64, source, (long long)end,
					      w.o.disk.size);
		else
			posix_fadvise(w.fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	if (!rc)
		rc = walk_disk(&w, source ? "comparing" : "reading", source ? compare_piece : nothing);
	if (!rc)
		rc = print_result(&w, g, w.differ ? "compared" : source ? "equal" : "read, all checksums right");
	if (!rc && w.differ)
		rc = vaioctl_cmd_fail(cmd, VAIO_FAILED, "%s in blocks of 4 KiB differ, the first at byte %" PRIu64
				      ": was the disk at rest, and is the backlog 0?",
				      vaio_format_size(size, sizeof(size), (double)w.differ), w.first_different);
	walk_close(&w);
	return rc;
}

/* --- scrub ------------------------------------------------------------------------------------------- */

static void add_fault(void *arg, const char *text)
{
	if (json_array_size(arg) < 1000)
		json_array_append_new(arg, json_string(text));
}

static void step(void *arg, uint64_t done, uint64_t total)
{
	struct vaioctl_progress *p = arg;

	p->total = total;
	vaioctl_progress_at(p, done);
}

int replica_scrub(const struct vaioctl_cmd *cmd, const struct vaioctl_args *a, const struct vaioctl_globals *g)
{
	struct vaioctl_progress progress;
	json_t *faults, *text;
	struct replica_open o;
	struct vr_err e;
	size_t i;
	int n, rc = replica_open(cmd, a, a->operand[0], "oldest", &o);

	if (rc)
		return rc;
	faults = json_array();
	vaioctl_progress_begin(&progress, "scrubbing", 0);
	n = vr_store_scrub(o.st, add_fault, faults, step, &progress, &e);
	vaioctl_progress_end(&progress);
	replica_close(&o);
	if (n < 0) {
		json_decref(faults);
		return replica_fail(cmd, n, &e);
	}
	if (g->json) {
		rc = vaioctl_print_json(json_pack("{s:i, s:o}", "faults", n, "texts", faults));
	} else {
		json_array_foreach(faults, i, text)
			printf("%s\n", json_string_value(text));
		json_decref(faults);
		if (!n)
			printf("no fault\n");
	}
	return n ? vaioctl_cmd_fail(cmd, VAIO_FAILED, "%d faults", n) : rc;
}
