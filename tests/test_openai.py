"""The teacher `openai`, against an endpoint that does everything wrong that endpoints do."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from doubles import Sums
from endpoint import Endpoint, Reply, chat, error, serving
from understudy.config import Part
from understudy.errors import PrerequisiteError, TeacherError
from understudy.procedures import Ask, AsyncCompleter, Driver
from understudy.records import Completion, Sampling
from understudy.sandbox import Outcome
from understudy.teachers import TEACHERS
from understudy.teachers.account import Account
from understudy.teachers.openai import OpenAITeacher
from understudy.teachers.prices import Price
from understudy.teachers.requests import _retry_after

KEY = "sk-planted-0123456789"
ASK = Ask("teacher", "How many?", key="q1", seed=1, sampling=Sampling(0.7, 99, 0.9))


def teacher(url: str, **settings: Any) -> OpenAITeacher:
    quick: dict[str, Any] = {"retries": 2, "backoff_s": 0.01, "timeout_s": 5.0, "throttled_s": 1.0}
    return OpenAITeacher(**{"model": "small", "base_url": url, **quick, **settings})


def complete(endpoint: Endpoint, *asks: Ask, concurrency: int = 8, **settings: Any) -> list[list[Completion]]:
    async def all_of_them(live: AsyncCompleter) -> list[list[Completion]]:
        return await asyncio.gather(*(live.complete_one(ask) for ask in asks or (ASK,)))

    with teacher(endpoint.url, **settings).open(Sums(), concurrency) as live:
        assert isinstance(live, AsyncCompleter)
        return asyncio.run(all_of_them(live))


def test_a_completion_carries_text_model_and_tokens() -> None:
    with serving([chat("42 pens")]) as endpoint:
        assert complete(endpoint) == [[Completion("42 pens", "stop", "served", 10, 20)]]
    assert endpoint.paths == ["/v1/chat/completions"]


def test_the_prompt_is_one_message_of_the_user() -> None:
    with serving([chat("x")]) as endpoint:
        complete(endpoint)
    [body] = endpoint.bodies
    assert isinstance(body.pop("seed"), int)
    assert body == {
        "model": "small",
        "messages": [{"role": "user", "content": "How many?"}],
        "n": 1,
        "max_tokens": 99,
        "temperature": 0.7,
        "top_p": 0.9,
    }


def test_system_prefix_stop_and_further_fields_are_sent() -> None:
    ask = Ask("teacher", "Q", prefix="So", stop=("a", "b", "c", "d", "e"), sampling=Sampling())
    settings: dict[str, Any] = {
        "system": "Be brief.",
        "max_tokens_field": "max_completion_tokens",
        "extra_body": {"effort": "low"},
    }
    with serving([chat("So it is.e and more")]) as endpoint:
        [[completion]] = complete(endpoint, ask, **settings)
    [body] = endpoint.bodies
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("system", "Be brief."),
        ("user", "Q"),
        ("assistant", "So"),
    ]
    assert body["stop"] == ["a", "b", "c", "d"]
    assert (body["max_completion_tokens"], body["effort"]) == (256, "low")
    assert "max_tokens" not in body
    assert "seed" not in body
    assert completion.text == " it is."  # without the prefix, and cut at the fifth stop


@pytest.mark.parametrize("dialect", ["chat", "completions"])
def test_the_form_of_a_completion_is_sent_and_part_of_the_question(dialect: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    reply = Reply(body={"choices": [{"text": "{}", "message": {"content": "{}"}}]})
    with serving([reply]) as endpoint:
        [[completion]] = complete(endpoint, dialect=dialect, response_format=form)
        complete(endpoint, dialect=dialect)
    assert completion.text == "{}"
    assert endpoint.bodies[0]["response_format"] == form
    assert "response_format" not in endpoint.bodies[1]
    plain, formed = teacher("http://localhost/v1"), teacher("http://localhost/v1", response_format=form)
    assert "response_format" not in plain.identity()  # what was asked before there was this stays answered
    assert plain.identity() != formed.identity() != teacher("http://localhost/v1", response_format={"a": 1}).identity()


def test_the_dialect_completions_continues_the_prompt() -> None:
    reply = Reply(body={"choices": [{"text": " 7", "finish_reason": "length"}]})
    with serving([reply]) as endpoint:
        [[completion]] = complete(endpoint, Ask("teacher", "Q", prefix="A:"), dialect="completions")
    assert endpoint.paths == ["/v1/completions"]
    assert endpoint.bodies[0]["prompt"] == "QA:"
    assert "messages" not in endpoint.bodies[0]
    assert completion == Completion(" 7", "length", "small")


def test_samples_of_one_request_have_sums_as_billed() -> None:
    with serving([chat("a" * 10, "b" * 20, "", completion_tokens=7)]) as endpoint:
        [completions] = complete(endpoint, Ask("teacher", "Q", n=3))
    assert len(endpoint.bodies) == 1
    assert [c.prompt_tokens for c in completions] == [10, 0, 0]
    assert [c.completion_tokens for c in completions] == [2, 5, 0]


def test_fewer_choices_than_asked_for_are_asked_again_with_other_seeds() -> None:
    with serving([chat("a", "b"), chat("c"), chat("d", "surplus")]) as endpoint:
        [completions] = complete(endpoint, Ask("teacher", "Q", n=4, seed=5, sampling=Sampling(0.7)))
    assert [c.text for c in completions] == ["a", "b", "c", "d"]
    assert [body["n"] for body in endpoint.bodies] == [4, 2, 1]
    assert len({body["seed"] for body in endpoint.bodies}) == 3
    assert all(0 <= body["seed"] < 2**31 for body in endpoint.bodies)


def test_the_seed_follows_the_ask_and_its_first_sample() -> None:
    warm = Ask("teacher", "Q", seed=5, sampling=Sampling(0.7))
    asks = [warm, replace(warm, first_sample=1), replace(warm, seed=6)]
    with serving([chat("x")]) as endpoint:
        for ask in (*asks, asks[0]):
            complete(endpoint, ask)
    seeds = [body["seed"] for body in endpoint.bodies]
    assert seeds[0] == seeds[3]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        ({"message": {"content": "x"}, "finish_reason": "stop"}, "x", "stop"),
        ({"message": {"content": "x"}, "finish_reason": None}, "x", "stop"),
        ({"message": {"content": "x"}, "finish_reason": "length"}, "x", "length"),
        ({"message": {"content": None}, "finish_reason": "length"}, "", "length"),
        ({"message": {"content": "x"}, "finish_reason": "content_filter"}, "x", "refused"),
        ({"message": {"content": None, "refusal": "I can't."}, "finish_reason": "stop"}, "", "refused"),
    ],
)
def test_how_a_completion_ended_is_mapped(choice: dict[str, Any], text: str, finish: str) -> None:
    with serving([Reply(body={"choices": [choice]})]) as endpoint:
        [[completion]] = complete(endpoint)
    assert (completion.text, completion.finish) == (text, finish)
    assert bool(completion.error) == (finish == "refused")
    assert completion.prompt_tokens is None


GOOD = chat("good")
PASSING = {
    "500": error(500),
    "502 in HTML": Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "503": error(503),
    "408": error(408),
    "reset": Reply(fault="reset"),
    "half a body": Reply(body=GOOD.body, fault="half"),
    "no JSON": Reply(body=b"{'choices': ["),
    "empty": Reply(body=b""),
    "wrong content type": Reply(body=GOOD.body, headers={"Content-Type": "text/html"}),
    "no choices": Reply(body={"choices": []}),
    "another shape": Reply(body={"result": "x"}),
    "a list": Reply(body=[1]),
    "text of a wrong type": Reply(body={"choices": [{"message": {"content": [1]}}]}),
    "slow": Reply(body=GOOD.body, delay_s=1.0),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_tried_again(fault: str) -> None:
    with serving([PASSING[fault], PASSING[fault], GOOD]) as endpoint:
        [[completion]] = complete(endpoint, timeout_s=0.5 if fault == "slow" else 5.0)
    assert completion.text == "good"
    assert len(endpoint.bodies) == 3


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_does_not_pass_fails_the_samples_that_are_left(fault: str) -> None:
    with serving([chat("a"), PASSING[fault]]) as endpoint:
        ask = Ask("teacher", "Q", n=3)
        [completions] = complete(endpoint, ask, timeout_s=0.5 if fault == "slow" else 5.0)
    assert len(endpoint.bodies) == 1 + 3
    assert [c.finish for c in completions] == ["stop", "failed", "failed"]
    assert all(c.error.startswith("gave up after 3 attempts: ") for c in completions[1:])
    assert all("\n" not in c.error for c in completions)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, in seconds; none of them is waited for."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr("understudy.teachers.requests.asyncio.sleep", note)
    return made


def test_pauses_grow_from_one_attempt_to_the_next(pauses: list[float]) -> None:
    with serving([error(500)] * 4 + [GOOD]) as endpoint:
        complete(endpoint, retries=4, backoff_s=8)
    assert [4 * 2**i <= pause <= 8 * 2**i for i, pause in enumerate(pauses[:3])] == [True] * 3
    assert 30 <= pauses[3] <= 60  # not 64: there is an end to it


def test_being_throttled_is_no_failed_attempt() -> None:
    with serving([error(429)] * 5 + [GOOD]) as endpoint:
        [[completion]] = complete(endpoint, retries=0)
    assert completion.text == "good"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("headers", [{"retry_after": "0.3"}, {"retry_after_ms": "300"}])
def test_the_endpoint_says_how_long_to_wait(status: int, headers: dict[str, str], pauses: list[float]) -> None:
    with serving([error(status, **headers), GOOD]) as endpoint:
        [[completion]] = complete(endpoint, retries=0, backoff_s=0.5)
    assert completion.text == "good"
    assert 0.3 <= pauses[0] <= 0.3 + 0.5


def test_being_throttled_for_too_long_is_a_failed_completion() -> None:
    with serving([error(429, "slow down", retry_after="3600")]) as endpoint:
        [[completion]] = complete(endpoint)
    assert len(endpoint.bodies) == 1
    assert completion.finish == "failed"
    assert completion.error == "put off for longer than 1 s (throttled_s): 429 slow down"


def test_retry_after_is_read_in_its_three_forms() -> None:
    assert _retry_after("2", None) == 2
    assert _retry_after("2", "500") == 0.5
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert _retry_after(in_a_minute, None) == pytest.approx(60, abs=3)
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT", None) == 0
    assert [_retry_after(h, None) for h in (None, "soon", "nan", "inf", "")] == [None] * 5


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (error(400, "too long", "context_length_exceeded"), "failed"),
        (error(422, "bad value"), "failed"),
        (error(413), "failed"),
        (error(400, "filtered", "content_filter"), "refused"),
        (error(400, "filtered", "content_policy_violation"), "refused"),
        (Reply(400, {"object": "error", "message": "vLLM's shape", "code": 400}), "failed"),
        (Reply(400, {"detail": "FastAPI's shape"}), "failed"),
    ],
)
def test_what_concerns_one_question_is_not_tried_again(reply: Reply, finish: str) -> None:
    with serving([reply]) as endpoint:
        [completions] = complete(endpoint, Ask("teacher", "Q", n=2))
    assert len(endpoint.bodies) == 1
    assert [c.finish for c in completions] == [finish, finish]
    assert completions[0].error.startswith(f"{reply.status} ")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (error(401, "wrong key"), "key is refused"),
        (error(403), "may not use"),
        (error(404, "no such model", "model_not_found"), "model's name and base_url"),
        (error(402), "no credit left"),
        (error(429, "quota", "insufficient_quota"), "no credit left"),
        (error(400, "no max_tokens here", "unsupported_parameter"), "max_tokens_field"),
        (Reply(302, {}, {"Location": "http://elsewhere/"}), "redirects to http://elsewhere/"),
    ],
)
def test_what_concerns_all_questions_is_an_error_at_once(reply: Reply, says: str) -> None:
    with serving([reply]) as endpoint, pytest.raises(TeacherError, match=says) as raised:
        complete(endpoint)
    assert len(endpoint.bodies) == 1
    assert "\n" not in str(raised.value)
    assert endpoint.url in str(raised.value)


UNKNOWN = error(400, "unknown model 'small'")


def twelve() -> list[Ask]:
    return [replace(ASK, prompt=f"Q{i}", key=str(i)) for i in range(12)]


def test_an_endpoint_that_refuses_everything_in_the_same_words_is_an_error() -> None:
    with (
        serving([UNKNOWN]) as endpoint,
        pytest.raises(TeacherError, match=r"first 10 .*unknown model.*Check the model's"),
    ):
        complete(endpoint, *twelve())


@pytest.mark.parametrize("other", [GOOD, error(400, "too long"), error(400, "no", "content_filter")])
def test_refusals_are_rows_if_anything_else_ever_came(other: Reply) -> None:
    asks = twelve()[: 12 if other is GOOD else 10]
    with serving([other, *[UNKNOWN] * 11]) as endpoint:
        found = complete(endpoint, *asks, concurrency=1)
    assert [c.finish for [c] in found].count("failed") >= 9


def test_an_endpoint_that_has_answered_before_may_refuse_all_that_is_left(tmp_path: Path) -> None:
    async def ask_all(live: AsyncCompleter, asks: list[Ask]) -> list[list[Completion]]:
        return await asyncio.gather(*(live.complete_one(ask) for ask in asks))

    with serving([GOOD, UNKNOWN]) as endpoint:
        for asks in ([ASK], twelve()):
            with Account(tmp_path / "store") as account, teacher(endpoint.url).open(Sums(), 1, account) as live:
                assert isinstance(live, AsyncCompleter)
                found = asyncio.run(ask_all(live, asks))
    assert [c.finish for [c] in found] == ["failed"] * 12


def test_an_endpoint_that_is_not_there_is_an_error() -> None:
    with serving([GOOD]) as endpoint:
        pass
    with pytest.raises(TeacherError, match=r"cannot be reached .* Start the server there, or check base_url"):
        complete(endpoint)


def test_an_endpoint_that_goes_away_later_is_a_failed_completion() -> None:
    async def twice(live: AsyncCompleter, endpoint: Any) -> list[Completion]:
        first = await live.complete_one(ASK)
        endpoint.__exit__(None, None, None)
        return first + await live.complete_one(replace(ASK, prompt="And then?"))

    server = serving([Reply(body=GOOD.body, headers={"Connection": "close"})])
    with teacher(server.__enter__().url).open(Sums()) as live:
        assert isinstance(live, AsyncCompleter)
        assert [c.finish for c in asyncio.run(twice(live, server))] == ["stop", "failed"]


def test_no_more_requests_are_under_way_than_allowed_and_connections_are_kept() -> None:
    with serving(lambda body: Reply(body=GOOD.body, delay_s=0.02)) as endpoint:
        asks = [Ask("teacher", f"Q{i}", key=str(i)) for i in range(24)]
        assert all(c[0].text == "good" for c in complete(endpoint, *asks, concurrency=4))
    assert endpoint.most_at_once <= 4
    assert len(endpoint.connections) <= 8


def test_the_same_teacher_answers_in_one_event_loop_after_another() -> None:
    def asking() -> Any:
        [[completion]] = yield [ASK]
        return completion.text

    def execute(programs: Any) -> list[Outcome]:
        raise AssertionError("nothing is run here")

    with serving([GOOD]) as endpoint, teacher(endpoint.url).open(Sums()) as live:
        driver = Driver({"teacher": live}, execute)
        assert [driver.run([("q", asking())]) for _ in range(3)] == [["good"]] * 3


def test_the_key_comes_from_the_environment_and_goes_into_one_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    with serving([GOOD]) as endpoint:
        complete(endpoint, api_key_env="MY_KEY")
        complete(endpoint, api_key_env="")
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in endpoint.headers[1]


@pytest.mark.parametrize(
    "reply",
    [
        error(401, f"Incorrect key {KEY} given"),
        error(400, f"{'x' * 290}{KEY}"),
        error(500, KEY),
        Reply(500, f"<p>{KEY}</p>".encode()),
        error(429, KEY, retry_after="3600"),
        Reply(body=GOOD.body, headers={"Content-Type": KEY}),
        Reply(302, {}, {"Location": f"http://elsewhere/{KEY}"}),
        Reply(body={KEY: 1}),
    ],
)
def test_the_key_is_nowhere_to_be_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], reply: Reply
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with serving([reply]) as endpoint:
        settings = teacher(endpoint.url, retries=1)
        with settings.open(Sums()) as live:
            assert isinstance(live, AsyncCompleter)
            try:
                said = str(asyncio.run(live.complete_one(ASK)))
            except TeacherError as raised:
                said = f"{raised!r} {raised.__cause__!r} {raised.__context__!r}"
            shown = (
                f"{said} {settings!r} {settings.identity()} {live!r} {vars(live)!r} {caplog.text} {capfd.readouterr()}"
            )
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in shown
    assert KEY[:12] not in shown


def test_an_endpoint_elsewhere_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(PrerequisiteError, match="export OPENAI_API_KEY="), OpenAITeacher(model="m").open(Sums()):
        pass
    for url in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        with teacher(url).open(Sums()) as live:
            assert isinstance(live, AsyncCompleter)


def test_a_key_that_cannot_be_one_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    opening = OpenAITeacher(model="m").open(Sums())
    with pytest.raises(TeacherError, match="OPENAI_API_KEY does not hold a key") as raised, opening:
        pass
    assert KEY not in str(raised.value)


def test_a_teacher_without_a_model_is_an_error() -> None:
    with pytest.raises(TeacherError, match="openai:gpt-4o-mini"), teacher("http://localhost/v1", model="").open(Sums()):
        pass


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x", "http://me:pw@host/v1", "https://host/v1?key=1", "https://"]
)
def test_an_address_that_cannot_be_one_or_holds_a_key_is_refused(url: str) -> None:
    made, problems = TEACHERS.make(Part(name="openai", model="m", base_url=url))
    assert made is None
    assert "base_url" in problems[0]


def test_the_identity_follows_what_is_sent_and_not_how_patiently() -> None:
    one = teacher("http://localhost/v1")
    assert one.identity() == teacher("http://localhost/v1/", retries=9, usd_per_million_input=1).identity()
    for other in ({"model": "large"}, {"system": "x"}, {"dialect": "completions"}, {"extra_body": {"a": 1}}):
        assert teacher("http://localhost/v1", **other).identity() != one.identity()
    assert teacher("http://localhost/v2").identity() != one.identity()


def test_a_price_needs_both_prices() -> None:
    priced = teacher("http://localhost/v1", usd_per_million_input="0.15", usd_per_million_output="0.60")
    assert priced.price() == Price(Decimal("0.15"), Decimal("0.60"))
    assert teacher("http://localhost/v1", usd_per_million_input="0.15").price() is None
