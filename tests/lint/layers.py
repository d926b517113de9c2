#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Who may know whom, checked on #include lines: `layers.py < list of files`, from the tree's top.

    boot ──> mm ──> xen ──> arch ──> lib        each also what is further to the right

    mm reaches CPU and hypervisor through MM_DOORS alone, and is handed the boot_info: so the host
    build can put its own machine behind them. KINDS say what a number means and do nothing: who
    speaks of frames or entries at all speaks by them. The kernel knows nothing of tests/.

Inside mm the batch serves what is above it and knows none of that (ABOVE_BATCH).

Page tables change through the batch alone: the calls that change them stand in TABLE_CALLERS, whose reasons
are in mmu_batch.h.

A header in include/pinion/LAYER/ is of the same layer as the sources in LAYER/. Xen's public headers
(<xen/...>) are the ABI and no layer; but mm has its doors instead of them.
"""

import os
import re
import sys

MAY_KNOW = {
    'boot': {'boot', 'mm', 'xen', 'arch', 'lib'},
    'mm': {'mm', 'lib'},
    'xen': {'xen', 'arch', 'lib'},
    'arch': {'arch', 'lib'},
    'lib': {'lib'},
}
MM_DOORS = {'hypercall.h', 'probe.h', 'va_base.h', 'cpu.h'}
KINDS = {'include/pinion/mm/frames.h', 'include/pinion/arch/pte.h'}
MM_HANDED = {'include/pinion/boot/boot_info.h'}

ABOVE_BATCH = ('aspace', 'planner', 'mmu_map', 'vmap', 'ptdump', 'audit')

TABLE_CALLERS = {
    'mm/mmu_batch_send.c', 'mm/mmu_batch_undo.c', 'mm/mmu_batch_one.c', 'mm/pmap.c', 'mm/p2m_boot.c',
    'mm/boot_alloc.c', 'boot/kmain.c', 'xen/shared_info.c', 'mm/m2p.c',
    'xen/hypercall.c', 'include/pinion/xen/hypercall.h',  # which define them
}

_TABLE_CALL = re.compile(r'\bhypercall_(mmu_update|update_va_mapping|mmuext_op|multicall)\s*\(')
_INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer_of(path):
    """The layer that a path of the tree belongs to; 'tests' for tests/; None for anything else."""
    parts = path.removeprefix('include/pinion/').split('/')
    return parts[0] if parts[0] in MAY_KNOW or parts[0] == 'tests' else None


def target_of(includer, quote, name):
    """The path in the tree that an #include means, or '<name>' for what is not in the tree."""
    local = os.path.normpath(os.path.join(os.path.dirname(includer), name))
    if quote == '"' and os.path.exists(local):
        return local
    for top in ('include', '.'):
        path = os.path.normpath(os.path.join(top, name))
        if os.path.exists(path) and not (top == '.' and name.startswith('xen/')):
            return path
    return f'<{name}>'


def complaint(includer, quote, name):
    """Why this #include is not allowed, or None."""
    own = layer_of(includer)
    if own not in MAY_KNOW:
        return None
    target = target_of(includer, quote, name)
    if target.startswith('<pinion/') or 'tests/' in name:
        theirs = target.strip('<').removeprefix('pinion/').split('/')[0]
        theirs = 'tests' if 'tests/' in name else theirs
    elif target.startswith('<'):
        if own == 'mm' and name.startswith('xen/'):
            return f'mm includes {name}: it reaches the hypervisor through its doors alone'
        return None
    else:
        theirs = layer_of(target)
    if includer.startswith('mm/mmu_batch') and os.path.basename(name).startswith(ABOVE_BATCH):
        return f'the batch must not know what is above it: includes {name}'
    if theirs in MAY_KNOW[own] or theirs is None or (target in KINDS and own != 'lib'):
        return None
    if own == 'mm' and (target in MM_HANDED or (theirs in ('xen', 'arch')
                                                and os.path.basename(target) in MM_DOORS)):
        return None
    return f'{own} must not know {theirs}: includes {name}'


def main():
    bad = False
    for path in sys.stdin.read().split():
        with open(path, encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                match = _INCLUDE.match(line)
                why = match and complaint(path, match[1], match[2])
                if (not why and _TABLE_CALL.search(line) and path not in TABLE_CALLERS
                        and layer_of(path) in MAY_KNOW):
                    why = 'tables change through the batch alone (see mmu_batch.h)'
                if why:
                    print(f'{path}:{number}: {why}')
                    bad = True
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
