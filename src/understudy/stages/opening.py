"""From a configuration file (or a run's directory) and `key=value` overrides to a run, or to every mistake in them at
once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from understudy.config import Config, Part, apply_overrides, mixed, parse, read_toml, unknown
from understudy.errors import ConfigError, DataError
from understudy.methods import METHODS, Method
from understudy.progress import Progress, Silent
from understudy.prompts import Prompter
from understudy.rundir import RunDir, read_json
from understudy.stages.run import Run
from understudy.tasks import TASKS, Task
from understudy.teachers import TEACHERS, Teacher


def open_run(
    source: Path, overrides: Sequence[str] = (), out: Path | None = None, progress: Progress | None = None
) -> Run:
    """The run that `source` describes: a TOML file, or the directory of an earlier run, whose configuration is taken.

    Args:
        source: file or directory.
        overrides: `dotted.key=value`, stronger than the file.
        out: the run's directory; by default `runs/<name of the file>`, or the directory itself.
        progress: where long work shows how far it is.

    Raises:
        ConfigError: with every mistake found.
    """
    if source.is_dir():
        manifest = read_json(source / "manifest.json")
        if manifest is None:
            raise ConfigError(
                ["has no manifest.json: it is no run's directory. Give a TOML file or a run"], str(source)
            )
        table, folder, default = manifest["config"], Path(manifest["folder"]), source
    else:
        table, folder, default = read_toml(source), source.resolve().parent, Path("runs") / source.stem
    return make_run(apply_overrides(table, overrides), folder, out or default, progress, str(source))


def make_run(table: dict[str, Any], folder: Path, out: Path, progress: Progress | None = None, place: str = "") -> Run:
    """The run of a configuration table. `folder` is where its relative paths start."""
    config, problems = parse(Config, table)
    folders = _folders(table.get("data"), folder)
    problems += [
        f"data = {str(table['data'])!r}: there is no folder {missing}. Give one that is there, or leave it out:  data="
        for missing in folders[:-1]
        if not missing.is_dir()
    ]
    task, found = TASKS.make(_part(table, "task", default="local"), folders)
    problems += found if "task" in table else []  # that it is missing is told already
    method, found = METHODS.make(_part(table, "method"), folders)
    problems += found if "method" in table else []
    teacher, found = TEACHERS.make(_part(table, "teacher", default="none"), folders)
    problems += found
    if task and method and teacher:
        problems += _misfit(task, method, teacher, out)
        problems += _unknown_roles(config, method) if config else []
    if problems or not (config and task and method and teacher):
        raise ConfigError(problems, place)
    run = Run(config, task, method, teacher, RunDir(out), folder, progress or Silent())
    try:
        return replace(run, method=method.prompted(_tried(run)))
    except ConfigError as error:
        raise ConfigError(error.problems, place) from None


def _tried(run: Run) -> Prompter:
    """The run's prompter, its templates and sets tried on the first question.

    Raises:
        ConfigError: a template is missing or fails; says file:line. Or there are too few worked examples.
    """
    prompter = run.prompter()
    question = None
    if prompter.sets > 1 or any(variant.template for variant in prompter.variants):
        question = next((question for split in run.task.splits for question in run.questions(split)), None)
    if question is not None:
        for format in run.asked_formats():
            examples = run.task.demonstrations(format.name)
            for variant, number in itertools.product(prompter.variants, range(prompter.sets)):
                count = run.config.generate.demonstrations
                prompter.prompt(run.task, question, format, examples, count, variant, number)
    return prompter


def _misfit(task: Task, method: Method, teacher: Teacher, out: Path) -> list[str]:
    """Why these parts cannot run together; a task may have to look into its files to know."""
    try:
        of_task, of_method = method.refuses(task), teacher.refuses(task, method, out)
    except DataError as error:
        return [str(error)]
    found = [f"method {method.name!r} does not fit task {task.name!r}: {of_task}"] if of_task else []
    return found + ([f"teacher {teacher.name!r} does not fit method {method.name!r}: {of_method}"] if of_method else [])


def _unknown_roles(config: Config, method: Method) -> list[str]:
    """The roles that are to be trained in some way, and that the method does not train."""
    known = [role.name for role in method.roles()] or ["none"]
    return [unknown("role", f"train.roles.{role}", role, known) for role in config.train.roles if role not in known]


def _part(table: dict[str, Any], key: str, default: str = "") -> Part:
    try:
        part = Part.model_validate(mixed(table.get(key, {})) if key == "teacher" else table.get(key, {}))
    except ValueError:
        part = Part()
    return part if part.name else part.model_copy(update={"name": default})


def _folders(data: Any, folder: Path) -> list[Path]:
    """Where relative paths are looked up: the data folder, itself relative to the configuration's, then that one."""
    return [*([folder / Path(str(data)).expanduser()] if data else []), folder]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration, in which every part knows the keys of its table."""
    schema = Config.model_json_schema()
    schema["title"] = "understudy configuration"
    definitions = schema["$defs"]
    for key, registry in (("task", TASKS), ("method", METHODS), ("teacher", TEACHERS)):
        described = schema["properties"][key].get("description", "")
        tables = [_part_schema(name, registry.find(name), definitions) for name in registry.names]
        with_model = [name for name in registry.names if "model" in registry.find(name).model_fields]
        names: list[dict[str, Any]] = [{"enum": registry.names}]
        if with_model:
            names.append({"type": "string", "pattern": f"^({'|'.join(with_model)}):.+$"})
        several = [{"type": "array", "items": {"type": "object", "required": ["share"]}}] if key == "teacher" else []
        schema["properties"][key] = {"description": described, "anyOf": [*names, *tables, *several]}
    definitions.pop("Part", None)
    return schema


def _part_schema(name: str, kind: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    table = kind.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(table.pop("$defs", {}))
    nameless = name == "local"  # a table without a name is the user's own file
    table["properties"] = {"name": {"const": name}, **table["properties"]}
    table["required"] = [*table.get("required", []), *([] if nameless else ["name"])]
    return dict(table)
