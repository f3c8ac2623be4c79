"""How the teacher is asked: styles, zero-shot, variants by share, and where it is checked and shown."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from doubles import Asks, Streaming, Sums, Told, right, run_of
from endpoint import chat, serving
from understudy import jsonl
from understudy.cli import cli
from understudy.config import Config, Generate, PromptSettings, PromptVariant, parse
from understudy.errors import ConfigError
from understudy.formats import FORMATS, Cot, Label
from understudy.methods.few_shot import FewShotCot
from understudy.methods.single_task import SingleTask
from understudy.pipeline import walk
from understudy.procedures import Ask, deal
from understudy.prompts import Prompter
from understudy.records import Question, Rationale, Sampling
from understudy.stages.opening import make_run
from understudy.stages.run import Run
from understudy.stages.writing import TeacherWriter, writer
from understudy.tasks import TASKS
from understudy.teachers.scripted import asked_format
from understudy.teachers.teacher import messages

QUESTION = Question("q", "What is 2 + 2?", "4")
EXAMPLES = [(Question(f"d{i}", f"What is {i} + 1?"), Rationale(f"{i} + 1 = {i + 1}.", str(i + 1))) for i in range(4)]


def prompted(settings: PromptSettings | None = None, format: Any = None, shown: int = 1, **options: Any) -> Any:
    return Prompter(settings, **options).prompt(Sums(), QUESTION, format or Cot(), EXAMPLES, shown)


def test_by_default_it_is_one_text_as_ever() -> None:
    prompt = prompted()
    assert prompt.text == Cot().prompt(Sums(), QUESTION, EXAMPLES[:1])
    assert prompt.text == "Q: What is 0 + 1?\nA: 0 + 1 = 1. The answer is 1.\n\nQ: What is 2 + 2?\nA:"
    assert prompt.turns == ()


def test_a_chat_has_a_turn_and_a_reply_for_each_example() -> None:
    prompt = prompted(PromptSettings(style="chat"))
    assert prompt.turns == (
        ("system", Cot().instructions(Sums(), QUESTION)),
        ("user", "What is 0 + 1?"),
        ("assistant", "0 + 1 = 1. The answer is 1."),
        ("user", "What is 2 + 2?"),
    )
    assert prompt.text.endswith(prompted().text)


def test_a_system_text_comes_before_all_else() -> None:
    prompt = prompted(PromptSettings(system="Be good."))
    assert prompt.turns == (("system", "Be good."), ("user", prompted().text))
    assert prompt.text == f"Be good.\n\n{prompted().text}"


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("task_name", ["wordsums", "cqa", "esnli", "strategyqa", "gsm8k"])
def test_without_examples_the_instructions_say_the_whole_format(name: str, task_name: str) -> None:
    task = TASKS.find(task_name)()
    question = task.demonstrations("label")[0][0]
    format = FORMATS[name]()
    prompt = format.prompt(task, question, [])
    opening, shown = prompt.split("\n\n", 1)
    assert shown.startswith(f"Q: {question.text}")
    assert {"label": "alone", "cot": task.cue, "program": "solution()", "socratic": "**"}[name] in opening
    assert {"expression": "number", "choice": "choice", "yes_no": "yes or no", "label": "neutral", "number": "number"}[
        task.answer_kind.name
    ] in opening
    assert asked_format(prompt) == name


def test_each_format_reads_what_its_instructions_ask_for() -> None:
    assert "End with a line" in FORMATS["socratic"]().instructions(Sums(), QUESTION)
    assert 'End with "The answer is ..."' in Cot().instructions(Sums(), QUESTION)
    assert "one of: a, b" in Label().instructions(TASKS.find("esnli")(), Question("q", "?", None, ("a", "b")))


def test_messages_hold_one_system_text_and_the_prefix() -> None:
    assert messages(Ask("teacher", "Q", prefix="So"), "S") == [("system", "S"), ("user", "Q"), ("assistant", "So")]
    ask = Ask("teacher", "flat", turns=(("system", "T"), ("user", "Q")))
    assert messages(ask, "S") == [("system", "S\n\nT"), ("user", "Q")]
    assert messages(ask) == [("system", "T"), ("user", "Q")]


def variants(*tables: dict[str, Any], **settings: Any) -> PromptSettings:
    return PromptSettings(variants=tuple(PromptVariant(**table) for table in tables), **settings)


def test_what_a_variant_leaves_out_is_as_in_the_section(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{{ question.text }}!")
    given = variants(
        {"share": 0.5, "demonstrations": 0},
        {"share": 0.3, "style": "chat", "name": "chat"},
        {"share": 0.2, "system": ""},
        template=Path("a.j2"),
        system="Be good.",
    )
    found = Prompter(given, folder=tmp_path).variants
    assert [v.name for v in found] == ["1", "chat", "3"]
    assert [v.template is None for v in found] == [False, True, False]
    assert [v.system for v in found] == ["Be good.", "Be good.", ""]
    assert [v.demonstrations for v in found] == [0, None, None]


def test_shuffled_examples_differ_between_variants_and_stay_the_same() -> None:
    given = variants({"share": 0.5, "order": "shuffled"}, {"share": 0.5, "order": "shuffled", "name": "b"})
    prompter = Prompter(given)
    texts = [
        prompter.prompt(Sums(), QUESTION, Cot(), EXAMPLES, 4, v).text for v in (*prompter.variants, *prompter.variants)
    ]
    assert texts[0] != texts[1]
    assert texts[:2] == texts[2:]


def worked_in(prompt: str) -> set[str]:
    """The worked examples in a prompt."""
    return {question.text for question, _ in EXAMPLES if f"Q: {question.text}\n" in prompt}


@pytest.mark.parametrize("order", ["given", "shuffled"])
def test_the_sets_of_worked_examples_take_turns(order: Any) -> None:
    prompter = Prompter(PromptSettings(sets=2, order=order))
    texts = [prompter.prompt(Sums(), QUESTION, Cot(), EXAMPLES, 2, sample=sample).text for sample in range(5)]
    assert [texts.index(text) for text in texts] == [0, 1, 0, 1, 0]
    assert texts[0] == Prompter(PromptSettings(order=order)).prompt(Sums(), QUESTION, Cot(), EXAMPLES, 2).text
    assert all(len(worked_in(text)) == 2 for text in texts)
    if order == "given":
        assert not worked_in(texts[0]) & worked_in(texts[1])


def test_too_few_worked_examples_for_the_sets_are_told_unless_they_may_be_shared() -> None:
    given = Prompter(PromptSettings(sets=2))
    with pytest.raises(ConfigError, match=f"so many sets of {len(EXAMPLES)} worked examples need {2 * len(EXAMPLES)}"):
        given.prompt(Sums(), QUESTION, Cot(), EXAMPLES, len(EXAMPLES), sample=1)
    mixed = Prompter(PromptSettings(sets=2, order="shuffled"))
    assert mixed.prompt(Sums(), QUESTION, Cot(), EXAMPLES, len(EXAMPLES), sample=1).text


def test_a_set_that_is_too_short_is_told_when_the_run_is_opened(tmp_path: Path) -> None:
    table = {"task": "wordsums", "method": "pad", "teacher": "scripted", "prompt": {"sets": 3}}
    with pytest.raises(ConfigError, match="need 12, and there are 8"):
        make_run(table, tmp_path, tmp_path / "run")
    assert make_run({**table, "generate": {"demonstrations": 2}}, tmp_path, tmp_path / "run")


@given(st.integers(1, 9), st.integers(1, 4))
def test_sample_k_is_asked_with_set_k_mod_sets_and_keeps_its_number(samples: int, sets: int) -> None:
    run = make_run(
        {
            "task": "wordsums",
            "method": "pad",
            "teacher": "scripted",
            "prompt": {"sets": sets},
            "generate": {"samples": samples, "demonstrations": 2},
        },
        Path(),
        Path("nowhere"),
    )
    [source] = run.method.roles()[0].sources
    question = next(run.questions("train"))
    prompts = [
        Prompter(PromptSettings(sets=sets))
        .prompt(run.task, question, source.format, run.task.demonstrations("program"), 2, sample=number)
        .text
        for number in range(sets)
    ]
    asks = [ask for ask in next(TeacherWriter(run, source).write(question, samples)) if isinstance(ask, Ask)]
    numbered = {ask.first_sample + i: ask.prompt for ask in asks for i in range(ask.n)}
    assert numbered == {sample: prompts[sample % sets] for sample in range(samples)}
    assert len(asks) == (1 if sets == 1 else samples)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.lists(st.text(), unique=True, max_size=50))
def test_the_deal_depends_on_nothing_but_the_id(weights: list[int], ids: list[str]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    alone = {id: deal(shares, "x", id) for id in ids}
    assert {id: deal(shares, "x", id) for id in reversed(ids)} == alone
    assert all(0 <= number < len(shares) for number in alone.values())


def test_the_deal_keeps_the_shares_and_moves_as_few_as_it_can() -> None:
    ids = range(4000)
    before, after = ([deal(shares, "x", id) for id in ids] for shares in ([0.7, 0.3], [0.6, 0.4]))
    assert Counter(before)[0] == pytest.approx(2800, abs=120)
    moved = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
    assert set(moved) == {(0, 1)}
    assert len(moved) == pytest.approx(400, abs=80)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"variants": [{"share": 0.5}]}, "the shares add up to 0.5 = 0.5, expected 1"),
        ({"variants": [{"share": 0.5}, {"share": 0.6}]}, "0.5 + 0.6 = 1.1, expected 1"),
        ({"variants": [{"share": 0}]}, "prompt.variants.0.share = 0"),
        ({"variants": [{"share": 1, "stile": "chat"}]}, "unknown key 'prompt.variants.0.stile'; did you mean 'style'?"),
        ({"variants": [{}]}, "prompt.variants.0.share is missing"),
        ({"style": "letter"}, "prompt.style = 'letter'"),
    ],
)
def test_a_mistake_in_the_section_is_told(prompt: dict[str, Any], said: str) -> None:
    _, problems = parse(Config, {"task": "wordsums", "method": "pad", "prompt": prompt})
    assert any(said in problem for problem in problems), problems


# in a run


def chain(ask: Ask, sample: int) -> str:
    return f"Add one. The answer is {right(ask, sample)}."


def test_turns_reach_the_teacher(tmp_path: Path) -> None:
    teacher = Told.by(chain)
    walk(run_of(tmp_path, SingleTask(), teacher, prompt=PromptSettings(style="chat")), until="generate")
    assert {ask.turns[-1] for ask in teacher.asked} == {("user", f"{i} + 1") for i in range(12)}
    assert all(ask.turns[0][0] == "system" for ask in teacher.asked)


def test_the_endpoint_is_sent_the_turns() -> None:
    from test_openai import complete

    ask = Ask(
        "teacher",
        "flat",
        turns=(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c")),
        sampling=Sampling(),
    )
    with serving([chat("x"), chat("x")]) as endpoint:
        complete(endpoint, ask)
    [body] = endpoint.bodies
    assert [(m["role"], m["content"]) for m in body["messages"]] == list(ask.turns)


def asked_again(folder: Path, teacher: Told, **settings: Any) -> set[str]:
    before = len(teacher.asked)
    walk(run_of(folder, SingleTask(), teacher, **settings), until="generate")
    return {ask.key for ask in teacher.asked[before:]}


def test_only_what_a_change_changes_is_asked_again(tmp_path: Path) -> None:
    teacher = Told.by(chain)
    assert len(asked_again(tmp_path, teacher)) == 12
    half = variants({"share": 0.5}, {"share": 0.5, "style": "chat"})
    moved = asked_again(tmp_path, teacher, prompt=half)
    assert 0 < len(moved) < 12
    less = variants({"share": 0.8}, {"share": 0.2, "style": "chat"})
    assert asked_again(tmp_path, teacher, prompt=less) <= moved
    assert asked_again(tmp_path, teacher, prompt=less) == set()


def test_the_funnel_counts_each_variant(tmp_path: Path) -> None:
    given = variants({"share": 0.5}, {"share": 0.5, "style": "chat", "name": "chat"})
    run = run_of(tmp_path, SingleTask(), Told.by(chain), prompt=given)
    walk(run)
    groups = json.loads(run.dir.funnel("rationale").read_text())["groups"]
    assert list(groups) == ["variant 1", "variant chat"]
    assert sum(group["asked"] for group in groups.values()) == 12
    turned = groups["variant chat"]
    assert f"{turned['kept']} of {turned['asked']} by variant chat" in run.dir.page.read_text()


def opened(folder: Path, **table: Any) -> Run:
    config = {"task": {"name": "wordsums", "train": 6, "test": 2}, "method": "single-task", "teacher": "scripted"}
    return make_run({**config, "student": "nearest", **table}, folder, folder / "run")


def texts(run: Run) -> list[str]:
    return [row["text"] for row in jsonl.read(run.dir.completions("rationale"))]


class WorkedSums(Sums):
    """Sums with worked examples."""

    def own_demonstrations(self, format: str) -> list[tuple[Question, Rationale]]:
        return EXAMPLES


def test_the_sets_are_asked_in_a_run_kept_apart_and_counted(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, sample: f"{'One more. ' * (sample + 1)}The answer is {right(ask, sample)}.")
    given = PromptSettings(sets=2, order="shuffled")
    settings = {"generate": Generate(samples=4, demonstrations=2), "prompt": given}
    run = run_of(tmp_path, SingleTask(), teacher, WorkedSums(), **settings)
    walk(run)
    assert len({(ask.key, ask.prompt) for ask in teacher.asked}) == 24
    groups = json.loads(run.dir.funnel("rationale").read_text())["groups"]
    assert {name: group["asked"] for name, group in groups.items()} == {"set 1": 24, "set 2": 24}
    before = len(teacher.asked)
    more = settings | {"generate": Generate(samples=6, demonstrations=2)}
    walk(run_of(tmp_path / "more", SingleTask(), teacher, WorkedSums(), **more), until="generate")
    assert {ask.first_sample for ask in teacher.asked[before:]} == {4, 5}  # the earlier ones were in the store


def test_a_changed_template_asks_again(tmp_path: Path) -> None:
    (tmp_path / "my.j2").write_text("{{ question.text }}")
    [source] = [s for role in opened(tmp_path).method.roles() for s in role.sources]
    table = {"prompt": {"template": "my.j2"}}
    run = opened(tmp_path, **table)
    walk(run, until="generate")
    question = next(run.questions("train"))
    before = writer(run, source)
    assert before.prompt(question) == question.text
    (tmp_path / "my.j2").write_text("Please: {{ question.text }}")
    after = writer(opened(tmp_path, **table), source)
    assert after.identity() != before.identity()
    assert after.prompt(question) == f"Please: {question.text}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "my.j2: cannot be read"),
        ("a\n{% for %}", "my.j2:2: not jinja2"),
        ("a\n{{ nothing }}", "my.j2:2: 'nothing' is undefined"),
        ("{{ ''.__class__ }}", "my.j2:1: not allowed in a template"),
    ],
)
@pytest.mark.parametrize("where", ["section", "variant"])
def test_a_broken_template_is_a_mistake_in_the_configuration(
    tmp_path: Path, text: str | None, said: str, where: str
) -> None:
    if text is not None:
        (tmp_path / "my.j2").write_text(text)
    prompt: Any = {"template": "my.j2"}
    if where == "variant":
        prompt = {"variants": [{"share": 0.99}, {"share": 0.01, "template": "my.j2"}]}
    with pytest.raises(ConfigError) as found:
        opened(tmp_path, prompt=prompt)
    assert said in str(found.value)


def test_the_teacher_alone_asks_as_the_section_says(tmp_path: Path) -> None:
    (tmp_path / "my.j2").write_text("{{ demonstrations | length }} {{ question.text }}")
    run = opened(tmp_path, method={"name": "few-shot-cot", "demonstrations": 3}, prompt={"template": "my.j2"})
    question = next(run.questions("test"))
    [call] = next(run.method.answer(run.task, question))
    assert isinstance(call, Ask)
    assert call.prompt == f"3 {question.text}"
    assert FewShotCot() == FewShotCot()


# shown


SHOWN = """
task = { name = "wordsums", train = 4, test = 2 }
method = "METHOD"
teacher = { name = "openai", model = "big", system = "Be good." }
[generate]
demonstrations = 1
"""


def shown(folder: Path, *words: str, method: str = "pad", more: str = "") -> Result:
    (folder / "my.toml").write_text(SHOWN.replace("METHOD", method) + more)
    return CliRunner().invoke(cli, ["show-prompt", str(folder / "my.toml"), *words])


def test_a_prompt_is_shown_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    result = shown(tmp_path)
    assert result.exit_code == 0, result.output
    run = make_run({"task": {"name": "wordsums", "train": 4, "test": 2}, "method": "pad"}, tmp_path, tmp_path)
    train, test = (next(run.questions(split)) for split in ("train", "test"))
    prompt = FORMATS["program"]().prompt(run.task, train, run.task.demonstrations("program")[:1])
    assert f"[system]\nBe good.\n\n[user]\n{prompt}\n" in result.stdout
    assert "temperature 0.7, top_p 1, at most 512 tokens, 1 sample, no stop" in result.stdout
    assert f"## the student of the role student\n\n[text]\n{test.text}" in result.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "there", "missing"),
    [
        (["--question", "train-2"], "question train-2", "question train-0"),
        (["--question", "test-1"], "question test-1", "question train-0"),
        (["--source", "program"], "# source program", "# answering"),
        (["--format", "program"], "# source program", "# answering"),
        (["prompt.style=chat"], "[assistant]\ndef solution():", "Q: "),
        (["prompt.system=Hello"], "[system]\nBe good.\n\nHello", "[assistant]"),
        (["teacher.dialect=completions"], "[text]\nQ: ", "[user]"),
        (["generate.samples=3"], "3 samples", "1 sample,\n"),
    ],
)
def test_what_is_shown_can_be_chosen(
    tmp_path: Path, words: list[str], there: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = shown(tmp_path, *words)
    assert result.exit_code == 0, result.output
    assert there in result.stdout
    assert missing not in result.stdout


def test_every_variant_is_shown_and_the_question_s_own_is_marked(tmp_path: Path) -> None:
    more = '[[prompt.variants]]\nshare = 0.5\n[[prompt.variants]]\nshare = 0.5\nname = "chat"\nstyle = "chat"\n'
    result = shown(tmp_path, "--source", "program", more=more)
    assert result.stdout.count("## openai:big; variant") == 2
    assert result.stdout.count("50 % of the questions, this one too") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--question", "nobody"], "no question 'nobody' in the splits train, test"),
        (["--source", "cot"], "pad has no source or format 'cot'; there are: program"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, words: list[str], said: str) -> None:
    result = shown(tmp_path, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_method_without_a_student_is_shown_too(tmp_path: Path) -> None:
    result = shown(tmp_path, method="few-shot-cot")
    assert "# answering the test question test-0" in result.stdout
    assert "[user]\nQ: " in result.stdout
    assert json.dumps(result.stdout).count("## openai:big") == 1


def test_every_kind_of_writer_is_shown(tmp_path: Path) -> None:
    from doubles import ByHumans, SelfTaught
    from understudy.stages.showing import show_prompts

    assert "written by humans: nobody is asked" in "\n".join(show_prompts(run_of(tmp_path, ByHumans())))
    text = "\n".join(show_prompts(run_of(tmp_path, SelfTaught(), Streaming())))
    assert "## the student of the role writer" in text
    assert "## the student of the role pupil\n[text]\n1000 + 1" in text
    assert "## the teacher\n[text]\n1000 + 1" in "\n".join(show_prompts(run_of(tmp_path, Asks())))


def test_every_set_that_is_asked_for_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = shown(tmp_path, "prompt.sets=3", "generate.samples=2")
    assert result.exit_code == 0, result.output
    titles = [line for line in result.stdout.split("\n") if line.startswith("## openai")]
    assert [title.partition("; ")[2] for title in titles] == [f"set {n} of 2 of the worked examples" for n in (1, 2)]
