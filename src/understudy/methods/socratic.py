"""Socratic CoT (Shridhar, Stolfo and Sachan 2023, arXiv 2212.00193): a decomposer asks sub-questions, a solver answers them.

    source    steps, one a line: sub-question ** solution; only chains that reach the gold answer
    examples  prompt "ask: Mia has 12 pens ..."                                target "How many ... after buying?"
              prompt "ask: Mia has 12 pens ...\\nHow many ... ** 12 + 5 = 17."  target "How many ... at last?"
              ...                                                              target "No more questions."
              prompt "solve: Mia has 12 pens ...\\nHow many ... ** 12 + 5 = 17.\\nHow many ... at last?"
                                                                target "17 - 4 = 13. The answer is 13."
    loss      L_ask = - sum_j log P(q_j | q_<j, s_<j, problem)    L_solve = - sum_j log P(s_j | q_<=j, s_<j, problem)
              each a mean over its targets' tokens, the end token included; shared weights: the sum of both means
    answer    ask, solve, ask, ... until the decomposer is done; the chain put together is read as a teacher's is

| mode        | who writes what                                                                                  |
|-------------|--------------------------------------------------------------------------------------------------|
| `iterative` | one sub-question at a time, knowing the earlier ones and their solutions                         |
| `at-once`   | the decomposer writes all sub-questions from the problem alone, then they are solved one by one  |
| `unified`   | one student writes all sub-questions and solutions in one text                                   |

With `guidance` the decomposer is shown the calculations of the solution ("12 + 5; 17 - 4"), or their operators ("+; -"),
and so the number of steps. In training they are those of the learned steps; at test time a third student, the
planner, predicts them from the question. `guide = "gold-upper-bound"` takes them from the test question's own solution:
it is told what it should find out, so that figure is a bound, not a result.

With `solver = "program"` a step's solution is cut to its calculation, `result = 12 + 5`, which the sandbox runs; a
chain with a step that states none, or whose last value is not the answer, teaches nothing.

What differs from the original, of which no code is published: the losses are means a token over an optimiser step, not
sums; the end is written out ("No more questions."), not an end token alone; the last solution ends in the task's cue and
answer, so that one reader serves teacher and students; programs are ours. The sub-questions of GSM8K's Socratic edition
were written by a model that saw the steps they ask for, so they partly give them away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from understudy.answers import kind
from understudy.formats import Cot, Program, Socratic
from understudy.formats.program import ran
from understudy.formats.socratic import SEPARATOR, steps
from understudy.methods.method import Keep, Method, Role, Source, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Completion, Example, Fault, Prediction, Question, Rationale
from understudy.sandbox.expressions import ExpressionError, evaluate
from understudy.tasks.task import Task

DONE = "No more questions."
"""What the decomposer says after the last step."""
RESULT = "result = "
"""How a step's program begins."""
UNKNOWN = "?"
"""The guidance of a step that states no calculation."""
_EQUATION = re.compile(r"([-−+*/×÷(\d][-−+*/×÷().,\d ]{0,120}[\d)])\s*=\s*(-?[\d,]{0,20}\.?\d{1,20})")
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])")
_OPERATOR = re.compile(r"(?<=[\d)] )[-+*/]")


class Step(NamedTuple):
    """One step of a chain: what is `asked`, how it is `solved` as later steps see it, and what the solver has `written`."""

    asked: str
    solved: str
    written: str

    def __str__(self) -> str:
        return f"{self.asked}{SEPARATOR}{self.solved}"


class SocraticCot(Method):
    """Socratic CoT: a decomposer asks sub-questions, a solver answers each; the last solution holds the answer."""

    name = "socratic"
    mode: Literal["iterative", "at-once", "unified"] = "iterative"
    """Sub-questions one at a time, all at once before the first is solved, or written by one student with their solutions."""
    weights: Literal["separate", "shared"] = "separate"
    """Two students, or one with two tasks that are told apart by a prefix; `unified` always is one."""
    steps: Literal["teacher", "human"] = "teacher"
    """Who writes the steps that are learned: the teacher, or the humans of the task."""
    keep: Keep = "right"
    """Which chains of steps to learn from."""
    guidance: Literal["none", "operators", "equations"] = "none"
    """What the decomposer is shown of the solution's calculations."""
    guide: Literal["predicted", "gold-upper-bound"] = "predicted"
    """Whence the guidance at test time: a planner, trained first, or the gold solution, which gives an upper bound only."""
    solver: Literal["text", "program"] = "text"
    """What solves a step: text, or a program of one line that the sandbox runs."""
    stop: Literal["decomposer", "solver"] = "decomposer"
    """Who ends it: the decomposer, which has nothing more to ask, or the solver, which has stated the answer."""
    max_steps: int = Field(12, ge=1)
    """Most steps of an answer; GSM8K has up to 11."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.solver == "program" and self.mode == "unified":
            raise ValueError('mode = "unified" has no solver of its own, so solver = "program" cannot be')
        if self.solver == "program" and self.stop == "solver":
            raise ValueError('a program states no answer to stop at: solver = "program" needs stop = "decomposer"')
        if self.guide == "gold-upper-bound" and self.guidance == "none":
            raise ValueError('guide = "gold-upper-bound" needs guidance = "operators" or "equations"')
        return self

    def refuses(self, task: Task) -> str | None:
        if "socratic" not in task.human_formats and "human" in (self.steps, self._test_guide):
            return f"it needs steps with sub-questions that come with the task; {task.name} has none"
        if self._calculates and task.answer_kind.name not in ("number", "expression"):
            return f"it needs steps that are calculations; those of {task.name} lead to no number ({task.answer_kind.name})"
        return None

    def roles(self) -> Sequence[Role]:
        source = Source("steps", Socratic(), self.steps, samples=1 if self.steps == "human" else None, keep=self.keep)
        planner = [Role("planner", (source,), objectives={"plan": 1.0})] if self._test_guide == "planner" else []
        if self.mode == "unified":
            return [*planner, Role("student", (source,), objectives={"steps": 1.0})]
        if self.weights == "shared":
            return [*planner, Role("student", (source,), objectives={"ask": 1.0, "solve": 1.0})]
        decomposer = Role("decomposer", (source,), objectives={"ask": 1.0})
        return [*planner, decomposer, Role("solver", (source,), objectives={"solve": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["steps"]:
            chain = self._taught(task, rationale)
            if not chain:
                continue
            plan = self._plan(rationale)
            if "plan" in role.objectives:
                yield Example(question.id, _prompt("plan: ", question), plan, "plan")
            if "steps" in role.objectives:
                yield Example(question.id, self._ask("", question, plan), Socratic().write(task, rationale), "steps")
            if "ask" in role.objectives:
                yield from self._asking(question, plan, chain)
            if "solve" in role.objectives:
                for number, step in enumerate(chain):
                    prompt = _prompt("solve: ", question, *map(str, chain[:number]), step.asked)
                    yield Example(question.id, prompt, step.written, "solve")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        said: list[Completion] = []
        plan = yield from self._guided(task, question, said)
        guidance = {"plan": plan, "guide": self.guide} if self.guidance != "none" else {}
        if self.mode == "unified":
            [[whole]] = yield [Ask("student", self._ask("", question, plan))]
            found = yield from Socratic().read(task, question, whole)
            return predict(found, [*said, whole], steps=steps(whole.text), **guidance)
        chain: list[Step] = []
        waiting: list[str] = []
        ended = "cap"
        fault: Fault | None = None
        while len(chain) < self.max_steps and ended == "cap":
            if self.mode == "iterative" or not chain:
                [[asked]] = yield [Ask(self._role("decomposer"), self._ask("ask: ", question, plan, chain))]
                said.append(asked)
                waiting = [" ".join(line.split()) for line in asked.text.split("\n") if line.strip()]
            if not waiting or waiting[0] == DONE:
                ended = "decomposer"
                break
            step = yield from self._solve(task, question, chain, waiting.pop(0), said)
            if isinstance(step, Fault):
                ended, fault = "fault", step
                break
            chain.append(step)
            if self.stop == "solver" and task.cue in step.solved:
                ended = "solver"
        found = fault or (yield from self._read(task, question, chain, said))
        pairs = [(step.asked, step.solved) for step in chain]
        status = {"status": ran(found)} if self.solver == "program" and (chain or fault) else {}
        return predict(found, said, steps=pairs, ended=ended, **guidance, **status)

    def _solve(
        self, task: Task, question: Question, chain: Sequence[Step], asked: str, said: list[Completion]
    ) -> Procedure[Step | Fault]:
        """The step that answers the sub-question `asked`, after the chain so far."""
        [[completion]] = yield [Ask(self._role("solver"), _prompt("solve: ", question, *map(str, chain), asked))]
        said.append(completion)
        written = " ".join(completion.text.split())
        if self.solver == "text":
            return Step(asked, written, completion.text)
        found = yield from Program().read(task, question, completion)
        if isinstance(found, Fault):
            return found
        return Step(asked, f"{written.removeprefix(RESULT)} = {found.answer}", completion.text)

    def _read(
        self, task: Task, question: Question, chain: Sequence[Step], said: Sequence[Completion]
    ) -> Procedure[Rationale | Fault]:
        """The chain put together: its answer is what the last program gave, or what the format's reader finds."""
        text = "\n".join(map(str, chain))
        if self.solver == "program" and chain:
            return Rationale(text, chain[-1].solved.rpartition("= ")[2])
        whole = Completion(text, said[-1].finish, error=said[-1].error)
        return (yield from Socratic().read(task, question, whole))

    def _role(self, name: str) -> str:
        return "student" if self.weights == "shared" else name

    @property
    def _test_guide(self) -> str:
        """Who guides the decomposer at test time: `planner`, `human` (the gold steps), or nobody."""
        if self.guidance == "none":
            return ""
        return "planner" if self.guide == "predicted" else "human"

    @property
    def _calculates(self) -> bool:
        return self.guidance != "none" or self.solver == "program"

    def _guided(self, task: Task, question: Question, said: list[Completion]) -> Procedure[str]:
        """The guidance of a question that is to be answered."""
        if self._test_guide == "planner":
            [[planned]] = yield [Ask("planner", _prompt("plan: ", question))]
            said.append(planned)
            return " ".join(planned.text.split())
        gold = task.human(question, "socratic") if self._test_guide else None
        return "" if gold is None else self._plan(gold)

    def _plan(self, rationale: Rationale) -> str:
        """The guidance that leads to these steps: "12 + 5; 17 - 4" or "+; -"."""
        found = [calculation(solution) or UNKNOWN for _, solution in steps(rationale.text)]
        if self.guidance == "operators":
            found = ["".join(_OPERATOR.findall(one)) or UNKNOWN for one in found]
        return "; ".join(found)

    def _ask(self, prefix: str, question: Question, plan: str, chain: Sequence[Step] = ()) -> str:
        """What whoever decomposes is shown."""
        guidance = [] if self.guidance == "none" else [f"Plan: {plan}"]
        return _prompt(prefix, question, *guidance, *map(str, chain))

    def _asking(self, question: Question, plan: str, chain: Sequence[Step]) -> Iterable[Example]:
        """What the decomposer learns from a chain."""
        if self.mode == "at-once":
            asked = "\n".join(step.asked for step in chain)
            yield Example(question.id, self._ask("ask: ", question, plan), asked, "ask")
            return
        targets = [step.asked for step in chain] + ([DONE] if self.stop == "decomposer" else [])
        for number, target in enumerate(targets):
            yield Example(question.id, self._ask("ask: ", question, plan, chain[:number]), target, "ask")

    def _taught(self, task: Task, rationale: Rationale) -> list[Step]:
        """The steps of a kept rationale as they are learned; none if they cannot be."""
        pairs = steps(rationale.text)
        if self.solver == "text":
            solutions = [solution for _, solution in pairs]
            last = Cot().write(task, Rationale(solutions.pop(), rationale.answer)) if pairs else ""
            solutions.append(last)
            return [Step(asked, solved, solved) for (asked, _), solved in zip(pairs, solutions, strict=False)]
        found = [(asked, calculation(solution)) for asked, solution in pairs]
        chain = [Step(asked, f"{sum_} = {_value(sum_)}", f"{RESULT}{sum_}") for asked, sum_ in found if sum_]
        reached = rationale.answer is not None and bool(chain) and len(chain) == len(pairs)
        if reached and task.answer_kind.same(_value(chain[-1].written.removeprefix(RESULT)), rationale.answer or ""):
            return chain
        return []


def calculation(solution: str) -> str | None:
    """The last calculation that a solution states with its value, tokens apart: "12 / 60" of "earns 12/60 = $0.20."

    A statement that is not true (within a hundredth, for values are rounded) is none.
    """
    plain = _TIMES.sub(" * ", solution.replace("$", ""))
    for left, right in reversed(_EQUATION.findall(plain)):
        found = kind("expression").read(left)
        try:
            if found and _OPERATOR.search(found) and abs(evaluate(found) - evaluate(right)) <= Fraction(1, 100):
                return found
        except ExpressionError:
            continue
    return None


def _value(calculation: str) -> str:
    """The value of a calculation in the notation of numbers, as its program gives it."""
    return kind("number").from_value(float(evaluate(calculation))) or ""


def _prompt(prefix: str, question: Question, *lines: str) -> str:
    return "\n".join([f"{prefix}{question.text}", *lines])
