# SPDX-License-Identifier: MIT
"""
Traces as tests/guest/trace.h has them: records, whole modules, and random numbers that stay the same.

    Op      one record                       call   a list of records that belong together
    Trace   a number and a list of calls     module what the guest gets, as bytes
"""

import dataclasses
import struct
import zlib

MAGIC = 0x65636172546e6950
VERSION = 2
VERBOSE = 1

POOL = 16
(KL4, KL3, KL2, KL1, KDATA, SHARED, UNOWNED, XEN, FOREIGN, IO, ABOVE, HUGE, ONES, NONE, IOAPIC,
 MSI) = range(16, 32)
RAW = 255
NAMES = [f'P{n}' for n in range(POOL)] + [
    'KL4', 'KL3', 'KL2', 'KL1', 'KDATA', 'SHARED', 'UNOWNED', 'XEN', 'FOREIGN', 'IO', 'ABOVE', 'HUGE',
    'ONES', 'NONE', 'IOAPIC', 'MSI']

(STORE, UPDATE, REQUEST, EXT, EXT_OP, UVA, UVA_OTHER, MULTICALL, MEMORY, SET_GDT, DESCRIPTOR,
 OTHER) = range(1, 13)
(UNKNOWN, NESTED, ASSIST_TYPE, ASSIST_COMMAND, ASSIST_NO_TYPE, STRICT, UNSTRICT, WIDE, TOUCH) = range(9)
GOOD, NULL, BAD, HOLE_PLACE, CONST = range(5)
SELF, OWN_NUMBER, OTHER_DOMAIN, DOMID_IO, DOMID_XEN, NOBODY = range(6)
WINDOW, HOME, XEN_VA, NONCANONICAL, HOLE, LAST = range(6)
(FLUSH_NONE, FLUSH_LOCAL, INVLPG_LOCAL, FLUSH_ALL, INVLPG_ALL, FLUSH_BITMAP, INVLPG_BITMAP, FLUSH_FAULT,
 INVLPG_FAULT, FLUSH_TYPE3) = range(10)

LAST_USER, XEN_SLOT, KERNEL_SLOT, WINDOW_SLOT, LINK, SHARE = 127, 128, 144, 145, 147, 149
VA_LEAVES, VA_UPPER, VA_L4 = (0, 1, 2, LINK), (0, 1, 2, 5), (WINDOW_SLOT, WINDOW_SLOT + 1, 0, 1)

P, RW, US, PWT, PCD, A, D, PSE, G = (1 << bit for bit in range(9))
NX, GK = 1 << 63, 1 << 52
AVL = [1 << bit for bit in (9, 10, 11, *range(53, 63))]
PTE_LINK = P | RW | US | A

# MMUEXT_*
(PIN_L1, PIN_L2, PIN_L3, PIN_L4, UNPIN, NEW_BASEPTR, TLB_FLUSH_LOCAL, CMD_INVLPG_LOCAL, TLB_FLUSH_MULTI,
 INVLPG_MULTI, TLB_FLUSH_ALL, CMD_INVLPG_ALL, FLUSH_CACHE, SET_LDT, COMMAND_14, NEW_USER_BASEPTR, CLEAR_PAGE,
 COPY_PAGE, FLUSH_CACHE_GLOBAL, MARK_SUPER, UNMARK_SUPER) = range(21)

# XENMEM_*
INCREASE, DECREASE, MAX_RAM, CURRENT, MAXIMUM = range(5)
POPULATE, ADD_PHYSMAP, MEMORY_MAP, MACHINE_MAP, EXCHANGE, MACHPHYS, SET_MAP = 6, 7, 9, 10, 11, 12, 13
REMOVE_PHYSMAP, ADD_BATCH, NO_MEMOP = 15, 23, 63
# How many extents, beside small numbers; and how many before.
MANY, MANY_BYTES, MANY_FRAMES, MANY_BEFORE = 253, 254, 255, 0xffff
# mem_flags: as listed in tests/guest/trace_memory.c.
(FLAGS_NONE, BITS_FEW, BITS_ALL, BITS_SOME, BITS_MOST, NODE, EXACT_NODE, EXACT_OTHER, EXACT_NO_NODE, VNODE,
 ON_DEMAND) = range(11)
_FIELDS = ('arg', 'list', 'out', 'order', 'out_order', 'domain', 'out_domain', 'flags', 'done', 'space', 'out_count')

_HEADER = struct.Struct('<QIIIIQ')
_HEAD = struct.Struct('<IHH')
_OP = struct.Struct('<BBBBHBBQ')


@dataclasses.dataclass(slots=True)
class Op:
    """A record; the fields are struct trace_op's."""
    kind: int
    frame: int = 0
    index: int = 0
    value: int = 0
    bits: int = 0
    mode: int = 0
    count: int = 0
    label: int = 0

    def pack(self):
        return _OP.pack(self.kind, self.label, self.mode, self.frame, self.index, self.value,
                        self.count, self.bits)


def memory_bits(**fields):
    """The bits of a memory_op (enum trace_memory)."""
    return sum(value << 5 * _FIELDS.index(name) for name, value in fields.items())


@dataclasses.dataclass
class Trace:
    """calls: lists of records, each a call (or a store) with what belongs to it."""
    number: int
    calls: list

    def ops(self):
        return [op for call in self.calls for op in call]


def module(traces, verbose=False):
    """The boot module with these traces."""
    body = bytearray()
    records = 0
    for trace in traces:
        ops = trace.ops()
        records += len(ops)
        body += _HEAD.pack(trace.number, len(ops), VERBOSE if verbose else 0)
        for op in ops:
            body += op.pack()
    return _HEADER.pack(MAGIC, VERSION, len(traces), records, zlib.crc32(body), len(body)) + bytes(body)


def checksum(traces):
    """Of a module, to tell whether it is the same."""
    return zlib.crc32(module(traces))


def inner_calls(multicall):
    """The calls in a multicall, which is a list of records like any call."""
    calls = []
    for op in multicall[1:]:
        if op.kind in (REQUEST, EXT_OP):
            calls[-1].append(op)
        else:
            calls.append([op])
    return calls


def count(calls):
    """Hypercalls, those inside multicalls too."""
    return sum(1 + (len(inner_calls(call)) if call[0].kind == MULTICALL else 0)
               for call in calls if call[0].kind != STORE)


class Random:
    """splitmix64, so that a seed means the same on every Python."""

    def __init__(self, *seeds):
        self._state = 0
        for seed in seeds:
            # Neighbouring numbers must not give neighbouring states: those are one stream, shifted.
            self._state = (self.word() ^ seed) & (1 << 64) - 1
        self._state = self.word()

    def word(self):
        self._state = (self._state + 0x9e3779b97f4a7c15) & (1 << 64) - 1
        z = self._state
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94d049bb133111eb & (1 << 64) - 1
        return z ^ z >> 31

    def below(self, n):
        return self.word() % n

    def chance(self, one_in):
        return self.word() % one_in == 0

    def pick(self, items):
        return items[self.word() % len(items)]

    def weighted(self, table, total):
        """An item of [(weight, item)], whose weights add up to @total."""
        n = self.word() % total
        for weight, item in table:
            n -= weight
            if n < 0:
                return item
        raise AssertionError('weights')
