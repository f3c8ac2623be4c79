"""The proof, at every start, that the jail is closed: a worker tries to get out, in ways that harm nobody.

    escapes(fd, "/path/of/a/file")    -> []                    nothing got through
    escapes(fd, "/path/of/a/file")    -> ["open a file", ...]  something did: no program may run here

It goes around Python and calls the kernel, for a program that has broken out of the interpreter would, too. Each
attempt must end with the filter's own error; any other end, be it a failure, says that the call got through to the
kernel.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import struct

_NUMBERS = {
    "x86_64": {"openat": 257, "socket": 41, "clone": 56, "execve": 59, "kill": 62, "prctl": 157, "ptrace": 101,
               "unshare": 272, "memfd_create": 319, "io_uring_setup": 425, "bpf": 321, "setrlimit": 160, "fcntl": 72,
               "process_vm_readv": 310, "userfaultfd": 323, "rt_sigaction": 13, "write": 1, "read": 0, "ioctl": 16},
    "aarch64": {"openat": 56, "socket": 198, "clone": 220, "execve": 221, "kill": 129, "prctl": 167, "ptrace": 117,
                "unshare": 97, "memfd_create": 279, "io_uring_setup": 425, "bpf": 280, "setrlimit": 164, "fcntl": 25,
                "process_vm_readv": 270, "userfaultfd": 282, "rt_sigaction": 134, "write": 64, "read": 63, "ioctl": 29},
}  # fmt: skip
_AT_FDCWD = -100
_O_CREAT_WRONLY = 0o101


def escapes(answer_fd: int, file: str) -> list[str]:
    """What this process can do and should not be able to; `file` is one that exists and may be read by all."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = _NUMBERS[platform.machine()]
    path = ctypes.c_char_p(os.fsencode(file))
    room = ctypes.create_string_buffer(256)
    attempts: list[tuple[str, tuple[object, ...]]] = [
        ("open a file", ("openat", _AT_FDCWD, path, 0)),
        ("create a file", ("openat", _AT_FDCWD, path, _O_CREAT_WRONLY, 0)),
        ("open a TCP socket", ("socket", socket.AF_INET, socket.SOCK_STREAM, 0)),
        ("open a UDP socket", ("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)),
        ("open a Unix socket", ("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)),
        ("open a netlink socket", ("socket", 16, socket.SOCK_RAW, 0)),
        ("run a command", ("execve", path, None, None)),
        ("signal its parent", ("kill", os.getppid(), 0)),
        ("signal every process", ("kill", -1, 0)),
        ("raise its limits", ("setrlimit", 7, room)),
        ("change what it may do", ("prctl", 4, 1, 0, 0, 0)),
        ("trace a process", ("ptrace", 0, 0, 0, 0)),
        ("enter a namespace", ("unshare", 0)),
        ("make a file in memory", ("memfd_create", path, 0)),
        ("set up an io_uring", ("io_uring_setup", 1, room)),
        ("load a program into the kernel", ("bpf", 0, room, 0)),
        ("read another process", ("process_vm_readv", os.getpid(), None, 0, None, 0, 0)),
        ("handle its page faults", ("userfaultfd", 0)),
        ("handle a signal", ("rt_sigaction", signal.SIGPROF, room, None, 8)),
        ("write to a descriptor", ("write", 1, room, 0)),
        ("read from a descriptor", ("read", 0, room, 0)),
        ("control a device", ("ioctl", answer_fd, 0x541B, room)),
        ("change a descriptor", ("fcntl", answer_fd, 1, 0)),
    ]
    # first, and waited for: its end sends a signal, which would stop us once we may be traced
    forks = not _refused(libc, number["clone"], (signal.SIGCHLD, None, None, None, None), child=True)
    open_ways = ["start a process"] if forks else []
    open_ways += [what for what, call in attempts if not _refused(libc, number[str(call[0])], call[1:])]
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        open_ways.append("make memory executable")
    except OSError:
        pass
    send = libc.sendto
    if send(answer_fd + 1, room, 0, 0, None, 0) == 0 or ctypes.get_errno() != errno.EPERM:
        open_ways.append("send elsewhere")
    there = ctypes.c_char_p(struct.pack("H14s", socket.AF_UNIX, b"\0understudy"))
    if send(answer_fd, room, 0, 0, there, 16) == 0 or ctypes.get_errno() != errno.EPERM:
        open_ways.append("send to an address")
    return open_ways


def _refused(libc: ctypes.CDLL, number: int, arguments: tuple[object, ...], child: bool = False) -> bool:
    """Whether the filter refuses a call: EPERM, whatever the kernel would have said to it."""
    ctypes.set_errno(0)
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    returned = libc.syscall(ctypes.c_long(number), *words)
    if child and returned == 0:
        os._exit(0)
    if child and returned > 0:
        os.waitpid(returned, 0)
    return bool(returned == -1 and ctypes.get_errno() == errno.EPERM)
