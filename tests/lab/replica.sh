#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The whole way: disks, vaio-agent, vaio-replicad, the store, NBD. With cuts: replica-cuts.sh.

MIB=32
. "$(dirname "$0")/replica-lib.sh"

repl_modules
repl_devices || bail 'the devices are made'
make_pki || bail 'certificates are made'
replicad_start
head -c "${MIB}M" /dev/urandom | dd of=/dev/data1 bs=1M oflag=direct status=none iflag=fullblock
vaioctl group create g ring=16MiB target="localhost:$PORT" on_loss=stall:60s,track || bail 'the group is made'
repl_up group g || bail 'the disks are made'

# --- initial copy, order

agent_start
wait_for 60 state_is replicating || note "$(tail -n 20 "$WORK/agent" "$WORK/replicad"; vaioctl group show g)"
replica_equals 'the disks are copied'
check 'zeroes are not sent' test "$(counter bytes)" -lt $(((MIB + 8) << 20))
wait_for 20 agent_state_is replicating
is 'the agent says so' "$(agent_field 'g["state"]')" replicating
check 'a writer runs' writer --streams 16 --count "$(scaled 1000)" --max 262144 --discard --seed "$VAIO_SEED"
replica_equals 'its writes arrive'
is 'without a gap' "$(counter gaps)" 0
check 'the disks are removed' repl_down
kill "$agent_pid"; wait "$agent_pid"
check 'the group is deleted' vaioctl group delete g
repl_unload
done_testing
