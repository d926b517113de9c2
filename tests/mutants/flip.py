#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How much of mm/ do the tests see? One operator or constant is flipped at a time (places.py says where and how), at
places that a seed picks, and the tests are run on the host's machine: how often do they notice?

    flip.py [--count 200] [--seed 1] [--hands 2] [--only GLOB]

    place --> one object anew, all programs linked --> programs, nearest tests first --> the first that is red ends it

A flip counts when it compiles without a warning and makes another object. How it is noticed is told apart:

    check   a test says what is wrong, or what looks after it (audit, leaks, oracle), or the model names its rule
    panic   the kernel names an invariant of its own
    crash   the guest or the program dies of it
    time    nothing but that a program takes far longer than without the flip: not counted as noticed

A place is picked by a hash of its line, so that a change elsewhere in mm/ leaves the others as they are. What came of
each stands in build/flips.results, so that a run goes on where it was cut off: a place is tried again when its line has
changed, one that nobody noticed when a test has.

The last line is `flips: N of M noticed, P %: ...`; the exit status is 0 if that is at least 85 %. docs/mutants.md explains
those that nobody notices.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import lanes
import places
import run

_AIM = 85  # per cent
_RESULTS = pathlib.Path('build/flips.results')
_WALL = 900  # seconds
_KINDS = {'check': 'by a check', 'panic': "by the kernel's own panic", 'crash': 'by a crash'}

_SUITE = 'build/host/quick/test_suite'
# In the order in which they are run, cheapest and likeliest first: seconds of a CPU, more than twice what each takes; and
# how the files begin that it has to do with.
_PROGRAMS = (
    ((_SUITE, 'dom0'), 20, ''),
    (('build/host/unit/test_p2m',), 6, 'p2m'),
    (('build/host/unit/test_p2m_boot',), 5, 'p2m|m2p'),
    (('build/host/quick/test_machine',), 5, ''),
    (('build/host/quick/test_crash',), 3, ''),
    (('build/host/quick/test_batch',), 3, 'mmu_batch|frame'),
    (('build/host/quick/test_start',), 3, 'boot|frame|kernel_map|p2m|m2p|direct_map|pmap'),
    (('build/host/quick/test_boot_memory',), 5, 'boot|frame|kernel_map|direct_map|tables|pmap'),
    (('build/host/quick/test_fault_map',), 6, 'aspace|mmu|planner|tables|frame_alloc'),
    (('build/host/quick/test_fault_sync',), 8, 'aspace|mmu'),
    ((_SUITE, 'domu-large'), 20, 'aspace|mmu|planner|tables|direct_map|ptdump'),
    ((_SUITE, 'domu-giant'), 20, 'aspace|mmu|planner|tables|direct_map'),
    (('build/host/quick/test_fault_boot',), 8, 'boot|frame|kernel_map|p2m|m2p|direct_map|tables|pmap'),
    ((_SUITE, 'domu'), 20, 'boot|frame|kernel_map|p2m|m2p|direct_map|vmap|audit_early|ptdump_print'),
    (('build/host/quick/test_fault_range',), 24, 'aspace|mmu|planner|tables|direct_map'),
    (('build/host/quick/test_fault_sections',), 24, 'aspace|mmu|planner|tables|direct_map|vmap'),
    (('build/host/quick/test_fault_memory',), 9, 'aspace_foreign|mmu|p2m|m2p|vmap|frame_alloc'),
)

# Whose tests are nearest to a file, by how its name begins: of the suite these come first.
_NEAREST = (('p2m', 'p2m_* boot_*'), ('m2p', 'm2p_[!w]*'), ('pmap', 'pmap_*'), ('mmu_batch', 'tlb_* undo_* batch_*'),
            ('mmu_map', 'map_*'), ('planner', 'planner_*'), ('aspace', 'range_* aspace_*'),
            ('direct_map', 'direct_map_* wx_*'), ('frame', 'frame_*'), ('ptdump', 'ptdump_*'), ('audit', 'audit_*'),
            ('vmap', 'vmap_* mmio_*'), ('tables', 'aspace_* tlb_*'), ('kernel_map', 'wx_*'), ('boot', 'boot_* pmap_*'))


@dataclasses.dataclass(frozen=True)
class Place:
    """A flip of a file; `key` names it by its line's text."""
    file: str
    flip: places.Flip
    key: str
    where: str


def _places(path, name, seed):
    """(rank, Place) of all flips of a file. The rank depends on the seed and on the flip's own line."""
    text, seen = path.read_text(encoding='utf-8'), collections.Counter()
    lines = text.split('\n')
    for flip in places.places(text):
        number = text.count('\n', 0, flip.start)
        line, column = lines[number].strip(), flip.start - text.rfind('\n', 0, flip.start)
        column -= len(lines[number]) - len(lines[number].lstrip())
        what = f'{name} {line} {column} {flip.new}'
        seen[what] += 1
        key = f'{what} {seen[what]}'
        rank = hashlib.sha256(f'{seed} {key}'.encode()).hexdigest()
        yield rank, Place(name, flip, key, f'{name}:{number + 1}: {flip.old} -> {flip.new or "nothing"}: {line}')


def pick(top, seed):
    """All places of mm/ in the order in which they are tried: more than are asked for, for some are no mutants."""
    found = []
    for path in sorted((top / 'mm').glob('*.c')):
        found += _places(path, f'mm/{path.name}', seed)
    return [place for _, place in sorted(found, key=lambda item: item[0])]


def _listen(process):
    """What a program says up to the end of its first failure."""
    said, red = [], False
    for line in process.stdout:
        if red and re.match(r'(not )?ok\b|# [no]', line):
            process.kill()
            break
        red = red or line.startswith('not ok')
        said.append(line)
    return ''.join(said)


def _say(tree, command, limit):
    """What a program says up to its first failure, and its status, within `limit` seconds of a CPU."""
    with subprocess.Popen(['prlimit', f'--cpu={limit}', *command], cwd=tree.place, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace',
                          env=os.environ | {'CMOCKA_MESSAGE_OUTPUT': 'TAP'}) as process:
        timer = threading.Timer(_WALL, process.kill)
        timer.start()
        said = _listen(process)
        timer.cancel()
    return said, process.returncode


def judge(said, status, program):
    """(kind, who) of what a program says; None if nothing is wrong."""
    failed = re.search(r'^not ok \d+(?: -)? (\w+)', said, re.M)
    text = re.sub(r'^    ', '', said[failed.start():] if failed else said, flags=re.M)
    if failed:
        lane = lanes.LANES['host' if program == _SUITE else 'model']
        if lane.evidence(text, failed[1]):
            return 'check', failed[1]
        return 'panic' if re.search(r'^panic: ', text, re.M) else 'crash', failed[1]
    if 'Bail out!' in said:
        return 'panic' if re.search(r'^panic: ', text, re.M) else 'crash', 'start'
    planned, done = re.search(r'^1\.\.(\d+)', said, re.M), re.findall(r'^ok \d+(?: -)? (\w+)', said, re.M)
    if planned and len(done) == int(planned[1]) and status == 0:
        return None
    return 'time' if status in (-9, -24) else 'crash', f'behind {done[-1]}' if done else 'start'


def play(tree, file):
    """(kind, who) of the first program that is red; of one that shows more than that time runs out, if any does.

    All programs are run if the file is ''.
    """
    name, late = pathlib.Path(file).name, None
    nearest = next((globs for stem, globs in _NEAREST if name.startswith(stem)), '').split()
    for command, limit, files in _PROGRAMS:
        if name and not re.match(files, name):
            continue
        more = nearest + ['*'] if command[0] == _SUITE else []
        wrong = judge(*_say(tree, [*command, *more], limit), command[0])
        if wrong and wrong[0] != 'time':
            return wrong
        late = late or wrong
    return late or ('nobody', '')


class Results:
    """What came of the places so far: {key: (kind, who, tests)}, kept in a file."""

    def __init__(self, path, top):
        self._path, self._lock, self._all, sources = path, threading.Lock(), {}, hashlib.sha256()
        for folder in ('tests/guest', 'tests/host', 'tests/model'):
            for source in sorted((top / folder).rglob('*.[ch]')):
                sources.update(source.read_bytes())
        self._tests = sources.hexdigest()[:16]
        if path.exists():
            for line in path.read_text(encoding='utf-8').splitlines():
                key, *result = json.loads(line)
                self._all[key] = result

    def green(self, tree):
        """All must be green without a flip; seen once for these tests and this mm/."""
        sources = b''.join(source.read_bytes() for source in sorted((tree.place / 'mm').glob('*.c')))
        key = f'green {hashlib.sha256(sources).hexdigest()[:16]} {self._tests}'
        if key not in self._all:
            kind, who = play(tree, '')
            if kind != 'nobody':
                raise run.Wrong(f'{who} is red as it is: {kind}')
            self._keep(key, 'nobody', '')

    def get(self, place):
        """(kind, who) of a place; None if it is to be tried."""
        kind, who, tests = self._all.get(place.key, ('', '', ''))
        return (kind, who) if kind and (kind not in ('nobody', 'time') or tests == self._tests) else None

    def put(self, place, kind, who):
        """Keeps what came of a place."""
        self._keep(place.key, kind, who)

    def _keep(self, key, kind, who):
        with self._lock, self._path.open('a', encoding='utf-8') as file:
            file.write(json.dumps([key, kind, who, self._tests]) + '\n')


def try_out(tree, place):
    """Carries out a flip: (kind, who); the kind is `none` if it is no mutant."""
    path, flip = tree.place / place.file, place.flip
    text, before = path.read_text(encoding='utf-8'), tree.objects(place.file)
    try:
        path.write_text(text[:flip.start] + flip.new + text[flip.end:], encoding='utf-8')
        status, _ = tree.make()
        return ('none', '') if status or tree.objects(place.file) == before else play(tree, place.file)
    finally:
        path.write_text(text, encoding='utf-8')


def _hand(tree, todo, done, enough, results):
    """Takes places that others take from too, until enough are done. A place counts if it is a mutant."""
    for place in todo:
        if len(done) >= enough:
            return
        known = results.get(place)
        kind, who = known or try_out(tree, place)
        if not known:
            results.put(place, kind, who)
        if kind != 'none':
            done.append(kind)
            print(f'{kind:6}  {who:32}  {place.where}\n', end='', flush=True)


def main():
    """Flips, and prints the score."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--hands', type=int, default=2)
    parser.add_argument('--only', default='*', help='those whose FILE:LINE matches: globs, with commas')
    parser.add_argument('--scratch', type=pathlib.Path, default=pathlib.Path('build/flips'))
    options = parser.parse_args()
    top = pathlib.Path.cwd()
    lane = dataclasses.replace(lanes.LANES['host'], built=tuple(dict.fromkeys(command[0] for command, _, _ in _PROGRAMS)))
    trees = [run.Tree(top, (top / options.scratch / str(n)).absolute(), lane) for n in range(options.hands)]
    results, done = Results(top / _RESULTS, top), []
    results.green(trees[0])
    todo = iter([place for place in pick(top, options.seed)
                 if any(fnmatch.fnmatch(place.where, f'{glob}:*') for glob in options.only.split(','))])
    with concurrent.futures.ThreadPoolExecutor(options.hands) as pool:
        list(pool.map(lambda tree: _hand(tree, todo, done, options.count, results), trees))
    seen = sum(kind in _KINDS for kind in done)
    score = 100 * seen / max(1, len(done))
    ways = ', '.join(f'{done.count(kind)} {how}' for kind, how in _KINDS.items())
    print(f'flips: {seen} of {len(done)} noticed, {score:.1f} %: {ways}; of the others {done.count("time")} take too long')
    return 0 if score >= _AIM else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except run.Wrong as e:
        print(f'flips: {e}')
        sys.exit(1)
