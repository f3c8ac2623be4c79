"""An `Example` as token ids. Knows tokenizers and limits; knows nothing of batches or tensors.

    decoder-only      prompt + separator + target + end token; the loss counts the target's tokens and the end token
    encoder-decoder   prompt -> encoder; target + end token -> decoder

A prompt is always encoded by itself, in training as in answering, so that its last token never merges with the target's
first one. A tokenizer with a chat template shows the prompt as a user's turn instead of adding the separator. Special
tokens written out in a prompt (`premise</s>hypothesis`) are read as such; in a target they are plain text, so that only
the encoder can end it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from understudy.errors import StudentError
from understudy.records import Example, Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Architecture = Literal["decoder", "encoder-decoder"]


@dataclass(frozen=True, slots=True)
class Encoding(Record):
    """How a student's texts become tokens: what its folder's `understudy.json` holds.

    Attributes:
        architecture: `decoder` or `encoder-decoder`.
        separator: stands between prompt and target of a decoder-only student without chat template.
        chat: the prompt is a user's turn of the tokenizer's chat template.
        max_prompt_tokens, max_target_tokens: the limits it was trained with; the end token counts to the target.
        system: the message before the user's turn; "" for none.
        chat_options: further variables of the chat template.
    """

    architecture: Architecture
    separator: str = "\n"
    chat: bool = False
    max_prompt_tokens: int = 512
    max_target_tokens: int = 512
    system: str = ""
    chat_options: Mapping[str, Any] = field(default_factory=dict)


class Encoded(NamedTuple):
    """One example as token ids; `target` ends with the end token."""

    prompt: list[int]
    target: list[int]


class Encoder:
    """Turns texts into token ids and back, as one student reads and writes them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, encoding: Encoding, positions: int | None) -> None:
        """`positions` is the longest sequence the model can take, None if there is no limit."""
        self.tokenizer = tokenizer
        self.encoding = encoding
        self.positions = positions
        self.end = _special(tokenizer.eos_token_id)
        self.pad = _special(tokenizer.pad_token_id)

    def prompt(self, text: str) -> list[int]:
        """The ids that stand before the target, or that the encoder reads."""
        if self.encoding.chat:
            # the template writes the tokenizer's first token itself, so that it must not be added again
            return list(self.tokenizer.encode(self.chat(text), add_special_tokens=False))
        if self.encoding.architecture == "encoder-decoder":
            return list(self.tokenizer.encode(text))
        ids = list(self.tokenizer.encode(text + self.encoding.separator))
        return ids[:-1] if ids and ids[-1] == self.end else ids

    def chat(self, text: str) -> str:
        """A prompt as the chat template shows it, up to where the answer begins."""
        system = self.encoding.system
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": text})
        options = dict(self.encoding.chat_options)
        shown = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **options)
        return str(shown)

    def begin(self, text: str) -> list[int]:
        """The ids of the beginning of a target, without an end token."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def target(self, text: str) -> list[int]:
        """The ids of a whole target, with its end token."""
        return [*self.begin(text), self.end]

    def text(self, ids: Sequence[int]) -> str:
        """The text of target ids; special tokens are left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def example(self, example: Example) -> Encoded:
        """Both sides of an example; `problem` says whether they can be used."""
        return Encoded(self.prompt(example.prompt), self.target(example.target))

    def problem(self, encoded: Encoded) -> str:
        """Why an encoded example cannot be used, with the key to change; "" if it can."""
        prompt, target = len(encoded.prompt), len(encoded.target)
        if not prompt:
            return "its prompt has no tokens, so there is nothing to answer: write one"
        if prompt > self.encoding.max_prompt_tokens:
            return (
                f"its prompt has {prompt} tokens, at most {self.encoding.max_prompt_tokens} are allowed: "
                "raise train.max_prompt_tokens"
            )
        if target > self.encoding.max_target_tokens:
            return (
                f"its target has {target} tokens with the end token, at most {self.encoding.max_target_tokens} are "
                "allowed: raise train.max_target_tokens"
            )
        longest = self.longest(prompt, target)
        if self.positions is not None and longest > self.positions:
            return f"it has {longest} tokens, the model has {self.positions} positions: choose another student"
        return ""

    def longest(self, prompt: int, target: int) -> int:
        """Positions taken by a prompt and a target of so many tokens."""
        return prompt + target if self.encoding.architecture == "decoder" else max(prompt, target)


def _special(token: Any) -> int:
    if not isinstance(token, int):
        raise StudentError(
            f"the tokenizer's end or padding token is {token!r}, expected one id; load it with loading.load"
        )
    return token


def positions_of(model: PreTrainedModel) -> int | None:
    """The longest sequence a model can take, in tokens; None for relative positions, which have no limit."""
    config = model.config.get_text_config(decoder=True)  # a model that also sees has its text's part inside
    if hasattr(config, "relative_attention_num_buckets"):
        return None
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    return None


def encode(
    examples: Iterator[Example],
    encoder: Encoder,
    objectives: Mapping[str, float],
    too_long: Literal["error", "drop"],
) -> Iterator[tuple[Example, Encoded | None]]:
    """Each example with its ids, or with None if it is too long and `too_long` is `drop` or it has a value: what a student
    wrote to be judged may run on, and nobody could have written it shorter.

    Raises:
        StudentError: an example is too long, has no target, a weight below zero, a value that is not finite or an
        objective without a weight; names its question.
    """
    for example in examples:
        place = f"the example of question {example.question!r}"
        if example.objective not in objectives:
            raise StudentError(
                f"{place} counts to the objective {example.objective!r}, but only {sorted(objectives)} have a weight: "
                "the method builds examples for an objective its role does not have"
            )
        if not example.target:
            raise StudentError(
                f"{place} has an empty target, so there is nothing to learn from it; the stage build made it"
            )
        if not 0 <= example.weight < float("inf"):
            raise StudentError(
                f"{place} has the weight {example.weight}, expected a number from 0; the stage build made it"
            )
        if example.value is not None and not math.isfinite(example.value):
            raise StudentError(
                f"{place} has the value {example.value}, expected a finite number; the stage build made it"
            )
        encoded = encoder.example(example)
        problem = encoder.problem(encoded)
        if problem and too_long == "error" and example.value is None:
            raise StudentError(f"{place} cannot be used: {problem}, or set train.too_long=drop")
        yield example, None if problem else encoded
