from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from students import DECODER, EXAMPLES, LLAMA, SEQ2SEQ, model
from understudy.records import Example
from understudy.students.batches import (
    Collator,
    Rows,
    accepted,
    collect,
    micro_batches,
    plan,
    positions,
    target_logits,
    tokens_per_step,
)
from understudy.students.encoding import Encoded, encode
from understudy.students.losses import IGNORED

GROUPS = st.lists(st.integers(1, 5), min_size=1, max_size=12)


def rows_of(*pairs: tuple[list[int], list[int]]) -> Rows:
    rows = Rows(("target",))
    for i, (prompt, target) in enumerate(pairs):
        rows.add(Example(str(i), "", ""), Encoded(prompt, target))
    return rows


def groups_of(sizes: list[int]) -> list[list[int]]:
    begins = [sum(sizes[:i]) for i in range(len(sizes))]
    return [list(range(begin, begin + size)) for begin, size in zip(begins, sizes, strict=True)]


@given(GROUPS, st.integers(1, 8), st.integers(0, 3))
def test_a_group_is_never_split(sizes: list[int], batch_size: int, seed: int) -> None:
    groups = groups_of(sizes)
    for step in islice(plan(groups, batch_size, seed), 20):
        assert all(len(set(group) & set(step)) in (0, len(group)) for group in groups)


@given(GROUPS, st.integers(1, 8))
def test_a_step_is_no_larger_than_asked_unless_it_is_one_group(sizes: list[int], batch_size: int) -> None:
    groups = groups_of(sizes)
    for step in islice(plan(groups, batch_size, 0), 20):
        assert len(step) <= batch_size or sorted(step) in groups


@given(GROUPS, st.integers(1, 8))
def test_no_row_is_twice_in_a_step(sizes: list[int], batch_size: int) -> None:
    assert all(len(set(step)) == len(step) for step in islice(plan(groups_of(sizes), batch_size, 0), 20))


@given(GROUPS, st.integers(1, 8))
def test_every_epoch_has_every_row_once(sizes: list[int], batch_size: int) -> None:
    count = sum(sizes)
    flat = [row for step in islice(plan(groups_of(sizes), batch_size, 0), 3 * count) for row in step]
    assert sorted(flat[:count]) == sorted(flat[count : 2 * count]) == list(range(count))


def test_the_order_follows_from_the_seed() -> None:
    groups = groups_of([1] * 20)
    first, again, other = (list(islice(plan(groups, 4, seed), 5)) for seed in (1, 1, 2))
    assert first == again != other


def test_two_epochs_have_different_orders() -> None:
    steps = list(islice(plan(groups_of([1] * 20), 20, 0), 2))
    assert steps[0] != steps[1]


def test_rows_of_one_question_are_a_group_and_a_named_group_joins_questions() -> None:
    rows = Rows(("a", "b"))
    for example in (
        Example("q", "", "", "a"),
        Example("r", "", ""[:0], "a", group="g"),
        Example("q", "", "", "b"),
        Example("s", "", "", "b", group="g"),
    ):
        rows.add(example, Encoded([1], [2]))
    assert [list(group) for group in rows.groups] == [[0, 2], [1, 3]]


def test_counts_are_the_weighted_target_tokens_of_each_objective() -> None:
    rows = Rows(("label", "rationale"))
    rows.add(Example("q", "", "", "label", weight=0.5), Encoded([1, 2, 3], [4, 5]))
    rows.add(Example("q", "", "", "rationale"), Encoded([1], [4, 5, 6]))
    assert rows.counts([0, 1]).tolist() == [1.0, 3.0]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 3))
def test_micro_batches_of_all_processes_are_the_step(lengths: list[int], size: int, ranks: int) -> None:
    rows = rows_of(*(([1] * length, [2]) for length in lengths))
    step = list(range(len(lengths)))
    parts = [part for rank in range(ranks) for part in micro_batches(rows, step, size, rank, ranks)]
    assert sorted(n for part in parts for n in part) == step
    assert all(0 < len(part) <= size for part in parts)


def test_a_decoder_batch_is_padded_on_the_left_and_labelled_on_its_targets() -> None:
    batch = Collator(rows_of(([5, 6], [7, 1]), ([8], [9, 9, 1])), "decoder", pad=0, start=0)([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["labels"].tolist() == [[IGNORED, 7, 1], [9, 9, 1]]


def test_a_shorter_row_is_masked_where_it_is_padded() -> None:
    batch = Collator(rows_of(([5, 6, 4], [7, 1]), ([8], [1])), "decoder", pad=0, start=0)([0, 1])
    assert batch["input_ids"].tolist()[1] == [0, 0, 0, 8]
    assert batch["attention_mask"].tolist()[1] == [0, 0, 0, 1]


def test_an_encoder_decoder_batch_shifts_its_targets_to_the_right() -> None:
    batch = Collator(rows_of(([5, 6], [7, 1]), ([8], [9, 9, 1])), "encoder-decoder", pad=0, start=3)([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6], [8, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["decoder_input_ids"].tolist() == [[3, 7, 0], [3, 9, 9]]
    assert batch["labels"].tolist() == [[7, 1, IGNORED], [9, 9, 1]]


def test_positions_begin_after_the_padding() -> None:
    assert positions(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


@pytest.mark.parametrize("spec", [DECODER, LLAMA, SEQ2SEQ])
def test_a_rows_logits_do_not_depend_on_the_rows_beside_it(spec: str) -> None:
    loaded = model(spec)
    examples = (EXAMPLES[0], Example("long", "Ann has 2 apples. " * 3, "return 2 + 11\n" * 2))
    rows = collect(encode(iter(examples), loaded.encoder(), {"target": 1.0}, "error"), {"target": 1.0})
    collator = Collator(rows, loaded.encoding.architecture, loaded.encoder().pad, loaded.encoder().pad)
    with torch.no_grad():
        alone, together = (
            target_logits(loaded.model, collator(numbers), accepted(loaded.model)) for numbers in ([0], [0, 1])
        )
    labels = collator([0, 1])["labels"][0]
    assert torch.allclose(alone[0], together[0][labels != IGNORED], atol=1e-5)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans()), min_size=1, max_size=9), st.integers(1, 5)
)
def test_the_tokens_of_a_step_are_those_of_its_rows(lengths: list[tuple[int, int, bool]], steps: int) -> None:
    rows = Rows(("label", "rationale"))
    for number, (prompt, target, is_label) in enumerate(lengths):
        example = Example(str(number), "", "", "label" if is_label else "rationale")
        rows.add(example, Encoded([1] * prompt, [2] * target))
    total, targets = tokens_per_step(rows, 4, 0, steps)
    learned = [number for step in islice(plan(rows.groups, 4, 0), steps) for number in step]
    assert total * steps == pytest.approx(sum(sum(lengths[number][:2]) for number in learned))
    for name, wanted in (("label", True), ("rationale", False)):
        counted = sum(lengths[number][1] for number in learned if lengths[number][2] == wanted)
        assert targets[name] * steps == pytest.approx(counted)
