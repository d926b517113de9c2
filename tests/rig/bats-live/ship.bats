#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The way out of dom0, with dom0 played by a stub: what is whole is taken, what is not is Cut, and
# nothing that a guest prints passes for dom0's own word.

says() {
	run "$BATS_TEST_DIRNAME/ship_check.py" "$1"
	echo "$output"
	# shellcheck disable=SC2053 # a pattern
	[[ $output == $2 ]]
}

@test "what is whole is taken, marks in pieces and binary data included" {
	says whole "\[('ended', 9), ('guest.log', 522)\]"
}

@test "a changed byte is Cut" {
	says changed 'Cut: *another checksum*'
}

@test "a missing end is Cut" {
	says short 'Cut: * of * bytes came out of dom0'
}

@test "no answer is RIG" {
	says silent 'RigError: dom0 does not answer any more'
}

@test "a status comes behind the output" {
	says status "(3, b'Pinion\\\\n')"
}

@test "a mark without the session's token is output" {
	says forged "(4, b'Pinion\\\\n@0000000000000000 0\\\\n')"
}

@test "output without a mark is RIG" {
	says no-end "('RigError: dom0 does not answer any more', b'Pinion*')"
}
