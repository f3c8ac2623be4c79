"""The values that travel through a run. Pure values: frozen, no I/O, equal when equal, JSON there and back.

    Question --prompt--> Completion --read--> Rationale | Fault --kept--> Example --train--> a student
    Question --answer--> Prediction --grade--> Verdict

A row of a file is `record.to_json()`, and `Class.from_json(row)` gives the record back. `from_json` ignores nothing: an
unknown field is an error, so that a file of a newer version is not half read.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, Self, TypeAlias

Json: TypeAlias = dict[str, Any]
_ATOMS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Record:
    """What all records share: the round trip to a JSON object. Fields at their default are left out of the row."""

    def to_json(self) -> Json:
        """This record as a JSON object; nested tuples become lists, and defaults are left out."""
        names, values_of, defaults = _fields(type(self))  # type: ignore[arg-type]  # mypy looks for the hash of instances
        return {
            name: value if type(value) in _ATOMS else _plain(value)
            for name, value, (default, kind) in zip(names, values_of(self), defaults, strict=True)
            if value != default or (kind is not None and type(value) is not kind)
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The record that `to_json` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


@functools.cache
def _fields(kind: type[Record]) -> tuple[tuple[str, ...], Callable[[Record], Iterable[Any]], list[tuple[Any, Any]]]:
    """The names of the fields; what reads them all; the default and its type of each, None where anything equal will do."""
    fields = dataclasses.fields(kind)
    names = tuple(f.name for f in fields)
    return (
        names,
        attrgetter(*names) if len(names) > 1 else lambda record: (getattr(record, names[0]),),
        [
            (f.default, type(f.default)) if f.default_factory is dataclasses.MISSING else (f.default_factory(), None)
            for f in fields
        ],
    )


@dataclass(frozen=True, slots=True)
class Question(Record):
    """One row of a task.

    Attributes:
        id: unique within the task, stable between runs; sampling is seeded by it.
        text: the question as a model is shown it, without any prompt around it.
        answer: the gold answer in the task's own notation, or None for an unlabelled training row.
        choices: the answers to choose from, if the task is multiple choice.
        extra: every other column of the row, untouched.
    """

    id: str
    text: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling(Record):
    """How a model picks its tokens. `temperature` 0 is greedy; `max_tokens` bounds one completion."""

    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0


Finish = Literal["stop", "length", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Completion(Record):
    """One raw text from a model, exactly as it came.

    Attributes:
        text: what the model wrote; "" if it failed.
        finish: `stop` (ended by itself), `length` (cut at `max_tokens`), `refused` (by a content filter), `failed`.
        model: who wrote it, as the endpoint or the recording names it.
        prompt_tokens, completion_tokens: as billed; None if not known.
        error: for `failed` and `refused`, the reason in one line.
    """

    text: str
    finish: Finish = "stop"
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Rationale(Record):
    """The reasoning read out of a completion, with the answer it leads to.

    Attributes:
        text: the reasoning alone: a program, a chain of thought; "" in the format `label`.
        answer: the final answer, normalised by the reader of its format; None if it has none (a PaLM chain that was cut).
        evidence: what reading it showed (the value a program returned, its line count), for the report.
        correct: whether the filter found the answer right; None if nobody graded it.
    """

    text: str
    answer: str | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class Fault(Record):
    """Why a completion is rejected.

    Attributes:
        slug: one of the words that the report counts: `syntax_error`, `wrong_answer`, `truncated`, ...
        evidence: one line for a human: the interpreter's message, the answer that was read.
    """

    slug: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Example(Record):
    """One row a student trains on: cross-entropy on `target` given `prompt`, or a value at every token of it.

    Attributes:
        question: id of the question it was built from.
        prompt: the student's input, whole.
        target: what it must write; the end token is added by the encoder.
        objective: which term of the role's loss the row counts to (`label`, `rationale`, `program`, ...).
        weight: of every token of the row within its objective.
        group: rows of one group stay in one optimiser step; the question's id if empty.
        value: what a value head must say at every token of `target`; then the row's loss is its squared error, and the
            student does not learn to write `target`.
    """

    question: str
    prompt: str
    target: str
    objective: str = "target"
    weight: float = 1.0
    group: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction(Record):
    """What a procedure answered.

    Attributes:
        answer: the final answer, normalised by the format's reader; None if there is none.
        texts: the completions it rests on, in the order they were asked for.
        fault: the slug why there is no answer; "" if there is one.
        evidence: what the report may show: the value of a program, votes, finish reasons.
    """

    answer: str | None
    texts: tuple[str, ...] = ()
    fault: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


VerdictResult = Literal["correct", "wrong", "no_answer", "error"]


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """A graded prediction.

    Attributes:
        result: `correct`, `wrong`, `no_answer` (nothing readable) or `error` (not the model's fault: it was not judged).
        answer, gold: what was compared.
    """

    question: str
    result: VerdictResult
    answer: str | None
    gold: str | None
    texts: tuple[str, ...] = ()
    fault: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
