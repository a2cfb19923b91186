# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the replica*.sh scripts: disks d1 and d2 in group g, vaio-agent, vaio-replicad on the
# loopback interface with TLS, and its store in $STORE.

. "$(dirname "${BASH_SOURCE[0]}")/repl-lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/pki.sh"

STORE=$WORK/store
PORT=7790
replicad_pid=
agent_pid=

replicad_start() { # [OPTION...]
	mkdir -p "$STORE"
	vaio-replicad --store "$STORE" --listen "127.0.0.1:$PORT" --pki "$WORK/pki/server" --socket "$WORK/replicad.sock" \
		--segment 16MiB --reserve 16MiB "$@" >>"$WORK/replicad" 2>&1 &
	replicad_pid=$!
}
replicad_kill() {
	kill -9 "$replicad_pid" 2>/dev/null
	wait "$replicad_pid" 2>/dev/null
}

# store_disk MIB: the store lies on a disk of its own, whose write cache is volatile. (null_blk's has what is
# written for the first time; what is written again where there was something is not lost.) The last MiB is free.
store_disk() {
	modprobe ext4 && mem_disk store "$1" 512 cache_size=64 || return
	STORE=$WORK/disk/store
	mkdir "$WORK/disk" && mkfs.ext4 -q -E nodiscard /dev/store $(($1 - 1))M && store_mount || return
	defer umount "$WORK/disk"
}
# What nobody syncs is not written by the filesystem's own clock.
store_mount() { mount -o commit=3600 /dev/store "$WORK/disk"; }
# The power of the replica's machine goes: nothing is written from this moment on, what was in the page cache and
# in the disk's cache is lost.
store_power_cut() {
	python3 - "$WORK/disk" <<-'PY' || return
	import fcntl, os, struct, sys
	EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587d, 2
	fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
	PY
	replicad_kill
	umount "$WORK/disk" && echo 0 >/sys/kernel/config/nullb/store/power
}
store_power_on() { echo 1 >/sys/kernel/config/nullb/store/power && store_mount; }

# Overrides those of the test agent.
agent_start() { # [OPTION...]
	vaio-agent --config "$WORK/agent.conf" --pki "$WORK/pki/client" --state "$WORK/state" --run "$WORK/run" \
		--socket "$WORK/agent.sock" --scan 100ms "$@" >>"$WORK/agent" 2>&1 &
	agent_pid=$!
}

# ask SOCKET JSON: prints the answer
ask() {
	python3 - "$1" "$2" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(90)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
answer = b""
while part := s.recv(65536):
    answer += part
print(answer.decode().strip())
PY
}
# agent_field EXPRESSION: of the group's status g
agent_field() {
	ask "$WORK/agent.sock" '{"do": "status", "group": "g"}' |
		python3 -c "import json, sys; g = json.load(sys.stdin)['groups'][0]; print($1)"
}
agent_state_is() { [[ $(agent_field 'g["state"]') == "$1" ]]; }
replica_field() {
	ask "$WORK/replicad.sock" '{"do": "list"}' |
		python3 -c "import json, sys; g = json.load(sys.stdin)['groups'][0]; print($1)"
}

store_dir() { echo "$STORE"/*-*; }
# replica_read DISK POINT FILE: the disk at the point, over NBD
replica_read() {
	# $uri is nbdkit's
	# shellcheck disable=SC2016
	nbdkit -U - --exit-with-parent "$TREE/build/lib/nbdkit-vaio-plugin.so" store="$(store_dir)" disk="$1" point="$2" \
		--run "nbdcopy \"\$uri\" '$3'" 2>&1
}

# All is at the replica, and it equals the disks.
replica_equals() { # NAME
	local n out='' status=0
	wait_for 120 caught_up ||
		{ not_ok "$1" "not caught up: $(vaioctl group show g)"$'\n'"$(tail -n 5 "$WORK/agent" "$WORK/replicad")"; return; }
	for n in 1 2; do
		blockdev --flushbufs "/dev/data$n"
		out+=$(replica_read "d$n" latest "$WORK/read" && cmp "/dev/data$n" "$WORK/read" 2>&1) || status=1
	done
	rm -f "$WORK/read"
	if [[ $status == 0 ]]; then ok "$1"; else not_ok "$1" "$out"$'\n'"$(tail -n 5 "$WORK/agent")"; fi
}
