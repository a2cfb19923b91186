# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the scripts in tests/lab, which run as root in a booted kernel.
# A script sources this, prints its results with the functions below, and ends
# with done_testing. See Documentation/lab.md.

set -uo pipefail
: "${VAIO_KERNEL:?is not set: run this with tests/run or tools/lab/run}"
: "${VAIO_SEED:=1}" "${VAIO_FULL:=}"
TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$TREE/build/bin:$PATH
WORK=$(mktemp -d "/tmp/${0##*/}.XXXX")
RANDOM=$((VAIO_SEED % 32768))

test_count=0
test_failed=0
cleanups=()

note() { printf '%s\n' "$*" | sed 's/^/# /'; }

ok() {
	test_count=$((test_count + 1))
	printf 'ok %d - %s\n' "$test_count" "$1"
}

# not_ok NAME [TEXT]: TEXT tells what was seen.
not_ok() {
	test_count=$((test_count + 1))
	test_failed=$((test_failed + 1))
	printf 'not ok %d - %s\n' "$test_count" "$1"
	[[ $# -lt 2 ]] || note "$2"
	return 0
}

skip() {
	test_count=$((test_count + 1))
	printf 'ok %d - %s # SKIP %s\n' "$test_count" "$1" "$2"
}

# skip_all WHY: the script has nothing to test here.
skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

# bail WHAT: the script cannot go on. It counts as failed.
bail() {
	not_ok "$1" "the rest of ${0##*/} was not run"
	exit 1
}

# check NAME COMMAND...: COMMAND must succeed.
check() {
	local name=$1 out status=0
	shift
	out=$("$@" 2>&1) || status=$?
	if [[ $status == 0 ]]; then
		ok "$name"
	else
		not_ok "$name" "exit status $status of: $*"$'\n'"$out"
	fi
}

# check_fails NAME REGEX COMMAND...: COMMAND must fail, its output must match.
check_fails() {
	local name=$1 regex=$2 out status=0
	shift 2
	out=$("$@" 2>&1) || status=$?
	if [[ $status == 0 ]]; then
		not_ok "$name" "succeeded: $*"$'\n'"$out"
	elif [[ $status -ge 126 ]]; then
		not_ok "$name" "exit status $status (did not run, or died) of: $*"$'\n'"$out"
	elif [[ $out =~ $regex ]]; then
		ok "$name"
	else
		not_ok "$name" "does not match $regex: $out"
	fi
}

# is NAME GOT WANTED
is() {
	if [[ $2 == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "got:    $2"$'\n'"wanted: $3"
	fi
}

# like NAME TEXT REGEX
like() {
	if [[ $2 =~ $3 ]]; then
		ok "$1"
	else
		not_ok "$1" "does not match $3: $2"
	fi
}

# wait_for SECONDS COMMAND...: polls until COMMAND succeeds; false at the
# deadline, which is generous: it ends a hang, it asserts no speed.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $deadline ]] || return 1
		sleep 0.05
	done
}

# defer COMMAND...: run when the script ends, last one first.
defer() { cleanups+=("$(printf '%q ' "$@")"); }

run_cleanups() {
	local i
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		eval "${cleanups[i]}" >/dev/null 2>&1 || note "cleanup failed: ${cleanups[i]}"
	done
	cleanups=()
	rm -rf "$WORK"
}
trap run_cleanups EXIT
trap 'exit 143' TERM INT

# random LOW HIGH: a number of the seeded sequence. It sets REPLY, because a
# subshell would not advance the sequence.
random() { REPLY=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1))); }

# scaled N: N in a full run, a tenth (at least 1) otherwise.
scaled() { [[ -n $VAIO_FULL ]] && echo "$1" || echo $((($1 + 9) / 10)); }

# mem_disk NAME MIB [SECTOR [ATTRIBUTE=VALUE]...]: makes a null_blk disk that
# keeps its data in memory, removed when the script ends. It is /dev/NAME. Call it
# by itself, not through check: in a subshell it could not register its removal.
mem_disk() {
	local dir=/sys/kernel/config/nullb/$1 attribute
	modprobe null_blk nr_devices=0 || return
	mkdir "$dir" || return
	defer mem_disk_remove "$1"
	echo "$2" >"$dir/size"
	echo "${3:-512}" >"$dir/blocksize"
	echo 1 >"$dir/memory_backed"
	echo 1 >"$dir/discard"
	for attribute in "${@:4}"; do
		echo "${attribute#*=}" >"$dir/${attribute%%=*}" || return
	done
	echo 1 >"$dir/power" || return
	[[ -b /dev/$1 ]] || ln -s "nullb$(<"$dir/index")" "/dev/$1"
}

mem_disk_remove() {
	echo 0 >"/sys/kernel/config/nullb/$1/power"
	rmdir "/sys/kernel/config/nullb/$1"
	[[ ! -L /dev/$1 ]] || rm "/dev/$1"
}

# reseal FILE [COPY BYTE VALUE SIZE]...: copies both superblocks of the sidecar FILE to COPY, with a number set
# and the CRCs made right
reseal() {
	python3 - "$@" <<-'END'
	import struct, sys
	table = []
	for n in range(256):
	    for _ in range(8):
	        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
	    table.append(n)
	def crc32c(data):
	    crc = 0xffffffff
	    for byte in data:
	        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
	    return crc ^ 0xffffffff
	good = open(sys.argv[1], 'rb').read((1 << 20) + 4096)
	for copy, *numbers in zip(*[iter(sys.argv[2:])] * 4):
	    at, value, size = map(int, numbers)
	    with open(copy, 'r+b' if copy == sys.argv[1] else 'wb') as f:
	        for place in 0, 1 << 20:
	            block = bytearray(good[place:place + 4096])
	            block[at:at + size] = value.to_bytes(size, 'little')
	            f.seek(place)
	            f.write(block[:4092] + struct.pack('<I', crc32c(block[:4092])))
	END
}

load_modules() { "$TREE/tools/lab/guest/load-modules" "$@"; }

done_testing() {
	run_cleanups
	printf '1..%d\n' "$test_count"
	[[ $test_failed == 0 && $test_count -gt 0 ]]
	exit
}
