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

# a load that goes on until load_end, which sets longest
load_start() { # [DEVICE...]
	repl-writer --streams $streams --count 0 --max 1048576 --seed "$VAIO_SEED" "${@:-${both[@]}}" >"$WORK/load" 2>"$WORK/errors" &
	load_pid=$!
}
load_end() {
	kill "$load_pid" 2>/dev/null
	wait "$load_pid"
	longest=$(sed -n 's/^longest \([0-9]*\) ms/\1/p' "$WORK/load")
}
agent_hangs() { [[ $(awk '{ print $3 }' "/proc/$agent_pid/stat") == T ]]; }
group_up() { vaioctl group create g ring=16MiB watchdog=1s "$@" && repl_up group g; }
group_down() { repl_down && vaioctl group delete g; }
agent_first() { # [OPTION...]
	rm -rf "$COPIES"; mkdir "$COPIES"
	agent_start --mode full "$@"
	wait_for 300 caught_up || bail "$name: the agent has all"
}

# lost NAME LIMIT PROPERTY...: the agent hangs while the load goes on; unless writes fail, the next one comes while it does
lost() {
	local name=$1 limit=$2 longest before=0
	shift 2
	group_up "$@" || bail "$name: the group"
	agent_first --hang "$count"
	load_start
	wait_for 300 agent_hangs || bail "$name: the agent hangs when it has read $count writes"
	if [[ $name == *fail* ]]; then
		wait_for 300 eval '! kill -0 "$load_pid"' || bail "$name: the load ends"
	else
		check "$name: the group tracks" wait_for 300 state_is tracking
		check "$name: the load goes on" kill -0 "$load_pid"
		agent_kill
		before=$(grep -c RESYNC_BEGIN "$WORK/agent")
		# a load as hard as this fills the ring again and again: no resync need end while it goes on
		agent_start --hang "$count"
		check "$name: the next agent reads as much under the load" wait_for 300 agent_hangs
		check "$name: in a resync" eval '[[ $(grep -c RESYNC_BEGIN "$WORK/agent") -gt $before ]]'
		check "$name: the load went on all the while" kill -0 "$load_pid"
	fi
	load_end
	agent_kill
	note "$name: the longest write took ${longest:-?} ms"
	if [[ $name == *fail* ]]; then
		like "$name: writes fail" "$(<"$WORK/errors")" 'Input/output error'
	else
		is "$name: no write fails" "$(<"$WORK/errors")" ''
		check "$name: there was a gap" test "$(counter gaps)" -ge 1
	fi
	check "$name: none waits longer than it may" test "${longest:-999999}" -le $((base + limit))
	agent_start
	copies_equal "$name: afterwards the copies are equal"
	agent_kill
	group_down || bail "$name: removal"
}
lost 'async, track' 1000 on_loss=track
lost 'async, stall 3s, track' 8000 on_loss=stall:3s,track
lost 'async, stall 3s, fail' 8000 on_loss=stall:3s,fail
lost 'sync, track' 3000 mode=sync on_loss=track
lost 'sync, stall 3s, track' 8000 mode=sync on_loss=stall:3s,track
lost 'sync, stall 3s, fail' 8000 mode=sync on_loss=stall:3s,fail

# --- suspend, resume, reload and removal, with a write that waits for the replica

# timed NAME DISK STEP...: repl-timed's steps, each as WORD[=LIMIT[,RESULT]]: done within LIMIT ms, with RESULT, else 0
timed() {
	local name=$1 disk=$2 step word ms result limit wanted seen='' bad=''
	shift 2
	if ! repl-timed "$disk" "${@%%=*}" >"$WORK/timed" 2>&1; then
		not_ok "$name" "$(<"$WORK/timed")"$'\n'"of: $*"
		return
	fi
	for step; do
		read -r word ms result
		[[ $step == *=* ]] || continue
		seen+="${seen:+, }$word $ms"
		IFS=, read -r limit wanted <<<"${step#*=}"
		[[ $ms -le $limit ]] || bad+="$word: $ms ms, at most $limit"$'\n'
		[[ $result == "${wanted:-0}" ]] || bad+="$word: $result, not ${wanted:-0}"$'\n'
	done <"$WORK/timed"
	if [[ -z $bad ]]; then ok "$name: $seen ms"; else not_ok "$name" "${bad}of: $seen ms"; fi
}
# A disk that is being suspended waits for the replica 2 s at most, where there is an agent; the rest is work. No task waits
# longer than its stall and 5 s: none of the stalls here is over by then.
soon=500 late=2500
# its first step: the agent is there no more, or does nothing from now on
away() { [[ $1 == gone ]] && echo "kill:$agent_pid" || echo "stop:$agent_pid"; }
agent_next() {
	agent_kill
	agent_start
	wait_for 300 caught_up || bail "$name: the next agent has all"
}
# drawn WORD WORD: both in a full run, otherwise one of them
random 0 1
pick=$REPLY
drawn() { [[ -n $VAIO_FULL ]] && echo "$@" || echo "${@:pick + 1:1}"; }
# stopped POLICY AGENT: gone, hanging
stopped() {
	local policy=$1 agent=$2 name="$1, an agent that is $2" wait=$soon shown
	[[ $agent == gone ]] || wait=$late
	group_up mode=sync "on_loss=$policy" && vaioctl group set g watchdog=30s || bail "$name: the group"
	shown=$(group_field .properties.on_loss)
	agent_first
	if [[ $policy == *track ]]; then
		# once for each: the group tracks then, and nobody waits
		timed "$name, suspend" d1 "$(away "$agent")" write suspend=$wait over=$((wait + soon)) resume=$soon \
			put=$soon suspend=$soon resume=$soon
		agent_next
		timed "$name, noflush" d1 "$(away "$agent")" write suspend-noflush=$wait resume=$soon over=$((wait + soon))
		agent_next
		timed "$name, reload" d1 "$(away "$agent")" write load=$soon resume=$wait over=$((wait + soon)) remove=$soon
	else
		timed "$name" d1 "$(away "$agent")" write suspend=$wait over=$((wait + soon)),EIO resume=$soon \
			write suspend-noflush=$soon load=$soon resume=$soon \
			parked:1 load=$soon resume=$wait over=$((wait + 4 * soon)),EIO \
			write suspend=$wait over=$((wait + soon)),EIO remove=$soon
	fi
	timed "$name, the other disk" d2 suspend=$soon resume=$soon remove=$soon
	is "$name: the policy is as it was" "$(group_field .properties.on_loss)" "$shown"
	agent_kill
	vaioctl group delete g || bail "$name: removal"
}
for policy in hold stall:10s,fail stall:10s,track; do
	stopped $policy gone
	stopped $policy hanging
done

# resyncing AGENT
resyncing() {
	local agent=$1 name="hold, an agent that is $1 in a resync" wait=$soon
	[[ $agent == gone ]] || wait=$late
	group_up mode=sync on_loss=hold resync_rate=64KiB && vaioctl group set g watchdog=30s || bail "$name: the group"
	rm -rf "$COPIES"; mkdir "$COPIES"
	agent_start --mode full
	check "$name: it has begun" wait_for 300 state_is resync
	timed "$name" d1 "$(away "$agent")" write suspend=$wait over=$((wait + soon)),EIO resume=$soon \
		write load=$soon resume=$wait over=$((wait + soon)),EIO remove=$soon
	timed "$name, the other disk" d2 suspend=$soon resume=$soon remove=$soon
	agent_kill
	vaioctl group delete g || bail "$name: removal"
}
for agent in $(drawn gone hanging); do resyncing "$agent"; done

# full POLICY: a load fills the ring, and all its streams wait for room
full() {
	local policy=$1 name="$1, a full ring" longest
	group_up "on_loss=$policy" && vaioctl group set g watchdog=30s || bail "$name: the group"
	agent_first
	load_start /dev/mapper/d1
	timed "$name" d1 "stop:$agent_pid" parked:$streams suspend=$late resume=$soon
	load_end
	if [[ $policy == *fail ]]; then
		like "$name: writes fail" "$(<"$WORK/errors")" 'Input/output error'
	else
		is "$name: no write fails" "$(<"$WORK/errors")" ''
	fi
	check "$name: the longest write took ${longest:-?} ms" test "${longest:-999999}" -le $((base + late + soon))
	agent_next
	copies_equal "$name: afterwards the copies are equal"
	agent_kill
	group_down || bail "$name: removal"
}
for policy in $(drawn stall:10s,fail stall:10s,track); do full "$policy"; done

# --- an agent's grace

name='agent_grace=5s'
group_up on_loss=track agent_grace=5s || bail "$name: the group"
agent_first
timed "$name" d1 "kill:$agent_pid" put=$soon until:tracking=5500
check "$name: the group tracks no sooner" test "$(awk '$1 == "until:tracking" { print $2 }' "$WORK/timed")" -ge 4990
agent_kill
group_down || bail "$name: removal"
repl_unload
done_testing
