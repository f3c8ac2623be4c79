"""generate: ask the writer of a source for rationales. Leaves `completions/<source>.jsonl`, one row a sample:

    {"question": "train-7", "sample": 0, "request": "9f2c...", "text": "def solution(): ...", "finish": "stop", ...}

A row with the same `request` is never asked for again, neither after a kill nor after a change that leaves it the same
(more samples, more questions).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from understudy.errors import TeacherError
from understudy.methods import Source
from understudy.procedures import AsyncCompleter, Completer, Driver, Procedure
from understudy.records import Completion, Question
from understudy.sandbox import Outcome
from understudy.stages.completions import Completions
from understudy.stages.run import Run
from understudy.stages.writing import Writer, writer

CHUNK = 64
"""Questions that a batched writer is given at once."""

Written = tuple[Question, int, list[Completion]]
"""A question, the number of the first sample, and the samples from there on."""


def inputs(run: Run, source: Source) -> dict[str, Any]:
    """What the completions depend on."""
    return {
        **run.task_state(),
        **run.config.generate.model_dump(exclude={"concurrency"}),
        "samples": run.samples(source),
        "splits": source.splits,
        "format": repr(source.format),
        "seed": run.config.seed,
        "by": writer(run, source).identity(),
    }


def outputs(run: Run, source: Source) -> list[Path]:
    """The file it leaves."""
    return [run.dir.completions(source.name)]


def generate(run: Run, source: Source) -> int:
    """Ask for every sample that is not on disk yet. Returns the number of completions."""
    total = run.size(*source.splits) * run.samples(source)
    who = writer(run, source)
    with (
        Completions(run.dir.completions(source.name)) as there,
        run.progress.bar(f"generate {source.name}", total) as bar,
    ):
        missing = _missing(who, there, bar.advance)
        first = next(missing, None)
        if first is not None:
            for question, start, completions in _written(who, itertools.chain([first], missing)):
                for sample, completion in enumerate(completions, start):
                    row = {"question": question.id, "sample": sample, "request": who.key(question, sample)}
                    there.add({**row, **completion.to_json()})
                bar.advance(len(completions))
        return there.put_in_order(who.keys())


def _missing(who: Writer, there: Completions, found: Callable[[int], None]) -> Iterator[tuple[str, Procedure[Written]]]:
    """A procedure for every gap: it writes the samples of one question from the first that is missing to the next that
    is there.
    """
    for question in who.run.asked(who.source):
        present = [who.key(question, sample) in there for sample in range(who.run.samples(who.source))]
        if any(present):
            found(sum(present))
        for is_present, group in itertools.groupby(range(len(present)), key=present.__getitem__):
            samples = list(group)
            if not is_present:
                yield question.id, _write(who, question, samples)


def _write(who: Writer, question: Question, samples: list[int]) -> Procedure[Written]:
    return question, samples[0], (yield from who.write(question, len(samples), samples[0]))


def _written(who: Writer, missing: Iterable[tuple[str, Procedure[Written]]]) -> Iterator[Written]:
    """Run the procedures: an endpoint's each at its own pace, a batched writer's in chunks."""
    with who.open() as live:
        roles: dict[str, Completer | AsyncCompleter] = {} if live is None else {who.source.by: live}
        driver = Driver(roles, _no_programs, who.run.config.seed, who.sampling)
        if isinstance(live, AsyncCompleter):
            yield from _streamed(driver, missing, who.run.config.generate.concurrency)
            return
        waiting = iter(missing)
        while chunk := list(itertools.islice(waiting, CHUNK)):
            yield from driver.run(chunk)


def _streamed(driver: Driver, missing: Iterable[tuple[str, Procedure[Written]]], concurrency: int) -> Iterator[Written]:
    with asyncio.Runner() as runner:
        stream = driver.stream(missing, concurrency)
        try:
            while (item := runner.run(_next(stream))) is not None:
                yield item[1]
        finally:
            runner.run(_close(stream))


async def _next(stream: AsyncGenerator[tuple[str, Written], None]) -> tuple[str, Written] | None:
    return await anext(stream, None)


async def _close(stream: AsyncGenerator[tuple[str, Written], None]) -> None:
    await stream.aclose()


def _no_programs(programs: Any) -> list[Outcome]:
    raise TeacherError("a procedure that asks the writer of a source cannot run programs")
