"""filter: read every completion, and keep what a student may learn from.

    rationales/program.jsonl   {"question": "train-7", "sample": 0, "correct": true, "text": "def ...", "answer": "17"}
    rejected/program.jsonl     {"question": "train-8", "sample": 0, "slug": "wrong_answer", "evidence": "read 18"}
    rationales/program.funnel.json   how many were asked, read, right, kept, and every fault with its count

Nothing is dropped without a fault. The reader is the format's and the grader the task's, the same that judge the
student. Reading goes in chunks whose end is written to disk, so a killed filter goes on where it was.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from understudy import jsonl
from understudy.evidence.overlap import overlapping
from understudy.methods import Source
from understudy.procedures import Driver, Procedure
from understudy.records import Completion, Fault, Question, Rationale
from understudy.rundir import Checkpoint, digest
from understudy.stages.run import Run

CHUNK = 64
"""Questions read together."""
COUNTED = ("asked", "read", "graded", "right", "kept", "questions_kept", "unlabelled", "unlabelled_kept")
TOKENS = ("prompt_tokens", "completion_tokens")
COMMIT_S = 1.0
"""A kill loses at most the work of this many seconds."""


class Judged(NamedTuple):
    """One completion, read and graded.

    Attributes:
        correct: whether its answer is right; None without a gold answer or a rationale.
        fault: why it is not kept; None if it is.
    """

    sample: int
    completion: Completion
    found: Rationale | Fault
    correct: bool | None
    fault: Fault | None = None


def inputs(run: Run, source: Source) -> dict[str, Any]:
    """What the rationales depend on."""
    return {
        **run.task_state(),
        "completions": run.dir.left_by(f"generate-{source.name}"),
        "filter": run.config.filter.model_dump(),
        "grade": run.config.grade.model_dump(),
        "keep": keep(run, source),
        "format": repr(source.format),
        "sandbox": run.config.sandbox.model_dump(),
    }


def outputs(run: Run, source: Source) -> list[Path]:
    """The files it leaves: kept, rejected, and the counts."""
    return [run.dir.rationales(source.name), run.dir.rejected(source.name), run.dir.funnel(source.name)]


def keep(run: Run, source: Source) -> str:
    """What this source keeps: the configuration's word if the teacher or humans wrote it, else the method's."""
    return (source.by in ("teacher", "human") and run.config.filter.keep) or source.keep


def rule(run: Run, source: Source, labelled: bool) -> str:
    """What is kept of a question: without a gold answer, nothing can be found `right`, and `filter.unlabelled` decides."""
    word = keep(run, source)
    return word if labelled or word != "right" else run.config.filter.unlabelled


def overlap(run: Run) -> set[str]:
    """Ids of the questions to learn from that are also test questions."""
    tests = itertools.chain.from_iterable(run.questions(split) for split in run.test_splits)
    splits = [split for split in ("train", "valid") if split in run.task.splits]
    return overlapping(itertools.chain.from_iterable(run.questions(split) for split in splits), tests)


def filter(run: Run, source: Source) -> int:
    """Read, judge and sort the completions of `source`. Returns how many rationales are kept."""
    kept, rejected, funnel_path = outputs(run, source)
    total = run.size(*source.splits)
    tested = overlap(run)
    counts = Funnel(run, source)
    with (
        run.sandbox() as sandbox,
        Checkpoint([kept, rejected], digest([inputs(run, source), sandbox.engine])) as saved,
        run.progress.bar(f"filter {source.name}", total) as bar,
    ):
        begun = int(saved.state.get("questions", 0))
        counts.resume(saved.state.get("funnel", {}))
        bar.advance(begun)
        driver = Driver({}, sandbox.run)
        committed = time.monotonic()
        waiting = itertools.islice(_by_question(run, source), begun, None)
        while chunk := list(itertools.islice(waiting, CHUNK)):
            for question, judged in zip((q for q, _ in chunk), _judge(run, source, driver, chunk), strict=True):
                for one in _decide(run, source, question, question.id in tested, judged):
                    saved.write(0 if one.fault is None else 1, _row(question, one))
                    counts.add(question, one)
            begun += len(chunk)
            bar.advance(len(chunk), kept=counts.numbers["kept"])
            if time.monotonic() - committed >= COMMIT_S:
                saved.commit({"questions": begun, "funnel": counts.state()})
                committed = time.monotonic()
        saved.finish()
        jsonl.write_text(funnel_path, json.dumps(counts.to_json(total, len(tested), sandbox.engine), indent=1) + "\n")
    return counts.numbers["kept"]


def _by_question(run: Run, source: Source) -> Iterator[tuple[Question, list[tuple[int, Completion]]]]:
    """Each question with its completions; the file is in the order of the questions."""
    rows = itertools.groupby(jsonl.read(run.dir.completions(source.name)), key=lambda row: row["question"])
    for question, (identity, group) in zip(run.asked(source), rows, strict=True):
        if identity != question.id:
            raise ValueError(f"completions of {identity!r} where those of {question.id!r} were expected")
        yield question, [_completion(row) for row in group]


def _completion(row: Mapping[str, Any]) -> tuple[int, Completion]:
    fields = {name: value for name, value in row.items() if name not in ("question", "sample", "request")}
    return row["sample"], Completion.from_json(fields)


def _judge(
    run: Run, source: Source, driver: Driver, chunk: list[tuple[Question, list[tuple[int, Completion]]]]
) -> Iterator[list[Judged]]:
    """Read a chunk's completions together (their programs run as one batch), and grade what was read."""

    def readings() -> Iterator[tuple[str, Procedure[Rationale | Fault]]]:
        for question, completions in chunk:
            for _, completion in completions:
                yield question.id, source.format.read(run.task, question, completion)

    found = iter(driver.run(readings()))
    for question, completions in chunk:
        judged: list[Judged] = []
        for sample, completion in completions:
            reading = next(found)
            fault = reading if isinstance(reading, Fault) else None
            judged.append(Judged(sample, completion, reading, _correct(run, question, reading), fault))
        yield judged


def _correct(run: Run, question: Question, found: Rationale | Fault) -> bool | None:
    if question.answer is None or isinstance(found, Fault):
        return None
    return found.answer is not None and run.grade(found.answer, question)


def _decide(
    run: Run, source: Source, question: Question, is_test_question: bool, judged: list[Judged]
) -> Iterator[Judged]:
    """Give every rationale of one question that must not be learned its fault."""
    wanted = rule(run, source, question.answer is not None)
    agreed = _majority(run, judged) if wanted == "agreed" else None
    seen: set[tuple[str, str | None]] = set()
    for one in judged:
        if isinstance(one.found, Rationale):
            same = (one.found.text, one.found.answer)
            fault = _objection(run, wanted, one.found, one.correct, agreed)
            if is_test_question and run.config.filter.overlap == "drop":
                fault = Fault("overlap", "the question is also in a test split")
            elif fault is None and same in seen and run.config.filter.duplicates == "drop":
                fault = Fault("duplicate", "equal to an earlier sample of the question")
            seen.add(same)
            one = one._replace(fault=fault)
        yield one


def _row(question: Question, one: Judged) -> dict[str, Any]:
    place = {"question": question.id, "sample": one.sample}
    if one.fault is None:
        return {**place, "correct": one.correct, **one.found.to_json()}
    read = {"answer": one.found.answer, "correct": one.correct} if isinstance(one.found, Rationale) else {}
    return {**place, **one.fault.to_json(), **read, "text": one.completion.text, "question_text": question.text}


def _objection(run: Run, wanted: str, found: Rationale, correct: bool | None, agreed: str | None) -> Fault | None:
    if wanted == "all" and (found.text or found.answer is not None):
        return None
    if found.answer is None:
        return Fault("no_answer", found.text[:200])
    if wanted == "drop":
        return Fault("ungraded", 'no gold answer to compare with, and filter.unlabelled = "drop"')
    if wanted == "right" and not correct:
        return Fault("wrong_answer", f"read {found.answer}")
    if wanted == "agreed" and agreed is None:
        return Fault("disagrees", f"read {found.answer}; no answer was read in more than half of several samples")
    if wanted == "agreed" and agreed is not None and not run.task.answer_kind.same(found.answer, agreed):
        return Fault("disagrees", f"read {found.answer}, most samples {agreed}")
    return None


def _majority(run: Run, judged: list[Judged]) -> str | None:
    """The answer that more than half of the readable samples reach; None if there is none or only one was read."""
    answers = [one.found.answer for one in judged if isinstance(one.found, Rationale) and one.found.answer is not None]
    for answer in answers:
        votes = sum(run.task.answer_kind.same(answer, other) for other in answers)
        if len(answers) > 1 and votes * 2 > len(answers):
            return answer
    return None


class Funnel:
    """What became of a source's completions, in numbers."""

    def __init__(self, run: Run, source: Source) -> None:
        self._run, self._source = run, source
        self.numbers: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self._last_kept = ""
        self._prompter = run.prompter() if source.by == "teacher" else None

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of an earlier `state()`."""
        self.numbers.update(state.get("numbers", {}))
        self.faults.update(state.get("faults", {}))
        self.asked.update(state.get("asked", {}))
        self.kept.update(state.get("kept", {}))

    def state(self) -> dict[str, Any]:
        counts = {"numbers": self.numbers, "faults": self.faults, "asked": self.asked, "kept": self.kept}
        return {name: dict(count) for name, count in counts.items()}

    def add(self, question: Question, one: Judged) -> None:
        """Count one judged completion."""
        group = self._group(question.id, one)
        self.numbers["asked"] += 1
        self.asked[group] += 1
        for name in TOKENS:
            if (tokens := getattr(one.completion, name)) is not None:
                self.numbers[name] += tokens
        self.numbers["read"] += isinstance(one.found, Rationale)
        self.numbers["graded"] += one.correct is not None
        self.numbers["right"] += one.correct is True
        unlabelled = question.answer is None
        self.numbers["unlabelled"] += unlabelled
        if one.fault is not None:
            self.faults[one.fault.slug] += 1
            return
        self.numbers["kept"] += 1
        self.numbers["unlabelled_kept"] += unlabelled
        self.kept[group] += 1
        self.numbers["questions_kept"] += question.id != self._last_kept
        self._last_kept = question.id

    def _group(self, question: str, one: Judged) -> str:
        """Who wrote a completion, and in which variant and with which set of worked examples it was asked for."""
        named = [one.completion.model]
        if self._prompter is not None:
            variant, sets = self._prompter.variant(question).name, self._prompter.sets
            named += [f"variant {variant}"] if variant else []
            named += [f"set {one.sample % sets + 1}"] if sets > 1 else []
        return ", ".join(name for name in named if name)

    def to_json(self, questions: int, overlap: int, engine: str) -> dict[str, Any]:
        return {
            "source": self._source.name,
            "format": self._source.format.name,
            "by": self._source.by,
            "keep": keep(self._run, self._source),
            "keep_unlabelled": rule(self._run, self._source, labelled=False),
            "sandbox": engine,
            "questions": questions,
            **{name: self.numbers[name] for name in COUNTED},
            **{name: self.numbers.get(name) for name in TOKENS},  # None: nobody counted them
            "overlap": overlap,
            "groups": {
                group: {"asked": asked, "kept": self.kept[group]}
                for group, asked in sorted(self.asked.items())
                if len(self.asked) > 1
            },
            "faults": dict(sorted(self.faults.items(), key=lambda item: (-item[1], item[0]))),
        }
