#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Requests that ask not to wait, as io_uring sends them: whatever a stack does
# with them, the submitter never sees EAGAIN. io_uring of 6.1 and 6.12 sends a
# request again only if it hears of it before its submission has returned.

. "$(dirname "$0")/core-lib.sh"

core_modules
# One request at a time, up to 64 KiB, ended by a timer: so larger ones are
# refused whole, and a second one that may not wait is refused while the first is
# on its way.
mem_disk a 32 512 hw_queue_depth=1 submit_queues=1 irqmode=2 completion_nsec=200000 \
	max_sectors=128 || bail 'a slow device'
A=$(uuid 1)

# load WHAT FILTER...
load() {
	local what=$1
	shift
	dmsetup create v1 --table "$(table 65536 /dev/a "$A" "$@")" || bail "$what: the disk"
	check "$what" fio --name=load --filename=/dev/mapper/v1 --allow_file_create=0 --direct=1 \
		--ioengine=io_uring --iodepth=8 --rw=randwrite --bsrange=512-1M --size=16M --io_size=16M \
		--verify=crc32c --verify_fatal=1 --randseed="$VAIO_SEED" --output-format=terse
	check "$what: nobody refused them for good" test "$(slot_field v1 "${1%% *}" 3)" = 0
	dmsetup remove v1
}

load 'seen by a filter' 'probe-cache'
load 'another bio in their place' 'probe-cache submit_all sub'
load 'deferred on the way down by work that has begun' 'probe-cache submit_all defer-async'
load 'deferred on the way up' 'probe-cache complete_all defer-async'
load 'held by a filter' 'probe-cache submit_all defer-ordered'
load 'split for a filter' 'probe-cache max_io 64'
load 'split, copied, and deferred both ways' \
	'probe-cache submit_all sub max_io 64 complete_read defer-ordered' 'probe-encryption submit_write defer-async'
core_unload
done_testing
