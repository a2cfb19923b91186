# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the replication-*.sh scripts: disks d1 and d2 in group g, a test agent that
# keeps their copies in $COPIES.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COPIES=$WORK/copies
MIB=${MIB:-64}
agent_pid=

repl_modules() {
	make -s -C "$TREE/tests/lab" || bail 'the test programs are built'
	modprobe vaio host_id=aaaaaaaa-0000-0000-0000-000000000001 &&
		load_modules vaio-replication dm-vaio || bail 'the modules are loaded'
	mkdir -p "$COPIES"
}

repl_unload() {
	check 'no device is left' test "$(dmsetup ls)" = 'No devices found'
	check 'all modules unload' rmmod dm_vaio vaio_replication vaio
	[[ $test_failed == 0 ]] || note "the agents:"$'\n'"$(tail -n 60 "$WORK/agent")"$'\n'"the kernel:"$'\n'"$(dmesg | grep -i repl | tail -n 30)"
}

disk_uuid() { printf '0b8c3b8e-6f0c-4c5e-9a2e-%012x' "$1"; }

# repl_table N [WORD...]: disk N over /dev/dataN with /dev/sideN; words of the filter
repl_table() {
	local n=$1 dev=${DATA:-/dev/data}$1
	shift
	echo "0 $((MIB * 2048)) vaio $dev 0 4 uuid $(disk_uuid "$n") sidecar /dev/side$n 1 replication $# $*"
}

# A backing device and a formatted sidecar for disk N
repl_device() { # N
	mem_disk "data$1" "$MIB" && mem_disk "side$1" 4 || return
	vaioctl sidecar format "/dev/side$1" --device "/dev/data$1" --disk "$(disk_uuid "$1")" \
		--grow-factor 1 --epochs 0 >/dev/null
}
# Likewise for disks 1 and 2.
repl_devices() { repl_device 1 && repl_device 2; }

repl_up() { # [WORD...]
	local n
	for n in 1 2; do
		dmsetup create "d$n" --table "$(repl_table "$n" "$@")" || return
	done
}

repl_down() {
	dmsetup remove --retry d1 && dmsetup remove --retry d2
}

group_field() { vaioctl --json group show "${2-g}" | jq -r "$1"; }
counter() { group_field ".counters.$1"; }
group_state() { group_field .state; }
state_is() { [[ $(group_state) == "$1" ]]; }
agent_bound() { [[ $(counter agent) == bound ]]; }

# agent_start [OPTION...]: its output is in $WORK/agent
agent_start() {
	repl-agent --group g --dir "$COPIES" "$@" >>"$WORK/agent" 2>&1 &
	agent_pid=$!
}
agent_kill() {
	kill -9 "$agent_pid" 2>/dev/null
	wait "$agent_pid" 2>/dev/null
	agent_pid=
}
agent_fine() { ! grep -q BAD "$WORK/agent"; }

# caught_up [GROUP]: its disks are equal to their copies as far as it knows, and nothing is on its way
caught_up() {
	[[ $(group_field '"\(.state) \(.counters.backlog_records)"' "${1-g}") == 'replicating 0' ]]
}
# bitmap_clean N: the sidecar of disk N calls no block dirty. Its bits are on one page, behind a head of 32 bytes.
bitmap_clean() {
	local at
	at=$(vaioctl --json sidecar dump "/dev/side$1" | jq '[.. | objects | select(.name? == "bitmap").offset] | first')
	[[ $(dd if="/dev/side$1" bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | tail -c +33 |
		tr -d '\0' | wc -c) == 0 ]]
}
same_copies() {
	local n status=0
	for n in "${@:-1 2}"; do
		cmp "/dev/data$n" "$COPIES/$(disk_uuid "$n")" || status=1
	done
	return $status
}
copies_equal() { # NAME
	local n out status=0
	wait_for 120 caught_up || { not_ok "$1" "not caught up: $(vaioctl group show g)"$'\n'"$(tail -n 5 "$WORK/agent")"; return; }
	for n in 1 2; do
		blockdev --flushbufs "/dev/data$n"
		out+=$(cmp "/dev/data$n" "$COPIES/$(disk_uuid "$n")" 2>&1) || status=1
	done
	if [[ $status == 0 ]] && agent_fine; then ok "$1"; else not_ok "$1" "$out"$'\n'"$(tail -n 5 "$WORK/agent")"; fi
}
writer() { repl-writer "$@" /dev/mapper/d1 /dev/mapper/d2; }
# writer_start [OPTION...]: one that writes until writer_stop
writer_start() {
	repl-writer --count 0 "$@" /dev/mapper/d1 /dev/mapper/d2 >"$WORK/writer" 2>&1 &
	writer_pid=$!
}
writer_stop() {
	kill "$writer_pid"
	wait "$writer_pid" 2>/dev/null
}
