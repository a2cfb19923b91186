#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Replication in async mode: order, copies, resumption, gaps and resync.

MIB=32
. "$(dirname "$0")/repl-lib.sh"

repl_modules
check 'the module loads by its names' eval 'rmmod vaio_replication && modprobe vaio-filter-replication &&
	rmmod vaio_replication && vaioctl group list && grep -q ^vaio_replication /proc/modules'
repl_devices || bail 'the devices are made'

# --- groups

# A slow machine must not make gaps where none are wanted: writers wait.
check 'a group is created' vaioctl group create g ring=16MiB target=here on_loss=stall:60s,track
check_fails 'not twice' "there is a group 'g' already" vaioctl group create g
check_fails 'a bad name' "no name of a group" vaioctl group create 'a b'
check_fails 'a bad property' "unknown property 'rink'; accepted: mode" vaioctl group create h rink=16MiB
check_fails 'a bad value' "mode: 'fast' is not one of async, sync" vaioctl group create h mode=fast
check_fails 'a stall that is too long' "on_loss: 'stall:61s,track' is not one of" \
	vaioctl group create h on_loss=stall:61s,track
check_fails 'a ring beyond the budget' 'does not fit' vaioctl group create h ring=64GiB
check_fails 'a table with an unknown group is refused' 'Invalid argument|No such' \
	dmsetup create d1 --table "$(repl_table 1 group h)"
dmsetup remove d1 2>/dev/null
head -c "${MIB}M" /dev/urandom | dd of=/dev/data1 bs=1M oflag=direct status=none iflag=fullblock
check 'disks join by their tables' repl_up group g
is 'the group has both' "$(group_field ".disks[1].state")" waiting
is 'and captures nothing yet' "$(group_state)" tracking
is 'the list has a row for it' "$(vaioctl group list | tail -n +2 | xargs)" 'g tracking async 2 none 0 here'
check_fails 'a group with disks stays' "disk 'd1' is in group 'g'" vaioctl group delete g
is 'without an agent writes pass' "$(writer --streams 2 --count 20 >/dev/null && echo well)" well

# --- initial copy, then order

agent_start --mode full
copies_equal 'the first agent copies all'
is 'the list says so' "$(vaioctl group list | tail -n +2 | xargs)" 'g replicating async 2 bound 0 here'
is 'in JSON too' "$(vaioctl --json group list |
	jq -c '[.[] | [.name, .state, (.disks | length), .properties.target, .counters.agent]]')" '[["g","replicating",2,"here","bound"]]'
check 'zeroes are not sent' test "$(counter bytes)" -lt $(((MIB + 8) << 20))
count=$(scaled 2000)
check 'a writer runs' writer --streams 16 --count "$count" --max 262144 --discard --seed "$VAIO_SEED"
copies_equal 'its writes arrive in order, and the copies are equal'
is 'without a gap' "$(counter gaps)" 0
checkpoint=$(grep -c RESYNC_END "$WORK/agent")
is 'the group was consistent once' "$checkpoint" 1

# --- agents that are killed

times=$(scaled 100)
agent_kill
before=$(counter resync_bytes)
writer_start --streams 8 --seed "$((VAIO_SEED + 1))"
for ((i = 0; i < times; i++)); do
	random 1 400
	agent_start --die "$REPLY"
	wait "$agent_pid" 2>/dev/null
done
agent_start
writer_stop
copies_equal 'agents are killed and go on where the last one ended'
is 'each went on' "$(grep -c RESUMED "$WORK/agent")" $((times + 1))
is 'without a gap then either' "$(counter gaps)" 0
is 'and without a resync' "$(counter resync_bytes)" "$before"

# --- the clock of the host

writer_start --streams 8 --seed "$((VAIO_SEED + 2))"
for step in 1hour -1hour -1hour 1hour; do
	records=$(counter records)
	date -s "$step" >/dev/null || break
	wait_for 60 eval '[[ $(counter records) -gt $((records + 100)) ]]' || break
	step=
done
writer_stop
is 'the clock is set an hour forward and back under load' "$step" ''
copies_equal 'the copies are equal'
is 'and there was no gap' "$(counter gaps)" 0
is 'nor another agent' "$(grep -c RESUMED "$WORK/agent")" $((times + 1))

# --- the ring runs full

agent_kill
check 'the policy is changed' vaioctl group set g on_loss=track
before=$(counter resync_bytes)
for ((i = 0; i < 8; i++)); do
	dd if=/dev/urandom of=/dev/mapper/d1 bs=512k count=8 oflag=direct status=none || break
done
is 'without an agent a writer is not held up' "$i" 8
is 'the ring was full' "$(counter reason)" 'the ring is full'
is 'the group tracks' "$(group_state)" tracking
is 'that shows as a gap' "$(counter gaps)" 1
check 'the disk says so' wait_for 60 eval 'dmsetup status d1 | grep -q " degraded "'
agent_start
copies_equal 'the next agent brings what is dirty'
like 'it was told of the gap' "$(cat "$WORK/agent")" 'RESYNC_BEGIN gap=1'
resent=$(($(counter resync_bytes) - before))
check 'only what is dirty was sent' test "$resent" -le $((4 << 20))
check 'the disk is well again' wait_for 60 eval 'dmsetup status d1 | grep -q " active "'
writer_start --streams 8 --seed "$((VAIO_SEED + 3))"
agent_kill
wait_for 60 state_is tracking
vaioctl group set g on_loss=stall:60s,track
agent_start
check 'under load the resync comes to its end' wait_for 120 state_is replicating
writer_stop
copies_equal 'and the copies are equal'

# --- the rings of all groups together

budget=/sys/module/vaio_replication/parameters/ring_budget
budget_was=$(<$budget)
groups() { vaioctl --json group list | jq -r '[.[].name] | join(" ")'; }
# ring_of MIB: how a ring is refused that does not fit beside that of g
ring_of() { echo "a ring of $1 MiB does not fit: 16 of 47 MiB are taken; module parameter ring_budget of vaio_replication"; }
echo 47 >$budget
check_fails 'a ring that is too large for what is left is refused' "$(ring_of 32)" vaioctl group create h ring=32MiB
is 'and its group is not made' "$(groups)" g
check_fails 'that is so each time' "$(ring_of 32)" vaioctl group create h ring=32MiB
check 'a smaller one is not' vaioctl group create h ring=28MiB
check_fails 'it is counted' 'a ring of 16 MiB does not fit: 44 of 47 MiB are taken' vaioctl group create i ring=16MiB
check 'its group is deleted' vaioctl group delete h
check_fails 'what it had is there again, and no more' "$(ring_of 32)" vaioctl group create h ring=32MiB
echo 48 >$budget
check 'the budget grows: a ring may have all of it' vaioctl group create h ring=32MiB
is 'both are there' "$(groups)" 'g h'
check_fails 'and nothing is left' 'a ring of 16 MiB does not fit: 48 of 48 MiB are taken' vaioctl group create i ring=16MiB
echo 16 >$budget
check 'it may become less than there is' writer --streams 2 --count 20 --seed "$((VAIO_SEED + 7))"
check 'groups can be deleted then' vaioctl group delete h
check_fails 'and none made' 'a ring of 16 MiB does not fit: 16 of 16 MiB are taken' vaioctl group create h ring=16MiB

# --- no memory

# code_of MODULE: where its code begins and ends
code_of() {
	awk -v m="[$1]" '$2 ~ /^[tT]$/ && $4 == m { print $1 }' /proc/kallsyms | sort | sed -n '1p;$p'
}
# no_memory ORDER|off: no allocation of that order or more succeeds that the module makes, or that others make for it. The
# pages of the disks themselves, which are memory too, are not counted as such.
faults=/sys/kernel/debug
no_memory() (
	for kind in failslab fail_page_alloc; do
		cd "$faults/$kind" || exit
		echo 0 >probability
		[[ $1 != off ]] || continue
		[[ $kind == fail_page_alloc || $1 == 0 ]] || continue
		mapfile -t code < <(code_of vaio_replication; code_of null_blk)
		[[ ${#code[@]} == 4 ]] || exit
		echo "0x${code[0]}" >require-start && echo "0x${code[1]}" >require-end || exit
		echo "0x${code[2]}" >reject-start && echo "0x${code[3]}" >reject-end || exit
		echo 32 >stacktrace-depth && echo N >ignore-gfp-wait && echo 0 >verbose && echo -1 >./times || exit
		if [[ $kind == fail_page_alloc ]]; then
			echo N >ignore-gfp-highmem && echo "$1" >min-order || exit
		fi
		echo 100 >probability || exit
	done
)
if [[ -d $faults/failslab && -e $faults/failslab/require-start ]]; then
	echo 48 >$budget
	check 'large pieces of memory are gone' no_memory 10
	check_fails 'a ring cannot be had' 'not enough memory for a ring of 32 MiB in contiguous pieces of 4 MiB' \
		vaioctl group create h ring=32MiB
	check 'all memory is gone' no_memory 0
	check_fails 'not even a group' 'emory' vaioctl group create h ring=32MiB
	check 'a write needs none to be captured' writer --streams 8 --count "$(scaled 1000)" --discard --seed "$((VAIO_SEED + 8))"
	check 'it is there again' no_memory off
	copies_equal 'and the copies are equal'
	is 'without another gap' "$(counter gaps)" 2
	check 'what was refused has left nothing behind' vaioctl group create h ring=32MiB
	vaioctl group delete h
	vaioctl group set g on_loss=track
	agent_kill
	no_memory 0
	for ((i = 0; i < 8; i++)); do
		dd if=/dev/urandom of=/dev/mapper/d1 bs=512k count=8 seek=$((i % 2 * 8)) oflag=direct status=none || break
	done
	no_memory off
	is 'nor does a write when the ring is full' "$i" 8
	is 'the gap is one of the ring' "$(counter gaps) $(group_state) $(counter reason)" '3 tracking the ring is full'
	vaioctl group set g on_loss=stall:60s,track
	agent_start
	copies_equal 'what is dirty then is brought'
	gaps=3
else
	note 'the kernel has no fault injection: memory is not taken away here'
	gaps=2
fi
echo "$budget_was" >$budget

# --- compare

agent_kill
random 0 $((MIB * 16 - 1))
dd if=/dev/urandom of="$COPIES/$(disk_uuid 1)" bs=4096 count=1 seek=$((REPLY * 16 + 3)) conv=notrunc status=none
rm "$COPIES/state"
before=$(counter bytes)
agent_start --mode check
wait_for 60 grep -q mode=1 "$WORK/agent"
copies_equal 'an agent that compares finds the difference'
is 'and only that' "$(grep -c DIFFERS "$WORK/agent")" 1
check 'little was sent for it' test $(($(counter bytes) - before)) -lt $((1 << 20))

# --- suspend, reload, members

writer_start --streams 8 --seed "$((VAIO_SEED + 4))"
times=$(scaled 40)
for ((i = 0; i < times; i++)); do
	options=()
	((i % 2 == 0)) || options=(--noflush)
	# with room in the ring: a write that has none waits no longer than a suspend may
	kill -STOP "$writer_pid"
	wait_for 60 caught_up || break
	kill -CONT "$writer_pid"
	dmsetup suspend "${options[@]}" d1 || break
	dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1 || break
done
is 'suspends and reloads under load succeed' "$i" "$times"
is 'without a gap' "$(counter gaps)" $((gaps + 1))
check 'a disk leaves the group under load' vaioctl group remove g d2
check 'it is gone' wait_for 60 eval '[[ $(group_field ".disks | length") == 1 ]]'
check_fails 'and cannot leave twice' "disk 'd2' is not in group 'g'" vaioctl group remove g d2
check 'it comes back' vaioctl group add g d2
check 'and is resynced' wait_for 120 state_is replicating
writer_stop
copies_equal 'and the copies are equal'

# --- another group

other_up() {
	mem_disk data3 "$MIB" && mem_disk side3 4 &&
		vaioctl sidecar format /dev/side3 --device /dev/data3 --disk "$(disk_uuid 3)" \
			--grow-factor 1 --epochs 0 >/dev/null &&
		vaioctl group create other ring=16MiB on_loss=hold watchdog=600s &&
		dmsetup create d3 --table "$(repl_table 3 group other)" && mkdir "$WORK/others"
}
other_up || bail 'another group is made'
repl-agent --group other --dir "$WORK/others" --mode full >"$WORK/other" 2>&1 &
other_pid=$!
check 'its disk is replicated' wait_for 120 caught_up other
kill -STOP "$other_pid"
{ dd if=/dev/urandom of=/dev/mapper/d3 bs=1M count=20 oflag=direct status=none; echo $? >"$WORK/put"; } &
check 'its agent hangs, and its disk waits' wait_for 60 eval '
	[[ $(group_field .counters.stalls other) != 0 ]]'
check 'the first group works on' writer --streams 8 --count "$(scaled 500)" --seed "$((VAIO_SEED + 5))"
copies_equal 'and its copies are equal'
check 'while the other one waits' test ! -e "$WORK/put"
kill -CONT "$other_pid"
check 'until its agent goes on' wait_for 60 grep -qx 0 "$WORK/put"
check 'and its copy is equal' eval "wait_for 120 caught_up other && blockdev --flushbufs /dev/data3 &&
	cmp /dev/data3 $WORK/others/$(disk_uuid 3)"
kill -9 "$other_pid"
wait "$other_pid" 2>/dev/null
check 'it is taken down' eval 'dmsetup remove --retry d3 && vaioctl group delete other'

# --- an agent without manners

check 'the ring cannot be written, nor the rules be broken' repl-hostile g "$agent_pid"
agent_kill
writer_start --streams 8 --discard --seed "$((VAIO_SEED + 6))"
check 'when the ring is free an agent without manners gets nothing' repl-hostile g
check 'and the guest has not noticed' kill -0 "$writer_pid"
rm "$COPIES/state"
agent_start --mode check
writer_stop
copies_equal 'what it acknowledged without having it, a comparison finds'

check 'the disks are removed' repl_down
check 'the group is deleted' vaioctl group delete g
# without its ring the agent ends
wait "$agent_pid" 2>/dev/null
repl_unload
done_testing
