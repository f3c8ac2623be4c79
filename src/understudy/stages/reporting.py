"""report: put a run's evidence on one page. Leaves `report.html`, self-contained, and a short `README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from understudy.report.page import write_card, write_report
from understudy.rundir import read_json
from understudy.stages.run import Run


def inputs(run: Run, subject: None = None) -> dict[str, Any]:
    """What the page shows: the marks of every other step, the configuration, and what was spent."""
    marks = sorted((run.dir.root / "marks").glob("*.json"))
    return {
        "marks": {path.stem: read_json(path) for path in marks if path.stem != "report"},
        "config": run.resolved(),
        "ledger": (read_json(run.dir.manifest) or {}).get("ledger"),
    }


def outputs(run: Run, subject: None = None) -> list[Path]:
    """The files it leaves."""
    return [run.dir.page, run.dir.card]


def report(run: Run, subject: None = None) -> int:
    """Write the page and the card of this run. Returns the number of pages."""
    write_report([run.dir.root], run.dir.page)
    write_card(run.dir.root, run.dir.card)
    return 1
