from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invented import LEDGER, make_run
from understudy import jsonl
from understudy.report.rows import amount, duration, percent, table, text_table, verdict


def test_a_row_holds_what_compares_a_run(tmp_path: Path) -> None:
    [row] = table([make_run(tmp_path / "pad", right=30, of=40)])
    expected = {
        "run": "pad",
        "method": "pad",
        "task": "wordsums",
        "teacher": "openai:some-model",
        "split": "test",
        "n": 40,
        "accuracy": 0.75,
        "parsable": 0.95,
        "parameters": 1_234_567,
        "train_seconds": 130.0,
        "teacher_tokens": 50_000,
        "teacher_usd": "0.31",
    }
    assert {key: row[key] for key in expected} == expected
    assert row["low"] < 0.75 < row["high"]


def test_a_run_that_is_not_evaluated_has_a_row_without_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    (run / "metrics.json").unlink()
    (run / "predictions.jsonl").unlink()
    [row] = table([run])
    assert (row["split"], row["n"], row["accuracy"], row["low"]) == (None, None, None, None)


def test_a_run_that_ends_at_the_filter_is_headed_by_what_was_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    (run / "metrics.json").unlink()
    (run / "predictions.jsonl").unlink()
    assert verdict(table([run])) == "pad keeps 80 of 100 completions (80.0 %); no student is evaluated yet"
    assert "80.0 %" in text_table(table([run]))
    (run / "rationales/program.funnel.json").unlink()
    assert verdict(table([run])) == "pad: not evaluated yet, so nothing can be said of how good it is"


def test_an_evaluated_run_is_not_headed_by_what_was_kept(tmp_path: Path) -> None:
    rows = table([make_run(tmp_path / "pad", right=30, of=40)])
    assert "keeps" not in verdict(rows)
    assert "kept" not in text_table(rows)


def test_what_an_earlier_role_wrote_costs_no_teacher(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    path = run / "rationales/program.funnel.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "by": "generator"}))
    [row] = table([run])
    assert row["teacher_tokens"] is None


def test_an_unknown_price_is_none_and_not_zero(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    path = run / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ledger": {**LEDGER, "usd": None}}))
    assert table([run])[0]["teacher_usd"] is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "ledger": None}))
    assert table([run])[0]["teacher_usd"] is None


def test_the_text_table_is_aligned(tmp_path: Path) -> None:
    lines = text_table(table([make_run(tmp_path / "pad"), make_run(tmp_path / "a-longer-name", right=4)])).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "-------------", "pad", "a-longer-name"]
    ends = {line.index("%") for line in lines[2:]}
    assert len(ends) == 1


def test_columns_with_nothing_to_show_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    assert "params" in text_table(table([run]))
    (run / "students/student.json").unlink()
    assert "params" not in text_table(table([run]))


def test_a_control_character_in_a_name_does_not_reach_the_terminal() -> None:
    [row] = [{**BASE, "run": "bad\x1b[31m"}]
    assert "\x1b" not in text_table([row])


BASE: dict[str, Any] = {
    **dict.fromkeys(
        ("parsable", "executable", "truncated", "repeated", "parameters", "completion_tokens", "train_seconds"), None
    ),
    "teacher_tokens": None,
    "teacher_usd": None,
    "run": "r",
    "method": "pad",
    "task": "t",
    "split": "test",
    "n": 100,
    "error": 0,
    "accuracy": 0.9,
    "low": 0.82,
    "high": 0.94,
}
BEHIND = {**BASE, "run": "s", "method": "finetune", "accuracy": 0.5, "low": 0.4, "high": 0.6}
CLOSE = {**BASE, "run": "s", "method": "finetune", "accuracy": 0.85, "low": 0.76, "high": 0.9}


def test_the_verdict_on_one_run_says_how_good_and_how_sure() -> None:
    assert verdict([BASE]) == "pad answers 90.0 % of 100 t test questions right (95 % interval 82.0–94.0 %)"


def test_the_verdict_claims_a_lead_only_where_the_intervals_are_apart() -> None:
    assert verdict([BEHIND, BASE]).endswith("clearly ahead of finetune with 50.0 %")
    assert "intervals overlap" in verdict([CLOSE, BASE])
    assert "clearly" not in verdict([CLOSE, BASE])


def test_the_verdict_claims_a_lead_where_the_same_questions_show_one() -> None:
    paired = {
        "split": "test",
        "best": BASE["run"],
        "other": CLOSE["run"],
        "difference": 0.05,
        "low": 0.01,
        "high": 0.09,
    }
    assert verdict([CLOSE, BASE], [paired]).endswith("by 5.0 (1.0 to 9.0) points on the same questions")
    assert "ahead of" in verdict([CLOSE, BASE], [paired])
    unsure = {**paired, "low": -0.01, "high": 0.11}
    assert "not told apart from" in verdict([CLOSE, BASE], [unsure])
    assert verdict([CLOSE, BASE], [{**unsure, "split": "hard"}]) == verdict([CLOSE, BASE])


def test_the_verdict_calls_equal_accuracies_level() -> None:
    assert "level with finetune" in verdict([BASE, {**BASE, "run": "s", "method": "finetune"}])


def test_the_verdict_names_runs_where_methods_do_not_tell_them_apart() -> None:
    assert verdict([BASE, {**BEHIND, "method": "pad"}]).startswith("r answers")


def test_the_verdict_does_not_compare_tasks_or_splits() -> None:
    assert "not comparable" in verdict([BASE, {**BEHIND, "task": "other"}])
    assert "ahead" not in verdict([BASE, {**BEHIND, "split": "hard"}])


def test_the_verdict_on_a_run_without_numbers_claims_none() -> None:
    assert "not evaluated yet" in verdict([{**BASE, "accuracy": None}])


LENIENT: dict[str, Any] = {**BASE, "lenient_accuracy": 0.925}


def test_the_lenient_accuracy_is_a_column_where_it_differs() -> None:
    head, _, first, second = text_table([LENIENT, {**LENIENT, "run": "s", "lenient_accuracy": 0.9}]).splitlines()
    assert head.split() == ["run", "method", "split", "accuracy", "95", "%", "lenient", "n"]
    assert first.split()[-3:] == ["92.5", "%", "100"]
    assert second.split()[-2:] == ["–", "100"]


@pytest.mark.parametrize("lenient", [0.9, None])
def test_there_is_no_lenient_column_where_it_never_differs(lenient: float | None) -> None:
    assert "lenient" not in text_table([{**BASE, "lenient_accuracy": lenient}])


def test_the_lenient_accuracy_of_a_run_is_that_of_its_metrics(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    rows = [{**row, "evidence": {"lenient_result": "correct"}} for row in jsonl.read(run / "predictions.jsonl")]
    jsonl.write(run / "predictions.jsonl", rows)
    (run / "metrics.json").unlink()
    [row] = table([run])
    unread = sum(row["result"] == "no_answer" for row in rows)
    assert unread > 0
    assert row["lenient_accuracy"] == pytest.approx(row["accuracy"] + unread / row["n"])
    assert percent(row["lenient_accuracy"]) in text_table([row])


@pytest.mark.parametrize(
    ("number", "shown"),
    [(None, "–"), (41.33, "41.3"), (999, "999"), (50_000, "50 k"), (1_234_567, "1.23 M"), (7e9, "7 G")],
)
def test_amounts_are_short(number: float | None, shown: str) -> None:
    assert amount(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (3.14, "3.1 s"), (42, "42 s"), (59.9, "1 min 00 s"), (128.4, "2 min 08 s"), (3900, "1 h 05 min")],
)
def test_durations_are_short(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_no_share_is_not_zero_percent() -> None:
    assert (percent(None), percent(0.0)) == ("–", "0.0 %")
