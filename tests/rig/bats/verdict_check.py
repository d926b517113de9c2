#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Checks of the judge that take thousands of judgements, and those of its Python interface. Called by
verdict.bats with the name of one check; silent and 0 when it holds.

The idea of the first five: a good log is judged SUCCESS, and a log that differs from it is not. The
oracle is STRUCTURE below, written from docs/console.md alone: a line that it does not name is
free-form text, which the judge has no way to miss.
"""

import pathlib
import random
import re
import sys
import tempfile
import xml.etree.ElementTree as ET
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CONSOLES = HERE / 'consoles'
sys.path.insert(0, str(HERE.parent))

import ktap  # noqa: E402
import verdict as v  # noqa: E402

NONCE = '1f2e3d4c'
SKIPS = ktap.parse_skips((CONSOLES / 'skips').read_text())
STRUCTURE = re.compile(rb'Pinion |KTAP |1\.\.|# run |ok |V |# console_volume: |\d+ passed|Test res')
DOMU = (CONSOLES / 'good-domu.log').read_bytes()
DOM0 = (CONSOLES / 'good-dom0.log').read_bytes()


def judge(log, lane='domu', ended='poweroff', nonce=NONCE, **more):
    return v.judge(log, nonce, lane=lane, ended=ended, skips=SKIPS, **more)


def word(log, *args):
    return judge(log, *args).word


def good(log, what, *args):
    verdict = judge(log, *args)
    assert verdict.word == 'SUCCESS', f'{what}: {v.verdict_line(verdict)}'


def bad(log, what, *args):
    assert word(log, *args) != 'SUCCESS', f'{what} is judged SUCCESS'


def bare_dom0():
    """The guest's part of the dom0 log, as the guest wrote it."""
    return b'\n'.join(ktap.restore(DOM0, 'dom0')[0]).partition(b'Pinion ')[2] + b'\n'


def prefixes():
    """A log that stops anywhere before its end is not SUCCESS, however the run is said to end."""
    good(DOMU, 'the whole')
    for end in range(len(DOMU)):
        for ended in v.ENDS:
            got = judge(DOMU[:end], 'domu', ended)
            due = {'crash': 'CRASH', 'timeout': 'HANG', 'silence': 'HANG'}.get(ended, 'CUT')
            assert got.word == due, f'{end} bytes, {ended}: {v.verdict_line(got)}'
    end = DOM0.index(b'mfn0', DOM0.index(b'Test result'))
    good(DOM0, 'the whole', 'dom0')
    for end in range(DOM0.index(b'\n', end)):
        bad(DOM0[:end], f'{end} bytes', 'dom0')


def lines():
    """No line of the contract can be lost, said twice, or change places with a neighbour."""
    whole = DOMU.splitlines(keepends=True)
    fixed = [bool(STRUCTURE.match(line)) for line in whole]
    for at, line in enumerate(whole):
        if fixed[at]:
            bad(b''.join(whole[:at] + whole[at + 1:]), f'without {line}')
            bad(b''.join(whole[:at + 1] + whole[at:]), f'twice {line}')
        if fixed[at] and at + 1 < len(whole) and fixed[at + 1]:
            swapped = whole[:at] + [whole[at + 1], line] + whole[at + 2:]
            bad(b''.join(swapped), f'swapped {line}')
    free = [line for at, line in enumerate(whole) if not fixed[at]]
    assert len(free) > 3
    for line in free:
        good(DOMU.replace(line, b''), f'without {line}')


def flips():
    """No byte of a line of the contract can change, be lost or come twice; but for our version."""
    at = 0
    for line in DOMU.splitlines(keepends=True):
        for byte in range(at, at + len(line)):
            if STRUCTURE.match(line) and not 7 <= byte <= DOMU.index(b':'):
                before, own, after = DOMU[:byte], DOMU[byte], DOMU[byte + 1:]
                for bit in range(8):
                    bad(before + bytes([own ^ 1 << bit]) + after, f'bit {bit} of byte {byte}')
                bad(before + after, f'without byte {byte}')
                # An empty line is free-form text, except where nothing but V lines may stand.
                if own != 10 or not after or after.startswith(b'V '):
                    bad(before + bytes([own, own]) + after, f'byte {byte} twice')
        at += len(line)


def xen_anywhere():
    """In the dom0 lane lines of Xen between any two bytes change nothing; a domU has none."""
    guest = b'Pinion ' + bare_dom0()
    cuts = (b'(XEN) d0v0 Unhandled page fault\r\n',
            b'(XEN) [2026-01-02 03:04:05.678] one\r\n(XEN) [    4.200000] two\r\n',
            b'(XEN) \n',
            b'(XEN) Test result: SUCCESS nonce=0\r\n',
            b'(XEN) not ok 1 (XEN) # run x\r\n')
    for newline in (b'\n', b'\r\n'):
        log = guest.replace(b'\n', newline)
        for at in range(len(log) + 1):
            for cut in cuts:
                good(log[:at] + cut + log[at:], f'{cut} at {at}', 'dom0')
        for width in (1, 2, 3, 7):
            pieces = [log[at:at + width] for at in range(0, len(log), width)]
            good(cuts[0].join(pieces), f'Xen after every {width} bytes', 'dom0')
    for end in range(1, len(cuts[0])):
        good(guest + cuts[0][:end], 'a last line of Xen cut short', 'dom0')
    for at in range(DOMU.index(b'\n')):
        bad(DOMU[:at] + cuts[0] + DOMU[at:], f'{cuts[0]} at {at}', 'domu')


def volume_line(number, rng):
    head = b'V %05d %s ' % (number, bytes(rng.choices(range(32, 127), k=56)))
    return head + b'%08x\n' % zlib.crc32(head)


def volume():
    """A quarter of a MiB: one line lost, twice, swapped, or with one bit wrong, at seeded places."""
    seed = 20260102
    rng = random.Random(seed)
    block = [volume_line(number, rng) for number in range(3600)]
    old = DOMU[DOMU.index(b'V 0'):DOMU.index(b'ok 4')]

    def log(block_now, count=len(block)):
        return DOMU.replace(old, b''.join(block_now)).replace(
            b'volume: 6 lines', b'volume: %d lines' % count)

    good(log(block), 'all lines')
    for at in [0, 1, len(block) - 2] + [rng.randrange(len(block) - 1) for _ in range(12)]:
        byte, bit = rng.randrange(len(block[at]) - 1), 1 << rng.randrange(8)
        flipped = bytearray(block[at])
        flipped[byte] ^= bit
        for what, change in (('lost', []), ('twice', [block[at]] * 2), ('flipped', [flipped]),
                             ('another', [volume_line(at + 1, rng)]), ('free', [b'hello\n'])):
            got = judge(log(block[:at] + change + block[at + 1:]))
            assert got.word == 'CUT', f'seed {seed}: line {at} {what}, {byte=} {bit=}: {got.word}'
            test = next(test for test in got.tests if test.name == 'console_volume')
            assert test.outcome == 'error' and 'bulk line' in test.message, test
        swapped = block[:at] + [block[at + 1], block[at]] + block[at + 2:]
        assert word(log(swapped)) == 'CUT', f'seed {seed}: line {at} swapped'
    for count in (len(block) - 1, len(block) + 1, 0):
        assert word(log(block, count)) == 'CUT', f'{count} lines announced'
    assert word(log([], 0)) == 'CUT', 'a test of volume without volume'


def garbage():
    """Whatever the bytes, the judge judges: no exception, no SUCCESS, one line of reason."""
    seed = 4711
    rng = random.Random(seed)
    whole = DOMU.splitlines(keepends=True)
    for turn in range(600):
        log = bytearray(b''.join(rng.choices(whole, k=rng.randrange(60))))
        for _ in range(rng.randrange(40)):
            log[rng.randrange(len(log) + 1):0] = rng.randbytes(rng.randrange(4))
        lane, ended = rng.choice(['dom0', 'domu', 'smoke', 'xl']), rng.choice(v.ENDS)
        got = judge(bytes(log), lane, ended)
        assert got.word in v.EXIT and got.word != 'SUCCESS', f'seed {seed}, turn {turn}'
        for line in v.summary_lines(got):
            assert line.isprintable() or '\t' in line, f'seed {seed}, turn {turn}: {line!r}'
    huge = b'9' * 5000
    for line in (b'1..%s', b'ok %s x', b'# console_volume: %s lines', b'%s passed, 0 failed, 0 skipped'):
        bad(DOMU.replace(b'1..5', b'1..5\n' + line % huge), f'a huge number in {line}')


def interface():
    """What callers rely on: fields, counts, words, statuses, the default table of skips."""
    got = judge(DOMU)
    assert (got.passed, got.failed, got.skipped, got.plan) == (4, 0, 1, 5)
    assert (got.reason, got.last_test, got.lane, got.faults) == ('', None, 'domu', [])
    assert got.identity == {'nonce': NONCE, 'xen': '4.99.0', 'flags': '0x0', 'nr_pages': '32768',
                            'mfn0': '0x1c3af'}
    assert [test.outcome for test in got.tests] == ['pass', 'pass', 'skip', 'pass', 'pass']
    assert got.tests[2].message == 'needs dom0' and got.tests[2].seconds is None
    assert v.EXIT == {'SUCCESS': 0, 'FAILURE': 1, 'ERROR': 2, 'SKIP': 3, 'CRASH': 4, 'HANG': 5,
                      'CUT': 6, 'RIG': 7}
    crash = judge((CONSOLES / 'crash.log').read_bytes(), ended='crash')
    assert crash.last_test == 'cmdline_quotes' and crash.failed == 1 and crash.plan == 5
    assert crash.reason.startswith('panic: tests/guest/t_selfcheck.c:30: ')
    # A test that never stops talking is cut short.
    note = b'# cmdline_quotes: seed 0x1234\n'
    log = DOMU.replace(note, note * 50).replace(b'ok 5', b'not ok 5')
    assert judge(log).tests[4].message.splitlines()[19:] == ['seed 0x1234', '(30 more)']
    # Another run's log is no evidence of anything.
    stale = judge(DOMU, nonce='00000000')
    assert stale.word == 'CUT' and stale.tests == [] and stale.identity is None
    try:
        judge(DOMU, ended='somehow')
    except ValueError:
        pass
    else:
        raise AssertionError('an unknown end is taken')
    assert ktap.skip_is_listed(ktap.SKIPS, 'domu', 'vga_text', 'needs dom0', None)
    assert not ktap.skip_is_listed(ktap.SKIPS, 'dom0', 'vga_text', 'needs dom0', 1 << 27)
    for table in ('domu only_two', 'domu * [', 'domu'):
        try:
            ktap.parse_skips('# fine\n\n' + table)
        except ValueError as error:
            assert 'line 3' in str(error)
        else:
            raise AssertionError(f'skips take {table!r}')


def memory():
    """A test that declares how much memory it needs is skipped by a guest that has less, and only so."""
    def skipped(need, mem=None, pages=32768):
        log = DOMU.replace(b'needs dom0', b'needs mem>=' + need)
        log = log.replace(b'nr_pages=32768', b'nr_pages=%d' % pages)
        return v.judge(log, NONCE, lane='domu', ended='poweroff', mem=mem)

    for need, pages, allowed in ((b'129M', 32768, True), (b'128M', 32768, False),
                                 (b'128M', 32767, True), (b'131073K', 32768, True),
                                 (b'131072K', 32768, False), (b'1G', 32768, True),
                                 (b'64M', 32768, False), (b'1k', 32768, False)):
        got = skipped(need, pages=pages)
        assert (got.word == 'SUCCESS') == allowed, f'{need} of {pages} pages: {v.verdict_line(got)}'
        assert allowed or 'unlisted skip' in got.tests[2].message
    # What mem= leaves it is all that the guest has, but it never has more than it was given.
    assert skipped(b'64M', '63M').word == 'SUCCESS'
    assert skipped(b'64M', '64M').word == 'FAILURE'
    assert skipped(b'64M', '1T').word == 'FAILURE'
    assert skipped(b'64M', 'rubbish').word == 'FAILURE'
    assert [ktap.size(text) for text in ('7', '2k', '3M', '1G', '', 'M', '1X', '-1')] == \
        [7, 2048, 3 << 20, 1 << 30, None, None, None, None]


def merge():
    """Boots that continue each other: the worst word wins, in its order; nothing is lost."""
    order = ['RIG', 'CRASH', 'HANG', 'CUT', 'ERROR', 'FAILURE', 'SUCCESS', 'SKIP']
    for first in order:
        for second in order:
            got = v.merge([v.Verdict(first, f'is {first}'), v.Verdict(second, f'is {second}')])
            worse = min(first, second, key=order.index)
            assert (got.word, got.reason) == (worse, f'is {worse}')
    crash = judge((CONSOLES / 'crash.log').read_bytes().replace(b'1..5', b'1..6'), ended='crash')
    rest = judge((CONSOLES / 'failure.log').read_bytes())
    rest.tests, rest.plan = rest.tests[-1:], 1
    both = v.merge([crash, rest])
    assert (both.word, both.last_test, both.plan) == ('CRASH', 'cmdline_quotes', 6)
    assert (both.passed, both.failed, both.skipped) == (4, 1, 1)
    assert both.tests[4].outcome == 'error' and both.tests[4].message.startswith('CRASH: panic: ')
    assert both.faults == [] and both.identity == crash.identity and both.lane == 'domu'
    assert v.merge([rest, crash]).last_test == 'cmdline_quotes'
    # A test that no boot reached is missed.
    assert v.merge([crash]).faults == ['1 of 6 tests never ran']
    assert v.merge([]).word == 'RIG'


def junit():
    """The XML parses, counts right, hides nothing, and holds no byte that XML forbids."""
    error = (CONSOLES / 'error.log').read_bytes().replace(b'still held', b'still\x1b[0m\xff & <held>')
    cases = {'good': judge(DOMU), 'error': judge(error), 'stale': judge(DOMU, nonce='00000000'),
             'crash': judge((CONSOLES / 'crash.log').read_bytes(), ended='crash'),
             'cut': judge(DOMU[:-1]), 'unlisted': judge(DOMU.replace(b'needs dom0', b'no')),
             'rig': v.Verdict('RIG', 'xl never came up')}
    cases['good'].tests[0].seconds = 1.5
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / 'junit.xml'
        v.write_junit(path, cases)
        suites = {suite.get('name'): suite for suite in ET.parse(path).getroot()}
    counts = {name: tuple(int(suite.get(key)) for key in ('tests', 'failures', 'errors', 'skipped'))
              for name, suite in suites.items()}
    assert counts == {'good': (5, 0, 0, 1), 'error': (6, 1, 1, 1), 'stale': (1, 0, 1, 0),
                      'crash': (5, 0, 1, 1), 'cut': (6, 0, 1, 1), 'unlisted': (5, 1, 0, 0),
                      'rig': (1, 0, 1, 0)}, counts
    for name, suite in suites.items():
        found = tuple(len(suite.findall(f'testcase/{tag}')) for tag in ('failure', 'error', 'skipped'))
        assert found == counts[name][1:], f'{name}: {found}'
        said = {entry.get('name'): entry.get('value') for entry in suite.iter('property')}
        assert said['word'] == cases[name].word
        assert all(case.get('classname') == name for case in suite.iter('testcase'))
    assert [case.get('time') for case in suites['good'].iter('testcase')] == ['1.500'] + [None] * 4
    leak = suites['error'].find("testcase[@name='selfcheck_leak']/error")
    assert leak.get('message') == 'leak: 1 free frame fewer'
    assert leak.text.endswith('still\\x1b[0m\\xff & <held>'), leak.text
    log = suites['rig'].find("testcase[@name='log']/error")
    assert log.text == 'RIG: xl never came up'


CHECKS = (prefixes, lines, flips, xen_anywhere, volume, garbage, interface, memory, merge,
          junit)

if __name__ == '__main__':
    {check.__name__: check for check in CHECKS}[sys.argv[1]]()
