"""`teachers/scripted.py`: exact answers, every fault as it is named, the same text for the same seed; the queued double."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from doubles import Sums
from understudy import jsonl
from understudy.answers import KINDS
from understudy.errors import TeacherError
from understudy.formats.socratic import INSTRUCTION
from understudy.pipeline import walk
from understudy.procedures import Ask, Completer
from understudy.records import Completion, Sampling
from understudy.stages.opening import make_run
from understudy.tasks.wordsums import Wordsums
from understudy.teachers.scripted import _REFUSAL, QueuedTeacher, ScriptedTeacher, asked_format

TASK = Wordsums(train=40, test=40)
QUESTIONS = list(TASK.questions("test"))
PROMPTS = {
    "program": "Q: {}\n# solution in Python:\n",
    "cot": "Q: {}\nA:",
    "socratic": f"{INSTRUCTION}\n\nQ: {{}}\nA:",
    "label": "Answer with the answer alone.\n\nQ: {}\nA:",
}
RIGHT: Mapping[str, float] = dict.fromkeys(ScriptedTeacher().shares, 0.0)


def teacher(**shares: Any) -> ScriptedTeacher:
    return ScriptedTeacher.model_validate({**RIGHT, **shares})


def told(who: ScriptedTeacher, format: str, task: Wordsums = TASK, **ask: Any) -> list[Completion]:
    """One completion for every test question."""
    asks = [
        Ask("teacher", PROMPTS[format].format(q.text), key=q.id, **{"seed": 7, **ask}) for q in task.questions("test")
    ]
    with who.open(task) as live:
        assert isinstance(live, Completer)
        return [completion for [completion] in live.complete(asks)]


def value_of(program: str) -> object:
    names: dict[str, Any] = {}
    exec(program, names)  # our own programs, not a model's
    return names["solution"]()


@pytest.mark.parametrize(("format", "prompt"), PROMPTS.items())
def test_the_prompt_says_which_format_is_asked_for(format: str, prompt: str) -> None:
    assert asked_format(prompt.format("How many?")) == format


def test_a_program_demonstration_before_a_chain_of_thought_does_not_mislead() -> None:
    assert asked_format("Q: a\n# solution in Python:\ndef solution(): ...\n\nQ: b\nA:") == "cot"


def test_without_faults_every_socratic_rationale_is_the_tasks_own() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(), "socratic"), strict=True):
        solved = TASK.solution(question, "socratic")
        assert completion.text == f"{solved.text}\nThe answer is {question.answer}."


def test_without_faults_every_program_is_right() -> None:
    assert [str(value_of(c.text)).removesuffix(".0") for c in told(teacher(), "program")] == [
        q.answer for q in QUESTIONS
    ]


def test_without_faults_every_chain_of_thought_states_the_answer_after_the_cue() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(), "cot"), strict=True):
        reasoning, _, answer = completion.text.partition(f" {TASK.cue} ")
        assert answer == f"{question.answer}."
        assert KINDS["number"].find(reasoning) == question.answer


def test_without_faults_every_label_is_the_answer_alone() -> None:
    assert [c.text for c in told(teacher(), "label")] == [q.answer for q in QUESTIONS]


def test_an_expression_is_stated_in_brackets() -> None:
    task = Wordsums(train=1, test=10, answer="expression")
    for question, completion in zip(task.questions("test"), told(teacher(), "cot", task), strict=True):
        assert completion.text.endswith(f" The answer is ( {question.answer} ).")


def test_zero_shots_second_ask_is_answered_by_the_answer_alone() -> None:
    asked = "Q: {}\nA: Let's think step by step. So many. The answer is 12.\nTherefore, the answer (arabic numerals) is"
    with teacher(wrong_label=1).open(TASK) as live:
        assert isinstance(live, Completer)
        for number, question in enumerate(QUESTIONS):
            prompts = [
                asked,
                asked.replace("The answer is 12.", "That was cut"),
                asked.replace("So many. The answer is 12.", _REFUSAL),
            ]
            found = live.complete([Ask("teacher", prompt.format(number), key=question.id) for prompt in prompts])
            assert [one.text for [one] in found] == ["12.", f"{question.answer}.", _REFUSAL]


def test_zero_shot_on_the_scripted_teacher_is_right(tmp_path: Path) -> None:
    table: dict[str, Any] = {"method": "zero-shot-cot", "teacher": {"name": "scripted", **RIGHT}}
    table["task"] = {"name": "wordsums", "train": 1, "test": 10}
    run = make_run(table, tmp_path, tmp_path / "run")
    walk(run)
    rows = list(jsonl.read(run.dir.predictions))
    assert [row["result"] for row in rows] == ["correct"] * 10
    assert {text.count("The answer is") for row in rows for text in row["texts"]} == {1}  # once, in the chain


def test_the_format_can_be_fixed() -> None:
    assert told(teacher(format="label"), "program")[0].text == QUESTIONS[0].answer


def test_a_syntax_error_does_not_parse() -> None:
    for completion in told(teacher(syntax_error=1), "program"):
        with pytest.raises(SyntaxError):
            ast.parse(completion.text)


def test_a_name_error_parses_and_fails_when_it_runs() -> None:
    for completion in told(teacher(name_error=1), "program"):
        with pytest.raises(NameError):
            value_of(completion.text)


def test_a_wrong_operand_runs_and_gives_another_value() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(wrong_operand=1), "program"), strict=True):
        assert not TASK.grade(str(value_of(completion.text)), question)


def test_a_wrong_operand_in_a_chain_of_thought_leads_to_the_wrong_answer_that_it_states() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(wrong_operand=1), "cot"), strict=True):
        reasoning, _, answer = completion.text.partition(f" {TASK.cue} ")
        assert answer == f"{KINDS['number'].find(reasoning)}."
        assert not TASK.grade(answer, question)


@pytest.mark.parametrize("format", ["program", "cot"])
def test_a_lucky_rationale_is_wrong_and_reaches_the_right_answer(format: str) -> None:
    pairs = zip(QUESTIONS, told(teacher(lucky=1), format), told(teacher(), format), strict=True)
    differing = 0
    for question, lucky, exact in pairs:
        found = str(value_of(lucky.text)) if format == "program" else lucky.text.partition(f"{TASK.cue} ")[2]
        assert TASK.grade(found, question)
        differing += lucky.text != exact.text
    assert differing >= 0.9 * len(QUESTIONS)


def test_an_endless_loop_stands_before_the_return() -> None:
    for completion in told(teacher(endless_loop=1), "program"):
        function = ast.parse(completion.text).body[0]
        assert isinstance(function, ast.FunctionDef)
        assert ast.unparse(function.body[-2]) == "while True:\n    pass"


@pytest.mark.parametrize("format", PROMPTS)
def test_a_refusal_holds_no_answer(format: str) -> None:
    assert {c.text for c in told(teacher(refusal=1), format)} == {"I am sorry, but I cannot help with this question."}


def test_prose_stands_round_the_fence_of_a_right_program() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(prose=1), "program"), strict=True):
        before, program, after = completion.text.split("```")
        assert before.strip()
        assert after.strip()
        assert TASK.grade(str(value_of(program.removeprefix("python\n"))), question)


@pytest.mark.parametrize("format", PROMPTS)
def test_a_run_on_begins_another_question_after_the_right_text(format: str) -> None:
    for right, longer in zip(told(teacher(), format), told(teacher(run_on=1), format), strict=True):
        assert longer.text.startswith(right.text + "\n\nQ: ")


def test_a_stop_text_ends_the_run_on() -> None:
    assert told(teacher(run_on=1), "cot", stop=("\n\nQ:",)) == told(teacher(), "cot")


@pytest.mark.parametrize("format", ["program", "cot"])
def test_a_truncated_text_is_a_beginning_and_says_so(format: str) -> None:
    for right, cut in zip(told(teacher(), format), told(teacher(truncated=1), format), strict=True):
        assert cut.finish == "length"
        assert right.text.startswith(cut.text)
        assert 0 < len(cut.text) < len(right.text)


def test_a_wrong_label_follows_a_right_chain_of_thought() -> None:
    for question, completion in zip(QUESTIONS, told(teacher(wrong_label=1), "cot"), strict=True):
        reasoning, _, answer = completion.text.partition(f" {TASK.cue} ")
        assert KINDS["number"].find(reasoning) == question.answer
        assert not TASK.grade(answer, question)


def test_a_wrong_label_alone_is_wrong() -> None:
    assert not any(TASK.grade(c.text, q) for c, q in zip(told(teacher(wrong_label=1), "label"), QUESTIONS, strict=True))


@pytest.mark.parametrize("fault", ["syntax_error", "name_error", "endless_loop", "prose", "wrong_operand", "truncated"])
def test_a_fault_that_a_label_cannot_have_leaves_it_right(fault: str) -> None:
    assert told(teacher(**{fault: 1}), "label") == told(teacher(), "label")


def test_the_same_seed_gives_the_same_texts_and_another_seed_others() -> None:
    mixed = teacher(wrong_operand=0.5)
    assert told(mixed, "program") == told(mixed, "program")
    assert told(mixed, "program") != told(mixed, "program", seed=8)


def test_sample_two_is_the_same_whether_asked_for_alone_or_with_others() -> None:
    prompt = PROMPTS["program"].format(QUESTIONS[0].text)
    with teacher(wrong_operand=0.5).open(TASK) as live:
        assert isinstance(live, Completer)
        [together] = live.complete([Ask("teacher", prompt, n=8, seed=7, key=QUESTIONS[0].id)])
        [[alone]] = live.complete([Ask("teacher", prompt, seed=7, first_sample=2, key=QUESTIONS[0].id)])
    assert together[2] == alone
    assert len({completion.text for completion in together}) > 1


def test_the_share_of_a_fault_is_about_what_was_asked_for() -> None:
    with teacher(refusal=0.25).open(TASK) as live:
        assert isinstance(live, Completer)
        [completions] = live.complete([Ask("teacher", PROMPTS["cot"], n=800, seed=1, key=QUESTIONS[0].id)])
    assert 0.2 < sum(c.text.startswith("I am sorry") for c in completions) / 800 < 0.3


def test_a_prefix_is_not_repeated() -> None:
    [whole, rest] = (told(teacher(), "program", prefix=prefix)[0].text for prefix in ("", "def solution():\n"))
    assert whole == "def solution():\n" + rest


def test_max_tokens_cuts_and_counts_words() -> None:
    [long, short] = (told(teacher(), "cot", sampling=Sampling(max_tokens=n))[0] for n in (256, 4))
    assert (short.finish, short.completion_tokens, len(short.text.split())) == ("length", 4, 4)
    assert (long.finish, long.completion_tokens) == ("stop", len(long.text.split()))


def test_a_task_without_solutions_is_refused_with_the_next_step() -> None:
    with pytest.raises(TeacherError, match=r"'sums' does not\. Set task = \"wordsums\""), teacher().open(Sums()):
        pass


def test_a_question_of_another_task_is_refused() -> None:
    with teacher().open(TASK) as live, pytest.raises(TeacherError, match="'q1', which is no question of 'wordsums'"):
        assert isinstance(live, Completer)
        live.complete([Ask("teacher", "Q: ?\nA:", key="q1")])


def test_shares_beyond_one_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1\.20"):
        teacher(refusal=0.6, prose=0.6)


def test_the_identity_follows_the_shares() -> None:
    assert teacher().identity() == teacher().identity() != teacher(refusal=0.1).identity()


def test_every_share_is_named_in_the_note() -> None:
    assert "refusal 0.1" in teacher(refusal=0.1).note()
    assert "refusal" not in teacher(prose=0.1).note()


def test_queued_texts_come_in_order_and_the_asks_are_kept() -> None:
    live = QueuedTeacher(["... 18", "... 3", Completion("", finish="failed", error="busy")])
    first, second = Ask("teacher", "a", n=2), Ask("teacher", "b")
    assert [[c.text for c in row] for row in live.complete([first, second])] == [["... 18", "... 3"], [""]]
    assert live.asked == [first, second]


def test_queued_texts_by_key_do_not_depend_on_the_order() -> None:
    live = QueuedTeacher({"q1": ["one"], "q2": ["two"]})
    [[two], [one]] = live.complete([Ask("teacher", "b", key="q2"), Ask("teacher", "a", key="q1")])
    assert (one.text, two.text) == ("one", "two")


@pytest.mark.parametrize("live", [QueuedTeacher([]), QueuedTeacher({"q1": ["one"]})])
def test_an_empty_queue_says_who_asked(live: QueuedTeacher) -> None:
    with pytest.raises(TeacherError, match="'how many' asks for one more"):
        live.complete([Ask("teacher", "how many", key="q2")])


def test_the_queued_teacher_is_a_completer() -> None:
    assert isinstance(QueuedTeacher([]), Completer)
