"""What a run would cost, before the first call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from doubles import Sums, run_of
from endpoint import chat, serving
from understudy.cli import cli
from understudy.config import Generate
from understudy.errors import StudentError, TeacherError
from understudy.formats import Cot
from understudy.methods import Method, Role, predict
from understudy.methods.few_shot import FewShotCot
from understudy.methods.finetune import Finetune
from understudy.methods.single_task import SingleTask
from understudy.pipeline import steps, walk
from understudy.procedures import Ask, Procedure
from understudy.records import Prediction, Question
from understudy.stages.estimate import Line, estimate, render
from understudy.stages.run import Run
from understudy.tasks.task import Task
from understudy.teachers.local import LocalTeacher
from understudy.teachers.mixed import MixedTeacher, Share
from understudy.teachers.openai import OpenAITeacher
from understudy.teachers.store import default_path
from understudy.teachers.teacher import NoTeacher


def priced(**settings: Any) -> OpenAITeacher:
    prices = {"usd_per_million_input": Decimal(1), "usd_per_million_output": Decimal(10)}
    return OpenAITeacher(model="big", **{**prices, **settings})


def unpriced(**settings: Any) -> OpenAITeacher:
    return OpenAITeacher(model="nobody-knows", base_url="http://127.0.0.1:1/v1", **settings)


def one(run: Run) -> Line:
    [line] = estimate(run)
    return line


def test_tokens_and_money_follow_from_the_prompts_and_the_limit(tmp_path: Path) -> None:
    line = one(run_of(tmp_path, SingleTask(), priced(), generate=Generate(samples=2, max_tokens=100)))
    prompt = len(Cot().prompt(Sums(), next(Sums().questions("train")), []))
    assert (line.step, line.samples, line.stored) == ("generate rationale", 24, 0)
    assert line.prompt.low == pytest.approx(12 * prompt / 5, rel=0.1)
    assert line.prompt.high == 2 * line.prompt.low
    assert line.completion == (24 * 40, 24 * 100)
    assert line.high == pytest.approx(
        Decimal(line.prompt.high + 10 * line.completion.high) / 10**6, rel=Decimal("0.01")
    )
    assert line.low is not None
    assert line.high is not None
    assert 0 < line.low < line.high


def test_the_system_message_is_counted(tmp_path: Path) -> None:
    plain, more = (one(run_of(tmp_path, SingleTask(), priced(system=system))) for system in ("", "x" * 500))
    assert more.prompt.high - plain.prompt.high == 12 * 500 / 2.5


def test_a_listed_model_has_its_price_and_says_where_from(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    run = run_of(tmp_path, SingleTask(), OpenAITeacher(model="gpt-4o-mini"))
    text = render(run, estimate(run))
    assert "Prices: gpt-4o-mini $0.15 and $0.6 a million tokens" in text
    assert "genai-prices" in text
    assert "All together: $" in text


def test_a_price_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), unpriced())
    text = render(run, estimate(run))
    assert "The price of nobody-knows is not known: set usd_per_million_input" in text
    assert "All together" not in text


def test_a_model_in_this_process_costs_nothing_and_is_not_loaded(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), LocalTeacher(model=str(tmp_path / "missing")))
    assert "All together: nothing." in render(run, estimate(run))


def test_several_teachers_are_priced_by_their_share(tmp_path: Path) -> None:
    half = Share(0.5, priced()), Share(0.5, priced(usd_per_million_output=Decimal(30)))
    task = Sums(train=200)
    dear = one(run_of(tmp_path, SingleTask(), priced(usd_per_million_output=Decimal(30)), task))
    cheap = one(run_of(tmp_path, SingleTask(), priced(), task))
    both = one(run_of(tmp_path, SingleTask(), MixedTeacher(parts=half), task))
    assert both.high == pytest.approx((Decimal(dear.high or 0) + Decimal(cheap.high or 0)) / 2, rel=Decimal("0.1"))
    assert len(both.prices) == 2


def test_one_unknown_price_among_several_is_named(tmp_path: Path) -> None:
    parts = Share(0.5, priced()), Share(0.5, unpriced())
    run = run_of(tmp_path, SingleTask(), MixedTeacher(parts=parts), Sums(train=50))
    text = render(run, estimate(run))
    assert "The price of nobody-knows is not known" in text
    assert "Prices: big" in text


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({"budget_usd": Decimal(5)}, "The budget of $5.00 suffices (budget_usd)"),
        ({"budget_usd": Decimal("0.001")}, "The budget of $0.001 may end the run before its end (budget_usd)"),
        ({"budget_tokens": 10**6}, "The budget of 1,000,000 tokens suffices (budget_tokens)"),
        ({"budget_tokens": 100}, "The budget of 100 tokens may end the run before its end (budget_tokens)"),
    ],
)
def test_the_budget_is_compared(tmp_path: Path, budget: dict[str, Any], says: str) -> None:
    run = run_of(tmp_path, SingleTask(), priced(), **budget)
    assert says in render(run, estimate(run))


def test_what_is_spent_already_is_taken_off_the_budget(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), priced(), budget_usd=Decimal(5))
    run.dir.root.mkdir(parents=True, exist_ok=True)
    run.dir.manifest.write_text(json.dumps({"ledger": {"usd": "4.99"}}))
    assert "of which $4.99 is spent, may end the run" in render(run, estimate(run))


def test_nobody_is_asked_no_key_is_needed_and_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = run_of(tmp_path / "run", SingleTask(), OpenAITeacher(model="gpt-4o-mini"))
    assert one(run).samples == 12
    assert not default_path().exists()
    assert not (tmp_path / "run").exists()


def test_a_method_without_a_teacher_costs_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path, Finetune(), NoTeacher())
    assert render(run, estimate(run)) == "This run asks no teacher: it costs nothing."


def test_a_teacher_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="names none"):
        estimate(run_of(tmp_path, SingleTask(), NoTeacher()))


def test_answers_in_the_store_are_not_paid_again(tmp_path: Path) -> None:
    with serving([chat("One more. The answer is 1.")]) as seen:
        teacher = priced(base_url=seen.url)
        walk(run_of(tmp_path / "few", SingleTask(), teacher, limit=5), until="generate")
        asked = len(seen.bodies)
        line = one(run_of(tmp_path / "all", SingleTask(), teacher))
        assert (line.samples, line.stored) == (12, 5)
        more = one(run_of(tmp_path / "all", SingleTask(), teacher, generate=Generate(samples=2)))
        assert (more.samples, more.stored) == (24, 5)
        whole = one(run_of(tmp_path / "few", SingleTask(), teacher, limit=5))
        assert whole.stored == 5
        assert not whole.prompt.high
        assert not whole.high
        assert len(seen.bodies) == asked


def test_a_method_that_asks_the_teacher_for_answers(tmp_path: Path) -> None:
    with serving([chat("One more. The answer is 1.")]) as seen:
        teacher = priced(base_url=seen.url)
        run = run_of(tmp_path, FewShotCot(), teacher)
        line = one(run)
        assert (line.step, line.samples, line.stored) == ("evaluate", 5, 0)
        walk(run)
        assert one(run).stored == 5
        assert estimate(run_of(tmp_path, FewShotCot(), teacher, until="filter")) == []


class TwoRounds(Method):
    """Asks the teacher twice, the second time with its first answer."""

    name = "two-rounds"
    asks_teacher = True

    def roles(self) -> Sequence[Role]:
        return []

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[first]] = yield [Ask("teacher", question.text)]
        [[second]] = yield [Ask("teacher", f"{question.text} {first.text}")]
        return predict((yield from Cot().read(task, question, second)), [first, second])


def test_rounds_are_counted_up_to_the_first_answer_that_is_missing(tmp_path: Path) -> None:
    with serving([chat("The answer is 1.")]) as seen:
        run = run_of(tmp_path, TwoRounds(), priced(base_url=seen.url))
        assert (one(run).samples, one(run).stored) == (5, 0)
        walk(run)
        assert (one(run).samples, one(run).stored) == (10, 10)


@pytest.mark.parametrize("student", ["./no-such-folder", "scratch:gpt2-tini", "a/b/c", "folder"])
def test_that_there_is_no_student_is_told_before_the_teacher_is_paid(tmp_path: Path, student: str) -> None:
    if student == "folder":
        student = str(tmp_path)  # a folder, but of no model
    with serving([chat("The answer is 1.")]) as seen:
        run = run_of(tmp_path / "run", SingleTask(), priced(base_url=seen.url), student=student)
        for do in (steps, walk):
            with pytest.raises(StudentError, match=r"is no folder|no model folder|unknown shape"):
                do(run)
        assert not seen.bodies
        walk(run, until="filter")
        assert seen.bodies, "which trains nothing"


def test_the_command_says_it_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("my.toml").write_text(
        'task = { name = "wordsums", train = 20, test = 5 }\nmethod = "pad"\nteacher = "openai:x"\n'
    )
    prices = ["teacher.usd_per_million_input=1", "teacher.usd_per_million_output=2", "budget_usd=1"]
    result = CliRunner().invoke(cli, ["estimate", "my.toml", *prices])
    assert result.exit_code == 0, result.output
    assert "generate program" in result.stdout
    assert "Prices: x $1 and $2 a million tokens of prompts and completions (your own prices)" in result.stdout
    assert "The budget of $1.00 suffices" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]


def test_the_ledger_of_a_run_is_on_its_page_and_counts_on(tmp_path: Path) -> None:
    with serving([chat("One more. The answer is 1.", prompt_tokens=10, completion_tokens=20)]) as seen:
        teacher = priced(base_url=seen.url)
        settings: dict[str, Any] = {"train": {"validation": 0}, "budget_usd": Decimal(5)}
        walk(run_of(tmp_path / "run", SingleTask(), teacher, limit=3, **settings))
        run = run_of(tmp_path / "run", SingleTask(), teacher, **settings)
        walk(run)
    ledger = json.loads(run.dir.manifest.read_text())["ledger"]
    assert ledger == {
        "requests": 12,
        "unknown": 0,
        "tokens": 12 * 30,
        "usd": "0.00252",
        "unpriced_tokens": 0,
        "replayed": 3,
        "budget_usd": "5",
        "budget_tokens": None,
    }
    page = run.dir.page.read_text()
    assert "What the teacher cost" in page
    assert "$0.0025" in page


def test_the_answers_of_a_store_are_replayed_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once, exported, and given away: the same configuration, with the export as its teacher, needs nobody."""

    def reply(body: dict[str, Any]) -> Any:
        prompt = body["messages"][-1]["content"]
        return chat(*(f"{len(prompt)} and {i}. The answer is {i}." for i in range(body["n"])))

    run = CliRunner().invoke
    Path(tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = 'task = { name = "wordsums", train = 20, test = 5 }\nmethod = "single-task"\nstudent = "nearest"\n'
    config += "generate = { samples = 3 }\nfilter = { keep = 'parsed' }\n"
    Path("my.toml").write_text(config)
    with serving(reply) as seen:
        asked = ["run", "my.toml", "teacher.name=openai", "teacher.model=m", f'teacher.base_url="{seen.url}"']
        assert run(cli, asked).exit_code == 0
        requests = len(seen.bodies)
    assert run(cli, ["store", "export", "../answers.jsonl"]).stdout == "60 answers are in ../answers.jsonl\n"

    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("UNDERSTUDY_STORE", str(tmp_path / "there" / "none.sqlite"))
    Path("my.toml").write_text(config)
    (tmp_path / "answers.jsonl").rename("answers.jsonl")
    result = run(cli, ["run", "my.toml", "teacher=recorded:answers.jsonl"])
    assert result.exit_code == 0, result.output
    assert requests == len(seen.bodies) == 20
    for name in ("completions/rationale.jsonl", "rationales/rationale.jsonl", "predictions.jsonl"):
        assert (tmp_path / "here/runs/my" / name).read_bytes() == (tmp_path / "there/runs/my" / name).read_bytes()
