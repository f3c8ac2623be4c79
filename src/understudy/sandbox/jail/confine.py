"""What the runner gives up before it forks its first worker: namespaces, rights, user, files.

    close_in()   -> Layers(namespaces=("net", "pid", "ipc", "uts", "mnt"), landlock=7, uid=65534, notes=())

Every layer here may be missing (a container's profile forbids namespaces, an old kernel has no Landlock); that is
noted, not fatal, for the system-call filter that each worker puts on alone refuses all that these refuse. That one may
not be missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
from dataclasses import dataclass

from understudy.sandbox.jail import landlock, seccomp

_NAMESPACES = {"net": 0x40000000, "pid": 0x20000000, "ipc": 0x08000000, "uts": 0x04000000, "mnt": 0x00020000}
_NEW_USER = 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_CAPABILITY_VERSION = 0x20080522
_NOBODY = 65534
_libc = ctypes.CDLL(None, use_errno=True)
OPEN_FILES = 16
"""Most descriptors of a worker."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What holds around every worker, and a sentence for each layer that this system does not give."""

    namespaces: tuple[str, ...] = ()
    landlock: int = 0
    uid: int = 0
    notes: tuple[str, ...] = ()


def close_in() -> Layers:
    """Give up everything that can be given up; the calling process can still fork and answer on what it has open."""
    notes = []
    namespaces, inside = _leave_namespaces()
    if not namespaces:
        notes.append("no namespaces: this system forbids unshare(2) to us")
    _libc.prctl(seccomp.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = landlock.close_files()
    if not version:
        notes.append("no Landlock: the kernel (5.13 or later) lacks it, or it is switched off")
    if os.getuid() == 0 and not inside:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError as error:
            notes.append(f"still root: the user {_NOBODY} cannot be taken ({error.strerror})")
    _drop_capabilities()
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if namespaces and not _first_of_namespace():
        notes.append("the process namespace has no first process")
    return Layers(namespaces, version, os.getuid(), tuple(notes))


def _leave_namespaces() -> tuple[tuple[str, ...], bool]:
    """Enter fresh, empty namespaces. Returns which, and whether a user namespace was needed for it."""
    wanted = sum(_NAMESPACES.values())
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(wanted) == 0:
        return tuple(_NAMESPACES), False
    if _libc.unshare(wanted | _NEW_USER) == 0:
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{_NOBODY} {group} 1"),
            ("uid_map", f"{_NOBODY} {user} 1"),
        ):
            # a root without its capabilities may not be mapped, and then has no user here at all
            with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        return ("user", *_NAMESPACES), True
    return (), False


def _drop_capabilities() -> None:
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _libc.capset(ctypes.c_char_p(struct.pack("Ii", _CAPABILITY_VERSION, 0)), ctypes.c_char_p(bytes(24)))


def _first_of_namespace() -> bool:
    """Fork the process that is number 1 of the new namespace and sleeps until the runner is gone.

    Number 1 ignores signals it has not asked for, its own timers among them, so that no worker may be it; and with it
    all the others die.
    """
    try:
        first = os.fork()
    except OSError:
        return False
    if first == 0:
        die_with_parent()
        os.closerange(0, 1024)
        while True:
            signal.pause()
    return True


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def limit(memory: int, cpu_s: int) -> None:
    """Set the resource limits of a worker: `memory` bytes of address space, `cpu_s` seconds of CPU, no files, no core."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 2))
