"""The whole method on one screen: the plan, and the walk through it.

    for every role: for every source: generate -> filter;  build -> train
    evaluate -> report

Every step has its own inputs, files and completion mark. A step whose inputs did not change and whose files are there
is done and passed over, so that giving the same command again goes on where a kill or a change left it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import explain_os_errors
from understudy.methods import Method
from understudy.rundir import digest
from understudy.stages import building, evaluation, filtering, generation, manifest, reporting, training
from understudy.stages.run import Run


@dataclass(frozen=True, slots=True)
class Step:
    """One stage at work on one source, role or run.

    Attributes:
        stage: the verb.
        subject: the source or role it works on; None for the whole run.
        do: the stage's function; returns how many rows (or steps, pages) it made.
        inputs: what the result depends on, as JSON; a change makes the step run again.
        outputs: the files it leaves.
    """

    stage: str
    subject: Any
    do: Callable[[Run, Any], int]
    inputs: Callable[[Run, Any], dict[str, Any]]
    outputs: Callable[[Run, Any], list[Path]]

    @property
    def name(self) -> str:
        """`generate-program`, `train-student`, `evaluate`: the name of its mark."""
        return f"{self.stage}-{self.subject.name}" if self.subject else self.stage

    def key(self, run: Run) -> str:
        return digest(self.inputs(run, self.subject))

    def is_done(self, run: Run) -> bool:
        return run.dir.is_done(self.name, self.key(run))


def plan(method: Method) -> Iterator[Step]:
    """The steps of a method, in order. A source that several roles share is made once."""
    made: set[str] = set()
    for role in method.roles():
        for source in role.sources:
            if source.name not in made:
                made.add(source.name)
                yield Step("generate", source, generation.generate, generation.inputs, generation.outputs)
                yield Step("filter", source, filtering.filter, filtering.inputs, filtering.outputs)
        yield Step("build", role, building.build, building.inputs, building.outputs)
        yield Step("train", role, training.train, training.inputs, training.outputs)
    yield Step("evaluate", None, evaluation.evaluate, evaluation.inputs, evaluation.outputs)
    yield Step("report", None, reporting.report, reporting.inputs, reporting.outputs)


def steps(run: Run, until: str = "") -> list[Step]:
    """The steps up to the last one of the stage `until`; by default up to where the configuration ends, and the report.

    Raises:
        StudentError: a student is to be trained that does not exist.
    """
    found = list(plan(run.method))
    last = max((number for number, step in enumerate(found) if step.stage == (until or run.config.until)), default=-1)
    found = found[: last + 1] if until else [*found[: min(last + 1, len(found) - 1)], found[-1]]
    for step in found:
        if step.stage == "train" and not step.is_done(run):
            training.check(run, step.subject)
    return found


def walk(run: Run, until: str = "") -> None:
    """Do every one of `steps` that is not done.

    Raises:
        RunLockedError: another process works in the run's directory.
        UnderstudyError: a step could not be done; what was complete stays.
    """
    with explain_os_errors(f"working in {run.dir.root}"), run.dir.locked():
        manifest.begin(run)
        for guess in run.task.guesses():
            run.progress.say(guess)
        found = steps(run, until)
        if any(step.stage == "evaluate" for step in found):
            evaluation.answered_splits(run)  # a name that is wrong is told before anything is paid for
        for step in found:
            key = step.key(run)
            if run.dir.is_done(step.name, key):
                run.progress.say(f"{step.name}: done before")
                continue
            run.dir.begin(step.name)
            began = time.monotonic()
            rows = step.do(run, step.subject)
            manifest.add(run, step.name, rows, time.monotonic() - began)
            run.dir.finish(step.name, key, step.outputs(run, step.subject))
