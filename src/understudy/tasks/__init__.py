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
        "anli": "understudy.tasks.anli:Anli",
        "asdiv": "understudy.tasks.asdiv:Asdiv",
        "coin-flip": "understudy.tasks.coin_flip:CoinFlip",
        "cqa": "understudy.tasks.cqa:Cqa",
        "esnli": "understudy.tasks.esnli:Esnli",
        "gsm-hard": "understudy.tasks.gsmhard:Gsmhard",
        "gsm8k": "understudy.tasks.gsm8k:Gsm8k",
        "kinfolk": "understudy.tasks.kinfolk:Kinfolk",
        "last-letters": "understudy.tasks.last_letters:LastLetters",
        "local": "understudy.tasks.local:Local",
        "multiarith": "understudy.tasks.multiarith:Multiarith",
        "strategyqa": "understudy.tasks.strategyqa:Strategyqa",
        "svamp": "understudy.tasks.svamp:Svamp",
        "wordsums": "understudy.tasks.wordsums:Wordsums",
    },
)

__all__ = ["TASKS", "Task"]
