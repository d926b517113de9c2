# SPDX-License-Identifier: MIT
"""
Lane smoke: Pinion on bare QEMU, without Xen. It has to refuse: one clear sentence on the serial
port, and an exit status of its own through the isa-debug-exit device (docs/console.md).
"""

import os
import time

import verdict as verdicts
from ktap import TestResult, text
from live import Screen, stage
from qemu import Qemu

SENTENCE = b'Pinion needs Xen PV: boot it as a domU of type = "pv", or as Xen\'s initial domain.'
_STATUS = 85  # isa-debug-exit makes (value << 1) | 1 of 0x2a
_LIMIT = 20
MEMORIES = (16, 256, 5120)


def _boot(cfg, memory, serial_log, quiet):
    """(TestResult, word) of one boot with `memory` MiB."""
    screen = Screen(cfg.verbose, quiet=quiet)
    arguments = ['-m', str(memory), '-kernel', cfg.kernel,
                 '-device', 'isa-debug-exit,iobase=0xf4,iosize=4']
    if cfg.cmdline:
        arguments += ['-append', cfg.cmdline]
    log = b''
    start = time.monotonic()
    with Qemu(cfg, arguments, serial_log) as qemu:
        while (data := qemu.pump(0.1)) is not None:
            log += data
            screen.feed(data)
            if time.monotonic() > start + _LIMIT:
                return _result(memory, 'HANG', f'no end in {_LIMIT} s')
        status = qemu.status()
        complaint = qemu.complaint()
    screen.close()
    said = [line.rstrip(b'\r') for line in log.split(b'\n')]
    # The firmware speaks first, on the same line or not; what counts is how often we do.
    if sum(line.endswith(SENTENCE) for line in said) != 1:
        last = text(said[-2] if len(said) > 1 else said[-1])
        return _result(memory, 'FAILURE', f'the sentence is not there: {last} {complaint}')
    if status != _STATUS:
        return _result(memory, 'FAILURE', f'exit status {status}, not {_STATUS}')
    return _result(memory, 'SUCCESS', '')


def _result(memory, word, why):
    outcome = 'pass' if word == 'SUCCESS' else 'fail'
    return TestResult(f'refuses_{memory}M', outcome, why), word


def run(cfg, quiet=False, memories=MEMORIES):
    """Boots with each of `memories` (MiB): the Verdict."""
    logs = cfg.logs('smoke')
    tests, words = [], []
    for memory in memories:
        test, word = _boot(cfg, memory, os.path.join(logs, f'serial-{memory}M.log'), quiet)
        stage(f'smoke {memory} MiB: {word} {test.message}'.rstrip())
        tests.append(test)
        words.append(word)
    word = verdicts.worst(words)
    guilty = next((test for test, w in zip(tests, words) if w == word != 'SUCCESS'), None)
    return verdicts.Verdict(word, f'{guilty.name}: {guilty.message}' if guilty else '', tests,
                            lane='smoke', plan=len(tests))
