"""What the second task of Distilling Step-by-Step costs in training: label and rationale against the label alone.

    python benchmarks/training.py [--quick] [--json FILE] [--student SPEC ...] [--questions N]

    way                                     tokens/step   of label alone  CPU ms/step   of label alone   tokens to answer
    the label alone (finetune)                      609             1.00         23.2             1.00                2.0
    label and rationale (step-by-step)            1,687             2.77         98.7             4.25                2.0
    ...

Every way sees as many questions in an optimiser step: those of the bundled task with their exact rationales, so that only
what is learned of them differs. The ways are trained in turn, in several rounds of one run, on one thread, by the trainer
of the stage; the median processor time of a step counts, without the first ten and without start and end, so that other
work on the machine plays little part. Tokens are exact, those of prompts and targets, padding aside; times are this
machine's, their ratios travel. The last column is the price at test time: the tokens of what a student is taught to write
for an answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from understudy import jsonl
from understudy.config import Train
from understudy.methods import Method
from understudy.methods.finetune import Finetune
from understudy.methods.single_task import SingleTask
from understudy.methods.step_by_step import StepByStep
from understudy.records import Example
from understudy.students.trainer import TrainSummary, train
from understudy.tasks.wordsums import Wordsums

WAYS: Mapping[str, tuple[Method, int, int, str]] = {
    "the label alone (finetune)": (Finetune(), 1, 1, "label"),
    "label and rationale (step-by-step)": (StepByStep(), 2, 1, "label"),
    "the same in two passes": (StepByStep(), 2, 2, "label"),
    "rationale, then label (single-task)": (SingleTask(), 1, 1, "rationale"),
}
"""The method, how many rows a question has, in how many passes a step is made, and the objective of what it writes at test
time. Two passes are as published; `train.micro_batch_size` asks for them, rows of like length together."""
BASE = "the label alone (finetune)"
STUDENTS = ("scratch:llama-nano", "scratch:t5-tiny")
SKIPPED = 10
"""Steps before the clock starts; the trainer tells of every tenth."""


def examples(method: Method, questions: int) -> list[Example]:
    """What the student of `method` learns from the first training questions and their exact rationales."""
    task = Wordsums(train=questions)
    [role] = method.roles()
    return list(
        itertools.chain.from_iterable(
            method.examples(task, role, question, {"rationale": [task.solution(question, "cot")]})
            for question in task.questions("train")
        )
    )


def measure(method: Method, rows: Sequence[Example], settings: Train, student: str) -> tuple[float, TrainSummary]:
    """Train once. Returns the seconds of a step, and the trainer's own figures."""
    clock: dict[int, float] = {}

    def told(step: int, total: int, numbers: Mapping[str, float]) -> None:
        clock[step] = time.process_time()

    [role] = method.roles()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jsonl.write(folder / "examples.jsonl", [row.to_json() for row in rows])
        summary = train(
            spec=student,
            start=None,
            examples=folder / "examples.jsonl",
            validation=None,
            settings=settings,
            objectives=dict(role.objectives),
            seed=0,
            out=folder / "student",
            log=folder / "log.jsonl",
            progress=told,
        )
    return (clock[settings.steps] - clock[SKIPPED]) / (settings.steps - SKIPPED), summary


def compare(student: str, questions: int, per_step: int, steps: int, rounds: int) -> dict[str, dict[str, float]]:
    """The figures of every way with one student."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    summaries: dict[str, TrainSummary] = {}
    taught = {name: examples(method, questions) for name, (method, *_) in WAYS.items()}
    for _, (name, (method, rows, passes, _)) in itertools.product(range(rounds), WAYS.items()):
        size = rows * per_step
        settings = Train(steps=steps, batch_size=size, micro_batch_size=size // passes, eval_every=steps)
        found, summaries[name] = measure(method, taught[name], settings, student)
        seconds[name].append(found)
    found_of = {}
    for name, (*_, written) in WAYS.items():
        found_of[name] = {
            "tokens_per_step": summaries[name].tokens_per_step,
            "tokens_of_base": summaries[name].tokens_per_step / summaries[BASE].tokens_per_step,
            "seconds_per_step": statistics.median(seconds[name]),
            "seconds_of_base": statistics.median(seconds[name]) / statistics.median(seconds[BASE]),
            "tokens_to_answer": summaries[name].targets_per_step[written] / per_step,
        }
    return found_of


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of the second task of Distilling Step-by-Step in training.")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--student", action="append", help="which student; may be repeated")
    parser.add_argument("--questions", type=int, default=16, help="in an optimiser step")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps, rounds = (40, 2) if options.quick else (60, 3)
    report = {}
    for student in options.student or STUDENTS[: 1 if options.quick else None]:
        report[student] = compare(student, 500, options.questions, steps, rounds)
        print(f"{student}, {options.questions} questions in a step")
        heads = f"{'tokens/step':>13}{'of label alone':>17}{'CPU ms/step':>13}{'of label alone':>17}{'tokens to answer':>19}"
        print(f"{'way':<38}{heads}")
        for name, found in report[student].items():
            numbers = f"{found['tokens_per_step']:>13,.0f}{found['tokens_of_base']:>17.2f}"
            times = f"{1000 * found['seconds_per_step']:>13.1f}{found['seconds_of_base']:>17.2f}"
            print(f"{name:<38}{numbers}{times}{found['tokens_to_answer']:>19.1f}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
