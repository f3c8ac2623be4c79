r"""The format `cot` asked for without worked examples: zero-shot CoT (Kojima et al. 2022, arXiv 2205.11916). Two asks:

    Q: Mia has 12 pens and buys 5 more. How many pens does she have?
    A: Let's think step by step.                             ->  Mia has 12 + 5 = 17 pens.
    ... Mia has 12 + 5 = 17 pens.
    Therefore, the answer (arabic numerals) is               ->  17

The first reply is the rationale, the second, at most 32 tokens and greedy, its answer. Both together, with the words in
between, are the completion that is kept.

What differs from the original: what the model wrote after a new question of its own is cut off before the second ask;
the answer is read strictly, by the task's kind of answer, where theirs is the first number or word that fits; for a
question with choices the second ask says "among the choices", not "among A through E".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from understudy.formats.cot import Cot
from understudy.formats.format import Format, Reading, claimed, cut_run_on, cut_short, lenient, unanswered, unreadable
from understudy.procedures import Ask, Procedure
from understudy.records import Completion, Question, Rationale, Sampling
from understudy.tasks.task import Task

THINK = "Let's think step by step."
_IN_FORM = {"number": " (arabic numerals)", "expression": " (arabic numerals)", "yes_no": " (Yes or No)"}
_EXTRACTING = Sampling(max_tokens=32)


@dataclass(frozen=True, slots=True)
class ZeroShotCot(Format):
    """Reasoning in text after "Let's think step by step.", then the answer, asked for by itself."""

    name = "cot"
    worked = False
    cue = f"A: {THINK}"

    def instructions(self, task: Task, question: Question) -> str:
        return THINK

    def prompt(
        self,
        task: Task,
        question: Question,
        demonstrations: Sequence[tuple[Question, Rationale]],
        opening: str | None = None,
    ) -> str:
        """The question and the cue; no worked example, whatever there is."""
        return self.show(task, question, None)

    def ask(
        self,
        task: Task,
        role: str,
        prompt: str,
        n: int = 1,
        seed: int | None = None,
        turns: tuple[tuple[str, str], ...] = (),
        first: int = 0,
    ) -> Procedure[list[Completion]]:
        """`n` rationales, then the answer of each; one without a text is not asked for its answer."""
        found = list((yield from Format.ask(self, task, role, prompt, n, seed, turns, first)))
        reasoned = [i for i, completion in enumerate(found) if unanswered(completion) is None]
        if reasoned:
            texts = [cut_run_on(task, found[i].text).strip() for i in reasoned]
            replies = yield [self._extract(task, role, prompt, turns, text) for text in texts]
            for i, text, [answer] in zip(reasoned, texts, replies, strict=True):
                found[i] = _joined(found[i], f"{text}\n{_trigger(task)}", answer)
        return found

    def _extract(self, task: Task, role: str, prompt: str, turns: tuple[tuple[str, str], ...], text: str) -> Ask:
        more = (("assistant", text), ("user", _trigger(task))) if turns else ()
        return Ask(role, f"{prompt} {text}\n{_trigger(task)}", sampling=_EXTRACTING, turns=(*turns, *more))

    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        reasoning, asked, answered = completion.text.rpartition(f"\n{_trigger(task)}")
        if not asked:  # not asked for by `ask`, but recorded
            return (yield from Cot().read(task, question, completion))
        claim = claimed(answered.strip().split("\n", 1)[0].rpartition(task.cue)[2])
        if cut := cut_short(completion, claim):
            return cut
        answer = task.answer_kind.read(claim, question.choices)
        if answer is not None:
            return Rationale(reasoning.strip(), answer)
        fault = unreadable(completion.text, completion, "no_answer")
        return fault if fault.slug != "no_answer" else Rationale(reasoning, None, lenient(task, question, answered))

    def write(self, task: Task, rationale: Rationale) -> str:
        return rationale.text if rationale.answer is None else f"{rationale.text}\n{_trigger(task)} {rationale.answer}"


def _trigger(task: Task) -> str:
    kind = task.answer_kind.name
    among = " among the choices," if kind == "choice" else ""
    return f"Therefore,{among} the answer{_IN_FORM.get(kind, '')} is"


def _joined(reasoning: Completion, text: str, answer: Completion) -> Completion:
    """Both replies as one completion, with the tokens of both; one that brought no answer for want of a reply has failed."""
    if answer.finish in ("failed", "refused"):
        return answer
    return Completion(
        f"{text} {answer.text.strip()}",
        "length" if "length" in (reasoning.finish, answer.finish) else "stop",
        answer.model,
        _sum(reasoning.prompt_tokens, answer.prompt_tokens),
        _sum(reasoning.completion_tokens, answer.completion_tokens),
    )


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
