"""Small students for tests: examples that are learned in a second, models of every architecture, a folder saved once."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing

from understudy import jsonl
from understudy.config import Train
from understudy.records import Example
from understudy.students import loading, scratch
from understudy.students.scratch import Shape
from understudy.students.trainer import TrainSummary, train

SMALL = {
    "gpt2-small-test": Shape("gpt2", layers=2, width=64, heads=4, vocabulary=1500, positions=96),
    "llama-small-test": Shape("llama", layers=2, width=64, heads=4, vocabulary=1500, positions=96),
    "t5-small-test": Shape("t5", layers=1, width=64, heads=4, vocabulary=1500, positions=96),
}
scratch.SHAPES.update(SMALL)
DECODER, LLAMA, SEQ2SEQ = (f"scratch:{name}" for name in SMALL)

NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve", "Fay", "Gus", "Hal")
EXAMPLES = tuple(
    Example(
        f"q{i}",
        f"{name} has {i + 2} apples and {9 * i + 11} pears.",
        f"def solution():\n    return {i + 2} + {9 * i + 11}\n",
    )
    for i, name in enumerate(NAMES)
)
TEXTS = tuple(text for example in EXAMPLES for text in (example.prompt, example.target))


def model(spec: str = DECODER, seed: int = 0) -> loading.Loaded:
    return loading.load(spec, texts=TEXTS, seed=seed)


CHAT = (
    "<|end|>{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}"
    "{% if polite %}please\n{% endif %}{% if add_generation_prompt %}assistant: {% endif %}"
)
"""A chat template that writes the first token itself, as many do."""


def model_folder(folder: Path, spec: str = DECODER) -> Path:
    """An untrained model as somebody else would have saved it."""
    loading.save(model(spec), folder, "")
    (folder / loading.ENCODING_FILE).unlink()
    return folder


def chat_folder(folder: Path, template: str = CHAT) -> Path:
    """An untrained model with a chat template, whose tokenizer puts its first token before every text."""
    loaded = model(LLAMA)
    loaded.tokenizer.chat_template = template
    loaded.tokenizer.bos_token = scratch.END
    first = TemplateProcessing(single=f"{scratch.END} $A", special_tokens=[(scratch.END, loaded.encoder().end)])
    loaded.tokenizer.backend_tokenizer.post_processor = first
    loading.save(loaded, folder, "")
    (folder / loading.ENCODING_FILE).unlink()
    return folder


def examples_file(folder: Path, examples: Sequence[Example] = EXAMPLES, name: str = "examples.jsonl") -> Path:
    if not (folder / name).exists():
        jsonl.write(folder / name, (example.to_json() for example in examples))
    return folder / name


def trained(
    folder: Path,
    spec: str = DECODER,
    examples: Sequence[Example] = EXAMPLES,
    valid: Sequence[Example] = (),
    objectives: Mapping[str, float] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> TrainSummary:
    """Train in `folder`: leaves `student`, `log.jsonl` and the files of examples."""
    table = {"steps": 4, "batch_size": 8, "learning_rate": 5e-3, "eval_every": 100, **(settings or {})}
    folder.mkdir(parents=True, exist_ok=True)
    return train(
        spec=spec,
        start=options.pop("start", None),
        examples=examples_file(folder, examples),
        validation=examples_file(folder, valid, "valid.jsonl") if valid else None,
        settings=Train(**table),
        objectives=objectives or {"target": 1.0},
        seed=seed,
        out=folder / "student",
        log=folder / "log.jsonl",
        **options,
    )


def killed_at(step: int) -> Callable[[], bool]:
    """A `should_stop` that kills this process, as `kill -9` would, when it is asked for the `step`th time."""
    asked = itertools.count(1)

    def should_stop() -> bool:
        if next(asked) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    return should_stop
