#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A backing device that dies, is slow, or is full: the guest gets the right
# error, and a second disk's fio sees none of it.
. "$(dirname "$0")/lib.sh"

load_modules
modprobe -a dm-delay dm-thin-pool dm-flakey || bail 'the fault targets load'
mem_disk one 64 || bail 'a device'
mem_disk two 64 || bail 'a second device'
mem_disk meta 8 || bail 'a device for thin metadata'

uuid() { printf '0b8c3b8e-6f0c-4c5e-9a2e-%012d' "$1"; }
# vaio NAME DEVICE N [FILTERS]
vaio() {
	dmsetup create "$1" --table "0 $(blockdev --getsz "$2") vaio $2 0 2 uuid $(uuid "$3") ${4:-1 match 4 pattern deadbeef action count}"
	defer gone "$1"
}
gone() { ! dmsetup info "$1" >/dev/null 2>&1 || dmsetup remove --retry "$1"; }
state() { dmsetup status "$1" | awk '{ print $4 }'; }
# A write of 64 KiB that must reach the device; prints dd's complaint.
put() { dd if=/dev/urandom of="/dev/mapper/$1" bs=64k count=1 seek="${2:-0}" oflag=direct conv=notrunc,fsync status=none; }

# --- a second disk, busy all the time ---------------------------------------
vaio other /dev/two 2
fio --name=other --filename=/dev/mapper/other --rw=randrw --bs=4k-64k --iodepth=8 --ioengine=libaio \
	--direct=1 --verify=crc32c --verify_fatal=1 --time_based --runtime=3600 --size=32M \
	>"$WORK/other.log" 2>&1 &
other=$!
defer pkill -P $$ fio

# --- dying --------------------------------------------------------------------
sectors=$(blockdev --getsz /dev/one)
dmsetup create low --table "0 $sectors linear /dev/one 0" || bail 'a device that can be changed'
defer gone low
become() { dmsetup load low --table "$1" && dmsetup suspend --noflush --nolockfs low && dmsetup resume low; }
vaio guest /dev/mapper/low 1
check 'a write succeeds' put guest
check 'the device begins to fail' become "0 $sectors error"
check_fails 'a write error reaches the guest' 'Input/output error' put guest
check_fails 'a read error too' 'Input/output error' dd if=/dev/mapper/guest of=/dev/null bs=64k count=1 iflag=direct status=none
is 'the disk itself goes on' "$(state guest)" active
check 'a failing disk is suspended and resumed' sh -c 'dmsetup suspend guest && dmsetup resume guest'
failed=$(vaioctl --json disk stats guest | jq '[.. | objects | .failed? // empty | numbers] | add')
check 'failures were counted' test "$failed" -ge 1
check 'the device recovers' become "0 $sectors linear /dev/one 0"
check 'and writes succeed again' put guest

# errors in the middle of load: every one is reported, nothing hangs
check 'the device fails now and then' become "0 $sectors flakey /dev/one 0 1 1 1 error_writes"
fio --name=flaky --filename=/dev/mapper/guest --rw=randwrite --bs=4k --iodepth=16 --ioengine=libaio --direct=1 \
	--size=16M --io_size=64M --continue_on_error=all --time_based --runtime="$(scaled 60)" >"$WORK/flaky.log" 2>&1
check 'load over a flaky device ends' grep -q 'err=' "$WORK/flaky.log"
check 'the device is well' become "0 $sectors linear /dev/one 0"

# --- slow ------------------------------------------------------------------------
check 'the device becomes slow' become "0 $sectors delay /dev/one 0 400"
check 'a slow write is a write' put guest 4
check 'a slow disk is suspended with I/O under way' sh -c '
	dd if=/dev/urandom of=/dev/mapper/guest bs=4k count=8 oflag=direct status=none & dmsetup suspend guest && dmsetup resume guest && wait'
check 'the device is fast again' become "0 $sectors linear /dev/one 0"
dmsetup remove --retry guest || bail 'the disk goes'
dmsetup remove --retry low || bail 'its device goes'

# --- full ---------------------------------------------------------------------------
blkdiscard /dev/one 2>/dev/null; dd if=/dev/zero of=/dev/meta bs=1M count=1 status=none
dmsetup create pool --table "0 65536 thin-pool /dev/meta /dev/one 128 0 1 error_if_no_space" || bail 'a pool'
defer gone pool
dmsetup message pool 0 'create_thin 0'
dmsetup create thin --table "0 262144 thin /dev/mapper/pool 0" || bail 'a thin device'
defer gone thin
vaioctl --verbose --json event monitor >"$WORK/events" 2>"$WORK/listening" &
monitor=$!
wait_for 60 grep -q listening "$WORK/listening" || bail 'the monitor listens'
vaio guest /dev/mapper/thin 1
dd if=/dev/urandom of="$WORK/data" bs=1M count=16 status=none
check 'half of the pool is written' dd if="$WORK/data" of=/dev/mapper/guest bs=1M oflag=direct conv=fsync status=none
check_fails 'writes beyond the pool get ENOSPC' 'No space left' dd if=/dev/zero of=/dev/mapper/guest bs=1M count=64 seek=16 oflag=direct status=none
check 'the disk is degraded' wait_for 60 sh -c "dmsetup status guest | grep -q degraded"
like 'and says why' "$(vaioctl disk show guest)" 'no space on the backing device'
check 'what was acknowledged is all there' cmp -n 16777216 "$WORK/data" /dev/mapper/guest
check 'the pool grows' sh -c "dmsetup load pool --table '0 131072 thin-pool /dev/meta /dev/one 128 0 1 error_if_no_space' && dmsetup suspend pool && dmsetup resume pool"
more() { put guest 300 && [[ $(state guest) == active ]]; }
check 'with space the disk is well again' wait_for 60 more
check 'listeners heard of both' wait_for 60 sh -c "grep degraded -A99 '$WORK/events' | grep -q active"
kill "$monitor"; wait "$monitor" 2>/dev/null

# --- and the other disk ------------------------------------------------------------
check 'the second disk is still at work' kill -0 "$other"
kill -INT "$other"; wait "$other"
like 'and saw no error' "$(cat "$WORK/other.log")" 'err= 0'
done_testing
