# SPDX-License-Identifier: MIT
"""
Where traces are replayed: Xen, as its first domain or in a domU; and the model, on this machine.

Each place takes traces and gives what it said of them: {number: Outcome}.
"""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(_HERE), 'rig'))

import config  # noqa: E402
import dom0  # noqa: E402
import lane_dom0  # noqa: E402
import lane_domu  # noqa: E402
import ktap  # noqa: E402
from config import RigError  # noqa: E402
from live import Screen  # noqa: E402

import traces as t  # noqa: E402

# Frames that Xen loses count of (trace_own.c), or does not tell of, stay the guest's; so it may have more than it starts
# with, though less than an extent of 2 MiB (trace_check.c). xl grants a domU a MiB above what it has, whatever its maximum.
_MEMORY, _MORE = 128, 129
_CMDLINE = 'tests=trace_replay oracle=off'
_LINE = re.compile(r'^trace (\d+) ([0-9a-f]{16}) (\S*)$', re.M)
_LOST = re.compile(r'^trace (\d+) has lost (\S+)$', re.M)
_MAY_LOSE = re.compile(r'^trace (\d+) may lose (\S+)$', re.M)
_END = re.compile(r'^traces end: (\d+)$', re.M)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """
    Of one trace: the hash of all, a letter a call, and the frames that Xen lost count of, as bits. The model has also those
    that Xen may lose, if it is preempted at the wrong moment (docs/model.md).
    """
    hash: str
    letters: str
    lost: str = dataclasses.field(default='', compare=False)
    may_lose: str = dataclasses.field(default='', compare=False)

    def lost_as(self, model):
        """Whether Xen lost what the model says, and besides only what it may."""
        xen, sure, may = (int(bits or '0', 16) for bits in (self.lost, model.lost, model.may_lose))
        return xen & ~(sure | may) == 0 and sure & ~xen == 0


class Cut(Exception):
    """
    A replay did not come to its end; .text is what was said, .outcomes what had come, .number the trace that it ended
    in (the last one, if behind all).
    """

    def __init__(self, why, text, outcomes, number):
        super().__init__(f'trace {number}: {why}')
        self.text = text
        self.outcomes = outcomes
        self.number = number


def outcomes(text, numbers):
    """What the replayer said in @text of the traces with these @numbers; Cut if that is not all."""
    lost = dict(_LOST.findall(text))
    may_lose = dict(_MAY_LOSE.findall(text))
    found = {int(number): Outcome(digest, letters, lost.get(number, ''), may_lose.get(number, ''))
             for number, digest, letters in _LINE.findall(text)}
    end = _END.search(text)
    if not end or int(end[1]) != len(numbers) or len(found) != len(numbers):
        said = [line for line in text.split('\n') if line.startswith(('model:', '# model:', '# trace_replay', 'panic'))]
        raise Cut((said or ['it ended early'])[0], text, found, next((n for n in numbers if n not in found), numbers[-1]))
    return found


class Dom0:
    """Xen's first domain; a boot for each replay."""

    _more_args = ''

    name = 'dom0'

    def __init__(self, cfg, modules=()):
        del modules  # each boot has its own
        self._cfg = config.replace(cfg, memory=_MEMORY, cmdline='',
                                   xen_args=f'{cfg.xen_args} dom0_mem={_MEMORY}M,max:{_MORE}M {self._more_args}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def text(self, module):
        """The console's text of a replay."""
        logs = self._cfg.logs(f'diff-{self.name}')
        path = os.path.join(logs, 'module')
        with open(path, 'wb') as f:
            f.write(module)
        one = config.replace(self._cfg, module=path)
        done = lane_dom0.boot(one, os.path.join(logs, 'serial.log'), f'{_CMDLINE} exit=reboot nonce=-',
                              Screen(False, shared=True, quiet=True))
        lines, _ = ktap.restore(done.log, 'dom0')
        return '\n'.join(ktap.text(line) for line in lines)


class Strict(Dom0):
    """The same without linear page tables, guarded from L1TF, on a model of a CPU that has it."""

    name = 'strict'
    _more_args = 'pv-linear-pt=0 pv-l1tf=dom0'

    def __init__(self, cfg, modules=()):
        super().__init__(config.replace(cfg, cpu='Haswell,-smap'), modules)


class DomU:
    """
    A domU by `xl create` in the rig's own dom0, which boots once. What is in @modules is there from the start; any other
    goes through a shell's standard input, which takes a second for 10 KB.
    """

    name = 'domu'

    def __init__(self, cfg, modules=()):
        logs = cfg.logs('diff-domu')
        self._paths = {}
        self._overlay = tempfile.TemporaryDirectory()
        os.mkdir(os.path.join(self._overlay.name, 'traces'))
        for n, module in enumerate(modules):
            self._paths[module] = f'/traces/{n}'
            with open(f'{self._overlay.name}/traces/{n}', 'wb') as f:
                f.write(module)
        self._place = dom0.QemuDom0(config.replace(cfg, overlay=self._overlay.name), logs, _MORE)

    def __enter__(self):
        self._place.__enter__()
        return self

    def __exit__(self, *why):
        self._place.__exit__(*why)
        self._overlay.cleanup()

    def text(self, module):
        path = self._paths.get(module) or self._place.store('module', module)
        case = lane_domu.Case('diff', memory=_MEMORY, maxmem=_MORE, time=900, silence=60,
                              cfg=f'ramdisk = "{path}"')
        nonce = config.fresh_nonce()
        _, files = lane_domu.boot(self._place, case, 'domu', f'{_CMDLINE} nonce={nonce}', nonce,
                                  Screen(False, quiet=True))
        return files.get('guest.log', b'').decode(errors='replace').replace('\r', '')


class Model:
    """
    The model, by tests/host/trace_model.c. After a replay .classes has what that says of targets; with @counters, a
    directory, the model has counted its branches there (branches.py).
    """

    name = 'model'

    def __init__(self, cfg, lane, counters='', program=None):
        counting = 'test_trace_counted' if counters else 'test_trace'
        self._program = program or os.environ.get('TRACE_MODEL') or os.path.join(cfg.build, 'host/vmopt', counting)
        self._environment = {**os.environ, 'GCOV_PREFIX': counters}
        self.classes = ''
        self._as = lane

    def text(self, module):
        with tempfile.NamedTemporaryFile() as f:
            f.write(module)
            f.flush()
            done = subprocess.run([self._program, self._as, f.name], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=self._environment, check=False)
        text, _, self.classes = done.stdout.decode(errors='replace').partition('\nclasses ')
        return text


def replay(place, traces, verbose=False):
    """{number: Outcome} of all @traces."""
    return outcomes(place.text(t.module(traces, verbose)), [trace.number for trace in traces])


def told(place, traces):
    """The text of verbose replays."""
    return place.text(t.module(traces, True))
