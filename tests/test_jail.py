"""The jail: closed or not opened, one worker for many, nothing lost when processes die, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

import psutil
import pytest

from understudy.errors import SandboxError
from understudy.sandbox import Outcome, Sandbox
from understudy.sandbox.jail import canary, screen
from understudy.sandbox.jail.host import JailEngine
from understudy.sandbox.sandbox import why_no_jail

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")


@pytest.fixture(scope="module")
def jail() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=20, engine="cpython") as sandbox:
        yield sandbox


def one(sandbox: Sandbox, program: str) -> Outcome:
    [outcome] = sandbox.run([program])
    return outcome


def value(sandbox: Sandbox, program: str) -> Any:
    outcome = one(sandbox, program)
    assert (outcome.status, outcome.error) == ("ok", "")
    found: Any = outcome.value
    return found


ALL_OF_PYTHON = [
    ("from fractions import Fraction\nans = Fraction(1, 3)", Fraction(1, 3)),
    ("import statistics\nans = statistics.mean([1, 2])", 1.5),
    ("def f():\n    yield 1\nans = sum(f())", 1),
    ("class A(Exception):\n    pass\nans = issubclass(A, Exception)", True),
    ("from math import *\nans = sqrt(4)", 2.0),
    ("x = 1\ndel x\nans = 1", 1),
    ("ans = (3.0).is_integer()", True),
    ("ans = 'x' in globals()", False),
    ("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nans = A(3).x", 3),
    ("ans = '{:.2f} {}'.format(2.675, 'a')", "2.67 a"),
    ("from datetime import datetime\nans = datetime.strptime('03/02/2024', '%d/%m/%Y').strftime('%A')", "Saturday"),
    (
        "from datetime import date\nans = [isinstance(date(2024, 1, 2), date), repr(date(2024, 1, 2))]",
        [True, "datetime.date(2024, 1, 2)"],
    ),
    ("with open.__class__ and __import__('contextlib').nullcontext(3) as x: ans = x", 3),
    (
        "async def f():\n    return 3\nc = f()\ntry:\n    c.send(None)\nexcept StopIteration as e:\n    ans = e.value",
        3,
    ),
    ("π = 3\nans = π", 3),
    ("if __name__ == '__main__':\n    ans = 3", 3),
]


@pytest.mark.parametrize(("program", "expected"), ALL_OF_PYTHON)
def test_it_is_all_of_python(jail: Sandbox, program: str, expected: object) -> None:
    assert repr(value(jail, program)) == repr(expected)


SCIENCE = [
    ("import numpy as np\nans = np.array([1, 2]).sum()", 3),
    ("import numpy as np\nans = [np.float64(0.5), np.int32(2)]", [0.5, 2]),
    ("import sympy\nx = sympy.symbols('x')\nans = sympy.solve(x * 3 - 1, x)[0]", Fraction(1, 3)),
    ("from sympy import *\nx = symbols('x')\nans = solve(x ** 2 - 4, x)", [-2, 2]),
    ("import sympy\nx = sympy.Symbol('x')\nans = sympy.integrate(x ** 2, (x, 0, 3))", 9),
    ("import sympy\nans = sympy.Float(0.5)", 0.5),
    ("import numpy as np\nans = np.array(7)", 7),
    ("import numpy as np\nans = np.array([7.5])", 7.5),
    ("import numpy as np\nans = np.array([1, 2]) > 1", [False, True]),
    ("import numpy as np\nans = np.linalg.solve([[2, 0], [0, 4]], [1, 1])", [0.5, 0.25]),
    ("import numpy as np\nans = [1, np.array([2]), np.arange(2)]", [1, 2, [0, 1]]),
    ("import numpy as np\nans = np.array([])", []),
    ("import numpy as np\nans = np.ones(256)[1:]", [1.0] * 255),
]


@pytest.mark.parametrize(("program", "expected"), SCIENCE)
def test_numpy_and_sympy_are_there_and_answer_in_plain_numbers(jail: Sandbox, program: str, expected: object) -> None:
    pytest.importorskip("sympy")
    pytest.importorskip("numpy")
    assert repr(value(jail, program)) == repr(expected)


NO_NUMBERS = [
    ("np.zeros(257)", "output"),
    ("np.zeros((2, 2))", "error"),
    ("np.zeros((1, 1))", "error"),
    ("np.array(['a'])", "error"),
    ("np.array([print])", "error"),
    ("np.array([1j, 2j])", "error"),
    ("np.array(['2024-01-01'], dtype='M8')", "error"),
    ("np.matrix([7])", "error"),
    ("np.lib.stride_tricks.as_strided(np.zeros(2), (10 ** 12,), (0,))", "output"),
]


@pytest.mark.parametrize(("array", "status"), NO_NUMBERS)
def test_an_array_that_is_no_short_row_of_numbers_is_no_answer(jail: Sandbox, array: str, status: str) -> None:
    pytest.importorskip("numpy")
    outcome = one(jail, f"import numpy as np\nans = {array}")
    assert (outcome.status, outcome.value) == (status, None)


def runners() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children()
    return found


def test_numpy_is_loaded_only_when_a_program_looks_into_it() -> None:
    pytest.importorskip("numpy")
    before = len(runners())
    with Sandbox(engine="cpython") as sandbox:
        assert value(sandbox, "import numpy as np\nans = 1") == 1
        few = len(runners()) - before
        assert value(sandbox, "import numpy as np\nans = np.ceil(1.5)") == 2.0
        assert (few, len(runners()) - before) == (1, 2)


def test_a_module_nobody_has_is_no_fault_of_the_program(jail: Sandbox) -> None:
    assert one(jail, "import a_module_nobody_has\nans = 1").status == "unsupported"


def test_chance_and_clock_are_the_same_every_time(jail: Sandbox) -> None:
    program = "import random, datetime, time\nans = [random.random(), str(datetime.datetime.now()), time.time()]"
    first, second = jail.run([program, program])
    assert first == second
    assert isinstance(first.value, list)
    assert first.value[1] != str(datetime.now())


def test_the_values_of_lines_are_recorded_on_demand(jail: Sandbox) -> None:
    program = "def solution():\n    pens = 12\n    more = pens / 5\n    return pens + more\n"
    [plain], [outcome] = jail.run([program]), jail.run([program], lines=True)
    assert plain.lines == ()
    assert outcome.lines == ((2, "pens", 12), (3, "more", 2.4))
    assert outcome.value == plain.value


def test_only_the_answering_function_is_recorded_and_loops_do_not_flood(jail: Sandbox) -> None:
    [outcome] = jail.run(
        ["def f(a):\n    b = a + 1\n    return b\nfor i in range(1000):\n    x = f(i)\nans = x"], lines=True
    )
    assert {name for _, name, _ in outcome.lines} == {"i", "x"}
    assert len(outcome.lines) == 64
    assert outcome.value == 1000


def test_without_the_filter_the_canary_gets_out_and_with_it_it_does_not() -> None:
    code = "import sys, socket, json\nfrom understudy.sandbox.jail import canary\n"
    code += "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
    inside = "from understudy.sandbox.jail import seccomp\nseccomp.prepare(b.fileno(), False)()\n"
    end = "b.send(json.dumps(canary.escapes(b.fileno(), '/')).encode())\nimport os\nos._exit(0)"
    script = "import os, socket\n{head}pid = os.fork()\nif pid == 0:\n    {body}\nos.waitpid(pid, 0)\n"
    script += "print((a.recv(9999) or a.recv(9999)).decode())"
    found = []
    for body in (end, inside + end):
        text = script.format(head=code, body=body.replace("\n", "\n    "))
        shown = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        found.append(json.loads(shown))
    assert {"open a file", "open a TCP socket", "start a process", "make memory executable"} <= set(found[0])
    assert found[1] == []


def boot(monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """Have runners start with something taken away."""
    from understudy.sandbox.jail import lane

    monkeypatch.setattr(lane, "_BOOT", lane._BOOT.replace("from understudy", f"{damage}\nfrom understudy", 1))


def test_without_a_filter_no_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    boot(monkeypatch, "from understudy.sandbox.jail import seccomp\nseccomp.ARCHITECTURES = {}")
    with pytest.raises(SandboxError, match="did not start|seccomp"), Sandbox(engine="cpython"):
        pass


def test_with_a_hole_in_the_filter_no_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    hole = "from understudy.sandbox.jail import seccomp\nfor a in seccomp.ARCHITECTURES.values(): a.calls['time'] = "
    boot(monkeypatch, f"{hole}{canary._NUMBERS[os.uname().machine]['socket']}")
    with pytest.raises(SandboxError, match="could: open a TCP socket, open a UDP socket"), Sandbox(engine="cpython"):
        pass


def test_the_weaker_layers_may_be_missing_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = "from understudy.sandbox.jail import confine, landlock\nlandlock.close_files = lambda: 0\n"
    boot(monkeypatch, f"{weak}confine._leave_namespaces = lambda: ((), False)")
    engine = JailEngine(64)
    engine.open()
    try:
        notes = " ".join(engine.state["layers"]["notes"])
        assert "no Landlock" in notes
        assert "no namespaces" in notes
        assert engine.run(["open('/etc/passwd')"], 1.0)[0].status == "violation"
    finally:
        engine.close()


def test_a_python_that_compiles_otherwise_shares_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    boot(monkeypatch, "from understudy.sandbox.jail import screen\nscreen._NAMING = ()")
    engine = JailEngine(64)
    engine.open()
    try:
        assert engine.state["shared"] is False
        assert engine.run(["ans = 1"], 1.0) == [Outcome("ok", 1)]
    finally:
        engine.close()


@pytest.fixture
def no_jail(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(engine: JailEngine) -> None:
        raise SandboxError("the jail needs Linux")

    monkeypatch.setattr(JailEngine, "open", fail)
    why_no_jail.cache_clear()
    yield
    why_no_jail.cache_clear()


def test_where_there_is_a_jail_it_is_chosen() -> None:
    with Sandbox() as sandbox:
        assert sandbox.engine.startswith("cpython ")
    assert Sandbox().engine.startswith("cpython ")


@pytest.mark.usefixtures("no_jail")
def test_where_there_is_no_jail_monty_is_chosen() -> None:
    with Sandbox() as sandbox:
        assert sandbox.engine.startswith("monty ")
    assert Sandbox().engine.startswith("monty ")


@pytest.mark.usefixtures("no_jail")
def test_where_there_is_neither_the_error_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(SandboxError, match="the jail needs Linux.*pip install pydantic-monty"), Sandbox():
        pass


def test_the_unsafe_engine_must_be_named_and_says_so() -> None:
    with Sandbox(engine="unsafe") as sandbox:
        assert value(sandbox, "import os\nans = os.path.exists('/')") is True
        assert sandbox.engine.startswith("unsafe-cpython ")
        assert "UNSAFE" in sandbox.note
        assert value(sandbox, "import numpy as np\nans = np.ceil(1.5)") == 2.0
    assert Sandbox().note == ""


def test_the_screen_holds_for_this_python() -> None:
    assert screen.holds()


def test_the_screen_notices_that_it_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_ATTRIBUTES", screen._ATTRIBUTES | {"gi_frame"})
    assert not screen.holds()


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def killer(known: set[psutil.Process], kills: int, done: threading.Event) -> None:
    """Kill this many processes of the sandbox, at random: workers, and now and then the runner they come from."""
    dice = random.Random(1)
    while kills and not done.is_set():
        direct = [p for p in psutil.Process().children() if p not in known]
        # the first child of a runner keeps its namespace, and all die with it; starting anew takes a while
        workers = [worker for runner in direct for worker in sorted(_children_of(runner), key=lambda p: p.pid)[1:]]
        victims = [*direct, *workers] if dice.random() < 0.02 else workers
        if victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                dice.choice(victims).kill()
                kills -= 1
        time.sleep(dice.random() * 0.02)
    done.set()


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children()
    except psutil.NoSuchProcess:
        return []
    return found


@pytest.mark.parametrize("kills", [50, pytest.param(1000, marks=pytest.mark.long)])
def test_whoever_kills_workers_changes_no_outcome(kills: int) -> None:
    known, done = children(), threading.Event()
    with Sandbox(timeout_s=30, engine="cpython") as sandbox:
        sandbox.run(["ans = 1"])
        thread = threading.Thread(target=killer, args=(known, kills, done))
        thread.start()
        rounds = 0
        try:
            while not done.is_set() or not rounds:
                programs = [
                    f"class A: x = {i}\nans = A.x + {rounds}" if i % 40 == 0 else f"ans = {i} + {rounds}"
                    for i in range(600)
                ]
                assert [o.value for o in sandbox.run(programs)] == [i + rounds for i in range(600)]
                rounds += 1
        finally:
            done.set()
            thread.join()


def test_a_forked_child_has_a_sandbox_of_its_own() -> None:
    code = (
        "import os, sys\nfrom understudy.sandbox import Sandbox\n"
        "with Sandbox(engine='cpython') as sandbox:\n"
        "    assert sandbox.run(['ans = 1'])[0].value == 1\n"
        "    pids = []\n"
        "    for i in range(3):\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            values = [o.value for o in sandbox.run([f'ans = {i} + {j}' for j in range(200)])]\n"
        "            sandbox.__exit__(None, None, None)\n"
        "            os._exit(values != [i + j for j in range(200)])\n"
        "        pids.append(pid)\n"
        "    assert [o.value for o in sandbox.run([f'ans = {j}' for j in range(200)])] == list(range(200))\n"
        "    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)\n"
        "    assert sandbox.run(['ans = 2'])[0].value == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_forked_child_of_a_killed_host_keeps_no_process_alive() -> None:
    code = (
        "import os, time\nfrom understudy.sandbox import Sandbox\n"
        "sandbox = Sandbox(engine='cpython').__enter__()\nsandbox.run(['ans = 1'])\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    time.sleep(60)\n    os._exit(0)\n"
        "print(pid, flush=True)\ntime.sleep(60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    forked = int(host.stdout.readline())
    mine = [p for p in psutil.Process(host.pid).children(recursive=True) if p.pid != forked]
    assert mine
    host.kill()
    host.wait()
    host.stdout.close()
    gone, left = psutil.wait_procs(mine, timeout=20)
    os.kill(forked, signal.SIGKILL)
    assert (len(gone), left) == (len(mine), [])


def test_threads_get_their_own_outcomes_and_no_descriptor_is_left(jail: Sandbox) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def all_of_them() -> list[list[Outcome]]:
        return await asyncio.gather(
            *(asyncio.to_thread(jail.run, [f"ans = {i}", "1/0", "class A: pass\nans = 1"]) for i in range(30))
        )

    before = descriptors()
    with Sandbox(engine="cpython") as other:
        other.run(["ans = 1", "class A: pass\nans = 1"])
    assert descriptors() == before
    assert [outcomes[0].value for outcomes in asyncio.run(all_of_them())] == list(range(30))


def test_a_program_that_only_waits_is_stopped(jail: Sandbox) -> None:
    engine = JailEngine(64)
    engine.open()
    try:
        before = time.monotonic()
        assert engine.run(["import threading\nthreading.Event().wait()"], 0.1)[0].status == "timeout"
        assert time.monotonic() - before < 60
    finally:
        engine.close()


def test_memory_beyond_the_limit_is_refused_and_below_it_is_not() -> None:
    with Sandbox(memory_mb=64, engine="cpython") as sandbox:
        assert one(sandbox, "ans = len(bytes(10**8))").status == "memory"
        assert one(sandbox, "ans = len(bytes(3 * 10**7))").value == 3 * 10**7
