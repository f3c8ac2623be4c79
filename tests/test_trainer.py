import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from students import DECODER, EXAMPLES, LLAMA, SEQ2SEQ, examples_file, model, trained
from understudy import jsonl
from understudy.config import Train
from understudy.errors import DataError, StudentError
from understudy.records import Example
from understudy.students import batches, encoding, loading
from understudy.students.loop import TrainingStopped
from understudy.students.student import Student
from understudy.students.trainer import train

TWO = {"label": 0.3, "rationale": 0.7}
PAIRS = tuple(
    replace(example, target=target, objective=objective)
    for example in EXAMPLES
    for objective, target in (("label", "5"), ("rationale", example.target))
)
LEARN = {"steps": 12, "eval_every": 5}
pytestmark = pytest.mark.usefixtures("one_thread")


def left(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "student" / "model.safetensors").read_bytes(), (folder / "log.jsonl").read_bytes()


def stop_after(step: int) -> Callable[[], bool]:
    calls = count(1)
    return lambda: next(calls) == step


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(jsonl.read(folder / "log.jsonl"))


def valid_loss(folder: Path, examples: Sequence[Example]) -> float:
    """The mean token loss of a saved student, computed without the trainer."""
    loaded = loading.load(str(folder / "student"))
    weights = {"target": 1.0}
    rows = batches.collect(encoding.encode(iter(examples), loaded.encoder(), weights, "error"), weights)
    batch = batches.Collator(rows, "decoder", loaded.encoder().pad, 0)(range(len(rows)))
    with torch.no_grad():
        logits = batches.target_logits(loaded.model, batch, batches.accepted(loaded.model))
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()))


def test_the_log_has_losses_and_no_clock(tmp_path: Path) -> None:
    trained(tmp_path, settings=LEARN, valid=EXAMPLES[:2])
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == [1, 5, 10, 12]
    assert set(rows[0]) == {"step", "loss", "loss/target", "learning_rate"}
    assert set(rows[1]) == {*rows[0], "valid_loss"}


def test_the_loss_falls(tmp_path: Path) -> None:
    trained(tmp_path, settings=LEARN)
    losses = [row["loss"] for row in rows_of(tmp_path)]
    assert losses[-1] < losses[0] / 2


def test_the_first_loss_is_the_plain_formula(tmp_path: Path) -> None:
    trained(tmp_path, examples=PAIRS, objectives=TWO, settings={"steps": 1, "batch_size": 16})
    [row] = rows_of(tmp_path)
    assert row["loss"] == pytest.approx(0.3 * row["loss/label"] + 0.7 * row["loss/rationale"], rel=1e-5)
    assert row["loss/label"] != row["loss/rationale"]


def test_the_summary_says_what_a_second_task_costs(tmp_path: Path) -> None:
    settings = {"steps": 3, "batch_size": 16}  # every example in every step
    alone = trained(tmp_path / "alone", examples=PAIRS[::2], objectives=TWO, settings=settings)
    both = trained(tmp_path / "both", examples=PAIRS, objectives=TWO, settings=settings)
    assert alone.targets_per_step == {"label": both.targets_per_step["label"], "rationale": 0}
    assert both.tokens_per_step == pytest.approx(
        2 * alone.tokens_per_step
        + sum(both.targets_per_step[name] * sign for name, sign in (("rationale", 1), ("label", -1)))
    )


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_training_does_not_depend_on_the_micro_batch_size(tmp_path: Path, size: int) -> None:
    for name, micro in (("whole", None), ("cut", size)):
        settings = {"micro_batch_size": micro, "batch_size": 8}
        trained(tmp_path / name, examples=PAIRS, objectives=TWO, settings=settings)
    whole, cut = (rows_of(tmp_path / name) for name in ("whole", "cut"))
    assert [row["loss"] for row in cut] == pytest.approx([row["loss"] for row in whole], rel=1e-4)


def test_another_batch_size_is_another_training(tmp_path: Path) -> None:
    for size in (4, 8):
        trained(tmp_path / str(size), settings={"batch_size": size})
    assert rows_of(tmp_path / "4")[-1]["loss"] != pytest.approx(rows_of(tmp_path / "8")[-1]["loss"], rel=1e-4)


def test_an_objective_of_weight_zero_is_not_learned(tmp_path: Path) -> None:
    trained(tmp_path, examples=PAIRS, objectives={"label": 1.0, "rationale": 0.0}, settings=LEARN)
    first, *_, last = rows_of(tmp_path)
    assert last["loss/label"] < first["loss/label"] / 2
    assert last["loss/rationale"] > first["loss/rationale"] / 2


@pytest.mark.parametrize("spec", [DECODER, LLAMA, SEQ2SEQ])
def test_the_same_call_leaves_the_same_bytes(tmp_path: Path, spec: str) -> None:
    for name in ("a", "b"):
        trained(tmp_path / name, spec)
    assert left(tmp_path / "a") == left(tmp_path / "b")


def test_another_seed_leaves_other_bytes(tmp_path: Path) -> None:
    for seed in (1, 2):
        trained(tmp_path / str(seed), seed=seed)
    assert left(tmp_path / "1")[0] != left(tmp_path / "2")[0]


def test_the_best_step_by_validation_is_saved(tmp_path: Path) -> None:
    wrong = [replace(example, target="nothing at all\n") for example in EXAMPLES]
    summary = trained(tmp_path, valid=wrong, settings={"steps": 40, "eval_every": 5})
    by_step = {row["step"]: row["valid_loss"] for row in rows_of(tmp_path) if "valid_loss" in row}
    assert summary.best_step == min(by_step, key=lambda step: by_step[step]) < 40
    assert valid_loss(tmp_path, wrong) == pytest.approx(by_step[summary.best_step], rel=1e-4)
    assert summary.best_valid_loss == by_step[summary.best_step]


def test_the_earlier_of_two_equal_steps_is_the_best(tmp_path: Path) -> None:
    settings = {"steps": 6, "eval_every": 2, "learning_rate": 1e-30}
    assert trained(tmp_path, valid=EXAMPLES[:2], settings=settings).best_step == 2


def test_without_validation_rows_the_last_step_is_saved(tmp_path: Path) -> None:
    summary = trained(tmp_path, settings={"steps": 6, "eval_every": 2})
    assert (summary.best_step, summary.best_valid_loss) == (6, None)


def test_the_summary_counts_what_was_trained_on(tmp_path: Path) -> None:
    long = Example("long", "a " * 50, "b " * 50)
    summary = trained(tmp_path, examples=[*EXAMPLES, long], settings={"too_long": "drop"})
    assert (summary.steps, summary.examples, summary.dropped) == (4, 8, 1)
    assert summary.parameters == Student.load(tmp_path / "student").model.num_parameters()


def test_progress_is_told_every_row_and_the_preview_is_said(tmp_path: Path) -> None:
    told: list[tuple[int, int, float]] = []
    said: list[str] = []
    summary = trained(
        tmp_path, progress=lambda step, steps, row: told.append((step, steps, row["loss"])), say=said.append
    )
    assert told == [(row["step"], 4, row["loss"]) for row in rows_of(tmp_path)]
    assert said == [summary.preview]
    assert "learns  def solution():⏎" in summary.preview


def test_nothing_else_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path, settings=LEARN, valid=EXAMPLES[:2])
    assert capfd.readouterr() == ("", "")


def test_the_checkpoints_are_gone_when_the_student_is_saved(tmp_path: Path) -> None:
    trained(tmp_path, settings=LEARN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.jsonl", "log.jsonl", "student"]


def test_a_student_goes_on_from_an_earlier_one(tmp_path: Path) -> None:
    trained(tmp_path / "first", settings=LEARN)
    trained(tmp_path / "second", start=tmp_path / "first" / "student")
    assert rows_of(tmp_path / "second")[0]["loss"] < rows_of(tmp_path / "first")[0]["loss"] / 2


def test_bfloat16_trains_and_saves_float32(tmp_path: Path) -> None:
    trained(tmp_path / "half", settings={"precision": "bfloat16"})
    trained(tmp_path / "full")
    assert rows_of(tmp_path / "half") != rows_of(tmp_path / "full")
    assert rows_of(tmp_path / "half")[0]["loss"] == pytest.approx(rows_of(tmp_path / "full")[0]["loss"], rel=0.02)
    assert loading.load(str(tmp_path / "half" / "student")).model.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"examples": ()}, "has no example with a weight to train on"),
        ({"examples": [replace(EXAMPLES[0], weight=0.0)]}, "has no example with a weight to train on"),
        ({"objectives": {"target": -1.0}}, "'target' has the weight -1.0"),
        ({"objectives": {"target": 0.0}}, "at least one weight above 0"),
        ({"objectives": {"label": 1.0}}, "'q0' counts to the objective 'target'"),
        (
            {"settings": {"learning_rate": 1e30, "steps": 9, "eval_every": 3}},
            "expected a finite number. Lower train.learning_rate",
        ),
        ({"spec": "scratch:gpt2-huge"}, "unknown shape"),
    ],
)
def test_a_training_that_cannot_work_says_why(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudentError, match=message):
        trained(tmp_path, **options)


def test_a_row_that_is_no_example_says_its_line(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "examples.jsonl", [EXAMPLES[0].to_json(), {"question": "q1", "prompt": "x"}])
    with pytest.raises(DataError, match=r"examples.jsonl:2: not an example"):
        train(
            spec=DECODER,
            start=None,
            examples=tmp_path / "examples.jsonl",
            validation=None,
            settings=Train(),
            objectives={"target": 1.0},
            seed=0,
            out=tmp_path / "student",
            log=tmp_path / "log.jsonl",
        )


@pytest.mark.parametrize("step", [1, 4, 5, 7, 11])
def test_a_stopped_training_is_continued_to_the_same_bytes(tmp_path: Path, step: int) -> None:
    trained(tmp_path / "whole", settings=LEARN, valid=EXAMPLES[:2])
    with pytest.raises(TrainingStopped):
        trained(tmp_path / "cut", settings=LEARN, valid=EXAMPLES[:2], should_stop=stop_after(step))
    assert not (tmp_path / "cut" / "student").exists()
    said: list[str] = []
    trained(tmp_path / "cut", settings=LEARN, valid=EXAMPLES[:2], say=said.append)
    assert said == [f"going on from step {step} of 12"]
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_a_model_with_dropout_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    noisy = model()
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        setattr(noisy.model.config, name, 0.2)
    loading.save(noisy, tmp_path / "noisy", "")
    trained(tmp_path / "whole", str(tmp_path / "noisy"), settings=LEARN)
    with pytest.raises(TrainingStopped):
        trained(tmp_path / "cut", str(tmp_path / "noisy"), settings=LEARN, should_stop=stop_after(7))
    torch.manual_seed(123)
    trained(tmp_path / "cut", str(tmp_path / "noisy"), settings=LEARN)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_a_broken_last_checkpoint_is_passed_over(tmp_path: Path) -> None:
    trained(tmp_path / "whole", settings=LEARN)
    with pytest.raises(TrainingStopped):
        trained(tmp_path / "cut", settings=LEARN, should_stop=stop_after(7))
    optimizer = tmp_path / "cut" / "student.checkpoints" / "checkpoint-7" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:1000])
    said: list[str] = []
    trained(tmp_path / "cut", settings=LEARN, say=said.append)
    assert said == ["going on from step 5 of 12"]
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_checkpoints_of_other_settings_are_not_used(tmp_path: Path) -> None:
    other = {**LEARN, "learning_rate": 1e-3}
    trained(tmp_path / "whole", settings=LEARN)
    with pytest.raises(TrainingStopped):
        trained(tmp_path / "cut", settings=other, should_stop=stop_after(7))
    trained(tmp_path / "cut", settings=LEARN)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from students import EXAMPLES, killed_at, trained
trained(Path(sys.argv[1]), settings={"steps": 12, "eval_every": 5}, valid=EXAMPLES[:2], should_stop=killed_at(8))
"""


def test_a_killed_training_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "cut")], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "cut" / "student.checkpoints" / "checkpoint-5").exists()
    said: list[str] = []
    trained(tmp_path / "cut", settings=LEARN, valid=EXAMPLES[:2], say=said.append)
    assert said == ["going on from step 5 of 12"]
    trained(tmp_path / "whole", settings=LEARN, valid=EXAMPLES[:2])
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


SHARED = """
import sys
from pathlib import Path
from students import EXAMPLES, trained
settings = {"steps": 12, "micro_batch_size": 2, "batch_size": 7, "eval_every": 5}
trained(Path(sys.argv[1]), settings=settings, valid=EXAMPLES[:3])
"""


@pytest.mark.thorough
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SHARED)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        examples_file(tmp_path / str(processes))
        examples_file(tmp_path / str(processes), EXAMPLES[:3], "valid.jsonl")
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        subprocess.run([*launch, tmp_path / "job.py", tmp_path / str(processes)], env=environment, check=True)
    one, two = (rows_of(tmp_path / str(processes)) for processes in (1, 2))
    assert [row.keys() for row in one] == [row.keys() for row in two]
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-3)
    assert two[-1]["valid_loss"] == pytest.approx(one[-1]["valid_loss"], rel=1e-3)
    assert math.isfinite(two[-1]["loss"])
