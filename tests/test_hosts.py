"""The sandbox works from wherever it is used: threads, forked and spawned processes, data loaders, test runners, Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from understudy.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")
ROOT = Path(__file__).parents[1]
RAY = ROOT / "build" / "ray" / "bin" / "python"

ENDED = """
def ended(pids):
    assert pids
    return not psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)[1]
"""
LOADER = f"""
import os, sys
import psutil, torch
from torch.utils.data import DataLoader, Dataset
from understudy.sandbox import Sandbox
{ENDED}
class Sums(Dataset):
    def __init__(self, sandbox):
        self.sandbox = sandbox

    def __len__(self):
        return 40

    def __getitem__(self, i):
        if self.sandbox is None:
            self.sandbox = Sandbox(engine="cpython").__enter__()
        value = self.sandbox.run([f"ans = {{i}} + 1"])[0].value
        return value, os.getpid(), psutil.Process().children()[0].pid

def main(way):
    torch.ones(300, 300) @ torch.ones(300, 300)
    with Sandbox(engine="cpython") as sandbox:
        assert sandbox.run(["ans = 1"])[0].value == 1
        data = Sums(sandbox if way == "fork" else None)
        rows = list(DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=way))
        assert sandbox.run(["ans = 2"])[0].value == 2
    values, loaders, runners = zip(*rows)
    assert list(values) == list(range(1, 41))
    assert len(set(loaders)) == len(set(runners)) == 2
    assert ended(set(runners))

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_workers_of_a_data_loader_run_programs_after_their_parent_used_torch(way: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = tmp_path / "loader.py"
    script.write_text(LOADER)
    run(sys.executable, "-W", "ignore", str(script), way)


def test_a_process_forked_while_other_threads_run_programs_runs_its_own() -> None:
    run(
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "import os, threading\nfrom understudy.sandbox import Sandbox\n"
        "done = threading.Event()\n"
        "def ask():\n"
        "    while not done.is_set():\n"
        "        assert [o.value for o in sandbox.run(['ans = 1', 'class A: x = 2\\nans = A.x'])] == [1, 2]\n"
        "with Sandbox(engine='cpython') as sandbox:\n"
        "    threads = [threading.Thread(target=ask) for _ in range(3)]\n"
        "    for thread in threads: thread.start()\n"
        "    for i in range(5):\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            found = [o.value for o in sandbox.run([f'ans = {i}', f'class A: x = {i}\\nans = A.x'])]\n"
        "            os._exit(found != [i, i])\n"
        "        assert os.waitpid(pid, 0)[1] == 0\n"
        "    done.set()\n"
        "    for thread in threads: thread.join()\n",
    )


def test_a_sandbox_outlives_the_thread_that_opened_it() -> None:
    sandbox = Sandbox(engine="cpython")
    thread = threading.Thread(target=sandbox.__enter__)
    thread.start()
    thread.join()
    try:
        assert [outcome.value for outcome in sandbox.run(["ans = 1", "class A: x = 2\nans = A.x"])] == [1, 2]
    finally:
        sandbox.__exit__(None, None, None)


@pytest.mark.slow
def test_each_worker_of_a_test_runner_has_a_sandbox_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_sums.py").write_text(
        "import pytest\nfrom understudy.sandbox import Sandbox\n"
        "@pytest.fixture(scope='session')\n"
        "def sandbox():\n"
        "    with Sandbox(engine='cpython') as sandbox:\n        yield sandbox\n"
        "@pytest.mark.parametrize('i', range(20))\n"
        "def test_sum(sandbox, i):\n    assert sandbox.run([f'ans = {i} + 1'])[0].value == i + 1\n"
    )
    command = (sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    assert "20 passed" in run(*command, str(tmp_path))


ON_RAY = f"""
import os, time
import psutil, ray
from understudy.sandbox import Sandbox
{ENDED}
@ray.remote
def task(i):
    with Sandbox(timeout_s=1, engine="cpython") as sandbox:
        outcomes = sandbox.run([*(f"ans = {{i}} + {{j}}" for j in range(100)), "open('x')", "while True: pass"])
        return [o.value for o in outcomes[:100]], [o.status for o in outcomes[100:]]

@ray.remote(max_concurrency=2)
class Actor:
    def __init__(self):
        self.sandbox = Sandbox(engine="cpython").__enter__()
        self.sandbox.run(["ans = 1"])

    def value(self, program):
        return self.sandbox.run([program])[0].value

    def below(self):
        return [process.pid for process in psutil.Process().children(recursive=True)]

    def loop(self):
        self.sandbox.run(["while True: pass"] * 1000)

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
for i, found in enumerate(ray.get([task.remote(i) for i in range(4)])):
    assert found == ([i + j for j in range(100)], ["violation", "timeout"])
for busy in (False, True):
    actor = Actor.remote()
    assert ray.get(actor.value.remote("ans = 6 * 7")) == 42
    if busy:
        actor.loop.remote()
        time.sleep(1)
    pids = ray.get(actor.below.remote())
    ray.kill(actor)
    assert ended(pids)
ray.shutdown()
"""


@pytest.mark.long
@pytest.mark.skipif(not RAY.exists(), reason="`make long` makes the environment with Ray")
def test_tasks_and_actors_of_ray_run_programs_and_a_killed_actor_leaves_no_process() -> None:
    run(str(RAY), "-c", ON_RAY, RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")


def run(*command: str, **environment: str) -> str:
    """What a command prints that must succeed; it finds this checkout's package."""
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
