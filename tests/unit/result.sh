# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the *_test.sh share: a line of TAP for each check. `count` counts them.

count=0

result() {	# OK? NAME TEXT
	count=$((count + 1))
	if [[ $1 == 0 ]]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		printf "# %s\n" "${3//$'\n'/$'\n'# }"
	fi
}
