"""Which examples form an optimiser step, and their tensors. Rows are token ids in flat arrays, held in memory once.

A step is made of whole groups: as many as fit into `batch_size`, at least one. Their order is a permutation seeded by
(seed, epoch); steps run on from one epoch into the next, except that a group is never twice in a step. Every process
computes the same plan and takes every n-th row of a step.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from understudy.procedures import derive_seed
from understudy.records import Example
from understudy.students import heads
from understudy.students.encoding import Architecture, Encoded
from understudy.students.losses import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Batch: TypeAlias = dict[str, Tensor]
"""Tensors of some rows: the model's inputs, `labels` (rows, length), and of each row `weights`, `objectives` and `values`
(rows,), NaN where it has none."""
COUNTED_STEPS = 1000
"""Over how many steps of a long training its tokens a step are taken."""


@dataclass(slots=True)
class Rows:
    """Encoded examples in flat arrays: about 4 bytes a token and 34 a row.

    Attributes:
        names: the objectives; a row keeps the position of its own.
    """

    names: tuple[str, ...]
    dropped: int = 0
    _ids: array[int] = field(default_factory=lambda: array("i"))
    _starts: array[int] = field(default_factory=lambda: array("q", [0]))
    _prompts: array[int] = field(default_factory=lambda: array("i"))
    _weights: array[float] = field(default_factory=lambda: array("f"))
    _objectives: array[int] = field(default_factory=lambda: array("h"))
    _values: array[float] = field(default_factory=lambda: array("f"))
    _groups: dict[str, array[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._prompts)

    def add(self, example: Example, encoded: Encoded) -> None:
        """Append one encoded example."""
        self._groups.setdefault(example.group or example.question, array("i")).append(len(self))
        self._ids.extend(encoded.prompt)
        self._ids.extend(encoded.target)
        self._starts.append(len(self._ids))
        self._prompts.append(len(encoded.prompt))
        self._weights.append(example.weight)
        self._objectives.append(self.names.index(example.objective))
        self._values.append(math.nan if example.value is None else example.value)

    def row(self, number: int) -> tuple[Sequence[int], Sequence[int]]:
        """Prompt and target ids of a row."""
        start, end = self._starts[number], self._starts[number + 1]
        middle = start + self._prompts[number]
        return self._ids[start:middle], self._ids[middle:end]

    def length(self, number: int) -> int:
        """Tokens of a row, both sides."""
        return self._starts[number + 1] - self._starts[number]

    def weight(self, number: int) -> float:
        """Of each target token of a row."""
        return self._weights[number]

    def objective(self, number: int) -> int:
        """Which of `names` a row counts to."""
        return self._objectives[number]

    def value(self, number: int) -> float:
        """What a value head must say at every target token of a row; NaN if it teaches the tokens themselves."""
        return self._values[number]

    def counts(self, numbers: Iterable[int]) -> Tensor:
        """(objectives,) sum of the weights of the target tokens in some rows: the divisors of the loss."""
        counts = [0.0] * len(self.names)
        for n in numbers:
            counts[self._objectives[n]] += self._weights[n] * (self.length(n) - self._prompts[n])
        return torch.tensor(counts, dtype=torch.float32)

    @property
    def valued(self) -> bool:
        """Whether any row has a value."""
        return not all(map(math.isnan, self._values))

    @property
    def groups(self) -> list[Sequence[int]]:
        """Row numbers of each group, in the order of the file."""
        return list(self._groups.values())


def collect(encoded: Iterable[tuple[Example, Encoded | None]], objectives: Mapping[str, float]) -> Rows:
    """All encoded examples as `Rows`; those without ids are counted as dropped."""
    rows = Rows(tuple(objectives))
    for example, ids in encoded:
        if ids is None:
            rows.dropped += 1
        else:
            rows.add(example, ids)
    return rows


def plan(groups: Sequence[Sequence[int]], batch_size: int, seed: int) -> Iterator[list[int]]:
    """The row numbers of step 1, 2, ..., without end.

    A group larger than `batch_size` is a step of its own.
    """
    step: list[int] = []
    members: set[int] = set()
    epoch = 0
    while True:
        order = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(len(groups))
        for group in order.tolist():
            if step and (len(step) + len(groups[group]) > batch_size or group in members):
                yield step
                step, members = [], set()
            step.extend(groups[group])
            members.add(group)
        epoch += 1


def tokens_per_step(rows: Rows, batch_size: int, seed: int, steps: int) -> tuple[float, dict[str, float]]:
    """Tokens of an optimiser step, padding aside: of prompts and targets together, and of each objective's targets.

    Means over the first `steps` steps, of many the first `COUNTED_STEPS`.
    """
    total = 0
    targets = dict.fromkeys(rows.names, 0)
    counted = min(steps, COUNTED_STEPS)
    for step in itertools.islice(plan(rows.groups, batch_size, seed), counted):
        for number in step:
            total += rows.length(number)
            targets[rows.names[rows.objective(number)]] += len(rows.row(number)[1])
    return total / counted, {name: tokens / counted for name, tokens in targets.items()}


def micro_batches(rows: Rows, step: Sequence[int], size: int | None, rank: int, ranks: int) -> list[list[int]]:
    """One process's share of a step, cut into passes of up to `size` rows of similar length (None: one pass)."""
    by_length = sorted(step, key=lambda n: (rows.length(n), n))
    share = by_length[rank::ranks]
    size = size or len(share) or 1
    return [share[i : i + size] for i in range(0, len(share), size)]


class Collator:
    """Rows to tensors, padded to the longest.

    Decoder-only rows are padded on the left, as for answering, so that all targets end at the last position and logits
    are needed only for the last `longest target` positions. The last target token is no input: nothing follows it.
    """

    def __init__(self, rows: Rows, architecture: Architecture, pad: int, start: int) -> None:
        """`start` is the decoder's start token; decoder-only models have none and ignore it."""
        self.rows, self.architecture, self.pad, self.start = rows, architecture, pad, start

    def __call__(self, numbers: Sequence[int]) -> Batch:
        """The batch of some rows."""
        batch = self._decoder(numbers) if self.architecture == "decoder" else self._encoder_decoder(numbers)
        batch["weights"] = torch.tensor([self.rows.weight(n) for n in numbers], dtype=torch.float32)
        batch["objectives"] = torch.tensor([self.rows.objective(n) for n in numbers], dtype=torch.long)
        batch["values"] = torch.tensor([self.rows.value(n) for n in numbers], dtype=torch.float32)
        return batch

    def _decoder(self, numbers: Sequence[int]) -> Batch:
        pairs = [self.rows.row(n) for n in numbers]
        length = max(len(prompt) + len(target) for prompt, target in pairs) - 1
        ids = np.full((len(pairs), length), self.pad, dtype=np.int64)
        mask = np.zeros((len(pairs), length), dtype=np.int64)
        labels = np.full((len(pairs), max(len(target) for _, target in pairs)), IGNORED, dtype=np.int64)
        for i, (prompt, target) in enumerate(pairs):
            begin = length - len(prompt) - len(target) + 1
            ids[i, begin : begin + len(prompt)] = prompt
            ids[i, begin + len(prompt) :] = target[:-1]
            mask[i, begin:] = 1
            labels[i, -len(target) :] = target
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }

    def _encoder_decoder(self, numbers: Sequence[int]) -> Batch:
        pairs = [self.rows.row(n) for n in numbers]
        shape = (len(pairs), max(1, max(len(prompt) for prompt, _ in pairs)))
        ids, mask = np.full(shape, self.pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        wide = (len(pairs), max(len(target) for _, target in pairs))
        inputs, labels = np.full(wide, self.pad, dtype=np.int64), np.full(wide, IGNORED, dtype=np.int64)
        for i, (prompt, target) in enumerate(pairs):
            ids[i, : len(prompt)] = prompt
            mask[i, : len(prompt)] = 1
            inputs[i, : len(target)] = [self.start, *target[:-1]]
            labels[i, : len(target)] = target
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "decoder_input_ids": torch.from_numpy(inputs),
            "labels": torch.from_numpy(labels),
        }


def accepted(model: PreTrainedModel) -> frozenset[str]:
    """The names of a model's inputs; ask before anything wraps its `forward`."""
    import inspect

    return frozenset(inspect.signature(model.forward).parameters)


def target_logits(model: torch.nn.Module, batch: Batch, accepts: frozenset[str]) -> Tensor:
    """(rows, length, vocabulary) logits that predict `batch["labels"]`."""
    return target_outputs(model, batch, accepts)[0]


def target_outputs(
    model: torch.nn.Module, batch: Batch, accepts: frozenset[str], head: torch.nn.Linear | None = None
) -> tuple[Tensor, Tensor | None]:
    """`target_logits`, and (rows, length) what `head` says at the same positions; None without a head."""
    inputs: dict[str, Tensor | int | bool] = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
    }
    wanted = batch["labels"].shape[1]
    if "decoder_input_ids" in batch:
        inputs["decoder_input_ids"] = batch["decoder_input_ids"]
    else:
        if "position_ids" in accepts:
            inputs["position_ids"] = positions(batch["attention_mask"])
        if "logits_to_keep" in accepts:
            inputs["logits_to_keep"] = wanted
    if "use_cache" in accepts:
        inputs["use_cache"] = False
    if head is None:
        logits: Tensor = model(**inputs).logits
        return logits[:, -wanted:], None
    outputs = model(**inputs, output_hidden_states=True)
    layers = outputs.decoder_hidden_states if "decoder_input_ids" in batch else outputs.hidden_states
    return outputs.logits[:, -wanted:], heads.values(head, layers[-1][:, -wanted:])


def positions(mask: Tensor) -> Tensor:
    """(rows, length) position of each token when padding on the left does not count; padding has position 0."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)
