#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The whole way: two disks of a group, vaio-agent, vaio-replicad, its store, NBD. A stamper writes all the time
# while agent, replica and connection are cut; the oracle then looks at every point that the replica has.

# Full counts are for one kernel, the others get a tenth: what is looked at is above the kernel.
[[ $VAIO_KERNEL == 6.12 ]] || VAIO_FULL=
MIB=${VAIO_FULL:+64}
MIB=${MIB:-16}
SPAN=$((MIB * 7 << 17))	# the stamper leaves an eighth of each disk alone
# Room for all of the journal: short of space the oldest points would go.
STORE_MIB=${VAIO_FULL:+3500}
STORE_MIB=${STORE_MIB:-900}
. "$(dirname "$0")/replica-lib.sh"

repl_modules
# As udev does for the processor: then TLS is the kernel's. The tests on the host have GnuTLS'.
modprobe aesni_intel || bail 'the processor has AES'
repl_devices || bail 'the devices are made'
store_disk $STORE_MIB || bail 'the store has a disk'
make_pki || bail 'certificates are made'
replicad_start
head -c "${MIB}M" /dev/urandom | dd of=/dev/data1 bs=1M oflag=direct status=none iflag=fullblock
# A slow machine must not make gaps where none are wanted: writers wait.
vaioctl group create g ring=64MiB target="localhost:$PORT" on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'

figure() { repl-watch get "$1"; }
# writes N [OF]: the stamper may write OF times (default: N); waits until it has begun N. Depth 32.
writes() { repl-watch write "$WORK/ledger" "$1" "${2-$1}" 90; }
# What is cut is cut while 32 of them are under way: more are allowed than begin until then. halt: no more begin;
# prints how many are under way.
more=2000
halt() { repl-watch halt "$WORK/ledger"; }
# kill_in PID N: once N have begun, and no more begin; prints how many are under way. In one process: by the time that
# another had started all that may begin would have, and there would be nothing to cut.
kill_in() { repl-watch kill "$WORK/ledger" "$1" "$2" $more 90; }
# All of that is done
idle() { repl-watch idle "$WORK/ledger" 90; }
# run_oracle [OPTION...]: the replica does not run meanwhile
run_oracle() {
	oracle --seed "$VAIO_SEED" --span $SPAN "$@" "$(store_dir)"
}
tell() { note "$* $(vaioctl group show g; tail -n 8 "$WORK/agent" "$WORK/replicad" "$WORK/stamper")"; }

# --- initial copy

agent_start
check 'the group is replicated' until_group state = replicating
check 'the kernel decrypts' grep -q 'connected; the kernel decrypts' "$WORK/replicad"
check 'the disks are copied' becomes_equal
check 'zeroes are not sent' test "$(figure bytes)" -lt $(((MIB + 8) << 20))
check 'the agent says that the group is replicated' until_agent_says state replicating
is 'to whom' "$(agent_says peer)" "127.0.0.1:$PORT"
check 'and how far behind it is' test "$(agent_says rpo_ms)" -ge 0
begin=$(agent_says complete_seq)

# --- the replica loses its power in sync mode: what is acknowledged is there

echo witness >"$WORK/disk/flushed"
sync "$WORK/disk/flushed"
head -c 4096 /dev/urandom | dd of=/dev/store bs=4096 seek=$(((STORE_MIB - 1) * 256)) oflag=direct status=none
store_power_cut
agent_kill
store_power_on || bail 'the store comes back'
is 'a power cut leaves what was flushed' "$(cat "$WORK/disk/flushed")" witness
check 'and takes what was in the cache of the disk' \
	cmp -n 4096 <(dd if=/dev/store bs=4096 skip=$(((STORE_MIB - 1) * 256)) count=1 iflag=direct status=none) /dev/zero
replicad_start
agent_start
until_agent_says state replicating
vaioctl group set g mode=sync on_loss=hold
check 'sync mode begins' until_agent_says mode sync
stamper --seed "$VAIO_SEED" --ledger "$WORK/ledger" --span $SPAN --allow 0 /dev/mapper/d1 /dev/mapper/d2 \
	>"$WORK/stamper" 2>&1 &
stamper_pid=$!
wait_for 60 test -s "$WORK/ledger" && idle || bail 'the stamper starts'
rounds=$(scaled 20)
lost=0
for ((i = 0; i < rounds; i++)); do
	random 50 200
	writes "$REPLY" $more || break
	echo witness >"$WORK/disk/witness$i"
	store_power_cut || break
	(($(halt) > 0)) || break
	agent_kill
	store_power_on || break
	[[ $(cat "$WORK/disk/witness$i" 2>/dev/null) == witness ]] || lost=$((lost + 1))
	out=$(run_oracle --ledger "$WORK/ledger") || { note "$out"; break; }
	replicad_start
	agent_start
done
is 'each write that was acknowledged survives power cuts of the replica' "$i" "$rounds"
[[ $i == "$rounds" ]] || bail 'the replica can go on'
is 'cuts took what was not synced' "$lost" "$rounds"
check 'sync mode goes on' writes 100
until_agent_says state replicating
vaioctl group set g mode=async on_loss=stall:60s,track
check 'async mode begins' until_agent_says mode async
idle
check 'the replica becomes equal to the disks' becomes_equal
is 'without a gap' "$(figure gaps)" 0

# --- cuts

sessions() { grep -c 'goes on after' "$WORK/agent"; }
mode_set() { # MODE ON_LOSS
	vaioctl group set g mode="$1" on_loss="$2" && until_agent_says mode "$1" && until_agent_says state replicating
}
# Each write that was acknowledged is in the store, as it is now: a replica that was not killed stands still
# meanwhile, so that nothing is brought again before it is missed.
acknowledged() { # WHAT
	local out status=0
	[[ $1 == replicad ]] || stop "$replicad_pid" || return
	out=$(run_oracle --ledger "$WORK/ledger") || status=1
	[[ $1 == replicad ]] || kill -CONT "$replicad_pid" || return
	[[ $status == 0 ]] || { missed=$((missed + 1)); note "$out"; }
	return $status
}
# cut_one WHAT [MODE [LOOK]]: while the stamper writes, before and after; replication resumes by itself, and all
# arrives. In sync mode writers wait until then; LOOK: is all there that was acknowledged before?
cut_one() {
	local had busy pid
	had=$(sessions)
	random 30 150
	case $1 in
	agent | replicad)
		[[ $1 == agent ]] && pid=$agent_pid || pid=$replicad_pid
		busy=$(kill_in "$pid" "$REPLY") || return
		((busy > 0)) || quiet=$((quiet + 1))
		"${1}_kill"
		;;
	connection)
		writes "$REPLY" 500 || return
		# One socket of the two goes with the other, so that there may be a complaint.
		ss -HK "( dport = :$PORT or sport = :$PORT )" >/dev/null 2>&1
		halt >/dev/null || return
		;;
	esac
	if [[ ${2-async} == async ]]; then
		writes 30 || return
	else
		[[ -z ${3-} ]] || acknowledged "$1" || return
	fi
	case $1 in
	agent) agent_start ;;
	replicad) replicad_start ;;
	esac
	idle && becomes_equal && (($(sessions) > had))
}
copied=$(figure resync_bytes)
cuts=$(($(scaled 80) + $(scaled 60) + $(scaled 40)))
# Every second cut is in sync mode. The oracle takes its time, the longer the more there is in the store.
looks=${VAIO_FULL:+10}
looks=${looks:-1}
cut=0
looked=0
missed=0
quiet=0
for mode in sync async; do
	case $mode in
	sync) mode_set sync hold ;;
	async) mode_set async stall:60s,track ;;
	esac || { tell "$mode mode does not begin:"; break; }
	kinds=()
	for ((i = 0; i < $(scaled 80) / 2; i++)); do kinds+=(agent); done
	for ((i = 0; i < $(scaled 60) / 2; i++)); do kinds+=(replicad); done
	for ((i = 0; i < $(scaled 40) / 2; i++)); do kinds+=(connection); done
	declare -A nth=()
	for ((i = 0; i < ${#kinds[@]}; i++)); do
		random "$i" $((${#kinds[@]} - 1))
		what=${kinds[REPLY]}
		kinds[REPLY]=${kinds[i]}
		look=
		if [[ $mode == sync ]] && ((${nth[$what]-0} % looks == 0)); then look=look; fi
		nth[$what]=$((${nth[$what]-0} + 1))
		cut_one "$what" $mode $look || { tell "after the $what was cut in $mode mode:"; break 2; }
		cut=$((cut + 1))
		[[ -z $look ]] || looked=$((looked + 1))
	done
done
[[ $mode == async ]] || mode_set async stall:60s,track
is 'after each cut in sync mode all is there that was acknowledged' "$missed of $looked" '0 of 9'
is 'no agent or replica was cut while nothing was under way' "$quiet" 0
is 'after each cut there is a new session, and the replica becomes equal to the disks' "$cut" "$cuts"
is 'without a gap' "$(figure gaps)" 0
is 'only the first agent began anew' "$(grep -c 'begins after' "$WORK/agent")" 1
is 'nothing was resynced' "$(figure resync_bytes)" "$copied"

# --- the agent is away, and there is room in the ring

stalls=$(figure stalls)
times=$(scaled 100)
for ((i = 0; i < times; i++)); do
	random 20 60
	kill_in "$agent_pid" "$REPLY" >/dev/null || break
	agent_kill
	writes 30 || break
	at=$(figure published)
	agent_start
	until_group durable '>=' "$at" || break
done
idle
check 'all arrives' until_group state = replicating backlog_records = 0
is 'the agent is killed again and again' "$i" "$times"
is 'there was room in the ring' "$(figure stalls)" "$stalls"
is 'no gap' "$(figure gaps)" 0
is 'no resync' "$(figure resync_bytes)" "$copied"

# --- a named point

writes 1 1000
like 'a checkpoint is put into the stream' \
	"$(ask "$WORK/agent.sock" '{"do": "checkpoint", "group": "g", "name": "before lunch", "kind": "application", "wait_ms": 60000}')" \
	'"ok": *true.*"durable": *true'
like 'a bad one is refused' "$(ask "$WORK/agent.sock" '{"do": "checkpoint", "group": "g", "name": "x", "kind": "odd"}')" \
	"'odd' is not one of crash, filesystem, application"
like 'the replica has it by name' "$(ask "$WORK/replicad.sock" '{"do": "show", "group": "g", "point": "name:before lunch"}')" \
	'"name": *"before lunch"'

# --- certificates change, and nobody tells the daemons

connections=$(agent_says connections)
writes 1 1000
touch "$WORK/pki/client/vaio/clientcert.pem"
check 'the agent sees that its certificate changed, and connects again' until_agent_says connections $((connections + 1))
like 'it says so' "$(<"$WORK/agent")" 'certificates have changed'
touch "$WORK/pki/server/CA/cacert.pem"
check 'so does the replica' until_agent_says connections $((connections + 2))
like 'and says so' "$(<"$WORK/replicad")" 'reload: certificates are read again'
idle
check 'nothing is lost by that' until_group state = replicating backlog_records = 0 gaps = 0

# --- the clock of the host is set

mark() { # NAME: a checkpoint, which the replica has
	[[ $(ask "$WORK/agent.sock" '{"do": "checkpoint", "group": "g", "name": "'"$1"'", "kind": "crash", "wait_ms": 60000}') \
		=~ '"durable": '*true ]]
}
# point TEXT: its number and time; or why there is none
point() { ask "$WORK/replicad.sock" '{"do": "show", "group": "g", "point": "'"$1"'"}' | jq -r '"\(.seq // .error) \(.time_ns)"'; }
connections=$(agent_says connections)
mark 'clock 0' || bail 'a checkpoint before'
# wait_for is not for use here: its seconds are the clock's
n=0
for step in -1hour 2hours -1hour; do
	# Each time there is more to be written than has begun.
	writes 30 300 && date -s "$step" >/dev/null && writes 30 300 &&
		until_group durable '>=' "$(figure published)" state = replicating &&
		mark "clock $((n + 1))" || { tell "after the clock was set by $step:"; break; }
	n=$((n + 1))
done
idle
is 'the clock is set back and forward an hour under load' "$n" 3
check 'the RPO does not take part in that' test "$(agent_says rpo_worst_ms)" -lt 600000
is 'no gap' "$(figure gaps)" 0
is 'nor another session' "$(agent_says connections)" "$connections"
points=$(vaioctl --json replica points g --socket "$WORK/replicad.sock")
is 'the replica has the checkpoints' "$(jq '[.names[] | select(.name | startswith("clock "))] | length' <<<"$points")" 4
is 'their times are in order' "$(jq '[.names | sort_by(.seq)[].time_ns] | . == sort' <<<"$points")" true
check 'and no hour apart' test \
	"$(jq '[.names[] | select(.name | startswith("clock ")).time_ns] | (max - min) / 1e9 | floor' <<<"$points")" -lt 600
read -r marked time < <(point 'name:clock 0')
read -r seq found < <(point "@$((time / 1000000000))")
check "a time finds the last point of its second: $seq" test "$seq" -ge "$marked" -a $((found / 1000000000)) = $((time / 1000000000))
read -r oldest time < <(point oldest)
# What setting the clock took is not in it: ten seconds are enough for that.
ago=$(($(date +%s) - time / 1000000000 - 10))
read -r seq found < <(point "-${ago}s")
is "there is one of $ago seconds ago" "$(point "seq:$seq")" "$seq $found"
check 'which is not older' test "$seq" -ge "$oldest" -a "$found" -ge "$time"
check 'nor newer' test $((found / 1000000000)) -le $(($(date +%s) - ago))
check 'the replica is equal' becomes_equal

# --- the replica of another group hangs

h() { repl-watch -g h "$@"; }
STORE2=$WORK/store2
mkdir "$STORE2"
vaio-replicad --store "$STORE2" --listen 127.0.0.1:7791 --pki "$WORK/pki/server" --socket "$WORK/replicad2.sock" \
	--segment 16MiB --reserve 16MiB >"$WORK/replicad2" 2>&1 &
replicad2_pid=$!
vaioctl group create h ring=64MiB target=localhost:7791 on_loss=stall:60s,track || bail 'another group is made'
repl_device 3 || bail 'it has a device'
dmsetup create d3 --table "$(repl_table 3 group h)" || bail 'it has a disk'
# both N: a little into both groups, at N in h; what g has is durable then
both() {
	local at
	dd if=/dev/urandom of=/dev/mapper/d3 bs=64k count=1 seek=$(($1 % (MIB * 16))) oflag=direct status=none &&
		writes 40 && at=$(figure published) && until_group state = replicating durable '>=' "$at"
}
check 'both groups are replicated' eval 'h agent "$WORK/agent.sock" state replicating 90 && both 0 &&
	h until 120 state = replicating backlog_records = 0'
connections=$(agent_says connections)
worst=$(agent_says rpo_worst_ms)
copied=$(figure resync_bytes)
stop "$replicad2_pid" || bail 'its replica is stopped'
durable=$(h get durable)
behind=0
for ((i = 1; i < 500 && behind < 15000; i++)); do
	both $i || { tell "g, when the replica of h had been stopped for $behind ms:"; break; }
	behind=$(h agent "$WORK/agent.sock" rpo_ms)
done
mine=$(agent_says rpo_ms)
mine_worst=$(agent_says rpo_worst_ms)
check "meanwhile one falls behind: $behind ms" test "$behind" -ge 15000
is 'nothing of it becomes durable' "$(h get durable)" "$durable"
check "the other goes on, $i times: $mine ms" test "$mine" -lt "$behind"
check "its worst RPO does not follow: $worst ms, then $mine_worst" test "$mine_worst" -eq "$worst" -o "$mine_worst" -lt "$behind"
is 'it has no gap' "$(figure gaps)" 0
is 'no other session' "$(agent_says connections)" "$connections"
is 'and no resync' "$(figure resync_bytes)" "$copied"
kill -CONT "$replicad2_pid"
check 'the one whose replica goes on catches up' h until 120 state = replicating backlog_records = 0
check 'and is equal' repl-watch equal "$(echo "$STORE2"/*-*)" /dev/data3
is 'without a gap' "$(h get gaps)" 0
check 'it goes' eval 'dmsetup remove --retry d3 && vaioctl group delete h'
kill "$replicad2_pid"
wait "$replicad2_pid"
rm -rf "$STORE2"

# --- the link is down for longer than the ring lasts

vaioctl group set g on_loss=track
replicad_kill
writes 1 1000000
check 'the ring runs full' until_group state = tracking
writes 100
idle
is 'that is a gap' "$(figure gaps)" 1
dirty=$(figure dirty)
before=$(figure resync_bytes)
is 'the agent waits' "$(agent_says connected)" false
replicad_start
check 'the group becomes whole by itself' until_group state = replicating
check 'and equal' becomes_equal
sent=$(($(figure resync_bytes) - before))
check "only what was dirty is sent: $sent of $dirty bytes" test "$sent" -gt 0 -a "$sent" -le "$dirty" -a "$dirty" -lt $((MIB << 21))
like 'the gap is shown' "$(ask "$WORK/replicad.sock" '{"do": "points", "group": "g"}')" '"kind": *"gap"'
vaioctl group set g on_loss=stall:60s,track
cut_one agent
is 'an agent that is killed then goes on' $? 0

# --- who may not

agent_kill
agent_start --pki "$WORK/pki/stranger"
check "a stranger's certificate is refused" wait_for 60 eval "agent_says error | grep -Eq 'TLS|closed|reset'"
check 'because its CA is another one, so that it shows none' wait_for 60 grep -q 'TLS: Certificate is required' "$WORK/replicad"
is 'nothing of it is replicated' "$(agent_says connected)" false
agent_kill
agent_start
check 'the right one goes on' until_agent_says state replicating
is 'without another gap' "$(figure gaps)" 1

# --- a process that crashes

for ((i = 0; i < 3; i++)); do
	until_agent_says state replicating
	kill -SEGV "$(agent_says pid)"
	until_agent_says crashes $((i + 1))
done
check 'a group whose process dies three times is set aside' until_agent_says state set-aside
like 'it says why' "$(agent_says error)" 'died of signal 11'
kill -HUP "$agent_pid"
check 'until SIGHUP' until_agent_says state replicating

# --- every point

kill "$stamper_pid"
wait "$stamper_pid"
is 'the stamper saw no error' "$(cat "$WORK/stamper")" ''
check 'at last all is equal' becomes_equal
is 'and there is no other gap' "$(figure gaps)" 1
head -c 512 /dev/urandom | dd of=/dev/data1 seek=$((MIB * 2048 - 1)) oflag=direct status=none
check_fails 'and one sector that were not would be seen' "sector $((MIB * 2048 - 1)) is another one" \
	repl-watch equal "$(store_dir)" /dev/data1 /dev/data2
kill "$replicad_pid"
wait "$replicad_pid"
times=$(scaled 20)
out=$(run_oracle --points "$times" --sums)
like 'each point is a prefix of what was written' "$out" '^records [0-9]+ points [0-9]+'
[[ $out == records* ]] || note "$out"
read -r _ records _ points _ _ _ stretches _ _ _ first _ <<<"$out"
note "$(head -n 1 <<<"$out")"
check 'all points since the initial copy' test "$first" -le $((begin + 1)) -a "$points" -gt $((records / 2))
is 'with one gap' "$stretches" 1
read_points=0
while read -r word seq sums; do
	[[ $word == point ]] || continue
	got=
	for n in 1 2; do
		replica_read "d$n" "seq:$seq" "$WORK/read" >"$WORK/why" || { note "$(cat "$WORK/why")"; break 2; }
		read -r sum _ < <(md5sum <"$WORK/read")
		got+=" $sum"
	done
	[[ ${got# } == "$sums" ]] || { note "point $seq:$got, the records: $sums"; break; }
	read_points=$((read_points + 1))
done <<<"$out"
rm -f "$WORK/read"
is 'points read over NBD are what the records say' "$read_points" "$times"

# --- the end

kill "$agent_pid"
wait "$agent_pid"
is 'the agent ends when it is told' $? 0
note "$(sessions) sessions went on; the store took $(du -sm "$STORE" | cut -f1) of $STORE_MIB MiB"
check 'the disks are removed' repl_down
check 'the group is deleted' vaioctl group delete g
repl_unload
done_testing
