"""What every stage works on: a run, that is a resolved configuration and the directory it lives in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from understudy.config import Config
from understudy.formats import Format
from understudy.methods import Method, Role, Source, TeacherAlone
from understudy.progress import Progress, Silent
from understudy.prompts import Prompter
from understudy.records import Question
from understudy.rundir import RunDir
from understudy.sandbox import Sandbox
from understudy.tasks import Task
from understudy.teachers import Teacher


@dataclass(frozen=True, slots=True)
class Run:
    """A resolved configuration in its directory.

    Attributes:
        config: as given; the parts below were made from it.
        dir: where its files are.
        folder: where relative paths of the configuration start.
        progress: where long work shows how far it is.
    """

    config: Config
    task: Task
    method: Method
    teacher: Teacher
    dir: RunDir
    folder: Path = Path()
    progress: Progress = field(default_factory=Silent)

    def questions(self, split: str) -> Iterator[Question]:
        """The questions of a split, up to the configured limit."""
        return itertools.islice(self.task.questions(split), self.config.limit)

    def asked(self, source: Source) -> Iterator[Question]:
        """The questions that a source asks, in the order of its files."""
        for split in source.splits:
            if split in self.task.splits:
                yield from self.questions(split)

    def size(self, *splits: str) -> int:
        """How many questions these splits have, up to the configured limit of each."""
        sizes = (self.task.size(split) for split in splits if split in self.task.splits)
        return sum(size if self.config.limit is None else min(size, self.config.limit) for size in sizes)

    def asked_formats(self) -> list[Format]:
        """The formats that the teacher is asked for."""
        sources = [source for role in self.method.roles() for source in role.sources]
        alone = [self.method.format] if isinstance(self.method, TeacherAlone) else []
        return [*(source.format for source in sources if source.by == "teacher"), *alone]

    def samples(self, source: Source) -> int:
        return self.config.generate.samples if source.samples is None else source.samples

    def prompter(self) -> Prompter:
        """Whoever writes the prompts for the teacher.

        Raises:
            ConfigError: a template cannot be read.
        """
        return Prompter(self.config.prompt, self.config.seed, self.folder)

    def sandbox(self) -> Sandbox:
        """A sandbox with the configured limits, to be used in a `with` block."""
        limits = self.config.sandbox
        return Sandbox(limits.timeout_s, limits.memory_mb, limits.engine)

    def role(self, name: str) -> Role:
        return next(role for role in self.method.roles() if role.name == name)

    @property
    def test_splits(self) -> Sequence[str]:
        """The splits that no training question may come from."""
        return [split for split in self.task.splits if split not in ("train", "valid")]

    def task_state(self) -> dict[str, object]:
        """What the questions of this run depend on."""
        return {"task": self.task.name, "fingerprint": self.task.fingerprint(), "limit": self.config.limit}
