#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The primary's host is killed (its virtual machine, with SIGKILL) while a stamper writes without a pause, or while what
# was dirty is sent and it writes, and boots again with the same disks; replica-primary.sh is what runs there. The
# replica is not killed: it runs here. What the primary had in memory is lost; what its disks had taken is not (that is
# tests/crash/replication-cut.sh).
# The ledger of what was acknowledged is memory of the machine that is a file here: each store of the guest's processor is
# in it at once and stays when the machine goes, so nothing is noted before it was acknowledged, and nothing is lost on
# the way.

export VAIO_KERNEL=${VAIO_KERNEL:-6.12}
MIB=${VAIO_FULL:+64}
MIB=${MIB:-32}
. "$(dirname "$0")/replica-lib.sh"

# In the tree, where the other side sees it
rmdir "$WORK"
mkdir -p "$TREE/build"
WORK=$(mktemp -d "$TREE/build/replica-host.XXXX")
STORE=$WORK/store
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
session=2000

make -s -C "$TREE/tests/lab" || bail 'the test programs are built'
make_pki || bail 'certificates are made'
qemu=(-pidfile "$WORK/pid" -netdev user,id=net -device virtio-net-pci,netdev=net
	-object "memory-backend-file,id=ledger,size=1M,share=on,mem-path=$WORK/ledger" -device ivshmem-plain,memdev=ledger)
for image in data1 data2 side1 side2 state; do
	size=4
	[[ $image != data* ]] || size=$MIB
	[[ $image != state ]] || size=16
	truncate -s "${size}M" "$WORK/$image"
	qemu+=(-drive "if=none,id=$image,file=$WORK/$image,format=raw,cache=writeback,discard=unmap"
		-device "virtio-blk-pci,drive=$image,serial=$image")
done
head -c "$((MIB / 2))M" /dev/urandom >"$WORK/random"
dd if="$WORK/random" of="$WORK/data1" conv=notrunc bs=1M seek=$((MIB / 2)) status=none
replicad_start
defer replicad_kill

lab_pid=
power_cut() { kill -9 "$(<"$WORK/pid")"; rm "$WORK/pid"; }
defer eval '[[ ! -e $WORK/pid ]] || power_cut'
live() { # LIFE MODE [BYTES]: boots; writes when it is replicated, or when so much of its resync was sent
	local args=() one
	for one in "${qemu[@]}"; do
		args+=(--extra-qemu "$one")
	done
	rm -f "$WORK/pid" "$WORK/ledger"
	truncate -s 1M "$WORK/ledger"
	"$TREE/tools/lab/run" --kernel "$VAIO_KERNEL" --mem 1G --timeout 900 --log "$WORK/kernel.$1" "${args[@]}" -- \
		"$TREE/tests/lab/replica-primary.sh" "$WORK" "$1" "$PORT" "$2" $((life * session)) "${3-}" >"$WORK/life.$1" 2>&1 &
	lab_pid=$!
}
# said LIFE WORD: prints what follows the word in what the life said
said() { sed -n "s/^$2 \?//p" "$WORK/life.$1"; }
has_said() { grep -q "^$2" "$WORK/life.$1"; }
is_over() { ! kill -0 "$lab_pid" || has_said "$1" "$2"; }
# until_said LIFE WORD
until_said() { wait_for 600 is_over "$1" "$2" && has_said "$1" "$2"; }
tell() { note "life $1:"$'\n'"$(tail -n 30 "$WORK/life.$1")"$'\n'"$(tail -n 5 "$WORK/replicad")"; }

run_oracle() { # [OPTION...]
	oracle --seed "$VAIO_SEED" --span $((MIB << 19)) --session $session "$@" "$(store_dir)"
}

# --- lives

kills=$(scaled 20)
looked=0 missed=0 idle=0
for ((life = 0; life < kills; life++)); do
	# Every second one is in sync mode, and killed when the ledger is of use. Of the others every second one is killed
	# in its resync, which it did not end; some of these are in sync mode too.
	mode=async resync='' first='' high=1000
	random 0 1
	if ((life % 2 == 0)); then
		mode=sync
		[[ $REPLY == 0 ]] || first=replica
	elif ((life % 4 == 1)); then
		((life % 8 == 1)) || mode=sync
		random 0 $((MIB << 16))
		resync=$REPLY high=300
	fi
	live "$life" $mode "$resync"
	until_said "$life" writing || break
	random 100 $high
	repl-watch begun "$WORK/ledger" "$REPLY" 120 >"$WORK/why" || { note "$(<"$WORK/why")"; break; }
	# Either all goes on until the machine does not; or the replica stands still first, so that nothing can come to it
	# that was acknowledged before.
	[[ -z $first ]] || stop "$replicad_pid" || break
	power_cut
	wait "$lab_pid"
	busy=$(repl-watch busy "$WORK/ledger")
	((busy > 0)) || idle=$((idle + 1))
	out=
	if [[ $mode == sync && -z $resync ]]; then
		[[ -n $first ]] || stop "$replicad_pid" || break
		looked=$((looked + 1))
		out=$(run_oracle --ledger "$WORK/ledger") || missed=$((missed + 1))
		kill -CONT "$replicad_pid"
	fi
	note "life $life, $mode${resync:+, in a resync}: $busy of 32 under way${first:+, the $first stopped}: $out"
	! grep -q complained "$WORK/life.$life" || break
	has_said "$life" failed && break
done
is 'each time replication resumes by itself' "$life" "$kills"
[[ $life == "$kills" ]] || tell "$life"
is 'it was killed while writes were under way' "$idle" 0
is 'all is there that was acknowledged in sync mode' "$missed of $looked" "0 of $((kills / 2))"
live last async
check 'the last one too' until_said last ended
wait "$lab_pid"
is 'it ends in order' $? 0
has_said last ended || tell last

# --- what was sent

bad=0 counted=0
for life in $(seq 1 $((kills - 1))) last; do
	dirty=$(said "$life" dirty) sent=$(said "$life" sent)
	[[ -n $sent ]] || continue
	# cut in a resync that was at its end: nothing was dirty after it
	((sent + dirty > 0)) || continue
	counted=$((counted + 1))
	note "life $life: $sent bytes sent, $dirty dirty, $((2 * MIB << 20)) on the disks"
	# the stamper writes to the first half of the disks
	((sent > 0 && sent <= dirty && dirty <= MIB << 20)) || bad=$((bad + 1))
done
check 'some were looked at' test "$counted" -ge $((kills / 2))
is 'only what was dirty is sent' "$bad" 0

# --- equal

kill "$replicad_pid"
wait "$replicad_pid"
equal=0 points=0
for life in $(seq 0 $((kills - 1))) last; do
	sums=$(said "$life" sums)
	[[ -n $sums ]] || continue
	points=$((points + 1))
	for n in 1 2; do
		replica_read "d$n" "name:life-$life" "$WORK/read$n" >"$WORK/why" || note "$(<"$WORK/why")"
	done
	got=$(md5sum "$WORK/read1" "$WORK/read2" | cut -d' ' -f1 | paste -sd' ')
	[[ $got == "$sums" ]] && equal=$((equal + 1)) || note "life $life: $sums, the replica: $got"
done
check 'points were read' test "$points" -ge $((kills / 2))
is 'each time the replica became equal to the disks' "$equal" "$points"
check 'and is so at last' eval 'replica_read d1 latest "$WORK/read1" && cmp "$WORK/read1" "$WORK/data1" &&
	replica_read d2 latest "$WORK/read2" && cmp "$WORK/read2" "$WORK/data2"'

# --- every point

out=$(run_oracle --points "$(scaled 100)")
like 'each point is a prefix of what was written' "$out" '^records [0-9]+ points [0-9]+'
note "$out"
done_testing
