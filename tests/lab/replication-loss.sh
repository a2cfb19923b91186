#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Sync mode, and what each on_loss policy does when the replica is lost.

MIB=32
. "$(dirname "$0")/repl-lib.sh"

repl_modules
repl_devices || bail 'the devices are made'
vaioctl group create g ring=16MiB mode=sync on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'

put() { dd if=/dev/urandom of="/dev/mapper/d$1" bs=4096 count=1 seek="$2" oflag=direct conv=notrunc status=none; }
sidecar_flags() { vaioctl --json sidecar show "/dev/side$1" | jq -c .flags; }
# <class> <filter> <state> <completed> <failed> <deferred> <parked>
waiting() { [[ $(dmsetup status d1 | sed -n 's/.* replication replication [a-z]* [0-9]* [0-9]* [0-9]* \([0-9]*\).*/\1/p') -gt 0 ]]; }
# start_write BLOCK: a write of d1 in the background, which has to wait
start_write() {
	rm -f "$WORK/put.status"
	{ put 1 "$1" 2>"$WORK/put"; echo $? >"$WORK/put.status"; } &
	wait_for 60 waiting || not_ok "the write of block $1 waits" "$(dmsetup status d1)"
}
# waits for its end
end_write() { wait_for 60 test -s "$WORK/put.status" && return "$(<"$WORK/put.status")"; }

# an agent that knows nothing of the one before: until it has begun with both disks, the group tracks
agent_anew() {
	local ups
	ups=$(grep -c 'MEMBER . up' "$WORK/agent")
	rm -f "$COPIES/state"
	agent_start "$@"
	wait_for 60 eval '[[ $(grep -c "MEMBER . up" "$WORK/agent") -ge $((ups + 2)) ]]' ||
		not_ok 'an agent begins anew' "$(tail -n 3 "$WORK/agent")"
}

# --- nothing is acknowledged before the replica has it

agent_start --mode full
check 'the disks are replicated' wait_for 120 caught_up
for ((i = 0; i < 10; i++)); do
	random 0 4000
	put 1 "$REPLY"
	at=$((REPLY * 4096))
	cmp -s <(dd if=/dev/mapper/d1 bs=4096 skip="$REPLY" count=1 iflag=direct status=none) \
		<(dd if="$COPIES/$(disk_uuid 1)" bs=4096 skip="$REPLY" count=1 status=none) || break
done
is 'each acknowledged write is in the copy at that moment' "$i" 10
check 'a writer runs' writer --streams 8 --count "$(scaled 400)" --max 65536 --discard --seed "$VAIO_SEED"
copies_equal 'its writes arrive in order'
is 'without a gap' "$(counter gaps)" 0
is 'nobody was alone' "$(sidecar_flags 1)" '[]'

# --- hold

vaioctl group set g on_loss=hold
agent_kill
start_write 7
agent_start
check 'hold: a write waits for the next agent' end_write
is 'hold: which goes on' "$(grep -c RESUMED "$WORK/agent")" 1
agent_kill
start_write 12
vaioctl group set g mode=async
check 'hold: in async mode nobody waits for an acknowledgement' end_write
vaioctl group set g mode=sync
start_write 8
check 'hold: the disk can be suspended all the same' dmsetup suspend --noflush d1
dmsetup resume d1
check 'hold: the write that device-mapper got back waits again' wait_for 60 waiting
check 'hold: and without noflush' dmsetup suspend d1
check_fails 'hold: where it ends with an error' '' end_write
like 'hold: which is EIO' "$(<"$WORK/put")" 'Input/output error'
dmsetup resume d1
check 'hold: a disk is reloaded' eval 'dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1'
agent_start
copies_equal 'hold: nothing is lost'
is 'hold: and there was no gap' "$(counter gaps)" 0

# an agent that begins anew gives up what waits; it is acknowledged when it was brought
agent_kill
agent_start --stop-acks
wait_for 60 agent_bound
start_write 15
agent_kill
agent_anew --stop-acks
check 'hold: an agent gives up what it finds' wait_for 60 eval '[[ $(counter gaps) == 1 ]]'
check 'hold: the write goes on waiting' waiting
agent_kill
agent_start
check 'hold: until it was brought' end_write
copies_equal 'hold: and the copies are equal'
gaps=$(counter gaps)

# --- stall, then fail

vaioctl group set g on_loss=stall:1s,fail
agent_kill
check_fails 'stall,fail: a write fails when its time is over' 'Input/output error' put 1 9
check_fails 'stall,fail: so does the next' 'Input/output error' put 2 9
agent_start
copies_equal 'stall,fail: the next agent makes all well'
check 'stall,fail: and writes go on' wait_for 60 put 1 9
is 'stall,fail: without a gap' "$(counter gaps)" "$gaps"

# --- stall, then track

vaioctl group set g on_loss=stall:1s,track
agent_kill
check 'stall,track: a write goes on alone' put 1 10
is 'stall,track: the group tracks' "$(group_state)" tracking
is 'stall,track: that it is alone is on the sidecar' "$(sidecar_flags 1)" '["alone"]'
is 'stall,track: with a gap' "$(counter gaps)" $((gaps + 1))
check 'stall,track: the next one does not wait' put 1 11
agent_start
copies_equal 'stall,track: what was written alone is brought'
check 'stall,track: and nobody is alone any more' wait_for 60 eval '[[ $(sidecar_flags 1) == "[]" ]]'

# --- an agent that lives, and a replica that does not answer

vaioctl group set g on_loss=track
agent_kill
agent_anew --stop-acks
check 'a silent replica: a write goes on alone' put 1 12
is 'a silent replica: it was not acknowledged' "$(counter reason)" 'the replica does not acknowledge'
agent_kill
agent_start
copies_equal 'a silent replica: one that answers makes all well'

# --- an agent that hangs

vaioctl group set g watchdog=1s on_loss=hold
kill -STOP "$agent_pid"
start_write 13
check 'a hanging agent is put out' wait_for 60 eval '[[ $(counter agent) == none ]]'
vaioctl group set g watchdog=30s
kill -9 "$agent_pid"
wait "$agent_pid" 2>/dev/null
agent_start
check 'the next one takes its place' end_write
copies_equal 'and nothing is lost'

# --- an agent's grace

vaioctl group set g mode=async on_loss=track agent_grace=24h
agent_kill
gaps=$(counter gaps)
resumed=$(grep -c RESUMED "$WORK/agent")
check 'grace: an agent that is gone is missed' wait_for 60 eval '[[ $(counter agent) == none ]]'
check 'grace: writes go on' writer --streams 4 --count "$(scaled 200)" --max 16384 --seed "$VAIO_SEED"
is 'grace: and nothing is given up' "$(group_state), gaps $(counter gaps)" "replicating, gaps $gaps"
agent_start
copies_equal 'grace: the agent that comes back brings it'
is 'grace: it went on' "$(grep -c RESUMED "$WORK/agent")" $((resumed + 1))
is 'grace: without a gap' "$(counter gaps)" "$gaps"
agent_kill
put 1 18
vaioctl group set g agent_grace=1s
check 'grace: when it is over, the group tracks' wait_for 60 state_is tracking
is 'grace: that is why' "$(counter reason)" 'the agent is gone'
is 'grace: with a gap' "$(counter gaps)" $((gaps + 1))
agent_start
copies_equal 'grace: the next agent makes all well'
is 'grace: it was told of the gap' "$(grep RESYNC_BEGIN "$WORK/agent" | tail -n 1)" 'RESYNC_BEGIN gap=1'
is 'grace: and did not go on' "$(grep -c RESUMED "$WORK/agent")" $((resumed + 1))
vaioctl group set g mode=sync agent_grace=60s

# --- suspend, reload and removal in every state

on_loss() { group_field .properties.on_loss; }
reload() { dmsetup suspend "$@" d1 && dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1; }
create() { dmsetup create d1 --table "$(repl_table 1 group g)"; }
removed() { dmsetup remove --retry d1 && create; }
# with a write that waits, nobody can remove it: it has the disk open. It ends when the disk is suspended.
halted() { dmsetup suspend d1 && { end_write 2>/dev/null; removed; }; }
wiped() { dmsetup wipe_table d1 && { end_write 2>/dev/null; removed; }; }
# the agent has the device open, even one that hangs
unloaded() {
	local policy
	policy=$(on_loss)
	repl_down || return
	kill -9 "$agent_pid" 2>/dev/null
	agent_kill
	vaioctl group delete g && rmmod vaio_replication && load_modules vaio-replication || return
	vaioctl group create g ring=16MiB mode=sync "on_loss=$policy" && repl_up group g
}
# every_way NAME [waits]: with a write that waits, if there can be one
every_way() {
	local name=$1 waits=${2-} way policy
	policy=$(on_loss)
	for way in 'dmsetup suspend d1' 'dmsetup suspend --noflush d1' reload 'reload --noflush' halted wiped removed unloaded; do
		[[ -z $waits || $way == removed || $way == unloaded ]] || start_write $((RANDOM % 4000))
		check "$name: $way" eval "$way && { dmsetup info d1 | grep -q ACTIVE || dmsetup resume d1; }"
		[[ $way == *noflush* ]] || end_write 2>/dev/null
		[[ $way != *noflush* || -z $waits ]] || {
			wait_for 60 waiting || not_ok "$name: $way: the write waits again"
			dmsetup suspend d1 && dmsetup resume d1
			end_write 2>/dev/null
		}
	done
	is "$name: with the policy as it was" "$(on_loss)" "$policy"
	vaioctl group set g on_loss=track
	kill -9 "$agent_pid" 2>/dev/null
	agent_kill
	agent_start
	copies_equal "$name: and nothing is lost"
}
echo 0 >"$WORK/put.status"
in_state() { # NUMBER
	case $1 in
	0)
		vaioctl group set g on_loss=hold
		agent_kill
		every_way 'hold, no agent' waits ;;
	1)
		vaioctl group set g on_loss=hold
		kill -STOP "$agent_pid"
		every_way 'hold, a hanging agent' waits ;;
	2)
		vaioctl group set g on_loss=stall:1s,fail
		agent_kill
		put 1 16 2>/dev/null
		every_way 'writes fail' ;;
	3)
		vaioctl group set g on_loss=track
		agent_kill
		put 1 17
		every_way 'tracking' ;;
	4)
		vaioctl group set g on_loss=track
		agent_kill
		writer --streams 4 --count 100 --seed "$VAIO_SEED" >/dev/null
		vaioctl group set g resync_rate=64KiB
		agent_start
		check 'a resync is under way' wait_for 60 state_is resync
		vaioctl group set g resync_rate=256KiB
		every_way 'resync'
		vaioctl group set g resync_rate=any ;;
	5)
		vaioctl group set g on_loss=stall:60s,fail
		agent_kill
		every_way 'a stall' waits ;;
	esac
}
random 0 5
first=$REPLY
for ((i = 0; i < $([[ -n $VAIO_FULL ]] && echo 6 || echo 2); i++)); do
	in_state $(((first + i) % 6))
done

# --- removal

vaioctl group set g on_loss=hold
agent_kill
start_write 14
vaioctl group set g on_loss=track
check 'a changed policy ends the wait' end_write
check 'the disks are removed' repl_down
is 'the sidecar says alone' "$(sidecar_flags 1)" '["alone"]'

# --- a disk that lost data

agent_start
repl_up group g
copies_equal 'source-damaged: all is well before'
agent_kill
repl_down
dd if=/dev/side1 of="$WORK/side" bs=1M iflag=direct status=none
# its flags
reseal "$WORK/side" "$WORK/side" 308 2 4
dd if="$WORK/side" of=/dev/side1 bs=1M oflag=direct status=none
is 'source-damaged: the sidecar says so' "$(sidecar_flags 1)" '["source-damaged"]'
before=$(md5sum <"$COPIES/$(disk_uuid 1)")
repl_up group g
agent_start --insist --mode full
check 'source-damaged: START is refused' wait_for 60 grep -q 'REFUSED d1: Read-only file system' "$WORK/agent"
check 'source-damaged: the other disk is replicated' wait_for 60 eval '
	put 2 19 && cmp -s <(dd if=/dev/mapper/d2 bs=4096 skip=19 count=1 iflag=direct status=none) \
		<(dd if="$COPIES/$(disk_uuid 2)" bs=4096 skip=19 count=1 status=none)'
check 'source-damaged: the disk is degraded' wait_for 60 eval '[[ $(dmsetup status d1 | awk "{ print \$4 }") == degraded ]]'
like 'source-damaged: and says why' "$(vaioctl --json disk show d1)" 'source-damaged: this disk lost data'
check 'source-damaged: its writes go on' put 1 20
is 'source-damaged: nothing is sent to the copy' "$(md5sum <"$COPIES/$(disk_uuid 1)")" "$before"
is 'source-damaged: the sidecar still says so' "$(sidecar_flags 1 | jq -c 'index("source-damaged") != null')" true
agent_kill
check 'source-damaged: the disks are removed' repl_down

# with the group still there
repl_unload
done_testing
