"""What host, runner and worker say to each other, over pairs of packet sockets.

    host -> worker    a request: what to do and the programs
    worker -> host    replies: JSON, a list of results  ["ok", value, error, printed, lines]
    host -> runner    {"do": "shared" | "alone" | "kill", "id": 7}, with the worker's end of a pair
    runner -> host    {"died": 7, "signal": 14}

A message is cut into packets, each with a first byte that says whether more follow. A value travels as JSON with a tag
where JSON has no such type: `["q", 1, 3]` is Fraction(1, 3), `["l", 1, 2]` is [1, 2]. Nothing is pickled, nothing is
evaluated, and the reader trusts no byte of a reply.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

PACKET = 65_536
"""Most bytes of one packet; the kernel's default buffer holds three of them."""
REPLY = 4 * 2**20
"""Most bytes of one reply."""
LINES = 1
"""Flag of a request: record the values of lines."""
_HEAD = struct.Struct("<BdI")
_LENGTH = struct.Struct("<I")


class GarbledError(ValueError):
    """A message that its sender should not have sent."""


def send(to: socket.socket, message: bytes) -> None:
    """Send a message in as many packets as it needs."""
    last = max(0, len(message) - 1) // (PACKET - 1)
    for i in range(last + 1):
        part = message[i * (PACKET - 1) : (i + 1) * (PACKET - 1)]
        to.send((b"." if i == last else b"+") + part)


def receive(source: socket.socket, most: int = REPLY) -> bytes | None:
    """The next message; None at the end.

    Raises:
        GarbledError: it is no message, or one of more than `most` bytes.
        OSError: what a socket raises.
    """
    parts = []
    size = 0
    while True:
        part = source.recv(PACKET)
        if not part:
            return None
        size += len(part)
        if part[0] not in b".+" or size > most + PACKET:
            raise GarbledError("a packet of an unknown kind, or too many of them")
        parts.append(part[1:])
        if part[0] == ord("."):
            return b"".join(parts)


def request(programs: Sequence[str], cpu_s: float, flags: int) -> bytes:
    """The request to run `programs`, each with `cpu_s` seconds."""
    parts = [_HEAD.pack(flags, cpu_s, len(programs))]
    for program in programs:
        text = program.encode("utf-8", "surrogatepass")
        parts += [_LENGTH.pack(len(text)), text]
    return b"".join(parts)


def read_request(message: bytes) -> tuple[list[str], float, int]:
    """What `request` was given."""
    flags, cpu_s, count = _HEAD.unpack_from(message)
    at = _HEAD.size
    programs = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(message, at)
        at += _LENGTH.size
        programs.append(message[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return programs, cpu_s, flags


def pack(value: Any) -> Any:
    """An exact value (see `values.reason`) in JSON's types."""
    kind = type(value)
    if kind is Fraction:
        return ["q", value.numerator, value.denominator]
    if kind is Decimal:
        return ["D", str(value)]
    if kind is list or kind is tuple:
        return ["l" if kind is list else "t", *map(pack, value)]
    if kind is dict:
        return ["d", *(pack(part) for pair in value.items() for part in pair)]
    return value


def unpack(packed: Any) -> Any:
    """The value that `pack` was given.

    Raises:
        GarbledError, TypeError, ValueError, ArithmeticError: nothing that `pack` has returned.
    """
    if not isinstance(packed, list):
        if isinstance(packed, dict):
            raise GarbledError("an object is no value")
        return packed
    tag, *parts = packed
    if tag == "q":
        numerator, denominator = parts
        if type(numerator) is not int or type(denominator) is not int:
            raise GarbledError("a fraction of something else than integers")
        return Fraction(numerator, denominator)
    if tag == "D":
        [text] = parts
        return Decimal(text if isinstance(text, str) else "")
    if tag in ("l", "t"):
        items = [unpack(part) for part in parts]
        return items if tag == "l" else tuple(items)
    if tag == "d":
        return {unpack(key): unpack(value) for key, value in zip(parts[::2], parts[1::2], strict=True)}
    raise GarbledError("an unknown tag")


def dump(message: Any) -> bytes:
    """JSON in bytes."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")
