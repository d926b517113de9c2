#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How big the kernel is without its suite: code and constants of an image, by the symbols that linker.ld
puts between the kernel's part of a section and the suite's.

    size.py IMAGE.sym [AIM LIMIT]     in KiB: prints the figures; status 1 above LIMIT

A microkernel is to be read, and audited, as a whole. AIM is where it should be; LIMIT is what it may
not pass, so that it does not grow unseen.
"""
import sys

PARTS = (('text', '__text_start', '__text_suite'), ('rodata', '__rodata_start', '__rodata_suite'))


def symbols(path):
    """{name: address} of nm's output."""
    with open(path, encoding='utf-8') as f:
        return {words[2]: int(words[0], 16) for line in f if len(words := line.split()) == 3}


def main():
    """Returns the exit status."""
    path, aim, limit = (sys.argv[1:] + ['0', '0'])[:3]
    found = symbols(path)
    missing = [name for _, *names in PARTS for name in names if name not in found]
    if missing:
        print(f'{path}: no {", ".join(missing)}')
        return 1
    sizes = {part: found[end] - found[start] for part, start, end in PARTS}
    total = sum(sizes.values())
    print(', '.join(f'{part} {size / 1024:.1f}' for part, size in sizes.items())
          + f', together {total / 1024:.1f} KiB without the suite'
          + (f' (aim {aim}, limit {limit})' if int(limit) else ''))
    return 1 if int(limit) and total > int(limit) * 1024 else 0


if __name__ == '__main__':
    sys.exit(main())
