"""A fuzzer for the sandbox: real programs, cut and spliced, on both tiers of the jail.

    python tests/fuzz.py --count 100000 --seed 7
    100000 mutants: 41,812 ok, 55,102 error, 2,310 violation, ...; 0 disagreements, longest batch 3.1 s

What must hold: the host survives and waits no longer than the limits allow, a worker that dies takes no other program's
outcome with it, and what the shared worker says of a program its own process says, too.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence

from programs import published
from understudy.sandbox import Outcome
from understudy.sandbox.jail.host import JailEngine

LIMIT_S = 0.2
CHUNK = 500
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_SPLICED = (
    "open('/etc/passwd')", "__class__", "__import__('os')", "while True: pass\n", "import sys\n", "import os\n", "eval",
    "(lambda: 0)", "yield ", "class A: pass\n", "exec('x=1')", "10**10**8", "[0] * 10**10", "'a' * 10**12", "print(1)\n",
    "del ", "global ans\n", "raise ", "import numpy as np\n", "getattr", ".__globals__", "().__reduce__", "range(10**9)",
    "async ", "await ", "try:\n", "finally:\n", "\x00", "\ud800", "é", "ｏpen", "{0.x}'.format", "f'{", "int('9' * 5000)",
    "sum", "sorted", "set([1, 2])", "{}", "float('nan')", "-", "**", "//", "%", " if ", " else ", " for ", " in ", "(", ")",
    "import math\n", "math.sqrt(2)", "from fractions import Fraction\n", "Fraction(1, 3)", "round(2.675, 2)", "None", "...",
)  # fmt: skip
_OPERATORS, _NUMBERS = ("+", "-", "*", "/", "%"), ("0", "1", "7", "100", "99999999999999999999", "3")


def mutants(seeds: Sequence[str], count: int, seed: int, spliced: Sequence[str] = _SPLICED) -> Iterator[str]:
    """`count` texts made from `seeds`: tokens dropped, doubled, replaced, parts of other texts and of `spliced` put in."""
    dice = random.Random(seed)
    for _ in range(count):
        tokens = _TOKEN.findall(dice.choice(seeds))
        for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
            at = dice.randrange(len(tokens) + 1)
            way = dice.randrange(12)
            if way == 0:
                del tokens[at : at + dice.choice((1, 2, 5))]
            elif way == 1:
                tokens[at:at] = tokens[at : at + dice.choice((1, 3, 10))] * dice.choice((1, 2, 50))
            elif way == 2:
                tokens.insert(at, dice.choice(spliced))
            elif way == 3 and at < len(tokens):
                tokens[at] = dice.choice(spliced)
            elif way == 4 and tokens:
                tokens.insert(at, dice.choice(tokens))
            elif way == 5:
                other = _TOKEN.findall(dice.choice(seeds))
                start = dice.randrange(len(other) + 1)
                tokens[at:at] = other[start : start + dice.randrange(30)]
            else:  # a program that still runs, most of the time
                same = [i for i, token in enumerate(tokens) if token.isdigit() or token in _OPERATORS]
                for i in dice.sample(same, min(len(same), 2)):
                    tokens[i] = dice.choice(_OPERATORS if tokens[i] in _OPERATORS else _NUMBERS)
        yield "".join(tokens)[:60_000]


def alike(shared: Outcome, alone: Outcome) -> bool:
    """Whether two outcomes of one program are the same, addresses in memory and the moment of a limit aside."""
    if {shared.status, alone.status} <= {"timeout", "memory", "output", "crash"}:
        return True
    one, other = (_ADDRESS.sub("0x", repr((o.status, o.value, o.error, o.printed))) for o in (shared, alone))
    return one == other


def run(programs: Sequence[str], count: int, seed: int) -> tuple[collections.Counter[str], list[str], float]:
    """How the mutants ended, those on which the tiers disagree, and the longest chunk in seconds."""
    statuses: collections.Counter[str] = collections.Counter()
    disagreements = []
    longest = 0.0
    shared, alone = JailEngine(64), JailEngine(64, shared=False)
    shared.open()
    alone.open()
    try:
        made = mutants(programs, count, seed)
        while chunk := [m for _, m in zip(range(CHUNK), made, strict=False)]:
            before = time.monotonic()
            first = shared.run(chunk, LIMIT_S)
            longest = max(longest, time.monotonic() - before)
            statuses.update(outcome.status for outcome in first)
            second = alone.run(chunk, LIMIT_S)
            again = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if not alike(a, b)]
            for i in again:  # a limit that one tier just met is no disagreement
                [a], [b] = shared.run([chunk[i]], 2.0), alone.run([chunk[i]], 2.0)
                if not alike(a, b):
                    disagreements.append(f"{a}\n{b}\n{chunk[i]!r}")
    finally:
        shared.close()
        alone.close()
    return statuses, disagreements, longest


def main() -> None:
    """Fuzz, print, end with 1 if the tiers disagree."""
    parser = argparse.ArgumentParser(description="Fuzz the sandbox with mutants of published programs.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    statuses, disagreements, longest = run(list(dict.fromkeys(published())), options.count, options.seed)
    ends = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    print(f"{options.count:,} mutants: {ends}; {len(disagreements)} disagreements, longest chunk {longest:.1f} s")
    print(*disagreements, sep="\n")
    sys.exit(bool(disagreements))


if __name__ == "__main__":
    main()
