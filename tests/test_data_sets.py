"""The published data sets one by one: what a row becomes, rationales by humans, rows of the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from understudy import jsonl
from understudy.config import Part
from understudy.errors import DataError
from understudy.records import Question, Rationale
from understudy.tasks import TASKS, Task
from understudy.tasks.anli import Anli
from understudy.tasks.asdiv import Asdiv
from understudy.tasks.cqa import Cqa
from understudy.tasks.esnli import Esnli
from understudy.tasks.gsm8k import Gsm8k
from understudy.tasks.gsmhard import Gsmhard
from understudy.tasks.multiarith import Multiarith
from understudy.tasks.nli import LABELS
from understudy.tasks.published import Published, held_out_rows
from understudy.tasks.strategyqa import Strategyqa
from understudy.tasks.svamp import Svamp

DATA = Path(__file__).parents[2] / "shared" / "data"


def data() -> Path:
    if not DATA.exists() and os.environ.get("CI") != "true":
        pytest.skip("the published data are not beside the repository")
    return DATA


def write(folder: Path, **parts: Sequence[Mapping[str, Any]]) -> Path:
    for part, content in parts.items():
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder


def only(task: Task, split: str = "train") -> Question:
    [question] = task.questions(split)
    return question


def human(task: Task, question: Question, format: str) -> str | None:
    rationale = task.human(question, format)
    assert rationale is None or rationale.answer == question.answer
    return None if rationale is None else rationale.text


# GSM8K

SOLUTION = "She buys 2*3=<<2*3=6>>6 pens.\nShe has 4+6=<<4+6=10>>10 pens.\n#### 10"
PENS = {"id": "a", "question": "How many pens?", "answer": "10", "solution": SOLUTION}
STEPS = [
    {"subquestion": "How many does she buy?", "solution": "She buys 2*3=<<2*3=6>>6 pens."},
    {"subquestion": "Does she buy more?", "solution": " "},
    {"subquestion": "How many has she?", "solution": "She has 4+6=<<4+6=10>>10 pens."},
]


def test_a_gsm8k_solution_loses_its_last_line_and_its_annotations(tmp_path: Path) -> None:
    task = Gsm8k(folder=write(tmp_path, train=[PENS]))
    assert human(task, only(task), "cot") == "She buys 2*3=6 pens.\nShe has 4+6=10 pens."


def test_the_annotations_can_be_kept(tmp_path: Path) -> None:
    task = Gsm8k(folder=write(tmp_path, train=[PENS]), annotations="keep")
    assert human(task, only(task), "cot") == SOLUTION.removesuffix("\n#### 10")


def test_socratic_steps_come_from_the_second_part_without_empty_ones(tmp_path: Path) -> None:
    task = Gsm8k(folder=write(tmp_path, train=[PENS], socratic_train=[{"id": "a", "steps": STEPS}]))
    assert human(task, only(task), "socratic") == (
        "How many does she buy? ** She buys 2*3=6 pens.\nHow many has she? ** She has 4+6=10 pens."
    )


def test_without_the_second_part_there_is_no_socratic_rationale(tmp_path: Path) -> None:
    task = Gsm8k(folder=write(tmp_path, train=[PENS]))
    assert human(task, only(task), "socratic") is None


@pytest.mark.parametrize("steps", [[], [{"id": "b", "steps": STEPS}]])
def test_steps_of_other_questions_are_refused(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    task = Gsm8k(folder=write(tmp_path, train=[PENS], socratic_train=steps))
    with pytest.raises(DataError, match="must follow the questions row by row"):
        list(task.questions("train"))


def test_a_gsm8k_row_of_the_hub_is_the_row_of_the_file() -> None:
    written = "He makes 1000+800=<<1000+800=1800>>1800.\n#### 1,800"
    normal = Gsm8k().from_hub({"question": "How much?", "answer": written}, "test", 7)
    assert normal == {"id": "gsm8k-test-7", "question": "How much?", "answer": "1800", "solution": written}


def test_a_socratic_row_of_the_hub_is_cut_into_steps() -> None:
    written = "How many? ** He has 2 ** 3 = 8.\nAnd then? ** 9.\n#### 9"
    normal = Gsm8k().from_hub({"question": "q", "answer": written}, "socratic_train", 0)
    assert (normal["id"], normal["answer"]) == ("gsm8k-train-0", "9")
    assert normal["steps"] == [
        {"subquestion": "How many?", "solution": "He has 2 ** 3 = 8."},
        {"subquestion": "And then?", "solution": "9."},
    ]


# SVAMP


@cache
def svamp(split: str) -> tuple[Question, ...]:
    return tuple(Svamp(folder=data() / "svamp").questions(split))


BOATS = {"id": "chal-1", "question": "How many boats?", "answer": "15", "equation": "( 12.0 + 3.0 )"}


def test_a_svamp_answer_is_a_number_or_the_equation(tmp_path: Path) -> None:
    write(tmp_path, train=[BOATS])
    assert only(Svamp(folder=tmp_path)).answer == "15"
    assert only(Svamp(folder=tmp_path, answer="expression")).answer == "12 + 3"


@pytest.mark.parametrize(
    ("equation", "right"), [("( 12.0 + 3.0 )", True), ("( 12.0 - 3.0 )", False), ("( 150.0 / 10.0 )", True)]
)
def test_a_svamp_expression_is_graded_by_the_answer_not_the_equation(
    tmp_path: Path, equation: str, right: bool
) -> None:
    task = Svamp(folder=write(tmp_path, train=[{**BOATS, "equation": equation}]), answer="expression")
    question = only(task)
    assert task.grade("3 * 5", question)
    assert task.grade(question.answer or "", question) is right


def test_the_svamp_split_is_drawn_from_the_whole_as_published() -> None:
    folder = data() / "svamp"
    whole = {row["id"]: row["question"] for row in jsonl.read(folder / "full.jsonl")}
    published = [row["id"] for row in jsonl.read(folder / "train.jsonl")]
    assert [question.id for question in svamp("train")] == published
    assert {question.text for question in svamp("test")} <= set(whole.values())


@pytest.mark.parametrize("turned", [False, True])
def test_from_the_whole_alone_the_same_800_and_200_come_out(tmp_path: Path, turned: bool) -> None:
    whole = list(jsonl.read(data() / "svamp" / "full.jsonl"))
    task = Svamp(folder=write(tmp_path, full=whole[::-1] if turned else whole))
    assert [q.id for q in task.questions("train")] == [q.id for q in svamp("train")]
    assert [q.id for q in task.questions("test")] == [q.id for q in svamp("test")]


@pytest.mark.parametrize("part", ["train", "full"])
def test_the_validation_split_of_step_by_step_is_80_of_the_800(tmp_path: Path, part: str) -> None:
    write(tmp_path, **{part: list(jsonl.read(data() / "svamp" / f"{part}.jsonl"))})
    task = Svamp(folder=tmp_path, validation="step-by-step")
    train, valid = ([q.id for q in task.questions(split)] for split in ("train", "valid"))
    assert task.splits == ("train", "valid", "test")
    everything = [q.id for q in svamp("train")]
    assert valid == [everything[number] for number in sorted(held_out_rows(800))]
    assert sorted(train + valid) == sorted(everything)


def test_a_svamp_row_of_the_hub_is_the_row_of_the_file() -> None:
    row = {"ID": "chal-9", "Body": "There are 3 boats. ", "Question": " How many? ", "Answer": "3.0", "Equation": "3.0"}
    normal = Svamp().from_hub({**row, "Type": "Addition"}, "full", 0)
    assert (normal["id"], normal["question"], normal["answer"]) == ("chal-9", "There are 3 boats.\nHow many?", "3")


# ASDiv, MultiArith, GSM-Hard


def asdiv(answer: str, formula: str = "7+2=9", split: str = "train") -> list[Question]:
    task = Asdiv()
    found = task.to_question({"id": "a", "question": "How many?", "answer": answer, "formula": formula}, split)
    return [found] if found else []


@pytest.mark.parametrize(
    ("written", "answer"),
    [("9", "9"), ("9.80", "9.8"), ("5/2", "2.5"), ("-(1/3)", "-1/3"), ("14 ", "14"), ("1,200", "1200")],
)
def test_an_asdiv_answer_of_one_number_is_read(written: str, answer: str) -> None:
    assert [question.answer for question in asdiv(written)] == [answer]


@pytest.mark.parametrize("written", ["3:4", "8; 40", "3:30 p.m.", "Rug B", "6th", "Vendor 2", "February 3rd", "Yes"])
def test_other_asdiv_answers_are_unlabelled_in_training_and_not_in_the_test(written: str) -> None:
    [question] = asdiv(written)
    assert (question.answer, question.extra["answer"]) == (None, written)
    assert asdiv(written, split="test") == []


def test_an_asdiv_formula_is_a_chain_and_a_program() -> None:
    [question] = asdiv("9")
    assert human(Asdiv(), question, "cot") == "7+2=9."
    assert human(Asdiv(), question, "program") == "def solution():\n    return 7 + 2"


def test_an_asdiv_formula_that_does_not_reach_the_answer_is_no_program() -> None:
    [question] = asdiv("203", "810/4=202 r2")
    assert human(Asdiv(), question, "program") is None


def test_rows_of_the_hub_become_rows_of_the_files() -> None:
    added = {"body": "7 red apples.", "question": "How many?", "answer": "9 (red apples)", "formula": "7+2=9"}
    normal = Asdiv().from_hub({**added, "solution_type": "Addition"}, "asdiv", 0)
    assert (normal["id"], normal["question"], normal["answer"]) == ("nluds-0001", "7 red apples.\nHow many?", "9")
    normal = Multiarith().from_hub({"question": " How many? ", "final_ans": "39"}, "multiarith", 3)
    assert normal == {"id": "multiarith-3", "question": "How many?", "answer": "39"}
    normal = Gsmhard().from_hub({"input": "How many?", "code": "def ...", "target": -2.5}, "gsmhardv2", 3)
    assert (normal["id"], Gsmhard().gold(normal["answer"])) == ("gsmhardv2-3", "-2.5")


# CommonsenseQA

WHERE = {
    "id": "a",
    "row": 0,
    "question": "Where do boats rest?",
    "choices": ["sky", "harbour"],
    "answer": "harbour",
    "human_rationale_abstractive": "boats rest in harbours ",
    "human_rationale_extractive": "boats rest",
}


def test_a_cqa_question_is_shown_with_its_choices_and_a_letter_answers_it(tmp_path: Path) -> None:
    task = Cqa(folder=write(tmp_path, train=[WHERE]))
    question = only(task)
    assert question.text == "Where do boats rest?\nAnswer Choices:\n(a) sky\n(b) harbour"
    assert task.answer_kind.read("(b)", question.choices) == "harbour"
    assert not task.grade("sky", question)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": "moon"}, "answer 'moon' is none of the choices"),
        ({"choices": "sky"}, "expected a list of texts"),
        ({"choices": ["harbour", 3]}, "expected a list of texts"),
    ],
)
def test_a_wrong_cqa_row_is_told(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(Cqa(folder=write(tmp_path, train=[{**WHERE, **row}])).questions("train"))


def test_a_cqa_explanation_is_the_annotators_or_what_was_marked(tmp_path: Path) -> None:
    question = only(Cqa(folder=write(tmp_path, train=[WHERE])))
    assert human(Cqa(), question, "cot") == "boats rest in harbours"
    assert human(Cqa(explanation="extractive"), question, "cot") == "boats rest"
    assert human(Cqa(), question, "program") is None


def test_the_cqa_validation_split_of_step_by_step_goes_by_the_row(tmp_path: Path) -> None:
    held_out = min(held_out_rows(9741))
    write(tmp_path, train=[{**WHERE, "id": "in", "row": held_out}, {**WHERE, "id": "out", "row": 9741}])
    task = Cqa(folder=tmp_path, validation="step-by-step")
    assert (only(task, "valid").id, only(task, "train").id) == ("in", "out")


def test_a_cqa_row_of_the_hub_is_the_row_of_the_file() -> None:
    hub = {**WHERE, "abstractive_explanation": "boats rest in harbours ", "extractive_explanation": "boats rest"}
    assert Cqa().from_hub(hub, "train", 0) == WHERE


# e-SNLI and ANLI

PAIR = {"id": "a", "premise": "A man sleeps.", "hypothesis": "He runs.", "answer": "contradiction"}


def test_a_premise_and_a_hypothesis_are_named_or_joined(tmp_path: Path) -> None:
    write(tmp_path, train=[PAIR])
    assert only(Esnli(folder=tmp_path)).text == "Premise: A man sleeps.\nHypothesis: He runs."
    assert only(Esnli(folder=tmp_path, input_form="joined")).text == "A man sleeps.</s>He runs."


def test_the_labels_are_the_choices_and_another_is_refused(tmp_path: Path) -> None:
    assert only(Anli(folder=write(tmp_path, train=[PAIR]))).choices == LABELS
    with pytest.raises(DataError, match="answer is 'maybe', expected one of entailment, neutral, contradiction"):
        list(Anli(folder=write(tmp_path, train=[{**PAIR, "answer": "maybe"}])).questions("train"))


def test_the_validation_split_trains_where_there_is_no_training_file_and_it_is_said(tmp_path: Path) -> None:
    task = Esnli(folder=write(tmp_path, valid=[PAIR], test=[{**PAIR, "id": "t"}]))
    assert (task.splits, only(task, "train").id) == (("train", "test"), "a")
    assert "has no file of its training split" in task.notes()[0]


def test_the_validation_split_stays_one_where_there_is_a_training_file(tmp_path: Path) -> None:
    write(tmp_path, train=[PAIR], valid=[{**PAIR, "id": "v"}], test=[])
    task = Esnli(folder=tmp_path)
    assert (task.splits, only(task, "train").id, task.notes()) == (("train", "valid", "test"), "a", ())
    chosen = Esnli(folder=tmp_path, train_on="valid")
    assert (chosen.splits, only(chosen, "train").id) == (("train", "test"), "v")
    assert "as train_on says" in chosen.notes()[0]


def test_the_first_of_several_explanations_is_taken_and_the_others_are_kept() -> None:
    question = Question("a", "x", "neutral", LABELS, {"human_rationales": ["First. ", "Second.", " "]})
    assert Esnli().human(question, "cot") == Rationale("First.", "neutral", {"others": ["Second."]})
    assert Esnli().human(Question("a", "x", "neutral"), "cot") is None


def test_the_folder_of_anli_follows_the_round(tmp_path: Path) -> None:
    for name in ("anli1", "anli3", "mine"):
        (tmp_path / name).mkdir()
    found = [
        TASKS.make(Part(name="anli", **options), [tmp_path])[0]
        for options in ({}, {"round": 3}, {"round": 3, "folder": "mine"})
    ]
    assert [task.folder.name for task in found if isinstance(task, Published)] == ["anli1", "anli3", "mine"]
    assert Anli(round=3).hub.parts["test"] == [(None, "test_r3")]


def test_rows_of_the_hub_get_their_labels_by_name() -> None:
    pair = {"uid": "u", "premise": "p", "hypothesis": "h", "label": 1}
    anli = Anli(round=2).from_hub({**pair, "reason": "r"}, "train", 5)
    assert anli == {
        "id": "anli2-train-5",
        "premise": "p",
        "hypothesis": "h",
        "answer": "neutral",
        "human_rationale": "r",
    }
    assert Anli().from_hub({**pair, "reason": "r"}, "test", 5)["id"] == "u"
    esnli = Esnli().from_hub({**pair, "explanation_1": "a", "explanation_2": "", "explanation_3": "c"}, "valid", 5)
    assert (esnli["id"], esnli["human_rationales"]) == ("esnli-valid-5", ["a", "c"])
    with pytest.raises(ValueError, match="label is -1, expected 0, 1 or 2"):
        Anli().from_hub({**pair, "label": -1, "reason": "r"}, "test", 5)


# StrategyQA


def strategy(facts: Sequence[str], decomposition: Sequence[str]) -> Question:
    return Question("a", "Is it?", "no", extra={"facts": list(facts), "decomposition": list(decomposition)})


def test_the_facts_are_a_chain_of_thought() -> None:
    assert human(Strategyqa(), strategy(["One fact.", "another "], []), "cot") == "One fact. another."


def test_facts_answer_the_sub_questions_where_there_is_one_for_each_but_the_last() -> None:
    paired = strategy(["Two.", "Three."], ["How many?", "How many more?", "Is #1 #2?"])
    assert human(Strategyqa(), paired, "socratic") == ("How many? ** Two.\nHow many more? ** Three.\nIs #1 #2? ** No.")
    assert human(Strategyqa(), strategy(["Two."], ["How many?", "How many more?", "Is #1 #2?"]), "socratic") is None


def test_a_strategyqa_row_of_the_hub_is_the_row_of_the_file() -> None:
    row = {"qid": "s", "question": "Is it?", "answer": False, "facts": "One fact. Another.", "term": "it"}
    normal = Strategyqa().from_hub(row, "train", 0)
    assert normal == {"id": "s", "question": "Is it?", "answer": "no", "facts": ["One fact. Another."]}
