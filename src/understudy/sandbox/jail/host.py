"""The host's side of the jail: passes programs on and takes answers, and never looks into either.

    engine = JailEngine(memory_mb=256)
    engine.open()                                      # a runner, with its proof that it is closed
    engine.run(["ans = 6 * 7", "class A: pass\\nans = 1"], timeout_s=2.0)
    -> [Outcome("ok", value=42), Outcome("ok", value=1)]        the first in the shared worker, the second in its own

A program goes to the shared worker first, in batches; what that refuses or cannot judge (memory, a crash) runs again in
a process forked for it; what needs numpy or sympy runs in one forked from the runner that has them. Programs have no
effects, so that running one again is harmless. What happens to a process from outside costs no program its outcome.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from understudy.errors import SandboxError
from understudy.sandbox.jail import protocol
from understudy.sandbox.jail.lane import Kind, Lane, StartError
from understudy.sandbox.jail.rounds import Judged, Round
from understudy.sandbox.outcome import Outcome

BATCH, BATCH_BYTES = 64, 60_000
"""Most programs and bytes of one request to a shared worker."""
ENOUGH = 500
"""Programs from which on it pays to start a second runner."""
STARTS = 8
"""How often a runner is started that ends before it is ready."""
TRIES = 8
"""How often a runner that died is replaced before the sandbox itself is called broken."""


def missing() -> str:
    """What this system lacks to have a jail at all; "" if only trying it can tell."""
    if not sys.platform.startswith("linux"):
        return f"the jail needs Linux, this is {platform.system()}"
    if not hasattr(os, "pidfd_open") or not hasattr(os, "memfd_create"):
        return "the jail needs a Python made for Linux 5.3 or later (os.pidfd_open, os.memfd_create)"
    return "" if sys.executable else "the jail needs to know the Python program (sys.executable), and this one does not"


class JailEngine:
    """Runs programs in CPython behind the kernel's walls.

    Args:
        memory_mb: memory limit of one program, in MiB, on top of Python's own.
        layers: False takes all walls away but the limits; the engine is then called `unsafe-cpython`.
        shared: False gives every program a process of its own.
    """

    def __init__(self, memory_mb: int, layers: bool = True, shared: bool = True) -> None:
        self._memory = memory_mb * 2**20
        self._layers, self._shared = layers, shared
        self._most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._forget()

    def _forget(self) -> None:
        self._pid = 0
        self._free: dict[bool, list[Lane]] = {False: [], True: []}
        self._started = {False: 0, True: 0}
        self._changed = threading.Condition()

    @property
    def name(self) -> str:
        """`cpython` and its version; `unsafe-cpython` without the walls."""
        return f"{'' if self._layers else 'unsafe-'}cpython {platform.python_version()}"

    @property
    def state(self) -> dict[str, Any]:
        """What the first runner said of itself: `layers`, `shared` (whether the screen holds).

        Raises:
            SandboxError: the engine is not open.
        """
        lanes = self._take(False, 1)
        try:
            return lanes[0].state
        finally:
            self._give(False, lanes)

    def open(self) -> None:
        """Start the first runner.

        Raises:
            SandboxError: there is no jail on this system; names the layer.
        """
        if lacking := missing():
            raise SandboxError(lacking)
        self._pid = os.getpid()
        self._give(False, self._take(False, 1))

    def close(self) -> None:
        """End every process that was started."""
        if self._pid == os.getpid():
            with self._changed:
                for lane in [*self._free[False], *self._free[True]]:
                    lane.close()
        self._forget()

    def run(self, programs: Sequence[str], timeout_s: float, lines: bool = False) -> list[Outcome]:
        """The outcomes of `programs`, in order. `timeout_s` counts the processor's seconds.

        Raises:
            SandboxError: the engine is not open, or its processes die as fast as they are started.
        """
        if self._pid and self._pid != os.getpid():  # forked: the runners are the parent's
            for lane in [*self._free[False], *self._free[True]]:
                lane.abandon()
            self._forget()
            self.open()
        outcomes: list[Outcome | None] = [None] * len(programs)
        waiting = list(range(len(programs)))
        stages: tuple[tuple[Kind, bool], ...] = (("shared", False), ("alone", False), ("alone", True))
        for kind, science in stages if self._shared else stages[1:]:
            judged = self._round(programs, waiting, kind, science, timeout_s, lines)
            for i, outcome in judged.outcomes.items():
                outcomes[i] = outcome
            waiting = sorted(judged.elsewhere)
            if not waiting:
                break
        return [outcome or Outcome("unsupported", error="no process here could run it") for outcome in outcomes]

    def _round(
        self, programs: Sequence[str], which: list[int], kind: Kind, science: bool, timeout_s: float, lines: bool
    ) -> Judged:
        """Run some of the programs in one kind of worker, on as many lanes as it pays."""
        if not which:
            return Judged({}, [])
        many = len(which) >= ENOUGH or (len(which) > 1 and (timeout_s >= 1 or (kind == "alone" and len(which) > 16)))
        lanes = self._take(science, self._most if many else 1)
        work = Round(programs, kind, timeout_s, protocol.LINES if lines else 0)
        work.add(which, 1 if kind == "alone" else BATCH, BATCH_BYTES, len(lanes))
        try:
            failed = 0
            while not work.done:
                broken = work.run(lanes)
                for lane in broken:
                    failed += 1
                    if failed > TRIES + len(which) // 10:
                        raise SandboxError(
                            "the sandbox's processes die as fast as they are started. Something outside kills them: see "
                            "the system's log for its memory killer, and `understudy check --self-test`"
                        )
                    lanes.remove(lane)
                    self._lose(science, lane)
                    lanes += self._take(science, 1)
        except BaseException:
            for lane in lanes:  # in the middle of something
                self._lose(science, lane)
            raise
        self._give(science, lanes)
        return work.judged

    def _take(self, science: bool, wanted: int) -> list[Lane]:
        """Free lanes, at least one and at most `wanted`; started if there are not yet so many."""
        with self._changed:
            if not self._pid:
                raise SandboxError("the sandbox is not open. Use it as `with Sandbox() as sandbox: ...`")
            while not self._free[science] and self._started[science] >= self._most:
                self._changed.wait()
            free = self._free[science]
            lanes = [free.pop() for _ in range(min(wanted, len(free)))]
            starting = min(wanted - len(lanes), self._most - self._started[science])
            if lanes and science:
                starting = 0  # a second copy of numpy and sympy is seldom worth its memory
            elif science:
                starting = min(starting, 1)
            self._started[science] += starting
        for left in reversed(range(starting)):
            try:
                lanes.append(self._start(science))
            except BaseException:
                with self._changed:
                    self._started[science] -= left + 1
                    self._free[science] += lanes
                    self._changed.notify_all()
                raise
        return lanes

    def _start(self, science: bool) -> Lane:
        for _ in range(STARTS - 1):
            with suppress(StartError):
                return Lane(self._memory, science, self._layers)
        return Lane(self._memory, science, self._layers)

    def _give(self, science: bool, lanes: Sequence[Lane]) -> None:
        with self._changed:
            self._free[science] += lanes
            self._changed.notify_all()

    def _lose(self, science: bool, lane: Lane) -> None:
        with suppress(OSError):
            lane.close()
        with self._changed:
            self._started[science] -= 1
            self._changed.notify_all()
