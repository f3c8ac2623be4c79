"""A fuzzer for the readers: real outputs of models and humans, cut and spliced, through all formats and kinds of answers.

    python tests/fuzz_outputs.py --count 100000 --seed 7
    100,000 mutants: 61,204 answers, 2,310 truncated, ...; 0 failures in 60 s

What must hold: reading ends in a rationale or a fault and never in an exception; an answer that was read is a notation
that equals itself and can be written again. Programs are looked for and read, but not run: `fuzz.py` does that.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence

from doubles import Sums
from fuzz import mutants
from programs import DATA
from understudy import jsonl
from understudy.answers import KINDS, AnswerKind
from understudy.formats import Cot, Format, Label, Program, Socratic
from understudy.formats.program import strip
from understudy.procedures import Driver
from understudy.records import Completion, Fault, Question, Rationale
from understudy.sandbox import Outcome

FORMATS: Sequence[Format] = (Label(), Cot(), Cot("published"), Socratic(), Program())
_FILES = (
    "svamp/train.jsonl", "cqa/test.jsonl.gz", "anli1/valid.jsonl.gz", "esnli/test.jsonl.gz",  # PaLM
    "svamp_programs/train.jsonl.gz", "pad_gsm8k/sample.jsonl",  # gpt-3.5
    "pot_programs/gsm8k_test_few_shot.jsonl", "pot_programs/gsm8k_test_zero_shot.jsonl.gz",  # Codex
    "gsm8k/test.jsonl", "gsm8k/socratic_test.jsonl.gz",  # humans
)  # fmt: skip
_ROWS = 300
_SPLICED = (
    "The answer is ", "The answer is The answer is", "So the answer is", "Answer:", "\nQ:", "\nQuestion:", "Premise:",
    " ** ", "####", "(a)", "(z)", "(b) the sea", "the sea", "neutral", "not", "yes", "no", "True", "```",
    "```python\n", "\n```\n", "=", "((((((((", "))))))))", "(" * 300, "()" * 50, "[" * 300, "{", "1" * 50, "9" * 400,
    "1e99", "1e-99", "1e999", "NaN", "-", "−", "–", "--", "+", "*", "**", "//", "/0", "1/0", "1/3", "25%", "%",
    "percent", "$", "\\$", "€", ",", "1,000,000", "1,00", ".", "..", ".5", "5.", "0x1F", "\\frac{1}{2}",
    "\\frac{1}{0}", "\\boxed{", "million", "minus ", "٣", "½", "²", "Ⅳ", "１２", "é", "e\u0301", "\u200b", "\u202e",
    "\u2028", "\ufeff", "\ud800", "\udfff", "\U0001f600", "\x00", "\x1b[31m", "\r", "\r\n", "\x0b", "\t", "\n",
    "\n\n", " " * 300, "\n" * 300, "\"", "'", "“", "*", "_", "def solution():\n", "return ", "    ", "\\", "as an AI",
    "sorry", "answer:" * 50, "the " * 50, "**Answer: ", "1=" * 50, "1+1=2", "None", "<<1+1=2>>", "<script>", "{0}",
    "%s",
)  # fmt: skip
_OUTCOMES = (
    Outcome("ok", 17), Outcome("ok", 1e308), Outcome("ok", None), Outcome("ok", [1]), Outcome("ok", True), Outcome("timeout"),
    Outcome("ok", -(10**4000)), Outcome("ok", float("nan")), Outcome("error", error="NameError: x"), Outcome("error"),
)  # fmt: skip


class Any(Sums):
    """A task with answers of any kind."""

    kind: str = "number"

    @property
    def answer_kind(self) -> AnswerKind:
        return KINDS[self.kind]


TASKS = [Any(kind=name) for name in KINDS]
QUESTIONS = (Question("q", "?"), Question("c", "?", "the sea", ("the forest", "the sea", "neutral", "b")))


def published() -> list[str]:
    """The first outputs of every file, and the solutions that humans wrote; empty if they are not here."""
    texts: list[str] = []
    for path in (DATA / name for name in _FILES):
        for row in itertools.islice(jsonl.read(path) if path.exists() else (), _ROWS):
            texts += [output["text"] for output in row.get("teacher_outputs", ())]
            texts += [row[name] for name in ("solution", "solution_socratic") if name in row]
    return texts


def outcomes(programs: Sequence[str]) -> list[Outcome]:
    """Some outcome for each program, none of which is run."""
    return [_OUTCOMES[len(program) % len(_OUTCOMES)] for program in programs]


def check(text: str, dice: random.Random) -> Iterator[str]:
    """Read `text` in every format; yields what was found, and raises if something does not hold."""
    task, question = dice.choice(TASKS), dice.choice(QUESTIONS)
    completion = Completion(text, dice.choice(("stop", "length")))
    readings = Driver({}, outcomes).run((f.name, f.read(task, question, completion)) for f in FORMATS)
    for format, found in zip(FORMATS, readings, strict=True):
        if isinstance(found, Fault):
            yield found.slug
            continue
        assert isinstance(found, Rationale), found
        yield "no answer" if found.answer is None else "answer"
        if found.answer is not None:
            assert task.answer_kind.same(found.answer, found.answer), found
            assert format.write(task, found), found
    kind = dice.choice(TASKS).answer_kind
    for notation in (kind.read(text, question.choices), kind.find(text, question.choices)):
        assert notation is None or kind.same(notation, notation), (kind.name, notation)
    if dice.random() < 0.1:  # slow, since Python's tokenizer is
        strip(text, docstring=True, comments=True)


def run(seeds: Sequence[str], count: int, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """What the readers found in the mutants, and those on which one of them failed."""
    found: collections.Counter[str] = collections.Counter()
    failures = []
    dice = random.Random(seed)
    for mutant in mutants(seeds, count, seed, _SPLICED):
        try:
            found.update(check(mutant, dice))
        except Exception as error:  # whatever it is, it is what is looked for
            failures.append(f"{type(error).__name__}: {error}\n{mutant!r}")
    return found, failures


def main() -> None:
    """Fuzz, print, end with 1 if a reader failed."""
    parser = argparse.ArgumentParser(description="Fuzz the readers with mutants of published outputs.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    found, failures = run(published(), options.count, options.seed)
    ends = ", ".join(f"{count:,} {what}" for what, count in found.most_common())
    print(f"{options.count:,} mutants: {ends}; {len(failures)} failures in {time.monotonic() - began:.0f} s")
    print(*failures[:20], sep="\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
