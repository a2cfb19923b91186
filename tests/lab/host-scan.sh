#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a guest writes onto its disk, the host never activates: an LVM PV of a
# volume group with the host's own name, an md member, btrfs and a GPT. With udev.
. "$(dirname "$0")/lib.sh"

load_modules
modprobe -a md-mod raid1 btrfs 2>/dev/null
install -D -m 644 -t /etc/udev/rules.d "$TREE"/userspace/udev/*.rules || bail 'udev rules'
udevadm control --reload || bail 'udev runs'
modprobe brd rd_nr=1 rd_size=65536 || bail "the host's own device"
defer rmmod brd
printf '%s\n' 'devices { global_filter = [ "r|^/dev/vaio/|" ] }' >>/etc/lvm/lvm.conf	# as the README asks
udevadm settle

# the control: the host's own group is found
check "the host's own volume group" sh -c 'pvcreate -q /dev/ram0 && vgcreate -q vg0 /dev/ram0 && lvcreate -q -an -Wn -Zn -l 4 -n own vg0'
defer vgchange -an vg0
udev_knows() { udevadm info -q property "$1" | grep -E '^(ID_FS_TYPE|ID_PART_TABLE_TYPE|ID_BTRFS_READY=1|LVM_|MD_)'; }
direct=()
dd if=/dev/zero of="$WORK/probe" bs=4k count=1 oflag=direct status=none 2>/dev/null || direct=(--buffered)

attach() { vaioctl disk attach "$1" --backing "$WORK/$1.img" "${direct[@]}" >/dev/null; }
loop_of() { losetup -nO NAME -j "$WORK/$1.img"; }
for n in gpv gmd gbtrfs ggpt; do
	truncate -s 128M "$WORK/$n.img"
	check "attach $n" attach "$n"
	defer vaioctl disk detach "$n"
done
host_vg=$(vgs --noheadings -o vg_uuid vg0)
# what guests do: made through a second mapping, as their own kernels would
quiet=(--config 'devices { global_filter=["a|/dev/mapper/gpv|","r|.*|"] } activation { udev_sync=0 udev_rules=0 }')
check 'a guest makes vg0 on its disk' sh -c "pvcreate -qq $(printf '%q ' "${quiet[@]}") /dev/mapper/gpv && vgcreate -qq $(printf '%q ' "${quiet[@]}") vg0 /dev/mapper/gpv && lvcreate -qq $(printf '%q ' "${quiet[@]}") -an -Wn -Zn -l 4 -n own vg0"
check 'a guest makes an md member' sh -c 'mdadm --create /dev/md77 --run --homehost=any --level=1 --raid-devices=2 --metadata=1.2 /dev/mapper/gmd missing && udevadm settle && mdadm --stop /dev/md77'
check 'a guest makes btrfs' mkfs.btrfs -q -f /dev/mapper/gbtrfs
check 'a guest makes a GPT' sgdisk -n 1:2048:20480 -t 1:8e00 /dev/mapper/ggpt
before_md=$(grep -c ^md /proc/mdstat)

check "the host's own volume is active" sh -c 'vgchange -qq -ay vg0 && test -b /dev/vg0/own'
# the host meets them again: detach, attach, and every event that udev may get
for n in gpv gmd gbtrfs ggpt; do vaioctl disk detach "$n" >/dev/null && attach "$n" || not_ok "attach $n again"; done
for n in gpv gmd gbtrfs ggpt; do
	udevadm trigger --action=change "/dev/mapper/$n"
	udevadm trigger --action=add "/dev/mapper/$n"
	udevadm trigger --action=change "$(loop_of "$n")"
done
udevadm settle
for n in gpv gmd gbtrfs ggpt; do
	is "udev learnt nothing of $n" "$(udev_knows "/dev/mapper/$n")" ''
	is "nor of what backs it" "$(udev_knows "$(loop_of "$n")")" ''
done
is 'no array was started' "$(grep -c ^md /proc/mdstat)" "$before_md"
is "the host's group is its own" "$(vgs --noheadings -o vg_uuid vg0 2>/dev/null)" "$host_vg"
is 'no volume of the guest is active' "$(dmsetup deps -o devname 2>/dev/null | grep -c '(gpv)')" 0
is 'no partition of the guest is mapped' "$(ls /dev/mapper | grep -c '^ggpt')" 1
is 'no kernel partition of the guest' "$(lsblk -nr -o NAME /dev/mapper/ggpt | wc -l)" 1
backing=$(stat -c '%U %a' "$(loop_of gpv)")
is 'the backing device is root alone' "$backing" 'root 600'
# the filter is what keeps LVM's own commands away
check "without the filter LVM would look into the guest's disk" \
	sh -c "pvs --noheadings -o pv_name --config 'devices { global_filter=[\"a|.*|\"] }' | grep -q -e gpv -e loop"
done_testing
