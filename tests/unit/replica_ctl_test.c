// SPDX-License-Identifier: GPL-2.0
/* vaioctl replica: against a vaio-replicad that a model's source fed, and against its stores alone. */
#include <poll.h>
#include <sys/resource.h>

#include "replicad.h"
#include "../../userspace/libvaio/sidecar.h"

#define GROUP	"group49"	/* as agent_hello() names number 0x31 */

static struct model m;
static char output[65536];	/* of the last command, both streams */
static const char *first_words = "";	/* words of the shell before a command, with a && after them */

/* Runs vaioctl replica with the words; its exit code. */
__attribute__((format(printf, 1, 2)))
static int ctl(const char *fmt, ...)
{
	char words[1024], cmd[PATH_MAX + 2048], dir[PATH_MAX];
	size_t n = 0;
	va_list ap;
	int status;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	snprintf(dir, sizeof(dir), "%s", program);
	*strrchr(dir, '/') = 0;
	snprintf(cmd, sizeof(cmd), "cd %s && %s exec %s/vaioctl %s </dev/null >out 2>&1", scratch, first_words, dir, words);
	/* as a shell's child */
	signal(SIGPIPE, SIG_DFL);
	status = system(cmd);
	signal(SIGPIPE, SIG_IGN);
	f = fopen(in_scratch("out"), "r");
	if (f) {
		n = fread(output, 1, sizeof(output) - 1, f);
		fclose(f);
	}
	output[n] = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The same with --socket. */
#define ask_ctl(fmt, ...) ctl("replica " fmt " --socket sock", ##__VA_ARGS__)

static void done(int code)
{
	if (code)
		fail_msg("exit code %d: %s", code, output);
}

static void fails(int code, int wanted, const char *words)
{
	if (code != wanted || !strstr(output, words))
		fail_msg("exit code %d, wanted %d with '%s': %s", code, wanted, words, output);
}

static json_t *output_json(void)
{
	json_t *j = json_loads(output, 0, NULL);

	if (!j)
		fail_msg("no JSON: %s", output);
	return j;
}

static uint8_t *read_file(const char *name, uint64_t *size)
{
	uint8_t *p = calloc(1, MODEL_MAX_DISK + 1);
	FILE *f = fopen(in_scratch(name), "r");

	assert_non_null(f);
	*size = fread(p, 1, MODEL_MAX_DISK + 1, f);
	fclose(f);
	return p;
}

/* Is the file disk @n as of @seq? */
static void check_file(const char *name, unsigned int n, uint64_t seq)
{
	uint8_t *want = malloc(MODEL_MAX_DISK), *got;
	uint64_t size, have;

	size = model_disk(&m, n, seq, want);
	got = read_file(name, &have);
	assert_int_equal(have, size);
	assert_memory_equal(got, want, size);
	free(want);
	free(got);
}

static void folder_of(uint8_t group, char *dir, size_t size)
{
	char id[3];

	snprintf(id, sizeof(id), "%02x", group);
	snprintf(dir, size, "store/%s%s%s%s-%s%s-%s%s-%s%s-%s%s%s%s%s%s", id, id, id, id, id, id, id, id, id, id, id, id, id, id,
		 id, id);
}

/* Another byte than the one that is there. */
static void flip(const char *name, off_t at)
{
	int fd = open(in_scratch(name), O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* --- asking ------------------------------------------------------------------------------- */

static void test_asking(void **state)
{
	unsigned long long before;
	char text[64];
	json_t *j;

	(void)state;
	done(ask_ctl("list"));
	assert_non_null(strstr(output, GROUP));
	done(ask_ctl("status " GROUP " --json"));
	j = output_json();
	assert_string_equal(json_string_value(json_object_get(j, "name")), GROUP);
	assert_int_equal(json_integer_value(json_object_get(j, "durable_seq")), model_last(&m));
	assert_int_equal(json_array_size(json_object_get(j, "disks")), 2);
	assert_true(json_integer_value(json_object_get(j, "history_ns")) > 0);
	json_decref(j);
	done(ask_ctl("status " GROUP));
	assert_non_null(strstr(output, " of 24h00m"));
	done(ask_ctl("points " GROUP));
	snprintf(text, sizeof(text), "to seq:%llu", (unsigned long long)model_last(&m));
	assert_non_null(strstr(output, text));
	done(ask_ctl("points " GROUP " --limit 1"));
	assert_non_null(strstr(output, "there are older stretches: --before seq:"));
	assert_true(sscanf(strstr(output, "--before seq:"), "--before seq:%llu", &before) == 1);
	done(ask_ctl("points " GROUP " --limit 1 --json --before seq:%llu", before));
	j = output_json();
	assert_int_equal(json_array_size(json_object_get(j, "stretches")), 1);
	assert_true(json_integer_value(json_object_get(json_array_get(json_object_get(j, "stretches"), 0), "first_seq")) <
		    (json_int_t)before);
	json_decref(j);
	fails(ask_ctl("points " GROUP " --limit 0"), 2, "accepted are 1 to 1000");
	fails(ask_ctl("points " GROUP " --before 5"), 2, "accepted is seq:N");
	done(ask_ctl("show " GROUP));
	snprintf(text, sizeof(text), "seq:%llu ", (unsigned long long)model_last(&m));
	assert_memory_equal(output, text, strlen(text));
	fails(ask_ctl("show " GROUP " seq:1"), 3, "nearest points are seq:");
	/* the newest one is older than that */
	done(ask_ctl("show " GROUP " -10min"));
	assert_memory_equal(output, text, strlen(text));
	fails(ask_ctl("show " GROUP " -10"), 2, "'-10' is no point");
	fails(ask_ctl("show " GROUP " -1min -2min"), 2, "'-2min' is one operand too many");
	fails(ask_ctl("show " GROUP " -x"), 2, "option '-x' is unknown");
	fails(ask_ctl("show " GROUP " yesterday"), 2, "accepted are latest, oldest");
	fails(ask_ctl("show " GROUP " name:x"), 3, "no point is named 'x'");
	fails(ask_ctl("status nobody"), 3, "there is no group 'nobody'");
	fails(ask_ctl("status"), 2, "operands are missing");
	fails(ctl("replica status x --socket nowhere"), 3, "does vaio-replicad run here?");
	fails(ask_ctl("set " GROUP " retain=5"), 2, "accepted are retain_time");
	fails(ask_ctl("set " GROUP " quota=5"), 2, "lacks a unit");
	done(ask_ctl("set " GROUP " retain_time=3h retain_size=any"));
	done(ask_ctl("status " GROUP));
	assert_non_null(strstr(output, " of 3h00m"));
	fails(ask_ctl("set " GROUP " retain_time=0s"), 2, "accepted are any");
	fails(ask_ctl("set " GROUP " retain_time=5124096h"), 2, "accepted are up to 876000h");
	fails(ask_ctl("set " GROUP " every_write=5124096h"), 2, "accepted are up to 876000h");
	fails(ask_ctl("set " GROUP " quota=1MiB retain_time=x"), 2, "retain_time");
	fails(ask_ctl("set " GROUP " interval=1ms"), 2, "accepted are 1s to 24h");
	fails(ask_ctl("set " GROUP " interval=any"), 2, "interval");
	done(ask_ctl("set " GROUP " every_write=1h interval=10s"));
	done(ask_ctl("status " GROUP));
	assert_non_null(strstr(output, "for 1h00m, then one each 10s"));
	done(ask_ctl("set " GROUP " every_write=any"));
	done(ask_ctl("allow " GROUP " CN=other"));
	done(ask_ctl("deny " GROUP " CN=other"));
	fails(ask_ctl("deny " GROUP " CN=other"), 3, "is no client");
}

static void test_holding(void **state)
{
	char seq[32];

	(void)state;
	snprintf(seq, sizeof(seq), "seq:%llu", (unsigned long long)model_last(&m) - 5);
	done(ask_ctl("hold " GROUP " before-upgrade --point %s", seq));
	assert_non_null(strstr(output, seq));
	done(ask_ctl("show " GROUP " name:before-upgrade"));
	assert_non_null(strstr(output, "held"));
	fails(ask_ctl("hold " GROUP " before-upgrade"), 4, "holds seq:");
	fails(ask_ctl("hold " GROUP " failover"), 2, "other than 'failover'");
	done(ask_ctl("release " GROUP " before-upgrade"));
	fails(ask_ctl("release " GROUP " before-upgrade"), 3, "before-upgrade");
	fails(ask_ctl("checkpoint " GROUP " x --kind soft"), 2, "accepted are crash");
	fails(ask_ctl("checkpoint " GROUP " x"), 1, "not connected");
}

/* --- data ----------------------------------------------------------------------------------- */

static void test_extract(void **state)
{
	uint64_t seq = model_last(&m) - 7;

	(void)state;
	done(ask_ctl("extract " GROUP " disk0.img --disk vm-disk0"));
	check_file("disk0.img", 0, model_last(&m));
	fails(ask_ctl("extract " GROUP " disk0.img --disk vm-disk0"), 5, "--force overwrites it");
	done(ask_ctl("extract " GROUP " disk0.img --disk 1 --point seq:%llu --force", (unsigned long long)seq));
	check_file("disk0.img", 1, seq);
	fails(ask_ctl("extract " GROUP " x.img"), 2, "--disk is missing: accepted are vm-disk0, vm-disk1");
	fails(ask_ctl("extract " GROUP " x.img --disk vda"), 3, "accepted are vm-disk0, vm-disk1");
	assert_int_equal(access(in_scratch("x.img"), F_OK), -1);
}

static uint64_t number_of(const char *key)
{
	json_t *j = output_json();
	uint64_t n = (uint64_t)json_integer_value(json_object_get(j, key));

	json_decref(j);
	return n;
}

/* The disk of this sidecar lost data that the replica has; it is @disk. */
static void damage(const char *path, const uint8_t *disk)
{
	struct vaio_scfile f = { .fd = -1 };
	struct vaio_sc_super sb;
	struct vaio_sc_pick pick;
	struct vaio_err e;

	assert_int_equal(vaio_scfile_open(&f, path, VAIO_SCFILE_WRITE, &e), VAIO_OK);
	assert_int_equal(vaio_scfile_load(&f, &sb, &pick, &e), VAIO_OK);
	sb.flags |= VAIO_SC_F_SOURCE_DAMAGED;
	memcpy(sb.disk_uuid, disk, sizeof(sb.disk_uuid));
	assert_int_equal(vaio_scfile_store(&f, &sb, pick.copy, &e), VAIO_OK);
	vaio_scfile_close(&f);
}

static void test_restore(void **state)
{
	static const uint8_t disk[VAIO_SC_ID_LEN] = { 1 }, other[VAIO_SC_ID_LEN] = { 2 };
	uint64_t seq = model_last(&m) - 20;

	(void)state;
	done(ask_ctl("extract " GROUP " target --disk 0 --force"));
	flip("target", 8192);
	assert_true(sh("cp target before"));
	/* nobody to ask: nothing changes */
	fails(ask_ctl("restore " GROUP " --disk 0 --to target"), 5, "--force");
	assert_true(sh("cmp target before"));
	/* one block differs, one is written */
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force --json"));
	assert_int_equal(number_of("written_bytes"), 4096);
	check_file("target", 0, model_last(&m));
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force --json --point seq:%llu", (unsigned long long)seq));
	check_file("target", 0, seq);
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force --json --point seq:%llu", (unsigned long long)seq));
	assert_int_equal(number_of("written_bytes"), 0);
	/* its sidecar is told that the bitmap does not have this write */
	done(ctl("sidecar format target.vaio --device target"));
	done(ctl("sidecar show target.vaio --json"));
	assert_null(strstr(output, "must-compare"));
	fails(ask_ctl("restore " GROUP " --disk 0 --to target --force --sidecar nothing"), 3, "nothing");
	assert_true(sh("cp target.vaio other.vaio && cp target other"));
	fails(ask_ctl("restore " GROUP " --disk 0 --to other --force"), 5, "is not that of");
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force"));
	done(ctl("sidecar show target.vaio --json"));
	assert_non_null(strstr(output, "must-compare"));
	/* another disk's does not hear that it has again what it had lost */
	damage(in_scratch("target.vaio"), other);
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force"));
	done(ctl("sidecar show target.vaio --json"));
	assert_non_null(strstr(output, "source-damaged"));
	/* its own does; not before it has */
	damage(in_scratch("target.vaio"), disk);
	assert_true(sh("cp target.vaio damaged.vaio && truncate -s +4096 target"));
	fails(ask_ctl("restore " GROUP " --disk 0 --to target --force"), 5, "bytes, the disk had");
	assert_true(sh("cmp target.vaio damaged.vaio && truncate -s -4096 target"));
	done(ctl("sidecar show target.vaio --json"));
	assert_non_null(strstr(output, "source-damaged"));
	done(ask_ctl("restore " GROUP " --disk 0 --to target --force"));
	done(ctl("sidecar show target.vaio --json"));
	assert_null(strstr(output, "source-damaged"));
	assert_non_null(strstr(output, "must-compare"));
	assert_true(sh("truncate -s +4096 target"));
	fails(ask_ctl("restore " GROUP " --disk 0 --to target --force"), 5, "bytes, the disk had");
	fails(ask_ctl("restore " GROUP " --disk 0 --to nothing --force"), 3, "nothing");
	fails(ask_ctl("restore " GROUP " --disk 0"), 2, "--to is missing");
}

/* A device: refused while somebody has it, then brought back. */
static void test_restore_device(void **state)
{
	char device[64] = "";
	FILE *f;
	int fd;

	(void)state;
	if (access("/dev/loop-control", W_OK))
		skip();
	done(ask_ctl("extract " GROUP " backing --disk 0 --force"));
	flip("backing", 5000);
	if (!sh("losetup -f --show backing >loop"))
		skip();
	f = fopen(in_scratch("loop"), "r");
	assert_true(f && fscanf(f, "%63s", device) == 1);
	fclose(f);
	fd = open(device, O_RDONLY | O_EXCL);
	assert_true(fd >= 0);
	fails(ask_ctl("restore " GROUP " --disk 0 --to %s --force", device), 4, "opened by");
	close(fd);
	fails(ask_ctl("restore " GROUP " --disk 0 --to %s --force", device), 5, "--sidecar is missing");
	/* written below the device, while somebody has that */
	fd = open(device, O_RDONLY | O_EXCL);
	assert_true(fd >= 0);
	fails(ask_ctl("restore " GROUP " --disk 0 --to backing --force"), 4, "opened by");
	close(fd);
	done(ask_ctl("restore " GROUP " --disk 0 --to %s --sidecar none --force --json", device));
	assert_int_equal(number_of("written_bytes"), 4096);
	assert_true(sh("losetup -d %s", device));
	check_file("backing", 0, model_last(&m));
}

static void test_verify(void **state)
{
	(void)state;
	done(ask_ctl("verify " GROUP " --disk 1"));
	assert_non_null(strstr(output, "all checksums right"));
	done(ask_ctl("extract " GROUP " source --disk 1 --force"));
	done(ask_ctl("verify " GROUP " --disk 1 --against-source source"));
	assert_non_null(strstr(output, "equal"));
	flip("source", 70000);
	fails(ask_ctl("verify " GROUP " --disk 1 --against-source source"), 1, "the first at byte 69632");
	fails(ask_ctl("verify " GROUP " --disk 0 --against-source source"), 1, "bytes, the replica");
	done(ask_ctl("scrub " GROUP));
	assert_non_null(strstr(output, "no fault"));
}

/* --- exports ------------------------------------------------------------------------------------ */

/* false: qemu-io refused, or failed */
static bool nbd(const char *socket, const char *command)
{
	return sh("qemu-io -f raw 'nbd+unix:///?socket=%s/run/%s.sock' -c '%s' >nbd.out 2>&1 && ! grep -qi -e error -e fail nbd.out",
		  scratch, socket, command);
}

static void test_export(void **state)
{
	uint64_t seq = model_last(&m) - 11;

	(void)state;
	done(ask_ctl("export " GROUP " --disk 0 --point seq:%llu --name ro --run run", (unsigned long long)seq));
	assert_non_null(strstr(output, "nbd+unix:///?socket="));
	assert_non_null(strstr(output, "<readonly/>"));
	assert_true(sh("qemu-img convert -O raw 'nbd+unix:///?socket=%s/run/ro.sock' exported", scratch));
	check_file("exported", 0, seq);
	assert_false(nbd("ro", "write 0 512"));
	done(ctl("replica exports --run run"));
	assert_non_null(strstr(output, "read-only"));
	fails(ask_ctl("export " GROUP " --disk 0 --name ro --run run"), 4, "is served already");
	/* the point stays while it is served */
	done(ask_ctl("status " GROUP));
	done(ctl("replica unexport ro --run run"));
	done(ask_ctl("export " GROUP " --disk 0 --point -10min --name ro --run run"));
	assert_true(sh("qemu-img convert -O raw 'nbd+unix:///?socket=%s/run/ro.sock' exported", scratch));
	check_file("exported", 0, model_last(&m));
	done(ctl("replica unexport ro --run run"));
	fails(ctl("replica unexport ro --run run"), 3, "there is no export 'ro'");
	assert_true(sh("! ls run/ro.*"));
	fails(ask_ctl("export " GROUP " --disk 0 --name ../x --run run"), 2, "no name of an export");
	fails(ask_ctl("export " GROUP " --disk 0 --scratch . --run run"), 2, "--scratch-max is missing");
	fails(ask_ctl("export " GROUP " --disk 0 --listen 127.0.0.1:1 --run run"), 2, "there is only TLS");
}

static void test_scratch(void **state)
{
	(void)state;
	/* thrown away */
	done(ask_ctl("export " GROUP " --disk 0 --name rw --run run --scratch . --scratch-max 1MiB"));
	assert_null(strstr(output, "<readonly/>"));
	assert_true(nbd("rw", "write -P 0x5a 4096 8192"));
	assert_true(nbd("rw", "read -P 0x5a 4096 8192"));
	done(ctl("replica unexport rw --run run"));
	done(ask_ctl("export " GROUP " --disk 0 --name rw --run run --scratch . --scratch-max 8KiB"));
	assert_true(sh("qemu-img convert -O raw 'nbd+unix:///?socket=%s/run/rw.sock' exported", scratch));
	check_file("exported", 0, model_last(&m));
	/* and there is an end to it */
	assert_false(nbd("rw", "write -P 1 65536 12288"));
	done(ctl("replica unexport rw --run run"));
	/* kept: the same command goes on, at the same point, though there are newer ones */
	done(ask_ctl("export " GROUP " --disk 0 --name kept --run run --scratch . --scratch-max 1MiB --keep --point seq:%llu",
		     (unsigned long long)model_last(&m) - 9));
	assert_true(nbd("kept", "write -P 0x77 65536 65536"));
	done(ctl("replica unexport kept --run run"));
	done(ctl("replica exports --run run"));
	assert_non_null(strstr(output, "kept"));
	fails(ask_ctl("export " GROUP " --disk 0 --name kept --run run --scratch . --scratch-max 1MiB --keep --point latest"), 5,
	      "--discard throws them away");
	done(ask_ctl("export " GROUP " --disk 0 --name kept --run run --scratch . --scratch-max 1MiB --keep"));
	assert_true(nbd("kept", "read -P 0x77 65536 65536"));
	done(ask_ctl("show " GROUP " name:export-kept"));
	done(ask_ctl("unexport kept --run run --discard"));
	assert_int_equal(access(in_scratch("kept.scratch"), F_OK), -1);
	fails(ask_ctl("show " GROUP " name:export-kept"), 3, "no point");
}

/*
 * The <disk> element of the export that was just made, in a domain: libvirt takes it, and QEMU, told what libvirt
 * understood, has disk @n as of @seq.
 */
static void by_libvirt(unsigned int n, uint64_t seq, bool writable)
{
	char *disk = strstr(output, "<disk "), *end = strstr(output, "</disk>"), socket[128], host[64], port[16];
	FILE *f = fopen(in_scratch("domain.xml"), "w");
	const char *at;
	bool by_path;

	assert_non_null(f);
	if (!disk || !end)
		fail_msg("no <disk>: %s", output);
	fprintf(f, "<domain type='test'>\n<name>vm1</name>\n<memory unit='MiB'>64</memory>\n<os><type arch='i686'>hvm</type></os>\n"
		   "<devices>\n%.*s</disk>\n</devices>\n</domain>\n", (int)(end - disk), disk);
	fclose(f);
	if (!sh("virsh -q -c test:///default 'define --validate domain.xml; dumpxml vm1' >understood 2>&1"))
		sh("cat domain.xml >>understood");
	f = fopen(in_scratch("understood"), "r");
	assert_non_null(f);
	output[fread(output, 1, sizeof(output) - 1, f)] = 0;
	fclose(f);
	at = strstr(output, "<host ");
	if (!at)
		fail_msg("libvirt: %s", output);
	assert_int_equal(!strstr(output, "<readonly/>"), writable);
	assert_int_equal(!!strstr(output, "discard='unmap'"), writable);
	assert_int_equal(!!strstr(output, "logical_block_size='4096'"), m.member[n].block == 4096);
	by_path = sscanf(at, "<host transport='unix' socket='%127[^']'/>", socket) == 1;
	if (!by_path && (!strstr(output, "tls='yes'") || sscanf(at, "<host name='%63[^']' port='%15[^']'/>", host, port) != 2))
		fail_msg("neither a socket nor a host with TLS: %s", output);
	/* The words of its qemuBlockStorageSourceGetNBDProps() */
	f = fopen(in_scratch("blockdev"), "w");
	assert_non_null(f);
	if (by_path)
		fprintf(f, "json:{\"driver\": \"nbd\", \"server\": {\"type\": \"unix\", \"path\": \"%s\"}}", socket);
	else
		fprintf(f, "json:{\"driver\": \"nbd\", \"server\": {\"type\": \"inet\", \"host\": \"%s\", \"port\": \"%s\"}, "
			   "\"tls-creds\": \"tls\"}", host, port);
	fclose(f);
	if (!sh("qemu-img convert --object tls-creds-x509,id=tls,endpoint=client,dir=tls -O raw \"$(cat blockdev)\" exported 2>why"))
		fail_msg("QEMU does not read it: %s", output);
	check_file("exported", n, seq);
}

static int free_port(const char *addr)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in6 *v6 = (void *)&a;
	struct sockaddr_in *v4 = (void *)&a;
	socklen_t len = sizeof(a);
	int fd, rc;

	a.ss_family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	inet_pton(a.ss_family, addr, a.ss_family == AF_INET6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr);
	fd = socket(a.ss_family, SOCK_STREAM, 0);
	rc = fd < 0 || bind(fd, (void *)&a, sizeof(a)) || getsockname(fd, (void *)&a, &len);
	close(fd);
	return rc ? -1 : ntohs(a.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
}

static void test_libvirt(void **state)
{
	static const char *const addrs[] = { "127.0.0.1", "::1" };
	uint64_t seq = model_last(&m) - 9;

	(void)state;
	assert_true(sh("mkdir tls && cp ca.pem tls/ca-cert.pem && cp server.pem tls/server-cert.pem && cp server.key tls/server-key.pem && "
		       "cp a.pem tls/client-cert.pem && cp a.key tls/client-key.pem"));
	done(ask_ctl("export " GROUP " --disk 0 --point seq:%llu --name ro --run run", (unsigned long long)seq));
	by_libvirt(0, seq, false);
	done(ctl("replica unexport ro --run run"));
	done(ask_ctl("export " GROUP " --disk 1 --name rw --run run --scratch . --scratch-max 1MiB"));
	by_libvirt(1, model_last(&m), true);
	done(ctl("replica unexport rw --run run"));
	for (int i = 0; i < 4; i++) {
		const char *addr = addrs[i / 2];
		int port = free_port(addr);

		/* Without IPv6 there is nothing to be seen. */
		if (port < 0 && i / 2)
			break;
		done(ask_ctl("export " GROUP " --disk %d --point seq:%llu --name tcp --run run --tls-certificates tls --listen "
			     "%s%s%s:%d %s", i % 2, (unsigned long long)seq, i / 2 ? "[" : "", addr, i / 2 ? "]" : "", port,
			     i % 2 ? "--scratch . --scratch-max 1MiB" : ""));
		by_libvirt((unsigned int)i % 2, seq, i % 2);
		/* who has no certificate does not */
		assert_false(sh("qemu-img info \"$(sed 's/, .tls-creds.*/}/' blockdev)\""));
		done(ctl("replica unexport tcp --run run"));
	}
	fails(ask_ctl("export " GROUP " --disk 0 --listen ::1:9 --tls-certificates tls --run run"), 2, "[ADDR]:PORT");
	fails(ask_ctl("export " GROUP " --disk 0 --listen :9 --tls-certificates tls --run run"), 2, "[ADDR]:PORT");
	fails(ask_ctl("export " GROUP " --disk 0 --run \"run'\""), 2, "accepted are letters");
}

/* --- many segments ----------------------------------------------------------------------------- */

#define SEGMENTS	100U
#define SOFT_LIMIT	"ulimit -Sn 64 &&"

/* Of a process: "Max open files". */
static void files_of(pid_t pid, struct rlimit *r)
{
	unsigned long long soft, hard;
	char line[256], path[64];
	bool there = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		there |= sscanf(line, "Max open files %llu %llu", &soft, &hard) == 2;
	fclose(f);
	assert_true(there);
	r->rlim_cur = soft;
	r->rlim_max = hard;
}

/* A store that wants more files than the soft limit: whoever reads it takes what there may be. */
static void test_many_segments(void **state)
{
	struct vr_options o = { .write = true, .segment_bytes = 8192, .reserve_bytes = 4096 };
	struct rlimit own, of;
	struct vr_store *st;
	struct vr_info info = { .nr_segments = 0 };
	struct vr_io *io;
	struct model mm;
	bool more = true;
	int rc = 0;

	(void)state;
	model_init(&mm, seed);
	mm.stretches = false;
	assert_true(sh("mkdir many"));
	assert_int_equal(vr_io_open(in_scratch("many"), &io), 0);
	rc = vr_store_create(io, mm.group, "many", &why);
	rc = rc ? rc : vr_store_open(io, &o, &st, &why);
	while (!rc && (!mm.whole || info.nr_segments < SEGMENTS)) {
		size_t len;
		const void *batch = model_batch(&mm, 3, &len);

		rc = batch ? vr_store_append(st, batch, len, &why) : 0;
		vr_store_info(st, &info);
	}
	rc = rc ? rc : vr_store_commit(st, &why);
	while (!rc && more)
		rc = vr_store_maintain(st, false, &more, &why);
	if (rc)
		fail_msg("%s", why.text);
	vr_store_info(st, &info);
	assert_true(info.nr_segments >= SEGMENTS);
	vr_store_close(st);
	model_free(&mm);

	first_words = SOFT_LIMIT;
	done(ctl("replica status ./many"));
	done(ctl("replica points ./many"));
	done(ctl("replica extract ./many many.img --disk 0"));
	done(ctl("replica scrub ./many"));
	/* nbdkit may be started by somebody else */
	assert_true(sh("%s nbdkit -r -U - $(dirname %s)/../lib/nbdkit-vaio-plugin.so store=many disk=0 --run "
		       "'qemu-img convert -O raw \"$uri\" served' && cmp many.img served", SOFT_LIMIT, program));
	/* what is too little in all says so */
	first_words = "ulimit -n 64 &&";
	fails(ctl("replica points ./many"), 1, "Too many open files: the limit is 64");
	first_words = "";
	/* the daemon takes all, and gives up nothing of it */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	files_of(daemon_pid, &of);
	assert_int_equal(of.rlim_cur, of.rlim_max);
	assert_true(of.rlim_max >= own.rlim_max);
}

/* --- what the source says of itself ------------------------------------------------------------- */

/* Said, and read: the answer to a PING comes after it. */
static void tell(struct agent *a, const struct vaio_rw_status *s)
{
	struct vaio_rw_ping ping = { 1 };
	int type;

	assert_true(agent_send(a, VAIO_RW_STATUS, s, sizeof(*s)) && agent_send(a, VAIO_RW_PING, &ping, sizeof(ping)));
	while ((type = agent_receive(a)) != VAIO_RW_PONG)
		assert_int_not_equal(type, 0);
}

/* Four figures of status --json: numbers or, with -1, null. */
static void check_figures(json_int_t rpo, json_int_t worst, json_int_t backlog, json_int_t dirty)
{
	static const char *const keys[] = { "rpo_ns", "rpo_worst_ns", "backlog_bytes", "dirty_bytes" };
	json_int_t want[] = { rpo, worst, backlog, dirty };
	json_t *j;

	done(ask_ctl("status " GROUP " --json"));
	j = output_json();
	for (int i = 0; i < 4; i++) {
		json_t *n = json_object_get(j, keys[i]);

		if (want[i] < 0 ? !json_is_null(n) : !json_is_integer(n) || json_integer_value(n) != want[i])
			fail_msg("%s: wanted %lld, %s: %lld", keys[i], (long long)want[i], json_is_integer(n) ? "is" : "no number",
				 (long long)json_integer_value(n));
	}
	json_decref(j);
}

/* What is not known is no 0: not before the source has said it, not without a point, not when it cannot be. */
static void test_figures(void **state)
{
	struct greeting g = { .group = 0x31, .host = 1, .ring = 1, .generation = 1, .connection = 5, .m = &m };
	struct agent *a = malloc(sizeof(*a));
	struct vaio_rw_status s = { 0 };

	(void)state;
	g.next_seq = m.next_seq;
	check_figures(-1, -1, -1, -1);
	done(ask_ctl("status " GROUP));
	assert_null(strstr(output, "RPO"));
	agent_start(a, &g);
	check_figures(-1, -1, -1, -1);
	s.rpo_ns = htole64(1500 * 1000000ULL);
	s.rpo_worst_ns = htole64(2000 * 1000000ULL);
	s.backlog_bytes = htole64(3 << 20);
	tell(a, &s);
	check_figures(1500000000, 2000000000, 3 << 20, 0);
	done(ask_ctl("status " GROUP));
	assert_non_null(strstr(output, "1.5s, worst 2s"));
	s.rpo_ns = s.rpo_worst_ns = htole64(VAIO_RW_NO_AGE);
	tell(a, &s);
	check_figures(-1, -1, 3 << 20, 0);
	done(ask_ctl("status " GROUP));
	assert_non_null(strstr(output, "-, worst -"));
	done(ask_ctl("list"));
	assert_non_null(strstr(output, "       -        -      3 MiB"));
	/* a hostile one */
	memset(&s, 0xff, sizeof(s));
	s.flags = s.reserved = 0;
	s.rpo_ns = htole64(1ULL << 63);
	s.rpo_worst_ns = htole64(INT64_MAX);
	tell(a, &s);
	check_figures(-1, INT64_MAX, -1, -1);
	done(ask_ctl("status " GROUP));
	done(ask_ctl("list"));
	agent_close(a);
	wait_gone(0x31);
	check_figures(-1, -1, -1, -1);
	free(a);
}

/* In a gap: the points on its two sides are named, and are points. */
static void test_gap(void **state)
{
	struct vaio_rw_gap gap = { .reason = htole32(VAIO_RW_GAP_LINK) };
	struct agent *a = malloc(sizeof(*a));
	unsigned long long before, after;
	struct model gm;
	uint64_t first, last;
	const void *batch;
	size_t len;

	(void)state;
	make_group(a, &gm, 0x32, 1);
	first = gm.next_seq;
	assert_int_equal(model_group(&gm, VAIO_RW_R_GAP, &gap, sizeof(gap), NULL), 0);
	assert_int_equal(model_resync_begin(&gm, VAIO_RW_S_BITMAP), 0);
	last = gm.next_seq;
	assert_int_equal(model_group(&gm, VAIO_RW_R_RESYNC_END, NULL, 0, NULL), 0);
	batch = vr_builder_finish(gm.builder, &len);
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	batch = model_batch(&gm, 10, &len);
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	wait_durable(a, model_last(&gm));
	agent_close(a);
	fails(ask_ctl("show group50 seq:%llu", (unsigned long long)first), 3, "the nearest points are seq:");
	if (sscanf(strstr(output, "points are seq:"), "points are seq:%llu and seq:%llu", &before, &after) != 2)
		fail_msg("not two points: %s", output);
	assert_true(before == first - 1 && after >= last);
	done(ask_ctl("show group50 seq:%llu", before));
	done(ask_ctl("show group50 seq:%llu", after));
	wait_gone(0x32);
	model_free(&gm);
	free(a);
}

/* --- the source is there ---------------------------------------------------------------------------- */

/* The source is asked for "quiet", to be held, and puts the record into the stream. It has the name @held then. */
static void hold_quiet(struct agent *a, const char *held)
{
	struct vaio_rw_checkpoint_result r = { 0 };
	struct vaio_rw_checkpoint c = { .kind = htole32(VAIO_RW_C_FILESYSTEM) };
	char text[64];
	const void *batch;
	size_t len;
	pid_t child = fork();
	int type, status;

	if (!child) {
		snprintf(text, sizeof(text), held, (unsigned long long)model_last(&m) + 1);
		_exit(ask_ctl("checkpoint " GROUP " quiet --kind filesystem --hold") || !strstr(output, text));
	}
	while ((type = agent_receive(a)) == VAIO_RW_DURABLE)
		;
	assert_int_equal(type, VAIO_RW_CHECKPOINT_REQUEST);
	assert_int_equal(le32toh(a->in.request.kind), VAIO_RW_C_FILESYSTEM);
	assert_string_equal((char *)a->in.request.name, "quiet");
	r.cookie = a->in.request.cookie;
	memcpy(c.name, a->in.request.name, sizeof(c.name));
	assert_int_equal(model_group(&m, VAIO_RW_R_CHECKPOINT, &c, sizeof(c), "quiet"), 0);
	batch = vr_builder_finish(m.builder, &len);
	r.seq = htole64(model_last(&m));
	/* the answer may come before the record */
	assert_true(agent_send(a, VAIO_RW_CHECKPOINT_RESULT, &r, sizeof(r)));
	assert_true(agent_send(a, VAIO_RW_BATCH, batch, len));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	snprintf(text, sizeof(text), held, (unsigned long long)model_last(&m));
	done(ask_ctl("show " GROUP " 'name:%s'", text));
	snprintf(text, sizeof(text), "seq:%llu ", (unsigned long long)model_last(&m));
	assert_memory_equal(output, text, strlen(text));
	assert_non_null(strstr(output, "held"));
}

/* The source is asked, puts the record into the stream, and vaioctl says its number. */
static void test_checkpoint(void **state)
{
	struct greeting g = { .group = 0x31, .host = 1, .ring = 1, .generation = 1, .connection = 10, .m = &m };
	struct vaio_rw_checkpoint_result r = { 0 };
	struct agent *a = malloc(sizeof(*a));
	unsigned long long second;
	pid_t child;
	int status;

	(void)state;
	g.next_seq = m.next_seq;
	agent_start(a, &g);
	hold_quiet(a, "quiet");
	/* the name holds that one: both stay */
	hold_quiet(a, "quiet seq:%llu");
	second = model_last(&m);
	done(ask_ctl("show " GROUP " name:quiet"));
	done(ask_ctl("release " GROUP " quiet"));
	done(ask_ctl("release " GROUP " 'quiet seq:%llu'", second));
	/* what the source cannot do, it says */
	child = fork();
	if (!child)
		_exit(ask_ctl("checkpoint " GROUP " again") == 1 && strstr(output, "frozen") ? 0 : 1);
	assert_int_equal(agent_receive(a), VAIO_RW_DURABLE);
	assert_int_equal(agent_receive(a), VAIO_RW_CHECKPOINT_REQUEST);
	r.cookie = a->in.request.cookie;
	r.seq = 0;
	strcpy((char *)r.text, "the guest is frozen");
	assert_true(agent_send(a, VAIO_RW_CHECKPOINT_RESULT, &r, sizeof(r)));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	agent_close(a);
	free(a);
}

/* A step that was refused is nothing to the source. */
static void still_connected(struct agent *a)
{
	struct vaio_rw_ping ping = { htole64(1) };
	int type;

	assert_true(agent_send(a, VAIO_RW_PING, &ping, sizeof(ping)));
	while ((type = agent_receive(a)) != VAIO_RW_PONG)
		if (!type || type == VAIO_RW_END)
			fail_msg("the connection ended: %s", type ? (char *)a->in.end.text : "");
}

/* Ready, failover, undo; failover, failback, commit; failover, permanent. Whoever does not know the generation is refused. */
static void test_failover(void **state)
{
	struct greeting g = { .group = 0x31, .host = 1, .ring = 1, .generation = 1, .connection = 20, .m = &m };
	struct vr_generation new = { .counter = 0 };
	struct agent *a = malloc(sizeof(*a));
	uint64_t last = model_last(&m);
	json_t *j, *generation;
	const char *id;

	(void)state;
	g.next_seq = m.next_seq;
	fails(ask_ctl("undo " GROUP), 4, "'undo' is accepted from failover and failback");
	agent_start(a, &g);
	fails(ask_ctl("undo " GROUP), 4, "'undo' is accepted from failover and failback");
	still_connected(a);
	fails(ask_ctl("failover " GROUP " --point seq:999999999"), 3, "seq:");
	still_connected(a);
	/* one that fails later than that leaves a source that comes again */
	done(ask_ctl("failover " GROUP " --point seq:%llu", (unsigned long long)last - 3));
	agent_ended(a);
	assert_int_equal(le32toh(a->in.end.code), VAIO_RW_END_BUSY);
	assert_int_not_equal(le32toh(a->in.end.retry_ms), ~0U);
	agent_close(a);
	g.connection++;
	refused("a", &g, VAIO_RW_END_PROMOTED, "taken into use");
	done(ask_ctl("show " GROUP " name:failover"));
	assert_non_null(strstr(output, "held"));
	fails(ask_ctl("release " GROUP " failover"), 5, "undo or commit");
	fails(ask_ctl("commit " GROUP), 4, "accepted from failback");
	/* a daemon that is killed comes back to the same state */
	stop_daemon(SIGKILL);
	start_daemon();
	g.connection++;
	refused("a", &g, VAIO_RW_END_PROMOTED, "taken into use");
	done(ask_ctl("undo " GROUP));
	fails(ask_ctl("show " GROUP " name:failover"), 3, "no point");
	g.connection++;
	agent_start(a, &g);
	assert_int_equal(a->durable, last);
	agent_close(a);

	done(ask_ctl("failover " GROUP));
	done(ask_ctl("failback " GROUP));
	g.connection++;
	refused("a", &g, VAIO_RW_END_PROMOTED, "taken into use");
	done(ask_ctl("undo " GROUP));
	done(ask_ctl("failback " GROUP));
	done(ask_ctl("commit " GROUP));
	g.connection++;
	refused("a", &g, VAIO_RW_END_FORK, "does not know");
	done(ask_ctl("status " GROUP " --json"));
	j = output_json();
	assert_string_equal(json_string_value(json_object_get(j, "failover")), "ready");
	/* the record of the generation changes nothing: it is a point still */
	assert_int_equal(json_integer_value(json_object_get(j, "complete_seq")), last + 1);
	generation = json_object_get(j, "generation");
	id = json_string_value(json_object_get(generation, "id"));
	assert_int_equal(json_integer_value(json_object_get(generation, "counter")), m.generation + 1);
	new.counter = m.generation + 1;
	new.first_seq = (uint64_t)json_integer_value(json_object_get(generation, "first_seq"));
	for (int i = 0, at = 0; i < 16; i++, at += 2) {
		unsigned int byte;

		at += id[at] == '-';
		sscanf(id + at, "%2x", &byte);
		new.id[i] = (uint8_t)byte;
	}
	json_decref(j);
	/* the source that was told of it goes on, with a comparison to come */
	g.more = &new;
	g.connection++;
	g.next_seq = new.first_seq + 100;
	agent_start(a, &g);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_RESYNC);
	assert_true(le32toh(a->in.welcome.flags) & VAIO_RW_W_COMPARE);
	assert_int_equal(le64toh(a->in.welcome.complete_seq), last + 1);
	agent_close(a);

	done(ask_ctl("failover " GROUP));
	done(ask_ctl("permanent " GROUP));
	g.connection++;
	refused("a", &g, VAIO_RW_END_PROMOTED, "taken into use");
	fails(ask_ctl("undo " GROUP), 4, "permanent");
	/* what it has can still be read */
	done(ask_ctl("extract " GROUP " permanent.img --disk 0 --point name:failover"));
	check_file("permanent.img", 0, last);
	free(a);
}

/* --- the source's end --- */

/* Answers one question as vaio-agent would; NULL: without having read it. */
static pid_t play_agent(const char *answer)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", in_scratch("agent"));
	unlink(addr.sun_path);
	assert_int_equal(bind(fd, (void *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (!pid) {
		struct pollfd p = { .fd = accept(fd, NULL, NULL), .events = POLLIN };
		char line[4096];

		if (!answer) {
			dprintf(p.fd, "{\"ok\": false, \"error\": \"too many ask\"}\n");
			_exit(poll(&p, 1, -1) != 1 || shutdown(p.fd, SHUT_RD));
		}
		_exit(read(p.fd, line, sizeof(line) - 1) <= 0 || write(p.fd, answer, strlen(answer)) <= 0);
	}
	close(fd);
	return pid;
}

static void agent_played(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The link is down, and the figures are what matters; before the first point there are some that are none. */
static void source_down(void)
{
	static const char down[] =
		"{\"ok\": true, \"groups\": [{\"name\": \"vm1\", \"uuid\": \"u\", \"target\": \"dr1:7790\", \"mode\": \"sync\", "
		"\"state\": \"connecting\", \"error\": \"no route\", \"connected\": false, \"peer\": \"\", \"rpo_ms\": 754000, "
		"\"rpo_worst_ms\": 755000, \"backlog_bytes\": 3145728, \"rate\": 2097152, \"resync\": null, \"disks\": []}]}\n";
	static const char *const without[] = { "null", "-5", "9223372036854775807", "\"x\"", "1.5e300" };
	char answer[1024];
	json_t *j, *g;
	pid_t pid;

	pid = play_agent(down);
	done(ctl("replica status vm1 --agent agent"));
	agent_played(pid);
	if (!strstr(output, "12m34s, worst 12m35s") || !strstr(output, "3 MiB") || !strstr(output, "2 MiB") || !strstr(output, "sync"))
		fail_msg("%s", output);
	pid = play_agent(down);
	done(ctl("replica list --agent agent"));
	agent_played(pid);
	if (!strstr(output, "12m34s   12m35s      3 MiB      2 MiB"))
		fail_msg("%s", output);
	pid = play_agent(down);
	done(ctl("top --once --interval 10ms --agent agent"));
	agent_played(pid);
	if (!strstr(output, "12m34s   12m35s      3 MiB      2 MiB"))
		fail_msg("%s", output);
	pid = play_agent(down);
	done(ctl("top --once --interval 10ms --json --agent agent"));
	agent_played(pid);
	j = output_json();
	assert_true(json_is_array(json_object_get(j, "disks")));
	assert_int_equal(json_array_size(json_object_get(j, "errors")), 0);
	assert_int_equal(json_array_size(json_object_get(j, "groups")), 1);
	g = json_array_get(json_object_get(j, "groups"), 0);
	assert_string_equal(json_string_value(json_object_get(g, "name")), "vm1");
	assert_string_equal(json_string_value(json_object_get(g, "state")), "connecting");
	assert_string_equal(json_string_value(json_object_get(g, "role")), "source");
	assert_int_equal(json_integer_value(json_object_get(g, "rpo_ms")), 754000);
	assert_int_equal(json_integer_value(json_object_get(g, "rpo_worst_ns")), 755000000000);
	assert_int_equal(json_integer_value(json_object_get(g, "backlog_bytes")), 3145728);
	assert_int_equal(json_integer_value(json_object_get(g, "rate_bytes")), 2097152);
	json_decref(j);
	/* who does not answer is not without groups */
	done(ctl("top --once --interval 10ms --json --agent nowhere"));
	j = output_json();
	assert_int_equal(json_array_size(json_object_get(j, "errors")), 1);
	json_decref(j);
	done(ctl("top --once --interval 10ms --agent nowhere"));
	assert_non_null(strstr(output, "vaio-agent does not answer on nowhere"));
	for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++) {
		snprintf(answer, sizeof(answer), "{\"ok\": true, \"groups\": [{\"name\": \"vm1\", \"state\": \"connecting\", \"connected\": "
			 "false, \"rpo_ms\": %s, \"rpo_worst_ms\": %s, \"disks\": []}]}\n", without[i], without[i]);
		pid = play_agent(answer);
		done(ctl("replica status vm1 --agent agent"));
		agent_played(pid);
		if (!strstr(output, "-, worst -") || !strstr(output, "backlog        -"))
			fail_msg("%s: %s", without[i], output);
		pid = play_agent(answer);
		done(ctl("replica status vm1 --agent agent --json"));
		agent_played(pid);
		j = output_json();
		assert_true(json_is_null(json_object_get(j, "rpo_ns")) && json_is_null(json_object_get(j, "rpo_worst_ns")));
		json_decref(j);
	}
}

/* A daemon that takes no more while vaioctl writes, more than a socket has room for, and says why. */
static void unheard(void)
{
	pid_t pid = play_agent(NULL);

	fails(ctl("replica show \"$(head -c 120000 /dev/zero | tr '\\0' '\\1')\" --socket agent"), 1, "too many ask");
	agent_played(pid);
}

static void test_source(void **state)
{
	static const char status_answer[] =
		"{\"ok\": true, \"groups\": [{\"name\": \"vm1\", \"uuid\": \"u\", \"target\": \"dr1:7790\", \"mode\": \"sync\", "
		"\"state\": \"initial-sync\", \"error\": \"\", \"connected\": true, \"peer\": \"10.0.0.9:7790\", \"rpo_ms\": 1500, "
		"\"rpo_worst_ms\": null, \"backlog_bytes\": 1048576, \"rate\": 2097152, \"resync\": {\"kind\": \"initial\", "
		"\"total_bytes\": 1073741824, \"left_bytes\": 268435456, \"rate\": 2097152, \"left_ms\": 128000}, \"disks\": "
		"[{\"name\": \"vda\", \"uuid\": \"d\", \"bytes\": 1073741824, \"dirty_bytes\": 268435456, \"check_bytes\": 0}]}]}\n";
	pid_t pid;

	(void)state;
	pid = play_agent(status_answer);
	done(ctl("replica list --agent agent"));
	agent_played(pid);
	assert_non_null(strstr(output, "source   initial-sync"));
	assert_non_null(strstr(output, "1.5s"));
	assert_non_null(strstr(output, "dr1:7790"));
	pid = play_agent(status_answer);
	done(ctl("replica status vm1 --agent agent"));
	agent_played(pid);
	assert_non_null(strstr(output, "initial, 75 % of 1 GiB, 2 MiB/s, 2m08s left"));
	assert_non_null(strstr(output, "256 MiB"));
	/* a worst RPO of null is none */
	assert_non_null(strstr(output, "1.5s, worst -"));
	source_down();
	pid = play_agent(status_answer);
	fails(ctl("replica status vm2 --agent agent"), 3, "there is no group 'vm2'");
	agent_played(pid);
	pid = play_agent("{\"ok\": true, \"seq\": 4711, \"durable\": true}\n");
	done(ctl("replica checkpoint vm1 x --agent agent"));
	agent_played(pid);
	assert_memory_equal(output, "seq:4711 ", 9);
	pid = play_agent("{\"ok\": true, \"seq\": 4711, \"durable\": false}\n");
	fails(ctl("replica checkpoint vm1 x --agent agent"), 6, "not yet at the replica");
	agent_played(pid);
	pid = play_agent("{\"ok\": false, \"error\": \"the group is tracking\"}\n");
	fails(ctl("replica checkpoint vm1 x --agent agent"), 1, "the group is tracking");
	agent_played(pid);
	pid = play_agent("no JSON\n");
	fails(ctl("replica list --agent agent"), 1, "no answer");
	agent_played(pid);
	unheard();
	fails(ctl("replica list --agent nowhere"), 3, "does vaio-agent run here?");
}

/* --- without the daemon ---------------------------------------------------------------------------------- */

/* A group that cannot be opened is still found, by its name as long as there is a superblock. */
static void damaged(const char *dir)
{
	char text[128];

	assert_true(sh("mv $(ls %s/journal/*.seg | head -n 1) lost", dir));
	start_daemon();
	done(ask_ctl("status " GROUP));
	snprintf(text, sizeof(text), "%s  damaged", GROUP);
	if (strncmp(output, text, strlen(text)) || !strstr(output, "error  ") || strstr(output, "history"))
		fail_msg("%s", output);
	done(ask_ctl("list"));
	assert_non_null(strstr(output, GROUP));
	/* not one that is not there */
	fails(ask_ctl("points " GROUP), 1, "journal");
	stop_daemon(SIGTERM);
	daemon_pid = 0;
	assert_true(sh("truncate -s 0 %s/super && truncate -s 1M %s/super", dir, dir));
	start_daemon();
	fails(ask_ctl("points " GROUP), 3, "but 31313131-3131-3131-3131-313131313131 is not open");
	done(ask_ctl("status 31313131-3131-3131-3131-313131313131"));
	assert_non_null(strstr(output, "failed"));
}

static void test_offline(void **state)
{
	uint64_t last = model_last(&m);
	char dir[128];
	int code;

	(void)state;
	stop_daemon(SIGTERM);
	daemon_pid = 0;
	folder_of(0x31, dir, sizeof(dir));
	done(ctl("replica status %s", dir));
	assert_non_null(strstr(output, "offline"));
	done(ctl("replica points %s", dir));
	done(ctl("replica show %s seq:%llu", dir, (unsigned long long)last));
	done(ctl("replica extract %s offline.img --disk 1 --point seq:%llu", dir, (unsigned long long)last));
	check_file("offline.img", 1, last);
	done(ctl("replica scrub %s", dir));
	fails(ctl("replica status ./nothing"), 3, "nothing");
	/* a byte that rotted is found, by both */
	assert_true(sh("f=$(ls %s/journal/*.seg | head -n 1) && printf xyz | dd of=$f bs=1 seek=4300 conv=notrunc", dir));
	code = ctl("replica scrub %s", dir);
	if (code != 1 || (!strstr(output, "fault") && !strstr(output, "damaged") && !strstr(output, "missing")))
		fail_msg("%d: %s", code, output);
	damaged(dir);
}

static int setup_group(void **state)
{
	struct agent *a = malloc(sizeof(*a));
	struct rlimit files;

	/* Not what the daemon would make of it by itself; who may not raise it has the one that there is. */
	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_max < 70000)
		files.rlim_max = 70000;
	files.rlim_cur = 1024;
	setrlimit(RLIMIT_NOFILE, &files);
	if (setup(state))
		return 1;
	make_group(a, &m, 0x31, 1);
	agent_close(a);
	wait_gone(0x31);
	free(a);
	return 0;
}

/* What a failed test left behind ends too. */
static int teardown_group(void **state)
{
	sh("for f in run/*.pid; do kill $(cat $f); done; [ ! -e loop ] || losetup -d $(cat loop)");
	vr_builder_free(m.builder);
	free(m.records);
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asking),
		cmocka_unit_test(test_holding),
		cmocka_unit_test(test_extract),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_restore_device),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_scratch),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_checkpoint),
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_offline),
	};
	const char *text = getenv("VAIO_SEED");

	seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)getpid() * 7919 + (uint64_t)time(NULL);
	signal(SIGPIPE, SIG_IGN);
	gcry_check_version(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
