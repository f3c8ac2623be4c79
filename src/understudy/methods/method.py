"""The interface of a method: the roles it trains, the sources each learns from, the examples, and how they answer.

A method holds its options and nothing else; the task is handed to it. It is walked by the stages, which know no
method by name:

    for role in method.roles():
        for source in role.sources: generate, filter
        build examples(role, ...), train the role
    evaluate with answer(...)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from understudy.config import Settings
from understudy.formats.format import Format
from understudy.procedures import Procedure
from understudy.prompts import Prompter
from understudy.records import Completion, Example, Fault, Prediction, Question, Rationale
from understudy.tasks.task import Task

Keep = Literal["right", "agreed", "parsed", "all"]


@dataclass(frozen=True, slots=True)
class Source:
    """One generate + filter.

    Attributes:
        name: of its files; unique in the method.
        format: the written form of its rationales.
        by: who writes them: `teacher`, or the name of a role that is trained before.
        splits: which splits' questions are asked; those the task does not have are passed over.
        samples: completions a question; None leaves it to `generate.samples`.
        temperature: of their sampling; None leaves it to `generate.temperature`.
        keep: `right` (reaches the gold answer), `agreed` (the answer most samples of the question reach; no gold needed),
            `parsed` (has an answer) or `all` (whatever reasoning or answer could be read, as Distilling Step-by-Step did).
        faulty: whether the method learns from what is rejected, too: `found` then has it under `<name>.faulty`, each the
            whole text of a completion with `{"slug": ..., "error": ...}` as its evidence.
    """

    name: str
    format: Format
    by: str = "teacher"
    splits: tuple[str, ...] = ("train", "valid")
    samples: int | None = None
    temperature: float | None = None
    keep: Keep = "right"
    faulty: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """One student.

    Attributes:
        name: `student`, or what it does: `decomposer`, `solver`.
        sources: where its rationales come from; none for a role that learns from gold answers alone.
        start: name of an earlier role whose weights it starts from; None starts from the configured student.
        head: `lm` writes texts; `value` also says one number at every token, learned from the examples with a `value`.
        objectives: weight of each term of the loss; the names are those of its examples' `objective`.
    """

    name: str
    sources: tuple[Source, ...] = ()
    start: str | None = None
    head: Literal["lm", "value"] = "lm"
    objectives: Mapping[str, float] = field(default_factory=lambda: {"target": 1.0})


class Method(Settings, ABC):
    """A way to distil. A subclass adds its options as fields.

    Attributes:
        name: as in the configuration.
        asks_teacher: whether it needs the teacher at test time.
        writes: the format of what each role writes when it is asked as `answer` asks it first, so that it can teach others.
    """

    name: ClassVar[str]
    asks_teacher: ClassVar[bool] = False
    writes: ClassVar[Mapping[str, str]] = {}

    def refuses(self, task: Task) -> str | None:
        """Why it cannot run on `task`, in a sentence; None if it can."""
        return None

    def prompted(self, prompter: Prompter) -> Self:
        """This method, asking the teacher as `prompter` says where it asks it for answers."""
        return self

    @abstractmethod
    def roles(self) -> Sequence[Role]:
        """The students, in the order they are trained; none if only the teacher is asked."""

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        """What `role` learns from a training question and its kept rationales, by source name; nothing is fine too."""
        return ()

    def lesson(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Procedure[Iterable[Example]]:
        """`examples`, and more where programs must be run to make them: a procedure that may `Execute`, and ask nobody."""
        yield from ()
        return self.examples(task, role, question, found)

    @abstractmethod
    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        """How one question is answered."""


class AsksTeacher(Method):
    """A method that needs the teacher at test time, for one completion in one format, asked for as those of a source."""

    asks_teacher = True
    demonstrations: int = Field(4, ge=0)
    """How many worked examples stand before the question, where `prompt.variants` do not say."""
    _prompter: Prompter | None = PrivateAttr(None)

    @property
    @abstractmethod
    def format(self) -> Format:
        """What the teacher is asked to write."""

    def prompted(self, prompter: Prompter) -> Self:
        method = self.model_copy()
        method._prompter = prompter
        return method

    def ask(self, task: Task, question: Question) -> Procedure[Completion]:
        """One completion by the teacher."""
        examples = task.demonstrations(self.format.name)
        prompter = self._prompter or Prompter()
        prompt = prompter.prompt(task, question, self.format, examples, self.demonstrations)
        [completion] = yield from self.format.ask(task, "teacher", prompt.text, turns=prompt.turns)
        return completion


class TeacherAlone(AsksTeacher):
    """A method without a role: the teacher answers by itself."""

    def roles(self) -> Sequence[Role]:
        return []


def needs_programs(task: Task) -> str | None:
    """Why programs cannot answer the questions of `task`, in a sentence; None if they can."""
    kind = task.answer_kind.name
    if kind in ("choice", "label"):
        return f"it needs answers that a program can work out; those of {task.name} are picked from a few ({kind})"
    return None


def predict(found: Rationale | Fault, completions: Sequence[Completion], **evidence: Any) -> Prediction:
    """The prediction that rests on `completions`, the last of which was read as `found`."""
    shown = {
        "finish": [completion.finish for completion in completions],
        "completion_tokens": [completion.completion_tokens for completion in completions],
        **(
            dict(found.evidence)
            if isinstance(found, Rationale)
            else {"error": found.evidence}
            if found.evidence
            else {}
        ),
        **evidence,
    }
    texts = tuple(completion.text for completion in completions)
    if isinstance(found, Fault):
        return Prediction(None, texts, found.slug, shown)
    return Prediction(found.answer, texts, "" if found.answer is not None else "no_answer", shown)
