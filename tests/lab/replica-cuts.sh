#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The whole way: two disks of a group, vaio-agent, vaio-replicad, its store, NBD. A stamper writes all the time
# while agent, replica and connection are cut; the oracle then looks at every point that the replica has.

MIB=${VAIO_FULL:+64}
MIB=${MIB:-32}
STORE_MIB=1500
. "$(dirname "$0")/replica-lib.sh"

repl_modules
repl_devices || bail 'the devices are made'
store_disk $STORE_MIB || bail 'the store has a disk'
make_pki || bail 'certificates are made'
replicad_start
head -c "${MIB}M" /dev/urandom | dd of=/dev/data1 bs=1M oflag=direct status=none iflag=fullblock
# A slow machine must not make gaps where none are wanted: writers wait.
vaioctl group create g ring=64MiB target="localhost:$PORT" on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'

now_at() { vaioctl --json group show g | jq -r ".counters.$1"; }
# cut WHAT: and all that was in the ring at that moment arrives
cut() {
	local at
	case $1 in
	agent) agent_kill ;;
	replicad) replicad_kill ;;
	connection) ss -HK "( dport = :$PORT or sport = :$PORT )" >/dev/null ;;
	esac
	at=$(now_at published)
	case $1 in
	agent) agent_start ;;
	replicad) replicad_start ;;
	esac
	wait_for 90 eval "(( \$(now_at durable) >= $at ))" ||
		{ note "after the $1 was cut: $(vaioctl group show g; tail -n 8 "$WORK/agent" "$WORK/replicad")"; return 1; }
}
stamper_start() {
	stamper --seed "$VAIO_SEED" --ledger "$WORK/ledger" --pause 20000 /dev/mapper/d1 /dev/mapper/d2 >"$WORK/stamper" 2>&1 &
	stamper_pid=$!
}
pause() { kill -STOP "$stamper_pid"; }
go_on() { kill -CONT "$stamper_pid"; }
# run_oracle [OPTION...]: the replica does not run meanwhile
run_oracle() {
	oracle --seed "$VAIO_SEED" "$@" "$(store_dir)"
}

# --- initial copy

agent_start
wait_for 120 state_is replicating || note "$(tail -n 20 "$WORK/agent" "$WORK/replicad"; vaioctl group show g)"
replica_equals 'the disks are copied'
check 'zeroes are not sent' test "$(counter bytes)" -lt $(((MIB + 8) << 20))
check 'the agent says that the group is replicated' wait_for 20 agent_state_is replicating
is 'to whom' "$(agent_field 'g["peer"]')" "127.0.0.1:$PORT"
check 'and how far behind it is' test "$(agent_field 'g["rpo_ms"]')" -ge 0

# --- cuts

copied=$(counter resync_bytes)
stamper_start
kinds=()
for ((i = 0; i < $(scaled 80); i++)); do kinds+=(agent); done
for ((i = 0; i < $(scaled 60); i++)); do kinds+=(replicad); done
for ((i = 0; i < $(scaled 40); i++)); do kinds+=(connection); done
cuts=${#kinds[@]}
for ((i = 0; i < cuts; i++)); do
	random "$i" $((cuts - 1))
	what=${kinds[REPLY]}
	kinds[REPLY]=${kinds[i]}
	random 10 99
	sleep "0.$REPLY"
	cut "$what" || break
done
is 'after each cut all arrives' "$i" "$cuts"
pause
replica_equals 'and the replica is equal to the disks'
is 'without a gap' "$(counter gaps)" 0
check 'each cut made a new session' test "$(grep -c 'goes on after' "$WORK/agent")" -ge "$cuts"
is 'only the first agent began anew' "$(grep -c 'begins after' "$WORK/agent")" 1
is 'nothing was resynced' "$(counter resync_bytes)" "$copied"

# --- the agent is away, and there is room in the ring

stalls=$(counter stalls)
times=$(scaled 100)
for ((i = 0; i < times; i++)); do
	go_on
	random 10 99
	sleep "0.0$REPLY"
	agent_kill
	sleep "0.0$REPLY"
	pause
	at=$(now_at published)
	agent_start
	wait_for 90 eval "(( \$(now_at durable) >= $at ))" || break
done
is 'the agent is killed again and again' "$i" "$times"
is 'there was room in the ring' "$(counter stalls)" "$stalls"
is 'no gap' "$(counter gaps)" 0
is 'no resync' "$(counter resync_bytes)" "$copied"

# --- a named point

go_on
like 'a checkpoint is put into the stream' \
	"$(ask "$WORK/agent.sock" '{"do": "checkpoint", "group": "g", "name": "before lunch", "kind": "application", "wait_ms": 60000}')" \
	'"ok": *true.*"durable": *true'
like 'a bad one is refused' "$(ask "$WORK/agent.sock" '{"do": "checkpoint", "group": "g", "name": "x", "kind": "odd"}')" \
	"'odd' is not one of crash, filesystem, application"
like 'the replica has it by name' "$(ask "$WORK/replicad.sock" '{"do": "show", "group": "g", "point": "name:before lunch"}')" \
	'"name": *"before lunch"'

# --- the link is down for longer than the ring lasts

vaioctl group set g on_loss=track
replicad_kill
check 'the ring runs full' wait_for 120 state_is tracking
pause
sleep 1		# what is under way ends; the figures below are looked at when it has
check 'no write is under way' wait_for 60 eval '[[ $(now_at backlog_records) == 0 ]]'
is 'that is a gap' "$(counter gaps)" 1
dirty=$(vaioctl --json group show g | jq '[.disks[].dirty] | add')
before=$(counter resync_bytes)
is 'the agent waits' "$(agent_field 'g["connected"]')" False
replicad_start
check 'the group becomes whole by itself' wait_for 120 state_is replicating
replica_equals 'and equal'
sent=$(($(counter resync_bytes) - before))
check "only what was dirty is sent: $sent of $dirty bytes" test "$sent" -le "$dirty"
like 'the gap is shown' "$(ask "$WORK/replicad.sock" '{"do": "points", "group": "g"}')" '"kind": *"gap"'
vaioctl group set g on_loss=stall:60s,track
go_on
cut agent
pause

# --- who may not

agent_kill
agent_start --pki "$WORK/pki/stranger"
check "a stranger's certificate is refused" wait_for 60 eval "agent_field 'g[\"error\"]' | grep -Eq 'TLS|closed|reset'"
is 'nothing of it is replicated' "$(agent_field 'g["connected"]')" False
agent_kill
agent_start
check 'the right one goes on' wait_for 60 agent_state_is replicating
is 'without another gap' "$(counter gaps)" 1

# --- a process that crashes

for ((i = 0; i < 3; i++)); do
	wait_for 30 agent_state_is replicating
	kill -SEGV "$(agent_field 'g["pid"]')"
	wait_for 30 eval "(( \$(agent_field 'g[\"crashes\"]') > $i ))"
done
check 'a group whose process dies three times is set aside' wait_for 20 agent_state_is set-aside
like 'it says why' "$(agent_field 'g["error"]')" 'died of signal 11'
kill -HUP "$agent_pid"
check 'until SIGHUP' wait_for 60 agent_state_is replicating
is 'and there is no other gap yet' "$(counter gaps)" 1

# --- the replica loses its power in sync mode: what is acknowledged is there

check 'nothing is under way' wait_for 60 caught_up
vaioctl group set g mode=sync on_loss=hold
check 'sync mode begins' wait_for 30 eval "agent_field 'g[\"mode\"]' | grep -q sync"
wait_for 60 agent_state_is replicating
replicad_kill
echo witness >"$WORK/disk/flushed"
sync "$WORK/disk/flushed"
head -c 4096 /dev/urandom | dd of=/dev/store bs=4096 seek=$(((STORE_MIB - 1) * 256)) oflag=direct status=none
store_power_cut
agent_kill
store_power_on || bail 'the store comes back'
is 'a power cut leaves what was flushed' "$(cat "$WORK/disk/flushed")" witness
check 'and takes what was in the cache of the disk' \
	cmp -n 4096 <(dd if=/dev/store bs=4096 skip=$(((STORE_MIB - 1) * 256)) count=1 iflag=direct status=none) /dev/zero
rounds=$(scaled 20)
lost=0
for ((i = 0; i < rounds; i++)); do
	at=$(now_at durable)
	replicad_start
	agent_start
	go_on
	wait_for 90 eval "(( \$(now_at durable) > $at + 100 ))" || break
	random 10 99
	sleep "0.$REPLY"
	echo witness >"$WORK/disk/witness$i"
	store_power_cut || break
	agent_kill
	store_power_on || break
	[[ $(cat "$WORK/disk/witness$i" 2>/dev/null) == witness ]] || lost=$((lost + 1))
	out=$(run_oracle --ledger "$WORK/ledger") || { note "$out"; break; }
done
is 'each write that was acknowledged survives power cuts of the replica' "$i" "$rounds"
is 'cuts took what was not synced' "$lost" "$rounds"
replicad_start
agent_start
wait_for 60 agent_state_is replicating
is 'and there is no other gap' "$(counter gaps)" 1
vaioctl group set g mode=async on_loss=stall:60s,track
wait_for 60 agent_state_is replicating

# --- every point

kill "$stamper_pid"
go_on
wait "$stamper_pid"
is 'the stamper saw no error' "$(cat "$WORK/stamper")" ''
replica_equals 'at last all is equal'
kill "$replicad_pid"
wait "$replicad_pid"
out=$(run_oracle --points "$(scaled 20)")
like 'each point is a prefix of what was written' "$out" '^records [0-9]+ points [0-9]+'
note "$out"
read -r _ _ _ _ _ _ _ _ _ _ _ first _ last <<<"$out"
times=$(scaled 20)
for ((i = 0; i < times; )); do
	random "$first" "$last"
	# A number within the gap is no point.
	replica_read d1 "seq:$REPLY" "$WORK/d1" >"$WORK/why" && replica_read d2 "seq:$REPLY" "$WORK/d2" >>"$WORK/why" ||
		{ grep -q 'gap\|resync\|no point\|nearest' "$WORK/why" && continue; note "$(cat "$WORK/why")"; break; }
	out=$(run_oracle --until "$REPLY" --image "$WORK/d1" --image "$WORK/d2") || { note "$out"; break; }
	i=$((i + 1))
done
rm -f "$WORK/d1" "$WORK/d2"
is 'points read over NBD are what the records say' "$i" "$times"

# --- the end

kill "$agent_pid"
wait "$agent_pid"
is 'the agent ends when it is told' $? 0
note "$(grep -c 'goes on' "$WORK/agent") sessions went on"
check 'the disks are removed' repl_down
check 'the group is deleted' vaioctl group delete g
repl_unload
done_testing
