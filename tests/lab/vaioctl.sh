#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vaioctl against the kernel: disks come, change and go; failures leave nothing.

. "$(dirname "$0")/lib.sh"

have_udev=
[[ -e /run/udev/control ]] && have_udev=1
settle() { [[ -z $have_udev ]] || udevadm settle; }
modprobe loop || bail 'loop devices are there'
settle
cd "$WORK" || exit 1

# code WANTED NAME REGEX COMMAND...: that exit code, and the output matches.
code() {
	local want=$1 name=$2 regex=$3 out status=0
	shift 3
	out=$("$@" 2>&1) || status=$?
	if [[ $status != "$want" ]]; then
		not_ok "$name" "exit status $status, wanted $want: $*"$'\n'"$out"
	else
		like "$name" "$out" "$regex"
	fi
}

left() {
	settle
	dmsetup ls | grep -v '^No devices'
	losetup -a | grep "$WORK"
	grep ' vaio:' /proc/keys
	ls /run/vaio/backing 2>/dev/null
	return 0
}
# none_left NAME: some of it the kernel gives back when the command has ended
none_left() {
	wait_for 60 none_is_left
	is "$1" "$(left)" ''
}
none_is_left() { [[ -z $(left) ]]; }
on_a_loop() { [[ -n $(losetup -nO NAME -j "$1") ]]; }
no_key() { ! grep -q ' vaio:' /proc/keys; }
sectors() { blockdev --getsz "/dev/mapper/$1"; }
field() { python3 -c "import json,sys; print(eval('json.load(sys.stdin)' + sys.argv[1]))" "$1"; }

# Direct I/O where /tmp has it (tmpfs since 6.6).
truncate -s 64M a.img
direct=()
dd if=/dev/zero of=a.img bs=4k count=1 oflag=direct conv=notrunc status=none 2>/dev/null || {
	code 5 'without direct I/O an image is refused' '--buffered allows it' vaioctl disk attach vm1 --backing a.img
	direct=(--buffered)
}

# --- attach, show, detach ---------------------------------------------------
check 'attach loads the modules' vaioctl disk attach vm1 --backing a.img "${direct[@]}" --latency \
	--filter match,pattern=deadbeef
check 'the node is there' test -b /dev/mapper/vm1
is 'the host id is set' "$(cat /sys/module/vaio/parameters/host_id)" "$(cat /etc/machine-id)"
is 'the size is the image'"'"'s' "$(sectors vm1)" 131072
uuid=$(vaioctl --json disk show vm1 | field '[0]["uuid"]')
is 'device-mapper has the UUID' "$(dmsetup info -c --noheadings -o uuid vm1)" "VAIO-$uuid"
is 'show finds it by UUID' "$(vaioctl --json disk show "$uuid" | field '[0]["name"]')" vm1
is 'show tells the image' "$(vaioctl --json disk show vm1 | field '[0]["backing"]["image"]')" "$WORK/a.img"
like 'list shows the stack' "$(vaioctl disk list)" 'vm1 +64 MiB active +match'
like 'filter list shows the filter' "$(vaioctl filter list)" 'match +inspection'
loop=$(losetup -j a.img | cut -d: -f1)
is 'the backing is root'"'"'s alone' "$(stat -c '%U %G %a' "$loop")" 'root root 600'
if [[ ${#direct[@]} == 0 ]]; then
	is 'the loop device has direct I/O' "$(cat "/sys/block/${loop#/dev/}/loop/dio")" 1
fi
code 4 'the name is taken' "'vm1' is the name of a device-mapper device" vaioctl disk attach vm1 --backing a.img "${direct[@]}"
code 4 'the image is taken' 'is in use: held by dm-[0-9]+ \(vm1\)' vaioctl disk attach vm2 --backing a.img "${direct[@]}"
truncate -s 8M b.img
code 4 'the UUID is taken' "attached already, as 'vm1'" vaioctl disk attach vm2 --backing b.img "${direct[@]}" --uuid "$uuid"

# --- I/O and statistics -------------------------------------------------------
head -c 4M /dev/urandom | LC_ALL=C tr '\336' '\0' >data
printf '\xde\xad\xbe\xef' | dd of=data bs=1 seek=8192 conv=notrunc status=none
dd if=data of=/dev/mapper/vm1 bs=64k oflag=direct status=none
check 'what was written is in the image' cmp -n 4194304 data a.img
is 'stats count the writes' "$(vaioctl --json disk stats vm1 | field '[0]["kinds"]["write"]["bytes"]')" 4194304
is 'stats have the filter'"'"'s own' "$(vaioctl --json disk stats vm1 | field '[0]["slots"][0]["counters"]["matched"]')" 1
is 'stats have a histogram' "$(vaioctl --json disk stats vm1 | field '[0]["latency_us_log2"].__len__()')" 26
like 'stats draw it' "$(vaioctl disk stats vm1)" 'latency of the whole stack.*█'
like 'top prints a table' "$(vaioctl top --once --interval 50ms)" 'vm1 '
is 'top prints JSON' "$(vaioctl --json top --once --interval 50ms | field '["disks"][0]["slots"][0]["filter"]')" match
check 'a live property is set' vaioctl disk set vm1 match action=fail
check_fails 'and works' 'error' dd if=data of=/dev/mapper/vm1 bs=64k oflag=direct status=none
check 'and is set back' vaioctl disk set vm1 match action=count
code 1 'a property that is not live is refused with the reason' "what can: action" vaioctl disk set vm1 match pattern=aa
code 1 'a wrong value is refused with the reason' 'perhaps' vaioctl disk set vm1 match action=perhaps
code 3 'stats of no disk' "no disk 'vm9'" vaioctl disk stats vm9
code 6 'show does what it can' "no disk 'vm9'" vaioctl disk show vm1 vm9

# --- events ---------------------------------------------------------------------
vaioctl --verbose --json event monitor --disk vm1 --type snapshot --count 2 --timeout 10min >events 2>listening &
monitor=$!
wait_for 30 grep -q listening listening || bail 'the monitor listens'
token=$(vaioctl --json event post vm1 snapshot --phase prepare --deadline 10min --arg nightly | field '["token"]')
check 'a prepare is committed' vaioctl event post vm1 snapshot --phase commit --token "$token"
status=0
wait "$monitor" || status=$?
is 'the monitor ends after two' "$status" 0
is 'the monitor heard the prepare' "$(head -n 1 events | field '["arg"]')" nightly
code 3 'a commit of nothing is refused' 'no prepare .snapshot. with token 99' vaioctl event post vm1 snapshot --phase commit --token 99

# --- grow ---------------------------------------------------------------------------
# busy: writes and verifies, over and over, until the disk has grown
busy() {
	while [[ ! -e grown ]]; do
		fio --name=w --filename=/dev/mapper/vm1 --rw=randwrite --bs=4k --size=48m --direct=1 \
			--ioengine=libaio --iodepth=8 --verify=crc32c --output=fio.log || return
	done
}
busy &
fio=$!
wait_for 60 sh -c 'dmsetup info -c --noheadings -o open vm1 | grep -q 1'
size=64
for ((i = 0; i < $(scaled 60); i++)); do
	size=$((size + 8))
	vaioctl disk grow vm1 --size ${size}MiB >/dev/null || not_ok "grow $i under load"
done
check 'fio ran while the disk grew' kill -0 "$fio"
touch grown
wait "$fio"
is 'and saw no error' "$?" 0
is 'the disk has grown' "$(sectors vm1)" $((size * 2048))
truncate -s 640M a.img
check 'grow takes over what the image has' vaioctl disk grow vm1
is 'and has it all' "$(sectors vm1)" 1310720
code 1 'a disk never shrinks' 'a disk never shrinks' vaioctl disk grow vm1 --size 64MiB
is 'and did not' "$(sectors vm1)" 1310720

# --- detach --------------------------------------------------------------------------
exec 7</dev/mapper/vm1
code 4 'detach names who uses the disk' 'opened by .*--deferred' vaioctl disk detach vm1 --wait 1ms
check 'the disk is still there' vaioctl disk show vm1
code 0 'detach can be deferred' 'will be detached' vaioctl disk detach vm1 --deferred
exec 7<&-
check 'and then happens' wait_for 30 sh -c '! dmsetup info vm1'
rm -f "/run/vaio/backing/"*
none_left 'nothing is left of the disk'
code 3 'a disk that is gone is not found' "no disk 'vm1'" vaioctl disk detach vm1

# --- failures leave nothing -------------------------------------------------------------
code 1 'the kernel'"'"'s reason is told: filter' "no filter 'nosuch'" \
	vaioctl disk attach vm1 --backing a.img "${direct[@]}" --filter nosuch
code 1 'the kernel'"'"'s reason is told: value' "'zz' is not" \
	vaioctl disk attach vm1 --backing a.img "${direct[@]}" --filter match,pattern=zz
code 1 'the kernel'"'"'s reason is told: property' "match.*colour" \
	vaioctl disk attach vm1 --backing a.img "${direct[@]}" --filter match,pattern=aa,colour=red
code 1 'deny needs encryption' "no encryption filter" \
	vaioctl disk attach vm1 --backing a.img "${direct[@]}" --cleartext-filters deny
code 1 'a failed attach removes the sidecar it made' "nosuch" \
	vaioctl disk attach vm1 --backing a.img "${direct[@]}" --sidecar auto --filter nosuch
check 'the sidecar file is gone' test ! -e a.img.vaio
dmsetup create other --table '0 8 zero'
code 3 'a device of others is not touched' 'not a vaio disk' vaioctl disk detach other
code 4 'a name of others is taken' "'other'" vaioctl disk attach other --backing a.img "${direct[@]}"
dmsetup remove --retry other
none_left 'nothing is left of the failures'

# --- a loop device that is there already ---------------------------------------------------
loop=$(losetup -f --show a.img)
check 'an image on a loop device is found again' vaioctl disk attach vm1 --backing a.img --buffered
is 'on the same loop device' "$(losetup -j a.img | wc -l)" 1
check 'detach' vaioctl disk detach vm1
check 'somebody else'"'"'s loop device stays' losetup "$loop"
losetup -d "$loop"

# --- block devices -----------------------------------------------------------------------
mem_disk vaioctl 64
mkfs.ext4 -q /dev/vaioctl && mkdir mnt && mount /dev/vaioctl mnt
code 4 'a mounted device is refused by name' "mounted on $WORK/mnt" vaioctl disk attach vm1 --backing /dev/vaioctl
umount mnt
code 2 'words for images are refused for devices' 'is a block device' \
	vaioctl disk attach vm1 --backing /dev/vaioctl --buffered
check 'a part of a device' vaioctl disk attach vm1 --backing /dev/vaioctl --offset 1MiB --size 8MiB
is 'has its size' "$(sectors vm1)" 16384
code 1 'grow beyond the device' 'has room for' vaioctl disk grow vm1 --size 1GiB
check 'detach it' vaioctl disk detach vm1

# --- encryption ------------------------------------------------------------------------------
printf 'secret' >key
for sector in 512 4096; do
	truncate -s 0 c.img && truncate -s 64M c.img
	cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size $sector \
		--key-file key c.img || bail "cryptsetup makes a header, $sector"
	code 5 "a LUKS2 header is not passed on by accident, $sector" '--as-is' vaioctl disk attach enc --backing c.img --buffered
	printf 'wrong' >wrong
	code 1 "a wrong key is refused, $sector" 'no key slot opens with this key file' \
		vaioctl disk attach enc --backing c.img --buffered --luks --key-file wrong
	none_left "and leaves nothing, $sector"
	check "attach by the header, $sector" vaioctl disk attach enc --backing c.img --buffered --luks --key-file key \
		--filter match,pattern=cafe
	like "the stack is in class order, $sector" "$(vaioctl disk list)" 'match > crypt'
	check "no key is left in a keyring, $sector" wait_for 60 no_key
	cryptsetup luksDump -q --dump-volume-key --volume-key-file vk --key-file key c.img >/dev/null 2>&1
	hex=$(od -An -v -tx1 vk | tr -d ' \n')
	is "no key in table, status, show and log, $sector" \
		"$({ dmsetup table --showkeys; dmsetup status; vaioctl disk show enc; dmesg; } | grep -ci "$hex")" 0
	rm -f vk
	dd if=data of=/dev/mapper/enc bs=1M oflag=direct status=none
	check "grow keeps the key, $sector" vaioctl disk grow enc --size 56MiB
	check "data is there after it, $sector" cmp -n 4194304 data /dev/mapper/enc
	check "detach, $sector" vaioctl disk detach enc
	check "cryptsetup opens it, $sector" cryptsetup open --key-file key c.img plain
	check "and reads what was written, $sector" cmp -n 4194304 data /dev/mapper/plain
	cryptsetup close plain
	settle
	vaioctl disk attach enc --backing c.img --buffered --luks --passphrase-fd 3 \
		3< <(wait_for 600 test -e "go.$sector"; echo secret) &
	attaching=$!
	wait_for 60 on_a_loop c.img || bail "the image gets a loop device, $sector"
	loop=$(losetup -nO NAME -j c.img)
	is "udev is kept from it until the disk is made, $sector" "$(flock -n -s "$loop" echo open)" ''
	touch "go.$sector"
	status=0
	wait "$attaching" || status=$?
	is "a passphrase on a descriptor, $sector" "$status" 0
	is "udev is not kept from it any more, $sector" "$(flock -n -s "$loop" echo open)" open
	check "gives the same data, $sector" cmp -n 4194304 data /dev/mapper/enc
	check "detach again, $sector" vaioctl disk detach enc
done
code 5 'a disk without a header is refused by what it is' 'found there: ext4.*cryptsetup reencrypt --encrypt' \
	vaioctl disk attach enc --backing /dev/vaioctl --luks --key-file key
head -c 64 /dev/urandom >rawkey
check 'plain encryption' vaioctl disk attach enc --backing b.img --buffered --plain --key-file rawkey --sector-size 4096
dd if=data of=/dev/mapper/enc bs=1M count=4 oflag=direct status=none
vaioctl disk detach enc >/dev/null
check 'cryptsetup opens plain' cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 \
	--key-file rawkey b.img plain
check 'and reads it' cmp -n 4194304 data /dev/mapper/plain
cryptsetup close plain
truncate -s 32M header && truncate -s 64M d.img
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file key --header header d.img
check 'a detached header' vaioctl disk attach enc --backing d.img --buffered --luks --header header --key-file key
is 'leaves the whole device to the data' "$(sectors enc)" 131072
check 'detach that' vaioctl disk detach enc

# --- sidecar ------------------------------------------------------------------------------------
check 'a sidecar is made' vaioctl disk attach vm1 --backing a.img --buffered --sidecar auto
uuid=$(vaioctl --json disk show vm1 | field '[0]["uuid"]')
check 'detach' vaioctl disk detach vm1
check 'it is found again' vaioctl disk attach vm1 --backing a.img --buffered --sidecar auto
is 'with the same UUID' "$(vaioctl --json disk show vm1 | field '[0]["uuid"]')" "$uuid"
check 'a disk with a sidecar grows' vaioctl disk grow vm1 --size 720MiB
check 'detach again' vaioctl disk detach vm1
cp --sparse=always a.img copy.img
code 1 'the sidecar of another image is refused' 'vaioctl sidecar adopt' \
	vaioctl disk attach vm1 --backing copy.img --buffered --sidecar a.img.vaio
code 1 'another UUID is refused' 'belongs to disk' \
	vaioctl disk attach vm1 --backing a.img --buffered --sidecar auto --uuid 0b8c3b8e-6f0c-4c5e-9a2e-4f6d1c2b3a49

if command -v lvcreate >/dev/null; then
	truncate -s 256M pv.img
	pv=$(losetup -f --show pv.img)
	# udev would activate the volume by itself, at a time of its own: also after the end.
	vgcreate -q --setautoactivation n vaiotest "$pv" >/dev/null &&
		lvcreate -q -y -L 64m -n disk vaiotest >/dev/null ||
		bail 'LVM makes a volume'
	check 'the sidecar of a logical volume is one' vaioctl disk attach lv --backing /dev/vaiotest/disk --sidecar auto
	check 'beside it' test -b /dev/vaiotest/disk_vaio
	check 'detach it' vaioctl disk detach lv
	like 'it names the volume' "$(vaioctl sidecar show /dev/vaiotest/disk_vaio)" \
		"lv:$(dmsetup info -c --noheadings -o uuid vaiotest-disk | cut -c37-68)"
	settle
	code 1 'a failed attach removes the volume it made' nosuch bash -c \
		'lvremove -q -y vaiotest/disk_vaio && vaioctl disk attach lv --backing /dev/vaiotest/disk --sidecar auto --filter nosuch'
	check 'it is gone' test ! -e /dev/vaiotest/disk_vaio
	settle
	check 'LVM lets go of the volume' vgchange -q -an vaiotest
	losetup -d "$pv"
else
	skip 'the sidecar of a logical volume' 'no LVM here'
fi

# --- udev ----------------------------------------------------------------------------------------
if [[ -n $have_udev ]]; then
	cp "$TREE/userspace/udev/58-vaio.rules" /run/udev/rules.d/ 2>/dev/null ||
		{ mkdir -p /run/udev/rules.d && cp "$TREE/userspace/udev/58-vaio.rules" /run/udev/rules.d/; }
	udevadm control --reload
	dmsetup create looked-into --table "0 131072 linear /dev/vaioctl 0"
	udevadm settle
	is 'control: udev looks into a device of others' "$(udevadm info -q property -n /dev/mapper/looked-into | grep -c ID_FS_TYPE=ext4)" 1
	dmsetup remove --retry looked-into
	check 'attach a disk with a filesystem on it' vaioctl disk attach fs --backing /dev/vaioctl
	udevadm trigger --settle --action=change /dev/mapper/fs /dev/vaioctl
	is 'udev does not look into it' "$(udevadm info -q property -n /dev/mapper/fs | grep -c ID_FS_TYPE)" 0
	is 'nor names it by what is in it' "$(find /dev/disk -lname "*/$(basename "$(readlink -f /dev/mapper/fs)")" | grep -c by-uuid)" 0
	is 'the backing stays root'"'"'s alone' "$(stat -Lc '%U %G %a' /dev/vaioctl)" 'root root 600'
	check 'detach it' vaioctl disk detach fs
fi

# --- doctor, and the end ---------------------------------------------------------------------------
code 0 'doctor finds no problem' '0 problems' vaioctl doctor
check 'doctor prints JSON' sh -c 'vaioctl --json doctor | python3 -m json.tool'
none_left 'nothing is left at the end'
settle
check 'all modules unload' modprobe -r dm-vaio vaio-sample vaio-crypt vaio
done_testing
