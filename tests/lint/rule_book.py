#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Checks what the documents say of the code, as far as names go.

    rule book   docs/pv-mmu.md: of each table whose last two columns are `function` and `test`, each row names
                functions that the kernel defines (or says `none`: a rule that it only has to know), and tests of the
                in-guest suite. A row that can't be read is as bad as one whose test is gone
    paths       files of this tree that docs/*.md and README.md name are there
    MFNs        members and variables of type mfn_t or maddr_t are in files that the list in p2m.h names

Prints what is wrong; exit status 1 if anything is, or if there is no rule.
"""
import glob
import os
import re
import sys

BOOK = 'docs/pv-mmu.md'
MFN_LIST = 'include/pinion/mm/p2m.h'
MFN_TYPES = 'include/pinion/mm/frames.h'  # which defines them
KERNEL = ('arch/x86/*.c', 'boot/*.c', 'lib/*.c', 'mm/*.c', 'mm/*.h', 'xen/*.c', 'include/pinion/*/*.h')

_DEFINITION = re.compile(r'^[a-z][^;{}#]*?\b(\w+)\([^;{}]*\)\n\{', re.M)
_TEST = re.compile(r'^(?:RAW_)?TEST\(\s*\w+,\s*(\w+)', re.M)
_NAMES = re.compile(r'`(\w+)`(?:, `\w+`)*$')
_PATH = re.compile(r'\b(?:boot|docs|include/pinion|lib|mm|tests)/[\w/.-]*\.(?:bats|c|cfg|h|md|mk|py|S|tsv)\b')
_STRUCT = re.compile(r'^(?:static |typedef |const )*(?:struct|union)[^;{}()]*\{\n(.*?)^\}', re.M | re.S)
_MFN = re.compile(r'^\s+(?:const )?(?:mfn_t|maddr_t) \*?\w+[\[;,]', re.M)
_MFN_STATIC = re.compile(r'^static (?:const )?(?:mfn_t|maddr_t)\b[^()]*;', re.M)


def read(path):
    """A file's text."""
    with open(path, encoding='utf-8') as f:
        return f.read()


def files(*patterns):
    """Paths of all patterns."""
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]


def rows_of(text):
    """Each row of the rule tables, without their heads: as it stands, and its cells."""
    inside = False
    for line in text.split('\n'):
        if not line.startswith('|'):
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if cells[-2:] == ['function', 'test']:
            inside = True
        elif inside and not set(line) <= set('|-'):
            yield line, cells


def names_in(cell):
    """The names of a cell, all in backticks; None if it has none, or anything else."""
    return re.findall(r'`(\w+)`', cell) if _NAMES.match(cell) else None


def wrong_rows(rows, functions, tests):
    """Sentences on rows that name what is not there."""
    for line, cells in rows:
        code, proof = (names_in(cell) for cell in cells[-2:])
        if (code is None and cells[-2] != 'none') or proof is None or len(cells) < 3:
            yield f'{BOOK}: not a rule: {line}'
            continue
        yield from (f'{BOOK}: no function {name}' for name in code or () if name not in functions)
        yield from (f'{BOOK}: no test {name}' for name in proof if name not in tests)


def wrong_paths():
    """Sentences on files that documents name and that are not there."""
    for document in files('README.md', 'docs/*.md'):
        for path in sorted(set(_PATH.findall(read(document)))):
            if not os.path.exists(path):
                yield f'{document}: no file {path}'


def wrong_mfns():
    """Sentences on files that keep MFNs and are not in the list of those that do."""
    if not os.path.exists(MFN_LIST):
        return
    listed = read(MFN_LIST).split('*/\n#ifndef')[0]
    for path in files(*KERNEL):
        text = read(path)
        if path != MFN_TYPES and os.path.basename(path) not in listed and (
                _MFN_STATIC.search(text) or any(map(_MFN.search, _STRUCT.findall(text)))):
            yield f'{path}: keeps MFNs and is not in the list of {MFN_LIST}'


def main():
    """Returns the exit status."""
    rows = list(rows_of(read(BOOK)))
    functions = {name for path in files(*KERNEL) for name in _DEFINITION.findall(read(path))}
    tests = {name for path in files('tests/guest/*.c') for name in _TEST.findall(read(path))}
    wrong = [*wrong_rows(rows, functions, tests), *wrong_paths(), *wrong_mfns()]
    if not rows:
        wrong.append(f'{BOOK}: no rule found')
    if wrong:
        print('\n'.join(wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
