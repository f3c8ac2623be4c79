"""Zero-shot CoT: the two asks, what is read of them, and rationales for a student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from doubles import OfKind, Programs, Sums, Told, run_of
from understudy import jsonl
from understudy.config import PromptSettings
from understudy.formats import ZeroShotCot
from understudy.methods import vote
from understudy.methods.single_task import SingleTask
from understudy.methods.zero_shot_cot import ZeroShotCotAlone
from understudy.pipeline import walk
from understudy.procedures import Ask, Driver
from understudy.prompts import Prompter
from understudy.records import Completion, Fault, Prediction, Question, Rationale, Sampling
from understudy.tasks import Task
from understudy.tasks.wordsums import Wordsums

QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
TRIGGER = "\nTherefore, the answer (arabic numerals) is"
FIRST = f"Q: {QUESTION.text}\nA: Let's think step by step."


def reply(ask: Ask, sample: int) -> str:
    return " 17." if ask.prompt.endswith(" is") else f" She has 12 + {5 + sample}.\n\nQ: next"


def answered(teacher: Told, method: ZeroShotCotAlone | None = None) -> Prediction:
    method = method or ZeroShotCotAlone()
    [found] = Driver({"teacher": teacher}, Programs()).run([("q", method.answer(Sums(), QUESTION))])
    return found


def test_the_teacher_reasons_and_is_then_asked_for_the_answer() -> None:
    teacher = Told.by(reply)
    found = answered(teacher)
    assert [ask.prompt for ask in teacher.asked] == [FIRST, f"{FIRST} She has 12 + 5.{TRIGGER}"]
    assert teacher.asked[1].sampling == Sampling(max_tokens=32)
    assert (found.answer, found.texts) == ("17", (f"She has 12 + 5.{TRIGGER} 17.",))


def test_as_a_chat_the_second_ask_goes_on_with_the_turns() -> None:
    teacher = Told.by(reply)
    answered(teacher, ZeroShotCotAlone().prompted(Prompter(PromptSettings(style="chat"))))
    first = (("system", "Let's think step by step."), ("user", QUESTION.text))
    assert [ask.turns for ask in teacher.asked] == [
        first,
        (*first, ("assistant", "She has 12 + 5."), ("user", TRIGGER.strip())),
    ]


def test_no_worked_example_is_shown_whatever_the_prompt_says() -> None:
    settings = PromptSettings.model_validate({"style": "chat", "variants": [{"share": 1.0, "demonstrations": 4}]})
    task, question = Wordsums(), next(Wordsums().questions("test"))
    prompt = Prompter(settings).prompt(task, question, ZeroShotCot(), task.demonstrations("cot"), 4)
    assert len(prompt.turns) == 2
    assert prompt.text.count("Q:") == 1


def test_samples_vote_each_with_an_answer_of_its_own() -> None:
    teacher = Told.by(lambda ask, sample: reply(ask, sample) if "12 + 6" not in ask.prompt else "18")
    samples = [ZeroShotCotAlone().answer(Sums(), QUESTION) for _ in range(3)]
    [found] = Driver({"teacher": teacher}, Programs()).run([("q", vote(Sums(), samples))])
    assert [ask.n for ask in teacher.asked] == [3, 1, 1, 1]
    assert found.evidence["votes"] == {"17": 2, "18": 1}


@pytest.mark.parametrize("finishes", [("failed",), ("stop", "failed")])
def test_a_reply_that_failed_is_a_failure(finishes: Sequence[str]) -> None:
    class Failing:
        asked = 0

        def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
            self.asked += 1
            return [[Completion("Hm.", finishes[self.asked - 1], error="down")]]  # type: ignore[arg-type]

    teacher = Failing()
    [found] = Driver({"teacher": teacher}, Programs()).run([("q", ZeroShotCotAlone().answer(Sums(), QUESTION))])
    assert (found.answer, found.fault) == (None, "failed")
    assert teacher.asked == len(finishes)


def read(text: str, task: Task | None = None, question: Question = QUESTION) -> Rationale | Fault:
    [found] = Driver({}, Programs()).run([("q", ZeroShotCot().read(task or Sums(), question, Completion(text)))])
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"12 + 5 = 17.{TRIGGER} 17 pens.\nSo", Rationale("12 + 5 = 17.", "17")),
        (f"12 + 5 = 17.{TRIGGER} 12 + 5. The answer is 17.", Rationale("12 + 5 = 17.", "17")),
        (f"Hm.{TRIGGER} 12 or 17.", Rationale("Hm.", None, {"lenient": "17"})),
        ("Recorded. The answer is 17.", Rationale("Recorded.", "17")),
    ],
)
def test_the_answer_is_what_follows_the_second_ask(text: str, found: Rationale) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("kind", "answer", "choices"),
    [
        ("number", "17", ()),
        ("expression", "12 + 5", ()),
        ("choice", "the sea", ("the sea", "a lake")),
        ("label", "neutral", ("neutral", "other")),
        ("yes_no", "yes", ()),
        ("text", "n k", ()),
    ],
)
def test_what_is_written_is_read_again(kind: str, answer: str, choices: tuple[str, ...]) -> None:
    task, rationale = OfKind(kind=kind), Rationale("First this.\nThen that.", answer)
    assert read(ZeroShotCot().write(task, rationale), task, Question("q", "What?", None, choices)) == rationale


def test_a_student_learns_from_chains_without_worked_examples(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, s: str(int(ask.key[6:]) + 1) if ask.prompt.endswith(" is") else "One more.")
    run = run_of(tmp_path, SingleTask(teacher="zero-shot"), teacher)
    walk(run, until="build")
    written = next(iter(jsonl.read(run.dir.completions("rationale"))))
    assert written["text"] == f"One more.{TRIGGER} 1"
    assert next(iter(jsonl.read(run.dir.examples("student"))))["target"].startswith("One more. The answer is ")
