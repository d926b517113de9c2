# SPDX-License-Identifier: MIT
"""
What traces have reached: calls by operation, class of target and result, and the cases of labels.py.

The class of a target is what the model says of it at that moment (tests/host/trace_model.c has the letters); where the
model has the same outcomes as Xen, what is true of one is true of the other.
"""

import collections

import traces as t
from labels import NAMES, expected

# No result of an operation may be more than this part of all calls, nor any error of all operations together: else the
# traces are one-sided. Success is more: nothing is built without.
MOST = 0.25
ERRORS = 'PESBIFNAMOXD?'

_MODES = ('normal', 'm2p', 'preserve_ad', 'no_translate')
_COMMANDS = ('pin_l1', 'pin_l2', 'pin_l3', 'pin_l4', 'unpin', 'new_baseptr', 'tlb_flush_local', 'invlpg_local',
             'tlb_flush_multi', 'invlpg_multi', 'tlb_flush_all', 'invlpg_all', 'flush_cache', 'set_ldt',
             'command_14', 'new_user_baseptr', 'clear_page', 'copy_page', 'flush_cache_global', 'mark_super',
             'unmark_super')
_MEMORY = {t.INCREASE: 'increase', t.DECREASE: 'decrease', t.MAX_RAM: 'maximum_ram_page', t.CURRENT: 'current',
           t.MAXIMUM: 'maximum', t.POPULATE: 'populate', t.ADD_PHYSMAP: 'add_to_physmap', t.MEMORY_MAP: 'memory_map',
           t.MACHINE_MAP: 'machine_memory_map', t.EXCHANGE: 'exchange', t.MACHPHYS: 'machphys_mapping',
           t.SET_MAP: 'set_memory_map', t.REMOVE_PHYSMAP: 'remove_from_physmap', t.ADD_BATCH: 'add_to_physmap_batch',
           t.NO_MEMOP: 'unknown'}
_OTHER = ('unknown', 'nested', 'assist_type', 'assist_command', 'assist_no_type', 'm2p_strict', 'no m2p_strict',
          'wide number', 'touch LDT')


def operation(call):
    """A call's kind in words; batches count by their first request."""
    op = call[0]
    first = call[1] if len(call) > 1 else op
    if op.kind == t.UPDATE:
        if not op.count:
            return 'mmu_update of 0'
        mode = _MODES[first.mode] if first.mode < len(_MODES) else 'mode 4-7'
        return f'mmu_update {mode}' + (' +' if op.count > 1 else '')
    if op.kind == t.EXT:
        if not op.count:
            return 'mmuext_op of 0'
        command = _COMMANDS[first.mode] if first.mode < len(_COMMANDS) else 'unknown'
        return f'mmuext {command}' + (' +' if op.count > 1 else '')
    if op.kind in (t.UVA, t.UVA_OTHER):
        home = ' home' if op.index & 7 == t.HOME else ''
        return 'update_va_mapping' + ('_otherdomain' if op.kind == t.UVA_OTHER else '') + home
    if op.kind == t.MEMORY:
        return f'memory_op {_MEMORY[op.mode]}'
    if op.kind == t.OTHER:
        return f'other {_OTHER[op.mode]}'
    return {t.MULTICALL: 'multicall', t.SET_GDT: 'set_gdt', t.DESCRIPTOR: 'update_descriptor'}[op.kind]


def told(trace, letters):
    """(call, letter) of each hypercall of a trace; no letter: one of a multicall that was not looked at."""
    at = 0
    for call in trace.calls:
        if call[0].kind == t.STORE:
            continue
        if letters[at] == '-' or call[0].kind != t.MULTICALL:
            yield call, letters[at]
            at += 2 if letters[at] != '-' and call[0].kind in (t.UPDATE, t.EXT) and call[0].count > 1 else 1
            continue
        yield call[:1], letters[at]
        at += 1
        looked_at = letters[at - 1] == '.'
        for inner in t.inner_calls(call):
            if not looked_at:
                yield inner, ''
                continue
            yield inner, letters[at]
            at += 2 if inner[0].kind in (t.UPDATE, t.EXT) and inner[0].count > 1 else 1
    if at != len(letters):
        raise ValueError(f'trace {trace.number}: {len(letters)} letters, {at} expected')


class Coverage:
    """Counts of what was replayed."""

    def __init__(self, dom0):
        self._dom0 = dom0
        self.calls = 0
        self.results = collections.Counter()  # (operation, classes, letter)
        self.cases = collections.Counter()
        self._tried = collections.Counter()

    def add(self, trace, letters, classes):
        """@classes is an iterator over the letters of classes, from this trace's on."""
        for call, letter in told(trace, letters):
            target = '  ' if letter == '-' else next(classes) + next(classes)
            if not letter:
                continue
            self.calls += 1
            self.results[operation(call), target, letter] += 1
            label = call[0].label
            wanted = expected(label, self._dom0)
            self._tried[NAMES[label]] += 1
            if wanted and letter in wanted:
                self.cases[NAMES[label]] += 1

    def rare(self, least):
        """Cases that came about fewer than @least times."""
        return [f'{name}: {self.cases[name]} of {self._tried[name]}' for number, name in enumerate(NAMES)
                if expected(number, self._dom0) and self.cases[name] < least]

    def frequent(self):
        """What is more than a quarter of all: a result of an operation, an error of whatever."""
        sums = collections.Counter()
        for (name, _, letter), number in self.results.items():
            sums[f'{name} {letter}'] += number
            if letter in ERRORS:
                sums[f'error {letter}'] += number
        return [f'{name}: {number} of {self.calls}' for name, number in sums.items() if number > MOST * self.calls]

    def shares(self):
        """How many of the calls had which kind of result."""
        sums = collections.Counter()
        for (_, _, letter), number in self.results.items():
            sums['errors' if letter in ERRORS else 'not made' if letter == '-' else 'done'] += number
        return ', '.join(f'{kind} {100 * number / self.calls:.1f} %' for kind, number in sums.most_common())

    def table(self):
        """Lines: operation, classes of its target and of the entry's frame, results with their numbers."""
        rows = collections.defaultdict(dict)
        for (name, target, letter), number in self.results.items():
            rows[name, target][letter] = number
        return [f'{name:30} {target[0]} {target[1]}  ' + ' '.join(f'{letter}{number}' for letter, number in
                                                    sorted(cells.items(), key=lambda c: -c[1]))
                for (name, target), cells in sorted(rows.items())]
