"""An endpoint that costs next to nothing: it answers every request with 400 made-up tokens, 200 ms after it came.

    python fast_endpoint.py CORE        # prints its port, and serves until its standard input ends

Its chat completions differ from one another and compress as text does. It reads no more of a request than its length.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import random
import sys

LATENCY_S = 0.2
SYLLABLES = (
    "ba",
    "con",
    "de",
    "fra",
    "gil",
    "ho",
    "in",
    "ka",
    "lo",
    "mer",
    "nu",
    "or",
    "pet",
    "ri",
    "sa",
    "ton",
    "ul",
    "vi",
)


def text_of(characters: int, seed: int) -> str:
    """Made-up words of one to three syllables."""
    dice = random.Random(seed)
    words = ("".join(dice.choices(SYLLABLES, k=dice.randint(1, 3))) for _ in range(characters))
    return " ".join(itertools.islice(words, characters // 3))[:characters]


def reply(number: int, text: str) -> bytes:
    """The body of a reply."""
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "made-up",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 400, "total_tokens": 700},
    }
    return json.dumps(body).encode()


class Endpoint(asyncio.Protocol):
    """One connection."""

    bodies = tuple(reply(10**6 + i, text_of(1600, i)) for i in range(256))
    numbers = itertools.count()
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n") + 4) > 3:
            length = self._read[:end].lower().partition(b"content-length:")[2].partition(b"\r")[0]
            if len(self._read) < end + int(length):
                break
            self._read = self._read[end + int(length) :]
            asyncio.get_running_loop().call_later(LATENCY_S, self._answer)

    def _answer(self) -> None:
        body = self.bodies[next(self.numbers) % len(self.bodies)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    gc.freeze()
    asyncio.run(serve())
