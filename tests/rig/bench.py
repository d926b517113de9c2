# SPDX-License-Identifier: MIT
"""
`make bench`: what work costs a domU, in instructions, its own and Xen's together.

With -icount QEMU's clock goes one nanosecond an instruction, and the guest's TSC follows it at 1 GHz if
the domain has tsc_mode = "native" (else Xen traps each rdtsc). So figures repeat, whatever else the
machine does. The guest checks that itself, by a loop of known length.

Lines `bench NAME VALUE UNIT` of the guest become build/bench.tsv. tests/bench-baseline.tsv has lines NAME VALUE UNIT, and
a fourth word where there is a target. A baseline may not be exceeded by more than 3 %; a target that is not reached
is only pointed out, and docs/pv-mmu.md says why.
"""

import os
import re

import config
import dom0
import lane_domu
import report
from config import TOP

_ICOUNT = '-icount shift=0,sleep=off'
_LINE = re.compile(r'^bench ([a-z0-9_]+) ([0-9]+(?:\.[0-9]+)?) (\S+)$', re.M)
_SLACK = 1.03


def table(path, column):
    """{name: figure} of a file of lines NAME VALUE UNIT [TARGET]: those that have something in @column."""
    with open(path, encoding='utf-8') as f:
        return {words[0]: float(words[column]) for line in f
                if len(words := line.split()) > column and not line.startswith('#')}


def too_slow(figures, limits):
    """Sentences on figures ({name: (value, unit)}) over their baseline, or not there at all."""
    said = [f'{name}: {value} {unit}, baseline {limits[name]:g}'
            for name, (value, unit) in figures.items()
            if name in limits and float(value) > limits[name] * _SLACK]
    return said + [f'{name}: no figure' for name in limits if name not in figures]


def row(name, value, unit, limit, target):
    """One figure beside its baseline and its target, each of which may be None."""
    words = f'{name:28} {value:>12} {unit:18}'
    if limit is not None:
        words += f' baseline {limit:<12g}'
    if target is not None:
        words += f' target {target:g}{", not reached" if float(value) > target else ""}'
    return words.rstrip()


def run(cfg, say):
    """Runs and compares; returns the exit status. `say` prints a Verdict and gives its status."""
    cfg = config.replace(cfg, qemu_args=f'{cfg.qemu_args} {_ICOUNT}')
    logs = cfg.logs('bench')
    case = lane_domu.Case('bench', memory=cfg.memory, cmdline=f'bench {cfg.cmdline}',
                          cfg='tsc_mode = "native"', time=cfg.time, silence=cfg.silence)
    with dom0.QemuDom0(cfg, logs, cfg.memory) as place:
        verdict, kept = lane_domu.run(place, case, 'domu', logs, lane_domu.plain_screen(cfg))
    report.finish(logs, {'bench': verdict})
    text = report.guest_text(kept.get('guest.log', b''), 'domu')
    figures = {name: (value, unit) for name, value, unit in _LINE.findall(text)}
    with open(os.path.join(cfg.build, 'bench.tsv'), 'w', encoding='utf-8') as f:
        f.writelines(f'{name}\t{value}\t{unit}\n' for name, (value, unit) in figures.items())
    path = os.path.join(TOP, 'tests', 'bench-baseline.tsv')
    limits, targets = table(path, 1), table(path, 3)
    sentences = too_slow(figures, limits)
    for name, (value, unit) in figures.items():
        print(row(name, value, unit, limits.get(name), targets.get(name)))
    print('\n'.join(sentences) if sentences else 'no figure is over its baseline by more than 3 %')
    return say(verdict) or (1 if sentences else 0)
