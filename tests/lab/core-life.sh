#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A disk's life: failing tables, suspends with ios that wait, own I/O, removal,
# and filters that fail or hang.

. "$(dirname "$0")/core-lib.sh"

core_modules
mem_disk a 32
mem_disk b 32
head -c 4096 /dev/urandom >"$WORK/block"
head -c 4096 /dev/urandom >"$WORK/other"
A=$(uuid 1) B=$(uuid 2) C=$(uuid 3)

# --- preresume fails at every slot and stage; then the old line works again

mapfile -t filters < <(all_probes log yes)
good=$(table 65536 /dev/a "$A" "${filters[@]}")
check 'five slots' dmsetup create v1 --table "$good"
write_block v1 "$WORK/block"
# refusal STAGE FILTER: what the log says of it
refusal() {
	case $1 in
	check) echo "filter '$2' refuses the table: fail_check: 'yes' asks for this" ;;
	attach) echo "filter '$2' failed to attach: error -28" ;;
	start) echo "filter '$2' failed to start: error -5" ;;
	remove) echo "filter '$2' refuses to be removed: error -16" ;;
	esac
}
for stage in check attach start remove; do
	for c in 0 1 2 3 4; do
		name="${probes[c]} fails to $stage"
		if [[ $stage == attach || $stage == remove ]]; then
			# a slot of its own: it comes, or goes
			base=("${filters[@]}")
			unset "base[$c]"
			lacking=$(table 65536 /dev/a "$A" "${base[@]}")
		fi
		new=("${filters[@]}")
		new[c]="${probes[c]} log yes fail_$stage yes"
		bad=$(table 65536 /dev/a "$A" "${new[@]}")
		case $stage in
		attach) old=$lacking
			reload v1 "$old" || not_ok "$name: the slot is taken away" ;;
		remove) old=$bad bad=$lacking
			reload v1 "$old" || not_ok "$name: the slot takes the word" ;;
		*) old=$good ;;
		esac
		log_clear
		dmsetup load v1 --table "$bad" || not_ok "$name: it loads"
		dmesg -C
		check_fails "$name: resume fails" 'failed' dmsetup resume v1
		like "$name: the log says why" "$(dmesg)" "table not activated: $(refusal "$stage" "${probes[c]}")"
		is "$name: the disk is parked" "$(state_of v1)" parked
		check "$name: the old line loads and resumes" reload v1 "$old"
		is "$name: the disk is active" "$(state_of v1)" active
		check "$name: the data is there" same_block v1 "$WORK/block"
		if [[ $(log_now) =~ :(attach|detach) ]]; then
			not_ok "$name: the slots lived on" "$(log_now)"
		else
			ok "$name: the slots lived on"
		fi
	done
	reload v1 "$good" || not_ok "the good line loads after $stage"
done

# --- a slot on its way out offers nothing to those that start

reload v1 "$(table 65536 /dev/a "$A" 'probe-cache log yes' 'probe-encryption transform yes')"
log_clear
dmsetup suspend v1
dmsetup resume v1
like 'a cache starts with the transform of the encryption below' "$(log_now)" 'C:start-with-transform'
log_clear
reload v1 "$(table 65536 /dev/a "$A" 'probe-cache log yes')"
like 'and without it when the encryption goes' "$(log_now)" 'C:start( |$)'
reload v1 "$good"

# --- memory while a filesystem on the disk is frozen

reclaims=/sys/module/vaio_probe/parameters/reclaims
exec {user}<>/dev/mapper/v1
echo 0 >$reclaims
reload v1 "$(table 65536 /dev/a "$A" 'probe-cache log yes')"
reload v1 "$good" || not_ok 'the good line loads under a user'
is 'slots of a disk in use get no memory by writing to it' "$(<$reclaims)" 0
exec {user}>&-

# --- a table that fails

vaioctl --verbose --json event monitor >"$WORK/events" 2>"$WORK/listening" &
monitor=$!
wait_for 60 grep -q listening "$WORK/listening" || bail 'the monitor listens'
check 'a disk whose table failed can be removed' bash -c "
	dmsetup load v1 --table '$(table 65536 /dev/a "$A" 'probe-qos fail_start yes')' &&
	! dmsetup resume v1 && dmsetup remove v1"
dmesg -C
check_fails 'a disk whose first table fails is not made' 'failed' \
	dmsetup create v1 --table "$(table 65536 /dev/a "$C" 'probe-qos fail_start yes')"
like 'the log says which filter failed' "$(dmesg)" "filter 'probe-qos' failed to start"
check 'another disk is made, and goes' bash -c "
	dmsetup create v2 --table '$(table 65536 /dev/b "$B")' && dmsetup remove v2"
# types UUID: of the events that were heard of this disk; they are told when they begin and when they end
types() {
	jq -rs --arg u "$1" '[.[] | select(.uuid == $u and .type != "state")] | unique_by(.token) |
		map(.type) | join(" ")' "$WORK/events"
}
heard() { [[ $(types "$1") == "$2" ]]; }
check 'both are heard of' wait_for 60 heard "$B" 'attach detach'
is 'of the disk that had been live, its detach' "$(types "$A")" 'detach'
is 'of the one that never was live, nothing' "$(types "$C")" ''
kill "$monitor"
wait "$monitor" 2>/dev/null
check 'the good one is made then' attached v1 "$good"

# --- order of a suspend

log_clear
dmsetup suspend v1
is 'suspend: quiesce from top to bottom, then stop from top to bottom' "$(log_now)" \
	'I:quiesce R:quiesce C:quiesce Q:quiesce E:quiesce I:stop R:stop C:stop Q:stop E:stop'
log_clear
dmsetup resume v1
is 'resume: adopt and start from bottom to top, then unquiesce' \
	"$(log_now | sed 's/ [IRCQE]:event[^ ]*//g')" \
	'E:adopt Q:adopt C:adopt R:adopt I:adopt E:start Q:start C:start R:start I:start E:unquiesce Q:unquiesce C:unquiesce R:unquiesce I:unquiesce'
dmsetup remove v1

# --- a filter that starts and says that something is wrong

check 'a filter says when it starts that something is wrong' \
	dmsetup create v1 --table "$(table 65536 /dev/a "$A" 'probe-qos degraded yes')"
is 'the disk shows it' "$(state_of v1)" degraded
check 'it is suspended' dmsetup suspend v1
is 'the disk is suspended' "$(state_of v1)" suspended
check 'and resumed' dmsetup resume v1
is 'the disk shows it again' "$(state_of v1)" degraded
check 'with another table nothing is wrong' reload v1 "$(table 65536 /dev/a "$A" probe-qos)"
is 'and the disk is active' "$(state_of v1)" active
dmsetup remove v1

# --- suspends while ios wait

for filter in probe-inspection probe-qos; do
	for way in submit complete enter; do
		check "$filter holds ios in $way" dmsetup create v1 --table \
			"$(table 65536 /dev/a "$A" "$filter ${way}_write defer-paced hold yes" 'probe-cache')"
		write_block v1 "$WORK/other" 5 &
		writer=$!
		check "$filter, $way: an io is parked" wait_for 60 parked v1 "$filter" 1
		check "$filter, $way: suspend ends" timeout 120 dmsetup suspend v1
		ended_well "$filter, $way: and so did the io" "$writer"
		check "$filter, $way: resume" dmsetup resume v1
		check "$filter, $way: its data is there" same_block v1 "$WORK/other" 5
		write_block v1 "$WORK/block" 5 &
		writer=$!
		wait_for 60 parked v1 "$filter" 1
		check "$filter, $way: parked ios are released by a message" dmsetup message v1 0 "$filter" set release all
		wait "$writer"
		is "$filter, $way: nothing waits" "$(slot_field v1 "$filter" 5)" 0
		dmsetup remove v1
	done
done

check 'ordered ios wait in both directions' dmsetup create v1 --table "$(table 65536 /dev/a "$A" \
	'probe-cache submit_all defer-ordered delay_ms 100' 'probe-qos complete_all defer-ordered delay_ms 100' 'probe-encryption submit_write defer-async')"
for i in 1 2 3 4; do write_block v1 "$WORK/other" "$i" & writers[i]=$!; done
check 'a suspend waits for them' timeout 120 dmsetup suspend v1
is 'and then nothing waits' "$(slot_field v1 probe-cache 5) $(slot_field v1 probe-qos 5)" '0 0'
dmsetup resume v1
for i in 1 2 3 4; do ended_well "write $i has ended well" "${writers[i]}"; done
check 'a flush waits like the others' bash -c 'exec 9<>/dev/mapper/v1; sync -d /dev/mapper/v1'
dmsetup remove v1

# --- whom a write is charged to: the submitter, also when a worker sends it

cgroup=/sys/fs/cgroup/vaio-life
echo +io >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$cgroup"
# charged: bytes that the cgroup has written to the backing device
charged() {
	local number
	number=$(lsblk -dno MAJ:MIN /dev/a | tr -d ' ')
	sed -n "s/^$number .*wbytes=\([0-9]*\).*/\1/p" "$cgroup/io.stat"
}
charge=0
for filters in probe-qos 'probe-qos submit_write sub' 'probe-qos submit_write defer-ordered delay_ms 1' \
	'probe-replication submit_write defer-async delay_ms 1:probe-qos submit_write sub'; do
	IFS=: read -ra slots <<<"$filters"
	check "$filters" dmsetup create v1 --table "$(table 65536 /dev/a "$A" "${slots[@]}")"
	check 'a task of a cgroup writes' bash -c "echo \$\$ >$cgroup/cgroup.procs &&
		exec dd if='$WORK/block' of=/dev/mapper/v1 bs=4096 count=1 oflag=direct conv=notrunc status=none"
	charge=$((charge + 4096))
	is 'the write is charged to the cgroup' "$(charged)" "$charge"
	dmsetup remove v1
done
rmdir "$cgroup"

# noflush: what is parked goes back to device-mapper and comes again by the next table
check 'ios are held' dmsetup create v1 --table "$(table 65536 /dev/a "$A" 'probe-qos submit_write defer-paced hold yes')"
write_block v1 "$WORK/other" 7 &
writer=$!
wait_for 60 parked v1 probe-qos 1
check 'a noflush suspend ends' timeout 120 dmsetup suspend --noflush --nolockfs v1
is 'nothing is parked' "$(slot_field v1 probe-qos 5)" 0
check 'the io has not ended' kill -0 "$writer"
check 'a table without holding' reload v1 "$(table 65536 /dev/a "$A" 'probe-qos')"
ended_well 'ends it well' "$writer"
check 'and its data is there' same_block v1 "$WORK/other" 7
dmsetup remove v1

# --- own I/O

check 'own writes go on and on' dmsetup create v1 --table "$(table 65536 /dev/a "$A" \
	'probe-replication submit_all pass' 'probe-cache own_io 32768+4096' 'probe-encryption submit_write sub')"
printf 'C%.0s' {1..4096} >"$WORK/own"
check 'they reach the disk' wait_for 60 same_block v1 "$WORK/own" 4600
for ((i = 0; i < $(scaled 50); i++)); do
	timeout 120 dmsetup suspend v1 && dmsetup resume v1 || { not_ok "suspend $i under own I/O"; break; }
done
is 'suspends under own I/O' "$i" "$(scaled 50)"
for ((i = 0; i < $(scaled 20); i++)); do
	dd if=/dev/zero of=/dev/mapper/v1 bs=4096 seek=4096 count=512 oflag=direct conv=notrunc status=none
	timeout 120 dmsetup suspend v1 && dmsetup resume v1 || { not_ok "suspend $i under own and guest I/O"; break; }
done
check 'own writes still arrive' wait_for 60 same_block v1 "$WORK/own" 4600
check 'removal under own I/O' timeout 120 dmsetup remove v1

# --- substitutes, two in one stack

check 'two slots that substitute' dmsetup create v1 --table "$(table 65536 /dev/a "$A" \
	'probe-replication submit_all sub max_io 64' 'probe-qos submit_all defer-paced' 'probe-encryption submit_all sub')"
check 'data comes back' fio --name=sub --filename=/dev/mapper/v1 --direct=1 --rw=randrw --bsrange=512-128k \
	--size=4M --io_size=2M --verify=crc32c --ioengine=libaio --iodepth=8 --output-format=terse
check 'and is the same without them' bash -c "
	dmsetup suspend v1 && cp --sparse=never /dev/null '$WORK/x' &&
	dd if=/dev/a of='$WORK/raw' bs=1M count=4 iflag=direct status=none && dmsetup resume v1 &&
	dd if=/dev/mapper/v1 bs=1M count=4 iflag=direct status=none | cmp - '$WORK/raw'"
dmsetup remove v1

# --- removal with openers

check 'a disk with an opener' dmsetup create v1 --table "$(table 65536 /dev/a "$A" 'probe-qos')"
exec 9<>/dev/mapper/v1
check_fails 'is not removed' 'busy' dmsetup remove v1
check 'deferred removal is accepted' dmsetup remove --deferred v1
check 'its opener goes on' dd if="$WORK/block" of=/dev/fd/9 bs=4096 count=1 conv=notrunc status=none
check 'and so do messages' dmsetup message v1 0 probe-qos set release all
exec 9>&-
check 'with the opener it goes' wait_for 60 gone v1
# device-mapper forgets its name first and then destroys the table
check 'and leaves nothing: its range is free' wait_for 60 dmsetup create v1 --table "$(table 65536 /dev/a "$B")"
dmsetup remove v1

# --- a filter that fails, one that hangs: the other disk does not notice

dmsetup create v1 --table "$(table 65536 /dev/a "$A" 'probe-cache submit_write fail status nospc' 'probe-qos')"
dmsetup create v2 --table "$(table 65536 /dev/b "$B" 'probe-cache' 'probe-qos')"
fio --name=v2 --filename=/dev/mapper/v2 --direct=1 --rw=randwrite --bs=4k --size=4M --verify=crc32c \
	--ioengine=libaio --iodepth=8 --output-format=terse >"$WORK/fio" 2>&1 &
neighbour=$!
check_fails 'a failed write fails as the filter said' 'No space left' write_block v1 "$WORK/block"
is 'and is counted' "$(slot_field v1 probe-cache 3)" 1
ended_well "the other disk's fio has no error" "$neighbour"
is 'nor has its filter' "$(slot_field v2 probe-cache 3)" 0
dmsetup message v1 0 probe-cache set submit_write pass

dmsetup message v1 0 probe-qos set submit_write defer-paced
reload v1 "$(table 65536 /dev/a "$A" 'probe-qos submit_write defer-paced hold yes')"
write_block v1 "$WORK/block" &
writer=$!
wait_for 60 parked v1 probe-qos 1
echo 1 >/sys/module/vaio_probe/parameters/stuck
dmsetup message v1 0 probe-qos set release all &
message=$!
waits() { [[ $(ps -o stat= "$1") == D* ]]; }
check 'a filter hangs in set() with an io parked' wait_for 60 waits "$message"
check 'the other disk answers status' timeout 60 dmsetup status v2
check 'the other disk works' timeout 60 dd if="$WORK/block" of=/dev/mapper/v2 bs=4096 count=1 oflag=direct conv=notrunc status=none
check 'the other disk is reloaded' timeout 60 bash -c "
	dmsetup load v2 --table '$(table 65536 /dev/b "$B" 'probe-qos')' && dmsetup resume v2"
check 'disks come and go' timeout 60 bash -c "
	dmsetup remove v2 && dmsetup create v2 --table '$(table 65536 /dev/b "$B")'"
# answers NAME REGEX COMMAND...: it ends soon, and its output matches. Not by
# timeout, which would wait for a process that waits in the kernel.
answers() {
	local name=$1 regex=$2
	shift 2
	"$@" >"$WORK/answer" 2>&1 &
	if wait_for 60 gone_pid "$!"; then
		like "$name" "$(<"$WORK/answer")" "$regex"
	else
		not_ok "$name" "it does not end: $*"
	fi
}
gone_pid() { [[ $(ps -o stat= "$1") =~ ^(Z.*|)$ ]]; }
answers 'the other disk is found by its name' 'v2' vaioctl disk show v2
dmesg -C
answers "the first one's UUID is refused to another device" 'busy' \
	dmsetup create v3 --table "$(table 4096 /dev/b "$A")"
like 'with its name' "$(dmesg)" "uuid $A is in use by device 'v1'"
echo 0 >/sys/module/vaio_probe/parameters/stuck
ended_well 'let go, the message is done' "$message"
ended_well 'and so is the io' "$writer"
dmsetup remove v1
dmsetup remove v2

core_unload
done_testing
