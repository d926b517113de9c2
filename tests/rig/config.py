# SPDX-License-Identifier: MIT
"""
What a run is asked to be, read from the environment once (`make help` tells users):

    LANE      domu dom0 smoke bare xl      MEMORY   MiB of the guest (128)
    VCPUS     of the guest (1)             CMDLINE  added to the guest's command line
    CPU       QEMU's model (max,-smap)     ACCEL    tcg or kvm (tcg)
    XEN       another hypervisor           XEN_DEBS directory with another Xen's .debs
    XEN_ARGS  added to Xen's command line  QEMU     another qemu-system-x86_64
    QEMU_ARGS added to QEMU's command line
    V=1       Xen's and dom0's chatter on the screen too
    TIME      seconds that a guest may take; SILENCE: that it may say nothing
    B         build directory (build)      CACHE    downloads and what is made of them (.cache)
    MODULE   file that the guest gets as its boot module
    RIG_OVERLAY  directory whose files are laid over dom0's (see rig.py)
"""

import dataclasses
import os
import secrets

RIG = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(RIG))


class RigError(Exception):
    """The rig, Xen, dom0 or xl did not get as far as the guest: the word RIG, and why."""


class Interrupted(Exception):
    """A signal asks the rig to go; .status is its exit status."""

    def __init__(self, status):
        super().__init__(f'interrupted ({status})')
        self.status = status


@dataclasses.dataclass(frozen=True)
class Config:
    """The variables above. Paths are absolute. memory is in MiB, limits are in seconds."""
    lane: str = 'domu'
    memory: int = 128
    vcpus: int = 1
    cmdline: str = ''
    cpu: str = 'max,-smap'
    accel: str = 'tcg'
    xen: str = ''
    xen_debs: str = ''
    xen_args: str = ''
    qemu_args: str = ''
    qemu: str = 'qemu-system-x86_64'
    verbose: bool = False
    time: float = 300
    silence: float = 60
    build: str = os.path.join(TOP, 'build')
    cache: str = os.path.join(TOP, '.cache')
    module: str = ''
    overlay: str = ''

    @property
    def kernel(self):
        return os.path.join(self.build, 'pinion.elf')

    @property
    def hypervisor(self):
        """The smoke lane's own hypervisor (tests/smoke)."""
        return os.path.join(self.build, 'smoke.elf')

    def logs(self, name):
        """The directory for the logs of `name`, which is there and empty of an earlier run's."""
        path = os.path.join(self.build, 'logs', name)
        os.makedirs(path, exist_ok=True)
        for old in os.listdir(path):
            os.unlink(os.path.join(path, old))
        return path


_NAMES = {'build': 'B', 'overlay': 'RIG_OVERLAY'}
_PATHS = ('build', 'cache', 'xen', 'xen_debs', 'module', 'overlay')


def _value(field, text):
    if field.name == 'verbose':
        return text != '0'
    if field.name in _PATHS:
        return os.path.abspath(text)
    try:
        return field.type(text)
    except ValueError:
        raise RigError(f'{field.name.upper()}={text} is no number') from None


def from_environment(env=None):
    """The Config that the environment asks for; an empty variable is as good as none."""
    env = os.environ if env is None else env
    given = {}
    for field in dataclasses.fields(Config):
        text = env.get('V' if field.name == 'verbose' else
                       _NAMES.get(field.name, field.name.upper()), '')
        if text:
            given[field.name] = _value(field, text)
    return Config(**given)


replace = dataclasses.replace


def fresh_nonce():
    """A nonce for one boot: what the guest repeats, and no earlier guest can have known."""
    return secrets.token_hex(4)


def option(cmdline, name):
    """The value of the last `name=VALUE` on a guest's command line, or None."""
    words = [w for w in cmdline.split() if w.startswith(name + '=')]
    return words[-1].partition('=')[2] if words else None
