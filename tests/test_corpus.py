"""All published programs: in the jail they mean what they mean in an unprotected CPython."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import needed
from understudy.sandbox import Sandbox

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's"),
]
TESTS = Path(__file__).parent


def test_every_published_program_has_the_value_it_has_in_cpython() -> None:
    pytest.importorskip("sympy")
    programs = needed()
    reference = subprocess.run(
        [sys.executable, "-B", str(TESTS / "attacks" / "reference.py")],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    )
    if reference.stderr.startswith("no throw-away namespace") and os.environ.get("CI") != "true":
        pytest.skip(reference.stderr)
    values: list[str] = json.loads(reference.stdout)
    with Sandbox(engine="cpython") as sandbox:
        outcomes = sandbox.run(programs)
    differ = [
        (program, expected, outcome)
        for program, expected, outcome in zip(programs, values, outcomes, strict=True)
        if expected != (repr(outcome.value) if outcome.status == "ok" else expected)
        or (outcome.status != "ok" and expected[0] != "!")
    ]
    assert differ == []
    assert sum(outcome.status == "ok" for outcome in outcomes) > 0.95 * len(programs)
