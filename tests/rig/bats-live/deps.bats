#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# tests/rig/deps with apt and dpkg played by scripts that keep a diary: what is asked of them, by whom,
# and that what was interrupted is done again.

# shellcheck disable=SC2016 # what the scripts say is for them to expand
setup() {
	FAKE=$BATS_TEST_TMPDIR
	RIG=$FAKE/rig
	export FAKE CACHE=$FAKE/cache
	mkdir "$RIG" "$FAKE/bin"
	cp "$BATS_TEST_DIRNAME/../deps" "$RIG/"
	printf '[build]\ngcc\nmake # a comment\n\n# another\n[run]\nqemu\nmake\n' >"$RIG/packages"
	printf '[rig]\nbusybox\nlibc6\n[rig-xen]\nxen\n' >>"$RIG/packages"
	fake dpkg-query 'grep -qx "$4" "$FAKE/installed" 2>/dev/null && echo installed'
	fake id 'echo "${FAKE_UID:-0}"'
	fake sudo '[ -e "$FAKE/sudo-works" ] && shift && { [ "$1" = true ] || "$@"; }'
	fake apt-get 'echo "apt-get $*" >>"$FAKE/diary"
		case "$*" in
		*update) touch "$FAKE/lists" ;;
		*install*) [ -e "$FAKE/lists" ] && shift 4 && printf "%s\n" "$@" >>"$FAKE/installed" ;;
		*download*)
			[ -e "$FAKE/lists" ] || exit 100
			shift 2
			for p; do echo "$p" >"${p}_1_amd64.deb"; [ ! -e "$FAKE/line-cut" ] || exit 100; done
			;;
		esac'
	# A package is a text file with its name, and holds one file of that name.
	fake dpkg 'echo "unpack $(cat "$2")" >>"$FAKE/diary"
		[ ! -e "$FAKE/unpack-fails" ] || { rm "$FAKE/unpack-fails"; exit 1; }
		touch "$3/$(cat "$2")"'
	PATH=$FAKE/bin:$PATH
	touch "$FAKE/diary"
}

fake() {
	printf '#!/bin/sh\n%s\n' "$2" >"$FAKE/bin/$1"
	chmod +x "$FAKE/bin/$1"
}

# entries GLOB: how many of the diary's lines contain it.
entries() {
	grep -c -- "$1" "$FAKE/diary" || true
}

@test "all is there: nothing is done" {
	printf 'gcc\nmake\nqemu\n' >"$FAKE/installed"
	run "$RIG/deps" build run
	[ "$status" = 0 ]
	[ -z "$output" ]
	[ ! -s "$FAKE/diary" ]
}

@test "what is missing is installed, and only that, once" {
	touch "$FAKE/lists"
	echo gcc >"$FAKE/installed"
	"$RIG/deps" build run
	cat "$FAKE/diary"
	[ "$(cat "$FAKE/diary")" = "apt-get -qq install --no-install-recommends -y make qemu" ]
	"$RIG/deps" build run
	[ "$(entries install)" = 1 ]
}

@test "a fresh machine's lists are fetched first" {
	"$RIG/deps" build
	cat "$FAKE/diary"
	[ "$(entries update)" = 1 ]
	grep gcc "$FAKE/installed"
}

@test "an ordinary user's sudo is used where it asks for no password" {
	touch "$FAKE/lists" "$FAKE/sudo-works"
	FAKE_UID=1000 "$RIG/deps" build
	grep gcc "$FAKE/installed"
}

@test "who may not install is told the one command" {
	FAKE_UID=1000 run "$RIG/deps" build run
	echo "$output"
	[ "$status" = 1 ]
	[ "$(grep -c apt-get <<<"$output")" = 1 ]
	grep -x 'apt-get install --no-install-recommends -y gcc make qemu' <<<"$output"
	[ ! -s "$FAKE/diary" ]
}

@test "apt that fails for good is an error, and its words are shown" {
	fake apt-get 'echo "E: no network"; exit 100'
	run "$RIG/deps" build
	echo "$output"
	[ "$status" = 1 ]
	[[ $output == *"E: no network"* ]]
}

@test "the rig's packages are unpacked once, and their places printed" {
	touch "$FAKE/lists"
	[ "$("$RIG/deps" rig)" = "$CACHE/root/rig
$CACHE/root/rig-xen" ]
	[ -e "$CACHE/root/rig/busybox" ]
	[ -e "$CACHE/root/rig-xen/xen" ]
	"$RIG/deps" rig
	[ "$(entries download)" = 2 ]
	[ "$(entries unpack)" = 3 ]
}

@test "the rig needs no root but for apt's lists" {
	touch "$FAKE/lists"
	FAKE_UID=1000 "$RIG/deps" rig
	rm "$FAKE/lists"
	rm -r "$CACHE"
	FAKE_UID=1000 run "$RIG/deps" rig
	echo "$output"
	[ "$status" = 1 ]
	grep -x 'apt-get update' <<<"$output"
}

@test "an interrupted download is done again" {
	touch "$FAKE/lists" "$FAKE/line-cut"
	run "$RIG/deps" rig
	[ "$status" = 1 ]
	rm "$FAKE/line-cut"
	"$RIG/deps" rig
	[ -e "$CACHE/root/rig/busybox" ]
	[ -e "$CACHE/root/rig/libc6" ]
}

@test "a tree that was half unpacked is unpacked again" {
	touch "$FAKE/lists"
	"$RIG/deps" rig
	rm "$CACHE/root/rig/.stamp" "$CACHE/root/rig/libc6"
	mkdir "$CACHE/root/rig.new"
	touch "$CACHE/root/rig.new/left-over"
	"$RIG/deps" rig
	[ ! -e "$CACHE/root/rig/left-over" ]
	[ -e "$CACHE/root/rig/libc6" ]
	[ "$(entries download)" = 2 ]
}

@test "a download that does not unpack is had again" {
	touch "$FAKE/lists"
	"$RIG/deps" rig
	rm -r "$CACHE/root"
	touch "$FAKE/unpack-fails"
	"$RIG/deps" rig
	[ -e "$CACHE/root/rig/libc6" ]
	[ "$(entries download)" = 3 ]
}

@test "another list of packages is another tree" {
	touch "$FAKE/lists"
	"$RIG/deps" rig
	sed -i 's/^xen$/xen-next/' "$RIG/packages"
	"$RIG/deps" rig
	[ -e "$CACHE/root/rig-xen/xen-next" ]
	[ ! -e "$CACHE/root/rig-xen/xen" ]
}

@test "XEN_DEBS takes the place of Xen's packages" {
	touch "$FAKE/lists"
	mkdir "$FAKE/mine"
	echo my-xen >"$FAKE/mine/my-xen_2_amd64.deb"
	XEN_DEBS=$FAKE/mine run "$RIG/deps" rig
	[ "${lines[-1]}" = "$CACHE/root/xen-debs" ]
	[ -e "$CACHE/root/xen-debs/my-xen" ]
	XEN_DEBS=$FAKE run "$RIG/deps" rig
	[ "$status" = 1 ]
	[[ $output == *"no .deb in"* ]]
}
