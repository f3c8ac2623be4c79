"""Pictures as SVG text: accuracy with its interval, accuracy over coverage, and the loss of a training.

    Path("accuracy.svg").write_text(accuracy_svg(table(runs)))

They carry their own colours for light and dark, a title and a description for screen readers, and no script. Horizontal
places are percentages, so that on the page (`width=None`) a narrow screen squeezes the plot and not its letters; with a
width in pixels the picture stands alone, e.g. in a README.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from understudy.report.rows import between, percent

_STYLE = """<style>
.us-plot{font:13px/1.2 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
.us-ink{fill:#1b2221}.us-soft{fill:#626c69}.us-grid{stroke:#dcdad2}
.us-line{stroke:#17625c}.us-dot{fill:#17625c}.us-ring{fill:#fbfaf7;stroke:#b3541e}
.us-valid{stroke:#b3541e}.us-thin{stroke:#8a9693}
.us-band{fill:#17625c22}.us-band-2{fill:#b3541e22}.us-band-3{fill:#8a969322}
.us-s{font-size:12px}.us-b{font-weight:600}
@media (prefers-color-scheme:dark){.us-ink{fill:#e9e7e1}.us-soft{fill:#9ba5a1}.us-grid{stroke:#303836}
.us-line{stroke:#74c6bb}.us-dot{fill:#74c6bb}
.us-ring{fill:#141817;stroke:#e8a17a}.us-valid{stroke:#e8a17a}.us-thin{stroke:#6f7b78}}
</style>"""
_SERIES = [(style, dashes) for dashes in ("none", "6 4", "2 3") for style in ("us-line", "us-valid", "us-thin")]
"""How the lines of several runs differ."""
_FILLS = {"us-line": "us-band", "us-valid": "us-band-2", "us-thin": "us-band-3"}
_MARGIN = 1.0  # percent at each side, so that a dot at 0 or 100 % is not cut
_ROW, _HEAD = 46, 30


def accuracy_svg(rows: Sequence[Mapping[str, Any]], width: int | None = 720, key: str = "accuracy") -> str:
    """A dot and its 95 % interval for each row of `rows.table`, grouped by task and split, on one axis from 0 to 100 %.

    Args:
        rows: as `rows.table` gives them; those without an accuracy are named as such.
        width: in pixels, for a picture that stands alone; None fills the page's width.
        key: makes the ids of title and description unique on a page.
    """
    groups: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["split"]), []).append(row)
    parts: list[str] = []
    y = 4.0
    for (task, split), members in groups.items():
        if len(groups) > 1:
            parts.append(_text(_x(0), y + 18, f"{task} · {split or 'not evaluated'}".strip(" ·"), "us-soft us-s"))
            y += _HEAD
        for row in members:
            parts += _accuracy_row(row, y)
            y += _ROW
    ticks = [f'<line class="us-grid" x1="{_x(t)}" x2="{_x(t)}" y1="0" y2="{y}"/>' for t in (0, 0.25, 0.5, 0.75, 1)]
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        parts.append(_text(_x(share), y + 16, f"{100 * share:.0f} %", "us-soft us-s", anchor))
    described = "; ".join(
        f"{_named(row)}, {row['split'] or 'not evaluated'}: {percent(row['accuracy'])}, 95 % interval {between(row)}"
        for row in rows
    )
    return _svg(key, "Accuracy by method and split", described, [*ticks, *parts], y + 24, width)


def _accuracy_row(row: Mapping[str, Any], y: float) -> list[str]:
    middle = y + 30
    parts = [_text(_x(0), y + 15, _short(str(row["run"])), "us-ink us-b")]
    if row["accuracy"] is None:
        return [*parts, _text(_x(1), y + 15, "nothing judged", "us-soft", "end")]
    judged = row["n"] - (row["error"] or 0)
    parts.append(_text(_x(1), y + 15, f"{percent(row['accuracy'])}  ·  n = {judged}", "us-ink", "end"))
    low, high = _x(row["low"]), _x(row["high"])
    parts.append(f'<line class="us-grid" x1="{_x(0)}" x2="{_x(1)}" y1="{middle}" y2="{middle}"/>')
    parts.append(f'<line class="us-line" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" stroke-width="3"/>')
    for end in (low, high):
        parts.append(
            f'<line class="us-line" x1="{end}" x2="{end}" y1="{middle - 4}" y2="{middle + 4}" stroke-width="1.5"/>'
        )
    parts.append(f'<circle class="us-dot" cx="{_x(row["accuracy"])}" cy="{middle}" r="5.5"/>')
    return parts


def _short(label: str) -> str:
    """A label that leaves room for the numbers beside it on a narrow screen."""
    return label if len(label) <= 26 else label[:25] + "…"


def _named(row: Mapping[str, Any]) -> str:
    run, method = str(row["run"]), str(row["method"])
    return run if not method or method == run else f"{run} ({method})"


def loss_svg(curve: Sequence[Mapping[str, Any]], best_step: int | None = None, key: str = "loss") -> str:
    """The training loss as a line and the validation loss as rings over the steps; "" if there are under two steps.

    Args:
        curve: rows of `training/<role>.jsonl`: {"step", "loss", "valid_loss"?, "loss/<objective>"?}; values that are no
            finite numbers are left out and counted.
        best_step: the step whose weights were kept; marked.
        key: makes the ids of title and description unique on a page.
    """
    objectives = sorted({name for row in curve for name in row if name.startswith("loss/")})
    names = ["loss", "valid_loss", *(objectives if len(objectives) > 1 else ())]
    series = {name: _finite(curve, name) for name in names}
    broken = sum(1 for row in curve for name in ("loss", "valid_loss") if _is_broken(row.get(name)))
    points = [point for found in series.values() for point in found]
    last = max((step for step, _ in points), default=0.0)
    if len({step for step, _ in points}) < 2:
        return ""
    top = _ceiling(max(value for _, value in points))
    height, floor = 240.0, 210.0

    def place(value: float) -> float:
        return 14 + (floor - 14) * (1 - value / top)

    parts = []
    for value in (0.0, top / 2, top):
        parts.append(f'<line class="us-grid" x1="0" x2="100%" y1="{place(value):.1f}" y2="{place(value):.1f}"/>')
        parts.append(_text("0", place(value) - 3, f"{value:g}", "us-soft us-s"))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        label = f"{share * last:.0f}" + (" steps" if share == 1 else "")
        parts.append(_text(_x(share), floor + 18, label, "us-soft us-s", anchor))
    if best_step and best_step <= last:
        x = _x(best_step / last)
        parts.append(f'<line class="us-thin" x1="{x}" x2="{x}" y1="14" y2="{floor}" stroke-dasharray="3 4"/>')
    for name in [*names[2:], "loss", "valid_loss"]:
        if series[name]:
            style = {"loss": "us-line", "valid_loss": "us-valid"}.get(name, "us-thin")
            line = [(_share_x(step / last), place(value)) for step, value in series[name]]
            parts.append(_stretched(_line(line, style, 1 if style == "us-thin" else 2), height))
    for step, value in series["valid_loss"]:
        parts.append(
            f'<circle class="us-ring" cx="{_x(step / last)}" cy="{place(value):.1f}" r="3.5" stroke-width="2"/>'
        )
    described = "; ".join(f"{_worded(name)} ends at {found[-1][1]:.4g}" for name, found in series.items() if found)
    described += f"; {broken} values are not finite numbers and are left out" if broken else ""
    return _svg(key, "Loss over the optimiser steps", described, parts, height, None)


def coverage_svg(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], width: int | None = None, key: str = "coverage"
) -> str:
    """Accuracy of the questions answered over the share of them: a line with its 95 % band for each run; "" if there is none.

    Args:
        curves: by the run's label the points of `coverage` in `metrics.json`: {"agreement", "coverage", "n", "accuracy",
            "interval"}, from the questions on which all samples agree to all that have an answer.
        width: in pixels, for a picture that stands alone; None fills the page's width.
        key: makes the ids of title and description unique on a page.
    """
    curves = {label: points for label, points in curves.items() if points}
    if not curves:
        return ""
    lowest: float = min(point["interval"][0] for points in curves.values() for point in points)
    bottom: float = min(0.75, math.floor(lowest * 4) / 4)
    top, floor = 22.0 + 20 * len(curves), 218.0 + 20 * len(curves)

    def place(share: float) -> float:
        return top + (floor - top) * (1 - share) / (1 - bottom)

    parts = []
    for share in (bottom, (1 + bottom) / 2, 1.0):
        parts.append(f'<line class="us-grid" x1="0" x2="100%" y1="{place(share):.1f}" y2="{place(share):.1f}"/>')
        parts.append(_text("0", place(share) - 3, f"{100 * share:g} % right", "us-soft us-s"))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        label = f"{100 * share:.0f} %" + (" answered" if share == 1 else "")
        parts.append(_text(_x(share), floor + 18, label, "us-soft us-s", anchor))
    for number, (label, points) in enumerate(curves.items()):
        style, dashes = _SERIES[number % len(_SERIES)]
        y = 14.0 + 20 * number
        parts.append(
            f'<line class="{style}" x1="0" x2="28" y1="{y - 4}" y2="{y - 4}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        )
        parts.append(_text("36", y, f"{_short(label)}: {_ends(points)}", "us-ink us-s"))
        line = [(_share_x(point["coverage"]), place(point["accuracy"])) for point in points]
        low, high = ([(_share_x(p["coverage"]), place(p["interval"][end])) for p in points] for end in (0, 1))
        parts.append(_stretched(f'<polygon class="{_FILLS[style]}" points="{_joined([*high, *low[::-1]])}"/>', floor))
        parts.append(_stretched(_line(line, style, 2, dashes), floor))
        parts += [
            f'<circle class="{style}" cx="{x:.2f}%" cy="{y:.1f}" r="1.5" stroke-width="3" fill="none"/>'
            for x, y in line
        ]
    described = "; ".join(f"{label}: {_ends(points)}" for label, points in curves.items())
    return _svg(key, "Accuracy over the share of questions answered", described, parts, floor + 30, width)


def _ends(points: Sequence[Mapping[str, Any]]) -> str:
    """Both ends of a coverage curve in words."""
    first, last = points[0], points[-1]
    all_of_them = f"{percent(last['accuracy'])} of {percent(last['coverage'])}"
    return (
        all_of_them
        if first is last
        else f"{percent(first['accuracy'])} of {percent(first['coverage'])} … {all_of_them}"
    )


def _finite(curve: Iterable[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [
        (float(row.get("step", 0)), float(row[name]))
        for row in curve
        if isinstance(row.get(name), (int, float)) and not _is_broken(row[name])
    ]


def _is_broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _worded(name: str) -> str:
    return {"loss": "training loss", "valid_loss": "validation loss"}.get(name, name.partition("/")[2] + " loss")


def _ceiling(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten: where an axis ends."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if value <= factor * power * (1 + 1e-9))


def _stretched(shape: str, height: float) -> str:
    """A shape whose x are percent and whose y are pixels, in a coordinate system of its own, which is stretched."""
    size = f'width="100%" height="{height:g}" viewBox="0 0 100 {height:g}"'
    return f'<svg x="0" y="0" {size} preserveAspectRatio="none">{shape}</svg>'


def _line(points: Sequence[tuple[float, float]], style: str, width: int, dashes: str = "none") -> str:
    """A line to be stretched; its stroke is not."""
    return (
        f'<polyline class="{style}" points="{_joined(points)}" fill="none" stroke-width="{width}" '
        f'stroke-dasharray="{dashes}" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.1f}" for x, y in points)


def _share_x(share: float) -> float:
    return _MARGIN + (100 - 2 * _MARGIN) * share


def _x(share: float) -> str:
    return f"{_share_x(share):.2f}%"


def _text(x: str, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Text for XML, where control characters are not allowed even escaped."""
    return escape("".join(char if char.isprintable() else "\ufffd" for char in text))


def _svg(key: str, title: str, described: str, parts: Sequence[str], height: float, width: int | None) -> str:
    size = f'width="100%" height="{height:.0f}"'
    if width is not None:
        size = f'width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="us-plot" role="img" {size} '
        f'aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{_escaped(title)}</title><desc id="{key}-desc">{_escaped(described)}</desc>'
        f"{_STYLE}{''.join(parts)}</svg>"
    )
