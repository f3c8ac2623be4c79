"""What a run spends on its teacher: opens the run's account, and books in the manifest what was spent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from understudy.rundir import read_json
from understudy.stages import manifest
from understudy.stages.run import Run
from understudy.teachers.account import Account, Budget
from understudy.teachers.store import default_path


@contextmanager
def account(run: Run) -> Iterator[Account]:
    """The account of a run; its store is opened when a teacher that costs anything is asked."""
    config = run.config
    path = default_path() if config.store is None else run.folder / config.store.expanduser()
    run_id = str((read_json(run.dir.manifest) or {}).get("run") or uuid.uuid4().hex)
    with Account(path, run_id, Budget(config.budget_usd, config.budget_tokens), run.progress.say) as opened:
        try:
            yield opened
        finally:
            manifest.book(run, opened.ledger())
