"""generate: ask the writer of a source for rationales. Leaves `completions/<source>.jsonl`, one row a sample:

    {"question": "train-7", "sample": 0, "text": "def solution(): ...", "finish": "stop", ...}

A teacher that costs anything keeps every answer in the store (`teachers/store.py`), so nothing is asked twice, neither
after a kill nor after a change that leaves a request the same. An endpoint is asked first, in whatever order the answers
come; then the file is written from the store, in the order of the questions.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from understudy.errors import TeacherError
from understudy.methods import Source
from understudy.procedures import AsyncCompleter, Completer, Driver, Procedure, Recalling
from understudy.records import Completion, Question
from understudy.rundir import Checkpoint, digest
from understudy.sandbox import Outcome
from understudy.stages import spending
from understudy.stages.run import Run
from understudy.stages.writing import Writer, writer

CHUNK = 64
"""Questions that a batched writer is given at once."""
COMMIT_S = 1.0
"""A kill loses at most the rows of this many seconds."""


def inputs(run: Run, source: Source) -> dict[str, Any]:
    """What the completions depend on."""
    return {
        **run.task_state(),
        **run.config.generate.model_dump(exclude={"concurrency"}),
        "samples": run.samples(source),
        "temperature": run.writing(source).temperature,
        "splits": source.splits,
        "format": repr(source.format),
        "by": writer(run, source).identity(),
    }


def outputs(run: Run, source: Source) -> list[Path]:
    """The file it leaves."""
    return [run.dir.completions(source.name)]


def generate(run: Run, source: Source) -> int:
    """Ask for every sample, and write the file. Returns the number of completions."""
    who = writer(run, source)
    questions, samples = run.size(*source.splits), run.samples(source)
    with spending.account(run) as account, who.open(account) as live:
        if isinstance(live, Recalling):
            with run.progress.bar(f"ask {source.name}", questions) as bar:
                driver = Driver({source.by: live}, _no_programs, sampling=who.sampling)
                asking = driver.each(
                    _procedures(who),
                    who.at_once,
                    lambda *_: bar.advance(1, **account.info()),
                )
                asyncio.run(asking)
            live = live.recall()
        with run.progress.bar(f"generate {source.name}", questions) as bar:
            saved_by = digest([inputs(run, source), samples])
            with Checkpoint([run.dir.completions(source.name)], saved_by) as saved:
                _write_down(who, live, saved, bar)
    return questions * samples


def _write_down(who: Writer, live: Completer | AsyncCompleter | None, saved: Checkpoint, bar: Any) -> None:
    """Write the samples of every question, in order, from where an earlier run was stopped."""
    roles: dict[str, Completer | AsyncCompleter] = {} if live is None else {who.source.by: live}
    driver = Driver(roles, _no_programs, sampling=who.sampling)
    begun = int(saved.state.get("questions", 0))
    bar.advance(begun)
    waiting = itertools.islice(_procedures(who), begun, None)
    committed = time.monotonic()
    while chunk := list(itertools.islice(waiting, CHUNK)):
        for (question, _), completions in zip(chunk, driver.run(chunk), strict=True):
            for sample, completion in enumerate(completions):
                saved.write(0, {"question": question, "sample": sample, **completion.to_json()})
        begun += len(chunk)
        bar.advance(len(chunk))
        if time.monotonic() - committed >= COMMIT_S:
            saved.commit({"questions": begun})
            committed = time.monotonic()
    saved.finish()


def _procedures(who: Writer) -> Iterator[tuple[str, Procedure[list[Completion]]]]:
    """Question by question, a procedure that asks for all its samples."""

    def write(question: Question) -> Procedure[list[Completion]]:
        return (yield from who.write(question, who.run.samples(who.source)))

    for question in who.run.asked(who.source):
        yield question.id, write(question)


def _no_programs(programs: Any) -> list[Outcome]:
    raise TeacherError("a procedure that asks the writer of a source cannot run programs")
