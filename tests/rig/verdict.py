#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The judge: a guest's console log, and how its run ended, in; one word out.

docs/console.md is the law. The judge believes SUCCESS only when everything a finished run must say
stands in the log, once, in order, in agreement with itself and with this run's nonce:

    Pinion VERSION: nonce=... xen=... flags=... nr_pages=... mfn0=...     identity ─────────┐
    KTAP version 1                                                                          │
    1..N                       plan ── equals ── number of results                          │
    # run NAME                 ─┐ same name                                                 │ same
    ok I NAME                  ─┘ I is 1, 2, 3, ... N                                       │
    P passed, F failed, S skipped      equal to what was counted                            │
    Test result: WORD nonce=... xen=... flags=... nr_pages=... mfn0=...   identity ─────────┘
    (nothing)                                                      and then an orderly end

Whatever else is found is a fault (ktap.py). Faults are collected, never acted upon at once, and the
worst word wins. So a line that is lost, repeated, swapped or altered can only make a verdict worse;
what no rule looks at is free-form log text.

Judging is a pure function of its arguments; write_junit() and the command line alone do I/O.
"""

import argparse
import dataclasses
import pathlib
import sys
import xml.etree.ElementTree as ET

import ktap
from ktap import Fault, TestResult, text

EXIT = {'SUCCESS': 0, 'FAILURE': 1, 'ERROR': 2, 'SKIP': 3, 'CRASH': 4, 'HANG': 5, 'CUT': 6,
        'RIG': 7}
WORST_FIRST = ('RIG', 'CRASH', 'HANG', 'CUT', 'ERROR', 'FAILURE', 'SUCCESS', 'SKIP')

# How a run can end: the shutdown reasons of Xen; a limit of the rig; the domain or QEMU vanished.
ENDS = ('poweroff', 'reboot', 'suspend', 'crash', 'timeout', 'silence', 'gone')

FAULTS_SHOWN = 8  # in a summary; a broken log breaks many rules at once


@dataclasses.dataclass
class Verdict:
    """
    What a run (or several, merged) came to.

    last_test  the test that was running when the log ended
    identity   the first line's fields as printed, nonce xen flags nr_pages mfn0
    plan       the number of tests that the guest announced
    faults     what is wrong with the run as a whole, one sentence each, and no single test's fault
    """
    word: str
    reason: str = ''
    tests: list[TestResult] = dataclasses.field(default_factory=list)
    last_test: str | None = None
    identity: dict[str, str] | None = None
    plan: int | None = None
    lane: str = ''
    faults: list[str] = dataclasses.field(default_factory=list)

    def _count(self, *outcomes):
        return sum(test.outcome in outcomes for test in self.tests)

    @property
    def passed(self):
        return self._count('pass')

    @property
    def failed(self):
        return self._count('fail', 'error')

    @property
    def skipped(self):
        return self._count('skip')


def worst(words):
    """The worst of some words."""
    return min(words, key=WORST_FIRST.index)


def _find_first(lines, lane):
    """(number of the line after the first line, identity or None, faults)"""
    for number, line in enumerate(lines):
        match = ktap.FIRST.search(line)
        if match:
            chatter = number or match.start()
            faults = [Fault('CUT', 'text before the first line')] \
                if chatter and lane not in ktap.SHARED_SERIAL else []
            return number + 1, ktap.identity_of(match.groups()), faults
    return 0, None, [Fault('CUT', 'no first line')]


def _end_fault(reader, ended, expect_end):
    """The fault, or None, in how the run ended, given what had been said by then."""
    panic = f', after "{reader.panic}"' if reader.panic else ''
    if reader.last:
        expected = {None: ('poweroff', 'reboot'), 'idle': ('timeout', 'silence')}
        if ended in expected.get(expect_end, (expect_end,)):
            return None
        where = 'after its last line'
    else:
        where = 'no last line'
    test = reader.running
    if ended == 'crash':
        words = where if reader.last else f'last: {text(reader.last_words)}'
        return Fault('CRASH', reader.panic or f'killed without a word ({words})', test)
    if ended in ('timeout', 'silence'):
        limit = 'time limit' if ended == 'timeout' else 'silence'
        return Fault('HANG', f'{limit}, {where}{panic}', test)
    word = 'ERROR' if reader.last and ended != 'gone' else 'CUT'
    return Fault(word, f'{where}, ended by {ended}{panic}', test)


def _memory(identity, mem):
    """The bytes that a guest could use: its own, as far as mem= allowed; None if unknown."""
    own = int(identity['nr_pages']) << 12 if identity else None
    limit = ktap.size(mem or '')
    return own if own is None or limit is None else min(own, limit)


def judge(log, nonce, *, lane, ended, expect_end=None, skips=None, mem=None):
    """
    The verdict on one boot.

    log         the bytes of the console, as captured
    nonce       what this run passed as nonce=; None believes the log's own (for logs judged by hand)
    lane        'dom0', 'domu', ...: where Xen's lines may cut in, and which skips are allowed
    ended       one of ENDS, and not from the log: the shutdown reason, or the limit that was hit
    expect_end  what exit= asked for ('idle' expects a limit); None: poweroff or reboot
    skips       ktap.parse_skips() of another table than tests/rig/skips
    mem         what mem= allowed the guest of its memory ('16M'); None: all of it

    Raises ValueError for an unknown `ended`.
    """
    if ended not in ENDS:
        raise ValueError(f'unknown end {ended!r}')
    lines, tail = ktap.restore(log, lane)
    start, identity, faults = _find_first(lines, lane)
    if lane == 'dom0' and identity is None and b'(XEN)' not in log:
        faults.append(Fault('RIG', 'Xen never came up'))
    if nonce is not None and identity is not None and identity['nonce'] != nonce:
        # Another run's log: nothing in it is evidence.
        faults.append(Fault('CUT', f"the log's nonce is {identity['nonce']}, this run's {nonce}"))
        lines, tail, identity = [], b'', None
    reader = ktap.Reader(lines[start:], tail, lane, ktap.SKIPS if skips is None else skips,
                         _memory(identity, mem))

    end = _end_fault(reader, ended, expect_end)
    if reader.last:
        reader.close(identity, nonce)
    own = reader.word()
    faults += ([end] if end else []) + reader.faults
    word = worst([own] + [fault.word for fault in faults])
    reasons = [fault.sentence for fault in faults if fault.word == word]
    guilty = {'FAILURE': 'fail', 'ERROR': 'error'}.get(word)
    if own == word and guilty:
        reasons.insert(0, _few(', ', [test.name for test in reader.tests
                                      if test.outcome == guilty]))
    if word == 'SKIP':
        reasons.append('every test was skipped' if reader.tests else 'no test was asked for')
    tests = reader.tests
    if end and end.test:
        notes = [f'{end.word}: {end.sentence}', *reader.notes]
        tests = tests + [TestResult(end.test, 'error', '\n'.join(notes))]
    return Verdict(word, _few('; ', reasons), tests, reader.running, identity, reader.plan, lane,
                   [fault.sentence for fault in faults if not fault.test])


def _few(separator, items):
    more = [f'and {len(items) - 3} more'] if len(items) > 3 else []
    return separator.join(items[:3] + more)


def merge(verdicts):
    """
    One verdict for boots that continue each other by after=NAME: the worst word and that boot's
    reason, and the tests of all.
    """
    if not verdicts:
        return Verdict('RIG', 'no boot to judge')
    word = worst(verdict.word for verdict in verdicts)
    guilty = next(verdict for verdict in verdicts if verdict.word == word)
    first = verdicts[0]
    merged = dataclasses.replace(
        guilty, lane=first.lane, plan=first.plan,
        identity=next((v.identity for v in verdicts if v.identity), None),
        tests=[test for verdict in verdicts for test in verdict.tests],
        faults=[sentence for verdict in verdicts for sentence in verdict.faults])
    never = (first.plan or 0) - len(merged.tests)
    if never > 0:
        merged.faults.append(f'{never} of {first.plan} tests never ran')
    return merged


def verdict_line(verdict):
    """The rig's last line, `LANE: WORD: ...`."""
    return ': '.join(filter(None, (verdict.lane, verdict.word, verdict.last_test, verdict.reason)))


def summary_lines(verdict):
    """What a person needs to know: counts, each failed test with its notes, faults, the word."""
    lines = [f'{verdict.passed} passed, {verdict.failed} failed, {verdict.skipped} skipped']
    for test in verdict.tests:
        if test.outcome in ('fail', 'error'):
            lines.append(f'not ok {test.name}')
            lines += [f'    {line}' for line in test.message.splitlines()]
    more = len(verdict.faults) - FAULTS_SHOWN
    lines += [f'log: {fault}' for fault in verdict.faults[:FAULTS_SHOWN]]
    lines += [f'log: and {more} more faults'] if more > 0 else []
    return lines + [verdict_line(verdict)]


def write_junit(path, cases):
    """
    JUnit XML of {case: Verdict}: a suite a case. What is nobody's single fault, and so would be lost
    among passing tests, stands as an errored test named `log`.
    """
    root = ET.Element('testsuites')
    for case, verdict in cases.items():
        tests = list(verdict.tests)
        if verdict.faults or (verdict.word not in ('SUCCESS', 'SKIP') and not verdict.failed):
            tests.append(TestResult('log', 'error', '\n'.join(
                [f'{verdict.word}: {verdict.reason}', *verdict.faults])))
        suite = ET.SubElement(root, 'testsuite', name=case, tests=str(len(tests)))
        for attribute, outcome in (('failures', 'fail'), ('errors', 'error'), ('skipped', 'skip')):
            suite.set(attribute, str(sum(test.outcome == outcome for test in tests)))
        properties = ET.SubElement(suite, 'properties')
        for key, value in {'word': verdict.word, **(verdict.identity or {})}.items():
            ET.SubElement(properties, 'property', name=key, value=value)
        for test in tests:
            element = ET.SubElement(suite, 'testcase', classname=case, name=test.name)
            if test.seconds is not None:
                element.set('time', f'{test.seconds:.3f}')
            if test.outcome != 'pass':
                tag = {'fail': 'failure', 'error': 'error', 'skip': 'skipped'}[test.outcome]
                child = ET.SubElement(element, tag, message=test.message.partition('\n')[0])
                child.text = test.message
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding='utf-8', xml_declaration=True)


def main():
    parser = argparse.ArgumentParser(description='Judges a console log of the guest.')
    parser.add_argument('--lane', default='domu')
    parser.add_argument('--nonce', help="this run's nonce (default: believe the log's)")
    parser.add_argument('--ended', default='poweroff', choices=ENDS)
    parser.add_argument('--expect-end', help='what exit= asked for (default: poweroff or reboot)')
    parser.add_argument('--skips', type=pathlib.Path, help='another table than tests/rig/skips')
    parser.add_argument('--junit', help='write JUnit XML there')
    parser.add_argument('log', help='- for standard input')
    args = parser.parse_args()
    log = sys.stdin.buffer.read() if args.log == '-' else pathlib.Path(args.log).read_bytes()
    skips = ktap.parse_skips(args.skips.read_text('utf-8')) if args.skips else None
    verdict = judge(log, args.nonce, lane=args.lane, ended=args.ended, expect_end=args.expect_end,
                    skips=skips)
    if args.junit:
        write_junit(args.junit, {args.lane: verdict})
    print('\n'.join(summary_lines(verdict)))
    return EXIT[verdict.word]


if __name__ == '__main__':
    sys.exit(main())
