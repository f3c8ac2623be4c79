"""The teacher `openai`: any endpoint that speaks OpenAI's protocol, theirs or one of your own (vLLM, llama.cpp, Ollama).

    teacher = OpenAITeacher(model="gpt-4o-mini")                       # the key is in the environment: OPENAI_API_KEY
    teacher = OpenAITeacher(model="my-model", base_url="http://localhost:8000/v1")
    with teacher.open(task) as live:
        completions = await live.complete_one(Ask("teacher", prompt, n=4, key="q1", seed=0))

The prompt goes as one message of the user, demonstrations included, as PaD asked (Zhu et al. 2024, appendix A); in the
dialect `completions` it goes as it is. What concerns one question (a content filter, a prompt too long, an endpoint that
fails again and again) is a completion that was `refused` or `failed`; what concerns them all (the key, the name of the
model, the quota) is a `TeacherError` at once.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from understudy.config import hidden
from understudy.errors import PrerequisiteError, TeacherError
from understudy.procedures import Ask, AsyncCompleter
from understudy.records import Completion, Finish, Sampling
from understudy.tasks.task import Task
from understudy.teachers import keys
from understudy.teachers.account import Account
from understudy.teachers.kept import Attempts, Reply, keeping
from understudy.teachers.ledger import Cost
from understudy.teachers.prices import Price, listed, table_version
from understudy.teachers.requests import Malformed, Patience, Refused, Requests
from understudy.teachers.store import Answer
from understudy.teachers.teacher import Teacher, messages

_FINISH: Mapping[str, Finish] = {"length": "length", "content_filter": "refused"}
_MAX_STOPS = 4  # more are an error at OpenAI; the others are cut here
_REFUSALS = 10
"""So many refusals in the same words, and no answer ever, are no matter of the questions."""
_STRIDE = 0x9E3779B1  # odd and large, so that no two samples of neighbouring seeds meet
_TOKENS_AROUND = 16  # of a message: its role and the marks around it


class OpenAITeacher(Teacher):
    """Any endpoint that speaks OpenAI's protocol."""

    name = "openai"
    base_url: str = "https://api.openai.com/v1"
    """Where the endpoint is, up to and with its `/v1`."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; empty: no key is sent. An endpoint on this machine needs none."""
    api_key_file: Path | None = None
    """A file that holds the key instead: outside the run and of what git keeps, and only you may read it."""
    dialect: Literal["chat", "completions"] = "chat"
    """`chat` sends the prompt as a message of the user; `completions` has it continued, for models without a chat form."""
    system: str = ""
    """The system message of the dialect `chat`; empty: none."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls the longest completion; OpenAI's newer models want `max_completion_tokens`."""
    response_format: dict[str, Any] = Field(default_factory=dict)
    """The form that a completion must have, where the endpoint can hold to one, e.g. { type = "json_object" }."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request, as the endpoint documents them, e.g. { reasoning_effort = "low" }."""
    timeout_s: float = Field(120.0, gt=0)
    """How long one request may take, in seconds."""
    retries: int = Field(6, ge=0)
    """How often a request that went wrong is sent again before its completions count as failed."""
    backoff_s: float = Field(0.5, gt=0)
    """The first pause before a request is sent again, in seconds; it doubles each time, up to a minute, with jitter."""
    throttled_s: float = Field(900.0, ge=0)
    """How long a request may be put off because the endpoint says it is too busy, in seconds, all pauses together."""
    total_timeout_s: float = Field(3600.0, gt=0)
    """How long all attempts at one request may take together, in seconds, before its completions count as failed."""
    logprobs: int | None = Field(None, ge=0, le=20)
    """Ask for the log-probabilities of the tokens, with so many alternatives each; they are kept with the answer."""
    usd_per_million_input: Decimal | None = Field(None, ge=0)
    """Price of a million tokens of prompts, in US dollars."""
    usd_per_million_output: Decimal | None = Field(None, ge=0)
    """Price of a million tokens of completions, in US dollars."""

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a web address like https://api.openai.com/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise hidden("expected an address without a user, a password, a ? or a #; a key belongs in the environment")
        return url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _variable(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise hidden(
                "expected the name of an environment variable, such as OPENAI_API_KEY. If it is the key itself, take it "
                "out of the configuration"
            )
        return name

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[AsyncCompleter]:
        """Whoever asks the endpoint, with up to `concurrency` requests under way. Nothing is sent yet.

        Raises:
            TeacherError: no model is named, the key cannot be a key, or a budget in dollars meets a model without a price.
            PrerequisiteError: the key is not set.
        """
        if account is None:
            with Account() as account, self.open(task, concurrency, account) as live:
                yield live
            return
        requests = self.requests(f"{self.base_url}/{self.kind}", concurrency)
        endpoint = Endpoint(self, requests, self.checked_price(account), lambda: account.store.knows(self.identity()))
        with keeping(endpoint, self.identity(), account) as live:
            yield live

    @property
    def kind(self) -> str:
        """What follows the base of the address."""
        return "chat/completions" if self.dialect == "chat" else "completions"

    def requests(self, url: str, concurrency: int) -> Requests:
        """Whoever posts to an address of the endpoint. Raises as `open`."""
        if not self.model:
            raise TeacherError('no model is named. Say which one to ask, e.g. teacher = "openai:gpt-4o-mini"')
        patience = Patience(self.timeout_s, self.retries, self.backoff_s, self.throttled_s, self.total_timeout_s)
        local = _is_local(self.base_url)
        return Requests(url, self._key(local), patience, concurrency, local)

    def checked_price(self, account: Account) -> Price | None:
        """The price. Raises as `open`."""
        price = self.price()
        if price is None and account.budget.usd is not None:
            raise TeacherError(
                f"budget_usd is set, and the price of {self.model!r} is not known. Set usd_per_million_input and "
                "usd_per_million_output of the teacher, or budget_tokens instead of budget_usd"
            )
        return price

    def identity(self) -> str:
        """Endpoint, model and what is sent beside the prompt."""
        sent = {"dialect": self.dialect, "system": self.system, **self.extra_body}
        if self.logprobs is not None:
            sent["logprobs"] = self.logprobs
        if self.response_format:
            sent["response_format"] = self.response_format
        return f"openai {self.base_url} {self.model} {json.dumps(sent, sort_keys=True, default=str)}"

    def price(self) -> Price | None:
        """What the model's tokens cost: as set here, else as the price table has it; None if neither knows."""
        return self.own_price() or (None if _is_local(self.base_url) else listed(self.model, self.base_url))

    def price_source(self) -> str:
        return "your own prices" if self.own_price() else f"{table_version()}, today"

    def own_price(self) -> Price | None:
        """As set here."""
        if self.usd_per_million_input is None or self.usd_per_million_output is None:
            return None
        return Price(self.usd_per_million_input, self.usd_per_million_output)

    def _key(self, local: bool) -> str:
        """The key, or "" if none is sent."""
        place = str(self.api_key_file or self.api_key_env)
        if self.api_key_file is not None:
            key = keys.from_file(self.api_key_file.expanduser())
        else:
            key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        if not key and self.api_key_env and not local:
            raise PrerequisiteError(
                f"{self.base_url} needs a key and {self.api_key_env} is not set. "
                f"Set it, export {self.api_key_env}=..., or set api_key_env to the variable that holds it"
            )
        if not key.isascii() or not key.isprintable():
            raise TeacherError(f"{place} does not hold a key: it has characters that no key has. Set it again")
        return key


class Endpoint:
    """Answers asks by requests to the endpoint. `proven` says whether it has ever answered before."""

    def __init__(
        self,
        settings: OpenAITeacher,
        requests: Requests,
        price: Price | None,
        proven: Callable[[], bool] = lambda: True,
    ) -> None:
        self._proven = proven
        self._refusals: Counter[str] | None = Counter()
        self._settings = settings
        self._requests = requests
        self._price = price

    def most(self, ask: Ask, n: int) -> Cost:
        """Every byte of the prompt may be a token, and each message has some of its own."""
        flat = self._settings.dialect == "completions" or not ask.turns
        asked = (ask.prompt,) if flat else (text for _, text in ask.turns)
        prompt = _TOKENS_AROUND
        for text in (self._settings.system, *asked, ask.prefix):
            if text:
                size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
                prompt += size + _TOKENS_AROUND
        return self._cost(prompt, n * (ask.sampling or Sampling()).max_tokens)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> Cost:
        money = self._price.picodollars(prompt_tokens, completion_tokens) if self._price else 0
        return Cost(prompt_tokens + completion_tokens, money)

    async def request(self, ask: Ask, n: int, first: int, attempts: Attempts) -> Reply:
        """Samples from number `first` on, as many as the endpoint gives at a time.

        `prompt_tokens` stand at the first completion of each request and are 0 at the others; the completion tokens of a
        request are known only together and are shared out by the length of the texts: so their sums are as billed.

        Raises:
            TeacherError: the key, the model or the quota is refused; says what to do.
        """
        reply = await self._requests.send(self.body(ask, n, first), lambda data: self.read(ask, data), attempts)
        if not isinstance(reply, Refused):
            self._refusals = None
            return reply
        if reply.status and not reply.by_filter:
            self._check(reply.reason)
        return self.refused(reply, n)

    def _check(self, reason: str) -> None:
        """Stop if the endpoint refuses everything for one reason, as some do that do not know the model."""
        if self._refusals is None:
            return
        self._refusals[reason] += 1
        if self._refusals.total() >= _REFUSALS:
            if len(self._refusals) == 1 and not self._proven():
                settings = self._settings
                raise TeacherError(
                    f"{settings.base_url}: the first {_REFUSALS} requests were all refused in the same words ({reason}). "
                    f"Check the model's name, {settings.model!r}, and the teacher's other settings"
                )
            self._refusals = None

    def refused(self, refused: Refused, n: int) -> Reply:
        """What becomes of the samples of a request that has no answer."""
        finish: Finish = "refused" if refused.by_filter else "failed"
        return Reply([Answer(Completion("", finish, self._settings.model, error=refused.reason))] * n)

    def body(self, ask: Ask, n: int, first: int) -> dict[str, Any]:
        """The request for `n` samples from number `first` on."""
        settings, sampling = self._settings, ask.sampling or Sampling()
        body: dict[str, Any] = {"model": settings.model}
        if settings.dialect == "completions":
            body["prompt"] = ask.prompt + ask.prefix
        else:
            body["messages"] = [{"role": who, "content": text} for who, text in messages(ask, settings.system)]
        body["n"] = n
        body[settings.max_tokens_field] = sampling.max_tokens
        body["temperature"] = sampling.temperature
        body["top_p"] = sampling.top_p
        if ask.stop:
            body["stop"] = list(ask.stop[:_MAX_STOPS])
        if settings.logprobs is not None:
            chat: dict[str, Any] = {"logprobs": True, "top_logprobs": settings.logprobs}
            body |= chat if settings.dialect == "chat" else {"logprobs": settings.logprobs}
        if ask.seed is not None and sampling.temperature:
            body["seed"] = (ask.seed + first * _STRIDE) % 2**31  # some servers keep it in 32 bits
        if settings.response_format:
            body["response_format"] = settings.response_format
        return body | settings.extra_body

    def read(self, ask: Ask, data: Any) -> Reply:
        """The answers in a reply.

        Raises:
            Malformed: the reply is not what the protocol says.
        """
        try:
            choices = [self._choice(choice) for choice in data["choices"]]
            model = str(data.get("model") or self._settings.model)
            usage = data.get("usage") or {}
            prompt, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        except (TypeError, KeyError, AttributeError) as error:
            raise Malformed(f"no completion in the reply ({type(error).__name__}: {error})") from None
        if not choices:
            raise Malformed("no choices in the reply")
        many, answers = len(choices) > 1, []
        shares = _shares(written, [len(text) for text, _, _ in choices])
        billed = prompt if isinstance(prompt, int) else None
        for i, (text, finish, reason) in enumerate(choices):
            completion = Completion(_cut(ask, text), finish, model, billed, shares[i], reason)
            answers.append(Answer(completion, {**data, "choices": [data["choices"][i]]} if many else data))
            billed = billed and 0  # the others' prompt is the same one
        if isinstance(prompt, int) and isinstance(written, int):
            return Reply(answers, self._cost(prompt, written))
        return Reply(answers)

    def _choice(self, choice: Any) -> tuple[str, Finish, str]:
        """Text, finish and error of one choice."""
        finish = _FINISH.get(choice.get("finish_reason") or "", "stop")
        error = "the content filter cut it" if finish == "refused" else ""
        if self._settings.dialect == "completions":
            text = choice["text"]
        else:
            message = choice["message"]
            text = message.get("content") or ""
            if refusal := message.get("refusal"):
                finish, error = "refused", " ".join(str(refusal).split())[:300]
        if not isinstance(text, str):
            raise TypeError(f"the text is {type(text).__name__}")
        return text, finish, error


def _cut(ask: Ask, text: str) -> str:
    """The text without the prefix, which some endpoints repeat, and up to the first of the stops that were not sent."""
    text = text.removeprefix(ask.prefix)
    if len(ask.stop) > _MAX_STOPS:
        ends = [end for stop in ask.stop[_MAX_STOPS:] if (end := text.find(stop)) >= 0]
        text = text[: min(ends, default=None)]
    return text


def _shares(total: Any, lengths: list[int]) -> list[int | None]:
    """`total` shared out in proportion to `lengths`, in whole numbers that add up to it; None each if it is no number."""
    if not isinstance(total, int):
        return [None] * len(lengths)
    if len(lengths) == 1:
        return [total]
    whole = sum(lengths) or 1
    ends = [total * sum(lengths[: i + 1]) // whole for i in range(len(lengths))]
    ends[-1] = total
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _is_local(url: str) -> bool:
    """Whether the address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
