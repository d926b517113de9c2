#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How much of mm/ do the tests see? One operator or constant is flipped at a time (places.py says where and how), at
places that a seed picks, and the suite is run on the host's machine: how often does it notice?

    flip.py [--count 200] [--seed 1] [--hands 2]

A flip counts when it compiles without a warning and makes another object. It is noticed when a test fails that passes
without it, or the run does not come to its end. First come the tests that are named as the file, which notice most, then
all that are about mm/. Flips that nobody notices are printed with their lines; docs/mutants.md explains them.

The last line is `flips: N of M noticed, P %`; the exit status is 0 if that is at least 85 %.
"""

import argparse
import concurrent.futures
import pathlib
import random
import re
import sys

import lanes
import places
import run

_AIM = 85  # per cent
_PROFILE = 'dom0'
# A flip may make an endless loop: seconds of a CPU that the tests of a glob may take, whatever else the machine does.
_LIMIT = 40
_WALL = 900

# The tests that are about mm/, by globs over their names: the first that fails ends a trial.
_GLOBS = ('p2m_*', 'm2p_[!w]*', 'pmap_*', 'tlb_*', 'undo_*', 'batch_*', 'map_*', 'planner_*', 'aspace_*', 'range_*',
          'frame_*', 'direct_map_*', 'wx_*', 'vmap_*', 'mmio_*', 'ptdump_*', 'audit_*', 'leak_*', 'boot_*', 'free_*',
          'oracle_*', 'pte_*', 're[cs]*', 'memory_*', 'm2p_wild')

# Whose tests are nearest to a file, by how its name begins: these come first.
_NEAREST = (('p2m', 'p2m_* boot_*'), ('m2p', 'm2p_[!w]*'), ('pmap', 'pmap_*'), ('mmu_batch', 'tlb_* undo_* batch_*'),
            ('mmu_map', 'map_*'), ('planner', 'planner_*'), ('aspace', 'range_* aspace_*'),
            ('direct_map', 'direct_map_* wx_*'), ('frame', 'frame_*'), ('ptdump', 'ptdump_*'), ('audit', 'audit_*'),
            ('vmap', 'vmap_* mmio_*'), ('tables', 'aspace_* tlb_*'), ('kernel_map', 'wx_*'), ('boot', 'boot_* pmap_*'))


def pick(top, count, seed):
    """Places in the order in which they are tried: (file, Flip); more than `count`, for some are no mutants."""
    found = []
    for path in sorted((top / 'mm').glob('*.c')):
        found += [(f'mm/{path.name}', flip) for flip in places.places(path.read_text(encoding='utf-8'))]
    return random.Random(seed).sample(found, min(len(found), 2 * count))


class Suite:
    """The tests of each glob as they are without a flip: which are red."""

    def __init__(self, tree):
        self._red = {glob: self._failed(tree, glob) for glob in _GLOBS}
        red = sorted(set().union(*self._red.values()))
        if red:
            print(f'red as it is: {" ".join(red)}', flush=True)

    @staticmethod
    def _failed(tree, glob):
        """The tests that fail, of those that the glob takes; a word more if the run came to no end."""
        _, said = lanes.run(['prlimit', f'--cpu={_LIMIT}', 'build/host/quick/test_suite', _PROFILE, glob], tree.place,
                            _WALL)
        planned = re.search(r'^1\.\.(\d+)', said, re.M)
        results = re.findall(r'^(not ok|ok) \d+ (\w+)', said, re.M)
        failed = {name for result, name in results if result == 'not ok'}
        return failed if planned and int(planned[1]) == len(results) else failed | {f'no end of {glob}'}

    def noticed(self, tree, file):
        """Which test fails that passes without the flip; '' if none does."""
        name = pathlib.Path(file).name
        nearest = next((globs for stem, globs in _NEAREST if name.startswith(stem)), '').split()
        for glob in nearest + [glob for glob in _GLOBS if glob not in nearest]:
            failed = self._failed(tree, glob) - self._red[glob]
            if failed:
                return sorted(failed)[0]
        return ''


def try_out(tree, file, flip, suite):
    """Carries out a flip: None if it is no mutant, else who noticed it ('' if nobody did)."""
    path = tree.place / file
    text, before = path.read_text(encoding='utf-8'), tree.objects(file)
    try:
        path.write_text(text[:flip.start] + flip.new + text[flip.end:], encoding='utf-8')
        status, _ = tree.make()
        return None if status or tree.objects(file) == before else suite.noticed(tree, file)
    finally:
        path.write_text(text, encoding='utf-8')


def describe(text, file, flip):
    """The place as people read it."""
    line = text.count('\n', 0, flip.start) + 1
    return f'{file}:{line}: {flip.old} -> {flip.new or "nothing"}: {text.splitlines()[line - 1].strip()}'


def _hand(tree, todo, enough, done, suite):
    for file, flip in todo:
        if len(done) >= enough:
            return
        how = try_out(tree, file, flip, suite)
        where = describe((tree.place / file).read_text(encoding='utf-8'), file, flip)
        if how is not None:
            done.append((how, where))
            print(f'{how or "SURVIVES":32} {where}', flush=True)


def main():
    """Flips, and prints the score."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--hands', type=int, default=2)
    parser.add_argument('--scratch', type=pathlib.Path, default=pathlib.Path('build/flips'))
    options = parser.parse_args()
    top = pathlib.Path.cwd()
    trees = [run.Tree(top, (top / options.scratch / str(n)).absolute(), lanes.LANES['host'])
             for n in range(options.hands)]
    suite = Suite(trees[0])
    todo, done = iter(pick(top, options.count, options.seed)), []
    with concurrent.futures.ThreadPoolExecutor(options.hands) as pool:
        list(pool.map(lambda tree: _hand(tree, todo, options.count, done, suite), trees))
    seen = sum(bool(how) for how, _ in done)
    score = 100 * seen / max(1, len(done))
    print(f'flips: {seen} of {len(done)} noticed, {score:.0f} %')
    return 0 if score >= _AIM else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except run.Wrong as e:
        print(f'flips: {e}')
        sys.exit(1)
