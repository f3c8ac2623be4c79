"""Socratic CoT: the examples of every role by hand, and answering by doubles that know them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles import Sums, Told, run_of
from understudy.methods.socratic import DONE, SocraticCot, calculation
from understudy.pipeline import plan, walk
from understudy.procedures import Ask, Driver
from understudy.records import Example, Prediction, Question, Rationale
from understudy.sandbox import Sandbox
from understudy.stages.dry_run import dry_run
from understudy.tasks import TASKS, Task
from understudy.tasks.kinfolk import Kinfolk
from understudy.tasks.wordsums import Wordsums

TEXT = "Mia has 12 pens, buys 5 and loses 4. How many has she?"
QUESTION = Question("q", TEXT, "13")
CHAIN = Rationale("After buying? ** 12 + 5 = 17.\nAt last? ** 17 - 4 = 13.", "13")
FIRST, SECOND = "After buying? ** 12 + 5 = 17.", "At last? ** 17 - 4 = 13. The answer is 13."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=1.0) as opened:
        yield opened


OPTIONS: list[dict[str, Any]] = [
    {"mode": mode, "weights": weights, "guidance": guidance, "guide": guide, "solver": solver, "stop": stop}
    for mode, weights, guidance, guide, solver, stop in itertools.product(
        ("iterative", "at-once", "unified"),
        ("separate", "shared"),
        ("none", "operators", "equations"),
        ("predicted", "gold-upper-bound"),
        ("text", "program"),
        ("decomposer", "solver"),
    )
    if not (guidance == "none" and guide != "predicted")
    and not (solver == "program" and (mode == "unified" or stop == "solver"))
    and not (mode == "unified" and (weights == "shared" or stop == "solver"))
]


def learned(method: SocraticCot, *found: Rationale) -> dict[str, list[tuple[str, str, str]]]:
    """(prompt, target, objective) of every example, by role."""
    rationales = {"steps": found or [CHAIN]}
    return {
        role.name: [(e.prompt, e.target, e.objective) for e in method.examples(Sums(), role, QUESTION, rationales)]
        for role in method.roles()
    }


def answered(method: SocraticCot, said: Mapping[str, Sequence[str]]) -> tuple[Prediction, list[Ask]]:
    """What a method answers whose roles say these texts, in order, and what they were asked."""
    texts = {role: iter(those) for role, those in said.items()}
    who = Told.by(lambda ask, sample: next(texts[ask.role]))
    with Sandbox(timeout_s=1.0) as sandbox:
        driver = Driver(dict.fromkeys(said, who), sandbox.run)
        [prediction] = driver.run([("q", method.answer(Sums(), QUESTION))])
    return prediction, who.asked


ASKED = [
    (f"ask: {TEXT}", "After buying?", "ask"),
    (f"ask: {TEXT}\n{FIRST}", "At last?", "ask"),
    (f"ask: {TEXT}\n{FIRST}\n{SECOND}", DONE, "ask"),
]
SOLVED = [
    (f"solve: {TEXT}\nAfter buying?", "12 + 5 = 17.", "solve"),
    (f"solve: {TEXT}\n{FIRST}\nAt last?", "17 - 4 = 13. The answer is 13.", "solve"),
]


def test_decomposer_and_solver_learn_one_step_given_the_earlier_ones() -> None:
    assert learned(SocraticCot()) == {"decomposer": ASKED, "solver": SOLVED}


def test_shared_weights_are_one_student_with_both_tasks_and_the_sum_of_both_losses() -> None:
    method = SocraticCot(weights="shared")
    assert learned(method) == {"student": ASKED + SOLVED}
    assert method.roles()[0].objectives == {"ask": 1.0, "solve": 1.0}


def test_at_once_the_decomposer_writes_all_sub_questions() -> None:
    both = [(f"ask: {TEXT}", "After buying?\nAt last?", "ask")]
    assert learned(SocraticCot(mode="at-once")) == {"decomposer": both, "solver": SOLVED}


def test_unified_one_student_writes_all() -> None:
    whole = [(TEXT, f"{CHAIN.text}\nThe answer is 13.", "steps")]
    assert learned(SocraticCot(mode="unified")) == {"student": whole}


def test_the_solver_may_end_it_and_then_the_decomposer_learns_no_end() -> None:
    assert learned(SocraticCot(stop="solver")) == {"decomposer": ASKED[:2], "solver": SOLVED}


@pytest.mark.parametrize(("guidance", "shown"), [("equations", "12 + 5; 17 - 4"), ("operators", "+; -")])
def test_a_planner_learns_the_guidance_that_the_decomposer_is_shown(guidance: Any, shown: str) -> None:
    found = learned(SocraticCot(guidance=guidance))
    assert list(found) == ["planner", "decomposer", "solver"]
    assert found["planner"] == [(f"plan: {TEXT}", shown, "plan")]
    assert found["decomposer"][1] == (f"ask: {TEXT}\nPlan: {shown}\n{FIRST}", "At last?", "ask")
    assert found["solver"] == SOLVED


def test_gold_guidance_needs_no_planner() -> None:
    found = learned(SocraticCot(guidance="equations", guide="gold-upper-bound"))
    assert list(found) == ["decomposer", "solver"]
    assert found["decomposer"][0][0] == f"ask: {TEXT}\nPlan: 12 + 5; 17 - 4"


def test_a_solver_may_write_a_program_for_every_step() -> None:
    found = learned(SocraticCot(solver="program"))
    assert found["solver"] == [
        (f"solve: {TEXT}\nAfter buying?", "result = 12 + 5", "solve"),
        (f"solve: {TEXT}\nAfter buying? ** 12 + 5 = 17\nAt last?", "result = 17 - 4", "solve"),
    ]


@pytest.mark.parametrize(
    "chain",
    ["After buying? ** She has more.\nAt last? ** 17 - 4 = 13.", "After buying? ** 12 + 5 = 17."],
    ids=["a step without a calculation", "another value than the answer"],
)
def test_a_chain_that_programs_cannot_follow_teaches_them_nothing(chain: str) -> None:
    assert learned(SocraticCot(solver="program"), Rationale(chain, "13")) == {"decomposer": [], "solver": []}
    assert learned(SocraticCot(), Rationale(chain, "13"))["solver"]


@pytest.mark.parametrize(
    ("solution", "found"),
    [
        ("Tom has 46 - 11 = 35 balls.", "46 - 11"),
        ("Natalia sold 48/2 = <<48/2=24>>24 clips.", "48 / 2"),
        ("She earned 0.2 x 50 = $10.", "0.2 * 50"),
        ("That is 1,000 * 3 = 3,000 in all.", "1000 * 3"),
        ("So 2 * 3 = 6, and 6 + 1 = 7.", "6 + 1"),
        ("About 10 / 3 = 3.33 each.", "10 / 3"),
        ("First (2 + 3) * 4 = 20.", "( 2 + 3 ) * 4"),
        ("Tom has 46 - 11 = 34 balls.", None),
        ("There are 7 jars.", None),
        ("So x = 7.", None),
        ("9 ** 9 ** 9 = 1", None),
        ("1 / 0 = 1", None),
    ],
)
def test_the_calculation_of_a_solution(solution: str, found: str | None) -> None:
    assert calculation(solution) == found


def test_a_long_solution_is_read_at_once() -> None:
    assert calculation("1" * 20_000 + " = ") is None
    assert calculation("( " * 20_000) is None


def test_it_asks_and_solves_until_the_decomposer_is_done() -> None:
    said = {
        "decomposer": ["After buying?", "At last?", DONE],
        "solver": ["12 + 5 = 17.", "17 - 4 = 13. The answer is 13."],
    }
    prediction, asks = answered(SocraticCot(), said)
    assert prediction.answer == "13"
    assert prediction.evidence["steps"] == [
        ("After buying?", "12 + 5 = 17."),
        ("At last?", "17 - 4 = 13. The answer is 13."),
    ]
    assert prediction.evidence["ended"] == "decomposer"
    prompts = [prompt for prompt, _, _ in (ASKED[0], SOLVED[0], ASKED[1], SOLVED[1], ASKED[2])]
    assert [ask.prompt for ask in asks] == prompts
    assert len(prediction.texts) == 5


def test_a_decomposer_without_end_is_cut_at_the_cap() -> None:
    said = {"decomposer": ["More?"] * 3, "solver": ["1.", "2.", "3. The answer is 3."]}
    prediction, asks = answered(SocraticCot(max_steps=3), said)
    assert (prediction.answer, prediction.evidence["ended"], len(asks)) == ("3", "cap", 6)


def test_the_solver_may_end_it_by_the_answer() -> None:
    said = {"decomposer": ["After buying?", "At last?"], "solver": ["12 + 5 = 17.", "The answer is 13."]}
    prediction, asks = answered(SocraticCot(stop="solver"), said)
    assert (prediction.answer, prediction.evidence["ended"], len(asks)) == ("13", "solver", 4)


def test_a_last_solution_without_the_answer_is_no_answer() -> None:
    prediction, _ = answered(SocraticCot(), {"decomposer": ["At last?", DONE], "solver": ["17 - 4 = 13."]})
    assert (prediction.answer, prediction.fault, prediction.evidence["lenient"]) == (None, "no_answer", "13")


def test_a_decomposer_that_asks_nothing_leaves_no_answer() -> None:
    prediction, _ = answered(SocraticCot(), {"decomposer": [DONE], "solver": []})
    assert (prediction.answer, prediction.fault, prediction.evidence["steps"]) == (None, "empty", [])


def test_the_interpreter_solves_the_programs_of_the_steps() -> None:
    said = {"decomposer": ["After buying?", "At last?", DONE], "solver": ["result = 12 + 5", "result = 17 - 4"]}
    prediction, asks = answered(SocraticCot(solver="program"), said)
    assert (prediction.answer, prediction.evidence["status"]) == ("13", "ok")
    assert asks[-1].prompt == f"ask: {TEXT}\nAfter buying? ** 12 + 5 = 17\nAt last? ** 17 - 4 = 13"


def test_a_program_that_fails_ends_the_chain_with_its_fault() -> None:
    said = {"decomposer": ["After buying?", "At last?"], "solver": ["result = 12 + 5", "result = pens"]}
    prediction, _ = answered(SocraticCot(solver="program"), said)
    assert (prediction.answer, prediction.fault, prediction.evidence["ended"]) == (None, "name_error", "fault")
    assert prediction.evidence["steps"] == [("After buying?", "12 + 5 = 17")]


@pytest.mark.parametrize(
    ("options", "task", "reason"),
    [
        ({"steps": "human"}, "svamp", "come with the task; svamp has none"),
        ({"guidance": "operators", "guide": "gold-upper-bound"}, "svamp", "come with the task; svamp has none"),
        ({"guidance": "equations"}, "kinfolk", "lead to no number"),
        ({"solver": "program"}, "strategyqa", "lead to no number"),
        ({"steps": "human"}, "strategyqa", None),
        ({"steps": "human", "solver": "program", "guidance": "equations"}, "gsm8k", None),
        ({"guidance": "operators"}, "svamp", None),
        ({}, "cqa", None),
    ],
)
def test_a_task_without_the_steps_it_needs_is_refused(options: Any, task: str, reason: str | None) -> None:
    found = SocraticCot(**options).refuses(TASKS.find(task)())
    assert found is None if reason is None else reason in (found or "")


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "unified", "solver": "program"},
        {"stop": "solver", "solver": "program"},
        {"guide": "gold-upper-bound"},
        {"max_steps": 0},
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"needs|cannot be|greater than"):
        SocraticCot(**options)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, "build-decomposer train-decomposer build-solver train-solver"),
        ({"weights": "shared"}, "build-student train-student"),
        ({"mode": "unified", "guidance": "operators"}, "build-planner train-planner build-student train-student"),
    ],
)
def test_the_steps_are_written_once_for_all_roles(options: Any, steps: str) -> None:
    names = [step.name for step in plan(SocraticCot(**options))]
    assert names == ["generate-steps", "filter-steps", *steps.split(), "evaluate", "report"]


def perfect(method: SocraticCot, task: Task, questions: Sequence[Question]) -> dict[str, Told]:
    """Students that know every example of these questions, and nothing else."""

    def knowing(examples: list[Example]) -> Told:
        known = {example.prompt: example.target for example in examples}
        return Told.by(lambda ask, sample: known[ask.prompt])

    return {
        role.name: knowing(
            [
                example
                for question in questions
                for example in method.examples(task, role, question, {"steps": [task.human(question, "socratic")]})  # type: ignore[list-item]
            ]
        )
        for role in method.roles()
    }


@pytest.mark.parametrize("task", [Wordsums(), Wordsums(answer="expression"), Kinfolk()], ids=["sums", "terms", "kin"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options.values()))
def test_perfect_students_are_asked_as_they_were_trained_and_answer_all_right(
    options: Any, task: Task, sandbox: Sandbox
) -> None:
    method = SocraticCot(steps="human", **options)
    questions = list(itertools.islice(task.questions(task.splits[-1]), 12))
    if method.refuses(task):
        assert task.name == "kinfolk"
        return
    driver = Driver(perfect(method, task, questions), sandbox.run)
    found = driver.run((question.id, method.answer(task, question)) for question in questions)
    assert all(task.grade(p.answer or "", q) for p, q in zip(found, questions, strict=True))


@pytest.mark.parametrize("name", ["wordsums", "kinfolk", "gsm8k", "strategyqa"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options.values()))
def test_every_option_runs_dry_or_gives_its_reason(options: Any, name: str) -> None:
    task, method = TASKS.find(name)(), SocraticCot(steps="human", **options)
    question = task.demonstrations("socratic")[0][0]
    rehearsal = dry_run(task, method, question)
    if rehearsal.reason:
        assert name in ("kinfolk", "strategyqa")
    else:
        assert {e.objective for e in rehearsal.examples} == {o for role in method.roles() for o in role.objectives}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "options"),
    [
        (Wordsums(train=12, test=4), {"guidance": "operators"}),
        (Wordsums(train=12, test=4), {"mode": "at-once", "solver": "program"}),
        (Kinfolk(train=12, test=4), {"weights": "shared"}),
        (Kinfolk(train=12, test=4), {"mode": "unified"}),
    ],
    ids=["sums guided", "sums programs", "kin shared", "kin unified"],
)
def test_it_is_trained_and_evaluated_by_the_pipeline(tmp_path: Path, task: Task, options: Any) -> None:
    method = SocraticCot(steps="human", max_steps=2, **options)
    run = run_of(
        tmp_path,
        method,
        task=task,
        student="scratch:gpt2-tiny",
        train={"steps": 4, "batch_size": 8, "eval_every": 4},
        evaluate={"max_tokens": 12},
    )
    walk(run)
    metrics = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    assert metrics["n"] == 4
    for role in method.roles():
        assert json.loads(run.dir.summary(role.name).read_text())["steps"] == 4
    verdicts = [json.loads(line) for line in run.dir.predictions.read_text().splitlines()]
    assert all("steps" in verdict["evidence"] for verdict in verdicts)


def test_the_nearest_student_walks_the_whole_plan_with_the_teachers_steps(tmp_path: Path) -> None:
    def steps(ask: Ask, sample: int) -> str:
        number = int(ask.key.rsplit("-", 1)[1])
        right = number + 1 if number % 3 else 0
        return f"What is one more than {number}? ** {number} + 1 = {number + 1}.\nThe answer is {right}."

    run = run_of(tmp_path, SocraticCot(guidance="equations"), Told.by(steps))
    walk(run)
    funnel = json.loads(run.dir.funnel("steps").read_text())
    assert (funnel["kept"], funnel["faults"]) == (8, {"wrong_answer": 4})  # only chains that reach the gold answer
    assert run.dir.page.exists()
