"""A prompt template of the user's: a jinja2 file, rendered where it can do no harm.

    {{ instruction }}
    {% for shown in demonstrations %}
    Q: {{ shown.question.text }}
    A: {{ shown.written }}
    {% endfor %}
    Q: {{ question.text }}
    A:

A template may come from anybody, and it runs in loops. So it is rendered by a process of its own (`rendering.py`) that
has jinja2's sandbox, a limit of memory and of time, and no key in its environment: whatever a template does, the worst
that comes of it is an error with its line. A file that it includes must be below its own folder and be named in plain
text, because its content counts as the template's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, meta

from understudy.errors import ConfigError

TIMEOUT_S = 5.0
"""The longest time a template may take for one prompt, in seconds."""
MEMORY_MB = 512
MAX_CHARACTERS = 1_000_000
"""The longest prompt."""
_ENDED = (
    f"the template took more than {TIMEOUT_S:g} s or more than {MEMORY_MB} MB for one prompt. "
    "Look for a loop or a text that grows"
)
_RENDERER = Path(__file__).with_name("rendering.py")
_ENVIRONMENT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH")


class Template:
    """A template and the files it includes.

    Attributes:
        digest: of their content.
        sources: the text of each, by its name.
    """

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ConfigError: it is missing or not jinja2, or includes what it must not; says file:line.
        """
        self.path = path
        self.sources = _read(path)
        self.digest = hashlib.sha256(json.dumps(self.sources, sort_keys=True).encode()).hexdigest()
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def render(self, variables: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The flat text, and the turns; none if the template makes none.

        Raises:
            ConfigError: it fails; says file:line.
        """
        with self._lock:
            reply = self._ask(variables)
        if "error" in reply:
            place = f"{self.path.parent / reply['file']}:{reply['line']}" if reply.get("line") else f"{self.path}"
            raise ConfigError([f"{place}: {reply['error']}"])
        turns = tuple((role, text) for role, text in reply["turns"])
        return "\n\n".join(text for _, text in turns) if turns else reply["text"], turns

    def _ask(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(variables, default=str) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply: dict[str, Any] = json.loads(line) if line.endswith("\n") else {"error": _ENDED}
        if "error" in reply:
            self._process = None  # it may be at its limits
            _close(process)
        return reply

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_RENDERER)],
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"PYTHONUTF8": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        weakref.finalize(self, _close, process)
        assert process.stdin is not None
        limits = {"memory_mb": MEMORY_MB, "characters": MAX_CHARACTERS, "seconds": TIMEOUT_S}
        process.stdin.write(json.dumps({"main": self.path.name, "sources": self.sources, **limits}) + "\n")
        return process


def _close(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what was not written is not needed any more
                pipe.close()


def _read(path: Path) -> dict[str, str]:
    """The template and, by the names they are included by, all it includes.

    Raises:
        ConfigError: one is missing, not jinja2, not below the template's folder, or named by an expression.
    """
    sources: dict[str, str] = {}
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        file = path.parent / name
        if not file.resolve().is_relative_to(path.parent.resolve()) and name != path.name:
            raise ConfigError([f"{path}: includes {name!r}, which is not below {path.parent}. Copy it there"])
        try:
            sources[name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            by = "" if name == path.name else f", which {path} includes"
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError([f"{file}: cannot be read ({why}){by}. Check the path of the template"]) from None
        waiting += _included(file, sources[name])
    return sources


def _included(file: Path, source: str) -> list[str]:
    try:
        found = list(meta.find_referenced_templates(Environment().parse(source)))
    except TemplateSyntaxError as error:
        raise ConfigError([f"{file}:{error.lineno}: not jinja2: {error.message}"]) from None
    except RecursionError:
        raise ConfigError([f"{file}: nested too deep to be read. Make it flatter"]) from None
    names = [name for name in found if name is not None]
    if len(names) < len(found):
        raise ConfigError([f"{file}: includes a file named by an expression. Name it in plain text"])
    return names
