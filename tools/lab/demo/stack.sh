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
	start_host "$LAB_DIR/demo/stack-host" >"$work/stack.log"
	# It waits for the NBD server's greeting, so the guest starts when the host has
	# attached the disk.
	# Blocks of 4096 bytes: those of the encryption's sectors.
	start_guest "$work/disk" "socket,path=$work/console" logical_block_size=4096,physical_block_size=4096 \
		-kernel "$VAIO_CACHE/kernels/$kernel/vmlinuz" -initrd build/demo/initrd.img \
		-append "console=ttyS0 loglevel=1 panic=-1 MARKER=VAIO-DEMO-PLAINTEXT DEMO=verify"
	# No line has a newline in it: all of them are shown.
	follow "$work/stack.log" $'\n' "$lab" '' 'the host and its guest run' || true
	wait "$lab" || status=$?
	lab=''
	return "$status"
}
