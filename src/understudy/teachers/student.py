"""The teacher `student`: what an earlier run trained teaches the next student.

    teacher = "student:runs/first"                                   # the run's directory

A student answers only what it was trained on, so it is asked by its own run's method: the prompt of the first call of
`Method.answer`, without worked examples, whatever this run would show another teacher. What it writes is in the format
that its method says (`Method.writes`); a source in another format is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from understudy import students
from understudy.config import Part
from understudy.errors import TeacherError
from understudy.formats import Format
from understudy.methods import METHODS, Method
from understudy.procedures import Ask, Completer
from understudy.records import Question
from understudy.rundir import RunDir, digest, read_json
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.kept import KeptBatches
from understudy.teachers.teacher import FoundFolder, Teacher


class _Earlier(NamedTuple):
    """What the earlier run says of its student."""

    dir: RunDir
    method: Method
    role: str
    writes: str


class StudentTeacher(Teacher):
    """The student of an earlier run, asked as that run asks it: it teaches in the format in which it answers."""

    name = "student"
    model: FoundFolder = ""
    """The earlier run's directory, looked up beside the configuration, then where the command is given."""
    role: str = ""
    """Which of the run's students teaches; empty: the only one that can."""

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[Completer]:
        """The student, loaded.

        Raises:
            TeacherError: there is no such run, or it has no student that can teach; says what to do.
            StudentError, PrerequisiteError: the student cannot be loaded.
        """
        identity = self.identity()  # a training that was not finished is seen here
        with closing(students.load(self._earlier.dir.student(self._earlier.role))) as student:
            yield student if account is None else KeptBatches(student, identity, account)

    def identity(self) -> str:
        """A digest of the student's files, as its training left them."""
        earlier = self._earlier
        left = earlier.dir.left_by(f"train-{earlier.role}", earlier.dir.student(earlier.role))
        if not left:
            raise TeacherError(
                f"{self.model}: its student {earlier.role!r} is not trained. Train it first: understudy train {self.model}"
            )
        return f"student {digest(left)}"

    def refuses(self, task: Task, method: Method, out: Path) -> str | None:
        if self.model and Path(self.model).resolve() == out.resolve():
            return f"{out} is this run's own directory, and its student cannot teach itself. Give --out another one"
        if method.asks_teacher:
            return (
                f"{method.name} shows its teacher worked examples, and a student is asked by its own run's method alone. "
                f"`understudy evaluate {self.model}` measures it"
            )
        try:
            earlier = self._earlier
        except TeacherError:
            return None  # `identity` says it, when the teacher is wanted: a finished run can do without
        sources = [source for role in method.roles() for source in role.sources if source.by == "teacher"]
        other = sorted({source.format.name for source in sources} - {earlier.writes})
        if other:
            return (
                f"the student of {self.model} writes the format {earlier.writes} (its method is {earlier.method.name}), "
                f"{method.name} learns from {', '.join(other)}. Take a method that learns from {earlier.writes}, or another "
                "run"
            )
        return earlier.method.refuses(task)

    def own_prompt(self, task: Task, question: Question, format: Format) -> str | None:
        """The prompt it was trained on.

        Raises:
            TeacherError: it does not write `format`.
        """
        earlier = self._earlier
        if format.name != earlier.writes:
            raise TeacherError(f"the student of {self.model} writes the format {earlier.writes}, not {format.name}")
        calls = next(earlier.method.answer(task, question))
        return next(call.prompt for call in calls if isinstance(call, Ask) and call.role == earlier.role)

    @cached_property
    def _earlier(self) -> _Earlier:
        manifest = read_json(Path(self.model) / "manifest.json") if self.model else None
        if manifest is None:
            raise TeacherError(
                f'{self.model!r} is no run: it has no manifest.json. Give an earlier run, e.g. "student:runs/first"'
            )
        part = Part.model_validate(manifest["config"]["method"])
        method, problems = METHODS.make(part, [Path(manifest["folder"])])
        if method is None:
            raise TeacherError(f"{self.model}: its method cannot be made here: {'; '.join(problems)}")
        roles = sorted(method.writes)
        if not roles:
            raise TeacherError(
                f"{self.model}: no student of its method {method.name!r} writes a rationale by itself, so none can teach"
            )
        if self.role not in (roles if len(roles) > 1 else ["", *roles]):
            raise TeacherError(
                f"teacher.role = {self.role!r}, expected one of {', '.join(roles)}, which can teach in {self.model}"
            )
        role = self.role or roles[0]
        return _Earlier(RunDir(Path(self.model)), method, role, method.writes[role])
