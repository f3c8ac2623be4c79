"""`understudy demo`: the bundled task distilled four ways into one tiny student, offline, and a page that compares
them.

Five configurations are written to `runs/demo/`, each run as if by `understudy run`, two at a time with one thread
each (two trainings side by side run steadier than one with two threads), and reported together. Nothing is hidden in
here: the files written are complete, and each can be run again by hand.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from understudy.errors import RunError
from understudy.jsonl import write_text
from understudy.progress import Progress, Screen

COMMON = """
student = "{student}"
seed = {seed}

[teacher]
name = "scripted"                     # answers from the task's own solutions, and makes mistakes on purpose
endless_loop = 0.002

[generate]
demonstrations = 2

[sandbox]
timeout_s = 0.25

[train]
steps = {steps}
batch_size = 8
learning_rate = 3e-3
weight_decay = 0.1
eval_every = {steps}

[evaluate]
splits = ["test", "unseen-numbers", "more-steps"]
batch_size = 100
max_tokens = {max_tokens}
"""

SHAPE = "scratch:llama-nano"
STEPS = 2000
RUNS = {
    "finetune": ('task = "wordsums"\nmethod = "finetune"', SHAPE, 8),
    "single-task": ('task = "wordsums"\nmethod = "single-task"', SHAPE, 160),
    "step-by-step": ('task = { name = "wordsums", answer = "expression" }\nmethod = "step-by-step"', SHAPE, 40),
    "pad": ('task = "wordsums"\nmethod = "pad"', SHAPE, 160),
    "copy-nearest": ('task = "wordsums"\nmethod = "pad"', "nearest", 160),
}
"""Name of the run: what its configuration opens with, its student, and the longest answer in tokens."""

STARTER = """\
# understudy run understudy.toml        a teacher of your own: teacher = "openai:gpt-4o-mini", the key in OPENAI_API_KEY
# every key:  understudy keys        the same for an editor:  understudy schema
task = "wordsums"                       # understudy list tasks; your own file: { path = "my.jsonl", answer = "number" }
method = "pad"                          # understudy list methods
""" + COMMON.format(student=SHAPE, seed=0, steps=STEPS, max_tokens=160)


def configuration(name: str, seed: int) -> str:
    """The configuration file of one of the demo's runs."""
    head, student, max_tokens = RUNS[name]
    return head + COMMON.format(student=student, seed=seed, steps=STEPS, max_tokens=max_tokens)


def demo(out: Path, jobs: int, seed: int, progress: Progress) -> str:
    """Run all of `RUNS`, write their common page, and return the table and where the page is.

    Args:
        out: folder for the configurations and the runs.
        jobs: how many run side by side.
        seed: of every run.
        progress: where to show how far they are.

    Raises:
        RunError: a run failed; says how to see it alone.
    """
    from understudy.report.page import render_text_table, write_report

    for name in RUNS:
        write_text(out / f"{name}.toml", configuration(name, seed))
    progress.say("The teacher of this demo is scripted: it knows the answers and errs on purpose. No model is asked.")
    run_side_by_side([Job(name, out / f"{name}.toml", out / name) for name in RUNS], jobs, progress)
    runs = [out / name for name in RUNS]
    page = out / "report.html"
    write_report(runs, page)
    return f"{render_text_table(runs)}\n\nreport: {page}"


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made by a process of its own."""

    name: str
    config: Path
    out: Path

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "understudy", "run", str(self.config), "--out", str(self.out), "--events"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with open(self.log, "w") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def log(self) -> Path:
        """What the process says beside its progress."""
        return self.out.with_name(f"{self.name}.log")


def run_side_by_side(jobs: Sequence[Job], at_once: int, progress: Progress) -> None:
    """Run `jobs`, `at_once` together, and show their progress. If one fails or Ctrl-C comes, all are stopped."""
    waiting, running = deque(jobs), dict[str, subprocess.Popen[str]]()
    events: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
    with ExitStack() as stack:
        board = stack.enter_context(Board(progress, [job.name for job in jobs]))
        stack.callback(_stop, running)
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                running[job.name] = job.start()
                threading.Thread(target=_listen, args=(job.name, running[job.name], events), daemon=True).start()
            name, event = events.get()
            if event is not None:
                board.show(name, event)
                continue
            process = running.pop(name)
            if process.wait() != 0:
                job = next(job for job in jobs if job.name == name)
                last = (job.log.read_text().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
                raise RunError(f"the run {name!r} failed: {last}. All of it: {job.log}")
            board.end(name)


def _listen(name: str, process: subprocess.Popen[str], events: queue.Queue[tuple[str, dict[str, Any] | None]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            events.put((name, json.loads(line)))
        except json.JSONDecodeError:
            events.put((name, {"say": line.rstrip()}))
    events.put((name, None))


def _stop(running: dict[str, subprocess.Popen[str]]) -> None:
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.wait()
        if process.stdout:
            process.stdout.close()


class Board:
    """Shows the events of several runs: a bar for each on a terminal, a line for each piece of work elsewhere."""

    def __init__(self, progress: Progress, names: list[str]) -> None:
        self._progress, self._names = progress, names
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        screen = self._progress if isinstance(self._progress, Screen) else None
        self._bars = self._stack.enter_context(screen.board(self._names)) if screen else {}
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def show(self, name: str, event: dict[str, Any]) -> None:
        """Show one event of the run `name`."""
        bar = self._bars.get(name)
        if bar is not None and "bar" in event:
            bar.restart(f"{name}: {event['bar']}", event["total"])
        elif bar is not None and "advance" in event:
            bar.advance(event["advance"], **event["info"])
        elif bar is None and "bar" in event:
            self._progress.say(f"{name}: {event['bar']}")

    def end(self, name: str) -> None:
        """The run `name` is complete."""
        if name in self._bars:
            self._bars[name].restart(name, 1)
            self._bars[name].end("done")
        else:
            self._progress.say(f"{name}: done")
