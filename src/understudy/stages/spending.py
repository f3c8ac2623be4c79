"""What a run spends on its teacher: opens the run's account, and books in the manifest what was spent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from understudy.rundir import read_json
from understudy.stages import manifest
from understudy.stages.run import Run
from understudy.teachers.account import Account, Budget
from understudy.teachers.store import default_path


def store_path(run: Run) -> Path:
    """Where the store of a run is, or will be."""
    return default_path() if run.config.store is None else run.folder / run.config.store.expanduser()


@contextmanager
def account(run: Run) -> Iterator[Account]:
    """The account of a run; its store is opened when a teacher that costs anything is asked."""
    config = run.config
    run_id = str((read_json(run.dir.manifest) or {}).get("run") or uuid.uuid4().hex)
    with Account(store_path(run), run_id, Budget(config.budget_usd, config.budget_tokens), run.progress.say) as opened:
        try:
            yield opened
        finally:
            manifest.book(run, opened.ledger())
