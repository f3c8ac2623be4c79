"""How far two ways of answering are apart on the same questions, and how sure that is: a paired comparison.

Two intervals that overlap say little: both students find the same questions hard, and comparing question by question takes
that out. It grades nothing and knows no runs: it takes which questions were answered right.

    one way    [{"q1": True, "q2": False, "q3": True}]          one mapping a seed
    other      [{"q1": True, "q2": True, "q3": True}]
    compare    Difference(n=3, value=-0.333, interval=(-0.856, 0.456), by_seed=[-0.333], first_only=0, second_only=1, p=1.0)

The interval is about which questions were drawn. How much hangs on the seed of a training is another matter, which three
seeds cannot put into an interval: `by_seed` shows it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from understudy.evidence.metrics import CONFIDENCE, Interval, wilson

Right = Mapping[str, bool]
"""Which questions were answered right, by their `key`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of one way less that of another, over the same questions.

    Attributes:
        n: questions that all runs of both ways were judged on; the others are left out.
        value: difference of the accuracies, -1 to 1, the mean over the seeds.
        interval: for `value`, at the confidence of `metrics.CONFIDENCE`.
        by_seed: the difference of each pair of seeds, in order.
        first_only, second_only: questions that one way got right and the other wrong; only for one run of each, else None.
        p: two-sided exact McNemar test that the two are equally good; only for one run of each, else None.
    """

    n: int
    value: float
    interval: Interval
    by_seed: Sequence[float]
    first_only: int | None = None
    second_only: int | None = None
    p: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return not self.interval.low <= 0 <= self.interval.high


def answered_right(rows: Iterable[Mapping[str, Any]], split: str) -> dict[str, bool]:
    """Which questions of a split were answered right, from rows of `predictions.jsonl`; those not judged are left out."""
    return {key(row): row["result"] == "correct" for row in rows if row.get("split") == split and is_judged(row)}


def is_judged(row: Mapping[str, Any]) -> bool:
    """Whether a row counts; an error of the machinery is nobody's wrong answer."""
    return row.get("result") != "error"


def key(row: Mapping[str, Any]) -> str:
    """What a question is known by: its id and its text, for another data set may have the same ids."""
    text = str(row.get("question_text", ""))
    return f"{row['question']} {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def compare(first: Sequence[Right], second: Sequence[Right], confidence: float = CONFIDENCE) -> Difference | None:
    """The paired difference of two ways, each run with the same seeds; None if no question was judged in all runs.

    The interval is Bonett and Price's adjusted Wald interval for paired proportions: the normal interval after two
    questions are added, one that only the first way gets right and one that only the second does. With several seeds a
    question's difference is its mean over them, a number from -1 to 1 instead of one of -1, 0 and 1.

    Source: D. G. Bonett and R. M. Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data, J. Educ. Behav. Stat. 37 (2012), 479-488. The test: Q. McNemar, Psychometrika 12 (1947), 153-157, exact.

    Raises:
        ValueError: not as many runs of one as of the other, or none.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} runs against {len(second)}; expected the same seeds of both, at least one")
    shared = [question for question in first[0] if all(question in right for right in (*first, *second))]
    if not shared:
        return None
    n = len(shared)
    differences = [
        sum(one[question] - other[question] for one, other in zip(first, second, strict=True)) / len(first)
        for question in shared
    ]
    by_seed = [
        sum(one[question] - other[question] for question in shared) / n
        for one, other in zip(first, second, strict=True)
    ]
    interval = _adjusted_wald(differences, confidence)
    value = math.fsum(differences) / n
    if len(first) > 1:
        return Difference(n, value, interval, by_seed)
    ahead, behind = differences.count(1), differences.count(-1)
    return Difference(n, value, interval, by_seed, ahead, behind, mcnemar(ahead, behind))


def accuracy(runs: Sequence[Right], confidence: float = CONFIDENCE) -> tuple[float, Interval] | None:
    """The mean accuracy of runs that differ in their seed, with an interval; None if no question was judged in all.

    The same questions were answered every time, so three runs are less than three times the evidence of one. The interval
    is Wilson's, for as many questions as would have so small an error with one run: the effective sample size n* =
    p (1 - p) / (s^2 / n), s^2 the variance of the questions' shares of right answers.

    Source: E. L. Korn and B. I. Graubard, Confidence Intervals for Proportions with Small Expected Number of Positive Counts
    Estimated from Survey Data, Survey Methodology 24 (1998), 193-201, with Wilson's interval in place of theirs.
    """
    shared = [question for question in runs[0] if all(question in right for right in runs)] if runs else []
    if not shared:
        return None
    n = len(shared)
    shares = [sum(right[question] for right in runs) / len(runs) for question in shared]
    mean = math.fsum(shares) / n
    spread = math.fsum((share - mean) ** 2 for share in shares)
    size = n * n * mean * (1 - mean) / spread if spread else n
    interval = wilson(mean * size, size, confidence)
    return None if interval is None else (mean, interval)


def _adjusted_wald(differences: Sequence[float], confidence: float) -> Interval:
    n = len(differences) + 2
    mean = math.fsum(differences) / n
    squares = math.fsum(d * d for d in differences) + 2
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(max(0.0, squares / n - mean * mean) / n)
    return Interval(max(-1.0, mean - half), min(1.0, mean + half))


def mcnemar(first_only: int, second_only: int) -> float:
    """The probability of so uneven a split of the questions that one way alone got right, or a more uneven one, by chance."""
    n = first_only + second_only
    ways = math.lgamma(n + 1) - n * math.log(2)
    tail = (ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * math.fsum(map(math.exp, tail)))
