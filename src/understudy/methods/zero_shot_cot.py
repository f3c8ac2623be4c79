"""Zero-shot CoT (Kojima et al. 2022, arXiv 2205.11916): the teacher alone, without worked examples, in two asks.

    ask       "Q: Mia has 12 pens ...\\nA: Let's think step by step."                        -> the reasoning
    ask       the same, the reasoning, "Therefore, the answer (arabic numerals) is"          -> the answer

How it is asked and read, and what differs from the original, stands in `formats/zero_shot.py`; the same format lets a
teacher write rationales for a student (`single-task`). Every answer costs two calls to the teacher.
"""

from __future__ import annotations

from typing import Literal

from understudy.formats import Format, ZeroShotCot
from understudy.methods.method import TeacherAlone, predict
from understudy.procedures import Procedure
from understudy.records import Prediction, Question
from understudy.tasks.task import Task


class ZeroShotCotAlone(TeacherAlone):
    """Zero-shot CoT: the teacher answers by itself, reasoning without worked examples, and is then asked for the answer."""

    name = "zero-shot-cot"
    demonstrations: Literal[0] = 0
    """None: that is what zero-shot means."""

    @property
    def format(self) -> Format:
        return ZeroShotCot()

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        completion = yield from self.ask(task, question)
        return predict((yield from self.format.read(task, question, completion)), [completion])
