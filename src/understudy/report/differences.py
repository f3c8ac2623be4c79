"""How the best run stands to each of the others on the same questions: paired differences, split by split.

    {"split": "test", "best": "pad", "other": "step-by-step", "n": 400, "difference": 0.655, "low": 0.6, "high": 0.703,
     "best_only": 265, "other_only": 3, "p": 1.3e-72}

Runs are paired where they answered questions of the same id and text. It says nothing of other seeds:
`evidence/comparison.py` takes several runs of a way, and says what the figures are.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.evidence.comparison import compare
from understudy.records import Json
from understudy.report.view import RunView


def differences(runs: Sequence[RunView]) -> list[Json]:
    """The best run of each split against every other one that shares questions with it, the closest first."""
    found = []
    for split in dict.fromkeys(split for run in runs for split in run.right):
        answered = [run for run in runs if split in run.right and split in run.splits]  # both, if it was not stopped
        measured = [run for run in answered if run.splits[split]["accuracy"] is not None]
        if not measured:
            continue
        best = max(measured, key=lambda run: float(run.splits[split]["accuracy"]))
        rows = [_row(split, best, other) for other in measured if other is not best]
        found += sorted(filter(None, rows), key=lambda row: float(row["difference"]))
    return found


def _row(split: str, best: RunView, other: RunView) -> Json | None:
    found = compare([best.right[split]], [other.right[split]])
    if found is None:
        return None
    return {
        "split": split,
        "best": best.label,
        "other": other.label,
        "n": found.n,
        "difference": found.value,
        "low": found.interval.low,
        "high": found.interval.high,
        "best_only": found.first_only,
        "other_only": found.second_only,
        "p": found.p,
    }
