"""Write the README's picture from the runs of the demo:  python scripts/picture.py runs/demo"""

from __future__ import annotations

import sys
from pathlib import Path

from understudy.demo import RUNS
from understudy.jsonl import write_text
from understudy.report.plots import accuracy_svg
from understudy.report.rows import table


def main() -> None:
    folder = Path(sys.argv[1])
    rows = [row for row in table([folder / name for name in RUNS]) if row["split"] == "test"]
    write_text(Path(__file__).parent.parent / "docs" / "demo.svg", accuracy_svg(rows))


if __name__ == "__main__":
    main()
