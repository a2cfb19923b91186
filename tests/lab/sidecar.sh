#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Sidecars: what the kernel and vaioctl make of good, foreign, damaged and hostile ones.

. "$(dirname "$0")/lib.sh"

host=aaaaaaaa-0000-0000-0000-000000000001
modprobe vaio "host_id=$host" && load_modules dm-vaio || bail 'the modules are loaded'
uuid=0b8c3b8e-6f0c-4c5e-9a2e-000000000001
other=0b8c3b8e-6f0c-4c5e-9a2e-000000000002
mem_disk data 64
mem_disk data2 64
mem_disk side 4
mem_disk side2 4
mem_disk side4k 4 4096

line() { # DATA SIDECAR UUID [FEATURE...]
	local data=$1 sidecar=$2 id=$3
	shift 3
	echo "0 131072 vaio $data 0 $((4 + $#)) uuid $id sidecar $sidecar $* 0"
}
up() { dmsetup create v1 --table "$(line "$@")"; }
down() { dmsetup remove v1; }
format() { vaioctl sidecar format "$@" --grow-factor 1 --epochs 0 --force >/dev/null; }
field() { vaioctl --json sidecar show "$1" | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"; }
state() { dmsetup status v1 | awk '{ print $4 }'; }

# refused NAME REGEX LINE_ARGS...: it does not start, says why in one line, and writes nothing
refused() {
	local name=$1 regex=$2 sidecar=$4 before said
	shift 2
	before=$(md5sum <"$sidecar")
	dmesg -C
	if up "$@" >/dev/null 2>&1; then
		not_ok "$name" "it started: $(dmsetup status v1)"
		down
		return
	fi
	dmsetup remove v1 2>/dev/null
	said=$(dmesg | grep 'sidecar /dev')
	if [[ ! $said =~ $regex ]]; then
		not_ok "$name" "does not match $regex: $said"
	elif [[ $(wc -l <<<"$said") != 1 ]]; then
		not_ok "$name" "more than one line: $said"
	elif [[ $(md5sum <"$sidecar") != "$before" ]]; then
		not_ok "$name" 'the sidecar was written'
	else
		ok "$name"
	fi
}

# scribble FILE BYTE: turns every bit of a byte
scribble() {
	python3 - "$@" <<-'END'
	import os, sys
	fd = os.open(sys.argv[1], os.O_RDWR)
	at = int(sys.argv[2])
	byte = os.pread(fd, 1, at)[0]
	os.pwrite(fd, bytes([byte ^ 255]), at)
	os.fsync(fd)
	END
}

# A device is read and written past the page cache, as the kernel does.
copy() { dd if="$1" of="$2" bs=1M conv=fsync "${3:-iflag=direct}" status=none && blockdev --flushbufs "$2" 2>/dev/null; }

# --- a whole life

check 'a device is formatted' vaioctl sidecar format /dev/side --device /dev/data --disk "$uuid" \
	--grow-factor 1 --epochs 0
check_fails 'not a second time' '--force' vaioctl sidecar format /dev/side --device /dev/data
is 'it is clean' "$(field /dev/side "['state']")" clean
identity=$(field /dev/side "['backing']")
check 'the disk starts with it' up /dev/data /dev/side "$uuid" identity "$identity"
is 'its state is active' "$(state)" active
is 'so says the sidecar, read past the page cache' "$(field /dev/side "['state']")" active
is 'with this host' "$(field /dev/side "['owner']['host']")" "$host"
for command in 'check /dev/side' 'format /dev/side --device /dev/data --force' 'adopt /dev/side --device /dev/data2'; do
	# shellcheck disable=SC2086
	out=$(vaioctl sidecar $command 2>&1)
	is "in use: ${command%% *} exits with 4" $? 4
	like "and says so: ${command%% *}" "$out" 'sidecar /dev/side: is in use'
done
check 'the same table is loaded again' eval 'dmsetup load v1 --table "$(dmsetup table v1)" && dmsetup resume v1'
is 'and is active' "$(state)" active
check 'the disk is removed' down
is 'the sidecar is clean' "$(field /dev/side "['state']")" clean
check 'and free' vaioctl sidecar check /dev/side --device /dev/data --disk "$uuid"

check '4096-byte sectors: formatted' format /dev/side4k --device /dev/data --disk "$uuid"
check '4096-byte sectors: the disk starts' up /dev/data /dev/side4k "$uuid"
check '4096-byte sectors: and stops' down
check '4096-byte sectors: all is well' vaioctl sidecar check /dev/side4k

# --- not the right one

refused 'another disk' "belongs to disk UUID $uuid, not $other" /dev/data /dev/side "$other"
refused 'another backing device' "backing device is 'wwn:x' but the sidecar was made for '.*adopt. mends it" \
	/dev/data /dev/side "$uuid" identity wwn:x
refused 'nothing there' 'holds no sidecar' /dev/data /dev/side2 "$uuid"
format /dev/side2 --device /dev/data2 --disk "$other"
refused 'swapped with that of another disk' "belongs to disk UUID $other" /dev/data /dev/side2 "$uuid"
check 'adopted, it is the right one' vaioctl sidecar adopt /dev/side2 --device /dev/data --disk "$uuid"
check 'and the disk starts' up /dev/data /dev/side2 "$uuid"
is 'with everything to be compared' "$(field /dev/side2 "['flags']")" "['must-compare']"
down

check 'a sidecar is copied' dd if=/dev/side of=/dev/side2 bs=1M oflag=direct status=none
up /dev/data /dev/side "$uuid"
dmesg -C
check_fails 'the copy of one in use is refused' 'busy' \
	dmsetup create v2 --table "0 131072 vaio /dev/data2 0 4 uuid $other sidecar /dev/side2 0"
like 'by name' "$(dmesg)" 'sidecar /dev/side2: is a copy of sidecar /dev/side, which is in use'
dmsetup remove v2 2>/dev/null
down

# --- owned elsewhere

copy /dev/side "$WORK/side"
reseal "$WORK/side" "$WORK/side" 264 $((0xbb)) 16
reseal "$WORK/side" "$WORK/side" 304 2 4
copy "$WORK/side" /dev/side oflag=direct
before=$(md5sum </dev/side)
dmesg -C
check 'owned by another host: the disk comes up' up /dev/data /dev/side "$uuid"
is 'in standby' "$(state)" standby
like 'and says who has it' "$(dmesg)" 'owned by host bb000000-0000-0000-0000-000000000000 since .*, state active'
check_fails 'reads fail' 'error reading' dd if=/dev/mapper/v1 of=/dev/null bs=4096 count=1 iflag=direct
check_fails 'writes fail' 'error writing' dd if=/dev/zero of=/dev/mapper/v1 bs=4096 count=1 oflag=direct
check 'a table without the word sidecar starts' eval '
	dmsetup load v1 --table "0 131072 vaio /dev/data 0 2 uuid $uuid 0" && dmsetup resume v1'
down
is 'nothing was written to the sidecar' "$(md5sum </dev/side)" "$before"

# elsewhere BYTE VALUE SIZE: the other host has written so meanwhile
elsewhere() {
	reseal "$WORK/side" "$WORK/side.other" "$@"
	copy "$WORK/side.other" /dev/side oflag=direct
}
# again NAME REGEX: it does not resume, says why, and writes nothing
again() {
	local before
	before=$(md5sum </dev/side)
	dmsetup suspend v1
	dmesg -C
	check_fails "meanwhile $1: it does not resume" '' dmsetup resume v1
	like "meanwhile $1: and says why" "$(dmesg)" "table not activated: sidecar /dev/side: $2"
	is "meanwhile $1: nothing is written" "$(md5sum </dev/side)" "$before"
}
check 'it stands by again' up /dev/data /dev/side "$uuid"
elsewhere 48 $((0xee)) 16
again 'of another disk' "belongs to disk UUID ee000000-.*, not $uuid"
elsewhere 112 $((131072 * 512 + 4096)) 8
reseal "$WORK/side.other" "$WORK/side.other" 120 $((131072 * 512 + 4096)) 8
copy "$WORK/side.other" /dev/side oflag=direct
again 'larger' 'the disk has .* bytes but had .*; a disk does not shrink'
elsewhere 308 2 4
scribble /dev/side 300
scribble /dev/side $(((1 << 20) + 300))
again 'damaged' 'both superblocks are corrupt'
elsewhere 308 2 4
check 'still owned: it resumes' dmsetup resume v1
is 'still owned: in standby' "$(state)" standby
reseal "$WORK/side.other" "$WORK/side.other" 304 1 4
copy "$WORK/side.other" /dev/side oflag=direct
check 'released: suspend and resume' eval 'dmsetup suspend v1 && dmsetup resume v1'
is 'released: it is active' "$(state)" active
is 'released: what the other host noted is kept' "$(field /dev/side "['flags']")" "['source-damaged', 'must-compare']"
down

copy "$WORK/side" /dev/side oflag=direct
check 'it stands by once more' up /dev/data /dev/side "$uuid"
elsewhere 308 2 4
check 'taken over' eval '
	dmsetup load v1 --table "$(line /dev/data /dev/side "$uuid" takeover yes)" && dmsetup suspend v1 && dmsetup resume v1'
is 'it is active' "$(state)" active
is 'what the other host noted is kept' "$(field /dev/side "['flags']")" "['source-damaged', 'must-compare']"
down
copy "$WORK/side" /dev/side oflag=direct
check 'taken over at once' up /dev/data /dev/side "$uuid" takeover yes
is 'at once it is active' "$(state)" active
down

# --- damaged

scribble /dev/side 300
dmesg -C
check 'one superblock is corrupt: the disk starts' up /dev/data /dev/side "$uuid"
like 'and says so' "$(dmesg)" 'superblock 0 is torn or corrupt; going on with the other one'
down
check 'stopping has mended it' vaioctl sidecar check /dev/side
scribble /dev/side 300
scribble /dev/side $(((1 << 20) + 300))
refused 'both are corrupt' 'both superblocks are corrupt \(CRC\)' /dev/data /dev/side "$uuid"

# --- hostile: the CRC is right, the content is not

# hostile NAME REGEX BYTE VALUE SIZE
hostile_names=() hostile_regexes=() hostile_changes=()
hostile() {
	hostile_changes+=("$WORK/hostile.${#hostile_names[@]}" "$3" "$4" "$5")
	hostile_names+=("$1")
	hostile_regexes+=("$2")
}
top=$((512 + 8))	# offset of the first region
hostile 'a newer version' 'has version 2' 16 2 4
hostile 'an unknown feature' 'uses features 0x1 ' 40 1 8
hostile 'size beyond the device' 'made for [0-9]* bytes but only' 104 $((1 << 40)) 8
hostile 'disk larger than its device' 'disk of .* on a backing device of' 120 $((1 << 40)) 8
hostile 'block size' 'blocks of 3 bytes' 128 3 4
hostile 'unknown state' 'unknown state 9' 304 9 4
hostile 'unknown flags' 'unknown flags 0x80000000' 308 $((1 << 31)) 4
hostile 'region over a superblock' 'region 0 \(bitmap\) overlaps the superblocks' $top 4096 8
hostile 'region beyond the end' 'region 0 \(bitmap\) ends beyond' $top $((1 << 40)) 8
hostile 'region whose end overflows' 'region 0 \(bitmap\) ends beyond' $top $((0x7ffffffffffff000)) 8
hostile 'regions overlap' 'regions 0 \(bitmap\) and 1 \(intent\) overlap' $((top + 32)) 1052672 8
hostile 'region not aligned' 'whole pages' $((top + 8)) 4095 8
hostile 'region without length' 'is empty' $((top + 8)) 0 8
hostile 'unit of a bit' 'has bits for 2\^255 bytes' $((top - 4)) 255 4
hostile 'region twice' "regions 0 and 1 are both 'bitmap'" $((512 + 32)) 1 4

format /dev/side --device /dev/data --disk "$uuid" || bail 'the sidecar is formatted'
copy /dev/side "$WORK/good"
reseal "$WORK/good" "${hostile_changes[@]}"
for i in "${!hostile_names[@]}"; do
	copy "$WORK/good" /dev/side oflag=direct
	dd if="$WORK/hostile.$i" of=/dev/side bs=4096 conv=notrunc,fsync oflag=direct status=none
	refused "hostile: ${hostile_names[i]}" "${hostile_regexes[i]}" /dev/data /dev/side "$uuid"
done

check 'no disk is left' test "$(dmsetup ls)" = 'No devices found'
check 'the modules unload' rmmod dm_vaio vaio
done_testing
