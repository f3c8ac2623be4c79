"""A run directory as typed views for the page: streamed, a few rows kept of each kind.

A run that is incomplete shows what it has.

    run = read_run(Path("runs/wordsums-pad"))
    run.splits["test"]["accuracy"]     # 0.93, as `evidence/metrics.py` defines it
    run.sources[0].funnel["kept"]      # 3712
    run.sources[0].faults[0].samples   # up to 3 rejected completions

What a model wrote is carried as plain text, cut to `CLIP` characters; escaping it is the page's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.errors import DataError, RunError
from understudy.evidence.comparison import Right, is_judged, key
from understudy.evidence.metrics import Tally
from understudy.records import Json
from understudy.rundir import RunDir, read_json

CLIP = 1500
SAMPLES = 3
CURVE = 400
RESULTS = ("correct", "wrong", "no_answer", "error")


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion or verdict to look at. `cut` is how many characters of `text` are not shown."""

    id: str
    question: str
    text: str
    cut: int
    answer: str | None
    gold: str | None
    fault: str
    evidence: str


@dataclass(frozen=True, slots=True)
class FaultView:
    """One kind of fault in a source: its slug, how many completions have it, a few of them."""

    slug: str
    count: int
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source: what became of its completions. `funnel` is the file of that name, {} if it is not there yet."""

    name: str
    funnel: Mapping[str, Any]
    faults: Sequence[FaultView]


@dataclass(frozen=True, slots=True)
class RoleView:
    """One student.

    Attributes:
        examples: objective -> rows it trains on.
        held_out: rows of its validation set.
        summary: what training reported ({} before it is done): parameters, steps, best_step, preview.
        seconds: how long training took, as the manifest says; None if it does not.
        curve: rows of the training log, thinned to at most `CURVE` and every row with a validation loss.
    """

    name: str
    examples: Mapping[str, int]
    held_out: int
    summary: Mapping[str, Any]
    seconds: float | None
    curve: Sequence[Json]

    @property
    def preview(self) -> str:
        """The first batch as the student sees it, decoded."""
        return str(self.summary.get("preview") or "")


@dataclass(frozen=True, slots=True)
class RunView:
    """One run directory.

    Attributes:
        label: the directory's name, made longer where another run has the same.
        splits: split -> metrics; {} before evaluation.
        samples: split -> result -> a few verdicts.
        right: split -> which questions were answered right; {} unless several runs are read together.
    """

    label: str
    path: Path
    manifest: Mapping[str, Any]
    sources: Sequence[SourceView]
    roles: Sequence[RoleView]
    splits: Mapping[str, Json]
    samples: Mapping[str, Mapping[str, Sequence[Sample]]]
    config: Mapping[str, Any] = field(default_factory=dict)
    right: Mapping[str, Right] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What must be read with the numbers, e.g. that the teacher is scripted."""
        done = [str(step["step"]) for step in self.manifest.get("steps", ()) if step["step"] != "report"]
        newer = done[done.index("evaluate") + 1 :] if "evaluate" in done else []
        stale = f"The answers are older than {', '.join(newer)}: they were given before these steps were done again."
        return [str(note) for note in self.manifest.get("notes", ())] + [stale] * bool(newer)

    @property
    def ledger(self) -> Mapping[str, Any]:
        """What was spent on the teacher, as its account says; {} if no paid or slow teacher was asked."""
        return self.manifest.get("ledger") or {}

    def part(self, key: str) -> str:
        """The name of a part of the configuration, as `name` or `name:model`; "" if it is not known."""
        value = self.config.get(key)
        if not isinstance(value, Mapping):
            return str(value or "")
        return ":".join(str(value[k]) for k in ("name", "model") if value.get(k))


def read_runs(paths: Sequence[Path]) -> list[RunView]:
    """The views of several runs, each with a label of its own.

    Raises:
        RunError: a path is not a run directory, or a file in it is broken.
        DataError: a row of a file is broken; says file:line.
    """
    names = Counter(path.resolve().name for path in paths)
    return [read_run(path, _label(path, names), to_compare=len(paths) > 1) for path in paths]


def _label(path: Path, names: Mapping[str, int]) -> str:
    path = path.resolve()
    return path.name if names[path.name] == 1 else f"{path.parent.name}/{path.name}"


def read_run(path: Path, label: str = "", to_compare: bool = False) -> RunView:
    """The view of one run directory; `to_compare` with others, it knows of every question whether it was answered right.

    Raises:
        RunError: it is not a run directory, or a file in it is broken.
        DataError: a row of a file is broken; says file:line.
    """
    files = RunDir(path)
    known = ("completions", "rationales", "examples", "training", "predictions.jsonl", "metrics.json", "manifest.json")
    if not any((path / name).exists() for name in known):
        raise RunError(f"{path}: not a run's directory (no manifest.json in it). Give one that `understudy run` made")
    manifest = read_json(files.manifest) or {}
    metrics = read_json(files.metrics)
    predicted, samples, right = _predictions(files.predictions, to_compare)
    return RunView(
        label=label or path.resolve().name,
        path=path,
        manifest=manifest,
        sources=[_source(files, name) for name in _names(path / "rationales") | _names(path / "rejected")],
        roles=[_role(files, name, manifest) for name in _names(path / "examples") | _names(path / "training")],
        splits=metrics["splits"] if metrics else predicted,
        samples=samples,
        config=manifest.get("config", {}),
        right=right,
    )


def _names(folder: Path) -> dict[str, None]:
    """Sources or roles with a file in `folder`, in order; a set with an order."""
    return {path.stem: None for path in sorted(folder.glob("*.jsonl")) if not path.stem.endswith(".valid")}


def _rows(path: Path) -> Iterator[Json]:
    """Rows of a file that may not be there yet, or whose last line is being written."""
    if not path.exists():
        return
    try:
        yield from jsonl.read(path)
    except DataError as error:
        lines, line = 0, b""
        with open(path, "rb") as file:
            for line in file:  # noqa: B007 - the last one is looked at below
                lines += 1
        if error.line != lines or line.endswith(b"\n"):
            raise


def _source(files: RunDir, name: str) -> SourceView:
    funnel = read_json(files.funnel(name)) or {}
    counts: Counter[str] = Counter()
    samples: dict[str, list[Sample]] = {}
    for row in _rows(files.rejected(name)):
        slug = str(row.get("slug", ""))
        counts[slug] += 1
        if counts[slug] <= SAMPLES:
            samples.setdefault(slug, []).append(_rejected(row))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return SourceView(name, funnel, [FaultView(slug, count, samples[slug]) for slug, count in ordered])


def _rejected(row: Mapping[str, Any]) -> Sample:
    text, cut = clip(str(row.get("text", "")))
    return Sample(
        id=str(row.get("question", "")),
        question=clip(str(row.get("question_text", "")))[0],
        text=text,
        cut=cut,
        answer=row.get("answer"),
        gold=None,
        fault=str(row.get("slug", "")),
        evidence=_shown(row.get("evidence")),
    )


def _role(files: RunDir, name: str, manifest: Mapping[str, Any]) -> RoleView:
    objectives = Counter(str(row.get("objective", "target")) for row in _rows(files.examples(name)))
    held_out = sum(1 for _ in _rows(files.held_out(name)))
    seconds = next((step["seconds"] for step in manifest.get("steps", ()) if step["step"] == f"train-{name}"), None)
    summary = read_json(files.summary(name)) or {}
    return RoleView(name, objectives, held_out, summary, seconds, _curve(files.training(name)))


def _curve(path: Path) -> list[Json]:
    """The training log in constant memory: whenever `2 * CURVE` rows are held, every other one goes."""
    kept: list[Json] = []
    valid: list[Json] = []
    stride = 1
    last: Json | None = None
    for number, row in enumerate(_rows(path)):
        last = row
        if row.get("valid_loss") is not None:
            valid.append(row)
        elif number % stride == 0:
            kept.append(row)
            if len(kept) >= 2 * CURVE:
                kept, stride = kept[::2], stride * 2
    rows = [*kept, *valid, *([last] if last and last not in (kept[-1:] or valid[-1:]) else [])]
    return list({row.get("step", 0): row for row in sorted(rows, key=lambda row: row.get("step", 0))}.values())


def _predictions(
    path: Path, to_compare: bool
) -> tuple[dict[str, Json], dict[str, dict[str, list[Sample]]], dict[str, dict[str, bool]]]:
    """The metrics, a few verdicts of each result and, `to_compare`, which questions were answered right, split by split."""
    tallies: dict[str, Tally] = {}
    samples: dict[str, dict[str, list[Sample]]] = {}
    right: dict[str, dict[str, bool]] = {}
    for row in _rows(path):
        split = str(row.get("split", ""))
        tallies.setdefault(split, Tally()).add(row)
        if to_compare and is_judged(row):
            right.setdefault(split, {})[key(row)] = row["result"] == "correct"
        found = samples.setdefault(split, {result: [] for result in RESULTS})[row["result"]]
        if len(found) < SAMPLES:
            found.append(_verdict(row))
    return {split: tally.to_json() for split, tally in tallies.items()}, samples, right


def _verdict(row: Mapping[str, Any]) -> Sample:
    text, cut = clip("\n\n".join(map(str, row.get("texts", ()))))
    question, _ = clip(str(row.get("question_text", "")))
    evidence = {k: v for k, v in (row.get("evidence") or {}).items() if k not in ("finish", "completion_tokens")}
    cut_off = "length" in (row.get("evidence") or {}).get("finish", ())
    shown = _shown({**evidence, **({"finish": "cut at the token limit"} if cut_off else {})})
    return Sample(
        id=str(row.get("question", "")),
        question=question,
        text=text,
        cut=cut,
        answer=row.get("answer"),
        gold=row.get("gold"),
        fault=str(row.get("fault", "")),
        evidence=shown,
    )


def _shown(evidence: Any) -> str:
    """Evidence as one line of text."""
    if isinstance(evidence, Mapping):
        evidence = "; ".join(f"{key}: {value}" for key, value in evidence.items())
    return clip(str(evidence or ""))[0]


def clip(text: str) -> tuple[str, int]:
    """The first `CLIP` characters of `text`, and how many are left out."""
    return text[:CLIP], max(0, len(text) - CLIP)
