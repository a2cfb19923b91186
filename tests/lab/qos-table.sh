#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The qos filter's words: what is refused, shown, changed live, and that what
# waits goes when the disk is suspended or removed.

. "$(dirname "$0")/lib.sh"

load_modules vaio-qos dm-vaio || bail 'the modules can be loaded'
mem_disk a 32
mem_disk b 32
uuid() { printf '5e0a7a52-3c1f-4b0e-8f6b-%012x' "$1"; }
device=$(basename "$(readlink -f /dev/a)")
# table N DEV WORD...
table() { echo "0 65536 vaio /dev/$2 0 2 uuid $(uuid "$1") 1 qos $(($# - 2)) ${*:3}"; }
up() { dmsetup create "q$1" --table "$(table "$@")"; }
down() { dmsetup remove --retry "q$1"; }
set_live() { dmsetup message "$1" 0 qos set "$2" "$3"; }
of_qos() { jq -r "first(.. | objects | select(.filter == \"qos\")) | $1"; }
counter() { vaioctl --json disk stats "$1" | of_qos ".counters.$2"; }
property() { vaioctl --json disk show "$1" | of_qos ".properties.$2"; }
reader() { dd if="/dev/mapper/$1" of=/dev/null bs=4096 count="$2" iflag=direct status=none; }

# here, for a job is a child of this shell only
ended_well() {
	local status=0
	wait "$2" || status=$?
	is "$1" "exit status $status" 'exit status 0'
}

# refused NAME REGEX WORD...
refused() {
	local name=$1 regex=$2 said
	shift 2
	printf 'qos-test %s\n' "$name" >/dev/kmsg
	if up 9 b "$@" 2>/dev/null; then
		down 9
		not_ok "$name" "the table was taken: $*"
		return
	fi
	said=$(dmesg | sed "1,/qos-test $name\$/d" | grep 'device-mapper: table:')
	like "$name" "$said" "$regex"
}

refused 'an unknown word' "unknown property 'limit'; accepted: reservation_iops, " limit 5
refused 'a limit of zero' "limit_iops: '0' is not one of none, or 1 to 10000000 a second" limit_iops 0
refused 'a limit with a unit' "limit_bytes: '20M' is not one of none, or 4096 to" limit_bytes 20M
refused 'few bytes' "limit_bytes: '4095' is not one of none, or 4096 to" limit_bytes 4095
refused 'no shares' "shares: '0' is not one of low, normal, high, or 1 to 1000000" shares 0
refused 'other shares' "shares: 'medium' is not one of low, normal, high" shares medium
refused 'an odd unit' "cost_unit: '5000' is not one of off, 4096, 8192" cost_unit 5000
refused 'a small unit' "cost_unit: '2048' is not one of off, 4096" cost_unit 2048
refused 'a long burst' "burst: '60001' is not 0 to 60000 milliseconds" burst 60001
refused 'much credit' "idle_credit: '1025' is not 0 to 1024 cost units" idle_credit 1025
refused 'a long name' "domain: 'x{40}' is not 1 to 31 characters" domain "$(printf 'x%.0s' {1..40})"
refused 'a limit of no VM' 'vm_limit_iops: the disk belongs to no VM' vm_limit_iops 5
refused 'a reservation without domain' 'domain: none has nothing to reserve from' domain none reservation_iops 5

up 1 a || bail 'a disk without words is made'
is 'no limit unless asked for' "$(property q1 limit_iops),$(property q1 limit_bytes)" none,none
is 'defaults' "$(property q1 shares) $(property q1 cost_unit) $(property q1 burst) $(property q1 idle_credit)" \
	'1000 32768 100 32'
is 'the domain is the whole device' "$(property q1 domain)" "$device"
reader q1 64
is 'nothing waited' "$(counter q1 limited),$(counter q1 queued)" 0,0
like 'latencies of the device were measured' "$(counter q1 latency)" '^[0-9]+:[0-9]+'

for pair in 'limit_iops 250' 'limit_bytes 1000000' 'shares 7' 'cost_unit off' 'burst 0' \
	'idle_credit 0' 'reservation_iops 10' 'reservation_bytes 8192'; do
	read -r name value <<<"$pair"
	set_live q1 "$name" "$value"
	is "$name is changed live" "$(property q1 "$name")" "$value"
done
set_live q1 shares high
is 'shares by name' "$(property q1 shares)" 2000
dmsetup suspend q1
dmsetup resume q1
is 'what was set stays over a suspend' "$(property q1 limit_iops)" 250
check_fails 'a wrong value is refused live' 'failed' set_live q1 limit_iops fast
is 'and changes nothing' "$(property q1 limit_iops)" 250
check_fails 'the domain cannot be set live' 'failed' set_live q1 domain other
check 'a reload takes the new words' dmsetup load q1 --table "$(table 1 a limit_iops 1 burst 0)"
dmsetup resume q1
is 'and forgets what was set' "$(property q1 limit_iops),$(property q1 shares)" 1,1000

# --- what waits

reader q1 100 &
pid=$!
waits() { [[ $(counter "$1" limited_now) -ge 1 ]]; }
check 'at 1 IOPS a reader waits' wait_for 60 waits q1
check 'a higher limit lets it go' set_live q1 limit_iops none
ended_well 'at once' "$pid"
drawn=$(vaioctl disk stats q1 | grep -A1 '^qos: ' | tr '\n' ' ')
like 'what waited for the limit, and what the device took, are drawn apart' "$drawn" \
	'qos: limit_delay +(<|>=) .*qos: latency +(<|>=) '
set_live q1 limit_iops 1
reader q1 20 &
pid=$!
check 'a reader waits again' wait_for 60 waits q1
check 'a suspend does not wait for the limit' dmsetup suspend --noflush q1
is 'nothing is parked' "$(counter q1 limited_now)" 0
dmsetup resume q1
set_live q1 limit_iops none
ended_well 'the reader ends' "$pid"
check 'the disk is removed' down 1

# --- a VM's disks

up 1 a vm guest vm_limit_iops 1000000 || bail 'a disk of a VM is made'
up 2 b vm guest || bail 'another disk of the VM is made'
is 'the limit is that of the VM' "$(property q2 vm_limit_iops)" 1000000
set_live q2 vm_limit_iops 1
is 'and is set through any disk' "$(property q1 vm_limit_iops)" 1
reader q1 40 &
pid=$!
check 'all disks wait for it' wait_for 60 waits q1
set_live q2 vm_limit_iops none
ended_well 'and all go' "$pid"
down 1
down 2

# --- domains

domain() { vaioctl --json domain show "$1" | jq -r "$2"; }
check 'a domain is made by declaring its capacity' vaioctl domain set store --capacity 100 --capacity-bytes 1MiB
is 'it is shown' "$(domain store '"\(.capacity_iops) \(.capacity_bytes) \(.disks) \(.threshold)"')" '100 1048576 0 auto'
check 'a disk reserves a part' up 1 a domain store reservation_iops 60
is 'which is booked' "$(domain store .reserved_iops)" 60
is 'and told by disk' "$(domain store '.members[] | "\(.disk) \(.reservation_iops)"')" 'q1 60'
refused 'more than there is' "domain 'store': reservations of 101 IOPS with this one, declared capacity 100; 40 are free" \
	domain store reservation_iops 41
refused 'more bytes than there are' "declared capacity 1048576; 1048576 are free" domain store reservation_bytes 1048577
check 'the rest is another disk'\''s' up 2 b domain store reservation_iops 40
check_fails 'no more by a live change' failed set_live q2 reservation_iops 41
is 'which changes nothing' "$(domain store .reserved_iops)" 100
check 'less is always possible' set_live q2 reservation_iops 10
check 'a reload counts a disk once' dmsetup load q1 --table "$(table 1 a domain store reservation_iops 90)"
check_fails 'and from when it is loaded' failed set_live q2 reservation_iops 11
dmsetup resume q1
check_fails 'a capacity that is less than what is reserved' 'is less than the 100 that disks have reserved' \
	vaioctl domain set store --capacity 99
check_fails 'a threshold beyond all reason' 'is not auto, or 1us to 10s' vaioctl domain set store --threshold 1000s
check 'a threshold' vaioctl domain set store --threshold 5ms
is 'is read back' "$(domain store '"\(.threshold) \(.threshold_ns)"')" 'set 5000000'
like 'the list has both domains' "$(vaioctl domain list)" 'store +2 '
down 1
down 2
is 'what was set stays' "$(domain store '"\(.reserved_iops) \(.capacity_iops)"')" '0 100'
check 'until it is taken back' vaioctl domain set store --capacity none --capacity-bytes none --threshold auto
check_fails 'then it is gone' "no domain 'store'" vaioctl domain show store

# --- what lies below

dmsetup create lower --table '0 65536 linear /dev/a 0'
dmsetup create upper --table '0 65536 linear /dev/mapper/lower 0'
check 'attach puts a volume under the filter' vaioctl disk attach q3 --backing /dev/mapper/upper --filter qos,shares=low
is 'the domain is the disk at the bottom' "$(property q3 domain)" "$device"
check 'detach' vaioctl disk detach q3
dmsetup remove upper
dmsetup remove lower

check 'all modules unload' rmmod dm_vaio vaio_qos vaio
done_testing
