from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from doubles import Asks, ByHumans, SelfTaught, Streaming, Sums, Told, TwoRoles, right, run_of
from understudy import jsonl
from understudy.config import Filter, Generate
from understudy.errors import DataError, NothingKeptError, RunError
from understudy.methods import METHODS
from understudy.methods.finetune import Finetune, LabelDistillation
from understudy.methods.pad import Pad
from understudy.methods.single_task import SingleTask
from understudy.methods.step_by_step import StepByStep
from understudy.pipeline import plan, walk
from understudy.procedures import Ask
from understudy.stages.opening import make_run
from understudy.stages.run import Run
from understudy.tasks import TASKS

SOURCE = Path(__file__).parent.parent / "src" / "understudy"


def chain(ask: Ask, sample: int) -> str:
    return f"Add one. The answer is {right(ask, sample)}."


def steps_of(ask: Ask, sample: int) -> str:
    number, answer = ask.key.rsplit("-", 1)[1], right(ask, sample)
    return f"How many are one more than {number}? ** {number} + 1 = {answer}.\nThe answer is {answer}."


def program(ask: Ask, sample: int) -> str:
    number = int(ask.key.rsplit("-", 1)[1])
    return f"def solution():\n    result = {number} + 1\n    return result"


def rows(path: Path) -> list[dict[str, Any]]:
    return list(jsonl.read(path))


def metrics(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a run but those that hold clocks, or digests of them."""
    clocks = {"manifest.json", "report.html", "README.md", "report.json", ".lock", ".holder"}
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in clocks
    }


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        (Asks(), "evaluate report"),
        (Finetune(), "build-student train-student evaluate report"),
        (Pad(), "generate-program filter-program build-student train-student evaluate report"),
        (
            TwoRoles(),
            "generate-steps filter-steps build-asker train-asker build-solver train-solver evaluate report",
        ),
        (
            SelfTaught(),
            "generate-answers filter-answers build-writer train-writer "
            "generate-own filter-own build-pupil train-pupil evaluate report",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_plan_follows_from_the_roles_and_their_sources(method: Any, steps: str) -> None:
    assert [step.name for step in plan(method)] == steps.split()


@pytest.mark.parametrize("name", METHODS.names)
def test_every_method_walks_its_whole_plan(tmp_path: Path, name: str) -> None:
    method = METHODS.find(name)()
    reply = {"pad": program, "pad-refinement": program, "pal": program, "socratic": steps_of}.get(name, chain)
    run = run_of(tmp_path, method, Told.by(reply))
    walk(run)
    assert metrics(run)["n"] == 5
    assert run.dir.page.exists()
    assert all(step.is_done(run) for step in plan(method))


FITTING = [
    (task, method)
    for task in ("wordsums", "kinfolk")
    for method in METHODS.names
    if METHODS.find(method)().refuses(TASKS.find(task)()) is None
]


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize(("task", "method"), FITTING)
def test_every_method_runs_on_the_bundled_tasks(tmp_path: Path, task: str, method: str, votes: int) -> None:
    table = {"task": task, "method": method, "teacher": "scripted", "student": "nearest", "limit": 6}
    run = make_run({**table, "evaluate": {"votes": votes}}, tmp_path, tmp_path / "run")
    walk(run)
    assert metrics(run)["n"] == 6
    assert (metrics(run)["coverage"] is None) == (votes == 1)
    assert run.method.roles() or metrics(run)["correct"] >= 1


def test_a_method_without_a_role_measures_the_teacher(tmp_path: Path) -> None:
    run = run_of(tmp_path, Asks(), Told.by(lambda ask, sample: "1001" if ask.key == "test-1000" else "0"))
    walk(run)
    assert (metrics(run)["correct"], metrics(run)["wrong"]) == (1, 4)


def test_a_role_learns_from_what_an_earlier_role_writes(tmp_path: Path) -> None:
    run = run_of(tmp_path, SelfTaught())
    walk(run)
    own = rows(run.dir.completions("own"))
    assert len(own) == 12
    assert {row["model"] for row in own} == {"nearest"}


def test_a_human_may_write_the_rationales(tmp_path: Path) -> None:
    run = run_of(tmp_path, ByHumans())
    walk(run, until="build")
    assert [row["question"] for row in rows(run.dir.rationales("human"))] == [f"train-{i}" for i in range(1, 12, 2)]
    assert {row["slug"] for row in rows(run.dir.rejected("human"))} == {"failed"}
    assert {row["model"] for row in rows(run.dir.completions("human"))} == {"human"}


def test_answers_that_come_out_of_order_are_put_into_order(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), Streaming(), generate=Generate(concurrency=5))
    walk(run, until="filter")
    assert [row["question"] for row in rows(run.dir.completions("rationale"))] == [f"train-{i}" for i in range(12)]
    assert len(rows(run.dir.rationales("rationale"))) == 12


def test_a_second_walk_does_nothing(tmp_path: Path) -> None:
    teacher = Told.by(chain)
    run = run_of(tmp_path, SingleTask(), teacher)
    walk(run)
    before, asked = files(tmp_path), len(teacher.asked)
    walk(run)
    assert files(tmp_path) == before
    assert len(teacher.asked) == asked


def test_two_runs_of_one_seed_leave_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        walk(run_of(tmp_path / name, SingleTask(), Told.by(chain)))
    assert files(tmp_path / "a") == files(tmp_path / "b")


def redone(run: Run) -> set[str]:
    return {step.name for step in plan(run.method) if not step.is_done(run)}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"evaluate": {"batch_size": 3}}, {"evaluate", "report"}),
        ({"evaluate": {"votes": 3}}, {"evaluate", "report"}),
        ({"train": {"steps": 7}}, {"train-student", "report"}),
        ({"filter": {"keep": "all"}}, {"filter-rationale", "report"}),
        ({"grade": {"tolerance": 0.01}}, {"filter-rationale", "evaluate", "report"}),
        ({"generate": {"concurrency": 3}}, {"report"}),
        ({"generate": {"temperature": 0.1}}, {"generate-rationale", "report"}),
    ],
)
def test_a_change_reruns_what_depends_on_it(tmp_path: Path, settings: dict[str, Any], expected: set[str]) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain)))
    assert redone(run_of(tmp_path, SingleTask(), Told.by(chain), **settings)) == expected


def test_a_change_that_leaves_the_files_as_they_were_stops_there(tmp_path: Path) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain)))
    changed = run_of(tmp_path, SingleTask(), Told.by(chain), filter={"keep": "parsed"})
    walk(changed, until="filter")
    assert redone(changed) == {"report"}  # the same rationales were kept, so nothing after them changes


def test_a_change_and_back_is_not_taken_for_done(tmp_path: Path) -> None:
    walk(run_of(tmp_path, Finetune()))
    walk(run_of(tmp_path, Finetune(), evaluate={"batch_size": 2}), until="evaluate")
    (tmp_path / "marks" / "evaluate.json").unlink()
    assert "evaluate" in redone(run_of(tmp_path, Finetune()))


def test_more_samples_ask_only_for_the_new_ones(tmp_path: Path) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain)), until="generate")
    teacher = Told.by(chain)
    run = run_of(tmp_path, SingleTask(), teacher, generate=Generate(samples=3))
    walk(run, until="generate")
    assert [(ask.first_sample, ask.n) for ask in teacher.asked] == [(1, 2)] * 12
    assert [row["sample"] for row in rows(run.dir.completions("rationale"))] == [0, 1, 2] * 12


def test_more_questions_ask_only_for_the_new_ones(tmp_path: Path) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain), limit=4), until="generate")
    teacher = Told.by(chain)
    walk(run_of(tmp_path, SingleTask(), teacher), until="generate")
    assert [ask.key for ask in teacher.asked] == [f"train-{i}" for i in range(4, 12)]


def test_a_pilot_after_the_whole_run_loses_no_answer(tmp_path: Path) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain)), until="generate")
    walk(run_of(tmp_path, SingleTask(), Told.by(chain), limit=2), until="generate")
    teacher = Told.by(chain)
    run = run_of(tmp_path, SingleTask(), teacher)
    walk(run, until="generate")
    assert teacher.asked == []
    assert len(rows(run.dir.completions("rationale"))) == 12


def test_another_teacher_or_temperature_never_gets_old_answers(tmp_path: Path) -> None:
    walk(run_of(tmp_path, SingleTask(), Told.by(chain)), until="generate")
    for teacher, generate in ((Told.by(chain, version=1), {}), (Told.by(chain), {"temperature": 0.9})):
        walk(run_of(tmp_path, SingleTask(), teacher, generate=Generate(**generate)), until="generate")
        assert len(teacher.asked) == 12


def test_generate_goes_on_after_a_failure(tmp_path: Path) -> None:
    def fails(ask: Ask, sample: int) -> str:
        if ask.key == "train-100":
            raise KeyboardInterrupt
        return chain(ask, sample)

    task = Sums(train=130)
    with pytest.raises(KeyboardInterrupt):
        walk(run_of(tmp_path, SingleTask(), Told.by(fails), task), until="generate")
    teacher = Told.by(chain)
    walk(run_of(tmp_path, SingleTask(), teacher, task), until="generate")
    assert len(teacher.asked) == 66  # the first chunk of 64 was on disk
    undisturbed = run_of(tmp_path / "other", SingleTask(), Told.by(chain), task)
    walk(undisturbed, until="generate")
    there = run_of(tmp_path, SingleTask(), teacher, task).dir.completions("rationale")
    assert there.read_bytes() == undisturbed.dir.completions("rationale").read_bytes()


def test_nothing_is_dropped_without_a_fault(tmp_path: Path) -> None:
    replies = [
        "The answer is 1.",
        "The answer is 99.",
        "no idea",
        "",
        "I'm sorry, as an AI I cannot.",
        "The answer is 1.",
    ]
    teacher = Told.by(lambda ask, sample: replies[sample])
    run = run_of(tmp_path, SingleTask(), teacher, Sums(train=1), generate=Generate(samples=6))
    walk(run, until="filter")
    assert [row["sample"] for row in rows(run.dir.rationales("rationale"))] == [0]
    assert {row["sample"]: row["slug"] for row in rows(run.dir.rejected("rationale"))} == {
        1: "wrong_answer",
        2: "no_answer",
        3: "empty",
        4: "refusal",
        5: "duplicate",
    }
    funnel = json.loads(run.dir.funnel("rationale").read_text())
    assert (funnel["asked"], funnel["right"], funnel["kept"]) == (6, 2, 1)
    assert funnel["asked"] == funnel["kept"] + sum(funnel["faults"].values())


@pytest.mark.parametrize(
    ("keep", "samples"),
    [("right", [0]), ("parsed", [0, 1, 2]), ("agreed", [1, 2]), ("all", [0, 1, 2, 3])],
)
def test_what_is_kept_is_the_sources_word(tmp_path: Path, keep: Any, samples: list[int]) -> None:
    replies = ["a The answer is 1.", "b The answer is 7.", "c The answer is 7.0.", "d no answer here"]
    teacher = Told.by(lambda ask, sample: replies[sample])
    run = run_of(tmp_path, SingleTask(keep=keep), teacher, Sums(train=1), generate=Generate(samples=4))
    walk(run, until="filter")
    assert [row["sample"] for row in rows(run.dir.rationales("rationale"))] == samples


def test_a_label_without_an_answer_is_nothing_to_learn_from_whatever_is_kept(tmp_path: Path) -> None:
    replies = ["1", "It is 1 or 2."]  # in the second, only the lenient reader finds an answer
    teacher = Told.by(lambda ask, sample: replies[sample])
    config = {"generate": Generate(samples=2), "filter": Filter(keep="all")}
    run = run_of(tmp_path, TwoRoles(), teacher, Sums(train=1), **config)
    walk(run, until="filter")
    assert [row["answer"] for row in rows(run.dir.rationales("steps"))] == ["1"]
    assert [row["slug"] for row in rows(run.dir.rejected("steps"))] == ["no_answer"]


def test_the_configuration_may_overrule_what_is_kept(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, sample: "Hm. The answer is 77.")
    run = run_of(tmp_path, SingleTask(), teacher, filter=Filter(keep="parsed"))
    walk(run, until="filter")
    assert len(rows(run.dir.rationales("rationale"))) == 12


@pytest.mark.parametrize(
    ("method", "reply", "source"),
    [
        (Pad(), program, "program"),
        (SingleTask(), chain, "rationale"),
        (StepByStep(labels="teacher", keep="right"), chain, "rationale"),
        (LabelDistillation(keep="right"), chain, "rationale"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_student_learns_from_questions_without_an_answer(
    tmp_path: Path, method: Any, reply: Any, source: str
) -> None:
    run = run_of(tmp_path, method, Told.by(reply), Sums(labelled=False), train={"validation": 0})
    walk(run)
    assert {row["correct"] for row in rows(run.dir.rationales(source))} == {None}
    assert metrics(run)["n"] == 5
    funnel = json.loads(run.dir.funnel(source).read_text())
    assert [funnel[name] for name in ("keep_unlabelled", "unlabelled", "unlabelled_kept")] == ["parsed", 12, 12]
    page = run.dir.page.read_text()
    assert (
        "12 training questions have no gold answer: rationales of theirs that have an answer are learned from" in page
    )
    assert "of 12 completions of questions without a gold answer, kept by the rule &#39;parsed&#39;" in page


def test_a_program_that_does_not_run_teaches_nothing_even_without_a_gold_answer(tmp_path: Path) -> None:
    teacher = Told.by(lambda ask, sample: program(ask, sample) + (" + missing" if ask.key == "train-3" else ""))
    run = run_of(tmp_path, Pad(), teacher, Sums(labelled=False))
    walk(run, until="filter")
    assert [(row["question"], row["slug"]) for row in rows(run.dir.rejected("program"))] == [("train-3", "name_error")]


@pytest.mark.parametrize(
    ("wanted", "kept", "faults"),
    [
        ("parsed", 36, {}),
        ("agreed", 24, {"disagrees": 12}),
        ("drop", 0, {"ungraded": 36}),
    ],
)
def test_the_configuration_says_what_is_kept_without_a_gold_answer(
    tmp_path: Path, wanted: Any, kept: int, faults: dict[str, int]
) -> None:
    teacher = Told.by(lambda ask, sample: f"{sample}. " + (chain(ask, sample) if sample else "The answer is 77."))
    settings = {"generate": Generate(samples=3), "filter": Filter(unlabelled=wanted)}
    run = run_of(tmp_path, SingleTask(), teacher, Sums(labelled=False), **settings)
    walk(run, until="filter")
    funnel = json.loads(run.dir.funnel("rationale").read_text())
    assert (funnel["unlabelled_kept"], funnel["faults"]) == (kept, faults)


def test_one_sample_agrees_with_nobody(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), Told.by(chain), Sums(labelled=False), filter=Filter(unlabelled="agreed"))
    with pytest.raises(NothingKeptError, match=r"disagrees 12.*generate\.samples=3"):
        walk(run)


def test_with_a_gold_answer_a_wrong_rationale_is_still_rejected(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), Told.by(lambda ask, sample: "The answer is 77."))
    with pytest.raises(NothingKeptError, match=r"wrong_answer 12.*filter\.keep=parsed"):
        walk(run)


def test_what_was_dropped_for_want_of_a_gold_answer_is_told_with_the_way_out(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), Told.by(chain), Sums(labelled=False), filter=Filter(unlabelled="drop"))
    with pytest.raises(NothingKeptError, match=r"ungraded 12.*filter\.unlabelled=parsed"):
        walk(run)


def test_gold_labels_that_nobody_has_are_told_before_training(tmp_path: Path) -> None:
    run = run_of(tmp_path, StepByStep(labels="gold"), Told.by(chain), Sums(labelled=False))
    with pytest.raises(NothingKeptError, match="its objective 'label'.*gold answers"):
        walk(run)


def test_examples_that_are_all_held_out_are_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, Finetune(), task=Sums(train=1), train={"validation": 0.999})
    with pytest.raises(NothingKeptError, match="every example for the role 'student'"):
        walk(run)


class Leaking(Sums):
    """Its first training question is a test question in other clothes."""

    def questions(self, split: str) -> Any:
        for question in super().questions(split):
            text = "1000  + 1." if question.id == "train-0" else question.text
            yield type(question)(question.id, text, question.answer)


@pytest.mark.parametrize(("overlap", "learned"), [("drop", 11), ("keep", 12)])
def test_a_training_question_that_is_a_test_question_is_not_learned(tmp_path: Path, overlap: Any, learned: int) -> None:
    run = run_of(tmp_path, Finetune(), task=Leaking(), filter=Filter(overlap=overlap), train={"validation": 0})
    walk(run, until="build")
    assert len(rows(run.dir.examples("student"))) == learned


def test_no_kept_rationale_is_an_error_that_says_where_they_went(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), Told.by(lambda ask, sample: "The answer is 99999."))
    with pytest.raises(NothingKeptError, match=r"no rationale was kept.*rejected/rationale\.jsonl"):
        walk(run)
    assert len(rows(run.dir.rejected("rationale"))) == 12


def test_an_empty_training_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="training split of task 'sums' is empty"):
        walk(run_of(tmp_path, Finetune(), task=Sums(train=0)))


def test_gold_answers_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(NothingKeptError, match="learns from gold answers"):
        walk(run_of(tmp_path, Finetune(), task=Sums(labelled=False)))


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, SingleTask(), Told.by(chain))
    walk(run, until="generate")

    def full(file: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl, "sync", full)
    with pytest.raises(RunError, match=r"no space left on the disk.*give the same command again"):
        walk(run)
    monkeypatch.undo()
    walk(run)
    assert metrics(run)["n"] == 5


def test_held_out_examples_are_not_trained_on(tmp_path: Path) -> None:
    run = run_of(tmp_path, Finetune(), task=Sums(train=200), train={"validation": 0.2})
    walk(run, until="build")
    train = {row["question"] for row in rows(run.dir.examples("student"))}
    valid = {row["question"] for row in rows(run.dir.held_out("student"))}
    assert len(train) + len(valid) == 200
    assert not train & valid
    assert 20 <= len(valid) <= 60


def test_no_stage_and_not_the_pipeline_knows_a_method_or_a_task_by_name() -> None:
    names = [*METHODS.names, "few_shot", "svamp", "wordsums", "scripted", "recorded"]
    for path in [SOURCE / "pipeline.py", SOURCE / "procedures.py", *(SOURCE / "stages").glob("*.py")]:
        tree = ast.parse(path.read_text())
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        words |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        words |= {(node.module or "").rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        words |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        assert not {word.replace("_", "-") for word in words} & {name.replace("_", "-") for name in names}, path
