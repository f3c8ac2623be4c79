"""Students: small models that are trained, saved, and answer as a teacher does.

    scratch.py      untrained models made from a configuration, with their tokenizer
    loading.py      a model folder or hub id, checked; the folder a student is saved as
    encoding.py     an `Example` as token ids
    batches.py      which examples form an optimiser step, and their tensors
    heads.py        a head that says one number at every token
    losses.py       the loss
    preview.py      the first batch as text, checked
    checkpoints.py  what a killed training goes on from
    loop.py         what happens in an optimiser step
    trainer.py      `train`
    decoding.py     the loop that picks tokens
    student.py      `Student`: a trained student that completes prompts and scores targets
    nearest.py      the student that has learnt nothing and copies its nearest example

`torch` and `transformers` are imported when a model is trained or loaded, not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import PrerequisiteError, StudentError
from understudy.students import nearest
from understudy.students.scratch import SHAPES

if TYPE_CHECKING:
    from understudy.students.nearest import NearestStudent
    from understudy.students.student import Student

__all__ = ["SHAPES", "load"]


def load(folder: Path) -> Student | NearestStudent:
    """The student in a folder that a training left.

    Raises:
        StudentError: there is none, or it cannot be loaded.
        PrerequisiteError: the packages that run models are not installed.
    """
    if not folder.is_dir():
        raise StudentError(f"{folder}: no student there. `understudy train` makes one")
    if (folder / nearest.FILE).exists():
        return nearest.NearestStudent.load(folder)
    require_torch()
    from understudy.students.student import Student

    return Student.load(folder)


def require_torch() -> None:
    """Check that models can be run here.

    Raises:
        PrerequisiteError: says what to install.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise PrerequisiteError(
            f"a model needs {error.name or 'torch'}, which is not installed:  pip install 'understudy[train]'"
        ) from None
