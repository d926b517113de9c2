# SPDX-License-Identifier: MIT
"""
The tables domu-cases and expect: what to run, and what has to come of it.

A line is words, quoted as in a shell:

    NAME  LANE  WORD  key=value ...

    NAME   of the case, unique in its table; its logs lie in build/logs/LANE-NAME
    LANE   domu, dom0 or smoke
    WORD   what the rig has to say of it

    memory maxmem vcpus type cmdline cfg     of the guest; see lane_domu.Case
    dump     1: `xl dump-core` has to agree with the P2M that the guest prints (dumpcore.py)
    time silence                             limits in seconds
    match    expression that the guest's log has to match; its named groups become variables
    says     expression that the rig's own line (LANE: WORD: ...) has to match
    dmesg    expression that the end of `xl dmesg` has to match (domu)
    results  how many tests must have an outcome, those that ended the guest too
    reboots  boots by after=NAME at most (0: a row of a deliberate end is run once)

{NAME} and {NAME-4} in a later row stand for the number that an earlier row's `match` found. So one
row can read from the console what the next is to be given.
"""

import dataclasses
import re
import shlex

from config import RigError
from lane_domu import Case

_VARIABLE = re.compile(r'\{([a-z_]+)([+-][0-9]+)?\}')
_NUMBERS = ('memory', 'maxmem', 'vcpus', 'dump', 'time', 'silence', 'results', 'reboots')
_OWN = ('match', 'says', 'dmesg', 'results', 'reboots')


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table; `case` is what to run, the rest what has to come of it."""
    case: Case
    lane: str
    word: str
    match: str = ''
    says: str = ''
    dmesg: str = ''
    results: int = 0
    reboots: int = 0


def _row(words, defaults):
    name, lane, word, *settings = words
    values = dict(defaults)
    for setting in settings:
        key, equals, value = setting.partition('=')
        if not equals or key not in Row.__annotations__ | Case.__annotations__:
            raise ValueError(f'{setting}: what is this?')
        values[key] = int(value) if key in _NUMBERS else value
    own = {key: values.pop(key) for key in _OWN if key in values}
    for key in ('match', 'says', 'dmesg'):
        re.compile(own.get(key, ''))
    return Row(Case(name, **values), lane, word, **own)


def read(path, defaults):
    """The rows of a table. `defaults` holds the values of keys that a row leaves out."""
    rows = []
    with open(path, encoding='utf-8') as table:
        for number, line in enumerate(table, 1):
            try:
                words = shlex.split(line, comments=True)
                if words:
                    rows.append(_row(words, defaults))
            except (ValueError, TypeError, re.error) as e:
                raise RigError(f'{path}:{number}: {e}') from e
    return rows


def tasks(rows):
    """The rows as lists that need nothing of one another: one that has {NAME} comes with all before it from
    the row on whose `match` finds NAME."""
    done, found = [], {}
    for row in rows:
        wants = [found[m[1]] for m in _VARIABLE.finditer(row.case.cmdline) if m[1] in found]
        if wants:
            done[min(wants):] = [[row for task in done[min(wants):] for row in task]]
            done[-1].append(row)
        else:
            done.append([row])
        found |= dict.fromkeys(re.compile(row.match).groupindex, len(done) - 1)
    return done


def filled(row, variables):
    """The row with its command line's variables replaced; RigError if one has no value."""
    def number(match):
        if match[1] not in variables:
            raise RigError(f'{row.case.name}: no earlier row found {{{match[1]}}}')
        return str(int(variables[match[1]]) + int(match[2] or 0))
    return dataclasses.replace(row, case=dataclasses.replace(
        row.case, cmdline=_VARIABLE.sub(number, row.case.cmdline)))


def unmet(row, verdict, line, log, dmesg, variables):
    """
    What of the row's expectations is not met, as sentences; puts into `variables` what `match`
    found.

    line is the rig's own line, log the guest's console, dmesg the end of `xl dmesg`, all text.
    """
    sentences = []
    if verdict.word != row.word:
        sentences.append(f'{row.word} was expected')
    found = re.search(row.match, log, re.M)
    if not found:
        sentences.append(f'the log does not match {row.match!r}')
    else:
        variables.update(found.groupdict())
    if not re.search(row.says, line):
        sentences.append(f'the rig does not say {row.says!r}')
    if not re.search(row.dmesg, dmesg, re.M):
        sentences.append(f'xl dmesg does not match {row.dmesg!r}')
    if row.results and len(verdict.tests) != row.results:
        sentences.append(f'{len(verdict.tests)} tests have an outcome, not {row.results}')
    return sentences
