#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vaio-agent's command line and configuration file: what is wrong is named. Then the
# agent itself, which needs no module to answer on its socket.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
agent=$top/build/san/bin/vaio-agent
work=$(mktemp -d)
notes_pid=
trap 'kill $notes_pid 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
# shellcheck source=result.sh
source "$top/tests/unit/result.sh"

refuse() {	# EXIT WORDS ARGUMENT...
	local want=$1 words=$2 status=0 bad=0
	shift 2
	timeout 20 "$agent" "$@" >out 2>err </dev/null || status=$?
	[[ $status == "$want" && ! -s out ]] && grep -qF -- "$words" err || bad=1
	result $bad "refused: $* ($words)" "status $status, wanted $want: $(cat out err)"
}

config() {	# EXIT WORDS LINE...
	local want=$1 words=$2 status=0 bad=0
	shift 2
	printf '%s\n' "$@" >conf
	"$agent" --config conf --check >out 2>err || status=$?
	[[ $status == "$want" && $(<err) == *"$words"* ]] || bad=1
	result $bad "a file: $* ($words)" "status $status, wanted $want: $(cat out err)"
}

refuse 2 'usage: vaio-agent' --odd
refuse 2 "'odd' is no option" odd
refuse 2 "--scan '1' is not 100ms to 60s" --scan 1
refuse 2 "--scan '2min' is not 100ms to 60s" --scan 2min
config 0 '' '# nothing' '' 'compress = 3' 'rate = 1MiB # a comment' '[vm1]' 'rate = any' \
	'guest = 0b8c3b8e-6f0c-4c5e-9a2e-000000000001'
config 1 "conf: line 1: 'compres' is unknown: accepted are pki, compress, rate, guest, generation" 'compres = 1'
config 1 "generation: '5' is not UUID:COUNTER:FIRST" 'generation = 5'
config 1 "is not UUID:COUNTER:FIRST" 'generation = 2c1d1f3e-3f5e-4b0a-9a53-5b1f5a9f1e11:1:5'
config 1 "is not UUID:COUNTER:FIRST" 'generation = 2c1d1f3e-3f5e-4b0a-9a53-5b1f5a9f1e11:2:5x'
config 1 "line 2: compress: '20' is not one of none, 1 to 19" '' 'compress = 20'
config 1 "line 2: rate: '10' is not one of any, a size of 64KiB or more for each second" '[other]' 'rate = 10'
config 1 "line 1: guest: 'me' is no UUID" 'guest = me'
config 1 "line 1: '[a b' is no [group]" '[a b'
config 1 "line 1: 'a b' is no name of a group" '[a b]'
config 1 "line 1: 'rate' is not 'word = value'" rate
"$agent" --config none --check 2>err
result $? 'a file may be missing' "$(<err)"

# What systemd is told: all that comes to the socket goes to a file.
socat -u UNIX-RECV:notify "OPEN:$work/notes,creat,append" &
notes_pid=$!
for ((i = 0; i < 200; i++)); do
	[[ ! -S notify ]] || break
	sleep 0.05
done
told() {	# NAME PATTERN: until it was told
	local i
	for ((i = 0; i < 600; i++)); do
		[[ $(<notes) != $2 ]] || break
		sleep 0.05
	done
	[[ $(<notes) == $2 ]]
	result $? "$1" "it was told: $(<notes)"
}
: >notes

ask() { printf '%s\n' "$1" | timeout 20 socat -t 10 - UNIX:sock; }
answers() {	# NAME REQUEST WORDS
	local out
	out=$(ask "$2")
	[[ $out == *"$3"* ]]
	result $? "$1" "$out"
}
NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=60000000 "$agent" --config none --state state/deep --run run --socket sock --scan 100ms 2>log &
pid=$!
told 'systemd is told that it is ready' 'READY=1*'
answers 'it answers without a kernel module' '{"do": "status"}' '{"ok":true,"groups":[]}'
answers 'a group that is not there' '{"do": "status", "group": "x"}' "there is no group 'x' with a target"
answers 'an unknown request' '{"do": "dance"}' "'do': 'dance' is not one of status, checkpoint"
answers 'no JSON' 'hello' 'no object of JSON'
answers 'a checkpoint without a group' '{"do": "checkpoint"}' "'group' is missing"
answers 'a long request' "$(head -c 5000 /dev/zero | tr '\0' x)" 'at most 4096 bytes'
refuse 1 'another vaio-agent runs with this state' --config none --state state/deep --run run --socket sock2
told 'and then that it lives' 'READY=1WATCHDOG=1WATCHDOG=1*'
export NOTIFY_SOCKET=$work/notify
before=$(grep -o READY notes | wc -l)
refuse 1 'another vaio-agent listens there' --config none --state state2 --run run --socket sock
unset NOTIFY_SOCKET
# what it had said would come before this
printf MARK | socat -u - UNIX-SENDTO:notify
told 'systemd hears nothing of one that cannot begin' '*MARK*'
[[ $(grep -o READY notes | wc -l) == "$before" ]]
result $? 'not that it is ready' "$(<notes)"
kill -HUP $pid
answers 'it lives on after SIGHUP' '{"do": "status"}' '"ok":true'
kill $pid
wait $pid
result $? 'it ends when it is told' "$(<log)"
told 'systemd is told of that' '*STOPPING=1'
[[ ! -e sock ]]
result $? 'its socket is gone' "$(ls)"
echo "1..$count"
