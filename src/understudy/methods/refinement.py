"""PaD with self-refinement (Zhu et al. 2023, arXiv 2305.13888): the student also learns to repair a faulty program from
the interpreter's message.

    source    as in PaD; what the filter rejects is read, too
    examples  prompt "Mia has 12 pens ..."                 target "def solution(): ..."       objective program
              prompt "Mia has 12 pens ...                  target "def solution(): ..."       objective repair
                      # a faulty program:
                      def solution():
                          return pens + 5
                      # NameError: name 'pens' is not defined
                      # the right program:"
    loss      L = L_program + repair_weight * L_repair, each a mean cross-entropy a token
    answer    the student writes a program; as long as it fails, and at most `repairs` times, the student is shown it
              with the message, and writes another

The faulty programs are right ones into which a fault was put (`formats/faults.py`), and the teacher's own rejected
programs where another sample of the same question was kept. What differs from the original: its injected faults were
never executed (its code defines the function and does not call it) and its "syntax error" was none, so that it trained
on empty messages; here every fault is run and seen to fail. The original trains on repairs after PaD (`training =
"after"`: two roles, the second starts from the first); both may be terms of one loss from the start, too. A wrong
operand is not in the original: the program runs, and its message is what it returns. At test time nobody knows that a
value is wrong, so only a program that fails is repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Literal

from pydantic import Field

from understudy.formats import Program
from understudy.formats.faults import KINDS, Faulty, Kind, inject, message
from understudy.formats.format import cut_run_on
from understudy.formats.program import find_program, ran
from understudy.methods.method import Role, Source, predict
from understudy.methods.pad import Pad
from understudy.procedures import Ask, Procedure, derive_seed
from understudy.records import Example, Fault, Prediction, Question, Rationale
from understudy.tasks.task import Task

NOT_SHOWN = frozenset({"unsupported", "duplicate", "overlap", "ungraded", "disagrees", "refusal"})
"""Why a completion may be rejected, and yet is no example of a faulty program."""


class PadRefinement(Pad):
    """PaD with self-refinement: the student also learns to repair faulty programs from the interpreter's message."""

    name = "pad-refinement"
    repairs: int = Field(2, ge=0)
    """How often a program that fails is repaired at test time, at most; 0 trains on repairs without asking for any."""
    repair_weight: float = Field(1.0, ge=0)
    """The weight of the repairs' term of the loss beside the programs' own."""
    training: Literal["together", "after"] = "after"
    """`after`: first PaD, then programs and repairs, as published; `together`: both from the start (see `docs/log.md`)."""
    faults: tuple[Kind, ...] = KINDS
    """The kinds of fault that are put into right programs; none leaves the teacher's own faulty programs."""
    injected: int = Field(1, ge=1)
    """How many faulty versions of every right program, each of another kind, as far as its lines allow."""
    teacher_faults: bool = True
    """Whether the teacher's rejected programs are repaired, too, where another sample of the question was kept."""
    fault_seed: int = 0
    """Of the choice of faults and of their places."""

    def roles(self) -> Sequence[Role]:
        source = Source("program", Program(), keep=self.keep, faulty=self.teacher_faults)
        both = {"program": 1.0, "repair": self.repair_weight}
        if self.training == "together":
            return [Role("student", (source,), objectives=both)]
        plain = Role("plain", (replace(source, faulty=False),), objectives={"program": 1.0})
        return [plain, Role("student", (source,), start="plain", objectives=both)]

    def lesson(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Procedure[Iterable[Example]]:
        rows = list(self.examples(task, role, question, found))
        if "repair" not in role.objectives:
            return rows
        programs = [Rationale(row.target, kept.answer) for row, kept in zip(rows, found["program"], strict=True)]
        for number, right in enumerate(programs):
            random = Random(derive_seed("faults", self.fault_seed, question.id, number))
            broken = yield from inject(task, question, right, self.faults, self.injected, random)
            rows += [self.repair(question, faulty, right.text) for faulty in broken]
        for number, faulty in enumerate(self.rejected(task, found.get("program.faulty", ()) if programs else ())):
            rows.append(self.repair(question, faulty, programs[number % len(programs)].text))
        return rows

    def repair(self, question: Question, faulty: Faulty, right: str) -> Example:
        """The row that shows `faulty` and asks for `right`."""
        return Example(question.id, shown(question, faulty.program, faulty.message), right, "repair")

    def rejected(self, task: Task, completions: Iterable[Rationale]) -> Iterable[Faulty]:
        """The faulty programs among the teacher's rejected completions."""
        for rejected in completions:
            slug, error = rejected.evidence["slug"], rejected.evidence["error"]
            program = self.stripped(find_program(cut_run_on(task, rejected.text)))
            if program and slug not in NOT_SHOWN:
                found = Rationale(program, rejected.answer) if slug == "wrong_answer" else Fault(slug, error)
                yield Faulty(program, slug, message(found))

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", question.text)]
        found = yield from Program().read(task, question, completion)
        completions, statuses = [completion], [ran(found)]
        while len(completions) <= self.repairs and isinstance(found, Fault) and found.slug not in NOT_SHOWN:
            program = find_program(completion.text) or completion.text
            [[completion]] = yield [Ask("student", shown(question, program, message(found)))]
            if completion.finish == "failed":  # the prompt is too long: the program stays as it was
                break
            completions.append(completion)
            found = yield from Program().read(task, question, completion)
            statuses.append(ran(found))
        return predict(found, completions, status=statuses[-1], attempts=statuses)


def shown(question: Question, program: str, message: str) -> str:
    """What the student is shown to repair `program`."""
    return f"{question.text}\n# a faulty program:\n{program}\n# {message}\n# the right program:"
