# SPDX-License-Identifier: MIT
"""
A place where xl runs: the rig's own dom0 in QEMU, or this machine (LANE=xl).

Both take a directory of files, run the same script tests/rig/xl-run on it, and give back the files
that it left. How they come back from the rig's dom0:

    rig -> dom0    one line of shell
    dom0 -> rig    what it prints, then   \\n@TOKEN STATUS\\n
                   of `ship`:             \\n@TOKEN ship LENGTH SHA256\\n and LENGTH bytes of tar

TOKEN is fresh in each session and unknown to guests, so that nothing a guest prints can pass for
it. A length or a checksum that is wrong is a Cut.
"""

import base64
import hashlib
import io
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
import zlib

import images
import ktap
from config import RIG, RigError
from live import stage
from qemu import Qemu

_DOM0_MEMORY = 512
# Where the machine's RAM has its hole, which goes on at 4 GiB: so low that a guest which is given the
# machine's memory map (e820_host=1) need not be big to have the hole inside its own memory.
_HOLE = 128
_XEN_MEMORY = 128
_TAIL = 12  # lines of the serial line that are shown when dom0 fails
_BOOT_LIMIT = 120  # seconds to dom0's first stage
_STAGE_LIMIT = 30  # seconds for each of its stages
_MARK_LIMIT = 30  # seconds until dom0 begins to ship
_STORE_PIECE = 4000  # bytes of a line of shell, a multiple of 4
_SHIP_LIMIT = 15  # seconds without a byte of what dom0 ships
# Without what takes a second of each boot and what nobody here needs.
_DOM0_CMDLINE = ('console=hvc0 quiet rodata=off mitigations=off apparmor=0 audit=0 nmi_watchdog=0 '
                 'swiotlb=2048 panic=1')


class Cut(Exception):
    """What dom0 shipped is not what it said it would ship."""


class QemuDom0:
    """Debian's dom0 on Xen in QEMU, as a context manager; `logs` gets serial.log."""

    kernel = '/rig/pinion.elf'

    def __init__(self, cfg, logs, guest_memory):
        self._cfg = cfg
        self._logs = logs
        self._token = '@' + secrets.token_hex(8)
        self._image = images.Dom0(cfg)
        machine = _DOM0_MEMORY + _XEN_MEMORY + guest_memory + guest_memory // 32
        initramfs = os.path.join(logs, 'initramfs')
        self._image.initramfs(initramfs)
        self._qemu = Qemu(cfg, [
            '-m', str(machine), '-machine', f'max-ram-below-4g={_HOLE}M', '-kernel', images.hypervisor(cfg),
            '-append', f'console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all '
                       f'dom0_mem={_DOM0_MEMORY}M,max:{_DOM0_MEMORY}M dom0_max_vcpus=1 '
                       f'{cfg.xen_args}'.strip(),
            '-initrd', f'{self._image.kernel} {_DOM0_CMDLINE},{initramfs}',
        ], os.path.join(logs, 'serial.log'), channel=True)
        self._initramfs = initramfs

    def __enter__(self):
        self._qemu.__enter__()
        try:
            self._boot()
        except BaseException as e:
            self.__exit__(type(e))
            raise
        return self

    def __exit__(self, kind, *_):
        self._qemu.__exit__()
        if os.path.exists(self._initramfs):
            os.unlink(self._initramfs)
        if kind is RigError:
            # Where Xen or dom0 stopped is in what they said last.
            with open(os.path.join(self._logs, 'serial.log'), 'rb') as f:
                lines = [ktap.text(line) for line in f.read().replace(b'\r', b'').split(b'\n')]
            print('\n'.join([line for line in lines if line][-_TAIL:]))

    def _pump(self, seconds):
        """Waits for news; the serial line goes to its log, and with V=1 to the screen."""
        serial = self._qemu.pump(seconds)
        if serial is None:
            raise RigError(f'QEMU ended ({self._qemu.status()}) {self._qemu.complaint()}'.strip())
        if self._cfg.verbose and serial:
            print(serial.decode(errors='replace').replace('\r', ''), end='', flush=True)

    def _boot(self):
        stage('Xen and dom0 boot')
        reached = 'Xen or dom0'
        deadline = time.monotonic() + _BOOT_LIMIT
        while reached != 'up':
            if time.monotonic() > deadline:
                raise RigError(f'{reached} did not come up')
            try:
                self._pump(0.2)
            except RigError as e:
                raise RigError(f'{reached} did not come up: {e}') from e
            for line in self._take_lines():
                if line.startswith(b'@stage '):
                    reached = line[7:].decode()
                    deadline = time.monotonic() + _STAGE_LIMIT
                elif line.startswith(b'@failed '):
                    raise RigError(f'{reached} did not come up: {line[8:].decode()}')
        self._qemu.received = b''
        stage('dom0 is up')

    def _take_lines(self):
        *lines, self._qemu.received = self._qemu.received.split(b'\n')
        return lines

    def _until(self, pattern, seconds, on_output=lambda data: None):
        """Reads on until `pattern` (on bytes) matches; hands what precedes it to on_output."""
        deadline = time.monotonic() + seconds
        while True:
            match = pattern.search(self._qemu.received)
            if match:
                on_output(self._qemu.received[:match.start()])
                self._qemu.received = self._qemu.received[match.end():]
                return match
            # All but what may be the beginning of the mark can go out.
            keep = self._qemu.received.rfind(b'\n')
            ready = self._qemu.received if keep < 0 else self._qemu.received[:keep]
            if keep >= 0 and len(self._qemu.received) - keep > 200:
                ready = self._qemu.received
            if ready:
                on_output(ready)
                self._qemu.received = self._qemu.received[len(ready):]
            if time.monotonic() > deadline:
                raise RigError('dom0 does not answer any more')
            self._pump(0.2)

    def order(self, command, seconds, on_output=lambda data: None):
        """Runs a line of shell in dom0; its output goes to on_output, its status is returned."""
        mark = re.compile(rb'\n%s ([0-9]+)\n' % self._token.encode())
        self._qemu.send(f"{command}; printf '\\n{self._token} %d\\n' $?\n".encode())
        return int(self._until(mark, seconds, on_output)[1])

    def store(self, name, data):
        """Puts a file into dom0; its path there."""
        path = f'/rig/{name}'
        packed = base64.b64encode(zlib.compress(data, wbits=31))
        self.order(f': >{path}.gz', 20)
        for start in range(0, len(packed), _STORE_PIECE):
            piece = packed[start:start + _STORE_PIECE].decode()
            if self.order(f'echo {piece} | base64 -d >>{path}.gz', 20):
                raise RigError('dom0 could not store a file')
        if self.order(f'gunzip -f {path}.gz', 20):
            raise RigError('dom0 could not unpack a file')
        return path

    def run(self, name, files, seconds, on_output):
        """
        Runs xl-run on a directory with `files` ({name: text}); returns what it left, {name: bytes}.
        RigError if it takes longer than `seconds`, Cut if what comes back is not whole.
        """
        case = f'/rig/cases/{name}'
        # What Xen has to say of this guest is then all that `xl dmesg` shows.
        put = ['xl dmesg -c >/dev/null', f'mkdir -p {case}']
        for file, text in files.items():
            encoded = base64.b64encode(text.encode()).decode()
            put.append(f'echo {encoded} | base64 -d >{case}/{file}')
        if self.order(' && '.join(put), 20):
            raise RigError('dom0 could not store a case, or has no xl that works')
        self.order(f'/rig/xl-run {case}', seconds, on_output)
        return self._fetch(case)

    def _fetch(self, directory):
        token = self._token.encode()
        self._qemu.send(f"ship {shlex.quote(directory)} {self._token}\n".encode())
        mark = re.compile(rb'\n%s ship ([0-9]+) ([0-9a-f]{64})\n' % token)
        match = self._until(mark, _MARK_LIMIT)
        length, checksum = int(match[1]), match[2].decode()
        came, deadline = 0, time.monotonic() + _SHIP_LIMIT
        while len(self._qemu.received) < length:
            if len(self._qemu.received) > came:
                came, deadline = len(self._qemu.received), time.monotonic() + _SHIP_LIMIT
            if time.monotonic() > deadline:
                raise Cut(f'{came} of {length} bytes came out of dom0')
            self._pump(0.2)
        data, self._qemu.received = self._qemu.received[:length], self._qemu.received[length:]
        if hashlib.sha256(data).hexdigest() != checksum:
            raise Cut('what came out of dom0 has another checksum than in dom0')
        files = {}
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if member.isfile():
                    files[os.path.basename(member.name)] = archive.extractfile(member).read()
        return files


class LocalDom0:
    """This machine, which is a Xen host and lets us run xl."""

    def __init__(self, cfg):
        self.kernel = cfg.kernel
        self._where = None

    def __enter__(self):
        if not shutil.which('xl'):
            raise RigError('LANE=xl: there is no xl here; this machine is no Xen host')
        self._where = tempfile.mkdtemp(prefix='pinion-')
        return self

    def __exit__(self, *_):
        shutil.rmtree(self._where)

    def run(self, name, files, seconds, on_output):
        """As QemuDom0.run()."""
        case = os.path.join(self._where, name)
        os.makedirs(case)
        for file, text in files.items():
            with open(os.path.join(case, file), 'w') as f:
                f.write(text)
        deadline = time.monotonic() + seconds
        with subprocess.Popen([os.path.join(RIG, 'xl-run'), case], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL) as script:
            try:
                while data := os.read(script.stdout.fileno(), 1 << 16):
                    on_output(data)
                    if time.monotonic() > deadline:
                        raise RigError('xl does not answer any more')
            finally:
                # It destroys its domain before it goes.
                if script.poll() is None:
                    script.terminate()
                    script.wait()
        left = {}
        for file in os.listdir(case):
            with open(os.path.join(case, file), 'rb') as f:
                left[file] = f.read()
        return left
