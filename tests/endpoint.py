"""A small endpoint on the loopback that answers as it is told, faults included."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loopback import Handler, served


@dataclass(frozen=True)
class Reply:
    """What to send. `fault`: `reset` the connection, `half` of the body, or `hang` for `delay_s` and then nothing."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    delay_s: float = 0.0


def chat(*texts: str, finish: str = "stop", prompt_tokens: int = 10, completion_tokens: int = 20) -> Reply:
    """A good reply of the dialect `chat`, one choice a text."""
    choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": finish} for text in texts]
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return Reply(body={"model": "served", "choices": choices, "usage": usage})


def error(status: int, message: str = "no", code: str = "", **headers: str) -> Reply:
    """A refusal in OpenAI's shape; `retry_after="1"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": message, "code": code}}, named)


@dataclass
class Endpoint:
    """What the endpoint was asked, and where it is."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0


@contextmanager
def serving(replies: Sequence[Reply] | Callable[[dict[str, Any]], Reply]) -> Iterator[Endpoint]:
    """An endpoint that gives `replies` in order (the last one again and again), or what the function makes of a body."""
    seen = Endpoint()
    lock = threading.Lock()

    class Told(Handler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(seen.bodies)
                seen.bodies.append(body)
                seen.paths.append(self.path)
                seen.headers.append({name.lower(): value for name, value in self.headers.items()})
                seen.connections.add(self.client_address)
                seen.at_once += 1
                seen.most_at_once = max(seen.most_at_once, seen.at_once)
            reply = replies(body) if callable(replies) else replies[min(number, len(replies) - 1)]
            time.sleep(reply.delay_s)
            with lock:
                seen.at_once -= 1
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            if reply.fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            half = len(content) // 2 if reply.fault == "half" else None
            self.reply(reply.status, {"Content-Type": "application/json"} | reply.headers, content, half)

    with served(Told) as seen.url:
        yield seen
