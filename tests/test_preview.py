from collections.abc import Callable

import pytest
import torch

from students import DECODER, EXAMPLES, SEQ2SEQ, model
from understudy.errors import StudentError
from understudy.students import loading
from understudy.students.batches import Batch, Collator, Rows, accepted, collect
from understudy.students.encoding import encode
from understudy.students.losses import IGNORED
from understudy.students.preview import check, check_row

WEIGHTS = {"target": 1.0}


def parts(spec: str = DECODER) -> tuple[loading.Loaded, Rows, Collator]:
    loaded = model(spec)
    encoder = loaded.encoder()
    rows = collect(encode(iter(EXAMPLES), encoder, WEIGHTS, "error"), WEIGHTS)
    return loaded, rows, Collator(rows, loaded.encoding.architecture, encoder.pad, encoder.pad)


def preview(loaded: loading.Loaded, rows: Rows, collator: Collator) -> str:
    return check(loaded.model, loaded.encoder(), rows, range(4), collator, accepted(loaded.model))


@pytest.mark.parametrize("spec", [DECODER, SEQ2SEQ])
def test_the_preview_shows_what_is_read_and_what_is_learned(spec: str) -> None:
    text = preview(*parts(spec))
    assert "reads   Ann has 2 apples and 11 pears." in text
    assert "learns  def solution():⏎    return 2 + 11⏎<|end|>" in text


def test_the_preview_shows_the_loss_of_an_untrained_model() -> None:
    loss = float(preview(*parts()).rsplit(" ", 1)[1])
    assert 5 < loss < 10


def test_weights_that_are_not_finite_are_found() -> None:
    loaded, rows, collator = parts()
    loaded.model.get_input_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(StudentError, match="loss of the first batch is nan"):
        preview(loaded, rows, collator)


def test_ids_of_another_tokenizer_are_found() -> None:
    loaded, rows, collator = parts()
    loaded.model.resize_token_embeddings(60)
    with pytest.raises(StudentError, match="outside the model's vocabulary of 60"):
        preview(loaded, rows, collator)


def test_a_model_that_takes_no_masks_still_counts_only_targets() -> None:
    loaded, rows, collator = parts()
    with torch.no_grad():
        assert check(loaded.model, loaded.encoder(), rows, [0], collator, frozenset()) != ""


Spoil = Callable[[Batch], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b["labels"][0, -1:].fill_(IGNORED), "does not end with the end token"),
        (lambda b: b["labels"].fill_(IGNORED), "does not end with the end token"),
        (lambda b: b["labels"][0, 0:1].fill_(5), "expected its target"),
        (lambda b: b["input_ids"][0, 0:1].fill_(5), "expected its prompt"),
        (lambda b: b["attention_mask"][0, 0:1].fill_(0), "expected its prompt"),
    ],
)
@pytest.mark.parametrize("spec", [DECODER, SEQ2SEQ])
def test_a_batch_that_asks_for_something_else_is_found(spec: str, spoil: Spoil, message: str) -> None:
    loaded, rows, collator = parts(spec)
    batch = collator([0])
    check_row(batch, 0, *rows.row(0), loaded.encoder().end)
    spoil(batch)
    with pytest.raises(StudentError, match=message):
        check_row(batch, 0, *rows.row(0), loaded.encoder().end)
