# SPDX-License-Identifier: MIT
"""Which shared libraries an ELF64 file asks for: what ldd tells, without running the file.

Only what is needed for that is read: the program headers, and the entries of the dynamic segment
DT_NEEDED (names), DT_STRTAB and DT_STRSZ (where the names are), PT_INTERP (the loader).
"""

import struct

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def _cstring(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


def needed(path):
    """(loader or None, [library names]) of the ELF64 file `path`; (None, []) if it is no ELF64."""
    with open(path, 'rb') as f:
        data = f.read()
    if data[:5] != b"\x7fELF\x02":
        return None, []
    phoff, = struct.unpack_from('<Q', data, 32)
    phentsize, phnum = struct.unpack_from('<HH', data, 54)
    segments = [struct.unpack_from('<IIQQQQQQ', data, phoff + i * phentsize) for i in range(phnum)]

    def offset_of(address):
        for kind, _, offset, vaddr, _, filesz, _, _ in segments:
            if kind == _PT_LOAD and vaddr <= address < vaddr + filesz:
                return offset + address - vaddr
        raise ValueError(f"{path}: no segment holds {address:#x}")

    loader, names, strtab = None, [], None
    for kind, _, offset, _, _, filesz, _, _ in segments:
        if kind == _PT_INTERP:
            loader = _cstring(data, offset)
        elif kind == _PT_DYNAMIC:
            for entry in range(offset, offset + filesz, 16):
                tag, value = struct.unpack_from('<QQ', data, entry)
                if tag == _DT_NULL:
                    break
                if tag == _DT_NEEDED:
                    names.append(value)
                elif tag == _DT_STRTAB:
                    strtab = offset_of(value)
    return loader, [_cstring(data, strtab + name) for name in names]
