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
from understudy.stages.run import Run

PACKAGES = ("torch", "transformers", "tokenizers", "pydantic", "pydantic-monty")


def begin(run: Run) -> None:
    """Write the manifest, keeping what earlier walks noted of their steps."""
    before = read_json(run.dir.manifest) or {}
    said = [
        *run.task.notes(),
        *run.task.user_notes(),
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
    """Note what the run has spent on its teacher; None: nothing was asked."""
    found = read_json(run.dir.manifest)
    if found is not None and ledger is not None:
        jsonl.write_text(run.dir.manifest, json.dumps({**found, "ledger": ledger}, indent=1) + "\n")


def uses_teacher(run: Run) -> bool:
    """Whether any source or the procedure asks the teacher."""
    sources = [source for role in run.method.roles() for source in role.sources]
    return run.method.asks_teacher or any(source.by == "teacher" for source in sources)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
