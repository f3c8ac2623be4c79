"""The teacher `student`: an earlier run's student, asked as its own run asks it, teaches the next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from doubles import Sums
from understudy import jsonl, make_run, walk
from understudy.errors import ConfigError, TeacherError
from understudy.formats import Cot, Label, Program
from understudy.methods import METHODS
from understudy.methods.pad import Pad
from understudy.procedures import Ask, derive_seed
from understudy.records import Question, Sampling
from understudy.stages.run import Run
from understudy.students.student import Student
from understudy.teachers.student import StudentTeacher

TABLE: dict[str, Any] = {
    "task": {"name": "wordsums", "train": 8, "test": 4},
    "method": {"name": "pad", "keep": "parsed"},
    "student": "scratch:llama-nano",
    "train": {"steps": 60, "batch_size": 8, "learning_rate": 1e-2, "validation": 0.0},
    "generate": {"samples": 2, "temperature": 0.4, "max_tokens": 60, "demonstrations": 3},
    "evaluate": {"max_tokens": 40},
    "sandbox": {"engine": "monty"},
}
SCRIPTED = {"name": "scripted", "format": "program", "endless_loop": 0.0}
QUESTION = Question("q", "Ann has 2 apples and buys 3.", "5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `first`, whose student knows its eight questions by heart."""
    folder = tmp_path_factory.mktemp("runs")
    walk(run(folder, "first", teacher=SCRIPTED), until="train")
    return folder


def run(folder: Path, name: str, **changes: Any) -> Run:
    return make_run({**TABLE, **changes}, folder, folder / name)


def rows(path: Path) -> list[dict[str, Any]]:
    return list(jsonl.read(path))


def test_a_student_teaches_the_next_student(folder: Path) -> None:
    second = run(folder, "second", teacher="student:first")
    walk(second)
    written = rows(second.dir.completions("program"))
    assert len(written) == 16
    assert {row["model"] for row in written} == {"student"}
    assert len(rows(second.dir.rationales("program"))) >= 4
    assert json.loads(second.dir.metrics.read_text())["splits"]["test"]["n"] == 4
    third = run(folder, "third", teacher={"name": "student", "model": "second", "role": "student"})
    walk(third, until="generate")
    assert len(rows(third.dir.completions("program"))) == 16


def test_it_writes_what_the_student_writes_when_it_is_asked_as_it_was_trained(folder: Path) -> None:
    second = run(folder, "as-trained", teacher="student:first")
    walk(second, until="generate")
    student = Student.load(folder / "first" / "students" / "student")
    sampling = Sampling(temperature=0.4, max_tokens=60)
    for question in second.questions("train"):
        asked = [row for row in rows(second.dir.completions("program")) if row["question"] == question.id]
        assert asked[0]["prompt_tokens"] == len(student.encoder.prompt(question.text))  # and no worked examples
    first = next(second.questions("train"))
    seed = derive_seed(second.config.generate.seed, "program", first.id)
    [expected] = student.complete([Ask("student", first.text, n=2, sampling=sampling, seed=seed)])
    assert [row["text"] for row in rows(second.dir.completions("program"))[:2]] == [c.text for c in expected]


def test_nothing_is_asked_again_until_the_student_is_another(folder: Path) -> None:
    teacher = StudentTeacher(model=str(folder / "first"))
    identity = teacher.identity()
    shutil.copytree(folder / "first", folder / "moved")
    assert StudentTeacher(model=str(folder / "moved")).identity() == identity
    walk(run(folder, "moved", teacher=SCRIPTED, seed=1), until="train")
    assert StudentTeacher(model=str(folder / "moved")).identity() != identity


def test_the_student_that_copies_can_teach_too(folder: Path) -> None:
    walk(run(folder, "copies", teacher=SCRIPTED, student="nearest"), until="train")
    second = run(folder, "copied", teacher="student:copies", student="nearest")
    walk(second)
    assert len(rows(second.dir.rationales("program"))) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "single-task"}, "writes the format program .its method is pad., single-task learns from cot"),
        ({"method": "pal"}, "pal shows its teacher worked examples"),
        ({"task": "cqa"}, "picked from a few"),
    ],
)
def test_what_the_student_cannot_teach_is_told_before_anything_is_asked(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(folder, "never", teacher="student:first", **changes)


def test_a_student_does_not_teach_itself(folder: Path) -> None:
    with pytest.raises(ConfigError, match="first is this run's own directory"):
        run(folder, "first", teacher="student:first")


def test_a_run_that_has_no_student_is_named(folder: Path, tmp_path: Path) -> None:
    task = Sums()
    for model in ("", "nowhere"):
        with pytest.raises(TeacherError, match=f"'{model}' is no run: it has no manifest.json"):
            StudentTeacher(model=model).identity()
    walk(run(tmp_path, "begun", teacher=SCRIPTED), until="filter")
    begun = StudentTeacher(model=str(tmp_path / "begun"))
    with pytest.raises(TeacherError, match="its student 'student' is not trained. Train it first: understudy train"):
        begun.identity()
    with pytest.raises(TeacherError, match="is not trained"), begun.open(task):
        pass
    walk(run(tmp_path, "alone", teacher=SCRIPTED, method="pal"), until="filter")
    with pytest.raises(TeacherError, match="no student of its method 'pal' writes a rationale by itself"):
        StudentTeacher(model=str(tmp_path / "alone")).identity()
    with pytest.raises(TeacherError, match="teacher.role = 'solver', expected one of student"):
        StudentTeacher(model=str(folder / "first"), role="solver").identity()


def test_a_finished_run_can_do_without_the_run_that_taught_it(folder: Path, tmp_path: Path) -> None:
    assert StudentTeacher(model=str(tmp_path / "deleted")).refuses(Sums(), Pad(), tmp_path) is None


def test_a_format_that_it_does_not_write_is_not_asked_for(folder: Path) -> None:
    teacher = StudentTeacher(model=str(folder / "first"))
    assert teacher.own_prompt(Sums(), QUESTION, Program()) == QUESTION.text
    with pytest.raises(TeacherError, match="writes the format program, not cot"):
        teacher.own_prompt(Sums(), QUESTION, Cot())


def test_the_prompt_is_that_of_the_method(tmp_path: Path) -> None:
    table = {**TABLE, "method": {"name": "step-by-step", "label_prefix": "say: "}}
    walk(make_run({**table, "teacher": SCRIPTED}, tmp_path, tmp_path / "two"), until="generate")
    assert StudentTeacher(model=str(tmp_path / "two")).own_prompt(Sums(), QUESTION, Label()) == f"say: {QUESTION.text}"


@pytest.mark.parametrize("name", METHODS.names)
def test_a_method_says_what_its_students_write_as_they_answer(name: str) -> None:
    method = METHODS.find(name)()
    roles = {role.name for role in method.roles()}
    assert set(method.writes) <= roles  # a role that answers only with others, such as a solver, teaches nobody
    if name in ("finetune", "label-distillation", "single-task", "step-by-step", "pad", "pad-refinement"):
        assert set(method.writes) == {"student"}
    asked = {call.role for call in next(method.answer(Sums(), QUESTION)) if isinstance(call, Ask)}
    assert set(method.writes) <= asked
    assert set(method.writes.values()) <= {"cot", "label", "program", "socratic"}
