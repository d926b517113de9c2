#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Names for the addresses in a crash: `symbolise.py build/pinion.elf < log`.

Code addresses come in these forms, and each gets a note put behind it:

    panic:   [<ffffffff80101234>]              the kernel, and xenctx's call trace
    panic: #PF at [<ffffffff80101234>]         the kernel: where it happened
    panic: rip e033:ffffffff80101234           the kernel
    rip: ffffffff80101234                      xenctx
    RIP:    e033:[<ffffffff80101234>]          Xen

    panic:   [<ffffffff80101234>] kmain+0x14 (boot/kmain.c:40)

What a backtrace holds are return addresses: each points behind its call, which may be the next line,
or, after a call that never returns, the next function. So they are looked up one byte earlier. An rip
is looked up as it is, and so are what follows an `at` and the backtrace's entry that repeats the rip.

nm gives the functions, addr2line file and line: one run each, however long the log. An address
outside the image's code stays as it is; so does everything if a tool or the image is missing.
"""

import bisect
import pathlib
import re
import struct
import subprocess
import sys

_TOP = f'{pathlib.Path(__file__).resolve().parents[2]}/'
_RIP = r'\brip:? +(?:[0-9a-f]{4}:)?(?:\[<)?(?P<rip>[0-9a-f]{8,16})\b(?:>\])?'
_FRAME = r'(?P<at>\bat )?\[<(?P<frame>[0-9a-f]{8,16})>\]'
_ARROW = re.compile(r'[^\n]*<--')
_ADDRESS = re.compile(f'{_RIP}|{_FRAME}', re.IGNORECASE)


def _code_ranges(elf):
    """[(start, end)] of the executable segments of an ELF64 image; [] for anything else."""
    try:
        with open(elf, 'rb') as file:
            image = file.read()
        if image[:6] != b'\x7fELF\x02\x01':
            return []
        offset, = struct.unpack_from('<Q', image, 32)
        size, count = struct.unpack_from('<HH', image, 54)
        headers = [struct.unpack_from('<IIQQQQQQ', image, offset + number * size)
                   for number in range(count)]
    except (OSError, struct.error):
        return []
    return [(va, va + memory) for kind, flags, _, va, _, _, memory, _ in headers
            if kind == 1 and flags & 1]


def _tool(*command, feed=''):
    """Lines of a tool's output; none if it is missing or fails."""
    try:
        done = subprocess.run(command, input=feed, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


def _functions(elf):
    """Sorted [(address, size, name)]; symbols of assembly have no size, 0."""
    found = {}
    for line in _tool('nm', '-S', '--defined-only', str(elf)):
        fields = line.split()
        if len(fields) >= 3 and fields[-2] in 'tTwW':
            size = int(fields[1], 16) if len(fields) == 4 else 0
            address = int(fields[0], 16)
            # Of two names of one address the one that has a size is the function's.
            found[address] = max(found.get(address, (0, '')), (size, fields[-1]))
    return [(address, size, name) for address, (size, name) in sorted(found.items())]


def _lines(elf, addresses):
    """{address: 'file:line'} of those that have one."""
    output = _tool('addr2line', '-a', '-e', str(elf), feed='\n'.join(map(hex, addresses)))
    found = {}
    for address, place in zip(output[::2], output[1::2]):
        place = place.partition(' (')[0]
        if not place.startswith('?') and not place.endswith((':0', ':?')):
            found[int(address, 16)] = place
    return found


def _lookups(text):
    """[(match, address as printed, address to look up)] of the text's addresses, in order."""
    found, rip = [], None
    for match in _ADDRESS.finditer(text):
        address = int(match['rip'] or match['frame'], 16)
        if match['rip']:
            rip = address
        # xenctx marks the rip that heads its call trace by an arrow.
        exact = match['at'] or address == rip or _ARROW.match(text, match.end())
        found.append((match, address, address if exact else address - 1))
    return found


def symbolise(text, elf):
    """
    The text with a note ` function+offset (file:line)` behind each code address of the image.

    elf is a path. Never raises: without image, nm or addr2line the text has fewer notes or none.
    """
    code = _code_ranges(elf)
    found = [entry for entry in _lookups(text)
             if any(start <= entry[2] < end for start, end in code)]
    if not found:
        return text
    functions = _functions(elf)
    lines = _lines(elf, sorted({lookup for _, _, lookup in found}))
    starts = [address for address, _, _ in functions]
    parts, done = [], 0
    for match, address, lookup in found:
        note = []
        at = bisect.bisect_right(starts, lookup) - 1
        if at >= 0:
            start, size, name = functions[at]
            if not size or lookup < start + size:
                note.append(f'{name}+{address - start:#x}')
        if lookup in lines:
            note.append(f'({lines[lookup].removeprefix(_TOP)})')
        parts += [text[done:match.end()]] + [' ' + word for word in note]
        done = match.end()
    return ''.join(parts + [text[done:]])


def main():
    if len(sys.argv) != 2:
        print(f'usage: {sys.argv[0]} ELF < log', file=sys.stderr)
        return 2
    text = sys.stdin.buffer.read().decode('utf-8', 'surrogateescape')
    sys.stdout.buffer.write(symbolise(text, sys.argv[1]).encode('utf-8', 'surrogateescape'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
