#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Flush and FUA reach the backing device in order: whatever was acknowledged as
# durable is found when the power goes out right after, through an empty stack
# and through encryption. dm-log-writes below records what the device got.
. "$(dirname "$0")/../lab/lib.sh"

modprobe vaio exclusive_classes=0 && load_modules && load_modules vaio-probe || bail 'the modules are loaded'
modprobe -a dm-log-writes dm-crypt || bail 'dm-log-writes loads'
mem_disk data 16 || bail 'a device'
mem_disk log 64 || bail 'a device for the log'
here=$(dirname "$0")
count=$(scaled 600)
random 1 1000000; seed=$REPLY
note "seed of the writes: $seed"
key=$(head -c 64 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf '%s' "$key" | python3 -c 'import sys,binascii;sys.stdout.buffer.write(binascii.unhexlify(sys.stdin.read()))' |
	keyctl padd logon vaio:flush @u >/dev/null || bail 'a key'

# written NAME FILTERS: leaves a log of what the device got
written() {
	local sectors
	sectors=$(blockdev --getsz /dev/data)
	dd if=/dev/zero of=/dev/data bs=1M status=none 2>/dev/null
	dmsetup create lw --table "0 $sectors log-writes /dev/data /dev/log" || bail "$1: log-writes"
	dmsetup create v --table "0 $sectors vaio /dev/mapper/lw 0 2 uuid 0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49 $2" || bail "$1: vaio"
	check "$1: writes, flushes and FUA writes" python3 "$here/logwrites.py" write /dev/mapper/v lw "$count" "$seed"
	dmsetup remove --retry v && dmsetup remove --retry lw || bail "$1: removal"
	truncate -s 16M "$WORK/image"
}

# through NAME FILTERS OPEN CLOSE
through() {
	written "$1" "$2"
	check "$1: what was acknowledged is there at each mark" \
		python3 "$here/logwrites.py" verify /dev/log "$WORK/image" "$count" "$seed" "$3" "$4"
	rm "$WORK/image"
}

through 'empty stack' 0 "echo $WORK/image" true
open="d=\$(losetup --find --show $WORK/image) && dmsetup create plain --table \"0 32768 crypt aes-xts-plain64 $key 0 \$d 0\" && echo \$d >$WORK/loop && echo /dev/mapper/plain"
through 'encryption' '2 crypt 2 key :64:logon:vaio:flush match 4 pattern deadbeef action count' \
	"$open" "dmsetup remove --retry plain && losetup -d \$(cat $WORK/loop)"

# A filter that tells lies, to see that they would be found.
written 'a filter that swallows flushes' '1 probe-cache 2 submit_flush complete'
check_fails 'is found out' 'mark flush-[0-9]+: block [0-9]+ has stamp' \
	python3 "$here/logwrites.py" verify /dev/log "$WORK/image" "$count" "$seed" "echo $WORK/image" true
check 'the probes unload' rmmod vaio_probe
done_testing
