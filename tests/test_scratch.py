import hashlib
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from students import TEXTS
from understudy.errors import StudentError
from understudy.students import scratch
from understudy.students.scratch import SHAPES, SMALLEST_VOCABULARY, make_model, make_tokenizer, shape_of

TOKENIZER = make_tokenizer(TEXTS, 1600)


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in TOKENIZER.encode(text)]


def weights_of(model: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text, split_special_tokens=True)) == text


@given(
    st.lists(st.sampled_from(["\n", " ", "    ", "x", " = ", "12", "007", "1234", "\t", "\r\n", "def", "é", ".", "-"]))
)
def test_programs_come_back_as_they_were(parts: list[str]) -> None:
    text = "".join(parts)
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_every_integer_of_up_to_three_digits_is_one_token() -> None:
    assert all(len(TOKENIZER.encode(str(n))) == 1 for n in range(1000))


def test_an_integer_of_four_digits_is_not_one_token() -> None:
    assert pieces("1234") == ["1", "234"]


@pytest.mark.parametrize("text", ["12", " 12", "x 12", "(12", "= 12", "-12", "\n12", "12.", "12b", "a12"])
def test_a_number_is_the_same_token_wherever_it_stands(text: str) -> None:
    assert TOKENIZER.encode("12")[0] in TOKENIZER.encode(text)


@pytest.mark.parametrize(
    ("text", "groups"), [("12345", ["12", "345"]), ("1000000", ["1", "000", "000"]), ("007", ["007"])]
)
def test_long_digit_strings_are_cut_in_threes_from_the_right(text: str, groups: list[str]) -> None:
    assert pieces(text) == groups


def test_a_frequent_word_is_one_token_and_an_unknown_one_is_not() -> None:
    assert len(TOKENIZER.encode(" apples")) == 1
    assert len(TOKENIZER.encode(" zyxwvut")) > 1


def test_a_learned_indentation_is_one_token() -> None:
    assert pieces("():\n    return") == ["():", "\n    ", "return"]


def test_the_vocabulary_is_no_larger_than_asked() -> None:
    assert len(make_tokenizer(TEXTS, SMALLEST_VOCABULARY)) == SMALLEST_VOCABULARY


def test_a_vocabulary_below_bytes_and_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1358"):
        make_tokenizer(TEXTS, SMALLEST_VOCABULARY - 1)


def test_the_tokenizer_is_the_same_in_another_process() -> None:
    code = "from understudy.students.scratch import make_tokenizer as make; "
    code += f"print(make({TEXTS!r}, 1600).backend_tokenizer.to_str())"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "77", "RAYON_NUM_THREADS": "3"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == TOKENIZER.backend_tokenizer.to_str()


def test_other_texts_give_another_tokenizer() -> None:
    assert make_tokenizer(["other words here"], 1600).get_vocab() != TOKENIZER.get_vocab()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_makes_a_model_that_fits_its_tokenizer(name: str) -> None:
    model = make_model(SHAPES[name], TOKENIZER, seed=0)
    assert model.get_input_embeddings().weight.shape == (len(TOKENIZER), SHAPES[name].width)


def test_gpt2_tiny_has_about_as_many_parameters_as_it_says() -> None:
    model = make_model(SHAPES["gpt2-tiny"], TOKENIZER, seed=0)
    assert 0.7e6 < model.num_parameters() < 1.0e6


def test_the_same_seed_makes_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (make_model(SHAPES["gpt2-tiny"], TOKENIZER, seed) for seed in (3, 3, 4))
    assert weights_of(first) == weights_of(again) != weights_of(other)


def test_making_a_model_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    make_model(SHAPES["gpt2-tiny"], TOKENIZER, seed=9)
    assert torch.equal(torch.rand(1), expected)


def test_an_unknown_shape_names_the_nearest_and_all_others() -> None:
    with pytest.raises(
        StudentError, match=r"gpt2-tin'; did you mean 'gpt2-tiny'\? The shapes: .*llama-tiny, .*t5-tiny"
    ):
        shape_of("scratch:gpt2-tin")


def test_a_known_shape_is_found() -> None:
    assert shape_of("scratch:t5-tiny") is scratch.SHAPES["t5-tiny"]


def test_a_shape_shows_its_size_in_a_line() -> None:
    assert str(SHAPES["gpt2-tiny"]) == "gpt2, 3 layers, 128 wide, 4 heads, up to 2048 tokens, 512 positions"
