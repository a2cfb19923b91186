#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Six disks on one store that serves 1,000 requests a second: what each gets by
# shares and by reservation, and what the control costs. A full run measures 40
# seconds of shares, another 4.
#
# Lines "# iops <second> <disk 1> ... <disk 6>" are throughput over time, "# mark
# <second> <text>" what happened then: tools/bench/plot-shares draws them.

. "$(dirname "$0")/qos-lib.sh"

service_us=4000 channels=4
store_iops=$((channels * 1000000 / service_us))
store_disk store 56 "$channels" $((service_us * 1000)) || bail 'a store with a fixed rate is made'
disks=(q1 q2 q3 q4 q5 q6)
long=$(scaled 40) some=$(scaled 20)

# series SECONDS: prints the throughput of every half second; count and elapsed_us
# are those of the whole time
declare -A total=()
started_us=0
at() { printf '%d.%d' $((($1 - started_us) / 1000000)) $((($1 - started_us) % 1000000 / 100000)); }
mark() { echo "# mark $(at "$(now_us)") $1"; }
series() {
	local i disk line total_us=0
	for disk in "${disks[@]}"; do total[$disk]=0; done
	for ((i = 0; i < 2 * $1; i++)); do
		measure 0.5 "${disks[@]}"
		line=''
		for disk in "${disks[@]}"; do
			total[$disk]=$((total[$disk] + count[$disk]))
			line+=" $(iops "${count[$disk]}")"
		done
		total_us=$((total_us + elapsed_us))
		echo "# iops $(at "$then_us")$line"
	done
	for disk in "${disks[@]}"; do count[$disk]=${total[$disk]}; done
	elapsed_us=$total_us
}

# --- without qos --------------------------------------------------------------

for n in 1 2 3 4 5 6; do plain_disk "$n" store; done
load calm "${disks[@]:1}" --ramp_time=1
load guest q1 --iodepth=16 --rate_iops=150 --ramp_time=1
pause 1
measure "$some" "${disks[@]}"
base=$(sum "${disks[@]}") base_us=$elapsed_us
stop_load guest
stop_load calm
near 'control: without qos the store is busy' "$(iops "$base")" "$store_iops" $((store_iops / 50))
base_p99=$(latency_us guest q1 99)
at_least 'control: a modest disk waits with the others, us' "$base_p99" $((25 * service_us))
down "${disks[@]}"

# --- shares -------------------------------------------------------------------

shares=(500 500 500 500 1000 1000)
for n in 1 2 3 4 5 6; do qos_disk "$n" store shares "${shares[n - 1]}"; done
load five "${disks[@]:0:5}"
load sixth q6
pause 1
started_us=$(now_us)
series "$long"
all=$(sum "${disks[@]}")
for n in 1 2 3 4 5 6; do
	wanted=$((all * shares[n - 1] / 4000))
	near "q$n has $((shares[n - 1] / 500)) of 8 shares" "${count[q$n]}" "$wanted" $((wanted / 10))
done
at_least 'of the throughput without qos, per mille' \
	$((1000 * all * (base_us / 1000) / (base * (elapsed_us / 1000)))) 971

mark 'disk 6 stops'
stop_load sixth
series "$some"
all=$(sum "${disks[@]}")
for n in 1 2 3 4 5; do
	wanted=$((all * shares[n - 1] / 3000))
	near "when q6 has stopped q$n has $((shares[n - 1] / 500)) of 6" "${count[q$n]}" "$wanted" $((wanted / 10))
done
near 'and nothing is left idle' "$(iops "$all")" "$store_iops" $((store_iops * 3 / 100))

mark 'disk 1 gets 4000 shares'
check 'shares are changed live' set_live q1 shares 4000
series "$((some / 2))"
all=$(sum "${disks[@]}")
wanted=$((all * 4000 / 6500))
near 'q1 has 8 of 13 shares then' "${count[q1]}" "$wanted" $((wanted / 10))
stop_load five
down "${disks[@]}"

# --- a window that has become smaller ------------------------------------------

# Two disks that find room in the window with which a domain begins, but whose
# requests take longer than the threshold: it closes until they have to wait.
qos_disk 1 store
qos_disk 2 store shares high
load both q1 q2 --iodepth=30
pause 5
measure "$some" q1 q2
all=$(sum q1 q2)
near 'shares hold, too, when the window closes over what is in flight' "${count[q2]}" $((all * 2 / 3)) $((all / 15))
domain=$(vaioctl --json domain list | jq -c '.[0] | [.in_flight <= .window, .contended, .latency_ns / .threshold_ns < 1.4]')
is 'no more is in flight, so that latency is near the threshold' "$domain" '[true,true,true]'
stop_load both
down q1 q2

# --- a reservation under attack -------------------------------------------------

reserved=300
qos_disk 1 store shares 1 reservation_iops "$reserved"
for n in 2 3 4 5 6; do qos_disk "$n" store shares high; done
load attack "${disks[@]:1}"
load small q1 --iodepth=16
pause 1
measure "$some" "${disks[@]}"
at_least 'of 300 reserved IOPS a disk with one share gets' "$(iops "${count[q1]}")" $((reserved * 95 / 100))
near 'the store is as busy as before' "$(iops "$(sum "${disks[@]}")")" "$store_iops" $((store_iops * 3 / 100))
at_least 'it went by reservation' "$(counter q1 qos by_reservation)" $((reserved / 2))
set_live q1 reservation_iops none
pause 0.2
measure 1 q1
at_most 'control: without the reservation it starves' "${count[q1]}" $((reserved / 10))
# or what it has under way would take minutes
set_live q1 reservation_iops "$reserved"
stop_load small

# --- latency of a reserved disk -------------------------------------------------

# fio does not sleep before its requests have come back, and then has a handful to
# make up for: enough is reserved for them to go at once.
set_live q1 reservation_iops $((2 * reserved))
load guest q1 --iodepth=16 --rate_iops=150 --ramp_time=1
pause 1.5
measure "$some" "${disks[@]}"
stop_load guest
stop_load attack
p99=$(latency_us guest q1 99)
note "99 % of the reserved disk's requests take $p99 us, $base_p99 without qos"
near 'below its reservation a disk gets what it asks for' "${count[q1]}" "$(expected 150)" $((some * 8))
at_most 'and waits for the window, not for the others, us' "$p99" $((14 * service_us))
down "${disks[@]}"

check 'all modules unload' rmmod dm_vaio vaio_qos vaio_probe vaio
done_testing
