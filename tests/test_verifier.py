"""The verifier: what it learns from right and wrong solutions, and how it picks among many."""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles import Programs, Sums, Told, run_of
from understudy import jsonl
from understudy.methods.pad import Pad
from understudy.methods.verifier import Verifier
from understudy.pipeline import plan, walk
from understudy.procedures import Ask, Driver, Score
from understudy.records import Completion, Example, Prediction, Question, Rationale, Sampling
from understudy.sandbox import Sandbox
from understudy.stages.estimate import estimate
from understudy.stages.opening import make_run
from understudy.stages.showing import show_prompts

QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "wordsums-verifier.toml"
RIGHT = Rationale("12 + 5 = 17.", "17", correct=True)
WRONG = Rationale("12 - 5 = 7.", "7", correct=False)
SHOWN = Rationale("She has 12 + 5 = 17.", "17")


def verdicts(
    solutions: Sequence[Rationale],
    faulty: Sequence[Rationale] = (),
    shown: Sequence[Rationale] = (SHOWN,),
    question: Question = QUESTION,
    **options: Any,
) -> list[Example]:
    method = Verifier(**options)
    _, role = method.roles()
    found = {"rationale": shown, "program": shown, "solutions": solutions, "solutions.faulty": faulty}
    return list(method.examples(Sums(), role, question, found))


def test_the_plan_has_the_generator_answer_the_training_questions() -> None:
    assert [step.name for step in plan(Verifier())] == [
        "generate-rationale",
        "filter-rationale",
        "build-generator",
        "train-generator",
        "generate-solutions",
        "filter-solutions",
        "build-verifier",
        "train-verifier",
        "evaluate",
        "report",
    ]
    generator, verifier = Verifier(solutions=7, temperature=0.9).roles()
    assert (generator.head, verifier.head, verifier.start) == ("lm", "value", "generator")
    *_, source = verifier.sources
    assert (source.by, source.samples, source.temperature, source.keep) == ("generator", 7, 0.9, "parsed")


def test_the_generator_learns_as_the_method_of_its_format_does() -> None:
    generator, _ = Verifier(format="program").roles()
    program = Rationale('def solution():\n    """Pens."""\n    return 17', "17")
    [role] = Pad().roles()
    expected = list(Pad().examples(Sums(), role, QUESTION, {"program": [program]}))
    assert Verifier(format="program").examples(Sums(), generator, QUESTION, {"program": [program]}) == expected


def test_every_solution_has_its_value_and_a_rationale_beside_it() -> None:
    other = Rationale("12 and 5 are 17.", "17")
    rows = verdicts([RIGHT, WRONG, RIGHT], shown=[SHOWN, other])
    texts = ["12 + 5 = 17. The answer is 17.", "12 - 5 = 7. The answer is 7.", "12 + 5 = 17. The answer is 17."]
    values = [row for row in rows if row.objective == "value"]
    assert [(row.target, row.value) for row in values] == list(zip(texts, [1.0, 0.0, 1.0], strict=True))
    language = [row for row in rows if row.objective == "language"]
    told = ["She has 12 + 5 = 17. The answer is 17.", "12 and 5 are 17. The answer is 17."]
    assert [(row.target, row.value) for row in language] == [(told[0], None), (told[1], None), (told[0], None)]
    assert Counter(row.group for row in rows) == {f"q {number}": 2 for number in range(3)}
    assert {row.prompt for row in rows} == {QUESTION.text}


def test_without_its_weight_the_language_is_left_out() -> None:
    assert [row.objective for row in verdicts([RIGHT, WRONG], language_weight=0)] == ["value", "value"]
    _, role = Verifier(language_weight=0).roles()
    assert role.objectives == {"value": 1.0}
    _, role = Verifier(language_weight=0.2).roles()
    assert role.objectives == {"value": 1.0, "language": 0.2}


def rejected(slug: str, text: str = "It is what it is.") -> Rationale:
    return Rationale(text, None, {"slug": slug, "error": ""})


def test_a_solution_without_an_answer_is_wrong_once_and_some_faults_are_nobodys() -> None:
    spared = [rejected(slug) for slug in ("failed", "refusal", "unsupported", "overlap", "duplicate", "truncated")]
    rows = verdicts([RIGHT], [rejected("no_answer"), rejected("no_answer"), rejected("empty", " "), *spared])
    assert [(row.target, row.value) for row in rows if row.objective == "value"][1:] == [("It is what it is.", 0.0)]


def test_what_nobody_can_grade_is_not_learned() -> None:
    asked = replace(QUESTION, answer=None)
    assert verdicts([replace(RIGHT, correct=None)], [rejected("no_answer")], question=asked) == []


def solution(answer: str | None, number: int) -> Prediction:
    evidence = {"finish": ["stop"], "completion_tokens": [number]}
    return Prediction(answer, (f"solution {number}",), "" if answer else "no_answer", evidence)


def plain(answers: Sequence[str | None], scores: Sequence[float | None], top: int) -> str | None:
    """Cobbe et al. 2021, section 5.1: the answer of most of the `top` best scored; of equals, the better scored."""
    ranked = sorted(
        (place for place, score in enumerate(scores) if score is not None), key=lambda p: (-(scores[p] or 0.0), p)
    )[:top]
    if not ranked:
        return None
    votes = Counter(answers[place] for place in ranked)
    most = max(votes.values())
    return next(answers[place] for place in ranked if votes[answers[place]] == most)


SCORED = st.one_of(
    st.tuples(st.sampled_from(["7", "17", "20"]), st.sampled_from([-0.5, 0.1, 0.5, 0.9])),
    st.just((None, None)),
)


@given(st.lists(SCORED, min_size=1, max_size=9), st.integers(1, 9))
def test_the_best_scored_answer_or_vote_as_in_the_plain_formula(
    found: list[tuple[str | None, float | None]], top: int
) -> None:
    answers, scores = [answer for answer, _ in found], [score for _, score in found]
    picked = Verifier(top=top).picked(Sums(), [solution(a, i) for i, a in enumerate(answers)], scores)
    assert picked.answer == plain(answers, scores, top)
    assert picked.evidence["answers"] == answers
    assert picked.evidence["scores"] == scores
    assert len(picked.texts) == len(picked.evidence["finish"]) == len(found)
    if picked.answer is None:
        assert (picked.fault, picked.evidence["chosen"]) == ("no_answer", None)
    else:
        best = max(score for answer, score in found if answer == picked.answer and score is not None)
        assert scores[picked.evidence["chosen"]] == best
    assert ("agreement" in picked.evidence) == (top > 1)


def test_equal_values_vote_together_and_the_best_scored_spelling_is_the_answer() -> None:
    answers, scores = ["0.5", "2", "1/2"], [0.1, 0.9, 0.3]
    picked = Verifier(top=3).picked(Sums(), [solution(a, i) for i, a in enumerate(answers)], scores)
    assert (picked.answer, picked.evidence["votes"], picked.evidence["chosen"]) == ("1/2", {"2": 1, "1/2": 2}, 2)


def test_as_many_votes_as_samples_are_self_consistency() -> None:
    answers, scores = ["7", "17", "17"], [0.9, 0.1, 0.2]
    solutions = [solution(answer, number) for number, answer in enumerate(answers)]
    assert Verifier(top=1).picked(Sums(), solutions, scores).answer == "7"
    assert Verifier(top=2).picked(Sums(), solutions, scores).answer == "7"  # one vote each: the better scored
    assert Verifier(top=3).picked(Sums(), solutions, scores).answer == "17"


def test_a_solution_too_long_to_score_comes_last_and_the_evidence_stays_json() -> None:
    solutions = [solution("7", 0), solution("17", 1)]
    picked = Verifier().picked(Sums(), solutions, [-math.inf, 0.2])
    assert picked.answer == "17"
    assert json.loads(json.dumps(picked.evidence))["scores"] == [None, 0.2]
    assert Verifier().picked(Sums(), solutions[:1], [-math.inf]).answer == "7"


class Judge:
    """A generator that says what it is told, and a verifier that likes some programs better."""

    def __init__(self, texts: Sequence[str], liked: Mapping[str, float]) -> None:
        self.texts, self.liked = texts, liked
        self.asked: list[Ask] = []
        self.scored: list[Score] = []

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        self.asked += asks
        return [[Completion(text, completion_tokens=1) for text in self.texts] for _ in asks]

    def score(self, scores: Sequence[Score]) -> list[list[float]]:
        self.scored += scores
        return [[self.liked[target] for target in score.targets] for score in scores]


def program(body: str) -> str:
    return f"def solution():\n    return {body}"


def test_programs_are_run_once_each_scored_once_each_and_a_failing_one_is_not_scored() -> None:
    good, bad, fails = program("12 + 5"), program("12 - 5"), program("pens")
    judge = Judge([bad, good, fails, bad], {good: 0.9, bad: 0.2})
    ran: list[str] = []
    with Sandbox(timeout_s=1.0) as sandbox:

        def execute(programs: Sequence[str]) -> Any:
            ran.extend(programs)
            return sandbox.run(programs)

        driver = Driver({"generator": judge, "verifier": judge}, execute, sampling=Sampling(0.0, 99))
        [found] = driver.run([("q", Verifier(format="program", samples=4).answer(Sums(), QUESTION))])
    assert (found.answer, found.evidence["chosen"]) == ("17", 1)
    assert found.evidence["scores"] == [0.2, 0.9, None, 0.2]
    assert found.evidence["status"] == ["ok", "ok", "name_error", "ok"]
    assert sorted(ran) == sorted([bad, good, fails])
    assert [score.targets for score in judge.scored] == [(bad, good)]
    assert [(ask.n, ask.sampling) for ask in judge.asked] == [(4, Sampling(0.7, 99))]


def test_without_an_answer_nothing_is_scored_and_the_fault_is_told() -> None:
    judge = Judge(["Hm.", "Well."], {})
    driver = Driver({"generator": judge, "verifier": judge}, Programs())
    [found] = driver.run([("q", Verifier(samples=2).answer(Sums(), QUESTION))])
    assert (found.answer, found.fault, found.texts) == (None, "no_answer", ("Hm.", "Well."))
    assert judge.scored == []


def chain(ask: Ask, sample: int) -> str:
    return f"Add one. The answer is {int(ask.key.rsplit('-', 1)[1]) + 1}."


def test_right_and_wrong_solutions_reach_the_verifier_whatever_is_kept_of_the_teachers(tmp_path: Path) -> None:
    for keep in (None, "right", "all"):
        run = run_of(tmp_path / str(keep), Verifier(solutions=2, samples=3), Told.by(chain), filter={"keep": keep})
        walk(run, until="build")
        kept = list(jsonl.read(run.dir.rationales("solutions")))
        values = [row for row in jsonl.read(run.dir.examples("verifier")) if "value" in row]
        # the nearest student copies: right for its own question, wrong for one that is nearest to another
        assert {row["correct"] for row in kept} == {bool(row["value"]) for row in values}


@pytest.fixture
def recipe() -> dict[str, Any]:
    return tomllib.loads(RECIPE.read_text(encoding="utf-8"))


def tiny(table: dict[str, Any], format: str) -> dict[str, Any]:
    """The recipe at a size for tests."""
    table["task"] = {"name": "wordsums", "train": 24, "test": 4}
    table["method"] |= {"solutions": 3, "samples": 4, "format": format}
    table["train"] |= {"steps": 50, "eval_every": 50}
    table["evaluate"] |= {"splits": ["test"], "max_tokens": 99}
    table["generate"] |= {"max_tokens": 99}
    return table


@pytest.mark.parametrize(
    ("student", "format"),
    [
        ("nearest", "program"),
        ("nearest", "cot"),
        pytest.param("scratch:llama-nano", "program", marks=pytest.mark.thorough),
        pytest.param("scratch:t5-tiny", "cot", marks=pytest.mark.thorough),
    ],
)
def test_the_recipe_runs_and_its_evidence_says_what_was_chosen(
    tmp_path: Path, recipe: dict[str, Any], student: str, format: str
) -> None:
    run = make_run({**tiny(recipe, format), "student": student}, tmp_path, tmp_path / "run")
    walk(run)
    assert all(step.is_done(run) for step in plan(run.method))
    metrics = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    assert (metrics["n"], metrics["coverage"]) == (4, None)
    for row in jsonl.read(run.dir.predictions):
        evidence = row["evidence"]
        assert len(evidence["scores"]) == len(evidence["answers"]) == len(row["texts"]) == 4
        assert [s is None for s in evidence["scores"]] == [a is None for a in evidence["answers"]]
        chosen = evidence["chosen"]
        assert row["answer"] == (None if chosen is None else evidence["answers"][chosen])
    if student != "nearest":
        assert (run.dir.student("verifier") / "value_head.safetensors").exists()
        assert not (run.dir.student("generator") / "value_head.safetensors").exists()


def test_it_is_shown_and_estimated_before_it_runs(tmp_path: Path, recipe: dict[str, Any]) -> None:
    table = tiny(recipe, "program")
    table["method"]["temperature"] = 0.9
    run = make_run({**table, "student": "nearest"}, tmp_path, tmp_path / "run")
    text = "\n".join(show_prompts(run))
    assert "# source solutions: question train-0\ntemperature 0.9, top_p 1, at most 99 tokens, 3 samples" in text
    assert (
        "temperature 0.9, top_p 1, at most 99 tokens, 4 samples, no stop\n## the student of the role generator" in text
    )
    [line] = estimate(run)
    assert (line.step, line.samples) == ("generate program", 24)


def test_another_number_of_voters_trains_nothing_again(tmp_path: Path, recipe: dict[str, Any]) -> None:
    table = {**tiny(recipe, "program"), "student": "nearest"}
    walk(make_run(table, tmp_path, tmp_path / "run"))
    table["method"]["top"] = 3
    run = make_run(table, tmp_path, tmp_path / "run")
    walk(run, until="build")
    redone = {step.name for step in plan(run.method) if not step.is_done(run)}
    assert redone == {"evaluate", "report"}
    walk(run)
    assert json.loads(run.dir.metrics.read_text())["splits"]["test"]["coverage"] is not None


def test_one_role_may_be_trained_otherwise_and_then_only_what_depends_on_it_is_made_again(
    tmp_path: Path, recipe: dict[str, Any]
) -> None:
    table = {**tiny(recipe, "program"), "student": "nearest"}
    walk(make_run(table, tmp_path, tmp_path / "run"))
    table["train"]["roles"] = {"verifier": {"steps": 9}}
    run = make_run(table, tmp_path, tmp_path / "run")
    assert {step.name for step in plan(run.method) if not step.is_done(run)} == {"train-verifier", "report"}
    table["train"]["roles"] = {"generator": {"steps": 9}}
    run = make_run(table, tmp_path, tmp_path / "run")
    assert "train-generator" in {step.name for step in plan(run.method) if not step.is_done(run)}
