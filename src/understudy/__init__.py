"""understudy: distil a large model's reasoning into a small model that takes over its part.

    from understudy import open_run, walk
    walk(open_run("recipes/svamp-programs.toml"))

The command of the same name does the same: `understudy run recipes/svamp-programs.toml`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from understudy.errors import UnderstudyError
    from understudy.pipeline import plan, walk
    from understudy.procedures import Ask, Driver, Execute, Procedure, Score
    from understudy.records import (
        Completion,
        Example,
        Fault,
        Prediction,
        Question,
        Rationale,
        Sampling,
        Verdict,
    )
    from understudy.sandbox import Outcome, Sandbox
    from understudy.stages.opening import make_run, open_run
    from understudy.stages.run import Run
    from understudy.teachers.scripted import QueuedTeacher

_WHERE = {
    "Ask": "procedures",
    "Completion": "records",
    "Driver": "procedures",
    "Example": "records",
    "Execute": "procedures",
    "Fault": "records",
    "Outcome": "sandbox",
    "Prediction": "records",
    "Procedure": "procedures",
    "Question": "records",
    "QueuedTeacher": "teachers.scripted",
    "Rationale": "records",
    "Run": "stages.run",
    "Sampling": "records",
    "Sandbox": "sandbox",
    "Score": "procedures",
    "UnderstudyError": "errors",
    "Verdict": "records",
    "make_run": "stages.opening",
    "open_run": "stages.opening",
    "plan": "pipeline",
    "walk": "pipeline",
}

__all__ = [
    "Ask",
    "Completion",
    "Driver",
    "Example",
    "Execute",
    "Fault",
    "Outcome",
    "Prediction",
    "Procedure",
    "Question",
    "QueuedTeacher",
    "Rationale",
    "Run",
    "Sampling",
    "Sandbox",
    "Score",
    "UnderstudyError",
    "Verdict",
    "make_run",
    "open_run",
    "plan",
    "walk",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import understudy` costs nothing."""
    if name in _WHERE:
        return getattr(import_module(f"understudy.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'understudy' has no attribute {name!r}")
