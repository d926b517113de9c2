# SPDX-License-Identifier: MIT
"""
Where mutants are tried out: how a lane is built in a tree, how named tests are run in it, and how their words are read.

    host dom0 smoke   tests of the in-guest suite, by name; `# NAME: FILE:LINE: what` and `not ok N NAME` are what they say
    model             `recorded`: the traces that real Xen was given, and what it said (tests/diff); else a program of the host
                      lane, test_NAME, with TAP and cmocka's own lines
"""

import dataclasses
import os
import re
import subprocess
import typing

_LIMIT = 120  # seconds; a mutant may hang
RECORDED = 'recorded'
_REPLAYER = 'build/host/vmopt/test_trace'  # here it is sound, in a tree with a mutant it is not


def run(command, place, limit=_LIMIT, **variables):
    """Runs a command in a tree for `limit` seconds at most: its status, and its output, both kinds together, as text."""
    env = {key: value for key, value in os.environ.items() if key not in ('MAKEFLAGS', 'MAKELEVEL', 'B')}
    try:
        done = subprocess.run(command, cwd=place, env=env | variables, stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit)
        return done.returncode, done.stdout.decode(errors='replace')
    except subprocess.TimeoutExpired as late:
        return 1, (late.stdout or b'').decode(errors='replace')


def _rig(lane, place, tests, more=''):
    """What a guest of the rig's says."""
    return run(['tests/rig/rig.py', 'run'], place, LANE=lane, TIME='60', SILENCE='20',
               CMDLINE=f'tests={",".join(tests)} {more}')[1]


# A guest's profile on the host's machine, and one with more memory for the tests that need it.
_PROFILES = ('dom0', 'domu-large')


def _host(place, tests, _=''):
    """What the suite says on the host's machine, a test at a time, each in the first profile that does not skip it."""
    said = ''
    for test in tests:
        for profile in _PROFILES:
            text = run(['build/host/quick/test_suite', profile, test], place)[1]
            if not re.search(r'^ok \d+ .*# SKIP', text, re.M):
                break
        # What the guest said stands indented under the verdict.
        said += re.sub(r'^    ', '', text, flags=re.M)
    return said


@dataclasses.dataclass(frozen=True)
class Suite:
    """Tests of the in-guest suite: `built` is what make builds for it, play(tree, tests, more) is what the guest says."""
    built: tuple
    play: typing.Callable

    def targets(self, _):
        """What make has to build, whatever the tests."""
        return self.built

    @staticmethod
    def passed(said, test):
        """Whether the test says that it passed."""
        return re.search(rf'^ok \d+ {re.escape(test)}$', said, re.M)

    @staticmethod
    def evidence(said, test):
        """What shows that the test found something: a sentence; '' if nothing does. A panic alone does not."""
        name = re.escape(test)
        check = re.search(rf'^# {name}: (\S+:\d+: .*|audit: .*|oracle: .*)', said, re.M)
        error = re.search(rf'^not ok \d+ {name} # ERROR (.*)', said, re.M)
        model = re.search(r'^# model: .*', said, re.M)
        found = check or error
        return found[1] if found else model[0] if model else ''

    @staticmethod
    def failed(said):
        """The names of all tests that failed."""
        return re.findall(r'^not ok \d+ (\w+)', said, re.M)


@dataclasses.dataclass(frozen=True)
class Programs:
    """Programs of the host lane."""

    @staticmethod
    def targets(tests):
        """The programs that `tests` are."""
        return [_REPLAYER if test == RECORDED else f'build/host/san/test_{test}' for test in tests]

    def play(self, place, tests):
        """What the programs say, each with its status."""
        said = ''
        for test in tests:
            program = ['tests/diff/diff.py', 'recorded'] if test == RECORDED else [f'build/host/san/test_{test}']
            status, text = run(program, place, CMOCKA_MESSAGE_OUTPUT='TAP', TRACE_SOUND=os.path.abspath(_REPLAYER))
            said += f'# begin {test}\n{text}\n# end {test} {status}\n'
        return said

    @staticmethod
    def passed(said, test):
        """Whether the program's status is 0."""
        return f'\n# end {test} 0\n' in said

    @staticmethod
    def evidence(said, test):
        """The first failed check, if a test failed by one; of `recorded` another outcome than Xen's. A replay that ended is none."""
        if test == RECORDED:
            differ = re.search(r'^not ok (\w+)_recorded: ([1-9]\d*) of .*; (trace \d+, .*)', said, re.M)
            return f'{differ[1]} {differ[3]} ({differ[2]} traces)' if differ else ''
        check = re.search(r'\S+:\d+: error: .*', said) or re.search(r'^# (.*\S+:\d+.*)', said, re.M)
        failed = re.search(r'^not ok \d+ - (\w+)', said, re.M)
        return f'{failed[1]}: {check[0] if check else ""}' if failed else ''

    @staticmethod
    def failed(said):
        """The names of all tests that failed."""
        return re.findall(r'^not ok \d+ - (\w+)', said, re.M)


LANES = {
    'host': Suite(('build/host/quick/test_suite',), _host),
    'dom0': Suite(('build/pinion.elf',), lambda *what: _rig('dom0', *what)),
    'smoke': Suite(('build/pinion.elf', 'build/smoke.elf'), lambda *what: _rig('smoke', *what)),
    'model': Programs(),
}
