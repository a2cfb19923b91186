#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The lab itself: what every other script takes for granted in the guest.

. "$(dirname "$0")/lib.sh"

is 'runs as root' "$(id -u)" 0
like 'the kernel is the one asked for' "$(uname -r)" "^${VAIO_KERNEL/uml/7.2}[.+-]?"
is 'the tree is the working folder' "$PWD" "$TREE"
for dir in /dev/shm /tmp /run /root /etc /var/tmp; do
	check "$dir can be written" touch "$dir/lab-smoke"
done
check 'a program can be made and run' \
	sh -c "cp /bin/true '$WORK/true' && '$WORK/true'"
check 'configfs is there' test -d /sys/kernel/config
check 'debugfs is there' test -e /sys/kernel/debug/block
check 'tracefs is there' test -e /sys/kernel/tracing/events
check 'cgroup2 is there' test -e /sys/fs/cgroup/cgroup.controllers
check 'the loopback interface is up' grep -q '^ *lo:' /proc/net/dev
check 'the loopback interface answers' bash -c '
	python3 -c "
import socket
s = socket.create_server((\"127.0.0.1\", 0))
c = socket.create_connection(s.getsockname())
c.close()"'

check 'device-mapper is there' modprobe dm-mod
mem_disk smoke 16
check 'a null_blk disk can be made' test -b /dev/smoke
check 'dmsetup makes a device' \
	dmsetup create smoke --table '0 32768 linear /dev/smoke 0'
random 1 1000
block=$REPLY
check 'data goes through it' bash -c "
	head -c 4096 /dev/urandom >'$WORK/block' &&
	dd if='$WORK/block' of=/dev/mapper/smoke bs=4096 seek=$block oflag=direct status=none &&
	dd if=/dev/smoke bs=4096 skip=$block count=1 iflag=direct status=none | cmp - '$WORK/block'"
check 'dmsetup removes it' dmsetup remove --retry smoke

image=$WORK/image
truncate -s 16M "$image"
loop=$(losetup --find --show "$image")
check 'a loop device can be made' test -b "$loop"
check 'a loop device can be removed' losetup --detach "$loop"
check 'AES-XTS is there' modprobe xts

done_testing
