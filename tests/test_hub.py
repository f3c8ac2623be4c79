"""The hub with its real clients: `datasets` on folders laid out as the hub's data sets, a model in the hub's cache.

There is no network: `load_dataset` takes a folder of that name, relative to the working directory, in place of the hub,
and reads its card (README.md), its configurations and its files as those of the hub.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from students import model, model_folder
from understudy.config import Part
from understudy.errors import DataError, StudentError
from understudy.records import Question
from understudy.students import loading
from understudy.tasks import TASKS
from understudy.tasks.published import Published

Rows = Sequence[Mapping[str, Any]]
PENS = "She buys 2*3=<<2*3=6>>6 pens.\n#### 6"
STEPS = "How many? ** She buys 2*3=<<2*3=6>>6 pens.\n#### 6"
PAIR = {"premise": "A dog runs.", "hypothesis": "A dog sleeps.", "label": 2}
WHERE = {"id": "w", "question": "Where do boats rest?", "choices": ["harbour", "moon"], "answer": "harbour"}
FLIP = {"inputs": "Q: A coin is heads up. Ada flips the coin. Is the coin still heads up?", "targets": "no"}
HUB: dict[str, dict[tuple[str, str], Rows]] = {
    "openai/gsm8k": {
        ("main", "train"): [{"question": "How many pens?", "answer": PENS}],
        ("main", "test"): [{"question": "How many more?", "answer": "#### 1,800"}],
        ("socratic", "train"): [{"question": "How many pens?", "answer": STEPS}],
        ("socratic", "test"): [{"question": "How many more?", "answer": "#### 1,800"}],
    },
    "facebook/anli": {
        ("default", split): [{"uid": "u", **PAIR, "reason": "It runs."}] for split in ("train_r1", "dev_r1", "test_r1")
    },
    "esnli": {
        ("default", split): [{**PAIR, "explanation_1": "It runs.", "explanation_2": "", "explanation_3": ""}]
        for split in ("train", "validation", "test")
    },
    "Salesforce/cos_e": {
        ("v1.0", "train"): [{"id": "no"}],
        **{
            ("v1.11", split): [{**WHERE, "abstractive_explanation": "rest", "extractive_explanation": "boats rest"}]
            for split in ("train", "validation")
        },
    },
    "skrishna/coin_flip": {("default", "test"): [FLIP]},
}


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real package, without a network and with a cache of its own; the working directory stands for the hub."""
    if importlib.util.find_spec("datasets") is None and os.environ.get("CI") != "true":
        pytest.skip("the package `datasets` is not installed")
    package: Any = importlib.import_module("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    package.disable_progress_bars()
    return package


def lay_out(name: str) -> None:
    """Write a data set as the hub holds it: a card that names the configurations, and Parquet files."""
    pyarrow: Any = importlib.import_module("pyarrow")
    files: dict[str, list[dict[str, str]]] = {}
    for (config, split), rows in HUB[name].items():
        path = Path(name) / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        importlib.import_module("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(list(rows)), path)
        files.setdefault(config, []).append({"split": split, "path": f"{config}/{path.name}"})
    card = {"configs": [{"config_name": config, "data_files": found} for config, found in files.items()]}
    (Path(name) / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n# {name}\n")  # JSON is YAML


def task(name: str, **options: Any) -> Published:
    made, problems = TASKS.make(Part(name=name, **options), [Path("elsewhere")])
    assert not problems
    assert isinstance(made, Published)
    return made


def loaded(name: str) -> dict[str, Question]:
    """The one question of each split, loaded from what is laid out as on the hub."""
    made = task(name)
    lay_out(made.hub.path)
    found = {}
    for split in made.splits:
        [found[split]] = made.questions(split)
    return found


def test_gsm8k_is_joined_from_two_configurations(datasets: Any) -> None:
    found = loaded("gsm8k")
    assert (found["train"].id, found["train"].answer, found["test"].answer) == ("gsm8k-train-0", "6", "1800")
    human = task("gsm8k").human(found["train"], "socratic")
    assert human is not None
    assert human.text == "How many? ** She buys 2*3=6 pens."


def test_labels_are_numbers_on_the_hub(datasets: Any) -> None:
    for name in ("anli", "esnli"):
        found = loaded(name)
        assert {question.answer for question in found.values()} == {"contradiction"}
        assert set(found) == {"train", "valid", "test"}


def test_a_configuration_among_several_is_taken_by_its_name(datasets: Any) -> None:
    found = loaded("cqa")
    assert (found["train"].id, found["test"].choices) == ("w", ("harbour", "moon"))


def test_a_test_from_the_hub_goes_with_training_questions_made_here(datasets: Any) -> None:
    lay_out("skrishna/coin_flip")
    made = task("coin-flip", train=3)
    assert [question.answer for question in made.questions("test")] == ["no"]
    assert made.size("train") == 3


def test_a_data_set_that_is_not_there_says_so_and_how_to_do_without(datasets: Any) -> None:
    with pytest.raises(DataError, match=r"openai/gsm8k: cannot be loaded from the hub .*task\.folder=FOLDER"):
        list(task("gsm8k").questions("train"))


def test_a_split_that_the_hub_lost_is_told(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HUB, "facebook/anli", {("default", "train_r2"): [{"uid": "u", **PAIR, "reason": "r"}]})
    lay_out("facebook/anli")
    with pytest.raises(DataError, match=r"facebook/anli: cannot be loaded from the hub .*train_r1"):
        list(task("anli").questions("train"))


def test_columns_that_the_hub_renamed_are_told(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HUB, "skrishna/coin_flip", {("default", "test"): [{"question": "?", "targets": "no"}]})
    lay_out("skrishna/coin_flip")
    with pytest.raises(DataError, match=r"skrishna/coin_flip:1: no 'inputs'; the columns are question, targets"):
        list(task("coin-flip").questions("test"))


def in_the_hubs_cache(cache: Path, name: str) -> None:
    """A model as `hf download` leaves it: a snapshot of a commit, and the branch that points to it."""
    kept, commit = cache / f"models--{name.replace('/', '--')}", "c" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    (kept / "snapshots").mkdir()
    model_folder(kept / "snapshots" / commit)


def test_a_student_is_loaded_by_its_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    in_the_hubs_cache(tmp_path, "someone/small")
    found = loading.load("someone/small")
    assert found.tokenizer.encode("Ann has 12") == model().tokenizer.encode("Ann has 12")
    weights = found.model.state_dict()
    assert all(bool((weights[name] == value).all()) for name, value in model().model.state_dict().items())
    with pytest.raises(StudentError, match="'someone/small' is not in the local cache and cannot be fetched"):
        loading.load("someone/small", revision="v2")


def test_a_model_of_the_hub_without_safetensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    in_the_hubs_cache(tmp_path, "someone/pickled")
    [weights] = tmp_path.glob("*/snapshots/*/model.safetensors")
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(StudentError, match="'someone/pickled' is not in the local cache"):
        loading.load("someone/pickled")
