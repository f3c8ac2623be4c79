"""Programs that models wrote and papers published, for tests and benchmarks; read where they lie, never copied.

published()    -> ["def solution():\\n    ...", ...]        about 44,000, each as it was published
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"
_FOLDERS = ("pad_gsm8k", "pot_programs", "gsmhard", "svamp_programs")


def published() -> list[str]:
    """All programs of the published files, in the order of the files; empty if they are not here."""
    programs = []
    for folder in _FOLDERS:
        for path in sorted((DATA / folder).glob("*.jsonl*")):
            for line in _text(path).splitlines():
                row = json.loads(line)
                outputs = [t["text"] for t in row.get("teacher_outputs", ()) if t.get("style") != "nl"]
                programs += [*outputs, *row.get("samples", ()), *([row["program"]] if "program" in row else [])]
    return [program for program in programs if isinstance(program, str)]


def needed() -> list[str]:
    """The published programs without repetitions; a test that has none is skipped, but in CI, where they must be."""
    programs = list(dict.fromkeys(published()))
    if not programs:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{DATA} is not here")
    return programs


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
