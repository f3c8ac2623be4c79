"""The teacher `local`: a language model that runs in this process, out of a folder or the hub.

    teacher = "local:models/qwen"                                    # a folder, relative to the configuration
    teacher = { name = "local", model = "Qwen/Qwen3-8B", batch_size = 32, chat_options = { enable_thinking = false } }

It is asked as a student is, and answers as one does (`students/student.py`): batched, and so that a completion follows
from the ask alone. With a chat template the prompt is one message of the user; without one it is continued, up to where
the model begins a question of its own. Weights are read from safetensors only, and no code of the model's folder is run.

In half precision the shape of a batch rounds differently, so that a close call between two tokens may turn out
differently in another batch; in float32 that is rare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from understudy.errors import StudentError, TeacherError
from understudy.procedures import Ask, Completer
from understudy.records import Completion
from understudy.students import require_torch, scratch
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.kept import KeptBatches
from understudy.teachers.teacher import FoundFolder, Teacher

if TYPE_CHECKING:
    from understudy.students.loading import Loaded
    from understudy.students.student import Student

_READ = frozenset({".json", ".jinja", ".model", ".safetensors", ".txt"})
"""Endings of the files in a model's folder that its answers follow from."""


class LocalTeacher(Teacher):
    """A language model in this process: a folder or a hub id, decoder-only or encoder-decoder."""

    name = "local"
    model: FoundFolder = ""
    """The model's folder, looked up beside the configuration, then where the command is given; or a hub id."""
    revision: str = "main"
    """The branch, tag or commit of a hub id; only a commit stays the same for good."""
    chat: bool | Literal["auto"] = "auto"
    """Whether the prompt is a message of the user in the chat template, or a text to continue; `auto`: if there is one."""
    system: str = ""
    """The system message of the chat template; empty: none."""
    chat_options: dict[str, Any] = Field(default_factory=dict)
    """Further variables of the chat template, as the model documents them, e.g. { enable_thinking = false }."""
    device: str = "auto"
    """Where it runs, as torch names it: `cpu`, `cuda:1`, `mps`; `auto` is the first GPU, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` is as they were saved, and float32 on a CPU."""
    batch_size: int = Field(16, ge=1)
    """Most completions that are written together; fewer take less memory."""

    @field_validator("model")
    @classmethod
    def _has_learned(cls, model: str) -> str:
        if model.startswith(scratch.PREFIX):
            raise ValueError("a model made from a configuration has learned nothing. Give a model's folder or a hub id")
        return model

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[Completer]:
        """The model, loaded. What it is asked at once is up to `batch_size`, not to `concurrency`.

        Raises:
            TeacherError: it cannot be loaded or asked like this; says what to do.
            PrerequisiteError: the packages that run models are not installed.
        """
        if not self.model:
            raise TeacherError('no model is named. Say which one to load, e.g. teacher = "local:models/qwen"')
        require_torch()
        try:
            student, chat = self._load()
        except StudentError as error:
            raise TeacherError(f"the teacher cannot be loaded: {error}") from error
        with closing(student):
            live = _Local(self, student, () if chat else task.next_question)
            yield live if account is None else KeptBatches(live, self.identity(), account)

    def identity(self) -> str:
        """The model (a folder by its content, a hub id by its name and revision), and how its prompts are shown."""
        folder = Path(self.model).expanduser()
        who = _content(folder) if self.model and folder.is_dir() else f"{self.model}@{self.revision}"
        shown = self.model_dump(include={"chat", "system", "chat_options", "dtype"})
        return f"local {who} {json.dumps(shown, sort_keys=True, default=str)}"

    def _load(self) -> tuple[Student, bool]:
        """The model, and whether it is asked in its chat template."""
        import torch

        from understudy.students import loading
        from understudy.students.student import Student

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "float32" if self.dtype == "auto" and device == "cpu" else self.dtype
        loaded = loading.load(self.model, dtype=dtype, revision=self.revision)
        chat = self._asks_in_chat(loaded)
        loaded.encoding = replace(
            loaded.encoding, chat=chat, separator="", system=self.system, chat_options=self.chat_options
        )
        if self.system:
            self._check_system(loaded)
        name = Path(self.model).name if Path(self.model).expanduser().is_dir() else self.model
        try:
            return Student(loaded, name, device, self.batch_size), chat
        except torch.OutOfMemoryError as error:
            raise TeacherError(
                f"{self.model} does not fit into the memory of {device}. Set teacher.dtype=bfloat16, or choose a smaller one"
            ) from error
        except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
            reason = " ".join(str(error).split())[:200]
            raise TeacherError(f"teacher.device = {self.device!r} cannot be used: {reason}") from error

    def _asks_in_chat(self, loaded: Loaded) -> bool:
        there = bool(getattr(loaded.tokenizer, "chat_template", None))
        if self.chat is True and not there:
            raise TeacherError(f"the tokenizer of {self.model} has no chat template. Set teacher.chat=false")
        if self.chat == "auto":
            return there and not loaded.model.config.is_encoder_decoder
        return self.chat

    def _check_system(self, loaded: Loaded) -> None:
        from jinja2 import TemplateError

        reason = "its prompts are continued, without a chat template"
        if loaded.encoding.chat:
            try:
                if self.system in loaded.encoder().chat("x"):
                    return
                reason = "its chat template leaves it out"
            except TemplateError as error:
                reason = f"its chat template says: {error}"
        raise TeacherError(f"{self.model} takes no system message ({reason}). Set teacher.system to an empty text")


class _Local:
    """Answers asks by the model."""

    def __init__(self, settings: LocalTeacher, student: Student, stop: tuple[str, ...]) -> None:
        self._settings = settings
        self._student = student
        self._stop = stop

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask.

        Raises:
            TeacherError: the memory does not suffice.
        """
        import torch

        try:
            return self._student.complete([replace(ask, stop=(*ask.stop, *self._stop)) for ask in asks])
        except torch.OutOfMemoryError as error:
            size = self._settings.batch_size
            raise TeacherError(
                f"{self._settings.model} ran out of memory with teacher.batch_size = {size}. Give the same command with a "
                "smaller one: what was answered is kept, and the answers do not depend on it"
            ) from error


def _content(folder: Path) -> str:
    """A digest of the files that a model's answers follow from."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _READ and path.is_file():
            status = path.stat()
            found.update(f"{path.name} {_digest(path, status.st_size, status.st_mtime_ns)}\n".encode())
    return found.hexdigest()


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file's content. `size` and `changed` (ns) make sure that a changed file is read again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
