from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from invented import make_run
from understudy.report.plots import accuracy_svg, coverage_svg, loss_svg
from understudy.report.rows import table

SVG = "{http://www.w3.org/2000/svg}"
CURVE = [
    {"step": step, "loss": 4 / step, **({"valid_loss": 5 / step} if step % 4 == 0 else {})} for step in range(1, 13)
]


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def row(**changes: Any) -> dict[str, Any]:
    base = {"run": "r", "method": "pad", "task": "t", "split": "test", "n": 10, "error": 0}
    return {**base, "accuracy": 0.5, "low": 0.25, "high": 0.75, **changes}


def test_every_row_has_a_dot_at_its_accuracy_between_the_ends_of_its_interval() -> None:
    picture = parse(accuracy_svg([row()]))
    [dot] = picture.iter(f"{SVG}circle")
    [interval] = [line for line in picture.iter(f"{SVG}line") if line.get("stroke-width") == "3"]
    assert dot.get("cx") == "50.00%"
    assert (interval.get("x1"), interval.get("x2")) == ("25.50%", "74.50%")  # a margin of 1 % at each side


@pytest.mark.parametrize(("accuracy", "x"), [(0.0, "1.00%"), (1.0, "99.00%")])
def test_dots_at_the_ends_stay_within_the_picture(accuracy: float, x: str) -> None:
    [dot] = parse(accuracy_svg([row(accuracy=accuracy)])).iter(f"{SVG}circle")
    assert dot.get("cx") == x


def test_a_row_without_an_accuracy_has_a_name_and_no_dot() -> None:
    picture = parse(accuracy_svg([row(run="bare", accuracy=None, low=None, high=None)]))
    assert list(picture.iter(f"{SVG}circle")) == []
    assert "bare" in [text.text for text in picture.iter(f"{SVG}text")]


def test_a_picture_is_named_and_described_for_those_who_do_not_see_it(tmp_path: Path) -> None:
    picture = parse(accuracy_svg(table([make_run(tmp_path / "pad", right=30, of=40)])))
    title, description = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert picture.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "pad, test: 75.0 %" in (description.text or "")


def test_splits_are_shown_apart_if_there_are_several() -> None:
    texts = [text.text for text in parse(accuracy_svg([row(), row(split="hard")])).iter(f"{SVG}text")]
    assert "t · hard" in texts
    assert "t · test" not in [text.text for text in parse(accuracy_svg([row()])).iter(f"{SVG}text")]


def test_a_picture_that_stands_alone_has_its_size_and_one_on_the_page_has_none() -> None:
    assert parse(accuracy_svg([row()], width=640)).get("viewBox", "").startswith("0 0 640 ")
    assert parse(accuracy_svg([row()], width=None)).get("viewBox") is None


def test_a_hostile_name_stays_text() -> None:
    picture = parse(accuracy_svg([row(run="</text><script>x\x00")]))
    assert list(picture.iter(f"{SVG}script")) == []


def test_the_loss_has_a_line_for_training_and_one_for_validation() -> None:
    picture = parse(loss_svg(CURVE, best_step=8))
    lines = list(picture.iter(f"{SVG}polyline"))
    assert [len((line.get("points") or "").split()) for line in lines] == [12, 3]
    assert len(list(picture.iter(f"{SVG}circle"))) == 3


def test_objectives_have_lines_of_their_own_only_if_there_are_several() -> None:
    def lines(*objectives: str) -> int:
        curve = [{"step": n, "loss": 1.0, **{f"loss/{name}": 0.5 for name in objectives}} for n in (1, 2)]
        return len(list(parse(loss_svg(curve)).iter(f"{SVG}polyline")))

    assert (lines("label"), lines("label", "rationale")) == (1, 3)


@pytest.mark.parametrize("curve", [[], CURVE[:1], [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}]])
def test_fewer_than_two_steps_make_no_picture(curve: list[dict[str, Any]]) -> None:
    assert loss_svg(curve) == ""


def test_values_that_are_no_numbers_are_left_out_and_counted() -> None:
    svg = loss_svg([*CURVE, {"step": 13, "loss": math.nan}])
    assert "1 values are not finite" in svg
    assert "nan" not in svg


def point(coverage: float, accuracy: float, low: float, high: float) -> dict[str, Any]:
    return {"agreement": 1.0, "coverage": coverage, "n": 10, "accuracy": accuracy, "interval": [low, high]}


VOTES = [point(0.5, 1.0, 0.75, 1.0), point(1.0, 0.5, 0.25, 0.75)]


def test_the_accuracy_of_votes_is_drawn_over_what_is_answered_with_its_band() -> None:
    picture = parse(coverage_svg({"r": VOTES}))
    dots = [(dot.get("cx"), float(dot.get("cy") or 0)) for dot in picture.iter(f"{SVG}circle")]
    assert [x for x, _ in dots] == ["50.00%", "99.00%"]
    [line] = picture.iter(f"{SVG}polyline")
    assert line.get("points") == " ".join(f"{x[:-1]},{y:.1f}" for x, y in dots if x)
    [band] = picture.iter(f"{SVG}polygon")
    ys = [float(pair.partition(",")[2]) for pair in (band.get("points") or "").split()]
    top, right = dots[0][1], dots[1][1]
    quarter = (right - top) / 2  # from 100 % to 50 %
    assert ys == pytest.approx([top, top + quarter, right + quarter, top + quarter], abs=0.11)
    ticks = [text.text for text in picture.iter(f"{SVG}text") if (text.text or "").endswith("right")]
    assert ticks == ["25 % right", "62.5 % right", "100 % right"]


def test_every_run_with_votes_has_its_own_line_and_words() -> None:
    picture = parse(coverage_svg({"a": VOTES, "b<": VOTES[:1], "none": []}))
    lines = list(picture.iter(f"{SVG}polyline"))
    assert len({(line.get("class"), line.get("stroke-dasharray")) for line in lines}) == len(lines) == 2
    shown = " ".join(text.text or "" for text in picture.iter(f"{SVG}text"))
    assert "a: 100.0 % of 50.0 % … 50.0 % of 100.0 %" in shown
    assert "b<: 100.0 % of 50.0 %" in shown


def test_without_votes_there_is_no_picture() -> None:
    assert coverage_svg({}) == coverage_svg({"r": []}) == ""
