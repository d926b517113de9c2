#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Mutants: breaks one line at a time, and looks whether the test that the table names finds it.

    run.py TABLE [--lane LANE] [--part N/M] [--only GLOB]

    table row --> the line, in a copy of the tree --> one object anew --> the named test alone --> caught?

A test that no breakage turns red tests nothing. A mutant is *caught* if the named test says `not ok` and why
(a check of its own, or what the suite's audit and leak check found after it), or if the model says which of
its rules was broken. A crash or a hang alone is not: that is what a user would see.

Besides, each mutant must compile without a warning and make another object, and each named test must pass in the
tree as it is. Exit status: 0 if all were caught.
"""

import argparse
import concurrent.futures
import dataclasses
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import lanes

_MARKS = '-@+='
# What tells two objects apart: of the lines of their sources nothing.
_STRIP = ['strip', '--strip-debug', '-o', 'build/stripped.o']


class Wrong(Exception):
    """A row that can't be carried out, or a tree that is red before it was broken; and why."""


@dataclasses.dataclass
class Mutant:
    """A row: `old` is the line of `file` that becomes `new`, `within` the function it stands in."""
    name: str
    file: str
    test: str
    old: str = ''
    within: str = ''
    new: str = ''
    why: str = ''


def _check_quota(rows, quota):
    """A quota is `N WHAT...`: at least N rows are about files that match one of these globs, or say why in that word."""
    least, *globs = quota.split()
    count = sum(any(fnmatch.fnmatch(row.file, glob) or row.why.startswith(glob) for glob in globs) for row in rows)
    if count < int(least):
        raise Wrong(f'{count} rows about {" ".join(globs)}, but {least} are asked for')


def read_table(path):
    """The rows of a table, which has as many of each kind as its own quotas ask for."""
    rows, quotas, fields = [], [], {'-': 'old', '@': 'within', '+': 'new', '=': 'why'}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        if line.startswith('! '):
            quotas.append(line[2:])
        elif line[0] in _MARKS and line[1:2] == ' ' and rows:
            setattr(rows[-1], fields[line[0]], line[2:].strip())
        elif len(line.split()) == 3:
            rows.append(Mutant(*line.split()))
        else:
            raise Wrong(f'{path}:{number}: what is this?')
    for row in rows:
        if not (row.old and row.new and row.why):
            raise Wrong(f'{row.name}: a line is missing')
    for quota in quotas:
        _check_quota(rows, quota)
    return rows


def _function(lines, name):
    """The range of lines of the function `name`: from its name to its last brace."""
    begin = re.compile(rf'^[a-z].*\b{re.escape(name)}\(')
    for start, line in enumerate(lines):
        if begin.search(line) and '{' in lines[start + 1:start + 6]:
            return range(start, lines.index('}', start))
    raise Wrong(f'there is no function {name}')


def mutated(text, row):
    """The file's text with the row's line replaced; Wrong unless that line is there once."""
    lines = text.split('\n')
    where = _function(lines, row.within) if row.within else range(len(lines))
    found = [n for n in where if lines[n].strip() == row.old]
    if len(found) != 1:
        raise Wrong(f'{row.file} has that line {len(found)} times')
    line = lines[found[0]]
    lines[found[0]] = line[:len(line) - len(line.lstrip())] + row.new
    return '\n'.join(lines)


class Tree:
    """A copy of the project to break, built once; `lane` is where tests run in it."""

    def __init__(self, top, place, lane, tests=()):
        self.place, self.lane, self.targets = place, lane, lane.targets(tests)
        names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=top, check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split('\n')
        shutil.rmtree(place, ignore_errors=True)
        for name in filter(None, names):
            if (top / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(top / name, place / name)
        if (top / '.cache').is_dir():
            (place / '.cache').symlink_to(top / '.cache')
        # What has been built is as good there: make looks at times, and these stay.
        places = {str(pathlib.Path(target).parent.relative_to('build')) for target in self.targets}
        for kept in sorted(places - {'.'}) + ['obj', 'include', 'flags', 'objects', 'pinion.elf']:
            if (top / 'build' / kept).is_dir():
                shutil.copytree(top / 'build' / kept, place / 'build' / kept, symlinks=True)
            elif (top / 'build' / kept).is_file():
                (place / 'build').mkdir(exist_ok=True)
                shutil.copy2(top / 'build' / kept, place / 'build' / kept)
        status, said = self.make()
        if status:
            raise Wrong(f'the tree as it is does not build:\n{said}')

    def make(self):
        """Builds what the lane needs: make's status and words."""
        return lanes.run(['make', '-s', *self.targets], self.place)

    def red(self, tests):
        """Those of `tests` that do not pass as it is."""
        said = self.lane.play(self.place, tests)
        return {test for test in tests if not self.lane.passed(said, test)}

    def objects(self, file):
        """The code and constants of each object that was made of the source `file`."""
        code = []
        for found in sorted((self.place / 'build').rglob(pathlib.Path(file).stem + '*.o')):
            if found.name in (pathlib.Path(file).name + '.o', pathlib.Path(file).stem + '.o'):
                subprocess.run(_STRIP + [found.absolute()], cwd=self.place, check=True)
                code.append((self.place / 'build/stripped.o').read_bytes())
        return code

    def try_out(self, row, who=False):
        """
        Carries out a row. Returns (whether the test caught it, what was seen); with `who` the tests that would have, if it
        did not.
        """
        path = self.place / row.file
        text = path.read_text(encoding='utf-8')
        changed, before = mutated(text, row), self.objects(row.file)
        try:
            path.write_text(changed, encoding='utf-8')
            status, said = self.make()
            if status:
                error = re.search(r'error: .*', said)
                return False, f'does not compile: {error[0] if error else said[-200:]}'
            if self.objects(row.file) == before:
                return False, 'is the same machine code'
            said = self.lane.play(self.place, [row.test])
            found = self.lane.evidence(said, row.test)
            others = self.lane.play(self.place, ['*']) if who and not found else ''
        finally:
            path.write_text(text, encoding='utf-8')
        if found:
            return True, found
        if who:
            return False, 'would be caught by: ' + ' '.join(self.lane.failed(others))
        last = [line for line in said.split('\n') if line.strip()][-1:]
        panic = re.search(r'^panic: .*', said, re.M)
        return False, f'not caught: {panic[0] if panic else last}'


def part_of(rows, part):
    """The N-th of M parts, each with rows from all over the table."""
    if not part:
        return rows
    number, parts = map(int, part.split('/'))
    return rows[number % parts::parts]


def _hand(tree, rows, who):
    """Takes rows from an iterator that others take from too, until none is left. Returns how many were caught."""
    caught = 0
    for row in rows:
        try:
            found, seen = tree.try_out(row, who)
        except Wrong as e:
            found, seen = False, str(e)
        caught += found
        print(f'{"caught" if found else "MISSED":6}  {row.name:24} {row.test:28} {seen[:150]}', flush=True)
    return caught


def _options():
    parser = argparse.ArgumentParser()
    parser.add_argument('table', type=pathlib.Path)
    parser.add_argument('--lane', default='host', choices=sorted(lanes.LANES))
    parser.add_argument('--part', default='', help='N/M: the N-th of M parts')
    parser.add_argument('--only', default='*', help='those whose names match: globs, with commas')
    parser.add_argument('--who', action='store_true', help='which tests would catch those that were missed')
    parser.add_argument('--scratch', type=pathlib.Path, default=pathlib.Path('build/mutants'))
    return parser.parse_args()


def main():
    """Tries out the rows that were asked for, and prints the table of what became of them."""
    options = _options()
    top = pathlib.Path.cwd()
    lane = lanes.LANES[options.lane]
    rows = [row for row in part_of(read_table(options.table), options.part)
            if any(fnmatch.fnmatch(row.name, glob) for glob in options.only.split(','))]
    hands = min(len(os.sched_getaffinity(0)), len(rows), 2)
    began = time.monotonic()
    tests = sorted({row.test for row in rows})
    trees = [Tree(top, (top / options.scratch / str(n)).absolute(), lane, tests) for n in range(hands)]
    red = trees[0].red(tests)
    for test in sorted(red):
        print(f'{test} does not pass in the tree as it is', flush=True)
    todo = iter([row for row in rows if row.test not in red])
    with concurrent.futures.ThreadPoolExecutor(hands) as pool:
        caught = sum(pool.map(lambda tree: _hand(tree, todo, options.who), trees))
    missed = len(rows) - caught
    print(f'mutants: {caught} of {len(rows)} caught, {missed} not, {time.monotonic() - began:.0f} s')
    return 1 if missed or not rows else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Wrong as e:
        print(f'mutants: {e}')
        sys.exit(1)
