"""How fast programs run that nobody trusts, against running them without protection and against the ways of others.

    python benchmarks/sandbox.py [--quick] [--json FILE] [--million] [--venv FOLDER]

    way                                          programs/s   of exec   times a Python each     done
    exec in this process (no protection)             18,986     1.000                 319.3    100 %
    the jail, shared worker                          11,717     0.617                 197.1    100 %
    ...

All ways run the same made-up programs in one run, one after the other in several rounds, on one core (round trips
between cores are slow in a virtual machine, and a busy second core would favour some); the median counts. The absolute
numbers are this machine's, the ratios travel. `done` is the share of programs that end with the answer they have in an
unprotected Python. `--million` runs 10^6 different programs and shows the memory of all processes.

Others' ways are run where they can be had: bubblewrap if `bwrap` is installed, the libraries RestrictedPython and
smolagents from a venv of their own (`--venv`, made at the first run), where one process runs their programs.
A way that cannot be had is named with the reason. Of the libraries, neither claims to be a wall: RestrictedPython has no
limits, and smolagents' executor evaluates the parsed tree and says of itself that it is no security sandbox.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from understudy.sandbox import Sandbox
from understudy.sandbox.jail import screen
from understudy.sandbox.jail.host import JailEngine
from understudy.sandbox.monty import MontyEngine

Way = Callable[[Sequence[str]], Sequence[object]]
"""Programs in, their answers out; None for one that it does not run. An answer may come as text."""
PEERS = ("RestrictedPython==9.0", "smolagents==1.26.0")
HERE = Path(__file__).parent
TEMPLATES = (
    "def solution():\n    {n}_start = {a}\n    {n}_more = {b}\n    result = {n}_start + {n}_more * {c}\n    return result",
    "{n} = {a}\ncost = {b}.5\ntotal = {n} * cost\nans = round(total, 2)",
    "import math\n\ndef solution():\n    per_box = {c}\n    {n} = {a} * {b}\n    return math.ceil({n} / per_box)",
    "def solution():\n    total = 0\n    for day in range({c}):\n        total += {a} + day * {b}\n    return total",
    "prices = [{a}, {b}, {c}]\n{n} = sum(prices) / len(prices)\nans = {n} if {n} > {b} else {b}",
    "def solution():\n    {n} = {a}\n    while {n} > {b}:\n        {n} -= {c}\n    return {n}",
    "def share(whole, parts):\n    return whole / parts\n\ndef solution():\n    return share({a} + {b}, {c}) * 100",
    "from datetime import date, timedelta\nday = date(2024, 1, {c}) + timedelta(days={a})\nans = day.strftime('%m/%d/%Y')",
    "{n} = {{'a': {a}, 'b': {b}}}\nans = max({n}.values()) - min({n}.values()) + {c}",
    "def solver():\n    words = 'the {n} has {a} things and {b} more'.split()\n    return ''.join(w[-1] for w in words)",
)
NOUNS = ("pens", "apples", "miles", "pages", "friends", "coins", "tickets", "trees", "cups", "books")


def made_up(count: int, seed: int = 0) -> list[str]:
    """`count` programs such as models write for word problems, no two alike."""
    dice = random.Random(seed)
    return [
        TEMPLATES[i % len(TEMPLATES)].format(
            n=f"{dice.choice(NOUNS)}_{i}", a=dice.randrange(10, 99), b=dice.randrange(2, 40), c=dice.randrange(2, 28)
        )
        for i in range(count)
    ]


def execute(program: str) -> object:
    """A program in this process, as a library does that trusts it."""
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile(program, "<program>", "exec", dont_inherit=True), space)
    for name in ("solution", "solver"):
        if callable(function := space.get(name)):
            return function()
    return space["ans"]


def by_exec(programs: Sequence[str]) -> list[object]:
    return [execute(program) for program in programs]


def by_process(programs: Sequence[str]) -> list[object]:
    """PaD's way: a file and a new Python for each program."""
    found: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        for program in programs:
            path = Path(folder) / "program.py"
            path.write_text(_printing(program))
            found.append(_printed([sys.executable, str(path)]))
    return found


def by_bubblewrap(programs: Sequence[str]) -> list[object]:
    """A new Python for each program, in namespaces that hold Python and nothing else."""
    return [_printed([*_bubble(), "-c", _printing(program)]) for program in programs]


def _bubble() -> list[str]:
    """The command line of bubblewrap up to Python's own options."""
    folders = ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix)
    seen = [part for folder in folders for part in ("--ro-bind-try", folder, folder)]
    closed = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    return ["bwrap", *seen, *closed, os.path.realpath(sys.executable), "-I", "-S"]


def _printed(command: Sequence[str]) -> str | None:
    """What a command printed, without the end of the line; None if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    return ended.stdout.removesuffix("\n") if ended.returncode == 0 else None


def why_no_bubblewrap() -> str:
    """Why bubblewrap cannot be measured here; "" if it can."""
    if shutil.which("bwrap") is None:
        return "no `bwrap` here: install the package bubblewrap"
    ended = subprocess.run([*_bubble(), "-c", ""], capture_output=True, text=True)
    return "" if ended.returncode == 0 else (ended.stderr.strip().splitlines() or ["it does not start"])[-1]


class Peer:
    """A library that runs programs in its own process: a worker in the peers' venv, started once.

    Args:
        library: its name, as `peers/worker.py` knows it.
        venv: where it is installed.
    """

    def __init__(self, library: str, venv: Path) -> None:
        self._process = subprocess.Popen(
            [venv / "bin" / "python", HERE / "peers" / "worker.py", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._read() != "ready":
            raise RuntimeError(f"the worker of {library} did not start")

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")

    def run(self, programs: Sequence[str]) -> list[object]:
        assert self._process.stdin is not None
        print(json.dumps([(p, _answer(p)) for p in programs]), file=self._process.stdin, flush=True)
        found: list[object] = self._read() or [None] * len(programs)
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def install(venv: Path) -> str:
    """Make the venv of the peers, if it is not there. Returns why there is none, or ""."""
    mark = venv / "peers.txt"
    if mark.exists() and mark.read_text() == "\n".join(PEERS):
        return ""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries=1", *PEERS]
    for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], pip):
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            return (ended.stderr.strip().splitlines() or [f"{command[2]} failed"])[-1]
    mark.write_text("\n".join(PEERS))
    return ""


def _answer(program: str) -> str:
    """The expression that has the answer of a program of ours."""
    return next((f"{name}()" for name in ("solution", "solver") if f"def {name}(" in program), "ans")


def by_human_eval(programs: Sequence[str]) -> list[object]:
    """HumanEval's way: for each program a manager and a forked process that takes the dangerous functions away."""
    context = multiprocessing.get_context("fork")
    found: list[object] = []
    for program in programs:
        with context.Manager() as manager:
            results = manager.list()
            process = context.Process(target=_in_process, args=(program, results))
            process.start()
            process.join(timeout=5)
            found.append(results[0] if results else None)
    return found


def _printing(program: str) -> str:
    return f"{program}\nprint({_answer(program)})\n"


def _in_process(program: str, results: list[object]) -> None:
    import os
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
    for name in ("system", "kill", "fork", "remove", "unlink", "rmdir", "chdir", "putenv"):
        setattr(os, name, None)
    with contextlib.redirect_stdout(io.StringIO()):
        results.append(execute(program))


def tree_screen(program: str) -> None:
    """The least that a screen of the parsed tree does: parse, and look at every node."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Attribute | ast.Name):
            _ = (node.attr if isinstance(node, ast.Attribute) else node.id).startswith("_")


def measure(
    ways: dict[str, tuple[Way, int]], programs: Sequence[str], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Of each way the programs a second, the median over the rounds, and the share done; each round runs every way."""
    expected = {program: str(execute(program)) for program in programs}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    done: dict[str, list[bool]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, (way, count) in ways.items():
            start = (turn * count) % max(1, len(programs) - count + 1)
            chosen = programs[start : start + count]
            before = time.perf_counter()
            answers = way(chosen)
            speeds[name].append(len(chosen) / (time.perf_counter() - before))
            done[name] += [str(answer) == expected[p] for p, answer in zip(chosen, answers, strict=True)]
    return (
        {name: statistics.median(found) for name, found in speeds.items()},
        {name: statistics.mean(found) for name, found in done.items()},
    )


def million(count: int) -> dict[str, float]:
    """Memory of this process and all below it while `count` different programs run, in MiB."""
    found = {}
    with Sandbox(engine="cpython") as sandbox:
        for done in range(0, count, 20_000):
            outcomes = sandbox.run(made_up(20_000, seed=done))
            assert all(outcome.status == "ok" for outcome in outcomes)
            if done in (0, 100_000) or done + 20_000 >= count:
                below = [p.memory_info().rss for p in psutil.Process().children(recursive=True)]
                found[f"{done + 20_000:,} programs"] = (sum(below) + psutil.Process().memory_info().rss) / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="The speed of the sandbox and of other ways.")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--million", action="store_true", help="run 10^6 programs and show the memory")
    parser.add_argument(
        "--venv",
        type=Path,
        default=HERE.parent / "build" / "benchmarks" / "peers",
        help="where the peers are installed",
    )
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    scale, rounds = (1, 3) if options.quick else (3, 5)
    programs = made_up(20_000)
    shared, alone, monty = JailEngine(256), JailEngine(256, shared=False), MontyEngine(256)
    for engine in (shared, alone, monty):
        engine.open()
    ways: dict[str, tuple[Way, int]] = {
        "exec in this process (no protection)": (by_exec, 3000 * scale),
        "the jail, shared worker": (lambda p: _run(shared, p), 3000 * scale),
        "the jail, a process forked for each": (lambda p: _run(alone, p), 150 * scale),
        "Monty": (lambda p: _run(monty, p), 1000 * scale),
        "a Python for each (PaD's way)": (by_process, 30 * scale),
        "a manager and a fork for each (HumanEval's way)": (by_human_eval, 15 * scale),
    }
    missing, peers = {}, []
    if why := why_no_bubblewrap():
        missing["bubblewrap"] = why
    else:
        ways["bubblewrap, a Python for each"] = (by_bubblewrap, 20 * scale)
    why = install(options.venv)
    for pin, count in zip(PEERS, (1000, 500), strict=True):
        if why:
            missing[pin] = why
            continue
        peers.append(Peer(pin.partition("=")[0], options.venv))
        ways[f"{pin.replace('==', ' ')} (no wall)"] = (peers[-1].run, count * scale)
    speeds, done = measure(ways, programs, rounds)
    whole, each = speeds["exec in this process (no protection)"], speeds["a Python for each (PaD's way)"]
    print(f"{'way':<50}{'programs/s':>12}{'of exec':>10}{'times a Python each':>22}{'done':>9}")
    for name, speed in speeds.items():
        print(f"{name:<50}{speed:>12,.0f}{speed / whole:>10.3f}{speed / each:>22,.1f}{done[name]:>9.0%}")
    for name, why in missing.items():
        print(f"{name:<50}not measured: {why}")
    report: dict[str, object] = {
        "programs_per_s": speeds,
        "of_exec": {name: speed / whole for name, speed in speeds.items()},
        "done": done,
        "not_measured": missing,
    }
    report["screens"] = _screens(programs[:2000], whole, speeds["the jail, shared worker"])
    report["loops_s"] = _loops(shared, programs[:2000])
    for engine in (shared, alone, monty):
        engine.close()
    for peer in peers:
        peer.close()
    if options.million:
        report["memory_mib"] = million(10**6)
        print(json.dumps(report["memory_mib"], indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _run(engine: JailEngine | MontyEngine, programs: Sequence[str]) -> list[object]:
    return [outcome.value for outcome in engine.run(programs, 5.0)]


def _screens(programs: Sequence[str], whole: float, jail: float) -> dict[str, float]:
    """Microseconds a program that either screen costs, and what the jail would reach with the other one."""
    codes = [compile(program, "", "exec") for program in programs]
    before = time.perf_counter()
    for code in codes:
        screen.why_alone(code)
    of_code = (time.perf_counter() - before) / len(codes)
    before = time.perf_counter()
    for program in programs:
        tree_screen(program)
    of_tree = (time.perf_counter() - before) / len(programs)
    with_tree = 1 / (1 / jail - of_code + of_tree) / whole
    print(
        f"\nscreen of the compiled code {of_code * 1e6:.1f} us, of the parsed tree {of_tree * 1e6:.1f} us a program: "
        f"the jail would reach {with_tree:.2f} of exec with the latter"
    )
    return {"code_us": of_code * 1e6, "tree_us": of_tree * 1e6, "of_exec_with_tree": with_tree}


def _loops(engine: JailEngine, programs: Sequence[str]) -> dict[str, float]:
    """Seconds for 2,000 programs, and with six endless loops among them, in one pass and in two."""
    looping = list(programs)
    for i in range(6):
        looping[i * 300 + 100] = "while True: pass"
    found = {}
    for name, chosen, limits in (
        ("none", programs, (2.0,)),
        ("one pass", looping, (2.0,)),
        ("two passes", looping, (0.25, 2.0)),
    ):
        before = time.perf_counter()
        left = list(chosen)
        for limit in limits:
            outcomes = engine.run(left, limit)
            left = [p for p, outcome in zip(left, outcomes, strict=True) if outcome.status == "timeout"]
        found[name] = time.perf_counter() - before
    print("2,000 programs with six endless loops: " + ", ".join(f"{name} {s:.2f} s" for name, s in found.items()))
    return found


if __name__ == "__main__":
    main()
