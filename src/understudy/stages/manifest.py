"""The manifest of a run: the resolved configuration, the seed, the versions, and what each step took.

It is for people and for the report; no step depends on it. Clocks stand here and in no other file of a run.
"""

from __future__ import annotations

import json
import platform
import uuid
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import understudy
from understudy import jsonl
from understudy.records import Json
from understudy.rundir import read_json
from understudy.stages.filtering import rule
from understudy.stages.run import Run

PACKAGES = ("torch", "transformers", "tokenizers", "pydantic", "pydantic-monty")

_LEARNED = {
    "all": "whatever was written for them is learned from, right or wrong",
    "parsed": "rationales of theirs that have an answer are learned from, right or wrong",
    "agreed": "rationales of theirs with the answer that most samples reach are learned from, right or wrong",
    "drop": "no rationale of theirs is learned from",
}
"""By the rule for what is kept of a question without a gold answer."""


def begin(run: Run) -> None:
    """Write the manifest, keeping what earlier walks noted of their steps."""
    before = read_json(run.dir.manifest) or {}
    said = [
        *run.task.notes(),
        *run.task.user_notes(),
        run.fraction_note if run.method.roles() else "",
        _unlabelled(run),
        run.teacher.note() if uses_teacher(run) else "",
        run.sandbox().note,
        run.config.grade.note if run.graded_otherwise else "",
    ]
    found: dict[str, Any] = {
        "run": before.get("run") or uuid.uuid4().hex,
        "understudy": understudy.__version__,
        "config": run.resolved(),
        "folder": str(run.folder),
        "seed": run.config.seed,
        "versions": {"python": platform.python_version(), **_versions()},
        "host": {"system": platform.system(), "machine": platform.machine()},
        "templates": {
            str(template.path): dict(template.sources)
            for variant in run.prompter().variants
            if (template := variant.template)
        },
        "notes": [note for note in said if note],
        "steps": before.get("steps", []),
        "ledger": before.get("ledger"),
    }
    jsonl.write_text(run.dir.manifest, json.dumps(found, indent=1) + "\n")


def add(run: Run, step: str, rows: int, seconds: float) -> None:
    """Note that `step` was done."""
    found = read_json(run.dir.manifest) or {}
    steps = [row for row in found["steps"] if row["step"] != step]
    found["steps"] = [*steps, {"step": step, "rows": rows, "seconds": round(seconds, 2)}]
    jsonl.write_text(run.dir.manifest, json.dumps(found, indent=1) + "\n")


def book(run: Run, ledger: Json | None) -> None:
    """Note what the run has spent on its teacher, all times together; None: nothing was asked."""
    found = read_json(run.dir.manifest)
    if found is not None and ledger is not None:
        before = found.get("ledger") or {}
        ledger = {**ledger, "replayed": ledger["replayed"] + before.get("replayed", 0)}
        jsonl.write_text(run.dir.manifest, json.dumps({**found, "ledger": ledger}, indent=1) + "\n")


def uses_teacher(run: Run) -> bool:
    """Whether any source or the procedure asks the teacher."""
    sources = [source for role in run.method.roles() for source in role.sources]
    return run.method.asks_teacher or any(source.by == "teacher" for source in sources)


def _unlabelled(run: Run) -> str:
    """What every report must say of training questions without a gold answer; "" if there are none."""
    roles = run.method.roles()
    splits = [split for split in ("train", "valid") if split in run.task.splits] if roles else []
    count = sum(question.answer is None for split in splits for question in run.questions(split))
    if not count:
        return ""
    rules = {rule(run, source, labelled=False) for role in roles for source in role.sources}
    learned = sorted(_LEARNED[each] for each in rules) or [
        f"{run.method.name} learns from gold answers and leaves them out"
    ]
    return f"{count} training questions have no gold answer: {'; '.join(learned)}."


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
