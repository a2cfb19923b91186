#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The command line of vaioctl: bad words are refused with a message that names
# them and what is accepted, and nothing is left behind. Needs no module.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ctl=$top/build/san/bin/vaioctl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# shellcheck source=result.sh
source "$top/tests/unit/result.sh"

# refuse EXIT WORDS ARGUMENT...: ends with that code, says the words on stderr
# in one line that begins with "vaioctl: ", prints nothing on stdout.
refuse() {
	local want=$1 words=$2 status=0 bad=0
	shift 2
	"$ctl" "$@" >out 2>err </dev/null || status=$?
	[[ $status == "$want" && ! -s out && $(wc -l <err) == 1 && $(<err) == "vaioctl: "* ]] || bad=1
	grep -qF -- "$words" err || bad=1
	words="refused: ${*:-nothing} ($words)"
	result $bad "${words//[^ -~]/?}" "status $status, wanted $want: $(cat out err)"
}

accept() {	# WORDS ARGUMENT...
	local words=$1 status=0 bad=0
	shift
	"$ctl" "$@" >out 2>err </dev/null || status=$?
	[[ $status == 0 ]] && grep -qF -- "$words" out || bad=1
	result $bad "accepted: $* ($words)" "status $status: $(cat out err)"
}

truncate -s 8M raw.img odd.img
truncate -s 1000 odd.img
qemu-img create -q -f qcow2 disk.qcow2 8M
qemu-img create -q -f vmdk disk.vmdk 8M
qemu-img create -q -f vhdx disk.vhdx 8M
printf 'secret' >key
head -c 33 /dev/urandom >key33
mkfifo fifo
find . -printf '%p %s %i\n' | grep -v ' ./\(out\|err\)' | sort >before

# Nouns and verbs.
refuse 2 "a noun is missing: accepted are filter, disk, domain, event, group, replica, sidecar, top"
refuse 2 "'disks' is unknown, did you mean disk?" disks
refuse 2 "accepted are filter, disk, domain, event" zzz
refuse 2 "disk: a verb is missing: accepted are list, show, attach" disk
refuse 2 "'lst' is unknown, did you mean list?" disk lst
refuse 2 "domain: 'sett' is unknown, did you mean set?" domain sett
refuse 2 "domain set: operands are missing: accepted are DOMAIN" domain set --capacity 5
refuse 2 "domain set: nothing to set: accepted are --capacity, --capacity-bytes, --threshold" domain set sda
refuse 2 "domain set: --capacity: none, or I/Os a second: '5k' is not a number from 1 to" domain set sda --capacity 5k
refuse 2 "'0' is not a number from 1 to" domain set sda --capacity 0
refuse 2 "--capacity-bytes: none, or bytes a second: '200' lacks a unit" domain set sda --capacity-bytes 200
refuse 2 "--capacity-bytes: '5TiB' is not none, or 1B to 4TiB" domain set sda --capacity-bytes 5TiB
refuse 2 "--threshold: auto, or a latency: '5' lacks a unit: accepted are us, ms, s" domain set sda --threshold 5
refuse 2 "--threshold: '11s' is not auto, or 1us to 10s" domain set sda --threshold 11s
refuse 2 "disk: 'frobnicate' is unknown: accepted are list, show, attach, detach" disk frobnicate
refuse 2 "option '--what' is unknown: accepted before the noun are --json, --verbose, --help, --version" --what
refuse 2 "filter: 'show' is unknown: accepted are list" filter show

# Options and operands.
refuse 2 "'x' is one operand too many: accepted are none" disk list x
refuse 2 "operands are missing: accepted are NAME" disk show
refuse 2 "operands are missing" disk attach
refuse 2 "option '--backin' is unknown, did you mean --backing?" disk attach vm1 --backin raw.img
refuse 2 "option '-x' is unknown" disk attach vm1 -x
refuse 2 "option '-x1' is unknown" disk attach vm1 -x1
# A minus and a digit: no option, but a point in time.
refuse 2 "'-10min' is one operand too many" disk attach vm1 -10min
refuse 3 "none.sock: No such file or directory: does vaio-replicad run here?" replica show vm1 -10min --socket none.sock
digits=$(for noun in $("$ctl" __complete | grep -v '^-'); do
	"$ctl" __complete "$noun"
	for verb in $("$ctl" __complete "$noun" | grep -v '^-'); do "$ctl" __complete "$noun" "$verb"; done
done | grep -E '^--?[0-9]' | sort -u)
result "$([[ $digits == -10min ]]; echo $?)" "no option begins with a digit" "$digits"
refuse 2 "--backing lacks its value" disk attach vm1 --backing
refuse 2 "--luks takes no value, 'yes' was given" disk attach vm1 --luks=yes
refuse 2 "--backing is given twice" disk attach vm1 --backing raw.img --backing raw.img
refuse 2 "--backing is missing" disk attach vm1
refuse 2 "accepted as name" disk attach 'a/b' --backing raw.img
refuse 2 "accepted as name" disk attach 'a b' --backing raw.img
refuse 2 "accepted as name" disk attach --backing raw.img -- --x
refuse 2 "not a UUID" disk attach vm1 --backing raw.img --uuid 1234
refuse 2 "the nil UUID" disk attach vm1 --backing raw.img --uuid 00000000-0000-0000-0000-000000000000
refuse 2 "--offset: '1024' lacks a unit" disk attach vm1 --backing raw.img --offset 1024
refuse 2 "'MB' is unknown: accepted are B, KiB" disk attach vm1 --backing raw.img --size 1MB
refuse 2 "--size '0B'" disk attach vm1 --backing raw.img --size 0B
refuse 2 "not a multiple of 512" disk attach vm1 --backing raw.img --offset 100B
refuse 2 "--block-size '1024': accepted are 512, 4096" disk attach vm1 --backing raw.img --block-size 1024
refuse 2 "--format 'qcow2': accepted are raw" disk attach vm1 --backing raw.img --format qcow2
refuse 2 "--cleartext-filters 'maybe': accepted are allow, deny" disk attach vm1 --backing raw.img --cleartext-filters maybe

# Filters.
refuse 2 "'pattern' is not of the form property=value" disk attach vm1 --backing raw.img --filter match,pattern
refuse 2 "filter 'match' is given twice" disk attach vm1 --backing raw.img --filter match --filter match
refuse 2 "property 'pattern' is given twice" disk attach vm1 --backing raw.img --filter match,pattern=aa,pattern=bb
refuse 2 "filter 'ma tch'" disk attach vm1 --backing raw.img --filter 'ma tch'
refuse 2 "property 'pattern': a value has" disk attach vm1 --backing raw.img --filter 'match,pattern=a b'
refuse 2 "filter ''" disk attach vm1 --backing raw.img --filter ''

# Encryption.
refuse 2 "--key-file: needs --luks or --plain" disk attach vm1 --backing raw.img --key-file key
refuse 2 "--luks and --plain exclude each other" disk attach vm1 --backing raw.img --luks --plain --key-file key
refuse 2 "--key-file and --token exclude each other" disk attach vm1 --backing raw.img --luks --key-file key --token
refuse 2 "--plain: needs --key-file" disk attach vm1 --backing raw.img --plain
refuse 2 "--sector-size '1024': accepted are 512, 4096" disk attach vm1 --backing raw.img --plain --key-file key --sector-size 1024
refuse 2 "--sector-size: comes from the LUKS2 header" disk attach vm1 --backing raw.img --luks --key-file key --sector-size 4096
refuse 2 "key, iv_offset and sector_size come from" disk attach vm1 --backing raw.img --filter crypt,key=:64:logon:a:b
refuse 2 "--as-is and encryption exclude each other" disk attach vm1 --backing raw.img --luks --as-is
refuse 2 "--passphrase-fd: 'x' is not a number" disk attach vm1 --backing raw.img --luks --passphrase-fd x
refuse 2 "--plain and --header exclude each other" disk attach vm1 --backing raw.img --plain --key-file key --header raw.img

# Backings.
refuse 3 "--backing 'none.img': No such file" disk attach vm1 --backing none.img
refuse 2 "accepted are block devices and raw image files" disk attach vm1 --backing fifo
refuse 2 "accepted are block devices and raw image files" disk attach vm1 --backing /dev/null
refuse 2 "accepted are block devices and raw image files" disk attach vm1 --backing .
refuse 5 "qemu-img convert -p -f qcow2 -O raw 'disk.qcow2' 'disk.raw'" disk attach vm1 --backing disk.qcow2
refuse 5 "qemu-img convert -p -f vmdk -O raw 'disk.vmdk' 'disk.raw'" disk attach vm1 --backing disk.vmdk
refuse 5 "qemu-img convert -p -f vhdx -O raw 'disk.vhdx' 'disk.raw'" disk attach vm1 --backing disk.vhdx
refuse 1 "not a multiple of its block size" disk attach vm1 --backing odd.img --buffered
if [[ -w /dev/loop-control ]]; then
	refuse 5 "--luks: '/dev/loop" disk attach vm1 --backing raw.img --buffered --luks --key-file key
	refuse 2 "accepted are 32 and 64" disk attach vm1 --backing raw.img --buffered --plain --key-file key33
	refuse 3 "key file 'nokey'" disk attach vm1 --backing raw.img --buffered --plain --key-file nokey
	refuse 3 "--sidecar 'nocar' does not exist" disk attach vm1 --backing raw.img --buffered --sidecar nocar
	refuse 2 "need --sidecar" disk attach vm1 --backing raw.img --buffered --takeover
	refuse 1 "has room for 8388608 bytes, not for 16777216" disk attach vm1 --backing raw.img --buffered --size 16MiB
	refuse 1 "the data would begin at 8388608" disk attach vm1 --backing raw.img --buffered --offset 8MiB
fi

# Other verbs.
refuse 2 "'action' is not of the form property=value" disk set vm1 match action
refuse 2 "--wait: '5' lacks a unit: accepted are ms, s, min, h" disk detach vm1 --wait 5
refuse 2 "--size: '12' lacks a unit" disk grow vm1 --size 12
refuse 2 "type 'snapshoot' is unknown, did you mean snapshot?" event post vm1 snapshoot
refuse 2 "type 'state' is posted by the framework only: accepted are vm-start" event post vm1 state
refuse 2 "--phase is missing: accepted are prepare, commit, abort" event post vm1 snapshot
refuse 2 "--phase 'perhaps': accepted are prepare, commit, abort" event post vm1 snapshot --phase perhaps
refuse 2 "--phase 'prepare': accepted are notify" event post vm1 vm-start --phase prepare
refuse 2 "--token is missing: a commit names" event post vm1 snapshot --phase commit
refuse 2 "--token: a prepare takes none" event post vm1 snapshot --phase prepare --token 5
refuse 2 "--deadline: '1ms': accepted are 100ms to 10min" event post vm1 snapshot --phase prepare --deadline 1ms
refuse 2 "--deadline: only a prepare has one" event post vm1 vm-start --deadline 1s
refuse 2 "type 'x' is unknown" event monitor --type x
refuse 2 "--count: '0' is not a number" event monitor --count 0
refuse 2 "--interval: '1ms': accepted are 10ms to 1h" top --interval 1ms
refuse 2 "--once and --count exclude each other" top --once --count 3

# Replicas; more is in replica_ctl_test.c.
refuse 2 "replica: 'point' is unknown, did you mean points?" replica point
refuse 2 "replica show: operands are missing: accepted are GROUP [POINT]" replica show
refuse 3 "none.sock: No such file or directory: does vaio-replicad run here?" replica list --socket none.sock
refuse 3 "'./none': No such file" replica status ./none
refuse 3 "there is no store (super)" replica status ./
refuse 2 "--kind 'x': accepted are crash, filesystem, application" replica checkpoint vm1 a --kind x
refuse 2 'is not UTF-8' replica checkpoint vm1 $'caf\xe9'
refuse 2 "'x' is not of the form PROP=VALUE" replica set vm1 x
refuse 2 "property 'quoata' is unknown, did you mean quota?" replica set vm1 quoata=5MiB
refuse 2 "--to is missing" replica restore vm1
refuse 2 "--scratch-max is missing" replica export vm1 --scratch .
refuse 2 "--keep wants --scratch and --name" replica export vm1 --keep
refuse 2 "--scratch-max: '5' lacks a unit" replica export vm1 --scratch . --scratch-max 5
refuse 2 "'a/b' is no name of an export" replica unexport a/b
refuse 3 "there is no export 'a'" replica unexport a --run run
if [[ ! -e /sys/module/vaio ]]; then
	refuse 3 "no netlink family 'vaio': is the module loaded?" disk list
	refuse 3 "no netlink family 'vaio'" filter list
	refuse 3 "no netlink family 'vaio'" top --once
fi

# Nothing was made, changed or left on a loop device.
find . -printf '%p %s %i\n' | grep -v ' ./\(out\|err\)' | sort >after
sed -i '/^\.\/\(before\|after\|out\|err\) /d;/^\. /d' before after
result "$(cmp -s before after; echo $?)" "no refused command changed a file" "$(diff before after)"
left=$(grep -l "$work" /sys/block/loop*/loop/backing_file 2>/dev/null)
result "$([[ -z $left ]]; echo $?)" "no refused command left a loop device" "$left"

# Help, on every level, and JSON.
accept "NOUN VERB" --help
accept "usage: vaioctl disk VERB" disk --help
accept "--backing DEV|IMAGE" disk attach --help
accept "--interval TIME" help top
accept "prepare, commit, abort" event list-types
accept '"netlink": 1' --json version
accept "vaioctl " --version
accept '"type": "snapshot"' event list-types --json

# Completion knows what the table knows, and the script finds it.
accept "--passphrase-fd" __complete disk attach
accept "grow" __complete disk
accept "<file>" __complete disk attach --backing
accept "prepare" __complete event post vm1 snapshot --phase
complete_words() {	# WORD...: what bash would offer
	bash -c '
		PATH=$1:$PATH; shift
		source "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
		_vaioctl
		printf "%s\n" "${COMPREPLY[@]}"' - "$(dirname "$ctl")" "$top/userspace/completion/vaioctl" vaioctl "$@" |
		sort | xargs
}
is() {	# NAME GOT WANTED
	result "$([[ $2 == "$3" ]]; echo $?)" "$1" "got: $2
wanted: $3"
}
is "bash completes nouns" "$(complete_words e)" "event"
is "bash completes verbs" "$(complete_words disk s)" "set show stats"
is "bash completes options" "$(complete_words disk attach vm1 --p)" "--passphrase-fd --plain"
is "bash completes values" "$(complete_words event post vm1 snapshot --phase c)" "commit"
is "bash completes points" "$(complete_words replica show vm1 -)" "--help --json --socket -10min"
is "bash completes files" "$(complete_words disk attach vm1 --backing disk.q)" "disk.qcow2"
is "bash completes files after =" "$(complete_words disk attach vm1 --key-file = ke)" "key key33"

# Every command and option is in a manual page that mandoc has nothing against.
man=$top/Documentation/man
missing=
for noun in $("$ctl" __complete | grep -v '^--'); do
	page=$man/vaioctl-$noun.8
	[[ $noun == version ]] && page=$man/vaioctl.8
	[[ -e $page ]] || { missing+="no page for $noun; "; continue; }
	text=$(mandoc -T ascii "$page" | col -b)
	verbs=$("$ctl" __complete "$noun" | grep -v '^--')
	for word in $verbs; do
		[[ $noun == event && $word == *-*  && $word != list-types ]] && continue
		grep -qw -- "$word" <<<"$text" || missing+="$noun $word; "
		for option in $("$ctl" __complete "$noun" "$word" | grep '^--' | grep -v -e --json -e --help); do
			grep -q -- "$option" <<<"$text" || missing+="$noun $word $option; "
		done
	done
	for option in $("$ctl" __complete "$noun" | grep '^--' | grep -v -e --json -e --help -e --verbose); do
		grep -q -- "$option" <<<"$text" || missing+="$noun $option; "
	done
done
result "$([[ -z $missing ]]; echo $?)" "manual pages have every command and option" "$missing"
lint=$(mandoc -T lint -W warning "$man"/*.8 2>&1)
result "$([[ -z $lint ]]; echo $?)" "mandoc has nothing against the pages" "$lint"
echo "1..$count"
