# SPDX-License-Identifier: MIT
"""
One QEMU: started, listened to, and never left behind.

       rig                      QEMU
    serial() <---- stdout ---- com1        the machine's serial line; all of it goes to a file
    channel  <-- socketpair -> virtserialport `rig`   only if asked for (dom0.py)
    monitor  <-- socketpair -> QMP         registers of a machine that hangs

QEMU is the leader of a process group of its own, so that a ^C on the terminal reaches the rig
alone; the group is killed on every way out of the `with` block. Should the rig itself be killed,
the kernel kills QEMU (PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import json
import os
import selectors
import shlex
import signal
import socket
import subprocess
import time

from config import RigError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """This process is killed when the one that started it is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Qemu:
    """
    A running machine, as a context manager.

    cfg         Config: qemu, qemu_args, cpu, accel
    args        QEMU's other arguments (-kernel, -m, ...)
    serial_log  path that gets every byte of the serial line
    channel     whether the machine gets the virtserialport `rig`
    """

    def __init__(self, cfg, args, serial_log, channel=False):
        self._ours, self._theirs = [], []
        command = [cfg.qemu, '-cpu', cfg.cpu, '-accel', cfg.accel, '-display', 'none', '-no-reboot',
                   '-nodefaults', '-serial', 'stdio', *shlex.split(cfg.qemu_args)]
        self.channel = self._socket(command, 'rig') if channel else None
        if channel:
            command += ['-device', 'virtio-serial-pci',
                        '-device', 'virtserialport,chardev=rig,name=rig']
        self._monitor = self._socket(command, 'qmp')
        command += ['-mon', 'chardev=qmp,mode=control', *args]
        self._log = open(serial_log, 'wb')
        self._errors = open(os.path.splitext(serial_log)[0] + '.qemu', 'w+b')
        self._command = command
        self._process = None
        self._selector = selectors.DefaultSelector()
        self._serial_open = True
        self.received = b''

    def _socket(self, command, name):
        ours, theirs = socket.socketpair()
        self._ours.append(ours)
        self._theirs.append(theirs)
        command += ['-chardev', f'socket,id={name},fd={theirs.fileno()}']
        return ours

    def __enter__(self):
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=self._errors, pass_fds=[s.fileno() for s in self._theirs],
                start_new_session=True, preexec_fn=die_with_parent)
        except OSError as e:
            self.__exit__()
            raise RigError(f'{self._command[0]}: {e.strerror}') from e
        for sock in self._theirs:
            sock.close()
        self._serial = self._process.stdout.fileno()
        os.set_blocking(self._serial, False)
        self._selector.register(self._serial, selectors.EVENT_READ, self._read_serial)
        if self.channel:
            self.channel.setblocking(False)
            self._selector.register(self.channel, selectors.EVENT_READ, self._read_channel)
        return self

    def __exit__(self, *_):
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdout.close()
        for sock in self._ours + self._theirs:
            sock.close()
        self._selector.close()
        self._log.close()
        self._errors.close()

    def _read_serial(self):
        data = os.read(self._serial, 1 << 16)
        if not data:
            self._selector.unregister(self._serial)
            self._serial_open = False
        self._log.write(data)
        self._log.flush()
        return data

    def _read_channel(self):
        with contextlib.suppress(ConnectionError):
            data = self.channel.recv(1 << 16)
            if data:
                self.received += data
                return
        self._selector.unregister(self.channel)

    def pump(self, seconds):
        """
        Waits at most `seconds` for something to come, and takes it. Returns the serial line's new
        bytes, which may be none; None when the machine is gone and everything it said was taken.
        What came over the channel is appended to .received.
        """
        if not self._serial_open:
            return None
        serial = b''
        for key, _ in self._selector.select(seconds):
            serial += key.data() or b''
        return serial if serial or self._serial_open else None

    def status(self):
        """QEMU's exit status once pump() returned None."""
        return self._process.wait()

    def complaint(self):
        """What QEMU itself had to say (its standard error) but for warnings, as one line."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors='replace').splitlines()
        return ' '.join(line for line in lines if ' warning: ' not in line)

    def send(self, data, seconds=10):
        """Sends `data` over the channel; RigError if nobody takes it in time."""
        deadline = time.monotonic() + seconds
        view = memoryview(data)
        while view:
            try:
                view = view[self.channel.send(view):]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RigError('dom0 takes no orders any more') from None
                self.pump(0.05)
            except OSError as e:
                raise RigError(f'dom0 is gone ({e.strerror})') from e

    def registers(self):
        """The CPUs' registers by QEMU's monitor, as text; what went wrong if it does not answer."""
        self._monitor.settimeout(5)
        try:
            with self._monitor.makefile('rw') as qmp:
                qmp.readline()
                self._ask(qmp, 'qmp_capabilities')
                return self._ask(qmp, 'human-monitor-command', **{
                    'command-line': 'info registers -a'})
        except (OSError, ValueError) as e:
            return f'no registers: {e}\n'

    @staticmethod
    def _ask(qmp, command, **arguments):
        qmp.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        qmp.flush()
        while True:
            answer = json.loads(qmp.readline())
            if 'event' not in answer:
                return answer.get('return')
