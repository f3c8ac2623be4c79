"""A dry run: every step of a method on one question, without asking a model, running a program or training.

    dry_run(task, method, question)    # -> Rehearsal(reason="", examples=(Example(...),), prompts=("Q: ...",))

It shows whether a task and a method fit before anything is spent. The matrix in the docs is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from understudy.methods import Method
from understudy.procedures import Ask
from understudy.records import Example, Question, Rationale
from understudy.tasks import Task


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a dry run came to.

    Attributes:
        reason: why the method does not run on the task; "" if it does.
        examples: what its roles would learn from the question.
        prompts: what the teacher and the students would be asked first.
    """

    reason: str
    examples: tuple[Example, ...] = ()
    prompts: tuple[str, ...] = ()


def dry_run(task: Task, method: Method, question: Question) -> Rehearsal:
    """Walk through `method` on `question`, with a worked example of the task, or a made-up rationale, for every source."""
    reason = method.refuses(task)
    if reason:
        return Rehearsal(reason)
    examples: list[Example] = []
    prompts: list[str] = []
    for role in method.roles():
        found = {}
        for source in role.sources:
            shown = task.demonstrations(source.format.name)
            prompts.append(source.format.prompt(task, question, shown))
            rationale = shown[0][1] if shown else Rationale(source.format.made_up, question.answer)
            found[source.name] = [replace(rationale, correct=True)]
        examples += method.examples(task, role, question, found)
    calls = next(method.answer(task, question))
    prompts += [call.prompt for call in calls if isinstance(call, Ask)]
    return Rehearsal("", tuple(examples), tuple(prompts))
