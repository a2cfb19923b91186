/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * vaio: I/O filters for virtual disks, the user-space ABI.
 *
 * Generic netlink family "vaio", version 1, multicast group "events". The same
 * interface is described in Documentation/netlink/vaio.yaml. Every request
 * needs CAP_NET_ADMIN and CAP_SYS_ADMIN in the initial user namespace.
 *
 * The sidecar's on-disk format is in vaio-sidecar.h.
 */
#ifndef _UAPI_LINUX_VAIO_H
#define _UAPI_LINUX_VAIO_H

#include <linux/types.h>

#define VAIO_GENL_NAME		"vaio"
#define VAIO_GENL_VERSION	1
#define VAIO_GENL_GRP_EVENTS	"events"

/* Lengths include the terminating NUL. */
#define VAIO_NAME_LEN		32	/* filter, property, event and verb names */
#define VAIO_VALUE_LEN		256	/* a property's value */
#define VAIO_UUID_STR_LEN	37	/* lower case, with dashes */
#define VAIO_DEVNAME_LEN	128	/* a device-mapper name or a device path */
#define VAIO_REASON_LEN		256	/* a sentence for people */

/* The order of this enumeration is the order of a stack, top to bottom. */
enum vaio_class {
	VAIO_CLASS_INSPECTION,
	VAIO_CLASS_REPLICATION,
	VAIO_CLASS_CACHE,
	VAIO_CLASS_QOS,
	VAIO_CLASS_ENCRYPTION,
	__VAIO_CLASS_COUNT,
};

/* Kinds of request, as hooks and statistics see them. */
enum vaio_kind {
	VAIO_KIND_READ,
	VAIO_KIND_WRITE,
	VAIO_KIND_WRITE_FUA,
	VAIO_KIND_FLUSH,
	VAIO_KIND_DISCARD,
	VAIO_KIND_WRITE_ZEROES,
	VAIO_KIND_SECURE_ERASE,
	__VAIO_KIND_COUNT,
};

/* Buckets of a latency histogram: bucket n counts [2^n, 2^(n+1)) microseconds; 0 includes less than 1, the last is open. */
#define VAIO_HIST_BUCKETS	26

enum vaio_disk_state {
	VAIO_DISK_INACTIVE,	/* no live table yet, or suspended for good */
	VAIO_DISK_ACTIVE,	/* I/O passes the stack */
	VAIO_DISK_SUSPENDED,	/* device-mapper holds I/O back */
	VAIO_DISK_STANDBY,	/* owned elsewhere: I/O fails, nothing is written */
	VAIO_DISK_DEGRADED,	/* I/O passes, something is wrong: see the reason */
	VAIO_DISK_PARKED,	/* a table failed to start: slots wait for a good one */
};

enum vaio_event_type {
	VAIO_EVENT_ATTACH,
	VAIO_EVENT_DETACH,
	VAIO_EVENT_VM_START,
	VAIO_EVENT_VM_STOP,
	VAIO_EVENT_SNAPSHOT,
	VAIO_EVENT_GROW,
	VAIO_EVENT_MIGRATE,
	VAIO_EVENT_REVERT,
	VAIO_EVENT_POLICY_CHANGED,
	VAIO_EVENT_STATE,	/* the disk's state changed; posted by the framework only */
	__VAIO_EVENT_COUNT,
};

enum vaio_event_phase {
	VAIO_PHASE_NOTIFY,	/* one-step events */
	VAIO_PHASE_PREPARE,	/* may be refused; has a deadline */
	VAIO_PHASE_COMMIT,	/* of an accepted prepare, named by its token */
	VAIO_PHASE_ABORT,	/* likewise */
	__VAIO_PHASE_COUNT,
};

/* Where an event is on its way through the filters. */
enum vaio_event_status {
	VAIO_EVENT_PENDING,	/* filters are being asked */
	VAIO_EVENT_ACCEPTED,	/* a prepare that all accepted; its deadline runs */
	VAIO_EVENT_REFUSED,	/* a prepare that one refused; the others heard abort */
	VAIO_EVENT_COMMITTED,	/* commit was delivered to all */
	VAIO_EVENT_ABORTED,	/* abort was delivered to all who had accepted */
	VAIO_EVENT_EXPIRED,	/* the deadline passed: abort was delivered */
	VAIO_EVENT_DONE,	/* a notify was delivered to all */
};

enum vaio_cmd {
	VAIO_CMD_UNSPEC,
	VAIO_CMD_HOST_GET,	/* do */
	VAIO_CMD_FILTER_GET,	/* dump */
	VAIO_CMD_DISK_GET,	/* do (by uuid or name), dump */
	VAIO_CMD_DISK_SET,	/* do: a slot's live property */
	VAIO_CMD_STATS_GET,	/* do (by uuid or name), dump */
	VAIO_CMD_EVENT_POST,	/* do: answers with the token at once */
	VAIO_CMD_EVENT_GET,	/* do: by token */
	VAIO_CMD_EVENT_NTF,	/* multicast */
	VAIO_CMD_DOMAIN_GET,	/* do (by name), dump */
	VAIO_CMD_DOMAIN_SET,	/* do: settings of a domain, made if there is none */
	__VAIO_CMD_COUNT,
};

enum vaio_host_attr {
	VAIO_A_HOST_UNSPEC,
	VAIO_A_HOST_VERSION,		/* string, the framework's version */
	VAIO_A_HOST_EXCLUSIVE,		/* u8, one filter a class on this host */
	VAIO_A_HOST_FILTERS,		/* u32 */
	VAIO_A_HOST_DISKS,		/* u32 */
	__VAIO_A_HOST_COUNT,
};

enum vaio_filter_attr {
	VAIO_A_FILTER_UNSPEC,
	VAIO_A_FILTER_NAME,		/* string */
	VAIO_A_FILTER_VENDOR,		/* string */
	VAIO_A_FILTER_VERSION,		/* string */
	VAIO_A_FILTER_CLASS,		/* u32, enum vaio_class */
	VAIO_A_FILTER_SUMMARY,		/* string */
	VAIO_A_FILTER_CAPS,		/* u32, VAIO_CAP_* */
	VAIO_A_FILTER_SLOTS,		/* u32, disks that use it */
	__VAIO_A_FILTER_COUNT,
};

/* What a filter declares about itself. */
#define VAIO_CAP_CHANGES_PAYLOAD	(1U << 0)	/* bytes below differ from bytes above */
#define VAIO_CAP_VOLATILE		(1U << 1)	/* holds acknowledged data that a flush must make durable */
#define VAIO_CAP_OWN_IO			(1U << 2)	/* sends I/O of its own below itself */
#define VAIO_CAP_TIMESTAMPS		(1U << 3)	/* wants io->start_ns */
#define VAIO_CAP_ENDS_FLUSH		(1U << 4)	/* may complete a flush itself: gets below_dirty tracking */
#define VAIO_CAP_SECTOR_UNITS		(1U << 5)	/* works on whole logical blocks: wants dma_alignment */
#define VAIO_CAP_CARRIES_PAYLOAD	(1U << 6)	/* takes what it sees to a wire or a device of its own */

enum vaio_disk_attr {
	VAIO_A_DISK_UNSPEC,
	VAIO_A_DISK_UUID,		/* string */
	VAIO_A_DISK_NAME,		/* string, the device-mapper name */
	VAIO_A_DISK_DEV,		/* u64, major << 32 | minor of the mapped device */
	VAIO_A_DISK_BACKING,		/* string, as in the table */
	VAIO_A_DISK_BACKING_DEV,	/* u64, major << 32 | minor */
	VAIO_A_DISK_OFFSET,		/* u64, 512-byte sectors */
	VAIO_A_DISK_SECTORS,		/* u64, 512-byte sectors */
	VAIO_A_DISK_BLOCK_SIZE,		/* u32, logical block size in bytes */
	VAIO_A_DISK_STATE,		/* u32, enum vaio_disk_state */
	VAIO_A_DISK_REASON,		/* string, why degraded, standby or parked; absent else */
	VAIO_A_DISK_SIDECAR,		/* string, absent when there is none */
	VAIO_A_DISK_SLOT,		/* nest, enum vaio_slot_attr; repeated, in class order */
	VAIO_A_DISK_SLOT_FILTER,	/* string, DISK_SET: which filter */
	VAIO_A_DISK_PROPERTY,		/* nest, enum vaio_prop_attr; DISK_SET */
	VAIO_A_DISK_PAD,
	__VAIO_A_DISK_COUNT,
};

enum vaio_slot_attr {
	VAIO_A_SLOT_UNSPEC,
	VAIO_A_SLOT_FILTER,		/* string */
	VAIO_A_SLOT_CLASS,		/* u32 */
	VAIO_A_SLOT_STATE,		/* string: started, stopped, quiesced */
	VAIO_A_SLOT_PROPERTY,		/* nest, enum vaio_prop_attr; repeated */
	__VAIO_A_SLOT_COUNT,
};

enum vaio_prop_attr {
	VAIO_A_PROP_UNSPEC,
	VAIO_A_PROP_NAME,		/* string */
	VAIO_A_PROP_VALUE,		/* string */
	__VAIO_A_PROP_COUNT,
};

enum vaio_stats_attr {
	VAIO_A_STATS_UNSPEC,
	VAIO_A_STATS_UUID,		/* string */
	VAIO_A_STATS_NAME,		/* string */
	VAIO_A_STATS_KIND,		/* nest, enum vaio_kind_stats_attr; repeated: ios entering the stack */
	VAIO_A_STATS_LATENCY,		/* binary, u64[VAIO_HIST_BUCKETS]; only if a slot or the table asked */
	VAIO_A_STATS_SLOT,		/* nest, enum vaio_slot_stats_attr; repeated, in class order */
	__VAIO_A_STATS_COUNT,
};

enum vaio_kind_stats_attr {
	VAIO_A_KSTATS_UNSPEC,
	VAIO_A_KSTATS_KIND,		/* u32, enum vaio_kind */
	VAIO_A_KSTATS_COUNT,		/* u64 */
	VAIO_A_KSTATS_BYTES,		/* u64 */
	VAIO_A_KSTATS_FAILED,		/* u64, ended with an error */
	VAIO_A_KSTATS_PAD,
	__VAIO_A_KSTATS_COUNT,
};

enum vaio_slot_stats_attr {
	VAIO_A_SSTATS_UNSPEC,
	VAIO_A_SSTATS_FILTER,		/* string */
	VAIO_A_SSTATS_COMPLETED,	/* u64, ios this slot ended well itself */
	VAIO_A_SSTATS_FAILED,		/* u64, ios this slot ended with an error */
	VAIO_A_SSTATS_DEFERRED,		/* u64 */
	VAIO_A_SSTATS_PARKED,		/* u64, deferred at this moment */
	VAIO_A_SSTATS_OWN_IO,		/* u64, bios of its own */
	VAIO_A_SSTATS_DEFER_LATENCY,	/* binary, u64[VAIO_HIST_BUCKETS]: how long deferred */
	VAIO_A_SSTATS_COUNTER,		/* nest, enum vaio_prop_attr; repeated: the filter's own figures */
	VAIO_A_SSTATS_PAD,
	__VAIO_A_SSTATS_COUNT,
};

enum vaio_event_attr {
	VAIO_A_EVENT_UNSPEC,
	VAIO_A_EVENT_TOKEN,		/* u64, names an event from its post to a minute after its end */
	VAIO_A_EVENT_UUID,		/* string, the disk; EVENT_POST also takes VAIO_A_EVENT_NAME */
	VAIO_A_EVENT_NAME,		/* string, device-mapper name of the disk */
	VAIO_A_EVENT_TYPE,		/* u32, enum vaio_event_type */
	VAIO_A_EVENT_PHASE,		/* u32, enum vaio_event_phase */
	VAIO_A_EVENT_STATUS,		/* u32, enum vaio_event_status */
	VAIO_A_EVENT_DEADLINE_MS,	/* u32, for a prepare; 30000 unless given; 100 to 600000 */
	VAIO_A_EVENT_FILTER,		/* string, who refused */
	VAIO_A_EVENT_ERROR,		/* s32, negative errno of the refusal */
	VAIO_A_EVENT_REASON,		/* string */
	VAIO_A_EVENT_ARG,		/* string, free text of the poster (snapshot name, target host, ...) */
	VAIO_A_EVENT_TIME_NS,		/* u64, CLOCK_REALTIME of the last change */
	VAIO_A_EVENT_SEQ,		/* u32, counts notifications, so that a listener sees a loss */
	VAIO_A_EVENT_PAD,
	__VAIO_A_EVENT_COUNT,
};

/* A domain: disks on one backing store, which share its time. */
enum vaio_domain_attr {
	VAIO_A_DOMAIN_UNSPEC,
	VAIO_A_DOMAIN_NAME,		/* string */
	VAIO_A_DOMAIN_DISKS,		/* u32 */
	VAIO_A_DOMAIN_WINDOW,		/* u32, ios that may be in flight */
	VAIO_A_DOMAIN_IN_FLIGHT,	/* u32 */
	VAIO_A_DOMAIN_QUEUED,		/* u32, ios that wait for the window */
	VAIO_A_DOMAIN_CONTENDED,	/* u8, some had to wait lately */
	VAIO_A_DOMAIN_ROTATIONAL,	/* u8 */
	VAIO_A_DOMAIN_LATENCY_NS,	/* u64, mean of late; 0: not known yet */
	VAIO_A_DOMAIN_THRESHOLD_NS,	/* u64, latency that is aimed at; 0: not known yet */
	VAIO_A_DOMAIN_THRESHOLD_SET_NS,	/* u64, the one that was set; 0: automatic. DOMAIN_SET */
	VAIO_A_DOMAIN_CAPACITY_IOPS,	/* u64, declared, a second; 0: not declared. DOMAIN_SET */
	VAIO_A_DOMAIN_CAPACITY_BYTES,	/* u64, likewise */
	VAIO_A_DOMAIN_RESERVED_IOPS,	/* u64, by the disks, a second */
	VAIO_A_DOMAIN_RESERVED_BYTES,	/* u64, likewise */
	VAIO_A_DOMAIN_PAD,
	__VAIO_A_DOMAIN_COUNT,
};

#endif /* _UAPI_LINUX_VAIO_H */
