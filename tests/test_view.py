from __future__ import annotations

import json
from pathlib import Path

import pytest

from invented import HOSTILE, make_run
from understudy import jsonl
from understudy.errors import DataError, RunError
from understudy.report.view import CLIP, CURVE, SAMPLES, clip, read_run, read_runs


def test_a_complete_run_is_read_whole(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "pad", right=30, of=40))
    assert run.label == "pad"
    assert run.part("teacher") == "openai:some-model"
    assert run.splits["test"]["accuracy"] == 0.75
    assert run.sources[0].funnel["kept"] == 80
    assert run.roles[0].examples == {"program": 72}
    assert run.roles[0].held_out == 8


def test_faults_are_counted_from_the_rejected_completions_with_a_few_samples_each(tmp_path: Path) -> None:
    faults = read_run(make_run(tmp_path / "pad")).sources[0].faults
    assert [(fault.slug, fault.count, len(fault.samples)) for fault in faults] == [
        ("wrong_answer", 12, SAMPLES),
        ("syntax_error", 5, SAMPLES),
        ("truncated", 2, 2),
        ("timeout", 1, 1),
    ]


def test_a_few_verdicts_of_every_result_are_kept(tmp_path: Path) -> None:
    samples = read_run(make_run(tmp_path / "pad", right=30, of=40)).samples["test"]
    assert {result: len(found) for result, found in samples.items()} == {
        "correct": 3,
        "wrong": 3,
        "no_answer": 2,
        "error": 0,
    }


def test_a_directory_that_is_no_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run's directory"):
        read_run(tmp_path)


def test_a_run_with_rationales_alone_is_a_view_without_splits(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    for name in (
        "manifest.json",
        "metrics.json",
        "predictions.jsonl",
        "training/student.jsonl",
        "students/student.json",
    ):
        (run / name).unlink()
    view = read_run(run)
    assert (dict(view.splits), view.part("method"), view.roles[0].curve) == ({}, "", [])
    assert view.sources[0].funnel["asked"] == 100


def test_without_metrics_the_predictions_so_far_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad", right=30, of=40)
    (run / "metrics.json").unlink()
    assert read_run(run).splits["test"]["correct"] == 30


def test_a_last_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    with open(run / "training/student.jsonl", "a") as file:
        file.write('{"step": 999, "lo')
    assert read_run(run).roles[0].curve[-1]["step"] == 500


def test_a_broken_line_in_the_middle_is_an_error_with_its_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    with open(run / "training/student.jsonl", "a") as file:
        file.write('{"step": 999, "lo\n{"step": 1000}\n')
    with pytest.raises(DataError, match=r"student\.jsonl:51"):
        read_run(run)


def test_a_broken_manifest_is_an_error_with_its_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    (run / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json"):
        read_run(run)


def test_a_long_training_log_is_thinned_and_keeps_its_ends_and_every_validation(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    rows = [{"step": n, "loss": 1.0, **({"valid_loss": 2.0} if n % 5000 == 0 else {})} for n in range(1, 20_004)]
    jsonl.write(run / "training/student.jsonl", rows)
    curve = read_run(run).roles[0].curve
    assert len(curve) <= 2 * CURVE + 6
    assert (curve[0]["step"], curve[-1]["step"]) == (1, 20_003)
    assert [row["step"] for row in curve if "valid_loss" in row] == [5000, 10_000, 15_000, 20_000]
    assert [row["step"] for row in curve] == sorted({row["step"] for row in curve})


def test_a_short_training_log_is_kept_whole(tmp_path: Path) -> None:
    assert len(read_run(make_run(tmp_path / "pad")).roles[0].curve) == 50


def test_runs_of_the_same_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / place / "pad") for place in ("one", "two")] + [make_run(tmp_path / "else")]
    assert [run.label for run in read_runs(runs)] == ["one/pad", "two/pad", "else"]


def test_long_texts_are_cut_and_say_by_how_much() -> None:
    assert clip("x" * (CLIP + 7)) == ("x" * CLIP, 7)
    assert clip("x" * CLIP) == ("x" * CLIP, 0)


def test_the_raw_text_of_a_model_is_carried_as_it_is(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "pad", text=HOSTILE))
    assert run.samples["test"]["correct"][0].text == HOSTILE


def test_a_completion_cut_at_its_limit_says_so_in_its_evidence(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    row = next(jsonl.read(run / "predictions.jsonl"))
    row["evidence"]["finish"] = ["length"]
    (run / "predictions.jsonl").write_text(json.dumps(row) + "\n")
    assert "cut at the token limit" in read_run(run).samples["test"]["correct"][0].evidence
