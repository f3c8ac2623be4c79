"""Sending a request until it is answered: which failures pass, which concern one question, and which concern them all.

    requests = Requests("https://api.openai.com/v1/chat/completions", key, Patience(), concurrency=32)
    reply = await requests.send({"model": "gpt-4o-mini", "messages": [...]}, read=lambda data: data["choices"], attempts=...)

| what happens                                                     | what is done                                        |
|------------------------------------------------------------------|-----------------------------------------------------|
| 429; 503 and 529 with Retry-After                                | wait as told, up to a total time; no failed attempt |
| 408, 409, 5xx, time-out, reset, half a body, no JSON, no choices | send again, `retries` times, then `Refused`         |
| 400, 413, 422 and other 4xx                                      | `Refused`: this question cannot be answered         |
| 401, 402, 403, 404, a redirection, a quota, an unknown parameter | `TeacherError`: no question can                     |
| no connection time after time, and there never was one           | `TeacherError`                                      |

The same goes for whatever else the endpoint has addresses for, `await requests.call(Call("https://.../v1/batches"))`.

How many are under way at once follows the endpoint (`gate.py`): more and more while all goes well, half as many when it
says it is too busy or lets a request time out, none while it says to wait. The key is in one header and nowhere else: it is
taken out of everything the endpoint says, completions too, before anybody reads it.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from understudy.errors import TeacherError
from understudy.teachers.gate import Gate
from understudy.teachers.kept import Attempts
from understudy.teachers.keys import Key
from understudy.teachers.quick_json import dumps, loads

if TYPE_CHECKING:
    import pyreqwest.request
    import pyreqwest.response

T = TypeVar("T")

_THROTTLED = (429, 503, 529)
_PASSING = (408, 409)
_FATAL_STATUS = {
    401: "the key is refused. Set another one",
    402: "the account has no credit left. Top it up, then run the same command again: what was answered is kept",
    403: "the key may not use this model or endpoint. Use another one",
    404: "no such model or address. Check the model's name and base_url",
}
_FATAL_CODE = {
    "insufficient_quota": _FATAL_STATUS[402],
    "billing_hard_limit_reached": _FATAL_STATUS[402],
    "invalid_api_key": _FATAL_STATUS[401],
    "model_not_found": _FATAL_STATUS[404],
    "unsupported_parameter": "the model does not take this. Change the teacher's settings (max_tokens_field, extra_body)",
    "unsupported_value": "the model does not take this value. Change the sampling settings",
}
_FILTERED = ("content_filter", "content_policy_violation")
_GRANTED = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)
_LONGEST_PAUSE_S = 60.0
_CUT = 300


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. Seconds, but for `retries`."""

    timeout_s: float = 120.0
    retries: int = 6
    backoff_s: float = 0.5
    throttled_s: float = 900.0
    total_s: float = 3600.0


class Malformed(Exception):
    """A reply that is not what the protocol says; the request is sent again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that has no answer.

    Attributes:
        reason: in one line.
        by_filter: whether a content filter refused it.
        status: of the reply that refused it; 0 if it was never answered.
    """

    reason: str
    by_filter: bool = False
    status: int = 0


class Call(NamedTuple):
    """One thing to ask of an endpoint.

    Attributes:
        url: its address.
        content: JSON to post; None: nothing is posted.
        file: name and content of a file to post as a form, with `fields`.
        is_json: whether the reply is JSON; else it is given as bytes.
        may_miss: whether there may be nothing at the address: `Refused` then, else an error.
        once: whether it is not sent again where it is not known if it was done.
        timeout_s: instead of what `Patience` says.
    """

    url: str
    content: bytes | None = None
    file: tuple[str, bytes] | None = None
    fields: Mapping[str, str] = {}
    is_json: bool = True
    may_miss: bool = False
    once: bool = False
    timeout_s: float | None = None


class Uncounted:
    """Attempts that cost nothing."""

    async def begin(self) -> None:
        return None

    def end(self, free: bool) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Again:
    """The request is to be sent again: after `pause_s`, if the endpoint said so. `throttled`: it was not looked at.
    `unreachable`: there was no connection. `overwhelmed`: the endpoint has too much to do.
    """

    reason: str
    pause_s: float | None = None
    throttled: bool = False
    unreachable: bool = False
    overwhelmed: bool = False


class Requests:
    """Posts JSON to one address over connections that are kept open. It belongs to no event loop.

    Args:
        url: the address.
        key: sent as the bearer's token; "" for none.
        patience: how long to try.
        concurrency: how many requests may be under way; the others wait.
        direct: go past any proxy that the environment names.
    """

    def __init__(self, url: str, key: str, patience: Patience, concurrency: int = 32, direct: bool = False) -> None:
        from pyreqwest.client import ClientBuilder
        from pyreqwest.exceptions import PyreqwestError

        self._library_error = PyreqwestError
        self._url = url
        self._key = Key(key)
        self._local = direct
        self._patience = patience
        self._reached = False
        self._fatal: TeacherError | None = None
        self.gate = Gate(concurrency)
        # A redirection would take the key to an address that nobody configured.
        builder = ClientBuilder().follow_redirects(False).max_connections(concurrency).user_agent("understudy")
        builder = builder.timeout(timedelta(seconds=patience.timeout_s)).pool_max_idle_per_host(concurrency)
        self._client = (builder.no_proxy() if direct else builder).build()

    def send(self, body: dict[str, Any], read: Callable[[Any], T], attempts: Attempts) -> Awaitable[T | Refused]:
        """What `read` makes of the reply to `body`, or why there is none. `attempts` is told of all but the one answered.

        Raises:
            TeacherError: no request can be answered; says what to do.
        """
        return self._send(Call(self._url, dumps(body)), read, attempts)

    async def call(self, call: Call) -> Any:
        """The reply to `call`: JSON, or bytes; `Refused` if there is none.

        Raises:
            TeacherError: no request can be answered; says what to do.
        """
        return await self._send(call, lambda data: data, Uncounted())

    async def _send(self, call: Call, read: Callable[[Any], T], attempts: Attempts) -> T | Refused:
        failures, throttles, throttled_s, began = 0, 0, 0.0, time.monotonic()
        while True:
            outcome = await self._one_attempt(call, read, attempts)
            if not isinstance(outcome, _Again):
                return outcome
            if call.once and not (outcome.throttled or outcome.unreachable):
                return Refused(outcome.reason)
            pause = self._pause(failures + throttles) if outcome.pause_s is None else outcome.pause_s
            if outcome.throttled:
                # Spread the crowd that was sent away at the same moment and told to come back at the same moment.
                pause += random.uniform(0, self._patience.backoff_s)
                throttles += 1
                throttled_s += pause
                if throttled_s > self._patience.throttled_s:
                    limit = f"{self._patience.throttled_s:g} s (throttled_s)"
                    return Refused(f"put off for longer than {limit}: {outcome.reason}")
            else:
                failures += 1
                if failures > self._patience.retries:
                    if outcome.unreachable and not self._reached:
                        mend = (
                            "Start the server there, or check base_url"
                            if self._local
                            else "Check base_url and the network"
                        )
                        raise self._end(f"{call.url} cannot be reached ({outcome.reason}). {mend}")
                    return Refused(f"gave up after {failures} attempts: {outcome.reason}")
            if time.monotonic() + pause - began > self._patience.total_s:
                return Refused(f"gave up after {self._patience.total_s:g} s (total_timeout_s): {outcome.reason}")
            await asyncio.sleep(pause)

    async def _one_attempt(self, call: Call, read: Callable[[Any], T], attempts: Attempts) -> T | Refused | _Again:
        """Wait for a place, send once, and book it."""
        entered = await self.gate.enter()
        overwhelmed = False
        try:
            if self._fatal is not None:
                raise self._fatal
            await attempts.begin()
            outcome = await self._attempt(call, read)
            if isinstance(outcome, _Again):
                overwhelmed = outcome.overwhelmed
                attempts.end(free=outcome.throttled or outcome.unreachable)
                if outcome.throttled and outcome.pause_s:
                    self.gate.close(outcome.pause_s)
            elif isinstance(outcome, Refused):
                attempts.end(free=True)
            return outcome
        except TeacherError as error:
            self._fatal = error
            raise
        finally:
            self.gate.leave(entered, overwhelmed)

    def _end(self, message: str) -> TeacherError:
        """The error that no request can be answered; whoever asks from now on gets it at once."""
        self._fatal = TeacherError(message)
        return self._fatal

    def _pause(self, tries: int) -> float:
        longest = min(_LONGEST_PAUSE_S, self._patience.backoff_s * 2.0 ** min(tries, 16))
        return random.uniform(longest / 2, longest)

    async def _attempt(self, call: Call, read: Callable[[Any], T]) -> T | Refused | _Again:
        request = self._request(call)
        try:
            response = await request.build().send()
            data = bytes(await response.bytes())
        except self._library_error as error:
            reason = self._safe(f"{type(error).__name__}: {_cause(error)}")
            return _Again(reason, unreachable=_never_sent(error), overwhelmed="Timeout" in type(error).__name__)
        self._reached = True
        self._heed(response)
        if response.status != 200:
            return self._failure(call, response, data)
        if not call.is_json:
            return read(data)
        kind = response.get_header("content-type") or "nothing"
        if "json" not in kind:
            return _Again(f"expected JSON, the reply is {self._safe(kind)}")
        try:
            return read(self.loads(data))
        except (ValueError, RecursionError) as error:
            return _Again(f"the reply is no JSON ({self._safe(str(error))})")
        except Malformed as error:
            return _Again(self._safe(str(error)))

    def loads(self, data: bytes) -> Any:
        """What the endpoint says in JSON, without the key."""
        return self._key.taken_out(loads(data))

    def _request(self, call: Call) -> pyreqwest.request.RequestBuilder:
        posts = call.content is not None or call.file is not None
        request = self._client.post(call.url) if posts else self._client.get(call.url)
        if call.content is not None:
            request = request.header("Content-Type", "application/json").body_bytes(call.content)
        if call.file is not None:
            from pyreqwest.multipart import FormBuilder, PartBuilder

            name, content = call.file
            form = FormBuilder()
            for field_name, value in call.fields.items():
                form = form.text(field_name, value)
            request = request.multipart(form.part("file", PartBuilder.from_bytes(content).file_name(name)))
        if call.timeout_s is not None:
            request = request.timeout(timedelta(seconds=call.timeout_s))
        return request.bearer_auth(self._key.text) if self._key.text else request

    def _failure(self, call: Call, response: pyreqwest.response.Response, data: bytes) -> Refused | _Again:
        status = response.status
        code, message = _problem(data)
        reason = self._safe(f"{status} {message}".strip())
        if status == 404 and call.may_miss:
            return Refused(reason, status=status)
        fatal = fatal_reason(status, code)
        if 300 <= status < 400:
            fatal = f"it redirects to {self._safe(response.get_header('location') or 'nowhere')}. Set base_url to where it is"
        if fatal:
            raise TeacherError(f"{call.url}: {fatal} ({reason})")
        if status in _THROTTLED:
            wait = _retry_after(response.get_header("retry-after"), response.get_header("retry-after-ms"))
            return _Again(reason, wait, throttled=status == 429 or wait is not None, overwhelmed=True)
        return refused(status, code, reason) or _Again(reason)

    def _heed(self, response: pyreqwest.response.Response) -> None:
        """Wait as long as the endpoint says that nothing is left of what it grants."""
        for left, until in _GRANTED:
            if response.get_header(left) == "0":
                self.gate.close(min(_LONGEST_PAUSE_S, _duration(response.get_header(until))))

    def _safe(self, text: str) -> str:
        """One short line without the key."""
        return " ".join(self._key.taken_out(text).split())[:_CUT]


def fatal_reason(status: int, code: str) -> str:
    """Why no question can be answered, in words; "" if the error does not say so."""
    return _FATAL_CODE.get(code) or _FATAL_STATUS.get(status) or ""


def refused(status: int, code: str, reason: str) -> Refused | None:
    """That a question cannot be answered; None if it may be, another time."""
    if not 400 <= status < 500 or status in (*_PASSING, *_THROTTLED):
        return None
    return Refused(reason, code in _FILTERED, status)


def _never_sent(error: Exception) -> bool:
    """Whether there was no connection. A ConnectError does not say so: a connection cut after the request is one, too."""
    return any(cause.get("message") == "client error (Connect)" for cause in _causes(error))


def _causes(error: Exception) -> list[dict[str, str]]:
    return (getattr(error, "details", None) or {}).get("causes") or []


def _cause(error: Exception) -> str:
    """What pyreqwest says, with the innermost cause, which is the one that explains."""
    causes = _causes(error)
    last = causes[-1].get("message", "") if causes else ""
    message = str(getattr(error, "message", error))
    return f"{message} ({last})" if last and last not in message else message


def _problem(data: bytes) -> tuple[str, str]:
    try:
        return problem(loads(data))
    except (ValueError, RecursionError):
        return "", data.decode("utf-8", "replace")


def problem(body: Any) -> tuple[str, str]:
    """Code and message of an error's body, in the shapes that OpenAI, vLLM, llama.cpp and proxies send."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", str(error)
    code = error.get("code") or error.get("type") or ""
    return str(code), str(error.get("message") or error.get("detail") or "")


def _retry_after(header: str | None, milliseconds: str | None) -> float | None:
    """How long to wait, in seconds, as the headers say: a number, or a date; None if they say nothing that can be read."""
    try:
        if milliseconds is not None:
            return _bounded(float(milliseconds) / 1000)
        if header is None:
            return None
        return _bounded(float(header))
    except ValueError:
        pass
    try:
        return _bounded(email.utils.parsedate_to_datetime(header or "").timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _duration(text: str | None) -> float:
    """Seconds in a header such as `6m0s`, `1.5s`, `20ms` or `3`; 0 if it says nothing that can be read."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 1.0}
    parts = re.fullmatch(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s)?)+", text or "")
    found = re.findall(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|)", parts[0]) if parts else []
    return sum(float(number) * units[unit] for number, unit in found)


def _bounded(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None
