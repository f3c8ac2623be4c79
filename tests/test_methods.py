from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from doubles import Programs, Sums, Told
from understudy.methods import METHODS, Method
from understudy.methods.few_shot import FewShotCot, Pal
from understudy.methods.finetune import Finetune, LabelDistillation
from understudy.methods.pad import Pad
from understudy.methods.rationale_as_input import RationaleAsInput, RationalePipeline
from understudy.methods.single_task import SingleTask
from understudy.methods.step_by_step import StepByStep
from understudy.procedures import Driver
from understudy.records import Example, Prediction, Question, Rationale
from understudy.sandbox import Sandbox

QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
CHAINS = [Rationale("12 + 5 = 17.", "17"), Rationale("12 - 5 = 7.", "7"), Rationale("who knows", None)]
PROGRAM = 'def solution():\n    """Mia has 12 pens."""\n    result = 12 + 5  # all\n    return result'


def examples(method: Method, found: Sequence[Rationale], question: Question = QUESTION) -> list[Example]:
    [role] = method.roles()
    return list(method.examples(Sums(), role, question, {source.name: found for source in role.sources}))


def answered(method: Method, text: str, role: str = "student") -> tuple[Prediction, str]:
    who = Told.by(lambda ask, sample: text)
    with Sandbox(timeout_s=1.0) as sandbox:
        [prediction] = Driver({role: who}, sandbox.run).run([("q", method.answer(Sums(), QUESTION))])
    return prediction, who.asked[0].prompt


def test_finetuning_learns_the_gold_answer() -> None:
    assert examples(Finetune(), []) == [Example("q", QUESTION.text, "17", "label")]


def test_finetuning_has_nothing_to_learn_from_an_unlabelled_question() -> None:
    assert examples(Finetune(), [], Question("q", "text")) == []


def test_label_distillation_learns_the_teachers_answers_right_or_wrong_without_gold() -> None:
    targets = [example.target for example in examples(LabelDistillation(), CHAINS, Question("q", "text"))]
    assert targets == ["17", "7"]


def test_single_task_learns_rationale_and_answer_in_one_text() -> None:
    [example] = examples(SingleTask(), CHAINS[:1])
    assert example.target == "12 + 5 = 17. The answer is 17."


def test_step_by_step_learns_two_tasks_told_apart_by_a_prefix() -> None:
    assert examples(StepByStep(), CHAINS[:1]) == [
        Example("q", f"predict: {QUESTION.text}", "17", "label"),
        Example("q", f"explain: {QUESTION.text}", "12 + 5 = 17.", "rationale"),
    ]


def test_step_by_step_learns_the_label_of_a_question_without_rationale() -> None:
    assert [example.objective for example in examples(StepByStep(), [])] == ["label"]


def test_step_by_step_may_take_the_teachers_labels() -> None:
    found = examples(StepByStep(labels="teacher"), CHAINS, Question("q", "text"))
    assert [e.target for e in found if e.objective == "label"] == ["17", "7"]
    assert len([e for e in found if e.objective == "rationale"]) == 3


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, {"label": 1.0, "rationale": 1.0}),
        ({"rationale_weight": 0.3}, {"label": 1.0, "rationale": 0.3}),
        ({"alpha": 0.5}, {"label": 0.5, "rationale": 0.5}),
        ({"alpha": 0.8}, {"label": 0.8, "rationale": pytest.approx(0.2)}),
    ],
)
def test_step_by_steps_loss_in_both_published_forms(options: Any, weights: Any) -> None:
    [role] = StepByStep(**options).roles()
    assert role.objectives == weights


def test_alpha_is_lambda_up_to_the_common_factor() -> None:
    alpha = 0.8
    [ours] = StepByStep(alpha=alpha).roles()
    [paper] = StepByStep(rationale_weight=(1 - alpha) / alpha).roles()
    scaled = {name: alpha * weight for name, weight in paper.objectives.items()}
    assert scaled == pytest.approx(dict(ours.objectives))


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 1.5}, {"rationale_weight": -1}, {"labels": "silver"}])
def test_step_by_step_refuses_options_that_make_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        StepByStep(**options)


def test_pad_learns_the_program_without_its_docstring() -> None:
    [example] = examples(Pad(), [Rationale(PROGRAM, "17")])
    assert example.target == "def solution():\n    result = 12 + 5  # all\n    return result"


def test_pad_may_drop_comments_and_keep_docstrings() -> None:
    [example] = examples(Pad(docstrings="keep", comments="drop"), [Rationale(PROGRAM, "17")])
    assert example.target == PROGRAM.replace("  # all", "")


@pytest.mark.parametrize(
    ("method", "text", "prompt"),
    [
        (Finetune(), "17", QUESTION.text),
        (SingleTask(), "12 + 5 = 17. The answer is 17.", QUESTION.text),
        (StepByStep(), "17", f"predict: {QUESTION.text}"),
        (Pad(), PROGRAM, QUESTION.text),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_student_is_asked_as_it_was_trained(method: Method, text: str, prompt: str) -> None:
    prediction, asked = answered(method, text)
    assert (prediction.answer, prediction.texts, prediction.fault) == ("17", (text,), "")
    assert asked == prompt
    assert prompt in [example.prompt for example in examples(method, [Rationale("def f(): 1", "17")])]


def test_a_faulty_program_is_a_prediction_without_an_answer() -> None:
    prediction, _ = answered(Pad(), "def solution():\n    return pens")
    assert (prediction.answer, prediction.fault, prediction.evidence["status"]) == (None, "name_error", "name_error")


def test_a_chain_without_an_answer_is_no_answer() -> None:
    prediction, _ = answered(SingleTask(), "Mia has pens.")
    assert (prediction.answer, prediction.fault) == (None, "no_answer")


@pytest.mark.parametrize(("method", "text"), [(FewShotCot(), "So 17. The answer is 17."), (Pal(), PROGRAM)])
def test_the_teacher_alone_answers_a_few_shot_prompt(method: Method, text: str) -> None:
    prediction, prompt = answered(method, text, "teacher")
    assert prediction.answer == "17"
    assert "\n\nQ: " in prompt  # the task has no worked examples, so the instructions come first
    assert method.asks_teacher
    assert not method.roles()


def test_a_student_reads_the_question_and_the_rationale_and_learns_the_gold_answer() -> None:
    [example, _, _] = examples(RationaleAsInput(), CHAINS)
    assert example == Example("q", f"{QUESTION.text}\nRationale: 12 + 5 = 17.", "17", "label")
    assert examples(RationaleAsInput(), CHAINS, Question("q", "text")) == []


def test_the_teacher_writes_the_rationale_at_test_time_and_the_student_the_answer() -> None:
    teacher = Told.by(lambda ask, sample: "12 + 5 = 17. The answer is 71.")
    student = Told.by(lambda ask, sample: "17")
    method = RationaleAsInput()
    [found] = Driver({"teacher": teacher, "student": student}, Programs()).run([("q", method.answer(Sums(), QUESTION))])
    assert method.asks_teacher
    assert (
        student.asked[0].prompt == examples(method, CHAINS)[0].prompt
    )  # as it was trained, without the teacher's answer
    assert (found.answer, len(found.texts)) == ("17", 2)


def test_a_rationale_that_never_came_is_no_students_mistake() -> None:
    teacher = Told.by(lambda ask, sample: "I am sorry, but I cannot help.")
    [found] = Driver({"teacher": teacher}, Programs()).run([("q", RationaleAsInput().answer(Sums(), QUESTION))])
    assert (found.answer, found.fault) == (None, "refusal")


def test_a_pipeline_trains_a_writer_and_a_reader_and_asks_no_teacher() -> None:
    method = RationalePipeline()
    learnt = {
        role.name: list(method.examples(Sums(), role, QUESTION, {"rationale": CHAINS[:1]})) for role in method.roles()
    }
    prompt = f"{QUESTION.text}\nRationale: 12 + 5 = 17."
    assert learnt == {
        "writer": [Example("q", QUESTION.text, "12 + 5 = 17.", "rationale")],
        "student": [Example("q", prompt, "17", "label")],
    }
    writer, student = Told.by(lambda ask, sample: "12 + 5 = 17."), Told.by(lambda ask, sample: "17")
    [found] = Driver({"writer": writer, "student": student}, Programs()).run([("q", method.answer(Sums(), QUESTION))])
    assert (writer.asked[0].prompt, student.asked[0].prompt) == (QUESTION.text, prompt)
    assert (found.answer, method.asks_teacher) == ("17", False)


@pytest.mark.parametrize("name", METHODS.names)
def test_every_method_is_named_as_it_is_found(name: str) -> None:
    assert METHODS.find(name).name == name
    assert len(METHODS.line(name)) > 20
