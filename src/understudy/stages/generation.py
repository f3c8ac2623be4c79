"""generate: ask the writer of a source for rationales. Leaves `completions/<source>.jsonl`, one row a sample:

    {"question": "train-7", "sample": 0, "request": "9f2c...", "text": "def solution(): ...", "finish": "stop", ...}

`request` is a digest of all that the answer depends on (who is asked, the prompt, how to sample, which sample). A row
with the same digest is never asked for again, neither after a kill nor after a change that leaves it the same (more
samples, more questions). Rows are appended as they come and put into the order of the questions at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any, cast

from understudy import jsonl, students
from understudy.errors import TeacherError
from understudy.formats import Format
from understudy.methods import Source
from understudy.procedures import AsyncCompleter, Completer, Driver, Procedure, derive_seed
from understudy.records import Completion, Question, Sampling
from understudy.rundir import digest
from understudy.sandbox import Outcome
from understudy.stages.run import Run

CHUNK = 64
"""Questions that a batched writer is given at once."""
COMMIT_S = 0.5
"""A kill loses at most the answers of this many seconds."""


def inputs(run: Run, source: Source) -> dict[str, Any]:
    """What the completions depend on."""
    settings = run.config.generate.model_dump(exclude={"concurrency"})
    return {
        **run.task_state(),
        **settings,
        "samples": run.samples(source),
        "splits": source.splits,
        "format": repr(source.format),
        "seed": run.config.seed,
        "by": run.teacher.identity()
        if source.by == "teacher"
        else run.dir.left_by(f"train-{source.by}", run.dir.student(source.by)),
    }


def outputs(run: Run, source: Source) -> list[Path]:
    """The file it leaves."""
    return [run.dir.completions(source.name)]


def generate(run: Run, source: Source) -> int:
    """Ask for every sample that is not on disk yet. Returns the number of completions."""
    answers = Answers(run.dir.completions(source.name))
    total = run.size(*source.splits) * run.samples(source)
    who = (
        run.teacher.identity()
        if source.by == "teacher"
        else digest(run.dir.left_by(f"train-{source.by}", run.dir.student(source.by)))
    )
    with answers, run.progress.bar(f"generate {source.name}", total) as bar:
        wanted = Wanted(run, source, who)
        missing = _missing(run, source, wanted, answers, bar.advance)
        first = next(missing, None)
        if first is not None:
            missing = itertools.chain([first], missing)
            with writer(run, source) as live:
                driver = Driver({source.by: live}, _no_programs, run.config.seed, wanted.sampling)
                for question, start, completions in _completed(driver, live, missing, run):
                    for sample, completion in enumerate(completions, start):
                        row = {"question": question.id, "sample": sample, "request": wanted.key(question, sample)}
                        answers.add({**row, **completion.to_json()})
                    bar.advance(len(completions))
        return answers.put_in_order(wanted.keys())


class Wanted:
    """The samples a source asks for, each with the digest of its request."""

    def __init__(self, run: Run, source: Source, who: str) -> None:
        self._run, self._source, self._who = run, source, who
        settings = run.config.generate
        self.sampling = Sampling(settings.temperature, settings.max_tokens, settings.top_p)
        self._shown = run.task.demonstrations(source.format.name)[: settings.demonstrations]

    def prompt(self, question: Question) -> str:
        if self._source.by != "teacher":  # a student is asked as it was trained: without demonstrations
            return question.text
        return self._source.format.prompt(self._run.task, question, self._shown)

    def seed(self, question: Question) -> int:
        return derive_seed(self._run.config.seed, self._source.name, question.id)

    def key(self, question: Question, sample: int) -> str:
        request = [
            1,
            self._who,
            question.id,
            self.prompt(question),
            self.sampling.to_json(),
            self.seed(question),
            sample,
        ]
        return digest(request)

    def keys(self) -> Iterator[str]:
        """The digests of all samples, in the order of the file."""
        for question in self._run.asked(self._source):
            for sample in range(self._run.samples(self._source)):
                yield self.key(question, sample)


def writer(run: Run, source: Source) -> AbstractContextManager[Completer | AsyncCompleter]:
    """Whoever writes a source: the teacher, or a student trained before."""
    if source.by == "teacher":
        return run.teacher.open(run.task, run.config.generate.concurrency)
    return closing(students.load(run.dir.student(source.by)))


Missing = tuple[Question, int, Procedure[list[Completion]]]
Streamed = tuple[str, tuple[str, list[Completion]]]


def _missing(run: Run, source: Source, wanted: Wanted, answers: Answers, found: Any) -> Iterator[Missing]:
    """A procedure for every gap: the question, the first sample it lacks, and how to ask for the samples up to the next."""
    for question in run.asked(source):
        present = [wanted.key(question, sample) in answers for sample in range(run.samples(source))]
        if any(present):
            found(sum(present))
        for is_present, group in itertools.groupby(range(len(present)), key=lambda sample: present[sample]):
            samples = list(group)
            if not is_present:
                asking = _ask(source.format, source.by, wanted, question, len(samples), samples[0])
                yield question, samples[0], asking


def _ask(
    format: Format, role: str, wanted: Wanted, question: Question, n: int, first: int
) -> Procedure[list[Completion]]:
    return (yield from format.ask(role, wanted.prompt(question), n, first, wanted.seed(question)))


def _completed(
    driver: Driver, live: Completer | AsyncCompleter, missing: Iterable[Missing], run: Run
) -> Iterator[tuple[Question, int, list[Completion]]]:
    """Run the procedures: an endpoint's each at its own pace, a batched writer's in chunks."""
    if isinstance(live, AsyncCompleter):
        yield from _streamed(driver, missing, run.config.generate.concurrency)
        return
    waiting = iter(missing)
    while chunk := list(itertools.islice(waiting, CHUNK)):
        results = driver.run((question.id, procedure) for question, _, procedure in chunk)
        for (question, start, _), completions in zip(chunk, results, strict=True):
            yield question, start, completions


def _streamed(
    driver: Driver, missing: Iterable[Missing], concurrency: int
) -> Iterator[tuple[Question, int, list[Completion]]]:
    asked: dict[str, tuple[Question, int]] = {}

    def procedures() -> Iterator[tuple[str, Procedure[tuple[str, list[Completion]]]]]:
        for question, start, procedure in missing:
            ticket = f"{question.id}\x1f{start}"
            asked[ticket] = (question, start)
            yield question.id, _labelled(ticket, procedure)

    with asyncio.Runner() as runner:
        stream = driver.stream(procedures(), concurrency)
        try:
            while True:
                item = runner.run(_next(stream))
                if item is None:
                    return
                ticket, completions = item[1]
                question, start = asked.pop(ticket)
                yield question, start, completions
        finally:
            runner.run(_close(stream))


async def _next(stream: AsyncIterator[Streamed]) -> Streamed | None:
    return await anext(stream, None)


async def _close(stream: AsyncGenerator[Streamed, None]) -> None:
    await stream.aclose()


def _labelled(ticket: str, procedure: Procedure[list[Completion]]) -> Procedure[tuple[str, list[Completion]]]:
    return ticket, (yield from procedure)


class Answers:
    """The completions of a source on disk: what was there before, and what is being appended.

    Three files are looked at: the finished one, the one under way (`.part`), and the one with answers that the present
    configuration does not ask for (`.spare`), so that no change of mind costs an answer twice. Only digests and offsets
    are held in memory. A row that failed is asked for again when the step is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._spare = path.with_name(path.name + ".spare")
        self._where: dict[str, tuple[Path, int]] = {}

    def __enter__(self) -> Answers:
        self._appender = jsonl.Appender(self._part).__enter__()
        self._committed = time.monotonic()
        self._index()
        return self

    def _index(self) -> None:
        self._where.clear()
        for path in (self._spare, self.path, self._part):
            offset = 0
            if path.exists():
                with open(path, "rb") as lines:
                    for line in lines:
                        row = json.loads(line)
                        if row.get("finish") != "failed" or path == self._part:
                            self._where[row["request"]] = (path, offset)
                        offset += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def add(self, row: dict[str, Any]) -> None:
        """Append a completion; it is on disk within `COMMIT_S`."""
        self._appender.write(row)
        if time.monotonic() - self._committed >= COMMIT_S:
            self._appender.flush()
            self._committed = time.monotonic()

    def put_in_order(self, keys: Iterable[str]) -> int:
        """Write the finished file: the rows of `keys` in that order. Returns how many there are."""
        self._appender.flush()
        self._index()
        with ExitStack() as stack:
            files = {p: stack.enter_context(open(p, "rb")) for p in {path for path, _ in self._where.values()}}

            def row(key: str) -> jsonl.Row:
                path, offset = self._where.pop(key)
                files[path].seek(offset)
                return cast("jsonl.Row", json.loads(files[path].readline()))

            finished, spare = jsonl.AtomicWriter(self.path), jsonl.AtomicWriter(self._spare)
            with spare, finished:
                for key in keys:
                    finished.write(row(key))
                for key in list(self._where):
                    spare.write(row(key))
        self._part.unlink()
        if not spare.rows:
            self._spare.unlink()
        return finished.rows

    def __exit__(self, *error: Any) -> None:
        self._appender.__exit__(*error)
        if self._part.exists() and self._part.stat().st_size == 0:
            self._part.unlink()


def _no_programs(programs: Any) -> list[Outcome]:
    raise TeacherError("a procedure that asks the writer of a source cannot run programs")
