"""How fast teachers are asked, and how fast stored answers come back, against the libraries of others.

    python benchmarks/teacher.py [--quick] [--ours] [--beside CHECKOUT] [--json FILE] [--venv FOLDER]

    client                                       requests/s   of ideal   of bare loop   CPU ms each   peak MiB
    pyreqwest, bare loop                              2,377       93 %          1.000          0.16         86
    ours, store in memory                             ...

An endpoint of our own on loopback answers each request after 200 ms; 512 are in flight, so that 2,560 requests a second are
the ideal, in waves of 512: 10,240 requests, twenty of them, cannot take less than 4.0 s. The endpoint is pinned to one core
and the client to another. Every client, in a process of its own, answers 2,000 requests first, for its connections and,
with ours, for the limit that rises from 64; then it is measured over 10,240 others, from the first sent to the last
answered and, with a store, written. The clients take turns, five rounds, and the median counts. The absolute numbers are
this machine's, the ratios travel. `CPU ms each` is what the client's process used, its threads included.

`ours` is how `generate` asks: `Driver.each`, the store and the client. Peers are installed into venvs of their own
(`--venv`); with `--quick`, fewer requests are asked, and only those peers that are there already. One that cannot be had is
named with the reason. With `--ours`, only the bare loop and ours are asked, in two minutes; with `--beside`, ours of another
checkout takes its turns, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEERS = {
    "aiohttp": ("aiohttp==3.14.5",),
    "openai": ("openai==3.52.0",),
    "curator": ("bespokelabs-curator==0.1.31",),
}
NAMES = {
    "pyreqwest": "pyreqwest, bare loop",
    "understudy": "ours, store in memory",
    "understudy_stored": "ours, store on disk",
    "aiohttp": "aiohttp, bare loop",
    "openai": "openai SDK, AsyncOpenAI and a semaphore",
    "curator": "bespokelabs-curator, openai backend",
    "beside": "ours of the other checkout, on disk",
}
OURS = ("pyreqwest", "understudy", "understudy_stored", "beside")
IDEAL = 512 / 0.2
INSTALL_S = 600
HERE = Path(__file__).parent


@contextmanager
def endpoint(core: int) -> Iterator[int]:
    """The port of an endpoint in a process of its own."""
    command = [sys.executable, str(HERE / "peers" / "fast_endpoint.py"), str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def install(venv: Path, pins: tuple[str, ...], only_look: bool) -> str:
    """Make a peer's venv, if it is not there. Returns why there is none, or ""."""
    mark = venv / "peers.txt"
    if mark.exists() and mark.read_text() == "\n".join(pins):
        return ""
    if only_look:
        return "not installed; run without --quick"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries=1", *pins]
    for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], pip):
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            return f"not installed after {INSTALL_S} s"
        if ended.returncode:
            return (ended.stderr.strip().splitlines() or [f"{command[2]} failed"])[-1]
    mark.write_text("\n".join(pins))
    return ""


def ask(python: str, *arguments: object, checkout: Path | None = None) -> dict[str, float]:
    """What an asker in a process of its own has measured; with `checkout`, that one's asker.

    Raises:
        RuntimeError: it failed; says with what.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = HERE if checkout is None else checkout / "benchmarks"
        path = {} if checkout is None else {"PYTHONPATH": str(checkout / "src")}
        command = [python, str(here / "peers" / "asker.py"), *map(str, arguments), folder]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **path})
    if ended.returncode:
        raise RuntimeError((ended.stderr.strip().splitlines() or ["no reason given"])[-1][:200])
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="The speed of asking a teacher, and of others' clients.")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--ours", action="store_true", help="without the peers and the replay")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout of this project")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument(
        "--venv",
        type=Path,
        default=HERE.parent / "build" / "benchmarks" / "teacher",
        help="the folder of the peers' venvs",
    )
    options = parser.parse_args()
    first, count, rounds, stored = (1000, 2048, 1, 10_000) if options.quick else (2000, 10_240, 5, 100_000)
    client, server = sorted(os.sched_getaffinity(0))[:2]
    pythons, missing = {}, {}
    ways = [way for way in NAMES if (not options.ours or way in OURS) and (way != "beside" or options.beside)]
    for way in ways:
        venv = options.venv / way
        if why := install(venv, PEERS[way], options.quick) if way in PEERS else "":
            missing[way] = why
        else:
            pythons[way] = str(venv / "bin" / "python") if way in PEERS else sys.executable
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in pythons}
    with endpoint(server) as port:
        for _ in range(rounds):
            for way, python in pythons.items():
                try:
                    other = way == "beside"
                    asked = "understudy_stored" if other else way
                    found = ask(python, asked, client, port, first, count, checkout=options.beside if other else None)
                    measured[way].append(found)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    missing[way] = str(error)
    table = {way: _row(found, count) for way, found in measured.items() if way not in missing}
    if "pyreqwest" not in table:
        sys.exit(f"the bare loop, which the others are measured by, failed: {missing['pyreqwest']}")
    bare = table["pyreqwest"]["requests_per_s"]
    print(f"{'client':<42}{'requests/s':>12}{'of ideal':>11}{'of bare loop':>15}{'CPU ms each':>14}{'peak MiB':>11}")
    for way, row in table.items():
        speed = row["requests_per_s"]
        print(
            f"{NAMES[way]:<42}{speed:>12,.0f}{speed / IDEAL:>11.1%}{speed / bare:>15.3f}{row['cpu_ms']:>14.2f}"
            f"{row['peak_mib']:>11.0f}"
        )
    for way, why in missing.items():
        print(f"{NAMES[way]:<42}not measured: {why}")
    replayed = {} if options.ours else ask(sys.executable, "replay", client, 0, 0, stored)
    if replayed:
        print(
            f"\n{stored:,} stored answers: {stored / replayed['recall_s']:,.0f}/s written down in order, "
            f"{stored / replayed['ask_again_s']:,.0f}/s asked for again; "
            f"{replayed['begin_mib']:.1f} MiB after a tenth, {replayed['end_mib']:.1f} MiB at the end"
        )
    if options.json:
        report = {"ideal": IDEAL, "clients": table, "not_measured": missing, "stored": stored, "replay": replayed}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _row(found: list[dict[str, float]], count: int) -> dict[str, float]:
    """The medians over the rounds."""

    def median(name: str) -> float:
        return statistics.median(one[name] for one in found)

    return {
        "requests_per_s": count / median("seconds"),
        "cpu_ms": median("cpu_s") / count * 1000,
        "peak_mib": median("peak_mib"),
    }


if __name__ == "__main__":
    main()
