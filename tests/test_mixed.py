"""Several teachers in one run."""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doubles import Streaming, Sums, Told, right, run_of
from understudy import jsonl
from understudy.config import Config, Part, parse
from understudy.errors import ConfigError
from understudy.methods.single_task import SingleTask
from understudy.pipeline import walk
from understudy.procedures import Ask, AsyncCompleter, Completer, Driver
from understudy.records import Completion
from understudy.report.page import to_toml
from understudy.stages.opening import json_schema, make_run
from understudy.teachers import TEACHERS
from understudy.teachers.mixed import MixedTeacher, Share
from understudy.teachers.openai import OpenAITeacher
from understudy.teachers.store import Store
from understudy.teachers.teacher import Teacher


def told(name: str) -> Told:
    return Told.by(lambda ask, sample: f"{name}{sample}. The answer is {right(ask, sample)}.")


def mixed(*parts: tuple[float, Teacher], seed: int = 0) -> MixedTeacher:
    return MixedTeacher(parts=tuple(Share(share, teacher) for share, teacher in parts), seed=seed)


ASKS = [Ask("teacher", "?", n=2, key=f"train-{i}") for i in range(40)]


def test_each_ask_goes_to_the_teacher_its_key_falls_to() -> None:
    a, b = told("a"), told("b")
    teacher = mixed((0.5, a), (0.5, b))
    with teacher.open(Sums()) as live:
        assert isinstance(live, Completer)
        found = live.complete(ASKS)
    for ask, completions in zip(ASKS, found, strict=True):
        name = "a" if teacher.part(ask.key) is a else "b"
        assert [c.text[:2] for c in completions] == [f"{name}0", f"{name}1"]
    assert {ask.key for ask in a.asked} | {ask.key for ask in b.asked} == {ask.key for ask in ASKS}
    assert a.asked
    assert b.asked


def test_an_endpoint_and_a_batched_teacher_mix() -> None:
    a = told("a")
    teacher = mixed((0.5, a), (0.5, Streaming()))

    async def all_of_them(live: AsyncCompleter) -> list[list[Completion]]:
        return await asyncio.gather(*(live.complete_one(ask) for ask in ASKS))

    with teacher.open(Sums()) as live:
        assert isinstance(live, AsyncCompleter)
        for _ in range(2):  # in one event loop after another
            found = asyncio.run(all_of_them(live))
            kinds = ["a" if teacher.part(ask.key) is a else "S" for ask in ASKS]
            assert [completions[0].text[0] for completions in found] == kinds
        replies = Driver({"teacher": live}, lambda programs: []).run([(ask.key, _asking(ask)) for ask in ASKS])
    assert [reply[0].text[0] for reply in replies] == kinds


def test_each_endpoint_looks_up_together_what_will_be_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []

    def count(store: Store, keys: Any, *rest: Any) -> Any:
        together.append(len(keys))
        return find(store, keys, *rest)

    find = Store.find
    monkeypatch.setattr(Store, "find", count)
    asks = [replace(ask, prompt=ask.key, n=1) for ask in ASKS]
    found: dict[str, list[Completion]] = {}
    with mixed((0.5, Streaming()), (0.5, Streaming())).open(Sums()) as live:
        driver = Driver({"teacher": live}, lambda programs: [])
        asyncio.run(driver.each(((ask.key, _asking(ask)) for ask in asks), 40, found.__setitem__))
    assert found.keys() == {ask.key for ask in asks}
    assert sum(together) == len(asks)
    assert len(together) == 2 * 3  # sixteen at a time, of two


def _asking(ask: Ask) -> Any:
    [completions] = yield [ask]
    return completions


def test_an_error_of_a_batched_teacher_reaches_all_who_wait() -> None:
    def fail(ask: Ask, sample: int) -> str:
        raise RuntimeError("broken")

    async def all_of_them(live: AsyncCompleter) -> list[Any]:
        return await asyncio.gather(*(live.complete_one(ask) for ask in ASKS), return_exceptions=True)

    teacher = mixed((0.5, Told.by(fail)), (0.5, Streaming()))
    with teacher.open(Sums()) as live:
        assert isinstance(live, AsyncCompleter)
        found = asyncio.run(all_of_them(live))
    broken = [isinstance(one, RuntimeError) for one in found]
    assert broken == [not isinstance(teacher.part(ask.key), Streaming) for ask in ASKS]


@pytest.mark.parametrize("other", [told("b"), Streaming()], ids=["batched", "asynchronous"])
def test_a_mixed_run_has_completions_of_all_in_order(tmp_path: Path, other: Teacher) -> None:
    teacher = mixed((0.5, told("a")), (0.5, other))
    run = run_of(tmp_path, SingleTask(), teacher)
    walk(run, until="filter")
    rows = list(jsonl.read(run.dir.completions("rationale")))
    assert [row["question"] for row in rows] == [f"train-{i}" for i in range(12)]
    assert len({row["text"][:1] for row in rows}) == 2


def test_another_share_asks_only_those_it_moves(tmp_path: Path) -> None:
    a, b = told("a"), Told.by(lambda ask, sample: "The answer is 1.", version=1)
    walk(run_of(tmp_path, SingleTask(), mixed((0.5, a), (0.5, b))), until="generate")
    before = len(a.asked), len(b.asked)
    assert sum(before) == 12
    walk(run_of(tmp_path, SingleTask(), mixed((0.999, a), (0.001, b))), until="generate")
    assert (len(a.asked), len(b.asked)) == (12, before[1])


def test_identity_and_note_are_those_of_all() -> None:
    scripted, problems = TEACHERS.make(Part(name="scripted"))
    assert scripted is not None, problems
    teacher = mixed((0.5, scripted), (0.25, scripted), (0.25, told("a")))
    assert teacher.identity().count(scripted.identity()) == 2
    assert "told 0" in teacher.identity()
    assert teacher.note() == scripted.note()
    assert mixed((0.5, told("a")), (0.5, told("b"))).identity() != mixed((0.4, told("a")), (0.6, told("b"))).identity()
    assert mixed((1, told("a")), seed=1).identity() != mixed((1, told("a"))).identity()


A, B = {"name": "openai:a", "share": 0.7}, {"name": "openai", "model": "b", "share": 0.3, "system": "Hi."}


def test_a_list_of_teachers_is_a_mixed_one(tmp_path: Path) -> None:
    table: dict[str, Any] = {"task": "wordsums", "method": "pad", "teacher": [A, B]}
    run = make_run(table, tmp_path, tmp_path)
    assert isinstance(run.teacher, MixedTeacher)
    assert [(part.share, part.teacher) for part in run.teacher.parts] == [
        (0.7, OpenAITeacher(model="a")),
        (0.3, OpenAITeacher(model="b", system="Hi.")),
    ]
    kept = run.config.model_dump(mode="json")
    for table in (kept, tomllib.loads(to_toml(kept))):
        assert make_run(table, tmp_path, tmp_path).teacher == run.teacher


@pytest.mark.parametrize(
    ("teachers", "said"),
    [
        ([{**A, "share": 0.5}, B], "the shares add up to 0.5 + 0.3 = 0.8, expected 1"),
        ([A, {"name": "openai"}], "teacher 2 has no share"),
        (["openai:a"], "teacher 1 has no share"),
        ([{**A, "share": 1.5}], "teacher 1 has the share 1.5"),
        ([{"name": "opneai", "share": 1}], "teacher 1: unknown teacher 'opneai'; did you mean 'openai'?"),
        ([{"name": "openai", "share": 1, "modle": "x"}], "teacher 1: unknown key 'teacher.modle'"),
        ([{"name": "mixed", "share": 1}], "teacher 1 is mixed itself"),
        ({"name": "mixed"}, "teacher.parts is missing"),
        ({"name": "mixed", "parts": "a"}, "expected a list of teachers"),
        ({"name": "mixed:a", "parts": [{**A, "share": 1}]}, "takes no model of its own"),
        ([], "add up to"),
    ],
)
def test_a_mistake_in_the_list_is_told(tmp_path: Path, teachers: Any, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        make_run({"task": "wordsums", "method": "pad", "teacher": teachers}, tmp_path, tmp_path)
    assert said in str(found.value)


def test_a_recorded_part_finds_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "train-0", "text": "x"}\n')
    teachers = [{"name": "recorded", "path": "a.jsonl", "share": 1}]
    run = make_run({"task": "wordsums", "method": "pad", "teacher": teachers}, tmp_path, tmp_path)
    with run.teacher.open(run.task) as live:
        assert isinstance(live, Completer)
        assert live.complete([Ask("teacher", "?", key="train-0")])[0][0].text == "x"


def test_a_list_is_in_the_schema() -> None:
    assert any(one.get("type") == "array" for one in json_schema()["properties"]["teacher"]["anyOf"])
    assert parse(Config, {"task": "wordsums", "method": "pad", "teacher": [A, B]})[1] == []
