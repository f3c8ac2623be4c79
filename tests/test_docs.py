from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import understudy
from understudy.cli import cli
from understudy.config import Config, parse
from understudy.stages.opening import make_run, open_run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page.name, block) for page in PAGES for block in pattern.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "block"), blocks("toml"))
def test_every_configuration_in_the_docs_is_one(page: str, block: str) -> None:
    _, problems = parse(Config, tomllib.loads(block))
    assert problems == []


@pytest.mark.parametrize(("page", "block"), blocks("jinja"))
def test_every_template_in_the_docs_writes_a_prompt(page: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "my.j2").write_text(block)
    table = {"task": "wordsums", "method": "pad", "prompt": {"template": "my.j2"}}
    run = make_run(table, tmp_path, tmp_path / "run")
    [source] = run.method.roles()[0].sources
    question = next(run.questions("train"))
    examples = run.task.demonstrations("program")[:2]
    prompt = run.prompter().prompt(run.task, question, source.format, examples, 2).text
    assert all(prompt.count(said) == 1 for said in (question.text, *(shown.text for _, shown in examples)))


@pytest.mark.parametrize(("page", "block"), blocks("console"))
def test_every_command_in_the_docs_exists(page: str, block: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in re.findall(r"^\$ (.*)", block, re.MULTILINE):
        words = shlex.split(line, comments=True)
        if words[0] == "understudy":
            assert words[1] in cli.commands, line
        elif words[0] == "make":
            assert words[1] in targets, line
        else:
            assert words[:2] == ["pip", "install"], line


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_every_python_block_in_the_docs_runs(page: str, block: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True, timeout=200)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_opens(path: Path, tmp_path: Path) -> None:
    if "shared/data" in path.read_text(encoding="utf-8") and not (ROOT.parent / "shared" / "data").is_dir():
        pytest.skip("the published data sets are not beside the project, in ../shared/data")
    assert open_run(path, out=tmp_path).config.method.name


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True)


def test_the_public_names_are_complete_sorted_and_there() -> None:
    assert understudy.__all__ == sorted(understudy.__all__)
    for name in understudy.__all__:
        assert getattr(understudy, name).__name__ in (name, "Generator"), name  # Procedure is an alias


def test_a_name_that_is_not_public_is_told() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        understudy.nothing  # noqa: B018


def test_no_module_is_named_like_a_drawer() -> None:
    names = {path.stem for path in (ROOT / "src").rglob("*.py")}
    assert not names & {"utils", "common", "helpers", "core", "base", "misc"}


FLOORS = [
    ["records", "errors"],
    ["config", "jsonl", "sandbox", "engines", "registry", "progress"],
    ["students", "answers", "rundir", "procedures"],
    ["formats", "tasks", "prompts"],
    ["methods", "teachers", "evidence"],
    ["stages", "report"],
    ["pipeline", "serve", "demo"],
    ["cli"],
]


def test_each_floor_of_the_house_rests_on_those_below() -> None:

    height = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    for path in (ROOT / "src" / "understudy").rglob("*.py"):
        room = path.relative_to(ROOT / "src" / "understudy").parts[0].removesuffix(".py")
        if room.startswith("__"):
            continue
        assert room in height, f"{room} has no floor"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("understudy."):
                below = (node.module or "").split(".")[1]
                assert height[below] <= height[room], f"{path.name} ({room}) imports {below}"


MACHINERY = sorted([*(ROOT / "src/understudy/stages").glob("*.py"), *(ROOT / "src/understudy").glob("pipeline.py")])


def known_methods(source: str) -> list[str]:
    """What of a single method a source speaks of: an import of its module, its class or its name in the code."""

    from understudy.methods import METHODS

    names = set(METHODS.names) | {METHODS.find(name).__name__ for name in METHODS.names}
    modules = {METHODS.find(name).__module__ for name in METHODS.names}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found += [node.module or ""] * (node.module in modules)
            found += [name.name for name in node.names if f"{node.module}.{name.name}" in modules or name.name in names]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name in modules]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.value] * (node.value in names)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            name = node.id if isinstance(node, ast.Name) else node.attr
            found += [name] * (name in names)
    return found


@pytest.mark.parametrize("path", MACHINERY, ids=lambda path: path.name)
def test_no_stage_and_not_the_pipeline_knows_a_method(path: Path) -> None:
    assert known_methods(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from understudy.methods.pad import Pad",
        "from understudy.methods import socratic",
        "import understudy.methods.pad",
        'if run.method.name == "step-by-step": pass',
        "isinstance(run.method, methods.Pad)",
        "case = Finetune()",
    ],
)
def test_a_stage_that_knew_a_method_would_be_found(source: str) -> None:
    assert known_methods(source)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_says_what_it_does(path: Path) -> None:
    said = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "--quick" in said.stdout
    assert "--json" in said.stdout
