"""One round of programs over several lanes: who gets what, whose answer is whose, who is to blame for a death.

    work = Round(programs, "shared", timeout_s=0.25, flags=0)
    work.add([0, 1, 2, 5], 64, 60_000, lanes=2)
    while not work.done: work.run(lanes)               -> lanes whose runner is gone
    work.judged.outcomes, work.judged.elsewhere        by place; places whose program must run in another process

A worker that dies takes with it what it had done of its batch and not yet told: that runs again. Only the program that
was under way can be to blame, and only if nobody else killed the worker.
"""

from __future__ import annotations

import collections
import math
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from understudy.sandbox.jail import protocol
from understudy.sandbox.jail.lane import Died, Kind, Lane, Reply
from understudy.sandbox.outcome import Outcome, Status
from understudy.sandbox.values import NODES, reason

TRIES = 5
"""How often a program is tried again whose worker was killed by somebody else."""
_TIMERS = (signal.SIGPROF, signal.SIGXCPU)
_STATUSES = frozenset(get_args(Status))
_CUT, _PRINTED, _LINES = 500, 65_536, 64
_NODES = (_LINES + 1) * 2 * NODES
"""Most parts of a result, its tags included."""
_ELSEWHERE = ("alone", "science")


@dataclass
class Judged:
    """Outcomes by place, and the places whose program must run elsewhere."""

    outcomes: dict[int, Outcome]
    elsewhere: list[int]


@dataclass
class _Busy:
    """What a lane is at: the places of its request, how many of them are answered, and until when we wait."""

    places: list[int]
    answered: int = 0
    seen: int = -1
    until: float = field(default=0.0)


class Round:
    """See the module."""

    def __init__(self, programs: Sequence[str], kind: Kind, timeout_s: float, flags: int) -> None:
        self.programs, self.kind, self.timeout_s, self.flags = programs, kind, timeout_s, flags
        self.judged = Judged({}, [])
        self._waiting: collections.deque[list[int]] = collections.deque()
        self._busy: dict[Lane, _Busy] = {}
        self._tries: collections.Counter[int] = collections.Counter()
        # waiting costs no processor time; the wall is for programs that only wait, and wide for a busy machine
        self._patience = 2 * timeout_s + 1 if kind == "alone" else 5 * timeout_s + 10

    @property
    def done(self) -> bool:
        """Whether every program has its outcome or must run elsewhere."""
        return not self._waiting and not self._busy

    def add(self, places: Sequence[int], most: int, size: int, lanes: int) -> None:
        """Cut the programs at these places into requests of at most `most` programs and `size` bytes."""
        most = max(1, min(most, math.ceil(len(places) / lanes)))
        batch: list[int] = []
        used = 0
        for place in places:
            length = 4 * len(self.programs[place]) if not self.programs[place].isascii() else len(self.programs[place])
            if batch and (len(batch) >= most or used + length > size):
                self._waiting.append(batch)
                batch, used = [], 0
            batch.append(place)
            used += length
        if batch:
            self._waiting.append(batch)

    def run(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Go on until all is done or a runner is gone; returns the lanes that are broken."""
        while not self.done:
            for lane in lanes:
                if lane not in self._busy and self._waiting:
                    self._busy[lane] = _Busy(self._waiting.popleft(), until=time.monotonic() + self._patience)
                    try:
                        chosen = [self.programs[i] for i in self._busy[lane].places]
                        lane.submit(self.kind, chosen, self.timeout_s, self.flags)
                    except OSError:
                        return self._broken(lane)
            for lane in self._ready():
                try:
                    self._listen(lane)
                except OSError:
                    return self._broken(lane)
            for lane in self._late():
                try:
                    lane.kill()
                except OSError:
                    return self._broken(lane)
        return []

    def _ready(self) -> list[Lane]:
        poll = select.poll()
        by_fd = {lane.fileno(): lane for lane in self._busy}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        left = min(busy.until for busy in self._busy.values()) - time.monotonic()
        return [by_fd[fd] for fd, _ in poll.poll(max(0.0, min(left, 60.0)) * 1000 + 1)]

    def _late(self) -> list[Lane]:
        now = time.monotonic()
        late = []
        for lane, busy in self._busy.items():
            if now >= busy.until:
                if self.kind == "shared" and lane.place != busy.seen:  # it has got on, only slowly
                    busy.seen = lane.place
                else:
                    late.append(lane)
                busy.until = now + self._patience
        return late

    def _broken(self, lane: Lane) -> list[Lane]:
        busy = self._busy.pop(lane)
        self._again(busy.places[busy.answered :])
        return [lane]

    def _again(self, places: list[int], alone: bool = False) -> None:
        """Put places back to the front; those that were tried too often count as crashed, or run elsewhere."""
        kept = []
        for place in places[:1]:
            self._tries[place] += 1
        for place in places:
            if self._tries[place] <= TRIES:
                kept.append(place)
            elif self.kind == "shared":
                self.judged.elsewhere.append(place)
            else:
                self.judged.outcomes[place] = Outcome("crash", error="its process was killed again and again")
        if kept and alone:
            self._waiting.extendleft([place] for place in reversed(kept))
        elif kept:
            self._waiting.appendleft(kept)

    def _listen(self, lane: Lane) -> None:
        said = lane.take()
        busy = self._busy[lane]
        if isinstance(said, Died):
            del self._busy[lane]
            self._bury(said, busy)
        elif isinstance(said, Reply):
            left = busy.places[busy.answered :]
            if len(said.results) > len(left):
                lane.drop()
                del self._busy[lane]
                self._bury(Died(0, busy.answered, garbled=True), busy)
                return
            for place, result in zip(left, said.results, strict=False):
                self._accept(place, result)
            busy.answered += len(said.results)
            busy.until = time.monotonic() + self._patience
            if busy.answered == len(busy.places):
                del self._busy[lane]

    def _accept(self, place: int, result: Any) -> None:
        if isinstance(result, list) and result and result[0] in _ELSEWHERE:
            self.judged.elsewhere.append(place)
            return
        try:
            outcome = _outcome(result)
        except (protocol.GarbledError, TypeError, ValueError, ArithmeticError, RecursionError, LookupError):
            outcome = None
        if outcome is not None:
            self.judged.outcomes[place] = outcome
        elif self.kind == "shared":
            self.judged.elsewhere.append(place)
        else:
            self.judged.outcomes[place] = _GARBLED

    def _bury(self, died: Died, busy: _Busy) -> None:
        """Find out who is to blame, and let the others run again."""
        unanswered = busy.places[busy.answered :]
        # the worker counts from the start of its request; a program that it has answered is not under way
        guilty = min(max(died.at - busy.answered, 0), len(unanswered) - 1) if self.kind == "shared" else 0
        place, before, after = unanswered[guilty], unanswered[:guilty], unanswered[guilty + 1 :]
        if died.signal in _TIMERS or died.killed:
            self.judged.outcomes[place] = Outcome("timeout", error=f"ran longer than {self.timeout_s:g} s")
        elif died.signal in (0, signal.SIGKILL) and not died.garbled and (self.kind == "shared" or died.signal):
            self._again([place], alone=True)  # not by its own doing, as far as we know
        elif self.kind == "shared":
            self.judged.elsewhere.append(place)
        elif died.garbled:
            self.judged.outcomes[place] = _GARBLED
        elif died.signal == signal.SIGSYS:
            self.judged.outcomes[place] = Outcome("violation", error="a system call of another architecture")
        elif died.signal == 0:
            self.judged.outcomes[place] = Outcome("crash", error="its process ended without an answer")
        else:
            name = signal.Signals(died.signal).name
            self.judged.outcomes[place] = Outcome("crash", error=f"its process ended by {name}")
        for rest in (after, before):
            if rest:
                self._waiting.appendleft(rest)


_GARBLED = Outcome("crash", error="its process gave an answer that is none")


def _outcome(result: Any) -> Outcome | None:
    """The outcome in a result, or None if it is not one; may raise what reading a garbled value raises."""
    if not isinstance(result, list):
        return None
    status, packed, error, printed, lines = result
    if status not in _STATUSES or not isinstance(error, str) or not isinstance(printed, str):
        return None
    if not isinstance(lines, list) or len(lines) > _LINES or (status != "ok" and packed is not None):
        return None
    if not _small([packed, lines]):
        return None
    value = protocol.unpack(packed)
    recorded = []
    for number, name, inner in lines:
        if type(number) is not int or type(name) is not str or reason(inner_value := protocol.unpack(inner)):
            return None
        recorded.append((number, name[:100], inner_value))
    if reason(value) is not None:
        return None
    return Outcome(status, value, error[:_CUT], printed[:_PRINTED], tuple(recorded))


def _small(packed: Any) -> bool:
    """Whether something is too small to keep us busy: a dict of many keys with one hash would."""
    waiting, count = [packed], 0
    while waiting and count <= _NODES:
        item = waiting.pop()
        if isinstance(item, list):
            count += len(item)
            waiting.extend(item[:_NODES])
    return count <= _NODES
