# SPDX-License-Identifier: MIT
"""
The guest's lines: from the bytes of a log to results and faults. docs/console.md is the law.

    restore()   the bytes of a console  ->  the guest's own lines, those of Xen taken out
    Reader      the lines, one by one   ->  tests, plan, counts, last line, and faults

The reader never stops at a fault: it collects, and verdict.py lets the worst word win.

    ERROR    the guest contradicts itself or the contract
    CUT      the log is not whole, or not of one boot
    FAILURE  a test was skipped that this lane has to run (tests/rig/skips)
"""

import dataclasses
import fnmatch
import pathlib
import re
import typing
import zlib

# Lanes whose log is the machine's serial port. Xen writes there too, the firmware before it.
SHARED_SERIAL = ('dom0', 'smoke')

LINE_MAX = 126  # of a line of the contract, newline included

_NAME = rb'([A-Za-z0-9_.-]+)'
_IDENTITY = (rb'nonce=(\S+) xen=(\S+) flags=(0x[0-9a-f]+) nr_pages=([0-9]+) '
             rb'mfn0=(0x[0-9a-f]+)')
_FIELDS = ('nonce', 'xen', 'flags', 'nr_pages', 'mfn0')

NOTES_MAX = 20  # of one test that are kept: a summary is read by people

# A number has few digits: what is longer is no number of ours, and costs no time.
_N = rb'(0|[1-9][0-9]{0,8})'
_XEN_LINE = re.compile(rb'\(XEN\)[^\n]*\n')
_XEN_TAIL = re.compile(rb'\((X(E(N(\)[^\n]*)?)?)?)?\Z')
FIRST = re.compile(rb'Pinion \S+: ' + _IDENTITY + rb'\Z')
_HEADER = re.compile(rb'KTAP version 1\Z')
_PLAN = re.compile(rb'1\.\.' + _N + rb'\Z')
_RUN = re.compile(rb'# run ' + _NAME + rb'\Z')
_RESULT = re.compile(rb'(not )?ok ' + _N + b' ' + _NAME + rb'(?: # (SKIP|ERROR) (\S.*))?\Z')
_NOTE = re.compile(rb'# ' + _NAME + rb': (.*)\Z')
_SIZE = re.compile(r'([0-9]+)([kmgt]?)', re.I)
_BULK_TEST = 'console_volume'
_BULK = re.compile(rb'# console_volume: ' + _N + rb' lines\Z')
_V = re.compile(rb'V ([0-9]{5}) [ -~]{56} ([0-9a-f]{8})\Z')
_COUNTS = re.compile(_N + rb' passed, ' + _N + rb' failed, ' + _N + rb' skipped\Z')
_LAST = re.compile(rb'Test result: (SUCCESS|FAILURE|ERROR|SKIP) ' + _IDENTITY + rb'\Z')
# What begins like a line of the contract must be one.
_LOOKALIKE = re.compile(rb'KTAP version|1\.\.[0-9]|(not )?ok [0-9]|# run |V [0-9]{5} |Test result:'
                        rb'|Pinion \S+: nonce=|[0-9]+ passed,')


@dataclasses.dataclass
class TestResult:
    """One test: outcome is 'pass', 'fail', 'error' or 'skip'; message is its reason and notes."""
    name: str
    outcome: str
    message: str = ''
    seconds: float | None = None


class Fault(typing.NamedTuple):
    """
    What is wrong with a log: the word that it costs, and one sentence. `test` names the test that
    already shows it in its own outcome, and is None where the log as a whole is at fault.
    """
    word: str
    sentence: str
    test: str | None = None


def text(raw):
    """Bytes of a log as printable text: anything but ASCII's printable bytes and tabs as \\xNN."""
    return ''.join(chr(byte) if 32 <= byte < 127 or byte == 9 else f'\\x{byte:02x}'
                   for byte in raw)


def restore(log, lane):
    """
    The guest's own lines: (complete lines without their newline, what follows the last newline).

    On a shared serial line a line of Xen is one run of bytes from `(XEN)` to its newline, put down
    between any two bytes of the guest's; several may stand in a row. Taking them out joins what they
    parted. Then the carriage returns go that the serial driver puts before each newline; Xen may
    have cut in between those two as well.
    """
    if lane in SHARED_SERIAL:
        log = _XEN_TAIL.sub(b'', _XEN_LINE.sub(b'', log))
    *lines, tail = log.split(b'\n')
    if lane in SHARED_SERIAL:
        lines = [line.rstrip(b'\r') for line in lines]
    return lines, tail


def parse_skips(table):
    """
    tests/rig/skips as a list of (lane, test, reason) with two globs and a compiled expression.

    Raises ValueError for a line that has not all three.
    """
    rules = []
    for number, line in enumerate(table.splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        try:
            lane, test, reason = line.split(None, 2)
            rules.append((lane, test, re.compile(reason.strip())))
        except (ValueError, re.error) as error:
            raise ValueError(f'skips, line {number}: {error}') from error
    return rules


SKIPS = parse_skips(pathlib.Path(__file__).with_name('skips').read_text('utf-8'))


def size(text):
    """The bytes of '64M', '1896K', '4096', as the guest's parse_size() has it; None if it is none."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) << 10 * ' kmgt'.index(match[2].lower() or ' ') if match else None


def skip_is_listed(skips, lane, name, reason, memory):
    """
    Whether a table allows a skip. `memory` is what the guest had, in bytes; None if unknown.

    Where a rule's expression has a group `mem`, the test has declared its need, and may be skipped
    only by a guest that has less.
    """
    for a_lane, a_test, pattern in skips:
        match = pattern.fullmatch(reason)
        if not match or not fnmatch.fnmatchcase(lane, a_lane) or \
                not fnmatch.fnmatchcase(name, a_test):
            continue
        need = match.groupdict().get('mem')
        if need is None or (memory is not None and (size(need) or 0) > memory):
            return True
    return False


def identity_of(groups):
    """The fields of a first or last line, as printed."""
    return dict(zip(_FIELDS, map(text, groups)))


class Reader:
    """
    One walk over the lines after the first, in stages:

        boot ── KTAP version ──> plan ── 1..N ──> tests ── counts ──> counted ── last line ──> over

    tests    one TestResult for each result line
    tally    what the guest's result lines say; a test's outcome may be worse than its own word
    running  the test between its `# run` and its result
    counts   the closing count; last: (word, identity) of the last line
    panic    the first line of a crash report; last_words: the last line that says anything
    """

    def __init__(self, lines, tail, lane, skips, memory=None):
        self.lane, self.skips, self.memory = lane, skips, memory
        self.names = {match[1] for match in map(_RUN.match, lines) if match}
        self.faults = []
        self.tests = []
        self.tally = {'pass': 0, 'fail': 0, 'error': 0, 'skip': 0}
        self.stage = 'boot'
        self.plan = self.counts = self.last = self.panic = None
        self.last_words = b''
        self.running = None
        self.notes, self.noted = [], 0
        self.due = 1
        self.strayed = False
        self.bulk_due = range(0)
        self.bulk_seen = False
        self.bulk_bad = ''
        self.forms = ((_V, self.stray_bulk), (FIRST, self.second_first), (_HEADER, self.header),
                      (_PLAN, self.planned), (_RUN, self.run), (_RESULT, self.result),
                      (_COUNTS, self.counted), (_LAST, self.ended), (_BULK, self.bulk),
                      (_NOTE, self.note))
        for line in lines:
            self.read(line)
        self.end_of_log(tail)

    def fault(self, word, sentence, test=None):
        self.faults.append(Fault(word, sentence, test))

    def read(self, line):
        self.last_words = line or self.last_words
        if line.startswith(b'panic: '):
            self.panic = self.panic or text(line)
        if self.stage == 'over':
            self.after(line)
        elif not self.bulk_line(line) and not self.contract_line(line) and _LOOKALIKE.match(line):
            lost = line.startswith((b'Test result:', b'Pinion ', b'V '))
            self.fault('CUT' if lost else 'ERROR', f'malformed line: {text(line)}')

    def contract_line(self, line):
        for form, take in self.forms:
            match = form.match(line)
            if match:
                if form is not _NOTE and len(line) >= LINE_MAX:
                    self.fault('ERROR', f'longer than {LINE_MAX} bytes: {text(line)}')
                take(match)
                return True
        return False

    def end_of_log(self, tail):
        """What stands after the last newline is never a line; at best it is somebody's last words."""
        self.last_words = tail or self.last_words
        if tail.startswith(b'panic: '):
            self.panic = self.panic or text(tail)
        if tail and self.stage == 'over':
            self.after(tail)

    def after(self, line):
        if FIRST.match(line):
            self.second_first(None)
        elif not any(fault.sentence.startswith('text after') for fault in self.faults):
            self.fault('ERROR', f'text after the last line: {text(line)}')

    def second_first(self, _):
        self.fault('CUT', 'a second first line: two boots in one log')

    def header(self, _):
        if self.stage != 'boot':
            self.fault('ERROR', 'a second KTAP header')
        else:
            self.stage = 'plan'

    def planned(self, match):
        if self.stage != 'plan':
            self.fault('ERROR', 'a plan that does not follow the KTAP header')
        else:
            self.plan = int(match[1])
            self.stage = 'tests'

    def run(self, match):
        name = text(match[1])
        self.in_plan(name)
        self.nothing_runs()
        self.running = name
        self.notes, self.noted = [], 0

    def in_plan(self, name):
        """Tests run after the plan and before the counts; the first that does not stands for all."""
        if self.stage != 'tests' and not self.strayed:
            self.fault('ERROR', f'{name} runs before the plan or after the counts')
            self.strayed = True

    def nothing_runs(self):
        if self.running is not None:
            self.fault('ERROR', f'{self.running} has no result')
            self.running = None

    def note(self, match):
        name = text(match[1])
        if name == self.running:
            self.noted += 1
            if self.noted <= NOTES_MAX:
                self.notes.append(text(match[2]))
            else:
                self.notes[NOTES_MAX:] = [f'({self.noted - NOTES_MAX} more)']
        elif match[1] in self.names:
            self.fault('ERROR', f'a note of {name} outside its run')

    def result(self, match):
        bad, number, name, directive, reason = (text(group or b'') for group in match.groups())
        self.in_plan(name)
        if name != self.running:
            self.fault('ERROR', f'the result of {name} without its "# run {name}"')
        if number != str(self.due):
            self.fault('ERROR', f'result {number} ({name}) where {self.due} is due')
        if directive == ('SKIP' if bad else 'ERROR'):
            self.fault('ERROR', f'malformed line: {text(match.string)}')
        outcome = {('', ''): 'pass', ('', 'SKIP'): 'skip', ('not ', ''): 'fail'}.get(
            (bad, directive), 'error')
        self.tally[outcome] += 1
        message = '\n'.join(filter(None, [reason, *self.notes])) if outcome != 'pass' else ''
        if outcome == 'skip' and not skip_is_listed(self.skips, self.lane, name, reason,
                                                    self.memory):
            self.fault('FAILURE', f'unlisted skip: {name} ({reason})', name)
            outcome, message = 'fail', f'unlisted skip: {message}'
        if name == _BULK_TEST and outcome == 'pass' and not self.bulk_seen:
            self.bulk_fault('no bulk lines')
        if name == _BULK_TEST and self.bulk_bad:
            outcome, message = 'error', f'CUT: {self.bulk_bad}\n{message}'.rstrip()
        self.tests.append(TestResult(name, outcome, message))
        self.due = int(number) + 1
        self.running = None
        self.bulk_seen, self.bulk_bad = False, ''

    def bulk(self, match):
        if self.running != _BULK_TEST or self.bulk_seen:
            self.fault('ERROR', f'bulk lines announced outside {_BULK_TEST}, or twice')
        self.bulk_due = range(int(match[1]))
        self.bulk_seen = bool(self.bulk_due)

    def bulk_line(self, line):
        """Takes a bulk line that is due; False leaves any other line to the other rules."""
        if not self.bulk_due:
            return False
        due = self.bulk_due[0]
        self.bulk_due = self.bulk_due[1:]
        match = _V.match(line)
        if not match:
            self.bulk_fault(f'bulk line {due:05} is lost or broken')
        elif int(match[1]) != due:
            self.bulk_fault(f'bulk line {text(match[1])} where {due:05} is due')
        elif zlib.crc32(line[:-8]) != int(match[2], 16):
            self.bulk_fault(f'bulk line {due:05} has a wrong CRC')
        return match is not None

    def stray_bulk(self, match):
        if not self.bulk_bad:
            self.bulk_fault(f'bulk line {text(match[1])}, which nobody announced')

    def bulk_fault(self, sentence):
        """The first one says it all: no more is due, and until the result no more is said."""
        self.bulk_bad = self.bulk_bad or sentence
        self.bulk_due = range(0)
        self.fault('CUT', sentence)

    def counted(self, match):
        if self.stage != 'tests':
            self.fault('ERROR', 'a count that does not follow the tests')
        self.nothing_runs()
        self.counts = tuple(map(int, match.groups()))
        self.stage = 'counted'

    def ended(self, match):
        if self.stage != 'counted':
            self.fault('ERROR', 'the last line does not follow the counts')
        self.last = text(match[1]), identity_of(match.groups()[1:])
        self.stage = 'over'

    def word(self):
        """What the results come to, by the rule of the contract."""
        for outcome, word in (('error', 'ERROR'), ('fail', 'FAILURE'), ('pass', 'SUCCESS')):
            if self.tally[outcome]:
                return word
        return 'SKIP'

    def close(self, identity, nonce):
        """Adds the faults that only a log with a last line can have: in what should be equal."""
        tally = self.tally
        counted = tally['pass'], tally['fail'] + tally['error'], tally['skip']
        word, last = self.last
        if self.plan is None:
            self.fault('ERROR', 'no KTAP header with a plan')
        elif self.plan != len(self.tests):
            self.fault('ERROR', f'{len(self.tests)} results, {self.plan} planned')
        if self.counts is not None and self.counts != counted:
            self.fault('ERROR', 'the guest counts %d passed, %d failed, %d skipped; ' % self.counts
                       + 'its results are %d, %d, %d' % counted)
        if word != self.word():
            self.fault('ERROR', f'the guest says {word}, its results say {self.word()}')
        if nonce is not None and last['nonce'] != nonce:
            self.fault('CUT', f"the last line's nonce is {last['nonce']}, this run's is {nonce}")
        elif identity is not None and last != identity:
            self.fault('CUT', 'the last line is not of the boot of the first: ' + ', '.join(
                f'{key} {identity[key]} became {last[key]}'
                for key in _FIELDS if last[key] != identity[key]))
        if self.panic:
            self.fault('ERROR', f'a crash report in a run that went on: {self.panic}')
