#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The netlink family: what is wrong is refused by name and changes nothing, and
# nobody without the rights gets in.

. "$(dirname "$0")/lib.sh"
load_modules vaio dm-vaio vaio-sample || bail 'the modules are loaded'
make -s -C "$TREE/tests/lab" || bail 'the test client is built'

# enum vaio_cmd
HOST_GET=1 FILTER_GET=2 DISK_GET=3 DISK_SET=4 STATS_GET=5 EVENT_POST=6 EVENT_GET=7
# attributes: DISK_UUID is also STATS_UUID
UUID=1 NAME=2 E_TOKEN=1 E_UUID=2 E_NAME=3 E_TYPE=4 E_PHASE=5 E_DEADLINE=7 E_ARG=11
SLOT_FILTER=13 PROPERTY=14
# enum vaio_event_type, enum vaio_event_phase
SNAPSHOT=4 GROW=5 STATE=9 NOTIFY=0 PREPARE=1 COMMIT=2 ABORT=3

uuid=11111111-2222-3333-4444-555555555555
absent=99999999-2222-3333-4444-555555555555
mem_disk nlbacking 16
check 'the disk is made' dmsetup create vm1 --table \
	"0 16384 vaio /dev/nlbacking 0 2 uuid $uuid 1 match 4 pattern 6869 action count"
defer dmsetup remove --retry vm1
check 'a second disk is made' dmsetup create vm2 --table \
	"0 8192 vaio /dev/nlbacking 16384 2 uuid ${uuid/1111/2222} 0"
defer dmsetup remove --retry vm2

nl() { netlink-client "$@"; }
snapshot() {
	nl "$DISK_GET" "$NAME=s:vm1"
	nl "$DISK_GET" "$NAME=s:vm2"
	nl "$HOST_GET"
	dmsetup table --showkeys
}
before=$(snapshot)

wrong() { # NAME REGEX CLIENT-ARGUMENT...
	local name=$1 regex=$2
	shift 2
	check_fails "$name" "^error $regex" nl "$@"
}

long=$(printf 'x%.0s' {1..300})

wrong 'a command that is none' 'EOPNOTSUPP' 99
wrong 'command 0' 'EOPNOTSUPP' 0
wrong 'the notification is no command' 'EOPNOTSUPP' 8
wrong 'a reserved field' 'EINVAL' --reserved 1 "$HOST_GET"
wrong 'a message without its header' 'EINVAL' --cut 16 "$HOST_GET"
wrong 'host takes no attribute' 'E(INVAL|OPNOTSUPP)' "$HOST_GET" 1=s:x
wrong 'host has no dump' 'EOPNOTSUPP' "$HOST_GET:dump"
wrong 'filters have only a dump' 'EOPNOTSUPP' "$FILTER_GET"
wrong 'a dump takes no attribute' 'EINVAL.*' "$DISK_GET:dump" "$NAME=s:vm1"
wrong 'the statistics dump neither' 'EINVAL.*' "$STATS_GET:dump" "$NAME=s:vm1"
wrong 'the filters dump neither' 'EINVAL.*' "$FILTER_GET:dump" 1=s:crypt
wrong 'events have no dump' 'EOPNOTSUPP' "$EVENT_GET:dump"

wrong 'no disk is named' 'EINVAL no disk is named: give its uuid or its name' "$DISK_GET"
wrong 'a disk is named twice' 'EINVAL the disk is named twice: give its uuid or its name' \
	"$DISK_GET" "$UUID=s:$uuid" "$NAME=s:vm1"
wrong 'what is not a UUID' "EINVAL 'vm1' is not a UUID" "$DISK_GET" "$UUID=s:vm1"
wrong 'a UUID cut short' "EINVAL '${uuid%?}' is not a UUID" "$DISK_GET" "$UUID=s:${uuid%?}"
wrong 'a UUID with more behind it' 'EINVAL Attribute failed policy' "$DISK_GET" "$UUID=s:${uuid}0"
wrong 'a UUID that is not here' "ENODEV no disk with UUID $absent" "$DISK_GET" "$UUID=s:$absent"
wrong 'a name that is not here' "ENODEV no disk 'vm9'" "$DISK_GET" "$NAME=s:vm9"
wrong 'an empty name' "ENODEV no disk ''" "$DISK_GET" "$NAME=s:"
wrong 'a name that is too long' 'EINVAL Attribute failed policy' "$DISK_GET" "$NAME=s:$long"
wrong 'a name without its end' 'EINVAL' "$DISK_GET" "$NAME=x:766d31"
wrong 'a name of no bytes' 'E(INVAL|RANGE)' "$DISK_GET" "$NAME=x:"
wrong 'an attribute that is none' 'EINVAL Unknown attribute type' "$DISK_GET" "$NAME=s:vm1" 40=u32:1
wrong 'an attribute of answers only' 'EINVAL' "$DISK_GET" "$NAME=s:vm1" 10=u32:1
wrong 'bytes behind the attributes' 'EINVAL' "$DISK_GET" "$NAME=s:vm1" raw=x:0102
wrong 'an attribute longer than the message' 'EINVAL' "$DISK_GET" raw=x:ff00020076
wrong 'an attribute shorter than its header' 'EINVAL' "$DISK_GET" raw=x:0300020000000000
wrong 'statistics of no disk' 'EINVAL no disk is named' "$STATS_GET"
wrong 'statistics of a disk that is not here' "ENODEV no disk 'vm9'" "$STATS_GET" "$NAME=s:vm9"

wrong 'set without a filter' 'EINVAL no filter is named' \
	"$DISK_SET" "$NAME=s:vm1" "$PROPERTY=n[" 1=s:action 2=s:fail ]
wrong 'set without a property' 'EINVAL no property is given' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match"
wrong 'set without a value' 'EINVAL a property has a name and a value' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action ]
wrong 'set with an empty nest' 'EINVAL a property has a name and a value' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" ]
wrong 'set with a nest that is none' 'EINVAL NLA_F_NESTED is missing' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=s:action"
wrong 'set with something else in the nest' 'EINVAL Unknown attribute type' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action 2=s:fail 3=s:x ]
wrong 'set a value that is too long' 'EINVAL Attribute failed policy' \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action "2=s:$long" ]
wrong 'set of no disk' 'EINVAL no disk is named' \
	"$DISK_SET" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action 2=s:fail ]
wrong 'set on a disk that is not here' "ENODEV no disk 'vm9'" \
	"$DISK_SET" "$NAME=s:vm9" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action 2=s:fail ]
wrong 'set of a filter that is not on the disk' "ENOENT .*'crypt'.*there: match" \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:crypt" "$PROPERTY=n[" 1=s:action 2=s:fail ]
wrong 'set on a disk without filters' "ENOENT .*'match'.*there: none" \
	"$DISK_SET" "$NAME=s:vm2" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action 2=s:fail ]
wrong 'set of a property that is fixed' "EINVAL.*'pattern'.*action" \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:pattern 2=s:6a ]
wrong 'set to a word that is none' "EINVAL.*'fial'.*count, fail" \
	"$DISK_SET" "$NAME=s:vm1" "$SLOT_FILTER=s:match" "$PROPERTY=n[" 1=s:action 2=s:fial ]

wrong 'an event of no type' 'EINVAL no type of event is given' "$EVENT_POST" "$E_NAME=s:vm1"
wrong 'an event of a type that is none' 'EINVAL no type of event 77: 2 \(vm-start\) to 8 \(policy-changed\)' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:77"
wrong 'an event of the framework' "EINVAL event 'state' is posted by the framework only" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$STATE"
wrong 'another one' "EINVAL event 'detach' is posted by the framework only" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:1"
wrong 'a type of the wrong size' 'E(INVAL|RANGE)' "$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u8:1"
wrong 'a phase that is none' 'EINVAL no phase 9: 0 \(notify\), 1 \(prepare\), 2 \(commit\), 3 \(abort\)' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:9"
wrong 'a prepare of what has none' "EINVAL event 'vm-start' has no phase 'prepare'.*snapshot, grow and migrate" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:2" "$E_PHASE=u32:$PREPARE"
wrong 'a deadline that is too short' 'ERANGE deadline of 99 ms: 100 to 600000' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$PREPARE" "$E_DEADLINE=u32:99"
wrong 'a deadline that is too long' 'ERANGE deadline of 600001 ms: 100 to 600000' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$PREPARE" "$E_DEADLINE=u32:600001"
wrong 'a deadline of zero' 'ERANGE deadline of 0 ms: 100 to 600000' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$PREPARE" "$E_DEADLINE=u32:0"
wrong 'a deadline of a notify' "EINVAL only phase 'prepare' has a deadline" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$NOTIFY" "$E_DEADLINE=u32:1000"
wrong 'a commit of nothing' "EINVAL phase 'commit' needs the token of its prepare" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$COMMIT"
wrong 'a commit of token 0' "EINVAL phase 'commit' needs the token of its prepare" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$COMMIT" "$E_TOKEN=u64:0"
wrong 'a commit of an unknown token' "ENOENT this disk has no prepare 'grow' with token 77" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$COMMIT" "$E_TOKEN=u64:77"
wrong 'an abort with an argument' "EINVAL phase 'abort' takes no argument" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$ABORT" "$E_TOKEN=u64:77" "$E_ARG=s:x"
wrong 'a prepare with a token' "EINVAL phase 'prepare' gets a token" \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$PREPARE" "$E_TOKEN=u64:77"
wrong 'a token of the wrong size' 'E(INVAL|RANGE)' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_PHASE=u32:$COMMIT" "$E_TOKEN=u32:77"
wrong 'an argument that is too long' 'EINVAL Attribute failed policy' \
	"$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" "$E_ARG=s:$long"
wrong 'an event for no disk' 'EINVAL no disk is named' "$EVENT_POST" "$E_TYPE=u32:$GROW"
wrong 'an event for a disk named twice' 'EINVAL the disk is named twice' \
	"$EVENT_POST" "$E_TYPE=u32:$GROW" "$E_NAME=s:vm1" "$E_UUID=s:$uuid"
wrong 'an event for a disk that is not here' "ENODEV no disk 'vm9'" \
	"$EVENT_POST" "$E_TYPE=u32:$GROW" "$E_NAME=s:vm9"
wrong 'a status in a post' 'EINVAL' "$EVENT_POST" "$E_NAME=s:vm1" "$E_TYPE=u32:$GROW" 6=u32:1
wrong 'an event without its token' 'EINVAL no token is given' "$EVENT_GET"
wrong 'an event that never was' 'ENOENT no event with token 77' "$EVENT_GET" "$E_TOKEN=u64:77"

is 'nothing of all this has changed anything' "$(snapshot)" "$before"

# Who may. A process of a user namespace has all capabilities, there.
check_fails 'nobody may not ask' '^error EPERM' \
	setpriv --reuid 65534 --clear-groups netlink-client "$HOST_GET"
check_fails 'the right to manage networks is not enough' '^error EPERM CAP_SYS_ADMIN and CAP_NET_ADMIN' \
	setpriv --bounding-set -sys_admin --inh-caps -sys_admin netlink-client "$HOST_GET"
check_fails 'nor for a dump' '^error EPERM' \
	setpriv --bounding-set -sys_admin --inh-caps -sys_admin netlink-client "$DISK_GET:dump"
check_fails 'the right to manage the system alone neither' '^error EPERM' \
	setpriv --bounding-set -net_admin --inh-caps -net_admin netlink-client "$HOST_GET"
check_fails 'nobody may not listen' '^error EPERM' \
	setpriv --reuid 65534 --clear-groups netlink-client --listen 1 1
without() { # NAME REGEX UNSHARE-OPTION...: the client in namespaces of its own
	local name=$1 regex=$2
	shift 2
	check_fails "$name" "$regex" unshare "$@" netlink-client "$HOST_GET"
}
if [[ $VAIO_KERNEL != uml ]]; then	# its small configuration has no such namespaces
	without 'the root of a user namespace may not ask' '^error EPERM' --user --map-root-user
	without 'another network namespace has no such family' "no family 'vaio'" --net
fi

done_testing
