from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.config import Config, Part, Settings, apply_overrides, documented, parse, read_toml
from understudy.errors import ConfigError
from understudy.stages.opening import json_schema, make_run, open_run

MINIMAL = {"task": "wordsums", "method": "finetune"}


def problems(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        make_run(table, Path(), Path("runs/x"))
    return list(error.value.problems)


def test_the_minimal_configuration_opens() -> None:
    run = make_run(MINIMAL, Path(), Path("runs/x"))
    assert (run.task.name, run.method.name, run.config.seed) == ("wordsums", "finetune", 0)


def test_an_unknown_key_names_the_nearest() -> None:
    assert problems({**MINIMAL, "train": {"batch_sise": 3}}) == [
        "unknown key 'train.batch_sise'; did you mean 'batch_size'?"
    ]


def test_an_unknown_key_without_a_near_one_lists_what_there_is() -> None:
    [problem] = problems({**MINIMAL, "filter": {"zzz": 3}})
    assert "there are: duplicates, keep, overlap" in problem


def test_an_unknown_method_names_the_nearest() -> None:
    assert problems({**MINIMAL, "method": "finetun"}) == ["unknown method 'finetun'; did you mean 'finetune'?"]


def test_every_mistake_is_told_at_once() -> None:
    found = problems({"task": "wordsum", "teacher": "opneai:x", "train": {"steps": 0, "lr": 1}, "seed": "a"})
    text = "\n".join(found)
    for word in ("wordsum", "method", "opneai", "train.steps", "train.lr", "seed"):
        assert word in text


def test_an_option_of_a_part_is_checked_too() -> None:
    [problem] = problems({"task": {"name": "wordsums", "trian": 3}, "method": "pad"})
    assert problem == "unknown key 'task.trian'; did you mean 'train'?"


def test_a_part_is_a_name_or_a_table_or_provider_and_model() -> None:
    assert Part.model_validate("pad") == Part(name="pad")
    assert Part.model_validate("openai:gpt-4o:mini").model == "gpt-4o:mini"
    assert Part.model_validate({"name": "openai:m", "timeout_s": 3}).options == {"timeout_s": 3}


def test_a_part_that_takes_no_model_refuses_one() -> None:
    assert problems({**MINIMAL, "task": "wordsums:hard"}) == [
        "task 'wordsums' takes nothing after the colon, found 'hard'"
    ]


def test_a_table_without_a_name_is_the_users_own_file() -> None:
    run = make_run({"task": {"path": "my.jsonl", "answer": "number"}, "method": "pad"}, Path("/x"), Path("r"))
    assert run.task.name == "local"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.steps=5", "steps", 5),
        ("train.learning_rate=1e-3", "learning_rate", 1e-3),
        ("train.schedule=cosine", "schedule", "cosine"),
        ("train.micro_batch_size=4", "micro_batch_size", 4),
    ],
)
def test_an_override_is_stronger_than_the_file(override: str, key: str, value: object) -> None:
    table = apply_overrides({**MINIMAL, "train": {"steps": 9}}, [override])
    config, found = parse(Config, table)
    assert config is not None, found
    assert getattr(config.train, key) == value


def test_an_override_reaches_into_a_part_given_by_name() -> None:
    assert apply_overrides(MINIMAL, ["task.train=5"])["task"] == {"name": "wordsums", "train": 5}


def test_overrides_leave_the_table_they_are_applied_to_alone() -> None:
    table: dict[str, Any] = {"train": {"steps": 9}}
    apply_overrides(table, ["train.steps=5"])
    assert table == {"train": {"steps": 9}}


def test_a_whole_part_can_be_replaced() -> None:
    assert apply_overrides(MINIMAL, ["method=pad"])["method"] == "pad"


@pytest.mark.parametrize("override", ["steps", "=5", "seed.x=5"])
def test_a_bad_override_is_told(override: str) -> None:
    with pytest.raises(ConfigError, match="command line"):
        apply_overrides({"seed": 1}, [override])


def test_a_file_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("a = 1\nb = = 2\n")
    with pytest.raises(ConfigError, match=r"c\.toml: not valid TOML.*line 2"):
        read_toml(tmp_path / "c.toml")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file.*understudy init"):
        open_run(tmp_path / "c.toml")


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run's directory"):
        open_run(tmp_path)


def test_every_setting_has_a_sentence() -> None:
    rows = list(documented(Config))
    assert len(rows) > 20
    assert [key for key, _, line in rows if not line] == []


def test_settings_cannot_be_changed() -> None:
    config, _ = parse(Config, MINIMAL)
    assert config is not None
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_relative_paths_start_at_the_data_folder_then_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "there.jsonl").touch()
    table = {"task": {"train": "there.jsonl", "test": "here.jsonl"}, "method": "finetune", "data": "data"}
    task: Any = make_run(table, tmp_path, tmp_path / "run").task
    assert (task.train, task.test) == (tmp_path / "data" / "there.jsonl", tmp_path / "here.jsonl")


def test_the_schema_knows_the_keys_of_every_part() -> None:
    schema = json_schema()
    tables = [t["properties"] for t in schema["properties"]["task"]["anyOf"] if "properties" in t]
    assert {"const": "wordsums"} in [t["name"] for t in tables]
    assert json.loads(json.dumps(schema)) == schema
    assert schema["properties"]["train"]
    assert isinstance(Config(**MINIMAL), Settings)


def test_a_role_may_be_trained_otherwise() -> None:
    config, problems = parse(Config, {**MINIMAL, "train": {"steps": 9, "roles": {"solver": {"steps": 7, "clip": 2.0}}}})
    assert config is not None
    assert problems == []
    assert (config.train.of("solver").steps, config.train.of("solver").clip, config.train.of("solver").roles) == (
        7,
        2,
        {},
    )
    assert (config.train.of("student").steps, config.train.of("student").clip) == (9, 1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"stpes": 7}, "train: unknown key 'roles.solver.stpes'; did you mean 'steps'?"),
        ({"steps": 0, "clip": -1}, "train: roles.solver.steps = 0: input should be greater than or equal to 1; roles"),
        ({"validation": 0.1}, "train: roles.solver.validation is for all roles together; set train.validation"),
        ({"roles": {}}, "train: roles.solver.roles is for all roles together"),
    ],
)
def test_a_role_cannot_be_trained_by_what_is_no_setting_of_a_training(table: dict[str, Any], said: str) -> None:
    _, [problem] = parse(Config, {**MINIMAL, "train": {"roles": {"solver": table}}})
    assert problem.startswith(said)


def test_a_role_that_the_method_does_not_train_is_told() -> None:
    table = {**MINIMAL, "method": "verifier", "train": {"roles": {"genrator": {"steps": 5}, "verifier": {"steps": 6}}}}
    assert problems(table) == ["unknown role 'train.roles.genrator'; did you mean 'generator'?"]
    [problem] = problems({**table, "method": "few-shot-cot", "train": {"roles": {"verifier": {}}}})
    assert problem.endswith("there are: none")
