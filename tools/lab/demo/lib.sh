# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the demo's scripts share, outside and inside the booted host.

proved=()

title() { printf '\n== %s\n' "$*"; }
show() { printf '   $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/   /'; return "${PIPESTATUS[0]}"; }
fail() { printf '\ndemo: FAILED: %s\n' "$*"; exit 1; }
# A claim is written down only after what proves it has been seen.
prove() { proved+=("$1"); printf '   proved: %s\n' "$1"; }
list_proved() { title Proved; printf '   - %s\n' "${proved[@]}"; }

# --- inside the booted host ---------------------------------------------------------

# port NAME: prints the device of that virtio port, once its other end is there.
port() {
	local name
	name=$(grep -lx "$1" /sys/class/virtio-ports/*/name) || return 1
	name=${name%/name}
	name=${name##*/}
	until grep -qE '^host_connected: (1|yes)' "/sys/kernel/debug/virtio-ports/$name"; do
		sleep 0.2
	done
	printf '/dev/%s\n' "$name"
}

# The guest's QEMU is outside this host. qemu-nbd opens the disk for it just as
# QEMU itself would, and ends when the guest has powered off.
serve_disk() { # DISK PID-FILE SOCKET
	show qemu-nbd --fork --pid-file "$2" --socket "$3" --format raw --cache none --aio native \
		--discard unmap "/dev/mapper/$1"
}

# --- outside ----------------------------------------------------------------------------

# start_host COMMAND...: boots a host in the lab, in the background, with two
# virtio ports for a guest's disk and console. Sets $lab.
start_host() {
	local name ports=(--extra-qemu -device --extra-qemu virtio-serial-pci,id=demo)
	for name in disk console; do
		ports+=(--extra-qemu -chardev
			--extra-qemu "socket,id=demo-$name,path=$work/$name,server=on,wait=off"
			--extra-qemu -device
			--extra-qemu "virtserialport,bus=demo.0,chardev=demo-$name,name=demo.$name")
	done
	rm -f "$work/disk" "$work/console"
	setpriv --pdeathsig TERM "$LAB_DIR/run" --kernel "$kernel" --accel "$accel" --mem 2G --timeout 1800 \
		--udev "${ports[@]}" "${host_options[@]}" -- "$@" &
	lab=$!
	until [[ -S $work/disk && -S $work/console ]]; do
		kill -0 "$lab" 2>/dev/null || { wait "$lab" || stop $?; stop 1; }
		sleep 0.1
	done
}

# start_guest DISK-SOCKET CONSOLE WORD...: boots a guest on a disk that is served
# over NBD; the words reach its init. Blocks of 4096 bytes: those of the
# encryption's sectors. Sets $guest.
start_guest() {
	local disk=$1 console=$2
	shift 2
	setpriv --pdeathsig KILL timeout --kill-after=5 1800 setpriv --pdeathsig KILL \
		qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -cpu max \
		-accel "$accel" -m 256 -kernel "$VAIO_CACHE/kernels/$kernel/vmlinuz" -initrd build/demo/guest.img \
		-append "console=ttyS0 loglevel=1 panic=-1 MARKER=VAIO-DEMO-PLAINTEXT $*" \
		-chardev "$console,id=console" -serial chardev:console \
		-blockdev "driver=nbd,node-name=disk,server.type=unix,server.path=$disk" \
		-device virtio-blk-pci,drive=disk,logical_block_size=4096,physical_block_size=4096 </dev/null &
	guest=$!
}
