#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The encryption filter under load and at its edges: limits, discards, zeroes,
# alignment, memory, and the words of its tables.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crypt-lib.sh"

load_modules vaio-crypt dm-vaio || bail 'the modules can be loaded'
mem_disk ours 64
sectors=$(sectors_of /dev/ours)
add_key 64 vaio:k64
key=:64:logon:vaio:k64
queue() { cat "/sys/block/$(dmsetup info -c --noheadings -o blkdevname f)/queue/$1"; }

# --- words ---------------------------------------------------------------------

refused 'no key' 'key is missing; wanted: key :<bytes>:logon:<description>'
refused 'key bytes in the table' 'keys are taken from the kernel.s keyring only' \
	key 00112233445566778899aabbccddeeff
check_fails 'and they are not in the log' 'no such line' \
	bash -c 'dmesg | grep 00112233445566778899 || { echo no such line; false; }'
refused 'a key of 48 bytes' 'is not one of 32, 64' key :48:logon:vaio:k64
refused 'a key of no size' 'is not one of 32, 64' key ::logon:vaio:k64
refused 'a user key' 'the type in .* is not one of logon' key :64:user:vaio:k64
refused 'a description without a service' "'k64' has no <service>: in front" key :64:logon:k64
refused 'a key that is not there' "no usable logon key 'vaio:none' in the caller's keyrings" \
	key :64:logon:vaio:none
refused 'a key of another size' "'vaio:k64' does not have the 32 bytes" key :32:logon:vaio:k64
head -c 32 /dev/urandom >"$WORK/half"
cat "$WORK/half" "$WORK/half" | keyctl padd logon vaio:halves @s >/dev/null
refused 'halves that are equal' "the halves of the logon key 'vaio:halves' are equal" \
	key :64:logon:vaio:halves
refused 'another cipher' "cipher: 'aes-cbc-essiv:sha256' is not one of aes-xts-plain64" \
	key "$key" cipher aes-cbc-essiv:sha256
refused 'another sector size' "sector_size: '2048' is not one of 512, 4096" \
	key "$key" sector_size 2048
refused 'an iv_offset that is no number' "iv_offset: '-1' is not a number of 512-byte sectors" \
	key "$key" iv_offset -1
refused 'an iv_offset inside a sector' 'iv_offset: 4 is not a multiple of 8' \
	key "$key" sector_size 4096 iv_offset 4
refused 'iv_large_sectors yes' "iv_large_sectors: 'yes' is not one of 0, 1" \
	key "$key" iv_large_sectors yes
refused 'allow_discards 2' "allow_discards: '2' is not one of 0, 1" key "$key" allow_discards 2
refused 'an unknown word' "unknown property 'sectorsize'; accepted: cipher, key, sector_size" \
	key "$key" sectorsize 512

# --- limits ----------------------------------------------------------------------

filter_up f /dev/ours 0 "$sectors" key "$key" sector_size 4096
is 'sectors of 4096 are its logical blocks' "$(queue logical_block_size)" 4096
shown() { vaioctl --json disk show f | jq 'first(.. | objects | .block_size // empty)'; }
is 'and vaioctl shows them' "$(shown)" 4096
check 'a table with smaller ones is loaded' dmsetup load f --table "0 $sectors vaio /dev/ours 0 2 uuid $UUID 1 crypt 2 key $key"
check 'and live' dmsetup resume f
is 'and its blocks are shown' "$(shown)" "$(queue logical_block_size)"
down f
filter_up f /dev/ours 0 "$sectors" key "$key" sector_size 4096
check_fails 'smaller requests are refused' 'Invalid argument' \
	dd if=/dev/zero of=/dev/mapper/f bs=512 count=1 oflag=direct,dsync conv=nocreat
is 'discards are off' "$(queue discard_max_bytes)" 0
is 'write-zeroes is off' "$(queue write_zeroes_max_bytes)" 0
like 'the accelerated cipher is the one in use' "$(property f driver)" '^xts-aes-(aesni|vaes)'
is 'the key is shown by its description' "$(property f key)" "$key"

head -c 64K /dev/urandom >"$WORK/data"
put "$WORK/data" /dev/mapper/f 0
sync
cp /dev/ours "$WORK/before"
check_fails 'a discard is refused' 'Operation not supported' \
	blkdiscard --offset 0 --length 64K /dev/mapper/f
check 'and changed nothing' cmp "$WORK/before" /dev/ours
check 'zeroes can be written' blkdiscard --zeroout --offset 0 --length 64K /dev/mapper/f
check 'and are read' bash -c 'head -c 64K /dev/mapper/f | cmp - <(head -c 64K /dev/zero)'
check_fails 'and are not zeroes on the device' differ \
	bash -c 'head -c 64K /dev/ours | cmp - <(head -c 64K /dev/zero)'
down f

filter_up f /dev/ours 0 "$sectors" key "$key" allow_discards 1
check 'a discard passes when it is allowed' \
	blkdiscard --offset 0 --length 1M /dev/mapper/f
check 'and reaches the device' bash -c 'head -c 1M /dev/ours | cmp - <(head -c 1M /dev/zero)'
is 'sectors of 512 stay the logical blocks' "$(queue logical_block_size)" 512
down f

# --- load -------------------------------------------------------------------------

size=$(scaled 80)M
for sector in 512 4096; do
	filter_up f /dev/ours 0 "$sectors" key "$key" sector_size $sector allow_discards 1
	verify "fio verifies: libaio, sectors of $sector" /dev/mapper/f libaio $sector-1m "$size" \
		--bs_unaligned=0 --blockalign=$sector
	verify "fio verifies: io_uring, sectors of $sector, trims" /dev/mapper/f io_uring \
		$sector-64k "$size" --blockalign=$sector --rw=randtrimwrite --verify_backlog=1
	verify "fio verifies: page cache, sectors of $sector" /dev/mapper/f psync \
		4k-128k "$size" --direct=0 --fsync=32
	like "fio's writes went inline, sectors of $sector" "$(counter f inline_writes)" '^[1-9]'
	down f
done

# Without pages from the host all writes go through the slot's reserve; a slow
# device keeps more of them in flight than the stash of pages holds.
modprobe dm-delay
dmsetup create slow --table "0 $sectors delay /dev/ours 0 5"
echo 1 >/sys/module/vaio_crypt/parameters/max_pages
filter_up f /dev/mapper/slow 0 "$sectors" key "$key"
verify 'fio verifies: the host gives no pages' /dev/mapper/f libaio 128k-1m "$size" --iodepth=128
like 'and writes did wait for the reserve' "$(counter f waited_writes)" '^[1-9]'
down f
down slow
echo 100000 >/sys/module/vaio_crypt/parameters/max_pages

# A device that completes in hard interrupts, where ciphers do not work.
modprobe null_blk nr_devices=0
nullb=/sys/kernel/config/nullb/hard
mkdir $nullb
echo 64 >$nullb/size
echo 1 >$nullb/memory_backed
echo 2 >$nullb/irqmode
echo 1 >$nullb/power
[[ -b /dev/hard ]] || ln -s "nullb$(<$nullb/index)" /dev/hard
filter_up f /dev/hard 0 "$sectors" key "$key"
verify 'fio verifies: completions in hard interrupts' /dev/mapper/f libaio 512-128k "$size" \
	--blockalign=512
like 'and reads went to the worker' "$(counter f queued_reads)" '^[1-9]'
down f
mem_disk_remove hard

# --- a failing device -------------------------------------------------------------

modprobe dm-flakey
dmsetup create flaky --table "0 $sectors flakey /dev/ours 0 0 1000"
filter_up f /dev/mapper/flaky 0 "$sectors" key "$key"
check_fails 'a read error is a read error' 'Input/output error' \
	dd if=/dev/mapper/f of=/dev/null bs=4096 count=1 iflag=direct
dmsetup suspend flaky
dmsetup reload flaky --table "0 $sectors flakey /dev/ours 0 0 1000 1 error_writes"
dmsetup resume flaky
check_fails 'a write error is a write error' 'Input/output error' \
	dd if="$WORK/data" of=/dev/mapper/f bs=4096 count=1 oflag=direct conv=nocreat
down f
down flaky

done_testing
