# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests with a part replaced share: real Xen and a real dom0 otherwise, so each test is a boot.
# RIG_OVERLAY lays the replacement over dom0's root.

setup_file() {
	RIG=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	# Whatever Xen's directory is called, by its version.
	XEN_BIN=$("$RIG/deps" rig | tail -n 1)
	XEN_BIN=$(cd "$XEN_BIN" && echo usr/lib/xen-*/bin)
	KERNEL=$(realpath "${B:-$RIG/../../build}/pinion.elf")
	export RIG XEN_BIN KERNEL
}

setup() {
	export B=$BATS_TEST_TMPDIR/build RIG_OVERLAY=$BATS_TEST_TMPDIR/overlay
	export LANE=domu CMDLINE='tests=boot_info' TIME=30 SILENCE=8
	mkdir -p "$B" "$RIG_OVERLAY/$XEN_BIN" "$RIG_OVERLAY/rig"
	ln -s "$KERNEL" "$B/pinion.elf"
}

# red WORD SENTENCE: the run ends in WORD, says SENTENCE, and has the word's exit status.
red() {
	local status=0 output words=(SUCCESS FAILURE ERROR SKIP CRASH HANG CUT RIG)
	output=$("$RIG/rig.py" run 2>&1) || status=$?
	echo "$output"
	echo "status $status"
	[[ ${output##*$'\n'} == "$LANE: $1"* && $output == *"$2"* && ${words[$status]} == "$1" ]]
}

# replace PATH: standard input becomes the script PATH of dom0.
replace() {
	{
		echo '#!/bin/sh'
		cat
	} >"$RIG_OVERLAY/$1"
	chmod +x "$RIG_OVERLAY/$1"
}

# edit FILE PATH EXPRESSION: dom0's PATH becomes the rig's FILE, changed by sed.
edit() {
	sed "$3" "$RIG/$1" >"$RIG_OVERLAY/$2"
	! cmp -s "$RIG/$1" "$RIG_OVERLAY/$2"
	chmod +x "$RIG_OVERLAY/$2"
}
