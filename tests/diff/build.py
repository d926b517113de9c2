# SPDX-License-Identifier: MIT
"""
Moves that make structures, and how calls are written down.

    plain page -- stores --> filled -- home read-only --> offline table -- pin, link, load --> live
"""

import traces as t
from labels import NUMBER


class Builder:
    """A trace under way: .calls, and what is believed of the pool, .b."""

    def __init__(self, belief):
        self.b = belief
        self.rng = belief.rng
        self.calls = []
        self.gdt_frame = 0

    # One call each.

    def store(self, frame, index, value, bits, count=0):
        self.calls.append([t.Op(t.STORE, frame=frame, index=index, value=value, bits=bits, count=count)])
        if value != t.RAW:
            for n in range(index, index + max(count, 1)):
                self.b.put(frame, n, (value, bits))

    def update(self, requests, mode=0, label='random', domain=t.SELF, where=t.GOOD, done=t.GOOD, anew=0, tables=0):
        """requests: (frame, index, value, bits); tables: of which domain, plus one."""
        call = [t.Op(t.UPDATE, frame=where, value=done, mode=domain, count=len(requests), index=anew, bits=tables,
                     label=NUMBER[label])]
        for frame, index, value, bits in requests:
            call.append(t.Op(t.REQUEST, frame=frame, index=index, value=value, bits=bits, mode=mode))
            if mode in (0, 2, 3) and domain == t.SELF and where == t.GOOD and not tables:
                self.b.put(frame, index, (value, bits))
        self.calls.append(call)

    def ext(self, ops, label='random', domain=t.SELF, where=t.GOOD, done=t.GOOD, anew=0):
        """ops: (command, frame, value, address, entries or which bitmap), cut short anywhere."""
        call = [t.Op(t.EXT, frame=where, value=done, mode=domain, count=len(ops), index=anew, label=NUMBER[label])]
        for op in ops:
            command, frame, value, address, bits = (*op, 0, 0, 0)[:5] if len(op) == 2 else \
                (*op, *(0,) * (5 - len(op)))
            call.append(t.Op(t.EXT_OP, mode=command, frame=frame, value=value, index=address, bits=bits))
        self.calls.append(call)

    def uva(self, address, value, bits, flush=0, label='random', kind=t.UVA, domain=t.SELF):
        leaf = t.VA_LEAVES[address >> 9 & 3] if address & 7 == t.WINDOW else 0
        if t.KL4 <= value <= t.KL1 and leaf != t.LINK:
            value = t.KDATA
        if value == t.KL4:
            bits &= ~t.RW
        self.calls.append([t.Op(kind, index=address, value=value, bits=bits, count=flush, mode=domain,
                                label=NUMBER[label])])

    def pin(self, frame, level, label):
        self.ext([(t.PIN_L1 + level - 1, frame)], label=label)
        if label in ('pin', 'build') and frame < t.POOL:
            self.b.pinned[frame] = True
            self.b.hold(frame)

    def home_ro(self, frame):
        if self.b.home[frame] != 'ro':
            self.uva(frame << 3 | t.HOME, frame, t.P, t.INVLPG_LOCAL, 'build')
            self.b.home[frame] = 'ro'

    def set_gdt(self, frame, rest, entries, label, where=t.GOOD):
        self.calls.append([t.Op(t.SET_GDT, frame=frame, value=rest, index=entries, mode=where,
                                label=NUMBER[label])])

    def memory_op(self, command, frame=0, rest=t.UNOWNED, number=1, before=0, label='random', **fields):
        """A memory_op about @number extents: @frame, @rest, @rest ..; fields: those of t.memory_bits()."""
        fields.setdefault('out_count', number)
        self.calls.append([t.Op(t.MEMORY, mode=command, frame=frame, value=rest, count=number, index=before,
                                bits=t.memory_bits(**fields), label=NUMBER[label])])

    def other_call(self, mode, label, index=0):
        self.calls.append([t.Op(t.OTHER, mode=mode, index=index, label=NUMBER[label])])

    # Structures.

    def fill(self, level):
        """A plain page becomes an offline table of @level; its frame."""
        b, rng = self.b, self.rng
        frame = b.plain()
        if b.level[frame] == 0:
            b.entries[frame] = {}
        links = [] if level == 1 or rng.chance(6) else [self.child(level - 1)]
        clean = level == 1 or links
        for _ in range(rng.below(4) if clean else 1 + rng.below(3)):
            if rng.below(10) and clean:
                value, bits = b.clean_entry(level)
            else:
                value, bits = b.entry(level)
            if level == 1 or value < t.POOL and b.level[value] == level - 1 or rng.chance(6):
                self.store(frame, b.index(), value, bits)
        for child in links:
            self.store(frame, rng.pick((0, 1, 2, 5)), child, t.PTE_LINK if rng.below(4) else b.bits(level) | t.P)
        if level == 4 and rng.below(4):
            self.store(frame, t.SHARE, t.KL3, t.PTE_LINK)
        if level == 4 and rng.chance(4):
            self.store(frame, t.WINDOW_SLOT, b.table(3), t.PTE_LINK)
        b.level[frame] = level
        self.home_ro(frame)
        return frame

    def window_tree(self):
        """An L3 with all that is below it, at the window: addresses that update_va_mapping finds a leaf for."""
        b = self.b
        if len(b.frames(lambda n: b.level[n] == 0 and b.home[n] == 'rw')) < 5:
            self.tear()
            return
        frame = below = None
        for level in (1, 2, 3):
            frame = b.plain()
            b.entries[frame] = {}
            for index in (0, 1, 2, 5):
                if level > 1 and (index == 0 or self.rng.below(3) == 0):
                    self.store(frame, index, below, t.PTE_LINK)
                elif level == 1 and self.rng.below(2):
                    self.store(frame, index, *b.clean_entry(1))
            b.level[frame] = level
            self.home_ro(frame)
            below = frame
        self.link_window(frame, t.PTE_LINK)

    def child(self, level):
        """A table of @level: one that is there, or a new one."""
        there = self.b.frames(lambda n: self.b.level[n] == level)
        if there and self.rng.below(2):
            return self.rng.pick(there)
        if len(self.b.frames(lambda n: self.b.level[n] == 0)) < 3:
            return self.b.table(level)
        return self.fill(level)

    def build(self):
        """Something is built, and mostly made live."""
        b, rng = self.b, self.rng
        if len(b.frames(lambda n: b.level[n] == 0 and b.home[n] == 'rw')) < 4:
            self.tear()
            return
        level = 1 + rng.below(4)
        frame = self.fill(level)
        n = rng.below(6)
        if n < 2:
            self.pin(frame, level, 'pin')
        elif level == 3:
            self.link_window(frame)
        elif level == 4:
            self.base(frame)
        elif n < 5:
            self.update([(b.table(level + 1, live=True), b.index(), frame, b.bits(level + 1) | t.P)])

    def tear(self):
        """A table is let go and becomes a plain page again, as far as it is known what holds it."""
        b, rng = self.b, self.rng
        frame = b.table()
        if b.pinned[frame]:
            self.ext([(t.UNPIN, frame)], label='unpin')
        for other in range(t.POOL):
            for index, (value, bits) in list(b.entries[other].items()):
                if value == frame and bits & t.P and b.live[other] and rng.below(8):
                    self.update([(other, index, t.NONE, 0)])
        for slot in (0, 1):
            if b.window[slot] == frame:
                self.update([(t.KL4, t.WINDOW_SLOT + slot, t.NONE, 0)])
        b.pinned[frame] = b.live[frame] = False
        b.level[frame] = 0
        self.uva(frame << 3 | t.HOME, frame, t.P | t.RW, t.INVLPG_LOCAL, 'build')
        b.home[frame] = 'rw'

    def link_window(self, frame=None, bits=None):
        frame = self.b.table(3) if frame is None else frame
        if bits is None:
            bits = self.b.bits(4) | t.P if self.rng.below(8) else 0
        self.update([(t.KL4, t.WINDOW_SLOT + self.rng.below(2), frame, bits)])

    def base(self, frame=None):
        """The kernel runs on an L4 of the pool's."""
        b, rng = self.b, self.rng
        frame = b.table(4) if frame is None else frame
        self.ext([(t.NEW_BASEPTR, frame)], label='base_unpinned')
        if b.entries[frame].get(t.SHARE):
            b.hold(frame)
            b.window = [b.entries[frame].get(t.WINDOW_SLOT + n, (None, 0))[0] for n in (0, 1)]
        if rng.below(2):
            self.update([(frame, t.WINDOW_SLOT, b.table(3), t.PTE_LINK)])

    def broken_table(self):
        """A table that must not be pinned."""
        b, rng = self.b, self.rng
        if not b.frames(lambda n: b.level[n] == 0 and b.home[n] == 'rw'):
            return
        frame = b.plain()
        level, entry, label = rng.pick((
            (1, (t.UNOWNED, t.P), 'pin_l1_of_foreign'), (1, (t.XEN, t.P | t.RW), 'pin_l1_of_foreign'),
            (1, (b.table(live=True), t.P | t.RW), 'pin_l1_rw_table'),
            (2, (t.KDATA, t.PTE_LINK), 'pin_l2_of_rw_page'), (2, (b.plain(), t.PTE_LINK), 'pin_l2_of_rw_page'),
            (4, (t.KDATA, t.PTE_LINK), 'pin_l4_junk'), (4, (t.UNOWNED, t.PTE_LINK), 'pin_l4_junk')))
        if level == 4:
            self.store(frame, t.XEN_SLOT + rng.below(16), *b.entry(1))
            self.store(frame, t.SHARE, t.KL3, t.PTE_LINK)
        for _ in range(rng.below(3)):
            self.store(frame, rng.pick((0, 1, 2)), *b.entry(level))
        self.store(frame, t.KERNEL_SLOT if level == 4 else rng.pick((3, 5, 100)), *entry)
        b.level[frame] = level
        self.home_ro(frame)
        self.pin(frame, level, label)
