# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the core-*.sh scripts: disks with probe filters (tests/filters), in any
# order, with real dmsetup.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

probes=(probe-inspection probe-replication probe-cache probe-qos probe-encryption)
probe_log=/sys/module/vaio_probe/parameters/log

core_modules() {
	modprobe vaio exclusive_classes=0 && load_modules vaio-probe dm-vaio || bail 'the modules are loaded'
}

core_unload() {
	check 'no device is left' test "$(dmsetup ls)" = 'No devices found'
	check 'all modules unload' rmmod dm_vaio vaio_probe vaio
}

uuid() { printf '0b8c3b8e-6f0c-4c5e-9a2e-%012x' "$1"; }

# table SECTORS DEV UUID [FILTER]...: a FILTER is a name and its words
table() {
	local line="0 $1 vaio $2 0 2 uuid $3 $(($# - 3))" filter
	local -a words
	shift 3
	for filter; do
		read -ra words <<<"$filter"
		line+=" ${words[0]} $((${#words[@]} - 1)) ${words[*]:1}"
	done
	echo "$line"
}

# all_probes WORDS...: the five probes, each with these words
all_probes() {
	local name
	for name in "${probes[@]}"; do
		echo "$name${*:+ $*}"
	done
}

reload() { dmsetup load "$1" --table "$2" && dmsetup resume "$1"; }

log_clear() { echo >"$probe_log"; }
log_now() { sed 's/ *$//' "$probe_log"; }

# attached DISK TABLE: made, and all of its slots, which log, have heard that it
# is attached: the last to hear is the encryption
attached() {
	log_clear
	dmsetup create "$1" --table "$2" && wait_for 60 attach_heard
}
attach_heard() { [[ $(log_now) == *E:event-0-notify* ]]; }

# slot_field DISK FILTER N: the Nth field of a slot in dmsetup status (1: state,
# 2: completed, 3: failed, 4: deferred, 5: parked)
slot_field() {
	dmsetup status "$1" | awk -v name="$2" -v n="$3" \
		'{ for (i = 1; i <= NF; i++) if ($i == name) print $(i + n) }'
}
state_of() { dmsetup status "$1" | awk '{ print $4 }'; }
parked() { [[ $(slot_field "$1" "$2" 5) == "$3" ]]; }

write_block() { dd if="$2" of="/dev/mapper/$1" bs=4096 count=1 seek="${3:-0}" oflag=direct conv=notrunc status=none; }
read_block() { dd if="/dev/mapper/$1" bs=4096 count=1 skip="${2:-0}" iflag=direct status=none; }
same_block() { read_block "$1" "${3:-0}" | cmp - "$2"; }

gone() { ! dmsetup info "$1" >/dev/null 2>&1; }

# ended_well NAME PID: here, for a job is a child of this shell only
ended_well() {
	local status=0
	wait "$2" || status=$?
	is "$1" "exit status $status" 'exit status 0'
}
