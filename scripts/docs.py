"""Write the pages that are made from the code: `docs/commands.md`, `docs/configuration.md`, `docs/parts.md`,
`docs/matrix.md`.

python scripts/docs.py            write them
python scripts/docs.py --check    fail if one of them is not as the code says
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

os.environ["COLUMNS"] = "100"  # help texts wrap at the terminal's width

from understudy.cli import cli
from understudy.config import Config, documented
from understudy.formats import FORMATS
from understudy.methods import METHODS
from understudy.stages.dry_run import dry_run
from understudy.tasks import TASKS
from understudy.teachers import TEACHERS

DOCS = Path(__file__).parent.parent / "docs"
MADE = "<!-- made from the code by `make docs`; edit the code -->\n\n"


def commands() -> str:
    """Every command with its help."""
    text = MADE + "# Commands\n\n"
    context = click.Context(cli, info_name="understudy")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None and not command.hidden:
            shown = click.Context(command, info_name=name, parent=context)
            formatter = click.HelpFormatter(width=100)
            command.format_usage(shown, formatter)
            command.format_help_text(shown, formatter)
            command.format_options(shown, formatter)
            text += f"## `understudy {name}`\n\n```text\n{formatter.getvalue().strip()}\n```\n\n"
    return text.rstrip() + "\n"


def configuration() -> str:
    """Every key of the configuration."""
    text = MADE + "# Keys of the configuration\n\ndefaults < TOML file < `key=value` on the command line.\n\n"
    return text + "\n".join(_table(list(documented(Config)))) + "\n"


def parts() -> str:
    """Every task, method, teacher and format, with its options."""
    text = MADE + "# Tasks, methods, teachers, formats\n\n"
    for title, registry in (("Methods", METHODS), ("Tasks", TASKS), ("Teachers", TEACHERS)):
        text += f"## {title}\n\n"
        for name in registry.names:
            text += f"### `{name}`\n\n{registry.line(name)}\n\n"
            rows = list(documented(registry.find(name)))
            text += "\n".join(_table(rows)) + "\n\n" if rows else ""
    text += "## Formats\n\n"
    for name, kind in sorted(FORMATS.items()):
        text += f"- `{name}`: {(kind.__doc__ or '').strip().splitlines()[0]}\n"
    return text


def matrix() -> str:
    """Which method runs on which task, from a dry run of each pair."""
    methods = [METHODS.find(name)() for name in METHODS.names]
    text = MADE + "# Which method runs on which task\n\n"
    text += "From a dry run of every pair; the tests do it with decoder-only and encoder-decoder students.\n\n"
    text += "| task | " + " | ".join(f"`{method.name}`" for method in methods) + " |\n"
    text += "|---" * (len(methods) + 1) + "|\n"
    reasons: list[str] = []
    for name in TASKS.names:
        if name == "local":  # it is what the user makes it
            continue
        task = TASKS.find(name)()
        question = task.demonstrations("label")[0][0]
        cells = []
        for method in methods:
            reason = dry_run(task, method, question).reason
            if reason and reason not in reasons:
                reasons.append(reason)
            cells.append(f"no ({reasons.index(reason) + 1})" if reason else "yes")
        text += f"| `{name}` | " + " | ".join(cells) + " |\n"
    return text + "\n" + "".join(f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    yield "| key | default | |"
    yield "|---|---|---|"
    for key, default, line in rows:
        yield f"| `{key}` | {f'`{default}`' if default else ''} | {line.replace('|', chr(92) + '|')} |"


def main() -> int:
    pages = {"commands.md": commands(), "configuration.md": configuration(), "parts.md": parts(), "matrix.md": matrix()}
    stale = []
    for name, text in pages.items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"docs/{', docs/'.join(stale)} are not as the code says:  make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
