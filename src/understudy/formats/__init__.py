"""Formats: the written forms of a rationale: how to ask for one, how to read one, what is a fault, how to write one.

| name       | a rationale                                                              | its file      |
|------------|--------------------------------------------------------------------------|---------------|
| `label`    | no reasoning, the answer alone                                           | `label.py`    |
| `cot`      | text that ends in the task's cue and answer                              | `cot.py`      |
| `program`  | Python whose value is the answer                                         | `program.py`  |
| `cot`      | the same, asked for without worked examples and in two turns             | `zero_shot.py` |
| `socratic` | sub-questions with their solutions, one a line, then the cue and answer  | `socratic.py` |
"""

from __future__ import annotations

from understudy.formats.cot import Cot
from understudy.formats.format import Format, Reading
from understudy.formats.label import Label
from understudy.formats.program import Program
from understudy.formats.socratic import Socratic
from understudy.formats.zero_shot import ZeroShotCot

FORMATS: dict[str, type[Format]] = {"label": Label, "cot": Cot, "program": Program, "socratic": Socratic}

__all__ = ["FORMATS", "Cot", "Format", "Label", "Program", "Reading", "Socratic", "ZeroShotCot"]
