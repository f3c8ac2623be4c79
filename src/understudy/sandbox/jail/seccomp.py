"""The system-call filter: a worker may compute, grow its memory and answer. Everything else is refused by the kernel.

    restrict = prepare(answer_fd=5, serves=True)
    restrict()                                     # from here on `open("/etc/passwd")` is PermissionError

The filter is an allow-list in classic BPF (seccomp(2), kernel 3.5): a call that is not named ends with EPERM; a call
from another architecture's table (32-bit code, x32) kills the process. Memory is never executable. What is refused
here stays refused for a program that has broken out of Python altogether.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_GET_SECCOMP = 38, 22, 21
_MODE_FILTER = 2
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_PROT_EXEC = 4
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class Architecture:
    """The kernel's number for an architecture and the system calls of a worker by name."""

    audit: int
    calls: dict[str, int]


ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        {
            "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigreturn": 15, "mremap": 25, "madvise": 28,
            "sched_yield": 24, "getpid": 39, "exit": 60, "gettimeofday": 96, "gettid": 186, "time": 201, "futex": 202,
            "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "exit_group": 231, "getrandom": 318,
            "setitimer": 38, "sendto": 44, "recvfrom": 45, "clone3": 435,
        },
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214, "rt_sigreturn": 139, "mremap": 216,
            "madvise": 233, "sched_yield": 124, "getpid": 172, "exit": 93, "gettimeofday": 169, "gettid": 178,
            "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114, "exit_group": 94,
            "getrandom": 278, "setitimer": 103, "sendto": 206, "recvfrom": 207, "clone3": 435,
        },
    ),
}  # fmt: skip
"""The tables of linux/arch/*/entry/syscalls; another architecture has no jail."""

_SERVING = ("setitimer", "recvfrom")
"""Needed only by a worker that takes one program after the other."""
_CHECKED = ("mmap", "mprotect", "sendto", "recvfrom", "clone3")
"""Allowed only with certain arguments, or answered in their own way."""


def missing() -> str:
    """Why there is no filter on this system; "" if there is one."""
    if platform.machine() not in ARCHITECTURES:
        return f"no system-call table for the architecture {platform.machine()}"
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return "a 32-bit Python has no system-call table here"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return f"the kernel has no seccomp ({os.strerror(ctypes.get_errno())})"
    return ""


def prepare(answer_fd: int, serves: bool) -> Callable[[], None]:
    """Build the filter; the function returned puts it on the calling thread for good.

    Split in two so that a forked worker has nothing left to build (every page it touches is a copy).

    Args:
        answer_fd: the one descriptor that may be sent to.
        serves: whether it also takes programs from there and sets its own timer.

    The function raises OSError if the kernel refuses the filter.
    """
    program = _program(ARCHITECTURES[platform.machine()], answer_fd, serves)
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    prctl, filter_at = libc.prctl, ctypes.c_void_p(ctypes.addressof(head))
    prctl(PR_GET_SECCOMP, 0, 0, 0, 0)
    kept = (code, head)  # the kernel copies them only when the filter is put on

    def restrict() -> None:
        if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, _MODE_FILTER, filter_at, 0, 0):
            raise OSError(ctypes.get_errno(), f"the kernel refuses the system-call filter of {len(kept[0]) // 8} steps")

    return restrict


def _program(architecture: Architecture, answer_fd: int, serves: bool) -> bytes:
    """The filter in classic BPF: 8 bytes an instruction, run over (number, architecture, address, six arguments)."""
    call = architecture.calls
    plain = [n for name, n in call.items() if name not in (*_CHECKED, *_SERVING)]
    if serves:
        plain.append(call["setitimer"])
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in plain:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name in ("mmap", "mprotect"):
        steps += _when(call[name], [(_LOAD, 0, 0, _argument(2)), (_ANY_BIT, 1, 0, _PROT_EXEC), (_RETURN, 0, 0, _ALLOW)])
    for name in ("sendto", "recvfrom") if serves else ("sendto",):
        steps += _when(
            call[name],
            [
                (_LOAD, 0, 0, _argument(0)),
                (_EQUAL, 0, 5, answer_fd),
                (_LOAD, 0, 0, _argument(4)),  # no address: to the other end of the pair and nowhere else
                (_EQUAL, 0, 3, 0),
                (_LOAD, 0, 0, _argument(4) + 4),
                (_EQUAL, 0, 1, 0),
                (_RETURN, 0, 0, _ALLOW),
            ],
        )
    steps += _when(call["clone3"], [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])  # its flags are out of a filter's reach
    steps.append((_RETURN, 0, 0, _ERRNO | _EPERM))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _when(number: int, then: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """`then` for one system call, and EPERM for it if `then` does not decide."""
    body = [*then, (_RETURN, 0, 0, _ERRNO | _EPERM)]
    return [(_EQUAL, 0, len(body), number), *body]


def _argument(index: int) -> int:
    """Where the low half of an argument stands (both architectures are little-endian)."""
    return 16 + 8 * index
