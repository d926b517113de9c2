# SPDX-License-Identifier: MIT
"""
What a person sees while the rig works: stages, and the guest's console as it comes.

The screen is for people only. Nothing that is printed here is ever judged: the verdict comes from
what was recorded.
"""

import re
import sys
import time

import ktap

_START = time.monotonic()
_XEN = re.compile(rb'\((XEN|d[0-9]+)\)[^\n]*\n')


def stage(text):
    """A line of the rig's own: `[rig  4.2s] dom0 is up`."""
    print(f'[rig {time.monotonic() - _START:5.1f}s] {text}', flush=True)


def took(what, aim=None):
    """
    How long the rig has worked, and the seconds that it should take on an idle machine of two CPUs.
    Said, never judged: a machine may have other things to do.
    """
    stage(f'{what} is done' + (f' (aim: {aim} s)' if aim else ''))


class Lines:
    """
    Bytes in, lines out: feed() returns those that are complete, as text without control characters.
    With `shared`, lines of Xen that cut into the guest's are taken out first, into .chatter.
    """

    def __init__(self, shared=False):
        self._shared = shared
        self._rest = b''
        self.chatter = []

    def feed(self, data):
        self._rest += data
        if self._shared:
            self._rest = _XEN.sub(self._set_aside, self._rest)
            if _XEN_BEGINS.search(self._rest):
                # A line of Xen has begun and may yet prove to be in the middle of one of the
                # guest's.
                return []
        *lines, self._rest = self._rest.split(b'\n')
        return [ktap.text(line.rstrip(b'\r')) for line in lines]

    def _set_aside(self, match):
        self.chatter.append(ktap.text(match[0].rstrip()))
        return b''

    def rest(self):
        """What came after the last newline."""
        rest, self._rest = self._rest, b''
        return [ktap.text(rest)] if rest.strip() else []


_XEN_BEGINS = re.compile(rb'\((XEN|d[0-9]+)\)[^\n]*\Z')


class Screen:
    """Shows a guest's console: bulk lines stay off it, chatter of Xen and dom0 but for V=1."""

    def __init__(self, verbose, shared=False, quiet=False):
        self._verbose = verbose
        self._quiet = quiet
        self._lines = Lines(shared)

    def feed(self, data):
        """Shows what `data` completes; returns the guest's own lines."""
        lines = self._lines.feed(data)
        self._show(lines)
        return lines

    def close(self):
        self._show(self._lines.rest())

    def _show(self, lines):
        if self._verbose:
            for line in self._lines.chatter:
                print(line)
        self._lines.chatter.clear()
        if not self._quiet or self._verbose:
            for line in lines:
                if self._verbose or not line.startswith('V '):
                    print(line)
        sys.stdout.flush()
