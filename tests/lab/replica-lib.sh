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
# stop PID: it does not run until SIGCONT, none of its threads
stop() {
	# shellcheck disable=SC2016
	kill -STOP "$1" && wait_for 60 eval '[[ -z $(grep -L "^State:.T" /proc/'"$1"'/task/*/status) ]]'
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
# in the disk's cache is lost. The daemon runs no further either: an fdatasync that ext4's shutdown meets half way
# may return 0, which on a machine without power nobody sees.
store_power_cut() {
	kill -STOP "$replicad_pid"
	repl-watch shutdown "$WORK/disk" || return
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
ask() { repl-watch ask "$1" "$2"; }
# agent_says FIELD: of the group's status
agent_says() { repl-watch agent "$WORK/agent.sock" "$1"; }
# until_agent_says FIELD VALUE
until_agent_says() { repl-watch agent "$WORK/agent.sock" "$1" "$2" 90; }
# until_group NAME OP VALUE...: figures of the kernel
until_group() { repl-watch until 120 "$@"; }

store_dir() { echo "$STORE"/*-*; }
# replica_read DISK POINT FILE: the disk at the point, over NBD
replica_read() {
	# $uri is nbdkit's
	# shellcheck disable=SC2016
	nbdkit -U - --exit-with-parent "$TREE/build/lib/nbdkit-vaio-plugin.so" store="$(store_dir)" disk="$1" point="$2" \
		--run "nbdcopy \"\$uri\" '$3'" 2>&1
}

# Nothing is on its way, and the replica equals the disks. It runs meanwhile.
becomes_equal() { until_group state = replicating backlog_records = 0 && repl-watch equal "$(store_dir)" /dev/data1 /dev/data2; }
