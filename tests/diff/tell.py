# SPDX-License-Identifier: MIT
"""
What differs between two verbose replays of one trace (tests/guest/trace_print.c), in one line.

      mmu_update {  P5[3] := P5|0x25; } = 0, 1 done      a call: its result, and how many requests were done
        e95c2ba00767f495                                 of all so far, with the entries as they then read
    contents 1b0efce3e169a6f6, types (...): P0:.B.II ..  in the end: what is in the pool, and which types its frames have
"""

import re

_END = re.compile(r'^contents (\w+), types \([^)]*\): (.*)$')
_RESULT = re.compile(r'^(.*) = (-?\w+)(?:, (\d+) done)?$')
_TYPES = re.compile(r'(P\d+):(.{5})')
_HASH = re.compile(r'^ +[0-9a-f]{16}$')
_WIDTH = 60


def _lines(text):
    """Those from the trace's first to its last."""
    lines = text.split('\n')
    first = next((n for n, line in enumerate(lines) if re.match(r'trace \d+ is:$', line)), len(lines))
    last = next((n for n, line in enumerate(lines) if _END.match(line)), len(lines))
    return lines[first + 1:last + 1]


def _call(line):
    """What was called, no longer than it need be."""
    name = line.strip()
    return name if len(name) <= _WIDTH else name[:_WIDTH - 3] + '...'


def _results(one, other):
    """Of two lines of the same call."""
    was, now = _RESULT.match(one), _RESULT.match(other)
    if not was or not now or was[1] != now[1]:
        return f'{_call(one)}, not {_call(other)}'
    what = f'{was[2]}, not {now[2]}' if was[2] != now[2] else f'{was[3]} done, not {now[3]}'
    return f'{_call(was[1])} is {what}'


def _ends(one, other):
    was, now = _END.match(one), _END.match(other)
    for (frame, types), (_, others) in zip(_TYPES.findall(was[2]), _TYPES.findall(now[2] if now else '')):
        if types != others:
            return f'in the end {frame} is {types}, not {others}'
    return 'in the end another thing is in the pool'


def difference(sound, other):
    """Where @other first differs from @sound: a sentence, or '' if it does not, or only ends early."""
    call, number, ours = '', 0, _lines(other)
    for n, line in enumerate(_lines(sound)):
        if n >= len(ours):
            return ''
        if not _HASH.match(line):
            call, number = line, number + 1
        if line == ours[n]:
            continue
        if _END.match(line):
            return _ends(line, ours[n])
        what = f'after {_call(call)} the entry reads otherwise' if _HASH.match(line) else _results(line, ours[n])
        return f'call {number}: {what}'
    return ''
