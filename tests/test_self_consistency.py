from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from doubles import Asks, Programs, Sums, Told, run_of
from understudy.evidence.metrics import summarise
from understudy.methods import vote
from understudy.methods.few_shot import FewShotCot, Pal
from understudy.methods.self_consistency import elected
from understudy.pipeline import walk
from understudy.procedures import Ask, Driver, Execute, Procedure, together
from understudy.records import Prediction, Question
from understudy.sandbox import Sandbox
from understudy.stages.opening import open_run

QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def samples(*answers: str | None) -> list[Prediction]:
    return [Prediction(answer, (f"text {answer}",), "" if answer else "no_answer") for answer in answers]


@pytest.mark.parametrize(
    ("answers", "winner", "votes", "agreement"),
    [
        (["17", "7", "17"], "17", {"17": 2, "7": 1}, 2 / 3),
        (["7", "17"], "7", {"7": 1, "17": 1}, 0.5),  # the first of equals
        (["0.5", "1/2", "2", None], "0.5", {"0.5": 2, "2": 1}, 0.5),  # by value, and an unreadable one does not vote
        ([None, "17"], "17", {"17": 1}, 0.5),
    ],
)
def test_the_answer_of_most_samples_wins(
    answers: Sequence[str | None], winner: str, votes: dict[str, int], agreement: float
) -> None:
    found = elected(Sums(), samples(*answers))
    assert (found.answer, found.fault) == (winner, "")
    assert found.evidence["votes"] == votes
    assert found.evidence["agreement"] == pytest.approx(agreement)
    assert len(found.texts) == len(answers)


def test_without_any_answer_the_commonest_fault_and_a_lenient_answer_are_told() -> None:
    faulty = [Prediction(None, (), fault) for fault in ("failed", "no_answer", "no_answer")]
    found = elected(Sums(), [*faulty, Prediction(None, (), "refusal", {"lenient": "17"})])
    assert (found.answer, found.fault) == (None, "no_answer")
    assert found.evidence == {"lenient": "17", "votes": {}, "agreement": 0.0}


def test_samples_are_one_ask_and_equal_programs_run_once() -> None:
    teacher = Told.by(lambda ask, sample: f"def solution():\n    return {17 if sample % 2 else 7}")
    ran: list[str] = []
    with Sandbox(timeout_s=1.0) as sandbox:

        def execute(programs: Sequence[str]) -> list[object]:
            ran.extend(programs)
            return sandbox.run(programs)  # type: ignore[return-value]

        driver = Driver({"teacher": teacher}, execute)  # type: ignore[arg-type]
        [found] = driver.run([("q", vote(Sums(), [Pal().answer(Sums(), QUESTION) for _ in range(5)]))])
    assert [ask.n for ask in teacher.asked] == [5]
    assert len(ran) == 2
    assert found.evidence["votes"] == {"7": 3, "17": 2}
    assert found.evidence["status"] == ["ok"] * 5


def steps(length: int) -> Procedure[list[str]]:
    said: list[str] = []
    for number in range(length):
        [[completion], outcome] = yield [Ask("teacher", f"step {number} after {said[-1:]}"), Execute("6")]
        said.append(f"{completion.text} {outcome.value}")
    return said


def test_procedures_of_different_length_run_side_by_side_and_share_the_samples_in_order() -> None:
    teacher, programs = Told.by(lambda ask, sample: f"{ask.prompt[5]}.{sample}"), Programs()
    [found] = Driver({"teacher": teacher}, programs).run([("q", together([steps(n) for n in (2, 0, 1)]))])
    assert found == [["0.0 6", "1.0 6"], [], ["0.1 6"]]
    assert [ask.n for ask in teacher.asked] == [2, 1]
    assert programs.batches == [["6"], ["6"]]


def test_a_run_with_votes_samples_and_draws_its_curve(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, sample: "0" if sample == 2 else str(int(ask.key[-1]) + 1) if sample else "who knows")
    run = run_of(tmp_path, Asks(), teacher, evaluate={"votes": 4, "temperature": 0.5})
    walk(run)
    assert {(ask.n, ask.sampling.temperature) for ask in teacher.asked if ask.sampling} == {(4, 0.5)}
    found = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    assert found["coverage"] == [
        {"agreement": 0.5, "coverage": 1.0, "n": 5, "accuracy": found["accuracy"], "interval": found["interval"]}
    ]


def test_more_votes_keep_the_samples_there_are(tmp_path: Path) -> None:
    few, many = Told.by(lambda ask, sample: "1"), Told.by(lambda ask, sample: "1")
    for teacher, votes in ((few, 2), (many, 3)):
        walk(run_of(tmp_path / str(votes), Asks(), teacher, evaluate={"votes": votes}))
    assert {ask.key: ask.seed for ask in few.asked} == {ask.key: ask.seed for ask in many.asked}


def test_one_vote_is_a_greedy_answer(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, sample: "1")
    run = run_of(tmp_path, Asks(), teacher)
    walk(run)
    assert {ask.sampling.temperature for ask in teacher.asked if ask.sampling} == {0.0}
    assert json.loads(run.dir.metrics.read_text())["splits"]["test"]["coverage"] is None


def test_the_curve_counts_every_question_that_has_an_answer() -> None:
    rows = [
        {"split": "test", "result": result, "evidence": {"agreement": agreement}}
        for result, agreement in (("correct", 1.0), ("correct", 1.0), ("wrong", 0.4), ("no_answer", 0.0))
    ]
    curve = summarise(rows)["test"]["coverage"]
    assert [(p["agreement"], p["coverage"], p["accuracy"]) for p in curve] == [(1.0, 0.5, 1.0), (0.4, 0.75, 2 / 3)]


def test_chains_vote_too() -> None:
    replies = ["So 7. The answer is 7.", "The answer is 17.", "Hm.", "It is 17.0. The answer is 17.0."]
    teacher = Told.by(lambda ask, sample: replies[sample])
    [found] = Driver({"teacher": teacher}, Programs()).run(
        [("q", vote(Sums(), [FewShotCot().answer(Sums(), QUESTION) for _ in replies]))]
    )
    assert (found.answer, found.evidence["votes"]) == ("17", {"7": 1, "17": 2})


@pytest.mark.thorough
@pytest.mark.skipif(
    not DATA.is_dir() and not os.environ.get("CI"), reason="the published data sets are not beside the repository"
)
@pytest.mark.parametrize(("votes", "right"), [(1, 83.4), (5, 85.3), (10, 85.6), (30, 88.1)])
def test_the_published_samples_are_right_as_often_as_published(tmp_path: Path, votes: int, right: float) -> None:
    run = open_run(
        RECIPES / "svamp-self-consistency.toml", [f"data={DATA}", f"evaluate.votes={votes}"], tmp_path / "run"
    )
    walk(run, until="evaluate")
    found = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    assert found["n"] == 999
    assert 100 * found["accuracy"] == pytest.approx(right, abs=0.1)
