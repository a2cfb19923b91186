#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A cipher that is really asynchronous, in all the ways that the crypto API
# allows: the data is right, errors arrive, suspends wait for what is under way.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crypt-lib.sh"

load_modules vaio-crypt dm-vaio || bail 'the modules can be loaded'
mem_disk ours 64
sectors=$(sectors_of /dev/ours)
add_key 64 vaio:k64
key=:64:logon:vaio:k64
head -c 2M /dev/urandom >"$WORK/data"
fail_every=/sys/module/vaio_slow_xts/parameters/fail_every

# With the usual cipher first: what the slow one must find and make.
filter_up f /dev/ours 0 "$sectors" key "$key"
put "$WORK/data" /dev/mapper/f 100
down f
load_modules vaio-slow-xts || bail 'the asynchronous cipher can be loaded'
filter_up f /dev/ours 0 "$sectors" key "$key"
is 'the asynchronous cipher is the one in use' "$(property f driver)" xts-aes-slow
check 'it reads what the usual cipher wrote' same "$WORK/data" /dev/mapper/f 100
put "$WORK/data" /dev/mapper/f 12800	# behind what fio writes
like 'and it was asynchronous' "$(counter f async)" '^[1-9]'
down f

size=$(scaled 40)M
for sector in 512 4096; do
	filter_up f /dev/ours 0 "$sectors" key "$key" sector_size $sector
	verify "fio verifies: libaio, sectors of $sector" /dev/mapper/f libaio \
		$sector-256k "$size" --blockalign=$sector
	verify "fio verifies: page cache, sectors of $sector" /dev/mapper/f psync \
		4k-128k "$size" --direct=0 --fsync=32
	down f
done

# Suspends and reloads with conversions under way.
filter_up f /dev/ours 0 "$sectors" key "$key"
fio --name=verify --filename=/dev/mapper/f --ioengine=libaio --direct=1 --allow_file_create=0 \
	--rw=randwrite --bsrange=4k-64k --size="$size" --loops=3 --iodepth=16 --verify=crc32c \
	--verify_fatal=1 --verify_backlog=64 --randseed="$VAIO_SEED" --output="$WORK/fio" &
fio=$!
count=$(scaled 100)
for ((i = 0; i < count; i++)); do
	options=()
	((i % 2 == 0)) || options=(--noflush)
	dmsetup suspend "${options[@]}" f || break
	dmsetup reload f --table "$(dmsetup table f)" || break
	dmsetup resume f || break
done
is 'suspends and reloads under load succeed' "$i" "$count"
wait "$fio"
is 'and what fio wrote meanwhile it reads' $? 0

# Errors of the cipher are errors of the request, and of no other.
echo 3 >$fail_every
check_fails 'a write that could not be encrypted fails' 'Input/output error' \
	dd if="$WORK/data" of=/dev/mapper/f bs=64k count=1 oflag=direct conv=nocreat
check_fails 'a read that could not be decrypted fails' 'Input/output error' \
	dd if=/dev/mapper/f of=/dev/null bs=64k count=1 iflag=direct
echo 0 >$fail_every
put "$WORK/data" /dev/mapper/f 0
check 'afterwards all is well' same "$WORK/data" /dev/mapper/f 0
down f
rmmod vaio-crypt 2>/dev/null || rmmod dm-vaio vaio-crypt
rmmod vaio-slow-xts

load_modules vaio-crypt dm-vaio
filter_up f /dev/ours 0 "$sectors" key "$key"
check 'the usual cipher reads what the slow one wrote' same "$WORK/data" /dev/mapper/f 12800
down f

done_testing
