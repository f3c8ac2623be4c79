"""Distilling Step-by-Step (Hsieh et al. 2023, arXiv 2305.02301): the rationale is a second task of the student, told
apart by a prefix, and costs nothing at test time.

    examples  prompt "predict: Mia has 12 pens ..."   target "17"                            objective label
              prompt "explain: Mia has 12 pens ..."   target "Mia has 12 + 5 = 17 pens."     objective rationale
    loss      L = L_label + lambda * L_rationale                                             (their equation 3)
              each a mean cross-entropy a token; the released code writes alpha * L_label + (1 - alpha) *
              L_rationale: the same direction with lambda = (1 - alpha) / alpha, at alpha times the size
    answer    "predict: ..." alone

Questions without an answer (ASDiv's for SVAMP: `task.unlabelled`) teach their rationale, and with `labels = "teacher"` the
teacher's answer. Expressions are graded by their value; `exact` in `metrics.json` is the share right as a text.

What differs from the original: both means are taken over the whole optimiser step, not over each micro-batch; the
validation split, not the test split, picks the checkpoint; a completion without any rationale is left out (the
original trains on a blank); an expression is read by a whitelist, never `eval`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from understudy.formats import Cot, Label
from understudy.methods.method import Keep, Method, Role, Source, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Example, Prediction, Question, Rationale
from understudy.tasks.task import Task


class StepByStep(Method):
    """Distilling Step-by-Step: label and rationale are two tasks of one student; only the label is asked for at test time."""

    name = "step-by-step"
    writes: ClassVar[Mapping[str, str]] = {"student": "label"}
    rationale_weight: float = Field(1.0, ge=0)
    """The lambda of L_label + lambda * L_rationale."""
    alpha: float | None = Field(None, gt=0, le=1)
    """The released code's form, alpha * L_label + (1 - alpha) * L_rationale; set, it replaces `rationale_weight`."""
    labels: Literal["gold", "teacher"] = "gold"
    """Whose answers are the labels."""
    keep: Keep = "all"
    """Which of the teacher's rationales to learn from; `all` as published."""
    reader: Literal["last", "published"] = "last"
    """How the teacher's chains are read: at their `last` cue, or as the `published` code does (see `formats/cot.py`)."""
    label_prefix: str = "predict: "
    """What tells the label task."""
    rationale_prefix: str = "explain: "
    """What tells the rationale task."""

    def roles(self) -> Sequence[Role]:
        alpha = self.alpha
        label, rationale = (1.0, self.rationale_weight) if alpha is None else (alpha, 1 - alpha)
        source = Source("rationale", Cot(self.reader), keep=self.keep)
        return [Role("student", (source,), objectives={"label": label, "rationale": rationale})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        labels = [question.answer] if self.labels == "gold" else [r.answer for r in found["rationale"]]
        for label in labels:
            if label is not None:
                yield Example(question.id, self.label_prefix + question.text, label, "label")
        for rationale in found["rationale"]:
            if rationale.text:
                yield Example(question.id, self.rationale_prefix + question.text, rationale.text, "rationale")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", self.label_prefix + question.text)]
        return predict((yield from Label().read(task, question, completion)), [completion])
