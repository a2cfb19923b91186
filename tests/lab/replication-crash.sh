#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Crashes, failed writes, lost sidecars, growth: after each of them nothing that
# differs from the copy is taken for clean.

MIB=32
. "$(dirname "$0")/repl-lib.sh"

repl_modules
repl_devices || bail 'the devices are made'
modprobe dm-flakey || bail 'dm-flakey is there'
mkdir "$WORK/then"

# What the devices have at one moment, as after a crash: copied past the page cache.
crash_copy() {
	local n
	for n in 1 2; do
		dd if="/dev/side$n" of="$WORK/then/side$n" bs=1M iflag=direct status=none || return
		dd if="/dev/data$n" of="$WORK/then/data$n" bs=1M iflag=direct status=none || return
	done
}
crash_restore() {
	local n
	for n in 1 2; do
		dd of="/dev/side$n" if="$WORK/then/side$n" bs=1M oflag=direct status=none || return
		dd of="/dev/data$n" if="$WORK/then/data$n" bs=1M oflag=direct status=none || return
		blockdev --flushbufs "/dev/side$n" "/dev/data$n"
	done
}
new_group() { vaioctl group create g ring=16MiB "$@"; }
dirty() { group_field ".disks[$1].dirty"; }

# --- a crash with a backlog

new_group on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'
agent_start --mode full
check 'the disks are replicated' wait_for 200 caught_up
rounds=$(scaled 10)
for ((round = 0; round < rounds; round++)); do
	agent_kill
	writer --streams 8 --count 40 --max 65536 --seed "$((VAIO_SEED + round))" >/dev/null || break
	crash_copy || break
	repl_down && vaioctl group delete g || break
	crash_restore || break
	new_group on_loss=stall:60s,track && repl_up group g || break
	[[ $(dirty 0) -gt 0 ]] || break
	agent_start
	wait_for 200 caught_up && same_copies 1 2 || break
done
is 'after each crash with a backlog the copies become equal' "$round" "$rounds"
[[ $round == "$rounds" ]] || note "$(vaioctl group show g; tail -n 3 "$WORK/agent")"
like 'the kernel knew that the stop was unclean' "$(dmesg)" 'was not released by its last owner'

# --- a crash in the middle of a resync

agent_kill
vaioctl group set g on_loss=track
writer --streams 4 --count 300 --max 262144 --seed "$((VAIO_SEED + 99))" >/dev/null
is 'the group tracks' "$(group_state)" tracking
vaioctl group set g resync_rate=2MiB
agent_start
wait_for 60 state_is resync
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
# so slow that the last acknowledgement comes long after the start
new_group resync_rate=8MiB && repl_up group g
agent_start
copies_equal 'after a crash in a resync the copies become equal'

# --- a crash after a resync, without a write since

check 'the sidecars learn that all was acknowledged' wait_for 60 eval 'bitmap_clean 1 && bitmap_clean 2'
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
new_group && repl_up group g
is 'after a crash nothing is dirty' "$(dirty 0) $(dirty 1)" '0 0'
agent_start
copies_equal 'and the copies are equal'

# --- a crash when all was sent, and nothing acknowledged

agent_kill
vaioctl group set g on_loss=track
writer --streams 4 --count 300 --max 262144 --seed "$((VAIO_SEED + 97))" >/dev/null
is 'the group tracks again' "$(group_state)" tracking
lacking=$(dirty 0)
before=$(counter resync_bytes)
agent_start --stop-acks --blind
check 'an agent without acknowledgements is sent what its places hold' wait_for 60 eval '
	[[ $(($(counter resync_bytes) - before)) -ge $((32 * 65536)) ]]'
# long enough for what waits lazily to be written
check 'the bitmap on the sidecar is up to date' wait_for 60 eval '
	vaioctl disk stats d1 | grep -q "hot_extents = 0"'
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
new_group && repl_up group g
check 'after a crash what was not acknowledged is dirty' test "$(dirty 0)" -ge "$lacking"
agent_start
copies_equal 'and the copies become equal'

# --- a clean stop with a backlog

agent_kill
writer --streams 4 --count 50 --max 16384 --seed "$((VAIO_SEED + 98))" >/dev/null
check 'disks are removed with a backlog' repl_down
vaioctl group delete g
new_group && repl_up group g
check 'after a clean stop not all is dirty' test "$(dirty 0)" -lt $((MIB << 20))
agent_start
copies_equal 'and the copies become equal'

# --- started without the filter

check 'a disk is written without the filter' eval '
	agent_kill
	dmsetup remove --retry d1 &&
	dmsetup create d1 --table "0 $((MIB * 2048)) vaio /dev/data1 0 4 uuid $(disk_uuid 1) sidecar /dev/side1 0" &&
	dd if=/dev/urandom of=/dev/mapper/d1 bs=4096 count=3 seek=77 oflag=direct status=none &&
	dmsetup remove --retry d1 &&
	dmsetup create d1 --table "$(repl_table 1 group g)"'
agent_kill
agent_start
copies_equal 'it is compared, and the copies become equal'
like 'the difference was found' "$(cat "$WORK/agent")" 'DIFFERS'
check 'and is trusted again' wait_for 60 eval '
	[[ $(vaioctl --json sidecar show /dev/side1) != *must-compare* ]]'

# --- local writes that take long, and that fail

# A write of d1 is under way; what d2 wrote after it is done.
in_order() {
	local published records slow_pid
	published=$(counter published)
	records=$(counter records)
	dmsetup suspend flaky1
	dd if=/dev/urandom of=/dev/mapper/d1 bs=4k count=1 seek=5 oflag=direct status=none &
	slow_pid=$!
	wait_for 60 eval "[[ \$(counter records) -gt $records ]]"
	check 'a write of one disk overtakes that of another' \
		dd if=/dev/urandom of=/dev/mapper/d2 bs=4k count=1 seek=5 oflag=direct status=none
	is 'it has its place behind it' "$(counter records)" $((records + 2))
	is 'and is not visible before it' "$(counter published)" "$published"
	dmsetup resume flaky1
	wait "$slow_pid"
	copies_equal 'then both are'
}

for mode in async sync; do
	vaioctl group set g mode=$mode on_loss=stall:60s,track
	dmsetup create flaky1 --table "0 $((MIB * 2048)) linear /dev/data1 0"
	agent_kill
	dmsetup remove --retry d1
	dmsetup create d1 --table "$(DATA=/dev/mapper/flaky repl_table 1 group g)"
	agent_start
	check "$mode: the disk over a device that will fail is replicated" wait_for 120 caught_up
	[[ $mode == sync ]] || in_order
	dmsetup load flaky1 --table "0 $((MIB * 2048)) flakey /dev/data1 0 0 60 1 error_writes"
	dmsetup suspend flaky1 && dmsetup resume flaky1
	check_fails "$mode: a failed write is a failed write" 'Input/output error' \
		dd if=/dev/urandom of=/dev/mapper/d1 bs=64k count=4 seek=20 oflag=direct status=none
	check "$mode: it is a void record" test "$(counter voids)" -gt 0
	dmsetup load flaky1 --table "0 $((MIB * 2048)) linear /dev/data1 0"
	dmsetup suspend flaky1 && dmsetup resume flaky1
	copies_equal "$mode: afterwards the copies are equal"
	agent_kill
	dmsetup remove --retry d1
	dmsetup remove --retry flaky1
	dmsetup create d1 --table "$(repl_table 1 group g)"
	agent_start
	wait_for 120 caught_up
done

# --- growth

agent_kill
repl_down
mem_disk large $((2 * MIB))
mem_disk sidel 4
vaioctl sidecar format /dev/sidel --device /dev/large --disk "$(disk_uuid 3)" --grow-factor 2 --epochs 0 >/dev/null
large() { echo "0 $1 vaio /dev/large 0 4 uuid $(disk_uuid 3) sidecar /dev/sidel 1 replication 2 group g"; }
dmsetup create d3 --table "$(large $((MIB * 2048)))"
agent_start --mode full
check 'a third disk is replicated' wait_for 120 caught_up
dmsetup load d3 --table "$(large $((MIB * 4096)))"
check 'it grows' eval 'dmsetup suspend d3 && dmsetup resume d3'
dd if=/dev/urandom of=/dev/mapper/d3 bs=1M count=2 seek=$((MIB + 5)) oflag=direct status=none
wait_for 120 caught_up
check 'and the copy with it' cmp /dev/large "$COPIES/$(disk_uuid 3)"
agent_kill
dmsetup load d3 --table "$(large $((MIB * 2048)))"
check_fails 'it cannot become smaller' '' eval 'dmsetup suspend d3 && dmsetup resume d3'
dmsetup remove --retry d3

check 'the group is deleted' vaioctl group delete g
repl_unload
done_testing
