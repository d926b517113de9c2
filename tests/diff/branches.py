# SPDX-License-Identifier: MIT
"""
Which branches of the model the traces have taken.

The replayer's model counts them at -O0 (diff.mk); all lanes' counts are added up, for what is a branch of dom0's is none of
a domU's. What no trace can reach on Xen stands in docs/model.md, function by function, with the reason. That table has
to be true: a branch that is not taken and not in it is an error, and so is one that is in it and is taken by as many calls as
it was made with.

    | `function` or `file.c` | branches | why |        `file.c`: all of it, with no number
"""

import collections
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile

TABLE = 'docs/model.md'
_FOLDER = 'tests/model/'
_HEADING = '### What no trace reaches'
_ROW = re.compile(r'^\| `([\w.]+)` \| (\d*) *\| (.+) \|$')
# As in tests/host/coverage.py: the failing arm of an assertion is a bug of the model's.
_NEVER = re.compile(r'\b(ASSERT|panic)\(')


def listed(path=TABLE):
    """{function or file: number of branches or None}, from the table."""
    with open(path, encoding='utf-8') as f:
        text = f.read().partition(_HEADING)[2].partition('\n##')[0]
    return {row[1]: int(row[2]) if row[2] else None for row in map(_ROW.match, text.split('\n')) if row}


def counted(build, counters):
    """
    {(file, function, line, n): times} of the model's branches. The compiler's notes are beside the objects, the counters of
    a replay in its directory.
    """
    times = collections.Counter()
    objects = os.path.join(build, 'host/vmcov/xen', _FOLDER)
    for directory in counters:
        for place, _, names in os.walk(directory):
            # below it stands the whole name of the objects' own place
            for name in names if place.endswith(_FOLDER.rstrip('/')) else ():
                times.update(_branches(_gcov(os.path.join(place, name), objects)))
    return times


def _gcov(counters, objects):
    """What gcov says of one object's counters."""
    with tempfile.TemporaryDirectory() as work:
        notes = os.path.basename(counters).removesuffix('.gcda') + '.gcno'
        here = shutil.copy(counters, work)
        shutil.copy(os.path.join(objects, notes), work)
        return subprocess.run(['gcov', '--branch-probabilities', '--json-format', '--stdout', here],
                              stdout=subprocess.PIPE, check=True).stdout


def _branches(said):
    """One object's, of gcov's JSON."""
    times = {}
    for file in json.loads(gzip.decompress(said) if said[:2] == b'\x1f\x8b' else said)['files']:
        if not file['file'].startswith(_FOLDER):
            continue
        for line in file['lines']:
            for n, branch in enumerate(line['branches']):
                times[file['file'], line.get('function_name', ''), line['line_number'], n] = branch['count']
    return times


def lacks(times, table, more=False):
    """(lines that say what is wrong, number of branches, of those taken). With @more calls more may be taken."""
    wrong, missing = [], collections.defaultdict(list)
    sources = {}
    total = taken = 0
    for (file, function, line, n), count in sorted(times.items()):
        if file not in sources:
            with open(file, encoding='utf-8') as f:
                sources[file] = f.read().split('\n')
        text = sources[file][line - 1].strip()
        if _NEVER.search(text) or os.path.basename(file) in table:
            continue
        total += 1
        taken += count > 0
        if not count:
            missing[function].append(f'    {file}:{line}: branch {n} of: {text}')
    for function in sorted({*missing, *(name for name, number in table.items() if number is not None)}):
        found, expected = len(missing[function]), table.get(function) or 0
        if found > expected or (found < expected and not more):
            wrong += [f'{function}: {found} branches not taken, {expected} in {TABLE}', *missing[function]]
    return wrong, total, taken
