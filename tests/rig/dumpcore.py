# SPDX-License-Identifier: MIT
"""
A guest's P2M seen twice, and compared entry by entry:

    guest    test p2m_print  -----------------> console        runs of (pfn, mfn)
    outside  shared_info, frame lists, leaves -> xl dump-core  section .xen_p2m

For a PV guest xl finds the table through shared_info's max_pfn and pfn_to_mfn_frame_list_list (Xen's
tools/libs/guest/xg_core_x86.c, xc_core_arch_map_p2m_tree_rw), so what is compared is what the guest
published. The core is ELF64 (docs/misc/dump-core-format.txt); xl-run keeps its beginning and its
end, and leaves out the guest's pages, which lie between:

    core.head   ELF header, section headers, registers, .xen_shared_info
    core.tail   .xen_p2m (pairs of 64 bits: pfn, mfn; ~0 where there are fewer), section names
    core.size   the bytes of the whole
"""

import re
import struct

_RUN = re.compile(r'^# p2m_print: run (0x[0-9a-f]+) (0x[0-9a-f]+) ([0-9]+)$', re.M)
_SUM = re.compile(r'^# p2m_print: ([0-9]+) frames in ([0-9]+) runs, max_pfn (0x[0-9a-f]+)$', re.M)
_NONE = 0xffffffffffffffff
# struct shared_info on x86-64: 32 vcpu_info of 64 bytes, two bitmaps of 64 words, wall clock.
_MAX_PFN = 32 * 64 + 2 * 64 * 8 + 16


class Bad(Exception):
    """What the guest or xl gave is not what it should be."""


def printed(log):
    """({pfn: mfn}, max_pfn) of what the guest printed."""
    frames, runs = {}, _RUN.findall(log)
    for first, mfn, count in runs:
        first, mfn = int(first, 16), int(mfn, 16)
        frames.update((first + n, mfn + n) for n in range(int(count)))
    said = _SUM.findall(log)
    if len(said) != 1 or (int(said[0][0]), int(said[0][1])) != (len(frames), len(runs)):
        raise Bad('the guest did not print its P2M in full')
    return frames, int(said[0][2], 16)


class Core:
    """A core of which only the first and the last bytes are there."""

    def __init__(self, head, tail, size):
        self._head, self._tail, self._size = head, tail, size
        if self.at(0, 6) != b'\x7fELF\x02\x01':
            raise Bad('xl dump-core wrote no ELF64 file')
        self._shoff, = struct.unpack('<Q', self.at(40, 8))
        self._shnum, names = struct.unpack('<HH', self.at(60, 4))
        self._names = self._section(names)[1]

    def at(self, offset, length):
        """The bytes of the core from `offset` on."""
        if offset + length <= len(self._head):
            return self._head[offset:offset + length]
        start = offset - (self._size - len(self._tail))
        if start < 0 or offset + length > self._size:
            raise Bad(f'xl dump-core: {length} bytes at {offset:#x} are not kept')
        return self._tail[start:start + length]

    def _section(self, number):
        name, _, _, _, offset, length = struct.unpack('<IIQQQQ',
                                                      self.at(self._shoff + number * 64, 40))
        return name, offset, length

    def section(self, wanted):
        """The bytes of the section of that name."""
        for number in range(self._shnum):
            name, offset, length = self._section(number)
            if self.at(self._names + name, len(wanted) + 1) == wanted.encode() + b'\0':
                return self.at(offset, length)
        raise Bad(f'xl dump-core wrote no section {wanted}')

    def p2m(self):
        """{pfn: mfn} of .xen_p2m."""
        pairs = list(struct.iter_unpack('<QQ', self.section('.xen_p2m')))
        frames = {pfn: mfn for pfn, mfn in pairs if pfn != _NONE}
        if len(frames) != sum(pfn != _NONE for pfn, _ in pairs):
            raise Bad('.xen_p2m has a pfn twice')
        return frames

    def max_pfn(self):
        """shared_info's arch.max_pfn."""
        return struct.unpack_from('<Q', self.section('.xen_shared_info'), _MAX_PFN)[0]


def _named(frames, pfn):
    return f'{frames[pfn]:#x}' if pfn in frames else 'no frame'


def compared(inside, outside):
    """A sentence on the first pfn in which two {pfn: mfn} differ; '' if there is none."""
    different = [pfn for pfn in inside.keys() | outside.keys() if inside.get(pfn) != outside.get(pfn)]
    if not different:
        return ''
    pfn = min(different)
    return (f'pfn {pfn:#x}: the guest has {_named(inside, pfn)}, xl dump-core '
            f'{_named(outside, pfn)}; {len(different)} of {len(inside)} differ')


def unmet(log, files):
    """What is wrong, as sentences. log: the guest's console as text; files: what xl-run left."""
    try:
        inside, max_pfn = printed(log)
        if not files.get('core.tail'):
            raise Bad('xl wrote no core: ' + files.get('core.log', b'').decode(errors='replace'))
        core = Core(files['core.head'], files['core.tail'], int(files['core.size']))
        sentences = [compared(inside, core.p2m())]
        if core.max_pfn() != max_pfn:
            sentences.append(f'shared_info has max_pfn {core.max_pfn():#x}, the guest {max_pfn:#x}')
    except (Bad, KeyError, ValueError, struct.error) as e:
        return [f'dump-core: {e}']
    return [f'dump-core: {sentence}' for sentence in sentences if sentence]
