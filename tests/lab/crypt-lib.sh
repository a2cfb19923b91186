# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For tests/lab/crypt-*.sh: keys, and disks through the filter and through
# dm-crypt. Source it after lib.sh.

UUID=5f1c4b2e-9d1a-4f6e-8b70-0c2d3e4f5a6b

# A keyring of the script's own, so that no key outlives it.
if [[ -z ${CRYPT_SESSION-} ]]; then
	export CRYPT_SESSION=1
	exec keyctl session - "$0" "$@" 2>/dev/null
fi

# add_key BYTES DESCRIPTION: a new random logon key; its bytes are left in
# $WORK/key.DESCRIPTION.
add_key() {
	local file="$WORK/key.$2"
	head -c "$1" /dev/urandom >"$file"
	keyctl padd logon "$2" @s <"$file" >/dev/null
}

forget_key() { keyctl purge -s logon "$1" >/dev/null; }

sectors_of() { blockdev --getsz "$1"; }

# make_filter NAME DEVICE OFFSET SECTORS [PROPERTY VALUE]...: may be refused
make_filter() {
	local name=$1 device=$2 offset=$3 sectors=$4
	shift 4
	dmsetup create "$name" --table \
		"0 $sectors vaio $device $offset 2 uuid $UUID 1 crypt $# $*"
}

# The same; the script ends if it is refused.
filter_up() { make_filter "$@" || bail "the filter takes the table: $*"; }

# dmcrypt_up NAME DEVICE OFFSET SECTORS IV_OFFSET KEY [OPTION]...
dmcrypt_up() {
	local name=$1 device=$2 offset=$3 sectors=$4 iv=$5 key=$6
	shift 6
	dmsetup create "$name" --table \
		"0 $sectors crypt aes-xts-plain64 $key $iv $device $offset${*:+ $# $*}"
}

down() { dmsetup remove --retry "$1"; }

# put FILE DEVICE BLOCK, same FILE DEVICE BLOCK: in blocks of 4096 bytes
put() { dd if="$1" of="$2" bs=4096 seek="$3" oflag=direct conv=notrunc,nocreat status=none; }
same() {
	local blocks=$((($(stat -c %s "$1") + 4095) / 4096))
	dd if="$2" bs=4096 skip="$3" count="$blocks" iflag=direct status=none | cmp - "$1"
}

# property NAME PROPERTY, counter NAME COUNTER: of the filter on a disk
property() {
	vaioctl --json disk show "$1" |
		jq -r --arg p "$2" 'first(.. | objects | select(.filter == "crypt")) | .properties[$p]'
}
counter() {
	vaioctl --json disk stats "$1" |
		jq -r --arg p "$2" 'first(.. | objects | select(.filter == "crypt")) | .counters[$p]'
}

# refused NAME REGEX PROPERTY VALUE...: the table must be refused, and the
# kernel's log must say why in words that match.
refused() {
	local name=$1 regex=$2 said
	shift 2
	printf 'crypt-test %s\n' "$name" >/dev/kmsg
	if make_filter bad /dev/ours 0 4096 "$@" 2>/dev/null; then
		down bad
		not_ok "$name" "the table was taken: $*"
		return
	fi
	said=$(dmesg | sed "1,/crypt-test $name\$/d" | grep 'device-mapper: table:')
	like "$name" "$said" "$regex"
}

# verify NAME DEVICE ENGINE BLOCKS SIZE [OPTION]...: fio writes, reads, compares
verify() {
	local name=$1 device=$2 engine=$3 blocks=$4 size=$5
	shift 5
	check "$name" fio --name=verify --filename="$device" --ioengine="$engine" --direct=1 \
		--allow_file_create=0 \
		--rw=randwrite --bsrange="$blocks" --size="$size" --iodepth=16 \
		--verify=crc32c --verify_fatal=1 --verify_backlog=64 --randseed="$VAIO_SEED" \
		--group_reporting --output="$WORK/fio" "$@"
}
