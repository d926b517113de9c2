#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What comes out of dom0, played: ship_check.py CASE prints what the rig makes of it.

A stub takes the place of QEMU. It answers the rig's order with given bytes, a few at a time, so
that marks come in pieces too.
"""

import hashlib
import io
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import config  # noqa: E402
import dom0  # noqa: E402

_PIECE = 7
_TOKEN = '@0123456789abcdef'


class Stub:
    """Gives `answer` piece by piece; when it is spent, nothing more comes."""

    def __init__(self, answer):
        self.received, self._answer = b'', answer

    def send(self, _):
        """Takes any order."""

    def pump(self, _):
        """As Qemu.pump()."""
        self.received += self._answer[:_PIECE]
        self._answer = self._answer[_PIECE:]
        return b''


def place(answer):
    """A QemuDom0 whose dom0 gives this answer; @TOKEN stands for the session's mark."""
    there = dom0.QemuDom0.__new__(dom0.QemuDom0)
    there._token = _TOKEN
    there._cfg = config.Config()
    there._qemu = Stub(answer.replace(b'@TOKEN', there._token.encode()))
    return there


def tar(files):
    """The bytes of an archive of {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        for name, data in files.items():
            info = tarfile.TarInfo('./' + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def shipped(data, length=None, checksum=None):
    """What dom0 writes to ship `data`, or to lie about it."""
    checksum = checksum or hashlib.sha256(data).hexdigest()
    return b'noise\n@TOKEN ship %d %s\n' % (length or len(data), checksum.encode()) + data


def fetch(answer):
    """What _fetch() makes of it."""
    try:
        return place(answer)._fetch('/rig/cases/x')
    except (dom0.Cut, config.RigError) as e:
        return f'{type(e).__name__}: {e}'


def order(answer):
    """The status and the output that order() makes of it."""
    said = []
    try:
        status = place(answer).order('true', 0.2, said.append)
    except config.RigError as e:
        status = f'RigError: {e}'
    return status, b''.join(said)


_DATA = tar({'guest.log': b'line\n' * 100 + b'\xff\n' + _TOKEN.encode() + b' 0\n',
             'ended': b'poweroff\n'})
_CASES = {
    'whole': lambda: sorted((n, len(d)) for n, d in fetch(shipped(_DATA)).items()),
    'changed': lambda: fetch(shipped(_DATA.replace(b'line', b'lime', 1),
                                     checksum=hashlib.sha256(_DATA).hexdigest())),
    'short': lambda: fetch(shipped(_DATA[:-100], length=len(_DATA))),
    'silent': lambda: fetch(b''),
    'status': lambda: order(b'Pinion\n\n@TOKEN 3\n'),
    'forged': lambda: order(b'Pinion\n@0000000000000000 0\n\n@TOKEN 4\n'),
    'no-end': lambda: order(b'Pinion\nand no more'),
}

if __name__ == '__main__':
    dom0._SHIP_LIMIT = dom0._MARK_LIMIT = 0.2
    print(_CASES[sys.argv[1]]())
