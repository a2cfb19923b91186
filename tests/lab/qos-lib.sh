# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the qos-*.sh scripts that measure: disks with the qos filter, load on them, and
# what they get. These run under --icount, where the guest's clock counts
# instructions: "pause 2" is two seconds of that clock, in which a device with a
# timer serves the same number of requests on any machine, however busy it is.
# But a wait for the machine's own files lasts as long as it lasts, in either clock:
# so each program is run once before it counts, and is in memory from then on.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

grep -qw nokaslr /proc/cmdline || bail 'time is virtual: this needs the boot option icount'
modprobe vaio exclusive_classes=0 && load_modules vaio-probe vaio-qos dm-vaio ||
	bail 'the modules are loaded'

# --- devices ------------------------------------------------------------------

# fast_disk NAME MIB: serves at once, keeps nothing
fast_disk() { mem_disk "$1" "$2" 512 memory_backed=0; }

# store_disk NAME MIB CHANNELS NS: serves so many requests at a time, each in NS, in
# the order of arrival
store_disk() {
	local queue
	mem_disk "$1" "$2" 512 memory_backed=0 irqmode=2 completion_nsec="$4" \
		submit_queues=1 hw_queue_depth="$3" || return
	queue=/sys/block/$(basename "$(readlink -f "/dev/$1")")/queue
	modprobe -q mq-deadline
	# What is older than a millisecond goes first, so all goes in its order.
	echo mq-deadline >"$queue/scheduler" && echo 1024 >"$queue/nr_requests" &&
		echo 2 >"$queue/nomerges" &&
		echo 1 >"$queue/iosched/read_expire" && echo 1 >"$queue/iosched/fifo_batch"
}

# --- disks --------------------------------------------------------------------

disk_mib=8	# of each; disk N begins at N times that
declare -A stat_of=()

# disk N BACKING FILTERS...: makes /dev/mapper/qN
disk() {
	local n=$1 backing=$2
	shift 2
	dmsetup create "q$n" --table "0 $((disk_mib * 2048)) vaio /dev/$backing $((n * disk_mib * 2048)) 2 uuid $(printf '5e0a7a52-3c1f-4b0e-8f6b-%012x' "$n") $*" ||
		bail "disk q$n is made"
	stat_of[q$n]=/sys/block/$(dmsetup info -c --noheadings -o blkdevname "q$n")/stat
}
# qos_disk N BACKING [NAME VALUE]...
qos_disk() { disk "$1" "$2" "1 qos $(($# - 2)) ${*:3}"; }
plain_disk() { disk "$1" "$2" 0; }
down() {
	local name
	for name; do
		dmsetup remove --retry "$name" || bail "disk $name is removed"
		unset "stat_of[$name]"
	done
}

set_live() { dmsetup message "$1" 0 qos set "$2" "$3"; }
# counter DISK FILTER NAME
counter() { vaioctl --json disk stats "$1" | jq -r "first(.. | objects | select(.filter == \"$2\")) | .counters.$3"; }

# --- load ---------------------------------------------------------------------

declare -A load_pid=()

# load NAME DISK... [OPTION]...: fio reads at random from each disk until stop_load,
# 32 requests at a time, unless an option says otherwise. Returns when all have begun.
load() {
	local name=$1 one
	local -a jobs=() options=()
	shift
	for one; do
		case $one in
		--*) options+=("$one") ;;
		*) jobs+=(--name="$one" --filename="/dev/mapper/$one") ;;
		esac
	done
	measure_from "${!stat_of[@]}"
	fio --output="$WORK/$name.json" --output-format=json --thread --ioengine=libaio --direct=1 \
		--rw=randread --norandommap --randrepeat=1 --bs=4k --iodepth=32 \
		--time_based --runtime=100000 "${options[@]}" "${jobs[@]}" 2>"$WORK/$name.err" &
	load_pid[$name]=$!
	for one in "${jobs[@]}"; do
		[[ $one == --name=* ]] || continue
		one=${one#--name=}
		wait_for 300 has_begun "$one" || bail "load '$name' reaches $one"
	done
}
has_begun() {
	local now
	read -r now _ <"${stat_of[$1]}"
	[[ $now -gt ${count_then[$1]} ]]
}

# stop_load NAME: fio ends what is under way
stop_load() {
	kill -INT "${load_pid[$1]}"
	wait "${load_pid[$1]}"
	# it says that it was told to end before the data
	sed -i -n '/^{/,$p' "$WORK/$1.json"
	[[ -s $WORK/$1.json ]] || bail "load '$1' reports: $(<"$WORK/$1.err")"
}

# latency_us NAME DISK PERCENTILE: of a load that has ended
latency_us() {
	jq -r --arg disk "$2" --arg p "$3.000000" \
		'.jobs[] | select(.jobname == $disk) | .read.clat_ns.percentile[$p] / 1000 | floor' "$WORK/$1.json"
}

# --- time, and what was done in it ----------------------------------------------------------------

# pause SECONDS: without a program to start
mkfifo "$WORK/never" && exec {never}<>"$WORK/never"
pause() { read -r -t "$1" -u "$never"; }

declare -A count_then=() count=()
elapsed_us=0 then_us=0
now_us() { echo "${EPOCHREALTIME/./}"; }

# measure_from DISK..., then measure_to DISK...: sets elapsed_us, and count[DISK] of the
# requests that ended meanwhile
measure_from() {
	local disk
	then_us=${EPOCHREALTIME/./}
	for disk; do
		read -r "count_then[$disk]" _ <"${stat_of[$disk]}"
	done
}
measure_to() {
	local disk
	elapsed_us=$((${EPOCHREALTIME/./} - then_us))
	for disk; do
		read -r "count[$disk]" _ <"${stat_of[$disk]}"
		count[$disk]=$((count[$disk] - count_then[$disk]))
	done
}
# measure SECONDS DISK...
measure() {
	measure_from "${@:2}"
	pause "$1"
	measure_to "${@:2}"
}

# sum DISK...: of their counts
sum() {
	local disk total=0
	for disk; do
		total=$((total + count[$disk]))
	done
	echo "$total"
}

# iops COUNT: a second
iops() { echo $((($1 * 1000000 + elapsed_us / 2) / elapsed_us)); }
# expected RATE: requests in the time that was measured
expected() { echo $((($1 * elapsed_us + 500000) / 1000000)); }

# near NAME GOT WANTED SLACK
near() {
	if (($2 >= $3 - $4 && $2 <= $3 + $4)); then
		ok "$1 ($2 of $3)"
	else
		not_ok "$1" "got $2, wanted $3, give or take $4"
	fi
}
at_least() { if (($2 >= $3)); then ok "$1 ($2, at least $3)"; else not_ok "$1" "got $2, wanted at least $3"; fi; }
at_most() { if (($2 <= $3)); then ok "$1 ($2, at most $3)"; else not_ok "$1" "got $2, wanted at most $3"; fi; }

# --- all programs into memory ----------------------------------------------------

warm_up() {
	fast_disk warm 16 || return
	qos_disk 0 warm limit_iops 100
	load warm q0
	pause 0.1
	stop_load warm
	latency_us warm q0 99 >"$WORK/warm"
	counter q0 qos limited >"$WORK/warm"
	set_live q0 shares 5
	sync /dev/mapper/q0
	down q0
}
warm_up || bail 'a disk is made and removed'
