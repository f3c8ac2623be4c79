"""The recipes on the bundled tasks run from end to end, with a handful of questions and steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.methods import METHODS
from understudy.pipeline import walk
from understudy.stages.opening import open_run

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TINY = (
    "task.train=16",
    "task.test=4",
    "train.steps=3",
    "train.eval_every=3",
    "evaluate.batch_size=4",
    "evaluate.max_tokens=40",
)


@pytest.mark.thorough
@pytest.mark.parametrize("path", sorted(RECIPES.glob("wordsums-*.toml")), ids=lambda path: path.stem)
def test_a_recipe_that_needs_no_data_runs(path: Path, tmp_path: Path) -> None:
    run = open_run(path, TINY, tmp_path)
    walk(run)
    found = json.loads(run.dir.metrics.read_text())["splits"]
    assert {split: metrics["n"] for split, metrics in found.items()} == dict.fromkeys(run.config.evaluate.splits, 4)
    assert all(metrics["error"] == 0 for metrics in found.values())
    assert run.dir.page.exists()


def test_every_method_has_a_recipe_that_needs_no_data(tmp_path: Path) -> None:
    shown = {open_run(path, (), tmp_path / path.stem).method.name for path in RECIPES.glob("wordsums-*.toml")}
    assert shown == set(METHODS.names)


def test_a_scripted_teacher_answers_both_asks_of_zero_shot_cot(tmp_path: Path) -> None:
    exact = [
        f"teacher.{fault}=0" for fault in ("wrong_operand", "refusal", "run_on", "truncated", "wrong_label", "lucky")
    ]
    run = open_run(RECIPES / "wordsums-zero-shot-cot.toml", [*TINY, *exact, "evaluate.max_tokens=160"], tmp_path)
    walk(run)
    verdicts = [json.loads(line) for line in run.dir.predictions.read_text().splitlines()]
    assert [verdict["result"] for verdict in verdicts] == ["correct"] * 4
    for verdict in verdicts:
        [text] = verdict["texts"]
        assert text.removesuffix(".").endswith(f"Therefore, the answer (arabic numerals) is {verdict['gold']}")
