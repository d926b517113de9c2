# SPDX-License-Identifier: MIT
"""
What QEMU is given to boot: the hypervisor, dom0's kernel, dom0's initramfs.

                  tests/rig/deps             images.py
    Debian's .debs -----------> .cache/root ----------> .cache/images/   kept, named by a hash
    pinion.elf, xl-run, overlay ----------------------> initramfs        appended in each run

Nothing of Debian's is installed and none of it runs outside QEMU. What is kept is named by a hash
of all that it was made from, so that it can't be stale.
"""

import glob
import gzip
import hashlib
import lzma
import os
import struct
import subprocess

import cpio
import elf
from config import RIG, RigError

# The programs that dom0 runs, all from Xen's own directory of them.
TOOLS = ('xl', 'xenstored', 'xenconsoled', 'xenconsole', 'xen-init-dom0', 'libxl-save-helper',
         'xenctx')
# dom0/init loads them in this order: a module before those that need it.
MODULES = ('virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci',
           'virtio_console', 'xen-privcmd', 'xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'xenfs')
# Opened by name at run time, so that no DT_NEEDED tells: pthread_cancel unwinds through it.
DLOPENED = ('libgcc_s.so.1',)
_LIBRARY_DIRS = ('usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu')
_DIRECTORIES = ('dev', 'proc', 'sys', 'tmp', 'root', 'run', 'sbin', 'usr/bin', 'usr/sbin',
                'var/lock', 'var/run/xen', 'var/lib/xenstored', 'var/lib/xen', 'var/log/xen',
                'etc/xen', 'rig')


def roots(cfg):
    """The directories that hold Xen's and Debian's unpacked packages, Xen's first."""
    env = dict(os.environ, CACHE=cfg.cache, XEN_DEBS=cfg.xen_debs)
    done = subprocess.run([os.path.join(RIG, 'deps'), 'rig'], env=env, stdout=subprocess.PIPE,
                          text=True, check=False)
    found = done.stdout.split('\n')[:-1]
    if done.returncode or len(found) != 2:
        raise RigError('the packages of Xen and dom0 could not be had (tests/rig/deps rig)')
    return found[::-1]


def _read(path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError as e:
        raise RigError(f'{path}: {e.strerror}') from e


def write(path, data):
    """Writes `data` so that `path` is there whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f'{path}.{os.getpid()}'
    with open(part, 'wb') as f:
        f.write(data)
    os.rename(part, path)


def _prune(path, keep=4):
    """Of the files that are named like `path` but for its hash, only the newest stay."""
    stem = path.rpartition('-')[0]
    for old in sorted(glob.glob(stem + '-*'), key=os.path.getmtime)[:-keep]:
        os.unlink(old)


def _one(trees, pattern):
    """The file that matches `pattern` in the first of `trees` that has one."""
    for tree in trees:
        hits = sorted(glob.glob(os.path.join(tree, pattern), recursive=True))
        if hits:
            return hits[-1]
    raise RigError(f'no {pattern} in the packages ({" ".join(trees)})')


def _kept(cfg, name, source, make):
    """Path of what `make` makes of the bytes of the file `source`; made once."""
    data = _read(source)
    path = os.path.join(cfg.cache, 'images', f'{name}-{hashlib.sha256(data).hexdigest()[:16]}')
    if not os.path.exists(path):
        try:
            write(path, make(data))
            _prune(path)
        except (OSError, EOFError, lzma.LZMAError, struct.error) as e:
            raise RigError(f'{source}: {e}') from e
    return path


def _gunzipped(data):
    return gzip.decompress(data) if data[:2] == b'\x1f\x8b' else data


def hypervisor(cfg):
    """Path of the uncompressed hypervisor: XEN=path, or that of the packages."""
    return _kept(cfg, 'xen', cfg.xen or _one(roots(cfg), 'boot/xen-*.gz'), _gunzipped)


def _vmlinux(data):
    """
    The ELF file inside a bzImage, when it is compressed by xz. Xen boots either, but unpacks the
    latter at an emulated processor's speed: two seconds of each boot.

    Fields: Linux, Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).
    """
    sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from('<II', data, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = data[start:start + length]
    if payload[:6] != b'\xfd7zXZ\0':
        return data
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


class Dom0:
    """dom0 as it is booted: .kernel is a path; initramfs() makes the archive of one run."""

    def __init__(self, cfg):
        self._cfg = cfg
        self._trees = roots(cfg)
        bzimage = _one(self._trees, 'boot/vmlinuz-*')
        self._release = os.path.basename(bzimage).removeprefix('vmlinuz-')
        self.kernel = _kept(cfg, 'vmlinux', bzimage, _vmlinux)
        self._base = self._cached(self._files())

    def _library(self, name):
        for folder in _LIBRARY_DIRS:
            for tree in self._trees:
                path = os.path.join(tree, folder, name)
                if os.path.exists(path):
                    return path
        raise RigError(f'no package of tests/rig/packages holds the library {name}')

    def _files(self):
        """{path in dom0: (path here, mode)} of everything that comes from packages."""
        files = {'bin/busybox': (_one(self._trees, 'bin/busybox'), 0o755)}
        todo = list(DLOPENED)
        for tool in TOOLS:
            source = _one(self._trees, f'usr/lib/xen-*/bin/{tool}')
            tree = next(t for t in self._trees if source.startswith(t + '/'))
            files[os.path.relpath(source, tree)] = (source, 0o755)
            loader, libraries = elf.needed(source)
            todo += libraries
            if loader:
                files[loader.strip('/')] = (self._library(os.path.basename(loader)), 0o755)
        seen = set()
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                source = self._library(name)
                files['lib/x86_64-linux-gnu/' + name] = (source, 0o755)
                todo += elf.needed(source)[1]
        for module in MODULES:
            source = _one(self._trees, f'lib/modules/{self._release}/kernel/**/{module}.ko')
            files[f'lib/modules/{module}.ko'] = (source, 0o644)
        return files

    def _cached(self, files):
        """Path of the base archive; built if there is none of just these files."""
        init = _read(os.path.join(RIG, 'dom0/init'))
        key = hashlib.sha256(init + _read(__file__) + _read(cpio.__file__))
        for path, (source, mode) in sorted(files.items()):
            status = os.stat(source)
            key.update(f'{path} {source} {mode} {status.st_size} {status.st_mtime_ns}\n'.encode())
        target = os.path.join(self._cfg.cache, 'images', f'dom0-{key.hexdigest()[:16]}.cpio')
        if not os.path.exists(target):
            archive = cpio.Archive()
            for name in _DIRECTORIES:
                archive.directory(name)
            for path, (source, mode) in sorted(files.items()):
                archive.file(path, _read(source), mode)
            archive.char_device('dev/console', 5, 1)
            archive.file('etc/xen/xl.conf', '')
            archive.file('lib/modules/order', '\n'.join(MODULES) + '\n')
            archive.file('init', init, 0o755)
            write(target, bytes(archive))
            _prune(target)
        return target

    def initramfs(self, target):
        """Writes dom0's initramfs for one run to `target`: base, kernel, xl-run, overlay."""
        archive = cpio.Archive()
        archive.file('rig/pinion.elf', _read(self._cfg.kernel))
        archive.file('rig/xl-run', _read(os.path.join(RIG, 'xl-run')), 0o755)
        archive.file('rig/pinion.cfg', _read(os.path.join(RIG, 'cfg/pinion.cfg')))
        data = _read(self._base) + bytes(archive)
        if self._cfg.overlay:
            late = cpio.Archive()
            late.tree(self._cfg.overlay)
            data += bytes(late)
        write(target, data)
