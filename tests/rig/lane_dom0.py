# SPDX-License-Identifier: MIT
"""
Lane dom0: Pinion as Xen's initial domain, straight from QEMU.

    qemu -kernel xen -initrd "pinion.elf command line"      no disk, no dom0 Linux: seconds

Output goes through console_io to the machine's serial line, where lines of Xen cut in. exit=reboot
with QEMU's -no-reboot makes QEMU end by itself; how the guest ended is taken from what Xen says of
its hardware domain, which is a hint and no more: the judge has the last word.
"""

import dataclasses
import os
import re
import time

import images
import ktap
import verdict as verdicts
from config import fresh_nonce, option
from live import Screen, stage
from qemu import Qemu

# hwdom_shutdown() in Xen's common/shutdown.c prints these.
_HINTS = ((re.compile(rb'\(XEN\) Hardware Dom0 halted'), 'poweroff'),
          (re.compile(rb'\(XEN\) Hardware Dom0 shutdown'), 'reboot'),
          (re.compile(rb'\(XEN\) Hardware Dom0 crashed'), 'crash'))
GRACE = 3  # seconds from the guest's last word to its end
_FLUSH = 0.3  # seconds without a byte, after which no more are on their way
REBOOTS = 12  # boots by after=NAME for one verdict at most


@dataclasses.dataclass
class Ended:
    """What the rig saw of one boot: the log, how it ended, seconds."""
    log: bytes
    ended: str
    note: str = ''
    registers: str = ''


def _xen_arguments(cfg):
    # The guest's console is Xen's serial line: where QEMU has no time to take what is written, Xen
    # keeps as much as the buffer holds and drops the rest. 16 KiB, its default, are not enough.
    return (f'console=com1 com1=115200,8n1 serial_tx_buffer=1M loglvl=all guest_loglvl=all '
            f'dom0_mem={cfg.memory}M,max:{cfg.memory}M dom0_max_vcpus={cfg.vcpus} '
            f'{cfg.xen_args}').strip()


def _arguments(cfg, cmdline, smp):
    # Xen's own needs, its heap among them, and a page table's worth for each of the guest's.
    machine = cfg.memory + 192 + cfg.memory // 32
    modules = f'{cfg.kernel} {cmdline}'.replace(',', ',,')
    if cfg.module:
        modules += f',{cfg.module}'
    return ['-m', str(machine), '-smp', str(smp), '-kernel', images.hypervisor(cfg),
            '-append', _xen_arguments(cfg), '-initrd', modules]


def _said(log):
    """How the log says that the boot ended, by Xen's words or the guest's own; or None."""
    for pattern, ended in _HINTS:
        if pattern.search(log):
            return ended
    return 'crash' if b'\npanic: end' in log else None


def boot(cfg, serial_log, cmdline, screen, smp=None):
    """One boot with the command line as it is; `serial_log` is where the log goes."""
    log, over, dead = b'', None, None
    start = last = heard = time.monotonic()
    with Qemu(cfg, _arguments(cfg, cmdline, smp or cfg.vcpus), serial_log) as qemu:
        while True:
            data = qemu.pump(0.1)
            if data is None:
                # QEMU ended by itself, which -no-reboot makes of a reboot, whoever asked for it.
                # After the guest's last line it was the guest, even if Xen was told to be silent.
                ended = _said(log) or ('reboot' if over and qemu.status() == 0 else 'gone')
                return Ended(log, ended, qemu.complaint() if ended == 'gone' else '')
            log += data
            now = time.monotonic()
            for line in screen.feed(data):
                last = now
                if line.startswith(('Test result: ', 'panic: end')):
                    over = over or now
            said = _said(log)
            if said in ('poweroff', 'crash'):
                # Xen halts now, or waits five seconds before it reboots. The guest's last bytes may
                # still be on their way: Xen's own overtake them. So the line has to be quiet for a
                # while, and the guest's last line whole.
                dead = dead or now
                heard = now if data else heard
                whole = not ktap.restore(log, 'dom0')[1]
                if now > heard + _FLUSH and (whole or now > dead + GRACE):
                    return Ended(log, said)
                continue
            limit = 'timeout' if now > start + cfg.time else \
                'silence' if now > last + (cfg.silence if over is None else GRACE) else None
            if limit:
                return Ended(log, limit, registers=qemu.registers())


def run(cfg, name, quiet=False, smp=None, reboots=REBOOTS, lane='dom0', boot_one=boot):
    """
    Boots the guest until every test had its turn, and judges it. Returns (Verdict, Ended of
    the worst boot). `boot_one` boots it once, in `lane`: lane_smoke brings its own.

    A test that ends the guest costs one boot: the next begins after it.
    """
    logs = cfg.logs(name)
    boots, ends, after = [], [], None
    while True:
        nonce = fresh_nonce()
        words = [f'nonce={nonce}', cfg.cmdline, f'after={after}' if after else '',
                 '' if option(cfg.cmdline, 'exit') else 'exit=reboot']
        number = f'.{len(boots) + 1}' if boots else ''
        done = boot_one(cfg, os.path.join(logs, f'serial{number}.log'), ' '.join(filter(None, words)),
                    Screen(cfg.verbose, shared=True, quiet=quiet), smp)
        verdict = verdicts.judge(done.log, nonce, lane=lane, ended=done.ended,
                                 expect_end=option(cfg.cmdline, 'exit'),
                                 mem=option(cfg.cmdline, 'mem'))
        if done.note:
            stage(f'qemu: {done.note}')
        if done.registers:
            with open(os.path.join(logs, f'registers{number}.txt'), 'w', encoding='utf-8') as f:
                f.write(done.registers)
        boots.append(verdict)
        ends.append(done)
        after = next_after(verdict, after)
        if not after or len(boots) > reboots:
            merged = verdicts.merge(boots)
            return merged, next(e for v, e in zip(boots, ends) if v.word == merged.word)
        stage(f'{verdicts.verdict_line(verdict)}: booting again, after={after}')


def next_after(verdict, previous):
    """The test to go on after, when one ended the guest and others are left; else None."""
    name = verdict.last_test
    if verdict.word not in ('CRASH', 'HANG', 'CUT') or not name or name == previous:
        return None
    if verdict.plan is not None and len(verdict.tests) >= verdict.plan:
        return None
    return name
