#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a limit of one I/O a second is no obstacle to: flushes, and a filter's own I/O.

. "$(dirname "$0")/qos-lib.sh"

mem_disk cached 40 512 cache_size=1 || bail 'a store with a cache to flush is made'
store_disk slow 40 4 4000000 || bail 'a store with a fixed rate is made'

# --- flushes ------------------------------------------------------------------------

disk 1 cached 2 qos 2 limit_iops 1 probe-encryption 0
load stuck q1
parked() { [[ $(counter q1 qos limited_now) -ge 30 ]]; }
wait_for 300 parked || bail 'half a minute of I/O waits'
files=()
for ((i = 0; i < 50; i++)); do files+=(/dev/mapper/q1); done
below=$(counter q1 probe-encryption submitted)
before=$(now_us)
check '50 flushes of a disk at 1 IOPS' sync "${files[@]}"
at_most 'take no time, us' $(($(now_us) - before)) 1000000
at_least 'and have reached what is below' $(($(counter q1 probe-encryption submitted) - below)) 50
set_live q1 limit_iops none
stop_load stuck
down q1

# --- a filter's own I/O ---------------------------------------------------------------

# The probe writes one block after the other, as a cache does that is written back.
disk 1 slow 2 probe-cache 4 watch none own_io 0+160 qos 2 limit_iops 1
qos_disk 2 slow
load neighbour q2 --iodepth=64
load guest q1
pause 1
before=$(counter q1 probe-cache own_done)
measure "$(scaled 20)" q1 q2
wrote=$(($(counter q1 probe-cache own_done) - before))
near "the guest's own limit holds" "${count[q1]}" "$(expected 1)" 2
at_least 'written back meanwhile, of a disk at 1 IOPS' "$(iops "$wrote")" 20
at_least 'all of it, and more from the start' "$wrote" 21
at_least 'and its neighbour has the rest, IOPS' "$(iops "${count[q2]}")" 700

# With next to no shares it waits for its turn, unless somebody waits for a prepare.
set_live q1 limit_iops none
set_live q1 shares 1
set_live q2 shares 1000000
wrote_in() { # SECONDS: sets wrote
	local before
	before=$(counter q1 probe-cache own_done)
	measure "$1" q1 q2
	wrote=$(($(counter q1 probe-cache own_done) - before))
}
pause 1
wrote_in 2
at_most 'control: against a million shares little is written back' "$wrote" 4
token=$(dmsetup message q1 0 event snapshot prepare)
like 'a snapshot is prepared' "$token" '^[0-9]+$'
wrote_in 2
at_least 'meanwhile it does not wait for its turn' "$wrote" 20
check 'the snapshot is aborted' dmsetup message q1 0 event snapshot abort "$token"
pause 0.5
wrote_in 2
at_most 'and it waits again' "$wrote" 4
set_live q1 shares normal
set_live q2 shares normal
set_live q1 limit_iops 1

before=$(now_us)
check 'a suspend waits neither for it' dmsetup suspend q1
at_most 'nor for the limit, us' $(($(now_us) - before)) 1000000
dmsetup resume q1
set_live q1 limit_iops none
stop_load guest
stop_load neighbour
down q1 q2

check 'all modules unload' rmmod dm_vaio vaio_qos vaio_probe vaio
done_testing
