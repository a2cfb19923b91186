#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Reloads, suspends, noflush suspends and growth under fio with verify.

. "$(dirname "$0")/core-lib.sh"

core_modules
mem_disk a 64
A=$(uuid 1)
reloads=$(scaled 200)

lines=(
	'probe-qos'
	'probe-qos submit_all defer-paced|probe-cache submit_read defer-ordered delay_ms 1'
	'probe-encryption submit_all sub complete_read defer-async|probe-inspection'
	''
	'probe-inspection|probe-replication submit_write sub|probe-cache|probe-qos enter_all defer-paced delay_ms 2|probe-encryption'
	'probe-cache own_io 98304+4096|probe-encryption watch none'
)
sectors=65536
line() {
	local -a filters=()
	[[ -z ${lines[$1]} ]] || IFS='|' read -ra filters <<<"${lines[$1]}"
	table "$sectors" /dev/a "$A" "${filters[@]}"
}

check 'a disk' dmsetup create v1 --table "$(line 0)"

# load NAME ENGINE OFFSET BSRANGE: fio, again and again until told to stop
load() {
	local runs=0
	until [[ -e $WORK/stop && $runs -gt 0 ]]; do
		fio --name="$1" --filename=/dev/mapper/v1 --direct=1 --rw=randwrite --bsrange="$4" \
			--offset="$3" --size=8M --io_size=8M --verify=crc32c --verify_fatal=1 --ioengine="$2" \
			--iodepth=8 --output-format=terse >"$WORK/$1.out" 2>&1 || { echo "$runs" >"$WORK/$1.failed"; return; }
		runs=$((runs + 1))
	done
	echo "$runs" >"$WORK/$1.runs"
}
load uring io_uring 0 512-1M &
load aio libaio 8M 4k-1M &
load noscatter io_uring 16M 4k-4k &

done_reloads=0
for ((i = 1; i <= reloads; i++)); do
	random 0 $((${#lines[@]} - 1))
	if ((i == reloads / 2)); then
		sectors=131072
	fi
	# own writes go beyond the first half
	[[ $sectors == 131072 || $REPLY != 5 ]] || REPLY=4
	new=$(line "$REPLY")
	case $((i % 4)) in
	0) timeout 300 dmsetup suspend --noflush --nolockfs v1 && reload v1 "$new" ;;
	1) timeout 300 dmsetup suspend v1 && timeout 300 dmsetup resume v1 && reload v1 "$new" ;;
	*) dmsetup load v1 --table "$new" && timeout 300 dmsetup resume v1 ;;
	esac || { not_ok "reload $i" "$new"; break; }
	[[ $(dmsetup table v1) == *" $A "* ]] || { not_ok "table after reload $i"; break; }
	done_reloads=$i
done
touch "$WORK/stop"
wait
is 'reloads, suspends and noflush suspends under load' "$done_reloads" "$reloads"
for name in uring aio noscatter; do
	check "fio $name verified all that it wrote" test -s "$WORK/$name.runs"
	[[ ! -e $WORK/$name.failed ]] || note "$(tail -n5 "$WORK/$name.out")"
done
is 'the disk has grown' "$(blockdev --getsz /dev/mapper/v1)" 131072
check 'its new half can be written' dd if=/dev/zero of=/dev/mapper/v1 bs=1M seek=40 count=4 oflag=direct conv=notrunc status=none
check 'discards pass' blkdiscard -o 33554432 -l 1048576 /dev/mapper/v1
check 'it is removed' timeout 300 dmsetup remove v1
core_unload
done_testing
