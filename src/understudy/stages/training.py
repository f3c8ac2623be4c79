"""train: train the student of one role on its examples. Leaves `students/<role>/` and `training/<role>.jsonl`:

    {"step": 250, "loss": 0.41, "loss/program": 0.41, "learning_rate": 0.0021, "valid_loss": 0.38}

The work is done in `students/trainer.py`; this is where a run's files and settings meet it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.methods import Role
from understudy.stages.run import Run
from understudy.students import loading, nearest, require_torch


def inputs(run: Run, role: Role) -> dict[str, Any]:
    """What the student depends on."""
    return {
        "examples": run.dir.left_by(f"build-{role.name}"),
        "train": run.config.train.of(role.name).model_dump(exclude={"roles"}),
        "objectives": dict(role.objectives),
        **({} if role.head == "lm" else {"head": role.head}),  # the usual one must not make older runs train again
        "student": run.config.student,
        "start": run.dir.left_by(f"train-{role.start}", run.dir.student(role.start)) if role.start else None,
        "seed": run.config.seed,
    }


def outputs(run: Run, role: Role) -> list[Path]:
    """The student's folder, its log and its summary."""
    return [run.dir.student(role.name), run.dir.training(role.name), run.dir.summary(role.name)]


def check(run: Run, role: Role) -> None:
    """See whether there is a model to train, before anything is paid for.

    Raises:
        StudentError: there is none.
    """
    if role.start is None and run.config.student != nearest.NAME:
        loading.check(run.config.student)


def train(run: Run, role: Role) -> int:
    """Train `role`. Returns the number of steps, or of examples if the student is the one that copies them."""
    if run.config.student == nearest.NAME:
        copied = nearest.save_examples(run.dir.examples(role.name), run.dir.student(role.name))
        jsonl.write(run.dir.training(role.name), [])
        jsonl.write_text(run.dir.summary(role.name), json.dumps({"examples": copied, "parameters": 0}) + "\n")
        return copied
    require_torch()
    return _train_model(run, role)


def _train_model(run: Run, role: Role) -> int:
    from understudy.students.trainer import train as train_student

    settings = run.config.train.of(role.name)
    with run.progress.bar(f"train {role.name}", settings.steps) as bar:
        shown = 0

        def on_step(step: int, total: int, numbers: Mapping[str, float]) -> None:
            nonlocal shown
            bar.advance(
                step - shown, **{name: f"{value:.4g}" for name, value in numbers.items() if name.endswith("loss")}
            )
            shown = step

        summary = train_student(
            spec=run.config.student,
            start=run.dir.student(role.start) if role.start else None,
            examples=run.dir.examples(role.name),
            validation=run.dir.held_out(role.name),
            settings=settings,
            objectives=dict(role.objectives),
            head=role.head,
            seed=run.config.seed,
            out=run.dir.student(role.name),
            log=run.dir.training(role.name),
            progress=on_step,
            say=run.progress.say,
        )
    numbers = {
        name: value for name, value in dataclasses.asdict(summary).items() if name != "seconds"
    }  # the manifest's
    jsonl.write_text(run.dir.summary(role.name), json.dumps(numbers, indent=1) + "\n")
    return summary.steps
