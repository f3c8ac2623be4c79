"""The training questions that `fraction` leaves: drawn by their ids, so that a quarter lies within a half.

    subset = Subset(task.questions("train"), 0.25, seed=0)
    question in subset            # whether it is one of them
    subset.size                   # a quarter of those with a gold answer, and a quarter of those without, both rounded up

Every question has a place that follows from (seed, id), and the first places are taken. It is no split: what is held
out for validation is held out of these, and all other splits stay whole.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from understudy.procedures import derive_seed
from understudy.records import Question


class Subset:
    """A share of some questions.

    Attributes:
        size: how many they are.
    """

    def __init__(self, questions: Iterable[Question], fraction: float, seed: int) -> None:
        self._seed = seed
        places = {True: array("Q"), False: array("Q")}
        for question in questions:
            places[question.answer is not None].append(self._place(question))
        counts = {gold: math.ceil(fraction * len(found) - 1e-9) for gold, found in places.items()}
        self.size = sum(counts.values())
        self._last = {gold: sorted(found)[counts[gold] - 1] if found else 0 for gold, found in places.items()}

    def __contains__(self, question: Question) -> bool:
        return self._place(question) <= self._last[question.answer is not None]

    def _place(self, question: Question) -> int:
        return derive_seed("fraction", self._seed, question.id)
