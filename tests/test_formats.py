from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles import OfKind, Sums
from understudy.formats import FORMATS, Cot, Format, Label, Program, Socratic
from understudy.formats.program import find_program, strip
from understudy.formats.socratic import steps
from understudy.procedures import Driver
from understudy.records import Completion, Fault, Question, Rationale
from understudy.sandbox import Sandbox
from understudy.tasks import Task
from understudy.tasks.anli import Anli
from understudy.tasks.cqa import Cqa
from understudy.tasks.esnli import Esnli
from understudy.tasks.nli import LABELS

QUESTION = Question("q", "Mia has 12 pens and buys 5 more. How many has she?", "17")
STEPS = "How many at first? ** 12.\nHow many then? ** 12 + 5 = 17."
PROGRAM = "def solution():\n    pens = 12\n    result = pens + 5\n    return result"


def read(format: Format, text: str, finish: str = "stop", error: str = "") -> Rationale | Fault:
    completion = Completion(text, finish, error=error)  # type: ignore[arg-type]
    with Sandbox(timeout_s=1.0) as sandbox:
        [found] = Driver({}, sandbox.run).run([("q", format.read(Sums(), QUESTION, completion))])
    return found


def slug(format: Format, text: str, finish: str = "stop") -> str:
    found = read(format, text, finish)
    assert isinstance(found, Fault), found
    return found.slug


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("12 + 5 = 17. The answer is 17.", "12 + 5 = 17.", "17"),
        ("12 + 5 = 17. The answer is $17.00.\n\nQ: next\nA: The answer is 3.", "12 + 5 = 17.", "17"),
        ("The answer is 9? No. The answer is 17", "The answer is 9? No.", "17"),
        ("so The answer is: 17\nand more", "so", "17"),
        ("They make seventeen", "They make seventeen", None),
        ("Sum. The answer is unclear.", "Sum.", None),
    ],
)
def test_a_chain_of_thought_is_read(text: str, reasoning: str, answer: str | None) -> None:
    assert read(Cot(), text) == Rationale(reasoning, answer)


@pytest.mark.parametrize(
    ("format", "text", "lenient"),
    [
        (Cot(), "12 and 5 make 17", "17"),
        (Cot(), "12 and 5 make 17. The answer is unclear.", "17"),
        (Label(), "It is 12 or 17.", "17"),
        (Socratic(), "How many? ** 12 + 5 = 17.", "17"),
        (Cot(), "They make seventeen.", None),
        (Cot(), "12 + 5 = 17. The answer is 17.", None),
        (Socratic(), "How many? ** 12 + 5 = 17.\nThe answer is 17.", None),
    ],
)
def test_the_lenient_answer_stands_beside_where_the_strict_reader_finds_none(
    format: Format, text: str, lenient: str | None
) -> None:
    found = read(format, text)
    assert isinstance(found, Rationale)
    assert found.evidence == ({} if lenient is None else {"lenient": lenient})
    assert found.answer == (None if lenient else "17" if "17" in text else None)


READERS = {
    "label": (Label(), "{}"),
    "cot": (Cot(), "So. The answer is {}."),
    "cot-published": (Cot("published"), "So. The answer is ({})."),
    "socratic": (Socratic(), "How many? ** So many.\nThe answer is {}."),
    "program": (Program(), "def solution():\n    return {}"),
    "program-text": (Program(), "def solution():\n    return '{}'"),
    "lenient": (Cot(), "So it is {}"),
}
WORDS = ("label", "cot", "socratic", "program-text", "lenient")
NUMBERS = {"number": tuple(READERS), "expression": tuple(READERS)}
TWINS = [
    (kind, reader, "25", said, is_right)
    for kind, readers in NUMBERS.items()
    for reader in readers
    for said, is_right in [("25", True), ("25.0", True), ("125", False), ("2.5", False), ("-25", False), ("25%", False)]
    if not (said == "25%" and reader == "program")  # no Python
]
TWINS += [
    (kind, reader, gold, said, is_right)
    for kind, gold, sayings in [
        ("choice", "the sea", {"the sea": True, "The Sea": True, "(b)": True, "(a)": False, "the sea floor": False}),
        ("choice", "the sea floor", {"(c) the sea floor": True, "the sea": False, "(b)": False}),
        ("label", "entailment", {"entailment": True, "Entailment": True, "not_entailment": False, "neutral": False}),
        ("yes_no", "no", {"no": True, "No": True, "yes": False, "nothing": False, "know": False}),
    ]
    for reader in WORDS
    for said, is_right in sayings.items()
]
TWINS += [
    ("text", reader, "n k", said, is_right)
    for reader in ("label", "cot", "socratic", "program-text")
    for said, is_right in {"n k": True, "N  K": True, "nk": False, "n k l": False, "k n": False}.items()
]
CHOICES = {"choice": ("the forest", "the sea", "the sea floor"), "label": ("entailment", "neutral", "not_entailment")}


def test_every_reader_tells_a_right_answer_from_its_wrong_twins() -> None:
    asked = [
        (OfKind(kind=kind), Question("q", "?", gold, CHOICES.get(kind, ())), *READERS[reader], said)
        for kind, reader, gold, said, _ in TWINS
    ]
    with Sandbox(timeout_s=1.0) as sandbox:
        found = Driver({}, sandbox.run).run(
            ("q", format.read(task, question, Completion(text.format(said))))
            for task, question, format, text, said in asked
        )
    for twin, (task, question, *_), one in zip(TWINS, asked, found, strict=True):
        shown = one.answer or one.evidence.get("lenient") if isinstance(one, Rationale) else None
        assert (shown is not None and task.grade(shown, question)) == twin[-1], (twin, one)


@pytest.mark.parametrize(
    ("text", "answer"), [("17", "17"), (" 17.\n", "17"), ("17\n\nQ: another\nA: 4", "17"), ("17 pens", "17")]
)
def test_a_label_is_read(text: str, answer: str) -> None:
    assert read(Label(), text) == Rationale("", answer)


@pytest.mark.parametrize("format", [Label(), Cot(), Program(), Socratic()], ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("", "stop", "empty"),
        ("  \n", "stop", "empty"),
        ("", "length", "truncated"),
        ("", "failed", "failed"),
        ("", "refused", "refusal"),
        ("Sorry, as an AI language model, I cannot do that.", "stop", "refusal"),
        ("I'm sorry, but I can't help.", "stop", "refusal"),
        ("Well.\n\n \t Sorry, no idea.", "stop", "refusal"),
    ],
)
def test_what_no_format_can_read_has_a_fault(format: Format, text: str, finish: str, expected: str) -> None:
    assert slug(format, text, finish) == expected


def test_a_chain_cut_before_its_answer_is_truncated() -> None:
    assert slug(Cot(), "Mia has 12 and", "length") == "truncated"


@pytest.mark.parametrize(
    ("format", "before"),
    [(Label(), ""), (Cot(), "12 + 5 = 17. The answer is "), (Socratic(), f"{STEPS}\nThe answer is ")],
    ids=["label", "cot", "socratic"],
)
def test_a_number_at_the_token_limit_may_go_on_and_is_no_answer(format: Format, before: str) -> None:
    assert slug(format, f"{before}17", "length") == "truncated"
    for text, finish in ((f"{before}17", "stop"), (f"{before}17\n", "length"), (f"{before}17 pens.", "length")):
        found = read(format, text, finish)
        assert isinstance(found, Rationale)
        assert found.answer == "17"


def test_a_chain_cut_after_its_answer_is_read() -> None:
    found = read(Cot(), "12 + 5 = 17. The answer is 17.\n\nQ: Tom has", "length")
    assert found == Rationale("12 + 5 = 17.", "17")


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        f"\n\n{PROGRAM}\n",
        f"```python\n{PROGRAM}\n```",
        f"Here is the program:\n\n```\n{PROGRAM}\n```\nIt adds the pens.",
        f"Sure! This is how:\n{PROGRAM}\n\nThis gives 17 pens.",
        f"{PROGRAM}\n\nQ: Tom has 3 pens.\n# solution in Python:\ndef solution():\n    return 3",
        f"{PROGRAM}\n\nQuestion: Tom has 3 pens.",
    ],
)
def test_a_program_is_found_run_and_read(text: str) -> None:
    assert read(Program(), text) == Rationale(PROGRAM, "17", {"value": "17"})


def test_a_straight_line_program_is_read() -> None:
    found = read(Program(), "pens = 12\nans = pens + 5")
    assert isinstance(found, Rationale)
    assert found.answer == "17"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def solution():\n    return 12 +", "syntax_error"),
        ("def solution():\n    return pens", "name_error"),
        ("def solution():\n    return 1 / 0", "run_error"),
        ("def solution():\n    while True:\n        pass", "timeout"),
        ("def solution():\n    return [1, 2]", "not_an_answer"),
        ("def solution():\n    return None", "not_an_answer"),
        ("def helper():\n    return 3", "no_answer"),
        ("Mia has 17 pens.", "no_program"),
    ],
)
def test_a_faulty_program_has_its_fault(text: str, expected: str) -> None:
    assert slug(Program(), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def solution():\n    pens = (12 +", "truncated"),
        ("def solution():\n    pens = 12", "truncated"),  # it returns None
        ("def solution():\n    pens = 12\n", "truncated"),
        ("```python\ndef solution():\n    pens = 12", "truncated"),
        ("def helper():\n    return 3", "truncated"),
        ("pens = 12", "truncated"),
        ("def solution():\n    pens = 12\n    return [pens]", "not_an_answer"),
        ("def solution():\n    return 1 / 0", "run_error"),
        ("def solution():\n    return None\n\nThis program returns", "not_an_answer"),  # the cut came after its end
        ("```\ndef solution():\n    return 12 +\n```\nThis program", "syntax_error"),
        ("def solution():\n    pens = 12\n\nQ: Tom has 3", "not_an_answer"),
    ],
)
def test_a_program_cut_by_the_token_limit_is_truncated_and_one_cut_after_its_end_is_not(
    text: str, expected: str
) -> None:
    assert slug(Program(), text, "length") == expected
    assert slug(Program(), text, "stop") != "truncated"


def test_a_program_that_is_whole_when_the_token_limit_comes_is_read() -> None:
    assert read(Program(), PROGRAM, "length") == Rationale(PROGRAM, "17", {"value": "17"})


def test_an_integral_float_is_the_integer() -> None:
    found = read(Program(), "def solution():\n    return 34 / 2")
    assert isinstance(found, Rationale)
    assert found.answer == "17"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("x = 1\n\nThis is prose.", "x = 1"),
        ("x = 1\n\ny = 2\n\nprint(y)", "x = 1\n\ny = 2\n\nprint(y)"),
        ("import math\nx = math.pi", "import math\nx = math.pi"),
        ("a, b = 1, 2", "a, b = 1, 2"),
        ("if x == 1 it is prose", ""),
        ("", ""),
    ],
)
def test_where_a_program_begins_and_ends(text: str, program: str) -> None:
    assert find_program(text) == program


DOCUMENTED = (
    'def solution():\n    """How many?"""\n    pens = 12  # at first\n    # then\n    name = "a # b"\n    return pens'
)


def test_the_docstring_goes_and_the_rest_stays() -> None:
    assert strip(DOCUMENTED, docstring=True) == DOCUMENTED.replace('    """How many?"""\n', "")


def test_comments_go_and_strings_stay() -> None:
    expected = 'def solution():\n    """How many?"""\n    pens = 12\n    name = "a # b"\n    return pens'
    assert strip(DOCUMENTED, comments=True) == expected


def test_a_docstring_of_several_lines_with_quotes_goes() -> None:
    program = 'def solution():\n    """One "quoted" word,\n\n    two lines."""\n    return 1'
    assert strip(program, docstring=True) == "def solution():\n    return 1"


def test_a_string_that_begins_an_expression_is_no_docstring() -> None:
    program = 'def solution():\n    "ab".upper()\n    return 1'
    assert strip(program, docstring=True) == program


def test_text_that_is_no_python_is_left_alone() -> None:
    assert strip("def (:\n  '", docstring=True, comments=True) == "def (:\n  '"


chains = (
    st.text(st.characters(codec="utf-8"), min_size=1)
    .map(str.strip)
    .filter(lambda t: t and "Q" not in t and "answer" not in t)
)
values = st.integers(-(10**6), 10**6).map(str)


@given(chains, values)
def test_reading_what_a_chain_writes_gives_it_back(text: str, answer: str) -> None:
    rationale = Rationale(text, answer)
    [found] = Driver({}, lambda programs: []).run(
        [("q", Cot().read(Sums(), QUESTION, Completion(Cot().write(Sums(), rationale))))]
    )
    assert found == rationale


@given(values)
def test_reading_what_a_label_writes_gives_it_back(answer: str) -> None:
    [found] = Driver({}, lambda programs: []).run(
        [("q", Label().read(Sums(), QUESTION, Completion(Label().write(Sums(), Rationale("", answer)))))]
    )
    assert found == Rationale("", answer)


halves = chains.filter(lambda t: "\n" not in t and "*" not in t)


@given(st.lists(st.tuples(halves, halves), min_size=1, max_size=4), values | st.none())
def test_reading_what_a_socratic_rationale_writes_gives_it_back(pairs: list[tuple[str, str]], answer: str) -> None:
    rationale = Rationale("\n".join(f"{asked} ** {solved}" for asked, solved in pairs), answer)
    [found] = Driver({}, lambda programs: []).run(
        [("q", Socratic().read(Sums(), QUESTION, Completion(Socratic().write(Sums(), rationale))))]
    )
    assert isinstance(found, Rationale)
    assert (found.text, found.answer) == (rationale.text, rationale.answer)
    assert steps(rationale.text) == pairs


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        (f"{STEPS}\nThe answer is 17.", STEPS, "17"),
        (f"{STEPS} The answer is 17.\n\nQ: next\nA:\nWhat? ** 3.\nThe answer is 3.", STEPS, "17"),
        (f"Let us see:\n\n{STEPS}\nAnd how many\nThe answer is $17.00.", STEPS, "17"),
        (f"{STEPS}\nThe answer is unclear.", STEPS, None),
        (STEPS, STEPS, None),
        ("What is 2 ** 3 ? ** 2 ** 3 = 8.\nThe answer is 8.", "What is 2 ** 3 ? ** 2 ** 3 = 8.", "8"),
    ],
)
def test_a_socratic_rationale_is_read(text: str, reasoning: str, answer: str | None) -> None:
    found = read(Socratic(), text)
    assert isinstance(found, Rationale)
    assert (found.text, found.answer) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("12 + 5 = 17. The answer is 17.", "stop", "no_steps"),
        ("**How many?** 17.\nThe answer is 17.", "stop", "no_steps"),
        ("How many? **\nThe answer is 17.", "stop", "no_steps"),
        (f"{STEPS}\nHow many at", "length", "truncated"),
    ],
)
def test_a_faulty_socratic_rationale_has_its_fault(text: str, finish: str, expected: str) -> None:
    assert slug(Socratic(), text, finish) == expected


def test_reading_what_a_program_writes_gives_it_back() -> None:
    rationale = Rationale(PROGRAM, "17", {"value": "17"})
    assert read(Program(), Program().write(Sums(), rationale)) == rationale


@given(st.text(), st.sampled_from(["stop", "length"]))
def test_a_reader_never_raises(text: str, finish: str) -> None:
    for format in (Label(), Cot(), Cot("published"), Socratic()):
        completion = Completion(text, finish)  # type: ignore[arg-type]
        [found] = Driver({}, lambda programs: []).run([("q", format.read(Sums(), QUESTION, completion))])
        assert isinstance(found, Rationale | Fault)
    assert find_program(text) in text or "```" in text
    strip(text, docstring=True, comments=True)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_prompt_shows_the_demonstrations_and_ends_open(name: str) -> None:
    format = FORMATS[name]()
    shown = [
        (
            Question("d", "What is 1 + 1?", "2"),
            Rationale({"label": "", "socratic": "What? ** 1 + 1 = 2."}.get(name, "1 + 1 = 2."), "2"),
        )
    ]
    prompt = format.prompt(Sums(), QUESTION, shown)
    assert prompt.index("What is 1 + 1?") < prompt.index(QUESTION.text)
    assert prompt.count("Q: ") == 2
    assert prompt.endswith("# solution in Python:\n" if name == "program" else "A:")


@pytest.mark.parametrize(
    ("claim", "published", "last"),
    [
        ("(b) the sea.", "the sea", "the sea"),
        ("(a) the sea.", "the sea", None),  # the letter is that of another choice
        ("(b) The sea.", None, "the sea"),
        ("the sea.", "the sea", "the sea"),
        ("(b).", None, "the sea"),
        ("(c) the moon.", None, None),
    ],
)
def test_the_published_reader_takes_the_text_after_the_letter_literally(
    claim: str, published: str | None, last: str | None
) -> None:
    question = Question("q", "Where are fish?", "the sea", ("a tree", "the sea"))
    completion = Completion(f"Fish swim. So the answer is {claim}")
    readings = [(r, Cot(r).read(Cqa(), question, completion)) for r in ("published", "last")]
    found = Driver({}, lambda programs: []).run(readings)
    assert [one.answer for one in found if isinstance(one, Rationale)] == [published, last]


@pytest.mark.parametrize(
    ("name", "text", "published", "last"),
    [
        ("anli", "Fish swim. So the answer is neutral.", "neutral", "neutral"),
        (
            "anli",
            "Fish swim. So the answer is neutral",
            None,
            "neutral",
        ),  # a letter is lost with the dot that is not there
        ("anli", "Fish swim. So the answer is Neutral.", None, "neutral"),
        ("anli", "So the answer is no. So the answer is neutral.", None, "neutral"),
        ("anli", "So the answer is neutral.\n\nPremise: Fish. So the answer is neutral.", "neutral", "neutral"),
        ("anli", "So the answer is neutral. Premise: Fish.", "neutral", None),
        ("anli", "Fish swim.", None, None),
        ("esnli", "Fish swim.\nAnswer: neutral", "neutral", "neutral"),
        ("esnli", "Fish swim.\nAnswer: neutral.", None, "neutral"),
        ("esnli", "Fish swim.\nAnswer: neutral\n\nPre", None, "neutral"),
        ("esnli", "Answer: neutral\nAnswer: entailment", "neutral", "entailment"),
        ("esnli", "Answer: neutral\n\nPremise: Fish.\nAnswer: entailment", "neutral", "neutral"),
        ("esnli", "Fish swim.", None, None),
    ],
)
def test_the_published_reader_takes_labels_letter_by_letter(
    name: str, text: str, published: str | None, last: str | None
) -> None:
    task = {"anli": Anli, "esnli": Esnli}[name]()
    question = Question("q", "Premise: Fish.", "neutral", LABELS)
    readings = [("q", Cot(r).read(task, question, Completion(text))) for r in ("published", "last")]
    found = Driver({}, lambda programs: []).run(readings)
    assert [one.answer for one in found if isinstance(one, Rationale)] == [published, last]


def test_the_published_reader_sees_a_refusal_of_a_label() -> None:
    question = Question("q", "Premise: Fish.", "neutral", LABELS)
    reading = Cot("published").read(Anli(), question, Completion("I am sorry, but I cannot help."))
    [found] = Driver({}, lambda programs: []).run([("q", reading)])
    assert isinstance(found, Fault)
    assert found.slug == "refusal"


@pytest.mark.parametrize(
    ("task", "written"), [(Anli(), "So it is. So the answer is neutral."), (Esnli(), "So it is. Answer: neutral")]
)
def test_what_is_written_for_the_published_reader_of_labels_is_read_by_it(task: Task, written: str) -> None:
    rationale = Rationale("So it is.", "neutral")
    assert Cot("published").write(task, rationale) == written
    reading = Cot("published").read(task, Question("q", "Premise: Fish.", "neutral", LABELS), Completion(written))
    assert Driver({}, lambda programs: []).run([("q", reading)]) == [rationale]
