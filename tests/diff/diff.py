#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Whether the model of Xen (tests/model) is Xen: the same hypercalls on both.

    diff.py check [LANE...]   CALLS hypercalls a lane, on Xen and on the model; what differs is shrunk and printed
    diff.py twice [LANE...]   the same traces twice on Xen: the same outcome?
    diff.py record [LANE...]  what Xen says, kept in tests/diff/logs
    diff.py [recorded]        the model against those logs, without Xen; speaks TAP
    diff.py module LANE N     the first N traces as a boot module, on standard output
    diff.py show LANE N...    traces as readable programs, as Xen (or with MODEL=1 the model) has them

    generate, build, belief   traces are written    labels    what was meant, and must come of it
    traces                    their form            lanes     where they are replayed
    coverage, branches        what they reached     shrink    makes them short
    tell                      what differs, in a line

Environment: CALLS (20000), SEED (1), and the rig's (tests/rig/config.py). LANE is dom0, domu or strict, which is a dom0 on
another machine and makes a quarter of the calls. Exit status 1 if anything differs; `check` of all lanes: or if
something is not reached that must be.
"""

import gzip
import os
import re
import shutil
import sys

import branches
import generate
import lanes
import tell
import traces as t
from coverage import Coverage
from shrink import shrink

import config  # the rig's: lanes has put it on the path
from live import stage

LOGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'logs')
LANES = ('dom0', 'domu', 'strict')
FULL = ('dom0', 'domu')  # those on which every case must come about, and that are recorded
_PIECE = 2000  # traces of one boot
_CALLS = 20000  # a lane, of which docs/model.md speaks
_SHOWN = 3     # differences that are shrunk
_HASH = re.compile(r'^    [0-9a-f]{16}$')


def number(name, otherwise):
    return int(os.environ.get(name) or otherwise)


def trace(lane, seed, number):
    return generate.one(seed, number, lane != 'domu', lane == 'strict')


def written(lane, seed, calls):
    """Traces of @calls hypercalls at least."""
    traces = []
    if lane == 'strict':
        calls //= 4
    while calls > 0:
        traces.append(trace(lane, seed, len(traces)))
        calls -= t.count(traces[-1].calls)
    return traces


def pieces(traces):
    """What one boot replays, again and again."""
    return [traces[start:start + _PIECE] for start in range(0, len(traces), _PIECE)]


def place(lane, cfg, traces=()):
    """Where Xen is, not yet entered; @traces are those that are to be replayed there."""
    return {'dom0': lanes.Dom0, 'domu': lanes.DomU, 'strict': lanes.Strict}[lane](cfg, [t.module(piece) for piece in pieces(traces)])


def on_xen(xen, traces):
    """All outcomes, in pieces of a boot each."""
    found = {}
    for piece in pieces(traces):
        found |= lanes.replay(xen, piece)
        stage(f'{xen.name}: {len(found)} of {len(traces)} traces')
    return found


def differing(one, other):
    """Numbers of traces of which @one, Xen, does not say what @other does."""
    return sorted(n for n in one if n not in other or one[n] != other[n] or not one[n].lost_as(other[n]))


def differing_from(xen, model, traces):
    """
    (numbers, text): what the model has another outcome for than @xen. A trace that the model's replay does not survive is one
    of them, and the last that is known of.
    """
    try:
        return differing(xen, lanes.replay(model, traces)), ''
    except lanes.Cut as cut:
        had = {n: xen[n] for n in cut.outcomes}
        return sorted({*differing(had, cut.outcomes), cut.number}), f'; the replay ended early in {cut}'


def told_difference(cfg, lane, traces):
    """
    What one of @traces shows that the model has another outcome for than Xen: told by TRACE_SOUND, a replayer whose model agrees with
    the log, and so says what Xen said.
    """
    sound = os.environ.get('TRACE_SOUND')
    for trace in traces[:_SHOWN] if sound else ():
        said = tell.difference(*(lanes.told(lanes.Model(cfg, lane, program=program), [trace]) for program in (sound, None)))
        if said:
            return f'; trace {trace.number}, {said}'
    return ''


def explain(xen, model, trace):
    """A difference, as short as it gets, as two programs with their results."""
    def had(where, traces):
        """Hundreds of traces that lose frames may be too many for a boot: then what came before the end."""
        try:
            return lanes.replay(where, traces)
        except lanes.Cut as cut:
            return cut.outcomes

    def bad(traces):
        one, other = had(xen, traces), had(model, traces)
        return differing({n: one[n] for n in one if n in other}, other)
    small = shrink(trace, bad)
    for where in (xen, model):
        text = lanes.told(where, [small])
        lines = text[text.find(f'trace {small.number} is'):].split('\n')
        end = next((n for n, line in enumerate(lines) if line.startswith('traces end')), len(lines))
        print(f'{where.name}:')
        print('\n'.join(line for line in lines[:end] if not _HASH.match(line)))


def report(lane, coverage, least, path):
    """The coverage goes to a file; what it lacks is said. Returns how many things it lacks."""
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(coverage.table()) + '\n')
    lacks = coverage.frequent() + coverage.rare(least) if lane in FULL else []
    print(f'{lane}: {coverage.calls} calls, {len(coverage.results)} cells in {path}; {coverage.shares()}')
    for lack in lacks:
        print(f'{lane}: BAD: {lack}')
    return len(lacks)


def counters(cfg, lane):
    """Where the model's branches are counted."""
    return os.path.abspath(os.path.join(cfg.build, 'logs', f'diff-{lane}.counters'))


def check(lane, cfg, seed, calls):
    """The number of traces that differ, and of what they lack."""
    traces = written(lane, seed, calls)
    coverage = Coverage(lane != 'domu')
    shutil.rmtree(counters(cfg, lane), ignore_errors=True)
    with place(lane, cfg, traces) as xen:
        model = lanes.Model(cfg, lane, counters(cfg, lane))
        wrong, lost, might = [], 0, 0
        done = 0
        for piece in pieces(traces):
            found, modelled = lanes.replay(xen, piece), lanes.replay(model, piece)
            classes = iter(model.classes)
            for one in piece:
                coverage.add(one, modelled[one.number].letters, classes)
            wrong += differing(found, modelled)
            lost += sum(found[n].lost != modelled[n].lost for n in found)
            might += sum(modelled[n].may_lose != '' for n in found)
            done += len(piece)
            stage(f'{lane}: {done} of {len(traces)} traces, {len(wrong)} differ')
        lacks = report(lane, coverage, calls // 10000, os.path.join(cfg.build, 'logs', f'diff-{lane}.coverage'))
        for n in wrong[:_SHOWN]:
            explain(xen, lanes.Model(cfg, lane), traces[n])
    print(f'{lane}: {len(wrong)} of {len(traces)} traces differ, seed {seed}: {wrong[:20]}; '
          f'in {lost} of {might} Xen was preempted where it loses a reference')
    return len(wrong) + lacks


def check_branches(cfg, more):
    """The number of functions of the model with branches that are or are not taken against docs/model.md."""
    wrong, total, taken = branches.lacks(branches.counted(cfg.build, [counters(cfg, lane) for lane in LANES]),
                                         branches.listed(), more)
    print('\n'.join([*wrong, f'model: {taken} of {total} branches taken']))
    return len(wrong)


def twice(lane, cfg, seed, calls):
    traces = written(lane, seed, calls)
    with place(lane, cfg, traces) as xen:
        wrong = differing(on_xen(xen, traces), on_xen(xen, traces))
    print(f'{lane}: {len(wrong)} of {len(traces)} traces differ from themselves: {wrong[:20]}')
    return len(wrong)


def record(lane, cfg, seed, calls):
    """A line for what the log is of, then one a trace."""
    traces = written(lane, seed, calls)
    with place(lane, cfg, traces) as xen:
        found = on_xen(xen, traces)
    lines = [f'{lane} seed {seed} calls {calls} module {t.checksum(traces):08x}']
    lines += [f'{n} {o.hash} {o.letters} {o.lost}'.rstrip() for n, o in sorted(found.items())]
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, f'{lane}.gz'), 'wb') as f:
        f.write(gzip.compress(('\n'.join(lines) + '\n').encode(), mtime=0))
    return 0


def recorded(cfg):
    """The number of recorded traces that the model has another outcome for, or that are no longer those."""
    wrong = 0
    print('1..2')
    for lane in FULL:
        with gzip.open(os.path.join(LOGS, f'{lane}.gz'), 'rt') as f:
            head, *lines = f.read().splitlines()
        _, _, seed, _, calls, _, module = head.split()
        traces = written(lane, int(seed), int(calls))
        if f'{t.checksum(traces):08x}' != module:
            print(f'not ok {lane}_recorded: the generator writes other traces now: record them anew')
            wrong += 1
            continue
        xen = {int(n): lanes.Outcome(*rest) for n, *rest in (line.split() for line in lines)}
        bad, why = differing_from(xen, lanes.Model(cfg, lane), traces)
        told = told_difference(cfg, lane, [traces[n] for n in bad])
        print(f'{"not " if bad else ""}ok {lane}_recorded: {len(bad)} of {len(traces)} traces differ {bad[:20]}{why}{told}')
        wrong += len(bad)
        if told:
            break
    return wrong


def show(lane, cfg, seed, numbers):
    traces = [trace(lane, seed, n) for n in numbers]
    if os.environ.get('MODEL'):
        print(lanes.told(lanes.Model(cfg, lane), traces))
        return 0
    with place(lane, cfg) as xen:
        print(lanes.told(xen, traces))
    return 0


def main():
    cfg = config.from_environment()
    seed, calls = number('SEED', 1), number('CALLS', _CALLS)
    command, *words = sys.argv[1:] or ['recorded']
    if command == 'recorded':
        return 1 if recorded(cfg) else 0
    if command == 'module' and len(words) == 2:
        sys.stdout.buffer.write(t.module([trace(words[0], seed, n) for n in range(int(words[1]))]))
        return 0
    if command == 'show' and len(words) > 1:
        return show(words[0], cfg, seed, [int(word) for word in words[1:]])
    if command not in ('check', 'twice', 'record'):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = 0
    for lane in words or (LANES if command == 'check' else FULL):
        try:
            wrong += {'check': check, 'twice': twice, 'record': record}[command](lane, cfg, seed, calls)
        except lanes.Cut as e:
            print(f'{lane}: {e}')
            print('\n'.join(e.text.split('\n')[-12:]))
            wrong += 1
    if command == 'check' and not words:
        wrong += check_branches(cfg, calls > _CALLS)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
