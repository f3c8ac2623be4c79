"""A trained student: it completes prompts as a teacher does, and scores targets.

    student = Student.load(Path("students/student"))
    [[completion]] = student.complete([Ask("student", "Ann has 12 apples and buys 3. How many?")])
    [[likely, unlikely]] = student.score([Score("student", "Is ice cold?", ("yes", "no"))])

What it answers depends on the ask alone: asks are sorted by length and put into batches only for speed.
Sampling is seeded by (ask's seed, number of the sample).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

import torch

from understudy.procedures import Ask, Score
from understudy.records import Completion, Example, Sampling
from understudy.students import batches, decoding, heads, loading
from understudy.students.batches import Collator, Rows
from understudy.students.decoding import Line
from understudy.students.encoding import Encoded
from understudy.students.losses import IGNORED

T = TypeVar("T")

BATCH = 64
"""Most rows in one forward pass, if nothing else is said."""


class Student:
    """A model that answers for a role: a `Completer` and a `Scorer`."""

    def __init__(self, loaded: loading.Loaded, name: str, device: str | None = None, batch_size: int = BATCH) -> None:
        """Use `loaded` under `name`; `load` does both. `device` None is a GPU if there is one."""
        self.name = name
        self.batch_size = batch_size
        self.encoder = loaded.encoder()
        self.accepts = batches.accepted(loaded.model)
        self.model = loaded.model.to(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))).eval()
        self.end = loading.end_tokens(self.model) | {self.encoder.end}

    @classmethod
    def load(cls, folder: Path | str, *, device: str | None = None) -> Self:
        """The student saved in `folder`, which may be any model folder or hub id.

        Raises:
            StudentError: it cannot be loaded; says what to do.
        """
        return cls(loading.load(str(folder)), Path(folder).name, device)

    def close(self) -> None:
        """Let go of the model's memory; the student cannot be asked any more."""
        del self.model

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask, in order.

        A completion ends with the end token or before a text of `ask.stop` (`stop`), or is cut at `max_tokens` or where
        the model's positions end (`length`). A prompt that leaves no position has an empty
        completion, `length` too, with the reason. The end token counts as a
        completion token.
        """
        lines = [self._lines(ask) for ask in asks]
        self._write([line for of_ask in lines for line in of_ask if line.sampling.max_tokens > 0])
        return [
            [self._completion(ask, of_ask[i % len(of_ask)]) for i in range(ask.n)]
            for ask, of_ask in zip(asks, lines, strict=True)
        ]

    def score(self, scores: Sequence[Score]) -> list[list[float]]:
        """What the value head says of every target after its prompt; without one, the mean log-likelihood a token.

        The head is asked where the end token is due, when the whole target has been read; the likelihood includes the
        end token, because a target is a whole answer. A prompt and target that exceed the model's positions have the
        score minus infinity.
        """
        rows = Rows(("target",))
        places: list[int | None] = []
        for score in scores:
            prompt = self.encoder.prompt(score.prompt)
            for target in score.targets:
                ids = self.encoder.target(target)
                fits = (
                    self.encoder.positions is None
                    or self.encoder.longest(len(prompt), len(ids)) <= self.encoder.positions
                )
                places.append(len(rows) if fits else None)
                if fits:
                    rows.add(Example(str(len(rows)), score.prompt, target), Encoded(prompt, ids))
        found = self._scored(rows)
        values = iter(float("-inf") if place is None else found[place] for place in places)
        return [[next(values) for _ in score.targets] for score in scores]

    def _scored(self, rows: Rows) -> list[float]:
        head = heads.head_of(self.model)
        start = self.model.config.decoder_start_token_id if self.model.config.is_encoder_decoder else 0
        collator = Collator(rows, self.encoder.encoding.architecture, self.encoder.pad, start)
        found = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda n: (rows.length(n), n))
        for numbers in _chunks(order, self.batch_size):
            batch = {name: tensor.to(self.model.device) for name, tensor in collator(numbers).items()}
            with torch.inference_mode():
                logits, said = batches.target_outputs(self.model, batch, self.accepts, head)
                labels = batch["labels"]
                if said is None:
                    token_loss = torch.nn.functional.cross_entropy(
                        logits.float().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED
                    )
                    values = -token_loss.sum(dim=1) / (labels != IGNORED).sum(dim=1)
                else:
                    places = torch.arange(labels.shape[1], device=labels.device)
                    last = torch.where(labels != IGNORED, places, 0).amax(dim=1, keepdim=True)
                    values = said.gather(1, last)[:, 0]
            for number, value in zip(numbers, values.tolist(), strict=True):
                found[number] = value
        return found

    def _lines(self, ask: Ask) -> list[Line]:
        """A line for each sample; one for all if it is greedy. Its `max_tokens` is 0 where nothing can be written."""
        prompt, prefix = self.encoder.prompt(ask.prompt), self.encoder.begin(ask.prefix) if ask.prefix else []
        sampling = ask.sampling or Sampling()
        room = sampling.max_tokens
        if self.encoder.positions is not None:
            taken = len(prompt) + len(prefix) if not self.model.config.is_encoder_decoder else 1 + len(prefix)
            too_long = self.model.config.is_encoder_decoder and len(prompt) > self.encoder.positions
            room = 0 if too_long else max(0, min(room, self.encoder.positions - taken))
        if not prompt and not prefix:
            room = 0
        sampling = replace(sampling, max_tokens=room)
        ends = self._stopper(ask.stop, prefix) if ask.stop else None
        samples = ask.n if sampling.temperature > 0 else 1
        return [Line(prompt, prefix, sampling, (ask.seed or 0, ask.first_sample + i), ends) for i in range(samples)]

    def _stopper(self, stop: Sequence[str], prefix: Sequence[int]) -> Callable[[list[int]], bool]:
        # every token adds at least one byte, so a stop text that has just been completed lies in so many last tokens
        tail = max(len(text.encode()) for text in stop) + 4

        def ends(written: list[int]) -> bool:
            recent = self.encoder.text(written[-tail:])
            return any(text in recent for text in stop) and self._cut(self._text(prefix, written), stop)[1]

        return ends

    def _text(self, prefix: Sequence[int], written: Sequence[int]) -> str:
        """What follows the prefix; decoded with it, since some tokenizers drop a blank before a text's first token."""
        if not prefix:
            return self.encoder.text(written)
        before = self.encoder.text(prefix)
        whole = self.encoder.text([*prefix, *written])
        return whole.removeprefix(before) if whole.startswith(before) else self.encoder.text(written)

    @staticmethod
    def _cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
        found = [place for place in (text.find(end) for end in stop) if place >= 0]
        return (text[: min(found)], True) if found else (text, False)

    def _completion(self, ask: Ask, line: Line) -> Completion:
        read = len(line.prompt) + len(line.prefix)
        if line.sampling.max_tokens == 0:
            error = (
                f"the prompt has {read} tokens, the model has {self.encoder.positions} positions for prompt and answer"
            )
            if not read:
                error = "the prompt has no tokens"
            return Completion("", "length", self.name, read, 0, error)
        text, _ = self._cut(self._text(line.prefix, line.written), ask.stop)
        return Completion(text, "stop" if line.finished else "length", self.name, read, len(line.written))

    def _write(self, lines: Sequence[Line]) -> None:
        for batch in self._batches(lines):
            decoding.write(self.model, batch, self.encoder.pad, self.end, self.accepts)

    def _batches(self, lines: Sequence[Line]) -> Iterator[list[Line]]:
        """Lines of similar length together; those of an encoder-decoder also by the length of the prefix."""
        alike: defaultdict[int, list[Line]] = defaultdict(list)
        for line in lines:
            alike[len(line.prefix) if self.model.config.is_encoder_decoder else 0].append(line)
        for _, group in sorted(alike.items()):
            group.sort(key=lambda line: len(line.prompt) + len(line.prefix))
            yield from _chunks(group, self.batch_size)


def _chunks(items: list[T], size: int) -> Iterator[list[T]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
