"""estimate: what a run would still ask of its teacher, and what that costs, before the first call.

    estimate(run)   # [Line("generate program", requests=4000, stored=120, prompt=Range(1.2e6, 1.9e6), ...), ...]

Requests are counted by walking every procedure up to the first answer that the store does not have; a procedure that asks
again after it is counted up to there. Tokens are not counted: no tokenizer of a hosted model is at hand, so a prompt takes
from one token in five bytes to one in 2.5, and a completion from the length of a worked example to `max_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from understudy.methods import Source
from understudy.procedures import Ask, Driver, Procedure
from understudy.records import Sampling
from understudy.report.rows import amount, money
from understudy.rundir import read_json
from understudy.sandbox import Outcome
from understudy.stages import spending
from understudy.stages.run import Run
from understudy.stages.writing import TeacherWriter
from understudy.teachers import Teacher
from understudy.teachers.account import dollars
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Store, key_of, request_of
from understudy.teachers.teacher import NoTeacher

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
        unpriced: the models whose price is not known.
    """

    step: str
    samples: int
    stored: int
    prompt: Range
    completion: Range
    low: Decimal | None
    high: Decimal | None
    prices: frozenset[str]
    unpriced: frozenset[str] = frozenset()


def estimate(run: Run) -> list[Line]:
    """A line for every step that asks the teacher; none if no step does.

    Raises:
        TeacherError: a step asks the teacher, and none is named.
    """
    sources = [source for role in run.method.roles() for source in role.sources if source.by == "teacher"]
    evaluates = run.method.asks_teacher and run.config.until in ("evaluate", "report")
    if (sources or evaluates) and isinstance(run.teacher, NoTeacher):
        run.teacher.open(run.task)  # says that none is named
    path = spending.store_path(run)
    with Store(path if path.exists() else None) as store:
        lines = [_generate(run, source, store) for source in {source.name: source for source in sources}.values()]
        return [*lines, *([_evaluate(run, store)] if evaluates else [])]


def _generate(run: Run, source: Source, store: Store) -> Line:
    who = TeacherWriter(run, source)
    shown = [who.source.format.write(run.task, r) for _, r in run.task.demonstrations(source.format.name)]
    procedures = ((q.id, who.write(q, run.samples(source))) for q in run.asked(source))
    return _line(f"generate {source.name}", run, store, procedures, Driver({}, _none, sampling=who.sampling), shown)


def _evaluate(run: Run, store: Store) -> Line:
    driver = Driver({}, _none, run.config.seed, run.sampling)
    splits = (split for split in run.config.evaluate.splits if split in run.task.splits)
    procedures = ((q.id, run.answer(q)) for split in splits for q in run.questions(split))
    return _line("evaluate", run, store, procedures, driver, [])


def _line(
    step: str,
    run: Run,
    store: Store,
    procedures: Iterator[tuple[str, Procedure[object]]],
    driver: Driver,
    shown: list[str],
) -> Line:
    typical = sum(len(text.encode()) for text in shown) / len(shown) / MOST_BYTES if shown else _TYPICAL_COMPLETION
    samples = stored = 0
    prompt, completion, low, high = Range(0, 0), Range(0, 0), Cost(), Cost()
    prices: set[str] = set()
    unpriced: set[str] = set()
    with run.progress.bar(f"estimate {step}", None) as bar:
        for key, procedure in procedures:
            for ask, missing in _asks(run, store, driver, key, procedure):
                samples += ask.n
                stored += ask.n - missing
                if missing:
                    teacher = run.teacher.part(ask.key)
                    size = sum(len(text.encode("utf-8", "replace")) for _, text in teacher.told(ask))
                    longest = (ask.sampling or Sampling()).max_tokens
                    asked = Range(size / MOST_BYTES, size / FEWEST_BYTES)
                    written = Range(missing * min(typical, longest), missing * longest)
                    prompt, completion = prompt.plus(asked), completion.plus(written)
                    if (price := teacher.price()) is not None:
                        low = low.plus(Cost(0, price.picodollars(math.ceil(asked.low), math.ceil(written.low))))
                        high = high.plus(Cost(0, price.picodollars(math.ceil(asked.high), math.ceil(written.high))))
                        prices.add(f"{teacher.model} {price} ({teacher.price_source()})")
                    elif _has_price(teacher):
                        unpriced.add(teacher.model or teacher.name)
            bar.advance()
    least, most = (None, None) if unpriced else (dollars(low), dollars(high))
    return Line(step, samples, stored, prompt, completion, least, most, frozenset(prices), frozenset(unpriced))


def _has_price(teacher: Teacher) -> bool:
    """Whether its tokens are paid for; a model in this process, a recording or a script costs no money."""
    return "usd_per_million_input" in type(teacher).model_fields


def _asks(run: Run, store: Store, driver: Driver, key: str, procedure: Procedure[object]) -> Iterator[tuple[Ask, int]]:
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
            found = store.find(keys, (call.sampling or Sampling()).max_tokens)
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
    rows = [run.fraction_note, head] if run.fraction_note else [head]
    for line in lines:
        tokens = f"{_span(line.prompt):>22}{_span(line.completion):>22}"
        rows.append(f"{line.step:<24}{line.samples:>10,}{line.stored:>10,}{tokens}{_price(line.low, line.high):>20}")
    rows += [f"Prices: {price}" for price in sorted(frozenset().union(*(line.prices for line in lines)))]
    if unpriced := sorted(frozenset().union(*(line.unpriced for line in lines))):
        rows.append(
            f"The price of {' and '.join(unpriced)} is not known: set usd_per_million_input and usd_per_million_output of "
            "the teacher, 0 for a server of your own."
        )
    else:
        least, most = (
            sum(filter(None, ends), Decimal()) for ends in zip(*((x.low, x.high) for x in lines), strict=True)
        )
        rows.append(f"All together: {_price(least, most)}.")
        rows += _budget("budget_usd", run, most, money)
    tokens_left = Decimal(math.ceil(sum(line.prompt.high + line.completion.high for line in lines)))
    rows += _budget("budget_tokens", run, tokens_left, lambda tokens: f"{tokens:,} tokens")
    return "\n".join(rows)


def _price(low: Decimal | None, high: Decimal | None) -> str:
    if low is None or high is None:
        return "not known"
    return f"{money(low)} to {money(high)}" if high else "nothing"


def _budget(key: str, run: Run, most: Decimal, show: Callable[[Decimal], str]) -> list[str]:
    """Whether a budget suffices for what is still to be asked, after what the run has spent already."""
    budget = getattr(run.config, key)
    if budget is None:
        return []
    ledger = (read_json(run.dir.manifest) or {}).get("ledger") or {}
    spent = Decimal(ledger.get(key.removeprefix("budget_")) or 0)
    words = f"The budget of {show(Decimal(budget))}" + (f", of which {show(spent)} is spent," if spent else "")
    return [f"{words} {'suffices' if budget - spent >= most else 'may end the run before its end'} ({key})."]


def _span(tokens: Range) -> str:
    return f"{amount(tokens.low)} to {amount(tokens.high)}"
