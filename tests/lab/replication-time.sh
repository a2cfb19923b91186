#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long a guest waits when the replica is lost under load. Runs under --icount,
# where the guest's clock counts instructions.

MIB=24
. "$(dirname "$0")/repl-lib.sh"

repl_modules
repl_devices || bail 'the devices are made'
streams=4
count=$(scaled 600)

# load [DEVICE...]: the longest that a write took, in ms; more than the ring holds
load() { repl-writer --streams $streams --count "$count" --max 1048576 --seed "$VAIO_SEED" "$@" | sed -n 's/^longest \([0-9]*\) ms/\1/p'; }
both=(/dev/mapper/d1 /dev/mapper/d2)
plain() { echo "0 $((MIB * 2048)) vaio /dev/data$1 0 2 uuid $(disk_uuid "$1") 0"; }

dmsetup create d1 --table "$(plain 1)" && dmsetup create d2 --table "$(plain 2)" || bail 'the disks are made'
base=$(load "${both[@]}")
check 'the load runs without replication' test -n "$base"
note "without replication the longest write took $base ms"
repl_down

# lost NAME LIMIT PROPERTY...: the agent hangs before the load begins
lost() {
	local name=$1 limit=$2 longest
	shift 2
	vaioctl group create g ring=16MiB watchdog=1s "$@" && repl_up group g || bail "$name: the group"
	rm -rf "$COPIES"; mkdir "$COPIES"
	agent_start --mode full
	wait_for 300 caught_up || bail "$name: the agent has all"
	kill -STOP "$agent_pid"
	longest=$(load "${both[@]}" 2>"$WORK/errors")
	note "$name: the longest write took ${longest:-?} ms"
	if [[ $name == *fail* ]]; then
		like "$name: writes fail" "$(<"$WORK/errors")" 'Input/output error'
	else
		is "$name: no write fails" "$(<"$WORK/errors")" ''
	fi
	check "$name: none waits longer than it may" test "${longest:-999999}" -le $((base + limit))
	[[ $name == *fail* ]] || is "$name: the group tracks" "$(group_state)" tracking
	kill -9 "$agent_pid"
	wait "$agent_pid" 2>/dev/null
	agent_start
	copies_equal "$name: afterwards the copies are equal"
	agent_kill
	repl_down && vaioctl group delete g || bail "$name: removal"
}
lost 'async, track' 1000 on_loss=track
lost 'async, stall 3s, track' 8000 on_loss=stall:3s,track
lost 'async, stall 3s, fail' 8000 on_loss=stall:3s,fail
lost 'sync, track' 5000 mode=sync on_loss=track
lost 'sync, stall 3s, track' 8000 mode=sync on_loss=stall:3s,track
lost 'sync, stall 3s, fail' 8000 mode=sync on_loss=stall:3s,fail
repl_unload
done_testing
