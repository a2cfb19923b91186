#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where a key is, and above all where it is not: a table, a status, a log, an
# argument, and after a wipe nowhere in memory. Reloads do without the keyring.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crypt-lib.sh"

load_modules vaio-crypt dm-vaio || bail 'the modules can be loaded'
mem_disk ours 64
sectors=$(sectors_of /dev/ours)
secret=:64:logon:vaio:secret
key() { "$TREE/tests/lab/key.py" "$@"; }
number_of_keys() { awk '$1 == "0:" { sub("/.*", "", $3); print $3 }' /proc/key-users; }
no_more_keys_than() { [[ $(number_of_keys) -le $1 ]]; }
table() {
	printf '0 %s vaio /dev/ours 0 2 uuid %s 1 crypt %d %s' "$sectors" "$UUID" $# "$*"
}
reload() { dmsetup reload f --table "$(table "$@")"; }

# said_by REGEX COMMAND...: the command must fail, and the kernel say why.
said_by() {
	local regex=$1 mark="keys-test $test_count"
	shift
	printf '%s\n' "$mark" >/dev/kmsg
	if "$@" 2>/dev/null; then
		return 1
	fi
	dmesg | sed "1,/$mark\$/d" | grep -E "$regex"
}

add_key 64 vaio:first
number=$(number_of_keys)
key new "$WORK/secret"
key load "$WORK/secret" vaio:secret || bail 'the key can be added'
head -c 256K /dev/urandom >"$WORK/data"
filter_up f /dev/ours 0 "$sectors" key "$secret"
put "$WORK/data" /dev/mapper/f 0

# All that a curious administrator would look at; searched at the end, for the
# search brings the key into memory.
{
	dmsetup table --showkeys f
	dmsetup status f
	dmsetup info f
	vaioctl --json disk show f
	vaioctl --json disk stats f
	vaioctl disk show f
	cat /proc/*/cmdline /proc/*/environ /proc/keys
	cat /sys/module/vaio*/parameters/*
	dmesg
} >"$WORK/seen" 2>/dev/null
check 'the table can be read, with the key by its description' grep -qaF "key $secret" "$WORK/seen"

# --- memory ----------------------------------------------------------------------

forget_key vaio:secret
check 'the keyring forgets the key' wait_for 60 no_more_keys_than "$number"
[[ $VAIO_KERNEL != uml ]] || "$TREE/tools/lab/uml/dump-mem" before || bail 'the memory is copied'

check 'a wipe is refused while the disk is active' \
	said_by 'key: wiped only while the disk is suspended' dmsetup message f 0 crypt set key wipe
check 'a reload does not need the keyring' reload key "$secret"
check 'nor does its activation' dmsetup resume f
check 'nor one with other words' reload key "$secret" allow_discards 1
dmsetup resume f
check 'the data is still there' same "$WORK/data" /dev/mapper/f 0
check 'another description needs it' \
	said_by "no usable logon key 'vaio:other'" reload key :64:logon:vaio:other
check 'what is refused changes nothing' same "$WORK/data" /dev/mapper/f 0

dmsetup suspend f
check 'nothing but wipe can be set' \
	said_by 'key: the value is not one of wipe' dmsetup message f 0 crypt set key 0011
check 'a suspended disk is wiped' dmsetup message f 0 crypt set key wipe
is 'and says so' "$(property f key_state)" wiped
if [[ $VAIO_KERNEL == uml ]]; then	# whose memory is a file
	"$TREE/tools/lab/uml/dump-mem" after || bail 'the memory is copied'
	key find "$WORK/secret" "$LAB_OUT/before" >"$WORK/before"
	key find "$WORK/secret" "$LAB_OUT/after" >"$WORK/after"
	rm "$LAB_OUT"/{before,after}
	for half in 0 1; do
		check "before the wipe the cipher's round keys are in memory, half $half" \
			grep -q "half $half: round key 14" "$WORK/before"
	done
	is 'after it neither the key nor a round key is' "$(cat "$WORK/after")" ''
fi

check 'a wiped disk does not resume, and says what helps' \
	said_by "filter 'crypt' refuses the table: its key was wiped; put logon key 'vaio:secret' into the keyring" \
	dmsetup resume f
like 'vaioctl says it too' "$(vaioctl disk show f)" "its key was wiped; put logon key 'vaio:secret'"
check 'a table without the key is refused' \
	said_by "no usable logon key 'vaio:secret'" reload key "$secret"
key load "$WORK/secret" vaio:secret
check 'a table with the key is taken' reload key "$secret"
check 'and resumes the disk' dmsetup resume f
check 'the data is there again' same "$WORK/data" /dev/mapper/f 0
is 'the key is set again' "$(property f key_state)" set
down f

# --- where it was not ------------------------------------------------------------

is 'the key is in no table, status, log, argument or dump' "$(key seek "$WORK/secret" "$WORK/seen")" ''
python3 - "$WORK/secret" "$WORK/seen" <<-'END'
	import sys
	key = bytes(b ^ 0xff for b in open(sys.argv[1], 'rb').read())
	with open(sys.argv[2], 'ab') as seen:
	    seen.write(key[16:32].hex().upper().encode())
END
like 'and would have been found' "$(key seek "$WORK/secret" "$WORK/seen")" 'bytes 16 to 31'

done_testing
