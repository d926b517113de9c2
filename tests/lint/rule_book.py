#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Checks the rule book of docs/pv-mmu.md: every function it names is defined in the kernel, every test
in the in-guest suite. Prints what is missing; exit status 1 if anything is, or if there is no rule.
"""
import glob
import re
import sys

BOOK = 'docs/pv-mmu.md'
ROW = re.compile(r'^\|.*\| `([a-z0-9_]+)` \| `([a-z0-9_]+)` \|$', re.M)


def text_of(*patterns):
    """All files of the patterns, one after the other."""
    parts = []
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            with open(path, encoding='utf-8') as f:
                parts.append(f.read())
    return '\n'.join(parts)


def main():
    """Returns the exit status."""
    with open(BOOK, encoding='utf-8') as f:
        rows = ROW.findall(f.read())
    kernel = text_of('mm/*.c', 'boot/*.c', 'include/pinion/mm/*.h')
    tests = set(re.findall(r'^TEST\(\s*\w+,\s*(\w+)', text_of('tests/guest/*.c'), re.M))
    missing = [f'{BOOK}: no function {function}' for function, _ in rows
               if not re.search(rf'^[a-z].*\b{function}\([^;]*$', kernel, re.M)]
    missing += [f'{BOOK}: no test {test}' for _, test in rows if test not in tests]
    print('\n'.join(missing or ([] if rows else [f'{BOOK}: no rule found'])))
    return 1 if missing or not rows else 0


if __name__ == '__main__':
    sys.exit(main())
