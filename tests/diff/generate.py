# SPDX-License-Identifier: MIT
"""
Writes traces: build something, then do things to it and around it.

A trace is made of moves. Those in build.py make structures (tables, pins, links, a base of one's own);
those here go at them. Each call carries the label of what was meant.
"""

import traces as t
from belief import Belief
from labels import NUMBER
from rare import Rare

CALLS = 64

# Data segment, conforming code, not present, 0, the second half of a call gate, call gates: to ring 0, to Xen's flat code
# segment, of the LDT.
_DESCRIPTORS = (0x00cff3000000ffff, 0x00affb000000ffff, 0x1234, 0, 0x0000800000000000, 0x0000ec0000080000,
                0x0000ec00e0330000, 0x0000ec00e0040000)
# TSS, call gates to a descriptor of Xen's and with a count of parameters.
_BAD_DESCRIPTORS = (0x0000890000000067, 0x0000ec00e0080000, 0x0000ec0300080000)


class Writer(Rare):
    """One trace under way."""

    def __init__(self, rng, dom0):
        super().__init__(Belief(rng, dom0))

    # Entries of tables.

    def change_entry(self):
        b, rng = self.b, self.rng
        frame = b.table(live=True)
        level = b.level[frame] or 1
        requests = []
        for _ in range(1 if rng.below(3) else 2 + rng.below(5)):
            value, bits = (t.NONE, 0) if rng.chance(5) else b.entry(level)
            requests.append((frame, b.index(), value, bits))
        self.update(requests, mode=rng.pick((0, 0, 0, 2, 3)))

    def good_bad_good(self):
        b = self.b
        frame = b.table(level=1, live=True)
        good = (frame, 1, b.plain(), t.P)
        bad = (frame, 2, b.foreign(), t.P | t.RW)
        self.update([good, bad, (frame, 5, t.NONE, 0)], label='good_bad_good')

    def bad_entry(self):
        b, rng = self.b, self.rng
        level = 2 + rng.below(3)
        frame = b.table(level, live=True)
        if rng.below(2):
            bad = rng.pick((t.PSE, t.G, t.PCD, t.PWT)) if level < 4 else t.PSE
            self.update([(frame, b.index(), b.table(level - 1), t.PTE_LINK | bad)],
                        label='upper_bad_bits')
        else:
            target = rng.pick((b.plain(), b.table(5 - level if level != 3 else 1), t.UNOWNED, t.ABOVE,
                               t.HUGE, t.ONES, t.KDATA, t.SHARED))
            self.update([(frame, b.index(), target, t.PTE_LINK)], label='upper_bad_target')

    def share(self):
        b, rng = self.b, self.rng
        level = 2 + rng.below(3)
        below = b.table(level - 1, live=True)
        self.update([(b.table(level, live=True), b.index(), below, b.bits(level) | t.P)],
                    label='share_table')

    def kernel_link(self):
        b, rng = self.b, self.rng
        frame = b.table(live=True if rng.below(2) else None)
        level = b.level[frame] or 1
        name = {1: rng.pick((t.KL1, t.KL2, t.KL3)), 2: t.KL1, 3: t.KL2, 4: t.KL3}[level]
        if rng.chance(4):
            name = rng.pick((t.KL1, t.KL2, t.KL3, t.KL4))
        bits = b.bits(level)
        if name == t.KL4:
            bits &= ~t.RW
        label = 'random'
        if level == 1:
            label = 'map_table_rw' if bits & t.RW and bits & t.P else 'map_table_ro'
        self.update([(frame, t.LINK + rng.below(2), name, bits)], label=label)

    def linear(self):
        b, rng = self.b, self.rng
        level = 2 + rng.below(3)
        frame = b.table(level, live=True)
        other = frame if rng.below(3) else b.table(level)
        bits = b.bits(level) & ~t.RW
        if rng.chance(4):
            self.update([(frame, b.index(), other, bits | t.RW | t.P)], label='linear_rw')
        else:
            self.update([(frame, b.index(), other, bits | t.P)], label='linear_ro')

    def linear_chain(self):
        """Depth is one: a table that is mapped as a linear one has no such entries, and the other way round."""
        b, rng = self.b, self.rng
        level = 2 + rng.below(3)
        chain = [b.table(level, live=True) for _ in range(3)]
        pairs = list(zip(chain, chain[1:]))
        for above, below in pairs if rng.below(2) else reversed(pairs):
            self.update([(above, b.index(), below, t.P | t.US)], label='random')

    def mode(self):
        b, rng = self.b, self.rng
        self.update([(b.any_frame(), b.index(), t.NONE, 0)], mode=4 + rng.below(4),
                    label='command_4_to_7')

    def elsewhere(self):
        b, rng = self.b, self.rng
        if rng.below(2):
            self.update([(b.foreign(), b.index(), *b.entry(1))], label='ptr_foreign')
        else:
            frame = rng.pick(b.frames(lambda n: not b.live[n]) or [0])
            self.update([(frame, b.index(), *b.entry(b.level[frame] or 1))], label='ptr_plain')

    def kernel_l4(self):
        b, rng = self.b, self.rng
        if rng.below(2):
            frame = rng.pick((t.KL4, b.table(4, live=True)))
            self.update([(frame, t.XEN_SLOT + rng.below(16), rng.pick((t.NONE, t.UNOWNED, 3)),
                          rng.pick((0, t.PTE_LINK)))], label='xen_slot')
        else:
            self.link_window()

    def m2p(self):
        b, rng = self.b, self.rng
        if rng.below(2):
            self.update([(b.any_frame(), 0, t.NONE, rng.pick((0, 5, (1 << 64) - 1, rng.word())))],
                        mode=1, label='m2p_own')
        else:
            self.update([(b.foreign(), 0, t.NONE, 7)], mode=1, label='m2p_foreign')

    def nonpresent(self):
        b, rng = self.b, self.rng
        frame = b.table(live=True)
        self.update([(frame, b.index(), rng.pick((b.any_frame(), t.UNOWNED, t.ABOVE)),
                      b.bits(1) & ~t.P)], label='nonpresent')

    # update_va_mapping.

    def map_window(self):
        b, rng = self.b, self.rng
        n = rng.below(10)
        flush = rng.below(7)
        if n < 4:
            self.uva(b.path(), *b.entry(1), flush)
        elif n == 4:
            self.uva(b.path(), b.table(live=True), rng.pick((t.P | t.RW, t.P | t.RW | t.US)), flush,
                     'map_table_rw')
        elif n == 5:
            self.uva(b.path(), b.table(live=True), t.P, flush, 'map_table_ro')
        elif n == 6:
            name = rng.pick((t.UNOWNED, t.XEN, t.FOREIGN))
            self.uva(b.path(), name, rng.pick((t.P, t.P | t.RW)), flush, 'map_foreign')
        elif n == 7:
            name, label = rng.pick(((t.IO, 'map_mmio'), (t.ABOVE, 'map_mmio'), (t.ONES, 'map_ones'),
                                    (t.HUGE, 'random')))
            self.uva(b.path(), name, b.bits(1) | t.P, flush, label)
        elif n == 8 and rng.chance(4):
            self.uva(b.path(), t.SHARED, rng.pick((t.P, t.P | t.RW)) | rng.pick((t.PCD, t.PWT)), flush)
        elif n == 8:
            self.uva(b.path(), t.KDATA, t.P | rng.pick((t.PCD, t.PWT, t.PSE, t.PCD | t.PWT)), flush,
                     'map_cache_bits')
        else:
            self.uva(b.path() & ~(3 << 9) | 3 << 9, rng.pick((t.KL1, t.KL2, t.KL3)),
                     t.P | (t.RW if rng.below(2) else 0), flush)

    def odd_address(self):
        b, rng = self.b, self.rng
        n = rng.below(4)
        if n == 0:
            kind = rng.pick((t.XEN_VA, t.NONCANONICAL, t.HOLE))
            self.uva(rng.below(512) << 3 | kind, b.any_frame(), t.P, rng.below(10), 'uva_no_l1')
        elif n == 1:
            self.uva(b.path() | 1 << 11, b.plain(), t.P, rng.below(7), 'uva_misaligned')
        elif n == 2:
            self.uva(b.path(), b.plain(), t.P, rng.pick((t.FLUSH_FAULT, t.INVLPG_FAULT)),
                     'uva_bad_bitmap')
        else:
            self.uva(b.path(), *b.entry(1), rng.below(7), kind=t.UVA_OTHER, domain=rng.below(6))

    def home(self):
        b, rng = self.b, self.rng
        n = b.any_frame()
        way = rng.below(8)
        if way < 3:
            self.home_ro(n)
        elif way < 5:
            label = 'map_table_rw' if b.live[n] else 'build'
            self.uva(n << 3 | t.HOME, n, t.P | t.RW, t.INVLPG_LOCAL, label)
            if not b.live[n]:
                b.home[n] = 'rw'
        elif way < 6:
            self.uva(n << 3 | t.HOME, t.NONE, 0, t.INVLPG_LOCAL, 'build')
            b.home[n] = 'none'
        else:
            self.uva(n << 3 | t.HOME, n, b.bits(1), t.INVLPG_LOCAL)

    # Pins, bases and the other commands of mmuext_op.

    def pin_wrong(self):
        b, rng = self.b, self.rng
        n = rng.below(6)
        if n == 0:
            self.pin(b.plain(), 1 + rng.below(4), 'pin_rw_mapped')
        elif n == 1:
            frame = b.table(live=True)
            self.pin(frame, 1 + (b.level[frame] + rng.below(3)) % 4, 'pin_other_level')
        elif n == 2:
            frame = rng.pick(b.frames(lambda n: b.pinned[n]) or [t.KL4])
            self.pin(frame, b.level[frame] or 1 if frame < t.POOL else 4, 'pin_twice')
        elif n == 3:
            self.pin(b.foreign(), 1 + rng.below(4), 'pin_bad_frame')
        elif n == 4:
            self.ext([(t.UNPIN, b.foreign())], label='unpin_bad_frame')
        else:
            frame = rng.pick(b.frames(lambda n: not b.pinned[n]) or [0])
            self.ext([(t.UNPIN, frame)], label='unpin_plain')

    def pin_right(self):
        b, rng = self.b, self.rng
        if rng.below(2):
            frame = b.table()
            self.home_ro(frame)
            self.pin(frame, b.level[frame] or 1, 'pin')
        else:
            frame = rng.pick(b.frames(lambda n: b.pinned[n]) or [b.any_frame()])
            self.ext([(t.UNPIN, frame)], label='unpin')
            b.pinned[frame] = False

    def pin_kernel(self):
        rng = self.rng
        name = rng.pick((t.KL4, t.KL4, t.KL3, t.KL2, t.KL1, t.KDATA, t.SHARED))
        if name == t.KL4 and rng.below(2):
            self.ext([(t.UNPIN, t.KL4)], label='unpin_live_l4')
        else:
            command = rng.pick((t.UNPIN, t.PIN_L1, t.PIN_L2, t.PIN_L3, t.PIN_L4))
            self.ext([(command, name)])

    def base_wrong(self):
        b, rng = self.b, self.rng
        name = rng.pick((b.plain(), b.table(1), b.table(2), b.table(3), t.UNOWNED, t.ABOVE, t.ONES,
                         t.KL3, t.KL1, t.KDATA, t.SHARED))
        self.ext([(rng.pick((t.NEW_BASEPTR, t.NEW_USER_BASEPTR)), name)], label='base_bad')

    def user_base(self):
        b, rng = self.b, self.rng
        self.ext([(t.NEW_USER_BASEPTR, rng.pick((b.table(4), b.table(4), t.NONE, t.KL4)))],
                 label='user_base')

    def kernel_base(self):
        self.ext([(t.NEW_BASEPTR, t.KL4)], label='base_unpinned')
        self.b.window = [None, None]

    def flushes(self):
        b, rng = self.b, self.rng
        n = rng.below(7)
        if n == 0:
            command = rng.pick((t.TLB_FLUSH_LOCAL, t.TLB_FLUSH_ALL, t.TLB_FLUSH_MULTI, t.INVLPG_MULTI))
            self.ext([(command, b.any_frame(), 0, rng.pick((b.path(), t.XEN_VA)), rng.pick((0, 0, 2)))])
        elif n == 1:
            self.ext([(rng.pick((t.TLB_FLUSH_MULTI, t.INVLPG_MULTI)), 0, 0, b.path(), 1)],
                     label='flush_bad_bitmap')
        elif n < 4:
            va = rng.pick((b.path(), t.XEN_VA, t.NONCANONICAL, t.HOLE, 3 << 3 | t.HOME))
            self.ext([(rng.pick((t.CMD_INVLPG_LOCAL, t.CMD_INVLPG_ALL)), 0, 0, va)],
                     label='invlpg_anywhere')
        elif n == 4:
            self.ext([(t.FLUSH_CACHE, 0)], label='flush_cache')
        elif n == 5:
            self.ext([(t.FLUSH_CACHE_GLOBAL, 0)], label='flush_cache_global')
        else:
            super_page = rng.pick((t.MARK_SUPER, t.UNMARK_SUPER))
            if rng.below(2):
                self.ext([(super_page, b.any_frame())], label='ext_super')
            else:
                self.ext([(rng.pick((14, 21, 99, 255)), b.any_frame())], label='ext_command')

    def pages(self):
        b, rng = self.b, self.rng
        command = rng.pick((t.CLEAR_PAGE, t.COPY_PAGE))
        n = rng.below(5)
        if n == 0:
            self.ext([(command, b.table(live=True), b.any_frame())], label='overwrite_table')
        elif n == 1:
            self.ext([(command, b.foreign(), b.any_frame())], label='overwrite_foreign')
        elif n == 2:
            frame = b.plain()
            self.ext([(t.COPY_PAGE, frame, b.table())], label='copy_from_table')
        elif n == 3:
            self.ext([(t.COPY_PAGE, b.plain(), rng.pick((b.foreign(), t.KDATA)))])
        else:
            frame = b.any_frame()
            self.ext([(command, frame, b.any_frame())])

    def batch_of_ext(self):
        b, rng = self.b, self.rng
        ops = []
        for _ in range(2 + rng.below(6)):
            frame = b.table()
            ops.append(rng.pick(((t.PIN_L1 + max(b.level[frame], 1) - 1, frame), (t.UNPIN, frame),
                                 (t.UNPIN, b.any_frame()), (t.CLEAR_PAGE, b.plain()),
                                 (t.TLB_FLUSH_LOCAL, 0), (t.CMD_INVLPG_LOCAL, 0, 0, b.path()),
                                 (t.NEW_USER_BASEPTR, b.table(4)))))
        self.ext(ops)

    def domains(self):
        b, rng = self.b, self.rng
        domain, label = rng.pick(((t.OWN_NUMBER, 'own_number'), (t.OTHER_DOMAIN, 'other_domain'),
                                  (t.DOMID_IO, 'random'), (t.DOMID_XEN, 'random'), (t.NOBODY, 'random')))
        if rng.below(2):
            frame = b.table(live=True)
            value = rng.pick((b.plain(), t.IO, t.ABOVE, t.UNOWNED, t.NONE))
            self.update([(frame, b.index(), value, b.bits(1))], label=label, domain=domain)
        else:
            command = rng.pick((t.PIN_L1, t.UNPIN, t.NEW_USER_BASEPTR, t.TLB_FLUSH_LOCAL, t.SET_LDT,
                                t.CLEAR_PAGE, t.CMD_INVLPG_ALL, t.FLUSH_CACHE, t.TLB_FLUSH_ALL,
                                t.CMD_INVLPG_LOCAL, t.TLB_FLUSH_MULTI, t.COPY_PAGE, t.INVLPG_MULTI,
                                t.FLUSH_CACHE_GLOBAL))
            self.ext([(command, b.any_frame(), b.any_frame())], label=label, domain=domain)

    def pointers(self):
        b, rng = self.b, self.rng
        n = rng.below(6)
        request = (b.table(1, live=True), b.index(), b.plain(), t.P)
        if n == 0:
            self.update([request], where=rng.pick((t.NULL, t.BAD)), label='requests_bad')
        elif n == 1:
            self.ext([(t.TLB_FLUSH_LOCAL, 0)], where=rng.pick((t.NULL, t.BAD)), label='requests_bad')
        elif n == 2:
            self.update([request], done=rng.pick((t.NULL, t.BAD)), label='done_bad')
        elif n == 3:
            self.ext([(t.TLB_FLUSH_LOCAL, 0)], done=rng.pick((t.NULL, t.BAD)), label='done_bad')
        elif n == 4:
            self.calls.append([t.Op(rng.pick((t.UPDATE, t.EXT)), frame=rng.below(3),
                                    value=rng.below(3), label=NUMBER['count_0'])])
        elif rng.below(3):
            self.calls.append([t.Op(t.MULTICALL, frame=rng.pick((t.NULL, t.BAD, t.CONST, t.HOLE_PLACE)), count=1,
                                    label=NUMBER['multicall_bad']),
                               t.Op(t.OTHER, mode=t.UNKNOWN)])
        else:
            self.calls.append([t.Op(t.MULTICALL, frame=t.NULL, label=NUMBER['count_0'])])

    # Descriptors.

    def gdt(self):
        b, rng = self.b, self.rng
        n = rng.below(8)
        if n < 2:
            frame = b.plain()
            for _ in range(1 + rng.below(3)):
                self.store(frame, b.index(), t.RAW, rng.pick(_DESCRIPTORS))
            bad = rng.chance(5)
            if bad:
                self.store(frame, b.index(), t.RAW, rng.pick(_BAD_DESCRIPTORS))
            self.home_ro(frame)
            self.set_gdt(frame, frame, rng.pick((1, 16, 512, 513, 7168)), 'gdt_bad' if bad else 'gdt')
            self.gdt_frame = frame
        elif n == 2:
            self.set_gdt(b.plain(), b.plain(), 16, 'gdt_rw')
        elif n == 3:
            self.set_gdt(rng.pick((b.foreign(), self.gdt_frame)), rng.pick((t.UNOWNED, t.ABOVE)), 513,
                         'gdt_foreign')
        elif n == 4:
            self.set_gdt(self.gdt_frame, self.gdt_frame, rng.pick((7169, 8192, 65535)), 'gdt_long')
        elif n == 5:
            self.set_gdt(self.gdt_frame, 0, 3, 'gdt_pointer', rng.pick((t.NULL, t.BAD)))
        elif n == 6:
            self.set_gdt(0, 0, 0, 'gdt')
        else:
            self.set_gdt(b.any_frame(), b.any_frame(), rng.pick((1, 600)), 'random')

    def gdt_attack(self):
        b, rng = self.b, self.rng
        n = rng.below(3)
        if n == 0:
            self.update([(self.gdt_frame, b.index(), *b.entry(1))], label='ptr_gdt')
        elif n == 1:
            self.uva(b.path(), self.gdt_frame, t.P | t.RW, 0, 'map_table_rw')
        else:
            self.pin(self.gdt_frame, 1 + rng.below(4), 'pin_other_level')

    def descriptor(self):
        b, rng = self.b, self.rng
        n = rng.below(5)
        frame = rng.pick((self.gdt_frame, b.plain()))
        if n == 0:
            frame = rng.pick((b.table(live=True), b.table(live=True), b.foreign()))
            self.write_descriptor(frame, rng.pick(_DESCRIPTORS[:2]), label='descriptor_bad')
        elif n == 1:
            self.write_descriptor(frame, rng.pick(_BAD_DESCRIPTORS), label='descriptor_bad')
        elif n == 2:
            self.write_descriptor(self.gdt_frame, rng.pick(_DESCRIPTORS), rng.pick((0, 0, 4, 1)))
        else:
            self.write_descriptor(frame, rng.pick(_DESCRIPTORS), label='descriptor')

    def write_descriptor(self, frame, descriptor, offset=0, label='random'):
        self.calls.append([t.Op(t.DESCRIPTOR, frame=frame, index=self.b.index(), bits=descriptor, mode=offset,
                                label=NUMBER[label])])

    def ldt(self):
        b, rng = self.b, self.rng
        if rng.below(2):
            va, ents = rng.pick(((b.path() | 1 << 11, 4), (b.path(), 8193), (b.path(), (1 << 32) - 1),
                                 (t.XEN_VA, 1), (t.NONCANONICAL, 1)))
            self.ext([(t.SET_LDT, 0, 0, va, ents)], label='ldt_bad')
        else:
            va = rng.pick((b.path(), b.any_frame() << 3 | t.HOME))
            self.ext([(t.SET_LDT, 0, 0, va, rng.pick((0, 1, 8, 512, 8192)))], label='ldt')

    def multicall(self):
        """A few moves' calls, as far as they may be, in one multicall."""
        outer = self.calls
        self.calls = []
        while len(self.calls) < 2 + self.rng.below(4):
            self.move()
        inner = [call for call in self.calls if may_ride(call)][:8]
        # What may not ride goes before, so that what was meant by it still comes about.
        outer += [call for call in self.calls if not may_ride(call)]
        if self.rng.chance(3):
            mode, label = self.rng.pick(((t.NESTED, 'nested'), (t.WIDE, 'unknown_call')))
            inner.append([t.Op(t.OTHER, mode=mode, label=NUMBER[label])])
        inner = inner[:8]
        outer.append([t.Op(t.MULTICALL, count=len(inner), label=NUMBER['multicall'])] +
                     [op for call in inner for op in call])
        self.calls = outer

    def move(self):
        self.rng.weighted(_MOVES, _WEIGHTS)(self)


def may_ride(call):
    """Whether a call may be one of a multicall's (trace_check.c)."""
    if call[0].kind == t.MEMORY and call[0].mode in (t.EXCHANGE, t.POPULATE, t.INCREASE) or \
       call[0].kind == t.OTHER and call[0].mode in (t.STRICT, t.TOUCH):
        return False
    pointer = call[0].mode if call[0].kind == t.SET_GDT else call[0].frame
    return call[0].kind not in (t.STORE, t.MULTICALL) and not (
        call[0].kind in (t.UPDATE, t.EXT, t.SET_GDT) and pointer == t.NULL)


_MOVES = ((90, Writer.build), (60, Writer.change_entry), (12, Writer.good_bad_good), (20, Writer.bad_entry),
          (16, Writer.share), (18, Writer.kernel_link), (16, Writer.linear), (10, Writer.mode),
          (16, Writer.elsewhere), (16, Writer.kernel_l4), (10, Writer.m2p), (10, Writer.nonpresent),
          (50, Writer.map_window), (24, Writer.odd_address), (12, Writer.home), (34, Writer.pin_wrong),
          (24, Writer.pin_right), (8, Writer.pin_kernel), (12, Writer.base_wrong), (8, Writer.user_base),
          (5, Writer.kernel_base), (10, Writer.base), (22, Writer.flushes), (16, Writer.pages),
          (12, Writer.batch_of_ext), (8, Writer.window_tree), (16, Writer.domains), (16, Writer.pointers), (14, Writer.gdt),
          (8, Writer.gdt_attack), (10, Writer.descriptor), (6, Writer.ldt), (16, Writer.memory),
          (8, Writer.other), (8, Writer.broken_table), (14, Writer.multicall), (10, Writer.memory_args),
          (14, Writer.memory_facts), (5, Writer.exchange_args), (7, Writer.tables_of), (5, Writer.begun_anew),
          (8, Writer.io_leaf), (6, Writer.touch_ldt), (3, Writer.strict), (4, Writer.gives),
          (4, Writer.linear_chain))
_WEIGHTS = sum(weight for weight, _ in _MOVES)


def one(seed, number, dom0, strict=False):
    """Trace @number of a seed, of CALLS hypercalls at most. @strict: for a machine with L1TF."""
    writer = Writer(t.Random(seed, number, dom0), dom0)
    if writer.rng.below(4):
        writer.window_tree()
    writer.build()
    calls = 0
    while calls < CALLS - 8 and len(writer.calls) < 2 * CALLS:
        writer.move()
        calls = t.count(writer.calls)
    while t.count(writer.calls) > CALLS or sum(map(len, writer.calls)) > 256:
        writer.calls.pop()
    if strict:
        without_l1tf(writer.calls)
    return t.Trace(number, writer.calls)


def without_l1tf(calls):
    """Entries that are not there, in whatever becomes a table, say no address that L1TF makes readable."""
    for op in (op for call in calls for op in call):
        if op.kind == t.DESCRIPTOR and not op.bits & t.P:
            op.bits = 0
        elif op.kind in (t.STORE, t.REQUEST, t.UVA, t.UVA_OTHER) and not op.bits & t.P and \
                not (op.kind == t.REQUEST and op.mode == 1):
            op.bits = 0 if op.value == t.RAW else op.bits & ~t.PSE
            if op.value not in (t.RAW, t.ONES, t.HUGE):
                op.value = t.NONE
