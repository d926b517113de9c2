#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The judge on recorded consoles: each word is reached, and each rule of docs/console.md, broken alone
# in an otherwise good log, costs the run its SUCCESS. The heavy loops are in verdict_check.py.

load helper

@test "the command: a file or standard input, any nonce unless one is given, JUnit on request" {
	judge() { PYTHONDONTWRITEBYTECODE=1 "$RIG/verdict.py" --skips "$CONSOLES/skips" "$@"; }
	[ "$(judge "$CONSOLES/good-domu.log" | tail -n 1)" = 'domu: SUCCESS' ]
	[ "$(good | judge --junit "$BATS_TEST_TMPDIR/junit.xml" - | tail -n 1)" = 'domu: SUCCESS' ]
	grep -q '<testcase classname="domu" name="boot_info"' "$BATS_TEST_TMPDIR/junit.xml"
	status=0
	judge --lane dom0 --ended crash "$CONSOLES/crash.log" || status=$?
	[ "$status" = 4 ]
}

# Every word.

@test "SUCCESS: a good domU log" {
	good | expect 'domu: SUCCESS'
}

@test "SUCCESS: a good dom0 log, with firmware, carriage returns and Xen's lines" {
	expect 'dom0: SUCCESS' --lane dom0 < "$CONSOLES/good-dom0.log"
}

@test "SUCCESS: a reboot is an orderly end too" {
	good | expect 'domu: SUCCESS' --ended reboot
}

@test "FAILURE: a test failed" {
	expect 'domu: FAILURE: hypercall_errors' < "$CONSOLES/failure.log"
}

@test "FAILURE: the summary shows the failed test's notes" {
	expect 'domu: FAILURE*' < "$CONSOLES/failure.log" | grep 't_hypercall.c:41: rc == -ENOSYS: got 0'
}

@test "ERROR: a test left something behind, which outranks a failure" {
	expect 'domu: ERROR: selfcheck_leak' < "$CONSOLES/error.log"
}

@test "SKIP: tests=list runs nothing" {
	expect 'domu: SKIP: no test was asked for' < "$CONSOLES/list.log"
}

@test "SKIP: every test was skipped" {
	expect 'domu: SKIP: every test was skipped' < "$CONSOLES/skip.log"
}

@test "CRASH: the panic line is the reason, the running test is named" {
	expect 'domu: CRASH: cmdline_quotes: panic: tests/guest/t_selfcheck.c:30: selfcheck_panic*' \
		--ended crash < "$CONSOLES/crash.log"
}

@test "CRASH: a fault inside the report leaves the first reason" {
	expect 'domu: CRASH: cmdline_quotes: panic: tests/guest/t_selfcheck.c:30: *' \
		--ended crash < "$CONSOLES/crash-nested.log"
}

@test "CRASH: killed without a word" {
	expect 'domu: CRASH: cmdline_quotes: killed without a word*' \
		--ended crash < "$CONSOLES/crash-silent.log"
}

@test "CRASH: before the first line" {
	expect "domu: CRASH: panic: boot/start_info.c:77: start_info.magic is 'yen*" \
		--ended crash < "$CONSOLES/crash-early.log"
}

@test "CRASH: too little memory, its one line is told" {
	expect 'domu: CRASH: *needs 4096 KiB, has 2048*' --ended crash < "$CONSOLES/crash-small.log"
}

@test "HANG: the time limit, and silence" {
	expect 'domu: HANG: cmdline_quotes: time limit*' --ended timeout < "$CONSOLES/crash-silent.log"
	expect 'domu: HANG: cmdline_quotes: silence*' --ended silence < "$CONSOLES/crash-silent.log"
}

@test "HANG: inside a crash report" {
	expect 'domu: HANG: cmdline_quotes: silence*selfcheck_panic*' --ended silence \
		< "$CONSOLES/crash.log"
}

@test "CUT: no last line though the guest shut down" {
	expect 'domu: CUT: cmdline_quotes: no last line*' < "$CONSOLES/crash-silent.log"
}

@test "CUT: an empty log, an end of the machine" {
	expect 'domu: CUT: *' --ended gone < /dev/null
	expect 'domu: CUT: *' < /dev/null
}

@test "RIG: a serial log without a word of Xen or the guest" {
	expect 'dom0: RIG: Xen never came up' --lane dom0 --ended silence < /dev/null
	echo 'Booting from ROM..' | expect 'dom0: RIG: *' --lane dom0 --ended timeout
	echo '(XEN) Panic on CPU 0' | expect 'dom0: HANG: *' --lane dom0 --ended timeout
}

# The first line and the last: the boot's identity.

@test "no first line" {
	good | sed 1d | expect 'domu: CUT: no first line'
}

@test "text before the first line of a domU" {
	good | sed '1i stale text' | expect 'domu: CUT: text before the first line'
	good | sed '1s/^/x/' | expect 'domu: CUT: text before the first line'
}

@test "firmware's text before the first line on a serial port is no fault" {
	good | sed '1i SeaBIOS' | sed '1s/^/\x1b[2J/' | expect 'smoke: SUCCESS' --lane smoke --skips \
		<(sed 's/^dom.uU./smoke/' "$CONSOLES/skips")
}

@test "another run's nonce, or none" {
	good | expect "domu: CUT: the log's nonce is 1f2e3d4c, this run's 2f2e3d4c*" --nonce 2f2e3d4c
	good | sed 's/nonce=1f2e3d4c/nonce=-/' | expect "domu: CUT: the log's nonce is -,*"
	good | sed 's/nonce=1f2e3d4c //' | expect 'domu: CUT: *'
}

@test "a last line with another nonce, though the first line has ours" {
	good | sed '$s/1f2e3d4c/2f2e3d4c/' | expect "domu: CUT: the last line's nonce is 2f2e3d4c*"
	good | sed '$s/nonce=1f2e3d4c //' | expect 'domu: CUT: *'
}

@test "a last line that differs in any one field" {
	good | sed '$s/xen=4.99.0/xen=4.99.1/' | expect 'domu: CUT: *xen 4.99.0 became 4.99.1'
	good | sed '$s/flags=0x0/flags=0x1/' | expect 'domu: CUT: *flags 0x0 became 0x1'
	good | sed '$s/nr_pages=32768/nr_pages=32769/' | expect 'domu: CUT: *nr_pages*'
	good | sed '$s/mfn0=0x1c3af/mfn0=0x1c3ae/' | expect 'domu: CUT: *mfn0 0x1c3af became 0x1c3ae'
}

@test "two boots in one log" {
	{ good; good; } | expect 'domu: CUT: a second first line*'
	{ good | sed 8q; good; } | expect 'domu: CUT: a second first line*'
	{ good | sed 's/1f2e3d4c/00000000/'; good; } | expect "domu: CUT: the log's nonce is 00000000*"
}

@test "text after the last line" {
	{ good; echo hello; } | expect 'domu: ERROR: text after the last line: hello'
	{ good; echo; } | expect 'domu: ERROR: text after the last line*'
	{ good; printf x; } | expect 'domu: ERROR: text after the last line*'
	{ good; good | tail -n 1; } | expect 'domu: ERROR: text after the last line*'
}

@test "a last line without its newline" {
	good | head -c -1 | expect 'domu: CUT: no last line*'
}

# KTAP.

@test "no KTAP header, two, another version" {
	good | sed '/^KTAP/d' | expect 'domu: ERROR: *KTAP*'
	good | sed '/^KTAP/p' | expect 'domu: ERROR: a second KTAP header*'
	good | sed 's/^KTAP version 1/KTAP version 2/' | expect 'domu: ERROR: malformed line*'
}

@test "no plan, two, one too small, one too large" {
	good | sed '/^1\.\./d' | expect 'domu: ERROR: *'
	good | sed '/^1\.\./p' | expect 'domu: ERROR: *'
	good | sed 's/^1\.\.5/1..4/' | expect 'domu: ERROR: 5 results, 4 planned'
	good | sed 's/^1\.\.5/1..6/' | expect 'domu: ERROR: 5 results, 6 planned'
}

@test "a result that is missing, repeated, out of order, misnumbered" {
	good | sed '/^ok 2/d' | expect 'domu: ERROR: *traps_vectors has no result*'
	good | sed '/^ok 2/p' | expect 'domu: ERROR: *result 2 (traps_vectors) where 3 is due*'
	good | sed 's/^ok 2/ok 3/' | expect 'domu: ERROR: *result 3 (traps_vectors) where 2 is due*'
	good | sed '/^# run traps/,/^ok 2/d' | expect 'domu: ERROR: *result 3 (vga_text) where 2 is due*'
}

@test "a result without its run line, or under another name" {
	good | sed '/^# run traps/d' | expect 'domu: ERROR: *result of traps_vectors without its*'
	good | sed 's/^ok 2 traps_vectors/ok 2 traps/' | expect 'domu: ERROR: *result of traps without*'
	good | sed 's/^# run traps_vectors/# run/' | expect 'domu: ERROR: *'
}

@test "a run line, a result or a note where none may be" {
	good | sed '/^KTAP/i # run early' | expect 'domu: ERROR: early runs before the plan*'
	good | sed '/ passed/a # run late' | expect 'domu: ERROR: *late runs before the plan or after*'
	good | sed '/^# run traps/i # traps_vectors: too early' | expect 'domu: ERROR: a note of traps*'
	good | sed '/ passed/i # run extra' | expect 'domu: ERROR: extra has no result'
	good | sed '/^ok 2/a # traps_vectors: too late' | expect 'domu: ERROR: a note of traps*'
}

@test "a skip of a test that failed, an error of one that passed, a skip without a reason" {
	good | sed 's/^ok 2 traps_vectors/not ok 2 traps_vectors # SKIP no/' | expect 'domu: ERROR: *malf*'
	good | sed 's/^ok 2 traps_vectors/ok 2 traps_vectors # ERROR no/' | expect 'domu: ERROR: *malf*'
	good | sed 's/# SKIP needs dom0/# SKIP/' | expect 'domu: ERROR: *malformed*'
	good | sed 's/# SKIP needs dom0/# TODO needs dom0/' | expect 'domu: ERROR: *malformed*'
}

@test "counts that are missing or not those of the results" {
	good | sed '/ passed/d' | expect 'domu: ERROR: *the last line does not follow the counts*'
	good | sed '/ passed/p' | expect 'domu: ERROR: a count that does not follow the tests*'
	good | sed 's/^4 passed/5 passed/' | expect 'domu: ERROR: the guest counts 5 passed*'
	good | sed 's/0 failed/1 failed/' | expect 'domu: ERROR: the guest counts*'
	good | sed 's/1 skipped/0 skipped/' | expect 'domu: ERROR: the guest counts*'
}

@test "a word that the results do not bear out" {
	sed 's/result: FAILURE/result: SUCCESS/' "$CONSOLES/failure.log" |
		expect 'domu: ERROR: the guest says SUCCESS, its results say FAILURE'
	sed 's/result: ERROR/result: FAILURE/' "$CONSOLES/error.log" | expect 'domu: ERROR: *'
	sed 's/result: SKIP/result: SUCCESS/' "$CONSOLES/skip.log" | expect 'domu: ERROR: *'
	sed 's/result: SKIP/result: SUCCESS/' "$CONSOLES/list.log" | expect 'domu: ERROR: *'
	good | sed 's/result: SUCCESS/result: FINE/' | expect 'domu: CUT: *'
}

@test "a line of the contract longer than 126 bytes; a free-form line may be" {
	long=$(printf '%0150d' 0)
	good | sed "s/boot_info/boot_info$long/" | expect 'domu: ERROR: longer than 126 bytes*'
	good | sed "s/^boot: 1 of/$long/" | expect 'domu: SUCCESS'
	name=$(printf '%0115d' 0)
	good | sed "s/boot_info/$name/" | expect 'domu: SUCCESS'      # '# run ' + 115: 122
	name=$(printf '%0119d' 0)
	good | sed "s/boot_info/$name/" | expect 'domu: SUCCESS'      # 126
	good | sed "s/boot_info/0$name/" | expect 'domu: ERROR: *'    # 127
}

@test "a carriage return or a line of Xen in a domU's own log" {
	good | sed 's/$/\r/' | expect 'domu: CUT: *'
	good | sed 's/^ok 2 traps/ok 2 (XEN) x\ntraps/' | expect 'domu: ERROR: *'
}

# Skips.

@test "a skip that the lane's table does not list" {
	good | sed 's/needs dom0/needs sleep/' | expect 'domu: FAILURE: unlisted skip: vga_text (needs sleep)'
	good | expect 'dom0: FAILURE: unlisted skip: vga_text (needs dom0)' --lane dom0
	good | sed 's/vga_text/cga_text/' | expect 'domu: FAILURE: unlisted skip: cga_text (needs dom0)'
	good | sed 's/needs dom0/needs dom0 too/' | expect 'domu: FAILURE: unlisted skip*'
}

# The end.

@test "an end that fits no last line" {
	good | expect 'domu: CRASH: killed without a word (after its last line)' --ended crash
	good | expect 'domu: HANG: time limit, after its last line' --ended timeout
	good | expect 'domu: HANG: silence, after its last line' --ended silence
	good | expect 'domu: CUT: after its last line, ended by gone' --ended gone
	good | expect 'domu: ERROR: after its last line, ended by suspend' --ended suspend
}

@test "an end that was asked for" {
	good | expect 'domu: SUCCESS' --ended crash --expect-end crash
	good | expect 'domu: SUCCESS' --ended reboot --expect-end reboot
	good | expect 'domu: SUCCESS' --ended silence --expect-end idle
	good | expect 'domu: ERROR: *' --ended poweroff --expect-end crash
	good | expect 'domu: ERROR: *' --ended poweroff --expect-end reboot
	good | expect 'domu: CRASH: *' --ended crash --expect-end reboot
	expect 'domu: CRASH: *' --ended crash --expect-end crash < "$CONSOLES/crash.log"
}

@test "a crash report in a log that ends well" {
	good | sed '/^ok 2/i panic: mm/p2m.c:1: no' | expect 'domu: ERROR: a crash report in a run*'
	{ good; echo 'panic: late'; } | expect 'domu: CRASH: panic: late' --ended crash
}

# Bulk lines.

@test "bulk lines: announced by nobody, not announced, not all there" {
	good | sed '/^# console_volume: 6/d' | expect 'domu: CUT: bulk line 00000, which nobody announced*'
	good | sed '/^# console_volume: 6/d; /^V /d' | expect 'domu: CUT: no bulk lines'
	good | sed '/^V 00005/d' | expect 'domu: CUT: bulk line 00005 is lost or broken'
	good | sed 's/console_volume: 6/console_volume: 5/' | expect 'domu: CUT: bulk line 00005, which*'
	good | sed '/^# run boot/a V 00000 x' | expect 'domu: CUT: malformed line: V 00000 x'
	good | sed '/^# run boot/a # console_volume: 0 lines' | expect 'domu: ERROR: bulk lines announced*'
	{ good | sed '/^V 00005/q'; good | sed -n '/^# console_volume: 6/,$p'; } |
		expect 'domu: ERROR: bulk lines announced outside console_volume, or twice'
	good | sed '/^V 00005/q' | sed '$d' | expect 'domu: CUT: console_volume: no last line*'
}

# The heavy loops, and the interface for callers in Python.

@test "no prefix of a good log is SUCCESS" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" prefixes
}

@test "no line of the contract can be lost, repeated or swapped" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" lines
}

@test "no byte of the contract's lines can change, be lost or come twice" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" flips
}

@test "lines of Xen between any two bytes of a dom0 log change nothing" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" xen_anywhere
}

@test "volume: a line lost, repeated, swapped, flipped" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" volume
}

@test "garbage is judged, not choked on" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" garbage
}

@test "a skip for want of memory is allowed only where memory is wanting" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" memory
}

@test "the interface for callers" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" interface
}

@test "merge: boots continued with after=NAME" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" merge
}

@test "JUnit XML" {
	python "$BATS_TEST_DIRNAME/verdict_check.py" junit
}
