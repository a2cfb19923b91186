#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Limits as a guest sees them: held to within 2 % or two I/Os, changed at once, and
# no obstacle to the removal of a disk.

. "$(dirname "$0")/qos-lib.sh"

fast_disk fast 40 || bail 'a fast store is made'

# held NAME RATE SECONDS DISK...: what the disks under load do together; the burst is over
held() {
	local name=$1 rate=$2 seconds=$3 wanted slack
	shift 3
	pause 1
	measure "$seconds" "$@"
	wanted=$(expected "$rate") slack=$((wanted / 50))
	near "$name" "$(sum "$@")" "$wanted" $((slack > 2 ? slack : 2))
}

# --- limits -----------------------------------------------------------------------

qos_disk 1 fast limit_iops 10
qos_disk 2 fast
load few q1
held '10 IOPS' 10 "$(scaled 40)" q1
stop_load few
set_live q1 limit_iops 2000
load many q1
held '2,000 IOPS' 2000 "$(scaled 10)" q1
load more q2
pause 0.1
measure 0.1 q1 q2
at_least 'control: a disk without limit does many more' "${count[q2]}" $((5 * $(expected 2000)))
stop_load more
stop_load many
load large q1 --bs=64k
held '64 KiB cost two units of 32: 1,000 requests at 2,000 IOPS' 1000 "$(scaled 10)" q1
set_live q1 cost_unit off
held 'or one without cost_unit' 2000 "$(scaled 10)" q1
set_live q1 limit_iops none
set_live q1 limit_bytes 20000000
held '20 MB/s of 64 KiB' $((20000000 / 65536)) "$(scaled 20)" q1
stop_load large
load small q1
held '20 MB/s of 4 KiB' $((20000000 / 4096)) "$(scaled 10)" q1
set_live q1 limit_iops 1000
held 'with both, the lower holds' 1000 "$(scaled 10)" q1
stop_load small
down q1 q2

qos_disk 1 fast vm guest vm_limit_iops 1000
qos_disk 2 fast vm guest
load vm q1 q2
held 'two disks of a virtual machine share its 1,000 IOPS' 1000 "$(scaled 10)" q1 q2
stop_load vm
down q1 q2

# --- changes ----------------------------------------------------------------------

qos_disk 1 fast limit_iops 2000
load change q1
pause 1
check 'a lower limit is set under load' set_live q1 limit_iops 10
measure 2 q1
# what was under way, and a burst of one
at_most 'it holds from then on' "${count[q1]}" $((20 + 1 + 32))
measure 2 q1
near 'and exactly' "${count[q1]}" 20 2
set_live q1 limit_iops 1
pause 1
measure_from q1
set_live q1 limit_iops 100000
measure_to q1
at_least 'a higher one lets go what waits' "$(sum q1)" 32
at_most 'in less time than one I/O had, us' "$elapsed_us" 1000000
stop_load change

# --- removal ------------------------------------------------------------------------

set_live q1 limit_iops 1
load stuck q1 --iodepth=64
parked() { [[ $(counter q1 qos limited_now) -ge 60 ]]; }
wait_for 300 parked || bail 'a minute of I/O waits'
before=$(now_us)
check 'a disk is removed while a minute of I/O waits' dmsetup remove --force --retry q1
at_most 'at once, us' $(($(now_us) - before)) 3000000
unset 'stat_of[q1]'
wait "${load_pid[stuck]}"

check 'all modules unload' rmmod dm_vaio vaio_qos vaio_probe vaio
done_testing
