#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The netlink family: what it answers, dumps of many disks that come and go, and
# notifications.

. "$(dirname "$0")/lib.sh"
load_modules vaio dm-vaio vaio-sample || bail 'the modules are loaded'
make -s -C "$TREE/tests/lab" || bail 'the test client is built'

# enum vaio_cmd
HOST_GET=1 FILTER_GET=2 DISK_GET=3 DISK_SET=4 STATS_GET=5 EVENT_POST=6 EVENT_GET=7
# attributes
UUID=1 NAME=2 E_TOKEN=1 E_NAME=3 E_TYPE=4 E_PHASE=5 E_DEADLINE=7 E_ARG=11
# enum vaio_event_type, enum vaio_event_phase, enum vaio_event_status
SNAPSHOT=4 PREPARE=1 COMMIT=2 ABORT=3
ACCEPTED=1 COMMITTED=3 ABORTED=4 EXPIRED=5 DONE=6

nl() { netlink-client "$@"; }
# attr NUMBER: its first value in the answer on stdin
attr() { awk -v id="$1" '/^  [0-9]/ && $1 == id && !seen { sub(/^  [0-9]+ ?/, ""); print; seen = 1 }'; }

uuid=11111111-2222-3333-4444-555555555555
mem_disk nlback 64
check 'the disk is made' dmsetup create vm1 --table \
	"0 16384 vaio /dev/nlback 0 2 uuid $uuid 1 match 4 pattern 6869 action count"
defer dmsetup remove --retry vm1

host=$(nl "$HOST_GET")
like 'the host tells its version' "$(attr 1 <<<"$host")" '^[0-9]+\.[0-9]+\.[0-9]+$'
is 'one filter a class' "$(attr 2 <<<"$host")" 1
is 'one filter' "$(attr 3 <<<"$host")" 1
is 'one disk' "$(attr 4 <<<"$host")" 1

filters=$(nl "$FILTER_GET:dump")
is 'the filter is match' "$(attr 1 <<<"$filters")" match
is 'of class inspection' "$(attr 4 <<<"$filters")" 0
is 'on one disk' "$(attr 7 <<<"$filters")" 1
check 'a table that waits is loaded' dmsetup load vm1 --table \
	"0 16384 vaio /dev/nlback 0 2 uuid $uuid 1 match 4 pattern 6869 action count"
is 'it makes no second disk' "$(nl "$FILTER_GET:dump" | attr 7)" 1
check 'it is thrown away' dmsetup clear vm1

disk=$(nl "$DISK_GET" "$NAME=s:vm1")
is 'the disk is found by name' "$(attr 1 <<<"$disk")" "$uuid"
is 'and by UUID' "$(nl "$DISK_GET" "$UUID=s:$uuid")" "$disk"
is 'and by UUID in capitals' "$(nl "$DISK_GET" "$UUID=s:${uuid^^}")" "$disk"
is 'its size' "$(attr 7 <<<"$disk")" 16384
is 'its state is active' "$(attr 9 <<<"$disk")" 1
like 'its slot and its properties' "$disk" $'\n  12\n    1 match\n.*    3 started\n'
like 'one of them is action' "$disk" $'    4\n      1 action\n      2 count\n'
check 'a live property is set' nl "$DISK_SET" "$NAME=s:vm1" 13=s:match "14=n[" 1=s:action 2=s:fail ]
like 'and is there' "$(nl "$DISK_GET" "$NAME=s:vm1")" $'      1 action\n      2 fail\n'
check 'and set back' nl "$DISK_SET" "$UUID=s:$uuid" 13=s:match "14=n[" 1=s:action 2=s:count ]

check 'something is written' dd if=/dev/zero of=/dev/mapper/vm1 bs=4096 count=25 oflag=direct status=none
stats=$(nl "$STATS_GET" "$NAME=s:vm1")
like '25 writes of 100 KiB are counted' "$stats" $'  3\n    1 1\n    2 25\n    3 102400\n    4 0\n'
like 'and the filter has searched them' "$stats" $'      1 searched\n      2 25\n'

# --- events ---------------------------------------------------------------------
token_of() { nl "$EVENT_POST" "$@" | attr 1; }
has_status() { [[ $(nl "$EVENT_GET" "$E_TOKEN=u64:$1" | attr 6) == "$2" ]]; }
# reaches TOKEN STATUS
reaches() { wait_for 60 has_status "$1" "$2"; }

netlink-client --listen 9 >"$WORK/heard" &
listener=$!
wait_for 60 grep -q listening "$WORK/heard" || bail 'the listener listens'

a=$(token_of "$E_NAME=s:vm1" "$E_TYPE=u32:2" "$E_ARG=s:hello")
check 'a notify is done' reaches "$a" "$DONE"
b=$(token_of "$E_NAME=s:vm1" "$E_TYPE=u32:$SNAPSHOT" "$E_PHASE=u32:$PREPARE" "$E_DEADLINE=u32:600000")
check 'a prepare is accepted' reaches "$b" "$ACCEPTED"
check_fails 'a second one is refused, and the first named' "^error EBUSY .*'snapshot' with token $b" \
	nl "$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$SNAPSHOT" "$E_PHASE=u32:$PREPARE"
is 'a commit has the same token' \
	"$(token_of "$E_NAME=s:vm1" "$E_TYPE=u32:$SNAPSHOT" "$E_PHASE=u32:$COMMIT" "$E_TOKEN=u64:$b")" "$b"
check 'it is committed' reaches "$b" "$COMMITTED"
check_fails 'a second commit is refused' "^error EALREADY .*token $b has ended" \
	nl "$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$SNAPSHOT" "$E_PHASE=u32:$COMMIT" "$E_TOKEN=u64:$b"
c=$(token_of "$E_NAME=s:vm1" "$E_TYPE=u32:$SNAPSHOT" "$E_PHASE=u32:$PREPARE" "$E_DEADLINE=u32:100")
check 'a prepare whose poster is gone expires' reaches "$c" "$EXPIRED"

wait "$listener"
is 'all was told: status' "$(awk '/^  6 /{print $2}' "$WORK/heard" | paste -sd,)" \
	"0,$DONE,0,$ACCEPTED,0,$COMMITTED,0,$ACCEPTED,$EXPIRED"
is 'all was told: token' "$(awk '/^  1 /{print $2}' "$WORK/heard" | paste -sd,)" \
	"$a,$a,$b,$b,$b,$b,$c,$c,$c"
first=$(awk '/^  13 /{print $2; exit}' "$WORK/heard")
is 'in sequence' "$(awk '/^  13 /{print $2}' "$WORK/heard" | paste -sd,)" \
	"$(seq "$first" $((first + 8)) | paste -sd,)"
like 'with the argument' "$(<"$WORK/heard")" $'\n  11 hello\n'

# --- dumps of many, while others come and go -----------------------------------------
n=$(scaled 400)
name_of() { printf 'many%04d' "$1"; }
uuid_of() { printf '%08x-0000-4000-8000-000000000000' $(($1 * 2654435761 % 4294967296)); }
table_of() { echo "0 8 vaio /dev/nlback $((20000 + $1 * 8)) 2 uuid $2 0"; }
names=() concise=''
for ((i = 0; i < n; i++)); do
	names+=("$(name_of "$i")")
	concise+="$(name_of "$i"),,,,$(table_of "$i" "$(uuid_of "$i")");"
done
check "$n disks are made" dmsetup create --concise "$concise"
defer dmsetup remove --retry "${names[@]}"

stable() { grep -E '^  2 many' | sort; }
wanted=$(printf '  2 %s\n' "${names[@]}")
is 'a dump tells all of them once' "$(nl "$DISK_GET:dump" | stable)" "$wanted"
is 'statistics, too' "$(nl "$STATS_GET:dump" | stable)" "$wanted"

churn() {
	local k=0
	while [[ ! -e $WORK/stop ]]; do
		dmsetup create "churn$k" --table "$(table_of $((n + k % 8)) "$(uuid_of $((10000 + k)))")" &&
			dmsetup remove --retry "churn$k" || touch "$WORK/churn-failed"
		k=$((k + 1))
		echo "$k" >"$WORK/churned"
	done
}
churn &
churner=$!
wrong=0 dumps=$(scaled 100)
for ((i = 0; i < dumps; i++)); do
	[[ $(nl "$DISK_GET:dump" | stable) == "$wanted" ]] || wrong=$((wrong + 1))
	[[ $(nl "$STATS_GET:dump" | stable) == "$wanted" ]] || wrong=$((wrong + 1))
done
wait_for 60 test -s "$WORK/churned"
touch "$WORK/stop"
wait "$churner"
is "$((2 * dumps)) dumps while disks came and went tell each of the others once" "$wrong" 0
check "$(<"$WORK/churned") disks came and went" test ! -e "$WORK/churn-failed"

# --- module parameters ------------------------------------------------------------------
# set_param NAME VALUE: with one write(), whose errno is told
set_param() { dd of="/sys/module/vaio/parameters/$1" status=none <<<"$2"; }
id=0123456789abcdef0123456789abcdef
if [[ -z $(</sys/module/vaio/parameters/host_id) ]]; then
	check_fails 'a host id that is none' 'Invalid argument' set_param host_id "${id%?}"
	check_fails 'a host id of zeroes' 'Invalid argument' set_param host_id "${id//?/0}"
	check 'a host id' set_param host_id "$id"
	check 'the same again, as a UUID' set_param host_id 01234567-89ab-cdef-0123-456789abcdef
	check_fails 'another one' 'Device or resource busy' set_param host_id "${id//0/1}"
	is 'it is still the first' "$(</sys/module/vaio/parameters/host_id)" "$id"
else
	skip 'a host id' 'it is set already'
fi
if modinfo -F filename vaio-null >"$WORK/null" 2>&1; then
	check_fails 'a second filter of a class is refused' 'Device or resource busy' modprobe vaio-null
	like 'and the first is named' "$(dmesg | grep 'is taken by' | tail -n 1)" \
		"class inspection is taken by filter 'match'"
	set_param exclusive_classes 0
	check 'unless the host allows several' modprobe vaio-null
	is 'all are told, in class order' "$(nl "$FILTER_GET:dump" | awk '/^  4 /{print $2}' | paste -sd,)" \
		'0,0,1,2,3'
	check 'they go' rmmod vaio-null
	set_param exclusive_classes 1
else
	skip 'a second filter of a class is refused' 'there is no module vaio-null'
fi

run_cleanups
is 'no disk is left' "$(nl "$HOST_GET" | attr 4)" 0
check 'the modules can be unloaded' modprobe -r dm-vaio vaio-sample vaio
check 'and are gone' test ! -e /sys/module/vaio
check 'who asks for the family has its module loaded' nl "$HOST_GET"
done_testing
