from collections.abc import Iterator, Mapping

import pytest
from transformers import Gemma3Config

from students import DECODER, EXAMPLES, SEQ2SEQ, model
from understudy.errors import StudentError
from understudy.records import Example
from understudy.students.encoding import Encoder, Encoding, encode, positions_of

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}[reply]{% endif %}"
)


def encoder(spec: str = DECODER, limits: Mapping[str, int] | None = None) -> Encoder:
    loaded = model(spec)
    encoding = Encoding.from_json({**loaded.encoding.to_json(), **(limits or {})})
    return Encoder(loaded.tokenizer, encoding, positions_of(loaded.model))


def only(example: Example, limits: Mapping[str, int] | None = None) -> list[tuple[Example, object]]:
    return list(encode(iter([example]), encoder(limits=limits), {"target": 1.0}, "error"))


def test_a_decoder_reads_the_prompt_and_a_separator() -> None:
    reads = encoder()
    assert reads.tokenizer.decode(reads.prompt("Ann has 2")) == "Ann has 2\n"


def test_an_encoder_reads_the_prompt_alone() -> None:
    reads = encoder(SEQ2SEQ)
    assert reads.tokenizer.decode(reads.prompt("Ann has 2")) == "Ann has 2"


def test_a_chat_template_takes_the_place_of_the_separator() -> None:
    loaded = model()
    loaded.tokenizer.chat_template = TEMPLATE
    reads = Encoder(loaded.tokenizer, Encoding("decoder", chat=True), 96)
    assert reads.tokenizer.decode(reads.prompt("Ann has 2")) == "[user]Ann has 2[reply]"


@pytest.mark.parametrize("spec", [DECODER, SEQ2SEQ])
def test_a_target_ends_with_exactly_one_end_token(spec: str) -> None:
    reads = encoder(spec)
    target = reads.target("return 2")
    assert target[-1] == reads.end
    assert target.count(reads.end) == 1


def test_an_end_token_written_in_a_target_is_plain_text() -> None:
    reads = encoder()
    assert reads.target("a<|end|>b").count(reads.end) == 1
    assert reads.text(reads.target("a<|end|>b")) == "a<|end|>b"


def test_an_end_token_written_in_a_prompt_is_read_as_such() -> None:
    reads = encoder()
    assert reads.end in reads.prompt("a<|end|>b")


def test_examples_that_fit_are_encoded_both_sides() -> None:
    [(_, ids)] = only(EXAMPLES[0])
    assert ids == encoder().example(EXAMPLES[0])


@pytest.mark.parametrize(
    ("example", "limits", "message"),
    [
        (EXAMPLES[0], {"max_prompt_tokens": 3}, r"'q0'.*its prompt has \d+ tokens.*train.max_prompt_tokens"),
        (EXAMPLES[1], {"max_target_tokens": 3}, r"'q1'.*its target has \d+ tokens.*train.max_target_tokens"),
        (Example("long", "a " * 60, "b " * 60), {}, r"'long'.*the model has 96 positions"),
        (Example("empty", "a", ""), {}, "'empty' has an empty target"),
        (Example("heavy", "a", "b", weight=-1.0), {}, r"'heavy' has the weight -1.0"),
        (Example("nan", "a", "b", weight=float("nan")), {}, "'nan' has the weight nan"),
        (Example("other", "a", "b", objective="label"), {}, r"'other' counts to the objective 'label'.*\['target'\]"),
    ],
)
def test_an_example_that_cannot_be_used_names_its_question(
    example: Example, limits: dict[str, int], message: str
) -> None:
    with pytest.raises(StudentError, match=message):
        only(example, limits)


def test_a_too_long_example_is_dropped_when_told_so() -> None:
    examples: Iterator[Example] = iter([EXAMPLES[0], Example("long", "a " * 60, "b " * 60)])
    kept = [ids is not None for _, ids in encode(examples, encoder(), {"target": 1.0}, "drop")]
    assert kept == [True, False]


def test_a_solution_to_be_judged_that_ran_on_is_dropped() -> None:
    judged = Example("ran-on", "a " * 60, "b " * 60, value=0.0)
    kept = [ids is not None for _, ids in encode(iter([EXAMPLES[0], judged]), encoder(), {"target": 1.0}, "error")]
    assert kept == [True, False]


def test_an_encoder_decoder_with_relative_positions_has_no_limit() -> None:
    assert positions_of(model(SEQ2SEQ).model) is None


def test_a_decoder_has_the_positions_of_its_shape() -> None:
    assert positions_of(model().model) == 96


def test_a_model_that_also_sees_has_the_positions_of_its_text_part() -> None:
    seeing = model().model
    seeing.config = Gemma3Config(text_config={"max_position_embeddings": 77})
    assert positions_of(seeing) == 77


def test_the_encoding_survives_its_file() -> None:
    encoding = Encoding("decoder", chat=True, max_prompt_tokens=7)
    assert Encoding.from_json(encoding.to_json()) == encoding
