from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import SMALL, fails, understudy


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    return Path("small.toml")


def test_run_goes_from_a_file_to_a_table_and_a_page(config: Path) -> None:
    result = understudy("run", config)
    assert result.exit_code == 0, result.output
    assert "pad" in result.stdout
    assert "test" in result.stdout
    assert Path("runs/small/report.html").exists()


def test_a_stage_walks_the_plan_up_to_itself(config: Path) -> None:
    assert understudy("filter", config, "--out", "here").exit_code == 0
    assert Path("here/rationales/program.jsonl").exists()
    assert not Path("here/examples").exists()


def test_a_configuration_may_say_where_a_run_ends(config: Path) -> None:
    config.write_text('until = "filter"\n' + SMALL)
    assert [line.split()[-1] for line in understudy("plan", config).stdout.splitlines()[1:]] == [
        "generate-program", "filter-program", "report"
    ]  # fmt: skip
    result = understudy("run", config)
    assert result.exit_code == 0, result.output
    assert "program: 40 asked -> " in result.stdout
    assert 'The configuration ends here: until = "filter". To go on:  until=report' in result.stdout
    page = Path("runs/small/report.html").read_text()
    assert "Why completions were rejected" in page
    assert re.search(
        r"<h1>small keeps \d\d of 40 completions \(\d\d\.\d\xa0%\); no student is evaluated yet\.</h1>", page
    )
    assert not Path("runs/small/examples").exists()
    assert understudy("build", config).exit_code == 0, "a command is stronger than the configuration"
    assert Path("runs/small/examples/student.jsonl").exists()
    assert understudy("run", config, "until=report").exit_code == 0
    assert Path("runs/small/metrics.json").exists()


def test_a_method_without_the_stage_where_a_run_ends_has_a_page_all_the_same(config: Path) -> None:
    assert understudy("run", config, "method=finetune", "until=filter").exit_code == 0
    assert "not evaluated yet" in Path("runs/small/report.html").read_text()


def test_answers_older_than_the_filter_are_said_to_be(config: Path) -> None:
    assert understudy("run", config).exit_code == 0
    assert "older" not in Path("runs/small/report.html").read_text()
    assert understudy("run", config, "until=filter", "filter.keep=parsed").exit_code == 0
    assert "The answers are older than filter-program" in Path("runs/small/report.html").read_text()


def test_a_run_directory_stands_for_its_configuration(config: Path) -> None:
    understudy("build", config, "task.train=30", "--out", "here")
    assert understudy("run", "here").exit_code == 0
    assert json.loads(Path("here/manifest.json").read_text())["config"]["task"]["train"] == 30


def test_a_limit_makes_a_pilot(config: Path) -> None:
    assert understudy("generate", config, "--limit", "3", "--out", "here").exit_code == 0
    assert len(Path("here/completions/program.jsonl").read_text().splitlines()) == 3


GUESSED = 'Guessed from the first rows of my.csv: columns.question = "prompt", answer = "number".'


def test_what_is_guessed_is_shown_and_pinned(config: Path) -> None:
    Path("my.csv").write_text("prompt,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    Path("my.toml").write_text('task = { path = "my.csv" }\nmethod = "finetune"\nstudent = "nearest"\n')
    assert GUESSED in understudy("plan", "my.toml").stdout
    result = understudy("run", "my.toml")
    assert result.exit_code == 0, result.output
    assert GUESSED in result.stderr
    manifest = json.loads(Path("runs/my/manifest.json").read_text())
    assert GUESSED in manifest["notes"]
    assert manifest["config"]["task"]["columns"] == {"question": "prompt", "answer": "answer"}
    assert manifest["config"]["task"]["answer"] == "number"
    plan = understudy("plan", "runs/my").stdout
    assert GUESSED in plan
    assert "to do" not in plan
    Path("my.csv").write_text("text,answer\nblue?,blue\n")
    assert "no 'prompt' in the first rows, as task.columns.question says" in fails(1, "run", "runs/my")


def test_a_file_that_cannot_be_guessed_is_told_with_all_other_mistakes(config: Path) -> None:
    Path("my.csv").write_text("prompt,text,answer\na,b,3\n")
    error = fails(2, "plan", config, 'task={path="my.csv"}', "seed=x")
    assert "2 problems" in error
    assert "my.csv: the question may stand in 'prompt', 'text'" in error


@pytest.mark.parametrize("command", ["plan", "run", "generate", "filter", "build", "train", "evaluate"])
def test_a_data_folder_may_be_given_as_an_option(config: Path, command: str) -> None:
    assert "--data" in understudy(command, "--help").stdout


def test_the_data_folder_starts_where_the_user_is(config: Path) -> None:
    Path("there").mkdir()
    Path("there/my.csv").write_text("question,answer\n1 + 1?,2\n")
    Path("configs").mkdir()
    Path("configs/my.toml").write_text('task = { path = "my.csv" }\nmethod = "pad"\n')
    assert understudy("plan", "configs/my.toml", "--data", "there").exit_code == 0
    assert "no such file" in fails(2, "plan", "configs/my.toml")
    assert "'nowhere' does not exist" in fails(2, "plan", "configs/my.toml", "--data", "nowhere")


def test_a_data_folder_that_is_not_there_is_told_before_anything_is_asked(config: Path) -> None:
    said = fails(2, "run", config, "data=nowhere")
    assert f"data = 'nowhere': there is no folder {config.resolve().parent / 'nowhere'}. Give one" in said
    assert not Path("runs").exists()
    assert understudy("plan", config, "data=").exit_code == 0


def test_a_plan_says_what_is_done(config: Path) -> None:
    understudy("filter", config)
    lines = understudy("plan", config).stdout.splitlines()[1:]
    assert [line.split() for line in lines[:3]] == [
        ["done", "generate-program"],
        ["done", "filter-program"],
        ["to", "do", "build-student"],
    ]


def test_a_plan_after_a_change_says_that_everything_after_it_is_to_do(config: Path) -> None:
    understudy("run", config)
    assert "done   filter-program" in understudy("plan", config, "evaluate.batch_size=5").stdout
    assert "to do  evaluate" in understudy("plan", config, "evaluate.batch_size=5").stdout


def test_init_writes_a_configuration_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert understudy("init").exit_code == 0
    assert understudy("plan", "understudy.toml").exit_code == 0
    assert "exists already" in fails(1, "init")


@pytest.mark.parametrize("kind", ["tasks", "methods", "teachers", "formats", "students"])
def test_list_shows_each_part_with_a_line(kind: str) -> None:
    lines = understudy("list", kind).stdout.splitlines()
    assert len(lines) >= 3
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


@pytest.mark.parametrize("kind", ["config", "tasks", "methods", "teachers"])
def test_keys_shows_every_setting_with_its_sentence(kind: str) -> None:
    assert understudy("keys", kind).exit_code == 0
    assert len(understudy("keys", kind).stdout.splitlines()) > 8


def test_the_schema_is_json() -> None:
    assert json.loads(understudy("schema").stdout)["title"] == "understudy configuration"


def test_the_help_of_run_ends_with_the_keys() -> None:
    assert "train.learning_rate" in understudy("run", "--help").stdout


def test_a_missing_file(config: Path) -> None:
    assert "gone.toml: no such file" in fails(2, "run", "gone.toml")


def test_an_unknown_key(config: Path) -> None:
    assert "did you mean 'samples'" in fails(2, "run", config, "generate.sampels=3")


def test_an_unknown_method(config: Path) -> None:
    assert "did you mean 'pad'" in fails(2, "run", config, "method=padd")


def test_every_mistake_at_once(config: Path) -> None:
    error = fails(2, "run", config, "method=padd", "seed=x", "train.steps=-1")
    assert "3 problems" in error
    assert error.count("\n  - ") == 3


def test_a_broken_line_41(config: Path) -> None:
    rows = [json.dumps({"id": i, "question": "1 + 1?", "answer": "2"}) for i in range(60)]
    rows[40] = '{"id": 40, "question": '
    Path("my.jsonl").write_text("\n".join(rows))
    error = fails(1, "run", config, 'task={path="my.jsonl",answer="number"}', "method=finetune")
    assert "my.jsonl:41: not valid JSON" in error


def test_duplicate_ids(config: Path) -> None:
    Path("my.jsonl").write_text('{"id": 1, "question": "a", "answer": "2"}\n' * 2)
    error = fails(1, "run", config, 'task={path="my.jsonl",answer="number"}', "method=finetune")
    assert "my.jsonl:2: id '1' stands already in line 1" in error


def test_an_empty_train_split(config: Path) -> None:
    Path("train.jsonl").write_text("")
    Path("test.jsonl").write_text('{"id": 1, "question": "a", "answer": "2"}\n')
    task = 'task={train="train.jsonl",test="test.jsonl",answer="number"}'
    assert "train.jsonl: holds nothing, expected at least one row" in fails(1, "run", config, task, "method=finetune")
    task = 'task={path="test.jsonl",test_share=0.9999}'
    assert "training split of task 'local' is empty" in fails(1, "run", config, task, "method=finetune")


OTHER_FAULTS = [
    "syntax_error",
    "name_error",
    "wrong_operand",
    "endless_loop",
    "prose",
    "run_on",
    "truncated",
    "wrong_label",
]


def test_no_kept_rationale_at_all(config: Path) -> None:
    error = fails(1, "run", config, "teacher.refusal=1.0", *(f"teacher.{name}=0" for name in OTHER_FAULTS))
    assert "no rationale was kept" in error
    assert Path("runs/small/rejected/program.jsonl").exists()


def test_no_teacher(config: Path) -> None:
    assert "asks a teacher, and the configuration names none" in fails(1, "run", config, "teacher=none")


def test_a_split_the_task_does_not_have(config: Path) -> None:
    assert "has no split 'exam'" in fails(2, "run", config, 'evaluate.splits=["exam"]')


def test_a_wrong_split_is_told_before_anything_is_asked(config: Path) -> None:
    assert "no split 'tset'" in fails(2, "run", config, "evaluate.splits=['tset']")
    assert not Path("runs/small/completions").exists()
    assert understudy("filter", config, "evaluate.splits=['tset']").exit_code == 0, "which evaluates nothing"


def test_a_file_where_a_folder_should_be_and_the_other_way_round(config: Path) -> None:
    assert "small.toml: file exists, while working in small.toml" in fails(1, "run", config, "--out", config)
    assert understudy("run", config).exit_code == 0
    Path("folder").mkdir()
    assert "folder: is a directory, while writing. Give another path" in fails(
        1, "report", "runs/small", "--out", "folder"
    )


def test_an_empty_configuration_says_what_is_missing_once(config: Path) -> None:
    config.write_text("")
    assert fails(2, "run", config).splitlines()[1:] == [
        "  - task is missing. Set it in the file, or give task=VALUE",
        "  - method is missing. Set it in the file, or give method=VALUE",
    ]


def test_a_plan_counts_the_rows_of_the_users_file(config: Path) -> None:
    rows = [f"q{i},{i} + 1?,{i + 1 if i % 3 else ''}" for i in range(30)]
    Path("my.csv").write_text("\n".join(["id,question,answer", *rows]) + "\n")
    shown = understudy("plan", config, "task={path='my.csv'}", "method=finetune").stdout
    counted = re.findall(r"(train|test): (\d+) questions(?:, (\d+) of them without an answer)?", shown)
    assert [split for split, _, _ in counted] == ["train", "test"]
    assert int(counted[0][1]) + int(counted[1][1]) == 30
    assert (counted[0][2], counted[1][2]) == ("10", "")


def test_a_second_run_in_the_same_directory(config: Path) -> None:
    from understudy.rundir import RunDir

    code = "import sys; from understudy.cli import main; main()"
    with RunDir(Path("runs/small")).locked():
        other = subprocess.run(
            [sys.executable, "-c", code, "run", str(config)], capture_output=True, text=True, check=False
        )
    assert other.returncode == 1
    assert "is working in this run" in other.stderr
    assert other.stderr.count("understudy: ") == 1


def test_report_takes_several_runs(config: Path) -> None:
    understudy("run", config, "--out", "runs/a")
    understudy("run", config, "seed=1", "--out", "runs/b")
    result = understudy("report", "runs/a", "runs/b")
    assert result.exit_code == 0, result.output
    assert Path("runs/report.html").exists()


def imported_by(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(shown.stdout.split())


HEAVY = {"torch", "transformers", "numpy", "tokenizers", "datasets", "pyarrow"}


def test_help_imports_no_torch_and_no_configuration() -> None:
    code = "from click.testing import CliRunner; from understudy.cli import cli; CliRunner().invoke(cli, ['--help'])"
    assert not imported_by(code) & {*HEAVY, "pydantic", "rich", "jinja2"}


def test_the_core_imports_neither_torch_nor_a_hub() -> None:
    code = (
        "import understudy, understudy.pipeline, understudy.stages.opening, understudy.report.page\n"
        "from understudy.tasks import TASKS\nfrom understudy.methods import METHODS\n"
        "from understudy.teachers import TEACHERS\n"
        "for r in (TASKS, METHODS, TEACHERS):\n    [r.find(name) for name in r.names]"
    )
    assert not imported_by(code) & {*HEAVY, "huggingface_hub"}


def test_ctrl_c_says_how_to_go_on(config: Path) -> None:
    code = "import sys; from understudy.cli import main; main()"
    words = ["generate", str(config), "task.train=20000"]
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as process:
        part = Path("runs/small/completions/program.jsonl.part")
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        assert process.stderr is not None
        error = process.stderr.read()
    assert process.returncode == 130
    assert f"Go on with:  understudy generate {config} task.train=20000" in error
    assert "Traceback" not in error
