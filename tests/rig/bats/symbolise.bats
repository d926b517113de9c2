#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Names for addresses. The image is a handful of functions linked where the kernel is:
#
#     last    ends in a call that never returns: its return address is the first byte of
#     next    which follows at once
#     bare    a symbol of assembly, without size or line

load helper

setup() {
	ELF=$BATS_FILE_TMPDIR/image.elf
	[ -e "$ELF" ] || build
	LAST=$(address last)
	NEXT=$(address next)
	BARE=$(address bare)
}

build() {
	cd "$BATS_FILE_TMPDIR" || return
	cat > image.c <<-'END'
		__attribute__((noreturn, noinline)) void stop(void)
		{
			for (;;)
				__asm__ volatile("");
		}
		void last(void)
		{
			stop();
		}
		void next(void)
		{
		}
		__asm__(".globl bare\n.type bare, @function\nbare: nop\nnop\n");
	END
	gcc -g -Os -falign-functions=1 -fno-toplevel-reorder -fno-asynchronous-unwind-tables \
		-fcf-protection=none -ffreestanding -nostdlib -static -fno-pie -no-pie -mcmodel=kernel \
		-Wl,-Ttext=0xffffffff80101000 -Wl,-e,last -Wl,--build-id=none -o image.elf image.c
}

address() {
	nm "$ELF" | sed -n "s/ T $1\$//p"
}

# named TEXT EXPECTED: one line through the filter.
named() {
	printf '%s\n' "$1" | python "$RIG/symbolise.py" "${2-$ELF}" | sed "s|$BATS_FILE_TMPDIR/||g"
}

@test "a return address belongs to the call before it, even at a function's end" {
	size=$((0x$NEXT - 0x$LAST))
	[ "$(named "panic:   [<$NEXT>]")" = \
		"panic:   [<$NEXT>] last+0x$(printf %x $size) (image.c:8)" ]
}

@test "an rip is itself: the kernel's, xenctx's and Xen's way to print it" {
	[ "$(named "panic: rip e033:$NEXT rsp e02b:0000000000000000")" = \
		"panic: rip e033:$NEXT next+0x0 (image.c:12) rsp e02b:0000000000000000" ]
	[ "$(named "rip: $NEXT flags: 00000202 i")" = "rip: $NEXT next+0x0 (image.c:12) flags: 00000202 i" ]
	[ "$(named "(XEN) RIP:    e033:[<$NEXT>]")" = "(XEN) RIP:    e033:[<$NEXT>] next+0x0 (image.c:12)" ]
}

@test "an address that something happened at is itself" {
	[ "$(named "panic: again: #PF at [<$NEXT>], address 0")" = \
		"panic: again: #PF at [<$NEXT>] next+0x0 (image.c:12), address 0" ]
}

@test "a backtrace that begins with the rip, and xenctx's arrow" {
	got=$(named "rip e033:$NEXT
panic:   [<$NEXT>]
panic:   [<$LAST>]")
	[ "$(echo "$got" | sed -n 2p)" = "panic:   [<$NEXT>] next+0x0 (image.c:12)" ]
	[ "$(named "    [<$NEXT>] <--")" = "    [<$NEXT>] next+0x0 (image.c:12) <--" ]
}

@test "two addresses in a line, one address twice" {
	[ "$(named "rip: $LAST then rip: $NEXT")" = \
		"rip: $LAST last+0x0 (image.c:8) then rip: $NEXT next+0x0 (image.c:12)" ]
	[ "$(named "rip: $LAST
rip: $LAST" | sort -u | wc -l)" = 1 ]
}

@test "a symbol of assembly has a name" {
	got=$(named "rip: $BARE")
	[[ $got == "rip: $BARE bare+0x0"* ]]
}

@test "addresses outside the image stay as they are" {
	for outside in 0000000000000000 ffff82d040201234 ffffffffffffffff ffffffff80000000 \
			ffffffff80200000 0000000080101000; do
		[ "$(named "panic:   [<$outside>]")" = "panic:   [<$outside>]" ]
	done
	[ "$(named "$LAST rax $LAST [<xyz>] [<>]")" = "$LAST rax $LAST [<xyz>] [<>]" ]
}

@test "no image, an empty one, one of something else: the text is unchanged" {
	: > "$BATS_TEST_TMPDIR/empty"
	head -c 60 "$ELF" > "$BATS_TEST_TMPDIR/short"
	for elf in /nonexistent "$BATS_TEST_TMPDIR/empty" "$BATS_TEST_TMPDIR/short" "$BATS_TEST_FILENAME"; do
		[ "$(named "rip: $LAST" "$elf")" = "rip: $LAST" ]
	done
}

@test "without nm and addr2line the text is unchanged" {
	got=$(echo "rip: $LAST" | PATH=/nonexistent python "$RIG/symbolise.py" "$ELF")
	[ "$got" = "rip: $LAST" ]
}

@test "bytes that are no text come through" {
	printf 'rip \377\200\n\0x' > "$BATS_TEST_TMPDIR/in"
	python "$RIG/symbolise.py" "$ELF" < "$BATS_TEST_TMPDIR/in" > "$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}
