"""`tasks/generated.py`, `last_letters.py`, `coin_flip.py`: training questions that are made, rows of the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.tasks.coin_flip import CoinFlip
from understudy.tasks.generated import NAMES
from understudy.tasks.last_letters import LastLetters


def test_made_last_letters_are_those_of_the_names_and_in_the_published_words() -> None:
    for question in LastLetters(train=50).questions("train"):
        names = question.text.split('"')[1].split()
        assert question.answer == "".join(name[-1] for name in names)
        assert len(names) == 4
    assert question.text.replace(" ".join(names), "...") == (
        'Take the last letters of each words in "..." and concatenate them.'
    )


def test_a_made_coin_is_heads_up_after_an_even_number_of_flips() -> None:
    answers = set()
    for question in CoinFlip(train=50).questions("train"):
        flips = question.text.count(" flips the coin.")
        assert flips + question.text.count(" does not flip the coin.") == 4
        assert question.answer == ("yes" if flips % 2 == 0 else "no")
        answers.add(question.answer)
    assert answers == {"yes", "no"}


@pytest.mark.parametrize("kind", [LastLetters, CoinFlip])
def test_a_made_question_follows_from_the_seed_and_its_number(kind: type[LastLetters] | type[CoinFlip]) -> None:
    first = list(kind(train=5).questions("train"))
    assert list(kind(train=9).questions("train"))[:5] == first
    assert list(kind(train=5, seed=1).questions("train")) != first
    assert len(set(NAMES)) == len(NAMES)


def test_no_network_and_no_file_is_needed_for_the_made_training_split(tmp_path: Path) -> None:
    assert LastLetters(folder=tmp_path / "none").size("train") == 2000
    assert "were made by understudy" in LastLetters().notes()[0]


def test_symbolic_rows_of_the_hub_become_rows_of_the_files() -> None:
    normal = CoinFlip().from_hub({"inputs": "Q: A coin is heads up.", "targets": " yes"}, "coin_flip", 2)
    assert normal == {"id": "coin_flip-2", "question": "A coin is heads up.", "answer": "yes"}
    normal = LastLetters().from_hub({"question": "Take. ", "answer": "ab"}, "last_letters", 2)
    assert normal == {"id": "last_letters-2", "question": "Take.", "answer": "ab"}


def test_another_coin_test_from_the_hub_is_said(tmp_path: Path) -> None:
    assert len(CoinFlip(folder=tmp_path).notes()) == 1
    assert "skrishna/coin_flip" in CoinFlip(folder=tmp_path / "none").notes()[1]
