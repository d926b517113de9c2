# SPDX-License-Identifier: MIT
"""
What is told at the end, and what is added up over lanes.

Each lane leaves build/logs/counts/LANE.json; `rig.py total` makes the one line of `make check` of
them. A case that is expected to fail counts as one test, passed when it failed as it should.
"""

import json
import os
import re

import symbolise
import verdict as verdicts
from ktap import TestResult, restore, text

_LINES = 40
_XEN_LINES = 30
_TAIL = 15
# QEMU's registers: rip as symbolise.py knows it, and without those that a kernel has no use for.
_RIP = re.compile(r'\bRIP=([0-9a-f]+)')
_IDLE = re.compile(r'^(?:FPR|XMM|FCW|DR[0-9]).*\n?', re.M)


def guest_text(log, lane):
    """The guest's own lines of a log, as text."""
    lines, tail = restore(log, lane)
    return '\n'.join(text(line) for line in [*lines, tail])


def crash_report(cfg, log, lane, files=None):
    """
    What there is to say of a guest that crashed or hung, as text with addresses named: its own
    report, or else its last lines; registers and stack by xenctx; what Xen said.
    """
    lines = guest_text(log, lane).split('\n')
    own = [line for line in lines if line.startswith('panic: ')]
    said = [line for line in lines if not line.startswith('V ')]
    parts = ['--- the guest'] + (own or said[-_TAIL:])
    for name in ('xenctx', 'registers'):
        if files and name in files:
            found = _RIP.sub(r'rip: \1', files[name].decode(errors='replace'))
            parts += [f'--- {name}'] + _IDLE.sub('', found).split('\n')[:_LINES]
    # What Xen said before the guest came up is not about the guest.
    dmesg = (files or {}).get('dmesg') or log.partition(b'Pinion ')[2]
    xen = [line.rstrip() for line in dmesg.decode(errors='replace').split('\n')
           if re.match(r'\((XEN|d[0-9]+)\)', line)]
    if xen:
        parts += ['--- Xen'] + xen[-_XEN_LINES:]
    return symbolise.symbolise('\n'.join(parts), cfg.kernel)


def finish(logs, cases):
    """Writes junit.xml of {case: Verdict} to the directory `logs`."""
    verdicts.write_junit(os.path.join(logs, 'junit.xml'), cases)


def _counts_dir(cfg):
    return os.path.join(cfg.build, 'logs', 'counts')


def count(cfg, lane, passed, failed, skipped, seconds):
    """Notes a lane's counts for total()."""
    os.makedirs(_counts_dir(cfg), exist_ok=True)
    with open(os.path.join(_counts_dir(cfg), f'{lane}.json'), 'w', encoding='utf-8') as f:
        json.dump({'lane': lane, 'passed': passed, 'failed': failed, 'skipped': skipped,
                   'seconds': round(seconds, 1), 'order': len(os.listdir(_counts_dir(cfg)))}, f)


def start(cfg):
    """Forgets the counts of an earlier `make check`."""
    if os.path.isdir(_counts_dir(cfg)):
        for name in os.listdir(_counts_dir(cfg)):
            os.unlink(os.path.join(_counts_dir(cfg), name))


def total(cfg, lanes):
    """
    Prints each lane's seconds, then `N passed, N failed, N skipped` over all; returns the exit
    status. A lane of `lanes` that left no counts is a failure: it did not finish.
    """
    found = {}
    if os.path.isdir(_counts_dir(cfg)):
        for name in os.listdir(_counts_dir(cfg)):
            with open(os.path.join(_counts_dir(cfg), name), encoding='utf-8') as f:
                found[name.removesuffix('.json')] = json.load(f)
    for lane in lanes:
        found.setdefault(lane, {'lane': lane, 'passed': 0, 'failed': 1, 'skipped': 0, 'seconds': 0,
                                'order': 99, 'note': '  (it left no counts)'})
    for lane in sorted(found.values(), key=lambda lane: lane['order']):
        print('{lane:8} {seconds:6.1f} s  {passed} passed, {failed} failed, {skipped} skipped'
              .format(**lane) + lane.get('note', ''))
    passed, failed, skipped = (sum(lane[key] for lane in found.values())
                               for key in ('passed', 'failed', 'skipped'))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 0 if passed and not failed else 1


def as_one_test(name, sentences):
    """The Verdict that stands for a case which was to come out as it did, or did not."""
    test = TestResult(name, 'fail' if sentences else 'pass', '; '.join(sentences))
    return verdicts.Verdict('FAILURE' if sentences else 'SUCCESS', test.message, [test])
