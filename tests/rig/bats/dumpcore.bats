#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The comparison of the guest's P2M with xl dump-core's, on a made-up core: the two agree, and then one
# thing at a time is wrong. The real ones are compared in the domU lane (domu-cases: dump).

load helper

@test "a core and a console that agree, in any cut between head and tail" {
	python "$BATS_TEST_DIRNAME/dumpcore_check.py" agree
}

@test "every entry counts: another MFN, one less, one more" {
	python "$BATS_TEST_DIRNAME/dumpcore_check.py" entries
}

@test "a console that is not whole, a core that is none" {
	python "$BATS_TEST_DIRNAME/dumpcore_check.py" broken
}
