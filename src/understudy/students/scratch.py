"""Untrained students made from a configuration: `scratch:NAME`. Nothing is downloaded; not a source of pretrained
weights.

    SHAPES["gpt2-tiny"]   3 layers, 128 wide, 4 heads, the GPT-2 architecture
    make_tokenizer(["Ann has 12 apples."], 2048)   ->  "Ann", " has", " ", "12", " apples", "."

The tokenizer is byte-level BPE, so that every text comes back exactly as it was. Every string of up to three digits is
one token, the same with and without a blank before it; a longer one is cut into groups of three from the right. A line
end and the indentation after it are cut as one piece, so that they cost one or two tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from understudy.config import unknown
from understudy.errors import StudentError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PREFIX = "scratch:"
PAD, END = "<|pad|>", "<|end|>"

PIECES = (
    r"[0-9]{1,3}(?=(?:[0-9]{3})*(?![0-9]))"  # digits in groups of three, counted from the right
    r"|\n+ *"  # a line end with the indentation after it
    r"| ?\p{L}+"
    r"| ?[^\s\p{L}0-9]+(?: (?=[0-9]))?"  # " = " is one piece before a number, which stands without a blank
    r"|\s"
)
"""How a text is cut before byte pairs are merged; every character belongs to exactly one piece."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of an untrained model.

    Attributes:
        architecture: whose layers: `gpt2` and `llama` are decoder-only, `t5` is encoder-decoder.
        layers: of the decoder; `t5` has as many in the encoder.
        width: size of the hidden state; the feed-forward layers are four times as wide (`llama`: 8/3 times, with a
            gate).
        heads: attention heads.
        vocabulary: largest size of the tokenizer, at least `SMALLEST_VOCABULARY`.
        positions: longest sequence in tokens; `t5` has relative positions and no limit.
    """

    architecture: Literal["gpt2", "llama", "t5"]
    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int

    def __str__(self) -> str:
        size = f"{self.layers} layers, {self.width} wide, {self.heads} heads"
        return f"{self.architecture}, {size}, up to {self.vocabulary} tokens, {self.positions} positions"


SHAPES: dict[str, Shape] = {
    "gpt2-mini": Shape("gpt2", layers=4, width=256, heads=8, vocabulary=4096, positions=1024),
    "gpt2-tiny": Shape("gpt2", layers=3, width=128, heads=4, vocabulary=2048, positions=512),
    "llama-mini": Shape("llama", layers=4, width=256, heads=8, vocabulary=4096, positions=1024),
    "llama-nano": Shape("llama", layers=2, width=64, heads=4, vocabulary=2048, positions=512),
    "llama-tiny": Shape("llama", layers=3, width=128, heads=4, vocabulary=2048, positions=512),
    "t5-mini": Shape("t5", layers=3, width=256, heads=8, vocabulary=4096, positions=1024),
    "t5-tiny": Shape("t5", layers=2, width=128, heads=4, vocabulary=2048, positions=512),
}
"""The names that may follow `scratch:`."""

_DIGITS = [f"{n:0{width}d}" for width in (1, 2, 3) for n in range(10**width)]
SMALLEST_VOCABULARY = 2 + 256 + len(_DIGITS) - 10
"""The end and padding tokens, every byte, and every string of one to three digits."""


def shape_of(spec: str) -> Shape:
    """The shape that `scratch:NAME` names.

    Raises:
        StudentError: there is no such shape; names the nearest and lists all.
    """
    name = spec.removeprefix(PREFIX)
    if name not in SHAPES:
        sentence = unknown("shape", spec, name, sorted(SHAPES))
        raise StudentError(
            f"{sentence} The shapes: {', '.join(sorted(SHAPES))}" if sentence.endswith("?") else sentence
        )
    return SHAPES[name]


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `vocabulary` tokens learned from `texts`, read once; the same for the same texts.

    Raises:
        ValueError: `vocabulary` is below `SMALLEST_VOCABULARY`.
    """
    import json

    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary < SMALLEST_VOCABULARY:
        raise ValueError(f"vocabulary = {vocabulary}, expected at least {SMALLEST_VOCABULARY}: bytes and digit strings")
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = cut
    learner.train_from_iterator(
        _without_digits(texts),
        trainers.BpeTrainer(
            vocab_size=vocabulary - len(_DIGITS) + 10,
            special_tokens=[PAD, END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    vocab: dict[str, int] = dict(sorted(learned["vocab"].items(), key=lambda item: item[1]))
    for digits in _DIGITS:
        vocab.setdefault(digits, len(vocab))
    # ignore_merges: a piece that is in the vocabulary is one token, so digit strings need no merges
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=[tuple(pair) for pair in learned["merges"]], ignore_merges=True)
    )
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def _without_digits(texts: Iterable[str]) -> Iterator[str]:
    """Digit strings are in the vocabulary anyway; here they would only use up merges."""
    for text in texts:
        yield re.sub("[0-9]+", "0", text)


def make_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A model of `shape` with random weights that follow from `seed`; the global random state is left as it was.

    Dropout is off: such models are trained for a few passes over small data, where it only slows them down.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = _config(shape, len(tokenizer), int(tokenizer.eos_token_id), int(tokenizer.pad_token_id))
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = auto.from_config(config)
    return model


def _config(shape: Shape, tokens: int, end: int, pad: int) -> Any:
    from transformers import GPT2Config, LlamaConfig, T5Config

    common: dict[str, Any] = {"vocab_size": tokens, "eos_token_id": end, "pad_token_id": pad}
    # the usual 0.02 suits widths of thousands; a narrow model begins to learn hundreds of steps earlier with this
    if shape.architecture != "t5":
        common["initializer_range"] = shape.width**-0.5
    if shape.architecture == "gpt2":
        return GPT2Config(
            n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads, n_positions=shape.positions,
            activation_function="gelu_pytorch_tanh", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=end, **common,
        )  # fmt: skip
    if shape.architecture == "llama":
        return LlamaConfig(
            num_hidden_layers=shape.layers, hidden_size=shape.width, num_attention_heads=shape.heads,
            intermediate_size=shape.width * 8 // 3 // 8 * 8, max_position_embeddings=shape.positions,
            tie_word_embeddings=True, bos_token_id=end, **common,
        )  # fmt: skip
    return T5Config(
        num_layers=shape.layers, num_decoder_layers=shape.layers, d_model=shape.width, num_heads=shape.heads,
        d_kv=shape.width // shape.heads, d_ff=4 * shape.width, n_positions=shape.positions, dropout_rate=0.0,
        decoder_start_token_id=pad, **common,
    )  # fmt: skip
