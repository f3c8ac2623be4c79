"""generate: ask the writer of a source for rationales. Leaves `completions/<source>.jsonl`, one row a sample:

    {"question": "train-7", "sample": 0, "text": "def solution(): ...", "finish": "stop", ...}

A teacher that costs anything keeps every answer in the store (`teachers/store.py`), so nothing is asked twice, neither
after a kill nor after a change that leaves a request the same. The file is written from the store, in the order of the
questions; where an answer is missing, an endpoint is asked for all that is, in whatever order the answers come.
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
from understudy.teachers.account import Account

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
    saved_by = digest([inputs(run, source), samples])
    with (
        spending.account(run) as account,
        who.open(account) as live,
        Checkpoint([run.dir.completions(source.name)], saved_by) as saved,
    ):
        if isinstance(live, Recalling):
            recalled, before = live.recall(), _done(saved)
            _write_down(who, recalled, saved, questions, whole=True)
            account.replayed += (_done(saved) - before) * samples
            if _done(saved) < questions:
                _ask(who, live, account, _done(saved), questions)
            live = recalled
        _write_down(who, live, saved, questions)
        saved.finish()
    return questions * samples


def _done(saved: Checkpoint) -> int:
    """How many questions are written down."""
    return int(saved.state.get("questions", 0))


def _ask(who: Writer, live: AsyncCompleter, account: Account, begun: int, questions: int) -> None:
    """Ask for all that the store does not have, from question number `begun` on."""
    with who.run.progress.bar(f"ask {who.source.name}", questions) as bar:
        bar.advance(begun)
        driver = Driver({who.source.by: live}, _no_programs, sampling=who.sampling)
        waiting = itertools.islice(_procedures(who), begun, None)
        asyncio.run(driver.each(waiting, who.at_once, lambda *_: bar.advance(1, **account.info())))


def _write_down(
    who: Writer,
    live: Completer | AsyncCompleter | None,
    saved: Checkpoint,
    questions: int,
    whole: bool = False,
) -> None:
    """Write the samples of every question, in order, from where an earlier run was stopped.

    `whole`: up to the first questions of which not every sample is there, and no further.
    """
    roles: dict[str, Completer | AsyncCompleter] = {} if live is None else {who.source.by: live}
    driver = Driver(roles, _no_programs, sampling=who.sampling)
    begun = _done(saved)
    waiting = itertools.islice(_procedures(who), begun, None)
    committed = time.monotonic()
    with who.run.progress.bar(f"generate {who.source.name}", questions) as bar:
        bar.advance(begun)
        while chunk := list(itertools.islice(waiting, CHUNK)):
            written = driver.run(chunk)
            if whole and any(completion.finish == "failed" for samples in written for completion in samples):
                break
            for (question, _), completions in zip(chunk, written, strict=True):
                for sample, completion in enumerate(completions):
                    saved.write(0, {"question": question, "sample": sample, **completion.to_json()})
            begun += len(chunk)
            bar.advance(len(chunk))
            if time.monotonic() - committed >= COMMIT_S:
                saved.commit({"questions": begun})
                committed = time.monotonic()
        if whole:
            saved.commit({"questions": begun})


def _procedures(who: Writer) -> Iterator[tuple[str, Procedure[list[Completion]]]]:
    """Question by question, a procedure that asks for all its samples."""

    def write(question: Question) -> Procedure[list[Completion]]:
        return (yield from who.write(question, who.run.samples(who.source)))

    for question in who.run.asked(who.source):
        yield question.id, write(question)


def _no_programs(programs: Any) -> list[Outcome]:
    raise TeacherError("a procedure that asks the writer of a source cannot run programs")
