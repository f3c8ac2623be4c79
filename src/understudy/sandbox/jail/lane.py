"""One runner process seen from the host, and the worker it is just using.

    lane = Lane(memory=2**28, science=False, layers=True)
    lane.submit("shared", ["ans = 1", "ans = 2"], cpu_s=0.25, flags=0)
    while True: wait until lane.fileno() is readable; lane.take()   -> Reply(((...), (...))) or Died(signal=27, at=1)

Nothing here blocks but the start of a runner, for a worker may have been taken over by its program: it can be silent,
talk without end or say anything.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from understudy.errors import SandboxError
from understudy.sandbox.jail import protocol

START_S = 120.0
"""Longest wait for a runner to get ready, in seconds: a busy machine reads numpy and sympy slowly."""
_PACKETS = 4096
"""Most packets of one reply."""
_HERE = os.path.dirname(os.path.abspath(__file__))
_BOOT = """
import json, sys, types
for name, path in json.loads(sys.argv[2]).items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from understudy.sandbox.jail.runner import main
main()
"""
"""Stands empty packages in the place of ours, so that the runner loads the modules of the jail and nothing else."""
_PACKAGES = {"understudy": os.path.dirname(os.path.dirname(_HERE)), "understudy.sandbox": os.path.dirname(_HERE)}
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPMATH_NOGMPY": "1",
}
_CLOEXEC = 1

Kind = Literal["shared", "alone"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker said of its next programs, unchecked."""

    results: list[Any]


@dataclass(frozen=True, slots=True)
class Died:
    """The worker is gone: by this signal (0: it ended by itself), while the program at this place was under way.

    `killed`: it was we who ended it. `garbled`: because of what it said.
    """

    signal: int
    at: int
    killed: bool = False
    garbled: bool = False


class StartError(SandboxError):
    """A runner ended before it was ready; somebody may have killed it."""


class Lane:
    """A runner and at most one busy worker of it; used by one thread at a time.

    Args:
        memory: bytes that a program may have.
        science: with numpy and sympy.
        layers: closed in; False only for the engine that is called unsafe.

    Raises:
        SandboxError: it cannot be started or is not closed; names the layer.
    """

    def __init__(self, memory: int, science: bool, layers: bool) -> None:
        self._numbers = 0
        self._died: dict[int, int] = {}
        self._connection: socket.socket | None = None
        self._serving: Kind | None = None
        self._progress: mmap.mmap | None = None
        self._parts: list[bytes] = []
        self._killed = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {
            "control": theirs.fileno(),
            "host": os.getpid(),
            "science": science,
            "layers": layers,
            "memory": memory,
            "paths": [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))],
        }
        options = ["-S", "-s", "-P", "-B", "-X", "utf8"]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *options, "-c", _BOOT, json.dumps(settings), json.dumps(_PACKAGES)],
                    env=_ENVIRONMENT,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            self._control.close()
            raise SandboxError(
                f"the sandbox cannot start {sys.executable!r} ({error}). See that it is there"
            ) from error
        self.state = self._hello()

    def _hello(self) -> dict[str, Any]:
        """What the runner says of itself when it is ready; refuse it if it is not closed."""
        ready, _, _ = select.select([self._control], [], [], START_S)
        message = protocol.receive(self._control) if ready else None
        assert self._process.stderr is not None
        if message is None:
            if not ready:
                self._process.kill()
            trace = self._process.stderr.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            self.close()
            raise StartError(
                f"the sandbox's process did not start ({trace[-1][:300]}). `understudy check --self-test` shows more"
            )
        self._process.stderr.close()
        state: dict[str, Any] = json.loads(message)
        trouble = state["missing"] or ", ".join(state["escapes"])
        if trouble:
            self.close()
            layer = "seccomp" if state["missing"] else "the system-call filter (seccomp)"
            what = trouble if state["missing"] else f"a test program could: {trouble}"
            raise SandboxError(f"the jail is not closed: {layer} does not hold here ({what})")
        return state

    def submit(self, kind: Kind, programs: list[str], cpu_s: float, flags: int) -> None:
        """Give programs to a worker; a shared one is kept from the last time if there is one.

        Raises:
            OSError: the runner is gone.
        """
        message = protocol.request(programs, cpu_s, flags)
        if kind == "shared" and self._serving == kind and self._connection is not None:
            try:
                protocol.send(self._connection, message)
                return
            except OSError:  # it ended after its last batch
                pass
        self._fork(kind, cpu_s)
        assert self._connection is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # its death shows when its answer is taken
            protocol.send(self._connection, message)

    def _fork(self, kind: Kind, cpu_s: float) -> None:
        self.drop()
        self._drain()
        self._numbers += 1
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [its.fileno()]
        memory = -1
        try:
            if kind == "shared":
                memory = os.memfd_create("progress", _CLOEXEC)
                os.ftruncate(memory, mmap.PAGESIZE)
                self._progress = mmap.mmap(memory, mmap.PAGESIZE)
                fds.append(memory)
            # a shared worker's seconds are limited by its timer alone, for it lives long
            order = {"do": kind, "id": self._numbers, "cpu": 3600 if kind == "shared" else int(cpu_s) + 2}
            socket.send_fds(self._control, [protocol.dump(order)], fds)
        except OSError:
            mine.close()
            raise
        finally:
            its.close()
            if memory >= 0:
                os.close(memory)
        mine.settimeout(30.0)
        self._connection, self._serving = mine, kind

    def fileno(self) -> int:
        """What to wait for."""
        assert self._connection is not None
        return self._connection.fileno()

    @property
    def place(self) -> int:
        """Which program of the last request the shared worker is at."""
        return self._progress[0] if self._progress is not None else 0

    def take(self) -> Reply | Died | None:
        """The reply, if all of it has come.

        Raises:
            OSError: the runner is gone.
        """
        assert self._connection is not None
        while len(self._parts) < _PACKETS:
            try:
                part = self._connection.recv(protocol.PACKET, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                part = b""
            if not part:
                return self._death()
            self._parts.append(part[1:])
            if part[0] == ord("."):
                return self._read(b"".join(self._parts))
            if part[0] != ord("+") or sum(map(len, self._parts)) > protocol.REPLY:
                break
        return self._garbled()

    def _read(self, message: bytes) -> Reply | Died:
        self._parts = []
        try:
            results = json.loads(message)
        except (ValueError, RecursionError):
            return self._garbled()
        if not isinstance(results, list):
            return self._garbled()
        if self._serving == "alone":
            self.drop()
        return Reply(results)

    def _garbled(self) -> Died:
        place = self.place
        self.drop()
        return Died(0, place, garbled=True)

    def _death(self) -> Died:
        """How the worker ended."""
        place, killed, number = self.place, self._killed, self._numbers
        until = time.monotonic() + START_S
        while number not in self._died and time.monotonic() < until:
            select.select([self._control], [], [], 1.0)
            self._drain()
        self.drop()
        return Died(self._died.pop(number, 0), place, killed)

    def _drain(self) -> None:
        """Take what the runner has said of dead workers."""
        while True:
            try:
                message = self._control.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not message:
                raise ConnectionResetError("the sandbox's runner is gone")
            died = json.loads(message)
            self._died[died["died"]] = died["signal"]
        for number in [number for number in self._died if number < self._numbers]:
            del self._died[number]

    def kill(self) -> None:
        """End the worker; `take` will say so."""
        self._killed = True
        self._control.send(protocol.dump({"do": "kill", "id": self._numbers}))

    def drop(self) -> None:
        """Part with the worker, whatever it does."""
        if self._connection is None:
            return
        self._connection.close()
        self._connection, self._serving, self._parts, self._killed = None, None, [], False
        if self._progress is not None:
            self._progress.close()
            self._progress = None
        with suppress(OSError):
            self._control.send(protocol.dump({"do": "kill", "id": self._numbers}))

    def close(self) -> None:
        """End the runner and with it all its workers."""
        self.drop()
        self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent, without a word to the runner."""
        for fd in (self._connection, self._control):
            if fd is not None:
                fd.close()
        self._connection = None
        self._process.returncode = 0
