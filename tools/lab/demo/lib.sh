# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the demo's scripts share, outside and inside the booted host.

proved=()

title() { printf '\n== %s\n' "$*"; }
# The command as one would type it.
typed() {
	local word line='   $'
	for word; do
		[[ $word != *[' $*?']* ]] || word="'$word'"
		line+=" $word"
	done
	printf '%s\n' "$line"
}
show() { typed "$@"; "$@" 2>&1 | sed 's/^/   /'; return "${PIPESTATUS[0]}"; }
# brief N COMMAND...: the same, with the first N lines of its output at most.
brief() {
	local most=$1
	shift
	typed "$@"
	"$@" 2>&1 | awk -v most="$most" 'NR <= most { print "   " $0; fflush() }'
	return "${PIPESTATUS[0]}"
}
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

# patiently WHAT COMMAND...: runs it, and says every ten seconds that it still does.
patiently() {
	local what=$1 start=$SECONDS ticker never
	shift
	lab_say "$what"
	exec {never}<> <(:)
	# Nothing is ever read there: a sleep that leaves no process behind.
	while ! read -rt 10 -u "$never"; do lab_say "$what: $((SECONDS - start)) s"; done &
	ticker=$!
	daemons=("$ticker")
	"$@"
	kill "$ticker"
	daemons=()
	wait "$ticker" 2>/dev/null || true
	exec {never}>&-
}

# An export's nbdkit is in the background on its own: nobody's child.
stop_exports() {
	local file pid i
	[[ -n $work ]] || return 0
	for file in "$work"/run/*.pid; do
		pid=$(cat "$file" 2>/dev/null) && [[ $(readlink "/proc/$pid/exe") == *nbdkit* ]] || continue
		kill "$pid" 2>/dev/null || true
		for ((i = 0; i < 100; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	done
}

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

# start_guest DISK-SOCKET CONSOLE DEVICE-OPTION ARGUMENT...: starts a guest's QEMU on a
# disk that is served over NBD. With no more arguments it boots from that disk: QEMU gets
# no kernel. Sets $guest.
start_guest() {
	local disk=$1 console=$2 device=$3
	shift 3
	setpriv --pdeathsig KILL timeout --kill-after=5 1800 setpriv --pdeathsig KILL \
		qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -cpu max \
		-accel "$accel" -m 256 "$@" -chardev "$console,id=console" -serial chardev:console \
		-blockdev "driver=nbd,node-name=disk,server.type=unix,server.path=$disk" \
		-device "virtio-blk-pci,drive=disk,$device" </dev/null &
	guest=$!
}

# follow FILE TEXT PID PREFIX WHAT: shows the lines that come in FILE, up to the one with
# TEXT; false when the process that writes them ends before. Lines like $dull are left
# out; when nothing is shown for ten seconds it says what it waits for.
declare -A shown=()
dull=''
follow() {
	local file=$1 text=$2 pid=$3 prefix=$4 what=$5 lines line alive start=$SECONDS last=$SECONDS
	while :; do
		alive=1
		kill -0 "$pid" 2>/dev/null || alive=''
		mapfile -s "${shown[$file]:-0}" lines <"$file"
		for line in "${lines[@]}"; do
			# Of the last one the end may not be there yet.
			[[ $line == *$'\n' || -z $alive ]] || break
			line=${line%$'\n'}
			shown[$file]=$((${shown[$file]:-0} + 1))
			if [[ -z $dull || ! $line =~ $dull ]]; then
				printf '%s%s\n' "$prefix" "$line"
				last=$SECONDS
			fi
			[[ $line != *"$text"* ]] || return 0
		done
		[[ -n $alive ]] || return 1
		if ((SECONDS - last >= 10)); then
			printf '   ... %s: %d s\n' "$what" $((SECONDS - start))
			last=$SECONDS
		fi
		sleep 0.1
	done
}
