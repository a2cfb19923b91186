# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Stage "stack": encryption and a pattern counter under a guest.

# An emulated guest inside an emulated host would need minutes to boot. So the
# guest's QEMU runs beside the host's: its disk and its console reach the host
# through two virtio-serial ports, the disk as NBD (stack-host exports it).
stage_stack() {
	local status=0
	host_options=()
	lab_say "booting the host"
	start_host "$LAB_DIR/demo/stack-host"
	# It waits for the NBD server's greeting, so the guest starts when the host has
	# attached the disk.
	start_guest "$work/disk" "socket,path=$work/console" DEMO=verify
	wait "$lab" || status=$?
	lab=''
	return "$status"
}
