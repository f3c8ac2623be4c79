"""Landlock: the process and its children may open no file, no TCP port, no abstract socket, and signal nobody outside.

    close_files()    -> 7           the version of Landlock in this kernel, all of which now holds
    close_files()    -> 0           this kernel has none, or it is switched off

A second wall behind the system-call filter: it also holds for the runner, which is not filtered. It is not enough
alone, for it knows nothing of UDP, of processes or of most system calls. See landlock(7); no rule is added, so
everything the kernel can handle is refused.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE, _RESTRICT = 444, 446
_VERSION_FLAG = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each version knows; later ones know as many as version 5, as far as they are named here."""
_BIND_AND_CONNECT = 0b11
_SOCKETS_AND_SIGNALS = 0b11


def close_files() -> int:
    """Give up all that Landlock can take away; needs no_new_privs. Returns the kernel's version of it, 0 if none."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version <= 0:
        return 0
    rights = (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1
    table = struct.pack("QQQ", rights, _BIND_AND_CONNECT, _SOCKETS_AND_SIGNALS)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = libc.syscall(_CREATE, ctypes.c_char_p(table), ctypes.c_size_t(size), 0)
    if handle < 0:
        return 0
    try:
        return int(version) if libc.syscall(_RESTRICT, handle, 0) == 0 else 0
    finally:
        os.close(handle)
