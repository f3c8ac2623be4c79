"""A verifier (Cobbe et al. 2021, arXiv 2110.14168): a generator writes many solutions, a second student picks among them.

    generator   learns the kept rationales, as in `single-task` (`format = "cot"`) or `pad` (`format = "program"`)
    source      `solutions`: the generator answers every training question `solutions` times at `temperature`; graded
    verifier    starts from the generator and has a value head
      examples  prompt "Mia has 12 pens ..."  target "Mia has 12 - 5 = 7 pens. The answer is 7."   value 0, objective value
                prompt "Mia has 12 pens ..."  target "Mia has 12 + 5 = 17 pens. The answer is 17." objective language
      loss      L = mean over the tokens t of the solutions (value_t - right)^2 + language_weight * L_language
                right is 1 or 0, by the final answer alone; L_language is the generator's own loss on the same rationales
    answer      `samples` solutions of the generator are scored by what the verifier says when it has read the whole;
                the best scored answers (`top = 1`), or the `top` best scored vote by their answers (section 5.1)

Every solution has a rationale of the same question beside it in its step, again and again the same: the paper's equal
mix of both kinds of data (appendix E). With `top` as large as `samples` the vote is plain self-consistency.

What differs from the original: the head has weights of its own, where the paper scales and shifts the logit of a spare
token; it also speaks before the first token of a solution; the text names no loss for it, the squared error is the usual
reading. Equal solutions of a question are learned once (`filter.duplicates = "keep"` learns each, as the paper does),
at test time each has its place and its vote. A solution without a readable answer is a wrong one to learn from and is
never chosen; one that was cut is left out. Programs are run, so the verifier is spared those that fail. How long each
student is trained is the configuration's word (`[train]`, `[train.roles.verifier]`); the paper trains the generator for
two epochs, since the solutions of a longer one differ too little, and the verifier for one. No dropout is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from understudy.formats import Cot, Format, Program
from understudy.formats.program import ran
from understudy.methods.method import Keep, Method, Role, Source, needs_programs, predict
from understudy.methods.pad import Pad
from understudy.methods.self_consistency import elected, gathered
from understudy.methods.single_task import SingleTask
from understudy.procedures import Ask, Procedure, Score, together
from understudy.records import Example, Prediction, Question, Rationale
from understudy.tasks.task import Task

NOT_JUDGED = frozenset({"failed", "refusal", "unsupported", "overlap", "duplicate", "truncated"})
"""Why a solution may be rejected without being a wrong one to learn from."""


class Verifier(Method):
    """A verifier: a generator writes many solutions, and a second student with a value head picks the best."""

    name = "verifier"
    format: Literal["cot", "program"] = "cot"
    """What the generator writes: chains of thought, as published, or programs."""
    keep: Keep = "right"
    """Which of the teacher's rationales the generator learns from."""
    solutions: int = Field(100, ge=1)
    """How many solutions of each training question the verifier learns from."""
    samples: int = Field(100, ge=1)
    """How many solutions of a test question it ranks."""
    top: int = Field(1, ge=1)
    """How many of the best scored vote; 1: the best scored answers. The paper finds 3 to 5 of 100 best."""
    temperature: float = Field(0.7, gt=0)
    """Of the generator's sampling."""
    language_weight: float = Field(1.0, ge=0)
    """Weight of the verifier's language-model loss beside that of its values; 0 leaves it out."""
    start: Literal["generator", "student"] = "generator"
    """Whose weights the verifier starts from: the trained generator's, or those of the configured student."""

    @property
    def written(self) -> Format:
        """How a solution is read and written."""
        return Cot() if self.format == "cot" else Program()

    @property
    def writer(self) -> Method:
        """The method whose student the generator is."""
        return SingleTask(keep=self.keep) if self.format == "cot" else Pad(keep=self.keep)

    def refuses(self, task: Task) -> str | None:
        return needs_programs(task) if self.format == "program" else None

    def roles(self) -> Sequence[Role]:
        [student] = self.writer.roles()
        solutions = Source(
            "solutions",
            self.written,
            by="generator",
            samples=self.solutions,
            temperature=self.temperature,
            keep="parsed",
            faulty=True,
        )
        terms = {"value": 1.0, "language": self.language_weight}
        return [
            replace(student, name="generator"),
            Role(
                "verifier",
                (*student.sources, solutions),
                start="generator" if self.start == "generator" else None,
                head="value",
                objectives=terms if self.language_weight else {"value": 1.0},
            ),
        ]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        shown = list(self.writer.examples(task, role, question, found))
        if role.name == "generator":
            return shown
        return self.verdicts(task, role, question, found, shown)

    def verdicts(
        self,
        task: Task,
        role: Role,
        question: Question,
        found: Mapping[str, Sequence[Rationale]],
        shown: Sequence[Example],
    ) -> Iterator[Example]:
        """Every solution with its value, and beside each one of the rationales in `shown`."""
        solutions = [(self.written.write(task, s), s.correct) for s in found["solutions"] if s.correct is not None]
        if question.answer is not None:
            faulty = (s for s in found.get("solutions.faulty", ()) if s.evidence["slug"] not in NOT_JUDGED)
            solutions += dict.fromkeys((s.text.strip(), False) for s in faulty if s.text.strip())
        for number, (text, right) in enumerate(solutions):
            group = f"{question.id} {number}"
            yield Example(question.id, question.text, text, "value", group=group, value=float(bool(right)))
            if shown and "language" in role.objectives:
                yield replace(shown[number % len(shown)], objective="language", group=group)

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [completions] = yield [Ask("generator", question.text, self.samples, temperature=self.temperature)]
        found = yield from together([self.written.read(task, question, completion) for completion in completions])
        texts = [
            self.written.write(task, f) if isinstance(f, Rationale) and f.answer is not None else "" for f in found
        ]
        targets = tuple(dict.fromkeys(filter(None, texts)))
        known: dict[str, float] = {}
        if targets:
            [numbers] = yield [Score("verifier", question.text, targets)]
            known = dict(zip(targets, numbers, strict=True))
        programs = self.format == "program"
        solutions = [
            predict(f, [completion], **({"status": ran(f)} if programs else {}))
            for f, completion in zip(found, completions, strict=True)
        ]
        return self.picked(task, solutions, [known.get(text) for text in texts])

    def picked(self, task: Task, solutions: Sequence[Prediction], scores: Sequence[float | None]) -> Prediction:
        """The prediction that the `top` best scored of `solutions` agree on; one without a score is never chosen."""
        scored = [(score, place) for place, score in enumerate(scores) if score is not None]
        ranked = [place for _, place in sorted(scored, key=lambda pair: -pair[0])]  # the first of equals is first
        found = elected(task, [solutions[place] for place in ranked[: self.top]] or solutions)
        evidence = {**found.evidence, **gathered(solutions)}
        if self.top == 1:  # nobody votes, so nobody agrees
            del evidence["votes"], evidence["agreement"]
        evidence["answers"] = [solution.answer for solution in solutions]
        evidence["scores"] = [None if s is None or math.isinf(s) else round(s, 4) for s in scores]
        evidence["chosen"] = next((p for p in ranked if solutions[p].answer == found.answer), None)
        return replace(found, texts=tuple(text for s in solutions for text in s.texts), evidence=evidence)
