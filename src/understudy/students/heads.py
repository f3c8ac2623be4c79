"""A value head: one number at every position, read off what the model's last layer hands to its unembedding.

    value_t = w . h_t + b        h_t: (width,) after reading the tokens before target token t;  w = 0 and b = 0 at first

It is no probability by construction: trained on 0 and 1 by the squared error (`losses.py`), it comes to be one. While
it is trained it is a part of the model, so that the optimiser, the checkpoints and all processes have it; a saved
student's folder stays one that others can read, with the head in a file of its own, `value_head.safetensors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from understudy.errors import StudentError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "value_head.safetensors"
_NAME = "value_head"


def head_of(model: PreTrainedModel) -> torch.nn.Linear | None:
    """The value head of a model; None if it has none."""
    return getattr(model, _NAME, None)


def attach(model: PreTrainedModel) -> torch.nn.Linear:
    """Give a model a value head that says 0, unless it has one; returns its head."""
    head = head_of(model)
    if head is None:
        weight = model.get_output_embeddings().weight
        head = torch.nn.Linear(weight.shape[1], 1, device=weight.device, dtype=weight.dtype)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        setattr(model, _NAME, head)
    return head


def detach(model: PreTrainedModel) -> torch.nn.Linear | None:
    """Take the value head off a model; returns it, None if there was none."""
    head = head_of(model)
    if head is not None:
        delattr(model, _NAME)
    return head


@contextmanager
def detached(model: PreTrainedModel, folder: Path) -> Iterator[None]:
    """Within the block the model is without its head, which is written to `folder`."""
    head = detach(model)
    if head is not None:
        save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / FILE)
    try:
        yield
    finally:
        if head is not None:
            setattr(model, _NAME, head)


def load(model: PreTrainedModel, folder: Path) -> None:
    """Give `model` the head that lies in `folder`, if there is one.

    Raises:
        StudentError: the file is broken, or the head of another model.
    """
    path = folder / FILE
    if not path.exists():
        return
    try:
        attach(model).load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudentError(
            f"{path} is no value head of the model beside it ({reason}). Train the student again"
        ) from error


def values(head: torch.nn.Linear, hidden: Tensor) -> Tensor:
    """(rows, length) value at every position of `hidden`, (rows, length, width)."""
    found: Tensor = head(hidden.to(head.weight.dtype))[..., 0]
    return found.float()
