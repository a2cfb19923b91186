#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tables and messages: order, round trip, and bad input that changes nothing.

. "$(dirname "$0")/core-lib.sh"

core_modules
load_modules vaio-null || bail 'vaio-null is loaded'
mem_disk a 32
mem_disk b 32
mem_disk k4 32 4096
mem_disk k1 32 1024
zoned=yes
mem_disk zones 32 512 zoned=1 zone_size=4 || zoned=
[[ $zoned || $VAIO_KERNEL == uml ]] || bail 'a zoned device is made'
head -c 4096 /dev/urandom >"$WORK/block"
A=$(uuid 1) B=$(uuid 2)

# --- order and round trip

mapfile -t filters < <(all_probes log yes)
for order in '0 1 2 3 4' '4 3 2 1 0' '2 4 0 3 1'; do
	listed=()
	for i in $order; do listed+=("${filters[i]}"); done
	check "a disk with its filters listed as $order" \
		attached v1 "$(table 65536 /dev/a "$A" "${listed[@]}")"
	log_clear
	write_block v1 "$WORK/block"
	is "writes pass them in class order ($order)" "$(log_now)" 'I> R> C> Q> E> <E <Q <C <R <I'
	log_clear
	read_block v1 >"$WORK/read"
	is "so do reads ($order)" "$(log_now)" 'I> R> C> Q> E> <E <Q <C <R <I'
	check "the data is what was written ($order)" cmp "$WORK/block" "$WORK/read"
	lines+=("$(dmsetup table v1)")
	check "the table can be loaded again ($order)" reload v1 "$(dmsetup table v1)"
	is "and is the same ($order)" "$(dmsetup table v1)" "${lines[-1]}"
	check "it is removed ($order)" dmsetup remove v1
done
is 'the table shows class order, however it was given' "${lines[1]} ${lines[2]}" "${lines[0]} ${lines[0]}"

dmsetup create v1 --table "0 65536 vaio /dev/a 0 6 uuid $A identity a\\b latency on 1 probe-qos 0"
shown=$(dmsetup table v1)
is 'the table is shown as it was given' "$shown" "0 65536 vaio $(stat -L -c %Hr:%Lr /dev/a) 0 6 uuid $A identity a\\b latency on 1 probe-qos 0"
check 'a table with a backslash can be loaded again' reload v1 "$shown"
is 'and is the same again' "$(dmsetup table v1)" "$shown"
like 'status: state, number of slots, and each slot' "$(dmsetup status v1)" \
	'^0 65536 vaio active 1 qos probe-qos started 0 0 0 0$'
like 'only the data device is in the tree' "$(dmsetup deps v1)" '^1 dependencies'
check_fails 'a pass-through ioctl is refused' 'ioctl|SG_IO|fail|rror' \
	python3 -c 'import fcntl,os; fcntl.ioctl(os.open("/dev/mapper/v1", os.O_RDONLY), 0x2285, b"S" + bytes(87))'
dmsetup remove v1

# --- bad tables: nothing may change on the host

dmsetup create live --table "$(table 32768 /dev/b "$B" 'probe-qos' 'probe-cache')"
write_block live "$WORK/block"
world() { dmsetup table; dmsetup status; dmsetup ls; awk '/^(vaio|dm_vaio|null_blk)/ { print $1, $3 }' /proc/modules; }
before=$(world)

# bad NAME REGEX TABLE: create must fail, and the kernel must say why
bad() {
	local said
	dmesg -C
	if dmsetup create bad --table "$3" >/dev/null 2>&1; then
		not_ok "bad table: $1" "was accepted: $3"
		dmsetup remove bad
		return
	fi
	said=$(dmesg | grep -E 'device-mapper: table: ' | head -n1)
	if [[ ! $said =~ $2 ]]; then
		not_ok "bad table: $1" "does not match $2: $said"
	elif [[ $(world) != "$before" ]]; then
		not_ok "bad table: $1" "changed something: $(world)"
	else
		ok "bad table: $1"
	fi
}

h='0 32768 vaio' u="2 uuid $A"
bad 'no words' 'the backing device is missing' "$h"
bad 'no such device' "device '/dev/nope' cannot be opened" "$h /dev/nope 0 $u 0"
bad 'a device that is a file' "device '/etc/passwd' cannot be opened" "$h /etc/passwd 0 $u 0"
if [[ $zoned ]]; then
	like 'a device has zones' "$(<"/sys/block/$(basename "$(readlink -f /dev/zones)")/queue/zoned")" 'host-managed'
	bad 'a zoned device' "device '/dev/zones' is zoned, which is not supported" "$h /dev/zones 0 $u 0"
	dmsetup create zlin --table '0 65536 linear /dev/zones 0'
	before=$(world)
	bad 'a zoned device below another' "device '/dev/mapper/zlin' is zoned, which is not supported" "$h /dev/mapper/zlin 0 $u 0"
	dmsetup remove zlin
	before=$(world)
	check_fails 'vaioctl refuses it too' "'/dev/zones' is a zoned device, which vaio does not take" \
		vaioctl disk attach bad --backing /dev/zones
	is 'and changes nothing' "$(world)" "$before"
else
	skip 'a zoned device' 'this kernel has none'
fi
bad 'no offset' "offset: '' is not a number" "$h /dev/a"
bad 'offset is a word' "offset: 'x' is not a number" "$h /dev/a x $u 0"
bad 'offset below zero' "offset: '-1' is not a number" "$h /dev/a -1 $u 0"
bad 'offset in hexadecimal' "offset: '0x10' is not a number" "$h /dev/a 0x10 $u 0"
bad 'no features' 'number of feature arguments is missing' "$h /dev/a 0"
bad 'features are a word' "number of feature arguments: 'uuid' is not a number" "$h /dev/a 0 uuid $A"
bad 'too many features' "number of feature arguments: '33' is not a number from 0 to 32" "$h /dev/a 0 33 uuid $A"
bad 'features are odd' "'3' is odd" "$h /dev/a 0 3 uuid $A latency 0"
bad 'features are short' '4 feature arguments announced, 3 words left' "$h /dev/a 0 4 uuid $A 0"
bad 'no uuid' "feature 'uuid' is missing" "$h /dev/a 0 0 0"
bad 'uuid is none' "'not-a-uuid' is not a UUID" "$h /dev/a 0 2 uuid not-a-uuid 0"
bad 'uuid with more behind it' "'${A}0' is not a UUID" "$h /dev/a 0 2 uuid ${A}0 0"
bad 'uuid is all zero' 'is not a UUID' "$h /dev/a 0 2 uuid 00000000-0000-0000-0000-000000000000 0"
bad 'uuid twice' "feature 'uuid' is given twice" "$h /dev/a 0 4 uuid $A uuid $A 0"
bad 'unknown feature' "feature 'colour' is not one of uuid, sidecar" "$h /dev/a 0 4 uuid $A colour blue 0"
bad 'cleartext_filters' "'maybe' is not one of deny, allow" "$h /dev/a 0 4 uuid $A cleartext_filters maybe 0"
bad 'latency' "'1' is not one of on, off" "$h /dev/a 0 4 uuid $A latency 1 0"
bad 'takeover' "'no' is not one of yes" "$h /dev/a 0 4 uuid $A takeover no 0"
bad 'lose_dirty_blocks' "'no' is not one of yes" "$h /dev/a 0 4 uuid $A lose_dirty_blocks no 0"
bad 'sidecar twice' "feature 'sidecar' is given twice" "$h /dev/a 0 6 uuid $A sidecar /dev/b sidecar /dev/b 0"
bad 'identity twice' "feature 'identity' is given twice" "$h /dev/a 0 6 uuid $A identity x identity x 0"
bad 'no number of filters' 'number of filters is missing' "$h /dev/a 0 $u"
bad 'number of filters is a word' "number of filters: 'probe-qos' is not a number from 0 to 5" "$h /dev/a 0 $u probe-qos 0"
bad 'too many filters' "number of filters: '6' is not a number from 0 to 5" "$h /dev/a 0 $u 6"
bad 'fewer filters than announced' 'the name of a filter is missing' "$h /dev/a 0 $u 2 probe-qos 0"
bad 'no number of arguments' "number of a filter's arguments is missing" "$h /dev/a 0 $u 1 probe-qos"
bad 'number of arguments is a word' "number of a filter's arguments: 'log' is not" "$h /dev/a 0 $u 1 probe-qos log yes"
bad 'arguments are short' "filter 'probe-qos': 4 arguments announced, 2 words left" "$h /dev/a 0 $u 1 probe-qos 4 log yes"
bad 'arguments are odd' "filter 'probe-qos': 1 words; pairs" "$h /dev/a 0 $u 1 probe-qos 1 log"
bad 'a word too many' "'more': 1 words too many" "$h /dev/a 0 $u 1 probe-qos 0 more"
bad 'unknown filter' "no filter 'nosuch'.*registered: .*probe-qos" "$h /dev/a 0 $u 1 nosuch 0"
bad 'filter with a path for a name' "no filter '../x'" "$h /dev/a 0 $u 1 ../x 0"
bad 'two filters of a class' "filter 'null-cache': class cache is taken by 'probe-cache'" "$h /dev/a 0 $u 2 probe-cache 0 null-cache 0"
bad 'a filter twice' "filter 'probe-qos': class qos is taken by 'probe-qos'" "$h /dev/a 0 $u 2 probe-qos 0 probe-qos 0"
bad 'unknown property' "filter 'probe-qos': colour" "$h /dev/a 0 $u 1 probe-qos 2 colour blue"
bad 'property twice' "filter 'probe-qos': .*log.*twice" "$h /dev/a 0 $u 1 probe-qos 4 log yes log yes"
bad 'wrong value of a property' "filter 'probe-qos': submit_write: 'explode'" "$h /dev/a 0 $u 1 probe-qos 2 submit_write explode"
bad 'property name with a slash' "filter 'probe-qos': " "$h /dev/a 0 $u 1 probe-qos 2 a/b c"
bad 'the second filter is wrong' "filter 'probe-cache': colour" "$h /dev/a 0 $u 2 probe-qos 0 probe-cache 2 colour blue"
bad 'watch of a bench filter' "watch: 'some' is not one of both, none" "$h /dev/a 0 $u 1 null-cache 2 watch some"
bad 'beyond the end' "has 65536 sectors, offset 0 and length 65544 reach beyond" "0 65544 vaio /dev/a 0 $u 0"
bad 'offset beyond the end' 'offset 65536 and length 8 reach beyond' "0 8 vaio /dev/a 65536 $u 0"
bad 'offset that overflows' 'reach beyond' "0 8 vaio /dev/a 18446744073709551608 $u 0"
bad 'offset inside a block' 'must be multiples of 8 sectors' "0 32768 vaio /dev/k4 4 $u 0"
bad 'length inside a block' 'must be multiples of 8 sectors' "0 32764 vaio /dev/k4 0 $u 0"
bad 'blocks of 1024' 'logical blocks of 1024 bytes, accepted are 512 and 4096' "0 32768 vaio /dev/k1 0 $u 0"
bad 'beside another target' 'must appear alone' "0 8 linear /dev/a 0"$'\n'"8 32768 vaio /dev/a 0 $u 0"
bad 'a uuid that is in use' "uuid $B is in use by device 'live'" "$h /dev/a 0 2 uuid $B 0"
bad 'a backing that is in use' "sectors 0\+32768 of device .* are the backing of disk $B" "$h /dev/b 0 $u 0"
bad 'a backing that overlaps' "are the backing of disk $B" "$h /dev/b 16384 $u 0"
bad 'deny without encryption' 'no encryption filter' "$h /dev/a 0 4 uuid $A cleartext_filters deny 0"
words=
for i in {1..260}; do words+=' a b'; done
bad 'more than 512 words' 'too many words' "$h /dev/a 0 $u 1 probe-qos 520$words"

# bad_load: the same for a live disk, which goes on
dmesg -C
check_fails 'a bad table is not loaded over a live one' 'fail' dmsetup load live --table "0 32768 vaio /dev/b 0 2 uuid $B 1 nosuch 0"
like 'and the kernel says why' "$(dmesg)" "device-mapper: table: .*no filter 'nosuch'"
is 'the live disk is as before' "$(world)" "$before"
check 'and works' same_block live "$WORK/block"
check 'next to another range of the same device there is room' \
	dmsetup create beside --table "0 32768 vaio /dev/b 32768 2 uuid $A 0"
check 'it goes again' dmsetup remove beside
dmesg -C
check_fails "another disk's uuid is not loaded over a live one" 'fail' \
	dmsetup load live --table "0 32768 vaio /dev/b 0 2 uuid $A 0"
like 'because the backing is taken' "$(dmesg)" "are the backing of disk $B"

# libdevmapper quotes backslashes, so a quoted blank comes from others only
cat >"$WORK/blank.py" <<'END'
import fcntl, struct, sys
line = sys.argv[1].encode() + bytes(8)
line = line[:len(line) // 8 * 8]
size = 312 + 40 + len(line)
head = struct.pack('=3I3IiIIIQ128s129s7s', 4, 0, 0, size, 312, 1, 0, 0, 0, 0, 0, b'live', b'', b'')
spec = struct.pack('=QQiI16s', 0, 32768, 0, 40 + len(line), b'vaio')
with open('/dev/mapper/control', 'rb+', buffering=0) as control:
    fcntl.ioctl(control, 0xc138fd09, bytearray(head + spec + line))
END
dmesg -C
check_fails 'a word with a quoted blank is refused' 'Invalid argument' \
	python3 "$WORK/blank.py" "/dev/b 0 4 uuid $B identity a\\ b 0"
like 'and the kernel says which' "$(dmesg)" 'device-mapper: table: .*word 7 has a blank in it'
check 'without a blank it loads' python3 "$WORK/blank.py" "/dev/b 0 4 uuid $B identity ab 0"
dmsetup clear live
is 'the live disk is as before all this' "$(world)" "$before"

# --- messages

bad_message() {
	local name=$1 regex=$2 said
	shift 2
	dmesg -C
	if dmsetup message live 0 "$@" >/dev/null 2>&1; then
		not_ok "bad message: $name" "was accepted: $*"
		return
	fi
	said=$(dmesg | grep -E 'device-mapper: vaio: message' | head -n1)
	if [[ ! $said =~ $regex ]]; then
		not_ok "bad message: $name" "does not match $regex: $said"
	elif [[ $(world) != "$before" ]]; then
		not_ok "bad message: $name" "changed something: $(world)"
	else
		ok "bad message: $name"
	fi
}
bad_message 'one word' "'' is not a verb of a filter" hello
bad_message 'unknown verb' "'get' is not a verb of a filter; accepted is: set" probe-qos get log
bad_message 'no value' 'probe-qos set takes a property and a value' probe-qos set log
bad_message 'two values' 'probe-qos set takes a property and a value' probe-qos set log a b
bad_message 'a filter that is not there' "filter 'probe-inspection' is not on disk 'live'; there: probe-cache, probe-qos" probe-inspection set a b
bad_message 'a property that is none' "'colour' cannot be set; what can: release" probe-qos set colour blue
bad_message 'a wrong value' "submit_write: 'explode'" probe-qos set submit_write explode
bad_message 'event alone' 'event <type> <phase>' event
bad_message 'event without a phase' 'event <type> <phase>' event snapshot
bad_message 'unknown event' "event 'party' is not one of vm-start" event party prepare
bad_message 'unknown phase' "phase 'never' is not one of notify, prepare" event snapshot never
bad_message 'commit without a token' "'commit' needs the token" event snapshot commit
bad_message 'commit of token 0' "'commit' needs the token" event snapshot commit 0
bad_message 'abort of a word' "'abort' needs the token" event snapshot abort soon
bad_message 'commit of what was never prepared' 'event snapshot commit: error -2' event snapshot commit 12345
bad_message 'two words of text' "'b': one word of text at most" event vm-start notify a b
bad_message 'an event that only the framework posts' "event 'state' is posted by the framework only" event state notify
bad_message 'prepare of what has none' 'event vm-start prepare: error' event vm-start prepare

check 'a property is set live' dmsetup message live 0 probe-qos set submit_write fail
check_fails 'and works at once' 'rror' write_block live "$WORK/block" 1
check 'and back' dmsetup message live 0 probe-qos set submit_write pass
check 'at once' write_block live "$WORK/block" 1
token=$(dmsetup message live 0 event snapshot prepare)
like 'a prepare answers with its token' "$token" '^[0-9]+$'
check 'its abort is accepted' dmsetup message live 0 event snapshot abort "$token"

dmsetup remove live
rmmod vaio_null
core_unload
done_testing
