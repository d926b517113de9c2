#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# LANE=xl, and so the proof that xl ran, on a machine without Xen: a fake xl plays a good session,
# which must be SUCCESS. Then one thing at a time goes wrong in it, and each must turn the run red.

setup() {
	FAKE=$BATS_TEST_TMPDIR/fake
	FAKE_CONSOLE=$BATS_TEST_DIRNAME/../bats/consoles/good-domu.log
	mkdir -p "$FAKE/log" "$FAKE/bin"
	export FAKE FAKE_CONSOLE
	cp "$BATS_TEST_DIRNAME/fake-xl" "$FAKE/bin/xl"
	# The rig as it is, but for where xl's logs lie: not everybody may write where Xen's do.
	cp -r "$BATS_TEST_DIRNAME/.." "$BATS_TEST_TMPDIR/rig"
	sed -i "s,^LOGS=.*,LOGS=$FAKE/log," "$BATS_TEST_TMPDIR/rig/xl-run"
	# The recorded consoles' own table of skips, for this lane.
	sed 's/^dom\[uU\]/xl/' "$BATS_TEST_DIRNAME/../bats/consoles/skips" >"$BATS_TEST_TMPDIR/rig/skips"
	PATH=$FAKE/bin:$PATH
	export B=$BATS_TEST_TMPDIR/build LANE=xl TIME=6 SILENCE=2
	mkdir -p "$B"
	: >"$B/pinion.elf"
}

# red WORD SENTENCE: the run ends in WORD, says SENTENCE, and has the word's exit status.
red() {
	local status=0 output words=(SUCCESS FAILURE ERROR SKIP CRASH HANG CUT RIG)
	output=$("$BATS_TEST_TMPDIR/rig/rig.py" run 2>&1) || status=$?
	echo "$output"
	echo "status $status"
	[[ ${output##*$'\n'} == "xl: $1"* && $output == *"$2"* && ${words[$status]} == "$1" ]]
}

@test "a good session: SUCCESS" {
	red SUCCESS ''
}

@test "no xl at all: RIG" {
	rm "$FAKE/bin/xl"
	PATH=/usr/bin:/bin red RIG 'there is no xl here'
}

@test "xl is true: RIG" {
	ln -sf "$(type -P true)" "$FAKE/bin/xl"
	red RIG 'xl made no domain'
}

@test "xl refuses: RIG, and its words" {
	FAKE_BREAK=refuse red RIG 'libxl: error: this is no good'
}

@test "xl list never shows the domain: RIG" {
	FAKE_BREAK=unlisted red RIG 'xl list never showed the domain'
}

@test "xl list shows another domain of that name: RIG" {
	FAKE_BREAK=unlisted-id red RIG 'xl list never showed the domain'
}

@test "xl list does not show Domain-0: RIG" {
	FAKE_BREAK=no-dom0 red RIG 'does not even show Domain-0'
}

@test "the domain stays: RIG" {
	FAKE_BREAK=stays red RIG 'the domain is still there'
}

@test "the domain says it runs on another Xen than xl's: RIG" {
	FAKE_BREAK=other-xen red RIG "the guest's Xen is 4.99.0, xl's 4.98.0"
}

@test "xl info is silent: RIG" {
	FAKE_BREAK=no-info red RIG 'xl info names no version'
}

@test "xl's log does not end: RIG" {
	FAKE_BREAK=no-done red RIG "xl's log does not end in a shutdown reason"
}

@test "xl's log names no reason: HANG" {
	FAKE_BREAK=no-reason red HANG silence
}

@test "the reason is a crash, whatever the console says: CRASH" {
	FAKE_BREAK=crash red CRASH 'killed without a word'
}

@test "the console is an earlier run's: CUT" {
	cp "$FAKE_CONSOLE" "$FAKE/console"
	FAKE_BREAK=stale red CUT "the log's nonce is 1f2e3d4c"
}

@test "xenconsoled keeps no logs: the stream is as good on a real host" {
	FAKE_BREAK=no-log red SUCCESS ''
}

@test "the log lost its end: CUT" {
	head -n -1 "$FAKE_CONSOLE" >"$BATS_TEST_TMPDIR/short"
	FAKE_CONSOLE=$BATS_TEST_TMPDIR/short red CUT 'no last line'
}

@test "a test failed: FAILURE" {
	FAKE_CONSOLE=$BATS_TEST_DIRNAME/../bats/consoles/failure.log red FAILURE hypercall_errors
}

@test "interrupted: the domain is destroyed" {
	sed -i 's/until .*/sleep 0.1/; s/broken no-reason/true/' "$FAKE/bin/xl"
	# shellcheck disable=SC2016 # the script's variable, not ours
	sed -i 's/^cat "$FAKE\/console"/&; sleep 9/' "$FAKE/bin/xl"
	TIME=60 SILENCE=60 "$BATS_TEST_TMPDIR/rig/rig.py" run &
	local rig=$! status=0
	for _ in {1..100}; do
		[ -e "$FAKE/unpaused" ] && break
		sleep 0.1
	done
	kill -TERM $rig
	wait $rig || status=$?
	[ "$status" = 143 ]
	grep 'has been destroyed' "$FAKE"/log/xl-*.log
}
