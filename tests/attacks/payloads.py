"""The hostile programs: every file `FAMILY.txt` beside this one, read.

    ### read: open                      the harm it does where there is no wall, and its name
    ans = open('@SECRET@').read()       the program; `@MARKS@` stand for what is planted

The harms: `read` a secret word (of a file, of the environment), `wrote` (any change to the planted folder), `connected`
to a listener, `killed` a sibling, `reached` a part of the system, `hung`, `memory`, `output` without bounds, `crashed`
its process, `raised` what a host that compiles does not expect, `fooled` the comparison with the gold answer,
`poisoned` the next program, `forged` a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_DEEP = {
    "@DEEP_BRACKETS@": "(" * 20000 + ")" * 20000,
    "@DEEP_SIGNS@": "-" * 60000 + "1",
    "@DEEP_ATTRIBUTES@": ".a" * 30000,
    "@DEEP_POWERS@": "2**" * 15000 + "1",
    "@DEEP_LAMBDAS@": "lambda:" * 8000,
    "@NULL@": "\0",
    "@SURROGATE@": "\ud800",
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile program, its marks not yet replaced."""

    family: str
    harm: str
    name: str
    program: str

    @property
    def id(self) -> str:
        """A name of its own."""
        return f"{self.family}/{self.harm}: {self.name}"


def _read(path: Path) -> list[Attack]:
    attacks = []
    for block in path.read_text(encoding="utf-8").split("### ")[1:]:
        head, _, program = block.partition("\n")
        harm, _, name = head.partition(": ")
        for mark, text in _DEEP.items():
            program = program.replace(mark, text)
        attacks.append(Attack(path.stem, harm, name, program))
    return attacks


ATTACKS = [attack for path in sorted(Path(__file__).parent.glob("*.txt")) for attack in _read(path)]
