"""Tasks: one file a data set. A task says how a question is shown, what an answer is, and how it is graded.

task, problems = TASKS.make(Part(name="wordsums"))
next(task.questions("train"))   # Question(id="train-0", text="Mia has 12 pens. ...", answer="34")
task.grade("34.0", question)    # True
"""

from __future__ import annotations

from understudy.registry import Registry
from understudy.tasks.task import Task

TASKS: Registry[Task] = Registry(
    "task",
    {
        "local": "understudy.tasks.local:Local",
        "svamp": "understudy.tasks.svamp:Svamp",
        "wordsums": "understudy.tasks.wordsums:Wordsums",
    },
)

__all__ = ["TASKS", "Task"]
