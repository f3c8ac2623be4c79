"""The page: one self-contained HTML file for any number of runs; and the README of one run.

    write_report([Path("runs/pad"), Path("runs/finetune")], Path("report.html"))
    write_card(Path("runs/pad"), Path("runs/pad/README.md"))

The page holds no script and asks no network for anything; its own content policy forbids both. What a model wrote is
hostile input: it reaches the page through jinja's escaping only. The template is `page.html.j2`, its style `page.css`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.report import plots, rows
from understudy.report.differences import differences
from understudy.report.rows import NOTHING, columns_for, rows_of, table, text_table, verdict
from understudy.report.view import CLIP, RoleView, RunView, SourceView, read_run, read_runs

__all__ = ["render_funnels", "render_text_table", "table", "to_toml", "write_card", "write_report"]

_NOT_FOR_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def write_report(runs: Sequence[Path], out: Path) -> None:
    """Write the page of `runs` to `out`.

    Raises:
        RunError: a path is not a run directory, or a file in it is broken.
        DataError: a row of a file is broken; says file:line.
    """
    jsonl.write_text(out, render(read_runs(runs)))


def render(runs: Sequence[RunView]) -> str:
    """The page of `runs` as HTML."""
    import jinja2
    from markupsafe import Markup

    here = files("understudy.report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(percent=rows.percent, amount=rows.amount, duration=rows.duration)
    environment.globals.update(
        funnel=_funnel,
        points=rows.points_between,
        chance=_chance,
        ledger=_ledger,
        facts=_facts,
        loss=lambda *args: Markup(_loss(*args)),
        toml=to_toml,
        cut=_cut,
    )
    curves = [(title, Markup(picture)) for title, picture in _coverage(runs)]
    found, apart = rows_of(runs), differences(runs)
    measured = [row for row in found if row["accuracy"] is not None]
    page = environment.from_string(here.joinpath("page.html.j2").read_text(encoding="utf-8")).render(
        runs=runs,
        rows=found,
        columns=columns_for(found),
        verdict=verdict(found, apart),
        differences=apart,
        notes=_notes(runs),
        accuracy=Markup(plots.accuracy_svg(measured, width=None)) if measured else "",
        coverage=curves,
        css=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        nothing=NOTHING,
        clip=CLIP,
        results=(("wrong", "Wrong"), ("no_answer", "No answer"), ("error", "Not judged"), ("correct", "Correct")),
    )
    return _NOT_FOR_HTML.sub("\ufffd", page)


def _coverage(runs: Sequence[RunView]) -> Iterator[tuple[str, str]]:
    """What comes of answering only where votes agree: a title and a picture for each task and split with votes."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        for split, metrics in run.splits.items():
            if metrics.get("coverage"):
                found.setdefault((run.part("task"), split), {})[run.label] = metrics["coverage"]
    for number, ((task, split), curves) in enumerate(found.items()):
        yield f"{task} · {split}" if task else split, plots.coverage_svg(curves, key=f"coverage-{number}")


def _notes(runs: Sequence[RunView]) -> list[tuple[str, str]]:
    """Every note once, with the runs it belongs to; without their names if it belongs to all."""
    notes: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            notes.setdefault(note, []).append(run.label)
    return [(note, "" if len(labels) == len(runs) else ", ".join(labels)) for note, labels in notes.items()]


def _chance(p: float) -> str:
    """0.0421 -> `0.042`; the very small ones only as that."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _funnel(source: SourceView, roles: Sequence[RoleView] = ()) -> list[tuple[str, int, str]]:
    """The bars of a source, (what, count, in words): asked, read, right, kept, and the examples of `roles`."""
    numbers = source.funnel
    bars = [("asked", numbers.get("asked"), "completions asked for"), ("read", numbers.get("read"), "rationales read")]
    if numbers.get("graded"):
        bars.append(("right", numbers.get("right"), f"reach the gold answer, of {numbers['graded']} with one"))
    questions = ""
    if numbers.get("questions_kept") is not None:
        questions = f", of {numbers['questions_kept']} of {numbers.get('questions')} questions"
    bars.append(("kept", numbers.get("kept"), f"by the rule {numbers.get('keep')!r}{questions}"))
    if numbers.get("unlabelled"):
        words = f"of {numbers['unlabelled']} completions of questions without a gold answer"
        bars.append(
            ("unlabelled", numbers["unlabelled_kept"], f"{words}, kept by the rule {numbers['keep_unlabelled']!r}")
        )
    for role in roles:
        if role.examples:
            held_out = f", and {role.held_out} held out for validation" if role.held_out else ""
            bars.append(("examples", sum(role.examples.values()), f"rows for {role.name} to train on{held_out}"))
    return [(name, count, words) for name, count, words in bars if count is not None]


def _ledger(run: RunView) -> list[tuple[str, str, str]]:
    """What was spent on the teacher, as (what, how much, in words)."""
    ledger = run.ledger
    if not ledger:
        return []
    usd, budget, tokens = ledger["usd"], ledger["budget_usd"], ledger["budget_tokens"]
    limits = [
        *([rows.money(budget)] if budget is not None else []),
        *([f"{tokens:,} tokens"] if tokens is not None else []),
    ]
    unpaid = "nothing was charged, or the price is not known"
    if unpriced := ledger.get("unpriced_tokens", 0) if usd is not None else 0:
        unpaid = f"without {unpriced:,} of the tokens, for which nothing was charged or the price is not known"
    return [
        ("requests sent", f"{ledger['requests']:,}", ""),
        ("of unknown outcome", f"{ledger['unknown']:,}", "counted at the most that they can have cost"),
        ("tokens", f"{ledger['tokens']:,}", "of prompts and completions together"),
        ("dollars", NOTHING if usd is None else rows.money(usd), unpaid if usd is None or unpriced else ""),
        ("from the store", f"{ledger['replayed']:,}", "answers that were there already and cost nothing again"),
        ("budget", " and ".join(limits) or "none", ""),
    ]


def _facts(role: RoleView) -> list[tuple[str, str]]:
    """What to know of a student's training, in a few (name, value) pairs."""
    summary = role.summary
    by_objective = ", ".join(f"{rows.amount(n)} {name}" for name, n in role.examples.items())
    found: list[tuple[str, Any]] = [
        ("examples", by_objective),
        ("held out", rows.amount(role.held_out) if role.held_out else ""),
        ("dropped as too long", summary.get("dropped")),
        ("parameters", rows.amount(summary["parameters"]) if summary.get("parameters") else ""),
        ("steps", summary.get("steps")),
        ("tokens a step", _tokens(summary)),
        ("best step", summary.get("best_step")),
        ("time", rows.duration(role.seconds) if role.seconds is not None else ""),
    ]
    return [(name, str(value)) for name, value in found if value]


def _tokens(summary: Mapping[str, Any]) -> str:
    """What a step reads, and how much of it is learned: "2.41 k, to write 96 label, 611 rationale"."""
    if not summary.get("tokens_per_step"):
        return ""
    targets = ", ".join(f"{rows.amount(round(n))} {name}" for name, n in summary["targets_per_step"].items())
    return f"{rows.amount(round(summary['tokens_per_step']))}, to write {targets}"


def _loss(role: RoleView, number: int) -> str:
    return plots.loss_svg(role.curve, role.summary.get("best_step"), key=f"loss-{number}-{role.name}")


def _cut(count: int) -> str:
    return f"{count} more characters are not shown here; the run's files hold them all." if count else ""


def render_text_table(runs: Sequence[Path]) -> str:
    """The table of `runs` as aligned plain text, for the terminal.

    Raises:
        RunError, DataError: a directory is not a run's, or a file in it is broken.
    """
    return text_table(table(runs))


def render_funnels(run: Path) -> str:
    """What became of each source's completions, and why they were rejected, for the terminal.

    Raises:
        RunError, DataError: the directory is not a run's, or a file in it is broken.
    """
    lines = []
    for source in read_run(run).sources:
        lines.append(f"{source.name}: {_steps(source) or 'not filtered yet'}")
        lines += [f"{fault.count:>8}  {fault.slug}" for fault in source.faults]
    return "\n".join(lines)


def _steps(source: SourceView) -> str:
    return " -> ".join(f"{count} {name}" for name, count, _ in _funnel(source))


def write_card(run: Path, out: Path) -> None:
    """Write a run's README: the verdict, the numbers as a Markdown table, how to make it again.

    Raises:
        RunError, DataError: the directory is not a run's, or a file in it is broken.
    """
    view = read_run(run)
    found = rows_of([view])
    columns = [column for column in columns_for(found) if column.head != "run"]
    lines = [f"# {_inline(view.label)}", "", f"{_inline(verdict(found))}.", ""]
    for note in view.notes:
        lines += [f"> **Note.** {_inline(note)}", ""]
    lines.append("| " + " | ".join(column.head for column in columns) + " |")
    lines.append("|" + "|".join("--:" if column.numeric else ":--" for column in columns) + "|")
    lines += ["| " + " | ".join(_inline(column.show(row)) for column in columns) + " |" for row in found]
    lines += [
        "",
        "What stands behind the numbers (rejected completions, wrong answers, the loss) is in `report.html`.",
        "",
    ]
    lines += [f"- source `{source.name}`: {_steps(source)}" for source in view.sources if source.funnel]
    for role in view.roles:
        lines.append(f"- student `{role.name}`: " + ", ".join(f"{name} {value}" for name, value in _facts(role)))
    if view.config:
        lines += ["", "## Make it again", "", "Save as `run.toml`, then `understudy run run.toml`:", "", "```toml"]
        lines += [to_toml(view.config).rstrip().replace("```", "'''"), "```"]
    jsonl.write_text(out, _NOT_FOR_HTML.sub("\ufffd", "\n".join(lines)) + "\n")


def _inline(text: str) -> str:
    """Text that stays text within a line or a cell of Markdown."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))


def to_toml(table: Mapping[str, Any]) -> str:
    """A resolved configuration as the TOML that gives it again; what is not set stands as a comment."""
    return "\n".join(_toml_lines(table, ())).strip() + "\n"


def _toml_lines(table: Mapping[str, Any], place: Sequence[str]) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) and value}
    if place:
        yield f"\n[{'.'.join(map(_toml_key, place))}]"
    for key, value in table.items():
        if value is None:
            yield f"# {_toml_key(key)} is not set"
        elif key not in inner:
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in inner.items():
        yield from _toml_lines(value, [*place, key])


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(one) for one in value if one is not None) + "]"
    if isinstance(value, Mapping):
        return (
            "{}"
            if not value
            else "{ "
            + ", ".join(f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items() if v is not None)
            + " }"
        )
    # a JSON string is a basic string of TOML, but for DEL, which JSON leaves as it is
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
