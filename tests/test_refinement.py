from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from doubles import Programs, Sums, Told, right, run_of
from understudy import jsonl
from understudy.config import Generate
from understudy.formats import Program
from understudy.formats.faults import KINDS, TRIES, Faulty, Kind, candidates, inject
from understudy.formats.program import find_program
from understudy.methods.pad import Pad
from understudy.methods.refinement import PadRefinement, shown
from understudy.pipeline import plan, walk
from understudy.procedures import Ask, Driver
from understudy.records import Completion, Example, Prediction, Question, Rationale
from understudy.sandbox import Sandbox
from understudy.tasks.wordsums import Wordsums
from understudy.teachers.scripted import QueuedTeacher

PUBLISHED = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "svamp_programs" / "train.jsonl.gz"
QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
PROGRAM = "def solution():\n    pens = 12\n    pens = pens + 5\n    result = pens\n    return result"
FIRED = {
    "syntax_error": "SyntaxError: ",
    "undefined_name": "NameError: name ",
    "unbound_local": "UnboundLocalError: ",
    "type_error": "TypeError: ",
    "wrong_operand": "the program returns ",
}


def injected(
    program: str = PROGRAM,
    kinds: Sequence[Kind] = KINDS,
    count: int = 1,
    seeds: Sequence[int] = (0,),
    answer: str = "17",
) -> list[Faulty]:
    """What comes of the program with each of the seeds."""
    rationale = Rationale(program, answer)
    with Sandbox(timeout_s=1.0) as sandbox:
        faulty = (("q", inject(Sums(), QUESTION, rationale, kinds, count, Random(seed))) for seed in seeds)
        return [one for made in Driver({}, sandbox.run).run(faulty) for one in made]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_fires_on_every_program_of_wordsums(kind: Kind) -> None:
    task = Wordsums(train=60)
    asked = [(question, task.solution(question, "program")) for question in task.questions("train")]
    with Sandbox(timeout_s=1.0) as sandbox:
        driver = Driver({}, sandbox.run)
        found = driver.run((q.id, inject(task, q, program, [kind], 1, Random(q.id))) for q, program in asked)
        assert [[one.kind for one in made] for made in found] == [[kind]] * 60
        again = sandbox.run([made[0].program for made in found])
    for (question, program), [faulty], outcome in zip(asked, found, again, strict=True):
        assert faulty.message.startswith(FIRED[kind])
        assert faulty.program != program.text
        assert outcome.status == ("ok" if kind == "wrong_operand" else "error")
        assert kind != "wrong_operand" or not task.grade(task.answer_kind.from_value(outcome.value) or "", question)


@pytest.mark.thorough
@pytest.mark.skipif(not PUBLISHED.exists() and not os.environ.get("CI"), reason="the published programs are not there")
@pytest.mark.parametrize(("kind", "share"), list(zip(KINDS, (1, 1, 1, 0.99, 0.99), strict=True)))
def test_a_fault_fires_on_nearly_every_published_program(kind: Kind, share: float) -> None:
    """Not on all: a number may stand where no type is wrong, as in `int(3)`, and a program may have one operand only."""
    found = [
        (Question(row["id"], row["question"]), find_program(one["text"]))
        for row in jsonl.read(PUBLISHED)
        for one in row["teacher_outputs"]
        if one["style"] == "python_sdp"
    ][:500]
    with Sandbox(timeout_s=0.5) as sandbox:
        driver = Driver({}, sandbox.run)
        read = driver.run((q.id, Program().read(Sums(), q, Completion(program))) for q, program in found)
        ran = [(q, right) for (q, _), right in zip(found, read, strict=True) if isinstance(right, Rationale)]
        made = driver.run((q.id, inject(Sums(), q, right, [kind], 1, Random(q.id))) for q, right in ran)
    assert len(ran) > 490
    assert sum(map(len, made)) >= share * len(ran)
    assert all(faulty.message.startswith(FIRED[kind]) for [faulty] in filter(None, made))


@pytest.mark.parametrize(
    ("kind", "program", "message"),
    [
        (
            "unbound_local",
            "def solution():\n    pens = pens + 5\n    pens = 12\n    result = pens\n    return result",
            "UnboundLocalError: cannot access local variable 'pens' where it is not associated with a value",
        ),
        (
            "type_error",
            'def solution():\n    pens = 12\n    pens = pens + "5"\n    result = pens\n    return result',
            "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        ),
        (
            "wrong_operand",
            "def solution():\n    pens = 12\n    pens = pens + 12\n    result = pens\n    return result",
            "the program returns 24",
        ),
        (
            "undefined_name",
            "def solution():\n    pens = 12\n    pens = total_pens + 5\n    result = pens\n    return result",
            "NameError: name 'total_pens' is not defined",
        ),
        (
            "syntax_error",
            "def solution():\n    pens = 12\n    pens = pens + \n    result = pens\n    return result",
            "SyntaxError: invalid syntax (<program>, line 3)",
        ),
    ],
)
def test_a_fault_as_it_looks(kind: Kind, program: str, message: str) -> None:
    assert Faulty(program, kind, message) in injected(kinds=[kind], seeds=range(40))


def test_a_fault_that_does_not_fire_is_none() -> None:
    unused = "def solution():\n    pens = 12\n    return 17"
    assert injected(unused, ["undefined_name"]) == []  # there is no use of a name to misspell
    assert injected("def solution():\n    return 17", ["unbound_local", "wrong_operand"], 2) == []
    assert injected('def solution():\n    pens = 5\n    return "17"', ["type_error"]) == []  # nobody calculates with it


def test_a_script_has_no_locals_that_could_be_unbound() -> None:
    assert injected("pens = 12\npens = pens + 5\nans = pens", ["unbound_local"]) == []


def test_several_faults_are_of_different_kinds() -> None:
    assert sorted(faulty.kind for faulty in injected(count=9)) == sorted(KINDS)
    assert len({faulty.kind for faulty in injected(count=3)}) == 3


def test_the_same_seed_puts_the_same_faults() -> None:
    assert injected(count=5, seeds=[3]) == injected(count=5, seeds=[3])
    assert injected(count=5, seeds=[3]) != injected(count=5, seeds=[4])


@pytest.mark.parametrize("program", ["", "def (", '"""', "\x00", "no program\n  at all\n here"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_text_has_candidates_or_none(kind: Kind, program: str) -> None:
    assert len(list(candidates(kind, program, Random(0)))) <= TRIES


def test_a_long_program_has_no_more_candidates_than_a_short_one() -> None:
    program = "def solution():\n" + "".join(f"    a{i} = {i} + {i}\n" for i in range(500)) + "    return a1"
    for kind in KINDS:
        assert len(list(candidates(kind, program, Random(0)))) <= TRIES


def lesson(
    method: PadRefinement, kept: Sequence[Rationale], rejected: Sequence[Rationale] = (), question: Question = QUESTION
) -> list[Example]:
    *_, role = method.roles()
    found = {"program": kept, "program.faulty": rejected}
    with Sandbox(timeout_s=1.0) as sandbox:
        [rows] = Driver({}, sandbox.run).run([("q", method.lesson(Sums(), role, question, found))])
    return list(rows)


KEPT = [Rationale(PROGRAM, "17")]
FAILS = Rationale(
    "```python\ndef solution():\n    return pens\n```", None, {"slug": "name_error", "error": "NameError: x"}
)
WRONG = Rationale("def solution():\n    return 12 - 5\n\nQ: Another?", "7", {"slug": "wrong_answer", "error": "read 7"})


def test_plain_rows_stand_beside_repairs() -> None:
    method = PadRefinement(faults=("wrong_operand",))
    plain, repair = lesson(method, KEPT)
    assert plain == Example("q", QUESTION.text, PROGRAM, "program")
    assert (repair.target, repair.objective) == (PROGRAM, "repair")
    first, *rest = repair.prompt.split("\n")
    assert (first, rest[0], rest[-1]) == (QUESTION.text, "# a faulty program:", "# the right program:")
    assert rest[-2].startswith("# the program returns ")


def test_the_weight_of_the_repairs_is_a_term_of_the_loss() -> None:
    [role] = PadRefinement(repair_weight=0.3, training="together").roles()
    assert role.objectives == {"program": 1.0, "repair": 0.3}


def test_repairs_may_be_learned_after_the_programs_as_published() -> None:
    method = PadRefinement()
    assert [step.name for step in plan(method)][:6] == [
        "generate-program",
        "filter-program",
        "build-plain",
        "train-plain",
        "build-student",
        "train-student",
    ]
    plain, student = method.roles()
    assert (plain.objectives, plain.sources[0].faulty) == ({"program": 1.0}, False)
    assert (student.start, student.sources[0].faulty) == ("plain", True)
    [[row]] = Driver({}, Programs()).run([("q", method.lesson(Sums(), plain, QUESTION, {"program": KEPT}))])
    assert row.objective == "program"


def test_the_teachers_faulty_programs_are_repaired_where_another_was_kept() -> None:
    method = PadRefinement(faults=())
    rows = lesson(method, KEPT, [FAILS, WRONG])
    assert rows[1:] == [
        Example("q", shown(QUESTION, "def solution():\n    return pens", "NameError: x"), PROGRAM, "repair"),
        Example("q", shown(QUESTION, "def solution():\n    return 12 - 5", "the program returns 7"), PROGRAM, "repair"),
    ]
    assert lesson(method, [], [FAILS, WRONG]) == []


@pytest.mark.parametrize("slug", ["duplicate", "overlap", "ungraded", "refusal", "unsupported"])
def test_not_everything_rejected_is_a_faulty_program(slug: str) -> None:
    rejected = Rationale(PROGRAM, None, {"slug": slug, "error": ""})
    assert len(lesson(PadRefinement(faults=()), KEPT, [rejected])) == 1


def test_a_rejected_text_without_a_program_is_passed_over() -> None:
    rejected = Rationale("who knows", None, {"slug": "no_program", "error": "who knows"})
    assert len(lesson(PadRefinement(faults=()), KEPT, [rejected])) == 1


def test_faulty_programs_lose_their_docstring_as_the_right_ones_do() -> None:
    program = PROGRAM.replace("\n", '\n    """Mia has pens."""\n', 1)
    rows = lesson(PadRefinement(faults=("type_error",)), [Rationale(program, "17")])
    assert all("Mia has pens" not in row.prompt + row.target for row in rows)


BAD, GOOD = "def solution():\n    return pens", "def solution():\n    return 17"


def answered(replies: Sequence[str | Completion], repairs: int) -> tuple[Prediction, list[Ask]]:
    """What comes of a student that gives `replies` in this order."""
    student = QueuedTeacher(replies)
    with Sandbox(timeout_s=1.0) as sandbox:
        procedure = PadRefinement(repairs=repairs).answer(Sums(), QUESTION)
        [prediction] = Driver({"student": student}, sandbox.run).run([("q", procedure)])
    return prediction, student.asked


def test_a_program_that_runs_is_not_repaired() -> None:
    prediction, asked = answered([GOOD], 2)
    assert (prediction.answer, prediction.texts, len(asked)) == ("17", (GOOD,), 1)


def test_a_program_is_repaired_in_the_second_round() -> None:
    prediction, asked = answered([BAD, "def solution(:", GOOD], 2)
    assert (prediction.answer, prediction.fault) == ("17", "")
    assert prediction.texts == (BAD, "def solution(:", GOOD)
    assert prediction.evidence["status"] == "ok"
    assert prediction.evidence["attempts"] == ["name_error", "syntax_error", "ok"]
    assert asked[1].prompt == shown(QUESTION, BAD, "NameError: name 'pens' is not defined")
    assert asked[2].prompt.startswith(shown(QUESTION, "def solution(:", "SyntaxError: ").partition("SyntaxError")[0])


def test_a_program_that_is_never_repaired_has_its_last_fault() -> None:
    prediction, asked = answered([BAD, BAD, "def solution(:"], 2)
    assert (prediction.answer, prediction.fault, len(asked)) == (None, "syntax_error", 3)
    assert prediction.evidence["attempts"] == ["name_error", "name_error", "syntax_error"]


def test_without_repairs_it_answers_as_pad_does() -> None:
    prediction, asked = answered([BAD], 0)
    assert (prediction.fault, len(asked)) == ("name_error", 1)
    assert asked[0].prompt == QUESTION.text


def test_a_prompt_too_long_to_repair_leaves_the_program_as_it_was() -> None:
    prediction, _ = answered([BAD, Completion("", "failed")], 2)
    assert (prediction.fault, prediction.texts) == ("name_error", (BAD,))


def test_what_a_student_is_shown_to_repair_is_what_it_was_trained_on() -> None:
    _, asked = answered([FAILS.text, GOOD], 1)
    rejected = Rationale(FAILS.text, None, {"slug": "name_error", "error": "NameError: name 'pens' is not defined"})
    assert asked[1].prompt == lesson(PadRefinement(faults=()), KEPT, [rejected])[1].prompt


def replies(ask: Ask, sample: int) -> str:
    fault = "" if sample == 0 else " +"
    return f"def solution():\n    result = {int(right(ask, sample)) - 1} + 1{fault}\n    return result"


def test_a_run_learns_from_what_its_filter_rejected(tmp_path: Path) -> None:
    run = run_of(tmp_path, PadRefinement(), Told.by(replies), generate=Generate(samples=2))
    walk(run)
    rows = [*jsonl.read(run.dir.examples("student")), *jsonl.read(run.dir.held_out("student"))]
    assert [row.get("objective") for row in rows].count("program") == 12
    repairs = [row for row in rows if row["objective"] == "repair"]
    assert len(repairs) == 24  # of each question one fault that was put in, and one of the teacher's
    assert sum("1 +\n" in row["prompt"] and "SyntaxError: invalid syntax" in row["prompt"] for row in repairs) >= 12
    assert json.loads(run.dir.metrics.read_text())["splits"]["test"]["n"] == 5


def test_what_was_rejected_is_an_input_only_of_those_who_learn_from_it(tmp_path: Path) -> None:
    def program(ask: Ask, sample: int) -> str:
        return replies(ask, sample) + ("\n#" if sample else "")

    for method, rebuilt in ((PadRefinement(), True), (Pad(), False)):
        folder = tmp_path / method.name
        built = []
        for teacher in (Told.by(replies), Told.by(program, version=1)):
            run = run_of(folder, method, teacher, generate=Generate(samples=2))
            walk(run, until="build")
            built.append(run.dir.read_mark("build-student"))
        assert (built[0] != built[1]) == rebuilt
