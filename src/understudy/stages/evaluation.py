"""evaluate: answer the questions of the chosen splits by the method's procedure, and grade the answers.

    predictions.jsonl   {"split": "test", "question": "test-0", "result": "correct", "answer": "17", "texts": [...]}
    metrics.json        {"splits": {"test": {"n": 400, "accuracy": 0.93, "interval": [0.9, 0.95], ...}}}

The same command measures a student and a teacher: who answers a role is all that differs. Questions are taken in
batches at fixed positions, and what is answered is on disk, so a killed evaluation goes on where it was and computes
the same.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from understudy import jsonl, students
from understudy.errors import ConfigError, DataError
from understudy.evidence.metrics import summarise
from understudy.procedures import AsyncCompleter, Completer, Driver
from understudy.records import Prediction, Question, Verdict, VerdictResult
from understudy.rundir import Checkpoint, digest
from understudy.stages import spending
from understudy.stages.run import Run
from understudy.teachers.account import Account

COMMIT_S = 1.0
NOT_JUDGED = frozenset({"failed", "unsupported"})
"""Faults that are not the model's: no answer came, or this sandbox cannot run the program."""


def inputs(run: Run, subject: None = None) -> dict[str, Any]:
    """What the predictions depend on."""
    return {
        **run.task_state(),
        "students": {r.name: run.dir.left_by(f"train-{r.name}", run.dir.student(r.name)) for r in run.method.roles()},
        "teacher": f"{run.teacher.identity()} {run.prompter().identity()}" if run.method.asks_teacher else None,
        "method": [run.method.name, run.method.model_dump()],
        "evaluate": run.config.evaluate.model_dump(),
        "grade": run.config.grade.model_dump(),
        "sandbox": run.config.sandbox.model_dump(),
        "seed": run.config.seed,
    }


def outputs(run: Run, subject: None = None) -> list[Path]:
    """The files it leaves."""
    return [run.dir.predictions, run.dir.metrics]


def evaluate(run: Run, subject: None = None) -> int:
    """Answer and grade. Returns the number of questions.

    Raises:
        ConfigError: a split that the task does not have.
        DataError: a split has no questions, or one of them no gold answer.
    """
    splits = answered_splits(run)
    settings = run.config.evaluate
    total = run.size(*splits)
    with ExitStack() as stack:
        bar = stack.enter_context(run.progress.bar("evaluate", total))
        sandbox = stack.enter_context(run.sandbox())
        saved = stack.enter_context(Checkpoint([run.dir.predictions], digest([inputs(run), sandbox.engine])))
        begun = int(saved.state.get("questions", 0))
        bar.advance(begun)
        account = stack.enter_context(spending.account(run))
        roles = _roles(run, stack, account) if begun < total else {}
        driver = Driver(roles, sandbox.run, run.config.seed, run.sampling)
        committed = time.monotonic()
        for split, batch in _batches(run, splits, settings.batch_size, begun):
            predictions = driver.run((q.id, run.answer(q)) for q in batch)
            for question, prediction in zip(batch, predictions, strict=True):
                verdict = judge(run, question, prediction)
                saved.write(0, {"split": split, **verdict.to_json(), "question_text": question.text})
            begun += len(batch)
            bar.advance(len(batch), **account.info())
            if time.monotonic() - committed >= COMMIT_S:
                saved.commit({"questions": begun})
                committed = time.monotonic()
        saved.finish()
        metrics = {"splits": summarise(jsonl.read(run.dir.predictions)), "sandbox": sandbox.engine}
        jsonl.write_text(run.dir.metrics, json.dumps(metrics, indent=1) + "\n")
    return total


def judge(run: Run, question: Question, prediction: Prediction) -> Verdict:
    """Grade one prediction, and, where the strict reader found no answer, the lenient one: `evidence["lenient_result"]`."""
    result: VerdictResult
    evidence = prediction.evidence
    if prediction.fault in NOT_JUDGED:
        result = "error"
    elif prediction.answer is None:
        result = "no_answer"
        if (lenient := evidence.get("lenient")) is not None:
            evidence = {**evidence, "lenient_result": "correct" if run.grade(lenient, question) else "wrong"}
    else:
        result = "correct" if run.grade(prediction.answer, question) else "wrong"
    return Verdict(
        question.id, result, prediction.answer, question.answer, prediction.texts, prediction.fault, evidence
    )


def answered_splits(run: Run) -> Sequence[str]:
    """The splits to answer.

    Raises:
        ConfigError: a split that the task does not have.
        DataError: a split has no questions.
    """
    splits = run.config.evaluate.splits
    problems = [
        f"evaluate.splits: the task {run.task.name!r} has no split {split!r}; there are: {', '.join(run.task.splits)}"
        for split in splits
        if split not in run.task.splits
    ]
    if problems:
        raise ConfigError(problems)
    for split in splits:
        if next(run.questions(split), None) is None:
            raise DataError(f"split {split!r} of task {run.task.name!r} has no questions to evaluate on")
    return splits


def _roles(run: Run, stack: ExitStack, account: Account) -> dict[str, Completer | AsyncCompleter]:
    """Who answers for each role: the trained students, and the teacher if the method asks it."""
    roles: dict[str, Completer | AsyncCompleter] = {}
    if run.method.asks_teacher:
        opened = run.teacher.open(run.task, run.config.generate.concurrency, account)
        roles["teacher"] = stack.enter_context(opened)
    for role in run.method.roles():
        roles[role.name] = stack.enter_context(closing(students.load(run.dir.student(role.name))))
    return roles


def _batches(run: Run, splits: Sequence[str], size: int, begun: int) -> Iterator[tuple[str, list[Question]]]:
    """Batches at fixed positions of each split, from question number `begun` on, which is where a batch ended."""
    position = 0
    for split in splits:
        questions = run.questions(split)
        while batch := list(itertools.islice(questions, size)):
            position += len(batch)
            if position > begun:
                yield split, batch
