"""A look at the first batch before a long training: what is read, what is masked, what is learned, and whether it can
be.

    example of question 'train-17' (target): 61 tokens in, 34 to learn
      reads   Ann has 12 apples ...⏎
      learns  def solution(): ... <|end|>
    loss before training: 7.62
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from understudy.errors import StudentError
from understudy.students.batches import Batch, Collator, Rows, target_logits
from understudy.students.encoding import Encoder
from understudy.students.losses import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHOWN = 3


def check(
    model: PreTrainedModel,
    encoder: Encoder,
    rows: Rows,
    numbers: Sequence[int],
    collator: Collator,
    accepts: frozenset[str],
) -> str:
    """The batch of `numbers`, checked and as readable text.

    Raises:
        StudentError: an id is outside the vocabulary, labels are not where the target is, a target does not end with
            the end token, or the loss is zero or not finite.
    """
    batch = collator(numbers)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    highest = max(int(batch[name].max()) for name in ("input_ids", "labels"))
    if highest >= vocabulary:
        raise StudentError(
            f"token id {highest} is outside the model's vocabulary of {vocabulary}: the tokenizer is another model's"
        )
    parts: list[str] = []
    for i, number in enumerate(numbers):
        prompt, target = rows.row(number)
        check_row(batch, i, prompt, target, encoder.end)
        if i < SHOWN:
            parts.append(_shown(rows, number, encoder))
    changed = sum(not _survives(rows, number, encoder) for number in numbers)
    if changed:
        parts.append(
            f"{changed} of {len(numbers)} targets come back changed from the tokenizer; the student can only write "
            "what it keeps"
        )
    loss = _loss(model, batch, accepts)
    if not math.isfinite(loss) or loss == 0:
        raise StudentError(
            f"the loss of the first batch is {loss}, expected a number above 0. The student's weights are not "
            "usable: choose another"
        )
    parts.append(f"loss before training: {loss:.4g}")
    return "\n".join(parts)


def check_row(batch: Batch, i: int, prompt: Sequence[int], target: Sequence[int], end: int) -> None:
    """Whether row `i` of a batch asks for exactly its target, after exactly its prompt.

    Raises:
        StudentError: it does not; says what was found.
    """
    labels = batch["labels"][i]
    learned = labels[labels != IGNORED].tolist()
    if not learned or learned[-1] != end:
        raise StudentError(
            f"row {i} of the first batch does not end with the end token {end}, so the student would never stop"
        )
    if learned != list(target):
        raise StudentError(
            f"row {i} of the first batch learns the ids {learned[:8]}..., expected its target {list(target)[:8]}..."
        )
    read = batch["input_ids"][i][batch["attention_mask"][i] == 1].tolist()
    before = read if "decoder_input_ids" in batch else read[: len(read) - len(target) + 1]
    if before != list(prompt):
        raise StudentError(
            f"row {i} of the first batch reads the ids {before[:8]}..., expected its prompt {list(prompt)[:8]}..."
        )


def _shown(rows: Rows, number: int, encoder: Encoder) -> str:
    prompt, target = rows.row(number)
    reads = str(encoder.tokenizer.decode(list(prompt))).replace("\n", "⏎")
    learns = str(encoder.tokenizer.decode(list(target))).replace("\n", "⏎")
    name = rows.names[rows.objective(number)]
    value = rows.value(number)
    verb = "learns" if math.isnan(value) else f"learns to say {value:g} at every token of"
    return (
        f"row {number} ({name}): {len(prompt)} tokens in, {len(target)} to learn\n  reads   {reads}\n  {verb}  {learns}"
    )


def _survives(rows: Rows, number: int, encoder: Encoder) -> bool:
    target = list(rows.row(number)[1])
    return encoder.target(encoder.text(target)) == target and encoder.tokenizer.unk_token_id not in target


def _loss(model: PreTrainedModel, batch: Batch, accepts: frozenset[str]) -> float:
    """The mean cross-entropy of the target tokens, all of the same weight."""
    model.eval()
    with torch.no_grad():
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        logits, labels = target_logits(model, batch, accepts), batch["labels"]
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten()))
