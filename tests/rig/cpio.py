# SPDX-License-Identifier: MIT
"""Archives in cpio's 'newc' format, which is what Linux unpacks as its initramfs.

An archive is a row of entries, each a header of 6 magic bytes and 13 numbers of 8 hex digits, the
name, the data; name and data are padded to 4 bytes. The entry TRAILER!!! ends it. Linux takes
several archives one after the other, and a file in a later one replaces that of an earlier one: so
the rig keeps one big archive and appends a small one in each run.

Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import os
import stat

_TRAILER = 'TRAILER!!!'


class Archive:
    """Collects entries; bytes() is the archive. Parent directories come by themselves."""

    def __init__(self):
        self._parts = []
        self._seen = set()
        self._inode = 0
        self._size = 0

    def _append(self, data):
        self._parts.append(data)
        self._size += len(data)
        pad = -self._size % 4
        if pad:
            self._parts.append(b"\0" * pad)
            self._size += pad

    def _entry(self, name, mode, data=b'', rdev=(0, 0)):
        self._inode += 1
        encoded = os.fsencode(name) + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        numbers = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, *rdev, len(encoded), 0)
        header = b'070701' + b''.join(b'%08x' % n for n in numbers)
        self._append(header + encoded)
        if data:
            self._append(data)

    def directory(self, path):
        """A directory and those above it; one that is there already is left alone."""
        path = path.strip('/')
        if not path or path in self._seen:
            return
        self.directory(os.path.dirname(path))
        self._seen.add(path)
        self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, path, data, mode=0o644):
        """A plain file with `data` (bytes or str)."""
        path = path.strip('/')
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def symlink(self, path, target):
        """A symbolic link `path` that says `target`."""
        path = path.strip('/')
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFLNK | 0o777, os.fsencode(target))

    def char_device(self, path, major, minor):
        """A character device."""
        path = path.strip('/')
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def tree(self, top):
        """All that lies below the directory `top`, links as links, under the same names."""
        for folder, names, files in os.walk(top):
            names.sort()
            links = [name for name in names if os.path.islink(os.path.join(folder, name))]
            for name in sorted(files + links):
                source = os.path.join(folder, name)
                path = os.path.relpath(source, top)
                if os.path.islink(source):
                    self.symlink(path, os.readlink(source))
                else:
                    with open(source, 'rb') as f:
                        self.file(path, f.read(), stat.S_IMODE(os.stat(source).st_mode))

    def __bytes__(self):
        mark = len(self._parts)
        self._entry(_TRAILER, 0)
        data = b''.join(self._parts)
        del self._parts[mark:]
        return data + b"\0" * (-len(data) % 512)
