"""The loop that picks tokens for a batch of prompts, with a key-value cache. Knows ids; texts are the student's
business.

The next token of a row is picked from its logits alone: greedily, or by one uniform number that is drawn from the row's
own seed for this position. So a row does not depend on the rows it shares a batch with, except where the batch's shape
changes the last bits of a logit and two tokens are that close.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from understudy.records import Sampling
from understudy.students.batches import positions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPACT_BELOW = 0.75
"""Finished rows leave the batch when the rest is less than this share of it: copying the cache costs about one step."""


@dataclass(slots=True)
class Line:
    """One row to write.

    Attributes:
        prompt: ids of the prompt.
        prefix: ids of the beginning of the completion.
        sampling: how to pick; `max_tokens` is what may still be written.
        seed: (ask's seed, sample number), for a temperature above 0.
        ends: whether the ids written so far hold a text that ends the completion; None if there is none.
        written: the ids picked, with the end token if it was reached.
        finished: by the end token or by `ends`.
    """

    prompt: Sequence[int]
    prefix: Sequence[int]
    sampling: Sampling
    seed: tuple[int, int] = (0, 0)
    ends: Callable[[list[int]], bool] | None = None
    written: list[int] = field(default_factory=list)
    finished: bool = False

    def add(self, token: int, end: frozenset[int]) -> bool:
        """Take the next token. Returns whether the row goes on."""
        self.written.append(token)
        self.finished = token in end or (self.ends is not None and self.ends(self.written))
        return not self.finished and len(self.written) < self.sampling.max_tokens


def write(
    model: PreTrainedModel, lines: Sequence[Line], pad: int, end: frozenset[int], accepts: frozenset[str]
) -> None:
    """Fill `written` and `finished` of all lines of a batch.

    Args:
        model: in evaluation mode.
        lines: each may write at least one token; encoder-decoder lines must have prefixes of one length, since their
            decoders are not padded.
        pad: id to pad with.
        end: ids that end a completion.
        accepts: the names of the model's inputs, from `batches.accepted`.
    """
    state = (
        _EncoderDecoder(model, lines, pad) if model.config.is_encoder_decoder else _Decoder(model, lines, pad, accepts)
    )
    rows = list(lines)
    draws = [np.random.default_rng(line.seed) for line in lines]
    going = [True] * len(rows)
    with torch.inference_mode():
        logits = state.begin()
        while True:
            uniforms = [draw.random() for draw in draws]
            tokens = pick(logits, [line.sampling for line in rows], uniforms)
            for i, token in enumerate(tokens):
                going[i] = going[i] and rows[i].add(token, end)
            if not any(going):
                return
            following = torch.tensor(tokens, device=model.device)[:, None]
            if sum(going) < COMPACT_BELOW * len(going):
                kept = [i for i, goes in enumerate(going) if goes]
                index = torch.tensor(kept, device=model.device)
                state.keep(index)
                following = following[index]
                rows, draws, going = [rows[i] for i in kept], [draws[i] for i in kept], [True] * len(kept)
            logits = state.step(following)


def pick(logits: Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """The next token of each row.

    Args:
        logits: (rows, vocabulary).
        samplings: how each row picks; temperature 0 takes the most likely token, the first of equals.
        uniforms: a number in [0, 1) for each row: where in the row's distribution it picks.
    """
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    for i, (sampling, uniform) in enumerate(zip(samplings, uniforms, strict=True)):
        if sampling.temperature > 0:
            tokens[i] = _draw(logits[i], sampling, uniform)
    return tokens


def _draw(logits: Tensor, sampling: Sampling, uniform: float) -> int:
    probabilities = torch.softmax(logits.cpu().double() / sampling.temperature, dim=-1)
    if sampling.top_p >= 1:
        return _at(probabilities, uniform)
    ordered, tokens = torch.sort(probabilities, descending=True, stable=True)
    before = torch.cumsum(ordered, dim=-1) - ordered
    nucleus = ordered[before < sampling.top_p]
    return int(tokens[_at(nucleus, uniform)])


def _at(probabilities: Tensor, uniform: float) -> int:
    """Where the running sum of (unnormalised) probabilities passes `uniform` of their total."""
    running = torch.cumsum(probabilities, dim=-1)
    place = torch.searchsorted(running, uniform * running[-1], right=True)
    return min(int(place), len(probabilities) - 1)


class _Decoder:
    """A decoder-only model under way: cache and mask of its rows, which are padded on the left."""

    def __init__(self, model: PreTrainedModel, lines: Sequence[Line], pad: int, accepts: frozenset[str]) -> None:
        self.model, self.accepts = model, accepts
        read = [[*line.prompt, *line.prefix] for line in lines]
        self.tokens, self.mask = padded(read, pad, "left", model.device)
        self.cache: Any = None

    def begin(self) -> Tensor:
        """(rows, vocabulary) logits of the first token."""
        return self._forward(self.tokens, positions(self.mask))

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more (rows, 1) token."""
        self.mask = torch.cat([self.mask, torch.ones_like(tokens)], dim=1)
        return self._forward(tokens, self.mask.sum(dim=1, keepdim=True) - 1)

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def _forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        options: dict[str, Any] = {}
        if "position_ids" in self.accepts:
            options["position_ids"] = places
        if "logits_to_keep" in self.accepts:
            options["logits_to_keep"] = 1
        out = self.model(tokens, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **options)
        self.cache = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()
        return logits


class _EncoderDecoder:
    """An encoder-decoder model under way: what its encoder read, and its decoder's cache."""

    def __init__(self, model: PreTrainedModel, lines: Sequence[Line], pad: int) -> None:
        self.model = model
        self.tokens, self.mask = padded([line.prompt for line in lines], pad, "right", model.device)
        start = model.config.decoder_start_token_id
        self.first = torch.tensor([[start, *line.prefix] for line in lines], device=model.device)
        self.cache: Any = None

    def begin(self) -> Tensor:
        """(rows, vocabulary) logits of the first token."""
        encoder: Any = self.model.get_encoder()
        self.read = encoder(input_ids=self.tokens, attention_mask=self.mask)
        return self.step(self.first)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more (rows, 1) token."""
        out = self.model(
            encoder_outputs=self.read,
            attention_mask=self.mask,
            decoder_input_ids=tokens,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.mask = self.mask[rows]
        self.read.last_hidden_state = self.read.last_hidden_state[rows]
        self.cache.batch_select_indices(rows)


def padded(rows: Sequence[Sequence[int]], pad: int, side: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """(rows, longest) ids and mask, padded on the `left` or the `right`."""
    length = max(1, max(map(len, rows)))
    ids = torch.full((len(rows), length), pad)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.long)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)
