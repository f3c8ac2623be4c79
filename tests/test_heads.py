"""A student with a value head: what it learns, how it is saved, and that a killed training goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from students import DECODER, EXAMPLES, LLAMA, SEQ2SEQ, model, trained
from understudy import jsonl
from understudy.errors import StudentError
from understudy.procedures import Ask, Score
from understudy.students import heads, loading
from understudy.students.student import Student

SPECS = (DECODER, LLAMA, SEQ2SEQ)
RIGHT = tuple(replace(e, objective="value", value=1.0, group=f"{e.question} right") for e in EXAMPLES)
WRONG = tuple(
    replace(e, target=e.target.replace("+", "-"), objective="value", value=0.0, group=f"{e.question} wrong")
    for e in EXAMPLES
)
WORDS = tuple(replace(e, objective="language", group=f"{e.question} right") for e in EXAMPLES)
JUDGED = (*RIGHT, *WRONG, *WORDS)
TERMS = {"value": 1.0, "language": 0.5}
LEARN = {"steps": 12, "eval_every": 5}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=SPECS)
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student that has learned which of the examples are right."""
    folder = tmp_path_factory.mktemp("judge")
    settings = {"steps": 150, "batch_size": 24, "learning_rate": 1e-2}
    trained(folder, request.param, JUDGED, objectives=TERMS, head="value", settings=settings)
    return folder / "student"


def asked(student: Student) -> list[list[float]]:
    return student.score(
        [Score("s", right.prompt, (right.target, wrong.target)) for right, wrong in zip(RIGHT, WRONG, strict=True)]
    )


def left(folder: Path) -> list[bytes]:
    names = ("student/model.safetensors", f"student/{heads.FILE}", "log.jsonl")
    return [(folder / name).read_bytes() for name in names]


def test_the_head_tells_right_from_wrong_and_the_student_still_writes(judge: Path) -> None:
    student = Student.load(judge, device="cpu")
    found = asked(student)
    assert min(right for right, _ in found) > 0.8
    assert max(wrong for _, wrong in found) < 0.2
    [[written]] = student.complete([Ask("s", EXAMPLES[0].prompt)])
    assert written.text == EXAMPLES[0].target


def test_a_score_is_what_the_head_says_where_the_end_is_due(judge: Path) -> None:
    student = Student.load(judge, device="cpu")
    prompt, target = student.encoder.prompt(RIGHT[0].prompt), student.encoder.target(RIGHT[0].target)
    head = heads.head_of(student.model)
    assert head is not None
    with torch.inference_mode():
        if student.model.config.is_encoder_decoder:
            start = [student.model.config.decoder_start_token_id]
            read = torch.tensor([start + target[:-1]])
            outputs = student.model(torch.tensor([prompt]), decoder_input_ids=read, output_hidden_states=True)
            last = outputs.decoder_hidden_states[-1][0, -1]
        else:
            outputs = student.model(torch.tensor([prompt + target[:-1]]), output_hidden_states=True)
            last = outputs.hidden_states[-1][0, -1]
        expected = float(last @ head.weight[0] + head.bias)
    assert asked(student)[0][0] == pytest.approx(expected, abs=1e-4)


def test_a_score_does_not_depend_on_the_targets_beside_it(judge: Path) -> None:
    student = Student.load(judge, device="cpu")
    [[alone]] = student.score([Score("s", RIGHT[3].prompt, (RIGHT[3].target,))])
    assert asked(student)[3][0] == pytest.approx(alone, abs=1e-4)


def test_others_read_the_folder_and_find_no_head(judge: Path) -> None:
    auto = AutoModelForSeq2SeqLM if "t5" in (judge / "config.json").read_text() else AutoModelForCausalLM
    plain, info = auto.from_pretrained(judge, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    assert set(load_file(judge / heads.FILE)) == {"weight", "bias"}
    assert "student.score(" in (judge / "README.md").read_text()
    assert not hasattr(plain, "value_head")


def test_a_head_is_saved_again_as_it_was(judge: Path, tmp_path: Path) -> None:
    loading.save(loading.load(str(judge)), tmp_path / "again", "")
    for name in (heads.FILE, "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (judge / name).read_bytes()


def test_a_head_of_another_model_is_told(judge: Path, tmp_path: Path) -> None:
    loading.save(loading.load(str(judge)), tmp_path / "s", "")
    save_file({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, tmp_path / "s" / heads.FILE)
    with pytest.raises(StudentError, match="no value head of the model beside it"):
        loading.load(str(tmp_path / "s"))
    (tmp_path / "s" / heads.FILE).write_bytes(b"not a tensor")
    with pytest.raises(StudentError, match="no value head of the model beside it"):
        loading.load(str(tmp_path / "s"))


def test_a_student_that_goes_on_keeps_its_head_or_loses_it_as_its_role_says(judge: Path, tmp_path: Path) -> None:
    trained(tmp_path / "lm", start=judge, settings={"steps": 1})
    assert not (tmp_path / "lm" / "student" / heads.FILE).exists()
    trained(
        tmp_path / "value", start=judge, examples=JUDGED, objectives=TERMS, head="value",
        settings={"steps": 1, "learning_rate": 1e-9},
    )  # fmt: skip
    before, after = (asked(Student.load(f, device="cpu")) for f in (judge, tmp_path / "value" / "student"))
    assert after[0] == pytest.approx(before[0], abs=1e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_the_first_loss_of_a_new_head_is_the_mean_square_of_the_values(tmp_path: Path, spec: str) -> None:
    trained(tmp_path, spec, JUDGED, objectives=TERMS, head="value", settings={"steps": 1, "batch_size": 24})
    [row] = jsonl.read(tmp_path / "log.jsonl")
    encoder = loading.load(str(tmp_path / "student")).encoder()
    right, wrong = (sum(len(encoder.target(e.target)) for e in rows) for rows in (RIGHT, WRONG))
    assert row["loss/value"] == pytest.approx(right / (right + wrong), rel=1e-5)  # it says 0 everywhere
    assert row["loss"] == pytest.approx(row["loss/value"] + 0.5 * row["loss/language"], rel=1e-5)


@pytest.mark.parametrize("size", [1, 5])
def test_the_training_does_not_depend_on_the_micro_batch_size(tmp_path: Path, size: int) -> None:
    losses = []
    for name, micro in (("whole", None), ("cut", size)):
        settings = {"steps": 4, "micro_batch_size": micro, "batch_size": 8}
        trained(tmp_path / name, examples=JUDGED, objectives=TERMS, head="value", settings=settings)
        losses.append([row["loss"] for row in jsonl.read(tmp_path / name / "log.jsonl")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from test_heads import JUDGED, LEARN, TERMS
from students import killed_at, trained
options = {"objectives": TERMS, "head": "value", "settings": LEARN}
trained(Path(sys.argv[1]), examples=JUDGED, valid=JUDGED[:9], should_stop=killed_at(8), **options)
"""


def test_a_killed_training_of_a_head_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "cut")], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    said: list[str] = []
    for name in ("cut", "whole"):
        trained(
            tmp_path / name, examples=JUDGED, valid=JUDGED[:9], objectives=TERMS, head="value", settings=LEARN,
            say=said.append,
        )  # fmt: skip
    assert said[0] == "going on from step 5 of 12"
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_a_value_without_a_head_and_one_that_is_no_number_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="no value head to learn it"):
        trained(tmp_path / "a", examples=JUDGED, objectives=TERMS)
    with pytest.raises(StudentError, match="has the value inf, expected a finite number"):
        endless = [replace(JUDGED[0], value=float("inf"))]
        trained(tmp_path / "b", examples=endless, objectives=TERMS, head="value")


def test_a_model_without_a_head_has_none(tmp_path: Path) -> None:
    loading.save(model(), tmp_path / "s", "")
    assert heads.head_of(loading.load(str(tmp_path / "s")).model) is None
