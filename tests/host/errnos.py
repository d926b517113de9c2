#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Which errors of the model's table (tests/model/errnos.c) no test has ever seen.

    errnos.py FILE    what the host lane's programs have written into it, a line each (tests/host/model_errnos.c)

An error that is in the table and that the model never gives in any test is none of Xen's, or nobody has tested that it is. What the
model can't give is marked in the table, with Xen's function: such a mark on an error that was seen is wrong too. Speaks TAP.
"""

import errno
import pathlib
import re
import sys

CALLS = {1: 'mmu_update', 2: 'set_gdt', 10: 'update_descriptor', 12: 'memory_op', 13: 'multicall',
         14: 'update_va_mapping', 21: 'vm_assist', 22: 'update_va_mapping_otherdomain', 26: 'mmuext_op'}
ENTRY = re.compile(r'(\d+)\.(\w+)\.(\d+)=(\d+)(\*?) ')


def read(text):
    """{(call, command, error): [how often, whether marked]}, of all programs together."""
    table = {}
    for call, command, error, times, mark in ENTRY.findall(text):
        entry = table.setdefault((int(call), command, int(error)), [0, bool(mark)])
        entry[0] += int(times)
    return table


def amiss(table):
    """What is wrong with the table, a line each."""
    lines = []
    for (call, command, error), (times, marked) in sorted(table.items()):
        name = f'{CALLS.get(call, call)}, command {command}: {errno.errorcode.get(error, error)}'
        if not times and not marked:
            lines.append(f'{name} is in the table and was never given')
        elif times and marked:
            lines.append(f'{name} is marked as not played, and was given {times} times')
    return lines


def main():
    """Prints one TAP result, and what is amiss."""
    table = read(pathlib.Path(sys.argv[1]).read_text(encoding='ascii'))
    wrong = amiss(table) if table else ['no program has said anything']
    marked = sum(mark for _, mark in table.values())
    print(f'1..1\n{"not " if wrong else ""}ok model_errnos: {len(table)} errors of {len({key[:2] for key in table})} operations, '
          f'{marked} of them not played by the model')
    for line in wrong:
        print(f'# {line}')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
