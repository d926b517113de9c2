# SPDX-License-Identifier: MIT
"""
Moves that go where the others do not: memory_op with any of its arguments, other domains' tables, calls begun anew, the
LDT, m2p_strict, devices' memory.

Each is there for branches of the model that nothing else takes (branches.py). Some make Xen give frames that the guest
never hears of (gives): they are few.
"""

import traces as t
from build import Builder

_ELSEWHERE = (t.OTHER_DOMAIN, t.DOMID_IO, t.DOMID_XEN, t.NOBODY)
_ADJUST = (t.INCREASE, t.DECREASE, t.POPULATE)
_PHYSMAP = (t.ADD_PHYSMAP, t.ADD_BATCH, t.REMOVE_PHYSMAP)
_MAPS = (t.MEMORY_MAP, t.MACHINE_MAP, t.SET_MAP)
_TOO_LARGE = (19, 31)

# What a dom0 can have of a device's page: each way of caching, and those that Xen makes uncached.
_IO_BITS = (0, t.PWT, t.PCD, t.PSE, t.PWT | t.PSE, t.PCD | t.PSE, t.PWT | t.PCD)


class Rare(Builder):
    """Part of a writer of traces."""

    def memory(self):
        b, rng = self.b, self.rng
        n = rng.below(8)
        if n < 2:
            self.memory_op(t.DECREASE, rng.pick((b.table(live=True), b.any_frame())), label='decrease_held')
        elif n == 2:
            self.memory_op(t.DECREASE, rng.pick((t.UNOWNED, t.XEN, t.ABOVE, t.HUGE, t.ONES, t.IO)),
                           label='decrease_foreign')
        elif n == 3:
            self.memory_op(t.DECREASE, b.any_frame(), rng.pick((b.any_frame(), t.UNOWNED)), 2)
        elif n == 4:
            self.memory_op(t.EXCHANGE, b.any_frame(), label='exchange_mapped')
        elif n == 5:
            way = rng.pick(((t.EXCHANGE, 'exchange_free'), (t.DECREASE, 'decrease_held')))
            self.memory_op(way[0], self.unmapped(), label=way[1])
        elif n == 6 and rng.below(2):
            self.memory_op(t.EXCHANGE, rng.pick((t.UNOWNED, t.ABOVE, t.HUGE, t.SHARED)))
        elif n == 6:
            frame = b.plain()  # given back, and only mapped now
            self.memory_op(t.DECREASE, frame, label='decrease_held')
            self.memory_op(t.EXCHANGE, frame, label='exchange_mapped')
        elif rng.below(2):
            self.memory_op(t.DECREASE, b.any_frame(), list=t.BAD, label='decrease_fault')
        else:
            self.memory_op(t.POPULATE, b.any_frame(), number=0, label='populate_none')

    def unmapped(self):
        """A plain frame that nothing refers to."""
        b = self.b
        frame = b.plain()
        self.uva(frame << 3 | t.HOME, t.NONE, 0, t.INVLPG_LOCAL, 'build')
        b.home[frame] = 'none'
        return frame

    def memory_args(self):
        """increase, decrease, populate, with something wrong with their argument."""
        b, rng = self.b, self.rng
        command = rng.pick(_ADJUST)
        n = rng.below(9)
        number, before, fields = 1 + rng.below(2), 0, {}
        if n == 0:
            fields['arg'] = rng.pick((t.BAD, t.HOLE_PLACE))
        elif n == 1:
            number = t.MANY
        elif n == 2:
            before = rng.pick((number, number + 1, 64, t.MANY_BEFORE))
        elif n == 3:
            fields['domain'] = rng.pick(_ELSEWHERE)
        elif n == 4:
            fields['order'] = rng.pick(_TOO_LARGE)
        elif n == 5:
            fields['list'] = rng.pick((t.BAD, t.HOLE_PLACE) if command != t.INCREASE else (t.BAD,))
        elif n == 6:
            command = rng.pick((t.INCREASE, t.POPULATE))
            fields['flags'] = rng.pick((t.BITS_FEW, t.EXACT_OTHER, t.EXACT_NO_NODE))
            fields['order'] = rng.pick((0, 9))
        elif n == 7:
            command = t.DECREASE
            fields['flags'] = 1 + rng.below(10)
        else:
            command = t.POPULATE
            fields['flags'] = t.ON_DEMAND
            fields['order'] = rng.pick((0, 9, 19))
        target = rng.pick((t.UNOWNED, b.any_frame(), t.ABOVE))
        self.memory_op(command, target, b.any_frame(), number, before, 'memory_argument', **fields)

    def gives(self):
        """More memory: what is told of goes back at once; what is not is the guest's, and lost."""
        b, rng = self.b, self.rng
        n = rng.below(26)
        if n < 6:
            self.memory_op(rng.pick((t.INCREASE, t.POPULATE)), b.any_frame(), b.any_frame(), order=9,
                           label='populate_too_much')
        elif n < 16:
            self.memory_op(rng.pick((t.INCREASE, t.POPULATE)), b.any_frame(), b.any_frame(), 1 + rng.below(3),
                           rng.below(2), order=rng.below(2), label='populate',
                           flags=rng.pick((0, 0, t.BITS_ALL, t.BITS_MOST, t.NODE, t.VNODE)))
        elif n < 20:
            self.memory_op(t.EXCHANGE, self.unmapped(), self.unmapped(), 2, out_order=1, out_count=1,
                           label='exchange_order')
        elif n < 23:
            self.memory_op(rng.pick((t.INCREASE, t.POPULATE)), 0, list=rng.pick((t.CONST, t.HOLE_PLACE)),
                           label='populate_untold')
        elif n == 23:
            self.memory_op(t.INCREASE, 0, list=t.NULL, label='populate')
        else:
            self.memory_op(t.EXCHANGE, self.unmapped(), out=rng.pick((t.CONST, t.HOLE_PLACE)), label='exchange_untold')

    def exchange_args(self):
        b, rng = self.b, self.rng
        n = rng.below(11)
        frame, number, fields = self.unmapped() if rng.below(3) == 0 else b.any_frame(), 1, {}
        label = 'exchange_argument'
        if n == 0:
            fields[rng.pick(('order', 'out_order'))] = rng.pick(_TOO_LARGE)
            fields['arg'] = rng.pick((t.GOOD, t.CONST))
        elif n == 1:
            fields['arg'] = rng.pick((t.BAD, t.HOLE_PLACE))
        elif n == 2:
            number, fields['done'] = 1 + rng.below(2), 1 + rng.below(3)
        elif n == 3:
            fields[rng.pick(('domain', 'out_domain'))] = rng.pick(_ELSEWHERE)
        elif n == 4:
            who = rng.pick(_ELSEWHERE)
            order = rng.below(3)
            fields = {'domain': who, 'out_domain': who, 'order': order, 'out_count': 1 << order}
        elif n == 5:
            number, fields = rng.pick(((t.MANY_FRAMES, {'order': 9}), (t.MANY_BYTES, {}),
                                       (1, {'out_order': 2, 'out_count': t.MANY_BYTES})))
        elif n == 6:
            fields['out_count'] = rng.pick((0, 2, 3))
        elif n == 7:
            fields[rng.pick(('list', 'out'))] = t.BAD
        elif n == 8:
            fields['list'] = t.HOLE_PLACE
        elif n == 9:
            frame = self.unmapped()
            fields['flags'] = rng.pick((t.BITS_FEW, t.BITS_FEW, t.EXACT_OTHER, t.EXACT_NO_NODE, t.EXACT_NODE, t.NODE))
        else:
            frame = self.unmapped()
            self.memory_op(t.EXCHANGE, frame, b.plain(), 2, out_order=rng.below(2), out_count=1 + rng.below(2),
                           label='random')
            return
        self.memory_op(t.EXCHANGE, frame, b.any_frame(), number, 0 if rng.below(8) else 1 + rng.below(3), label,
                       **fields)

    def memory_facts(self):
        """What the guest has, what the machine has, and what a PV guest has not."""
        rng = self.rng
        n = rng.below(9)
        arg = t.GOOD if rng.below(4) else rng.pick((t.BAD, t.HOLE_PLACE, t.CONST))
        domain = rng.pick((t.SELF, t.SELF, t.OWN_NUMBER, *_ELSEWHERE))
        before = rng.pick((1, 65, t.MANY_BEFORE)) if rng.below(6) == 0 else 0
        if n == 0:
            self.memory_op(rng.pick((t.CURRENT, t.MAXIMUM)), before=before, arg=arg, domain=domain, label='reservation')
        elif n == 1:
            self.memory_op(t.MAX_RAM, before=before, label='max_ram')
        elif n < 5:
            self.memory_op(rng.pick(_PHYSMAP), before=before, arg=arg, domain=domain, space=rng.below(6), label='physmap')
        elif n < 8:
            number = rng.pick((0, 1, 2, t.MANY, t.MANY))
            buffer = rng.pick((t.GOOD, t.GOOD, t.NULL, t.BAD, t.HOLE_PLACE))
            command = rng.pick(_MAPS)
            if command == t.MACHINE_MAP:
                number = t.MANY if rng.below(4) else number
            elif buffer == t.NULL:
                buffer = t.BAD
            self.memory_op(command, number=number, arg=arg, list=buffer, domain=domain, label='memory_map')
        else:
            self.memory_op(rng.pick((t.MACHPHYS, t.MACHPHYS, t.NO_MEMOP)), arg=arg, label='machphys')

    # mmu_update's and mmuext_op's odder arguments.

    def tables_of(self):
        """The upper half of foreigndom."""
        b, rng = self.b, self.rng
        whose = 1 + rng.pick((t.SELF, t.OWN_NUMBER, t.OWN_NUMBER, t.OTHER_DOMAIN, t.OTHER_DOMAIN, t.DOMID_IO,
                              t.DOMID_XEN, t.NOBODY))
        mode = rng.pick((0, 0, 2, 3, 1, 5))
        self.update([(b.table(live=True), b.index(), b.plain(), t.P)], mode=mode, tables=whose, label='tables_of',
                    domain=rng.pick((t.SELF, t.SELF, t.SELF, t.DOMID_IO, t.DOMID_XEN)), done=rng.pick((t.GOOD, t.GOOD, t.NULL)))

    def begun_anew(self):
        b, rng = self.b, self.rng
        requests = [(b.table(1, live=True), b.index(), b.plain(), t.P)] * rng.below(3)
        where = t.NULL if not requests and rng.below(2) else t.GOOD
        done = rng.pick((t.GOOD, t.GOOD, t.NULL, t.BAD))
        if rng.below(2):
            self.update(requests, where=where, done=done, anew=1, label='begun_anew')
        else:
            self.ext([(t.TLB_FLUSH_LOCAL, 0)] * len(requests), where=where, done=done, anew=1, label='begun_anew')

    # Devices, the LDT, assists.

    def io_leaf(self):
        b, rng = self.b, self.rng
        name = rng.pick((t.IO, t.IO, t.IO, t.ABOVE, t.IOAPIC, t.MSI))
        label = 'map_mmio' if name in (t.IO, t.ABOVE) else 'map_apic'
        self.uva(b.path(), name, rng.pick((t.P, t.P | t.RW)) | (rng.pick(_IO_BITS) if b.dom0 else 0), 0, label)

    def touch_ldt(self):
        b, rng = self.b, self.rng
        frame = b.plain()
        n = rng.below(4)
        if n < 3:
            self.store(frame, b.index(), t.RAW, 0x00cff3000000ffff)
            if n:
                self.home_ro(frame)
            entries = rng.pick((1, 8, 512))
            self.ext([(t.SET_LDT, 0, 0, frame << 3 | t.HOME, entries)], label='ldt')
        else:
            entries = 1024
            self.ext([(t.SET_LDT, 0, 0, rng.pick((b.path() & ~(1 << 11), t.HOLE, t.LAST)), entries)], label='ldt')
        for _ in range(1 + rng.below(2)):
            self.other_call(t.TOUCH, 'touch_ldt', rng.pick((0, 0, entries - 1, entries)))
        if n and rng.below(2):
            self.uva(b.path(), frame, t.P | t.RW, 0, 'map_table_rw')

    def strict(self):
        b, rng = self.b, self.rng
        self.other_call(t.STRICT if rng.below(3) else t.UNSTRICT, 'assist')
        if rng.below(2):
            self.ext([(t.NEW_USER_BASEPTR, b.table(4))], label='random')

    def other(self):
        mode, label = self.rng.pick(((t.UNKNOWN, 'unknown_call'), (t.ASSIST_TYPE, 'assist_type'),
                                     (t.ASSIST_NO_TYPE, 'assist_type'), (t.ASSIST_COMMAND, 'assist_command')))
        self.other_call(mode, label)
