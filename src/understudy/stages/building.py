"""build: turn training questions and their kept rationales into the examples of a role.

    examples/student.jsonl   {"question": "train-7", "prompt": "predict: Mia has ...", "target": "17", "objective": "label"}
    examples/student.valid.jsonl   the same, held out: the task's `valid` split, or a share of the training questions

Every training question is shown to the method, also those with no rationale: what it learns from them is its word. A
method may run programs to make its examples (its `lesson` is a procedure); those of `CHUNK` questions run together.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.errors import DataError, NothingKeptError
from understudy.methods import Role
from understudy.procedures import Driver, Executor, derive_seed
from understudy.records import Question, Rationale
from understudy.rundir import read_json
from understudy.sandbox import Outcome, Sandbox
from understudy.stages.filtering import overlap
from understudy.stages.run import Run

CHUNK = 64
"""Questions whose examples are made together."""


def inputs(run: Run, role: Role) -> dict[str, Any]:
    """What the examples depend on."""
    return {
        **run.task_state(),
        "rationales": {s.name: run.dir.left_by(f"filter-{s.name}", run.dir.rationales(s.name)) for s in role.sources},
        "rejected": {
            s.name: run.dir.left_by(f"filter-{s.name}", run.dir.rejected(s.name)) for s in role.sources if s.faulty
        },
        "method": [run.method.name, run.method.model_dump()],
        "overlap": run.config.filter.overlap,
        "validation": run.config.train.validation,
        "seed": run.config.seed,
        "sandbox": run.config.sandbox.model_dump(),
    }


def outputs(run: Run, role: Role) -> list[Path]:
    """The files it leaves: the examples to train on, and those held out."""
    return [run.dir.examples(role.name), run.dir.held_out(role.name)]


def build(run: Run, role: Role) -> int:
    """Write the examples of `role`. Returns how many it trains on.

    Raises:
        DataError: the training split is empty.
        NothingKeptError: no example came of it, or none of an objective; says where the rationales went.
    """
    dropped = overlap(run) if run.config.filter.overlap == "drop" else set()
    total = kept = 0
    taught: set[str] = set()
    train, valid = (jsonl.AtomicWriter(path) for path in outputs(run, role))
    with ExitStack() as stack:
        stack.enter_context(train)
        stack.enter_context(valid)
        bar = stack.enter_context(run.progress.bar(f"build {role.name}", run.size("train", "valid")))
        driver = Driver({}, stack.enter_context(_programs(run)))
        waiting = _found(run, role)
        while chunk := list(itertools.islice(waiting, CHUNK)):
            total += len(chunk)
            learned = [(split, question, found) for split, question, found in chunk if question.id not in dropped]
            lessons = driver.run((q.id, run.method.lesson(run.task, role, q, found)) for _, q, found in learned)
            for (split, question, found), examples in zip(learned, lessons, strict=True):
                out = valid if split == "valid" or _held_out(run, question) else train
                kept += sum(map(len, found.values()))
                for example in examples:
                    out.write(example.to_json())
                    if out is train:
                        taught.add(example.objective)
            bar.advance(len(chunk), examples=train.rows)
        if not train.rows:
            raise _nothing(run, role, total, kept, valid.rows)
        if missing := [name for name, weight in role.objectives.items() if weight and name not in taught]:
            raise NothingKeptError(
                f"no example teaches the role {role.name!r} its objective {missing[0]!r}, and without it a student of "
                f"{run.method.name!r} cannot answer. Has the training split gold answers? What else the method can learn "
                "from says:  understudy keys methods"
            )
    return train.rows


@contextmanager
def _programs(run: Run) -> Iterator[Executor]:
    """The sandbox, opened by the first program: most methods run none."""
    with ExitStack() as stack:
        opened: list[Sandbox] = []

        def execute(programs: Sequence[str]) -> list[Outcome]:
            if not opened:
                opened.append(stack.enter_context(run.sandbox()))
            return opened[0].run(programs)

        yield execute


def _found(run: Run, role: Role) -> Iterator[tuple[str, Question, Mapping[str, list[Rationale]]]]:
    """Every question to learn from with its rationales; the files are in the order of the questions."""
    readers = {source.name: _Merged(run.dir.rationales(source.name), _kept) for source in role.sources}
    for source in role.sources:
        if source.faulty:
            readers[f"{source.name}.faulty"] = _Merged(run.dir.rejected(source.name), _rejected)
    for split in ("train", "valid"):
        if split in run.task.splits:
            for question in run.questions(split):
                yield split, question, {name: reader.take(question.id) for name, reader in readers.items()}


class _Merged:
    """The rows of a file, handed out question by question as the questions stream by."""

    def __init__(self, path: Path, read: Callable[[Mapping[str, Any]], Rationale]) -> None:
        self._groups = itertools.groupby(jsonl.read(path), key=lambda row: row["question"])
        self._next = next(self._groups, None)
        self._read = read

    def take(self, question: str) -> list[Rationale]:
        if self._next is None or self._next[0] != question:
            return []
        found = [self._read(row) for row in self._next[1]]
        self._next = next(self._groups, None)
        return found


def _kept(row: Mapping[str, Any]) -> Rationale:
    return Rationale(row["text"], row.get("answer"), row.get("evidence", {}), row.get("correct"))


def _rejected(row: Mapping[str, Any]) -> Rationale:
    evidence = {"slug": row["slug"], "error": row.get("evidence", "")}
    return Rationale(row["text"], row.get("answer"), evidence, row.get("correct"))


def _held_out(run: Run, question: Question) -> bool:
    """Whether a training question is kept for validation: by its id, so that it stays so when others are added."""
    if "valid" in run.task.splits:
        return False
    return derive_seed("held out", run.config.seed, question.id) % 10_000 < run.config.train.validation * 10_000


_HINTS = {
    "ungraded": "filter.unlabelled=parsed keeps rationales of questions without a gold answer",
    "disagrees": "filter.keep=parsed (or filter.unlabelled=parsed) asks for no agreement; generate.samples=3 allows it",
    "wrong_answer": "filter.keep=parsed keeps wrong ones, too",
    "overlap": "the training questions are those of a test split",
}
"""What helps if most rationales have this fault."""


def _nothing(run: Run, role: Role, questions: int, kept: int, held_out: int) -> Exception:
    if not questions:
        return DataError(
            f"the training split of task {run.task.name!r} is empty; {role.name!r} has nothing to learn from"
        )
    if held_out:
        return NothingKeptError(
            f"every example for the role {role.name!r} ({held_out}) is held out for validation; none is left to train on. "
            "Give it more questions, or fewer to validation: train.validation=0"
        )
    if not role.sources:
        return NothingKeptError(
            f"none of the {questions} training questions gives the role {role.name!r} an example. The method "
            f"{run.method.name!r} learns from gold answers: has the training split any?"
        )
    if kept:
        return NothingKeptError(
            f"the method {run.method.name!r} makes no example for the role {role.name!r} of the {kept} rationales that were "
            f"kept. Look at them: {run.dir.rationales(role.sources[0].name)}"
        )
    faults: Counter[str] = Counter()
    for source in role.sources:
        faults.update((read_json(run.dir.funnel(source.name)) or {}).get("faults", {}))
    files = ", ".join(f"{run.dir.rejected(source.name)}" for source in role.sources)
    counted = ", ".join(f"{fault} {count}" for fault, count in faults.most_common())
    hint = next((_HINTS[fault] for fault, _ in faults.most_common(1) if fault in _HINTS), "")
    return NothingKeptError(
        f"no rationale was kept for the role {role.name!r} out of {questions} questions: {counted or 'none was written'}. "
        f"Each stands with its fault in {files}{f'. {hint}' if hint else ''}"
    )
