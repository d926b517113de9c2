#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Checks of dumpcore.py on a made-up core. Called by dumpcore.bats with the name of one check; silent and
0 when it holds.
"""

import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import dumpcore  # noqa: E402

NONE = 0xffffffffffffffff
PAGES = 24
# Two runs, a hole, one frame far above it.
FRAMES = {pfn: 0x1e00 + pfn for pfn in range(10)} | {pfn: 0x900 - pfn for pfn in range(10, 13)} | \
    {0x100000: 0x42}
MAX_PFN = 0x100001


def console(frames, max_pfn=MAX_PFN):
    """What p2m_print prints, each frame as a run of its own but for the first ten."""
    runs = [(0, 0x1e00, 10)] if all(frames.get(n) == 0x1e00 + n for n in range(10)) else []
    runs += [(pfn, mfn, 1) for pfn, mfn in sorted(frames.items()) if not runs or pfn > 9]
    lines = [f'# p2m_print: run {pfn:#x} {mfn:#x} {n}' for pfn, mfn, n in runs]
    return '\n'.join(['Pinion', '# run p2m_print', *lines, f'# p2m_print: {len(frames)} frames in '
                      f'{len(runs)} runs, max_pfn {max_pfn:#x}', 'ok 1 p2m_print', ''])


def core(pairs, max_pfn=MAX_PFN):
    """A core as xl writes it: header, section headers, shared_info, pages, .xen_p2m, names."""
    names = b'\0.shstrtab\0.xen_shared_info\0.xen_pages\0.xen_p2m\0'
    p2m = b''.join(struct.pack('<QQ', *pair) for pair in pairs)
    shared = bytearray(4096)
    struct.pack_into('<Q', shared, 3088, max_pfn)
    sections = [(0, 0, 0), (names.index(b'.shs'), 12288 + PAGES * 4096 + len(p2m), len(names)),
                (names.index(b'.xen_s'), 4096, 4096), (names.index(b'.xen_pa'), 12288, PAGES * 4096),
                (names.index(b'.xen_p2m'), 12288 + PAGES * 4096, len(p2m))]
    head = bytearray(12288)
    struct.pack_into('<6s34xQ', head, 0, b'\x7fELF\x02\x01', 64)
    struct.pack_into('<HH', head, 60, len(sections), 1)
    for number, (name, offset, size) in enumerate(sections):
        struct.pack_into('<IIQQQQ', head, 64 + number * 64, name, 1, 0, 0, offset, size)
    head[4096:8192] = shared
    return bytes(head) + bytes(PAGES * 4096) + p2m + names


def pairs_of(frames):
    """.xen_p2m's pairs: as many as the domain has frames, the rest ~0."""
    return sorted(frames.items()) + [(NONE, NONE)] * 2


def files(whole, head=65536, tail=45056):
    return {'core.head': whole[:head], 'core.tail': whole[-tail:],
            'core.size': b'%d\n' % len(whole)}


def unmet(frames=None, pairs=None, **more):
    return dumpcore.unmet(console(FRAMES if frames is None else frames),
                          files(core(pairs or pairs_of(FRAMES), **more)))


def agree():
    """No sentence where the two are the same, wherever the core is cut."""
    whole = core(pairs_of(FRAMES))
    for head, tail in ((12288, 8192), (8192, 4096), (65536, 45056), (len(whole), 1)):
        got = dumpcore.unmet(console(FRAMES), files(whole, head, tail))
        assert got == [], got


def entries():
    """The first pfn that differs is named, whatever differs there."""
    for pfn in FRAMES:
        other = dict(FRAMES)
        other[pfn] += 1
        got = unmet(other)
        assert len(got) == 1 and f'pfn {pfn:#x}: the guest has {other[pfn]:#x}, xl dump-core ' \
            f'{FRAMES[pfn]:#x}; 1 of ' in got[0], got
        del other[pfn]
        got = unmet(other)
        assert f'pfn {pfn:#x}: the guest has no frame' in got[0], got
        got = unmet(pairs=pairs_of(other))
        assert f'pfn {pfn:#x}: ' in got[0] and 'xl dump-core no frame' in got[0], got
    got = unmet(pairs=pairs_of(FRAMES | {0x50: 7}))
    assert 'pfn 0x50: the guest has no frame, xl dump-core 0x7' in got[0], got
    swapped = dict(FRAMES)
    swapped[3], swapped[8] = swapped[8], swapped[3]
    assert 'pfn 0x3: ' in unmet(swapped)[0] and '2 of 14 differ' in unmet(swapped)[0]
    assert 'max_pfn 0x100002, the guest 0x100001' in unmet(max_pfn=0x100002)[0]


def broken():
    """What can't be compared is never taken for equal."""
    whole, said = core(pairs_of(FRAMES)), console(FRAMES)
    assert 'in full' in dumpcore.unmet('', files(whole))[0]
    assert 'in full' in dumpcore.unmet(said + said, files(whole))[0]
    for line in said.split('\n')[2:-2]:
        assert 'in full' in dumpcore.unmet(said.replace(line + '\n', ''), files(whole))[0], line
    twice = pairs_of(FRAMES)
    twice[1] = twice[0]
    assert 'twice' in unmet(pairs=twice)[0]
    for bad, text in ((b'', 'no core'), (b'\x7fELF\x01\x01' + whole[6:], 'no ELF64'),
                      (whole.replace(b'.xen_p2m', b'.xen_pfn'), 'no section .xen_p2m')):
        got = dumpcore.unmet(said, files(bad))
        assert len(got) == 1 and text in got[0], (text, got)
    # What is not kept is not made up; a core that lost bytes is none.
    assert 'not kept' in dumpcore.unmet(said, files(whole, 64, 64))[0]
    for end in (len(whole) - 1, len(whole) - 60, 12288, 4096, 100):
        assert dumpcore.unmet(said, files(whole[:end])), end
    got = dumpcore.unmet(said, {'core.log': b'xl: no such domain'})
    assert got == ['dump-core: xl wrote no core: xl: no such domain'], got
    assert dumpcore.unmet(said, {'core.log': b'no', 'core.head': b'', 'core.tail': b''}) == \
        ['dump-core: xl wrote no core: no']
    for name in ('core.head', 'core.size'):
        left = files(whole)
        del left[name]
        assert dumpcore.unmet(said, left), name


if __name__ == '__main__':
    {check.__name__: check for check in (agree, entries, broken)}[sys.argv[1]]()
