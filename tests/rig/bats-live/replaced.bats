#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The rig with one part replaced: Xen, xl, xenstored, xenconsoled, the log or what ships it, by
# `true` or by something stale. Each must turn the run red, and say where it stopped. Real Xen and
# a real dom0 otherwise, so each test is a boot: RIG_OVERLAY lays the replacement over dom0's root.

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

@test "nothing is replaced: SUCCESS" {
	red SUCCESS ''
}

@test "Xen is no hypervisor: RIG" {
	XEN=$(type -P true) red RIG 'did not come up'
}

@test "Xen is another kernel, which says so and goes: RIG" {
	XEN=$KERNEL red RIG 'did not come up'
}

@test "as dom0, Xen is no hypervisor: RIG" {
	LANE=dom0 XEN=$(type -P true) red RIG 'Xen never came up'
}

@test "as dom0, Xen is another kernel: RIG" {
	LANE=dom0 XEN=$KERNEL red RIG 'Xen never came up'
}

@test "QEMU is true: RIG" {
	QEMU=true red RIG 'did not come up'
}

@test "as dom0, QEMU is true: RIG" {
	LANE=dom0 QEMU=true red RIG 'Xen never came up'
}

@test "xl is true: RIG" {
	replace "$XEN_BIN/xl" </dev/null
	red RIG 'xl made no domain'
}

@test "xl plays an old session: CUT" {
	cp "$RIG/bats/consoles/good-domu.log" "$RIG_OVERLAY/console"
	replace "$XEN_BIN/xl" <<-'XL'
		name=$(sed -n 's/^name = "\(.*\)"$/\1/p' /rig/cases/*/cfg)
		log=/var/log/xen/xl-$name.log
		case $1 in
		create)
			cp /console "/var/log/xen/guest-$name.log"
			echo "Waiting for domain $name (domid 1) to die [pid 9]" >"$log"
			echo "Domain 1 has shut down, reason code 0 0x0" >>"$log"
			echo "Done. Exiting now" >>"$log"
			cat /console
			;;
		list) [ $# = 1 ] && echo "Domain-0 0 512" || echo "$2 1 128" ;;
		info) echo "xen_version : 4.99.0" ;;
		esac
	XL
	red CUT "the log's nonce is 1f2e3d4c"
}

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
