#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The sample filter: counts and fails writes that have a pattern; and the filters
# of the bench let everything pass.

. "$(dirname "$0")/lib.sh"

UUID=7d9f1f64-2f0e-4c55-9d6e-3a5a2c1b0f4e
load_modules vaio-sample dm-vaio || bail 'the modules can be loaded'
mem_disk data 16
sectors=$(blockdev --getsz /dev/data)
up() { dmsetup create m --table "0 $sectors vaio /dev/data 0 2 uuid $UUID 1 match $# $*"; }
down() { dmsetup remove --retry m; }
set_live() { dmsetup message m 0 match set "$@"; }
of_match() { jq -r "first(.. | objects | select(.filter == \"match\")) | $1"; }
counter() { vaioctl --json disk stats m | of_match ".counters.$1"; }
property() { vaioctl --json disk show m | of_match ".properties.$1"; }
put() { dd of=/dev/mapper/m bs=4096 seek="$1" iflag=fullblock oflag=direct conv=nocreat,notrunc status=none; }
block() { head -c "${1:-0}" /dev/zero; printf '\xde\xad\xbe\xef'; head -c $((4096 - ${1:-0} - 4)) /dev/zero; }
clean() { head -c 4096 /dev/zero; }
blocks_same() { cmp <(dd if=/dev/data bs=4096 skip="$1" count=1 iflag=direct status=none) "$2"; }

# refused NAME REGEX WORD...
refused() {
	local name=$1 regex=$2 said
	shift 2
	printf 'match-test %s\n' "$name" >/dev/kmsg
	if up "$@" 2>/dev/null; then
		down
		not_ok "$name" "the table was taken: $*"
		return
	fi
	said=$(dmesg | sed "1,/match-test $name\$/d" | grep 'device-mapper: table:')
	like "$name" "$said" "$regex"
}

refused 'no pattern' 'pattern is missing; wanted: pattern <2 to 128 hexadecimal digits>' action count
refused 'half a byte' "pattern: 'abc' is not 2 to 128 hexadecimal digits" pattern abc
refused 'no digits' "pattern: 'zz' is not 2 to 128 hexadecimal digits" pattern zz
refused 'too long' 'is not 2 to 128 hexadecimal digits' pattern "$(printf 'ab%.0s' {1..65})"
refused 'another action' "action: 'delete' is not one of count, fail" pattern ab action delete
refused 'another status' "status: 'eio' is not one of io, nospc" pattern ab status eio
refused 'a place outside' "where: '510' is not one of any, or 0 to 508" pattern deadbeef where 510
refused 'an unknown word' "unknown property 'patern'; accepted: pattern, where, action, status" patern ab

up pattern deadbeef || bail 'a disk is made'
block 100 | put 1
block 4092 | put 2
clean | put 3
{ head -c 4094 /dev/zero; printf '\xde\xad\xbe\xef'; head -c 4094 /dev/zero; } |
	dd of=/dev/mapper/m bs=8192 count=1 seek=4 iflag=fullblock oflag=direct conv=nocreat,notrunc status=none
is 'writes are searched' "$(counter searched)" 4
is 'those with the pattern are counted' "$(counter matched)" 3
dd if=/dev/mapper/m of=/dev/null bs=4096 count=4 iflag=direct status=none
is 'reads are not searched' "$(counter searched)" 4
block 100 >"$WORK/block"
check 'counted writes reach the device' blocks_same 1 "$WORK/block"

check 'the action can be changed live' set_live action fail
is 'and is shown' "$(property action)" fail
check_fails 'a write with the pattern fails' 'Input/output error' bash -c \
	"$(declare -f block put); block 7 | put 3"
clean >"$WORK/clean"
check 'and does not reach the device' blocks_same 3 "$WORK/clean"
check 'others pass' put 5 <"$WORK/clean"
dmsetup suspend m && dmsetup resume m
is 'a plain suspend leaves the action' "$(property action)" fail
check_fails 'other properties cannot be set live' '' set_live pattern 00
check_fails 'nor other actions' '' set_live action delete
is 'which changed nothing' "$(property action),$(property pattern)" fail,deadbeef
down

up pattern deadbeef where 8 action fail status nospc
check_fails 'status nospc is no space' 'No space left on device' bash -c \
	"$(declare -f block put); block 520 | put 1"
check 'elsewhere in a block it passes' bash -c "$(declare -f block put); block 521 | put 1"
down

rmmod vaio-sample
load_modules vaio-null
words='watch both'
for words in 'watch both' 'watch none'; do
	dmsetup create m --table "0 $sectors vaio /dev/data 0 2 uuid $UUID 4 null-qos 2 $words \
		null-cache 2 $words null-replication 2 $words null-inspection 2 $words"
	check "null filters, $words: fio verifies" fio --name=verify --filename=/dev/mapper/m \
		--allow_file_create=0 --ioengine=libaio --direct=1 --rw=randwrite --bsrange=512-128k \
		--blockalign=512 --size=4M --iodepth=8 --verify=crc32c --verify_fatal=1
	check "null filters, $words: discards pass" blkdiscard --length 1M /dev/mapper/m
	down
done
rmmod dm-vaio vaio-null

done_testing
