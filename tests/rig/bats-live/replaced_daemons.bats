#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# As replaced.bats, of what runs beside xl: xenstored, xenconsoled, the log that it keeps, what ships it.

load helper

@test "xenstored is true: RIG" {
	replace "$XEN_BIN/xenstored" </dev/null
	red RIG 'xenstored did not come up'
}

@test "xenconsoled is true: RIG" {
	replace "$XEN_BIN/xenconsoled" </dev/null
	red RIG 'xenconsoled did not come up'
}

@test "xenconsoled keeps no log: CUT" {
	edit dom0/init init 's/--log=guest/--log=none/'
	red CUT 'xenconsoled has no log of the guest'
}

@test "the log is a stale one: CUT" {
	cp "$RIG/bats/consoles/good-domu.log" "$RIG_OVERLAY/console"
	# shellcheck disable=SC2016 # the script's variable, not ours
	edit xl-run rig/xl-run 's,cp "$log",cp /console,'
	red CUT "the log's nonce is 1f2e3d4c"
}
