#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One life of the primary of replica-host.sh, in a booted kernel: its disks, sidecars and the agent's state are on
# devices that outlive it, and so is the stamper's ledger. replica-primary.sh DIR LIFE PORT MODE FROM [BYTES]: in the
# first life disks are made, in the one "last" it ends by itself. The stamper begins after operation FROM; with BYTES when
# so much of the resync was sent, which is slow then. Prints a line for each thing that the other side looks at or waits for.

. "$(dirname "$0")/replica-lib.sh"

life=$2
PORT=$3
mode=$4
from=$5
resync=${6-}
say() { echo "$*"; }
die() { tail -n 20 "$WORK/agent"; vaioctl group show g; say "failed: $*"; exit 1; }

modprobe -a virtio_net virtio_blk ext4 || die 'modules'
ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 || die 'network'
for disk in /sys/block/vd*; do
	ln -s "${disk##*/}" "/dev/$(<"$disk/serial")"
done
MIB=$(($(blockdev --getsize64 /dev/data1) >> 20))
modprobe vaio host_id=aaaaaaaa-0000-0000-0000-000000000001 && load_modules vaio-replication dm-vaio || die 'modules'
if [[ $life == 0 ]]; then
	mkfs.ext4 -q /dev/state
	for n in 1 2; do
		vaioctl sidecar format "/dev/side$n" --device "/dev/data$n" --disk "$(disk_uuid "$n")" \
			--grow-factor 1 --epochs 0 >/dev/null || die 'sidecars'
	done
fi
mkdir "$WORK/state" && mount /dev/state "$WORK/state" || die 'the state'
defer umount "$WORK/state"
on_loss=stall:60s,track
[[ $mode == async ]] || on_loss=hold
rate=${resync:+512KiB}
vaioctl group create g ring=16MiB target="10.0.2.2:$PORT" mode="$mode" on_loss=$on_loss resync_rate="${rate:-any}" &&
	repl_up group g || die 'the disks'
say "dirty $(group_field '[.disks[].dirty] | add')"
mkdir -p "$WORK/pki" && cp -r "$1/pki/client" "$WORK/pki/" || die 'certificates'
# Depth 32, without a pause, until the machine goes. The ledger is memory that its host has too.
stamper_start() {
	local at=/sys/bus/pci/devices device records
	device=$(grep -lx 0x1110 $at/*/device) && device=${device%/device} && echo 1 >"$device/enable" || die 'a place for the ledger'
	records=$(counter records)
	stamper --seed "$VAIO_SEED" --ledger "$device/resource2" --span $((MIB << 19)) --from "$from" \
		/dev/mapper/d1 /dev/mapper/d2 &
	stamper_pid=$!
	# from here on something is dirty after a crash: that a write may be is durable before it has a record
	until_group records '>' "$records" || die 'the stamper does not write'
	say 'writing'
}
agent_start
if [[ -n $resync ]]; then
	until_group state = resync resync_bytes '>' "$resync" || die 'there is no resync'
	stamper_start
	until_group state = replicating
	die 'its host was not killed in the resync'
fi
wait_for 300 caught_up || die 'it is not replicated'
say "sent $(counter resync_bytes)"
[[ $(ask "$WORK/agent.sock" "{\"do\": \"checkpoint\", \"group\": \"g\", \"name\": \"life-$life\", \"wait_ms\": 60000}") == *'"durable":'*true* ]] ||
	die 'no checkpoint'
say "sums $(md5sum <(cat /dev/mapper/d1) <(cat /dev/mapper/d2) | cut -d' ' -f1 | paste -sd' ')"
if [[ $life == last ]]; then
	kill "$agent_pid" && wait "$agent_pid"
	repl_down && vaioctl group delete g || die 'it does not end'
	say 'ended'
	exit 0
fi
# What was sent is not dirty after a crash either
wait_for 60 eval 'bitmap_clean 1 && bitmap_clean 2' || die 'the sidecars do not learn that all was acknowledged'
until_agent_says mode "$mode" && until_agent_says state replicating || die "it is not in $mode mode"
stamper_start
wait "$stamper_pid"
die 'the stamper ended'
