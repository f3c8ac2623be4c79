from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from students import DECODER, EXAMPLES, LLAMA, SEQ2SEQ, model, trained
from understudy.procedures import Ask, Completer, Score, Scorer
from understudy.records import Completion, Sampling
from understudy.students.student import Student

SPECS = (DECODER, LLAMA, SEQ2SEQ)
WARM = Sampling(temperature=1.5, max_tokens=8)
LONG = "Ann has 2 apples and 11 pears. " * 4


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Student]:
    """A student of each architecture that has learned the eight examples by heart."""
    folder = tmp_path_factory.mktemp("learned")
    students = {}
    for number, spec in enumerate(SPECS):
        trained(folder / str(number), spec, settings={"steps": 80, "learning_rate": 1e-2})
        students[spec] = Student.load(folder / str(number) / "student", device="cpu")
    return students


@pytest.fixture(scope="module")
def untrained() -> dict[str, Student]:
    return {spec: Student(model(spec), "untrained", "cpu") for spec in SPECS}


def texts(completions: Sequence[Sequence[Completion]]) -> list[str]:
    return [completion.text for of_ask in completions for completion in of_ask]


def asks(sampling: Sampling | None = None, n: int = 1) -> list[Ask]:
    return [Ask("student", example.prompt, n=n, sampling=sampling, seed=i) for i, example in enumerate(EXAMPLES)]


@pytest.mark.parametrize("spec", SPECS)
def test_a_student_reproduces_what_it_learned(learned: dict[str, Student], spec: str) -> None:
    completions = learned[spec].complete(asks())
    assert texts(completions) == [example.target for example in EXAMPLES]
    assert {completion.finish for [completion] in completions} == {"stop"}


@pytest.mark.parametrize("spec", SPECS)
def test_an_untrained_student_does_not(untrained: dict[str, Student], spec: str) -> None:
    completions = untrained[spec].complete(asks(Sampling(max_tokens=5)))
    assert texts(completions) != [example.target for example in EXAMPLES]


def test_a_student_completes_and_scores(untrained: dict[str, Student]) -> None:
    assert isinstance(untrained[DECODER], Completer)
    assert isinstance(untrained[DECODER], Scorer)


def test_a_completion_knows_its_student_and_its_tokens(learned: dict[str, Student]) -> None:
    student = learned[DECODER]
    [[completion]] = student.complete(asks()[:1])
    assert completion.model == "student"
    assert completion.prompt_tokens == len(student.encoder.prompt(EXAMPLES[0].prompt))
    assert completion.completion_tokens == len(student.encoder.target(EXAMPLES[0].target))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("sampling", [Sampling(max_tokens=8), WARM, replace(WARM, top_p=0.8)])
def test_a_completion_does_not_depend_on_the_asks_beside_it(
    untrained: dict[str, Student], spec: str, sampling: Sampling
) -> None:
    together = [
        *asks(sampling, n=2),
        Ask("student", LONG, sampling=Sampling(0.5, 3)),
        Ask("student", "x", prefix="def"),
    ]
    alone = [untrained[spec].complete([ask])[0] for ask in together]
    assert untrained[spec].complete(together) == alone
    assert untrained[spec].complete(together[::-1]) == alone[::-1]


def test_many_asks_are_answered_in_order(learned: dict[str, Student]) -> None:
    many = asks() * 20
    assert texts(learned[DECODER].complete(many)) == [example.target for example in EXAMPLES] * 20


def test_the_same_seed_samples_the_same_and_another_seed_something_else(untrained: dict[str, Student]) -> None:
    ask = Ask("student", "Ann has", n=3, sampling=WARM, seed=1)
    student = untrained[DECODER]
    assert student.complete([ask]) == student.complete([ask])
    assert student.complete([ask]) != student.complete([replace(ask, seed=2)])


def test_samples_differ_and_more_samples_begin_with_the_same(untrained: dict[str, Student]) -> None:
    ask = Ask("student", "Ann has", n=4, sampling=WARM, seed=1)
    [four] = untrained[DECODER].complete([ask])
    assert len(set(texts([four]))) == 4
    assert untrained[DECODER].complete([replace(ask, n=2, first_sample=2)]) == [four[2:]]


def test_greedy_samples_are_all_the_same(learned: dict[str, Student]) -> None:
    [three] = learned[DECODER].complete([replace(asks()[0], n=3)])
    assert texts([three]) == [EXAMPLES[0].target] * 3


def test_a_tiny_nucleus_is_greedy(untrained: dict[str, Student]) -> None:
    narrow = replace(WARM, top_p=1e-9)
    greedy = untrained[DECODER].complete(asks(Sampling(max_tokens=8)))
    assert untrained[DECODER].complete(asks(narrow)) == greedy
    assert untrained[DECODER].complete(asks(WARM)) != greedy


@pytest.mark.parametrize("spec", SPECS)
def test_a_prefix_is_continued_and_not_repeated(learned: dict[str, Student], spec: str) -> None:
    target = EXAMPLES[3].target
    for cut in (len("def"), target.index("return"), len(target) - 1):
        ask = replace(asks()[3], prefix=target[:cut])
        assert texts(learned[spec].complete([ask])) == [target[cut:]]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("stop", "kept"), [((" +",), "def solution():\n    return 2"), (("\n", "+"), "def solution():")]
)
def test_a_stop_text_ends_the_completion_and_is_not_part_of_it(
    learned: dict[str, Student], spec: str, stop: tuple[str, ...], kept: str
) -> None:
    [[completion]] = learned[spec].complete([replace(asks()[0], stop=stop)])
    assert (completion.text, completion.finish) == (kept, "stop")
    assert (completion.completion_tokens or 0) < len(learned[spec].encoder.target(EXAMPLES[0].target))


def test_a_stop_text_that_does_not_come_changes_nothing(learned: dict[str, Student]) -> None:
    [[completion]] = learned[DECODER].complete([replace(asks()[0], stop=("never",))])
    assert (completion.text, completion.finish) == (EXAMPLES[0].target, "stop")


def test_a_stop_text_in_the_prefix_does_not_count(learned: dict[str, Student]) -> None:
    [[completion]] = learned[DECODER].complete([replace(asks()[0], stop=("def",), prefix="def")])
    assert completion.text == EXAMPLES[0].target.removeprefix("def")


def test_a_completion_that_is_cut_says_so(learned: dict[str, Student]) -> None:
    [[completion]] = learned[DECODER].complete(asks(Sampling(max_tokens=3))[:1])
    assert (completion.finish, completion.completion_tokens) == ("length", 3)
    assert EXAMPLES[0].target.startswith(completion.text)


def test_a_completion_is_cut_where_the_positions_end(untrained: dict[str, Student]) -> None:
    [[completion]] = untrained[DECODER].complete([Ask("student", "a " * 40, sampling=Sampling(max_tokens=500))])
    assert completion.finish == "length"
    assert (completion.prompt_tokens or 0) + (completion.completion_tokens or 0) == 96


def test_a_prompt_that_leaves_no_position_is_the_students_limit_and_the_others_have_theirs(
    learned: dict[str, Student],
) -> None:
    [[cut], [fine]] = learned[DECODER].complete([Ask("student", "a " * 100), asks()[0]])
    assert (cut.text, cut.finish) == ("", "length")  # and so it counts against the student
    assert "the model has 96 positions" in cut.error
    assert (fine.text, fine.finish) == (EXAMPLES[0].target, "stop")


def test_relative_positions_have_no_end(untrained: dict[str, Student]) -> None:
    [[completion]] = untrained[SEQ2SEQ].complete([Ask("student", "a " * 200, sampling=Sampling(max_tokens=4))])
    assert completion.finish in ("stop", "length")


def test_no_asks_have_no_completions(untrained: dict[str, Student]) -> None:
    assert untrained[DECODER].complete([]) == []
    assert untrained[DECODER].score([]) == []


@pytest.mark.parametrize("spec", SPECS)
def test_a_score_is_the_mean_log_likelihood_with_the_end_token(untrained: dict[str, Student], spec: str) -> None:
    student = untrained[spec]
    prompt, target = student.encoder.prompt("Ann has 2"), student.encoder.target("return 2")
    with torch.no_grad():
        if spec == SEQ2SEQ:
            start = [student.model.config.decoder_start_token_id]
            inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([start + target[:-1]])}
            logits = student.model(**inputs).logits[0]
        else:
            logits = student.model(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    expected = torch.log_softmax(logits, -1)[range(len(target)), target].mean()
    [[score]] = student.score([Score("student", "Ann has 2", ("return 2",))])
    assert score == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_the_learned_target_scores_best(learned: dict[str, Student], spec: str) -> None:
    targets = tuple(example.target for example in EXAMPLES)
    scores = learned[spec].score([Score("student", example.prompt, targets) for example in EXAMPLES])
    assert [row.index(max(row)) for row in scores] == list(range(8))


def test_a_target_over_the_positions_scores_below_all_others(untrained: dict[str, Student]) -> None:
    [[long, short]] = untrained[DECODER].score([Score("student", "x", ("a " * 100, "a"))])
    assert long == float("-inf") < short


def test_a_closed_student_gives_its_model_back(tmp_path: Path) -> None:
    student = Student(model(), "s", "cpu")
    student.close()
    assert not hasattr(student, "model")
