"""How many requests may be under way at an endpoint: as many as it bears, found out by asking.

    limit   64  65  66 ... 190 | overwhelmed: 95   95.01   95.02 ...
            +1 with each answer | halved, once       +1 in as many answers as are under way

It knows nothing of requests: whoever sends one enters before and leaves after, and says whether it was too much.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

_FIRST_LIMIT = 64


class Gate:
    """How many requests may be under way.

    The limit rises by one with every answer until the endpoint is overwhelmed for the first time, and then by one in as
    many answers as are under way; it is halved when the endpoint is overwhelmed, once for all that were under way then.

    Args:
        most: the limit never rises above it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(most, _FIRST_LIMIT))
        self._under_way = 0
        self._steep = True
        self._fell = self._opens = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> float:
        """Wait for a place. Returns the time, in seconds, for `leave`."""
        while True:
            now = time.monotonic()
            if now < self._opens:
                await asyncio.sleep(self._opens - now)
            elif self._under_way < int(self.limit):
                self._under_way += 1
                return now
            else:
                place = asyncio.get_running_loop().create_future()
                self._waiting.append(place)
                await place

    def leave(self, entered: float, overwhelmed: bool = False) -> None:
        """Give the place back."""
        self._under_way -= 1
        if not overwhelmed:
            self.limit = min(self.most, self.limit + (1 if self._steep else 1 / self.limit))
        elif entered > self._fell:
            self.limit, self._steep, self._fell = max(1.0, self.limit / 2), False, time.monotonic()
        free = int(self.limit) - self._under_way
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done() and not place.get_loop().is_closed():
                place.set_result(None)
                free -= 1

    def close(self, seconds: float) -> None:
        """Let nobody in for so long."""
        self._opens = max(self._opens, time.monotonic() + seconds)
