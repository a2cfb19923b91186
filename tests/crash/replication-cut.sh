#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Power cuts of the primary, with a volatile cache below. dm-log-writes has what the
# device got in the order of its flushes: replayed up to a mark it is what is left
# when the cache loses all it may lose. Data and sidecar lie on one such device, so
# a mark is one moment for both. After each cut the disk and its copy become equal.

MIB=288		# more extents than may be hot at a time
. "$(dirname "$0")/../lab/repl-lib.sh"

here=$(dirname "$0")
cap=64
repl_modules
modprobe dm-log-writes || bail 'dm-log-writes is there'
mem_disk base $((MIB + 8)) || bail 'a device'
mem_disk log 256 || bail 'a device for the log'
image=$WORK/image
truncate -s $((MIB + 8))M "$image"
ln -s mapper/data1 /dev/data1
ln -s mapper/side1 /dev/side1
defer rm /dev/data1 /dev/side1
uuid=$(disk_uuid 1)

power_on() {
	dmsetup create lw --table "0 $(((MIB + 8) * 2048)) log-writes /dev/base /dev/log" &&
		dmsetup create data1 --uuid lab-data1 --table "0 $((MIB * 2048)) linear /dev/mapper/lw 0" &&
		dmsetup create side1 --uuid lab-side1 --table "0 16384 linear /dev/mapper/lw $((MIB * 2048))"
}
disk_on() {
	vaioctl group create g ring=16MiB "on_loss=$1" &&
		dmsetup create d1 --table "$(repl_table 1 group g intent_cap $cap)"
}
# power_cut: what the log has up to now is all that is left
power_cut() {
	agent_kill
	dmsetup remove --retry d1 && vaioctl group delete g &&
		dmsetup remove --retry data1 && dmsetup remove --retry side1 && dmsetup remove --retry lw &&
		python3 "$here/logwrites.py" replay /dev/log "$image" cut || return
	blkdiscard /dev/base && dd if="$image" of=/dev/base bs=1M conv=sparse,fsync oflag=direct status=none &&
		blockdev --flushbufs /dev/base
}
equal() { blockdev --flushbufs /dev/data1 && cmp /dev/data1 "$COPIES/$uuid"; }
spilled() { vaioctl disk stats d1 | grep -q 'spilled_bytes = [1-9]'; }
write_some() { # SEED [OPTION]...
	local seed=$1
	shift
	repl-writer --streams 8 --count 60 --max 65536 --discard --seed "$seed" "$@" /dev/mapper/d1 >/dev/null
}

power_on || bail 'the devices are made'
vaioctl sidecar format /dev/side1 --device /dev/data1 --disk "$uuid" --grow-factor 1 --epochs 0 >/dev/null ||
	bail 'the sidecar is formatted'

rounds=$(scaled 30)
lost=0 behind=0 wide=0
how=(stall:60s,track stall:60s,track track)
mode=full
# A cut after which nothing is missing is one of a flush that came by itself; a few more then.
for ((round = 0; round < rounds || (lost == 0 && round < rounds + 12); round++)); do
	what="round $round"
	disk_on "${how[round % 3]}" || break
	agent_start --mode $mode
	wait_for 300 caught_up || break
	what="round $round: equal"
	equal || break
	mode=bitmap
	seed=$((VAIO_SEED + round * 10))
	case $((round % 3)) in
	0)	# the replica gets all, and the guest never flushes
		what="round $round: the replica gets all"
		write_some $seed && dmsetup message lw 0 mark cut && wait_for 120 caught_up ;;
	1)	# it gets nothing: a backlog over more extents than the cap
		agent_kill
		what="round $round: a backlog"
		write_some $seed --flush && dmsetup message lw 0 mark cut && { ! spilled || wide=$((wide + 1)); } ;;
	2)	# it is lost on the way: the group tracks
		what="round $round: tracking"
		write_some $seed --flush && agent_kill && write_some $((seed + 1)) --flush &&
			repl-writer --streams 4 --count 60 --max 1048576 --seed "$seed" /dev/mapper/d1 >/dev/null &&
			state_is tracking && dmsetup message lw 0 mark cut ;;
	esac || break
	what="round $round: the cut"
	power_cut && power_on || break
	if ! cmp -s -n $((MIB << 20)) "$image" "$COPIES/$uuid"; then
		[[ $((round % 3)) == 0 ]] && lost=$((lost + 1)) || behind=$((behind + 1))
	fi
	what=
done
disk_on track && agent_start --mode $mode && wait_for 300 caught_up
is 'after each power cut the disk and its copy become equal' "$what" ''
[[ -z $what ]] || note "$what"$'\n'"$(vaioctl group show g; tail -n 5 "$WORK/agent")"
check 'after the last one too' equal
check 'cuts took from the disk what the replica had' test $lost -gt 0
check 'and others left the copy behind' test $behind -gt 0
check 'with a backlog over more extents than may be hot' test $wide -gt 0
check 'no agent complained' agent_fine
like 'the kernel knew that the stops were unclean' "$(dmesg)" 'was not released by its last owner'
agent_kill
dmsetup remove --retry d1
vaioctl group delete g
dmsetup remove --retry data1
dmsetup remove --retry side1
dmsetup remove --retry lw
repl_unload
done_testing
