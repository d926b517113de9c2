# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the rig's own tests share.

RIG=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
CONSOLES=$BATS_TEST_DIRNAME/consoles

# The interpreter itself, without what a site adds: the tests start it a hundred times. What it
# compiles it keeps for the next start, but not beside the sources.
setup_file() {
	PYTHON=$(python3 -c 'import sys; print(sys.executable)')
	PATH=${PYTHON%/*}:$PATH
	export PYTHON PATH
}

python() {
	"$PYTHON" -S -E -X "pycache_prefix=$BATS_RUN_TMPDIR/pycache" "$@"
}

# good: the recorded log that every broken one is made from.
good() {
	cat "$CONSOLES/good-domu.log"
}

declare -gA STATUS=([SUCCESS]=0 [FAILURE]=1 [ERROR]=2 [SKIP]=3 [CRASH]=4 [HANG]=5 [CUT]=6 [RIG]=7)

# expect LAST-LINE [option...] < log: the judge's last line matches the glob, its exit status the word.
expect() {
	local glob=$1 status=0 output last word
	shift
	# Imported, not run as a script: only what is imported is kept compiled.
	output=$(python -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); import verdict
sys.exit(verdict.main())' "$RIG" --nonce 1f2e3d4c --skips "$CONSOLES/skips" "$@" -) || status=$?
	last=${output##*$'\n'}
	word=${last#*: }
	# Shown by bats when the test fails.
	printf '%s\n%s\n' "$output" "status $status, expected $glob"
	# shellcheck disable=SC2053 # the right side is meant to be a glob
	[[ $last == $glob && $status == "${STATUS[${word%%:*}]}" ]]
}
