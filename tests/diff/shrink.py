# SPDX-License-Identifier: MIT
"""
Makes a trace that shows something as short as it gets.

A boot costs seconds and a trace a millisecond: so each round tries all that could be left out, in one replay.
"""

import traces as t

_ROUNDS = 14
_MOST = 700  # candidates of a round


def _slices(calls):
    """Without a run of calls, of every size that is a power of two."""
    size = len(calls) // 2 or 1
    while size:
        for start in range(0, len(calls), size):
            yield calls[:start] + calls[start + size:]
        size //= 2


def _without(calls, leave):
    return [call for n, call in enumerate(calls) if n not in leave]


def _unions(calls, single):
    """Without several of those calls that could each be left out alone."""
    size = len(single)
    while size > 1:
        for start in range(0, len(single), size):
            yield _without(calls, set(single[start:start + size]))
        size = (size + 1) // 2 if size > 2 else 0


def _simpler(calls):
    """With a call made simpler: a batch without one of its requests, a multicall's calls by themselves."""
    for n, call in enumerate(calls):
        head = call[0]
        if head.kind == t.MULTICALL:
            yield calls[:n] + t.inner_calls(call) + calls[n + 1:]
        elif head.kind in (t.UPDATE, t.EXT) and head.count > 1:
            for leave in range(1, len(call)):
                fewer = t.dataclasses.replace(head, count=head.count - 1)
                yield calls[:n] + [[fewer] + call[1:leave] + call[leave + 1:]] + calls[n + 1:]


def shrink(trace, bad):
    """
    The shortest trace found that is bad. bad(list of Trace) gives the numbers of those that are; they are numbered
    from 0.
    """
    best, single = trace.calls, []
    for _ in range(_ROUNDS):
        tries = [*_unions(best, single), *_slices(best), *_simpler(best)][:_MOST]
        found = bad([t.Trace(n, calls) for n, calls in enumerate(tries)])
        good = sorted(found, key=lambda n: sum(map(len, tries[n])))
        if not good:
            break
        ones = {n for n in found if len(tries[n]) == len(best) - 1}
        single = [n for n in range(len(best))
                  if any(tries[m] == _without(best, {n}) for m in ones)]
        kept = [call for n, call in enumerate(best) if n not in single]
        best = tries[good[0]]
        # What could be left out, as far as it is there still.
        single = [n for n, call in enumerate(best) if not any(call is other for other in kept)]
    return t.Trace(trace.number, best)
