# SPDX-License-Identifier: MIT
"""
A table's rows, done by several hands side by side: a guest keeps one CPU busy, a machine has more.

    tasks, largest first                      hand 1   a process with a place of its own for guests
      [r r r] [r] [r] [r] ...   --- next --->  hand 2   the same, if there is a second CPU

A task is one row, or rows that need one another in order. A hand is a process, so that its QEMU and what
it waits for are its own; it takes the next task that nobody has, until there are none. It dies with
the rig, as QEMU does with it (qemu.py).
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import sys

from config import Interrupted, RigError
from qemu import die_with_parent

_FORK = multiprocessing.get_context('fork')


def count():
    """How many hands there are: two, as two guests of the largest memory fit into any machine."""
    return min(2, len(os.sched_getaffinity(0)))


class _Tasks:
    """The tasks that nobody has taken yet, shared by the hands."""

    def __init__(self, tasks):
        self._tasks = tasks
        self._taken = _FORK.Array('b', len(tasks))

    def take(self, fits):
        """Each next task that `fits` and that is still there, until there is none."""
        while True:
            with self._taken.get_lock():
                number = next((n for n, task in enumerate(self._tasks)
                               if not self._taken[n] and fits(task)), None)
                if number is None:
                    return
                self._taken[number] = True
            yield self._tasks[number]


def _hand(work, number, tasks, pipe):
    """The life of a hand: what `work` returns goes into the pipe, or the sentence of its RigError."""
    die_with_parent()
    try:
        pipe.send((work(number, tasks), ''))
    except RigError as e:
        pipe.send(({}, str(e)))
    except Interrupted as e:
        sys.exit(e.status)


def share(tasks, work, hands):
    """
    Runs work(number, tasks) in each of `hands` processes, numbered from 0; tasks.take(fits) gives them
    what to do. Returns all that they return, {case: Verdict}, as one. The first RigError ends them all.
    """
    shared, outcomes, pipes, processes = _Tasks(tasks), {}, [], []
    try:
        for number in range(hands):
            ours, theirs = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_hand, args=(work, number, shared, theirs))
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        while pipes:
            for pipe in multiprocessing.connection.wait(pipes):
                pipes.remove(pipe)
                with contextlib.suppress(EOFError):
                    found, complaint = pipe.recv()
                    if complaint:
                        raise RigError(complaint)
                    outcomes |= found
                    continue
                raise RigError('what runs the guests ended without a word')
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    return outcomes
