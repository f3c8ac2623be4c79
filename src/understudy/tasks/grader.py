"""The user's own grader: a function that says whether an answer is right. Not a data set.

    task = { path = "my.jsonl", grader = "grading:same_unit" }        # grading.py beside the configuration

    def same_unit(answer: str, question: Question) -> bool:
        return answer.split()[-1] == question.answer.split()[-1]

It is the user's code and runs as such, outside the sandbox.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo

from understudy.errors import DataError
from understudy.records import Question


@dataclass(frozen=True, slots=True)
class UserGrader:
    """A function of the user's.

    Attributes:
        name: `module:function`.
        file: where its module stands.
    """

    name: str
    file: Path
    function: Callable[[str, Question], object]

    def __call__(self, answer: str, question: Question) -> bool:
        """What it says of `answer`.

        Raises:
            DataError: it raises, or says neither True nor False.
        """
        about = f"on the answer {answer!r:.80} to the question {question.id!r}"
        try:
            verdict = self.function(answer, question)
        except Exception as error:  # the user's code may raise anything
            line = traceback.extract_tb(error.__traceback__)[-1]
            raise DataError(
                f"the grader {self.name} raised {type(error).__name__}: {error}, {about}. Mend the function",
                line.filename,
                line.lineno,
            ) from error
        if not isinstance(verdict, bool):
            raise DataError(
                f"the grader {self.name} returned {verdict!r:.80} {about}, expected True or False", self.file
            )
        return verdict


def _find(value: object, info: ValidationInfo) -> UserGrader | None:
    """The function that `module:function` names."""
    if value is None or isinstance(value, UserGrader):
        return value
    module_name, _, function_name = str(value).partition(":")
    if not isinstance(value, str) or not all(map(str.isidentifier, [*module_name.split("."), function_name])):
        raise ValueError('expected "module:function"')
    folders: Sequence[Path] = (info.context or {}).get("folders", ())
    module = _load(module_name, folders[-1:])
    function = getattr(module, function_name, None)
    if function is None:
        raise ValueError(f"the module {module.__file__} has no function {function_name!r}")
    if not callable(function):
        raise ValueError(f"{function_name!r} in {module.__file__} is {type(function).__name__}, expected a function")
    return UserGrader(value, Path(module.__file__ or ""), function)


def _load(name: str, folders: Sequence[Path]) -> ModuleType:
    """The module of that name: a file in one of the folders, else an installed one."""
    file = next(
        (f for folder in folders if (f := folder.joinpath(*name.split(".")).with_suffix(".py")).is_file()), None
    )
    with _importing_from(folders):
        try:
            if file is None:
                return importlib.import_module(name)
            return _load_file(file)
        except ModuleNotFoundError as error:
            if error.name != name.split(".")[0] and error.name != name:
                raise ValueError(f"{file or name} needs the module {error.name!r}, which is not installed") from None
            where = f"neither {folders[-1] / name}.py nor an installed module" if folders else "no such module"
            raise ValueError(f"{where}. Put the file beside the configuration, or mend the name") from None
        except Exception as error:  # the user's code may raise anything
            raise ValueError(f"{file or name} cannot be imported: {type(error).__name__}: {error}") from error


def _load_file(file: Path) -> ModuleType:
    """The module in a file, under a name of its own: another folder may hold another file of that name."""
    spec = importlib.util.spec_from_file_location(f"grader {file.resolve()}", file)
    assert spec is not None
    assert spec.loader is not None  # the file ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _importing_from(folders: Sequence[Path]) -> Iterator[None]:
    before = list(sys.path)
    sys.path.extend(map(str, folders))
    try:
        yield
    finally:
        sys.path[:] = before


Grader = Annotated[
    Any,
    PlainValidator(_find, json_schema_input_type=str | None),
    PlainSerializer(lambda grader: grader and grader.name, return_type=str | None),
]
"""A function of the user's in a configuration: `module:function`, in the configuration's folder or installed."""
