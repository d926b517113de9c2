# SPDX-License-Identifier: MIT
"""
Lane smoke: bare QEMU, no Xen at all.

    qemu -kernel smoke.elf -initrd pinion.elf -append "memory=128M -- command line"    run()
    qemu -kernel smoke.elf -initrd smoke-guest.elf                                      second()
    qemu -kernel pinion.elf                                                             refuse()

run(): the guest, unmodified, on the hypervisor of tests/smoke: Xen's rules as the model has them, the CPU
walking the guest's tables. It is the guest's dom0, so its console is the serial line. How the guest ended says
QEMU's exit status, by the isa-debug-exit device.

second(): another guest (tests/smoke/guest), for what the first does not ask of its hypervisor, user mode above all.

refuse(): the kernel alone. It has to say one clear sentence on the serial port, and to end QEMU with
a status of its own (docs/console.md).
"""

import os
import re
import time

import lane_dom0
import verdict as verdicts
from config import RigError
from ktap import TestResult, text
from live import Screen, stage
from qemu import Qemu

_DEBUG_EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4']

# tests/smoke/report.c gives the device 16 + SHUTDOWN_*, and QEMU doubles it and adds 1.
_ENDED = {33: 'poweroff', 35: 'reboot', 37: 'suspend', 39: 'crash'}
# Every how many hypercalls the model checks itself.
_CHECK = 1000
_PANIC = 63  # the hypervisor's own
_SECOND = re.compile(r'second guest: [1-9][0-9]* checks, 0 failed')

SENTENCE = b'Pinion needs Xen PV: boot it as a domU of type = "pv", or as Xen\'s initial domain.'
_STATUS = 85  # isa-debug-exit makes (value << 1) | 1 of 0x2a
_LIMIT = 20
MEMORIES = (16, 256, 5120)


def _arguments(cfg, cmdline, guest=None):
    # What the hypervisor takes for itself, and a heap for the guest to ask of.
    machine = cfg.memory + 64 + cfg.memory // 16
    words = f'memory={cfg.memory}M check={_CHECK} {cfg.xen_args} -- {cmdline}'
    return ['-m', str(machine), '-kernel', cfg.hypervisor, '-initrd', guest or cfg.kernel,
            '-append', words] + _DEBUG_EXIT


def _ended(qemu, log):
    """
    How QEMU, which is gone, says that the guest ended: (one of verdict.ENDS, a note). A panic of the hypervisor is
    nothing that the guest did: RigError.
    """
    status = qemu.status()
    if status == _PANIC:
        lines = re.findall(rb'((?:\(XEN\) panic|model): [^\r\n]*)', log)
        raise RigError(text(b'; '.join(lines[-3:])) or 'the hypervisor has panicked')
    return _ENDED.get(status, 'gone'), qemu.complaint()


def boot(cfg, serial_log, cmdline, screen, _smp=None):
    """One boot of the guest with the command line as it is: lane_dom0.Ended."""
    log, over = b'', False
    start = last = time.monotonic()
    with Qemu(cfg, _arguments(cfg, cmdline), serial_log) as qemu:
        while (data := qemu.pump(0.1)) is not None:
            log += data
            now = time.monotonic()
            for line in screen.feed(data):
                last = now
                over = over or line.startswith(('Test result: ', 'panic: end'))
            limit = 'timeout' if now > start + cfg.time else \
                'silence' if now > last + (lane_dom0.GRACE if over else cfg.silence) else None
            if limit:
                return lane_dom0.Ended(log, limit, registers=qemu.registers())
        ended, note = _ended(qemu, log)
    return lane_dom0.Ended(log, ended, note)


def run(cfg, name='smoke', **kwargs):
    """The guest until every test had its turn: as lane_dom0.run()."""
    return lane_dom0.run(cfg, name, lane='smoke', boot_one=boot, **kwargs)


def second(cfg, quiet=False):
    """The second guest's own checks: a Verdict of one test."""
    logs, screen = cfg.logs('second'), Screen(cfg.verbose, shared=True, quiet=quiet)
    log, lines, deadline = b'', [], time.monotonic() + _LIMIT
    guest = os.path.join(cfg.build, 'smoke-guest.elf')
    word, why = 'HANG', f'no end in {_LIMIT} s'
    with Qemu(cfg, _arguments(cfg, '', guest), os.path.join(logs, 'serial.log')) as qemu:
        while time.monotonic() < deadline:
            data = qemu.pump(0.1)
            if data is None:
                ended, why = _ended(qemu, log)
                good = ended == 'poweroff' and lines and _SECOND.fullmatch(lines[-1])
                word, why = ('SUCCESS', '') if good else ('FAILURE', why or f'ended by {ended}')
                break
            log += data
            lines += screen.feed(data)
    failed = [line for line in lines if ': got ' in line]
    test = TestResult('second_guest', 'pass' if word == 'SUCCESS' else 'fail',
                      '\n'.join([why, *failed]).strip())
    stage(f'second guest: {word} {test.message}'.rstrip())
    return verdicts.Verdict(word, test.message, [test], lane='second', plan=1)


def _refuse(cfg, memory, serial_log, quiet):
    """(TestResult, word) of one boot with `memory` MiB."""
    screen = Screen(cfg.verbose, quiet=quiet)
    arguments = ['-m', str(memory), '-kernel', cfg.kernel] + _DEBUG_EXIT
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


def refuse(cfg, quiet=False, memories=MEMORIES):
    """Boots the kernel alone with each of `memories` (MiB): the Verdict."""
    logs = cfg.logs('bare')
    tests, words = [], []
    for memory in memories:
        test, word = _refuse(cfg, memory, os.path.join(logs, f'serial-{memory}M.log'), quiet)
        stage(f'bare {memory} MiB: {word} {test.message}'.rstrip())
        tests.append(test)
        words.append(word)
    word = verdicts.worst(words)
    guilty = next((test for test, w in zip(tests, words) if w == word != 'SUCCESS'), None)
    return verdicts.Verdict(word, f'{guilty.name}: {guilty.message}' if guilty else '', tests,
                            lane='bare', plan=len(tests))
