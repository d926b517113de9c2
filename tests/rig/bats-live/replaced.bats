#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The rig with one part replaced: Xen, QEMU, or xl, by `true` or by something stale. Each must turn the
# run red, and say where it stopped.

load helper

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
