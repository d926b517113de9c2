# SPDX-License-Identifier: MIT
"""
Many boots: what works once has to work each time, and leave nothing behind.

N boots as dom0, each on a fresh machine; N `xl create` one after another in one dom0, after which
only Domain-0 is there, as much memory is free as before, and the guests' logs say the same but for
what may differ: nonce, MFNs, counters and times.
"""

import dataclasses
import re

import lane_dom0
import lane_domu
import report
import verdict as verdicts
from dom0 import QemuDom0
from ktap import TestResult
from live import Screen, stage

# Each boot runs the suite but for its bulk: the way up, the exceptions and the way down count here.
TESTS = 'tests=-console_volume,-console_long_write'
_MAY_DIFFER = (
    (re.compile(r'\b(m(?:fn|achine)\w*[ =:]+)0x[0-9a-f]+', re.I), r'\1MFN'),
    (re.compile(r'\b[0-9]+(\.[0-9]+)?(?= ?(ns|us|ms|s|cycles|ticks|hypercalls|MHz|kHz)\b)'), 'N'),
)


def normalised(log, nonce):
    """A guest's lines without what may differ from boot to boot."""
    text = report.guest_text(log, 'domu').replace(nonce, 'NONCE')
    for pattern, stand_in in _MAY_DIFFER:
        text = pattern.sub(stand_in, text)
    return text.split('\n')


def _difference(one, other):
    """The first line in which two logs differ, as a sentence; '' if there is none."""
    for number in range(max(len(one), len(other))):
        a, b = (log[number] if number < len(log) else '(no line)' for log in (one, other))
        if a != b:
            return f'line {number + 1} is {b!r}, in the first boot {a!r}'
    return ''


def _result(name, verdict, sentence=''):
    """A boot as one test; what its verdict or a comparison holds against it is the message."""
    if verdict.word != 'SUCCESS':
        sentence = verdicts.verdict_line(verdict)
    return TestResult(name, 'fail' if sentence else 'pass', sentence)


def _as_verdict(lane, tests):
    bad = [test for test in tests if test.outcome != 'pass']
    stage(f'{lane}: {len(tests) - len(bad)} of {len(tests)}')
    reason = f'{bad[0].name}: {bad[0].message}' if bad else ''
    return verdicts.Verdict('FAILURE' if bad else 'SUCCESS', reason, tests, lane=lane)


def dom0(cfg, number):
    """N boots as dom0: {case: Verdict}."""
    tests = []
    for n in range(1, number + 1):
        one = dataclasses.replace(cfg, cmdline=f'{TESTS} {cfg.cmdline}'.strip())
        verdict, _ = lane_dom0.run(one, 'boots-dom0', quiet=True, reboots=0)
        tests.append(_result(f'dom0_{n:03}', verdict))
        if tests[-1].message:
            stage(f'dom0 boot {n}: {tests[-1].message}')
            # The log that shows it is worth more than those of the boots to come.
            break
    return {'boots-dom0': _as_verdict('dom0', tests)}


def _left_behind(first, last):
    """What N guests left in dom0, by what xl-run saw before the first and after the last."""
    sentences = []
    listed = last.get('list.after', b'').decode().split('\n')[1:]
    others = [line.split()[0] for line in listed if line and not line.startswith('Domain-0 ')]
    if others or not listed:
        sentences.append(f'xl list shows {" ".join(others) or "nothing"}')
    before = first.get('free', b'').split()[:1]
    after = last.get('free', b'').split()[-1:]
    if not before or before != after:
        sentences.append(f'free memory was {before} MiB and is {after} MiB')
    return sentences


def domu(cfg, number):
    """N domUs in one dom0: {case: Verdict}."""
    logs = cfg.logs('boots-domu')
    tests, first, first_log, files = [], None, None, {}
    with QemuDom0(cfg, logs, cfg.memory) as place:
        for n in range(1, number + 1):
            nonce = lane_domu.fresh_nonce()
            case = lane_domu.Case('boots', memory=cfg.memory, time=cfg.time, silence=cfg.silence)
            verdict, files = lane_domu.boot(place, case, 'domu', f'nonce={nonce} {TESTS}', nonce,
                                            Screen(cfg.verbose, quiet=True))
            log = normalised(files.get('guest.log', b''), nonce)
            first, first_log = first or files, first_log or log
            lane_domu.keep(logs, files, 1)
            tests.append(_result(f'domu_{n:03}', verdict, _difference(first_log, log)))
            if tests[-1].message:
                stage(f'domu boot {n}: {tests[-1].message}')
                break
    left = _left_behind(first, files)
    tests.append(TestResult('nothing_is_left', 'fail' if left else 'pass', '; '.join(left)))
    return {'boots-domu': _as_verdict('domu', tests)}
