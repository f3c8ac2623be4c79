"""Rationale as input, f(x, r) -> y: the student reads the question and a rationale, and writes the answer alone.

    example   prompt "Mia has 12 pens ...\\nRationale: Mia has 12 + 5 = 17 pens."   target "17"
    loss      mean cross-entropy of the answer's tokens
    answer    the rationale is written, then the student reads both

`rationale-as-input` has the teacher write it at test time, too, so every answer costs a call to the teacher: the way that
Hsieh et al. (2023) set Distilling Step-by-Step against, and that of PINTO (Wang et al. 2023, arXiv 2211.01562).
`rationale-pipeline` has a second student write it, trained on the teacher's rationales with a loss of its own (I -> R,
then IR -> O; Wiegreffe et al. 2021, arXiv 2010.12762): no teacher at test time.

What differs from PINTO: one rationale for a question, not one for each of its choices; the student writes the answer, it
does not score the choices; no second loss on perturbed rationales, which makes PINTO's answer depend on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from understudy.formats import Cot, Format, Label
from understudy.methods.method import AsksTeacher, Keep, Method, Role, Source, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Completion, Example, Fault, Prediction, Question, Rationale
from understudy.tasks.task import Task


class RationaleAsInput(AsksTeacher):
    """Rationale as input: the student reads the question and the teacher's rationale, at test time, too."""

    name = "rationale-as-input"
    keep: Keep = "all"
    """Which of the teacher's rationales to learn with; at test time nobody knows which are right, hence `all`."""
    reader: Literal["last", "published"] = "last"
    """How the teacher's chains are read: at their `last` cue, or as the `published` code does (see `formats/cot.py`)."""

    @property
    def format(self) -> Format:
        return Cot(self.reader)

    def roles(self) -> Sequence[Role]:
        return [Role("student", (Source("rationale", self.format, keep=self.keep),), objectives={"label": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        yield from with_rationales(question, found["rationale"])

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        written = yield from self.ask(task, question)
        rationale = yield from self.format.read(task, question, written)
        if isinstance(rationale, Fault):
            return predict(rationale, [written])
        return (yield from answered(task, question, rationale.text, written))


class RationalePipeline(Method):
    """Rationale pipeline: one student writes the rationale, a second reads the question and it, and answers."""

    name = "rationale-pipeline"
    keep: Keep = "right"
    """Which of the teacher's rationales to learn from."""

    def roles(self) -> Sequence[Role]:
        source = Source("rationale", Cot(), keep=self.keep)
        return [
            Role("writer", (source,), objectives={"rationale": 1.0}),
            Role("student", (source,), objectives={"label": 1.0}),
        ]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        if role.name == "student":
            yield from with_rationales(question, found["rationale"])
            return
        for rationale in found["rationale"]:
            if rationale.text:
                yield Example(question.id, question.text, rationale.text, "rationale")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[written]] = yield [Ask("writer", question.text)]
        return (yield from answered(task, question, written.text.strip(), written))


def with_rationales(question: Question, rationales: Sequence[Rationale]) -> Iterable[Example]:
    """An example of the reading student for each rationale; its label is the gold answer, whatever the rationale says."""
    for rationale in rationales:
        if question.answer is not None and rationale.text:
            yield Example(question.id, beside(question, rationale.text), question.answer, "label")


def answered(task: Task, question: Question, rationale: str, written: Completion) -> Procedure[Prediction]:
    """The answer of the reading student; `rationale` was read out of `written`."""
    [[completion]] = yield [Ask("student", beside(question, rationale))]
    return predict((yield from Label().read(task, question, completion)), [written, completion])


def beside(question: Question, rationale: str) -> str:
    """What the reading student is shown."""
    return f"{question.text}\nRationale: {rationale}"
