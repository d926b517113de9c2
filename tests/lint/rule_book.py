#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Checks what the documents say of the code, as far as names go.

    rule book   docs/pv-mmu.md, docs/xen-abi.md: of each table whose last column is `test`, each row names tests of the
                in-guest suite; if the one before is `function`, functions that the kernel defines, or `none`: a rule that it
                only has to know. A row that can't be read is as bad as one whose test is gone
    stories     docs/faults.md: its table has a row for each function of mm/'s headers whose result must be checked, and the
                stories that a row names are there
    paths       files of this tree that docs/*.md and README.md name are there
    MFNs        members and variables of type mfn_t or maddr_t are in files that the list in p2m.h names

Prints what is wrong; exit status 1 if anything is, or if there is no rule.
"""
import glob
import os
import re
import sys

STORIES = 'docs/faults.md'
BOOKS = ('docs/pv-mmu.md', 'docs/xen-abi.md')
MFN_LIST = 'include/pinion/mm/p2m.h'
MFN_TYPES = 'include/pinion/mm/frames.h'  # which defines them
KERNEL = ('arch/x86/*.c', 'boot/*.c', 'lib/*.c', 'mm/*.c', 'mm/*.h', 'xen/*.c', 'include/pinion/*/*.h')

_DEFINITION = re.compile(r'^[a-z][^;{}#]*?\b(\w+)\([^;{}]*\)\n\{', re.M)
_TEST = re.compile(r'^(?:RAW_)?TEST\(\s*\w+,\s*(\w+)', re.M)
_NAMES = re.compile(r'`(\w+)`(?:, `\w+`)*$')
_MUST = re.compile(r'^__must_check (?:int|long) (\w+)\(', re.M)
_STORY = re.compile(r'^\s*\{ "(\w+)",\s+set_', re.M)
_STORIES = re.compile(r'^\| `(\w+)` \| (.*) \|$', re.M)
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


def rows_of(book):
    """Each row of a book's rule tables, without their heads: book, line, cells that name functions, or None, and tests."""
    head = None
    for line in read(book).split('\n'):
        if not line.startswith('|'):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if cells[-1:] == ['test']:
            head = cells
        elif head and not set(line) <= set('|-'):
            whole = len(cells) == len(head)
            yield book, line, cells[-2] if head[-2] == 'function' else 'none', cells[-1] if whole else ''


def names_in(cell):
    """The names of a cell, all in backticks; None if it has none, or anything else."""
    return re.findall(r'`(\w+)`', cell) if _NAMES.match(cell) else None


def wrong_rows(rows, functions, tests):
    """Sentences on rows that name what is not there."""
    for book, line, function, test in rows:
        code, proof = names_in(function), names_in(test)
        if (code is None and function != 'none') or proof is None:
            yield f'{book}: not a rule: {line}'
            continue
        yield from (f'{book}: no function {name}' for name in code or () if name not in functions)
        yield from (f'{book}: no test {name}' for name in proof if name not in tests)


def wrong_stories():
    """Sentences on functions that no story is about, and on stories that are not there."""
    if not os.path.exists(STORIES):
        return
    rows = dict(_STORIES.findall(read(STORIES)))
    functions = {name for path in files('include/pinion/mm/*.h') for name in _MUST.findall(read(path))}
    stories = {name for path in files('tests/host/test_fault_*.c') for name in _STORY.findall(read(path))}
    yield from (f'{STORIES}: nothing on {name}' for name in sorted(functions - set(rows)))
    yield from (f'{STORIES}: no function {name}' for name in sorted(set(rows) - functions))
    named = {name for cell in rows.values() for name in re.findall(r'`(\w+)`', cell)}
    yield from (f'{STORIES}: no story {name}' for name in sorted(named - stories))
    yield from (f'{STORIES}: no function for the story {name}' for name in sorted(stories - named))


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
    rows = [row for book in BOOKS if os.path.exists(book) for row in rows_of(book)]
    functions = {name for path in files(*KERNEL) for name in _DEFINITION.findall(read(path))}
    tests = {name for path in files('tests/guest/*.c') for name in _TEST.findall(read(path))}
    wrong = [*wrong_rows(rows, functions, tests), *wrong_stories(), *wrong_paths(), *wrong_mfns()]
    if not rows:
        wrong.append(f'{BOOKS[0]}: no rule found')
    if wrong:
        print('\n'.join(wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
