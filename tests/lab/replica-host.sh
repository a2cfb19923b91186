#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The primary's host is killed (its virtual machine, with SIGKILL) while a stamper writes, or while what was dirty is
# sent, and boots again with the same disks; replica-primary.sh is what runs there. The replica is not killed: it runs
# here. What the primary had in memory is lost; what its disks had taken is not (that is tests/crash/replication-cut.sh).

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
session=20000

make -s -C "$TREE/tests/lab" || bail 'the test programs are built'
make_pki || bail 'certificates are made'
qemu=(-pidfile "$WORK/pid" -netdev user,id=net -device virtio-net-pci,netdev=net)
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
live() { # LIFE: boots
	local args=() one
	for one in "${qemu[@]}"; do
		args+=(--extra-qemu "$one")
	done
	rm -f "$WORK/pid"
	"$TREE/tools/lab/run" --kernel "$VAIO_KERNEL" --mem 1G --timeout 900 --log "$WORK/kernel.$1" "${args[@]}" -- \
		"$TREE/tests/lab/replica-primary.sh" "$WORK" "$1" "$PORT" >"$WORK/life.$1" 2>&1 &
	lab_pid=$!
}
# said LIFE WORD: prints what follows the word in what the life said
said() { sed -n "s/^$2 \?//p" "$WORK/life.$1"; }
has_said() { grep -q "^$2" "$WORK/life.$1"; }
is_over() { ! kill -0 "$lab_pid" || has_said "$1" "$2"; }
# until_said LIFE WORD
until_said() { wait_for 600 is_over "$1" "$2" && has_said "$1" "$2"; }
tell() { note "life $1:"$'\n'"$(tail -n 30 "$WORK/life.$1")"$'\n'"$(tail -n 5 "$WORK/replicad")"; }

# --- lives

kills=$(scaled 20)
for ((life = 0; life < kills; life++)); do
	live "$life"
	# Every fourth time in the middle of a resync
	what=writing
	[[ $((life % 4)) != 1 ]] || what=resync
	until_said "$life" $what || break
	random 5 30
	sleep "$((REPLY / 10)).$((REPLY % 10))"
	power_cut
	wait "$lab_pid"
	! grep -q complained "$WORK/life.$life" || break
	has_said "$life" failed && break
done
is 'each time replication resumes by itself' "$life" "$kills"
[[ $life == "$kills" ]] || tell "$life"
live last
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

out=$(oracle --seed "$VAIO_SEED" --span $((MIB << 19)) --session $session --points "$(scaled 100)" "$(store_dir)")
like 'each point is a prefix of what was written' "$out" '^records [0-9]+ points [0-9]+'
note "$out"
done_testing
