"""What the verdicts of a run add up to, split by split: accuracy with its interval, and how the texts fail.

It counts what evaluation graded; it grades nothing itself, and it compares no two methods (a paired test does that).

    row       {"split": "test", "question": "q1", "result": "wrong", "answer": "7", "gold": "8", "texts": ["..."],
               "evidence": {"finish": ["stop"], "completion_tokens": [31], "status": "ok"}}
    object    {"n": 200, "correct": 131, "wrong": 60, "no_answer": 9, "error": 0, "accuracy": 0.655,
               "interval": [0.587, 0.717], "lenient_accuracy": 0.67, "lenient_interval": [0.602, 0.731],
               "confidence": 0.95, "parsable": 0.955, "executable": 0.965, "programs": 200,
               "truncated": 0.0, "repeated": 0.01, "faults": {"name_error": 7, "timeout": 2}, "exact": 0.655,
               "coverage": None, "completion_tokens": 41.3}

| key                 | share of                                                                                      |
|---------------------|-----------------------------------------------------------------------------------------------|
| `accuracy`          | correct, of the judged: n minus error, since an error is not the model's fault                |
| `lenient_accuracy`  | as `accuracy`, but where the strict reader found no answer, the last one in the text counts    |
| `parsable`          | with a readable answer, right or wrong, of the judged                                         |
| `executable`        | programs that ran to their end (status `ok`), of the `programs` the procedure wanted to run   |
| `truncated`         | rows with a completion cut at its token limit, of the judged rows that say how they finished  |
| `repeated`          | rows with a text that ends in a loop (`loops`), of the judged rows with a text                |
| `exact`             | answers that are the gold one letter by letter, not by value alone, of the judged             |
| `coverage`          | not a share: a point for every agreement of the votes (`agreement`); None without votes       |
| `completion_tokens` | not a share: mean tokens written for one question, over all its calls, where they are known   |

What has nothing to be a share of is None, never 0 or NaN.

A point of `coverage` says what comes of answering only where at least this share of the samples agrees, and leaving the
other questions open: {"agreement": 0.9, "coverage": 0.62, "n": 124, "accuracy": 0.95, "interval": [0.9, 0.976]}.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

from understudy.errors import DataError
from understudy.records import Json

CONFIDENCE = 0.95
MIN_REPEATS = 4
MAX_BLOCK = 20
_RESULTS = ("correct", "wrong", "no_answer", "error")


class Interval(NamedTuple):
    """A confidence interval of a share, both ends in 0..1."""

    low: float
    high: float


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """The score interval of a share of `k` in `n`; None if `n` is 0, for an empty set has no share.

    Unlike the textbook interval (share plus or minus z standard errors) it stays within 0..1 and keeps a width at 0
    and `n`. Both may be fractions where they stand for an effective number of trials.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927), 209-212;
    advised for small n by Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, Statist. Sci. 16
    (2001), 101-133.

    Raises:
        ValueError: not 0 <= k <= n, or `confidence` is not strictly between 0 and 1.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} of n = {n}; expected 0 <= k <= n")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence}; expected a share strictly between 0 and 1, e.g. 0.95")
    if n == 0:
        return None
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = k / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half)


def loops(text: str) -> bool:
    """Whether `text` ends in a loop: its last words are at least 4 copies in a row of one block of 1 to 20 words.

    A word is what stands between blanks. The block holds a letter or a digit, so closing brackets are no loop, and the
    very last word may be cut short, as it is where a token limit ended the text.
    """
    words = text.split(None)[-MIN_REPEATS * MAX_BLOCK :]
    for size in range(1, min(MAX_BLOCK, len(words) // MIN_REPEATS) + 1):
        tail = words[-MIN_REPEATS * size :]
        expected = tail[: len(tail) - size]
        if (
            tail[size:-1] == expected[:-1]
            and expected[-1].startswith(tail[-1])
            and any(map(str.isalnum, "".join(tail)))
        ):
            return True
    return False


class Tally:
    """Counts the verdicts of one split, row by row, in constant memory.

    tally = Tally()
    for row in rows:
        tally.add(row)
    tally.to_json()["accuracy"]
    """

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        self._finished = _Share()
        self._texts = _Share()
        self._agreements: Counter[float] = Counter()
        self._agreed_right: Counter[float] = Counter()
        self._lenient = 0
        self._exact = 0
        self._tokens = 0
        self._tokens_of = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one verdict, as a row of `predictions.jsonl`.

        Raises:
            DataError: its `result` is none of the four.
        """
        result = row.get("result")
        if result not in _RESULTS:
            raise DataError(
                f"the verdict on {row.get('question')!r} has result {result!r}; expected one of {', '.join(_RESULTS)}. "
                "Evaluate again"
            )
        self.results[result] += 1
        if fault := row.get("fault"):
            self.faults[fault] += 1
        if result == "error":
            return
        evidence = row.get("evidence") or {}
        self._lenient += result == "no_answer" and evidence.get("lenient_result") == "correct"
        self._exact += row.get("answer") is not None and row.get("answer") == row.get("gold")
        if (agreement := evidence.get("agreement")) is not None:
            self._agreements[agreement] += 1
            self._agreed_right[agreement] += result == "correct"
        finish, texts = _listed(evidence.get("finish")), row.get("texts") or ()
        if finish:
            self._finished.add("length" in finish)
        if texts:
            self._texts.add(any(map(loops, texts)))
        self._programs.update(_listed(evidence.get("status")))
        tokens = _listed(evidence.get("completion_tokens"))
        if tokens and None not in tokens:
            self._tokens += sum(tokens)
            self._tokens_of += 1

    def to_json(self) -> Json:
        """The object of this module's docstring."""
        n, errors = self.results.total(), self.results["error"]
        judged, correct = n - errors, self.results["correct"]
        # an engine that cannot run a program has not shown that the program is at fault
        programs = self._programs.total() - self._programs["unsupported"]
        interval, lenient = wilson(correct, judged), wilson(correct + self._lenient, judged)
        return {
            "n": n,
            **{result: self.results[result] for result in _RESULTS},
            "accuracy": _share(correct, judged),
            "interval": None if interval is None else list(interval),
            "lenient_accuracy": _share(correct + self._lenient, judged),
            "lenient_interval": None if lenient is None else list(lenient),
            "confidence": CONFIDENCE,
            "parsable": _share(judged - self.results["no_answer"], judged),
            "executable": _share(self._programs["ok"], programs),
            "programs": programs,
            "truncated": self._finished.value,
            "repeated": self._texts.value,
            "faults": dict(sorted(self.faults.items(), key=lambda item: (-item[1], item[0]))),
            "exact": _share(self._exact, judged),
            "coverage": list(self._coverage(judged)) if self._agreements else None,
            "completion_tokens": _share(self._tokens, self._tokens_of),
        }

    def _coverage(self, judged: int) -> Iterator[Json]:
        """The coverage-accuracy curve, from the questions that all samples agree on to all that have an answer."""
        n = right = 0
        for agreement in sorted(filter(None, self._agreements), reverse=True):
            n, right = n + self._agreements[agreement], right + self._agreed_right[agreement]
            yield {
                "agreement": agreement,
                "coverage": n / judged,
                "n": n,
                "accuracy": right / n,
                "interval": list(wilson(right, n) or ()),
            }


class _Share:
    """How many of those counted were so."""

    def __init__(self) -> None:
        self._k = self._n = 0

    def add(self, so: bool) -> None:
        self._k += so
        self._n += 1

    @property
    def value(self) -> float | None:
        return _share(self._k, self._n)


def _share(k: int, n: int) -> float | None:
    return k / n if n else None


def _listed(value: Any) -> list[Any]:
    """A value that evidence may hold once or once a completion."""
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def summarise(rows: Iterable[Mapping[str, Any]]) -> dict[str, Json]:
    """The metrics of every split in `rows`, in the order in which the splits first appear: what `metrics.json` holds.

    Raises:
        DataError: a row has no `split`, or a `result` that is none of the four.
    """
    tallies: dict[str, Tally] = {}
    for row in rows:
        split = row.get("split")
        if not isinstance(split, str):
            raise DataError(
                f"the verdict on {row.get('question')!r} has split {split!r}; expected a name. Evaluate again"
            )
        tallies.setdefault(split, Tally()).add(row)
    return {split: tally.to_json() for split, tally in tallies.items()}
