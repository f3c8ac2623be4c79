"""Both engines: honest programs as in CPython, hostile ones contained, nothing shared, nothing left behind."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from understudy.errors import SandboxError
from understudy.sandbox import Outcome, Sandbox
from understudy.sandbox.sandbox import SOURCE_LIMIT, EngineChoice

DATA = Path(__file__).parents[2] / "shared" / "data"


ENGINES: list[EngineChoice] = ["cpython", "monty"] if sys.platform.startswith("linux") else ["monty"]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineChoice:
    choice: EngineChoice = request.param
    return choice


@pytest.fixture(scope="module")
def sandbox(engine: EngineChoice) -> Iterator[Sandbox]:
    """A sandbox with so much time that a busy machine changes no outcome."""
    with Sandbox(timeout_s=20, memory_mb=64, engine=engine) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def hasty(engine: EngineChoice) -> Iterator[Sandbox]:
    """A sandbox with little time, for programs that would take all of it."""
    with Sandbox(timeout_s=0.4, memory_mb=64, engine=engine) as sandbox:
        yield sandbox


def one(sandbox: Sandbox, program: str) -> Outcome:
    [outcome] = sandbox.run([program])
    return outcome


ANSWERS: list[tuple[str, Any]] = [
    ("def solution():\n    return 6 * 7", 42),
    ("def solver():\n    return 'blue'", "blue"),
    ("def solver():\n    return 1\ndef solution():\n    return 2", 2),
    ("def solution():\n    return 1\nans = 2", 1),
    ("ans = 1\nresult = 2\nanswer = 3", 1),
    ("answer = 3\nresult = 2", 2),
    ("answer = 3", 3),
    ("result = None", None),
    ("def solution():\n    pass", None),
    ("def solution():\n    result = 4\n    ans = 5\n    return result", 4),
    ("# def solution(): return 1\nans = 'def solver(): return 2'", "def solver(): return 2"),
    ("'''\ndef solution():\n    return 1\n'''\nanswer = 3", 3),
    ("len = 3\nstr = 4\nrange = list = type = 5\nans = len", 3),
    ("import numpy as np\nimport sympy\nans = 3", 3),
    ("from __future__ import annotations\nans = 3", 3),
    ("ans = 7 # solution", 7),
    ("understudy_found = ['value', 4]\nans = 3", 3),
    ("ans = [1, (2.5, 'x'), {'a': None, 2: True}]", [1, (2.5, "x"), {"a": None, 2: True}]),
    ("from decimal import Decimal\nans = Decimal('1.10')", Decimal("1.10")),
]


@pytest.mark.parametrize(("program", "value"), ANSWERS)
def test_a_program_has_this_value(sandbox: Sandbox, program: str, value: object) -> None:
    outcome = one(sandbox, program)
    assert (outcome.status, outcome.error) == ("ok", "")
    assert repr(outcome.value) == repr(value)


NO_ANSWERS = [
    "x = 3",
    "",
    "# ans = 3",
    "print('ans')",
    "def f():\n    ans = 3\nf()",
    "ans = {1, 2}",
    "ans = 1 + 2j",
    "ans = b'7'",
    "ans = lambda: 3",
    "def answer():\n    return 3",
    "async def solution():\n    return 3",
    "class Answer:\n    pass\nans = Answer()",
]


@pytest.mark.parametrize("program", NO_ANSWERS)
def test_a_program_without_an_answer_says_so(sandbox: Sandbox, program: str) -> None:
    outcome = one(sandbox, program)
    assert outcome.status == "error"
    assert outcome.error.startswith("NoAnswer: ")


FAULTS = [
    ("def solution(:\n    return 1", "SyntaxError"),
    ("def solution():\nreturn 1", "IndentationError"),
    ("ans = '''", "SyntaxError"),
    ("ans = (", "SyntaxError"),
    ("ans = 3 \\", "SyntaxError"),
    ("if True:", "IndentationError"),
    ("return 5", "SyntaxError"),
    ("ans = 3\x00", "SyntaxError"),
    ("ans = '\ud800'", "SyntaxError"),
    ("ans = 1 / 0", "ZeroDivisionError"),
    ("ans = undefined", "NameError"),
    ("ans = int('x')", "ValueError"),
    ("ans = [][0]", "IndexError"),
    ("def solution(n):\n    return n", "TypeError"),
    ("solution = 5", "TypeError"),
    ("def solution():\n    return undefined", "NameError"),
    ("def solution():\n    return solution()", "RecursionError"),
    ("raise NotImplementedError('later')", "NotImplementedError"),
    ("ans = input()", "EOFError"),
    ("ans = 'x'.nonsense", "AttributeError"),
    ("from math import nonsense\nans = 1", "ImportError"),
    ("assert 1 == 2", "AssertionError"),
]


@pytest.mark.parametrize(("program", "kind"), FAULTS)
def test_a_wrong_program_is_an_error_with_its_type(sandbox: Sandbox, program: str, kind: str) -> None:
    outcome = one(sandbox, program)
    assert outcome.status == "error"
    expected = (
        {"IndentationError": "SyntaxError", "EOFError": "NameError"} if sandbox.engine.startswith("monty") else {}
    )
    assert outcome.error.split(":")[0] == expected.get(kind, kind)


LOOP = "while True:\n    "
HOSTILE = [
    # time
    (f"{LOOP}pass", "timeout"),
    (f"{LOOP}try:\n        while True: pass\n    except BaseException: pass", "timeout"),
    ("def solution():\n    while True: pass", "timeout"),
    ("ans = 3 ** (10 ** 9)", "refused"),
    ("ans = sum(range(10 ** 12))", "timeout"),
    ("import itertools\nans = sum(itertools.count())", "timeout"),
    ("ans = [x for x in range(10 ** 9) if x < 0]", "timeout"),
    # memory
    ("ans = [0] * 10 ** 12", "memory"),
    ("ans = 'a' * 10 ** 12", "memory"),
    ("x = 'a'\nwhile True: x = x + x", "memory"),
    ("ans = '{:>999999999999}'.format(1)", "any"),
    # output
    (f"{LOOP}print('x' * 1000)", "output"),
    ("print('x' * 70000)\nans = 1", "output"),
    ("x = [1]\nfor i in range(60): x = [x, x]\nans = x", "output"),
    ("x = (1,)\nfor i in range(60): x = (x, x)\nans = {1: x}", "output"),
    ("x = {}\nfor i in range(60): x = {'a': x, 'b': x}\nans = x", "output"),
    ("x = []\nfor i in range(1000): x = [x]\nans = x", "output"),
    ("ans = 10 ** 5000", "output"),
    ("ans = 'x' * 5000", "output"),
    ("ans = list(range(100000))", "output"),
    ("from decimal import Decimal\nans = Decimal('1e999999')", "output"),
    # the system
    ("ans = open('/etc/passwd').read()", "violation"),
    ("open('x', 'w').write('x')", "violation"),
    ("import os\nans = os.listdir('/')", "violation"),
    ("from pathlib import Path\nans = Path('/etc/passwd').read_text()", "violation"),
    ("import os\nans = os.environ['PATH']", "refused"),
    ("import subprocess\nans = subprocess.run(['id'])", "refused"),
    ("import socket\nans = socket.socket()", "refused"),
    ("import sys\nans = sys.modules['os']", "refused"),
    ("import os\nans = os.fork()", "refused"),
    ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", "refused"),
    # climbing
    ("ans = ().__class__.__bases__[0].__subclasses__()", "refused"),
    ("def f(): pass\nans = f.__globals__", "refused"),
    ("ans = '{0.__class__.__init__.__globals__}'.format(1)", "refused"),
    ("ans = getattr((), '__cl' + 'ass__')", "refused"),
    ("try:\n    1 / 0\nexcept Exception as e:\n    ans = e.__traceback__.tb_frame", "refused"),
    # the engine and the host
    ("raise SystemExit(0)", "refused"),
    ("raise KeyboardInterrupt", "refused"),
    ("ans = " + "(" * 20000 + ")" * 20000, "refused"),
    ("ans = " + "-" * 30000 + "1", "any"),
    ("x = []\nx.append(x)\nans = x", "any"),
    ("import re\nans = re.match('(a+)+$', 'a' * 60 + 'b')", "any"),
    (f"{LOOP}try:\n        undefined\n    except NameError: pass", "refused"),
    ("import time\ntime.sleep(1000)\nans = 1", "ok"),
]
REFUSED = {"error", "unsupported", "violation", "memory", "timeout", "output", "crash"}


@pytest.mark.parametrize(("program", "status"), HOSTILE, ids=[program[:40] for program, _ in HOSTILE])
def test_a_hostile_program_is_contained(sandbox: Sandbox, hasty: Sandbox, program: str, status: str) -> None:
    where = hasty if status in ("timeout", "refused", "any") else sandbox
    hostile, honest = where.run([program, "ans = 42"])
    if status == "refused":
        assert hostile.status in REFUSED
    elif status != "any":
        assert hostile.status == status
    assert len(str(hostile.value)) < 5000
    assert len(hostile.error) <= 500
    assert len(hostile.printed.encode()) <= 65536
    assert honest == Outcome("ok", 42)


def test_a_program_over_64_kb_is_not_looked_at(sandbox: Sandbox) -> None:
    padding = "#" * (SOURCE_LIMIT - len("ans = 1\n"))
    assert one(sandbox, f"ans = 1\n{padding}").status == "ok"
    assert one(sandbox, f"ans = 1\n{padding}#").status == "too_long"
    assert one(sandbox, f"ans = 1\n{'é' * (SOURCE_LIMIT // 2)}").status == "too_long"


LEAKS = [
    ("secret = 42", "ans = secret"),
    ("def solution():\n    return 42", "ans = solution()"),
    ("import math\nmath.pi = 42", "import math\nans = 42 if math.pi == 42 else undefined"),
    ("import builtins\nbuiltins.secret = 42", "ans = secret"),
    ("import json\njson.secret = 42", "import json\nans = json.secret"),
    ("len = lambda x: 42\nint = len", "ans = 42 if len([]) == 42 else undefined"),
    ("import sys\nsys.secret = 42", "import sys\nans = sys.secret"),
]


@pytest.mark.parametrize(("before", "after"), LEAKS)
def test_nothing_passes_from_one_program_to_the_next(sandbox: Sandbox, before: str, after: str) -> None:
    assert 42 not in [outcome.value for outcome in sandbox.run([before, after, before, after])[1::2]]


def test_each_program_starts_with_the_same_random_numbers_and_the_same_clock(sandbox: Sandbox) -> None:
    program = "import random, datetime, time\nans = [random.random(), str(datetime.datetime.now()), time.time()]"
    first, second = sandbox.run([program, program])
    assert first == second
    assert first.status == "ok"


def test_what_a_program_prints_comes_with_its_outcome_and_not_with_the_next(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = sandbox.run(["print('hello')\nans = 1", "ans = 2"])
    assert (first.printed, second.printed) == ("hello\n", "")
    assert capfd.readouterr() == ("", "")


HONEST = [
    "ans = [round(x / 1000 + 0.005, 2) for x in range(0, 200)]",
    "ans = [round(x * 7.5, -1) for x in range(-50, 50)]",
    "ans = [round(2.5), round(-1.5), round(7), round(1234, -2), round(2.675, 2), round(1e300, 5), round(0.1, 400)]",
    "r = round\nans = r(1.005, 2)",
    "from functools import partial\nans = list(map(partial(round, ndigits=1), [0.25, 0.35, 1.45]))",
    "ans = sum([0.1] * 10) + 1 / 3",
    "ans = [7 // 2, -7 // 2, 7 % -3, divmod(-7, 2), 2 ** 100, 2 ** -2, 7 / 2]",
    "ans = f'{1234567.891:,.2f} {0.5:.0%} {3:>5}|{\"x\":<4}|'",
    "ans = sorted([3, 1, 2], key=lambda x: -x)",
    "import math\nans = [math.ceil(7 / 2), math.floor(-3.5), math.comb(10, 3), math.gcd(12, 18), math.sqrt(2)]",
    "from datetime import date, timedelta\nans = (date(2024, 2, 28) + timedelta(days=2)).strftime('%m/%d/%Y')",
    "from collections import Counter, defaultdict\nans = Counter('banana').most_common(2)",
    "from itertools import permutations\nans = len(list(permutations(range(5))))",
    "ans = ''.join(w[-1] for w in 'take the last letters'.split())",
    "from decimal import Decimal\nans = Decimal('1.10') * 3",
    "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nans = f(15)",
    "ans = {k: [v for v in range(k)] for k in range(4)}",
    "ans = [True + 1, not 0, 1 == 1.0, None is None, 'a' < 'b', [1, 2] < [1, 3]]",
    "x = 10\nwhile x > 3:\n    x -= 2\nelse:\n    x *= 10\nans = x",
    "try:\n    ans = 1 / 0\nexcept ZeroDivisionError:\n    ans = 'none'\nfinally:\n    pass",
]


def test_honest_programs_mean_what_they_mean_in_cpython(sandbox: Sandbox) -> None:
    code = "import sys, json\nfor p in json.load(sys.stdin):\n    g = {}\n    exec(p, g)\n    print(repr(g['ans']))"
    cpython = subprocess.run(
        [sys.executable, "-I", "-c", code], input=json.dumps(HONEST), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [repr(outcome.value) for outcome in sandbox.run(HONEST)] == cpython


def test_published_programs_reach_their_gold_answers(sandbox: Sandbox) -> None:
    path = DATA / "svamp_programs" / "train.jsonl.gz"
    if not path.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{path} is not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    written = [(t["text"], row["answer"]) for row in rows for t in row["teacher_outputs"] if t["style"] == "python_sdp"]
    outcomes = sandbox.run([program for program, _ in written[:300]])
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert all(
        isinstance(outcome.value, int | float) and outcome.value == pytest.approx(float(gold))
        for outcome, (_, gold) in zip(outcomes, written, strict=False)
    )


def test_outcomes_come_in_the_order_of_the_programs(hasty: Sandbox) -> None:
    programs = [f"ans = {i}" if i % 15 else f"{LOOP}pass" for i in range(30)]
    expected = ["timeout" if i % 15 == 0 else i for i in range(30)]
    outcomes = hasty.run(programs)
    assert [o.value if o.status == "ok" else o.status for o in outcomes] == expected


def test_no_program_gives_no_outcome(sandbox: Sandbox) -> None:
    assert sandbox.run([]) == []


def test_a_program_too_slow_for_the_first_pass_gets_the_full_time(
    engine: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "ans = 0\nfor i in range(300000):\n    ans = ans + 1"
    monkeypatch.setattr("understudy.sandbox.sandbox.QUICK_S", 0.001)
    with Sandbox(timeout_s=20, engine=engine) as generous:
        assert one(generous, slow) == Outcome("ok", 300000)
    with Sandbox(timeout_s=0.001, engine=engine) as impatient:
        assert one(impatient, slow).status == "timeout"


def test_many_threads_share_a_sandbox(sandbox: Sandbox) -> None:
    async def ask(i: int) -> Outcome:
        return (await asyncio.to_thread(sandbox.run, [f"ans = {i}"]))[0]

    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*(ask(i) for i in range(40)))

    assert [outcome.value for outcome in asyncio.run(all_of_them())] == list(range(40))


def children() -> list[psutil.Process]:
    return list(psutil.Process().children(recursive=True))


def test_a_killed_worker_costs_no_other_program_its_outcome(engine: EngineChoice) -> None:
    before = set(children())
    with Sandbox(engine=engine) as sandbox:
        assert one(sandbox, "ans = 1").value == 1
        workers = set(children()) - before
        assert workers
        for worker in workers:
            with suppress(psutil.NoSuchProcess):  # the one that it came from was killed first, and took it along
                worker.kill()
        assert [outcome.value for outcome in sandbox.run(["ans = 2", "ans = 3"])] == [2, 3]


def test_closing_leaves_no_process(engine: EngineChoice) -> None:
    before = set(children())
    with Sandbox(engine=engine) as sandbox:
        sandbox.run(["ans = 1", f"{LOOP}pass"][:1])
        mine = set(children()) - before
        assert mine
    assert psutil.wait_procs(list(mine), timeout=10)[1] == []


@pytest.mark.parametrize("program", ["ans = 1", f"{LOOP}pass", "ans = 3 ** (10 ** 9)"])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets the host limit a worker's CPU time")
def test_a_killed_host_leaves_no_process(engine: EngineChoice, program: str) -> None:
    code = (
        "import sys, time\nfrom understudy.sandbox import Sandbox\n"
        "with Sandbox(timeout_s=1, engine=sys.argv[2]) as sandbox:\n"
        "    sandbox.run(['ans = 1'])\n    print('ready', flush=True)\n"
        "    while True:\n        sandbox.run([sys.argv[1]])\n"
    )
    host = subprocess.Popen([sys.executable, "-c", code, program, engine], stdout=subprocess.PIPE)
    assert host.stdout is not None
    assert host.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    children = psutil.Process(host.pid).children(recursive=True)
    assert children
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(map(alive, children)):
        time.sleep(0.05)
    assert not any(map(alive, children))


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a dead process that its new parent has not yet collected does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_engine_is_named_with_its_version(engine: EngineChoice) -> None:
    name, version = Sandbox(engine=engine).engine.split()
    assert name == engine
    assert version[0].isdigit()


def test_a_sandbox_that_is_not_open_says_how_to_open_it(engine: EngineChoice) -> None:
    with pytest.raises(SandboxError, match="with Sandbox"):
        Sandbox(engine=engine).run(["ans = 1"])
