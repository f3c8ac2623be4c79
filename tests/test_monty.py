"""The engine Monty: what is its own. What both engines do is in test_sandbox.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.errors import SandboxError
from understudy.sandbox import Outcome, Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=20, memory_mb=64, engine="monty") as sandbox:
        yield sandbox


def one(sandbox: Sandbox, program: str) -> Outcome:
    [outcome] = sandbox.run([program])
    return outcome


UNSUPPORTED = [
    "import numpy as np\nans = np.array([1]).sum()",
    "from fractions import Fraction\nans = Fraction(1, 3)",
    "import statistics\nans = statistics.mean([1, 2])",
    "import a_module_nobody_has\nans = 1",
    "def f():\n    yield 1\nans = sum(f())",
    "class A(Exception):\n    pass\nans = 1",
    "from math import *\nans = sqrt(4)",
    "x = 1\ndel x\nans = 1",
    "ans = (3.0).is_integer()",
    "ans = len(globals())",
]


@pytest.mark.parametrize("program", UNSUPPORTED)
def test_what_the_engine_lacks_is_no_fault_of_the_program(sandbox: Sandbox, program: str) -> None:
    assert one(sandbox, program).status == "unsupported"


REFUSED = [
    "import os\nans = os.system('id')",
    "import ctypes\nans = 1",
    "ans = __import__('os').system('id')",
    "ans = eval(\"__import__('os').system('id')\")",
]


@pytest.mark.parametrize("program", REFUSED)
def test_there_is_nothing_to_reach_the_system_with(sandbox: Sandbox, program: str) -> None:
    assert one(sandbox, program).status in {"error", "unsupported", "violation"}


def test_sleeping_takes_no_time(sandbox: Sandbox) -> None:
    assert one(sandbox, "import asyncio\nasyncio.run(asyncio.sleep(1000))\nans = 1").value == 1


def test_a_missing_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(SandboxError, match="pip install pydantic-monty"), Sandbox(engine="monty"):
        pass


def test_an_engine_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONTY_BIN", str(tmp_path / "nothing"))
    with pytest.raises(SandboxError, match="MONTY_BIN"), Sandbox(engine="monty"):
        pass


def test_a_missing_native_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there, and what it starts is not: an installation without `pydantic-monty-runtime`."""
    monkeypatch.delenv("MONTY_BIN", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda *names: "/nowhere")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SandboxError, match=r"the program `monty`, does not start .*pydantic-monty-runtime"):
        Sandbox(engine="monty").__enter__()


def test_naming_the_engine_does_not_load_it() -> None:
    code = "import sys, understudy.sandbox as s; s.Sandbox(engine='monty').engine; sys.exit('pydantic_monty' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
