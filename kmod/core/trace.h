/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: /sys/kernel/tracing/events/vaio/. Off, they cost a no-op.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vaio

#if !defined(_VAIO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VAIO_TRACE_H

#include <linux/tracepoint.h>
#include "core.h"

#define vaio_show_verdict(verdict)		\
	__print_symbolic(verdict,		\
		{ VAIO_PASS,	"pass" },	\
		{ VAIO_COMPLETE, "complete" },	\
		{ VAIO_FAIL,	"fail" },	\
		{ VAIO_DEFER,	"defer" })

#define vaio_show_kind(kind)					\
	__print_symbolic(kind,					\
		{ VAIO_KIND_READ,		"read" },	\
		{ VAIO_KIND_WRITE,		"write" },	\
		{ VAIO_KIND_WRITE_FUA,		"write-fua" },	\
		{ VAIO_KIND_FLUSH,		"flush" },	\
		{ VAIO_KIND_DISCARD,		"discard" },	\
		{ VAIO_KIND_WRITE_ZEROES,	"write-zeroes" }, \
		{ VAIO_KIND_SECURE_ERASE,	"secure-erase" })

#define vaio_show_event(type)					\
	__print_symbolic(type,					\
		{ VAIO_EVENT_ATTACH,		"attach" },	\
		{ VAIO_EVENT_DETACH,		"detach" },	\
		{ VAIO_EVENT_VM_START,		"vm-start" },	\
		{ VAIO_EVENT_VM_STOP,		"vm-stop" },	\
		{ VAIO_EVENT_SNAPSHOT,		"snapshot" },	\
		{ VAIO_EVENT_GROW,		"grow" },	\
		{ VAIO_EVENT_MIGRATE,		"migrate" },	\
		{ VAIO_EVENT_REVERT,		"revert" },	\
		{ VAIO_EVENT_POLICY_CHANGED,	"policy-changed" }, \
		{ VAIO_EVENT_STATE,		"state" })

#define vaio_show_phase(phase)				\
	__print_symbolic(phase,				\
		{ VAIO_PHASE_NOTIFY,	"notify" },	\
		{ VAIO_PHASE_PREPARE,	"prepare" },	\
		{ VAIO_PHASE_COMMIT,	"commit" },	\
		{ VAIO_PHASE_ABORT,	"abort" })

#define vaio_show_status(status)			\
	__print_symbolic(status,			\
		{ VAIO_EVENT_PENDING,	"pending" },	\
		{ VAIO_EVENT_ACCEPTED,	"accepted" },	\
		{ VAIO_EVENT_REFUSED,	"refused" },	\
		{ VAIO_EVENT_COMMITTED,	"committed" },	\
		{ VAIO_EVENT_ABORTED,	"aborted" },	\
		{ VAIO_EVENT_EXPIRED,	"expired" },	\
		{ VAIO_EVENT_DONE,	"done" })

/* A slot's life: what is "attach", "detach", "start", "stop", ... */
TRACE_EVENT(vaio_attach,
	TP_PROTO(const char *disk, const char *filter, const char *what),
	TP_ARGS(disk, filter, what),
	TP_STRUCT__entry(
		__array(char,	disk,	VAIO_DEVNAME_LEN)
		__array(char,	filter,	VAIO_NAME_LEN)
		__array(char,	what,	VAIO_NAME_LEN)
	),
	TP_fast_assign(
		strscpy(__entry->disk, disk, VAIO_DEVNAME_LEN);
		strscpy(__entry->filter, filter, VAIO_NAME_LEN);
		strscpy(__entry->what, what, VAIO_NAME_LEN);
	),
	TP_printk("disk=%s filter=%s %s", __entry->disk, __entry->filter, __entry->what)
);

/* A hook that answered something else than pass. */
TRACE_EVENT(vaio_verdict,
	TP_PROTO(const struct vaio_io *io, const struct vaio_slot *slot, unsigned int verdict),
	TP_ARGS(io, slot, verdict),
	TP_STRUCT__entry(
		__array(char,	disk,	VAIO_DEVNAME_LEN)
		__array(char,	filter,	VAIO_NAME_LEN)
		__field(const void *, io)
		__field(u64,	sector)
		__field(u32,	len)
		__field(u8,	kind)
		__field(u8,	verdict)
		__field(u8,	up)
	),
	TP_fast_assign(
		strscpy(__entry->disk, vaio_disk_name(slot->disk), VAIO_DEVNAME_LEN);
		strscpy(__entry->filter, slot->filter->name, VAIO_NAME_LEN);
		__entry->io = io;
		__entry->sector = io->sector;
		__entry->len = io->len;
		__entry->kind = io->kind;
		__entry->verdict = verdict;
		__entry->up = !!(io->flags & VAIO_IO_UNWINDING);
	),
	TP_printk("disk=%s filter=%s io=%p %s sector=%llu len=%u %s %s",
		  __entry->disk, __entry->filter, __entry->io, vaio_show_kind(__entry->kind),
		  __entry->sector, __entry->len, __entry->up ? "up" : "down",
		  vaio_show_verdict(__entry->verdict))
);

/* An io that met slots has passed all of them on its way up. */
TRACE_EVENT(vaio_complete,
	TP_PROTO(const struct vaio_io *io),
	TP_ARGS(io),
	TP_STRUCT__entry(
		__array(char,	disk,	VAIO_DEVNAME_LEN)
		__field(const void *, io)
		__field(u64,	sector)
		__field(u32,	len)
		__field(u8,	kind)
		__field(u8,	own)
		__field(int,	error)
	),
	TP_fast_assign(
		strscpy(__entry->disk,
			io->plan ? vaio_disk_name(io->plan->stack->disk) : "?", VAIO_DEVNAME_LEN);
		__entry->io = io;
		__entry->sector = io->sector;
		__entry->len = io->len;
		__entry->kind = io->kind;
		__entry->own = !!(io->flags & VAIO_IO_OWN);
		__entry->error = blk_status_to_errno(io->status);
	),
	TP_printk("disk=%s io=%p %s sector=%llu len=%u%s error=%d",
		  __entry->disk, __entry->io, vaio_show_kind(__entry->kind), __entry->sector,
		  __entry->len, __entry->own ? " own" : "", __entry->error)
);

/* An event has a new status. */
TRACE_EVENT(vaio_event,
	TP_PROTO(const struct vaio_event_info *info),
	TP_ARGS(info),
	TP_STRUCT__entry(
		__array(char,	disk,	VAIO_DEVNAME_LEN)
		__array(char,	filter,	VAIO_NAME_LEN)
		__field(u64,	token)
		__field(u8,	type)
		__field(u8,	phase)
		__field(u8,	status)
		__field(int,	error)
	),
	TP_fast_assign(
		strscpy(__entry->disk, info->name, VAIO_DEVNAME_LEN);
		strscpy(__entry->filter, info->filter, VAIO_NAME_LEN);
		__entry->token = info->token;
		__entry->type = info->type;
		__entry->phase = info->phase;
		__entry->status = info->status;
		__entry->error = info->error;
	),
	TP_printk("disk=%s token=%llu %s %s %s error=%d %s", __entry->disk, __entry->token,
		  vaio_show_event(__entry->type), vaio_show_phase(__entry->phase),
		  vaio_show_status(__entry->status), __entry->error, __entry->filter)
);

#endif /* _VAIO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
