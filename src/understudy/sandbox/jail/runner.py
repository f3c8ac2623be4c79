"""The runner: a process that loads the modules, closes itself in and forks workers on request. It runs no program text.

    python -S -s -P -B -c BOOT '{"control": 3, ...}'

Started by `host.py`, it says first what holds ({"layers": ..., "escapes": [...]}), then serves requests (see
`protocol`) until the host is gone: it watches both the socket, whose other end a forked child of the host may hold
open, and the host's process itself. Workers are killed with it by the kernel.
"""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import mmap
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from understudy.sandbox.jail import canary, clock, confine, modules, protocol, screen, seccomp, worker
from understudy.sandbox.jail.modules import Elsewhere


@dataclass
class Settings:
    """What the host asks of a runner.

    Attributes:
        control: descriptor of the socket to the host.
        host: process number of the host.
        science: whether numpy and sympy are loaded.
        layers: whether the jail is closed; without it any program has the rights of the user.
        memory: bytes of memory that a program may have.
        paths: where packages are.
    """

    control: int
    host: int
    science: bool
    layers: bool
    memory: int
    paths: list[str] = field(default_factory=list)


def main() -> None:
    """Get ready, say so, serve."""
    settings = Settings(**json.loads(sys.argv[1]))
    sys.argv, sys.orig_argv = ["program.py"], []  # it is no program's business where things are
    control = socket.socket(fileno=settings.control)
    host = os.pidfd_open(settings.host)
    if os.getppid() != settings.host:
        return
    warnings.simplefilter("ignore")
    modules.load()
    found = modules.load_science(settings.paths) if settings.science else []
    clock.stop()
    sys.stdin = io.StringIO()
    size = os.open("/proc/self/statm", os.O_RDONLY)
    held = confine.close_in() if settings.layers else confine.Layers(notes=("no layer at all",))
    runner = Runner(settings, control, host, size)
    lost = seccomp.missing() if settings.layers else ""
    escapes = [] if lost or not settings.layers else runner.escapes()
    protocol.send(
        control,
        protocol.dump(
            {
                "layers": dataclasses.asdict(held),
                "missing": lost,
                "escapes": escapes,
                "shared": runner.screened,
                "packages": found,
            }
        ),
    )
    sys.stderr = io.StringIO()
    gc.collect()
    gc.freeze()
    runner.serve()


class Runner:
    """Forks workers and reports their deaths."""

    def __init__(self, settings: Settings, control: socket.socket, host: int, size: int) -> None:
        self.settings, self.control, self.host, self.size = settings, control, host, size
        self.screened = screen.holds()
        self.elsewhere = None if settings.science else Elsewhere()
        if self.elsewhere is not None:
            sys.meta_path.insert(0, self.elsewhere)
        self.workers: dict[int, tuple[int, int]] = {}
        """Of each living worker its number, process and the descriptor that tells of its death."""

    def serve(self) -> None:
        """Do what the host asks until it is gone."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.host, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.host in ready:
                return
            for number, (pid, handle) in list(self.workers.items()):
                if handle in ready:
                    poll.unregister(handle)
                    os.close(handle)
                    _, status = os.waitpid(pid, 0)
                    del self.workers[number]
                    self.tell({"died": number, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})
            if self.control.fileno() in ready:
                message, fds, _, _ = socket.recv_fds(self.control, 4096, 2)
                if not message:
                    return
                order = json.loads(message)
                if order["do"] == "kill":
                    if order["id"] in self.workers:
                        os.kill(self.workers[order["id"]][0], signal.SIGKILL)
                else:
                    poll.register(self.fork(order, fds), select.POLLIN)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the host, if it is still there."""
        try:
            self.control.send(protocol.dump(message))
        except OSError:
            os._exit(0)

    def fork(self, order: dict[str, Any], fds: list[int]) -> int:
        """Fork a worker. Returns the descriptor that becomes readable when it is dead."""
        connection = socket.socket(fileno=fds[0])
        shared = order["do"] == "shared"
        limit = int(os.pread(self.size, 64, 0).split()[0]) * mmap.PAGESIZE + self.settings.memory
        progress = mmap.mmap(fds[1], mmap.PAGESIZE) if shared else None
        restrict = self.filter(connection, shared)
        pid = os.fork()
        if pid == 0:
            self.become(limit, order["cpu"])
            if progress is not None:
                worker.serve(connection, progress, restrict, self.screened)
            else:
                worker.alone(connection, restrict, self.elsewhere)
            os._exit(1)
        connection.close()
        for fd in fds[1:]:
            os.close(fd)
        if progress is not None:
            progress.close()
        handle = os.pidfd_open(pid)
        self.workers[order["id"]] = (pid, handle)
        return handle

    def filter(self, connection: socket.socket, serves: bool) -> Callable[[], None]:
        """The filter for a worker that answers on `connection`."""
        return seccomp.prepare(connection.fileno(), serves) if self.settings.layers else _nothing

    def become(self, memory: int, cpu_s: int) -> None:
        """Make this process, just forked, a worker: it dies with the runner, has limits, and none of its descriptors."""
        sys.excepthook = _die
        confine.die_with_parent()
        for fd in (self.control.fileno(), self.host, self.size, *(handle for _, handle in self.workers.values())):
            os.close(fd)
        confine.limit(memory, cpu_s)

    def escapes(self) -> list[str]:
        """What a worker of either kind can do and should not be able to."""
        found: list[str] = []
        for shared in (True, False):
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            restrict = self.filter(its, shared)
            pid = os.fork()
            if pid == 0:
                try:
                    mine.close()
                    self.become(2**40, 5)
                    restrict()
                    protocol.send(its, protocol.dump(canary.escapes(its.fileno(), "/")))
                finally:
                    os._exit(1)
            its.close()
            reply = protocol.receive(mine)
            mine.close()
            _, status = os.waitpid(pid, 0)
            if not reply:
                how = signal.strsignal(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else f"wait status {status}"
                raise ChildProcessError(f"the canary ended without an answer: {how}")
            found += json.loads(reply)
        return sorted(set(found))


def _die(*_: object) -> NoReturn:
    os._exit(1)


def _nothing() -> None:
    """The filter of a runner without layers."""
