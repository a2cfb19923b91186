#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fuzzes the netlink family in a booted kernel, while disks come and go.

. "$(dirname "$0")/../lab/lib.sh"
load_modules vaio dm-vaio vaio-sample || bail 'the modules are loaded'
make -s -C "$TREE/tests/lab" || bail 'the fuzzer is built'

uuid=11111111-2222-3333-4444-555555555555
mem_disk nlfuzz 16
check 'the disk is made' dmsetup create vm1 --table \
	"0 16384 vaio /dev/nlfuzz 0 2 uuid $uuid 1 match 4 pattern 6869 action count"
defer dmsetup remove --retry vm1

churn() {
	while [[ ! -e $WORK/stop ]]; do
		dmsetup create vm2 --table "0 8192 vaio /dev/nlfuzz 16384 2 uuid ${uuid/1111/2222} 1 match 2 pattern 68" &&
			dmsetup suspend vm1 && dmsetup resume vm1 && dmsetup remove --retry vm2 ||
			{ touch "$WORK/churn-failed"; return; }
	done
}
churn 2>"$WORK/churn-errors" &
churner=$!
check "the family stands it, seed $VAIO_SEED" \
	bash -c "netlink-fuzzer $(scaled 200) $VAIO_SEED vm1 $uuid | tee '$WORK/fuzzer'; exit \${PIPESTATUS[0]}"
note "$(grep '^#' "$WORK/fuzzer")"
touch "$WORK/stop"
wait "$churner"
check 'disks came and went meanwhile' test ! -e "$WORK/churn-failed"
note "$(<"$WORK/churn-errors")"
check 'data still goes through the disk' \
	dd if=/dev/mapper/vm1 of=/dev/null bs=4096 count=16 iflag=direct status=none
run_cleanups
check 'the modules can be unloaded' modprobe -r dm-vaio vaio-sample vaio
done_testing
