"""estimate: what a run would still ask of its teacher, and what that costs, before the first call.

    estimate(run)   # [Line("generate program", requests=4000, stored=120, prompt=Range(1.2e6, 1.9e6), ...), ...]

Requests are counted by walking every procedure up to the first answer that the store does not have; a procedure that asks
again after it is counted up to there. Tokens are not counted: no tokenizer of a hosted model is at hand, so a prompt takes
from one token in five bytes to one in 2.5, and a completion from the length of a worked example to `max_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from understudy.methods import Source
from understudy.procedures import Ask, Driver, Procedure
from understudy.records import Sampling
from understudy.report.rows import amount
from understudy.sandbox import Outcome
from understudy.stages import spending
from understudy.stages.run import Run
from understudy.stages.writing import TeacherWriter
from understudy.teachers.account import Account, dollars
from understudy.teachers.store import Cost, key_of, request_of

FEWEST_BYTES, MOST_BYTES = 2.5, 5.0
"""Of one token in a prompt."""
_TYPICAL_COMPLETION = 40
"""Tokens, where there is no worked example to go by."""


class Range(NamedTuple):
    """From at least to at most."""

    low: float
    high: float

    def plus(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)


@dataclass(frozen=True, slots=True)
class Line:
    """What one step asks of the teacher.

    Attributes:
        samples: how many completions it needs.
        stored: how many of them the store has.
        prompt, completion: tokens of the others.
        low, high: US dollars; None if the price of a teacher is not known.
        prices: where they come from, in words.
    """

    step: str
    samples: int
    stored: int
    prompt: Range
    completion: Range
    low: Decimal | None
    high: Decimal | None
    prices: frozenset[str]


def estimate(run: Run) -> list[Line]:
    """A line for every step that asks the teacher; none if no step does."""
    lines = []
    with spending.account(run) as account:
        for role in run.method.roles():
            for source in role.sources:
                if source.by == "teacher":
                    lines.append(_generate(run, source, account))
        if run.method.asks_teacher:
            lines.append(_evaluate(run, account))
    return lines


def _generate(run: Run, source: Source, account: Account) -> Line:
    who = TeacherWriter(run, source)
    shown = [who.source.format.write(run.task, r) for _, r in run.task.demonstrations(source.format.name)]
    procedures = ((q.id, who.write(q, run.samples(source))) for q in run.asked(source))
    return _line(f"generate {source.name}", run, account, procedures, Driver({}, _none, sampling=who.sampling), shown)


def _evaluate(run: Run, account: Account) -> Line:
    driver = Driver({}, _none, run.config.seed, run.sampling)
    splits = (split for split in run.config.evaluate.splits if split in run.task.splits)
    procedures = ((q.id, run.answer(q)) for split in splits for q in run.questions(split))
    return _line("evaluate", run, account, procedures, driver, [])


def _line(
    step: str,
    run: Run,
    account: Account,
    procedures: Iterator[tuple[str, Procedure[object]]],
    driver: Driver,
    shown: list[str],
) -> Line:
    typical = sum(len(text.encode()) for text in shown) / len(shown) / MOST_BYTES if shown else _TYPICAL_COMPLETION
    samples = stored = 0
    prompt, completion, low, high = Range(0, 0), Range(0, 0), Cost(), Cost()
    prices: set[str] = set()
    unpriced = False
    with run.progress.bar(f"estimate {step}", None) as bar:
        for key, procedure in procedures:
            for ask, missing in _asks(run, account, driver, key, procedure):
                samples += ask.n
                stored += ask.n - missing
                if missing:
                    size = len((ask.prompt + ask.prefix).encode("utf-8", "replace"))
                    longest = (ask.sampling or Sampling()).max_tokens
                    asked = Range(size / MOST_BYTES, size / FEWEST_BYTES)
                    written = Range(missing * min(typical, longest), missing * longest)
                    prompt, completion = prompt.plus(asked), completion.plus(written)
                    teacher = run.teacher.part(ask.key)
                    if (price := teacher.price()) is None:
                        unpriced = True
                        continue
                    low = low.plus(Cost(0, price.picodollars(math.ceil(asked.low), math.ceil(written.low))))
                    high = high.plus(Cost(0, price.picodollars(math.ceil(asked.high), math.ceil(written.high))))
                    prices.add(f"{teacher.model} {price} ({teacher.price_source()})")
            bar.advance()
    least, most = (None, None) if unpriced else (dollars(low), dollars(high))
    return Line(step, samples, stored, prompt, completion, least, most, frozenset(prices))


def _asks(
    run: Run, account: Account, driver: Driver, key: str, procedure: Procedure[object]
) -> Iterator[tuple[Ask, int]]:
    """The asks of a procedure with the number of samples that the store lacks, up to the first that lacks any."""
    number, replies = 0, None
    while True:
        try:
            calls = next(procedure) if replies is None else procedure.send(replies)
        except StopIteration:
            return
        replies = []
        for call in driver.seeded(key, number, calls):
            if not isinstance(call, Ask) or call.role != "teacher":
                return
            keys = [
                key_of(request_of(run.teacher.part(key).identity(), call, call.first_sample + i)) for i in range(call.n)
            ]
            found = account.store.find(keys, (call.sampling or Sampling()).max_tokens)
            yield call, found.count(None)
            replies.append(found)
        if any(None in found for found in replies):
            return
        number += 1


def _none(programs: object) -> list[Outcome]:
    raise AssertionError("an estimate runs no program")


def render(run: Run, lines: list[Line]) -> str:
    """The lines as a table for a terminal, with their prices and where those come from."""
    if not lines:
        return "This run asks no teacher: it costs nothing."
    head = f"{'step':<24}{'answers':>10}{'in store':>10}{'prompt tokens':>22}{'completion tokens':>22}{'price':>20}"
    rows = [head]
    for line in lines:
        money = "not known" if line.low is None or line.high is None else f"${line.low:.2f} to ${line.high:.2f}"
        tokens = f"{_span(line.prompt):>22}{_span(line.completion):>22}"
        rows.append(f"{line.step:<24}{line.samples:>10,}{line.stored:>10,}{tokens}{money:>20}")
    lows, highs = [line.low for line in lines], [line.high for line in lines]
    if None in highs:
        return "\n".join([*rows, f"{_nothing_known(run)}"])
    least, most = (sum(filter(None, ends), Decimal()) for ends in (lows, highs))
    rows.append(f"All together ${least:.2f} to ${most:.2f}.")
    rows += [f"Prices: {price}" for price in sorted(frozenset().union(*(line.prices for line in lines)))]
    budget = run.config.budget_usd
    if budget is not None:
        rows.append(f"The budget of ${budget} {'suffices' if budget >= most else 'may end the run before its end'}.")
    return "\n".join(rows)


def _nothing_known(run: Run) -> str:
    return (
        f"The price of {run.teacher.model or run.teacher.name} is not known: set usd_per_million_input and "
        "usd_per_million_output of the teacher."
    )


def _span(tokens: Range) -> str:
    return f"{amount(tokens.low)} to {amount(tokens.high)}"
