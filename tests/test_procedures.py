from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest

from doubles import Programs, Told, TwoRoles
from understudy.procedures import Ask, Driver, Execute, Procedure, Score, derive_seed
from understudy.records import Completion, Question, Sampling


def echo(ask: Ask, sample: int) -> str:
    return f"{ask.prompt}/{sample}"


class Scores:
    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        return [[Completion("")] for _ in asks]

    def score(self, scores: Sequence[Score]) -> list[list[float]]:
        return [[-float(len(target)) for target in score.targets] for score in scores]


class Slow:
    """Answers asks one at a time; remembers how many were under way together."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def complete_one(self, ask: Ask) -> list[Completion]:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        if ask.prompt == "bad":
            raise ValueError("no such prompt")
        return [Completion(ask.prompt)] * ask.n


def asking(prompt: str, n: int = 1) -> Procedure[list[str]]:
    [completions] = yield [Ask("teacher", prompt, n=n)]
    return [completion.text for completion in completions]


def three_kinds(number: int) -> Procedure[tuple[str, object, list[float]]]:
    [[completion], outcome, scores] = yield [
        Ask("teacher", f"q{number}"),
        Execute(str(number)),
        Score("scorer", "q", ("a", "bb")),
    ]
    return completion.text, outcome.value, scores


def rounds(length: int) -> Procedure[int]:
    for _ in range(length):
        yield [Ask("teacher", "x")]
    return length


def test_replies_come_back_in_the_order_of_the_calls() -> None:
    driver = Driver({"teacher": Told.by(echo), "scorer": Scores()}, Programs())
    assert driver.run([("a", three_kinds(1)), ("b", three_kinds(2))]) == [
        ("q1/0", 1, [-1.0, -2.0]),
        ("q2/0", 2, [-1.0, -2.0]),
    ]


def test_a_round_of_all_live_procedures_is_one_batch() -> None:
    teacher, programs = Told.by(echo), Programs()
    Driver({"teacher": teacher, "scorer": Scores()}, programs).run([(str(i), three_kinds(i)) for i in range(5)])
    assert programs.batches == [["0", "1", "2", "3", "4"]]


def test_procedures_of_different_length_all_end() -> None:
    assert Driver({"teacher": Told.by(echo)}, Programs()).run([(str(i), rounds(i)) for i in (3, 0, 5, 1)]) == [
        3,
        0,
        5,
        1,
    ]


def test_n_samples_are_numbered() -> None:
    assert Driver({"teacher": Told.by(echo)}, Programs()).run([("a", asking("p", 3))]) == [["p/0", "p/1", "p/2"]]


def test_a_two_role_loop_stops_when_it_says_so() -> None:
    asker = Told.by(lambda ask, sample: "stop" if "two!" in ask.prompt else "one" if "one" not in ask.prompt else "two")
    solver = Told.by(lambda ask, sample: ask.prompt + "!")
    [prediction] = Driver({"asker": asker, "solver": solver}, Programs()).run(
        [("q", TwoRoles().answer(None, Question("q", "1 + 1")))]  # type: ignore[arg-type]
    )
    assert prediction.texts == ("one", "one!", "two", "two!")


def test_a_two_role_loop_ends_at_its_cap() -> None:
    asker = Told.by(lambda ask, sample: "more")
    [prediction] = Driver({"asker": asker, "solver": asker}, Programs()).run(
        [("q", TwoRoles(max_steps=2).answer(None, Question("q", "1 + 1")))]  # type: ignore[arg-type]
    )
    assert len(prediction.texts) == 4


def test_seeds_follow_from_run_and_question_not_from_the_batch() -> None:
    alone, together = Told.by(echo), Told.by(echo)
    Driver({"teacher": alone}, Programs(), seed=7).run([("b", asking("p"))])
    Driver({"teacher": together}, Programs(), seed=7).run([("a", asking("p")), ("b", asking("p"))])
    assert alone.asked[0].seed == together.asked[1].seed
    assert together.asked[0].seed != together.asked[1].seed


def test_another_run_seed_gives_other_seeds() -> None:
    assert derive_seed(0, "q") != derive_seed(1, "q")
    assert derive_seed("a", "b") != derive_seed("ab", "")


def test_sampling_is_the_drivers_unless_the_ask_says() -> None:
    teacher = Told.by(echo)
    Driver({"teacher": teacher}, Programs(), sampling=Sampling(max_tokens=9)).run([("a", asking("p"))])
    assert teacher.asked[0].sampling == Sampling(max_tokens=9)
    assert teacher.asked[0].key == "a"


def test_a_role_nobody_answers_for_is_named() -> None:
    with pytest.raises(KeyError, match="no one answers for the role 'teacher'"):
        Driver({"student": Told.by(echo)}, Programs()).run([("a", asking("p"))])


def test_a_teacher_cannot_score() -> None:
    def scoring() -> Procedure[None]:
        yield [Score("teacher", "p", ("a",))]

    with pytest.raises(TypeError, match="cannot score"):
        Driver({"teacher": Told.by(echo)}, Programs()).run([("a", scoring())])


def streamed(driver: Driver, prompts: Sequence[str], concurrency: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    asyncio.run(driver.each(((p, asking(p)) for p in prompts), concurrency, found.__setitem__))
    return found


def test_streaming_answers_everything_within_its_bound() -> None:
    slow = Slow()
    prompts = [f"p{i}" for i in range(40)]
    assert streamed(Driver({"teacher": slow}, Programs()), prompts, 4) == {p: [p] for p in prompts}
    assert slow.most == 4


def test_streaming_nothing_ends() -> None:
    assert streamed(Driver({"teacher": Slow()}, Programs()), [], 4) == {}


def test_streaming_works_with_a_batched_writer_too() -> None:
    assert streamed(Driver({"teacher": Told.by(echo)}, Programs()), ["a", "b"], 2) == {"a": ["a/0"], "b": ["b/0"]}


def test_an_error_of_the_writer_ends_the_stream() -> None:
    with pytest.raises(ValueError, match="no such prompt"):
        streamed(Driver({"teacher": Slow()}, Programs()), ["a", "bad", *"cdefgh"], 2)


def test_an_asynchronous_writer_serves_batches_too() -> None:
    driver = Driver({"teacher": Slow()}, Programs())
    assert driver.run([(p, asking(p)) for p in "abc"]) == [["a"], ["b"], ["c"]]


def test_python_looks_for_cycles_as_before_when_all_is_answered() -> None:
    class Failing:
        async def complete_one(self, ask: Ask) -> list[Completion]:
            seen.append(gc.get_threshold()[0])
            raise ValueError("no")

    seen: list[int] = []
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="no"):
        asyncio.run(Driver({"teacher": Failing()}, lambda _: []).each([("a", asking("a"))], 4, lambda *_: None))
    assert gc.get_threshold() == before
    assert seen[0] > before[0]
