"""Hostile programs: each does its harm where there is no wall, and none of it in the sandbox.

Every program runs first in a throw-away namespace (stage.py), then on both tiers of the jail and on Monty; after each
runs an honest one. What is planted for the sandbox's runs belongs to the same user as the worker, so that nothing but
the walls keeps it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks.payloads import ATTACKS, Attack
from attacks.stage import Stage
from attacks.victim import VALUE, VICTIM
from understudy.sandbox import Outcome
from understudy.sandbox.jail.host import JailEngine
from understudy.sandbox.monty import MontyEngine
from understudy.sandbox.values import reason

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail and the namespaces are Linux's"),
]

WORD = "canary-5b1e90"
TIERS = ("shared", "alone", "monty")
LIMIT_S = 0.2
HARMLESS = {("monty", "time/hung: hashing shared tuples")}
"""Endless in CPython, but not there."""


@pytest.fixture(scope="module")
def harms() -> dict[str, list[str]]:
    """What each program does where there is no wall."""
    rows = [{"id": a.id, "program": a.program, "hung": a.harm == "hung"} for a in ATTACKS]
    stage = subprocess.run(
        [sys.executable, "-B", str(Path(__file__).with_name("stage.py"))],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        env={
            **os.environ, "UNDERSTUDY_CANARY": WORD, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUTF8": "1",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        },
        timeout=200,
    )  # fmt: skip
    if stage.stderr.startswith("no throw-away namespace"):
        if os.environ.get("CI") == "true":
            pytest.fail(stage.stderr)
        pytest.skip(stage.stderr)
    found: dict[str, list[str]] = json.loads(stage.stdout)
    return found


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_without_walls_it_does_its_harm(harms: dict[str, list[str]], attack: Attack) -> None:
    assert attack.harm in harms[attack.id]


Runs = tuple[str, Stage, dict[str, tuple[Outcome, Outcome]]]


@pytest.fixture(scope="module", params=TIERS)
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every program and its successor, run on one tier."""
    tier: str = request.param
    engine = MontyEngine(64) if tier == "monty" else JailEngine(64, shared=tier == "shared")
    stage = Stage(tempfile.mktemp(prefix="understudy-"), WORD)
    os.environ["UNDERSTUDY_CANARY"] = WORD
    engine.open()
    try:
        programs = [p for a in ATTACKS for p in (stage.fill(a.program), SIMPLE if tier == "monty" else VICTIM)]
        outcomes = engine.run(programs, LIMIT_S)
        yield tier, stage, {a.id: (outcomes[2 * i], outcomes[2 * i + 1]) for i, a in enumerate(ATTACKS)}
    finally:
        del os.environ["UNDERSTUDY_CANARY"]
        engine.close()
        stage.close()


SIMPLE = "import math, json\nans = [len([1, 2]), sum([1, 2]), math.sqrt(9), json.dumps([1]), round(2.5)]"


def test_nothing_planted_was_touched(runs: Runs) -> None:
    _, stage, _ = runs
    assert stage.seen() == stage.before


def test_nobody_called(runs: Runs) -> None:
    assert not runs[1].called()


def test_nobody_was_killed(runs: Runs) -> None:
    assert runs[1].alive()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_in_the_sandbox_it_does_not(runs: Runs, attack: Attack) -> None:
    tier, _, outcomes = runs
    outcome, successor = outcomes[attack.id]
    assert WORD not in repr(outcome)
    assert outcome.value != "reached"
    assert reason(outcome.value) is None
    assert len(outcome.error) <= 500
    assert len(outcome.printed.encode()) <= 65_536
    if attack.harm in {"hung", "memory", "crashed", "raised", "fooled"} and (tier, attack.id) not in HARMLESS:
        assert "sleep" in attack.program or outcome.status != "ok"
    assert successor.status == "ok", successor
    assert repr(successor.value) == ("[2, 3, 3.0, '[1]', 2]" if tier == "monty" else VALUE)
