"""The student that has learnt nothing: `student = "nearest"` copies the target of its nearest training example.

A baseline for any method: with PaD it is "copy the nearest training question's program". It reads no meaning: it takes
the example with the most similar words and puts the question's numbers where that example's prompt had its own, by
position.

    train   "Tom has 5 pens and buys 3 more."   "a = 5\\nb = 3\\nanswer = a + b"
    asked   "Ann has 12 pens and buys 7 more."  "a = 12\\nb = 7\\nanswer = a + b"

Nearest is the cosine of word counts weighted with log(N / prompts that hold the word), numbers masked (G. Salton and
C. Buckley, Term-weighting approaches in automatic text retrieval, IPM 24 (1988), 513-523), through an inverted index:
the memory is that of the training words, the time of one ask that of the prompts which share words with it.
"""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from understudy import jsonl
from understudy.procedures import Ask, Score
from understudy.records import Completion, Example

NAME = "nearest"
FILE = "nearest.jsonl"
_NUMBER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+")
_LITERAL = re.compile(r"(?<![\w.])(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)(?![\w])")
_WORD = re.compile(r"#|[^\W\d_]+")


def save_examples(examples: Path, folder: Path) -> int:
    """Make a student of `examples`: it is these rows. Returns how many there are."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return jsonl.write(folder / FILE, jsonl.read(examples))


class NearestStudent:
    """Completes a prompt with the adapted target of the nearest training prompt; of equally near ones, the first."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    @classmethod
    def load(cls, folder: Path) -> NearestStudent:
        return cls([Example.from_json(row) for row in jsonl.read(folder / FILE)])

    @cached_property
    def _index(self) -> Index:
        return Index([example.prompt for example in self._examples])

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        return [[Completion(self.copy(ask.prompt), model=NAME)] * ask.n for ask in asks]

    def copy(self, prompt: str) -> str:
        """The adapted target for one prompt."""
        nearest = self._examples[self._index.nearest(prompt)]
        return renumbered(nearest.target, numbers(nearest.prompt), numbers(prompt))

    def score(self, scores: Sequence[Score]) -> list[list[float]]:
        """The value of the training example that is most like a prompt with its target, numbers aside; 0 if none has one."""
        return [[self._value(f"{score.prompt}\n{target}") for target in score.targets] for score in scores]

    def _value(self, text: str) -> float:
        if not self._valued:
            return 0.0
        return self._valued[self._value_index.nearest(text)].value or 0.0

    @cached_property
    def _valued(self) -> list[Example]:
        return [example for example in self._examples if example.value is not None]

    @cached_property
    def _value_index(self) -> Index:
        return Index([f"{example.prompt}\n{example.target}" for example in self._valued])

    def close(self) -> None:
        """Nothing is held open."""


class Index:
    """Word -> the prompts that hold it, each with the word's share in that prompt's length."""

    def __init__(self, prompts: Sequence[str]) -> None:
        bags = [_bag(prompt) for prompt in prompts]
        self.size = len(bags)
        holding = Counter(word for bag in bags for word in bag)
        # a word that every prompt holds tells none of them apart: its weight is 0 and it is left out
        self.idf = {word: math.log(len(bags) / n) for word, n in holding.items() if n < len(bags)}
        self.postings: dict[str, list[tuple[int, float]]] = {word: [] for word in self.idf}
        for position, bag in enumerate(bags):
            weights = {word: n * self.idf[word] for word, n in bag.items() if word in self.idf}
            length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
            for word, weight in weights.items():
                self.postings[word].append((position, weight / length))

    def nearest(self, prompt: str) -> int:
        """Position of the prompt with the largest cosine; the first of all if none shares a telling word."""
        scores = [0.0] * self.size
        for word, n in _bag(prompt).items():
            factor = n * self.idf.get(word, 0.0)
            for position, weight in self.postings.get(word, ()):
                scores[position] += factor * weight
        return scores.index(max(scores))


def _bag(prompt: str) -> Counter[str]:
    return Counter(_WORD.findall(_NUMBER.sub(" # ", prompt.casefold())))


def numbers(text: str) -> list[str]:
    """The different numbers of a text, in the order of their first occurrence."""
    return list(dict.fromkeys(_plain(number) for number in _NUMBER.findall(text)))


def _plain(number: str) -> str:
    """One spelling for equal numbers: 1,000 and 1000.0 are 1000; .50 is 0.5."""
    whole, _, fraction = number.replace(",", "").replace("_", "").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def renumbered(target: str, old: Sequence[str], new: Sequence[str]) -> str:
    """`target` with number i of `old` replaced by number i of `new`; numbers without a counterpart stay."""
    by_position = dict(zip(old, new, strict=False))
    return _LITERAL.sub(lambda literal: by_position.get(_plain(literal[0]), literal[0]), target)
