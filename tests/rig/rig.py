#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The rig: boots Pinion on real Xen and says how it went.

    rig.py run               one guest in LANE (domu dom0 smoke bare xl); what `make run` does
    rig.py check LANE        all that the lane has to pass
    rig.py expect [LANE...]  the table of deliberate failures (tests/rig/expect)
    rig.py boots N           N boots as dom0, and N `xl create` in one dom0
    rig.py bench             benchmarks in a domU, in instructions
    rig.py matrix            dom0 lane over CPU models, CPUs and memory sizes
    rig.py start             forgets the lanes' counts
    rig.py count LANE PASSED FAILED SKIPPED SECONDS     notes those of a lane that is not the rig's
    rig.py total [LANE...]   the line `N passed, N failed, N skipped` over all lanes

Variables come by environment (config.py). The last line is `LANE: WORD: ...`, and the word decides
the exit status: 0 SUCCESS, 1 FAILURE, 2 ERROR, 3 SKIP, 4 CRASH, 5 HANG, 6 CUT, 7 RIG; interrupted
by ^C it is 130.
Every log is in build/logs/LANE or build/logs/LANE-CASE.

    config      what is asked for              lane_dom0, lane_domu, lane_smoke   how a guest is run
    deps        packages                       cases, domu-cases, expect          tables of guests
    images      what QEMU boots (cpio, elf)    verdict, ktap, skips, dumpcore     the judge
    qemu        one QEMU; hands: two of them   symbolise, report, live            what people see
    dom0        a place where xl runs; dom0/init and xl-run are its inside

To see the rig turn red, put other files into dom0: RIG_OVERLAY=DIR lays DIR over dom0's root, so
that DIR/usr/lib/xen-VERSION/bin/xl, for instance, replaces xl. tests/rig/bats-live does so.
"""

import os
import signal
import sys
import time

import bench
import boots
import cases
import config
import dom0
import dumpcore
import hands
import images
import lane_dom0
import lane_domu
import lane_smoke
import report
import verdict as verdicts
from config import RIG, Interrupted, RigError
from live import stage, took


# Seconds that `make run`, and a lane of `make check`, should take (live.took).
_AIMS = {'run': 40, 'dom0': 60, 'smoke': 30}
# MiB of a guest beside which a machine has no room for another of that size.
_LARGE = 256


def _signal(signum, _):
    raise Interrupted(128 + signum)


def _say(verdict):
    """The summary; returns the exit status."""
    print('\n'.join(verdicts.summary_lines(verdict)))
    return verdicts.EXIT[verdict.word]


def _xl_place(cfg, lane, logs, memory):
    """Where xl runs for a lane, not yet entered."""
    return dom0.LocalDom0(cfg) if lane == 'xl' else dom0.QemuDom0(cfg, logs, memory)


def _run_dom0(cfg, name, lane=lane_dom0, **kwargs):
    """A guest in the dom0 or smoke lane: (Verdict, log of the last boot, files for crash_report)."""
    verdict, done = lane.run(cfg, name, **kwargs)
    return verdict, done.log, {'registers': done.registers.encode()} if done.registers else None


def run(cfg):
    """One guest, as the variables say."""
    if cfg.lane == 'bare':
        return _say(lane_smoke.refuse(cfg, memories=(cfg.memory,)))
    logs = cfg.logs(cfg.lane)
    if cfg.lane == 'dom0':
        verdict, log, files = _run_dom0(cfg, 'dom0')
    elif cfg.lane == 'smoke':
        verdict, log, files = _run_dom0(cfg, 'smoke', lane_smoke)
    elif cfg.lane in ('domu', 'xl'):
        case = lane_domu.Case('run', memory=cfg.memory, vcpus=cfg.vcpus, cmdline=cfg.cmdline,
                              time=cfg.time, silence=cfg.silence)
        with _xl_place(cfg, cfg.lane, logs, cfg.memory) as place:
            verdict, kept = lane_domu.run(place, case, cfg.lane, logs,
                                             lane_domu.plain_screen(cfg))
        log, files = kept.get('guest.log', b''), kept
    else:
        raise RigError(f'LANE={cfg.lane}: there are domu, dom0, smoke, bare and xl')
    if verdict.word in ('CRASH', 'HANG'):
        print(report.crash_report(cfg, log, cfg.lane, files))
    report.finish(logs, {cfg.lane: verdict})
    took(cfg.lane, _AIMS.get('run'))
    return _say(verdict)


def _outcome(cfg, row, verdict, log, files, variables):
    """The Verdict on a row: the guest's own where it has to succeed, else one test for the row."""
    line = verdicts.verdict_line(verdict)
    name = row.case.name
    files = files or {}
    dmesg = files.get('dmesg', b'').decode(errors='replace')
    domid = files.get('domid', b'').decode().strip()
    row = config.replace(row, dmesg=row.dmesg.replace('{domid}', domid))
    text = report.guest_text(log, row.lane)
    sentences = cases.unmet(row, verdict, line, text, dmesg, variables)
    if row.case.dump:
        sentences += dumpcore.unmet(text, files)
    stage(f'{name}: {line}' + ''.join(f'; BUT {sentence}' for sentence in sentences))
    if sentences:
        if verdict.word in ('CRASH', 'HANG'):
            print(report.crash_report(cfg, log, row.lane, files))
        print('\n'.join(verdicts.summary_lines(verdict)))
    if row.word == 'SUCCESS' and not sentences:
        return verdict
    return report.as_one_test(name, sentences)


def _kits(place):
    """What `make dist-test` ships, run in the rig's dom0 as a user would: {case: Verdict}."""
    outcomes = {}
    for word, options in (('SUCCESS', 'tests=@boot,@p2m'), ('FAILURE', 'tests=selfcheck_fail')):
        said = []
        status = place.order(f'/rig/xl-run /rig/pinion.cfg {options}', 400, said.append)
        last = b''.join(said).decode(errors='replace').rstrip().rpartition('\n')[2]
        right = status == verdicts.EXIT[word] and last.startswith(f'xl: {word}')
        name = f'kit_{word.lower()}'
        outcomes[name] = report.as_one_test(name, [] if right else [f'{last} (status {status})'])
        stage(f'{name}: {last}')
    return outcomes


def _rows(cfg, rows, runner):
    """Runs rows one after another, later ones with what earlier ones found: {case: Verdict}."""
    outcomes, variables = {}, {}
    for row in rows:
        try:
            row = cases.filled(row, variables)
        except RigError as e:
            stage(f'{row.case.name}: {e}')
            outcomes[row.case.name] = report.as_one_test(row.case.name, [str(e)])
            continue
        verdict, log, files = runner(row)
        outcomes[row.case.name] = _outcome(cfg, row, verdict, log, files, variables)
    return outcomes


def _in_order(rows, found):
    """What was found, as the rows stand in the table; then what stands in none."""
    names = [row.case.name for row in rows if row.case.name in found]
    return {name: found[name] for name in names} | found


def _table_serial(cfg, rows, name, lane):
    """Runs the rows of lane dom0 or smoke, each on a machine of its own: {case: Verdict}."""
    def alone(row):
        case = row.case
        one = config.replace(cfg, memory=case.memory, vcpus=case.vcpus, time=case.time,
                             silence=case.silence, cmdline=case.cmdline)
        return _run_dom0(one, f'{name}-{case.name}', lane, quiet=True, reboots=row.reboots)

    def work(_, tasks):
        outcomes = {}
        for task in tasks.take(lambda task: True):
            outcomes |= _rows(cfg, task, alone)
        return outcomes

    cfg.logs(name)
    if name == 'dom0':
        images.hypervisor(cfg)
    return _in_order(rows, hands.share(cases.tasks(rows), work, hands.count()))


def _table_domu(cfg, rows, also=lambda place: {}):
    """
    Runs the rows of lane domu, and `also` on where xl runs: {case: Verdict}. The first hand has room
    for the largest guest, the others for those that are not large.
    """
    def memory(task):
        return max(max(row.case.memory, row.case.maxmem) for row in task)

    def work(number, tasks):
        outcomes = {}
        most = _LARGE if number else max(map(memory, todo))
        logs = cfg.logs(f'domu-hand-{number + 1}' if number else 'domu')
        with _xl_place(cfg, 'domu', logs, most) as place:
            def as_domu(row):
                verdict, kept = lane_domu.run(
                    place, row.case, 'domu', cfg.logs(f'domu-{row.case.name}'),
                    lane_domu.plain_screen(cfg, quiet=True), reboots=row.reboots)
                return verdict, kept.get('guest.log', b''), kept
            for task in tasks.take(lambda task: memory(task) <= most):
                outcomes |= _rows(cfg, task, as_domu)
            return outcomes if number else outcomes | also(place)

    todo = cases.tasks(rows)
    todo.sort(key=memory, reverse=True)
    # Made once, before there are two who would make it.
    images.Dom0(cfg)
    images.hypervisor(cfg)
    return _in_order(rows, hands.share(todo, work, hands.count()))


def _close(cfg, label, lane, outcomes, began):
    """Reports on a lane's cases, notes its counts; returns the exit status."""
    logs = os.path.join(cfg.build, 'logs', lane)
    report.finish(logs, outcomes)
    merged = verdicts.merge(list(outcomes.values()))
    merged.lane = label
    passed, failed, skipped = merged.passed, merged.failed, merged.skipped
    if merged.word != 'SUCCESS' and not failed:
        failed = 1
    report.count(cfg, label, passed, failed, skipped, time.monotonic() - began)
    took(label, _AIMS.get(label))
    return _say(merged)


def _suite(cfg, name, lane):
    """The whole suite in one lane: its Verdict."""
    verdict, log, files = _run_dom0(cfg, name, lane, quiet=not cfg.verbose)
    if verdict.word in ('CRASH', 'HANG'):
        print(report.crash_report(cfg, log, name, files))
    return verdict


def check(cfg, lane):
    """All that a lane has to pass."""
    began = time.monotonic()
    if lane == 'smoke':
        outcomes = {'bare': lane_smoke.refuse(cfg, quiet=True)}
        outcomes['second'] = lane_smoke.second(cfg, quiet=True)
        # Half of what a guest has else: no test needs it, and each looks at every page.
        half = cfg if os.environ.get('MEMORY') else config.replace(cfg, memory=cfg.memory // 2)
        outcomes['smoke'] = _suite(half, 'smoke', lane_smoke)
    elif lane == 'dom0':
        outcomes = {'dom0': _suite(cfg, 'dom0', lane_dom0)}
    elif lane == 'domu':
        outcomes = _table_domu(cfg, cases.read(os.path.join(RIG, 'domu-cases'), _limits(cfg)),
                               _kits)
    else:
        raise RigError(f'check {lane}: there are smoke, dom0 and domu')
    return _close(cfg, lane, lane, outcomes, began)


def _limits(cfg):
    return {'time': int(cfg.time), 'silence': int(cfg.silence)}


def expect(cfg, lanes):
    """The table of deliberate failures."""
    began = time.monotonic()
    rows = cases.read(os.path.join(RIG, 'expect'), _limits(cfg))
    outcomes = {}
    serial = {'dom0': lane_dom0, 'smoke': lane_smoke}
    for lane in lanes or (*serial, 'domu'):
        mine = [row for row in rows if row.lane == lane]
        done = _table_serial(cfg, mine, lane, serial[lane]) if lane in serial else \
            _table_domu(cfg, mine)
        outcomes |= {f'{lane}-{name}': verdict for name, verdict in done.items()}
    cfg.logs('expect')
    return _close(cfg, 'expect', 'expect', outcomes, began)


# CPU models without XPTI and with it; (CPUs, MiB). From 4 GiB on there are frames above 4 GiB.
_CPUS = ('max,-smap', 'Haswell,-smap')
_SIZES = ((1, 16), (1, 128), (2, 128), (1, 4096))


def matrix(cfg):
    """The dom0 lane over CPU models, numbers of CPUs, and memory sizes."""
    began = time.monotonic()
    outcomes = {}
    for cpu in _CPUS:
        for smp, memory in _SIZES:
            name = f'{cpu.partition(",")[0]}-{smp}cpu-{memory}M'
            # Under XPTI each entry to Xen empties QEMU's TLB, and 4 GiB take a minute to audit.
            fewer = ' ops=2000' if cpu.startswith('Haswell') else ''
            one = config.replace(cfg, cpu=cpu, memory=memory, cmdline=cfg.cmdline + fewer,
                                 time=3 * cfg.time, silence=3 * cfg.silence)
            verdict, log, files = _run_dom0(one, f'matrix-{name}', quiet=True, smp=smp)
            stage(f'{name}: {verdicts.verdict_line(verdict)}, {verdict.passed} passed, '
                  f'{verdict.skipped} skipped')
            if verdict.word in ('CRASH', 'HANG'):
                print(report.crash_report(cfg, log, 'dom0', files))
            outcomes[name] = verdict
    cfg.logs('matrix')
    return _close(cfg, 'matrix', 'matrix', outcomes, began)


def many(cfg, number):
    """N boots as dom0, N as domU, and what has to be the same after them."""
    began = time.monotonic()
    outcomes = boots.dom0(cfg, number) | boots.domu(cfg, number)
    cfg.logs('boots')
    return _close(cfg, 'boots', 'boots', outcomes, began)


def _command(cfg, arguments):
    command, *rest = arguments or ['run']
    if command in ('run', 'check', 'expect', 'matrix', 'boots') and not os.path.exists(cfg.kernel):
        raise RigError(f'there is no {cfg.kernel}: run make')
    if command == 'run' and not rest:
        return run(cfg)
    if command == 'check' and len(rest) == 1:
        return check(cfg, rest[0])
    if command == 'expect':
        return expect(cfg, rest)
    if command == 'bench' and not rest:
        return bench.run(cfg, _say)
    if command == 'matrix' and not rest:
        return matrix(cfg)
    if command == 'boots' and len(rest) == 1:
        return many(cfg, int(rest[0]))
    if command == 'start' and not rest:
        return report.start(cfg)
    if command == 'count' and len(rest) == 5:
        return report.count(cfg, rest[0], *map(int, rest[1:4]), float(rest[4]))
    if command == 'total':
        return report.total(cfg, rest)
    print(__doc__, file=sys.stderr)
    return 2


def main():
    """Runs the command of the arguments; its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _signal)
    lane = os.environ.get('LANE') or 'domu'
    try:
        cfg = config.from_environment()
        if sys.argv[1:2] in (['check'], ['expect']) and len(sys.argv) > 2:
            lane = sys.argv[2]
        return _command(cfg, sys.argv[1:])
    except RigError as e:
        print(f'{lane}: RIG: {e}', flush=True)
        return verdicts.EXIT['RIG']
    except Interrupted as e:
        print(f'{lane}: interrupted', flush=True)
        return e.status


if __name__ == '__main__':
    sys.exit(main())
