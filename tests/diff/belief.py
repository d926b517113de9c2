# SPDX-License-Identifier: MIT
"""
What the generator believes of the pool while it writes a trace.

It is no model: it takes for granted that what looks good succeeds. It serves to aim: at tables of a
level, at live ones, at paths that an address of the window goes through. Where it is wrong, the trace has
a case that nobody thought of.
"""

import traces as t

_LEAF_GOOD = (t.P, t.P | t.A, t.P | t.RW, t.P | t.RW | t.A | t.D, t.P | t.US, t.P | t.RW | t.US, t.P | t.G,
              t.P | t.NX, t.P | t.RW | t.NX, t.P | t.US | t.NX | t.A, t.P | t.GK, t.P | t.RW | t.US | t.G)
_UPPER_GOOD = (t.PTE_LINK, t.PTE_LINK, t.PTE_LINK, t.P, t.P | t.RW, t.P | t.US, t.PTE_LINK | t.NX,
               t.PTE_LINK | t.D, t.P | t.A | t.NX)
_UPPER_BAD = (t.PSE, t.G, t.PCD, t.PWT, t.PSE | t.PCD)
_CACHE = (t.PCD, t.PWT, t.PSE, t.PCD | t.PWT, t.PSE | t.PWT)
_DATA = (12, 13, 14, 15)
_FREQUENT = (0, 0, 1, 1, 2, 5)
_RARE = (3, 7, 64, 100, 125, 126, t.LAST_USER)


class Belief:
    """The pool: where each frame is mapped, what level of table it is, what holds it."""

    def __init__(self, rng, dom0):
        self.rng = rng
        self.dom0 = dom0
        self.home = ['rw'] * t.POOL
        self.level = [0] * t.POOL     # it was filled as such a table
        self.live = [False] * t.POOL  # pinned, linked or loaded
        self.pinned = [False] * t.POOL
        self.entries = [{} for _ in range(t.POOL)]
        self.window = [None, None]    # what is linked at the window's slots of the base

    def frames(self, test):
        return [n for n in range(t.POOL) if test(n)]

    def plain(self):
        """A frame that is no table and writable at home, or any."""
        return self.rng.pick(self.frames(lambda n: self.level[n] == 0 and self.home[n] == 'rw') or
                             list(range(t.POOL)))

    def data(self):
        """A plain frame for leaves; mostly one of the last, so that others can still be tables."""
        return self.rng.pick(_DATA) if self.rng.below(6) else self.plain()

    def clean_entry(self, level):
        """(name, flags) that Xen takes in a table of @level, as far as that is known."""
        rng = self.rng
        if level > 1:
            return self.table(level - 1), rng.pick(_UPPER_GOOD)
        n = rng.below(4)
        if n == 0:
            return self.table(), t.P | rng.pick((0, t.NX, t.US, t.A))
        return rng.pick(_DATA + (t.KDATA, t.SHARED)) if n > 1 else rng.pick(_DATA), rng.pick(_LEAF_GOOD)

    def table(self, level=0, live=None):
        """A frame believed to be a table (of @level); any frame if there is none."""
        found = self.frames(lambda n: self.level[n] and level in (0, self.level[n]) and
                            live in (None, self.live[n]))
        return self.rng.pick(found) if found else self.rng.below(t.POOL)

    def any_frame(self):
        return self.rng.below(t.POOL)

    def foreign(self):
        """A frame that is not the guest's."""
        return self.rng.pick((t.UNOWNED, t.XEN, t.FOREIGN, t.ABOVE, t.HUGE, t.ONES, t.IO, t.NONE))

    def bits(self, level):
        """Flags: mostly what Xen allows at @level, now and then what it does not, or anything."""
        rng = self.rng
        n = rng.below(40)
        if n == 0:
            return rng.word() & ~0x000ffffffffff000
        bits = rng.pick(_LEAF_GOOD if level == 1 else _UPPER_GOOD)
        if n == 1:
            bits |= rng.pick(_CACHE if level == 1 else _UPPER_BAD)
        elif n < 6:
            bits |= rng.pick(t.AVL)
        elif n == 6:
            bits &= ~t.P
        return bits

    def index(self):
        return self.rng.pick(_RARE if self.rng.chance(12) else _FREQUENT)

    def entry(self, level, good=True):
        """(name, flags) for an entry of a table of @level."""
        rng = self.rng
        bits = self.bits(level)
        if not good or rng.chance(10):
            n = rng.below(8)
            if n < 2:
                return self.foreign(), bits
            if n < 5:
                return self.any_frame(), bits
            if n == 5:
                return self.table(), bits
            return rng.pick((t.KDATA, t.SHARED)), bits
        if level == 1:
            n = rng.below(8)
            if n < 2:
                return self.table(live=True), bits & ~t.RW
            if n == 2:
                return rng.pick((t.KDATA, t.SHARED)), bits
            return self.data(), bits
        if rng.chance(12):
            return self.table(level), bits & ~t.RW  # linear
        return self.table(level - 1), bits

    def put(self, frame, index, entry):
        """An entry was written."""
        if frame < t.POOL:
            self.entries[frame][index] = entry
            if self.live[frame] and entry[1] & t.P and entry[0] < t.POOL and self.level[frame] > 1:
                self.hold(entry[0])
        elif frame == t.KL4 and index in (t.WINDOW_SLOT, t.WINDOW_SLOT + 1):
            self.window[index - t.WINDOW_SLOT] = entry[0] if entry[1] & t.P else None
            if entry[1] & t.P and entry[0] < t.POOL:
                self.hold(entry[0])

    def hold(self, frame, depth=0):
        """The frame, and what it links, is in use as a table now."""
        if self.live[frame] or depth > 4:
            return
        self.live[frame] = True
        if self.level[frame] > 1:
            for name, bits in list(self.entries[frame].values()):
                if bits & t.P and name < t.POOL:
                    self.hold(name, depth + 1)

    def path(self):
        """The number of an address of the window that goes down to an L1, as far as that is known."""
        rng = self.rng
        slot = rng.below(2)
        if self.window[slot] is None:
            slot = 1 - slot
        digits, frame = [slot], self.window[slot]
        for _ in range(2):
            here = self.entries[frame] if frame is not None and frame < t.POOL else {}
            ways = [n for n, index in enumerate(t.VA_UPPER)
                    if index in here and here[index][1] & t.P]
            digit = rng.pick(ways) if ways and not rng.chance(20) else rng.below(4)
            frame = here.get(t.VA_UPPER[digit], (None, 0))[0]
            digits.append(digit)
        digits.append(rng.below(3))
        return sum(digit << 2 * n for n, digit in enumerate(digits)) << 3 | t.WINDOW
