#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make install into a folder, with another prefix: what the systemd units start is there, and systemd
# takes them; make uninstall leaves nothing.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
# shellcheck source=result.sh
source "$top/tests/unit/result.sh"

make -C "$top" --no-print-directory install DESTDIR="$root" PREFIX=/usr >"$work/log" 2>&1
result $? 'it is installed' "$(tail -n 5 "$work/log")"

missing=''
for unit in "$root"/usr/lib/systemd/system/vaio-{agent,replicad}.service; do
	program=$(sed -n 's/^ExecStart=//p' "$unit")
	[[ -n $program && -x $root$program ]] || missing+="${unit##*/} starts '$program' "
	sed "s|^ExecStart=|&$root|" "$unit" >"$work/${unit##*/}"
done
[[ -z $missing ]]
result $? 'what the units start is installed' "$missing"

faults=$(systemd-analyze verify --man=no --recursive-errors=no "$work"/vaio-*.service 2>&1)
result $? 'systemd finds no fault in the units' "$faults"

make -C "$top" --no-print-directory uninstall DESTDIR="$root" PREFIX=/usr >"$work/log" 2>&1
left=$(find "$root" -mindepth 1)
[[ -z $left ]]
result $? 'uninstall leaves nothing' "$left"
