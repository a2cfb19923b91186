#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Crashes, failed writes, lost sidecars, growth: after each of them nothing that
# differs from the copy is taken for clean.

MIB=32
. "$(dirname "$0")/repl-lib.sh"

# the probe filters have one of the class of replication too
modprobe vaio exclusive_classes=0 host_id=aaaaaaaa-0000-0000-0000-000000000001 &&
	load_modules vaio-probe || bail 'the probe filters are loaded'
repl_modules
repl_devices || bail 'the devices are made'
modprobe dm-flakey || bail 'dm-flakey is there'
mkdir "$WORK/then"

# What the devices have at one moment, as after a crash: copied past the page cache.
crash_copy() {
	local n
	for n in 1 2; do
		dd if="/dev/side$n" of="$WORK/then/side$n" bs=1M iflag=direct status=none || return
		dd if="/dev/data$n" of="$WORK/then/data$n" bs=1M iflag=direct status=none || return
	done
}
crash_restore() {
	local n
	for n in 1 2; do
		dd of="/dev/side$n" if="$WORK/then/side$n" bs=1M oflag=direct status=none || return
		dd of="/dev/data$n" if="$WORK/then/data$n" bs=1M oflag=direct status=none || return
		blockdev --flushbufs "/dev/side$n" "/dev/data$n"
	done
}
# sidecar_says N FIELD: what the sidecar of disk N has on its device
sidecar_says() { vaioctl --json sidecar show "/dev/side$1" | jq -c ".$2"; }
must_compare() { [[ $(sidecar_says "${1-1}" flags) == *must-compare* ]]; }
trusted() { ! must_compare; }
# d1_table FEATURES FILTERS: a table of disk 1 with other words
d1_table() {
	local -a features filters
	read -ra features <<<"$1"
	read -ra filters <<<"$2"
	echo "0 $((MIB * 2048)) vaio /dev/data1 0 $((2 + ${#features[@]})) uuid $(disk_uuid 1) ${features[*]} ${filters[*]}"
}

# nowait DISK FIRST LAST: one write to each of these extents; prints how many were refused because they would wait
nowait() {
	python3 - "$@" <<-'END'
		import mmap, os, sys
		disk = os.open("/dev/mapper/" + sys.argv[1], os.O_RDWR | os.O_DIRECT)
		block = mmap.mmap(-1, 4096)
		block[:] = b"n" * 4096
		refused = 0
		for extent in range(int(sys.argv[2]), int(sys.argv[3]) + 1):
		    try:
		        os.pwritev(disk, [block], extent << 22, os.RWF_NOWAIT)
		    except BlockingIOError:
		        refused += 1
		print(refused)
	END
}

new_group() { vaioctl group create g ring=16MiB "$@"; }
dirty() { group_field ".disks[$1].dirty"; }

# --- a crash with a backlog

new_group on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'
agent_start --mode full
check 'the disks are replicated' wait_for 200 caught_up
rounds=$(scaled 10)
for ((round = 0; round < rounds; round++)); do
	agent_kill
	writer --streams 8 --count 40 --max 65536 --seed "$((VAIO_SEED + round))" >/dev/null || break
	crash_copy || break
	repl_down && vaioctl group delete g || break
	crash_restore || break
	new_group on_loss=stall:60s,track && repl_up group g || break
	[[ $(dirty 0) -gt 0 ]] || break
	agent_start
	wait_for 200 caught_up && same_copies 1 2 || break
done
is 'after each crash with a backlog the copies become equal' "$round" "$rounds"
[[ $round == "$rounds" ]] || note "$(vaioctl group show g; tail -n 3 "$WORK/agent")"
like 'the kernel knew that the stop was unclean' "$(dmesg)" 'was not released by its last owner'

# --- a crash with a backlog, and then a filter below that does not start

agent_kill
writer --streams 8 --count 40 --max 65536 --seed "$((VAIO_SEED + 96))" >/dev/null
crash_copy
repl_down && vaioctl group delete g && crash_restore
new_group on_loss=stall:60s,track
no_start=$(d1_table 'sidecar /dev/side1' '2 replication 2 group g probe-qos 2 fail_start yes')
check_fails 'a table with a filter that does not start fails' '' dmsetup create d1 --table "$no_start"
dmsetup remove d1 2>/dev/null
is 'it does not make an unclean sidecar clean' "$(sidecar_says 1 state)" '"active"'
repl_up group g
hot=$(dirty 0)
check 'what was hot at the crash is dirty' test "$hot" -gt 0
repl_down && crash_restore
dmsetup create d1 --notable && dmsetup load d1 --table "$no_start"
check_fails 'it fails again' '' dmsetup resume d1
# a name that the kernel finds, of the same device
ln /dev/side1 /dev/alias1 2>/dev/null || mknod /dev/alias1 b "$((0x$(stat -Lc %t /dev/side1)))" "$((0x$(stat -Lc %T /dev/side1)))"
check 'a table that names the sidecar in another way starts' eval '
	dmsetup load d1 --table "$(d1_table "sidecar /dev/alias1" "1 replication 2 group g")" && dmsetup resume d1'
is 'the same is dirty' "$(dirty 0)" "$hot"
dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1
dmsetup create d2 --table "$(repl_table 2 group g)"
rm /dev/alias1
agent_start
copies_equal 'and the copies become equal'

# --- a crash in the middle of a resync

agent_kill
vaioctl group set g on_loss=track
writer --streams 4 --count 300 --max 262144 --seed "$((VAIO_SEED + 99))" >/dev/null
is 'the group tracks' "$(group_state)" tracking
vaioctl group set g resync_rate=2MiB
agent_start
wait_for 60 state_is resync
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
# so slow that the last acknowledgement comes long after the start
new_group resync_rate=8MiB && repl_up group g
agent_start
copies_equal 'after a crash in a resync the copies become equal'

# --- a crash after a resync, without a write since

check 'the sidecars learn that all was acknowledged' wait_for 60 eval 'bitmap_clean 1 && bitmap_clean 2'
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
new_group && repl_up group g
is 'after a crash nothing is dirty' "$(dirty 0) $(dirty 1)" '0 0'
agent_start
copies_equal 'and the copies are equal'

# --- a crash when all was sent, and nothing acknowledged

agent_kill
vaioctl group set g on_loss=track
writer --streams 4 --count 300 --max 262144 --seed "$((VAIO_SEED + 97))" >/dev/null
is 'the group tracks again' "$(group_state)" tracking
lacking=$(dirty 0)
before=$(counter resync_bytes)
agent_start --stop-acks --blind
check 'an agent without acknowledgements is sent what its places hold' wait_for 60 eval '
	[[ $(($(counter resync_bytes) - before)) -ge $((32 * 65536)) ]]'
# long enough for what waits lazily to be written
check 'the bitmap on the sidecar is up to date' wait_for 60 eval '
	vaioctl disk stats d1 | grep -q "hot_extents = 0"'
crash_copy
agent_kill
repl_down && vaioctl group delete g && crash_restore
new_group && repl_up group g
check 'after a crash what was not acknowledged is dirty' test "$(dirty 0)" -ge "$lacking"
agent_start
copies_equal 'and the copies become equal'

# --- a clean stop with a backlog

agent_kill
writer --streams 4 --count 50 --max 16384 --seed "$((VAIO_SEED + 98))" >/dev/null
check 'disks are removed with a backlog' repl_down
vaioctl group delete g
new_group && repl_up group g
check 'after a clean stop not all is dirty' test "$(dirty 0)" -lt $((MIB << 20))
agent_start
copies_equal 'and the copies become equal'

# --- written while nobody notes it on the sidecar

mem_disk side3 4
vaioctl sidecar format /dev/side3 --device /dev/data1 --disk "$(disk_uuid 1)" \
	--grow-factor 1 --epochs 0 >/dev/null
# unnoted NAME FEATURES FILTERS: d1 is reloaded to these, written, removed, and made as it was
unnoted() {
	local name=$1 between
	between=$(d1_table "$2" "$3")
	random 0 $((MIB * 256 - 4))
	check "$name: the disk is written" eval '
		agent_kill
		dmsetup load d1 --table "$between" && dmsetup resume d1 &&
		dd if=/dev/urandom of=/dev/mapper/d1 bs=4096 count=3 seek="$REPLY" oflag=direct status=none &&
		dmsetup remove --retry d1'
	check "$name: the sidecar says that it does not know" must_compare
	check "$name: the disk is replicated again" dmsetup create d1 --table "$(repl_table 1 group g)"
	: >"$WORK/agent"
	agent_start
	copies_equal "$name: it is compared, and the copies become equal"
	# in the group the ring has the write too
	[[ $3 == *replication* ]] || like "$name: the difference was found" "$(cat "$WORK/agent")" 'DIFFERS'
	check "$name: the sidecar is trusted again" wait_for 60 trusted
}
unnoted 'a table without the filter' 'sidecar /dev/side1' 0
unnoted 'a table without the sidecar' '' 0
unnoted 'replication without a sidecar' '' '1 replication 2 sidecar none'
unnoted 'replication beside the sidecar' 'sidecar /dev/side1' '1 replication 2 sidecar none'
unnoted 'replication with another sidecar' 'sidecar /dev/side3' '1 replication 0'

# --- must-compare moves with what is known

agent_kill
dmsetup remove --retry d1
dmsetup create d1 --table "$(d1_table 'sidecar /dev/side1' 0)" && dmsetup remove --retry d1
dmsetup create d1 --table "$(repl_table 1 group g)"
is 'the other sidecar trusts its bits' "$(sidecar_says 3 flags)" '[]'
dmsetup load d1 --table "$(d1_table 'sidecar /dev/side3' '1 replication 2 group g')"
check 'a disk that must be compared gets another sidecar' dmsetup resume d1
is 'that says so too' "$(sidecar_says 3 flags)" '["must-compare"]'
dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1
agent_start
copies_equal 'it is compared'
check 'and trusted' wait_for 60 trusted

# a new sidecar: its superblocks (2056 sectors), and then what comes slowly
mem_disk side4 4
vaioctl sidecar format /dev/side4 --device /dev/data1 --disk "$(disk_uuid 1)" --grow-factor 1 --epochs 0 >/dev/null
rest=$(($(blockdev --getsz /dev/side4) - 2056))
dmsetup create rest --table "0 $rest linear /dev/side4 2056"
dmsetup create slow --table "0 2056 linear /dev/side4 0
2056 $rest linear /dev/mapper/rest 0"
dmsetup load d1 --table "$(d1_table 'sidecar /dev/mapper/slow' '1 replication 2 group g')"
check 'the bits of a new sidecar come late' dmsetup suspend --noflush rest
dmsetup resume d1 &
resumes=$!
check 'it is in use' wait_for 60 eval '[[ $(sidecar_says 4 state) == "\"active\"" ]]'
is 'and says that its bits are not all' "$(sidecar_says 4 flags)" '["must-compare"]'
dmsetup resume rest
wait "$resumes"
is 'until they are there' "$(sidecar_says 4 flags)" '[]'
dmsetup load d1 --table "$(repl_table 1 group g)" && dmsetup resume d1
dmsetup remove slow && dmsetup remove rest
copies_equal 'the disk goes on'

# --- a sidecar that takes no writes for a while

side_table() { echo "0 $(blockdev --getsz /dev/side1) $1"; }
side_works() {
	dmsetup load faulty --table "$(side_table 'linear /dev/side1 0')"
	dmsetup suspend faulty && dmsetup resume faulty
}
# A write to an extent that is not hot, of which nothing can be noted.
outage() {
	agent_kill
	dmsetup load faulty --table "$(side_table 'flakey /dev/side1 0 0 60 1 error_writes')" &&
		dmsetup suspend faulty && dmsetup resume faulty &&
		dd if=/dev/urandom of=/dev/mapper/d1 bs=4096 count=1 seek="$1" oflag=direct status=none
}
faulty_up() {
	dmsetup create d1 --table "$(d1_table 'sidecar /dev/mapper/faulty' '1 replication 2 group g')"
}
# The intent region says that an extent is hot: of these bits all but a head of 32 bytes.
intent_noted() {
	local at
	at=$(vaioctl --json sidecar dump /dev/side1 | jq '[.. | objects | select(.name? == "intent").offset] | first')
	[[ $(dd if=/dev/side1 bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | tail -c +33 |
		tr -d '\0' | wc -c) != 0 ]]
}
settled() { wait_for 120 caught_up && wait_for 60 eval 'vaioctl disk stats d1 | grep -q "hot_extents = 0"'; }

agent_kill
dmsetup remove --retry d1
dmsetup create faulty --table "$(side_table 'linear /dev/side1 0')"
faulty_up
agent_start
check 'a disk with a sidecar that will fail is replicated' settled
dmesg -C
check 'the sidecar fails' outage 100
like 'and nothing can be noted' "$(dmesg)" 'takes no writes, not even the flag must-compare'
check 'it works again, and the disk is removed at once' eval 'side_works; dmsetup remove --retry d1'
is 'the sidecar is clean' "$(sidecar_says 1 state)" '"clean"'
check 'but everything is to be compared' must_compare
faulty_up
agent_start
copies_equal 'it is, and the copies become equal'
check 'the sidecar is trusted' wait_for 60 trusted

check 'the sidecar fails again' outage 2100
check 'the disk is removed' dmsetup remove --retry d1
side_works
check 'the sidecar knows nothing of it' trusted
check 'the disk starts again' faulty_up
check 'and everything is to be compared' must_compare
agent_start
copies_equal 'it is, and the copies become equal again'
check 'the sidecar is trusted then' wait_for 60 trusted

check 'it is caught up' settled
check 'the sidecar fails a third time' outage 4100
check 'it works again, and the disk is suspended and resumed' eval 'side_works; dmsetup suspend d1 && dmsetup resume d1'
check 'the extents that are hot are noted on it' intent_noted
agent_start
copies_equal 'and the copies become equal once more'

# --- a sidecar of which superblocks and pages fail or wait, each by itself

# Its superblocks (2056 sectors), and the page that says what is hot, are devices over others that fail or are suspended
at=$(($(vaioctl --json sidecar dump /dev/side1 | jq '[.. | objects | select(.name? == "intent").offset] | first') / 512))
super_is() { echo "0 2056 $1 /dev/side1 0${*:2}"; }
page_is() { echo "0 8 $1 /dev/side1 $at${*:2}"; }
becomes() { dmsetup load "$1" --table "$2" && dmsetup suspend "$1" && dmsetup resume "$1"; }
fails=(flakey ' 0 60 1 error_writes')
under_way() { [[ $(awk '{ print $2 }' "/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor "$1")/inflight") != 0 ]]; }
sidecar_failed() { vaioctl disk show d1 | grep -q 'sidecar *= *failed'; }
write_extent() { dd if=/dev/urandom of=/dev/mapper/d1 bs=4096 count=1 seek=$(($1 << 10)) oflag=direct status=none; }

check 'a sidecar in parts' eval '
	dmsetup create super0 --table "$(super_is linear)" && dmsetup create page0 --table "$(page_is linear)" &&
	dmsetup create super --table "0 2056 linear /dev/mapper/super0 0" &&
	dmsetup create page --table "0 8 linear /dev/mapper/page0 0" &&
	becomes faulty "0 2056 linear /dev/mapper/super 0
2056 $((at - 2056)) linear /dev/side1 2056
$at 8 linear /dev/mapper/page 0
$((at + 8)) $(($(blockdev --getsz /dev/side1) - at - 8)) linear /dev/side1 $((at + 8))"'
agent_kill
check 'of a disk that starts anew' eval 'dmsetup remove --retry d1 && faulty_up'
agent_start
copies_equal 'and is compared'
check 'is trusted' eval 'settled && wait_for 60 trusted'

# it takes no pages, and the flag must-compare is still on its way
becomes page0 "$(page_is "${fails[@]}")"
dmsetup suspend super0
write_extent 5 &
waits=$!
check 'the flag is being written' wait_for 60 under_way super
check 'because a page failed' wait_for 60 sidecar_failed
is 'until then no write goes on of which nothing is noted' "$(nowait d1 6 6)" 1
dmsetup resume super0
wait $waits
is 'then they do' "$? $(write_extent 6; echo $?)" '0 0'
check 'and the flag is there' must_compare
becomes page0 "$(page_is linear)"
agent_kill
check 'the disk starts again with a sidecar that works' eval 'dmsetup remove --retry d1 && faulty_up'
agent_start
copies_equal 'the copies become equal'
check 'and the sidecar is trusted' eval 'settled && wait_for 60 trusted'

# it takes no superblock, and nothing is written that would make anybody look again
agent_kill
becomes super0 "$(super_is "${fails[@]}")"
vaioctl event post d1 revert >/dev/null 2>&1
check 'the sidecar took nothing' eval 'sidecar_failed && trusted'
becomes super0 "$(super_is linear)"
check 'it is told when it works again, though the disk is idle' wait_for 60 must_compare

# it stops taking pages just when the flag is about to go
check 'the disk starts again' eval 'dmsetup suspend d1 && dmsetup resume d1'
vaioctl group set g resync_rate=64KiB
agent_start --mode full
check 'a resync has begun' wait_for 60 eval '
	[[ $(group_field ".disks[0].state") == resync && $(dirty 0) -lt $((MIB << 20)) ]] && ! bitmap_clean 1'
dmsetup suspend page0
write_extent 0 &
waits=$!
check 'a page is being written' wait_for 60 under_way page
vaioctl group set g resync_rate=any
check 'all is sent' wait_for 120 caught_up
check 'and the flag is the last that is left' wait_for 60 eval '[[ $(sidecar_says 1 flags) == "[\"must-compare\"]" ]]'
becomes page0 "$(page_is "${fails[@]}")"
wait $waits
is 'the write that found it is written' $? 0
check 'the disk is removed' dmsetup remove --retry d1
check 'everything is still to be compared' must_compare
becomes page0 "$(page_is linear)"
faulty_up
agent_kill
agent_start
copies_equal 'it is, and the copies are equal'
agent_kill
dmsetup remove --retry d1
for part in faulty super page super0 page0; do dmsetup remove --retry $part; done
dmsetup create d1 --table "$(repl_table 1 group g)"
agent_start

# --- the bytes change beneath a disk

# beneath N BLOCK: of 4 KiB, as a snapshot that is rolled back does it
beneath() { dd if=/dev/urandom of="/dev/data$1" bs=4096 count=1 seek="$2" oflag=direct conv=notrunc status=none; }

check 'what was compared is trusted' wait_for 60 eval '! must_compare 1'
: >"$WORK/agent"
beneath 1 301
check 'a disk whose bytes changed beneath it is told so' vaioctl event post d1 revert
copies_equal 'all of it is compared, and the copies become equal'
like 'the replica is told why' "$(cat "$WORK/agent")" 'RESYNC_BEGIN gap=2'
check 'and it is trusted again' wait_for 60 eval '! must_compare 1'
dmsetup suspend d1
beneath 1 302
check 'the same while it is suspended' vaioctl event post d1 revert
dmsetup resume d1
copies_equal 'the copies become equal'
check 'it is trusted again' wait_for 60 eval '! must_compare 1'
agent_kill
beneath 1 303
vaioctl event post d1 revert >/dev/null
check 'the sidecar says so before the event is answered' must_compare 1
repl_down && vaioctl group delete g
new_group && repl_up group g
agent_start
copies_equal 'so that it is compared by the next agent, after a clean stop too'
check 'and is trusted then' wait_for 60 eval '! must_compare 1'
agent_kill
dmsetup suspend d1
beneath 1 304
vaioctl event post d1 revert >/dev/null
repl_down && vaioctl group delete g
check 'a disk that is removed before it goes on says so as well' must_compare 1
new_group && repl_up group g
agent_start
copies_equal 'and is compared'

# --- a snapshot has a name in the stream

token=$(vaioctl --json event post d1 snapshot --phase prepare --arg nightly | jq .token)
check 'a snapshot is committed' vaioctl event post d1 snapshot --phase commit --token "$token"
check 'a checkpoint of its name follows what was written before' wait_for 60 grep -q 'CHECKPOINT nightly' "$WORK/agent"

# --- in another group, while the own one has no replica

h_agent() {
	mkdir -p "$COPIES.h"
	repl-agent --group h --dir "$COPIES.h" "$@" >>"$WORK/agent.h" 2>&1 &
	h_pid=$!
}
check 'both are trusted' wait_for 60 eval '! must_compare 1 && ! must_compare 2'
agent_kill
vaioctl group set g on_loss=track
writer --streams 4 --count 200 --max 262144 --seed "$((VAIO_SEED + 96))" >/dev/null
is 'the group tracks' "$(group_state)" tracking
check 'another group is made' vaioctl group create h ring=16MiB
check 'a disk leaves its group' vaioctl group remove g d1
check 'and joins the other' wait_for 20 vaioctl group add h d1
h_agent --mode full
check 'it is replicated there' wait_for 120 caught_up h
dd if=/dev/urandom of=/dev/mapper/d1 bs=4096 count=9 seek=400 oflag=direct status=none
check 'with what is written meanwhile' wait_for 120 eval 'caught_up h && bitmap_clean 1 && ! must_compare 1'
: >"$WORK/agent"
vaioctl group set g on_loss=stall:60s,track
agent_start
check 'the replica learns that it left, though nothing could tell it then' wait_for 120 grep -q 'MEMBER . down' "$WORK/agent"
wait_for 120 caught_up
kill -9 "$h_pid"
check 'it leaves again' vaioctl group remove h d1
check 'and comes back' wait_for 20 vaioctl group add g d1
copies_equal 'what was written elsewhere is found'
check 'the other group is deleted' wait_for 20 vaioctl group delete h

# --- local writes that take long, and that fail

# A write of d1 is under way; what d2 wrote after it is done.
in_order() {
	local published records slow_pid
	published=$(counter published)
	records=$(counter records)
	dmsetup suspend flaky1
	dd if=/dev/urandom of=/dev/mapper/d1 bs=4k count=1 seek=5 oflag=direct status=none &
	slow_pid=$!
	wait_for 60 eval "[[ \$(counter records) -gt $records ]]"
	check 'a write of one disk overtakes that of another' \
		dd if=/dev/urandom of=/dev/mapper/d2 bs=4k count=1 seek=5 oflag=direct status=none
	is 'it has its place behind it' "$(counter records)" $((records + 2))
	is 'and is not visible before it' "$(counter published)" "$published"
	dmsetup resume flaky1
	wait "$slow_pid"
	copies_equal 'then both are'
}

# half_flakey: each second MiB of data1 takes no writes
half_flakey() {
	local i
	for ((i = 0; i < MIB; i += 2)); do
		echo "$((i * 2048)) 2048 linear /dev/data1 $((i * 2048))"
		echo "$(((i + 1) * 2048)) 2048 flakey /dev/data1 $(((i + 1) * 2048)) 0 60 1 error_writes"
	done
}
# flaky1_becomes TABLE
flaky1_becomes() { dmsetup load flaky1 <<<"$1" && dmsetup suspend flaky1 && dmsetup resume flaky1; }
for mode in async sync; do
	vaioctl group set g mode=$mode on_loss=stall:60s,track
	dmsetup create flaky1 --table "0 $((MIB * 2048)) linear /dev/data1 0"
	agent_kill
	dmsetup remove --retry d1
	dmsetup create d1 --table "$(DATA=/dev/mapper/flaky repl_table 1 group g)"
	agent_start --again
	check "$mode: the disk over a device that will fail is replicated" wait_for 120 caught_up
	[[ $mode == sync ]] || in_order
	flaky1_becomes "$(half_flakey)"
	check_fails "$mode: a failed write is a failed write" 'Input/output error' \
		dd if=/dev/urandom of=/dev/mapper/d1 bs=64k count=4 seek=20 oflag=direct status=none
	check "$mode: it is a void record" test "$(counter voids)" -gt 0
	# Streams that overlap, and of each some writes fail, and of some writes a part
	voids=$(counter voids)
	writer_start --streams 16 --max 1048576 --discard --flush --errors --seed "$((VAIO_SEED + 95))"
	check "$mode: many fail under load" wait_for 120 eval '[[ $(counter voids) -ge $((voids + 100)) ]]'
	# No write after the last that failed: it would make equal what nobody marked.
	writer_stop
	flaky1_becomes "0 $((MIB * 2048)) linear /dev/data1 0"
	copies_equal "$mode: afterwards the copies are equal"
	agent_kill
	dmsetup remove --retry d1
	dmsetup remove --retry flaky1
	dmsetup create d1 --table "$(repl_table 1 group g)"
	agent_start
	wait_for 120 caught_up
done

# --- blocks that cannot be read

# flaky1_is LINE...: its table from now on
flaky1_is() {
	printf '%s\n' "$@" | dmsetup load flaky1 && dmsetup suspend flaky1 && dmsetup resume flaky1
}
# What was read of it, well or not
flaky1_reads() { awk '{ print $1 }' "/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor flaky1)/stat"; }
reason() { vaioctl --json disk show d1 | jq -r 'first(.. | objects | .reason // empty)'; }

agent_kill
vaioctl group set g mode=async on_loss=track
dmsetup remove --retry d1
dmsetup create flaky1 --table "0 $((MIB * 2048)) linear /dev/data1 0"
dmsetup create d1 --table "$(DATA=/dev/mapper/flaky repl_table 1 group g)"
agent_start
wait_for 120 caught_up
agent_kill
check 'the ring is full' wait_for 60 eval '
	dd if=/dev/urandom of=/dev/mapper/d1 bs=512k count=8 oflag=direct status=none; state_is tracking'
dd if=/dev/urandom of=/dev/mapper/d2 bs=64k count=32 oflag=direct status=none
check 'then 64 KiB cannot be read' flaky1_is '0 2560 linear /dev/data1 0' '2560 128 error' \
	"2688 $((MIB * 2048 - 2688)) linear /dev/data1 2688"
agent_start
check 'all else is sent, of both disks' wait_for 120 eval '[[ $(dirty 0) -le 131072 && $(dirty 1) == 0 ]]'
check 'what was not stays dirty' test "$(dirty 0)" -ge 65536
check 'the disk says so' wait_for 120 eval '[[ $(reason) == *"no recovery points: some blocks cannot be read" ]]'
before=$(flaky1_reads)
check 'its reads are counted' test "${before:-0}" -gt 0
read -r now _ </proc/uptime
check 'writes go on' dd if=/dev/urandom of=/dev/mapper/d1 bs=64k count=4 seek=200 oflag=direct status=none
check 'and are sent' wait_for 60 eval '[[ $(counter backlog_records) == 0 ]]'
is 'without a point' "$(group_state)" resync
# at most eight reads at a time, each ten seconds
reads=$(($(flaky1_reads) - before))
read -r then _ </proc/uptime
check 'it is not read again and again' test "$reads" -le $((8 * ((${then%.*} - ${now%.*}) / 10 + 2)))
flaky1_is "0 $((MIB * 2048)) linear /dev/data1 0"
copies_equal 'it can be read again, and the copies become equal'
check 'the disk is well again' wait_for 120 eval '[[ $(dmsetup status d1) == *" active "* ]]'
agent_kill
dmsetup remove --retry d1
dmsetup remove --retry flaky1
dmsetup create d1 --table "$(repl_table 1 group g)"

# --- growth

agent_kill
repl_down
mem_disk large $((4 * MIB))
mem_disk sidel 4
vaioctl sidecar format /dev/sidel --device /dev/large --disk "$(disk_uuid 3)" --grow-factor 2 --epochs 0 >/dev/null
large() { echo "0 $1 vaio /dev/large 0 4 uuid $(disk_uuid 3) sidecar /dev/sidel 1 replication 2 group g"; }
dmsetup create d3 --table "$(large $((MIB * 2048)))"
agent_start --mode full
check 'a third disk is replicated' wait_for 120 caught_up
dmsetup load d3 --table "$(large $((MIB * 4096)))"
check 'it grows' eval 'dmsetup suspend d3 && dmsetup resume d3'
dd if=/dev/urandom of=/dev/mapper/d3 bs=1M count=2 seek=$((MIB + 5)) oflag=direct status=none
wait_for 120 caught_up
check 'and the copy with it' cmp -n $((2 * MIB << 20)) /dev/large "$COPIES/$(disk_uuid 3)"
agent_kill
dmsetup load d3 --table "$(large $((MIB * 2048)))"
check_fails 'it cannot become smaller' '' eval 'dmsetup suspend d3 && dmsetup resume d3'
dmsetup remove --retry d3
# what a volume is extended by has bytes of other volumes
dd if=/dev/urandom of=/dev/large bs=1M count=3 seek=$((2 * MIB + 7)) oflag=direct status=none
dmsetup create d3 --table "$(large $((3 * MIB * 2048)))"
check 'what it grew by while it was down is dirty' test "$(dirty 0)" -ge $((MIB << 20))
agent_start
check 'such a disk is replicated' wait_for 120 caught_up
check 'and the copy becomes equal' cmp -n $((3 * MIB << 20)) /dev/large "$COPIES/$(disk_uuid 3)"
agent_kill
dmsetup load d3 --table "$(large $((4 * MIB * 2048)))"
check 'it grows without an agent' eval 'dmsetup suspend d3 && dmsetup resume d3'
# as it is when the host crashes now
dd if=/dev/sidel of="$WORK/sidel" bs=1M iflag=direct status=none
dmsetup remove --retry d3
dd if="$WORK/sidel" of=/dev/sidel bs=1M oflag=direct status=none
blockdev --flushbufs /dev/sidel
dmsetup create d3 --table "$(large $((4 * MIB * 2048)))"
check 'what it grew by just before a crash is dirty' test "$(dirty 0)" -ge $((MIB << 20))
dmsetup remove --retry d3

# --- the capture is lost again, before the replica ever had all

replicated() { dmsetup status d1 | awk '{ print $4 }'; }
d1_is() { [[ $(replicated) == "$1" ]]; }
vaioctl group set g on_loss=track
repl_up group g
agent_start
wait_for 120 caught_up
agent_kill
check 'a gap begins' wait_for 60 eval '
	dd if=/dev/urandom of=/dev/mapper/d1 bs=512k count=8 oflag=direct status=none; state_is tracking'
repl_down
repl_up group g
is 'a disk that starts with a gap behind it is active' "$(replicated)" active
vaioctl group set g resync_rate=64KiB
agent_start
check 'the resync begins' wait_for 60 state_is resync
# What a resync reads is bounded, what guests write is not. Three reads of 128 KiB may end in the time that begin outside of it.
read -r now _ </proc/uptime
before=$(counter resync_bytes)
check 'beside it writes go on' dd if=/dev/urandom of=/dev/mapper/d2 bs=256k count=8 oflag=direct status=none
check 'and are sent' wait_for 60 eval '[[ $(counter backlog_records) == 0 ]]'
resent=$(($(counter resync_bytes) - before))
read -r then _ </proc/uptime
check 'the resync keeps to its rate' test "$resent" -le $((3 * 131072 + 65536 * (${then%.*} - ${now%.*} + 1)))
is 'and has most of it before it' "$(group_state) $(($(dirty 0) >= 2 << 20))" 'resync 1'
agent_kill
check 'and there is a gap in it' wait_for 60 eval '
	dd if=/dev/urandom of=/dev/mapper/d1 bs=512k count=8 oflag=direct status=none; state_is tracking'
check 'the disk says so' wait_for 20 d1_is degraded
vaioctl group set g resync_rate=any
agent_start
copies_equal 'the copies become equal'
check 'and the disk is well again' wait_for 20 d1_is active
agent_kill
repl_down

# --- writes that may not wait

check 'the group is deleted' vaioctl group delete g
# with a cache, so that flushes reach it
mem_disk wide 264 512 cache_size=8
mem_disk sidew 4
vaioctl sidecar format /dev/sidew --device /dev/wide --disk "$(disk_uuid 4)" --grow-factor 1 --epochs 0 >/dev/null
check 'a disk of which 64 extents may be hot' dmsetup create d4 --table \
	"0 $((264 * 2048)) vaio /dev/wide 0 4 uuid $(disk_uuid 4) sidecar /dev/sidew 1 replication 2 intent_cap 64"
is 'writes that may not wait are refused by cold extents' "$(nowait d4 0 63)" 64
head -c 4096 /dev/urandom >"$WORK/block"
dd if="$WORK/block" of=/dev/mapper/d4 bs=4k seek=$((64 << 10)) oflag=direct status=none &
waits=$!
wait_for 60 eval '! kill -0 $waits' || bail 'one that waits finds a place'
wait "$waits"
is 'one that waits finds a place' $? 0
check 'it is written' cmp -n 4096 /dev/wide "$WORK/block" $((64 << 22)) 0
is 'to its extent others go without waiting' "$(nowait d4 64 64)" 0
check 'the disk is suspended' timeout 60 dmsetup suspend d4
check 'and resumed' dmsetup resume d4
dmsetup remove --retry d4

# --- a device that fails flushes, and nothing else

# its last blocks, which are not the disk's, see them too
flushes_are() {
	printf '%s\n' "0 $((264 * 2048)) linear /dev/wide 0" "$((264 * 2048)) 8 $1 /dev/wide 0${*:2}"
}
d4_is() { [[ $(dmsetup status d4 | awk '{ print $4 }') == "$1" ]]; }
write_d4() { # FIRST LAST: one write to each of these extents
	local i
	for ((i = $1; i <= $2; i++)); do
		dd if="$WORK/block" of=/dev/mapper/d4 bs=4k seek=$((i << 10)) oflag=direct status=none || return
	done
}
d4_flags() { vaioctl --json sidecar show /dev/sidew | jq -c .flags; }

dmsetup create wide0 --table "$(flushes_are linear)"
dmsetup create d4 --table "0 $((264 * 2048)) vaio /dev/mapper/wide0 0 4 uuid $(disk_uuid 4) sidecar /dev/sidew 1 replication 2 intent_cap 64"
becomes wide0 "$(flushes_are "${fails[@]}")"
check_fails 'flushes fail' 'fsync failed' dd if="$WORK/block" of=/dev/mapper/wide0 oflag=direct conv=fsync,notrunc bs=4k status=none
check 'extents become hot, as many as may' write_d4 0 63
is 'nothing is wrong yet' "$(d4_flags)" '[]'
write_d4 64 65 &
waits=$!
check 'writes that need a slot wait no longer than it has to be' wait_for 60 eval '! kill -0 $waits'
is 'all is to be compared' "$(d4_flags)" '["must-compare"]'
check 'and the disk says why' wait_for 60 eval '[[ $(vaioctl --json disk show d4) == *"the device below fails flushes"* ]]'
becomes wide0 "$(flushes_are linear)"
wait "$waits"
is 'they are written' $? 0
check 'the disk starts again when flushes are well' eval 'dmsetup suspend d4 && dmsetup resume d4'
check 'nothing is wrong with it' wait_for 60 d4_is active
is 'and it is still to be compared' "$(d4_flags)" '["must-compare"]'
check 'extents turn cold again, and others hot' write_d4 0 65
dmsetup remove --retry d4
dmsetup remove --retry wide0

# --- reads of a resync that end in the next one: four of eight, so these find an own place

mem_disk data5 1
mem_disk side5 4
dmsetup create slow5 --table '0 1024 linear /dev/data5 0'
vaioctl sidecar format /dev/side5 --device /dev/mapper/slow5 --disk "$(disk_uuid 5)" --grow-factor 1 --epochs 0 >/dev/null
vaioctl group create g
check 'a small disk' dmsetup create d5 --table \
	"0 1024 vaio /dev/mapper/slow5 0 4 uuid $(disk_uuid 5) sidecar /dev/side5 1 replication 2 group g"
agent_start --mode full
check 'is replicated' wait_for 60 caught_up
agent_kill
check 'its backing device waits' dmsetup suspend --noflush slow5
rm -f "$COPIES/state"
agent_start --mode check
check 'all is to be compared' wait_for 60 grep -q 'START d5 mode=1' "$WORK/agent"
agent_kill
rm -f "$COPIES/state"
agent_start
check 'and, since that is lost, sent' wait_for 60 grep -q 'START d5 mode=0' "$WORK/agent"
sent=$(counter resync_bytes)
dmsetup resume slow5
check 'it goes on' wait_for 60 caught_up
is 'each block is sent once' $(($(counter resync_bytes) - sent)) $((512 << 10))
agent_kill
dmsetup remove --retry d5
dmsetup remove slow5
vaioctl group delete g
check 'the probe filters unload' rmmod vaio_probe
repl_unload
done_testing
