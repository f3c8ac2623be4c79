"""The rows that compare runs: one for each run and split, as objects, as aligned text, and as one sentence.

    {"run": "wordsums-pad", "method": "pad", "task": "wordsums", "teacher": "scripted", "student": "scratch:gpt2-tiny",
     "split": "test", "fraction": 1.0, "n": 400, "error": 0, "accuracy": 0.93, "low": 0.9, "high": 0.95,
     "lenient_accuracy": 0.93, "parsable": 0.99,
     "executable": 0.99, "truncated": 0.0, "repeated": 0.0, "parameters": 1200000, "completion_tokens": 41.3,
     "train_seconds": 130.0, "asked": 4000, "kept": 3712, "teacher_tokens": 812345, "teacher_usd": "0.41",
     "teacher_unpriced": None}

A run that is not evaluated has one row with `split` None. What is not known is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from understudy.records import Json
from understudy.report.view import RunView, read_runs

NOTHING = "–"


def table(runs: Sequence[Path]) -> list[Json]:
    """One row for each run and split, in the order given.

    Raises:
        RunError, DataError: a directory is not a run's, or a file in it is broken.
    """
    return rows_of(read_runs(runs))


def rows_of(runs: Sequence[RunView]) -> list[Json]:
    """As `table`, of runs that are read already."""
    return [_row(run, split) for run in runs for split in run.splits or (None,)]


def _row(run: RunView, split: str | None) -> Json:
    metrics = run.splits[split] if split is not None else {}
    low, high = metrics.get("interval") or (None, None)
    seconds = [role.seconds for role in run.roles if role.seconds is not None]
    teacher = [source.funnel for source in run.sources if source.funnel.get("by") == "teacher"]
    tokens = sum((funnel.get("prompt_tokens") or 0) + (funnel.get("completion_tokens") or 0) for funnel in teacher)
    return {
        "run": run.label,
        **{key: run.part(key) for key in ("method", "task", "teacher", "student")},
        "split": split,
        "fraction": run.config.get("fraction", 1.0),
        **{key: metrics.get(key) for key in ("n", "error", "accuracy")},
        "low": low,
        "high": high,
        **{key: metrics.get(key) for key in ("lenient_accuracy", "parsable", "executable", "truncated", "repeated")},
        "parameters": sum(role.summary.get("parameters") or 0 for role in run.roles) or None,
        "completion_tokens": metrics.get("completion_tokens"),
        "train_seconds": math.fsum(seconds) if seconds else None,
        **{key: _total(run, key) for key in ("asked", "kept")},
        "teacher_tokens": tokens or None,
        "teacher_usd": run.ledger.get("usd"),
        "teacher_unpriced": run.ledger.get("unpriced_tokens") or None,
    }


def _total(run: RunView, key: str) -> int | None:
    """A number of the funnels, over all sources; None while a source is not filtered."""
    done = [source.funnel[key] for source in run.sources if key in source.funnel]
    return sum(done) if done and len(done) == len(run.sources) else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its head, what it shows of a row, what it means, and its head where room is scarce."""

    head: str
    show: Callable[[Mapping[str, Any]], str]
    meaning: str
    numeric: bool = True
    brief: str = ""


def percent(share: float | None) -> str:
    """0.715 -> `71.5 %`."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def between(row: Mapping[str, Any]) -> str:
    """The interval of a row: `66.9–75.7`, in percent."""
    return NOTHING if row["low"] is None else f"{100 * row['low']:.1f}–{100 * row['high']:.1f}"


def points_between(row: Mapping[str, Any]) -> str:
    """A paired difference with its interval, in points: `65.5 (60.0 to 70.3)`."""
    return f"{100 * row['difference']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def amount(number: float | None) -> str:
    """1234567 -> `1.23 M`."""
    if number is None:
        return NOTHING
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size * 0.9995:
            return f"{number / size:.3g}{sign}"
    return f"{number:.3g}" if number % 1 else f"{number:.0f}"


def money(usd: str | Decimal) -> str:
    """12.3 -> `$12.30`, 0.00421 -> `$0.0042`."""
    exact = Decimal(usd)
    return f"${exact:.2f}" if exact >= Decimal("0.01") or not exact else f"${exact:.2g}"


def duration(seconds: float | None) -> str:
    """250 -> `4 min 10 s`."""
    if seconds is None:
        return NOTHING
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _price(row: Mapping[str, Any]) -> str:
    if row["teacher_usd"] is None:
        return NOTHING
    return ("≥ " if row.get("teacher_unpriced") else "") + money(row["teacher_usd"])


def _kept(row: Mapping[str, Any]) -> str:
    """Only where nothing is evaluated: elsewhere the accuracy says what it was good for."""
    return percent(row["kept"] / row["asked"]) if row["accuracy"] is None and row.get("asked") else NOTHING


def _lenient(row: Mapping[str, Any]) -> str:
    """Only where it differs from the accuracy."""
    share = row.get("lenient_accuracy")
    return NOTHING if share == row["accuracy"] else percent(share)


COLUMNS = (
    Column("run", lambda row: str(row["run"]), "the run's directory", numeric=False),
    Column("method", lambda row: row["method"] or NOTHING, "the way of distilling", numeric=False),
    Column("split", lambda row: row["split"] or "not evaluated", "the questions that were answered", numeric=False),
    Column("accuracy", lambda row: percent(row["accuracy"]), "share of the judged questions that are answered right"),
    Column(
        "95 % interval",
        between,
        "Wilson's score interval of the accuracy: chance of which questions were drawn, not of the training",
        brief="95 %",
    ),
    Column(
        "lenient",
        lambda row: _lenient(row),
        "accuracy if, where no answer stands in its place, the last one anywhere in the text counts",
    ),
    Column("kept", lambda row: _kept(row), "share of the completions that the filter kept, where nothing is evaluated"),
    Column("n", lambda row: NOTHING if row["n"] is None else str(row["n"] - (row["error"] or 0)), "questions judged"),
    Column(
        "parsable",
        lambda row: percent(row["parsable"]),
        "share of the judged questions with a readable answer",
        brief="parsed",
    ),
    Column(
        "executable", lambda row: percent(row["executable"]), "share of the programs that ran to their end", brief="ran"
    ),
    Column("truncated", lambda row: percent(row["truncated"]), "share cut at the token limit"),
    Column(
        "repeated",
        lambda row: percent(row["repeated"]),
        "share that ends in a loop: four or more copies of 1 to 20 words",
    ),
    Column(
        "learned from",
        lambda row: NOTHING if row.get("fraction", 1) == 1 else f"{100 * row['fraction']:g} %",
        "share of the training questions that was taken; where there is none, all of them",
        brief="data",
    ),
    Column("parameters", lambda row: amount(row["parameters"]), "of all students together", brief="params"),
    Column(
        "tokens", lambda row: amount(row["completion_tokens"]), "written for one question at answer time, on average"
    ),
    Column("training", lambda row: duration(row["train_seconds"]), "time to train all students"),
    Column(
        "teacher tokens",
        lambda row: amount(row["teacher_tokens"]),
        "read and written by the teacher for the training questions",
        brief="teacher",
    ),
    Column(
        "teacher cost",
        _price,
        "what this run paid its teacher, where the price is known; an answer from the store is not paid again; "
        "≥ where one of several teachers has no known price",
        brief="cost",
    ),
)
ALWAYS = frozenset({"run", "method", "split", "accuracy", "95 % interval", "n"})


def columns_for(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that have something to show for at least one of the rows."""
    return [column for column in COLUMNS if column.head in ALWAYS or any(column.show(row) != NOTHING for row in rows)]


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """`rows` as aligned plain text; columns with nothing to show, or no trouble to report, are left out."""
    untroubled = {head for head in ("truncated", "repeated") if not any(row[head] for row in rows)}
    columns = [column for column in columns_for(rows) if column.head not in untroubled]
    lines = [
        [column.brief or column.head for column in columns],
        *([column.show(row) for column in columns] for row in rows),
    ]
    lines = [["".join(c if c.isprintable() else "\ufffd" for c in cell) for cell in line] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    aligned = (
        "  ".join(
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n".join(aligned)


def verdict(rows: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]] = ()) -> str:
    """One sentence: which method, how good, how sure. Only rows of the same split of one task are compared.

    Args:
        rows: as `table` gives them.
        differences: the paired differences of the same runs (`report/differences.py`), where they are known.
    """
    measured = [row for row in rows if row["accuracy"] is not None]
    if not measured:
        return _unmeasured(rows)
    tasks = {row["task"] for row in measured}
    if len(tasks) > 1:
        runs = {row["run"] for row in measured}
        return f"{len(runs)} runs on {len(tasks)} tasks; accuracies of different tasks are not comparable"
    best, *others = sorted(
        (row for row in measured if row["split"] == measured[0]["split"]), key=lambda row: -row["accuracy"]
    )
    questions = " ".join(
        filter(None, (str(best["n"] - (best["error"] or 0)), best["task"], best["split"], "questions"))
    )
    score = f"{percent(best['accuracy'])} of {questions} right (95 % interval {between(best)} %)"
    return f"{_who(best, measured)} answers {score}" + (_lead(best, others[0], measured, differences) if others else "")


def _unmeasured(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the filter found, where it is done and nothing is evaluated."""
    filtered = [row for row in rows if row.get("asked")]
    if not filtered:
        names = ", ".join(dict.fromkeys(str(row["run"]) for row in rows))
        return f"{names}: not evaluated yet, so nothing can be said of how good it is"
    found = [f"{row['run']} keeps {row['kept']} of {row['asked']} completions ({_kept(row)})" for row in filtered]
    return f"{'; '.join(found)}; no student is evaluated yet"


def _lead(
    best: Mapping[str, Any],
    second: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    differences: Sequence[Mapping[str, Any]],
) -> str:
    """How the best stands to the second best, without claiming a difference that the questions do not show."""
    other = f"{_who(second, rows)} with {percent(second['accuracy'])}"
    for row in differences:
        if (row["split"], row["best"], row["other"]) == (best["split"], best["run"], second["run"]):
            points = f"{points_between(row)} points on the same questions"
            return f", ahead of {other} by {points}" if row["low"] > 0 else f", not told apart from {other}: {points}"
    if second["high"] < best["low"]:
        return f", clearly ahead of {other}"
    ahead = "ahead of" if second["accuracy"] < best["accuracy"] else "level with"
    return f", {ahead} {other}, but their intervals overlap: only a paired test can tell them apart"


def _who(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The method's name, if it tells the runs apart, else the run's."""
    same = {other["run"] for other in rows if other["method"] == row["method"]}
    return str(row["method"] if row["method"] and len(same) == 1 else row["run"])
