#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Lint finds what it is there for: a tiny tree that passes every check, then one bad thing at a time
# for which the check that owns it must turn red, and name the file.

load helper

TOP=$(cd "$BATS_TEST_DIRNAME/../../.." && pwd)
LINT=$TOP/tests/lint/lint

setup() {
	export B=build
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE"
	cd "$TREE" || return
	git init -q .
	cp "$TOP/.clang-format" "$TOP/.clang-tidy" .
	echo /build/ > .gitignore
	source_file include/pinion/lib/sum.h '#ifndef SUM_H
#define SUM_H
#include <stdint.h>
uint64_t sum(uint64_t a, uint64_t b);
#endif'
	source_file include/pinion/boot/boot_info.h
	source_file include/pinion/xen/hypercall.h
	source_file include/pinion/xen/console.h
	source_file lib/sum.c '#include <pinion/lib/sum.h>

uint64_t sum(uint64_t a, uint64_t b)
{
	return a + b;
}'
	source_file mm/p2m.c '#include <pinion/boot/boot_info.h>
#include <pinion/lib/sum.h>
#include <pinion/xen/hypercall.h>'
	script tool sh 'echo hello'
	script tool.py python3 'print(1)'
	commands lib/sum.c mm/p2m.c
	kernel_of 100000 5000
}

# kernel_of TEXT RODATA: the symbols of a kernel of so many bytes without its suite.
kernel_of() {
	local start=$((0x80100000))
	printf 'ffffffff%x T %s\n' $start __text_start $((start + $1)) __text_suite \
		$((start + 0x80000)) __rodata_start $((start + 0x80000 + $2)) __rodata_suite \
		>build/pinion.sym
}

source_file() {
	mkdir -p "$(dirname "$1")"
	printf '/* SPDX-License-Identifier: MIT */\n' > "$1"
	[ $# = 1 ] || printf '%s\n' "$2" >> "$1"
}

script() {
	local interpreter=/bin/sh
	[ "$2" = sh ] || interpreter="/usr/bin/env $2"
	printf '#!%s\n# SPDX-License-Identifier: MIT\n%s\n' "$interpreter" "$3" > "$1"
}

commands() {
	mkdir -p build
	python "$TOP/tests/lint/compile_commands.py" build 'gcc -std=gnu11 -ffreestanding -Iinclude' "$@" \
		> build/compile_commands.json
}

# red CHECK TEXT: the check fails and says so.
red() {
	local output status=0
	output=$("$LINT" "$1" 2>&1) || status=$?
	printf '%s\nstatus %s\n' "$output" "$status"
	[ "$status" = 1 ] && grep -qF -- "$2" <<< "$output" && [[ $output == *"checks, failed: $1" ]]
}

green() {
	"$LINT" "$@" 2>&1
}

@test "a clean tree passes every check" {
	green
}

@test "one red check among green ones is red, and the others are still run" {
	printf '\n\n' >> lib/sum.c
	sed -i 's/$/ /' tool
	output=$(green python space format layers) && return 1
	[ "$(grep -c '^lint: .*: \(ok\|FAILED\)' <<< "$output")" = 4 ]
	[[ $output == *'4 checks, failed: space format' ]]
}

@test "a missing tool is no pass" {
	mkdir bin
	for tool in sh dirname git getconf mktemp rm sort head grep cat date; do
		ln -s "$(command -v "$tool")" bin/
	done
	for check in format shell cppcheck tidy; do
		output=$(PATH=$PWD/bin "$LINT" "$check" 2>&1) && return 1
		echo "$output" | grep 'is not installed: make deps'
	done
}

@test "format: a line that clang-format would change" {
	sed -i 's/a + b/a+b/' lib/sum.c
	red format lib/sum.c
}

@test "format: an ignored or deleted file is not looked at, a new one is" {
	source_file build/x.c 'int  x;'
	git add lib/sum.c && rm lib/sum.c
	green format
	source_file new.c 'int  x;'
	red format new.c
}

@test "shell: a script known by its shebang" {
	# shellcheck disable=SC2016 # the bad script's own variable
	script tool sh 'echo $1'
	red shell 'In tool line 3'
}

@test "cppcheck: a division by zero" {
	sed -i 's/a + b/a + b \/ 0/' lib/sum.c
	red cppcheck lib/sum.c
	mkdir -p tests/host
	mv lib/sum.c tests/host/
	commands mm/p2m.c
	red cppcheck tests/host/sum.c
}

@test "tidy: a bug that the analyzer sees" {
	sed -i 's/return a + b/uint64_t *p = 0; return *p + a + b/' lib/sum.c
	red tidy lib/sum.c
}

@test "tidy: what was clean is looked at again when it, or what is looked for, has changed" {
	green tidy
	sed -i 's/return a + b/uint64_t *p = 0; return *p + a + b/' lib/sum.c
	red tidy lib/sum.c
	sed -i 's/uint64_t \*p = 0; return \*p + a + b/return a + b/' lib/sum.c
	green tidy
	sed -i '/-readability-identifier-length/d' .clang-tidy
	red tidy lib/sum.c
}

@test "tidy: a kernel source that the build does not know" {
	source_file xen/extra.c
	red tidy 'xen/extra.c: is not built'
}

@test "tidy, cppcheck, headers: no compile_commands.json" {
	rm build/compile_commands.json
	red tidy 'build/compile_commands.json is missing'
	red cppcheck 'build/compile_commands.json is missing'
	red headers 'build/compile_commands.json is missing'
}

@test "headers: one that needs another before it, one that can't come twice" {
	sed -i '/stdint/d' include/pinion/lib/sum.h
	red headers 'include/pinion/lib/sum.h: is not self-standing'
	source_file include/pinion/lib/sum.h 'struct twice {
	int x;
};'
	red headers 'include/pinion/lib/sum.h: is not self-standing'
}

@test "layers: whom each layer must not know, in a source and in a header, however spelled" {
	: > "$BATS_TEST_TMPDIR/expected"
	for pair in lib:arch lib:xen lib:mm lib:boot arch:xen arch:mm arch:boot xen:mm xen:boot mm:boot; do
		own=${pair%:*} theirs=${pair#*:}
		source_file "include/pinion/$theirs/thing.h"
		source_file "$own/a_$theirs.c" "#include <pinion/$theirs/thing.h>"
		source_file "$own/b_$theirs.c" "  #  include \"../include/pinion/$theirs/thing.h\""
		source_file "include/pinion/$own/c_$theirs.h" "#include <pinion/$theirs/missing.h>"
		for file in "$own/a_$theirs.c" "$own/b_$theirs.c" "include/pinion/$own/c_$theirs.h"; do
			echo "$file:2: $own must not know $theirs" >> "$BATS_TEST_TMPDIR/expected"
		done
	done
	sort "$BATS_TEST_TMPDIR/expected" > "$BATS_TEST_TMPDIR/sorted"
	red layers 'must not know' > "$BATS_TEST_TMPDIR/out"
	sed -n 's/: includes .*//p' "$BATS_TEST_TMPDIR/out" | sort | diff "$BATS_TEST_TMPDIR/sorted" -
}

@test "layers: whom each layer may know" {
	for pair in boot:mm boot:xen boot:arch boot:lib mm:lib xen:arch xen:lib arch:lib; do
		source_file "include/pinion/${pair#*:}/thing.h"
		source_file "${pair%:*}/${pair#*:}.c" "#include <pinion/${pair#*:}/thing.h>"
	done
	source_file xen/y.c '#include <xen/xen.h>'
	source_file tests/guest/t.c '#include <pinion/mm/thing.h>
#include "../../boot/mm.c"'
	green layers
}

@test "layers: mm has four doors and no other" {
	source_file mm/p2m.c '#include <pinion/xen/console.h>'
	red layers 'mm/p2m.c:2: mm must not know xen: includes pinion/xen/console.h'
	source_file mm/p2m.c '#include <xen/xen.h>'
	red layers 'mm/p2m.c:2: mm includes xen/xen.h'
	for door in xen/hypercall arch/probe arch/va_base arch/cpu; do
		source_file "include/pinion/$door.h"
		source_file "mm/${door#*/}.c" "#include <pinion/$door.h>"
	done
	source_file mm/p2m.c
	green layers
}

@test "layers: the kinds of numbers are everybody's but lib's" {
	source_file include/pinion/mm/frames.h
	source_file include/pinion/arch/pte.h '#include <pinion/mm/frames.h>'
	source_file xen/hypercall.c '#include <pinion/mm/frames.h>'
	source_file mm/p2m.c '#include <pinion/arch/pte.h>'
	green layers
	source_file lib/sum.c '#include <pinion/mm/frames.h>'
	red layers 'lib/sum.c:2: lib must not know mm: includes pinion/mm/frames.h'
}

@test "layers: nothing in the kernel knows the tests" {
	source_file tests/guest/suite.h
	for spelled in '"../tests/guest/suite.h"' '<tests/guest/suite.h>' '"tests/guest/suite.h"'; do
		source_file boot/kmain.c "#include $spelled"
		red layers 'boot/kmain.c:2: boot must not know tests'
	done
}

@test "python: a syntax error, and no cache left behind" {
	script tool.py python3 'print(1'
	red python tool.py
	[ -z "$(find . -name __pycache__)" ]
}

@test "rules: a function or a test that the rule book names and nobody wrote, a book without rules" {
	source_file mm/p2m.c 'int p2m_get(void)
{
	return 0;
}'
	source_file tests/guest/t_p2m.c 'TEST(p2m, p2m_reads, "a story")'
	mkdir docs
	cat > docs/pv-mmu.md <<-'END'
		| rule | function | test |
		|---|---|---|
		| a rule | `p2m_get` | `p2m_reads` |
		| another, of two functions | `p2m_get`, `p2m_mid` | `p2m_reads` |
		| one to know | none | `p2m_reads`, `raw_reads` |

		| another table | of | anything |
		|---|---|---|
		| a | `b` | c |
	END
	source_file tests/guest/t_raw.c 'RAW_TEST(raw, raw_reads,
		"a story")'
	source_file mm/p2m_mid.c 'static void p2m_mid(int a,
	int b)
{
}'
	green rules
	sed -i "/^| one/a | a rule | \`p2m_set\` | \`p2m_writes\` |" docs/pv-mmu.md
	red rules 'docs/pv-mmu.md: no function p2m_set'
	red rules 'docs/pv-mmu.md: no test p2m_writes'
	source_file mm/p2m_set.c 'int p2m_set(int a,
	int b);'
	red rules 'docs/pv-mmu.md: no function p2m_set'
	echo > docs/pv-mmu.md
	red rules 'docs/pv-mmu.md: no rule found'
}

@test "rules: rows that can't be read, files that are not there, MFNs where nobody looks for them" {
	source_file tests/guest/t_p2m.c 'TEST(p2m, p2m_reads, "a story")'
	mkdir docs
	cat > docs/pv-mmu.md <<-'END'
		| rule | function | test |
		|---|---|---|
		| a rule | none | `p2m_reads` |
	END
	green rules
	mapfile -t rows <<-'END'
		| a | none | |
		| a | p2m_get | `p2m_reads` |
		| a | none | p2m_reads |
		| none | `p2m_reads` |
	END
	for row in "${rows[@]}"; do
		sed -i "4d; 3a $row" docs/pv-mmu.md
		red rules "docs/pv-mmu.md: not a rule: $row"
	done
	sed -i 4d docs/pv-mmu.md
	green rules
	echo 'See tests/guest/t_p2m.c, lib/gone.c and arch/x86/mm.c.' > docs/more.md
	red rules 'docs/more.md: no file lib/gone.c'
	rm docs/more.md
	source_file include/pinion/mm/p2m.h ' * known.c has MFNs
 */
#ifndef P2M_H
#endif'
	source_file mm/known.c 'static mfn_t kept;'
	source_file mm/locals.c 'static mfn_t get(mfn_t mfn)
{
	mfn_t other = mfn;
}'
	green rules
	for kept in 'static maddr_t kept;' 'struct s {
	mfn_t mfn;
};' 'static struct {
	int n;
	const mfn_t *mfns;
} t;'; do
		source_file mm/other.c "$kept"
		red rules 'mm/other.c: keeps MFNs and is not in the list of include/pinion/mm/p2m.h'
	done
}

@test "spdx: absent, too late, in a script, in a makefile" {
	echo 'int x;' > lib/x.c
	red spdx 'lib/x.c: does not begin with'
	printf '\n/* SPDX-License-Identifier: MIT */\n' > lib/x.c
	red spdx 'lib/x.c: does not begin with'
	rm lib/x.c
	printf '#!/bin/sh\necho\n# SPDX-License-Identifier: MIT\n' > run
	red spdx 'run: does not begin with'
	rm run
	echo all: > Makefile
	red spdx 'Makefile: does not begin with'
}

@test "length: 500 lines pass, 501 do not" {
	script long sh "$(yes : | head -n 498)"
	green length
	script long sh "$(yes : | head -n 499)"
	red length 'long: has 501 lines'
}

@test "space: a trailing blank, a tab, a carriage return" {
	for end in ' ' '\t' '\r'; do
		printf '# text%b\n' "$end" > notes.md
		red space notes.md:1:
	done
	mkdir -p tests/rig/bats/consoles
	mv notes.md tests/rig/bats/consoles/raw.log
	green space
}

@test "version: Xen's is spelled in one place" {
	# Put together here, or this file would be a finding itself.
	xen=4.1
	for text in "xen-hypervisor-${xen}7-amd64" "xen=${xen}7.2" "\"${xen}9\""; do
		echo "$text" > config
		red version config:1:
	done
	mkdir -p tests/rig
	mv config tests/rig/packages
	echo "tried on Xen ${xen}7" > README.md
	echo "14.170 4.5 ${xen} 2.${xen}7" > numbers
	green version
}

@test "size: code and constants are added up and told, the limit passes and one byte more does not" {
	limit=$(sed -n 's/^SIZE_LIMIT=//p' "$LINT")
	kernel_of $((limit * 1024 - 3000)) 3000
	green size | grep "together $limit.0 KiB without the suite"
	kernel_of $((limit * 1024 - 3000)) 3001
	red size 'KiB without the suite'
	sed -i /__rodata_suite/d build/pinion.sym
	red size 'build/pinion.sym: no __rodata_suite'
	rm build/pinion.sym
	red size 'build/pinion.sym is missing'
}
