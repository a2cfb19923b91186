#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Little memory and no swap, buffers that change while they are written, odd
# alignment of O_DIRECT buffers, a filesystem of the host on a disk.
. "$(dirname "$0")/lib.sh"

load_modules
mem_disk low 96 4096 || bail 'a device'
gone() { ! kill "$1" 2>/dev/null || true; }
uuid=0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49
head -c 64 /dev/urandom | keyctl padd logon vaio:pressure @u >/dev/null || bail 'a key'
table="0 $(blockdev --getsz /dev/low) vaio /dev/low 0 2 uuid $uuid 2 crypt 2 key :64:logon:vaio:pressure match 4 pattern deadbeef action count"
dmsetup create v --table "$table" || bail 'a disk'
defer dmsetup remove --retry v

# A hog leaves the kernel little; the page cache of a filesystem on the disk has
# to be written out through the stack to get any back.
mkfs.ext4 -q /dev/mapper/v && mkdir "$WORK/m" && mount /dev/mapper/v "$WORK/m" || bail 'a filesystem on the disk'
defer unmounted
unmounted() { ! mountpoint -q "$WORK/m" || umount "$WORK/m"; }
free=$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
note "$free MiB available"
stress() {
	fio --name=hog --filename="$WORK/m/f" --rw=randwrite --bs=4k-256k --size=48M --ioengine=psync --numjobs=2 \
		--file_service_type=random --end_fsync=1 --loops="$(scaled 20)" --verify=crc32c --do_verify=0 &&
	fio --name=check --filename="$WORK/m/f" --rw=read --bs=64k --size=48M --ioengine=psync
}
python3 -c "
import mmap, time
hog = mmap.mmap(-1, max(8, $free - 72) << 20)
for at in range(0, len(hog), 4096): hog[at] = 1
print('full', flush=True)
time.sleep(3600)" >"$WORK/hog" 2>&1 &
hog=$!
defer gone "$hog"
check 'memory is short' wait_for 120 grep -q full "$WORK/hog"
check 'writeback through the stack with little memory' stress
kill "$hog" 2>/dev/null; wait "$hog" 2>/dev/null

# The host's own filesystem, while its disk is reloaded and suspended.
fio --name=host --filename="$WORK/m/g" --rw=randwrite --bs=4k-64k --size=16M --ioengine=psync --fsync=8 \
	--verify=crc32c --loops=1000 --time_based --runtime=3600 >"$WORK/host.log" 2>&1 &
fio=$!
defer gone "$fio"
written() { awk '{ print $7 }' "/sys/dev/block/$(stat -Lc %Hr:%Lr /dev/mapper/v)/stat"; }
before=$(written)
has_begun() { [[ $(written) -gt $before ]]; }
check 'a filesystem writes' wait_for 300 has_begun
for i in $(seq "$(scaled 100)"); do
	dmsetup load v --table "$table" && dmsetup suspend v && dmsetup resume v || { not_ok "reload $i under ext4"; break; }
done
check 'the filesystem was at work during all reloads' kill -0 "$fio"
kill -INT "$fio"; wait "$fio"
like 'and saw no error' "$(cat "$WORK/host.log")" 'err= 0'
check 'unmount' umount "$WORK/m"
check 'the filesystem is sound' e2fsck -fn /dev/mapper/v

check 'buffers that change in flight, odd alignment' python3 "$(dirname "$0")/scribble.py" /dev/mapper/v "$(scaled 2000)" "$VAIO_SEED"
done_testing
