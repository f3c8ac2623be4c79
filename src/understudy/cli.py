"""The command: parse, call the function of the same name, print. The only file that exits.

Heavy imports stand inside the commands, so that `understudy --help` starts at once.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from understudy import __version__
from understudy.errors import UnderstudyError, explain_os_errors

if TYPE_CHECKING:
    from understudy.stages.run import Run

EXIT_INTERRUPTED = 130


class Cli(click.Group):
    """Turns an error of ours into one line and an exit code, and Ctrl-C into how to go on."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with explain_os_errors("writing"):
                return super().invoke(context)
        except UnderstudyError as error:
            click.echo(f"understudy: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            again = shlex.join(["understudy", *sys.argv[1:]])
            click.echo(f"\nstopped; what was complete is kept. Go on with:  {again}", err=True)
            sys.exit(EXIT_INTERRUPTED)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work, not of the alphabet


class WithKeys(click.Command):
    """A command whose help ends with every key of the configuration."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from understudy.config import Config, documented

        with formatter.section("Keys of the configuration"):
            rows = [(f"{key}={default}" if default else key, line) for key, default, line in documented(Config)]
            formatter.write_dl(rows, col_max=44)


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="understudy")
def cli() -> None:
    """Distil a large model's reasoning into a small model that takes over its part.

    Start with `understudy demo`: it needs no key, no GPU and no network.
    """


DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder where relative paths are looked up first, as the key data.",
)


def _on_a_run(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every command takes that works on a run: its configuration, directory, limit and data."""
    for option in (
        DATA,
        click.option("--limit", type=click.IntRange(min=1), help="Only the first N questions of every split: a pilot."),
        click.option("--out", type=click.Path(path_type=Path), help="The run's directory.  [default: runs/NAME]"),
        click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1),
        click.argument("source", metavar="CONFIG", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def _walks(stage: str, text: str) -> None:
    """Add the command that walks the plan up to `stage`."""

    def command(
        source: Path, overrides: tuple[str, ...], out: Path | None, limit: int | None, data: Path | None, events: bool
    ) -> None:
        from understudy.pipeline import walk

        run = _open(source, overrides, out, limit, data, events)
        walk(run, "" if stage == "run" else stage)
        _show_end(run, stage, events)

    events_option = click.option(
        "--events", is_flag=True, hidden=True, help="Progress as JSON lines, for a parent process."
    )
    cli.command(stage, cls=WithKeys, help=text)(_on_a_run(events_option(command)))


def _open(
    source: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    limit: int | None,
    data: Path | None,
    events: bool = False,
) -> Run:
    from understudy.progress import Events, for_terminal
    from understudy.stages.opening import open_run

    given = [*overrides, *([f"limit={limit}"] if limit else [])]
    given += [f"data={json.dumps(str(data.absolute()), ensure_ascii=False)}"] if data else []
    return open_run(source, given, out, Events(sys.stdout) if events else for_terminal())


def _show_end(run: Run, stage: str, events: bool) -> None:
    from understudy.report.page import render_funnels, render_text_table

    if events:
        return
    if stage == "filter" or (stage == "run" and run.config.until == "filter"):
        click.echo(render_funnels(run.dir.root))
    elif stage in ("run", "evaluate"):
        click.echo(render_text_table([run.dir.root]))
    if stage == "run":
        click.echo(f"\nreport: {run.dir.page}")
        if run.config.until != "report":
            click.echo(f'The configuration ends here: until = "{run.config.until}". To go on:  until=report')
    else:
        click.echo(f"{stage} is done: {run.dir.root}", err=True)


_walks("run", "Do everything: from the CONFIG file, or a run's directory, to the report.")


@cli.command()
@_on_a_run
def plan(source: Path, overrides: tuple[str, ...], out: Path | None, limit: int | None, data: Path | None) -> None:
    """Show the steps of a run, and which are done already."""
    from understudy.pipeline import steps
    from understudy.tasks.local import Local

    run = _open(source, overrides, out, limit, data)
    click.echo(f"{run.config.student} learns {run.task.name} by {run.method.name}, in {run.dir.root}")
    for guess in run.task.guesses():
        click.echo(f"  {guess}")
    if isinstance(run.task, Local):
        for split in run.task.splits:
            gold = [question.answer is not None for question in run.questions(split)]
            unlabelled = f", {gold.count(False)} of them without an answer" if False in gold else ""
            click.echo(f"  {split}: {len(gold)} questions{unlabelled}")
    if run.fraction_note:
        click.echo(f"  {run.fraction_note}")
    pending = False
    for step in steps(run):
        pending = pending or not step.is_done(run)
        click.echo(f"  {'to do' if pending else 'done '}  {step.name}")


@cli.command()
@_on_a_run
def estimate(source: Path, overrides: tuple[str, ...], out: Path | None, limit: int | None, data: Path | None) -> None:
    """Say what a run would still ask of its teacher, and what that costs. Nobody is asked."""
    from understudy.stages.estimate import estimate as lines_of
    from understudy.stages.estimate import render

    run = _open(source, overrides, out, limit, data)
    click.echo(render(run, lines_of(run)))


@cli.command("show-prompt", cls=WithKeys)
@_on_a_run
@click.option("--question", metavar="ID", default="", help="Of this question.  [default: the first]")
@click.option("--source", "--format", "only", metavar="NAME", default="", help="Only this source or format.")
def show_prompt(
    source: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    limit: int | None,
    data: Path | None,
    question: str,
    only: str,
) -> None:
    """Show what the teacher and the students are asked, word for word. Nobody is asked, and no key is needed."""
    from understudy.stages.showing import show_prompts

    click.echo("\n\n".join(show_prompts(_open(source, overrides, out, limit, data), question, only)))


_walks("generate", "Ask the teacher (or an earlier role) for rationales.")
_walks("filter", "Read every completion and keep what a student may learn from.")
_walks("build", "Turn questions and rationales into training examples.")
_walks("train", "Train the student of every role.")
_walks("evaluate", "Answer the test questions and grade the answers.")


@cli.command()
@click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The page.  [default: report.html in RUN, or beside several]"
)
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Put one or several runs on one page, and print their table."""
    from understudy.report.page import render_text_table, write_report

    page = out or (runs[0] / "report.html" if len(runs) == 1 else runs[0].parent / "report.html")
    write_report(list(runs), page)
    click.echo(render_text_table(list(runs)))
    click.echo(f"\nreport: {page}")


@cli.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True, help="Where the runs go."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Runs side by side, one thread each."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every run.")
def demo(out: Path, jobs: int, seed: int) -> None:
    """Distil the bundled task four ways into one tiny student, offline, and compare them."""
    from understudy.demo import demo as run_demo
    from understudy.progress import for_terminal

    click.echo(run_demo(out, jobs, seed, for_terminal()))


@cli.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("understudy.toml"))
def init(path: Path) -> None:
    """Write a configuration to start from."""
    from understudy.demo import STARTER
    from understudy.jsonl import write_text

    if path.exists():
        raise UnderstudyError(f"{path} exists already; nothing was written. Give another name")
    write_text(path, STARTER)
    click.echo(f"wrote {path}. Look at it, then:  understudy run {path}")


@cli.command()
@click.argument("source", metavar="CONFIG", type=click.Path(path_type=Path))
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--count", type=click.IntRange(min=1), default=8, show_default=True, help="How many training questions.")
@click.option("--out", type=click.Path(path_type=Path), help="The file of drafts.  [default: NAME.drafts.jsonl]")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["cot", "program", "socratic"]),
    help="The form to draft, several times for several.  [default: as the method has the teacher write]",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@DATA
def draft(
    source: Path,
    overrides: tuple[str, ...],
    count: int,
    out: Path | None,
    formats: tuple[str, ...],
    force: bool,
    data: Path | None,
) -> None:
    """Let the teacher write worked examples for you to correct: the file goes to task.demonstrations_path."""
    from understudy.stages.drafting import draft as write_drafts

    path = out or source.with_suffix(".drafts.jsonl")
    found = write_drafts(_open(source, overrides, None, None, data), path, count, formats, force)
    faults = ", ".join(f"{fault} {times}" for fault, times in sorted(found.items()) if fault)
    click.echo(f"wrote {found.total()} drafts to {path}; faults: {faults or 'none'}")
    click.echo(f"Correct them, delete the faults you mended, then:  task.demonstrations_path={path.absolute()}")


@cli.command()
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--self-test", is_flag=True, help="Say what closes programs in on this system, and prove it.")
@click.option("--timeout", "timeout_s", type=float, default=2.0, show_default=True, help="Time limit, in seconds.")
@click.option("--memory", "memory_mb", type=int, default=256, show_default=True, help="Memory limit, in MiB.")
@click.option("--engine", type=click.Choice(["auto", "cpython", "monty", "unsafe"]), default="auto", show_default=True)
def check(path: Path | None, self_test: bool, timeout_s: float, memory_mb: int, engine: Any) -> None:
    """Run the Python program in FILE in the sandbox, and show its value and that of its lines."""
    from understudy.sandbox.check import check_file
    from understudy.sandbox.check import self_test as test

    if self_test:
        lines, ok = test()
    elif path is None:
        raise click.UsageError("give FILE, or --self-test")
    else:
        checked = check_file(path, timeout_s, memory_mb, engine)
        lines, ok = list(checked.lines), checked.ok
    click.echo("\n".join(lines))
    sys.exit(0 if ok else 1)


_STORE = click.option(
    "--store",
    "path",
    type=click.Path(path_type=Path),
    help="The store.  [default: UNDERSTUDY_STORE, or your data folder]",
)


@cli.group()
def store() -> None:
    """The store of all answers that teachers gave: look into it, share it, clear it."""


@store.command("list")
@_STORE
def list_store(path: Path | None) -> None:
    """Show how many answers of which model there are, and since when."""
    from understudy.teachers import exchange

    click.echo(exchange.overview(path))


@store.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", help="Only the answers of this model.")
@_STORE
def export_store(file: Path, model: str | None, path: Path | None) -> None:
    """Write the answers to FILE, JSON Lines or Parquet by its ending, to share or to replay."""
    from understudy.teachers import exchange

    click.echo(f"{exchange.export(path, file, model):,} answers are in {file}")


@store.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_STORE
def import_store(file: Path, path: Path | None) -> None:
    """Take over the answers of an exported FILE; those that are there already stay."""
    from understudy.teachers import exchange

    new, known = exchange.take_over(path, file)
    click.echo(f"{new:,} answers are new, {known:,} were there already")


@store.command("compact")
@_STORE
def compact_store(path: Path | None) -> None:
    """Compress the answers. While a teacher is asked, only long ones are, for that takes time."""
    from understudy.progress import for_terminal
    from understudy.teachers import exchange

    before, after = exchange.compact(path, for_terminal())
    click.echo(f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now")


@store.command("prune")
@click.option("--model", help="Only the answers of this model.")
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Only answers from before this day, UTC.")
@click.option("--failed", is_flag=True, help="Only the notes of requests that failed.")
@click.option("--all", "everything", is_flag=True, help="Everything; must be said.")
@click.option("--batches", is_flag=True, help="No answers: give up the batches that are under way at an endpoint.")
@_STORE
def prune_store(
    model: str | None, before: Any, failed: bool, everything: bool, batches: bool, path: Path | None
) -> None:
    """Delete answers. They were paid for: export them first."""
    from understudy.teachers import exchange

    if batches:
        click.echo(f"{exchange.forget_batches(path):,} batches are given up; what they asked may be asked again")
        return
    if not (model or before or failed or everything):
        raise click.UsageError("say which answers: --model, --before, --failed or --all")
    click.echo(f"{exchange.prune(path, model, before, failed):,} answers are deleted")


@cli.command("list")
@click.argument("kind", type=click.Choice(["tasks", "methods", "teachers", "formats", "students"]))
def list_parts(kind: str) -> None:
    """Show what there is of a kind, with a line each."""
    rows = _lines(kind)
    width = max(len(name) for name, _ in rows)
    for name, line in rows:
        click.echo(f"{name:<{width}}  {line}")


def _lines(kind: str) -> list[tuple[str, str]]:
    from understudy.formats import FORMATS
    from understudy.methods import METHODS
    from understudy.students import SHAPES
    from understudy.tasks import TASKS
    from understudy.teachers import TEACHERS

    if kind == "formats":
        return [(name, (format.__doc__ or "").split("\n")[0]) for name, format in sorted(FORMATS.items())]
    if kind == "students":
        shapes = [
            (
                f"scratch:{name}",
                f"untrained {s.architecture}: {s.layers} layers, {s.width} wide, {s.positions} positions",
            )
            for name, s in sorted(SHAPES.items())
        ]
        others = [
            ("nearest", "learns nothing: copies the target of its nearest example"),
            ("...", "a folder or hub id"),
        ]
        return [*shapes, *others]
    registry: Any = {"tasks": TASKS, "methods": METHODS, "teachers": TEACHERS}[kind]
    return [(name, registry.line(name)) for name in registry.names]


@cli.command()
@click.argument("kind", type=click.Choice(["config", "tasks", "methods", "teachers"]), default="config")
def keys(kind: str) -> None:
    """Show every key that can be set, with its default and a sentence."""
    from understudy.config import Config, documented
    from understudy.methods import METHODS
    from understudy.tasks import TASKS
    from understudy.teachers import TEACHERS

    if kind == "config":
        found = [("", Config)]
    else:
        registry: Any = {"tasks": TASKS, "methods": METHODS, "teachers": TEACHERS}[kind]
        found = [(name, registry.find(name)) for name in registry.names]
    for name, settings in found:
        if name:
            click.echo(f"\n{name}")
        for key, default, line in documented(settings):
            click.echo(f"  {key}{f' = {default}' if default else ''}\n      {line}")


@cli.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    from understudy.stages.opening import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


def main() -> None:
    """The entry point."""
    cli()
